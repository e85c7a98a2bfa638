// iexpr.c - the integer algebra's normal form: interned polynomials over interned atoms. Ranges and proofs are in iexpr_range.c, walks
// and evaluation in iexpr_walk.c, facts in iexpr_facts.c, text in iexpr_text.c, float trees in ftree.c.
//
// The laws of the normal form (each is beside its code):
//   sums and products multiply out; equal products are one term; [x >= 0] is idempotent
//   (c*a + r)/c = a + r/c                   the constant of a numerator lies in 0..c-1, its gcd with c is divided out
//   (x/a + y)/b = (x + a*y)/(a*b)           chains of strides become one quotient
//   floor(-x/c) = -((x + c-1)/c)            one sign
//   relu(k*d) = k*relu(d), relu(-d) = relu(d) - d, [k*d + r >= 0] = [d + r/k >= 0], [-d >= 0] = 1 - [d-1 >= 0]
//   what its range decides is decided
#include "iexpr_internal.h"
#include <stdlib.h>
#include <string.h>

uint32_t ix_epoch = 1;
IExpr **ix_all;
Atom **ix_atoms_all;
int ix_nall, ix_natoms;
static int call, catoms, next_id;

static IExpr **exprs; // hash tables with chains; sizes are powers of two
static Atom **atoms;
typedef struct Mono {
  struct Mono *chain;
  uint64_t hash;
  int n;
  Atom *fac[];
} Mono;
static Mono **monos;
static size_t exprs_size, atoms_size, monos_size, monos_used;
enum { SMALL_MIN = -64, SMALL_MAX = 1024 };
static IExpr *small[SMALL_MAX - SMALL_MIN]; // constants, found without hashing

static void reset(void) {
  exprs = NULL, atoms = NULL, monos = NULL;
  memset(small, 0, sizeof small);
  exprs_size = atoms_size = monos_size = monos_used = 0;
  ix_all = NULL, ix_atoms_all = NULL;
  ix_nall = ix_natoms = call = catoms = next_id = 0;
  ix_proof = NULL;
  ix_epoch++;
}

static void start(void) {
  at_reset(reset);
  exprs_size = 1 << 14, atoms_size = 1 << 12, monos_size = 1 << 12;
  exprs = NEWN(IExpr *, exprs_size), atoms = NEWN(Atom *, atoms_size), monos = NEWN(Mono *, monos_size);
}

/* ---- checked numbers ---- */

jmp_buf *ix_proof;

// Within a proof, which may form larger numbers than the program has, a limit only ends the proof.
static void end_proof(void) {
  if (ix_proof) longjmp(*ix_proof, 1);
}
bool ix_try(void (*f)(void *), void *u) {
  jmp_buf here, *volatile outer = ix_proof;
  volatile bool whole = false;
  ix_proof = &here;
  if (_setjmp(here) == 0) {
    f(u);
    whole = true;
  }
  ix_proof = outer;
  return whole;
}
static _Noreturn void overflow(void) {
  end_proof();
  fail(EXIT_LIMIT, "limit.overflow", NOWHERE, "a size or index needs more than 64 bits");
}
static _Noreturn void too_many_terms(void) {
  end_proof();
  fail(EXIT_LIMIT, "limit.expression", NOWHERE, "a size has more than %d terms", TERMS_MAX);
}
static int64_t add_k(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_add_overflow(a, b, &r)) overflow();
  return r;
}
static int64_t mul_k(int64_t a, int64_t b) {
  int64_t r;
  if (__builtin_mul_overflow(a, b, &r)) overflow();
  return r;
}
int64_t floor_div(int64_t a, int64_t b) { return b ? a / b - (a % b != 0 && (a < 0) != (b < 0)) : 0; }
int64_t saturate(__int128 x) { return x > IX_INF ? IX_INF : x < -IX_INF ? -IX_INF : (int64_t)x; }
static int64_t gcd(int64_t a, int64_t b) {
  uint64_t x = a < 0 ? -(uint64_t)a : (uint64_t)a, y = b < 0 ? -(uint64_t)b : (uint64_t)b;
  while (y) {
    uint64_t r = x % y;
    x = y, y = r;
  }
  return x > INT64_MAX ? 1 : (int64_t)x;
}
static uint64_t mix(uint64_t h, uint64_t x) {
  h = (h ^ x) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

/* ---- products of atoms ---- */

int mono_cmp(const Term *a, const Term *b) {
  if (a->fac == b->fac) return 0;
  if (a->nfac != b->nfac) return a->nfac < b->nfac ? -1 : 1;
  for (int i = 0; i < a->nfac; i++)
    if (a->fac[i] != b->fac[i]) return a->fac[i]->id < b->fac[i]->id ? -1 : 1;
  return 0;
}

static void grow_monos(void) {
  Mono **old = monos;
  size_t n = monos_size;
  monos_size *= 2;
  monos = NEWN(Mono *, monos_size);
  for (size_t i = 0; i < n; i++)
    for (Mono *m = old[i], *next; m; m = next) {
      next = m->chain;
      m->chain = monos[m->hash & (monos_size - 1)];
      monos[m->hash & (monos_size - 1)] = m;
    }
}

static Atom **mono(Atom *const *fac, int n) {
  if (n == 1) return &fac[0]->self;
  uint64_t h = (uint64_t)n;
  for (int i = 0; i < n; i++) h = mix(h, (uint64_t)fac[i]->id);
  for (Mono *m = monos[h & (monos_size - 1)]; m; m = m->chain)
    if (m->hash == h && m->n == n && memcmp(m->fac, fac, sizeof *fac * (size_t)n) == 0) return m->fac;
  if (monos_used++ > monos_size) grow_monos();
  Mono *m = mem(sizeof(Mono) + sizeof *fac * (size_t)n);
  *m = (Mono){monos[h & (monos_size - 1)], h, n};
  memcpy(m->fac, fac, sizeof *fac * (size_t)n);
  monos[h & (monos_size - 1)] = m;
  return m->fac;
}

static Term term_product(const Term *a, const Term *b) {
  Atom *fac[a->nfac + b->nfac + 1];
  int n = 0, i = 0, j = 0;
  if (a->nfac + b->nfac > 64) fail(EXIT_LIMIT, "limit.expression", NOWHERE, "a size is a product of more than 64 factors");
  while (i < a->nfac || j < b->nfac) {
    Atom *f = j == b->nfac || (i < a->nfac && a->fac[i]->id <= b->fac[j]->id) ? a->fac[i++] : b->fac[j++];
    if (f->kind != ATOM_GE0 || n == 0 || fac[n - 1] != f) fac[n++] = f;
  }
  return (Term){mul_k(a->coef, b->coef), n, mono(fac, n)};
}

/* ---- sums ---- */

static void grow_exprs(void) {
  IExpr **old = exprs;
  size_t n = exprs_size;
  exprs_size *= 4;
  exprs = NEWN(IExpr *, exprs_size);
  for (size_t i = 0; i < n; i++)
    for (IExpr *e = old[i], *next; e; e = next) {
      next = e->chain;
      uint64_t h = mix(17, (uint64_t)e->k);
      for (int j = 0; j < e->n; j++) h = mix(h + (uint64_t)e->t[j].coef, (uintptr_t)e->t[j].fac);
      e->chain = exprs[h & (exprs_size - 1)];
      exprs[h & (exprs_size - 1)] = e;
    }
}

static IExpr *make(const Term *t, int n, int64_t k) {
  if (n > TERMS_MAX) too_many_terms();
  IExpr *e = NEW(IExpr);
  *e = (IExpr){.id = ++next_id, .n = n, .k = k, .t = n ? mem_copy(t, sizeof *t * (size_t)n) : NULL};
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < t[i].nfac; j++) {
      Atom *v = t[i].fac[j]->newest;
      if (v && (!e->newest || v->id > e->newest->id)) e->newest = v;
    }
    AtomKind kind = t[i].fac[0]->kind;
    e->hard |= t[i].nfac == 1 && (kind == ATOM_DIV || kind == ATOM_RELU);
  }
  cheap_range(e);
  return e;
}

// Terms are sorted, distinct and not zero.
static IExpr *poly(const Term *t, int n, int64_t k) {
  if (!exprs) start();
  uint64_t h = mix(17, (uint64_t)k);
  for (int i = 0; i < n; i++) h = mix(h + (uint64_t)t[i].coef, (uintptr_t)t[i].fac);
  for (IExpr *e = exprs[h & (exprs_size - 1)]; e; e = e->chain) {
    if (e->k != k || e->n != n) continue;
    int i = 0;
    while (i < n && e->t[i].fac == t[i].fac && e->t[i].coef == t[i].coef) i++;
    if (i == n) return e;
  }
  IExpr *e = make(t, n, k);
  if ((size_t)ix_nall > exprs_size) grow_exprs();
  PUSH(ix_all, ix_nall, call, e);
  e->chain = exprs[h & (exprs_size - 1)]; // make() may have interned others
  return exprs[h & (exprs_size - 1)] = e;
}

IExpr *ix(int64_t k) {
  if (k < SMALL_MIN || k >= SMALL_MAX) return poly(NULL, 0, k);
  IExpr **e = &small[k - SMALL_MIN];
  return *e ? *e : (*e = poly(NULL, 0, k));
}
IExpr *one_term(Term t) { return poly(&t, 1, 0); }
IExpr *ix_atom(Atom *a) { return a->expr ? a->expr : (a->expr = poly(&(Term){1, 1, &a->self}, 1, 0)); }

int merge_terms(const Term *a, int na, const Term *b, int nb, int64_t c, Term *out) {
  int n = 0, i = 0, j = 0;
  while (i < na || j < nb) {
    int o = i == na ? 1 : j == nb ? -1 : mono_cmp(&a[i], &b[j]);
    if (o < 0) out[n++] = a[i++];
    else {
      out[n] = b[j];
      out[n].coef = mul_k(b[j++].coef, c);
      if (o == 0) out[n].coef = add_k(out[n].coef, a[i++].coef);
      n += out[n].coef != 0;
    }
  }
  return n;
}

IExpr *axpy(IExpr *a, int64_t c, IExpr *b) {
  if (c == 0 || (b->n == 0 && b->k == 0)) return a;
  int64_t k = add_k(a->k, mul_k(c, b->k));
  if (b->n == 0) return poly(a->t, a->n, k);
  Term out[a->n + b->n];
  int n = merge_terms(a->t, a->n, b->t, b->n, c, out);
  return poly(out, n, k);
}

IExpr *ix_add(IExpr *a, IExpr *b) { return axpy(a, 1, b); }
IExpr *ix_sub(IExpr *a, IExpr *b) { return a == b ? ix(0) : axpy(a, -1, b); }
IExpr *ix_addk(IExpr *a, int64_t k) { return k ? poly(a->t, a->n, add_k(a->k, k)) : a; }
IExpr *ix_scale(IExpr *a, int64_t k) {
  if (k == 1) return a;
  if (k != -1) return axpy(ix(0), k, a);
  if (!a->neg) {
    a->neg = axpy(ix(0), -1, a);
    a->neg->neg = a;
  }
  return a->neg;
}

static int by_mono(const void *a, const void *b) { return mono_cmp(a, b); }

IExpr *ix_mul(IExpr *a, IExpr *b) {
  if (a->n == 0) return ix_scale(b, a->k);
  if (b->n == 0) return ix_scale(a, b->k);
  int count = 0, n = 0, na = a->n + (a->k != 0), nb = b->n + (b->k != 0);
  if ((int64_t)na * nb > TERMS_MAX) too_many_terms();
  Term out[na * nb], unit = {1, 0, NULL};
  for (int i = 0; i < na; i++)
    for (int j = 0; j < nb; j++) {
      Term x = i < a->n ? a->t[i] : unit, y = j < b->n ? b->t[j] : unit;
      if (i == a->n) x.coef = a->k;
      if (j == b->n) y.coef = b->k;
      if (x.nfac + y.nfac) out[count++] = term_product(&x, &y);
    }
  qsort(out, (size_t)count, sizeof *out, by_mono);
  for (int i = 0; i < count; i++) {
    if (n && out[n - 1].fac == out[i].fac) out[n - 1].coef = add_k(out[n - 1].coef, out[i].coef);
    else out[n++] = out[i];
    if (out[n - 1].coef == 0) n--;
  }
  return poly(out, n, mul_k(a->k, b->k));
}

const Term *find_mono(const IExpr *e, Atom *const *fac, int nfac) {
  Term want = {0, nfac, (Atom **)(uintptr_t)fac};
  int lo = 0, hi = e->n;
  while (lo < hi) {
    int m = (lo + hi) / 2, o = mono_cmp(&e->t[m], &want);
    if (o == 0) return &e->t[m];
    if (o < 0) lo = m + 1;
    else hi = m;
  }
  return NULL;
}

int64_t content(const IExpr *e, bool with_constant) {
  int64_t g = with_constant ? gcd(e->k, 0) : 0;
  for (int i = 0; i < e->n && g != 1; i++) g = gcd(g, e->t[i].coef);
  return g;
}

IExpr *scale_down(IExpr *e, int64_t k) {
  if (k == 1) return e;
  Term out[e->n + 1];
  for (int i = 0; i < e->n; i++) out[i] = (Term){e->t[i].coef / k, e->t[i].nfac, e->t[i].fac};
  return poly(out, e->n, floor_div(e->k, k));
}

static uint64_t mono_shape(const Term *t) {
  uint64_t h = 0;
  for (int i = 0; i < t->nfac; i++) h += mix(3, t->fac[i]->shape);
  return h;
}

bool leads_negative(const IExpr *e) {
  const Term *best = &e->t[0];
  uint64_t shape = mono_shape(best);
  for (int i = 1; i < e->n; i++) {
    uint64_t s = mono_shape(&e->t[i]);
    if (e->t[i].nfac < best->nfac || (e->t[i].nfac == best->nfac && s < shape)) continue;
    best = &e->t[i], shape = s;
  }
  return best->coef < 0;
}

/* ---- atoms ---- */

static uint64_t expr_shape(const IExpr *e) {
  uint64_t h = mix(5, (uint64_t)e->k);
  for (int i = 0; i < e->n; i++) h += mix((uint64_t)e->t[i].coef, mono_shape(&e->t[i]));
  return h;
}

static Atom *add_atom(Atom a) {
  Atom *p = NEW(Atom);
  *p = a;
  p->id = ++next_id, p->self = p, p->epoch = ix_epoch;
  PUSH(ix_atoms_all, ix_natoms, catoms, p);
  return p;
}

static void grow_atoms(void);
static uint64_t atom_hash(const Atom *a) {
  uint64_t h = mix((uint64_t)a->kind + 1, (uintptr_t)a->name);
  uintptr_t def = a->kind == ATOM_SYM ? 0 : (uintptr_t)a->def; // a symbol is its name
  return mix(mix(mix(h, (uintptr_t)a->a), (uintptr_t)a->b), def);
}
static void link_atom(Atom *p) {
  Atom **s = &atoms[atom_hash(p) & (atoms_size - 1)];
  p->chain = *s, *s = p;
}
static void grow_atoms(void) {
  atoms_size *= 4;
  Atom **old = atoms;
  size_t n = atoms_size / 4;
  atoms = NEWN(Atom *, atoms_size);
  for (size_t i = 0; i < n; i++)
    for (Atom *p = old[i], *next; p; p = next) {
      next = p->chain;
      link_atom(p);
    }
}

static Atom *find_atom(const Atom *a) {
  if (!exprs) start();
  for (Atom *p = atoms[atom_hash(a) & (atoms_size - 1)]; p; p = p->chain)
    if (p->kind == a->kind && p->name == a->name && p->a == a->a && p->b == a->b && (p->kind == ATOM_SYM || p->def == a->def)) return p;
  return NULL;
}

static Atom *newer(Atom *a, Atom *b) { return !a ? b : !b ? a : a->id > b->id ? a : b; }

static Atom *composite(AtomKind kind, IExpr *a, IExpr *b) {
  Atom want = {.kind = kind, .a = a, .b = b}, *p = find_atom(&want);
  if (p) return p;
  want.shape = mix(mix((uint64_t)kind + 100, expr_shape(a)), b ? expr_shape(b) : 0);
  want.newest = newer(a->newest, b ? b->newest : NULL);
  atom_range(&want);
  p = add_atom(want);
  link_atom(p);
  if ((size_t)ix_natoms > atoms_size) grow_atoms();
  return p;
}

static uint64_t text_hash(Sym s) {
  uint64_t h = 11;
  for (size_t i = 0, n = sym_len(s); i < n; i++) h = mix(h, (unsigned char)s[i]);
  return h;
}

static Atom *symbol(Sym name, int64_t lo, int64_t hi, void *def) {
  Atom want = {.kind = ATOM_SYM, .name = name, .lo = lo, .hi = hi}, *p = find_atom(&want);
  if (p) {
    if (lo > p->lo || hi < p->hi) ix_narrow(p, lo, hi);
    return p;
  }
  want.shape = mix(1, text_hash(name));
  p = add_atom(want);
  link_atom(p);
  p->def = def; // not part of the key: one symbol of a name
  return p;
}

IExpr *ix_sym(Sym name, int64_t lo, int64_t hi) { return ix_atom(symbol(name, lo, hi, NULL)); }

IExpr *ix_named(Sym name, IExpr *e) {
  Atom *p = symbol(name, ix_lower(e), ix_upper(e), e);
  if (!p->def) p->def = e;
  return ix_atom(p);
}

IExpr *ix_var(Sym name, IExpr *ext) {
  int64_t hi = ext->hi >= IX_INF ? IX_INF : ext->hi - 1;
  Atom *p = add_atom((Atom){.kind = ATOM_VAR, .name = name, .a = ext, .hi = hi > 0 ? hi : 0, .shape = mix(2, text_hash(name))});
  p->newest = p;
  return ix_atom(p);
}

IExpr *ix_let(Sym name, void *def, int64_t lo, int64_t hi) {
  Atom *p = add_atom((Atom){.kind = ATOM_LET, .name = name, .def = def, .lo = lo, .hi = hi, .shape = mix(4, text_hash(name))});
  p->newest = p;
  return ix_atom(p);
}

static uint64_t tree_shape(const FTree *t) {
  uint64_t c, h;
  memcpy(&c, &t->c, sizeof c);
  h = mix(mix((uint64_t)t->op * 2 + t->f64, c), t->i ? expr_shape(t->i) : 0);
  return mix(mix(h, t->a ? tree_shape(t->a) : 0), t->b ? tree_shape(t->b) : 0);
}

IExpr *float_atom(FTree *f) {
  Atom want = {.kind = ATOM_FLOAT, .def = f, .lo = -IX_INF, .hi = IX_INF, .shape = tree_shape(f)}, *p = find_atom(&want);
  if (!p) link_atom(p = add_atom(want));
  return ix_atom(p);
}

/* ---- division ---- */

static const Term *lead(const IExpr *e, Term *constant) {
  *constant = (Term){e->k, 0, NULL};
  return e->n ? &e->t[e->n - 1] : constant;
}

// a / b as a product, if every factor of b is in a
static bool mono_quotient(const Term *a, const Term *b, Term *q) {
  Atom *fac[a->nfac + 1];
  int n = 0, j = 0;
  for (int i = 0; i < a->nfac; i++)
    if (j < b->nfac && a->fac[i] == b->fac[j]) j++;
    else fac[n++] = a->fac[i];
  if (j < b->nfac || b->coef == 0 || a->coef % b->coef) return false;
  *q = (Term){a->coef / b->coef, n, n ? mono(fac, n) : NULL};
  return true;
}

IExpr *exact_div(IExpr *p, IExpr *q) {
  IExpr *out = ix(0);
  Term pc, qc, t;
  if (q->n == 0 && q->k == 0) return NULL;
  for (int i = 0; p->n || p->k; i++) {
    if (i > 200 || !mono_quotient(lead(p, &pc), lead(q, &qc), &t)) return NULL;
    IExpr *step = t.nfac ? one_term(t) : ix(t.coef);
    out = ix_add(out, step);
    p = ix_sub(p, ix_mul(step, q));
  }
  return out;
}

bool divisor(const Atom *a, int64_t *c) {
  if (a->kind != ATOM_DIV || a->b->n) return false;
  *c = a->b->k;
  return true;
}

// The only term +-1 * (x / a) of r, if there is just one.
static const Term *inner_quotient(const IExpr *r) {
  const Term *found = NULL;
  int64_t c;
  for (int i = 0; i < r->n && r->t[i].nfac == 1; i++) {
    if ((r->t[i].coef != 1 && r->t[i].coef != -1) || !divisor(r->t[i].fac[0], &c)) continue;
    if (found) return NULL;
    found = &r->t[i];
  }
  return found;
}

// The quotient of a numerator in normal form: no coefficient divisible, constant in 0..c-1, coprime.
static IExpr *quotient(IExpr *r, int64_t c) {
  if (r->lo > -IX_INF && r->hi < IX_INF && floor_div(r->lo, c) == floor_div(r->hi, c)) return ix(floor_div(r->lo, c));
  Atom *known = find_atom(&(Atom){.kind = ATOM_DIV, .a = r, .b = ix(c)});
  if (known && known->epoch == ix_epoch) return ix_atom(known);
  int64_t lo = ix_lower(r), hi = lo > -IX_INF ? ix_upper(r) : IX_INF, a;
  if (lo > -IX_INF && hi < IX_INF && floor_div(lo, c) == floor_div(hi, c)) return ix(floor_div(lo, c));
  const Term *in = inner_quotient(r);
  if (in && divisor(in->fac[0], &a) && a <= IX_DIM_MAX / c) {
    if (in->coef < 0) return ix_scale(ix_divk(ix_addk(ix_scale(r, -1), c - 1), c), -1);
    return ix_divk(axpy(in->fac[0]->a, a, ix_sub(r, ix_atom(in->fac[0]))), a * c);
  }
  if (leads_negative(r)) return ix_scale(ix_divk(ix_addk(ix_scale(r, -1), c - 1), c), -1);
  Atom *q = composite(ATOM_DIV, r, ix(c));
  q->epoch = ix_epoch;
  if (lo > -IX_INF && floor_div(lo, c) > q->lo) q->lo = floor_div(lo, c);
  if (hi < IX_INF && floor_div(hi, c) < q->hi) q->hi = floor_div(hi, c);
  return ix_atom(q);
}

IExpr *ix_divk(IExpr *p, int64_t c) {
  if (c == 0) return ix(0);
  if (c < 0) return ix_divk(ix_scale(p, -1), mul_k(c, -1));
  if (c == 1 || p->n == 0) return ix(0) == p ? p : c == 1 ? p : ix(floor_div(p->k, c));
  Term whole[p->n], part[p->n];
  int nw = 0, np = 0;
  for (int i = 0; i < p->n; i++)
    if (p->t[i].coef % c == 0) whole[nw++] = (Term){p->t[i].coef / c, p->t[i].nfac, p->t[i].fac};
    else part[np++] = p->t[i];
  int64_t k = floor_div(p->k, c);
  IExpr *out = nw ? poly(whole, nw, k) : ix(k);
  if (np == 0) return out;
  IExpr *r = poly(part, np, p->k - k * c);
  int64_t g = gcd(content(r, false), c);
  IExpr *q = c == g ? scale_down(r, g) : quotient(scale_down(r, g), c / g);
  IExpr *e = ix_add(out, q);
  // p's own range may know more than the parts do
  if (e->n && p->lo > -IX_INF && floor_div(p->lo, c) > e->lo) e->lo = floor_div(p->lo, c);
  if (e->n && p->hi < IX_INF && floor_div(p->hi, c) < e->hi) e->hi = floor_div(p->hi, c);
  return e;
}

// What all terms of p and q share, as one term; degree 0 and coefficient 1 if nothing.
static Term common_term(const IExpr *p, const IExpr *q) {
  Term g = {gcd(content(p, true), content(q, true)), 0, NULL};
  if (p->k || q->k || !p->n || !q->n) return g;
  Atom *fac[64];
  int n = p->t[0].nfac;
  memcpy(fac, p->t[0].fac, sizeof *fac * (size_t)n);
  for (int e = 0; e < 2; e++) {
    const IExpr *x = e ? q : p;
    for (int i = 0; i < x->n; i++) {
      int m = 0, j = 0;
      for (int k = 0; k < n; k++) {
        while (j < x->t[i].nfac && x->t[i].fac[j]->id < fac[k]->id) j++;
        if (j < x->t[i].nfac && x->t[i].fac[j] == fac[k]) fac[m++] = fac[k], j++;
      }
      n = m;
    }
  }
  g.nfac = n, g.fac = n ? mono(fac, n) : NULL;
  return g;
}

IExpr *ix_div(IExpr *p, IExpr *q) {
  if (q->n == 0) return ix_divk(p, q->k);
  if (p->n == 0 && p->k == 0) return p;
  IExpr *r = exact_div(p, q);
  if (r) return r;
  Term g = common_term(p, q);
  if (g.nfac || g.coef != 1) {
    IExpr *d = g.nfac ? one_term(g) : ix(g.coef);
    return ix_div(exact_div(p, d), exact_div(q, d));
  }
  return ix_atom(composite(ATOM_DIV, p, q));
}

IExpr *ix_ceil(IExpr *a, int64_t k) { return ix_divk(ix_addk(a, k - 1), k); }
IExpr *ix_mod(IExpr *a, IExpr *b) { return ix_sub(a, ix_mul(b, ix_div(a, b))); }
IExpr *ix_modk(IExpr *a, int64_t k) { return axpy(a, mul_k(k, -1), ix_divk(a, k)); }

IExpr *ix_truncdiv(IExpr *a, IExpr *b) {
  if (ix_lower(b) >= 0) {
    if (ix_lower(a) >= 0) return ix_div(a, b);
    if (ix_upper(a) <= 0) return ix_scale(ix_div(ix_scale(a, -1), b), -1);
    return ix_sub(ix_div(ix_relu(a), b), ix_div(ix_relu(ix_scale(a, -1)), b));
  }
  if (ix_upper(b) <= 0) return ix_truncdiv(ix_scale(a, -1), ix_scale(b, -1));
  IExpr *up = ix_truncdiv(a, ix_relu(b)), *down = ix_truncdiv(a, ix_relu(ix_scale(b, -1))); // one of them divides by 0
  return ix_sub(up, down);
}

/* ---- relu, comparison, select ---- */

static IExpr *make_relu(IExpr *d) {
  if (ix_prove_ge0(d)) return d;
  if (ix_prove_ge0(ix_scale(d, -1))) return ix(0);
  int64_t g = content(d, true);
  if (g > 1) return ix_scale(ix_relu(scale_down(d, g)), g);
  if (leads_negative(d)) return ix_add(ix_relu(ix_scale(d, -1)), d);
  return ix_atom(composite(ATOM_RELU, d, NULL));
}

IExpr *ix_relu(IExpr *d) {
  if (d->lo >= 0) return d;
  if (d->hi <= 0) return ix(0);
  if (d->relu && d->relu_epoch == ix_epoch) return d->relu;
  IExpr *r = make_relu(d);
  d->relu_epoch = ix_epoch;
  return d->relu = r;
}

IExpr *ix_max(IExpr *a, IExpr *b) { return ix_add(b, ix_relu(ix_sub(a, b))); }
IExpr *ix_min(IExpr *a, IExpr *b) { return ix_sub(a, ix_relu(ix_sub(a, b))); }

static IExpr *make_ge0(IExpr *d) {
  if (ix_prove_ge0(d)) return ix(1);
  IExpr *minus = ix_addk(ix_scale(d, -1), -1);
  if (ix_prove_ge0(minus)) return ix(0);
  if (ix_prove_ge0(ix_addk(d, 1)) && ix_prove_ge0(ix_scale(d, -1))) return ix_addk(d, 1); // a 0/1 expression, minus 1
  int64_t g = content(d, false);
  if (g > 1) return ix_ge0(scale_down(d, g));
  if (leads_negative(d)) return ix_not(ix_ge0(minus));
  return ix_atom(composite(ATOM_GE0, d, NULL));
}

IExpr *ix_ge0(IExpr *d) {
  if (d->lo >= 0) return ix(1);
  if (d->hi < 0) return ix(0);
  if (d->ge0 && d->ge0_epoch == ix_epoch) return d->ge0;
  IExpr *r = make_ge0(d);
  d->ge0_epoch = ix_epoch;
  return d->ge0 = r;
}

IExpr *ix_ge(IExpr *a, IExpr *b) { return ix_ge0(ix_sub(a, b)); }
IExpr *ix_not(IExpr *c) { return axpy(ix(1), -1, c); }
IExpr *ix_eq(IExpr *a, IExpr *b) {
  if (a == b) return ix(1);
  IExpr *d = ix_sub(a, b);
  return ix_differ(a, b) ? ix(0) : ix_sub(ix_ge0(d), ix_ge0(ix_addk(d, -1)));
}
IExpr *ix_select(IExpr *c, IExpr *a, IExpr *b) { return a == b ? a : ix_add(b, ix_mul(c, ix_sub(a, b))); }

IExpr *ix_bcast(IExpr *a, IExpr *b) {
  IExpr *one = ix(1);
  if (a == b || b == one || ix_differ(a, one)) return a;
  return a == one || ix_differ(b, one) ? b : ix_atom(composite(ATOM_BCAST, a, b));
}

IExpr *rebuild_atom(Atom *p, IExpr *a, IExpr *b) {
  if (a == p->a && b == p->b && p->epoch == ix_epoch) return ix_atom(p);
  switch (p->kind) {
  case ATOM_DIV: return ix_div(a, b);
  case ATOM_RELU: return ix_relu(a);
  case ATOM_GE0: return ix_ge0(a);
  case ATOM_BCAST: return ix_bcast(a, b);
  default: bug("an atom without operands has none to replace");
  }
}
