// expand_loss.c - NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss, and the optimizer steps of ai.onnx.preview.training.
#include "passes/expand.h"
#include <math.h>

/* ---- losses ---- */
static Value *total(const B *b, Value *x) { // the sum of everything, rank 0
  Node *n = start(b, OP_ReduceSum, VALUES(x), 1);
  node_set_int(n, "keepdims", 0);
  return finish(n);
}

// x [N,C,d..] log-probabilities, t [N,d..] classes. An ignored target may lie outside 0..C-1: class 0 is read in its place and then
// dropped.
static Value *likelihood(const B *b, Value *x, Value *t, Value *weight) {
  DType dt = dtype(x);
  x = wide(b, x);
  Value *ignored = NULL, *zero = num_like(b, x, 0), *w = NULL;
  if (attr_has(b->at, "ignore_index")) {
    ignored = op2(b, OP_Equal, t, num_like(b, t, (double)attr_int(b->at, "ignore_index")));
    t = where(b, ignored, num_like(b, t, 0), t);
  }
  Value *picked = op2_int(b, OP_GatherElements, x, unsqueeze(b, t, INTS(1)), "axis", 1);
  Value *l = op1(b, OP_Neg, squeeze(b, picked, 1));
  if (weight) {
    w = gather(b, cast(b, weight, dtype(x)), t, 0);
    l = mul(b, l, w);
  }
  if (ignored) {
    l = where(b, ignored, zero, l);
    w = where(b, ignored, zero, w ? w : num_like(b, x, 1));
  }
  if (attr_is(b->at, "reduction", "none")) return cast(b, l, dt);
  Value *sum = total(b, l);
  if (attr_is(b->at, "reduction", "mean")) {
    Value *size = w ? total(b, w) : cast(b, op1(b, OP_Size, l), dtype(x));
    sum = quo(b, sum, size);
  }
  return cast(b, sum, dt);
}

void expand_negative_log_likelihood_loss(const B *b) { give(b, 0, likelihood(b, in(b, 0), in(b, 1), in(b, 2))); }

void expand_softmax_cross_entropy_loss(const B *b) {
  Value *log_prob = softmax(b, in(b, 0), 1, false, NULL, true);
  give(b, 0, likelihood(b, log_prob, in(b, 1), in(b, 2)));
  give(b, 1, log_prob);
}

/* ---- optimizers: inputs R, T, then groups of n tensors each ---- */
static Value *attr_like(const B *b, const char *name, Value *x) { return num_like(b, x, attr_float(b->at, name)); }
static Value *regularized(const B *b, Value *x, Value *g) { return add(b, mul(b, attr_like(b, "norm_coefficient", x), x), g); }

static Value *adagrad_step(const B *b, Value *r, Value *t, Value *x, Value *g, Value **h) {
  r = cast(b, r, dtype(x));
  Value *rate = quo(b, r, add(b, num_like(b, x, 1), mul(b, cast(b, t, dtype(x)), attr_like(b, "decay_factor", x))));
  g = regularized(b, x, g);
  *h = add(b, *h, mul(b, g, g));
  return sub(b, x, quo(b, mul(b, rate, g), add(b, op1(b, OP_Sqrt, *h), attr_like(b, "epsilon", x))));
}

void expand_adagrad(const B *b) {
  int n = (b->at->nin - 2) / 3;
  for (int i = 0; i < n; i++) {
    Value *h = in(b, 2 + 2 * n + i);
    give(b, i, adagrad_step(b, in(b, 0), in(b, 1), in(b, 2 + i), in(b, 2 + n + i), &h));
    give(b, n + i, h);
  }
}

static Value *blend(const B *b, Value *old, Value *now, double keep) {
  return add(b, mul(b, num_like(b, old, keep), old), mul(b, num_like(b, now, 1 - keep), now));
}

// R * sqrt(1 - beta^T) / (1 - alpha^T), or R at the first step
static Value *adam_rate(const B *b, Value *r, Value *t, DType dt) {
  r = cast(b, r, dt);
  Value *one = num(b, dt, 1), *k = cast(b, t, dt);
  Value *up = op1(b, OP_Sqrt, sub(b, one, op2(b, OP_Pow, num(b, dt, attr_float(b->at, "beta")), k)));
  Value *down = sub(b, one, op2(b, OP_Pow, num(b, dt, attr_float(b->at, "alpha")), k));
  return where(b, op2(b, OP_Greater, t, num_like(b, t, 0)), quo(b, mul(b, r, up), down), r);
}

void expand_adam(const B *b) {
  int n = (b->at->nin - 2) / 4;
  for (int i = 0; i < n; i++) {
    Value *x = in(b, 2 + i), *g = regularized(b, x, in(b, 2 + n + i));
    Value *v = blend(b, in(b, 2 + 2 * n + i), g, attr_float(b->at, "alpha"));
    Value *h = blend(b, in(b, 2 + 3 * n + i), mul(b, g, g), attr_float(b->at, "beta"));
    Value *dev = add(b, op1(b, OP_Sqrt, h), attr_like(b, "epsilon", x));
    Value *next = sub(b, x, mul(b, adam_rate(b, in(b, 0), in(b, 1), dtype(x)), quo(b, v, dev)));
    give(b, i, mul(b, next, num_like(b, x, 1 - attr_float(b->at, "norm_coefficient_post"))));
    give(b, n + i, v);
    give(b, 2 * n + i, h);
  }
}

void expand_momentum(const B *b) {
  int n = (b->at->nin - 2) / 3;
  bool nesterov = attr_is(b->at, "mode", "nesterov");
  for (int i = 0; i < n; i++) {
    Value *x = in(b, 2 + i), *g = regularized(b, x, in(b, 2 + n + i)), *t = in(b, 1), *r = cast(b, in(b, 0), dtype(x));
    Value *alpha = attr_like(b, "alpha", x);
    Value *beta = where(b, op2(b, OP_Greater, t, num_like(b, t, 0)), attr_like(b, "beta", x), num_like(b, x, 1));
    Value *v = add(b, mul(b, alpha, in(b, 2 + 2 * n + i)), mul(b, beta, g));
    Value *along_v = nesterov ? add(b, g, mul(b, alpha, v)) : v;
    give(b, i, sub(b, x, mul(b, r, along_v)));
    give(b, n + i, v);
  }
}
