// math_misc.c - remainders, small functions, counter-based random numbers, and the table of functions by name.
#include "math_parts.h"
#include <math.h>
#include <string.h>

static bool is_float(const Ex *x) { return x->type == DT_F32 || x->type == DT_F64; }

Ex *ex_recip(Ex *x) { return div2(num(x->type, 1), x); }
Ex *ex_rsqrt(Ex *x) { return div2(num(x->type, 1), sqrt1(x)); }
Ex *ex_isnan(Ex *x) { return is_float(x) ? ne(x, x) : ex_i(DT_BOOL, 0); }
Ex *ex_isinf(Ex *x) { return is_float(x) ? eq(abs1(x), num(x->type, INFINITY)) : ex_i(DT_BOOL, 0); }
Ex *ex_sign(Ex *x) { // of NaN and zeros: itself
  Ex *zero = num(x->type, 0), *minus = num(x->type, -1);
  return sel(lt(zero, x), num(x->type, 1), sel(lt(x, zero), minus, is_float(x) ? x : zero));
}

// a, both sides positive, less a whole multiple of b that fma subtracts exactly: what is left has at most half the bits of the quotient
// that a had, but may be on the other side of 0, which *below remembers.
static Ex *remainder_step(Ex *a, Ex *b, Ex **below) {
  Ex *q = ex_op(S_trunc, div2(a, b), NULL, NULL), *r = fma3(neg(q), b, a);
  *below = ne(*below, lt(r, num(a->type, 0)));
  return abs1(r);
}

// Exact: float32 has quotients below 2^277, which six steps of 53 bits take apart in double; double's are first brought below 2^100 by
// multiples of the divisor that are powers of two.
static Ex *rest_of(Ex *a, Ex *b, bool wide) {
  Ex *below = ex_i(DT_BOOL, 0), *r = a;
  for (int j = wide ? 20 : 0; j >= 0; j--) {
    Ex *big = mul(mul(b, num(DT_F64, ldexp(1, 50 * j))), num(DT_F64, ldexp(1, 50 * j))), *was = below, *t = r;
    for (int i = 0; i < (wide ? 2 : 6); i++) t = remainder_step(t, big, &below);
    if (!j) r = t;
    else below = ne(was, and2(le(big, r), ne(was, below))), r = sel(le(big, r), t, r);
  }
  return sel(and2(below, ne(r, num(DT_F64, 0))), sub(b, r), r);
}

Ex *ex_fmod(Ex *x, Ex *y) {
  if (!is_float(x)) return ex_op(S_irem, x, y, NULL);
  Ex *a = abs1(x), *b = abs1(y), *inf = num(x->type, INFINITY);
  Ex *r = ex_cast(x->type, rest_of(ex_cast(DT_F64, a), ex_cast(DT_F64, b), x->type == DT_F64));
  return copysign2(sel(and2(lt(a, inf), eq(b, inf)), a, r), x);
}

Ex *ex_mod(Ex *x, Ex *y) {
  Ex *r = ex_fmod(x, y), *zero = num(x->type, 0);
  Ex *differ = ne(lt(r, zero), lt(y, zero));
  Ex *m = sel(and2(ne(r, zero), differ), add(r, y), r);
  return is_float(x) ? sel(eq(r, zero), copysign2(m, y), m) : m;
}

/* ---- random numbers ---- */

static Ex *shift_xor(Ex *x, int n) { return ex_op(S_xor, x, ex_op(S_ushr, x, ex_i(DT_I64, n), NULL), NULL); }
static Ex *mix(Ex *x) { // a bijection of 64 bits whose outputs pass as random: the finaliser of splitmix64 (Steele, Lea, Flood 2014)
  x = mul(shift_xor(x, 30), ex_i(DT_I64, (int64_t)0xbf58476d1ce4e5b9));
  x = mul(shift_xor(x, 27), ex_i(DT_I64, (int64_t)0x94d049bb133111eb));
  return shift_xor(x, 31);
}

static Ex *random_bits(Ex *seed, Ex *index, int stream) {
  Ex *s = is_float(seed) ? ex_convert(S_bits, DT_I64, ex_cast(DT_F64, seed)) : ex_cast(DT_I64, seed);
  s = mix(add(s, ex_i(DT_I64, (int64_t)0x9e3779b97f4a7c15 + stream)));
  Ex *i = add(ex_cast(DT_I64, index), ex_i(DT_I64, 1));
  return mix(add(s, mul(i, ex_i(DT_I64, (int64_t)0x9e3779b97f4a7c15))));
}

static Ex *unit(DType t, Ex *b) { // the middle of one of 2^23 (2^52) equal parts of 0..1
  int n = mantissa(t);
  Ex *k = ex_convert(S_i2f, t, ex_op(S_ushr, b, ex_i(DT_I64, 64 - n), NULL));
  return mul(add(k, num(t, 0.5)), num(t, ldexp(1, -n)));
}

Ex *ex_uniform(DType t, Ex *seed, Ex *index) { return unit(t, random_bits(seed, index, 0)); }

Ex *ex_normal(DType t, Ex *seed, Ex *index) { // Box and Muller 1958
  Ex *u = unit(t, random_bits(seed, index, 1)), *v = unit(t, random_bits(seed, index, 2));
  return mul(sqrt1(mul(num(t, -2), ex_log(u))), ex_cos(mul(num(t, 6.283185307179586), v)));
}

/* ---- by name ---- */

static Ex *square_root(Ex *x) { return sqrt1(x); }
static Ex *round_even(Ex *x) { return is_float(x) ? ex_op(S_rint, x, NULL, NULL) : x; }

typedef struct Function1 {
  const char *name;
  Ex *(*f)(Ex *);
  bool of_floats;
} Function1;
static const Function1 unary[] = {
    {"exp", ex_exp, true},         {"expm1", ex_expm1, true},    {"exp2", ex_exp2, true},           {"log", ex_log, true},
    {"log1p", ex_log1p, true},     {"log2", ex_log2, true},      {"log10", ex_log10, true},         {"sin", ex_sin, true},
    {"cos", ex_cos, true},         {"tan", ex_tan, true},        {"asin", ex_asin, true},           {"acos", ex_acos, true},
    {"atan", ex_atan, true},       {"sinh", ex_sinh, true},      {"cosh", ex_cosh, true},           {"tanh", ex_tanh, true},
    {"asinh", ex_asinh, true},     {"acosh", ex_acosh, true},    {"atanh", ex_atanh, true},         {"erf", ex_erf, true},
    {"sigmoid", ex_sigmoid, true}, {"gelu", ex_gelu, true},      {"softplus", ex_softplus, true},   {"sign", ex_sign, false},
    {"isnan", ex_isnan, false},    {"isinf", ex_isinf, false},   {"recip", ex_recip, true},         {"reciprocal", ex_recip, true},
    {"rsqrt", ex_rsqrt, true},     {"round", round_even, false}, {"gelu_tanh", ex_gelu_tanh, true}, {"sqrt", square_root, true},
};
typedef struct Function2 {
  const char *name;
  Ex *(*f)(Ex *, Ex *);
} Function2;
static const Function2 binary[] = {{"pow", ex_pow}, {"fmod", ex_fmod}, {"mod", ex_mod}, {"atan2", ex_atan2}};

static Ex *call_unsigned(const char *fn, int n, Ex *const *a) { // the rows that differ for u64; NULL: none
  bool is_min = strcmp(fn, "min") == 0;
  if (n == 2 && (is_min || strcmp(fn, "max") == 0)) {
    Ex *less = ex_op(S_ult, a[0], a[1], NULL);
    return is_min ? sel(less, a[0], a[1]) : sel(less, a[1], a[0]);
  }
  static const char *const rows[][2] = {{"lt", "ult"},    {"le", "ule"},    {"idiv", "udiv"}, {"div", "udiv"},
                                        {"irem", "urem"}, {"fmod", "urem"}, {"mod", "urem"},  {"shr", "ushr"}};
  for (int i = 0; n == 2 && i < COUNT(rows); i++)
    if (strcmp(rows[i][0], fn) == 0) return ex_op(scalar_find(rows[i][1]), a[0], a[1], NULL);
  if (n == 1 && strcmp(fn, "abs") == 0) return a[0];
  return n == 1 && strcmp(fn, "sign") == 0 ? sel(eq(a[0], ex_i(DT_I64, 0)), a[0], ex_i(DT_I64, 1)) : NULL;
}

static Ex *call_row(const char *fn, int n, Ex *const *a) { // a row of scalar.def that is no conversion
  SOp op = scalar_find(fn);
  if (op == S_div && n == 2 && !is_float(a[0])) op = S_idiv;
  bool whole = op == S_floor || op == S_ceil || op == S_trunc || op == S_rint;
  if (whole && n == 1 && !is_float(a[0])) return a[0];
  if (op >= S_f2f || scalars[op].arity != n) return NULL;
  return ex_op(op, a[0], n > 1 ? a[1] : NULL, n > 2 ? a[2] : NULL);
}

// What a function of floats takes of an integer: a double
static Ex *as_float(Ex *x, DType storage) {
  if (is_float(x)) return x;
  return storage == DT_U64 ? ex_convert(S_u2f, DT_F64, x) : ex_cast(DT_F64, x);
}

Ex *ex_call(const char *fn, DType storage, int n, Ex *const *a) {
  Ex *r = storage == DT_U64 && n > 0 && a[0]->type == DT_I64 ? call_unsigned(fn, n, a) : NULL;
  if (r) return r;
  for (int i = 0; n == 1 && i < COUNT(unary); i++)
    if (strcmp(unary[i].name, fn) == 0) return unary[i].f(unary[i].of_floats ? as_float(a[0], storage) : a[0]);
  for (int i = 0; n == 2 && i < COUNT(binary); i++)
    if (strcmp(binary[i].name, fn) == 0) return binary[i].f(a[0], a[1]);
  if (n == 3 && strcmp(fn, "clamp") == 0)
    return ex_call("min", storage, 2, (Ex *[]){ex_call("max", storage, 2, (Ex *[]){a[0], a[1]}), a[2]});
  bool uniform = strcmp(fn, "uniform") == 0;
  if (n == 2 && (uniform || strcmp(fn, "normal") == 0)) {
    DType t = dtypes[storage].reg == DT_F64 ? DT_F64 : DT_F32;
    return uniform ? ex_uniform(t, a[0], a[1]) : ex_normal(t, a[0], a[1]);
  }
  return call_row(fn, n, a);
}
