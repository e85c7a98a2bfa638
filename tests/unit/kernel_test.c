// Kernels: the text of stages, schedules and trees comes back unchanged; the tree computes what the stages compute, for every kernel in
// tests/kernels at the sizes its `# run` lines give, scheduled and as plain loops; rfactor, stage_copy and ordered axes; the verifier.
#include "ir/scalar.h"

#include "kernel_run.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>
// after those
#include <cmocka.h>

#ifndef SOURCE_DIR
#define SOURCE_DIR "."
#endif

static char *slurp(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  char *p = mem(1 << 20);
  *n = fread(p, 1, (1 << 20) - 1, f);
  fclose(f);
  return p;
}

static Kernel *parse(const char *text) { return kernel_parse(text, strlen(text), "test"); }
static const char *text_of(const Kernel *k) {
  Text t = {0};
  kernel_print(k, &t);
  return t.p;
}
static void assert_round_trip(const Kernel *k) {
  const char *once = text_of(k);
  assert_string_equal(text_of(parse(once)), once);
}

static void set_symbol(const Kernel *k, const char *name, int64_t v) {
  for (int i = 0; i < k->nsym; i++)
    if (!strcmp(k->sym[i]->name, name)) {
      k->sym[i]->val = v;
      return;
    }
  fail_msg("kernel %s has no symbol %s", k->name, name);
}

static void assert_agrees(Kernel *k, double tolerance, const char *what) {
  const char *wrong = run_compare(k, 7, tolerance);
  if (wrong) fail_msg("%s, %s: %s", k->name, what, wrong);
}

static double tolerance_of(const char *text) {
  const char *t = strstr(text, "# tolerance ");
  return t ? strtod(t + 12, NULL) : 0;
}

static void run_line(Kernel *k, const char *line, double tolerance, const char *what) { // # run M=3 N=5
  char name[32];
  long long v;
  int used;
  for (const char *s = line; sscanf(s, " %31[A-Za-z]=%lld%n", name, &v, &used) == 2; s += used) set_symbol(k, name, v);
  assert_agrees(k, tolerance, fmt("%s, run%.*s", what, (int)strcspn(line, "\n"), line));
}

static void run_all(Kernel *k, const char *text, const char *what) {
  int runs = 0;
  for (const char *s = text; (s = strstr(s, "# run")); runs++) run_line(k, s += 5, tolerance_of(text), what);
  assert_true(runs > 0);
}

static void one_kernel(const char *path) {
  size_t n;
  char *text = slurp(path, &n);
  Kernel *k = kernel_parse(text, n, path);
  kernel_verify(k);
  assert_round_trip(k);
  kernel_build(k);
  kernel_verify(k);
  assert_round_trip(k);
  run_all(k, text, "scheduled");
  k->sched = NULL;
  kernel_build(k);
  kernel_verify(k);
  run_all(k, text, "plain loops");
}

static void test_files(void **state) {
  (void)state;
  const char *dir = SOURCE_DIR "/tests/kernels";
  DIR *d = opendir(dir);
  assert_non_null(d);
  int files = 0;
  for (struct dirent *e; (e = readdir(d));) {
    size_t n = strlen(e->d_name);
    if (n < 5 || strcmp(e->d_name + n - 4, ".kir")) continue;
    one_kernel(fmt("%s/%s", dir, e->d_name));
    files++;
  }
  closedir(d);
  assert_true(files >= 12);
}

/* ---- edits ---- */

static const char *const row_sum = "kernel rows(in X: f32[R,N], out Y: f32[R]) where R in 1..64, N in 1..4096 {\n"
                                   "  temp s: f32[R]\n"
                                   "  s0: for r: R { s[r] = 0.0 }\n"
                                   "  s: for r: R, j: N reduce { accum add s[r] <- X[r,j] }\n"
                                   "  y: for r: R { Y[r] = s[r] }\n"
                                   "}\n";

static void test_rfactor(void **state) {
  (void)state;
  for (int tree = 0; tree < 2; tree++)
    for (int neutral = 0; neutral < 2; neutral++) {
      char *text = fmt("%s", row_sum);
      if (!neutral) memcpy(strstr(text, "0.0 }"), "3.0 }", 5);
      Kernel *k = parse(text);
      Stage *upd = k->stage[stage_find(k, "s")];
      stage_rfactor(k, upd->out, upd->ax[1], 8, tree);
      Schedule *s = k->sched = NEW(Schedule);
      sched_split(s, sym("r"), upd->ax[0], "");
      sched_split(s, sym("j"), upd->ax[1], "8");
      sched_bands(k, "s", "r j.0 j.1 vec");
      k->sched->stage[0].nband = 0;
      assert_int_equal(k->nstage, tree ? (neutral ? 6 : 7) : 5);
      kernel_verify(k);
      assert_round_trip(k);
      for (int64_t n = 1; n < 40; n += 6) {
        set_symbol(k, "R", 3), set_symbol(k, "N", n);
        kernel_build(k);
        kernel_verify(k);
        assert_agrees(k, 0, fmt("rfactor tree %d neutral %d N %d", tree, neutral, (int)n));
      }
    }
}

static void test_copy_and_move(void **state) {
  (void)state;
  Kernel *k = parse(row_sum);
  Buf *t = stage_copy(k, k->buf[0], "xc", "s");
  assert_int_equal(stage_find(k, "xc"), 1);
  assert_ptr_equal(k->stage[2]->val->buf, t);
  stage_move(k, "xc", "s0");
  assert_int_equal(stage_find(k, "xc"), 0);
  assert_int_equal(stage_find(k, "s"), 2);
  stage_move(k, "xc", "s");
  assert_int_equal(stage_find(k, "xc"), 1);
  kernel_verify(k);
  kernel_build(k);
  kernel_verify(k);
  set_symbol(k, "R", 5), set_symbol(k, "N", 9);
  assert_agrees(k, 0, "copy");
}

/* ---- ordered axes ---- */

static const char *const scan = "kernel scan(in X: f32[R,N], out Y: f32[R,N]) where R in 1..64, N in 1..64 {\n"
                                "  temp h: f32[R,N]\n"
                                "  h: for r: R, t: N ordered { h[r,t] = h[r,t - 1]{t - 1} + X[r,t] }\n"
                                "  y: for r: R, t: N { Y[r,t] = h[r,t]*2.0 }\n"
                                "%s}\n";

static void test_ordered(void **state) {
  (void)state;
  static const char *const schedules[] = {
      "", // plain loops: h lives across two phases
      "  schedule {\n    split r of r 4\n    split t of t\n    h: r.0 par t r.1 vec\n    y: r.0 par | t r.1 vec\n  }\n",
      "  schedule {\n    split r of r 4\n    split t of t\n    h: r.0 par t | r.1 vec\n    y: r.0 par t | r.1 vec\n  }\n", // shares the
                                                                                                                           // ordered band
      "  schedule {\n    split r of r\n    split t of t 4\n    h: r par t.0 t.1\n    y: r par | t.0 t.1 unroll\n  }\n",
  };
  for (size_t i = 0; i < sizeof schedules / sizeof *schedules; i++) {
    Kernel *k = parse(fmt(scan, schedules[i]));
    kernel_verify(k);
    assert_round_trip(k);
    kernel_build(k);
    kernel_verify(k);
    assert_round_trip(k);
    set_symbol(k, "R", 5), set_symbol(k, "N", 7);
    assert_agrees(k, 0, fmt("schedule %zu", i));
  }
}

/* ---- lets: loaded indices ---- */

static void test_lets(void **state) {
  (void)state;
  static const char *const text =
      "kernel gather(in X: f32[V,N], in I: i64[R], out Y: f32[R,N]) where V in 1..100, N in 1..64, R in 1..64 {\n"
      "  temp t: f32[R,N]\n"
      "  g: for r: R, j: N {\n"
      "    let at: 0..99 limit V site 0 = I[r] < 0l ? I[r] + ix.i64(V) : I[r]\n"
      "    t[r,j] = X[at,j]\n"
      "  }\n"
      "  y: for r: R, j: N { Y[r,j] = t[r,j] + 1.0 }\n"
      "  schedule {\n    split r of r 4\n    split j of j 8\n"
      "    g: r.0 par | j.0 r.1 j.1 vec\n    y: r.0 par j.0 | r.1 j.1 vec\n  }\n}\n";
  Kernel *k = parse(text);
  assert_int_equal(k->nsite, 1);
  assert_round_trip(k);
  kernel_build(k);
  kernel_verify(k);
  assert_round_trip(k);
  set_symbol(k, "V", 5), set_symbol(k, "N", 11), set_symbol(k, "R", 7);
  assert_agrees(k, 0, "gather"); // indices are -4..4
}

/* ---- canonical text ---- */

static void test_hash(void **state) {
  (void)state;
  char *renamed = fmt("%s", row_sum);
  for (char *p = renamed; *p; p++)
    if (*p == 'j') *p = 'q';
  Kernel *a = parse(row_sum), *b = parse(renamed);
  assert_true(kernel_hash(a) == kernel_hash(b));
  kernel_build(a), kernel_build(b);
  assert_true(kernel_hash(a) == kernel_hash(b));
  char *other = fmt("%s", row_sum);
  memcpy(strstr(other, "add"), "max", 3);
  assert_true(kernel_hash(parse(other)) != kernel_hash(parse(row_sum)));
}

/* ---- what is wrong is said ---- */

static void parse_text(void *u) { parse(u); }
static void build_text(void *u) { kernel_build(parse(u)); }
static void quiet(const Diagnostic *d) { (void)d; }

static void test_bad_text(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "kernel",
      "kernel k(",
      "kernel k(in X: f33[2]) {}",
      "kernel k(in X: f32[N]) {}",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = X[i,i] } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = 1 } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = Z[i] } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = X[i] + 1.0d } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = %0 } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2, i: 2 { Y[i] = X[i] } }",
      "kernel k(in X: f32[2] @<3>) {}",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = X[i] } schedule { split i of i 4,3 } }",
      "kernel k(in X: f32[2], out Y: f32[2]) { s: for i: 2 { Y[i] = X[i] } schedule { split i of i 4\n s: i.2 } }",
      "kernel k(in X: f32[2], out Y: f32[2]) where N in 3..1 {}",
  };
  void (*sink)(const Diagnostic *) = diagnostic_sink;
  diagnostic_sink = quiet;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(protect(parse_text, (void *)(uintptr_t)bad[i]), EXIT_INVALID);
  static const char *const unbuildable =
      "kernel k(in X: f32[9], out Y: f32[9]) { s: for i: 9 { Y[i] = X[i] } schedule { split i of i 4\n s: i.0\n } }";
  assert_int_equal(protect(build_text, (void *)(uintptr_t)unbuildable), EXIT_INVALID);
  diagnostic_sink = sink;
}

// Schedules that would change results, or say nothing sensible, each with words of the message.
static const char *got_text;
static void keep_text(const Diagnostic *d) { got_text = d->text; }

static void test_refused(void **state) {
  (void)state;
  static const char *const stages =
      "kernel k(in X: f32[R,N], out Y: f32[R], out Z: f32[R,N]) where R in 1..64, N in 1..64 {\n"
      "  temp s: f32[R]\n  temp h: f32[R,N]\n  temp b: f32[R,N]\n"
      "  b: for r: R, j: N { b[r,j] = X[r,j] }\n"
      "  s0: for r: R { s[r] = 0.0 }\n"
      "  s: for r: R, j: N reduce { accum add s[r] <- b[r,j] }\n"
      "  y: for r: R { Y[r] = s[r] }\n"
      "  h: for r: R, t: N ordered { h[r,t] = h[r,t - 1]{t - 1} + b[r,t] }\n"
      "  z: for r: R, t: N { Z[r,t] = h[r,t + 1]{N - t - 2} }\n"
      "  schedule {\n    split r of r 4\n    split j of j\n    split t of t\n    split u of t 4\n    split v of r\n%s\n  }\n}\n";
  static const char *const rows[][2] = {
      {"s: j r.0 r.1\n    y: j | r.0 r.1", "partial results"},
      {"s0: j r.0 r.1\n    s: j | r.0 r.1", "inside its reduce band"},
      {"s: t r.0 r.1 j\n    y: t | r.0 r.1\n    h: t | v", "accumulate again"},
      {"h: v t\n    z: v t |", "other iterations"}, // ahead of an ordered band
      {"h: t par v", "ordered axis"},
      {"h: r.0 u.0 r.1 u.1 vec", "ordered axis"},
      {"y: t par r.0 r.1\n    h: t | v", "same cells at once"},
      {"z: r.0 r.1 t vec", "vec band"},
      {"b: r.1 r.0 j", "comes before"},
      {"s0: t r.0 r.1", "has its axis"},
      {"y: r.0", "keeps extent"},
  };
  void (*sink)(const Diagnostic *) = diagnostic_sink;
  diagnostic_sink = keep_text;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    got_text = "";
    assert_int_equal(protect(build_text, fmt(stages, rows[i][0])), EXIT_INVALID);
    if (!strstr(got_text, rows[i][1])) fail_msg("'%s' does not say '%s'", got_text, rows[i][1]);
  }
  diagnostic_sink = sink;
  assert_int_equal(protect(build_text, fmt(stages, "h: v t\n    z: v | t")), EXIT_OK);
}

static bool verifier_objects(const char *text) { // in a child: bug() aborts
  pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(9);
    kernel_verify(parse(text));
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_verifier(void **state) {
  (void)state;
  assert_false(verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { for i: 8 par { Y[i] = X[i] } }"));
  assert_true(verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { for i: 8 par { Y[0] = X[i] } }"));      // law 3
  assert_true(verifier_objects("kernel k(out X: f32[8], in Y: f32[8]) { for i: 8 { Y[i] = X[i] } }"));          // an input is stored to
  assert_true(verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { s: for i: 8, j: 2 { Y[i] = X[i] } }")); // law 6
  assert_true(verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { temp t: f32[8] s: for i: 8 { Y[i] = t[i] } }"));
  assert_true(verifier_objects("kernel k(in X: f32[N], out Y: f32[N]) where N in 1..9 { for i: N vec { Y[i] = X[i] } }"));
  assert_true(
      verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { for o: 2 { alloc t: f32[8] reg for i: 8 { t[i] = X[i] } } }")); // law 2
  assert_true(verifier_objects("kernel k(in X: f32[8], out Y: f32[8]) { for i: 8 ordered par { Y[i] = X[i] } }"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_files),    cmocka_unit_test(test_rfactor), cmocka_unit_test(test_copy_and_move),
                                     cmocka_unit_test(test_ordered),  cmocka_unit_test(test_lets),    cmocka_unit_test(test_hash),
                                     cmocka_unit_test(test_bad_text), cmocka_unit_test(test_refused), cmocka_unit_test(test_verifier)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
