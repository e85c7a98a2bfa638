// scalar.h - the scalar table as data, and the one function that says what each row computes.
//
// scalar_lanes is the meaning of scalar.def: ex_op folds constants with it, the interpreter runs its lanes through it, and the emitters
// are tested against it.
#pragma once
#include "kernel.h"

typedef struct ScalarRow {
  const char *name;
  int arity;
  const char *type, *meaning, *llvm, *cuda, *grad; // the columns of scalar.def
} ScalarRow;
extern const ScalarRow scalars[S_COUNT]; // the structural ones have a name and arity 0
SOp scalar_find(const char *name);       // S_COUNT: no such row

typedef struct CombineRow {
  const char *name, *meaning;
  double identity_f;
  int64_t identity_i;
  bool exact; // reassociable on integers without changing a bit
  SOp op;     // the scalar op of the same meaning on (acc, x)
} CombineRow;
extern const CombineRow combines[C_COUNT]; // [C_SET] has the name "set" only
Ex *combine_identity(Combine, DType reg);  // as a constant of that register type

// Bytes of one lane of a register: f32 i32 4, f64 i64 8, bool 1 (0 or 1).
int reg_bytes(DType reg);
// r[l] = op(a[l], b[l], c[l]) for n lanes. `in` is the operands' register type (of b for select, of a otherwise), `out` the result's,
// dtype the storage type of round and wrap. r may be one of the operands if both have lanes of the same size.
void scalar_lanes(SOp op, DType in, DType out, DType dtype, int n, void *r, const void *a, const void *b, const void *c);

// A conversion row (f2f .. bits) to register type `to`; folds. ex_cast chooses the row for signed operands; values of u64 storage need
// the unsigned ones, which ex_cast_from knows.
Ex *ex_convert(SOp, DType to, Ex *);
Ex *ex_cast_from(DType storage, DType to, Ex *); // as ex_cast, of a value that was loaded from `storage`
// Cast of ONNX without saturation: a value of storage type `from` to the register value that storage type `to` would hold.
Ex *ex_cast_storage(DType from, DType to, Ex *);
IExpr *ex_index_below(Ex *value, IExpr *limit, int site, const char *name); // as ex_index, for 0 <= value < limit, a dim
bool ex_is_const(const Ex *);
bool ex_same(const Ex *, const Ex *); // the same node, or equal constants
