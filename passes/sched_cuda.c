// sched_cuda.c - schedules for a GPU: every stage's work on blocks and threads, with bits that depend on the shape alone.
//
// Four shapes. A matrix product and what follows it: tiles of the operands in shared memory, 4x4 results of each thread in registers. Other
// stages over one set of spatial axes: a thread for each cell, the contiguous axis on the threads. Stages that have rows in common
// (softmax, norms, attention): a block for each row, its inner axes on the threads, folds down the row by lanes that halve in shared
// memory. Otherwise each stage is a kernel of its own. Tensor cores are a further shape.
#include "passes/schedule.h"
#include <string.h>

enum { FOLD_LANES = 32, LONG_FOLD = 64, MOST_STAGES = 48 };

static int threads(const Sched *s) { return s->t->threads_block >= 64 ? s->t->threads_block / 2 : 32; }

// May the axis be on blocks or threads: it is spatial, an index of the store by itself, and no other index is loaded (a scatter).
static bool parallel(const Stage *st, const IExpr *axis) {
  IExpr *ax[MAX_AXES];
  if (!axis_among(axis, ax, stage_spatial(st, ax)) || !stage_stores(st, axis)) return false;
  for (int d = 0; d < st->out->rank; d++) {
    Atom *a = ix_is_atom(st->ix[d]);
    if (a && a->kind == ATOM_LET) return false;
  }
  return true;
}

// Does a stage that reads what another has stored at the axis read it there, and nowhere else? Then all may share a loop of one cell.
static bool reads_in_place(const Kernel *k, const IExpr *axis) {
  for (int i = 0; i < k->nstage; i++) {
    Ex *l[64];
    int n = stage_loads(k->stage[i], l, 64);
    if (n == 64) return false; // there may be more
    for (int w = 0; w < k->nstage; w++)
      for (int j = 0; j < n; j++)
        for (int d = 0; d < l[j]->buf->rank; d++)
          if (l[j]->buf == k->stage[w]->out && k->stage[w]->ix[d] == axis && l[j]->ix[d] != axis) return false;
  }
  return true;
}

static bool has_axis(const Stage *st, const IExpr *axis) { return stage_axis(st, ix_var_of((IExpr *)axis)) >= 0; }

static const char *thread_split(Sched *s, IExpr *axis) {
  int64_t n = extent_or(axis, 0);
  return sched_axis(s, axis, n && n <= threads(s) ? "" : fmt("%d", threads(s)));
}
static bool is_cut(const Sched *s, IExpr *axis) { // does thread_split cut it in two bands?
  int64_t n = extent_or(axis, 0);
  return !n || n > threads(s);
}

/* ---- one cell, one thread ---- */

static bool same_spatial(const Kernel *k) {
  IExpr *ax[MAX_AXES], *other[MAX_AXES];
  int n = stage_spatial(k->stage[0], ax);
  for (int i = 0; i < k->nstage; i++) {
    if (stage_spatial(k->stage[i], other) != n) return false;
    for (int a = 0; a < n; a++)
      if (!axis_among(ax[a], other, n) || !parallel(k->stage[i], ax[a])) return false;
  }
  for (int a = 0; a < n; a++)
    if (!reads_in_place(k, ax[a])) return false;
  return n > 0;
}

// The axis whose neighbours are neighbours in the last result's memory
static IExpr *contiguous(const Stage *st, IExpr *const *ax, int n) {
  for (int i = n - 1; i >= 0; i--) {
    bool affine;
    if (access_stride(st->out, st->ix, ax[i], &affine) == 1 && affine) return ax[i];
  }
  return ax[n - 1];
}

static void cells(Sched *s) {
  Kernel *k = s->k;
  IExpr *ax[MAX_AXES], *red[MAX_AXES];
  int n = stage_spatial(k->stage[0], ax);
  IExpr *v = contiguous(k->stage[k->nstage - 1], ax, n);
  const char *vs = thread_split(s, v);
  Text grid = {0};
  for (int i = 0; i < n; i++)
    if (ax[i] != v) put(&grid, "%s block.x ", sched_axis(s, ax[i], ""));
  put(&grid, is_cut(s, v) ? "%s.0 block.x %s.1 thread.x |" : "%s.0 thread.x |", vs, vs);
  for (int i = 0; i < k->nstage; i++) {
    Text t = {0};
    put(&t, "%s", grid.p);
    for (int j = 0, m = stage_reduced(k->stage[i], red); j < m; j++) put(&t, " %s", sched_axis(s, red[j], ""));
    sched_bands(k, k->stage[i]->name, t.p);
  }
}

/* ---- a matrix product: 32x32 results a block of 8x8 threads, 16 steps of the sum at a time ---- */

typedef struct Product {
  Stage *upd;
  Ex *a, *b; // loads: a has the rows, b the columns
  IExpr *m, *n, *k, *outer[MAX_AXES];
  int nouter;
} Product;

static bool uses(const Ex *load, const IExpr *axis) {
  for (int d = 0; d < load->buf->rank; d++)
    if (load->ix[d] == axis) return true;
  return false;
}
static bool plain(const Ex *load) { // read at axes and expressions without them, unconditionally, from outside the kernel
  if (!load || load->npred || load->cond || load->buf->kind == BUF_TEMP) return false;
  for (int d = 0; d < load->buf->rank; d++)
    if (!ix_is_atom(load->ix[d]) && !ix_const(load->ix[d], NULL)) return false;
  return true;
}
static int readers(const Kernel *k, const Buf *b) {
  int n = 0;
  for (int i = 0; i < k->nstage; i++) {
    Ex *l[64];
    for (int j = stage_loads(k->stage[i], l, 64) - 1; j >= 0; j--) n += l[j]->buf == b;
  }
  return n;
}

static bool find_product(const Kernel *k, Product *p) {
  IExpr *ax[MAX_AXES], *red[MAX_AXES];
  int folds = 0;
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i]->combine != C_SET) p->upd = k->stage[i], folds++;
  Stage *u = p->upd;
  if (folds != 1 || u->combine != C_add || u->val->op != S_mul || u->out->kind != BUF_TEMP || u->npred || u->cond ||
      stage_reduced(u, red) != 1)
    return false;
  p->a = only_load(u->val->a[0]), p->b = only_load(u->val->a[1]), p->k = red[0];
  if (!plain(p->a) || !plain(p->b) || p->a->buf == p->b->buf || readers(k, p->a->buf) != 1 || readers(k, p->b->buf) != 1) return false;
  for (int i = stage_spatial(u, ax) - 1; i >= 0; i--) {
    bool a = uses(p->a, ax[i]), b = uses(p->b, ax[i]);
    if (a && !b && !p->m) p->m = ax[i];
    else if (b && !a && !p->n) p->n = ax[i];
    else p->outer[p->nouter++] = ax[i];
  }
  return p->m && p->n && uses(p->a, p->k) && uses(p->b, p->k) && extent_or(p->n, 64) >= 32 && extent_or(p->k, 64) >= 16;
}

// The copy of an operand's tile: its two axes on the threads.
static void tile(Sched *s, Ex *load, const char *name, const Stage *upd, const char *bands, const IExpr *rows, const IExpr *columns,
                 int depth) {
  Kernel *k = s->k;
  IExpr *index[MAX_RANK];
  memcpy(index, load->ix, sizeof index);
  Buf *t = stage_copy(k, load->buf, name, upd->name);
  const Stage *copy = k->stage[stage_find(k, name)];
  Text text = {0}, inner = {0};
  put(&text, "%s", bands);
  put(&inner, "%s", "");
  for (int pass = 0; pass < 2; pass++) // thread.y around thread.x
    for (int d = 0; d < t->rank; d++) {
      bool y = index[d] == rows, x = index[d] == columns;
      if (pass == 0 && !x && !y) put(&text, " %s", sched_axis(s, copy->ax[d], ""));
      if (pass == 0 ? !y : !x) continue;
      bool summed = index[d] == upd->ax[upd->nax - 1];
      const char *split = sched_axis(s, copy->ax[d], summed ? "2" : "4");
      put(&text, " %s.0 thread.%c", split, y ? 'y' : 'x');
      put(&inner, " %s.1 unroll", split);
    }
  put(&text, "%s", inner.p);
  sched_bands(k, name, text.p);
  sched_store(k->sched, t, SPACE_SHARED, depth, NULL);
}

static bool tiles(Sched *s) {
  Kernel *k = s->k;
  Product p = {0};
  if (!find_product(k, &p) || p.upd->ax[p.upd->nax - 1] != p.k) return false;
  const char *m = sched_axis(s, p.m, "32,4"), *n = sched_axis(s, p.n, "32,4"), *q = sched_axis(s, p.k, "16");
  Text grid = {0};
  for (int i = 0; i < p.nouter; i++) put(&grid, "%s block.x ", sched_axis(s, p.outer[i], ""));
  put(&grid, "%s.0 block.x %s.0 block.x", m, n);
  const char *cells_of = fmt("%s.1 thread.y %s.1 thread.x", m, n), *inner = fmt("%s.2 unroll %s.2 unroll", m, n);
  const char *steps = fmt("%s %s.0", grid.p, q);
  tile(s, p.a, "tile_a", p.upd, fmt("%s | %s.0", grid.p, q), p.m, p.k, p.nouter + 3);
  tile(s, p.b, "tile_b", p.upd, fmt("%s |", steps), p.k, p.n, p.nouter + 3);
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    if (st == p.upd) sched_bands(k, st->name, fmt("%s | %s %s.1 %s", steps, cells_of, q, inner));
    else if (strncmp(st->name, "tile_", 5) != 0) sched_bands(k, st->name, fmt("%s | %s %s", grid.p, cells_of, inner));
  }
  for (int i = 0; i < k->nbuf; i++)
    if (k->buf[i]->kind == BUF_TEMP && strncmp(k->buf[i]->name, "tile_", 5) != 0)
      sched_store(k->sched, k->buf[i], SPACE_REG, p.nouter + 2, NULL);
  return true;
}

/* ---- one row, one block ---- */

static int common_rows(const Kernel *k, IExpr **row) { // spatial axes that all stages have and store
  IExpr *ax[MAX_AXES];
  int n = 0;
  for (int a = 0, m = stage_spatial(k->stage[0], ax); a < m; a++) {
    bool all = reads_in_place(k, ax[a]);
    for (int i = 0; i < k->nstage && all; i++) all = has_axis(k->stage[i], ax[a]) && parallel(k->stage[i], ax[a]);
    if (all) row[n++] = ax[a];
  }
  return n;
}

static bool is_row_fold(const Stage *st, IExpr *const *row, int nrow, IExpr **axis) { // one long axis down to one cell for each row
  IExpr *ax[MAX_AXES];
  if (st->combine == C_SET || stage_reduced(st, axis) != 1 || stage_spatial(st, ax) != nrow) return false;
  for (int i = 0; i < nrow; i++)
    if (!axis_among(row[i], ax, nrow)) return false;
  for (int d = 0; d < st->out->rank; d++)
    if (ix_has(st->ix[d], ix_var_of(*axis))) return false; // lane partials already
  return extent_or(*axis, LONG_FOLD) >= LONG_FOLD && st->out->kind == BUF_TEMP && st->out->rank < MAX_RANK;
}

static void factor_folds(Kernel *k, IExpr *const *row, int nrow) {
  for (int i = 0; i < k->nstage && k->nstage < MOST_STAGES; i++) {
    IExpr *axis[MAX_AXES];
    if (!is_row_fold(k->stage[i], row, nrow, axis)) continue;
    stage_rfactor(k, k->stage[i]->out, axis[0], FOLD_LANES, true);
    i = -1; // the list changed
  }
}

// A reduce axis that the store cuts into lanes may be on threads after all: its partials are cells of their own.
static bool is_lanes(const Stage *st, const IExpr *axis) {
  bool reduced = st->kind[stage_axis(st, ix_var_of((IExpr *)axis))] == AXIS_REDUCE;
  for (int d = 0; d < st->out->rank && reduced; d++)
    if (st->ix[d] == ix_modk((IExpr *)axis, FOLD_LANES)) return true;
  return false;
}

// Bands of a stage below `outer`: one axis on the threads, the others in their order around and inside it.
static void inner_bands(Sched *s, Stage *st, const char *outer, IExpr *const *row, int nrow) {
  IExpr *v = NULL;
  const char *vs = NULL;
  bool lanes = false;
  for (int a = st->nax - 1; a >= 0 && !v; a--) {
    if (axis_among(st->ax[a], row, nrow)) continue;
    lanes = is_lanes(st, st->ax[a]);
    if (lanes || parallel(st, st->ax[a])) v = st->ax[a];
  }
  bool ordered = false; // what follows an ordered axis stays inside it
  for (int a = 0; a < st->nax; a++) ordered |= st->kind[a] == AXIS_ORDERED;
  Text t = {0}, rest = {0};
  put(&t, "%s", outer);
  put(&rest, "%s", "");
  if (v) vs = lanes ? sched_axis(s, v, fmt("%d", FOLD_LANES)) : thread_split(s, v);
  const char *on_threads = !v ? "" : lanes || is_cut(s, v) ? fmt(" %s.0 %s.1 thread.x", vs, vs) : fmt(" %s.0 thread.x", vs);
  for (int a = 0; a < st->nax; a++) {
    if (axis_among(st->ax[a], row, nrow)) continue;
    if (st->ax[a] == v) put(&t, "%s", ordered ? on_threads : "");
    else if (ordered || st->kind[a] == AXIS_SPATIAL) put(&t, " %s", sched_axis(s, st->ax[a], ""));
    else put(&rest, " %s", sched_axis(s, st->ax[a], ""));
  }
  put(&t, "%s%s", ordered ? "" : on_threads, rest.p);
  sched_bands(s->k, st->name, t.p);
}

static bool rows(Sched *s) {
  Kernel *k = s->k;
  IExpr *row[MAX_AXES];
  int n = common_rows(k, row);
  if (!n || k->nstage < 2) return false;
  factor_folds(k, row, n);
  Text grid = {0};
  for (int i = 0; i < n; i++) put(&grid, "%s block.x ", sched_axis(s, row[i], ""));
  put(&grid, "|");
  for (int i = 0; i < k->nstage; i++) inner_bands(s, k->stage[i], grid.p, row, n);
  return true;
}

/* ---- one stage, one kernel ---- */

static void apart(Sched *s) {
  Kernel *k = s->k;
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    IExpr *lead[MAX_AXES];
    int n = 0;
    Text grid = {0};
    put(&grid, "%s", "");
    for (int a = 0; a + 1 < st->nax && parallel(st, st->ax[a]); a++) lead[n++] = st->ax[a]; // the last one is for the threads
    for (int a = 0; a < n; a++) put(&grid, "%s block.x ", sched_axis(s, lead[a], ""));
    if (st->nax) inner_bands(s, st, grid.p, lead, n);
  }
}

void sched_cuda(Sched *s) {
  Kernel *k = s->k;
  if (!k->sched) k->sched = NEW(Schedule);
  if (kernel_is_ordered(k)) {
    apart(s);
    return;
  }
  sched_collapse(k);
  if (same_spatial(k)) {
    if (!tiles(s)) cells(s);
  } else if (!rows(s)) apart(s);
}
