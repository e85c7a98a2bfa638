// diagnose.c - diagnostics and the progress line: text for people, one JSON object a line for programs.
//
// Everything goes to stderr. Names come from models, so control characters are shown as \xNN and can do nothing to a terminal.
#include "driver.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static bool json, color, quiet, show_progress;
static double started, last_shown;
static bool line_shown;
static const char **outputs;
static int noutputs, coutputs;

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- text that came from a model ---- */

static void put_escaped(Text *t, const char *s, const char *format, const char *special) {
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s, next = (unsigned char)s[1];
    bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0; // U+0080..U+009F
    if (c < 0x20 || c == 0x7f) put(t, format, c);
    else if (c1) put(t, format, next), s++;
    else if (strchr(special, c)) put(t, "\\%c", c);
    else put_n(t, s, 1);
  }
}

void put_shown(Text *t, const char *name) { put_escaped(t, name, "\\x%02x", ""); }
void put_json(Text *t, const char *s) {
  put(t, "\"");
  put_escaped(t, s, "\\u%04x", "\"\\");
  put(t, "\"");
}
const char *json_field(const char *key, const char *text) {
  Text t = {0};
  put(&t, "\"%s\": ", key);
  put_json(&t, text);
  return t.p;
}

bool color_on(int fd) {
  if (!opt_is(OPT_COLOR, "auto")) return opt_is(OPT_COLOR, "always");
  const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
  return isatty(fd) && !(no && *no) && !(term && !strcmp(term, "dumb"));
}

/* ---- diagnostics for people ---- */

static const char *const level_word[] = {"note", "warning", "error"};
static const char *paint(const char *code) { return color ? code : ""; }

static void put_place(Text *t, const Where *w) {
  if (w->file) put_shown(t, w->file), put(t, ":");
  if (w->line) put(t, "%d:", w->line);
  if (w->offset) put(t, "byte %lld:", (long long)w->offset);
  if (t->n) put(t, " ");
}

// "node 17 'enc/attn' (Gather, opset 17) in Loop_3.body"
static void put_node(Text *t, const Where *w) {
  if (w->node_index >= 0) put(t, "node %d ", w->node_index);
  else if (w->op) put(t, "node ");
  if (w->node && *w->node) put(t, "'"), put_shown(t, w->node), put(t, "' ");
  if (w->op) {
    put(t, "(");
    if (w->domain && *w->domain && strcmp(w->domain, "ai.onnx")) put_shown(t, w->domain), put(t, ".");
    put_shown(t, w->op);
    if (w->opset) put(t, ", opset %d", w->opset);
    put(t, ") ");
  }
  if (w->path && *w->path) put(t, "in "), put_shown(t, w->path), put(t, " ");
}

static void put_detail(Text *t, const char *label, const char *text) {
  if (!text) return;
  put(t, "  %s%s%s ", paint("\033[2m"), label, paint("\033[0m"));
  put_shown(t, text);
  put(t, "\n");
}

static const char *as_text(const Diagnostic *d) {
  static const char *const colors[] = {"\033[36m", "\033[35m", "\033[1;31m"};
  Text t = {0};
  put_place(&t, &d->where);
  put(&t, "%s%s:%s ", paint(colors[d->level]), level_word[d->level], paint("\033[0m"));
  Text node = {0};
  put_node(&node, &d->where);
  if (node.n) put(&t, "%.*s: ", (int)node.n - 1, node.p);
  put_shown(&t, d->text ? d->text : "");
  if (d->count > 1) put(&t, " (%d times)", d->count);
  put(&t, " %s[%s]%s\n", paint("\033[2m"), d->code, paint("\033[0m"));
  put_detail(&t, "expected:", d->expected);
  put_detail(&t, "found:   ", d->found);
  put_detail(&t, "hint:    ", d->hint);
  return t.p;
}

/* ---- diagnostics for programs ---- */

static void put_key(Text *t, const char *key, const char *s) {
  if (s && *s) put(t, ", \"%s\": ", key), put_json(t, s);
}

static void put_path(Text *t, const char *path) {
  if (!path || !*path) return;
  const char **step;
  int n = split_words(path, '/', &step);
  put(t, ", \"path\": [");
  for (int i = 0; i < n; i++) put(t, "%s", i ? ", " : ""), put_json(t, step[i]);
  put(t, "]");
}

static void put_node_json(Text *t, const Where *w) {
  if (w->node_index < 0 && !w->op && !w->node) return;
  Text in = {0};
  if (w->node_index >= 0) put(&in, ", \"index\": %d", w->node_index);
  put_key(&in, "name", w->node);
  put_key(&in, "op", w->op);
  if (w->op) put(&in, ", \"domain\": "), put_json(&in, w->domain ? w->domain : "");
  if (w->opset) put(&in, ", \"opset\": %d", w->opset);
  put_path(&in, w->path);
  put(t, ", \"node\": {%s}", in.p + 2);
}

static const char *as_json(const Diagnostic *d) {
  Text t = {0};
  put(&t, "{\"v\": 1, \"level\": \"%s\", \"code\": ", level_word[d->level]);
  put_json(&t, d->code);
  if (d->level == LEVEL_ERROR) put(&t, ", \"exit\": %d", d->exit);
  put_key(&t, "text", d->text);
  put_node_json(&t, &d->where);
  put_key(&t, "expected", d->expected);
  put_key(&t, "found", d->found);
  put_key(&t, "file", d->where.file);
  if (d->where.offset) put(&t, ", \"offset\": %lld", (long long)d->where.offset);
  if (d->where.line) put(&t, ", \"line\": %d", d->where.line);
  put_key(&t, "pass", d->pass);
  if (d->count > 1) put(&t, ", \"count\": %d", d->count);
  put_key(&t, "hint", d->hint);
  put(&t, "}\n");
  return t.p;
}

/* ---- progress: one line, at most ten times a second, after half a second ---- */

static void erase(void) {
  if (line_shown) fputs("\r\033[K", stderr);
  line_shown = false;
}

static void on_progress(const char *what, int done, int total) {
  double t = seconds();
  if (t - started < 0.5 || t - last_shown < 0.1) return;
  last_shown = t;
  struct winsize size = {0};
  int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
  Text line = {0};
  put_shown(&line, what);
  if (total > 0) put(&line, " %d/%d", done, total);
  put(&line, "  %.1f s", t - started);
  fprintf(stderr, "\r%.*s\033[K", width - 1, line.p);
  fflush(stderr);
  line_shown = true;
}

/* ---- start and end ---- */

static void on_diagnostic(const Diagnostic *d) {
  if (quiet && d->level != LEVEL_ERROR) return;
  erase();
  fputs(json ? as_json(d) : as_text(d), stderr);
}

void diagnose_start(void) {
  started = seconds();
  json = opt_is(OPT_DIAGNOSTICS, "json");
  quiet = opt_on(OPT_QUIET);
  color = !json && color_on(STDERR_FILENO);
  const char *ci = getenv("CI");
  show_progress = !json && !quiet && opt_is(OPT_PROGRESS, "auto") && isatty(STDERR_FILENO) && !(ci && *ci);
  diagnostic_sink = on_diagnostic;
  progress_sink = show_progress ? on_progress : NULL;
}

void note_output(const char *path) { PUSH(outputs, noutputs, coutputs, path); }

void diagnose_end(Exit code) {
  erase();
  progress_sink = NULL;
  if (!json) return;
  struct rusage self, children;
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  long peak = self.ru_maxrss > children.ru_maxrss ? self.ru_maxrss : children.ru_maxrss;
  Text t = {0};
  put(&t, "{\"v\": 1, \"level\": \"summary\", \"exit\": %d, \"errors\": %d, \"warnings\": %d, \"outputs\": [", code, reported(LEVEL_ERROR),
      reported(LEVEL_WARNING));
  for (int i = 0; i < noutputs; i++) put(&t, "%s", i ? ", " : ""), put_json(&t, outputs[i]);
  put(&t, "], \"seconds\": %.3f, \"peak_rss_kb\": %ld}\n", seconds() - started, peak);
  fputs(t.p, stderr);
}
