// math_parts.h - short names for building scalar DAGs, shared by math.c, math_pow.c and math_misc.c only.
#pragma once
#include "math.h"

static inline Ex *num(DType t, double v) { return ex_num(t, v); }
static inline Ex *add(Ex *a, Ex *b) { return ex_op(S_add, a, b, NULL); }
static inline Ex *sub(Ex *a, Ex *b) { return ex_op(S_sub, a, b, NULL); }
static inline Ex *mul(Ex *a, Ex *b) { return ex_op(S_mul, a, b, NULL); }
static inline Ex *div2(Ex *a, Ex *b) { return ex_op(S_div, a, b, NULL); }
static inline Ex *fma3(Ex *a, Ex *b, Ex *c) { return ex_op(S_fma, a, b, c); }
static inline Ex *min2(Ex *a, Ex *b) { return ex_op(S_min, a, b, NULL); }
static inline Ex *max2(Ex *a, Ex *b) { return ex_op(S_max, a, b, NULL); }
static inline Ex *copysign2(Ex *a, Ex *b) { return ex_op(S_copysign, a, b, NULL); }
static inline Ex *neg(Ex *a) { return ex_op(S_neg, a, NULL, NULL); }
static inline Ex *abs1(Ex *a) { return ex_op(S_abs, a, NULL, NULL); }
static inline Ex *sqrt1(Ex *a) { return ex_op(S_sqrt, a, NULL, NULL); }
static inline Ex *lt(Ex *a, Ex *b) { return ex_op(S_lt, a, b, NULL); }
static inline Ex *le(Ex *a, Ex *b) { return ex_op(S_le, a, b, NULL); }
static inline Ex *eq(Ex *a, Ex *b) { return ex_op(S_eq, a, b, NULL); }
static inline Ex *ne(Ex *a, Ex *b) { return ex_op(S_ne, a, b, NULL); }
static inline Ex *and2(Ex *a, Ex *b) { return ex_op(S_and, a, b, NULL); }
static inline Ex *or2(Ex *a, Ex *b) { return ex_op(S_or, a, b, NULL); }
static inline Ex *sel(Ex *c, Ex *a, Ex *b) { return ex_op(S_select, c, a, b); }

// The integer type of the same width, and a float's bits in it
static inline DType int_of(DType t) { return t == DT_F32 ? DT_I32 : DT_I64; }
static inline Ex *bits(Ex *a) {
  return ex_convert(S_bits, a->type == DT_F32 ? DT_I32 : a->type == DT_F64 ? DT_I64 : a->type == DT_I32 ? DT_F32 : DT_F64, a);
}
static inline int mantissa(DType t) { return t == DT_F32 ? 23 : 52; }

// Adding it rounds to an integer n, |n| < 2^21, whose low bits are then the sum's low bits.
static inline Ex *magic(DType t) { return num(t, t == DT_F32 ? 0x1.8p23 : 0x1.8p52); }
// 2^(n+k) where s = n + magic; n + k must be a normal exponent
static inline Ex *pow2(Ex *s, DType t, int k) {
  Ex *up = ex_i(int_of(t), mantissa(t)), *one = ex_i(int_of(t), (int64_t)((t == DT_F32 ? 127 : 1023) + k) << mantissa(t));
  return bits(add(ex_op(S_shl, bits(s), up, NULL), one));
}
// p * 2^(n+k) where s = n + magic, p and the result normal
static inline Ex *add_exponent(Ex *p, Ex *s, int k) {
  DType i = int_of(p->type);
  Ex *e = ex_op(S_shl, bits(s), ex_i(i, mantissa(p->type)), NULL);
  if (k) e = add(e, ex_i(i, k * ((int64_t)1 << mantissa(p->type))));
  return bits(add(bits(p), e));
}

static inline Ex *poly(Ex *x, const double *c, int n) { // lowest power first
  Ex *p = num(x->type, c[n - 1]);
  for (int i = n - 2; i >= 0; i--) p = fma3(p, x, num(x->type, c[i]));
  return p;
}
#define COUNT(a) (int)(sizeof(a) / sizeof *(a))
#define POLY(x, name) ((x)->type == DT_F32 ? poly(x, name##_f, COUNT(name##_f)) : poly(x, name##_d, COUNT(name##_d)))

// x = (1 + f) 2^k, 1 + f in sqrt(1/2)..sqrt(2), for x > 0; subnormals are scaled up first
static inline Ex *log_parts(Ex *x, Ex **k) {
  DType t = x->type, it = int_of(t);
  bool f32 = t == DT_F32;
  Ex *tiny = lt(x, num(t, f32 ? 0x1p-126 : 0x1p-1022)), *up = num(t, f32 ? 0x1p24 : 0x1p54);
  Ex *root = ex_i(it, f32 ? 0x3f3504f3 : 0x3fe6a09e667f3bcd), *i = sub(bits(sel(tiny, mul(x, up), x)), root);
  Ex *e = ex_convert(S_i2i, DT_I32, ex_op(S_shr, i, ex_i(it, mantissa(t)), NULL));
  *k = sub(ex_convert(S_i2f, t, e), sel(tiny, num(t, f32 ? 24 : 54), num(t, 0)));
  Ex *m = bits(add(and2(i, ex_i(it, ((int64_t)1 << mantissa(t)) - 1)), root));
  return sub(m, num(t, 1));
}
