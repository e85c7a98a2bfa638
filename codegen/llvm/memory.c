// memory.c - loads and stores of buffer elements: scalar, contiguous lanes, scattered lanes, packed types, all with predicates.
//
// A load under a condition reads, without a branch, a block of zeros where the condition fails; a predicated scattered store writes a slot
// that nobody reads. Contiguous lanes use masked accesses, except on registers, where a select keeps SROA able to promote them.
#include "emit.h"
#include <math.h>

typedef struct Cells { // the cells that an access touches: base + offset of each lane
  V base;              // address; packed types: of the byte that holds the lane
  V offset;            // vector of element offsets, or NULL: base only
  T elem;
  int64_t stride; // of lanes, if offset is NULL
} Cells;

static int bits_of(const Buf *b) { return dtypes[b->dtype].bits; }
static unsigned align_of(const Buf *b) { return bits_of(b) < 16 ? 1 : (unsigned)bits_of(b) / 8; }

static IExpr *term_expr(const Term *t) {
  IExpr *e = ix(t->coef);
  for (int i = 0; i < t->nfac; i++) e = ix_mul(e, ix_atom(t->fac[i]));
  return e;
}

// Outermost terms first so that LICM hoists the prefixes, the constant last so that it becomes a displacement.
V address(const Buf *b, IExpr *off) {
  V p = b->v;
  if (!p) bug("buffer %s has no address", b->name);
  if (bits_of(b) < 8) return gep(em.i8, p, value(ix_divk(ix_scale(off, bits_of(b)), 8)));
  T t = mem_type(b->dtype);
  int deepest = level(off);
  for (int d = 0; d <= deepest && off->n; d++)
    for (int i = 0; i < off->n; i++) {
      IExpr *term = off->n == 1 && !off->k ? off : term_expr(&off->t[i]);
      if (level(term) == d) p = gep(t, p, value(term));
    }
  return gepk(t, p, off->k);
}

/* ---- slots ---- */

enum { ZEROS = MAX_LANES * 8 };
static V zero_slot(void) { // read-only, as long as any vector
  if (!em.zero) em.zero = const_global(LLVMConstNull(LLVMArrayType2(em.i8, ZEROS)), 64);
  return em.zero;
}
static V dump_slot(void) { return em.dump ? em.dump : (em.dump = entry_alloca(em.i64, 1, 8)); }

static V guarded(T t, V p, V cond, unsigned align) { return load_at(t, cond ? select_of(cond, p, zero_slot()) : p, align); }

/* ---- packed elements: low bits first ---- */

static V packed_shift(const Buf *b, V off, T t) { // bit position within its byte, as t
  V in_byte = LLVMBuildAnd(em.b, off, const_int(LLVMTypeOf(off), 8 / bits_of(b) - 1), "");
  in_byte = LLVMBuildMul(em.b, in_byte, const_int(LLVMTypeOf(off), bits_of(b)), "");
  return LLVMBuildTrunc(em.b, in_byte, t, "");
}
static V packed_load(const Buf *b, V off, V cond) {
  V byte = LLVMBuildUDiv(em.b, off, k64(8 / bits_of(b)), "");
  V x = guarded(em.i8, gep(em.i8, b->v, byte), cond, 1);
  return LLVMBuildLShr(em.b, x, packed_shift(b, off, em.i8), "");
}
// Neighbours in the byte may be written by another worker at the same time: clear and set atomically.
static void packed_store(const Buf *b, V off, V x, V cond) {
  V p = gep(em.i8, b->v, LLVMBuildUDiv(em.b, off, k64(8 / bits_of(b)), ""));
  if (cond) p = select_of(cond, p, dump_slot());
  V shift = packed_shift(b, off, em.i8), ones = LLVMConstInt(em.i8, (1u << bits_of(b)) - 1, 0);
  V keep = LLVMBuildNot(em.b, LLVMBuildShl(em.b, ones, shift, ""), "");
  V set = LLVMBuildShl(em.b, LLVMBuildAnd(em.b, x, ones, ""), shift, "");
  LLVMBuildAtomicRMW(em.b, LLVMAtomicRMWBinOpAnd, p, keep, LLVMAtomicOrderingMonotonic, 0);
  LLVMBuildAtomicRMW(em.b, LLVMAtomicRMWBinOpOr, p, set, LLVMAtomicOrderingMonotonic, 0);
}

// W contiguous elements that begin and end with a byte: one load and a shuffle.
static bool whole_bytes(const Buf *b, IExpr *off0) {
  int per = 8 / bits_of(b);
  return em.W % per == 0 && ix_is(ix_modk(off0, per), 0);
}
static V packed_vector(const Buf *b, IExpr *off0) {
  int bits = bits_of(b), per = 8 / bits, n = em.W / per;
  V x = load_at(LLVMVectorType(em.i8, (unsigned)n), address(b, off0), 1), pick[MAX_LANES], shift[MAX_LANES];
  for (int l = 0; l < em.W; l++) pick[l] = k32(l / per), shift[l] = LLVMConstInt(em.i8, (unsigned)(l % per * bits), 0);
  x = LLVMBuildShuffleVector(em.b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(pick, (unsigned)em.W), "");
  return LLVMBuildLShr(em.b, x, LLVMConstVector(shift, (unsigned)em.W), "");
}
static void packed_store_vector(const Buf *b, IExpr *off0, V x) {
  int bits = bits_of(b), per = 8 / bits, n = em.W / per;
  V sum = NULL;
  x = LLVMBuildAnd(em.b, x, const_int(LLVMTypeOf(x), (1 << bits) - 1), "");
  for (int j = 0; j < per; j++) {
    V pick[MAX_LANES];
    for (int i = 0; i < n; i++) pick[i] = k32(i * per + j);
    V part = LLVMBuildShuffleVector(em.b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(pick, (unsigned)n), "");
    part = LLVMBuildShl(em.b, part, const_int(LLVMTypeOf(part), j * bits), "");
    sum = sum ? LLVMBuildOr(em.b, sum, part, "") : part;
  }
  store_at(sum, address(b, off0), 1);
}

/* ---- lanes ---- */

static V offset_lane(const Cells *c, int l) {
  if (!c->offset) return k64(c->stride * l);
  V x = lane_of(c->offset, l);
  return c->elem == em.i32 ? LLVMBuildSExt(em.b, x, em.i64, "") : x;
}

// Splits an offset into an address that all lanes share and what differs.
static Cells cells_of(const Buf *b, IExpr *off) {
  Cells c = {.elem = em.i64};
  if (affine_lane(off, &c.stride)) {
    c.base = address(b, at_lane(off, 0));
    return c;
  }
  IExpr *vary = ix(0);
  for (int i = 0; i < off->n; i++) {
    IExpr *t = term_expr(&off->t[i]);
    if (varies(t)) vary = ix_add(vary, t);
  }
  c.base = address(b, ix_sub(off, vary));
  c.offset = value_lanes(vary, &c.elem);
  return c;
}

static V gather(const Buf *b, IExpr *off, V mask) {
  T t = mem_type(b->dtype);
  V r = LLVMGetPoison(vec_of(t));
  if (bits_of(b) < 8) {
    V o = splat(value_as(off, em.i64));
    for (int l = 0; l < em.W; l++) r = put_lane(r, packed_load(b, lane_of(o, l), mask ? lane_of(mask, l) : NULL), l);
    return r;
  }
  Cells c = cells_of(b, off);
  for (int l = 0; l < em.W; l++)
    r = put_lane(r, guarded(t, gep(t, c.base, offset_lane(&c, l)), mask ? lane_of(mask, l) : NULL, align_of(b)), l);
  return r;
}

static void scatter(const Buf *b, IExpr *off, V x, V mask) {
  T t = mem_type(b->dtype);
  x = splat(x);
  if (bits_of(b) < 8) {
    V o = splat(value_as(off, em.i64));
    for (int l = 0; l < em.W; l++) packed_store(b, lane_of(o, l), lane_of(x, l), mask ? lane_of(mask, l) : NULL);
    return;
  }
  Cells c = cells_of(b, off);
  for (int l = 0; l < em.W; l++) {
    V p = gep(t, c.base, offset_lane(&c, l));
    if (mask) p = select_of(lane_of(mask, l), p, dump_slot());
    store_at(lane_of(x, l), p, align_of(b));
  }
}

// Lanes two to four apart, in order: whole vectors that cover exactly the elements from the first to the last, and a shuffle.
static V strided(const Buf *b, IExpr *off0, int s) {
  T t = mem_type(b->dtype), vt = vec_of(t);
  int last = (em.W - 1) * s, w = em.W;
  V p = address(b, off0), r = NULL;
  for (int part = 0; part < s; part++) {
    int at = part == s - 1 ? last - w + 1 : part * w; // the last one ends with the last lane
    V x = load_at(vt, gepk(t, p, at), align_of(b)), pick[MAX_LANES];
    if (!r) r = LLVMGetPoison(vt);
    for (int l = 0; l < w; l++) {
      int in = l * s - at;
      bool mine = in >= 0 && in < w && (part == 0 || l * s >= part * w);
      pick[l] = k32(mine ? w + in : l);
    }
    r = LLVMBuildShuffleVector(em.b, r, x, LLVMConstVector(pick, (unsigned)w), "");
  }
  return r;
}

static V masked_load(const Buf *b, V p, V mask, V other) {
  T vt = vec_of(mem_type(b->dtype));
  return intrin("llvm.masked.load", 2, (T[]){vt, em.ptr}, 4, (V[]){p, k32(align_of(b)), mask, other});
}

static bool in_order(IExpr *off, int64_t *s) { return affine_lane(off, s) && em.lane; }

// AVX2 has masked accesses of 32 and 64 bits only; LLVM would make branches of others.
static bool maskable(const Buf *b) { return bits_of(b) >= 32 || em.target->lanes >= 16; }

static V reversed(V x) {
  V pick[MAX_LANES];
  for (int l = 0; l < em.W; l++) pick[l] = k32(em.W - 1 - l);
  return LLVMBuildShuffleVector(em.b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(pick, (unsigned)em.W), "");
}

// The raw elements of all lanes. mask, cond: which lanes, and whether any, are there (NULL: all); where not, zero bits are read.
static V raw_lanes(const Buf *b, IExpr *off, V mask, V cond) {
  int64_t s;
  bool affine = in_order(off, &s), whole = affine && !mask;
  IExpr *off0 = at_lane(off, 0);
  T vt = vec_of(mem_type(b->dtype));
  if (bits_of(b) < 8 && whole && s == 1 && !cond && whole_bytes(b, off0)) return packed_vector(b, off0);
  if (bits_of(b) >= 8 && whole && s == 1) return guarded(vt, address(b, off0), cond, align_of(b));
  if (bits_of(b) >= 8 && whole && s == -1) return reversed(guarded(vt, address(b, at_lane(off, em.W - 1)), cond, align_of(b)));
  if (mask && cond) mask = LLVMBuildAnd(em.b, mask, splat(cond), "");
  else if (cond) mask = splat(cond);
  if (bits_of(b) >= 8 && affine && s == 1 && maskable(b)) return masked_load(b, address(b, off0), mask, LLVMConstNull(vt));
  if (bits_of(b) >= 8 && affine && s >= 2 && s <= 4 && !mask && em.W >= 4 && b->space != SPACE_REG) return strided(b, off0, (int)s);
  return gather(b, off, mask);
}

static V raw_scalar(const Buf *b, IExpr *off, V cond) {
  if (bits_of(b) < 8) return packed_load(b, value(off), cond);
  return guarded(mem_type(b->dtype), address(b, off), cond, align_of(b));
}

/* ---- what expressions and statements ask for ---- */

static V const_ex(const Ex *e) {
  return e->type == DT_F32 || e->type == DT_F64 ? LLVMConstReal(reg_type(e->type), e->f)
                                                : LLVMConstInt(reg_type(e->type), (uint64_t)e->i, 1);
}

static bool plain_zero(const Ex *e) { // is the else value what zero bits mean?
  if (e->buf->dtype == DT_F8E8M0) return false;
  return e->type == DT_F32 || e->type == DT_F64 ? e->f == 0 && !signbit(e->f) : e->i == 0;
}

static V any_lane(V mask) {
  T bits = LLVMIntTypeInContext(em.cx, (unsigned)em.W);
  return icmp(LLVMIntNE, LLVMBuildBitCast(em.b, mask, bits, ""), LLVMConstNull(bits));
}

V load_ex(Ex *e) {
  Buf *b = e->buf;
  IExpr *off = bind(buf_phys(b, e->ix));
  int64_t k;
  if (b->table && ix_const(off, &k)) return const_of(reg_type(e->type), b->table[k]);
  Pred p = pred_of(e->npred, e->pred, false);
  if (p.never) return const_ex(e);
  if (e->cond) {
    V c = ev(e->cond), *to = is_vec(c) ? &p.mask : &p.cond;
    *to = *to ? LLVMBuildAnd(em.b, *to, c, "") : c;
  }
  V active, x;
  if (!varies(off)) {
    active = p.mask ? any_lane(pred_mask(&p)) : p.cond;
    x = widen(b->dtype, raw_scalar(b, off, active));
    if (p.mask) active = pred_mask(&p);
  } else {
    active = p.mask ? pred_mask(&p) : p.cond;
    x = widen(b->dtype, raw_lanes(b, off, p.mask, p.cond));
  }
  return active && (!plain_zero(e) || (p.mask && !is_vec(x))) ? select_of(active, x, const_ex(e)) : x;
}

V load_cell(Buf *b, IExpr *off, V mask) {
  V raw = varies(off) ? raw_lanes(b, off, b->space == SPACE_REG ? NULL : mask, NULL) : raw_scalar(b, off, NULL);
  return widen(b->dtype, raw);
}

void store_cell(Buf *b, IExpr *off, V x, V mask) {
  int64_t s;
  V raw = narrow(b->dtype, x);
  bool affine = in_order(off, &s);
  if (!is_vec(raw) && !mask && !varies(off)) {
    if (bits_of(b) < 8) packed_store(b, value(off), raw, NULL);
    else store_at(raw, address(b, off), align_of(b));
    return;
  }
  if (!affine || s != 1 || (mask && b->space != SPACE_REG && !maskable(b))) {
    scatter(b, off, raw, mask);
    return;
  }
  IExpr *off0 = at_lane(off, 0);
  raw = splat(raw);
  if (bits_of(b) < 8) {
    if (!mask && whole_bytes(b, off0)) packed_store_vector(b, off0, raw);
    else scatter(b, off, raw, mask);
    return;
  }
  V p = address(b, off0);
  if (!mask) store_at(raw, p, align_of(b));
  else if (b->space == SPACE_REG) { // a masked store would keep SROA from promoting
    V old = load_at(LLVMTypeOf(raw), p, align_of(b));
    store_at(select_of(mask, raw, old), p, align_of(b));
  } else intrin("llvm.masked.store", 2, (T[]){LLVMTypeOf(raw), em.ptr}, 4, (V[]){raw, p, k32(align_of(b)), mask});
}

// Words of four bytes that lie one behind the other from each lane's element on.
V load_words(const Buf *b, IExpr *off) {
  if (!varies(off)) return load_at(em.i32, address(b, off), 1);
  Cells c = cells_of(b, off);
  if (!c.offset && c.stride == 4) return load_at(vec_of(em.i32), c.base, 1);
  V r = LLVMGetPoison(vec_of(em.i32));
  for (int l = 0; l < em.W; l++) r = put_lane(r, load_at(em.i32, gep(em.i8, c.base, offset_lane(&c, l)), 1), l);
  return r;
}
