// rewrite.c - questions and walks for every graph -> graph pass.
#include "passes/rewrite.h"

static bool returns(const Graph *g, const Value *v) {
  for (int i = 0; i < g->nout; i++)
    if (g->out[i] == v) return true;
  for (int i = 0; i < g->nchild; i++)
    if (returns(g->child[i], v)) return true;
  return false;
}

bool is_output(const Value *v) { return returns(v->graph, v); }
bool is_const(const Value *v) { return v && v->data; }

void each_node(Graph *g, void (*f)(Node *, void *u), void *u) {
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) each_node(n->region[i], f, u);
    f(n, u);
  }
}
