// attributes.c - AttributeProto to Attr; references of a function's body to the attributes of its call; the values of Constant nodes.
#include "import.h"
#include <string.h>

typedef Onnx__AttributeProto Proto;
#define KIND(k) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##k

static bool same_name(const Proto *a, const char *name) { return a->name && !strcmp(a->name, name); }

const Proto *resolve_attr(const Scope **s, const Proto *a) {
  while (a && a->ref_attr_name && *a->ref_attr_name) {
    const Scope *in = *s;
    const Proto *found = NULL;
    while (in && !in->function) in = in->outer; // a region inside of a function's body
    if (!in) return NULL;
    for (size_t k = 0; k < in->call->n_attribute && !found; k++)
      if (same_name(in->call->attribute[k], a->ref_attr_name)) found = in->call->attribute[k];
    if (found) *s = in->caller;
    for (size_t k = 0; k < in->function->n_attribute_proto && !found; k++)
      if (same_name(in->function->attribute_proto[k], a->ref_attr_name)) return in->function->attribute_proto[k];
    a = found;
  }
  return a;
}

// The payload that is there; files of IR 1 give no type. KIND(UNDEFINED): none, or an empty list.
static int payload(const Proto *a, int *count) {
  int kind = KIND(UNDEFINED);
  *count = 0;
#define HAS(field, k)                                                                                                                      \
  if (field) kind = KIND(k), ++*count
  HAS(a->has_f, FLOAT);
  HAS(a->has_i, INT);
  HAS(a->has_s, STRING);
  HAS(a->t, TENSOR);
  HAS(a->g, GRAPH);
  HAS(a->sparse_tensor, SPARSE_TENSOR);
  HAS(a->tp, TYPE_PROTO);
  HAS(a->n_floats, FLOATS);
  HAS(a->n_ints, INTS);
  HAS(a->n_strings, STRINGS);
  HAS(a->n_tensors, TENSORS);
  HAS(a->n_graphs, GRAPHS);
  HAS(a->n_sparse_tensors, SPARSE_TENSORS);
  HAS(a->n_type_protos, TYPE_PROTOS);
#undef HAS
  return kind;
}

// Scalars that are zero and lists that are empty may be missing from the wire.
static bool may_be_missing(int kind) {
  return kind != KIND(TENSOR) && kind != KIND(GRAPH) && kind != KIND(SPARSE_TENSOR) && kind != KIND(TYPE_PROTO) && kind != KIND(UNDEFINED);
}

static int kind_of(const Proto *a, const Where *w) {
  int count, found = payload(a, &count), kind = a->has_type && a->type ? (int)a->type : found;
  bool wrong = count > 1 || (count && kind != found) || (!count && !may_be_missing(kind)) || kind < 0 || kind > KIND(TYPE_PROTOS);
  if (!wrong) return kind;
  report(LEVEL_ERROR, EXIT_INVALID, "attr.malformed", w, "attribute %s does not hold one value of its type", a->name ? a->name : "");
  return KIND(UNDEFINED);
}

static const double *doubles(const float *f, size_t n) {
  double *d = NEWN(double, n + 1);
  for (size_t k = 0; k < n; k++) d[k] = f[k];
  return d;
}

static const Str *strings(const ProtobufCBinaryData *s, size_t n) {
  Str *out = NEWN(Str, n + 1);
  for (size_t k = 0; k < n; k++) out[k] = (Str){s[k].data ? (const char *)s[k].data : "", s[k].len};
  return out;
}

Attr import_attr(Importer *im, const Proto *a, Sym name, const Where *w) {
  Attr r = {.name = name};
  switch (kind_of(a, w)) {
  case KIND(FLOAT): r.kind = ATTR_FLOAT, r.f = a->f; break;
  case KIND(INT): r.kind = ATTR_INT, r.i = a->i; break;
  case KIND(STRING): r.kind = ATTR_STRING, r.s = *strings(&a->s, 1); break;
  case KIND(TENSOR): r.kind = ATTR_TENSOR, r.t = import_tensor(im, a->t, w); break;
  case KIND(TYPE_PROTO): r.kind = ATTR_TYPE, r.type = import_type(im, a->tp, NULL, w); break;
  case KIND(FLOATS): r.kind = ATTR_FLOATS, r.n = (int)a->n_floats, r.floats = doubles(a->floats, a->n_floats); break;
  case KIND(INTS): r.kind = ATTR_INTS, r.n = (int)a->n_ints, r.ints = a->ints; break;
  case KIND(STRINGS): r.kind = ATTR_STRINGS, r.n = (int)a->n_strings, r.strings = strings(a->strings, a->n_strings); break;
  case KIND(UNDEFINED): break;
  default:
    report(LEVEL_ERROR, EXIT_UNSUPPORTED, "attr.kind", w, "attribute %s is a list of tensors, graphs or types, which no operator here has",
           name);
  }
  return r;
}

/* ---- Constant ---- */

static Tensor *numbers(DType d, int rank, int64_t n) { return tensor_new(d, rank, &n, NULL); }

static Tensor *from_attr(const Attr *a, const Where *w) {
  Tensor *t = NULL;
  switch (a->kind) {
  case ATTR_TENSOR: return (Tensor *)(uintptr_t)a->t;
  case ATTR_INT: tensor_set_int(t = numbers(DT_I64, 0, 1), 0, a->i); break;
  case ATTR_FLOAT: tensor_set_float(t = numbers(DT_F32, 0, 1), 0, a->f); break;
  case ATTR_INTS:
    t = numbers(DT_I64, 1, a->n);
    for (int k = 0; k < a->n; k++) tensor_set_int(t, k, a->ints[k]);
    break;
  case ATTR_FLOATS:
    t = numbers(DT_F32, 1, a->n);
    for (int k = 0; k < a->n; k++) tensor_set_float(t, k, a->floats[k]);
    break;
  case ATTR_STRING: t = tensor_new(DT_STR, 0, NULL, mem_copy(&a->s, sizeof a->s)); break;
  case ATTR_STRINGS: t = tensor_new(DT_STR, 1, (int64_t[]){a->n}, a->strings); break;
  default: report(LEVEL_ERROR, EXIT_INVALID, "attr.malformed", w, "a Constant without a value");
  }
  return t;
}

Tensor *constant_value(Importer *im, const Scope *s, const Onnx__NodeProto *n, const Where *w) {
  static const char *const forms[] = {"value",       "sparse_value", "value_int",    "value_ints",
                                      "value_float", "value_floats", "value_string", "value_strings"};
  static const AttrKind kinds[] = {ATTR_TENSOR, ATTR_NONE, ATTR_INT, ATTR_INTS, ATTR_FLOAT, ATTR_FLOATS, ATTR_STRING, ATTR_STRINGS};
  for (size_t k = 0; k < n->n_attribute; k++) {
    const Scope *at = s;
    const char *name = n->attribute[k]->name ? n->attribute[k]->name : "";
    const Proto *a = resolve_attr(&at, n->attribute[k]);
    for (size_t f = 0; a && f < sizeof forms / sizeof *forms; f++) {
      if (strcmp(name, forms[f])) continue;
      if (kinds[f] == ATTR_NONE && a->sparse_tensor) return import_sparse(im, a->sparse_tensor, w);
      Attr v = import_attr(im, a, sym(name), w);
      if (v.kind == kinds[f]) return from_attr(&v, w);
      if (v.kind) report(LEVEL_ERROR, EXIT_INVALID, "attr.kind", w, "attribute %s has the wrong type", name);
      return NULL;
    }
  }
  report(LEVEL_ERROR, EXIT_INVALID, "attr.missing", w, "a Constant without a value");
  return NULL;
}

/* ---- the op table's word on attributes ---- */

static const char *const kind_names[] = {"NONE", "INT", "FLOAT", "STRING", "INTS", "FLOATS", "STRINGS", "TENSOR", "TYPE"};

static bool has_region(const Node *n, const AttrRow *row) {
  for (int k = 0, r = 0; k < n->op->nattr; k++)
    if (!strcmp(n->op->attr[k].kind, "GRAPH") && r++ < n->nregion && &n->op->attr[k] == row) return true;
  return false;
}

void check_attrs(Node *n, int opset, const Where *w) {
  int kept = 0;
  for (int k = 0; k < n->nattr; k++) {
    const Attr *a = &n->attr[k];
    const AttrRow *row = op_attr(n->op, a->name);
    if (!row) { // attributes that an older opset had mean nothing any more
      if (opset >= n->op->since)
        report(LEVEL_WARNING, EXIT_OK, "attr.unknown", w, "%s has no attribute %s; it is ignored", n->op->name, a->name);
      continue;
    }
    if (a->kind != ATTR_NONE && strcmp(kind_names[a->kind], row->kind))
      report(LEVEL_ERROR, EXIT_INVALID, "attr.kind", w, "attribute %s of %s is %s where %s is expected", a->name, n->op->name,
             kind_names[a->kind], row->kind);
    if (a->kind != ATTR_NONE) n->attr[kept++] = *a;
  }
  n->nattr = kept;
  for (int k = 0; k < n->op->nattr; k++) {
    const AttrRow *row = &n->op->attr[k];
    if (!strcmp(row->dflt, "!") && !attr_has(n, row->name) && !has_region(n, row))
      report(LEVEL_ERROR, EXIT_INVALID, "attr.missing", w, "%s needs its attribute %s", n->op->name, row->name);
  }
}
