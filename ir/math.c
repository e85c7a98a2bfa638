// math.c - transcendental functions as DAGs of primitives: branch-free, fused multiply-adds explicit, every path total.
//
// Methods: argument reduction and reconstruction after Cody and Waite, "Software Manual for the Elementary Functions" (1980), with fma
// making the reductions exact; polynomials by Remez exchange, fitted by tests/tools/math_fit.py into math_fit.h. Adding the bits of an
// integer to those of a float, and adding 1.5*2^m to round, avoid conversions. Selects at the end set what the main path gets wrong.
#include "math.h"
#include "math_fit.h"
#include "math_parts.h"
#include <math.h>

/* ---- exponentials ---- */

typedef struct Limits { // where exp(x) * 2^k leaves the normal range, for k = 0 and k = -1
  double lo[2], hi[2];
} Limits;
static const Limits exp_f32 = {{-87.3365402, -86.6433929}, {88.7228317, 89.4159851}};
static const Limits exp_f64 = {{-708.396418532264, -707.703271351704}, {709.782712893384, 710.475860073943}};

// x = n ln2 + r, |r| <= ln2/2: returns t whose low bits are n. The first fma is exact.
static Ex *reduce_exp(Ex *x, Ex **r) {
  DType t = x->type;
  bool f32 = t == DT_F32;
  Ex *m = magic(t), *s = fma3(x, num(t, 0x1.71547652b82fep0), m), *n = sub(s, m);
  Ex *hi = num(t, f32 ? -0x1.62e43p-1 : -0x1.62e42fefa39efp-1), *lo = num(t, f32 ? 0x1.05c61p-29 : -0x1.abc9e3b39803fp-56);
  *r = fma3(n, lo, fma3(n, hi, x));
  return s;
}

static Ex *exp_scaled(Ex *x, int k) { // exp(x) * 2^k, k 0 or -1
  Ex *r, *s = reduce_exp(x, &r);
  Ex *p = fma3(fma3(POLY(r, exp), r, num(x->type, 1)), r, num(x->type, 1));
  const Limits *l = x->type == DT_F32 ? &exp_f32 : &exp_f64;
  Ex *y = add_exponent(p, s, k);
  y = sel(le(x, num(x->type, l->hi[-k])), y, mul(x, num(x->type, INFINITY))); // NaN too: adding to its bits may have made a number
  return sel(lt(x, num(x->type, l->lo[-k])), num(x->type, 0), y);
}

Ex *ex_exp(Ex *x) { return exp_scaled(x, 0); }

Ex *ex_exp2(Ex *x) {
  DType t = x->type;
  Ex *s = add(x, magic(t)), *r = sub(x, sub(s, magic(t)));
  Ex *y = add_exponent(fma3(POLY(r, exp2), r, num(t, 1)), s, 0);
  y = sel(lt(x, num(t, t == DT_F32 ? 128 : 1024)), y, mul(x, num(t, INFINITY)));
  return sel(lt(x, num(t, t == DT_F32 ? -126 : -1022)), num(t, 0), y);
}

// 2 (P s + (s - 1/2)) with s = 2^(n-1), which does not overflow before the result does
Ex *ex_expm1(Ex *x) {
  DType t = x->type;
  bool f32 = t == DT_F32;
  Ex *v = max2(x, num(t, f32 ? -20 : -40)), *r, *n = reduce_exp(v, &r);
  Ex *p = fma3(mul(POLY(r, expm1), r), r, r), *s = pow2(n, t, -1);
  Ex *y = mul(num(t, 2), fma3(p, s, sub(s, num(t, 0.5))));
  y = sel(lt(num(t, (f32 ? &exp_f32 : &exp_f64)->hi[0]), x), num(t, INFINITY), y);
  return copysign2(y, x);
}

Ex *ex_sigmoid(Ex *x) { return div2(num(x->type, 1), add(num(x->type, 1), ex_exp(neg(x)))); }
Ex *ex_softplus(Ex *x) { return add(ex_log1p(ex_exp(neg(abs1(x)))), max2(x, num(x->type, 0))); }

// With h = exp(|x|)/2 and 1/(4h): no overflow before the result's
static Ex *half_exp(Ex *x, Ex **inverse) {
  Ex *h = exp_scaled(abs1(x), -1);
  *inverse = div2(num(x->type, 0.25), h);
  return h;
}

Ex *ex_cosh(Ex *x) {
  Ex *i, *h = half_exp(x, &i);
  return add(h, i);
}

Ex *ex_sinh(Ex *x) {
  Ex *i, *h = half_exp(x, &i), *z = mul(x, x);
  Ex *small = mul(x, fma3(POLY(z, sinh), z, num(x->type, 1)));
  return sel(lt(abs1(x), num(x->type, 1)), small, copysign2(sub(h, i), x));
}

// expm1(2x) / (expm1(2x) + 2)
Ex *ex_tanh(Ex *x) {
  DType t = x->type;
  Ex *top = num(t, t == DT_F32 ? 9.1 : 20), *v = max2(min2(x, top), neg(top)), *r, *n = reduce_exp(add(v, v), &r);
  Ex *p = fma3(mul(POLY(r, expm1), r), r, r), *s = pow2(n, t, 0), *e = fma3(p, s, sub(s, num(t, 1)));
  return copysign2(div2(e, add(e, num(t, 2))), x);
}

/* ---- logarithms ---- */

// log(1+f) - f = -(f^2/2 - s (f^2/2 + R)), s = f/(2+f), for 1+f in sqrt(1/2)..sqrt(2)  (R by atanh's series, as is classical)
static Ex *log_tail(Ex *f, Ex *extra) { // extra is added inside; NULL: none
  DType t = f->type;
  Ex *s = div2(f, add(f, num(t, 2))), *z = mul(s, s), *r = mul(z, POLY(z, log)), *h = mul(mul(num(t, 0.5), f), f);
  Ex *p = extra ? fma3(s, add(h, r), extra) : mul(s, add(h, r));
  return sub(h, p);
}

static Ex *log_special(Ex *x, Ex *y) {
  DType t = x->type;
  Ex *zero = num(t, 0), *inf = num(t, INFINITY);
  Ex *other = sel(eq(x, zero), num(t, -INFINITY), sel(lt(x, zero), num(t, NAN), x));
  return sel(and2(lt(zero, x), lt(x, inf)), y, other);
}

static Ex *log_positive(Ex *x) { // x > 0 and finite
  DType t = x->type;
  bool f32 = t == DT_F32;
  Ex *k, *f = log_parts(x, &k);
  Ex *lo = mul(k, num(t, f32 ? -0x1.05c61p-29 : 0x1.abc9e3b39803fp-56));
  return fma3(k, num(t, f32 ? 0x1.62e43p-1 : 0x1.62e42fefa39efp-1), sub(f, log_tail(f, lo)));
}

Ex *ex_log(Ex *x) { return log_special(x, log_positive(x)); }

Ex *ex_log2(Ex *x) {
  DType t = x->type;
  bool f32 = t == DT_F32;
  Ex *k, *f = log_parts(x, &k), *l = sub(f, log_tail(f, NULL));
  Ex *hi = num(t, f32 ? 0x1.715476p+0 : 0x1.71547652b82fep+0), *lo = num(t, f32 ? 0x1.4ae0cp-26 : 0x1.777d0ffda0d24p-56);
  return log_special(x, fma3(l, hi, fma3(l, lo, k)));
}

Ex *ex_log10(Ex *x) {
  DType t = x->type;
  bool f32 = t == DT_F32;
  Ex *k, *f = log_parts(x, &k), *l = sub(f, log_tail(f, NULL));
  Ex *hi = num(t, f32 ? 0x1.bcb7b2p-2 : 0x1.bcb7b1526e50ep-2), *lo = num(t, f32 ? -0x1.5b235ep-27 : 0x1.95355baaafad3p-57);
  Ex *khi = num(t, f32 ? 0x1.344136p-2 : 0x1.34413509f79ffp-2), *klo = num(t, f32 ? -0x1.ec10cp-27 : -0x1.9dc1da994fd21p-59);
  return log_special(x, fma3(k, khi, fma3(l, hi, fma3(l, lo, mul(k, klo)))));
}

// log(u) + (what 1+x lost)/u, u = 1+x; the loss by Knuth's two-sum
Ex *ex_log1p(Ex *x) {
  DType t = x->type;
  Ex *one = num(t, 1), *u = add(one, x), *b = sub(u, one), *lost = add(sub(one, sub(u, b)), sub(x, b));
  Ex *ok = and2(lt(num(t, 0), u), lt(u, num(t, INFINITY)));
  return copysign2(add(ex_log(u), sel(ok, div2(lost, u), num(t, 0))), x);
}

// Above `big` 1 + x^2 is x^2: log(2x)
static Ex *log_doubled(Ex *a, Ex *arg) {
  DType t = a->type;
  Ex *big = lt(num(t, t == DT_F32 ? 0x1p24 : 0x1p54), a);
  return add(ex_log1p(sel(big, a, arg)), sel(big, num(t, 0x1.62e42fefa39efp-1), num(t, 0)));
}

Ex *ex_asinh(Ex *x) {
  Ex *one = num(x->type, 1), *a = abs1(x), *q = mul(a, a);
  return copysign2(log_doubled(a, add(a, div2(q, add(one, sqrt1(add(q, one)))))), x);
}

Ex *ex_acosh(Ex *x) {
  Ex *one = num(x->type, 1), *d = sub(x, one), *y = log_doubled(x, add(d, sqrt1(fma3(d, d, add(d, d)))));
  return sel(lt(x, one), num(x->type, NAN), y);
}

Ex *ex_atanh(Ex *x) {
  Ex *a = abs1(x), *y = ex_log1p(div2(add(a, a), sub(num(x->type, 1), a)));
  return copysign2(mul(num(x->type, 0.5), y), x);
}

/* ---- the error function ---- */

static Ex *erf_f64(Ex *x) {
  DType t = DT_F64;
  Ex *a = min2(abs1(x), num(t, 6)), *z = mul(a, a), *one = num(t, 1);
  Ex *small = fma3(x, poly(z, erf_d, COUNT(erf_d)), x);
  Ex *low = fma3(a, a, neg(z)), *g = poly(div2(one, add(one, a)), erfc_d, COUNT(erfc_d));
  Ex *e = ex_exp(neg(z));
  e = fma3(neg(low), e, e); // exp of -(z + low)
  return sel(lt(abs1(x), one), small, copysign2(sub(one, mul(e, g)), x));
}

Ex *ex_erf(Ex *x) {
  if (x->type == DT_F64) return erf_f64(x);
  DType t = DT_F32;
  Ex *top = num(t, 3.92), *v = max2(min2(x, top), neg(top));
  return mul(v, poly(fma3(mul(v, v), num(t, 2 / (3.92 * 3.92)), num(t, -1)), erf_f, COUNT(erf_f)));
}

Ex *ex_gelu(Ex *x) {
  Ex *h = mul(x, num(x->type, 0.5));
  return fma3(h, ex_erf(mul(x, num(x->type, 0.70710678118654752))), h);
}

Ex *ex_gelu_tanh(Ex *x) {
  DType t = x->type;
  Ex *h = mul(x, num(t, 0.5)), *u = mul(mul(x, num(t, 0.79788456080286536)), fma3(mul(x, x), num(t, 0.044715), num(t, 1)));
  return fma3(h, ex_tanh(u), h);
}

/* ---- circular functions ---- */

// f32 beyond 6e6 is first brought near 0 in f64 arithmetic; beyond `last` it counts as 0 (infinity and NaN stay NaN).
static Ex *near_zero(Ex *x) {
  DType t = DT_F64;
  if (x->type == t) return sel(le(abs1(x), num(t, 1e15)), x, mul(x, num(t, 0)));
  Ex *d = ex_convert(S_f2f, t, x);
  d = sel(le(abs1(d), num(t, 5e16)), d, mul(d, num(t, 0)));
  Ex *n = ex_op(S_rint, mul(d, num(t, 0x1.45f306dc9c883p-3)), NULL, NULL);
  Ex *r = fma3(n, num(t, -0x1.1a62633145c07p-52), fma3(n, num(t, -0x1.921fb54442d18p+2), d)); // 2 pi, high and low
  return sel(lt(abs1(x), num(DT_F32, 6e6)), x, ex_convert(S_f2f, DT_F32, r));
}

typedef struct Trig {
  Ex *quadrant; // integer, low two bits count
  Ex *sin, *cos;
} Trig;

static Trig trig(Ex *arg) {
  DType t = arg->type;
  bool f32 = t == DT_F32;
  Ex *x = near_zero(arg), *one = num(t, 1), *m = magic(t), *s = fma3(x, num(t, 0x1.45f306dc9c883p-1), m), *n = sub(s, m);
  // pi/2 in three parts, cut and not rounded: all positive, so that -0 stays -0
  static const double part[2][3] = {{0x1.921fb4p+0, 0x1.4442dp-24, 0x1.846988p-48},
                                    {0x1.921fb54442d18p+0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e08p-107}};
  Ex *r = x;
  for (int i = 0; i < 3; i++) r = fma3(n, num(t, -part[!f32][i]), r);
  Ex *z = mul(r, r);
  Ex *sine = mul(r, fma3(POLY(z, sin), z, one)), *cosine = fma3(fma3(POLY(z, cos), z, num(t, -0.5)), z, one);
  return (Trig){bits(s), sine, cosine};
}

static Ex *odd(Ex *q) { return ne(and2(q, ex_i(q->type, 1)), ex_i(q->type, 0)); }

static Ex *circular(Trig g, int shift) { // sin(x + shift pi/2)
  DType t = g.quadrant->type;
  Ex *q = add(g.quadrant, ex_i(t, shift)), *v = sel(odd(q), g.cos, g.sin);
  Ex *sign = ex_op(S_shl, and2(q, ex_i(t, 2)), ex_i(t, t == DT_I32 ? 30 : 62), NULL);
  return ex_convert(S_bits, g.sin->type, ex_op(S_xor, bits(v), sign, NULL));
}

Ex *ex_sin(Ex *x) { return circular(trig(x), 0); }
Ex *ex_cos(Ex *x) { return circular(trig(x), 1); }
Ex *ex_tan(Ex *x) {
  Trig g = trig(x);
  Ex *o = odd(g.quadrant);
  return div2(sel(o, neg(g.cos), g.sin), sel(o, g.sin, g.cos));
}

static const double pi_2[2][2] = {{0x1.921fb6p+0, -0x1.777a5cp-25}, {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54}};
static Ex *half_pi(DType t, int part) { return num(t, pi_2[t == DT_F64][part]); }

static Ex *atan_unit(Ex *y) { // y in 0..1
  Ex *z = mul(y, y);
  return fma3(mul(POLY(z, atan), z), y, y);
}

Ex *ex_atan(Ex *x) {
  DType t = x->type;
  Ex *a = abs1(x), *one = num(t, 1), *r = atan_unit(div2(min2(a, one), max2(a, one)));
  return copysign2(sel(lt(one, a), add(half_pi(t, 0), sub(half_pi(t, 1), r)), r), x);
}

Ex *ex_atan2(Ex *y, Ex *x) {
  DType t = x->type;
  Ex *a = abs1(y), *b = abs1(x), *top = max2(a, b), *low = min2(a, b), *zero = num(t, 0);
  Ex *q = sel(eq(top, zero), zero, sel(eq(low, num(t, INFINITY)), num(t, 1), div2(low, top)));
  Ex *r = atan_unit(q);
  r = sel(lt(b, a), add(half_pi(t, 0), sub(half_pi(t, 1), r)), r);
  Ex *left = lt(copysign2(num(t, 1), x), zero);
  Ex *two = num(t, 2);
  r = sel(left, add(mul(two, half_pi(t, 0)), fma3(two, half_pi(t, 1), neg(r))), r);
  return copysign2(r, y);
}

// asin(y) for |y| <= 1/2, and for larger y = 1 - 2 s^2 the arc of s
typedef struct Arc {
  Ex *small, *near_one; // asin(x); asin(s), s = sqrt((1-|x|)/2)
  Ex *is_small;
} Arc;
static Arc arc(Ex *x) {
  DType t = x->type;
  Ex *a = abs1(x), *half = num(t, 0.5), *is_small = le(a, half);
  Ex *z = sel(is_small, mul(x, x), mul(sub(num(t, 1), a), half)), *s = sqrt1(z), *p = mul(POLY(z, asin), z);
  return (Arc){fma3(p, x, x), fma3(p, s, s), is_small};
}

Ex *ex_asin(Ex *x) {
  DType t = x->type;
  Arc a = arc(x);
  Ex *big = fma3(num(t, -2), a.near_one, half_pi(t, 0)); // the low part is below half an ulp of results over 1/2
  return sel(a.is_small, a.small, copysign2(add(big, half_pi(t, 1)), x));
}

Ex *ex_acos(Ex *x) {
  DType t = x->type;
  Arc a = arc(x);
  Ex *twice = add(a.near_one, a.near_one), *two = num(t, 2);
  Ex *left = add(mul(two, half_pi(t, 0)), fma3(two, half_pi(t, 1), neg(twice)));
  Ex *mid = add(half_pi(t, 0), sub(half_pi(t, 1), a.small));
  return sel(a.is_small, mid, sel(lt(x, num(t, 0)), left, twice));
}
