// scalar.c - prints scalar DAGs as C: every node once per statement, as a constant named t<n>; loads under their predicates.
#include "cuda.h"
#include <math.h>
#include <string.h>

void scalar_begin(Cuda *c) {
  ex_epoch++;
  c->nprinted = 0;
}

/* ---- storage ---- */

const char *storage_type(DType d) {
  switch (d) {
  case DT_F32:
  case DT_F64:
  case DT_I32:
  case DT_I64:
  case DT_U32:
  case DT_U64:
  case DT_I16:
  case DT_U16:
  case DT_I8:
  case DT_U8: return dtypes[d].name;
  case DT_F16:
  case DT_BF16: return "u16";
  default: return "u8";
  }
}

typedef struct Small {
  int e, m, bias, special;
} Small;
static const Small small[DT_COUNT] = {
    [DT_F8E4M3FN] = {4, 3, 7, 1}, [DT_F8E4M3FNUZ] = {4, 3, 8, 2}, [DT_F8E5M2] = {5, 2, 15, 0}, [DT_F8E5M2FNUZ] = {5, 2, 16, 2},
    [DT_F4E2M1] = {2, 1, 1, 3},   [DT_F6E2M3] = {2, 3, 1, 3},     [DT_F6E3M2] = {3, 2, 3, 3},
};

static const char *small_args(DType d) {
  const Small *s = &small[d];
  return fmt("%d, %d, %d, %d", s->e, s->m, s->bias, s->special);
}

const char *c_load(const Buf *b, const char *at) {
  const char *p = place_of(b)->name;
  DType d = b->dtype;
  int bits = dtypes[d].bits;
  if (d == DT_BOOL) return fmt("%s[%s] != 0", p, at);
  if (d == DT_F16 || d == DT_BF16) return fmt("tn_get_%s(%s[%s])", dtypes[d].name, p, at);
  if (d == DT_F8E8M0) return fmt("tn_get_e8m0(%s[%s])", p, at);
  const char *word = bits < 8 ? fmt("tn_packed(%s, %d, %s)", p, bits, at) : fmt("%s[%s]", p, at);
  if (small[d].e) return fmt("tn_small_get(%s, %s)", word, small_args(d));
  if (bits < 8) return dtypes[d].is_signed ? fmt("tn_extend(%s, %d)", word, bits) : fmt("(i32)%s", word);
  return word;
}

void c_store(Cuda *c, const Buf *b, const char *at, const char *v) {
  const char *p = place_of(b)->name;
  DType d = b->dtype;
  int bits = dtypes[d].bits;
  if (bits < 8)
    line(c, "tn_put_packed(%s, %d, %s, %s);", p, bits, at, small[d].e ? fmt("tn_small_put(%s, %s)", v, small_args(d)) : fmt("(u32)%s", v));
  else if (d == DT_F16 || d == DT_BF16) line(c, "%s[%s] = tn_put_%s(%s);", p, at, dtypes[d].name, v);
  else if (d == DT_F8E8M0) line(c, "%s[%s] = tn_put_e8m0(%s);", p, at, v);
  else if (small[d].e) line(c, "%s[%s] = (u8)tn_small_put(%s, %s);", p, at, v, small_args(d));
  else line(c, "%s[%s] = (%s)%s;", p, at, storage_type(d), v);
}

// A cell that belongs to one thread is addressed within the thread's own cells.
const char *c_cell(Cuda *c, const Buf *b, IExpr *const *index) {
  const Place *p = place_of(b);
  if (!p->owned) return c_index(c, buf_phys(b, index));
  IExpr *at = ix(0);
  for (int d = 0; d < b->rank; d++) {
    IExpr *n = p->own[d] ? ix(p->own[d]) : b->dim[d], *i = p->own[d] ? ix_modk(index[d], p->own[d]) : index[d];
    at = ix_add(ix_mul(at, n), i);
  }
  return c_index(c, at);
}

/* ---- lets ---- */

static Ex *first_load(Ex *e) {
  if (e->op == S_LOAD) return e;
  for (int i = 0; i < 3; i++) {
    Ex *r = e->a[i] ? first_load(e->a[i]) : NULL;
    if (r) return r;
  }
  return NULL;
}

const Printed *c_printed(const Cuda *c, const Atom *a) {
  for (int i = 0; i < c->nprinted; i++)
    if (c->printed[i].atom == a) return &c->printed[i];
  return NULL;
}

const char *c_let(Cuda *c, Atom *a) {
  if (c_printed(c, a)) return c_printed(c, a)->name;
  const LetDef *d = a->def;
  Printed p = {.atom = a, .raw = c_scalar(c, d->value), .name = fmt("l%d", c->serial++)};
  const char *lo = fmt("%lldLL", (long long)a->lo),
             *hi = d->limit ? fmt("(i64)%s - 1", c_index(c, d->limit)) : fmt("%lldLL", (long long)a->hi);
  Ex *from = d->site >= 0 ? first_load(d->value) : NULL;
  p.pos = from ? c_index(c, buf_phys(from->buf, from->ix)) : "0";
  line(c, "const i64 %s = tn_clamp(%s, %s, %s);", p.name, p.raw, lo, hi);
  PUSH(c->printed, c->nprinted, c->cprinted, p);
  return p.name;
}

void check_lets(Cuda *c) {
  for (int i = 0; i < c->nprinted; i++) {
    const Printed *p = &c->printed[i];
    const LetDef *d = p->raw ? p->atom->def : NULL;
    if (d && d->site >= 0) line(c, "if (%s != %s) tn_fault(fault, %d, %s, %s);", p->name, p->raw, d->site, p->pos, p->raw);
  }
}

/* ---- nodes ---- */

static const char *literal(const Ex *e) {
  if (e->type == DT_I32) return e->i == INT32_MIN ? "(-2147483647 - 1)" : fmt("%lld", (long long)e->i);
  if (e->type == DT_I64) return e->i == INT64_MIN ? "(-9223372036854775807LL - 1)" : fmt("%lldLL", (long long)e->i);
  if (e->type == DT_BOOL) return e->i ? "1" : "0";
  if (isfinite(e->f)) return e->type == DT_F32 ? fmt("%af", e->f) : fmt("%a", e->f);
  if (e->type == DT_F32) return isnan(e->f) ? "tn_f32_bits(0x7fc00000)" : e->f > 0 ? "tn_f32_bits(0x7f800000)" : "-tn_f32_bits(0x7f800000)";
  const char *inf = "tn_f64_bits(0x7ff0000000000000LL)";
  return isnan(e->f) ? "tn_f64_bits(0x7ff8000000000000LL)" : e->f > 0 ? inf : fmt("-%s", inf);
}

static const char *load(Cuda *c, Ex *e) {
  Text when = {0};
  for (int i = 0; i < e->npred; i++) put(&when, "%s%s >= 0", when.n ? " && " : "", c_index(c, e->pred[i]));
  if (e->cond) put(&when, "%s%s", when.n ? " && " : "", c_scalar(c, e->cond));
  const char *value = c_load(e->buf, c_cell(c, e->buf, e->ix));
  if (!when.n) return value;
  Ex other = {.op = S_CONST, .type = e->type, .i = e->i};
  return fmt("%s ? %s : %s", when.p, value, literal(&other));
}

static const char *convert(const Ex *e, const char *x) {
  DType from = e->a[0]->type, to = e->type;
  switch (e->op) {
  case S_f2i: return fmt("tn_%s_%s(%s)", c_type(to), c_type(from), x);
  case S_u2f: return fmt("(%s)(%s)%s", c_type(to), from == DT_I32 ? "u32" : "u64", x);
  case S_u2i: return fmt("(i64)(u32)%s", x);
  case S_i2b: return fmt("%s != 0", x);
  case S_bits: return from == DT_F32 || from == DT_F64 ? fmt("tn_bits_%s(%s)", c_type(from), x) : fmt("tn_%s_bits(%s)", c_type(to), x);
  default: return fmt("(%s)%s", c_type(to), x);
  }
}

static const char *stored(const Ex *e, const char *x) { // round, wrap
  DType d = (DType)e->i;
  const char *n = dtypes[d].name;
  if (e->op == S_wrap && dtypes[d].bits < 8)
    return dtypes[d].is_signed ? fmt("tn_extend((u32)%s & %d, %d)", x, (1 << dtypes[d].bits) - 1, dtypes[d].bits)
                               : fmt("(%s)(%s & %d)", c_type(e->type), x, (1 << dtypes[d].bits) - 1);
  if (e->op == S_wrap) return fmt("(%s)(%s)%s", c_type(e->type), n, x);
  if (d == DT_F16 || d == DT_BF16) return fmt("tn_get_%s(tn_put_%s(%s))", n, n, x);
  if (d == DT_F8E8M0) return fmt("tn_get_e8m0(tn_put_e8m0(%s))", x);
  return fmt("tn_small_get(tn_small_put(%s, %s), %s)", x, small_args(d), small_args(d));
}

static const char *arithmetic(const Ex *e, const char *x, const char *y, const char *z) {
  DType t = e->a[0]->type;
  bool f = t == DT_F32 || t == DT_F64;
  const char *T = c_type(t), *U = t == DT_I32 ? "u32" : "u64", *s = t == DT_F32 ? "f" : "", *name = scalars[e->op].name;
  switch (e->op) {
  case S_add:
  case S_sub:
  case S_mul: {
    char o = e->op == S_add ? '+' : e->op == S_sub ? '-' : '*';
    return f ? fmt("%s %c %s", x, o, y) : fmt("(%s)((%s)%s %c (%s)%s)", T, U, x, o, U, y);
  }
  case S_div: return fmt("%s / %s", x, y);
  case S_fma: return fmt("fma%s(%s, %s, %s)", s, x, y, z);
  case S_sqrt:
  case S_floor:
  case S_ceil:
  case S_trunc:
  case S_rint: return fmt("%s%s(%s)", name, s, x);
  case S_copysign: return fmt("copysign%s(%s, %s)", s, x, y);
  case S_neg: return f ? fmt("-%s", x) : fmt("(%s)(0 - (%s)%s)", T, U, x);
  case S_abs: return f ? fmt("fabs%s(%s)", s, x) : fmt("%s < 0 ? (%s)(0 - (%s)%s) : %s", x, T, U, x, x);
  case S_min:
  case S_max: return f ? fmt("tn_%s_%s(%s, %s)", name, T, x, y) : fmt("%s %c %s ? %s : %s", x, e->op == S_min ? '<' : '>', y, x, y);
  case S_and: return fmt("%s & %s", x, y);
  case S_or: return fmt("%s | %s", x, y);
  case S_xor: return fmt("%s ^ %s", x, y);
  case S_not: return fmt("%s%s", t == DT_BOOL ? "!" : "~", x);
  case S_lt: return fmt("%s < %s", x, y);
  case S_le: return fmt("%s <= %s", x, y);
  case S_eq: return fmt("%s == %s", x, y);
  case S_ne: return fmt("%s != %s", x, y);
  case S_ult:
  case S_ule: return fmt("(%s)%s %s (%s)%s", U, x, e->op == S_ult ? "<" : "<=", U, y);
  case S_select: return fmt("%s ? %s : %s", x, y, z);
  default: return fmt("tn_%s_%s(%s, %s)", name, T, x, y); // the total integer operations
  }
}

static const char *node(Cuda *c, Ex *e) {
  if (e->op == S_LOAD) return load(c, e);
  if (e->op == S_IX) return fmt("(%s)%s", c_type(e->type), c_index(c, e->ix[0]));
  const char *x[3] = {NULL, NULL, NULL};
  int n = e->op == S_SEL ? 2 : scalars[e->op].arity;
  if (e->op == S_SEL) {
    const char *p = c_index(c, e->pred[0]);
    for (int i = 0; i < n; i++) x[i] = c_scalar(c, e->a[i]);
    return fmt("%s >= 0 ? %s : %s", p, x[0], x[1]);
  }
  for (int i = 0; i < n; i++) x[i] = c_scalar(c, e->a[i]);
  if (e->op == S_round || e->op == S_wrap) return stored(e, x[0]);
  if (e->op >= S_f2f) return convert(e, x[0]);
  return arithmetic(e, x[0], x[1], x[2]);
}

const char *c_scalar(Cuda *c, Ex *e) {
  if (e->epoch == ex_epoch) return e->v;
  const char *r;
  if (e->op == S_CONST) {
    r = literal(e);
    if (*r == '-') r = fmt("(%s)", r);
  } else {
    const char *value = node(c, e);
    r = fmt("t%d", c->serial++);
    line(c, "const %s %s = %s;", c_type(e->type), r, value);
  }
  e->epoch = ex_epoch;
  e->v = (void *)(uintptr_t)r;
  return r;
}
