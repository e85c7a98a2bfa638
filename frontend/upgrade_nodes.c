// upgrade_nodes.c - rules for ops whose meaning changed: broadcasting before opset 7, flattening softmax, training outputs, resizing.
// Shapes are not known at import, so rules that need them write shape arithmetic; inference folds it.
#include "upgrade.h"
#include <string.h>

/* ---- broadcasting by attribute (opset 6 and below) ---- */

// B's dims lie along A's from `axis` on: ones are appended so that B fits from the right.
static Value *append_ones(Up *u, Value *a, Value *b, int64_t axis) {
  int ra = known_rank(u, a), rb = known_rank(u, b);
  if (ra >= 0 && rb >= 0) {
    int64_t axes[MAX_RANK], first = axis < 0 ? axis + ra : axis, n = ra - first - rb;
    if (n <= 0 || n + rb > MAX_RANK) return b;
    for (int64_t k = 0; k < n; k++) axes[k] = rb + k;
    return up_op(u, OP_Unsqueeze, VALUES(b, up_ints(u, (int)n, axes)));
  }
  Value *room =
      up_op(u, OP_Sub, VALUES(axis < 0 ? up_int(u, -axis) : up_op(u, OP_Sub, VALUES(up_rank(u, a), up_int(u, axis))), up_rank(u, b)));
  Value *ones = up_ones(u, up_op(u, OP_Max, VALUES(room, up_int(u, 0))));
  Node *shape = up_node(u, OP_Concat, VALUES(up_shape(u, b), ones), 1);
  node_set_int(shape, "axis", 0);
  Node *r = up_node(u, OP_Reshape, VALUES(b, shape->out[0]), 1);
  node_set_int(r, "allowzero", 1);
  return r->out[0];
}

void old_broadcast(Up *u) {
  int64_t on = 0, axis;
  old_int(u, "broadcast", &on);
  if (on && old_int(u, "axis", &axis)) node_set_in(u->n, 1, append_ones(u, need_in(u, 0), need_in(u, 1), axis));
  drop_attr(u, "broadcast");
  drop_attr(u, "axis");
}

void old_gemm_broadcast(Up *u) { drop_attr(u, "broadcast"); }

// The slope [C] applies along axis 1; [1] is one slope for all.
void old_prelu_channel(Up *u) {
  Value *x = need_in(u, 0), *slope = need_in(u, 1);
  if (slope->data && tensor_count(slope->data) == 1) return;
  if (known_rank(u, slope) != 1) return;
  node_set_in(u->n, 1, append_ones(u, x, slope, 1));
}

/* ---- normalisations ---- */

// Before 13 everything from `axis` on was one row.
void old_softmax_flat(Up *u) {
  Value *x = need_in(u, 0);
  int64_t axis = 1;
  old_int(u, "axis", &axis);
  int rank = known_rank(u, x);
  if (axis == -1 || (rank > 0 && axis == rank - 1)) {
    node_set_int(u->n, "axis", -1);
    return;
  }
  Node *flat = up_node(u, OP_Flatten, VALUES(x), 1);
  node_set_int(flat, "axis", axis);
  Node *rows = up_node(u, u->n->op->id, VALUES(flat->out[0]), 1);
  node_set_int(rows, "axis", -1);
  Node *back = up_node(u, OP_Reshape, VALUES(rows->out[0], up_shape(u, x)), 1);
  node_set_int(back, "allowzero", 1);
  become(u, 0, back->out[0]);
}

// spatial = 0: scale, B, mean and var have the shape of one sample.
void old_batchnorm_spatial(Up *u) {
  int64_t spatial = 1;
  old_int(u, "spatial", &spatial);
  if (spatial) return;
  Value *x = need_in(u, 0), *p[5];
  for (int k = 1; k < 5; k++) p[k] = up_op(u, OP_Unsqueeze, VALUES(need_in(u, k), up_int(u, 0)));
  double added = 1e-5;
  old_float(u, "epsilon", &added);
  Value *epsilon = up_float_like(u, added, p[4]);
  Value *deviation = up_op(u, OP_Sqrt, VALUES(up_op(u, OP_Add, VALUES(p[4], epsilon))));
  Value *unit = up_op(u, OP_Div, VALUES(up_op(u, OP_Sub, VALUES(x, p[3])), deviation));
  become(u, 0, up_op(u, OP_Add, VALUES(up_op(u, OP_Mul, VALUES(unit, p[1])), p[2])));
  for (int k = 1; k < u->n->nout; k++) become(u, k, NULL);
}

// Five outputs meant training; the saved statistics are gone.
void old_batchnorm_training(Up *u) {
  Node *n = u->n;
  bool training = false;
  for (int k = 1; k < n->nout; k++) training |= n->out[k] != NULL;
  node_set_int(n, "training_mode", training);
  int keep = training ? 3 : 1;
  for (int k = keep; k < n->nout; k++) become(u, k, NULL);
  if (n->nout > keep) n->nout = keep;
}

// scale and bias were per group: [G] -> [C], each repeated for the C/G channels of its group.
void old_groupnorm_scale(Up *u) {
  int64_t groups;
  if (!old_int(u, "num_groups", &groups)) cannot_upgrade(u, "num_groups is missing");
  Node *channels = up_node(u, OP_Shape, VALUES(need_in(u, 0)), 1);
  node_set_int(channels, "start", 1);
  node_set_int(channels, "end", 2);
  Value *each = up_op(u, OP_Div, VALUES(channels->out[0], up_int(u, groups)));
  Node *shape = up_node(u, OP_Concat, VALUES(up_int(u, groups), each), 1);
  node_set_int(shape, "axis", 0);
  for (int k = 1; k < 3; k++) {
    Value *column = up_op(u, OP_Unsqueeze, VALUES(need_in(u, k), up_int(u, 1)));
    Value *wide = up_op(u, OP_Expand, VALUES(column, shape->out[0]));
    node_set_in(u->n, k, up_op(u, OP_Reshape, VALUES(wide, up_int(u, -1))));
  }
}

// across_channels = 1 means all axes but none left out; normalize_variance = 0 only subtracts the mean.
void old_mvn_across(Up *u) {
  static const int64_t all[] = {0, 1, 2, 3}, spatial[] = {0, 2, 3};
  int64_t across = 0, variance = 1;
  old_int(u, "across_channels", &across);
  old_int(u, "normalize_variance", &variance);
  drop_attr(u, "across_channels");
  drop_attr(u, "normalize_variance");
  node_set_ints(u->n, "axes", across ? 4 : 3, across ? all : spatial);
  if (variance) return;
  Value *x = need_in(u, 0);
  Value *mean = up_op(u, OP_ReduceMean, VALUES(x, up_ints(u, across ? 4 : 3, across ? all : spatial)));
  become(u, 0, up_op(u, OP_Sub, VALUES(x, mean)));
}

// Inference only; the mask was of x's type before 10.
void old_dropout(Up *u) {
  Value *x = need_in(u, 0);
  become(u, 0, up_op(u, OP_Identity, VALUES(x)));
  if (u->n->nout < 2 || !u->n->out[1]) return;
  Tensor *t = tensor_new(DT_BOOL, 0, NULL, NULL);
  tensor_set_int(t, 0, 1);
  Value *mask = up_op(u, OP_Expand, VALUES(graph_const(u->g, NULL, t), up_shape(u, x)));
  become(u, 1, u->opset < 10 ? up_op(u, OP_CastLike, VALUES(mask, x)) : mask);
}

/* ---- resizing ---- */

static bool is_empty(const Value *v) { return v && v->data && tensor_count(v->data) == 0; }

// An empty tensor is an input left out: required so by 11, still written by exporters of later opsets.
void old_resize_empty(Up *u) {
  for (int k = 1; k < u->n->nin; k++)
    if (is_empty(u->n->in[k])) node_set_in(u->n, k, NULL);
  while (u->n->nin > 1 && !u->n->in[u->n->nin - 1]) u->n->nin--;
}

static void asymmetric(Node *n, bool linear) {
  node_set_string(n, "mode", linear ? "linear" : "nearest");
  node_set_string(n, "coordinate_transformation_mode", "asymmetric");
  node_set_string(n, "nearest_mode", "floor");
}

static bool is_linear(const Node *n) { return attr_is(n, "mode", "linear") || attr_is(n, "mode", "bilinear"); }

void old_resize_scales(Up *u) {
  Value *scales = need_in(u, 1);
  node_set_in(u->n, 2, scales);
  node_set_in(u->n, 1, NULL);
  asymmetric(u->n, is_linear(u->n));
}

static Value *scales_of_attrs(Up *u) {
  double height, width;
  const Attr *scales = NULL;
  for (int k = 0; k < u->n->nattr; k++)
    if (!strcmp(u->n->attr[k].name, "scales") && u->n->attr[k].kind == ATTR_FLOATS) scales = &u->n->attr[k];
  int64_t n = scales ? scales->n : 4;
  Tensor *t = tensor_new(DT_F32, 1, &n, NULL);
  if (scales)
    for (int k = 0; k < n; k++) tensor_set_float(t, k, scales->floats[k]);
  else if (old_float(u, "height_scale", &height) && old_float(u, "width_scale", &width)) {
    const double v[] = {1, 1, height, width};
    for (int k = 0; k < 4; k++) tensor_set_float(t, k, v[k]);
  } else cannot_upgrade(u, "the scales are missing");
  return graph_const(u->g, NULL, t);
}

void old_upsample(Up *u) {
  Value *scales = node_in(u->n, 1);
  if (!scales) scales = scales_of_attrs(u);
  Node *n = up_node(u, OP_Resize, VALUES(need_in(u, 0), NULL, scales), 1);
  asymmetric(n, is_linear(u->n));
  become(u, 0, n->out[0]);
}

/* ---- Scan of opset 8: a batch axis in front of everything ---- */

// An outer Scan over the batch whose body is the Scan of today.
void old_scan_batch(Up *u) {
  Node *n = u->n;
  if (node_in(n, 0)) fail(EXIT_UNSUPPORTED, "upgrade.scan", u->where, "Scan of opset 8 with sequence lengths");
  int64_t scans;
  const int64_t *directions;
  if (!old_int(u, "num_scan_inputs", &scans) || n->nregion != 1) cannot_upgrade(u, "the body or num_scan_inputs is missing");
  int nin = n->nin - 1, ndirections = old_ints(u, "directions", &directions);
  if (nin < 1 || scans < 1 || scans > nin) cannot_upgrade(u, "num_scan_inputs does not fit the inputs");
  for (int k = 0; k < nin; k++) need_in(u, k + 1);
  Node *outer = up_node(u, OP_Scan, nin, n->in + 1, n->nout);
  node_set_int(outer, "num_scan_inputs", nin);
  Graph *body = graph_new(sym_fmt("%s.batch", n->region[0]->name), u->g);
  Value **in = NEWN(Value *, nin);
  for (int k = 0; k < nin; k++) in[k] = graph_input(body, NULL, NULL);
  Node *inner = graph_node(body, NULL, OP_Scan, n, nin, in, n->nout);
  node_set_int(inner, "num_scan_inputs", scans);
  if (ndirections > 0) node_set_ints(inner, "scan_input_directions", ndirections, directions);
  node_region(inner, graph_clone(n->region[0], body, NULL, NULL));
  for (int k = 0; k < n->nout; k++) graph_output(body, inner->out[k]);
  node_region(outer, body);
  for (int k = 0; k < n->nout; k++) become(u, k, outer->out[k]);
}

/* ---- com.microsoft: operators that ai.onnx took over ---- */

void old_gather_nd_indices(Up *u) { // of 32 bits, too
  Node *index = up_node(u, OP_Cast, VALUES(need_in(u, 1)), 1);
  node_set_int(index, "to", DT_I64);
  become(u, 0, up_op(u, OP_GatherND, VALUES(need_in(u, 0), index->out[0])));
}

void old_range_delta(Up *u) { // delta may be left out: 1
  Value *one = u->n->nin < 3 || !u->n->in[2] ? up_float_like(u, 1, need_in(u, 0)) : u->n->in[2];
  become(u, 0, up_op(u, OP_Range, VALUES(need_in(u, 0), need_in(u, 1), one)));
}
