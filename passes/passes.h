// passes.h - the passes in pipeline order, one file each. pipeline.c holds the order and its constraints.
#pragma once
#include "ir/graph.h"
#include "ir/host.h"
#include "ir/target.h"

typedef enum MathMode { MATH_STRICT, MATH_DEFAULT, MATH_FAST } MathMode;
typedef struct Options { // what the driver tells the passes
  const Target *target;
  MathMode math;
  int opt; // 0: plain loops, 2: scheduled
  bool openblas, verify, time_passes;
  const char *dump_after, *dump_before, *dump_dir, *stop_after;
  struct DimOption {
    Sym name;
    int64_t lo, hi;
  } *dim;
  int ndim;
  struct ShapeOption {
    Sym input;
    int n;
    struct {
      Sym name;
      int64_t size;
      bool keep;
    } dim[8];
  } *shape; // size -1: a symbol; keep: as the model says
  int nshape;
  struct StateOption {
    Sym in, out;
    int axis;
  } *state;
  int nstate;
} Options;

/* graph -> graph. All keep the graph verified (graph_verify). */
void pass_bind(Graph *, const Options *); // --dim, --shape: ranges of symbols, dims of inputs
void pass_infer(Graph *); // types of all values, shape values as elem, facts; fails on contradictions. Runs again after expand
void pass_simplify(Graph *, const Options *); // no-ops, known values to constants, algebraic identities, BatchNorm into Conv, ..
void pass_fold(Graph *);                      // nodes whose operands are constants, by the interpreter, within size limits
void pass_gradient(Graph *);                  // Gradient: derivatives of values that it names, by reverse mode
void pass_sizes(Graph *);                     // sizes that come from run-time floats: computed by integer nodes
void pass_expand(Graph *, const Options *);   // EXPAND rows -> graph ops, until none is left
void pass_cse(Graph *);
void pass_dce(Graph *);
/* graph -> program of kernels in stage form */
Program *pass_lower(Graph *, const Options *); // grouping, pull lowering, host program
/* kernels -> scheduled and built kernels */
void pass_layout(Program *, const Options *); // channel-blocked intermediate tensors
void pass_schedule(Program *, const Options *);
void pass_dedup(Program *);
void pass_memory(Program *, const Options *); // arena offsets, in-place, workspace size

Program *pipeline_run(Graph *, const Options *);      // the table, with verify, dumps, timing; returns NULL if stopped at a graph pass
Program *pipeline_resume(Program *, const Options *); // from a .kir dump: what is still to do
void pipeline_names(Text *);                          // --print=passes
