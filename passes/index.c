// index.c - INDEX rows, first part: views and parts. Each function says which element of an operand stands at an index of the result.
#include "passes/index.h"
#include "passes/lower.h"
#include <string.h>

static IExpr *dim(const Value *v, int d) { return v->type->dim[d]; }
static int rank_of(const Value *v) { return v->type->rank; }
int axis_of(const Node *n, const char *name, int rank) {
  int64_t a = attr_int(n, name);
  return (int)(a < 0 ? a + rank : a);
}

// A long expression of run-time symbols gets a name that the host computes: products of such expressions would grow without bound.
static void host_only(Atom *a, void *u) { *(bool *)u &= a->kind != ATOM_VAR && a->kind != ATOM_LET; }
static IExpr *named(IExpr *e) {
  static int serial;
  bool host = true;
  ix_atoms(e, host_only, &host);
  return host && ix_size(e) > 8 ? ix_named(sym_fmt("e.%d", serial++), e) : e;
}
// [axis a is d], where negative axes count from the end.
IExpr *is_axis(IExpr *a, int d, int rank) { return named(ix_add(ix_eq(a, ix(d)), ix_eq(a, ix(d - rank)))); }

void at_most_rank(const Lower *L, const Value *v, int rank) {
  if (rank_of(v) > rank)
    fail(EXIT_INVALID, "lower.operand", L->node ? node_where(L->node) : NOWHERE, "operand '%s' has rank %d, where at most %d is meant",
         v->name ? v->name : "?", rank_of(v), rank);
}

// Element i of an integer operand as an index expression in lo..hi: exact when known, else loaded (and clamped) at run time.
IExpr *operand_index(Lower *L, Value *v, IExpr *i, int64_t lo, int64_t hi) {
  int64_t k;
  if (v->data && ix_const(i, &k)) return ix(tensor_int(v->data, k));
  IExpr *at[1] = {i};
  at_most_rank(L, v, 1);
  Ex *e = pull(L, v, at);
  if (e->op == S_IX) return e->ix[0];
  if (e->op == S_CONST) return ix(e->i);
  return ex_index(e, lo, hi, -1, "a");
}

/* ---- same elements, other shape ---- */
Ex *index_identity(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  return pull(L, n->in[0], idx);
}
// Row-major reindexing. Runs of dims with equal products are matched one by one, so that [B,S,768] <-> [B,S,12,64] keeps B and S as they
// are, also when they are symbols; only inside such a run is the linear position taken apart.
static void split_run(IExpr *lin, const Type *t, int from, int to, IExpr **at) {
  for (; from < to - 1 && ix_is(t->dim[from], 1); from++) at[from] = ix(0); // what is in range needs no quotient then
  for (int d = to - 1; d >= from; d--) {
    if (d == from) {
      at[d] = ix_is(t->dim[d], 1) ? ix(0) : lin;
      return;
    }
    IExpr *q = ix_div(lin, t->dim[d]);
    at[d] = ix_is(t->dim[d], 1) ? ix(0) : ix_sub(lin, ix_mul(q, t->dim[d]));
    lin = q;
  }
}
void reshape_index(const Type *to, IExpr *const *idx, const Type *from, IExpr **at) {
  int i = 0, o = 0;
  while (i < from->rank || o < to->rank) {
    int i0 = i, o0 = o;
    IExpr *pi = ix(1), *po = ix(1);
    if (i < from->rank) pi = from->dim[i++];
    if (o < to->rank) po = to->dim[o++];
    while (pi != po && (i < from->rank || o < to->rank)) { // extend the side that is proved smaller, or has a divisor of the other
      bool more_in = o >= to->rank || (i < from->rank && (ix_prove_le(pi, po) || ix_mul(ix_div(po, pi), pi) == po));
      if (i >= from->rank) more_in = false;
      if (more_in) pi = ix_mul(pi, from->dim[i++]);
      else po = ix_mul(po, to->dim[o++]);
    }
    IExpr *lin = ix(0);
    for (int d = o0; d < o; d++) lin = ix_add(ix_mul(lin, to->dim[d]), idx[d]);
    if (i > i0) split_run(lin, from, i0, i, at);
  }
}
static Ex *reshaped(Lower *L, Node *n, int out, IExpr *const *idx) {
  IExpr *at[MAX_RANK] = {0};
  reshape_index(n->out[out]->type, idx, n->in[0]->type, at);
  return pull(L, n->in[0], at);
}
Ex *index_reshape(Lower *L, Node *n, int out, IExpr *const *idx) { return reshaped(L, n, out, idx); }
Ex *index_flatten(Lower *L, Node *n, int out, IExpr *const *idx) { return reshaped(L, n, out, idx); }
Ex *index_squeeze(Lower *L, Node *n, int out, IExpr *const *idx) { return reshaped(L, n, out, idx); }
Ex *index_unsqueeze(Lower *L, Node *n, int out, IExpr *const *idx) { return reshaped(L, n, out, idx); }

Ex *index_transpose(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  const int64_t *perm;
  int rank = rank_of(n->in[0]), given = attr_ints(n, "perm", &perm);
  IExpr *at[MAX_RANK] = {0};
  for (int d = 0; d < rank; d++) at[given ? perm[d] : rank - 1 - d] = idx[d];
  return pull(L, n->in[0], at);
}
// Same bits, other dtype of the same width.
Ex *index_bit_cast(Lower *L, Node *n, int out, IExpr *const *idx) {
  return ex_reinterpret(n->in[0]->type->dtype, n->out[out]->type->dtype, pull(L, n->in[0], idx));
}

/* ---- parts ---- */
typedef struct Range1 {
  IExpr *start, *step;
} Range1;
static Range1 slice_range(Lower *L, Node *n, int k, IExpr *size) {
  int64_t big = IX_DIM_MAX + 1;
  Range1 r = {operand_index(L, n->in[1], ix(k), -big, big), node_in(n, 4) ? operand_index(L, n->in[4], ix(k), -big, big) : ix(1)};
  int64_t c;
  if (ix_const(r.start, &c)) r.start = ix(c > big ? big : c < -big ? -big : c);
  bool backwards = ix_upper(r.step) < 0;
  if (!backwards && ix_lower(r.step) <= 0) { // only the run knows the direction
    IExpr *s = named(ix_add(r.start, ix_mul(size, ix_not(ix_ge0(r.start)))));
    IExpr *fwd = ix_min(ix_relu(s), size), *back = ix_min(ix_relu(s), ix_addk(size, -1));
    r.start = named(ix_select(ix_ge0(r.step), named(fwd), named(back)));
    return r;
  }
  if (ix_lower(r.start) < 0) r.start = named(ix_add(r.start, ix_mul(size, ix_not(ix_ge0(r.start)))));
  r.start = ix_min(ix_relu(r.start), backwards ? ix_addk(size, -1) : size);
  return r;
}
Ex *index_slice(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  Value *x = n->in[0];
  int rank = rank_of(x), count;
  int64_t k;
  IExpr *at[MAX_RANK];
  memcpy(at, idx, (size_t)rank * sizeof *idx);
  count = rank_of(n->in[1]) == 0 ? 1 : ix_const(dim(n->in[1], 0), &k) ? (int)k : 0; // starts without a dim: one
  for (int i = 0; i < count; i++) {                                                 // axes that only the run knows: each one may be meant
    IExpr *a = node_in(n, 3) ? pull_scalar_index(L, n->in[3], i) : ix(i);
    for (int d = 0; d < rank; d++) {
      IExpr *meant = is_axis(a, d, rank);
      if (ix_is(meant, 0)) continue;
      Range1 r = slice_range(L, n, i, dim(x, d));
      IExpr *there = ix_add(r.start, ix_mul(idx[d], r.step));
      at[d] = ix_is(meant, 1) ? there : ix_add(at[d], ix_mul(meant, ix_sub(there, at[d])));
    }
  }
  return pull(L, x, at);
}
Ex *index_split(Lower *L, Node *n, int out, IExpr *const *idx) {
  int rank = rank_of(n->in[0]), axis = axis_of(n, "axis", rank);
  IExpr *at[MAX_RANK], *start = ix(0);
  memcpy(at, idx, (size_t)rank * sizeof *idx);
  for (int o = 0; o < out; o++) start = ix_add(start, n->out[o] ? dim(n->out[o], axis) : pull_scalar_index(L, n->in[1], o));
  at[axis] = ix_add(start, idx[axis]);
  return pull(L, n->in[0], at);
}
// One select per part; a part's loads are guarded by its own range.
Ex *index_concat(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  int rank = rank_of(n->out[0]), axis = axis_of(n, "axis", rank);
  IExpr *start[256], *at[MAX_RANK];
  if (n->nin > 256) fail(EXIT_LIMIT, "lower.concat", node_where(n), "Concat of more than 256 parts");
  start[0] = ix(0);
  for (int p = 1; p < n->nin; p++) start[p] = ix_add(start[p - 1], dim(n->in[p - 1], axis));
  Ex *e = ex_num(dtypes[n->out[0]->type->dtype].reg, 0);
  for (int p = n->nin - 1; p >= 0; p--) {
    if (ix_is(dim(n->in[p], axis), 0)) continue;
    memcpy(at, idx, (size_t)rank * sizeof *idx);
    at[axis] = ix_sub(idx[axis], start[p]);
    IExpr *inside[2] = {at[axis], ix_addk(ix_sub(dim(n->in[p], axis), at[axis]), -1)};
    if (ix_upper(inside[0]) < 0 || ix_upper(inside[1]) < 0) continue;
    Ex *part = pull_guarded(L, n->in[p], at, 2, inside, ex_num(e->type, 0));
    // parts are disjoint: what lies past the end of this one comes from the later ones
    e = ix_prove_ge0(inside[1]) ? part : ex_sel(inside[1], part, e);
  }
  return e;
}
Ex *index_expand(Lower *L, Node *n, int out, IExpr *const *idx) {
  return pull_broadcast(L, n->in[0], rank_of(n->out[out]), idx, n->out[out]->type);
}
Ex *index_tile(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  IExpr *at[MAX_RANK] = {0};
  for (int d = 0; d < rank_of(n->in[0]); d++) {
    IExpr *s = dim(n->in[0], d);
    at[d] = s == dim(n->out[0], d) ? idx[d] : ix_is(s, 1) ? ix(0) : ix_mod(idx[d], s);
  }
  return pull(L, n->in[0], at);
}

/* ---- Pad: which input position a padded position shows ---- */
static IExpr *pad_begin(Lower *L, Node *n, int d, int rank) {
  int64_t big = IX_DIM_MAX, k;
  Value *axes = node_in(n, 3);
  if (!axes) return operand_index(L, n->in[1], ix(d), -big, big);
  int count = ix_const(dim(axes, 0), &k) ? (int)k : 0;
  IExpr *begin = ix(0);
  for (int i = 0; i < count; i++) {
    IExpr *meant = is_axis(pull_scalar_index(L, axes, i), d, rank);
    if (!ix_is(meant, 0)) begin = ix_add(begin, ix_mul(meant, operand_index(L, n->in[1], ix(i), -big, big)));
  }
  return begin;
}
static IExpr *reflect(IExpr *i, IExpr *size) { // no edge repeat: period 2 (n - 1)
  IExpr *last = ix_addk(size, -1), *m = ix_mod(i, ix_max(ix_scale(last, 2), ix(1)));
  return ix_min(m, ix_sub(ix_scale(last, 2), m));
}
Ex *index_pad(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  Value *x = n->in[0];
  int rank = rank_of(x), nguard = 0;
  DType r = dtypes[x->type->dtype].reg;
  IExpr *at[MAX_RANK], *inside[2 * MAX_RANK];
  for (int d = 0; d < rank; d++) {
    IExpr *size = dim(x, d), *i = ix_sub(idx[d], pad_begin(L, n, d, rank));
    at[d] = i;
    if (i == idx[d] && size == dim(n->out[0], d)) continue;
    if (attr_is(n, "mode", "constant")) inside[nguard++] = i, inside[nguard++] = ix_addk(ix_sub(size, i), -1);
    else if (attr_is(n, "mode", "edge")) at[d] = ix_min(ix_relu(i), ix_addk(size, -1));
    else if (attr_is(n, "mode", "reflect")) at[d] = reflect(i, size);
    else at[d] = ix_mod(i, size);
  }
  Value *fill = node_in(n, 2);
  IExpr *none[1] = {ix(0)};
  Ex *other = fill ? pull(L, fill, none) : ex_num(r, 0);
  return pull_guarded(L, x, at, nguard, inside, other);
}

Ex *index_trilu(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  int rank = rank_of(n->in[0]);
  IExpr *k = node_in(n, 1) ? operand_index(L, n->in[1], ix(0), -IX_DIM_MAX, IX_DIM_MAX) : ix(0);
  IExpr *d = ix_sub(ix_sub(idx[rank - 1], idx[rank - 2]), k); // j - i - k
  IExpr *keep = attr_int(n, "upper") ? d : ix_scale(d, -1);
  Ex *x = pull(L, n->in[0], idx);
  return ex_sel(keep, x, ex_num(x->type, 0));
}
Ex *index_reverse_sequence(Lower *L, Node *n, int out, IExpr *const *idx) {
  (void)out;
  int rank = rank_of(n->in[0]), b = axis_of(n, "batch_axis", rank), t = axis_of(n, "time_axis", rank);
  IExpr *at[MAX_RANK];
  memcpy(at, idx, (size_t)rank * sizeof *idx);
  IExpr *len = operand_index(L, n->in[1], idx[b], 0, IX_DIM_MAX), *i = idx[t];
  len = ix_min(len, dim(n->in[0], t));
  at[t] = ix_select(ix_ge0(ix_addk(ix_sub(len, i), -1)), ix_addk(ix_sub(len, i), -1), i);
  return pull(L, n->in[0], at);
}
