// expand_values.c - rearrangements, old names, random choices: builders that are a few views or elementwise ops each.
#include "passes/expand.h"
#include <math.h>
#include <string.h>

void expand_mean(const B *b) {
  Value *sum = wide(b, in(b, 0));
  for (int i = 1; i < b->at->nin; i++) sum = add(b, sum, wide(b, in(b, i)));
  give(b, 0, cast(b, quo(b, sum, num_like(b, sum, b->at->nin)), dtype(in(b, 0))));
}

enum { WIDE = 48 };
bool is_wide(const Node *n) {
  OpId op = n->op->id;
  return n->nin > WIDE && (op == OP_Concat || op == OP_Sum || op == OP_Max || op == OP_Min);
}
void expand_wide(const B *b) { // WIDE operands at a time
  int n = b->at->nin, parts = 0;
  Value **part = NEWN(Value *, n);
  for (int i = 0; i < n; i += WIDE) {
    Node *some = start(b, b->at->op->id, n - i < WIDE ? n - i : WIDE, b->at->in + i, 1);
    copy_attrs(some, b->at, "axis");
    part[parts++] = finish(some);
  }
  Node *all = start(b, b->at->op->id, parts, part, 1);
  copy_attrs(all, b->at, "axis");
  give(b, 0, finish(all));
}

// Constant with a value of any kind; the frontend makes these constants already, function bodies and IR text may still hold them.
void expand_constant(const B *b) {
  const Attr *a;
  int64_t n;
  if ((a = attr_find(b->at, "value"))) give(b, 0, graph_const(b->g, NULL, (Tensor *)a->t));
  else if ((a = attr_find(b->at, "value_int"))) give(b, 0, graph_const_i64(b->g, 0, 1, &a->i));
  else if ((a = attr_find(b->at, "value_float"))) give(b, 0, num(b, DT_F32, a->f));
  else if ((a = attr_find(b->at, "value_ints"))) give(b, 0, ints(b, a->n, a->ints));
  else if ((a = attr_find(b->at, "value_floats"))) give(b, 0, floats(b, DT_F32, 1, (n = a->n, &n), a->floats));
  else if ((a = attr_find(b->at, "value_string"))) give(b, 0, graph_const(b->g, NULL, tensor_new(DT_STR, 0, NULL, &a->s)));
  else if ((a = attr_find(b->at, "value_strings"))) give(b, 0, graph_const(b->g, NULL, tensor_new(DT_STR, 1, (n = a->n, &n), a->strings)));
  else cannot(b, "a Constant without a value");
}

/* ---- dropout ---- */
// numpy's uniform numbers: MT19937 seeded with one word, 53 bits from two draws
typedef struct Mt {
  uint32_t word[624];
  int at;
} Mt;

static void mt_seed(Mt *m, uint32_t seed) {
  m->word[0] = seed;
  for (uint32_t i = 1; i < 624; i++) m->word[i] = 1812433253u * (m->word[i - 1] ^ (m->word[i - 1] >> 30)) + i;
  m->at = 624;
}

static void mt_refill(Mt *m) {
  for (int i = 0; i < 624; i++) {
    uint32_t y = (m->word[i] & 0x80000000u) | (m->word[(i + 1) % 624] & 0x7fffffffu);
    m->word[i] = m->word[(i + 397) % 624] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
  }
  m->at = 0;
}

static uint32_t mt_draw(Mt *m) {
  if (m->at == 624) mt_refill(m);
  uint32_t y = m->word[m->at++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

// One uniform number per element of x. With a seed and a known shape they are numpy's, as the reference implementation has it; else
// they come from the counter-based generator.
static Value *uniform_like(const B *b, Value *x) {
  int64_t n, dim[MAX_RANK];
  bool seeded = attr_has(b->at, "seed");
  if (seeded && ix_const(value_count(x), &n) && n <= 1 << 20) {
    Mt m;
    double *v = NEWN(double, n);
    mt_seed(&m, (uint32_t)attr_int(b->at, "seed"));
    for (int64_t i = 0; i < n; i++) {
      uint32_t high = mt_draw(&m) >> 5, low = mt_draw(&m) >> 6;
      v[i] = (high * 67108864.0 + low) / 9007199254740992.0;
    }
    for (int i = 0; i < rank_of(x); i++) known_dim(x, i, &dim[i]);
    return floats(b, DT_F64, rank_of(x), dim, v);
  }
  Node *u = start(b, OP_RandomUniformLike, VALUES(x), 1);
  node_set_int(u, "dtype", DT_F32);
  if (seeded) node_set_float(u, "seed", (double)attr_int(b->at, "seed"));
  return finish(u);
}

static bool known_false(const Value *v) {
  int n;
  const int64_t *k;
  return !v || (value_ints(v, &n, &k) && n == 1 && !k[0]);
}

// Inference: the data itself, a mask of true. Training: kept where uniform >= ratio, scaled by 1/(1 - ratio).
static Value *dropped(const B *b, Value *x, Value *ratio, Value *training, Value **mask) {
  if (known_false(training)) {
    *mask = wanted(b, 1) ? filled(b, DT_BOOL, 1, shape_of(b, x)) : NULL;
    return x;
  }
  ratio = ratio ? cast(b, ratio, DT_F32) : num(b, DT_F32, 0.5);
  Value *off = op1(b, OP_Not, rank_of(training) ? reshape_to(b, training, 0, NULL) : training);
  Value *u = uniform_like(b, x), *keep = op2(b, OP_Or, op2(b, OP_GreaterOrEqual, u, cast(b, ratio, dtype(u))), off);
  Value *by = where(b, off, num(b, DT_F32, 1), quo(b, num(b, DT_F32, 1), sub(b, num(b, DT_F32, 1), ratio)));
  *mask = keep;
  return where(b, keep, mul(b, x, cast(b, by, dtype(x))), num_like(b, x, 0));
}

void expand_dropout(const B *b) {
  Value *mask, *y = dropped(b, in(b, 0), in(b, 1), in(b, 2), &mask);
  give(b, 0, y);
  if (mask) give(b, 1, mask);
}

void expand_bias_dropout(const B *b) {
  Value *mask, *y = dropped(b, add(b, in(b, 0), in(b, 1)), in(b, 3), in(b, 4), &mask);
  give(b, 0, add_opt(b, y, in(b, 2)));
  if (mask) give(b, 1, mask);
}

/* ---- blocks ---- */
// A dim of 0 is 0 and copies nothing.
static Value *shaped(const B *b, Value *x, int n, Value *const *dim) {
  Node *r = start(b, OP_Reshape, VALUES(x, join(b, n, dim)), 1);
  node_set_int(r, "allowzero", 1);
  return finish(r);
}

void expand_depth_to_space(const B *b) {
  Value *x = in(b, 0);
  int64_t s = attr_int(b->at, "blocksize");
  Value *k = int1(b, s), *n = dim_of(b, x, 0), *c = quo(b, dim_of(b, x, 1), int1(b, s * s));
  Value *h = dim_of(b, x, 2), *w = dim_of(b, x, 3);
  bool crd = attr_is(b->at, "mode", "CRD");
  Value *y = crd ? shaped(b, x, VALUES(n, c, k, k, h, w)) : shaped(b, x, VALUES(n, k, k, c, h, w));
  y = crd ? transpose(b, y, INTS(0, 1, 4, 2, 5, 3)) : transpose(b, y, INTS(0, 3, 4, 1, 5, 2));
  give(b, 0, shaped(b, y, VALUES(n, c, mul(b, h, k), mul(b, w, k))));
}

void expand_space_to_depth(const B *b) {
  Value *x = in(b, 0);
  Value *k = int1(b, attr_int(b->at, "blocksize")), *n = dim_of(b, x, 0), *c = dim_of(b, x, 1);
  Value *h = quo(b, dim_of(b, x, 2), k), *w = quo(b, dim_of(b, x, 3), k);
  bool crd = attr_is(b->at, "mode", "CRD");
  Value *y = shaped(b, x, VALUES(n, c, h, k, w, k));
  y = crd ? transpose(b, y, INTS(0, 1, 3, 5, 2, 4)) : transpose(b, y, INTS(0, 3, 5, 1, 2, 4));
  give(b, 0, shaped(b, y, VALUES(n, mul(b, c, mul(b, k, k)), h, w)));
}

/* ---- old names ---- */
void expand_scatter(const B *b) {
  Node *n = start(b, OP_ScatterElements, VALUES(in(b, 0), in(b, 1), in(b, 2)), 1);
  copy_attrs(n, b->at, "axis");
  give(b, 0, finish(n));
}

void expand_upsample(const B *b) {
  Node *n = start(b, OP_Resize, VALUES(in(b, 0), NULL, in(b, 1)), 1);
  node_set_string(n, "mode", attr_is(b->at, "mode", "linear") || attr_is(b->at, "mode", "bilinear") ? "linear" : "nearest");
  node_set_string(n, "coordinate_transformation_mode", "asymmetric");
  node_set_string(n, "nearest_mode", "floor");
  give(b, 0, finish(n));
}

/* ---- choices ---- */
// Per axis: a longer input loses floor((s-t)/2) in front, a shorter one gains floor((t-s)/2) zeros there.
void expand_center_crop_pad(const B *b) {
  Value *x = in(b, 0), *target = in(b, 1), *zero = int1(b, 0), *two = int1(b, 2);
  const int64_t *axes;
  int r = rank_of(x), n = attr_ints(b->at, "axes", &axes);
  Value *begin[MAX_RANK], *end[MAX_RANK];
  for (int i = 0; i < r; i++) begin[i] = end[i] = zero;
  target = cast(b, target, DT_I64);
  bool all = n == 0;
  for (int i = 0; i < (all ? r : n); i++) {
    int ax = all ? i : (int)(axes[i] < 0 ? axes[i] + r : axes[i]);
    Value *s = dim_of(b, x, ax), *t = slice(b, target, 0, i, i + 1);
    Value *from = quo(b, op2(b, OP_Max, sub(b, s, t), zero), two), *keep = op2(b, OP_Min, s, t);
    x = slice_dyn(b, x, ax, from, add(b, from, keep));
    Value *more = sub(b, t, keep);
    begin[ax] = quo(b, more, two);
    end[ax] = sub(b, more, begin[ax]);
  }
  Value *parts[2 * MAX_RANK];
  memcpy(parts, begin, sizeof *parts * (size_t)r);
  memcpy(parts + r, end, sizeof *parts * (size_t)r);
  give(b, 0, op2(b, OP_Pad, x, join(b, 2 * r, parts)));
}

// Counts how many of the cumulated probabilities lie at or below a uniform number.
void expand_multinomial(const B *b) {
  Value *x = wide(b, in(b, 0));
  int64_t axis = 1, n = attr_int(b->at, "sample_size");
  Value *p = op1(b, OP_Exp, sub(b, x, reduce(b, OP_ReduceMax, x, 1, &axis, true)));
  Value *c = op2(b, OP_CumSum, p, graph_const_i64(b->g, 0, 1, &axis)), *total = slice(b, c, 1, -1, INT64_MAX);
  Value *u = zeros(b, dtype(x), join(b, VALUES(dim_of(b, x, 0), int1(b, n))));
  Node *rnd = start(b, OP_RandomUniformLike, VALUES(u), 1);
  node_set_int(rnd, "dtype", dtype(x));
  copy_attrs(rnd, b->at, "seed");
  u = unsqueeze(b, mul(b, finish(rnd), total), INTS(2)); // [B,S,1] against [B,1,C]
  Value *below = cast(b, op2(b, OP_LessOrEqual, unsqueeze(b, c, INTS(1)), u), DT_I64);
  Value *y = reduce(b, OP_ReduceSum, below, INTS(2), false);
  y = op2(b, OP_Min, y, sub(b, dim_of(b, x, 1), int1(b, 1)));
  give(b, 0, cast(b, y, (DType)attr_int(b->at, "dtype")));
}

// Values go to their flat index over the shape that kernel and strides give; output_shape only adds room at the end of each axis.
void expand_max_unpool(const B *b) {
  Value *x = in(b, 0), *at = in(b, 1), *shape = in(b, 2);
  const int64_t *kernel, *stride, *pad;
  int nk = attr_ints(b->at, "kernel_shape", &kernel), ns = attr_ints(b->at, "strides", &stride), np = attr_ints(b->at, "pads", &pad);
  Value *dims[MAX_RANK], *one = int1(b, 1);
  int r = rank_of(x);
  for (int i = 0; i < r; i++) {
    dims[i] = dim_of(b, x, i);
    if (i < 2) continue;
    int k = i - 2;
    int64_t grow = kernel[k] - (np == 2 * nk ? pad[k] + pad[k + nk] : 0);
    dims[i] = add(b, mul(b, sub(b, dims[i], one), int1(b, ns ? stride[k] : 1)), int1(b, grow));
  }
  Value *full = join(b, r, dims), *flat = reshape_to(b, x, INTS(-1));
  int64_t first = 0;
  Value *count = reduce(b, OP_ReduceProd, full, 1, &first, true);
  Value *y = op3(b, OP_ScatterElements, zeros(b, dtype(x), count), reshape_to(b, at, INTS(-1)), flat);
  y = reshape(b, y, full);
  if (shape) y = op2(b, OP_Pad, y, join(b, VALUES(zeros(b, DT_I64, int1(b, r)), sub(b, shape, full))));
  give(b, 0, y);
}

void expand_expand_dims(const B *b) {
  Value *axis = in(b, 1);
  give(b, 0, op2(b, OP_Unsqueeze, in(b, 0), cast(b, rank_of(axis) ? axis : unsqueeze(b, axis, INTS(0)), DT_I64)));
}

// The mask of kept elements, 32 to a word, low bit first
void expand_bitmask_dropout(const B *b) {
  Value *x = in(b, 0), *mask, *y = dropped(b, x, in(b, 1), in(b, 2), &mask);
  give(b, 0, y);
  if (!mask) return;
  double bit[32];
  int64_t n = 32, axis = 1;
  for (int i = 0; i < 32; i++) bit[i] = ldexp(1, i);
  Value *flat = cast(b, reshape_to(b, mask, INTS(-1)), DT_U32), *count = dim_of(b, flat, 0), *word = int1(b, 32);
  Value *more = op2(b, OP_Mod, op1(b, OP_Neg, count), word);
  flat = reshape_to(b, op2(b, OP_Pad, flat, join(b, VALUES(int1(b, 0), more))), INTS(-1, 32));
  Value *packed = reduce(b, OP_ReduceSum, mul(b, flat, floats(b, DT_U32, 1, &n, bit)), 1, &axis, false);
  give(b, 1, cast(b, packed, dtype(b->at->out[1])));
}

/* ---- Col2Im: every column entry is added to its pixel; those in the padding go to one more cell, which is cut off ---- */
static int64_t axis_attr(const Node *n, const char *name, int i, int64_t dflt) {
  const int64_t *v;
  return attr_ints(n, name, &v) > i ? v[i] : dflt;
}

void expand_col2im(const B *b) {
  Value *x = in(b, 0), *image = cast(b, in(b, 1), DT_I64), *block = cast(b, in(b, 2), DT_I64), *one = int1(b, 1);
  int r = (int)static_dim(b, image, 0);
  if (2 * r > MAX_RANK) cannot(b, "an image of %d dims", r);
  Value *at = NULL, *inside = NULL, *cells = one, *size[MAX_RANK];
  for (int a = 0; a < r; a++) { // the pixel's index along axis a over [k0,k1,..,l0,l1,..]
    int64_t step = axis_attr(b->at, "strides", a, 1), spread = axis_attr(b->at, "dilations", a, 1);
    int64_t before = axis_attr(b->at, "pads", a, 0), after = axis_attr(b->at, "pads", a + r, 0);
    Value *k = slice(b, block, 0, a, a + 1), *h = size[a] = slice(b, image, 0, a, a + 1), *gap = int1(b, step);
    Value *reach = add(b, mul(b, sub(b, k, one), int1(b, spread)), one);
    Value *l = add(b, quo(b, sub(b, add(b, h, int1(b, before + after)), reach), gap), one);
    Value *from_k = along(b, mul(b, count_up(b, k), int1(b, spread)), a, 2 * r),
          *from_l = along(b, mul(b, count_up(b, l), gap), r + a, 2 * r);
    Value *p = sub(b, add(b, from_k, from_l), int1(b, before));
    Value *ok = op2(b, OP_And, op2(b, OP_GreaterOrEqual, p, int1(b, 0)), op2(b, OP_Less, p, h));
    inside = and_opt(b, inside, ok);
    at = at ? add(b, mul(b, at, h), p) : p;
    cells = mul(b, cells, h);
  }
  int64_t zero = 0;
  Value *n = dim_of(b, x, 0), *taps = reduce(b, OP_ReduceProd, block, 1, &zero, true), *c = quo(b, dim_of(b, x, 1), taps);
  at = reshape_to(b, where(b, inside, at, cells), INTS(1, 1, -1));
  at = expand_to(b, at, join(b, VALUES(n, c, one)));
  Value *canvas = zeros(b, dtype(x), join(b, VALUES(n, c, add(b, cells, one))));
  Node *s = start(b, OP_ScatterElements, VALUES(canvas, at, reshape(b, x, join(b, VALUES(n, c, int1(b, -1))))), 1);
  node_set_int(s, "axis", 2);
  node_set_string(s, "reduction", "add");
  Value *y = slice_dyn(b, finish(s), 2, int1(b, 0), cells);
  Value *shape[MAX_RANK + 2] = {n, c};
  for (int a = 0; a < r; a++) shape[2 + a] = size[a];
  give(b, 0, reshape(b, y, join(b, r + 2, shape)));
}
