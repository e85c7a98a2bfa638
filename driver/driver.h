// driver.h - the rooms of the `tenon` command: diagnostics and progress on a terminal, and the three verbs.
#pragma once
#include "frontend/frontend.h"
#include "ir/host.h"
#include "options.h"
#include "passes/passes.h"
#include "passes/pipeline.h"

/* diagnose.c */
void diagnose_start(void);          // reads --diagnostics, --color, --progress, -q; takes over diagnostic_sink and progress_sink
void diagnose_end(Exit);            // JSON's summary line; erases the progress line
void note_output(const char *path); // for the summary
bool color_on(int fd);
void put_shown(Text *, const char *name);                  // a name from a model, with control characters as \xNN
void put_json(Text *, const char *s);                      // "..." in JSON
const char *json_field(const char *key, const char *text); // `"key": "text"`

/* model.c: what the input is, and reading it */
char input_kind(const char *path); // 'o', 'i', 'k' by suffix
typedef struct Model {
  Graph *graph;
  Program *program; // of a .kir dump
} Model;
Model model_read(const char *path);
Options *pass_options(void); // from the command line

/* the verbs: each runs under protect() */
void compile(void *);
void check(void *);
void inspect(void *);
