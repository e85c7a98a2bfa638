// dce.c - removes nodes, and rows of Scan and Loop, that no output of the graph needs.
//
// Before: any verified graph. After: every node has a result that somebody reads, or one whose elements or dims size what is read.
// Ops have no side effects, so results are all that counts.
#include "passes/infer.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

static void mark(Value *v) {
  if (v) v->pass = v;
}
static bool marked(const Value *v) { return v && v->pass == v; }

/* ---- symbols: a size that is read from a value keeps that value alive ---- */
static Atom **symbol; // those in the types of values that are needed
static int nsymbol, csymbol;
static bool *seen; // expressions looked at, by id
static int nseen;
static void forget(void) { symbol = NULL, nsymbol = csymbol = 0, seen = NULL, nseen = 0; }

static void see_expr(IExpr *);
static void see_atom(Atom *a, void *u) {
  (void)u;
  if (a->kind != ATOM_SYM) return;
  for (int i = 0; i < nsymbol; i++)
    if (symbol[i] == a) return;
  PUSH(symbol, nsymbol, csymbol, a);
  if (a->def) see_expr(a->def);
}

static void see_expr(IExpr *e) {
  if (!e || ix_const(e, NULL)) return;
  if (e->id >= nseen) {
    bool *more = NEWN(bool, 2 * e->id + 64);
    for (int i = 0; i < nseen; i++) more[i] = seen[i];
    seen = more, nseen = 2 * e->id + 64;
  }
  if (seen[e->id]) return;
  seen[e->id] = true;
  ix_atoms(e, see_atom, NULL);
}

static void see_type(const Type *t) {
  for (; t; t = t->elem)
    for (int i = 0; t->kind == TYPE_TENSOR && i < t->rank; i++) see_expr(t->dim[i]);
}

static void see_value(const Value *v) {
  if (!v) return;
  see_type(v->type);
  for (int i = 0; v->elem && i < (v->splat ? v->nelem > 0 : v->nelem); i++) see_expr(v->elem[i]);
}

static bool is_symbol_needed(const Atom *a) {
  for (int i = 0; i < nsymbol; i++)
    if (symbol[i] == a) return true;
  return false;
}

static bool gives_size(const Value *v) {
  for (int i = 0; i < inferred.nloaded; i++)
    if (inferred.loaded[i].value == v && is_symbol_needed(inferred.loaded[i].sym)) return true;
  for (int i = 0; i < inferred.nfresh; i++)
    if (inferred.fresh[i].value == v && is_symbol_needed(inferred.fresh[i].sym)) return true;
  return false;
}

static void clear(Graph *g) {
  for (int i = 0; i < g->nin; i++) g->in[i]->pass = NULL;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i]->pass = NULL; // constants too
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) n->out[i]->pass = NULL;
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) clear(n->region[i]);
  }
  for (int i = 0; i < g->nout; i++) g->out[i]->pass = NULL;
}

static bool needed(const Node *n) {
  for (int i = 0; i < n->nout; i++)
    if (n->out[i] && (marked(n->out[i]) || gives_size(n->out[i]))) return true;
  return false;
}

// Which result of a Scan or Loop is the first row output, and which output of the body makes it
static bool row_outputs(const Node *n, int *first, int *body_first) {
  if (n->op->id == OP_Scan) {
    *first = *body_first = n->nin - (int)attr_int(n, "num_scan_inputs");
    return true;
  }
  *first = n->nin - 2;
  *body_first = *first + 1; // the condition comes first
  return n->op->id == OP_Loop;
}

static void drop_result(Node *n, int i) {
  for (--n->nout; i < n->nout; i++)
    if ((n->out[i] = n->out[i + 1])) n->out[i]->out = i;
}

static void drop_output(Graph *g, int i) {
  for (--g->nout; i < g->nout; i++) {
    g->out[i] = g->out[i + 1];
    g->out_name[i] = g->out_name[i + 1];
  }
}

static void keep_directions(Node *n, const char *name, int row) { // of Scan, one entry per row output
  const int64_t *old;
  int64_t left[64];
  int have = attr_ints(n, name, &old), m = 0;
  if (!have) return;
  for (int i = 0; i < have && m < 64; i++)
    if (i != row) left[m++] = old[i];
  node_set_ints(n, name, m, left);
}

static void drop_branch_results(Node *n) { // of an If: results nobody reads are not made
  for (int i = n->nout - 1; i >= 0 && n->nout > 1; i--) {
    if (n->out[i] && (marked(n->out[i]) || gives_size(n->out[i]))) continue;
    drop_result(n, i);
    for (int r = 0; r < n->nregion; r++) drop_output(n->region[r], i);
  }
}

// Rows that nobody reads are not stored.
static void drop_rows(Node *n) {
  int first, body_first;
  if (!row_outputs(n, &first, &body_first) || n->nregion != 1) return;
  for (int i = n->nout - 1; i >= first && n->nout > 1; i--) {
    if (n->nout - first > 64 || (n->out[i] && marked(n->out[i]))) continue;
    Graph *body = n->region[0];
    drop_result(n, i);
    drop_output(body, body_first + i - first);
    if (n->op->id == OP_Scan) {
      keep_directions(n, "scan_output_directions", i - first);
      keep_directions(n, "scan_output_axes", i - first);
    }
  }
}

static int sweep(Graph *g) {
  int removed = 0;
  for (int i = 0; i < g->nout; i++) {
    mark(g->out[i]);
    see_value(g->out[i]);
  }
  for (Node *n = g->last, *before; n; n = before) {
    before = n->prev;
    if (!needed(n)) {
      node_remove(n);
      removed++;
      continue;
    }
    if (n->op->id == OP_If) drop_branch_results(n);
    drop_rows(n);
    for (int i = 0; i < n->nin; i++) mark(n->in[i]);
    for (int i = 0; i < n->nout; i++) see_value(n->out[i]);
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) removed += sweep(n->region[i]);
  }
  return removed;
}

void pass_dce(Graph *g) {
  at_reset(forget);
  forget();
  clear(g);
  sweep(g);
  clear(g);
  forget();
}
