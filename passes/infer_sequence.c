// infer_sequence.c - shape rules of sequences, optionals, strings. A sequence's type holds the dims that all its elements share; the types
// one by one and the length are kept beside it (Side) while they are known.
#include "infer_rules.h"
#include "infer_types.h"
#include <string.h>

/* ---- lengths and elements ---- */

IExpr *length_symbol(Value *v) { return ix_sym(sym_fmt("\2%s.length", base_name(v)), 0, IX_DIM_MAX); }

static void see_length(Atom *a, void *u) {
  if (a->kind == ATOM_SYM && a->name[0] == '\2') *(bool *)u = true;
}
bool has_length(IExpr *e) {
  bool found = false;
  ix_atoms(e, see_length, &found);
  return found;
}

const Type *element_for(Value *v, const Type *t) {
  if (t->kind != TYPE_TENSOR || t->rank < 0) return t;
  IExpr *d[MAX_RANK];
  for (int i = 0; i < t->rank; i++) d[i] = t->dim[i] ? t->dim[i] : fresh_of(v, i, 0, IX_DIM_MAX);
  return type_tensor(t->dtype, t->rank, d);
}

static const Type *element_of(const Node *n, int i) {
  const Type *t = n->in[i]->type;
  if (t->kind == TYPE_SEQUENCE && t->elem) return t->elem;
  wrong(n, "operand %d is %s, not a sequence", i, type_str(t));
  return type_unranked(DT_F32);
}

// Result 0: a sequence with these element types, one by one.
static void out_items(Node *n, int count, const Type **item, DType d) {
  const Type *elem = count ? item[0] : type_unranked(d);
  for (int i = 1; i < count; i++) elem = merge_elements(elem, item[i]);
  out_type(n, 0, type_of(TYPE_SEQUENCE, DT_NONE, elem));
  if (!node_out(n, 0)) return;
  Side *s = side_of(node_out(n, 0));
  s->length = ix(count), s->item = item, s->nitem = count;
}

static bool position(const Node *n, int i, int64_t count, int64_t dflt, int64_t *at) {
  *at = dflt;
  if (!node_in(n, i)) return true;
  IExpr *e = scalar_of(n->in[i]);
  if (!e || !ix_const(e, at)) return false;
  if (*at < 0) *at += count;
  return *at >= 0 && *at <= count;
}

/* ---- rules ---- */

void shape_sequence_empty(Node *n) {
  const Attr *a = attr_find(n, "dtype");
  bool known = a && a->i > DT_NONE && a->i < DT_COUNT;
  if (a && !known) wrong(n, "no element type has the number %lld", (long long)a->i);
  out_items(n, 0, NULL, known ? (DType)a->i : DT_F32);
  if (node_out(n, 0)) side_of(node_out(n, 0))->item = NEWN(const Type *, 1);
}

void shape_sequence_construct(Node *n) {
  const Type **item = NEWN(const Type *, n->nin + 1);
  for (int i = 0; i < n->nin; i++) item[i] = n->in[i]->type;
  out_items(n, n->nin, item, DT_F32);
}

void shape_sequence_insert(Node *n) {
  Side *s = side_of(n->in[0]);
  int64_t at;
  if (s->item && position(n, 2, s->nitem, s->nitem, &at)) {
    const Type **item = NEWN(const Type *, s->nitem + 1);
    for (int i = 0; i < s->nitem + 1; i++) item[i] = i < at ? s->item[i] : i == at ? n->in[1]->type : s->item[i - 1];
    out_items(n, s->nitem + 1, item, DT_F32);
    return;
  }
  out_type(n, 0, type_of(TYPE_SEQUENCE, DT_NONE, merge_elements(element_of(n, 0), n->in[1]->type)));
  if (node_out(n, 0) && s->length) side_of(node_out(n, 0))->length = ix_addk(s->length, 1);
}

void shape_sequence_erase(Node *n) {
  Side *s = side_of(n->in[0]);
  int64_t at;
  if (s->item && s->nitem && position(n, 1, s->nitem, s->nitem - 1, &at) && at < s->nitem) {
    const Type **item = NEWN(const Type *, s->nitem);
    for (int i = 0; i + 1 < s->nitem; i++) item[i] = s->item[i < at ? i : i + 1];
    out_items(n, s->nitem - 1, item, element_of(n, 0)->dtype);
    return;
  }
  out_type(n, 0, n->in[0]->type);
  if (node_out(n, 0) && s->length) side_of(node_out(n, 0))->length = ix_addk(s->length, -1);
}

void shape_sequence_at(Node *n) {
  Side *s = side_of(n->in[0]);
  const Type *t = element_of(n, 0);
  int64_t at;
  if (s->item && position(n, 1, s->nitem, 0, &at) && at < s->nitem) t = s->item[at];
  if (node_out(n, 0)) out_type(n, 0, element_for(node_out(n, 0), t));
  if (t->kind == TYPE_TENSOR && t->rank < 0) unknown_rank(n, "the sequence's elements have none in common");
}

void shape_sequence_length(Node *n) {
  out_dims(n, 0, DT_I64, dims(0));
  IExpr *len = side_of(n->in[0])->length;
  if (!len || has_length(len)) return;
  IExpr **e = NEWN(IExpr *, 1);
  e[0] = len;
  out_ints(n, 0, 1, e);
}

// Sizes given one by one: the element types are known.
static void split_by_list(Node *n, Dims x, int axis, int count, IExpr **size) {
  const Type **item = NEWN(const Type *, count + 1);
  IExpr *total = ix(0);
  for (int i = 0; i < count; i++) {
    Dims s = x;
    s.d[axis] = size[i], total = ix_add(total, size[i]);
    item[i] = type_tensor(dtype_in(n, 0), s.rank, s.d);
  }
  require_eq(n, total, x.d[axis]);
  out_items(n, count, item, dtype_in(n, 0));
}

void shape_split_to_sequence(Node *n) {
  Dims x = dims_of(n->in[0]);
  int a = axis_in(n, attr_int(n, "axis"), x.rank), count;
  IExpr *d = x.d[a], **size, *step = ix(1);
  int64_t k, total;
  if (node_in(n, 1) && rank_in(n, 1) == 1 && shape_operand(n, 1, &count, &size)) {
    split_by_list(n, x, a, count, size);
    return;
  }
  bool list = node_in(n, 1) && rank_in(n, 1) == 1; // of unknown length; the sizes in it may all be the same
  if (node_in(n, 1)) step = scalar_of(n->in[1]);
  x.d[a] = ix(1);
  bool whole = !node_in(n, 1) || list || (step && ix_const(step, &k) && k > 0 && ix_const(d, &total) && total % k == 0);
  if (!node_in(n, 1) && !attr_int(n, "keepdims")) remove_dim(&x, a);
  else x.d[a] = whole ? step : NULL;
  out_type(n, 0, type_of(TYPE_SEQUENCE, DT_NONE, type_tensor(dtype_in(n, 0), x.rank, x.d)));
  if (node_out(n, 0) && step && ix_const(step, &k) && k > 0) side_of(node_out(n, 0))->length = list ? dim_in(n, 1, 0) : ix_ceil(d, k);
}

static IExpr *joined(Node *n, const Type *t, const Side *s, int axis) {
  IExpr *sum = ix(0);
  for (int i = 0; s->item && i < s->nitem; i++) sum = ix_add(sum, s->item[i]->dim[axis]);
  if (s->item) return sum;
  return t->dim[axis] && s->length && !has_length(s->length) ? ix_mul(t->dim[axis], s->length) : fresh_dim(n, 0, axis, 0, IX_DIM_MAX);
}

void shape_concat_from_sequence(Node *n) {
  const Type *t = element_of(n, 0);
  Side *s = side_of(n->in[0]);
  if (t->kind != TYPE_TENSOR || t->rank < 0) {
    unknown_rank(n, "the sequence's elements have none in common");
    return;
  }
  bool new_axis = attr_int(n, "new_axis");
  int a = axis_in(n, attr_int(n, "axis"), t->rank + new_axis);
  Dims r = {.rank = t->rank};
  for (int i = 0; i < t->rank; i++) {
    int at = new_axis && i >= a ? i + 1 : i;
    r.d[i] = !new_axis && i == a ? joined(n, t, s, a) : t->dim[i] ? t->dim[i] : fresh_dim(n, 0, at, 0, IX_DIM_MAX);
  }
  if (new_axis) insert_dim(&r, a, s->length && !has_length(s->length) ? s->length : fresh_dim(n, 0, a, 0, IX_DIM_MAX));
  out_dims(n, 0, t->dtype, r);
}

/* ---- optionals ---- */

void shape_optional(Node *n) {
  const Attr *a = attr_find(n, "type");
  const Type *t = node_in(n, 0) ? n->in[0]->type : a ? a->type : type_unranked(DT_F32);
  out_type(n, 0, t->kind == TYPE_OPTIONAL ? t : type_of(TYPE_OPTIONAL, DT_NONE, t));
}

void shape_optional_has_element(Node *n) {
  out_dims(n, 0, DT_BOOL, dims(0));
  IExpr **e = NEWN(IExpr *, 1);
  if (node_in(n, 0) && n->in[0]->type->kind == TYPE_OPTIONAL && !(n->in[0]->def && n->in[0]->def->op->id == OP_Optional)) return;
  e[0] = ix(node_in(n, 0) && (n->in[0]->type->kind != TYPE_OPTIONAL || node_in(n->in[0]->def, 0)));
  out_ints(n, 0, 1, e);
}

void shape_optional_get_element(Node *n) {
  const Type *t = n->in[0]->type;
  if (t->kind == TYPE_OPTIONAL && t->elem && node_out(n, 0)) t = element_for(node_out(n, 0), t->elem);
  out_type(n, 0, t);
  if (t->kind == TYPE_TENSOR && t->rank < 0) unknown_rank(n, "the optional's type does not say it");
  if (n->in[0]->type->kind != TYPE_OPTIONAL && node_out(n, 0)) view_elems(n, n->in[0]);
}

/* ---- strings, images ---- */

void shape_string_normalizer(Node *n) {
  Dims s = dims_of(n->in[0]);
  const Attr *a = attr_find(n, "stopwords");
  if (a && a->n && s.rank) {
    int64_t hi = ix_upper(s.d[s.rank - 1]);
    s.d[s.rank - 1] = fresh_dim(n, 0, s.rank - 1, 0, hi > 1 ? hi : 1);
  }
  out_dims(n, 0, DT_STR, s);
}

void shape_string_split(Node *n) {
  Dims s = dims_of(n->in[0]);
  out_dims(n, 1, DT_I64, s);
  insert_dim(&s, s.rank, fresh_dim(n, 0, s.rank, 0, IX_DIM_MAX));
  out_dims(n, 0, DT_STR, s);
}

void shape_tokenizer(Node *n) {
  Dims s = dims_of(n->in[0]);
  insert_dim(&s, s.rank, fresh_dim(n, 0, s.rank, 0, IX_DIM_MAX));
  out_dims(n, 0, DT_STR, s);
}

void shape_string_pick(Node *n) { out_dims(n, 0, DT_STR, dims_of(n->in[0])); }

void shape_tfidf(Node *n) {
  Dims s = dims_of(n->in[0]);
  const int64_t *v;
  int count = attr_ints(n, "ngram_indexes", &v);
  int64_t most = -1;
  for (int i = 0; i < count; i++) most = v[i] > most && v[i] < IX_DIM_MAX ? v[i] : most;
  if (s.rank < 1) insert_dim(&s, 0, ix(1));
  s.d[s.rank - 1] = ix(most + 1);
  out_dims(n, 0, DT_F32, s);
}

void shape_image_decoder(Node *n) {
  int64_t channels = attr_is(n, "pixel_format", "Grayscale") ? 1 : 3;
  if (channels == 3 && !attr_is(n, "pixel_format", "RGB") && !attr_is(n, "pixel_format", "BGR"))
    wrong(n, "pixel_format is RGB, BGR or Grayscale");
  out_dims(n, 0, DT_U8, dims(3, fresh_dim(n, 0, 0, 0, IX_DIM_MAX), fresh_dim(n, 0, 1, 0, IX_DIM_MAX), ix(channels)));
}
