// help.c - everything that is printed from the option table: help, man page, completion, JSON. A fact about an option lives in options.def.
#include "options.h"
#include <string.h>

static const struct {
  Exit code;
  const char *text;
} exits[] = {
    {EXIT_OK, "done"},
    {EXIT_BUG, "a bug in tenon: the message names a file to send"},
    {EXIT_USAGE, "the command line is wrong"},
    {EXIT_IO, "a file cannot be read"},
    {EXIT_INVALID, "the model is not valid ONNX, or contradicts itself"},
    {EXIT_UNSUPPORTED, "the model, or the request, needs something Tenon does not have"},
    {EXIT_LIMIT, "a limit was reached: memory, time, size"},
    {EXIT_OUTPUT, "the output cannot be written or linked"},
    {EXIT_DATA, "executables: the model refused the data, such as an index out of range"},
    {EXIT_HARDWARE, "executables: this CPU lacks what the code needs"},
};

// "--emit=KIND", "-o FILE", "-O0 | -O2", "-v"
static const char *shown(const OptRow *r) {
  bool dashes = r->spelling[1] == '-';
  switch (r->kind) {
  case KIND_FLAG: return r->spelling;
  case KIND_MAYBE: return fmt("%s[=%s]", r->spelling, r->arg);
  case KIND_ENUM:
    if (!dashes) return fmt("%s%c | %s%c", r->spelling, r->arg[0], r->spelling, r->arg[strlen(r->arg) - 1]);
    return strlen(r->arg) > 24 ? fmt("%s=KIND", r->spelling) : fmt("%s=%s", r->spelling, r->arg);
  case KIND_LIST: return fmt("%s %s", r->spelling, r->arg);
  default: return fmt(dashes ? "%s=%s" : "%s %s", r->spelling, r->arg);
  }
}

static const char *explained(const OptRow *r) {
  const char *choices = r->kind == KIND_ENUM && r->spelling[1] == '-' && strlen(r->arg) > 24 ? r->arg : NULL;
  Text t = {0};
  if (choices) {
    const char **word;
    int n = split_words(choices, '|', &word);
    for (int i = 0; i < n; i++) put(&t, "%s%s", i ? " " : "", word[i]);
    put(&t, "; ");
  }
  put(&t, "%s", r->help);
  if (*r->dflt) put(&t, "  [%s]", r->dflt);
  return t.p;
}

// Puts text in lines of at most `width`, each further one indented.
static void wrap(FILE *f, const char *text, int indent, int width) {
  int column = 0;
  for (const char *p = text; *p;) {
    int gap = (int)strspn(p, " "), len = (int)strcspn(p + gap, " ");
    if (column && column + gap + len > width) fprintf(f, "\n%*s", indent, ""), column = -gap;
    else fprintf(f, "%*s", gap, "");
    fprintf(f, "%.*s", len, p + gap);
    column += gap + len;
    p += gap + len;
  }
  fputc('\n', f);
}

void print_help(FILE *f) {
  enum { COLUMN = 28, WIDTH = 92 };
  fputs("Usage: tenon MODEL [-o FILE] [options]   compile an ONNX model, or resume from an .ir or .kir dump\n"
        "       tenon check MODEL [options]       list everything that is missing; write nothing\n"
        "       tenon inspect FILE [--json]       what is in a model, a dump or an artifact\n",
        f);
  for (int g = 0; g < GROUP_COUNT; g++) {
    fprintf(f, "%s\n", opt_group[g]);
    for (int i = 0; i < OPT_COUNT; i++)
      if (opt_row[i].group == (OptGroup)g) {
        const char *left = shown(&opt_row[i]);
        if (strlen(left) > COLUMN - 4) fprintf(f, "  %s\n%*s", left, COLUMN, "");
        else fprintf(f, "  %-*s", COLUMN - 2, left);
        wrap(f, explained(&opt_row[i]), COLUMN, WIDTH);
      }
  }
  fputs("  @FILE                     read options from FILE\nExit: ", f);
  Text t = {0};
  for (size_t i = 0; i < EXIT_DATA; i++)
    put(&t, "%s%d %s", i ? ", " : "", exits[i].code,
        ((const char *[]){"ok", "bug in tenon", "usage", "cannot read", "invalid model", "unsupported", "limit", "output or linker"})[i]);
  wrap(f, t.p, 6, WIDTH + 20);
}

// In roff a leading or inner '-' of an option is "\-".
static void roff(FILE *f, const char *s) {
  for (; *s; s++) {
    if (*s == '-') fputs("\\-", f);
    else if (*s == '\\') fputs("\\e", f);
    else fputc(*s, f);
  }
}

void print_man(FILE *f) {
  fprintf(f, ".TH TENON 1 \"\" \"tenon %s\" \"User Commands\"\n.SH NAME\ntenon \\- compile ONNX models to native code\n.SH SYNOPSIS\n",
          TENON_VERSION);
  fputs(".B tenon\n.I MODEL\n.RB [ \\-o\n.IR FILE ]\n.RI [ options ]\n.br\n.B tenon check\n.I MODEL\n.br\n.B tenon inspect\n.I FILE\n"
        ".SH DESCRIPTION\nReads an ONNX model and writes a shared library, a static library, an object or an executable that has no "
        "interpreter,\n"
        "no framework and no Python in it. A text dump of either intermediate form compiles on from where it was written.\n.SH OPTIONS\n",
        f);
  for (int g = 0; g < GROUP_COUNT; g++) {
    fprintf(f, ".SS %s\n", opt_group[g]);
    for (int i = 0; i < OPT_COUNT; i++)
      if (opt_row[i].group == (OptGroup)g) {
        fputs(".TP\n.B ", f);
        roff(f, shown(&opt_row[i]));
        fputc('\n', f);
        const char *help = explained(&opt_row[i]);
        if (*help == '.' || *help == '\'') fputs("\\&", f);
        roff(f, help);
        fputc('\n', f);
      }
  }
  fputs(".SH EXIT STATUS\n", f);
  for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) fprintf(f, ".TP\n.B %d\n%s\n", exits[i].code, exits[i].text);
}

void print_completion(FILE *f) {
  fputs("# bash completion for tenon\n_tenon() {\n  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} opt=\n"
        "  case $cur in =) opt=$prev cur= ;; esac\n  [ \"$prev\" = = ] && opt=${COMP_WORDS[COMP_CWORD-2]}\n  case $opt in\n",
        f);
  for (int i = 0; i < OPT_COUNT; i++)
    if (opt_row[i].kind == KIND_ENUM || opt_row[i].kind == KIND_MAYBE) {
      fprintf(f, "    %s) COMPREPLY=($(compgen -W '", opt_row[i].spelling);
      for (const char *p = opt_row[i].arg; *p; p++) fputc(*p == '|' ? ' ' : *p, f);
      fputs("' -- \"$cur\")); return ;;\n", f);
    }
  fputs("  esac\n  case $cur in\n    -*) COMPREPLY=($(compgen -W '", f);
  for (int i = 0; i < OPT_COUNT; i++) {
    if (opt_row[i].kind == KIND_ENUM && opt_row[i].spelling[1] != '-') {
      const char **word;
      int n = split_words(opt_row[i].arg, '|', &word);
      for (int k = 0; k < n; k++) fprintf(f, "%s%s ", opt_row[i].spelling, word[k]);
    } else fprintf(f, "%s ", opt_row[i].spelling);
  }
  fputs("' -- \"$cur\")) ;;\n    *) COMPREPLY=($(compgen -f -- \"$cur\"))\n"
        "       [ \"$COMP_CWORD\" = 1 ] && COMPREPLY+=($(compgen -W 'check inspect' -- \"$cur\")) ;;\n  esac\n}\n"
        "complete -o filenames -F _tenon tenon\n",
        f);
}

void print_options_json(FILE *f) {
  static const char *const kinds[] = {"flag", "one", "list", "enum", "size", "count", "maybe"};
  for (int i = 0; i < OPT_COUNT; i++) {
    const OptRow *r = &opt_row[i];
    Text t = {0};
    put(&t, "%s {\"option\": ", i ? ",\n" : "[\n");
    put_quoted(&t, r->spelling, strlen(r->spelling));
    put(&t, ", \"kind\": \"%s\", \"arg\": \"%s\", \"default\": \"%s\", \"group\": \"%s\", \"where\": \"%s\", \"help\": ", kinds[r->kind],
        r->arg, r->dflt, opt_group[r->group], r->where);
    put_quoted(&t, r->help, strlen(r->help));
    fprintf(f, "%s}", t.p);
  }
  fputs("\n]\n", f);
}

void print_exit_codes(FILE *f) {
  for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) fprintf(f, "%d  %s\n", exits[i].code, exits[i].text);
}
