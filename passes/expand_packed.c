// expand_packed.c - com.microsoft: GatedDeltaNet as LinearAttention; convolutions over tokens of several sequences, one after the other.
#include "passes/expand.h"
#include <math.h>
#include <string.h>

/* ---- GatedDeltaNet: tokens before heads, the state with values before keys, in f32 throughout ---- */
typedef struct Net {
  Value *q, *k, *v; // [B,S,heads,size]
  int64_t heads, dk, dv;
} Net;

static Value *f32(const B *b, Value *x) { return cast(b, x, DT_F32); }

// [B*S,n,d] (or [B,S,n,d]) -> [B,S,n,d]
static Value *by_row(const B *b, Value *x, Value *batch, int64_t n, int64_t d) {
  return reshape(b, f32(b, x), join(b, VALUES(batch, ints(b, INTS(-1, n, d)))));
}

static Value *unit(const B *b, Value *x) { // of length 1 along the last axis
  Value *square = reduce_from(b, OP_ReduceSum, mul(b, x, x), -1);
  return quo(b, x, op1(b, OP_Sqrt, add(b, square, num_like(b, x, 1e-12))));
}

// Each of n heads stands for `times` heads in a row; then heads and sizes are one axis, as LinearAttention has them.
static Value *flat_heads(const B *b, Value *x, int64_t times) {
  int64_t n = static_dim(b, x, 2), d = static_dim(b, x, 3);
  if (times > 1) x = expand_to(b, unsqueeze(b, x, INTS(3)), ints(b, INTS(1, 1, 1, times, 1)));
  return reshape_to(b, x, INTS(0, 0, n * times * d));
}

static Net operands(const B *b, Value *batch) {
  Value *q = in(b, 0), *k = in(b, 1), *v = in(b, 2), *state = in(b, 6);
  Net t;
  if (k) {
    int64_t nq = static_dim(b, q, -2);
    t = (Net){.heads = static_dim(b, v, -2), .dk = static_dim(b, q, -1), .dv = static_dim(b, v, -1)};
    t.q = by_row(b, q, batch, nq, t.dk), t.k = by_row(b, k, batch, nq, t.dk);
  } else { // all in one: the state says what belongs to whom
    if (!state) cannot(b, "operands in one tensor without a state");
    t = (Net){.heads = static_dim(b, state, 1), .dk = static_dim(b, state, 3), .dv = static_dim(b, state, 2)};
    int last = rank_of(q) - 1;
    int64_t n = (static_dim(b, q, last) - t.heads * t.dv) / 2;
    t.q = by_row(b, slice(b, q, last, 0, n), batch, n / t.dk, t.dk);
    t.k = by_row(b, slice(b, q, last, n, 2 * n), batch, n / t.dk, t.dk);
    v = slice(b, q, last, 2 * n, INT64_MAX);
  }
  t.v = by_row(b, v, batch, t.heads, t.dv);
  if (t.heads % static_dim(b, t.q, 2)) cannot(b, "%lld value heads do not divide into those of the queries", (long long)t.heads);
  return t;
}

static Value *per_head(const B *b, int i, int64_t heads) { // [heads] or [heads*size] as [heads,1] or [heads,size]
  return reshape_to(b, f32(b, in(b, i)), INTS(heads, -1));
}

static Value *decay_of(const B *b, const Net *t, Value *batch) {
  int tokens = rank_of(in(b, 0)) - (in(b, 1) ? 2 : 1); // axes of them
  Value *x = by_row(b, in(b, 4), batch, t->heads, rank_of(in(b, 4)) == tokens + 2 ? t->dk : 1);
  if (attr_is(b->at, "gate_activation", "none")) return x;
  if (!in(b, 7)) cannot(b, "gate_activation without a_log");
  Value *rate = op1(b, OP_Exp, per_head(b, 7, t->heads));
  if (in(b, 8)) x = add(b, x, per_head(b, 8, t->heads));
  if (attr_is(b->at, "gate_activation", "softplus") || attr_is(b->at, "gate_activation", "qwen"))
    return op1(b, OP_Neg, mul(b, rate, op1(b, OP_Softplus, x)));
  if (!attr_is(b->at, "gate_activation", "sigmoid") && !attr_is(b->at, "gate_activation", "kda"))
    cannot(b, "gate_activation '%s'", text_of(b, "gate_activation"));
  return mul(b, sigmoid(b, mul(b, rate, x)), num(b, DT_F32, attr_float(b->at, "gate_lower_bound")));
}

void expand_gated_delta_net(const B *b) {
  const char *rule = text_of(b, "update_rule");
  bool gated = strstr(rule, "gated"), delta = strstr(rule, "delta");
  if (in(b, 3)) cannot(b, "cu_seqlens: sequences of different lengths");
  if (attr_int(b->at, "state_update_capacity") || wanted(b, 2)) cannot(b, "state_update");
  if ((gated && !in(b, 4)) || (delta && !in(b, 5))) cannot(b, "update_rule '%s' without its decay or beta", rule);
  Value *state = in(b, 6);
  if (!state && rank_of(in(b, 0)) != 4) cannot(b, "neither a state nor an axis says how many rows there are");
  Value *batch = dim_of(b, state ? state : in(b, 0), 0), *decay = NULL, *beta = NULL;
  Net t = operands(b, batch);
  if (attr_int(b->at, "qk_l2_norm")) t.q = unit(b, t.q), t.k = unit(b, t.k);
  if (gated) decay = flat_heads(b, decay_of(b, &t, batch), 1);
  if (delta) beta = reshape_to(b, by_row(b, in(b, 5), batch, t.heads, 1), INTS(0, 0, t.heads));
  if (beta && attr_is(b->at, "beta_activation", "sigmoid")) beta = sigmoid(b, beta);
  int64_t times = t.heads / static_dim(b, t.q, 2);
  Node *n =
      start(b, OP_ms_LinearAttention,
            VALUES(flat_heads(b, t.q, times), flat_heads(b, t.k, times), flat_heads(b, t.v, 1),
                   state ? swap_last(b, state) : zeros(b, DT_F32, join(b, VALUES(batch, ints(b, INTS(t.heads, t.dk, t.dv))))), decay, beta),
            2);
  node_set_int(n, "q_num_heads", t.heads);
  node_set_int(n, "kv_num_heads", t.heads);
  copy_attrs(n, b->at, "scale update_rule");
  Value *like = in(b, 0), *y = cast(b, finish(n), dtype(like)), *shape[4];
  int r = rank_of(like) == 4 || (!in(b, 1) && rank_of(like) == 3) ? 4 : 3;
  for (int i = 0; i < r - 2; i++) shape[i] = dim_of(b, like, i);
  shape[r - 2] = int1(b, t.heads), shape[r - 1] = int1(b, t.dv);
  give(b, 0, reshape(b, y, join(b, r, shape)));
  give(b, 1, swap_last(b, n->out[1]));
}

/* ---- VarlenCausalConvWithState: x [T,C], the tokens of sequence i at starts[i] .. starts[i+1]-1 ---- */
// x at positions `at` of sequences `row` (of one shape): before the first token the state continues backwards. -> [..,C]
static Value *sample(const B *b, Value *x, Value *state, Value *starts, Value *row, Value *at) {
  int last = rank_of(at);
  int64_t keep = static_dim(b, state, 2), pair = last;
  Value *zero = num_like(b, at, 0), *first = gather(b, starts, row, 0), *inside = op2(b, OP_GreaterOrEqual, at, zero);
  Value *now = gather(b, x, add(b, first, op2(b, OP_Max, at, zero)), 0);
  if (!keep) return now;
  Value *past = op3(b, OP_Clip, add(b, at, num_like(b, at, (double)keep)), zero, num_like(b, at, (double)keep - 1));
  Value *index = concat(b, last, VALUES(unsqueeze(b, row, 1, &pair), unsqueeze(b, past, 1, &pair)));
  Value *old = op2(b, OP_GatherND, transpose(b, state, INTS(0, 2, 1)), index);
  return where(b, unsqueeze(b, inside, 1, &pair), now, old);
}

void expand_varlen_causal_conv(const B *b) {
  Value *x = in(b, 0), *w = in(b, 1), *starts = cast(b, in(b, 2), DT_I64), *bias = in(b, 3), *state = in(b, 4), *y = NULL;
  if (attr_int(b->at, "state_update_capacity") || wanted(b, 2)) cannot(b, "state_update");
  if (in(b, 6) || in(b, 7)) cannot(b, "kernel_delta");
  int64_t k = static_dim(b, w, 2), step = attr_int(b->at, "dilation"), keep = (k - 1) * step, axis = 0;
  Value *i = count_up(b, dim_of(b, x, 0)), *begun = op2(b, OP_LessOrEqual, unsqueeze(b, starts, INTS(1)), i);
  Value *row = sub(b, reduce(b, OP_ReduceSum, cast(b, begun, DT_I64), 1, &axis, false), int1(b, 1));
  Value *at = sub(b, i, gather(b, starts, row, 0));
  for (int64_t j = 0; j < k; j++) {
    Value *back = num_like(b, at, (double)((k - 1 - j) * step)), *tap = pick(b, pick(b, w, 2, j), 1, 0);
    y = add_opt(b, y, mul(b, wide(b, sample(b, x, state, starts, row, sub(b, at, back))), wide(b, tap)));
  }
  if (bias) y = add(b, y, wide(b, bias));
  if (!attr_is(b->at, "activation", "none")) y = silu(b, y);
  give(b, 0, cast(b, y, dtype(x)));
  Value *lengths = sub(b, slice(b, starts, 0, 1, INT64_MAX), slice(b, starts, 0, 0, -1));
  Value *tail = sub(b, add(b, unsqueeze(b, lengths, INTS(1)), count_up(b, int1(b, keep))), int1(b, keep)); // [B,keep]
  Value *rows_of = expand_to(b, unsqueeze(b, count_up(b, dim_of(b, lengths, 0)), INTS(1)), shape_of(b, tail));
  give(b, 1, transpose(b, sample(b, x, state, starts, rows_of, tail), INTS(0, 2, 1)));
}
