// math_test.c - accuracy and special values of the expanded functions against long double libm, over dense samples.
#include "ir/math.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above first
#include <cmocka.h>

/* ---- running a DAG over lanes, by scalar_lanes alone ---- */

enum { LANES = 4096 };
static int epoch = 1 << 20;

static void *run(Ex *e, int n) {
  if (e->epoch == epoch) return e->v;
  e->epoch = epoch;
  if (e->op == S_LOAD) return e->v; // an operand: set by bind
  char *r = malloc((size_t)n * 8);
  if (e->op == S_CONST)
    for (int l = 0; l < n; l++) {
      if (e->type == DT_F32) ((float *)r)[l] = (float)e->f;
      else if (e->type == DT_F64) ((double *)r)[l] = e->f;
      else if (e->type == DT_I32) ((int32_t *)r)[l] = (int32_t)e->i;
      else if (e->type == DT_I64) ((int64_t *)r)[l] = e->i;
      else r[l] = (char)e->i;
    }
  else {
    void *x[3] = {NULL, NULL, NULL};
    for (int i = 0; i < scalars[e->op].arity; i++) x[i] = run(e->a[i], n);
    DType in = e->op == S_select ? e->type : e->a[0]->type;
    scalar_lanes(e->op, in, e->type, e->op == S_round || e->op == S_wrap ? (DType)e->i : DT_NONE, n, r, x[0], x[1], x[2]);
  }
  return e->v = r;
}

static void release(Ex *e) {
  if (e->epoch != epoch) return;
  e->epoch = 0;
  for (int i = 0; i < 3; i++)
    if (e->a[i]) release(e->a[i]);
  if (e->op != S_LOAD) free(e->v);
}

static int nodes(Ex *e) {
  if (e->epoch == epoch) return 0;
  e->epoch = epoch;
  int n = e->op > S_SEL && e->op != S_bits;
  for (int i = 0; i < 3; i++) n += e->a[i] ? nodes(e->a[i]) : 0;
  return n;
}

static Ex *operand(DType t) {
  Ex *e = NEW(Ex);
  e->op = S_LOAD;
  e->type = t;
  return e;
}

// r[l] = f(x[l], y[l]) in type t, in and out as doubles
static void evaluate(const char *fn, DType t, int n, double *r, const double *x, const double *y) {
  Ex *a[2] = {operand(t), operand(t)};
  Ex *e = ex_call(fn, t, y ? 2 : 1, a);
  float xf[2][LANES];
  const double *in[2] = {x, y};
  for (int k = 0; k < (y ? 2 : 1); k++) {
    for (int l = 0; l < n; l++) xf[k][l] = (float)in[k][l];
    a[k]->v = t == DT_F32 ? (void *)xf[k] : (void *)(uintptr_t)in[k];
  }
  epoch++;
  void *v = run(e, n);
  for (int l = 0; l < n; l++) r[l] = t == DT_F32 ? (double)((float *)v)[l] : ((double *)v)[l];
  release(e);
}

/* ---- errors in units of the last place ---- */

static long double ulp_at(DType t, long double v) {
  int e;
  frexpl(v, &e);
  int digits = t == DT_F32 ? 24 : 53, least = t == DT_F32 ? -148 : -1073;
  return ldexpl(1, (e - digits > least ? e - digits : least));
}

static double error_ulp(DType t, double got, long double want, bool flush) {
  long double top = t == DT_F32 ? (long double)0x1.ffffffp127 : 0x1.fffffffffffff8p1023L, tiny = t == DT_F32 ? 0x1p-126L : 0x1p-1022L;
  if (isnan(want)) return isnan(got) ? 0 : 1e30;
  if (isnan(got)) return 1e30;
  if (isinf(got)) return !signbit(got) == !signbit(want) && fabsl(want) > top * (1 - 1e-7L) ? 0 : 1e30;
  if (fabsl(want) >= top) return 1e30;
  if (fabsl(want) < tiny * (1 + 1e-6L) && flush && got == 0) return 0;
  return (double)(fabsl(got - want) / ulp_at(t, want));
}

static double uniform(void) { return (double)rand() / RAND_MAX; }
static const double specials[] = {0.0,   -0.0,   1,         -1,        2,     -2,       0.5,       -0.5,     3,         -3,        1e-3,
                                  -1e-3, 1e-30,  -1e-30,    1e30,      -1e30, INFINITY, -INFINITY, NAN,      88.7,      -88.7,     -103,
                                  709.7, -709.7, 1.0000001, 0.9999999, 7.5,   -7.5,     1e-40,     0x1p-149, 12345.678, -12345.678};
enum { SPECIALS = sizeof specials / sizeof *specials };

typedef struct Case {
  const char *fn;
  long double (*f)(long double);
  double lo, hi;   // dense range
  double f32, f64; // bounds
  bool flush;
} Case;

static double worst(const Case *c, DType t, double lo, double hi, bool logarithmic, double *where) {
  double x[LANES], r[LANES], top = 0;
  for (int round = 0; round < 16; round++) {
    for (int l = 0; l < LANES; l++) {
      double u = uniform();
      x[l] = logarithmic ? ldexp(1 + u, (int)(uniform() * (t == DT_F32 ? 250 : 2000)) - (t == DT_F32 ? 125 : 1000)) * (rand() & 1 ? 1 : -1)
                         : lo + (hi - lo) * u;
      if (t == DT_F32) x[l] = (double)(float)x[l];
      if (x[l] < lo || x[l] > hi) x[l] = lo + (hi - lo) * u, x[l] = t == DT_F32 ? (double)(float)x[l] : x[l];
    }
    evaluate(c->fn, t, LANES, r, x, NULL);
    for (int l = 0; l < LANES; l++) {
      double e = error_ulp(t, r[l], c->f(x[l]), c->flush);
      if (e > top) top = e, *where = x[l];
    }
  }
  return top;
}

static long double sigmoidl(long double x) { return 1 / (1 + expl(-x)); }
static long double softplusl(long double x) { return (x > 0 ? x : 0) + log1pl(expl(-fabsl(x))); }

static const Case cases[] = {
    {"exp", expl, -87.3, 88.7, 1.2, 1.2, true},
    {"exp2", exp2l, -125, 127.9, 1.2, 1.2, true},
    {"expm1", expm1l, -20, 88, 2.2, 2.2, false},
    {"log", logl, 0, 1e9, 1.2, 1.2, false},
    {"log1p", log1pl, -0.9999, 1e6, 2.2, 2.2, false},
    {"log2", log2l, 0, 1e6, 2.6, 2.6, false},
    {"log10", log10l, 0, 1e6, 2.6, 2.6, false},
    {"sin", sinl, -1e5, 1e5, 2.1, 2.1, false},
    {"cos", cosl, -1e5, 1e5, 2.1, 2.1, false},
    {"tan", tanl, -1e5, 1e5, 3, 3, false},
    {"asin", asinl, -1, 1, 2.2, 2.5, false},
    {"acos", acosl, -1, 1, 2.2, 2.2, false},
    {"atan", atanl, -10, 10, 2.2, 2.2, false},
    {"sinh", sinhl, -88, 88, 2.5, 2.5, false},
    {"cosh", coshl, -88, 88, 2.2, 2.2, false},
    {"tanh", tanhl, -10, 10, 3, 3, false},
    {"asinh", asinhl, -1e6, 1e6, 4, 4, false},
    {"acosh", acoshl, 1, 1e6, 4, 4, false},
    {"atanh", atanhl, -1, 1, 4, 4, false},
    {"erf", erfl, -5, 5, 3.5, 3, false},
    {"sigmoid", sigmoidl, -87, 80, 3, 3, true},
    {"softplus", softplusl, -80, 80, 3, 3, true},
};

static void accuracy(void **state) {
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int d = 0; d < 2; d++) {
      const Case *c = &cases[i];
      DType t = d ? DT_F64 : DT_F32;
      double w1 = 0, w2 = 0, e1 = worst(c, t, c->lo, c->hi, false, &w1), e2 = worst(c, t, c->lo, c->hi, true, &w2),
             bound = d ? c->f64 : c->f32;
      Ex *x = operand(t);
      epoch++;
      int n = nodes(ex_call(c->fn, t, 1, &x));
      print_message("%-8s %s %3d ops  %.2f ulp at %.9g, %.2f at %.9g\n", c->fn, dtypes[t].name, n, e1, w1, e2, w2);
      if (e1 > bound || e2 > bound) bad++, print_error("%s %s: above %.1f ulp\n", c->fn, dtypes[t].name, bound);
    }
  assert_int_equal(bad, 0);
}

static void special_values(void **state) {
  (void)state;
  int bad = 0;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int d = 0; d < 2; d++) {
      DType t = d ? DT_F64 : DT_F32;
      double x[SPECIALS], r[SPECIALS];
      for (int k = 0; k < SPECIALS; k++) x[k] = d ? specials[k] : (double)(float)specials[k];
      evaluate(cases[i].fn, t, SPECIALS, r, x, NULL);
      for (int k = 0; k < SPECIALS; k++) {
        long double want = cases[i].f(x[k]);
        bool far = !strcmp(cases[i].fn, "tan") || !strcmp(cases[i].fn, "sin") || !strcmp(cases[i].fn, "cos");
        if (far && fabs(x[k]) > 1e15 && isfinite(x[k])) continue; // the documented limit
        double e = error_ulp(t, r[k], want, true);
        bool sign = want == 0 && !signbit(want) != !signbit(r[k]);
        if (e > 4 || sign) bad++, print_error("%s %s(%g) = %g, want %Lg\n", cases[i].fn, dtypes[t].name, x[k], r[k], want);
      }
    }
  assert_int_equal(bad, 0);
}

static double pow_worst(const char *fn, long double (*f)(long double, long double), DType t, const double *x, const double *y, int n,
                        double bound) {
  double r[LANES], top = 0;
  evaluate(fn, t, n, r, x, y);
  for (int l = 0; l < n; l++) {
    if (f == fmodl && isfinite(x[l]) && fabsl((long double)x[l] / y[l]) > 0x1p60L && y[l] != 0) continue; // the documented limit
    long double want = f(x[l], y[l]);
    double e = error_ulp(t, r[l], want, false);
    bool sign = want == 0 && !signbit(want) != !signbit(r[l]);
    if (e > bound || sign) print_error("%s %s(%.9g, %.9g) = %.9g, want %.9Lg (%.2f ulp)\n", fn, dtypes[t].name, x[l], y[l], r[l], want, e);
    if (sign) e = 1e30;
    if (e > top) top = e;
  }
  return top;
}

static int on_specials(const char *fn, long double (*f)(long double, long double), double bound) {
  static double x[SPECIALS * SPECIALS], y[SPECIALS * SPECIALS];
  int bad = 0;
  for (int d = 0; d < 2; d++) {
    for (int i = 0; i < SPECIALS * SPECIALS; i++) {
      x[i] = specials[i / SPECIALS], y[i] = specials[i % SPECIALS];
      if (!d) x[i] = (double)(float)x[i], y[i] = (double)(float)y[i];
    }
    bad += pow_worst(fn, f, d ? DT_F64 : DT_F32, x, y, SPECIALS * SPECIALS, bound) > bound;
  }
  return bad;
}

static int on_samples(const char *fn, long double (*f)(long double, long double), double bound, double lx, double ly) {
  static double x[LANES], y[LANES];
  int bad = 0;
  for (int d = 0; d < 2; d++) {
    double top = 0;
    for (int round = 0; round < 8; round++) {
      for (int i = 0; i < LANES; i++) {
        x[i] = exp((uniform() * 2 - 1) * lx), y[i] = (uniform() * 2 - 1) * ly;
        if (!d) x[i] = (double)(float)x[i], y[i] = (double)(float)y[i];
      }
      double e = pow_worst(fn, f, d ? DT_F64 : DT_F32, x, y, LANES, bound);
      if (e > top) top = e;
    }
    print_message("%-8s %s %.2f ulp\n", fn, d ? "f64" : "f32", top);
    bad += top > bound;
  }
  return bad;
}

static void two_operands(void **state) {
  (void)state;
  assert_int_equal(on_specials("pow", powl, 2), 0);
  assert_int_equal(on_samples("pow", powl, 2, 3, 25), 0);
  assert_int_equal(on_specials("atan2", atan2l, 3), 0);
  assert_int_equal(on_samples("atan2", atan2l, 3, 3, 25), 0);
  assert_int_equal(on_specials("fmod", fmodl, 0), 0);
  assert_int_equal(on_samples("fmod", fmodl, 0, 12, 25), 0);
}

static void random_numbers(void **state) {
  (void)state;
  double n = 0, sum = 0, square = 0;
  for (int i = 0; i < 4000; i++) {
    double u = ex_uniform(DT_F32, ex_i(DT_I64, 7), ex_i(DT_I64, i))->f, g = ex_normal(DT_F32, ex_f(DT_F32, 0.5), ex_i(DT_I64, i))->f;
    assert_true(u > 0 && u < 1);
    n++, sum += g, square += g * g;
  }
  assert_true(fabs(sum / n) < 0.06 && fabs(square / n - 1) < 0.09);
}

/* ---- formulas ---- */

static Ex *names(const char *id, DType *storage, void *u) {
  Ex **xy = u;
  *storage = xy[2] ? DT_U64 : DT_NONE;
  if (!strcmp(id, "x")) return xy[0];
  if (!strcmp(id, "y")) return xy[1];
  if (!strcmp(id, "alpha")) return ex_f(DT_F32, 0.25);
  return NULL;
}
static double formula(const char *text, DType t, double x, double y, bool is_unsigned) {
  Ex *xy[3] = {ex_num(dtypes[t].reg, x), ex_num(dtypes[t].reg, y), is_unsigned ? ex_i(DT_I64, 1) : NULL};
  Ex *e = ex_formula(text, t, names, xy);
  assert_int_equal(e->op, S_CONST);
  assert_int_equal(e->type, dtypes[t].reg);
  return e->type == DT_F32 || e->type == DT_F64 ? e->f : (double)e->i;
}

static void formulas(void **state) {
  (void)state;
  assert_true(formula("x < 0 ? alpha*x : x", DT_F32, -8, 0, false) == -2);
  assert_true(formula("let t = x + y; t*t - 2*3 - 1", DT_F64, 1, 2, false) == 2);
  assert_true(formula("x + y", DT_U8, 200, 100, false) == 44);
  assert_true(formula("~x", DT_I8, 5, 0, false) == -6);
  assert_true(formula("x > y", DT_BOOL, 1, 0, false) == 1);
  assert_true(formula("x % y", DT_I32, -7, 3, false) == -1);
  assert_true(formula("mod(x, y)", DT_I32, -7, 3, false) == 2);
  assert_true(formula("1 - 2 - 3 + x/y", DT_F32, 1, 4, false) == -3.75);
  assert_true(formula("max(0, min(1, 0.5*x + 0.5))", DT_F32, 9, 0, false) == 1);
  assert_true(formula("x > y ? 1 : 0", DT_U64, -1, 5, true) == 1); // 2^64 - 1
  assert_true(formula("x > y ? 1 : 0", DT_I64, -1, 5, false) == 0);
  assert_true(formula("x == 1 || y != 2 && !(x < 0)", DT_F32, 0, 2, false) == 0);
  assert_true(formula("pow(x, 2) + pow(y, 0.5)", DT_F32, 3, 4, false) == 11);
  assert_true(formula("x << 1 | 1", DT_I32, 3, 0, false) == 7);
  assert_true(isinf(formula("-inf", DT_F32, 0, 0, false)));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(accuracy), cmocka_unit_test(special_values), cmocka_unit_test(two_operands),
                                     cmocka_unit_test(random_numbers), cmocka_unit_test(formulas)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
