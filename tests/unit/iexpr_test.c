// The integer algebra: what kernels rely on, laws of the normal form, proofs, facts, text; then random expressions against evaluation.
#include "ir/iexpr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
// after those
#include <cmocka.h>

static IExpr *sym_at(const char *name, int64_t lo, int64_t hi) { return ix_sym(sym(name), lo, hi); }
static IExpr *dim(const char *name) { return sym_at(name, 0, IX_DIM_MAX); }
static IExpr *var(const char *name, IExpr *ext) { return ix_var(sym(name), ext); }

static void assert_text(IExpr *e, const char *text) {
  const char *s = ix_str(e);
  assert_string_equal(s, text);
}

static void test_division(void **state) {
  (void)state;
  IExpr *n = dim("N"), *a = dim("A"), *b = var("b", ix(64));
  IExpr *whole = ix_scale(ix_divk(n, 64), 64);
  assert_ptr_equal(ix_scale(ix_divk(whole, 64), 64), whole);
  assert_true(ix_is(ix_modk(whole, 64), 0));
  IExpr *rest = ix_modk(n, 7);
  assert_int_equal(rest->lo, 0);
  assert_int_equal(rest->hi, 6);
  assert_ptr_equal(ix_divk(ix_add(ix_scale(a, 64), b), 64), a);
  assert_ptr_equal(ix_modk(ix_add(ix_scale(a, 64), b), 64), b);
  assert_ptr_equal(ix_divk(ix_addk(ix_divk(ix_addk(n, 1), 2), 1), 2), ix_divk(ix_addk(n, 3), 4)); // two strides
  assert_ptr_equal(ix_scale(ix_divk(ix_scale(n, -1), 4), -1), ix_ceil(n, 4));
  IExpr *m = dim("M");
  assert_ptr_equal(ix_div(ix_mul(ix_mul(n, m), ix(6)), ix_scale(m, 2)), ix_scale(n, 3));
  assert_ptr_equal(ix_div(ix_add(ix_mul(n, m), ix_scale(m, 2)), m), ix_addk(n, 2));
  assert_true(ix_is(ix_div(n, ix(0)), 0));
  IExpr *s = sym_at("signed", -100, 100);
  s = ix_truncdiv(s, ix(3));
  ix_is_atom(ix_sym(sym("signed"), -100, 100))->val = -7;
  assert_int_equal(ix_eval(s), -2);
}

static void test_clamps(void **state) {
  (void)state;
  IExpr *n = dim("N"), *m = dim("M");
  assert_ptr_equal(ix_add(ix_max(n, m), ix_min(n, m)), ix_add(n, m));
  assert_ptr_equal(ix_max(n, ix(-3)), n);
  assert_ptr_equal(ix_relu(ix_scale(n, 3)), ix_scale(n, 3));
  IExpr *d = ix_sub(n, m);
  assert_ptr_equal(ix_relu(ix_scale(d, 5)), ix_scale(ix_relu(d), 5));
  assert_ptr_equal(ix_min(ix_min(n, ix(8)), ix(9)), ix_min(n, ix(8)));
  assert_true(ix_is(ix_eq(n, ix_addk(n, 1)), 0));
  assert_true(ix_is(ix_eq(n, n), 1));
  assert_true(ix_is(ix_ge(n, ix(-1)), 1));
  IExpr *c = ix_ge(n, m);
  assert_ptr_equal(ix_mul(c, c), c);
  assert_ptr_equal(ix_add(c, ix_not(c)), ix(1));
  assert_ptr_equal(ix_ge(c, ix(1)), c);
  assert_ptr_equal(ix_select(c, n, n), n);
  assert_ptr_equal(ix_bcast(n, ix(1)), n);
  assert_ptr_equal(ix_bcast(ix(1), m), m);
}

// Tails and rests as the schedules write them.
static void test_kernels(void **state) {
  (void)state;
  IExpr *n = dim("N"), *i = var("i", ix_ceil(n, 16)), *tail = ix_min(ix(16), ix_sub(n, ix_scale(i, 16)));
  assert_true(ix_prove_ge0(ix_addk(tail, -1)));
  assert_true(ix_prove_le(tail, ix(16)));
  IExpr *j = var("j", tail);
  assert_true(ix_prove_ge0(ix_sub(ix_addk(n, -1), ix_add(ix_scale(i, 16), j)))); // 16*i + j < N
  IExpr *f = var("f", ix_divk(n, 16));
  assert_true(ix_is(ix_min(ix(16), ix_sub(n, ix_scale(f, 16))), 16)); // a full tile needs no tail
  IExpr *m = dim("M"), *rest8 = ix_modk(m, 8), *fours = ix_divk(rest8, 4), *r4 = ix_modk(rest8, 4), *twos = ix_divk(r4, 2);
  assert_true(ix_prove_le(fours, ix(1)));
  assert_true(ix_prove_le(twos, ix(1)));
  IExpr *q = var("q", fours), *k = var("k", ix(4));
  IExpr *at = ix_add(ix_add(ix_scale(ix_divk(m, 8), 8), ix_scale(q, 4)), k);
  assert_true(ix_prove_ge0(at));
  assert_true(ix_prove_ge0(ix_sub(ix_addk(m, -1), at)));
  IExpr *p = var("p", twos), *l = var("l", ix(2));
  at = ix_add(ix_add(ix_add(ix_scale(ix_divk(m, 8), 8), ix_scale(fours, 4)), ix_scale(p, 2)), l);
  assert_true(ix_prove_ge0(ix_sub(ix_addk(m, -1), at)));
  assert_false(ix_prove_ge0(ix_sub(ix_addk(m, -2), at)));
  IExpr *row = dim("K"), *x = var("x", m), *y = var("y", row); // row-major address
  assert_true(ix_prove_ge0(ix_sub(ix_addk(ix_mul(m, row), -1), ix_add(ix_mul(x, row), y))));
}

static void test_interval(void **state) {
  (void)state;
  IExpr *v = var("v", ix(100)), *lo, *hi, *a = dim("A");
  Atom *at = ix_var_of(v);
  ix_interval(ix_sub(a, ix_scale(v, 3)), at, ix(2), ix(5), &lo, &hi);
  assert_ptr_equal(lo, ix_addk(a, -15));
  assert_ptr_equal(hi, ix_addk(a, -6));
  ix_interval(ix_divk(v, 8), at, ix(3), ix(20), &lo, &hi);
  assert_true(ix_is(lo, 0) && ix_is(hi, 2));
  ix_interval(ix_modk(v, 8), at, ix(3), ix(20), &lo, &hi);
  assert_true(ix_is(lo, 0) && ix_is(hi, 7));
  ix_interval(ix_modk(v, 8), at, ix(17), ix(20), &lo, &hi);
  assert_true(ix_is(lo, 1) && ix_is(hi, 4));
  ix_interval(ix_add(ix_scale(a, 8), ix_modk(v, 8)), at, ix(0), ix(99), &lo, &hi);
  assert_ptr_equal(lo, ix_scale(a, 8));
  assert_ptr_equal(hi, ix_addk(ix_scale(a, 8), 7));
  ix_interval(ix_min(ix(16), ix_sub(a, ix_scale(v, 16))), at, ix(0), ix(3), &lo, &hi);
  assert_ptr_equal(lo, ix_min(ix(16), ix_addk(a, -48)));
  assert_ptr_equal(hi, ix_min(ix(16), a));
}

static void test_questions(void **state) {
  (void)state;
  IExpr *n = dim("N"), *v = var("v", n), *w = var("w", ix(4)), *e = ix_add(ix_add(ix_mul(v, n), ix_scale(w, 3)), ix_divk(ix_addk(v, 1), 2));
  bool affine;
  assert_int_equal(ix_coef(e, ix_var_of(w), &affine), 3);
  assert_true(affine);
  ix_coef(e, ix_var_of(v), &affine);
  assert_false(affine);
  assert_null(ix_slope(e, ix_var_of(v)));
  assert_ptr_equal(ix_slope(ix_mul(v, n), ix_var_of(v)), n);
  assert_true(ix_has(e, ix_var_of(v)));
  assert_true(ix_has(e, ix_is_atom(n)));
  assert_false(ix_has(ix_scale(w, 3), ix_var_of(v)));
  Atom *from[] = {ix_var_of(v), ix_var_of(w)};
  IExpr *by[] = {ix(5), v};
  assert_ptr_equal(ix_subst(e, 2, from, by), ix_addk(ix_add(ix_scale(n, 5), ix_scale(v, 3)), 3));
}

static void test_facts(void **state) {
  (void)state;
  IExpr *seq = dim("seq"), *h = dim("h"), *n = dim("n"), *m = dim("m");
  void *save = ix_facts_save();
  int before = ix_facts();
  assert_int_equal(ix_require_eq(seq, ix_min(seq, ix(512))), 1); // a position table of 512 rows
  assert_int_equal(ix_upper(seq), 512);
  assert_int_equal(ix_require_eq(seq, ix_min(seq, ix(512))), 0);
  assert_int_equal(ix_require_eq(n, ix_addk(m, 3)), 1);
  assert_ptr_equal(ix_resolve(n), ix_resolve(ix_addk(m, 3)));
  assert_int_equal(ix_require_eq(n, ix_addk(m, 4)), -1);
  assert_int_equal(ix_require_eq(h, ix_scale(ix_divk(h, 4), 4)), 1); // a volume that divides by 4
  assert_int_equal(ix_require_eq(h, ix_scale(ix_divk(h, 4), 4)), 0);
  assert_true(ix_is(ix_modk(ix_resolve(h), 4), 0));
  assert_true(ix_facts() > before);
  ix_facts_restore(save);
  assert_int_equal(ix_facts(), before);
  assert_int_equal(ix_upper(seq), IX_DIM_MAX);
  assert_ptr_equal(ix_resolve(n), n);
  assert_int_equal(ix_require_ge0(ix_addk(n, -5)), 1);
  assert_int_equal(ix_lower(n), 5);
  assert_int_equal(ix_require_ge0(ix_addk(ix_divk(m, 8), -2)), 1);
  assert_int_equal(ix_lower(m), 16);
  assert_int_equal(ix_require_ge0(ix_sub(ix(-1), n)), -1);
}

static IExpr *lookup(Sym name, void *u) {
  (void)u;
  return ix_sym(name, -IX_INF, IX_INF);
}
static IExpr *parse(const char *s) {
  IExpr *e = ix_parse(&s, lookup, NULL);
  return e && *s == 0 ? e : NULL;
}

static void test_text(void **state) {
  (void)state;
  IExpr *n = dim("N"), *s = dim("S"), *odd = dim("past + \"new\"");
  assert_text(ix_sub(ix_add(ix_scale(ix_mul(n, s), 2), ix_max(ix(0), ix_addk(s, -4))), ix_ceil(n, 8)), "2*N*S + max(0, S - 4) - (N + 7)/8");
  assert_text(ix_sub(ix(16), n), "16 - N");
  assert_text(ix(-5), "-5");
  assert_ptr_equal(parse(ix_str(odd)), odd);
  assert_ptr_equal(parse("16 * (N % 16) / 16"), ix_modk(n, 16));
  assert_ptr_equal(parse("[N == S]"), ix_eq(n, s));
  assert_ptr_equal(parse("min(N, S) + max(N, S)"), ix_add(n, s));
  FTree *half = ft_op(FT_MUL, false, ft_int(false, n), ft_const(false, 0.3));
  IExpr *f = ix_float(half);
  assert_ptr_equal(parse(ix_str(f)), f);
  assert_ptr_equal(ix_float(ft_op(FT_FLOOR, false, ft_op(FT_MUL, false, ft_int(false, n), ft_const(false, 2.5)), NULL)),
                   ix_divk(ix_scale(n, 5), 2));
  ix_is_atom(n)->val = 10;
  assert_int_equal(ix_eval(ix_float(ft_op(FT_MUL, false, ft_int(false, n), ft_const(false, 0.7)))), 7);
  assert_null(parse("N + "));
  assert_null(parse("max(N"));
  assert_null(parse("99999999999999999999"));
}

static void huge(void *u) {
  (void)u;
  IExpr *e = ix(IX_DIM_MAX);
  for (int i = 0; i < 4; i++) e = ix_mul(e, ix(IX_DIM_MAX));
}
static void silent(const Diagnostic *d) { (void)d; }
static void test_overflow(void **state) {
  (void)state;
  void (*sink)(const Diagnostic *) = diagnostic_sink;
  diagnostic_sink = silent;
  assert_int_equal(protect(huge, NULL), EXIT_LIMIT);
  diagnostic_sink = sink;
  IExpr *n = dim("N");
  for (int i = 0; i < 3; i++) n = ix_mul(n, n); // ranges saturate
  assert_int_equal(n->hi, IX_INF);
  assert_int_equal(n->lo, 0);
}

/* ---- random expressions, each with a plain evaluator beside it ---- */

typedef struct Pair { // an expression, and the value it must have
  IExpr *e;
  int64_t v;
} Pair;
enum { LEAVES = 5, POINTS = 24 };
static uint64_t seed;
static int rnd(int n) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (int)((seed >> 33) % (uint64_t)n);
}
static IExpr *leaf[LEAVES];
static int64_t point[LEAVES];
static int64_t fdiv(int64_t a, int64_t b) { return b ? a / b - (a % b && (a < 0) != (b < 0)) : 0; }
static int64_t tdiv(int64_t a, int64_t b) { return b ? a / b : 0; }
static int64_t max2(int64_t a, int64_t b) { return a > b ? a : b; }

// The recipe is drawn from `seed`: the same start gives the same expression, and its value at the current point.
static Pair draw(int depth) {
  if (depth == 0 || rnd(8) == 0) {
    if (rnd(3) == 0) {
      int k = rnd(17) - 5;
      return (Pair){ix(k), k};
    }
    int i = rnd(LEAVES);
    return (Pair){leaf[i], point[i]};
  }
  int op = rnd(12), c = rnd(9) + 1;
  Pair a = draw(depth - 1), b = draw(depth - 1);
  switch (op) {
  case 0: return (Pair){ix_add(a.e, b.e), a.v + b.v};
  case 1: return (Pair){ix_sub(a.e, b.e), a.v - b.v};
  case 2: return (Pair){ix_scale(a.e, c - 5), a.v * (c - 5)};
  case 3: return depth < 3 ? (Pair){ix_mul(a.e, b.e), a.v * b.v} : (Pair){ix_add(a.e, b.e), a.v + b.v};
  case 4: return (Pair){ix_divk(a.e, c), fdiv(a.v, c)};
  case 5: return (Pair){ix_modk(a.e, c), a.v - c * fdiv(a.v, c)};
  case 6: return (Pair){ix_relu(a.e), max2(a.v, 0)};
  case 7: return (Pair){ix_min(a.e, b.e), -max2(-a.v, -b.v)};
  case 8: return (Pair){ix_max(a.e, b.e), max2(a.v, b.v)};
  case 9: return (Pair){ix_ge(a.e, b.e), a.v >= b.v};
  case 10: return (Pair){ix_truncdiv(a.e, ix(c - 4)), tdiv(a.v, c - 4)};
  default: return (Pair){ix_select(ix_eq(a.e, b.e), b.e, ix_addk(a.e, c)), a.v == b.v ? b.v : a.v + c};
  }
}

static void check_points(uint64_t start, IExpr *e, int64_t lo, int64_t hi, int64_t *least, int64_t *most) {
  for (int p = 0; p < POINTS; p++) {
    uint64_t next = seed;
    for (int i = 0; i < LEAVES; i++) {
      Atom *a = ix_is_atom(leaf[i]);
      int64_t top = a->kind == ATOM_VAR ? point[i - 1] - 1 : a->hi > 60 ? 60 : a->hi; // leaf i's extent is leaf i-1
      if (top < a->lo) return;                                                        // an empty loop
      point[i] = a->val = a->lo + rnd((int)(top - a->lo) + 1);
    }
    next = seed;
    seed = start;
    int64_t v = draw(3).v;
    seed = next;
    assert_int_equal(ix_eval(e), v);
    assert_true(v >= e->lo && v <= e->hi);
    assert_true(v >= lo && v <= hi);
    *least = v < *least ? v : *least, *most = v > *most ? v : *most;
  }
}

static IExpr *leaf_of(Sym name, void *u) {
  (void)u;
  for (int i = 0; i < LEAVES; i++)
    if (ix_is_atom(leaf[i])->name == name) return leaf[i];
  return NULL;
}

static void test_random(void **state) {
  (void)state;
  int exact = 0, rounds = 6000;
  for (int r = 0; r < rounds; r++) {
    if (r % 500 == 0) base_reset();
    leaf[0] = sym_at("a", 0, IX_DIM_MAX), leaf[1] = sym_at("b", 1, 7), leaf[2] = sym_at("c", -6, 9), leaf[3] = sym_at("d", 0, IX_DIM_MAX);
    leaf[4] = var("v", leaf[3]);
    seed = (uint64_t)r * 77777 + 5;
    uint64_t start = seed;
    IExpr *e = draw(3).e;
    int64_t lo = ix_lower(e), hi = ix_upper(e), least = INT64_MAX, most = INT64_MIN;
    check_points(start, e, lo, hi, &least, &most);
    exact += lo == least;
    const char *text = ix_str(e);
    assert_ptr_equal(ix_parse(&text, leaf_of, NULL), e);
    IExpr *zero = ix_subst(e, 1, (Atom *[]){ix_is_atom(leaf[2])}, (IExpr *[]){ix(0)});
    ix_is_atom(leaf[2])->val = 0, ix_is_atom(leaf[3])->val = 5, ix_is_atom(leaf[4])->val = 3;
    assert_int_equal(ix_eval(zero), ix_eval(e));
  }
  assert_true(exact > rounds / 3); // bounds are not only sound, they say something
}

// The normal form does not depend on the order in which things were made: a text read in another process prints the same.
static void make_leaves(bool reversed) {
  static const char *const name[] = {"a", "b", "c", "d"};
  static const int64_t lo[] = {0, 1, -6, 0}, hi[] = {IX_DIM_MAX, 7, 9, IX_DIM_MAX};
  for (int k = 0; k < 4; k++) {
    int i = reversed ? 3 - k : k;
    leaf[i] = sym_at(name[i], lo[i], hi[i]);
  }
  leaf[4] = var("v", leaf[3]);
}

static void test_text_is_stable(void **state) {
  (void)state;
  static char kept[100][4000];
  for (int block = 0; block < 40; block++) {
    base_reset();
    make_leaves(false);
    for (int i = 0; i < 100; i++) {
      seed = (uint64_t)(block * 100 + i) * 999331 + 3;
      const char *text = ix_str(draw(3).e);
      snprintf(kept[i], sizeof kept[i], "%s", strlen(text) < sizeof kept[i] ? text : "0");
    }
    base_reset();
    make_leaves(true);
    for (int i = 99; i >= 0; i--) {
      const char *text = kept[i];
      IExpr *e = ix_parse(&text, leaf_of, NULL);
      assert_non_null(e);
      assert_string_equal(ix_str(e), kept[i]);
    }
  }
}

static int setup(void **state) {
  (void)state;
  base_reset();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(test_division, setup),       cmocka_unit_test_setup(test_clamps, setup),
      cmocka_unit_test_setup(test_kernels, setup),        cmocka_unit_test_setup(test_interval, setup),
      cmocka_unit_test_setup(test_questions, setup),      cmocka_unit_test_setup(test_facts, setup),
      cmocka_unit_test_setup(test_text, setup),           cmocka_unit_test_setup(test_overflow, setup),
      cmocka_unit_test_setup(test_text_is_stable, setup), cmocka_unit_test_setup(test_random, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
