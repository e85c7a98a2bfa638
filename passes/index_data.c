// index_data.c - INDEX rows, second part: reads at computed places, and tensors made of their own indices.
#include "ir/scalar.h"
#include "passes/index.h"
#include <string.h>

static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static int rank_of(const Value *v) { return v->type->rank; }

/* ---- gathers: the index is loaded, checked, and then an index like any other ---- */
Ex *index_gather(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  Value *x = n->in[0], *k = n->in[1];
  int axis = axis_of(n, "axis", rank_of(x)), kr = rank_of(k);
  IExpr *at[MAX_RANK] = {0};
  for (int d = 0; d < axis; d++) at[d] = idx[d];
  at[axis] = pull_index(L, k, idx + axis, dim(x, axis), true);
  for (int d = axis + 1; d < rank_of(x); d++) at[d] = idx[d + kr - 1];
  return pull(L, x, at);
}
Ex *index_gather_elements(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  int rank = rank_of(n->in[0]), axis = axis_of(n, "axis", rank);
  IExpr *at[MAX_RANK];
  memcpy(at, idx, (size_t)rank * sizeof *idx);
  at[axis] = pull_index(L, n->in[1], idx, dim(n->in[0], axis), true);
  return pull(L, n->in[0], at);
}
Ex *index_gather_nd(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  Value *x = n->in[0], *k = n->in[1];
  int b = (int)attr_int(n, "batch_dims"), q = rank_of(k);
  int64_t tuple;
  if (!ix_const(dim(k, q - 1), &tuple))
    fail(EXIT_UNSUPPORTED, "lower.gathernd", node_where(n), "the last dim of GatherND's indices must be known");
  IExpr *at[MAX_RANK] = {0}, *ki[MAX_RANK] = {0};
  for (int d = 0; d < b; d++) at[d] = idx[d];
  for (int d = 0; d < q - 1; d++) ki[d] = idx[d];
  for (int t = 0; t < tuple; t++) ki[q - 1] = ix(t), at[b + t] = pull_index(L, k, ki, dim(x, b + t), true);
  for (int d = b + (int)tuple; d < rank_of(x); d++) at[d] = idx[d - b - (int)tuple + q - 1];
  return pull(L, x, at);
}
// The updated cache in gather form: position i shows update t where i - w (mod L when circular) is t < S, else the past.
Ex *index_tensor_scatter(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  Value *past = n->in[0], *update = n->in[1];
  int rank = rank_of(past), axis = axis_of(n, "axis", rank);
  IExpr *w = node_in(n, 2) ? operand_index(L, n->in[2], idx[0], 0, IX_DIM_MAX) : ix(0), *at[MAX_RANK];
  memcpy(at, idx, (size_t)rank * sizeof *idx);
  IExpr *t = ix_sub(idx[axis], w);
  at[axis] = attr_is(n, "mode", "circular") ? ix_mod(t, dim(past, axis)) : t;
  IExpr *inside[2] = {at[axis], ix_addk(ix_sub(dim(update, axis), at[axis]), -1)};
  return pull_guarded(L, update, at, 2, inside, pull(L, past, idx));
}
Ex *index_one_hot(Lower *L, Node *n, int out, IExpr *const *idx) {
  Value *k = n->in[0], *values = n->in[2];
  int rank = rank_of(n->out[out]), axis = axis_of(n, "axis", rank);
  IExpr *at[MAX_RANK] = {0}, *v0[1] = {ix(0)}, *v1[1] = {ix(1)};
  for (int d = 0, i = 0; d < rank; d++)
    if (d != axis) at[i++] = idx[d];
  Ex *e = pull(L, k, at);
  if (e->type == DT_F32 || e->type == DT_F64) e = ex_cast(DT_I64, e);
  Ex *depth = ex_ix(e->type, dim(n->out[out], axis));
  e = ex_op(S_select, ex_op(S_lt, e, ex_i(e->type, 0), NULL), ex_op(S_add, e, depth, NULL), e);
  Ex *hit = ex_op(S_eq, e, ex_ix(e->type, idx[axis]), NULL);
  return ex_op(S_select, hit, pull(L, values, v1), pull(L, values, v0));
}

/* ---- tensors made of their own indices ---- */
Ex *index_constant_of_shape(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L, (void)idx;
  DType r = dtypes[n->out[out]->type->dtype].reg;
  const Attr *a = attr_find(n, "value");
  if (!a || a->kind != ATTR_TENSOR) return ex_num(r, 0);
  return r == DT_F32 || r == DT_F64 ? ex_f(r, tensor_float(a->t, 0)) : ex_i(r, tensor_int(a->t, 0));
}
Ex *index_shape(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L;
  int rank = rank_of(n->in[0]);
  int64_t k, start = attr_has(n, "start") ? attr_int(n, "start") : 0;
  if (start < 0) start += rank;
  if (start < 0) start = 0;
  if (ix_const(idx[0], &k)) return ex_ix(DT_I64, dim(n->in[0], (int)(start + k)));
  IExpr *count = dim(n->out[out], 0);
  if (!ix_const(count, &k) || k == 0) return ex_i(DT_I64, 0);
  Ex *e = ex_ix(DT_I64, dim(n->in[0], (int)(start + k - 1)));
  for (int64_t d = k - 2; d >= 0; d--) e = ex_sel(ix_sub(ix(d), idx[0]), ex_ix(DT_I64, dim(n->in[0], (int)(start + d))), e);
  return e;
}
Ex *index_size(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L, (void)idx, (void)out;
  return ex_ix(DT_I64, value_count(n->in[0]));
}
Ex *index_range(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  IExpr *none[1] = {ix(0)};
  for (int i = 0; i < 3; i++) at_most_rank(L, n->in[i], 1);
  Ex *start = pull(L, n->in[0], none), *step = pull(L, n->in[2], none);
  if (start->op == S_IX && (step->op == S_IX || step->op == S_CONST))
    return ex_ix(start->type, ix_add(start->ix[0], ix_mul(idx[0], step->op == S_IX ? step->ix[0] : ix(step->i))));
  Ex *i = ex_ix(start->type, idx[0]);
  return ex_op(S_add, start, ex_op(S_mul, i, step, NULL), NULL);
}
Ex *index_eye_like(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)L;
  DType r = dtypes[n->out[out]->type->dtype].reg;
  IExpr *d = ix_addk(ix_sub(idx[1], idx[0]), -attr_int(n, "k")); // 0 on the diagonal
  return ex_sel(d, ex_sel(ix_scale(d, -1), ex_num(r, 1), ex_num(r, 0)), ex_num(r, 0));
}

/* ---- Cast ---- */
static double greatest(DType t) { // finite value of the small float types that can saturate
  switch (t) {
  case DT_F8E4M3FN: return 448;
  case DT_F8E4M3FNUZ: return 240;
  case DT_F8E5M2:
  case DT_F8E5M2FNUZ: return 57344;
  case DT_F4E2M1: return 6;
  case DT_F6E2M3: return 7.5;
  case DT_F6E3M2: return 28;
  default: return 0;
  }
}
Ex *ex_round_saturating(DType to, Ex *e, bool saturate) {
  double m = greatest(to);
  if (m && (saturate || dtypes[to].bits < 8))
    e = ex_op(S_max, ex_op(S_min, e, ex_f(e->type, m), NULL), ex_f(e->type, -m), NULL); // both keep NaN
  return ex_cast_storage(e->type, to, e);
}
// Float8E8M0 holds powers of two; unless round_mode asks for the nearest, the next one above or below is made here, from f32's bits.
static Ex *to_power_of_two(Node *n, Ex *x) {
  bool up = attr_is(n, "round_mode", "up");
  Ex *f = ex_cast(DT_F32, x), *b = ex_op(S_bits, f, NULL, NULL);
  Ex *r = ex_op(S_and, up ? ex_op(S_add, b, ex_i(DT_I32, 0x7fffff), NULL) : b, ex_i(DT_I32, 0x7f800000), NULL);
  if (up && attr_int(n, "saturate")) r = ex_op(S_min, r, ex_i(DT_I32, 0x7f000000), NULL); // 2^127 is the greatest
  Ex *above = ex_op(S_lt, ex_i(DT_I32, up ? 0x400000 : 0x7fffff), b, NULL), *finite = ex_op(S_lt, b, ex_i(DT_I32, 0x7f800000), NULL);
  return ex_op(S_select, ex_op(S_and, above, finite, NULL), ex_op(S_bits, r, NULL, NULL), f); // tiny, negative, NaN: as they are
}
Ex *index_cast(Lower *L, Node *n, int out, IExpr *const *idx) {
  DType from = n->in[0]->type->dtype, to = n->out[out]->type->dtype;
  Ex *e = pull(L, n->in[0], idx);
  if (to == DT_F8E8M0 && from != to && !attr_is(n, "round_mode", "nearest"))
    e = to_power_of_two(n, ex_cast_storage(from, DT_F32, e)), from = DT_F32;
  if (!greatest(to) || from == to) return ex_cast_storage(from, to, e);
  if (e->type != DT_F32 && e->type != DT_F64) e = ex_cast_storage(from, DT_F32, e);
  return ex_round_saturating(to, e, attr_int(n, "saturate") != 0);
}
// The 16 bits of a float that was loaded as f32, in the low half of an i32.
static Ex *half_bits(DType t, Ex *x) {
  Ex *u = ex_op(S_bits, x, NULL, NULL);
  if (t == DT_BF16) return ex_op(S_ushr, u, ex_i(DT_I32, 16), NULL);
  Ex *sign = ex_op(S_and, ex_op(S_ushr, u, ex_i(DT_I32, 16), NULL), ex_i(DT_I32, 0x8000), NULL);
  Ex *size = ex_op(S_and, u, ex_i(DT_I32, 0x7fffffff), NULL), *top = ex_op(S_ushr, size, ex_i(DT_I32, 13), NULL);
  Ex *normal = ex_op(S_sub, top, ex_i(DT_I32, 112 << 10), NULL);                     // the exponents' biases differ by 112
  Ex *special = ex_op(S_sub, top, ex_i(DT_I32, 224 << 10), NULL);                    // infinity, NaN
  Ex *units = ex_op(S_mul, ex_op(S_abs, x, NULL, NULL), ex_f(DT_F32, 0x1p24), NULL); // below 2^-14: so many times 2^-24
  Ex *r = ex_op(S_select, ex_op(S_lt, size, ex_i(DT_I32, 0x7f800000), NULL), normal, special);
  r = ex_op(S_select, ex_op(S_lt, size, ex_i(DT_I32, 113 << 23), NULL), ex_cast(DT_I32, units), r);
  return ex_op(S_or, r, sign, NULL);
}
// The f32 value of a float whose 16 bits stand in the low half of an i32.
static Ex *half_from_bits(DType t, Ex *h) {
  if (t == DT_BF16) return ex_op(S_bits, ex_op(S_shl, h, ex_i(DT_I32, 16), NULL), NULL, NULL);
  Ex *sign = ex_op(S_shl, ex_op(S_and, h, ex_i(DT_I32, 0x8000), NULL), ex_i(DT_I32, 16), NULL);
  Ex *size = ex_op(S_and, h, ex_i(DT_I32, 0x7fff), NULL), *top = ex_op(S_shl, size, ex_i(DT_I32, 13), NULL);
  Ex *normal = ex_op(S_add, top, ex_i(DT_I32, 112 << 23), NULL), *special = ex_op(S_add, top, ex_i(DT_I32, 224 << 23), NULL);
  Ex *tiny = ex_op(S_bits, ex_op(S_mul, ex_cast(DT_F32, size), ex_f(DT_F32, 0x1p-24), NULL), NULL, NULL);
  Ex *r = ex_op(S_select, ex_op(S_lt, size, ex_i(DT_I32, 0x7c00), NULL), normal, special);
  r = ex_op(S_select, ex_op(S_lt, size, ex_i(DT_I32, 0x400), NULL), tiny, r);
  return ex_op(S_bits, ex_op(S_or, r, sign, NULL), NULL, NULL);
}
Ex *ex_reinterpret(DType from, DType to, Ex *e) {
  if (from == to) return e;
  bool ff = dtypes[from].is_float, tf = dtypes[to].is_float;
  if (dtypes[from].bits != dtypes[to].bits)
    fail(EXIT_UNSUPPORTED, "lower.bitcast", NOWHERE, "BitCast between %s and %s", dtypes[from].name, dtypes[to].name);
  if (dtypes[from].bits == 16 && (ff || tf)) {
    Ex *bits = ff ? half_bits(from, e) : ex_op(S_and, ex_cast(DT_I32, e), ex_i(DT_I32, 0xffff), NULL);
    return tf ? half_from_bits(to, bits) : ex_cast_storage(DT_I32, to, bits);
  }
  if (!ff && !tf) return to == DT_BOOL ? ex_cast(DT_BOOL, e) : ex_cast_storage(from, to, e);
  if (dtypes[from].bits >= 32 && (from == DT_F32 || from == DT_F64 || to == DT_F32 || to == DT_F64)) {
    if (!ff && dtypes[from].bits == 32) e = ex_cast(DT_I32, e); // u32 is kept in i64
    Ex *r = ex_op(S_bits, e, NULL, NULL);
    return to == DT_U32 ? ex_op(S_and, ex_cast(DT_I64, r), ex_i(DT_I64, 0xffffffff), NULL) : r;
  }
  fail(EXIT_UNSUPPORTED, "lower.bitcast", NOWHERE, "BitCast between %s and %s", dtypes[from].name, dtypes[to].name);
}
