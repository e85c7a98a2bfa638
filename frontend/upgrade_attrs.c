// upgrade_attrs.c - rules for attributes that later opsets turned into inputs, renamed or gave another type.
#include "upgrade.h"
#include <float.h>
#include <string.h>

static void to_input(Up *u, const char *attr, int at) {
  const int64_t *v;
  int n = old_ints(u, attr, &v);
  if (n >= 0) node_set_in(u->n, at, up_ints(u, n, v));
  drop_attr(u, attr);
}

void old_axes_input(Up *u) {
  const int64_t *v;
  if (old_ints(u, "axes", &v) > 0) to_input(u, "axes", 1);
  drop_attr(u, "axes"); // an empty list meant all axes, as no input does
}

// The limits have defaults from opset 6 on, which bound even infinities; opset 1 has none.
void old_clip_limits(Up *u) {
  static const char *const name[] = {"min", "max"};
  Value *x = need_in(u, 0);
  for (int k = 0; k < 2; k++) {
    double v = k ? FLT_MAX : -FLT_MAX;
    if (!old_float(u, name[k], &v) && u->opset < 6) continue;
    drop_attr(u, name[k]);
    node_set_in(u->n, k + 1, up_float_like(u, v, x));
  }
}

void old_selu_constants(Up *u) {
  double v;
  if (!old_float(u, "alpha", &v)) node_set_float(u->n, "alpha", 1.6732f);
  if (!old_float(u, "gamma", &v)) node_set_float(u->n, "gamma", 1.0507f);
}

void old_slice_ranges(Up *u) {
  const int64_t *v;
  if (old_ints(u, "starts", &v) < 0 || old_ints(u, "ends", &v) < 0) cannot_upgrade(u, "starts or ends are missing");
  to_input(u, "starts", 1);
  to_input(u, "ends", 2);
  to_input(u, "axes", 3);
}

void old_pad_amounts(Up *u) {
  const int64_t *v;
  const char *name = old_ints(u, "pads", &v) >= 0 ? "pads" : "paddings";
  if (old_ints(u, name, &v) < 0) cannot_upgrade(u, "pads are missing");
  to_input(u, name, 1);
  double value;
  if (old_float(u, "value", &value) && value != 0) node_set_in(u->n, 2, up_float_like(u, value, need_in(u, 0)));
  drop_attr(u, "value");
}

void old_reshape_target(Up *u) {
  const int64_t *v;
  if (old_ints(u, "shape", &v) < 0) cannot_upgrade(u, "the shape is missing");
  to_input(u, "shape", 1);
}

static Value *to_i64(Up *u, Value *v) {
  Node *n = up_node(u, OP_Cast, VALUES(v), 1);
  node_set_int(n, "to", DT_I64);
  return n->out[0];
}

// Tile(x, tiles, axis): ones, but tiles at the axis.
void old_tile_axis(Up *u) {
  Value *x = need_in(u, 0), *tiles = to_i64(u, need_in(u, 1)), *axis = to_i64(u, need_in(u, 2));
  int64_t zero = 0, one = 1;
  Value *rank = up_op(u, OP_Squeeze, VALUES(up_rank(u, x)));
  Value *index = up_op(u, OP_Range, VALUES(graph_const_i64(u->g, 0, 1, &zero), rank, graph_const_i64(u->g, 0, 1, &one)));
  Value *here = up_op(u, OP_Equal, VALUES(index, axis));
  Value *repeats = up_op(u, OP_Where, VALUES(here, tiles, graph_const_i64(u->g, 0, 1, &one)));
  become(u, 0, up_op(u, OP_Tile, VALUES(x, repeats)));
}

void old_split_sizes(Up *u) { to_input(u, "split", 1); }

void old_split_count(Up *u) {
  if (!node_in(u->n, 1) && !attr_has(u->n, "num_outputs")) node_set_int(u->n, "num_outputs", u->n->nout);
}

void old_topk_k(Up *u) {
  int64_t k;
  if (!old_int(u, "k", &k)) cannot_upgrade(u, "k is missing");
  drop_attr(u, "k");
  node_set_in(u->n, 1, up_int(u, k));
}

void old_dft_axis(Up *u) {
  int64_t axis = 1;
  old_int(u, "axis", &axis);
  drop_attr(u, "axis");
  if (u->n->nin < 2) node_set_in(u->n, 1, NULL);
  node_set_in(u->n, 2, graph_const_i64(u->g, 0, 1, &axis));
}

void old_cast_name(Up *u) {
  for (int k = 0; k < u->n->nattr; k++) {
    const Attr *a = &u->n->attr[k];
    if (strcmp(a->name, "to") || a->kind != ATTR_STRING) continue;
    for (int d = 1; d < DT_COUNT; d++)
      if (strlen(dtypes[d].onnx_name) == a->s.n && !strncasecmp(dtypes[d].onnx_name, a->s.p, a->s.n)) {
        node_set_int(u->n, "to", d);
        return;
      }
    cannot_upgrade(u, fmt("there is no element type %.*s", (int)a->s.n, a->s.p));
  }
}

void old_concat_axis(Up *u) {
  if (!attr_has(u->n, "axis")) node_set_int(u->n, "axis", 1);
}

void old_lp_float(Up *u) {
  double p;
  for (int k = 0; k < u->n->nattr; k++)
    if (!strcmp(u->n->attr[k].name, "p") && u->n->attr[k].kind == ATTR_FLOAT && old_float(u, "p", &p)) {
      if (p < 1 || p > 1000 || p != (int)p) cannot_upgrade(u, "p is no small integer");
      node_set_int(u->n, "p", (int64_t)p);
      return;
    }
}

void old_gridsample_mode(Up *u) {
  if (attr_is(u->n, "mode", "bilinear")) node_set_string(u->n, "mode", "linear");
  if (attr_is(u->n, "mode", "bicubic")) node_set_string(u->n, "mode", "cubic");
}

void old_roialign_offset(Up *u) { node_set_string(u->n, "coordinate_transformation_mode", "output_half_pixel"); }

void old_scatter(Up *u) {
  Value *const in[] = {need_in(u, 0), need_in(u, 1), need_in(u, 2)};
  int64_t axis = 0;
  old_int(u, "axis", &axis);
  Node *n = up_node(u, OP_ScatterElements, 3, in, 1);
  node_set_int(n, "axis", axis);
  become(u, 0, n->out[0]);
}

// ai.onnx.ml 1: classes_strings; strings become positions, integers become strings.
void old_label_classes(Up *u) {
  Value *x = need_in(u, 0);
  const Attr *classes = NULL;
  for (int k = 0; k < u->n->nattr; k++)
    if (!strcmp(u->n->attr[k].name, "classes_strings")) classes = &u->n->attr[k];
  if (!classes || classes->kind != ATTR_STRINGS) return;
  if (!x->type || x->type->kind != TYPE_TENSOR)
    fail(EXIT_UNSUPPORTED, "upgrade.type", u->where, "LabelEncoder of opset 1 on a value whose type the file does not give");
  bool from_strings = x->type->dtype == DT_STR;
  int64_t *index = NEWN(int64_t, classes->n + 1);
  for (int k = 0; k < classes->n; k++) index[k] = k;
  Attr labels = *classes;
  labels.name = sym(from_strings ? "keys_strings" : "values_strings");
  drop_attr(u, "classes_strings");
  node_set(u->n, labels);
  node_set_ints(u->n, from_strings ? "values_int64s" : "keys_int64s", labels.n, index);
}

// x * scale + bias, a bias for each channel of [N,C,H,W].
void old_image_scaler(Up *u) {
  Value *x = need_in(u, 0);
  double scale = 1;
  old_float(u, "scale", &scale);
  Value *y = up_op(u, OP_Mul, VALUES(x, up_float_like(u, scale, x)));
  for (int k = 0; k < u->n->nattr; k++) {
    const Attr *a = &u->n->attr[k];
    if (strcmp(a->name, "bias") || a->kind != ATTR_FLOATS || !a->n) continue;
    Tensor *t = tensor_new(DT_F32, 3, (int64_t[]){a->n, 1, 1}, NULL);
    for (int c = 0; c < a->n; c++) tensor_set_float(t, c, a->floats[c]);
    y = up_op(u, OP_Add, VALUES(y, up_op(u, OP_CastLike, VALUES(graph_const(u->g, NULL, t), x))));
  }
  become(u, 0, y);
}

// border is left, top, right, bottom of [N,C,H,W]; scale, if given, is the height and width that are kept from the border on.
void old_crop(Up *u) {
  const int64_t *border, *scale;
  if (old_ints(u, "border", &border) != 4) cannot_upgrade(u, "border needs four numbers");
  bool sized = old_ints(u, "scale", &scale) == 2;
  for (int k = 0; k < 4; k++)
    if (border[k] < 0 || border[k] > INT32_MAX) cannot_upgrade(u, "a border out of range");
  int64_t start[] = {border[1], border[0]}, end[2], axes[] = {2, 3};
  for (int k = 0; k < 2; k++) {
    int64_t far = border[3 - k];
    end[k] = sized ? start[k] + (scale[k] & INT32_MAX) : far ? -far : INT64_MAX;
  }
  become(u, 0, up_op(u, OP_Slice, VALUES(need_in(u, 0), up_ints(u, 2, start), up_ints(u, 2, end), up_ints(u, 2, axes))));
}
