// cse.c - equal nodes are computed once: same op, operands, attributes and results asked for.
//
// Before: typed graph. After: no two nodes that see each other are equal. Constants are joined first when they are small or share their
// bytes. A body may use an equal node of the graphs around it. Random ops, control flow and host ops stay as they are.
#include "passes/passes.h"
#include "passes/rewrite.h"
#include <string.h>

enum { SMALL_CONSTANT = 4096 };

typedef struct Entry { // of one hash table for nodes and one for constants; a chain per slot, newest first
  uint64_t hash;
  void *what;
  struct Entry *next;
} Entry;
typedef struct Table {
  Entry **slot;
  int n, *log, nlog, clog; // log: slots in order of insertion, so that a scope can be left
} Table;

static uint64_t mix(uint64_t h, uint64_t x) {
  h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
  return h * 0xff51afd7ed558ccdu;
}
static uint64_t mix_bytes(uint64_t h, const void *p, size_t n) {
  const unsigned char *c = p;
  for (size_t i = 0; i < n; i++) h = (h ^ c[i]) * 0x100000001b3u;
  return mix(h, n);
}

static Table table(int count) {
  Table t = {.n = 64};
  while (t.n < 2 * count) t.n *= 2;
  t.slot = NEWN(Entry *, t.n);
  return t;
}

static void *find(Table *t, uint64_t hash, void *what, bool (*same)(const void *, const void *)) { // what is entered when nothing equals it
  int s = (int)(hash % (uint64_t)t->n);
  for (Entry *e = t->slot[s]; e; e = e->next)
    if (e->hash == hash && same(e->what, what)) return e->what;
  Entry *e = NEW(Entry);
  *e = (Entry){hash, what, t->slot[s]};
  t->slot[s] = e;
  PUSH(t->log, t->nlog, t->clog, s);
  return what;
}

static void leave(Table *t, int mark) {
  while (t->nlog > mark) {
    int s = t->log[--t->nlog];
    t->slot[s] = t->slot[s]->next;
  }
}

/* ---- constants ---- */
static uint64_t tensor_hash(const Tensor *t) {
  uint64_t h = mix(t->dtype, (uint64_t)t->rank);
  for (int i = 0; i < t->rank; i++) h = mix(h, (uint64_t)t->dim[i]);
  return t->bytes <= SMALL_CONSTANT && t->dtype != DT_STR ? mix_bytes(h, t->data, (size_t)t->bytes) : mix(h, (uint64_t)(uintptr_t)t->data);
}

static bool same_tensor(const Tensor *x, const Tensor *y) {
  if (x->dtype != y->dtype || x->rank != y->rank || x->bytes != y->bytes) return false;
  for (int i = 0; i < x->rank; i++)
    if (x->dim[i] != y->dim[i]) return false;
  return x->data == y->data || (x->bytes <= SMALL_CONSTANT && x->dtype != DT_STR && !memcmp(x->data, y->data, (size_t)x->bytes));
}

static bool same_constant(const void *x, const void *y) { return same_tensor(((const Value *)x)->data, ((const Value *)y)->data); }

/* ---- attributes ---- */
static bool same_str(Str x, Str y) { return x.n == y.n && !memcmp(x.p, y.p, x.n); }

static bool same_attr(const Attr *x, const Attr *y) {
  if (!x || !y) return x == y;
  if (x->kind != y->kind) return false;
  switch (x->kind) {
  case ATTR_NONE: return true;
  case ATTR_INT: return x->i == y->i;
  case ATTR_FLOAT: return !memcmp(&x->f, &y->f, sizeof x->f);
  case ATTR_STRING: return same_str(x->s, y->s);
  case ATTR_INTS: return x->n == y->n && !memcmp(x->ints, y->ints, sizeof *x->ints * (size_t)x->n);
  case ATTR_FLOATS: return x->n == y->n && !memcmp(x->floats, y->floats, sizeof *x->floats * (size_t)x->n);
  case ATTR_STRINGS:
    for (int i = 0; i < x->n && x->n == y->n; i++)
      if (!same_str(x->strings[i], y->strings[i])) return false;
    return x->n == y->n;
  case ATTR_TENSOR: return same_tensor(x->t, y->t);
  case ATTR_TYPE: return x->type == y->type;
  }
  return false;
}

static bool same_attrs(const Node *x, const Node *y) { // a default that is spelled out equals one that is not
  for (int i = 0; i < x->nattr; i++)
    if (!same_attr(&x->attr[i], attr_find(y, x->attr[i].name))) return false;
  for (int i = 0; i < y->nattr; i++)
    if (!same_attr(&y->attr[i], attr_find(x, y->attr[i].name))) return false;
  return true;
}

/* ---- nodes ---- */
static bool may_join(const Node *n) {
  return !n->nregion && !is_random(n->op->id) && n->op->family != FAMILY_HOST && n->op->family != FAMILY_REGION;
}

static uint64_t node_hash(const Node *n) {
  uint64_t h = mix((uint64_t)n->op->id, (uint64_t)n->nin);
  for (int i = 0; i < n->nin; i++) h = mix(h, n->in[i] ? (uint64_t)n->in[i]->id + 1 : 0);
  return h;
}

static bool same_node(const void *px, const void *py) {
  const Node *x = px, *y = py;
  if (x->op != y->op || x->nin != y->nin || y->nout > x->nout) return false;
  for (int i = 0; i < x->nin; i++)
    if (x->in[i] != y->in[i]) return false;
  for (int i = 0; i < y->nout; i++)
    if (y->out[i] && (!x->out[i] || x->out[i]->type != y->out[i]->type)) return false;
  if (x->op->nout < 0 && x->nout != y->nout) return false; // the number of results means something
  return same_attrs(x, y);
}

typedef struct Cse {
  Table nodes, constants;
} Cse;

static void join(Cse *c, Graph *g) {
  int mark = c->nodes.nlog;
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nin; i++) {
      if (!is_const(n->in[i])) continue;
      Value *first = find(&c->constants, tensor_hash(n->in[i]->data), n->in[i], same_constant);
      if (first != n->in[i]) node_set_in(n, i, first);
    }
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) join(c, n->region[i]);
    if (!may_join(n)) continue;
    Node *first = find(&c->nodes, node_hash(n), n, same_node);
    if (first == n) continue;
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) replace_value(n->out[i], first->out[i]);
    node_remove(n);
  }
  leave(&c->nodes, mark);
}

static int count(const Graph *g) {
  int n = 0;
  for (const Node *x = g->first; x; x = x->next) {
    n++;
    for (int i = 0; i < x->nregion; i++)
      if (x->region[i]) n += count(x->region[i]);
  }
  return n;
}

void pass_cse(Graph *g) {
  int n = count(g);
  Cse c = {table(n), table(n)};
  join(&c, g);
}
