// index.h - what the INDEX and NEST functions share.
#pragma once
#include "passes/lower.h"

int axis_of(const Node *, const char *attribute, int rank);                          // a non-negative axis
IExpr *is_axis(IExpr *a, int d, int rank);                                           // [a names axis d], 0 or 1
void at_most_rank(const Lower *, const Value *, int rank);                           // an operand of a higher rank is refused
IExpr *operand_index(Lower *, Value *, IExpr *i, int64_t lo, int64_t hi);            // element i of a 1-D (or scalar) integer operand
void reshape_index(const Type *to, IExpr *const *idx, const Type *from, IExpr **at); // row-major reindexing
Ex *ex_reinterpret(DType from, DType to, Ex *);                                      // same bits, another dtype of the same width
Ex *ex_round_saturating(DType small_float, Ex *, bool saturate);
