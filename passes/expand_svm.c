// expand_svm.c - ai.onnx.ml: support vector machines.
//
// One decision per pair of classes i < j: kernel values times a constant matrix; positive votes for i. Probabilities couple the pairwise
// sigmoids by libsvm's iteration, with its stopping rule, because its results are what converters are checked against.
#include "passes/expand_ml.h"
#include <math.h>
#include <string.h>

/* ---- kernels ---- */
static double kernel_param(const B *b, int i, double otherwise) { // gamma, coef0, degree
  const double *p;
  return attr_floats(b->at, "kernel_params", &p) > i ? p[i] : otherwise;
}

// x [N,F], vectors [S,F] -> [N,S]
static Value *kernel(const B *b, Value *x, Value *sv) {
  double gamma = kernel_param(b, 0, 0), c = kernel_param(b, 1, 0), degree = kernel_param(b, 2, 0);
  if (attr_is(b->at, "kernel_type", "RBF")) { // sum of squared differences: the expanded square loses too many digits
    int64_t features = 1;                     // not the last axis: lanes run over the vectors
    Value *d = sub(b, unsqueeze(b, x, INTS(2)), unsqueeze(b, swap_last(b, sv), INTS(0)));
    Value *far = reduce(b, OP_ReduceSum, mul(b, d, d), 1, &features, false);
    return op1(b, OP_Exp, mul(b, far, num_like(b, far, -gamma)));
  }
  Value *dot = matmul(b, x, swap_last(b, sv));
  if (attr_is(b->at, "kernel_type", "LINEAR")) return dot;
  dot = add(b, mul(b, dot, num_like(b, dot, gamma)), num_like(b, dot, c));
  if (attr_is(b->at, "kernel_type", "SIGMOID")) return tanh_of(b, dot);
  if (attr_is(b->at, "kernel_type", "POLY")) return op2(b, OP_Pow, dot, num_like(b, dot, degree));
  cannot(b, "kernel_type '%s'", text_of(b, "kernel_type"));
}

static Value *input_rows(const B *b) {
  Value *x = cast(b, in(b, 0), DT_F32);
  return rank_of(x) == 1 ? reshape_to(b, x, INTS(1, -1)) : x;
}

static Value *matrix(const B *b, int64_t rows, int64_t columns, const double *v) {
  return floats(b, DT_F32, 2, (int64_t[]){rows, columns}, v);
}

/* ---- regression ---- */
void expand_svm_regressor(const B *b) {
  const double *coef, *sv, *rho;
  Value *x = input_rows(b), *s;
  int nc = attr_floats(b->at, "coefficients", &coef), ns = attr_floats(b->at, "support_vectors", &sv), nr = attr_floats(b->at, "rho", &rho);
  int64_t n = attr_int(b->at, "n_supports");
  if (n > 0 && (ns % n || nc != n)) cannot(b, "%d coefficients and %d numbers for %lld support vectors", nc, ns, (long long)n);
  if (n > 0) s = matmul(b, kernel(b, x, matrix(b, n, ns / n, sv)), matrix(b, n, 1, coef));
  else s = kernel(b, x, matrix(b, 1, nc, coef));
  if (nr) s = add(b, s, num(b, DT_F32, rho[0]));
  if (attr_int(b->at, "one_class")) s = where(b, op2(b, OP_Greater, s, num(b, DT_F32, 0)), num(b, DT_F32, 1), num(b, DT_F32, -1));
  give(b, 0, post_transform(b, s));
}

/* ---- classification ---- */
typedef struct Svc {
  int64_t classes, vectors, pairs;
  const int64_t *per_class;
  const double *coef, *rho;
} Svc;

// [S,pairs]: column (i,j) weighs class i's vectors by row j-1 of the coefficients and class j's by row i
static Value *pair_weights(const B *b, const Svc *m) {
  double *w = NEWN(double, m->vectors * m->pairs);
  int64_t p = 0, *first = NEWN(int64_t, m->classes + 1);
  for (int64_t c = 0; c < m->classes; c++) first[c + 1] = first[c] + m->per_class[c];
  for (int64_t i = 0; i < m->classes; i++)
    for (int64_t j = i + 1; j < m->classes; j++, p++) {
      for (int64_t v = first[i]; v < first[i + 1]; v++) w[v * m->pairs + p] = m->coef[(j - 1) * m->vectors + v];
      for (int64_t v = first[j]; v < first[j + 1]; v++) w[v * m->pairs + p] = m->coef[i * m->vectors + v];
    }
  return matrix(b, m->vectors, m->pairs, w);
}

// votes of each class: decisions > 0 times one 0/1 matrix, the others times the complement's
static Value *votes(const B *b, const Svc *m, Value *d) {
  double *for_i = NEWN(double, m->pairs * m->classes), *for_j = NEWN(double, m->pairs * m->classes);
  int64_t p = 0;
  for (int64_t i = 0; i < m->classes; i++)
    for (int64_t j = i + 1; j < m->classes; j++, p++) for_i[p * m->classes + i] = for_j[p * m->classes + j] = 1;
  Value *won = cast(b, op2(b, OP_Greater, d, num(b, DT_F32, 0)), DT_F32), *lost = sub(b, num(b, DT_F32, 1), won);
  return add(b, matmul(b, won, matrix(b, m->pairs, m->classes, for_i)), matmul(b, lost, matrix(b, m->pairs, m->classes, for_j)));
}

// d [N,pairs] -> r [N,k,k]: r[i][j] the probability of i against j, 0 on the diagonal
static Value *pair_probabilities(const B *b, const Svc *m, Value *d) {
  const double *pa, *pb;
  int64_t k = m->classes, *at = NEWN(int64_t, k *k), p = 0;
  if (attr_floats(b->at, "prob_a", &pa) != m->pairs || attr_floats(b->at, "prob_b", &pb) != m->pairs)
    cannot(b, "prob_a or prob_b has a wrong size");
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = i + 1; j < k; j++, p++) at[i * k + j] = p, at[j * k + i] = m->pairs + p;
  for (int64_t i = 0; i < k; i++) at[i * k + i] = 2 * m->pairs;
  Value *z = add(b, mul(b, d, floats(b, DT_F32, 1, &m->pairs, pa)), floats(b, DT_F32, 1, &m->pairs, pb));
  Value *one = num(b, DT_F32, 1), *r = op3(b, OP_Clip, sub(b, one, sigmoid(b, z)), num(b, DT_F32, 1e-7), num(b, DT_F32, 1 - 1e-7));
  Value *zero = mul(b, slice(b, r, 1, 0, 1), num(b, DT_F32, 0));
  Value *all = concat(b, 1, VALUES(r, sub(b, one, r), zero));
  return reshape_to(b, gather(b, all, ints(b, (int)(k * k), at), 1), INTS(0, k, k));
}

// Q of libsvm's method: off the diagonal -r[j][i] r[i][j], on it the sum of r[j][i]^2
static Value *coupling_matrix(const B *b, int64_t k, Value *r) {
  double *eye = NEWN(double, k *k);
  for (int64_t i = 0; i < k; i++) eye[i * k + i] = 1;
  int64_t axis = 1;
  Value *back = transpose(b, r, INTS(0, 2, 1)), *diagonal = reduce(b, OP_ReduceSumSquare, r, 1, &axis, false); // sum over j of r[j][i]^2
  Value *on = mul(b, unsqueeze(b, diagonal, INTS(1)), matrix(b, k, k, eye));
  return sub(b, on, mul(b, r, back));
}

static Value *cell(const B *b, Value *x, int64_t i) { return slice(b, x, 1, i, i + 1); }

// One sweep over the classes: p [N,k] and q = Q p, in place of each other as libsvm has it
static Value *coupling_sweep(const B *b, int64_t k, Value *Q, Value *p, Value *q, Value *pqp) {
  Value *one = num(b, DT_F32, 1), *two = num(b, DT_F32, 2);
  for (int64_t i = 0; i < k; i++) {
    Value *row = squeeze(b, slice(b, Q, 1, i, i + 1), 1), *qi = cell(b, q, i), *qii = cell(b, row, i);
    Value *diff = quo(b, sub(b, pqp, qi), qii), *scale = add(b, one, diff);
    double *unit = NEWN(double, k);
    unit[i] = 1;
    pqp = quo(b, quo(b, add(b, pqp, mul(b, diff, add(b, mul(b, diff, qii), mul(b, two, qi)))), scale), scale);
    p = quo(b, add(b, p, mul(b, diff, floats(b, DT_F32, 1, &k, unit))), scale);
    q = quo(b, add(b, q, mul(b, diff, row)), scale);
  }
  return p;
}

static Value *row_sum(const B *b, Value *x) {
  int64_t axis = 1;
  return reduce(b, OP_ReduceSum, x, 1, &axis, true);
}

// Loop body: (i, go, p) -> (any row unsettled, p); rows that have settled stay
static Graph *coupling_body(const B *outer, int64_t k, Value *Q, Value *p0) {
  Graph *g = graph_new(sym("coupling"), outer->g);
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  graph_input(g, NULL, type_tensor(DT_I64, 0, NULL));
  graph_input(g, NULL, type_tensor(DT_BOOL, 0, NULL));
  Value *p = graph_input(g, NULL, p0->type);
  int64_t axis = 1;
  Value *q = squeeze(b, matmul(b, Q, unsqueeze(b, p, INTS(2))), 2), *pqp = row_sum(b, mul(b, p, q));
  Value *error = reduce(b, OP_ReduceMax, op1(b, OP_Abs, sub(b, q, pqp)), 1, &axis, true);
  Value *open = op2(b, OP_GreaterOrEqual, error, num(b, DT_F32, 0.005 / (double)k));
  Node *any = start(b, OP_ReduceMax, VALUES(open), 1);
  node_set_int(any, "keepdims", 0);
  graph_output(g, finish(any));
  graph_output(g, where(b, open, coupling_sweep(b, k, Q, p, q, pqp), p));
  return g;
}

static Value *couple(const B *b, int64_t k, Value *r) {
  Value *Q = coupling_matrix(b, k, r), *p = filled(b, DT_F32, 1.0 / (double)k, join(b, VALUES(dim_of(b, r, 0), int1(b, k))));
  int64_t most = 100;
  Node *loop = start(b, OP_Loop, VALUES(graph_const_i64(b->g, 0, 1, &most), num(b, DT_BOOL, 1), p), 1);
  node_region(loop, coupling_body(b, k, Q, p));
  return finish(loop);
}

// Linear machines without support vectors: one row of coefficients per class
static void linear_machine(const B *b, Value *x, int64_t classes, const double *coef, int nc, const double *rho) {
  if (classes <= 0 || nc % classes) cannot(b, "%d coefficients for %lld classes", nc, (long long)classes);
  Value *s = kernel(b, x, matrix(b, classes, nc / classes, coef));
  if (rho) s = add(b, s, num(b, DT_F32, rho[0]));
  give(b, 0, labels(b, best_class(b, s)));
  give(b, 1, post_transform(b, s));
}

void expand_svm_classifier(const B *b) {
  const double *sv, *pa;
  Svc m = {.classes = label_count(b)};
  Value *x = input_rows(b);
  int nc = attr_floats(b->at, "coefficients", &m.coef), ns = attr_floats(b->at, "support_vectors", &sv);
  int nk = attr_ints(b->at, "vectors_per_class", &m.per_class);
  attr_floats(b->at, "rho", &m.rho);
  for (int i = 0; i < nk; i++) m.vectors += m.per_class[i];
  if (m.vectors == 0) {
    linear_machine(b, x, m.classes, m.coef, nc, m.rho);
    return;
  }
  m.pairs = m.classes * (m.classes - 1) / 2;
  if (nk != m.classes || nc != (m.classes - 1) * m.vectors || ns % m.vectors || !m.rho)
    cannot(b, "sizes of coefficients, vectors and classes differ");
  Value *kx = kernel(b, x, matrix(b, m.vectors, ns / m.vectors, sv));
  Value *d = add(b, matmul(b, kx, pair_weights(b, &m)), floats(b, DT_F32, 1, &m.pairs, m.rho));
  give(b, 0, labels(b, best_class(b, votes(b, &m, d))));
  Value *s = attr_floats(b->at, "prob_a", &pa) ? couple(b, m.classes, pair_probabilities(b, &m, d)) : d;
  if (s == d && m.classes == 2) s = concat(b, 1, VALUES(op1(b, OP_Neg, d), d));
  give(b, 1, post_transform(b, s));
}
