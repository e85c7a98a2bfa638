// expand_warping.c - DynamicTimeWarping: the cheapest path through a matrix of costs from its first to its last cell, each step one cell
// down, right, or both.
//
// The costs of paths are summed one antidiagonal per iteration of a Loop, all its cells at once: cell (i,j) is entry i of diagonal i+j,
// and its three predecessors lie on the two diagonals before. A second Loop walks back along the steps that were noted.
#include "passes/expand.h"
#include <math.h>

typedef struct Cells {
  Value *cost, *rows, *columns; // f32[rows*columns], i64[1], i64[1]
} Cells;
enum { BOTH, DOWN, RIGHT };

static Value *outside_before(const B *b, Value *v, Value *n) { // the entry of the row above: none above the first
  return slice_dyn(b, concat(b, 0, VALUES(reshape_to(b, num_like(b, v, INFINITY), INTS(1)), v)), 0, int1(b, 0), n);
}

static Value *least_of_three(const B *b, Value *x, Value *y, Value *z) { // is x less than y and z?
  return op2(b, OP_And, op2(b, OP_Less, x, y), op2(b, OP_Less, x, z));
}

// Carries the last two diagonals; gives each diagonal's steps
static Graph *forward_body(const B *outer, const Cells *m, const Type *diagonal) {
  Graph *g = graph_new(sym("forward"), outer->g);
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  Value *d = graph_input(g, NULL, type_tensor(DT_I64, 0, NULL)), *go = graph_input(g, NULL, type_tensor(DT_BOOL, 0, NULL));
  Value *before = graph_input(g, NULL, diagonal), *last = graph_input(g, NULL, diagonal);
  Value *i = count_up(b, m->rows), *j = sub(b, d, i), *zero = num(b, DT_I64, 0);
  Value *is_cell = op2(b, OP_And, op2(b, OP_GreaterOrEqual, j, zero), op2(b, OP_Less, j, m->columns));
  Value *own = gather(b, m->cost, where(b, is_cell, add(b, mul(b, i, m->columns), j), zero), 0);
  Value *both = outside_before(b, before, m->rows), *down = outside_before(b, last, m->rows), *right = last;
  Value *first = op2(b, OP_And, op2(b, OP_Equal, i, zero), op2(b, OP_Equal, d, zero));
  both = where(b, first, num(b, DT_F32, 0), both);
  Value *by_both = least_of_three(b, both, down, right), *by_down = least_of_three(b, down, both, right);
  Value *sum = add(b, own, where(b, by_both, both, where(b, by_down, down, right)));
  graph_output(g, op1(b, OP_Identity, go));
  graph_output(g, op1(b, OP_Identity, last));
  graph_output(g, where(b, is_cell, sum, num(b, DT_F32, INFINITY)));
  graph_output(g, where(b, by_both, num(b, DT_I32, BOTH), where(b, by_down, num(b, DT_I32, DOWN), num(b, DT_I32, RIGHT))));
  return g;
}

// Carries a cell i64[2]; gives it, and goes to the one before
static Graph *backward_body(const B *outer, const Cells *m, Value *steps) {
  Graph *g = graph_new(sym("backward"), outer->g);
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  int64_t two = 2, axis = 0;
  IExpr *pair = ix(two);
  graph_input(g, NULL, type_tensor(DT_I64, 0, NULL)), graph_input(g, NULL, type_tensor(DT_BOOL, 0, NULL));
  Value *cell = graph_input(g, NULL, type_tensor(DT_I64, 1, &pair));
  Value *i = slice(b, cell, 0, 0, 1), *j = slice(b, cell, 0, 1, 2);
  Value *step = gather(b, steps, add(b, mul(b, add(b, i, j), m->rows), i), 0); // i32[1]
  Value *up = cast(b, op1(b, OP_Not, op2(b, OP_Equal, step, num(b, DT_I32, RIGHT))), DT_I64);
  Value *left = cast(b, op1(b, OP_Not, op2(b, OP_Equal, step, num(b, DT_I32, DOWN))), DT_I64);
  Value *next = sub(b, cell, concat(b, 0, VALUES(up, left)));
  Value *inside = op2(b, OP_GreaterOrEqual, reduce(b, OP_ReduceMin, next, 1, &axis, false), num(b, DT_I64, 0));
  graph_output(g, inside);
  graph_output(g, next);
  graph_output(g, op1(b, OP_Identity, cell));
  return g;
}

void expand_dynamic_time_warping(const B *b) {
  Value *x = in(b, 0), *one = int1(b, 1), *yes = num(b, DT_BOOL, 1);
  int r = rank_of(x);
  int64_t batch = 1;
  if (r < 2 || r > 3 || (r == 3 && known_dim(x, 0, &batch) && batch != 1)) cannot(b, "an input that is not one matrix");
  Cells m = {reshape_to(b, x, INTS(-1)), dim_of(b, x, r - 2), dim_of(b, x, r - 1)};
  Value *most = sub(b, add(b, m.rows, m.columns), one), *trips = squeeze(b, most, 0), *none = filled(b, DT_F32, INFINITY, m.rows);
  Node *forward = start(b, OP_Loop, VALUES(trips, yes, none, none), 3);
  node_region(forward, forward_body(b, &m, none->type));
  finish(forward);
  Value *steps = reshape_to(b, forward->out[2], INTS(-1)), *last = sub(b, concat(b, 0, VALUES(m.rows, m.columns)), one);
  Node *backward = start(b, OP_Loop, VALUES(trips, yes, last), 2);
  node_region(backward, backward_body(b, &m, steps));
  finish(backward);
  Value *path = slice_step(b, backward->out[1], 0, -1, INT64_MIN, -1); // [length,2], first cell first
  give(b, 0, cast(b, transpose(b, path, INTS(1, 0)), DT_I32));
}
