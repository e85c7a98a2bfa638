// expand_gates.c - com.microsoft: the gates, branches, routers and token hashes of newer hybrid language models.
//
// Everything is computed in f32 and rounded to the operands' type where the documentation says so.
#include "passes/expand.h"
#include <math.h>

static Value *narrow(const B *b, Value *x) { return cast(b, x, dtype(b->at->out[0])); }

// [.., C*H] -> [.., C, H]; C or H 0: what is left
static Value *parted(const B *b, Value *x, int64_t c, int64_t h) {
  Value *dim[MAX_RANK + 1];
  int r = rank_of(x);
  int64_t all = static_dim(b, x, -1);
  if (!c) c = all / h;
  if (!h) h = all / c;
  if (c * h != all) cannot(b, "%lld channels in %lld branches of %lld", (long long)all, (long long)c, (long long)h);
  for (int i = 0; i < r - 1; i++) dim[i] = dim_of(b, x, i);
  dim[r - 1] = int1(b, c);
  dim[r] = int1(b, h);
  return reshape(b, x, join(b, r + 1, dim));
}

static Value *widened(const B *b, int i) { return in(b, i) ? wide(b, in(b, i)) : NULL; }

/* ---- gates ---- */
void expand_gated_add(const B *b) {
  if (in(b, 3)) cannot(b, "gate_weight");
  give(b, 0, add(b, in(b, 0), mul(b, in(b, 1), in(b, 2))));
}

void expand_scaled_silu(const B *b) {
  Value *x = widened(b, 0),
        *scale = in(b, 1) ? cast(b, reshape_to(b, in(b, 1), 0, NULL), DT_F32) : num_like(b, x, attr_float(b->at, "alpha"));
  Value *z = narrow(b, mul(b, x, scale)), *s = narrow(b, sigmoid(b, wide(b, z)));
  give(b, 0, mul(b, z, s));
}

void expand_gated_rms_norm(const B *b) {
  Value *x = parted(b, widened(b, 0), 0, static_dim(b, in(b, 1), 0)), *gate = widened(b, 2);
  x = reshape(b, rms_norm(b, x, widened(b, 1), -1, attr_float(b->at, "epsilon"), DT_F32, NULL), shape_of(b, gate));
  give(b, 0, narrow(b, mul(b, x, attr_is(b->at, "activation", "sigmoid") ? sigmoid(b, gate) : silu(b, gate))));
}

void expand_linear_attention_gate(const B *b) {
  Value *a = add(b, cast(b, in(b, 0), DT_F32), in(b, 1));
  give(b, 0, narrow(b, mul(b, op1(b, OP_Softplus, a), in(b, 2))));
  if (wanted(b, 1)) give(b, 1, cast(b, sigmoid(b, widened(b, 3)), dtype(in(b, 3))));
}

/* ---- branches ---- */
void expand_branchwise_rms_norm(const B *b) {
  int64_t c = attr_int(b->at, "num_branches");
  Value *x = widened(b, 0), *scale = widened(b, 1), *y = c ? parted(b, x, c, 0) : x;
  int64_t h = static_dim(b, y, -1);
  if (scale && rank_of(scale) == 1 && static_dim(b, scale, 0) != h) scale = parted(b, scale, 0, h);
  y = rms_norm(b, y, scale, -1, attr_float(b->at, "epsilon"), DT_F32, NULL);
  give(b, 0, narrow(b, c ? reshape(b, y, shape_of(b, x)) : y));
}

void expand_engram_gate(const B *b) {
  double eps = attr_float(b->at, "epsilon");
  Value *key = rms_norm(b, widened(b, 0), widened(b, 3), -1, eps, DT_F32, NULL);
  Value *query = rms_norm(b, widened(b, 1), widened(b, 4), -1, eps, DT_F32, NULL);
  Value *dot = reduce_from(b, OP_ReduceSum, mul(b, key, query), -1);
  dot = mul(b, dot, num_like(b, dot, 1 / sqrt((double)static_dim(b, key, -1))));
  Value *root = op1(b, OP_Sqrt, op2(b, OP_Max, op1(b, OP_Abs, dot), num_like(b, dot, 1e-6)));
  Value *y = mul(b, sigmoid(b, mul(b, op1(b, OP_Sign, dot), root)), unsqueeze(b, widened(b, 2), INTS(2)));
  give(b, 0, narrow(b, y));
  if (!wanted(b, 1)) return;
  if (!in(b, 5)) cannot(b, "gated_value_normed without conv_norm_scale");
  give(b, 1, narrow(b, rms_norm(b, y, widened(b, 5), -1, eps, DT_F32, NULL)));
}

static Value *branches(const B *b, Value *x) { // [.., C, H]
  int64_t c = attr_int(b->at, "num_branches");
  return c ? parted(b, x, c, 0) : x;
}

void expand_hyper_connection_pre_mix(const B *b) {
  Value *x = branches(b, widened(b, 0)), *mix = widened(b, 1);
  int64_t c = static_dim(b, x, -2), axis = rank_of(x) - 2;
  if (rank_of(mix) < rank_of(x)) mix = static_dim(b, mix, -1) == c ? unsqueeze(b, mix, INTS(-1)) : parted(b, mix, c, 0);
  Value *y = reduce(b, OP_ReduceSum, mul(b, x, mix), 1, &axis, false);
  give(b, 0, narrow(b, mul(b, y, num_like(b, y, attr_float(b->at, "reduction_scale")))));
}

void expand_hyper_connection_post_mix(const B *b) {
  Value *x = branches(b, widened(b, 0)), *block = unsqueeze(b, widened(b, 1), INTS(-2)), *post = widened(b, 2), *mix = widened(b, 3);
  if (rank_of(post) < rank_of(x)) post = unsqueeze(b, post, INTS(-1));
  Value *y = add(b, mix ? matmul(b, swap_last(b, mix), x) : x, mul(b, post, block));
  give(b, 0, narrow(b, reshape(b, y, shape_of(b, in(b, 0)))));
}

/* ---- MoEGroupRouter: experts of the best groups, by sigmoid plus bias ---- */
static Value *among_best(const B *b, Value *x, int64_t k) { // bool of x's shape: is it one of the k greatest of its row?
  int axis = rank_of(x) - 1;
  Node *top = start(b, OP_TopK, VALUES(x, int1(b, k)), 2);
  finish(top);
  Value *no = cast(b, zeros(b, DT_I32, shape_of(b, x)), DT_I32), *yes = filled(b, DT_I32, 1, shape_of(b, top->out[1]));
  Node *n = start(b, OP_ScatterElements, VALUES(no, top->out[1], yes), 1);
  node_set_int(n, "axis", axis);
  return cast(b, finish(n), DT_BOOL);
}

void expand_moe_group_router(const B *b) {
  Value *x = cast(b, in(b, 0), DT_F32);
  x = in(b, 2) ? matmul(b, x, swap_last(b, cast(b, in(b, 2), DT_F32))) : reshape_to(b, x, INTS(-1, static_dim(b, x, -1)));
  Value *s = sigmoid(b, x), *score = add(b, s, in(b, 1));
  give(b, 1, score);
  give(b, 2, s);
  if (!wanted(b, 0)) return;
  int64_t experts = static_dim(b, s, 1), groups = attr_int(b->at, "n_group"), best = attr_int(b->at, "group_topk"), last = 2;
  if (groups <= 0 || experts % groups) cannot(b, "%lld experts in %lld groups", (long long)experts, (long long)groups);
  if (best > experts / groups) best = experts / groups;
  if (groups > 1) {
    Value *grouped = reshape_to(b, score, INTS(-1, groups, experts / groups));
    Value *value = finish(start(b, OP_TopK, VALUES(grouped, int1(b, best)), 2));
    Value *active = among_best(b, reduce(b, OP_ReduceSum, value, 1, &last, false), attr_int(b->at, "topk_group"));
    grouped = where(b, unsqueeze(b, active, INTS(2)), grouped, num(b, DT_F32, -INFINITY));
    score = reshape(b, grouped, shape_of(b, s));
  }
  Value *chosen = among_best(b, score, attr_int(b->at, "top_k")), *none = num(b, DT_F32, attr_float(b->at, "router_sentinel"));
  give(b, 0, narrow(b, where(b, chosen, op1(b, OP_Log, op2(b, OP_Max, s, num(b, DT_F32, 1e-20))), none)));
}

/* ---- NGramHashMapping: ids and the n-1 before them, mixed by products and xor ---- */
typedef struct Window {
  Value *all;  // [B, n-1+S]: history, then the ids
  Value *rows; // S as i64[1]
  int64_t back;
} Window;

static Value *shifted_by(const B *b, const Window *w, Value *all, int64_t k) { // what stood k places before each id
  return slice_dyn(b, all, 1, int1(b, w->back - k), add(b, w->rows, int1(b, w->back - k)));
}

static Value *before(const B *b, Value *ids, int64_t n, Value *filler) { // no history: n fillers in front of each row
  return expand_to(b, filler, join(b, VALUES(dim_of(b, ids, 0), int1(b, n))));
}

void expand_ngram_hash_mapping(const B *b) {
  Value *ids = in(b, 0), *factor = in(b, 1), *eos = in(b, 5), *segment = in(b, 6), *cut = NULL, *edge = NULL;
  int64_t n = attr_int(b->at, "max_ngram_size"), heads = attr_int(b->at, "n_head_per_ngram");
  if (n < 2 || n > 64) cannot(b, "n-grams of %lld", (long long)n);
  Value *filler = eos ? reshape_to(b, eos, 0, NULL) : num_like(b, ids, (double)attr_int(b->at, "pad_id"));
  Value *history = in(b, 3) ? in(b, 3) : before(b, ids, n - 1, filler), *part[64], *mix = mul(b, ids, pick(b, factor, 0, 0));
  Window w = {concat(b, 1, VALUES(history, ids)), dim_of(b, ids, 1), n - 1};
  if (segment) { // does a segment begin here?
    Value *first = slice(b, segment, 1, 0, 1), *moved = concat(b, 1, VALUES(first, slice(b, segment, 1, 0, -1)));
    Value *begins = op1(b, OP_Not, op2(b, OP_Equal, segment, moved));
    edge = concat(b, 1, VALUES(before(b, ids, n - 1, num(b, DT_BOOL, 0)), begins));
  }
  for (int64_t k = 1; k < n; k++) {
    Value *x = shifted_by(b, &w, w.all, k);
    if (eos && attr_int(b->at, "reset_on_eos")) {
      Value *ends = op2(b, OP_Equal, x, filler);
      cut = cut ? op2(b, OP_Or, cut, ends) : ends;
    }
    if (segment) {
      Value *begins = shifted_by(b, &w, edge, k - 1);
      cut = cut ? op2(b, OP_Or, cut, begins) : begins;
    }
    mix = op2(b, OP_BitwiseXor, mix, mul(b, cut ? where(b, cut, filler, x) : x, pick(b, factor, 0, k)));
    part[k - 1] = op2(b, OP_Mod, unsqueeze(b, mix, INTS(2)), slice(b, in(b, 2), 0, (k - 1) * heads, k * heads));
  }
  Value *y = n == 2 ? part[0] : concat(b, 2, (int)n - 1, part);
  give(b, 0, in(b, 4) ? add(b, y, in(b, 4)) : y);
  give(b, 1, slice_dyn(b, w.all, 1, w.rows, int1(b, INT64_MAX)));
}
