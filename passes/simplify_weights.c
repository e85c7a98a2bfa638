// simplify_weights.c - a constant factor or term after a convolution or product with constant weights goes into the weights. That is how
// a BatchNormalization after a Conv vanishes: expand makes it a multiplication and an addition per channel. fold computes the new weights.
#include "passes/rewrite.h"
#include "passes/simplify.h"

// A constant, or what fold will make one: a few elementwise ops and views of constants
static bool is_known(const Value *v, int depth) {
  if (!v || v->data) return v != NULL;
  const Node *n = v->def;
  if (n && is_random(n->op->id)) return false;
  if (!n || depth == 0 || n->nregion || (n->op->family != FAMILY_ELEM && n->op->family != FAMILY_INDEX)) return false;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && !is_known(n->in[i], depth - 1)) return false;
  return n->nin > 0;
}
static bool known(const Value *v) { return is_known(v, 12); }

// The node that makes x if it is a linear op with constant weights whose result nobody else needs
static Node *linear_def(Value *x) {
  Node *n = x->def;
  if (!n || !only_use(x) || n->nout != 1 || !known(node_in(n, 1)) || !x->type || x->type->rank < 0) return NULL;
  if (dtype(x) != DT_F32 && dtype(x) != DT_F64) return NULL; // narrower weights would be rounded twice
  if (node_in(n, 2) && !known(n->in[2])) return NULL;
  switch (n->op->id) {
  case OP_Conv: return n;
  case OP_ConvTranspose: return attr_int(n, "group") == 1 ? n : NULL;
  case OP_MatMul: return value_rank(n->in[1]) == 2 && value_rank(x) >= 1 ? n : NULL;
  default: return NULL;
  }
}

static int channel_axis(const Node *n) { return n->op->id == OP_MatMul ? value_rank(n->out[0]) - 1 : 1; }

// k as a vector over the channels of y (or rank 0), if it varies along no other axis; else NULL
static Value *channel_vector(const B *b, const Node *n, Value *k) {
  Value *y = n->out[0];
  int r = value_rank(y), rk = value_rank(k), axis = channel_axis(n);
  if (!known(k) || rk < 0 || rk > r || dtype(k) != dtype(y)) return NULL;
  for (int i = 0; i < rk; i++) {
    int64_t d;
    int at = i + r - rk;
    if (!known_dim(k, i, &d) || (d != 1 && (at != axis || !same_dim(k, i, y, axis)))) return NULL;
  }
  return ix_is(value_count(k), 1) ? reshape_to(b, k, 0, NULL) : reshape_to(b, k, INTS(-1));
}

// a vector over output channels shaped to multiply the weights
static Value *for_weights(const B *b, const Node *n, Value *vec) {
  int r = value_rank(n->in[1]);
  if (rank_of(vec) == 0) return vec;
  return along(b, vec, n->op->id == OP_Conv ? 0 : n->op->id == OP_ConvTranspose ? 1 : r - 1, r);
}

static Value *remade(const B *b, Node *n, Value *w, Value *bias) {
  Node *m = bias ? start(b, n->op->id, VALUES(n->in[0], w, bias), 1) : start(b, n->op->id, VALUES(n->in[0], w), 1);
  for (int i = 0; i < n->nattr; i++) node_set(m, n->attr[i]);
  return finish(m);
}

static bool match(const B *b, Node **n, Value **vec) { // (linear op, constant) in either order, with the result's shape kept
  for (int i = 0; i < 2; i++) {
    Value *x = in(b, i), *k = in(b, 1 - i);
    if (!(*n = linear_def(x)) || !known(k) || !same_type(x, b->at->out[0])) continue;
    if ((*vec = channel_vector(b, *n, k))) return true;
  }
  return false;
}

Value *weights_mul(const B *b) {
  Node *n;
  Value *vec;
  if (!may_reassociate() || !match(b, &n, &vec)) return NULL;
  Value *bias = node_in(n, 2);
  return remade(b, n, mul(b, n->in[1], for_weights(b, n, vec)), bias ? mul(b, bias, vec) : NULL);
}

Value *weights_add(const B *b) {
  Node *n;
  Value *vec;
  if (!may_reassociate() || !match(b, &n, &vec) || n->op->id == OP_MatMul) return NULL; // a MatMul's addition is its epilogue
  int64_t m = 0;
  if (!known_dim(n->out[0], 1, &m)) return NULL;
  if (rank_of(vec) == 0) vec = expand_to(b, vec, int1(b, m));
  return remade(b, n, n->in[1], node_in(n, 2) ? add(b, n->in[2], vec) : vec);
}

// The branch's nodes take the If's place.
bool simplify_if(Node *n) {
  int k;
  const int64_t *cond;
  if (!const_ints(n->in[0], &k, &cond) || k != 1) return false;
  Graph *branch = n->region[cond[0] ? 0 : 1];
  for (Node *x = branch->first, *next; x; x = next) {
    next = x->next;
    node_move_before(x, n);
  }
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]) replace_value(n->out[i], branch->out[i]);
  branch->nout = 0;
  node_remove(n);
  return true;
}
