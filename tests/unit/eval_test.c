// eval_test.c - the interpreter against plain C: accumulation order, predicates, layouts, dtypes, lets, stages = tree, and its speed.
#include "ir/kernel.h"
#include "ir/math.h"
#include "ir/scalar.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
// cmocka wants the headers above first
#include <cmocka.h>

#define IX(...)                                                                                                                            \
  (IExpr *[]) { __VA_ARGS__ }
enum { S = AXIS_SPATIAL, R = AXIS_REDUCE, O = AXIS_ORDERED };
#define KINDS(...)                                                                                                                         \
  (uint8_t[]) { __VA_ARGS__ }

static Ex *op2(SOp op, Ex *a, Ex *b) { return ex_op(op, a, b, NULL); }
static IExpr *var(const char *name, int64_t n) { return ix_var(sym(name), ix(n)); }
static float *floats(int n) {
  float *p = malloc((size_t)n * 4 + 64);
  for (int i = 0; i < n; i++) p[i] = (float)(rand() % 2001 - 1000) / 512;
  return p;
}
static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static Stage *stage(Kernel *k, const char *name, Combine c, Buf *out, int nax, IExpr **ax, const uint8_t *kind, IExpr **ix_, Ex *val) {
  return kernel_stage(k, sym(name), c, out, nax, ax, kind, ix_, val);
}

/* ---- matrix product: one fma per step, k ascending ---- */

static void matmul(int M, int N, int K, double *ns) {
  Kernel *k = kernel_new(sym("mm"));
  Buf *A = kernel_buf(k, sym("A"), BUF_IN, DT_F32, 2, IX(ix(M), ix(K))), *B = kernel_buf(k, sym("B"), BUF_IN, DT_F32, 2, IX(ix(K), ix(N)));
  Buf *C = kernel_buf(k, sym("C"), BUF_OUT, DT_F32, 2, IX(ix(M), ix(N)));
  IExpr *m = var("m", M), *n = var("n", N), *q = var("k", K);
  stage(k, "init", C_SET, C, 2, IX(m, n), KINDS(S, S), IX(m, n), ex_f(DT_F32, 0));
  stage(k, "upd", C_add, C, 3, IX(m, n, q), KINDS(S, S, R), IX(m, n), op2(S_mul, ex_load(A, IX(m, q)), ex_load(B, IX(q, n))));
  A->data = floats(M * K), B->data = floats(K * N), C->data = floats(M * N);
  double t = seconds();
  assert_true(eval_stages(k, NULL));
  if (ns) *ns = (seconds() - t) * 1e9 / M / N / K;
  const float *a = A->data, *b = B->data, *c = C->data;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      float v = 0;
      for (int l = 0; l < K; l++) v = fmaf(a[i * K + l], b[l * N + j], v);
      assert_true(v == c[i * N + j]);
    }
}

static void matmuls(void **state) {
  (void)state;
  double big, narrow, tall;
  matmul(64, 512, 256, &big);
  matmul(300, 3, 700, &narrow);
  matmul(1, 1, 100000, &tall);
  matmul(5, 7, 3, NULL);
  matmul(3, 1000, 1, NULL);
  print_message("ns per multiply-add: 64x512x256 %.2f, 300x3x700 %.2f, 1x1x100000 %.2f\n", big, narrow, tall);
}

/* ---- convolution with border predicates, strides, a packed layout ---- */

static void conv(int C, int OC, int H, int W, int stride, bool packed, double *ns) {
  int OH = (H + 2 - 3) / stride + 1, OW = (W + 2 - 3) / stride + 1;
  Kernel *k = kernel_new(sym("conv"));
  Buf *X = kernel_buf(k, sym("X"), BUF_IN, DT_F32, 3, IX(ix(C), ix(H), ix(W)));
  Buf *F = kernel_buf(k, sym("F"), BUF_IN, DT_F32, 4, IX(ix(OC), ix(C), ix(3), ix(3)));
  Buf *Y = kernel_buf(k, sym("Y"), BUF_OUT, DT_F32, 3, IX(ix(OC), ix(OH), ix(OW)));
  if (packed) F->lay = layout_new(6, 0, 4, 0, 1, 4, 0, 2, 1, 0, 3, 1, 0, 1, 1, 4, 0, 1, 4);
  IExpr *oc = var("oc", OC), *oh = var("oh", OH), *ow = var("ow", OW), *c = var("c", C), *kh = var("kh", 3), *kw = var("kw", 3);
  IExpr *ih = ix_addk(ix_add(ix_scale(oh, stride), kh), -1), *iw = ix_addk(ix_add(ix_scale(ow, stride), kw), -1);
  stage(k, "init", C_SET, Y, 3, IX(oc, oh, ow), KINDS(S, S, S), IX(oc, oh, ow), ex_f(DT_F32, 0));
  stage(k, "upd", C_add, Y, 6, IX(oc, oh, ow, c, kh, kw), KINDS(S, S, S, R, R, R), IX(oc, oh, ow),
        op2(S_mul, ex_load_inside(X, IX(c, ih, iw), 0), ex_load(F, IX(oc, c, kh, kw))));
  float *w = floats(OC * C * 9), *wp = calloc((size_t)(OC + 3) * (size_t)(C + 3) * 9, 4);
  X->data = floats(C * H * W), Y->data = floats(OC * OH * OW), F->data = packed ? wp : w;
  for (int o = 0; o < OC; o++)
    for (int i = 0; i < C; i++)
      for (int q = 0; q < 9; q++) wp[((((o / 4) * ((C + 3) / 4) + i / 4) * 9 + q) * 4 + i % 4) * 4 + o % 4] = w[(o * C + i) * 9 + q];
  double t = seconds();
  assert_true(eval_stages(k, NULL));
  *ns = (seconds() - t) * 1e9 / OC / OH / OW / C / 9;
  const float *x = X->data, *y = Y->data;
  for (int o = 0; o < OC; o++)
    for (int i = 0; i < OH * OW; i++) {
      float v = 0;
      for (int l = 0; l < C; l++)
        for (int q = 0; q < 9; q++) {
          int h = i / OW * stride + q / 3 - 1, u = i % OW * stride + q % 3 - 1;
          v = fmaf(h >= 0 && h < H && u >= 0 && u < W ? x[(l * H + h) * W + u] : 0, w[(o * C + l) * 9 + q], v);
        }
      assert_true(v == y[o * OH * OW + i]);
    }
}

static void convs(void **state) {
  (void)state;
  double a, b, c, d;
  conv(16, 32, 56, 56, 1, false, &a);
  conv(64, 64, 7, 7, 1, false, &b);
  conv(16, 32, 30, 30, 2, false, &c);
  conv(30, 33, 14, 14, 1, true, &d);
  print_message("ns per multiply-add of conv 3x3: 56x56 %.2f, 7x7 %.2f, stride 2 %.2f, packed weights %.2f\n", a, b, c, d);
}

/* ---- rows: max, exp-free softmax shape, sums in order; a dynamic extent ---- */

static void rows(void **state) {
  (void)state;
  enum { RN = 5, N = 700 };
  Kernel *k = kernel_new(sym("rows"));
  IExpr *nn = ix_sym(sym("N"), 0, 1 << 20);
  ix_is_atom(nn)->val = N;
  Buf *X = kernel_buf(k, sym("x"), BUF_IN, DT_F32, 2, IX(ix(RN), nn)), *Y = kernel_buf(k, sym("y"), BUF_OUT, DT_F32, 2, IX(ix(RN), nn));
  Buf *mx = kernel_buf(k, sym("mx"), BUF_TEMP, DT_F32, 1, IX(ix(RN))), *s = kernel_buf(k, sym("s"), BUF_TEMP, DT_F32, 1, IX(ix(RN)));
  IExpr *r = var("r", RN), *j = ix_var(sym("j"), nn);
  stage(k, "m0", C_SET, mx, 1, IX(r), KINDS(S), IX(r), combine_identity(C_max, DT_F32));
  stage(k, "m", C_max, mx, 2, IX(r, j), KINDS(S, R), IX(r), ex_load(X, IX(r, j)));
  stage(k, "s0", C_SET, s, 1, IX(r), KINDS(S), IX(r), combine_identity(C_add, DT_F32));
  stage(k, "s", C_add, s, 2, IX(r, j), KINDS(S, R), IX(r), op2(S_sub, ex_load(X, IX(r, j)), ex_load(mx, IX(r))));
  stage(k, "y", C_SET, Y, 2, IX(r, j), KINDS(S, S), IX(r, j), op2(S_div, ex_load(X, IX(r, j)), ex_load(s, IX(r))));
  X->data = floats(RN * N), Y->data = floats(RN * N);
  float *x = X->data, *y = Y->data;
  x[3 * N + 7] = NAN;
  assert_true(eval_stages(k, NULL));
  for (int i = 0; i < RN; i++) {
    float m = -INFINITY, sum = -0.0f;
    for (int l = 0; l < N; l++) m = m > x[i * N + l] || m != m ? m : x[i * N + l];
    for (int l = 0; l < N; l++) sum += x[i * N + l] - m;
    for (int l = 0; l < N; l++) {
      float v = x[i * N + l] / sum;
      assert_true(v == y[i * N + l] || (v != v && y[i * N + l] != y[i * N + l]));
    }
  }
  ix_is_atom(nn)->val = 0; // an empty row does nothing
  assert_true(eval_stages(k, NULL));
}

/* ---- storage types: x converted there and back equals what the table says ---- */

static void storage(void **state) {
  (void)state;
  enum { N = 301 };
  for (DType d = 1; d < DT_COUNT; d++) {
    if (dtypes[d].reg == DT_NONE || d == DT_C64 || d == DT_C128) continue;
    Kernel *k = kernel_new(sym("copy"));
    bool f = dtypes[d].is_float;
    DType in = dtypes[d].reg == DT_BOOL ? DT_I32 : dtypes[d].reg;
    Buf *X = kernel_buf(k, sym("x"), BUF_IN, in, 1, IX(ix(N))), *T = kernel_buf(k, sym("t"), BUF_TEMP, d, 1, IX(ix(N)));
    Buf *Y = kernel_buf(k, sym("y"), BUF_OUT, in, 1, IX(ix(N))), *Z = kernel_buf(k, sym("z"), BUF_OUT, in, 1, IX(ix(N)));
    IExpr *i = var("i", N), *back = ix_sub(ix(N - 1), i);
    Ex *v = ex_cast(dtypes[d].reg, ex_load(X, IX(i)));
    stage(k, "t", C_SET, T, 1, IX(i), KINDS(S), IX(i), v);
    stage(k, "y", C_SET, Y, 1, IX(i), KINDS(S), IX(i), ex_cast(in, ex_load(T, IX(back))));
    stage(k, "z", C_SET, Z, 1, IX(i), KINDS(S), IX(i), ex_cast(in, ex_round(d, v)));
    Tensor *x = tensor_new(in, 1, (int64_t[]){N}, NULL), *y = tensor_new(in, 1, (int64_t[]){N}, NULL);
    Tensor *z = tensor_new(in, 1, (int64_t[]){N}, NULL), *t = tensor_new(d, 1, (int64_t[]){N}, NULL);
    for (int l = 0; l < N; l++) {
      double w = f ? ldexp(rand() % 4096 - 2048, rand() % 20 - 16) : rand() % 70000 - 30000;
      tensor_set_float(x, l, w);
      if (f) tensor_set_float(t, l, tensor_float(x, l));
      else if (d == DT_BOOL) tensor_set_int(t, l, tensor_int(x, l) != 0);
      else tensor_set_int(t, l, tensor_int(x, l));
    }
    X->data = (void *)(uintptr_t)x->data, Y->data = (void *)(uintptr_t)y->data, Z->data = (void *)(uintptr_t)z->data;
    assert_true(eval_stages(k, NULL));
    for (int l = 0; l < N; l++) {
      double want = f ? tensor_float(t, l) : (double)tensor_int(t, l), a = tensor_float(y, N - 1 - l), b = tensor_float(z, l);
      if (d == DT_U64) want = (double)tensor_int(x, l);
      if (want == want ? a != want || b != want : a == a || b == b)
        fail_msg("%s: %.9g stored and loaded %.9g, rounded %.9g, want %.9g", dtypes[d].name, tensor_float(x, l), a, b, want);
    }
  }
}

/* ---- lets: gather and scatter-add, faults ---- */

static void gather(void **state) {
  (void)state;
  enum { V = 10, D = 6, N = 40 };
  Kernel *k = kernel_new(sym("gather"));
  Buf *T = kernel_buf(k, sym("t"), BUF_IN, DT_F32, 2, IX(ix(V), ix(D))), *I = kernel_buf(k, sym("i"), BUF_IN, DT_I64, 1, IX(ix(N)));
  Buf *Y = kernel_buf(k, sym("y"), BUF_OUT, DT_F32, 2, IX(ix(N), ix(D))), *H = kernel_buf(k, sym("h"), BUF_INOUT, DT_I32, 1, IX(ix(V)));
  IExpr *n = var("n", N), *d = var("d", D), *m = var("m", N);
  stage(k, "y", C_SET, Y, 2, IX(n, d), KINDS(S, S), IX(n, d), ex_load(T, IX(ex_index(ex_load(I, IX(n)), 0, V - 1, 3, "g"), d)));
  stage(k, "h", C_add, H, 1, IX(m), KINDS(S), IX(ex_index(ex_load(I, IX(m)), 0, V - 1, -1, "s")), ex_i(DT_I32, 1));
  int64_t *i = calloc(N, 8);
  int32_t *h = calloc(V, 4);
  int count[V] = {0};
  float *t = floats(V * D), *y = floats(N * D);
  for (int l = 0; l < N; l++) i[l] = rand() % V, count[i[l]]++;
  T->data = t, I->data = i, Y->data = y, H->data = h;
  EvalFault f = {0};
  assert_true(eval_stages(k, &f));
  for (int l = 0; l < N; l++)
    for (int c = 0; c < D; c++) assert_true(y[l * D + c] == t[i[l] * D + c]);
  for (int l = 0; l < V; l++) assert_int_equal(h[l], count[l]);
  i[31] = 99, i[12] = -1;
  assert_false(eval_stages(k, &f));
  assert_int_equal(f.site, 3);
  assert_int_equal(f.pos, 12);
  assert_int_equal(f.value, -1);
}

/* ---- ordered axes, data conditions, halves ---- */

static void ordered(void **state) {
  (void)state;
  enum { N = 9, M = 4 };
  Kernel *k = kernel_new(sym("cumsum"));
  Buf *X = kernel_buf(k, sym("x"), BUF_IN, DT_F16, 2, IX(ix(M), ix(N))), *Y = kernel_buf(k, sym("y"), BUF_OUT, DT_F16, 2, IX(ix(M), ix(N)));
  IExpr *i = var("i", M), *j = var("j", N);
  Ex *x = ex_load(X, IX(i, j)), *before = ex_load_inside(Y, IX(i, ix_addk(j, -1)), 0);
  Stage *s = stage(k, "y", C_SET, Y, 2, IX(i, j), KINDS(S, O), IX(i, j), op2(S_add, before, x));
  s->cond = ex_op(S_ne, x, ex_f(DT_F32, 7), NULL);
  _Float16 in[M * N], out[M * N], want[M * N];
  for (int l = 0; l < M * N; l++) in[l] = (_Float16)((float)(rand() % 100) / 8), out[l] = want[l] = 1;
  in[5] = 7;
  for (int a = 0; a < M; a++)
    for (int b = 0; b < N; b++)
      if (in[a * N + b] != 7) want[a * N + b] = (_Float16)((float)in[a * N + b] + (b ? (float)want[a * N + b - 1] : 0));
  X->data = in, Y->data = out;
  assert_true(eval_stages(k, NULL));
  for (int l = 0; l < M * N; l++) assert_true(out[l] == want[l]);
}

/* ---- integers below a byte accumulate in their register type ---- */

static void nibbles(void **state) {
  (void)state;
  enum { N = 64, K = 33 };
  Kernel *k = kernel_new(sym("i4"));
  Buf *A = kernel_buf(k, sym("a"), BUF_IN, DT_I4, 2, IX(ix(N), ix(K))), *C = kernel_buf(k, sym("c"), BUF_OUT, DT_I32, 1, IX(ix(N)));
  IExpr *n = var("n", N), *q = var("k", K);
  stage(k, "0", C_SET, C, 1, IX(n), KINDS(S), IX(n), ex_i(DT_I32, 0));
  stage(k, "c", C_add, C, 2, IX(n, q), KINDS(S, R), IX(n), op2(S_mul, ex_load(A, IX(n, q)), ex_cast(DT_I32, ex_ix(DT_I64, q))));
  Tensor *a = tensor_new(DT_I4, 2, (int64_t[]){N, K}, NULL);
  int want[N] = {0}, got[N];
  for (int l = 0; l < N * K; l++) {
    int v = rand() % 16 - 8;
    tensor_set_int(a, l, v);
    want[l / K] += v * (l % K);
  }
  A->data = (void *)(uintptr_t)a->data, C->data = got;
  assert_true(eval_stages(k, NULL));
  assert_memory_equal(got, want, sizeof want);
}

/* ---- a scheduled kernel gives the bits of its stages ---- */

static Kernel *gelu_kernel(IExpr *m_ext, int N, int K) {
  Kernel *k = kernel_new(sym("mm_gelu"));
  Buf *A = kernel_buf(k, sym("A"), BUF_IN, DT_F32, 2, IX(m_ext, ix(K))), *B = kernel_buf(k, sym("B"), BUF_IN, DT_F32, 2, IX(ix(K), ix(N)));
  Buf *b = kernel_buf(k, sym("b"), BUF_IN, DT_F32, 1, IX(ix(N))), *C = kernel_buf(k, sym("C"), BUF_OUT, DT_F32, 2, IX(m_ext, ix(N)));
  Buf *acc = kernel_buf(k, sym("acc"), BUF_TEMP, DT_F32, 2, IX(m_ext, ix(N)));
  IExpr *m = ix_var(sym("m"), m_ext), *n = var("n", N), *q = var("k", K);
  stage(k, "init", C_SET, acc, 2, IX(m, n), KINDS(S, S), IX(m, n), combine_identity(C_add, DT_F32));
  stage(k, "upd", C_add, acc, 3, IX(m, n, q), KINDS(S, S, R), IX(m, n), op2(S_mul, ex_load(A, IX(m, q)), ex_load(B, IX(q, n))));
  stage(k, "epi", C_SET, C, 2, IX(m, n), KINDS(S, S), IX(m, n), ex_gelu(op2(S_add, ex_load(acc, IX(m, n)), ex_load(b, IX(n)))));
  Schedule *s = k->sched = NEW(Schedule);
  sched_split(s, sym("m"), m, "8 rest 4,2,1");
  sched_split(s, sym("n"), n, "48,16");
  sched_split(s, sym("k"), q, "");
  sched_bands(k, "init", "n.0 par m.0 | m.1 unroll n.1 unroll n.2 vec");
  sched_bands(k, "upd", "n.0 m.0 | k.0 m.1 unroll n.1 unroll n.2 vec");
  sched_bands(k, "epi", "n.0 m.0 | m.1 n.1 unroll n.2 vec");
  sched_store(s, acc, SPACE_REG, 2, NULL);
  return k;
}

static void scheduled(void **state) {
  (void)state;
  IExpr *M = ix_sym(sym("M"), 1, 4096);
  enum { N = 100, K = 77 };
  float *a = floats(64 * K), *w = floats(K * N), *b = floats(N), *c[2] = {floats(64 * N), floats(64 * N)};
  Kernel *k = gelu_kernel(M, N, K);
  k->buf[0]->data = a, k->buf[1]->data = w, k->buf[2]->data = b;
  double t[2] = {0, 0};
  for (int form = 0; form < 2; form++)
    for (int m = 1; m <= 64; m += 21) {
      if (form == 1 && !k->tree) kernel_build(k);
      ix_is_atom(M)->val = m;
      k->buf[3]->data = c[form] + 0;
      double t0 = seconds();
      assert_true(form ? eval_tree(k, NULL) : eval_stages(k, NULL));
      if (m == 64) t[form] = (seconds() - t0) * 1e9 / m / N / K;
      if (form && m == 64) assert_memory_equal(c[0], c[1], sizeof(float) * 64 * N);
    }
  print_message("ns per multiply-add of a small product with GELU: stages %.2f, tree %.2f\n", t[0], t[1]);
}

/* ---- indices over lanes: whatever of them is affine in some block, the values are ix_eval's ---- */

static IExpr *random_index(IExpr **v, int n, int depth) {
  if (depth == 0) return ix_addk(ix_scale(v[rand() % n], rand() % 7 - 3), rand() % 40 - 20);
  IExpr *a = random_index(v, n, depth - 1), *b = random_index(v, n, depth - 1);
  switch (rand() % 8) {
  case 0: return ix_div(a, ix(1 << rand() % 6));
  case 1: return ix_modk(a, rand() % 19 + 1);
  case 2: return ix_div(a, ix_addk(v[0], rand() % 3 - 1));
  case 3: return ix_max(a, b);
  case 4: return ix_mul(ix_ge(a, b), ix_relu(b));
  case 5: return ix_bcast(a, v[0]);
  case 6: return ix_mul(a, v[rand() % n]);
  default: return ix_add(a, b);
  }
}

static void indices(void **state) {
  (void)state;
  enum { A = 4, B = 37, C = 50 };
  int64_t *r = malloc(A * B * C * 8);
  for (int t = 0; t < 150; t++) {
    IExpr *v[] = {var("a", A), var("b", B), var("c", C)}, *e = random_index(v, 3, t % 3 + 1);
    Kernel *k = kernel_new(sym("index"));
    Buf *out = kernel_buf(k, sym("out"), BUF_OUT, DT_I64, 3, IX(ix(A), ix(B), ix(C)));
    stage(k, "s", C_SET, out, 3, v, KINDS(S, S, S), v, ex_ix(DT_I64, e));
    out->data = r;
    assert_true(eval_stages(k, NULL));
    for (int i = 0; i < A * B * C; i++) {
      ix_is_atom(v[0])->val = i / (B * C), ix_is_atom(v[1])->val = i / C % B, ix_is_atom(v[2])->val = i % C;
      if (r[i] != ix_eval(e)) fail_msg("%s: %lld at %d, not %lld", ix_str(e), (long long)r[i], i, (long long)ix_eval(e));
    }
  }
  free(r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(matmuls), cmocka_unit_test(convs),     cmocka_unit_test(rows),
                                     cmocka_unit_test(storage), cmocka_unit_test(gather),    cmocka_unit_test(ordered),
                                     cmocka_unit_test(nibbles), cmocka_unit_test(scheduled), cmocka_unit_test(indices)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
