// text_tokens.c - what the parsers of kernels and programs read: words, numbers, strings; and the diagnostic with a line.
#include "kernel_text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int line_of(const Parser *p) {
  int n = 1;
  for (const char *c = p->start; c < p->at; c++) n += *c == '\n';
  return n;
}

void parse_fail(Parser *p, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  char *text = vfmt(format, ap);
  va_end(ap);
  char near[24];
  snprintf(near, sizeof near, "%.*s", (int)strcspn(p->at, "\n"), p->at);
  fail(EXIT_INVALID, "text.syntax", &(Where){.file = p->file, .line = line_of(p), .node_index = -1}, "%s at '%s'", text, near);
}

void parse_start(Parser *p, const char *text, size_t n, const char *file) {
  char *copy = mem(n + 1);
  memcpy(copy, text, n);
  *p = (Parser){.at = copy, .start = copy, .end = copy + strlen(copy), .file = file};
}

bool parse_word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

void parse_blank(Parser *p) {
  for (;;) {
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r') p->at++;
    if (*p->at != '#') return;
    while (*p->at && *p->at != '\n') p->at++;
  }
}

bool parse_done(Parser *p) {
  parse_blank(p);
  return !*p->at;
}

bool parse_peek(Parser *p, const char *token) {
  size_t n = strlen(token);
  parse_blank(p);
  return !strncmp(p->at, token, n) && !(parse_word_char(token[n - 1]) && parse_word_char(p->at[n]));
}
bool parse_is(Parser *p, const char *token) {
  bool yes = parse_peek(p, token);
  if (yes) p->at += strlen(token);
  return yes;
}
void parse_expect(Parser *p, const char *token) {
  if (!parse_is(p, token)) parse_fail(p, "'%s' is expected", token);
}

bool parse_maybe_ident(Parser *p, Sym *out) {
  parse_blank(p);
  if (!parse_word_char(*p->at) || (*p->at >= '0' && *p->at <= '9')) return false;
  const char *s = p->at;
  while (parse_word_char(*p->at)) p->at++;
  *out = sym_n(s, (size_t)(p->at - s));
  return true;
}
Sym parse_ident(Parser *p) {
  Sym s;
  if (!parse_maybe_ident(p, &s)) parse_fail(p, "a name is expected");
  return s;
}

int64_t parse_int(Parser *p) {
  parse_blank(p);
  char *end;
  errno = 0;
  long long v = strtoll(p->at, &end, 10);
  if (end == p->at || errno) parse_fail(p, "an integer is expected");
  p->at = end;
  return v;
}

int parse_between(Parser *p, int lo, int hi) {
  int64_t v = parse_int(p);
  if (v < lo || v > hi) parse_fail(p, "a number in %d..%d is expected", lo, hi);
  return (int)v;
}

double parse_number(Parser *p) {
  parse_blank(p);
  char *end;
  double v = strtod(p->at, &end);
  if (end == p->at) parse_fail(p, "a number is expected");
  p->at = end;
  return v;
}

static int hex(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_maybe_string(Parser *p, Sym *out) {
  parse_blank(p);
  if (*p->at != '"') return false;
  Text t = {0};
  for (p->at++; *p->at != '"'; p->at++) {
    char c = *p->at;
    if (!c || c == '\n') parse_fail(p, "a string is not closed");
    if (c == '\\') {
      c = *++p->at;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
      else if (c == 'x') {
        int hi = hex(p->at[1]), lo = hi < 0 ? -1 : hex(p->at[2]);
        if (lo < 0) parse_fail(p, "\\x takes two hex digits");
        c = (char)(hi * 16 + lo), p->at += 2;
      } else if (c != '"' && c != '\\') parse_fail(p, "unknown escape in a string");
    }
    put_n(&t, &c, 1);
  }
  p->at++;
  *out = sym_n(t.p ? t.p : "", t.n);
  return true;
}
Sym parse_string(Parser *p) {
  Sym s;
  if (!parse_maybe_string(p, &s)) parse_fail(p, "a string is expected");
  return s;
}

int parse_word_of(Parser *p, const char *const *words, int n) {
  for (int i = 0; i < n && words[i]; i++)
    if (parse_is(p, words[i])) return i;
  return -1;
}

Sym parse_symbol(Parser *p) { // as ix_str writes it: dots are allowed, anything else is quoted
  Sym name;
  if (parse_maybe_string(p, &name)) return name;
  const char *from = p->at;
  parse_ident(p);
  while (parse_word_char(*p->at) || *p->at == '.') p->at++;
  return sym_n(from, (size_t)(p->at - from));
}
