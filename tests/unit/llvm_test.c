// llvm_test.c - compiled code against the definition of every scalar row and storage dtype, bit for bit (NaN equals NaN), for scalars and
// for vectors of several widths, on every target row that this machine can run.
#include "codegen/codegen.h"
#include "codegen/llvm/load.h"
#include "ir/scalar.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above first
#include <cmocka.h>

enum { N = 1003 };
static uint64_t seed = 1;
static uint64_t next(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed * 0x2545f4914f6cdd1d;
}

/* ---- operands: special values against special values, then random bits ---- */

static const double floats[] = {
    0.0,        -0.0,     1,         -1,     0.5,    -0.5,   1.5,    2.5,       -2.5,           3.7,           1e30,          -1e30,
    1e300,      1e-30,    1e-40,     -1e-40, 1e-310, 65504,  65520,  0x1p31,    -0x1p31,        0x1p31 - 1,    0x1p63,        -0x1p63,
    0x1p62,     448,      464,       480,    57344,  61440,  6,      7,         0x1p-127,       0x1.8p-127,    0x1p-126,      0x1p-128,
    0x1.4p-127, INFINITY, -INFINITY, NAN,    -NAN,   0x1p52, 0x1p23, 8388609.5, -0x1.000002p31, -0x1p31 - 0.5, 0x1.fffffep126};
static const int64_t ints[] = {0,   1,   -1,   2,   -2,  3,         7,         31,        32,        33,        63, 64,     65,
                               255, 256, -128, 127, 128, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, 1ll << 32, -5, 1000003};
enum { NF = sizeof floats / sizeof *floats, NI = sizeof ints / sizeof *ints };

static double some_float(int i, int operand, DType t) {
  if (i < NF * NF && operand < 2) return floats[operand ? i / NF : i % NF];
  uint64_t r = next();
  if (r % 4 == 0) return floats[next() % NF];
  if (r % 4 == 1) return (double)(int64_t)(next() % 4001 - 2000) / 16;
  double d = 0;
  float f = 0;
  uint64_t bits = next();
  memcpy(&f, &bits, 4), memcpy(&d, &bits, 8);
  return t == DT_F32 ? (double)f : d;
}
static int64_t some_int(int i, int operand) {
  if (i < NI * NI && operand < 2) return ints[operand ? i / NI : i % NI];
  uint64_t r = next();
  return r % 3 == 0 ? ints[next() % NI] : r % 3 == 1 ? (int64_t)(next() % 64) : (int64_t)next();
}
static int count_of(DType t) { return t == DT_F32 || t == DT_F64 ? NF * NF + N : N; }
static void *operand(DType t, int n, int which) {
  char *p = mem((size_t)n * 8 + 64);
  for (int i = 0; i < n; i++) switch (t) {
    case DT_F32: ((float *)p)[i] = (float)some_float(i, which, t); break;
    case DT_F64: ((double *)p)[i] = some_float(i, which, t); break;
    case DT_I32: ((int32_t *)p)[i] = (int32_t)some_int(i, which); break;
    case DT_I64: ((int64_t *)p)[i] = some_int(i, which); break;
    default: p[i] = (char)(next() & 1);
    }
  return p;
}

static bool same(DType t, const void *a, const void *b, int i) {
  if (t == DT_F32) {
    float x = ((const float *)a)[i], y = ((const float *)b)[i];
    return (x != x && y != y) || !memcmp(&x, &y, 4);
  }
  if (t == DT_F64) {
    double x = ((const double *)a)[i], y = ((const double *)b)[i];
    return (x != x && y != y) || !memcmp(&x, &y, 8);
  }
  int s = reg_bytes(t);
  return !memcmp((const char *)a + i * s, (const char *)b + i * s, (size_t)s);
}

/* ---- a kernel with one stage for each result ---- */

typedef struct Build {
  Kernel *k;
  int lanes; // 1: plain loops
  void *param[MAX_BUFS];
} Build;
static Buf *buffer(Build *b, const char *name, BufKind kind, DType t, int n, void *data) {
  IExpr *dim = ix(n);
  Buf *buf = kernel_buf(b->k, sym(name), kind, t, 1, &dim);
  b->param[buf->id] = data;
  return buf;
}
static void result(Build *b, const char *name, Buf *out, IExpr *var, Ex *val) {
  uint8_t kind = AXIS_SPATIAL;
  kernel_stage(b->k, sym(name), C_SET, out, 1, &var, &kind, &var, val);
  if (!b->k->sched) b->k->sched = NEW(Schedule);
  sched_split(b->k->sched, sym_fmt("s%s", name), var, b->lanes > 1 ? fmt("%d", b->lanes) : "");
  sched_bands(b->k, name, b->lanes > 1 ? fmt("s%s.0 s%s.1 vec", name, name) : fmt("s%s.0", name));
}
static void compile_and_run(Build *b, const Target *t) {
  kernel_symbols(b->k);
  kernel_build(b->k);
  Loaded *l = llvm_load_kernel(b->k, t, 2);
  assert_true(loaded_run(l, b->param, NULL, false, NULL));
  loaded_close(l);
}

typedef struct Case {
  SOp op;
  DType in, out;
  Buf *buf;
  void *want;
} Case;

static bool takes(const char *type, DType t) { // is t one of the first operand's class?
  for (const char *c = type; *c && *c != ' '; c++)
    if ((*c == 'F' && (t == DT_F32 || t == DT_F64)) || (*c == 'I' && (t == DT_I32 || t == DT_I64)) || (*c == 'N' && t != DT_BOOL) ||
        (*c == 'B' && t == DT_BOOL))
      return true;
  return false;
}
static int results_of(SOp op, DType in, DType *out) { // the result types to try
  static const DType f[] = {DT_F32, DT_F64}, i[] = {DT_I32, DT_I64};
  switch (op) {
  case S_f2f: return out[0] = in == DT_F32 ? DT_F64 : DT_F32, 1;
  case S_i2f:
  case S_u2f: return memcpy(out, f, sizeof f), 2;
  case S_f2i:
  case S_b2i: return memcpy(out, i, sizeof i), 2;
  case S_i2i: return out[0] = in == DT_I32 ? DT_I64 : DT_I32, 1;
  case S_u2i: return out[0] = DT_I64, in == DT_I32;
  case S_bits: return out[0] = in == DT_F32 ? DT_I32 : in == DT_F64 ? DT_I64 : in == DT_I32 ? DT_F32 : DT_F64, 1;
  case S_lt:
  case S_le:
  case S_eq:
  case S_ne:
  case S_ult:
  case S_ule:
  case S_i2b: return out[0] = DT_BOOL, 1;
  default: return out[0] = in, 1;
  }
}

static void rows_of(DType in, int lanes, const Target *t) {
  Build b = {.k = kernel_new(sym("rows")), .lanes = lanes};
  int n = count_of(in), ncase = 0;
  Case cases[96];
  void *x[3];
  Buf *xb[3];
  for (int i = 0; i < 3; i++) xb[i] = buffer(&b, fmt("x%d", i), BUF_IN, in, n, x[i] = operand(in, n, i));
  void *m = operand(DT_BOOL, n, 0);
  Buf *mb = buffer(&b, "m", BUF_IN, DT_BOOL, n, m);
  for (SOp op = S_SEL + 1; op < S_round; op++) {
    if (op != S_select && !takes(scalars[op].type, in)) continue;
    DType out[2];
    int nout = results_of(op, in, out);
    for (int o = 0; o < nout; o++) {
      Case c = {.op = op, .in = in, .out = out[o], .want = mem((size_t)n * 8)};
      if (op == S_select) scalar_lanes(op, in, in, DT_NONE, n, c.want, m, x[0], x[1]);
      else scalar_lanes(op, in, out[o], DT_NONE, n, c.want, x[0], x[1], x[2]);
      c.buf = buffer(&b, fmt("r%d", ncase), BUF_OUT, out[o], n, mem((size_t)n * 8 + 64));
      cases[ncase++] = c;
    }
  }
  for (int i = 0; i < ncase; i++) {
    IExpr *var = ix_var(sym_fmt("i%d", i), ix(n));
    Ex *e = NEW(Ex);
    *e = (Ex){.op = cases[i].op, .type = cases[i].out};
    for (int a = 0; a < scalars[e->op].arity; a++) e->a[a] = e->op == S_select ? ex_load(a ? xb[a - 1] : mb, &var) : ex_load(xb[a], &var);
    result(&b, fmt("c%d", i), cases[i].buf, var, e);
  }
  compile_and_run(&b, t);
  int wrong = 0;
  for (int i = 0; i < ncase; i++)
    for (int j = 0; j < n; j++)
      if (!same(cases[i].out, cases[i].want, b.param[cases[i].buf->id], j) && wrong++ < 8)
        print_error("%s, %d lanes, %s %s -> %s: element %d differs\n", t->name, lanes, scalars[cases[i].op].name, dtypes[in].name,
                    dtypes[cases[i].out].name, j);
  assert_int_equal(wrong, 0);
}

/* ---- storage dtypes: what is loaded, what is stored, what round and wrap give ---- */

static void *reg_values(const Tensor *t) { // each element as its register holds it
  DType reg = dtypes[t->dtype].reg;
  int n = (int)tensor_count(t);
  char *p = mem((size_t)n * 8 + 64);
  for (int i = 0; i < n; i++) switch (reg) {
    case DT_F32: ((float *)p)[i] = (float)tensor_float(t, i); break;
    case DT_F64: ((double *)p)[i] = tensor_float(t, i); break;
    case DT_I32: ((int32_t *)p)[i] = (int32_t)tensor_int(t, i); break;
    case DT_I64: ((int64_t *)p)[i] = tensor_int(t, i); break;
    default: p[i] = (char)(tensor_int(t, i) != 0);
    }
  return p;
}
static Tensor *stored(DType d, DType reg, const void *x, int n) { // by the definition
  Tensor *t = tensor_new(d, 1, (int64_t[]){n}, NULL);
  for (int i = 0; i < n; i++)
    if (reg == DT_F32) tensor_set_float(t, i, ((const float *)x)[i]);
    else if (reg == DT_F64) tensor_set_float(t, i, ((const double *)x)[i]);
    else tensor_set_int(t, i, reg == DT_I32 ? ((const int32_t *)x)[i] : reg == DT_I64 ? ((const int64_t *)x)[i] : ((const char *)x)[i]);
  return t;
}

static void dtype_of_storage(DType d, int lanes, const Target *t) {
  DType reg = dtypes[d].reg;
  int bits = dtypes[d].bits, n = count_of(reg), m = bits == 16 ? 65536 : bits < 8 ? 64 : bits == 8 ? 256 : N;
  Tensor *raw = tensor_new(d, 1, (int64_t[]){m}, NULL);
  for (int64_t i = 0; i < raw->bytes; i++)
    ((uint8_t *)raw->data)[i] = (uint8_t)(bits == 16 ? i / 2 >> 8 * (i & 1) : bits <= 8 ? i : (int64_t)next());
  if (d == DT_BOOL)
    for (int64_t i = 0; i < raw->bytes; i++) ((uint8_t *)raw->data)[i] &= 1;
  void *x = operand(reg, n, 0), *loaded = mem((size_t)m * 8 + 64), *rounded = mem((size_t)n * 8 + 64);
  Build b = {.k = kernel_new(sym("storage")), .lanes = lanes};
  Buf *in = buffer(&b, "raw", BUF_IN, d, m, (void *)raw->data), *xb = buffer(&b, "x", BUF_IN, reg, n, x);
  Buf *out = buffer(&b, "out", BUF_OUT, d, n, mem((size_t)n * 8 + 64)), *reg_out = buffer(&b, "loaded", BUF_OUT, reg, m, loaded);
  Buf *round_out = buffer(&b, "rounded", BUF_OUT, reg, n, rounded);
  IExpr *i = ix_var(sym("i"), ix(m)), *j = ix_var(sym("j"), ix(n)), *l = ix_var(sym("l"), ix(n));
  result(&b, "load", reg_out, i, ex_load(in, &i));
  result(&b, "store", out, j, ex_load(xb, &j));
  result(&b, "round", round_out, l, ex_round(d, ex_load(xb, &l)));
  compile_and_run(&b, t);
  Tensor *want = stored(d, reg, x, n), got = *want;
  got.data = b.param[out->id];
  void *ref[3] = {reg_values(raw), reg_values(want), reg_values(want)}, *is[3] = {loaded, rounded, reg_values(&got)};
  int wrong = 0, count[3] = {m, n, n};
  for (int c = 0; c < 3; c++)
    for (int e = 0; e < count[c]; e++)
      if (!same(reg, ref[c], is[c], e) && wrong++ < 8)
        print_error("%s, %d lanes, %s %s: element %d differs\n", t->name, lanes, dtypes[d].name,
                    c == 0   ? "load"
                    : c == 1 ? "round"
                             : "store",
                    e);
  assert_int_equal(wrong, 0);
}

/* ---- the tests ---- */

static int runnable(const Target **out) {
  const char *names[] = {"x86-64-v3", "x86-64-v4", "native"};
  const Target *host = target_host();
  int n = 0;
  for (int i = 0; i < 3; i++) {
    const Target *t = target_find(names[i]);
    if (!(t->cpu_bits & ~host->cpu_bits)) out[n++] = t;
  }
  return n;
}

static void scalar_rows(void **state) {
  (void)state;
  const Target *t[3];
  int n = runnable(t);
  static const DType regs[] = {DT_F32, DT_F64, DT_I32, DT_I64, DT_BOOL};
  static const int lanes[] = {16, 1, 5};
  for (int i = 0; i < n; i++)
    for (int r = 0; r < 5; r++)
      for (int w = 0; w < (i == n - 1 ? 3 : 1); w++) rows_of(regs[r], lanes[w], t[i]);
}
static void storage_dtypes(void **state) {
  (void)state;
  const Target *t[3];
  int n = runnable(t);
  static const int lanes[] = {16, 1, 6};
  for (int i = 0; i < n; i++)
    for (DType d = DT_NONE + 1; d < DT_COUNT; d++)
      for (int w = 0; w < (i == n - 1 ? 3 : 1); w++)
        if (dtypes[d].reg && d != DT_C64 && d != DT_C128) dtype_of_storage(d, lanes[w], t[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(scalar_rows), cmocka_unit_test(storage_dtypes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
