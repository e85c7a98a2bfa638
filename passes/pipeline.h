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
