// pipeline.c - the order of the passes, as a table.
//
// Before: a graph from the frontend or from a dump, verified. After: a planned program of scheduled, built, distinct kernels.
// A row says which properties it needs, gives and destroys; the table is checked against them at every start, so a row cannot be moved to
// where its needs are not met. Between passes: collected errors are handed over, the IR is verified, dumped and timed if asked for.
#include "pipeline.h"
#include "passes.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- the table ---- */

enum {
  TYPES = 1,   // every value has a type
  FOLDED = 2,  // nodes of constants are constants
  PLAIN = 4,   // no EXPAND rows are left
  LEAN = 8,    // no node is there twice or unused
  STAGES = 32, // a program of kernels in stage form
  LAID = 64,   // tensors between kernels have their physical order
  UNIQUE = 128,
  LOOPS = 256, // kernels have schedules and trees
  PLANNED = 512,
};

typedef struct PassRow {
  const char *name;
  void (*graph)(Graph *);
  void (*graph_with)(Graph *, const Options *);
  Program *(*lower)(Graph *, const Options *);
  void (*program)(Program *);
  void (*program_with)(Program *, const Options *);
  int needs, gives, breaks;
  bool optional; // the program means the same without it
} PassRow;

static const PassRow table[] = {
    {.name = "bind", .graph_with = pass_bind},
    {.name = "infer", .graph = pass_infer, .gives = TYPES},
    {.name = "gradient", .graph = pass_gradient, .needs = TYPES},
    {.name = "simplify", .graph_with = pass_simplify, .needs = TYPES, .optional = true},
    {.name = "fold", .graph = pass_fold, .needs = TYPES, .gives = FOLDED},
    {.name = "dce", .graph = pass_dce, .optional = true},
    {.name = "sizes", .graph = pass_sizes, .needs = TYPES},
    {.name = "expand", .graph_with = pass_expand, .needs = TYPES | FOLDED, .gives = PLAIN, .breaks = TYPES | FOLDED | LEAN},
    {.name = "infer-2", .graph = pass_infer, .needs = PLAIN, .gives = TYPES},
    {.name = "simplify-2", .graph_with = pass_simplify, .needs = TYPES, .optional = true},
    {.name = "fold-2", .graph = pass_fold, .needs = TYPES, .gives = FOLDED},
    {.name = "cse", .graph = pass_cse, .needs = TYPES | FOLDED, .optional = true},
    {.name = "dce-2", .graph = pass_dce, .needs = TYPES, .gives = LEAN},
    {.name = "lower", .lower = pass_lower, .needs = TYPES | PLAIN | LEAN, .gives = STAGES},
    {.name = "layout", .program_with = pass_layout, .needs = STAGES, .gives = LAID},
    {.name = "dedup", .program = pass_dedup, .needs = STAGES | LAID, .gives = UNIQUE},
    {.name = "schedule", .program_with = pass_schedule, .needs = STAGES | UNIQUE, .gives = LOOPS},
    {.name = "memory", .program_with = pass_memory, .needs = LOOPS | UNIQUE, .gives = PLANNED},
};
enum { NPASS = sizeof table / sizeof *table };

static void check_table(void) {
  int have = 0;
  for (int i = 0; i < NPASS; i++) {
    if (table[i].needs & ~have) bug("pipeline: pass %s needs what no pass before it gives (0x%x)", table[i].name, table[i].needs & ~have);
    have = (have & ~table[i].breaks) | table[i].gives;
  }
  if (!(have & PLANNED)) bug("pipeline: the last pass leaves no planned program");
}

bool pipeline_has(const char *name) {
  for (int i = 0; i < NPASS; i++)
    if (!strcmp(table[i].name, name)) return true;
  return false;
}

void pipeline_names(Text *t) {
  for (int i = 0; i < NPASS; i++) put(t, "%s\n", table[i].name);
}

/* ---- what runs ---- */

typedef struct State {
  Graph *graph;     // until lower
  Program *program; // from lower on
} State;
static State now;
static const char *dump_dir = ".";
static PassTime times[NPASS];
static int ntimes;

static void forget(void) {
  now = (State){0};
  ntimes = 0;
}

static void write_file(const char *path, const Text *t) {
  FILE *f = fopen(path, "wb");
  if (!f || (t->n && fwrite(t->p, 1, t->n, f) != t->n) || fclose(f))
    fail(EXIT_OUTPUT, "io.write", NOWHERE, "cannot write %s: %s", path, strerror(errno));
}

const char *dump_ir(const Graph *g, const Program *p, const char *dir, const char *stem) {
  Text text = {0}, side = {0};
  if (p) program_print(p, &text, &side);
  else graph_print(g, &text, &side);
  const char *path = fmt("%s/%s.%s", dir, stem, p ? "kir" : "ir");
  write_file(path, &text);
  if (side.n) write_file(fmt("%s.data", path), &side);
  return path;
}

static const char *dump_bug(void) {
  if (!now.graph && !now.program) return NULL;
  return dump_ir(now.graph, now.program, dump_dir, "tenon-bug");
}

static bool asked(const char *option, const char *pass) { return option && *option && (!strcmp(option, "all") || !strcmp(option, pass)); }

static void dump(int i, const char *when) { dump_ir(now.graph, now.program, dump_dir, fmt("%02d-%s-%s", i, when, table[i].name)); }

static void verify(int have) {
  if (now.program) program_verify(now.program);
  else graph_verify(now.graph, (have & TYPES) != 0);
}

static void call(const PassRow *p, const Options *o) {
  if (p->graph) p->graph(now.graph);
  else if (p->graph_with) p->graph_with(now.graph, o);
  else if (p->program) p->program(now.program);
  else if (p->program_with) p->program_with(now.program, o);
  else now.program = p->lower(now.graph, o);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_one(int i, int *have, const Options *o) {
  const PassRow *p = &table[i];
  current_pass = p->name;
  progress(p->name, i, NPASS);
  if (asked(o->dump_before, p->name)) dump(i, "before");
  double start = seconds();
  call(p, o);
  times[ntimes++] = (PassTime){p->name, seconds() - start, mem_used()};
  check_reports();
  *have = (*have & ~p->breaks) | p->gives;
  if (asked(o->dump_after, p->name)) dump(i, "after");
  if (o->verify) verify(*have);
  current_pass = NULL;
}

// Runs rows first.. until the end or --stop-after; a row whose property the input has already (a resumed dump) is left out.
static Program *run(int first, int have, const Options *o) {
  check_table();
  at_reset(forget);
  ntimes = 0;
  bug_dump = dump_bug;
  dump_dir = o->dump_dir && *o->dump_dir ? o->dump_dir : ".";
  for (int i = first; i < NPASS; i++) {
    if (table[i].gives & have & (LAID | UNIQUE | LOOPS | PLANNED)) continue;
    run_one(i, &have, o);
    if (o->stop_after && !strcmp(o->stop_after, table[i].name)) break;
  }
  return now.program;
}

Program *pipeline_run(Graph *g, const Options *o) {
  now = (State){g, NULL};
  if (o->verify) graph_verify(g, false);
  return run(0, 0, o);
}

static int row_of(const char *name) {
  for (int i = 0; i < NPASS; i++)
    if (!strcmp(table[i].name, name)) return i;
  bug("there is no pass %s", name);
}

Program *pipeline_resume(Program *p, const Options *o) {
  now = (State){NULL, p};
  int have = TYPES | PLAIN | LEAN | STAGES;
  bool built = true;
  for (int i = 0; i < p->nkernel; i++) built &= p->kernel[i]->tree != NULL;
  if (built) have |= LAID | UNIQUE | LOOPS;
  if (p->arena) have |= LAID | UNIQUE | LOOPS | PLANNED;
  if (o->verify) program_verify(p);
  return run(row_of("layout"), have, o);
}

Program *pipeline_plain(Graph *g, const Options *o) {
  Options plain = *o;
  plain.opt = 0, plain.stop_after = plain.dump_after = plain.dump_before = NULL;
  now = (State){g, NULL};
  int have = 0;
  ntimes = 0;
  for (int i = 0; i < NPASS; i++)
    if (!table[i].optional) run_one(i, &have, &plain);
  return now.program;
}

Program *pipeline_golden(Graph *g, const char *pass, const Options *o) {
  int last = row_of(pass), have = 0;
  bool alone = table[last].graph || table[last].graph_with;
  now = (State){g, NULL};
  ntimes = 0;
  for (int i = 0; i <= last; i++)
    if (!alone || i == last || i <= row_of("infer")) run_one(i, &have, o);
  return now.program;
}

int pipeline_times(const PassTime **out) {
  *out = times;
  return ntimes;
}
