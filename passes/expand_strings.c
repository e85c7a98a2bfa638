// expand_strings.c - views of string tensors. A kernel holds no strings, but a view does not look at them: it is applied to their numbers
// 0, 1, 2, .. instead, as a kernel like any other, and StringPick then picks the strings by the numbers that come out. Several operands
// (Concat, Where) are numbered one behind the other.
#include "passes/expand.h"

static bool is_strings(const Value *v) { return v && v->type && v->type->kind == TYPE_TENSOR && v->type->dtype == DT_STR; }

bool is_string_view(const Node *n) {
  if (*n->op->on_strings || n->op->id == OP_ConstantOfShape) return false; // they look
  bool scatters = (n->op->id == OP_ScatterElements || n->op->id == OP_ScatterND) && attr_is(n, "reduction", "none");
  if (n->op->family != FAMILY_INDEX && n->op->id != OP_Where && n->op->id != OP_Identity && !scatters) return false;
  for (int i = 0; i < n->nout; i++)
    if (is_strings(n->out[i])) return true;
  return false;
}

// The numbers first, first + 1, .. in the shape of x; *next is the one behind the last.
static Value *numbers(const B *b, Value *x, Value *first, Value **next) {
  *next = add(b, first, op1(b, OP_Size, x));
  Value *flat = op3(b, OP_Range, first, *next, num(b, DT_I64, 1));
  return op2_int(b, OP_Reshape, flat, shape_of(b, x), "allowzero", 1);
}
void expand_string_view(const B *b) {
  const Node *n = b->at;
  Value **in = NEWN(Value *, n->nin + 1), **pick = NEWN(Value *, n->nin + 1), *first = num(b, DT_I64, 0);
  int npick = 1;
  for (int i = 0; i < n->nin; i++) {
    in[i] = n->in[i];
    if (is_strings(in[i])) pick[npick++] = in[i], in[i] = numbers(b, in[i], first, &first);
  }
  Node *view = start(b, n->op->id, n->nin, in, n->nout);
  for (int i = 0; i < n->nattr; i++) node_set(view, n->attr[i]);
  finish(view);
  for (int o = 0; o < n->nout; o++) {
    if (!wanted(b, o)) continue;
    pick[0] = view->out[o];
    give(b, o, finish(start(b, OP_StringPick, npick, pick, 1)));
  }
}
