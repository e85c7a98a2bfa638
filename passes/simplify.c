// simplify.c - pass_simplify: known values become constants, no-ops vanish, algebra that holds for all values, constants into weights.
//
// Before: typed graph (infer). After: the same values up to rounding (exactly the same under --math=strict), types on everything.
// The walk repeats until nothing changes; every rule makes the graph smaller or its operations cheaper, so that ends.
#include "passes/simplify.h"
#include "passes/rewrite.h"
#include <math.h>
#include <string.h>

const Options *simplify_options;
bool may_reassociate(void) { return !simplify_options || simplify_options->math != MATH_STRICT; }

/* ---- facts ---- */
bool all_equal(const Value *v, double *k) {
  if (!is_const(v) || v->data->dtype == DT_STR || !dtypes[v->data->dtype].bits) return false;
  if (v->data->dtype == DT_C64 || v->data->dtype == DT_C128) return false;
  int64_t n = tensor_count(v->data);
  if (n == 0 || n > 4096) return false;
  *k = tensor_float(v->data, 0);
  for (int64_t i = 1; i < n; i++)
    if (tensor_float(v->data, i) != *k) return false;
  return true;
}

bool const_ints(const Value *v, int *n, const int64_t **k) { return v && value_ints(v, n, k); }
bool same_type(const Value *x, const Value *y) {
  return x->type && y->type && x->type->kind == TYPE_TENSOR && x->type->rank >= 0 &&
         (x->type == y->type || (dtype(x) == dtype(y) && value_same_shape(x, y)));
}

bool only_use(const Value *v) { return v->nuser == 1 && !is_output(v); }

/* ---- the table ---- */
static Rule *rule_of(OpId op) {
  switch (op) {
  case OP_Identity: return simplify_identity;
  case OP_Cast:
  case OP_CastLike: return simplify_cast;
  case OP_Reshape:
  case OP_Flatten: return simplify_reshape;
  case OP_Squeeze:
  case OP_Unsqueeze:
  case OP_Expand: return simplify_same_shape;
  case OP_Transpose: return simplify_transpose;
  case OP_Slice: return simplify_slice;
  case OP_Pad: return simplify_pad;
  case OP_Concat: return simplify_concat;
  case OP_Split: return simplify_split;
  case OP_Tile: return simplify_tile;
  case OP_Not:
  case OP_Neg:
  case OP_Reciprocal: return simplify_unary_twice;
  case OP_Add: return simplify_add;
  case OP_Sub: return simplify_sub;
  case OP_Mul: return simplify_mul;
  case OP_Div: return simplify_div;
  case OP_Pow: return simplify_pow;
  case OP_And:
  case OP_Or: return simplify_bool;
  case OP_Where: return simplify_where;
  case OP_Sum:
  case OP_Max:
  case OP_Min: return simplify_variadic;
  case OP_Clip: return simplify_clip;
  case OP_ConvTranspose: return simplify_conv_transpose;
  case OP_DFT: return simplify_dft;
  case OP_MatMulInteger:
  case OP_ConvInteger: return simplify_integer_product;
  case OP_Conv:
  case OP_MatMul: return simplify_quantized_product;
  default: return NULL;
  }
}

/* ---- known values ---- */
// A shape value whose elements are all known numbers is a constant; whatever computed it is dead then.
static bool known_to_constant(Value *v) {
  int n;
  const int64_t *k;
  if (!v || is_const(v) || !v->type || v->type->kind != TYPE_TENSOR || v->type->rank < 0 || (v->nuser == 0 && !is_output(v))) return false;
  DType dt = v->type->dtype;
  if ((!dtypes[dt].is_int && dt != DT_BOOL) || !value_ints(v, &n, &k)) return false;
  int64_t dim[MAX_RANK], count = 1;
  for (int i = 0; i < v->type->rank; i++) {
    if (!ix_const(v->type->dim[i], &dim[i])) return false;
    count *= dim[i];
  }
  if (count != n) return false;
  Tensor *t = tensor_new(dt, v->type->rank, dim, NULL);
  for (int i = 0; i < n; i++) tensor_set_int(t, i, k[i]);
  Value *c = graph_const(v->graph, v->name, t);
  replace_value(v, c);
  return true;
}

/* ---- the walk ---- */
static bool unused(const Node *n) {
  for (int i = 0; i < n->nout; i++)
    if (n->out[i] && (n->out[i]->nuser || graph_uses(n->graph, n->out[i]))) return false;
  return true;
}

static bool simplify_node(Node *n) {
  bool changed = false;
  for (int i = 0; i < n->nout; i++) changed = known_to_constant(n->out[i]) || changed;
  if (n->op->id == OP_If && simplify_if(n)) return true;
  Rule *rule = rule_of(n->op->id);
  if (!rule || !n->out[0] || !n->out[0]->type) return changed;
  B b = {n->graph, n, n};
  Value *by = rule(&b);
  if (!by || by == n->out[0]) return changed;
  replace_value(n->out[0], by);
  if (unused(n)) node_remove(n);
  return true;
}

static bool simplify_graph(Graph *g) {
  bool changed = false;
  for (Node *n = g->first, *next; n; n = next) {
    next = n->next;
    for (int i = 0; i < n->nregion; i++)
      if (n->region[i]) changed = simplify_graph(n->region[i]) || changed;
    changed = simplify_node(n) || changed;
  }
  return changed;
}

void pass_simplify(Graph *g, const Options *o) {
  simplify_options = o;
  for (int i = 0; i < 16 && simplify_graph(g); i++) continue;
}
