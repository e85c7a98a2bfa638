// kernel_run.h - runs a kernel's stages and its tree in the interpreter on the same data and compares the outputs. For tests and fuzzers.
#pragma once
#include "ir/kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Cells { // a walk over the logical cells of a buffer
  Tensor *t;           // its physical memory as one row
  IExpr *var[MAX_RANK], *phys;
  int64_t n[MAX_RANK], at[MAX_RANK];
  bool done;
} Cells;

static inline Cells cells_of(const Buf *b, void *data) {
  Cells c = {0};
  int64_t size = ix_eval(buf_size(b));
  c.t = tensor_new(b->dtype, 1, &size, data);
  for (int i = 0; i < b->rank; i++) {
    c.n[i] = ix_eval(b->dim[i]);
    c.done |= c.n[i] <= 0;
    c.var[i] = ix_var(sym("cell"), b->dim[i]);
  }
  c.phys = buf_phys(b, c.var);
  return c;
}
static inline int64_t cell_at(Cells *c, int rank) { // physical element of the present cell
  for (int i = 0; i < rank; i++) ix_var_of(c->var[i])->val = c->at[i];
  return ix_eval(c->phys);
}
static inline void cell_next(Cells *c, int rank) {
  int i = rank - 1;
  while (i >= 0 && ++c->at[i] == c->n[i]) c->at[i--] = 0;
  if (i < 0) c->done = true;
}

static inline uint32_t run_random(uint32_t *seed) { return (*seed = *seed * 1664525u + 1013904223u) >> 8; }

// Small integers, so that sums are exact in every order; unsigned types get 0..4.
static inline void run_fill_buf(Buf *b, uint32_t seed) {
  int64_t size = ix_eval(buf_size(b)), bytes = dtype_bytes(b->dtype, size) + 64;
  b->data = malloc((size_t)bytes);
  memset(b->data, 0xCD, (size_t)bytes);
  if (b->kind == BUF_OUT) return;
  Cells c = cells_of(b, b->data);
  for (int64_t i = 0; i < size && b->lay; i++) tensor_set_float(c.t, i, b->lay->fill);
  for (int64_t i = 0; !c.done; i++, cell_next(&c, b->rank)) {
    int v = (int)(run_random(&seed) % 9) - 4;
    if (!dtypes[b->dtype].is_signed && !dtypes[b->dtype].is_float) v = abs(v);
    tensor_set_float(c.t, cell_at(&c, b->rank), b->table ? b->table[i] : v);
  }
}

static inline void run_fill(Kernel *k, uint32_t seed) {
  for (int i = 0; i < kernel_params(k); i++) run_fill_buf(k->buf[i], seed + (uint32_t)i * 77);
}
static inline void run_free(Kernel *k) {
  for (int i = 0; i < kernel_params(k); i++) free(k->buf[i]->data), k->buf[i]->data = NULL;
}

// The outputs' bytes, to be compared with after another run; run_restore gives the buffers what they held before the first.
typedef struct Saved {
  void *data[MAX_BUFS];
} Saved;
static inline int64_t run_bytes(const Buf *b) { return dtype_bytes(b->dtype, ix_eval(buf_size(b))) + 64; }
static inline void run_save(const Kernel *k, Saved *s) {
  for (int i = 0; i < kernel_params(k); i++) {
    s->data[i] = malloc((size_t)run_bytes(k->buf[i]));
    memcpy(s->data[i], k->buf[i]->data, (size_t)run_bytes(k->buf[i]));
  }
}
static inline void run_restore(const Kernel *k, const Saved *s) {
  for (int i = 0; i < kernel_params(k); i++) memcpy(k->buf[i]->data, s->data[i], (size_t)run_bytes(k->buf[i]));
}
static inline void run_unsave(const Kernel *k, Saved *s) {
  for (int i = 0; i < kernel_params(k); i++) free(s->data[i]);
}

static inline bool run_same(double x, double y, double tolerance) {
  if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
  return x == y || fabs(x - y) <= tolerance * (fabs(x) + fabs(y) + 1e-3);
}

// The first cell in which the outputs now and those saved differ; NULL: none. Pad cells are nobody's.
static inline const char *run_differ(const Kernel *k, const Saved *s, double tolerance) {
  for (int i = 0; i < kernel_params(k); i++) {
    const Buf *b = k->buf[i];
    if (b->kind != BUF_OUT && b->kind != BUF_INOUT) continue;
    Cells now = cells_of(b, b->data), then = cells_of(b, s->data[i]);
    for (; !now.done; cell_next(&now, b->rank)) {
      int64_t at = cell_at(&now, b->rank);
      double x = tensor_float(now.t, at), y = tensor_float(then.t, at);
      if (!run_same(x, y, tolerance)) return fmt("%s cell %lld: %.9g, should be %.9g", b->name, (long long)at, x, y);
    }
  }
  return NULL;
}

// Stages against tree; NULL if they agree.
static inline const char *run_compare(Kernel *k, uint32_t seed, double tolerance) {
  Saved before, after;
  run_fill(k, seed);
  run_save(k, &before);
  const char *wrong = eval_stages(k, NULL) ? NULL : "the stages report a fault";
  run_save(k, &after);
  run_restore(k, &before);
  if (!wrong && !eval_tree(k, NULL)) wrong = "the tree reports a fault";
  if (!wrong) wrong = run_differ(k, &after, tolerance);
  run_unsave(k, &before), run_unsave(k, &after), run_free(k);
  return wrong;
}
