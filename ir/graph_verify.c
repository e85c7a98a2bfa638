// graph_verify.c - the invariants of graph IR, checked between passes in every test. A violation is our bug, never the model's fault.
#include "graph.h"
#include "map.h"
#include <string.h>

typedef struct Visible { // values defined so far in a graph and around it
  Map defined;
  const struct Visible *outer;
} Visible;

typedef struct Verifier {
  bool typed;
  Map uses; // Value -> number of operands that read it, as a count in the pointer
} Verifier;

#define CHECK(ok, ...)                                                                                                                     \
  if (!(ok)) broken(n, fmt(__VA_ARGS__))

_Noreturn static void broken(const Node *n, const char *what) {
  bug("graph: node %s #%d %s: %s", n->op ? n->op->name : "?", n->index, n->name ? n->name : "", what);
}

static bool visible(const Visible *v, const Value *x) {
  if (x->data) return true;
  for (; v; v = v->outer)
    if (map_get(&v->defined, x)) return true;
  return false;
}

/* ---- operand types ---- */

bool type_in_class(char letter, const Type *y) {
  if (letter == 'x') return true;
  if (y->kind == TYPE_SPARSE) return true;
  if (y->kind != TYPE_TENSOR) return false;
  const DTypeInfo *d = &dtypes[y->dtype];
  switch (letter) {
  case 't': return true;
  case 'n': return d->is_float || d->is_int;
  case 'f': return d->is_float;
  case 'i': return d->is_int;
  case 'k': return y->dtype == DT_I32 || y->dtype == DT_I64;
  case 'q': return d->bits <= 16 || y->dtype == DT_I32;
  case 'b': return y->dtype == DT_BOOL;
  case 's': return y->dtype == DT_STR;
  case 'F': return y->dtype == DT_F32;
  case 'W': return y->dtype == DT_I32;
  case 'I': return y->dtype == DT_I64;
  default: return false;
  }
}

static void check_complete(const Node *n, const Type *y) {
  if (y->kind != TYPE_TENSOR) return; // elements of sequences may differ in shape
  CHECK(y->rank >= 0, "a result has no rank");
  for (int k = 0; k < y->rank; k++) CHECK(y->dim[k], "a result has an unknown dim");
}

typedef struct Unify {
  DType of[128][16]; // by letter and digit
} Unify;

static void check_operand_type(const Node *n, Unify *u, bool output, int k, const Value *v) {
  CHECK(v->type, "%s %d has no type", output ? "result" : "operand", k);
  if (output) check_complete(n, v->type);
  OpOperand o = op_operand(n->op, output, k);
  if (!o.letter) return;
  CHECK(type_in_class(o.letter, v->type), "%s %d has type %s, the op wants class %c", output ? "result" : "operand", k, type_str(v->type),
        o.letter);
  if (!strchr("tnfikq", o.letter) || v->type->kind != TYPE_TENSOR) return;
  DType *seen = &u->of[(int)o.letter][o.digit ? o.digit - '0' : 0];
  CHECK(!*seen || *seen == v->type->dtype, "%s %d is %s where others of class %c are %s", output ? "result" : "operand", k,
        dtypes[v->type->dtype].name, o.letter, dtypes[*seen].name);
  *seen = v->type->dtype;
}

static void check_types(const Node *n) {
  Unify u = {0};
  for (int k = 0; k < n->nin; k++)
    if (n->in[k]) check_operand_type(n, &u, false, k, n->in[k]);
  for (int k = 0; k < n->nout; k++)
    if (n->out[k]) check_operand_type(n, &u, true, k, n->out[k]);
}

/* ---- nodes ---- */

static void check_arity(const Node *n) {
  const Op *op = n->op;
  CHECK(n->nin >= op->nin_min && (op->nin < 0 || n->nin <= op->nin), "%d operands", n->nin);
  CHECK(op->nout < 0 || n->nout <= op->nout, "%d results", n->nout);
  for (int k = 0; k < op->nin_min; k++) CHECK(n->in[k] || op_operand(op, false, k).optional, "operand %d is required", k);
}

static int graph_rows(const Op *op) {
  int count = 0;
  for (int k = 0; k < op->nattr; k++) count += !strcmp(op->attr[k].kind, "GRAPH");
  return count;
}

static void check_attrs(const Node *n) {
  static const char *const kind[] = {"", "INT", "FLOAT", "STRING", "INTS", "FLOATS", "STRINGS", "TENSOR", "TYPE"};
  for (int k = 0; k < n->nattr; k++) {
    const AttrRow *row = op_attr(n->op, n->attr[k].name);
    if (row) CHECK(!strcmp(row->kind, kind[n->attr[k].kind]), "attribute %s is %s, not %s", row->name, kind[n->attr[k].kind], row->kind);
  }
}

static void check_graph(Verifier *x, const Graph *g, const Visible *outer);

static void check_regions(Verifier *x, const Node *n, const Visible *v) {
  CHECK(n->nregion == graph_rows(n->op), "%d regions", n->nregion);
  for (int k = 0; k < n->nregion; k++) {
    const Graph *r = n->region[k];
    CHECK(r->owner == n && r->parent == n->graph, "region %d belongs elsewhere", k);
    OpId id = n->op->id;
    if (id == OP_If) CHECK(!r->nin && r->nout == n->nout, "branch %d has %d inputs and %d results", k, r->nin, r->nout);
    if (id == OP_Loop) CHECK(r->nin == n->nin && r->nout == n->nout + 1, "body has %d inputs and %d results", r->nin, r->nout);
    if (id == OP_Scan) CHECK(r->nin == n->nin && r->nout == n->nout, "body has %d inputs and %d results", r->nin, r->nout);
    check_graph(x, r, v);
  }
}

static void check_node(Verifier *x, const Node *n, const Graph *g, const Visible *v) {
  CHECK(n->graph == g, "is listed in another graph than its own");
  CHECK(n->next ? n->next->prev == n : g->last == n, "is linked wrongly");
  for (int k = 0; k < n->nin; k++) {
    if (!n->in[k]) continue;
    CHECK(visible(v, n->in[k]), "operand %d (%s) is not defined before it", k, n->in[k]->name ? n->in[k]->name : "");
    map_put(&x->uses, n->in[k], (void *)((uintptr_t)map_get(&x->uses, n->in[k]) + 1));
  }
  for (int k = 0; k < n->nout; k++)
    if (n->out[k]) CHECK(n->out[k]->def == n && n->out[k]->out == k && n->out[k]->graph == g, "result %d does not point back", k);
  check_arity(n);
  check_attrs(n);
  check_regions(x, n, v);
  if (x->typed) check_types(n);
}

static void check_graph(Verifier *x, const Graph *g, const Visible *outer) {
  Visible v = {.outer = outer};
  for (int k = 0; k < g->nin; k++) map_put(&v.defined, g->in[k], g->in[k]);
  for (const Node *n = g->first; n; n = n->next) {
    check_node(x, n, g, &v);
    for (int k = 0; k < n->nout; k++)
      if (n->out[k]) map_put(&v.defined, n->out[k], n->out[k]);
  }
  for (int k = 0; k < g->nout; k++)
    if (!g->out[k] || !visible(&v, g->out[k])) bug("graph %s: output %d is not defined in it", g->name ? g->name : "", k);
}

static void check_users(const Verifier *x, const Graph *g) {
  for (const Node *n = g->first; n; n = n->next) {
    for (int k = 0; k < n->nin; k++)
      if (n->in[k]) {
        long uses = (long)(uintptr_t)map_get(&x->uses, n->in[k]);
        CHECK(uses == n->in[k]->nuser, "operand %d has %d users listed and %ld in the graph", k, n->in[k]->nuser, uses);
      }
    for (int k = 0; k < n->nregion; k++) check_users(x, n->region[k]);
  }
}

void graph_verify(const Graph *g, bool typed) {
  Verifier x = {.typed = typed};
  check_graph(&x, g, NULL);
  check_users(&x, g);
}
