// tensor.c - TensorProto to Tensor: from raw_data (in place), from the typed fields, from external files; sparse ones become dense.
// After: contents and shape agree exactly, bools are 0 or 1.
#include "import.h"
#include <string.h>

static void wrong(const Onnx__TensorProto *t, const Where *w, const char *what) {
  fail(EXIT_INVALID, "tensor.malformed", w, "tensor '%s' %s", t->name ? t->name : "", what);
}

// The dims with their product checked; 62 bits are left for products of a count with an element's size.
static Tensor shape_of(const Onnx__TensorProto *t, const Where *w) {
  Tensor x = {.dtype = (DType)t->data_type, .rank = (int)t->n_dims};
  if (t->data_type <= 0 || t->data_type >= DT_COUNT) wrong(t, w, fmt("has element type %d, which does not exist", t->data_type));
  if (t->n_dims > MAX_RANK)
    fail(EXIT_UNSUPPORTED, "shape.rank", w, "tensor '%s' has %zu axes; at most %d are supported", t->name ? t->name : "", t->n_dims,
         MAX_RANK);
  int64_t count = 16;
  bool empty = false;
  for (int k = 0; k < x.rank; k++) {
    x.dim[k] = t->dims[k];
    if (x.dim[k] < 0) wrong(t, w, fmt("has dim %lld", (long long)x.dim[k]));
    empty |= !x.dim[k];
  }
  for (int k = 0; k < x.rank && !empty; k++)
    if (__builtin_mul_overflow(count, x.dim[k], &count)) wrong(t, w, "has more elements than 64 bits count");
  return x;
}

static bool zero_or_one(const uint8_t *p, int64_t n) {
  for (int64_t k = 0; k < n; k++)
    if (p[k] > 1) return false;
  return true;
}

static const void *clean_bools(const uint8_t *p, int64_t n) {
  if (zero_or_one(p, n)) return p;
  uint8_t *b = mem((size_t)n);
  for (int64_t k = 0; k < n; k++) b[k] = p[k] != 0;
  return b;
}

static Tensor *from_bytes(const Onnx__TensorProto *t, const Tensor *shape, const uint8_t *p, int64_t n, const Where *w) {
  int64_t want = dtype_bytes(shape->dtype, tensor_count(shape));
  if (shape->dtype == DT_STR) wrong(t, w, "holds strings as raw bytes");
  if (n != want) wrong(t, w, fmt("has %lld bytes of data where its shape needs %lld", (long long)n, (long long)want));
  static const uint8_t nothing[16];
  if (!n) p = nothing;
  return tensor_new(shape->dtype, shape->rank, shape->dim, shape->dtype == DT_BOOL ? clean_bools(p, n) : p);
}

/* ---- typed fields ---- */

typedef struct Field { // one of the repeated fields of a TensorProto
  const char *name;
  const void *p;
  size_t n;
  int bytes; // of one entry
} Field;

// Which field holds this element type, and how many bytes of each entry count.
static Field field_of(const Onnx__TensorProto *t, DType d, int *used) {
  Field f32 = {"float_data", t->float_data, t->n_float_data, 4}, f64 = {"double_data", t->double_data, t->n_double_data, 8};
  Field i32 = {"int32_data", t->int32_data, t->n_int32_data, 4}, i64 = {"int64_data", t->int64_data, t->n_int64_data, 8};
  Field u64 = {"uint64_data", t->uint64_data, t->n_uint64_data, 8};
  int bits = dtypes[d].bits;
  *used = bits < 8 ? 1 : bits / 8;
  if (d == DT_F32) return f32;
  if (d == DT_C64) return *used = 4, f32;
  if (d == DT_F64) return f64;
  if (d == DT_C128) return *used = 8, f64;
  if (d == DT_I64) return i64;
  if (d == DT_U32 || d == DT_U64) return u64;
  return i32;
}

static size_t entries(const Onnx__TensorProto *t) {
  return t->n_float_data + t->n_double_data + t->n_int32_data + t->n_int64_data + t->n_uint64_data + t->n_string_data;
}

static Tensor *from_strings(const Onnx__TensorProto *t, const Tensor *shape, const Where *w) {
  int64_t count = tensor_count(shape);
  if ((int64_t)t->n_string_data != count || entries(t) != t->n_string_data)
    wrong(t, w, fmt("has %zu strings where its shape needs %lld", entries(t), (long long)count));
  Str *s = NEWN(Str, count + 1);
  for (int64_t k = 0; k < count; k++) s[k] = (Str){(const char *)t->string_data[k].data, t->string_data[k].len};
  return tensor_new(DT_STR, shape->rank, shape->dim, s);
}

static Tensor *from_fields(const Onnx__TensorProto *t, const Tensor *shape, const Where *w) {
  if (shape->dtype == DT_STR) return from_strings(t, shape, w);
  int used;
  Field f = field_of(t, shape->dtype, &used);
  int64_t want = dtype_bytes(shape->dtype, tensor_count(shape)) / used;
  if (f.n != entries(t)) wrong(t, w, fmt("has data in another field than %s", f.name));
  if ((int64_t)f.n != want) wrong(t, w, fmt("has %zu entries in %s where its shape needs %lld", f.n, f.name, (long long)want));
  Tensor *x = tensor_new(shape->dtype, shape->rank, shape->dim, NULL);
  uint8_t *out = (uint8_t *)(uintptr_t)x->data;
  for (size_t k = 0; k < f.n; k++) memcpy(out + k * (size_t)used, (const char *)f.p + k * (size_t)f.bytes, (size_t)used);
  if (x->dtype == DT_BOOL) x->data = clean_bools(x->data, x->bytes);
  return x;
}

Tensor *import_tensor(Importer *im, const Onnx__TensorProto *t, const Where *w) {
  Tensor shape = shape_of(t, w);
  bool external = t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
  bool raw = t->has_raw_data || t->has_mapped_size;
  if (t->has_data_location && t->data_location > 1) wrong(t, w, "has its data in a place that does not exist");
  if ((raw || external) && entries(t)) wrong(t, w, "has its data twice");
  if (raw && external) wrong(t, w, "has its data twice");
  if (external) {
    int64_t n;
    const uint8_t *p = external_bytes(im, t, &n, w);
    return from_bytes(t, &shape, p, n, w);
  }
  if (t->has_mapped_size) return from_bytes(t, &shape, im->bytes + t->mapped_offset, (int64_t)t->mapped_size, w);
  if (raw) return from_bytes(t, &shape, t->raw_data.data, (int64_t)t->raw_data.len, w);
  return from_fields(t, &shape, w);
}

/* ---- sparse ---- */

static void bad_sparse(const Onnx__TensorProto *t, const Where *w) { wrong(t, w, "is a malformed sparse tensor"); }

static Tensor dense_shape(const Onnx__SparseTensorProto *s, const Where *w) {
  Onnx__TensorProto as_tensor = *s->values;
  as_tensor.n_dims = s->n_dims;
  as_tensor.dims = s->dims;
  return shape_of(&as_tensor, w);
}

// Linear position of nonzero k: indices are linear [n], or coordinates [n, rank].
static int64_t position(const Tensor *shape, const Tensor *at, int64_t k) {
  if (at->rank == 1) return tensor_int(at, k);
  int64_t p = 0;
  for (int d = 0; d < shape->rank; d++) {
    int64_t i = tensor_int(at, k * shape->rank + d);
    if (i < 0 || i >= shape->dim[d]) return -1;
    p = p * shape->dim[d] + i;
  }
  return p;
}

static const int64_t dense_max = (int64_t)1 << 31;

Tensor *import_sparse(Importer *im, const Onnx__SparseTensorProto *s, const Where *w) {
  if (!s->values || !s->indices) fail(EXIT_INVALID, "tensor.malformed", w, "a sparse tensor without values or indices");
  Tensor *v = import_tensor(im, s->values, w), *at = import_tensor(im, s->indices, w);
  Tensor shape = dense_shape(s, w);
  int64_t n = tensor_count(v), count = tensor_count(&shape), last = -1;
  bool coordinates = at->rank == 2 && at->dim[0] == n && at->dim[1] == shape.rank;
  if (v->rank != 1 || at->dtype != DT_I64 || !(coordinates || (at->rank == 1 && at->dim[0] == n))) bad_sparse(s->values, w);
  int bits = dtypes[v->dtype].bits;
  if (v->dtype == DT_STR || bits < 8) fail(EXIT_UNSUPPORTED, "tensor.sparse", w, "a sparse tensor of %s", dtypes[v->dtype].name);
  if (count > dense_max / bits) fail(EXIT_LIMIT, "limit.size", w, "sparse tensor '%s' is too large to be stored densely", s->values->name);
  Tensor *x = tensor_new(v->dtype, shape.rank, shape.dim, NULL);
  for (int64_t k = 0; k < n; k++) {
    int64_t p = position(&shape, at, k);
    if (p <= last || p >= count) bad_sparse(s->values, w);
    last = p;
    memcpy((char *)(uintptr_t)x->data + p * bits / 8, (const char *)v->data + k * bits / 8, (size_t)bits / 8);
  }
  return x;
}
