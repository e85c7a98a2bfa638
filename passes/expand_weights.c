// expand_weights.c - products with compressed weights: the weights are decoded elementwise (shifts and a table), then it is a MatMul.
#include "passes/expand_quant.h"
#include <math.h>

Value *unpack_fields(const B *b, Value *x, int bits, bool high_first) {
  int per = 8 / bits, r = rank_of(x);
  x = cast(b, x, DT_I32);
  if (per == 1) return x;
  double shift[8];
  for (int i = 0; i < per; i++) shift[i] = (high_first ? per - 1 - i : i) * bits;
  int64_t last = r, fields = per;
  Value *s = floats(b, DT_U32, 1, &fields, shift);
  Node *n = start(b, OP_BitShift, VALUES(cast(b, unsqueeze(b, x, 1, &last), DT_U32), s), 1);
  node_set_string(n, "direction", "RIGHT");
  Value *f = op2(b, OP_BitwiseAnd, finish(n), num(b, DT_U32, (1 << bits) - 1));
  Value *shape[MAX_RANK];
  for (int i = 0; i < r - 1; i++) shape[i] = dim_of(b, x, i);
  shape[r - 1] = int1(b, static_dim(b, x, r - 1) * per);
  return cast(b, reshape(b, f, join(b, r, shape)), DT_I32);
}

// [N,blocks,bs] x per-block factors [N,blocks]
static Value *per_block(const B *b, Value *v) { return unsqueeze(b, v, INTS(2)); }

// zero points, packed per row of ceil(blocks*bits/8) bytes or given in A's type, as floats [N,blocks]
static Value *zero_points(const B *b, Value *z, int64_t n, int64_t blocks, int bits, DType dt) {
  if (!z) return num(b, dt, 1 << (bits - 1));
  if (dtype(z) != DT_U8) return per_block(b, reshape_to(b, cast(b, z, dt), INTS(n, blocks)));
  int64_t row = (blocks * bits + 7) / 8;
  Value *u = unpack_fields(b, reshape_to(b, z, INTS(n, row)), bits, false);
  if (row * 8 / bits != blocks) u = slice(b, u, 1, 0, blocks);
  return per_block(b, cast(b, u, dt));
}

void expand_matmul_nbits(const B *b) {
  Value *a = in(b, 0), *q = in(b, 1), *group = in(b, 4);
  int64_t k = attr_int(b->at, "K"), n = attr_int(b->at, "N"), bs = attr_int(b->at, "block_size");
  int bits = (int)attr_int(b->at, "bits");
  if ((bits != 2 && bits != 4 && bits != 8) || bs <= 0) cannot(b, "%d bits in blocks of %lld", bits, (long long)bs);
  if (attr_int(b->at, "weight_prepacked")) cannot(b, "weight_prepacked is not 0");
  int64_t blocks = (k + bs - 1) / bs;
  DType dt = DT_F32;
  Value *w = unpack_fields(b, reshape_to(b, q, INTS(n, blocks, bs * bits / 8)), bits, false);
  w = cast(b, w, dt);
  Value *s = per_block(b, reshape_to(b, cast(b, in(b, 2), dt), INTS(n, blocks))), *z = zero_points(b, in(b, 3), n, blocks, bits, dt);
  if (group) { // the block of each k is given: scales and zero points by column
    w = slice(b, reshape_to(b, w, INTS(n, blocks * bs)), 1, 0, k);
    group = slice(b, cast(b, group, DT_I64), 0, 0, k);
    s = gather(b, squeeze(b, s, 2), group, 1);
    if (rank_of(z)) z = gather(b, squeeze(b, z, 2), group, 1);
    w = mul(b, sub(b, w, z), s);
  } else {
    w = reshape_to(b, mul(b, sub(b, w, z), s), INTS(n, blocks * bs));
    if (blocks * bs != k) w = slice(b, w, 1, 0, k);
  }
  Value *y = matmul(b, cast(b, a, dt), swap_last(b, w));
  if (in(b, 5)) y = add(b, y, cast(b, in(b, 5), dt));
  give(b, 0, cast(b, y, dtype(a)));
}

// FP4 (sign, then eighths by a table of its own) and NF4 (quantiles of the normal distribution), high nibble first
void expand_matmul_bnb4(const B *b) {
  static const double fp4[16] = {0,   5.208333333e-03,  0.66666667,  1,  0.33333333,  0.5,  0.16666667,  0.25,
                                 -0., -5.208333333e-03, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25};
  static const double nf4[16] = {-1.0,
                                 -0.6961928009986877,
                                 -0.5250730514526367,
                                 -0.39491748809814453,
                                 -0.28444138169288635,
                                 -0.18477343022823334,
                                 -0.09105003625154495,
                                 0.0,
                                 0.07958029955625534,
                                 0.16093020141124725,
                                 0.24611230194568634,
                                 0.33791524171829224,
                                 0.44070982933044434,
                                 0.5626170039176941,
                                 0.7229568362236023,
                                 1.0};
  int64_t k = attr_int(b->at, "K"), n = attr_int(b->at, "N"), bs = attr_int(b->at, "block_size"), sixteen = 16;
  if (bs <= 0 || n * k % bs || n * k % 2) cannot(b, "%lldx%lld weights in blocks of %lld", (long long)n, (long long)k, (long long)bs);
  Value *q = unpack_fields(b, reshape_to(b, in(b, 1), INTS(n * k / 2)), 4, true);
  Value *table = floats(b, DT_F32, 1, &sixteen, attr_int(b->at, "quant_type") ? nf4 : fp4);
  Value *w = reshape_to(b, gather(b, table, q, 0), INTS(n * k / bs, bs));
  w = reshape_to(b, mul(b, w, unsqueeze(b, cast(b, in(b, 2), DT_F32), INTS(1))), INTS(n, k));
  if (attr_int(b->at, "transB")) w = swap_last(b, w);
  else w = reshape_to(b, w, INTS(k, n));
  give(b, 0, cast(b, matmul(b, cast(b, in(b, 0), DT_F32), w), dtype(in(b, 0))));
}

// A blob of blocks of 32 weights, column by column: the scale as f32, with type 1 the zero point in a byte, then 16 bytes, of which byte i
// holds the weights i (low) and i + 16 (high).
void expand_matmul_fp_q4(const B *b) {
  const int64_t *shape, type = attr_int(b->at, "blk_quant_type");
  int n;
  if (!value_ints(in(b, 2), &n, &shape) || n != 2) cannot(b, "a B_shape that is not known at compile time");
  if (type != 0 && type != 1) cannot(b, "blk_quant_type %lld", (long long)type);
  int64_t k = shape[0], cols = shape[1], blocks = (k + 31) / 32, head = type == 1 ? 5 : 4;
  Value *blob = reshape_to(b, in(b, 1), INTS(cols, blocks, head + 16));
  Value *bits = cast(b, slice(b, blob, 2, 0, 4), DT_U32), *s = NULL;
  for (int64_t i = 0; i < 4; i++) {
    Value *byte = mul(b, pick(b, bits, 2, i), num(b, DT_U32, (double)(1u << 8 * i)));
    s = add_opt(b, s, byte);
  }
  s = unsqueeze(b, op1_int(b, OP_BitCast, s, "to", DT_F32), INTS(2));
  Value *q = cast(b, slice(b, blob, 2, head, INT64_MAX), DT_I32), *sixteen = num(b, DT_I32, 16);
  q = concat(b, 2, VALUES(op2(b, OP_Mod, q, sixteen), quo(b, q, sixteen)));
  Value *z = type == 1 ? cast(b, slice(b, blob, 2, 4, 5), DT_I32) : num(b, DT_I32, 8);
  Value *w = mul(b, cast(b, sub(b, q, z), DT_F32), s);
  w = reshape_to(b, w, INTS(cols, blocks * 32));
  if (blocks * 32 != k) w = slice(b, w, 1, 0, k);
  give(b, 0, matmul(b, in(b, 0), swap_last(b, w)));
}
