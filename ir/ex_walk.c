// ex_walk.c - visiting and copying scalar expressions.
//
// A scalar expression is a DAG that reaches into indices: an index may hold a let, whose definition is again a scalar expression. A walk
// is one epoch: a node is seen once per epoch, and a let is replaced by the same new let wherever it occurs within that epoch, so sharing
// and the equality of indices (interned pointers) survive a copy. The callbacks must not start a walk of their own.
#include "kernel.h"

int ex_epoch;

typedef struct LetCopy {
  Atom *from;
  IExpr *to;
} LetCopy;
static LetCopy *let_copies; // of the current epoch
static int nlet_copies, clet_copies;

static void forget(void) { let_copies = NULL, nlet_copies = clet_copies = 0; }
static void new_epoch(void) {
  at_reset(forget);
  ex_epoch++;
  nlet_copies = 0;
}

static bool is_let(const Atom *a) { return a->kind == ATOM_LET; }
static void note_let(Atom *a, void *u) {
  if (is_let(a)) *(bool *)u = true;
}
static bool has_let(IExpr *e) {
  bool yes = false;
  ix_atoms(e, note_let, &yes);
  return yes;
}

/* ---- visiting ---- */

typedef struct Visit {
  void (*f)(Ex *, void *u);
  void *u;
} Visit;

static void visit(Ex *e, Visit *v);

static void visit_let(Atom *a, void *u) {
  if (!is_let(a) || !a->def) return;
  LetDef *d = a->def;
  visit(d->value, u);
  if (d->limit) ix_atoms(d->limit, visit_let, u);
}

static void visit(Ex *e, Visit *v) {
  if (!e || e->epoch == ex_epoch) return;
  e->epoch = ex_epoch;
  for (int i = 0; i < 3; i++) visit(e->a[i], v);
  visit(e->cond, v);
  if (e->op == S_IX) ix_atoms(e->ix[0], visit_let, v);
  for (int i = 0; e->buf && i < e->buf->rank; i++) ix_atoms(e->ix[i], visit_let, v);
  for (int i = 0; i < e->npred; i++) ix_atoms(e->pred[i], visit_let, v);
  v->f(e, v->u);
}

void ex_walk_more(Ex *e, void (*f)(Ex *, void *u), void *u) { visit(e, &(Visit){f, u}); }
void ex_walk_index(IExpr *e, void (*f)(Ex *, void *u), void *u) { ix_atoms(e, visit_let, &(Visit){f, u}); }
void ex_walk(Ex *e, void (*f)(Ex *, void *u), void *u) {
  new_epoch();
  ex_walk_more(e, f, u);
}

void stage_walk(const Stage *s, void (*f)(Ex *, void *u), void *u) {
  new_epoch();
  ex_walk_more(s->val, f, u);
  ex_walk_more(s->cond, f, u);
  for (int i = 0; i < s->out->rank; i++) ex_walk_index(s->ix[i], f, u);
  for (int i = 0; i < s->npred; i++) ex_walk_index(s->pred[i], f, u);
}

/* ---- copying ---- */

typedef struct Copy {
  Ex *(*f)(Ex *, void *u);
  void *u;
} Copy;

static Ex *copy(Ex *e, Copy *c);

static IExpr *copy_let(Atom *a, void *u) { // ix_map's question about one leaf atom
  if (!is_let(a)) return NULL;
  for (int i = 0; i < nlet_copies; i++)
    if (let_copies[i].from == a) return let_copies[i].to;
  LetDef *old = a->def, *def = NEW(LetDef);
  def->value = copy(old->value, u);
  def->limit = old->limit && has_let(old->limit) ? ix_map(old->limit, copy_let, u) : old->limit;
  def->site = old->site;
  IExpr *to = ix_let(a->name, def, a->lo, a->hi);
  PUSH(let_copies, nlet_copies, clet_copies, (LetCopy){a, to});
  return to;
}

static IExpr *copy_index(IExpr *e, Copy *c) { return has_let(e) ? ix_map(e, copy_let, c) : e; }

static Ex *copy(Ex *e, Copy *c) {
  if (!e) return NULL;
  if (e->epoch == ex_epoch) return e->v;
  Ex *r = mem_copy(e, sizeof *e);
  r->epoch = 0, r->v = NULL;
  for (int i = 0; i < 3; i++) r->a[i] = copy(e->a[i], c);
  r->cond = copy(e->cond, c);
  if (e->op == S_IX) r->ix[0] = copy_index(e->ix[0], c);
  for (int i = 0; e->buf && i < e->buf->rank; i++) r->ix[i] = copy_index(e->ix[i], c);
  if (e->npred) r->pred = mem_copy(e->pred, sizeof *e->pred * (size_t)e->npred);
  for (int i = 0; i < e->npred; i++) r->pred[i] = copy_index(e->pred[i], c);
  if (c->f) r = c->f(r, c->u);
  e->epoch = ex_epoch, e->v = r;
  return r;
}

Ex *ex_map_more(Ex *e, Ex *(*f)(Ex *, void *u), void *u) { return copy(e, &(Copy){f, u}); }
IExpr *ex_map_index(IExpr *e, Ex *(*f)(Ex *, void *u), void *u) { return copy_index(e, &(Copy){f, u}); }
Ex *ex_map(Ex *e, Ex *(*f)(Ex *, void *u), void *u) {
  new_epoch();
  return ex_map_more(e, f, u);
}

typedef struct Substitution {
  int n;
  Atom *const *v;
  IExpr *const *by;
} Substitution;

static Ex *substitute(Ex *e, void *u) {
  Substitution *s = u;
  if (e->op == S_IX) e->ix[0] = ix_subst(e->ix[0], s->n, s->v, s->by);
  for (int i = 0; e->buf && i < e->buf->rank; i++) e->ix[i] = ix_subst(e->ix[i], s->n, s->v, s->by);
  for (int i = 0; i < e->npred; i++) e->pred[i] = ix_subst(e->pred[i], s->n, s->v, s->by);
  return e;
}
Ex *ex_subst(Ex *e, int n, Atom *const *v, IExpr *const *by) { return ex_map(e, substitute, &(Substitution){n, v, by}); }
