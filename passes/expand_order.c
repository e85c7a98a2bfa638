// expand_order.c - selections whose size depends on data, and orders: NonZero, Compress, TopK, Unique, NonMaxSuppression.
//
// They become views and elementwise ops around a few rows of the domain tenon: Positions (where a condition holds), Order (sorted
// indices of integer keys), OrderRows, Suppress.
#include "passes/expand.h"

static Value *flat(const B *b, Value *x) { return rank_of(x) == 1 ? x : reshape_to(b, x, INTS(-1)); }
static Value *positions(const B *b, Value *mask) { return op1(b, OP_Positions, flat(b, mask)); }

/* ---- NonZero, Compress ---- */
void expand_non_zero(const B *b) {
  Value *x = in(b, 0), *at = positions(b, cast(b, x, DT_BOOL)), *row[MAX_RANK];
  int r = rank_of(x);
  if (r == 0) {
    give(b, 0, zeros(b, DT_I64, join(b, VALUES(int1(b, 0), shape_of(b, at)))));
    return;
  }
  for (int d = r - 1; d > 0; d--) {
    Value *n = squeeze(b, dim_of(b, x, d), 0);
    Value *q = quo(b, at, n);
    row[d] = unsqueeze(b, sub(b, at, mul(b, q, n)), INTS(0)), at = q;
  }
  row[0] = unsqueeze(b, at, INTS(0));
  give(b, 0, r == 1 ? row[0] : concat(b, 0, r, row));
}

void expand_compress(const B *b) {
  Value *x = in(b, 0), *at = positions(b, in(b, 1));
  bool axis = attr_has(b->at, "axis");
  give(b, 0, axis ? gather(b, x, at, (int)attr_int(b->at, "axis")) : gather(b, flat(b, x), at, 0));
}

/* ---- keys: integers that have the order of the values ---- */
static Value *limit(const B *b, DType t, bool greatest) {
  Tensor *v = tensor_new(t, 0, NULL, NULL);
  tensor_set_int(v, 0, t == DT_I32 ? (greatest ? INT32_MAX : INT32_MIN) : greatest ? INT64_MAX : INT64_MIN);
  return graph_const(b->g, NULL, v);
}
static Value *bits(const B *b, Value *x, DType to) { return op1_int(b, OP_BitCast, x, "to", to); }
// Zeros are equal; a NaN is greater than all numbers and equal to other NaNs.
static Value *float_key(const B *b, Value *x, DType to) {
  Value *k = bits(b, x, to), *negative = sub(b, limit(b, to, false), k);
  k = where(b, op2(b, OP_Less, k, num(b, to, 0)), negative, k);
  return where(b, op1(b, OP_IsNaN, x), limit(b, to, true), k);
}
static Value *key_of(const B *b, Value *x) {
  DType t = dtype(x);
  if (dtypes[t].is_float && t != DT_F64) return float_key(b, cast(b, x, DT_F32), DT_I32);
  if (t == DT_F64) return float_key(b, x, DT_I64);
  if (t == DT_U64) return add(b, bits(b, x, DT_I64), limit(b, DT_I64, false));
  if (t == DT_BOOL || dtypes[t].is_int) return cast(b, x, t == DT_I64 || t == DT_U32 ? DT_I64 : DT_I32);
  cannot(b, "elements of %s have no order here", dtypes[t].name);
}

/* ---- TopK ---- */
// x as rows [R,n] along an axis, and back. Behind `rows` the axis is last; a row for each index of the other axes.
static Value *last_axis(const B *b, Value *x, int axis, bool back) {
  int64_t perm[MAX_RANK];
  int r = rank_of(x);
  for (int i = 0; i < r; i++) perm[i] = back ? (i < axis ? i : i == axis ? r - 1 : i - 1) : i < axis ? i : i == r - 1 ? axis : i + 1;
  return axis == r - 1 ? x : transpose(b, x, r, perm);
}
static Node *order(const B *b, Value *key, Value *k, Value *least, Value *top, int64_t block) {
  Node *n = start(b, OP_Order, VALUES(key, k, least, top), 2);
  node_set_int(n, "block", block);
  finish(n);
  return n;
}
// Where few of many are wanted: the k-th greatest of the blocks' greatest keys is no greater than the k-th greatest of all, and most blocks
// have nothing at or above it.
static int64_t block_for(const Value *rows, Value *k) {
  int n;
  const int64_t *v;
  int64_t size;
  if (!value_ints(k, &n, &v) || n != 1) return 0;
  if (!known_dim(rows, 1, &size)) size = 1 << 16;
  return size < 512 ? 0 : size / 64 >= 2 * v[0] ? 64 : size / 16 >= 2 * v[0] ? 16 : 0;
}
// A few: k times the greatest key behind the one before, and the first index that holds it. Rows and vectors come with the folds.
enum { FEW = 8 };
static bool is_few(const Value *rows, const Value *k, int64_t *count) {
  int n;
  const int64_t *v;
  int64_t size;
  if (!value_ints(k, &n, &v) || n != 1 || v[0] < 1) return false;
  *count = v[0];
  return v[0] <= 2 || (v[0] <= FEW && known_dim(rows, 1, &size) && size < 512);
}
static Value *best_few(const B *b, Value *key, int64_t k) {
  DType t = ix_upper(value_dim(key, 1)) > INT32_MAX ? DT_I64 : DT_I32;
  Value *index = cast(b, count_up(b, dim_of(b, key, 1)), t), *none = limit(b, t, true), *at[FEW], *left = NULL;
  for (int64_t i = 0; i < k; i++) {
    Value *open = left ? where(b, left, key, limit(b, dtype(key), false)) : key, *top = reduce(b, OP_ReduceMax, open, INTS(1), true);
    Value *here = and_opt(b, op2(b, OP_Equal, key, top), left);
    at[i] = reduce(b, OP_ReduceMin, where(b, here, index, none), INTS(1), true);
    left = op2(b, OP_Or, op2(b, OP_Less, key, top), op2(b, OP_And, op2(b, OP_Equal, key, top), op2(b, OP_Greater, index, at[i])));
  }
  return cast(b, k == 1 ? at[0] : concat(b, 1, (int)k, at), DT_I64);
}
static Value *best(const B *b, Value *key, Value *k) {
  int64_t block = block_for(key, k), count;
  if (is_few(key, k, &count)) return best_few(b, key, count);
  if (!block) return order(b, key, k, NULL, NULL, 0)->out[0];
  Value *whole = quo(b, dim_of(b, key, 1), int1(b, block)), *end = mul(b, whole, int1(b, block));
  Value *blocks = reshape(b, slice_dyn(b, key, 1, int1(b, 0), end), join(b, VALUES(dim_of(b, key, 0), whole, int1(b, block))));
  Value *top = reduce(b, OP_ReduceMax, blocks, INTS(2), false);
  return order(b, key, k, order(b, top, k, NULL, NULL, 0)->out[1], top, block)->out[0];
}
// A tensor as rows, and results of the rows as a tensor: no reshapes of two or fewer axes, whose quotients users would see.
static Value *as_rows(const B *b, Value *x) {
  int r = rank_of(x);
  if (r <= 2) return r == 1 ? unsqueeze(b, x, INTS(0)) : x;
  Value *shape = shape_of(b, x), *outer = op2_int(b, OP_ReduceProd, slice(b, shape, 0, 0, r - 1), int1(b, 0), "keepdims", 1);
  return op2_int(b, OP_Reshape, x, join(b, VALUES(outer, slice(b, shape, 0, r - 1, r))), "allowzero", 1);
}
static Value *from_rows(const B *b, Value *rows, Value *like, Value *k) {
  int r = rank_of(like);
  if (r <= 2) return r == 1 ? squeeze(b, rows, 0) : rows;
  return op2_int(b, OP_Reshape, rows, join(b, VALUES(slice(b, shape_of(b, like), 0, 0, r - 1), k)), "allowzero", 1);
}
void expand_top_k(const B *b) {
  Value *x = in(b, 0), *k = reshape_to(b, in(b, 1), INTS(1));
  int r = rank_of(x), axis = (int)attr_int(b->at, "axis");
  if (axis < 0) axis += r;
  Value *key = last_axis(b, key_of(b, x), axis, false);
  if (!attr_int(b->at, "largest")) key = op1(b, OP_BitwiseNot, key);
  Value *at = last_axis(b, from_rows(b, best(b, as_rows(b, key), k), key, k), axis, true);
  give(b, 1, at);
  if (wanted(b, 0)) give(b, 0, op2_int(b, OP_GatherElements, x, at, "axis", axis));
}

/* ---- Unique ---- */
typedef struct Groups {                            // of equal slices; group g of the sorted slices begins at starts[g]
  Value *sorted, *is_new, *starts, *index, *count; // index: 0 .. groups-1; count: how many there are
} Groups;
static Value *sorted_slices(const B *b, Value *key) { // ascending; keys [n] or [n,m]
  if (rank_of(key) == 2) return op1(b, OP_OrderRows, key);
  return squeeze(b, order(b, unsqueeze(b, op1(b, OP_BitwiseNot, key), INTS(0)), dim_of(b, key, 0), NULL, NULL, 0)->out[0], 0);
}
static Groups groups_of(const B *b, Value *key) {
  Value *sorted = sorted_slices(b, key), *i = count_up(b, dim_of(b, key, 0)), *zero = num(b, DT_I64, 0);
  Value *before = gather(b, sorted, op2(b, OP_Max, sub(b, i, num(b, DT_I64, 1)), zero), 0);
  Value *differ = op1(b, OP_Not, op2(b, OP_Equal, gather(b, key, sorted, 0), gather(b, key, before, 0)));
  if (rank_of(key) == 2) differ = cast(b, reduce(b, OP_ReduceSum, cast(b, differ, DT_I32), INTS(1), false), DT_BOOL);
  Value *is_new = op2(b, OP_Or, op2(b, OP_Equal, i, zero), differ), *starts = positions(b, is_new), *count = dim_of(b, starts, 0);
  return (Groups){sorted, is_new, starts, count_up(b, count), count};
}
static Value *scattered(const B *b, Value *like, Value *to, Value *v) {
  return finish(start(b, OP_ScatterElements, VALUES(zeros(b, DT_I64, shape_of(b, like)), to, v), 1));
}
static Value *group_sizes(const B *b, const Groups *g) {
  Value *ends = concat(b, 0, 2, (Value *[]){g->starts, dim_of(b, g->sorted, 0)});
  return sub(b, gather(b, ends, add(b, g->index, num(b, DT_I64, 1)), 0), g->starts);
}
void expand_unique(const B *b) {
  Value *x = in(b, 0), *key;
  bool slices = attr_has(b->at, "axis");
  int axis = slices ? (int)attr_int(b->at, "axis") : 0, r = rank_of(x);
  int64_t perm[MAX_RANK];
  if (axis < 0) axis += r;
  if (slices && r > 1) {
    for (int i = 0; i < r; i++) perm[i] = i == 0 ? axis : i <= axis ? i - 1 : i;
    Value *front = transpose(b, key_of(b, x), r, perm), *shape = shape_of(b, front);
    Value *width = op2_int(b, OP_ReduceProd, slice(b, shape, 0, 1, r), int1(b, 0), "keepdims", 1);
    key = r == 2 ? front : op2_int(b, OP_Reshape, front, join(b, VALUES(slice(b, shape, 0, 0, 1), width)), "allowzero", 1);
  } else x = flat(b, x), key = key_of(b, x), axis = 0;
  Groups g = groups_of(b, key);
  Value *first = gather(b, g.sorted, g.starts, 0), *by = NULL; // by: the groups in the order of their first slices
  if (!attr_int(b->at, "sorted")) by = sorted_slices(b, first), first = gather(b, first, by, 0);
  give(b, 0, gather(b, x, first, axis));
  give(b, 1, first);
  if (wanted(b, 2)) {
    Value *group = sub(b, op2(b, OP_CumSum, cast(b, g.is_new, DT_I64), num(b, DT_I64, 0)), num(b, DT_I64, 1));
    Value *of = scattered(b, g.sorted, g.sorted, group);
    give(b, 2, by ? gather(b, scattered(b, g.starts, by, g.index), of, 0) : of);
  }
  if (wanted(b, 3)) {
    Value *size = group_sizes(b, &g);
    give(b, 3, by ? gather(b, size, by, 0) : size);
  }
}

/* ---- NonMaxSuppression ---- */
static Value *edges(const B *b, Value *boxes, bool center) { // [B,5,N]: y0, x0, y1, x1, area
  Value *c[4], *e[5];
  for (int i = 0; i < 4; i++) c[i] = pick(b, boxes, 2, i);
  for (int i = 0; i < 2 && center; i++) {
    Value *half = quo(b, c[3 - i], num(b, DT_F32, 2));
    e[i] = sub(b, c[1 - i], half), e[i + 2] = add(b, c[1 - i], half);
  }
  for (int i = 0; i < 2 && !center; i++) e[i] = op2(b, OP_Min, c[i], c[i + 2]), e[i + 2] = op2(b, OP_Max, c[i], c[i + 2]);
  e[4] = mul(b, sub(b, e[2], e[0]), sub(b, e[3], e[1]));
  for (int i = 0; i < 5; i++) e[i] = unsqueeze(b, e[i], INTS(1));
  return concat(b, 1, 5, e);
}
static Value *vector_of(const B *b, Value *x, DType otherwise) { // a scalar operand as a vector of one; 0 if it is absent
  return x ? reshape_to(b, x, INTS(1)) : reshape_to(b, num(b, otherwise, 0), INTS(1));
}
void expand_non_max_suppression(const B *b) {
  Value *scores = in(b, 1), *least = NULL, *n = dim_of(b, scores, 2), *classes = dim_of(b, scores, 1), *key = key_of(b, scores);
  if (in(b, 4)) { // what is not above the least score gets the lowest key, which takes no part
    Value *lowest = limit(b, DT_I32, false);
    key = where(b, op2(b, OP_Greater, scores, vector_of(b, in(b, 4), DT_F32)), key, lowest);
    least = expand_to(b, add(b, lowest, num(b, DT_I32, 1)), mul(b, dim_of(b, scores, 0), classes));
  }
  Value *most = op2(b, OP_Min, op2(b, OP_Max, vector_of(b, in(b, 2), DT_I64), int1(b, 0)), n);
  Value *sorted = order(b, as_rows(b, key), n, least, NULL, 0)->out[0], *edge = edges(b, in(b, 0), attr_int(b->at, "center_point_box"));
  Value *kept = finish(start(b, OP_Suppress, VALUES(edge, sorted, vector_of(b, in(b, 3), DT_F32), most), 1));
  Value *at = positions(b, op2(b, OP_GreaterOrEqual, kept, num(b, DT_I64, 0))), *row = quo(b, at, dim_of(b, kept, 1));
  Value *batch = quo(b, row, classes), *part[] = {batch, sub(b, row, mul(b, batch, classes)), gather(b, flat(b, kept), at, 0)};
  for (int i = 0; i < 3; i++) part[i] = unsqueeze(b, part[i], INTS(1));
  give(b, 0, concat(b, 1, 3, part));
}
