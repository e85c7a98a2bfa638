// infer_reduce.c - shape rules of reductions, selections whose size depends on data, and losses.
#include "infer_rules.h"

/* ---- reductions ---- */

static IExpr *fold_two(OpId op, IExpr *a, IExpr *b) {
  switch (op) {
  case OP_ReduceSum: return ix_add(a, b);
  case OP_ReduceMax: return ix_max(a, b);
  case OP_ReduceMin: return ix_min(a, b);
  case OP_ReduceProd: return ix_mul(a, b);
  default: return NULL;
  }
}

static FTree *float_two(OpId op, bool f64, FTree *a, FTree *b) {
  switch (op) {
  case OP_ReduceSum: return ft_op(FT_ADD, f64, a, b);
  case OP_ReduceMax: return ft_op(FT_MAX, f64, a, b);
  case OP_ReduceMin: return ft_op(FT_MIN, f64, a, b);
  case OP_ReduceProd: return ft_op(FT_MUL, f64, a, b);
  default: return NULL;
  }
}

typedef struct Folding {
  Node *n;
  IExpr *r;
} Folding;
static void fold_all(void *u) {
  Folding *f = u;
  int count;
  IExpr **e, *r;
  f->r = NULL;
  if (!list_of(f->n->in[0], &count, &e) || count < 1) return;
  r = e[0];
  for (int i = 1; i < count && r; i++) r = fold_two(f->n->op->id, r, e[i]);
  f->r = count == 1 && !fold_two(f->n->op->id, r, r) ? NULL : r;
}

enum { TREES_MAX = 64 }; // a longer vector is a tensor of weights, not of sizes

static void reduce_trees(Node *n) {
  Elems x, r = {.n = 1, .f = NEWN(FTree *, 1)};
  OpId op = n->op->id;
  if (!elems_of(n->in[0], &x) || !x.f || x.n < 1 || x.n > TREES_MAX || !float_two(op, false, x.f[0], x.f[0])) return;
  r.f[0] = x.f[0];
  for (int i = 1; i < x.n; i++) r.f[0] = float_two(op, dtype_in(n, 0) == DT_F64, r.f[0], x.f[x.splat ? 0 : i]);
  out_elems(n, 0, r);
}

// A whole value vector: `TopK k = ReduceMin(300, n)`; sizes as floats: `max of the images' heights`.
static void reduce_elems(Node *n) {
  Folding f = {n, NULL};
  DType d = dtype_in(n, 0);
  if (node_out(n, 0) && (d == DT_F32 || d == DT_F64)) reduce_trees(n);
  if (!node_out(n, 0) || (d != DT_I32 && d != DT_I64) || !ix_try(fold_all, &f) || !f.r) return;
  IExpr **e = NEWN(IExpr *, 1);
  e[0] = f.r;
  out_ints(n, 0, 1, e);
}

static Dims reduced(Dims x, const bool *gone, bool keep) {
  Dims s = {0};
  for (int i = 0; i < x.rank; i++)
    if (!gone[i]) insert_dim(&s, s.rank, x.d[i]);
    else if (keep) insert_dim(&s, s.rank, ix(1));
  return s;
}

// Axes known only at run time.
static void reduce_any_axis(Node *n, Dims x, int k, IExpr **axis, bool keep) {
  Dims s = {.rank = keep ? x.rank : x.rank - k};
  if (s.rank < 0) s.rank = 0;
  for (int j = 0; j < s.rank; j++) {
    IExpr *sum = ix(0), *kept = ix(0);
    for (int m = 0; m < x.rank; m++) {
      IExpr *gone = ix(0);
      for (int i = 0; i < k; i++) gone = ix_add(gone, ix_eq(ix_select(ix_ge0(axis[i]), axis[i], ix_addk(axis[i], x.rank)), ix(m)));
      IExpr *stays = ix_not(gone);
      if (keep && m == j) sum = ix_select(gone, ix(1), x.d[m]);
      if (!keep) sum = ix_add(sum, ix_mul(ix_mul(stays, ix_eq(kept, ix(j))), x.d[m]));
      kept = ix_add(kept, stays);
    }
    s.d[j] = node_out(n, 0) ? ix_named(sym_fmt("%s.%d", base_name(node_out(n, 0)), j), sum) : sum;
    Atom *a = ix_is_atom(s.d[j]);
    if (a && a->kind == ATOM_SYM && a->def) {
      a->def = sum, a->derived = true;
      ix_narrow(a, 0, IX_DIM_MAX);
    }
  }
  out_sig(n, 0, s);
}

void shape_reduce(Node *n) {
  Dims x = dims_of(n->in[0]);
  bool keep = attr_int(n, "keepdims"), none = attr_int(n, "noop_with_empty_axes"), gone[MAX_RANK] = {0};
  int k = 0;
  IExpr **axis = NULL;
  int64_t a;
  if (node_in(n, 1) && !shape_operand(n, 1, &k, &axis)) {
    if (!keep) {
      unknown_rank(n, "the number of axes is not known");
      return;
    }
    for (int i = 0; i < x.rank; i++) x.d[i] = fresh_dim(n, 0, i, 0, ix_upper(x.d[i]) > 1 ? ix_upper(x.d[i]) : 1);
    out_sig(n, 0, x);
    return;
  }
  for (int i = 0; i < k; i++)
    if (!ix_const(axis[i], &a)) {
      reduce_any_axis(n, x, k, axis, keep);
      return;
    } else gone[axis_in(n, a, x.rank)] = true;
  for (int i = 0; i < x.rank && !k; i++) gone[i] = !none;
  out_sig(n, 0, reduced(x, gone, keep));
  bool whole = x.rank == 1 && gone[0];
  if (whole || x.rank == 0) reduce_elems(n);
}

void shape_reduce_attr(Node *n) { // axes as an attribute
  Dims x = dims_of(n->in[0]);
  const int64_t *v;
  int k = attr_ints(n, "axes", &v);
  bool gone[MAX_RANK] = {0};
  for (int i = 0; i < k; i++) gone[axis_in(n, v[i], x.rank)] = true;
  DType d = n->op->id == OP_ms_ReduceSumInteger ? (dtypes[dtype_in(n, 0)].is_signed ? DT_I32 : DT_U32) : dtype_in(n, 0);
  out_dims(n, 0, d, reduced(x, gone, attr_int(n, "keepdims")));
}

void shape_arg(Node *n) {
  Dims x = dims_of(n->in[0]);
  bool gone[MAX_RANK] = {0};
  gone[axis_in(n, attr_int(n, "axis"), x.rank)] = true;
  out_sig(n, 0, reduced(x, gone, attr_int(n, "keepdims")));
}

/* ---- selections ---- */

void shape_top_k(Node *n) {
  Dims s = dims_of(n->in[0]);
  int a = axis_in(n, attr_int(n, "axis"), s.rank), count;
  if (rank_in(n, 1) == 1) require_eq(n, dim_in(n, 1, 0), ix(1));
  IExpr **e, *k = shape_operand(n, 1, &count, &e) && count == 1 ? e[0] : fresh_dim(n, 0, a, 0, ix_upper(s.d[a]));
  require_ge0(n, k);
  require_ge0(n, ix_sub(s.d[a], k));
  s.d[a] = ix_resolve(k);
  out_sig(n, 0, s);
  out_dims(n, 1, DT_I64, s);
}

void shape_unique(Node *n) {
  Dims x = dims_of(n->in[0]);
  bool flat = !attr_has(n, "axis");
  int a = flat ? 0 : axis_in(n, attr_int(n, "axis"), x.rank);
  IExpr *all = flat ? product(x, 0, x.rank) : x.d[a], *count = fresh_dim(n, 0, a, 0, ix_upper(all));
  Dims s = flat ? dims(1, count) : x;
  s.d[a] = count;
  out_sig(n, 0, s);
  out_dims(n, 1, DT_I64, dims(1, count));
  out_dims(n, 2, DT_I64, dims(1, all));
  out_dims(n, 3, DT_I64, dims(1, count));
}

void shape_ms_unique(Node *n) { // values, index of each element among them, counts
  IExpr *count = fresh_dim(n, 0, 0, 0, ix_upper(dim_in(n, 0, 0)));
  out_sig(n, 0, dims(1, count));
  out_dims(n, 1, DT_I64, dims(1, dim_in(n, 0, 0)));
  out_dims(n, 2, DT_I64, dims(1, count));
}

static void known_nonzero(Node *n, Dims x, Elems e) { // all elements are constants
  int64_t size[MAX_RANK], k;
  int count = 0;
  for (int i = 0; i < x.rank; i++) ix_const(x.d[i], &size[i]);
  IExpr **r = NEWN(IExpr *, (int64_t)x.rank * e.n + 1);
  for (int i = 0; i < e.n; i++) count += ix_const(e.e[e.splat ? 0 : i], &k) && k;
  int at = 0;
  for (int i = 0; i < e.n; i++) {
    ix_const(e.e[e.splat ? 0 : i], &k);
    if (!k) continue;
    int64_t rest = i;
    for (int j = x.rank - 1; j >= 0; j--) r[j * count + at] = ix(rest % size[j]), rest /= size[j];
    at++;
  }
  out_sig(n, 0, dims(2, ix(x.rank), ix(count)));
  out_ints(n, 0, x.rank * count, r);
}

void shape_non_zero(Node *n) {
  Dims x = dims_of(n->in[0]);
  Elems e;
  bool known = elems_of(n->in[0], &e) && e.e, constant = known;
  for (int i = 0; known && i < (e.splat ? 1 : e.n); i++) constant &= ix_const(e.e[i], NULL);
  IExpr *all = product(x, 0, x.rank);
  if (constant && e.n >= 0 && x.rank * e.n <= ELEMS_MAX && x.rank) known_nonzero(n, x, e);
  else if (constant && e.splat) out_sig(n, 0, dims(2, ix(x.rank), ix_is(e.e[0], 0) ? ix(0) : all));
  else out_sig(n, 0, dims(2, ix(x.rank), fresh_dim(n, 0, 1, 0, ix_upper(all))));
}

void shape_order(Node *n) {
  Dims s = dims_of(n->in[0]);
  int count;
  IExpr **e, *k = shape_operand(n, 1, &count, &e) && count == 1 ? e[0] : fresh_dim(n, 0, 1, 0, ix_upper(s.d[1]));
  out_sig(n, 0, dims(2, s.d[0], ix_relu(k)));
  out_sig(n, 1, dims(1, s.d[0]));
}

void shape_order_rows(Node *n) { out_sig(n, 0, dims(1, dim_in(n, 0, 0))); }

void shape_suppress(Node *n) {
  int count;
  IExpr **e, *k = shape_operand(n, 3, &count, &e) && count == 1 ? e[0] : fresh_dim(n, 0, 1, 0, ix_upper(dim_in(n, 1, 1)));
  out_sig(n, 0, dims(2, dim_in(n, 1, 0), ix_relu(k)));
}

void shape_positions(Node *n) { out_sig(n, 0, dims(1, fresh_dim(n, 0, 0, 0, ix_upper(dim_in(n, 0, 0))))); }

void shape_non_max_suppression(Node *n) {
  Dims b = dims_of(n->in[0]), s = dims_of(n->in[1]);
  IExpr *top = node_in(n, 2) ? scalar_of(n->in[2]) : ix(0), *boxes = b.d[1];
  if (top && ix_lower(top) >= 0) boxes = ix_min(boxes, top);
  IExpr *most = ix_mul(ix_mul(s.d[0], s.d[1]), boxes);
  require_eq(n, b.d[0], s.d[0]), require_eq(n, b.d[1], s.d[2]), require_eq(n, b.d[2], ix(4));
  out_sig(n, 0, dims(2, fresh_dim(n, 0, 0, 0, ix_upper(most)), ix(3)));
}

/* ---- losses ---- */

static void loss(Node *n, Dims label) { out_dims(n, 0, dtype_in(n, 0), attr_is(n, "reduction", "none") ? label : dims(0)); }
void shape_negative_log_likelihood_loss(Node *n) { loss(n, dims_of(n->in[1])); }
void shape_softmax_cross_entropy_loss(Node *n) {
  loss(n, dims_of(n->in[1]));
  out_dims(n, 1, dtype_in(n, 0), dims_of(n->in[0]));
}
