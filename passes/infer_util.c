// infer_util.c - the vocabulary of the shape rules: operands, results, facts, symbols. See infer_rules.h.
#include "infer_rules.h"
#include "infer_state.h"
#include <string.h>

/* ---- what is known beyond types ---- */

static Side **sides; // by Value.id
static int nsides;
static void forget_sides(void) { sides = NULL, nsides = 0; }

Side *side_of(const Value *v) {
  at_reset(forget_sides);
  if (v->id >= nsides) {
    int n = v->id + v->id / 2 + 64;
    Side **all = NEWN(Side *, n);
    if (nsides) memcpy(all, sides, sizeof *all * (size_t)nsides);
    sides = all, nsides = n;
  }
  if (!sides[v->id]) sides[v->id] = NEW(Side);
  return sides[v->id];
}

/* ---- operands ---- */

Dims dims_of(const Value *v) {
  Dims s = {.rank = value_rank(v)};
  for (int i = 0; i <= MAX_RANK; i++)
    s.d[i] = i < s.rank && v->type->dim[i] ? ix_resolve(v->type->dim[i]) : ix(1); // never NULL: a wrong axis is told, not followed
  return s;
}

int rank_in(const Node *n, int i) { return node_in(n, i) ? value_rank(node_in(n, i)) : -1; }
IExpr *dim_in(const Node *n, int i, int axis) {
  IExpr *d = node_in(n, i) ? value_dim(n->in[i], axis) : NULL;
  if (!d) wrong(n, "operand %d has no axis %d", i, axis);
  return d ? ix_resolve(d) : ix(1);
}
DType dtype_in(const Node *n, int i) {
  Value *v = node_in(n, i);
  return v && v->type && v->type->kind == TYPE_TENSOR ? v->type->dtype : DT_NONE;
}

static bool is_int(DType d) { return dtypes[d].is_int || d == DT_BOOL; }
static bool is_wide_float(DType d) { return d == DT_F32 || d == DT_F64; }

bool tensor_elems(const Tensor *t, Elems *x) {
  int64_t n = tensor_count(t);
  *x = (Elems){.n = (int)n};
  if (n > ELEMS_MAX || (!is_int(t->dtype) && !is_wide_float(t->dtype))) return false;
  if (is_int(t->dtype)) x->e = NEWN(IExpr *, n + 1);
  else x->f = NEWN(FTree *, n + 1);
  for (int i = 0; i < n; i++)
    if (x->e) x->e[i] = ix(tensor_int(t, i));
    else x->f[i] = ft_const(t->dtype == DT_F64, tensor_float(t, i));
  return true;
}

// Read once per constant.
static bool constant_elems(const Value *v, Elems *x) {
  Side *s = side_of(v);
  if (!s->known) {
    s->known = NEW(Elems);
    if (!tensor_elems(v->data, s->known)) s->known->n = -1;
  }
  *x = *s->known;
  return x->n >= 0;
}

bool elems_of(const Value *v, Elems *x) {
  *x = (Elems){0};
  if (!v) return false;
  if (v->data) return constant_elems(v, x);
  const Side *s = side_of(v);
  if (v->elem) *x = (Elems){v->nelem, v->splat, v->elem, NULL};
  else if (s->f) *x = (Elems){s->nf, s->fsplat, NULL, s->f};
  return v->elem || s->f;
}

bool list_of(const Value *v, int *n, IExpr ***e) {
  Elems x;
  if (!elems_of(v, &x) || !x.e || x.n < 0 || x.n > ELEMS_MAX) return false;
  *n = x.n, *e = x.e;
  if (!x.splat) return true;
  *e = NEWN(IExpr *, x.n + 1);
  for (int i = 0; i < x.n; i++) (*e)[i] = x.e[0];
  return true;
}

bool shape_operand(const Node *n, int i, int *count, IExpr ***e) {
  Value *v = node_in(n, i);
  if (!v) return false;
  if (!list_of(v, count, e)) load_elems(v);
  if (!list_of(v, count, e)) return false;
  if (*count <= SIZES_MAX) return true;
  wrong(n, "operand %d has %d elements; sizes and axes are at most %d", i, *count, SIZES_MAX);
  return false;
}

bool loaded_itself(const Value *v, IExpr *e) {
  const Atom *a = ix_is_atom(e);
  const Value *of = a ? a->of : NULL;
  return of && (of == v || !of->def);
}

IExpr *scalar_of(const Value *v) {
  Elems x;
  return elems_of(v, &x) && x.e && (x.n == 1 || x.splat) ? x.e[0] : NULL;
}

bool consts_of(const Value *v, int *n, const int64_t **k) { return v && value_ints(v, n, k); }

int ints_attr(const Node *n, const char *name, int64_t *v, int count, int64_t dflt) {
  const int64_t *a = NULL;
  int given = op_attr(n->op, name) || attr_has(n, name) ? attr_ints(n, name, &a) : 0;
  for (int i = 0; i < count; i++) {
    v[i] = i < given ? a[i] : dflt;
    if (v[i] >= -IX_DIM_MAX && v[i] <= IX_DIM_MAX) continue;
    wrong(n, "%s holds %lld", name, (long long)v[i]);
    v[i] = dflt;
  }
  return given;
}

int axis_in(const Node *n, int64_t axis, int rank) {
  if (axis >= -rank && axis < rank) return (int)(axis < 0 ? axis + rank : axis);
  wrong(n, "axis %lld does not exist in a tensor of rank %d", (long long)axis, rank);
  return 0;
}

/* ---- results ---- */

// Is operand i of the type that the signature asks, given those before it?
static bool operand_fits(const Node *n, int i, DType seen[128][16]) {
  OpOperand o = op_operand(n->op, false, i);
  const Value *v = node_in(n, i);
  if (!o.letter || (!v && (o.optional || o.letter == 'x'))) return true;
  if (!v) {
    wrong(n, "operand %d is missing", i);
    return false;
  }
  if (!type_in_class(o.letter, v->type)) {
    wrong(n, "operand %d is %s, which the op does not take", i, type_str(v->type));
    return false;
  }
  if (!strchr("tnfikq", o.letter) || v->type->kind != TYPE_TENSOR) return true;
  DType *other = &seen[(int)o.letter][o.digit ? o.digit - '0' : 0];
  if (!*other) *other = v->type->dtype;
  if (*other == v->type->dtype) return true;
  wrong(n, "operand %d is %s where others are %s", i, dtypes[v->type->dtype].name, dtypes[*other].name);
  return false;
}

bool operands_fit(const Node *n) {
  DType seen[128][16] = {0};
  for (int i = 0; i < n->nin || i < n->op->nin_min; i++)
    if (!operand_fits(n, i, seen)) return false;
  return true;
}

DType sig_dtype(const Node *n, int i) {
  OpOperand r = op_operand(n->op, true, i);
  static const struct {
    char letter;
    DType dtype;
  } fixed[] = {{'b', DT_BOOL}, {'s', DT_STR}, {'F', DT_F32}, {'W', DT_I32}, {'I', DT_I64}};
  for (int k = 0; k < 5; k++)
    if (r.letter == fixed[k].letter) return fixed[k].dtype;
  for (int k = 0; k < n->nin; k++) {
    OpOperand o = op_operand(n->op, false, k);
    if (o.letter == r.letter && o.digit == r.digit && dtype_in(n, k) != DT_NONE) return dtype_in(n, k);
  }
  return DT_NONE;
}

void forget_elems(Value *v) {
  v->elem = NULL, v->nelem = 0, v->splat = false;
  Side *s = side_of(v);
  s->f = NULL, s->nf = 0, s->fsplat = false, s->length = NULL, s->item = NULL, s->nitem = 0;
}

void out_type(Node *n, int i, const Type *t) {
  Value *v = node_out(n, i);
  if (!v) return;
  forget_elems(v);
  v->type = t;
}

void out_dims(Node *n, int i, DType d, Dims s) {
  if (s.rank > MAX_RANK) {
    unsupported(n, "shape.rank", "a result of rank %d; at most %d is supported", s.rank, MAX_RANK);
    s.rank = MAX_RANK;
  }
  for (int k = 0; k < s.rank; k++)
    if (s.d[k]->hi < 0 || ix_upper(s.d[k]) < 0) {
      wrong(n, "dim %d of the result would be %s, which is negative", k, ix_str(s.d[k]));
      s.d[k] = ix(0);
    }
  out_type(n, i, type_tensor(d, s.rank, s.d));
}

void out_sig(Node *n, int i, Dims s) { out_dims(n, i, sig_dtype(n, i), s); }

void out_elems(Node *n, int i, Elems x) {
  Value *v = node_out(n, i);
  if (!v) return;
  if (x.e && is_int(v->type->dtype)) v->elem = x.e, v->nelem = x.n, v->splat = x.splat;
  Side *s = side_of(v);
  if (x.f && is_wide_float(v->type->dtype)) s->f = x.f, s->nf = x.n, s->fsplat = x.splat;
}

void out_ints(Node *n, int i, int count, IExpr **e) { out_elems(n, i, (Elems){count, false, e, NULL}); }

/* ---- symbols ---- */

typedef struct Owner { // of a name
  Sym name;
  int id;
} Owner;
static Owner *owners; // open hash table by the name's address
static int nowners, cowners;
static void forget_owners(void) { owners = NULL, nowners = cowners = 0; }

static Owner *owner_slot(Sym name) {
  int i = (int)(((uintptr_t)name / 16 * 0x9e3779b97f4a7c15u) >> 40) & (cowners - 1);
  while (owners[i].name && owners[i].name != name) i = (i + 1) & (cowners - 1);
  return &owners[i];
}

static void more_owners(void) {
  Owner *old = owners;
  int n = cowners;
  cowners = n ? n * 2 : 256;
  owners = NEWN(Owner, cowners);
  for (int i = 0; i < n; i++)
    if (old[i].name) *owner_slot(old[i].name) = old[i];
}

static bool take(Sym name, int id) {
  at_reset(forget_owners);
  if (nowners * 2 >= cowners) more_owners();
  Owner *o = owner_slot(name);
  if (o->name) return o->id == id;
  *o = (Owner){name, id};
  nowners++;
  return true;
}

// Values of different regions may have the same name, and symbols must not be mixed up: the second one gets its number appended.
Sym base_name(Value *v) {
  Side *s = side_of(v);
  if (s->name) return s->name;
  Sym name = v->name && *v->name ? v->name : sym_fmt("v%d", v->id);
  s->name = take(name, v->id) ? name : sym_fmt("%s~%d", name, v->id);
  return s->name;
}

IExpr *fresh_of(Value *v, int axis, int64_t lo, int64_t hi) {
  IExpr *e = ix_sym(sym_fmt("%s.%d", base_name(v), axis), lo < 0 ? 0 : lo, hi > IX_DIM_MAX ? IX_DIM_MAX : hi < 0 ? 0 : hi);
  Atom *a = ix_is_atom(e);
  Side *s = side_of(v);
  a->derived = true, a->of = v;
  if (s->fresh_run != infer_run) s->fresh_run = infer_run, s->fresh_axes = 0;
  if (!(s->fresh_axes >> axis & 1)) PUSH(inferred.fresh, inferred.nfresh, inferred.cfresh, ((FreshDim){a, v, axis}));
  s->fresh_axes |= 1u << axis;
  return ix_resolve(e);
}

// A result nobody wants still has dims.
IExpr *fresh_dim(Node *n, int i, int axis, int64_t lo, int64_t hi) {
  Value *v = node_out(n, i);
  return v ? fresh_of(v, axis, lo, hi) : ix_sym(sym_fmt("%s#%d.%d.%d", n->op->name, n->index, i, axis), 0, IX_DIM_MAX);
}

void load_elems(Value *v) {
  Dims s = dims_of(v);
  int64_t count = const_count(s);
  bool small = v->type->dtype == DT_I32;
  if (count < 0 || count > 64 || s.rank > 1 || (!small && v->type->dtype != DT_I64) || v->data) return;
  IExpr **e = NEWN(IExpr *, count + 1);
  for (int i = 0; i < count; i++) {
    e[i] = ix_sym(sym_fmt("%s[%d]", base_name(v), i), small ? INT32_MIN : -IX_INF, small ? INT32_MAX : IX_INF);
    Atom *a = ix_is_atom(e[i]);
    a->derived = true, a->of = v;
    if (side_of(v)->loaded_run != infer_run) PUSH(inferred.loaded, inferred.nloaded, inferred.cloaded, ((Loaded){a, v, i}));
    e[i] = ix_resolve(e[i]);
  }
  side_of(v)->loaded_run = infer_run;
  v->elem = e, v->nelem = (int)count, v->splat = false;
}

/* ---- facts ---- */

enum { REQUIRED_MAX = 20000 };

static void require_text(Node *n, const Graph *g, IExpr *ge0, Sym fact) {
  for (int i = 0; i < inferred.nrequired; i++)
    if (inferred.required[i].expr == ge0 && inferred.required[i].graph == g) return;
  Sym who = n->name && *n->name ? sym_fmt("%s '%s'", n->op->name, n->name)
            : n->index >= 0     ? sym_fmt("%s (node %d)", n->op->name, n->index)
                                : n->op->name;
  if (inferred.nrequired >= REQUIRED_MAX)
    fail(EXIT_LIMIT, "limit.required", node_where(n), "the model asks more than %d things of its sizes", REQUIRED_MAX);
  Required r = {ge0, sym_fmt("%s, needed by %s", fact, who), g, n->index};
  PUSH(inferred.required, inferred.nrequired, inferred.crequired, r);
}

// e >= 0 as one reads it: terms with a minus sign go to the other side.
static Sym not_negative(IExpr *e) {
  IExpr *pos = ix(e->k > 0 ? e->k : 0), *neg = ix(e->k < 0 ? -e->k : 0);
  for (int i = 0; i < e->n; i++) {
    IExpr *p = ix(1);
    for (int j = 0; j < e->t[i].nfac; j++) p = ix_mul(p, ix_atom(e->t[i].fac[j]));
    if (e->t[i].coef > 0) pos = ix_add(pos, ix_scale(p, e->t[i].coef));
    else neg = ix_add(neg, ix_scale(p, -e->t[i].coef));
  }
  if (ix_const(pos, NULL)) return sym_fmt("%s <= %s", ix_str(neg), ix_str(pos));
  return sym_fmt("%s >= %s", ix_str(pos), ix_str(neg));
}

// a == b; where the difference is a clamp, that it clamps nothing.
static Sym equal_text(IExpr *a, IExpr *b, IExpr *d) {
  bool clamp = d->n == 1 && !d->k && d->t[0].nfac == 1 && d->t[0].fac[0]->kind == ATOM_RELU;
  return clamp ? not_negative(ix_scale(d->t[0].fac[0]->a, -1)) : sym_fmt("%s == %s", ix_str(a), ix_str(b));
}

void require_eq_in(Node *n, const Graph *g, IExpr *a, IExpr *b) {
  if (a == b) return;
  a = ix_resolve(a), b = ix_resolve(b);
  IExpr *d = ix_sub(a, b), *check = ix_sub(d, ix_scale(ix_relu(d), 2));
  if (a == b) return;
  Sym text = equal_text(a, b, d);
  int r = ix_require_eq(a, b);
  if (r > 0 || (r < 0 && g->parent)) require_text(n, g, check, text);
  else if (r < 0) wrong(n, "%s and %s must be equal", ix_str(a), ix_str(b));
}

void require_eq(Node *n, IExpr *a, IExpr *b) { require_eq_in(n, n->graph, a, b); }

static void see_symbol(Atom *a, void *u) {
  Atom **only = u; // [0]: the only symbol, [1]: a second one
  if (a->kind == ATOM_SYM) only[only[0] ? 1 : 0] = a;
}

void require_ge0(Node *n, IExpr *e) {
  e = ix_resolve(e);
  if (ix_prove_ge0(e)) return;
  Atom *only[2] = {0};
  ix_atoms(e, see_symbol, only);
  int64_t lo = only[0] ? only[0]->lo : 0, hi = only[0] ? only[0]->hi : 0;
  int r = ix_require_ge0(e);
  Sym text = not_negative(e);
  if (only[0] && !only[1] && only[0]->lo > lo) text = sym_fmt("%s >= %lld", ix_str(ix_atom(only[0])), (long long)only[0]->lo);
  else if (only[0] && !only[1] && only[0]->hi < hi) text = sym_fmt("%s <= %lld", ix_str(ix_atom(only[0])), (long long)only[0]->hi);
  if (r > 0 || (r < 0 && n->graph->parent)) require_text(n, n->graph, e, text);
  else if (r < 0) wrong(n, "%s must not be negative", ix_str(e));
}

/* ---- broadcasting ---- */

// Does a == 1 imply b == 1?
static bool ones(IExpr *a, IExpr *b) {
  Atom *s = ix_is_atom(a);
  if (s && s->kind == ATOM_SYM) return ix_is(ix_subst(b, 1, &s, (IExpr *[]){ix(1)}), 1);
  for (int i = 0; i < a->n; i++) { // a = min(x, c) with c > 1 is 1 only if x is
    Atom *f = a->t[i].fac[0];
    int64_t c;
    if (a->t[i].nfac != 1 || f->kind != ATOM_RELU || a->t[i].coef != -1) continue;
    IExpr *rest = ix_add(a, ix_atom(f)), *other = ix_sub(rest, f->a);
    if (ix_const(other, &c) && c > 1) return ones(rest, b); // x - relu(x - c)
    if (ix_const(rest, &c) && c > 1) return ones(other, b); // c - relu(c - x)
  }
  return false;
}

static IExpr *shorter(IExpr *a, IExpr *b) {
  if (ix_const(a, NULL)) return a;
  if (ix_const(b, NULL)) return b;
  return ix_size(a) <= ix_size(b) ? a : b;
}

static IExpr *undecided(Node *n, IExpr *a, IExpr *b, bool a_not_one, bool b_not_one) {
  IExpr *one = ix(1), *ok = ix_addk(ix_eq(a, b), -1); // at least one of the three holds
  if (!a_not_one) ok = ix_add(ok, ix_eq(a, one));
  if (!b_not_one) ok = ix_add(ok, ix_eq(b, one));
  require_text(n, n->graph, ok, sym_fmt("%s and %s are equal, or one of them is 1", ix_str(a), ix_str(b)));
  return a_not_one ? a : b_not_one ? b : ix_bcast(a, b);
}

IExpr *broadcast_dim(Node *n, IExpr *a, IExpr *b) {
  IExpr *one = ix(1);
  if (a == b || b == one) return a;
  if (a == one) return b;
  bool a_not_one = ix_differ(a, one), b_not_one = ix_differ(b, one);
  if (!(a_not_one && b_not_one)) {
    if (ix_min(a, one) == b) return a;
    if (ix_min(b, one) == a) return b;
    if (!ones(a, b) || !ones(b, a)) return undecided(n, a, b, a_not_one, b_not_one);
  }
  require_eq(n, a, b);
  return shorter(a, b);
}

Dims broadcast(Node *n, Dims a, Dims b) {
  if (a.rank < b.rank) {
    Dims t = a;
    a = b, b = t;
  }
  for (int i = 0; i < b.rank; i++) {
    int j = a.rank - b.rank + i;
    a.d[j] = broadcast_dim(n, a.d[j], b.d[i]);
  }
  return a;
}

IExpr *product(Dims s, int from, int to) {
  IExpr *p = ix(1);
  for (int i = from; i < to; i++) p = ix_mul(p, s.d[i]);
  return p;
}

Dims dims(int rank, ...) {
  Dims s = {.rank = rank};
  va_list ap;
  va_start(ap, rank);
  for (int i = 0; i < rank; i++) s.d[i] = va_arg(ap, IExpr *);
  va_end(ap);
  return s;
}

void insert_dim(Dims *s, int at, IExpr *d) {
  if (s->rank > MAX_RANK) return; // out_dims will tell
  for (int i = s->rank; i > at; i--) s->d[i] = s->d[i - 1];
  s->d[at] = d;
  s->rank++;
}

void remove_dim(Dims *s, int at) {
  for (int i = at; i + 1 < s->rank; i++) s->d[i] = s->d[i + 1];
  s->rank--;
}
