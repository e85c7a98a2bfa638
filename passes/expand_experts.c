// expand_experts.c - com.microsoft: MoE and QMoE.
#include "passes/expand_quant.h"
#include <math.h>

/* ---- experts: every expert runs on every token, weighted by its route; experts not among the k best weigh 0 ---- */
static Value *routes(const B *b, Value *logits) { // [T,E]
  Value *p = softmax(b, logits, -1, false, NULL, false);
  Node *top = start(b, OP_TopK, VALUES(p, int1(b, attr_int(b->at, "k"))), 2);
  Value *best = finish(top);
  int64_t axis = 1;
  if (attr_int(b->at, "normalize_routing_weights")) best = quo(b, best, reduce(b, OP_ReduceSum, best, 1, &axis, true));
  Node *n = start(b, OP_ScatterElements, VALUES(mul(b, p, num_like(b, p, 0)), top->out[1], best), 1);
  node_set_int(n, "axis", 1);
  return finish(n);
}

static Value *swiglu_pairs(const B *b, Value *h) { // gate and value alternate
  Value *g = slice_step(b, h, 2, 0, INT64_MAX, 2), *l = slice_step(b, h, 2, 1, INT64_MAX, 2);
  double limit = float_or(b, "swiglu_limit", 0);
  if (limit > 0) {
    g = op2(b, OP_Min, g, num_like(b, g, limit));
    l = op3(b, OP_Clip, l, num_like(b, l, -limit), num_like(b, l, limit));
  }
  g = mul(b, g, sigmoid(b, mul(b, g, num_like(b, g, attr_float(b->at, "activation_alpha")))));
  return mul(b, g, add(b, l, num_like(b, l, attr_float(b->at, "activation_beta"))));
}

static Value *expert_layer(const B *b, Value *x, Value *w, Value *bias) { // [E|1,T,I] by [E,O,I] -> [E,T,O]
  Value *y = matmul(b, x, swap_last(b, cast(b, w, dtype(x))));
  return bias ? add(b, y, unsqueeze(b, cast(b, bias, dtype(x)), INTS(1))) : y;
}

static Value *expert_activation(const B *b, Value *h) {
  if (attr_is(b->at, "activation_type", "gelu")) return gelu(b, h, true);
  if (!attr_is(b->at, "activation_type", "swiglu")) return activate(b, h, text_of(b, "activation_type"), NAN, NAN);
  if (attr_int(b->at, "swiglu_fusion") != 1) cannot(b, "swiglu_fusion %lld", (long long)attr_int(b->at, "swiglu_fusion"));
  return swiglu_pairs(b, h);
}

static void experts(const B *b, Value *w1, Value *b1, Value *w2, Value *b2) {
  if (attr_int(b->at, "use_sparse_mixer")) cannot(b, "use_sparse_mixer is not 0");
  Value *x = wide(b, in(b, 0)), *flat = unsqueeze(b, reshape_to(b, x, INTS(-1, static_dim(b, x, -1))), INTS(0));
  Value *h = expert_activation(b, expert_layer(b, flat, w1, b1));
  Value *y = expert_layer(b, h, w2, b2), *w = transpose(b, routes(b, wide(b, in(b, 1))), INTS(1, 0));
  int64_t axis = 0;
  y = reduce(b, OP_ReduceSum, mul(b, y, unsqueeze(b, w, INTS(2))), 1, &axis, false);
  give(b, 0, cast(b, reshape(b, y, shape_of(b, x)), dtype(in(b, 0))));
}

void expand_moe(const B *b) {
  if (in(b, 6)) cannot(b, "fc3");
  experts(b, in(b, 2), in(b, 3), in(b, 4), in(b, 5));
}

/* ---- QMoE: weights of 2, 4 or 8 bits, one scale per row or per block of block_size ---- */
static Value *expert_weights(const B *b, int w, int scale, int zero, int bits) {
  int64_t bs = int_or(b, "block_size", 0), last = rank_of(in(b, scale));
  Value *q = unpack_fields(b, in(b, w), bits, false), *s = unsqueeze(b, cast(b, in(b, scale), DT_F32), 1, &last), *z = in(b, zero);
  int64_t e = static_dim(b, q, 0), rows = static_dim(b, q, 1), k = static_dim(b, q, 2);
  if (bs > 0 && k % bs) cannot(b, "rows of %lld in blocks of %lld", (long long)k, (long long)bs);
  q = cast(b, q, DT_F32);
  if (bs > 0) q = reshape_to(b, q, INTS(e, rows, k / bs, bs));
  z = z ? unsqueeze(b, cast(b, unpack_fields(b, z, bits, false), DT_F32), 1, &last) : num(b, DT_F32, 1 << (bits - 1));
  q = mul(b, sub(b, q, z), s);
  return bs > 0 ? reshape_to(b, q, INTS(e, rows, k)) : q;
}

static int expert_bits(const B *b, const char *own) {
  int64_t bits = int_or(b, own, 0);
  return (int)(bits ? bits : attr_int(b->at, "expert_weight_bits"));
}

void expand_qmoe(const B *b) {
  for (int i = 13; i < b->at->nin; i++)
    if (in(b, i)) cannot(b, "input %d", i);
  if (in(b, 8)) cannot(b, "fc3");
  if (!attr_is(b->at, "quant_type", "int") || !in(b, 3) || !in(b, 6)) cannot(b, "weights that are no integers with scales");
  experts(b, expert_weights(b, 2, 3, 11, expert_bits(b, "fc1_expert_weight_bits")), in(b, 4),
          expert_weights(b, 5, 6, 12, expert_bits(b, "fc2_expert_weight_bits")), in(b, 7));
}
