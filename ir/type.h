// type.h - element types and value types. DType numbers are ONNX's TensorProto.DataType, so no table maps them.
#pragma once
#include "base.h"
#include "iexpr.h"

enum { MAX_RANK = 8 };

typedef enum DType {
  DT_NONE = 0,
  DT_F32 = 1,
  DT_U8 = 2,
  DT_I8 = 3,
  DT_U16 = 4,
  DT_I16 = 5,
  DT_I32 = 6,
  DT_I64 = 7,
  DT_STR = 8,
  DT_BOOL = 9,
  DT_F16 = 10,
  DT_F64 = 11,
  DT_U32 = 12,
  DT_U64 = 13,
  DT_C64 = 14,
  DT_C128 = 15,
  DT_BF16 = 16,
  DT_F8E4M3FN = 17,
  DT_F8E4M3FNUZ = 18,
  DT_F8E5M2 = 19,
  DT_F8E5M2FNUZ = 20,
  DT_U4 = 21,
  DT_I4 = 22,
  DT_F4E2M1 = 23,
  DT_F8E8M0 = 24,
  DT_U2 = 25,
  DT_I2 = 26,
  DT_F6E2M3 = 27,
  DT_F6E3M2 = 28,
  DT_COUNT = 29,
} DType;

// How a dtype is stored and what it is computed in. Registers (scalar expressions) know only five types:
// f32 (for every float of at most 32 bits), f64, i32 (for i32 and every integer below 32 bits), i64 (for i64, u64 and u32;
// a u32 is kept in 0..2^32-1) and bool. A load widens, a store converts: floats round to nearest even, integers keep the low bits.
// Complex tensors are stored as pairs; kernels see a trailing axis of extent 2 of the real dtype.
typedef struct DTypeInfo {
  const char *name;      // "f32": in our texts
  const char *onnx_name; // "float": in tensor(float)
  uint8_t bits;          // per element as stored in memory; 4- and 2-bit types are packed low bits first; F6 types take 8
  DType reg;             // DT_F32, DT_F64, DT_I32, DT_I64, DT_BOOL; strings DT_NONE; complex: that of a part
  bool is_float, is_int, is_signed;
  uint8_t dl_code, dl_bits; // DLPack's
} DTypeInfo;
extern const DTypeInfo dtypes[DT_COUNT];
DType dtype_of(Sym name);                     // by our name; DT_NONE: no such type
int64_t dtype_bytes(DType, int64_t elements); // rounded up to whole bytes

typedef enum TypeKind { TYPE_TENSOR, TYPE_SEQUENCE, TYPE_OPTIONAL, TYPE_MAP, TYPE_SPARSE } TypeKind;

typedef struct Type Type;
struct Type {
  TypeKind kind;
  DType dtype;          // TENSOR, SPARSE; MAP: the key's
  int rank;             // TENSOR: -1 unknown
  IExpr *dim[MAX_RANK]; // NULL: not known yet (before infer; never after it)
  const Type *elem;     // SEQUENCE, OPTIONAL: the element; MAP: the value
};
const Type *type_tensor(DType, int rank, IExpr *const *dim); // interned: equal types are the equal pointer
const Type *type_unranked(DType);
const Type *type_of(TypeKind, DType key, const Type *elem);
const char *type_str(const Type *);        // f32[N,3,224,224], seq(f32[?]), opt(..), map(i64,f32[])
const Type *type_parse(const char **text); // NULL: malformed; symbols are looked up by name

// A constant tensor's contents. Dense row-major, little endian, packed below 8 bits; strings: Str[].
typedef struct Str {
  const char *p;
  size_t n;
} Str;
typedef struct Tensor {
  DType dtype;
  int rank;
  int64_t dim[MAX_RANK];
  const void *data; // may point into the mapped model file: any alignment, never written
  int64_t bytes;
} Tensor;
Tensor *tensor_new(DType, int rank, const int64_t *dim, const void *data); // data NULL: zeroed memory of its own
int64_t tensor_count(const Tensor *);
// Elements as numbers: for shape values, attributes, small tables. i is the linear index.
int64_t tensor_int(const Tensor *, int64_t i);  // integers and bool
double tensor_float(const Tensor *, int64_t i); // any numeric type
void tensor_set_int(Tensor *, int64_t i, int64_t v);
void tensor_set_float(Tensor *, int64_t i, double v); // rounds as a store does
// Bits of one element of a small float type <-> double (all conversions round to nearest even; e8m0 per the OCP MX spec).
double small_to_double(DType, uint32_t bits);
uint32_t double_to_small(DType, double v, bool saturate);
