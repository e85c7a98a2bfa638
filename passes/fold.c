// fold.c - FOLD rows: "combine; term; finish" over the op's axes. (fold_row serves them all.)
//
// Axes are known when the model is compiled, or fed at run time: then each dim is reduced or kept by a 0/1 symbol, which with keepdims needs
// no other code: the result index of a reduced dim is 0, the reduce loop of a kept one has extent 1.
#include "passes/index.h"
#include <string.h>

typedef struct Axes {
  bool reduced[MAX_RANK];
  bool any;
} Axes;
static Axes axes_of_node(Lower *L, Node *n) {
  Axes a = {0};
  int rank = n->in[0]->type->rank;
  if (n->op->id == OP_GlobalAveragePool || n->op->id == OP_GlobalMaxPool || n->op->id == OP_GlobalLpPool) {
    for (int d = 2; d < rank; d++) a.reduced[d] = a.any = true;
    return a;
  }
  Value *in = node_in(n, 1);
  int64_t count = 0, k;
  if (in && !ix_const(in->type->dim[0], &count)) fail(EXIT_UNSUPPORTED, "lower.axes", node_where(n), "the number of axes must be known when the model is compiled");
  if (!count) {
    bool all = !attr_int(n, "noop_with_empty_axes");
    for (int d = 0; d < rank; d++) a.reduced[d] = all;
    return a.any = all && rank, a;
  }
  for (int i = 0; i < count; i++) {
    if (!ix_const(pull_scalar_index(L, in, i), &k)) fail(EXIT_UNSUPPORTED, "lower.axes", node_where(n), "the axes must be known when the model is compiled");
    a.reduced[k < 0 ? k + rank : k] = a.any = true;
  }
  return a;
}

typedef struct RowNames {
  Node *n;
  Ex *x, *acc, *count;
  DType type;
} RowNames;
static Ex *row_name(const char *id, DType *storage, void *u) {
  RowNames *r = u;
  *storage = r->type;
  if (!strcmp(id, "x")) return r->x;
  if (!strcmp(id, "acc")) return r->acc;
  if (!strcmp(id, "count")) return r->count;
  const Attr *a = attr_find(r->n, id);
  if (a && a->kind == ATTR_INT) return ex_num(r->type, (double)a->i);
  if (a && a->kind == ATTR_FLOAT) return ex_num(r->type, a->f);
  return NULL;
}
static Combine combine_named(const char *s, size_t n, DType t) {
  static const char *const names[C_COUNT] = {"",
#define COMBINE(name, f, i, meaning, exact) #name,
#include "ir/combine.def"
#undef COMBINE
  };
  for (int c = 1; c < C_COUNT; c++)
    if (strlen(names[c]) == n && !memcmp(names[c], s, n)) return t != DT_BOOL ? (Combine)c : c == C_max ? C_or : c == C_min ? C_and : (Combine)c;
  bug("no combine row '%.*s'", (int)n, s);
}
static IExpr *reduced_count(const Fold *f) {
  IExpr *c = ix(1);
  for (int r = 0; r < f->nred; r++) c = ix_mul(c, ix_var_of(f->red[r])->a);
  return c;
}
static Ex *row_finish(Lower *L, Node *n, Fold *f, Ex *acc) {
  const char *formula = lowering(n)->formula, *last = strrchr(formula, ';') + 1;
  while (*last == ' ') last++;
  IExpr *count = reduced_count(f);
  bool may_be_empty = ix_lower(count) < 1 && f->combine == C_add;
  if (may_be_empty && (acc->type == DT_F32 || acc->type == DT_F64)) acc = ex_op(S_add, acc, ex_f(acc->type, 0.0), NULL); // the identity -0.0 may show
  if (!strcmp(last, "acc")) return acc;
  (void)L;
  RowNames r = {n, NULL, acc, ex_ix(acc->type, count), acc->type};
  return ex_formula(last, acc->type, row_name, &r);
}
void fold_row(Lower *, Node *, Fold *);
void fold_row(Lower *L, Node *n, Fold *f) {
  Value *x = n->in[0];
  int rank = x->type->rank;
  Axes a = axes_of_node(L, n);
  bool keep = n->out[0]->type->rank == rank;
  IExpr *at[MAX_RANK] = {0};
  for (int d = 0, o = 0; d < rank; d++) {
    if (!a.reduced[d]) at[d] = f->out[keep ? d : o];
    else at[d] = ix_is(x->type->dim[d], 1) ? ix(0) : fold_axis(f, "r", x->type->dim[d]);
    o += !a.reduced[d];
  }
  const char *formula = lowering(n)->formula, *semi = strchr(formula, ';'), *end = strrchr(formula, ';');
  char term[64];
  snprintf(term, sizeof term, "%.*s", (int)(end - semi - 1), semi + 1);
  Ex *e = pull(L, x, at);
  f->acc = e->type;
  f->combine = combine_named(formula, (size_t)(semi - formula), e->type);
  RowNames r = {n, e, NULL, NULL, e->type};
  const char *t = term;
  while (*t == ' ') t++;
  f->term = !strcmp(t, "x") ? e : ex_formula(t, e->type, row_name, &r);
  f->finish = row_finish;
}
