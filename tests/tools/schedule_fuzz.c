// schedule_fuzz.c - random stages under random schedules: the tree must give the stages' bits.
//
//   schedule_fuzz [FIRST [COUNT [N]]]  seeds FIRST.. ; prints what differs and a summary; exit 1 if anything did. Every N-th is compiled
//                                      too, at -O0 and -O2: same bits as the tree, chunks in order and backwards
//   schedule_fuzz --cuda [FIRST [COUNT]]  every seed as CUDA C that the CPU runs, threads in rising and in falling order: same bits as the
//                                      tree. Of three seeds one has its bands on blocks and threads, one has the schedule that models get
//   schedule_fuzz FILE.kir..           the kernels of the files, built and compiled, at the sizes of their `# run N=3` lines
//   schedule_fuzz -p SEED              prints the kernel of one seed: stages, schedule, tree
//
// Stages: pointwise with broadcasts, windows with borders, strided pooling, folds (some with rfactor), contractions over the channels,
// scans, gathers through loaded indices, ragged reductions, data conditions, nearest upsampling. Schedules: splits with every kind of tail
// and edge, nested groups that share bands (foreign ones too), vec, unroll and par, storage higher than need be, layouts. A schedule that
// build refuses is counted, not run. Arithmetic is exact (wrapping i32, or small floats kept small), so every order gives the same bits.
#include "codegen/codegen.h"
#include "codegen/llvm/load.h"
#include "ir/scalar.h"
#include "passes/passes.h"
#include "tests/cuda/emulate.h"
#include "tests/unit/kernel_run.h"

enum { CLASSES = 8, VALUES = 24 };

typedef struct Shape { // an index space; its axes are atoms that stages may have in common
  int rank;
  IExpr *dim[3], *ax[3];
} Shape;

typedef struct Gen {
  uint32_t seed;
  Kernel *k;
  DType type;
  Shape shape[CLASSES];
  int nshape;
  struct Val {
    Buf *b;
    int shape;
  } val[VALUES];
  int nval;
  Buf *table, *index;
  IExpr *H, *W;
} Gen;

static int dice(Gen *g, int n) { return (int)(run_random(&g->seed) % (uint32_t)n); }
static bool chance(Gen *g, int percent) { return dice(g, 100) < percent; }

/* ---- stages ---- */

static int find_shape(Gen *g, int rank, IExpr *const *dim) {
  for (int i = 0; i < g->nshape; i++) {
    bool same = g->shape[i].rank == rank;
    for (int j = 0; j < rank && same; j++) same = g->shape[i].dim[j] == dim[j];
    if (same) return i;
  }
  if (g->nshape == CLASSES) return -1;
  static const char *const names[] = {"c", "y", "x"};
  Shape *s = &g->shape[g->nshape];
  s->rank = rank;
  for (int j = 0; j < rank; j++) {
    s->dim[j] = dim[j];
    for (int i = 0; i < g->nshape && !s->ax[j]; i++) // equal dims at the same place: the same axis, so that loops can be shared
      if (j < g->shape[i].rank && g->shape[i].dim[j] == dim[j]) s->ax[j] = g->shape[i].ax[j];
    if (!s->ax[j]) s->ax[j] = ix_var(sym_fmt("%s%d", names[j], g->nshape), dim[j]);
  }
  return g->nshape++;
}

static Buf *temp(Gen *g, int shape) {
  const Shape *s = &g->shape[shape];
  return kernel_buf(g->k, sym_fmt("t%d", g->nval), BUF_TEMP, g->type, s->rank, s->dim);
}
static int add_val(Gen *g, Buf *b, int shape) {
  g->val[g->nval] = (struct Val){b, shape};
  return g->nval++;
}

static Ex *small(Gen *g, Ex *e) { // keeps floats exact
  if (g->type != DT_F32) return e;
  return ex_op(S_max, ex_op(S_min, e, ex_num(DT_F32, 8), NULL), ex_num(DT_F32, -8), NULL);
}
static Ex *number(Gen *g, int v) { return ex_num(g->type, v); }

static void stage(Gen *g, const char *suffix, Combine c, Buf *out, int nax, IExpr *const *ax, const uint8_t *kind, IExpr *const *ix_,
                  Ex *val) {
  kernel_stage(g->k, sym_fmt("%s%s", out->name, suffix), c, out, nax, ax, kind, ix_, val);
}

static int pick(Gen *g) { return dice(g, 3) ? g->nval - 1 : dice(g, g->nval); } // mostly the newest

static Ex *load_broadcast(Gen *g, const struct Val *v, const Shape *at) { // v read at the axes of a shape of which its own is a prefix
  IExpr *idx[3];
  for (int i = 0; i < g->shape[v->shape].rank; i++) idx[i] = at->ax[i];
  return small(g, ex_load(v->b, idx));
}
static bool prefix_of(const Gen *g, int a, int b) {
  const Shape *s = &g->shape[a], *t = &g->shape[b];
  if (s->rank > t->rank) return false;
  for (int i = 0; i < s->rank; i++)
    if (s->dim[i] != t->dim[i]) return false;
  return true;
}

static void pointwise(Gen *g) {
  int v = pick(g), w = pick(g), s = g->val[v].shape;
  if (!prefix_of(g, g->val[w].shape, s)) w = v;
  Ex *a = load_broadcast(g, &g->val[v], &g->shape[s]), *b = load_broadcast(g, &g->val[w], &g->shape[s]), *e;
  static const SOp sums[] = {S_add, S_sub, S_max, S_min};
  e = ex_op(sums[dice(g, 4)], a, b, NULL);
  if (chance(g, 30)) e = ex_op(S_select, ex_op(S_lt, a, number(g, 1), NULL), e, number(g, 2));
  if (chance(g, 30)) e = ex_op(S_add, e, ex_ix(g->type, g->shape[s].ax[g->shape[s].rank - 1]), NULL);
  Buf *t = temp(g, s);
  stage(g, "", C_SET, t, g->shape[s].rank, g->shape[s].ax, NULL, g->shape[s].ax, small(g, e));
  if (chance(g, 20)) g->k->stage[g->k->nstage - 1]->val = ex_load_inside(g->val[v].b, g->shape[s].ax, 0); // a plain copy
  add_val(g, t, s);
}

// out[c,y,x] = fold over a window of in[c, y*stride + i - 1, x + j - 1]
static void window(Gen *g) {
  int v = pick(g), s = g->val[v].shape, stride = 1 + (dice(g, 3) == 0);
  if (g->shape[s].rank < 3) return pointwise(g);
  const Shape in = g->shape[s];
  IExpr *dim[3] = {in.dim[0], stride == 1 ? in.dim[1] : ix_divk(ix_addk(in.dim[1], 1), 2), in.dim[2]};
  int o = find_shape(g, 3, dim);
  if (o < 0) return pointwise(g);
  const Shape out = g->shape[o];
  Combine c = chance(g, 60) ? C_add : C_max;
  Buf *t = temp(g, o);
  IExpr *i = ix_var(sym("i"), ix(3)), *j = ix_var(sym("j"), ix(chance(g, 50) ? 3 : 2));
  IExpr *ax[5] = {out.ax[0], out.ax[1], out.ax[2], i, j};
  IExpr *at[3] = {out.ax[0], ix_addk(ix_add(ix_scale(out.ax[1], stride), i), -1), ix_addk(ix_add(out.ax[2], j), -1)};
  Ex *x = ex_load_inside(g->val[v].b, at, c == C_add ? 0 : -7);
  if (c == C_add && chance(g, 50)) {
    IExpr *wi[2] = {i, j};
    x = ex_op(S_mul, x, ex_load(g->table, wi), NULL);
  }
  stage(g, "i", C_SET, t, 3, out.ax, NULL, out.ax, number(g, c == C_add ? 0 : -100));
  stage(g, "u", c, t, 5, ax, (uint8_t[]){0, 0, 0, AXIS_REDUCE, AXIS_REDUCE}, out.ax, x);
  add_val(g, t, o);
}

static void fold(Gen *g) { // over the last axis; ragged: only up to the axis before
  int v = pick(g), s = g->val[v].shape, r = g->shape[s].rank;
  if (r < 2) return pointwise(g);
  const Shape in = g->shape[s];
  int o = find_shape(g, r - 1, in.dim);
  if (o < 0) return pointwise(g);
  const Shape out = g->shape[o];
  Combine c = chance(g, 60) ? C_add : C_max;
  Buf *t = temp(g, o);
  bool ragged = chance(g, 25);
  IExpr *last = in.ax[r - 1], *ax[3], *at[3];
  if (ragged) last = ix_var(sym("q"), ix_min(ix_addk(out.ax[r - 2], 1), in.dim[r - 1]));
  uint8_t kind[3] = {0};
  for (int i = 0; i < r - 1; i++) ax[i] = at[i] = out.ax[i];
  ax[r - 1] = at[r - 1] = last, kind[r - 1] = AXIS_REDUCE;
  stage(g, "i", C_SET, t, r - 1, out.ax, NULL, out.ax, number(g, chance(g, 50) ? (c == C_add ? 0 : -100) : 3));
  stage(g, "u", c, t, r, ax, kind, out.ax, small(g, ex_load(g->val[v].b, at)));
  if (!ragged && chance(g, 40)) stage_rfactor(g->k, t, last, 4 << dice(g, 2), chance(g, 60));
  add_val(g, t, o);
}

static void contraction(Gen *g) { // over the channels
  int v = pick(g), s = g->val[v].shape, r = g->shape[s].rank;
  const Shape in = g->shape[s];
  Buf *t = temp(g, s);
  IExpr *k = ix_var(sym("k"), in.dim[0]), *ax[4], *at[3];
  uint8_t kind[4] = {0};
  for (int i = 0; i < r; i++) ax[i] = at[i] = in.ax[i];
  ax[r] = at[0] = k, kind[r] = AXIS_REDUCE;
  IExpr *w[2] = {ix_modk(in.ax[0], 3), ix_modk(k, 3)};
  Ex *x = ex_op(S_mul, small(g, ex_load(g->val[v].b, at)), ex_load(g->table, w), NULL);
  stage(g, "i", C_SET, t, r, in.ax, NULL, in.ax, number(g, 0));
  stage(g, "u", C_add, t, r + 1, ax, kind, in.ax, x);
  add_val(g, t, s);
}

static void scan(Gen *g) { // t[.., x] = t[.., x-1] + in
  int v = pick(g), s = g->val[v].shape, r = g->shape[s].rank;
  const Shape in = g->shape[s];
  Buf *t = temp(g, s);
  IExpr *before[3];
  uint8_t kind[3] = {0};
  for (int i = 0; i < r; i++) before[i] = in.ax[i];
  before[r - 1] = ix_addk(in.ax[r - 1], -1), kind[r - 1] = AXIS_ORDERED;
  Ex *e = ex_op(chance(g, 50) ? S_add : S_sub, ex_load_inside(t, before, 1), small(g, ex_load(g->val[v].b, in.ax)), NULL);
  stage(g, "", C_SET, t, r, in.ax, kind, in.ax, small(g, e));
  add_val(g, t, s);
}

static void gather(Gen *g) { // rows by loaded indices; negative ones count from the end, what is out of range is clamped
  int v = pick(g), s = g->val[v].shape, r = g->shape[s].rank;
  if (r < 2) return pointwise(g);
  const Shape in = g->shape[s];
  IExpr *which[1] = {ix_modk(in.ax[1], 5)}, *at[3];
  Ex *i = ex_load(g->index, which);
  IExpr *row = ex_index(i, 0, ix_upper(in.dim[1]) - 1, -1, "at");
  if (ix_is_atom(row) && ix_is_atom(row)->kind == ATOM_LET) ((LetDef *)ix_is_atom(row)->def)->limit = in.dim[1];
  for (int d = 0; d < r; d++) at[d] = in.ax[d];
  at[1] = row;
  Buf *t = temp(g, s);
  Ex *e = small(g, ex_load(g->val[v].b, at));
  if (chance(g, 30)) { // a load under a data condition
    e = ex_load(g->val[v].b, at);
    e->cond = ex_op(S_lt, i, ex_i(DT_I32, 2), NULL);
    e = small(g, e);
  }
  stage(g, "", C_SET, t, r, in.ax, NULL, in.ax, e);
  add_val(g, t, s);
}

static void upsample(Gen *g) { // t[c,y,x] = in[c,y/2,x] over twice the rows
  int v = pick(g), s = g->val[v].shape, r = g->shape[s].rank;
  const Shape in = g->shape[s];
  if (r < 2) return pointwise(g);
  IExpr *dim[3], *at[3];
  for (int i = 0; i < r; i++) dim[i] = in.dim[i];
  dim[1] = ix_scale(in.dim[1], 2);
  int o = find_shape(g, r, dim);
  if (o < 0) return pointwise(g);
  const Shape out = g->shape[o];
  for (int i = 0; i < r; i++) at[i] = out.ax[i];
  at[1] = ix_divk(out.ax[1], 2);
  Buf *t = temp(g, o);
  stage(g, "", C_SET, t, r, out.ax, NULL, out.ax, small(g, ex_load(g->val[v].b, at)));
  add_val(g, t, o);
}

static void outputs(Gen *g) { // the last value, and sometimes another
  for (int n = 0, v = g->nval - 1; n < 1 + chance(g, 25); n++, v = dice(g, g->nval)) {
    const Shape s = g->shape[g->val[v].shape];
    Buf *y = kernel_buf(g->k, sym_fmt("Y%d", n), BUF_OUT, g->type, s.rank, s.dim);
    stage(g, "", C_SET, y, s.rank, s.ax, NULL, s.ax, ex_op(S_add, ex_load(g->val[v].b, s.ax), number(g, 1), NULL));
    if (chance(g, 20)) { // some cells are left as they were
      Stage *st = g->k->stage[g->k->nstage - 1];
      y->kind = BUF_INOUT;
      if (chance(g, 50)) st->npred = 1, st->pred = NEW(IExpr *), st->pred[0] = ix_addk(s.ax[s.rank - 1], -1);
      else st->cond = ex_op(S_lt, number(g, -2), st->val, NULL);
    }
  }
}

static void make_stages(Gen *g) {
  static void (*const kinds[])(Gen *) = {pointwise, window, fold, contraction, scan, gather, upsample, window, fold};
  g->type = chance(g, 60) ? DT_I32 : DT_F32;
  g->k = kernel_new(sym("fuzz"));
  g->H = ix_sym(sym("H"), 1, 64), g->W = chance(g, 50) ? ix_sym(sym("W"), 1, 64) : ix(3 + dice(g, 9));
  IExpr *dim[3] = {ix(1 + dice(g, 6)), g->H, g->W}, *table[2] = {ix(3), ix(3)}, *five[1] = {ix(5)};
  int s = find_shape(g, 3, dim);
  add_val(g, kernel_buf(g->k, sym("X"), BUF_IN, g->type, 3, dim), s);
  g->table = kernel_buf(g->k, sym("T"), BUF_IN, g->type, 2, table);
  g->index = kernel_buf(g->k, sym("I"), BUF_IN, DT_I32, 1, five);
  for (int n = 2 + dice(g, 5); n > 0; n--) kinds[dice(g, 9)](g);
  outputs(g);
}

/* ---- schedules ---- */

static int split_of(Gen *g, IExpr *axis) { // one of at most three splits of the axis
  static const char *const text[] = {"",
                                     "",
                                     "1",
                                     "2",
                                     "3",
                                     "4 rest 2,1",
                                     "5 rest 3,2",
                                     "4 rest 4",
                                     "8",
                                     "4",
                                     "8,4",
                                     "6,3 rest 3",
                                     "12,4 rest 8,4",
                                     "16,4 rest 16",
                                     "4 edge 1,1",
                                     "3 rest 1 edge 1,0"};
  Schedule *s = g->k->sched;
  int of[8], n = 0;
  for (int i = 0; i < s->nsplit && n < 8; i++)
    if (s->split[i].axis == ix_var_of(axis)) of[n++] = i;
  if (n && (n == 3 || chance(g, 60))) return of[dice(g, n)];
  sched_split(s, sym_fmt("s%d", s->nsplit), axis, text[dice(g, (int)(sizeof text / sizeof *text))]);
  return s->nsplit - 1;
}

typedef struct Row {
  Band band[64];
  int n;
} Row;

static int levels_used(const Row *r, int split) {
  int n = 0;
  for (int i = 0; i < r->n; i++) n += r->band[i].split == split;
  return n;
}
static int split_in(const Gen *g, const Row *r, const Atom *axis) { // the split that a row already uses for the axis, -1
  for (int i = 0; i < r->n; i++)
    if (g->k->sched->split[r->band[i].split].axis == axis) return r->band[i].split;
  return -1;
}

// The next band of one of the stage's axes, in a random order of axes; false: no band is left.
static bool next_band(Gen *g, const Row *r, const Stage *st, Band *out) {
  int order[MAX_AXES];
  for (int i = 0; i < st->nax; i++) order[i] = i;
  for (int i = st->nax - 1; i > 0; i--) {
    if (chance(g, 60)) continue; // mostly in axis order
    int j = dice(g, i + 1), t = order[i];
    order[i] = order[j], order[j] = t;
  }
  for (int i = 0; i < st->nax; i++) {
    IExpr *axis = st->ax[order[i]];
    int sp = split_in(g, r, ix_var_of(axis));
    if (sp < 0) sp = split_of(g, axis);
    int level = levels_used(r, sp);
    if (level > g->k->sched->split[sp].n) continue;
    *out = (Band){(uint16_t)sp, (uint8_t)level, MAP_SEQ};
    return true;
  }
  return false;
}

static void choose_maps(Gen *g, Row *r, int from, const Stage *st) {
  bool dense = chance(g, 35); // all tiles unrolled: their temps may be registers
  for (int i = from; i < r->n; i++) {
    const Split *q = &g->k->sched->split[r->band[i].split];
    bool tile = r->band[i].level > 0, last = i == r->n - 1;
    int a = stage_axis(st, q->axis);
    if (dense && tile && a >= 0 && st->kind[a] == AXIS_SPATIAL) r->band[i].map = last && chance(g, 70) ? MAP_VEC : MAP_UNROLL;
    else if (last && tile && a >= 0 && st->kind[a] == AXIS_SPATIAL && chance(g, 50)) r->band[i].map = MAP_VEC;
    else if (tile && chance(g, 20)) r->band[i].map = MAP_UNROLL;
    else if (i == 0 && a >= 0 && st->kind[a] == AXIS_SPATIAL && chance(g, 40)) r->band[i].map = MAP_PAR;
  }
}

static void finish_row(Gen *g, int s, const Row *prefix, int shared) {
  Row r = *prefix;
  const Stage *st = g->k->stage[s];
  Band b;
  while (r.n < MAX_BANDS && next_band(g, &r, st, &b)) r.band[r.n++] = b;
  choose_maps(g, &r, prefix->n, st);
  StageSched *row = &g->k->sched->stage[s];
  row->nband = (uint8_t)r.n, row->shared = (uint8_t)shared;
  memcpy(row->band, r.band, sizeof r.band[0] * (size_t)r.n);
}

// Stages from..to-1 lie inside the bands of `prefix`; the first of them shares `shared` with the stage before.
static void make_group(Gen *g, int from, int to, const Row *prefix, int shared) {
  for (int i = from, j; i < to; i = j) {
    int first = i == from ? shared : prefix->n;
    j = i + 1 + (chance(g, 55) ? dice(g, to - i) : 0);
    if (j == i + 1) {
      finish_row(g, i, prefix, first);
      continue;
    }
    Row inner = *prefix;
    int last = inner.n;
    Band b; // the bands come from the last stage of the group, the consumer
    for (int n = 1 + dice(g, 2); n > 0 && inner.n < 6 && next_band(g, &inner, g->k->stage[j - 1], &b); n--) inner.band[inner.n++] = b;
    if (inner.n == last) {
      j = i + 1;
      finish_row(g, i, prefix, first);
      continue;
    }
    if (last == 0) choose_maps(g, &inner, 0, g->k->stage[j - 1]), inner.band[inner.n - 1].map = inner.n == 1 ? inner.band[0].map : MAP_SEQ;
    make_group(g, i, j, &inner, first);
  }
}

static const Layout *random_layout(Gen *g, int rank) {
  if (rank != 3 || !chance(g, 30)) return NULL;
  return chance(g, 50) ? layout_new(3, 1, 1, 0, 2, 1, 0, 0, 1, 0) : layout_new(4, 0, 4, 0, 1, 1, 0, 2, 1, 0, 0, 1, 4);
}

static void make_schedule(Gen *g) {
  g->k->sched = NEW(Schedule);
  make_group(g, 0, g->k->nstage, &(Row){0}, 0);
  for (int i = 0; i < g->k->nbuf; i++) {
    Buf *b = g->k->buf[i];
    if (b->kind != BUF_TEMP || !chance(g, 40)) continue;
    sched_store(g->k->sched, b, chance(g, 50) ? SPACE_AUTO : SPACE_SCRATCH, chance(g, 70) ? -1 : dice(g, 3), random_layout(g, b->rank));
  }
}

/* ---- running ---- */

typedef struct Run {
  uint32_t seed;
  bool print, cuda;
  uint32_t every; // compile every so many seeds; 0: none
  int runs, differ, refused, compiled, registers;
} Run;
static Run *running;

static void print_kernel_text(const Kernel *k) {
  Text t = {0};
  kernel_print(k, &t);
  puts(t.p);
}

static bool round_trip(const Kernel *k) {
  Text a = {0}, b = {0};
  kernel_print(k, &a);
  kernel_print(kernel_parse(a.p, a.n, "fuzz"), &b);
  return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

static void complain(Run *r, const char *what) {
  if (r->differ++ < 10) printf("seed %u: %s\n", r->seed, what);
}

static void set_sizes(const Gen *g, int h) {
  if (ix_is_atom(g->H)) ix_is_atom(g->H)->val = h;
  if (ix_is_atom(g->W)) ix_is_atom(g->W)->val = 14 - h;
}

typedef void Launch(void *code, Kernel *k, bool backwards);

static void launch_loaded(void *code, Kernel *k, bool backwards) {
  int64_t symbol[8];
  void *param[MAX_BUFS];
  for (int i = 0; i < k->nsym; i++) symbol[i] = k->sym[i]->val;
  for (int i = 0; i < kernel_params(k); i++) param[i] = k->buf[i]->data;
  loaded_run(code, param, symbol, backwards, NULL);
}

static void run_code(Run *r, const Gen *g, Launch *launch, void *code, const char *how) {
  Saved before, tree;
  run_fill(g->k, r->seed);
  run_save(g->k, &before);
  eval_tree(g->k, NULL);
  run_save(g->k, &tree);
  for (int backwards = 0; backwards < 2; backwards++) {
    run_restore(g->k, &before);
    launch(code, g->k, backwards);
    const char *wrong = run_differ(g->k, &tree, 0);
    if (wrong) complain(r, fmt("%s%s, H %d: %s", how, backwards ? " backwards" : "", (int)ix_is_atom(g->H)->val, wrong));
  }
  run_unsave(g->k, &before), run_unsave(g->k, &tree), run_free(g->k);
}

/* ---- registers: temps whose indices turn out constant after unrolling ---- */

typedef struct RegScan {
  Sym temp;
  const Tree *loop[64];
  int nloop;
  bool found, fits;
} RegScan;

static void reg_atom(Atom *a, void *u) {
  RegScan *s = u;
  if (a->kind == ATOM_SYM || a->kind == ATOM_LET) s->fits = false;
  for (int i = 0; i < s->nloop; i++)
    if (ix_is_atom(s->loop[i]->var) == a && s->loop[i]->map != MAP_UNROLL && s->loop[i]->map != MAP_VEC) s->fits = false;
}
static void reg_access(RegScan *s, const Buf *b, IExpr *const *at) {
  if (b->kind != BUF_TEMP || b->name != s->temp) return;
  s->found = true;
  for (int i = 0; i < b->rank; i++) ix_atoms(at[i], reg_atom, s);
}
static void reg_load(Ex *e, void *u) {
  if (e->op == S_LOAD) reg_access(u, e->buf, e->ix);
}
static void reg_scan(RegScan *s, const Tree *t) {
  for (; t; t = t->next) {
    int64_t n;
    if (t->kind == T_ALLOC && t->buf->name == s->temp && (!ix_const(buf_size(t->buf), &n) || n > 96 || t->buf->space == SPACE_ARENA))
      s->fits = false;
    if (t->kind == T_FOR) s->loop[s->nloop++] = t, reg_scan(s, t->body), s->nloop--;
    if (t->kind != T_STMT) continue;
    reg_access(s, t->buf, t->ix);
    ex_walk(t->val, reg_load, s);
    ex_walk_more(t->cond, reg_load, s);
  }
}

static void use_registers(Run *r, const Gen *g) {
  int n = 0;
  for (int i = kernel_params(g->k); i < g->k->nbuf; i++) {
    RegScan s = {.temp = g->k->buf[i]->name, .fits = true};
    reg_scan(&s, g->k->tree);
    if (!s.found || !s.fits) continue;
    sched_store(g->k->sched, g->k->buf[i], SPACE_REG, -1, NULL);
    n++;
  }
  if (!n) return;
  kernel_build(g->k);
  kernel_verify(g->k);
  r->registers += n;
}

static void compile(Run *r, const Gen *g) {
  use_registers(r, g);
  for (int opt = 0; opt <= 2; opt += 2) {
    Loaded *code = llvm_load_kernel(g->k, target_host(), opt);
    for (int h = 1; h <= 13; h += 4) {
      set_sizes(g, h);
      run_code(r, g, launch_loaded, code, opt ? "-O2" : "-O0");
    }
    loaded_close(code);
    r->compiled++;
  }
}

/* ---- CUDA ---- */

static bool all_spatial(const Kernel *k, const Atom *axis) {
  for (int i = 0; i < k->nstage; i++) {
    int a = stage_axis(k->stage[i], axis);
    if (a >= 0 && k->stage[i]->kind[a] != AXIS_SPATIAL) return false;
  }
  return true;
}

static void use_threads(Gen *g) { // bands on blocks or threads, those that stages share alike
  Schedule *s = g->k->sched;
  uint8_t map[128][4] = {0}; // 1 + map; 0: open
  for (int i = 0; i < g->k->nstage; i++)
    for (int j = 0; j < s->stage[i].nband; j++) {
      Band *b = &s->stage[i].band[j];
      if (b->split >= 128 || b->level >= 4 || !all_spatial(g->k, s->split[b->split].axis)) continue;
      uint8_t *m = &map[b->split][b->level], lot = (uint8_t)dice(g, 10);
      if (!*m)
        *m = 1 + (j == 0 && lot < 5 ? MAP_BLOCK_X : lot < 4 ? MAP_THREAD_X : lot < 6 ? MAP_THREAD_Y : lot < 8 ? MAP_UNROLL : MAP_SEQ);
      b->map = *m - 1;
    }
}

static bool by_scheduler(const Run *r) { return r->cuda && r->seed % 3 == 2; }

static void schedule_for_cuda(Kernel *k) {
  Program *p = program_new(sym("fuzz"));
  PUSH(p->kernel, p->nkernel, p->ckernel, k);
  pass_schedule(p, &(Options){.target = target_find("sm_80"), .opt = 2});
}

static void launch_emulated(void *code, Kernel *k, bool backwards) { emulate(code, 0, k, backwards); }

static void run_cuda(Run *r, const Gen *g) {
  Program *p = program_new(sym("fuzz"));
  Text text = {0};
  PUSH(p->kernel, p->nkernel, p->ckernel, g->k);
  cuda_text(p, &(CodegenOptions){.target = target_find("sm_80")}, &text);
  if (r->print) puts(text.p);
  Emulation e = emulation(text.p);
  for (int h = 1; h <= 13; h += 4) {
    set_sizes(g, h);
    run_code(r, g, launch_emulated, &e, "CUDA");
  }
  dlclose(e.handle);
  r->compiled++;
}

/* ---- seeds ---- */

static void run_plain(Run *r, Gen *g) { // no schedule: plain loops
  kernel_build(g->k);
  kernel_verify(g->k);
  for (int h = 2; h <= 9; h += 7) {
    set_sizes(g, h);
    const char *wrong = run_compare(g->k, r->seed, 0);
    r->runs++;
    if (wrong) complain(r, fmt("plain loops, H %d: %s", h, wrong));
  }
  g->k->tree = NULL;
}

static void one_seed(void *u) {
  Run *r = u;
  Gen g = {.seed = r->seed * 7919 + 1};
  make_stages(&g);
  run_plain(r, &g);
  make_schedule(&g);
  if (r->cuda && r->seed % 3 == 1) use_threads(&g);
  if (by_scheduler(r)) g.k->sched = NULL;
  kernel_symbols(g.k);
  kernel_verify(g.k);
  if (r->print) print_kernel_text(g.k);
  if (!round_trip(g.k)) complain(r, "the text of the stages does not come back");
  if (by_scheduler(r)) schedule_for_cuda(g.k);
  else kernel_build(g.k);
  if (r->print) print_kernel_text(g.k);
  kernel_verify(g.k);
  if (!round_trip(g.k)) complain(r, "the text of the tree does not come back");
  for (int h = 1; h <= 13; h += 4) {
    set_sizes(&g, h);
    const char *wrong = run_compare(g.k, r->seed, 0);
    r->runs++;
    if (wrong) complain(r, fmt("H %d: %s", h, wrong));
  }
  if (r->cuda) run_cuda(r, &g);
  else if (r->every && r->seed % r->every == 0) compile(r, &g);
}

/* ---- kernels from files ---- */

static void code_of_file(Run *r, const Gen *g, const char *text, const char *path) {
  Loaded *code[2] = {llvm_load_kernel(g->k, target_host(), 0), llvm_load_kernel(g->k, target_host(), 2)};
  for (const char *line = text; (line = strstr(line, "# run"));) {
    char name[32];
    long long v;
    int used;
    for (line += 5; sscanf(line, " %31[A-Za-z]=%lld%n", name, &v, &used) == 2; line += used)
      for (int i = 0; i < g->k->nsym; i++)
        if (!strcmp(g->k->sym[i]->name, name)) g->k->sym[i]->val = v;
    for (int i = 0; i < 2; i++) run_code(r, g, launch_loaded, code[i], fmt("%s %s", path, i ? "-O2" : "-O0")), r->runs++;
  }
  loaded_close(code[0]), loaded_close(code[1]);
}

static const char *file_path;
static void one_file(void *u) {
  FILE *f = fopen(file_path, "rb");
  if (!f) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s", file_path);
  char *text = mem(1 << 20);
  size_t n = fread(text, 1, (1 << 20) - 1, f);
  fclose(f);
  Gen g = {.k = kernel_parse(text, n, file_path)};
  g.H = ix_sym(sym("H"), 1, 64);
  kernel_build(g.k);
  code_of_file(u, &g, text, file_path);
}

static int run_files(Run *r, int n, char **path) {
  for (int i = 0; i < n; i++) {
    file_path = path[i];
    if (protect(one_file, r) != EXIT_OK) r->differ++;
    base_reset();
  }
  printf("schedule_fuzz: %d files, %d runs, %d differ\n", n, r->runs, r->differ);
  return r->differ != 0;
}

static bool may_refuse(const Run *r) { return !by_scheduler(r); }

static void quiet(const Diagnostic *d) {
  bool refused = d->exit == EXIT_INVALID || (running->cuda && d->exit == EXIT_UNSUPPORTED);
  if (running->print || file_path || !refused || !may_refuse(running)) printf("seed %u: %s\n", running->seed, d->text);
}
static const char *seed_of_bug(void) { return fmt("see seed %u", running->seed); }

int main(int argc, char **argv) {
  Run r = {0};
  running = &r;
  if (argc > 1 && !strcmp(argv[1], "--cuda")) r.cuda = true, argc--, argv++;
  r.print = argc == 3 && !strcmp(argv[1], "-p");
  uint32_t first = (uint32_t)atoi(r.print    ? argv[2]
                                  : argc > 1 ? argv[1]
                                             : "0"),
           count = r.print    ? 1
                   : argc > 2 ? (uint32_t)atoi(argv[2])
                              : 400;
  r.every = argc > 3 ? (uint32_t)atoi(argv[3]) : 0;
  diagnostic_sink = quiet;
  bug_dump = seed_of_bug;
  if (argc > 1 && strstr(argv[1], ".kir")) return run_files(&r, argc - 1, argv + 1);
  for (r.seed = first; r.seed < first + count; r.seed++) {
    Exit e = protect(one_seed, &r);
    if (may_refuse(&r) && (e == EXIT_INVALID || (r.cuda && e == EXIT_UNSUPPORTED))) r.refused++;
    else if (e != EXIT_OK) r.differ++;
    base_reset();
  }
  printf("schedule_fuzz: %u schedules, %d refused, %d runs, %d compilations with %d temps in registers, %d differ\n", count, r.refused,
         r.runs, r.compiled, r.registers, r.differ);
  return r.differ != 0;
}
