// expand_build.c - the makers of expand.h: nodes, constants, shapes, views.
//
// Before: the operands have types. After: so have the results (infer_node), because the next maker may ask.
#include "passes/expand.h"
#include "passes/infer.h"
#include <math.h>
#include <string.h>

/* ---- nodes ---- */
Node *start(const B *b, OpId op, int nin, Value *const *x, int nout) {
  Node *n = graph_node(b->g, b->at, op, b->like, nin, x, nout);
  n->path = b->g->path;
  return n;
}

Value *finish(Node *n) {
  infer_node(n);
  return n->out[0];
}

Value *op0(const B *b, OpId op) { return finish(start(b, op, 0, NULL, 1)); }
Value *op1(const B *b, OpId op, Value *x) { return finish(start(b, op, VALUES(x), 1)); }
Value *op2(const B *b, OpId op, Value *x, Value *y) { return finish(start(b, op, VALUES(x, y), 1)); }
Value *op3(const B *b, OpId op, Value *x, Value *y, Value *z) { return finish(start(b, op, VALUES(x, y, z), 1)); }

Value *op1_int(const B *b, OpId op, Value *x, const char *attr, int64_t v) {
  Node *n = start(b, op, VALUES(x), 1);
  node_set_int(n, attr, v);
  return finish(n);
}

Value *op2_int(const B *b, OpId op, Value *x, Value *y, const char *attr, int64_t v) {
  Node *n = start(b, op, VALUES(x, y), 1);
  node_set_int(n, attr, v);
  return finish(n);
}

void copy_attrs(Node *to, const Node *from, const char *names) {
  for (const char *p = names; *p;) {
    size_t len = strcspn(p, " ");
    Sym name = sym_n(p, len);
    if (attr_has(from, name)) node_set(to, *attr_find(from, name));
    p += len + (p[len] == ' ');
  }
}

int64_t int_or(const B *b, const char *name, int64_t otherwise) {
  const Attr *a = attr_find(b->at, name);
  return a && a->kind == ATTR_INT ? a->i : otherwise;
}

const char *text_of(const B *b, const char *name) {
  const Attr *a = attr_find(b->at, name);
  return a && a->kind == ATTR_STRING ? sym_n(a->s.p, a->s.n) : "";
}

double float_or(const B *b, const char *name, double otherwise) {
  const Attr *a = attr_find(b->at, name);
  return a && a->kind == ATTR_FLOAT ? a->f : otherwise;
}

Value *add_opt(const B *b, Value *x, Value *y) { return !x ? y : !y ? x : add(b, x, y); }
Value *and_opt(const B *b, Value *x, Value *y) { return !x ? y : !y ? x : op2(b, OP_And, x, y); }

/* ---- constants ---- */
Value *floats(const B *b, DType dt, int rank, const int64_t *dim, const double *v) {
  Tensor *t = tensor_new(dt, rank, dim, NULL);
  bool whole = dtypes[dt].is_int || dt == DT_BOOL;
  for (int64_t i = 0, n = tensor_count(t); i < n; i++) whole ? tensor_set_int(t, i, (int64_t)v[i]) : tensor_set_float(t, i, v[i]);
  return graph_const(b->g, NULL, t);
}

Value *num(const B *b, DType dt, double v) { return floats(b, dt, 0, NULL, &v); }
Value *num_like(const B *b, const Value *x, double v) { return num(b, dtype(x), v); }
Value *ints(const B *b, int n, const int64_t *v) { return graph_const_i64(b->g, 1, n, v); }
Value *int1(const B *b, int64_t v) { return ints(b, 1, &v); }

/* ---- shapes ---- */
bool known_dim(const Value *x, int axis, int64_t *k) {
  IExpr *d = value_dim(x, axis);
  return d && ix_const(d, k);
}

bool same_dim(const Value *x, int ax, const Value *y, int ay) { return value_dim(x, ax) && value_dim(x, ax) == value_dim(y, ay); }

int64_t static_dim(const B *b, const Value *x, int axis) {
  int64_t k;
  if (!known_dim(x, axis, &k)) cannot(b, "dim %d of an input must be known at compile time, but is %s", axis, ix_str(value_dim(x, axis)));
  return k;
}

static Value *dims_from(const B *b, Value *x, int from, int to) {
  int64_t k[MAX_RANK];
  bool known = true;
  for (int i = from; i < to; i++) known = known_dim(x, i, &k[i - from]) && known;
  if (known) return ints(b, to - from, k);
  Node *n = start(b, OP_Shape, VALUES(x), 1);
  node_set_int(n, "start", from);
  node_set_int(n, "end", to);
  return finish(n);
}

Value *shape_of(const B *b, Value *x) { return dims_from(b, x, 0, rank_of(x)); }

Value *dim_of(const B *b, Value *x, int axis) {
  if (axis < 0) axis += rank_of(x);
  return dims_from(b, x, axis, axis + 1);
}

Value *join(const B *b, int n, Value *const *parts) {
  int64_t all[2 * MAX_RANK], m = 0;
  bool known = true;
  for (int i = 0; i < n; i++) {
    int c;
    const int64_t *v;
    known = known && value_ints(parts[i], &c, &v) && m + c <= 2 * MAX_RANK;
    for (int j = 0; known && j < c; j++) all[m++] = v[j];
  }
  return known ? ints(b, (int)m, all) : n == 1 ? parts[0] : concat(b, 0, n, parts);
}

/* ---- views ---- */
Value *cast(const B *b, Value *x, DType to) { return dtype(x) == to ? x : op1_int(b, OP_Cast, x, "to", to); }

Value *wide(const B *b, Value *x) {
  DType dt = dtype(x);
  return dtypes[dt].is_float && dtypes[dt].bits < 32 ? cast(b, x, DT_F32) : x;
}

Value *reshape(const B *b, Value *x, Value *shape) { return op2(b, OP_Reshape, x, shape); }
Value *reshape_to(const B *b, Value *x, int n, const int64_t *shape) { return reshape(b, x, ints(b, n, shape)); }

Value *transpose(const B *b, Value *x, int n, const int64_t *perm) {
  Node *t = start(b, OP_Transpose, VALUES(x), 1);
  node_set_ints(t, "perm", n, perm);
  return finish(t);
}

Value *swap_last(const B *b, Value *x) {
  int64_t perm[MAX_RANK];
  int r = rank_of(x);
  for (int i = 0; i < r; i++) perm[i] = i < r - 2 ? i : 2 * r - 3 - i;
  return transpose(b, x, r, perm);
}

Value *to_nchw(const B *b, Value *x) {
  int64_t p[MAX_RANK] = {0, rank_of(x) - 1};
  for (int i = 2; i < rank_of(x); i++) p[i] = i - 1;
  return transpose(b, x, rank_of(x), p);
}

Value *to_nhwc(const B *b, Value *x) {
  int64_t p[MAX_RANK] = {0};
  for (int i = 1; i < rank_of(x) - 1; i++) p[i] = i + 1;
  p[rank_of(x) - 1] = 1;
  return transpose(b, x, rank_of(x), p);
}

Value *unsqueeze(const B *b, Value *x, int n, const int64_t *axes) { return op2(b, OP_Unsqueeze, x, ints(b, n, axes)); }
Value *squeeze(const B *b, Value *x, int axis) { return op2(b, OP_Squeeze, x, int1(b, axis)); }

Value *concat(const B *b, int axis, int n, Value *const *parts) {
  Node *c = start(b, OP_Concat, n, parts, 1);
  node_set_int(c, "axis", axis);
  return finish(c);
}

static Value *slice5(const B *b, Value *x, int axis, Value *from, Value *to, int64_t step) {
  if (step == 1) return finish(start(b, OP_Slice, VALUES(x, from, to, int1(b, axis)), 1));
  return finish(start(b, OP_Slice, VALUES(x, from, to, int1(b, axis), int1(b, step)), 1));
}

Value *slice(const B *b, Value *x, int axis, int64_t from, int64_t to) { return slice5(b, x, axis, int1(b, from), int1(b, to), 1); }
Value *slice_step(const B *b, Value *x, int axis, int64_t from, int64_t to, int64_t step) {
  return slice5(b, x, axis, int1(b, from), int1(b, to), step);
}
Value *slice_dyn(const B *b, Value *x, int axis, Value *from, Value *to) { return slice5(b, x, axis, from, to, 1); }
Value *pick(const B *b, Value *x, int axis, int64_t i) { return gather(b, x, graph_const_i64(b->g, 0, 1, &i), axis); }

void split(const B *b, Value *x, int axis, int n, Value **part) {
  Node *s = start(b, OP_Split, VALUES(x), n);
  node_set_int(s, "axis", axis);
  node_set_int(s, "num_outputs", n);
  finish(s);
  memcpy(part, s->out, sizeof *part * (size_t)n);
}

Value *gather(const B *b, Value *x, Value *index, int axis) { return op2_int(b, OP_Gather, x, index, "axis", axis); }
Value *expand_to(const B *b, Value *x, Value *shape) { return op2(b, OP_Expand, x, shape); }
Value *filled(const B *b, DType dt, double v, Value *shape) { return expand_to(b, num(b, dt, v), shape); }
Value *zeros(const B *b, DType dt, Value *shape) { return filled(b, dt, 0, shape); }

Value *count_up(const B *b, Value *n) {
  int64_t zero = 0, one = 1;
  if (rank_of(n) == 1) n = squeeze(b, n, 0);
  return op3(b, OP_Range, graph_const_i64(b->g, 0, 1, &zero), n, graph_const_i64(b->g, 0, 1, &one));
}

Value *along(const B *b, Value *vec, int axis, int rank) {
  int64_t axes[MAX_RANK], n = 0;
  for (int i = 0; i < rank; i++)
    if (i != axis) axes[n++] = i;
  return n ? unsqueeze(b, vec, (int)n, axes) : vec;
}

/* ---- folds ---- */
Value *reduce(const B *b, OpId op, Value *x, int n, const int64_t *axes, bool keep) {
  return op2_int(b, op, x, ints(b, n, axes), "keepdims", keep);
}

Value *reduce_from(const B *b, OpId op, Value *x, int axis) {
  int64_t axes[MAX_RANK];
  int n = 0;
  for (int i = axis < 0 ? axis + rank_of(x) : axis; i < rank_of(x); i++) axes[n++] = i;
  return n ? reduce(b, op, x, n, axes, true) : x;
}

/* ---- shared pieces ---- */
Value *sigmoid(const B *b, Value *x) { return op1(b, OP_Sigmoid, x); }
Value *tanh_of(const B *b, Value *x) { return op1(b, OP_Tanh, x); }
Value *silu(const B *b, Value *x) { return mul(b, x, sigmoid(b, x)); }

Value *gelu(const B *b, Value *x, bool tanh_form) {
  Value *t;
  if (tanh_form) {
    Value *inner = add(b, x, mul(b, num_like(b, x, 0.044715), mul(b, x, mul(b, x, x))));
    t = tanh_of(b, mul(b, inner, num_like(b, x, 0.7978845608028654)));
  } else t = op1(b, OP_Erf, mul(b, x, num_like(b, x, 0.70710678118654752)));
  return mul(b, mul(b, x, num_like(b, x, 0.5)), add(b, t, num_like(b, x, 1)));
}

// The activation names of RNN operators (any case) and of ONNX Runtime's fused ones.
Value *activate(const B *b, Value *x, const char *name, double alpha, double beta) {
  static const struct {
    const char *name;
    OpId op; // OP_NONE: spelled out below
    double alpha, beta;
  } table[] = {
      {"relu", OP_Relu, NAN, NAN},
      {"tanh", OP_Tanh, NAN, NAN},
      {"sigmoid", OP_Sigmoid, NAN, NAN},
      {"softsign", OP_Softsign, NAN, NAN},
      {"softplus", OP_Softplus, NAN, NAN},
      {"leakyrelu", OP_LeakyRelu, 0.01, NAN},
      {"elu", OP_Elu, 1, NAN},
      {"thresholdedrelu", OP_ThresholdedRelu, 1, NAN},
      {"hardsigmoid", OP_HardSigmoid, .2, .5},
      {"affine", OP_NONE, 1, 0},
      {"scaledtanh", OP_NONE, 1, 1},
      {"clip", OP_NONE, -INFINITY, INFINITY},
      {"swish", OP_NONE, NAN, NAN},
      {"silu", OP_NONE, NAN, NAN},
      {"gelu", OP_Gelu, NAN, NAN},
      {"identity", OP_Identity, NAN, NAN},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    if (strcasecmp(name, table[i].name)) continue;
    double al = isnan(alpha) ? table[i].alpha : alpha, be = isnan(beta) ? table[i].beta : beta;
    if (table[i].op != OP_NONE) {
      Node *n = start(b, table[i].op, VALUES(x), 1);
      if (!isnan(table[i].alpha)) node_set_float(n, "alpha", al);
      if (!isnan(table[i].beta)) node_set_float(n, "beta", be);
      return finish(n);
    }
    if (*table[i].name == 's' && isnan(table[i].alpha)) return silu(b, x);
    if (*table[i].name == 'a') return add(b, mul(b, x, num_like(b, x, al)), num_like(b, x, be));
    if (*table[i].name == 'c') return op3(b, OP_Clip, x, num_like(b, x, al), num_like(b, x, be));
    return mul(b, tanh_of(b, mul(b, x, num_like(b, x, be))), num_like(b, x, al));
  }
  cannot(b, "the activation '%s' is not known", name);
}

// e / sum(e), e = exp(x - max): in f32 for the half types. A sink takes part in the sum only.
Value *softmax(const B *b, Value *x, int axis, bool safe, Value *sink, bool log) {
  int64_t ax = axis < 0 ? axis + rank_of(x) : axis;
  DType dt = dtype(x);
  x = wide(b, x);
  if (sink) sink = cast(b, sink, dtype(x));
  Value *m = reduce(b, OP_ReduceMax, x, 1, &ax, true);
  if (sink) m = op2(b, OP_Max, m, sink);
  if (safe) m = where(b, op2(b, OP_Equal, m, num_like(b, m, -INFINITY)), num_like(b, m, 0), m);
  Value *t = sub(b, x, m), *e = op1(b, OP_Exp, t);
  Value *s = reduce(b, OP_ReduceSum, e, 1, &ax, true);
  if (log) return cast(b, sub(b, t, op1(b, OP_Log, s)), dt);
  if (sink) s = add(b, s, op1(b, OP_Exp, sub(b, sink, m)));
  if (safe) s = where(b, op2(b, OP_Equal, s, num_like(b, s, 0)), num_like(b, s, 1), s);
  bool exact = expand_options && expand_options->math == MATH_STRICT;
  return cast(b, exact ? quo(b, e, s) : mul(b, e, op1(b, OP_Reciprocal, s)), dt);
}

static Value *inverse_root(const B *b, Value *var, double eps) {
  return op1(b, OP_Reciprocal, op1(b, OP_Sqrt, add(b, var, num_like(b, var, eps))));
}

// The type that a normalisation computes in: stash_type, or x's own if that is wider.
static DType stash_of(DType stash, const Value *x) { return dtypes[dtype(x)].bits > dtypes[stash].bits ? dtype(x) : stash; }

Value *layer_norm(const B *b, Value *x, Value *scale, Value *bias, int axis, double eps, DType stash, Value **mean, Value **inv) {
  DType dt = dtype(x), w = stash_of(stash, x);
  x = cast(b, x, w);
  Value *m = reduce_from(b, OP_ReduceMean, x, axis), *d = sub(b, x, m);
  Value *i = inverse_root(b, reduce_from(b, OP_ReduceMean, mul(b, d, d), axis), eps);
  if (mean) *mean = cast(b, m, stash);
  if (inv) *inv = cast(b, i, stash);
  Value *y = cast(b, mul(b, d, i), dt);
  if (scale) y = mul(b, y, cast(b, scale, dt));
  return bias ? add(b, y, cast(b, bias, dt)) : y;
}

Value *rms_norm(const B *b, Value *x, Value *scale, int axis, double eps, DType stash, Value **inv) {
  DType dt = scale ? dtype(scale) : dtype(x), w = stash_of(stash, x);
  x = cast(b, x, w);
  Value *i = inverse_root(b, reduce_from(b, OP_ReduceMean, mul(b, x, x), axis), eps);
  if (inv) *inv = cast(b, i, stash);
  Value *y = cast(b, mul(b, x, i), dt);
  return scale ? mul(b, y, scale) : y;
}
