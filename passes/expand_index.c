// expand_index.c - com.microsoft and ai.onnx.ml operators that are index arithmetic around a Gather, a product or a transform.
#include "passes/expand_quant.h"
#include <math.h>

/* ---- products ---- */
// transBatch: [M,b..,K] is read as [b..,M,K]; trans: the last two axes are swapped after that
static Value *product_operand(const B *b, Value *x, const char *trans, const char *batch) {
  int r = rank_of(x);
  if (int_or(b, batch, 0) && r > 2) {
    int64_t perm[MAX_RANK];
    for (int i = 0; i < r; i++) perm[i] = i < r - 2 ? i + 1 : i == r - 2 ? 0 : i;
    x = transpose(b, x, r, perm);
  }
  return int_or(b, trans, 0) && r > 1 ? swap_last(b, x) : x;
}

void expand_fused_matmul(const B *b) {
  Value *x = product_operand(b, in(b, 0), "transA", "transBatchA"), *y = product_operand(b, in(b, 1), "transB", "transBatchB");
  Value *p = matmul(b, x, y);
  double alpha = float_or(b, "alpha", 1);
  give(b, 0, alpha == 1 ? p : mul(b, p, num_like(b, p, alpha)));
}

void expand_cdist(const B *b) {
  Value *x = unsqueeze(b, in(b, 0), INTS(1)), *y = unsqueeze(b, in(b, 1), INTS(0)), *d = sub(b, x, y);
  int64_t last = 2;
  Value *far = reduce(b, OP_ReduceSum, mul(b, d, d), 1, &last, false);
  give(b, 0, attr_is(b->at, "metric", "euclidean") ? op1(b, OP_Sqrt, far) : far);
}

/* ---- pairs in the last dim: real and imaginary part ---- */
static void complex_product(const B *b, bool conjugate) {
  Value *x = in(b, 0), *y = in(b, 1), *xr, *xi, *yr, *yi;
  int lx = rank_of(x) - 1, ly = rank_of(y) - 1;
  xr = slice(b, x, lx, 0, 1), xi = slice(b, x, lx, 1, 2);
  yr = slice(b, y, ly, 0, 1), yi = slice(b, y, ly, 1, 2);
  if (conjugate) yi = op1(b, OP_Neg, yi);
  Value *re = sub(b, mul(b, xr, yr), mul(b, xi, yi)), *im = add(b, mul(b, xr, yi), mul(b, xi, yr));
  give(b, 0, concat(b, rank_of(re) - 1, VALUES(re, im)));
}

void expand_complex_mul(const B *b) { complex_product(b, false); }
void expand_complex_mul_conj(const B *b) { complex_product(b, true); }

static Value *transform(const B *b, Value *x, int64_t axis, bool inverse, bool onesided) {
  Node *n = start(b, OP_DFT, VALUES(x, NULL, graph_const_i64(b->g, 0, 1, &axis)), 1);
  node_set_int(n, "inverse", inverse);
  node_set_int(n, "onesided", onesided);
  return finish(n);
}

static void plain_transform(const B *b) {
  if (int_or(b, "normalized", 0) || !int_or(b, "onesided", 1)) cannot(b, "only onesided transforms without normalisation");
}

void expand_rfft(const B *b) { // over the last signal_ndim dims: the last one keeps half its bins
  plain_transform(b);
  Value *x = in(b, 0);
  int64_t n = attr_int(b->at, "signal_ndim"), r = rank_of(x);
  Value *y = transform(b, unsqueeze(b, x, 1, &r), r - 1, false, true);
  for (int64_t axis = r - 2; axis >= r - n; axis--) y = transform(b, y, axis, false, false);
  give(b, 0, y);
}

void expand_irfft(const B *b) {
  plain_transform(b);
  Value *y = in(b, 0);
  int64_t n = attr_int(b->at, "signal_ndim"), r = rank_of(y) - 1;
  for (int64_t axis = r - n; axis < r - 1; axis++) y = transform(b, y, axis, true, false);
  y = transform(b, y, r - 1, true, true);
  give(b, 0, squeeze(b, y, (int)r));
}

/* ---- parts and rows ---- */
void expand_array_feature_extractor(const B *b) {
  Value *x = in(b, 0), *at = reshape_to(b, cast(b, in(b, 1), DT_I64), INTS(-1));
  if (rank_of(x) == 1) x = unsqueeze(b, x, INTS(0));
  give(b, 0, gather(b, x, at, rank_of(x) - 1));
}

void expand_bias_split_gelu(const B *b) {
  Value *t = add(b, in(b, 0), in(b, 1)), *part[2];
  split(b, t, rank_of(t) - 1, 2, part);
  give(b, 0, mul(b, part[0], gelu(b, part[1], false)));
}

// y[.., i, .., j] = x[.., i*step + j, ..]
void expand_unfold_tensor(const B *b) {
  Value *x = in(b, 0);
  int r = rank_of(x), d = (int)attr_int(b->at, "dim");
  if (d < 0) d += r;
  Value *step = int1(b, attr_int(b->at, "step")), *size = int1(b, attr_int(b->at, "size"));
  Value *count = add(b, quo(b, sub(b, dim_of(b, x, d), size), step), int1(b, 1));
  Value *first = unsqueeze(b, mul(b, count_up(b, count), step), INTS(1));
  Value *y = gather(b, x, add(b, first, count_up(b, size)), d); // the window's axis comes right behind d
  int64_t perm[MAX_RANK + 1];
  for (int i = 0; i <= r; i++) perm[i] = i <= d ? i : i < r ? i + 1 : d + 1;
  give(b, 0, transpose(b, y, r + 1, perm));
}

// Factors of blocks along axis k as one for each of n values; a single one broadcasts.
static Value *spread(const B *b, Value *v, int k, int64_t block, int64_t n) {
  int r = rank_of(v);
  int64_t blocks = static_dim(b, v, k), in_block = k + 1;
  if (blocks == 1 || block == 1) return v;
  Value *times[MAX_RANK + 1], *dim[MAX_RANK];
  for (int i = 0; i <= r; i++) times[i] = int1(b, i == k + 1 ? block : 1);
  for (int i = 0; i < r; i++) dim[i] = i == k ? int1(b, blocks * block) : dim_of(b, v, i);
  v = reshape(b, expand_to(b, unsqueeze(b, v, 1, &in_block), join(b, r + 1, times)), join(b, r, dim));
  return blocks * block == n ? v : slice(b, v, k, 0, n);
}

// Entries `at` along axis g of a table of factors; where all share one entry, that one.
static Value *factors_at(const B *b, Value *v, const Value *table, Value *at, int g) {
  int64_t n;
  bool shared = known_dim(v, g, &n) && n == 1 && !same_dim(v, g, table, g);
  return cast(b, gather(b, v, shared ? mul(b, at, num_like(b, at, 0)) : at, g), DT_F32);
}

// Rows of a table whose values are scaled in blocks along another axis; an index that is not there gives zeros.
void expand_gather_block_quantized(const B *b) {
  Value *q = in(b, 0), *at = in(b, 1), *z = in(b, 3), *s = in(b, 2);
  int bits = (int)attr_int(b->at, "bits"), r = rank_of(q), g = (int)attr_int(b->at, "gather_axis"),
      k = (int)attr_int(b->at, "quantize_axis");
  bool bytes = dtype(q) == DT_U8;
  if (g < 0) g += r;
  if (k < 0) k += r;
  if (g == k) cannot(b, "gather_axis is quantize_axis");
  if (bytes) {
    if (bits != 2 && bits != 4 && bits != 8) cannot(b, "values of %d bits", bits);
    q = unpack_fields(b, q, bits, false);
    if (z) z = unpack_fields(b, z, bits, false);
    if (z && !same_dim(z, -1, s, -1)) z = slice(b, z, r - 1, 0, static_dim(b, s, -1)); // the last byte may hold more
  }
  int64_t n = static_dim(b, q, k), block = attr_int(b->at, "block_size");
  if (block <= 0) block = n;
  Value *entries = cast(b, dim_of(b, q, g), dtype(at)), *low = op1(b, OP_Neg, entries), *none = num_like(b, at, 0);
  Value *there = op2(b, OP_And, op2(b, OP_GreaterOrEqual, at, low), op2(b, OP_Less, at, entries));
  at = where(b, there, at, none);
  Value *y = cast(b, gather(b, q, at, g), DT_F32);
  s = factors_at(b, s, q, at, g);
  if (z) z = factors_at(b, z, q, at, g);
  if (k > g) k += rank_of(at) - 1;
  if (z) y = sub(b, y, spread(b, z, k, block, n));
  else if (bytes) y = sub(b, y, num_like(b, y, 1 << (bits - 1)));
  y = mul(b, y, spread(b, s, k, block, n));
  for (int i = g + rank_of(at); i < rank_of(y); i++) there = unsqueeze(b, there, INTS(-1));
  give(b, 0, cast(b, where(b, there, y, num_like(b, y, 0)), dtype(in(b, 2))));
}

/* ---- padding ---- */
// input [T,H] goes to the first T of the flat positions in token_offset [B,S]
void expand_restore_padding(const B *b) {
  Value *x = in(b, 0), *at = in(b, 1), *h = dim_of(b, x, 1);
  Value *flat = slice_dyn(b, reshape_to(b, cast(b, at, DT_I64), INTS(-1)), 0, int1(b, 0), dim_of(b, x, 0));
  Value *cells = op1(b, OP_Size, at), *y = zeros(b, dtype(x), join(b, VALUES(unsqueeze(b, cells, INTS(0)), h)));
  y = op3(b, OP_ScatterND, y, unsqueeze(b, flat, INTS(1)), x);
  give(b, 0, reshape(b, y, join(b, VALUES(dim_of(b, at, 0), dim_of(b, at, 1), h))));
}

static Value *flat_nonzero(const B *b, Value *x) { return reshape_to(b, op1(b, OP_NonZero, reshape_to(b, x, INTS(-1))), INTS(-1)); }

void expand_remove_padding(const B *b) {
  Value *x = in(b, 0), *count = cast(b, in(b, 1), DT_I64), *h = dim_of(b, x, 2);
  int64_t zero = 0;
  Value *valid = op2(b, OP_Less, count_up(b, dim_of(b, x, 1)), unsqueeze(b, count, INTS(1)));
  Value *used = flat_nonzero(b, valid), *rest = flat_nonzero(b, op1(b, OP_Not, valid));
  give(b, 0, gather(b, reshape(b, x, join(b, VALUES(int1(b, -1), h))), used, 0));
  Value *offset = reshape(b, concat(b, 0, VALUES(used, rest)), join(b, VALUES(dim_of(b, x, 0), dim_of(b, x, 1))));
  give(b, 1, cast(b, offset, DT_I32));
  Value *sums = op2(b, OP_CumSum, count, graph_const_i64(b->g, 0, 1, &zero));
  give(b, 2, cast(b, concat(b, 0, VALUES(int1(b, 0), sums)), DT_I32));
  give(b, 3, cast(b, reduce(b, OP_ReduceMax, count, 1, &zero, true), DT_I32));
}

/* ---- T5's position buckets: near distances one each, far ones by their logarithm ---- */
static Value *bucket(const B *b, Value *d, int64_t buckets, double most) { // d >= 0
  int64_t exact = buckets / 2;
  Value *far = cast(b, d, DT_F32), *near = op2(b, OP_Less, d, num_like(b, d, (double)exact));
  far = op1(b, OP_Log, quo(b, op2(b, OP_Max, far, num_like(b, far, 1)), num_like(b, far, (double)exact)));
  far = mul(b, far, num_like(b, far, (double)(buckets - exact) / log(most / (double)exact)));
  Value *large = add(b, cast(b, far, DT_I64), num_like(b, d, (double)exact));
  return where(b, near, d, op2(b, OP_Min, large, num_like(b, d, (double)buckets - 1)));
}

void expand_relative_position_bias(const B *b) {
  Value *table = in(b, 0), *i = count_up(b, cast(b, in(b, 1), DT_I64)), *j = count_up(b, cast(b, in(b, 2), DT_I64));
  int64_t n = static_dim(b, table, 0);
  double most = (double)attr_int(b->at, "max_distance");
  Value *d = sub(b, j, unsqueeze(b, i, INTS(1))), *zero = num_like(b, d, 0), *at;
  if (attr_int(b->at, "is_bidirectional")) {
    Value *ahead = cast(b, op2(b, OP_Greater, d, zero), DT_I64);
    at = add(b, mul(b, ahead, num_like(b, d, (double)(n / 2))), bucket(b, op1(b, OP_Abs, d), n / 2, most));
  } else at = bucket(b, op2(b, OP_Max, op1(b, OP_Neg, d), zero), n, most);
  give(b, 0, unsqueeze(b, transpose(b, gather(b, table, at, 0), INTS(2, 0, 1)), INTS(0)));
}

/* ---- MurmurHash3_x86_32 of an element's bytes ---- */
static Value *u32(const B *b, uint32_t v) { return num(b, DT_U32, v); }

static Value *shifted(const B *b, Value *x, const char *direction, uint32_t by) {
  Node *n = start(b, OP_BitShift, VALUES(x, u32(b, by)), 1);
  node_set_string(n, "direction", direction);
  return finish(n);
}

static Value *rotated(const B *b, Value *x, uint32_t by) {
  return op2(b, OP_BitwiseOr, shifted(b, x, "LEFT", by), shifted(b, x, "RIGHT", 32 - by));
}

static Value *hash_word(const B *b, Value *h, Value *k) {
  k = mul(b, rotated(b, mul(b, k, u32(b, 0xcc9e2d51)), 15), u32(b, 0x1b873593));
  return add(b, mul(b, rotated(b, op2(b, OP_BitwiseXor, h, k), 13), u32(b, 5)), u32(b, 0xe6546b64));
}

static Value *fold_down(const B *b, Value *h, uint32_t by) { return op2(b, OP_BitwiseXor, h, shifted(b, h, "RIGHT", by)); }

void expand_murmur_hash3(const B *b) {
  Value *x = in(b, 0);
  DType dt = dtype(x);
  int bytes = dtypes[dt].bits / 8;
  if (dt == DT_STR || (bytes != 4 && bytes != 8)) cannot(b, "elements of type %s", dtypes[dt].name);
  Value *h = u32(b, (uint32_t)attr_int(b->at, "seed"));
  if (bytes == 4) h = hash_word(b, h, dt == DT_U32 ? x : op1_int(b, OP_BitCast, x, "to", DT_U32));
  else {
    Value *bits = dt == DT_U64 ? x : op1_int(b, OP_BitCast, x, "to", DT_U64), *half = num(b, DT_U64, 4294967296.0);
    h = hash_word(b, h, cast(b, bits, DT_U32));
    h = hash_word(b, h, cast(b, quo(b, bits, half), DT_U32));
  }
  h = fold_down(b, op2(b, OP_BitwiseXor, h, u32(b, (uint32_t)bytes)), 16);
  h = fold_down(b, mul(b, h, u32(b, 0x85ebca6b)), 13);
  h = fold_down(b, mul(b, h, u32(b, 0xc2b2ae35)), 16);
  DType to = dtype(b->at->out[0]);
  give(b, 0, to == DT_U32 ? h : op1_int(b, OP_BitCast, h, "to", to));
}

/* ---- MelWeightMatrix: triangles over frequency bins, computed in f64 ---- */
static Value *f64(const B *b, double v) { return num(b, DT_F64, v); }
static Value *scalar64(const B *b, int i) {
  Value *x = cast(b, in(b, i), DT_F64);
  return rank_of(x) ? reshape_to(b, x, 0, NULL) : x;
}

static Value *mel_of(const B *b, Value *hz) { // 2595 log10(1 + hz/700)
  return mul(b, op1(b, OP_Log, add(b, quo(b, hz, f64(b, 700)), f64(b, 1))), f64(b, 2595 / log(10)));
}

void expand_mel_weight_matrix(const B *b) {
  Value *bins = scalar64(b, 0), *dft = scalar64(b, 1), *rate = scalar64(b, 2), *lo = mel_of(b, scalar64(b, 3)),
        *hi = mel_of(b, scalar64(b, 4));
  Value *step = quo(b, sub(b, hi, lo), add(b, bins, f64(b, 2))), *edge[3];
  Value *count = reshape_to(b, cast(b, in(b, 0), DT_I64), INTS(1)), *length = reshape_to(b, cast(b, in(b, 1), DT_I64), INTS(1));
  Value *i = cast(b, count_up(b, count), DT_F64);
  Value *j = cast(b, unsqueeze(b, count_up(b, add(b, quo(b, length, int1(b, 2)), int1(b, 1))), INTS(1)), DT_F64);
  for (int k = 0; k < 3; k++) { // the bin of each triangle's left foot, top and right foot
    Value *mel = add(b, mul(b, add(b, i, f64(b, k)), step), lo);
    Value *hz = mul(b, sub(b, op1(b, OP_Exp, mul(b, mel, f64(b, log(10) / 2595))), f64(b, 1)), f64(b, 700));
    edge[k] = op1(b, OP_Floor, quo(b, mul(b, add(b, dft, f64(b, 1)), hz), rate));
  }
  Value *one = f64(b, 1), *zero = f64(b, 0);
  Value *up = sub(b, edge[1], edge[0]), *down = sub(b, edge[2], edge[1]), *flat = op2(b, OP_Equal, up, zero);
  Value *rise = where(b, flat, one, quo(b, sub(b, j, edge[0]), where(b, flat, one, up)));
  Value *rising = op2(b, OP_And, op2(b, OP_GreaterOrEqual, j, edge[0]), op2(b, OP_LessOrEqual, j, edge[1]));
  Value *falling = op2(b, OP_And, op2(b, OP_GreaterOrEqual, j, edge[1]), op2(b, OP_Less, j, edge[2]));
  Value *fall = quo(b, sub(b, edge[2], j), where(b, falling, down, one));
  Value *y = where(b, falling, fall, where(b, rising, rise, zero));
  give(b, 0, cast(b, y, (DType)attr_int(b->at, "output_datatype")));
}

/* ---- Unique of first occurrences; tokens that would repeat an n-gram ---- */
void expand_ms_unique(const B *b) {
  Node *n = start(b, OP_Unique, VALUES(in(b, 0)), 4);
  node_set_int(n, "sorted", 0);
  give(b, 0, finish(n));
  give(b, 1, n->out[2]);
  give(b, 2, n->out[3]);
}

// Where the last size-1 tokens occurred before, the token that followed them gets -inf.
void expand_ngram_repeat_block(const B *b) {
  Value *ids = in(b, 0), *scores = in(b, 1), *same = NULL;
  int64_t size = attr_int(b->at, "ngram_size");
  Value *starts = sub(b, dim_of(b, ids, 1), int1(b, size - 1)); // as many n-grams begin in the row
  for (int64_t k = 0; k + 1 < size; k++) {
    Value *now = slice(b, ids, 1, k - size + 1, k - size + 2 ? k - size + 2 : INT64_MAX);
    same = and_opt(b, same, op2(b, OP_Equal, slice_dyn(b, ids, 1, int1(b, k), add(b, starts, int1(b, k))), now));
  }
  Value *next = slice(b, ids, 1, size - 1, INT64_MAX), *least = num_like(b, scores, -INFINITY), *none = num_like(b, scores, INFINITY);
  Value *update = same ? where(b, same, least, none) : expand_to(b, least, shape_of(b, next));
  Node *n = start(b, OP_ScatterElements, VALUES(scores, next, update), 1);
  node_set_int(n, "axis", 1);
  node_set_string(n, "reduction", "min");
  give(b, 0, finish(n));
}
