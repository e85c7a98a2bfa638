// infer_nn.c - shape rules of contractions, windows, normalisations, recurrent and attention layers, quantisation, signals.
#include "infer_rules.h"
#include <string.h>

static DType dtype_attr(const Node *n, const char *name, DType dflt) {
  const Attr *a = attr_find(n, name);
  return a && a->i > 0 && a->i < DT_COUNT ? (DType)a->i : dflt;
}
static int64_t int_attr(const Node *n, const char *name, int64_t dflt) {
  const Attr *a = attr_find(n, name);
  return a ? a->i : dflt;
}

/* ---- contractions ---- */

static Dims matmul_dims(Node *n, Dims x, Dims y) {
  bool row = x.rank == 1, column = y.rank == 1;
  if (x.rank == 0 || y.rank == 0) {
    wrong(n, "an operand of rank 0");
    return x;
  }
  if (row) insert_dim(&x, 0, ix(1));
  if (column) insert_dim(&y, 1, ix(1));
  IExpr *m = x.d[x.rank - 2], *k = x.d[x.rank - 1], *k2 = y.d[y.rank - 2], *c = y.d[y.rank - 1];
  require_eq(n, k, k2);
  x.rank -= 2, y.rank -= 2;
  Dims s = broadcast(n, x, y);
  if (!row) insert_dim(&s, s.rank, m);
  if (!column) insert_dim(&s, s.rank, c);
  return s;
}

void shape_matmul(Node *n) {
  DType d = n->op->id == OP_ms_MatMulInteger16 ? DT_I32 : sig_dtype(n, 0);
  out_dims(n, 0, d, matmul_dims(n, dims_of(n->in[0]), dims_of(n->in[1])));
}

void shape_qlinear_matmul(Node *n) { out_dims(n, 0, dtype_in(n, 7), matmul_dims(n, dims_of(n->in[0]), dims_of(n->in[3]))); }

static void swap(Dims *s, int a, int b) {
  IExpr *t = s->d[a];
  s->d[a] = s->d[b], s->d[b] = t;
}

// transBatch*: the leading axis goes behind the other batch axes.
static Dims transposed(const Node *n, int i, const char *last, const char *batch) {
  Dims s = dims_of(n->in[i]);
  if (s.rank >= 3 && int_attr(n, batch, 0))
    for (int k = 0; k < s.rank - 2; k++) swap(&s, k, k + 1);
  if (s.rank >= 2 && int_attr(n, last, 0)) swap(&s, s.rank - 2, s.rank - 1);
  return s;
}

void shape_fused_matmul(Node *n) {
  out_sig(n, 0, matmul_dims(n, transposed(n, 0, "transA", "transBatchA"), transposed(n, 1, "transB", "transBatchB")));
}

void shape_gemm(Node *n) {
  bool q = n->op->id == OP_ms_QGemm;
  Dims a = dims_of(n->in[0]), b = dims_of(n->in[q ? 3 : 1]);
  if (a.rank != 2 || b.rank != 2) {
    wrong(n, "operands of ranks %d and %d where 2 is needed", a.rank, b.rank);
    a.rank = b.rank = 0;
    out_dims(n, 0, dtype_in(n, 0), a);
    return;
  }
  if (attr_int(n, "transA")) swap(&a, 0, 1);
  if (attr_int(n, "transB")) swap(&b, 0, 1);
  require_eq(n, a.d[1], b.d[0]);
  DType d = q ? (dtype_in(n, 8) ? dtype_in(n, 8) : DT_F32) : sig_dtype(n, 0);
  out_dims(n, 0, d, dims(2, a.d[0], b.d[1]));
}

void shape_matmul_nbits(Node *n) {
  Dims s = dims_of(n->in[0]);
  require_eq(n, s.d[s.rank - 1], ix(attr_int(n, "K")));
  s.d[s.rank - 1] = ix(attr_int(n, "N"));
  out_sig(n, 0, s);
}
void shape_matmul_bnb4(Node *n) {
  Dims s = dims_of(n->in[0]);
  s.d[s.rank - 1] = ix(int_attr(n, "transB", 1) ? attr_int(n, "N") : attr_int(n, "K"));
  out_sig(n, 0, s);
}
void shape_matmul_fp_q4(Node *n) { // the third operand is B's shape
  Dims s = dims_of(n->in[0]);
  int k;
  IExpr **e;
  s.d[s.rank - 1] = shape_operand(n, 2, &k, &e) && k == 2 ? e[1] : fresh_dim(n, 0, s.rank - 1, 0, IX_DIM_MAX);
  out_sig(n, 0, s);
}

void shape_sparse_to_dense_matmul(Node *n) {
  if (n->in[0]->type->kind == TYPE_TENSOR) {
    shape_fused_matmul(n);
    return;
  }
  Dims b = dims_of(n->in[1]);
  if (attr_int(n, "transB")) swap(&b, 0, 1);
  out_dims(n, 0, dtype_in(n, 1), dims(2, fresh_dim(n, 0, 0, 0, IX_DIM_MAX), b.d[b.rank - 1]));
}

void shape_cdist(Node *n) {
  require_eq(n, dim_in(n, 0, 1), dim_in(n, 1, 1));
  out_sig(n, 0, dims(2, dim_in(n, 0, 0), dim_in(n, 1, 0)));
}

void shape_mul_integer(Node *n) { out_dims(n, 0, DT_I32, broadcast(n, dims_of(n->in[0]), dims_of(n->in[2]))); }

void shape_det(Node *n) {
  Dims s = dims_of(n->in[0]);
  if (s.rank < 2) wrong(n, "an operand of rank %d", s.rank);
  else {
    require_eq(n, s.d[s.rank - 1], s.d[s.rank - 2]);
    s.rank -= 2;
  }
  out_sig(n, 0, s);
}

/* ---- Einsum ---- */

typedef struct Einsum {
  IExpr *letter[128];
  int seen[128];
  Dims dots;
} Einsum;

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static const char *einsum_term(Node *n, Einsum *e, const char *p, const char *end, Dims x) {
  int letters = 0, pos = 0;
  for (const char *q = p; q < end && *q != ','; q++) letters += is_letter(*q);
  for (; p < end && *p != ','; p++) {
    if (*p == '.') {
      Dims d = {.rank = x.rank - letters};
      for (int i = 0; i < d.rank; i++) d.d[i] = x.d[pos++];
      e->dots = broadcast(n, e->dots, d);
      p += 2;
    } else if (is_letter(*p) && pos < x.rank) {
      int c = *p;
      e->letter[c] = e->letter[c] ? broadcast_dim(n, e->letter[c], x.d[pos]) : x.d[pos];
      e->seen[c]++, pos++;
    }
  }
  if (pos != x.rank) wrong(n, "a term of the equation does not have the %d letters of its operand", x.rank);
  return p < end ? p + 1 : p;
}

static void append(Dims *s, IExpr *d) {
  if (d) insert_dim(s, s->rank, d);
}

void shape_einsum(Node *n) {
  Str eq = attr_str(n, "equation");
  const char *p = fmt("%.*s", (int)eq.n, eq.p), *arrow = strstr(p, "->"), *end = arrow ? arrow : p + strlen(p),
             *right = arrow ? arrow + 2 : NULL;
  Einsum *e = NEW(Einsum);
  bool dots = memchr(p, '.', (size_t)(end - p)) != NULL;
  for (int i = 0; i < n->nin; i++) p = einsum_term(n, e, p, end, dims_of(n->in[i]));
  Dims s = {0};
  if (!right) { // letters that occur once, in order of the alphabet
    if (dots) s = e->dots;
    for (int c = 0; c < 128; c++)
      if (e->seen[c] == 1) append(&s, e->letter[c]);
  }
  for (; right && *right; right++) {
    if (is_letter(*right)) append(&s, e->letter[(int)*right]);
    if (*right != '.') continue;
    for (int i = 0; i < e->dots.rank; i++) append(&s, e->dots.d[i]);
    right += 2;
  }
  out_sig(n, 0, s);
}

/* ---- windows ---- */

typedef struct Window {
  int n; // spatial axes, the first one is axis `first` of x
  int first;
  IExpr *k[MAX_RANK];
  int64_t stride[MAX_RANK], dilation[MAX_RANK], pad[2 * MAX_RANK];
  bool same, ceil;
} Window;

static Window window_of(Node *n, int spatial, int first) {
  Window w = {.n = spatial, .first = first};
  ints_attr(n, "strides", w.stride, spatial, 1);
  ints_attr(n, "dilations", w.dilation, spatial, 1);
  ints_attr(n, "pads", w.pad, 2 * spatial, 0);
  w.same = attr_is(n, "auto_pad", "SAME_UPPER") || attr_is(n, "auto_pad", "SAME_LOWER");
  if (attr_is(n, "auto_pad", "VALID")) memset(w.pad, 0, sizeof w.pad);
  w.ceil = int_attr(n, "ceil_mode", 0) != 0;
  for (int i = 0; i < spatial; i++)
    if (w.stride[i] < 1 || w.dilation[i] < 1) {
      wrong(n, "a stride or dilation below 1");
      w.stride[i] = w.dilation[i] = 1;
    }
  return w;
}

// kernel_shape, or the extents of the weights from axis `from` on
static void kernel_extents(Node *n, Window *w, int weights, int from) {
  int64_t k[MAX_RANK];
  int given = ints_attr(n, "kernel_shape", k, w->n, 1);
  for (int i = 0; i < w->n; i++) w->k[i] = given || weights < 0 ? ix(k[i]) : dim_in(n, weights, from + i);
}

static IExpr *window_count(Node *n, const Window *w, int i, IExpr *size) {
  int64_t s = w->stride[i];
  if (w->same) return ix_ceil(size, s);
  IExpr *extent = ix_addk(ix_scale(ix_addk(w->k[i], -1), w->dilation[i]), 1);
  IExpr *span = ix_sub(ix_addk(size, w->pad[i] + w->pad[i + w->n]), extent),
        *count = ix_addk(w->ceil ? ix_ceil(span, s) : ix_divk(span, s), 1);
  if (w->ceil) count = ix_min(count, ix_addk(ix_divk(ix_addk(size, w->pad[i] - 1), s), 1)); // the last window starts inside the input
  require_ge0(n, count);
  return ix_resolve(count);
}

static void slide(Node *n, const Window *w, Dims *s) {
  for (int i = 0; i < w->n; i++) s->d[w->first + i] = window_count(n, w, i, s->d[w->first + i]);
}

static bool spatial_rank(Node *n, Dims x) {
  if (x.rank >= 2) return true;
  wrong(n, "an operand of rank %d; batch and channel axes are needed", x.rank);
  out_sig(n, 0, x);
  return false;
}

void shape_conv(Node *n) {
  bool q = n->op->id == OP_QLinearConv || n->op->id == OP_ms_QLinearConv;
  int weights = q ? 3 : 1;
  Dims x = dims_of(n->in[0]), f = dims_of(n->in[weights]);
  if (!spatial_rank(n, x)) return;
  bool last = int_attr(n, "channels_last", 0);
  Window w = window_of(n, x.rank - 2, last ? 1 : 2);
  if (f.rank != x.rank) {
    wrong(n, "weights of rank %d for data of rank %d", f.rank, x.rank);
    out_sig(n, 0, x);
    return;
  }
  kernel_extents(n, &w, weights, 2);
  int channel = last ? x.rank - 1 : 1;
  require_eq(n, x.d[channel], ix_scale(f.d[1], attr_int(n, "group")));
  slide(n, &w, &x);
  x.d[channel] = f.d[0];
  out_dims(n, 0, q ? dtype_in(n, 7) : sig_dtype(n, 0), x);
}

void shape_conv_nhwc(Node *n) { // weights are M, kH, kW, C/group in NhwcFusedConv as in Conv: M, C/group, kH, kW
  Dims x = dims_of(n->in[0]), f = dims_of(n->in[1]);
  if (!spatial_rank(n, x)) return;
  Window w = window_of(n, x.rank - 2, 1);
  kernel_extents(n, &w, 1, 2);
  slide(n, &w, &x);
  x.d[x.rank - 1] = f.d[0];
  out_sig(n, 0, x);
}

static void pool(Node *n, bool last) {
  Dims x = dims_of(n->in[0]);
  if (!spatial_rank(n, x)) return;
  Window w = window_of(n, x.rank - 2, last ? 1 : 2);
  kernel_extents(n, &w, -1, 0);
  slide(n, &w, &x);
  out_sig(n, 0, x);
  if (n->nout > 1) out_dims(n, 1, DT_I64, x);
}
void shape_pool(Node *n) { pool(n, false); }
void shape_pool_nhwc(Node *n) { pool(n, true); }
void shape_pool_qlinear(Node *n) { pool(n, int_attr(n, "channels_last", 0)); }

void shape_global_pool(Node *n) {
  Dims s = dims_of(n->in[0]);
  bool last = int_attr(n, "channels_last", 0);
  for (int i = last ? 1 : 2; i < s.rank - last; i++) s.d[i] = ix(1);
  out_sig(n, 0, s);
}

void shape_conv_transpose(Node *n) {
  Dims x = dims_of(n->in[0]), f = dims_of(n->in[1]);
  if (!spatial_rank(n, x)) return;
  Window w = window_of(n, x.rank - 2, 2);
  int64_t more[MAX_RANK], size[MAX_RANK + 2];
  int count = 0;
  IExpr **dynamic = NULL;
  kernel_extents(n, &w, 1, 2);
  ints_attr(n, "output_padding", more, w.n, 0);
  int given = ints_attr(n, "output_shape", size, MAX_RANK + 2, 0);
  if (given && (given < w.n || given > MAX_RANK + 2)) wrong(n, "output_shape has %d numbers for %d axes", given, w.n), given = 0;
  if (n->op->id == OP_ms_ConvTransposeWithDynamicPads && !(shape_operand(n, 2, &count, &dynamic) && count == 2 * w.n)) dynamic = NULL;
  for (int i = 0; i < w.n; i++) {
    IExpr *d = x.d[2 + i], *pads = dynamic ? ix_add(dynamic[i], dynamic[i + w.n]) : ix(w.pad[i] + w.pad[i + w.n]);
    IExpr *extent = ix_addk(ix_scale(ix_addk(w.k[i], -1), w.dilation[i]), 1 + more[i]);
    if (given) d = ix(size[given - w.n + i]);
    else if (w.same) d = ix_scale(d, w.stride[i]);
    else d = ix_sub(ix_add(ix_scale(ix_addk(d, -1), w.stride[i]), extent), pads);
    require_ge0(n, d);
    x.d[2 + i] = ix_resolve(d);
  }
  require_eq(n, x.d[1], f.d[0]);
  x.d[1] = ix_scale(f.d[1], attr_int(n, "group"));
  out_sig(n, 0, x);
}

void shape_deform_conv(Node *n) {
  Dims x = dims_of(n->in[0]), f = dims_of(n->in[1]), o = dims_of(n->in[2]);
  Window w = window_of(n, x.rank - 2, 2);
  kernel_extents(n, &w, 1, 2);
  slide(n, &w, &x);
  for (int i = 2; i < x.rank && o.rank == x.rank; i++) require_eq(n, x.d[i], o.d[i]);
  x.d[1] = f.d[0];
  out_sig(n, 0, x);
}

void shape_col2_im(Node *n) { // x: N, C*prod(block), L
  int k, m;
  IExpr **image, **block, *area = ix(1);
  if (!shape_operand(n, 1, &k, &image)) {
    unknown_rank(n, "it is the number of elements of image_shape");
    return;
  }
  Dims s = {.rank = 2};
  bool known = shape_operand(n, 2, &m, &block);
  for (int i = 0; known && i < m; i++) area = ix_mul(area, block[i]);
  s.d[0] = dim_in(n, 0, 0), s.d[1] = known ? ix_div(dim_in(n, 0, 1), area) : fresh_dim(n, 0, 1, 0, IX_DIM_MAX);
  for (int i = 0; i < k; i++) {
    require_ge0(n, image[i]);
    append(&s, ix_resolve(image[i]));
  }
  out_sig(n, 0, s);
}

void shape_max_unpool(Node *n) {
  Dims x = dims_of(n->in[0]);
  int k;
  IExpr **size;
  if (node_in(n, 2) && shape_operand(n, 2, &k, &size) && k == x.rank) {
    for (int i = 0; i < k; i++) {
      require_ge0(n, size[i]);
      x.d[i] = ix_resolve(size[i]);
    }
    out_sig(n, 0, x);
    return;
  }
  if (node_in(n, 2)) {
    for (int i = 0; i < x.rank; i++) x.d[i] = fresh_dim(n, 0, i, 0, IX_DIM_MAX);
    out_sig(n, 0, x);
    return;
  }
  Window w = window_of(n, x.rank - 2, 2);
  kernel_extents(n, &w, -1, 0);
  for (int i = 0; i < w.n; i++) {
    x.d[2 + i] = ix_addk(ix_add(ix_scale(ix_addk(x.d[2 + i], -1), w.stride[i]), w.k[i]), -w.pad[i] - w.pad[i + w.n]);
    require_ge0(n, x.d[2 + i]);
  }
  out_sig(n, 0, x);
}

// out: the layer's result and the last inputs that the next call needs
void shape_causal_conv_with_state(Node *n) {
  Dims x = dims_of(n->in[0]), f = dims_of(n->in[1]), state = x;
  state.d[x.rank - 1] = ix_addk(f.d[f.rank - 1], -1);
  out_sig(n, 0, x);
  out_sig(n, 1, state);
}

/* ---- normalisations ---- */

void shape_batch_normalization(Node *n) {
  out_sig(n, 0, dims_of(n->in[0]));
  for (int i = 1; i < n->nout; i++) out_dims(n, i, dtype_in(n, 3), dims_of(n->in[1]));
}

static Dims statistics(Dims s, int axis) {
  for (int i = axis; i < s.rank; i++) s.d[i] = ix(1);
  return s;
}

void shape_layer_normalization(Node *n) {
  Dims x = dims_of(n->in[0]);
  Dims m = statistics(x, axis_in(n, attr_int(n, "axis"), x.rank));
  DType stash = dtype_attr(n, "stash_type", DT_F32);
  out_sig(n, 0, x);
  for (int i = 1; i < n->nout; i++) out_dims(n, i, stash, m);
}

void shape_rms_normalization(Node *n) { out_sig(n, 0, dims_of(n->in[0])); }

void shape_skip_normalization(Node *n) { // out, mean, inverse deviation, sum
  Dims x = dims_of(n->in[0]), m = statistics(x, x.rank - 1);
  out_sig(n, 0, x);
  out_dims(n, 1, DT_F32, m);
  out_dims(n, 2, DT_F32, m);
  out_sig(n, 3, x);
}

void shape_skip_group_norm(Node *n) {
  out_sig(n, 0, dims_of(n->in[0]));
  out_sig(n, 1, dims_of(n->in[0]));
}

static void embedded(Node *n, int table, DType d) {
  Dims ids = dims_of(n->in[0]), s = ids;
  append(&s, dim_in(n, table, 1));
  out_dims(n, 0, d, s);
  out_dims(n, 1, DT_I32, dims(1, ids.d[0]));
  out_dims(n, 2, d, s);
}
void shape_embed_layer_normalization(Node *n) { embedded(n, 2, dtype_in(n, 2)); }
void shape_qembed_layer_normalization(Node *n) { embedded(n, 2, DT_F32); }

void shape_dropout(Node *n) {
  out_sig(n, 0, dims_of(n->in[0]));
  out_dims(n, 1, DT_BOOL, dims_of(n->in[0]));
}

void shape_bitmask_dropout(Node *n) { // 32 flags a word
  Dims x = dims_of(n->in[0]);
  out_sig(n, 0, x);
  out_dims(n, 1, DT_U32, dims(1, ix_ceil(product(x, 0, x.rank), 32)));
}

/* ---- recurrent ---- */

void shape_rnn(Node *n) {
  Dims x = dims_of(n->in[0]);
  bool batch_first = int_attr(n, "layout", 0), quantized = n->op->id == OP_ms_DynamicQuantizeLSTM;
  int64_t h = int_attr(n, "hidden_size", 0);
  if (x.rank != 3 || rank_in(n, 2) != 3) {
    wrong(n, "operands of ranks %d and %d where 3 is needed", x.rank, rank_in(n, 2));
    for (int i = 0; i < n->nout; i++) out_dims(n, i, dtype_in(n, 0), x);
    return;
  }
  IExpr *hidden = h > 0 ? ix(h) : dim_in(n, 2, quantized ? 1 : 2), *ways = dim_in(n, 1, 0), *seq = x.d[batch_first],
        *batch = x.d[!batch_first];
  if (!quantized) require_eq(n, x.d[2], dim_in(n, 1, 2));
  DType d = dtype_in(n, 0);
  out_dims(n, 0, d, batch_first ? dims(4, batch, seq, ways, hidden) : dims(4, seq, ways, batch, hidden));
  for (int i = 1; i < 3; i++) out_dims(n, i, d, batch_first ? dims(3, batch, ways, hidden) : dims(3, ways, batch, hidden));
}

/* ---- attention of ai.onnx ---- */

void shape_attention(Node *n) {
  Dims q = dims_of(n->in[0]), k = dims_of(n->in[1]), v = dims_of(n->in[2]);
  if (q.rank < 3 || k.rank != q.rank || v.rank != q.rank) {
    wrong(n, "operands of ranks %d, %d and %d", q.rank, k.rank, v.rank);
    out_sig(n, 0, q);
    return;
  }
  bool split = q.rank == 4; // heads have an axis
  IExpr *kv_heads = split ? k.d[1] : ix(int_attr(n, "kv_num_heads", 1)), *q_heads = split ? q.d[1] : ix(int_attr(n, "q_num_heads", 1));
  IExpr *dk = split ? k.d[3] : ix_div(k.d[2], kv_heads), *dv = split ? v.d[3] : ix_div(v.d[2], kv_heads);
  IExpr *total = split ? k.d[2] : k.d[1], *rows = split ? q.d[2] : q.d[1];
  if (node_in(n, 4)) total = ix_add(total, dim_in(n, 4, 2));
  require_eq(n, split ? k.d[2] : k.d[1], split ? v.d[2] : v.d[1]);
  out_sig(n, 0, split ? dims(4, q.d[0], q.d[1], q.d[2], dv) : dims(3, q.d[0], q.d[1], ix_mul(q_heads, dv)));
  out_dims(n, 1, dtype_in(n, 1), dims(4, q.d[0], kv_heads, total, dk));
  out_dims(n, 2, dtype_in(n, 2), dims(4, q.d[0], kv_heads, total, dv));
  out_sig(n, 3, dims(4, q.d[0], q_heads, rows, total));
}

// Heads are packed into the last axis: q and k of d_k each, v and the result of d_v.
void shape_linear_attention(Node *n) {
  Dims q = dims_of(n->in[0]), v = dims_of(n->in[2]);
  int64_t heads = attr_int(n, "q_num_heads"), kv = attr_int(n, "kv_num_heads");
  if (q.rank == 4) { // B, H, T, D
    out_dims(n, 0, dtype_in(n, 0), dims(4, q.d[0], q.d[1], q.d[2], v.d[3]));
    out_dims(n, 1, dtype_in(n, node_in(n, 3) ? 3 : 0), dims(4, q.d[0], v.d[1], dim_in(n, 1, 3), v.d[3]));
    return;
  }
  IExpr *dk = ix_divk(dim_in(n, 0, 2), heads), *dv = ix_divk(v.d[2], kv);
  out_dims(n, 0, dtype_in(n, 0), dims(3, q.d[0], q.d[1], ix_scale(dv, heads > kv ? heads : kv)));
  out_dims(n, 1, dtype_in(n, node_in(n, 3) ? 3 : 0), dims(4, q.d[0], ix(kv), dk, dv));
}

void shape_flex_attention(Node *n) { // B, heads, rows, d; the bodies see the scores
  Dims q = dims_of(n->in[0]), k = dims_of(n->in[1]), v = dims_of(n->in[2]);
  if (q.rank != 4 || k.rank != 4 || v.rank != 4) wrong(n, "operands of ranks %d, %d and %d", q.rank, k.rank, v.rank);
  else {
    DType own = dtype_in(n, 0), d = dtype_attr(n, "softmax_precision", dtypes[own].bits < 32 ? DT_F32 : own);
    for (int r = 0; r < n->nregion; r++) {
      n->region[r]->in[0]->type = type_tensor(d, 4, (IExpr *[]){q.d[0], q.d[1], q.d[2], k.d[2]});
      infer_graph(n->region[r]);
    }
    q.d[3] = v.d[3];
  }
  out_sig(n, 0, q);
}

/* ---- quantisation ---- */

void shape_quantize_linear(Node *n) {
  DType d = node_in(n, 2) ? dtype_in(n, 2) : dtype_attr(n, "output_dtype", DT_U8);
  out_dims(n, 0, d, dims_of(n->in[0]));
}

void shape_dequantize_linear(Node *n) { out_dims(n, 0, dtype_attr(n, "output_dtype", dtype_in(n, 1)), dims_of(n->in[0])); }

void shape_dynamic_quantize_linear(Node *n) {
  out_dims(n, 0, DT_U8, dims_of(n->in[0]));
  out_dims(n, 1, DT_F32, dims(0));
  out_dims(n, 2, DT_U8, dims(0));
}

static void qlinear(Node *n, int a, int b) { out_dims(n, 0, dtype_in(n, a), broadcast(n, dims_of(n->in[a]), dims_of(n->in[b]))); }
void shape_qlinear_binary(Node *n) { qlinear(n, 0, 3); }
void shape_qlinear_where(Node *n) {
  Dims s = broadcast(n, dims_of(n->in[1]), dims_of(n->in[4]));
  out_dims(n, 0, dtype_in(n, 1), broadcast(n, dims_of(n->in[0]), s));
}

/* ---- signals ---- */

// The axis is known only when it runs: every dim may be the one.
static void dft_any_axis(Node *n, Dims *s) {
  int count, given;
  IExpr **axis, **len;
  bool onesided = attr_int(n, "onesided"), inverse = attr_int(n, "inverse");
  bool known = shape_operand(n, 2, &count, &axis) && count == 1, sized = node_in(n, 1) && shape_operand(n, 1, &given, &len) && given == 1;
  for (int i = 0; i + 1 < s->rank; i++) {
    if (!known || (node_in(n, 1) && !sized)) {
      s->d[i] = fresh_dim(n, 0, i, 0, IX_DIM_MAX);
      continue;
    }
    IExpr *full = sized ? len[0] : onesided && inverse ? ix_scale(ix_addk(s->d[i], -1), 2) : s->d[i];
    IExpr *is = ix_add(ix_eq(axis[0], ix(i)), ix_eq(axis[0], ix(i - s->rank)));
    s->d[i] = ix_select(is, onesided && !inverse ? ix_addk(ix_divk(full, 2), 1) : full, s->d[i]);
  }
}

void shape_dft(Node *n) {
  Dims s = dims_of(n->in[0]);
  int count;
  const int64_t *v;
  IExpr **e, *len;
  bool onesided = attr_int(n, "onesided"), inverse = attr_int(n, "inverse");
  if (node_in(n, 2) && !(consts_of(n->in[2], &count, &v) && count == 1)) {
    dft_any_axis(n, &s);
    s.d[s.rank - 1] = ix(onesided && inverse ? 1 : 2);
    out_sig(n, 0, s);
    return;
  }
  int a = axis_in(n, node_in(n, 2) ? v[0] : -2, s.rank);
  if (node_in(n, 1)) len = shape_operand(n, 1, &count, &e) && count == 1 ? e[0] : fresh_dim(n, 0, a, 0, IX_DIM_MAX);
  else len = onesided && inverse ? ix_scale(ix_addk(s.d[a], -1), 2) : s.d[a];
  require_ge0(n, len);
  s.d[a] = onesided && !inverse ? ix_addk(ix_divk(len, 2), 1) : len;
  s.d[s.rank - 1] = ix(onesided && inverse ? 1 : 2);
  out_sig(n, 0, s);
}

void shape_stft(Node *n) {
  Dims x = dims_of(n->in[0]);
  int count;
  IExpr **e;
  IExpr *step = shape_operand(n, 1, &count, &e) && count == 1 ? e[0] : NULL, *len = NULL;
  if (node_in(n, 3) && shape_operand(n, 3, &count, &e) && count == 1) len = e[0];
  else if (!node_in(n, 3) && node_in(n, 2)) len = dim_in(n, 2, 0);
  IExpr *frames = step && len ? ix_addk(ix_div(ix_sub(x.d[1], len), step), 1) : fresh_dim(n, 0, 1, 0, IX_DIM_MAX);
  if (!len) len = fresh_dim(n, 0, 2, 0, IX_DIM_MAX);
  require_ge0(n, frames);
  out_sig(n, 0, dims(4, x.d[0], ix_resolve(frames), attr_int(n, "onesided") ? ix_addk(ix_divk(len, 2), 1) : len, ix(2)));
}

void shape_rfft(Node *n) { // the last signal_ndim axes; a pair axis is added
  Dims s = dims_of(n->in[0]);
  if (attr_int(n, "onesided")) s.d[s.rank - 1] = ix_addk(ix_divk(s.d[s.rank - 1], 2), 1);
  append(&s, ix(2));
  out_sig(n, 0, s);
}
void shape_irfft(Node *n) {
  Dims s = dims_of(n->in[0]);
  s.rank--;
  if (attr_int(n, "onesided")) s.d[s.rank - 1] = ix_scale(ix_addk(s.d[s.rank - 1], -1), 2);
  require_ge0(n, s.d[s.rank - 1]);
  out_sig(n, 0, s);
}

/* ---- training steps ---- */

void shape_gradient(Node *n) {
  int xs = attr_find(n, "xs") ? attr_find(n, "xs")->n : n->nout;
  for (int i = 0; i < n->nout; i++)
    if (i < xs && i < n->nin) out_dims(n, i, dtype_in(n, i), dims_of(n->in[i]));
}

// R, T, then k of each group (X, G, H, ..): results are the new X and the new states, one group less (the gradients).
void shape_optimizer(Node *n) {
  int groups = n->op->id == OP_Adam ? 4 : 3, k = (n->nin - 2) / groups;
  for (int i = 0; i < n->nout && k > 0; i++) {
    int from = 2 + (i < k ? i : i + k);
    if (from >= n->nin || !n->in[from]) continue;
    out_dims(n, i, dtype_in(n, from), dims_of(n->in[from]));
  }
}
