// index.c - index expressions: values, vectors of values over the open vec loop, predicates, loop scopes, lets.
//
// A uniform expression is one i64. Over the lanes of a vec loop it is a vector, of i32 where the ranges prove that nothing on the way can
// leave 32 bits. Terms are added outermost loop first, so that LLVM hoists the prefixes.
#include "emit.h"
#include <string.h>

// A let of the kernel in this function
typedef struct Let {
  Atom *atom;
  int nvar, cvar, ninner, cinner;
  Atom **var;        // loop variables that its value depends on
  Atom **inner;      // lets inside its definition
  bool stable;       // loads only what this kernel never writes: may be computed early
  int serial, epoch; // of the scope, or statement, in which value and bad are right
  int checks;        // em.checks of the statement that has it, and what is inside it, on its list
  V value, raw, bad; // clamped; as computed; out of range (NULL: cannot be or does not matter)
} Let;
struct Checked {
  Let *let;
};

/* ---- scopes and variables ---- */

void scope_open(void) {
  if (++em.depth == MAX_DEPTH) bug("loops nested %d deep", MAX_DEPTH);
  Scope *s = &em.scope[em.depth];
  *s = (Scope){.serial = ++em.serial};
  if (!em.hoists) return;
  Block body = new_block("");
  s->head = LLVMGetInsertBlock(em.b);
  LLVMBuildBr(em.b, body);
  LLVMPositionBuilderAtEnd(em.b, body);
}
void scope_close(void) { em.depth--; }

void bind_const(Atom *a, int64_t v) {
  em.nconst += a->bound != CONSTANT;
  a->bound = CONSTANT, a->val = v, a->v = (void *)(intptr_t)em.depth;
}
void bind_value(Atom *a, V v) { a->bound = VALUE, a->v = v, a->val = em.depth; }
void unbind(Atom *a) {
  em.nconst -= a->bound == CONSTANT;
  a->bound = UNBOUND;
}
static int var_depth(const Atom *a) { return a->bound == VALUE ? (int)a->val : a->bound == CONSTANT ? (int)(intptr_t)a->v : 0; }

static IExpr *constant_of(Atom *a, void *u) {
  (void)u;
  return a->kind == ATOM_VAR && a->bound == CONSTANT ? ix(a->val) : NULL;
}
IExpr *bind(IExpr *e) { return em.nconst && e->n ? ix_map(e, constant_of, NULL) : e; }

static IExpr *lane_to(Atom *a, void *u) { return a == em.lane ? ix(*(int64_t *)u) : NULL; }
IExpr *at_lane(IExpr *e, int64_t l) { return em.lane ? ix_map(e, lane_to, &l) : e; }

/* ---- what an expression depends on ---- */

static void let_atom(Atom *a, void *u) {
  Let *l = u;
  if (a->kind == ATOM_LET) PUSH(l->inner, l->ninner, l->cinner, a);
  if (a->kind != ATOM_VAR) return;
  for (int i = 0; i < l->nvar; i++)
    if (l->var[i] == a) return;
  PUSH(l->var, l->nvar, l->cvar, a);
}
static void let_node(Ex *e, void *u) {
  Let *l = u;
  int rank = e->op == S_LOAD ? e->buf->rank : e->op == S_IX;
  if (e->op == S_LOAD && (e->buf->kind == BUF_TEMP || em.written[e->buf->id])) l->stable = false;
  for (int i = 0; i < rank; i++) ix_atoms(e->ix[i], let_atom, l);
  for (int i = 0; i < e->npred; i++) ix_atoms(e->pred[i], let_atom, l);
}
static Let *let_of(Atom *a) {
  if (a->bound == em.serial_fn) return a->v;
  Let *l = NEW(Let);
  LetDef *d = a->def;
  l->atom = a, l->stable = true;
  ex_walk(d->value, let_node, l);
  if (d->limit) ix_atoms(d->limit, let_atom, l);
  a->bound = em.serial_fn, a->v = l;
  return l;
}
static int let_level(const Let *l) {
  int d = 0;
  for (int i = 0; i < l->nvar; i++)
    if (var_depth(l->var[i]) > d) d = var_depth(l->var[i]);
  return d;
}
static bool let_varies(const Let *l) {
  for (int i = 0; i < l->nvar; i++)
    if (l->var[i] == em.lane) return true;
  return false;
}

static bool atom_varies(Atom *a) {
  switch (a->kind) {
  case ATOM_VAR: return a == em.lane;
  case ATOM_LET: return let_varies(let_of(a));
  case ATOM_SYM:
  case ATOM_FLOAT: return false;
  default: return varies(a->a) || (a->b && varies(a->b));
  }
}
static bool term_varies(const Term *t) {
  for (int i = 0; i < t->nfac; i++)
    if (atom_varies(t->fac[i])) return true;
  return false;
}
bool varies(IExpr *e) {
  if (!em.lane) return false;
  for (int i = 0; i < e->n; i++)
    if (term_varies(&e->t[i])) return true;
  return false;
}
static bool let_inside(IExpr *e) { // a let that varies
  for (int i = 0; i < e->n; i++)
    for (int j = 0; j < e->t[i].nfac; j++) {
      Atom *a = e->t[i].fac[j];
      if (a->kind == ATOM_LET ? let_varies(let_of(a))
                              : a->kind > ATOM_LET && a->kind != ATOM_FLOAT && (let_inside(a->a) || (a->b && let_inside(a->b))))
        return true;
    }
  return false;
}
bool affine_lane(IExpr *e, int64_t *stride) {
  bool affine = true;
  *stride = em.lane ? ix_coef(e, em.lane, &affine) : 0;
  return affine && !(em.lane && let_inside(e));
}

static int atom_level(Atom *a) {
  switch (a->kind) {
  case ATOM_VAR: return var_depth(a);
  case ATOM_LET: return let_of(a)->stable ? let_level(let_of(a)) : em.depth;
  case ATOM_SYM:
  case ATOM_FLOAT: return 0;
  default: {
    int x = level(a->a), y = a->b ? level(a->b) : 0;
    return x > y ? x : y;
  }
  }
}
static int term_level(const Term *t) {
  int d = 0;
  for (int i = 0; i < t->nfac; i++) {
    int x = atom_level(t->fac[i]);
    if (x > d) d = x;
  }
  return d;
}
int level(IExpr *e) {
  int d = 0;
  for (int i = 0; i < e->n; i++) {
    int x = term_level(&e->t[i]);
    if (x > d) d = x;
  }
  return d;
}

/* ---- how large what is computed on the way can get ---- */

static int64_t sat_add(int64_t a, int64_t b) { return a > IX_INF - b ? IX_INF : a + b; } // both in 0..IX_INF
static int64_t sat_mul(int64_t a, int64_t b) { return b && a > IX_INF / b ? IX_INF : a * b; }
static int64_t size_of(int64_t v) { return v <= -IX_INF || v >= IX_INF ? IX_INF : v < 0 ? -v : v; }

static int64_t atom_bound(Atom *a, int64_t *worst) {
  int64_t own = size_of(a->lo) > size_of(a->hi) ? size_of(a->lo) : size_of(a->hi);
  if (a->kind > ATOM_LET && a->kind != ATOM_FLOAT)
    for (int i = 0; i < 2; i++) {
      IExpr *x = i ? a->b : a->a;
      int64_t inside = x ? saturating_bound(x) : 0;
      if (inside > *worst) *worst = inside;
    }
  return own;
}
int64_t saturating_bound(IExpr *e) {
  int64_t sum = size_of(e->k), worst = 0;
  for (int i = 0; i < e->n; i++) {
    int64_t p = size_of(e->t[i].coef);
    for (int j = 0; j < e->t[i].nfac; j++) p = sat_mul(p, atom_bound(e->t[i].fac[j], &worst));
    sum = sat_add(sum, p);
  }
  return sum > worst ? sum : worst;
}

/* ---- arithmetic; host code saturates at +-IX_INF like the algebra does, kernels know that they cannot get there ---- */

static V clamp(V x) { return intrin2("llvm.smax", intrin2("llvm.smin", x, k64(IX_INF)), k64(-IX_INF)); }
static V add_index(V a, V b) {
  match(&a, &b);
  V r = LLVMBuildAdd(em.b, a, b, "");
  return em.saturate ? clamp(r) : r;
}
static V mul_index(V a, V b) {
  match(&a, &b);
  if (!em.saturate || LLVMIsAConstantInt(a) || LLVMIsAConstantInt(b)) {
    V one = LLVMIsAConstantInt(a) ? a : b;
    if (LLVMIsAConstantInt(one) && LLVMConstIntGetSExtValue(one) == 1) return one == a ? b : a;
    if (!em.saturate) return LLVMBuildMul(em.b, a, b, "");
  }
  V both = intrin("llvm.smul.with.overflow", 1, &em.i64, 2, (V[]){a, b});
  V negative = icmp(LLVMIntSLT, LLVMBuildXor(em.b, a, b, ""), k64(0));
  V limit = select_of(negative, k64(-IX_INF), k64(IX_INF));
  return select_of(LLVMBuildExtractValue(em.b, both, 1, ""), limit, clamp(LLVMBuildExtractValue(em.b, both, 0, "")));
}

// Floor division of what may be negative by what may be anything: x/0 is 0.
static V floor_div(V a, V b, IExpr *xa, IExpr *xb) {
  match(&a, &b);
  T t = LLVMTypeOf(a);
  V zero = LLVMConstNull(t), none = NULL;
  if (xb->lo <= 0 && xb->hi >= 0) {
    none = icmp(LLVMIntEQ, b, zero);
    b = select_of(none, const_int(t, 1), b);
  }
  V q;
  if (xa->lo >= 0 && xb->lo >= 0) q = LLVMBuildUDiv(em.b, a, b, "");
  else {
    q = LLVMBuildSDiv(em.b, a, b, "");
    V r = LLVMBuildSub(em.b, a, LLVMBuildMul(em.b, q, b, ""), "");
    V inexact = icmp(LLVMIntNE, r, zero), unlike = icmp(LLVMIntSLT, LLVMBuildXor(em.b, r, b, ""), zero);
    q = LLVMBuildAdd(em.b, q, LLVMBuildSExt(em.b, LLVMBuildAnd(em.b, inexact, unlike, ""), t, ""), "");
  }
  return none ? select_of(none, zero, q) : q;
}
static V div_const(V a, int64_t k, IExpr *xa) {
  T t = LLVMTypeOf(a);
  if (k == 1) return a;
  if (!(k & (k - 1))) return LLVMBuildAShr(em.b, a, const_int(t, __builtin_ctzll((uint64_t)k)), "");
  if (xa->lo >= 0) return LLVMBuildUDiv(em.b, a, const_int(t, k), "");
  return floor_div(a, const_int(t, k), xa, ix(k));
}

/* ---- values ---- */

static V poly(IExpr *e, T t);
static V to_elem(V x, T t) { // a uniform i64, or a vector, as elements of t
  T from = is_vec(x) ? LLVMGetElementType(LLVMTypeOf(x)) : LLVMTypeOf(x), to = like(t, x);
  if (from == t) return x;
  return t == em.i64 ? LLVMBuildSExt(em.b, x, to, "") : LLVMBuildTrunc(em.b, x, to, "");
}
static void match_elem(V *a, V *b, T t) { // one of them a vector of t: so becomes the other
  if (is_vec(*a) && !is_vec(*b)) *b = to_elem(*b, t);
  if (is_vec(*b) && !is_vec(*a)) *a = to_elem(*a, t);
  match(a, b);
}
static V iota(T t) {
  V c[MAX_LANES];
  for (int l = 0; l < em.W; l++) c[l] = LLVMConstInt(t, (uint64_t)l, 0);
  return LLVMConstVector(c, (unsigned)em.W);
}
static Let *let_use(Atom *a);

static V atom_value(Atom *a, T t) {
  int64_t k;
  switch (a->kind) {
  case ATOM_SYM: return symbol_value(a);
  case ATOM_FLOAT: return float_value(a);
  case ATOM_VAR:
    if (a == em.lane) return iota(t);
    if (a->bound == CONSTANT) return k64(a->val);
    if (a->bound != VALUE) bug("variable %s is used outside its loop", a->name);
    return a->v;
  case ATOM_LET: {
    V v = let_use(a)->value;
    return is_vec(v) ? to_elem(v, t) : to_elem(v, em.i64);
  }
  case ATOM_DIV: {
    V x = poly(a->a, t);
    if (ix_const(a->b, &k) && k > 0) return div_const(x, k, a->a);
    V y = poly(a->b, t);
    match_elem(&x, &y, t);
    return floor_div(x, y, a->a, a->b);
  }
  case ATOM_RELU: {
    V x = poly(a->a, t);
    return intrin2("llvm.smax", x, LLVMConstNull(LLVMTypeOf(x)));
  }
  case ATOM_GE0: {
    V x = poly(a->a, t);
    return LLVMBuildZExt(em.b, icmp(LLVMIntSGE, x, LLVMConstNull(LLVMTypeOf(x))), LLVMTypeOf(x), "");
  }
  case ATOM_BCAST: {
    V x = poly(a->a, t), y = poly(a->b, t);
    match_elem(&x, &y, t);
    return select_of(icmp(LLVMIntEQ, x, const_int(LLVMTypeOf(x), 1)), y, x);
  }
  }
  bug("atom kind %d", a->kind);
}

static V term_value(const Term *m, T t) { // uniform factors first
  V uni = m->coef == 1 ? NULL : k64(m->coef), vec = NULL;
  for (int i = 0; i < m->nfac; i++) {
    V x = atom_value(m->fac[i], t);
    if (is_vec(x)) vec = vec ? mul_index(vec, x) : x;
    else uni = uni ? mul_index(uni, x) : x;
  }
  if (!vec) return uni;
  return uni ? mul_index(vec, to_elem(uni, t)) : vec;
}

static V poly(IExpr *e, T t) {
  V uni = NULL, vec = NULL;
  for (int d = 0; d <= em.depth && e->n; d++)
    for (int i = 0; i < e->n; i++) {
      if (term_level(&e->t[i]) != d) continue;
      V x = term_value(&e->t[i], t);
      if (is_vec(x)) vec = vec ? add_index(vec, x) : x;
      else uni = uni ? add_index(uni, x) : x;
    }
  if (e->k || !(uni || vec)) uni = uni ? add_index(uni, k64(e->k)) : k64(e->k);
  if (!vec) return uni;
  return uni ? add_index(vec, to_elem(uni, t)) : vec;
}

V value(IExpr *e) {
  em.saturate = em.host && saturating_bound(e) >= IX_INF;
  V v = poly(e, em.i64);
  em.saturate = false;
  if (is_vec(v)) bug("%s differs between lanes", ix_str(e));
  return v;
}
V value_lanes(IExpr *e, T *elem) {
  *elem = saturating_bound(e) <= INT32_MAX ? em.i32 : em.i64;
  V v = poly(e, *elem);
  if (!is_vec(v)) *elem = em.i64;
  return v;
}
V value_as(IExpr *e, T t) {
  T elem;
  e = bind(e);
  V v = value_lanes(e, &elem);
  return to_elem(v, t);
}

/* ---- predicates ---- */

static V lane_mask(IExpr *e) { // e >= 0, lane by lane
  int64_t s;
  T elem;
  if (affine_lane(e, &s) && size_of(s) < IX_INF / MAX_LANES && size_of(s) * em.W < 1 << 30) { // one scalar against constants
    IExpr *e0 = at_lane(e, 0);
    V x = value(e0), c[MAX_LANES];
    if (e0->lo < INT32_MIN || e0->hi > INT32_MAX) x = intrin2("llvm.smax", intrin2("llvm.smin", x, k64(1 << 30)), k64(-(1 << 30)));
    for (int l = 0; l < em.W; l++) c[l] = k32(-s * l);
    return icmp(LLVMIntSGE, splat(LLVMBuildTrunc(em.b, x, em.i32, "")), LLVMConstVector(c, (unsigned)em.W));
  }
  V x = value_lanes(e, &elem);
  return icmp(LLVMIntSGE, x, LLVMConstNull(LLVMTypeOf(x)));
}

static bool known(IExpr *e) {
  if (ix_prove_ge0(e)) return true;
  for (int i = 0; i < em.nfact; i++)
    if (em.fact[i] == e) return true;
  return false;
}

Pred pred_of(int n, IExpr *const *p, bool learn) {
  Pred r = {0};
  for (int i = 0; i < n; i++) {
    IExpr *e = bind(p[i]);
    if (known(e)) continue;
    if (ix_prove_ge0(ix_addk(ix_scale(e, -1), -1))) return (Pred){.never = true};
    if (varies(e)) {
      V m = lane_mask(e);
      r.mask = r.mask ? LLVMBuildAnd(em.b, r.mask, m, "") : m;
      continue;
    }
    V c = icmp(LLVMIntSGE, value(e), k64(0));
    r.cond = r.cond ? LLVMBuildAnd(em.b, r.cond, c, "") : c;
    if (learn && em.nfact < (int)(sizeof em.fact / sizeof *em.fact)) em.fact[em.nfact++] = e;
  }
  return r;
}
V pred_mask(const Pred *p) {
  if (!p->cond) return p->mask;
  return p->mask ? LLVMBuildAnd(em.b, p->mask, splat(p->cond), "") : splat(p->cond);
}

/* ---- lets ---- */

static void let_compute(Let *l) {
  LetDef *d = l->atom->def;
  V x = ev(d->value);
  T elem = is_vec(x) ? LLVMGetElementType(LLVMTypeOf(x)) : LLVMTypeOf(x);
  bool narrow_range = size_of(l->atom->lo) <= INT32_MAX && size_of(l->atom->hi) <= INT32_MAX;
  T t = is_vec(x) && elem == em.i32 && narrow_range ? em.i32 : em.i64;
  x = to_elem(x, t);
  V lo = k64(l->atom->lo), hi = k64(l->atom->hi);
  if (d->limit) hi = LLVMBuildSub(em.b, value_as(d->limit, em.i64), k64(1), "");
  if (is_vec(x)) lo = to_elem(lo, t), hi = to_elem(hi, t);
  l->raw = x;
  l->value = intrin2("llvm.smax", intrin2("llvm.smin", x, hi), lo);
  l->bad = d->site < 0 ? NULL : icmp(LLVMIntNE, l->value, x);
}

// Computes a let at the head of the innermost loop that binds its variables: facts of the statement do not hold there.
static void let_hoist(Let *l, int d) {
  Block here = LLVMGetInsertBlock(em.b);
  Emit was = em;
  if (em.lane && em.lane->val > d) em.lane = NULL;
  if (em.scope[d].head) LLVMPositionBuilderBefore(em.b, LLVMGetBasicBlockTerminator(em.scope[d].head));
  em.depth = d, em.nfact = 0, em.saturate = false;
  new_epoch();
  let_compute(l);
  em.lane = was.lane, em.depth = was.depth, em.nfact = was.nfact, em.epoch = was.epoch, em.saturate = was.saturate;
  if (!em.scope[d].head) return;
  V end = LLVMGetBasicBlockTerminator(here); // there is one if this let was asked for by another that is being hoisted
  if (end) LLVMPositionBuilderBefore(em.b, end);
  else LLVMPositionBuilderAtEnd(em.b, here);
}
static void let_in_place(Let *l) { // it reads what the kernel writes: right for this statement only
  int epoch = em.epoch;
  bool saturate = em.saturate;
  em.saturate = false;
  new_epoch();
  let_compute(l);
  em.epoch = epoch, em.saturate = saturate;
}

void new_checks(void) { em.nchecked = 0, em.checks++; }
static void let_check(Let *l) { // once for a statement: in a chain of lets each may use the one before it many times
  if (l->checks == em.checks) return;
  l->checks = em.checks;
  if (l->bad) PUSH(em.checked, em.nchecked, em.cchecked, (Checked){l});
  for (int i = 0; i < l->ninner; i++) let_use(l->inner[i]);
}
static Let *let_use(Atom *a) {
  Let *l = let_of(a);
  int d = let_level(l);
  if (l->stable) {
    if (l->serial != em.scope[d].serial) let_hoist(l, d), l->serial = em.scope[d].serial;
  } else if (l->epoch != em.epoch) {
    int epoch = em.epoch;
    let_in_place(l);
    l->epoch = epoch;
  }
  let_check(l);
  return l;
}

// A let counts wherever its statement stores, whether or not the load that uses it is masked off there.
typedef struct Atoms {
  Atom **x;
  int n, c;
} Atoms;
static void find_checked(Atom *a, void *u) {
  Atoms *l = u;
  if (a->kind == ATOM_LET && ((LetDef *)a->def)->site >= 0) PUSH(l->x, l->n, l->c, a);
}
static void find_in_node(Ex *e, void *u) {
  int rank = e->op == S_LOAD ? e->buf->rank : e->op == S_IX;
  for (int i = 0; i < rank; i++) ix_atoms(e->ix[i], find_checked, u);
  for (int i = 0; i < e->npred; i++) ix_atoms(e->pred[i], find_checked, u);
}
static void find_in_index(IExpr *e, Atoms *l) {
  ix_atoms(e, find_checked, l);
  ex_walk_index(e, find_in_node, l);
}
void use_lets(const Tree *t) {
  Atoms l = {0};
  if (!em.hoists) return;
  ex_walk(t->val, find_in_node, &l);
  if (t->cond) ex_walk_more(t->cond, find_in_node, &l);
  for (int i = 0; i < t->buf->rank; i++) find_in_index(t->ix[i], &l);
  for (int i = 0; i < t->npred; i++) find_in_index(t->pred[i], &l);
  for (int i = 0; i < l.n; i++) let_use(l.x[i]);
}

/* ---- reporting ---- */

static V fault_fn(void) {
  V f = runtime_fn("fault", em.none, 4, (T[]){em.ptr, em.i32, em.i64, em.i64});
  set_enum_attr(f, "cold", 0);
  return f;
}

// faults(frame, site, bits, pos[], value[]): a report for every bit that is set. One per module, far from the hot code.
static V faults_fn(void) {
  V f = LLVMGetNamedFunction(em.mod, "faults"), outer = em.fn;
  if (f) return f;
  Block here = LLVMGetInsertBlock(em.b);
  f = em.fn = LLVMAddFunction(em.mod, "faults", LLVMFunctionType(em.none, (T[]){em.ptr, em.i32, em.i64, em.ptr, em.ptr}, 5, 0));
  LLVMSetLinkage(f, LLVMInternalLinkage);
  const char *attrs[] = {"cold", "noinline", "nounwind"};
  for (int i = 0; i < 3; i++) set_enum_attr(f, attrs[i], 0);
  Block entry = new_block("entry"), test = new_block("test"), body = new_block("body"), done = new_block("done");
  LLVMPositionBuilderAtEnd(em.b, entry);
  LLVMBuildBr(em.b, test);
  LLVMPositionBuilderAtEnd(em.b, test);
  V bits = LLVMBuildPhi(em.b, em.i64, "");
  LLVMBuildCondBr(em.b, icmp(LLVMIntNE, bits, k64(0)), body, done);
  LLVMPositionBuilderAtEnd(em.b, body);
  V l = intrin("llvm.cttz", 1, &em.i64, 2, (V[]){bits, LLVMConstInt(em.i1, 1, 0)});
  V pos = load_at(em.i64, gep(em.i64, LLVMGetParam(f, 3), l), 8), val = load_at(em.i64, gep(em.i64, LLVMGetParam(f, 4), l), 8);
  call_fn(fault_fn(), 4, (V[]){LLVMGetParam(f, 0), LLVMGetParam(f, 1), pos, val});
  V rest = LLVMBuildAnd(em.b, bits, LLVMBuildSub(em.b, bits, k64(1), ""), "");
  LLVMBuildBr(em.b, test);
  LLVMAddIncoming(bits, (V[]){LLVMGetParam(f, 2), rest}, (Block[]){entry, body}, 2);
  LLVMPositionBuilderAtEnd(em.b, done);
  LLVMBuildRetVoid(em.b);
  em.fn = outer;
  LLVMPositionBuilderAtEnd(em.b, here);
  return f;
}

static V mask_bits(V m) { // as an i64
  V b = LLVMBuildBitCast(em.b, m, LLVMIntTypeInContext(em.cx, LLVMGetVectorSize(LLVMTypeOf(m))), "");
  return LLVMBuildZExtOrBitCast(em.b, b, em.i64, "");
}
static V spill(V x) { // i64 lanes to memory
  V p = entry_alloca(em.i64, em.W, 8);
  store_at(splat(to_elem(x, em.i64)), p, 8);
  return p;
}
static Ex *first_load(Ex *e) {
  if (e->op == S_LOAD) return e;
  for (int i = 0; i < 3; i++) {
    Ex *r = e->a[i] ? first_load(e->a[i]) : NULL;
    if (r) return r;
  }
  return NULL;
}
static V position(const Let *l) { // where the value came from: independent of who reports it, as in the interpreter
  Ex *e = first_load(((LetDef *)l->atom->def)->value);
  return e ? value_as(buf_phys(e->buf, e->ix), em.i64) : k64(0);
}

void report_lets(V mask) {
  int n = em.nchecked;
  if (!n) return;
  V any = NULL;
  bool lanes = mask != NULL;
  for (int i = 0; i < n; i++) {
    V bad = em.checked[i].let->bad;
    lanes |= is_vec(bad);
    if (any) match(&any, &bad);
    any = any ? LLVMBuildOr(em.b, any, bad, "") : bad;
  }
  if (lanes) any = splat(any);
  if (mask) any = LLVMBuildAnd(em.b, any, mask, "");
  Block cold = new_block("bad"), next = new_block("");
  V test = is_vec(any) ? icmp(LLVMIntNE, mask_bits(any), k64(0)) : any;
  LLVMBuildCondBr(em.b, test, cold, next);
  LLVMPositionBuilderAtEnd(em.b, cold);
  for (int i = 0; i < n; i++) {
    Let *l = em.checked[i].let;
    V site = k32(((LetDef *)l->atom->def)->site), pos = position(l), bad = l->bad;
    if (!em.lane) {
      Block yes = new_block(""), no = new_block("");
      LLVMBuildCondBr(em.b, bad, yes, no);
      LLVMPositionBuilderAtEnd(em.b, yes);
      call_fn(fault_fn(), 4, (V[]){em.frame, site, pos, to_elem(l->raw, em.i64)});
      LLVMBuildBr(em.b, no);
      LLVMPositionBuilderAtEnd(em.b, no);
      continue;
    }
    bad = splat(bad);
    if (mask) bad = LLVMBuildAnd(em.b, bad, mask, "");
    call_fn(faults_fn(), 5, (V[]){em.frame, site, mask_bits(bad), spill(pos), spill(l->raw)});
  }
  LLVMBuildBr(em.b, next);
  LLVMPositionBuilderAtEnd(em.b, next);
}
