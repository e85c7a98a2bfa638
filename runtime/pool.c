/* pool.c - claiming threads. One thread, the caller, walks the program; the others help with the stage it is at.

   A stage is n chunks. Chunk numbers are split into one range ("lane") per thread. Everybody claims from its own lane first,
   then from the others'. The caller waits only for chunks somebody has claimed, so a helper that is late, parked, descheduled
   or lost in a fork costs speed, never progress, and helpers need not leave a stage before the next one is published:

   A lane is one word {next:32, end:32}; a claim is an atomic add to it. It does not matter which stage a helper thinks it is
   in: all lanes are used up when a stage ends, the next job is written before its lanes are filled (release, acquire), and a
   claim keeps its job alive until it is counted in `done`. Hence the one rule: task, argument and n are read after the claim,
   never before.

   In a virtual machine a parked helper was seen to wake on the caller's own CPU and to starve there for up to a tick (4 ms); probably
   Linux takes a halted CPU for a preempted one. So there, before a wake-up, the helpers' masks lose the caller's CPU; they restore it at
   once. */
#include "runtime/pool.h"
#ifdef __x86_64__
#include <cpuid.h>
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = TN_MAX_THREADS, YIELD_NS = 5000 };
#ifdef TN_PAUSE /* tests: a random pause wherever another thread could come between */
void TN_PAUSE(void);
#else
#define TN_PAUSE() ((void)0)
#endif
typedef struct {
  _Alignas(64) _Atomic uint64_t word;
} Lane;
typedef struct {
  unsigned long bits[16];
  long bytes;
} Cpus;

struct tn_pool {
  _Alignas(64) _Atomic uint32_t epoch; /* helpers spin, then sleep, on this word */
  _Atomic uint32_t sleepers, quit, width;
  _Alignas(64) _Atomic uint32_t done; /* chunks finished in this epoch; the caller sleeps on it */
  _Atomic uint32_t waiting;
  _Alignas(64) tn_task *task; /* the job: written by the caller between epochs, read after a claim */
  void *arg;
  const volatile int32_t *cancel;
  uint32_t n;
  _Alignas(64) _Atomic uint32_t busy; /* one caller at a time; a second one works alone */
  uint32_t threads, started, spin_ns;
  void *pin; /* dlopen reference on the library this code is in */
  char name[16];
  pthread_t tid[MAX_THREADS];
  bool vm;
  Cpus cpus; /* the affinity mask helpers inherit */
  _Atomic int ktid[MAX_THREADS];
  Lane lane[MAX_THREADS];
};
typedef struct {
  tn_pool *pool;
  uint32_t me;
} Start;

#pragma weak dladdr
#pragma weak dlopen

static void relax(void) {
#ifdef __x86_64__
  __builtin_ia32_pause();
#elif defined __aarch64__
  __asm__ volatile("isb" ::: "memory");
#endif
}
static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
static void futex_wait(_Atomic uint32_t *w, uint32_t seen) { syscall(SYS_futex, w, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }
static void futex_wake(_Atomic uint32_t *w, int n) { syscall(SYS_futex, w, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0); }

static Cpus cpus_allowed(void) {
  Cpus c = {0};
  c.bytes = syscall(SYS_sched_getaffinity, 0, sizeof c.bits, c.bits);
  return c;
}
static Cpus cpus_elsewhere(const Cpus *all) { /* without the one we are on */
  Cpus c = *all;
  unsigned cpu = 0;
  syscall(SYS_getcpu, &cpu, NULL, NULL);
  if (cpu < 1024) c.bits[cpu / 64] &= ~(1ul << cpu % 64);
  return c;
}
static bool in_vm(void) {
#ifdef __x86_64__
  unsigned a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && c >> 31;
#else
  return false;
#endif
}

/* Waits until *w != seen: pauses, after 5 us gives its core away to whoever is ready, after `ns` returns all the same. */
static uint32_t spin(_Atomic uint32_t *w, uint32_t seen, uint64_t ns) {
  uint32_t v;
  for (uint64_t t0 = 0;;) {
    for (int i = 0; i < 32; i++) {
      if ((v = atomic_load_explicit(w, memory_order_acquire)) != seen) return v;
      relax();
    }
    uint64_t t = now_ns();
    if (!t0) t0 = t;
    if (t - t0 > ns) return seen;
    if (t - t0 > YIELD_NS) syscall(SYS_sched_yield);
  }
}

/* Claims chunks until none is left. */
static void claim(tn_pool *p, uint32_t me, uint32_t width) {
  uint32_t ran = 0, n = 0;
  for (uint32_t k = 0; k < width; k++) {
    _Atomic uint64_t *lane = &p->lane[(me + k) % width].word;
    for (;;) {
      uint64_t v = atomic_load_explicit(lane, memory_order_relaxed); /* do not write to lanes that are used up */
      if (v >> 32 >= (uint32_t)v) break;
      TN_PAUSE();
      v = atomic_fetch_add_explicit(lane, 1ull << 32, memory_order_acquire);
      if (v >> 32 >= (uint32_t)v) break;
      if (!p->cancel || !*p->cancel) p->task(p->arg, (uint32_t)(v >> 32), me);
      n = p->n, ran++;
    }
  }
  TN_PAUSE();
  /* From here on the job may be over. Sequentially consistent against the caller's `waiting`. */
  if (ran && atomic_fetch_add(&p->done, ran) + ran == n && atomic_load(&p->waiting)) futex_wake(&p->done, 1);
}

static void *helper(void *start) {
  tn_pool *p = ((Start *)start)->pool;
  uint32_t me = ((Start *)start)->me, seen = 0;
  free(start);
  syscall(SYS_prctl, PR_SET_NAME, p->name);
  if (p->vm) syscall(SYS_sched_setaffinity, 0, p->cpus.bytes, p->cpus.bits);
  atomic_store(&p->ktid[me], (int)syscall(SYS_gettid));
  tn_fp_enter();
  for (;;) {
    uint32_t e = spin(&p->epoch, seen, p->spin_ns);
    while (e == seen) {
      TN_PAUSE();
      atomic_fetch_add(&p->sleepers, 1); /* before the kernel compares: a caller that published in between sees it */
      futex_wait(&p->epoch, seen);
      e = atomic_load(&p->epoch);
      if (p->vm) syscall(SYS_sched_setaffinity, 0, p->cpus.bytes, p->cpus.bits);
    }
    if (atomic_load(&p->quit)) return NULL;
    seen = e;
    uint32_t width = atomic_load_explicit(&p->width, memory_order_relaxed); /* a stale one costs speed only */
    if (me < width) claim(p, me, width);
  }
}

/* Threads start with the first stage worth it. Signals stay with the host's threads. */
static void start(tn_pool *p) {
  p->started = 1;
  p->vm = in_vm();
  p->cpus = cpus_allowed();
  Dl_info di;
  if (dladdr && dlopen && dladdr((void *)helper, &di)) p->pin = dlopen(di.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  sigset_t all, old;
  memset(&all, 0xff, sizeof all);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  Cpus away = cpus_elsewhere(&p->cpus);
  if (p->vm && away.bytes > 0) pthread_attr_setaffinity_np(&small, (size_t)away.bytes, (cpu_set_t *)away.bits);
  for (; p->started < p->threads; p->started++) {
    Start *s = malloc(sizeof *s);
    if (!s) break;
    *s = (Start){p, p->started};
    pthread_t *tid = &p->tid[p->started];
    /* glibc takes the static TLS out of the stack: a host with a lot of it gets EINVAL for a small one */
    if (pthread_create(tid, &small, helper, s) && pthread_create(tid, NULL, helper, s)) {
      free(s);
      break;
    }
  }
  pthread_attr_destroy(&small);
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, 8);
}

static void wake(tn_pool *p, uint32_t width) {
  Cpus away = p->vm ? cpus_elsewhere(&p->cpus) : p->cpus;
  for (uint32_t i = 1; p->vm && i < width; i++) {
    int tid = atomic_load_explicit(&p->ktid[i], memory_order_relaxed);
    if (tid) syscall(SYS_sched_setaffinity, tid, away.bytes, away.bits); /* fails harmlessly when there is no other CPU */
  }
  futex_wake(&p->epoch, (int)p->threads);
}
static void alone(uint32_t n, tn_task *task, void *arg, const volatile int32_t *cancel) {
  for (uint32_t i = 0; i < n && !(cancel && *cancel); i++) task(arg, i, 0);
}

void tn_pool_run(tn_pool *p, uint32_t width, uint32_t n, tn_task *task, void *arg, const volatile int32_t *cancel) {
  if (!p || width < 2 || n < 2 || atomic_exchange_explicit(&p->busy, 1, memory_order_acquire)) {
    alone(n, task, arg, cancel); /* also a run inside a task: the pool is busy with the outer one */
    return;
  }
  if (!p->started) start(p);
  if (width > p->started) width = p->started;
  uint32_t e = atomic_load_explicit(&p->epoch, memory_order_relaxed) + 1;
  p->task = task, p->arg = arg, p->cancel = cancel, p->n = n;
  atomic_store_explicit(&p->done, 0, memory_order_relaxed);
  atomic_store_explicit(&p->waiting, 0, memory_order_relaxed);
  atomic_store_explicit(&p->width, width, memory_order_relaxed);
  for (uint32_t i = 0; i < width; i++) {
    uint64_t lo = (uint64_t)n * i / width, hi = (uint64_t)n * (i + 1) / width;
    TN_PAUSE();
    atomic_store_explicit(&p->lane[i].word, lo << 32 | hi, memory_order_release);
  }
  atomic_store(&p->epoch, e);
  if (atomic_load(&p->sleepers) && atomic_exchange(&p->sleepers, 0)) wake(p, width);
  claim(p, 0, width);
  for (uint32_t d; (d = atomic_load_explicit(&p->done, memory_order_acquire)) != n;) {
    if (spin(&p->done, d, p->spin_ns) != d) continue;
    atomic_store(&p->waiting, 1);
    TN_PAUSE();
    futex_wait(&p->done, d);
  }
  atomic_store_explicit(&p->busy, 0, memory_order_release);
}

tn_pool *tn_pool_new(uint32_t threads, uint32_t spin_us, const char *name) {
  void *mem;
  if (posix_memalign(&mem, 64, sizeof(tn_pool))) return NULL;
  tn_pool *p = memset(mem, 0, sizeof *p);
  p->threads = threads < MAX_THREADS ? threads : MAX_THREADS;
  p->spin_ns = spin_us * 1000;
  snprintf(p->name, sizeof p->name, "tn/%s", name);
  return p;
}

void *tn_pool_free(tn_pool *p) {
  if (!p) return NULL;
  void *pin = p->pin;
  atomic_store(&p->quit, 1);
  atomic_fetch_add(&p->epoch, 1);
  futex_wake(&p->epoch, MAX_THREADS);
  for (uint32_t i = 1; i < p->started; i++) pthread_join(p->tid[i], NULL);
  free(p);
  return pin;
}
