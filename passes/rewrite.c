// rewrite.c - questions and walks for every graph -> graph pass.
#include "passes/rewrite.h"
#include "passes/infer.h"

static bool returns(const Graph *g, const Value *v) {
  for (int i = 0; i < g->nout; i++)
    if (g->out[i] == v) return true;
  for (int i = 0; i < g->nchild; i++)
    if (returns(g->child[i], v)) return true;
  return false;
}

bool is_output(const Value *v) { return returns(v->graph, v); }
void replace_value(Value *old, Value *by) {
  value_replace(old, by);
  for (int i = 0; i < inferred.nloaded; i++)
    if (inferred.loaded[i].value == old) inferred.loaded[i].value = by;
  for (int i = 0; i < inferred.nfresh; i++)
    if (inferred.fresh[i].value == old) inferred.fresh[i].value = by;
}

bool is_random(OpId op) {
  return op == OP_RandomNormal || op == OP_RandomNormalLike || op == OP_RandomUniform || op == OP_RandomUniformLike || op == OP_Bernoulli ||
         op == OP_Multinomial || op == OP_Dropout;
}

bool is_const(const Value *v) { return v && v->data; }

void each_node(Graph *g, void (*f)(Node *, void *u), void *u) {
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) each_node(n->region[i], f, u);
    f(n, u);
  }
}
