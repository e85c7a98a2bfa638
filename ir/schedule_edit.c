// schedule_edit.c - the edits of a schedule and of the stage list that come before build (KERNELS.md section 2, 2a.1, 2a.6).
//
// Stages are named in edits, never numbered: copy, rfactor and move change positions, and carry the rows of the schedule along.
#include "scalar.h"
#include <stdlib.h>
#include <string.h>

#define BAD(...) fail(EXIT_INVALID, "schedule.invalid", NOWHERE, __VA_ARGS__)

int stage_find(const Kernel *k, const char *name) {
  for (int i = 0; i < k->nstage; i++)
    if (!strcmp(k->stage[i]->name, name)) return i;
  bug("kernel %s has no stage %s", k->name, name);
}

static Schedule *schedule_of(Kernel *k) {
  if (!k->sched) k->sched = NEW(Schedule);
  return k->sched;
}

/* ---- splits, bands, stores ---- */

static const char *skip(const char *p) {
  while (*p == ' ') p++;
  return p;
}

static bool word(const char **p, const char *w) {
  size_t n = strlen(w);
  *p = skip(*p);
  if (strncmp(*p, w, n) || ((*p)[n] != ' ' && (*p)[n])) return false;
  *p = skip(*p + n);
  return true;
}

static int numbers(const char **p, long *out, int max, const char *what) {
  int n = 0;
  for (;;) {
    char *end;
    long v = strtol(*p, &end, 10);
    if (end == *p || v < 0 || v > INT32_MAX) BAD("%s: a number is expected at '%s'", what, *p);
    if (n == max) BAD("%s: more than %d numbers", what, max);
    out[n++] = v, *p = end;
    if (**p != ',') break;
    ++*p;
  }
  *p = skip(*p);
  return n;
}

Split *sched_split(Schedule *s, Sym name, IExpr *axis, const char *text) {
  Split q = {.name = name, .axis = ix_var_of(axis)};
  long v[8];
  const char *p = skip(text);
  if (*p >= '0' && *p <= '9') {
    q.n = (uint8_t)numbers(&p, v, 4, name);
    for (int i = 0; i < q.n; i++) q.step[i] = (int32_t)v[i];
  }
  if (word(&p, "rest")) {
    q.nrest = (uint8_t)numbers(&p, v, 8, name);
    for (int i = 0; i < q.nrest; i++) q.rest[i] = (int32_t)v[i];
  }
  if (word(&p, "edge")) {
    if (numbers(&p, v, 2, name) != 2 || v[0] > 255 || v[1] > 255) BAD("split %s: edge takes two counts below 256", name);
    q.edge[0] = (uint8_t)v[0], q.edge[1] = (uint8_t)v[1];
  }
  if (*p) BAD("split %s: '%s' is not understood", name, p);
  for (int i = 0; i < q.n; i++)
    if (q.step[i] < 1 || (i && q.step[i - 1] % q.step[i])) BAD("split %s: a step must be positive and a multiple of the next", name);
  for (int i = 0; i < q.nrest; i++)
    if (!q.n || q.rest[i] < 1 || (i && q.rest[i] >= q.rest[i - 1])) BAD("split %s: rests are positive and fall", name);
  PUSH(s->split, s->nsplit, s->csplit, q);
  return &s->split[s->nsplit - 1];
}

static const char *const map_names[] = {"seq",     "unroll",  "vec",     "par",      "dot",     "tr",
                                        "block.x", "block.y", "block.z", "thread.x", "thread.y"};

static int map_of(const char *w) {
  for (int i = 0; i < (int)(sizeof map_names / sizeof *map_names); i++)
    if (!strcmp(w, map_names[i])) return i;
  return -1;
}

static Band band_of(const Schedule *s, const char *stage, char *w) {
  char *dot = strrchr(w, '.');
  int level = 0;
  if (dot && dot[1] >= '0' && dot[1] <= '9') level = atoi(dot + 1), *dot = 0;
  for (int i = 0; i < s->nsplit; i++)
    if (!strcmp(s->split[i].name, w)) {
      if (level > s->split[i].n) BAD("stage %s: split %s has no level %d", stage, w, level);
      return (Band){(uint16_t)i, (uint8_t)level, MAP_SEQ};
    }
  BAD("stage %s: there is no split %s", stage, w);
}

void sched_bands(Kernel *k, const char *stage, const char *text) {
  Schedule *s = schedule_of(k);
  StageSched *t = &s->stage[stage_find(k, stage)];
  *t = (StageSched){0};
  char *save, *copy = fmt("%s", text);
  for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
    int map = map_of(w);
    if (*w == '|') t->shared = t->nband;
    else if (map >= 0 && t->nband) t->band[t->nband - 1].map = (uint8_t)map;
    else if (t->nband == MAX_BANDS) BAD("stage %s: more than %d bands", stage, MAX_BANDS);
    else t->band[t->nband++] = band_of(s, stage, w);
  }
  if (t == s->stage) t->shared = 0;
}

void sched_store(Schedule *s, Buf *temp, Space space, int depth, const Layout *lay) {
  for (int i = 0; i < s->nstore; i++)
    if (s->store[i].temp == temp) {
      s->store[i] = (Store){temp, space, depth, lay};
      return;
    }
  s->store[s->nstore++] = (Store){temp, space, depth, lay}; // one for each temp at most: never more than MAX_BUFS
}

/* ---- the stage list ---- */

// The last stage made goes to position `at`; the rows of the schedule follow their stages.
static void insert_last(Kernel *k, int at) {
  int n = k->nstage - 1;
  Stage *s = k->stage[n];
  memmove(k->stage + at + 1, k->stage + at, sizeof *k->stage * (size_t)(n - at));
  k->stage[at] = s;
  if (!k->sched) return;
  memmove(k->sched->stage + at + 1, k->sched->stage + at, sizeof *k->sched->stage * (size_t)(n - at));
  k->sched->stage[at] = (StageSched){0};
}

static void reposition(Kernel *k, int from, int to) {
  Stage *s = k->stage[from];
  StageSched row = k->sched ? k->sched->stage[from] : (StageSched){0};
  int step = from < to ? 1 : -1;
  for (int i = from; i != to; i += step) {
    k->stage[i] = k->stage[i + step];
    if (k->sched) k->sched->stage[i] = k->sched->stage[i + step];
  }
  k->stage[to] = s;
  if (k->sched) k->sched->stage[to] = row;
}

void stage_move(Kernel *k, const char *stage, const char *before) {
  int from = stage_find(k, stage), to = stage_find(k, before);
  reposition(k, from, from < to ? to - 1 : to);
}

static bool is_plain_var(IExpr *e) {
  Atom *a = ix_is_atom(e);
  return a && a->kind == ATOM_VAR;
}

// The axes that b's own stage stores it at, or fresh ones.
static void axes_of(const Kernel *k, const Buf *b, IExpr **ax) {
  for (int i = 0; i < b->rank; i++) ax[i] = NULL;
  for (int j = 0; j < k->nstage; j++)
    for (int i = 0; k->stage[j]->out == b && i < b->rank; i++)
      if (is_plain_var(k->stage[j]->ix[i])) ax[i] = k->stage[j]->ix[i];
  for (int i = 0; i < b->rank; i++)
    if (!ax[i]) ax[i] = ix_var(sym_fmt("%s%d", b->name, i), b->dim[i]);
}

typedef struct Retarget {
  Buf *from, *to;
} Retarget;
static Ex *retarget(Ex *e, void *u) {
  Retarget *r = u;
  if (e->buf == r->from) e->buf = r->to;
  return e;
}

static void retarget_stage(Stage *s, Retarget *r) {
  s->val = ex_map(s->val, retarget, r);
  s->cond = ex_map_more(s->cond, retarget, r);
  for (int i = 0; i < s->out->rank; i++) s->ix[i] = ex_map_index(s->ix[i], retarget, r);
  for (int i = 0; i < s->npred; i++) s->pred[i] = ex_map_index(s->pred[i], retarget, r);
}

// The copy holds b's logical contents; a load predicated against b's borders keeps its predicate and its else value.
Buf *stage_copy(Kernel *k, Buf *b, const char *name, const char *reader) {
  int at = stage_find(k, reader);
  Buf *t = kernel_buf(k, sym(name), BUF_TEMP, b->dtype, b->rank, b->dim);
  IExpr *ax[MAX_RANK];
  axes_of(k, b, ax);
  for (int j = at; j < k->nstage; j++) retarget_stage(k->stage[j], &(Retarget){b, t});
  kernel_stage(k, sym(name), C_SET, t, b->rank, ax, NULL, ax, ex_load(b, ax));
  insert_last(k, at);
  return t;
}

/* ---- rfactor ---- */

typedef struct Factor {
  Kernel *k;
  Buf *acc;
  Stage *init, *upd; // acc's own
  int at;            // where the next stage goes
  int rank;          // of acc: the lane is one more dimension
  IExpr *index[MAX_RANK + 1];
} Factor;

static int find_writer(const Kernel *k, const Buf *b, bool accumulates) {
  for (int i = 0; i < k->nstage; i++)
    if (k->stage[i]->out == b && (k->stage[i]->combine != C_SET) == accumulates) return i;
  bug("rfactor: %s of kernel %s has no %s stage", b->name, k->name, accumulates ? "accumulating" : "initial");
}

static bool starts_neutral(const Stage *init, Combine c) { // every lane may start with init's value
  const Ex *v = init->val, *one = combine_identity(c, v->type);
  bool is_f = v->type == DT_F32 || v->type == DT_F64;
  if (v->op != S_CONST || init->npred || init->cond) return false;
  if (is_f && c == C_add && v->f == 0) return true; // 0 and -0
  return is_f ? v->f == one->f : v->i == one->i;
}

static Buf *lane_temp(Factor *f, Sym name, int lanes) {
  IExpr *dim[MAX_RANK];
  for (int i = 0; i < f->rank; i++) dim[i] = f->acc->dim[i];
  dim[f->rank] = ix(lanes);
  return kernel_buf(f->k, name, BUF_TEMP, f->acc->dtype, f->rank + 1, dim);
}

// A stage over acc's axes and, if lane is a variable, the lane axis last.
static Stage *add_stage(Factor *f, Sym name, Combine c, Buf *out, IExpr *lane, bool reduce, Ex *val) {
  IExpr *ax[MAX_AXES];
  uint8_t kind[MAX_AXES] = {0};
  int n = 0;
  for (int i = 0; i < f->rank; i++)
    if (is_plain_var(f->index[i])) ax[n++] = f->index[i];
  if (lane) kind[n] = reduce ? AXIS_REDUCE : AXIS_SPATIAL, ax[n++] = lane;
  Stage *s = kernel_stage(f->k, name, c, out, n, ax, kind, f->index, val);
  insert_last(f->k, f->at++);
  return s;
}

static Ex *lane_load(Factor *f, Buf *b, IExpr *lane) {
  f->index[f->rank] = lane;
  return ex_load(b, f->index);
}

// acc = fold over lanes of p, halving: lanes/2, .., 1.
static void halve(Factor *f, Buf *p, int lanes, bool into_acc) {
  Combine c = f->upd->combine;
  for (int w = lanes / 2; w >= 1; w /= 2) {
    IExpr *lane = w > 1 ? ix_var(sym("l"), ix(w)) : ix(0);
    Ex *half = ex_op(combines[c].op, lane_load(f, p, lane), lane_load(f, p, ix_addk(lane, w)), NULL);
    Sym name = sym_fmt("%s_%d", f->acc->name, w);
    Buf *t = w > 1 ? lane_temp(f, name, w) : f->acc;
    f->index[f->rank] = lane;
    add_stage(f, name, w == 1 && into_acc ? c : C_SET, t, w > 1 ? lane : NULL, false, half);
    p = t;
  }
}

static void remove_stage(Kernel *k, int at) {
  reposition(k, at, k->nstage - 1);
  k->nstage--;
  if (k->sched) k->sched->stage[k->nstage] = (StageSched){0};
}

// acc[..] op= term over axis becomes p[.., axis % lanes] op= term; then halving stages (tree), or one fold over the lanes. A start value
// that is not neutral stays where it is, and the last stage accumulates onto it.
Buf *stage_rfactor(Kernel *k, Buf *acc, IExpr *axis, int lanes, bool tree) {
  int init = find_writer(k, acc, false), upd = find_writer(k, acc, true);
  Factor f = {.k = k, .acc = acc, .init = k->stage[init], .upd = k->stage[upd], .rank = acc->rank};
  if (acc->rank == MAX_RANK) bug("rfactor: %s has no dimension left for lanes", acc->name);
  if (tree && lanes & (lanes - 1)) bug("rfactor: %d lanes do not halve", lanes);
  Combine c = f.upd->combine;
  bool neutral = starts_neutral(f.init, c);
  for (int i = 0; i < f.rank; i++) f.index[i] = f.upd->ix[i];
  Sym name = sym_fmt("%s_p", acc->name);
  Buf *p = lane_temp(&f, name, lanes);

  IExpr *lane = f.index[f.rank] = ix_var(sym("l"), ix(lanes));
  f.at = init;
  Ex *start = neutral ? f.init->val : combine_identity(c, f.init->val->type);
  add_stage(&f, sym_fmt("%s_init", name), C_SET, p, lane, false, start);
  f.upd->out = p;
  f.upd->ix[f.rank] = ix_modk(axis, lanes);

  // the initial stage of acc itself: right behind the update, or gone where the halving stages store acc
  reposition(k, stage_find(k, f.init->name), stage_find(k, f.upd->name)); // init was before: upd moves up
  f.at = stage_find(k, f.upd->name) + 1;
  if (neutral && tree) remove_stage(k, f.at);
  else f.at++;
  if (tree) halve(&f, p, lanes, !neutral);
  else {
    Ex *x = lane_load(&f, p, lane);
    add_stage(&f, sym_fmt("%s_fold", acc->name), c, acc, lane, true, x);
  }
  return p;
}
