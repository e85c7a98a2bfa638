// sort.c - an order of a graph's nodes in which every name is made before it is used, also when a region inside of a node uses it.
// Exporters mostly write such an order; converters that insert nodes sometimes do not. The given order is kept as far as possible.
#include "import.h"
#include <string.h>

typedef struct Sorter {
  Onnx__NodeProto **node;
  Map maker;                    // Sym -> index + 1 of the node that makes it
  int *dep, *first, ndep, cdep; // node k needs dep[first[k] .. first[k + 1])
} Sorter;

typedef struct Hidden { // names that a region makes itself
  Map name;
  const struct Hidden *outer;
} Hidden;

static bool hides(const Hidden *h, Sym s) {
  for (; h; h = h->outer)
    if (map_get(&h->name, s)) return true;
  return false;
}

static void use(Sorter *x, const char *name, const Hidden *h) {
  if (!*name) return;
  Sym s = sym(name);
  int k = (int)(uintptr_t)map_get(&x->maker, s) - 1;
  if (k >= 0 && !hides(h, s)) PUSH(x->dep, x->ndep, x->cdep, k);
}

static void hide(Hidden *h, const char *name) {
  if (name && *name) map_put(&h->name, sym(name), h);
}

static void use_node(Sorter *x, const Onnx__NodeProto *n, const Hidden *h);

static void use_region(Sorter *x, const Onnx__GraphProto *g, const Hidden *outer) {
  Hidden h = {.outer = outer};
  for (size_t k = 0; k < g->n_input; k++) hide(&h, g->input[k]->name);
  for (size_t k = 0; k < g->n_initializer; k++) hide(&h, g->initializer[k]->name);
  for (size_t k = 0; k < g->n_node; k++)
    for (size_t o = 0; o < g->node[k]->n_output; o++) hide(&h, g->node[k]->output[o]);
  for (size_t k = 0; k < g->n_node; k++) use_node(x, g->node[k], &h);
  for (size_t k = 0; k < g->n_output; k++)
    if (g->output[k]->name) use(x, g->output[k]->name, &h);
}

static void use_node(Sorter *x, const Onnx__NodeProto *n, const Hidden *h) {
  for (size_t k = 0; k < n->n_input; k++) use(x, n->input[k], h);
  for (size_t k = 0; k < n->n_attribute; k++)
    if (n->attribute[k]->g) use_region(x, n->attribute[k]->g, h);
}

static void find_makers(Sorter *x, size_t n, const Where *graph) {
  for (size_t k = 0; k < n; k++)
    for (size_t o = 0; o < x->node[k]->n_output; o++) {
      const char *name = x->node[k]->output[o];
      if (!*name) continue;
      if (map_get(&x->maker, sym(name))) {
        Where w = *graph;
        w.node = x->node[k]->name;
        w.op = x->node[k]->op_type;
        w.node_index = (int)k;
        fail(EXIT_INVALID, "graph.duplicate", &w, "'%s' is made by two nodes", name);
      }
      map_put(&x->maker, sym(name), (void *)(uintptr_t)(k + 1));
    }
}

// Depth first without recursion: a node is placed when all that it needs is.
static int *place(Sorter *x, int n, const Where *graph) {
  enum { NEW, OPEN, PLACED };
  int *order = NEWN(int, n + 1), *stack = NEWN(int, n + 1), *next = NEWN(int, n + 1), norder = 0, depth = 0;
  char *state = mem((size_t)n + 1);
  for (int root = 0; root < n; root++) {
    if (state[root]) continue;
    stack[depth++] = root;
    state[root] = OPEN;
    next[root] = x->first[root];
    while (depth) {
      int k = stack[depth - 1];
      if (next[k] == x->first[k + 1]) {
        state[k] = PLACED;
        order[norder++] = k;
        depth--;
        continue;
      }
      int d = x->dep[next[k]++];
      if (state[d] == PLACED) continue;
      if (state[d] == OPEN) {
        Where w = *graph;
        w.node = x->node[d]->name;
        w.op = x->node[d]->op_type;
        w.node_index = d;
        fail(EXIT_INVALID, "graph.cycle", &w, "the graph has a cycle through this node");
      }
      state[d] = OPEN;
      next[d] = x->first[d];
      stack[depth++] = d;
    }
  }
  return order;
}

int *sort_nodes(Onnx__NodeProto **node, size_t n, const Where *graph) {
  Sorter x = {.node = node, .first = NEWN(int, n + 1)};
  find_makers(&x, n, graph);
  for (size_t k = 0; k < n; k++) {
    x.first[k] = x.ndep;
    use_node(&x, node[k], NULL);
  }
  x.first[n] = x.ndep;
  return place(&x, (int)n, graph);
}
