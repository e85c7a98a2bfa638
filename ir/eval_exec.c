// eval_exec.c - runs a planned statement over its lanes, a block of at most LANES at a time.
#include "clones.h"
#include "eval_internal.h"
#include <math.h>
#include <string.h>

EvalFault *eval_fault;
bool eval_faulted;

/* ---- masks ---- */

// Clears the lanes where an affine value is below 0: in each run they are at one end.
static void mask_affine(const Block *b, const Form *f, uint8_t *m) {
  Walk w;
  walk_start(&w, b, 1, &f);
  do {
    int64_t v = w.off[0], s = walk_step(&w, 0), n = w.run, from = 0, to = n; // the lanes that pass
    if (s == 0) to = v >= 0 ? n : 0;
    else if (s > 0) from = v >= 0 ? 0 : (-v + s - 1) / s;
    else to = v < 0 ? 0 : v / -s + 1;
    for (int64_t l = 0; l < from && l < n; l++) m[w.lane + l] = 0;
    for (int64_t l = to; l < n; l++) m[w.lane + l] = 0;
  } while (walk_next(&w));
}

// m[l] &= value >= 0. Returns false if no lane is left; *all: the mask was not touched because all pass.
static bool mask_index(Plan *p, Index *x, uint8_t *m, bool *all) {
  const Form *f = index_form(p, x);
  const Block *b = &p->block;
  int64_t lo, hi;
  form_range(b, f, &lo, &hi);
  *all = lo >= 0;
  if (*all || hi < 0) return hi >= 0;
  if (f->arr)
    for (int l = 0; l < b->total; l++) m[l] &= f->arr[l] >= -f->base;
  else mask_affine(b, f, m);
  return true;
}

typedef enum Lit { NONE, SOME, ALL } Lit;
// The conjunction of predicates over the block; m holds it if SOME.
static Lit mask_all(Plan *p, int n, Index *const *pred, uint8_t *m) {
  Lit lit = ALL;
  for (int i = 0; i < n; i++) {
    bool all, any;
    if (lit == ALL) memset(m, 1, (size_t)p->block.total);
    any = mask_index(p, pred[i], m, &all);
    if (!any) return NONE;
    if (!all) lit = SOME;
  }
  return lit == SOME && !memchr(m, 1, (size_t)p->block.total) ? NONE : lit;
}

/* ---- law 1: every access lies in its buffer ---- */

static void outside(const Buf *b, const char *what, int64_t v, int64_t n, IExpr *e) {
  bug("%s of %s: %lld is not in 0..%lld%s%s", what, b->name, (long long)v, (long long)n - 1, e ? ": " : "", e ? ix_str(e) : "");
}

// Logical indices: inside the dims, or in the halo and pad of the layout. Only where no lane is masked off.
static void check_dims(Plan *p, const Buf *b, Index *const *dim) {
  for (int d = 0; d < b->rank; d++) {
    int64_t lo, hi, n = ix_eval(b->dim[d]), below = 0, above = 0;
    if (b->lay) {
      below = b->lay->lo[d], above = b->lay->hi[d];
      int64_t block = 1;
      for (int q = 0; q < b->lay->n; q++)
        if (b->lay->axis[q] == d && b->lay->div[q] > block) block = b->lay->div[q];
      above += block - 1;
    }
    form_range(&p->block, index_form(p, dim[d]), &lo, &hi);
    if (lo < -below) outside(b, fmt("index %d", d), lo, n, NULL);
    if (hi >= n + above) outside(b, fmt("index %d", d), hi, n, NULL);
  }
}

static void check_range(Plan *p, const Buf *b, const Form *f, int64_t size, const uint8_t *m) {
  int64_t lo, hi, space[LANES];
  form_range(&p->block, f, &lo, &hi);
  if (lo >= 0 && hi < size) return;
  if (!m) outside(b, "offset", lo < 0 ? lo : hi, size, NULL);
  const int64_t *v = form_array(p, f, space);
  for (int l = 0; l < p->block.total; l++)
    if (m[l] && (v[l] < 0 || v[l] >= size)) outside(b, "offset", v[l], size, NULL);
}

static void check_access(Plan *p, const Buf *b, const Form *f, int64_t size, Index *const *dim, const uint8_t *m) {
  check_range(p, b, f, size, m);
  if (!m && p->checks > 0) check_dims(p, b, dim);
}

/* ---- loads and stores ---- */

// Runs of lanes with m set (NULL: all), within one run of the walk
static int next_run(const uint8_t *m, int *from, int end) { // its length; *from moves to its start
  if (!m) return end - *from;
  while (*from < end && !m[*from]) ++*from;
  int n = 0;
  while (*from + n < end && m[*from + n]) n++;
  return n;
}

typedef void Move(DType, void *base, int64_t at, int64_t step, int n, void *r);
static void move_load(DType d, void *base, int64_t at, int64_t step, int n, void *r) { mem_load(d, base, at, step, n, r); }
static void move_store(DType d, void *base, int64_t at, int64_t step, int n, void *r) { mem_store(d, base, at, step, n, r); }

// Moves the lanes of a block between memory and r.
static void move_lanes(const Block *block, const Buf *b, const Form *f, const uint8_t *m, char *r, Move *move) {
  int bytes = reg_bytes(dtypes[b->dtype].reg);
  if (f->arr) {
    for (int l = 0; l < block->total;) {
      int k = next_run(m, &l, block->total);
      if (move == move_load) mem_gather(b->dtype, b->data, f->base, f->arr + l, k, r + l * bytes);
      else mem_scatter(b->dtype, b->data, f->base, f->arr + l, k, r + l * bytes);
      l += k ? k : 1;
    }
    return;
  }
  Walk w;
  walk_start(&w, block, 1, &f);
  do {
    int64_t step = walk_step(&w, 0);
    for (int l = w.lane, end = w.lane + w.run; l < end;) {
      int k = next_run(m, &l, end);
      if (k) move(b->dtype, b->data, w.off[0] + (l - w.lane) * step, step, k, r + l * bytes);
      l += k ? k : 1;
    }
  } while (walk_next(&w));
}

static void put_number(DType t, void *r, int l, const Ex *e) {
  if (t == DT_F32) ((float *)r)[l] = (float)e->f;
  else if (t == DT_F64) ((double *)r)[l] = e->f;
  else if (t == DT_I64) ((int64_t *)r)[l] = e->i;
  else if (t == DT_I32) ((int32_t *)r)[l] = (int32_t)e->i;
  else ((uint8_t *)r)[l] = e->i != 0;
}

static void run_load(Plan *p, Instr *i) {
  uint8_t m[LANES];
  Block saved = p->block;
  if (!i->lanes) p->block.n = 0, p->block.total = 1;
  int n = p->block.total;
  Lit lit = mask_all(p, i->npred, i->pred, m);
  if (lit == ALL && (i->cond || (p->mask && i->lanes))) memset(m, 1, sizeof m), lit = SOME;
  if (lit == SOME) {
    const uint8_t *c = i->cond ? i->cond->r : NULL, *s = i->lanes ? p->mask : NULL;
    for (int l = 0; c && l < n; l++) m[l] &= c[l];
    for (int l = 0; s && l < n; l++) m[l] &= s[l];
    if (!memchr(m, 1, (size_t)n)) lit = NONE;
  }
  if (lit != ALL)
    for (int l = 0; l < n; l++)
      if (lit == NONE || !m[l]) put_number(i->type, i->r, l, i->e);
  if (lit != NONE) {
    const Form *f = index_form(p, i->at);
    check_access(p, i->buf, f, i->size, i->dim, lit == SOME ? m : NULL);
    move_lanes(&p->block, i->buf, f, lit == SOME ? m : NULL, i->r, move_load);
  }
  p->block = saved;
}

static void run_ix(Plan *p, Instr *i, int n) {
  int64_t space[LANES];
  const Form *f = index_form(p, i->at);
  const int64_t *v = i->lanes ? form_array(p, f, space) : &f->base;
  for (int l = 0; l < n; l++) {
    if (i->type == DT_I64) ((int64_t *)i->r)[l] = v[l];
    else if (i->type == DT_I32) ((int32_t *)i->r)[l] = (int32_t)v[l];
    else if (i->type == DT_F32) ((float *)i->r)[l] = (float)v[l];
    else ((double *)i->r)[l] = (double)v[l];
  }
}

static void run_sel(Plan *p, Instr *i, int n) {
  uint8_t m[LANES];
  Block saved = p->block;
  if (!i->lanes) p->block.n = 0, p->block.total = 1;
  Lit lit = mask_all(p, 1, i->pred, m);
  p->block = saved;
  if (lit != SOME) memcpy(i->r, i->a[lit == ALL ? 0 : 1]->r, (size_t)(n * reg_bytes(i->type)));
  else scalar_lanes(S_select, i->type, i->type, DT_NONE, n, i->r, m, i->a[0]->r, i->a[1]->r);
}

static void splat(Instr *i, int n) {
  if (reg_bytes(i->type) == 4)
    for (int l = 1; l < n; l++) ((uint32_t *)i->r)[l] = *(uint32_t *)i->r;
  else if (reg_bytes(i->type) == 8)
    for (int l = 1; l < n; l++) ((uint64_t *)i->r)[l] = *(uint64_t *)i->r;
  else memset(i->r, *(uint8_t *)i->r, (size_t)n);
}

static void run_code(Plan *p) {
  for (int k = 0; k < p->ncode; k++) {
    Instr *i = p->code[k];
    int n = i->lanes ? p->block.total : 1;
    switch (i->op) {
    case S_CONST: continue;
    case S_LOAD: run_load(p, i); break;
    case S_IX: run_ix(p, i, n); break;
    case S_SEL: run_sel(p, i, n); break;
    default:
      scalar_lanes(i->op, i->in, i->type, i->dtype, n, i->r, i->a[0]->r, i->na > 1 ? i->a[1]->r : NULL, i->na > 2 ? i->a[2]->r : NULL);
    }
    if (i->splat) splat(i, p->block.total);
  }
}

/* ---- lets ---- */

void let_values(Plan *p, Let *t, int64_t *r) {
  int n = t->value->lanes || (t->limit && index_varies(t->limit)) ? p->block.total : 1;
  int64_t space[LANES], lo = t->atom->lo, hi = t->atom->hi;
  const int64_t *limit = NULL;
  if (t->limit) {
    const Form *f = index_form(p, t->limit);
    if (index_varies(t->limit)) limit = form_array(p, f, space);
    else hi = f->base - 1;
  }
  t->violated = false;
  t->stamp = p->batch;
  for (int l = 0; l < n; l++) {
    int at = t->value->lanes ? l : 0;
    int64_t v = t->value->type == DT_I32 ? ((int32_t *)t->value->r)[at] : ((int64_t *)t->value->r)[at], top = limit ? limit[l] - 1 : hi;
    t->raw[l] = v;
    r[l] = v > top ? top : v;
    if (r[l] < lo) r[l] = lo;
    t->violated = t->violated || r[l] != v;
  }
}

// A let counts wherever the statement stores, whether or not the load that uses it is masked off. Position: the offset of the first load in
// the let's definition.
static void fault(Plan *p, Let *t, const uint8_t *m) {
  int64_t r[LANES], space[LANES];
  bool varies = t->value->lanes || (t->limit && index_varies(t->limit));
  let_values(p, t, r);
  const int64_t *pos = NULL;
  if (t->pos) pos = form_array(p, index_form(p, t->pos), space);
  for (int l = 0; l < p->block.total; l++) {
    int64_t v = t->raw[varies ? l : 0], at = pos ? pos[l] : 0;
    if (r[varies ? l : 0] == v || (m && !m[l])) continue;
    int site = t->def->site;
    if (!eval_faulted || (eval_fault && (site < eval_fault->site || (site == eval_fault->site && at < eval_fault->pos))))
      if (eval_fault) *eval_fault = (EvalFault){site, at, v};
    eval_faulted = true;
  }
}

static void check_lets(Plan *p, const uint8_t *m) {
  for (int i = 0; i < p->nlet; i++) {
    int64_t r[LANES];
    if (p->let[i]->def->site < 0) continue;
    if (p->let[i]->stamp != p->batch) let_values(p, p->let[i], r);
    if (p->let[i]->violated) fault(p, p->let[i], m);
  }
}

void check_faults(Plan *p) { check_lets(p, NULL); }

/* ---- the effect ---- */

static Lit store_mask(Plan *p, Lit lit, uint8_t *m) { // adds the data condition and the zeros of a constant table
  const Instr *table = NULL;
  if (p->y) table = p->x->op == S_LOAD && p->x->buf->table ? p->x : p->y->op == S_LOAD && p->y->buf->table ? p->y : NULL;
  if (!p->cond && !table) return lit;
  int n = p->block.total;
  if (lit == ALL) memset(m, 1, (size_t)n);
  if (p->cond)
    for (int l = 0; l < n; l++) m[l] &= ((uint8_t *)p->cond->r)[l];
  if (table && table->type == DT_F32)
    for (int l = 0; l < n; l++) m[l] &= ((float *)table->r)[l] != 0;
  else if (table)
    for (int l = 0; l < n; l++) m[l] &= ((double *)table->r)[l] != 0;
  return memchr(m, 1, (size_t)n) ? SOME : NONE;
}

// cell = combine(cell, x), or fma(x, y, cell), for lanes from..from+n-1, whose cells are in r
static void combine_lanes(const Plan *p, int from, int n, void *r) {
  DType t = dtypes[p->out->dtype].reg;
  int bytes = reg_bytes(t);
  const char *x = (char *)p->x->r + from * bytes, *y = p->y ? (char *)p->y->r + from * bytes : NULL;
  if (y) scalar_lanes(S_fma, t, t, DT_NONE, n, r, x, y, r);
  else scalar_lanes(combines[p->combine].op, t, t, DT_NONE, n, r, r, x, NULL);
}

// All lanes fold into one cell, in order: the common case of a plain reduction in f32
static bool chain(Plan *p, const Form *f, const uint8_t *m) {
  const float *x = p->x->r, *y = p->y ? p->y->r : NULL;
  if (p->out->dtype != DT_F32 || m || f->arr || (p->combine != C_add && p->combine != C_max)) return false;
  for (int a = 0; a < p->block.n; a++)
    if (f->step[a] && p->block.count[a] > 1) return false;
  float *cell = (float *)p->out->data + f->base, v = *cell;
  int n = p->block.total;
  if (y)
    for (int l = 0; l < n; l++) v = fmaf(x[l], y[l], v);
  else if (p->combine == C_add)
    for (int l = 0; l < n; l++) v += x[l];
  else
    for (int l = 0; l < n; l++) v = v > x[l] || v != v ? v : x[l];
  *cell = v;
  return true;
}

static void accumulate_slice(Plan *p, const Block *inner, const Form *f, const uint8_t *m, int from) {
  char r[LANES * 8];
  if (m && !memchr(m, 1, (size_t)inner->total)) return;
  move_lanes(inner, p->out, f, m, r, move_load);
  combine_lanes(p, from, inner->total, r);
  move_lanes(inner, p->out, f, m, r, move_store);
}

// The lanes fold slice by slice: one value of the reduce axes each, whose cells are distinct (or one lane each, if they may not be).
static void accumulate(Plan *p, const Form *f, const uint8_t *m) {
  const Block *b = &p->block;
  bool sequential = p->sequential && f->arr;
  if (b->slices == b->total && !sequential && chain(p, f, m)) return;
  int outer = 0;
  while (outer < b->n && b->axis[outer].reduce && !sequential) outer++;
  Block inner = {.n = sequential ? 0 : b->n - outer, .axis = b->axis + outer, .total = sequential ? 1 : b->total / b->slices, .slices = 1};
  Form g = *f;
  for (int a = outer; a < b->n && !sequential; a++) inner.count[a - outer] = b->count[a], g.step[a - outer] = f->step[a];
  int64_t at[LANE_AXES] = {0};
  for (int from = 0; from < b->total; from += inner.total) {
    if (f->arr) g.arr = f->arr + from;
    accumulate_slice(p, &inner, &g, m ? m + from : NULL, from);
    for (int a = outer - 1; a >= 0 && !f->arr; a--) { // the next value of the reduce axes
      g.base += f->step[a];
      if (++at[a] < b->count[a]) break;
      g.base -= f->step[a] * b->count[a];
      at[a] = 0;
    }
  }
}

static void run_effect(Plan *p, Lit lit, uint8_t *m) {
  p->mask = lit == SOME ? m : NULL;
  run_code(p);
  p->mask = NULL;
  lit = store_mask(p, lit, m);
  const uint8_t *some = lit == SOME ? m : NULL;
  if (lit == NONE) return;
  const Form *f = index_form(p, p->at);
  check_lets(p, some);
  check_access(p, p->out, f, p->size, p->dim, some);
  if (p->combine == C_SET) move_lanes(&p->block, p->out, f, some, p->x->r, move_store);
  else accumulate(p, f, some);
}

/* ---- products of plain f32 loads, in place ---- */

CLONES static void fma_run(float *r, int64_t rs, const float *x, int64_t xs, const float *y, int64_t ys, int n) {
  float a = *x, b = *y;
  if (rs == 0) { // one cell
    float v = *r;
    for (int l = 0; l < n; l++) v = fmaf(x[l * xs], y[l * ys], v);
    *r = v;
  } else if (rs == 1 && xs == 0 && ys == 0)
    for (int l = 0; l < n; l++) r[l] = fmaf(a, b, r[l]);
  else if (rs == 1 && xs == 0 && ys == 1)
    for (int l = 0; l < n; l++) r[l] = fmaf(a, y[l], r[l]);
  else if (rs == 1 && xs == 1 && ys == 0)
    for (int l = 0; l < n; l++) r[l] = fmaf(x[l], b, r[l]);
  else if (rs == 1 && xs == 1 && ys == 1)
    for (int l = 0; l < n; l++) r[l] = fmaf(x[l], y[l], r[l]);
  else
    for (int l = 0; l < n; l++) r[l * rs] = fmaf(x[l * xs], y[l * ys], r[l * rs]);
}

static bool run_direct(Plan *p) {
  static const Form fixed;
  const Instr *factor[] = {p->x, p->y};
  const Form *f[3] = {index_form(p, p->at)};
  const float *from[2];
  for (int i = 0; i < 2; i++) {
    const Instr *x = factor[i];
    f[i + 1] = x->op == S_LOAD ? index_form(p, x->at) : &fixed;
    from[i] = x->op == S_LOAD ? x->buf->data : x->r;
  }
  if (f[0]->arr || f[1]->arr || f[2]->arr) return false;
  check_access(p, p->out, f[0], p->size, p->dim, NULL);
  for (int i = 0; i < 2; i++)
    if (factor[i]->op == S_LOAD) check_access(p, factor[i]->buf, f[i + 1], factor[i]->size, factor[i]->dim, NULL);
  float *r = p->out->data;
  Walk w;
  walk_start(&w, &p->block, 3, f);
  do fma_run(r + w.off[0], walk_step(&w, 0), from[0] + w.off[1], walk_step(&w, 1), from[1] + w.off[2], walk_step(&w, 2), w.run);
  while (walk_next(&w));
  return true;
}

/* ---- blocks ---- */

static void resize(Plan *p) { // buffers whose extents loop variables set
  if (p->grows) p->size = ix_eval(p->grows);
  for (int k = 0; k < p->ncode; k++)
    if (p->code[k]->grows) p->code[k]->size = ix_eval(p->code[k]->grows);
}

static void run_block(Plan *p) {
  Block *b = &p->block;
  b->total = b->slices = 1;
  for (int a = 0; a < b->n; a++) {
    if (p->last_count[a] != b->count[a]) p->last_count[a] = b->count[a], b->shape++;
    b->total *= (int)b->count[a];
    if (b->axis[a].reduce) b->slices *= (int)b->count[a];
  }
  p->batch++;
  if (p->resize) resize(p);
  if (!(p->direct && run_direct(p))) {
    uint8_t m[LANES];
    Lit lit = mask_all(p, p->npred, p->pred, m);
    if (lit != NONE) run_effect(p, lit, m);
  }
  if (p->checks > 0) p->checks--;
}

// Cuts the lanes: inner axes whole while they fit, the one that does not fit in pieces, those outside it one by one. Pieces are powers of
// two, so that they seldom straddle the blocks of a layout and their indices stay affine.
static void cut(Plan *p, int a, int64_t room) {
  Block *b = &p->block;
  if (a < 0) {
    run_block(p);
    return;
  }
  Atom *v = b->axis[a].var;
  int64_t n = ix_eval(b->axis[a].ext), piece = n;
  if (n > room)
    for (piece = 1; piece * 2 <= room;) piece *= 2;
  for (int64_t i = 0; i < n; i += piece) {
    v->val = i;
    b->count[a] = n - i < piece ? n - i : piece;
    cut(p, a - 1, n > room ? 1 : room / n);
  }
  v->val = 0;
}

void plan_run(Plan *p) { cut(p, p->block.n - 1, LANES); }

int64_t plan_int(Plan *p) {
  p->block.total = p->block.slices = 1;
  p->batch++;
  run_code(p);
  if (!p->x) return index_form(p, p->at)->base;
  if (p->x->type == DT_BOOL) return *(uint8_t *)p->x->r;
  return p->x->type == DT_I32 ? *(int32_t *)p->x->r : *(int64_t *)p->x->r;
}
