// expand_strings.c - views of string tensors. A kernel holds no strings, but a view does not look at them: it is applied to their numbers
// 0, 1, 2, .. instead, as a kernel like any other, and StringPick then picks the strings by the numbers that come out. Several operands
// (Concat, Where) are numbered one behind the other. Scatters of complex numbers, whose kernels would have to store parts, go the same way.
#include "passes/expand.h"

static bool holds(const Value *v, DType t) { return v && v->type && v->type->kind == TYPE_TENSOR && v->type->dtype == t; }
static bool is_complex(const Value *v) { return holds(v, DT_C64) || holds(v, DT_C128); }
static bool is_numbered(const Value *v) { return holds(v, DT_STR) || is_complex(v); }

bool is_string_view(const Node *n) {
  if (*n->op->on_strings || n->op->id == OP_ConstantOfShape) return false; // they look
  bool scatters = (n->op->id == OP_ScatterElements || n->op->id == OP_ScatterND) && attr_is(n, "reduction", "none");
  if (n->op->family != FAMILY_INDEX && n->op->id != OP_Where && n->op->id != OP_Identity && !scatters) return false;
  for (int i = 0; i < n->nout; i++)
    if (holds(n->out[i], DT_STR) || (scatters && is_complex(n->out[i]))) return true;
  return false;
}

// The numbers first, first + 1, .. in the shape of x; *next is the one behind the last.
static Value *numbers(const B *b, Value *x, Value *first, Value **next) {
  *next = add(b, first, op1(b, OP_Size, x));
  Value *flat = op3(b, OP_Range, first, *next, num(b, DT_I64, 1));
  return op2_int(b, OP_Reshape, flat, shape_of(b, x), "allowzero", 1);
}
static Value *picked(const B *b, int n, Value **from, Value *number) {
  Value **flat = NEWN(Value *, n);
  for (int i = 0; i < n; i++) flat[i] = reshape_to(b, from[i], INTS(-1));
  return gather(b, join(b, n, flat), number, 0);
}
void expand_string_view(const B *b) {
  const Node *n = b->at;
  Value **in = NEWN(Value *, n->nin + 1), **pick = NEWN(Value *, n->nin + 1), *first = num(b, DT_I64, 0);
  int npick = 1;
  for (int i = 0; i < n->nin; i++) {
    in[i] = n->in[i];
    if (is_numbered(in[i])) pick[npick++] = in[i], in[i] = numbers(b, in[i], first, &first);
  }
  Node *view = start(b, n->op->id, n->nin, in, n->nout);
  for (int i = 0; i < n->nattr; i++) node_set(view, n->attr[i]);
  finish(view);
  for (int o = 0; o < n->nout; o++) {
    if (!wanted(b, o)) continue;
    pick[0] = view->out[o];
    give(b, o, is_complex(pick[1]) ? picked(b, npick - 1, pick + 1, pick[0]) : finish(start(b, OP_StringPick, npick, pick, 1)));
  }
}
