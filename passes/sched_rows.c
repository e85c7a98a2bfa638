// sched_rows.c - row groups: softmax, norms, argument reductions. Folds over one axis and elementwise stages, all over the same rows.
//
// Every stage shares the row axes. Folds get lane partials (4 vectors hide the latency of add; 1 when the axis is short); temps that keep
// the inner axis go to scratch, the others to registers; equal consecutive nests share their outer loop (KERNELS.md 2a.13).
#include "passes/schedule.h"
#include <string.h>

typedef struct Rows {
  IExpr *row[MAX_AXES], *inner;
  int nrow;
} Rows;

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
static void factor(Sched *s, const Rows *r) {
  Kernel *k = s->k;
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    IExpr *red[MAX_AXES];
    if (stage_reduced(st, red) != 1 || red[0] != r->inner) continue;
    bool done = false; // lane partials store at inner % lanes
    for (int d = 0; d < st->out->rank; d++) done |= ix_has(st->ix[d], ix_var_of(r->inner));
    if (done) continue;
    stage_rfactor(k, st->out, r->inner, lanes_for(r->inner, s->t), true);
    i = -1; // the list changed
  }
}
static const char *inner_text(const IExpr *axis, int w) {
  int64_t c = extent_or(axis, 0);
  if (c && c <= w) return "";
  return c && c % (4 * w) == 0 ? fmt("%d,%d", 4 * w, w) : fmt("%d,%d rest %d", 4 * w, w, 4 * w);
}
static const char *row_bands(Sched *s, const Rows *r) {
  Text t = {0};
  put(&t, "%s", "");
  int64_t chunks = 1, per = 4096 / (extent_or(r->inner, 512) + 1) + 1;
  for (int i = 0; i < r->nrow; i++) {
    bool last = i == r->nrow - 1, many = extent_or(r->row[i], 1 << 20) > 4 * per;
    if (last && per > 1 && many) {
      const char *n = sched_axis(s, r->row[i], fmt("%d", (int)per));
      put(&t, "%s.0 %s%s.1 ", n, chunks < 64 ? "par " : "", n);
    } else put(&t, "%s %s", sched_axis(s, r->row[i], ""), chunks < 64 ? "par " : "");
    chunks *= extent_or(r->row[i], 8);
  }
  return t.p;
}
static void stores(Sched *s, const Rows *r) {
  Kernel *k = s->k;
  for (int i = 0; i < k->nbuf; i++) {
    Buf *b = k->buf[i];
    if (b->kind != BUF_TEMP) continue;
    int64_t n = 1;
    for (int d = 0; d < b->rank; d++) {
      bool row = false;
      for (int j = 0; j < r->nrow; j++) row |= b->dim[d] == ix_var_of(r->row[j])->a && d == j;
      int64_t c;
      if (!row) n *= ix_const(b->dim[d], &c) ? c : 1 << 20;
    }
    sched_store(k->sched, b, n <= 4 * s->t->lanes ? SPACE_REG : SPACE_SCRATCH, -1, NULL);
  }
}
bool sched_rows(Sched *s) {
  Kernel *k = s->k;
  Rows r = {0};
  if (!analyse(k, &r)) return false;
  if (!k->sched) k->sched = NEW(Schedule);
  int w = s->t->lanes;
  factor(s, &r);
  const char *rows = row_bands(s, &r), *j = sched_axis(s, r.inner, inner_text(r.inner, w));
  bool whole = extent_or(r.inner, 0) && extent_or(r.inner, 0) <= w;
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    Text t = {0};
    IExpr *a = st->nax > r.nrow ? st->ax[st->nax - 1] : NULL;
    bool join = i > 0 && a == r.inner && k->stage[i - 1]->nax == st->nax && k->stage[i - 1]->ax[st->nax - 1] == a;
    if (!a) put(&t, "%s|", rows);
    else if (a != r.inner) { // lanes of a partial sum
      int64_t n = extent_or(a, 0);
      if (n <= w) put(&t, "%s| %s vec", rows, sched_axis(s, a, ""));
      else {
        const char *l = sched_axis(s, a, fmt("%d", w));
        put(&t, "%s| %s.0 unroll %s.1 vec", rows, l, l);
      }
    } else if (whole) put(&t, "%s| %s vec", rows, j);
    else if (join) put(&t, "%s%s.0 | %s.1 unroll %s.2 vec", rows, j, j, j);
    else put(&t, "%s| %s.0 %s.1 unroll %s.2 vec", rows, j, j, j);
    sched_bands(k, st->name, t.p);
  }
  stores(s, &r);
  return true;
}
