// simplify_view.c - rules for casts and views: what moves nothing goes, two moves in a row become one.
#include "passes/rewrite.h"
#include "passes/simplify.h"
#include <string.h>

// What a body returns keeps its Identity if it is not made in the body, or is returned already: control flow moves results, one by one.
Value *simplify_identity(const B *b) {
  Value *x = in(b, 0), *y = b->at->out[0];
  if (y->graph->parent && is_output(y) && (!x->def || x->graph != y->graph || is_output(x))) return NULL;
  return x;
}

// Every value of `from` is a value of `to`
static bool holds_all(DType from, DType to) {
  const DTypeInfo *f = &dtypes[from], *t = &dtypes[to];
  if (from == DT_BOOL) return t->is_int || t->is_float;
  if (f->is_int && t->is_int) return f->is_signed == t->is_signed ? t->bits >= f->bits : t->is_signed && t->bits > f->bits;
  if (f->is_int && to == DT_F32) return f->bits <= 16;
  if (f->is_int && to == DT_F64) return f->bits <= 32;
  return (from == DT_F32 && to == DT_F64) || ((from == DT_F16 || from == DT_BF16) && (to == DT_F32 || to == DT_F64));
}

static Value *cast_as(const B *b, Value *x) { // to the type of b->at, with its way of rounding
  Node *n = start(b, OP_Cast, VALUES(x), 1);
  copy_attrs(n, b->at, "saturate round_mode");
  node_set_int(n, "to", dtype(b->at->out[0]));
  return finish(n);
}

Value *simplify_cast(const B *b) {
  Value *x = in(b, 0), *y = b->at->out[0];
  if (!x->type || x->type->kind != TYPE_TENSOR || dtype(y) == DT_STR) return NULL;
  if (dtype(x) == dtype(y)) return x;
  Node *d = x->def;
  if (d && d->op->id == OP_Cast && node_in(d, 0)->type && holds_all(dtype(d->in[0]), dtype(x))) // the first cast lost nothing
    return dtype(d->in[0]) == dtype(y) ? d->in[0] : cast_as(b, d->in[0]);
  return b->at->op->id == OP_CastLike ? cast_as(b, x) : NULL;
}

Value *simplify_same_shape(const B *b) { return same_type(in(b, 0), b->at->out[0]) ? in(b, 0) : NULL; }

static bool is_reshape(const Node *n) {
  OpId op = n ? n->op->id : OP_NONE;
  return op == OP_Reshape || op == OP_Flatten || op == OP_Squeeze || op == OP_Unsqueeze;
}

// A view of a view: the first one's shape does not matter, if the second's is spelled without copying dims of the first.
Value *simplify_reshape(const B *b) {
  Value *x = in(b, 0), *y = b->at->out[0];
  int64_t dim[MAX_RANK];
  int n = value_rank(y), k;
  const int64_t *v;
  if (same_type(x, y)) return x;
  if (!is_reshape(x->def)) return NULL;
  bool known = true;
  for (int i = 0; i < n; i++) known = known && known_dim(y, i, &dim[i]) && dim[i] != 0;
  if (known) return reshape_to(b, x->def->in[0], n, dim);
  if (b->at->op->id != OP_Reshape || !const_ints(in(b, 1), &k, &v)) return NULL;
  for (int i = 0; i < k; i++)
    if (v[i] == 0) return NULL;
  return reshape(b, x->def->in[0], in(b, 1));
}

static int perm_of(const Node *n, int64_t *perm) {
  const int64_t *p;
  int r = value_rank(n->out[0]), k = attr_ints(n, "perm", &p);
  for (int i = 0; i < r; i++) perm[i] = k ? p[i] : r - 1 - i;
  return r;
}

Value *simplify_transpose(const B *b) {
  Value *x = in(b, 0);
  int64_t p[MAX_RANK], q[MAX_RANK];
  int r = perm_of(b->at, p);
  bool still = true;
  for (int i = 0; i < r; i++) still = still && p[i] == i;
  if (still) return x;
  if (!x->def || x->def->op->id != OP_Transpose) return NULL;
  perm_of(x->def, q);
  for (int i = 0; i < r; i++) p[i] = q[p[i]];
  return transpose(b, x->def->in[0], r, p);
}

static bool all_are(const Value *v, int64_t k) {
  int n;
  const int64_t *x;
  if (!const_ints(v, &n, &x)) return false;
  for (int i = 0; i < n; i++)
    if (x[i] != k) return false;
  return true;
}

Value *simplify_slice(const B *b) {
  bool forward = !in(b, 4) || all_are(in(b, 4), 1);
  return forward ? simplify_same_shape(b) : NULL; // a slice as long as its axis is all of it
}

Value *simplify_pad(const B *b) { return all_are(in(b, 1), 0) ? in(b, 0) : NULL; }
Value *simplify_tile(const B *b) { return all_are(in(b, 1), 1) ? in(b, 0) : NULL; }

Value *simplify_concat(const B *b) {
  Node *n = b->at;
  Value *left[64];
  int m = 0;
  int64_t axis = attr_int(n, "axis"), d;
  if (n->nin > 64) return NULL;
  for (int i = 0; i < n->nin; i++)
    if (!n->in[i]->type || n->in[i]->type->rank < 1 || !known_dim(n->in[i], (int)axis, &d) || d != 0) left[m++] = n->in[i];
  if (m == 1) return left[0];
  return m && m < n->nin ? concat(b, (int)axis, m, left) : NULL;
}

Value *simplify_split(const B *b) { return b->at->nout == 1 ? simplify_same_shape(b) : NULL; }

Value *simplify_unary_twice(const B *b) { // not not x, - - x; 1/(1/x) only up to rounding
  Node *d = in(b, 0)->def;
  if (!d || d->op != b->at->op || (d->op->id == OP_Reciprocal && !may_reassociate())) return NULL;
  return d->in[0];
}
