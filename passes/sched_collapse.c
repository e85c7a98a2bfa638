// sched_collapse.c - adjacent axes that every access walks contiguously become one axis.
//
// [N,C,H,W] of an elementwise kernel is one loop, batch and sequence of a matmul are one M, height and width of a global pool are one row.
// Axes a, b merge if wherever one of them appears both do, a in dim p and b in dim p + 1 of a row-major buffer whose dim p + 1 is b's whole
// extent. The buffers lose a dim; nothing else changes, so the kernel means the same.
#include "passes/schedule.h"
#include <string.h>

typedef struct Pair {
  IExpr *a, *b;
  bool ok;
  bool touched[MAX_BUFS];
  int dim[MAX_BUFS]; // the dim of a in each buffer that is indexed by the pair; -1: not yet known
  Kernel *k;
} Pair;

// One access: fine if it has neither axis, or both as described. `seen` collects which buffers are to be reshaped.
static void access(Pair *p, Buf *b, IExpr *const *at) {
  Atom *a = ix_var_of(p->a), *c = ix_var_of(p->b);
  int found = -1;
  for (int d = 0; d < b->rank; d++) {
    bool ha = ix_has(at[d], a), hc = ix_has(at[d], c);
    if (!ha && !hc) continue;
    if (at[d] == p->a && d + 1 < b->rank && at[d + 1] == p->b && found < 0 && b->dim[d + 1] == c->a && b->dim[d] == a->a && !b->lay &&
        !b->stride[0])
      found = d;
    else if (!(found >= 0 && d == found + 1)) p->ok = false;
  }
  if (p->touched[b->id] && p->dim[b->id] != found) p->ok = false; // all accesses of a buffer must agree
  p->touched[b->id] = true, p->dim[b->id] = found;
}
static void check_ex(Ex *e, void *u) {
  Pair *p = u;
  Atom *a = ix_var_of(p->a), *b = ix_var_of(p->b);
  if (e->op == S_LOAD) access(p, e->buf, e->ix);
  if (e->op == S_IX && (ix_has(e->ix[0], a) || ix_has(e->ix[0], b))) p->ok = false;
  for (int i = 0; i < e->npred; i++)
    if (ix_has(e->pred[i], a) || ix_has(e->pred[i], b)) p->ok = false;
}
static bool can_merge(Kernel *k, IExpr *a, IExpr *b, Pair *p) {
  *p = (Pair){.a = a, .b = b, .ok = true, .k = k};
  bool any = false;
  for (int i = 0; i < k->nstage && p->ok; i++) {
    Stage *s = k->stage[i];
    int ia = stage_axis(s, ix_var_of(a)), ib = stage_axis(s, ix_var_of(b));
    if ((ia < 0) != (ib < 0)) return false;
    if (ia >= 0 && (s->kind[ia] != s->kind[ib] || s->kind[ia] == AXIS_ORDERED)) return false;
    any |= ia >= 0;
    access(p, s->out, s->ix);
    stage_walk(s, check_ex, p);
    for (int x = 0; x < s->nax; x++) { // ragged extents
      IExpr *n = ix_var_of(s->ax[x])->a;
      if (ix_has(n, ix_var_of(a)) || ix_has(n, ix_var_of(b))) return false;
    }
    for (int q = 0; q < s->npred; q++)
      if (ix_has(s->pred[q], ix_var_of(a)) || ix_has(s->pred[q], ix_var_of(b))) return false;
  }
  return p->ok && any;
}
typedef struct Merge {
  Pair *p;
  IExpr *f;
} Merge;
static void merge_index(Merge *m, Buf *b, IExpr **at, int rank) { // rank: before the buffer was reshaped
  int d = m->p->dim[b->id];
  if (!m->p->touched[b->id] || d < 0) return;
  at[d] = m->f;
  for (int i = d + 1; i + 1 < rank; i++) at[i] = at[i + 1];
}
static Ex *merge_load(Ex *e, void *u) {
  Merge *m = u;
  if (e->op == S_LOAD) merge_index(m, e->buf, e->ix, e->buf->rank + (m->p->touched[e->buf->id] && m->p->dim[e->buf->id] >= 0));
  return e;
}
static void merge(Kernel *k, Pair *p) {
  Atom *a = ix_var_of(p->a), *b = ix_var_of(p->b);
  Merge m = {p, ix_var(sym_fmt("%s%s", a->name, b->name), ix_mul(a->a, b->a))};
  for (int i = 0; i < k->nbuf; i++) {
    Buf *x = k->buf[i];
    int d = p->dim[i];
    if (!p->touched[i] || d < 0) continue;
    x->dim[d] = ix_mul(x->dim[d], x->dim[d + 1]);
    for (int j = d + 1; j + 1 < x->rank; j++) x->dim[j] = x->dim[j + 1];
    x->rank--;
  }
  for (int i = 0; i < k->nstage; i++) {
    Stage *s = k->stage[i];
    merge_index(&m, s->out, s->ix, s->out->rank + (p->touched[s->out->id] && p->dim[s->out->id] >= 0));
    s->val = ex_map(s->val, merge_load, &m);
    if (s->cond) s->cond = ex_map_more(s->cond, merge_load, &m);
    int ia = stage_axis(s, a), ib = stage_axis(s, b);
    if (ia < 0) continue;
    s->ax[ia] = m.f;
    for (int j = ib; j + 1 < s->nax; j++) s->ax[j] = s->ax[j + 1], s->kind[j] = s->kind[j + 1];
    s->nax--;
  }
}
// Lets inside indices would have to be reshaped as well: such kernels stay as they are.
static void find_let(IExpr *e, void *u);
static void is_let(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_LET; }
static void find_let(IExpr *e, void *u) { ix_atoms(e, is_let, u); }

/* ---- dims that views have split ---- */
// x[r / 64, r % 64] of a row-major [12, 64] is x[r] of [768]: dims d, d + 1 that every access walks by the parts of one index become one.
typedef struct Joint {
  const Buf *buf;
  int d;
  bool apply, ok, any;
} Joint;
static void is_div(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_DIV; }
static bool has_div(IExpr *e) {
  bool yes = false;
  ix_atoms(e, is_div, &yes);
  return yes;
}
static void join_index(Joint *j, const Buf *b, IExpr **at) { // b has its dims from before
  if (b != j->buf || !j->ok) return;
  IExpr *whole = ix_add(ix_mul(at[j->d], b->dim[j->d + 1]), at[j->d + 1]);
  j->any = true;
  if (!j->apply) {
    j->ok = has_div(at[j->d]) && has_div(at[j->d + 1]) && !has_div(whole);
    return;
  }
  at[j->d] = whole;
  for (int i = j->d + 1; i + 1 < b->rank; i++) at[i] = at[i + 1];
}
static void check_joint(Ex *e, void *u) {
  if (e->op == S_LOAD) join_index(u, e->buf, e->ix);
}
static Ex *apply_joint(Ex *e, void *u) {
  if (e->op == S_LOAD) join_index(u, e->buf, e->ix);
  return e;
}
static bool join_dims(Kernel *k, Buf *b, int d) {
  if (b->lay || b->stride[0] || !ix_const(b->dim[d + 1], NULL)) return false;
  Joint j = {.buf = b, .d = d, .ok = true};
  for (int i = 0; i < k->nstage; i++) join_index(&j, k->stage[i]->out, k->stage[i]->ix), stage_walk(k->stage[i], check_joint, &j);
  if (!j.ok || !j.any) return false;
  j.apply = true;
  for (int i = 0; i < k->nstage; i++) {
    Stage *s = k->stage[i];
    join_index(&j, s->out, s->ix);
    s->val = ex_map(s->val, apply_joint, &j);
    if (s->cond) s->cond = ex_map_more(s->cond, apply_joint, &j);
  }
  b->dim[d] = ix_mul(b->dim[d], b->dim[d + 1]);
  for (int i = d + 1; i + 1 < b->rank; i++) b->dim[i] = b->dim[i + 1];
  b->rank--;
  return true;
}

void sched_collapse(Kernel *k) {
  bool let = false;
  kernel_indices(k, find_let, &let);
  if (let) return;
  for (int i = 0; i < k->nbuf; i++)
    for (int d = 0; d + 1 < k->buf[i]->rank;) d = join_dims(k, k->buf[i], d) ? 0 : d + 1;
  for (bool again = true; again;) {
    again = false;
    for (int i = 0; i < k->nstage && !again; i++)
      for (int a = 0; a + 1 < k->stage[i]->nax && !again; a++)
        for (int b = 0; b < k->stage[i]->nax && !again; b++) {
          Pair p;
          if (b == a || !can_merge(k, k->stage[i]->ax[a], k->stage[i]->ax[b], &p)) continue;
          merge(k, &p);
          again = true;
        }
  }
}
