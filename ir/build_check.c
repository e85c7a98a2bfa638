// build_check.c - the schedule made complete, and what a schedule may not do.
//
// Sharing bands makes stages run many times, in turns. That must not change what they compute:
//   - what accumulates (or updates its own cells) runs once per cell after each start of it: below the bands it shares with the start, only
//     bands of its own axes; no start inside a reduce band of the accumulation
//     (build itself refuses iterations of those bands that would overlap, because readers want a border)
//   - where several writers of a storage take turns under a band, each writes its own tile of that axis
//   - a reader inside a band of its producer's axis finds its cells: never inside a reduce band, at the same cell for buffers without
//   regions
//     (parameters), no further than the present cell on carried axes
//   - iterations of vec, par, block and thread bands write different cells
#include "build_internal.h"

/* ---- the schedule made complete ---- */

static int plain_split(Schedule *s, IExpr *axis) { // an unsplit split of the axis
  for (int i = 0; i < s->nsplit; i++)
    if (s->split[i].axis == ix_var_of(axis) && !s->split[i].n && !s->split[i].edge[0] && !s->split[i].edge[1]) return i;
  Sym name = ix_var_of(axis)->name;
  for (int i = 0, tries = 1; i < s->nsplit; i++)
    if (s->split[i].name == name) name = sym_fmt("%s_%d", ix_var_of(axis)->name, ++tries), i = -1;
  sched_split(s, name, axis, "");
  return s->nsplit - 1;
}

void build_complete(Kernel *k) { // stages without bands: plain loops in axis order
  if (!k->sched) k->sched = NEW(Schedule);
  for (int i = 0; i < k->nstage; i++) {
    StageSched *row = &k->sched->stage[i];
    if (row->nband) continue;
    for (int j = 0; j < k->stage[i]->nax; j++)
      row->band[row->nband++] = (Band){(uint16_t)plain_split(k->sched, k->stage[i]->ax[j]), 0, MAP_SEQ};
  }
}

static void check_prefix(const Kernel *k, int s) {
  const StageSched *row = &k->sched->stage[s], *before = row - 1;
  if (!row->shared) return;
  if (!s || row->shared > row->nband || row->shared > before->nband)
    BAD("%s.%s shares %d bands with a stage that has fewer", k->name, k->stage[s]->name, row->shared);
  for (int i = 0; i < row->shared; i++)
    if (row->band[i].split != before->band[i].split || row->band[i].level != before->band[i].level)
      BAD("%s.%s: band %d is not that of the stage before", k->name, k->stage[s]->name, i);
}

static void check_levels(const Kernel *k, int s) { // levels outermost first, each once
  const StageSched *row = &k->sched->stage[s];
  for (int i = 0; i < row->nband; i++) {
    int want = 0;
    for (int j = 0; j < i; j++) want += row->band[j].split == row->band[i].split;
    if (row->band[i].level != want)
      BAD("%s.%s: level %d of split %s comes before level %d", k->name, k->stage[s]->name, row->band[i].level,
          k->sched->split[row->band[i].split].name, want);
  }
}

// Ordered axes run one inside the other, in axis order, all levels of one before the next.
static void check_ordered(const Kernel *k, int s) {
  const StageSched *row = &k->sched->stage[s];
  const Stage *st = k->stage[s];
  for (int i = 0, at = -1; i < row->nband; i++) {
    int a = stage_axis(st, k->sched->split[row->band[i].split].axis);
    if (a < 0 || st->kind[a] != AXIS_ORDERED) continue;
    if (a < at || (row->band[i].map != MAP_SEQ && row->band[i].map != MAP_UNROLL))
      BAD("%s.%s: ordered axis %s is reordered or parallel", k->name, st->name, ix_var_of(st->ax[a])->name);
    at = a;
  }
}

/* ---- hazards ---- */

static const Atom *band_axis(const Build *b, int s, int i) { return b->s->split[b->st[s].row->band[i].split].axis; }
static int own_axis(const Build *b, int s, int i) { return stage_axis(b->st[s].st, band_axis(b, s, i)); }
static int storage_depth(const Build *b, const Buf *t) { return t->kind == BUF_TEMP ? alloc_depth(b, t) : 0; }

int stored_dim(const Stage *st, int a) {
  for (int i = 0; a >= 0 && i < st->out->rank; i++)
    if (st->ix[i] == st->ax[a]) return i;
  return -1;
}

static bool store_uses(const Stage *st, int a) {
  bool loaded = false;
  for (int i = 0; i < st->out->rank; i++) {
    loaded |= has_lets(st->ix[i]);
    if (ix_has(st->ix[i], ix_is_atom(st->ax[a]))) return true;
  }
  for (int i = 0; i < st->npred; i++) // at most one iteration stores
    if (ix_has(st->pred[i], ix_is_atom(st->ax[a]))) return true;
  return loaded;
}

static const char *band_name(const Build *b, int s, int i) {
  const Band *d = &b->st[s].row->band[i];
  return fmt("%s.%d", b->s->split[d->split].name, d->level);
}
#define BAD_STAGE(b, s, ...) BAD("%s.%s: %s", (b)->k->name, (b)->st[s].st->name, fmt(__VA_ARGS__))

bool updates(const Info *in) { return in->st->combine != C_SET || in->reads_own; }

static void check_parallel(const Build *b, int s) {
  const Info *in = &b->st[s];
  for (int i = storage_depth(b, in->st->out); i < in->row->nband; i++) {
    int map = in->row->band[i].map, a = own_axis(b, s, i);
    if (!is_parallel(map)) continue;
    if (a < 0 || !store_uses(in->st, a)) BAD_STAGE(b, s, "iterations of band %s would store the same cells at once", band_name(b, s, i));
  }
}

static void check_update(const Build *b, int u, int w, bool nearest) { // u updates what w, an earlier stage, stored
  const Info *in = &b->st[u];
  int c = common(b, w, u);
  for (int i = 0; i < in->row->nband; i++) {
    int a = own_axis(b, u, i);
    if (i >= c && nearest && a < 0) BAD_STAGE(b, u, "band %s is not its own, so it would accumulate again", band_name(b, u, i));
    if (i < c && a >= 0 && in->st->kind[a] == AXIS_REDUCE && !updates(&b->st[w]))
      BAD_STAGE(b, u, "its start %s is inside its reduce band %s", b->st[w].st->name, band_name(b, u, i));
  }
}

static void check_turns(const Build *b, int u, int w) { // both write one storage; one of them updates
  for (int i = storage_depth(b, b->st[u].st->out); i < common(b, w, u); i++) {
    int at = stored_dim(b->st[u].st, own_axis(b, u, i));
    if (at < 0 || at != stored_dim(b->st[w].st, own_axis(b, w, i)))
      if (!(own_axis(b, u, i) >= 0 && own_axis(b, w, i) >= 0 && updates(&b->st[u]) && updates(&b->st[w])))
        BAD_STAGE(b, u, "in band %s it takes turns with %s on the same cells", band_name(b, u, i), b->st[w].st->name);
  }
}

static void check_writers(const Build *b, int u) {
  bool nearest = true;
  for (int w = u - 1; w >= 0; w--) {
    if (b->st[w].st->out != b->st[u].st->out) continue;
    if (updates(&b->st[u])) check_update(b, u, w, nearest);
    if (updates(&b->st[u]) || updates(&b->st[w])) check_turns(b, u, w);
    nearest = false;
  }
}

// Reader q and writer u of one buffer, both inside band i of u's axis a.
static void check_read_in_band(const Build *b, int u, int q, const Ex *e, int i, int a) {
  const Info *in = &b->st[u];
  int dim = stored_dim(in->st, a), map = in->row->band[i].map;
  const char *name = band_name(b, u, i);
  if (ix_upper(in->axis[a]->a) <= 1) return;
  if (in->st->kind[a] == AXIS_REDUCE) BAD_STAGE(b, q, "inside reduce band %s it would read partial results of %s", name, in->st->name);
  if (dim < 0) BAD_STAGE(b, q, "band %s is of an axis that %s does not store at", name, in->st->name);
  bool same = e->ix[dim] == in->st->ax[a];
  bool parallel = is_parallel(map) && i >= storage_depth(b, e->buf);
  if ((e->buf->kind != BUF_TEMP || parallel || q < u) && !same)
    BAD_STAGE(b, q, "inside band %s it reads cells of %s that other iterations store", name, e->buf->name);
}

static void check_reads(const Build *b, int q) {
  for (int n = 0; n < b->st[q].nload; n++) {
    const Ex *e = b->st[q].load[n];
    for (int u = 0; u < b->k->nstage; u++)
      for (int i = 0; b->st[u].st->out == e->buf && u != q && i < common(b, u, q); i++) {
        int a = own_axis(b, u, i);
        if (a >= 0) check_read_in_band(b, u, q, e, i, a);
        else if (u > q || (e->buf->kind != BUF_TEMP && updates(&b->st[u])))
          BAD_STAGE(b, q, "band %s takes turns with %s on %s", band_name(b, q, i), b->st[u].st->name, e->buf->name);
      }
  }
}

static void check_carried(const Build *b, int s) { // a recurrence needs an ordered axis
  const Info *in = &b->st[s];
  bool carried = false, ordered = false;
  for (int a = 0; a < in->st->nax; a++) carried |= in->carried[a], ordered |= in->st->kind[a] == AXIS_ORDERED;
  if (carried && !ordered) BAD_STAGE(b, s, "it reads its own results along an axis that is not ordered");
}

void build_check(Build *b) {
  for (int s = 0; s < b->k->nstage; s++) check_prefix(b->k, s), check_levels(b->k, s), check_ordered(b->k, s);
  for (int s = 0; s < b->k->nstage; s++) check_carried(b, s), check_parallel(b, s), check_writers(b, s), check_reads(b, s);
}
