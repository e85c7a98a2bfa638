// measure.c - times an artifact in one process beside its rivals, interleaved, so that both see the same machine.
//
//   measure [--ort LIBONNXRUNTIME MODEL] [--peak] [--threads N] [--seconds S] ARTIFACT.so NAME INPUT.npy...
//
// --ort runs the same model in ONNX Runtime through its C library, --peak measures the fused multiply-adds that a core can do. Prints one
// line of JSON: medians in microseconds, GFLOP/s. ONNX Runtime's functions are called by their place in its table, which is part of its
// ABI, so no header of it is needed.
#include <dlfcn.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tenon_rt.h>
#include <time.h>
#include <unistd.h>

enum { MAX_IO = 128, MAX_SAMPLES = 1 << 16 };

_Noreturn static void die(const char *what, const char *detail) {
  fprintf(stderr, "measure: %s: %s\n", what, detail ? detail : "");
  exit(1);
}

// One thread is timed by its own CPU clock: what the scheduler gives to a busy neighbour counts for nobody. More threads: wall clock.
static clockid_t timer = CLOCK_MONOTONIC;
static double seconds(void) {
  struct timespec t;
  clock_gettime(timer, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- inputs: .npy of the kinds that numpy writes for plain tensors ---- */

typedef struct Array {
  void *data;
  size_t bytes;
  int rank, onnx_type;
  int64_t dim[8];
  uint8_t code, bits;
} Array;

static const struct {
  const char *descr;
  uint8_t code, bits;
  int onnx;
} kinds[] = {
    {"<f4", kDLFloat, 32, 1},  {"|u1", kDLUInt, 8, 2},    {"|i1", kDLInt, 8, 3},    {"<u2", kDLUInt, 16, 4},
    {"<i2", kDLInt, 16, 5},    {"<i4", kDLInt, 32, 6},    {"<i8", kDLInt, 64, 7},   {"|b1", kDLBool, 8, 9},
    {"<f2", kDLFloat, 16, 10}, {"<f8", kDLFloat, 64, 11}, {"<u4", kDLUInt, 32, 12}, {"<u8", kDLUInt, 64, 13},
};

static Array read_npy(const char *path) {
  FILE *f = fopen(path, "rb");
  unsigned char head[12];
  if (!f || fread(head, 1, 10, f) != 10 || memcmp(head, "\x93NUMPY", 6)) die("not a .npy file", path);
  size_t n = head[8] | (size_t)head[9] << 8;
  if (head[6] > 1) {
    if (fread(head + 10, 1, 2, f) != 2) die("cut off", path);
    n |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
  }
  char *text = calloc(1, n + 1);
  if (fread(text, 1, n, f) != n || strstr(text, "'fortran_order': True")) die("an unusual .npy file", path);
  Array a = {0};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (strstr(text, kinds[i].descr)) a.code = kinds[i].code, a.bits = kinds[i].bits, a.onnx_type = kinds[i].onnx;
  char *p = strstr(text, "'shape': (");
  if (!a.bits || !p) die("a type that measure does not read", path);
  size_t count = 1;
  for (p += 10; *p && *p != ')';) {
    char *end;
    long long d = strtoll(p, &end, 10);
    if (end != p && a.rank < 8) a.dim[a.rank++] = d, count *= (size_t)d;
    p = end + strspn(end, ", ");
  }
  a.bytes = count * a.bits / 8;
  a.data = aligned_alloc(64, (a.bytes + 127) & ~(size_t)63);
  if (fread(a.data, 1, a.bytes, f) != a.bytes) die("cut off", path);
  fclose(f);
  free(text);
  return a;
}

/* ---- what is timed ---- */

typedef struct Timed {
  void (*run)(struct Timed *);
  double *sample; // seconds a run
  int n, batch;
} Timed;

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}
static double median(Timed *t) {
  qsort(t->sample, (size_t)t->n, sizeof *t->sample, by_size);
  return t->sample[t->n / 2];
}

static void warm(Timed *t, double for_seconds) {
  double begin = seconds();
  int n = 0;
  do t->run(t), n++;
  while (n < 3 || seconds() - begin < for_seconds);
  double each = (seconds() - begin) / n;
  t->batch = each < 50e-6 ? (int)(50e-6 / each) + 1 : 1; // a sample is long against the clock
  t->sample = malloc(sizeof *t->sample * MAX_SAMPLES);
}

static void sample(Timed *t) {
  double begin = seconds();
  for (int i = 0; i < t->batch; i++) t->run(t);
  if (t->n < MAX_SAMPLES) t->sample[t->n++] = (seconds() - begin) / t->batch;
}

/* ---- Tenon ---- */

typedef struct Ours {
  Timed t;
  const tenon_api *api;
  tenon_ctx *ctx;
  tenon_value in[MAX_IO], out[MAX_IO];
} Ours;

static void run_ours(Timed *t) {
  Ours *o = (Ours *)t;
  if (o->api->run(o->ctx, o->in, o->out, NULL)) {
    tenon_error e = {.size = sizeof e};
    o->api->last_error(o->ctx, &e);
    die("the artifact refused", e.text);
  }
}

static Ours *open_ours(const char *path, const char *name, int threads, int n, Array *a) {
  Ours *o = calloc(1, sizeof *o);
  o->t.run = run_ours;
  void *lib = dlopen(path, RTLD_NOW);
  if (!lib) die("dlopen", dlerror());
  char symbol[128];
  snprintf(symbol, sizeof symbol, "%s_api", name);
  tenon_api_fn get;
  *(void **)&get = dlsym(lib, symbol);
  if (!get || !(o->api = get(TENON_ABI))) die("no such model in the artifact", symbol);
  tenon_model *model;
  tenon_error e = {.size = sizeof e};
  tenon_open how = {.size = sizeof how, .threads = (uint32_t)threads};
  if (o->api->open(&how, &model, &e) || o->api->context(model, &o->ctx, &e)) die("open", e.text);
  for (uint32_t i = 0; i < o->api->n_in && (int)i < n; i++) {
    o->in[i] = tenon_dense(a[i].data, a[i].bytes, a[i].code, a[i].bits, a[i].rank, a[i].dim);
  }
  for (uint32_t i = 0; i < o->api->n_out; i++) o->out[i].kind = o->api->out[i]->kind;
  return o;
}

/* ---- ONNX Runtime ---- */

typedef struct Ort {
  Timed t;
  void **api, *session, *in[MAX_IO], *out[MAX_IO];
  const char *in_name[MAX_IO], *out_name[MAX_IO];
  size_t n_in, n_out;
} Ort;
typedef void *(*OrtFunction)();
enum { // places in OrtApi
  ORT_MESSAGE = 2,
  ORT_ENV = 3,
  ORT_SESSION = 7,
  ORT_RUN = 9,
  ORT_OPTIONS = 10,
  ORT_LEVEL = 23,
  ORT_INTRA_THREADS = 24,
  ORT_INTER_THREADS = 25,
  ORT_INPUTS = 30,
  ORT_OUTPUTS = 31,
  ORT_INPUT_NAME = 36,
  ORT_OUTPUT_NAME = 37,
  ORT_TENSOR = 49,
  ORT_CPU_MEMORY = 69,
  ORT_ALLOCATOR = 78,
};
#define ORT(o, place, ...) ort_check(o, ((OrtFunction)(o)->api[place])(__VA_ARGS__))
static void ort_check(Ort *o, void *status) {
  if (status) die("ONNX Runtime", ((const char *(*)(void *))o->api[ORT_MESSAGE])(status));
}

static void run_ort(Timed *t) {
  Ort *o = (Ort *)t;
  ORT(o, ORT_RUN, o->session, NULL, o->in_name, o->in, o->n_in, o->out_name, o->n_out, o->out); // outputs are reused after the first run
}

static Ort *open_ort(const char *library, const char *path, int threads, int n, Array *a) {
  Ort *o = calloc(1, sizeof *o);
  o->t.run = run_ort;
  void *lib = dlopen(library, RTLD_NOW);
  if (!lib) die("dlopen", dlerror());
  struct Base {
    void *(*api)(uint32_t);
    const char *(*version)(void);
  } *(*base)(void);
  *(void **)&base = dlsym(lib, "OrtGetApiBase");
  o->api = base()->api(13);
  void *env, *options, *allocator, *memory;
  ORT(o, ORT_ENV, 3, "measure", &env);
  ORT(o, ORT_OPTIONS, &options);
  ORT(o, ORT_INTRA_THREADS, options, threads);
  ORT(o, ORT_INTER_THREADS, options, 1);
  ORT(o, ORT_LEVEL, options, 99);
  ORT(o, ORT_SESSION, env, path, options, &o->session);
  ORT(o, ORT_ALLOCATOR, &allocator);
  ORT(o, ORT_CPU_MEMORY, 0, 0, &memory);
  ORT(o, ORT_INPUTS, o->session, &o->n_in);
  ORT(o, ORT_OUTPUTS, o->session, &o->n_out);
  if ((int)o->n_in > n) o->n_in = (size_t)n;
  for (size_t i = 0; i < o->n_in; i++) {
    ORT(o, ORT_INPUT_NAME, o->session, i, allocator, &o->in_name[i]);
    ORT(o, ORT_TENSOR, memory, a[i].data, a[i].bytes, a[i].dim, (size_t)a[i].rank, a[i].onnx_type, &o->in[i]);
  }
  for (size_t i = 0; i < o->n_out; i++) ORT(o, ORT_OUTPUT_NAME, o->session, i, allocator, &o->out_name[i]);
  return o;
}

/* ---- the peak of fused multiply-adds: independent chains, more than latency x ports ---- */

enum { CHAINS = 12, STEPS = 20000 };
typedef struct Peak {
  Timed t;
  double flops;
} Peak;

__attribute__((target("avx512f"))) static float chains512(void) {
  __m512 a[CHAINS], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(1e-3f), s = _mm512_setzero_ps();
  for (int c = 0; c < CHAINS; c++) a[c] = _mm512_set1_ps((float)c);
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) a[c] = _mm512_fmadd_ps(a[c], x, y);
  }
  for (int c = 0; c < CHAINS; c++) s = _mm512_add_ps(s, a[c]);
  return _mm512_reduce_add_ps(s);
}
__attribute__((target("avx2,fma"))) static float chains256(void) {
  __m256 a[CHAINS], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(1e-3f), s = _mm256_setzero_ps();
  for (int c = 0; c < CHAINS; c++) a[c] = _mm256_set1_ps((float)c);
  for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 12
    for (int c = 0; c < CHAINS; c++) a[c] = _mm256_fmadd_ps(a[c], x, y);
  }
  for (int c = 0; c < CHAINS; c++) s = _mm256_add_ps(s, a[c]);
  return ((float *)&s)[0];
}
static volatile float sink;
static void run_peak(Timed *t) {
  (void)t;
  sink = __builtin_cpu_supports("avx512f") ? chains512() : chains256();
}

/* ---- main ---- */

int main(int argc, char **argv) {
  const char *library = NULL, *model = NULL;
  bool peak = false;
  int threads = 1, at = 1;
  double limit = 1;
  for (; at < argc && argv[at][0] == '-'; at++) {
    if (!strcmp(argv[at], "--peak")) peak = true;
    else if (!strcmp(argv[at], "--ort") && at + 2 < argc) library = argv[at + 1], model = argv[at + 2], at += 2;
    else if (!strcmp(argv[at], "--threads") && at + 1 < argc) threads = atoi(argv[++at]);
    else if (!strcmp(argv[at], "--seconds") && at + 1 < argc) limit = atof(argv[++at]);
    else die("unknown option", argv[at]);
  }
  if (argc - at < 2 || argc - at - 2 > MAX_IO) die("usage", "measure [options] ARTIFACT.so NAME INPUT.npy...");
  int n = argc - at - 2;
  Array a[MAX_IO];
  for (int i = 0; i < n; i++) a[i] = read_npy(argv[at + 2 + i]);
  Timed *timed[3];
  int count = 0;
  if (threads == 1) timer = CLOCK_THREAD_CPUTIME_ID;
  Timed *ours = timed[count++] = &open_ours(argv[at], argv[at + 1], threads, n, a)->t, *ort = NULL;
  if (library) ort = timed[count++] = &open_ort(library, model, threads, n, a)->t;
  Peak top = {.t.run = run_peak, .flops = 2.0 * (__builtin_cpu_supports("avx512f") ? 16 : 8) * CHAINS * STEPS};
  if (peak) timed[count++] = &top.t;
  for (int i = 0; i < count; i++) warm(timed[i], 0.1);
  for (double begin = seconds(); seconds() - begin < limit || ours->n < 5;)
    for (int i = 0; i < count; i++) sample(timed[i]);
  printf("{\"tenon_us\": %.3f, \"samples\": %d", median(ours) * 1e6, ours->n);
  if (ort) printf(", \"ort_us\": %.3f", median(ort) * 1e6);
  if (peak) printf(", \"peak_gflops\": %.2f", top.flops / median(&top.t) * 1e-9);
  puts("}");
  fflush(stdout);
  _exit(0); // ONNX Runtime's destructors take their time
}
