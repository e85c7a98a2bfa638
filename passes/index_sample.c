// index_sample.c - INDEX rows that sample: Resize, GridSample, AffineGrid; quantisation; random numbers and window functions.
#include "ir/math.h"
#include "passes/index.h"
#include <string.h>

static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static int rank_of(const Value *v) { return v->type->rank; }
static Ex *f32(double v) { return ex_f(DT_F32, v); }
static Ex *add(Ex *a, Ex *b) { return ex_op(S_add, a, b, NULL); }
static Ex *sub(Ex *a, Ex *b) { return ex_op(S_sub, a, b, NULL); }
static Ex *mul(Ex *a, Ex *b) { return ex_op(S_mul, a, b, NULL); }
static Ex *divide(Ex *a, Ex *b) { return ex_op(S_div, a, b, NULL); }
static Ex *choose(Ex *c, Ex *a, Ex *b) { return ex_op(S_select, c, a, b); }
static Ex *less(Ex *a, Ex *b) { return ex_op(S_lt, a, b, NULL); }
static Ex *element(Lower *L, Value *v, IExpr *i) { // of a vector, or the scalar that stands for all
  IExpr *at[1] = {rank_of(v) ? i : NULL};
  return pull(L, v, at);
}
static IExpr *clamped(Ex *position, IExpr *size) { // a float position as an index in 0..size-1
  int64_t n;
  Ex *i = ex_cast(DT_I64, position);
  if (ix_const(size, &n)) return ex_index(i, 0, n > 0 ? n - 1 : 0, -1, "s");
  IExpr *x = ex_index(i, 0, ix_upper(size) - 1, -1, "s");
  Atom *a = ix_is_atom(x);
  if (a && a->kind == ATOM_LET) ((LetDef *)a->def)->limit = size;
  return x;
}

/* ---- Resize: separable taps per axis ---- */
typedef struct Axis {
  bool resized;
  IExpr *in, *out, *i;
  Ex *scale;
  Ex *x;        // position in the input
  Ex *outside;  // tf_crop_and_resize: bool, or NULL
  IExpr *exact; // nearest by a whole factor: the index itself
} Axis;
static bool mode_is(Node *n, const char *m) { return attr_is(n, "coordinate_transformation_mode", m); }
static int position_in_axes(Node *n, int d, int rank) { // where axis d stands in scales, sizes and roi; -1: not resized
  const int64_t *axes;
  int k = attr_ints(n, "axes", &axes);
  if (!attr_has(n, "axes")) return d;
  for (int i = 0; i < k; i++)
    if ((axes[i] < 0 ? axes[i] + rank : axes[i]) == d) return i;
  return -1;
}
static int naxes(Node *n, int rank) {
  const int64_t *axes;
  return attr_has(n, "axes") ? attr_ints(n, "axes", &axes) : rank;
}
static bool given(Value *v) { return v && !(v->type->rank == 1 && ix_is(v->type->dim[0], 0)); }

static Ex *position(Lower *L, Node *n, Axis *a, int k, int count) {
  Ex *i = ex_ix(DT_F32, a->i), *in = ex_ix(DT_F32, a->in), *half = f32(0.5);
  Ex *length = mul(in, a->scale); // of the resized axis, before it was rounded
  Ex *centre = sub(divide(add(i, half), a->scale), half);
  if (mode_is(n, "half_pixel")) return centre;
  if (mode_is(n, "asymmetric")) return divide(i, a->scale);
  if (mode_is(n, "tf_half_pixel_for_nn")) return divide(add(i, half), a->scale);
  if (mode_is(n, "pytorch_half_pixel")) return choose(less(f32(1), length), centre, f32(0));
  if (mode_is(n, "half_pixel_symmetric")) {
    Ex *adjust = divide(ex_ix(DT_F32, a->out), length), *mid = mul(in, half);
    return add(mul(mid, sub(f32(1), adjust)), centre);
  }
  if (mode_is(n, "align_corners"))
    return choose(ex_op(S_eq, length, f32(1), NULL), f32(0), divide(mul(i, sub(in, f32(1))), sub(length, f32(1))));
  Ex *start = element(L, n->in[1], ix(k)), *end = element(L, n->in[1], ix(k + count)), *last = sub(in, f32(1)); // tf_crop_and_resize
  start = ex_cast(DT_F32, start), end = ex_cast(DT_F32, end);
  Ex *step = divide(mul(sub(end, start), last), sub(length, f32(1)));
  Ex *x = choose(less(f32(1), length), add(mul(start, last), mul(i, step)), mul(mul(half, add(start, end)), last));
  a->outside = ex_op(S_or, less(x, f32(0)), less(last, x), NULL);
  return x;
}
// By a whole factor the common nearest modes are a division of indices, no floats.
static IExpr *whole_factor(Node *n, const Axis *a) {
  if (!attr_is(n, "mode", "nearest") || a->scale->op != S_CONST || a->scale->f < 1 || a->scale->f != (double)(int64_t)a->scale->f)
    return NULL;
  bool floor_mode = mode_is(n, "asymmetric") && attr_is(n, "nearest_mode", "floor");
  bool centred =
      mode_is(n, "half_pixel") && (attr_is(n, "nearest_mode", "round_prefer_floor") || attr_is(n, "nearest_mode", "round_prefer_ceil"));
  return floor_mode || centred ? ix_divk(a->i, (int64_t)a->scale->f) : NULL;
}
static Axis resize_axis(Lower *L, Node *n, int d, IExpr *i) {
  Value *x = n->in[0], *scales = node_in(n, 2), *sizes = node_in(n, 3);
  int rank = rank_of(x), k = position_in_axes(n, d, rank), count = naxes(n, rank);
  Axis a = {.in = dim(x, d), .out = dim(n->out[0], d), .i = i};
  if (k < 0) return a;
  if (given(scales)) a.scale = ex_cast(DT_F32, element(L, scales, ix(k)));
  else if (given(sizes) && !attr_is(n, "keep_aspect_ratio_policy", "stretch")) { // one scale for all axes: the smallest or largest
    bool smaller = attr_is(n, "keep_aspect_ratio_policy", "not_larger");
    for (int j = 0; j < rank; j++) {
      int p = position_in_axes(n, j, rank);
      if (p < 0) continue;
      Ex *s = divide(ex_cast(DT_F32, element(L, sizes, ix(p))), ex_ix(DT_F32, dim(x, j)));
      a.scale = !a.scale ? s : ex_op(smaller ? S_min : S_max, a.scale, s, NULL);
    }
  } else a.scale = divide(ex_ix(DT_F32, a.out), ex_ix(DT_F32, a.in));
  bool same = a.scale->op == S_CONST ? a.scale->f == 1 : a.in == a.out && !given(scales);
  a.resized = !same || mode_is(n, "tf_crop_and_resize");
  if (!a.resized) return a;
  a.exact = whole_factor(n, &a);
  if (!a.exact) a.x = position(L, n, &a, k, count);
  return a;
}
static Ex *nearest(Node *n, Ex *x) {
  Ex *half = f32(0.5);
  if (attr_is(n, "nearest_mode", "floor")) return ex_op(S_floor, x, NULL, NULL);
  if (attr_is(n, "nearest_mode", "ceil")) return ex_op(S_ceil, x, NULL, NULL);
  if (attr_is(n, "nearest_mode", "round_prefer_ceil")) return ex_op(S_floor, add(x, half), NULL, NULL);
  return ex_op(S_ceil, sub(x, half), NULL, NULL);
}
// Keys' cubic convolution (1981), as weights of the taps at -1, 0, 1, 2 from the floor; t is the fraction.
static void cubic_weights(Ex *t, double A, Ex **w) {
  Ex *a = f32(A), *t1 = add(t, f32(1)), *u = sub(f32(1), t), *u1 = add(u, f32(1));
  Ex *const outer[2] = {t1, u1}, *const inner[2] = {t, u};
  for (int s = 0; s < 2; s++) {
    Ex *x = outer[s], *y = inner[s];
    w[s ? 3 : 0] = mul(a, sub(mul(add(mul(sub(x, f32(5)), x), f32(8)), x), f32(4)));
    w[s ? 2 : 1] = add(mul(mul(sub(mul(f32(A + 2), y), f32(A + 3)), y), y), f32(1));
  }
}
static int taps(Node *n, const Axis *a, IExpr **at, Ex **w) {
  if (a->exact) return at[0] = a->exact, w[0] = NULL, 1;
  if (attr_is(n, "mode", "nearest")) return at[0] = clamped(nearest(n, a->x), a->in), w[0] = NULL, 1;
  Ex *low = ex_op(S_floor, a->x, NULL, NULL), *t = sub(a->x, low);
  if (attr_is(n, "mode", "linear")) {
    at[0] = clamped(low, a->in), at[1] = clamped(add(low, f32(1)), a->in);
    w[0] = sub(f32(1), t), w[1] = t;
    return 2;
  }
  cubic_weights(t, attr_float(n, "cubic_coeff_a"), w);
  Ex *sum = NULL, *last = ex_ix(DT_F32, ix_addk(a->in, -1));
  for (int k = 0; k < 4; k++) {
    Ex *p = add(low, f32(k - 1));
    at[k] = clamped(p, a->in);
    if (attr_int(n, "exclude_outside")) w[k] = choose(ex_op(S_or, less(p, f32(0)), less(last, p), NULL), f32(0), w[k]);
    sum = sum ? add(sum, w[k]) : w[k];
  }
  for (int k = 0; k < 4 && attr_int(n, "exclude_outside"); k++) w[k] = divide(w[k], sum);
  return 4;
}
static Ex *sample(Lower *L, Node *n, const Axis *axis, int d, IExpr **at, IExpr *const *idx) {
  if (d == rank_of(n->in[0])) return pull(L, n->in[0], at);
  at[d] = idx[d];
  if (!axis[d].resized) return sample(L, n, axis, d + 1, at, idx);
  IExpr *pos[4];
  Ex *w[4], *e = NULL;
  int k = taps(n, &axis[d], pos, w);
  for (int i = 0; i < k; i++) {
    at[d] = pos[i];
    Ex *x = sample(L, n, axis, d + 1, at, idx);
    if (w[i]) x = mul(ex_cast(DT_F32, x), w[i]);
    e = e ? add(e, x) : x;
  }
  return e;
}
// Within the bounds of a narrow integer type
static Ex *saturated(DType to, Ex *e) {
  int bits = dtypes[to].bits;
  if (bits > 16) return e;
  double lo = dtypes[to].is_signed ? -(double)((int64_t)1 << (bits - 1)) : 0, hi = lo + (double)((int64_t)1 << bits) - 1;
  return ex_op(S_min, ex_op(S_max, e, ex_f(e->type, lo), NULL), ex_f(e->type, hi), NULL);
}
Ex *index_resize(Lower *L, Node *n, int out, IExpr *const *idx) {
  Value *x = n->in[0];
  if (attr_int(n, "antialias") && !attr_is(n, "mode", "nearest"))
    fail(EXIT_UNSUPPORTED, "lower.antialias", node_where(n), "Resize with antialias is not lowered for sizes that only the run knows");
  Axis axis[MAX_RANK];
  IExpr *at[MAX_RANK];
  for (int d = 0; d < rank_of(x); d++) axis[d] = resize_axis(L, n, d, idx[d]);
  Ex *e = sample(L, n, axis, 0, at, idx);
  for (int d = 0; d < rank_of(x); d++)
    if (axis[d].outside) e = choose(axis[d].outside, ex_num(e->type, attr_float(n, "extrapolation_value")), e);
  DType r = dtypes[n->out[out]->type->dtype].reg;
  if (e->type == r) return e;
  return r == DT_I32 || r == DT_I64 ? ex_cast(r, saturated(n->out[out]->type->dtype, ex_op(S_rint, e, NULL, NULL))) : ex_cast(r, e);
}

/* ---- quantisation: a scale for the tensor, per channel, or per block ---- */
static Ex *scale_at(Lower *L, Node *n, Value *v, IExpr *const *idx) {
  Value *x = n->in[0];
  int rank = rank_of(x), r = rank_of(v);
  IExpr *at[MAX_RANK] = {0};
  if (r == 1 && rank >= 1 && !ix_is(dim(v, 0), 1)) at[0] = idx[axis_of(n, "axis", rank)];
  else if (r == 1) at[0] = ix(0);
  else if (r) {
    int64_t block = attr_int(n, "block_size");
    int axis = axis_of(n, "axis", rank);
    for (int d = 0; d < r; d++) at[d] = d == axis ? ix_divk(idx[d], block ? block : 1) : idx[d];
  }
  return pull(L, v, at);
}
static DType arithmetic(const Node *n, const Value *scale) { // f64 stays f64, all else f32
  (void)n;
  return dtypes[scale->type->dtype].reg == DT_F64 ? DT_F64 : DT_F32;
}
Ex *index_quantize_linear(Lower *L, Node *n, int out, IExpr *const *idx) {
  DType to = n->out[out]->type->dtype, t = arithmetic(n, n->in[1]);
  Ex *x = ex_cast(t, pull(L, n->in[0], idx)), *s = ex_cast(t, scale_at(L, n, n->in[1], idx)), *q = divide(x, s);
  Value *zero = node_in(n, 2);
  if (dtypes[to].is_float) { // float8, float4: the zero point is 0; saturate decides what overflow gives
    if (zero) q = add(q, ex_cast(t, scale_at(L, n, zero, idx)));
    return ex_round_saturating(to, q, attr_int(n, "saturate") != 0);
  }
  q = ex_op(S_rint, q, NULL, NULL);
  if (zero) q = add(q, ex_cast(t, scale_at(L, n, zero, idx)));
  return ex_cast(DT_I32, saturated(to, q));
}
Ex *index_dequantize_linear(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  DType t = arithmetic(n, n->in[1]);
  Ex *x = pull(L, n->in[0], idx), *s = ex_cast(t, scale_at(L, n, n->in[1], idx));
  Value *zero = node_in(n, 2);
  if (zero) {
    Ex *z = scale_at(L, n, zero, idx);
    x = sub(x, z);
  }
  return mul(ex_cast(t, x), s);
}

/* ---- random numbers: counter-based on the linear index, so that any thread computes any element ---- */
static IExpr *linear(const Type *t, IExpr *const *idx) {
  IExpr *at = ix(0);
  for (int d = 0; d < t->rank; d++) at = ix_add(ix_mul(at, t->dim[d]), idx[d]);
  return at;
}
static Ex *seed_of(const Node *n) { // without a seed the node's place in the model is one: runs repeat
  if (!attr_has(n, "seed")) return ex_i(DT_I64, 0x5eed0000 + n->index);
  double s = attr_float(n, "seed");
  int64_t bits;
  memcpy(&bits, &s, sizeof bits);
  return ex_i(DT_I64, bits);
}
static Ex *uniform(const Node *n, const Type *t, IExpr *const *idx) {
  DType r = dtypes[t->dtype].reg == DT_F64 ? DT_F64 : DT_F32;
  return ex_uniform(r, seed_of(n), ex_ix(DT_I64, linear(t, idx)));
}
Ex *index_random_uniform(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L;
  Ex *u = uniform(n, n->out[out]->type, idx);
  double lo = attr_float(n, "low"), hi = attr_float(n, "high");
  return add(mul(u, ex_f(u->type, hi - lo)), ex_f(u->type, lo));
}
Ex *index_random_normal(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L;
  const Type *t = n->out[out]->type;
  DType r = dtypes[t->dtype].reg == DT_F64 ? DT_F64 : DT_F32;
  Ex *z = ex_normal(r, seed_of(n), ex_ix(DT_I64, linear(t, idx)));
  return add(mul(z, ex_f(r, attr_float(n, "scale"))), ex_f(r, attr_float(n, "mean")));
}
Ex *index_bernoulli(Lower *L, Node *n, int out, IExpr *const *idx) {
  Ex *p = pull(L, n->in[0], idx), *u = uniform(n, n->in[0]->type, idx);
  DType r = dtypes[n->out[out]->type->dtype].reg;
  return choose(less(u, ex_cast(u->type, p)), ex_num(r, 1), ex_num(r, 0));
}

/* ---- window functions ---- */
Ex *index_window(Lower *L, Node *n, int out, IExpr *const *idx) {
  static const double pi = 3.14159265358979323846;
  IExpr *none[1] = {ix(0)};
  Ex *size = ex_cast(DT_F32, pull(L, n->in[0], none)), *i = ex_ix(DT_F32, idx[0]);
  if (!attr_int(n, "periodic")) size = sub(size, f32(1));
  Ex *a = divide(mul(i, f32(2 * pi)), size), *c = ex_cos(a), *w;
  if (n->op->id == OP_HannWindow) w = sub(f32(0.5), mul(f32(0.5), c));
  else if (n->op->id == OP_HammingWindow) w = sub(f32(25.0 / 46), mul(f32(21.0 / 46), c));
  else w = add(sub(f32(0.42), mul(f32(0.5), c)), mul(f32(0.08), ex_cos(add(a, a))));
  return ex_cast(dtypes[n->out[out]->type->dtype].reg, w);
}
