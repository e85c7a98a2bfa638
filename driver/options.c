// options.c - parses the command line by the rows of options.def.
//
// Before: argc and argv. After: verb, input and every option's value, or EXIT_USAGE with the nearest name. Nothing is abbreviated; options
// and the model come in any order; `--` ends options; @FILE stands for the words in FILE.
#include "options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

const OptRow opt_row[OPT_COUNT] = {
#define OPT(ID, spelling, kind, arg, dflt, group, where, help) {spelling, KIND_##kind, arg, dflt, GROUP_##group, where, help},
#include "options.def"
};
const char *const opt_group[GROUP_COUNT] = {
#define GROUP(ID, title) title,
#include "options.def"
};

Verb verb;
const char *input;

typedef struct Given {
  int n, cap;
  const char **text; // NULL text: the flag was undone
} Given;
static Given given[OPT_COUNT];

_Noreturn static void usage(const char *hint, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  const char *text = vfmt(format, ap);
  va_end(ap);
  report_full(&(Diagnostic){.level = LEVEL_ERROR,
                            .exit = EXIT_USAGE,
                            .code = "usage",
                            .where = *NOWHERE,
                            .text = text,
                            .hint = hint ? fmt("did you mean %s?", hint) : "see tenon --help",
                            .count = 1});
  check_reports();
  abort();
}

/* ---- words ---- */

int split_words(const char *text, char at, const char ***word) {
  int n = 0, cap = 0;
  *word = NULL;
  for (const char *p = text; *p;) {
    const char *end = strchr(p, at);
    size_t len = end ? (size_t)(end - p) : strlen(p);
    PUSH(*word, n, cap, sym_n(p, len));
    p += len + (end != NULL);
  }
  return n;
}

// Levenshtein's distance, for short words.
static int distance(const char *a, const char *b) {
  enum { LONGEST = 63 };
  int row[LONGEST + 1], nb = (int)strlen(b);
  if (nb > LONGEST) return LONGEST;
  for (int j = 0; j <= nb; j++) row[j] = j;
  for (int i = 1; *a; a++, i++) {
    int corner = row[0];
    row[0] = i;
    for (int j = 1; j <= nb; j++) {
      int above = row[j], best = corner + (*a != b[j - 1]);
      if (above + 1 < best) best = above + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      corner = above, row[j] = best;
    }
  }
  return row[nb];
}

const char *nearest(const char *word, int n, const char *const *names) {
  const char *best = NULL;
  int least = (int)strlen(word) / 3 + 2;
  for (int i = 0; i < n; i++) {
    int d = distance(word, names[i]);
    if (d < least) least = d, best = names[i];
  }
  return best;
}

int64_t opt_size(const char *text) {
  char *end;
  errno = 0;
  double v = strtod(text, &end);
  if (end == text || errno || !(v >= 0)) return -1;
  static const char units[] = "KMGT";
  const char *u = *end ? strchr(units, *end >= 'a' ? *end - 32 : *end) : NULL;
  if (*end && (!u || end[1])) return -1;
  for (long k = u ? u - units + 1 : 0; k > 0; k--) v *= 1024;
  return v < 9e18 ? (int64_t)v : -1;
}

/* ---- one option ---- */

static bool takes_value(OptId id) { return opt_row[id].kind != KIND_FLAG && opt_row[id].kind != KIND_MAYBE; }

static void check_word(OptId id, const char *value) {
  const char **word;
  int n = split_words(opt_row[id].arg, '|', &word);
  for (int i = 0; i < n; i++)
    if (!strcmp(word[i], value)) return;
  const char *near = nearest(value, n, word);
  usage(near, "%s takes %s, not '%s'", opt_row[id].spelling, opt_row[id].arg, value);
}

static void set(OptId id, const char *value) {
  Given *g = &given[id];
  switch (opt_row[id].kind) {
  case KIND_ENUM: check_word(id, value); break;
  case KIND_MAYBE:
    if (*value) check_word(id, value);
    break;
  case KIND_SIZE:
  case KIND_COUNT:
    if (opt_size(value) < 0 || (opt_row[id].kind == KIND_COUNT && strspn(value, "0123456789") != strlen(value)))
      usage(NULL, "%s takes %s, not '%s'", opt_row[id].spelling, opt_row[id].kind == KIND_SIZE ? "a size such as 512M" : "a number", value);
    break;
  default: break;
  }
  if (opt_row[id].kind != KIND_LIST) g->n = 0; // the last wins
  PUSH(g->text, g->n, g->cap, value);
}

_Noreturn static void unknown(const char *word) {
  const char *names[OPT_COUNT];
  for (int i = 0; i < OPT_COUNT; i++) names[i] = opt_row[i].spelling;
  size_t len = strcspn(word, "=");
  const char *near = nearest(sym_n(word, len), OPT_COUNT, names);
  usage(near, "there is no option %s", sym_n(word, len));
}

static OptId find(const char *word, size_t len) {
  for (int i = 0; i < OPT_COUNT; i++)
    if (strlen(opt_row[i].spelling) == len && !memcmp(opt_row[i].spelling, word, len)) return (OptId)i;
  return OPT_COUNT;
}

typedef struct Words {
  int n, at;
  const char *const *word;
} Words;

static const char *value_after(Words *w, OptId id) {
  if (w->at >= w->n) usage(NULL, "%s needs %s", opt_row[id].spelling, opt_row[id].arg);
  return w->word[w->at++];
}

static void long_option(const char *word, Words *w) {
  size_t len = strcspn(word, "=");
  OptId id = find(word, len);
  if (id == OPT_COUNT && !strncmp(word, "--no-", 5) && !word[len]) {
    id = find(sym_fmt("--%s", word + 5), len - 3);
    if (id == OPT_COUNT || takes_value(id)) unknown(word);
    given[id].n = 0;
    return;
  }
  if (id == OPT_COUNT) unknown(word);
  if (word[len] == '=' && opt_row[id].kind == KIND_FLAG) usage(NULL, "%s takes no value", opt_row[id].spelling);
  set(id, word[len] == '=' ? word + len + 1 : takes_value(id) ? value_after(w, id) : "");
}

static void short_option(const char *word, Words *w) {
  OptId id = find(word, strlen(word));
  if (id != OPT_COUNT) { // -v, -Werror, -o FILE
    set(id, takes_value(id) ? value_after(w, id) : "");
    return;
  }
  id = find(word, 2); // -oFILE, -j4, -O2
  if (id == OPT_COUNT || !takes_value(id)) unknown(word);
  set(id, word + 2);
}

/* ---- the command line ---- */

static void parse(Words w, int depth, bool *ended);

static const char *read_all(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s: %s", path, strerror(errno));
  Text t = {0};
  char buf[4096];
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) put_n(&t, buf, n);
  fclose(f);
  return t.n ? t.p : "";
}

// Words of a response file: blanks part them, '..' and ".." keep blanks, \ takes the next character as it is.
static void parse_file(const char *path, int depth, bool *ended) {
  if (depth == 8) usage(NULL, "@%s: files of options nest too deep", path);
  const char **word = NULL;
  int n = 0, cap = 0;
  for (const char *p = read_all(path); *p;) {
    if (strchr(" \t\r\n", *p)) {
      p++;
      continue;
    }
    Text t = {0};
    put(&t, "%s", "");
    for (char quote = 0; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
      if (quote ? *p == quote : *p == '\'' || *p == '"') quote = quote ? 0 : *p;
      else put_n(&t, *p == '\\' && p[1] && quote != '\'' ? ++p : p, 1);
    }
    PUSH(word, n, cap, t.p ? sym_n(t.p, t.n) : sym(""));
  }
  parse((Words){n, 0, word}, depth + 1, ended);
}

static void operand(const char *word) {
  static bool verb_given;
  if (!input && !verb_given && (!strcmp(word, "check") || !strcmp(word, "inspect"))) {
    verb = !strcmp(word, "check") ? VERB_CHECK : VERB_INSPECT;
    verb_given = true;
    return;
  }
  if (input) usage(NULL, "there are two models: %s and %s", input, word);
  input = word;
}

static void parse(Words w, int depth, bool *ended) {
  while (w.at < w.n) {
    const char *word = w.word[w.at++];
    if (*ended || word[0] != '-' || !word[1]) {
      if (!*ended && word[0] == '@' && word[1]) parse_file(word + 1, depth, ended);
      else operand(word);
    } else if (!strcmp(word, "--")) *ended = true;
    else if (word[1] == '-') long_option(word, &w);
    else short_option(word, &w);
  }
}

void opt_parse(int argc, char **argv) {
  bool ended = false;
  parse((Words){argc, 1, (const char *const *)argv}, 0, &ended);
}

void opt_check(char input_kind) {
  char at = verb == VERB_CHECK ? 'c' : verb == VERB_INSPECT ? 'n' : input_kind;
  static const char *const what[] = {"an ONNX model", "an .ir dump", "a .kir dump", "tenon check", "tenon inspect", "no model"};
  for (int i = 0; i < OPT_COUNT; i++)
    if (given[i].n && !strchr(opt_row[i].where, at) && !strchr(opt_row[i].where, '*'))
      usage(NULL, "%s does not go with %s", opt_row[i].spelling, what[strchr("oikcn*", at) - "oikcn*"]);
}

/* ---- asking ---- */

bool opt_given(OptId id) { return given[id].n > 0; }
bool opt_on(OptId id) { return given[id].n > 0; }
const char *opt_text(OptId id) { return given[id].n ? given[id].text[given[id].n - 1] : opt_row[id].dflt; }
bool opt_is(OptId id, const char *word) { return !strcmp(opt_text(id), word); }
int64_t opt_number(OptId id, int64_t otherwise) { return given[id].n ? opt_size(opt_text(id)) : otherwise; }
int opt_list(OptId id, const char *const **item) {
  *item = given[id].text;
  return given[id].n;
}
