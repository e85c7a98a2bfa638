// main.c - the `tenon` command. Parses the command line, sets limits, runs one verb, and turns what it unwound with into the exit code.
#include "codegen/codegen.h"
#include "driver.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- --print ---- */

static void print_what(const char *what) {
  Text t = {0};
  if (!strcmp(what, "cpus")) target_names(&t);
  else if (!strcmp(what, "passes")) pipeline_names(&t);
  else if (!strcmp(what, "ops")) print_ops(&t);
  else if (!strcmp(what, "ops-json")) print_ops_json(&t);
  else if (!strcmp(what, "exit-codes")) print_exit_codes(stdout);
  else if (!strcmp(what, "options-json")) print_options_json(stdout);
  else if (!strcmp(what, "man")) print_man(stdout);
  else print_completion(stdout);
  if (t.n) fwrite(t.p, 1, t.n, stdout);
}

/* ---- limits ---- */

static void out_of_time(int signal_number) {
  (void)signal_number;
  static const char text[] = "error: the compilation took longer than --max-time [limit.time]\n",
                    json[] = "{\"v\": 1, \"level\": \"error\", \"code\": \"limit.time\", \"exit\": 6, \"text\": \"the compilation took "
                             "longer than --max-time\"}\n";
  bool as_json = opt_is(OPT_DIAGNOSTICS, "json");
  ssize_t ignored = write(STDERR_FILENO, as_json ? json : text, (as_json ? sizeof json : sizeof text) - 1);
  (void)ignored;
  _exit(EXIT_LIMIT);
}

static void set_limits(void) {
  struct stat st;
  int64_t model = input && !stat(input, &st) ? st.st_size : 0;
  mem_limit((size_t)opt_number(OPT_MAX_MEMORY, 3 * model + ((int64_t)1 << 30)));
  int64_t time = opt_number(OPT_MAX_TIME, 0);
  if (time <= 0) return;
  signal(SIGALRM, out_of_time);
  alarm(time < 1u << 31 ? (unsigned)time : 1u << 31);
}

/* ---- start ---- */

typedef struct Args {
  int argc;
  char **argv;
} Args;

static void parse(void *u) {
  Args *a = u;
  opt_parse(a->argc, a->argv);
  diagnose_start();
  if (opt_given(OPT_HELP) || opt_given(OPT_VERSION) || opt_given(OPT_PRINT)) return;
  if (!input) fail(EXIT_USAGE, "usage", NOWHERE, "no model was named; see tenon --help");
  opt_check(input_kind(input));
}

static bool printed(void) {
  if (opt_given(OPT_HELP)) print_help(stdout);
  else if (opt_given(OPT_VERSION)) printf("tenon %s\n", TENON_VERSION);
  else if (opt_given(OPT_PRINT)) print_what(opt_text(OPT_PRINT));
  else return false;
  return true;
}

int main(int argc, char **argv) {
  diagnose_start(); // for errors of the command line itself: as text, with the defaults
  Exit code = protect(parse, &(Args){argc, argv});
  if (code != EXIT_OK) return code;
  if (printed()) return fflush(stdout) ? EXIT_OUTPUT : EXIT_OK;
  set_limits();
  static void (*const verbs[])(void *) = {compile, check, inspect};
  code = protect(verbs[verb], NULL);
  if (code == EXIT_OK) code = protect((void (*)(void *))(void *)check_reports, NULL); // notes and warnings that nobody asked for yet
  diagnose_end(code);
  return code;
}
