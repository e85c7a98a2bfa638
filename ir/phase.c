// phase.c - phases, chunks, temps and scratch of a built kernel (phase.h). Before: kernel_build has run. It changes nothing.
#include "phase.h"

enum { STACK_MAX = 32 << 10 }; // a larger stack buffer lives in scratch: helpers have 256 KiB of stack

static bool is_par(const Tree *t) { return t->kind == T_FOR && t->map == MAP_PAR; }

/* ---- phases ---- */

int kernel_phases(const Kernel *k, Phase **out) {
  Phase *p = NULL;
  int n = 0, cap = 0;
  bool open = false; // may the next serial tree join the last phase?
  for (Tree *t = k->tree; t; t = t->next) {
    if (t->kind == T_ALLOC) continue;
    bool joined = t->kind == T_FOR && t->joined && n > 0;
    if (is_par(t) && !joined) PUSH(p, n, cap, (Phase){t, t->next, true}), open = false;
    else if (joined || open) p[n - 1].end = t->next;
    else PUSH(p, n, cap, (Phase){t, t->next, false}), open = true;
  }
  *out = p;
  return n;
}

bool tree_nests(const Tree *t) {
  const Tree *b = t->body;
  if (!b || !is_par(b) || b->joined) return false;
  for (; b; b = b->next)
    if (b->kind != T_FOR || (b != t->body && !b->joined) || ix_has(b->ext, ix_var_of(t->var))) return false;
  return true;
}

IExpr *tree_piece(const Tree *t) {
  if (t->kind == T_ALLOC) return ix(0);
  if (!is_par(t)) return ix(1);
  return tree_nests(t) ? ix_mul(t->ext, tree_chunks(t->body, NULL)) : t->ext;
}

IExpr *tree_chunks(const Tree *t, const Tree *end) {
  IExpr *n = ix(0);
  for (; t != end; t = t->next) n = ix_add(n, tree_piece(t));
  return n;
}

enum { WORTH = 256, ANY_EXTENT = 8 }; // operations that a chunk should do; what an extent that is not known counts as

static int64_t capped(int64_t n) { return n < WORTH ? n : WORTH; }
static void count(Ex *e, void *u) { *(int64_t *)u += e->op > S_SEL; }

static int64_t work(const Tree *t) { // operations, vectors as one; WORTH: at least that many
  int64_t sum = 0;
  for (; t && sum < WORTH; t = t->next) {
    int64_t n = 1, ops = 2;
    if (t->kind == T_STMT) ex_walk(t->val, count, &ops), sum += ops;
    else if (t->kind == T_WHILE) sum += WORTH;
    else if (t->kind == T_FOR) {
      if (t->map != MAP_VEC && !ix_const(t->ext, &n)) n = ANY_EXTENT;
      sum += capped(n) * work(t->body);
    }
  }
  return capped(sum);
}
static int64_t point_work(const Tree *t) { return t->kind == T_FOR && tree_nests(t) ? point_work(t->body) : work(t->body); }

int64_t phase_grain(const Phase *p) {
  int64_t most = 1, grain = 1;
  if (!p->par) return 1;
  for (const Tree *t = p->first; t != p->end; t = t->next)
    if (t->kind == T_FOR && point_work(t) > most) most = point_work(t);
  while (grain * most < WORTH) grain *= 2;
  return grain;
}

IExpr *phase_chunks(const Phase *p) { return p->par ? ix_ceil(tree_chunks(p->first, p->end), phase_grain(p)) : ix(1); }

/* ---- temps ---- */

static void finds(Ex *e, void *u) {
  void **w = u;
  if (e->op == S_LOAD && e->buf == w[0]) *(bool *)w[1] = true;
}
static bool stmt_touches(const Tree *t, const Buf *b) {
  bool found = t->buf == b;
  void *w[2] = {(void *)b, &found};
  if (t->val) ex_walk(t->val, finds, w);
  if (t->cond) ex_walk(t->cond, finds, w);
  for (int i = 0; t->buf && i < t->buf->rank; i++) ex_walk_index(t->ix[i], finds, w);
  for (int i = 0; i < t->npred; i++) ex_walk_index(t->pred[i], finds, w);
  return found;
}
static bool touches(const Tree *t, const Tree *end, const Buf *b) {
  for (; t != end; t = t->next)
    if ((t->kind == T_STMT || t->kind == T_WHILE) && stmt_touches(t, b)) return true;
    else if (t->body && touches(t->body, NULL, b)) return true;
  return false;
}

bool temp_is_shared(const Kernel *k, const Buf *b) {
  Phase *p;
  int n = kernel_phases(k, &p), users = 0;
  bool par = false;
  for (int i = 0; i < n; i++)
    if (touches(p[i].first, p[i].end, b)) users++, par |= p[i].par;
  return users > 1 || par || b->space == SPACE_ARENA;
}

int kernel_temps(const Kernel *k, Buf ***out) {
  Buf **b = NULL;
  int n = 0, cap = 0;
  for (Tree *t = k->tree; t; t = t->next)
    if (t->kind == T_ALLOC) PUSH(b, n, cap, t->buf);
  *out = b;
  return n;
}

/* ---- bytes ---- */

IExpr *buf_bytes(const Buf *b) {
  int bits = dtypes[b->dtype].bits;
  return bits < 8 ? ix_ceil(ix_scale(buf_size(b), bits), 8) : ix_scale(buf_size(b), bits / 8);
}

typedef struct Newest {
  Atom *var;
} Newest;
static void newest(Atom *a, void *u) {
  Newest *n = u;
  if (a->kind == ATOM_VAR && (!n->var || a->id > n->var->id)) n->var = a;
}

IExpr *alloc_bound(const Buf *b, int64_t *constant) {
  IExpr *e = buf_bytes(b), *lo;
  for (;;) { // the extents may depend on loops outside: the largest
    Newest n = {0};
    ix_atoms(e, newest, &n);
    if (!n.var) break;
    ix_interval(e, n.var, ix(0), ix_addk(n.var->a, -1), &lo, &e);
  }
  *constant = ix_upper(e);
  return e;
}

bool alloc_in_scratch(const Buf *b) {
  int64_t bytes;
  alloc_bound(b, &bytes);
  return b->space == SPACE_SCRATCH || b->space == SPACE_ARENA || bytes > STACK_MAX;
}

static IExpr *larger(IExpr *a, IExpr *b) { return ix_prove_le(a, b) ? b : ix_prove_le(b, a) ? a : ix_max(a, b); }

static IExpr *block_scratch(const Kernel *k, const Tree *t, bool top) {
  IExpr *used = ix(0), *inner = ix(0);
  int64_t bytes;
  for (; t; t = t->next)
    if (t->kind == T_ALLOC && alloc_in_scratch(t->buf) && !(top && temp_is_shared(k, t->buf)))
      used = ix_add(used, ix_scale(ix_ceil(alloc_bound(t->buf, &bytes), 64), 64));
    else if (t->body) inner = larger(inner, block_scratch(k, t->body, false));
  return ix_add(used, inner);
}

IExpr *kernel_scratch(const Kernel *k) { return block_scratch(k, k->tree, true); }
