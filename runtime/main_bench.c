/* main_bench.c - the verbs bench and selftest. A sample is one run, or for very short runs the mean of a batch that takes at least twenty
   times the clock's cost. */
#include "main.h"
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_SAMPLES = 200000, MIN_SAMPLES = 10, WARM_NS = 200000000, CLOCK_NS = 50 };

static void sort(int64_t *v, int n) { /* shell sort: qsort is not among the imports */
  for (int g = n / 2; g; g /= 2)
    for (int i = g; i < n; i++)
      for (int k = i; k >= g && v[k - g] > v[k]; k -= g) {
        int64_t t = v[k];
        v[k] = v[k - g], v[k - g] = t;
      }
}
static int64_t rank_of(const int64_t *sorted, int n, int percent) { /* nearest rank */
  int k = (int)(((int64_t)n * percent + 99) / 100);
  return sorted[k > 0 ? k - 1 : 0];
}
typedef struct Usage {
  long rss_kb, involuntary;
} Usage;
static Usage usage(void) {
  struct rusage u;
  memset(&u, 0, sizeof u);
  syscall(SYS_getrusage, RUSAGE_SELF, &u);
  return (Usage){u.ru_maxrss, u.ru_nivcsw};
}
typedef struct Bench {
  int64_t *t, init;
  int n, batch;
  long switches;
} Bench;
static int warm_up(Main *m, Bench *b) {
  b->batch = 1;
  for (int64_t start = now_ns(), k = 0; k < 3 || now_ns() - start < WARM_NS; k++) {
    int64_t from = now_ns();
    int bad = main_status(m, m->api->run(m->ctx, m->in, m->out, NULL));
    int64_t took = now_ns() - from;
    if (bad) return bad;
    if (!k) b->init = from + took - m->t0;
    if (k > 2)
      while (took > 0 && b->batch * took < 20 * CLOCK_NS && b->batch < 1000) b->batch *= 2;
  }
  return 0;
}
static void measure(Main *m, Bench *b) {
  long before = usage().involuntary;
  int64_t end = now_ns() + (int64_t)(m->seconds * 1e9);
  while (b->n < MAX_SAMPLES && (b->n < MIN_SAMPLES || now_ns() < end)) {
    int64_t from = now_ns();
    for (int k = 0; k < b->batch; k++) m->api->run(m->ctx, m->in, m->out, NULL);
    b->t[b->n++] = (now_ns() - from) / b->batch;
  }
  b->switches = usage().involuntary - before;
}
static bool noisy(const Bench *b, int64_t *half) { /* half: room for all samples */
  int64_t median[2];
  int n = b->n / 2;
  for (int h = 0; h < 2; h++) {
    memcpy(half, b->t + h * (b->n - n), (size_t)n * 8);
    sort(half, n);
    median[h] = rank_of(half, n, 50);
  }
  int64_t lo = median[0] < median[1] ? median[0] : median[1], diff = median[0] + median[1] - 2 * lo;
  return diff * 20 > lo || b->switches * 100 > (long)b->n * b->batch;
}
static int used_threads(const Main *m) { /* as the model says */
  const char *p = strstr(m->api->describe(m->model), "\"threads\":");
  int n = 0;
  for (p = p ? p + 10 : ""; *p >= '0' && *p <= '9'; p++) n = n * 10 + (*p - '0');
  return n;
}
int verb_bench(Main *m) {
  Bench b = {.t = take(MAX_SAMPLES * 8)};
  int bad = main_open(m);
  if (!bad) bad = main_inputs(m, true);
  main_outputs(m);
  if (!bad) bad = warm_up(m, &b);
  if (bad) return bad;
  measure(m, &b);
  bool rough = noisy(&b, take((uint64_t)b.n * 8));
  char p99[32] = "null";
  sort(b.t, b.n);
  if (b.n >= 100) snprintf(p99, sizeof p99, "%.3f", (double)rank_of(b.t, b.n, 99) / 1e3);
  say(1,
      m->json ? "{\"median_us\":%.3f,\"p99_us\":%s,\"min_us\":%.3f,\"runs\":%lld,\"threads\":%d,\"init_us\":%.3f,\"peak_rss_kb\":%ld,"
                "\"batch\":%d,\"noisy\":%s}\n"
              : "median %.3f us, p99 %s, min %.3f, %lld runs, %d threads; first result after %.3f us; peak memory %ld KB (batch %d, noisy: "
                "%s)\n",
      (double)rank_of(b.t, b.n, 50) / 1e3, p99, (double)b.t[0] / 1e3, (long long)b.n * b.batch, used_threads(m), (double)b.init / 1e3,
      usage().rss_kb, b.batch, rough ? "true" : "false");
  return 0;
}

/* ---- selftest: made-up inputs of the smallest sizes, 1 and 2 threads, equal bits ---- */
static bool same(const tenon_value *a, const tenon_value *b) {
  if (a->kind != b->kind) return false;
  if (a->kind != TENON_TENSOR) {
    if (a->n != b->n) return false;
    for (uint64_t i = 0; i < a->n; i++)
      if (!same(&a->item[i], &b->item[i])) return false;
    return true;
  }
  if (a->t.ndim != b->t.ndim || memcmp(a->t.shape, b->t.shape, (size_t)a->t.ndim * 8)) return false;
  int32_t d = tn_dtype_of(a->t.dtype);
  const tenon_str *x = a->t.data, *y = b->t.data;
  uint64_t n = value_count(a);
  if (d != TN_STR) return !tn_bytes(d, n) || !memcmp(x, y, tn_bytes(d, n));
  for (uint64_t i = 0; i < n; i++)
    if (x[i].len != y[i].len || (x[i].len && memcmp(x[i].data, y[i].data, x[i].len))) return false;
  return true;
}
int verb_selftest(Main *m) {
  tenon_value *first = NULL;
  for (m->threads = 1; m->threads <= 2; m->threads++) {
    int bad = main_open(m);
    if (!bad && !first) bad = main_inputs(m, true);
    main_outputs(m);
    for (int k = 0; k < 2 && !bad; k++) bad = main_status(m, m->api->run(m->ctx, m->in, m->out, NULL)); /* a context is used again */
    if (bad) return bad;
    if (!first) { /* its context stays open: the values live there */
      first = m->out;
      m->out = take((m->api->n_out + 1u) * sizeof *m->out);
      continue;
    }
    for (uint32_t k = 0; k < m->api->n_out; k++)
      if (!same(&first[k], &m->out[k])) return complain(MAIN_BUG, "output '%s' differs between 1 and 2 threads", m->api->out[k]->name);
  }
  say(1, "ok: %u outputs, 1 and 2 threads give equal bits\n", m->api->n_out);
  return 0;
}
