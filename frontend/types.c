// types.c - TypeProto to Type. A dim_param is one symbol throughout the model; an unnamed dim of a graph input gets a symbol of its own.
#include "import.h"
#include <ctype.h>
#include <string.h>

enum { MAX_NEST = 16 };

// Symbols are identifiers in our texts; other characters become _, and a second name that would come out equal gets a number.
static IExpr *symbol(Importer *im, const char *param) {
  Sym key = sym(param);
  IExpr *e = map_get(&im->symbol, key);
  if (e) return e;
  char *id = fmt("%s%s", isdigit((unsigned char)*param) ? "d" : "", param);
  for (char *p = id; *p; p++)
    if (!isalnum((unsigned char)*p)) *p = '_';
  Sym name = sym(id);
  for (int k = 2; map_get(&im->symbol_name, name); k++) name = sym_fmt("%s_%d", id, k);
  e = ix_sym(name, 0, IX_DIM_MAX);
  map_put(&im->symbol_name, name, e);
  map_put(&im->symbol, key, e);
  return e;
}

static IExpr *dim_of(Importer *im, const Onnx__TensorShapeProto__Dimension *d, Sym owner, int axis, const Where *w) {
  if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
    if (d->dim_value < 0 || d->dim_value > IX_DIM_MAX)
      fail(d->dim_value < 0 ? EXIT_INVALID : EXIT_LIMIT, "shape.dim", w, "'%s' has dim %lld", owner ? owner : "", (long long)d->dim_value);
    return ix(d->dim_value);
  }
  bool named = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *d->dim_param;
  if (named) return symbol(im, d->dim_param);
  return owner ? symbol(im, fmt("%s_%d", owner, axis)) : NULL;
}

static const Type *tensor(Importer *im, int elem, const Onnx__TensorShapeProto *s, Sym owner, const Where *w) {
  if (elem <= 0 || elem >= DT_COUNT) fail(EXIT_INVALID, "type.malformed", w, "'%s' has element type %d", owner ? owner : "", elem);
  if (!s) return type_unranked((DType)elem);
  if (s->n_dim > MAX_RANK)
    fail(EXIT_UNSUPPORTED, "shape.rank", w, "'%s' has %zu axes; at most %d are supported", owner ? owner : "", s->n_dim, MAX_RANK);
  IExpr *dim[MAX_RANK];
  for (size_t k = 0; k < s->n_dim; k++) dim[k] = dim_of(im, s->dim[k], owner, (int)k, w);
  return type_tensor((DType)elem, (int)s->n_dim, dim);
}

static const Type *convert(Importer *im, const Onnx__TypeProto *t, Sym owner, int depth, const Where *w) {
  if (depth > MAX_NEST) fail(EXIT_LIMIT, "limit.depth", w, "a type nests deeper than %d", MAX_NEST);
  if (!t) return NULL;
  switch (t->value_case) {
  case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE: return tensor(im, t->tensor_type->elem_type, t->tensor_type->shape, owner, w);
  case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
    return type_of(TYPE_SEQUENCE, DT_NONE, convert(im, t->sequence_type->elem_type, NULL, depth + 1, w));
  case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
    return type_of(TYPE_OPTIONAL, DT_NONE, convert(im, t->optional_type->elem_type, owner, depth + 1, w));
  case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: {
    int key = t->map_type->key_type;
    if (key <= 0 || key >= DT_COUNT) fail(EXIT_INVALID, "type.malformed", w, "a map's key has element type %d", key);
    return type_of(TYPE_MAP, (DType)key, convert(im, t->map_type->value_type, NULL, depth + 1, w));
  }
  case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: {
    int elem = t->sparse_tensor_type->elem_type;
    if (elem <= 0 || elem >= DT_COUNT) fail(EXIT_INVALID, "type.malformed", w, "a sparse tensor has element type %d", elem);
    return type_of(TYPE_SPARSE, (DType)elem, NULL);
  }
  case ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE: fail(EXIT_UNSUPPORTED, "type.opaque", w, "'%s' has an opaque type", owner ? owner : "");
  default: return NULL;
  }
}

const Type *import_type(Importer *im, const Onnx__TypeProto *t, Sym owner, const Where *w) { return convert(im, t, owner, 0, w); }

int info_rank(const Onnx__ValueInfoProto *v) {
  const Onnx__TypeProto *t = v ? v->type : NULL;
  if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type->shape) return -1;
  return (int)t->tensor_type->shape->n_dim;
}
