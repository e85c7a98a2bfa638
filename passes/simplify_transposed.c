// simplify_transposed.c - a transposed convolution with constant weights becomes a convolution and a view.
//
// With stride s, output s * q + r sees only the weights at r, r + s, r + 2s..: each r is a channel of its own in a convolution over the
// input, and the view puts those channels between the pixels. No multiplication by the zeros between them is left, and no gather.
#include "passes/rewrite.h"
#include "passes/simplify.h"

typedef struct Axis {
  int64_t k, s, begin, end, more; // kernel, stride, pads, output_padding
  int64_t taps, extra;            // of the convolution; positions behind the last one that any weight reaches
} Axis;

static bool all_are(const Node *n, const char *name, int64_t k) {
  const int64_t *v;
  int count = attr_ints(n, name, &v);
  for (int i = 0; i < count; i++)
    if (v[i] != k) return false;
  return true;
}
static int64_t int_at(const Node *n, const char *name, int i, int64_t otherwise) {
  const int64_t *v;
  return i < attr_ints(n, name, &v) ? v[i] : otherwise;
}
static bool read_axes(const Node *n, int count, Axis *a) {
  for (int i = 0; i < count; i++) {
    a[i] = (Axis){.k = n->in[1]->data->dim[2 + i],
                  .s = int_at(n, "strides", i, 1),
                  .begin = int_at(n, "pads", i, 0),
                  .end = int_at(n, "pads", i + count, 0),
                  .more = int_at(n, "output_padding", i, 0)};
    if (a[i].begin < 0 || a[i].end < 0 || a[i].k < 1 || a[i].s < 1) return false;
    a[i].taps = (a[i].k + a[i].s - 1) / a[i].s;
    int64_t behind = a[i].k + a[i].more - a[i].end - a[i].s * a[i].taps;
    a[i].extra = behind > 0 ? (behind + a[i].s - 1) / a[i].s : 0;
  }
  return true;
}
// A constant factor or term that follows goes into the weights first (simplify_weights.c).
static bool waits(const Node *n) {
  const Value *y = n->out[0];
  if (!only_use(y)) return false;
  const Node *u = y->user[0];
  if (u->op->id == OP_BatchNormalization) return true;
  return (u->op->id == OP_Mul || u->op->id == OP_Add) && (is_const(u->in[0]) || is_const(u->in[1]));
}

// [C, O, k..] -> [O * s.., C, taps..], the last tap first
static Value *phase_weights(const B *b, Value *w, int n, const Axis *a) {
  int64_t C = w->data->dim[0], O = w->data->dim[1], pads[2 * MAX_RANK] = {0}, split[MAX_RANK] = {C, O}, perm[MAX_RANK] = {1},
          last[MAX_RANK] = {O, C};
  for (int i = 0; i < n; i++) {
    pads[n + 4 + i] = a[i].s * a[i].taps - a[i].k;
    split[2 + 2 * i] = a[i].taps, split[3 + 2 * i] = a[i].s;
    perm[1 + i] = 3 + 2 * i, perm[n + 2 + i] = 2 + 2 * i;
    last[0] *= a[i].s, last[2 + i] = a[i].taps;
  }
  perm[n + 1] = 0;
  w = op3(b, OP_Pad, w, ints(b, 2 * (n + 2), pads), num_like(b, w, 0));
  w = reshape_to(b, w, 2 + 2 * n, split);
  for (int i = 0; i < n; i++)
    if (a[i].taps > 1) w = slice_step(b, w, 2 + 2 * i, -1, INT64_MIN, -1);
  return reshape_to(b, transpose(b, w, 2 + 2 * n, perm), 2 + n, last);
}
static Value *phase_bias(const B *b, Value *bias, int64_t O, int64_t phases) {
  if (phases == 1) return bias;
  return reshape_to(b, expand_to(b, unsqueeze(b, bias, INTS(1)), ints(b, 2, (int64_t[]){O, phases})), INTS(-1));
}
// [N, O * s.., q..] -> [N, O, q * s..]
static Value *interleave(const B *b, Value *y, int64_t O, int n, const Axis *a) {
  Value *part[MAX_RANK] = {dim_of(b, y, 0), int1(b, O)}, *whole[MAX_RANK] = {part[0], part[1]};
  int64_t perm[MAX_RANK] = {0, 1};
  for (int i = 0; i < n; i++) {
    Value *q = dim_of(b, y, 2 + i);
    part[2 + i] = int1(b, a[i].s), part[2 + n + i] = q, whole[2 + i] = mul(b, q, int1(b, a[i].s));
    perm[2 + 2 * i] = 2 + n + i, perm[3 + 2 * i] = 2 + i;
  }
  y = transpose(b, reshape(b, y, join(b, 2 + 2 * n, part)), 2 + 2 * n, perm);
  return reshape(b, y, join(b, 2 + n, whole));
}

Value *simplify_conv_transpose(const B *b) {
  Node *n = b->at;
  Value *x = in(b, 0), *w = in(b, 1), *bias = in(b, 2);
  Axis a[MAX_RANK];
  int64_t phases = 1, pads[2 * MAX_RANK];
  int count = value_rank(x) - 2;
  if (!is_const(w) || w->data->rank != count + 2 || count < 1 || 2 + 2 * count > MAX_RANK || attr_int(n, "group") != 1) return NULL;
  const int64_t *shape;
  Str pad = attr_str(n, "auto_pad");
  bool notset = pad.n == 6 || pad.n == 0; // NOTSET
  if (!notset || attr_ints(n, "output_shape", &shape) || !all_are(n, "dilations", 1) || !read_axes(n, count, a) || waits(n)) return NULL;
  for (int i = 0; i < count; i++) phases *= a[i].s, pads[i] = a[i].taps - 1, pads[i + count] = a[i].taps - 1 + a[i].extra;
  Value *k = phase_weights(b, w, count, a);
  Node *c = bias ? start(b, OP_Conv, VALUES(x, k, phase_bias(b, bias, w->data->dim[1], phases)), 1) : start(b, OP_Conv, VALUES(x, k), 1);
  node_set_ints(c, "pads", 2 * count, pads);
  Value *y = finish(c);
  if (phases > 1) y = interleave(b, y, w->data->dim[1], count, a);
  for (int i = 0; i < count; i++) {
    int64_t tail = a[i].s * (a[i].taps + a[i].extra) - a[i].k - a[i].more + a[i].end;
    if (a[i].begin || tail) y = slice(b, y, 2 + i, a[i].begin, tail ? -tail : INT64_MAX);
  }
  return same_type(y, n->out[0]) ? y : NULL;
}
