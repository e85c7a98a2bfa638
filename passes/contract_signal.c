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
// X[k] = sum over n of x[n] * exp(-+ 2 pi i (k*n mod N) / N). The last axis holds real and imaginary part; a real input has extent 1
// there. Reducing k*n modulo N in integers keeps the angle exact. onesided && inverse reads the half spectrum with its mirror image.
void fold_dft(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  int rank = x->type->rank, last = rank - 1;
  DType t = dtypes[x->type->dtype].reg;
  IExpr *ax = node_in(n, 2) ? pull_scalar_index(L, n->in[2], 0) : ix(-2);
  int64_t a;
  if (!ix_const(ax, &a)) fail(EXIT_UNSUPPORTED, "lower.axes", node_where(n), "the axis of DFT must be known when the model is compiled");
  if (a < 0) a += rank;
  bool inverse = attr_int(n, "inverse"), one = attr_int(n, "onesided"), real_out = ix_is(dim(n->out[0], last), 1);
  IExpr *N = dim(x, (int)a), *at[MAX_RANK];
  if (node_in(n, 1)) N = pull_scalar_index(L, n->in[1], 0);
  else if (one && inverse) N = dim(n->out[0], (int)a);
  IExpr *k = f->out[a], *i = fold_axis(f, "n", N);
  memcpy(at, f->out, sizeof at);
  IExpr *from = i;
  Ex *mirror = NULL; // of the half spectrum: x[N - n] conjugated
  if (one && inverse) {
    IExpr *half = dim(x, (int)a), *upper = ix_sub(i, half); // >= 0: beyond what is stored
    from = ix_select(ix_ge0(upper), ix_sub(N, i), i);
    mirror = ex_sel(upper, f32(t, -1), f32(t, 1));
  }
  at[a] = from;
  IExpr *inside[2] = {ix_addk(ix_sub(dim(x, (int)a), from), -1), from};
  at[last] = ix(0);
  Ex *re = pull_guarded(L, x, at, 2, inside, f32(t, 0)), *im = NULL;
  if (!ix_is(dim(x, last), 1)) at[last] = ix(1), im = pull_guarded(L, x, at, 2, inside, f32(t, 0));
  if (im && mirror) im = ex_op(S_mul, im, mirror, NULL);
  Ex *c, *s;
  root_of_unity(t, ix_mod(ix_mul(k, i), N), N, &c, &s);
  if (!inverse) s = ex_op(S_neg, s, NULL, NULL);
  Ex *real = ex_op(S_mul, re, c, NULL), *imag = ex_op(S_mul, re, s, NULL);
  if (im) real = ex_op(S_sub, real, ex_op(S_mul, im, s, NULL), NULL), imag = ex_op(S_add, imag, ex_op(S_mul, im, c, NULL), NULL);
  f->acc = t, f->combine = C_add, f->finish = inverse_scale;
  f->term = real_out ? real : ex_sel(ix_scale(f->out[last], -1), real, imag);
}
