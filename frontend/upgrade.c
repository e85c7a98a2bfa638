// upgrade.c - applies the OLD rows of the op table to a node of an older opset, and the helpers of the rules.
#include "upgrade.h"
#include <string.h>

typedef struct Rule {
  OpId op; // of the rules that follow
  int version;
  void (*apply)(Up *);
} Rule;

static const Rule rules[] = {
#define OP(domain, name, since, sig, shape, family, how, ...) {.op = OP_##name}, __VA_ARGS__
#define OLD(until, rule) {.version = until, .apply = old_##rule},
#include "ir/ops.def"
    {.op = OP_NONE}};

// The rules of an op: those behind its mark.
static const Rule *rules_of(OpId op) {
  const Rule *r = rules;
  while (r->op != op) r++;
  return r + 1;
}

Node *upgrade(const Scope *s, Node *n, int opset, Value **result, const Where *w) {
  Up u = {.g = n->graph, .n = n, .opset = opset, .scope = s, .result = result, .where = w};
  int replaced = 0, nout = n->nout;
  for (const Rule *r = rules_of(n->op->id); r->apply && !replaced; r++) {
    if (opset >= r->version) continue;
    r->apply(&u);
    for (int o = 0; o < nout; o++) replaced += result[o] != (o < n->nout ? n->out[o] : NULL);
  }
  if (replaced) node_remove(n);
  return replaced ? NULL : n;
}

/* ---- what rules are written in ---- */

Node *up_node(Up *u, OpId op, int nin, Value *const *in, int nout) { return graph_node(u->g, u->n, op, u->n, nin, in, nout); }
Value *up_op(Up *u, OpId op, int nin, Value *const *in) { return up_node(u, op, nin, in, 1)->out[0]; }
Value *up_ints(Up *u, int n, const int64_t *v) { return graph_const_i64(u->g, 1, n, v); }
Value *up_int(Up *u, int64_t v) { return up_ints(u, 1, &v); }
Value *up_float_like(Up *u, double v, Value *like) { return up_op(u, OP_CastLike, VALUES(graph_const_float(u->g, DT_F32, v), like)); }
Value *up_shape(Up *u, Value *v) { return up_op(u, OP_Shape, VALUES(v)); }
Value *up_rank(Up *u, Value *v) { return up_shape(u, up_shape(u, v)); }

Value *up_ones(Up *u, Value *count) {
  int64_t one = 1;
  Tensor *t = tensor_new(DT_I64, 1, &one, NULL);
  tensor_set_int(t, 0, 1);
  Node *n = up_node(u, OP_ConstantOfShape, VALUES(count), 1);
  node_set(n, (Attr){.name = sym("value"), .kind = ATTR_TENSOR, .t = t});
  return n->out[0];
}

void become(Up *u, int k, Value *v) { u->result[k] = v; }

void drop_attr(Up *u, const char *name) {
  Node *n = u->n;
  int kept = 0;
  for (int k = 0; k < n->nattr; k++)
    if (strcmp(n->attr[k].name, name)) n->attr[kept++] = n->attr[k];
  n->nattr = kept;
}

static const Attr *own_attr(const Up *u, const char *name) {
  for (int k = 0; k < u->n->nattr; k++)
    if (!strcmp(u->n->attr[k].name, name)) return &u->n->attr[k];
  return NULL;
}

bool old_int(Up *u, const char *name, int64_t *v) {
  const Attr *a = own_attr(u, name);
  if (!a) return false;
  if (a->kind != ATTR_INT) cannot_upgrade(u, fmt("attribute %s is no integer", name));
  *v = a->i;
  return true;
}

int old_ints(Up *u, const char *name, const int64_t **v) {
  const Attr *a = own_attr(u, name);
  if (!a) return -1;
  if (a->kind != ATTR_INTS) cannot_upgrade(u, fmt("attribute %s is no list of integers", name));
  *v = a->ints;
  return a->n;
}

bool old_float(Up *u, const char *name, double *v) {
  const Attr *a = own_attr(u, name);
  if (!a) return false;
  if (a->kind != ATTR_FLOAT) cannot_upgrade(u, fmt("attribute %s is no float", name));
  *v = a->f;
  return true;
}

_Noreturn void cannot_upgrade(Up *u, const char *why) {
  fail(EXIT_INVALID, "upgrade.malformed", u->where, "%s of opset %d: %s", u->n->op->name, u->opset, why);
}

Value *need_in(Up *u, int k) {
  Value *v = node_in(u->n, k);
  if (!v) cannot_upgrade(u, fmt("input %d is missing", k));
  return v;
}

static int operand_rank(const Up *u, const Node *n, int k) { return node_in(n, k) ? known_rank(u, n->in[k]) : -1; }

// The rank of a node's result where that follows from its kind alone.
static int result_rank(const Up *u, const Node *n) {
  switch (n->op->id) {
  case OP_Conv:
  case OP_ConvTranspose: return operand_rank(u, n, 1);
  case OP_Gemm:
  case OP_Flatten: return 2;
  case OP_Shape: return 1;
  default: return n->op->nin == 1 && !strcmp(n->op->shape, "same") ? operand_rank(u, n, 0) : -1;
  }
}

int known_rank(const Up *u, const Value *v) {
  if (value_rank(v) >= 0) return value_rank(v);
  for (const Scope *s = u->scope; s && v->name; s = s->outer) {
    const void *info = map_get(&s->info, v->name);
    if (info && info != s && info_rank(info) >= 0 && !s->function) return info_rank(info);
  }
  return v->def ? result_rank(u, v->def) : -1;
}
