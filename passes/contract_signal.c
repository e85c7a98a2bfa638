// contract_signal.c - DFT as a contraction with a matrix of roots of unity, computed in place from the index.
#include "ir/math.h"
#include "passes/index.h"
#include <string.h>

static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static Ex *f32(DType t, double v) { return ex_f(t, v); }

static Ex *inverse_scale(Lower *L, Node *n, Fold *f, Ex *acc) {
  (void)L;
  if (!attr_int(n, "inverse")) return acc;
  return ex_op(S_div, acc, ex_ix(acc->type, ix_var_of(f->red[0])->a), NULL);
}
// cos and sin of 2 pi m / N, 0 <= m < N: the quarter turns are taken off in integers, so multiples of a quarter are exact.
static void root_of_unity(DType t, IExpr *m, IExpr *N, Ex **c, Ex **s) {
  IExpr *four = ix_scale(m, 4), *quarter = ix_div(four, N), *odd = ix_addk(ix_modk(quarter, 2), -1), *second = ix_addk(quarter, -2);
  Ex *part = ex_op(S_div, ex_ix(t, ix_sub(four, ix_mul(quarter, N))), ex_ix(t, N), NULL);
  Ex *angle = ex_op(S_mul, part, f32(t, 3.14159265358979323846 / 2), NULL), *x = ex_cos(angle), *y = ex_sin(angle);
  Ex *across = ex_sel(odd, ex_op(S_neg, y, NULL, NULL), x), *up = ex_sel(odd, x, y); // in the first half turn
  *c = ex_sel(second, ex_op(S_neg, across, NULL, NULL), across);
  *s = ex_sel(second, ex_op(S_neg, up, NULL, NULL), up);
}
// Where the transformed axis is: is[d] is 1 for the axis d and 0 for others, a constant unless only the run knows the axis.
static void axis_flags(Lower *L, Node *n, int rank, IExpr **is) {
  IExpr *a = node_in(n, 2) ? pull_scalar_index(L, n->in[2], 0) : ix(-2);
  for (int d = 0; d + 1 < rank; d++) is[d] = ix_add(ix_eq(a, ix(d)), ix_eq(a, ix(d - rank)));
}
static IExpr *chosen(int rank, IExpr *const *is, IExpr *const *of) {
  IExpr *e = ix(0);
  for (int d = 0; d + 1 < rank; d++) e = ix_add(e, ix_mul(is[d], of[d]));
  return e;
}
// X[k] = sum over n of x[n] * exp(-+ 2 pi i (k*n mod N) / N). The last axis holds real and imaginary part; a real input has extent 1
// there. Reducing k*n modulo N in integers keeps the angle exact. onesided && inverse reads the half spectrum with its mirror image.
void fold_dft(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  int rank = x->type->rank, last = rank - 1;
  DType t = dtypes[x->type->dtype].reg;
  IExpr *is[MAX_RANK], *at[MAX_RANK], *inside[2 * MAX_RANK];
  axis_flags(L, n, rank, is);
  bool inverse = attr_int(n, "inverse"), one = attr_int(n, "onesided"), real_out = ix_is(dim(n->out[0], last), 1);
  IExpr *stored = chosen(rank, is, x->type->dim), *N = stored;
  if (node_in(n, 1)) N = pull_scalar_index(L, n->in[1], 0);
  else if (one && inverse) N = chosen(rank, is, n->out[0]->type->dim);
  IExpr *k = chosen(rank, is, f->out), *i = fold_axis(f, "n", N), *from = i;
  Ex *mirror = NULL; // of the half spectrum: x[N - n] conjugated
  if (one && inverse) {
    IExpr *upper = ix_sub(i, stored); // >= 0: beyond what is stored
    from = ix_select(ix_ge0(upper), ix_sub(N, i), i);
    mirror = ex_sel(upper, f32(t, -1), f32(t, 1));
  }
  for (int d = 0; d < last; d++) {
    at[d] = ix_select(is[d], from, f->out[d]);
    inside[2 * d] = at[d], inside[2 * d + 1] = ix_addk(ix_sub(dim(x, d), at[d]), -1);
  }
  at[last] = ix(0);
  Ex *re = pull_guarded(L, x, at, 2 * last, inside, f32(t, 0)), *im = NULL;
  if (!ix_is(dim(x, last), 1)) at[last] = ix(1), im = pull_guarded(L, x, at, 2 * last, inside, f32(t, 0));
  if (im && mirror) im = ex_op(S_mul, im, mirror, NULL);
  Ex *c, *s;
  root_of_unity(t, ix_mod(ix_mul(k, i), N), N, &c, &s);
  if (!inverse) s = ex_op(S_neg, s, NULL, NULL);
  Ex *real = ex_op(S_mul, re, c, NULL), *imag = ex_op(S_mul, re, s, NULL);
  if (im) real = ex_op(S_sub, real, ex_op(S_mul, im, s, NULL), NULL), imag = ex_op(S_add, imag, ex_op(S_mul, im, c, NULL), NULL);
  f->acc = t, f->combine = C_add, f->finish = inverse_scale;
  f->term = real_out ? real : ex_sel(ix_scale(f->out[last], -1), real, imag);
}
