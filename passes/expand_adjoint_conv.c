// expand_adjoint_conv.c - the adjoints of convolutions and pools. The adjoint of a convolution's data is a transposed convolution, that of
// its weights a convolution of the data with the adjoint, where strides and dilations change places.
#include "passes/expand_gradient.h"
#include <string.h>

enum { SPATIAL_MAX = MAX_RANK - 2 };
typedef struct Window {
  int n; // spatial dims
  int64_t stride[SPATIAL_MAX], dilation[SPATIAL_MAX], kernel[SPATIAL_MAX], pads[2 * SPATIAL_MAX], group;
} Window;

static void ints_or(const Node *n, const char *name, int count, int64_t otherwise, int64_t *v) {
  const int64_t *given;
  int have = op_attr(n->op, name) ? attr_ints(n, name, &given) : 0;
  for (int i = 0; i < count; i++) v[i] = i < have ? given[i] : otherwise;
}
// SAME: as much padding as makes the result ceil(size / stride), the odd one behind (UPPER) or before
static void same_pads(Step *s, Window *w, bool upper) {
  for (int d = 0; d < w->n; d++) {
    int64_t size = static_dim(s->b, s->x[0], 2 + d), out = (size + w->stride[d] - 1) / w->stride[d];
    int64_t all = (out - 1) * w->stride[d] + w->dilation[d] * (w->kernel[d] - 1) + 1 - size;
    if (all < 0) all = 0;
    w->pads[d] = upper ? all / 2 : all - all / 2;
    w->pads[w->n + d] = all - w->pads[d];
  }
}
static Window window_of(Step *s) {
  const Node *n = s->n;
  Window w = {.n = rank_of(s->x[0]) - 2, .group = op_attr(n->op, "group") ? attr_int(n, "group") : 1};
  ints_or(n, "strides", w.n, 1, w.stride), ints_or(n, "dilations", w.n, 1, w.dilation), ints_or(n, "pads", 2 * w.n, 0, w.pads);
  for (int d = 0; d < w.n; d++) w.kernel[d] = s->x[1] ? static_dim(s->b, s->x[1], 2 + d) : 0;
  if (!s->x[1]) ints_or(n, "kernel_shape", w.n, 1, w.kernel);
  if (attr_is(n, "auto_pad", "SAME_UPPER") || attr_is(n, "auto_pad", "SAME_LOWER")) same_pads(s, &w, attr_is(n, "auto_pad", "SAME_UPPER"));
  return w;
}

static Node *convolve(const B *b, OpId op, Value *x, Value *w, const Window *v, bool exchanged) {
  Node *n = start(b, op, 2, (Value *[]){x, w}, 1);
  node_set_ints(n, "strides", v->n, exchanged ? v->dilation : v->stride);
  node_set_ints(n, "dilations", v->n, exchanged ? v->stride : v->dilation);
  node_set_ints(n, "pads", 2 * v->n, v->pads);
  node_set_int(n, "group", v->group);
  return n;
}
// The adjoint of the data x, whose size the strides may have cut off
static Value *data_adjoint(const B *b, Value *x, Value *w, Value *g, const Window *v) {
  Node *n = convolve(b, OP_ConvTranspose, g, w, v, false);
  int64_t more[SPATIAL_MAX] = {0};
  for (int d = 0; d < v->n; d++) {
    if (v->stride[d] == 1) continue;
    int64_t reach = v->dilation[d] * (v->kernel[d] - 1) + 1 - v->pads[d] - v->pads[v->n + d];
    more[d] = static_dim(b, x, 2 + d) - ((static_dim(b, g, 2 + d) - 1) * v->stride[d] + reach);
  }
  node_set_ints(n, "output_padding", v->n, more);
  return finish(n);
}
// [N, G*C, ..] as [C, G*N, ..]: what is summed over, the batch, takes the channels' place in every group
static Value *channels_first(const B *b, Value *x, int64_t group) {
  int r = rank_of(x);
  Value *part[MAX_RANK + 1] = {dim_of(b, x, 0), int1(b, group), quo(b, dim_of(b, x, 1), int1(b, group))};
  int64_t perm[MAX_RANK + 1] = {2, 1, 0};
  for (int d = 2; d < r; d++) part[d + 1] = dim_of(b, x, d), perm[d + 1] = d + 1;
  Value *y = transpose(b, reshape(b, x, join(b, r + 1, part)), r + 1, perm);
  Value *shape[MAX_RANK] = {part[2], int1(b, -1)};
  for (int d = 2; d < r; d++) shape[d] = part[d + 1];
  return reshape(b, y, join(b, r, shape));
}
static Value *swap_first(const B *b, Value *x) {
  int64_t perm[MAX_RANK] = {1, 0};
  for (int d = 2; d < rank_of(x); d++) perm[d] = d;
  return transpose(b, x, rank_of(x), perm);
}
static Value *weight_adjoint(const B *b, Value *x, Value *g, const Window *v) {
  Value *w = finish(convolve(b, OP_Conv, channels_first(b, x, v->group), swap_first(b, g), v, true));
  for (int d = 0; d < v->n; d++) w = slice(b, w, 2 + d, 0, v->kernel[d]); // strides may leave more places than the kernel has
  return swap_first(b, w);
}
static Value *bias_adjoint(const B *b, Value *g) {
  int64_t axes[MAX_RANK] = {0};
  for (int d = 2; d < rank_of(g); d++) axes[d - 1] = d;
  return reduce(b, OP_ReduceSum, g, rank_of(g) - 1, axes, false);
}

void convolution_rule(Step *s) {
  const B *b = s->b;
  Window v = window_of(s);
  if (s->active[0]) s->dx[0] = data_adjoint(b, s->x[0], s->x[1], s->g[0], &v);
  if (s->active[1]) s->dx[1] = weight_adjoint(b, s->x[0], s->g[0], &v);
  if (s->active[2]) s->dx[2] = bias_adjoint(b, s->g[0]);
}

// y = convT(x, w) is the data adjoint of a convolution from y to x: so the adjoint of x is that convolution, and w sees y's adjoint as
// data.
void transposed_rule(Step *s) {
  const B *b = s->b;
  const int64_t *shape;
  if (!(attr_is(s->n, "auto_pad", "NOTSET") || attr_is(s->n, "auto_pad", "VALID")) || attr_ints(s->n, "output_shape", &shape))
    cannot(b, "the gradient of a ConvTranspose whose padding follows from its output_shape");
  Window v = window_of(s);
  if (s->active[0]) s->dx[0] = finish(convolve(b, OP_Conv, s->g[0], s->x[1], &v, false));
  if (s->active[1]) s->dx[1] = weight_adjoint(b, s->g[0], s->x[0], &v);
  if (s->active[2]) s->dx[2] = bias_adjoint(b, s->g[0]);
}

/* ---- pools ---- */
static Value *one_channel(const B *b, Value *x) { // [N, C, ..] as [N*C, 1, ..]
  Value *shape[MAX_RANK] = {int1(b, -1), int1(b, 1)};
  for (int d = 2; d < rank_of(x); d++) shape[d] = dim_of(b, x, d);
  return reshape(b, x, join(b, rank_of(x), shape));
}
static void average_rule(Step *s) { // a convolution with ones, divided by how many elements each window holds
  const B *b = s->b;
  if (attr_int(s->n, "ceil_mode")) cannot(b, "the gradient of an AveragePool with ceil_mode");
  Window v = window_of(s);
  int64_t dims[MAX_RANK] = {1, 1}, all = 1;
  for (int d = 0; d < v.n; d++) dims[2 + d] = v.kernel[d], all *= v.kernel[d];
  Value *x = one_channel(b, s->x[0]), *ones = filled(b, dtype(x), 1, ints(b, v.n + 2, dims)), *g = one_channel(b, s->g[0]), *count;
  if (attr_int(s->n, "count_include_pad")) count = num_like(b, x, (double)all);
  else count = finish(convolve(b, OP_Conv, filled(b, dtype(x), 1, shape_of(b, slice(b, x, 0, 0, 1))), ones, &v, false));
  s->dx[0] = reshape(b, data_adjoint(b, x, ones, quo(b, g, count), &v), shape_of(b, s->x[0]));
}
static void maximum_rule(Step *s) { // the pool itself says which element won
  const B *b = s->b;
  Node *n = start(b, OP_MaxPool, 1, s->x, 2);
  for (int i = 0; i < s->n->nattr; i++) node_set(n, s->n->attr[i]);
  node_set_int(n, "storage_order", 0);
  finish(n);
  s->dx[0] = scatter_back(b, s->x[0], add(b, n->out[1], int1(b, 1)), s->g[0]);
}
void pool_rule(Step *s) { (s->n->op->id == OP_MaxPool ? maximum_rule : average_rule)(s); }
