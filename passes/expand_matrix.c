// expand_matrix.c - determinants and inverses: of small matrices by minors, of others by elimination in a Loop.
#include "passes/expand.h"

enum { LARGEST = 4 };

// The determinant of the n rows and columns that are left
static Value *minor_of(const B *b, Value *x, int n, const int64_t *row, const int64_t *column) {
  Value *sum = NULL;
  int r = rank_of(x);
  if (n == 0) return num_like(b, x, 1);
  for (int i = 0; i < n; i++) {
    int64_t rest[LARGEST];
    int m = 0;
    for (int j = 0; j < n; j++)
      if (j != i) rest[m++] = column[j];
    Value *a = pick(b, pick(b, x, r - 2, row[0]), r - 2, column[i]), *term = m ? mul(b, a, minor_of(b, x, m, row + 1, rest)) : a;
    sum = !sum ? term : i % 2 ? sub(b, sum, term) : add(b, sum, term);
  }
  return sum;
}

static const int64_t all[LARGEST] = {0, 1, 2, 3};

static int small_order(const Value *x) { // 0: not small, or only the run knows
  int64_t n;
  return known_dim(x, -1, &n) && n >= 1 && n <= LARGEST ? (int)n : 0;
}

/* ---- elimination with partial pivoting, one column per iteration; batches side by side ---- */
typedef struct Elimination { // what the body begins with
  const B *b;
  int r;         // rank of the matrices
  Value *i;      // i64[1]: the column
  Value *row;    // i64[n,1]: 0, 1, ..
  Value *from;   // [..,1,1]: the row that comes to place i
  Value *a;      // with the rows swapped
  Value *top;    // [..,1,m]: row i
  Value *pivot;  // [..,1,1]
  Value *column; // [..,n,1]: column i
} Elimination;

static void choose_pivot(Elimination *e, Value *a) {
  const B *b = e->b;
  int r = e->r;
  Value *size = op1(b, OP_Abs, gather(b, a, e->i, r - 1)), *below = op2(b, OP_GreaterOrEqual, e->row, e->i);
  Node *best = start(b, OP_ArgMax, VALUES(where(b, below, size, num_like(b, a, -1))), 1);
  node_set_int(best, "axis", r - 2);
  node_set_int(best, "keepdims", 1);
  e->from = finish(best);
  Value *moved = where(b, op2(b, OP_Equal, e->row, e->from), e->i, e->row);
  moved = where(b, op2(b, OP_Equal, e->row, e->i), e->from, moved);
  e->a = op2_int(b, OP_GatherElements, a, expand_to(b, moved, shape_of(b, a)), "axis", r - 2);
  e->top = gather(b, e->a, e->i, r - 2);
  e->pivot = gather(b, e->top, e->i, r - 1);
  e->column = gather(b, e->a, e->i, r - 1);
}

// Rows below the pivot lose their multiple of it; the determinant is the pivots' product, negated by each swap
static Value *to_triangle(const Elimination *e, Value **det) {
  const B *b = e->b;
  Value *sign = where(b, op2(b, OP_Equal, e->from, e->i), num_like(b, e->a, 1), num_like(b, e->a, -1));
  *det = mul(b, *det, mul(b, e->pivot, sign));
  Value *none = op2(b, OP_Equal, e->pivot, num_like(b, e->a, 0)); // then the whole column below is 0
  Value *factor = quo(b, e->column, where(b, none, num_like(b, e->a, 1), e->pivot));
  return where(b, op2(b, OP_Greater, e->row, e->i), sub(b, e->a, mul(b, factor, e->top)), e->a);
}

// Gauss-Jordan: the pivot's row is scaled to 1, all others lose their multiple of it
static Value *to_identity(const Elimination *e) {
  const B *b = e->b;
  Value *top = quo(b, e->top, e->pivot);
  return where(b, op2(b, OP_Equal, e->row, e->i), top, sub(b, e->a, mul(b, e->column, top)));
}

static Graph *elimination_body(const B *outer, Value *a0, Value *n, Value *det0) {
  Graph *g = graph_new(sym("elimination"), outer->g);
  B inner = {g, NULL, outer->like};
  const B *b = &inner;
  Value *i = graph_input(g, NULL, type_tensor(DT_I64, 0, NULL)), *go = graph_input(g, NULL, type_tensor(DT_BOOL, 0, NULL));
  Value *a = graph_input(g, NULL, a0->type), *det = det0 ? graph_input(g, NULL, det0->type) : NULL;
  Elimination e = {.b = b, .r = rank_of(a), .i = unsqueeze(b, i, INTS(0)), .row = unsqueeze(b, count_up(b, n), INTS(1))};
  choose_pivot(&e, a);
  graph_output(g, op1(b, OP_Identity, go));
  graph_output(g, det ? to_triangle(&e, &det) : to_identity(&e));
  if (det) graph_output(g, det);
  return g;
}

static Node *eliminate(const B *b, Value *a, Value *det) {
  Value *n = dim_of(b, a, rank_of(a) - 2), *operand[] = {squeeze(b, n, 0), num(b, DT_BOOL, 1), a, det};
  Node *loop = start(b, OP_Loop, det ? 4 : 3, operand, det ? 2 : 1);
  node_region(loop, elimination_body(b, a, n, det));
  finish(loop);
  return loop;
}

void expand_det(const B *b) {
  Value *x = in(b, 0), *w = wide(b, x), *y;
  int n = small_order(w), r = rank_of(w);
  if (n) y = minor_of(b, w, n, all, all);
  else {
    Value *dim[MAX_RANK];
    for (int i = 0; i < r; i++) dim[i] = i < r - 2 ? dim_of(b, w, i) : int1(b, 1);
    Value *ones = filled(b, dtype(w), 1, join(b, r, dim));
    y = squeeze(b, squeeze(b, eliminate(b, w, ones)->out[1], r - 1), r - 2);
  }
  give(b, 0, cast(b, y, dtype(x)));
}

static Value *with_identity(const B *b, Value *x) { // [x | 1]
  int r = rank_of(x);
  Value *n = dim_of(b, x, r - 2), *i = count_up(b, n);
  Value *one = cast(b, op2(b, OP_Equal, i, unsqueeze(b, i, INTS(1))), dtype(x));
  return concat(b, r - 1, VALUES(x, expand_to(b, one, shape_of(b, x))));
}

static void without(int n, int i, int64_t *left) {
  for (int j = 0, m = 0; j < n; j++)
    if (j != i) left[m++] = j;
}

// Cofactors over the determinant; a singular matrix gives what the division gives
void expand_inverse(const B *b) {
  Value *x = in(b, 0), *w = wide(b, x), *part[LARGEST * LARGEST];
  int n = small_order(w), r = rank_of(w);
  if (!n) {
    Value *size = dim_of(b, w, r - 1), *y = eliminate(b, with_identity(b, w), NULL)->out[0];
    give(b, 0, cast(b, slice_dyn(b, y, r - 1, size, add(b, size, size)), dtype(x)));
    return;
  }
  int64_t last = r - 2, row[LARGEST], column[LARGEST];
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) { // element (i,j) from the minor without row j and column i
      without(n, j, row), without(n, i, column);
      Value *c = minor_of(b, w, n - 1, row, column);
      if (r > 2 && rank_of(c) == 0) c = expand_to(b, c, shape_of(b, pick(b, pick(b, w, r - 1, 0), r - 2, 0)));
      part[i * n + j] = unsqueeze(b, (i + j) % 2 ? op1(b, OP_Neg, c) : c, 1, &last);
    }
  Value *y = reshape(b, concat(b, (int)last, n * n, part), shape_of(b, w));
  int64_t axes[] = {r - 2, r - 1};
  give(b, 0, cast(b, quo(b, y, unsqueeze(b, minor_of(b, w, n, all, all), 2, axes)), dtype(x)));
}
