/* emu.h - CUDA kernels on the CPU: included before the text that cuda_text prints, and compiled as C with it. Blocks run one after
   another, the threads of a block are fibers that change at barriers only, in rising or falling order of their number. So a missing
   barrier shows: what another thread has not written yet is NaN (shared memory and scratch start as 0xff bytes), in one order or the
   other. A barrier that not all threads reach ends the test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { EMU_STACK = 256 << 10, EMU_THREADS = 1024 };
typedef struct emu_fiber {
  ucontext_t at;
  char *stack;
  int done, x, y;
} emu_fiber;
static struct {
  emu_fiber fiber[EMU_THREADS];
  ucontext_t scheduler;
  emu_fiber *now;
  unsigned char *shared;
  long long block, barriers;
  void (*run)(void **);
  void **args;
} emu;

static int emu_thread(int dim) { return dim ? emu.now->y : emu.now->x; }
static long long emu_block(void) { return emu.block; }
static unsigned char *emu_shared(void) { return emu.shared; }
static void emu_sync(void) { swapcontext(&emu.now->at, &emu.scheduler); }

static void emu_entry(void) {
  emu.run(emu.args);
  emu.now->done = 1;
}

static void emu_start(emu_fiber *f, int x, int y) {
  if (!f->stack) f->stack = malloc(EMU_STACK);
  f->done = 0, f->x = x, f->y = y;
  getcontext(&f->at);
  f->at.uc_stack.ss_sp = f->stack;
  f->at.uc_stack.ss_size = EMU_STACK;
  f->at.uc_link = &emu.scheduler;
  makecontext(&f->at, emu_entry, 0);
}

static int emu_round(int n, int falling) { /* every thread up to its next barrier; how many are done */
  int done = 0;
  for (int i = 0; i < n; i++) {
    emu.now = &emu.fiber[falling ? n - 1 - i : i];
    swapcontext(&emu.scheduler, &emu.now->at);
    done += emu.now->done;
  }
  return done;
}

/* 0, or -1: a barrier was not reached by all threads */
int emu_launch(void (*run)(void **), void **args, long long grid, int x, int y, long long shared, int falling) {
  emu.run = run, emu.args = args;
  emu.shared = malloc((size_t)shared + 128);
  for (emu.block = 0; emu.block < grid; emu.block++) {
    memset(emu.shared, 0xff, (size_t)shared + 128);
    for (int i = 0; i < x * y; i++) emu_start(&emu.fiber[i], i % x, i / x);
    for (;;) {
      int done = emu_round(x * y, falling);
      if (done == x * y) break;
      if (done) return -1;
      emu.barriers++;
    }
  }
  free(emu.shared);
  return 0;
}
