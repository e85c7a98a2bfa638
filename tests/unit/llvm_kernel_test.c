// llvm_kernel_test.c - whole kernels: what is compiled, optimised or not, chunks forwards or backwards, gives the bits that the interpreter
// gives for the stages and for the tree. Values are small integers, so reordered folds are exact too.
#include "codegen/codegen.h"
#include "codegen/llvm/load.h"
#include "ir/phase.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above first
#include <cmocka.h>

typedef struct Case {
  const char *text;
  int64_t sym[4][3]; // values of the kernel's symbols, a row per run, up to a row that begins with -1
} Case;

static const char gemm[] =
    "kernel gemm(in A: f32[M,40], const B: f32[40,70] @<1/48,0,1%48>, const b: f32[70], out C: f32[M,70]) where M in 0..64 {\n"
    "  temp acc: f32[M,70]\n"
    "  init: for m: M, n: 70 { acc[m,n] = -0.0 }\n"
    "  upd: for m: M, n: 70, k: 40 reduce { accum add acc[m,n] <- A[m,k]*B[k,n] }\n"
    "  epi: for m: M, n: 70 { C[m,n] = max(acc[m,n] + b[n], 0.0) }\n"
    "  schedule {\n"
    "    split ms of m 8 rest 4,2,1\n"
    "    split ns of n 48,16\n"
    "    split ks of k\n"
    "    init: ns.0 par ms.0 par ms.1 unroll ns.1 unroll ns.2 vec\n"
    "    upd: ns.0 par ms.0 par | ks ms.1 unroll ns.1 unroll ns.2 vec\n"
    "    epi: ns.0 par ms.0 par | ms.1 unroll ns.1 unroll ns.2 vec\n"
    "    store acc reg depth 2\n"
    "  }\n"
    "}\n";
static const char odd_vec[] = "kernel odd(in A: f32[N], in B: f32[N], out C: f32[N]) where N in 0..1000 {\n"
                              "  s: for i: N { C[i] = A[i]*B[i] - A[i] }\n"
                              "  schedule {\n    split is of i 7\n    s: is.0 par is.1 vec\n  }\n}\n";
static const char transposed[] =
    "kernel transposed(in A: f32[N,M], out C: f32[M,N]) where M in 0..100, N in 0..100 {\n"
    "  s: for i: M, j: N { C[i,j] = A[j,i] }\n"
    "  schedule {\n    split is of i 4\n    split js of j 16\n    s: is.0 par js.0 is.1 unroll js.1 vec\n  }\n}\n";
static const char scattered[] = "kernel scattered(in A: f32[N,M], out C: f32[M,N]) where M in 0..100, N in 0..100 {\n"
                                "  s: for j: N, i: M { C[i,j] = A[j,i] + 1.0 }\n"
                                "  schedule {\n    split is of i 16\n    split js of j\n    s: js par is.0 is.1 vec\n  }\n}\n";
static const char network[] = "kernel network(in A: f32[64,48], out C: f32[48,64]) {\n"
                              "  s: for i: 48, j: 64 { C[i,j] = A[j,i] }\n"
                              "  schedule {\n    split is of i 16\n    split js of j 16\n    s: is.0 par js.0 is.1 tr js.1 vec\n  }\n}\n";
static const char strided[] =
    "kernel strided(in A: f32[3*N], in D: i8[2*N + 1], out C: f32[N], out E: i32[N]) where N in 0..200 {\n"
    "  s: for i: N { C[i] = A[3*i] - A[3*i + 1] }\n"
    "  e: for j: N { E[j] = D[2*j] + D[2*j + 1] }\n"
    "  schedule {\n    split is of i 16\n    split js of j 8\n    s: is.0 par is.1 vec\n    e: js.0 js.1 vec\n  }\n}\n";
static const char gather[] = "kernel gather(in A: f32[V,D], in I: i64[N], out C: f32[N,D]) where D in 0..50, N in 0..50, V in 1..50 {\n"
                             "  s: for i: N, j: D {\n    let r: 0..2147483647 limit V site 3 = I[i]\n    C[i,j] = A[r,j]\n  }\n"
                             "  schedule {\n    split is of i\n    split js of j 16\n    s: is par js.0 js.1 vec\n  }\n}\n";
static const char gather_lanes[] = "kernel lanes(in A: f32[V], in I: i32[N], out C: f32[N]) where N in 0..50, V in 1..50 {\n"
                                   "  s: for i: N {\n    let r: 0..2147483647 limit V site 1 = I[i]\n    C[i] = A[r]\n  }\n"
                                   "  schedule {\n    split is of i 16\n    s: is.0 par is.1 vec\n  }\n}\n";
static const char conv[] =
    "kernel conv(in X: f32[4,H,19], const W: f32[20,4,3,3], out Y: f32[20,H,19]) where H in 1..40 {\n"
    "  temp acc: f32[20,H,19]\n"
    "  init: for o: 20, y: H, x: 19 { acc[o,y,x] = -0.0 }\n"
    "  upd: for o: 20, y: H, x: 19, c: 4 reduce, i: 3 reduce, j: 3 reduce { accum add acc[o,y,x] <- X[c,y + i - 1,x + j - 1]{y + i - 1, H "
    "- y - i, x + j - 1, 19 - x - j}*W[o,c,i,j] }\n"
    "  epi: for o: 20, y: H, x: 19 { Y[o,y,x] = acc[o,y,x] }\n"
    "  schedule {\n    split os of o 16\n    split ys of y\n    split xs of x 4 rest 3,2,1\n    split cs of c\n    split is of i\n    "
    "split js of j\n"
    "    init: os.0 par ys par xs.0 xs.1 unroll os.1 vec\n    upd: os.0 par ys par xs.0 | cs is js xs.1 unroll os.1 vec\n"
    "    epi: os.0 par ys par xs.0 | xs.1 unroll os.1 vec\n    store acc reg depth 3\n  }\n}\n";
static const char dots[] = "kernel dots(in A: u8[M,24], const B: i8[24,20] @<1/16,0/4,1%16,0%4>, out C: i32[M,20]) where M in 0..20 {\n"
                           "  temp acc: i32[M,20]\n"
                           "  init: for m: M, n: 20 { acc[m,n] = 0 }\n"
                           "  upd: for m: M, n: 20, k: 24 reduce { accum add acc[m,n] <- A[m,k]*B[k,n] }\n"
                           "  epi: for m: M, n: 20 { C[m,n] = acc[m,n] }\n"
                           "  schedule {\n    split ms of m 4 rest 1\n    split ns of n 16\n    split ks of k 4\n"
                           "    init: ns.0 par ms.0 ms.1 unroll ns.1 vec\n    upd: ns.0 par ms.0 | ks.0 ms.1 unroll ns.1 vec ks.1 dot\n    "
                           "epi: ns.0 par ms.0 | ms.1 unroll ns.1 vec\n    store acc reg depth 2\n  }\n}\n";
static const char nibbles[] =
    "kernel nibbles(in A: i4[N,32], in S: f32[N], out C: f32[N,32], out P: u4[N,32], out Q: u2[N,20]) where N in 0..20 {\n"
    "  s: for i: N, j: 32 { C[i,j] = i2f.f32(A[i,j])*S[i] }\n"
    "  p: for a: N, b: 32 { P[a,b] = and(A[a,b], 15) }\n"
    "  q: for c: N, d: 20 { Q[c,d] = and(A[c,31 - d], 3) }\n"
    "  schedule {\n    split is of i\n    split js of j 16\n    split as of a\n    split bs of b 16\n    split cs of c\n    split ds of d "
    "16\n"
    "    s: is par js.0 js.1 vec\n    p: as par bs.0 bs.1 vec\n    q: cs par ds.0 ds.1 vec\n  }\n}\n";
static const char masked[] =
    "kernel masked(in A: f32[N], in B: bool[N], in H: f16[N], inout C: f32[N], out D: f16[N]) where N in 0..100 {\n"
    "  s: for i: N { C[i]{if B[i]} = A[i]{if B[i], else 5.0} + H[i] }\n"
    "  d: for j: N { D[j] = A[j]*0.5 }\n"
    "  schedule {\n    split is of i 16\n    split js of j 16\n    s: is.0 par is.1 vec\n    d: js.0 par js.1 vec\n  }\n}\n";
static const char sums[] =
    "kernel sums(in A: f32[R,N], out Y: f32[R,N], out Z: f32[R,N]) where N in 0..100, R in 0..9 {\n"
    "  temp m: f32[R]\n"
    "  i: for r: R { m[r] = -inf }\n"
    "  u: for r: R, j: N reduce { accum max m[r] <- A[r,j] }\n"
    "  y: for r: R, j2: N { Y[r,j2] = A[r,j2] - m[r] }\n"
    "  z: for q: R, p: N ordered { Z[q,p] = A[q,p] + Z[q,p - 1]{p - 1} }\n"
    "  schedule {\n    split rs of r\n    split js of j\n    split ks of j2 16\n    split qs of q\n    split ps of p\n"
    "    i: rs par\n    u: rs par | js\n    y: rs par | ks.0 ks.1 vec\n    z: qs par ps\n    store m stack depth 1\n  }\n}\n";
static const char phases[] = "kernel phases(in A: f32[N], out Y: f32[N]) where N in 1..200 {\n"
                             "  temp t: f32[N]\n  temp s: f32[]\n"
                             "  a: for i: N { t[i] = A[i]*A[i] }\n"
                             "  z: { s[] = -0.0 }\n"
                             "  b: for j: N reduce { accum add s[] <- t[N - 1 - j] }\n"
                             "  c: for k: N { Y[k] = t[k] - s[] }\n"
                             "  schedule {\n    split is of i 16\n    split js of j\n    split ks of k 8\n"
                             "    a: is.0 par is.1 vec\n    z:\n    b: js\n    c: ks.0 par ks.1 vec\n  }\n}\n";
static const char windows[] =
    "kernel windows(in A: f32[N,M], out Y: f32[N/2,M/3], out I: i64[N/2,M/3]) where M in 3..70, N in 2..20 {\n"
    "  i: for a: N/2, b: M/3 { Y[a,b] = -inf }\n"
    "  u: for a: N/2, b: M/3, p: 2 reduce, q: 3 reduce { accum max Y[a,b] <- A[2*a + p,3*b + q] }\n"
    "  x: for c: N/2, d: M/3 { I[c,d] = sel(c + d - 5, ix.i64(c*M + 7*d), ix.i64((d*d + 3)/(c + 1))) }\n"
    "  schedule {\n    split as of a\n    split bs of b 16\n    split ps of p\n    split qs of q\n    split cs of c\n    split ds of d 16\n"
    "    i: as par bs.0 bs.1 vec\n    u: as par bs.0 | ps qs unroll bs.1 vec\n    x: cs par ds.0 ds.1 vec\n  }\n}\n";

static const Case cases[] = {
    {gemm, {{0}, {7}, {29}, {-1}}},
    {odd_vec, {{0}, {13}, {700}, {-1}}},
    {transposed, {{5, 19}, {33, 40}, {-1}}},
    {scattered, {{5, 19}, {33, 40}, {-1}}},
    {network, {{0}, {-1}}},
    {strided, {{0}, {5}, {131}, {-1}}},
    {gather, {{37, 20, 50}, {1, 3, 1}, {0, 0, 5}, {-1}}},
    {gather_lanes, {{37, 50}, {16, 3}, {-1}}},
    {conv, {{1}, {7}, {-1}}},
    {dots, {{0}, {11}, {-1}}},
    {nibbles, {{1}, {11}, {-1}}},
    {masked, {{1}, {16}, {83}, {-1}}},
    {sums, {{0, 3}, {5, 3}, {70, 9}, {-1}}},
    {phases, {{1}, {16}, {183}, {-1}}},
    {windows, {{3, 2}, {70, 15}, {-1}}},
};
enum { CASES = sizeof cases / sizeof *cases };

static uint64_t seed = 1;
static uint64_t next(void) {
  seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
  return seed * 0x2545f4914f6cdd1d;
}

static Tensor *contents(const Buf *b, int64_t limit) { // small integers; indices of `limit` elements, some of them wrong
  int64_t n = ix_eval(buf_size(b));
  Tensor *t = tensor_new(b->dtype, 1, &n, NULL);
  for (int64_t i = 0; i < n; i++)
    if (b->dtype == DT_BOOL) tensor_set_int(t, i, (int64_t)(next() & 1));
    else if (limit) tensor_set_int(t, i, (int64_t)(next() % (uint64_t)limit) + (next() % 16 == 0 ? limit : 0));
    else if (dtypes[b->dtype].is_float) tensor_set_float(t, i, (double)(next() % 17) - 8);
    else tensor_set_int(t, i, (int64_t)(next() % 256));
  if (b->lay && dtypes[b->dtype].is_float) // pad cells hold zeros; nobody may see them, so any finite value does
    return t;
  return t;
}

typedef struct Run {
  Kernel *k;
  int params;
  Tensor *t[MAX_BUFS];
  bool ok;
  EvalFault fault;
} Run;

static void *copy_of(const Tensor *t) {
  char *p = mem((size_t)t->bytes + 64);
  memcpy(p, t->data, (size_t)t->bytes);
  return p;
}
static void compare(const Run *r, void *const *got, bool ok, EvalFault fault, const char *how) {
  assert_int_equal(ok, r->ok);
  if (!ok) {
    if (fault.site != r->fault.site || fault.pos != r->fault.pos || fault.value != r->fault.value)
      fail_msg("%s, %s: fault at %lld, not %lld", r->k->name, how, (long long)fault.pos, (long long)r->fault.pos);
    return;
  }
  for (int i = 0; i < r->params; i++)
    if (r->k->buf[i]->kind == BUF_OUT || r->k->buf[i]->kind == BUF_INOUT)
      for (int64_t b = 0; b < r->t[i]->bytes; b++)
        if (((const uint8_t *)got[i])[b] != ((const uint8_t *)r->t[i]->data)[b])
          fail_msg("%s, %s: byte %lld of %lld of %s differs", r->k->name, how, (long long)b, (long long)r->t[i]->bytes, r->k->buf[i]->name);
}

static void run_case(const Case *c, const Target *target) {
  Kernel *k = kernel_parse(c->text, strlen(c->text), "case");
  Run r = {.k = k, .params = kernel_params(k)};
  kernel_symbols(k);
  Kernel *stages = kernel_parse(c->text, strlen(c->text), "case"); // stays unbuilt
  kernel_symbols(stages);
  kernel_build(k);
  Loaded *code[2] = {llvm_load_kernel(k, target, 2), llvm_load_kernel(k, target, 0)};
  for (int row = 0; row < 4 && c->sym[row][0] >= 0; row++) {
    void *before[MAX_BUFS], *work[MAX_BUFS];
    for (int i = 0; i < k->nsym; i++) k->sym[i]->val = stages->sym[i]->val = c->sym[row][i];
    int64_t limit = 0;
    for (int i = 0; i < k->nsym; i++)
      if (!strcmp(k->sym[i]->name, "V")) limit = k->sym[i]->val;
    for (int i = 0; i < r.params; i++) {
      r.t[i] = contents(k->buf[i], k->buf[i]->name[0] == 'I' && k->buf[i]->kind == BUF_IN ? limit : 0);
      before[i] = copy_of(r.t[i]);
      stages->buf[i]->data = (void *)r.t[i]->data;
    }
    r.ok = eval_stages(stages, &r.fault);
    for (int i = 0; i < r.params; i++) {
      Tensor was = *r.t[i];
      was.data = before[i];
      k->buf[i]->data = work[i] = copy_of(&was);
    }
    EvalFault fault = {0};
    bool ok = eval_tree(k, &fault);
    compare(&r, work, ok, fault, "tree");
    for (int v = 0; v < 4; v++) {
      for (int i = 0; i < r.params; i++) memcpy(work[i], before[i], (size_t)r.t[i]->bytes);
      fault = (EvalFault){0};
      ok = loaded_run(code[v / 2], work, c->sym[row], v & 1, &fault);
      compare(&r, work, ok, fault, fmt("%s %s, %s", target->name, v / 2 ? "plain" : "optimised", v & 1 ? "backwards" : "forwards"));
    }
  }
  loaded_close(code[0]);
  loaded_close(code[1]);
}

static void kernels(void **state) {
  (void)state;
  const char *names[] = {"x86-64-v3", "x86-64-v4", "native"};
  for (int t = 0; t < 3; t++) {
    const Target *target = target_find(names[t]);
    if (target->cpu_bits & ~target_host()->cpu_bits) continue;
    for (int i = 0; i < CASES; i++) {
      base_reset();
      target = target_find(names[t]);
      run_case(&cases[i], target);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(kernels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
