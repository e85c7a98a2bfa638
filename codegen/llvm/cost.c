// cost.c - what a phase costs, as an expression in its extents: the runtime wants to know whether a chunk is worth waking a helper for.
// Only the order of magnitude matters. Unit: a 1/8 ns at 3 GHz.
#include "emit.h"

typedef struct Count {
  int ops, loads, dear;
} Count;
static void count(Ex *e, void *u) {
  Count *c = u;
  if (e->op == S_LOAD) c->loads++;
  else if (e->op == S_div || e->op == S_sqrt || (e->op >= S_idiv && e->op <= S_urem)) c->dear++;
  else if (e->op > S_SEL) c->ops++;
}
static int statement_cost(const Tree *t, int64_t lanes, const Target *target) {
  Count c = {0};
  ex_walk(t->val, count, &c);
  if (t->cond) ex_walk_more(t->cond, count, &c);
  int vectors = (int)((lanes + target->lanes - 1) / target->lanes);
  int cycles = 1 + (c.ops + 1) / 2 + c.loads + 8 * c.dear;
  return (cycles * (vectors < 1 ? 1 : vectors) * 8 + 2) / 3;
}

static void newest(Atom *a, void *u) {
  Atom **best = u;
  if (a->kind == ATOM_VAR && (!*best || a->id > (*best)->id)) *best = a;
}
static IExpr *loaded(Atom *a, void *u) {
  (void)u;
  return a->kind == ATOM_LET ? ix(a->hi < 64 ? a->hi : 64) : NULL;
}
static IExpr *bounded(IExpr *e) { // without loop variables: the largest; what is loaded counts as some middling size
  IExpr *lo;
  e = ix_map(e, loaded, NULL);
  for (;;) {
    Atom *v = NULL;
    ix_atoms(e, newest, &v);
    if (!v) return e;
    ix_interval(e, v, ix(0), ix_addk(v->a, -1), &lo, &e);
  }
}

// Only as exact as a small expression can be: above that, symbols count as some middling size.
static IExpr *middling(Atom *a, void *u) {
  (void)u;
  return a->kind == ATOM_SYM ? ix(a->hi < 64 ? a->hi : a->lo > 64 ? a->lo : 64) : NULL;
}
static bool steep(const IExpr *e, int64_t most) {
  for (int i = 0; i < e->n; i++)
    if (e->t[i].coef > most || e->t[i].coef < -most) return true;
  return false;
}
static IExpr *small(IExpr *e, int size, int64_t most) {
  if (ix_size(e) > size || steep(e, most)) e = ix_map(e, middling, NULL);
  return ix_size(e) > size || ix_lower(e) > most ? ix(most) : e;
}

static IExpr *cost(const Tree *t, const Tree *end, int64_t lanes, const Target *target) {
  IExpr *sum = ix(0);
  for (; t != end; t = t->next) {
    if (t->kind == T_STMT) sum = ix_addk(sum, statement_cost(t, lanes, target));
    if (t->kind == T_WHILE) sum = ix_add(sum, ix_scale(cost(t->body, NULL, lanes, target), 16));
    if (t->kind != T_FOR) continue;
    int64_t n = 1;
    bool vec = t->map == MAP_VEC && ix_const(t->ext, &n);
    IExpr *one = cost(t->body, NULL, vec ? n : lanes, target);
    sum = small(ix_add(sum, vec ? one : ix_mul(small(bounded(t->ext), 8, 1 << 20), one)), 30, (int64_t)1 << 40);
  }
  return sum;
}

IExpr *phase_cost(const Phase *p, const Target *target) { return cost(p->first, p->end, 1, target); }
