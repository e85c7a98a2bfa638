// expand_reduce.c - the index of the extreme element: two folds, no pairs.
#include "passes/expand.h"
#include <math.h>

// The first (or last) position that holds the extreme. NaN counts as the most extreme value, as numpy has it.
void expand_arg(const B *b) {
  Value *x = in(b, 0);
  int axis = (int)attr_int(b->at, "axis"), r = rank_of(x);
  if (axis < 0) axis += r;
  bool last = attr_int(b->at, "select_last_index");
  int64_t axes[1] = {axis};
  Value *best = reduce(b, b->at->op->id == OP_ArgMax ? OP_ReduceMax : OP_ReduceMin, x, 1, axes, true);
  Value *hit = op2(b, OP_Equal, x, best);
  if (dtypes[dtype(x)].is_float) hit = op2(b, OP_Or, hit, op1(b, OP_IsNaN, x));
  Value *i = along(b, count_up(b, dim_of(b, x, axis)), axis, r), *never = num(b, DT_I64, last ? -1 : (double)(INT64_C(1) << 40));
  give(b, 0, reduce(b, last ? OP_ReduceMax : OP_ReduceMin, where(b, hit, i, never), 1, axes, attr_int(b->at, "keepdims")));
}
