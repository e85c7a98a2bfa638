// expand_gradient.c - Gradient: the derivatives of one value with respect to others, as graph ops (reverse mode).
//
// Before: types, and the names of the model: the op means other values of the same graph by their names, so it goes right behind the
// first infer. After: no Gradient node is left.
//
// The nodes between the named inputs and y are walked backwards. Each one turns the adjoint of its result into adjoints of its operands by
// the rule of its op; what several users say about a value is added up. A y of more than one element counts as the sum of its elements.
#include "passes/expand.h"
#include "passes/rewrite.h"
#include <math.h>
#include <string.h>

enum { OPERANDS_MAX = 16 };

typedef struct Step { // one node to differentiate
  const B *b;
  const Node *n;
  Value *x[OPERANDS_MAX];  // operands
  Value *r, *g;            // result and its adjoint
  Value *dx[OPERANDS_MAX]; // to fill in, in the operands' shapes up to broadcasting; NULL: nothing flows there
} Step;

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

/* ---- elementwise ---- */
static Value *scaled(const B *b, Value *x, double k) { return mul(b, x, num_like(b, x, k)); }
static Value *less_one(const B *b, Value *x) { return sub(b, num_like(b, x, 1), x); }                     // 1 - x
static Value *equal(const B *b, Value *x, Value *y) { return cast(b, op2(b, OP_Equal, x, y), dtype(x)); } // 1 or 0
static Value *where_positive(const B *b, Value *x, Value *g) {
  return where(b, op2(b, OP_Greater, x, num_like(b, x, 0)), g, num_like(b, g, 0));
}

static bool unary_rule(Step *s) {
  const B *b = s->b;
  Value *x = s->x[0], *r = s->r, *g = s->g, **d = s->dx;
  switch (s->n->op->id) {
  case OP_Identity: *d = g; break;
  case OP_Neg: *d = op1(b, OP_Neg, g); break;
  case OP_Abs: *d = mul(b, g, op1(b, OP_Sign, x)); break;
  case OP_Sqrt: *d = quo(b, scaled(b, g, 0.5), r); break;
  case OP_Exp: *d = mul(b, g, r); break;
  case OP_Log: *d = quo(b, g, x); break;
  case OP_Reciprocal: *d = op1(b, OP_Neg, mul(b, g, mul(b, r, r))); break;
  case OP_Sin: *d = mul(b, g, op1(b, OP_Cos, x)); break;
  case OP_Cos: *d = op1(b, OP_Neg, mul(b, g, op1(b, OP_Sin, x))); break;
  case OP_Tan: *d = add(b, g, mul(b, g, mul(b, r, r))); break;
  case OP_Tanh: *d = mul(b, g, less_one(b, mul(b, r, r))); break;
  case OP_Sigmoid: *d = mul(b, g, mul(b, r, less_one(b, r))); break;
  case OP_Relu: *d = where_positive(b, x, g); break;
  case OP_LeakyRelu: *d = where(b, op2(b, OP_Less, x, num_like(b, x, 0)), scaled(b, g, attr_float(s->n, "alpha")), g); break;
  case OP_Softplus: *d = mul(b, g, sigmoid(b, x)); break;
  case OP_Erf: *d = mul(b, g, scaled(b, op1(b, OP_Exp, op1(b, OP_Neg, mul(b, x, x))), 2 / sqrt(M_PI))); break;
  case OP_Cast: *d = dtypes[dtype(x)].is_float ? cast(b, g, dtype(x)) : NULL; break;
  default: return false;
  }
  return true;
}

static void power_rule(Step *s) { // the exponent's part where the base is positive
  const B *b = s->b;
  Value *x = s->x[0], *p = s->x[1], *e = cast(b, p, dtype(x));
  s->dx[0] = mul(b, s->g, mul(b, e, op2(b, OP_Pow, x, sub(b, e, num_like(b, e, 1)))));
  if (!dtypes[dtype(p)].is_float) return;
  Value *inside = op2(b, OP_Greater, x, num_like(b, x, 0)), *l = op1(b, OP_Log, where(b, inside, x, num_like(b, x, 1)));
  s->dx[1] = cast(b, mul(b, s->g, mul(b, s->r, l)), dtype(p));
}

static void extreme_rule(Step *s) { // those that tie share equally
  const B *b = s->b;
  Value *ties = NULL;
  for (int i = 0; i < s->n->nin; i++) ties = add_opt(b, ties, s->dx[i] = equal(b, s->x[i], s->r));
  for (int i = 0; i < s->n->nin; i++) s->dx[i] = quo(b, mul(b, s->g, s->dx[i]), ties);
}

static bool elementwise_rule(Step *s) {
  const B *b = s->b;
  Value **x = s->x, *g = s->g, **d = s->dx, *zero = num_like(b, g, 0);
  switch (s->n->op->id) {
  case OP_Add: d[0] = d[1] = g; break;
  case OP_Sub: d[0] = g, d[1] = op1(b, OP_Neg, g); break;
  case OP_Mul: d[0] = mul(b, g, x[1]), d[1] = mul(b, g, x[0]); break;
  case OP_Div: d[0] = quo(b, g, x[1]), d[1] = op1(b, OP_Neg, quo(b, mul(b, g, s->r), x[1])); break;
  case OP_Pow: power_rule(s); break;
  case OP_Where: d[1] = where(b, x[0], g, zero), d[2] = where(b, x[0], zero, g); break;
  case OP_Sum:
  case OP_Mean:
    for (int i = 0; i < s->n->nin; i++) d[i] = s->n->op->id == OP_Sum ? g : scaled(b, g, 1.0 / s->n->nin);
    break;
  case OP_Max:
  case OP_Min: extreme_rule(s); break;
  default: return unary_rule(s);
  }
  return true;
}

/* ---- products ---- */
static void matmul_rule(Step *s) { // a vector is a row on the left, a column on the right
  const B *b = s->b;
  Value *x = s->x[0], *y = s->x[1], *g = s->g;
  bool row = rank_of(x) == 1, column = rank_of(y) == 1;
  int64_t before = rank_of(g) + column - 1, behind = rank_of(g);
  if (row) x = unsqueeze(b, x, INTS(0));
  if (column) y = unsqueeze(b, y, INTS(1)), g = unsqueeze(b, g, 1, &behind);
  if (row) g = unsqueeze(b, g, 1, &before);
  s->dx[0] = matmul(b, g, swap_last(b, y));
  s->dx[1] = matmul(b, swap_last(b, x), g);
  if (column) s->dx[1] = squeeze(b, s->dx[1], rank_of(s->dx[1]) - 1);
}

static void gemm_rule(Step *s) { // alpha A' B' + beta C, where ' transposes or not
  const B *b = s->b;
  bool ta = attr_int(s->n, "transA"), tb = attr_int(s->n, "transB");
  Value *g = scaled(b, s->g, attr_float(s->n, "alpha")), *x = s->x[0], *w = s->x[1];
  Value *wt = tb ? w : swap_last(b, w), *xt = ta ? x : swap_last(b, x);
  s->dx[0] = matmul(b, g, wt), s->dx[1] = matmul(b, xt, g);
  if (ta) s->dx[0] = swap_last(b, s->dx[0]);
  if (tb) s->dx[1] = swap_last(b, s->dx[1]);
  if (s->x[2]) s->dx[2] = scaled(b, s->g, attr_float(s->n, "beta"));
}

/* ---- views and folds ---- */
static void transpose_rule(Step *s) {
  const int64_t *perm;
  int64_t back[MAX_RANK];
  int r = rank_of(s->x[0]), given = attr_ints(s->n, "perm", &perm);
  for (int i = 0; i < r; i++) back[given ? perm[i] : r - 1 - i] = i;
  s->dx[0] = transpose(s->b, s->g, r, back);
}

static void concat_rule(Step *s) {
  const B *b = s->b;
  int axis = (int)attr_int(s->n, "axis");
  if (axis < 0) axis += rank_of(s->r);
  Value *from = int1(b, 0);
  for (int i = 0; i < s->n->nin; i++) {
    Value *to = add(b, from, dim_of(b, s->x[i], axis));
    s->dx[i] = slice_dyn(b, s->g, axis, from, to);
    from = to;
  }
}

static void gather_rule(Step *s) { // rows that are read twice add up
  const B *b = s->b;
  Value *x = s->x[0], *at = cast(b, s->x[1], DT_I64);
  int64_t last = rank_of(at);
  if (attr_int(s->n, "axis") != 0) cannot(b, "the gradient of a Gather along another axis than the first");
  Node *n = start(b, OP_ScatterND, VALUES(zeros(b, dtype(x), shape_of(b, x)), unsqueeze(b, at, 1, &last), s->g), 1);
  node_set_string(n, "reduction", "add");
  s->dx[0] = finish(n);
}

// The result and its adjoint with the reduced axes kept as 1, spread over the operand
static void fold_rule(Step *s) {
  const B *b = s->b;
  Value *x = s->x[0];
  Node *kept = start(b, s->n->op->id, s->n->nin, s->x, 1);
  copy_attrs(kept, s->n, "noop_with_empty_axes");
  node_set_int(kept, "keepdims", 1);
  Value *r = finish(kept), *shape = shape_of(b, r), *g = expand_to(b, reshape(b, s->g, shape), shape_of(b, x));
  OpId op = s->n->op->id;
  if (op == OP_ReduceMax || op == OP_ReduceMin) { // those that tie share equally
    Value *hit = equal(b, x, r), *operand[2] = {hit, s->n->nin > 1 ? s->x[1] : NULL};
    Node *ties = start(b, OP_ReduceSum, s->n->nin, operand, 1);
    copy_attrs(ties, s->n, "noop_with_empty_axes");
    g = quo(b, mul(b, g, hit), finish(ties));
  }
  if (op == OP_ReduceMean) {
    Value *count = quo(b, op1(b, OP_Size, x), op1(b, OP_Size, r));
    g = quo(b, g, cast(b, count, dtype(g)));
  }
  if (op == OP_ReduceSumSquare) g = scaled(b, mul(b, g, x), 2);
  s->dx[0] = g;
}

static void softmax_rule(Step *s) {
  const B *b = s->b;
  int64_t axis = attr_int(s->n, "axis");
  bool log = s->n->op->id == OP_LogSoftmax;
  Value *sum = reduce(b, OP_ReduceSum, log ? s->g : mul(b, s->g, s->r), 1, &axis, true);
  s->dx[0] = log ? sub(b, s->g, mul(b, op1(b, OP_Exp, s->r), sum)) : mul(b, s->r, sub(b, s->g, sum));
}

static void differentiate(Step *s) {
  switch (s->n->op->id) {
  case OP_MatMul: matmul_rule(s); break;
  case OP_Gemm: gemm_rule(s); break;
  case OP_Reshape:
  case OP_Flatten:
  case OP_Squeeze:
  case OP_Unsqueeze: s->dx[0] = reshape(s->b, s->g, shape_of(s->b, s->x[0])); break;
  case OP_Expand: s->dx[0] = s->g; break;
  case OP_Transpose: transpose_rule(s); break;
  case OP_Concat: concat_rule(s); break;
  case OP_Gather: gather_rule(s); break;
  case OP_ReduceSum:
  case OP_ReduceMean:
  case OP_ReduceMax:
  case OP_ReduceMin:
  case OP_ReduceSumSquare: fold_rule(s); break;
  case OP_Softmax:
  case OP_LogSoftmax: softmax_rule(s); break;
  case OP_Floor: // steps: flat wherever they have a derivative
  case OP_Ceil:
  case OP_Round:
  case OP_Sign: break;
  default:
    if (!elementwise_rule(s)) cannot(s->b, "%s has no derivative here", s->n->op->name);
  }
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
  Known *r = n->nout && n->out[0] ? known(w, n->out[0]) : NULL;
  for (int i = 1; i < n->nout; i++)
    if (n->out[i] && known(w, n->out[i]) && known(w, n->out[i])->adjoint)
      cannot(w->b, "result %d of %s has no derivative here", i, n->op->name);
  if (!r || !r->varies || !r->adjoint) return;
  if (n->nin > OPERANDS_MAX) cannot(w->b, "the gradient of %s with %d operands", n->op->name, n->nin);
  Step s = {.b = w->b, .n = n, .r = r->now, .g = r->adjoint};
  for (int i = 0; i < n->nin; i++) s.x[i] = now(w, n->in[i]);
  differentiate(&s);
  for (int i = 0; i < n->nin; i++) {
    if (!s.dx[i] || !varies(w, n->in[i])) continue;
    Known *x = known(w, n->in[i]);
    x->adjoint = add_opt(w->b, x->adjoint, unbroadcast(w->b, s.dx[i], x->now));
  }
}

void expand_gradient(const B *b) {
  const Attr *xs = attr_find(b->at, "xs"), *zs = attr_find(b->at, "zs");
  int nx = xs->n, nz = zs && zs->kind == ATTR_STRINGS ? zs->n : 0;
  if (b->at->nin != nx + nz) cannot(b, "%d operands for %d names", b->at->nin, nx + nz);
  Walk w = {.b = b};
  for (int i = 0; i < nx + nz; i++) {
    Value *v = value_named(b, i < nx ? xs->strings[i] : zs->strings[i - nx]);
    PUSH(w.known, w.n, w.c, ((Known){v, in(b, i), i < nx, NULL}));
  }
  Value *y = value_named(b, attr_str(b->at, "y"));
  if (y->type->kind != TYPE_TENSOR || !dtypes[dtype(y)].is_float) cannot(b, "y is no tensor of floats");
  for (Node *n = b->at; n; n = n->next)
    if (y->def == n) cannot(b, "y is computed behind it");
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
