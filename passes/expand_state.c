// expand_state.c - layers that carry a state along the sequence: LinearAttention, CausalConvWithState; STFT's frames; SequenceMap's loop.
#include "passes/expand.h"
#include "passes/infer.h"
#include <math.h>
#include <string.h>

/* ---- LinearAttention: S [B,Hkv,dk,dv] in f32, one step per token ---- */
typedef struct Linear {
  Value *q, *k, *v, *decay, *beta; // [B,T,Hkv,g,dk] [B,T,Hkv,1,dk] [B,T,Hkv,1,dv] [B,T,Hkv,dk|1,1] [B,T,Hkv|1,1,1]
  double scale;
} Linear;

static Value *body_input(Graph *g, Value *x) { // x without its time axis
  IExpr *dim[MAX_RANK];
  int r = 0;
  if (!x) return NULL;
  for (int i = 0; i < rank_of(x); i++)
    if (i != 1) dim[r++] = value_dim(x, i);
  return graph_input(g, NULL, type_tensor(dtype(x), r, dim));
}

static Graph *linear_body(const B *outer, const Linear *l, Value *state) {
  Graph *g = graph_new(sym("body"), outer->g);
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  Value *s = graph_input(g, NULL, state->type), *q = body_input(g, l->q), *k = body_input(g, l->k), *v = body_input(g, l->v);
  Value *decay = body_input(g, l->decay), *beta = body_input(g, l->beta);
  if (decay) s = mul(b, s, op1(b, OP_Exp, decay));
  if (beta) v = mul(b, beta, sub(b, v, matmul(b, k, s)));
  s = add(b, s, mul(b, swap_last(b, k), v));
  graph_output(g, s);
  graph_output(g, mul(b, matmul(b, q, s), num_like(b, q, l->scale)));
  return g;
}

static Value *tokens(const B *b, Value *x, int64_t heads, int64_t group) { // [B,T,heads*group*d] -> f32 [B,T,heads,group,d]
  int64_t d = static_dim(b, x, -1) / (heads * group);
  return cast(b, reshape_to(b, x, INTS(0, 0, heads, group, d)), DT_F32);
}

static Value *shared_queries(const B *b, int64_t nq, int64_t nk) { // each query head serves nk/nq key heads
  Value *q = tokens(b, in(b, 0), nq, 1);
  q = expand_to(b, q, ints(b, INTS(1, 1, 1, nk / nq, 1)));
  return reshape_to(b, q, INTS(0, 0, nk, 1, static_dim(b, q, -1)));
}

void expand_linear_attention(const B *b) {
  Value *past = in(b, 3), *decay = in(b, 4), *beta = in(b, 5);
  int64_t nq = attr_int(b->at, "q_num_heads"), nk = attr_int(b->at, "kv_num_heads");
  if (nk <= 0 || nq <= 0 || (nq % nk && nk % nq)) cannot(b, "%lld query heads for %lld key heads", (long long)nq, (long long)nk);
  Linear l = {.q = nq < nk ? shared_queries(b, nq, nk) : tokens(b, in(b, 0), nk, nq / nk),
              .k = tokens(b, in(b, 1), nk, 1),
              .v = tokens(b, in(b, 2), nk, 1)};
  int64_t dk = static_dim(b, l.k, -1), dv = static_dim(b, l.v, -1);
  l.scale = attr_float(b->at, "scale") != 0 ? attr_float(b->at, "scale") : 1 / sqrt((double)dk);
  if (decay) l.decay = cast(b, reshape_to(b, decay, INTS(0, 0, nk, static_dim(b, decay, -1) / nk, 1)), DT_F32);
  if (beta) l.beta = cast(b, reshape_to(b, beta, INTS(0, 0, static_dim(b, beta, -1), 1, 1)), DT_F32);
  Value *s = past ? cast(b, past, DT_F32) : zeros(b, DT_F32, join(b, VALUES(dim_of(b, l.q, 0), ints(b, INTS(nk, dk, dv)))));
  Value *operand[6] = {s, l.q, l.k, l.v};
  int n = 4;
  if (l.decay) operand[n++] = l.decay;
  if (l.beta) operand[n++] = l.beta;
  Node *scan = start(b, OP_Scan, n, operand, 2);
  const int64_t ones[] = {1, 1, 1, 1, 1};
  node_set_int(scan, "num_scan_inputs", n - 1);
  node_set_ints(scan, "scan_input_axes", n - 1, ones);
  node_region(scan, linear_body(b, &l, s));
  finish(scan);
  Value *y = reshape_to(b, transpose(b, scan->out[1], INTS(1, 0, 2, 3, 4)), INTS(0, 0, (nq > nk ? nq : nk) * dv));
  give(b, 0, cast(b, y, dtype(in(b, 0))));
  give(b, 1, cast(b, scan->out[0], past ? dtype(past) : dtype(in(b, 0))));
}

void expand_ms_linear_attention(const B *b) {
  if (attr_int(b->at, "state_window")) cannot(b, "state_window is not 0");
  expand_linear_attention(b);
}

/* ---- CausalConvWithState ---- */
// past: the last k-1 columns before x; y and the new state come from [past, x]
static Value *causal_conv(const B *b, Value *x, Value **state, int64_t dilation) {
  Value *w = in(b, 1), *bias = in(b, 2);
  int64_t c = static_dim(b, w, 0), k = static_dim(b, w, 2), keep = (k - 1) * dilation;
  Value *past = *state ? *state : zeros(b, dtype(x), join(b, VALUES(dim_of(b, x, 0), ints(b, INTS(c, keep)))));
  Value *p = keep || *state ? concat(b, 2, VALUES(past, x)) : x;
  Node *n = bias ? start(b, OP_Conv, VALUES(p, w, bias), 1) : start(b, OP_Conv, VALUES(p, w), 1);
  node_set_int(n, "group", c);
  node_set_ints(n, "dilations", 1, &dilation);
  Value *y = finish(n), *total = dim_of(b, p, 2);
  *state = slice_dyn(b, p, 2, sub(b, total, int1(b, keep)), total);
  if (*text_of(b, "activation") && !attr_is(b->at, "activation", "none")) {
    if (!attr_is(b->at, "activation", "silu") && !attr_is(b->at, "activation", "swish"))
      cannot(b, "activation '%s'", text_of(b, "activation"));
    y = cast(b, silu(b, wide(b, y)), dtype(x));
  }
  return y;
}

void expand_causal_conv_with_state(const B *b) {
  Value *state = in(b, 3), *y = causal_conv(b, in(b, 0), &state, 1);
  give(b, 0, y);
  give(b, 1, state);
}

void expand_ms_causal_conv_with_state(const B *b) {
  static const char *const plain[] = {"input_channel_offset", "input_channels", "state_length", "state_update_capacity", "state_window"};
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (attr_int(b->at, plain[i])) cannot(b, "%s is not 0", plain[i]);
  if (attr_int(b->at, "ndim") != 1 || wanted(b, 2)) cannot(b, "only one spatial dim, and no state_update");
  bool last = attr_int(b->at, "channels_last");
  int64_t how = attr_int(b->at, "state_channels_last");
  bool state_last = how < 0 ? last : how;
  Value *x = in(b, 0), *state = in(b, 3);
  if (last) x = swap_last(b, x);
  if (state && state_last) state = swap_last(b, state);
  Value *y = causal_conv(b, x, &state, attr_int(b->at, "dilation"));
  give(b, 0, last ? swap_last(b, y) : y);
  give(b, 1, state_last ? swap_last(b, state) : state);
}

/* ---- STFT: frames by Gather, each through a DFT ---- */
static Value *vec1(const B *b, Value *x) { return cast(b, rank_of(x) ? x : unsqueeze(b, x, INTS(0)), DT_I64); }

void expand_stft(const B *b) {
  Value *x = in(b, 0), *step = vec1(b, in(b, 1)), *window = in(b, 2);
  Value *n = in(b, 3) ? vec1(b, in(b, 3)) : window ? dim_of(b, window, 0) : NULL;
  if (!n) cannot(b, "neither window nor frame_length is given");
  if (value_rank(x) == 2) x = unsqueeze(b, x, INTS(2)); // a real signal without its last dim of 1, as PyTorch writes it
  Value *frames = add(b, quo(b, sub(b, dim_of(b, x, 1), n), step), int1(b, 1));
  Value *first = mul(b, unsqueeze(b, count_up(b, frames), INTS(1)), step);
  Value *f = gather(b, x, add(b, first, count_up(b, n)), 1); // [B,F,n,1|2]
  if (window) f = mul(b, f, unsqueeze(b, cast(b, window, dtype(x)), INTS(1)));
  int64_t axis = 2;
  Node *d = start(b, OP_DFT, VALUES(f, NULL, graph_const_i64(b->g, 0, 1, &axis)), 1);
  node_set_int(d, "onesided", attr_int(b->at, "onesided"));
  give(b, 0, finish(d));
}

/* ---- SequenceMap: a Loop that takes elements out and collects results ---- */
typedef struct Bind {
  Graph *from;
  Value **to;
} Bind;

static Value *bound(Value *v, void *u) {
  Bind *m = u;
  for (int i = 0; i < m->from->nin; i++)
    if (m->from->in[i] == v) return m->to[i];
  return NULL;
}

static Graph *map_body(const B *outer, Value *const *acc) {
  Node *n = outer->at;
  Graph *g = graph_new(sym("body"), outer->g), *each = n->region[0];
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  Value *i = graph_input(g, NULL, type_tensor(DT_I64, 0, NULL)), *go = graph_input(g, NULL, type_tensor(DT_BOOL, 0, NULL));
  Value **old = NEWN(Value *, n->nout), **arg = NEWN(Value *, n->nin), **res = NEWN(Value *, each->nout);
  for (int k = 0; k < n->nout; k++) old[k] = graph_input(g, NULL, acc[k]->type);
  for (int k = 0; k < n->nin; k++) arg[k] = n->in[k]->type->kind == TYPE_SEQUENCE ? op2(b, OP_SequenceAt, n->in[k], i) : n->in[k];
  graph_inline(each, g, NULL, bound, &(Bind){each, arg}, res);
  graph_output(g, op1(b, OP_Identity, go));
  for (int k = 0; k < n->nout; k++) graph_output(g, op2(b, OP_SequenceInsert, old[k], res[k]));
  return g;
}

void expand_sequence_map(const B *b) {
  Node *n = b->at;
  Value **operand = NEWN(Value *, n->nout + 2);
  operand[0] = op1(b, OP_SequenceLength, in(b, 0));
  operand[1] = num(b, DT_BOOL, 1);
  for (int k = 0; k < n->nout; k++) {
    Value *made = n->region[0]->out[k];
    if (!made->type || made->type->kind != TYPE_TENSOR) cannot(b, "result %d of the body is no tensor", k);
    Node *empty = start(b, OP_SequenceEmpty, 0, NULL, 1);
    node_set_int(empty, "dtype", made->type->dtype);
    operand[2 + k] = finish(empty);
  }
  Node *loop = start(b, OP_Loop, n->nout + 2, operand, n->nout);
  node_region(loop, map_body(b, operand + 2));
  finish(loop);
  for (int k = 0; k < n->nout; k++) give(b, k, loop->out[k]);
}
