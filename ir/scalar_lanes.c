// scalar_lanes.c - what every row of scalar.def computes, over lanes. Nothing here may trap or be undefined for any operand.
//
// Floats: compiled without contraction (-ffp-contract=off), so a product and a sum are two roundings; fma is one. The loops are plain so
// that the compiler vectorises them; on x86 it also makes copies for newer processors (fma and the rounding modes are one instruction
// there), which changes no result.
#include "clones.h"
#include "scalar.h"
#include <math.h>
#include <string.h>

// One loop over the lanes; x, y, z are the operands' lanes, of type T; the result has type R.
#define EACH(R, T, e)                                                                                                                      \
  do {                                                                                                                                     \
    R *p = r;                                                                                                                              \
    const T *X = a, *Y = b ? b : a, *Z = c ? c : a;                                                                                        \
    for (int l = 0; l < n; l++) {                                                                                                          \
      T x = X[l], y = Y[l], z = Z[l];                                                                                                      \
      (void)x, (void)y, (void)z;                                                                                                           \
      p[l] = (R)(e);                                                                                                                       \
    }                                                                                                                                      \
    return;                                                                                                                                \
  } while (0)
#define CASE(op, T, e)                                                                                                                     \
  case S_##op: EACH(T, T, e)
#define TEST(op, T, e)                                                                                                                     \
  case S_##op: EACH(uint8_t, T, e)

#define FLOAT_LANES(fn, T, s)                                                                                                              \
  CLONES static void fn(SOp op, int n, void *r, const void *a, const void *b, const void *c) {                                             \
    switch (op) {                                                                                                                          \
      CASE(add, T, x + y);                                                                                                                 \
      CASE(sub, T, x - y);                                                                                                                 \
      CASE(mul, T, x *y);                                                                                                                  \
      CASE(div, T, x / y);                                                                                                                 \
      CASE(fma, T, fma##s(x, y, z));                                                                                                       \
      CASE(sqrt, T, sqrt##s(x));                                                                                                           \
      CASE(neg, T, -x);                                                                                                                    \
      CASE(abs, T, fabs##s(x));                                                                                                            \
      CASE(min, T, x < y || x != x ? x : y);                                                                                               \
      CASE(max, T, x > y || x != x ? x : y);                                                                                               \
      CASE(floor, T, floor##s(x));                                                                                                         \
      CASE(ceil, T, ceil##s(x));                                                                                                           \
      CASE(trunc, T, trunc##s(x));                                                                                                         \
      CASE(rint, T, rint##s(x));                                                                                                           \
      CASE(copysign, T, copysign##s(x, y));                                                                                                \
      TEST(lt, T, x < y);                                                                                                                  \
      TEST(le, T, x <= y);                                                                                                                 \
      TEST(eq, T, x == y);                                                                                                                 \
      TEST(ne, T, x != y);                                                                                                                 \
      TEST(i2b, T, x != 0);                                                                                                                \
    default: bug("scalar op %s on %s", scalars[op].name, #T);                                                                              \
    }                                                                                                                                      \
  }
FLOAT_LANES(float_lanes, float, f)
FLOAT_LANES(double_lanes, double, )

#define INT_LANES(fn, T, U, W)                                                                                                             \
  CLONES static void fn(SOp op, int n, void *r, const void *a, const void *b, const void *c) {                                             \
    switch (op) {                                                                                                                          \
      CASE(add, T, (U)x + (U)y);                                                                                                           \
      CASE(sub, T, (U)x - (U)y);                                                                                                           \
      CASE(mul, T, (U)x *(U)y);                                                                                                            \
      CASE(neg, T, 0 - (U)x);                                                                                                              \
      CASE(abs, T, x < 0 ? 0 - (U)x : (U)x);                                                                                               \
      CASE(min, T, x < y ? x : y);                                                                                                         \
      CASE(max, T, x > y ? x : y);                                                                                                         \
      CASE(idiv, T, y == 0 ? 0 : y == -1 ? (T)(0 - (U)x) : x / y);                                                                         \
      CASE(irem, T, y == 0 || y == -1 ? 0 : x % y);                                                                                        \
      CASE(udiv, T, y == 0 ? 0 : (U)x / (U)y);                                                                                             \
      CASE(urem, T, y == 0 ? 0 : (U)x % (U)y);                                                                                             \
      CASE(and, T, x &y);                                                                                                                  \
      CASE(or, T, x | y);                                                                                                                  \
      CASE(xor, T, x ^ y);                                                                                                                 \
      CASE(not, T, ~x);                                                                                                                    \
      CASE(shl, T, (U)y < W ? (U)x << y : 0);                                                                                              \
      CASE(shr, T, (U)y < W ? x >> y : x < 0 ? -1 : 0);                                                                                    \
      CASE(ushr, T, (U)y < W ? (U)x >> y : 0);                                                                                             \
      TEST(lt, T, x < y);                                                                                                                  \
      TEST(le, T, x <= y);                                                                                                                 \
      TEST(eq, T, x == y);                                                                                                                 \
      TEST(ne, T, x != y);                                                                                                                 \
      TEST(ult, T, (U)x < (U)y);                                                                                                           \
      TEST(ule, T, (U)x <= (U)y);                                                                                                          \
      TEST(i2b, T, x != 0);                                                                                                                \
    default: bug("scalar op %s on %s", scalars[op].name, #T);                                                                              \
    }                                                                                                                                      \
  }
INT_LANES(i32_lanes, int32_t, uint32_t, 32)
INT_LANES(i64_lanes, int64_t, uint64_t, 64)

static void bool_lanes(SOp op, int n, void *r, const void *a, const void *b, const void *c) {
  switch (op) {
    CASE(and, uint8_t, x &y);
    CASE(or, uint8_t, x | y);
    CASE(xor, uint8_t, x ^ y);
    CASE(not, uint8_t, !x);
    CASE(eq, uint8_t, x == y);
    CASE(ne, uint8_t, x != y);
    CASE(i2b, uint8_t, x);
  default: bug("scalar op %s on bool", scalars[op].name);
  }
}

CLONES static void select_lanes(int bytes, int n, void *r, const void *a, const void *b, const void *c) {
  const uint8_t *m = a;
#define SELECT(T)                                                                                                                          \
  for (int l = 0; l < n; l++) ((T *)r)[l] = m[l] ? ((const T *)b)[l] : ((const T *)c)[l]
  if (bytes == 4) SELECT(uint32_t);
  else if (bytes == 8) SELECT(uint64_t);
  else SELECT(uint8_t);
#undef SELECT
}

// Float to integer, total: the comparison is false for NaN.
#define TO_INT(x, I, min, limit) ((x) >= -(limit) && (x) < (limit) ? (I)(x) : (min))

CLONES static void convert_lanes(SOp op, DType in, DType out, int n, void *r, const void *a) {
  const void *b = NULL, *c = NULL;
  bool f32 = in == DT_F32, to_f32 = out == DT_F32, i32 = in == DT_I32, to_i32 = out == DT_I32;
  switch (op) {
  case S_f2f:
    if (f32 && !to_f32) EACH(double, float, x);
    if (!f32 && to_f32) EACH(float, double, x);
    break;
  case S_i2f:
    if (i32 && to_f32) EACH(float, int32_t, x);
    if (i32) EACH(double, int32_t, x);
    if (to_f32) EACH(float, int64_t, x);
    EACH(double, int64_t, x);
  case S_u2f:
    if (i32 && to_f32) EACH(float, uint32_t, x);
    if (i32) EACH(double, uint32_t, x);
    if (to_f32) EACH(float, uint64_t, x);
    EACH(double, uint64_t, x);
  case S_f2i:
    if (f32 && to_i32) EACH(int32_t, float, TO_INT(x, int32_t, INT32_MIN, 0x1p31f));
    if (f32) EACH(int64_t, float, TO_INT(x, int64_t, INT64_MIN, 0x1p63f));
    if (to_i32) EACH(int32_t, double, x > -0x1p31 - 1 && x < 0x1p31 ? (int32_t)x : INT32_MIN);
    EACH(int64_t, double, TO_INT(x, int64_t, INT64_MIN, 0x1p63));
  case S_i2i:
    if (i32 && !to_i32) EACH(int64_t, int32_t, x);
    if (!i32 && to_i32) EACH(int32_t, int64_t, (uint32_t)x);
    break;
  case S_u2i:
    if (i32 && !to_i32) EACH(int64_t, uint32_t, x);
    break;
  case S_b2i:
    if (to_i32) EACH(int32_t, uint8_t, x);
    EACH(int64_t, uint8_t, x);
  case S_bits: memcpy(r, a, (size_t)(n * reg_bytes(in))); return;
  default: break;
  }
  bug("conversion %s from %s to %s", scalars[op].name, dtypes[in].name, dtypes[out].name);
}

static float round_bf16(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  if (x != x) u = (u & 0x80000000) | 0x7fc00000;
  else u += 0x7fff + (u >> 16 & 1);
  u &= 0xffff0000;
  memcpy(&x, &u, 4);
  return x;
}

static void round_lanes(DType dtype, int n, float *r, const float *a) {
  if (dtype == DT_F16)
    for (int l = 0; l < n; l++) r[l] = (float)(_Float16)a[l];
  else if (dtype == DT_BF16)
    for (int l = 0; l < n; l++) r[l] = round_bf16(a[l]);
  else
    for (int l = 0; l < n; l++) r[l] = (float)small_to_double(dtype, double_to_small(dtype, a[l], false));
}

static int64_t wrap(int64_t v, int bits, bool is_signed) {
  int up = 64 - bits;
  return is_signed ? (int64_t)((uint64_t)v << up) >> up : (int64_t)((uint64_t)v << up >> up);
}

static void wrap_lanes(DType in, DType dtype, int n, void *r, const void *a) {
  int bits = dtypes[dtype].bits;
  bool sgn = dtypes[dtype].is_signed;
  if (in == DT_I32)
    for (int l = 0; l < n; l++) ((int32_t *)r)[l] = (int32_t)wrap(((const int32_t *)a)[l], bits, sgn);
  else
    for (int l = 0; l < n; l++) ((int64_t *)r)[l] = wrap(((const int64_t *)a)[l], bits, sgn);
}

int reg_bytes(DType reg) { return reg == DT_BOOL ? 1 : reg == DT_F32 || reg == DT_I32 ? 4 : 8; }

void scalar_lanes(SOp op, DType in, DType out, DType dtype, int n, void *r, const void *a, const void *b, const void *c) {
  if (op == S_select) select_lanes(reg_bytes(in), n, r, a, b, c);
  else if (op == S_round) round_lanes(dtype, n, r, a);
  else if (op == S_wrap) wrap_lanes(in, dtype, n, r, a);
  else if (op >= S_f2f && op != S_i2b) convert_lanes(op, in, out, n, r, a);
  else if (in == DT_F32) float_lanes(op, n, r, a, b, c);
  else if (in == DT_F64) double_lanes(op, n, r, a, b, c);
  else if (in == DT_I32) i32_lanes(op, n, r, a, b, c);
  else if (in == DT_I64) i64_lanes(op, n, r, a, b, c);
  else bool_lanes(op, n, r, a, b, c);
}
