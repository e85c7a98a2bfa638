// Programs as text: every declaration and statement comes back unchanged, constants through the side file too; what is wrong is said; the
// verifier.
#include "ir/host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
// after those
#include <cmocka.h>

static const char *const whole = "program \"main g\" {\n"
                                 "  opsets \"ai.onnx 18\"\n"
                                 "  target \"native\"\n"
                                 "  symbol N in 1..64 entry\n"
                                 "  symbol \"a b\" in 2..128 = 2*N entry\n"
                                 "  symbol cnt in 0..100\n"
                                 "  require cnt - 5 text \"cnt is at least 5\"\n"
                                 "  buf x: f32[N,3] input 0\n"
                                 "  buf w: f32[3] const 64 @<0/2,0%2> = f32[3] {1, 2.5, 0x7fc00000}\n"
                                 "  buf big: i8[70] const 128 = i8[70] data(0, 70)\n"
                                 "  buf t: f32[N,3] arena at 64*N\n"
                                 "  buf a: f32[3*N] alias t shift N\n"
                                 "  buf y: f32[N,3] output 0 exact\n"
                                 "  buf s: f32[cnt,3] slab 0\n"
                                 "  buf h: seq(f32[N]) handle 0\n"
                                 "  in \"x\\n\": f32[N,3] x pair 0 axis 1\n"
                                 "  out \"y\": f32[N,3] y optional\n"
                                 "  site node 3 name \"n\" op \"Gather\" input 1 text \"index %v is bad\" lo 0 hi N - 1\n"
                                 "  memory slabs 1 handles 1 weights 512 arena 128*N scratch 64\n"
                                 "kernel k(in x: f32[M,3], out y: f32[M,3]) where M in 1..64 {\n"
                                 "  s: for i: M, j: 3 { y[i,j] = x[i,j] }\n"
                                 "}\n"
                                 "  body {\n"
                                 "    launch k(x, y) with [N] temp [0, 64*N]\n"
                                 "    let \"a b\" = 2*N\n"
                                 "    set cnt = t[N - 1] site 0\n"
                                 "    call foo(x, _ -> h) {alpha = 1.5, n = 3, l = [1, 2], s = \"hi\"}\n"
                                 "    if t {\n"
                                 "      copy y <- x\n"
                                 "    } else {\n"
                                 "      output y\n"
                                 "    }\n"
                                 "    loop cnt below N while t {\n"
                                 "      grow s to 64*N keep 3\n"
                                 "    }\n"
                                 "    move h <- h\n"
                                 "    check N - 1 site 0\n"
                                 "  }\n"
                                 "}\n";
static const char side[70] = {1, 2, 3};

static void test_round_trip(void **state) {
  (void)state;
  Program *p = program_parse(whole, strlen(whole), side, sizeof side, "test");
  program_verify(p);
  assert_int_equal(p->nentry, 2);
  assert_int_equal(tensor_int(p->buf[2]->data, 2), 3);
  Text text = {0}, data = {0};
  program_print(p, &text, &data);
  assert_string_equal(text.p, whole);
  assert_int_equal(data.n, sizeof side);
  assert_memory_equal(data.p, side, sizeof side);
}

static char *replaced(const char *what, const char *by) {
  const char *at = strstr(whole, what);
  assert_non_null(at);
  return fmt("%.*s%s%s", (int)(at - whole), whole, by, at + strlen(what));
}

static void parse_text(void *u) { program_parse(u, strlen(u), side, sizeof side, "test"); }
static void quiet(const Diagnostic *d) { assert_true(d->where.line > 0); }

static void test_bad_text(void **state) {
  (void)state;
  static const char *const bad[][2] = {
      {"buf x:", "buf x"},
      {"f32[N,3] input 0", "f33[N,3] input 0"},
      {"f32[N,3] input 0", "f32[N,3] nowhere"},
      {"alias t", "alias u"},
      {"alias t", "alias a"},
      {"data(0, 70)", "data(9, 70)"},
      {"with [N]", "with [N, N]"},
      {"launch k(x, y)", "launch k(x)"},
      {"launch k(x, y)", "launch l(x, y)"},
      {"set cnt", "set count"},
      {"site 0", "site 1"},
      {"(x, _ -> h)", "(x, _, h)"},
      {"if t {", "if t"},
      {"in 1..64 entry", "in 64..1 entry"},
      {"symbol cnt", "symbol N"},
      {"move h <- h", "remove h <- h"},
      {"  }\n}\n", "  }\n"},
  };
  void (*sink)(const Diagnostic *) = diagnostic_sink;
  diagnostic_sink = quiet;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (protect(parse_text, replaced(bad[i][0], bad[i][1])) != EXIT_INVALID) fail_msg("accepted: %s", bad[i][1]);
  diagnostic_sink = sink;
}

static bool verifier_objects(const char *text) { // in a child: bug() ends the process
  pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stderr)) _exit(9);
    program_verify(program_parse(text, strlen(text), side, sizeof side, "test"));
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_verifier(void **state) {
  (void)state;
  assert_false(verifier_objects(whole));
  assert_true(verifier_objects(replaced("launch k(x, y)", "launch k(x, w)")));   // writes a constant
  assert_true(verifier_objects(replaced("launch k(x, y)", "launch k(h, y)")));   // no tensor
  assert_true(verifier_objects(replaced("launch k(x, y)", "launch k(big, y)"))); // another element type
  assert_true(verifier_objects(replaced("output y", "output x")));               // no output
  assert_true(verifier_objects(replaced("y[i,j] = x[i,j]", "y[i,0] = x[i,j]"))); // a kernel breaks a law
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_bad_text), cmocka_unit_test(test_verifier)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
