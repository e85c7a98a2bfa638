// layout.c - which intermediate tensors are stored channel-blocked (NCHWc): [N, C/b, H, W, b] with b the vector length.
//
// Before: kernels in stage form, before dedup. After: HBuf.lay and the lay of the kernels' parameters bound to it. Graph inputs and
// outputs, constants and everything without a channel axis stay row-major; indices stay logical everywhere, so no kernel changes its
// meaning. A tensor is blocked if the kernels that convolve over it or into it move more of it than the others: there the blocked order
// gives vector stores and broadcast loads, elsewhere it costs at most a little locality.
#include "passes/schedule.h"

static bool convolves(const Kernel *k) { // a contraction with several spatial reduce axes or a window: Conv, ConvTranspose, pools over 4-D
  for (int i = 0; i < k->nstage; i++)
    if (stage_is_contraction(k->stage[i]) && k->stage[i]->out->rank + (int)0 >= 2) return true;
  return false;
}
// A window read: some index adds a reduce variable to a spatial one.
static void windowed(Ex *e, void *u) {
  if (e->op != S_LOAD || e->buf->rank < 3) return;
  for (int d = 2; d < e->buf->rank; d++)
    if (e->ix[d]->n >= 2) *(bool *)u = true;
}
static bool has_window(const Kernel *k) {
  bool yes = false;
  for (int i = 0; i < k->nstage; i++) stage_walk(k->stage[i], windowed, &yes);
  return yes;
}
// Do windows of it overlap: reduce steps that reach beyond one spatial step? A head's 64*h + d does not; that tells a convolution over
// [N, C, T] from attention over [N, T, H*D].
static bool overlaps(const Stage *s, IExpr *e) {
  int64_t reach = 1, step = 0;
  bool affine;
  for (int a = 0; a < s->nax; a++) {
    int64_t c = ix_coef(e, ix_var_of(s->ax[a]), &affine);
    if (s->kind[a] == AXIS_REDUCE) reach += c * (extent_or(s->ax[a], 1) - 1);
    else if (c > 0 && (!step || c < step)) step = c;
  }
  return step > 0 && reach > step;
}
static bool slides(const Kernel *k) {
  for (int i = 0; i < k->nstage; i++) {
    Ex *l[64];
    int n = stage_is_contraction(k->stage[i]) ? stage_loads(k->stage[i], l, 64) : 0;
    for (int j = 0; j < n; j++)
      if (l[j]->buf->rank == 3 && overlaps(k->stage[i], l[j]->ix[2])) return true;
  }
  return false;
}
static bool pointwise_conv(const Kernel *k, const Buf *b) { // reads [n, c, h, w] with c reduced and the other dims plain
  for (int i = 0; i < k->nstage; i++) {
    const Stage *s = k->stage[i];
    Ex *l[64];
    int n = stage_is_contraction(s) ? stage_loads(s, l, 64) : 0;
    for (int j = 0; j < n; j++) {
      if (l[j]->buf != b) continue;
      int a = ix_is_atom(l[j]->ix[1]) ? stage_axis(s, ix_is_atom(l[j]->ix[1])) : -1;
      if (a >= 0 && s->kind[a] == AXIS_REDUCE) return true;
    }
  }
  return false;
}
static bool candidate(const HBuf *b, int lanes) {
  int64_t c;
  if (b->place != PLACE_ARENA || b->lay || b->type->kind != TYPE_TENSOR) return false;
  DType t = b->type->dtype;
  if (t != DT_F32 && t != DT_F16 && t != DT_BF16 && t != DT_I32 && t != DT_U8 && t != DT_I8)
    return false; // what convolutions read and write
  if (b->type->rank < 3 || b->type->rank > 5 || !ix_const(b->type->dim[1], &c)) return false;
  return c >= lanes;
}
enum { NEVER = 1 << 16 }; // more than all who could vote for it
typedef struct Votes {
  int block, plain;
} Votes;
static bool window_quotient(const Stage *s, const Atom *div) { // (o + pad - k) / stride: a transposed window, not a reshape
  for (int a = 0; a < s->nax; a++)
    if (s->kind[a] == AXIS_REDUCE && ix_has(div->a, ix_var_of(s->ax[a]))) return true;
  return false;
}
// Does the kernel use the tensor by its four dims? Reshaped or transposed uses want row-major.
static bool plain_use(const Kernel *k, const Buf *b) {
  for (int i = 0; i < k->nstage; i++) {
    const Stage *s = k->stage[i];
    Ex *l[64];
    int n = stage_loads(s, l, 64);
    for (int j = 0; j < n; j++) {
      if (l[j]->buf != b) continue;
      Atom *c = ix_is_atom(l[j]->ix[1]);
      if (!c && !ix_is(l[j]->ix[1], 0) && l[j]->ix[1]->n > 2) return false;
      for (int d = 0; d < b->rank; d++)
        for (int t = 0; t < l[j]->ix[d]->n; t++)
          for (int f = 0; f < l[j]->ix[d]->t[t].nfac; f++)
            if (d != 1 && l[j]->ix[d]->t[t].fac[f]->kind == ATOM_DIV && !window_quotient(s, l[j]->ix[d]->t[t].fac[f])) return false;
    }
  }
  return true;
}
static bool lies_over(const HBuf *x, const HBuf *b) { // is x b's memory under another name?
  while (x && x->place == PLACE_ALIAS && x != b) x = x->alias;
  return x == b;
}
static void vote(const HStmt *s, const HBuf *b, Votes *v) {
  for (; s; s = s->next) {
    for (int i = 0; i < s->nbuf; i++) {
      if (!lies_over(s->buf[i], b)) continue;
      const Kernel *k = s->kernel;
      if (s->kind != HS_LAUNCH || s->buf[i] != b || k->tree)
        v->plain += NEVER; // a copy, a runtime function, a finished kernel: row-major only
      else if (k->buf[i]->rank != b->type->rank || kernel_is_ordered(k) || !plain_use(k, k->buf[i])) v->plain += 2;
      else if (b->type->rank == 3) v->block += slides(k) ? 2 : 0;
      else if (has_window(k) || pointwise_conv(k, k->buf[i]) || (k->buf[i]->kind == BUF_OUT && convolves(k))) v->block += 2;
    }
    vote(s->body, b, v), vote(s->other, b, v);
  }
}
static const Layout *blocked(int rank, int lanes) {
  Layout *y = layout_new(2, 0, 1, 0, 1, lanes, 0);
  for (int d = 2; d < rank; d++) y->axis[y->n] = (uint8_t)d, y->div[y->n] = 1, y->mod[y->n++] = 0;
  y->axis[y->n] = 1, y->div[y->n] = 1, y->mod[y->n++] = lanes;
  return y;
}
static void apply(HStmt *s) {
  for (; s; s = s->next) {
    for (int i = 0; s->kind == HS_LAUNCH && i < s->nbuf; i++)
      if (s->buf[i]->place != PLACE_CONST) s->kernel->buf[i]->lay = s->buf[i]->lay;
    apply(s->body), apply(s->other);
  }
}
void pass_layout(Program *p, const Options *o) {
  if (o->opt == 0) return;
  for (int i = 0; i < p->nbuf; i++) {
    HBuf *b = p->buf[i];
    Votes v = {0, 0};
    if (!candidate(b, o->target->lanes)) continue;
    vote(p->body, b, &v);
    if (v.block > v.plain) b->lay = blocked(b->type->rank, o->target->lanes);
  }
  apply(p->body);
}
