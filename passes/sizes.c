// sizes.c - results whose sizes come from numbers that no index expression holds (floats, words): OneHot's depth, Range's bounds, Resize's
// scales.
//
// Before: types; such a result's dims are fresh symbols that nobody sets. After: the sizes are computed by integer graph ops, whose
// elements the next infer loads as symbols. Resize with antialias becomes products with matrices of weights, whatever is known.
#include "passes/expand.h"
#include "passes/infer.h"
#include <string.h>

static bool is_fresh(const Value *v) {
  for (int i = 0; i < inferred.nfresh; i++)
    if (inferred.fresh[i].value == v) return true;
  return false;
}
static Value *unary(const B *b, OpId op, Value *x) { return op1(b, op, x); }
static Value *to_i64(const B *b, Value *x) { return cast(b, x, DT_I64); }

/* ---- OneHot, Range ---- */

static void depth_as_integer(const B *b) { node_set_in(b->at, 1, to_i64(b, in(b, 1))); }

// start + delta * (0 .. n-1), n = max(0, ceil((limit - start) / delta)), in f32 or f64, which hold integers of 16 bits exactly
static void range_by_count(const B *b) {
  DType to = dtype(in(b, 0)), t = to == DT_F64 ? DT_F64 : DT_F32;
  Value *start = cast(b, in(b, 0), t), *limit = cast(b, in(b, 1), t), *delta = cast(b, in(b, 2), t);
  Value *n = to_i64(b, unary(b, OP_Ceil, quo(b, sub(b, limit, start), delta)));
  n = op2(b, OP_Max, n, num(b, DT_I64, 0));
  Value *i = op3(b, OP_Range, num(b, DT_I64, 0), n, num(b, DT_I64, 1));
  give(b, 0, cast(b, add(b, start, mul(b, cast(b, i, t), delta)), to));
}

/* ---- Resize ---- */

static int resized_axes(const B *b, int64_t *axis) {
  const int64_t *given;
  int rank = rank_of(in(b, 0)), n = attr_ints(b->at, "axes", &given);
  if (!attr_has(b->at, "axes")) n = rank;
  for (int i = 0; i < n; i++) axis[i] = !attr_has(b->at, "axes") ? i : given[i] < 0 ? given[i] + rank : given[i];
  return n;
}

// floor(dim * scale), as sizes beside the scales, which stay for the positions
static void sizes_from_scales(const B *b) {
  int64_t axis[MAX_RANK];
  int n = resized_axes(b, axis);
  Value *dim[MAX_RANK];
  for (int i = 0; i < n; i++) dim[i] = dim_of(b, in(b, 0), (int)axis[i]);
  Value *scaled = mul(b, cast(b, join(b, n, dim), DT_F32), cast(b, in(b, 2), DT_F32));
  node_set_in(b->at, 3, to_i64(b, unary(b, OP_Floor, scaled)));
}

static bool mode(const B *b, const char *m) { return attr_is(b->at, "coordinate_transformation_mode", m); }

// Positions in the input of the outputs 0 .. out-1: f32[out,1]
static Value *positions(const B *b, Value *in_size, Value *out_size, Value *scale) {
  Value *half = num(b, DT_F32, 0.5), *one = num(b, DT_F32, 1), *length = mul(b, cast(b, in_size, DT_F32), scale);
  Value *i = op3(b, OP_Range, num(b, DT_I64, 0), squeeze(b, out_size, 0), num(b, DT_I64, 1));
  i = unsqueeze(b, cast(b, i, DT_F32), INTS(1));
  Value *centre = sub(b, quo(b, add(b, i, half), scale), half);
  if (mode(b, "asymmetric")) return quo(b, i, scale);
  if (mode(b, "align_corners")) return quo(b, mul(b, i, sub(b, cast(b, in_size, DT_F32), one)), op2(b, OP_Max, sub(b, length, one), one));
  if (mode(b, "pytorch_half_pixel")) return where(b, op2(b, OP_Greater, length, one), centre, num(b, DT_F32, 0));
  if (mode(b, "half_pixel_symmetric")) {
    Value *adjust = quo(b, cast(b, out_size, DT_F32), length), *middle = mul(b, cast(b, in_size, DT_F32), half);
    return add(b, mul(b, middle, sub(b, one, adjust)), centre);
  }
  if (!mode(b, "half_pixel")) cannot(b, "Resize with antialias and this coordinate transformation is not supported");
  return centre;
}

// The filter at distance d (already scaled, >= 0): a triangle, or Keys' cubic.
static Value *filter(const B *b, Value *d) {
  Value *one = num(b, DT_F32, 1), *zero = num(b, DT_F32, 0);
  if (attr_is(b->at, "mode", "linear")) return op2(b, OP_Max, sub(b, one, d), zero);
  double A = attr_float(b->at, "cubic_coeff_a");
  Value *a = num(b, DT_F32, A), *d2 = mul(b, d, d), *d3 = mul(b, d2, d);
  Value *inner = add(b, sub(b, mul(b, num(b, DT_F32, A + 2), d3), mul(b, num(b, DT_F32, A + 3), d2)), one);
  Value *outer =
      sub(b, add(b, sub(b, mul(b, a, d3), mul(b, num(b, DT_F32, 5 * A), d2)), mul(b, num(b, DT_F32, 8 * A), d)), num(b, DT_F32, 4 * A));
  Value *rest = where(b, op2(b, OP_Less, d, num(b, DT_F32, 2)), outer, zero);
  return where(b, op2(b, OP_LessOrEqual, d, one), inner, rest);
}

// One axis: x is read at -pad .. in+pad-1 (clamped), and multiplied with weights of [out, in+2*pad] whose rows add up to 1.
static Value *antialias_axis(const B *b, Value *x, int axis, Value *out_size, Value *scale) {
  Value *in_size = dim_of(b, x, axis), *one = num(b, DT_I64, 1), *zero = num(b, DT_I64, 0);
  Value *small = op2(b, OP_Min, scale, num(b, DT_F32, 1)), *reach = num(b, DT_F32, attr_is(b->at, "mode", "linear") ? 1 : 2);
  Value *pad = add(b, to_i64(b, unary(b, OP_Ceil, quo(b, reach, small))), one);
  Value *count = add(b, in_size, mul(b, pad, num(b, DT_I64, 2)));
  Value *p = sub(b, op3(b, OP_Range, zero, squeeze(b, count, 0), one), pad), *last = sub(b, in_size, one); // i64[count]
  Value *clamped = op2(b, OP_Min, op2(b, OP_Max, p, zero), last);
  Value *d = unary(b, OP_Abs, mul(b, sub(b, cast(b, p, DT_F32), positions(b, in_size, out_size, scale)), small)); // [out,count]
  Value *w = filter(b, d);
  if (attr_int(b->at, "exclude_outside")) w = where(b, op2(b, OP_Equal, p, clamped), w, num(b, DT_F32, 0));
  w = quo(b, w, op2_int(b, OP_ReduceSum, w, ints(b, INTS(1)), "keepdims", 1));
  int64_t perm[MAX_RANK];
  int rank = rank_of(x);
  for (int i = 0; i < rank; i++) perm[i] = i == axis ? rank - 1 : i == rank - 1 ? axis : i;
  Value *gathered = transpose(b, op2_int(b, OP_Gather, x, clamped, "axis", axis), rank, perm); // the axis last
  return transpose(b, matmul(b, gathered, transpose(b, w, INTS(1, 0))), rank, perm);
}

// One scale for all axes, that makes the result as large as the sizes allow, or no smaller than they ask: f32[1]
static Value *common_scale(const B *b, Value *x, int n, const int64_t *axis) {
  Value *s = NULL;
  for (int i = 0; i < n; i++) {
    Value *own = quo(b, cast(b, slice(b, in(b, 3), 0, i, i + 1), DT_F32), cast(b, dim_of(b, x, (int)axis[i]), DT_F32));
    s = !s ? own : op2(b, attr_is(b->at, "keep_aspect_ratio_policy", "not_larger") ? OP_Min : OP_Max, s, own);
  }
  return s;
}

static void resize_antialias(const B *b) {
  int64_t axis[MAX_RANK];
  int n = resized_axes(b, axis);
  Value *x = cast(b, in(b, 0), DT_F32), *scales = in(b, 2), *sizes = in(b, 3);
  bool scaled = scales && !(rank_of(scales) == 1 && ix_is(scales->type->dim[0], 0));
  Value *common = !scaled && !attr_is(b->at, "keep_aspect_ratio_policy", "stretch") ? common_scale(b, x, n, axis) : NULL;
  for (int i = 0; i < n; i++) {
    Value *in_size = cast(b, dim_of(b, x, (int)axis[i]), DT_F32), *scale, *out;
    if (scaled) {
      scale = slice(b, cast(b, scales, DT_F32), 0, i, i + 1);
      out = to_i64(b, unary(b, OP_Floor, mul(b, in_size, scale)));
    } else if (common) { // halves are rounded up
      scale = common;
      out = to_i64(b, unary(b, OP_Floor, add(b, mul(b, in_size, scale), num(b, DT_F32, 0.5))));
    } else out = slice(b, sizes, 0, i, i + 1), scale = quo(b, cast(b, out, DT_F32), in_size);
    double whole;
    if (scale->data && (whole = tensor_float(scale->data, 0)) == 1) continue;
    x = antialias_axis(b, x, (int)axis[i], out, scale);
  }
  DType to = dtype(in(b, 0));
  if (dtypes[to].is_int) x = unary(b, OP_Round, x);
  if (dtypes[to].is_int && dtypes[to].bits <= 16) {
    double lo = dtypes[to].is_signed ? -(double)((int64_t)1 << (dtypes[to].bits - 1)) : 0;
    x = op3(b, OP_Clip, x, num(b, DT_F32, lo), num(b, DT_F32, lo + (double)((int64_t)1 << dtypes[to].bits) - 1));
  }
  give(b, 0, cast(b, x, to));
}

/* ---- the pass ---- */

static void visit(Graph *g);
static void node(Node *n) {
  B b = {n->graph, n, n};
  Value *x = node_in(n, 0), *second = node_in(n, 1);
  bool aliased = n->op->id == OP_Resize && attr_int(n, "antialias") && !attr_is(n, "mode", "nearest");
  if (aliased) resize_antialias(&b);
  else if (!n->nout || !n->out[0] || !is_fresh(n->out[0])) return;
  else if (n->op->id == OP_OneHot && dtypes[dtype(second)].is_float) depth_as_integer(&b);
  else if (n->op->id == OP_Range && (dtypes[dtype(x)].is_float || dtypes[dtype(x)].bits < 32)) range_by_count(&b);
  else if (n->op->id == OP_Resize && node_in(n, 2) && !node_in(n, 3)) sizes_from_scales(&b);
}

static void visit(Graph *g) {
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nregion; i++) visit(n->region[i]);
    node(n);
  }
}

void pass_sizes(Graph *g) { visit(g); }
