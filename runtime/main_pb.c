/* main_pb.c - ONNX values in protobuf: TensorProto, SequenceProto, OptionalProto, MapProto, read by the declared type of the input (the
   messages do not say what they are) and written. Every length is checked against the bytes there are, before memory is taken. */
#include "main.h"
#include <string.h>

enum { MAX_DEPTH = 16, VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* ---- wire format ---- */
typedef struct Wire {
  const unsigned char *p, *end;
} Wire;
typedef struct Field {
  uint32_t number, type;
  uint64_t value; /* of a varint, or of a fixed one */
  Wire bytes;
} Field;
static bool varint(Wire *w, uint64_t *v) {
  *v = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (w->p == w->end) return false;
    unsigned char c = *w->p++;
    if (shift < 64) *v |= (uint64_t)(c & 127) << shift;
    if (c < 128) return true;
  }
  return false;
}
static bool fixed(Wire *w, int n, uint64_t *v) {
  if (w->end - w->p < n) return false;
  *v = 0;
  for (int i = n - 1; i >= 0; i--) *v = *v << 8 | w->p[i];
  w->p += n;
  return true;
}
static bool next(Wire *w, Field *f) { /* false: malformed */
  uint64_t key, n;
  if (!varint(w, &key)) return false;
  *f = (Field){(uint32_t)(key >> 3), (uint32_t)(key & 7), 0, {NULL, NULL}};
  if (f->type == VARINT) return varint(w, &f->value);
  if (f->type == FIXED64) return fixed(w, 8, &f->value);
  if (f->type == FIXED32) return fixed(w, 4, &f->value);
  if (f->type != BYTES || !varint(w, &n) || n > (uint64_t)(w->end - w->p)) return false;
  f->bytes = (Wire){w->p, w->p + n};
  w->p += n;
  return true;
}
static uint64_t length(Wire w) { return (uint64_t)(w.end - w.p); }
/* Hands out the numbers of a repeated field, packed or not, one by one. kind: VARINT, FIXED64 or FIXED32. */
static bool each_number(const Field *f, uint32_t kind, void (*take_one)(void *, uint64_t), void *user) {
  uint64_t v;
  if (f->type == kind) return take_one(user, f->value), true;
  if (f->type != BYTES) return false;
  for (Wire w = f->bytes; w.p < w.end;) {
    if (!(kind == VARINT ? varint(&w, &v) : fixed(&w, kind == FIXED64 ? 8 : 4, &v))) return false;
    take_one(user, v);
  }
  return true;
}

/* ---- TensorProto ---- */
typedef struct TensorMsg {
  int64_t dim[8];
  uint64_t rank, strings, fill; /* fill: numbers stored so far */
  uint64_t numbers;
  int32_t dtype;
  Wire raw;
  bool has_raw, bad_dim;
  tenon_value *v;
} TensorMsg;
static void add_dim(void *user, uint64_t x) {
  TensorMsg *m = user;
  if (m->rank == 8 || x > 1ull << 40) m->bad_dim = true;
  else m->dim[m->rank++] = (int64_t)x;
}
static void count_one(void *user, uint64_t x) { (void)x, ((TensorMsg *)user)->numbers++; }
static uint32_t number_kind(uint32_t field) { return field == 4 ? FIXED32 : field == 10 ? FIXED64 : VARINT; }
static bool is_numbers(uint32_t field) { return field == 4 || field == 5 || field == 7 || field == 10 || field == 11; }
static const char *scan_tensor(Wire w, TensorMsg *m) {
  Field f;
  while (w.p < w.end) {
    if (!next(&w, &f)) return "malformed protobuf";
    if (f.number == 1 && !each_number(&f, VARINT, add_dim, m)) return "malformed dims";
    if (f.number == 2 && f.type == VARINT) m->dtype = f.value < TN_DTYPES ? (int32_t)f.value : 0;
    if (f.number == 3) return "tensors in segments are not supported";
    if (f.number == 13 || (f.number == 14 && f.value)) return "external data is not supported in a value file";
    if (f.number == 6 && f.type == BYTES) m->strings++;
    if (f.number == 9 && f.type == BYTES) m->raw = f.bytes, m->has_raw = true;
    if (is_numbers(f.number) && !each_number(&f, number_kind(f.number), count_one, m)) return "malformed data";
  }
  return m->bad_dim ? "more than 8 dimensions, or a bad one" : !m->dtype ? "no known data_type (is this a TensorProto?)" : NULL;
}
/* How many numbers of the typed fields one tensor takes: parts of complex ones, bytes of packed ones. */
static uint64_t numbers_wanted(int32_t dtype, uint64_t count) {
  return tn_dtypes[dtype].code == kDLComplex ? 2 * count : tn_dtypes[dtype].stored < 8 ? tn_bytes(dtype, count) : count;
}
static void store_one(void *user, uint64_t x) {
  TensorMsg *m = user;
  uint64_t bits = tn_dtypes[m->dtype].stored, bytes = tn_dtypes[m->dtype].code == kDLComplex ? bits / 16 : bits < 8 ? 1 : bits / 8;
  memcpy((char *)m->v->t.data + m->fill++ * bytes, &x, bytes); /* little endian */
}
static bool field_fits(uint32_t field, int32_t dtype) {
  switch (field) {
  case 4: return dtype == TN_F32 || dtype == TN_C64;
  case 7: return dtype == TN_I64;
  case 10: return dtype == TN_F64 || dtype == TN_C128;
  case 11: return dtype == TN_U32 || dtype == TN_U64;
  default: return tn_dtypes[dtype].stored <= 32 && dtype != TN_F32 && dtype != TN_U32;
  }
}
static const char *read_typed(Wire w, TensorMsg *m) {
  Field f;
  uint64_t k = 0;
  while (w.p < w.end && next(&w, &f)) {
    if (f.number == 6 && f.type == BYTES && m->dtype == TN_STR)
      ((tenon_str *)m->v->t.data)[k++] = (tenon_str){(const char *)f.bytes.p, length(f.bytes)};
    if (!is_numbers(f.number)) continue;
    if (!field_fits(f.number, m->dtype)) return "data lies in a field that does not belong to data_type";
    each_number(&f, number_kind(f.number), store_one, m);
  }
  return NULL;
}
static const char *read_tensor(Wire w, tenon_value *v) {
  TensorMsg m = {.v = v};
  const char *bad = scan_tensor(w, &m);
  if (bad) return bad;
  uint64_t count = 1, bytes;
  for (uint64_t k = 0; k < m.rank; k++)
    if (__builtin_mul_overflow(count, (uint64_t)m.dim[k], &count) || count > 1ull << 50) return "too many elements";
  bytes = tn_bytes(m.dtype, count);
  if (m.dtype == TN_STR ? m.strings != count : m.has_raw ? length(m.raw) != bytes : m.numbers != numbers_wanted(m.dtype, count))
    return "dims and data do not match";
  if (m.has_raw && m.dtype != TN_STR) {
    int64_t *shape = take(8 * sizeof *shape);
    memcpy(shape, m.dim, sizeof m.dim);
    *v = tenon_dense(m.raw.p, bytes, tn_dtypes[m.dtype].code, tn_dtypes[m.dtype].bits, (int32_t)m.rank, shape);
    return NULL;
  }
  *v = value_tensor(m.dtype, (int32_t)m.rank, m.dim);
  return read_typed(w, &m);
}

/* ---- the others, by declared type ---- */
static const char *read_any(Wire w, const char *type, tenon_value *v, int depth);
/* Field numbers of SequenceProto; those of OptionalProto are the same. */
static uint32_t item_field(uint32_t kind) { return kind == TENON_TENSOR ? 3 : kind == TENON_SEQUENCE ? 5 : kind == TENON_MAP ? 6 : 7; }

static const char *read_items(Wire w, const char *inner, uint32_t kind, tenon_value *v, int depth) {
  Field f;
  uint32_t want = item_field(type_text(inner).kind);
  uint64_t n = 0, k = 0;
  const char *bad = NULL;
  for (Wire s = w; s.p < s.end;) {
    if (!next(&s, &f)) return "malformed protobuf";
    if (f.number == want && f.type == BYTES) n++;
    else if (f.number >= 3 && f.number <= 7) return "holds values of another kind than the model's input";
  }
  if (kind == TENON_OPTIONAL && n > 1) return "an optional with several values";
  *v = (tenon_value){.kind = kind, .item = take(n * sizeof *v), .n = n};
  for (Wire s = w; s.p < s.end && next(&s, &f) && !bad;)
    if (f.number == want && f.type == BYTES) bad = read_any(f.bytes, inner, &v->item[k++], depth + 1);
  return bad;
}
typedef struct Keys {
  int64_t *p;
  uint64_t n;
} Keys;
static void count_key(void *user, uint64_t x) { (void)x, ((Keys *)user)->n++; }
static void store_key(void *user, uint64_t x) { ((Keys *)user)->p[((Keys *)user)->n++] = (int64_t)x; }
static void narrow(int32_t dtype, const Keys *k, void *to) { /* map keys of less than 64 bits */
  uint64_t bytes = tn_dtypes[dtype].stored / 8;
  for (uint64_t i = 0; i < k->n; i++) memcpy((char *)to + i * bytes, &k->p[i], bytes);
}
static const char *read_map(Wire w, TypeText t, tenon_value *v, int depth) {
  Field f;
  Keys keys = {NULL, 0};
  uint64_t strings = 0;
  Wire values = {NULL, NULL};
  for (Wire s = w; s.p < s.end;) {
    if (!next(&s, &f)) return "malformed protobuf";
    if (f.number == 3 && !each_number(&f, VARINT, count_key, &keys)) return "malformed keys";
    if (f.number == 4) strings++;
    if (f.number == 5 && f.type == BYTES) values = f.bytes;
  }
  int64_t n = (int64_t)(t.dtype == TN_STR ? strings : keys.n);
  *v = (tenon_value){.kind = TENON_MAP, .item = take(2 * sizeof *v), .n = 2};
  v->item[0] = value_tensor(t.dtype, 1, &n);
  keys.p = take(keys.n * 8), keys.n = 0, strings = 0;
  for (Wire s = w; s.p < s.end && next(&s, &f);) {
    if (f.number == 3) each_number(&f, VARINT, store_key, &keys);
    if (f.number == 4 && t.dtype == TN_STR)
      ((tenon_str *)v->item[0].t.data)[strings++] = (tenon_str){(const char *)f.bytes.p, length(f.bytes)};
  }
  if (t.dtype != TN_STR) narrow(t.dtype, &keys, v->item[0].t.data);
  const char *bad = read_items(values, t.inner, TENON_SEQUENCE, &v->item[1], depth + 1);
  return bad ? bad : v->item[1].n != (uint64_t)n ? "a map has more or fewer values than keys" : NULL;
}
static const char *read_any(Wire w, const char *type, tenon_value *v, int depth) {
  TypeText t = type_text(type);
  if (depth > MAX_DEPTH) return "values are nested too deeply";
  switch (t.kind) {
  case TENON_TENSOR: return read_tensor(w, v);
  case TENON_SEQUENCE:
  case TENON_OPTIONAL: return read_items(w, t.inner, t.kind, v, depth);
  case TENON_MAP: return read_map(w, t, v, depth);
  default: return "the model's type is not supported here";
  }
}
const char *pb_read(File f, const char *type, tenon_value *v) {
  const unsigned char *p = (const unsigned char *)f.p;
  return read_any((Wire){p, p + f.n}, type, v, 0);
}

/* ---- writing ---- */
typedef struct Buf {
  char *p;
  uint64_t n, cap;
} Buf;
static void add(Buf *b, const void *p, uint64_t n) {
  if (b->n + n > b->cap) {
    char *q = take(b->cap = (b->n + n) * 2 + 64);
    if (b->n) memcpy(q, b->p, b->n);
    b->p = q; /* the old one is not worth freeing: the process ends soon */
  }
  if (n) memcpy(b->p + b->n, p, n);
  b->n += n;
}
static void add_varint(Buf *b, uint64_t v) {
  char c[10];
  int n = 0;
  do c[n] = (char)((v & 127) | (v > 127 ? 128 : 0)), n++, v >>= 7;
  while (v);
  add(b, c, (uint64_t)n);
}
static void add_int(Buf *b, uint32_t field, uint64_t v) { add_varint(b, field << 3 | VARINT), add_varint(b, v); }
static void add_bytes(Buf *b, uint32_t field, const void *p, uint64_t n) {
  add_varint(b, field << 3 | BYTES), add_varint(b, n), add(b, p, n);
}
static uint64_t raw_bytes(const tenon_value *v) {
  int32_t d = tn_dtype_of(v->t.dtype);
  return d == TN_STR ? 0 : tn_bytes(d, value_count(v));
}
static void put_tensor_head(Buf *b, const tenon_value *v, const char *name) { /* all but the raw bytes, which come last */
  int32_t d = tn_dtype_of(v->t.dtype);
  const tenon_str *s = (const void *)((const char *)v->t.data + v->t.byte_offset);
  for (int32_t k = 0; k < v->t.ndim; k++) add_int(b, 1, (uint64_t)v->t.shape[k]);
  add_int(b, 2, (uint64_t)d);
  for (uint64_t i = 0, n = d == TN_STR ? value_count(v) : 0; i < n; i++) add_bytes(b, 6, s[i].data, s[i].len);
  if (*name) add_bytes(b, 8, name, strlen(name));
  if (d != TN_STR) add_varint(b, 9 << 3 | BYTES), add_varint(b, raw_bytes(v));
}
static void put_value(Buf *b, const tenon_value *v, const char *type, const char *name);
static void put_item(Buf *b, const tenon_value *v, const char *type) {
  Buf item = {0};
  put_value(&item, v, type, "");
  add_bytes(b, item_field(type_text(type).kind), item.p, item.n);
}
static uint64_t elem_type(const char *type) { /* SequenceProto.DataType and OptionalProto.DataType */
  uint32_t kind = type_text(type).kind;
  return kind == TENON_TENSOR ? 1 : kind == TENON_SEQUENCE ? 3 : kind == TENON_MAP ? 4 : 5;
}
static void put_map_values(Buf *b, const tenon_value *v, const char *inner) { /* a SequenceProto; packed scalars become rank 0 tensors */
  Buf seq = {0};
  add_int(&seq, 2, elem_type(inner));
  if (v->kind == TENON_SEQUENCE)
    for (uint64_t i = 0; i < v->n; i++) put_item(&seq, &v->item[i], inner);
  uint64_t bytes = v->kind == TENON_TENSOR ? tn_dtypes[tn_dtype_of(v->t.dtype)].stored / 8 : 0;
  for (int64_t i = 0; v->kind == TENON_TENSOR && i < v->t.shape[0]; i++) {
    tenon_value one = *v;
    one.t.ndim = 0, one.t.byte_offset += (uint64_t)i * bytes;
    put_item(&seq, &one, "tensor(any)");
  }
  add_bytes(b, 5, seq.p, seq.n);
}
static void put_map(Buf *b, const tenon_value *v, TypeText t) {
  tn_dtype d = tn_dtypes[t.dtype];
  const tenon_value *key = &v->item[0];
  const char *p = (const char *)key->t.data + key->t.byte_offset;
  add_int(b, 2, (uint64_t)t.dtype);
  for (int64_t i = 0; i < key->t.shape[0]; i++) {
    const tenon_str *s = (const tenon_str *)(const void *)p + i;
    uint64_t bytes = d.stored / 8, x = 0;
    if (t.dtype == TN_STR) {
      add_bytes(b, 4, s->data, s->len);
      continue;
    }
    memcpy(&x, p + (uint64_t)i * bytes, bytes);
    if (d.code == kDLInt && bytes < 8 && x >> (bytes * 8 - 1)) x |= ~0ull << bytes * 8;
    add_int(b, 3, x);
  }
  put_map_values(b, &v->item[1], t.inner);
}
static void put_value(Buf *b, const tenon_value *v, const char *type, const char *name) {
  TypeText t = type_text(type);
  if (t.kind == TENON_TENSOR) {
    put_tensor_head(b, v, name);
    if (raw_bytes(v)) add(b, (const char *)v->t.data + v->t.byte_offset, raw_bytes(v));
    return;
  }
  if (*name) add_bytes(b, 1, name, strlen(name));
  if (t.kind == TENON_MAP) {
    put_map(b, v, t);
    return;
  }
  add_int(b, 2, elem_type(t.inner));
  if (t.kind == TENON_OPTIONAL && v->kind != TENON_OPTIONAL && v->kind != TENON_ABSENT) put_item(b, v, t.inner);
  else
    for (uint64_t i = 0; i < v->n; i++) put_item(b, &v->item[i], t.inner);
}
const char *pb_write(const char *path, const tenon_value *v, const char *type, const char *name) {
  Buf b = {0};
  bool tensor = type_text(type).kind == TENON_TENSOR;
  if (tensor) put_tensor_head(&b, v, name);
  else put_value(&b, v, type, name);
  uint64_t body = tensor ? raw_bytes(v) : 0;
  if (b.n + body > INT32_MAX) return "does not fit into protobuf's 2 GiB; use --output-format npy";
  return file_write(path, b.p, b.n, tensor ? (const char *)v->t.data + v->t.byte_offset : NULL, body) ? NULL : "cannot be written";
}
