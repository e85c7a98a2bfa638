// iexpr_facts.c - facts: a == b and e >= 0, found by infer. An equality is solved for a symbol that occurs linearly (symbols made by infer
// before the model's own, then the newest), else for a quotient; ix_resolve applies the solutions. An inequality narrows the range of
// its only symbol. ix_facts_save/restore bracket what holds only inside a region.
//
// When a range changes all cheap ranges are computed again, in order of creation, so an operand comes before its user. Narrowing only
// sharpens; restoring undoes it exactly for what existed at the save, and computes what was made since anew.
#include "iexpr_internal.h"
#include <string.h>

typedef enum Change { SOLVED, RANGE, EXPR_RANGE, KNOWN } Change;
typedef struct Undo {
  Change what;
  Atom *atom;
  IExpr *expr;
  int64_t lo, hi;
} Undo;
static Undo *trail; // what restore undoes, newest last
static int ntrail, ctrail, facts;
static int nsolved, narrowed;
enum { REFRESH_MAX = 500 }; // narrowings that sharpen other ranges at once; further ones only miss that

static void reset(void) {
  trail = NULL, ntrail = ctrail = facts = 0;
  nsolved = narrowed = 0;
}

static void log_change(Undo u) {
  at_reset(reset);
  PUSH(trail, ntrail, ctrail, u);
}

/* ---- ranges ---- */

static void set_range(Atom *a, int64_t lo, int64_t hi) {
  if (a->lo == lo && a->hi == hi) return;
  log_change((Undo){.what = RANGE, .atom = a, .lo = a->lo, .hi = a->hi});
  a->lo = lo, a->hi = hi;
}

static void refresh_expr(IExpr *e, bool widen) {
  int64_t lo = e->lo, hi = e->hi;
  cheap_range(e);
  if (widen) return;
  if (lo > e->lo) e->lo = lo;
  if (hi < e->hi) e->hi = hi;
  if (e->lo != lo || e->hi != hi) log_change((Undo){.what = EXPR_RANGE, .expr = e, .lo = lo, .hi = hi});
}

static void refresh_atom(Atom *a, bool widen) {
  int64_t lo = a->lo, hi = a->hi;
  if (a->kind == ATOM_VAR) a->lo = 0, a->hi = a->a->hi >= IX_INF ? IX_INF : a->a->hi > 0 ? a->a->hi - 1 : 0;
  else if (a->kind == ATOM_SYM && a->def) a->lo = ((IExpr *)a->def)->lo, a->hi = ((IExpr *)a->def)->hi;
  else if (a->kind == ATOM_SYM || a->kind == ATOM_LET || a->kind == ATOM_FLOAT) return;
  else atom_range(a);
  if (widen) return;
  int64_t l = a->lo > lo ? a->lo : lo, h = a->hi < hi ? a->hi : hi;
  a->lo = lo, a->hi = hi;
  set_range(a, l, h);
}

// All from the given positions on. widen: what is known now may be wrong, forget it first.
static void refresh(int expr, int atom, bool widen) {
  ix_epoch++;
  while (expr < ix_nall || atom < ix_natoms) {
    bool is_expr = atom >= ix_natoms || (expr < ix_nall && ix_all[expr]->id < ix_atoms_all[atom]->id);
    if (is_expr) refresh_expr(ix_all[expr++], widen);
    else refresh_atom(ix_atoms_all[atom++], widen);
  }
}

void ix_narrow(Atom *a, int64_t lo, int64_t hi) {
  if (lo < a->lo) lo = a->lo;
  if (hi > a->hi) hi = a->hi;
  if (lo > hi)
    fail(EXIT_INVALID, "shape.range", NOWHERE, "'%s' can have no value: its range would be %lld..%lld", a->name, (long long)lo,
         (long long)hi);
  if (lo == a->lo && hi == a->hi) return;
  set_range(a, lo, hi);
  facts++;
  if (narrowed++ > REFRESH_MAX) return;
  int first = 0; // expressions older than the atom do not hold it
  while (first < ix_nall && ix_all[first]->id < a->id) first++;
  int at = 0;
  while (at < ix_natoms && ix_atoms_all[at]->id <= a->id) at++;
  refresh(first, at, false);
}

/* ---- what is recorded ---- */

static bool record(IExpr *e, uint8_t as) {
  if (e->fact & as) return false;
  log_change((Undo){.what = KNOWN, .expr = e, .lo = as});
  e->fact |= as;
  facts++;
  return true;
}

static void solve(Atom *a, IExpr *by) {
  log_change((Undo){.what = SOLVED, .atom = a, .expr = a->is});
  nsolved++;
  a->is = by;
  facts++;
}

/* ---- solving ---- */

static IExpr *solution(Atom *a, void *u) {
  (void)u;
  return a->is ? ix_resolve(a->is) : NULL;
}

static void see_solved(Atom *a, void *u) {
  if (a->is) *(bool *)u = true;
}
static bool may_change(IExpr *e) { // does a solved atom occur?
  bool found = false;
  if (nsolved) ix_atoms(e, see_solved, &found);
  return found;
}

static IExpr *resolve_quotients(IExpr *e);
static IExpr *resolve_atom(Atom *a) {
  if (a->kind == ATOM_DIV && a->is) return ix_resolve(a->is);
  if (!a->a || a->kind == ATOM_VAR || a->kind == ATOM_LET) return ix_atom(a);
  return rebuild_atom(a, resolve_quotients(a->a), a->b ? resolve_quotients(a->b) : NULL);
}
static IExpr *resolve_quotients(IExpr *e) {
  IExpr *out = ix(e->k);
  for (int i = 0; i < e->n; i++) {
    IExpr *t = ix(e->t[i].coef);
    for (int j = 0; j < e->t[i].nfac; j++) t = ix_mul(t, resolve_atom(e->t[i].fac[j]));
    out = ix_add(out, t);
  }
  return out;
}

// A solution holds no solved atom when it is made, but simplification may bring an older one back: hence the limits.
IExpr *ix_resolve(IExpr *e) {
  static int depth;
  if (depth > 40) return e;
  depth++;
  for (int i = 0; i < 8 && may_change(e); i++) {
    IExpr *before = e;
    e = resolve_quotients(ix_map(e, solution, NULL));
    if (e == before) break;
  }
  depth--;
  return e;
}

// Is a better to be solved for than b?
static bool better(const Atom *a, const Atom *b) {
  if (!b) return true;
  if ((a->kind == ATOM_SYM) != (b->kind == ATOM_SYM)) return a->kind == ATOM_SYM;
  if (a->derived != b->derived) return a->derived;
  if (a->kind == ATOM_DIV) {
    int x = ix_size(a->a), y = ix_size(b->a);
    if (x != y) return x > y;
  }
  return a->id > b->id;
}

// x == c*(x/c): x is c*y for a new symbol y, which names the quotient
static bool divides(const Term *t, IExpr *rest) {
  int64_t c;
  Atom *x = t->fac[0];
  if (rest->n != 1 || rest->k || rest->t[0].nfac != 1 || !divisor(rest->t[0].fac[0], &c)) return false;
  Atom *q = rest->t[0].fac[0];
  if (rest->t[0].coef != c || ix_is_atom(q->a) != x) return false;
  Sym name = sym_fmt("%s/%lld", x->name, (long long)c);
  Atom *y = ix_is_atom(ix_sym(name, x->lo > 0 ? (x->lo + c - 1) / c : 0, x->hi >= IX_INF ? IX_INF : x->hi / c));
  if (!y->def) y->def = ix_atom(q);
  solve(x, ix_scale(ix_atom(y), c));
  return true;
}

static bool solvable(const Atom *a) { return a->kind == ATOM_DIV || (a->kind == ATOM_SYM && !a->def && a->name[0] != '\1'); }

// Narrows what an atom now stands for: the symbol's range goes over to the only symbol of its value.
static void inherit(Atom *a, IExpr *by) {
  if (a->kind != ATOM_SYM) return;
  ix_require_ge0(ix_addk(by, -a->lo));
  if (a->hi < IX_INF) ix_require_ge0(ix_sub(ix(a->hi), by));
}

static bool solve_linear(IExpr *d) {
  const Term *best = NULL;
  for (int i = 0; i < d->n; i++) {
    const Term *t = &d->t[i];
    if (t->nfac != 1 || (t->coef != 1 && t->coef != -1) || !solvable(t->fac[0])) continue;
    IExpr *rest = ix_scale(axpy(d, -t->coef, ix_atom(t->fac[0])), -t->coef);
    if (t->fac[0]->kind == ATOM_SYM && divides(t, rest)) return true;
    if (!ix_has(rest, t->fac[0]) && better(t->fac[0], best ? best->fac[0] : NULL)) best = t;
  }
  if (!best) return false;
  Atom *a = best->fac[0];
  IExpr *by = ix_scale(axpy(d, -best->coef, ix_atom(a)), -best->coef);
  solve(a, by);
  inherit(a, by);
  return true;
}

// relu(x) == 0 says x <= 0, relu(x) == x says x >= 0. -1, 0, 1 as ix_require; -2: the fact is not of this form.
static int clamp_fact(IExpr *d) {
  for (int i = 0; i < d->n; i++) {
    const Term *t = &d->t[i];
    if (t->nfac != 1 || t->fac[0]->kind != ATOM_RELU) continue;
    IExpr *x = t->fac[0]->a, *rest = axpy(d, -t->coef, ix_atom(t->fac[0]));
    if (rest->n == 0 && rest->k == 0) return ix_require_ge0(ix_scale(x, -1));
    IExpr *same = axpy(rest, t->coef, x);
    if (same->n == 0 && same->k == 0) return ix_require_ge0(x);
  }
  return -2;
}

int ix_require_eq(IExpr *a, IExpr *b) {
  at_reset(reset);
  IExpr *d = ix_sub(ix_resolve(a), ix_resolve(b));
  if (d->n == 0 && d->k == 0) return 0;
  if (ix_differ(d, ix(0))) return -1;
  int r = clamp_fact(d);
  if (r != -2) return r;
  if (!record(d, 1)) return 0;
  solve_linear(d);
  return 1;
}

/* ---- inequalities ---- */

typedef struct Only {
  Atom *symbol;
  int count, others;
} Only;
static void see(Atom *a, void *u) {
  Only *o = u;
  if (a->kind == ATOM_SYM) o->symbol = a, o->count++;
  else if (a->kind != ATOM_DIV && a->kind != ATOM_RELU) o->others++;
}

// c*s + k >= 0 bounds s at once.
static bool narrow_linear(IExpr *e) {
  if (e->n != 1 || e->t[0].nfac != 1 || e->t[0].fac[0]->kind != ATOM_SYM) return false;
  Atom *s = e->t[0].fac[0];
  int64_t c = e->t[0].coef;
  if (c > 0) ix_narrow(s, -floor_div(e->k, c), IX_INF);
  else ix_narrow(s, -IX_INF, floor_div(e->k, -c));
  return true;
}

// A monotone expression of one symbol: its lower bound is the first value that satisfies it.
static void narrow_monotone(IExpr *e) {
  Only o = {0};
  ix_atoms(e, see, &o);
  for (int i = 0; i < e->n; i++)
    if (e->t[i].coef < 0) return;
  if (o.count != 1 || o.others || o.symbol->lo <= -IX_INF) return;
  int64_t keep = o.symbol->val, lo = o.symbol->lo, v = lo;
  for (; v < lo + 4096; v++) {
    o.symbol->val = v;
    if (ix_eval(e) >= 0) break;
  }
  o.symbol->val = keep;
  if (v > lo && v < lo + 4096 && v <= o.symbol->hi) ix_narrow(o.symbol, v, IX_INF);
}

int ix_require_ge0(IExpr *e) {
  at_reset(reset);
  e = ix_resolve(e);
  if (ix_prove_ge0(e)) return 0;
  if (ix_upper(e) < 0) return -1;
  if (!record(e, 2)) return 0;
  if (!narrow_linear(e)) narrow_monotone(e);
  return 1;
}

void ix_stands_for(Atom *a, IExpr *by) {
  by = ix_resolve(by);
  if (!a->is && !ix_has(by, a)) solve(a, by);
}

int ix_facts(void) { return facts; }

/* ---- saving ---- */

typedef struct Saved {
  int ntrail, nexprs, natoms, facts;
} Saved;

void *ix_facts_save(void) {
  at_reset(reset);
  Saved *s = NEW(Saved);
  *s = (Saved){ntrail, ix_nall, ix_natoms, facts};
  return s;
}

static void restore(const Saved *s, bool ranges) {
  while (ntrail > s->ntrail) {
    Undo u = trail[--ntrail];
    if (u.what == SOLVED) u.atom->is = u.expr, nsolved--;
    if (u.what == RANGE) u.atom->lo = u.lo, u.atom->hi = u.hi, ranges = true;
    if (u.what == EXPR_RANGE) u.expr->lo = u.lo, u.expr->hi = u.hi, ranges = true;
    if (u.what == KNOWN) u.expr->fact &= (uint8_t)~u.lo;
  }
  facts = s->facts;
  if (ranges) refresh(s->nexprs, s->natoms, true);
}

void ix_facts_restore(void *p) { restore(p, false); }

void ix_facts_discard(void *p) {
  Saved *s = p;
  bool any = false;
  for (int i = s->natoms; i < ix_natoms; i++) {
    Atom *a = ix_atoms_all[i];
    if (a->kind != ATOM_SYM || a->def) continue;
    a->lo = -IX_INF, a->hi = IX_INF, any = true;
  }
  // undone changes of those symbols must not bring their old ranges back
  for (int i = s->ntrail; i < ntrail; i++)
    if (trail[i].what == RANGE && trail[i].atom->kind == ATOM_SYM && s->natoms < ix_natoms &&
        trail[i].atom->id >= ix_atoms_all[s->natoms]->id)
      trail[i].lo = -IX_INF, trail[i].hi = IX_INF;
  restore(s, any);
}
