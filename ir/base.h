// base.h - what every room of the compiler stands on: memory, interned strings, growable arrays, diagnostics.
//
// One process is one compilation (`tenon` forks its workers; libtenon spawns `tenon`), so there is no context argument:
// memory, names and diagnostics belong to the process. Nothing is freed until base_reset(), which tests and fuzzers call
// between compilations.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- memory ---- */
void *mem(size_t bytes); // zeroed, 16-byte aligned, lives as long as the compilation; fails with EXIT_LIMIT, never NULL
void *mem_copy(const void *p, size_t bytes);
char *fmt(const char *format, ...) __attribute__((format(printf, 1, 2))); // a string in mem()
char *vfmt(const char *format, va_list ap);
#define NEW(T) ((T *)mem(sizeof(T)))
#define NEWN(T, n) ((T *)mem(sizeof(T) * (size_t)(n)))
size_t mem_used(void);
void mem_limit(size_t bytes);   // 0: none
void base_reset(void);          // forgets all memory, names and diagnostics; runs the at_reset functions
void at_reset(void (*f)(void)); // f clears a module's static state; registering twice is harmless

// A growable array is a pointer, a count and a capacity side by side: `T *x; int nx, cx;`
void *grow(void *p, int n, int *cap, size_t elem); // p, or a copy with room for one more
#define PUSH(p, n, cap, ...) ((p) = grow(p, n, &(cap), sizeof *(p)), (p)[(n)++] = (__VA_ARGS__))

/* ---- interned strings: equal text is the equal pointer ---- */
typedef const char *Sym;
Sym sym(const char *text);
Sym sym_n(const char *text, size_t n); // text may hold NUL and need not end in one; the Sym ends in one
size_t sym_len(Sym);
Sym sym_fmt(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- text being built ---- */
typedef struct Text {
  char *p;
  size_t n, cap;
} Text; // {0} is empty; p ends in NUL once something was put
void put(Text *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void put_n(Text *, const void *bytes, size_t n);
void put_quoted(Text *, const char *s, size_t n); // "..." with \n \t \\ \" and \xNN for C0, C1, DEL

/* ---- diagnostics ---- */
typedef enum Exit { // the compiler's and the executables' exit codes (DESIGN.md section 8)
  EXIT_OK = 0,
  EXIT_BUG = 1,
  EXIT_USAGE = 2,
  EXIT_IO = 3,
  EXIT_INVALID = 4,
  EXIT_UNSUPPORTED = 5,
  EXIT_LIMIT = 6,
  EXIT_OUTPUT = 7,
  EXIT_DATA = 8,     // executables only: the model refused the data
  EXIT_HARDWARE = 9, // executables only
} Exit;

typedef enum Level { LEVEL_NOTE, LEVEL_WARNING, LEVEL_ERROR } Level;

// Where a message points to. All fields may be absent (node_index -1, the rest NULL or 0).
typedef struct Where {
  const char *file;
  int line;                              // of a text dump
  int64_t offset;                        // byte in a protobuf file
  int node_index;                        // position in its graph as the ONNX file has it
  const char *node, *op, *domain, *path; // names; path: "Loop_3.body"
  int opset;
} Where;
#define NOWHERE (&(Where){.node_index = -1})

typedef struct Diagnostic {
  Level level;
  Exit exit;
  const char *code; // stable dotted word, e.g. "shape.mismatch", "op.unsupported"
  Where where;
  const char *text, *expected, *found, *hint; // text: one sentence; the others may be NULL
  const char *pass;
  int count; // how many equal ones were reported
} Diagnostic;

extern void (*diagnostic_sink)(const Diagnostic *); // where report() and fail() hand a message; default prints to stderr
extern const char *current_pass;                    // for messages; set by the pipeline

// Collects (an equal code+text+op is counted, not repeated). Errors do not stop the compilation until check_reports().
void report(Level, Exit, const char *code, const Where *, const char *format, ...) __attribute__((format(printf, 5, 6)));
void report_full(const Diagnostic *);
void check_reports(void); // hands over what was collected; if an error is among it, unwinds with the first error's exit code
int reported(Level);      // how many so far, handed over or not

// Bad input: hands over everything collected and this, and unwinds to protect(). Never call it with LLVM frames below.
_Noreturn void fail(Exit, const char *code, const Where *, const char *format, ...) __attribute__((format(printf, 4, 5)));
// Our bug: names the pass, writes the IR through bug_dump if set, aborts (exit 1).
_Noreturn void bug(const char *format, ...) __attribute__((format(printf, 1, 2)));
extern const char *(*bug_dump)(void); // writes the current IR to a file, returns its name

// Runs f(u); returns EXIT_OK, or the code fail() unwound with. Nests.
Exit protect(void (*f)(void *), void *u);

/* ---- progress: a long step says how far it is; the driver shows it on a terminal ---- */
extern void (*progress_sink)(const char *what, int done, int total); // NULL: nobody looks
static inline void progress(const char *what, int done, int total) {
  if (progress_sink) progress_sink(what, done, total);
}
