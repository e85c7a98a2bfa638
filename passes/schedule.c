// schedule.c - the default scheduler: which of the few schedule shapes a kernel gets, and the two simple ones.
//
// Before: distinct kernels in stage form. After: every kernel has a schedule and its loop tree. -O0 leaves the stages as plain loops.
#include "passes/schedule.h"
#include <string.h>

/* ---- asking ---- */
bool axis_among(const IExpr *a, IExpr *const *set, int n) {
  for (int i = 0; i < n; i++)
    if (set[i] == a) return true;
  return false;
}
bool stage_stores(const Stage *s, const IExpr *a) { return axis_among(a, s->ix, s->out->rank); }
int stage_spatial(const Stage *s, IExpr **out) {
  int n = 0;
  for (int i = 0; i < s->nax; i++)
    if (s->kind[i] == AXIS_SPATIAL) out[n++] = s->ax[i];
  return n;
}
int stage_reduced(const Stage *s, IExpr **out) {
  int n = 0;
  for (int i = 0; i < s->nax; i++)
    if (s->kind[i] == AXIS_REDUCE) out[n++] = s->ax[i];
  return n;
}
int64_t extent_or(const IExpr *axis, int64_t unknown) {
  int64_t k;
  return ix_const(ix_var_of((IExpr *)axis)->a, &k) ? k : unknown;
}
typedef struct Uses {
  Atom *axis;
  bool yes;
} Uses;
static void uses(Ex *e, void *u) {
  Uses *x = u;
  for (int d = 0; e->op == S_LOAD && d < e->buf->rank; d++) x->yes |= ix_has(e->ix[d], x->axis);
  if (e->op == S_IX) x->yes |= ix_has(e->ix[0], x->axis);
  for (int i = 0; i < e->npred; i++) x->yes |= ix_has(e->pred[i], x->axis);
}
bool ex_uses(Ex *e, const IExpr *axis) {
  Uses u = {ix_var_of((IExpr *)axis), false};
  ex_walk(e, uses, &u);
  return u.yes;
}
typedef struct Loads {
  Ex **out;
  int n, max;
} Loads;
static void add_load(Ex *e, void *u) {
  Loads *l = u;
  if (e->op == S_LOAD && l->n < l->max) l->out[l->n++] = e;
}
int stage_loads(const Stage *s, Ex **out, int max) {
  Loads l = {out, 0, max};
  stage_walk(s, add_load, &l);
  return l.n;
}
int64_t access_stride(const Buf *b, IExpr *const *index, const IExpr *axis, bool *affine) {
  Atom *a = ix_var_of((IExpr *)axis);
  if (b->lay && b->lay->mod[b->lay->n - 1]) { // blocked
    int last = b->lay->axis[b->lay->n - 1];
    *affine = true;
    if (index[last] == axis) {
      for (int d = 0; d < b->rank; d++)
        if (d != last && ix_has(index[d], a)) return *affine = false, 0;
      return 1;
    }
    if (ix_has(index[last], a)) return *affine = false, 0;
  }
  return ix_coef(buf_phys(b, index), a, affine);
}
int64_t load_stride(const Ex *e, const IExpr *axis, bool *affine) { return access_stride(e->buf, e->ix, axis, affine); }
static void count_op(Ex *e, void *u) { *(int *)u += e->op > S_SEL; }
int stage_ops(const Stage *s) {
  int n = 0;
  stage_walk(s, count_op, &n);
  return n;
}
bool kernel_is_ordered(const Kernel *k) {
  for (int i = 0; i < k->nstage; i++)
    for (int a = 0; a < k->stage[i]->nax; a++)
      if (k->stage[i]->kind[a] == AXIS_ORDERED) return true;
  return false;
}
const char *sched_axis(Sched *s, IExpr *axis, const char *text) {
  Sym name = sym_fmt("%s_%d", ix_var_of(axis)->name, s->nsplit++);
  if (!s->k->sched) s->k->sched = NEW(Schedule);
  sched_split(s->k->sched, name, axis, text);
  return name;
}

/* ---- one nest over shared spatial axes ---- */
// The vector axis: where most accesses are contiguous and the extent fills a register.
static double vec_score(const Kernel *k, const IExpr *axis, int lanes) {
  double score = 0;
  for (int i = 0; i < k->nstage; i++) {
    const Stage *s = k->stage[i];
    Ex *l[64];
    int n = stage_loads(s, l, 64);
    bool affine;
    for (int j = 0; j < n; j++) {
      if (l[j]->buf->kind == BUF_TEMP) continue;
      int64_t c = load_stride(l[j], axis, &affine);
      score += !affine ? -1 : c == 1 ? 1 : c == 0 ? 0.25 : -1;
    }
    if (s->out->kind == BUF_TEMP) continue;
    int64_t c = access_stride(s->out, s->ix, axis, &affine);
    score += affine && c == 1 ? 2 : -2;
  }
  int64_t e = extent_or(axis, 256);
  return score + (e >= lanes ? 1.0 : (double)e / lanes);
}
static IExpr *vec_axis(const Kernel *k, IExpr *const *ax, int n, int lanes) {
  IExpr *best = NULL;
  double top = -1e9;
  for (int i = n - 1; i >= 0; i--) {
    double v = vec_score(k, ax[i], lanes);
    if (v > top) top = v, best = ax[i];
  }
  return best;
}
// A band text for the spatial axes but v: the leading ones run in parallel until there are chunks enough.
// In a blocked tensor v's blocks keep their place among them.
static void outer_bands(Sched *s, IExpr *const *ax, int n, const IExpr *v, const char *blocks, Text *t) {
  int64_t chunks = 1;
  bool par = true;
  for (int i = 0; i < n; i++) {
    if (ax[i] == v && !blocks) continue;
    par &= chunks < 64;
    put(t, "%s %s", ax[i] == v ? fmt("%s.0", blocks) : sched_axis(s, ax[i], ""), par ? "par " : "");
    chunks *= ax[i] == v ? extent_or(v, 8) / s->t->lanes + 1 : extent_or(ax[i], 8);
  }
}
static bool any_blocked(const Kernel *k) {
  for (int i = 0; i < k->nbuf; i++)
    if (k->buf[i]->kind != BUF_CONST && k->buf[i]->lay && k->buf[i]->lay->mod[k->buf[i]->lay->n - 1]) return true;
  return false;
}
static bool same_axes(IExpr *const *a, int n, IExpr *const *b, int m) {
  if (n != m) return false;
  for (int i = 0; i < n; i++)
    if (!axis_among(a[i], b, m)) return false;
  return true;
}
static bool vectorisable(const Stage *s) { // the emitters refuse nothing here, but serial scatters must stay serial
  for (int d = 0; d < s->out->rank; d++) {
    bool let = false;
    Atom *a = ix_is_atom(s->ix[d]);
    let = a && a->kind == ATOM_LET;
    if (let) return false;
  }
  return true;
}
static const char *vec_text(int64_t extent, int lanes) {
  if (extent <= lanes) return fmt("%d", lanes);
  if (extent > 4 * lanes) return fmt("%d,%d rest %d", 4 * lanes, lanes, 4 * lanes);
  return fmt("%d", lanes);
}
// Nothing but one axis: it is both the parallel and the vector one.
static const char *flat_text(int lanes, int nops) {
  int chunk = nops > 60 ? 512 : nops > 15 ? 2048 : 8192;
  return fmt("%d,%d,%d rest %d", chunk, 4 * lanes, lanes, 4 * lanes);
}
bool sched_shared(Sched *s) {
  Kernel *k = s->k;
  IExpr *ax[MAX_AXES], *other[MAX_AXES];
  int n = stage_spatial(k->stage[0], ax), nops = 0;
  if (!n) return false;
  for (int i = 0; i < k->nstage; i++) {
    int m = stage_spatial(k->stage[i], other);
    if (!same_axes(ax, n, other, m) || !vectorisable(k->stage[i])) return false;
    nops += stage_ops(k->stage[i]);
  }
  IExpr *v = vec_axis(k, ax, n, s->t->lanes);
  int64_t extent = extent_or(v, 1 << 20);
  int lanes = s->t->lanes;
  bool single = k->nstage == 1, blocks = any_blocked(k), flat = n == 1 && single && !blocks, wide = single && !blocks && extent > 4 * lanes;
  Text outer = {0}, inner = {0};
  put(&outer, "%s", "");
  const char *vs = sched_axis(s, v, flat ? flat_text(lanes, nops) : wide ? vec_text(extent, lanes) : fmt("%d", lanes));
  outer_bands(s, ax, n, v, blocks ? vs : NULL, &outer);
  if (flat) put(&outer, "%s.0 par ", vs), put(&inner, "%s.1 %s.2 unroll %s.3 vec", vs, vs, vs);
  else if (wide) put(&outer, "%s.0 ", vs), put(&inner, "%s.1 unroll %s.2 vec", vs, vs);
  else {
    if (!blocks) put(&outer, "%s.0 %s", vs, n == 1 ? "par " : "");
    put(&inner, "%s.1 vec", vs);
  }
  for (int i = 0; i < k->nstage; i++) {
    Text text = {0};
    int r = stage_reduced(k->stage[i], other);
    put(&text, "%s| ", outer.p);
    for (int j = 0; j < r; j++) put(&text, "%s ", sched_axis(s, other[j], ""));
    put(&text, "%s", inner.p);
    sched_bands(k, k->stage[i]->name, text.p);
  }
  for (int b = 0; b < k->nbuf; b++)
    if (k->buf[b]->kind == BUF_TEMP) sched_store(k->sched, k->buf[b], SPACE_REG, -1, NULL);
  return true;
}

/* ---- every stage for itself ---- */
// The axis that the stage stores contiguously and that no access needs a gather for
static IExpr *own_vec_axis(const Stage *s, int lanes) {
  IExpr *ax[MAX_AXES];
  Ex *l[64];
  int n = stage_spatial(s, ax), nload = stage_loads(s, l, 64);
  for (int i = n - 1; i >= 0; i--) {
    bool affine, good = extent_or(ax[i], lanes) >= lanes && access_stride(s->out, s->ix, ax[i], &affine) == 1 && affine;
    for (int j = 0; good && j < nload; j++) {
      int64_t c = load_stride(l[j], ax[i], &affine);
      good = affine && (c == 0 || c == 1);
    }
    if (good) return ax[i];
  }
  return NULL;
}
void sched_apart(Sched *s) {
  Kernel *k = s->k;
  bool ordered = kernel_is_ordered(k);
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    IExpr *ax[MAX_AXES];
    int n = stage_spatial(st, ax);
    Text t = {0};
    bool par = vectorisable(st);
    int64_t chunks = 1;
    IExpr *v = par && !ordered ? own_vec_axis(st, s->t->lanes) : NULL;
    const char *vs = v ? sched_axis(s, v, fmt("%d", s->t->lanes)) : "";
    for (int a = 0; a < st->nax; a++) {
      bool spatial = par && axis_among(st->ax[a], ax, n) && stage_stores(st, st->ax[a]) && chunks < 64;
      par &= spatial;
      put(&t, "%s %s", st->ax[a] == v ? fmt("%s.0", vs) : sched_axis(s, st->ax[a], ""), spatial ? "par " : "");
      chunks *= extent_or(st->ax[a], 8);
    }
    if (v) put(&t, "%s.1 vec", vs);
    if (st->nax) sched_bands(k, st->name, t.p);
  }
}

/* ---- the choice ---- */
static void plain(Kernel *k) { k->sched = k->sched ? k->sched : NEW(Schedule); }
static void schedule(Kernel *k, const Options *o) {
  Sched s = {.k = k, .t = o->target};
  if (o->opt == 0) plain(k);
  else if (o->target->backend == BACKEND_CUDA) sched_cuda(&s);
  else if (kernel_is_ordered(k)) sched_apart(&s);
  else {
    sched_collapse(k);
    if (!sched_contraction(&s) && !sched_attention(&s) && !sched_rows(&s) && !sched_shared(&s)) sched_apart(&s);
  }
  if (!k->sched) plain(k);
}

/* ---- constants take the layout that their kernels chose ---- */
static Tensor *reshaped(const Tensor *t, const Type *type) { // the same elements under the dims that the layout speaks of
  Tensor *r = NEW(Tensor);
  *r = *t;
  r->rank = type->rank;
  for (int d = 0; d < type->rank; d++)
    if (!ix_const(type->dim[d], &r->dim[d])) bug("a constant of an unknown size");
  return r;
}
static HBuf *laid_out(Program *p, HBuf *b, const Buf *as) { // as: the kernel's view of it, whose dims the layout speaks of
  const Layout *lay = as->lay;
  if (b->lay == lay) return b;
  const Type *type = type_tensor(as->dtype, as->rank, as->dim);
  for (int i = 0; lay && i < p->nbuf; i++) { // another use of the same constant may have the same order already
    const HBuf *o = p->buf[i];
    if (o->data && o->data->data == b->data->data && o->type == type && o->lay && !memcmp(o->lay, lay, sizeof *lay)) return p->buf[i];
  }
  HBuf *c = program_buf(p, sym_fmt("%s.p%d", b->name, p->nbuf), type, PLACE_CONST);
  c->data = reshaped(b->data, type), c->lay = lay, c->exact = true;
  return c;
}
static void layouts(Program *p, HStmt *s) {
  for (; s; s = s->next) {
    for (int i = 0; s->kind == HS_LAUNCH && i < s->nbuf; i++)
      if (s->kernel->buf[i]->kind == BUF_CONST) s->buf[i] = laid_out(p, s->buf[i], s->kernel->buf[i]);
    layouts(p, s->body), layouts(p, s->other);
  }
}
static void drop_unused_constants(Program *p, HStmt *s, bool *used) {
  for (; s; s = s->next) {
    for (int i = 0; i < s->nbuf; i++)
      if (s->buf[i]) used[s->buf[i]->id] = true;
    drop_unused_constants(p, s->body, used), drop_unused_constants(p, s->other, used);
  }
}
void pass_schedule(Program *p, const Options *o) {
  for (int i = 0; i < p->nkernel; i++) {
    if (p->kernel[i]->tree) continue; // its row says how it runs
    schedule(p->kernel[i], o);
    kernel_build(p->kernel[i]);
  }
  layouts(p, p->body);
  bool *used = NEWN(bool, p->nbuf + 1);
  drop_unused_constants(p, p->body, used);
  int n = 0;
  for (int i = 0; i < p->nbuf; i++)
    if (p->buf[i]->place != PLACE_CONST || used[p->buf[i]->id]) p->buf[n++] = p->buf[i];
  p->nbuf = n;
  for (int i = 0; i < n; i++) p->buf[i]->id = i;
}
