// expand_norm.c - normalisations, softmaxes and log-sum-exp. Statistics of half types are taken in f32 (stash_type).
#include "passes/expand.h"
#include <math.h>

static DType stash_type(const B *b) { return (DType)attr_int(b->at, "stash_type"); }

void expand_layer_normalization(const B *b) {
  Value *mean, *inv,
      *y = layer_norm(b, in(b, 0), in(b, 1), in(b, 2), (int)attr_int(b->at, "axis"), attr_float(b->at, "epsilon"), stash_type(b), &mean,
                      &inv);
  give(b, 0, y);
  give(b, 1, mean);
  give(b, 2, inv);
}

void expand_rms_normalization(const B *b) {
  Value *inv, *y = rms_norm(b, in(b, 0), in(b, 1), (int)attr_int(b->at, "axis"), attr_float(b->at, "epsilon"), stash_type(b), &inv);
  give(b, 0, y);
  give(b, 1, inv); // SimplifiedLayerNormalization's
}

void expand_simplified_layer_normalization(const B *b) { expand_rms_normalization(b); }

// [N,C,..] seen as [N,G,-1], normalised over the last axis
static Value *group_stats(const B *b, Value *x, int64_t groups, double eps, DType stash) {
  Value *flat = reshape_to(b, x, INTS(0, groups, -1));
  return reshape(b, layer_norm(b, flat, NULL, NULL, 2, eps, stash, NULL, NULL), shape_of(b, x));
}

static Value *per_channel(const B *b, Value *x, Value *y) { return along(b, cast(b, y, dtype(x)), 1, rank_of(x)); }

void expand_group_normalization(const B *b) {
  Value *y = group_stats(b, in(b, 0), attr_int(b->at, "num_groups"), attr_float(b->at, "epsilon"), stash_type(b));
  give(b, 0, add(b, mul(b, y, per_channel(b, y, in(b, 1))), per_channel(b, y, in(b, 2))));
}

void expand_instance_normalization(const B *b) {
  Value *x = in(b, 0), *y = layer_norm(b, x, NULL, NULL, 2, attr_float(b->at, "epsilon"), DT_F32, NULL, NULL);
  give(b, 0, add(b, mul(b, y, per_channel(b, y, in(b, 1))), per_channel(b, y, in(b, 2))));
}

void expand_lp_normalization(const B *b) {
  Value *x = in(b, 0), *w = wide(b, x);
  int64_t axis = attr_int(b->at, "axis");
  Value *n = reduce(b, attr_int(b->at, "p") == 1 ? OP_ReduceL1 : OP_ReduceL2, w, 1, &axis, true), *zero = num_like(b, n, 0);
  Value *y = where(b, op2(b, OP_Equal, n, zero), zero, quo(b, w, n));
  give(b, 0, cast(b, y, dtype(x)));
}

// The text's own order, sqrt(mean(x^2) - mean^2) + 1e-9, loses all digits for a nearly constant x: the deviation is taken from the mean.
void expand_mean_variance_normalization(const B *b) {
  const int64_t *axes;
  int n = attr_ints(b->at, "axes", &axes);
  Value *x = in(b, 0), *w = wide(b, x);
  Value *d = sub(b, w, reduce(b, OP_ReduceMean, w, n, axes, true));
  Value *dev = op1(b, OP_Sqrt, reduce(b, OP_ReduceMean, mul(b, d, d), n, axes, true));
  give(b, 0, cast(b, quo(b, d, add(b, dev, num_like(b, dev, 1e-9))), dtype(x)));
}

// x * a + c with a = scale / sqrt(var + eps), c = bias - mean * a: constants, which simplify moves into a convolution before it.
static Value *batch_norm(const B *b, Value *x, Value *mean, Value *var) {
  DType dt = dtype(x);
  x = wide(b, x);
  DType w = dtype(x);
  Value *dev = op1(b, OP_Sqrt, add(b, cast(b, var, w), num(b, w, attr_float(b->at, "epsilon"))));
  Value *a = quo(b, cast(b, in(b, 1), w), dev), *c = sub(b, cast(b, in(b, 2), w), mul(b, cast(b, mean, w), a));
  int r = rank_of(x);
  Value *y = r == 1 ? add(b, mul(b, x, a), c) : add(b, mul(b, x, along(b, a, 1, r)), along(b, c, 1, r));
  return cast(b, y, dt);
}

static Value *running(const B *b, Value *old, Value *now, double momentum) {
  DType dt = dtype(old);
  old = wide(b, old);
  now = cast(b, now, dtype(old));
  return cast(b, add(b, mul(b, old, num_like(b, old, momentum)), mul(b, now, num_like(b, now, 1 - momentum))), dt);
}

void expand_batch_normalization(const B *b) {
  if (!attr_int(b->at, "training_mode")) {
    give(b, 0, batch_norm(b, in(b, 0), in(b, 3), in(b, 4)));
    return;
  }
  Value *x = wide(b, in(b, 0));
  int64_t axes[MAX_RANK];
  int n = 0;
  for (int i = 0; i < rank_of(x); i++)
    if (i != 1) axes[n++] = i;
  Value *mean = reduce(b, OP_ReduceMean, x, n, axes, true), *d = sub(b, x, mean);
  Value *var = reduce(b, OP_ReduceMean, mul(b, d, d), n, axes, false);
  mean = reshape_to(b, mean, INTS(-1));
  give(b, 0, batch_norm(b, in(b, 0), mean, var));
  double momentum = attr_float(b->at, "momentum");
  if (wanted(b, 1)) give(b, 1, running(b, in(b, 3), mean, momentum));
  if (wanted(b, 2)) give(b, 2, running(b, in(b, 4), var, momentum));
}

void expand_softmax(const B *b) { give(b, 0, softmax(b, in(b, 0), (int)attr_int(b->at, "axis"), false, NULL, false)); }
void expand_log_softmax(const B *b) { give(b, 0, softmax(b, in(b, 0), (int)attr_int(b->at, "axis"), false, NULL, true)); }

// one-hot of the first maximum
void expand_hardmax(const B *b) {
  Value *x = in(b, 0);
  int axis = (int)attr_int(b->at, "axis"), r = rank_of(x);
  if (axis < 0) axis += r;
  Value *best = op1_int(b, OP_ArgMax, x, "axis", axis); // keepdims is the default
  Value *at = along(b, count_up(b, dim_of(b, x, axis)), axis, r);
  give(b, 0, cast(b, op2(b, OP_Equal, at, best), dtype(x)));
}

static Value *reduce_as(const B *b, OpId op, Value *x, bool keep) { // over the axes of b->at
  Node *n = start(b, op, VALUES(x, in(b, 1)), 1);
  node_set_int(n, "keepdims", keep);
  node_set_int(n, "noop_with_empty_axes", attr_int(b->at, "noop_with_empty_axes"));
  return finish(n);
}

static Value *finite_or_zero(const B *b, Value *m) {
  return where(b, op2(b, OP_Equal, op1(b, OP_Abs, m), num_like(b, m, INFINITY)), num_like(b, m, 0), m);
}

// log(sum(exp(x - m))) + m; m is 0 where the maximum is infinite, so that rows of -inf give -inf
void expand_reduce_log_sum_exp(const B *b) {
  DType dt = dtype(in(b, 0));
  bool keep = attr_int(b->at, "keepdims");
  Value *x = dtypes[dt].is_float ? wide(b, in(b, 0)) : cast(b, in(b, 0), DT_F64),
        *m = finite_or_zero(b, reduce_as(b, OP_ReduceMax, x, true));
  Value *s = op1(b, OP_Log, reduce_as(b, OP_ReduceSum, op1(b, OP_Exp, sub(b, x, m)), keep));
  if (!keep) m = finite_or_zero(b, reduce_as(b, OP_ReduceMax, x, false));
  give(b, 0, cast(b, add(b, s, m), dt));
}
