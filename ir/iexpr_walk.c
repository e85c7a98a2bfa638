// iexpr_walk.c - questions about an expression's atoms, substitution, evaluation. Atoms carry a stamp per walk, so shared parts are
// visited once; a walk inside a walk is allowed, it only makes the outer one look again.
#include "iexpr_internal.h"

static uint32_t stamp;
uint32_t new_stamp(void) { return ++stamp; }

bool ix_const(IExpr *e, int64_t *k) {
  if (e->n) return false;
  if (k) *k = e->k;
  return true;
}
bool ix_is(IExpr *e, int64_t k) { return e->n == 0 && e->k == k; }

static bool has(const IExpr *, const Atom *v, uint32_t);
static bool tree_has(const FTree *t, const Atom *v, uint32_t s) {
  return (t->i && has(t->i, v, s)) || (t->a && tree_has(t->a, v, s)) || (t->b && tree_has(t->b, v, s));
}

static bool atom_has(Atom *a, const Atom *v, uint32_t s) {
  if (a->stamp == s || a->kind == ATOM_VAR || a->kind == ATOM_LET) return false;
  a->stamp = s;
  return (a->a && has(a->a, v, s)) || (a->b && has(a->b, v, s)) || (a->kind == ATOM_FLOAT && tree_has(a->def, v, s));
}

static bool has(const IExpr *e, const Atom *v, uint32_t s) {
  for (int i = e->n - 1; i >= 0; i--)
    for (int j = e->t[i].nfac - 1; j >= 0; j--) {
      Atom *a = e->t[i].fac[j];
      if (a == v) return true;
      if (a->id < v->id) break; // factors are sorted, and an atom holds only older ones
      if (atom_has(a, v, s)) return true;
    }
  return false;
}

bool ix_has(IExpr *e, Atom *v) {
  if (v->kind == ATOM_VAR && (!e->newest || e->newest->id < v->id)) return false;
  return has(e, v, new_stamp());
}

Atom *ix_is_atom(IExpr *e) { return e->n == 1 && e->k == 0 && e->t[0].coef == 1 && e->t[0].nfac == 1 ? e->t[0].fac[0] : NULL; }
Atom *ix_var_of(IExpr *e) {
  Atom *a = ix_is_atom(e);
  if (!a || a->kind != ATOM_VAR) bug("%s is not a loop variable", ix_str(e));
  return a;
}

int64_t ix_coef(IExpr *e, Atom *v, bool *affine) {
  int64_t c = 0;
  *affine = true;
  for (int i = 0; i < e->n; i++)
    if (e->t[i].nfac == 1 && e->t[i].fac[0] == v) c = e->t[i].coef;
    else if (ix_has(one_term(e->t[i]), v)) *affine = false;
  return c;
}

IExpr *ix_slope(IExpr *e, Atom *v) {
  IExpr *slope = ix(0);
  for (int i = 0; i < e->n; i++) {
    IExpr *rest = ix(e->t[i].coef);
    int n = 0;
    for (int j = 0; j < e->t[i].nfac; j++) {
      Atom *a = e->t[i].fac[j];
      if (a == v) n++;
      else if (ix_has(ix_atom(a), v)) return NULL;
      else rest = ix_mul(rest, ix_atom(a));
    }
    if (n > 1) return NULL;
    if (n) slope = ix_add(slope, rest);
  }
  return slope;
}

static void tree_atoms(FTree *, void (*f)(Atom *, void *), void *, uint32_t);
static void walk(IExpr *e, void (*f)(Atom *, void *), void *u, uint32_t s) {
  for (int i = 0; i < e->n; i++)
    for (int j = 0; j < e->t[i].nfac; j++) {
      Atom *a = e->t[i].fac[j];
      if (a->stamp == s) continue;
      a->stamp = s;
      bool inside = a->kind != ATOM_VAR && a->kind != ATOM_LET;
      if (inside && a->a) walk(a->a, f, u, s);
      if (inside && a->b) walk(a->b, f, u, s);
      if (a->kind == ATOM_FLOAT) tree_atoms(a->def, f, u, s);
      f(a, u);
    }
}
static void tree_atoms(FTree *t, void (*f)(Atom *, void *), void *u, uint32_t s) {
  if (t->i) walk(t->i, f, u, s);
  if (t->a) tree_atoms(t->a, f, u, s);
  if (t->b) tree_atoms(t->b, f, u, s);
}
void ix_atoms(IExpr *e, void (*f)(Atom *, void *u), void *u) { walk(e, f, u, new_stamp()); }

static int tree_size(const FTree *t) {
  return 1 + (t->i ? ix_size(t->i) : 0) + (t->a ? tree_size(t->a) : 0) + (t->b ? tree_size(t->b) : 0);
}
int ix_size(IExpr *e) {
  int n = e->n;
  for (int i = 0; i < e->n && n < 1 << 20; i++)
    for (int j = 0; j < e->t[i].nfac; j++) {
      Atom *a = e->t[i].fac[j];
      n++;
      if (a->kind == ATOM_VAR || a->kind == ATOM_LET) continue;
      if (a->kind == ATOM_FLOAT) n += tree_size(a->def);
      if (a->a) n += ix_size(a->a);
      if (a->b) n += ix_size(a->b);
    }
  return n;
}

/* ---- rewriting ---- */

typedef struct Mapping {
  IExpr *(*f)(Atom *, void *);
  void *u;
  uint32_t stamp;
  int oldest; // atoms older than this cannot change
} Mapping;
static IExpr *map(IExpr *, const Mapping *);

static FTree *map_tree(FTree *t, const Mapping *m) {
  if (t->op == FT_INT) return ft_int(t->f64, map(t->i, m));
  return t->a ? ft_op(t->op, t->f64, map_tree(t->a, m), t->b ? map_tree(t->b, m) : NULL) : t;
}

static IExpr *map_atom(Atom *a, const Mapping *m) {
  if (a->id < m->oldest) return ix_atom(a);
  if (a->stamp == m->stamp) return a->memo;
  IExpr *r = NULL;
  if (a->kind == ATOM_SYM || a->kind == ATOM_VAR || a->kind == ATOM_LET || a->kind == ATOM_FLOAT) r = m->f(a, m->u);
  else r = rebuild_atom(a, map(a->a, m), a->b ? map(a->b, m) : NULL);
  if (!r && a->kind == ATOM_FLOAT) r = ix_float(map_tree(a->def, m));
  if (!r) r = ix_atom(a);
  a->stamp = m->stamp;
  return a->memo = r;
}

static IExpr *map(IExpr *e, const Mapping *m) {
  bool same = true;
  for (int i = 0; i < e->n; i++)
    for (int j = 0; j < e->t[i].nfac; j++) same &= map_atom(e->t[i].fac[j], m) == ix_atom(e->t[i].fac[j]);
  if (same) return e;
  IExpr *out = ix(e->k);
  for (int i = 0; i < e->n; i++) {
    IExpr *p = ix(1);
    for (int j = 0; j < e->t[i].nfac; j++) p = ix_mul(p, map_atom(e->t[i].fac[j], m));
    out = axpy(out, e->t[i].coef, p);
  }
  return out;
}

IExpr *ix_map(IExpr *e, IExpr *(*f)(Atom *, void *u), void *u) { return map(e, &(Mapping){f, u, new_stamp(), 0}); }

typedef struct Pairs {
  int n;
  Atom *const *v;
  IExpr *const *by;
} Pairs;
static IExpr *pick(Atom *a, void *u) {
  Pairs *p = u;
  for (int i = 0; i < p->n; i++)
    if (p->v[i] == a) return p->by[i];
  return NULL;
}
IExpr *ix_subst(IExpr *e, int n, Atom *const *v, IExpr *const *by) {
  int oldest = INT32_MAX;
  for (int i = 0; i < n; i++) oldest = v[i]->id < oldest ? v[i]->id : oldest;
  return n ? map(e, &(Mapping){pick, &(Pairs){n, v, by}, new_stamp(), oldest}) : e;
}

/* ---- evaluating ---- */

static int64_t eval_atom(Atom *a) {
  switch (a->kind) {
  case ATOM_SYM: return a->def ? ix_eval(a->def) : a->val;
  case ATOM_VAR:
  case ATOM_LET: return a->val;
  case ATOM_DIV: return floor_div(ix_eval(a->a), ix_eval(a->b));
  case ATOM_GE0: return ix_eval(a->a) >= 0;
  case ATOM_FLOAT: {
    double d = ft_eval(a->def);
    return d >= 0x1p62 ? IX_INF : d > -0x1p62 ? (int64_t)d : -IX_INF; // NaN: none of these is right, the least one is taken
  }
  case ATOM_RELU: {
    int64_t d = ix_eval(a->a);
    return d > 0 ? d : 0;
  }
  case ATOM_BCAST: {
    int64_t d = ix_eval(a->a);
    return d == 1 ? ix_eval(a->b) : d;
  }
  }
  return 0;
}

int64_t ix_eval(IExpr *e) {
  __int128 sum = e->k;
  for (int i = 0; i < e->n; i++) {
    __int128 p = e->t[i].coef;
    for (int j = 0; j < e->t[i].nfac; j++) p = (__int128)saturate(p) * eval_atom(e->t[i].fac[j]);
    sum += saturate(p);
  }
  return saturate(sum);
}
