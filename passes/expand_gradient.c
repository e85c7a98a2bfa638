// expand_gradient.c - Gradient: the derivatives of one value with respect to others, as graph ops (reverse mode).
//
// Before: types, and the names of the model: the op means other values of the same graph by their names, so it goes right behind the
// first infer. After: no Gradient node is left.
//
// The composite nodes between the named inputs and y are expanded, and what is then there is walked backwards. Each node turns the adjoint
// of its result into adjoints of its operands by the rule of its family (expand_adjoint.c); what several users say about a value is added
// up. A y of more than one element counts as the sum of its elements.
#include "passes/expand_gradient.h"
#include "passes/rewrite.h"
#include <string.h>

/* ---- shapes ---- */
// Sums the adjoint of a broadcast operand back into the operand's shape
static Value *unbroadcast(const B *b, Value *g, Value *x) {
  int64_t axes[MAX_RANK];
  int n = 0, more = rank_of(g) - rank_of(x);
  for (int d = 0; d < rank_of(g); d++) {
    IExpr *have = g->type->dim[d], *want = d < more ? ix(1) : x->type->dim[d - more];
    if (d < more || (have != want && ix_is(want, 1))) axes[n++] = d;
    else if (have != want) cannot(b, "a gradient whose broadcasting only the run knows");
  }
  if (n) g = reduce(b, OP_ReduceSum, g, n, axes, true);
  return more ? reshape(b, g, shape_of(b, x)) : g;
}

/* ---- the walk ---- */
typedef struct Known { // of a value of the model between the inputs and y
  Value *of, *now;     // now: with the node's operands in the place of the named inputs
  bool varies;         // depends on one of xs
  Value *adjoint;
} Known;
typedef struct Walk {
  const B *b;
  Known *known;
  int n, c;
} Walk;

static Known *known(Walk *w, const Value *v) {
  for (int i = 0; i < w->n; i++)
    if (w->known[i].of == v) return &w->known[i];
  return NULL;
}
static Value *now(Walk *w, Value *v) { return v && known(w, v) ? known(w, v)->now : v; }
static bool varies(Walk *w, const Value *v) { return v && known(w, v) && known(w, v)->varies; }

static bool is_named(const Value *v, Str name) { return v && v->name && strlen(v->name) == name.n && !memcmp(v->name, name.p, name.n); }

static Value *value_named(const B *b, Str name) { // in the node's own graph
  for (int i = 0; i < b->g->nin; i++)
    if (is_named(b->g->in[i], name)) return b->g->in[i];
  for (Node *n = b->g->first; n; n = n->next)
    for (int i = 0; i < n->nout + n->nin; i++) { // constants show as operands only
      Value *v = i < n->nout ? n->out[i] : n->in[i - n->nout];
      if (is_named(v, name) && v->graph == b->g) return v;
    }
  cannot(b, "no value of this graph is named '%.*s'", (int)name.n, name.p);
}

// The node again, with the operands as they are now; the node itself where nothing changed
static void follow(Walk *w, Node *n) {
  bool changed = false, active = false;
  Value **in = NEWN(Value *, n->nin + 1);
  for (int i = 0; i < n->nin; i++) in[i] = now(w, n->in[i]), changed |= in[i] != n->in[i], active |= varies(w, n->in[i]);
  if (!changed && !active) return;
  if (n->nregion) cannot(w->b, "the gradient goes through %s", n->op->name);
  Node *again = n;
  if (changed) {
    again = start(w->b, n->op->id, n->nin, in, n->nout);
    for (int i = 0; i < n->nattr; i++) node_set(again, n->attr[i]);
    finish(again);
  }
  for (int i = 0; i < n->nout; i++)
    if (n->out[i] && !known(w, n->out[i])) {
      bool real = active && n->out[i]->type->kind == TYPE_TENSOR && dtypes[dtype(n->out[i])].is_float;
      PUSH(w->known, w->n, w->c, ((Known){n->out[i], again->out[i], real, NULL}));
    }
}

static void backwards(Walk *w, Node *n) {
  Step s = {.b = w->b, .n = n, .r = NEWN(Value *, n->nout + 1), .g = NEWN(Value *, n->nout + 1)};
  bool any = false;
  for (int o = 0; o < n->nout; o++) {
    Known *r = n->out[o] ? known(w, n->out[o]) : NULL;
    if (!r || !r->varies) continue;
    s.r[o] = r->now, s.g[o] = r->adjoint, any |= r->adjoint != NULL;
    if (o && r->adjoint && n->op->id != OP_Split) cannot(w->b, "result %d of %s has no derivative here", o, n->op->name);
  }
  if (!any) return;
  if (n->nin > OPERANDS_MAX) cannot(w->b, "the gradient of %s with %d operands", n->op->name, n->nin);
  for (int i = 0; i < n->nin; i++) s.x[i] = now(w, n->in[i]), s.active[i] = varies(w, n->in[i]);
  differentiate(&s);
  for (int i = 0; i < n->nin; i++) {
    if (!s.dx[i] || !varies(w, n->in[i])) continue;
    Known *x = known(w, n->in[i]);
    x->adjoint = add_opt(w->b, x->adjoint, unbroadcast(w->b, s.dx[i], x->now));
  }
}

/* ---- composite nodes ---- */
static bool reads_active(Walk *w, const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (varies(w, n->in[i])) return true;
  return false;
}
// Expands what depends on the first nx of the named values; they and the last, y, may be results of what is expanded: identities hold on
// to them.
static void open_composites(const B *b, int nx, int n, Value **named) {
  Walk w = {.b = b};
  Node **hold = NEWN(Node *, n);
  for (int i = 0; i < n; i++) hold[i] = op1(b, OP_Identity, named[i])->def;
  for (Node *at = b->g->first; at != hold[0];) {
    for (int i = 0; i < nx; i++)
      if (!known(&w, hold[i]->in[0])) PUSH(w.known, w.n, w.c, ((Known){hold[i]->in[0], NULL, true, NULL}));
    bool active = reads_active(&w, at);
    if (active && is_composite(at) && !has_rule(at)) {
      at = expand_node(at);
      continue;
    }
    for (int i = 0; active && i < at->nout; i++)
      if (at->out[i] && !known(&w, at->out[i])) PUSH(w.known, w.n, w.c, ((Known){at->out[i], NULL, true, NULL}));
    at = at->next;
  }
  for (int i = 0; i < n; i++) named[i] = hold[i]->in[0], node_remove(hold[i]);
}

void expand_gradient(const B *b) {
  const Attr *xs = attr_find(b->at, "xs"), *zs = attr_find(b->at, "zs");
  int nx = xs->n, nz = zs && zs->kind == ATTR_STRINGS ? zs->n : 0;
  if (b->at->nin != nx + nz) cannot(b, "%d operands for %d names", b->at->nin, nx + nz);
  Value **named = NEWN(Value *, nx + nz + 1), *y = named[nx + nz] = value_named(b, attr_str(b->at, "y"));
  for (int i = 0; i < nx + nz; i++) named[i] = value_named(b, i < nx ? xs->strings[i] : zs->strings[i - nx]);
  if (y->type->kind != TYPE_TENSOR || !dtypes[dtype(y)].is_float) cannot(b, "y is no tensor of floats");
  for (Node *n = b->at; n; n = n->next)
    if (y->def == n) cannot(b, "y is computed behind it");
  open_composites(b, nx, nx + nz + 1, named);
  y = named[nx + nz];
  Walk w = {.b = b};
  for (int i = 0; i < nx + nz; i++) PUSH(w.known, w.n, w.c, ((Known){named[i], in(b, i), i < nx, NULL}));
  Node *last = b->at->prev;
  for (Node *n = b->g->first; n && n != b->at; n = n->next) {
    follow(&w, n);
    if (n == last) break; // what was added stands behind it
  }
  if (known(&w, y)) known(&w, y)->adjoint = filled(b, dtype(y), 1, shape_of(b, now(&w, y)));
  for (Node *n = last; n; n = n->prev) backwards(&w, n);
  for (int i = 0; i < nx; i++) {
    Value *g = w.known[i].adjoint, *x = in(b, i);
    give(b, i, g ? g : zeros(b, dtype(x), shape_of(b, x)));
  }
}

static void visit(Node *n, void *u) {
  (void)u;
  if (n->op->id != OP_Gradient) return;
  expand_gradient(&(B){n->graph, n, n});
  node_remove(n);
}
void pass_gradient(Graph *g) { each_node(g, visit, NULL); }
