// eval_plan.c - a statement as a list of instructions over lane registers, operands first, each index prepared.
#include "eval_internal.h"
#include <limits.h>
#include <string.h>

enum { KEPT = INT_MAX }; // Instr.last of what is read after the list has run

static Instr *push(Plan *p, const Instr *i) {
  if (p->ncode == p->ccode) {
    Instr **old = p->code;
    p->code = eval_mem((size_t)(p->ccode = p->ccode * 2 + 32) * sizeof *p->code);
    if (p->ncode) memcpy(p->code, old, (size_t)p->ncode * sizeof *p->code);
  }
  Instr *r = EVAL_NEW(Instr);
  *r = *i;
  return p->code[p->ncode++] = r;
}

static bool any_varies(Index *const *x, int n) {
  for (int i = 0; i < n; i++)
    if (index_varies(x[i])) return true;
  return false;
}

static Index **indices(Plan *p, int n, IExpr *const *e) {
  Index **r = eval_mem((size_t)(n + 1) * sizeof *r);
  for (int i = 0; i < n; i++) r[i] = index_of(p, e[i]);
  return r;
}

static void find_variable(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_VAR; }

static int64_t elements(Plan *p, const Buf *b, IExpr **grows) {
  IExpr *n = buf_size(b);
  bool var = false;
  ix_atoms(n, find_variable, &var);
  *grows = var ? n : NULL;
  p->resize = p->resize || var;
  return var ? 0 : ix_eval(n);
}

static void plan_load(Plan *p, Instr *i, Ex *e) {
  Buf *b = i->buf = e->buf;
  i->at = index_of(p, buf_phys(b, e->ix));
  i->size = elements(p, b, &i->grows);
  for (int d = 0; d < b->rank; d++) i->dim[d] = index_of(p, e->ix[d]);
  i->cond = e->cond ? plan_ex(p, e->cond) : NULL;
  i->lanes = index_varies(i->at) || any_varies(i->dim, b->rank) || any_varies(i->pred, i->npred) || (i->cond && i->cond->lanes);
}

static void *const_lanes(Ex *e) {
  int n = reg_bytes(e->type);
  char *r = eval_mem((size_t)(LANES * n));
  float f = (float)e->f;
  int32_t i = (int32_t)e->i;
  uint8_t b = e->i != 0;
  const void *v = e->type == DT_F32 ? (void *)&f : e->type == DT_I32 ? (void *)&i : e->type == DT_BOOL ? (void *)&b : (void *)&e->i;
  for (int l = 0; l < LANES; l++) memcpy(r + l * n, v, (size_t)n);
  return r;
}

Instr *plan_ex(Plan *p, Ex *e) {
  if (e->epoch == ex_epoch) return e->v;
  Instr i = {.op = e->op, .type = e->type, .e = e, .npred = e->npred};
  if (e->npred) i.pred = indices(p, e->npred, e->pred);
  i.lanes = any_varies(i.pred, i.npred);
  if (e->op == S_CONST) i.r = const_lanes(e);
  else if (e->op == S_LOAD) plan_load(p, &i, e);
  else if (e->op == S_IX) {
    i.at = index_of(p, e->ix[0]);
    i.lanes = index_varies(i.at);
  } else {
    i.na = e->op == S_SEL ? 2 : scalars[e->op].arity;
    for (int k = 0; k < i.na; k++) {
      i.a[k] = plan_ex(p, e->a[k]);
      i.lanes = i.lanes || i.a[k]->lanes;
    }
    i.in = e->op == S_select ? e->type : e->a[0]->type;
    if (e->op == S_round || e->op == S_wrap) i.dtype = (DType)e->i;
  }
  e->epoch = ex_epoch;
  return e->v = push(p, &i);
}

/* ---- lets ---- */

static Ex *first_load(Ex *e) {
  if (e->op == S_LOAD) return e;
  for (int i = 0; i < 3; i++) {
    Ex *r = e->a[i] ? first_load(e->a[i]) : NULL;
    if (r) return r;
  }
  return NULL;
}

Let *plan_let(Plan *p, Atom *a) {
  for (int i = 0; i < p->nlet; i++)
    if (p->let[i]->atom == a) return p->let[i];
  Let *l = EVAL_NEW(Let);
  l->atom = a;
  l->def = a->def;
  l->value = plan_ex(p, l->def->value);
  l->value->last = KEPT;
  l->limit = l->def->limit ? index_of(p, l->def->limit) : NULL;
  Ex *from = l->def->site >= 0 ? first_load(l->def->value) : NULL;
  if (from) l->pos = index_of(p, buf_phys(from->buf, from->ix));
  l->raw = eval_mem(LANES * sizeof *l->raw);
  if (p->nlet == p->clet) {
    Let **old = p->let;
    p->let = eval_mem((size_t)(p->clet = p->clet * 2 + 4) * sizeof *p->let);
    if (p->nlet) memcpy(p->let, old, (size_t)p->nlet * sizeof *p->let);
  }
  return p->let[p->nlet++] = l;
}

/* ---- registers: reused after the last use ---- */

static void used(Instr *i, int at) {
  if (i && i->last < at) i->last = at;
}

static void assign_registers(Plan *p) {
  void **free_list = eval_mem((size_t)(p->ncode + 1) * sizeof *free_list);
  int nfree = 0;
  for (int k = 0; k < p->ncode; k++) {
    Instr *i = p->code[k];
    used(i->cond, k);
    for (int j = 0; j < i->na; j++) {
      used(i->a[j], k);
      if (i->lanes && !i->a[j]->lanes && i->a[j]->op != S_CONST) i->a[j]->splat = true;
    }
    if (i->lanes && i->cond && !i->cond->lanes && i->cond->op != S_CONST) i->cond->splat = true;
  }
  for (int k = 0; k < p->ncode; k++) {
    Instr *i = p->code[k];
    if (!i->r) i->r = nfree ? free_list[--nfree] : eval_mem(LANES * 8);
    Instr *dead[4] = {i->a[0], i->a[1], i->a[2], i->cond};
    for (int j = 0; j < 4; j++) {
      bool again = false;
      for (int m = 0; m < j; m++) again = again || dead[m] == dead[j];
      if (dead[j] && !again && dead[j]->last == k && dead[j]->op != S_CONST) free_list[nfree++] = dead[j]->r;
    }
  }
}

static void keep(const Plan *p, Instr *i) {
  if (!i) return;
  i->last = KEPT;
  if (p->block.n && !i->lanes && i->op != S_CONST) i->splat = true;
}

/* ---- statements ---- */

static bool plain_f32(const Instr *i, const Buf *out) { // a load from elsewhere, or a constant
  if (i->op == S_CONST) return i->type == DT_F32;
  return i->op == S_LOAD && i->buf->dtype == DT_F32 && !i->npred && !i->cond && !i->buf->table && i->buf != out;
}

static bool can_be_direct(const Plan *p, const Effect *e) {
  return p->y && plain_f32(p->x, e->out) && plain_f32(p->y, e->out) && e->out->dtype == DT_F32 && !e->cond && !e->npred && !p->nlet;
}

Plan *plan_effect(const Effect *e, int nlanes, const LaneAxis *axis) {
  ex_epoch++;
  Plan *p = EVAL_NEW(Plan);
  p->block.n = nlanes;
  p->block.axis = p->axis;
  for (int i = 0; i < nlanes; i++) p->axis[i] = axis[i];
  p->combine = e->combine;
  p->out = e->out;
  p->checks = 64;
  p->pred = indices(p, e->npred, e->pred);
  p->npred = e->npred;
  p->cond = e->cond ? plan_ex(p, e->cond) : NULL;
  bool fused = e->combine == C_add && e->val->op == S_mul && (e->val->type == DT_F32 || e->val->type == DT_F64);
  p->x = plan_ex(p, fused ? e->val->a[0] : e->val);
  p->y = fused ? plan_ex(p, e->val->a[1]) : NULL;
  p->at = index_of(p, buf_phys(e->out, e->ix));
  for (int d = 0; d < e->out->rank; d++) p->dim[d] = index_of(p, e->ix[d]);
  p->size = elements(p, e->out, &p->grows);
  p->sequential = index_has_let(p->at);
  p->direct = can_be_direct(p, e);
  keep(p, p->x), keep(p, p->y), keep(p, p->cond);
  assign_registers(p);
  return p;
}

Plan *plan_value(Ex *e, IExpr *i) {
  ex_epoch++;
  Plan *p = EVAL_NEW(Plan);
  p->block.axis = p->axis;
  if (e) p->x = plan_ex(p, e);
  else p->at = index_of(p, i);
  keep(p, p->x);
  assign_registers(p);
  return p;
}
