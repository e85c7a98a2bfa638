// expand_quant.c - quantised operators: integer products are exact in i32; everything else dequantises, computes in f32, quantises again.
//
// Rounding is half to even, the zero point is added after it (QuantizeLinear). A fused integer kernel may replace these forms later.
#include "passes/expand_quant.h"
#include <math.h>

/* ---- pieces ---- */
static bool one_element(const Value *v) {
  int64_t n;
  return rank_of(v) == 0 || (ix_const(value_count(v), &n) && n == 1);
}

static Value *scalar_of(const B *b, Value *v) { return v && rank_of(v) && one_element(v) ? reshape_to(b, v, 0, NULL) : v; }

Value *dequantise(const B *b, Value *x, Value *scale, Value *zero, int axis) {
  scale = scalar_of(b, scale);
  zero = scalar_of(b, zero);
  Node *n = zero ? start(b, OP_DequantizeLinear, VALUES(x, scale, zero), 1) : start(b, OP_DequantizeLinear, VALUES(x, scale), 1);
  node_set_int(n, "axis", axis);
  return finish(n);
}

Value *quantise(const B *b, Value *y, Value *scale, Value *zero, DType to) {
  scale = cast(b, scalar_of(b, scale), dtype(y));
  zero = scalar_of(b, zero);
  Node *n = zero ? start(b, OP_QuantizeLinear, VALUES(y, scale, zero), 1) : start(b, OP_QuantizeLinear, VALUES(y, scale), 1);
  if (!zero) node_set_int(n, "output_dtype", to);
  return finish(n);
}

// acc (i32) * factor, to the grid of (one, zero)
Value *requantise(const B *b, Value *acc, Value *factor, Value *zero, DType to) {
  return quantise(b, mul(b, cast(b, acc, DT_F32), factor), num(b, DT_F32, 1), zero, to);
}

Value *integer_product(const B *b, OpId op, Value *x, Value *w, Value *xz, Value *wz) {
  if (!xz && wz) xz = num_like(b, x, 0);
  int n = wz ? 4 : xz ? 3 : 2;
  Node *p = start(b, op, n, (Value *[]){x, w, scalar_of(b, xz), scalar_of(b, wz)}, 1);
  if (op == OP_ConvInteger) copy_attrs(p, b->at, "auto_pad dilations group kernel_shape pads strides");
  return finish(p);
}

static Value *f32_scale(const B *b, Value *s) { return cast(b, scalar_of(b, s), DT_F32); }

/* ---- ai.onnx ---- */
void expand_dynamic_quantize_linear(const B *b) {
  Value *x = in(b, 0), *zero = num_like(b, x, 0), *full = num_like(b, x, 255);
  Node *lo_n = start(b, OP_ReduceMin, VALUES(x), 1), *hi_n = start(b, OP_ReduceMax, VALUES(x), 1);
  node_set_int(lo_n, "keepdims", 0);
  node_set_int(hi_n, "keepdims", 0);
  Value *lo = op2(b, OP_Min, finish(lo_n), zero), *hi = op2(b, OP_Max, finish(hi_n), zero);
  Value *s = quo(b, sub(b, hi, lo), full);
  s = where(b, op2(b, OP_Equal, s, zero), num_like(b, x, 1), s); // all zeros: any scale does
  Value *z = op1(b, OP_Round, op3(b, OP_Clip, sub(b, zero, quo(b, lo, s)), zero, full));
  z = cast(b, z, DT_U8);
  give(b, 0, quantise(b, x, s, z, DT_U8));
  give(b, 1, s);
  give(b, 2, z);
}

// a's scale or zero point, one per row of [..,M,K]: as a column
static Value *per_row(const B *b, Value *v) { return v && rank_of(v) == 1 && !one_element(v) ? unsqueeze(b, v, INTS(1)) : v; }

void expand_qlinear_matmul(const B *b) {
  Value *a = in(b, 0), *w = in(b, 3), *sa = f32_scale(b, per_row(b, in(b, 1))), *sw = f32_scale(b, in(b, 4)), *sy = f32_scale(b, in(b, 6));
  DType to = dtype(in(b, 7));
  if (dtypes[dtype(a)].is_float) { // float8
    Value *y = matmul(b, mul(b, cast(b, a, DT_F32), sa), mul(b, cast(b, w, DT_F32), sw));
    give(b, 0, quantise(b, y, sy, in(b, 7), to));
    return;
  }
  Value *acc = integer_product(b, OP_MatMulInteger, a, w, in(b, 2), in(b, 5));
  give(b, 0, requantise(b, acc, quo(b, mul(b, sa, sw), sy), in(b, 7), to));
}

static Value *channels(const B *b, Value *v, int rank) { // a vector over axis 1 of [N,M,..]; one element stays rank 0
  v = scalar_of(b, v);
  return rank_of(v) == 1 ? along(b, v, 1, rank) : v;
}

void expand_qlinear_conv(const B *b) {
  bool last = b->at->op->id == OP_ms_QLinearConv && attr_int(b->at, "channels_last");
  Value *x = in(b, 0), *bias = in(b, 8);
  if (last) x = to_nchw(b, x);
  Value *acc = integer_product(b, OP_ConvInteger, x, in(b, 3), in(b, 2), in(b, 5));
  int r = rank_of(acc);
  if (bias) acc = add(b, acc, along(b, bias, 1, r));
  Value *factor = quo(b, mul(b, f32_scale(b, in(b, 1)), channels(b, cast(b, in(b, 4), DT_F32), r)), f32_scale(b, in(b, 6)));
  Value *y = requantise(b, acc, factor, in(b, 7), dtype(in(b, 7)));
  give(b, 0, last ? to_nhwc(b, y) : y);
}

/* ---- com.microsoft: operand triples (x, scale, zero point) ---- */
static Value *triple(const B *b, int i) { return dequantise(b, in(b, i), in(b, i + 1), in(b, i + 2), 1); }
static void give_quantised(const B *b, Value *y, int scale) {
  give(b, 0, quantise(b, y, in(b, scale), in(b, scale + 1), dtype(b->at->out[0])));
}

void expand_qlinear_add(const B *b) { give_quantised(b, add(b, triple(b, 0), triple(b, 3)), 6); }
void expand_qlinear_mul(const B *b) { give_quantised(b, mul(b, triple(b, 0), triple(b, 3)), 6); }
void expand_qlinear_where(const B *b) { give_quantised(b, where(b, in(b, 0), triple(b, 1), triple(b, 4)), 7); }
void expand_qlinear_sigmoid(const B *b) { give_quantised(b, sigmoid(b, triple(b, 0)), 3); }

void expand_qlinear_leaky_relu(const B *b) {
  Node *n = start(b, OP_LeakyRelu, VALUES(triple(b, 0)), 1);
  copy_attrs(n, b->at, "alpha");
  node_set_float(n, "alpha", attr_float(b->at, "alpha"));
  give_quantised(b, finish(n), 3);
}

void expand_qlinear_softmax(const B *b) {
  Value *x = triple(b, 0), *y;
  int axis = (int)attr_int(b->at, "axis"), r = rank_of(x);
  if (axis < 0) axis += r;
  if (attr_int(b->at, "opset") >= 13) y = softmax(b, x, axis, false, NULL, false);
  else { // over everything from the axis on
    Node *f = start(b, OP_Flatten, VALUES(x), 1);
    node_set_int(f, "axis", axis);
    y = reshape(b, softmax(b, finish(f), 1, false, NULL, false), shape_of(b, x));
  }
  give_quantised(b, y, 3);
}

void expand_qlinear_concat(const B *b) {
  Value *part[64];
  int n = (b->at->nin - 2) / 3;
  if (n > 64) cannot(b, "%d operands", n);
  for (int i = 0; i < n; i++) part[i] = triple(b, 2 + 3 * i);
  Value *y = concat(b, (int)attr_int(b->at, "axis"), n, part);
  give_quantised(b, y, 0);
}

void expand_qlinear_average_pool(const B *b) {
  bool last = attr_int(b->at, "channels_last");
  Value *x = triple(b, 0);
  Node *n = start(b, OP_AveragePool, VALUES(last ? to_nchw(b, x) : x), 1);
  copy_attrs(n, b->at, "auto_pad ceil_mode count_include_pad kernel_shape pads strides");
  Value *y = finish(n);
  give_quantised(b, last ? to_nhwc(b, y) : y, 3);
}

void expand_qlinear_global_average_pool(const B *b) {
  bool last = attr_int(b->at, "channels_last");
  Value *x = triple(b, 0);
  if (last) x = to_nchw(b, x);
  Value *y = reduce_from(b, OP_ReduceMean, x, 2);
  give_quantised(b, last ? to_nhwc(b, y) : y, 3);
}

void expand_qlinear_reduce_mean(const B *b) {
  const int64_t *axes;
  int n = attr_ints(b->at, "axes", &axes);
  give_quantised(b, reduce(b, OP_ReduceMean, triple(b, 0), n, axes, attr_int(b->at, "keepdims")), 3);
}

void expand_reduce_sum_integer(const B *b) {
  const int64_t *axes;
  int n = attr_ints(b->at, "axes", &axes);
  Value *y = reduce(b, OP_ReduceSum, cast(b, in(b, 0), DT_I32), n, axes, attr_int(b->at, "keepdims"));
  give(b, 0, cast(b, y, dtype(b->at->out[0])));
}

/* ---- integer matrix products with float results ---- */
void expand_matmul_integer_to_float(const B *b) {
  Value *acc = integer_product(b, OP_MatMulInteger, in(b, 0), in(b, 1), in(b, 4), in(b, 5));
  DType dt = dtype(in(b, 2));
  Value *y = mul(b, cast(b, acc, DT_F32), mul(b, f32_scale(b, per_row(b, in(b, 2))), f32_scale(b, in(b, 3))));
  give(b, 0, cast(b, add_opt(b, y, in(b, 6) ? cast(b, in(b, 6), DT_F32) : NULL), dt));
}

// x quantised per tensor to u8 -> values, scale, zero point
static void dynamic_quantise(const B *b, Value *x, Value **q, Value **s, Value **z) {
  Node *n = start(b, OP_DynamicQuantizeLinear, VALUES(x), 3);
  *q = finish(n);
  *s = n->out[1];
  *z = n->out[2];
}

void expand_dynamic_quantize_matmul(const B *b) {
  Value *q, *s, *z;
  dynamic_quantise(b, in(b, 0), &q, &s, &z);
  Value *acc = integer_product(b, OP_MatMulInteger, q, in(b, 1), z, in(b, 3));
  give(b, 0, add_opt(b, mul(b, cast(b, acc, DT_F32), mul(b, s, f32_scale(b, in(b, 2)))), in(b, 4)));
}

void expand_qgemm(const B *b) {
  Value *x = in(b, 0), *w = in(b, 3), *c = in(b, 6);
  if (attr_int(b->at, "transA")) x = swap_last(b, x);
  if (attr_int(b->at, "transB")) w = swap_last(b, w);
  Value *acc = add_opt(b, integer_product(b, OP_MatMulInteger, x, w, in(b, 2), in(b, 5)), c);
  Value *factor = mul(b, mul(b, f32_scale(b, in(b, 1)), f32_scale(b, in(b, 4))), num(b, DT_F32, attr_float(b->at, "alpha")));
  if (!in(b, 7)) give(b, 0, mul(b, cast(b, acc, DT_F32), factor));
  else give(b, 0, requantise(b, acc, quo(b, factor, f32_scale(b, in(b, 7))), in(b, 8), dtype(b->at->out[0])));
}

/* ---- larger ones: their float form over dequantised operands ---- */
static Value *plain(const B *b, int i, int scale, int zero) {
  return in(b, i) ? dequantise(b, in(b, i), in(b, scale), in(b, zero), 1) : NULL;
}

void expand_qembed_layer_normalization(const B *b) {
  Node *n = start(b, OP_ms_EmbedLayerNormalization,
                  VALUES(in(b, 0), in(b, 1), plain(b, 2, 8, 13), plain(b, 3, 9, 14), plain(b, 4, 10, 15), plain(b, 5, 11, 16),
                         plain(b, 6, 12, 17), in(b, 7)),
                  2);
  copy_attrs(n, b->at, "epsilon");
  give(b, 0, finish(n));
  give(b, 1, n->out[1]);
}
