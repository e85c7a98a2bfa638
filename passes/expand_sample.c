// expand_sample.c - reading an image at computed places: GridSample, AffineGrid, DeformConv, RoiAlign.
//
// A place is one float per spatial axis. Each tap becomes one GatherElements into the image with its spatial dims flattened; taps outside
// read cell 0 and count nothing, or move inside first, as the padding mode says. No loop is made here: it is one kernel in the end.
#include "passes/expand.h"
#include <math.h>
#include <string.h>

typedef enum Edge { EDGE_ZEROS, EDGE_BORDER, EDGE_REFLECTION } Edge;
typedef enum Interpolation { NEAREST, LINEAR, CUBIC } Interpolation;

typedef struct Sampler {
  Value *image; // [..,C,cells]: spatial dims flattened
  int naxis;
  Value *size[3];  // i64[1] per spatial axis, outermost first
  Value *place[3]; // floats [..,1,points]
  Interpolation mode;
  Edge edge;
  OpId join_taps; // OP_NONE: added up; OP_Max: the greatest weighted tap
  bool corners;   // align_corners: the outermost samples lie on the corners' cells
} Sampler;

/* ---- one axis ---- */
static Value *size_as_float(const B *b, const Sampler *s, int a) { return cast(b, s->size[a], dtype(s->place[a])); }

// Mirrored at -0.5 and size-0.5, or at 0 and size-1: there and back again
static Value *reflected(const B *b, const Sampler *s, int a, Value *x) {
  Value *n = size_as_float(b, s, a), *lo = num_like(b, x, s->corners ? 0 : -0.5);
  Value *span = s->corners ? sub(b, n, num_like(b, x, 1)) : n, *twice = add(b, span, span);
  Value *far = op1(b, OP_Abs, sub(b, x, lo)), *turns = op1(b, OP_Floor, quo(b, far, twice));
  Value *d = op1(b, OP_Abs, sub(b, far, mul(b, twice, turns)));
  Value *y = add(b, lo, where(b, op2(b, OP_Greater, d, span), sub(b, twice, d), d));
  return where(b, op2(b, OP_Greater, span, num_like(b, x, 0)), y, num_like(b, x, 0)); // one cell, aligned: it is all there is
}

static Value *last_cell(const B *b, const Sampler *s, int a) { return sub(b, size_as_float(b, s, a), num_like(b, s->place[a], 1)); }

static Value *moved_inside(const B *b, const Sampler *s, int a, Value *x) {
  if (s->edge == EDGE_ZEROS) return x;
  if (s->edge == EDGE_BORDER) return op3(b, OP_Clip, x, num_like(b, x, 0), reshape_to(b, last_cell(b, s, a), 0, NULL));
  return reflected(b, s, a, x);
}

// A whole-numbered place as a cell; *inside (bool) where zeros count outside
static Value *cell(const B *b, const Sampler *s, int a, Value *x, Value **inside) {
  if (s->edge == EDGE_ZEROS) {
    Value *in_low = op2(b, OP_GreaterOrEqual, x, num_like(b, x, 0)), *in_high = op2(b, OP_LessOrEqual, x, last_cell(b, s, a));
    *inside = and_opt(b, *inside, op2(b, OP_And, in_low, in_high));
  } else x = moved_inside(b, s, a, x);
  Value *i = cast(b, x, DT_I64), *most = sub(b, s->size[a], int1(b, 1));
  return op2(b, OP_Max, op2(b, OP_Min, i, most), num(b, DT_I64, 0));
}

static Value *cubic_near(const B *b, Value *t) { // |t| <= 1, a = -0.75
  const double a = -0.75;
  Value *p = sub(b, mul(b, t, num_like(b, t, a + 2)), num_like(b, t, a + 3));
  return add(b, mul(b, p, mul(b, t, t)), num_like(b, t, 1));
}

static Value *cubic_far(const B *b, Value *t) { // 1 < |t| <= 2
  const double a = -0.75;
  Value *p = mul(b, sub(b, mul(b, t, num_like(b, t, a)), num_like(b, t, 5 * a)), t);
  return sub(b, mul(b, add(b, p, num_like(b, t, 8 * a)), t), num_like(b, t, 4 * a));
}

// The weights of the taps floor(x) + first + 0, 1, ..
static int weights(const B *b, Interpolation mode, Value *x, Value *floor_x, int *first, Value **w) {
  Value *t = sub(b, x, floor_x), *one = num_like(b, x, 1), *u = sub(b, one, t);
  if (mode == LINEAR) return *first = 0, w[0] = u, w[1] = t, 2;
  *first = -1;
  w[0] = cubic_far(b, add(b, t, one));
  w[1] = cubic_near(b, t);
  w[2] = cubic_near(b, u);
  w[3] = cubic_far(b, add(b, u, one));
  return 4;
}

/* ---- all axes ---- */
static Value *fetch(const B *b, const Sampler *s, Value *flat, Value *inside) {
  int r = rank_of(s->image);
  Value *shape[MAX_RANK];
  for (int i = 0; i < r; i++) shape[i] = i == r - 2 ? dim_of(b, s->image, i) : int1(b, 1);
  Value *v = op2_int(b, OP_GatherElements, s->image, expand_to(b, flat, join(b, r, shape)), "axis", r - 1);
  return inside ? where(b, inside, v, num_like(b, v, 0)) : v;
}

// Taps of axis a and those within it: x is the flat cell of the outer axes, w the product of their weights
static Value *taps(const B *b, const Sampler *s, int a, Value *flat, Value *w, Value *inside, Value *sum) {
  if (a == s->naxis) {
    Value *v = fetch(b, s, flat, inside);
    if (w) v = mul(b, cast(b, v, dtype(w)), w);
    return !sum ? v : s->join_taps == OP_Max ? op2(b, OP_Max, sum, v) : add(b, sum, v);
  }
  Value *x = s->place[a], *each[4] = {NULL};
  int first = 0, n = 1;
  Value *base = s->mode == NEAREST ? x : op1(b, OP_Floor, x);
  if (s->mode != NEAREST) n = weights(b, s->mode, x, base, &first, each);
  for (int k = 0; k < n; k++) {
    Value *ok = inside, *at = k + first ? add(b, base, num_like(b, base, k + first)) : base;
    Value *c = cell(b, s, a, at, &ok);
    Value *next = flat ? add(b, mul(b, flat, s->size[a]), c) : c;
    sum = taps(b, s, a + 1, next, each[k] ? (w ? mul(b, w, each[k]) : each[k]) : w, ok, sum);
  }
  return sum;
}

static Value *sample(const B *b, Sampler *s) {
  for (int a = 0; a < s->naxis; a++) {
    if (s->mode == NEAREST) s->place[a] = op1(b, OP_Round, s->place[a]);
    if (s->mode != CUBIC) s->place[a] = moved_inside(b, s, a, s->place[a]); // of four places each moves on its own (cell)
  }
  return taps(b, s, 0, NULL, NULL, NULL, NULL);
}

/* ---- GridSample ---- */
static Value *unnormalised(const B *b, const Sampler *s, int a, Value *g) { // -1..1 to cells
  Value *n = cast(b, s->size[a], dtype(g)), *one = num_like(b, g, 1), *half = num_like(b, g, 0.5);
  Value *up = add(b, g, one);
  return s->corners ? mul(b, mul(b, up, half), sub(b, n, one)) : mul(b, sub(b, mul(b, up, n), one), half);
}

static void read_modes(const B *b, Sampler *s) { // ONNX's names, and those of com.microsoft's first version
  const char *mode = text_of(b, "mode"), *pad = text_of(b, "padding_mode");
  s->mode = !strcmp(mode, "nearest") ? NEAREST : !strcmp(mode, "cubic") || !strcmp(mode, "bicubic") ? CUBIC : LINEAR;
  s->edge = !strcmp(pad, "border") ? EDGE_BORDER : !strcmp(pad, "reflection") ? EDGE_REFLECTION : EDGE_ZEROS;
  s->corners = attr_int(b->at, "align_corners");
}

void expand_grid_sample(const B *b) {
  Value *x = in(b, 0), *grid = wide(b, in(b, 1)), *shape[MAX_RANK];
  Sampler s = {.naxis = rank_of(x) - 2};
  if (s.naxis < 1 || s.naxis > 3) cannot(b, "an input of rank %d", rank_of(x));
  read_modes(b, &s);
  s.image = reshape_to(b, s.mode == NEAREST ? x : wide(b, x), INTS(0, 0, -1));
  shape[0] = dim_of(b, x, 0), shape[1] = dim_of(b, x, 1);
  for (int a = 0; a < s.naxis; a++) {
    s.size[a] = dim_of(b, x, 2 + a);
    s.place[a] = reshape_to(b, unnormalised(b, &s, a, pick(b, grid, s.naxis + 1, s.naxis - 1 - a)), INTS(0, 1, -1));
    shape[2 + a] = dim_of(b, grid, 1 + a);
  }
  Value *y = cast(b, sample(b, &s), dtype(x));
  give(b, 0, reshape(b, y, join(b, s.naxis + 2, shape)));
}

/* ---- AffineGrid ---- */
// The places of n samples between -1 and 1: at cells' centres, or from corner to corner (one sample: -1)
static Value *line(const B *b, Value *n, DType dt, bool corners) {
  Value *i = cast(b, count_up(b, n), dt), *count = cast(b, n, dt), *one = num(b, dt, 1), *two = num(b, dt, 2);
  if (!corners) return sub(b, quo(b, add(b, mul(b, two, i), one), count), one);
  Value *gaps = op2(b, OP_Max, sub(b, count, one), one);
  return sub(b, quo(b, mul(b, two, i), gaps), one);
}

// theta [N,r,r+1] by (x, y, (z,) 1) at every cell -> [N,spatial..,r]
void expand_affine_grid(const B *b) {
  Value *theta = in(b, 0), *size = cast(b, in(b, 1), DT_I64), *w = wide(b, theta), *sum = NULL;
  int r = (int)static_dim(b, theta, 1);
  bool corners = attr_int(b->at, "align_corners");
  for (int k = 0; k <= r; k++) {      // column k of theta times coordinate k; the last is 1
    Value *column = pick(b, w, 2, k); // [N,r]
    int64_t axes[MAX_RANK];
    for (int i = 0; i < r; i++) axes[i] = 1 + i;
    column = unsqueeze(b, column, r, axes); // [N,1..,r]
    if (k < r) {                            // coordinate 0 runs along the innermost spatial axis
      int a = r - 1 - k;
      Value *at = line(b, slice(b, size, 0, 2 + a, 3 + a), dtype(w), corners);
      column = mul(b, along(b, at, a, r + 1), column);
    }
    sum = add_opt(b, sum, column);
  }
  give(b, 0, cast(b, sum, dtype(theta)));
}

/* ---- DeformConv: columns of bilinear samples, then a product per group ---- */
typedef struct Deform {
  int64_t taps, offset_groups, k[2], stride[2], pad[2], dilation[2];
  Value *h, *w; // output sizes
} Deform;

static void pair(const Node *n, const char *name, int64_t dflt, int64_t *v) {
  const int64_t *given;
  int count = attr_ints(n, name, &given);
  for (int i = 0; i < 2; i++) v[i] = i < count ? given[i] : dflt;
}

// places along axis a of the image: [N,offset_groups,1,taps*h*w]
static Value *tap_places(const B *b, const Deform *d, Value *offset, int a) {
  double *tap = NEWN(double, d->taps);
  for (int64_t k = 0; k < d->taps; k++) tap[k] = (double)((a ? k % d->k[1] : k / d->k[1]) * d->dilation[a] - d->pad[a]);
  DType dt = dtype(offset);
  Value *out = cast(b, count_up(b, a ? d->w : d->h), dt);
  Value *at = add(b, pick(b, offset, 3, a), along(b, floats(b, dt, 1, &d->taps, tap), 2, 5)); // [N,G,taps,h,w]
  at = add(b, at, along(b, mul(b, out, num(b, dt, (double)d->stride[a])), 3 + a, 5));
  return reshape_to(b, at, INTS(0, 0, 1, -1));
}

void expand_deform_conv(const B *b) {
  Value *x = in(b, 0), *w = in(b, 1), *bias = in(b, 3), *mask = in(b, 4);
  if (rank_of(x) != 4) cannot(b, "an input of rank %d", rank_of(x));
  Deform d = {.offset_groups = attr_int(b->at, "offset_group"), .h = dim_of(b, in(b, 2), 2), .w = dim_of(b, in(b, 2), 3)};
  pair(b->at, "strides", 1, d.stride), pair(b->at, "pads", 0, d.pad), pair(b->at, "dilations", 1, d.dilation);
  for (int i = 0; i < 2; i++) d.k[i] = static_dim(b, w, 2 + i);
  d.taps = d.k[0] * d.k[1];
  int64_t c = static_dim(b, x, 1), m = static_dim(b, w, 0), g = attr_int(b->at, "group"), og = d.offset_groups;
  Value *n = dim_of(b, x, 0);
  Value *offset = reshape(b, wide(b, in(b, 2)), join(b, VALUES(n, ints(b, INTS(og, d.taps, 2)), d.h, d.w)));
  Sampler s = {.naxis = 2, .mode = LINEAR, .edge = EDGE_ZEROS, .size = {dim_of(b, x, 2), dim_of(b, x, 3)}};
  s.image = reshape_to(b, wide(b, x), INTS(0, og, c / og, -1));
  for (int a = 0; a < 2; a++) s.place[a] = tap_places(b, &d, offset, a);
  Value *columns = sample(b, &s); // [N,G,C/G,taps*h*w]
  if (mask) columns = mul(b, columns, cast(b, reshape_to(b, mask, INTS(0, og, 1, -1)), dtype(columns)));
  Value *points = mul(b, d.h, d.w);
  columns = reshape(b, columns, join(b, VALUES(n, ints(b, INTS(g, c / g * d.taps)), points)));
  Value *y = matmul(b, cast(b, reshape_to(b, w, INTS(1, g, m / g, c / g * d.taps)), dtype(columns)), columns);
  y = reshape(b, y, join(b, VALUES(n, int1(b, m), d.h, d.w)));
  if (bias) y = add(b, y, along(b, cast(b, bias, dtype(y)), 1, 4));
  give(b, 0, cast(b, y, dtype(x)));
}

/* ---- RoiAlign: a grid of bilinear samples in each bin, their mean or their greatest weighted tap ---- */
typedef struct Roi {
  Value *boxes; // [R,4]: x1, y1, x2, y2
  int64_t out[2], samples;
  double scale;
  bool half_pixel;
  Value *count[2]; // i64[1]: samples per bin along each axis; where each box has its own number, the greatest of them
  Value *own[2];   // that number, floats [R,1]; NULL: samples
} Roi;

// The box's first place and its length along axis a (0: y), floats [R,1]
static void box_side(const B *b, const Roi *r, int a, Value **from, Value **length) {
  Value *to = slice(b, r->boxes, 1, 3 - a, 4 - a), *scale = num_like(b, to, r->scale);
  *from = mul(b, slice(b, r->boxes, 1, 1 - a, 2 - a), scale);
  *length = sub(b, mul(b, to, scale), *from);
  if (r->half_pixel) *from = sub(b, *from, num_like(b, to, 0.5));
  else *length = op2(b, OP_Max, *length, num_like(b, to, 1));
}

// sampling_ratio 0: a box has as many samples as its bins have cells
static void count_samples(const B *b, Roi *r, int a, Value *bin) {
  if (r->samples > 0) {
    r->count[a] = int1(b, r->samples);
    return;
  }
  r->own[a] = op1(b, OP_Ceil, bin);
  Value *most = reduce(b, OP_ReduceMax, r->own[a], INTS(0), false); // [1]
  r->count[a] = cast(b, op2(b, OP_Max, most, num_like(b, most, 0)), DT_I64);
}

// Places along axis a: [R,bins,samples] at the axes a's bins and samples have in [R,PH,SH,PW,SW]
static Value *bin_places(const B *b, Roi *r, int a) {
  Value *from, *length;
  box_side(b, r, a, &from, &length);
  Value *bin = quo(b, length, num_like(b, length, (double)r->out[a])), *one = num_like(b, bin, 1);
  count_samples(b, r, a, bin);
  Value *n = r->own[a] ? op2(b, OP_Max, r->own[a], one) : num_like(b, bin, (double)r->samples);
  Value *sample = add(b, cast(b, count_up(b, r->count[a]), dtype(bin)), num_like(b, bin, 0.5)); // in units of bin / n
  Value *step = quo(b, sample, n);                                                              // [S] or [R,S]
  if (rank_of(step) == 2) step = unsqueeze(b, step, INTS(1));
  Value *i = unsqueeze(b, cast(b, count_up(b, int1(b, r->out[a])), dtype(bin)), INTS(1)); // [bins,1]
  Value *p = add(b, unsqueeze(b, from, INTS(2)), mul(b, add(b, i, step), unsqueeze(b, bin, INTS(2))));
  return a ? unsqueeze(b, p, INTS(1, 2)) : unsqueeze(b, p, INTS(3, 4));
}

// Samples that a box does not have count nothing: bool [R,1,SH,1,SW]
static Value *owned(const B *b, const Roi *r) {
  Value *both = NULL;
  for (int a = 0; a < 2; a++) {
    Value *has = op2(b, OP_Less, cast(b, count_up(b, r->count[a]), dtype(r->own[a])), r->own[a]); // [R,S]
    both = and_opt(b, both, a ? unsqueeze(b, has, INTS(1, 2, 3)) : unsqueeze(b, has, INTS(1, 3, 4)));
  }
  return both;
}

// y [R,C,PH,SH,PW,SW] -> [R,C,PH,PW]; a bin without samples gives 0
static Value *joined_samples(const B *b, const Roi *r, Value *y, bool greatest) {
  if (r->samples > 0) return reduce(b, greatest ? OP_ReduceMax : OP_ReduceMean, y, INTS(3, 5), false);
  Value *on = unsqueeze(b, owned(b, r), INTS(1)), *zero = num_like(b, y, 0), *least = num_like(b, y, -INFINITY);
  y = reduce(b, greatest ? OP_ReduceMax : OP_ReduceSum, where(b, on, y, greatest ? least : zero), INTS(3, 5), false);
  Value *count = unsqueeze(b, mul(b, r->own[0], r->own[1]), INTS(2, 3)); // [R,1,1,1]
  if (greatest) return where(b, op2(b, OP_Greater, count, zero), y, zero);
  return quo(b, y, op2(b, OP_Max, count, num_like(b, y, 1)));
}

static Value *points_of(const B *b, const Roi *r) { // i64[1]: samples of a box
  return mul(b, int1(b, r->out[0] * r->out[1]), mul(b, r->count[0], r->count[1]));
}

void expand_roi_align(const B *b) {
  Value *x = wide(b, in(b, 0)), *outside = NULL, *place[2];
  Roi r = {.boxes = cast(b, in(b, 1), dtype(x)), .samples = attr_int(b->at, "sampling_ratio"), .scale = attr_float(b->at, "spatial_scale")};
  r.out[0] = attr_int(b->at, "output_height"), r.out[1] = attr_int(b->at, "output_width");
  r.half_pixel = attr_is(b->at, "coordinate_transformation_mode", "half_pixel");
  bool greatest = attr_is(b->at, "mode", "max");
  Sampler s = {.naxis = 2, .mode = LINEAR, .edge = EDGE_BORDER, .join_taps = greatest ? OP_Max : OP_NONE};
  s.image = reshape_to(b, gather(b, x, in(b, 2), 0), INTS(0, 0, -1)); // [R,C,cells]
  for (int a = 0; a < 2; a++) place[a] = bin_places(b, &r, a);
  Value *boxes = dim_of(b, r.boxes, 0), *bins[2] = {int1(b, r.out[0]), int1(b, r.out[1])};
  Value *grid = join(b, VALUES(boxes, bins[0], r.count[0], bins[1], r.count[1]));
  for (int a = 0; a < 2; a++) {
    s.size[a] = dim_of(b, x, 2 + a);
    s.place[a] = reshape(b, expand_to(b, place[a], grid), join(b, VALUES(boxes, int1(b, 1), points_of(b, &r))));
    Value *past = op2(b, OP_Greater, s.place[a], size_as_float(b, &s, a)), *before = op2(b, OP_Less, s.place[a], num_like(b, x, -1));
    Value *off = op2(b, OP_Or, past, before);
    outside = outside ? op2(b, OP_Or, outside, off) : off;
  }
  Value *y = sample(b, &s); // [R,C,points]
  y = where(b, outside, num_like(b, y, 0), y);
  y = reshape(b, y, join(b, VALUES(boxes, dim_of(b, x, 1), bins[0], r.count[0], bins[1], r.count[1])));
  give(b, 0, cast(b, joined_samples(b, &r, y, greatest), dtype(in(b, 0))));
}

/* ---- CropAndResize: boxes [y1,x1,y2,x2] in units of the image, corners on corners; places outside get extrapolation_value ---- */
static Value *crop_places(const B *b, Value *boxes, Value *last, Value *n, int a) { // [R,n]; a single place lies in the middle
  Value *from = slice(b, boxes, 1, a, a + 1), *to = slice(b, boxes, 1, 2 + a, 3 + a), *one = num_like(b, from, 1);
  Value *gaps = sub(b, cast(b, n, dtype(from)), one), *t = quo(b, cast(b, count_up(b, n), dtype(from)), op2(b, OP_Max, gaps, one));
  t = where(b, op2(b, OP_Greater, gaps, num_like(b, from, 0)), t, num_like(b, from, 0.5));
  return mul(b, add(b, from, mul(b, sub(b, to, from), t)), last);
}

void expand_crop_and_resize(const B *b) {
  Value *x = wide(b, in(b, 0)), *boxes = cast(b, in(b, 1), dtype(x)), *outside = NULL, *out = cast(b, in(b, 3), DT_I64);
  Sampler s = {.naxis = 2, .mode = attr_is(b->at, "mode", "nearest") ? NEAREST : LINEAR, .edge = EDGE_BORDER};
  s.image = reshape_to(b, gather(b, x, in(b, 2), 0), INTS(0, 0, -1)); // [R,C,cells]
  Value *count = dim_of(b, boxes, 0), *grid = join(b, VALUES(count, out));
  Value *line = join(b, VALUES(count, int1(b, 1), mul(b, slice(b, out, 0, 0, 1), slice(b, out, 0, 1, 2)))); // [R,1,points]
  for (int a = 0; a < 2; a++) {
    s.size[a] = dim_of(b, x, 2 + a);
    Value *last = sub(b, cast(b, s.size[a], dtype(x)), num_like(b, x, 1)), *p = crop_places(b, boxes, last, slice(b, out, 0, a, a + 1), a);
    s.place[a] = reshape(b, expand_to(b, unsqueeze(b, p, 1, (int64_t[]){a ? 1 : 2}), grid), line);
    Value *off = op2(b, OP_Or, op2(b, OP_Less, s.place[a], num_like(b, x, 0)), op2(b, OP_Greater, s.place[a], last));
    outside = outside ? op2(b, OP_Or, outside, off) : off;
  }
  Value *y = sample(b, &s);
  y = where(b, outside, num_like(b, y, attr_float(b->at, "extrapolation_value")), y);
  y = reshape(b, y, join(b, VALUES(count, dim_of(b, x, 1), out)));
  give(b, 0, cast(b, y, dtype(in(b, 0))));
}

/* ---- MaxRoiPool: each bin takes the maximum of the cells it covers; boxes are rounded to cells first ---- */
// Does bin i of axis a of each box cover cell j? bool [R,bins,cells]
static Value *covered(const B *b, Value *boxes, Value *size, int64_t bins, int a) {
  Value *scale = num_like(b, boxes, attr_float(b->at, "spatial_scale")), *one = num_like(b, boxes, 1), *zero = num_like(b, boxes, 0);
  Value *half = num_like(b, boxes, 0.5), *n = cast(b, size, dtype(boxes));
  Value *from = op1(b, OP_Floor, add(b, mul(b, slice(b, boxes, 1, 2 - a, 3 - a), scale), half)); // roi: batch, x1, y1, x2, y2
  Value *to = op1(b, OP_Floor, add(b, mul(b, slice(b, boxes, 1, 4 - a, 5 - a), scale), half));
  Value *step = quo(b, op2(b, OP_Max, add(b, sub(b, to, from), one), one), num_like(b, boxes, (double)bins));
  Value *i = cast(b, count_up(b, int1(b, bins)), dtype(boxes)), *j = cast(b, count_up(b, size), dtype(boxes));
  Value *lo = add(b, op1(b, OP_Floor, mul(b, i, step)), from),
        *hi = add(b, op1(b, OP_Ceil, mul(b, add(b, i, one), step)), from); // [R,bins]
  lo = op2(b, OP_Min, op2(b, OP_Max, lo, zero), n), hi = op2(b, OP_Min, op2(b, OP_Max, hi, zero), n);
  lo = unsqueeze(b, lo, INTS(2)), hi = unsqueeze(b, hi, INTS(2));
  return op2(b, OP_And, op2(b, OP_GreaterOrEqual, j, lo), op2(b, OP_Less, j, hi));
}

void expand_max_roi_pool(const B *b) {
  Value *x = in(b, 0), *boxes = cast(b, in(b, 1), DT_F32);
  const int64_t *out;
  if (attr_ints(b->at, "pooled_shape", &out) != 2) cannot(b, "pooled_shape must have two entries");
  Value *image = gather(b, x, cast(b, pick(b, in(b, 1), 1, 0), DT_I64), 0);                    // [R,C,H,W]
  Value *rows_in = unsqueeze(b, covered(b, boxes, dim_of(b, x, 2), out[0], 0), INTS(1, 3));    // [R,1,PH,1,H]
  Value *columns_in = unsqueeze(b, covered(b, boxes, dim_of(b, x, 3), out[1], 1), INTS(1, 2)); // [R,1,1,PW,W]
  Value *none = num_like(b, x, -INFINITY), *y;
  y = reduce(b, OP_ReduceMax, where(b, columns_in, unsqueeze(b, image, INTS(3)), none), INTS(4), false); // [R,C,H,PW]
  y = unsqueeze(b, swap_last(b, y), INTS(2));                                                            // [R,C,1,PW,H]
  y = reduce(b, OP_ReduceMax, where(b, rows_in, y, none), INTS(4), false);
  give(b, 0, where(b, op2(b, OP_Equal, y, none), num_like(b, y, 0), y)); // an empty bin gives 0
}
