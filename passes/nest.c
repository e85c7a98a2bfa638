// nest.c - NEST rows: ops that carry an order along an axis, or store at computed places. Each adds stages of its own.
#include "passes/index.h"
#include <string.h>

static int rank_of(const Value *v) { return v->type->rank; }
static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }

static int vars_over(const Value *v, IExpr **at, IExpr **ax) { // distinct variables; dims of 1 have none
  int n = 0;
  for (int d = 0; d < rank_of(v); d++) {
    at[d] = ix_is(dim(v, d), 1) ? ix(0) : ix_var(sym_fmt("i%d", d), dim(v, d));
    if (!ix_is(at[d], 0)) ax[n++] = at[d];
  }
  return n;
}
static const uint8_t spatial[MAX_AXES];
static Stage *copy_stage(Lower *L, Value *from, Buf *to) {
  IExpr *at[MAX_RANK], *ax[MAX_AXES];
  int n = vars_over(from, at, ax);
  return kernel_stage(L->k, sym("copy"), C_SET, to, n, ax, spatial, at, pull(L, from, at));
}

/* ---- CumSum, CumProd ---- */
// One line after the other in order: y[p(t)] = y[p(t-1)] op x. An axis that only the run knows gives a nest for each possible one; the
// conditions let exactly one of them store.
static void cum_nest(Lower *L, Node *n, int axis, IExpr *chosen) {
  Value *x = n->in[0], *y = n->out[0];
  bool mul = n->op->id == OP_CumProd, exclusive = attr_int(n, "exclusive"), reverse = attr_int(n, "reverse");
  lower_begin(L, n->op->name);
  Buf *out = lower_out(L, y);
  IExpr *at[MAX_RANK], *before[MAX_RANK], *ax[MAX_AXES], *t = ix_var(sym("t"), dim(x, axis)), *last = ix_addk(dim(x, axis), -1);
  uint8_t kind[MAX_AXES] = {0};
  int nax = 0;
  for (int d = 0; d < rank_of(x); d++) {
    at[d] = before[d] = d == axis ? NULL : ix_is(dim(x, d), 1) ? ix(0) : ix_var(sym_fmt("i%d", d), dim(x, d));
    if (d == axis) continue;
    if (!ix_is(at[d], 0)) ax[nax++] = at[d];
  }
  kind[nax] = AXIS_ORDERED, ax[nax++] = t;
  IExpr *prev = ix_addk(t, -1);
  at[axis] = reverse ? ix_sub(last, t) : t;
  before[axis] = reverse ? ix_sub(last, prev) : prev;
  Ex *acc = ex_load(out, before);
  IExpr **p = NEWN(IExpr *, 1);
  p[0] = prev, acc->pred = p, acc->npred = 1;
  bool fl = acc->type == DT_F32 || acc->type == DT_F64;
  if (fl) acc->f = mul ? 1 : 0;
  else acc->i = mul ? 1 : 0;
  IExpr *one_before[1] = {prev};
  Ex *term = exclusive ? pull_guarded(L, x, before, 1, one_before, ex_num(acc->type, mul ? 1 : 0)) : pull(L, x, at);
  Ex *val = ex_op(mul ? S_mul : S_add, acc, term, NULL);
  DType st = y->type->dtype;
  if (!fl && dtypes[st].bits < 32) {
    val = ex_op(S_wrap, val, NULL, NULL);
    val->i = st;
  }
  Stage *s = kernel_stage(L->k, sym("cum"), C_SET, out, nax, ax, kind, at, val);
  if (chosen) {
    s->pred = NEWN(IExpr *, 2), s->npred = 2;
    s->pred[0] = ix_addk(chosen, -axis), s->pred[1] = ix_sub(ix(axis), chosen);
  }
  lower_launch(L);
}
void nest_cum(Lower *L, Node *n) {
  int rank = rank_of(n->in[0]);
  IExpr *a = lower_scalar(L, n->in[1], 0, -rank, rank - 1);
  int64_t k;
  if (ix_const(a, &k)) {
    if (k < -rank || k >= rank) fail(EXIT_INVALID, "lower.axis", node_where(n), "axis %lld of a value of rank %d", (long long)k, rank);
    cum_nest(L, n, (int)(k < 0 ? k + rank : k), NULL);
    return;
  }
  a = ix_add(a, ix_scale(ix_not(ix_ge0(a)), rank));
  for (int d = 0; d < rank; d++) cum_nest(L, n, d, rank > 1 ? a : NULL);
}

/* ---- scatters: copy, then store the updates in order ---- */
static Combine reduction_of(Node *n) {
  if (attr_is(n, "reduction", "add")) return C_add;
  if (attr_is(n, "reduction", "mul")) return C_mul;
  if (attr_is(n, "reduction", "max")) return C_max;
  if (attr_is(n, "reduction", "min")) return C_min;
  return C_SET;
}
void nest_scatter_elements(Lower *L, Node *n) {
  Value *x = n->in[0], *idx = n->in[1], *u = n->in[2];
  int rank = rank_of(x), axis = axis_of(n, "axis", rank), nax = 0;
  lower_begin(L, n->op->name);
  Buf *out = lower_out(L, n->out[0]);
  copy_stage(L, x, out);
  IExpr *at[MAX_RANK], *to[MAX_RANK], *ax[MAX_AXES];
  uint8_t kind[MAX_AXES] = {0};
  for (int d = 0; d < rank; d++) {
    at[d] = ix_is(dim(idx, d), 1) ? ix(0) : ix_var(sym_fmt("i%d", d), dim(idx, d));
    if (!ix_is(at[d], 0) && d != axis) ax[nax++] = at[d];
  }
  if (!ix_is(at[axis], 0)) kind[nax] = AXIS_ORDERED, ax[nax++] = at[axis]; // several updates may meet in one cell
  memcpy(to, at, sizeof to);
  to[axis] = pull_index(L, idx, at, dim(x, axis), true);
  kernel_stage(L->k, sym("scatter"), reduction_of(n), out, nax, ax, kind, to, pull(L, u, at));
  lower_launch(L);
}
void nest_scatter_nd(Lower *L, Node *n) {
  Value *x = n->in[0], *idx = n->in[1], *u = n->in[2];
  int q = rank_of(idx), nax = 0;
  int64_t tuple;
  if (!ix_const(dim(idx, q - 1), &tuple))
    fail(EXIT_UNSUPPORTED, "lower.scatternd", node_where(n), "the last dim of ScatterND's indices must be known");
  lower_begin(L, n->op->name);
  Buf *out = lower_out(L, n->out[0]);
  copy_stage(L, x, out);
  IExpr *at[MAX_RANK] = {0}, *ki[MAX_RANK] = {0}, *to[MAX_RANK] = {0}, *ax[MAX_AXES];
  uint8_t kind[MAX_AXES] = {0};
  for (int d = 0; d < rank_of(u); d++) {
    at[d] = ix_is(dim(u, d), 1) ? ix(0) : ix_var(sym_fmt("i%d", d), dim(u, d));
    if (ix_is(at[d], 0)) continue;
    kind[nax] = d < q - 1 ? AXIS_ORDERED : AXIS_SPATIAL, ax[nax++] = at[d];
  }
  for (int d = 0; d < q - 1; d++) ki[d] = at[d];
  for (int t = 0; t < tuple; t++) ki[q - 1] = ix(t), to[t] = pull_index(L, idx, ki, dim(x, t), true);
  for (int d = (int)tuple; d < rank_of(x); d++) to[d] = at[d - (int)tuple + q - 1];
  kernel_stage(L->k, sym("scatter"), reduction_of(n), out, nax, ax, kind, to, pull(L, u, at));
  lower_launch(L);
}
