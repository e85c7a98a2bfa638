// infer_control.c - shape rules of If, Loop, Scan and SequenceMap. A body is run until the types of what it carries stay: a dim that
// changes becomes a symbol of the body's input, a value that changes is forgotten. Facts of a body stay inside it. What leaves a region
// names only symbols from outside: a dim that depends on one from inside becomes a symbol of the region node's result.
#include "infer_rules.h"
#include "infer_types.h"

enum { ROUNDS_MAX = 8 };

/* ---- what leaves a region ---- */

static bool inside(const Graph *g, const Graph *region) {
  for (; g; g = g->parent)
    if (g == region) return true;
  return false;
}

typedef struct Local {
  const Graph *region;
  bool found;
} Local;
static void look(Atom *a, void *u) {
  Local *l = u;
  if (a->kind != ATOM_SYM || l->found) return;
  const Value *of = a->of;
  if (of && inside(of->graph, l->region)) l->found = true;
  if (a->def && is_local(a->def, l->region)) l->found = true;
}
bool is_local(IExpr *e, const Graph *region) {
  Local l = {region, false};
  ix_atoms(e, look, &l);
  return l.found;
}

// v's type as seen from outside: local dims become symbols of result i (or unknown, inside a sequence).
static const Type *escaped(Node *n, int i, const Type *t, const Graph *region, bool fresh) {
  if (t->kind != TYPE_TENSOR) return t->elem ? type_of(t->kind, t->dtype, escaped(n, i, t->elem, region, false)) : t;
  IExpr *d[MAX_RANK];
  for (int k = 0; k < t->rank; k++) {
    d[k] = t->dim[k];
    if (d[k] && is_local(d[k], region)) d[k] = fresh ? fresh_dim(n, i, k, ix_lower(d[k]), ix_upper(d[k])) : NULL;
  }
  return t->rank < 0 ? t : type_tensor(t->dtype, t->rank, d);
}

static bool elems_escape(const Value *v, const Graph *region) {
  Elems x;
  if (!elems_of(v, &x) || !x.e) return false;
  for (int i = 0; i < (x.splat ? 1 : x.n); i++)
    if (is_local(x.e[i], region)) return false;
  return true;
}

/* ---- merging ---- */

// One type for two versions of a value. Dims that differ are asked of `dim`; NULL there makes them unknown (sequence elements).
typedef struct Merge {
  IExpr *(*dim)(void *u, int axis, IExpr *a, IExpr *b);
  void *u;
  bool rank_differs;
} Merge;

static bool single(const Type *t) { // exactly one element, whatever the rank
  for (int i = 0; i < t->rank; i++)
    if (!t->dim[i] || !ix_is(t->dim[i], 1)) return false;
  return t->kind == TYPE_TENSOR && t->rank >= 0;
}

static const Type *merged(Merge *m, const Type *a, const Type *b) {
  Merge inner = {NULL, NULL, false};
  if (a == b) return a;
  if (a->kind == TYPE_OPTIONAL && b->kind != TYPE_OPTIONAL && a->elem) return type_of(TYPE_OPTIONAL, DT_NONE, merged(&inner, a->elem, b));
  if (a->kind != b->kind || (a->kind == TYPE_TENSOR && a->rank != b->rank)) {
    if (single(a) && single(b)) return a->rank > b->rank ? a : b; // one number; exporters mix [] and [1]
    m->rank_differs = true;
    return type_unranked(a->dtype);
  }
  if (a->kind != TYPE_TENSOR) return a->elem && b->elem ? type_of(a->kind, a->dtype, merged(&inner, a->elem, b->elem)) : a->elem ? a : b;
  IExpr *d[MAX_RANK];
  for (int i = 0; i < a->rank; i++) d[i] = a->dim[i] == b->dim[i] ? a->dim[i] : m->dim ? m->dim(m->u, i, a->dim[i], b->dim[i]) : NULL;
  return a->rank < 0 ? a : type_tensor(a->dtype, a->rank, d);
}

// An empty sequence says nothing of its elements.
static bool known_empty(const Value *v) { return v && v->type && v->type->kind == TYPE_SEQUENCE && side_of(v)->item && !side_of(v)->nitem; }

const Type *merge_elements(const Type *a, const Type *b) { return merged(&(Merge){NULL, NULL, false}, a, b); }

static bool same_elems(const Value *a, const Value *b) {
  Elems x, y;
  if (!elems_of(a, &x) || !elems_of(b, &y) || !x.e || !y.e || x.n != y.n || x.splat != y.splat) return false;
  for (int i = 0; i < (x.splat ? 1 : x.n); i++)
    if (x.e[i] != y.e[i]) return false;
  return true;
}

/* ---- If ---- */

typedef struct Result {
  Node *n;
  int i;
} Result;
static IExpr *if_dim(void *u, int axis, IExpr *a, IExpr *b) {
  Result *r = u;
  int64_t lo = ix_lower(a) < ix_lower(b) ? ix_lower(a) : ix_lower(b), hi = ix_upper(a) > ix_upper(b) ? ix_upper(a) : ix_upper(b);
  return fresh_dim(r->n, r->i, axis, lo, hi);
}

static void take_value(Node *n, int i, const Value *from) {
  Elems x;
  out_type(n, i, from->type);
  if (!node_out(n, i)) return;
  if (elems_of(from, &x)) out_elems(n, i, x);
  Side *to = side_of(node_out(n, i)), *s = side_of(from);
  to->length = s->length, to->item = s->item, to->nitem = s->nitem;
}

static void if_result(Node *n, int i, const Value *a, const Value *b) {
  Result r = {n, i};
  Merge m = {if_dim, &r, false};
  const Graph *then = n->region[0], *other = n->region[1];
  const Type *x_type = escaped(n, i, a->type, then, true), *y_type = escaped(n, i, b->type, other, true);
  const Type *t = known_empty(a) && b->type->kind == TYPE_SEQUENCE   ? y_type
                  : known_empty(b) && a->type->kind == TYPE_SEQUENCE ? x_type
                                                                     : merged(&m, x_type, y_type);
  out_type(n, i, t);
  if (m.rank_differs && node_out(n, i)) unknown_rank(n, "the branches give results of different ranks or kinds");
  if (m.rank_differs || !node_out(n, i)) return;
  Elems x;
  if (same_elems(a, b) && elems_escape(a, then) && elems_of(a, &x)) out_elems(n, i, x);
  IExpr *len = side_of(a)->length;
  if (len && len == side_of(b)->length && !is_local(len, then)) side_of(node_out(n, i))->length = len;
}

void shape_if(Node *n) {
  IExpr *c = scalar_of(n->in[0]);
  int64_t k;
  if (c && ix_const(c, &k)) { // only the taken branch counts; simplify puts it in place
    Graph *taken = n->region[k ? 0 : 1];
    Mark *m = mark_facts();
    infer_graph(n->region[k ? 1 : 0]);
    discard_region(m);
    infer_graph(taken);
    for (int i = 0; i < n->nout && i < taken->nout; i++) take_value(n, i, taken->out[i]);
    return;
  }
  for (int b = 0; b < 2; b++) {
    Mark *m = mark_facts();
    infer_graph(n->region[b]);
    leave_region(m);
  }
  for (int i = 0; i < n->nout; i++)
    if (i >= n->region[0]->nout || i >= n->region[1]->nout) wrong(n, "a branch gives fewer than %d results", n->nout);
    else if_result(n, i, n->region[0]->out[i], n->region[1]->out[i]);
}

/* ---- bodies that carry values ---- */

static IExpr *carried_dim(void *u, int axis, IExpr *a, IExpr *b) {
  (void)a, (void)b;
  return fresh_of(u, axis, 0, IX_DIM_MAX);
}

// A value made known to the body.
static void give(Value *to, const Type *t, const Value *from, bool with_elems) {
  Elems x;
  forget_elems(to);
  to->type = t;
  side_of(to)->constant = false;
  if (with_elems && from && elems_of(from, &x)) {
    if (x.e) to->elem = x.e, to->nelem = x.n, to->splat = x.splat;
    else side_of(to)->f = x.f, side_of(to)->nf = x.n, side_of(to)->fsplat = x.splat;
  }
}

static void load_if_small(Value *v) {
  int64_t count = v->type->kind == TYPE_TENSOR && v->type->rank >= 0 && v->type->rank <= 1 ? const_count(dims_of(v)) : -1;
  if (!v->elem && count >= 1 && count <= 4) load_elems(v);
}

typedef struct Carried { // body input k holds operand in[k] first, then the body's output out[k]
  int n;
  Value **in, **body, **out;
  const Type **type;
  bool *known; // elements are the same in every iteration
  bool *empty; // nothing is known of the sequence's elements yet
} Carried;

static Carried carried(Node *n, int first_operand, Graph *g, int first_in, int first_out, int count) {
  Carried c = {count,
               n->in + first_operand,
               g->in + first_in,
               g->out + first_out,
               NEWN(const Type *, count + 1),
               NEWN(bool, count + 1),
               NEWN(bool, count + 1)};
  for (int i = 0; i < count; i++) {
    c.type[i] = c.in[i] ? c.in[i]->type : NULL;
    c.known[i] = true, c.empty[i] = known_empty(c.in[i]);
    if (!c.in[i]) wrong(n, "a carried value is left out"), c.type[i] = type_tensor(DT_F32, 0, NULL);
  }
  return c;
}

static void give_carried(const Carried *c) {
  for (int i = 0; i < c->n; i++) {
    give(c->body[i], c->type[i], c->in[i], c->known[i]);
    if (c->type[i]->kind == TYPE_TENSOR) load_if_small(c->body[i]);
    else if (c->type[i]->kind == TYPE_SEQUENCE) {
      Side *s = side_of(c->body[i]);
      s->length = length_symbol(c->body[i]);
      if (c->empty[i]) s->item = NEWN(const Type *, 1); // the first iteration's, to learn what is inserted
    }
  }
}

// After a round: wider types where the body's outputs differ from its inputs. false: nothing changed.
static bool widen(Node *n, Carried *c) {
  bool changed = false;
  for (int i = 0; i < c->n; i++) {
    Merge m = {carried_dim, c->body[i], false};
    const Type *t = c->empty[i] && c->out[i]->type->kind == TYPE_SEQUENCE ? c->out[i]->type : merged(&m, c->type[i], c->out[i]->type);
    if (!known_empty(c->out[i])) c->empty[i] = false;
    if (m.rank_differs) {
      unknown_rank(n, "a carried value changes its rank or kind");
      t = c->type[i];
    }
    Elems x;
    bool known = c->known[i] && c->in[i] && (!elems_of(c->in[i], &x) || same_elems(c->in[i], c->out[i]));
    if (x.f) known = false;
    changed |= t != c->type[i] || known != c->known[i];
    c->type[i] = t, c->known[i] = known;
  }
  return changed;
}

// Scan's state keeps its shape, where Loop's may change: that is a fact of the body.
static void keep_shapes(Node *n, Graph *g, const Carried *c) {
  for (int i = 0; i < c->n; i++) {
    Dims a = dims_of(c->body[i]), b = dims_of(c->out[i]);
    for (int k = 0; k < a.rank && a.rank == b.rank; k++) require_eq_in(n, g, a.d[k], b.d[k]);
  }
}

// What the body found out about its own sizes may decide its first nodes: it is run until its facts stay.
static void run_scan_body(Node *n, Graph *g, const Carried *c) {
  for (int i = 0; i < ROUNDS_MAX; i++) {
    int before = ix_facts();
    keep_shapes(n, g, c);
    if (ix_facts() == before) break;
    infer_graph(g);
  }
  for (int i = 0; i < c->n; i++) // equal by the checks, if not by proof
    if (value_rank(c->out[i]) >= 0 && value_rank(c->out[i]) == value_rank(c->body[i]) && c->out[i]->def) c->out[i]->type = c->type[i];
}

static void run_body(Node *n, Graph *g, Carried *c, void (*inputs)(Node *, Graph *)) {
  for (int round = 0;; round++) {
    Mark *m = mark_facts();
    inputs(n, g);
    give_carried(c);
    infer_graph(g);
    if (n->op->id == OP_Scan) run_scan_body(n, g, c);
    if (!widen(n, c) || round == ROUNDS_MAX) {
      leave_region(m);
      return;
    }
    discard_region(m);
  }
}

// What is carried, after the last iteration.
static void carried_results(Node *n, Graph *g, const Carried *c, IExpr *trips) {
  for (int i = 0; i < c->n && i < n->nout; i++) {
    bool filled = c->type[i]->kind == TYPE_OPTIONAL && c->out[i]->type->kind != TYPE_OPTIONAL && c->type[i]->elem;
    out_type(n, i, escaped(n, i, filled ? c->type[i]->elem : c->type[i], g, true));
    if (!node_out(n, i)) continue;
    Elems x;
    if (c->known[i] && c->in[i] && elems_of(c->in[i], &x) && x.e) out_elems(n, i, x);
    IExpr *from = c->in[i] ? side_of(c->in[i])->length : NULL, *before = side_of(c->body[i])->length, *after = side_of(c->out[i])->length;
    if (!from || !before || !after || !trips) continue;
    IExpr *growth = ix_sub(after, before);
    if (!is_local(growth, g) && !has_length(growth)) side_of(node_out(n, i))->length = ix_add(from, ix_mul(growth, trips));
  }
}

/* ---- Loop ---- */

static Value *through(Value *v) { // Identities
  while (v->def && v->def->op->id == OP_Identity && v->def->in[0]) v = v->def->in[0];
  return v;
}

static bool is_true(const Value *v) {
  IExpr *e = scalar_of(v);
  return e && ix_is(e, 1);
}

static void loop_inputs(Node *n, Graph *g) {
  IExpr *most = node_in(n, 0) ? scalar_of(n->in[0]) : NULL;
  int64_t last = most && ix_upper(most) < IX_DIM_MAX ? ix_upper(most) - 1 : IX_DIM_MAX;
  give(g->in[0], type_tensor(DT_I64, 0, NULL), NULL, false);
  load_elems(g->in[0]);
  Atom *a = g->in[0]->elem ? ix_is_atom(g->in[0]->elem[0]) : NULL;
  if (a && a->kind == ATOM_SYM) ix_narrow(a, 0, last < 0 ? 0 : last);
  give(g->in[1], type_tensor(DT_BOOL, 0, NULL), NULL, false);
}

// The number of iterations, if it is known before the loop runs.
static IExpr *trip_count(Node *n, Graph *g) {
  Value *cond = node_in(n, 1), *next = through(g->out[0]);
  IExpr *most = node_in(n, 0) ? scalar_of(n->in[0]) : NULL;
  bool starts = !cond || is_true(cond);
  if (cond && scalar_of(cond) && ix_is(scalar_of(cond), 0)) return ix(0);
  if (starts && most && (is_true(next) || next == g->in[1])) return ix_relu(most);
  return NULL;
}

void shape_loop(Node *n) {
  Graph *g = n->region[0];
  int k = n->nin > 2 ? n->nin - 2 : 0;
  if (g->nin != k + 2 || g->nout < k + 1) {
    wrong(n, "the body has %d inputs and %d outputs for %d carried values", g->nin, g->nout, k);
    return;
  }
  Carried c = carried(n, 2, g, 2, 1, k);
  run_body(n, g, &c, loop_inputs);
  IExpr *trips = trip_count(n, g), *most = node_in(n, 0) ? scalar_of(n->in[0]) : NULL;
  carried_results(n, g, &c, trips);
  for (int i = k; i < n->nout && i + 1 < g->nout; i++) {
    if (!node_out(n, i)) continue;
    if (!trips) trips = fresh_dim(n, i, 0, 0, most ? ix_upper(ix_relu(most)) : IX_DIM_MAX);
    const Type *t = g->out[i + 1]->type;
    if (t->kind != TYPE_TENSOR || t->rank < 0) {
      unknown_rank(n, "the value of one iteration has no known rank");
      continue;
    }
    Dims s = {.rank = t->rank};
    for (int d = 0; d < t->rank; d++) s.d[d] = is_local(t->dim[d], g) ? fresh_dim(n, i, d + 1, 0, ix_upper(t->dim[d])) : t->dim[d];
    insert_dim(&s, 0, trips);
    out_dims(n, i, t->dtype, s);
  }
}

/* ---- Scan ---- */

static int scan_axis(Node *n, const char *attr, int k, int rank) {
  const int64_t *v;
  int count = attr_ints(n, attr, &v);
  return axis_in(n, k < count ? v[k] : 0, rank);
}

static void scan_inputs(Node *n, Graph *g) {
  int scans = (int)attr_int(n, "num_scan_inputs"), first = n->nin - scans;
  for (int i = 0; i < scans; i++) {
    Value *x = n->in[first + i];
    Dims s = dims_of(x);
    if (s.rank > 0) remove_dim(&s, scan_axis(n, "scan_input_axes", i, s.rank));
    give(g->in[first + i], type_tensor(x->type->dtype, s.rank < 0 ? 0 : s.rank, s.d), NULL, false);
    load_if_small(g->in[first + i]);
  }
}

void shape_scan(Node *n) {
  Graph *g = n->region[0];
  int scans = (int)attr_int(n, "num_scan_inputs"), first = n->nin - scans;
  if (scans < 1 || first < 0 || g->nin != n->nin || g->nout < first || rank_in(n, first) < 1) {
    wrong(n, "the body does not fit %d operands of which %d are scanned", n->nin, scans);
    return;
  }
  IExpr *len = dim_in(n, first, scan_axis(n, "scan_input_axes", 0, rank_in(n, first)));
  for (int i = 1; i < scans; i++)
    if (rank_in(n, first + i) > 0) require_eq(n, len, dim_in(n, first + i, scan_axis(n, "scan_input_axes", i, rank_in(n, first + i))));
  Carried c = carried(n, 0, g, 0, 0, first);
  run_body(n, g, &c, scan_inputs);
  carried_results(n, g, &c, NULL);
  for (int i = first; i < n->nout && i < g->nout; i++) {
    Dims s = dims_of(g->out[i]);
    if (s.rank < 0 || !node_out(n, i)) continue;
    int a = scan_axis(n, "scan_output_axes", i - first, s.rank + 1);
    for (int d = 0; d < s.rank; d++)
      if (is_local(s.d[d], g)) s.d[d] = fresh_dim(n, i, d < a ? d : d + 1, 0, ix_upper(s.d[d]));
    insert_dim(&s, a, ix_resolve(len));
    out_dims(n, i, g->out[i]->type->dtype, s);
  }
}

/* ---- SequenceMap ---- */

void shape_sequence_map(Node *n) {
  Graph *g = n->region[0];
  Mark *m = mark_facts();
  for (int i = 0; i < n->nin && i < g->nin; i++) {
    const Type *t = n->in[i]->type;
    if (t->kind == TYPE_SEQUENCE) give(g->in[i], element_for(g->in[i], t->elem), NULL, false);
    else give(g->in[i], t, n->in[i], true);
  }
  infer_graph(g);
  leave_region(m);
  for (int i = 0; i < n->nout && i < g->nout; i++) {
    out_type(n, i, type_of(TYPE_SEQUENCE, DT_NONE, escaped(n, i, g->out[i]->type, g, false)));
    if (node_out(n, i)) side_of(node_out(n, i))->length = side_of(n->in[0])->length;
  }
}
