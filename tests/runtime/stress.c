// stress.c - the pool and the runs of a hand-made model, for ThreadSanitizer and AddressSanitizer: RUNS runs on 8 threads, several host
// threads at once, so that callers find the pool busy, helpers come late, and models are opened and closed all the time.
//   stress [RUNS]; stress 0 DIR prints the cgroup quota of a fake /proc and /sys below DIR
#include "tests/runtime/handmade.h"
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
enum { THREADS = 8, HOSTS = 3, ROUNDS = 10 };

#ifdef TN_PAUSE
void TN_PAUSE(void);
void TN_PAUSE(void) { // a random pause wherever another thread could come between
  static _Thread_local uint32_t seed;
  if (!seed) seed = (uint32_t)(uintptr_t)&seed >> 4 | 1;
  seed = seed * 1664525u + 1013904223u;
  if (seed >> 24 < 2) usleep(seed >> 16 & 127);
  else if (seed >> 24 < 24) sched_yield();
}
#endif
static int runs;
static void *host(void *arg) {
  int64_t y[CELLS];
  int32_t stop = 1;
  for (int i = 0; i < runs; i++) {
    tenon_run r = {.size = sizeof r, .threads = (uint32_t)(i % (THREADS + 1))};
    MUST(!hand_run(arg, hand_x, y, &r) && !memcmp(y, hand_want, sizeof y));
  }
  tenon_run r = {.size = sizeof r, .cancel = &stop};
  MUST(hand_run(arg, hand_x, y, &r) == TENON_E_CANCELLED);
  tn_release(arg);
  return NULL;
}
int main(int argc, char **argv) {
  runs = argc > 1 ? atoi(argv[1]) : 10000;
  if (argc > 2) return printf("%u\n", tn_quota(argv[2])), 0;
  hand_reference();
  runs /= ROUNDS;
  for (int r = 0; r < ROUNDS; r++) { // one host thread: helpers really help; then three
    tenon_model *m = hand_open(THREADS, NULL);
    int hosts = r & 1 ? HOSTS : 1;
    pthread_t t[HOSTS];
    for (int i = 0; i < hosts; i++) MUST(!pthread_create(&t[i], NULL, host, hand_context(m)));
    tn_close(m); // contexts keep it alive; the last of them joins
    for (int i = 0; i < hosts; i++) pthread_join(t[i], NULL);
  }
  printf("%d threads, %d runs of %d phases: same bits\n", THREADS, runs * ROUNDS, PHASES);
}
