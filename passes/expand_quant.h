// expand_quant.h - pieces of quantised operators.
#pragma once
#include "passes/expand.h"

Value *dequantise(const B *, Value *x, Value *scale, Value *zero, int axis); // f32; zero may be NULL
Value *quantise(const B *, Value *y, Value *scale, Value *zero, DType to);   // zero NULL: `to` says the type
Value *requantise(const B *, Value *acc, Value *factor, Value *zero, DType to);
Value *integer_product(const B *, OpId, Value *x, Value *w, Value *xzero, Value *wzero); // MatMulInteger, ConvInteger: i32
// The fields of `bits` bits of each byte of x [..,n] as [..,n*8/bits] of i32, in [0, 2^bits); low field first, or high first.
Value *unpack_fields(const B *, Value *x, int bits, bool high_first);
