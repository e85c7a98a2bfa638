// handmade.h - a model written by hand against runtime/rt.h, for tests that need the runtime and no compiler: 40 phases of 24 chunks over
// integers, each chunk mixed with its neighbour, so that a chunk lost, done twice or too early shows in the result. One phase multiplies
// floats, so that flushed denormals show too.
#pragma once
#include "runtime/pool.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define MUST(c) ((c) ? (void)0 : (printf("FAILED %s:%d: %s\n", __FILE__, __LINE__, #c), exit(1)))
enum { PHASES = 40, CHUNKS = 24, WIDTH = 32, CELLS = CHUNKS * WIDTH, BAD_PHASE = 20 };

// arg: frame, source, destination, phase
static void hand_body(const int64_t *arg, int64_t chunk, char *scratch) {
  const int64_t *src = (const int64_t *)arg[1];
  int64_t *dst = (int64_t *)arg[2], *mine = (int64_t *)(void *)scratch;
  for (int i = 0; i < WIDTH; i++) { // scratch is this worker's own: two workers in one place would be seen
    uint64_t a = (uint64_t)src[chunk * WIDTH + i], b = (uint64_t)src[(chunk + 1) % CHUNKS * WIDTH + i];
    mine[i] = (int64_t)(a * 0x9e3779b97f4a7c15u + (b >> 7));
  }
  volatile float tiny = 1e-30f, factor = 1e-10f; // the product is a denormal, zero where they are flushed
  mine[0] += tiny * factor > 0 ? 1 : 0;
  memcpy(dst + chunk * WIDTH, mine, WIDTH * 8);
  // a value that this model refuses: any cell equal to 4711, found in the phase that reads the input
  for (int i = 0; arg[3] == 0 && i < WIDTH; i++)
    if (src[chunk * WIDTH + i] == 4711) tn_fault((tn_frame *)arg[0], 0, chunk * WIDTH + i, 4711);
}
static void hand_program(tn_frame *f) {
  for (int s = 0; s < PHASES; s++) {
    int64_t *half[2] = {(int64_t *)(void *)f->ws, (int64_t *)(void *)f->ws + CELLS};
    int64_t arg[4] = {(int64_t)f, (int64_t)(s ? half[s & 1] : f->in[0]), (int64_t)(s == PHASES - 1 ? f->out[0] : half[~s & 1]), s};
    if (tn_par(f, CHUNKS, 1000, hand_body, arg)) return;
  }
}
static uint64_t hand_workspace(const int64_t *sym) { return (void)sym, 2 * CELLS * 8; }
static uint64_t hand_scratch(const int64_t *sym) { return (void)sym, WIDTH * 8; }
static const int64_t hand_dim[] = {CELLS};
static const char *const hand_names[] = {""};
static const tenon_io hand_io = {sizeof hand_io, TENON_TENSOR, 0,  "x", "tensor(int64)", {kDLInt, 64, 1}, 1, 1, hand_dim, hand_dim,
                                 hand_dim,       hand_names,   -1, -1};
static const tenon_io *const hand_ios[] = {&hand_io};
static const tn_site hand_site = {0, 0, "n", "Op", "value %v is forbidden (%l..%h)", 0, 9};
static const tn_desc hand_desc = {.name = "hand",
                                  .info = "{}",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .n_site = 1,
                                  .in = hand_ios,
                                  .out = hand_ios,
                                  .in_dim = hand_dim,
                                  .out_dim = hand_dim,
                                  .workspace = hand_workspace,
                                  .scratch = hand_scratch,
                                  .program = hand_program,
                                  .site = &hand_site};
static int64_t hand_x[CELLS], hand_want[CELLS];

static tenon_status hand_run(tenon_ctx *c, const int64_t *x, int64_t *y, const tenon_run *o) {
  int64_t si[] = {CELLS}, so[1];
  tenon_value in = tenon_dense(x, 0, kDLInt, 64, 1, si), out = tenon_dense(y, CELLS * 8, kDLInt, 64, 1, so);
  return tn_exec(c, &in, &out, o);
}
static tenon_model *hand_open(uint32_t threads, const tenon_executor *ex) {
  tenon_open o = {.size = sizeof o, .threads = threads, .spin_us = 20, .executor = ex};
  tenon_model *m;
  MUST(!tn_open(&hand_desc, &o, &m, NULL));
  return m;
}
static tenon_ctx *hand_context(tenon_model *m) {
  tenon_ctx *c;
  MUST(!tn_context(m, &c, NULL));
  return c;
}
static void hand_reference(void) { // one thread: what every other way must give
  for (int i = 0; i < CELLS; i++) hand_x[i] = i * 12345;
  tenon_model *m = hand_open(1, NULL);
  tenon_ctx *c = hand_context(m);
  MUST(!hand_run(c, hand_x, hand_want, NULL));
  tn_release(c), tn_close(m);
}
