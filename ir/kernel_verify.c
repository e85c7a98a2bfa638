// kernel_verify.c - the laws of KERNELS.md section 1, as far as they can be decided: whatever is provably wrong is our bug. What depends on
// values (an index in range) the interpreter checks when it runs; the rest is proved here.
#include "kernel_text.h"
#include "scalar.h"
#include <string.h>

typedef struct Verify {
  const Kernel *k;
  const char *where; // the stage, or "tree"
  const Stage *st;   // NULL in a tree
  struct Loop {
    const Tree *t;
    int nbuf; // buffers that existed before the loop
  } loop[64];
  int nloop;
  Buf **buf; // allocations in scope
  int nbuf, cbuf;
} Verify;

#define WRONG(v, ...) wrong(v, fmt(__VA_ARGS__))
_Noreturn static void wrong(const Verify *v, const char *what) { bug("kernel %s, %s: %s", v->k->name, v->where, what); }

/* ---- what may be referred to ---- */

static bool loop_open(const Verify *v, const Atom *a) {
  for (int i = 0; i < v->nloop; i++)
    if (ix_is_atom(v->loop[i].t->var) == a) return true;
  return false;
}

static void check_atom(Atom *a, void *u) {
  const Verify *v = u;
  if (a->kind == ATOM_VAR && !(v->st ? stage_axis(v->st, a) >= 0 : loop_open(v, a))) WRONG(v, "%s is no axis here", a->name);
  if (a->kind == ATOM_LET && !a->def) WRONG(v, "the let %s has no value", a->name);
}
static void check_index(const Verify *v, IExpr *e) {
  if (!e) WRONG(v, "an index is missing");
  ix_atoms(e, check_atom, (void *)(uintptr_t)v);
}

static bool known_buf(const Verify *v, const Buf *b) {
  if (b->id >= 0 && b->id < v->k->nbuf && v->k->buf[b->id] == b) return v->st || b->kind != BUF_TEMP;
  for (int i = v->nbuf - 1; i >= 0 && !v->st; i--)
    if (v->buf[i] == b) return true;
  return false;
}

/* ---- buffers ---- */

static void check_layout(const Verify *v, const Buf *b) {
  const Layout *l = b->lay;
  if (b->stride[0]) WRONG(v, "%s has a layout and strides", b->name);
  int seen = 0;
  for (int i = 0; i < l->n; i++) {
    if (l->axis[i] >= b->rank || l->div[i] < 1 || l->mod[i] < 0) WRONG(v, "a malformed layout of %s", b->name);
    seen |= 1 << l->axis[i];
  }
  for (int i = 0; i < b->rank; i++)
    if (!(seen >> i & 1) && !ix_is(b->dim[i], 1)) WRONG(v, "the layout of %s leaves out axis %d", b->name, i);
}

static void check_buf(const Verify *v, const Buf *b) {
  if (dtypes[b->dtype].reg == DT_NONE) WRONG(v, "%s has the type %s", b->name, dtypes[b->dtype].name);
  for (int i = 0; i < b->rank; i++) {
    if (!b->dim[i]) WRONG(v, "%s lacks dim %d", b->name, i);
    if (b->stride[0] && !b->stride[i]) WRONG(v, "%s lacks stride %d", b->name, i);
    if (b->table && !ix_const(b->dim[i], NULL)) WRONG(v, "the table %s has no constant shape", b->name);
  }
  if (b->lay) check_layout(v, b);
}

static void check_bufs(Verify *v) {
  v->where = "buffers";
  bool temps = false;
  for (int i = 0; i < v->k->nbuf; i++) {
    const Buf *b = v->k->buf[i];
    if (b->id != i) WRONG(v, "%s has number %d at position %d", b->name, b->id, i);
    if (temps && b->kind != BUF_TEMP) WRONG(v, "parameter %s comes after temps", b->name);
    temps |= b->kind == BUF_TEMP;
    check_buf(v, b);
  }
}

/* ---- scalar expressions: operand types are scalar.def's ---- */

static bool class_has(const char *c, size_t n, DType t) {
  bool is_f = t == DT_F32 || t == DT_F64, is_i = t == DT_I32 || t == DT_I64;
  for (size_t i = 0; i < n; i++)
    if ((c[i] == 'F' && is_f) || (c[i] == 'I' && is_i) || (c[i] == 'B' && t == DT_BOOL) || (c[i] == 'N' && t != DT_BOOL)) return true;
  return false;
}

int ex_misfit(const Ex *e) {
  const char *rule = scalars[e->op].type;
  int first = e->op == S_select;
  for (int i = 0; i < scalars[e->op].arity; i++) {
    size_t n = strcspn(rule, " ");
    bool any = first && i; // both values of a select, bool too
    if (!e->a[i] || (!any && !class_has(rule, n, e->a[i]->type)) || (i > first && e->a[i]->type != e->a[first]->type)) return i;
    rule += n + 1;
  }
  return -1;
}

static void check_load(const Verify *v, const Ex *e) {
  if (!e->buf || !known_buf(v, e->buf)) WRONG(v, "a load of %s, which is not visible here", e->buf ? e->buf->name : "nothing");
  if (e->type != dtypes[e->buf->dtype].reg) WRONG(v, "a load of %s gives %s", e->buf->name, dtypes[e->type].name);
  for (int i = 0; i < e->buf->rank; i++) check_index(v, e->ix[i]);
  if (e->cond && e->cond->type != DT_BOOL) WRONG(v, "the condition of a load of %s is no bool", e->buf->name);
}

static void check_ex(Ex *e, void *u) {
  const Verify *v = u;
  for (int i = 0; i < e->npred; i++) check_index(v, e->pred[i]);
  if (e->op == S_LOAD) check_load(v, e);
  else if (e->op == S_IX) check_index(v, e->ix[0]);
  else if (e->op == S_SEL) {
    if (e->npred != 1 || e->a[0]->type != e->type || e->a[1]->type != e->type) WRONG(v, "a malformed sel");
  } else if (e->op != S_CONST && ex_misfit(e) >= 0) WRONG(v, "operand %d of %s has a wrong type", ex_misfit(e), scalars[e->op].name);
}

static void check_effect(const Verify *v, Combine c, const Buf *b, IExpr *const *ix, int npred, IExpr *const *pred, const Ex *cond,
                         const Ex *val) {
  if (!known_buf(v, b)) WRONG(v, "a store to %s, which is not visible here", b->name);
  if (b->kind == BUF_IN || b->kind == BUF_CONST) WRONG(v, "a store to the input %s", b->name);
  for (int i = 0; i < b->rank; i++) check_index(v, ix[i]);
  for (int i = 0; i < npred; i++) check_index(v, pred[i]);
  if (!val || val->type != dtypes[b->dtype].reg) WRONG(v, "%s takes %s", b->name, dtypes[dtypes[b->dtype].reg].name);
  if (cond && cond->type != DT_BOOL) WRONG(v, "the condition of a store is no bool");
  bool bits = c == C_and || c == C_or || c == C_xor, is_f = val->type == DT_F32 || val->type == DT_F64;
  if (c != C_SET && (bits ? is_f : val->type == DT_BOOL)) WRONG(v, "accum %s on %s", combines[c].name, dtypes[val->type].name);
}

/* ---- stages ---- */

static void note_let(Atom *a, void *u) {
  if (a->kind == ATOM_LET) *(bool *)u = true;
}

// Laws 4 and 6: a set stage writes a cell once, so each of its axes is in the store index; only accum folds a reduce axis.
static void check_store_axes(const Verify *v, const Stage *s) {
  bool loaded = false;
  for (int i = 0; i < s->out->rank; i++) ix_atoms(s->ix[i], note_let, &loaded);
  if (s->combine != C_SET || loaded || s->npred || s->cond) return;
  for (int a = 0; a < s->nax; a++) {
    bool used = s->kind[a] == AXIS_ORDERED || ix_upper(ix_var_of(s->ax[a])->a) <= 1;
    for (int i = 0; i < s->out->rank; i++) used |= ix_has(s->ix[i], ix_is_atom(s->ax[a]));
    if (s->kind[a] == AXIS_REDUCE || !used) WRONG(v, "axis %s writes the same cells again", ix_var_of(s->ax[a])->name);
  }
}

typedef struct Reads {
  const Buf *b;
  bool found;
} Reads;
static void note_read(Ex *e, void *u) {
  Reads *r = u;
  r->found |= e->op == S_LOAD && e->buf == r->b;
}
static bool reads(const Stage *s, const Buf *b) {
  Reads r = {b, false};
  stage_walk(s, note_read, &r);
  return r.found;
}

static void check_order(Verify *v) { // a temp is written before it is read
  for (int t = kernel_params(v->k); t < v->k->nbuf; t++)
    for (int s = 0; s < v->k->nstage; s++) {
      v->where = v->k->stage[s]->name;
      if (v->k->stage[s]->out == v->k->buf[t]) break;
      if (reads(v->k->stage[s], v->k->buf[t])) WRONG(v, "%s is read before any stage writes it", v->k->buf[t]->name);
    }
}

static void check_stage(Verify *v, const Stage *s) {
  v->st = s, v->where = s->name;
  for (int i = 0; i < s->nax; i++) {
    for (int j = 0; j < i; j++)
      if (s->ax[i] == s->ax[j]) WRONG(v, "axis %s occurs twice", ix_var_of(s->ax[i])->name);
    check_index(v, ix_var_of(s->ax[i])->a);
  }
  check_effect(v, s->combine, s->out, s->ix, s->npred, s->pred, s->cond, s->val);
  check_store_axes(v, s);
  stage_walk(s, check_ex, v);
  v->st = NULL;
}

/* ---- the tree ---- */

static const Tree *enclosing(const Verify *v, LoopMap map) {
  for (int i = v->nloop - 1; i >= 0; i--)
    if (v->loop[i].t->map == map) return v->loop[i].t;
  return NULL;
}

typedef struct RegIndex {
  const Verify *v;
  const Buf *b;
} RegIndex;

static void check_reg_atom(Atom *a, void *u) { // law 2; threads have registers of their own
  const RegIndex *r = u;
  if (a->kind != ATOM_VAR) WRONG(r->v, "a register index of %s depends on %s", r->b->name, a->name ? a->name : "a quotient");
  for (int i = 0; i < r->v->nloop; i++) {
    LoopMap m = r->v->loop[i].t->map;
    if (ix_is_atom(r->v->loop[i].t->var) == a && m != MAP_UNROLL && m != MAP_VEC && m != MAP_DOT && m != MAP_TR && m < MAP_THREAD_X)
      WRONG(r->v, "the register %s is indexed by %s, a rolled loop", r->b->name, a->name);
  }
}
static void leaves_only(Atom *a, void *u) {
  if (a->kind == ATOM_VAR || a->kind == ATOM_SYM || a->kind == ATOM_LET) check_reg_atom(a, u);
}

static void check_reg(const Verify *v, const Buf *b, IExpr *const *ix) {
  RegIndex r = {v, b};
  for (int i = 0; b->space == SPACE_REG && b->kind == BUF_TEMP && i < b->rank; i++) ix_atoms(ix[i], leaves_only, &r);
}
static void check_reg_load(Ex *e, void *u) {
  if (e->op == S_LOAD) check_reg(u, e->buf, e->ix);
}

static bool alloc_inside(const Verify *v, const Buf *b, int loop) {
  for (int i = v->loop[loop].nbuf; i < v->nbuf; i++)
    if (v->buf[i] == b) return true;
  return false;
}

// Law 3: iterations of a vec, par or thread loop write disjoint cells, so the store index depends on its variable, unless the buffer
// lives inside the loop. (Injectivity itself is not decided here.)
static void check_disjoint(const Verify *v, const Tree *t) {
  for (int l = 0; l < v->nloop; l++) {
    const Tree *f = v->loop[l].t;
    if ((f->map != MAP_VEC && f->map != MAP_PAR && f->map < MAP_BLOCK_X) || ix_upper(f->ext) <= 1 || alloc_inside(v, t->buf, l)) continue;
    bool depends = false;
    for (int i = 0; i < t->buf->rank; i++) {
      ix_atoms(t->ix[i], note_let, &depends);
      depends |= ix_has(t->ix[i], ix_is_atom(f->var));
    }
    for (int i = 0; i < t->npred; i++) depends |= ix_has(t->pred[i], ix_is_atom(f->var)); // at most one iteration may write
    if (!depends && !(f->map >= MAP_BLOCK_X && t->buf->space == SPACE_SHARED))
      WRONG(v, "iterations of %s all write the same cell of %s", ix_var_of(f->var)->name, t->buf->name);
  }
}

static void check_statement(Verify *v, const Tree *t) {
  v->where = t->buf->name;
  check_effect(v, t->combine, t->buf, t->ix, t->npred, t->pred, t->cond, t->val);
  ex_walk(t->val, check_ex, v);
  ex_walk_more(t->cond, check_ex, v);
  for (int i = 0; i < t->buf->rank; i++) ex_walk_index(t->ix[i], check_ex, v);
  for (int i = 0; i < t->npred; i++) ex_walk_index(t->pred[i], check_ex, v);
  ex_walk(t->val, check_reg_load, v);
  check_reg(v, t->buf, t->ix);
  check_disjoint(v, t);
}

static void check_tree(Verify *v, const Tree *t);

static void check_for(Verify *v, const Tree *t) {
  const Atom *a = ix_var_of(t->var);
  v->where = a->name;
  check_index(v, t->ext);
  ex_walk_index(t->ext, check_ex, v);
  const Tree *vec = enclosing(v, MAP_VEC);
  if (t->map == MAP_VEC && !ix_const(t->ext, NULL)) WRONG(v, "a vec loop of extent %s", ix_str(t->ext));
  if (vec && (t->map == MAP_VEC || t->map == MAP_PAR || t->map >= MAP_BLOCK_X)) WRONG(v, "a vec, par or thread loop inside vec");
  if (vec && ix_has(t->ext, ix_is_atom(vec->var))) WRONG(v, "a loop inside vec has bounds that differ by lane"); // rule 9
  if (t->axis == AXIS_ORDERED && t->map != MAP_SEQ && t->map != MAP_UNROLL) WRONG(v, "an ordered loop is parallel");
  if (t->axis == AXIS_REDUCE && t->map >= MAP_BLOCK_X && t->map <= MAP_BLOCK_Z) WRONG(v, "a reduce loop over blocks"); // threads: as vec
  if (v->nloop == (int)(sizeof v->loop / sizeof *v->loop)) WRONG(v, "loops are nested too deep");
  int nbuf = v->nbuf;
  v->loop[v->nloop].t = t, v->loop[v->nloop++].nbuf = nbuf;
  check_tree(v, t->body);
  v->nloop--, v->nbuf = nbuf;
}

static void check_alloc(Verify *v, const Tree *t) {
  v->where = t->buf->name;
  check_buf(v, t->buf);
  int64_t n;
  bool is_const = ix_const(buf_size(t->buf), &n);
  if (t->buf->space == SPACE_AUTO) WRONG(v, "storage without a space");
  if ((t->buf->space == SPACE_REG || t->buf->space == SPACE_STACK) && (!is_const || n > 1 << 20))
    WRONG(v, "%s elements in registers or on the stack", ix_str(buf_size(t->buf)));
  PUSH(v->buf, v->nbuf, v->cbuf, t->buf);
}

static void check_tree(Verify *v, const Tree *t) {
  for (; t; t = t->next) switch (t->kind) {
    case T_FOR: check_for(v, t); break;
    case T_ALLOC: check_alloc(v, t); break;
    case T_STMT: check_statement(v, t); break;
    case T_WHILE: {
      int nbuf = v->nbuf;
      if (!t->cond || t->cond->type != DT_BOOL) WRONG(v, "the condition of a while is no bool");
      if (enclosing(v, MAP_VEC)) WRONG(v, "a while inside vec");
      ex_walk(t->cond, check_ex, v);
      check_tree(v, t->body);
      v->nbuf = nbuf;
      break;
    }
    case T_SYNC: break;
    }
}

void kernel_verify(const Kernel *k) {
  Verify *v = NEW(Verify);
  v->k = k;
  check_bufs(v);
  for (int i = 0; i < k->nstage; i++) check_stage(v, k->stage[i]);
  check_order(v);
  v->where = "tree";
  check_tree(v, k->tree);
}
