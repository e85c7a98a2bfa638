// special.c - the two loop maps that are no loops in machine code: `dot`, four steps of an 8-bit integer reduce as one word, and `tr`, a
// transposing copy as a network of shuffles. Where the pattern does not hold exactly the caller emits the loops: the results are equal.
#include "emit.h"

/* ---- dot ---- */

static bool byte_load(const Ex *e) { return e->op == S_LOAD && !e->cond && (e->buf->dtype == DT_U8 || e->buf->dtype == DT_I8); }
static bool steps_by_one(const Ex *e, Atom *var) {
  bool affine = true;
  return ix_coef(bind(buf_phys(e->buf, e->ix)), var, &affine) == 1 && affine;
}

static V half(V x, int which, int n) { // of 2n lanes
  V pick[MAX_LANES];
  for (int i = 0; i < n; i++) pick[i] = k32(which * n + i);
  return LLVMBuildShuffleVector(em.b, x, LLVMGetPoison(LLVMTypeOf(x)), LLVMConstVector(pick, (unsigned)n), "");
}
static V join(V a, V b, int n) {
  V pick[MAX_LANES];
  for (int i = 0; i < 2 * n; i++) pick[i] = k32(i);
  return LLVMBuildShuffleVector(em.b, a, b, LLVMConstVector(pick, (unsigned)(2 * n)), "");
}

static V byte_of(V x, int j, bool is_signed) { // of each word
  T t = LLVMTypeOf(x);
  if (is_signed) return LLVMBuildAShr(em.b, LLVMBuildShl(em.b, x, const_int(t, 24 - 8 * j), ""), const_int(t, 24), "");
  return LLVMBuildAnd(em.b, LLVMBuildLShr(em.b, x, const_int(t, 8 * j), ""), const_int(t, 255), "");
}
static V dot_plain(V acc, V a, bool sa, V b, bool sb) {
  for (int j = 0; j < 4; j++) acc = LLVMBuildAdd(em.b, acc, LLVMBuildMul(em.b, byte_of(a, j, sa), byte_of(b, j, sb), ""), "");
  return acc;
}

static V every_other(V x, int odd, bool is_signed) { // bytes of each 16-bit half, widened in place
  V eight = const_int(LLVMTypeOf(x), 8);
  if (!is_signed) return odd ? LLVMBuildLShr(em.b, x, eight, "") : LLVMBuildAnd(em.b, x, const_int(LLVMTypeOf(x), 255), "");
  return LLVMBuildAShr(em.b, odd ? x : LLVMBuildShl(em.b, x, eight, ""), eight, "");
}
// Products of bytes fit 16 bits times 16 bits, pairs of them fit 32: exact, unlike vpmaddubsw, which saturates.
static V dot_madd(V acc, V a, bool sa, V b, bool sb, int n) {
  const char *name = n == 16 ? "llvm.x86.avx512.pmaddw.d.512" : n == 8 ? "llvm.x86.avx2.pmadd.wd" : "llvm.x86.sse2.pmadd.wd";
  T t = LLVMVectorType(em.i16, (unsigned)(2 * n));
  a = LLVMBuildBitCast(em.b, a, t, ""), b = LLVMBuildBitCast(em.b, b, t, "");
  for (int odd = 0; odd < 2; odd++) {
    V p = intrin(name, 0, NULL, 2, (V[]){every_other(a, odd, sa), every_other(b, odd, sb)});
    acc = LLVMBuildAdd(em.b, acc, p, "");
  }
  return acc;
}

static V dot_words(V acc, V a, bool sa, V b, bool sb) {
  if (!is_vec(acc)) return dot_plain(acc, a, sa, b, sb);
  int n = (int)LLVMGetVectorSize(LLVMTypeOf(acc));
  if (n > em.target->lanes && n % 2 == 0) {
    V lo = dot_words(half(acc, 0, n / 2), half(a, 0, n / 2), sa, half(b, 0, n / 2), sb);
    return join(lo, dot_words(half(acc, 1, n / 2), half(a, 1, n / 2), sa, half(b, 1, n / 2), sb), n / 2);
  }
  if (n != 4 && n != 8 && n != 16) return dot_plain(acc, a, sa, b, sb);
  if (!em.target->vnni || sa == sb) return dot_madd(acc, a, sa, b, sb, n);
  return intrin(fmt("llvm.x86.avx512.vpdpbusd.%d", n * 32), 0, NULL, 3, sa ? (V[]){acc, b, a} : (V[]){acc, a, b});
}

// Where the loops around are unrolled, predicates are decided: 1 all hold, -1 one does not (what is read is 0), 0 only the run knows.
static int decided(const Ex *load) {
  int all = 1;
  for (int i = 0; i < load->npred; i++) {
    IExpr *p = bind(load->pred[i]);
    if (ix_upper(p) < 0) return -1;
    if (!ix_prove_ge0(p)) all = 0;
  }
  return all;
}

bool emit_dot(Tree *t) {
  Tree *s = t->body;
  Atom *var = ix_var_of(t->var);
  if (!ix_is(bind(t->ext), 4) || !s || s->next || s->kind != T_STMT || s->combine != C_add || s->npred || s->cond) return false;
  Ex *m = s->val;
  if (s->buf->dtype != DT_I32 || m->op != S_mul || m->type != DT_I32 || !byte_load(m->a[0]) || !byte_load(m->a[1])) return false;
  if (!steps_by_one(m->a[0], var) || !steps_by_one(m->a[1], var)) return false;
  int a = decided(m->a[0]), b = decided(m->a[1]); // for all four steps
  if (a != 1 || b != 1) return a < 0 || b < 0;
  scope_open();
  bind_const(var, 0);
  new_epoch();
  IExpr *off = bind(buf_phys(s->buf, s->ix));
  V acc = load_cell(s->buf, off, NULL), w[2];
  for (int i = 0; i < 2; i++) w[i] = load_words(m->a[i]->buf, bind(buf_phys(m->a[i]->buf, m->a[i]->ix)));
  if (varies(off)) acc = splat(acc), w[0] = splat(w[0]), w[1] = splat(w[1]);
  store_cell(s->buf, off, dot_words(acc, w[0], m->a[0]->buf->dtype == DT_I8, w[1], m->a[1]->buf->dtype == DT_I8), NULL);
  unbind(var);
  scope_close();
  return true;
}

/* ---- transpose: n row vectors, log2(n) rounds of two-source shuffles, n column vectors ---- */

static IExpr *corner(IExpr *e, Atom *row, int64_t i, Atom *lane, int64_t l) {
  return ix_subst(e, 2, (Atom *[]){row, lane}, (IExpr *[]){ix(i), ix(l)});
}

static void rounds(V *r, int n) {
  for (int b = n / 2; b; b /= 2)
    for (int i = 0; i < n; i++) {
      if (i & b) continue;
      V lo[16], hi[16], x = r[i], y = r[i + b];
      for (int j = 0; j < n; j++) lo[j] = k32(j & b ? n + j - b : j), hi[j] = k32(j & b ? n + j : j + b);
      r[i] = LLVMBuildShuffleVector(em.b, x, y, LLVMConstVector(lo, (unsigned)n), "");
      r[i + b] = LLVMBuildShuffleVector(em.b, x, y, LLVMConstVector(hi, (unsigned)n), "");
    }
}

bool emit_transpose(Tree *t) {
  Tree *v = t->body, *c = v && !v->next && v->kind == T_FOR && v->map == MAP_VEC ? v->body : NULL;
  if (!c || c->kind != T_STMT || c->next || c->combine != C_SET || c->npred || c->cond || em.lane) return false;
  if (c->val->op != S_LOAD || c->val->npred || c->val->cond || c->val->buf->dtype != c->buf->dtype || dtypes[c->buf->dtype].bits != 32)
    return false;
  int64_t n, m;
  if (!ix_const(bind(t->ext), &n) || !ix_const(bind(v->ext), &m) || n != m || (n != 4 && n != 8 && n != 16)) return false;
  Atom *row = ix_var_of(t->var), *lane = ix_var_of(v->var);
  IExpr *from = bind(buf_phys(c->val->buf, c->val->ix)), *to = bind(buf_phys(c->buf, c->ix));
  bool affine = true;
  if (ix_coef(from, row, &affine) != 1 || !affine || ix_coef(to, lane, &affine) != 1 || !affine) return false;
  ix_coef(from, lane, &affine);
  ix_coef(to, row, &affine);
  if (!affine) return false;
  V r[16];
  T vt = LLVMVectorType(mem_type(c->buf->dtype), (unsigned)n);
  for (int l = 0; l < n; l++) r[l] = load_at(vt, address(c->val->buf, corner(from, row, 0, lane, l)), 4);
  rounds(r, (int)n);
  for (int i = 0; i < n; i++) store_at(r[i], address(c->buf, corner(to, row, i, lane, 0)), 4);
  return true;
}
