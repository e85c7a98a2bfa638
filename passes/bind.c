// bind.c - what the command line says about sizes: --dim narrows or fixes a symbol, --shape sets an input's dims.
//
// Before: the imported graph; inputs' types only. After: the same graph with narrower symbols. Naming a symbol or an input that is not
// there is a usage error that lists those there are.
#include "passes/passes.h"
#include <string.h>

static void list_symbol(Atom *a, void *u) {
  Text *t = u;
  if (a->kind == ATOM_SYM && (!t->p || !strstr(t->p, a->name))) put(t, "%s%s", t->n ? ", " : "", a->name);
}
static void find_symbol(Atom *a, void *u) {
  struct {
    Sym name;
    bool yes;
  } *f = u;
  f->yes |= a->kind == ATOM_SYM && a->name == f->name;
}
static void each_dim(const Graph *g, void (*f)(Atom *, void *), void *u) {
  for (int i = 0; i < g->nin; i++)
    for (int d = 0; g->in[i]->type->kind == TYPE_TENSOR && d < g->in[i]->type->rank; d++) ix_atoms(g->in[i]->type->dim[d], f, u);
}
static void bind_symbol(const Graph *g, const struct DimOption *o) {
  struct {
    Sym name;
    bool yes;
  } f = {o->name, false};
  each_dim(g, find_symbol, &f);
  if (!f.yes) {
    Text t = {0};
    each_dim(g, list_symbol, &t);
    fail(EXIT_USAGE, "option.dim", NOWHERE, "--dim: no dimension is called %s; there are: %s", o->name, t.n ? t.p : "none");
  }
  IExpr *s = ix_sym(o->name, o->lo, o->hi);
  if (o->lo == o->hi) ix_require_eq(s, ix(o->lo));
}
static void bind_shape(Graph *g, const struct ShapeOption *o) {
  for (int i = 0; i < g->nin; i++) {
    Value *v = g->in[i];
    if (v->name != o->input) continue;
    if (v->type->kind != TYPE_TENSOR || (v->type->rank >= 0 && v->type->rank != o->n))
      fail(EXIT_USAGE, "option.shape", NOWHERE, "--shape: input %s has type %s", v->name, type_str(v->type));
    IExpr *dim[MAX_RANK];
    for (int d = 0; d < o->n; d++) {
      if (o->dim[d].keep && v->type->rank < 0)
        fail(EXIT_USAGE, "option.shape", NOWHERE, "--shape: the model says nothing of %s's dims", v->name);
      dim[d] = o->dim[d].keep ? v->type->dim[d] : o->dim[d].size >= 0 ? ix(o->dim[d].size) : ix_sym(o->dim[d].name, 0, IX_DIM_MAX);
    }
    v->type = type_tensor(v->type->dtype, o->n, dim);
    return;
  }
  Text t = {0};
  for (int i = 0; i < g->nin; i++) put(&t, "%s%s", i ? ", " : "", g->in[i]->name);
  fail(EXIT_USAGE, "option.shape", NOWHERE, "--shape: no input is called %s; there are: %s", o->input, t.n ? t.p : "none");
}
void pass_bind(Graph *g, const Options *o) {
  for (int i = 0; i < o->nshape; i++) bind_shape(g, &o->shape[i]);
  for (int i = 0; i < o->ndim; i++) bind_symbol(g, &o->dim[i]);
}
