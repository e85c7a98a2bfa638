// fold.c - FOLD rows: "combine; term; finish" over the op's axes. (fold_row serves them all.)
//
// Axes are known when the model is compiled, or fed at run time: then each dim is reduced or kept by a 0/1 symbol, which with keepdims
// needs no other code: the result index of a reduced dim is 0, the reduce loop of a kept one has extent 1.
#include "passes/index.h"
#include <string.h>

typedef struct Axes {
  IExpr *reduced[MAX_RANK]; // 0 or 1
} Axes;
static Axes axes_of_node(Lower *L, Node *n) {
  Axes a;
  int rank = n->in[0]->type->rank;
  bool spatial = n->op->id == OP_GlobalAveragePool || n->op->id == OP_GlobalMaxPool || n->op->id == OP_GlobalLpPool;
  for (int d = 0; d < rank; d++) a.reduced[d] = ix(spatial && d >= 2);
  if (spatial) return a;
  Value *in = node_in(n, 1);
  int64_t count = in && in->type->rank == 0; // a lone axis without a dim
  if (in) at_most_rank(L, in, 1);
  if (in && !count && !ix_const(in->type->dim[0], &count))
    fail(EXIT_UNSUPPORTED, "lower.axes", node_where(n), "the number of axes must be known when the model is compiled");
  for (int d = 0; d < rank; d++) {
    if (!count) a.reduced[d] = ix(!attr_int(n, "noop_with_empty_axes"));
    for (int i = 0; i < count; i++) a.reduced[d] = ix_add(a.reduced[d], is_axis(pull_scalar_index(L, in, i), d, rank));
  }
  return a;
}
// The operand's index: a reduced dim runs over its reduce variable, a kept one follows the result's. A dim of which only the run knows does
// both: its reduce loop has extent 1 or the dim, and the result index counts only if it is kept.
static void fold_index(Fold *f, const Axes *a, const Type *x, int out_rank, IExpr **at) {
  bool keep = out_rank == x->rank;
  IExpr *before = ix(0); // kept dims so far
  for (int d = 0; d < x->rank; d++) {
    IExpr *r = a->reduced[d], *kept = ix_not(r), *o = keep ? f->out[d] : NULL;
    int64_t p;
    if (!keep && ix_const(before, &p) && ix_is(r, 0)) o = f->out[p];
    if (!o) {
      o = ix(0);
      for (int k = 0; k <= d && k < out_rank; k++) o = ix_add(o, ix_mul(f->out[k], ix_eq(before, ix(k))));
    }
    if (ix_is(r, 0)) at[d] = o;
    else if (ix_is(r, 1)) at[d] = ix_is(x->dim[d], 1) ? ix(0) : fold_axis(f, "r", x->dim[d]);
    else at[d] = ix_add(keep ? o : ix_mul(o, kept), fold_axis(f, "r", ix_select(r, x->dim[d], ix(1))));
    before = ix_add(before, kept);
  }
}

typedef struct RowNames {
  Node *n;
  Ex *x, *acc, *count;
  DType type, storage;
} RowNames;
static Ex *row_name(const char *id, DType *storage, void *u) {
  RowNames *r = u;
  *storage = r->storage;
  if (!strcmp(id, "x")) return r->x;
  if (!strcmp(id, "acc")) return r->acc;
  if (!strcmp(id, "count")) return r->count;
  const Attr *a = attr_find(r->n, id);
  if (a && a->kind == ATTR_INT) return ex_num(r->type, (double)a->i);
  if (a && a->kind == ATTR_FLOAT) return ex_num(r->type, a->f);
  return NULL;
}
static Combine combine_named(const char *s, size_t n, DType t) {
  static const char *const names[C_COUNT] = {
      "",
#define COMBINE(name, f, i, meaning, exact) #name,
#include "ir/combine.def"
#undef COMBINE
  };
  for (int c = 1; c < C_COUNT; c++)
    if (strlen(names[c]) == n && !memcmp(names[c], s, n))
      return t != DT_BOOL ? (Combine)c : c == C_max ? C_or : c == C_min ? C_and : (Combine)c;
  bug("no combine row '%.*s'", (int)n, s);
}
static IExpr *reduced_count(const Fold *f) {
  IExpr *c = ix(1);
  for (int r = 0; r < f->nred; r++) c = ix_mul(c, ix_var_of(f->red[r])->a);
  return c;
}
// The greatest and least of u64 are found among signed numbers: with the sign bit flipped both orders are one.
static bool order_unsigned(const Node *n, Combine c) { return (c == C_max || c == C_min) && n->in[0]->type->dtype == DT_U64; }
static Ex *flip_sign(Ex *e) { return ex_op(S_xor, e, ex_i(DT_I64, INT64_MIN), NULL); }
// What formulas see of it: only u64 differs from its register.
static DType value_storage(const Value *v) { return v->type->dtype == DT_U64 ? DT_U64 : dtypes[v->type->dtype].reg; }

static Ex *row_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  const char *formula = lowering(n)->formula, *last = strrchr(formula, ';') + 1;
  while (*last == ' ') last++;
  IExpr *count = reduced_count(f);
  bool may_be_empty = ix_lower(count) < 1 && f->combine == C_add;
  if (may_be_empty && (acc->type == DT_F32 || acc->type == DT_F64))
    acc = ex_op(S_add, acc, ex_f(acc->type, 0.0), NULL); // the identity -0.0 may show
  if (order_unsigned(n, f->combine)) return flip_sign(acc);
  if (!strcmp(last, "acc")) return acc;
  (void)L;
  RowNames r = {n, NULL, acc, ex_ix(acc->type, count), acc->type, value_storage(n->in[0])};
  return ex_formula(last, acc->type, row_name, &r);
}
void fold_row(Lower *, Node *, Fold *);
void fold_row(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  Axes a = axes_of_node(L, n);
  IExpr *at[MAX_RANK] = {0};
  fold_index(f, &a, x->type, n->out[0]->type->rank, at);
  const char *formula = lowering(n)->formula, *semi = strchr(formula, ';'), *end = strrchr(formula, ';');
  char term[64];
  snprintf(term, sizeof term, "%.*s", (int)(end - semi - 1), semi + 1);
  Ex *e = pull(L, x, at);
  f->acc = e->type;
  f->combine = combine_named(formula, (size_t)(semi - formula), e->type);
  RowNames r = {n, e, NULL, NULL, e->type, value_storage(n->in[0])};
  const char *t = term;
  while (*t == ' ') t++;
  f->term = order_unsigned(n, f->combine) ? flip_sign(e) : !strcmp(t, "x") ? e : ex_formula(t, e->type, row_name, &r);
  f->finish = row_finish;
}
