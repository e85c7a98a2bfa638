// infer_make.c - shape rules of elementwise ops, of constants and shapes, and of ops that make values from nothing.
#include "infer_rules.h"
#include <math.h>
#include <string.h>

static void copy_side(Node *n, const Value *from) {
  Value *v = node_out(n, 0);
  if (!v) return;
  Side *to = side_of(v), *x = side_of(from);
  to->length = x->length, to->item = x->item, to->nitem = x->nitem;
}

// Of which op is it the derivative: one whose formula is known, by one of its operands
void shape_derivative(Node *n) {
  const Op *of = op_spelled(fmt("%.*s", (int)attr_str(n, "of").n, attr_str(n, "of").p));
  int64_t by = attr_int(n, "by");
  if (!of || of->family != FAMILY_ELEM || of->nin < 0) wrong(n, "attribute of names no op with a formula");
  if (by < 0 || by > 3 || !node_in(n, (int)by)) wrong(n, "attribute by names no operand");
  out_sig(n, 0, dims_of(n->in[4]));
}

void shape_same(Node *n) {
  Value *x = n->in[0];
  if (n->op->id == OP_Identity) out_type(n, 0, x->type);
  else if (n->op->id == OP_ms_MurmurHash3) out_dims(n, 0, attr_int(n, "positive") ? DT_U32 : DT_I32, dims_of(x));
  else out_sig(n, 0, dims_of(x));
  if (x->type->kind == TYPE_TENSOR) elementwise(n);
  else copy_side(n, x);
}

void shape_broadcast(Node *n) {
  Dims s = dims_of(n->in[0]);
  for (int i = 1; i < n->nin; i++)
    if (n->in[i]) s = broadcast(n, s, dims_of(n->in[i]));
  out_sig(n, 0, s);
  if (sig_dtype(n, 0) != DT_STR) elementwise(n);
}

void shape_scalar(Node *n) { out_sig(n, 0, dims(0)); }

/* ---- constants ---- */

static Tensor *constant_of(const Node *n) {
  const Attr *a = n->nattr ? &n->attr[0] : NULL;
  for (int i = 0; i < n->nattr; i++)
    if (strncmp(n->attr[i].name, "value", 5) == 0) a = &n->attr[i];
  if (!a) return NULL;
  if (a->kind == ATTR_TENSOR) return (Tensor *)(uintptr_t)a->t;
  bool list = a->kind == ATTR_INTS || a->kind == ATTR_FLOATS || a->kind == ATTR_STRINGS;
  bool ints = a->kind == ATTR_INT || a->kind == ATTR_INTS, strings = a->kind == ATTR_STRING || a->kind == ATTR_STRINGS;
  int64_t count = list ? a->n : 1;
  Tensor *t = tensor_new(strings ? DT_STR : ints ? DT_I64 : DT_F32, list, &count, NULL);
  for (int i = 0; i < count && !strings; i++)
    if (ints) tensor_set_int(t, i, list ? a->ints[i] : a->i);
    else tensor_set_float(t, i, list ? a->floats[i] : a->f);
  return t;
}

void shape_constant(Node *n) {
  Tensor *t = constant_of(n);
  Elems x;
  if (!t) {
    wrong(n, "a constant without a value");
    out_dims(n, 0, DT_F32, dims(0));
    return;
  }
  Dims s = {.rank = t->rank};
  for (int i = 0; i < t->rank; i++) s.d[i] = ix(t->dim[i]);
  out_dims(n, 0, t->dtype, s);
  if (tensor_elems(t, &x)) out_elems(n, 0, x);
}

static Dims dims_from(int count, IExpr **e) {
  Dims s = {.rank = count > MAX_RANK + 1 ? MAX_RANK + 1 : count};
  for (int i = 0; i < s.rank; i++) s.d[i] = e[i];
  return s;
}

void shape_constant_of_shape(Node *n) {
  int count;
  IExpr **e;
  const Attr *a = attr_find(n, "value");
  DType d = a ? a->t->dtype : DT_F32;
  if (!shape_operand(n, 0, &count, &e)) {
    unknown_rank(n, "it is the number of elements of the operand");
    return;
  }
  Dims s = dims_from(count, e);
  for (int i = 0; i < s.rank; i++) require_ge0(n, s.d[i]);
  out_dims(n, 0, d, s);
  Elems x = {.splat = true};
  if (a && !tensor_elems(a->t, &x)) return;
  if (!a) x.f = NEWN(FTree *, 1), x.f[0] = ft_const(false, 0);
  x.splat = true, x.n = (int)const_count(s);
  out_elems(n, 0, x);
}

void shape_shape(Node *n) {
  Dims s = dims_of(n->in[0]);
  int64_t a = attr_int(n, "start"), b = attr_has(n, "end") ? attr_int(n, "end") : s.rank;
  a = a < 0 ? a + s.rank : a, b = b < 0 ? b + s.rank : b;
  a = a < 0 ? 0 : a > s.rank ? s.rank : a, b = b < a ? a : b > s.rank ? s.rank : b;
  IExpr **e = NEWN(IExpr *, s.rank + 1);
  for (int64_t i = a; i < b; i++) e[i - a] = s.d[i];
  out_dims(n, 0, DT_I64, dims(1, ix(b - a)));
  out_ints(n, 0, (int)(b - a), e);
}

void shape_size(Node *n) {
  Dims s = dims_of(n->in[0]);
  IExpr **e = NEWN(IExpr *, 1);
  e[0] = product(s, 0, s.rank);
  out_dims(n, 0, DT_I64, dims(0));
  out_ints(n, 0, 1, e);
}

/* ---- Range: ceil((limit - start) / delta), not below 0 ---- */

static void int_range(Node *n, IExpr *a, IExpr *b, IExpr *step) {
  IExpr *span = ix_sub(b, a), *count = ix_relu(ix_scale(ix_div(ix_scale(span, -1), step), -1));
  out_sig(n, 0, dims(1, count));
  int64_t k;
  if (!ix_const(count, &k) || k > ELEMS_MAX) return;
  IExpr **e = NEWN(IExpr *, k + 1);
  for (int i = 0; i < k; i++) e[i] = ix_add(a, ix_scale(step, i));
  out_ints(n, 0, (int)k, e);
}

void shape_range(Node *n) {
  Elems x[3];
  bool ints = true, floats = true, narrow = true;
  for (int i = 0; i < 3; i++) {
    const Tensor *t = node_in(n, i) ? n->in[i]->data : NULL;
    narrow &= t && tensor_count(t) == 1 && dtypes[t->dtype].is_float;
    bool known = elems_of(node_in(n, i), &x[i]) && (x[i].n == 1 || x[i].splat);
    ints &= known && x[i].e, floats &= known && x[i].f;
  }
  if (ints) int_range(n, x[0].e[0], x[1].e[0], x[2].e[0]);
  else if (floats) {
    bool f64 = dtype_in(n, 0) == DT_F64;
    FTree *q = ft_op(FT_DIV, f64, ft_op(FT_SUB, f64, x[1].f[0], x[0].f[0]), x[2].f[0]);
    out_sig(n, 0, dims(1, ix_relu(ix_float(ft_op(FT_CEIL, f64, q, NULL)))));
  } else if (narrow) { // constants of float16, bfloat16
    double v[3];
    for (int i = 0; i < 3; i++) v[i] = tensor_float(n->in[i]->data, 0);
    double k = ceil((v[1] - v[0]) / v[2]);
    if (k > IX_DIM_MAX) wrong(n, "the range has %g elements", k);
    out_sig(n, 0, dims(1, ix(k > 0 && k <= IX_DIM_MAX ? (int64_t)k : 0)));
  } else out_sig(n, 0, dims(1, fresh_dim(n, 0, 0, 0, IX_DIM_MAX)));
}

/* ---- others ---- */

static DType dtype_attr(const Node *n, const char *name, DType dflt) {
  const Attr *a = attr_find(n, name);
  return a && a->i > 0 && a->i < DT_COUNT ? (DType)a->i : dflt;
}

void shape_eye_like(Node *n) { out_dims(n, 0, dtype_attr(n, "dtype", dtype_in(n, 0)), dims_of(n->in[0])); }
void shape_random_like(Node *n) { out_dims(n, 0, dtype_attr(n, "dtype", dtype_in(n, 0)), dims_of(n->in[0])); }

void shape_random(Node *n) {
  const int64_t *v;
  Dims s = {.rank = attr_ints(n, "shape", &v)};
  if (s.rank > MAX_RANK) s.rank = MAX_RANK + 1;
  for (int i = 0; i < s.rank; i++) s.d[i] = ix(v[i]);
  out_dims(n, 0, dtype_attr(n, "dtype", DT_F32), s);
}

void shape_multinomial(Node *n) {
  out_dims(n, 0, dtype_attr(n, "dtype", DT_I32), dims(2, dim_in(n, 0, 0), ix(attr_int(n, "sample_size"))));
}

// Window functions: a vector of the length given as a value.
void shape_window(Node *n) {
  int count;
  IExpr **e;
  IExpr *len = shape_operand(n, 0, &count, &e) && count == 1 ? e[0] : fresh_dim(n, 0, 0, 0, IX_DIM_MAX);
  require_ge0(n, len);
  out_dims(n, 0, dtype_attr(n, "output_datatype", DT_F32), dims(1, len));
}

void shape_mel_weight_matrix(Node *n) {
  int count;
  IExpr **bins, **length;
  IExpr *rows, *columns;
  rows = shape_operand(n, 1, &count, &length) && count == 1 ? ix_addk(ix_divk(length[0], 2), 1) : fresh_dim(n, 0, 0, 0, IX_DIM_MAX);
  columns = shape_operand(n, 0, &count, &bins) && count == 1 ? bins[0] : fresh_dim(n, 0, 1, 0, IX_DIM_MAX);
  require_ge0(n, rows);
  require_ge0(n, columns);
  out_dims(n, 0, dtype_attr(n, "output_datatype", DT_F32), dims(2, rows, columns));
}
