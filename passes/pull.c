// pull.c - value + index -> scalar expression.
//
// Pulling walks the graph backwards from a store and ends at loads of stored values. Two things keep it linear: a pull is memoised on
// (value, index, guards), and folds are never inlined. Guards are the conditions under which the result will be used (inside a Pad, one
// part of a Concat): every load made under them carries them as predicates, so it never reads out of range.
#include "passes/lower.h"
#include <string.h>

struct Memo {
  Value *v;
  IExpr *idx[MAX_RANK];
  int nguard;
  IExpr *guard[32];
  Ex *e;
  IExpr *size, *let; // of pull_index: the range, the result; else NULL
  bool wrap;
};

static const struct Memo *find_memo(const Lower *L, const Value *v, IExpr *const *idx, int rank, const IExpr *size, bool wrap) {
  for (int i = L->nmemo - 1; i >= 0; i--) {
    const struct Memo *m = &L->memo[i];
    if (m->v == v && m->size == size && m->wrap == wrap && m->nguard == L->nguard && !memcmp(m->idx, idx, (size_t)rank * sizeof *idx) &&
        !memcmp(m->guard, L->guard, (size_t)L->nguard * sizeof *L->guard))
      return m;
  }
  return NULL;
}
static void remember(Lower *L, struct Memo m, IExpr *const *idx, int rank) {
  m.nguard = L->nguard;
  memcpy(m.idx, idx, (size_t)rank * sizeof *idx);
  memcpy(m.guard, L->guard, (size_t)L->nguard * sizeof *L->guard);
  PUSH(L->memo, L->nmemo, L->cmemo, m);
}

static DType reg_of(const Value *v) { return dtypes[v->type->dtype].reg; }

// A value whose elements infer knows as expressions: dims and arithmetic on them. At a known place it is one expression; at a variable
// one, a chain of selects (such values have at most a handful of elements; longer ones are stored by their own stage).
static Ex *known_element(Lower *L, Value *v, IExpr *const *idx) {
  (void)L;
  DType r = reg_of(v);
  if (!v->splat && v->nelem == 0) return ex_num(r, 0); // there is no element: nobody stores it
  if (v->splat || v->nelem == 1) return ex_ix(r, v->elem[0]);
  IExpr *at = ix(0);
  for (int d = 0; d < v->type->rank; d++) at = ix_add(ix_mul(at, v->type->dim[d]), idx[d]);
  int64_t k;
  if (ix_const(at, &k) && k >= 0 && k < v->nelem) return ex_ix(r, v->elem[k]);
  Ex *e = ex_ix(r, v->elem[v->nelem - 1]);
  for (int i = v->nelem - 2; i >= 0; i--) e = ex_sel(ix_sub(ix(i), at), ex_ix(r, v->elem[i]), e);
  return e;
}

static void note_wild(Atom *a, void *found) { *(bool *)found |= a->kind == ATOM_SYM && a->of && a->lo <= -IX_INF; }

// Are the elements to be taken from their expressions? What the host loads is read whole where it was loaded, and so is all that is
// computed from 64-bit numbers of any size: index expressions neither wrap nor hold the greatest of them. Sizes never need those.
bool elems_known(Value *v) {
  bool wild = false;
  if (!v->elem || v->data || vinfo(v)->loaded) return false;
  for (int i = 0; v->def && i < (v->splat ? v->nelem > 0 : v->nelem); i++) ix_atoms(v->elem[i], note_wild, &wild);
  return !wild;
}

static Ex *constant_element(Value *v, int64_t i) {
  DType r = reg_of(v);
  if (r == DT_F32 || r == DT_F64) return ex_f(r, tensor_float(v->data, i));
  return ex_i(r, tensor_int(v->data, i));
}

// Element idx of v, whose rank is n in b; of a complex one the part that is wanted.
static Ex *load_guarded(Lower *L, Value *v, Buf *b, int n, IExpr *const *idx) {
  IExpr *at[MAX_RANK + 1] = {0};
  memcpy(at, idx, (size_t)n * sizeof *at);
  at[n] = L->part, idx = at;
  if (is_complex(v) && !L->part)
    fail(EXIT_UNSUPPORTED, "lower.complex", L->node ? node_where(L->node) : NOWHERE, "a kernel only moves complex numbers");
  Ex *e = ex_load(b, idx);
  if (!L->nguard) return e;
  IExpr **p = NEWN(IExpr *, L->nguard + e->npred);
  if (e->npred) memcpy(p, e->pred, (size_t)e->npred * sizeof *p);
  for (int i = 0; i < L->nguard; i++)
    if (!ix_prove_ge0(L->guard[i])) p[e->npred++] = L->guard[i];
  e->pred = p;
  return e;
}

static Ex *record(Lower *L, Value *v, IExpr *const *idx) {
  VInfo *i = vinfo(v);
  int rank = v->type->rank;
  if (i->depth <= L->rec_depth) i->depth = L->rec_depth + 1;
  for (int a = 0; a < i->naccess; a++)
    if (i->access[a].owner == L->rec_owner && !memcmp(i->access[a].idx, idx, (size_t)rank * sizeof *idx)) goto known;
  Access acc = {.group = L->rec_group, .owner = L->rec_owner};
  memcpy(acc.idx, idx, (size_t)rank * sizeof *idx);
  PUSH(i->access, i->naccess, i->caccess, acc);
  if (acc.group) acc.group->nread += first_access(i, i->naccess - 1);
known:; // any expression of the right type will do: nothing is built from it
  static Buf unknown;
  Ex *e = NEW(Ex);
  e->op = S_LOAD, e->type = reg_of(v), e->buf = &unknown;
  return e;
}

Ex *pull(Lower *L, Value *v, IExpr *const *idx) {
  int rank = v->type->rank;
  if (v->type->kind != TYPE_TENSOR || reg_of(v) == DT_NONE)
    fail(EXIT_UNSUPPORTED, "lower.dtype", L->node ? node_where(L->node) : NOWHERE, "a kernel cannot read a value of type %s",
         type_str(v->type));
  if (v->data && tensor_count(v->data) == 1 && v->type->dtype != DT_C64 && v->type->dtype != DT_C128) return constant_element(v, 0);
  if (elems_known(v)) return known_element(L, v, idx);
  if (L->record) return record(L, v, idx);
  VInfo *i = vinfo(v);
  if (i->where == RES_TEMP) { // a temp has only the axes whose extent is not 1
    IExpr *at[MAX_RANK] = {0};
    int n = 0;
    for (int d = 0; d < rank; d++)
      if (!ix_is(i->var[d], 0)) at[n++] = idx[d];
    return load_guarded(L, v, lower_in(L, v), n, at);
  }
  if (v->data || !v->def || i->where == RES_ROOT) return load_guarded(L, v, lower_in(L, v), rank, idx);
  const struct Memo *known = find_memo(L, v, idx, rank, NULL, false);
  if (known) return known->e;
  Node *outer = L->node;
  L->node = v->def;
  Ex *e = pull_elem_node(L, v->def, v->out, idx);
  L->node = outer;
  remember(L, (struct Memo){.v = v, .e = e}, idx, rank);
  return e;
}

// The index of an operand dim under numpy's rules: itself where the extents agree, 0 where the operand has 1, and a step of 0 or 1 where
// only the run decides.
IExpr *broadcast_index(IExpr *dim, IExpr *out, IExpr *i) {
  if (dim == out) return i;
  if (ix_is(dim, 1)) return ix(0);
  if (ix_lower(dim) > 1) return i;
  return ix_mul(i, ix_ge0(ix_addk(dim, -2)));
}
Ex *pull_broadcast(Lower *L, Value *v, int rank, IExpr *const *idx, const Type *out) {
  IExpr *at[MAX_RANK] = {0};
  int r = v->type->rank;
  for (int d = 0; d < r; d++) at[d] = broadcast_index(v->type->dim[d], out->dim[rank - r + d], idx[rank - r + d]);
  return pull(L, v, at);
}

Ex *pull_guarded(Lower *L, Value *v, IExpr *const *idx, int n, IExpr *const *ge0, Ex *otherwise) {
  int keep = L->nguard;
  IExpr *open[MAX_RANK * 2];
  int nopen = 0;
  for (int i = 0; i < n; i++) {
    if (ix_prove_ge0(ge0[i])) continue;
    if (ix_upper(ge0[i]) < 0) return L->nguard = keep, otherwise;
    if (L->nguard == 32) bug("guards nest too deeply");
    L->guard[L->nguard++] = open[nopen++] = ge0[i];
  }
  Ex *e = pull(L, v, idx);
  L->nguard = keep;
  if (!nopen) return e;
  // a plain load that fails to 0 already is the select
  bool zero = otherwise->op == S_CONST && (otherwise->type == DT_F32 || otherwise->type == DT_F64 ? otherwise->f == 0 : otherwise->i == 0);
  if (e->op == S_LOAD && zero) return e;
  for (int i = 0; i < nopen; i++) e = ex_sel(open[i], e, otherwise);
  return e;
}

// Integer element as an index. Known values and constants stay exact expressions; what is loaded becomes a let that is checked against
// the range (and wrapped first, where ONNX allows negative indices).
static bool int_range(const Value *v, int64_t *lo, int64_t *hi, int depth);
static void widen(int64_t *lo, int64_t *hi, int64_t a, int64_t b) {
  if (a < *lo) *lo = a;
  if (b > *hi) *hi = b;
}
static bool range_of_all(const Node *n, int from, int to, int64_t *lo, int64_t *hi, int depth) {
  *lo = INT64_MAX, *hi = INT64_MIN;
  for (int i = from; i < to; i++) {
    int64_t a, b;
    if (!int_range(n->in[i], &a, &b, depth)) return false;
    widen(lo, hi, a, b);
  }
  return true;
}
static bool range_of_sum(const Node *n, int64_t *lo, int64_t *hi, int depth) { // of i32: it must not wrap
  int64_t a, b;
  if (n->out[0]->type->dtype != DT_I32 || !int_range(n->in[0], lo, hi, depth) || !int_range(n->in[1], &a, &b, depth)) return false;
  *lo += a, *hi += b;
  return *lo >= INT32_MIN && *hi <= INT32_MAX;
}
static bool table_range(const Value *v, int64_t *lo, int64_t *hi) { // looked at once: every level of a tree asks
  VInfo *i = vinfo((Value *)v);
  if (!i->ranged) {
    i->lo = INT64_MAX, i->hi = INT64_MIN, i->ranged = true;
    for (int64_t k = 0, n = tensor_count(v->data); k < n; k++) widen(&i->lo, &i->hi, tensor_int(v->data, k), tensor_int(v->data, k));
  }
  *lo = i->lo, *hi = i->hi;
  return *lo <= *hi;
}
// Bounds of an integer value's elements, where constant tables give them: what a table holds needs no check at run time.
static bool int_range(const Value *v, int64_t *lo, int64_t *hi, int depth) {
  if (v->data) return table_range(v, lo, hi);
  const Node *n = v->def;
  if (!n || depth == 0) return false;
  switch (n->op->id) {
  case OP_Where: return range_of_all(n, 1, 3, lo, hi, depth - 1);
  case OP_Cast: // of a bool
    *lo = 0, *hi = 1;
    return n->in[0]->type->dtype == DT_BOOL;
  case OP_Add: return range_of_sum(n, lo, hi, depth - 1);
  case OP_Concat: return range_of_all(n, 0, n->nin, lo, hi, depth - 1);
  case OP_Gather:
  case OP_Expand:
  case OP_ReduceMax:
  case OP_ReduceMin:
  case OP_Reshape:
  case OP_Unsqueeze:
  case OP_Squeeze:
  case OP_Transpose:
  case OP_Slice: return int_range(n->in[0], lo, hi, depth - 1);
  default: return false;
  }
}

IExpr *pull_index(Lower *L, Value *v, IExpr *const *idx, IExpr *size, bool wrap_negative) {
  bool asked = wrap_negative;
  const struct Memo *known = L->record ? NULL : find_memo(L, v, idx, v->type->rank, size, wrap_negative);
  if (known) return known->let;
  Ex *e = pull(L, v, idx);
  int64_t k, least, most;
  if (e->op == S_CONST) {
    IExpr *x = ix(e->i);
    if (wrap_negative && e->i < 0) x = ix_add(x, size);
    if (ix_prove_ge0(x) && ix_prove_le(ix_addk(x, 1), size)) return x;
  }
  if (e->op == S_IX) return wrap_negative && ix_lower(e->ix[0]) < 0 ? ix_add(e->ix[0], ix_mul(size, ix_not(ix_ge0(e->ix[0])))) : e->ix[0];
  bool bounded = !L->record && int_range(v, &least, &most, 8) && least >= 0 && ix_prove_le(ix(most + 1), size);
  if (bounded) wrap_negative = false;
  int site = L->record || bounded ? -1
                                  : lower_site_input(L, L->node, v, "index %v is not in [%l,%h]",
                                                     wrap_negative ? ix_scale(size, -1) : ix(0), ix_addk(size, -1));
  DType t = e->type;
  if (wrap_negative) {
    Ex *n = ex_ix(t, size);
    e = ex_op(S_select, ex_op(S_lt, e, ex_i(t, 0), NULL), ex_op(S_add, e, n, NULL), e);
  }
  bool exact = ix_const(size, &k);
  int64_t hi = exact ? k - 1 : ix_upper(size) - 1;
  IExpr *let = ex_index(e, 0, hi < 0 ? 0 : hi, site, "g");
  Atom *a = ix_is_atom(let);
  if (!exact && a && a->kind == ATOM_LET) ((LetDef *)a->def)->limit = size;
  if (!L->record) remember(L, (struct Memo){.v = v, .size = size, .wrap = asked, .let = let}, idx, v->type->rank);
  return let;
}

IExpr *pull_scalar_index(Lower *L, Value *v, int64_t i) {
  if (v->data) return ix(tensor_int(v->data, i));
  if (v->elem) return v->splat ? v->elem[0] : v->elem[i];
  fail(EXIT_UNSUPPORTED, "lower.value", L->node ? node_where(L->node) : NOWHERE, "operand '%s' must be known when the model is compiled",
       v->name ? v->name : "?");
}

/* ---- ELEM: formulas ---- */
typedef struct Names {
  Lower *L;
  Node *n;
  int second; // which operand y is: variadic ops apply their formula pair by pair
  Ex *so_far; // x, then
  int rank;
  IExpr *const *idx;
  const Type *out;
} Names;

// A string attribute in a formula is a question: direction_LEFT is true if direction is "LEFT".
static Ex *string_attribute(Names *N, const char *id) {
  for (const char *u = strchr(id, '_'); u; u = strchr(u + 1, '_')) {
    const char *name = fmt("%.*s", (int)(u - id), id);
    const Attr *a = attr_find(N->n, name);
    if (a && a->kind == ATTR_STRING) return ex_i(DT_BOOL, attr_is(N->n, name, u + 1));
  }
  return NULL;
}
static Ex *attribute(Names *N, const char *id) {
  const Attr *a = attr_find(N->n, id);
  if (!a) return string_attribute(N, id);
  DType r = dtypes[N->out->dtype].reg;
  Value *x = node_in(N->n, 0);
  if (x && dtypes[x->type->dtype].is_float) r = reg_of(x);
  if (a->kind == ATTR_FLOAT) return ex_f(r == DT_F64 ? DT_F64 : DT_F32, a->f);
  if (a->kind == ATTR_INT) return ex_i(DT_I64, a->i);
  return NULL;
}
static Ex *resolve(const char *id, DType *storage, void *u) {
  Names *N = u;
  static const char operand[] = "xyzw";
  const char *o = strchr(operand, id[0]);
  if (!strncmp(id, "has_", 4) && id[4] && !id[5] && strchr(operand, id[4])) // is the optional operand there?
    return *storage = DT_BOOL, ex_i(DT_BOOL, node_in(N->n, (int)(strchr(operand, id[4]) - operand)) != NULL);
  if (id[0] && !id[1] && o) {
    if (id[0] == 'x' && N->so_far) return *storage = N->out->dtype, N->so_far;
    Value *v = node_in(N->n, id[0] == 'y' && N->second ? N->second : (int)(o - operand));
    if (!v) return *storage = N->out->dtype, ex_num(dtypes[N->out->dtype].reg, 0); // absent: the formula asks has_ first
    *storage = v->type->dtype;
    return pull_broadcast(N->L, v, N->rank, N->idx, N->out);
  }
  *storage = DT_I64;
  if (id[0] == 'i' && id[1] >= '0' && id[1] <= '9' && !id[2]) return ex_ix(DT_I64, N->idx[id[1] - '0']);
  if (id[0] == 'd' && id[1] >= '0' && id[1] <= '9' && !id[2]) return ex_ix(DT_I64, N->out->dim[id[1] - '0']);
  if (!strcmp(id, "i") && N->rank >= 2) return ex_ix(DT_I64, N->idx[N->rank - 2]);
  if (!strcmp(id, "j") && N->rank >= 1) return ex_ix(DT_I64, N->idx[N->rank - 1]);
  if (!strcmp(id, "lin")) {
    IExpr *at = ix(0);
    for (int d = 0; d < N->rank; d++) at = ix_add(ix_mul(at, N->out->dim[d]), N->idx[d]);
    return ex_ix(DT_I64, at);
  }
  Ex *e = attribute(N, id);
  if (e) *storage = e->type;
  return e;
}

Ex *pull_elem_node(Lower *L, Node *n, int out, IExpr *const *idx) {
  const Lowering *w = lowering(n);
  if (w && w->index) return w->index(L, n, out, idx);
  if (!w || !w->formula) fail(EXIT_UNSUPPORTED, "op.unsupported", node_where(n), "%s has no lowering yet", n->op->name);
  const Type *t = n->out[out]->type;
  Names N = {.L = L, .n = n, .rank = t->rank, .idx = idx, .out = t};
  bool variadic = n->op->nin < 0;
  Ex *e = variadic && n->nin == 1 ? pull_broadcast(L, n->in[0], t->rank, idx, t) : ex_formula(w->formula, t->dtype, resolve, &N);
  for (N.second = 2; variadic && N.second < n->nin; N.second++) N.so_far = e, e = ex_formula(w->formula, t->dtype, resolve, &N);
  // strict: what a node by itself would have stored; otherwise a fused half-precision chain keeps f32
  if (L->opt && L->opt->math == MATH_STRICT && dtypes[t->dtype].is_float && dtypes[t->dtype].bits < 32) e = ex_round(t->dtype, e);
  return e;
}

// Derivative: the adjoint g of an ELEM op's result, times the slope of that op's formula by one of its operands
Ex *index_derivative(Lower *, Node *, int, IExpr *const *);
Ex *index_derivative(Lower *L, Node *n, int out, IExpr *const *idx) {
  const Type *t = n->out[out]->type;
  Names N = {.L = L, .n = n, .rank = t->rank, .idx = idx, .out = t};
  const char *formula = op_spelled(fmt("%.*s", (int)attr_str(n, "of").n, attr_str(n, "of").p))->how,
             *by = fmt("%c", "xyzw"[attr_int(n, "by")]);
  Ex *slope = ex_formula_derivative(formula, by, t->dtype, resolve, &N);
  return ex_op(S_mul, pull_broadcast(L, n->in[4], t->rank, idx, t), slope, NULL);
}
