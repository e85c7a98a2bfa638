// build.c - stages + schedule -> loop tree, with region inference (KERNELS.md section 2a, rules 2-5, 8). The only place that makes loops.
//
// Before: the stages obey the laws; the schedule, if there is one, names their bands (a stage without bands gets plain loops over its
// axes). After: k->tree computes what the stages compute, bit for bit except where a schedule reorders a fold.
//
// Stages run in list order; `shared` says how many leading bands a stage has in common with the one before, so the stages form a prefix
// tree. Opening a band needs the region its owner must cover on the band's axis, seen from the bands already open (the path):
//   - a stage that fills a temp covers what its readers load, their own axes eliminated by intervals (so a producer follows a foreign
//   band);
//   - a reader outside a band of the stage's own axis sees all its iterations, so it asks for the whole tile of that band;
//   - output axes, reduce axes and carried axes cover the tile of the last open band of that axis, or the whole axis.
// An axis is carried if it is ordered, or if the stage reads its own result elsewhere along it: all of it is needed, in order.
#include "build_internal.h"
#include <stdlib.h>
#include <string.h>

static Tree *append(Build *b, Tree t) {
  Tree *n = mem_copy(&t, sizeof t);
  *b->tail = n, b->tail = &n->next;
  return n;
}

/* ---- storage (rule 4) ---- */

// step := min(step, extent) rounded up to the innermost step: a narrow region narrows the tile.
static int64_t tile_step(const Split *sp, int level, IExpr *ext) {
  int64_t step = level < sp->n ? sp->step[level] : 1, k, inner = sp->n ? sp->step[sp->n - 1] : 1;
  if (ix_const(ext, &k) && step > k) step = k > 0 ? k : 1;
  if (level < sp->n && inner < step) step = (step + inner - 1) / inner * inner;
  return step;
}

// How far past a region of that extent a stage may touch an axis: the tile that its bands inside the storage (from depth d on) round up to.
static int64_t grain(const Build *b, int s, const Atom *axis, int d, IExpr *ext) {
  const StageSched *row = b->st[s].row;
  for (int i = d; i < row->nband; i++) {
    const Split *p = &b->s->split[row->band[i].split];
    if (p->axis != axis) continue;
    int64_t step = tile_step(p, row->band[i].level, ext), rest = p->nrest ? p->rest[p->nrest - 1] : step;
    return rest < step ? rest : step;
  }
  return 1;
}

static int64_t larger(int64_t x, int64_t y) { return x > y ? x : y; }

static int64_t grain_of_dim(const Build *b, const Buf *t, int dim, int d, IExpr *ext) {
  int64_t g = 1;
  for (int q = 0; q < b->k->nstage; q++) {
    const Info *in = &b->st[q];
    for (int j = 0; j < in->st->nax; j++) {
      if (in->st->out == t && in->st->ix[dim] == in->st->ax[j]) g = larger(g, grain(b, q, in->axis[j], d, ext));
      for (int i = 0; i < in->nload; i++)
        if (in->load[i]->buf == t && in->load[i]->ix[dim] == in->st->ax[j]) g = larger(g, grain(b, q, in->axis[j], d, ext));
    }
  }
  return g;
}

static const Atom *writers_axis(const Build *b, const Buf *t, int dim, int writer) { // NULL: not every writer stores an axis there
  for (int q = 0; q < b->k->nstage; q++)
    if (b->st[q].st->out == t && stage_axis(b->st[q].st, ix_is_atom(b->st[q].st->ix[dim])) < 0) return NULL;
  return ix_is_atom(b->st[writer].st->ix[dim]);
}

static bool carried_dim(const Build *b, const Buf *t, int dim) {
  for (int q = 0; q < b->k->nstage; q++)
    for (int a = 0; a < b->st[q].st->nax; a++)
      if (b->st[q].st->out == t && b->st[q].carried[a] && b->st[q].dim[a] == dim) return true;
  return false;
}

static Region storage_region(Build *b, Buf *t, int dim, int writer, int d) {
  const Atom *axis = writers_axis(b, t, dim, writer);
  return axis && !carried_dim(b, t, dim) ? need(b, t, dim, axis, writer, d) : (Region){ix(0), t->dim[dim]};
}

static int vec_dim(const Build *b, const Buf *t) { // the dimension that a writer stores vectors along
  for (int q = 0; q < b->k->nstage; q++)
    for (int i = 0; b->st[q].st->out == t && i < b->st[q].row->nband; i++)
      for (int dim = 0; b->st[q].row->band[i].map == MAP_VEC && dim < t->rank; dim++)
        if (ix_is_atom(b->st[q].st->ix[dim]) == b->s->split[b->st[q].row->band[i].split].axis) return dim;
  return -1;
}

static const Layout *vec_innermost(const Build *b, const Buf *t) {
  int last = vec_dim(b, t);
  if (last < 0 || last == t->rank - 1) return NULL;
  Layout *l = NEW(Layout);
  for (int i = 0; i <= t->rank; i++) {
    int dim = i == t->rank ? last : i;
    if (i < t->rank && i == last) continue;
    l->axis[l->n] = (uint8_t)dim, l->div[l->n++] = 1;
  }
  return l;
}

// What no schedule says: small constant tiles on the stack, others in the worker's scratch. Storage that lives across phases is in the
// arena, whatever was asked: other workers read it.
static Space space_of(const Buf *t, const Store *st, int d) {
  enum { STACK_BYTES = 4096 };
  int64_t n;
  if (d == 0) return SPACE_ARENA;
  if (st && st->space != SPACE_AUTO) return st->space;
  return ix_const(buf_size(t), &n) && n * 8 <= STACK_BYTES ? SPACE_STACK : SPACE_SCRATCH;
}

static void alloc(Build *b, Buf *t, int d, const Store *st) {
  Temp *p = &b->temp[t->id];
  Buf *home = mem_copy(t, sizeof *t);
  home->data = home->v = NULL;
  for (int i = 0; i < t->rank; i++) {
    Region r = storage_region(b, t, i, p->writer, d);
    int64_t g = ix_is(r.ext, 1) ? 1 : grain_of_dim(b, t, i, d, r.ext);
    p->lo[i] = r.lo;
    home->dim[i] = ix_scale(ix_ceil(r.ext, g), g);
  }
  home->lay = st && st->lay ? st->lay : vec_innermost(b, t);
  home->space = space_of(home, st, d);
  p->home = home;
  append(b, (Tree){.kind = T_ALLOC, .buf = home});
}

const Store *store_of(const Build *b, const Buf *t) {
  for (int i = 0; i < b->s->nstore; i++)
    if (b->s->store[i].temp == t) return &b->s->store[i];
  return NULL;
}

// Bands outside the storage: all that its stages have in common; fewer if asked, or if a carried axis needs what came before.
int alloc_depth(const Build *b, const Buf *t) {
  const Temp *p = &b->temp[t->id];
  int at = p->first == p->last ? prefix(b, p->first) : common(b, p->first, p->last);
  const Store *st = store_of(b, t);
  if (st && st->depth >= 0 && st->depth < at) at = st->depth;
  for (int q = p->first; q <= p->last; q++)
    for (int i = 0; b->st[q].st->out == t && i < at; i++) {
      int a = stage_axis(b->st[q].st, b->s->split[b->st[q].row->band[i].split].axis);
      if (a >= 0 && b->st[q].carried[a]) at = i;
    }
  return at;
}

/* ---- statements and their guards (rule 5) ---- */

typedef struct Preds {
  IExpr **p;
  int n, c;
} Preds;

static void add_pred(Preds *l, IExpr *p) {
  for (int i = 0; i < l->n; i++)
    if (l->p[i] == p) return;
  PUSH(l->p, l->n, l->c, p);
}

typedef struct Leaf { // stage s at the bottom of its bands: each axis is down to one value
  Build *b;
  int s;
  const Info *in;
  IExpr *at[MAX_AXES];
  Preds guard[MAX_AXES];
} Leaf;

static IExpr *at_leaf(const Leaf *l, IExpr *e) { return ix_subst(e, l->in->st->nax, l->in->axis, l->at); }

static IExpr *padded_end(const Buf *b, int dim) { // storage ends here on that axis, in logical indices
  const Layout *l = b->lay;
  if (!l) return b->dim[dim];
  int64_t unit = 1;
  for (int p = 0; p < l->n; p++)
    if (l->axis[p] == dim) unit = larger(unit, l->div[p] * (l->mod[p] ? l->mod[p] : 1));
  IExpr *n = ix_addk(b->dim[dim], l->lo[dim] + l->hi[dim]);
  return ix_addk(ix_scale(ix_ceil(n, unit), unit), -l->lo[dim]);
}

static bool in_storage(const Buf *b, int dim, IExpr *x, bool upper) { // halo and pad included
  if (!upper) return ix_prove_ge0(ix_addk(x, b->lay ? b->lay->lo[dim] : 0));
  return ix_prove_ge0(ix_addk(ix_sub(padded_end(b, dim), x), -1));
}

static void guard_axes_of(const Leaf *l, IExpr *original, Preds *to) { // the guards of every axis that it uses
  for (int i = 0; i < l->in->st->nax; i++)
    for (int j = 0; ix_has(original, l->in->axis[i]) && j < l->guard[i].n; j++) add_pred(to, l->guard[i].p[j]);
}

// Where some open band is masked, lanes beyond it may come out of storage: then storage itself is the guard. What is needed is inside.
static void guard_storage(const Leaf *l, const Buf *home, int dim, IExpr *x, bool upper, Preds *to) {
  bool masked = false;
  for (int i = 0; i < l->in->row->nband; i++) masked |= l->b->path[i].limit != NULL;
  if (!masked) return;
  if (upper) add_pred(to, ix_addk(ix_sub(padded_end(home, dim), x), -1));
  else add_pred(to, ix_addk(x, home->lay ? home->lay->lo[dim] : 0));
}

static void leaf_guards(Leaf *l, int s, int a) {
  Build *b = l->b;
  int d = l->in->row->nband;
  for (int j = follows_readers(l->in, a) ? prefix(b, s) : 0; j < d; j++) { // a region from readers: only own bands can overrun it
    if (b->path[j].axis != l->in->axis[a] || !b->path[j].limit) continue;
    IExpr *g = ix_addk(ix_sub(b->path[j].limit, l->at[a]), -1);
    if (!ix_prove_ge0(g)) add_pred(&l->guard[a], g);
  }
  IExpr *below_end = ix_addk(ix_sub(at_leaf(l, l->in->axis[a]->a), l->at[a]), -1);
  if (!ix_prove_ge0(below_end)) add_pred(&l->guard[a], below_end);
  if (!ix_prove_ge0(l->at[a])) add_pred(&l->guard[a], l->at[a]);
}

// An axis whose extent depends on another one is only as good as that one: a masked row has no last column.
static void ragged_guards(Leaf *l) {
  const Info *in = l->in;
  for (int round = 0; round < in->st->nax; round++)
    for (int a = 0; a < in->st->nax; a++)
      for (int j = 0; j < in->st->nax; j++)
        for (int g = 0; ix_has(in->axis[a]->a, in->axis[j]) && g < l->guard[j].n; g++) add_pred(&l->guard[a], l->guard[j].p[g]);
}

static bool fill_is_else(const Buf *b, const Ex *e) {
  if (!b->lay) return false;
  return b->lay->fill == (e->type == DT_F32 || e->type == DT_F64 ? e->f : (double)e->i);
}

// A load's own predicate: proved, or made true by storage whose fill is the load's else value.
static bool pred_holds(const Leaf *l, const Ex *e, const Buf *home, IExpr *original, IExpr *p) {
  if (ix_prove_ge0(p)) return true;
  for (int d = 0; e->buf->kind != BUF_TEMP && fill_is_else(home, e) && d < home->rank; d++) {
    IExpr *x = at_leaf(l, e->ix[d]);
    if (original == e->ix[d] && in_storage(home, d, x, false)) return true;
    if (original == ix_addk(ix_sub(home->dim[d], e->ix[d]), -1) && in_storage(home, d, x, true)) return true;
  }
  return false;
}

// An explicit predicate on this very bound, where storage reaches as far as the logical dimension.
static bool said(const Ex *e, int dim, bool upper, IExpr *const *want, int n, const Temp *t) {
  if (t && !upper && !ix_prove_ge0(ix_scale(t->lo[dim], -1))) return false;
  if (t && upper && !ix_prove_ge0(ix_sub(ix_add(t->lo[dim], t->home->dim[dim]), e->buf->dim[dim]))) return false;
  IExpr *p = upper ? ix_addk(ix_sub(e->buf->dim[dim], e->ix[dim]), -1) : e->ix[dim];
  for (int i = 0; i < n; i++)
    if (want[i] == p) return true;
  return false;
}

// Stage u stores a tile of its axis a in each iteration of a band that the reader is inside too, and does not follow what readers want
// (a parameter, a carried axis): the reader may not look ahead of that tile, nor behind it where iterations are parallel or u runs later.
static void check_reach(const Leaf *l, int u, int a, const Ex *e, IExpr *x) {
  const Build *b = l->b;
  const Open *t = NULL;
  bool parallel = false;
  for (int i = 0; i < common(b, u, l->s); i++)
    if (b->path[i].axis == b->st[u].axis[a]) t = &b->path[i], parallel |= is_parallel(t->map);
  if (!t) return;
  bool ahead = !ix_prove_ge0(ix_sub(ix_addk(t->at, t->step - 1), x)), behind = !ix_prove_ge0(ix_sub(x, t->at));
  if ((ahead && u < l->s) || (behind && (parallel || u > l->s)))
    BAD("%s.%s: in a band of %s it reads cells of %s that other iterations store", b->k->name, l->in->st->name, b->st[u].axis[a]->name,
        e->buf->name);
}

static void check_reaches(const Leaf *l, const Ex *e, IExpr *const *x) {
  for (int u = 0; u < l->b->k->nstage; u++) {
    const Info *in = &l->b->st[u];
    for (int a = 0; u != l->s && in->st->out == e->buf && a < in->st->nax; a++) {
      int dim = stored_dim(in->st, a);
      if (dim >= 0 && !follows_readers(in, a)) check_reach(l, u, a, e, x[dim]);
    }
  }
}

static Ex *place_load(const Leaf *l, Ex *e) {
  const Temp *t = e->buf->kind == BUF_TEMP ? &l->b->temp[e->buf->id] : NULL;
  Buf *home = t ? t->home : e->buf;
  IExpr **want = e->pred, *x[MAX_RANK];
  int nwant = e->npred;
  Preds keep = {0};
  for (int i = 0; i < nwant; i++) {
    IExpr *p = at_leaf(l, want[i]);
    if (!pred_holds(l, e, home, want[i], p)) add_pred(&keep, p);
  }
  for (int d = 0; d < home->rank; d++) x[d] = at_leaf(l, e->ix[d]);
  check_reaches(l, e, x);
  for (int d = 0; d < home->rank; d++) {
    if (t) x[d] = ix_sub(x[d], t->lo[d]);
    for (int up = 0; up < 2; up++)
      if (!said(e, d, up, want, nwant, t) && !in_storage(home, d, x[d], up)) {
        guard_axes_of(l, e->ix[d], &keep);
        if (t) guard_storage(l, home, d, x[d], up, &keep);
      }
  }
  memcpy(e->ix, x, sizeof x[0] * (size_t)home->rank);
  e->buf = home, e->pred = keep.p, e->npred = keep.n;
  return e;
}

// Axis variables become loop values, temps their storage.
static Ex *place(Ex *e, void *u) {
  const Leaf *l = u;
  if (e->op == S_LOAD) return place_load(l, e);
  if (e->op == S_IX) return ex_ix(e->type, at_leaf(l, e->ix[0]));
  if (e->op == S_SEL) return ex_sel(at_leaf(l, e->pred[0]), e->a[0], e->a[1]);
  return e;
}

// The store index; says which axes overrun only into pad cells of the temp's storage, whose garbage nobody reads with effect (an axis
// shorter than the dimension overruns into cells that others store).
static void place_store(Leaf *l, Tree *t, bool *covered, Preds *pred) {
  const Stage *st = l->in->st;
  const Temp *p = st->out->kind == BUF_TEMP ? &l->b->temp[st->out->id] : NULL;
  t->buf = p ? p->home : st->out;
  for (int i = 0; i < st->out->rank; i++) {
    t->ix[i] = at_leaf(l, ex_map_index(st->ix[i], place, l));
    if (!p) continue;
    t->ix[i] = ix_sub(t->ix[i], p->lo[i]);
    for (int up = 0; up < 2; up++)
      if (!in_storage(t->buf, i, t->ix[i], up)) guard_storage(l, t->buf, i, t->ix[i], up, pred);
    for (int j = 0; j < st->nax; j++)
      if (l->in->dim[j] == i)
        covered[j] = ix_prove_ge0(ix_sub(l->in->axis[j]->a, st->out->dim[i])) && in_storage(t->buf, i, t->ix[i], false) &&
                     in_storage(t->buf, i, t->ix[i], true);
  }
}

// Iterations of some bands may not overlap, though readers may want a border: the bands around what updates cells that an earlier stage
// started outside of them, and parallel bands around storage that is outside of them. The first such band of a stage:
static int first_exclusive(const Build *b, int s) {
  const Info *in = &b->st[s];
  int c = MAX_BANDS, w = s - 1;
  while (w >= 0 && b->st[w].st->out != in->st->out) w--;
  if (updates(in) && w >= 0) c = common(b, w, s);
  for (int i = in->st->out->kind == BUF_TEMP ? alloc_depth(b, in->st->out) : 0; i < in->row->nband && i < c; i++)
    if (is_parallel(b->path[i].map)) c = i;
  return c;
}

static void check_overlap(Build *b, int s) {
  const Info *in = &b->st[s];
  int c = first_exclusive(b, s);
  for (int a = 0; a < in->st->nax; a++)
    if (!within_tile(b, s, a, c))
      BAD("%s.%s: iterations of a band of %s overlap, and would meet in a cell", b->k->name, in->st->name, in->axis[a]->name);
}

static void statement(Build *b, int s) {
  check_overlap(b, s);
  Leaf l = {.b = b, .s = s, .in = &b->st[s]};
  const Stage *st = l.in->st;
  for (int i = 0; i < st->nax; i++) {
    Region r = current(b, s, i, l.in->row->nband);
    if (!ix_is(r.ext, 1)) BAD("%s.%s: axis %s keeps extent %s at the leaf", b->k->name, st->name, l.in->axis[i]->name, ix_str(r.ext));
    l.at[i] = r.lo;
  }
  for (int i = 0; i < st->nax; i++) leaf_guards(&l, s, i);
  ragged_guards(&l);
  Tree t = {.kind = T_STMT, .combine = st->combine};
  bool covered[MAX_AXES] = {0};
  Preds pred = {0};
  t.val = ex_map(st->val, place, &l);
  t.cond = ex_map_more(st->cond, place, &l);
  place_store(&l, &t, covered, &pred);
  for (int i = 0; i < st->nax; i++)
    if (!covered[i] || l.in->checked) guard_axes_of(&l, st->ax[i], &pred);
  for (int i = 0; i < st->npred; i++) {
    IExpr *p = at_leaf(&l, ex_map_index(st->pred[i], place, &l));
    if (!ix_prove_ge0(p)) add_pred(&pred, p);
  }
  t.pred = pred.p, t.npred = pred.n;
  append(b, t);
}

/* ---- bands (rule 2) ---- */

typedef struct BandAt { // a band being opened for stages from..to-1 at depth d
  int from, to, d;
  const Split *sp;
  const Band *bd;
  AxisKind kind;
  Region r;
  bool opened; // a piece of it was made already
} BandAt;

static void group(Build *b, int from, int to, int d);

// One piece: count tiles of `step` from offset on. At depth 0 even a single tile is a loop, because a loop there is a phase.
static void piece(Build *b, BandAt *a, IExpr *offset, IExpr *first, IExpr *count, int64_t step, bool inexact) {
  if (ix_upper(count) <= 0) return;
  if (a->bd->map == MAP_VEC && !ix_const(count, NULL))
    BAD("%s: vec band %s.%d has extent %s", b->k->name, a->sp->name, a->bd->level, ix_str(count));
  IExpr *v = ix(0);
  Tree **after = NULL;
  if (!ix_is(count, 1) || a->d == 0) {
    IExpr *loop = ix_var(sym_fmt("%s%d", a->sp->name, a->bd->level), count);
    if (!ix_is(count, 1)) v = loop;
    Tree *f = append(b, (Tree){.kind = T_FOR, .map = a->bd->map, .axis = a->kind, .joined = a->opened, .var = loop, .ext = count});
    after = &f->next, b->tail = &f->body;
  }
  a->opened = true;
  IExpr *at = ix_add(a->r.lo, ix_add(offset, ix_scale(ix_add(first, v), step)));
  b->path[a->d] = (Open){a->sp->axis, at, inexact ? end_of(a->r) : NULL, step, ++b->serial, a->bd->map};
  group(b, a->from, a->to, a->d + 1);
  if (after) b->tail = after;
}

static bool halo_proves(const Ex *e, IExpr *p, int64_t coef, const Atom *axis) {
  for (int q = 0; fill_is_else(e->buf, e) && q < e->buf->rank; q++)
    if (coef > 0 ? p == e->ix[q] && e->buf->lay->lo[q] : p != e->ix[q] && ix_has(e->ix[q], (Atom *)(uintptr_t)axis) && e->buf->lay->hi[q])
      return true;
  return false;
}

// The bound that predicate p (p >= 0) sets on the axis: axis >= -p0 for coefficient 1, axis <= p0 for -1. False: none that is known here.
static bool clip_bound(Build *b, int s, const Ex *load, IExpr *p, int a, int d, int64_t *coef, IExpr **p0) {
  const Info *in = &b->st[s];
  bool affine;
  *coef = ix_coef(p, in->axis[a], &affine);
  if (!affine || (*coef != 1 && *coef != -1) || has_lets(p) || halo_proves(load, p, *coef, in->axis[a])) return false;
  IExpr *zero = ix(0);
  *p0 = ix_subst(p, 1, &in->axis[a], &zero);
  for (int j = 0; j < in->st->nax; j++) {
    if (!ix_has(*p0, in->axis[j])) continue;
    Region q = current(b, s, j, d);
    if (!ix_is(q.ext, 1)) return false;
    *p0 = ix_subst(*p0, 1, &in->axis[j], &q.lo);
  }
  return true;
}

// Rule 8: a term acc += X[..] * w whose load is 0 outside a predicate is no term there: an own unsplit loop skips it, if the predicate is
// known when the loop opens (kernel rows at the image border).
static void clip(Build *b, int s, int a, int d, Region *r) {
  const Stage *st = b->st[s].st;
  if (st->combine != C_add || st->val->op != S_mul || st->kind[a] != AXIS_REDUCE) return;
  for (int i = 0; i < d; i++)
    if (b->st[s].row->band[i].map == MAP_VEC) return; // rule 9: bounds inside vec are uniform
  for (int side = 0; side < 2; side++) {
    const Ex *l = st->val->a[side];
    if (l->op != S_LOAD || l->i != 0) continue; // all bits of the else value zero
    IExpr *end = end_of(*r), *p0;
    int64_t coef;
    for (int i = 0; i < l->npred; i++) {
      if (!clip_bound(b, s, l, l->pred[i], a, d, &coef, &p0)) continue;
      if (coef > 0) r->lo = greater(r->lo, ix_scale(p0, -1));
      else end = lesser(end, ix_addk(p0, 1));
    }
    r->ext = ix_sub(end, r->lo);
  }
}

static void tiles(Build *b, BandAt *a) { // the pieces of a band, in order: edges and tiles, then rests
  const Split *sp = a->sp;
  IExpr *zero = ix(0), *ext = a->r.ext;
  int64_t step = tile_step(sp, a->bd->level, ext), k;
  bool exact = ix_scale(ix_divk(ext, step), step) == ext, cascade = !exact && sp->nrest, mask = !exact && !sp->nrest;
  IExpr *n = mask ? ix_ceil(ext, step) : ix_divk(ext, step);
  bool edged = ix_const(n, &k) && k > 1 && a->bd->level == 0;
  int e0 = edged ? sp->edge[0] : 0, e1 = edged ? sp->edge[1] : 0;
  if (e0 + e1 > (edged ? k : 0)) e0 = e1 = 0;
  if (e0) piece(b, a, zero, zero, ix(e0), step, mask);
  piece(b, a, zero, ix(e0), ix_addk(n, -e0 - e1), step, mask);
  if (e1) piece(b, a, zero, ix_addk(n, -e1), ix(e1), step, mask);
  IExpr *off = ix_scale(n, step);
  for (int i = 0; cascade && i < sp->nrest; i++) {       // greedy, so rest 7,6,5,4,3,2,1 runs exactly one piece
    int64_t w = sp->rest[i] < step ? sp->rest[i] : step; // a narrowed step narrows the rests as well
    IExpr *left = ix_sub(ext, off), *count = i == sp->nrest - 1 ? ix_ceil(left, w) : ix_divk(left, w);
    piece(b, a, off, zero, count, w, ix_scale(count, w) != left);
    off = ix_add(off, ix_scale(count, w));
  }
}

static void band(Build *b, int from, int to, int d) {
  BandAt a = {.from = from, .to = to, .d = d, .bd = &b->st[from].row->band[d]};
  a.sp = &b->s->split[a.bd->split];
  int owner = -1, axis = -1;
  for (int s = from; s < to; s++) {
    int i = stage_axis(b->st[s].st, a.sp->axis);
    if (i < 0) continue;
    owner = s, axis = i;
    if (b->st[s].st->kind[i] > a.kind) a.kind = b->st[s].st->kind[i];
  }
  if (owner < 0) BAD("%s.%s: no stage inside band %s.%d has its axis", b->k->name, b->st[from].st->name, a.sp->name, a.bd->level);
  a.r = current(b, owner, axis, d);
  for (int s = from; s < owner; s++) {
    int i = stage_axis(b->st[s].st, a.sp->axis);
    if (i >= 0 && !covered(b, s, i, d, from, to, a.r))
      BAD("%s.%s: band %s.%d, which runs over what %s needs, does not cover it", b->k->name, b->st[s].st->name, a.sp->name, a.bd->level,
          b->st[owner].st->name);
  }
  if (to - from == 1 && !a.sp->n && a.bd->map == MAP_SEQ) clip(b, owner, axis, d, &a.r);
  tiles(b, &a);
}

/* ---- groups ---- */

static void allocs(Build *b, int from, int to, int d) { // storage that begins before stage `from`
  for (int i = 0; i < b->k->nbuf; i++) {
    Buf *t = b->k->buf[i];
    int first = b->temp[i].first;
    if (t->kind == BUF_TEMP && first >= from && first < to && alloc_depth(b, t) == d) alloc(b, t, d, store_of(b, t));
  }
}

static bool touches_shared(const Build *b, int from, int to) {
  for (int i = 0; i < b->k->nbuf; i++)
    for (int s = from; b->temp[i].home && b->temp[i].home->space == SPACE_SHARED && s < to; s++)
      if (touches(&b->st[s], b->k->buf[i])) return true;
  return false;
}

// Law 8: between two uses of shared memory by different threads there is a barrier; it stands where no thread band is open.
static void barrier(Build *b, int from, int to, int d) {
  if (!b->threads || !d || !touches_shared(b, from, to)) return;
  for (int i = 0; i < d; i++)
    if (b->path[i].map >= MAP_THREAD_X) return;
  append(b, (Tree){.kind = T_SYNC});
}

static void group(Build *b, int from, int to, int d) { // stages from..to-1 share the d open bands
  for (int i = from, j; i < to; i = j) {
    for (j = i + 1; j < to && shared(b, j) > d;) j++;
    allocs(b, i, j, d);
    if (d == b->st[i].row->nband) statement(b, i), j = i + 1;
    else band(b, i, j, d);
    barrier(b, i, j, d);
  }
}

void kernel_build(Kernel *k) {
  build_complete(k);
  Build b = {.k = k, .s = k->sched, .serial = 1};
  b.st = NEWN(Info, k->nstage);
  b.temp = NEWN(Temp, k->nbuf);
  build_scan(&b);
  build_check(&b);
  k->tree = NULL;
  b.tail = &k->tree;
  group(&b, 0, k->nstage, 0);
}
