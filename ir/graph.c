// graph.c - construction and rewriting of graph IR.
// Holds after every function here: a value's user list has one entry per operand that reads it, in any graph; a node's results point back
// to it; node lists are doubly linked. Outputs of graphs are not in user lists: value_replace and graph_uses look at them.
#include "graph.h"
#include "map.h"
#include <string.h>

static int next_id;
static void reset(void) { next_id = 0; }

static Value *value_new(Graph *g, Sym name, const Type *type) {
  at_reset(reset);
  Value *v = NEW(Value);
  v->name = name;
  v->type = type;
  v->graph = g;
  v->id = next_id++;
  return v;
}

/* ---- graphs ---- */

Graph *graph_new(Sym name, Graph *parent) {
  Graph *g = NEW(Graph);
  g->name = name;
  g->parent = parent;
  g->path = sym("");
  if (parent) {
    PUSH(parent->child, parent->nchild, parent->cchild, g);
    g->path = *parent->path ? sym_fmt("%s/%s", parent->path, name ? name : "") : name ? name : sym("");
  }
  return g;
}

Value *graph_input(Graph *g, Sym name, const Type *type) {
  Value *v = value_new(g, name, type);
  PUSH(g->in, g->nin, g->cin, v);
  return v;
}

void graph_output(Graph *g, Value *v) {
  int n = g->nout;
  PUSH(g->out, g->nout, g->cout, v);
  PUSH(g->out_name, n, g->cout_name, v->name);
}

static const Type *tensor_type(const Tensor *t) {
  IExpr *dim[MAX_RANK];
  for (int k = 0; k < t->rank; k++) dim[k] = ix(t->dim[k]);
  return type_tensor(t->dtype, t->rank, dim);
}

Value *graph_const(Graph *g, Sym name, Tensor *t) {
  Value *v = value_new(g, name, tensor_type(t));
  v->data = t;
  return v;
}

Value *graph_const_i64(Graph *g, int rank, int64_t n, const int64_t *v) {
  Tensor *t = tensor_new(DT_I64, rank, &n, NULL);
  for (int64_t k = 0; k < n; k++) tensor_set_int(t, k, v[k]);
  return graph_const(g, NULL, t);
}

Value *graph_const_float(Graph *g, DType d, double v) {
  Tensor *t = tensor_new(d, 0, NULL, NULL);
  tensor_set_float(t, 0, v);
  return graph_const(g, NULL, t);
}

/* ---- user lists ---- */

static void add_user(Value *v, Node *n) {
  if (v) PUSH(v->user, v->nuser, v->cuser, n);
}

static void drop_user(Value *v, const Node *n) {
  if (!v) return;
  for (int k = v->nuser - 1; k >= 0; k--)
    if (v->user[k] == n) {
      memmove(v->user + k, v->user + k + 1, sizeof *v->user * (size_t)(v->nuser - k - 1));
      v->nuser--;
      return;
    }
  bug("a value's user list misses node %s", n->op->name);
}

/* ---- nodes ---- */

static void link_before(Graph *g, Node *n, Node *before) {
  n->graph = g;
  n->next = before;
  n->prev = before ? before->prev : g->last;
  *(n->prev ? &n->prev->next : &g->first) = n;
  *(before ? &before->prev : &g->last) = n;
}

static void unlink_node(Node *n) {
  Graph *g = n->graph;
  *(n->prev ? &n->prev->next : &g->first) = n->next;
  *(n->next ? &n->next->prev : &g->last) = n->prev;
  n->prev = n->next = NULL;
}

Node *graph_node(Graph *g, Node *before, OpId op, Node *like, int nin, Value *const *in, int nout) {
  Node *n = NEW(Node);
  n->op = &ops[op];
  n->index = like ? like->index : -1;
  n->name = like ? like->name : NULL;
  n->path = like ? like->path : g->path;
  n->nin = nin;
  n->in = NEWN(Value *, nin);
  for (int k = 0; k < nin; k++) add_user(n->in[k] = in[k], n);
  n->nout = nout;
  n->out = NEWN(Value *, nout);
  for (int k = 0; k < nout; k++) {
    Value *v = n->out[k] = value_new(g, NULL, NULL);
    v->def = n;
    v->out = k;
  }
  link_before(g, n, before);
  return n;
}

Value *graph_op(Graph *g, Node *before, OpId op, Node *like, int nin, Value *const *in) {
  return graph_node(g, before, op, like, nin, in, 1)->out[0];
}

void node_set_in(Node *n, int i, Value *v) {
  if (i >= n->nin) {
    Value **in = NEWN(Value *, i + 1);
    if (n->nin) memcpy(in, n->in, sizeof *in * (size_t)n->nin);
    n->in = in;
    n->nin = i + 1;
  }
  drop_user(n->in[i], n);
  add_user(n->in[i] = v, n);
}

void node_region(Node *n, Graph *region) {
  Graph **r = NEWN(Graph *, n->nregion + 1);
  if (n->nregion) memcpy(r, n->region, sizeof *r * (size_t)n->nregion);
  n->region = r;
  r[n->nregion++] = region;
  region->owner = n;
}

static void replace_outputs(Graph *g, const Value *old, Value *by) {
  for (int k = 0; k < g->nout; k++)
    if (g->out[k] == old) g->out[k] = by;
  for (int k = 0; k < g->nchild; k++) replace_outputs(g->child[k], old, by);
}

void value_replace(Value *old, Value *by) {
  if (old == by) return;
  for (int k = 0; k < old->nuser; k++) {
    Node *n = old->user[k];
    for (int i = 0; i < n->nin; i++)
      if (n->in[i] == old) {
        n->in[i] = by;
        add_user(by, n);
      }
  }
  old->nuser = 0;
  replace_outputs(old->graph, old, by);
}

// Forgets the operands of a removed node and of everything in its regions.
static void release(Node *n) {
  for (int k = 0; k < n->nin; k++) drop_user(n->in[k], n);
  n->nin = 0;
  for (int k = 0; k < n->nregion; k++) {
    Graph *g = n->region[k];
    for (Node *m = g->first; m; m = m->next) release(m);
    g->nout = 0;
    for (int c = 0; c < g->parent->nchild; c++)
      if (g->parent->child[c] == g) g->parent->child[c] = g->parent->child[--g->parent->nchild];
  }
}

void node_remove(Node *n) {
  for (int k = 0; k < n->nout; k++)
    if (n->out[k] && n->out[k]->nuser) bug("removing node %s (%s) whose result is read", n->op->name, n->name ? n->name : "");
  release(n);
  unlink_node(n);
}

static void reparent(Graph *g, Graph *to) {
  Graph *from = g->parent;
  for (int c = 0; c < from->nchild; c++)
    if (from->child[c] == g) from->child[c] = from->child[--from->nchild];
  g->parent = to;
  PUSH(to->child, to->nchild, to->cchild, g);
}

void node_move_before(Node *n, Node *at) {
  if (n == at) return;
  unlink_node(n);
  Graph *from = n->graph, *to = at->graph;
  link_before(to, n, at);
  if (from == to) return;
  for (int k = 0; k < n->nout; k++)
    if (n->out[k]) n->out[k]->graph = to;
  for (int k = 0; k < n->nregion; k++) reparent(n->region[k], to);
}

static bool lies_in(const Graph *g, const Graph *outer) {
  for (; g; g = g->parent)
    if (g == outer) return true;
  return false;
}

static bool returns(const Graph *g, const Value *v) {
  for (int k = 0; k < g->nout; k++)
    if (g->out[k] == v) return true;
  for (int k = 0; k < g->nchild; k++)
    if (returns(g->child[k], v)) return true;
  return false;
}

bool graph_uses(const Graph *g, const Value *v) {
  for (int k = 0; k < v->nuser; k++)
    if (lies_in(v->user[k]->graph, g)) return true;
  return returns(g, v);
}

/* ---- copies ---- */

typedef struct Copy {
  Map to; // values of the original -> values of the copy
  Value *(*map)(Value *, void *);
  void *u;
} Copy;

static Value *copy_of(Copy *c, Value *v) {
  if (!v) return NULL;
  Value *by = map_get(&c->to, v);
  if (by) return by;
  by = c->map ? c->map(v, c->u) : NULL;
  if (!by) by = v;
  map_put(&c->to, v, by);
  return by;
}

static Value *copy_value(Copy *c, const Value *v, Value *to) {
  to->name = v->name;
  to->type = v->type;
  to->elem = v->elem;
  to->nelem = v->nelem;
  to->splat = v->splat;
  map_put(&c->to, v, to);
  return to;
}

static void copy_body(Copy *c, const Graph *g, Graph *into, Node *at);

static Graph *copy_graph(Copy *c, const Graph *g, Graph *parent, bool top) {
  Graph *to = graph_new(g->name, parent);
  to->producer = g->producer;
  to->ir_version = g->ir_version;
  to->opset = g->opset;
  to->nopset = g->nopset;
  for (int k = 0; k < g->nin; k++) {
    Value *by = top && c->map ? c->map(g->in[k], c->u) : NULL;
    if (by) map_put(&c->to, g->in[k], by);
    else copy_value(c, g->in[k], graph_input(to, g->in[k]->name, g->in[k]->type));
  }
  copy_body(c, g, to, NULL);
  for (int k = 0; k < g->nout; k++) {
    graph_output(to, copy_of(c, g->out[k]));
    to->out_name[k] = g->out_name[k];
  }
  return to;
}

static void copy_body(Copy *c, const Graph *g, Graph *into, Node *at) {
  for (const Node *n = g->first; n; n = n->next) {
    Value **in = NEWN(Value *, n->nin);
    for (int k = 0; k < n->nin; k++) in[k] = copy_of(c, n->in[k]);
    Node *m = graph_node(into, at, n->op->id, NULL, n->nin, in, n->nout);
    m->name = n->name;
    m->index = n->index;
    m->path = n->path;
    m->nattr = n->nattr;
    m->attr = n->nattr ? mem_copy(n->attr, sizeof *n->attr * (size_t)n->nattr) : NULL;
    for (int k = 0; k < n->nout; k++)
      if (n->out[k]) copy_value(c, n->out[k], m->out[k]);
      else m->out[k] = NULL;
    for (int k = 0; k < n->nregion; k++) node_region(m, copy_graph(c, n->region[k], into, false));
  }
}

Graph *graph_clone(const Graph *g, Graph *parent, Value *(*map)(Value *, void *u), void *u) {
  Copy c = {.map = map, .u = u};
  return copy_graph(&c, g, parent, true);
}

void graph_inline(const Graph *g, Graph *into, Node *at, Value *(*map)(Value *, void *u), void *u, Value **out) {
  Copy c = {.map = map, .u = u};
  copy_body(&c, g, into, at);
  for (int k = 0; k < g->nout; k++) out[k] = copy_of(&c, g->out[k]);
}
