// misuse.c - a host that is not kind to the runtime: forks in the middle of runs, flips the floating-point control word, brings its own
// executor, runs many contexts at once, passes wrong values, opens with structs of other sizes.
#include "tests/runtime/handmade.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

static void check_errors(void) {
  tenon_model *m = hand_open(1, NULL);
  tenon_ctx *c = hand_context(m);
  int64_t y[CELLS], si[2] = {CELLS, 1}, so[1], strides[1] = {2};
  tenon_error e = {.size = sizeof e};
  tenon_value in, out;
#define EXPECT(status, words, ...)                                                                                                         \
  do {                                                                                                                                     \
    in = tenon_dense(hand_x, 0, kDLInt, 64, 1, si), out = tenon_dense(y, sizeof y, kDLInt, 64, 1, so), si[0] = CELLS;                      \
    __VA_ARGS__;                                                                                                                           \
    MUST(tn_exec(c, &in, &out, NULL) == (status));                                                                                         \
    tn_last_error(c, &e);                                                                                                                  \
    if (!strstr(e.text, words)) printf("FAILED: '%s' does not say '%s'\n", e.text, words), exit(1);                                        \
  } while (0)
  EXPECT(TENON_E_TYPE, "input 0 'x': expects int64, got float", in.t.dtype = (DLDataType){kDLFloat, 32, 1});
  EXPECT(TENON_E_TYPE, "expects a tensor", in.kind = TENON_SEQUENCE);
  EXPECT(TENON_E_TYPE, "is missing", in.kind = TENON_ABSENT);
  EXPECT(TENON_E_SHAPE, "expects rank 1, got 2", in.t.ndim = 2);
  EXPECT(TENON_E_SHAPE, "dim 0 expects 768, got 5", si[0] = 5);
  EXPECT(TENON_E_SHAPE, "stride 2", in.t.strides = strides);
  EXPECT(TENON_E_ARG, "data is NULL", in.t.data = NULL);
  EXPECT(TENON_E_ARG, "device type 2", in.t.device.device_type = kDLCUDA);
  EXPECT(TENON_E_ARG, "shape is NULL", in.t.shape = NULL);
  EXPECT(TENON_E_ARG, "output 0 'x': shape is NULL", out.t.shape = NULL);
  EXPECT(TENON_E_SPACE, "needs 6144 bytes, capacity is 8", out.capacity = 8);
  MUST(out.need == CELLS * 8);
  out.capacity = sizeof y, memset(y, 0, sizeof y);
  MUST(!tn_collect(c, &out) && !memcmp(y, hand_want, sizeof y));
  MUST(tn_collect(c, &out) == TENON_E_ARG);
  EXPECT(TENON_E_ARG, "overlaps input 0", out.t.data = (char *)hand_x + 6136);
  EXPECT(TENON_OK, "", in.t.strides = (int64_t[]){1});
  EXPECT(TENON_OK, "", in.t.data = (char *)hand_x - 16, in.t.byte_offset = 16);
  MUST(!memcmp(y, hand_want, sizeof y));
  EXPECT(TENON_OK, "", out.t.data = NULL); // lent, and again with the value that the first run filled in
  MUST(out.flags == TENON_LENT && !tn_exec(c, &in, &out, NULL) && !memcmp(out.t.data, hand_want, sizeof y));
  EXPECT(TENON_OK, "", out.kind = TENON_ABSENT);
  struct {
    uint32_t size;
    int32_t status, node, value;
    char text[16];
  } old = {.size = 32}; // a reader with a smaller struct
  EXPECT(TENON_E_SHAPE, "rank", in.t.ndim = 2);
  tn_last_error(c, (tenon_error *)(void *)&old);
  MUST(old.status == TENON_E_SHAPE && !old.text[15] && strlen(old.text) == 15);
  tenon_run r = {.size = sizeof r, .workspace = (void *)64, .workspace_size = 10};
  MUST(hand_run(c, hand_x, y, &r) == TENON_E_SPACE);
  r.workspace = (void *)65;
  MUST(hand_run(c, hand_x, y, &r) == TENON_E_ARG);
  tenon_plan p = {.size = sizeof p};
  in.t.ndim = 1;
  MUST(!tn_plan(c, &in, &out, &p) && p.workspace);
  r.workspace = aligned_alloc(64, (p.workspace + 63) / 64 * 64), r.workspace_size = p.workspace;
  MUST(!hand_run(c, hand_x, y, &r) && !memcmp(y, hand_want, sizeof y));
  free(r.workspace);
  r = (tenon_run){.size = sizeof r, .stream = 1};
  MUST(hand_run(c, hand_x, y, &r) == TENON_E_ARG);
  tenon_open o = {.size = sizeof o, .device = {kDLCUDA, 0}};
  tenon_model *none;
  MUST(tn_open(&hand_desc, &o, &none, &e) == TENON_E_DEVICE && !none);
  o = (tenon_open){.size = sizeof o, .cpu = "x86-64-v9"};
  MUST(tn_open(&hand_desc, &o, &none, &e) == TENON_E_HARDWARE);
  tn_release(c), tn_close(m);
}
typedef struct Loop {
  tenon_ctx *c;
  int64_t y[CELLS];
  _Atomic int stop, runs;
} Loop;
static void *loop(void *p) {
  Loop *a = p;
  for (; !a->stop; a->runs++) MUST(!hand_run(a->c, hand_x, a->y, NULL));
  return NULL;
}
static void check_fork(int n) {
  tenon_model *m = hand_open(2, NULL);
  tenon_ctx *mine = hand_context(m);
  int64_t y[CELLS];
  int busy = 0;
  Loop a = {.c = hand_context(m)};
  pthread_t t;
  MUST(!hand_run(mine, hand_x, y, NULL));
  pthread_create(&t, NULL, loop, &a);
  for (int i = 0; i < n; i++) {
    usleep(300);
    pid_t pid = fork();
    if (!pid) { // the other thread in the middle of a run, the pool locked, the helpers gone
      alarm(10);
      tenon_status s = hand_run(a.c, hand_x, y, NULL);
      for (int k = 0; k < 2; k++) MUST(!hand_run(mine, hand_x, y, NULL) && !memcmp(y, hand_want, sizeof y));
      tn_release(mine), tn_release(a.c), tn_close(m);
      _exit(s == TENON_E_BUSY ? 1 : s == TENON_OK ? 0 : 9);
    }
    int st;
    waitpid(pid, &st, 0);
    MUST(WIFEXITED(st) && WEXITSTATUS(st) <= 1);
    busy += WEXITSTATUS(st);
  }
  atomic_store(&a.stop, 1), pthread_join(t, NULL);
  printf("%d forks during %d runs: every child right, %d found the other's context busy\n", n, a.runs, busy);
  tn_release(mine), tn_release(a.c), tn_close(m);
}
static void check_control_word(void) {
#ifdef __x86_64__
  for (uint32_t threads = 1; threads <= 2; threads++)
    for (int first = 0; first < 2; first++) { // what the first run has is what helpers inherit; then the other way round
      tenon_model *m = hand_open(threads, NULL);
      tenon_ctx *c = hand_context(m);
      for (int i = 0; i < 20; i++) {
        unsigned want = (unsigned)(0x1f80 | ((first ^ i) & 1 ? 0x8040 : 0));
        int64_t y[CELLS];
        _mm_setcsr(want);
        tenon_status s = hand_run(c, hand_x, y, NULL);
        unsigned after = _mm_getcsr() & ~0x3fu;
        _mm_setcsr(0x1f80);
        MUST(!s && after == want && !memcmp(y, hand_want, sizeof y));
      }
      tn_release(c), tn_close(m);
    }
#endif
}
static void check_data_error(void) {
  static int64_t x[CELLS], y[CELLS];
  for (uint32_t n = 1; n <= 3; n++) {
    tenon_model *m = hand_open(n, NULL);
    tenon_ctx *c = hand_context(m);
    tenon_error e = {.size = sizeof e};
    for (int i = 0; i < 50; i++) {
      memcpy(x, hand_x, sizeof x), x[700] = x[300] = 4711;
      MUST(hand_run(c, x, y, NULL) == TENON_E_DATA);
      tn_last_error(c, &e);
      MUST(!strcmp(e.text, "node 0 'n' (Op): value 4711 is forbidden (0..9)") && e.node == 0);
      MUST(!hand_run(c, hand_x, y, NULL) && !memcmp(y, hand_want, sizeof y)); // the context goes on
    }
    tn_release(c), tn_close(m);
  }
}
static void backwards(void *user, void (*task)(void *, uint32_t), void *arg, uint32_t n) {
  ++*(int *)user;
  while (n) task(arg, --n);
}
static void check_executors(void) {
  int calls = 0;
  int64_t y[CELLS];
  tenon_executor ex = {sizeof ex, 3, &calls, backwards};
  tenon_model *serial = hand_open(0, &ex), *lender = hand_open(2, NULL), *guest = hand_open(0, tn_executor(lender));
  tenon_ctx *c[] = {hand_context(serial), hand_context(guest)};
  for (int k = 0; k < 20; k++)
    for (int i = 0; i < 2; i++) MUST(!hand_run(c[i], hand_x, y, NULL) && !memcmp(y, hand_want, sizeof y));
  MUST(calls);
  tn_release(c[0]), tn_release(c[1]), tn_close(serial), tn_close(guest), tn_close(lender);
}
static void check_parallel(void) { // many contexts of one model at once
  enum { N = 4 };
  static Loop a[N];
  tenon_model *m = hand_open(2, NULL);
  pthread_t t[N];
  for (int i = 0; i < N; i++) a[i].c = hand_context(m), pthread_create(&t[i], NULL, loop, &a[i]);
  usleep(200000);
  for (int i = 0; i < N; i++) atomic_store(&a[i].stop, 1), pthread_join(t[i], NULL), tn_release(a[i].c);
  for (int i = 0; i < N; i++) MUST(a[i].runs && !memcmp(a[i].y, hand_want, sizeof a[i].y));
  tn_close(m);
}
int main(int argc, char **argv) {
  hand_reference();
  check_errors();
  check_control_word();
  check_data_error();
  check_executors();
  check_parallel();
  check_fork(argc > 1 ? atoi(argv[1]) : 50); // 0 under ThreadSanitizer, which dislikes forks with threads
  printf("ok\n");
}
