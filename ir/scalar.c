// scalar.c - making scalar expressions: the tables behind scalar.def and combine.def, type rules, constants, folding.
//
// ex_op folds an operation on constants through scalar_lanes, the function that the interpreter runs, and drops operations that change
// no bit for any operand (NaN payloads aside, which are nobody's). Everything else is kept as written: association is part of a kernel.
#include "scalar.h"
#include <math.h>
#include <string.h>

const ScalarRow scalars[S_COUNT] = {
    {.name = "const"},
    {.name = "load"},
    {.name = "ix"},
    {.name = "sel"},
#define SCALAR(name, arity, type, meaning, llvm, cuda, grad) {#name, arity, type, meaning, llvm, cuda, grad},
#include "scalar.def"
#undef SCALAR
};

const CombineRow combines[C_COUNT] = {
    {.name = "set"},
#define COMBINE(name, identity_f, identity_i, meaning, exact) {#name, meaning, identity_f, identity_i, exact, S_##name},
#include "combine.def"
#undef COMBINE
};

SOp scalar_find(const char *name) {
  for (int i = S_SEL + 1; i < S_COUNT; i++)
    if (strcmp(scalars[i].name, name) == 0) return (SOp)i;
  return S_COUNT;
}

/* ---- constants ---- */

static bool is_float(DType t) { return t == DT_F32 || t == DT_F64; }

static Ex *node(SOp op, DType type) {
  Ex *e = NEW(Ex);
  e->op = op;
  e->type = type;
  return e;
}

Ex *ex_f(DType t, double v) {
  if (!is_float(t)) bug("float constant of type %s", dtypes[t].name);
  Ex *e = node(S_CONST, t);
  e->f = t == DT_F32 ? (double)(float)v : v;
  return e;
}

Ex *ex_i(DType t, int64_t v) {
  if (is_float(t)) bug("integer constant of type %s", dtypes[t].name);
  Ex *e = node(S_CONST, t);
  e->i = t == DT_BOOL ? v != 0 : t == DT_I32 ? (int32_t)(uint32_t)v : v;
  return e;
}

Ex *ex_num(DType t, double v) {
  if (is_float(t)) return ex_f(t, v);
  if (t == DT_BOOL) return ex_i(t, v != 0);
  return ex_i(t, v >= 0x1p63 ? INT64_MAX : v > -0x1p63 ? (int64_t)v : INT64_MIN);
}

Ex *combine_identity(Combine c, DType t) {
  if (is_float(t)) return ex_f(t, combines[c].identity_f);
  int64_t i = combines[c].identity_i;
  if (t == DT_I32) i = i < INT32_MIN ? INT32_MIN : i > INT32_MAX ? INT32_MAX : i;
  return ex_i(t, i);
}

bool ex_is_const(const Ex *e) { return e->op == S_CONST; }

static bool is_num(const Ex *e, double v) { // the constant v of its type, -0 and 0 told apart
  if (e->op != S_CONST) return false;
  if (!is_float(e->type)) return (double)e->i == v;
  return e->f == v && signbit(e->f) == signbit(v);
}

bool ex_same(const Ex *a, const Ex *b) {
  if (a == b) return true;
  if (a->op != S_CONST || b->op != S_CONST || a->type != b->type) return false;
  return is_float(a->type) ? memcmp(&a->f, &b->f, sizeof a->f) == 0 : a->i == b->i;
}

typedef union Lane {
  float f;
  double d;
  int32_t i;
  int64_t l;
  uint8_t b;
} Lane;

static Lane lane_of(const Ex *e) {
  Lane v = {.l = 0};
  if (e->type == DT_F32) v.f = (float)e->f;
  else if (e->type == DT_F64) v.d = e->f;
  else if (e->type == DT_I32) v.i = (int32_t)e->i;
  else if (e->type == DT_I64) v.l = e->i;
  else v.b = e->i != 0;
  return v;
}

static Ex *const_of(DType t, Lane v) {
  if (t == DT_F32) return ex_f(t, (double)v.f);
  if (t == DT_F64) return ex_f(t, v.d);
  return ex_i(t, t == DT_I32 ? v.i : t == DT_I64 ? v.l : v.b);
}

static Ex *fold(const Ex *e) { // a constant, if all operands are
  Lane x[3] = {{0}}, r = {.l = 0};
  int n = scalars[e->op].arity;
  for (int i = 0; i < n; i++) {
    if (!ex_is_const(e->a[i])) return NULL;
    x[i] = lane_of(e->a[i]);
  }
  DType in = e->op == S_select ? e->type : e->a[0]->type;
  DType dtype = e->op == S_round || e->op == S_wrap ? (DType)e->i : DT_NONE;
  scalar_lanes(e->op, in, e->type, dtype, 1, &r, &x[0], n > 1 ? &x[1] : NULL, n > 2 ? &x[2] : NULL);
  return const_of(e->type, r);
}

/* ---- type rules: the type column of scalar.def, one class per operand ---- */

static bool in_class(const char *c, size_t n, DType t) {
  for (size_t i = 0; i < n; i++)
    if ((c[i] == 'F' && is_float(t)) || (c[i] == 'I' && (t == DT_I32 || t == DT_I64)) || (c[i] == 'B' && t == DT_BOOL) ||
        (c[i] == 'N' && t != DT_BOOL))
      return true;
  return false;
}

// Operand i must be in class i; operands of one class have one type (a leading B of select is a class of its own).
static void check_operands(SOp op, Ex *const *a) {
  const char *p = scalars[op].type;
  for (int i = 0; i < scalars[op].arity; i++) {
    size_t n = strcspn(p, " ");
    bool any = op == S_select && i > 0; // also bool operands
    if (!a[i] || (!any && !in_class(p, n, a[i]->type))) bug("operand %d of %s", i, scalars[op].name);
    int first = op == S_select ? 1 : 0;
    if (i > first && a[i]->type != a[first]->type)
      bug("operands of %s: %s and %s", scalars[op].name, dtypes[a[first]->type].name, dtypes[a[i]->type].name);
    p += n + 1;
  }
}

static DType result_type(SOp op, const Ex *a, const Ex *b) {
  size_t n = strlen(scalars[op].type);
  if (scalars[op].type[n - 1] == 'B' && scalars[op].type[n - 2] == ' ') return DT_BOOL;
  return op == S_select ? b->type : a->type;
}

/* ---- identities that hold for every value ---- */

static bool exact_inverse(const Ex *e) { // a power of two whose reciprocal is normal
  int k;
  if (e->op != S_CONST || fabs(frexp(e->f, &k)) != 0.5) return false;
  int most = e->type == DT_F32 ? 120 : 1000;
  return k > -most && k < most;
}

static bool is_zero(const Ex *e) { return is_num(e, 0); }
static bool is_ones(const Ex *e) { return e->op == S_CONST && (e->type == DT_BOOL ? e->i == 1 : e->i == -1); }

static Ex *simplify_float(SOp op, Ex *a, Ex *b, Ex *c) {
  switch (op) {
  case S_add: return is_num(b, -0.0) ? a : is_num(a, -0.0) ? b : NULL;
  case S_sub: return is_num(b, 0.0) ? a : NULL;
  case S_mul: return is_num(b, 1) ? a : is_num(a, 1) ? b : is_num(b, -1) ? ex_op(S_neg, a, NULL, NULL) : NULL;
  case S_div: return is_num(b, 1) ? a : exact_inverse(b) ? ex_op(S_mul, a, ex_f(b->type, 1 / b->f), NULL) : NULL;
  case S_fma:
    if (is_num(b, 1)) return ex_op(S_add, a, c, NULL);
    if (is_num(a, 1)) return ex_op(S_add, b, c, NULL);
    return is_num(c, -0.0) ? ex_op(S_mul, a, b, NULL) : NULL;
  case S_floor:
  case S_ceil:
  case S_trunc:
  case S_rint: return a->op == S_floor || a->op == S_ceil || a->op == S_trunc || a->op == S_rint || a->op == S_i2f ? a : NULL;
  case S_round: return NULL;
  default: return NULL;
  }
}

static Ex *simplify_int(SOp op, Ex *a, Ex *b) {
  DType t = a->type;
  switch (op) {
  case S_add: return is_zero(b) ? a : is_zero(a) ? b : NULL;
  case S_sub: return is_zero(b) ? a : a == b ? ex_i(t, 0) : NULL;
  case S_mul:
    if (is_zero(a) || is_zero(b)) return ex_i(t, 0);
    return is_num(b, 1) ? a : is_num(a, 1) ? b : NULL;
  case S_idiv:
  case S_udiv: return is_num(b, 1) ? a : NULL;
  case S_irem:
  case S_urem: return is_num(b, 1) ? ex_i(t, 0) : NULL;
  case S_shl:
  case S_shr:
  case S_ushr: return is_zero(b) ? a : NULL;
  default: return NULL;
  }
}

static Ex *simplify_bits(SOp op, Ex *a, Ex *b) { // and, or, xor of integers or bools
  if (op == S_and) return a == b || is_ones(b) ? a : is_ones(a) ? b : is_zero(a) ? a : is_zero(b) ? b : NULL;
  if (op == S_or) return a == b || is_zero(b) ? a : is_zero(a) ? b : is_ones(a) ? a : is_ones(b) ? b : NULL;
  return is_zero(b) ? a : is_zero(a) ? b : a == b ? ex_i(a->type, 0) : NULL;
}

static Ex *simplify_compare(SOp op, const Ex *a, const Ex *b) {
  if (a != b || is_float(a->type)) return NULL;
  return ex_i(DT_BOOL, op == S_le || op == S_eq || op == S_ule);
}

static Ex *simplify(SOp op, Ex *a, Ex *b, Ex *c) {
  switch (op) {
  case S_neg: return a->op == S_neg ? a->a[0] : NULL;
  case S_not: return a->op == S_not ? a->a[0] : NULL;
  case S_abs:
    if (a->op == S_abs) return a;
    return a->op == S_neg && is_float(a->type) ? ex_op(S_abs, a->a[0], NULL, NULL) : NULL;
  case S_min:
  case S_max: return a == b ? a : NULL;
  case S_and:
  case S_or:
  case S_xor: return simplify_bits(op, a, b);
  case S_lt:
  case S_le:
  case S_eq:
  case S_ne:
  case S_ult:
  case S_ule: return simplify_compare(op, a, b);
  case S_select:
    if (ex_is_const(a)) return a->i ? b : c;
    if (a->op == S_not) return ex_op(S_select, a->a[0], c, b);
    return ex_same(b, c) ? b : NULL;
  default: return is_float(a->type) ? simplify_float(op, a, b, c) : simplify_int(op, a, b);
  }
}

// Conversions whose result type the operand's says; the others are for ex_convert.
static DType only_target(SOp op, DType t) {
  if (op == S_bits) return t == DT_F32 ? DT_I32 : t == DT_F64 ? DT_I64 : t == DT_I32 ? DT_F32 : DT_F64;
  return op == S_f2f ? (t == DT_F32 ? DT_F64 : DT_F32) : op == S_i2i ? (t == DT_I32 ? DT_I64 : DT_I32) : op == S_u2i ? DT_I64 : DT_NONE;
}

Ex *ex_op(SOp op, Ex *a, Ex *b, Ex *c) {
  if (op >= S_f2f && op <= S_bits && only_target(op, a->type) != DT_NONE) return ex_convert(op, only_target(op, a->type), a);
  if (op <= S_SEL || op >= S_COUNT || (op >= S_f2f && op != S_i2b)) bug("ex_op of %s", op < S_COUNT ? scalars[op].name : "?");
  check_operands(op, (Ex *[]){a, b, c});
  Ex e = {.op = op, .type = result_type(op, a, b), .a = {a, b, c}}, *r = fold(&e);
  if (r || (r = simplify(op, a, b, c))) return r;
  r = NEW(Ex);
  *r = e;
  return r;
}

/* ---- conversions ---- */

static bool fits_i32(IExpr *e) { return ix_lower(e) >= INT32_MIN && ix_upper(e) <= INT32_MAX; }

// Conversions that undo one another exactly, and conversions of an index.
static Ex *simplify_convert(SOp op, DType to, Ex *a) {
  Ex *x = a->op > S_SEL ? a->a[0] : NULL;
  bool undoes = x && x->type == to;
  if (op == S_f2f && a->op == S_f2f && undoes && to == DT_F32) return x;
  if (op == S_i2i && (a->op == S_i2i || a->op == S_u2i) && undoes && to == DT_I32) return x;
  if (op == S_bits && a->op == S_bits && undoes) return x;
  if ((op == S_i2i || op == S_i2f) && a->op == S_IX && (a->type == DT_I64 || fits_i32(a->ix[0])) && (to != DT_I32 || fits_i32(a->ix[0])))
    return ex_ix(to, a->ix[0]);
  return NULL;
}

Ex *ex_convert(SOp op, DType to, Ex *a) {
  static const char *const targets[] = {[S_f2f - S_f2f] = "F", [S_i2f - S_f2f] = "F", [S_u2f - S_f2f] = "F",
                                        [S_f2i - S_f2f] = "I", [S_i2i - S_f2f] = "I", [S_u2i - S_f2f] = "I",
                                        [S_b2i - S_f2f] = "I", [S_i2b - S_f2f] = "B", [S_bits - S_f2f] = "FI"};
  if (op < S_f2f || op > S_bits || !in_class(targets[op - S_f2f], strlen(targets[op - S_f2f]), to))
    bug("conversion %d to %s", op, dtypes[to].name);
  if (op == S_i2b) return ex_op(op, a, NULL, NULL);
  check_operands(op, (Ex *[]){a, NULL, NULL});
  if ((op == S_f2f || op == S_i2i || op == S_u2i) && a->type == to) return a;
  Ex e = {.op = op, .type = to, .a = {a}}, *r = fold(&e);
  if (r || (r = simplify_convert(op, to, a))) return r;
  r = NEW(Ex);
  *r = e;
  return r;
}

static Ex *to_bool(Ex *a) { return a->op == S_b2i ? a->a[0] : ex_op(S_i2b, a, NULL, NULL); }

Ex *ex_cast(DType to, Ex *a) {
  if (a->type == to) return a;
  if (to == DT_BOOL) return to_bool(a);
  if (a->type == DT_BOOL) {
    Ex *i = ex_convert(S_b2i, is_float(to) ? DT_I32 : to, a);
    return is_float(to) ? ex_convert(S_i2f, to, i) : i;
  }
  if (is_float(a->type)) return ex_convert(is_float(to) ? S_f2f : S_f2i, to, a);
  return ex_convert(is_float(to) ? S_i2f : S_i2i, to, a);
}

Ex *ex_cast_from(DType storage, DType to, Ex *a) {
  if (storage == DT_U64 && is_float(to)) return ex_convert(S_u2f, to, a);
  return ex_cast(to, a);
}

// f64 to f32, rounded to odd: a second rounding to a narrower type is then correct (Boldo and Melquiond 2008).
static Ex *narrow_odd(Ex *x) {
  Ex *r = ex_convert(S_f2f, DT_F32, x), *back = ex_convert(S_f2f, DT_F64, r), *b = ex_convert(S_bits, DT_I32, r);
  Ex *above = ex_op(S_lt, ex_op(S_abs, x, NULL, NULL), ex_op(S_abs, back, NULL, NULL), NULL);
  Ex *odd = ex_op(S_add, b, ex_op(S_select, above, ex_i(DT_I32, -1), ex_i(DT_I32, 1)), NULL);
  Ex *even = ex_op(S_eq, ex_op(S_and, b, ex_i(DT_I32, 1), NULL), ex_i(DT_I32, 0), NULL);
  Ex *inexact = ex_op(S_and, ex_op(S_ne, back, x, NULL), ex_op(S_eq, x, x, NULL), NULL); // not for NaN
  return ex_convert(S_bits, DT_F32, ex_op(S_select, ex_op(S_and, inexact, even, NULL), odd, b));
}

// Float to u64: what f2i does not reach is brought down by 2^63 and gets its top bit back.
static Ex *float_to_u64(Ex *x) {
  Ex *half = ex_f(x->type, 0x1p63), *big = ex_op(S_and, ex_op(S_le, half, x, NULL), ex_op(S_lt, x, ex_f(x->type, 0x1p64), NULL), NULL);
  Ex *high = ex_op(S_xor, ex_convert(S_f2i, DT_I64, ex_op(S_sub, x, half, NULL)), ex_i(DT_I64, INT64_MIN), NULL);
  return ex_op(S_select, big, high, ex_convert(S_f2i, DT_I64, x));
}

Ex *ex_cast_storage(DType from, DType to, Ex *a) {
  DType reg = dtypes[to].reg;
  if (to == from) return a;
  if (dtypes[to].is_float && reg == DT_F32 && to != DT_F32 && a->type == DT_F64) return ex_round(to, narrow_odd(a));
  if (to == DT_U64 && is_float(a->type)) return float_to_u64(a);
  return ex_round(to, ex_cast_from(from, reg, a));
}

static bool int_fits(DType inner, DType outer) { // every value of storage type inner is one of outer
  const DTypeInfo *i = &dtypes[inner], *o = &dtypes[outer];
  if (!i->is_int) return false;
  return i->is_signed == o->is_signed ? i->bits <= o->bits : o->is_signed && i->bits < o->bits;
}

Ex *ex_round(DType storage, Ex *a) {
  DType reg = dtypes[storage].reg;
  if (a->type != reg) bug("rounding %s to %s", dtypes[a->type].name, dtypes[storage].name);
  if (storage == reg || reg == DT_BOOL || storage == DT_U64) return a;
  SOp op = is_float(reg) ? S_round : S_wrap;
  if (a->op == S_LOAD && op == S_round && a->buf->dtype == storage && !a->npred && !a->cond) return a;
  if (a->op == S_LOAD && op == S_wrap && int_fits(a->buf->dtype, storage) && !a->npred && !a->cond) return a;
  if (a->op == op && (op == S_round ? a->i == (int64_t)storage : int_fits((DType)a->i, storage))) return a;
  Ex e = {.op = op, .type = reg, .i = (int64_t)storage, .a = {a}}, *r = fold(&e);
  if (r) return r;
  r = NEW(Ex);
  *r = e;
  return r;
}

/* ---- indices ---- */

Ex *ex_ix(DType t, IExpr *e) {
  int64_t k;
  if (t == DT_BOOL) return ex_op(S_i2b, ex_ix(DT_I64, e), NULL, NULL);
  if (ix_const(e, &k)) return is_float(t) ? ex_convert(S_i2f, t, ex_i(DT_I64, k)) : ex_i(t, k);
  Ex *r = node(S_IX, t);
  r->ix[0] = e;
  return r;
}

Ex *ex_sel(IExpr *ge0, Ex *a, Ex *b) {
  if (a->type != b->type) bug("sel of %s and %s", dtypes[a->type].name, dtypes[b->type].name);
  if (ex_same(a, b) || ix_prove_ge0(ge0)) return a;
  if (ix_upper(ge0) < 0) return b;
  Ex *r = node(S_SEL, a->type);
  r->npred = 1;
  r->pred = NEW(IExpr *);
  r->pred[0] = ge0;
  r->a[0] = a;
  r->a[1] = b;
  return r;
}

// The expression that an integer value already is, or NULL.
static IExpr *as_index(Ex *v) {
  if (v->op == S_CONST) return ix(v->i);
  if (v->op == S_IX && (v->type == DT_I64 || fits_i32(v->ix[0]))) return v->ix[0];
  if (v->op == S_i2i && v->type == DT_I64) return as_index(v->a[0]);
  return NULL;
}

static IExpr *new_let(Ex *value, int64_t lo, int64_t hi, IExpr *limit, int site, const char *name) {
  LetDef *d = NEW(LetDef);
  *d = (LetDef){.value = value, .limit = limit, .site = site};
  return ix_let(sym(name), d, lo, hi);
}

IExpr *ex_index(Ex *value, int64_t lo, int64_t hi, int site, const char *name) {
  if (value->type != DT_I32 && value->type != DT_I64) bug("an index of type %s", dtypes[value->type].name);
  IExpr *e = as_index(value);
  if (e && ix_lower(e) >= lo && ix_upper(e) <= hi) return e;
  if (e && site < 0) return ix_min(ix_max(e, ix(lo)), ix(hi));
  return new_let(value, lo, hi, NULL, site, name);
}

IExpr *ex_index_below(Ex *value, IExpr *limit, int site, const char *name) {
  int64_t k, hi = ix_upper(limit) - 1;
  if (ix_const(limit, &k) && k > 0) return ex_index(value, 0, k - 1, site, name);
  IExpr *e = as_index(value);
  if (e && ix_prove_ge0(e) && ix_prove_le(ix_addk(e, 1), limit)) return e;
  return new_let(value, 0, hi < 0 ? 0 : hi, limit, site, name);
}
