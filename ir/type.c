// type.c - element types, interned value types and their text, constant tensors' elements. Conversions of the small floats are in
// small_float.c.
#include "type.h"
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* ---- element types ---- */

enum {
  DL_INT,
  DL_UINT,
  DL_FLOAT,
  DL_OPAQUE,
  DL_BFLOAT,
  DL_COMPLEX,
  DL_BOOL,
  DL_E4M3FN = 10,
  DL_E4M3FNUZ,
  DL_E5M2,
  DL_E5M2FNUZ,
  DL_E8M0,
  DL_E2M3,
  DL_E3M2,
  DL_E2M1
};
// clang-format off
const DTypeInfo dtypes[DT_COUNT] = {
  //                  name          ONNX's name       bits reg    float  int  signed  DLPack
  [DT_NONE]       = {"none",       "undefined",        0, DT_NONE, 0, 0, 0, DL_OPAQUE, 0},
  [DT_F32]        = {"f32",        "float",           32, DT_F32,  1, 0, 1, DL_FLOAT, 32},
  [DT_U8]         = {"u8",         "uint8",            8, DT_I32,  0, 1, 0, DL_UINT, 8},
  [DT_I8]         = {"i8",         "int8",             8, DT_I32,  0, 1, 1, DL_INT, 8},
  [DT_U16]        = {"u16",        "uint16",          16, DT_I32,  0, 1, 0, DL_UINT, 16},
  [DT_I16]        = {"i16",        "int16",           16, DT_I32,  0, 1, 1, DL_INT, 16},
  [DT_I32]        = {"i32",        "int32",           32, DT_I32,  0, 1, 1, DL_INT, 32},
  [DT_I64]        = {"i64",        "int64",           64, DT_I64,  0, 1, 1, DL_INT, 64},
  [DT_STR]        = {"str",        "string",         128, DT_NONE, 0, 0, 0, DL_OPAQUE, 128},
  [DT_BOOL]       = {"bool",       "bool",             8, DT_BOOL, 0, 0, 0, DL_BOOL, 8},
  [DT_F16]        = {"f16",        "float16",         16, DT_F32,  1, 0, 1, DL_FLOAT, 16},
  [DT_F64]        = {"f64",        "double",          64, DT_F64,  1, 0, 1, DL_FLOAT, 64},
  [DT_U32]        = {"u32",        "uint32",          32, DT_I64,  0, 1, 0, DL_UINT, 32},
  [DT_U64]        = {"u64",        "uint64",          64, DT_I64,  0, 1, 0, DL_UINT, 64},
  [DT_C64]        = {"c64",        "complex64",       64, DT_F32,  0, 0, 1, DL_COMPLEX, 64},
  [DT_C128]       = {"c128",       "complex128",     128, DT_F64,  0, 0, 1, DL_COMPLEX, 128},
  [DT_BF16]       = {"bf16",       "bfloat16",        16, DT_F32,  1, 0, 1, DL_BFLOAT, 16},
  [DT_F8E4M3FN]   = {"f8e4m3fn",   "float8e4m3fn",     8, DT_F32,  1, 0, 1, DL_E4M3FN, 8},
  [DT_F8E4M3FNUZ] = {"f8e4m3fnuz", "float8e4m3fnuz",   8, DT_F32,  1, 0, 1, DL_E4M3FNUZ, 8},
  [DT_F8E5M2]     = {"f8e5m2",     "float8e5m2",       8, DT_F32,  1, 0, 1, DL_E5M2, 8},
  [DT_F8E5M2FNUZ] = {"f8e5m2fnuz", "float8e5m2fnuz",   8, DT_F32,  1, 0, 1, DL_E5M2FNUZ, 8},
  [DT_U4]         = {"u4",         "uint4",            4, DT_I32,  0, 1, 0, DL_UINT, 4},
  [DT_I4]         = {"i4",         "int4",             4, DT_I32,  0, 1, 1, DL_INT, 4},
  [DT_F4E2M1]     = {"f4e2m1",     "float4e2m1",       4, DT_F32,  1, 0, 1, DL_E2M1, 4},
  [DT_F8E8M0]     = {"f8e8m0",     "float8e8m0",       8, DT_F32,  1, 0, 0, DL_E8M0, 8},
  [DT_U2]         = {"u2",         "uint2",            2, DT_I32,  0, 1, 0, DL_UINT, 2},
  [DT_I2]         = {"i2",         "int2",             2, DT_I32,  0, 1, 1, DL_INT, 2},
  [DT_F6E2M3]     = {"f6e2m3",     "float6e2m3",       8, DT_F32,  1, 0, 1, DL_E2M3, 6},
  [DT_F6E3M2]     = {"f6e3m2",     "float6e3m2",       8, DT_F32,  1, 0, 1, DL_E3M2, 6},
};
// clang-format on

DType dtype_of(Sym name) {
  for (int d = 1; d < DT_COUNT; d++)
    if (strcmp(dtypes[d].name, name) == 0) return (DType)d;
  return DT_NONE;
}

int64_t dtype_bytes(DType d, int64_t elements) {
  int bits = dtypes[d].bits;
  int64_t n;
  if (bits < 8) return elements / (8 / bits) + (elements % (8 / bits) != 0);
  if (__builtin_mul_overflow(elements, bits / 8, &n))
    fail(EXIT_LIMIT, "limit.size", NOWHERE, "a tensor of %lld elements is too large", (long long)elements);
  return n;
}

/* ---- types: interned in a chained hash table ---- */

typedef struct Entry {
  Type type;
  struct Entry *next;
} Entry;
enum { TABLE_SIZE = 4096 };
static Entry *table[TABLE_SIZE];
static void reset(void) { memset(table, 0, sizeof table); }

static unsigned hash(const Type *t) {
  uint64_t h = (uint64_t)t->kind * 31 + t->dtype;
  h = h * 31 + (uint64_t)(t->rank + 1);
  for (int i = 0; i < t->rank; i++) h = h * 1000003 + (uintptr_t)t->dim[i] / 16;
  h = h * 1000003 + (uintptr_t)t->elem / 16;
  return (unsigned)((h ^ h >> 31) % TABLE_SIZE);
}

static bool equal(const Type *a, const Type *b) {
  if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank || a->elem != b->elem) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return false;
  return true;
}

static const Type *intern(const Type *t) {
  at_reset(reset);
  Entry **e = &table[hash(t)];
  for (Entry *q = *e; q; q = q->next)
    if (equal(&q->type, t)) return &q->type;
  Entry *q = NEW(Entry);
  *q = (Entry){*t, *e};
  *e = q;
  return &q->type;
}

const Type *type_tensor(DType d, int rank, IExpr *const *dim) {
  if (rank > MAX_RANK) fail(EXIT_UNSUPPORTED, "shape.rank", NOWHERE, "a tensor of rank %d; at most %d is supported", rank, MAX_RANK);
  Type t = {.kind = TYPE_TENSOR, .dtype = d, .rank = rank};
  for (int i = 0; i < rank; i++) t.dim[i] = dim[i];
  return intern(&t);
}

const Type *type_unranked(DType d) { return intern(&(Type){.kind = TYPE_TENSOR, .dtype = d, .rank = -1}); }
const Type *type_of(TypeKind kind, DType key, const Type *elem) {
  return intern(&(Type){.kind = kind, .dtype = key, .rank = -1, .elem = elem});
}

/* ---- text: f32[N,?,64], unranked f32[*], seq(..), opt(..), map(i64,..), sparse(f32) ---- */

static void put_type(Text *t, const Type *y) {
  switch (y->kind) {
  case TYPE_TENSOR:
    put(t, "%s[", dtypes[y->dtype].name);
    if (y->rank < 0) put(t, "*");
    for (int i = 0; i < y->rank; i++) put(t, "%s%s", i ? "," : "", y->dim[i] ? ix_str(y->dim[i]) : "?");
    put(t, "]");
    return;
  case TYPE_SPARSE: put(t, "sparse(%s)", dtypes[y->dtype].name); return;
  case TYPE_MAP: put(t, "map(%s,", dtypes[y->dtype].name); break;
  default: put(t, y->kind == TYPE_SEQUENCE ? "seq(" : "opt(");
  }
  if (y->elem) put_type(t, y->elem);
  else put(t, "?");
  put(t, ")");
}

const char *type_str(const Type *y) {
  if (!y) return "?";
  Text t = {0};
  put_type(&t, y);
  return t.p;
}

static void blanks(const char **p) {
  while (isspace((unsigned char)**p)) ++*p;
}
static bool eat(const char **p, char c) {
  blanks(p);
  if (**p != c) return false;
  ++*p;
  return true;
}
static Sym word(const char **p) {
  blanks(p);
  const char *s = *p;
  while (isalnum((unsigned char)**p) || **p == '_') ++*p;
  return sym_n(s, (size_t)(*p - s));
}
static IExpr *dim_symbol(Sym name, void *u) {
  (void)u;
  return ix_sym(name, -IX_INF, IX_INF);
}

static const Type *parse_tensor(const char **p, DType d) {
  IExpr *dim[MAX_RANK] = {0};
  int rank = 0;
  if (eat(p, '*')) return eat(p, ']') ? type_unranked(d) : NULL;
  if (eat(p, ']')) return type_tensor(d, 0, dim);
  do {
    if (rank == MAX_RANK) return NULL;
    if (eat(p, '?')) dim[rank] = NULL;
    else if (!(dim[rank] = ix_parse(p, dim_symbol, NULL))) return NULL;
    rank++;
  } while (eat(p, ','));
  return eat(p, ']') ? type_tensor(d, rank, dim) : NULL;
}

static const Type *parse_type(const char **p, int depth) {
  Sym w = word(p);
  bool seq = w == sym("seq"), opt = w == sym("opt"), map = w == sym("map");
  if (depth > 16) return NULL;
  if (seq || opt || map) {
    DType key = DT_NONE;
    if (!eat(p, '(') || (map && ((key = dtype_of(word(p))) == DT_NONE || !eat(p, ',')))) return NULL;
    const Type *elem = eat(p, '?') ? NULL : parse_type(p, depth + 1);
    if ((!elem && (*p)[-1] != '?') || !eat(p, ')')) return NULL;
    return type_of(seq ? TYPE_SEQUENCE : opt ? TYPE_OPTIONAL : TYPE_MAP, key, elem);
  }
  if (w == sym("sparse")) {
    DType d = eat(p, '(') ? dtype_of(word(p)) : DT_NONE;
    return d != DT_NONE && eat(p, ')') ? type_of(TYPE_SPARSE, d, NULL) : NULL;
  }
  DType d = dtype_of(w);
  return d != DT_NONE && eat(p, '[') ? parse_tensor(p, d) : NULL;
}

const Type *type_parse(const char **text) { return parse_type(text, 0); }

/* ---- constant tensors ---- */

int64_t tensor_count(const Tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] == 0) return 0;
  for (int i = 0; i < t->rank; i++)
    if (t->dim[i] < 0 || __builtin_mul_overflow(n, t->dim[i], &n))
      fail(EXIT_LIMIT, "limit.size", NOWHERE, "a tensor has more elements than 64 bits count");
  return n;
}

Tensor *tensor_new(DType d, int rank, const int64_t *dim, const void *data) {
  if (rank > MAX_RANK) fail(EXIT_UNSUPPORTED, "shape.rank", NOWHERE, "a tensor of rank %d; at most %d is supported", rank, MAX_RANK);
  Tensor *t = NEW(Tensor);
  *t = (Tensor){.dtype = d, .rank = rank};
  for (int i = 0; i < rank; i++) t->dim[i] = dim[i];
  t->bytes = dtype_bytes(d, tensor_count(t));
  t->data = data ? data : mem((size_t)t->bytes);
  return t;
}

// The bits of element i, zero extended. Complex tensors are read by part: element 2*k is the real part of number k.
static int part_bits(DType d) { return d == DT_C64 ? 32 : d == DT_C128 ? 64 : dtypes[d].bits; }
static uint64_t get_bits(const Tensor *t, int64_t i) {
  int bits = part_bits(t->dtype);
  const unsigned char *p = t->data;
  if (bits < 8) return p[i / (8 / bits)] >> i % (8 / bits) * bits & ((1u << bits) - 1);
  uint64_t v = 0;
  memcpy(&v, p + i * (bits / 8), (size_t)bits / 8);
  return v;
}
static void set_bits(Tensor *t, int64_t i, uint64_t v) {
  int bits = part_bits(t->dtype);
  unsigned char *p = (unsigned char *)(uintptr_t)t->data;
  if (bits >= 8) {
    memcpy(p + i * (bits / 8), &v, (size_t)bits / 8);
    return;
  }
  int shift = (int)(i % (8 / bits)) * bits;
  unsigned mask = ((1u << bits) - 1) << shift;
  p += i / (8 / bits);
  *p = (unsigned char)((*p & ~mask) | ((unsigned)v << shift & mask));
}

int64_t tensor_int(const Tensor *t, int64_t i) {
  const DTypeInfo *d = &dtypes[t->dtype];
  if (!d->is_int && t->dtype != DT_BOOL) bug("tensor_int of a %s tensor", d->name);
  uint64_t v = get_bits(t, i);
  if (t->dtype == DT_BOOL) return v != 0;
  int shift = 64 - d->bits;
  return d->is_signed ? (int64_t)(v << shift) >> shift : (int64_t)v;
}

double tensor_float(const Tensor *t, int64_t i) {
  uint64_t v = get_bits(t, i);
  if (t->dtype == DT_F64 || t->dtype == DT_C128) return *(double *)memcpy(&(double){0}, &v, 8);
  if (t->dtype == DT_F32 || t->dtype == DT_C64) return (double)*(float *)memcpy(&(float){0}, &v, 4);
  if (t->dtype == DT_U64) return (double)v;
  return dtypes[t->dtype].is_float ? small_to_double(t->dtype, (uint32_t)v) : (double)tensor_int(t, i);
}

void tensor_set_int(Tensor *t, int64_t i, int64_t v) {
  if (t->dtype == DT_BOOL) set_bits(t, i, v != 0);
  else if (dtypes[t->dtype].is_int) set_bits(t, i, (uint64_t)v);
  else tensor_set_float(t, i, (double)v);
}

void tensor_set_float(Tensor *t, int64_t i, double v) {
  DType d = t->dtype;
  uint64_t bits = 0;
  float f = (float)v;
  if (d == DT_F64 || d == DT_C128) memcpy(&bits, &v, 8);
  else if (d == DT_F32 || d == DT_C64) memcpy(&bits, &f, 4);
  else if (dtypes[d].is_float) bits = double_to_small(d, v, false);
  else if (d == DT_BOOL) bits = v != 0;
  else if (dtypes[d].reg == DT_I64) bits = v >= -0x1p63 && v < 0x1p63 ? (uint64_t)(int64_t)v : (uint64_t)INT64_MIN;
  else bits = v > -0x1p31 - 1 && v < 0x1p31 ? (uint64_t)(int64_t)v : (uint64_t)INT32_MIN; // as the f2i row
  set_bits(t, i, bits);
}
