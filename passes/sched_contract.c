// sched_contract.c - contractions: acc[C] += A * B with an elementwise epilogue. MatMul, Gemm, Conv, Einsum, ConvTranspose, attention's
// two.
//
// Axes of C and one operand alone are that operand's; axes of both are batch; axes of A and B alone are K. The vector axis is the one the
// result stores contiguously; its operand is read in vectors (packed first if it is a constant or not contiguous), the other one is
// broadcast. The tile is the argmin over MR x NV of a small cost model (KERNELS.md 2a.12).
#include "passes/schedule.h"
#include <string.h>

typedef struct Contraction {
  Stage *upd;
  Ex *far, *near; // operands: broadcast (rows), and read in vectors (columns)
  Ex *near_load;  // near's load
  IExpr *m, *v;   // row axis (NULL: none), vector axis
  IExpr *outer[MAX_AXES], *red[MAX_AXES];
  int nouter, nred;
  bool grouped; // no axis belongs to the columns alone (depthwise): vectors along a batch axis
  IExpr *words; // bytes: the reduce axis of which four steps are one word; NULL: none
} Contraction;

bool stage_is_contraction(const Stage *s) {
  IExpr *red[MAX_AXES];
  return s->combine == C_add && s->val->op == S_mul && s->val->a[0] != s->val->a[1] && stage_reduced(s, red) > 0;
}
// The result's contiguous axis: of the last stage, which stores it.
static IExpr *contiguous_axis(const Stage *s) {
  bool affine;
  for (int i = s->nax - 1; i >= 0; i--)
    if (s->kind[i] == AXIS_SPATIAL && access_stride(s->out, s->ix, s->ax[i], &affine) == 1 && affine) return s->ax[i];
  return NULL;
}
Ex *only_load(Ex *e) {
  while (e->op != S_LOAD) {
    if (e->op == S_CONST || !e->a[0] || e->a[1]) return NULL;
    e = e->a[0];
  }
  return e;
}
// Do rows along a lie closer together in the broadcast operand than rows along b? Where that is not known, the later axis does.
static bool nearer(const Contraction *c, const IExpr *a, const IExpr *b) {
  const Ex *far = only_load(c->far);
  bool fa, fb;
  if (!far || c->grouped) return false;
  int64_t sa = load_stride(far, a, &fa), sb = load_stride(far, b, &fb);
  return fa && fb && sa > 0 && (sb <= 0 || sa < sb);
}
// Makes v the vector axis: which operand is read in vectors, which is broadcast, which axis gives the rows. False: v does not serve.
static bool choose_columns(Contraction *c, IExpr *v, IExpr *const *ax, int n) {
  Ex *a = c->upd->val->a[0], *b = c->upd->val->a[1], *la = only_load(a);
  bool va = ex_uses(a, v), vb = ex_uses(b, v), affine;
  if (!va && !vb) return false;
  c->v = v, c->m = NULL, c->nouter = 0;
  c->near = vb ? b : a, c->far = vb ? a : b;
  c->grouped = va && vb;
  if (c->grouped && la && la->buf->kind == BUF_CONST) c->near = a, c->far = b;
  c->near_load = only_load(c->near);
  if (!c->near_load) return false;
  if (c->grouped && c->near_load->buf->kind != BUF_CONST && (load_stride(c->near_load, c->v, &affine) != 1 || !affine)) return false;
  for (int i = 0; i < n; i++) { // rows: an axis of the broadcast operand alone, else (depthwise, vectors) any other axis
    if (ax[i] == c->v) continue;
    bool f = ex_uses(c->far, ax[i]), m = ex_uses(c->near, ax[i]);
    if ((c->grouped ? m : f && !m) && (!c->m || !nearer(c, c->m, ax[i]))) c->m = ax[i];
  }
  for (int i = 0; i < n; i++)
    if (ax[i] != c->v && ax[i] != c->m) c->outer[c->nouter++] = ax[i];
  return true;
}
// The contiguous axis serves badly where its operand is read under conditions or with strides. If the other operand is a constant of enough
// columns, its packed panels are read instead, and the result is stored with strides: a few stores against many multiplications.
static bool better_columns(const Contraction *c, IExpr **v, IExpr *const *ax, int n, int lanes) {
  bool affine, clean = !c->near_load->npred && load_stride(c->near_load, c->v, &affine) == 1 && affine;
  Ex *other = only_load(c->far);
  if (clean || c->grouped || c->near_load->buf->kind == BUF_CONST || !other || other->buf->kind != BUF_CONST) return false;
  int64_t depth = 1;
  for (int i = 0; i < c->nred; i++) depth *= extent_or(c->red[i], 64);
  for (int i = 0; i < n; i++)
    if (ex_uses(c->far, ax[i]) && !ex_uses(c->near, ax[i]) && extent_or(ax[i], 0) >= lanes && depth >= 16) return *v = ax[i], true;
  return false;
}
static bool analyse(Kernel *k, Contraction *c, int lanes) {
  IExpr *ax[MAX_AXES];
  for (int i = 0; i < k->nstage; i++)
    if (stage_is_contraction(k->stage[i])) {
      if (c->upd) return false;
      c->upd = k->stage[i];
    }
  if (!c->upd) return false;
  int n = stage_spatial(c->upd, ax);
  c->nred = stage_reduced(c->upd, c->red);
  for (int i = 0; i < k->nstage; i++) { // everything else is init and epilogue over the same points
    IExpr *o[MAX_AXES];
    int m = stage_spatial(k->stage[i], o);
    if (m != n || (k->stage[i] != c->upd && k->stage[i]->nax != m)) return false;
    for (int j = 0; j < n; j++)
      if (!axis_among(ax[j], o, m)) return false;
  }
  IExpr *v = contiguous_axis(k->stage[k->nstage - 1]);
  if (!v || !choose_columns(c, v, ax, n)) return false;
  return !better_columns(c, &v, ax, n, lanes) || choose_columns(c, v, ax, n);
}

/* ---- the tile ---- */
typedef struct Tile {
  int mr, nv;
} Tile;
// Cycles per cycle of a perfect machine. The weights were fitted on the kernels of KERNELS.md 2a.12 and checked by bench/kernels on others.
static double tile_cost(const Target *t, int mr, int nv, const Contraction *c, bool far_panel, bool streams) {
  double nn = (double)extent_or(c->v, 1 << 30), mm = c->m ? (double)extent_or(c->m, 64) : 1, cols = (double)nv * t->lanes, used = 0;
  bool known = !c->m || ix_const(ix_var_of(c->m)->a, NULL);
  double tiles = (double)(int64_t)((nn + cols - 1) / cols), waste = tiles * cols / nn;
  for (int64_t left = (int64_t)mm; left > 0;) { // row tiles, then the rest nest
    double r = left < mr ? (double)left : mr, fma = r * nv / t->fma_ports, load = (r + (c->grouped ? 0 : nv)) / t->load_ports,
           cyc = fma > load ? fma : load;
    if (cyc < t->fma_latency) cyc = t->fma_latency;
    used += cyc + 0.02 * load + (far_panel ? 0.2 * nv : 0) + (streams ? 0.03 * r : 0), left -= (int64_t)r;
  }
  return used / (mm * nv / t->fma_ports) * waste + (known ? 0.001 * mr : mr / 256.0);
}
static Tile best_tile(const Target *t, const Contraction *c) {
  Tile best = {1, 1};
  double least = 1e30;
  int64_t depth = 1, rows = c->m ? extent_or(c->m, 1 << 20) : 1;
  for (int i = 0; i < c->nred; i++) depth *= extent_or(c->red[i], 1024);
  Ex *far = only_load(c->far);
  bool streams = far && !far->buf->lay, affine;
  int most = 16; // rows a whole number of pages apart share one set of the L1 cache: no more of them than it has ways
  if (far && c->m && load_stride(far, c->m, &affine) * 4 % 4096 == 0 && affine && extent_or(c->m, 2) > 1) most = (int)(t->l1 / 4096);
  for (int mr = 1; mr <= most && mr <= rows; mr++)
    for (int nv = 1; nv <= 8; nv++) {
      if (mr * nv + nv + 1 > t->vregs || (c->grouped && (nv > 1 || mr + 9 > t->vregs - 4))) continue;
      double cost = tile_cost(t, mr, nv, c, depth * nv * t->lanes * 4 > t->l1 / 2, streams);
      if (cost < least) least = cost, best = (Tile){mr, nv};
    }
  return best;
}

/* ---- operands ---- */
// The order in which the columns' operand is walked: <n / panel, k.., n % panel>.
// A reduce axis that the rows' operand stores in blocks keeps them: <n / panel, c / 16, k.., c % 16, n % panel>.
// Words of four steps come last: <n / panel, k / 4, n % panel, k % 4>, <n / panel, c / 16, k.., c % 16 / 4, n % panel, c % 4>.
static int64_t block_of(const Contraction *c, const IExpr *red) {
  Ex *l = only_load(c->far);
  if (!l || !l->buf->lay || l->buf->kind == BUF_TEMP) return 0;
  const Layout *y = l->buf->lay;
  return y->mod[y->n - 1] && l->ix[y->axis[y->n - 1]] == red ? y->mod[y->n - 1] : 0;
}
static int64_t block_or_word(const Contraction *c, const IExpr *red) {
  int64_t b = block_of(c, red);
  return !b && red == c->words ? 4 : b;
}
// u8 * s8 with weights that are packed: the reduce axis along which the rows lie in whole words, for which the machine has an instruction.
static IExpr *word_axis(const Contraction *c, const Target *t) {
  const Ex *f = c->far, *n = c->near;
  bool loads = f->op == S_LOAD && n->op == S_LOAD && !f->cond && !n->npred && !n->cond && n->buf->kind == BUF_CONST;
  bool bytes = loads && ((f->buf->dtype == DT_U8 && n->buf->dtype == DT_I8) || (f->buf->dtype == DT_I8 && n->buf->dtype == DT_U8));
  if (!t->vnni || !bytes || c->grouped || c->upd->out->dtype != DT_I32) return NULL;
  for (int i = 0; i < c->nred; i++) {
    int64_t e = extent_or(c->red[i], 1), b = block_of(c, c->red[i]);
    bool affine, next = load_stride(f, c->red[i], &affine) == 1 && affine;
    if (b ? b % 4 == 0 && e % b == 0 : !f->buf->lay && next && e % 4 == 0) return c->red[i];
  }
  return NULL;
}
static const Layout *panel_layout(const Contraction *c, int64_t panel) {
  Layout *y = NEW(Layout);
  const Ex *l = c->near_load;
  int dv = -1, inner = -1;
  int64_t block = 0;
  bool used[MAX_RANK] = {0};
#define PART(a, d, m) (y->axis[y->n] = (uint8_t)(a), y->div[y->n] = (d), y->mod[y->n++] = (m))
  for (int d = 0; d < l->buf->rank; d++)
    if (l->ix[d] == c->v) dv = d;
  if (dv < 0) return NULL;
  for (int d = 0; d < l->buf->rank; d++) { // batch dims stay outermost
    bool k = false;
    for (int i = 0; i < c->nred; i++) k |= ix_has(l->ix[d], ix_var_of(c->red[i]));
    if (d != dv && !k) PART(d, 1, 0), used[d] = true;
  }
  PART(dv, panel, 0);
  for (int i = 0; i < c->nred; i++)
    for (int d = 0; d < l->buf->rank; d++)
      if (d != dv && !used[d] && ix_has(l->ix[d], ix_var_of(c->red[i]))) {
        int64_t b = l->ix[d] != c->red[i] ? 0 : block_or_word(c, c->red[i]);
        PART(d, b ? b : 1, 0), used[d] = true;
        if (b) inner = d, block = b;
      }
  if (inner >= 0 && !c->words) PART(inner, 1, block);
  if (inner >= 0 && c->words && block > 4) PART(inner, 4, block / 4);
  PART(dv, 1, panel);
  if (inner >= 0 && c->words) PART(inner, 1, 4);
#undef PART
  return y;
}
static bool contiguous(const Contraction *c) {
  bool affine;
  return load_stride(c->near_load, c->v, &affine) == 1 && affine;
}
static bool read_once(const Kernel *k, const Buf *b) {
  int n = 0;
  for (int i = 0; i < k->nstage; i++) {
    Ex *l[64];
    int m = stage_loads(k->stage[i], l, 64);
    for (int j = 0; j < m; j++) n += l[j]->buf == b;
  }
  return n == 1;
}
// A column operand that is neither constant nor contiguous is copied into panels first, by a nest of its own.
static bool copy_panels(Sched *s, Contraction *c, int64_t panel) {
  Kernel *k = s->k;
  Buf *from = c->near_load->buf;
  if (from->kind == BUF_TEMP || c->near_load->npred || c->near_load->cond) return false;
  const Layout *lay = panel_layout(c, panel);
  if (!lay) return false;
  Buf *to = stage_copy(k, from, sym_fmt("%s_panel", from->name), k->stage[0]->name);
  sched_store(k->sched, to, SPACE_ARENA, 0, lay);
  Stage *copy = NULL;
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i]->out == to) copy = k->stage[i];
  Text t = {0};
  int64_t chunks = 1;
  int dv = lay->axis[lay->n - 1];
  IExpr *v_axis = copy->ix[dv];
  for (int d = 0; d < copy->nax; d++)
    if (copy->ax[d] != v_axis)
      put(&t, "%s %s", sched_axis(s, copy->ax[d], ""), chunks < 64 ? "par " : ""), chunks *= extent_or(copy->ax[d], 8);
  const char *v = sched_axis(s, v_axis, fmt("%d", s->t->lanes));
  put(&t, "%s.0 %s.1 vec", v, v);
  sched_bands(k, copy->name, t.p);
  for (int i = 0; i < k->nstage; i++)
    if (stage_is_contraction(k->stage[i])) {
      c->upd = k->stage[i];
      bool first = ex_uses(c->upd->val->a[0], c->v);
      c->near = c->upd->val->a[first ? 0 : 1], c->far = c->upd->val->a[first ? 1 : 0];
      c->near_load = only_load(c->near);
    }
  return true;
}

/* ---- bands ---- */
// Rows of a block that stays in half of L2 while all panels of the columns pass by; 0: all rows do, or their number is not known.
static int64_t row_block(const Contraction *c, Tile t, const Target *target) {
  int64_t m, depth = 1;
  Ex *far = only_load(c->far);
  if (!c->m || !far || far->buf->lay || !ix_const(ix_var_of(c->m)->a, &m)) return 0;
  for (int i = 0; i < c->nred; i++) depth *= extent_or(c->red[i], 1024);
  if (!depth) return 0; // a sum over nothing
  int64_t rows = target->l2 / 2 / (depth * 4) / t.mr * t.mr;
  return rows < t.mr || rows >= m ? 0 : rows;
}
static const char *rows_text(const Contraction *c, Tile t, int64_t block) {
  int64_t m;
  if (block && ix_const(ix_var_of(c->m)->a, &m)) {
    int left = (int)(m % t.mr);
    return left        ? fmt("%d,%d rest %d,%d", (int)block, t.mr, t.mr, left)
           : m % block ? fmt("%d,%d rest %d", (int)block, t.mr, t.mr)
                       : fmt("%d,%d", (int)block, t.mr);
  }
  if (ix_const(ix_var_of(c->m)->a, &m)) {
    if (m % t.mr == 0) return fmt("%d", t.mr);
    return fmt("%d rest %d", t.mr, (int)(m % t.mr));
  }
  Text x = {0};
  put(&x, "%d rest ", t.mr);
  for (int i = t.mr / 2; i; i /= 2) put(&x, "%s%d", i == t.mr / 2 ? "" : ",", i);
  return t.mr == 1 ? "1" : x.p;
}
// Predicates of the loads. Where a tiled stored axis meets a reduce axis (ow * s + kw) the border tiles become pieces of their own and the
// reduce axis is unrolled: every predicate is then a constant at the border and proved in the middle. Where the stored axis is a plain
// outer loop, build clips the reduce loop.
static void peel(Kernel *k, const Stage *st) {
  Ex *l[16];
  int n = stage_loads(st, l, 16), at = stage_find(k, st->name);
  for (int i = 0; i < n; i++)
    for (int p = 0; p < l[i]->npred; p++)
      for (int q = 0; q < k->sched->nsplit; q++) {
        Split *sp = &k->sched->split[q];
        if (!sp->n || !ix_has(l[i]->pred[p], sp->axis) || !stage_stores(st, ix_atom(sp->axis))) continue;
        sp->edge[0] = sp->edge[1] = 1;
        StageSched *b = &k->sched->stage[at];
        for (int j = 0; j < b->nband; j++) {
          IExpr *a = ix_atom(k->sched->split[b->band[j].split].axis);
          if (!stage_stores(st, a) && ix_has(l[i]->pred[p], ix_var_of(a))) b->band[j].map = MAP_UNROLL;
        }
      }
}
static bool dear(const Stage *s) { return stage_ops(s) > 12; }

bool sched_contraction(Sched *s) {
  Kernel *k = s->k;
  Contraction c = {0};
  if (!analyse(k, &c, s->t->lanes)) return false;
  if (!k->sched) k->sched = NEW(Schedule);
  c.words = read_once(k, c.near_load->buf) ? word_axis(&c, s->t) : NULL;
  Tile tile = best_tile(s->t, &c);
  int64_t lanes = s->t->lanes, panel = tile.nv * lanes;
  if (c.near_load->buf->kind == BUF_CONST && read_once(k, c.near_load->buf)) c.near_load->buf->lay = panel_layout(&c, panel);
  if (!c.near_load->buf->lay && !contiguous(&c) && !copy_panels(s, &c, panel)) return false;
  int64_t block = row_block(&c, tile, s->t);
  int level = block ? 1 : 0; // of M's tiles
  const char *M = c.m ? sched_axis(s, c.m, rows_text(&c, tile, block)) : NULL;
  const char *V = sched_axis(s, c.v, tile.nv > 1 ? fmt("%d,%d", (int)panel, (int)lanes) : fmt("%d", (int)lanes));
  Text pre = {0}, red = {0};
  int64_t chunks = 1;
  // batches, then panels of the columns, then what only the rows have: a panel of weights is used by all rows before the next one comes
  for (int later = 0; later < 2; later++) {
    for (int i = 0; i < c.nouter; i++) {
      if (ex_uses(c.near, c.outer[i]) == later) continue;
      put(&pre, "%s %s", sched_axis(s, c.outer[i], ""), chunks < 64 ? "par " : "");
      chunks *= extent_or(c.outer[i], 4);
    }
    if (later) break;
    if (block) put(&pre, "%s.0 %s", M, chunks < 64 ? "par " : ""), chunks *= extent_or(c.m, 64) / block + 1;
    put(&pre, "%s.0 %s", V, chunks < 64 ? "par " : "");
    chunks *= (extent_or(c.v, 1024) + panel - 1) / panel;
  }
  if (M) put(&pre, "%s.%d %s", M, level, chunks < 32 ? "par " : "");
  put(&red, "%s", "");
  Text inner = {0};
  put(&inner, "%s", "");
  const char *word = "";
  for (int i = 0; i < c.nred; i++) {
    int64_t b = block_of(&c, c.red[i]), e = extent_or(c.red[i], 0);
    if (b) {
      const char *n = sched_axis(s, c.red[i], e % b ? fmt("%d,4 rest %d", (int)b, (int)(e % b)) : fmt("%d,4", (int)b));
      put(&red, "%s.0 ", n);
      if (c.words == c.red[i]) put(&inner, "%s.1 ", n), word = fmt(" %s.2 dot", n);
      else put(&inner, "%s.1 %s.2 unroll ", n, n);
      continue;
    }
    bool unroll = c.grouped && extent_or(c.red[i], 99) <= 7;
    bool words = c.words == c.red[i];
    const char *n = sched_axis(s, c.red[i], words ? "4" : "");
    put(&red, "%s%s %s", n, words ? ".0" : "", unroll ? "unroll " : "");
    if (words) word = fmt(" %s.1 dot", n);
  }
  put(&red, "%s", inner.p);
  Stage *last = k->stage[k->nstage - 1];
  bool rolled = dear(last);
  if (rolled) sched_store(k->sched, stage_copy(k, c.upd->out, sym_fmt("%s_tile", c.upd->out->name), last->name), SPACE_STACK, -1, NULL);
  const char *vec = tile.nv > 1 ? fmt("%s.1 unroll %s.2 vec", V, V) : fmt("%s.1 vec", V);
  for (int i = 0; i < k->nstage; i++) {
    Stage *st = k->stage[i];
    if (k->sched->stage[i].nband) continue; // the panels' copy
    Text t = {0};
    bool roll = rolled && i == k->nstage - 1;
    put(&t, "%s| %s", pre.p, st->combine == C_add && stage_is_contraction(st) ? red.p : "");
    if (M) put(&t, "%s.%d %s", M, level + 1, roll ? "" : "unroll ");
    put(&t, "%s%s", vec, st == c.upd ? word : "");
    sched_bands(k, st->name, t.p);
    if (i && k->stage[i - 1]->out->kind == BUF_TEMP && k->stage[i - 1]->out == c.near_load->buf)
      k->sched->stage[i].shared = 0; // behind the copy
  }
  sched_store(k->sched, c.upd->out, SPACE_REG, -1, NULL);
  peel(k, c.upd);
  return true;
}
