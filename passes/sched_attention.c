// sched_attention.c - a contraction, a row group over its result, and a contraction that reduces the row: attention.
//
// One tile of rows runs through all three before the next begins: scores, probabilities and the result of a row tile stay in the cache,
// and leave it once. The keys are copied into panels per head first, unless they lie contiguous along the row already.
//
//   outer..| panel of K   outer.. i.0 | j.0: scores | rows i.1: softmax | e.0: result
#include "passes/schedule.h"

typedef struct Attention {
  Stage *qk, *pv;
  IExpr *i, *j, *e, *d; // row, row position, result column, depth
  IExpr *outer[MAX_AXES];
  int nouter;
  Ex *keys, *values; // loads
} Attention;

static int depth_dim(const Attention *a) { // the keys' dim that the depth walks, step by step: d, or 64*h + d
  for (int d = 0; d < a->keys->buf->rank; d++) {
    bool affine;
    if (ix_coef(a->keys->ix[d], ix_var_of(a->d), &affine) == 1 && affine && !ix_has(a->keys->ix[d], ix_var_of(a->j))) return d;
  }
  return -1;
}
static bool analyse(Kernel *k, Attention *a) {
  for (int s = 0; s < k->nstage; s++)
    if (stage_is_contraction(k->stage[s])) {
      if (a->pv) return false;
      if (!a->qk) a->qk = k->stage[s];
      else a->pv = k->stage[s];
    }
  IExpr *red[MAX_AXES], *ax[MAX_AXES], *ox[MAX_AXES];
  if (!a->pv || stage_reduced(a->pv, red) != 1) return false;
  a->j = red[0];
  if (stage_reduced(a->qk, red) != 1) return false;
  a->d = red[0];
  int n = stage_spatial(a->qk, ax), m = stage_spatial(a->pv, ox);
  if (n != m || !axis_among(a->j, ax, n)) return false;
  Ex *x = a->qk->val->a[0], *y = a->qk->val->a[1];
  bool swapped = ex_uses(x, a->j);
  a->keys = only_load(swapped ? x : y);
  Ex *queries = swapped ? y : x;
  if (!a->keys || ex_uses(queries, a->j) || a->keys->npred || a->keys->cond) return false;
  if (!axis_among(a->j, a->keys->ix, a->keys->buf->rank) || depth_dim(a) < 0) return false;
  for (int q = 0; q < n; q++) {
    if (ax[q] == a->j) continue;
    if (!axis_among(ax[q], ox, m)) return false;
    bool row = !ex_uses(swapped ? x : y, ax[q]);
    if (row) { // the last row axis is tiled; another one (grouped heads) is an outer loop
      if (a->i) a->outer[a->nouter++] = a->i;
      a->i = ax[q];
    } else a->outer[a->nouter++] = ax[q];
  }
  for (int q = 0; q < m; q++)
    if (!axis_among(ox[q], ax, n)) a->e = ox[q];
  if (!a->i || !a->e) return false;
  Ex *p = a->pv->val->a[0], *v = a->pv->val->a[1];
  if (ex_uses(p, a->e)) {
    Ex *t = p;
    p = v, v = t;
  }
  a->values = only_load(v);
  bool affine;
  if (!a->values || ex_uses(p, a->e) || load_stride(a->values, a->e, &affine) != 1) return false;
  bool before = true;                   // the scores
  for (int s = 0; s < k->nstage; s++) { // all else: elementwise or folds over the row, or the epilogue of the result; all in the same loops
    const Stage *st = k->stage[s];
    if (!axis_among(a->i, st->ax, st->nax) || (before && !axis_among(a->j, st->ax, st->nax))) return false;
    for (int q = 0; q < a->nouter; q++)
      if (!axis_among(a->outer[q], st->ax, st->nax)) return false;
    if (st == a->qk) before = false;
    for (int q = 0; q < st->nax; q++)
      if (st->ax[q] != a->i && st->ax[q] != a->j && st->ax[q] != a->e && st->ax[q] != a->d && !axis_among(st->ax[q], a->outer, a->nouter))
        return false;
  }
  return true;
}
static void panel_of_keys(Sched *s, const Attention *a, const char *outer, int width) {
  Kernel *k = s->k;
  Buf *from = a->keys->buf;
  int dj = -1, dd = depth_dim(a);
  for (int d = 0; d < from->rank; d++)
    if (a->keys->ix[d] == a->j) dj = d;
  Buf *to = stage_copy(k, from, "keys", k->stage[0]->name);
  Stage *copy = NULL;
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i]->out == to) copy = k->stage[i];
  Layout *lay = NEW(Layout);
#define PART(x, y, z) (lay->axis[lay->n] = (uint8_t)(x), lay->div[lay->n] = (y), lay->mod[lay->n++] = (z))
  for (int d = 0; d < from->rank; d++)
    if (d != dj && d != dd) PART(d, 1, 0);
  PART(dj, width, 0), PART(dd, 1, 0), PART(dj, 1, width);
#undef PART
  const char *j = sched_axis(s, copy->ix[dj], fmt("%d rest %d", s->t->lanes, s->t->lanes)),
             *d = sched_axis(s, copy->ix[dd], fmt("%d", s->t->lanes));
  bool square = extent_or(a->d, 0) % s->t->lanes == 0 && s->t->lanes == 16;
  Text t = {0};
  if (square) put(&t, "%s| %s.0 %s.0 %s.1 tr %s.1 vec", outer, j, d, d, j);
  else put(&t, "%s| %s.0 %s.0 %s.1 %s.1 vec", outer, j, d, d, j);
  sched_bands(k, copy->name, t.p);
  sched_store(k->sched, to, SPACE_SCRATCH, -1, lay);
}
// Columns of a tile of 8 rows: as many vectors as the registers hold beside them, no more than the extent asks for.
static int vectors(const Target *t, const IExpr *axis) {
  int most = (t->vregs - 1) / 9, lanes = t->lanes;
  int64_t n = extent_or(axis, 1 << 20);
  if (most > 2) most = 2;
  if (most < 1) most = 1;
  while (most > 1 && n <= (int64_t)lanes * (most - 1)) most--;
  return most;
}
typedef struct Names { // the splits, as the band texts call them
  const char *outer, *i, *j, *e, *d, *j_whole, *j_vec, *e_vec;
} Names;
static const char *tile_split(Sched *s, IExpr *axis, int vecs) {
  int lanes = s->t->lanes;
  return sched_axis(s, axis, vecs > 1 ? fmt("%d,%d", vecs * lanes, lanes) : fmt("%d", lanes));
}
static const char *tile_vec(const char *split, int vecs) {
  return vecs > 1 ? fmt("%s.1 unroll %s.2 vec", split, split) : fmt("%s.1 vec", split);
}
static Names splits_of(Sched *s, const Attention *a, const char *outer) {
  int nj = vectors(s->t, a->j), ne = vectors(s->t, a->e);
  Names n = {.outer = outer, .i = sched_axis(s, a->i, s->t->vregs >= 32 ? "8 rest 4,2,1" : "4 rest 2,1")};
  n.j = tile_split(s, a->j, nj), n.e = tile_split(s, a->e, ne);
  n.j_vec = tile_vec(n.j, nj), n.e_vec = tile_vec(n.e, ne);
  n.d = sched_axis(s, a->d, ""), n.j_whole = sched_axis(s, a->j, "");
  return n;
}
// The scores leave the registers as a row tile: a copy that all later stages read. Returns the copying stage's name.
static Sym copy_scores(Kernel *k, const Attention *a) {
  int after = 0;
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i] == a->qk) after = i + 1;
  Buf *score = stage_copy(k, a->qk->out, "score", k->stage[after]->name);
  sched_store(k->sched, a->qk->out, SPACE_REG, -1, NULL);
  sched_store(k->sched, score, SPACE_SCRATCH, -1, NULL);
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i]->out == score) return k->stage[i]->name;
  bug("kernel %s lost the copy of its scores", k->name);
}
// Bands of the two contractions with their inits and epilogues. Returns the last stage of the row group between them.
static Sym contraction_bands(Kernel *k, const Attention *a, const Names *n, int copy_at) {
  Sym last_row = NULL;
  bool behind = false; // past the first stage of the second contraction
  for (int i = 0; i < k->nstage; i++) {
    const Stage *st = k->stage[i];
    bool scores = i <= copy_at;
    if (k->sched->stage[i].nband) continue; // the keys' copy
    if (!scores && !axis_among(a->e, st->ax, st->nax)) {
      last_row = st->name;
      continue;
    }
    const char *reduce = st == a->qk ? n->d : st == a->pv ? n->j_whole : "";
    sched_bands(k, st->name,
                fmt("%s%s.0 %s.0 | %s %s.1 unroll %s", n->outer, n->i, scores ? n->j : n->e, reduce, n->i, scores ? n->j_vec : n->e_vec));
    if (scores && st->out == a->qk->out && st->combine == C_SET) k->sched->stage[i].shared = (uint8_t)(i ? a->nouter : 0);
    if (!scores && !behind) k->sched->stage[i].shared = (uint8_t)(a->nouter + 1), behind = true;
  }
  return last_row;
}
// After stages were copied or retargeted: the two contractions as they are now.
static void find_contractions(Kernel *k, Attention *a) {
  a->qk = a->pv = NULL;
  for (int i = 0; i < k->nstage; i++)
    if (stage_is_contraction(k->stage[i])) *(a->qk ? &a->pv : &a->qk) = k->stage[i];
}
bool sched_attention(Sched *s) {
  Kernel *k = s->k;
  Attention a = {0};
  if (!analyse(k, &a)) return false;
  if (!k->sched) k->sched = NEW(Schedule);
  Text outer = {0};
  put(&outer, "%s", "");
  for (int q = 0; q < a.nouter; q++) put(&outer, "%s par ", sched_axis(s, a.outer[q], ""));
  Sym copied = copy_scores(k, &a);
  bool affine;
  if (load_stride(a.keys, a.j, &affine) != 1) panel_of_keys(s, &a, outer.p, vectors(s->t, a.j) * s->t->lanes);
  find_contractions(k, &a);
  Names n = splits_of(s, &a, outer.p);
  int copy_at = stage_find(k, copied);
  Sym last_row = contraction_bands(k, &a, &n, copy_at);
  sched_store(k->sched, a.pv->out, SPACE_REG, -1, NULL);
  Rows r = {.first = copy_at + 1, .inner = a.j};
  for (int q = 0; q < a.qk->nax; q++)
    if (a.qk->ax[q] != a.j && a.qk->ax[q] != a.d) r.row[r.nrow++] = a.qk->ax[q];
  sched_row_group(s, &r, fmt("%s%s.0 %s.1 ", n.outer, n.i, n.i), a.nouter + 1, last_row);
  return true;
}
