/* main.c - the executable's command line and what its verbs share. Nothing but results goes to stdout. */
#include "main.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
extern const tenon_api *tn_main_api(uint32_t abi); /* --defsym: the model's */
int tn_main(int argc, char **argv);

static const char usage[] =
    "Usage: %s VERB [options]\n"
    "  run [--input NAME=FILE].. [--output-dir DIR]   run the model; FILE: .npy, or an ONNX value in .pb; a bare FILE is the first input\n"
    "      --output-format npy|pb                     what output_<k> is written as      [npy where it can hold the value]\n"
    "  bench [--input NAME=FILE].. [--dim NAME=N].. [--seconds S] [--json]   time runs; inputs not given are made up\n"
    "  info [--json]                                  inputs, outputs, ranges, provenance\n"
    "  selftest                                       runs twice, with 1 and 2 threads, and compares the bits\n"
    "  --threads N                                    of run and bench                     [allowed CPUs]\n"
    "An input may be named #K by its position. Exit: 0 ok, 1 bug, 2 usage, 3 cannot read, 4 input of wrong type or shape, 6 limit,\n"
    "7 cannot write, 8 the model refused the data, 9 hardware.\n";

/* ---- small things ---- */
void say(int fd, const char *fmt, ...) {
  char buf[4096];
  va_list a;
  va_start(a, fmt);
  int n = vsnprintf(buf, sizeof buf, fmt, a);
  va_end(a);
  if (write(fd, buf, (size_t)(n < (int)sizeof buf ? n : (int)sizeof buf - 1)) < 0) {
  }
}
int complain(int code, const char *fmt, ...) {
  char buf[2048];
  va_list a;
  va_start(a, fmt);
  vsnprintf(buf, sizeof buf, fmt, a);
  va_end(a);
  say(2, "error: %s\n", buf);
  return code;
}
int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
void *take(uint64_t bytes) {
  void *p = bytes < UINT64_MAX / 2 ? calloc(bytes ? bytes : 1, 1) : NULL;
  if (!p) syscall(SYS_exit_group, complain(MAIN_LIMIT, "out of memory (%llu bytes)", (unsigned long long)bytes));
  return p;
}
bool file_map(const char *path, File *f) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  long size = fd < 0 ? -1 : syscall(SYS_lseek, fd, 0L, SEEK_END);
  *f = (File){"", 0};
  if (size > 0) {
    f->p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    f->n = (uint64_t)size;
    if (f->p == MAP_FAILED) size = -1;
  }
  if (fd >= 0) close(fd);
  return size >= 0;
}
static bool put_all(int fd, const char *p, uint64_t n) {
  while (n) {
    ssize_t w = write(fd, p, n < 1u << 30 ? n : 1u << 30);
    if (w <= 0) return false;
    p += w, n -= (uint64_t)w;
  }
  return true;
}
bool file_write(const char *path, const void *head, uint64_t n_head, const void *body, uint64_t n_body) {
  char tmp[4096];
  if (snprintf(tmp, sizeof tmp, "%s.tmp%ld", path, (long)syscall(SYS_getpid)) >= (int)sizeof tmp) return false;
  int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  bool ok = put_all(fd, head, n_head) && put_all(fd, body, n_body);
  if (close(fd)) ok = false;
  if (ok && !syscall(SYS_renameat, AT_FDCWD, tmp, AT_FDCWD, path)) return true;
  syscall(SYS_unlinkat, AT_FDCWD, tmp, 0);
  return false;
}

/* ---- the model ---- */
static int code_of(tenon_status s) {
  switch (s) {
  case TENON_OK: return MAIN_OK;
  case TENON_E_DATA: return MAIN_DATA;
  case TENON_E_HARDWARE:
  case TENON_E_DEVICE: return MAIN_HARDWARE;
  case TENON_E_NOMEM:
  case TENON_E_LIMIT: return MAIN_LIMIT;
  case TENON_E_TYPE:
  case TENON_E_SHAPE: return MAIN_INPUT;
  case TENON_E_WEIGHTS: return MAIN_READ;
  default: return MAIN_BUG;
  }
}
int main_open(Main *m) {
  tenon_error e = {.size = sizeof e};
  tenon_open o = {.size = sizeof o, .threads = (uint32_t)m->threads};
  tenon_status s = m->api->open(&o, &m->model, &e);
  if (!s) s = m->api->context(m->model, &m->ctx, &e);
  return s ? complain(code_of(s), "%s", e.text) : 0;
}
int main_status(Main *m, tenon_status s) {
  tenon_error e = {.size = sizeof e};
  if (!s) return 0;
  m->api->last_error(m->ctx, &e);
  return complain(code_of(s), "%s", e.text);
}
void main_outputs(Main *m) {
  for (uint32_t k = 0; k < m->api->n_out; k++) m->out[k] = (tenon_value){.kind = TENON_TENSOR};
}

/* ---- the command line; own parser: getopt_long takes abbreviations ---- */
static const char *after(const char *s, const char *prefix) { /* what follows the prefix, or NULL */
  while (*prefix && *s == *prefix) s++, prefix++;
  return *prefix ? NULL : s;
}
static int64_t number(const char *s) { /* -1: none */
  int64_t v = 0;
  if (!*s) return -1;
  for (; *s >= '0' && *s <= '9' && v < 1ll << 40; s++) v = v * 10 + (*s - '0');
  return *s ? -1 : v;
}
static double decimal(const char *s) {
  double v = 0, place = 1;
  bool point = false;
  if (!*s) return -1;
  for (; *s; s++) {
    if (*s == '.' && !point) {
      point = true;
      continue;
    }
    if (*s < '0' || *s > '9') return -1;
    v = v * 10 + (*s - '0'), place *= point ? 10 : 1;
  }
  return v / place;
}
/* NAME=FILE: names may hold '=', so the longest input name that is followed by one counts. #K=FILE: by position. */
static int add_input(Main *m, const char *s) {
  const tenon_api *a = m->api;
  uint64_t best = 0;
  uint32_t which = UINT32_MAX;
  const char *eq = strchr(s, '=');
  if (*s == '#' && eq) {
    uint32_t k = 0;
    const char *d = s + 1;
    for (; *d >= '0' && *d <= '9' && k < 100000; d++) k = k * 10 + (uint32_t)(*d - '0');
    if (d == eq && d > s + 1 && k < a->n_in) return m->file[k] = eq + 1, 0;
  }
  for (uint32_t i = 0; i < a->n_in; i++) {
    const char *rest = after(s, a->in[i]->name);
    uint64_t n = strlen(a->in[i]->name);
    if (rest && *rest == '=' && (which == UINT32_MAX || n > best)) which = i, best = n;
  }
  if (which == UINT32_MAX) {
    complain(MAIN_USAGE, "--input %s names no input; there are:", s);
    for (uint32_t i = 0; i < a->n_in; i++) say(2, "  %s\n", a->in[i]->name);
    return MAIN_USAGE;
  }
  m->file[which] = s + best + 1;
  return 0;
}
static bool names_dim(const tenon_api *a, const Dim *d) {
  for (uint32_t i = 0; i < a->n_in; i++)
    for (int32_t k = 0; k < a->in[i]->rank; k++)
      if (strlen(a->in[i]->dim_name[k]) == d->len && !memcmp(a->in[i]->dim_name[k], d->name, d->len)) return true;
  return false;
}
static int add_dim(Main *m, const char *s) {
  const char *eq = NULL;
  for (const char *p = s; *p; p++)
    if (*p == '=') eq = p;
  Dim d = {s, eq ? (uint64_t)(eq - s) : 0, eq ? number(eq + 1) : -1};
  if (!eq || d.value < 0) return complain(MAIN_USAGE, "--dim %s: NAME=N is expected", s);
  if (!names_dim(m->api, &d)) return complain(MAIN_USAGE, "--dim %s: the model has no such dimension", s);
  if (m->n_dim == 64) return complain(MAIN_USAGE, "too many --dim");
  m->dim[m->n_dim++] = d;
  return 0;
}
typedef struct Option {
  const char *name, *verbs;
  int (*set)(Main *, const char *);
} Option;
static int set_out(Main *m, const char *s) { return m->out_dir = s, 0; }
static int set_format(Main *m, const char *s) {
  m->format = s;
  return !strcmp(s, "npy") || !strcmp(s, "pb") ? 0 : complain(MAIN_USAGE, "--output-format is npy or pb, not '%s'", s);
}
static int set_threads(Main *m, const char *s) {
  int64_t n = number(s);
  m->threads = (int)n;
  return n >= 1 && n <= 1024 ? 0 : complain(MAIN_USAGE, "--threads %s: a number from 1 to 1024 is expected", s);
}
static int set_seconds(Main *m, const char *s) {
  m->seconds = decimal(s);
  return m->seconds >= 0 && m->seconds < 86400 ? 0 : complain(MAIN_USAGE, "--seconds %s: a number is expected", s);
}
static const Option options[] = {{"--input", "run bench", add_input},      {"--output-dir", "run", set_out},
                                 {"--output-format", "run", set_format},   {"--threads", "run bench", set_threads},
                                 {"--dim", "run bench selftest", add_dim}, {"--seconds", "bench", set_seconds}};
static int parse_one(Main *m, int argc, char **argv, int *i) {
  const char *s = argv[*i];
  if (!strcmp(s, "--json") && (!strcmp(m->verb, "bench") || !strcmp(m->verb, "info"))) return m->json = true, 0;
  for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
    const char *rest = after(s, options[k].name);
    if (!rest || (*rest && *rest != '=') || !strstr(options[k].verbs, m->verb)) continue;
    if (*rest) return options[k].set(m, rest + 1);
    if (*i + 1 >= argc) return complain(MAIN_USAGE, "%s needs a value", s);
    return options[k].set(m, argv[++*i]);
  }
  if (*s == '-' && s[1]) return complain(MAIN_USAGE, "%s has no option %s", m->verb, s);
  if (!m->api->n_in || (strcmp(m->verb, "run") && strcmp(m->verb, "bench"))) return complain(MAIN_USAGE, "what is '%s'?", s);
  if (m->file[0]) return complain(MAIN_USAGE, "'%s': only one bare file is taken, the first input; use --input NAME=FILE", s);
  return m->file[0] = s, 0;
}
int tn_main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(Main *);
  } verbs[] = {{"run", verb_run}, {"bench", verb_bench}, {"info", verb_info}, {"selftest", verb_selftest}};
  static Main m;
  m = (Main){.t0 = now_ns(), .api = tn_main_api(TENON_ABI), .verb = argc > 1 ? argv[1] : "", .seconds = 1};
  m.file = take((m.api->n_in + 1u) * sizeof *m.file);
  m.in = take((m.api->n_in + 1u) * sizeof *m.in), m.out = take((m.api->n_out + 1u) * sizeof *m.out);
  if (!strcmp(m.verb, "--help") || !strcmp(m.verb, "-h")) return say(1, usage, argv[0]), 0;
  for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++) {
    if (strcmp(m.verb, verbs[v].name)) continue;
    for (int i = 2; i < argc; i++) {
      int bad = parse_one(&m, argc, argv, &i);
      if (bad) return bad;
    }
    return verbs[v].run(&m);
  }
  say(2, usage, argc ? argv[0] : m.api->name);
  return MAIN_USAGE;
}
