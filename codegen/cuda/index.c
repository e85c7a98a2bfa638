// index.c - prints index expressions as C. Loop variables and symbols are i64, narrowed to int where every part is proved to fit; the
// compiler then keeps addresses in 32 bits.
#include "cuda.h"
#include <limits.h>
#include <math.h>
#include <string.h>

const char *c_type(DType reg) {
  switch (reg) {
  case DT_F32: return "f32";
  case DT_F64: return "f64";
  case DT_I32: return "i32";
  case DT_I64: return "i64";
  default: return "bool";
  }
}

void bind_variable(Atom *a, const char *name) { a->v = (void *)(uintptr_t)name; }

static const char *atom(Cuda *c, Atom *a, bool *narrow);

static int64_t magnitude(int64_t lo, int64_t hi) {
  if (lo <= -IX_INF || hi >= IX_INF) return IX_INF;
  return -lo > hi ? -lo : hi;
}

// Does the sum of the terms, in any order, stay within an int?
static bool fits(IExpr *e) {
  __int128 sum = e->k < 0 ? -(__int128)e->k : e->k;
  for (int i = 0; i < e->n; i++) {
    __int128 p = e->t[i].coef < 0 ? -(__int128)e->t[i].coef : e->t[i].coef;
    for (int j = 0; j < e->t[i].nfac && p <= INT_MAX; j++) {
      int64_t m = magnitude(e->t[i].fac[j]->lo, e->t[i].fac[j]->hi);
      p *= m < 1 ? 1 : m;
    }
    sum += p;
    if (sum > INT_MAX) return false;
  }
  return true;
}

static void put_term(Cuda *c, Text *t, const Term *term, bool first, bool narrow) {
  int64_t k = term->coef;
  put(t, "%s", first ? (k < 0 ? "-" : "") : k < 0 ? " - " : " + ");
  if (k < 0) k = -k;
  if (k != 1) put(t, "%lld%s*", (long long)k, narrow ? "" : "LL");
  for (int j = 0; j < term->nfac; j++) {
    bool small;
    const char *s = atom(c, term->fac[j], &small);
    put(t, "%s%s%s", j ? "*" : "", narrow && !small ? "(int)" : !narrow && small && j == 0 ? "(i64)" : "", s);
  }
}

static const char *sum(Cuda *c, IExpr *e, bool *narrow) {
  *narrow = fits(e);
  if (e->n == 0) return fmt("%lld%s", (long long)e->k, *narrow ? "" : "LL");
  Text t = {0};
  bool bare = e->n == 1 && e->k == 0 && (e->t[0].nfac == 1 && e->t[0].coef == 1);
  if (!bare) put(&t, "(");
  for (int i = 0; i < e->n; i++) put_term(c, &t, &e->t[i], i == 0, *narrow);
  if (e->k) put(&t, " %c %lld", e->k < 0 ? '-' : '+', (long long)(e->k < 0 ? -e->k : e->k));
  if (!bare) put(&t, ")");
  return t.p;
}

static const char *quotient(Cuda *c, const Atom *a, bool *narrow) {
  bool na, nb;
  const char *x = sum(c, a->a, &na), *y = sum(c, a->b, &nb);
  *narrow = na && nb;
  if (ix_lower(a->a) >= 0 && ix_lower(a->b) > 0) return fmt("(%s/%s)", x, y);
  *narrow = false;
  return fmt("tn_div(%s, %s)", x, y);
}

// A tree of floats: in f64, rounded to f32 after each operation where the tree says so, as ft_eval does.
static const char *float_tree(Cuda *c, const FTree *t) {
  bool narrow;
  const char *x = t->a ? float_tree(c, t->a) : NULL, *y = t->b ? float_tree(c, t->b) : NULL, *r;
  switch (t->op) {
  case FT_CONST: return isfinite(t->c) ? fmt("%a", t->c) : isnan(t->c) ? "NAN" : t->c > 0 ? "INFINITY" : "(-INFINITY)";
  case FT_INT: r = fmt("(f64)%s", sum(c, t->i, &narrow)); break;
  case FT_ADD: r = fmt("%s + %s", x, y); break;
  case FT_SUB: r = fmt("%s - %s", x, y); break;
  case FT_MUL: r = fmt("%s * %s", x, y); break;
  case FT_DIV: r = fmt("%s / %s", x, y); break;
  case FT_MIN: r = fmt("tn_min_f64(%s, %s)", x, y); break;
  case FT_MAX: r = fmt("tn_max_f64(%s, %s)", x, y); break;
  case FT_NEG: r = fmt("-%s", x); break;
  case FT_ABS: r = fmt("fabs(%s)", x); break;
  case FT_FLOOR: r = fmt("floor(%s)", x); break;
  case FT_CEIL: r = fmt("ceil(%s)", x); break;
  case FT_RINT: r = fmt("rint(%s)", x); break;
  case FT_SQRT: r = fmt("sqrt(%s)", x); break;
  default: r = x; // FT_CAST
  }
  return t->f64 ? fmt("(%s)", r) : fmt("(f64)(f32)(%s)", r);
}

static const char *composite(Cuda *c, const Atom *a, bool *narrow) {
  bool small;
  *narrow = false;
  switch (a->kind) {
  case ATOM_DIV: return quotient(c, a, narrow);
  case ATOM_RELU: return fmt("tn_relu(%s)", sum(c, a->a, &small));
  case ATOM_GE0: *narrow = true; return fmt("(%s >= 0)", sum(c, a->a, &small));
  case ATOM_BCAST: {
    const char *x = sum(c, a->a, &small);
    return fmt("tn_bcast(%s, %s)", x, sum(c, a->b, &small));
  }
  case ATOM_FLOAT: return fmt("tn_i62(%s)", float_tree(c, a->def));
  default: bug("atom kind %d", a->kind);
  }
}

// Dims that only the run knows make indices of thousands of terms that have their parts in common: a long part is named once a statement.
static const char *named(Cuda *c, Atom *a, bool *narrow) {
  enum { LONG = 32 };
  const Printed *known = c_printed(c, a);
  if (known) return *narrow = known->narrow, known->name;
  const char *text = composite(c, a, narrow);
  if (strlen(text) < LONG) return text;
  Printed p = {.atom = a, .name = fmt("q%d", c->serial++), .narrow = *narrow};
  line(c, "const %s %s = %s;", *narrow ? "int" : "i64", p.name, text);
  PUSH(c->printed, c->nprinted, c->cprinted, p);
  return p.name;
}

static const char *atom(Cuda *c, Atom *a, bool *narrow) {
  *narrow = false;
  if (a->kind == ATOM_LET) return c_let(c, a);
  if (a->kind != ATOM_VAR && a->kind != ATOM_SYM) return named(c, a, narrow);
  if (!a->v) bug("%s %s is not bound", a->kind == ATOM_VAR ? "loop variable" : "symbol", a->name);
  *narrow = a->lo >= INT_MIN && a->hi <= INT_MAX;
  return a->v;
}

const char *c_index(Cuda *c, IExpr *e) {
  bool narrow;
  return sum(c, e, &narrow);
}
