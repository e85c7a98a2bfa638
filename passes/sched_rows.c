// sched_rows.c - row groups: softmax, norms, argument reductions. Folds over one axis and elementwise stages, all over the same rows.
//
// Every stage shares the row axes. Folds get lane partials (4 vectors hide the latency of add; 1 when the axis is short); temps that keep
// the inner axis go to scratch, the others to registers; equal consecutive nests share their outer loop (KERNELS.md 2a.13).
#include "passes/schedule.h"
#include <string.h>

// The rows are the spatial axes of the folds; the one axis that the folds reduce is everyone else's innermost.
static bool analyse(const Kernel *k, Rows *r) {
  IExpr *red[MAX_AXES];
  for (int i = 0; i < k->nstage; i++) {
    int n = stage_reduced(k->stage[i], red);
    if (!n) continue;
    if (n > 1 || (r->inner && r->inner != red[0])) return false;
    if (!r->inner) r->inner = red[0], r->nrow = stage_spatial(k->stage[i], r->row);
  }
  if (!r->inner) return false;
  for (int i = 0; i < k->nstage; i++) {
    const Stage *s = k->stage[i];
    int n = 0;
    for (int a = 0; a < s->nax; a++) {
      if (s->ax[a] == r->inner) continue;
      if (n >= r->nrow || s->ax[a] != r->row[n]) return false;
      n++;
    }
    if (n != r->nrow) return false;
  }
  // worth lanes only where the folds read contiguously
  for (int i = 0; i < k->nstage; i++) {
    Ex *l[64];
    if (!stage_reduced(k->stage[i], red)) continue;
    int n = stage_loads(k->stage[i], l, 64);
    for (int j = 0; j < n; j++) {
      bool affine;
      int64_t c = load_stride(l[j], r->inner, &affine);
      if (!affine || (c != 0 && c != 1)) return false;
    }
  }
  return true;
}
static int lanes_for(const IExpr *axis, const Target *t) {
  return ix_upper(ix_var_of((IExpr *)axis)->a) >= 4 * t->lanes ? 4 * t->lanes : t->lanes;
}
static void factor(Sched *s, const Rows *r, const char *last) {
  Kernel *k = s->k;
  for (int i = r->first; i <= stage_find(k, last); i++) {
    Stage *st = k->stage[i];
    IExpr *red[MAX_AXES];
    if (stage_reduced(st, red) != 1 || red[0] != r->inner) continue;
    bool done = false; // lane partials store at inner % lanes
    for (int d = 0; d < st->out->rank; d++) done |= ix_has(st->ix[d], ix_var_of(r->inner));
    if (done) continue;
    stage_rfactor(k, st->out, r->inner, lanes_for(r->inner, s->t), true);
    i = r->first - 1; // the list changed
  }
}
static const char *inner_text(const IExpr *axis, int w) {
  int64_t c = extent_or(axis, 0);
  if (c && c <= w) return "";
  return c && c % (4 * w) == 0 ? fmt("%d,%d", 4 * w, w) : fmt("%d,%d rest %d", 4 * w, w, 4 * w);
}
static const char *row_bands(Sched *s, const Rows *r) { // several short rows per chunk is the emitters' business (phase_grain)
  Text t = {0};
  put(&t, "%s", "");
  int64_t chunks = 1;
  for (int i = 0; i < r->nrow; i++) {
    put(&t, "%s %s", sched_axis(s, r->row[i], ""), chunks < 64 ? "par " : "");
    chunks *= extent_or(r->row[i], 8);
  }
  return t.p;
}
// Temps of one row: registers when they are lanes or scalars, scratch when they keep the inner axis. A scalar of a row that is read behind
// the group (attention's 1/sum) outlives the row loop: the stack holds a tile of them.
static void stores(Sched *s, const Rows *r, const char *last) {
  Kernel *k = s->k;
  int end = stage_find(k, last);
  for (int i = 0; i < k->nbuf; i++) {
    Buf *b = k->buf[i];
    if (b->kind != BUF_TEMP) continue;
    bool mine = false, later = false;
    for (int q = r->first; q < k->nstage; q++) {
      Ex *l[64];
      int n = stage_loads(k->stage[q], l, 64);
      mine |= q <= end && k->stage[q]->out == b;
      for (int j = 0; j < n; j++) later |= q > end && l[j]->buf == b;
    }
    if (!mine) continue;
    int64_t n = 1, c;
    for (int d = r->nrow; d < b->rank; d++) n *= ix_const(b->dim[d], &c) ? c : 1 << 20;
    bool wide = n > 4 * s->t->lanes;
    sched_store(k->sched, b, wide ? SPACE_SCRATCH : later ? SPACE_STACK : SPACE_REG, -1, NULL);
  }
}
static bool over_inner(const Stage *st, const Rows *r) { return st->nax && st->ax[st->nax - 1] == r->inner; }
// Schedules stages first..last (by name: the list grows) as rows under the bands `rows`; the first of them shares `outer` bands with the
// stage before it.
void sched_row_group(Sched *s, Rows *r, const char *rows, int outer, const char *last) {
  Kernel *k = s->k;
  int w = s->t->lanes;
  factor(s, r, last);
  const char *j = sched_axis(s, r->inner, inner_text(r->inner, w));
  bool whole = extent_or(r->inner, 0) && extent_or(r->inner, 0) <= w;
  for (int i = r->first; i <= stage_find(k, last); i++) {
    Stage *st = k->stage[i];
    Text t = {0};
    IExpr *a = st->nax > r->nrow ? st->ax[st->nax - 1] : NULL;
    bool join = i > r->first && a == r->inner && over_inner(k->stage[i - 1], r);
    if (!a) put(&t, "%s|", rows);
    else if (a != r->inner) { // lanes of a partial sum
      const char *l = extent_or(a, 0) <= w ? sched_axis(s, a, "") : sched_axis(s, a, fmt("%d", w));
      if (extent_or(a, 0) <= w) put(&t, "%s| %s vec", rows, l);
      else put(&t, "%s| %s.0 unroll %s.1 vec", rows, l, l);
    } else if (whole) put(&t, "%s| %s vec", rows, j);
    else if (join) put(&t, "%s%s.0 | %s.1 unroll %s.2 vec", rows, j, j, j);
    else put(&t, "%s| %s.0 %s.1 unroll %s.2 vec", rows, j, j, j);
    sched_bands(k, st->name, t.p);
    if (i == r->first && i) k->sched->stage[i].shared = (uint8_t)outer;
  }
  stores(s, r, last);
}
bool sched_rows(Sched *s) {
  Kernel *k = s->k;
  Rows r = {0};
  if (!analyse(k, &r)) return false;
  if (!k->sched) k->sched = NEW(Schedule);
  sched_row_group(s, &r, row_bands(s, &r), 0, k->stage[k->nstage - 1]->name);
  return true;
}
