// expand_adjoint.c - what Gradient knows of each family of ops: from the adjoint of a node's result to those of its operands.
//
//   ELEM   the adjoint times the slope of the row's formula, by the node Derivative: no op has a rule of its own
//   views  the same view of the numbers 1, 2, .. says where each element came from; adjoints are added up there
//   FOLD   the adjoint spread over what was folded, times the derivative of the term
//   FOLDN  products: contractions again; convolutions and pools are in expand_adjoint_conv.c
//   NEST   scatters gather, cumulative sums run the other way
//   EXPAND ops are expanded before anybody asks, but for those in has_rule
// Shortcuts stand where they save work: a transpose or a concat needs no scatter.
#include "passes/expand_gradient.h"
#include <string.h>

static Value *scaled(const B *b, Value *x, double k) { return mul(b, x, num_like(b, x, k)); }
static Value *equal(const B *b, Value *x, Value *y) { return cast(b, op2(b, OP_Equal, x, y), dtype(x)); } // 1 or 0
static Value *zeros_like(const B *b, Value *x) { return zeros(b, dtype(x), shape_of(b, x)); }

/* ---- ELEM ---- */
static Value *slope(Step *s, int by) {
  const Op *op = s->n->op;
  Value *operand[5] = {s->x[0], s->x[1], s->x[2], s->x[3], s->g[0]};
  Node *d = start(s->b, OP_Derivative, 5, operand, 1);
  for (int i = 0; i < op->nattr; i++) {
    const Attr *a = attr_find(s->n, op->attr[i].name);
    if (a) node_set(d, *a);
  }
  node_set_string(d, "of", *op->domain ? fmt("%s.%s", op->domain, op->name) : op->name);
  node_set_int(d, "by", by);
  return cast(s->b, finish(d), dtype(s->x[by]));
}

static void extreme_rule(Step *s) { // those that tie share equally
  const B *b = s->b;
  Value *ties = NULL;
  for (int i = 0; i < s->n->nin; i++) ties = add_opt(b, ties, s->dx[i] = equal(b, s->x[i], s->r[0]));
  for (int i = 0; i < s->n->nin; i++) s->dx[i] = quo(b, mul(b, s->g[0], s->dx[i]), ties);
}

static void elementwise_rule(Step *s) {
  const B *b = s->b;
  Value *x = s->x[0], *g = s->g[0];
  switch (s->n->op->id) {
  case OP_Abs: s->dx[0] = mul(b, g, op1(b, OP_Sign, x)); break; // at 0, training frameworks agree on 0
  case OP_Relu: s->dx[0] = where(b, op2(b, OP_Greater, x, num_like(b, x, 0)), g, num_like(b, g, 0)); break;
  case OP_Max:
  case OP_Min: extreme_rule(s); break;
  case OP_Sum:
  case OP_Mean:
    for (int i = 0; i < s->n->nin; i++) s->dx[i] = s->n->op->id == OP_Sum ? g : scaled(b, g, 1.0 / s->n->nin);
    break;
  default:
    for (int i = 0; i < s->n->nin; i++)
      if (s->active[i]) s->dx[i] = slope(s, i);
  }
}

/* ---- views ---- */
Value *renumbered(const B *b, Value *x) {
  Value *count = reshape_to(b, op1(b, OP_Size, x), INTS(1));
  return reshape(b, add(b, count_up(b, count), int1(b, 1)), shape_of(b, x));
}
Value *scatter_back(const B *b, Value *x, Value *numbers, Value *g) {
  Value *room = add(b, reshape_to(b, op1(b, OP_Size, x), INTS(1)), int1(b, 1)),
        *flat = zeros(b, dtype(x), room); // [0] takes what came from nowhere
  Node *n = start(b, OP_ScatterElements, 3, (Value *[]){flat, reshape_to(b, numbers, INTS(-1)), reshape_to(b, g, INTS(-1))}, 1);
  node_set_string(n, "reduction", "add");
  return reshape(b, slice(b, finish(n), 0, 1, INT64_MAX), shape_of(b, x));
}
static void view_rule(Step *s) {
  const B *b = s->b;
  Value *operand[OPERANDS_MAX];
  memcpy(operand, s->x, sizeof operand);
  operand[0] = renumbered(b, s->x[0]);
  bool pad = s->n->op->id == OP_Pad || s->n->op->id == OP_ms_Pad;
  if (pad) operand[2] = NULL;
  Node *view = start(b, s->n->op->id, s->n->nin, operand, s->n->nout);
  for (int i = 0; i < s->n->nattr; i++) node_set(view, s->n->attr[i]);
  if (s->n->op->id == OP_Resize) node_set(view, (Attr){.name = "extrapolation_value", .kind = ATTR_FLOAT});
  finish(view);
  for (int o = 0; o < s->n->nout; o++)
    if (s->g[o]) s->dx[0] = add_opt(b, s->dx[0], scatter_back(b, s->x[0], view->out[o], s->g[o]));
}
static bool moves(const Node *n) { // is every element of the result one of the first operand's, or the same for all inputs?
  switch (n->op->id) {
  case OP_Slice:
  case OP_Split:
  case OP_Tile:
  case OP_Pad:
  case OP_ms_Pad:
  case OP_Trilu:
  case OP_ms_Trilu:
  case OP_ReverseSequence:
  case OP_Gather:
  case OP_GatherElements:
  case OP_GatherND:
  case OP_ms_GatherND: return true;
  case OP_Resize: return attr_is(n, "mode", "nearest");
  default: return false;
  }
}

static void transpose_rule(Step *s) {
  const int64_t *perm;
  int64_t back[MAX_RANK];
  int r = rank_of(s->x[0]), given = attr_ints(s->n, "perm", &perm);
  for (int i = 0; i < r; i++) back[given ? perm[i] : r - 1 - i] = i;
  s->dx[0] = transpose(s->b, s->g[0], r, back);
}

static void concat_rule(Step *s) {
  const B *b = s->b;
  int axis = (int)attr_int(s->n, "axis");
  if (axis < 0) axis += rank_of(s->r[0]);
  Value *from = int1(b, 0);
  for (int i = 0; i < s->n->nin; i++) {
    Value *to = add(b, from, dim_of(b, s->x[i], axis));
    s->dx[i] = slice_dyn(b, s->g[0], axis, from, to);
    from = to;
  }
}

/* ---- scatters and running sums ---- */
// What was overwritten gets no adjoint; what was added to keeps it.
static void scatter_rule(Step *s) {
  const B *b = s->b;
  bool elements = s->n->op->id == OP_ScatterElements, adds = attr_is(s->n, "reduction", "add");
  if (!adds && !attr_is(s->n, "reduction", "none")) cannot(b, "a scatter that is no sum has no derivative here");
  Node *back = start(b, elements ? OP_GatherElements : OP_GatherND, 2, (Value *[]){s->g[0], s->x[1]}, 1);
  if (elements) node_set_int(back, "axis", attr_int(s->n, "axis"));
  s->dx[2] = finish(back);
  Node *cleared = start(b, s->n->op->id, 3, (Value *[]){s->g[0], s->x[1], zeros_like(b, s->x[2])}, 1);
  if (elements) node_set_int(cleared, "axis", attr_int(s->n, "axis"));
  s->dx[0] = adds ? s->g[0] : finish(cleared);
}
static void cumulative_rule(Step *s) {
  Node *n = start(s->b, OP_CumSum, 2, (Value *[]){s->g[0], s->x[1]}, 1);
  node_set_int(n, "exclusive", attr_int(s->n, "exclusive"));
  node_set_int(n, "reverse", !attr_int(s->n, "reverse"));
  s->dx[0] = finish(n);
}

/* ---- folds ---- */
static Value *fold_like(Step *s, OpId op, Value *x) { // another fold over the node's axes, which stay as 1
  Value *operand[2] = {x, s->x[1]};
  Node *n = start(s->b, op, s->n->nin, operand, 1);
  copy_attrs(n, s->n, "noop_with_empty_axes");
  if (op_attr(n->op, "keepdims")) node_set_int(n, "keepdims", 1);
  return finish(n);
}
static Value *total_like(Step *s, Value *x) {
  if (s->n->op->id != OP_GlobalMaxPool) return fold_like(s, OP_ReduceSum, x);
  return reduce_from(s->b, OP_ReduceSum, x, 2);
}
// Of x1 x2 ..: the product of the others, also where one factor, or two, are 0
static Value *others(Step *s, Value *r) {
  const B *b = s->b;
  Value *x = s->x[0], *zero = num_like(b, x, 0), *one = num_like(b, x, 1), *is0 = op2(b, OP_Equal, x, zero);
  Value *rest = fold_like(s, OP_ReduceProd, where(b, is0, one, x)), *count = total_like(s, cast(b, is0, dtype(x)));
  Value *alone = where(b, op2(b, OP_Equal, count, one), rest, zero), *none = op2(b, OP_Equal, count, zero);
  return where(b, is0, alone, where(b, none, quo(b, r, where(b, is0, one, x)), zero));
}
// What each element adds to r, the result with its axes kept
static Value *fold_slope(Step *s, Value *r) {
  const B *b = s->b;
  Value *x = s->x[0];
  switch (s->n->op->id) {
  case OP_ReduceSum: return NULL;
  case OP_ReduceMean:
  case OP_GlobalAveragePool: return op1(b, OP_Reciprocal, cast(b, quo(b, op1(b, OP_Size, x), op1(b, OP_Size, r)), dtype(x)));
  case OP_ReduceMax:
  case OP_ReduceMin:
  case OP_GlobalMaxPool: return quo(b, equal(b, x, r), total_like(s, equal(b, x, r))); // those that tie share equally
  case OP_ReduceProd: return others(s, r);
  case OP_ReduceL1: return op1(b, OP_Sign, x);
  case OP_ReduceL2: return quo(b, x, where(b, op2(b, OP_Equal, r, num_like(b, r, 0)), num_like(b, r, 1), r));
  case OP_ReduceSumSquare: return scaled(b, x, 2);
  case OP_ReduceLogSum: return op1(b, OP_Exp, op1(b, OP_Neg, r));
  default: cannot(b, "%s has no derivative here", s->n->op->name);
  }
}
static void fold_rule(Step *s) {
  const B *b = s->b;
  Value *r = fold_like(s, s->n->op->id, s->x[0]), *by = fold_slope(s, r), *g = reshape(b, s->g[0], shape_of(b, r));
  s->dx[0] = expand_to(b, by ? mul(b, g, by) : g, shape_of(b, s->x[0]));
}

static void softmax_rule(Step *s) {
  const B *b = s->b;
  int64_t axis = attr_int(s->n, "axis");
  bool log = s->n->op->id == OP_LogSoftmax;
  Value *g = s->g[0], *r = s->r[0], *sum = reduce(b, OP_ReduceSum, log ? g : mul(b, g, r), 1, &axis, true);
  s->dx[0] = log ? sub(b, g, mul(b, op1(b, OP_Exp, r), sum)) : mul(b, r, sub(b, g, sum));
}

/* ---- products ---- */
static void matmul_rule(Step *s) { // a vector is a row on the left, a column on the right
  const B *b = s->b;
  Value *x = s->x[0], *y = s->x[1], *g = s->g[0];
  bool row = rank_of(x) == 1, column = rank_of(y) == 1;
  int64_t before = rank_of(g) + column - 1, behind = rank_of(g);
  if (row) x = unsqueeze(b, x, INTS(0));
  if (column) y = unsqueeze(b, y, INTS(1)), g = unsqueeze(b, g, 1, &behind);
  if (row) g = unsqueeze(b, g, 1, &before);
  s->dx[0] = matmul(b, g, swap_last(b, y));
  s->dx[1] = matmul(b, swap_last(b, x), g);
  if (column) s->dx[1] = squeeze(b, s->dx[1], rank_of(s->dx[1]) - 1);
}

static void gemm_rule(Step *s) { // alpha A' B' + beta C, where ' transposes or not
  const B *b = s->b;
  bool ta = attr_int(s->n, "transA"), tb = attr_int(s->n, "transB");
  Value *g = scaled(b, s->g[0], attr_float(s->n, "alpha")), *x = s->x[0], *w = s->x[1];
  Value *wt = tb ? w : swap_last(b, w), *xt = ta ? x : swap_last(b, x);
  s->dx[0] = matmul(b, g, wt), s->dx[1] = matmul(b, xt, g);
  if (ta) s->dx[0] = swap_last(b, s->dx[0]);
  if (tb) s->dx[1] = swap_last(b, s->dx[1]);
  if (s->x[2]) s->dx[2] = scaled(b, s->g[0], attr_float(s->n, "beta"));
}

// The equation's terms, the result's last, without blanks; an implicit result has the labels that occur once, in alphabetical order.
static int einsum_terms(Step *s, char terms[][64]) {
  Str eq = attr_str(s->n, "equation");
  int n = 0, k = 0, uses[128] = {0};
  bool arrow = false;
  for (size_t i = 0; i < eq.n; i++) {
    char c = eq.p[i];
    if (c == ' ') continue;
    if (c == '.' || k == 63) cannot(s->b, "the gradient of an Einsum with an ellipsis");
    if (c == ',' || c == '-') terms[n++][k] = 0, k = 0, arrow |= c == '-', i += c == '-';
    else terms[n][k++] = c, uses[c & 127]++;
    if (n == OPERANDS_MAX) cannot(s->b, "the gradient of an Einsum of %d operands", n);
  }
  terms[n][k] = 0;
  if (arrow) return n;
  for (int c = k = 0; c < 128; c++)
    if (uses[c] == 1) terms[n + 1][k++] = (char)c;
  terms[n + 1][k] = 0;
  return n + 1;
}
static void einsum_rule(Step *s) { // the adjoint and the other operands, contracted to the operand's labels
  char terms[OPERANDS_MAX + 1][64];
  int n = einsum_terms(s, terms);
  for (int i = 0; i < n; i++) {
    if (!s->active[i]) continue;
    Value *operand[OPERANDS_MAX] = {s->g[0]};
    const char *equation = terms[n];
    for (int o = 0, k = 1; o < n; o++)
      if (o != i) operand[k++] = s->x[o], equation = fmt("%s,%s", equation, terms[o]);
    for (const char *c = terms[i]; *c; c++)
      if (strchr(c + 1, *c) || !strchr(equation, *c)) cannot(s->b, "the gradient of an Einsum whose operand has label %c for itself", *c);
    Node *d = start(s->b, OP_Einsum, n, operand, 1);
    node_set_string(d, "equation", fmt("%s->%s", equation, terms[i]));
    s->dx[i] = finish(d);
  }
}

/* ---- all of them ---- */
bool has_rule(const Node *n) { return n->op->id == OP_Softmax || n->op->id == OP_LogSoftmax || n->op->id == OP_Mean; }

void differentiate(Step *s) {
  const B *b = s->b;
  switch (s->n->op->id) {
  case OP_MatMul: matmul_rule(s); break;
  case OP_Gemm: gemm_rule(s); break;
  case OP_Einsum: einsum_rule(s); break;
  case OP_Conv: convolution_rule(s); break;
  case OP_ConvTranspose: transposed_rule(s); break;
  case OP_MaxPool:
  case OP_AveragePool: pool_rule(s); break;
  case OP_Identity:
  case OP_Expand: s->dx[0] = s->g[0]; break;
  case OP_Cast: s->dx[0] = cast(b, s->g[0], dtype(s->x[0])); break;
  case OP_Reshape:
  case OP_Flatten:
  case OP_Squeeze:
  case OP_Unsqueeze: s->dx[0] = reshape(b, s->g[0], shape_of(b, s->x[0])); break;
  case OP_Transpose: transpose_rule(s); break;
  case OP_Concat: concat_rule(s); break;
  case OP_ScatterElements:
  case OP_ScatterND: scatter_rule(s); break;
  case OP_CumSum: cumulative_rule(s); break;
  case OP_Softmax:
  case OP_LogSoftmax: softmax_rule(s); break;
  case OP_Mean: elementwise_rule(s); break;
  default:
    if (moves(s->n)) view_rule(s);
    else if (s->n->op->family == FAMILY_ELEM) elementwise_rule(s);
    else if (s->n->op->family == FAMILY_FOLD) fold_rule(s);
    else cannot(b, "%s has no derivative here", s->n->op->name);
  }
}
