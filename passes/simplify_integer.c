// simplify_integer.c - products of 8-bit integers with constant weights.
//
// A processor that multiplies u8 by s8 four at a time takes a matrix product as it is, once the weights' zero point is in the weights and
// the operand's is a correction by the columns' sums: sum (x - a)(w - b) = sum x (w - b) - a sum (w - b).
//
// Elsewhere, and for filters, they become float products where those are exact:
// f32 holds every integer up to 2^24. If the largest operand times a column's sum of |w - zero| stays below that, no partial sum is ever
// rounded, in whatever order it is formed, and the float kernels (with FMA, blocked tensors) give the same bits as integer ones.
#include "passes/rewrite.h"
#include "passes/simplify.h"
#include <stdlib.h>

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

static bool dots(const Value *x, const Value *w) { // can they be multiplied as they are, four steps at a time?
  const Target *t = simplify_options ? simplify_options->target : NULL;
  return t && t->vnni && dtype(x) == DT_U8 && value_rank(w) == 2 && w->data->dim[0] % 4 == 0 && w->data->dim[1] >= t->lanes;
}
// The weights less their zero points, as s8; NULL: they do not fit. sums: those of its columns, i32
static Value *signed_weights(const B *b, const Tensor *w, const Tensor *zero, Value **sums) {
  Tensor *s = tensor_new(DT_I8, 2, w->dim, NULL), *t = tensor_new(DT_I32, 1, &w->dim[1], NULL);
  int64_t n = w->dim[1];
  for (int64_t j = 0; j < n; j++) {
    int64_t z = !zero ? 0 : tensor_int(zero, tensor_count(zero) == 1 ? 0 : j), sum = 0;
    for (int64_t i = 0; i < w->dim[0]; i++) {
      int64_t v = tensor_int(w, i * n + j) - z;
      if (v < -128 || v > 127) return NULL;
      tensor_set_int(s, i * n + j, v), sum += v;
    }
    tensor_set_int(t, j, sum);
  }
  *sums = graph_const(b->g, NULL, t);
  return graph_const(b->g, NULL, s);
}
static Value *dot_product(const B *b, Value *x, Value *w, Value *xz, Value *wz) {
  Value *sums, *s = signed_weights(b, w->data, wz ? wz->data : NULL, &sums);
  if (!s) return NULL;
  Value *p = op2(b, OP_MatMulInteger, x, s);
  double z;
  if (!xz || (all_equal(xz, &z) && z == 0)) return p;
  return sub(b, p, mul(b, reshape_to(b, cast(b, xz, DT_I32), 0, NULL), sums));
}

Value *simplify_integer_product(const B *b) {
  bool filter = b->at->op->id == OP_ConvInteger;
  Value *x = in(b, 0), *w = in(b, 1), *xz = in(b, 2), *wz = in(b, 3);
  if (!is_byte(x) || !is_byte(w) || !is_const(w) || (wz && !is_const(wz)) || value_rank(x) < 2 || value_rank(w) < 2) return NULL;
  if (!filter && value_rank(w) != 2) return NULL;
  int64_t nz = wz ? tensor_count(wz->data) : 1;
  if (nz != 1 && (value_rank(wz) != 1 || nz != w->data->dim[filter ? 0 : 1])) return NULL;
  if (xz && !ix_is(value_count(xz), 1)) return NULL;
  if (!filter && dots(x, w)) {
    if (dtype(w) == DT_I8 && !xz && !wz) return NULL; // that is the form
    Value *p = dot_product(b, x, w, xz, wz);
    if (p) return p;
  }
  if (reach(x, xz) * largest_sum(w->data, wz ? wz->data : NULL, filter) > EXACT) return NULL;
  Value *a = centred(b, x, xz, 0, value_rank(x)), *k = centred(b, w, wz, filter ? 0 : 1, value_rank(w));
  Node *p = start(b, filter ? OP_Conv : OP_MatMul, VALUES(a, k), 1);
  if (filter) copy_attrs(p, b->at, "auto_pad dilations group kernel_shape pads strides");
  return cast(b, finish(p), DT_I32);
}
