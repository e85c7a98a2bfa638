// build_region.c - what stages read and write, and which region of each axis a stage must cover under the open bands (KERNELS.md 2a.3).
#include "build_internal.h"

/* ---- what the stages read and write ---- */

typedef struct Scan {
  Build *b;
  Info *info;
} Scan;

static void note_site(Atom *a, void *u) {
  LetDef *d = a->kind == ATOM_LET ? a->def : NULL;
  if (d && d->site >= 0) *(bool *)u = true;
}

static void note_carried(Info *in, const Ex *e) { // the stage reads its own result
  for (int a = 0; a < in->st->nax; a++)
    for (int i = 0; i < e->buf->rank; i++)
      if (in->st->ix[i] == in->st->ax[a] && e->ix[i] != in->st->ix[i]) in->carried[a] = true;
}

static void scan_ex(Ex *e, void *u) {
  Info *in = ((Scan *)u)->info;
  for (int i = 0; e->buf && i < e->buf->rank; i++) ix_atoms(e->ix[i], note_site, &in->checked);
  for (int i = 0; i < e->npred; i++) ix_atoms(e->pred[i], note_site, &in->checked);
  if (e->op == S_IX) ix_atoms(e->ix[0], note_site, &in->checked);
  if (e->op != S_LOAD) return;
  if (e->buf == in->st->out) in->reads_own = true, note_carried(in, e);
  PUSH(in->load, in->nload, in->cload, e);
}

static int dim_of_axis(const Stage *st, IExpr *axis) {
  for (int i = 0; st->out->kind == BUF_TEMP && i < st->out->rank; i++)
    if (st->ix[i] == axis) return i;
  return -1;
}

static void scan_stage(Build *b, int s) {
  Info *in = &b->st[s];
  in->st = b->k->stage[s], in->row = &b->s->stage[s];
  in->memo = NEWN(Memo, in->st->nax * (MAX_BANDS + 1));
  for (int i = 0; i < in->st->nax; i++) {
    in->axis[i] = ix_var_of(in->st->ax[i]);
    in->dim[i] = dim_of_axis(in->st, in->st->ax[i]);
    in->carried[i] = in->st->kind[i] == AXIS_ORDERED;
  }
  for (int i = 0; i < in->st->out->rank; i++) ix_atoms(in->st->ix[i], note_site, &in->checked);
  for (int i = 0; i < in->st->npred; i++) ix_atoms(in->st->pred[i], note_site, &in->checked);
  stage_walk(in->st, scan_ex, &(Scan){b, in});
  for (int i = 0; i < in->row->nband; i++) b->threads |= in->row->band[i].map >= MAP_THREAD_X;
}

bool touches(const Info *in, const Buf *t) {
  if (in->st->out == t) return true;
  for (int i = 0; i < in->nload; i++)
    if (in->load[i]->buf == t) return true;
  return false;
}

static void scan_temps(Build *b) {
  for (int t = 0; t < b->k->nbuf; t++) {
    Temp *p = &b->temp[t];
    p->first = p->last = p->writer = -1;
    for (int s = 0; b->k->buf[t]->kind == BUF_TEMP && s < b->k->nstage; s++) {
      if (!touches(&b->st[s], b->k->buf[t])) continue;
      if (p->first < 0) p->first = s;
      if (p->writer < 0 && b->st[s].st->out == b->k->buf[t]) p->writer = s;
      p->last = s;
    }
    if (p->first >= 0 && p->writer < 0) bug("%s: temp %s is read but never written", b->k->name, b->k->buf[t]->name);
  }
}

/* ---- regions ---- */

int shared(const Build *b, int s) { return s < b->k->nstage ? b->st[s].row->shared : 0; }
// Bands that a stage shares with either neighbour; below, its own bands cut its region.
int prefix(const Build *b, int s) { return shared(b, s) > shared(b, s + 1) ? shared(b, s) : shared(b, s + 1); }
int common(const Build *b, int p, int q) { // bands open around both stages
  int from = p < q ? p : q, to = p < q ? q : p, c = MAX_BANDS;
  for (int i = from + 1; i <= to; i++)
    if (shared(b, i) < c) c = shared(b, i);
  return c;
}
static int last_open(const Build *b, const Atom *axis, int from, int d) {
  for (int i = d - 1; i >= from; i--)
    if (b->path[i].axis == axis) return i;
  return -1;
}
static Region tile(const Build *b, int i) { return (Region){b->path[i].at, ix(b->path[i].step)}; }
IExpr *lesser(IExpr *x, IExpr *y) { return ix_prove_ge0(ix_sub(y, x)) ? x : ix_prove_ge0(ix_sub(x, y)) ? y : ix_min(x, y); }
IExpr *greater(IExpr *x, IExpr *y) { return ix_prove_ge0(ix_sub(y, x)) ? y : ix_prove_ge0(ix_sub(x, y)) ? x : ix_max(x, y); }

static void unite(Region *r, Region q) {
  if (!r->lo) {
    *r = q;
    return;
  }
  IExpr *lo = lesser(r->lo, q.lo), *end = greater(end_of(*r), end_of(q));
  *r = (Region){lo, ix_sub(end, lo)};
}

// What reaches beyond 0..ext on a side, provably, ends there: those cells do not exist. But a constant extent stays one: it is a tile.
static Region inside(Region r, IExpr *ext) {
  IExpr *end = end_of(r), *lo = r.lo;
  if (lo != ix(0) && ix_prove_ge0(ix_scale(lo, -1))) lo = ix(0);
  if (end != ext && ix_prove_ge0(ix_sub(end, ext))) end = ext;
  Region q = {lo, ix_sub(end, lo)};
  return ix_const(r.ext, NULL) && !ix_const(q.ext, NULL) ? r : q;
}

static Region region(Build *b, int s, int a, int d);

static void note_let(Atom *a, void *u) {
  if (a->kind == ATOM_LET) *(bool *)u = true;
}
bool has_lets(IExpr *e) {
  bool yes = false;
  ix_atoms(e, note_let, &yes);
  return yes;
}

// The interval of one index of reader q, its axes eliminated by their regions under c bands. A loaded index may be anywhere.
static Region reader_interval(Build *b, int q, IExpr *index, IExpr *dim, int c) {
  IExpr *lo = index, *hi = index, *x;
  bool anywhere = has_lets(index);
  const Info *in = &b->st[q];
  for (int j = in->st->nax - 1; j >= 0 && !anywhere; j--) {
    Atom *v = in->axis[j];
    if (!ix_has(lo, v) && !ix_has(hi, v)) continue;
    Region g = region(b, q, j, c);
    IExpr *last = ix_addk(end_of(g), -1);
    ix_interval(lo, v, g.lo, last, &lo, &x);
    ix_interval(hi, v, g.lo, last, &x, &hi);
    anywhere = ix_has(lo, v) || ix_has(hi, v) || ix_is(lo, -IX_INF) || ix_is(hi, IX_INF); // no interval was found
  }
  return anywhere ? (Region){ix(0), dim} : (Region){lo, ix_addk(ix_sub(hi, lo), 1)};
}

// What readers of t ask for in dimension dim, seen from stage s, whose axis there is `axis` (or NULL), under d open bands; readers
// from..to-1 are left out. lo is NULL if nobody asks.
static Region asked(Build *b, Buf *t, int dim, const Atom *axis, int s, int d, int from, int to) {
  Region r = {0};
  int own = axis ? last_open(b, axis, 0, d) : -1;
  for (int q = 0; q < b->k->nstage; q++) {
    const Info *in = &b->st[q];
    int c = common(b, s, q) < d ? common(b, s, q) : d;
    if ((q >= from && q < to) || in->st->out == t || !touches(in, t)) continue;
    if (own >= c) unite(&r, tile(b, own));
    else
      for (int i = 0; i < in->nload; i++)
        if (in->load[i]->buf == t) unite(&r, reader_interval(b, q, in->load[i]->ix[dim], t->dim[dim], c));
  }
  return r.lo ? inside(r, t->dim[dim]) : r;
}

Region need(Build *b, Buf *t, int dim, const Atom *axis, int s, int d) {
  Region r = asked(b, t, dim, axis, s, d, 0, 0);
  int own = axis ? last_open(b, axis, 0, d) : -1;
  return r.lo ? r : own >= 0 ? tile(b, own) : (Region){ix(0), t->dim[dim]}; // nobody reads it
}

// The extent of an axis, where it depends on other axes of the stage (a causal limit) the largest that their regions allow.
static IExpr *extent_under(Build *b, int s, int a, int d, Region (*of)(Build *, int, int, int)) {
  const Info *in = &b->st[s];
  IExpr *e = in->axis[a]->a, *x;
  for (int j = in->st->nax - 1; j >= 0; j--) {
    if (j == a || !ix_has(e, in->axis[j])) continue;
    Region g = of(b, s, j, d);
    ix_interval(e, in->axis[j], g.lo, ix_addk(end_of(g), -1), &x, &e);
  }
  return e;
}

bool follows_readers(const Info *in, int a) { return in->dim[a] >= 0 && !in->carried[a]; }

static Region region(Build *b, int s, int a, int d) {
  Info *in = &b->st[s];
  if (!follows_readers(in, a)) {
    int own = last_open(b, in->axis[a], 0, d);
    return own >= 0 ? tile(b, own) : (Region){ix(0), extent_under(b, s, a, d, region)};
  }
  Memo *m = &in->memo[a * (MAX_BANDS + 1) + d];
  int64_t serial = d ? b->path[d - 1].serial : 1;
  if (m->serial != serial) {
    m->r = inside(need(b, in->st->out, in->dim[a], in->axis[a], s, d), extent_under(b, s, a, d, region));
    m->serial = serial;
  }
  return m->r;
}

static bool within(Region r, Region of) { // proved
  if (r.lo == of.lo && r.ext == of.ext) return true;
  return ix_prove_ge0(ix_sub(r.lo, of.lo)) && ix_prove_ge0(ix_sub(end_of(of), end_of(r)));
}

// A band runs over its owner's region r. Another stage of the band that has its axis too: what stages outside want of it must be covered by
// r (readers inside ask for their part in each iteration), and r must be within what it may compute, or its operands are not there.
bool covered(Build *b, int s, int a, int d, int from, int to, Region r) {
  Info *in = &b->st[s];
  IExpr *ext = extent_under(b, s, a, d, region);
  Region may = inside(current(b, s, a, d), ext), g = may;
  if (follows_readers(in, a)) g = asked(b, in->st->out, in->dim[a], in->axis[a], s, d, from, to);
  return within(inside(r, ext), may) && (!g.lo || within(inside(g, ext), r));
}

// Is what a stage computes on an axis, under all its shared bands, within the tile of each of the bands from c on? Else iterations overlap.
bool within_tile(Build *b, int s, int a, int c) {
  const Info *in = &b->st[s];
  int p = prefix(b, s), outer = -1;
  for (int i = c; i < p && follows_readers(in, a); i++) {
    if (b->path[i].axis != in->axis[a]) continue;
    if (outer >= 0 && !within(tile(b, i), tile(b, outer))) return false;
    outer = i;
  }
  return outer < 0 || within(region(b, s, a, p), tile(b, outer));
}

// Below the shared prefix the stage's own bands cut its region.
Region current(Build *b, int s, int a, int d) {
  const Info *in = &b->st[s];
  int p = prefix(b, s), own = last_open(b, in->axis[a], p, d);
  if (own >= 0) return tile(b, own);
  if (follows_readers(in, a)) return region(b, s, a, p < d ? p : d);
  own = last_open(b, in->axis[a], 0, d);
  return own >= 0 ? tile(b, own) : (Region){ix(0), extent_under(b, s, a, d, current)};
}

void build_scan(Build *b) {
  for (int s = 0; s < b->k->nstage; s++) scan_stage(b, s);
  scan_temps(b);
}
