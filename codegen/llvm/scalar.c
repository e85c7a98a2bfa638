// scalar.c - scalar expressions: every row of ir/scalar.def as its meaning column says, for scalars and vectors alike.
//
// No row may become a call (ABI.md point 6): fma, sqrt and the rounding rows are single instructions on every target row, everything else
// is integer and float arithmetic. Results that LLVM calls poison (division by zero, shifts too far, floats too large for an integer) are
// never computed: the operand is replaced first.
#include "emit.h"

void new_epoch(void) { em.epoch = ++ex_epoch; }

static bool is_float(V x) {
  T t = LLVMTypeOf(x);
  if (is_vec(x)) t = LLVMGetElementType(t);
  return t == em.f32 || t == em.f64;
}
static V zero_of(V x) { return LLVMConstNull(LLVMTypeOf(x)); }
static V konst(V shape, int64_t k) { return const_int(LLVMTypeOf(shape), k); }
static unsigned int_bits(V x) {
  T t = LLVMTypeOf(x);
  return LLVMGetIntTypeWidth(is_vec(x) ? LLVMGetElementType(t) : t);
}
static int64_t int_min(V x) { return int_bits(x) == 32 ? INT32_MIN : INT64_MIN; }

// x > y || x != x ? x : y as two selects: the first one is the machine's own max.
static V extreme(bool max, V x, V y) {
  match(&x, &y);
  if (!is_float(x)) return intrin2(max ? "llvm.smax" : "llvm.smin", x, y);
  V r = select_of(fcmp(max ? LLVMRealOGT : LLVMRealOLT, x, y), x, y);
  return select_of(fcmp(LLVMRealUNO, x, x), x, r);
}

static V quotient(SOp op, V x, V y) {
  V none = icmp(LLVMIntEQ, y, zero_of(y)), bad = none, one = konst(y, 1);
  bool is_signed = op == S_idiv || op == S_irem;
  if (is_signed) {
    V wraps = LLVMBuildAnd(em.b, icmp(LLVMIntEQ, x, konst(x, int_min(x))), icmp(LLVMIntEQ, y, konst(y, -1)), "");
    bad = LLVMBuildOr(em.b, none, wraps, "");
  }
  V by = select_of(bad, one, y); // x/1 is x: what INT_MIN / -1 wraps to; x%1 is 0
  switch (op) {
  case S_idiv: return select_of(none, zero_of(x), LLVMBuildSDiv(em.b, x, by, ""));
  case S_udiv: return select_of(none, zero_of(x), LLVMBuildUDiv(em.b, x, by, ""));
  case S_irem: return LLVMBuildSRem(em.b, x, by, "");
  default: return LLVMBuildURem(em.b, x, by, "");
  }
}

static V shift(SOp op, V x, V y) {
  int bits = (int)int_bits(x);
  V fits = icmp(LLVMIntULT, y, konst(y, bits));
  if (op == S_shr) return LLVMBuildAShr(em.b, x, select_of(fits, y, konst(y, bits - 1)), "");
  V by = select_of(fits, y, zero_of(y));
  V r = op == S_shl ? LLVMBuildShl(em.b, x, by, "") : LLVMBuildLShr(em.b, x, by, "");
  return select_of(fits, r, zero_of(x));
}

// What does not fit is replaced before the conversion, which would be poison. -2^31 - 1 < x reaches below INT_MIN in double only.
static V float_to_int(V x, T to) {
  bool wide = to == em.i64, dbl = LLVMTypeOf(x) == like(em.f64, x);
  double limit = wide ? 0x1p63 : 0x1p31;
  T ft = LLVMTypeOf(x);
  V low = !wide && dbl ? fcmp(LLVMRealOGT, x, const_of(ft, -0x1p31 - 1)) : fcmp(LLVMRealOGE, x, const_of(ft, -limit));
  V fits = LLVMBuildAnd(em.b, low, fcmp(LLVMRealOLT, x, const_of(ft, limit)), "");
  V r = LLVMBuildFPToSI(em.b, select_of(fits, x, zero_of(x)), like(to, x), "");
  return select_of(fits, r, konst(r, wide ? INT64_MIN : INT32_MIN));
}

static V convert(const Ex *e, V x) {
  T to = like(reg_type(e->type), x);
  switch (e->op) {
  case S_f2f:
    if (LLVMTypeOf(x) == to) return x;
    return e->type == DT_F64 ? LLVMBuildFPExt(em.b, x, to, "") : LLVMBuildFPTrunc(em.b, x, to, "");
  case S_i2f: return LLVMBuildSIToFP(em.b, x, to, "");
  case S_u2f: return LLVMBuildUIToFP(em.b, x, to, "");
  case S_f2i: return float_to_int(x, reg_type(e->type));
  case S_i2i:
    if (LLVMTypeOf(x) == to) return x;
    return e->type == DT_I64 ? LLVMBuildSExt(em.b, x, to, "") : LLVMBuildTrunc(em.b, x, to, "");
  case S_u2i: return LLVMTypeOf(x) == to ? x : LLVMBuildZExt(em.b, x, to, "");
  case S_b2i: return LLVMBuildZExt(em.b, x, to, "");
  case S_bits: return LLVMBuildBitCast(em.b, x, to, "");
  default: bug("conversion %s", scalars[e->op].name);
  }
}

static V compare(SOp op, V x, V y) {
  bool f = is_float(x);
  switch (op) {
  case S_lt: return f ? fcmp(LLVMRealOLT, x, y) : icmp(LLVMIntSLT, x, y);
  case S_le: return f ? fcmp(LLVMRealOLE, x, y) : icmp(LLVMIntSLE, x, y);
  case S_eq: return f ? fcmp(LLVMRealOEQ, x, y) : icmp(LLVMIntEQ, x, y);
  case S_ne: return f ? fcmp(LLVMRealUNE, x, y) : icmp(LLVMIntNE, x, y);
  case S_ult: return icmp(LLVMIntULT, x, y);
  default: return icmp(LLVMIntULE, x, y);
  }
}

static V arithmetic(SOp op, V x, V y) {
  bool f = is_float(x);
  switch (op) {
  case S_add: return f ? LLVMBuildFAdd(em.b, x, y, "") : LLVMBuildAdd(em.b, x, y, "");
  case S_sub: return f ? LLVMBuildFSub(em.b, x, y, "") : LLVMBuildSub(em.b, x, y, "");
  case S_mul: return f ? LLVMBuildFMul(em.b, x, y, "") : LLVMBuildMul(em.b, x, y, "");
  case S_div: return LLVMBuildFDiv(em.b, x, y, "");
  case S_neg: return f ? LLVMBuildFNeg(em.b, x, "") : LLVMBuildNeg(em.b, x, "");
  case S_abs: return f ? intrin1("llvm.fabs", x) : intrin("llvm.abs", 1, (T[]){LLVMTypeOf(x)}, 2, (V[]){x, LLVMConstInt(em.i1, 0, 0)});
  case S_min:
  case S_max: return extreme(op == S_max, x, y);
  case S_copysign: return intrin2("llvm.copysign", x, y);
  case S_sqrt: return intrin1("llvm.sqrt", x);
  case S_floor: return intrin1("llvm.floor", x);
  case S_ceil: return intrin1("llvm.ceil", x);
  case S_trunc: return intrin1("llvm.trunc", x);
  case S_rint: return intrin1("llvm.roundeven", x);
  default: bug("scalar op %s", scalars[op].name);
  }
}

static V row(const Ex *e, V x, V y, V z) {
  switch (e->op) {
  case S_fma: return intrin("llvm.fma", 1, (T[]){LLVMTypeOf(x)}, 3, (V[]){x, y, z});
  case S_idiv:
  case S_irem:
  case S_udiv:
  case S_urem: return quotient(e->op, x, y);
  case S_and: return LLVMBuildAnd(em.b, x, y, "");
  case S_or: return LLVMBuildOr(em.b, x, y, "");
  case S_xor: return LLVMBuildXor(em.b, x, y, "");
  case S_not: return LLVMBuildNot(em.b, x, "");
  case S_shl:
  case S_shr:
  case S_ushr: return shift(e->op, x, y);
  case S_lt:
  case S_le:
  case S_eq:
  case S_ne:
  case S_ult:
  case S_ule: return compare(e->op, x, y);
  case S_select: return select_of(x, y, z);
  case S_f2f:
  case S_i2f:
  case S_u2f:
  case S_f2i:
  case S_i2i:
  case S_u2i:
  case S_b2i:
  case S_bits: return convert(e, x);
  case S_i2b: return is_float(x) ? fcmp(LLVMRealUNE, x, zero_of(x)) : icmp(LLVMIntNE, x, zero_of(x));
  case S_round:
  case S_wrap: return round_to((DType)e->i, x);
  default: return arithmetic(e->op, x, y);
  }
}

static V index_value(Ex *e) {
  if (e->type == DT_I32 || e->type == DT_I64) return value_as(e->ix[0], reg_type(e->type));
  V x = value_as(e->ix[0], em.i64);
  return LLVMBuildSIToFP(em.b, x, like(reg_type(e->type), x), "");
}

static V select_index(Ex *e) {
  Pred p = pred_of(1, e->pred, false);
  if (p.never) return ev(e->a[1]);
  if (!p.mask && !p.cond) return ev(e->a[0]);
  V a = ev(e->a[0]), b = ev(e->a[1]);
  return select_of(p.mask ? p.mask : p.cond, a, b);
}

V ev(Ex *e) {
  if (e->epoch == em.epoch) return e->v;
  V r, x[3] = {0};
  switch (e->op) {
  case S_CONST:
    r = e->type == DT_F32 || e->type == DT_F64 ? LLVMConstReal(reg_type(e->type), e->f)
                                               : LLVMConstInt(reg_type(e->type), (uint64_t)e->i, 1);
    break;
  case S_LOAD: r = load_ex(e); break;
  case S_IX: r = index_value(e); break;
  case S_SEL: r = select_index(e); break;
  default: {
    int n = scalars[e->op].arity, vec = -1;
    for (int i = 0; i < n; i++) {
      x[i] = ev(e->a[i]);
      if (is_vec(x[i])) vec = i;
    }
    for (int i = 0; i < n && vec >= 0; i++) match(&x[i], &x[vec]);
    r = row(e, x[0], x[1], x[2]);
  }
  }
  e->epoch = em.epoch;
  return e->v = r;
}

V combine_values(Combine c, V acc, V x) {
  match(&acc, &x);
  switch (c) {
  case C_add:
  case C_mul: return arithmetic(c == C_add ? S_add : S_mul, acc, x);
  case C_max:
  case C_min: return extreme(c == C_max, acc, x);
  case C_and: return LLVMBuildAnd(em.b, acc, x, "");
  case C_or: return LLVMBuildOr(em.b, acc, x, "");
  case C_xor: return LLVMBuildXor(em.b, acc, x, "");
  default: bug("combine %d", c);
  }
}
