// schedule.h - the default scheduler's parts. A schedule is made from the shape of the stages and a target row; no op is named here.
#pragma once
#include "passes/passes.h"

typedef struct Sched {
  Kernel *k;
  const Target *t;
  int nsplit; // for names
} Sched;

bool axis_among(const IExpr *a, IExpr *const *set, int n);
bool stage_stores(const Stage *, const IExpr *axis); // the axis is one of the store's indices, by itself
int stage_spatial(const Stage *, IExpr **out);       // its axes that are not reduced
int stage_reduced(const Stage *, IExpr **out);
bool ex_uses(Ex *, const IExpr *axis);                                // some load or index in it depends on the axis
int64_t extent_or(const IExpr *axis, int64_t unknown);                // constant extent of an axis, or a guess
int stage_loads(const Stage *, Ex **out, int max);                    // its loads; max if there are more
int64_t load_stride(const Ex *load, const IExpr *axis, bool *affine); // elements per step of the axis
// Steps of 1, 0 or other that an axis makes in memory: with a blocked layout the axis of the innermost part is contiguous inside its block.
int64_t access_stride(const Buf *, IExpr *const *index, const IExpr *axis, bool *affine);
int stage_ops(const Stage *);                                   // scalar operations per point
const char *sched_axis(Sched *, IExpr *axis, const char *text); // a split of the axis, of a fresh name
bool kernel_is_ordered(const Kernel *);

typedef struct Rows { // a run of stages over the same rows
  int first;          // position of the first stage
  IExpr *row[MAX_AXES], *inner;
  int nrow;
} Rows;
void sched_row_group(Sched *, Rows *, const char *rows, int outer, const char *last);
bool stage_is_contraction(const Stage *);
Ex *only_load(Ex *); // the load that an operand is, through conversions; NULL: more than one

void sched_collapse(Kernel *);   // adjacent axes that are contiguous everywhere become one
bool sched_contraction(Sched *); // acc[C] += A * B, with an epilogue; false: not of that shape
bool sched_rows(Sched *);        // folds over one axis and elementwise stages over the same rows
bool sched_attention(Sched *);   // contraction, row group, contraction
bool sched_shared(Sched *);      // folds and elementwise stages over the same spatial axes
void sched_apart(Sched *);       // every stage its own nest
void sched_cuda(Sched *);        // for a GPU: blocks and threads
