// infer_view.c - shape rules of views and index maps: Reshape, Slice, Gather, Concat and their like, with the elements they move. Sizes
// and axes given only at run time become expressions of their loaded elements; only a rank that depends on data is beyond us.
#include "infer_rules.h"

/* ---- names for sizes that are arithmetic on run-time numbers ---- */

// A dim whose expression says nothing to the algebra: a symbol that the host computes.
static IExpr *opaque_dim(Node *n, int axis, IExpr *e) {
  Value *v = node_out(n, 0);
  if (!v || ix_const(e, NULL) || ix_size(e) < 6 || ix_upper(e) < 0) return e;
  IExpr *s = ix_named(sym_fmt("%s.%d", base_name(v), axis), e);
  Atom *a = ix_is_atom(s);
  if (!a || a->kind != ATOM_SYM) return e;
  a->def = e, a->derived = true;
  ix_narrow(a, 0, IX_DIM_MAX);
  return s;
}

static IExpr *normal_axis(IExpr *a, int rank) { return ix_select(ix_ge0(a), a, ix_addk(a, rank)); }

// [axis j is among the k axes], 0 or 1
static IExpr *among(IExpr **axis, int k, int rank, int j) {
  IExpr *in = ix(0);
  for (int i = 0; i < k; i++) in = ix_add(in, ix_eq(normal_axis(axis[i], rank), ix(j)));
  return in;
}

static bool all_const(IExpr **e, int n, int64_t *v) {
  for (int i = 0; i < n; i++)
    if (!ix_const(e[i], &v[i])) return false;
  return true;
}

/* ---- Reshape and its like ---- */

// Numerator and denominator of a product over a product, without the factors that both have.
static void cancel(Dims a, Dims b, IExpr **p, IExpr **q) {
  for (int i = 0; i < a.rank; i++)
    for (int j = 0; j < b.rank; j++) {
      int64_t k;
      if (a.d[i] != b.d[j] || (ix_const(a.d[i], &k) && k == 0)) continue;
      a.d[i] = b.d[j] = ix(1);
      break;
    }
  *p = product(a, 0, a.rank), *q = product(b, 0, b.rank);
}

// Every target element decides at run time what it is: a size, 0 (copy) or -1 (the rest).
static Dims reshape_at_run_time(Node *n, Dims x, int count, IExpr **t, bool zero_is_zero) {
  Dims s = {.rank = count};
  IExpr *part[MAX_RANK], *rest = ix(1), *hole[MAX_RANK];
  for (int i = 0; i < count; i++) {
    IExpr *copy = !zero_is_zero && i < x.rank ? ix_mul(ix_eq(t[i], ix(0)), x.d[i]) : ix(0);
    part[i] = ix_add(ix_relu(t[i]), copy);
    hole[i] = ix_not(ix_ge0(t[i]));
    part[i] = opaque_dim(n, 100 + i, part[i]);
    rest = ix_mul(rest, ix_select(hole[i], ix(1), part[i]));
  }
  IExpr *left = opaque_dim(n, 200, ix_div(product(x, 0, x.rank), opaque_dim(n, 201, rest)));
  for (int i = 0; i < count; i++) s.d[i] = opaque_dim(n, i, ix_select(hole[i], left, part[i]));
  return s;
}

static Dims reshape_target(Node *n, Dims x, int count, IExpr **t, int *hole) {
  bool zero_is_zero = attr_int(n, "allowzero") != 0;
  Dims s = {.rank = count};
  *hole = -1;
  for (int i = 0; i < count; i++) {
    s.d[i] = t[i];
    if (ix_is(t[i], 0) && !zero_is_zero) {
      if (i < x.rank) s.d[i] = x.d[i];
      else wrong(n, "target element %d is 0, but the operand has no such dim", i);
    } else if (ix_upper(t[i]) < 0) {
      if (*hole >= 0) wrong(n, "more than one target element is negative");
      *hole = i, s.d[i] = ix(1);
    }
  }
  for (int i = 0; i < count; i++)
    if (i != *hole) require_ge0(n, s.d[i]);
  return s;
}

void shape_reshape(Node *n) {
  Dims x = dims_of(n->in[0]);
  int count, hole = -1;
  IExpr **t, *p, *q;
  if (!shape_operand(n, 1, &count, &t)) {
    unknown_rank(n, "it is the number of elements of the target shape");
    return;
  }
  if (count > MAX_RANK) {
    out_dims(n, 0, dtype_in(n, 0), (Dims){.rank = MAX_RANK + 1});
    return;
  }
  Dims s;
  bool free = false;
  for (int i = 0; i < count; i++) free |= loaded_itself(n->in[1], t[i]);
  if (free) s = reshape_at_run_time(n, x, count, t, attr_int(n, "allowzero") != 0);
  else {
    s = reshape_target(n, x, count, t, &hole);
    cancel(x, s, &p, &q);
    if (hole >= 0) s.d[hole] = ix_div(p, q);
    require_eq(n, p, hole >= 0 ? ix_mul(q, s.d[hole]) : q);
  }
  out_dims(n, 0, dtype_in(n, 0), s);
  view_elems(n, n->in[0]);
}

void shape_flatten(Node *n) {
  Dims x = dims_of(n->in[0]);
  int64_t a = attr_int(n, "axis");
  if (a == x.rank) a = x.rank;
  else a = axis_in(n, a, x.rank);
  out_sig(n, 0, dims(2, product(x, 0, (int)a), product(x, (int)a, x.rank)));
  view_elems(n, n->in[0]);
}

static void squeeze_at_run_time(Node *n, Dims x, int k, IExpr **axis) {
  Dims s = {.rank = x.rank > k ? x.rank - k : 0};
  for (int j = 0; j < s.rank; j++) { // result axis j is the j-th operand axis that is not among the axes
    IExpr *sum = ix(0), *kept = ix(0);
    for (int m = 0; m < x.rank; m++) {
      IExpr *stays = ix_not(among(axis, k, x.rank, m));
      sum = ix_add(sum, ix_mul(ix_mul(stays, ix_eq(kept, ix(j))), x.d[m]));
      kept = ix_add(kept, stays);
    }
    s.d[j] = opaque_dim(n, j, sum);
  }
  out_sig(n, 0, s);
}

void shape_squeeze(Node *n) {
  Dims x = dims_of(n->in[0]);
  int k = 0;
  IExpr **axis = NULL;
  int64_t v[64];
  bool gone[MAX_RANK] = {0};
  if (node_in(n, 1) && !shape_operand(n, 1, &k, &axis)) {
    unknown_rank(n, "the number of axes is not known");
    return;
  }
  if (axis && !all_const(axis, k, v)) {
    squeeze_at_run_time(n, x, k, axis);
    view_elems(n, n->in[0]);
    return;
  }
  for (int i = 0; i < k; i++) gone[axis_in(n, v[i], x.rank)] = true;
  for (int i = 0; i < x.rank; i++)
    if (!axis) gone[i] = ix_is(x.d[i], 1);
    else if (gone[i]) require_eq(n, x.d[i], ix(1));
  for (int i = x.rank - 1; i >= 0; i--)
    if (gone[i]) remove_dim(&x, i);
  out_sig(n, 0, x);
  view_elems(n, n->in[0]);
}

static Dims unsqueeze_at_run_time(Node *n, Dims x, int k, IExpr **axis) {
  Dims s = {.rank = x.rank + k > MAX_RANK ? MAX_RANK + 1 : x.rank + k};
  IExpr *before = ix(0); // new axes among the first j
  for (int j = 0; j < s.rank; j++) {
    IExpr *is_new = among(axis, k, s.rank, j), *old = ix(0);
    for (int m = 0; m < x.rank; m++) old = ix_add(old, ix_mul(ix_eq(before, ix(j - m)), x.d[m]));
    s.d[j] = opaque_dim(n, j, ix_select(is_new, ix(1), old));
    before = ix_add(before, is_new);
  }
  return s;
}

void shape_unsqueeze(Node *n) {
  Dims x = dims_of(n->in[0]);
  int k;
  IExpr **axis;
  int64_t v[64];
  bool is_new[MAX_RANK + 1] = {0};
  if (!shape_operand(n, 1, &k, &axis)) {
    unknown_rank(n, "the number of axes is not known");
    return;
  }
  if (x.rank + k > MAX_RANK) {
    out_sig(n, 0, (Dims){.rank = MAX_RANK + 1});
    return;
  }
  if (!all_const(axis, k, v)) x = unsqueeze_at_run_time(n, x, k, axis);
  else {
    int rank = x.rank + k;
    for (int i = 0; i < k; i++) is_new[axis_in(n, v[i], rank)] = true;
    for (int i = 0; i < rank; i++)
      if (is_new[i]) insert_dim(&x, i, ix(1));
    if (x.rank != rank) wrong(n, "the axes repeat");
  }
  out_sig(n, 0, x);
  view_elems(n, n->in[0]);
}

void shape_expand_dims(Node *n) {
  Dims x = dims_of(n->in[0]);
  int k;
  IExpr **axis;
  int64_t a;
  if (!shape_operand(n, 1, &k, &axis) || k != 1) unknown_rank(n, "there is not one axis");
  else if (ix_const(axis[0], &a)) {
    insert_dim(&x, axis_in(n, a, x.rank + 1), ix(1));
    out_sig(n, 0, x);
    view_elems(n, n->in[0]);
  } else out_sig(n, 0, unsqueeze_at_run_time(n, x, 1, axis));
}

void shape_bitcast(Node *n) {
  DType to = (DType)attr_int(n, "to");
  if (to <= DT_NONE || to >= DT_COUNT || dtypes[to].bits != dtypes[dtype_in(n, 0)].bits) {
    wrong(n, "the element types must have the same number of bits");
    to = dtype_in(n, 0);
  }
  out_dims(n, 0, to, dims_of(n->in[0]));
}

void shape_transpose(Node *n) {
  Dims x = dims_of(n->in[0]), s = {.rank = x.rank};
  int64_t perm[MAX_RANK], stride[MAX_RANK], own[MAX_RANK], step = 1, k;
  if (!ints_attr(n, "perm", perm, x.rank, 0))
    for (int i = 0; i < x.rank; i++) perm[i] = x.rank - 1 - i;
  bool used[MAX_RANK] = {0}, whole = true;
  for (int i = x.rank - 1; i >= 0; i--) {
    own[i] = step;
    if (ix_const(x.d[i], &k)) step *= k;
    else whole = false;
  }
  for (int i = 0; i < x.rank; i++) {
    int a = axis_in(n, perm[i], x.rank);
    if (used[a]) wrong(n, "axis %d appears twice in the permutation", a);
    used[a] = true;
    s.d[i] = x.d[a], stride[i] = own[a];
  }
  Elems e;
  out_sig(n, 0, s);
  if (whole || (elems_of(n->in[0], &e) && e.splat)) elems_by_strides(n, 0, n->in[0], 0, stride);
}

/* ---- parts: Slice, Split, Concat ---- */

// A start or end of a slice: negative counts from the end, then clamped to lo..hi.
static IExpr *clamp_index(IExpr *i, IExpr *d, int64_t lo, IExpr *hi) {
  int64_t k;
  if (ix_const(i, &k) && k >= IX_DIM_MAX) return hi;
  if (ix_const(i, &k) && k <= -IX_DIM_MAX) return ix(lo);
  i = ix_add(i, ix_mul(d, ix_not(ix_ge0(i))));
  return ix_min(ix_max(i, ix(lo)), hi);
}

typedef struct Span {
  IExpr *start, *len;
} Span;

// Where the direction is only known at run time, the parts get names of their own: their products would be thousands of terms.
static IExpr *part(IExpr *e) {
  if (ix_size(e) < 8) return e;
  uint64_t h = 14695981039346656037u;
  for (const char *c = ix_str(e); *c; c++) h = (h ^ (uint8_t)*c) * 1099511628211u;
  return ix_named(sym_fmt("part.%llx", (unsigned long long)h), e);
}
static Span slice_span(IExpr *st, IExpr *en, IExpr *step, IExpr *d) {
  IExpr *last = ix_addk(d, -1);
  int64_t k;
  if (!ix_const(step, &k)) { // either direction
    IExpr *up = ix_ge(step, ix(1));
    IExpr *s = part(ix_select(up, part(clamp_index(st, d, 0, d)), part(clamp_index(st, d, 0, last))));
    IExpr *e = part(ix_select(up, part(clamp_index(en, d, 0, d)), part(clamp_index(en, d, -1, last))));
    return (Span){s, part(ix_relu(ix_scale(ix_div(ix_sub(s, e), step), -1)))};
  }
  if (k > 0) {
    IExpr *s = clamp_index(st, d, 0, d), *e = clamp_index(en, d, 0, d);
    return (Span){s, ix_relu(ix_ceil(ix_sub(e, s), k))};
  }
  IExpr *s = clamp_index(st, d, 0, last), *e = clamp_index(en, d, -1, last);
  return (Span){s, k ? ix_relu(ix_ceil(ix_sub(s, e), -k)) : ix(0)};
}

static void slice_elems(Node *n, Dims x, IExpr **start, int64_t *step) {
  int64_t stride[MAX_RANK], base = 0, own = 1, k;
  Elems e;
  bool splat = elems_of(n->in[0], &e) && e.splat;
  for (int i = x.rank - 1; i >= 0; i--) {
    stride[i] = own * step[i];
    if (!splat && !ix_const(start[i], &k)) return;
    base += splat ? 0 : k * own;
    if (ix_const(x.d[i], &k)) own *= k;
    else if (!splat) return;
  }
  elems_by_strides(n, 0, n->in[0], base, stride);
}

// Axes known only at run time: every axis may be the one.
static void slice_any_axis(Node *n, Dims x, int count, IExpr **st, IExpr **en, IExpr **ax, IExpr **sp) {
  Dims s = x;
  for (int j = 0; j < x.rank; j++) {
    for (int i = 0; i < count; i++) {
      IExpr *hit = ix_eq(normal_axis(ax[i], x.rank), ix(j));
      s.d[j] = ix_select(hit, slice_span(st[i], en[i], sp[i], x.d[j]).len, s.d[j]);
    }
    s.d[j] = opaque_dim(n, j, s.d[j]);
  }
  out_sig(n, 0, s);
}

typedef struct SliceArgs {
  int n;
  IExpr **st, **en, **ax, **sp;
  bool known; // starts and ends
} SliceArgs;

static bool slice_args(Node *n, SliceArgs *a) {
  int count, more;
  a->known = shape_operand(n, 1, &count, &a->st) && shape_operand(n, 2, &more, &a->en) && more == count;
  a->n = count;
  if (!a->known && !(node_in(n, 3) && shape_operand(n, 3, &a->n, &a->ax))) return false;
  if (!a->ax && !(node_in(n, 3) && shape_operand(n, 3, &more, &a->ax) && more == a->n)) {
    if (node_in(n, 3)) return false;
    a->ax = NEWN(IExpr *, a->n + 1);
    for (int i = 0; i < a->n; i++) a->ax[i] = ix(i);
  }
  if (node_in(n, 4) && shape_operand(n, 4, &more, &a->sp) && more == a->n) return true;
  if (node_in(n, 4)) a->known = false;
  a->sp = NEWN(IExpr *, a->n + 1);
  for (int i = 0; i < a->n; i++) a->sp[i] = ix(1);
  return true;
}

void shape_slice(Node *n) {
  Dims x = dims_of(n->in[0]), s = x;
  SliceArgs a = {0};
  int64_t step[MAX_RANK], axis[64];
  IExpr *start[MAX_RANK];
  if (!slice_args(n, &a)) {
    for (int i = 0; i < s.rank; i++) s.d[i] = fresh_dim(n, 0, i, 0, ix_upper(x.d[i]));
    out_sig(n, 0, s);
    return;
  }
  if (a.known && !all_const(a.ax, a.n, axis)) {
    slice_any_axis(n, x, a.n, a.st, a.en, a.ax, a.sp);
    return;
  }
  bool whole = a.known;
  for (int i = 0; i < x.rank; i++) start[i] = ix(0), step[i] = 1;
  for (int i = 0; i < a.n; i++) {
    int64_t k = 0;
    if (!ix_const(a.ax[i], &k)) k = 0, whole = false;
    int j = axis_in(n, k, x.rank);
    Span p = {NULL, NULL};
    if (a.known) p = slice_span(a.st[i], a.en[i], a.sp[i], x.d[j]);
    s.d[j] = a.known ? p.len : fresh_dim(n, 0, j, 0, ix_upper(x.d[j]));
    start[j] = p.start;
    if (!a.known || !ix_const(a.sp[i], &step[j])) whole = false, s.d[j] = a.known ? opaque_dim(n, j, s.d[j]) : s.d[j];
    else if (step[j] == 0) wrong(n, "a step is 0");
  }
  out_sig(n, 0, s);
  if (whole) slice_elems(n, x, start, step);
}

// Elements of a part of x along an axis, from a known offset on.
static void part_elems(Node *n, int o, const Value *x, Dims s, int axis, int64_t from) {
  int64_t stride[MAX_RANK], own = 1, k, base = 0;
  for (int i = s.rank - 1; i >= 0; i--) {
    stride[i] = own;
    if (i == axis) base = from * own;
    if (!ix_const(s.d[i], &k)) return;
    own *= k;
  }
  elems_by_strides(n, o, x, base, stride);
}

static int split_sizes(Node *n, IExpr *d, IExpr **part) {
  int count;
  IExpr **e;
  if (node_in(n, 1) && shape_operand(n, 1, &count, &e)) {
    if (count < n->nout) wrong(n, "%d sizes for %d results", count, n->nout);
    for (int i = 0; i < n->nout; i++) part[i] = i < count ? e[i] : ix(0);
    return count;
  }
  if (node_in(n, 1)) {
    for (int i = 0; i < n->nout; i++) part[i] = fresh_dim(n, i, 0, 0, ix_upper(d));
    return n->nout;
  }
  int64_t k = attr_has(n, "num_outputs") ? attr_int(n, "num_outputs") : n->nout;
  IExpr *step = ix_ceil(d, k > 0 ? k : 1);
  for (int i = 0; i < n->nout; i++) // the last ones get what is left, which may be nothing
    part[i] = i + 1 < k ? ix_min(step, ix_relu(ix_sub(d, ix_scale(step, i)))) : ix_relu(ix_sub(d, ix_scale(step, i)));
  return n->nout;
}

void shape_split(Node *n) {
  Dims x = dims_of(n->in[0]);
  int a = axis_in(n, attr_int(n, "axis"), x.rank);
  IExpr **part = NEWN(IExpr *, n->nout + 1), *total = ix(0);
  split_sizes(n, x.d[a], part);
  for (int i = 0; i < n->nout; i++) require_ge0(n, part[i]), total = ix_add(total, part[i]);
  require_eq(n, total, x.d[a]);
  int64_t at = 0, k;
  for (int i = 0; i < n->nout; i++) {
    Dims s = x;
    s.d[a] = part[i];
    out_sig(n, i, s);
    Elems e;
    bool splat = elems_of(n->in[0], &e) && e.splat;
    if (at >= 0 || splat) part_elems(n, i, n->in[0], x, a, at < 0 ? 0 : at);
    at = at >= 0 && ix_const(part[i], &k) ? at + k : -1;
  }
}

// Concatenation of elements: outer blocks of all operands in turn.
static void concat_elems(Node *n, int axis) {
  Dims s = dims_of(node_out(n, 0));
  int64_t count = const_count(s), outer = 1, at = 0, k;
  if (count < 0) return;
  for (int i = 0; i < axis; i++) ix_const(s.d[i], &k), outer *= k;
  IExpr **e[64], **r = NEWN(IExpr *, count + 1);
  int len[64];
  if (n->nin > 64) return;
  for (int i = 0; i < n->nin; i++)
    if (!list_of(n->in[i], &len[i], &e[i])) return;
  for (int64_t b = 0; b < outer; b++)
    for (int i = 0; i < n->nin; i++)
      for (int64_t j = 0; j < len[i] / outer; j++) r[at++] = e[i][b * (len[i] / outer) + j];
  out_ints(n, 0, (int)count, r);
}

static void concat_floats(Node *n) { // rank 1: the scales of a Resize
  int64_t count = const_count(dims_of(node_out(n, 0)));
  if (count < 0 || node_out(n, 0)->type->rank != 1) return;
  FTree **r = NEWN(FTree *, count + 1);
  int at = 0;
  for (int i = 0; i < n->nin; i++) {
    Elems x;
    if (!elems_of(n->in[i], &x) || !x.f || x.n < 0) return;
    for (int j = 0; j < x.n; j++) r[at++] = x.f[x.splat ? 0 : j];
  }
  out_elems(n, 0, (Elems){at, false, NULL, r});
}

static Dims concat_dims(Node *n, int first, int step, int axis) {
  Dims s = dims_of(n->in[first]);
  for (int k = first + step; k < n->nin; k += step) {
    Dims x = dims_of(n->in[k]);
    if (x.rank != s.rank) {
      wrong(n, "operands of ranks %d and %d", s.rank, x.rank);
      continue;
    }
    for (int i = 0; i < s.rank; i++) {
      if (i == axis) s.d[i] = ix_add(s.d[i], x.d[i]);
      else {
        require_eq(n, s.d[i], x.d[i]);
        if (ix_const(x.d[i], NULL)) s.d[i] = x.d[i];
      }
    }
  }
  return s;
}

void shape_concat(Node *n) {
  int a = axis_in(n, attr_int(n, "axis"), rank_in(n, 0));
  Dims s = concat_dims(n, 0, 1, a);
  out_sig(n, 0, s);
  if (!node_out(n, 0)) return;
  int64_t count = const_count(s);
  if (dtypes[sig_dtype(n, 0)].is_float) concat_floats(n);
  else if (dtypes[sig_dtype(n, 0)].is_int || sig_dtype(n, 0) == DT_BOOL) {
    bool any = false;
    Elems x;
    for (int i = 0; i < n->nin; i++) any |= elems_of(n->in[i], &x);
    for (int i = 0; i < n->nin && any && s.rank == 1 && count >= 0 && count <= 16; i++)
      if (!elems_of(n->in[i], &x)) load_elems(n->in[i]); // a shape with a part that is computed
    concat_elems(n, a);
  }
}

void shape_qlinear_concat(Node *n) { // y_scale, y_zero, then triples
  int a = axis_in(n, attr_int(n, "axis"), rank_in(n, 2));
  out_dims(n, 0, dtype_in(n, 1), concat_dims(n, 2, 3, a));
}

/* ---- repetitions ---- */

void shape_expand(Node *n) {
  Dims x = dims_of(n->in[0]), t = {0};
  IExpr **e;
  if (!shape_operand(n, 1, &t.rank, &e)) {
    unknown_rank(n, "it is the number of elements of the shape operand");
    return;
  }
  if (t.rank > MAX_RANK) t.rank = MAX_RANK + 1;
  for (int i = 0; i < t.rank; i++) {
    require_ge0(n, e[i]);
    t.d[i] = ix_resolve(e[i]);
  }
  Dims s = t.rank > MAX_RANK ? t : broadcast(n, x, t);
  out_sig(n, 0, s);
  Elems k;
  int64_t count = const_count(s), stride[MAX_RANK] = {0}, own = 1, size;
  if (!node_out(n, 0) || !elems_of(n->in[0], &k)) return;
  if (k.splat || k.n == 1) {
    k.splat = count < 0 || count > 1 || k.splat, k.n = (int)count;
    out_elems(n, 0, k);
    return;
  }
  for (int i = x.rank - 1; i >= 0; i--) {
    if (!ix_const(x.d[i], &size)) return;
    stride[s.rank - x.rank + i] = size == 1 ? 0 : own;
    own *= size;
  }
  elems_by_strides(n, 0, n->in[0], 0, stride);
}

void shape_tile(Node *n) {
  Dims x = dims_of(n->in[0]);
  int count;
  IExpr **r;
  bool known = shape_operand(n, 1, &count, &r);
  if (known && count != x.rank) wrong(n, "%d repeats for rank %d", count, x.rank);
  for (int i = 0; i < x.rank; i++) {
    if (known && i < count) require_ge0(n, r[i]);
    x.d[i] = !known ? fresh_dim(n, 0, i, 0, IX_DIM_MAX) : i < count ? ix_mul(x.d[i], ix_resolve(r[i])) : x.d[i];
  }
  out_sig(n, 0, x);
  int64_t out_count = const_count(x);
  Elems k;
  if (!node_out(n, 0) || !elems_of(n->in[0], &k)) return;
  if (k.splat || k.n == 1) {
    k.splat = true, k.n = (int)out_count;
    out_elems(n, 0, k);
  } else if (x.rank == 1 && out_count >= 0 && k.n > 0) {
    int64_t *index = NEWN(int64_t, out_count + 1);
    for (int i = 0; i < out_count; i++) index[i] = i % k.n;
    gather_elems(n, 0, n->in[0], (int)out_count, index);
  }
}

void shape_pad(Node *n) {
  Dims x = dims_of(n->in[0]);
  int count = 0, k = x.rank;
  IExpr **p, **axes = NULL;
  int64_t axis[64];
  bool known = shape_operand(n, 1, &count, &p), fixed = true;
  for (int i = 0; i < 64; i++) axis[i] = i;
  if (node_in(n, 3)) fixed = shape_operand(n, 3, &k, &axes) && all_const(axes, k, axis);
  if (known && count != 2 * k) {
    wrong(n, "%d amounts for %d axes", count, k);
    known = false;
  }
  if (known && axes && !fixed) { // each axis may be the one
    for (int j = 0; j < x.rank; j++) {
      IExpr *d = x.d[j];
      for (int i = 0; i < k; i++) d = ix_add(d, ix_mul(ix_eq(normal_axis(axes[i], x.rank), ix(j)), ix_add(p[i], p[i + k])));
      x.d[j] = opaque_dim(n, j, d);
    }
    out_sig(n, 0, x);
    return;
  }
  for (int i = 0; i < k; i++) {
    int a = axis_in(n, axis[i], x.rank);
    x.d[a] = known ? ix_add(x.d[a], ix_add(p[i], p[i + k])) : fresh_dim(n, 0, a, 0, IX_DIM_MAX);
    require_ge0(n, x.d[a]);
  }
  out_sig(n, 0, x);
}

void shape_center_crop_pad(Node *n) {
  Dims x = dims_of(n->in[0]);
  int64_t axis[MAX_RANK];
  for (int i = 0; i < MAX_RANK; i++) axis[i] = i;
  int given = ints_attr(n, "axes", axis, MAX_RANK, 0), k = 0;
  IExpr **e = NULL;
  bool known = shape_operand(n, 1, &k, &e);
  for (int i = 0; i < MAX_RANK && !given; i++) axis[i] = i;
  if (!known) k = given ? given : x.rank;
  for (int i = 0; i < k && i < MAX_RANK; i++) {
    int a = axis_in(n, axis[i], x.rank);
    x.d[a] = known ? e[i] : fresh_dim(n, 0, a, 0, IX_DIM_MAX);
    require_ge0(n, x.d[a]);
  }
  out_sig(n, 0, x);
}

/* ---- indexed reads ---- */

static void gathered(Node *n, Dims x, int a) {
  int count;
  const int64_t *at;
  int64_t stride = 1, outer = 1, size, k;
  Elems e;
  if (!node_out(n, 0) || !elems_of(n->in[0], &e)) return;
  if (e.splat) {
    e.n = (int)const_count(dims_of(node_out(n, 0)));
    out_elems(n, 0, e);
    return;
  }
  if (!consts_of(n->in[1], &count, &at) || const_count(dims_of(node_out(n, 0))) < 0) return;
  for (int i = 0; i < x.rank; i++) {
    if (!ix_const(x.d[i], &k)) return;
    if (i < a) outer *= k;
    if (i > a) stride *= k;
  }
  ix_const(x.d[a], &size);
  int64_t *index = NEWN(int64_t, outer *count *stride + 1), m = 0;
  for (int64_t o = 0; o < outer; o++)
    for (int i = 0; i < count; i++)
      for (int64_t s = 0; s < stride; s++) {
        int64_t j = at[i] < 0 ? at[i] + size : at[i];
        if (j < 0 || j >= size) return; // the run will say so
        index[m++] = (o * size + j) * stride + s;
      }
  gather_elems(n, 0, n->in[0], (int)m, index);
}

void shape_gather(Node *n) {
  Dims x = dims_of(n->in[0]), i = dims_of(n->in[1]), s = x;
  int a = axis_in(n, attr_int(n, "axis"), x.rank);
  remove_dim(&s, a);
  for (int k = 0; k < i.rank; k++) insert_dim(&s, a + k, i.d[k]);
  if (x.rank - 1 + i.rank > MAX_RANK) s.rank = MAX_RANK + 1;
  out_sig(n, 0, s);
  gathered(n, x, a);
}

void shape_gather_elements(Node *n) { out_sig(n, 0, dims_of(n->in[1])); }

void shape_gather_nd(Node *n) {
  Dims x = dims_of(n->in[0]), s = dims_of(n->in[1]);
  int64_t k, b = attr_has(n, "batch_dims") ? attr_int(n, "batch_dims") : 0;
  if (s.rank < 1 || !ix_const(s.d[s.rank - 1], &k)) {
    unknown_rank(n, "the last dim of the indices is not constant");
    return;
  }
  if (k < 0 || b < 0 || b > x.rank || k > x.rank || b + k > x.rank) {
    wrong(n, "the indices have %lld coordinates, the operand rank %d", (long long)k, x.rank);
    k = 0, b = x.rank;
  }
  s.rank--;
  for (int i = (int)(b + k); i < x.rank; i++) insert_dim(&s, s.rank, x.d[i]);
  out_sig(n, 0, s);
}

void shape_compress(Node *n) {
  Dims x = dims_of(n->in[0]);
  if (!attr_has(n, "axis")) {
    out_sig(n, 0, dims(1, fresh_dim(n, 0, 0, 0, ix_upper(product(x, 0, x.rank)))));
    return;
  }
  int a = axis_in(n, attr_int(n, "axis"), x.rank);
  x.d[a] = fresh_dim(n, 0, a, 0, ix_upper(x.d[a]));
  out_sig(n, 0, x);
}

void shape_one_hot(Node *n) {
  Dims s = dims_of(n->in[0]);
  int a = axis_in(n, attr_int(n, "axis"), s.rank + 1), count;
  IExpr **e, *depth = shape_operand(n, 1, &count, &e) && count == 1 ? e[0] : NULL;
  Elems x;
  if (!depth && elems_of(n->in[1], &x) && x.f && x.n == 1) depth = ix_float(x.f[0]);
  if (!depth) depth = fresh_dim(n, 0, a, 0, IX_DIM_MAX);
  require_ge0(n, depth);
  insert_dim(&s, a, ix_resolve(depth));
  out_dims(n, 0, dtype_in(n, 2), s);
}

/* ---- blocks, sampling ---- */

static int64_t block_size(const Node *n) {
  int64_t b = attr_int(n, "blocksize");
  if (b >= 1 && b <= 1 << 15) return b;
  wrong(n, "a block size of %lld", (long long)b);
  return 1;
}

void shape_depth_to_space(Node *n) {
  int64_t b = block_size(n);
  Dims s = dims_of(n->in[0]);
  s.d[1] = ix_divk(s.d[1], b * b), s.d[2] = ix_scale(s.d[2], b), s.d[3] = ix_scale(s.d[3], b);
  out_sig(n, 0, s);
}

void shape_space_to_depth(Node *n) {
  int64_t b = block_size(n);
  Dims s = dims_of(n->in[0]);
  s.d[1] = ix_scale(s.d[1], b * b), s.d[2] = ix_divk(s.d[2], b), s.d[3] = ix_divk(s.d[3], b);
  out_sig(n, 0, s);
}

static IExpr *scaled(IExpr *d, FTree *scale) {
  return ix_float(ft_op(FT_FLOOR, false, ft_op(FT_MUL, false, ft_int(false, d), scale), NULL));
}

// keep_aspect_ratio_policy: one scale for all axes, the least or the greatest; sizes are rounded.
static void keep_aspect(Node *n, Dims *s, int k, const int64_t *axis, IExpr **size) {
  bool least = attr_is(n, "keep_aspect_ratio_policy", "not_larger");
  FTree *scale = NULL;
  for (int i = 0; i < k; i++) {
    FTree *one = ft_op(FT_DIV, false, ft_int(false, size[i]), ft_int(false, s->d[axis[i]]));
    scale = scale ? ft_op(least ? FT_MIN : FT_MAX, false, scale, one) : one;
  }
  for (int i = 0; i < k; i++) {
    FTree *v = ft_op(FT_ADD, false, ft_op(FT_MUL, false, ft_int(false, s->d[axis[i]]), scale), ft_const(false, 0.5));
    s->d[axis[i]] = ix_float(ft_op(FT_FLOOR, false, v, NULL));
  }
}

void shape_resize(Node *n) {
  Dims s = dims_of(n->in[0]);
  int64_t axis[MAX_RANK];
  int k = ints_attr(n, "axes", axis, MAX_RANK, 0), count = 0;
  if (!k)
    for (int i = 0; i < s.rank; i++) axis[i] = i, k = s.rank;
  if (k > s.rank) wrong(n, "%d axes for rank %d", k, s.rank), k = s.rank;
  for (int i = 0; i < k; i++) axis[i] = axis_in(n, axis[i], s.rank);
  IExpr **size;
  Elems scale;
  int list = node_in(n, 3) ? 3 : 2; // one size, or scale, for each axis: also where the model leaves the list's length open
  if (node_in(n, list)) require_eq(n, dim_in(n, list, 0), ix(k));
  if (node_in(n, 3) && shape_operand(n, 3, &count, &size) && count == k) {
    for (int i = 0; i < k; i++) require_ge0(n, size[i]);
    if (attr_is(n, "keep_aspect_ratio_policy", "stretch"))
      for (int i = 0; i < k; i++) s.d[axis[i]] = ix_resolve(size[i]);
    else keep_aspect(n, &s, k, axis, size);
  } else if (!node_in(n, 3) && elems_of(node_in(n, 2), &scale) && scale.f && scale.n == k) {
    for (int i = 0; i < k; i++) s.d[axis[i]] = scaled(s.d[axis[i]], scale.f[scale.splat ? 0 : i]);
  } else
    for (int i = 0; i < k; i++) s.d[axis[i]] = fresh_dim(n, 0, (int)axis[i], 0, IX_DIM_MAX);
  for (int i = 0; i < s.rank; i++) require_ge0(n, s.d[i]);
  out_sig(n, 0, s);
}

void shape_upsample(Node *n) {
  Dims s = dims_of(n->in[0]);
  Elems scale;
  bool known = elems_of(node_in(n, 1), &scale) && scale.f && scale.n == s.rank;
  for (int i = 0; i < s.rank; i++) s.d[i] = known ? scaled(s.d[i], scale.f[scale.splat ? 0 : i]) : fresh_dim(n, 0, i, 0, IX_DIM_MAX);
  out_sig(n, 0, s);
}

void shape_grid_sample(Node *n) {
  Dims x = dims_of(n->in[0]), g = dims_of(n->in[1]), s = {.rank = 2, .d = {x.d[0], x.d[1]}};
  for (int i = 1; i + 1 < g.rank; i++) insert_dim(&s, s.rank, g.d[i]);
  out_dims(n, 0, dtype_in(n, 0), s);
}

void shape_affine_grid(Node *n) {
  int k;
  IExpr **e;
  if (!shape_operand(n, 1, &k, &e) || (k != 4 && k != 5)) {
    unknown_rank(n, "it is the number of elements of `size`");
    return;
  }
  Dims s = {.rank = k};
  s.d[0] = e[0], s.d[k - 1] = ix(k - 2);
  for (int i = 1; i < k - 1; i++) s.d[i] = e[i + 1];
  for (int i = 0; i < k; i++) require_ge0(n, s.d[i]);
  out_sig(n, 0, s);
}

void shape_roi_pool(Node *n) {
  int64_t size[2];
  if (n->op->id == OP_MaxRoiPool) ints_attr(n, "pooled_shape", size, 2, 1);
  else size[0] = attr_int(n, "output_height"), size[1] = attr_int(n, "output_width");
  out_sig(n, 0, dims(4, dim_in(n, 1, 0), dim_in(n, 0, 1), ix(size[0]), ix(size[1])));
}

void shape_crop_and_resize(Node *n) {
  int k;
  IExpr **e;
  bool known = shape_operand(n, 3, &k, &e) && k == 2;
  IExpr *h = known ? e[0] : fresh_dim(n, 0, 2, 0, IX_DIM_MAX), *w = known ? e[1] : fresh_dim(n, 0, 3, 0, IX_DIM_MAX);
  require_ge0(n, h), require_ge0(n, w);
  out_sig(n, 0, dims(4, dim_in(n, 1, 0), dim_in(n, 0, 1), h, w));
}

void shape_unfold_tensor(Node *n) {
  Dims s = dims_of(n->in[0]);
  int a = axis_in(n, attr_int(n, "dim"), s.rank);
  int64_t size = attr_int(n, "size"), step = attr_int(n, "step");
  s.d[a] = ix_addk(ix_divk(ix_addk(s.d[a], -size), step > 0 ? step : 1), 1);
  require_ge0(n, s.d[a]);
  insert_dim(&s, s.rank, ix(size));
  out_sig(n, 0, s);
}
