// contract.c - FOLDN functions of the matrix products: acc[C] += A * B.
#include "passes/index.h"
#include <math.h>
#include <string.h>

static int rank_of(const Value *v) { return v->type->rank; }
static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }

typedef struct Product {
  IExpr *a[MAX_RANK], *b[MAX_RANK], *m, *n, *k; // m, n: NULL where the operand is a vector
} Product;
// numpy.matmul's indices: A [..,M,K], B [..,K,N]; vectors lose their side.
static Product product_indices(Node *node, Value *A, Value *B, Fold *f) {
  Product p = {{0}, {0}, NULL, NULL, NULL};
  int ra = rank_of(A), rb = rank_of(B), ro = rank_of(node->out[0]);
  int nb = ro - (ra > 1) - (rb > 1); // batch dims of the result
  IExpr *const *od = node->out[0]->type->dim;
  for (int d = 0; d < ra - 2; d++) p.a[d] = broadcast_index(dim(A, d), od[nb - (ra - 2) + d], f->out[nb - (ra - 2) + d]);
  for (int d = 0; d < rb - 2; d++) p.b[d] = broadcast_index(dim(B, d), od[nb - (rb - 2) + d], f->out[nb - (rb - 2) + d]);
  IExpr *extent = dim(A, ra - 1);
  if (!ix_const(extent, NULL)) extent = dim(B, rb > 1 ? rb - 2 : 0); // equal by infer; the constant one reads better
  p.k = ix_is(extent, 1) ? ix(0) : fold_axis(f, "k", extent);
  if (ra > 1) p.a[ra - 2] = p.m = f->out[nb];
  if (rb > 1) p.b[rb - 1] = p.n = f->out[ro - 1];
  p.a[ra - 1] = p.k;
  p.b[rb > 1 ? rb - 2 : 0] = p.k;
  return p;
}
static Ex *times(Ex *a, Ex *b) { return ex_op(S_mul, a, b, NULL); }

// An operand that is another value times a constant scalar: sum (c*a)*b = c * sum a*b. The factor waits for the accumulator, where it is
// not rounded to the operand's storage type and costs no pass over the operand. Attention scales its queries and keys like that.
static double factor_of(const Node *product, int side) {
  const Value *c = product->in[side], *v = product->in[!side], *r = product->out[0];
  bool scalar = c && c->data && tensor_count(c->data) == 1 && c->type->rank <= v->type->rank;
  if (!scalar || v->data || v->type->dtype != r->type->dtype || v->type->rank != r->type->rank) return 0;
  return tensor_float(c->data, 0);
}
static Value *unscaled(const Lower *L, Value *v, double *scale) {
  if (L->opt && L->opt->math == MATH_STRICT) return v;
  if (!v->def || v->data || v->def->op->id != OP_Mul || !dtypes[v->type->dtype].is_float) return v;
  for (int side = 0; side < 2; side++) {
    double c = factor_of(v->def, side);
    if (c != 0 && isfinite(c)) return *scale *= c, v->def->in[!side];
  }
  return v;
}
// What was just cast to a half type goes into the product as it is: a chain of halves inside one kernel keeps float32.
static Ex *operand(Lower *L, Value *v, IExpr *const *idx, double *scale) {
  Ex *e = pull(L, unscaled(L, v, scale), idx);
  bool half = e->op == S_round && (e->i == DT_F16 || e->i == DT_BF16), strict = L->opt && L->opt->math == MATH_STRICT;
  return half && !strict ? e->a[0] : e;
}
static Ex *matmul_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  (void)f;
  double scale = 1;
  unscaled(L, n->in[0], &scale), unscaled(L, n->in[1], &scale);
  return scale == 1 ? acc : times(acc, ex_num(acc->type, scale));
}
void fold_matmul(Lower *L, Node *n, Fold *f) {
  double scale = 1;
  Product p = product_indices(n, n->in[0], n->in[1], f);
  f->term = times(operand(L, n->in[0], p.a, &scale), operand(L, n->in[1], p.b, &scale));
  f->acc = f->term->type, f->combine = C_add;
  f->finish = matmul_finish;
}

static Ex *gemm_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  double alpha = attr_float(n, "alpha"), beta = attr_float(n, "beta");
  bool fl = acc->type == DT_F32 || acc->type == DT_F64;
  Ex *e = alpha == 1 ? acc : times(acc, ex_num(acc->type, alpha));
  Value *c = node_in(n, 2);
  if (!c || beta == 0) return e;
  Ex *x = pull_broadcast(L, c, 2, f->out, n->out[0]->type);
  if (beta == 1) return ex_op(S_add, e, x, NULL);
  return fl ? ex_op(S_fma, x, ex_num(acc->type, beta), e) : ex_op(S_add, e, times(x, ex_num(acc->type, beta)), NULL);
}
void fold_gemm(Lower *L, Node *n, Fold *f) {
  bool ta = attr_int(n, "transA"), tb = attr_int(n, "transB");
  Value *A = n->in[0], *B = n->in[1];
  IExpr *extent = dim(B, tb ? 1 : 0), *k = ix_is(extent, 1) ? ix(0) : fold_axis(f, "k", extent);
  IExpr *a[2] = {ta ? k : f->out[0], ta ? f->out[0] : k}, *b[2] = {tb ? f->out[1] : k, tb ? k : f->out[1]};
  f->term = times(pull(L, A, a), pull(L, B, b));
  f->acc = f->term->type, f->combine = C_add;
  f->finish = gemm_finish;
  if (L->record) gemm_finish(L, n, f, f->term); // grouping wants to know of C, too
}

// Zero points: a scalar, or one per row of A (column of B).
static Ex *minus_zero(Lower *L, Ex *x, Value *zero, IExpr *i) {
  if (!zero) return x;
  IExpr *at[MAX_RANK] = {0};
  for (int d = 0; d < rank_of(zero); d++) at[d] = ix_is(dim(zero, d), 1) ? ix(0) : i;
  return ex_op(S_sub, x, pull(L, zero, at), NULL);
}
void fold_matmul_integer(Lower *L, Node *n, Fold *f) {
  Product p = product_indices(n, n->in[0], n->in[1], f);
  Ex *a = minus_zero(L, pull(L, n->in[0], p.a), node_in(n, 2), p.m ? p.m : ix(0));
  Ex *b = minus_zero(L, pull(L, n->in[1], p.b), node_in(n, 3), p.n ? p.n : ix(0));
  f->term = times(a, b);
  f->acc = f->term->type, f->combine = C_add;
}

/* ---- Einsum: one index variable per label; repeated labels take the diagonal; the ellipsis stands for the leading broadcast dims ---- */
enum { MAX_LABELS = 64 };
typedef struct Labels {
  char label[16][MAX_RANK + 1]; // per term, the labels; '.' for each dim of the ellipsis, matched from the right
  int n;                        // terms
  char out[MAX_RANK + 1];
} Labels;
static int term_labels(const char *s, size_t n, int rank, char *out,
                       int *ellipsis) { // rank -1: the result, whose ellipsis has *ellipsis dims
  int letters = 0, k = 0;
  for (size_t i = 0; i < n; i++) letters += s[i] != '.' && s[i] != ' ';
  for (size_t i = 0; i < n; i++) {
    if (s[i] == ' ') continue;
    if (s[i] != '.') {
      out[k++] = s[i];
      continue;
    }
    int dots = rank >= 0 ? rank - letters : *ellipsis;
    if (rank >= 0 && dots > *ellipsis) *ellipsis = dots;
    for (int d = 0; d < dots; d++) out[k++] = '.';
    i += 2;
  }
  out[k] = 0;
  return k;
}
static Labels parse_equation(Node *n) {
  Labels l = {.n = n->nin};
  Str eq = attr_str(n, "equation");
  const char *arrow = NULL, *s = eq.p, *end = eq.p + eq.n;
  for (const char *c = s; c + 1 < end; c++)
    if (c[0] == '-' && c[1] == '>') arrow = c;
  const char *stop = arrow ? arrow : end;
  int ellipsis = 0;
  for (int t = 0; t < n->nin; t++) {
    const char *comma = memchr(s, ',', (size_t)(stop - s)), *e = comma ? comma : stop;
    term_labels(s, (size_t)(e - s), rank_of(n->in[t]), l.label[t], &ellipsis);
    s = e + 1;
  }
  if (arrow) {
    term_labels(arrow + 2, (size_t)(end - arrow - 2), -1, l.out, &ellipsis);
    return l;
  }
  int k = 0; // implicit: the ellipsis, then the labels used once, sorted
  for (int d = 0; d < ellipsis; d++) l.out[k++] = '.';
  for (int c = 'A'; c <= 'z'; c++) {
    int uses = 0;
    for (int t = 0; t < l.n; t++)
      for (const char *p = l.label[t]; *p; p++) uses += *p == c;
    if (uses == 1) l.out[k++] = (char)c;
  }
  return l;
}
static int dots_before(const char *s, int i, bool after) {
  int n = 0;
  for (int k = after ? i + 1 : 0; after ? s[k] != 0 : k < i; k++) n += s[k] == '.';
  return n;
}
void fold_einsum(Lower *L, Node *n, Fold *f) {
  if (n->nin > 16) fail(EXIT_LIMIT, "lower.einsum", node_where(n), "Einsum of more than 16 operands");
  Labels l = parse_equation(n);
  IExpr *var[128] = {0}, *dots[MAX_RANK] = {0}, *dotdim[MAX_RANK] = {0}; // dots: counted from the right
  for (int i = 0; l.out[i]; i++) {
    if (l.out[i] == '.') dots[dots_before(l.out, i, true)] = f->out[i], dotdim[dots_before(l.out, i, true)] = n->out[0]->type->dim[i];
    else var[(int)l.out[i]] = f->out[i];
  }
  Ex *term = NULL;
  for (int pass = 0; pass < 2; pass++) // reduce variables first, in order of appearance
    for (int t = 0; t < l.n; t++) {
      IExpr *at[MAX_RANK] = {0};
      for (int i = 0; l.label[t][i]; i++) {
        int c = l.label[t][i];
        IExpr *d = dim(n->in[t], i);
        if (c == '.') {
          int p = dots_before(l.label[t], i, true);
          if (!dots[p]) dots[p] = ix_is(d, 1) ? ix(0) : fold_axis(f, "e", d), dotdim[p] = d;
          at[i] = broadcast_index(d, dotdim[p], dots[p]);
        } else {
          if (!var[c]) var[c] = ix_is(d, 1) ? ix(0) : fold_axis(f, "e", d);
          at[i] = ix_is(d, 1) ? ix(0) : var[c];
        }
      }
      if (!pass) continue;
      Ex *x = pull(L, n->in[t], at);
      term = term ? times(term, x) : x;
    }
  f->term = term, f->acc = term->type, f->combine = C_add;
}
