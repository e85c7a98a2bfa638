// simplify_integer.c - products of 8-bit integers with constant weights.
//
// A processor that multiplies u8 by s8 four at a time takes a matrix product as it is, once the weights' zero point is in the weights and
// the operand's is a correction by the columns' sums: sum (x - a)(w - b) = sum x (w - b) - a sum (w - b).
//
// So are convolutions of channels that fill blocks, also those between DequantizeLinear and QuantizeLinear. Elsewhere they become float
// products where those are exact: f32 holds every integer up to 2^24. If the largest operand times a column's sum of |w - zero| stays below
// that, no partial sum is ever rounded, in whatever order it is formed, and the float kernels (with FMA, blocked tensors) give the same
// bits as integer ones.
#include "passes/rewrite.h"
#include "passes/simplify.h"
#include <stdlib.h>

#define FILTER_ATTRS "auto_pad dilations group kernel_shape pads strides"
enum { EXACT = 1 << 24 };

static bool is_byte(const Value *v) {
  return v && v->type && v->type->kind == TYPE_TENSOR && (v->type->dtype == DT_U8 || v->type->dtype == DT_I8);
}

// The largest |x - zero|
static int64_t reach(const Value *x, const Value *zero) {
  int64_t z = 0, lo = dtype(x) == DT_U8 ? 0 : -128, hi = lo + 255;
  if (zero && (!is_const(zero) || tensor_count(zero->data) != 1)) return 255;
  if (zero) z = tensor_int(zero->data, 0);
  return z - lo > hi - z ? z - lo : hi - z;
}

// The largest sum of |w - zero| that one result sees: over all but the columns of a matrix, or all but the first axis of a filter.
static int64_t largest_sum(const Tensor *w, const Tensor *zero, bool filter) {
  int64_t n = tensor_count(w), cols = filter ? w->dim[0] : w->dim[w->rank - 1], each = cols ? n / cols : 0, most = 0;
  for (int64_t c = 0; c < cols; c++) {
    int64_t z = !zero ? 0 : tensor_int(zero, tensor_count(zero) == 1 ? 0 : c), sum = 0;
    for (int64_t i = 0; i < each; i++) sum += llabs(tensor_int(w, filter ? c * each + i : i * cols + c) - z);
    if (sum > most) most = sum;
  }
  return most;
}

static Value *centred(const B *b, Value *x, Value *zero, int axis, int rank) { // x - zero in f32; a vector of zeros lies along the axis
  Value *f = cast(b, x, DT_F32);
  if (!zero || (is_const(zero) && tensor_count(zero->data) == 1 && tensor_int(zero->data, 0) == 0)) return f;
  Value *z = cast(b, zero, DT_F32);
  int64_t one;
  if (ix_const(value_count(z), &one) && one == 1) return sub(b, f, reshape_to(b, z, 0, NULL));
  return sub(b, f, along(b, z, axis, rank));
}

/* ---- u8 times s8, four steps at a time ---- */
static bool zero_everywhere(const Value *z) {
  double k;
  return !z || (all_equal(z, &k) && k == 0);
}
static bool padded(const Node *conv) {
  const int64_t *pads;
  int n = attr_ints(conv, "pads", &pads);
  for (int i = 0; i < n; i++)
    if (pads[i]) return true;
  return attr_is(conv, "auto_pad", "SAME_UPPER") || attr_is(conv, "auto_pad", "SAME_LOWER");
}
// Does the processor multiply them as they are? A filter's channels must fill blocks: then the data lies channel by channel (layout.c).
// Padding adds zeros, so a zero point of padded data must be 0.
static bool dots(const B *b, const Value *x, const Value *w, const Value *xz, bool filter) {
  const Target *t = simplify_options ? simplify_options->target : NULL;
  if (!t || !t->vnni || dtype(x) != DT_U8) return false;
  const int64_t *d = w->data->dim;
  if (!filter) return value_rank(w) == 2 && d[0] % 4 == 0 && d[1] >= t->lanes;
  if (value_rank(w) != 4 || attr_int(b->at, "group") != 1 || d[1] % t->lanes || d[0] % t->lanes || !x->def) return false;
  return zero_everywhere(xz) || !padded(b->at);
}
// The weights less their zero points, as s8; NULL: they do not fit. sums: those of its columns (of each filter), i32
static Value *signed_weights(const B *b, const Tensor *w, const Tensor *zero, bool filter, Value **sums) {
  int64_t n = tensor_count(w), cols = filter ? w->dim[0] : w->dim[1], each = n / cols;
  Tensor *s = tensor_new(DT_I8, w->rank, w->dim, NULL), *t = tensor_new(DT_I32, 1, &cols, NULL);
  for (int64_t c = 0; c < cols; c++) {
    int64_t z = !zero ? 0 : tensor_int(zero, tensor_count(zero) == 1 ? 0 : c), sum = 0;
    for (int64_t i = 0; i < each; i++) {
      int64_t at = filter ? c * each + i : i * cols + c, v = tensor_int(w, at) - z;
      if (v < -128 || v > 127) return NULL;
      tensor_set_int(s, at, v), sum += v;
    }
    tensor_set_int(t, c, sum);
  }
  *sums = graph_const(b->g, NULL, t);
  return graph_const(b->g, NULL, s);
}
static Value *dot_product(const B *b, Value *x, Value *w, Value *xz, Value *wz, bool filter) {
  Value *sums, *s = signed_weights(b, w->data, wz ? wz->data : NULL, filter, &sums);
  if (!s) return NULL;
  Node *n = start(b, filter ? OP_ConvInteger : OP_MatMulInteger, VALUES(x, s), 1);
  if (filter) copy_attrs(n, b->at, FILTER_ATTRS);
  Value *p = finish(n);
  if (zero_everywhere(xz)) return p;
  return sub(b, p, mul(b, reshape_to(b, cast(b, xz, DT_I32), 0, NULL), filter ? along(b, sums, 1, 4) : sums));
}

/* ---- a product between DequantizeLinear and QuantizeLinear ---- */
static Node *dequantized(const Value *v) { // by constants
  Node *n = v ? v->def : NULL;
  if (!n || n->op->id != OP_DequantizeLinear || !is_byte(n->in[0]) || dtype(n->out[0]) != DT_F32) return NULL;
  return is_const(n->in[1]) && (!node_in(n, 2) || is_const(n->in[2])) ? n : NULL;
}
static bool per_tensor(const Node *n) { return tensor_count(n->in[1]->data) == 1; }
static bool per_column(const Node *n, const Tensor *w, int axis) {
  int64_t at = attr_int(n, "axis");
  return per_tensor(n) || (value_rank(n->in[1]) == 1 && (at < 0 ? at + w->rank : at) == axis && n->in[1]->data->dim[0] == w->dim[axis]);
}
// sx (x - zx) times sw (w - zw) is sx sw times the integers' product: what was quantised is multiplied as it is. Conv, MatMul.
Value *simplify_quantized_product(const B *b) {
  bool filter = b->at->op->id == OP_Conv;
  Node *x = dequantized(in(b, 0)), *w = dequantized(in(b, 1));
  if (!may_reassociate() || !x || !w || !per_tensor(x) || !is_const(w->in[0]) || value_rank(x->in[0]) < 2) return NULL;
  const Tensor *t = w->in[0]->data;
  Value *xz = node_in(x, 2), *wz = node_in(w, 2);
  if (t->rank < 2 || !per_column(w, t, filter ? 0 : 1) || !dots(b, x->in[0], w->in[0], xz, filter)) return NULL;
  Value *p = dot_product(b, x->in[0], w->in[0], xz, wz, filter);
  if (!p) return NULL;
  Value *scale = mul(b, reshape_to(b, x->in[1], 0, NULL), per_tensor(w) ? reshape_to(b, w->in[1], INTS(1)) : w->in[1]);
  p = mul(b, cast(b, p, DT_F32), filter ? along(b, scale, 1, 4) : scale);
  return in(b, 2) ? add(b, p, along(b, in(b, 2), 1, 4)) : p;
}

Value *simplify_integer_product(const B *b) {
  bool filter = b->at->op->id == OP_ConvInteger;
  Value *x = in(b, 0), *w = in(b, 1), *xz = in(b, 2), *wz = in(b, 3);
  if (!is_byte(x) || !is_byte(w) || !is_const(w) || (wz && !is_const(wz)) || value_rank(x) < 2 || value_rank(w) < 2) return NULL;
  if (!filter && value_rank(w) != 2) return NULL;
  int64_t nz = wz ? tensor_count(wz->data) : 1;
  if (nz != 1 && (value_rank(wz) != 1 || nz != w->data->dim[filter ? 0 : 1])) return NULL;
  if (xz && !ix_is(value_count(xz), 1)) return NULL;
  if (dots(b, x, w, xz, filter)) {
    if (dtype(w) == DT_I8 && !xz && !wz) return NULL; // that is the form
    Value *p = dot_product(b, x, w, xz, wz, filter);
    if (p) return p;
  }
  if (reach(x, xz) * largest_sum(w->data, wz ? wz->data : NULL, filter) > EXACT) return NULL;
  Value *a = centred(b, x, xz, 0, value_rank(x)), *k = centred(b, w, wz, filter ? 0 : 1, value_rank(w));
  Node *p = start(b, filter ? OP_Conv : OP_MatMul, VALUES(a, k), 1);
  if (filter) copy_attrs(p, b->at, FILTER_ATTRS);
  return cast(b, finish(p), DT_I32);
}
