// host_test.c - the runtime's host ops, called as a program calls them, on small values whose results are known; numbers against the C
// library's conversions, which are exact too.
#include "runtime/host_number.h"
#include "runtime/regex.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include <cmocka.h>
#define HOSTOP(name, operands, meaning) tn_op tn_op_##name;
#include "runtime/hostops.def"

/* ---- one call at a time ---- */
static void *my_alloc(void *user, uint64_t bytes, uint64_t align, DLDevice d) {
  void *p;
  (void)user, (void)d;
  if (posix_memalign(&p, align, bytes)) abort();
  return memset(p, 0xa5, bytes);
}
static void my_free(void *user, void *p, uint64_t bytes, DLDevice d) { (void)user, (void)bytes, (void)d, free(p); }
static tenon_model model = {.mem = {sizeof(tenon_allocator), NULL, my_alloc, my_free}};
static struct tn_run run;
static void *slabs[4];
static tn_frame frame;
static tenon_value *handle[16];
static tn_tensor tensor[16];
static tn_operand operand[16];
static tn_attr attr[16];
static int64_t dims[4][8];
static tn_call call;
static int n_in, n_out;

static void start(void) {
  run = (struct tn_run){.m = &model};
  frame = (tn_frame){.slab = slabs, .run = &run};
  for (int i = 0; i < 16; i++) tn_value_drop(&model, &handle[i]), operand[i] = (tn_operand){.slab = -1, .out = -1};
  memset(dims, 0xff, sizeof dims);
  call = (tn_call){.f = &frame, .in = operand, .out = operand + 8, .attr = attr};
  n_in = n_out = 0;
}
static void in_tensor(int32_t dtype, const void *data, int rank, const int64_t *dim) {
  tensor[n_in] = (tn_tensor){(void *)data, dtype, rank, {0}};
  for (int a = 0; a < rank; a++) tensor[n_in].dim[a] = dim[a];
  operand[n_in].t = &tensor[n_in], n_in++;
}
static void in_i64(int64_t v) {
  static int64_t store[16];
  store[n_in] = v;
  in_tensor(TN_I64, &store[n_in], 0, NULL);
}
static void in_strings(int rank, const int64_t *dim, const char *const *s) {
  int64_t n = 1;
  for (int a = 0; a < rank; a++) n *= dim[a];
  tenon_str *v = calloc((size_t)n + 1, sizeof *v);
  for (int64_t i = 0; i < n; i++) v[i] = (tenon_str){s[i], strlen(s[i])};
  tenon_value value = {.kind = TENON_TENSOR, .t = {v, {kDLCPU, 0}, rank, {kDLOpaqueHandle, 128, 1}, (int64_t *)dim, NULL, 0}};
  assert_true(tn_value_import(&model, &value, &handle[n_in]));
  free(v);
  operand[n_in].h = &handle[n_in], n_in++;
}
static void in_handle(int k) { operand[n_in++].h = &handle[k]; }
static void in_none(void) { n_in++; }
static void out_tensor(int32_t dtype, int rank) {
  tn_tensor *t = &tensor[8 + n_out];
  *t = (tn_tensor){NULL, dtype, rank, {0}};
  operand[8 + n_out].t = t, operand[8 + n_out].slab = n_out;
  for (int a = 0; a < rank; a++) operand[8 + n_out].dim_sym[a] = &dims[n_out][a];
  n_out++;
}
static void out_handle(void) { operand[8 + n_out].h = &handle[8 + n_out], n_out++; }
static void with_int(const char *name, int64_t v) { attr[call.n_attr++] = (tn_attr){.name = name, .kind = TN_ATTR_INT, .n = 1, .i = v}; }
static void with_string(const char *name, const char *s) {
  static tenon_str store[16];
  store[call.n_attr] = (tenon_str){s, strlen(s)};
  attr[call.n_attr] = (tn_attr){.name = name, .kind = TN_ATTR_STRING, .n = 1, .strings = &store[call.n_attr]}, call.n_attr++;
}
static void with_strings(const char *name, int n, const char *const *s) {
  tenon_str *v = test_calloc((size_t)n, sizeof *v);
  for (int i = 0; i < n; i++) v[i] = (tenon_str){s[i], strlen(s[i])};
  attr[call.n_attr++] = (tn_attr){.name = name, .kind = TN_ATTR_STRINGS, .n = n, .strings = v};
}
static void with_ints(const char *name, int n, const int64_t *v) {
  attr[call.n_attr++] = (tn_attr){.name = name, .kind = TN_ATTR_INTS, .n = n, .ints = v};
}
static void go(tn_op *op) {
  call.n_in = (uint32_t)n_in, call.n_out = (uint32_t)n_out;
  op(&call);
  for (uint32_t i = 0; i < call.n_attr; i++)
    if (attr[i].kind == TN_ATTR_STRINGS) test_free((void *)attr[i].strings);
}
static void ok(tn_op *op) {
  go(op);
  if (run.fault) fail_msg("%s", run.text);
  assert_false(run.nomem);
}
static void refused(tn_op *op, const char *text) {
  go(op);
  assert_true(run.fault);
  if (!strstr(run.text, text)) fail_msg("'%s' says nothing of '%s'", run.text, text);
}
static void expect_strings(int k, int rank, const int64_t *dim, const char *const *s) {
  const tenon_value *v = handle[8 + k];
  assert_non_null(v);
  assert_int_equal(v->t.ndim, rank);
  int64_t n = 1;
  for (int a = 0; a < rank; a++) {
    assert_int_equal(v->t.shape[a], dim[a]);
    n *= dim[a];
  }
  for (int64_t i = 0; i < n; i++) {
    tenon_str x = ((const tenon_str *)v->t.data)[i];
    if (x.len != strlen(s[i]) || memcmp(x.data, s[i], x.len)) fail_msg("string %d is '%.*s', not '%s'", (int)i, (int)x.len, x.data, s[i]);
  }
}
static void expect_tensor(int k, int rank, const int64_t *dim, const void *data, size_t bytes) {
  const tn_tensor *t = &tensor[8 + k];
  assert_int_equal(t->rank, rank);
  for (int a = 0; a < rank; a++) assert_int_equal(dims[k][a], dim[a]);
  if (bytes) assert_memory_equal(t->data, data, bytes);
}
#define DIM(...) ((int64_t[]){__VA_ARGS__})
#define STR(...) ((const char *const[]){__VA_ARGS__})

/* ---- sequences ---- */
static void test_sequences(void **state) {
  (void)state;
  float a[3] = {1, 2, 3}, b[2] = {4, 5};
  start(), in_tensor(TN_F32, a, 1, DIM(3)), in_tensor(TN_F32, b, 1, DIM(2)), out_handle(), ok(tn_op_sequence_construct);
  tn_move(&frame, &handle[0], &handle[8]);
  tenon_value *seq = handle[0];
  handle[0] = NULL;
  start(), handle[0] = seq, in_handle(0), in_i64(-1), out_tensor(TN_F32, 1), ok(tn_op_sequence_at);
  expect_tensor(0, 1, DIM(2), b, sizeof b);
  tn_move(&frame, &handle[1], &handle[0]), seq = handle[1], handle[1] = NULL;
  start(), handle[0] = seq, in_handle(0), in_i64(2), out_tensor(TN_F32, 1), refused(tn_op_sequence_at, "position 2 is not in [-2,1]");
  tn_move(&frame, &handle[1], &handle[0]), seq = handle[1], handle[1] = NULL;
  start(), handle[0] = seq, in_handle(0), in_tensor(TN_F32, b, 1, DIM(2)), in_i64(0), out_handle(), ok(tn_op_sequence_insert);
  seq = handle[8], handle[8] = NULL;
  start(), handle[0] = seq, in_handle(0), out_tensor(TN_F32, 1), with_int("axis", 0), ok(tn_op_concat_from_sequence);
  expect_tensor(0, 1, DIM(7), ((float[]){4, 5, 1, 2, 3, 4, 5}), 28);
  seq = handle[0], handle[0] = NULL;
  start(), handle[0] = seq, in_handle(0), in_i64(1), out_handle(), ok(tn_op_sequence_erase);
  seq = handle[8], handle[8] = NULL;
  start(), handle[0] = seq, in_handle(0), out_tensor(TN_F32, 2), with_int("axis", -1), with_int("new_axis", 1),
           ok(tn_op_concat_from_sequence);
  expect_tensor(0, 2, DIM(2, 2), ((float[]){4, 4, 5, 5}), 16);
  seq = handle[0], handle[0] = NULL;
  start(), handle[0] = seq, in_handle(0), out_tensor(TN_I64, 0), ok(tn_op_sequence_length);
  expect_tensor(0, 0, NULL, &(int64_t){2}, 8);
  start();
}
static void test_split_to_sequence(void **state) {
  (void)state;
  int64_t x[6] = {1, 2, 3, 4, 5, 6};
  start(), in_tensor(TN_I64, x, 2, DIM(2, 3)), in_i64(2), out_handle(), with_int("axis", 1), ok(tn_op_split_to_sequence);
  assert_int_equal(handle[8]->n, 2);
  assert_memory_equal(handle[8]->item[0].t.data, ((int64_t[]){1, 2, 4, 5}), 32);
  assert_memory_equal(handle[8]->item[1].t.data, ((int64_t[]){3, 6}), 16);
  start(), in_strings(1, DIM(3), STR("a", "", "cc")), in_none(), out_handle(), with_int("keepdims", 0), ok(tn_op_split_to_sequence);
  assert_int_equal(handle[8]->n, 3);
  assert_int_equal(handle[8]->item[2].t.ndim, 0);
  assert_int_equal(((tenon_str *)handle[8]->item[2].t.data)->len, 2);
  start(), in_tensor(TN_I64, x, 1, DIM(6)), in_tensor(TN_I64, DIM(4, 3), 1, DIM(2)), out_handle(),
      refused(tn_op_split_to_sequence, "add up");
  start();
}
static void test_optionals(void **state) {
  (void)state;
  float a = 7;
  start(), in_none(), out_handle(), ok(tn_op_optional);
  assert_int_equal(handle[8]->n, 0);
  start(), in_tensor(TN_F32, &a, 0, NULL), out_handle(), ok(tn_op_optional);
  tenon_value *opt = handle[8];
  handle[8] = NULL;
  start(), handle[0] = opt, in_handle(0), out_tensor(TN_F32, 0), ok(tn_op_optional_get_element);
  expect_tensor(0, 0, NULL, &a, 4);
  opt = handle[0], handle[0] = NULL;
  start(), handle[0] = opt, in_handle(0), out_tensor(TN_BOOL, 0), ok(tn_op_optional_has_element);
  expect_tensor(0, 0, NULL, "\1", 1);
  start(), in_none(), out_tensor(TN_F32, 0), refused(tn_op_optional_get_element, "holds no element");
  start();
}

/* ---- strings ---- */
static void test_strings(void **state) {
  (void)state;
  start(), in_strings(2, DIM(2, 1), STR("a", "b")), in_strings(1, DIM(2), STR("x", "")), out_handle(), ok(tn_op_string_concat);
  expect_strings(0, 2, DIM(2, 2), STR("ax", "a", "bx", "b"));
  start(), in_strings(1, DIM(2), STR("a", "b")), in_strings(0, NULL, STR("b")), out_tensor(TN_BOOL, 1), ok(tn_op_string_equal);
  expect_tensor(0, 1, DIM(2), "\0\1", 2);
  start(), in_tensor(TN_I64, DIM(2, -1, 0), 1, DIM(3)), in_strings(1, DIM(2), STR("a", "b")), in_strings(0, NULL, STR("c")), out_handle();
  ok(tn_op_string_pick);
  expect_strings(0, 1, DIM(3), STR("c", "", "a"));
  start(), in_tensor(TN_I64, DIM(1), 1, DIM(1)), in_strings(1, DIM(1), STR("a")), out_handle(), refused(tn_op_string_pick, "index 1");
  start(), in_strings(1, DIM(4), STR("Monday", "\xc3\x84PFEL", "the", "x")), out_handle(), with_string("case_change_action", "LOWER");
  with_strings("stopwords", 1, STR("THE")), ok(tn_op_string_normalizer);
  expect_strings(0, 1, DIM(3), STR("monday", "\xc3\xa4pfel", "x"));
  start(), in_strings(2, DIM(1, 1), STR("a")), out_handle(), with_strings("stopwords", 1, STR("a")), with_int("is_case_sensitive", 1);
  ok(tn_op_string_normalizer);
  expect_strings(0, 2, DIM(1, 1), STR(""));
  start(), in_strings(1, DIM(2), STR("a,b,,c", "")), out_handle(), out_tensor(TN_I64, 1), with_string("delimiter", ","),
      ok(tn_op_string_split);
  expect_strings(0, 2, DIM(2, 4), STR("a", "b", "", "c", "", "", "", ""));
  expect_tensor(1, 1, DIM(2), DIM(4, 1), 16);
  start(), in_strings(1, DIM(2), STR("  hello  big world ", " ")), out_handle(), out_tensor(TN_I64, 1), with_int("maxsplit", 1);
  ok(tn_op_string_split);
  expect_strings(0, 2, DIM(2, 2), STR("hello", "big world ", "", ""));
  expect_tensor(1, 1, DIM(2), DIM(2, 0), 16);
  start(), in_strings(1, DIM(2), STR("www.google.com", "ww")), out_tensor(TN_BOOL, 1), with_string("pattern", "www\\.[\\w.-]+\\.\\bcom\\b");
  ok(tn_op_regex_full_match);
  expect_tensor(0, 1, DIM(2), "\1\0", 2);
  start(), in_strings(1, DIM(2), STR("A cat, the 2 dogs", "x")), out_handle(), with_string("tokenexp", "[a-zA-Z]+"),
      with_int("mincharnum", 1);
  with_string("pad_value", "#"), with_int("mark", 0), ok(tn_op_tokenizer);
  expect_strings(0, 2, DIM(2, 4), STR("A", "cat", "the", "dogs", "x", "#", "#", "#"));
  start(), in_strings(1, DIM(1), STR("a b;cc")), out_handle(), with_strings("separators", 2, STR(" ", ";")), with_int("mincharnum", 1);
  with_string("pad_value", ""), with_int("mark", 1), ok(tn_op_tokenizer);
  expect_strings(0, 2, DIM(1, 5), STR("\2", "a", "b", "cc", "\3"));
  start();
}
static void test_regex(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *text;
    bool full;
  } row[] = {{"", "", 1},
             {"a*", "aaa", 1},
             {"a*", "aab", 0},
             {"(a|b)*c", "abac", 1},
             {"a{2,3}", "aa", 1},
             {"a{2,3}", "aaaa", 0},
             {"a{2,}", "aaaaa", 1},
             {"[^a-c]+", "xyz", 1},
             {"[^a-c]+", "xbz", 0},
             {"(?i)hello", "HeLLo", 1},
             {"\\d+", "0123", 1},
             {"\\D", "7", 0},
             {"a.c", "a\nc", 0},
             {"(?s)a.c", "a\nc", 1},
             {"^abc$", "abc", 1},
             {"x{,2}", "x{,2}", 1},
             {"[[:alpha:]]+", "ab", 1},
             {"[]a]+", "]a", 1},
             {"\\x41\\101", "AA", 1},
             {"(a*)*", "aaaa", 1},
             {"(?:a|ab)(?:c|bcd)", "abcd", 1},
             {"\\Qa.b\\E", "a.b", 1},
             {"\xc3\xa4+", "\xc3\xa4\xc3\xa4", 1},
             {"(?i)[^a]", "A", 0},
             {"a|", "", 1},
             {"\\bfoo\\b", "foo", 1}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    start();
    Regex *r = regex_new(&call, (tenon_str){row[i].pattern, strlen(row[i].pattern)});
    if (!r) fail_msg("%s", run.text);
    if (regex_full(r, (tenon_str){row[i].text, strlen(row[i].text)}) != row[i].full) fail_msg("%s on %s", row[i].pattern, row[i].text);
    regex_free(&call, r);
  }
  static const char *const bad[] = {"(", ")", "[a", "a**b(", "*", "\\", "\\1", "(?=a)", "a{1001}", "[z-a]", "\\pL", "(a{1000}){1000}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    start();
    Regex *r = regex_new(&call, (tenon_str){bad[i], strlen(bad[i])});
    if (r) fail_msg("%s was taken", bad[i]);
    assert_true(run.fault);
  }
}

/* ---- numbers ---- */
static uint64_t seed = 12345;
static uint64_t random64(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed ^ seed >> 33;
}
static void test_numbers(void **state) {
  (void)state;
  for (int i = 0; i < 3000; i++) {
    char text[64], buf[40];
    double v, got;
    uint64_t bits = random64();
    memcpy(&v, &bits, 8);
    if (v != v) continue;
    if (i % 3 == 0) snprintf(text, sizeof text, "%.*e", (int)(random64() % 25), v);
    else if (i % 3 == 1)
      snprintf(text, sizeof text, "%llu.%lluE%d", (unsigned long long)random64(), (unsigned long long)random64(),
               (int)(random64() % 700) - 350);
    else snprintf(text, sizeof text, "%.17g", (double)(random64() % 100000) / 1000);
    assert_true(number_parse((tenon_str){text, strlen(text)}, 53, &got));
    if (memcmp(&got, &(double){strtod(text, NULL)}, 8)) fail_msg("%s: %a, not %a", text, got, strtod(text, NULL));
    assert_true(number_parse((tenon_str){text, strlen(text)}, 24, &got));
    float f = strtof(text, NULL);
    if ((double)f != got) fail_msg("%s: %a, not %a", text, got, (double)f);
    int n = number_print(v, 53, buf);
    buf[n] = 0;
    if (v != __builtin_inf() && v != -__builtin_inf() && strtod(buf, NULL) != v) fail_msg("%s is not %a", buf, v);
  }
  static const struct {
    double v;
    int digits;
    const char *text;
  } row[] = {{1, 53, "1.0"},
             {0.1, 53, "0.1"},
             {1e-7, 53, "1e-07"},
             {1e16, 53, "1e+16"},
             {123456789, 53, "123456789.0"},
             {-0.0, 53, "-0.0"},
             {0.1f, 24, "0.1"},
             {16777216, 24, "16777216.0"},
             {5e-324, 53, "5e-324"},
             {1e15, 53, "1000000000000000.0"},
             {0.00012, 53, "0.00012"},
             {9007199254740992, 53, "9007199254740992.0"},
             {0.0999755859375, 11, "0.1"}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    char buf[40];
    buf[number_print(row[i].v, row[i].digits, buf)] = 0;
    assert_string_equal(buf, row[i].text);
  }
  start(), in_strings(1, DIM(3), STR("1e3", " -inf", "NaN")), out_tensor(TN_F32, 1), ok(tn_op_cast_strings);
  float *f = tensor[8].data;
  assert_true(f[0] == 1000 && f[1] == -__builtin_inff() && f[2] != f[2]);
  start(), in_strings(1, DIM(1), STR("12x")), out_tensor(TN_I32, 1), refused(tn_op_cast_strings, "'12x' is no int32");
  start(), in_tensor(TN_I8, "\xff\x07", 1, DIM(2)), out_handle(), ok(tn_op_cast_strings);
  expect_strings(0, 1, DIM(2), STR("-1", "7"));
  start(), in_strings(1, DIM(2), STR("a", "")), out_handle(), with_int("to", TN_STR), ok(tn_op_cast_strings);
  expect_strings(0, 1, DIM(2), STR("a", ""));
  start();
}

/* ---- rows ---- */
static void test_rows(void **state) {
  (void)state;
  start(), in_strings(1, DIM(4), STR("c", "a", "c", "b")), out_handle(), out_tensor(TN_I64, 1), out_tensor(TN_I64, 1),
      out_tensor(TN_I64, 1);
  ok(tn_op_unique);
  expect_strings(0, 1, DIM(3), STR("a", "b", "c"));
  expect_tensor(1, 1, DIM(3), DIM(1, 3, 0), 24);
  expect_tensor(2, 1, DIM(4), DIM(2, 0, 2, 1), 32);
  expect_tensor(3, 1, DIM(3), DIM(1, 1, 2), 24);
  start(), in_strings(1, DIM(4), STR("c", "a", "c", "b")), out_handle(), out_tensor(TN_I64, 1), out_tensor(TN_I64, 1),
      with_int("sorted", 0);
  ok(tn_op_unique);
  expect_strings(0, 1, DIM(3), STR("c", "a", "b"));
  expect_tensor(2, 1, DIM(4), DIM(0, 1, 0, 2), 32);
  start(), in_strings(2, DIM(3, 2), STR("b", "a", "b", "a", "", "d")), out_handle(), with_int("axis", 0), ok(tn_op_unique);
  expect_strings(0, 2, DIM(2, 2), STR("", "d", "b", "a"));
  start(), in_strings(2, DIM(2, 3), STR("x", "y", "x", "", "z", "")), out_handle(), with_int("axis", -1), ok(tn_op_unique);
  expect_strings(0, 2, DIM(2, 2), STR("x", "y", "", "z"));
  start();
}
/* ---- ai.onnx.ml ---- */
static void test_ml(void **state) {
  (void)state;
  start(), in_strings(1, DIM(3), STR("b", "zz", "a")), out_tensor(TN_I64, 1), with_strings("keys_strings", 2, STR("a", "b"));
  with_ints("values_int64s", 2, DIM(10, 20)), with_int("default_int64", 42), ok(tn_op_label_encoder);
  expect_tensor(0, 1, DIM(3), DIM(20, 42, 10), 24);
  start(), in_tensor(TN_I64, DIM(1, 7), 1, DIM(2)), out_handle(), with_ints("cats_int64s", 2, DIM(0, 1)),
      with_strings("cats_strings", 2, STR("n", "y"));
  ok(tn_op_category_mapper);
  expect_strings(0, 1, DIM(2), STR("y", "_Unused"));
  start(), in_strings(2, DIM(2, 1), STR("l", "q")), out_tensor(TN_F32, 3), with_strings("cats_strings", 3, STR("l", "m", "s")),
      ok(tn_op_one_hot_encoder);
  expect_tensor(0, 3, DIM(2, 1, 3), ((float[]){1, 0, 0, 0, 0, 0}), 24);
  float p[4] = {0.25f, 0.75f, 1, 0};
  start(), in_tensor(TN_F32, p, 2, DIM(2, 2)), out_handle(), with_strings("classlabels_strings", 2, STR("no", "yes")), ok(tn_op_zip_map);
  assert_int_equal(handle[8]->n, 2);
  assert_int_equal(handle[8]->item[1].kind, TENON_MAP);
  assert_memory_equal(handle[8]->item[1].item[1].t.data, p + 2, 8);
  tenon_value *map = handle[8];
  handle[8] = NULL;
  tenon_value one;
  val_share(&one, &map->item[0]);
  start(), val_set(&call, &handle[0], &one);
  tn_value_drop(&model, &map);
  in_handle(0), out_tensor(TN_F32, 2), with_strings("string_vocabulary", 3, STR("yes", "?", "no")), ok(tn_op_dict_vectorizer);
  expect_tensor(0, 2, DIM(1, 3), ((float[]){0.75f, 0, 0.25f}), 12);
  start(), in_tensor(TN_F32, p, 2, DIM(1, 2)), out_handle(), with_ints("classlabels_int64s", 2, DIM(3, 1)), ok(tn_op_zip_map);
  map = handle[8], handle[8] = NULL;
  val_share(&one, &map->item[0]);
  start(), val_set(&call, &handle[0], &one);
  in_handle(0), out_tensor(TN_F32, 2), with_string("map_form", "SPARSE"), with_int("max_map", 4), with_string("cast_to", "TO_FLOAT"),
      ok(tn_op_cast_map);
  expect_tensor(0, 2, DIM(1, 4), ((float[]){0, 0.75f, 0, 0.25f}), 16);
  val_share(&one, &map->item[0]);
  start(), val_set(&call, &handle[0], &one);
  tn_value_drop(&model, &map);
  in_handle(0), out_handle(), with_string("cast_to", "TO_STRING"), ok(tn_op_cast_map);
  expect_strings(0, 2, DIM(1, 2), STR("0.75", "0.25"));
  // the example of the TfIdfVectorizer test: bigrams with skips, and single numbers
  int64_t words[12] = {1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8};
  start(), in_tensor(TN_I64, words, 1, DIM(12)), out_tensor(TN_F32, 1), with_string("mode", "TF"), with_int("min_gram_length", 1);
  with_int("max_gram_length", 2), with_int("max_skip_count", 5), with_ints("ngram_counts", 2, DIM(0, 4)),
      with_ints("ngram_indexes", 7, DIM(0, 1, 2, 3, 4, 5, 6));
  with_ints("pool_int64s", 10, DIM(2, 3, 5, 4, 5, 6, 7, 8, 6, 7)), ok(tn_op_tfidf);
  expect_tensor(0, 1, DIM(7), ((float[]){0, 3, 1, 0, 1, 3, 1}), 28);
  start();
}
static void test_copy(void **state) {
  (void)state;
  float a[2] = {1, 2};
  start(), in_tensor(TN_F32, a, 1, DIM(2)), out_handle(), ok(tn_op_copy);
  assert_memory_equal(handle[8]->t.data, a, 8);
  tn_tensor words = {&(tenon_str){"hi", 2}, TN_STR, 0, {0}};
  start(), out_handle(), attr[call.n_attr++] = (tn_attr){.name = "value", .kind = TN_ATTR_TENSOR, .n = 1, .t = &words}, ok(tn_op_constant);
  expect_strings(0, 0, NULL, STR("hi"));
  start(), in_tensor(TN_F32, a, 1, DIM(2)), out_tensor(TN_F64, 1), refused(tn_op_copy, "the model says double");
  start();
}
static int finish(void **state) { // what a sanitizer would call a leak
  (void)state;
  start();
  for (int i = 0; i < 4; i++) tn_slab_free(&model, slabs[i]), slabs[i] = NULL;
  return 0;
}
int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences), cmocka_unit_test(test_split_to_sequence),
                                     cmocka_unit_test(test_optionals), cmocka_unit_test(test_strings),
                                     cmocka_unit_test(test_regex),     cmocka_unit_test(test_numbers),
                                     cmocka_unit_test(test_rows),      cmocka_unit_test(test_ml),
                                     cmocka_unit_test(test_copy)};
  return cmocka_run_group_tests(tests, NULL, finish);
}
