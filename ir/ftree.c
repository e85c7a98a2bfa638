// ftree.c - floats computed from dims: interned trees, evaluated in their own precision. Only exact integer ratios are simplified: a
// tree that is p / q with an integer polynomial p and a constant q gives floor, ceil and truncation as polynomials, which is exact
// below 2^23 (f32), and dims of a float computation do not come near that.
#include "iexpr_internal.h"
#include <math.h>
#include <string.h>

static FTree **table; // with chains; its size is a power of two, as small weights become constants here by the thousand
static size_t size;
static int count;
static void reset(void) {
  table = NULL;
  size = 0;
  count = 0;
}

static FTree **bucket(const FTree *t) {
  uint64_t c;
  memcpy(&c, &t->c, sizeof c);
  uint64_t h = (uint64_t)t->op * 31 + t->f64 + (uintptr_t)t->i / 16 + (uintptr_t)t->a / 16 * 3 + (uintptr_t)t->b / 16 * 7;
  h = (h ^ c) * 0x9e3779b97f4a7c15u;
  return &table[(h >> 32) & (size - 1)];
}

static void grow_table(void) {
  FTree **old = table;
  size_t n = size;
  size = n ? n * 4 : 1024;
  table = NEWN(FTree *, size);
  for (size_t i = 0; i < n; i++)
    for (FTree *p = old[i], *next; p; p = next) {
      FTree **s = bucket(p);
      next = p->chain;
      p->chain = *s, *s = p;
    }
}

static FTree *intern(FTree t) {
  at_reset(reset);
  if ((size_t)count >= size) grow_table();
  FTree **s = bucket(&t);
  for (FTree *p = *s; p; p = p->chain)
    if (p->op == t.op && p->f64 == t.f64 && memcmp(&p->c, &t.c, sizeof t.c) == 0 && p->i == t.i && p->a == t.a && p->b == t.b) return p;
  FTree *p = NEW(FTree);
  *p = t, p->id = ++count, p->chain = *s;
  return *s = p;
}

static double rounded(bool f64, double v) { return f64 ? v : (double)(float)v; }

FTree *ft_const(bool f64, double v) { return intern((FTree){.op = FT_CONST, .f64 = f64, .c = rounded(f64, v)}); }
FTree *ft_int(bool f64, IExpr *e) {
  int64_t k;
  return ix_const(e, &k) ? ft_const(f64, (double)k) : intern((FTree){.op = FT_INT, .f64 = f64, .i = e});
}
bool ft_is_const(const FTree *t, double *c) {
  if (t->op == FT_CONST && c) *c = t->c;
  return t->op == FT_CONST;
}

static double apply(FOp op, double a, double b) {
  switch (op) {
  case FT_ADD: return a + b;
  case FT_SUB: return a - b;
  case FT_MUL: return a * b;
  case FT_DIV: return a / b;
  case FT_MIN: return a < b || a != a ? a : b;
  case FT_MAX: return a > b || a != a ? a : b;
  case FT_NEG: return -a;
  case FT_ABS: return fabs(a);
  case FT_FLOOR: return floor(a);
  case FT_CEIL: return ceil(a);
  case FT_RINT: return rint(a);
  case FT_SQRT: return sqrt(a);
  default: return a;
  }
}

// In f32 each operation is done in double and rounded once more: for these operations that gives f32's own result.
double ft_eval(const FTree *t) {
  if (t->op == FT_CONST) return t->c;
  if (t->op == FT_INT) return rounded(t->f64, (double)ix_eval(t->i));
  return rounded(t->f64, apply(t->op, ft_eval(t->a), t->b ? ft_eval(t->b) : 0));
}

typedef struct Ratio {
  IExpr *p;
  int64_t q; // > 0; 0: not a ratio
} Ratio;

static Ratio ratio_const(double v) {
  for (int64_t d = 1; d <= 1024; d *= 2)
    if (v * (double)d == rint(v * (double)d) && fabs(v) < 1 << 23) return (Ratio){ix((int64_t)(v * (double)d)), d};
  return (Ratio){NULL, 0};
}

static Ratio ratio_div(Ratio x, Ratio y) {
  int64_t k;
  IExpr *p = ix_scale(x.p, y.q), *d = ix_scale(y.p, x.q), *q;
  if (ix_is(y.p, 0)) return (Ratio){NULL, 0};
  if ((q = exact_div(p, d))) return (Ratio){q, 1};
  if (ix_const(d, &k) && k > 0) return (Ratio){p, k};
  return (Ratio){NULL, 0};
}

static Ratio ratio(const FTree *t) {
  if (t->op == FT_CONST) return ratio_const(t->c);
  if (t->op == FT_INT) return (Ratio){t->i, 1};
  Ratio x = ratio(t->a), y = t->b ? ratio(t->b) : (Ratio){NULL, 1};
  if (!x.q || !y.q || x.q > 1 << 20 || y.q > 1 << 20) return (Ratio){NULL, 0};
  switch (t->op) {
  case FT_ADD: return (Ratio){axpy(ix_scale(x.p, y.q), x.q, y.p), x.q * y.q};
  case FT_SUB: return (Ratio){axpy(ix_scale(x.p, y.q), -x.q, y.p), x.q * y.q};
  case FT_MUL: return (Ratio){ix_mul(x.p, y.p), x.q * y.q};
  case FT_NEG: return (Ratio){ix_scale(x.p, -1), x.q};
  case FT_DIV: return ratio_div(x, y);
  case FT_FLOOR: return (Ratio){ix_divk(x.p, x.q), 1};
  case FT_CEIL: return (Ratio){ix_ceil(x.p, x.q), 1};
  case FT_CAST: return x;
  default: return (Ratio){NULL, 0};
  }
}

FTree *ft_op(FOp op, bool f64, FTree *a, FTree *b) {
  if (a->op == FT_CONST && (!b || b->op == FT_CONST)) return ft_const(f64, apply(op, a->c, b ? b->c : 0));
  if (op == FT_CAST && (a->f64 == f64)) return a;
  FTree t = {.op = op, .f64 = f64, .a = a, .b = b};
  if (op == FT_FLOOR || op == FT_CEIL) {
    Ratio r = ratio(&t);
    if (r.q) return ft_int(f64, r.p);
  }
  return intern(t);
}

IExpr *ix_float(FTree *t) {
  Ratio r = ratio(t);
  if (r.q) return ix_truncdiv(r.p, ix(r.q));
  if (t->op == FT_CONST) return ix(t->c > -0x1p62 && t->c < 0x1p62 ? (int64_t)t->c : t->c > 0 ? IX_INF : -IX_INF);
  return float_atom(t);
}
