// expand_ms_attention.c - com.microsoft: Attention, QAttention, MultiHeadAttention, GroupQueryAttention, RotaryEmbedding.
//
// Padding masks add mask_filter_value (-10000 unless given) to a score, causal masks forbid the key; both as ONNX Runtime does.
#include "passes/expand_attention.h"
#include "passes/expand_quant.h"
#include <math.h>

/* ---- masks ---- */
static Value *filter(const B *b, Value *keep, DType dt) { // bool -> 0 or the filter value
  double v = float_or(b, "mask_filter_value", 0);
  return where(b, keep, num(b, dt, 0), num(b, dt, v != 0 ? v : -10000));
}

static Value *column(const B *b, Value *v) { return reshape_to(b, cast(b, v, DT_I64), INTS(-1, 1)); }

// j < end and j >= start, by row: the mask is [B] ends, or [2B] ends and then starts. Where its length does not say which, it is continued
// with zeros: rows without a start begin at 0.
static Value *in_ranges(const B *b, Value *mask, Value *q, Value *j) {
  IExpr *batch = value_dim(q, 0), *d = value_dim(mask, 0);
  if (d == batch) return op2(b, OP_Less, j, column(b, mask));
  if (ix_const(batch, NULL) && ix_const(d, NULL) && d != ix_scale(batch, 2))
    cannot(b, "a mask of %s elements for a batch of %s", ix_str(d), ix_str(batch));
  Value *n = dim_of(b, q, 0), *both = add(b, n, n);
  if (d != ix_scale(batch, 2)) {
    Value *more = op2(b, OP_Max, sub(b, both, dim_of(b, mask, 0)), int1(b, 0));
    mask = op2(b, OP_Pad, mask, join(b, VALUES(int1(b, 0), more)));
  }
  mask = reshape(b, mask, join(b, VALUES(int1(b, 2), n))); // longer ones do not fit here
  Value *before = op2(b, OP_Less, j, column(b, pick(b, mask, 0, 0)));
  return op2(b, OP_And, before, op2(b, OP_GreaterOrEqual, j, column(b, pick(b, mask, 0, 1))));
}

// mask: [B] lengths, [2B] ends then starts, [B,T], [B,S,T] or [B,1,M,M] of 0 and 1 -> additive term that broadcasts to [B,N,S,T]
static Value *padding_bias(const B *b, Value *mask, Value *q, Value *k) {
  int r = rank_of(mask);
  Value *j = count_up(b, dim_of(b, k, 2)), *keep;
  DType dt = dtypes[dtype(q)].bits < 32 ? DT_F32 : dtype(q);
  if (r == 1) return filter(b, unsqueeze(b, in_ranges(b, mask, q, j), INTS(1, 2)), dt);
  keep = op2(b, OP_Greater, mask, num_like(b, mask, 0));
  if (r == 2) return filter(b, unsqueeze(b, keep, INTS(1, 2)), dt);
  if (r == 3) return filter(b, unsqueeze(b, keep, INTS(1)), dt);
  Value *total = dim_of(b, k, 2), *from = sub(b, total, dim_of(b, q, 2)); // [B,1,M,M]: the rows of these queries, the columns of these keys
  keep = slice_dyn(b, slice_dyn(b, keep, 2, from, total), 3, int1(b, 0), total);
  return filter(b, keep, dt);
}

static Value *past_length(const B *b, Value *q, Value *k) { return sub(b, dim_of(b, k, 2), dim_of(b, q, 2)); }

static double score_scale(const B *b, const Value *q) {
  double v = float_or(b, "scale", 0);
  return v != 0 ? v : 1 / sqrt((double)static_dim(b, q, 3));
}

// The part after the projections: masks, softmax, heads merged. q [B,N,S,H], k and v with the past.
static Value *masked(const B *b, Attend *a, Value *mask, Value *bias, bool causal) {
  a->scale = score_scale(b, a->q);
  if (mask) a->bias = padding_bias(b, mask, a->q, a->k);
  if (bias) a->bias = add_opt(b, a->bias, wide(b, bias));
  if (causal) a->allowed = and_opt(b, a->allowed, band_mask(b, a->q, a->k, past_length(b, a->q, a->k), true, -1, -1));
  return merge_heads(b, attend(b, a));
}

/* ---- Attention, QAttention: x W + bias holds q, k and v ---- */
static void packed_attention(const B *b, Value *qkv, Value *mask, Value *past, Value *bias, const int64_t *sizes) {
  int64_t heads = attr_int(b->at, "num_heads"), all = static_dim(b, qkv, 2), at[4] = {0, all / 3, all / 3 * 2, all};
  Value *part[3];
  for (int i = 0; sizes && i < 3; i++) at[i + 1] = at[i] + sizes[i];
  for (int i = 0; i < 3; i++) part[i] = split_heads(b, slice(b, qkv, 2, at[i], at[i + 1]), heads);
  if (past) {
    part[1] = concat(b, 2, VALUES(pick(b, past, 0, 0), part[1]));
    part[2] = concat(b, 2, VALUES(pick(b, past, 0, 1), part[2]));
  }
  if (wanted(b, 1)) give(b, 1, concat(b, 0, VALUES(unsqueeze(b, part[1], INTS(0)), unsqueeze(b, part[2], INTS(0)))));
  Attend a = {.q = part[0], .k = part[1], .v = part[2]};
  give(b, 0, masked(b, &a, mask, bias, attr_int(b->at, "unidirectional")));
}

static void refuse(const B *b, const char *attr) {
  if (int_or(b, attr, 0)) cannot(b, "%s is not 0", attr);
}

void expand_ms_attention(const B *b) {
  const int64_t *sizes;
  int n = attr_ints(b->at, "qkv_hidden_sizes", &sizes);
  refuse(b, "do_rotary");
  refuse(b, "past_present_share_buffer");
  Value *qkv = add_opt(b, matmul(b, in(b, 0), in(b, 1)), in(b, 2));
  packed_attention(b, qkv, in(b, 3), in(b, 4), in(b, 5), n == 3 ? sizes : NULL);
}

void expand_qattention(const B *b) {
  refuse(b, "do_rotary");
  refuse(b, "past_present_share_buffer");
  Value *acc = integer_product(b, OP_MatMulInteger, in(b, 0), in(b, 1), in(b, 6), in(b, 7));
  Value *factor = mul(b, cast(b, in(b, 3), DT_F32), cast(b, in(b, 4), DT_F32));
  Value *qkv = add(b, cast(b, mul(b, cast(b, acc, DT_F32), factor), dtype(in(b, 2))), in(b, 2));
  packed_attention(b, qkv, in(b, 5), in(b, 8), NULL, NULL);
}

/* ---- MultiHeadAttention ---- */
static Value *part_of_bias(const B *b, Value *bias, int64_t from, int64_t to) { return bias ? slice(b, bias, 0, from, to) : NULL; }

// One of the packed forms [B,L,N,parts,H] -> [B,N,L,H]
static Value *unpacked(const B *b, Value *x, int part) { return transpose(b, pick(b, x, 3, part), INTS(0, 2, 1, 3)); }

// The bias of packed or three-dimensional operands belongs to the merged channels.
static Value *headed(const B *b, Value *x, Value *bias, int64_t heads) { return split_heads(b, add_opt(b, x, bias), heads); }

static Value *biased_heads(const B *b, Value *x, Value *bias) { // x [B,N,L,H], bias [N*H]
  if (!bias) return x;
  return add(b, x, unsqueeze(b, reshape_to(b, bias, INTS(static_dim(b, x, 1), static_dim(b, x, 3))), INTS(1)));
}

static void heads_of(const B *b, Attend *a, int64_t heads) {
  Value *q = in(b, 0), *k = in(b, 1), *v = in(b, 2), *bias = in(b, 3);
  int rq = rank_of(q), rk = k ? rank_of(k) : 0;
  int64_t d = rq == 5 ? static_dim(b, q, 2) * static_dim(b, q, 4) : static_dim(b, q, 2);
  Value *bq = part_of_bias(b, bias, 0, d), *bk = part_of_bias(b, bias, d, 2 * d), *bv = part_of_bias(b, bias, 2 * d, INT64_MAX);
  a->q = rq == 5 ? biased_heads(b, unpacked(b, q, 0), bq) : headed(b, q, bq, heads);
  if (rq == 5 || rk == 5) {
    Value *from = rq == 5 ? q : k;
    int first = rq == 5 ? 1 : 0;
    a->k = biased_heads(b, unpacked(b, from, first), bk);
    a->v = biased_heads(b, unpacked(b, from, first + 1), bv);
  } else if (rk == 4) { // of a cross attention: heads already apart, no bias
    a->k = k;
    a->v = v;
  } else {
    a->k = headed(b, k, bk, heads);
    a->v = headed(b, v, bv, heads);
  }
}

// Fresh rows written into a buffer of the greatest length, behind the `past` rows in use. i64[1]
static Value *written(const B *b, Value *buffer, Value *fresh, Value *past) {
  Value *at = expand_to(b, past, dim_of(b, buffer, 0));
  Node *n = start(b, OP_TensorScatter, VALUES(buffer, cast(b, fresh, dtype(buffer)), at), 1);
  node_set_int(n, "axis", 2);
  return finish(n);
}

// cache [batch*beams,N,M,H] as the beams see it: row t < past of a beam is that of the beam which source [batch,beams,M] names.
static Value *by_beam(const B *b, Value *cache, Value *source, Value *past) {
  int64_t beams = static_dim(b, source, 1), n = static_dim(b, cache, 1), h = static_dim(b, cache, 3);
  Value *m = dim_of(b, cache, 2), *own = unsqueeze(b, count_up(b, int1(b, beams)), INTS(1));
  Value *from = where(b, op2(b, OP_Less, count_up(b, m), past), cast(b, source, DT_I64), own);
  Value *shape = join(b, VALUES(ints(b, INTS(-1, beams, n)), m, int1(b, h)));
  Value *apart = reshape(b, cache, shape), *index = expand_to(b, unsqueeze(b, from, INTS(2, 4)), shape_of(b, apart));
  return reshape(b, op2_int(b, OP_GatherElements, apart, index, "axis", 1), shape_of(b, cache));
}

// Keys and values in buffers that past and present share
static void share_buffers(const B *b, Attend *a, Value *past_k, Value *past_v, Value *length, Value *source) {
  Value *past = reshape_to(b, cast(b, length, DT_I64), INTS(1)), *used = add(b, past, dim_of(b, a->q, 2));
  a->k = written(b, past_k, a->k, past);
  a->v = written(b, past_v, a->v, past);
  give(b, 1, a->k);
  give(b, 2, a->v);
  a->allowed = op2(b, OP_Less, count_up(b, dim_of(b, a->k, 2)), used);
  if (!source) return;
  a->k = by_beam(b, a->k, source, past);
  a->v = by_beam(b, a->v, source, past);
}

void expand_multi_head_attention(const B *b) {
  Value *past_k = in(b, 6), *past_v = in(b, 7), *length = in(b, 8);
  if (rank_of(in(b, 0)) == 3 && !in(b, 1)) cannot(b, "a query without a key");
  Attend a = {0};
  heads_of(b, &a, attr_int(b->at, "num_heads"));
  bool causal = attr_int(b->at, "unidirectional");
  if (length && past_k) {
    if (in(b, 4) || in(b, 5) || causal) cannot(b, "masks together with past_sequence_length");
    share_buffers(b, &a, past_k, past_v, length, in(b, 9));
  } else if (past_k) {
    a.k = concat(b, 2, VALUES(past_k, a.k));
    a.v = concat(b, 2, VALUES(past_v, a.v));
  }
  give(b, 0, masked(b, &a, in(b, 4), in(b, 5), causal));
  if (!length) {
    give(b, 1, a.k);
    give(b, 2, a.v);
  }
  if (wanted(b, 3)) give(b, 3, cast(b, a.biased, dtype(b->at->out[3])));
}

// One token for each row: against a cache that is its own buffer, or, without one, against keys and values whose heads stand apart.
void expand_decoder_masked_multi_head_attention(const B *b) {
  Value *q = in(b, 0), *k = in(b, 1), *v = in(b, 2), *past_k = in(b, 5), *bias = in(b, 10);
  int64_t heads = attr_int(b->at, "num_heads"), d = static_dim(b, q, 2) / (k ? 1 : 3);
  if (!k) { // all in one
    v = slice(b, q, 2, 2 * d, INT64_MAX);
    k = slice(b, q, 2, d, 2 * d);
    q = slice(b, q, 2, 0, d);
  }
  Attend a = {.q = headed(b, q, part_of_bias(b, bias, 0, d), heads), .k = k, .v = v};
  if (past_k) {
    if (!int_or(b, "past_present_share_buffer", 0) || !in(b, 7)) cannot(b, "a cache that is not its own buffer");
    a.k = headed(b, k, part_of_bias(b, bias, d, 2 * d), heads);
    a.v = headed(b, v, part_of_bias(b, bias, 2 * d, INT64_MAX), heads);
    share_buffers(b, &a, past_k, in(b, 6), in(b, 7), in(b, 9));
  } else if (rank_of(k) != 4) cannot(b, "keys without a cache");
  give(b, 0, masked(b, &a, in(b, 3), in(b, 4), false));
  if (wanted(b, 3)) give(b, 3, cast(b, a.biased, dtype(b->at->out[3])));
}

/* ---- GroupQueryAttention ---- */
typedef struct Group {
  Value *q, *k, *v; // [B,N,S,H] [B,Nkv,S,H]
  Value *past_len;  // i64 [B]: rows of the cache in use
  Value *pos;       // i64 [B,S]
} Group;

static Value *as_vector(const B *b, Value *x) { return reshape_to(b, cast(b, x, DT_I64), INTS(-1)); }

// total [B]: rows of the cache in use with the new ones; fresh [B] of the new ones count, or all of them
static void group_operands(const B *b, Group *g, Value *total, Value *fresh, Value *pos) {
  int64_t n = attr_int(b->at, "num_heads"), nk = attr_int(b->at, "kv_num_heads");
  Value *q = in(b, 0), *k = in(b, 1), *v = in(b, 2);
  if (!k) {
    int64_t h = static_dim(b, q, 2) / (n + 2 * nk);
    k = slice(b, q, 2, n * h, (n + nk) * h);
    v = slice(b, q, 2, (n + nk) * h, (n + 2 * nk) * h);
    q = slice(b, q, 2, 0, n * h);
  }
  g->q = split_heads(b, q, n);
  g->k = split_heads(b, k, nk);
  g->v = split_heads(b, v, nk);
  Value *length = dim_of(b, q, 1), *count = fresh ? as_vector(b, fresh) : length;
  g->past_len = op2(b, OP_Max, sub(b, as_vector(b, total), count), int1(b, 0));
  g->pos = pos ? pos : add(b, unsqueeze(b, g->past_len, INTS(1)), count_up(b, length));
}

static Value *head_norm(const B *b, Value *x, Value *weight, const char *own_epsilon) {
  if (!weight) return x;
  double eps = float_or(b, own_epsilon, 0);
  return rms_norm(b, x, weight, -1, eps != 0 ? eps : attr_float(b->at, "qk_norm_epsilon"), DT_F32, NULL);
}

static void group_rotary(const B *b, Group *g, Value *c, Value *s) {
  if (!int_or(b, "do_rotary", 0)) return;
  if (!c || !s) cannot(b, "do_rotary without cos_cache and sin_cache");
  int64_t rot = 2 * static_dim(b, c, 1);
  bool inter = int_or(b, "rotary_interleaved", 0);
  c = unsqueeze(b, gather(b, c, g->pos, 0), INTS(1));
  s = unsqueeze(b, gather(b, s, g->pos, 0), INTS(1));
  g->q = rotate(b, g->q, c, s, rot, inter);
  g->k = rotate(b, g->k, c, s, rot, inter);
}

// The cache, grown to `total` rows if it is shorter, with the new rows at past_len[b]
static Value *appended(const B *b, Value *past, Value *fresh, Value *past_len, Value *total) {
  if (!past) return fresh;
  Value *more = op2(b, OP_Max, sub(b, total, dim_of(b, past, 2)), int1(b, 0)), *none = ints(b, INTS(0, 0, 0, 0, 0, 0));
  Value *room = op2(b, OP_Pad, past, join(b, VALUES(none, more, int1(b, 0))));
  Node *n = start(b, OP_TensorScatter, VALUES(room, cast(b, fresh, dtype(past)), past_len), 1);
  node_set_int(n, "axis", 2);
  return finish(n);
}

// The cache as result `out`; what attention reads of it. A quantised one holds round(x/scale), of 4 bits two in a byte with 8 added.
static Value *cached(const B *b, int out, Value *past, Value *fresh, const Group *g, Value *total, Value *scale, const char *type) {
  if (attr_is(b->at, type, "NONE")) {
    Value *all = appended(b, past, fresh, g->past_len, total);
    give(b, out, all);
    return all;
  }
  if (!past || !scale) cannot(b, "a quantised cache without past or scale");
  DType stored = dtype(past), dt = dtype(fresh);
  bool half = int_or(b, "kv_cache_bit_width", 8) == 4;
  if (stored != (half ? DT_U8 : DT_I8)) cannot(b, "a cache of %s", dtypes[stored].name);
  scale = cast(b, rank_of(scale) == 1 ? reshape_to(b, scale, 0, NULL) : scale, DT_F32);
  double most = half ? 7 : 127;
  Value *q = op1(b, OP_Round, quo(b, cast(b, fresh, DT_F32), scale)), *all;
  q = op3(b, OP_Clip, q, num_like(b, q, -most - 1), num_like(b, q, most));
  if (half) {
    q = add(b, q, num_like(b, q, 8));
    int last = rank_of(q) - 1;
    q = add(b, slice_step(b, q, last, 0, INT64_MAX, 2), mul(b, slice_step(b, q, last, 1, INT64_MAX, 2), num_like(b, q, 16)));
  }
  all = appended(b, past, cast(b, q, stored), g->past_len, total);
  give(b, out, all);
  if (half) all = sub(b, unpack_fields(b, all, 4, false), num(b, DT_I32, 8));
  return cast(b, mul(b, cast(b, all, DT_F32), scale), dt);
}

static Value *group_sink(const B *b) {
  if (in(b, 11)) return reshape_to(b, wide(b, in(b, 11)), INTS(1, -1, 1, 1));
  return attr_int(b->at, "smooth_softmax") > 0 ? num(b, DT_F32, 0) : NULL;
}

/* ---- a cache of the last tokens only: rows 0 .. L-1 hold the positions t-L .. t-1 of the t tokens so far ---- */
// L(t): all while they fit; then as many as are left when rows go `step` at a time.
static Value *resident(const B *b, Value *t, Value *capacity, Value *step) {
  Value *over = sub(b, t, capacity), *times = quo(b, add(b, over, sub(b, step, int1(b, 1))), step);
  return where(b, op2(b, OP_Greater, over, int1(b, 0)), sub(b, t, mul(b, step, times)), t);
}

typedef struct Slide {
  Value *before, *fresh; // tokens of each row so far, new ones: i64 [B,1]
  Value *kept, *capacity, *step;
} Slide;

// The rows of [past, fresh] that the cache holds afterwards
static Value *slid(const B *b, const Slide *s, Value *both, Value *past) {
  Value *total = add(b, s->before, s->fresh), *first = sub(b, total, resident(b, total, s->capacity, s->step));
  Value *pos = add(b, first, count_up(b, s->capacity)), *old = sub(b, pos, sub(b, s->before, s->kept));
  Value *row = where(b, op2(b, OP_Less, pos, s->before), old, add(b, sub(b, pos, s->before), s->capacity));
  row = op2(b, OP_Min, row, sub(b, dim_of(b, both, 2), int1(b, 1))); // behind the last: unspecified
  return op2_int(b, OP_GatherElements, both, expand_to(b, unsqueeze(b, row, INTS(1, 3)), shape_of(b, past)), "axis", 2);
}

static void sliding_attention(const B *b, const Group *g) {
  int64_t window = attr_int(b->at, "local_window_size"), capacity;
  Value *past_k = in(b, 3), *past_v = in(b, 4), *length = dim_of(b, g->q, 2);
  if (!past_k || window <= 0 || !attr_int(b->at, "causal") || in(b, 10))
    cannot(b, "sliding_window_cache without cache, window or order, or with attention_bias");
  if (known_dim(past_k, 2, &capacity) && capacity < window)
    cannot(b, "a cache of %lld for a window of %lld", (long long)capacity, (long long)window);
  Slide s = {.before = unsqueeze(b, g->past_len, INTS(1)), .capacity = dim_of(b, past_k, 2)};
  s.step = sub(b, s.capacity, int1(b, window - 1));
  s.kept = resident(b, s.before, s.capacity, s.step);
  s.fresh = in(b, 16) ? unsqueeze(b, as_vector(b, in(b, 16)), INTS(1)) : length;
  Attend a = {
      .q = g->q, .k = concat(b, 2, VALUES(past_k, g->k)), .v = concat(b, 2, VALUES(past_v, g->v)), .softcap = float_or(b, "softcap", 0)};
  a.scale = score_scale(b, a.q);
  Value *j = count_up(b, dim_of(b, a.k, 2)), *of_past = op2(b, OP_Less, j, s.capacity), *mine = sub(b, j, s.capacity); // [C+S]
  Value *pos = where(b, of_past, add(b, sub(b, s.before, s.kept), j), add(b, s.before, mine));                         // [B,C+S]
  Value *there = where(b, of_past, op2(b, OP_Less, j, s.kept), op2(b, OP_Less, mine, s.fresh));
  Value *i = unsqueeze(b, add(b, s.before, count_up(b, length)), INTS(2)); // [B,S,1]
  pos = unsqueeze(b, pos, INTS(1));
  Value *seen = op2(b, OP_And, op2(b, OP_LessOrEqual, pos, i), op2(b, OP_Greater, add(b, pos, int1(b, window)), i));
  a.allowed = unsqueeze(b, op2(b, OP_And, seen, unsqueeze(b, there, INTS(1))), INTS(1));
  a.sink = group_sink(b);
  give(b, 0, merge_heads(b, attend(b, &a)));
  give(b, 1, slid(b, &s, a.k, past_k));
  give(b, 2, slid(b, &s, a.v, past_v));
  if (wanted(b, 3)) cannot(b, "qk_output of a sliding cache");
}

void expand_group_query_attention(const B *b) {
  Group g;
  group_operands(b, &g, add(b, as_vector(b, in(b, 5)), int1(b, 1)), in(b, 16), in(b, 9));
  g.q = head_norm(b, g.q, in(b, 14), "q_norm_epsilon");
  g.k = head_norm(b, g.k, in(b, 15), "k_norm_epsilon");
  group_rotary(b, &g, in(b, 7), in(b, 8));
  if (attr_int(b->at, "sliding_window_cache")) {
    sliding_attention(b, &g);
    return;
  }
  Value *total = reshape_to(b, cast(b, in(b, 6), DT_I64), INTS(1));
  Attend a = {.q = g.q};
  a.k = cached(b, 1, in(b, 3), g.k, &g, total, in(b, 12), "k_quant_type");
  a.v = cached(b, 2, in(b, 4), g.v, &g, total, in(b, 13), "v_quant_type");
  a.softcap = float_or(b, "softcap", 0);
  a.scale = score_scale(b, a.q);
  int64_t window = attr_int(b->at, "local_window_size");
  Value *offset = reshape_to(b, g.past_len, INTS(-1, 1, 1, 1));
  a.allowed = band_mask(b, a.q, a.k, offset, attr_int(b->at, "causal"), window > 0 ? window - 1 : -1, -1);
  if (in(b, 10)) a.bias = in(b, 10);
  a.sink = group_sink(b);
  give(b, 0, merge_heads(b, attend(b, &a)));
  if (!wanted(b, 3)) return;
  Value *scores = attr_int(b->at, "qk_output") == 2 ? a.probs : a.biased; // 0 where a key is not allowed
  give(b, 3, cast(b, a.allowed ? where(b, a.allowed, scores, num_like(b, scores, 0)) : scores, dtype(b->at->out[3])));
}

/* ---- SparseAttention: causal, and of the blocks that a list of columns for each row of blocks names ---- */
// bool [layouts, R, C]: block c of row r. rows [layouts, R+1] and columns [layouts, entries] are the mask in compressed rows.
static Value *block_mask(const B *b, Value *row, Value *column, Value *ncol) {
  Value *e = count_up(b, dim_of(b, column, 1)), *c = unsqueeze(b, count_up(b, ncol), INTS(1)); // [E], [C,1]
  Value *from = unsqueeze(b, slice(b, row, 1, 0, -1), INTS(2, 3)), *to = unsqueeze(b, slice(b, row, 1, 1, INT64_MAX), INTS(2, 3));
  Value *here = op2(b, OP_And, op2(b, OP_GreaterOrEqual, e, from), op2(b, OP_Less, e, to));
  here = op2(b, OP_And, here, op2(b, OP_Equal, unsqueeze(b, column, INTS(1, 2)), c));
  int64_t last = 3;
  return cast(b, reduce(b, OP_ReduceMax, cast(b, here, DT_I32), 1, &last, false), DT_BOOL);
}

void expand_sparse_attention(const B *b) {
  Group g;
  group_operands(b, &g, in(b, 8), NULL, NULL);
  group_rotary(b, &g, in(b, 9), in(b, 10));
  Attend a = {.q = g.q, .k = appended(b, in(b, 3), g.k, g.past_len, int1(b, 0)), .v = appended(b, in(b, 4), g.v, g.past_len, int1(b, 0))};
  a.scale = score_scale(b, a.q);
  Value *row = cast(b, in(b, 5), DT_I64), *column = cast(b, in(b, 6), DT_I64), *size = int1(b, attr_int(b->at, "sparse_block_size"));
  int64_t layouts = static_dim(b, row, 0), heads = attr_int(b->at, "num_heads");
  if (layouts <= 0 || heads % layouts) cannot(b, "%lld layouts for %lld heads", (long long)layouts, (long long)heads);
  Value *nrow = sub(b, dim_of(b, row, 1), int1(b, 1)), *mask = block_mask(b, row, column, nrow); // [L,R,R]
  Value *which = quo(b, g.pos, size), *of_key = quo(b, count_up(b, dim_of(b, a.k, 2)), size);
  mask = gather(b, gather(b, mask, which, 1), of_key, 3); // [L,B,S,T]
  mask = transpose(b, mask, INTS(1, 0, 2, 3));
  if (layouts > 1) {
    double *turn = NEWN(double, heads);
    for (int64_t i = 0; i < heads; i++) turn[i] = (double)(i % layouts);
    mask = gather(b, mask, floats(b, DT_I64, 1, &heads, turn), 1);
  }
  a.allowed = op2(b, OP_And, mask, band_mask(b, a.q, a.k, reshape_to(b, g.past_len, INTS(-1, 1, 1, 1)), true, -1, -1));
  give(b, 0, merge_heads(b, attend(b, &a)));
  give(b, 1, a.k);
  give(b, 2, a.v);
}

/* ---- RotaryEmbedding, MRotaryEmbedding: position_ids before the caches, [1] is an offset ---- */
static void rotary(const B *b, Value *c, Value *s) { // c, s [B,S,rot/2]
  Value *x = in(b, 0), *y = x;
  refuse(b, "is_packed_batching");
  double scale = float_or(b, "scale", 1);
  if (scale != 0 && scale != 1) cannot(b, "scale is not 1");
  bool flat = rank_of(x) == 3;
  int64_t rot = 2 * static_dim(b, c, 2), heads = int_or(b, "num_heads", 0), axis = flat ? 2 : 1;
  if (flat) {
    int64_t hidden = static_dim(b, x, 2), h = heads > 0 ? hidden / heads : rot;
    y = reshape_to(b, x, INTS(0, 0, hidden / h, h));
  }
  y = rotate(b, y, unsqueeze(b, c, 1, &axis), unsqueeze(b, s, 1, &axis), rot, int_or(b, "interleaved", 0));
  give(b, 0, flat ? reshape(b, y, shape_of(b, x)) : y);
}

void expand_ms_rotary_embedding(const B *b) {
  Value *x = in(b, 0), *pos = cast(b, in(b, 1), DT_I64);
  if (rank_of(pos) == 1) pos = unsqueeze(b, add(b, pos, count_up(b, dim_of(b, x, rank_of(x) == 3 ? 1 : 2))), INTS(0));
  rotary(b, gather(b, in(b, 2), pos, 0), gather(b, in(b, 3), pos, 0));
}

// Each column of the caches is read at one of three positions: by sections, or by turns (t h w t h w ..) as far as h and w reach.
static Value *sectioned(const B *b, Value *cache, const int64_t *size) {
  int64_t half = static_dim(b, cache, 1), of[3] = {0};
  double *which = NEWN(double, half);
  for (int64_t i = 0; i < half; i++) {
    int64_t turn = i % 3;
    if (int_or(b, "mrope_layout", 0)) which[i] = turn && i < 3 * size[turn] ? (double)turn : 0;
    else which[i] = i < size[0] ? 0 : i < size[0] + size[1] ? 1 : 2;
  }
  Value *at = gather(b, cache, in(b, 1), 0), *axis = floats(b, DT_I64, 1, &half, which), *y = pick(b, at, 0, 0);
  for (of[0] = 1; of[0] < 3; of[0]++) y = where(b, op2(b, OP_Equal, axis, ints(b, 1, of)), pick(b, at, 0, of[0]), y);
  return y;
}

void expand_m_rotary_embedding(const B *b) {
  const int64_t *size;
  if (attr_ints(b->at, "mrope_section", &size) != 3) cannot(b, "mrope_section does not hold three numbers");
  rotary(b, sectioned(b, in(b, 2), size), sectioned(b, in(b, 3), size));
}

/* ---- packed forms: the tokens of all rows one after the other; a token sees those of its own row ---- */
static Value *same_row(const B *b, Value *cumulated, Value *x) {
  int64_t axis = 0;
  Value *i = count_up(b, dim_of(b, x, 0)), *starts = unsqueeze(b, cast(b, cumulated, DT_I64), INTS(1));
  Value *row = reduce(b, OP_ReduceSum, cast(b, op2(b, OP_LessOrEqual, starts, i), DT_I64), 1, &axis, false);
  return op2(b, OP_Equal, unsqueeze(b, row, INTS(1)), row);
}

static void packed_tokens(const B *b, Value *const *part, Value *cumulated, Value *bias) { // part: [T,N*H]
  if (bias) cannot(b, "attention_bias of a packed batch");
  int64_t heads = attr_int(b->at, "num_heads");
  Attend a = {.allowed = same_row(b, cumulated, part[0])};
  Value **to[] = {&a.q, &a.k, &a.v};
  for (int i = 0; i < 3; i++) *to[i] = split_heads(b, unsqueeze(b, part[i], INTS(0)), heads);
  give(b, 0, squeeze(b, masked(b, &a, NULL, NULL, false), 0));
}

void expand_packed_attention(const B *b) {
  const int64_t *sizes;
  bool given = attr_ints(b->at, "qkv_hidden_sizes", &sizes) == 3;
  Value *qkv = add_opt(b, matmul(b, in(b, 0), in(b, 1)), in(b, 2)), *part[3];
  int64_t at = 0;
  for (int i = 0; i < 3; i++) {
    int64_t n = given ? sizes[i] : static_dim(b, qkv, 1) / 3;
    part[i] = slice(b, qkv, 1, at, at + n);
    at += n;
  }
  packed_tokens(b, part, in(b, 4), in(b, 5));
}

void expand_packed_multi_head_attention(const B *b) {
  Value *q = in(b, 0), *part[3] = {q, in(b, 1), in(b, 2)}, *bias = in(b, 3);
  int64_t at = 0;
  for (int i = 0; i < 3; i++) {
    if (rank_of(q) == 4) part[i] = reshape_to(b, pick(b, q, 2, i), INTS(0, static_dim(b, q, 1) * static_dim(b, q, 3)));
    int64_t n = static_dim(b, part[i], 1);
    if (bias) part[i] = add(b, part[i], slice(b, bias, 0, at, at + n));
    at += n;
  }
  packed_tokens(b, part, in(b, 5), in(b, 6));
}

// gates u, r from each head's query: bias = rel_pos * (u * (r * eco_a - 1) + 2)
void expand_gated_relative_position_bias(const B *b) {
  if (in(b, 6)) cannot(b, "token_offset");
  Value *q = split_heads(b, add(b, in(b, 0), in(b, 1)), attr_int(b->at, "num_heads"));
  Value *g = add(b, matmul(b, q, in(b, 3)), in(b, 4)), *gate[2]; // [B,N,S,D]: two halves, each summed
  int64_t half = static_dim(b, g, 3) / 2, last = 4;
  g = reshape(b, g, join(b, VALUES(dim_of(b, g, 0), dim_of(b, g, 1), dim_of(b, g, 2), ints(b, INTS(2, half)))));
  g = sigmoid(b, reduce(b, OP_ReduceSum, g, 1, &last, false));
  split(b, g, 3, 2, gate);
  Value *inner = sub(b, mul(b, gate[1], in(b, 5)), num_like(b, g, 1));
  give(b, 0, mul(b, add(b, mul(b, gate[0], inner), num_like(b, g, 2)), in(b, 2)));
}
