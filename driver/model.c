// model.c - the input, whatever form it has, and what the command line tells the passes.
#include "codegen/codegen.h"
#include "driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

char input_kind(const char *path) {
  const char *dot = strrchr(path, '.');
  return dot && !strcmp(dot, ".ir") ? 'i' : dot && !strcmp(dot, ".kir") ? 'k' : 'o';
}

// Maps a whole file; absent is an answer only for a side file.
static Blob map_file(const char *path, bool may_be_absent) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 && errno == ENOENT && may_be_absent) return (Blob){0};
  if (fd < 0 || fstat(fd, &st)) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s: %s", path, strerror(errno));
  if (!S_ISREG(st.st_mode)) fail(EXIT_IO, "io.regular", NOWHERE, "%s is not a regular file", path);
  Blob b = {"", (size_t)st.st_size};
  if (b.n) b.p = mmap(NULL, b.n, PROT_READ, MAP_PRIVATE, fd, 0);
  if (b.p == MAP_FAILED) fail(EXIT_IO, "io.map", NOWHERE, "cannot map %s: %s", path, strerror(errno));
  close(fd);
  return b;
}

static Graph *read_onnx(const char *path) {
  ImportOptions o = {0};
  const char *const *dirs;
  o.ndirs = opt_list(OPT_EXTERNAL, &dirs);
  o.dirs = dirs;
  return import_file(path, &o);
}

Model model_read(const char *path) {
  char kind = input_kind(path);
  current_pass = "import";
  progress("import", 0, 0);
  Model m = {0};
  if (kind == 'o') m.graph = read_onnx(path);
  else {
    Blob text = map_file(path, false), side = map_file(fmt("%s.data", path), true);
    if (kind == 'i') m.graph = graph_parse(text.p, text.n, side.p, side.n, path);
    else m.program = program_parse(text.p, text.n, side.p, side.n, path);
  }
  check_reports();
  current_pass = NULL;
  return m;
}

/* ---- what the passes are told ---- */

_Noreturn static void wrong(OptId id, const char *value) {
  fail(EXIT_USAGE, "usage", NOWHERE, "%s takes %s, not '%s'", opt_row[id].spelling, opt_row[id].arg, value);
}

static int64_t extent(OptId id, const char *text, size_t n, const char *whole) {
  int64_t v = 0;
  if (!n) wrong(id, whole);
  for (size_t i = 0; i < n; i++) {
    if (text[i] < '0' || text[i] > '9' || (v = v * 10 + text[i] - '0') > IX_DIM_MAX) wrong(id, whole);
  }
  return v;
}

// NAME=N or NAME=LO..HI; a name may hold '=', so the last one counts.
static struct DimOption dim_option(const char *text) {
  const char *eq = strrchr(text, '=');
  if (!eq || eq == text) wrong(OPT_DIM, text);
  const char *dots = strstr(eq, "..");
  struct DimOption d = {.name = sym_n(text, (size_t)(eq - text))};
  d.lo = extent(OPT_DIM, eq + 1, dots ? (size_t)(dots - eq - 1) : strlen(eq + 1), text);
  d.hi = dots ? extent(OPT_DIM, dots + 2, strlen(dots + 2), text) : d.lo;
  if (d.hi < d.lo) wrong(OPT_DIM, text);
  return d;
}

// INPUT=2x3xN, or with commas where a name holds an x.
static struct ShapeOption shape_option(const char *text) {
  const char *eq = strrchr(text, '=');
  if (!eq || eq == text) wrong(OPT_SHAPE, text);
  struct ShapeOption s = {.input = sym_n(text, (size_t)(eq - text))};
  const char **word;
  int n = split_words(eq + 1, strchr(eq, ',') ? ',' : 'x', &word);
  if (n > MAX_RANK) wrong(OPT_SHAPE, text);
  for (int i = 0; i < n; i++) {
    bool number = word[i][0] >= '0' && word[i][0] <= '9';
    if (!*word[i]) wrong(OPT_SHAPE, text);
    s.dim[i].keep = !strcmp(word[i], "?");
    s.dim[i].size = number ? extent(OPT_SHAPE, word[i], strlen(word[i]), text) : -1;
    s.dim[i].name = number || s.dim[i].keep ? NULL : word[i];
  }
  s.n = n;
  return s;
}

static const Target *target(bool cuda) {
  OptId id = cuda ? OPT_CUDA : OPT_CPU;
  const char *name = opt_text(id);
  const Target *t = target_find(name);
  if (t && (t->backend == BACKEND_CUDA) == cuda) return t;
  Text names = {0};
  target_names(&names);
  const char **word;
  int n = split_words(names.p ? names.p : "", '\n', &word);
  const char *near = nearest(name, n, word);
  report_full(&(Diagnostic){.level = LEVEL_ERROR,
                            .exit = EXIT_USAGE,
                            .code = "usage",
                            .where = *NOWHERE,
                            .text = fmt("%s=%s: there is no such target", opt_row[id].spelling, name),
                            .hint = near ? fmt("did you mean %s? --print=cpus lists all", near) : "--print=cpus lists all",
                            .count = 1});
  check_reports();
  abort();
}

static const char *pass_name(OptId id) {
  if (!opt_given(id)) return NULL;
  const char *name = opt_text(id);
  Text names = {0};
  pipeline_names(&names);
  put(&names, "%s", id == OPT_STOP_AFTER ? "" : "all\n");
  const char **word;
  int n = split_words(names.p, '\n', &word);
  for (int i = 0; i < n; i++)
    if (!strcmp(word[i], name)) return name;
  const char *near = nearest(name, n, word);
  fail(EXIT_USAGE, "usage", NOWHERE, "%s: there is no pass %s; %s%s", opt_row[id].spelling, name,
       near ? "did you mean " : "--print=passes lists them", near ? near : "");
}

Options *pass_options(void) {
  Options *o = NEW(Options);
  bool cuda = opt_is(OPT_EMIT, "cuda") || opt_is(OPT_EMIT, "ptx") || opt_is(OPT_EMIT, "cubin");
  const char *const *item;
  o->target = target(cuda);
  o->math = opt_is(OPT_MATH, "strict") ? MATH_STRICT : opt_is(OPT_MATH, "fast") ? MATH_FAST : MATH_DEFAULT;
  o->opt = opt_is(OPT_LEVEL, "0") ? 0 : 2;
  o->openblas = opt_is(OPT_GEMM, "openblas");
  o->verify = opt_on(OPT_VERIFY);
  o->time_passes = opt_on(OPT_TIME);
  o->dump_before = pass_name(OPT_DUMP_BEFORE);
  o->dump_after = pass_name(OPT_DUMP_AFTER);
  o->stop_after = pass_name(OPT_STOP_AFTER);
  o->dump_dir = opt_text(OPT_DUMP_DIR);
  o->ndim = opt_list(OPT_DIM, &item);
  o->dim = NEWN(struct DimOption, o->ndim);
  for (int i = 0; i < o->ndim; i++) o->dim[i] = dim_option(item[i]);
  o->nshape = opt_list(OPT_SHAPE, &item);
  o->shape = NEWN(struct ShapeOption, o->nshape);
  for (int i = 0; i < o->nshape; i++) o->shape[i] = shape_option(item[i]);
  return o;
}
