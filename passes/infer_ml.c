// infer_ml.c - shape rules of ai.onnx.ml.
#include "infer_rules.h"

static int count_of(const Node *n, const char *name) {
  const Attr *a = attr_find(n, name);
  return a ? a->n : 0;
}
static IExpr *rows(const Node *n) { return rank_in(n, 0) > 1 ? dim_in(n, 0, 0) : ix(1); }

void shape_array_feature_extractor(Node *n) {
  Dims x = dims_of(n->in[0]), k = dims_of(n->in[1]);
  if (x.rank == 1) insert_dim(&x, 0, ix(1));
  x.d[x.rank - 1] = product(k, 0, k.rank);
  out_dims(n, 0, dtype_in(n, 0), x);
}

void shape_feature_vectorizer(Node *n) {
  const int64_t *v;
  int count = attr_ints(n, "inputdimensions", &v);
  IExpr *sum = ix(0);
  for (int i = 0; i < n->nin; i++) sum = ix_add(sum, i < count ? ix(v[i]) : rank_in(n, i) > 1 ? dim_in(n, i, 1) : dim_in(n, i, 0));
  out_dims(n, 0, DT_F32, dims(2, n->nin ? rows(n) : ix(1), sum));
}

void shape_one_hot_encoder(Node *n) {
  Dims s = dims_of(n->in[0]);
  insert_dim(&s, s.rank, ix(count_of(n, "cats_int64s") + count_of(n, "cats_strings")));
  out_dims(n, 0, DT_F32, s);
}

void shape_scaler(Node *n) { out_dims(n, 0, DT_F32, dims_of(n->in[0])); }
void shape_category_mapper(Node *n) { out_dims(n, 0, dtype_in(n, 0) == DT_STR ? DT_I64 : DT_STR, dims_of(n->in[0])); }

void shape_label_encoder(Node *n) {
  const Attr *t = attr_find(n, "values_tensor");
  DType d = t                                ? t->t->dtype
            : attr_find(n, "values_floats")  ? DT_F32
            : attr_find(n, "values_int64s")  ? DT_I64
            : attr_find(n, "values_strings") ? DT_STR
            : dtype_in(n, 0) == DT_I64       ? DT_STR
                                             : DT_I64;
  out_dims(n, 0, d, dims_of(n->in[0]));
}

/* ---- maps ---- */

void shape_cast_map(Node *n) {
  DType d = attr_is(n, "cast_to", "TO_STRING") ? DT_STR : attr_is(n, "cast_to", "TO_INT64") ? DT_I64 : DT_F32;
  bool sparse = attr_is(n, "map_form", "SPARSE");
  out_dims(n, 0, d, dims(2, ix(1), sparse ? ix(attr_int(n, "max_map")) : fresh_dim(n, 0, 1, 0, IX_DIM_MAX)));
}

void shape_dict_vectorizer(Node *n) {
  const Type *m = n->in[0]->type;
  DType d = m->kind == TYPE_MAP && m->elem ? m->elem->dtype : DT_F32;
  out_dims(n, 0, d, dims(2, ix(1), ix(count_of(n, "int64_vocabulary") + count_of(n, "string_vocabulary"))));
}

void shape_zip_map(Node *n) {
  DType key = count_of(n, "classlabels_strings") ? DT_STR : DT_I64;
  out_type(n, 0, type_of(TYPE_SEQUENCE, DT_NONE, type_of(TYPE_MAP, key, type_tensor(DT_F32, 0, NULL))));
  if (node_out(n, 0)) side_of(node_out(n, 0))->length = rows(n);
}

/* ---- models ---- */

void shape_row_scores(Node *n) {
  int64_t k = 1;
  if (n->op->id == OP_LinearRegressor) k = attr_int(n, "targets");
  else if (n->op->id != OP_SVMRegressor && attr_find(n, "n_targets")) k = attr_int(n, "n_targets");
  DType d = n->op->id == OP_TreeEnsemble ? dtype_in(n, 0) : DT_F32;
  out_dims(n, 0, d, dims(2, rows(n), ix(k)));
}

// Without probabilities a support vector machine of more than two classes gives a score for each pair of them.
static int64_t scores(const Node *n, int64_t classes) {
  bool pairs = n->op->id == OP_SVMClassifier && count_of(n, "vectors_per_class") && !count_of(n, "prob_a") && classes > 2;
  return pairs ? classes * (classes - 1) / 2 : classes;
}

void shape_classifier(Node *n) {
  int strings = count_of(n, "classlabels_strings"), k = strings;
  if (!k) k = count_of(n, op_attr(n->op, "classlabels_ints") ? "classlabels_ints" : "classlabels_int64s");
  if (!k) k = count_of(n, "intercepts");
  out_dims(n, 0, strings ? DT_STR : DT_I64, dims(1, rows(n)));
  out_dims(n, 1, DT_F32, dims(2, rows(n), ix(scores(n, k))));
}
