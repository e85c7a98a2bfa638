// kernel.c - making kernels: buffers, stages, loads; the physical address of a logical index; what a kernel refers to.
#include "kernel.h"
#include <stdarg.h>
#include <string.h>

/* ---- making ---- */

Kernel *kernel_new(Sym name) {
  Kernel *k = NEW(Kernel);
  k->name = name;
  return k;
}

// Parameters stay in front of temps: a parameter made late moves the temps up.
static void number_buffer(Kernel *k, Buf *b) {
  if (k->nbuf == MAX_BUFS) fail(EXIT_LIMIT, "kernel.buffers", NOWHERE, "kernel %s has more than %d buffers", k->name, MAX_BUFS);
  int at = k->nbuf++;
  if (b->kind != BUF_TEMP)
    for (; at && k->buf[at - 1]->kind == BUF_TEMP; at--) k->buf[at] = k->buf[at - 1], k->buf[at]->id = at;
  k->buf[at] = b;
  b->id = at;
}

Buf *kernel_buf(Kernel *k, Sym name, BufKind kind, DType dtype, int rank, IExpr *const *dim) {
  if (rank > MAX_RANK)
    fail(EXIT_LIMIT, "kernel.rank", NOWHERE, "buffer %s of kernel %s has rank %d; the limit is %d", name, k->name, rank, MAX_RANK);
  Buf *b = NEW(Buf);
  b->name = name, b->kind = kind, b->dtype = dtype, b->rank = rank;
  for (int i = 0; i < rank; i++) b->dim[i] = dim[i];
  number_buffer(k, b);
  return b;
}

Stage *kernel_stage(Kernel *k, Sym name, Combine combine, Buf *out, int nax, IExpr *const *ax, const uint8_t *kind, IExpr *const *index,
                    Ex *val) {
  if (k->nstage == MAX_STAGES) fail(EXIT_LIMIT, "kernel.stages", NOWHERE, "kernel %s has more than %d stages", k->name, MAX_STAGES);
  if (nax > MAX_AXES)
    fail(EXIT_LIMIT, "kernel.axes", NOWHERE, "stage %s of kernel %s has %d axes; the limit is %d", name, k->name, nax, MAX_AXES);
  Stage *s = NEW(Stage);
  s->name = name, s->combine = combine, s->out = out, s->nax = nax, s->val = val;
  for (int i = 0; i < nax; i++) {
    ix_var_of(ax[i]);
    s->ax[i] = ax[i], s->kind[i] = kind ? kind[i] : AXIS_SPATIAL;
  }
  for (int i = 0; i < out->rank; i++) s->ix[i] = index[i];
  return k->stage[k->nstage++] = s;
}

int kernel_params(const Kernel *k) {
  int n = 0;
  while (n < k->nbuf && k->buf[n]->kind != BUF_TEMP) n++;
  return n;
}

int stage_axis(const Stage *s, const Atom *a) {
  for (int i = 0; i < s->nax; i++)
    if (ix_is_atom(s->ax[i]) == a) return i;
  return -1;
}

Ex *ex_load(Buf *b, IExpr *const *index) {
  Ex *e = NEW(Ex);
  e->op = S_LOAD, e->buf = b, e->type = dtypes[b->dtype].reg;
  if (e->type == DT_NONE) bug("a load of %s of type %s", b->name, dtypes[b->dtype].name);
  for (int i = 0; i < b->rank; i++) e->ix[i] = index[i];
  return e;
}

Ex *ex_load_inside(Buf *b, IExpr *const *index, double other) {
  Ex *e = ex_load(b, index);
  if (e->type == DT_F32 || e->type == DT_F64) e->f = other;
  else e->i = (int64_t)other;
  int cap = 0;
  for (int i = 0; i < b->rank; i++) {
    IExpr *below_end = ix_addk(ix_sub(b->dim[i], index[i]), -1);
    if (!ix_prove_ge0(index[i])) PUSH(e->pred, e->npred, cap, index[i]);
    if (!ix_prove_ge0(below_end)) PUSH(e->pred, e->npred, cap, below_end);
  }
  return e;
}

/* ---- layouts ---- */

Layout *layout_new(int n, ...) {
  Layout *l = NEW(Layout);
  if (n > (int)(sizeof l->axis / sizeof *l->axis)) bug("a layout of %d parts", n);
  l->n = n;
  va_list ap;
  va_start(ap, n);
  for (int i = 0; i < n; i++) {
    l->axis[i] = (uint8_t)va_arg(ap, int);
    l->div[i] = va_arg(ap, int);
    l->mod[i] = va_arg(ap, int);
  }
  va_end(ap);
  return l;
}

static IExpr *part_extent(const Buf *b, int p) {
  const Layout *l = b->lay;
  if (l->mod[p]) return ix(l->mod[p]);
  int a = l->axis[p];
  return ix_ceil(ix_addk(b->dim[a], l->lo[a] + l->hi[a]), l->div[p]);
}

static IExpr *phys_layout(const Buf *b, IExpr *const *index) {
  const Layout *l = b->lay;
  IExpr *r = ix(0);
  for (int p = 0; p < l->n; p++) {
    IExpr *x = ix_divk(ix_addk(index[l->axis[p]], l->lo[l->axis[p]]), l->div[p]);
    r = ix_add(ix_mul(r, part_extent(b, p)), l->mod[p] ? ix_modk(x, l->mod[p]) : x);
  }
  return r;
}

IExpr *buf_phys(const Buf *b, IExpr *const *index) {
  if (b->lay) return phys_layout(b, index);
  IExpr *r = b->offset ? b->offset : ix(0);
  if (b->stride[0])
    for (int i = 0; i < b->rank; i++) r = ix_add(r, ix_mul(index[i], b->stride[i]));
  else {
    IExpr *dense = ix(0);
    for (int i = 0; i < b->rank; i++) dense = ix_add(ix_mul(dense, b->dim[i]), index[i]);
    r = ix_add(r, dense);
  }
  return r;
}

// Of a Place: up to and including the last element that the slice may touch.
IExpr *buf_size(const Buf *b) {
  if (b->stride[0]) {
    IExpr *last[MAX_RANK];
    for (int i = 0; i < b->rank; i++) last[i] = ix_max(ix_addk(b->dim[i], -1), ix(0));
    return ix_addk(buf_phys(b, last), 1);
  }
  IExpr *r = ix(1);
  for (int i = 0; i < (b->lay ? b->lay->n : b->rank); i++) r = ix_mul(r, b->lay ? part_extent(b, i) : b->dim[i]);
  return b->offset ? ix_add(b->offset, r) : r;
}

/* ---- what a kernel refers to ---- */

typedef struct Indices {
  void (*f)(IExpr *, void *u);
  void *u;
} Indices;

static void some_index(const Indices *w, IExpr *e) {
  if (e) w->f(e, w->u);
}

static void let_limit(Atom *a, void *u) {
  if (a->kind == ATOM_LET && a->def) some_index(u, ((LetDef *)a->def)->limit);
}
static void index_and_limits(const Indices *w, IExpr *e) {
  some_index(w, e);
  if (e) ix_atoms(e, let_limit, (void *)(uintptr_t)w);
}

static void ex_indices(Ex *e, void *u) {
  const Indices *w = u;
  if (e->op == S_IX) index_and_limits(w, e->ix[0]);
  for (int i = 0; e->buf && i < e->buf->rank; i++) index_and_limits(w, e->ix[i]);
  for (int i = 0; i < e->npred; i++) index_and_limits(w, e->pred[i]);
}

static void buf_indices(const Buf *b, const Indices *w) {
  for (int i = 0; i < b->rank; i++) some_index(w, b->dim[i]), some_index(w, b->stride[i]);
  some_index(w, b->offset);
}

static void stage_indices(const Stage *s, Indices *w) {
  for (int i = 0; i < s->nax; i++) some_index(w, ix_var_of(s->ax[i])->a);
  for (int i = 0; i < s->out->rank; i++) index_and_limits(w, s->ix[i]);
  for (int i = 0; i < s->npred; i++) index_and_limits(w, s->pred[i]);
  stage_walk(s, ex_indices, w);
}

static void tree_indices(const Tree *t, Indices *w) {
  for (; t; t = t->next) {
    if (t->kind == T_FOR) index_and_limits(w, t->ext), ex_walk_index(t->ext, ex_indices, w);
    if (t->kind == T_ALLOC) buf_indices(t->buf, w);
    for (int i = 0; t->kind == T_STMT && i < t->buf->rank; i++) index_and_limits(w, t->ix[i]), ex_walk_index(t->ix[i], ex_indices, w);
    for (int i = 0; i < t->npred; i++) index_and_limits(w, t->pred[i]), ex_walk_index(t->pred[i], ex_indices, w);
    ex_walk_more(t->cond, ex_indices, w);
    ex_walk_more(t->val, ex_indices, w);
    tree_indices(t->body, w);
  }
}

void kernel_indices(const Kernel *k, void (*f)(IExpr *, void *u), void *u) {
  Indices w = {f, u};
  for (int i = 0; i < k->nbuf; i++) buf_indices(k->buf[i], &w);
  for (int i = 0; i < k->nstage; i++) stage_indices(k->stage[i], &w);
  ex_epoch++;
  tree_indices(k->tree, &w);
}

typedef struct Referred {
  Atom **sym; // by name: the same order in every process
  int *site;
  int nsym, csym, nsite, csite;
} Referred;

static void add_site(Referred *r, int site) {
  for (int i = 0; i < r->nsite; i++)
    if (r->site[i] == site) return;
  PUSH(r->site, r->nsite, r->csite, site);
  for (int i = r->nsite - 1; i && r->site[i] < r->site[i - 1]; i--) r->site[i] = r->site[i - 1], r->site[i - 1] = site;
}

static void add_atom(Atom *a, void *u) {
  Referred *r = u;
  if (a->kind == ATOM_LET && a->def && ((LetDef *)a->def)->site >= 0) add_site(r, ((LetDef *)a->def)->site);
  if (a->kind != ATOM_SYM) return;
  for (int i = 0; i < r->nsym; i++)
    if (r->sym[i] == a) return;
  PUSH(r->sym, r->nsym, r->csym, a);
  for (int i = r->nsym - 1; i && strcmp(a->name, r->sym[i - 1]->name) < 0; i--) r->sym[i] = r->sym[i - 1], r->sym[i - 1] = a;
}
static void add_atoms(IExpr *e, void *u) { ix_atoms(e, add_atom, u); }

void kernel_symbols(Kernel *k) {
  Referred r = {0};
  for (int i = 0; i < k->nsym; i++) add_atom(k->sym[i], &r); // a launch argument stays one, even if build found no use for it
  kernel_indices(k, add_atoms, &r);
  k->sym = r.sym, k->nsym = r.nsym;
  k->site = r.site, k->nsite = r.nsite;
}
