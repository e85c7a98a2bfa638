// convert.c - storage dtypes: memory <-> register, bit for bit as ir/small_float.c and ir/type.h define them.
//
// Only integer arithmetic, plain float arithmetic and F16C are used: every other way makes LLVM call helpers that user machines lack.
#include "emit.h"
#include <math.h>

typedef enum Special { IEEE, FN, FNUZ, FINITE } Special; // what the topmost exponent means; see ir/small_float.c
typedef struct Format {
  int exponent, mantissa, bias;
  Special special;
} Format;
static const Format formats[DT_COUNT] = {
    [DT_F8E4M3FN] = {4, 3, 7, FN},   [DT_F8E4M3FNUZ] = {4, 3, 8, FNUZ}, [DT_F8E5M2] = {5, 2, 15, IEEE},  [DT_F8E5M2FNUZ] = {5, 2, 16, FNUZ},
    [DT_F4E2M1] = {2, 1, 1, FINITE}, [DT_F6E2M3] = {2, 3, 1, FINITE},   [DT_F6E3M2] = {3, 2, 3, FINITE},
};

T mem_type(DType d) {
  switch (d) {
  case DT_F16: return em.f16;
  case DT_F32: return em.f32;
  case DT_F64: return em.f64;
  default: break;
  }
  switch (dtypes[d].bits) {
  case 16: return em.i16;
  case 32: return em.i32;
  case 64: return em.i64;
  default: return em.i8;
  }
}
T reg_type(DType reg) {
  switch (reg) {
  case DT_F32: return em.f32;
  case DT_F64: return em.f64;
  case DT_I32: return em.i32;
  case DT_I64: return em.i64;
  case DT_BOOL: return em.i1;
  default: bug("%s is no register type", dtypes[reg].name);
  }
}

#define LET_OP(name, fn)                                                                                                                   \
  static V name(V a, int64_t k) { return fn(em.b, a, const_int(LLVMTypeOf(a), k), ""); }
LET_OP(shlk, LLVMBuildShl)
LET_OP(shrk, LLVMBuildLShr)
LET_OP(sark, LLVMBuildAShr)
LET_OP(andk, LLVMBuildAnd)
LET_OP(ork, LLVMBuildOr)
LET_OP(addk, LLVMBuildAdd)
#undef LET_OP
static V cast_bits(V x, T scalar) { return LLVMBuildBitCast(em.b, x, like(scalar, x), ""); }
static V cmpk(LLVMIntPredicate p, V a, int64_t k) { return icmp(p, a, const_int(LLVMTypeOf(a), k)); }
static V bits_const(V shape, int64_t k) { return const_int(like(em.i32, shape), k); }
enum { NAN_BITS = 0x7fc00000, INF_BITS = 0x7f800000 };

/* ---- small floats -> f32; raw in the low bits of an i32 ---- */

static V from_bf16(V raw) { return cast_bits(shlk(LLVMBuildZExt(em.b, raw, like(em.i32, raw), ""), 16), em.f32); }

static V from_e8m0(V x) {
  V bits = select_of(cmpk(LLVMIntEQ, x, 0), bits_const(x, 0x400000), shlk(x, 23)); // 2^-127 is subnormal in f32
  return cast_bits(select_of(cmpk(LLVMIntEQ, x, 255), bits_const(x, NAN_BITS), bits), em.f32);
}

static V from_small(DType d, V x) {
  if (d == DT_F8E8M0) return from_e8m0(x);
  const Format *f = &formats[d];
  int width = f->exponent + f->mantissa, ones = (1 << width) - 1;
  V mag = andk(x, ones), sign = shlk(andk(x, 1 << width), 31 - width);
  V normal = addk(shlk(mag, 23 - f->mantissa), (int64_t)(127 - f->bias) << 23);
  V tiny = LLVMBuildFMul(em.b, LLVMBuildUIToFP(em.b, mag, like(em.f32, x), ""),
                         const_of(like(em.f32, x), ldexp(1, 1 - f->bias - f->mantissa)), "");
  V bits = select_of(cmpk(LLVMIntULT, mag, 1 << f->mantissa), cast_bits(tiny, em.i32), normal);
  int top = ones - ((1 << f->mantissa) - 1);
  if (f->special == IEEE) {
    bits = select_of(cmpk(LLVMIntEQ, mag, top), bits_const(x, INF_BITS), bits);
    bits = select_of(cmpk(LLVMIntUGT, mag, top), bits_const(x, NAN_BITS), bits);
  }
  if (f->special == FN) bits = select_of(cmpk(LLVMIntEQ, mag, ones), bits_const(x, NAN_BITS), bits);
  bits = LLVMBuildOr(em.b, bits, sign, "");
  if (f->special == FNUZ) bits = select_of(cmpk(LLVMIntEQ, andk(x, 2 * ones + 1), ones + 1), bits_const(x, NAN_BITS), bits);
  return cast_bits(bits, em.f32);
}

/* ---- f32 -> small floats; the result in the low bits of an i32 ---- */

static V to_bf16(V x) {
  V u = cast_bits(x, em.i32), odd = andk(shrk(u, 16), 1);
  V r = shrk(LLVMBuildAdd(em.b, addk(u, 0x7fff), odd, ""), 16);
  return LLVMBuildTrunc(em.b, select_of(fcmp(LLVMRealUNO, x, x), ork(shrk(u, 16), 0x40), r), like(em.i16, x), "");
}

// A power of two: to the nearer one, ties to the greater. Negative, infinite and NaN have none.
static V to_e8m0(V x) {
  V u = cast_bits(x, em.i32), e = shrk(addk(andk(u, 0x7fffffff), 0x400000), 23);
  V none = cmpk(LLVMIntUGT, u, 0x7f7fffff); // by its bits: not +finite
  V low = cmpk(LLVMIntULT, u, 0x400000);    // below 2^-127; what lies from there up to 2^-126 is subnormal in f32
  V sub = select_of(cmpk(LLVMIntULT, u, 0x600000), bits_const(u, 0), bits_const(u, 1));
  e = select_of(cmpk(LLVMIntULT, u, 0x800000), sub, e);
  e = select_of(low, bits_const(u, 0), e);
  e = select_of(none, bits_const(u, 255), e);
  return select_of(fcmp(LLVMRealOEQ, x, const_of(LLVMTypeOf(x), 0)), bits_const(u, 0), e); // -0 too
}

static int max_finite(const Format *f) {
  int all = (1 << (f->exponent + f->mantissa)) - 1;
  return f->special == IEEE ? all - (1 << f->mantissa) : f->special == FN ? all - 1 : all;
}

// Rounds the magnitude to nearest even: normals by adding half a unit to the bits, subnormals by adding a float whose unit is theirs.
static V small_magnitude(const Format *f, V a) {
  int drop = 23 - f->mantissa;
  V odd = andk(shrk(a, drop), 1);
  V normal = LLVMBuildAdd(em.b, addk(a, (1 << (drop - 1)) - 1), odd, "");
  normal = addk(shrk(normal, drop), -((int64_t)(127 - f->bias) << f->mantissa));
  double magic = ldexp(1, 1 - f->bias - f->mantissa + 23);
  V m = const_of(like(em.f32, a), magic);
  V tiny =
      LLVMBuildSub(em.b, cast_bits(LLVMBuildFAdd(em.b, cast_bits(a, em.f32), m, ""), em.i32), LLVMConstBitCast(m, like(em.i32, a)), "");
  return select_of(cmpk(LLVMIntULT, a, (int64_t)(128 - f->bias) << 23), tiny, normal);
}

static V to_small(DType d, V x) {
  if (d == DT_F8E8M0) return to_e8m0(x);
  const Format *f = &formats[d];
  int width = f->exponent + f->mantissa, all = (1 << width) - 1;
  V u = cast_bits(x, em.i32), a = andk(u, 0x7fffffff), sign = andk(shrk(u, 31 - width), all + 1);
  V mag = small_magnitude(f, a), r = LLVMBuildOr(em.b, mag, sign, "");
  if (f->special == FNUZ) r = select_of(cmpk(LLVMIntEQ, mag, 0), bits_const(u, 0), r);
  // Far beyond the range the additions above may have wrapped: compare the f32 as well.
  V over = LLVMBuildOr(em.b, cmpk(LLVMIntUGT, mag, max_finite(f)), cmpk(LLVMIntUGE, a, (int64_t)(127 + 40) << 23), "");
  V beyond = ork(sign, f->special == FINITE ? max_finite(f) : f->special == IEEE ? all - ((1 << f->mantissa) - 1) : all);
  if (f->special == FNUZ) beyond = bits_const(u, all + 1);
  r = select_of(over, beyond, r);
  int quiet = f->special == IEEE ? all - (1 << (f->mantissa - 1)) + 1 : all;
  V nan = f->special == IEEE || f->special == FN ? ork(sign, quiet) : bits_const(u, all + 1);
  return select_of(fcmp(LLVMRealUNO, x, x), nan, r);
}

/* ---- the three entries ---- */

static V integer(DType d, V raw) { // an integer of fewer bits than its register
  T to = like(reg_type(dtypes[d].reg), raw);
  int bits = dtypes[d].bits;
  if (bits >= 8) return dtypes[d].is_signed ? LLVMBuildSExt(em.b, raw, to, "") : LLVMBuildZExt(em.b, raw, to, "");
  V x = LLVMBuildZExt(em.b, raw, to, "");
  return dtypes[d].is_signed ? sark(shlk(x, 32 - bits), 32 - bits) : andk(x, (1 << bits) - 1);
}

V widen(DType d, V raw) {
  switch (d) {
  case DT_F32:
  case DT_F64:
  case DT_I32:
  case DT_I64:
  case DT_U64: return raw;
  case DT_BOOL: return cmpk(LLVMIntNE, raw, 0);
  case DT_F16: return LLVMBuildFPExt(em.b, raw, like(em.f32, raw), "");
  case DT_BF16: return from_bf16(raw);
  default: break;
  }
  if (dtypes[d].is_int) return integer(d, raw);
  if (!dtypes[d].is_float) bug("a kernel loads %s", dtypes[d].name);
  return from_small(d, LLVMBuildZExt(em.b, raw, like(em.i32, raw), ""));
}

V narrow(DType d, V x) {
  switch (d) {
  case DT_F32:
  case DT_F64:
  case DT_I32:
  case DT_I64:
  case DT_U64: return x;
  case DT_BOOL: return LLVMBuildZExt(em.b, x, like(em.i8, x), "");
  case DT_F16: return LLVMBuildFPTrunc(em.b, x, like(em.f16, x), "");
  case DT_BF16: return to_bf16(x);
  default: break;
  }
  if (dtypes[d].is_int) return LLVMBuildTrunc(em.b, x, like(mem_type(d), x), "");
  if (!dtypes[d].is_float) bug("a kernel stores %s", dtypes[d].name);
  return LLVMBuildTrunc(em.b, to_small(d, x), like(em.i8, x), "");
}

V round_to(DType d, V x) {
  if (d == DT_F32 && LLVMTypeOf(x) == like(em.f64, x)) // a double kept to single precision
    return LLVMBuildFPExt(em.b, LLVMBuildFPTrunc(em.b, x, like(em.f32, x), ""), like(em.f64, x), "");
  return widen(d, narrow(d, x));
}
