// graph_print.c - graph IR as text. Names are made unique here, in the order of printing, so that equal graphs give equal text.
#include "graph_text.h"
#include "map.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Printer {
  Text *t, *side;
  Map name;  // Value -> Sym, with its sigil
  Map taken; // Sym -> itself
  int values, constants;
  Atom **sym;
  int nsym, csym;
  Map seen; // Atom, Type
} Printer;

/* ---- names ---- */

static bool plain(const char *s) {
  bool digits = true;
  if (!*s || !strcmp(s, "_")) return false;
  for (; *s; s++) {
    if (!isalnum((unsigned char)*s) && !strchr("_./", *s)) return false;
    digits &= isdigit((unsigned char)*s) != 0;
  }
  return !digits;
}

static void put_name(Text *t, Sym name) {
  if (plain(name)) put(t, "%s", name);
  else put_quoted(t, name, sym_len(name));
}

// The first use of a value decides its name: ONNX's, or that with a suffix where it is taken, or a number.
static Sym name_of(Printer *p, const Value *v) {
  Sym s = map_get(&p->name, v);
  if (s) return s;
  char sigil = v->data ? '@' : '%';
  if (!v->name || !*v->name) s = sym_fmt("%c%d", sigil, v->data ? p->constants++ : p->values++);
  for (int k = 0; !s; k++) {
    Text t = {0};
    put(&t, "%c", sigil);
    put_name(&t, k ? sym_fmt("%s.%d", v->name, k) : v->name);
    Sym own = sym(t.p);
    if (map_get(&p->taken, own)) continue;
    s = own;
    map_put(&p->taken, own, (void *)(uintptr_t)own);
  }
  map_put(&p->name, v, (void *)(uintptr_t)s);
  return s;
}

static void put_value(Printer *p, const Value *v) { put(p->t, "%s", v ? name_of(p, v) : "_"); }

/* ---- numbers, tensors ---- */

// The shortest text that reads back as the same number; NaN is left to put_element.
static void put_float(Text *t, double v, bool f64) {
  char s[40];
  for (int digits = f64 ? 15 : 6; digits <= 17; digits++) {
    snprintf(s, sizeof s, "%.*g", digits, v);
    if (f64 ? strtod(s, NULL) == v : strtof(s, NULL) == (float)v) break;
  }
  put(t, "%s", s);
}

static uint64_t element_bits(const Tensor *t, int64_t i) {
  uint64_t v = 0;
  int bytes = dtypes[t->dtype].bits / tensor_parts(t) / 8;
  memcpy(&v, (const char *)t->data + i * bytes, (size_t)bytes);
  return v;
}

static void put_element(Text *t, const Tensor *x, int64_t i) {
  if (x->dtype == DT_STR) put_quoted(t, ((const Str *)x->data)[i].p, ((const Str *)x->data)[i].n);
  else if (x->dtype == DT_BOOL) put(t, "%s", tensor_int(x, i) ? "true" : "false");
  else if (dtypes[x->dtype].is_int) put(t, "%lld", (long long)tensor_int(x, i));
  else if (isnan(tensor_float(x, i))) put(t, "0x%llx", (unsigned long long)element_bits(x, i));
  else put_float(t, tensor_float(x, i), x->dtype == DT_F64 || x->dtype == DT_C128);
}

static void put_strings(Text *side, const Tensor *x, int64_t count) {
  for (int64_t k = 0; k < count; k++) {
    const Str *s = (const Str *)x->data + k;
    uint64_t n = s->n;
    put_n(side, &n, sizeof n);
    put_n(side, s->p, s->n);
  }
}

static void put_side(Printer *p, const Tensor *x, int64_t count) {
  static const char zeros[SIDE_ALIGN];
  if (p->side->n % SIDE_ALIGN) put_n(p->side, zeros, SIDE_ALIGN - p->side->n % SIDE_ALIGN);
  size_t at = p->side->n;
  if (x->dtype == DT_STR) put_strings(p->side, x, count);
  else put_n(p->side, x->data, (size_t)x->bytes);
  put(p->t, "data(%zu, %zu)", at, p->side->n - at);
}

static void put_tensor(Printer *p, const Tensor *x) {
  Text *t = p->t;
  put(t, "%s[", dtypes[x->dtype].name);
  for (int k = 0; k < x->rank; k++) put(t, "%s%lld", k ? "," : "", (long long)x->dim[k]);
  put(t, "] ");
  int64_t count = tensor_count(x);
  if (count > INLINE_MAX) {
    put_side(p, x, count);
    return;
  }
  put(t, "{");
  for (int64_t k = 0; k < count * tensor_parts(x); k++) {
    if (k) put(t, ", ");
    put_element(t, x, k);
  }
  put(t, "}");
}

/* ---- attributes ---- */

// A float attribute always shows that it is one; `d`: not an f32.
static void put_float_attr(Text *t, double v) {
  bool f64 = !isnan(v) && (double)(float)v != v;
  size_t at = t->n;
  if (isnan(v)) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    put(t, "nan(0x%x)", bits);
    return;
  }
  put_float(t, v, f64);
  if (!strpbrk(t->p + at, ".einf")) put(t, ".0");
  if (f64) put(t, "d");
}

static void put_attr(Printer *p, const Attr *a) {
  Text *t = p->t;
  switch (a->kind) {
  case ATTR_NONE: bug("attribute %s without a value", a->name);
  case ATTR_INT: put(t, "%lld", (long long)a->i); return;
  case ATTR_FLOAT: put_float_attr(t, a->f); return;
  case ATTR_STRING: put_quoted(t, a->s.p, a->s.n); return;
  case ATTR_TENSOR: put_tensor(p, a->t); return;
  case ATTR_TYPE: put(t, "type %s", type_str(a->type)); return;
  case ATTR_INTS: put(t, a->n ? "[" : "ints["); break;
  case ATTR_FLOATS: put(t, a->n ? "[" : "floats["); break;
  case ATTR_STRINGS: put(t, a->n ? "[" : "strings["); break;
  }
  for (int k = 0; k < a->n; k++) {
    if (k) put(t, ", ");
    if (a->kind == ATTR_INTS) put(t, "%lld", (long long)a->ints[k]);
    else if (a->kind == ATTR_FLOATS) put_float_attr(t, a->floats[k]);
    else put_quoted(t, a->strings[k].p, a->strings[k].n);
  }
  put(t, "]");
}

static void put_attrs(Printer *p, const Node *n) {
  if (!n->nattr) return;
  put(p->t, " {");
  for (int k = 0; k < n->nattr; k++) {
    put(p->t, "%s%s=", k ? ", " : "", n->attr[k].name);
    put_attr(p, &n->attr[k]);
  }
  put(p->t, "}");
}

/* ---- symbols: all that appear in types, oldest first ---- */

static void see_atom(Atom *a, void *u) {
  Printer *p = u;
  if (a->kind != ATOM_SYM || map_get(&p->seen, a)) return;
  map_put(&p->seen, a, a);
  PUSH(p->sym, p->nsym, p->csym, a);
}

static void see_type(Printer *p, const Type *y) {
  if (!y || map_get(&p->seen, y)) return;
  map_put(&p->seen, y, (void *)(uintptr_t)y);
  for (int k = 0; k < y->rank; k++)
    if (y->dim[k]) ix_atoms(y->dim[k], see_atom, p);
  see_type(p, y->elem);
}

static void see_graph(Printer *p, const Graph *g) {
  for (int k = 0; k < g->nin; k++) see_type(p, g->in[k]->type);
  for (const Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nout; k++)
      if (n->out[k]) see_type(p, n->out[k]->type);
    for (int k = 0; k < n->nregion; k++) see_graph(p, n->region[k]);
  }
}

// A symbol that names an expression stands for symbols that may appear nowhere else.
static void see_definitions(Printer *p) {
  for (int k = 0; k < p->nsym; k++)
    if (p->sym[k]->def) ix_atoms(p->sym[k]->def, see_atom, p);
}

static int older(const void *a, const void *b) {
  const Atom *x = *(Atom *const *)a, *y = *(Atom *const *)b;
  return (x->id > y->id) - (x->id < y->id);
}

static void put_where(Printer *p, const Graph *g) {
  see_graph(p, g);
  see_definitions(p);
  if (p->nsym) qsort(p->sym, (size_t)p->nsym, sizeof *p->sym, older);
  for (int k = 0; k < p->nsym; k++) {
    const Atom *a = p->sym[k];
    put(p->t, "%s%s", k ? ", " : " where ", ix_str(ix_atom(p->sym[k])));
    if (a->def) put(p->t, " = %s", ix_str(a->def));
    else if (a->lo != 0 || a->hi != IX_DIM_MAX) put(p->t, " in %lld..%lld", (long long)a->lo, (long long)a->hi);
  }
}

/* ---- constants, nodes, graphs ---- */

static void put_const(Printer *p, const Value *v) {
  if (!v || !v->data || map_get(&p->name, v)) return;
  put(p->t, "const ");
  put_value(p, v);
  put(p->t, " = ");
  put_tensor(p, v->data);
  put(p->t, "\n");
}

static void put_consts(Printer *p, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nin; k++) put_const(p, n->in[k]);
    for (int k = 0; k < n->nregion; k++) put_consts(p, n->region[k]);
  }
  for (int k = 0; k < g->nout; k++) put_const(p, g->out[k]);
}

static void indent(Printer *p, int depth) { put(p->t, "%*s", 2 * depth, ""); }

static void put_graph(Printer *p, const Graph *g, int depth);

static void put_regions(Printer *p, const Node *n, int depth) {
  for (int k = 0, row = 0; k < n->nregion; k++, row++) {
    while (row < n->op->nattr && strcmp(n->op->attr[row].kind, "GRAPH")) row++;
    put(p->t, " %s ", row < n->op->nattr ? n->op->attr[row].name : "region");
    put_graph(p, n->region[k], depth);
  }
}

static void put_origin(Printer *p, const Node *n) {
  bool elsewhere = n->path != n->graph->path;
  if (n->index < 0 && !n->name && !elsewhere) return;
  put(p->t, " #%d", n->index);
  if (n->name) {
    put(p->t, " ");
    put_quoted(p->t, n->name, sym_len(n->name));
  }
  if (elsewhere) {
    put(p->t, " in ");
    put_quoted(p->t, n->path, sym_len(n->path));
  }
}

static void put_node(Printer *p, const Node *n, int depth) {
  indent(p, depth);
  for (int k = 0; k < n->nout; k++) {
    if (k) put(p->t, ", ");
    put_value(p, n->out[k]);
  }
  put(p->t, "%s= %s%s%s(", n->nout ? " " : "", n->op->domain, *n->op->domain ? "." : "", n->op->name);
  for (int k = 0; k < n->nin; k++) {
    if (k) put(p->t, ", ");
    put_value(p, n->in[k]);
  }
  put(p->t, ")");
  put_attrs(p, n);
  for (int k = 0, any = 0; k < n->nout; k++)
    if (n->out[k]) put(p->t, "%s%s", any++ ? ", " : " : ", type_str(n->out[k]->type));
  put_origin(p, n);
  put_regions(p, n, depth);
  put(p->t, "\n");
}

static void put_header(Printer *p, const Graph *g) {
  put(p->t, "graph ");
  if (g->name && *g->name) put_name(p->t, g->name);
  put(p->t, "(");
  for (int k = 0; k < g->nin; k++) {
    if (k) put(p->t, ", ");
    put_value(p, g->in[k]);
    put(p->t, ": %s", type_str(g->in[k]->type));
  }
  put(p->t, ") -> (");
  for (int k = 0; k < g->nout; k++) {
    if (k) put(p->t, ", ");
    if (g->out_name[k] && *g->out_name[k]) put_name(p->t, g->out_name[k]);
    else put(p->t, "_");
    put(p->t, ": %s", type_str(g->out[k]->type));
  }
  put(p->t, ")");
}

static void put_graph(Printer *p, const Graph *g, int depth) {
  put_header(p, g);
  if (!depth) put_where(p, g);
  put(p->t, " {\n");
  for (const Node *n = g->first; n; n = n->next) put_node(p, n, depth + 1);
  indent(p, depth + 1);
  put(p->t, "return");
  for (int k = 0; k < g->nout; k++) {
    put(p->t, k ? ", " : " ");
    put_value(p, g->out[k]);
  }
  put(p->t, "\n");
  indent(p, depth);
  put(p->t, "}");
}

static void put_provenance(Text *t, const Graph *g) {
  if (!g->producer && !g->ir_version && !g->nopset) return;
  put(t, "model ");
  put_quoted(t, g->producer ? g->producer : "", g->producer ? sym_len(g->producer) : 0);
  put(t, " ir %lld", (long long)g->ir_version);
  for (int k = 0; k < g->nopset; k++) {
    put(t, "%s", k ? ", " : " opset ");
    put_quoted(t, g->opset[k].domain, sym_len(g->opset[k].domain));
    put(t, " %lld", (long long)g->opset[k].version);
  }
  put(t, "\n");
}

void graph_print(const Graph *g, Text *text, Text *side) {
  Printer p = {.t = text, .side = side};
  put_provenance(text, g);
  put_consts(&p, g);
  put_graph(&p, g, 0);
  put(text, "\n");
}

void text_put_tensor(Text *t, Text *side, const Tensor *x) { put_tensor(&(Printer){.t = t, .side = side}, x); }
void text_put_attr(Text *t, Text *side, const Attr *a) { put_attr(&(Printer){.t = t, .side = side}, a); }
