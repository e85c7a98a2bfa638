// cuda_test.c - kernels printed as CUDA C, run on the CPU with fibers as threads, against the interpreter, bit for bit; and compiled by
// NVRTC where that is installed.
#include "codegen/codegen.h"
#include "ir/math.h"
#include "ir/scalar.h"
#include "tests/cuda/emulate.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above first
#include <cmocka.h>

#define IX(...)                                                                                                                            \
  (IExpr *[]) { __VA_ARGS__ }
#define KINDS(...)                                                                                                                         \
  (uint8_t[]) { __VA_ARGS__ }
enum { S = AXIS_SPATIAL, R = AXIS_REDUCE };

static Ex *op2(SOp op, Ex *a, Ex *b) { return ex_op(op, a, b, NULL); }
static IExpr *var(const char *name, IExpr *n) { return ix_var(sym(name), n); }
static Stage *stage(Kernel *k, const char *name, Combine c, Buf *out, int nax, IExpr **ax, const uint8_t *kind, IExpr **at, Ex *val) {
  return kernel_stage(k, sym(name), c, out, nax, ax, kind, at, val);
}
static Buf *buf(Kernel *k, const char *name, BufKind kind, DType d, int rank, IExpr **dim) {
  return kernel_buf(k, sym(name), kind, d, rank, dim);
}

static char *text_of(Kernel *k, const char *target) {
  Program *p = program_new(sym("test"));
  PUSH(p->kernel, p->nkernel, p->ckernel, k);
  Text t = {0};
  CodegenOptions o = {.target = target_find(target)};
  cuda_text(p, &o, &t);
  return t.p;
}

/* ---- checking a kernel ---- */

static int64_t bytes_of(const Buf *b) { return dtype_bytes(b->dtype, ix_eval(buf_size(b))); }

static void fill(Buf *b) {
  int64_t n = ix_eval(buf_size(b));
  b->data = emu_poison(bytes_of(b));
  for (int64_t i = 0; i < n && b->kind != BUF_OUT; i++) {
    double v = (rand() % 2001 - 1000) / 256.0;
    Tensor t = {.dtype = b->dtype, .rank = 1, .dim = {n}, .data = b->data, .bytes = bytes_of(b)};
    if (dtypes[b->dtype].is_float) tensor_set_float(&t, i, v);
    else tensor_set_int(&t, i, rand() % 100);
  }
}

static bool same(const Buf *b, const void *x, const void *y) { // bits, but any NaN is any NaN
  if (memcmp(x, y, (size_t)bytes_of(b)) == 0) return true;
  if (b->dtype != DT_F32) return false;
  const float *p = x, *q = y;
  for (int64_t i = 0; i < bytes_of(b) / 4; i++)
    if (memcmp(&p[i], &q[i], 4) != 0 && !(p[i] != p[i] && q[i] != q[i])) return false;
  return true;
}

// Runs the stages, the tree and the emulated text (twice) on the same data and compares all results. n: values of the one symbol, if any.
static void check(Kernel *k, Atom *symbol, int n, const int64_t *values) {
  Emulation e = {0};
  kernel_symbols(k);
  for (int v = 0; v < n; v++) {
    if (symbol) symbol->val = values[v];
    void *want[MAX_BUFS];
    for (int i = 0; i < kernel_params(k); i++) {
      fill(k->buf[i]);
      want[i] = emu_poison(bytes_of(k->buf[i]));
    }
    void *out[MAX_BUFS];
    for (int form = 0; form < 4; form++) {
      for (int i = 0; i < kernel_params(k); i++)
        if (k->buf[i]->kind == BUF_OUT) {
          out[i] = k->buf[i]->data;
          memset(out[i], 0xff, (size_t)bytes_of(k->buf[i]));
        }
      if (form == 1 && !k->tree) kernel_build(k), e = emulation(text_of(k, "sm_80"));
      if (form == 0) assert_true(eval_stages(k, NULL));
      else if (form == 1) assert_true(eval_tree(k, NULL));
      else assert_int_equal(emulate(&e, 0, k, form == 3).key, ~0ull);
      for (int i = 0; i < kernel_params(k); i++) {
        if (k->buf[i]->kind != BUF_OUT) continue;
        static const char *const names[] = {"stages", "tree", "CUDA", "CUDA, threads falling"};
        if (form == 0) memcpy(want[i], out[i], (size_t)bytes_of(k->buf[i]));
        else if (!same(k->buf[i], want[i], out[i])) fail_msg("%s: %s of %s differs from the stages", k->name, k->buf[i]->name, names[form]);
      }
    }
    for (int i = 0; i < kernel_params(k); i++) free(want[i]), free(k->buf[i]->data), k->buf[i]->data = NULL;
  }
  dlclose(e.handle);
}

/* ---- kernels ---- */

static Schedule *schedule(Kernel *k) { return k->sched = NEW(Schedule); }

static Kernel *elementwise(IExpr *n, DType d) { // gelu(x*w + b) rounded to d
  Kernel *k = kernel_new(sym("elementwise"));
  Buf *x = buf(k, "x", BUF_IN, d, 1, IX(n)), *w = buf(k, "w", BUF_IN, d, 1, IX(n)), *y = buf(k, "y", BUF_OUT, d, 1, IX(n));
  IExpr *i = var("i", n);
  Ex *v = ex_op(S_fma, ex_load(x, IX(i)), ex_load(w, IX(i)), ex_f(dtypes[d].reg, 0.25));
  stage(k, "y", C_SET, y, 1, IX(i), KINDS(S), IX(i), ex_gelu(v));
  Schedule *s = schedule(k);
  sched_split(s, sym("i"), i, "128");
  sched_bands(k, "y", "i.0 block.x i.1 thread.x");
  return k;
}

static void elementwise_kernels(void **state) {
  (void)state;
  IExpr *n = ix_sym(sym("N"), 0, 1 << 24);
  static const DType types[] = {DT_F32, DT_F64, DT_F16, DT_BF16, DT_F8E4M3FN, DT_F8E5M2};
  for (int i = 0; i < 6; i++) check(elementwise(n, types[i]), ix_is_atom(n), 3, (int64_t[]){1000, 1, 256});
}

static void storage(void **state) { // every float pattern class to every float dtype and back; packed integers
  (void)state;
  enum { N = 4096 };
  for (DType d = 1; d < DT_COUNT; d++) {
    if (dtypes[d].reg != DT_F32 && dtypes[d].reg != DT_I32) continue;
    if (d == DT_C64) continue;
    Kernel *k = kernel_new(sym("storage"));
    DType in = dtypes[d].reg;
    Buf *x = buf(k, "x", BUF_IN, in, 1, IX(ix(N))), *y = buf(k, "y", BUF_OUT, d, 1, IX(ix(N))), *z = buf(k, "z", BUF_OUT, in, 1, IX(ix(N)));
    IExpr *i = var("i", ix(N));
    stage(k, "y", C_SET, y, 1, IX(i), KINDS(S), IX(i), ex_load(x, IX(i)));
    stage(k, "z", C_SET, z, 1, IX(i), KINDS(S), IX(i), op2(S_add, ex_load(y, IX(i)), ex_round(d, ex_load(x, IX(i)))));
    Schedule *s = schedule(k);
    sched_split(s, sym("i"), i, "64");
    sched_bands(k, "y", "i.0 block.x i.1 thread.x");
    sched_bands(k, "z", "i.0 block.x i.1 thread.x");
    uint32_t *bits = x->data = malloc(N * 4);
    for (int l = 0; l < N; l++) {
      bits[l] = (uint32_t)rand() << 16 ^ (uint32_t)rand();
      if (in == DT_F32 && l % 2) bits[l] = (bits[l] & 0x80ffffff) | (uint32_t)(0x3a + rand() % 14) << 24; // near 1
      if (in == DT_F32 && l % 4 == 1) bits[l] &= 0xfff00000;                                              // ties
    }
    static const float odd[] = {0,     -0.0f, INFINITY, -INFINITY, NAN, 448, 464,  480,      57344,
                                61440, 65504, 65520,    1.5f,      6,   28,  7.5f, 0x1p-127f};
    if (in == DT_F32) memcpy(bits, odd, sizeof odd);
    int64_t bytes = dtype_bytes(d, N);
    void *out[2] = {emu_poison(bytes), emu_poison(bytes)}, *back[2] = {emu_poison(4 * N), emu_poison(4 * N)};
    y->data = out[0], z->data = back[0];
    assert_true(eval_stages(k, NULL));
    kernel_build(k);
    kernel_symbols(k);
    y->data = out[1], z->data = back[1];
    Emulation e = emulation(text_of(k, "sm_80"));
    emulate(&e, 0, k, true);
    if (memcmp(out[0], out[1], (size_t)bytes) != 0 || !same(z, back[0], back[1])) fail_msg("%s differs", dtypes[d].name);
  }
}

static void reductions(void **state) { // sum over rows, lanes first: rfactor, then halves across the threads
  (void)state;
  IExpr *n = ix_sym(sym("N"), 0, 1 << 24), *rows = ix(7);
  Kernel *k = kernel_new(sym("reduce"));
  Buf *x = buf(k, "x", BUF_IN, DT_F32, 2, IX(rows, n)), *y = buf(k, "y", BUF_OUT, DT_F32, 1, IX(rows));
  Buf *acc = buf(k, "acc", BUF_TEMP, DT_F32, 1, IX(rows));
  IExpr *r = var("r", rows), *j = var("j", n);
  stage(k, "init", C_SET, acc, 1, IX(r), KINDS(S), IX(r), combine_identity(C_add, DT_F32));
  stage(k, "upd", C_add, acc, 2, IX(r, j), KINDS(S, R), IX(r), ex_load(x, IX(r, j)));
  stage(k, "y", C_SET, y, 1, IX(r), KINDS(S), IX(r), ex_load(acc, IX(r)));
  Schedule *s = schedule(k);
  sched_split(s, sym("r"), r, "");
  Buf *p = stage_rfactor(k, acc, j, 32, true);
  (void)p;
  check(k, ix_is_atom(n), 3, (int64_t[]){100, 32, 7});
}

static Kernel *softmax(IExpr *n) {
  IExpr *rows = ix(5);
  Kernel *k = kernel_new(sym("softmax"));
  Buf *x = buf(k, "x", BUF_IN, DT_F32, 2, IX(rows, n)), *y = buf(k, "y", BUF_OUT, DT_F32, 2, IX(rows, n));
  Buf *mx = buf(k, "mx", BUF_TEMP, DT_F32, 1, IX(rows)), *e = buf(k, "e", BUF_TEMP, DT_F32, 2, IX(rows, n)),
      *s = buf(k, "s", BUF_TEMP, DT_F32, 1, IX(rows));
  IExpr *r = var("r", rows), *j = var("j", n);
  Ex *X = ex_load(x, IX(r, j));
  stage(k, "mx0", C_SET, mx, 1, IX(r), KINDS(S), IX(r), combine_identity(C_max, DT_F32));
  stage(k, "mx", C_max, mx, 2, IX(r, j), KINDS(S, R), IX(r), X);
  stage(k, "e", C_SET, e, 2, IX(r, j), KINDS(S, S), IX(r, j), ex_exp(op2(S_sub, X, ex_load(mx, IX(r)))));
  stage(k, "s0", C_SET, s, 1, IX(r), KINDS(S), IX(r), combine_identity(C_add, DT_F32));
  stage(k, "s", C_add, s, 2, IX(r, j), KINDS(S, R), IX(r), ex_load(e, IX(r, j)));
  stage(k, "y", C_SET, y, 2, IX(r, j), KINDS(S, S), IX(r, j), op2(S_div, ex_load(e, IX(r, j)), ex_load(s, IX(r))));
  Schedule *d = schedule(k);
  sched_split(d, sym("r"), r, "");
  sched_split(d, sym("j"), j, "64");
  sched_bands(k, "mx0", "r.0 block.x");
  sched_bands(k, "mx", "r.0 block.x | j.0 j.1");
  sched_bands(k, "e", "r.0 block.x | j.0 j.1 thread.x");
  sched_bands(k, "s0", "r.0 block.x |");
  sched_bands(k, "s", "r.0 block.x | j.0 j.1");
  sched_bands(k, "y", "r.0 block.x | j.0 j.1 thread.x");
  return k;
}

static void softmax_kernels(void **state) {
  (void)state;
  IExpr *n = ix_sym(sym("N"), 0, 1 << 24);
  check(softmax(n), ix_is_atom(n), 3, (int64_t[]){100, 64, 1});
  check(softmax(ix(96)), NULL, 1, (int64_t[]){0});
}

static Kernel *matmul(IExpr *m_ext, int N, int K) { // 16x16 threads, 4x4 results each in registers, panels of A and B in shared memory
  Kernel *k = kernel_new(sym("matmul"));
  Buf *A = buf(k, "A", BUF_IN, DT_F32, 2, IX(m_ext, ix(K))), *B = buf(k, "B", BUF_IN, DT_F32, 2, IX(ix(K), ix(N)));
  Buf *C = buf(k, "C", BUF_OUT, DT_F32, 2, IX(m_ext, ix(N))), *acc = buf(k, "acc", BUF_TEMP, DT_F32, 2, IX(m_ext, ix(N)));
  Buf *As = buf(k, "As", BUF_TEMP, DT_F32, 2, IX(m_ext, ix(K))), *Bs = buf(k, "Bs", BUF_TEMP, DT_F32, 2, IX(ix(K), ix(N)));
  IExpr *m = var("m", m_ext), *n = var("n", ix(N)), *q = var("k", ix(K));
  stage(k, "init", C_SET, acc, 2, IX(m, n), KINDS(S, S), IX(m, n), combine_identity(C_add, DT_F32));
  stage(k, "a", C_SET, As, 2, IX(m, q), KINDS(S, S), IX(m, q), ex_load(A, IX(m, q)));
  stage(k, "b", C_SET, Bs, 2, IX(q, n), KINDS(S, S), IX(q, n), ex_load(B, IX(q, n)));
  stage(k, "upd", C_add, acc, 3, IX(m, n, q), KINDS(S, S, R), IX(m, n), op2(S_mul, ex_load(As, IX(m, q)), ex_load(Bs, IX(q, n))));
  stage(k, "out", C_SET, C, 2, IX(m, n), KINDS(S, S), IX(m, n), ex_load(acc, IX(m, n)));
  Schedule *s = schedule(k);
  sched_split(s, sym("m"), m, "32,4");
  sched_split(s, sym("n"), n, "32,4");
  sched_split(s, sym("k"), q, "8");
  sched_bands(k, "init", "m.0 block.x n.0 block.x | m.1 thread.y n.1 thread.x m.2 unroll n.2 unroll");
  sched_bands(k, "a", "m.0 block.x n.0 block.x | k.0 m.1 thread.y k.1 thread.x m.2 unroll");
  sched_bands(k, "b", "m.0 block.x n.0 block.x k.0 | k.1 thread.y n.1 thread.x n.2 unroll");
  sched_bands(k, "upd", "m.0 block.x n.0 block.x k.0 | m.1 thread.y n.1 thread.x k.1 m.2 unroll n.2 unroll");
  sched_bands(k, "out", "m.0 block.x n.0 block.x | m.1 thread.y n.1 thread.x m.2 unroll n.2 unroll");
  sched_store(s, acc, SPACE_REG, 2, NULL);
  sched_store(s, As, SPACE_SHARED, 3, NULL);
  sched_store(s, Bs, SPACE_SHARED, 3, NULL);
  return k;
}

static void matmuls(void **state) {
  (void)state;
  IExpr *m = ix_sym(sym("M"), 1, 1 << 20);
  check(matmul(m, 96, 64), ix_is_atom(m), 3, (int64_t[]){64, 33, 1});
  check(matmul(ix(40), 50, 20), NULL, 1, (int64_t[]){0});
}

static Kernel *layernorm(IExpr *n) { // a block for each row, sums by 32 lanes that halve in shared memory
  IExpr *rows = ix(6);
  Kernel *k = kernel_new(sym("layernorm"));
  Buf *x = buf(k, "x", BUF_IN, DT_F32, 2, IX(rows, n)), *w = buf(k, "w", BUF_IN, DT_F32, 1, IX(n)),
      *b = buf(k, "b", BUF_IN, DT_F32, 1, IX(n));
  Buf *y = buf(k, "y", BUF_OUT, DT_F32, 2, IX(rows, n)), *s = buf(k, "s", BUF_TEMP, DT_F32, 1, IX(rows)),
      *q = buf(k, "q", BUF_TEMP, DT_F32, 1, IX(rows));
  IExpr *r = var("r", rows), *j = var("j", n);
  Ex *X = ex_load(x, IX(r, j)), *count = ex_ix(DT_F32, n), *d = op2(S_sub, X, op2(S_div, ex_load(s, IX(r)), count));
  Ex *scale = ex_rsqrt(op2(S_add, op2(S_div, ex_load(q, IX(r)), count), ex_f(DT_F32, 1e-5)));
  stage(k, "s0", C_SET, s, 1, IX(r), KINDS(S), IX(r), combine_identity(C_add, DT_F32));
  stage(k, "s", C_add, s, 2, IX(r, j), KINDS(S, R), IX(r), X);
  stage(k, "q0", C_SET, q, 1, IX(r), KINDS(S), IX(r), combine_identity(C_add, DT_F32));
  stage(k, "q", C_add, q, 2, IX(r, j), KINDS(S, R), IX(r), op2(S_mul, d, d));
  stage(k, "y", C_SET, y, 2, IX(r, j), KINDS(S, S), IX(r, j),
        op2(S_add, op2(S_mul, op2(S_mul, d, scale), ex_load(w, IX(j))), ex_load(b, IX(j))));
  Schedule *c = schedule(k);
  sched_split(c, sym("r"), r, "");
  sched_split(c, sym("j"), j, "32");
  stage_rfactor(k, s, j, 32, true);
  stage_rfactor(k, q, j, 32, true);
  for (int i = 0; i < k->nstage; i++) { // whatever stages that made: lanes and columns are threads
    const Stage *t = k->stage[i];
    char bands[128] = "r.0 block.x |";
    for (int a = 1; a < t->nax; a++) {
      const Atom *v = ix_is_atom(t->ax[a]);
      if (v == ix_is_atom(j)) {
        strcat(bands, " j.0 j.1 thread.x");
        continue;
      }
      const char *name = fmt("l%d", i);
      sched_split(c, sym(name), t->ax[a], "");
      strcat(bands, fmt(" %s.0%s", name, t->kind[a] == AXIS_SPATIAL ? " thread.x" : ""));
    }
    sched_bands(k, t->name, bands);
  }
  return k;
}

static void layernorms(void **state) {
  (void)state;
  IExpr *n = ix_sym(sym("N"), 1, 1 << 20);
  check(layernorm(n), ix_is_atom(n), 3, (int64_t[]){77, 32, 5});
}

static Kernel *conv(int C, int OC, int H) { // 3x3, direct: 8x8 outputs a block of 64 threads, 4 channels each in registers
  Kernel *k = kernel_new(sym("conv"));
  IExpr *h = ix(H), *oc_n = ix(OC), *c_n = ix(C);
  Buf *X = buf(k, "X", BUF_IN, DT_F32, 3, IX(c_n, h, h)), *F = buf(k, "F", BUF_IN, DT_F32, 4, IX(oc_n, c_n, ix(3), ix(3)));
  Buf *b = buf(k, "b", BUF_IN, DT_F32, 1, IX(oc_n)), *Y = buf(k, "Y", BUF_OUT, DT_F32, 3, IX(oc_n, h, h)),
      *acc = buf(k, "acc", BUF_TEMP, DT_F32, 3, IX(oc_n, h, h));
  IExpr *oc = var("oc", oc_n), *oh = var("oh", h), *ow = var("ow", h), *c = var("c", c_n), *kh = var("kh", ix(3)), *kw = var("kw", ix(3));
  IExpr *ih = ix_addk(ix_add(oh, kh), -1), *iw = ix_addk(ix_add(ow, kw), -1);
  stage(k, "init", C_SET, acc, 3, IX(oc, oh, ow), KINDS(S, S, S), IX(oc, oh, ow), ex_load(b, IX(oc)));
  stage(k, "upd", C_add, acc, 6, IX(oc, oh, ow, c, kh, kw), KINDS(S, S, S, R, R, R), IX(oc, oh, ow),
        op2(S_mul, ex_load_inside(X, IX(c, ih, iw), 0), ex_load(F, IX(oc, c, kh, kw))));
  stage(k, "relu", C_SET, Y, 3, IX(oc, oh, ow), KINDS(S, S, S), IX(oc, oh, ow), op2(S_max, ex_load(acc, IX(oc, oh, ow)), ex_f(DT_F32, 0)));
  Schedule *s = schedule(k);
  sched_split(s, sym("oc"), oc, "4");
  sched_split(s, sym("oh"), oh, "8");
  sched_split(s, sym("ow"), ow, "8");
  sched_split(s, sym("c"), c, "");
  sched_split(s, sym("kh"), kh, "");
  sched_split(s, sym("kw"), kw, "");
  sched_bands(k, "init", "oc.0 block.x oh.0 block.x ow.0 block.x | oh.1 thread.y ow.1 thread.x oc.1 unroll");
  sched_bands(k, "upd", "oc.0 block.x oh.0 block.x ow.0 block.x | oh.1 thread.y ow.1 thread.x c.0 kh.0 kw.0 oc.1 unroll");
  sched_bands(k, "relu", "oc.0 block.x oh.0 block.x ow.0 block.x | oh.1 thread.y ow.1 thread.x oc.1 unroll");
  sched_store(s, acc, SPACE_REG, 3, NULL);
  return k;
}

static void convs(void **state) {
  (void)state;
  check(conv(5, 8, 16), NULL, 1, (int64_t[]){0});
  check(conv(3, 6, 13), NULL, 1, (int64_t[]){0});
}

static void gather(void **state) { // lets, and their faults
  (void)state;
  IExpr *n = ix_sym(sym("N"), 0, 1 << 20);
  Kernel *k = kernel_new(sym("gather"));
  Buf *t = buf(k, "t", BUF_IN, DT_F32, 2, IX(ix(100), ix(6))), *i = buf(k, "i", BUF_IN, DT_I64, 1, IX(n)),
      *y = buf(k, "y", BUF_OUT, DT_F32, 2, IX(n, ix(6)));
  IExpr *a = var("a", n), *d = var("d", ix(6));
  stage(k, "y", C_SET, y, 2, IX(a, d), KINDS(S, S), IX(a, d), ex_load(t, IX(ex_index(ex_load(i, IX(a)), 0, 99, 5, "g"), d)));
  Schedule *s = schedule(k);
  sched_split(s, sym("a"), a, "8");
  sched_split(s, sym("d"), d, "");
  sched_bands(k, "y", "a.0 block.x a.1 thread.y d.0 thread.x");
  check(k, ix_is_atom(n), 2, (int64_t[]){50, 3});
  ix_is_atom(n)->val = 20;
  for (int b = 0; b < 3; b++) fill(k->buf[b]);
  ((int64_t *)i->data)[13] = 100, ((int64_t *)i->data)[7] = -4;
  Emulation e = emulation(text_of(k, "sm_80"));
  EmuCell c = emulate(&e, 0, k, true);
  assert_int_equal(c.key >> 40, 5);
  assert_int_equal(c.key & 0xffffffffff, 7);
  assert_int_equal(c.value, -4);
}

/* ---- NVRTC ---- */

static const char *all_text;
static void compile_one(void *u) {
  const char *arch = u;
  bool ptx = strncmp(arch, "compute", 7) == 0;
  Blob b = cuda_compile(all_text, ptx ? "sm_80" : arch, ptx);
  assert_true(b.n > 1000);
  print_message("%s: %zu bytes\n", arch, b.n);
}
static void quiet(const Diagnostic *d) { print_message("%s\n", d->text); }

static void compiled(void **state) {
  (void)state;
  Program *p = program_new(sym("test"));
  IExpr *n = ix_sym(sym("N"), 0, 1 << 24), *m = ix_sym(sym("M"), 1, 1 << 20);
  Kernel *k[] = {elementwise(n, DT_F32), elementwise(n, DT_F16), softmax(n), matmul(m, 96, 64), layernorm(n), conv(5, 8, 16)};
  for (int i = 0; i < 6; i++) PUSH(p->kernel, p->nkernel, p->ckernel, k[i]);
  Text t = {0};
  cuda_text(p, &(CodegenOptions){.target = target_find("sm_80")}, &t);
  all_text = t.p;
  diagnostic_sink = quiet;
  static const char *const archs[] = {"sm_80", "sm_90a", "compute_80"};
  for (int i = 0; i < 3; i++) {
    Exit e = protect(compile_one, (void *)(uintptr_t)archs[i]);
    if (e == EXIT_UNSUPPORTED) skip(); // no NVRTC here
    assert_int_equal(e, EXIT_OK);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(elementwise_kernels),
                                     cmocka_unit_test(storage),
                                     cmocka_unit_test(reductions),
                                     cmocka_unit_test(softmax_kernels),
                                     cmocka_unit_test(matmuls),
                                     cmocka_unit_test(layernorms),
                                     cmocka_unit_test(convs),
                                     cmocka_unit_test(gather),
                                     cmocka_unit_test(compiled)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
