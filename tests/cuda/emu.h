/* emu.h - CUDA kernels on the CPU: included before the text that cuda_text prints, and compiled as C with it. Blocks run one after
   another, the threads of a block one after another up to the next barrier, all in rising or all in falling order. So a missing
   barrier shows: what another thread has not written yet is NaN (shared memory and scratch start as 0xff bytes), in one order or the
   other. A barrier that not all threads reach ends the test. A thread that waits keeps its fiber; a fiber whose thread has ended takes
   the next one, so that threads without barriers cost no switch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EMU_STACK = 256 << 10, EMU_THREADS = 1024 };

/* ---- fibers ---- */
#ifdef __x86_64__
typedef void *emu_context; /* its stack pointer; what a call must preserve lies there */
void emu_switch(emu_context *from, emu_context *to);
__asm__(".text\nemu_switch:\n"
        "  push %rbp\n  push %rbx\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n  mov %rsp, (%rdi)\n  mov (%rsi), %rsp\n"
        "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbx\n  pop %rbp\n  ret\n");
static void emu_context_new(emu_context *c, char *stack, void (*entry)(void)) {
  void **top = (void **)(stack + EMU_STACK) - 1; /* as a call leaves it: the alignment of stacks counts from here */
  top[-1] = (void *)entry, top[0] = NULL;
  *c = top - 7;
}
#else
#include <ucontext.h>
typedef ucontext_t emu_context;
static void emu_switch(emu_context *from, emu_context *to) { swapcontext(from, to); }
static void emu_context_new(emu_context *c, char *stack, void (*entry)(void)) {
  getcontext(c);
  c->uc_stack.ss_sp = stack, c->uc_stack.ss_size = EMU_STACK, c->uc_link = NULL;
  makecontext(c, entry, 0);
}
#endif

typedef struct emu_fiber {
  emu_context at;
  char *stack;
  int waits, thread; /* at a barrier; the number of its thread */
} emu_fiber;
static emu_fiber emu_fibers[EMU_THREADS];
static emu_context emu_scheduler;
static emu_fiber *emu_now;
static int emu_x, emu_y, emu_width, emu_count, emu_taken, emu_falling; /* of the running thread; of the block; threads started */
static long long emu_number;
static unsigned char *emu_memory;
static void (*emu_run)(void **);
static void **emu_args;

static inline int emu_thread(int dim) { return dim ? emu_y : emu_x; }
static inline long long emu_block(void) { return emu_number; }
static inline unsigned char *emu_shared(void) { return emu_memory; }

static void emu_enter(emu_fiber *f) { /* its thread runs */
  int i = emu_falling ? emu_count - 1 - f->thread : f->thread;
  emu_now = f, emu_x = i % emu_width, emu_y = i / emu_width;
}

static void emu_sync(void) {
  emu_fiber *f = emu_now;
  f->waits = 1;
  emu_switch(&f->at, &emu_scheduler);
}

static void emu_fiber_main(void) {
  for (;;) {
    emu_fiber *f = emu_now;
    while (emu_taken < emu_count) {
      f->thread = emu_taken++;
      emu_enter(f);
      emu_run(emu_args);
    }
    emu_switch(&f->at, &emu_scheduler);
  }
}

static void emu_resume(emu_fiber *f) {
  if (!f->stack) emu_context_new(&f->at, f->stack = malloc(EMU_STACK), emu_fiber_main);
  if (f->waits) emu_enter(f);
  emu_now = f, f->waits = 0;
  emu_switch(&emu_scheduler, &f->at);
}

/* ---- blocks ---- */

static int emu_one_block(void) { /* 0, or -1: a barrier was not reached by all threads */
  int n = 0, waiting;
  for (emu_taken = 0; emu_taken < emu_count; n++) emu_resume(&emu_fibers[n]);
  for (;;) {
    waiting = 0;
    for (int i = 0; i < n; i++) waiting += emu_fibers[i].waits;
    if (waiting == 0) return 0;
    if (waiting < emu_count) return -1;
    for (int i = 0; i < n; i++) emu_resume(&emu_fibers[i]);
  }
}

int emu_launch(void (*run)(void **), void **args, long long grid, int x, int y, long long shared, int falling) {
  int bad = 0;
  emu_run = run, emu_args = args, emu_width = x, emu_count = x * y, emu_falling = falling;
  emu_memory = malloc((size_t)shared + 128);
  for (long long i = 0; i < grid && !bad; i++) {
    emu_number = falling ? grid - 1 - i : i;
    memset(emu_memory, 0xff, (size_t)shared + 128);
    bad = emu_one_block();
  }
  free(emu_memory);
  return bad;
}
