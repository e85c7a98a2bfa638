// infer_values.c - what infer says of a model, for tests/infer.py: every value's type, known elements, symbols, requirements, as lines.
//   infer_values MODEL.onnx
#include "frontend/frontend.h"
#include "passes/infer.h"
#include "passes/passes.h"
#include <stdio.h>

static void print_value(const Value *v) {
  if (!v) return;
  printf("value\t%s\t%s", v->name ? v->name : "", type_str(v->type));
  if (v->elem && v->nelem >= 0 && v->nelem <= 64)
    for (int i = 0; i < v->nelem; i++) printf("\t%s", ix_str(v->elem[v->splat ? 0 : i]));
  printf("\n");
}

static void print_definition(Atom *a, void *u) {
  (void)u;
  if (a->kind == ATOM_SYM && a->def && a->bound != 77) {
    a->bound = 77;
    printf("let\t%s\t%s\n", ix_str(ix_atom(a)), ix_str(a->def));
    ix_atoms(a->def, print_definition, NULL);
  }
}

static void definitions(const Value *v) {
  if (!v || !v->type) return;
  if (v->type->kind == TYPE_TENSOR)
    for (int i = 0; i < v->type->rank; i++)
      if (v->type->dim[i]) ix_atoms(v->type->dim[i], print_definition, NULL);
  for (int i = 0; v->elem && i < (v->splat ? 1 : v->nelem); i++) ix_atoms(v->elem[i], print_definition, NULL);
}

static void solved(Atom *a, void *u) {
  (void)u;
  if (a->kind == ATOM_SYM && a->is) printf("solved\t%s\t%s\n", ix_str(ix_atom(a)), ix_str(ix_resolve(a->is)));
}

static void run(void *u) {
  Graph *g = import_file(u, &(ImportOptions){0});
  for (int i = 0; i < g->nin; i++)
    if (g->in[i]->type->kind == TYPE_TENSOR)
      for (int k = 0; k < g->in[i]->type->rank; k++)
        printf("input\t%s\t%d\t%s\n", g->in[i]->name, k, g->in[i]->type->dim[k] ? ix_str(g->in[i]->type->dim[k]) : "?");
  IExpr *before[4096];
  int n = 0;
  for (int i = 0; i < g->nin; i++)
    for (int k = 0; g->in[i]->type->kind == TYPE_TENSOR && k < g->in[i]->type->rank; k++)
      if (g->in[i]->type->dim[k] && n < 4096) before[n++] = g->in[i]->type->dim[k];
  pass_infer(g);
  for (int i = 0; i < n; i++) ix_atoms(before[i], solved, NULL);
  for (int i = 0; i < g->nin; i++) print_value(g->in[i]);
  for (Node *x = g->first; x; x = x->next)
    for (int i = 0; i < x->nout; i++) {
      print_value(x->out[i]);
      definitions(x->out[i]);
    }
  for (int i = 0; i < inferred.nloaded; i++)
    printf("loaded\t%s\t%s\t%d\n", ix_str(ix_atom(inferred.loaded[i].sym)),
           inferred.loaded[i].value->name ? inferred.loaded[i].value->name : "", inferred.loaded[i].index);
  for (int i = 0; i < inferred.nfresh; i++)
    printf("fresh\t%s\t%s\t%d\t%lld\t%lld\n", ix_str(ix_atom(inferred.fresh[i].sym)),
           inferred.fresh[i].value->name ? inferred.fresh[i].value->name : "", inferred.fresh[i].axis, (long long)inferred.fresh[i].sym->lo,
           (long long)inferred.fresh[i].sym->hi);
  for (int i = 0; i < inferred.nrequired; i++)
    printf("require\t%s\t%s\t%s\n", inferred.required[i].graph->parent ? "region" : "entry", ix_str(inferred.required[i].expr),
           inferred.required[i].text);
}

int main(int argc, char **argv) {
  if (argc != 2) return EXIT_USAGE;
  return protect(run, argv[1]);
}
