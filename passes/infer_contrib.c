// infer_contrib.c - shape rules of com.microsoft that have no counterpart in ai.onnx.
#include "infer_rules.h"

static int64_t int_attr(const Node *n, const char *name, int64_t dflt) {
  const Attr *a = attr_find(n, name);
  return a ? a->i : dflt;
}
static DType dtype_here(const Node *n) { return sig_dtype(n, 0) ? sig_dtype(n, 0) : dtype_in(n, 0); }

/* ---- elementwise with half of the last axis ---- */

static void half(Node *n) {
  Dims s = dims_of(n->in[0]);
  s.d[s.rank - 1] = ix_divk(s.d[s.rank - 1], 2);
  out_sig(n, 0, s);
}
void shape_bias_split_gelu(Node *n) { half(n); }
void shape_ms_swiglu(Node *n) {
  if (node_in(n, 1)) out_sig(n, 0, broadcast(n, dims_of(n->in[0]), dims_of(n->in[1])));
  else half(n);
}

/* ---- attention ---- */

// Operands x [batch, rows, hidden], weights [hidden, q + k + v]; past and present are [2, batch, heads, length, head size].
static void packed_weights(Node *n, int past, DType d) {
  Dims x = dims_of(n->in[0]);
  const int64_t *sizes;
  int k = op_attr(n->op, "qkv_hidden_sizes") ? attr_ints(n, "qkv_hidden_sizes", &sizes) : 0;
  int64_t heads = attr_int(n, "num_heads");
  IExpr *hidden = k == 3 ? ix(sizes[2]) : ix_divk(dim_in(n, 1, 1), 3);
  out_dims(n, 0, d, dims(3, x.d[0], x.d[1], hidden));
  if (n->nout < 2) return;
  IExpr *total = x.d[1];
  if (node_in(n, past)) total = int_attr(n, "past_present_share_buffer", 0) ? dim_in(n, past, 3) : ix_add(total, dim_in(n, past, 3));
  out_dims(n, 1, d, dims(5, ix(2), x.d[0], ix(heads), total, ix_divk(hidden, heads)));
}
void shape_ms_attention(Node *n) { packed_weights(n, 4, dtype_in(n, 0)); }
void shape_qattention(Node *n) { packed_weights(n, 8, dtype_in(n, 2)); }

typedef struct Heads { // of separate queries, keys and values, in whatever form they come
  IExpr *batch, *rows, *keys, *hidden, *hidden_v;
} Heads;

static Heads heads_of(Node *n) {
  Dims q = dims_of(n->in[0]);
  int64_t heads = attr_int(n, "num_heads");
  Heads h = {q.d[0], q.d[1], q.d[1], NULL, NULL};
  if (q.rank == 5) { // batch, rows, heads, 3, size: all in one
    h.hidden = h.hidden_v = ix_mul(q.d[2], q.d[4]);
    return h;
  }
  h.hidden = h.hidden_v = q.d[q.rank - 1];
  if (!node_in(n, 1)) return h;
  Dims k = dims_of(n->in[1]);
  h.keys = k.rank == 4 ? k.d[2] : k.d[1];
  if (k.rank == 5) h.keys = k.d[1], h.hidden_v = ix_mul(k.d[2], k.d[4]);
  if (node_in(n, 2)) {
    Dims v = dims_of(n->in[2]);
    h.hidden_v = v.rank == 4 ? ix_scale(v.d[3], heads) : v.d[2];
  }
  return h;
}

void shape_multi_head_attention(Node *n) {
  Heads h = heads_of(n);
  int64_t heads = attr_int(n, "num_heads");
  DType d = dtype_here(n);
  IExpr *total = node_in(n, 6) ? ix_add(h.keys, dim_in(n, 6, 2)) : h.keys;
  out_dims(n, 0, d, dims(3, h.batch, h.rows, h.hidden_v));
  out_dims(n, 1, d, dims(4, h.batch, ix(heads), total, ix_divk(h.hidden, heads)));
  out_dims(n, 2, d, dims(4, h.batch, ix(heads), total, ix_divk(h.hidden_v, heads)));
  out_dims(n, 3, d, dims(4, h.batch, ix(heads), h.rows, total));
}

void shape_decoder_masked_multi_head_attention(Node *n) {
  Heads h = heads_of(n);
  int64_t heads = attr_int(n, "num_heads");
  DType d = dtype_here(n);
  bool shared = int_attr(n, "past_present_share_buffer", 0);
  IExpr *total = !node_in(n, 5) ? h.keys : shared ? dim_in(n, 5, 2) : ix_add(h.keys, dim_in(n, 5, 2));
  out_dims(n, 0, d, dims(3, h.batch, h.rows, h.hidden_v));
  out_dims(n, 1, d, dims(4, h.batch, ix(heads), total, ix_divk(h.hidden, heads)));
  out_dims(n, 2, d, dims(4, h.batch, ix(heads), total, ix_divk(h.hidden_v, heads)));
  out_dims(n, 3, d, dims(4, h.batch, ix(heads), h.rows, total));
}

// Queries of `num_heads`, keys and values of `kv_num_heads`; all in one operand if there is no key. present: as long as past and the
// total length (operand `total`, a scalar) need.
static void grouped(Node *n, int past, int total) {
  Dims q = dims_of(n->in[0]);
  int64_t heads = attr_int(n, "num_heads"), kv = attr_int(n, "kv_num_heads");
  DType d = dtype_in(n, 0), cache = node_in(n, past) ? dtype_in(n, past) : d;
  IExpr *size = ix_divk(q.d[2], node_in(n, 1) ? heads : heads + 2 * kv), *len = q.d[1];
  if (node_in(n, past)) {
    IExpr *all = node_in(n, total) ? scalar_of(n->in[total]) : NULL;
    IExpr *have = dim_in(n, past, 2);
    if (int_attr(n, "sliding_window_cache", 0)) len = have;
    else len = all ? ix_max(have, ix_relu(all)) : fresh_dim(n, 1, 2, 0, IX_DIM_MAX);
  }
  out_dims(n, 0, d, dims(3, q.d[0], q.d[1], ix_scale(size, heads)));
  IExpr *stored = node_in(n, past) ? dim_in(n, past, 3) : size; // a quantised cache packs two numbers a byte
  for (int i = 1; i < 3; i++) out_dims(n, i, cache, dims(4, q.d[0], ix(kv), len, stored));
  out_dims(n, 3, d, dims(4, q.d[0], ix(heads), q.d[1], len));
}
void shape_group_query_attention(Node *n) { grouped(n, 3, 6); }

void shape_sparse_attention(Node *n) { // the caches are as long as they ever get
  grouped(n, 3, 99);
  for (int i = 1; i < 3; i++) out_dims(n, i, dtype_in(n, 2 + i), dims_of(n->in[2 + i]));
}

void shape_packed_attention(Node *n) { // tokens, hidden
  const int64_t *sizes;
  IExpr *hidden = attr_ints(n, "qkv_hidden_sizes", &sizes) == 3 ? ix(sizes[2]) : ix_divk(dim_in(n, 1, 1), 3);
  out_sig(n, 0, dims(2, dim_in(n, 0, 0), hidden));
}

void shape_packed_multi_head_attention(Node *n) {
  Dims q = dims_of(n->in[0]);
  IExpr *hidden = node_in(n, 2) ? dim_in(n, 2, 1) : q.rank == 4 ? ix_mul(q.d[1], q.d[3]) : q.d[1];
  out_sig(n, 0, dims(2, q.d[0], hidden));
}

void shape_relative_position_bias(Node *n) {
  IExpr *q = scalar_of(n->in[1]), *k = scalar_of(n->in[2]);
  out_sig(n, 0, dims(4, ix(1), dim_in(n, 0, 1), q ? q : fresh_dim(n, 0, 2, 0, IX_DIM_MAX), k ? k : fresh_dim(n, 0, 3, 0, IX_DIM_MAX)));
}

void shape_gated_relative_position_bias(Node *n) {
  IExpr *batch = dim_in(n, 0, 0), *rows = dim_in(n, 0, 1);
  if (node_in(n, 6)) batch = dim_in(n, 6, 0), rows = dim_in(n, 6, 1); // packed: the token offsets say
  out_sig(n, 0, dims(4, batch, ix(attr_int(n, "num_heads")), rows, rows));
}

void shape_remove_padding(Node *n) {
  Dims x = dims_of(n->in[0]);
  IExpr *most = ix_mul(x.d[0], x.d[1]);
  out_sig(n, 0, dims(2, fresh_dim(n, 0, 0, 0, ix_upper(most)), x.d[2]));
  out_dims(n, 1, DT_I32, dims(2, x.d[0], x.d[1]));
  out_dims(n, 2, DT_I32, dims(1, ix_addk(x.d[0], 1)));
  out_dims(n, 3, DT_I32, dims(1, ix(1)));
}

void shape_restore_padding(Node *n) { out_sig(n, 0, dims(3, dim_in(n, 1, 0), dim_in(n, 1, 1), dim_in(n, 0, 1))); }

/* ---- others ---- */

void shape_gather_block_quantized(Node *n) {
  Dims x = dims_of(n->in[0]), at = dims_of(n->in[1]);
  int64_t packed = dtype_in(n, 0) == DT_U8 ? 8 / (attr_int(n, "bits") > 0 ? attr_int(n, "bits") : 8) : 1;
  x.d[x.rank - 1] = ix_scale(x.d[x.rank - 1], packed);
  int a = axis_in(n, attr_int(n, "gather_axis"), x.rank);
  remove_dim(&x, a);
  for (int i = 0; i < at.rank; i++) insert_dim(&x, a + i, at.d[i]);
  out_dims(n, 0, dtype_in(n, 2), x);
}

// x [batch, channels, length..] (or channels last), weights, bias, state: the last inputs that the next call needs.
void shape_ms_causal_conv_with_state(Node *n) {
  Dims x = dims_of(n->in[0]), state = node_in(n, 3) ? dims_of(n->in[3]) : x;
  if (!node_in(n, 3)) {
    Dims w = dims_of(n->in[1]);
    int64_t reach = int_attr(n, "dilation", 1), given = int_attr(n, "state_length", 0);
    int a = attr_int(n, "channels_last") ? 1 : x.rank - 1;
    state.d[a] = given > 0 ? ix(given) : ix_scale(ix_addk(w.d[w.rank - 1], -1), reach);
  }
  out_dims(n, 0, dtype_in(n, 0), x);
  out_dims(n, 1, dtype_in(n, 0), state);
  out_dims(n, 2, dtype_in(n, 0), state);
}

void shape_word_conv_embedding(Node *n) {
  Dims s = dims_of(n->in[0]);
  s.d[s.rank - 1] = dim_in(n, 1, 0);
  out_dims(n, 0, DT_F32, s);
}

void shape_ngram_repeat_block(Node *n) { out_dims(n, 0, dtype_in(n, 1), dims_of(n->in[1])); }
void shape_dynamic_time_warping(Node *n) { out_dims(n, 0, DT_I32, dims(2, ix(2), fresh_dim(n, 0, 1, 0, IX_DIM_MAX))); }

/* ---- gates and branches ---- */

void shape_engram_gate(Node *n) {
  for (int i = 0; i < 2; i++) out_sig(n, i, dims_of(n->in[0]));
}

void shape_linear_attention_gate(Node *n) {
  out_sig(n, 0, dims_of(n->in[0]));
  if (node_in(n, 3)) out_sig(n, 1, dims_of(n->in[3]));
}

void shape_hyper_connection_pre_mix(Node *n) {
  Dims x = dims_of(n->in[0]);
  int64_t c = attr_int(n, "num_branches");
  if (c) x.d[x.rank - 1] = ix_divk(x.d[x.rank - 1], c);
  else if (x.rank > 1) remove_dim(&x, x.rank - 2);
  out_sig(n, 0, x);
}

void shape_moe_group_router(Node *n) {
  Dims x = dims_of(n->in[0]);
  IExpr *experts = dim_in(n, 1, 0), *tokens = product(x, 0, x.rank - 1);
  for (int i = 0; i < 3; i++) out_sig(n, i, dims(2, tokens, experts));
}

void shape_ngram_hash_mapping(Node *n) {
  Dims x = dims_of(n->in[0]);
  int64_t back = attr_int(n, "max_ngram_size") - 1;
  out_sig(n, 0, dims(3, x.d[0], x.d[1], ix(back * attr_int(n, "n_head_per_ngram"))));
  out_sig(n, 1, dims(2, x.d[0], ix(back)));
}

void shape_gemma_rotary_embedding(Node *n) {
  out_sig(n, 0, dims_of(n->in[1]));
  out_sig(n, 1, dims_of(n->in[3]));
}

void shape_torch_embedding(Node *n) {
  Dims x = dims_of(n->in[1]);
  insert_dim(&x, x.rank, dim_in(n, 0, 1));
  out_sig(n, 0, x);
}

void shape_gated_delta_net(Node *n) {
  Dims q = dims_of(n->in[0]);
  bool one = !node_in(n, 1);
  IExpr *heads = one ? dim_in(n, 6, 1) : dim_in(n, 2, q.rank - 2), *dv = one ? dim_in(n, 6, 2) : dim_in(n, 2, q.rank - 1);
  IExpr *dk = one ? dim_in(n, 6, 3) : q.d[q.rank - 1];
  if (one) insert_dim(&q, q.rank, dv);
  q.d[q.rank - 2] = heads, q.d[q.rank - 1] = dv;
  out_sig(n, 0, q);
  out_sig(n, 1, dims(4, node_in(n, 6) ? dim_in(n, 6, 0) : q.d[0], heads, dv, dk));
}

void shape_varlen_causal_conv(Node *n) {
  out_sig(n, 0, dims_of(n->in[0]));
  out_sig(n, 1, dims_of(n->in[4]));
}
