// rewrite.c - replacing values and walking graphs, for every graph -> graph pass.
#include "passes/rewrite.h"

bool is_output(const Value *v) {
  for (int i = 0; i < v->graph->nout; i++)
    if (v->graph->out[i] == v) return true;
  return false;
}

bool is_const(const Value *v) { return v && v->data; }

Graph *graph_root(Graph *g) {
  while (g->parent) g = g->parent;
  return g;
}

void replace_value(Value *old, Value *by) {
  if (old == by) return;
  if (is_output(old) && old->name) {
    bool free_to_name = by->def && by->graph == old->graph && !is_output(by);
    if (!free_to_name) { // an input, a constant, or another output: the result needs a value of its own
      Value *own = graph_op(old->graph, old->def ? old->def : NULL, OP_Identity, old->def, VALUES(by));
      own->type = old->type;
      own->elem = old->elem, own->nelem = old->nelem, own->splat = old->splat;
      by = own;
    }
    by->name = old->name;
  }
  value_replace(old, by);
}

void each_node(Graph *g, void (*f)(Node *, void *u), void *u) {
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nregion; i++) each_node(n->region[i], f, u);
    f(n, u);
  }
}
