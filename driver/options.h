// options.h - the command line as parsed: options.def gives the rows, options.c the values.
#pragma once
#include "ir/base.h"

typedef enum OptKind { KIND_FLAG, KIND_ONE, KIND_LIST, KIND_ENUM, KIND_SIZE, KIND_COUNT, KIND_MAYBE } OptKind;
typedef enum OptGroup {
#define GROUP(ID, title) GROUP_##ID,
#include "options.def"
  GROUP_COUNT
} OptGroup;
typedef enum OptId {
#define OPT(ID, spelling, kind, arg, dflt, group, where, help) OPT_##ID,
#include "options.def"
  OPT_COUNT
} OptId;

typedef struct OptRow {
  const char *spelling;
  OptKind kind;
  const char *arg, *dflt;
  OptGroup group;
  const char *where, *help;
} OptRow;
extern const OptRow opt_row[OPT_COUNT];
extern const char *const opt_group[GROUP_COUNT];

typedef enum Verb { VERB_COMPILE, VERB_CHECK, VERB_INSPECT } Verb;
extern Verb verb;
extern const char *input; // NULL: none was named

void opt_parse(int argc, char **argv); // fails with EXIT_USAGE
void opt_check(char input_kind);       // which options may be used with 'o', 'i', 'k', or without a model '*'
bool opt_given(OptId);
bool opt_on(OptId);          // FLAG, MAYBE
const char *opt_text(OptId); // the text given, else the default; MAYBE: "" without a word
bool opt_is(OptId, const char *word);
int64_t opt_number(OptId, int64_t otherwise); // COUNT, SIZE
int opt_list(OptId, const char *const **item);
int64_t opt_size(const char *text); // "512M"; -1: malformed

const char *nearest(const char *word, int n, const char *const *names); // NULL: nothing is near
int split_words(const char *text, char at, const char ***word);         // "a|b" -> a, b

/* help.c: everything that is printed from the table */
void print_help(FILE *);
void print_man(FILE *);
void print_completion(FILE *);
void print_options_json(FILE *);
void print_exit_codes(FILE *);

/* print_ops.c: the operator table */
void print_ops(Text *);
void print_ops_json(Text *);
