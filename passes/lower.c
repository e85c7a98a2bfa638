// lower.c - the driver of lowering: a typed graph becomes a host program of kernels in stage form.
//
// Before: inferred graph without EXPAND rows. After: a Program whose kernels are unscheduled, and run as they are in the interpreter.
// Nodes are walked in order. The root of a group emits the group's kernel; NEST, HOST and REGION nodes emit their own statements.
#include "passes/lower.h"
#include "passes/infer.h"
#include <string.h>

/* ---- the table: what each row of ops.def says about lowering ---- */
#define LOWER_ELEM(f) {.family = FAMILY_ELEM, .formula = f}
#define LOWER_INDEX(f) {.family = FAMILY_INDEX, .index = index_##f}
#define LOWER_FOLD(f) {.family = FAMILY_FOLD, .formula = f, .fold = fold_row}
#define LOWER_FOLDN(f) {.family = FAMILY_FOLDN, .fold = fold_##f}
#define LOWER_NEST(f) {.family = FAMILY_NEST, .nest = nest_##f}
#define LOWER_EXPAND(f) {.family = FAMILY_EXPAND}
#define LOWER_HOST(f) {.family = FAMILY_HOST}
#define LOWER_REGION(f) {.family = FAMILY_REGION, .nest = region_##f}
// A function that is not written yet is absent (weak): its op is reported as unsupported, by name.
#define DECLARE_ELEM(f)
#define DECLARE_INDEX(f) Ex *index_##f(Lower *, Node *, int, IExpr *const *) __attribute__((weak));
#define DECLARE_FOLD(f)
#define DECLARE_FOLDN(f) void fold_##f(Lower *, Node *, Fold *) __attribute__((weak));
#define DECLARE_NEST(f) void nest_##f(Lower *, Node *) __attribute__((weak));
#define DECLARE_EXPAND(f)
#define DECLARE_HOST(f)
#define DECLARE_REGION(f) void region_##f(Lower *, Node *) __attribute__((weak));
#pragma GCC diagnostic ignored "-Wredundant-decls"
void fold_row(Lower *, Node *, Fold *);
void host_call(Lower *, Node *);
#define OP(domain, name, since, sig, shape, family, how, ...) DECLARE_##family(how)
#include "ir/ops.def"
static const Lowering table[OP_COUNT] = {
#define OP(domain, name, since, sig, shape, family, how, ...) [OP_##name] = LOWER_##family(how),
#include "ir/ops.def"
};
// Where strings are concerned a row may name a host op (ON_STRINGS).
static bool has_strings(const Node *n) {
  for (int i = 0; i < n->nin + n->nout; i++) {
    const Value *v = i < n->nin ? n->in[i] : n->out[i - n->nin];
    if (v && v->type && v->type->kind == TYPE_TENSOR && v->type->dtype == DT_STR) return true;
  }
  return false;
}
const char *host_function(const Node *n) {
  if (n->op->family == FAMILY_HOST) return n->op->how;
  return *n->op->on_strings && has_strings(n) ? n->op->on_strings : NULL;
}
const Lowering *lowering(const Node *n) {
  static const Lowering host = {.family = FAMILY_HOST, .nest = host_call};
  if (host_function(n)) return &host;
  const Lowering *w = &table[n->op->id];
  return w->formula || w->index || w->fold || w->nest ? w : NULL;
}

/* ---- values ---- */
VInfo *vinfo(Value *v) {
  if (!v->pass) v->pass = NEW(VInfo);
  return v->pass;
}
static void forget(Graph *g) {
  for (int i = 0; i < g->nin; i++) g->in[i]->pass = NULL;
  for (int i = 0; i < g->nout; i++) g->out[i]->pass = NULL;
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i]) n->in[i]->pass = NULL;
    for (int i = 0; i < n->nout; i++)
      if (n->out[i]) n->out[i]->pass = NULL;
    for (int r = 0; r < n->nregion; r++) forget(n->region[r]);
  }
}

// Is e known when the run begins: made of input dims and of names for expressions over them?
static void check_entry(Atom *a, void *u) {
  if (a->kind == ATOM_SYM && !a->def && !a->bound) *(bool *)u = false;
  if (a->kind == ATOM_LET || a->kind == ATOM_VAR) *(bool *)u = false;
  if (a->kind == ATOM_SYM && a->def) ix_atoms(a->def, check_entry, u);
}
bool lower_at_entry(IExpr *e) {
  bool yes = true;
  ix_atoms(e, check_entry, &yes);
  return yes;
}
static bool type_at_entry(const Type *t) {
  for (int d = 0; d < t->rank; d++)
    if (!lower_at_entry(t->dim[d])) return false;
  return true;
}
static bool dense(const Type *t) { return t->kind == TYPE_TENSOR && t->dtype != DT_STR; }

static HBuf *new_value(Lower *L, const char *name, const Type *t) {
  HBuf *b = program_buf(L->prog, sym(name), t, PLACE_ARENA);
  b->exact = true;
  if (!dense(t)) b->place = PLACE_HANDLE, b->index = L->prog->nhandle++;
  else if (!type_at_entry(t)) b->place = PLACE_SLAB, b->index = L->prog->nslab++;
  return b;
}
HBuf *lower_scratch(Lower *L, const char *name, const Type *t) { return new_value(L, name, t); }
HBuf *lower_slab(Lower *L, const char *name, const Type *t) {
  HBuf *b = program_buf(L->prog, sym(name), t, PLACE_SLAB);
  b->exact = true, b->index = L->prog->nslab++;
  return b;
}
HBuf *lower_const_bool(Lower *L, bool v) {
  Tensor *t = tensor_new(DT_BOOL, 0, NULL, NULL);
  tensor_set_int(t, 0, v);
  HBuf *b = program_buf(L->prog, sym(v ? "true" : "false"), type_tensor(DT_BOOL, 0, NULL), PLACE_CONST);
  b->data = t, b->exact = true;
  return b;
}

IExpr *type_count(const Type *t);
IExpr *type_count(const Type *t) {
  IExpr *n = ix(1);
  for (int d = 0; d < t->rank; d++) n = ix_mul(n, t->dim[d]);
  return n;
}
// A slab gets its size, and an output of unknown size its memory, right before what writes it.
void lower_provide(Lower *L, HBuf *b) {
  if (b->place == PLACE_SLAB) {
    HStmt *s = lower_stmt(L, HS_GROW);
    s->nbuf = 1, s->buf = NEWN(HBuf *, 1), s->buf[0] = b;
    s->expr = ix_ceil(ix_scale(type_count(b->type), dtypes[b->type->dtype].bits), 8), s->keep = ix(0);
  }
  if (b->place == PLACE_OUTPUT && !b->exact && dense(b->type)) {
    HStmt *s = lower_stmt(L, HS_OUTPUT);
    s->nbuf = 1, s->buf = NEWN(HBuf *, 1), s->buf[0] = b;
  }
}
// Strings are no weights: a host op makes the value, first of all, so that it is there in every branch.
static HBuf *string_constant(Lower *L, Value *v) {
  HBuf *b = new_value(L, v->name ? v->name : "strings", v->type);
  HStmt *s = NEW(HStmt);
  Attr *a = NEW(Attr);
  *a = (Attr){.name = sym("value"), .kind = ATTR_TENSOR, .n = 1, .t = v->data};
  s->kind = HS_CALL, s->callee = sym("constant"), s->site = -1;
  s->nbuf = 1, s->buf = NEWN(HBuf *, 1), s->buf[0] = b;
  s->attrs = a, s->nattr = 1;
  s->next = L->prog->body;
  if (*L->tail == &L->prog->body) *L->tail = &s->next;
  L->prog->body = s;
  return b;
}
HBuf *lower_value(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  if (i->hbuf) return i->hbuf;
  if (v->data && v->data->dtype == DT_STR) return i->hbuf = string_constant(L, v);
  if (v->data) {
    i->hbuf = program_buf(L->prog, v->name ? v->name : sym("c"), v->type, PLACE_CONST);
    i->hbuf->data = v->data, i->hbuf->exact = true;
    return i->hbuf;
  }
  return i->hbuf = new_value(L, v->name ? v->name : "t", v->type);
}

/* ---- statements and kernels ---- */
HStmt *lower_stmt(Lower *L, HKind kind) {
  HStmt *s = NEW(HStmt);
  s->kind = kind, s->site = -1;
  **L->tail = s, *L->tail = &s->next;
  return s;
}
int lower_site_input(Lower *L, const Node *n, Value *from, const char *text, IExpr *lo, IExpr *hi) {
  Program *p = L->prog;
  Site s = {.node = n->index, .node_name = n->name, .op = sym(n->op->name), .input = INT32_MIN, .text = sym(text), .lo = lo, .hi = hi};
  for (int i = 0; from && !from->def && i < p->nin; i++)
    if (p->in[i].buf == vinfo(from)->hbuf) s.input = i;
  for (int i = 0; i < p->nsite; i++) // one site per node and bound
    if (p->site[i].node == s.node && p->site[i].text == s.text && p->site[i].lo == lo && p->site[i].hi == hi && p->site[i].op == s.op &&
        p->site[i].node_name == s.node_name)
      return i;
  PUSH(p->site, p->nsite, p->csite, s);
  return p->nsite - 1;
}
int lower_site(Lower *L, const Node *n, const char *text, IExpr *lo, IExpr *hi) { return lower_site_input(L, n, NULL, text, lo, hi); }

void lower_begin(Lower *L, const char *name) {
  L->k = kernel_new(sym_fmt("k%d_%s", L->serial, name));
  L->serial++, L->narg = 0, L->nmemo = 0, L->nguard = 0, L->part = NULL;
}
static Buf *param(Lower *L, Value *v, BufKind kind) {
  VInfo *i = vinfo(v);
  int rank = v->type->rank;
  IExpr *dim[MAX_RANK];
  memcpy(dim, v->type->dim, sizeof dim);
  if (is_complex(v) && rank == MAX_RANK)
    fail(EXIT_UNSUPPORTED, "lower.complex", L->node ? node_where(L->node) : NOWHERE, "a complex tensor of rank %d", rank);
  if (is_complex(v)) dim[rank++] = ix(2);
  HBuf *h = lower_value(L, v);
  Buf *b = kernel_buf(L->k,
                      sym_fmt("%s%d",
                              kind == BUF_OUT     ? "y"
                              : kind == BUF_CONST ? "w"
                                                  : "x",
                              L->narg),
                      kind, is_complex(v) ? dtypes[v->type->dtype].reg : v->type->dtype, rank, dim);
  PUSH(L->arg, L->narg, L->carg, h);
  i->buf = b, i->kernel = L->serial;
  return b;
}
Buf *lower_in(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  if (i->buf && i->kernel == L->serial) return i->buf;
  if (i->where == RES_TEMP) bug("temp %%%s is read outside its kernel", v->name ? v->name : "?");
  return param(L, v, v->data ? BUF_CONST : BUF_IN);
}
Buf *lower_out(Lower *L, Value *v) { return param(L, v, BUF_OUT); }
Buf *lower_temp(Lower *L, const char *name, DType t, int rank, IExpr *const *dim) {
  return kernel_buf(L->k, sym_fmt("%s%d", name, L->k->nbuf), BUF_TEMP, t, rank, dim);
}
static void params_first(Kernel *k) {
  Buf *order[MAX_BUFS];
  int n = 0;
  for (int temps = 0; temps < 2; temps++)
    for (int i = 0; i < k->nbuf; i++)
      if ((k->buf[i]->kind == BUF_TEMP) == temps) order[n++] = k->buf[i];
  for (int i = 0; i < n; i++) k->buf[i] = order[i], order[i]->id = i;
}
HStmt *lower_launch(Lower *L) {
  Kernel *k = L->k;
  params_first(k);
  kernel_symbols(k);
  for (int i = 0; i < L->narg; i++)
    if (k->buf[i]->kind == BUF_OUT) lower_provide(L, L->arg[i]);
  HStmt *s = lower_stmt(L, HS_LAUNCH);
  s->kernel = k, s->nbuf = L->narg;
  s->buf = mem_copy(L->arg, (size_t)L->narg * sizeof *L->arg);
  s->arg = NEWN(IExpr *, k->nsym ? k->nsym : 1);
  for (int i = 0; i < k->nsym; i++) s->arg[i] = ix_atom(k->sym[i]);
  PUSH(L->prog->kernel, L->prog->nkernel, L->prog->ckernel, k);
  L->k = NULL;
  return s;
}

/* ---- a group becomes a kernel ---- */
static int axes_of(const VInfo *i, int rank, IExpr **ax, IExpr **dim) {
  int n = 0;
  for (int d = 0; d < rank; d++)
    if (!ix_is(i->var[d], 0)) dim[n] = ix_is_atom(i->var[d])->a, ax[n++] = i->var[d];
  return n;
}
static Ex *identity(Combine c, DType t) {
  bool f = t == DT_F32 || t == DT_F64;
  switch (c) {
  case C_add: return f ? ex_f(t, -0.0) : ex_i(t, 0);
  case C_mul: return f ? ex_f(t, 1) : ex_i(t, 1);
  case C_max: return f ? ex_f(t, -__builtin_inf()) : ex_i(t, t == DT_I32 ? INT32_MIN : t == DT_BOOL ? 0 : INT64_MIN);
  case C_min: return f ? ex_f(t, __builtin_inf()) : ex_i(t, t == DT_I32 ? INT32_MAX : t == DT_BOOL ? 1 : INT64_MAX);
  case C_and: return ex_i(t, t == DT_BOOL ? 1 : -1);
  default: return ex_i(t, 0);
  }
}
static DType storage_of(DType reg) { return reg; } // register types are storage types too
static Ex *emit_fold(Lower *L, Value *v, IExpr **ax, int nax, IExpr **dim, Ex **load) {
  VInfo *i = vinfo(v);
  Fold *f = NEW(Fold);
  f->info = i, f->result = v->out;
  memcpy(f->out, i->var, sizeof i->var);
  L->node = v->def;
  lowering(v->def)->fold(L, v->def, f);
  Buf *acc = lower_temp(L, "acc", storage_of(f->acc), nax, dim);
  IExpr *all[MAX_AXES];
  uint8_t kind[MAX_AXES] = {0};
  int n = nax;
  if (nax + f->nred > MAX_AXES) bug("a fold of %s with %d axes", v->def->op->name, nax + f->nred);
  memcpy(all, ax, (size_t)nax * sizeof *ax);
  for (int r = 0; r < f->nred; r++) kind[n] = AXIS_REDUCE, all[n++] = f->red[r];
  kernel_stage(L->k, sym_fmt("init%d", L->k->nstage), C_SET, acc, nax, ax, kind, ax, f->first ? f->first : identity(f->combine, f->acc));
  Stage *u = kernel_stage(L->k, sym_fmt("upd%d", L->k->nstage), f->combine, acc, n, all, kind, ax, f->term);
  u->npred = f->npred, u->pred = mem_copy(f->pred, sizeof f->pred), u->cond = f->cond;
  *load = ex_load(acc, ax);
  return f->finish ? f->finish(L, v->def, f, *load) : *load;
}
static void emit_member(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  int rank = v->type->rank;
  IExpr *ax[MAX_AXES], *dim[MAX_AXES], *at[MAX_RANK + 1];
  int nax = axes_of(i, rank, ax, dim);
  memcpy(at, i->var, sizeof i->var);
  L->part = NULL;
  if (is_complex(v)) at[rank] = ax[nax] = L->part = ix_var(sym("part"), ix(2)), dim[nax++] = ix(2);
  static const uint8_t spatial[MAX_AXES];
  Ex *acc = NULL, *val;
  L->node = v->def;
  if (v->def->op->family == FAMILY_FOLD || v->def->op->family == FAMILY_FOLDN) val = emit_fold(L, v, ax, nax, dim, &acc);
  else val = elems_known(v) ? pull(L, v, i->var) : pull_elem_node(L, v->def, v->out, i->var);
  if (i->where == RES_ROOT) {
    kernel_stage(L->k, sym_fmt("out%d", L->k->nstage), C_SET, lower_out(L, v), nax, ax, spatial, at, val);
  } else if (val == acc) { // the accumulator itself serves
    i->buf = acc->buf, i->kernel = L->serial;
  } else {
    DType t = val->type; // a temp keeps what the registers had: nothing is rounded inside a kernel
    Buf *b = lower_temp(L, "t", storage_of(t), nax, dim);
    kernel_stage(L->k, sym_fmt("set%d", L->k->nstage), C_SET, b, nax, ax, spatial, ax, val);
    i->buf = b, i->kernel = L->serial;
  }
}
static void emit_group(Lower *L, Group *g) {
  lower_begin(L, g->member[0]->def->op->name);
  for (int m = g->nmember - 1; m >= 0; m--) emit_member(L, g->member[m]);
  lower_launch(L);
}

/* ---- nodes ---- */
static void lower_node(Lower *L, Node *n) {
  const Lowering *w = lowering(n);
  L->node = n;
  if (!w) {
    report(LEVEL_ERROR, EXIT_UNSUPPORTED, "op.unsupported", node_where(n), "%s%s%s has no lowering", n->op->domain,
           *n->op->domain ? "." : "", n->op->name);
    return;
  }
  NestFn *nest = by_openblas(L, n) ? openblas_call : w->nest;
  if (nest) {
    for (int o = 0; o < n->nout; o++) // known results need no statement, unless somebody reads memory: they are cheap anyway
      if (n->out[o]) lower_value(L, n->out[o]);
    nest(L, n);
    return;
  }
  for (int o = 0; o < n->nout; o++) {
    VInfo *i = n->out[o] ? vinfo(n->out[o]) : NULL;
    if (i && i->where == RES_ROOT && i->group && i->group->member[0] == n->out[o]) emit_group(L, i->group);
  }
}
// Symbols that infer made for elements of small computed tensors are loaded as soon as the tensor exists: behind its node, or where the
// graph begins for its inputs. A value that is an expression already (a Loop's iteration) has nothing to load.
static void load_elements(Lower *L, const Graph *g, const Node *n) {
  for (int i = 0; i < inferred.nloaded; i++) {
    const Loaded *l = &inferred.loaded[i];
    if (l->value->def != n || l->value->graph != g || !vinfo(l->value)->loaded) continue;
    HStmt *s = lower_stmt(L, HS_SET);
    s->nbuf = 1, s->buf = NEWN(HBuf *, 1), s->buf[0] = lower_value(L, l->value);
    s->sym = l->sym, s->index = ix(l->index);
    if (n) s->site = lower_site(L, n, "value %v is not in [%l,%h]", ix(l->sym->lo), ix(l->sym->hi));
  }
}
// What a requirement says in symbols that somebody sets: one that infer found equal to others has gone from all types, and where it named
// an input's dim, that very equality is checked when the inputs are; where a result's, by the kernels that find its size.
static bool kernels_size(const Node *n) { return n && n->op->family == FAMILY_NEST; } // and lower_size checks it
static IExpr *successor(Atom *a, void *u) {
  (void)u;
  if (a->kind != ATOM_SYM || a->def || a->bound) return NULL;
  for (int i = 0; i < inferred.nloaded; i++)
    if (inferred.loaded[i].sym == a) return NULL;
  for (int i = 0; i < inferred.nfresh; i++)
    if (inferred.fresh[i].sym == a && !kernels_size(inferred.fresh[i].value->def)) return NULL;
  IExpr *e = ix_resolve(ix_atom(a));
  return e == ix_atom(a) ? NULL : e;
}
static IExpr *required_expr(const Required *r) { return ix_map(r->expr, successor, NULL); }
static void check_required(Lower *L, const Graph *g, const Node *n) { // what only the run can know
  for (int i = 0; i < inferred.nrequired; i++) {
    const Required *r = &inferred.required[i];
    if (r->graph != g || r->node != n->index) continue;
    IExpr *e = required_expr(r);
    if (lower_at_entry(e) || ix_prove_ge0(e)) continue;
    HStmt *s = lower_stmt(L, HS_CHECK);
    s->expr = e, s->site = lower_site(L, n, r->text, ix(0), ix(0));
  }
}
void lower_graph(Lower *L, Graph *g) {
  group_graph(L, g);
  load_elements(L, g, NULL);
  for (Node *n = g->first; n; n = n->next) {
    if (n->index >= 0 && (!n->prev || n->prev->index != n->index)) check_required(L, g, n);
    lower_node(L, n);
    load_elements(L, g, n);
  }
}

/* ---- the whole program ---- */
static void bind_dim(IExpr *d) {
  Atom *a = ix_is_atom(d);
  if (a && a->kind == ATOM_SYM && !a->def) a->bound = 1;
}
static void collect(Program *p, IExpr *e);
static void collect_atom(Atom *a, void *u) {
  Program *p = u;
  if (a->kind == ATOM_SYM) {
    for (int i = 0; i < p->nsym; i++)
      if (p->sym[i] == a) return;
    if (a->def) collect(p, a->def);
    for (int i = 0; i < p->nsym; i++)
      if (p->sym[i] == a) return;
    p->sym = grow(p->sym, p->nsym, &(int){p->nsym}, sizeof *p->sym);
    p->sym[p->nsym++] = a;
  }
}
static void collect(Program *p, IExpr *e) {
  if (e) ix_atoms(e, collect_atom, p);
}
static void collect_type(Program *p, const Type *t) {
  for (int d = 0; t && t->kind == TYPE_TENSOR && d < t->rank; d++) collect(p, t->dim[d]);
  if (t && t->elem) collect_type(p, t->elem);
}
static void collect_body(Program *p, HStmt *s) {
  for (; s; s = s->next) {
    if (s->sym && s->kind != HS_SET) collect_atom(s->sym, p);
    collect(p, s->expr), collect(p, s->index), collect(p, s->keep);
    if (s->kind == HS_LAUNCH)
      for (int i = 0; i < s->kernel->nsym; i++) collect(p, s->arg[i]);
    collect_body(p, s->body), collect_body(p, s->other);
  }
}
// Elements that nothing asks for need not be fetched, nor lie in a range.
static void drop_unused_sets(const Program *p, HStmt **at) {
  for (HStmt *s; (s = *at);) {
    bool used = s->kind != HS_SET;
    for (int i = 0; i < p->nsym && !used; i++) used = p->sym[i] == s->sym;
    drop_unused_sets(p, &s->body), drop_unused_sets(p, &s->other);
    if (used) at = &s->next;
    else *at = s->next;
  }
}
static void symbols(Program *p) {
  for (int i = 0; i < p->nin; i++) collect_type(p, p->in[i].type);
  for (int i = 0; i < p->nout; i++) collect_type(p, p->out[i].type);
  for (int i = 0; i < p->nbuf; i++) collect_type(p, p->buf[i]->type);
  for (int i = 0; i < p->nrequire; i++) collect(p, p->require[i].expr);
  for (int i = 0; i < p->nsite; i++) collect(p, p->site[i].lo), collect(p, p->site[i].hi);
  collect_body(p, p->body);
  drop_unused_sets(p, &p->body);
  Atom **order = NEWN(Atom *, p->nsym + 1); // entry symbols first, otherwise in order of discovery (definitions before uses)
  int n = 0;
  for (int late = 0; late < 2; late++) {
    for (int i = 0; i < p->nsym; i++)
      if (!lower_at_entry(ix_atom(p->sym[i])) == late) order[n++] = p->sym[i];
    if (!late) p->nentry = n;
  }
  p->sym = order;
}

/* ---- names for expressions of symbols that the run sets ---- */
static bool depends(IExpr *e, const Atom *a);
static void depends_atom(Atom *x, void *u) {
  struct {
    const Atom *a;
    bool yes;
  } *d = u;
  d->yes |= x == d->a || (x->kind == ATOM_SYM && x->def && depends(x->def, d->a));
}
static bool depends(IExpr *e, const Atom *a) {
  struct {
    const Atom *a;
    bool yes;
  } d = {a, false};
  ix_atoms(e, depends_atom, &d);
  return d.yes;
}
typedef struct Changed { // symbols that statements have just set
  Atom *a[64];
  int n;
} Changed;
static void changed(Changed *c, Atom *a) {
  if (a && c->n < 64) c->a[c->n++] = a;
}
static void changed_dims(Changed *c, const HStmt *s) { // a call reports the dims of its results
  for (int i = s->nin; i < s->nbuf; i++) {
    const Type *t = s->buf[i] ? s->buf[i]->type : NULL;
    for (int d = 0; t && t->kind == TYPE_TENSOR && d < t->rank; d++) {
      Atom *a = ix_is_atom(t->dim[d]);
      if (a && a->kind == ATOM_SYM && !a->def && !a->bound) changed(c, a);
    }
  }
}
// At `place`: every name that depends on a changed symbol, in order of definition. Returns where the next statement hangs.
static HStmt **rename_at(const Program *p, HStmt **place, const Changed *c) {
  for (int i = p->nentry; i < p->nsym; i++) {
    Atom *x = p->sym[i];
    bool stale = false;
    for (int k = 0; x->def && k < c->n; k++) stale |= depends(x->def, c->a[k]);
    if (!stale) continue;
    HStmt *l = NEW(HStmt);
    l->kind = HS_LET, l->site = -1, l->sym = x, l->expr = x->def, l->next = *place;
    *place = l, place = &l->next;
  }
  return place;
}
static void name_expressions(const Program *p, HStmt **place) {
  Changed c = {.n = 0};
  for (HStmt *s; (s = *place);) {
    bool sets = s->kind == HS_SET || s->kind == HS_LET;
    if (c.n && !sets) place = rename_at(p, place, &c), c.n = 0; // once behind a run of loads
    if (s->kind == HS_LOOP) {
      Changed t = {.n = 0};
      changed(&t, s->sym);
      name_expressions(p, &s->body);
      rename_at(p, &s->body, &t);
    } else name_expressions(p, &s->body), name_expressions(p, &s->other);
    if (sets) changed(&c, s->sym);
    if (s->kind == HS_CALL) changed_dims(&c, s);
    place = &s->next;
  }
  if (c.n) rename_at(p, place, &c);
}

// A dim that infer found to be c*(x/c), with a name y for the quotient: x, which the input binds, and y follows from it. x may be such a
// name.
static IExpr *declared_dim(IExpr *d) {
  Atom *x = d->n == 1 && !d->k && d->t[0].nfac == 1 ? d->t[0].fac[0] : NULL;
  int64_t left = x ? d->t[0].coef : 1, c;
  while (left > 1 && x && x->kind == ATOM_SYM && x->def) {
    Atom *q = ix_is_atom(x->def);
    if (!q || q->kind != ATOM_DIV || !ix_const(q->b, &c) || c <= 1 || left % c) break;
    left /= c, x = ix_is_atom(q->a);
  }
  return left == 1 && x ? ix_atom(x) : d;
}

static const Type *declared(const Type *t) {
  IExpr *dim[MAX_RANK];
  if (t->kind != TYPE_TENSOR) return t;
  for (int d = 0; d < t->rank; d++) bind_dim(dim[d] = declared_dim(t->dim[d]));
  return type_tensor(t->dtype, t->rank, dim);
}

static void inputs(Lower *L, Graph *g) {
  Program *p = L->prog;
  p->in = NEWN(HIo, g->nin + 1), p->nin = g->nin;
  for (int i = 0; i < g->nin; i++) {
    Value *v = g->in[i];
    HBuf *b = program_buf(p, v->name, v->type, PLACE_INPUT);
    b->index = i, b->exact = true;
    p->in[i] = (HIo){
        .name = v->name, .type = declared(v->type), .buf = b, .optional = v->type->kind == TYPE_OPTIONAL, .pair = -1, .pair_axis = -1};
    vinfo(v)->hbuf = b;
  }
}
// The artifact's tables know symbols only: a dim that is an expression gets a name.
static const Type *named_dims(const Type *t, Sym name) {
  if (t->kind != TYPE_TENSOR) return t;
  IExpr *dim[MAX_RANK];
  for (int d = 0; d < t->rank; d++) {
    Atom *a = ix_is_atom(t->dim[d]);
    bool plain = ix_const(t->dim[d], NULL) || (a && a->kind == ATOM_SYM);
    dim[d] = plain ? t->dim[d] : ix_named(sym_fmt("%s.%d", name, d), t->dim[d]);
  }
  return type_tensor(t->dtype, t->rank, dim);
}
// An output that some node computes is written in place; one that is an input, a constant, or given twice is copied at the end.
static void outputs(Lower *L, Graph *g) {
  Program *p = L->prog;
  p->out = NEWN(HIo, g->nout + 1), p->nout = g->nout;
  for (int i = 0; i < g->nout; i++) {
    Value *v = g->out[i];
    Sym name = g->out_name[i] ? g->out_name[i] : v->name ? v->name : sym_fmt("output_%d", i);
    HBuf *b = program_buf(p, name, v->type, PLACE_OUTPUT);
    b->index = i, b->exact = dense(v->type) && type_at_entry(v->type);
    p->out[i] = (HIo){.name = name, .type = named_dims(v->type, name), .buf = b, .pair = -1, .pair_axis = -1};
    if (v->def && !v->data && v->graph == g && !vinfo(v)->hbuf) vinfo(v)->hbuf = b;
  }
}
static void entry_checks(Lower *L, const Graph *g) {
  for (int i = 0; i < inferred.nrequired; i++) {
    const Required *r = &inferred.required[i];
    IExpr *e = r->graph == g ? required_expr(r) : NULL;
    if (e && lower_at_entry(e) && !ix_prove_ge0(e))
      PUSH(L->prog->require, L->prog->nrequire, L->prog->crequire, (struct Require){e, r->text});
  }
}
static void copy_outputs(Lower *L, Graph *g) {
  for (int i = 0; i < g->nout; i++) {
    HBuf *b = L->prog->out[i].buf, *from = lower_value(L, g->out[i]);
    if (from == b) continue;
    lower_provide(L, b);
    HStmt *s = lower_stmt(L, dense(b->type) ? HS_COPY : HS_MOVE);
    s->nbuf = 2, s->buf = NEWN(HBuf *, 2), s->buf[0] = b, s->buf[1] = from;
  }
}
Program *pass_lower(Graph *g, const Options *opt) {
  forget(g);
  HStmt **tail;
  Lower L = {.prog = program_new(g->name), .opt = opt, .tail = &tail};
  tail = &L.prog->body;
  inputs(&L, g);
  outputs(&L, g);
  for (int i = 0; i < inferred.nloaded; i++) vinfo(inferred.loaded[i].value)->must_root = vinfo(inferred.loaded[i].value)->loaded = true;
  entry_checks(&L, g);
  lower_graph(&L, g);
  copy_outputs(&L, g);
  symbols(L.prog);
  name_expressions(L.prog, &L.prog->body);
  return L.prog;
}

bool lower_eval_node(Node *n, Tensor **out) {
  const Lowering *w = lowering(n);
  if (!w || n->nregion) return false;
  HStmt **tail;
  Lower L = {.prog = program_new(sym("fold")), .tail = &tail};
  Program *p = L.prog;
  tail = &p->body;
  void *kept[64];
  int nkept = 0;
  for (int i = 0; i < n->nin + n->nout; i++) {
    Value *v = i < n->nin ? n->in[i] : n->out[i - n->nin];
    if (nkept == 64) return false;
    kept[nkept++] = v ? v->pass : NULL;
    if (v) v->pass = NULL;
  }
  Graph one = {.name = sym("fold"), .first = n, .last = n, .out = n->out, .nout = 0};
  for (int o = 0; o < n->nout; o++)
    if (n->out[o]) vinfo(n->out[o])->must_root = vinfo(n->out[o])->loaded = true; // its symbols stand for what is computed here
  p->out = NEWN(HIo, n->nout + 1);
  for (int o = 0; o < n->nout; o++) {
    if (!n->out[o]) continue;
    HBuf *b = program_buf(p, sym_fmt("o%d", o), n->out[o]->type, PLACE_OUTPUT);
    b->index = p->nout, b->exact = dense(b->type) && type_at_entry(b->type);
    p->out[p->nout++] = (HIo){.name = b->name, .type = b->type, .buf = b, .pair = -1, .pair_axis = -1};
    vinfo(n->out[o])->hbuf = b;
  }
  Node *prev = n->prev, *next = n->next;
  n->prev = n->next = NULL;
  lower_graph(&L, &one);
  n->prev = prev, n->next = next;
  symbols(p);
  EvalFault fault = {.site = -1};
  Tensor *res[64] = {0};
  bool ok = program_eval(p, NULL, res, &fault) == EXIT_OK && fault.site < 0;
  for (int i = 0; i < n->nin + n->nout; i++) {
    Value *v = i < n->nin ? n->in[i] : n->out[i - n->nin];
    if (v) v->pass = kept[i];
  }
  for (int o = 0, k = 0; o < n->nout; o++) out[o] = n->out[o] ? res[k++] : NULL;
  return ok;
}
