// window.c - FOLDN functions over sliding windows: convolutions and pools, for any number of spatial dims.
#include "ir/math.h"
#include "passes/index.h"
#include <string.h>

typedef struct Window { // per spatial dim
  int n;
  int64_t k[MAX_RANK], stride[MAX_RANK], dil[MAX_RANK];
  IExpr *begin[MAX_RANK], *end[MAX_RANK]; // padding
} Window;
static int rank_of(const Value *v) { return v->type->rank; }
static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static int64_t at_or(const int64_t *v, int n, int i, int64_t other) { return i < n ? v[i] : other; }

static Window window_of(Node *n, Value *weights) {
  Window w = {.n = rank_of(n->in[0]) - 2};
  const int64_t *k, *s, *d, *p;
  int nk = attr_ints(n, "kernel_shape", &k), ns = attr_ints(n, "strides", &s), nd = attr_ints(n, "dilations", &d),
      np = attr_ints(n, "pads", &p);
  bool upper = attr_is(n, "auto_pad", "SAME_UPPER"), lower = attr_is(n, "auto_pad", "SAME_LOWER"), valid = attr_is(n, "auto_pad", "VALID");
  for (int i = 0; i < w.n; i++) {
    if (nk) w.k[i] = k[i];
    else if (!weights || !ix_const(dim(weights, i + 2), &w.k[i]))
      fail(EXIT_UNSUPPORTED, "lower.kernel_shape", node_where(n), "the kernel's size must be known when the model is compiled");
    w.stride[i] = at_or(s, ns, i, 1), w.dil[i] = at_or(d, nd, i, 1);
    w.begin[i] = ix(valid ? 0 : at_or(p, np, i, 0)), w.end[i] = ix(valid ? 0 : at_or(p, np, i + w.n, 0));
    if (!upper && !lower) continue;
    IExpr *out = ix_ceil(dim(n->in[0], i + 2), w.stride[i]); // SAME keeps ceil(in / stride)
    IExpr *total = ix_relu(ix_sub(ix_addk(ix_scale(ix_addk(out, -1), w.stride[i]), (w.k[i] - 1) * w.dil[i] + 1), dim(n->in[0], i + 2)));
    IExpr *half = ix_divk(total, 2), *rest = ix_sub(total, half);
    w.begin[i] = upper ? half : rest, w.end[i] = upper ? rest : half;
  }
  return w;
}
// Position in the input of window cell k of output cell o, and the conditions for it to lie inside.
static int window_index(Fold *f, const Window *w, Value *x, IExpr **at, IExpr **inside, IExpr **cell) {
  int n = 0;
  for (int i = 0; i < w->n; i++) {
    cell[i] = w->k[i] == 1 ? ix(0) : fold_axis(f, i == w->n - 1 ? "kw" : i == w->n - 2 ? "kh" : "kd", ix(w->k[i]));
    IExpr *p = ix_sub(ix_add(ix_scale(f->out[i + 2], w->stride[i]), ix_scale(cell[i], w->dil[i])), w->begin[i]);
    at[i + 2] = p;
    inside[n++] = p, inside[n++] = ix_addk(ix_sub(dim(x, i + 2), p), -1);
  }
  return n;
}
static Ex *times(Ex *a, Ex *b) { return ex_op(S_mul, a, b, NULL); }
static Ex *add_bias(Lower *L, Node *n, Fold *f, Ex *acc) {
  Value *b = node_in(n, 2);
  return b ? ex_op(S_add, acc, pull(L, b, f->out + 1), NULL) : acc;
}
// Input channel of reduce channel c for output channel oc: groups of OC/G output channels read C/G input channels each.
static IExpr *group_of(IExpr *oc, int64_t per_group, int64_t groups) { return groups == 1 ? ix(0) : ix_divk(oc, per_group); }
static int64_t known_dim(Node *n, Value *v, int d) {
  int64_t k;
  if (!ix_const(dim(v, d), &k))
    fail(EXIT_UNSUPPORTED, "lower.channels", node_where(n), "dim %d of the weights must be known when the model is compiled", d);
  return k;
}

typedef struct Taps {
  IExpr *x[MAX_RANK], *w[MAX_RANK], *inside[2 * MAX_RANK];
  int ninside;
} Taps;
static Taps conv_taps(Node *n, Fold *f, Value *X, Value *W) {
  Taps t = {.ninside = 0};
  int64_t groups = attr_int(n, "group"), oc = known_dim(n, W, 0), ic = known_dim(n, W, 1);
  Window w = window_of(n, W);
  IExpr *cell[MAX_RANK];
  IExpr *c = ic == 1 ? ix(0) : fold_axis(f, "c", ix(ic));
  t.ninside = window_index(f, &w, X, t.x, t.inside, cell);
  t.x[0] = f->out[0], t.x[1] = ix_add(ix_scale(group_of(f->out[1], oc / groups, groups), ic), c);
  t.w[0] = f->out[1], t.w[1] = c;
  for (int i = 0; i < w.n; i++) t.w[i + 2] = cell[i];
  return t;
}
void fold_conv(Lower *L, Node *n, Fold *f) {
  Value *X = n->in[0], *W = n->in[1];
  Taps t = conv_taps(n, f, X, W);
  DType r = dtypes[X->type->dtype].reg;
  f->term = times(pull_guarded(L, X, t.x, t.ninside, t.inside, ex_num(r, 0)), pull(L, W, t.w));
  f->acc = r, f->combine = C_add, f->finish = add_bias;
  if (L->record) add_bias(L, n, f, f->term);
}
// Cells outside the image hold the zero point, so they contribute 0.
void fold_conv_integer(Lower *L, Node *n, Fold *f) {
  Value *X = n->in[0], *W = n->in[1], *xz = node_in(n, 2), *wz = node_in(n, 3);
  Taps t = conv_taps(n, f, X, W);
  IExpr *none[1] = {ix(0)}, *per_channel[1] = {f->out[1]};
  Ex *x = pull_guarded(L, X, t.x, t.ninside, t.inside, xz ? pull(L, xz, none) : ex_i(DT_I32, 0)), *w = pull(L, W, t.w);
  if (xz) x = ex_op(S_sub, x, pull(L, xz, none), NULL);
  if (wz) w = ex_op(S_sub, w, pull(L, wz, rank_of(wz) && !ix_is(dim(wz, 0), 1) ? per_channel : none), NULL);
  f->term = times(x, w), f->acc = DT_I32, f->combine = C_add;
}

// In gather form: the cell of X that kernel cell k spreads to output o, where it exists.
void fold_conv_transpose(Lower *L, Node *n, Fold *f) {
  Value *X = n->in[0], *W = n->in[1]; // W [IC, OC/G, k..]
  int64_t groups = attr_int(n, "group"), ic = known_dim(n, W, 0), og = known_dim(n, W, 1);
  Window w = window_of(n, W);
  const int64_t *shape;
  int nshape = attr_ints(n, "output_shape", &shape);
  IExpr *x[MAX_RANK], *wi[MAX_RANK], *inside[3 * MAX_RANK];
  int ninside = 0;
  IExpr *c = ic / groups == 1 ? ix(0) : fold_axis(f, "c", ix(ic / groups)), *g = group_of(f->out[1], og, groups);
  x[0] = f->out[0], x[1] = wi[0] = ix_add(ix_scale(g, ic / groups), c);
  wi[1] = groups == 1 ? f->out[1] : ix_modk(f->out[1], og);
  const int64_t *op;
  int nop = attr_ints(n, "output_padding", &op);
  bool same = attr_is(n, "auto_pad", "SAME_UPPER") || attr_is(n, "auto_pad", "SAME_LOWER");
  for (int i = 0; i < w.n; i++) {
    IExpr *in = dim(X, i + 2), *begin = w.begin[i];
    if (nshape || same) { // the padding follows from the asked size
      IExpr *full = ix_addk(ix_scale(ix_addk(in, -1), w.stride[i]), (w.k[i] - 1) * w.dil[i] + 1 + at_or(op, nop, i, 0));
      IExpr *total = ix_relu(ix_sub(full, dim(n->out[0], i + 2))), *half = ix_divk(total, 2);
      begin = attr_is(n, "auto_pad", "SAME_UPPER") ? half : ix_sub(total, half);
    }
    IExpr *cell = w.k[i] == 1 ? ix(0) : fold_axis(f, i == w.n - 1 ? "kw" : "kh", ix(w.k[i]));
    IExpr *p = ix_sub(ix_add(f->out[i + 2], begin), ix_scale(cell, w.dil[i])), *q = ix_divk(p, w.stride[i]);
    wi[i + 2] = cell, x[i + 2] = q;
    inside[ninside++] = q, inside[ninside++] = ix_addk(ix_sub(in, q), -1);
    if (w.stride[i] > 1) inside[ninside++] = ix_sub(ix_scale(q, w.stride[i]), p); // p % stride == 0
  }
  DType r = dtypes[X->type->dtype].reg;
  f->term = times(pull_guarded(L, X, x, ninside, inside, ex_num(r, 0)), pull(L, W, wi));
  f->acc = r, f->combine = C_add, f->finish = add_bias;
  if (L->record) add_bias(L, n, f, f->term);
}

/* ---- pools ---- */
static Ex *lowest(DType reg, DType storage) {
  if (reg == DT_F32 || reg == DT_F64) return ex_f(reg, -__builtin_inf());
  int bits = dtypes[storage].bits;
  return ex_i(reg, dtypes[storage].is_signed ? -((int64_t)1 << (bits - 1)) : 0);
}
static IExpr *flat_index(Node *n, IExpr *const *at) { // over the whole tensor; storage_order 1: columns first in each image
  IExpr *lin = ix(0);
  const Type *t = n->in[0]->type;
  for (int d = 0; d < 2; d++) lin = ix_add(ix_mul(lin, t->dim[d]), at[d]);
  bool columns = attr_int(n, "storage_order") == 1;
  for (int d = columns ? t->rank - 1 : 2; columns ? d >= 2 : d < t->rank; d += columns ? -1 : 1)
    lin = ix_add(ix_mul(lin, t->dim[d]), at[d]);
  return lin;
}
// The cell of the window over X[n,c,..] that a pool's term reads; `inside` holds where it lies in the image.
static int pool_cell(Node *n, Fold *f, IExpr **at, IExpr **inside) {
  Window w = window_of(n, NULL);
  IExpr *cell[MAX_RANK];
  at[0] = f->out[0], at[1] = f->out[1];
  return window_index(f, &w, n->in[0], at, inside, cell);
}
void fold_max_pool(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  IExpr *at[MAX_RANK], *inside[2 * MAX_RANK];
  int ni = pool_cell(n, f, at, inside);
  DType r = dtypes[x->type->dtype].reg;
  Ex *e = pull_guarded(L, x, at, ni, inside, lowest(r, x->type->dtype));
  f->acc = r, f->combine = C_max, f->term = e;
  if (f->result == 0) return;
  // Indices: the first cell that holds the maximum
  Ex *top = pull(L, n->out[0], f->out), *hit = ex_op(S_eq, e, top, NULL);
  Ex *flat = ex_ix(DT_I64, flat_index(n, at));
  for (int i = 0; i < ni; i++)
    if (!ix_prove_ge0(inside[i])) flat = ex_sel(inside[i], flat, ex_i(DT_I64, INT64_MAX));
  f->acc = DT_I64, f->combine = C_min, f->term = ex_op(S_select, hit, flat, ex_i(DT_I64, INT64_MAX));
}
// Cells of the window at `start` (step dil) that lie in lo..hi-1.
static IExpr *cells_inside(IExpr *start, int64_t k, int64_t dil, IExpr *lo, IExpr *hi) {
  IExpr *first = ix_relu(ix_ceil(ix_sub(lo, start), dil)), *end = ix_min(ix(k), ix_ceil(ix_sub(hi, start), dil));
  return ix_relu(ix_sub(end, first));
}
static Ex *average_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  (void)L;
  Window w = window_of(n, NULL);
  bool pad = attr_int(n, "count_include_pad");
  IExpr *count = ix(1);
  for (int i = 0; i < w.n; i++) {
    IExpr *in = dim(n->in[0], i + 2), *start = ix_sub(ix_scale(f->out[i + 2], w.stride[i]), w.begin[i]);
    IExpr *lo = pad ? ix_scale(w.begin[i], -1) : ix(0), *hi = pad ? ix_add(in, w.end[i]) : in;
    count = ix_mul(count, cells_inside(start, w.k[i], w.dil[i], lo, hi));
  }
  return ex_op(S_div, acc, ex_ix(acc->type, count), NULL);
}
void fold_average_pool(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  IExpr *at[MAX_RANK], *inside[2 * MAX_RANK];
  int ni = pool_cell(n, f, at, inside);
  f->acc = dtypes[x->type->dtype].reg, f->combine = C_add;
  f->term = pull_guarded(L, x, at, ni, inside, ex_num(f->acc, 0));
  f->finish = average_finish;
}

/* ---- LpPool, LRN ---- */
static Ex *root_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  (void)L, (void)f;
  int64_t p = attr_int(n, "p");
  return p == 1 ? acc : p == 2 ? ex_op(S_sqrt, acc, NULL, NULL) : ex_pow(acc, ex_f(acc->type, 1.0 / (double)p));
}
void fold_lp_pool(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  IExpr *at[MAX_RANK], *inside[2 * MAX_RANK];
  int ni = pool_cell(n, f, at, inside);
  int64_t p = attr_int(n, "p");
  f->acc = dtypes[x->type->dtype].reg, f->combine = C_add, f->finish = root_finish;
  Ex *e = ex_op(S_abs, pull_guarded(L, x, at, ni, inside, ex_num(f->acc, 0)), NULL, NULL);
  f->term = p == 1 ? e : p == 2 ? times(e, e) : ex_pow(e, ex_f(f->acc, (double)p));
}
static Ex *lrn_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  DType r = acc->type;
  Ex *scale = ex_op(S_fma, acc, ex_f(r, attr_float(n, "alpha") / (double)attr_int(n, "size")), ex_f(r, attr_float(n, "bias")));
  return ex_op(S_div, pull(L, n->in[0], f->out), ex_pow(scale, ex_f(r, attr_float(n, "beta"))), NULL);
}
// Across channels c - floor((size-1)/2) .. c + ceil((size-1)/2), those that exist.
void fold_lrn(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  int64_t size = attr_int(n, "size");
  IExpr *at[MAX_RANK], *k = fold_axis(f, "c", ix(size));
  memcpy(at, f->out, sizeof at);
  at[1] = ix_addk(ix_add(f->out[1], k), -((size - 1) / 2));
  IExpr *inside[2] = {at[1], ix_addk(ix_sub(dim(x, 1), at[1]), -1)};
  f->acc = dtypes[x->type->dtype].reg, f->combine = C_add, f->finish = lrn_finish;
  Ex *e = pull_guarded(L, x, at, 2, inside, ex_num(f->acc, 0));
  f->term = times(e, e);
  if (L->record) lrn_finish(L, n, f, f->term);
}
