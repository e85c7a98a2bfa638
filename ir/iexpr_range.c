// iexpr_range.c - ranges and proofs. Three strengths, each tried only where the weaker one fails:
//   cheap_range   at creation: interval arithmetic, plus grouping: k*(d - relu(d)) is k*min(d,0), q*(x - c*(x/c)) is q*[0,c-1]
//   lower         eliminates loop variables by their symbolic extents (newest first), then splits cases on relu and quotients,
//                 to a fixed depth; memoised in the expression until a range changes
//   ix_interval   symbolic bounds while one variable runs over a range
// Every bound is sound; saturated at +-IX_INF, which means none.
#include "iexpr_internal.h"
#include <stdlib.h>
#include <string.h>

typedef struct Range {
  int64_t lo, hi;
} Range;

/* ---- interval arithmetic ---- */

static Range range_mul(Range a, Range b) {
  __int128 p[4] = {(__int128)a.lo * b.lo, (__int128)a.lo * b.hi, (__int128)a.hi * b.lo, (__int128)a.hi * b.hi}, lo = p[0], hi = p[0];
  for (int i = 1; i < 4; i++) lo = p[i] < lo ? p[i] : lo, hi = p[i] > hi ? p[i] : hi;
  return (Range){saturate(lo), saturate(hi)};
}

static Range term_range(const Term *t) {
  Range r = {t->fac[0]->lo, t->fac[0]->hi};
  for (int i = 1; i < t->nfac; i++) r = range_mul(r, (Range){t->fac[i]->lo, t->fac[i]->hi});
  return t->coef == 1 ? r : range_mul(r, (Range){t->coef, t->coef});
}

// lo and hi of a sum; an unbounded term makes it unbounded, whatever the others are.
static Range sum_range(const Term *t, int n, int64_t k, Range more) {
  __int128 lo = (__int128)k + more.lo, hi = (__int128)k + more.hi;
  bool below = more.lo <= -IX_INF, above = more.hi >= IX_INF;
  for (int i = 0; i < n; i++) {
    Range r = term_range(&t[i]);
    below |= r.lo <= -IX_INF, above |= r.hi >= IX_INF;
    lo += r.lo, hi += r.hi;
  }
  return (Range){below ? -IX_INF : saturate(lo), above ? IX_INF : saturate(hi)};
}

/* ---- grouping ---- */

typedef struct Sum { // a sum that is taken apart
  Term *t;
  int n;
  int64_t k;
  Range more; // range of what was taken out already
} Sum;

static const Term *lead_of(const IExpr *x) { return &x->t[x->n - 1]; }

static const Term *find(const Sum *s, const Term *want) {
  for (int i = 0; i < s->n; i++)
    if (mono_cmp(&s->t[i], want) == 0) return &s->t[i];
  return NULL;
}

// Has the sum a term that belongs to q * x, and enough of it?
static bool holds(const Sum *s, int64_t q, const IExpr *x) {
  for (int i = 0; i < x->n; i++) {
    const Term *t = find(s, &x->t[i]);
    __int128 want = (__int128)q * x->t[i].coef;
    if (t && (want > 0) == (t->coef > 0) && (want > 0 ? t->coef >= want : t->coef <= want)) return true;
  }
  return false;
}

static bool minus(Sum *s, int64_t q, const IExpr *x) { // s -= q*x; false: overflow
  Term out[s->n + x->n];
  int64_t k;
  for (int i = 0; i < x->n; i++)
    if (__builtin_mul_overflow(q, x->t[i].coef, &k) || k > IX_INF || k < -IX_INF) return false;
  if (__builtin_mul_overflow(q, x->k, &k) || __builtin_sub_overflow(s->k, k, &k)) return false;
  s->n = merge_terms(s->t, s->n, x->t, x->n, -q, out);
  memcpy(s->t, out, sizeof *out * (size_t)s->n);
  s->k = k;
  return true;
}

// For the quotient x / c: a quotient y / b in the sum with c = b*m and x = y + b*z: then (y/b + z) - m*(x/c) is in 0..m-1. Gives
// y/b + z and m.
static IExpr *finer(const Sum *s, const Atom *a, int64_t c, int64_t k, int64_t *m) {
  for (int i = 0; i < s->n && s->t[i].nfac == 1; i++) {
    int64_t b;
    Atom *f = s->t[i].fac[0];
    if (f == a || !divisor(f, &b) || b >= c || c % b || k % (c / b) || mono_cmp(lead_of(f->a), lead_of(a->a)) != 0) continue;
    int64_t q = -(k / (c / b));
    if ((q > 0) != (s->t[i].coef > 0) || llabs(s->t[i].coef) < llabs(q)) continue;
    IExpr *z = ix_sub(a->a, f->a);
    if (content(z, true) % b) continue;
    *m = c / b;
    return ix_add(ix_atom(f), z->n || z->k ? scale_down(z, b) : z);
  }
  return NULL;
}

// Takes the term of atom a and the part of the sum that belongs to it out of the sum.
static bool group(Sum *s, Atom *a, int64_t k) {
  int64_t c = 1;
  IExpr *x = a->a;
  Range r;
  if (k == INT64_MIN) return false;
  if (a->kind == ATOM_RELU) r = (Range){x->lo < 0 ? x->lo : 0, x->hi < 0 ? x->hi : 0};
  else if (!divisor(a, &c)) return false;
  if (a->kind == ATOM_DIV) {
    bool whole = k % c == 0 && holds(s, -k / c, x);
    if (!whole && !(x = finer(s, a, c, k, &c))) return false;
    r = (Range){0, c - 1};
  }
  int64_t q = -k / c;
  if (a->kind == ATOM_RELU && !holds(s, q, x)) return false;
  IExpr *own = ix_atom(a);
  if (!minus(s, q, x) || !minus(s, k, own)) return false;
  Range part = range_mul(r, (Range){q, q});
  s->more.lo = s->more.lo <= -IX_INF || part.lo <= -IX_INF ? -IX_INF : saturate((__int128)s->more.lo + part.lo);
  s->more.hi = s->more.hi >= IX_INF || part.hi >= IX_INF ? IX_INF : saturate((__int128)s->more.hi + part.hi);
  return true;
}

static Range grouped(const IExpr *e) {
  int room = e->n;
  for (int i = 0; i < e->n && e->t[i].nfac == 1; i++)
    if (e->t[i].fac[0]->a) room += e->t[i].fac[0]->a->n + 2;
  Term t[room * 2 + 8];
  memcpy(t, e->t, sizeof *t * (size_t)e->n);
  Sum s = {t, e->n, e->k, {0, 0}};
  int before = INT32_MAX; // newest first: an atom's argument may hold older ones
  for (;;) {
    int at = -1;
    for (int i = 0; i < s.n && s.t[i].nfac == 1; i++) {
      const Atom *a = s.t[i].fac[0];
      if ((a->kind == ATOM_DIV || a->kind == ATOM_RELU) && a->id < before) at = i;
    }
    if (at < 0) return sum_range(s.t, s.n, s.k, s.more);
    before = s.t[at].fac[0]->id;
    if (s.n + s.t[at].fac[0]->a->n + 2 > room * 2 + 8) return sum_range(s.t, s.n, s.k, s.more);
    group(&s, s.t[at].fac[0], s.t[at].coef);
  }
}

void cheap_range(IExpr *e) {
  Range r = sum_range(e->t, e->n, e->k, (Range){0, 0});
  if (e->hard && e->n > 1 && e->n <= 64) {
    Range g = grouped(e);
    if (g.lo > r.lo) r.lo = g.lo;
    if (g.hi < r.hi) r.hi = g.hi;
  }
  e->lo = r.lo, e->hi = r.hi;
}

/* ---- ranges of composite atoms ---- */

static int64_t div_inf(int64_t a, int64_t b) { return a >= IX_INF || a <= -IX_INF ? a : floor_div(a, b); }

static Range div_range(Range p, Range q) {
  if (q.lo >= 1) { // monotone in p; in q it goes towards 0 or -1
    int64_t lo = p.lo >= 0 ? (q.hi >= IX_INF ? 0 : div_inf(p.lo, q.hi)) : div_inf(p.lo, q.lo);
    int64_t hi = p.hi >= 0 ? div_inf(p.hi, q.lo) : -1;
    return (Range){lo, hi};
  }
  if (q.lo >= 0) return (Range){p.lo < 0 ? p.lo : 0, p.hi > 0 ? p.hi : 0};
  int64_t m = p.hi > -p.lo ? p.hi : -p.lo;
  return (Range){-m, m};
}

void atom_range(Atom *a) {
  Range x = {a->a->lo, a->a->hi}, y = {0, 0}, r = {0, 1};
  if (a->b) y = (Range){a->b->lo, a->b->hi};
  if (a->kind == ATOM_DIV) r = div_range(x, y);
  if (a->kind == ATOM_RELU) r = (Range){x.lo > 0 ? x.lo : 0, x.hi > 0 ? x.hi : 0};
  if (a->kind == ATOM_BCAST) r = (Range){x.lo < y.lo ? x.lo : y.lo, x.hi > y.hi ? x.hi : y.hi};
  a->lo = r.lo, a->hi = r.hi;
}

/* ---- symbolic intervals ---- */

static void atom_interval(Atom *a, Atom *v, IExpr *lo, IExpr *hi, IExpr **rlo, IExpr **rhi) {
  IExpr *al, *ah;
  *rlo = ix(a->lo), *rhi = ix(a->hi);
  if (a == v) *rlo = lo, *rhi = hi;
  if (a == v || !a->a || a->kind == ATOM_BCAST || a->kind == ATOM_VAR || a->kind == ATOM_LET) return;
  if (a->kind == ATOM_DIV && (a->b->lo < 0 || ix_has(a->b, v))) return;
  ix_interval(a->a, v, lo, hi, &al, &ah); // div, relu and [>= 0] are monotone
  if (a->kind == ATOM_DIV) *rlo = ix_div(al, a->b), *rhi = ix_div(ah, a->b);
  if (a->kind == ATOM_RELU) *rlo = ix_relu(al), *rhi = ix_relu(ah);
  if (a->kind == ATOM_GE0) *rlo = ix_ge0(al), *rhi = ix_ge0(ah);
}

static void term_interval(const Term *t, Atom *v, IExpr *lo, IExpr *hi, IExpr **rlo, IExpr **rhi) {
  Atom *in = NULL;
  IExpr *rest = ix(1), *al, *ah;
  for (int i = 0; i < t->nfac; i++) {
    if (!ix_has(ix_atom(t->fac[i]), v)) rest = ix_mul(rest, ix_atom(t->fac[i]));
    else if (!in) in = t->fac[i];
    else rest = NULL;
    if (!rest) break;
  }
  if (!rest || (rest->lo < 0 && rest->hi > 0)) {
    Range r = term_range(&(Term){1, t->nfac, t->fac});
    *rlo = ix(r.lo), *rhi = ix(r.hi);
    return;
  }
  atom_interval(in, v, lo, hi, &al, &ah);
  bool flip = rest->lo < 0 || rest->hi < 0;
  *rlo = ix_mul(rest, flip ? ah : al), *rhi = ix_mul(rest, flip ? al : ah);
}

// Does e hold all of q*x that has v in it? Then q*x and its quotient or relu are bounded together.
static bool holds_all(const IExpr *e, int64_t q, const IExpr *x, Atom *v) {
  bool any = false;
  for (int i = 0; i < x->n; i++) {
    if (!ix_has(one_term(x->t[i]), v)) continue;
    const Term *t = find_mono(e, x->t[i].fac, x->t[i].nfac);
    if (!t || t->coef != q * x->t[i].coef) return false;
    any = true;
  }
  return any;
}

// e = q*(x - c*(x/c)) + rest or q*(x - relu(x)) + rest, with v in x: bounds of the bracket; NULL if there is no such part.
static Atom *bracket(IExpr *e, Atom *v, int64_t *q, int64_t *c) {
  for (int i = e->n - 1; i >= 0; i--) {
    Atom *a = e->t[i].fac[0];
    *c = 1;
    if (e->t[i].nfac > 1 || a->id < v->id || (a->kind != ATOM_RELU && !divisor(a, c)) || e->t[i].coef % *c || !ix_has(a->a, v)) continue;
    *q = -(e->t[i].coef / *c);
    if (holds_all(e, *q, a->a, v)) return a;
  }
  return NULL;
}

static void bracket_interval(Atom *a, Atom *v, int64_t c, IExpr *lo, IExpr *hi, IExpr **rlo, IExpr **rhi) {
  IExpr *xl, *xh, *zero = ix(0);
  ix_interval(a->a, v, lo, hi, &xl, &xh);
  if (a->kind == ATOM_RELU) *rlo = ix_min(xl, zero), *rhi = ix_min(xh, zero);
  else if (ix_divk(xl, c) == ix_divk(xh, c)) *rlo = ix_modk(xl, c), *rhi = ix_modk(xh, c);
  else *rlo = zero, *rhi = ix(c - 1);
}

// A constant that comes from a saturated range: scaled, it would overflow.
static bool unbounded(const IExpr *e) { return e->n == 0 && (e->k >= (int64_t)1 << 48 || e->k <= -((int64_t)1 << 48)); }

void ix_interval(IExpr *e, Atom *v, IExpr *lo, IExpr *hi, IExpr **rlo, IExpr **rhi) {
  IExpr *al, *ah;
  int64_t q, c;
  *rlo = *rhi = e;
  if (!ix_has(e, v)) return;
  Atom *a = e->hard ? bracket(e, v, &q, &c) : NULL;
  if (a) {
    IExpr *rest = axpy(axpy(e, -q, a->a), a->kind == ATOM_RELU ? q : q * c, ix_atom(a));
    ix_interval(rest, v, lo, hi, rlo, rhi);
    bracket_interval(a, v, c, lo, hi, &al, &ah);
    if (unbounded(al) || unbounded(*rlo) || unbounded(ah) || unbounded(*rhi)) *rlo = ix(-IX_INF), *rhi = ix(IX_INF);
    else *rlo = axpy(*rlo, q, q > 0 ? al : ah), *rhi = axpy(*rhi, q, q > 0 ? ah : al);
    return;
  }
  *rlo = *rhi = ix(e->k);
  for (int i = 0; i < e->n; i++) {
    IExpr *own = one_term((Term){1, e->t[i].nfac, e->t[i].fac});
    al = ah = own;
    if (ix_has(own, v)) term_interval(&e->t[i], v, lo, hi, &al, &ah);
    if (unbounded(al) || unbounded(ah)) {
      *rlo = ix(-IX_INF), *rhi = ix(IX_INF);
      return;
    }
    int64_t k = e->t[i].coef;
    *rlo = axpy(*rlo, k, k > 0 ? al : ah), *rhi = axpy(*rhi, k, k > 0 ? ah : al);
  }
}

/* ---- proved lower bounds ---- */

enum { DEPTH = 3, SPLIT_TERMS = 8 };
static int64_t lower(IExpr *e, int depth);
static int64_t max_k(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t min_k(int64_t a, int64_t b) { return a < b ? a : b; }

static IExpr *replace(IExpr *e, const Atom *a, IExpr *by) { // as a factor of e's terms
  IExpr *out = ix(e->k);
  for (int i = 0; i < e->n; i++) {
    IExpr *t = ix(e->t[i].coef);
    for (int j = 0; j < e->t[i].nfac; j++) t = ix_mul(t, e->t[i].fac[j] == a ? by : ix_atom(e->t[i].fac[j]));
    out = ix_add(out, t);
  }
  return out;
}

static bool once(const IExpr *e, const Atom *a) {
  int n = 0;
  for (int i = 0; i < e->n; i++)
    for (int j = 0; j < e->t[i].nfac; j++) n += e->t[i].fac[j] == a;
  return n == 1;
}

// The cases of one relu or quotient with coefficient k; -IX_INF if it is neither.
static int64_t split(IExpr *e, Atom *a, int64_t k, int depth) {
  int64_t c;
  IExpr *rest = axpy(e, -k, ix_atom(a));
  if (a->kind == ATOM_RELU) { // positive: either side bounds it; negative: both cases must hold
    int64_t zero = lower(replace(e, a, ix(0)), depth - 1);
    bool either = k > 0 && once(e, a);
    if (either ? zero >= 0 : zero <= -IX_INF) return zero;
    int64_t same = lower(replace(e, a, a->a), depth - 1);
    return either ? max_k(zero, same) : min_k(zero, same);
  }
  if (a->kind != ATOM_DIV) return -IX_INF;
  if (divisor(a, &c)) { // (x-c+1)/c <= floor(x/c) <= x/c, multiplied by c
    if (c > 1 << 20 || llabs(k) > 1 << 20) return -IX_INF;
    int64_t b = lower(axpy(ix_scale(rest, c), k, k > 0 ? ix_addk(a->a, 1 - c) : a->a), depth - 1);
    return b > -IX_INF ? -floor_div(-b, c) : b;
  }
  if (k < 0 && a->a->lo >= 0 && a->b->lo >= 0) return lower(axpy(rest, k, a->a), depth - 1); // x/y <= x
  return -IX_INF;
}

// Symbols of positive lower bound replaced by shadows that start at 0: proves N*S - N >= 0 for S >= 1.
static int64_t shifted(IExpr *e) {
  IExpr *s = e;
  for (int i = 0; i < e->n; i++)
    for (int j = 0; e->t[i].nfac > 1 && j < e->t[i].nfac; j++) {
      Atom *a = e->t[i].fac[j];
      if (a->kind != ATOM_SYM || a->lo <= 0 || a->lo >= IX_DIM_MAX) continue;
      Sym name = sym_fmt("\1%s'%lld'%lld", a->name, (long long)a->lo, (long long)a->hi);
      s = replace(s, a, ix_addk(ix_sym(name, 0, a->hi >= IX_INF ? IX_INF : a->hi - a->lo), a->lo));
    }
  return s == e ? -IX_INF : s->lo;
}

static IExpr *eliminate(IExpr *e) { // the newest variable
  Atom *v = e->newest;
  IExpr *lo = ix(v->lo), *hi = v->a ? ix_addk(v->a, -1) : ix(v->hi), *rlo, *rhi;
  if (v->kind == ATOM_VAR) lo = ix(0);
  ix_interval(e, v, lo, hi, &rlo, &rhi);
  return rlo;
}

static int64_t find_lower(IExpr *e, int depth) {
  int64_t best = e->lo;
  bool negative = e->k < 0 && e->hard;
  for (int i = 0; i < e->n; i++) negative |= e->t[i].coef < 0 || e->t[i].fac[0]->lo < 0;
  if (best >= 0 || !negative || !depth) return best;
  if (e->newest) best = max_k(best, lower(eliminate(e), depth));
  for (int i = e->n - 1; i >= 0 && best < 0 && e->n <= SPLIT_TERMS; i--)
    if (e->t[i].nfac == 1) best = max_k(best, split(e, e->t[i].fac[0], e->t[i].coef, depth));
  return best < 0 ? max_k(best, shifted(e)) : best;
}

static int64_t lower(IExpr *e, int depth) {
  if (e->lo >= 0 || e->n == 0) return e->lo;
  if (e->low_epoch != ix_epoch) e->low_epoch = ix_epoch, e->low_known = 0;
  if (e->low_known >> depth & 1) return e->low[depth];
  e->low_known |= 1 << depth, e->low[depth] = e->lo; // for a recursion that comes back here
  int64_t r = find_lower(e, depth);
  if (e->low_epoch != ix_epoch) return r;
  e->low_known |= 1 << depth;
  return e->low[depth] = r;
}

int64_t ix_lower(IExpr *e) {
  if (e->lo >= 0 || e->n == 0 || (e->low_epoch == ix_epoch && (e->low_known >> DEPTH & 1)))
    return e->lo >= 0 || e->n == 0 ? e->lo : e->low[DEPTH];
  jmp_buf here, *volatile outer = ix_proof;
  volatile int64_t r = e->lo;
  ix_proof = &here;
  if (_setjmp(here) == 0) r = lower(e, DEPTH);
  ix_proof = outer;
  return r;
}
int64_t ix_upper(IExpr *e) { return e->n == 0 ? e->k : -ix_lower(ix_scale(e, -1)); }
bool ix_prove_ge0(IExpr *e) { return e->lo >= 0 || (e->hi >= 0 && ix_lower(e) >= 0); }
bool ix_prove_le(IExpr *a, IExpr *b) { return a == b || ix_prove_ge0(ix_sub(b, a)); }
bool ix_differ(IExpr *a, IExpr *b) {
  if (a == b) return false;
  IExpr *d = ix_sub(a, b);
  if (d->n == 0) return d->k != 0;
  return ix_prove_ge0(ix_addk(d, -1)) || ix_prove_ge0(ix_addk(ix_scale(d, -1), -1));
}
