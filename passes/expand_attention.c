// expand_attention.c - ai.onnx Attention 25, RotaryEmbedding, FlexAttention; attend(), which com.microsoft's attentions use as well.
//
// Scores are taken in f32 for the half types. Masks are bools joined by And and one additive term; a masked score is replaced, never added
// to, so an infinite or NaN score under a mask cannot leak; a row without any allowed key gives zeros.
#include "passes/expand_attention.h"
#include "passes/infer.h"
#include <math.h>

// [B,Nkv,T,H] -> [B,N,T,H]: each key head serves N/Nkv query heads
static Value *repeat_heads(const B *b, Value *x, int64_t groups) {
  if (groups == 1) return x;
  Value *n = int1(b, static_dim(b, x, 1) * groups);
  Value *y = expand_to(b, unsqueeze(b, x, INTS(2)), ints(b, INTS(1, 1, groups, 1, 1)));
  return reshape(b, y, join(b, VALUES(dim_of(b, x, 0), n, dim_of(b, x, 2), dim_of(b, x, 3))));
}

Value *split_heads(const B *b, Value *x, int64_t heads) {
  int64_t hidden = static_dim(b, x, -1);
  if (heads <= 0 || hidden % heads) cannot(b, "%lld channels do not divide into %lld heads", (long long)hidden, (long long)heads);
  return transpose(b, reshape_to(b, x, INTS(0, 0, heads, hidden / heads)), INTS(0, 2, 1, 3));
}

Value *merge_heads(const B *b, Value *x) {
  int64_t n = static_dim(b, x, 1) * static_dim(b, x, 3);
  return reshape_to(b, transpose(b, x, INTS(0, 2, 1, 3)), INTS(0, 0, n));
}

Value *attend(const B *b, Attend *a) {
  DType dt = dtype(a->q);
  int64_t nq = static_dim(b, a->q, 1), nk = static_dim(b, a->k, 1);
  if (nk == 0 || nq % nk) cannot(b, "%lld query heads do not divide into %lld key heads", (long long)nq, (long long)nk);
  Value *q = wide(b, a->q), *k = wide(b, repeat_heads(b, a->k, nq / nk)), *v = wide(b, repeat_heads(b, a->v, nq / nk));
  Value *s = matmul(b, mul(b, q, num_like(b, q, a->scale)), swap_last(b, k));
  a->raw = a->capped = s;
  if (a->softcap > 0) {
    Value *c = num_like(b, s, a->softcap);
    a->capped = s = mul(b, tanh_of(b, quo(b, s, c)), c);
  }
  Value *none = num_like(b, s, -INFINITY);
  if (a->bias) {
    Value *bias = cast(b, a->bias, dtype(s)), *sum = add(b, s, bias);
    s = a->finite_bias ? sum : where(b, op2(b, OP_Equal, bias, none), none, sum);
  }
  if (a->allowed) s = where(b, a->allowed, s, none);
  a->biased = s;
  if (a->precision == DT_F64) s = cast(b, s, DT_F64);
  if (a->score_mod) s = a->score_mod(b, s);
  Value *p = softmax(b, s, -1, !a->plain, a->sink, false);
  if (a->prob_mod) p = a->prob_mod(b, p);
  a->probs = p;
  return cast(b, matmul(b, cast(b, p, dtype(v)), v), dt);
}

Value *rows(const B *b, Value *count) { return unsqueeze(b, count_up(b, count), INTS(1)); } // 0..S-1 as [S,1]

// j <= i + offset, and windows: i + offset - left <= j <= i + offset + right; -1: no limit on that side. offset i64, broadcastable.
Value *band_mask(const B *b, Value *q, Value *k, Value *offset, bool causal, int64_t left, int64_t right) {
  if (!causal && left < 0 && right < 0) return NULL;
  Value *i = rows(b, dim_of(b, q, 2)), *j = count_up(b, dim_of(b, k, 2)), *ok = NULL;
  if (offset) i = add(b, i, offset);
  if (causal) ok = op2(b, OP_LessOrEqual, j, i);
  if (left >= 0) ok = and_opt(b, ok, op2(b, OP_GreaterOrEqual, j, left ? sub(b, i, num_like(b, i, (double)left)) : i));
  if (right >= 0) ok = and_opt(b, ok, op2(b, OP_LessOrEqual, j, right ? add(b, i, num_like(b, i, (double)right)) : i));
  return ok;
}

// A mask shorter than the keys is continued with "not allowed".
static Value *full_mask(const B *b, Value *m, Value *k) {
  if (same_dim(m, -1, k, 2)) return m;
  int r = rank_of(m);
  Value *more = sub(b, dim_of(b, k, 2), dim_of(b, m, -1)), *none = num_like(b, m, dtype(m) == DT_BOOL ? 0 : -INFINITY);
  int64_t nought[2 * MAX_RANK] = {0};
  return op3(b, OP_Pad, m, join(b, VALUES(ints(b, 2 * r - 1, nought), more)), none);
}

static void give_scores(const B *b, const Attend *a) {
  if (!wanted(b, 3)) return;
  Value *const by_mode[] = {a->raw, a->capped, a->biased, a->probs};
  int64_t mode = attr_int(b->at, "qk_matmul_output_mode");
  if (mode < 0 || mode > 3) cannot(b, "qk_matmul_output_mode %lld", (long long)mode);
  give(b, 3, cast(b, by_mode[mode], dtype(a->q)));
}

void expand_attention(const B *b) {
  Value *q = in(b, 0), *k = in(b, 1), *v = in(b, 2), *mask = in(b, 3), *past_k = in(b, 4), *past_v = in(b, 5), *nonpad = in(b, 6);
  bool flat = rank_of(q) == 3;
  if (flat) {
    if (!attr_has(b->at, "q_num_heads") || !attr_has(b->at, "kv_num_heads"))
      cannot(b, "inputs of rank 3 need q_num_heads and kv_num_heads");
    int64_t nk = attr_int(b->at, "kv_num_heads");
    q = split_heads(b, q, attr_int(b->at, "q_num_heads"));
    k = split_heads(b, k, nk);
    v = split_heads(b, v, nk);
  }
  Value *offset = NULL;
  if (past_k) {
    offset = dim_of(b, past_k, 2);
    k = concat(b, 2, VALUES(past_k, k));
    v = concat(b, 2, VALUES(past_v, v));
  } else if (nonpad) offset = sub(b, reshape_to(b, nonpad, INTS(-1, 1, 1, 1)), dim_of(b, q, 2));
  Attend a = {.q = q, .k = k, .v = v, .softcap = attr_float(b->at, "softcap")};
  a.scale = attr_has(b->at, "scale") ? attr_float(b->at, "scale") : 1 / sqrt((double)static_dim(b, q, 3));
  a.precision = attr_has(b->at, "softmax_precision") ? (DType)attr_int(b->at, "softmax_precision") : DT_NONE;
  a.allowed =
      band_mask(b, q, k, offset, attr_int(b->at, "is_causal"), attr_int(b->at, "left_window_size"), attr_int(b->at, "right_window_size"));
  if (nonpad) a.allowed = and_opt(b, a.allowed, op2(b, OP_Less, count_up(b, dim_of(b, k, 2)), reshape_to(b, nonpad, INTS(-1, 1, 1, 1))));
  if (mask) mask = full_mask(b, mask, k);
  if (mask && dtype(mask) == DT_BOOL) a.allowed = and_opt(b, a.allowed, mask);
  else a.bias = mask;
  Value *y = attend(b, &a);
  give(b, 0, flat ? merge_heads(b, y) : y);
  give(b, 1, k);
  give(b, 2, v);
  give_scores(b, &a);
}

/* ---- rotary embedding ---- */
// x [..,H], c and s broadcastable to [..,rot/2]: pairs (halves, or neighbours when interleaved) turn; channels beyond rot stay.
Value *rotate(const B *b, Value *x, Value *c, Value *s, int64_t rot, bool interleaved) {
  int64_t h = static_dim(b, x, -1);
  int r = rank_of(x), last = r - 1;
  Value *turn = rot < h ? slice(b, x, last, 0, rot) : x, *x1, *x2;
  c = cast(b, c, dtype(x)), s = cast(b, s, dtype(x));
  if (interleaved) {
    x1 = slice_step(b, turn, last, 0, rot, 2);
    x2 = slice_step(b, turn, last, 1, rot, 2);
  } else {
    x1 = slice(b, turn, last, 0, rot / 2);
    x2 = slice(b, turn, last, rot / 2, rot);
  }
  Value *y1 = sub(b, mul(b, c, x1), mul(b, s, x2)), *y2 = add(b, mul(b, s, x1), mul(b, c, x2)), *y;
  if (interleaved) {
    int64_t ax = r;
    y = concat(b, r, VALUES(unsqueeze(b, y1, 1, &ax), unsqueeze(b, y2, 1, &ax)));
    y = reshape(b, y, shape_of(b, turn));
  } else y = concat(b, last, VALUES(y1, y2));
  return rot < h ? concat(b, last, VALUES(y, slice(b, x, last, rot, h))) : y;
}

void expand_rotary_embedding(const B *b) {
  Value *x = in(b, 0), *c = in(b, 1), *s = in(b, 2), *pos = in(b, 3), *y = x;
  bool flat = rank_of(x) == 3;
  int64_t rot = attr_int(b->at, "rotary_embedding_dim");
  if (flat) {
    int64_t heads = attr_has(b->at, "num_heads") ? attr_int(b->at, "num_heads") : 0, hidden = static_dim(b, x, 2);
    if (heads <= 0 || hidden % heads) cannot(b, "an input of rank 3 needs num_heads that divides %lld", (long long)hidden);
    y = reshape_to(b, x, INTS(0, 0, heads, hidden / heads));
  }
  if (rot == 0) rot = static_dim(b, y, 3);
  if (pos) c = gather(b, c, pos, 0), s = gather(b, s, pos, 0);
  int64_t axis = flat ? 2 : 1;
  y = rotate(b, y, unsqueeze(b, c, 1, &axis), unsqueeze(b, s, 1, &axis), rot, attr_int(b->at, "interleaved"));
  give(b, 0, flat ? reshape(b, y, shape_of(b, x)) : y);
}

/* ---- FlexAttention: regions score_mod and prob_mod see scores and probabilities ---- */
typedef struct Bound {
  const Graph *body;
  Value *to;
} Bound;

static Value *bound_input(Value *v, void *u) {
  Bound *m = u;
  return v == m->body->in[0] ? m->to : NULL;
}

static Value *modified(const B *b, int k, Value *x) {
  if (k >= b->at->nregion) return x;
  Graph *body = b->at->region[k];
  DType dt = dtype(x);
  if (body->nin != 1 || body->nout != 1) cannot(b, "%s must have one input and one output", body->name ? body->name : "a region");
  if (body->in[0]->type && body->in[0]->type->kind == TYPE_TENSOR) x = cast(b, x, dtype(body->in[0]));
  Node *before = b->at->prev;
  Value *y;
  graph_inline(body, b->g, b->at, bound_input, &(Bound){body, x}, &y);
  for (Node *n = before ? before->next : b->g->first; n != b->at; n = n->next) infer_node(n);
  return cast(b, y, dt);
}

static Value *score_mod(const B *b, Value *s) { return modified(b, 0, s); }
static Value *prob_mod(const B *b, Value *p) { return modified(b, 1, p); }

void expand_flex_attention(const B *b) {
  Attend a = {.q = in(b, 0), .k = in(b, 1), .v = in(b, 2), .plain = true, .score_mod = score_mod, .prob_mod = prob_mod};
  a.scale = float_or(b, "scale", 1 / sqrt((double)static_dim(b, a.q, 3)));
  a.precision = (DType)int_or(b, "softmax_precision", DT_NONE);
  give(b, 0, attend(b, &a));
}
