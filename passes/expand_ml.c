// expand_ml.c - ai.onnx.ml: linear models, support vectors, tree classifiers' last step, Normalizer.
//
// The text of that domain leaves much open; where it does, scores are what ONNX Runtime gives, for the converters are checked against it.
#include "passes/expand_ml.h"
#include <math.h>
#include <string.h>

int attr_floats(const Node *n, const char *name, const double **v) {
  const Attr *a = attr_find(n, name);
  *v = a && a->kind == ATTR_FLOATS ? a->floats : NULL;
  return *v ? a->n : 0;
}

static Value *features(const B *b) { // x as f32 [N,C]
  Value *x = cast(b, in(b, 0), DT_F32);
  return rank_of(x) == 1 ? reshape_to(b, x, INTS(1, -1)) : x;
}

/* ---- post transforms ---- */
static Value *probit(const B *b, Value *p) { // sqrt(2) * erfinv(2p - 1), erfinv by Winitzki's approximation
  Value *x = sub(b, mul(b, p, num_like(b, p, 2)), num_like(b, p, 1)), *one = num_like(b, p, 1);
  Value *l = op1(b, OP_Log, mul(b, sub(b, one, x), add(b, one, x)));
  Value *h = add(b, mul(b, l, num_like(b, p, 0.5)), num_like(b, p, 2 / (M_PI * 0.147)));
  Value *root = op1(b, OP_Sqrt, sub(b, mul(b, h, h), mul(b, l, num_like(b, p, 1 / 0.147))));
  Value *r = op1(b, OP_Sqrt, sub(b, root, h));
  return mul(b, mul(b, op1(b, OP_Sign, x), r), num_like(b, p, M_SQRT2));
}

static Value *softmax_of_nonzeros(const B *b, Value *s) { // zeros stay zero
  Value *zero = num_like(b, s, 0);
  Value *on = op2(b, OP_Greater, op1(b, OP_Abs, s), num_like(b, s, 1e-7));
  return where(b, on, softmax(b, where(b, on, s, num_like(b, s, -INFINITY)), -1, true, NULL, false), zero);
}

Value *transformed(const B *b, Value *s, const char *how) {
  if (!strcmp(how, "NONE")) return s;
  if (!strcmp(how, "LOGISTIC")) return sigmoid(b, s);
  if (!strcmp(how, "SOFTMAX")) return softmax(b, s, -1, false, NULL, false);
  if (!strcmp(how, "SOFTMAX_ZERO")) return softmax_of_nonzeros(b, s);
  if (!strcmp(how, "PROBIT")) return probit(b, s);
  cannot(b, "post_transform '%s'", how);
}

Value *post_transform(const B *b, Value *s) { return transformed(b, s, text_of(b, "post_transform")); }

/* ---- labels ---- */
static const Attr *label_attr(const B *b) {
  static const char *const names[] = {"classlabels_ints", "classlabels_int64s", "classlabels_strings"};
  for (int i = 0; i < 3; i++)
    if (attr_has(b->at, sym(names[i])) && attr_find(b->at, names[i])->n) return attr_find(b->at, names[i]);
  return NULL;
}

int64_t label_count(const B *b) { return label_attr(b) ? label_attr(b)->n : 0; }

Value *labels(const B *b, Value *index) {
  const Attr *a = label_attr(b);
  if (!a) return index;
  int64_t n = a->n;
  bool plain = a->kind == ATTR_INTS;
  for (int64_t i = 0; plain && i < n; i++) plain = a->ints[i] == i;
  if (plain) return index;
  Tensor *t = a->kind == ATTR_INTS ? tensor_new(DT_I64, 1, &n, a->ints) : tensor_new(DT_STR, 1, &n, a->strings);
  return gather(b, graph_const(b->g, NULL, t), index, 0);
}

Value *best_class(const B *b, Value *scores) { // index of the first maximum of each row
  Node *n = start(b, OP_ArgMax, VALUES(scores), 1);
  node_set_int(n, "axis", 1);
  node_set_int(n, "keepdims", 0);
  return finish(n);
}

// One score s [N,1] for two labels: columns for label 0 and 1
Value *two_columns(const B *b, Value *s, bool negated) {
  Value *one = num_like(b, s, 1), *other;
  if (attr_is(b->at, "post_transform", "LOGISTIC")) {
    s = sigmoid(b, s);
    other = sub(b, one, s);
  } else if (attr_is(b->at, "post_transform", "PROBIT")) {
    s = probit(b, s);
    other = num_like(b, s, 0);
    other = mul(b, s, other);
  } else other = negated ? op1(b, OP_Neg, s) : sub(b, one, s);
  return concat(b, 1, VALUES(other, s));
}

/* ---- linear models ---- */
// x [N,C] @ coef[E,C]^T + intercepts
static Value *linear(const B *b, Value *x, int64_t e) {
  const double *c, *bias;
  int nc = attr_floats(b->at, "coefficients", &c), nb = attr_floats(b->at, "intercepts", &bias);
  if (e <= 0 || nc % e) cannot(b, "%d coefficients for %lld rows", nc, (long long)e);
  Value *w = floats(b, DT_F32, 2, (int64_t[]){e, nc / e}, c);
  Value *s = matmul(b, x, swap_last(b, w));
  return nb == e ? add(b, s, floats(b, DT_F32, 1, &e, bias)) : nb == 1 ? add(b, s, num(b, DT_F32, bias[0])) : s;
}

void expand_linear_regressor(const B *b) { give(b, 0, post_transform(b, linear(b, features(b), attr_int(b->at, "targets")))); }

void expand_linear_classifier(const B *b) {
  Value *x = features(b);
  const double *c;
  int64_t e = attr_floats(b->at, "coefficients", &c), width = static_dim(b, x, 1);
  if (width == 0 || e % width) cannot(b, "%lld coefficients for %lld features", (long long)e, (long long)width);
  e /= width;
  Value *s = linear(b, x, e);
  if (e == 1 && label_count(b) == 2) {
    Value *second = op2(b, OP_Greater, reshape_to(b, s, INTS(-1)), num_like(b, s, 0));
    give(b, 0, labels(b, cast(b, second, DT_I64)));
    give(b, 1, two_columns(b, s, false));
    return;
  }
  give(b, 0, labels(b, best_class(b, s)));
  give(b, 1, post_transform(b, s));
}

void expand_normalizer(const B *b) {
  Value *x = cast(b, in(b, 0), DT_F32), *n;
  int64_t axis = rank_of(x) - 1;
  if (attr_is(b->at, "norm", "MAX")) n = reduce(b, OP_ReduceMax, x, 1, &axis, true);
  else n = reduce(b, attr_is(b->at, "norm", "L1") ? OP_ReduceL1 : OP_ReduceL2, x, 1, &axis, true);
  Value *zero = op2(b, OP_Equal, n, num_like(b, n, 0));
  give(b, 0, quo(b, x, where(b, zero, num_like(b, n, 1), n)));
}

/* ---- features ---- */
// One number for all columns, or one for each
static Value *columns(const B *b, const char *name, DType dt) {
  const double *v;
  int64_t n = attr_floats(b->at, name, &v);
  return n == 0 ? NULL : n == 1 ? num(b, dt, v[0]) : floats(b, dt, 1, &n, v);
}

void expand_scaler(const B *b) {
  DType t = dtype(in(b, 0)) == DT_F64 ? DT_F64 : DT_F32;
  Value *x = cast(b, in(b, 0), t), *offset = columns(b, "offset", t), *scale = columns(b, "scale", t);
  if (offset) x = sub(b, x, offset);
  give(b, 0, cast(b, scale ? mul(b, x, scale) : x, DT_F32));
}

void expand_imputer(const B *b) {
  Value *x = in(b, 0), *missing, *fill;
  double gone = attr_float(b->at, "replaced_value_float");
  const int64_t *v;
  if (dtypes[dtype(x)].is_float) {
    missing = isnan(gone) ? op1(b, OP_IsNaN, x) : op2(b, OP_Equal, x, num_like(b, x, gone));
    fill = columns(b, "imputed_value_floats", dtype(x));
  } else {
    int n = attr_ints(b->at, "imputed_value_int64s", &v);
    missing = op2(b, OP_Equal, x, num_like(b, x, (double)attr_int(b->at, "replaced_value_int64")));
    fill = n == 0 ? NULL : cast(b, n == 1 ? graph_const_i64(b->g, 0, 1, v) : ints(b, n, v), dtype(x));
  }
  if (!fill) cannot(b, "no imputed values of the input's type");
  give(b, 0, where(b, missing, fill, x));
}

// Each input as f32 [N,d], cut or continued with zeros to its entry of inputdimensions
void expand_feature_vectorizer(const B *b) {
  const int64_t *width;
  int n = b->at->nin, given = attr_ints(b->at, "inputdimensions", &width);
  Value **part = NEWN(Value *, n);
  for (int i = 0; i < n; i++) {
    Value *x = cast(b, in(b, i), DT_F32);
    if (rank_of(x) == 1) x = unsqueeze(b, x, INTS(0));
    if (rank_of(x) > 2) cannot(b, "an input of rank %d", rank_of(x));
    int64_t have = i < given ? static_dim(b, x, 1) : 0;
    if (i < given && have > width[i]) x = slice(b, x, 1, 0, width[i]);
    if (i < given && have < width[i]) x = op2(b, OP_Pad, x, ints(b, INTS(0, 0, 0, width[i] - have)));
    part[i] = x;
  }
  give(b, 0, concat(b, 1, n, part));
}
