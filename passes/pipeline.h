// pipeline.h - what the driver asks of the pipeline besides running it (passes.h has pipeline_run, pipeline_resume, pipeline_names).
#pragma once
#include "passes.h"

typedef struct PassTime {
  const char *pass;
  double seconds;
  size_t memory; // in use after it
} PassTime;
int pipeline_times(const PassTime **); // of the last run, in order
bool pipeline_has(const char *pass);
// Writes DIR/STEM.ir or .kir and, where constants want it, the side file; gives the path.
const char *dump_ir(const Graph *, const Program *, const char *dir, const char *stem);
// For golden tests. plain: only the passes that a program needs, and no schedules. golden: a graph pass alone, after bind and infer; a pass
// on programs at the end of all before it. Both give NULL, or the program.
Program *pipeline_plain(Graph *, const Options *);
Program *pipeline_golden(Graph *, const char *pass, const Options *);
