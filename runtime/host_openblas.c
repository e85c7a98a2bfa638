/* host_openblas.c - MatMul and Gemm of f32 and f64 by OpenBLAS, for models compiled with --gemm=openblas. An object of its own: only
   artifacts that call it link libopenblas.so.0. Operands A [..,M,K], B [..,K,N], C? that broadcasts to [M,N]; attributes transA, transB,
   alpha, beta as Gemm's. The results' bits depend on OpenBLAS's version, its threads and the CPU. */
#include "host.h"
#include <limits.h>
#include <string.h>

enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 }; /* CBLAS's numbers */
extern void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                        float beta, float *c, int ldc);
extern void cblas_dgemm(int order, int ta, int tb, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb,
                        double beta, double *c, int ldc);

typedef struct Product {
  int32_t dtype;
  bool ta, tb;
  int64_t m, n, k;
  double alpha, beta;
} Product;

/* result = alpha * A B + beta * result */
static void multiply(const Product *p, const char *a, const char *b, char *to) {
  int m = (int)p->m, n = (int)p->n, k = (int)p->k, ta = p->ta ? TRANSPOSED : AS_IS, tb = p->tb ? TRANSPOSED : AS_IS;
  int lda = p->ta ? m : k, ldb = p->tb ? k : n;
  if (p->dtype == TN_F32)
    cblas_sgemm(ROW_MAJOR, ta, tb, m, n, k, (float)p->alpha, (const float *)(const void *)a, lda, (const float *)(const void *)b, ldb,
                (float)p->beta, (float *)(void *)to, n);
  else
    cblas_dgemm(ROW_MAJOR, ta, tb, m, n, k, p->alpha, (const double *)(const void *)a, lda, (const double *)(const void *)b, ldb, p->beta,
                (double *)(void *)to, n);
}

/* A sum of nothing, whose leading dims CBLAS would refuse: only beta * C counts. */
static void scale(const Product *p, char *to, int64_t n) {
  if (!p->beta) memset(to, 0, (uint64_t)n * (p->dtype == TN_F32 ? 4 : 8));
  else if (p->dtype == TN_F32)
    for (int64_t i = 0; i < n; i++) ((float *)(void *)to)[i] *= (float)p->beta;
  else
    for (int64_t i = 0; i < n; i++) ((double *)(void *)to)[i] *= p->beta;
}

/* C's element for every element of the [M,N] result: a dim of 1, or one that is not there, repeats. */
static void spread(const Product *p, const tn_tensor *c, char *to, uint64_t size) {
  int64_t cols = c->rank > 0 ? c->dim[c->rank - 1] : 1, rows = c->rank > 1 ? c->dim[c->rank - 2] : 1;
  const char *from = c->data;
  for (int64_t i = 0; i < p->m; i++, to += (uint64_t)p->n * size) {
    const char *row = from + (uint64_t)(rows == 1 ? 0 : i * cols) * size;
    if (cols == p->n) memcpy(to, row, (uint64_t)p->n * size);
    else
      for (int64_t j = 0; j < p->n; j++) memcpy(to + (uint64_t)j * size, row, size);
  }
}

/* Which matrix of an operand goes into the result's matrix number `at`: batch dims broadcast. */
static int64_t matrix(const tn_tensor *t, const tn_tensor *out, int64_t at) {
  int64_t index = 0, step = 1;
  for (int32_t d = out->rank - 3; d >= 0; d--) {
    int64_t i = at % out->dim[d];
    int32_t own = d - out->rank + t->rank;
    at /= out->dim[d];
    if (own < 0) continue;
    if (t->dim[own] != 1) index += i * step;
    step *= t->dim[own];
  }
  return index;
}

static Product product_of(const tn_call *c, const tn_tensor *a, const tn_tensor *b) {
  Product p = {a->dtype, call_int(c, "transA", 0), call_int(c, "transB", 0), 0, 0, 0, call_float(c, "alpha", 1), 0};
  p.m = a->dim[a->rank - (p.ta ? 1 : 2)], p.k = a->dim[a->rank - (p.ta ? 2 : 1)], p.n = b->dim[b->rank - (p.tb ? 2 : 1)];
  return p;
}
/* The result's dims, which the program may not know yet: numpy.matmul's. */
static tn_tensor result_of(const Product *p, const tn_tensor *a, const tn_tensor *b) {
  tn_tensor r = {NULL, p->dtype, a->rank > b->rank ? a->rank : b->rank, {0}};
  for (int32_t d = 0; d < r.rank - 2; d++) {
    int32_t of_a = d - r.rank + a->rank, of_b = d - r.rank + b->rank;
    r.dim[d] = of_a < 0 || (of_b >= 0 && a->dim[of_a] == 1) ? b->dim[of_b] : a->dim[of_a];
  }
  r.dim[r.rank - 2] = p->m, r.dim[r.rank - 1] = p->n;
  return r;
}
/* Many matrices times one, no transposing: a single product of many rows. */
static int64_t merge_rows(Product *p, const tn_tensor *b, int64_t batch) {
  if (b->rank > 2 || p->ta || batch < 1 || p->m > INT_MAX / batch) return batch;
  p->m *= batch;
  return 1;
}

void tn_op_gemm_openblas(tn_call *call) {
  tn_tensor a, b, c, out;
  op_in(call, 0, &a), op_in(call, 1, &b);
  Product p = product_of(call, &a, &b);
  uint64_t size = p.dtype == TN_F32 ? 4 : 8;
  int64_t batch = 1;
  out = result_of(&p, &a, &b);
  char *to = op_out(call, 0, out.dtype, out.rank, out.dim);
  for (int32_t d = 0; d < out.rank - 2; d++) batch *= out.dim[d];
  if (!to || !batch || !p.m || !p.n) return;
  double beta = call_float(call, "beta", 1);
  if (beta != 0 && op_in(call, 2, &c)) p.beta = beta, spread(&p, &c, to, size);
  batch = merge_rows(&p, &b, batch);
  if (!p.k) return scale(&p, to, batch * p.m * p.n);
  for (int64_t i = 0; i < batch; i++)
    multiply(&p, (const char *)a.data + (uint64_t)(matrix(&a, &out, i) * p.m * p.k) * size,
             (const char *)b.data + (uint64_t)(matrix(&b, &out, i) * p.k * p.n) * size, to + (uint64_t)(i * p.m * p.n) * size);
}
