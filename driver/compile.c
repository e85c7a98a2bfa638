// compile.c - `tenon MODEL -o FILE`: from the input to one output file.
//
// What can be known to fail is found out before any work: the kind of output, its name, whether it can be written there.
#include "codegen/codegen.h"
#include "driver.h"
#include "passes/pipeline.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef enum Form {
  FORM_EXE,
  FORM_SO,
  FORM_STATIC,
  FORM_OBJ,
  FORM_IR,
  FORM_KERNELS,
  FORM_LLVM,
  FORM_ASM,
  FORM_CUDA,
  FORM_PTX,
  FORM_CUBIN,
  FORM_COUNT
} Form;
static const struct {
  const char *emit, *suffix;
  bool text;
} forms[FORM_COUNT] = {
    {"exe", "", false},    {"so", ".so", false},      {"static", ".a", false},    {"obj", ".o", false},
    {"ir", ".ir", true},   {"kernels", ".kir", true}, {"llvm", ".ll", true},      {"asm", ".s", true},
    {"cuda", ".cu", true}, {"ptx", ".ptx", true},     {"cubin", ".cubin", false},
};
typedef struct Job {
  Form form;
  const char *out;  // NULL: stdout
  const char *name; // prefix of symbols
} Job;

/* ---- what is asked for ---- */

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool ends_in(const char *s, const char *end) {
  size_t n = strlen(s), m = strlen(end);
  return n > m && !strcmp(s + n - m, end);
}

static Form form_by_suffix(const char *out) {
  const char *base = base_name(out);
  for (int i = FORM_SO; i < FORM_COUNT; i++)
    if (ends_in(base, forms[i].suffix)) return (Form)i;
  if (strstr(base, ".so.")) return FORM_SO;
  if (strchr(base + 1, '.'))
    fail(EXIT_USAGE, "usage", NOWHERE, "-o %s: the suffix %s names no kind of output; add --emit=exe for an executable of that name", out,
         strrchr(base, '.'));
  return FORM_EXE;
}

static Form choose_form(const char *out) {
  for (int i = 0; i < FORM_COUNT; i++)
    if (opt_is(OPT_EMIT, forms[i].emit)) return (Form)i;
  if (opt_given(OPT_STOP_AFTER) && (!out || !*out)) return FORM_IR;
  if (!out || !strcmp(out, "-"))
    fail(EXIT_USAGE, "usage", NOWHERE, "say where the result goes: -o FILE (libmodel.so, model.a, model), or print a stage with --emit=ir");
  return form_by_suffix(out);
}

// "libresnet-50.so" -> "resnet_50"
static const char *symbol_name(const char *path, Form form) {
  const char *base = base_name(path);
  size_t n = strcspn(base, ".");
  if ((form == FORM_SO || form == FORM_STATIC) && n > 3 && !strncmp(base, "lib", 3)) base += 3, n -= 3;
  if (n > 63) n = 63;
  char *name = fmt("%.*s", (int)n, base);
  for (char *p = name; *p; p++)
    if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", *p)) *p = '_';
  return *name >= '0' && *name <= '9' ? fmt("_%.62s", name) : *name ? name : "model";
}

static const char *checked_name(const char *name) {
  size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
  if (!*name || name[n] || n > 63 || (*name >= '0' && *name <= '9'))
    fail(EXIT_USAGE, "usage", NOWHERE, "--name takes [A-Za-z_][A-Za-z0-9_]{0,62}, not '%s'", name);
  return name;
}

static bool same_file(const char *a, const char *b) {
  struct stat sa, sb;
  return !stat(a, &sa) && !stat(b, &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

static const char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return !slash ? "." : slash == path ? "/" : sym_n(path, (size_t)(slash - path));
}

static const char *checked_output(const char *out, Form form) {
  struct stat st;
  if (!stat(out, &st) && S_ISDIR(st.st_mode)) {
    const char *name = opt_given(OPT_NAME) ? opt_text(OPT_NAME) : symbol_name(input, FORM_OBJ);
    out = fmt("%s/%s%s%s", out, form == FORM_SO || form == FORM_STATIC ? "lib" : "", name, forms[form].suffix);
  }
  if (same_file(out, input)) fail(EXIT_USAGE, "usage", NOWHERE, "the output %s would overwrite the input", out);
  if (access(folder_of(out), W_OK)) fail(EXIT_OUTPUT, "io.write", NOWHERE, "cannot write to %s: %s", folder_of(out), strerror(errno));
  return out;
}

static Job plan(void) {
  const char *out = opt_given(OPT_OUT) ? opt_text(OPT_OUT) : NULL;
  Job j = {.form = choose_form(out)};
  bool to_stdout = !out || !strcmp(out, "-");
  if (to_stdout && !forms[j.form].text) fail(EXIT_USAGE, "usage", NOWHERE, "--emit=%s needs -o FILE", forms[j.form].emit);
  j.out = to_stdout ? NULL : checked_output(out, j.form);
  j.name = opt_given(OPT_NAME) ? checked_name(opt_text(OPT_NAME)) : symbol_name(j.out ? j.out : input, j.form);
  if (opt_given(OPT_STOP_AFTER) && j.form != FORM_IR && j.form != FORM_KERNELS)
    fail(EXIT_USAGE, "usage", NOWHERE, "--stop-after prints IR: it does not go with --emit=%s", forms[j.form].emit);
  if (j.form == FORM_IR && input_kind(input) == 'k') fail(EXIT_USAGE, "usage", NOWHERE, "a .kir dump has no graph left to print");
  return j;
}

/* ---- writing ---- */

// A temporary name beside the output, then a rename: there is the old file or the complete new one.
static void write_output(const char *path, const void *bytes, size_t n) {
  if (!path) {
    if (fwrite(bytes, 1, n, stdout) != n || fflush(stdout))
      fail(EXIT_OUTPUT, "io.write", NOWHERE, "cannot write to stdout: %s", strerror(errno));
    return;
  }
  char *temporary = fmt("%s.XXXXXX", path);
  int fd = mkstemp(temporary);
  bool ok = fd >= 0;
  for (size_t at = 0; ok && at < n;) {
    ssize_t k = write(fd, (const char *)bytes + at, n - at);
    ok = k > 0;
    at += ok ? (size_t)k : 0;
  }
  mode_t mask = umask(0);
  umask(mask);
  ok = ok && !fchmod(fd, 0666 & ~mask) && !close(fd) && !rename(temporary, path);
  if (!ok) {
    int why = errno;
    unlink(temporary);
    fail(EXIT_OUTPUT, "io.write", NOWHERE, "cannot write %s: %s", path, strerror(why));
  }
  note_output(path);
}

static void write_ir(const Graph *g, const Program *p, const char *out) {
  Text text = {0}, side = {0};
  if (p) program_print(p, &text, &side);
  else graph_print(g, &text, &side);
  if (side.n && out) write_output(fmt("%s.data", out), side.p, side.n);
  if (side.n && !out)
    report(LEVEL_NOTE, EXIT_OK, "dump.constants", NOWHERE, "large constants are left out; with -o FILE they go to FILE.data");
  write_output(out, text.p ? text.p : "", text.n);
}

static int jobs(void) {
  cpu_set_t set;
  int allowed = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
  int64_t n = opt_number(OPT_JOBS, allowed);
  return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

/* ---- times ---- */

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct Times { // when each part began; 0: not reached
  double import, passes, emit, link;
} Times;

static void print_times(const Times *t) {
  const PassTime *pass;
  int n = pipeline_times(&pass), k = 0;
  PassTime *row = NEWN(PassTime, n + 4);
  double end = seconds();
  row[k++] = (PassTime){"import", t->passes - t->import, 0};
  for (int i = 0; i < n; i++) row[k++] = pass[i];
  if (t->emit) row[k++] = (PassTime){"emit", (t->link ? t->link : end) - t->emit, 0};
  if (t->link) row[k++] = (PassTime){"link", end - t->link, 0};
  row[k++] = (PassTime){"all", end - t->import, mem_used()};
  bool json = opt_is(OPT_TIME, "json");
  for (int i = 0; i < k; i++) {
    if (json) fprintf(stderr, "%s\"%s\": %.6f", i ? ", " : "{", row[i].pass, row[i].seconds);
    else fprintf(stderr, "%9.2f ms %9.1f MB  %s\n", row[i].seconds * 1e3, (double)row[i].memory / 1e6, row[i].pass);
  }
  if (json) fputs("}\n", stderr);
}

/* ---- code ---- */

static int emit(Program *p, const Job *j, const Options *o, LlvmForm form, Blob **out) {
  CodegenOptions c = {.target = o->target, .prefix = j->name, .rt_hash = artifact_rt_hash(), .jobs = jobs(), .opt = o->opt, .form = form};
  current_pass = "emit";
  progress("emit", 0, p->nkernel);
  int n = llvm_emit(p, &c, out);
  check_reports();
  return n;
}

static void write_text(Program *p, const Job *j, const Options *o) {
  Blob *blob;
  int n = emit(p, j, o, j->form == FORM_ASM ? LLVM_ASM : LLVM_TEXT, &blob);
  Text all = {0};
  for (int i = 0; i < n; i++) put_n(&all, blob[i].p, blob[i].n);
  write_output(j->out, all.p ? all.p : "", all.n);
}

static void write_cuda(Program *p, const Job *j, const Options *o) {
  Text text = {0};
  CodegenOptions c = {.target = o->target, .prefix = j->name, .rt_hash = "", .jobs = 1, .opt = o->opt};
  current_pass = "emit";
  cuda_text(p, &c, &text);
  Blob out = {text.p, text.n};
  if (j->form != FORM_CUDA) out = cuda_compile(text.p, o->target->cpu, j->form == FORM_PTX);
  check_reports();
  write_output(j->out, out.p, out.n);
}

static void write_artifact(Program *p, const Job *j, const Options *o, Times *times) {
  static const ArtifactKind kinds[] = {ARTIFACT_EXE, ARTIFACT_SO, ARTIFACT_STATIC, ARTIFACT_OBJ};
  Blob *obj;
  int n = emit(p, j, o, LLVM_OBJECT, &obj);
  times->link = seconds();
  current_pass = "link";
  progress("link", 0, 0);
  artifact_write(p, n, obj,
                 &(ArtifactOptions){.kind = kinds[j->form],
                                    .out = j->out,
                                    .name = j->name,
                                    .linker = opt_given(OPT_LINKER) ? opt_text(OPT_LINKER) : NULL,
                                    .target = o->target,
                                    .version = TENON_VERSION});
  check_reports();
  note_output(j->out);
}

// What info and the ELF note say of where the artifact comes from. Of a dump that is resumed only its own bytes are known.
static void provenance(Program *p, const Graph *g, const Options *o) {
  static const char *const math[] = {"strict", "default", "fast"};
  Text t = {0};
  for (int i = 0; g && i < g->nopset; i++)
    put(&t, "%s%s %lld", i ? ", " : "", *g->opset[i].domain ? g->opset[i].domain : "ai.onnx", (long long)g->opset[i].version);
  p->opsets = sym(t.p ? t.p : "");
  p->source_sha256 = sha256_of_file(input);
  t = (Text){0};
  put(&t, "-O%d --cpu=%s --math=%s", o->opt, o->target->name, math[o->math]);
  for (int i = 0; i < o->ndim; i++) put(&t, " --dim %s=%lld..%lld", o->dim[i].name, (long long)o->dim[i].lo, (long long)o->dim[i].hi);
  p->flags = sym(t.p);
}

static void warn_of_openblas(const Program *p) {
  if (p && host_calls(p->body, "gemm_openblas"))
    report(LEVEL_WARNING, EXIT_OK, "gemm.openblas", NOWHERE, "matrix products go to OpenBLAS: results depend on the thread count");
}

static void stop_if_warned(void) {
  if (opt_on(OPT_WERROR) && reported(LEVEL_WARNING))
    fail(EXIT_INVALID, "warning.error", NOWHERE, "-Werror: %d warnings; nothing was written", reported(LEVEL_WARNING));
}

static void write_form(Program *p, const Job *j, const Options *o, Times *times) {
  times->emit = seconds();
  switch (j->form) {
  case FORM_KERNELS: write_ir(NULL, p, j->out); break;
  case FORM_LLVM:
  case FORM_ASM: write_text(p, j, o); break;
  case FORM_CUDA:
  case FORM_PTX:
  case FORM_CUBIN: write_cuda(p, j, o); break;
  default: write_artifact(p, j, o, times); break;
  }
  current_pass = NULL;
}

static void say_what(const Program *p, const Job *j, double took) {
  bool short_text = p->arena && ix_size(p->arena) <= 40;
  report(LEVEL_NOTE, EXIT_OK, "made", NOWHERE, "%s: %d kernels, %lld bytes of weights, workspace %s bytes, %.2f s",
         j->out ? j->out : "stdout", p->nkernel, (long long)p->weights, short_text ? ix_str(p->arena) : "of the dims", took);
}

void compile(void *unused) {
  (void)unused;
  Job j = plan();
  Options *o = pass_options();
  Times times = {.import = seconds()};
  if (o->openblas && (j.form == FORM_CUDA || j.form == FORM_PTX || j.form == FORM_CUBIN))
    fail(EXIT_USAGE, "usage", NOWHERE, "--gemm=openblas does not go with code for a GPU");
  if (j.form == FORM_IR && !o->stop_after) o->stop_after = "dce-2"; // the last pass that leaves a graph
  Model m = model_read(input);
  times.passes = seconds();
  Program *p = m.program ? pipeline_resume(m.program, o) : pipeline_run(m.graph, o);
  if (p) provenance(p, m.graph, o);
  warn_of_openblas(p);
  stop_if_warned();
  if (o->stop_after) write_ir(m.graph, p, j.out);
  else write_form(p, &j, o, &times);
  if (o->time_passes) print_times(&times);
  if (opt_on(OPT_VERBOSE) && p) say_what(p, &j, seconds() - times.import);
}
