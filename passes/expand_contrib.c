// expand_contrib.c - com.microsoft: fused forms that graph optimisers write, taken apart again.
#include "passes/expand.h"
#include <math.h>
#include <string.h>

/* ---- normalisations with a residual ---- */
static Value *residual(const B *b, int skip, int bias) { // input + skip (+ bias)
  Value *s = add(b, in(b, 0), in(b, skip));
  return in(b, bias) ? add(b, s, in(b, bias)) : s;
}

void expand_skip_layer_normalization(const B *b) {
  Value *mean, *inv, *s = residual(b, 1, 4);
  give(b, 0, layer_norm(b, s, in(b, 2), in(b, 3), -1, attr_float(b->at, "epsilon"), DT_F32, &mean, &inv));
  give(b, 1, mean);
  give(b, 2, inv);
  give(b, 3, s);
}

void expand_skip_simplified_layer_normalization(const B *b) {
  Value *inv, *s = residual(b, 1, 3);
  give(b, 0, rms_norm(b, s, in(b, 2), -1, attr_float(b->at, "epsilon"), DT_F32, &inv));
  if (wanted(b, 1)) cannot(b, "there is no mean to give");
  give(b, 2, inv);
  give(b, 3, s);
}

void expand_embed_layer_normalization(const B *b) {
  Value *ids = in(b, 0), *segment = in(b, 1), *mask = in(b, 7), *pos = in(b, 8);
  Value *e = gather(b, in(b, 2), ids, 0);
  e = add(b, e, gather(b, in(b, 3), pos ? pos : count_up(b, dim_of(b, ids, 1)), 0));
  if (segment && in(b, 4)) e = add(b, e, gather(b, in(b, 4), segment, 0));
  give(b, 0, layer_norm(b, e, in(b, 5), in(b, 6), -1, attr_float(b->at, "epsilon"), DT_F32, NULL, NULL));
  if (wanted(b, 1)) {
    DType dt = dtype(b->at->out[1]);
    int64_t axis = 1;
    give(b, 1, mask ? cast(b, reduce(b, OP_ReduceSum, mask, 1, &axis, false), dt) : zeros(b, dt, dim_of(b, ids, 0)));
  }
  give(b, 2, e);
}

static Value *nhwc_group_norm(const B *b, Value *x) {
  bool last = attr_int(b->at, "channels_last");
  DType dt = dtype(x);
  Value *y = wide(b, last ? to_nchw(b, x) : x), *shape = shape_of(b, y);
  y = layer_norm(b, reshape_to(b, y, INTS(0, attr_int(b->at, "groups"), -1)), NULL, NULL, 2, attr_float(b->at, "epsilon"), DT_F32, NULL,
                 NULL);
  y = reshape(b, y, shape);
  int r = rank_of(y);
  y = add(b, mul(b, y, along(b, cast(b, in(b, 1), dtype(y)), 1, r)), along(b, cast(b, in(b, 2), dtype(y)), 1, r));
  if (attr_int(b->at, "activation")) y = silu(b, y);
  y = cast(b, y, dt);
  return last ? to_nhwc(b, y) : y;
}

void expand_ms_group_norm(const B *b) { give(b, 0, nhwc_group_norm(b, in(b, 0))); }

void expand_skip_group_norm(const B *b) {
  Value *x = in(b, 0), *skip = in(b, 3);
  int64_t middle[] = {1, 2};
  if (rank_of(skip) == 2 && rank_of(x) == 4) skip = unsqueeze(b, skip, 2, middle); // [N,C]
  Value *s = add_opt(b, add(b, x, skip), in(b, 4));
  give(b, 0, nhwc_group_norm(b, s));
  give(b, 1, s);
}

/* ---- softmax, dropout, activations ---- */
// is_inner_broadcast: the bias repeats over the innermost batch dims (its own shape says so); otherwise over the outer ones, as numpy does.
void expand_bias_softmax(const B *b) {
  Value *x = in(b, 0);
  int axis = (int)attr_int(b->at, "axis"), r = rank_of(x);
  if (axis < 0) axis += r;
  Value *s = add(b, x, in(b, 1));
  Node *f = start(b, OP_Flatten, VALUES(s), 1);
  node_set_int(f, "axis", axis);
  give(b, 0, reshape(b, softmax(b, finish(f), 1, false, NULL, false), shape_of(b, x)));
}

void expand_ms_swiglu(const B *b) { // without `up`, gate and up lie in one tensor
  double limit = attr_float(b->at, "limit");
  DType dt = dtype(in(b, 0));
  Value *part[2] = {wide(b, in(b, 0)), in(b, 1) ? wide(b, in(b, 1)) : NULL};
  if (!part[1]) split(b, part[0], rank_of(part[0]) - 1, 2, part);
  Value *x = part[0], *y = part[1];
  if (limit > 0) {
    x = op2(b, OP_Min, x, num_like(b, x, limit));
    y = op3(b, OP_Clip, y, num_like(b, y, -limit), num_like(b, y, limit));
  }
  Value *gate = mul(b, x, sigmoid(b, mul(b, x, num_like(b, x, attr_float(b->at, "activation_alpha")))));
  if (attr_int(b->at, "round_activation")) gate = wide(b, cast(b, gate, dt));
  give(b, 0, cast(b, mul(b, gate, add(b, y, num_like(b, y, attr_float(b->at, "activation_beta")))), dt));
}

void expand_torch_embedding(const B *b) { give(b, 0, gather(b, in(b, 0), in(b, 1), 0)); } // padding_idx is a matter of gradients

// x cos + x_rot sin, for q and k; the angles are shared by the heads
void expand_gemma_rotary_embedding(const B *b) {
  Value *angle = unsqueeze(b, in(b, 0), INTS(1)), *c = op1(b, OP_Cos, angle), *s = op1(b, OP_Sin, angle);
  for (int i = 0; i < 2; i++) {
    Value *x = in(b, 1 + 2 * i);
    give(b, i, add(b, mul(b, x, cast(b, c, dtype(x))), mul(b, in(b, 2 + 2 * i), cast(b, s, dtype(x)))));
  }
}

void expand_is_all_finite(const B *b) {
  Value *all = NULL;
  for (int i = 0; i < b->at->nin; i++) {
    Value *x = in(b, i), *nan = op1(b, OP_IsNaN, x), *inf = op1(b, OP_IsInf, x), *bad;
    bad = attr_int(b->at, "isinf_only") ? inf : attr_int(b->at, "isnan_only") ? nan : op2(b, OP_Or, nan, inf);
    Node *n = start(b, OP_ReduceMax, VALUES(bad), 1);
    node_set_int(n, "keepdims", 0);
    all = and_opt(b, all, op1(b, OP_Not, finish(n)));
  }
  give(b, 0, all);
}

/* ---- products and convolutions with an activation ---- */
static Value *named_activation(const B *b, Value *x, double alpha, double beta) {
  const char *name = text_of(b, "activation");
  return *name ? activate(b, x, name, alpha, beta) : x;
}

void expand_fused_gemm(const B *b) {
  Node *n = in(b, 2) ? start(b, OP_Gemm, VALUES(in(b, 0), in(b, 1), in(b, 2)), 1) : start(b, OP_Gemm, VALUES(in(b, 0), in(b, 1)), 1);
  copy_attrs(n, b->at, "alpha beta transA transB");
  give(b, 0, named_activation(b, finish(n), float_or(b, "activation_alpha", NAN), float_or(b, "activation_beta", NAN)));
}

void expand_fused_matmul_activation(const B *b) {
  Node *n = start(b, OP_ms_FusedMatMul, VALUES(in(b, 0), in(b, 1)), 1);
  copy_attrs(n, b->at, "alpha transA transB transBatchA transBatchB");
  give(b, 0, named_activation(b, finish(n), float_or(b, "activation_alpha", NAN), float_or(b, "activation_beta", NAN)));
}

void expand_gemm_fast_gelu(const B *b) {
  Value *y = add_opt(b, matmul(b, in(b, 0), in(b, 1)), in(b, 2));
  give(b, 0, cast(b, gelu(b, wide(b, y), true), dtype(y)));
}

static const char conv_attrs[] = "auto_pad dilations group kernel_shape pads strides";

static Value *conv(const B *b, Value *x, Value *w) {
  Node *n = in(b, 2) ? start(b, OP_Conv, VALUES(x, w, in(b, 2)), 1) : start(b, OP_Conv, VALUES(x, w), 1);
  copy_attrs(n, b->at, conv_attrs);
  return finish(n);
}

static Value *conv_activation(const B *b, Value *y) {
  const Attr *p = attr_find(b->at, "activation_params");
  return named_activation(b, y, p && p->n > 0 ? p->floats[0] : NAN, p && p->n > 1 ? p->floats[1] : NAN);
}

static Value *nhwc_conv(const B *b) { return to_nhwc(b, conv(b, to_nchw(b, in(b, 0)), to_nchw(b, in(b, 1)))); }

void expand_fused_conv(const B *b) { give(b, 0, conv_activation(b, add_opt(b, conv(b, in(b, 0), in(b, 1)), in(b, 3)))); }
void expand_nhwc_conv(const B *b) { give(b, 0, nhwc_conv(b)); }
void expand_nhwc_fused_conv(const B *b) { give(b, 0, conv_activation(b, add_opt(b, nhwc_conv(b), in(b, 3)))); }

void expand_nhwc_max_pool(const B *b) {
  Node *n = start(b, OP_MaxPool, VALUES(to_nchw(b, in(b, 0))), 1);
  copy_attrs(n, b->at, "auto_pad ceil_mode dilations kernel_shape pads strides");
  give(b, 0, to_nhwc(b, finish(n)));
}

// Pads (begins, then ends) are an operand: all of the result is made, then cropped.
void expand_conv_transpose_with_dynamic_pads(const B *b) {
  Node *n = start(b, OP_ConvTranspose, VALUES(in(b, 0), in(b, 1), in(b, 3)), 1);
  copy_attrs(n, b->at, "dilations group kernel_shape output_padding strides");
  Value *y = finish(n), *pads = in(b, 2);
  if (!attr_is(b->at, "auto_pad", "NOTSET")) cannot(b, "auto_pad '%s'", text_of(b, "auto_pad"));
  for (int i = 2, spatial = rank_of(y) - 2; pads && i < 2 + spatial; i++) {
    Value *end = slice(b, pads, 0, spatial + i - 2, spatial + i - 1);
    y = slice_dyn(b, y, i, slice(b, pads, 0, i - 2, i - 1), sub(b, dim_of(b, y, i), end));
  }
  give(b, 0, y);
}

// Words of character ids, 0 after the last: the greatest of each filter over the places where the window lies in the word, at least one. A
// word without characters gives zeros.
void expand_word_conv_embedding(const B *b) {
  Value *words = in(b, 0), *w = in(b, 1);
  int64_t filters = static_dim(b, w, 0), window = static_dim(b, w, 2), width = static_dim(b, words, -1), last = 2;
  words = reshape_to(b, words, INTS(-1, width));
  Node *c = start(b, OP_Conv, VALUES(unsqueeze(b, gather(b, in(b, 3), words, 0), INTS(1)), w, in(b, 2)), 1);
  Value *y = squeeze(b, tanh_of(b, finish(c)), 3); // [N,F,places]
  Value *ends = cast(b, op2(b, OP_Equal, words, num_like(b, words, 0)), DT_I32),
        *one = filled(b, DT_I32, 1, join(b, VALUES(dim_of(b, words, 0), int1(b, 1))));
  Value *length = op1_int(b, OP_ArgMax, concat(b, 1, VALUES(ends, one)), "axis", 1); // [N,1]
  Value *places = op2(b, OP_Max, sub(b, length, int1(b, window - 1)), int1(b, 1));
  Value *in_word = op2(b, OP_Less, count_up(b, dim_of(b, y, 2)), places);
  y = where(b, unsqueeze(b, in_word, INTS(1)), y, num_like(b, y, -INFINITY));
  y = reduce(b, OP_ReduceMax, y, 1, &last, false);
  y = where(b, op2(b, OP_Greater, length, int1(b, 0)), y, num_like(b, y, 0));
  Value *shape[MAX_RANK];
  int r = rank_of(in(b, 0));
  for (int i = 0; i < r; i++) shape[i] = i < r - 1 ? dim_of(b, in(b, 0), i) : int1(b, filters);
  give(b, 0, reshape(b, y, join(b, r, shape)));
}

// A sparse constant is dense here: its zeros are multiplied, too.
void expand_sparse_to_dense_matmul(const B *b) {
  if (in(b, 0)->type->kind != TYPE_TENSOR) cannot(b, "a sparse matrix that is no constant");
  Value *x = in(b, 0), *y = in(b, 1);
  double alpha = attr_float(b->at, "alpha");
  y = matmul(b, attr_int(b->at, "transA") ? swap_last(b, x) : x, attr_int(b->at, "transB") ? swap_last(b, y) : y);
  give(b, 0, alpha != 1 ? mul(b, y, num_like(b, y, alpha)) : y);
}
