// kernel_text.h - what the printers and parsers of kernels and programs share. Internal to ir/.
#pragma once
#include "host.h"
#include "map.h"

/* ---- printing ---- */
typedef struct Printer {
  Text *out;
  Map names;      // buffers, stages, splits, kernels, atoms -> the one name each has in this text
  Map used;       // names in use
  Map indices;    // IExpr -> its text, once all its atoms have names
  bool canonical; // names are numbers by first use
  int counter;
  Map shadows; // Atom -> IExpr: the atom under its name in this text, where that is another
} Printer;
void printer_start(Printer *, Text *out, bool canonical);
void printer_end(Printer *);                                            // gives the atoms their names back
void print_reserve(Printer *, Atom *const *sym, int n);                 // the names of symbols, which keep them
const char *print_name(Printer *, const void *key, const char *wanted); // an identifier, unique among all keys of this printer
const char *print_ix(Printer *, IExpr *);
void print_ex_const(Text *, const Ex *);               // a constant, or a load's else value
void print_layout(Text *, const Layout *);             // " @<...>", nothing for NULL
void print_ranges(Printer *, Atom *const *sym, int n); // " where N in 1..64"
void print_kernel(Printer *, const Kernel *, const char *name);
bool is_identifier(const char *);
void put_number(Text *, double); // exact, and seen to be a float

extern const char *const text_buf_kinds[], *const text_spaces[], *const text_maps[], *const text_axis_kinds[];
extern const char *const text_places[];

/* ---- parsing ---- */
typedef struct NameEntry {
  Sym name;
  void *what;
} NameEntry;
typedef struct Scope { // names of one kind; later entries hide earlier ones
  NameEntry *e;
  int n, c;
} Scope;
typedef struct Parser {
  const char *at, *start, *end, *file;
  Kernel *k;
  Scope bufs, atoms; // of the kernel being read: Buf *, IExpr *
  Ex **let;          // %0 ..
  int nlet, clet, nalloc;
} Parser;
_Noreturn void parse_fail(Parser *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void parse_start(Parser *, const char *text, size_t n, const char *file);
void parse_blank(Parser *); // skips space and # comments
bool parse_done(Parser *);
bool parse_is(Parser *, const char *token); // the next token is that one; taken if so. Words end at a word's end
void parse_expect(Parser *, const char *token);
bool parse_peek(Parser *, const char *token);
Sym parse_ident(Parser *);
Sym parse_symbol(Parser *); // the name of a symbolic dim
bool parse_maybe_ident(Parser *, Sym *);
int64_t parse_int(Parser *);
int parse_between(Parser *, int lo, int hi);
bool parse_word_char(char);
double parse_number(Parser *);
Sym parse_string(Parser *); // "..." with the escapes of put_quoted
bool parse_maybe_string(Parser *, Sym *);
IExpr *parse_ix(Parser *);
int parse_word_of(Parser *, const char *const *words, int n); // -1: none of them
const Layout *parse_layout(Parser *, int rank);               // NULL: no '@<'
void parse_ranges(Parser *);                                  // after 'where'
Kernel *parse_kernel(Parser *);                               // after 'kernel'
void *scope_find(const Scope *, Sym);
void scope_add(Scope *, Sym, void *);
int ex_misfit(const Ex *); // the first operand of an op whose type its row of scalar.def does not take, -1 (kernel_verify.c)
