// math_pow.c - pow: log2 of |x| to twice the precision, times y, exp2; the sign and the special cases of C's Annex F by selects.
#include "math_fit.h"
#include "math_parts.h"
#include <math.h>

typedef struct Two { // a number as the sum of a large and a small part
  Ex *hi, *lo;
} Two;
static Two fast_sum(Ex *a, Ex *b) { // |a| >= |b| or a == 0 (Dekker 1971)
  Ex *s = add(a, b);
  return (Two){s, add(sub(a, s), b)};
}
static Two product(Ex *a, Ex *b) {
  Ex *p = mul(a, b);
  return (Two){p, fma3(a, b, neg(p))};
}
// (a.hi + a.lo) * (b.hi + b.lo)
static Two product2(Two a, Two b) {
  Two p = product(a.hi, b.hi);
  p.lo = fma3(a.lo, b.hi, fma3(a.hi, b.lo, p.lo));
  return p;
}

// log(1+f) = 2s + s z (2/3 + z q(z)), s = f/(2+f), z = s^2; 2s and the term of 2/3 with both parts
static Two log_two(Ex *f) {
  DType t = f->type;
  bool f32 = t == DT_F32;
  Two d = fast_sum(num(t, 2), f), s, z;
  s.hi = div2(f, d.hi);
  s.lo = div2(fma3(neg(s.hi), d.lo, fma3(neg(s.hi), d.hi, f)), d.hi);
  z = product2(s, s);
  // 2/3 and, for the rest, log's fit less its constant term: R/z = c0 + z (c1 + ..), where c0 is 2/3 to more than the precision needed
  const double *c = f32 ? log_f : log_d;
  int n = f32 ? COUNT(log_f) : COUNT(log_d);
  double c0 = f32 ? 0x1.555556p-1 : 0x1.5555555555555p-1;
  Two third = {num(t, c0), num(t, f32 ? -0x1.555556p-26 : 0x1.5555555555555p-55)};
  Ex *q = poly(z.hi, c + 1, n - 1), *fit = num(t, c[0] - 2.0 / 3);
  Two u = product2(z, third);
  u = fast_sum(u.hi, fma3(z.hi, fma3(z.hi, q, fit), u.lo));
  Two v = product2(s, u), r = fast_sum(add(s.hi, s.hi), v.hi);
  r.lo = add(r.lo, fma3(num(t, 2), s.lo, v.lo));
  return r;
}

static Two log2_two(Ex *a) { // a > 0; the high part is -inf, inf, NaN for 0, inf, NaN
  DType t = a->type;
  bool f32 = t == DT_F32;
  Two inv = {num(t, f32 ? 0x1.715476p+0 : 0x1.71547652b82fep+0), num(t, f32 ? 0x1.4ae0cp-26 : 0x1.777d0ffda0d24p-56)};
  Ex *k, *f = log_parts(a, &k);
  Two l = product2(log_two(f), inv), r = fast_sum(k, l.hi);
  r.lo = add(r.lo, l.lo);
  r = fast_sum(r.hi, r.lo);
  r.hi = sel(eq(a, num(t, 0)), num(t, -INFINITY), sel(lt(a, num(t, INFINITY)), r.hi, a));
  return r;
}

static Ex *exp2_two(Two x) { // subnormal results too: the scale comes in two factors
  DType t = x.hi->type, i = int_of(t);
  Ex *top = num(t, t == DT_F32 ? 200 : 1200), *h = max2(min2(x.hi, top), neg(top)), *s = add(h, magic(t));
  Ex *l = sel(lt(abs1(x.hi), top), x.lo, num(t, 0)), *r = add(sub(h, sub(s, magic(t))), l);
  Ex *n = sub(bits(s), ex_convert(S_bits, i, magic(t))), *n1 = ex_op(S_shr, n, ex_i(i, 1), NULL), *n2 = sub(n, n1);
  Ex *p = fma3(POLY(r, exp2), r, num(t, 1)), *up = ex_i(i, mantissa(t)), *one = ex_convert(S_bits, i, num(t, 1));
  Ex *f1 = bits(add(ex_op(S_shl, n1, up, NULL), one)), *f2 = bits(add(ex_op(S_shl, n2, up, NULL), one));
  return mul(mul(p, f1), f2);
}

static Ex *power(Ex *x, Ex *y) {
  DType t = x->type;
  Ex *a = abs1(x), *one = num(t, 1), *zero = num(t, 0), *inf = num(t, INFINITY);
  Two l = log2_two(a), h = product(y, l.hi);
  h.lo = fma3(y, l.lo, h.lo);
  Ex *m = exp2_two(h);
  Ex *unit = or2(or2(eq(x, one), eq(y, zero)), and2(eq(a, one), eq(abs1(y), inf)));
  m = sel(unit, one, m);
  Ex *whole = eq(ex_op(S_floor, y, NULL, NULL), y), *half = mul(y, num(t, 0.5));
  Ex *is_odd = and2(whole, ne(ex_op(S_floor, half, NULL, NULL), half));
  m = sel(is_odd, copysign2(m, x), m);
  Ex *bad = and2(and2(lt(x, zero), lt(a, inf)), and2(ne(ex_op(S_floor, y, NULL, NULL), y), lt(abs1(y), inf)));
  return sel(bad, num(t, NAN), m);
}

// sqrt as pow(x, 1/2) has it: +0 for -0, inf for -inf
static Ex *root(Ex *x) {
  DType t = x->type;
  return sel(eq(x, num(t, -INFINITY)), num(t, INFINITY), add(sqrt1(x), num(t, 0)));
}

static Ex *power_const(Ex *x, double y) { // NULL: no shortcut of at most one rounding more
  Ex *one = num(x->type, 1);
  if (y == 0) return one;
  if (y == 1) return x;
  if (y == 2) return mul(x, x);
  if (y == 3) return mul(mul(x, x), x);
  if (y == 4) return mul(mul(x, x), mul(x, x));
  if (y == 0.5) return root(x);
  if (y == -1) return div2(one, x);
  if (y == -2) return div2(one, mul(x, x));
  if (y == -0.5) return div2(one, root(x));
  return NULL;
}

// Exponents count modulo 256: beyond that only the bases -1, 0, 1 have a result that means something, and they have the period.
static Ex *power_int(Ex *x, Ex *y) {
  DType t = x->type;
  Ex *one = ex_i(t, 1), *zero = ex_i(t, 0), *r = one, *b = x, *is_odd = ne(and2(y, one), zero);
  for (int i = 0; i < 8; i++, b = mul(b, b)) r = sel(ne(and2(y, ex_i(t, (int64_t)1 << i)), zero), mul(r, b), r);
  Ex *minus = ex_i(t, -1), *inverse = sel(eq(x, one), one, sel(eq(x, minus), sel(is_odd, minus, one), zero));
  return sel(lt(y, zero), inverse, r);
}

Ex *ex_pow(Ex *x, Ex *y) {
  if (x->type == DT_I32 || x->type == DT_I64) return power_int(x, y);
  Ex *r = ex_is_const(y) ? power_const(x, y->f) : NULL;
  return r ? r : power(x, y);
}
