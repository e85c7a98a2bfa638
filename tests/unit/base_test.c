// base_test.c - memory, names, text, diagnostics; element types, small floats, constant tensors, type text.
#include "ir/type.h"
#include <math.h>
#include <setjmp.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#undef fail

static int told;
static Exit told_exit;
static void tell(const Diagnostic *d) {
  told += d->count;
  told_exit = d->exit;
}
static int setup(void **state) {
  (void)state;
  base_reset();
  mem_limit(0);
  told = 0;
  diagnostic_sink = tell;
  return 0;
}

static void memory_is_zeroed_and_aligned(void **state) {
  (void)state;
  for (size_t n = 0; n < 300; n += 7) {
    unsigned char *p = mem(n);
    assert_int_equal((uintptr_t)p % 16, 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
    memset(p, 0xaa, n);
  }
  unsigned char *big = mem((size_t)3 << 20);
  assert_int_equal(big[(3 << 20) - 1], 0);
  int *x = NULL, n = 0, cap = 0;
  for (int i = 0; i < 1000; i++) PUSH(x, n, cap, i * 3);
  for (int i = 0; i < 1000; i++) assert_int_equal(x[i], i * 3);
}

static void take_too_much(void *u) {
  (void)u;
  for (;;) mem(1 << 16);
}
static void negative_count(void *u) { NEWN(int, *(int *)u); }
static void memory_has_a_limit(void **state) {
  (void)state;
  mem_limit((size_t)8 << 20);
  assert_int_equal(protect(take_too_much, NULL), EXIT_LIMIT);
  assert_int_equal(told_exit, EXIT_LIMIT);
  setup(state);
  assert_int_equal(protect(negative_count, &(int){-5}), EXIT_LIMIT);
}

static void names_are_interned(void **state) {
  (void)state;
  Sym first = sym("name 0");
  for (int i = 0; i < 5000; i++) assert_int_equal(sym_len(sym_fmt("name %d", i)), strlen(fmt("name %d", i)));
  assert_ptr_equal(sym("name 0"), first);
  assert_ptr_not_equal(sym_n("a\0b", 3), sym("a"));
  assert_int_equal(sym_len(sym_n("a\0b", 3)), 3);
  assert_ptr_equal(sym_n("", 0), sym(""));
}

static void text_is_quoted(void **state) {
  (void)state;
  Text t = {0};
  put_quoted(&t, "a\"b\\\n\t\x01\x7f", 8);
  assert_string_equal(t.p, "\"a\\\"b\\\\\\n\\t\\x01\\x7F\"");
  t = (Text){0};
  put_quoted(&t, "\xc3\xa9 \xc2\x85 \xff \xed\xa0\x80", 11); // a letter, a C1 control, no UTF-8, a surrogate
  assert_string_equal(t.p, "\"\xc3\xa9 \\xC2\\x85 \\xFF \\xED\\xA0\\x80\"");
  t = (Text){0};
  for (int i = 0; i < 500; i++) put(&t, "%d,", i);
  put(&t, "%s", fmt("%0600d", 7));
  assert_int_equal(t.n, strlen(t.p));
}

static void report_twice(void *u) {
  (void)u;
  for (int i = 0; i < 3; i++) report(LEVEL_ERROR, EXIT_UNSUPPORTED, "op.unsupported", NOWHERE, "no such op");
  report(LEVEL_WARNING, EXIT_OK, "w", NOWHERE, "careful");
  assert_int_equal(told, 0);
  check_reports();
  assert_true(false);
}
static void inner_fails(void *u) {
  (void)u;
  fail(EXIT_INVALID, "x", NOWHERE, "inner");
}
static void nest(void *u) {
  (void)u;
  assert_int_equal(protect(inner_fails, NULL), EXIT_INVALID);
  fail(EXIT_LIMIT, "x", NOWHERE, "outer");
}
static void diagnostics_unwind(void **state) {
  (void)state;
  assert_int_equal(protect(report_twice, NULL), EXIT_UNSUPPORTED);
  assert_int_equal(told, 4);
  assert_int_equal(reported(LEVEL_ERROR), 3);
  assert_int_equal(protect(nest, NULL), EXIT_LIMIT);
}

/* ---- element types ---- */

// Every pattern is read and written back; what lies between two neighbours goes to the nearer, ties to the even one.
static void round_trip(DType d, int bits) {
  double least = INFINITY;
  for (uint32_t b = 0; b < 1u << bits; b++) {
    double v = small_to_double(d, b);
    if (isnan(v)) {
      if (d != DT_F8E8M0) assert_true(isnan(small_to_double(d, double_to_small(d, v, false))));
      continue;
    }
    assert_int_equal(double_to_small(d, v, false), b);
    if (v > 0 && v < least) least = v;
    uint32_t next = b + 1;
    double w = small_to_double(d, next & ((1u << bits) - 1));
    if (!(w > v) || isinf(w) || next >> bits || d == DT_F8E8M0) continue;
    assert_int_equal(double_to_small(d, v + (w - v) * 0.49, false), b);
    assert_int_equal(double_to_small(d, v + (w - v) * 0.51, false), next);
    assert_int_equal(double_to_small(d, v + (w - v) * 0.5, false), b & 1 ? next : b);
  }
  if (d != DT_F8E8M0) assert_int_equal(double_to_small(d, least * 0.49, false), 0);
}

static void small_floats(void **state) {
  (void)state;
  round_trip(DT_F16, 16), round_trip(DT_BF16, 16), round_trip(DT_F8E4M3FN, 8), round_trip(DT_F8E4M3FNUZ, 8), round_trip(DT_F8E5M2, 8);
  round_trip(DT_F8E5M2FNUZ, 8), round_trip(DT_F4E2M1, 4), round_trip(DT_F6E2M3, 6), round_trip(DT_F6E3M2, 6), round_trip(DT_F8E8M0, 8);
  assert_int_equal(double_to_small(DT_F16, 65504, false), 0x7bff);
  assert_int_equal(double_to_small(DT_F16, 65520, false), 0x7c00); // the tie goes to infinity
  assert_int_equal(double_to_small(DT_F16, 65519.9, false), 0x7bff);
  assert_int_equal(double_to_small(DT_F8E4M3FN, 1000, true), 0x7e);
  assert_true(isnan(small_to_double(DT_F8E4M3FN, double_to_small(DT_F8E4M3FN, 1000, false))));
  assert_int_equal(double_to_small(DT_F8E4M3FN, 464, false), 0x7e);
  assert_int_equal(double_to_small(DT_F8E5M2, -1e9, true), 0xfb);
  assert_int_equal(double_to_small(DT_F8E5M2, -1e9, false), 0xfc);
  assert_int_equal(double_to_small(DT_F8E4M3FNUZ, -0.0, false), 0);
  assert_int_equal(double_to_small(DT_F8E4M3FNUZ, NAN, true), 0x80);
  assert_int_equal(double_to_small(DT_F4E2M1, 100, false), 7);
  assert_int_equal(double_to_small(DT_F8E8M0, 1.4, true), 127);
  assert_int_equal(double_to_small(DT_F8E8M0, 1.5, true), 128);
}

static void tensors(void **state) {
  (void)state;
  static const DType ints[] = {DT_I2, DT_U2, DT_I4, DT_U4, DT_I8, DT_U8, DT_I16, DT_U16, DT_I32, DT_U32, DT_I64};
  for (size_t k = 0; k < sizeof ints / sizeof *ints; k++) {
    const DTypeInfo *d = &dtypes[ints[k]];
    Tensor *t = tensor_new(ints[k], 2, (int64_t[]){3, 7}, NULL);
    assert_int_equal(t->bytes, (21 * d->bits + 7) / 8);
    for (int i = 0; i < 21; i++) tensor_set_int(t, i, i * 37 - 100);
    for (int i = 0; i < 21; i++) {
      uint64_t want = (uint64_t)(i * 37 - 100) << (64 - d->bits);
      assert_int_equal(tensor_int(t, i), d->is_signed ? (int64_t)want >> (64 - d->bits) : (int64_t)(want >> (64 - d->bits)));
    }
  }
  Tensor *f = tensor_new(DT_F4E2M1, 1, (int64_t[]){3}, NULL);
  for (int i = 0; i < 3; i++) tensor_set_float(f, i, i * 1.5);
  assert_true(tensor_float(f, 1) == 1.5 && tensor_float(f, 2) == 3);
  assert_int_equal(((const uint8_t *)f->data)[0], 0x30); // low bits first
  Tensor *i = tensor_new(DT_I32, 1, (int64_t[]){3}, NULL);
  tensor_set_float(i, 0, -7.9), tensor_set_float(i, 1, 1e12), tensor_set_float(i, 2, NAN);
  assert_int_equal(tensor_int(i, 0), -7);
  assert_int_equal(tensor_int(i, 1), INT32_MIN);
  assert_int_equal(tensor_int(i, 2), INT32_MIN);
  static const char bytes[] = "xabcdefgh"; // any alignment
  assert_int_equal(tensor_int(tensor_new(DT_I64, 0, NULL, bytes + 1), 0), 0x6867666564636261);
}

static void types_have_text(void **state) {
  (void)state;
  static const char *const texts[] = {"f32[N,?,64]",    "f16[]",       "i64[*]", "seq(f32[?,3])",        "opt(seq(str[]))",
                                      "map(i64,f32[])", "sparse(f32)", "seq(?)", "bool[2*N + 1,\"a b\"]"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const char *p = texts[i];
    const Type *t = type_parse(&p);
    assert_non_null(t);
    assert_int_equal(*p, 0);
    assert_string_equal(type_str(t), texts[i]);
    p = texts[i];
    assert_ptr_equal(type_parse(&p), t);
  }
  static const char *const broken[] = {"f33[N]", "f32[N", "f32", "seq(f32[])extra(", "map(f32[],i64)", "f32[1,2,3,4,5,6,7,8,9]", ""};
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    const char *p = broken[i];
    assert_true(!type_parse(&p) || *p);
  }
  for (int d = 1; d < DT_COUNT; d++) assert_int_equal(dtype_of(sym(dtypes[d].name)), d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(memory_is_zeroed_and_aligned, setup),
      cmocka_unit_test_setup(memory_has_a_limit, setup),
      cmocka_unit_test_setup(names_are_interned, setup),
      cmocka_unit_test_setup(text_is_quoted, setup),
      cmocka_unit_test_setup(diagnostics_unwind, setup),
      cmocka_unit_test_setup(small_floats, setup),
      cmocka_unit_test_setup(tensors, setup),
      cmocka_unit_test_setup(types_have_text, setup),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
