// fold_constants.c - pass_fold: nodes whose operands are constants are computed now, by the interpreter.
//
// Before: typed graph. After: such nodes are constants, unless the result would be large: at most 64 MiB, and (1 KiB or) at most four
// times the operands' bytes, so that an Expand of a scalar to a big tensor stays an index map. Random ops are never folded.
#include "passes/lower.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

enum { FOLD_MAX = 64 << 20, FOLD_FREE = 1024, FOLD_GROWTH = 4 };

static bool all_constant(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && !is_const(n->in[i])) return false;
  return true;
}

static bool foldable(const Node *n) { // Identity: simplify removes those it can
  Family f = n->op->family;
  return !is_random(n->op->id) && n->op->id != OP_Identity && !n->nregion && f != FAMILY_HOST && f != FAMILY_REGION && f != FAMILY_EXPAND;
}

static bool static_bytes(const Value *v, int64_t *bytes) { // of a tensor whose dims are all known
  int64_t count;
  if (!v->type || v->type->kind != TYPE_TENSOR || v->type->rank < 0 || v->type->dtype == DT_STR) return false;
  if (!ix_const(value_count(v), &count)) return false;
  *bytes = dtype_bytes(v->type->dtype, count);
  return true;
}

// Only rows of it are read: a table that grows when it is computed (dequantised, widened) is better computed row by row.
static bool read_in_part(const Value *v) {
  for (int i = 0; i < v->nuser; i++) {
    const Node *u = v->user[i];
    if ((u->op->id != OP_Gather && u->op->id != OP_GatherND) || u->in[0] != v || u->in[1] == v) return false;
  }
  return v->nuser > 0 && !is_output(v);
}

// Bytes that a product widens as it reads them: a matrix is streamed once per run, and memory is what limits that.
static bool stays_narrow(const Node *n) {
  if (n->op->id != OP_Cast || dtype_bytes(n->in[0]->type->dtype, 1) != 1 || value_rank(n->out[0]) != 2 || is_output(n->out[0]))
    return false;
  for (int i = 0; i < n->out[0]->nuser; i++) {
    const Node *u = n->out[0]->user[i];
    if (u->op->id != OP_MatMul || u->in[1] != n->out[0] || u->in[0] == n->out[0]) return false;
  }
  return n->out[0]->nuser > 0;
}

static bool small_enough(const Node *n) {
  int64_t in = 0, out = 0, bytes;
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) in += n->in[i]->data->bytes;
  for (int i = 0; i < n->nout; i++) {
    if (!n->out[i]) continue;
    if (!static_bytes(n->out[i], &bytes)) return false;
    out += bytes;
  }
  if (out <= FOLD_FREE) return true;
  if (out > in && n->nout == 1 && (read_in_part(n->out[0]) || stays_narrow(n))) return false;
  return out <= FOLD_MAX && out <= FOLD_GROWTH * in;
}

static void fold_node(Node *n, void *u) {
  (void)u;
  Tensor *result[64] = {0};
  if (!foldable(n) || !all_constant(n) || n->nout > 64 || !small_enough(n) || !lower_eval_node(n, result)) return;
  for (int i = 0; i < n->nout; i++) {
    if (!n->out[i]) continue;
    Value *c = graph_const(n->graph, n->out[i]->name, result[i]);
    c->type = n->out[i]->type;
    replace_value(n->out[i], c);
  }
  node_remove(n);
}

void pass_fold(Graph *g) { each_node(g, fold_node, NULL); }
