// diag.c - diagnostics: collecting, printing, unwinding. Bad input goes through report() and fail(), a bug of ours through bug().
#include "base.h"
#include <stdlib.h>
#include <string.h>

enum { DISTINCT_MAX = 1000 }; // further messages are only counted: hostile files can cause any number
static Diagnostic *list;
static int nlist, clist, handed; // list[0..handed) went to the sink already
static int dropped, counts[3];
static jmp_buf *frame; // where fail() unwinds to
static Exit unwound;

const char *current_pass;
const char *(*bug_dump)(void);

static void reset(void) {
  list = NULL, nlist = clist = handed = dropped = 0;
  memset(counts, 0, sizeof counts);
  current_pass = NULL;
}

static void print_where(const Where *w) {
  if (w->file) fprintf(stderr, "%s:", w->file);
  if (w->line) fprintf(stderr, "%d:", w->line);
  if (w->offset) fprintf(stderr, "byte %lld:", (long long)w->offset);
  if (w->file || w->line || w->offset) fputc(' ', stderr);
}

static void print_node(const Where *w) {
  if (w->op) fprintf(stderr, "\n  at %s%s%s", w->domain ? w->domain : "", w->domain && *w->domain ? "." : "", w->op);
  if (w->opset) fprintf(stderr, " (opset %d)", w->opset);
  if (w->node && *w->node) fprintf(stderr, " '%s'", w->node);
  if (w->node_index >= 0) fprintf(stderr, " (node %d)", w->node_index);
  if (w->path && *w->path) fprintf(stderr, " in %s", w->path);
}

static void print_diagnostic(const Diagnostic *d) {
  static const char *const word[] = {"note", "warning", "error"};
  print_where(&d->where);
  fprintf(stderr, "%s: %s [%s]", word[d->level], d->text, d->code);
  if (d->count > 1) fprintf(stderr, " (%d times)", d->count);
  print_node(&d->where);
  if (d->expected) fprintf(stderr, "\n  expected: %s", d->expected);
  if (d->found) fprintf(stderr, "\n  found:    %s", d->found);
  if (d->hint) fprintf(stderr, "\n  hint: %s", d->hint);
  fputc('\n', stderr);
}
void (*diagnostic_sink)(const Diagnostic *) = print_diagnostic;

static bool same(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool counted(const Diagnostic *d) {
  for (int i = handed; i < nlist; i++) {
    Diagnostic *e = &list[i];
    if (e->level != d->level || !same(e->code, d->code) || !same(e->text, d->text) || !same(e->where.op, d->where.op)) continue;
    e->count += d->count;
    return true;
  }
  return false;
}

void report_full(const Diagnostic *d) {
  at_reset(reset);
  Diagnostic one = *d;
  if (one.count < 1) one.count = 1;
  if (!one.pass) one.pass = current_pass;
  counts[one.level] += one.count;
  if (counted(&one)) return;
  if (nlist - handed >= DISTINCT_MAX) dropped += one.count;
  else PUSH(list, nlist, clist, one);
}

static Diagnostic make(Level level, Exit code, const char *word, const Where *w, const char *format, va_list ap) {
  return (Diagnostic){.level = level, .exit = code, .code = word, .where = w ? *w : *NOWHERE, .text = vfmt(format, ap), .count = 1};
}

void report(Level level, Exit code, const char *word, const Where *w, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  Diagnostic d = make(level, code, word, w, format, ap);
  va_end(ap);
  report_full(&d);
}

static void hand_over(void) {
  while (handed < nlist) diagnostic_sink(&list[handed++]);
  if (!dropped) return;
  Diagnostic more = {
      .level = LEVEL_NOTE, .code = "diag.more", .where = *NOWHERE, .text = fmt("%d further messages are not shown", dropped), .count = 1};
  dropped = 0;
  diagnostic_sink(&more);
}

static _Noreturn void unwind(Exit code) {
  unwound = code;
  if (!frame) exit(code);
  longjmp(*frame, 1);
}

void check_reports(void) {
  Exit first = EXIT_OK;
  for (int i = handed; i < nlist && first == EXIT_OK; i++)
    if (list[i].level == LEVEL_ERROR) first = list[i].exit;
  hand_over();
  if (first != EXIT_OK) unwind(first);
}

int reported(Level level) { return counts[level]; }

void fail(Exit code, const char *word, const Where *w, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  Diagnostic d = make(LEVEL_ERROR, code, word, w, format, ap);
  va_end(ap);
  report_full(&d);
  hand_over();
  unwind(code);
}

// TENON_ABORT=1 makes a core dump (or stops a debugger) instead of a plain exit.
void bug(const char *format, ...) {
  static bool again; // a bug while dumping
  va_list ap;
  va_start(ap, format);
  fprintf(stderr, "tenon: internal error%s%s: ", current_pass ? " in pass " : "", current_pass ? current_pass : "");
  vfprintf(stderr, format, ap);
  fputc('\n', stderr);
  va_end(ap);
  if (bug_dump && !again) {
    again = true;
    const char *file = bug_dump();
    if (file) fprintf(stderr, "the program at this point: %s\n", file);
  }
  fflush(NULL);
  if (getenv("TENON_ABORT")) abort();
  exit(EXIT_BUG);
}

Exit protect(void (*f)(void *), void *u) {
  jmp_buf here, *outer = frame;
  frame = &here;
  if (setjmp(here) == 0) {
    f(u);
    unwound = EXIT_OK;
  }
  frame = outer;
  return unwound;
}
