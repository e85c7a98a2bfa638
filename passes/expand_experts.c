// expand_experts.c - com.microsoft: MoE and QMoE.
#include "passes/expand_quant.h"
#include <math.h>

/* ---- experts: every expert runs on every token, weighted by its route; experts not among the k best weigh 0 ---- */
// weights NULL: the probabilities of the experts chosen; else entries of `weights` there.
static Value *routes(const B *b, Value *logits, Value *weights) { // [T,E]
  Value *p = softmax(b, logits, -1, false, NULL, false);
  Node *top = start(b, OP_TopK, VALUES(p, int1(b, attr_int(b->at, "k"))), 2);
  Value *best = finish(top), *which = top->out[1];
  int64_t axis = 1;
  if (weights) best = op2_int(b, OP_GatherElements, weights, which, "axis", 1);
  if (attr_int(b->at, "normalize_routing_weights")) best = quo(b, best, reduce(b, OP_ReduceSum, best, 1, &axis, true));
  Node *n = start(b, OP_ScatterElements, VALUES(mul(b, p, num_like(b, p, 0)), which, best), 1);
  node_set_int(n, "axis", 1);
  return finish(n);
}

static Value *swiglu(const B *b, Value *g, Value *l) {
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

// What goes into the second layer: h [E,T,I] or, for gated forms, gate and value together or `other` as the value.
static Value *expert_activation(const B *b, Value *h, Value *other) {
  bool swi = attr_is(b->at, "activation_type", "swiglu"), ge = attr_is(b->at, "activation_type", "geglu");
  int64_t fusion = attr_int(b->at, "swiglu_fusion");
  if (!swi && !ge) {
    if (other) cannot(b, "fc3 with the activation '%s'", text_of(b, "activation_type"));
    if (attr_is(b->at, "activation_type", "gelu")) return gelu(b, h, true);
    if (!attr_is(b->at, "activation_type", "relu2")) return activate(b, h, text_of(b, "activation_type"), NAN, NAN);
    h = op1(b, OP_Relu, h);
    return mul(b, h, h);
  }
  if (fusion < 0 || fusion > 2 || (fusion == 0) != (other != NULL))
    cannot(b, "swiglu_fusion %lld with%s fc3", (long long)fusion, other ? "" : "out");
  Value *part[2] = {h, other};
  if (fusion == 1) { // gate and value alternate
    part[0] = slice_step(b, h, 2, 0, INT64_MAX, 2);
    part[1] = slice_step(b, h, 2, 1, INT64_MAX, 2);
  } else if (fusion == 2) split(b, h, 2, 2, part);
  return swi ? swiglu(b, part[0], part[1]) : mul(b, gelu(b, part[0], true), part[1]);
}

// w and bias: of the layers 1, 2 and, where there is a third, 3
static void experts(const B *b, Value *const *w, Value *const *bias, Value *weights) {
  static const char *const plain[] = {"use_sparse_mixer", "swiglu_limit_after_activation"};
  for (int i = 0; i < 2; i++)
    if (attr_int(b->at, plain[i])) cannot(b, "%s is not 0", plain[i]);
  Value *x = wide(b, in(b, 0)), *flat = unsqueeze(b, reshape_to(b, x, INTS(-1, static_dim(b, x, -1))), INTS(0));
  Value *h = expert_activation(b, expert_layer(b, flat, w[0], bias[0]), w[2] ? expert_layer(b, flat, w[2], bias[2]) : NULL);
  Value *y = expert_layer(b, h, w[1], bias[1]);
  Value *share = transpose(b, routes(b, wide(b, in(b, 1)), weights ? wide(b, weights) : NULL), INTS(1, 0));
  int64_t axis = 0;
  y = reduce(b, OP_ReduceSum, mul(b, y, unsqueeze(b, share, INTS(2))), 1, &axis, false);
  give(b, 0, cast(b, reshape(b, y, shape_of(b, x)), dtype(in(b, 0))));
}

void expand_moe(const B *b) { experts(b, (Value *[]){in(b, 2), in(b, 4), in(b, 6)}, (Value *[]){in(b, 3), in(b, 5), in(b, 7)}, NULL); }

/* ---- QMoE: weights of 2, 4 or 8 bits, one scale per row or per block of block_size ---- */
static Value *expert_zeros(const B *b, Value *z, Value *scale,
                           int bits) { // the last row of bytes may hold more fields than there are scales
  z = unpack_fields(b, z, bits, false);
  int64_t n = static_dim(b, scale, -1);
  return static_dim(b, z, -1) == n ? z : slice(b, z, rank_of(z) - 1, 0, n);
}

static Value *expert_weights(const B *b, int w, int scale, int zero, int bits) {
  int64_t bs = int_or(b, "block_size", 0), last = rank_of(in(b, scale));
  Value *q = unpack_fields(b, in(b, w), bits, false), *s = unsqueeze(b, cast(b, in(b, scale), DT_F32), 1, &last), *z = in(b, zero);
  int64_t e = static_dim(b, q, 0), rows = static_dim(b, q, 1), k = static_dim(b, q, 2);
  if (bs > 0 && k % bs) cannot(b, "rows of %lld in blocks of %lld", (long long)k, (long long)bs);
  q = cast(b, q, DT_F32);
  if (bs > 0) q = reshape_to(b, q, INTS(e, rows, k / bs, bs));
  z = z ? unsqueeze(b, cast(b, expert_zeros(b, z, in(b, scale), bits), DT_F32), 1, &last) : num(b, DT_F32, 1 << (bits - 1));
  q = mul(b, sub(b, q, z), s);
  return bs > 0 ? reshape_to(b, q, INTS(e, rows, k)) : q;
}

static int expert_bits(const B *b, const char *own) {
  int64_t bits = int_or(b, own, 0);
  if (!bits) bits = attr_int(b->at, "expert_weight_bits");
  if (bits != 2 && bits != 4 && bits != 8) cannot(b, "weights of %lld bits", (long long)bits);
  return (int)bits;
}

void expand_qmoe(const B *b) {
  static const char *const own[] = {"fc1_expert_weight_bits", "fc2_expert_weight_bits", "fc3_expert_weight_bits"};
  for (int i = 15; i < b->at->nin; i++)
    if (in(b, i)) cannot(b, "input %d", i);
  Value *w[3] = {0};
  for (int i = 0; i < 3; i++) {
    if (!in(b, 2 + 3 * i)) continue;
    if (!attr_is(b->at, "quant_type", "int") || !in(b, 3 + 3 * i)) cannot(b, "weights that are no integers with scales");
    w[i] = expert_weights(b, 2 + 3 * i, 3 + 3 * i, 11 + i, expert_bits(b, own[i]));
  }
  experts(b, w, (Value *[]){in(b, 4), in(b, 7), in(b, 10)}, in(b, 14));
}
