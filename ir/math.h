// math.h - functions over scalar expressions, expanded over the primitives of scalar.def: no libm, the same bits on every backend.
//
// All take f32 or f64 operands (of one type) and give that type, unless said otherwise. They are total, NaN goes through, and zeros,
// infinities, overflow are as in C's libm. Results below the smallest normal number are flushed to 0 by exp, exp2 and what is built on
// them (pow and exp2's relatives keep them where said). Errors: tests/unit/math_test.c holds the bounds.
#pragma once
#include "scalar.h"

Ex *ex_exp(Ex *), *ex_expm1(Ex *), *ex_exp2(Ex *);
Ex *ex_log(Ex *), *ex_log1p(Ex *), *ex_log2(Ex *), *ex_log10(Ex *);
Ex *ex_sin(Ex *), *ex_cos(Ex *), *ex_tan(Ex *); // arguments beyond 5e16 (f32), 1e15 (f64) count as 0
Ex *ex_asin(Ex *), *ex_acos(Ex *), *ex_atan(Ex *), *ex_atan2(Ex *y, Ex *x);
Ex *ex_sinh(Ex *), *ex_cosh(Ex *), *ex_tanh(Ex *), *ex_asinh(Ex *), *ex_acosh(Ex *), *ex_atanh(Ex *);
Ex *ex_erf(Ex *);
Ex *ex_pow(Ex *x, Ex *y);  // all cases of C's pow, subnormal results too; integers: wraps, negative exponents truncate
Ex *ex_fmod(Ex *x, Ex *y); // sign of x; exact up to quotients of 2^60 (f32), 2^140 (f64), meaningless beyond. Integers: irem
Ex *ex_mod(Ex *x, Ex *y);  // sign of y; floats and integers
Ex *ex_sigmoid(Ex *), *ex_softplus(Ex *), *ex_gelu(Ex *), *ex_gelu_tanh(Ex *);
Ex *ex_recip(Ex *), *ex_rsqrt(Ex *), *ex_sign(Ex *), *ex_isnan(Ex *), *ex_isinf(Ex *); // the last two give bool; sign also of integers
// Random numbers by counter: a hash of seed (any type) and an integer index; uniform in the open interval (0,1), normal with mean 0 and
// variance 1. `type` is f32 or f64.
Ex *ex_uniform(DType type, Ex *seed, Ex *index), *ex_normal(DType type, Ex *seed, Ex *index);

// A function or scalar.def row by name, as formulas call them: "exp", "clamp", "min", .. storage: the dtype the operands are stored as;
// with DT_U64 comparisons, division, shifts, min and max are unsigned. NULL: there is no function of that name and count of operands.
Ex *ex_call(const char *fn, DType storage, int n, Ex *const *a);
