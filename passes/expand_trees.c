// expand_trees.c - ai.onnx.ml tree ensembles: all trees of all rows walk down together, one level per step.
//
// A step is three reads from constant tables and one of the row: at[n,t] becomes the child that feature and split choose; leaves stay where
// they are. After as many steps as the deepest tree has levels, the leaves' weights are added up over the trees. Lowering makes one loop of
// it whose walk stays in registers.
#include "passes/expand_ml.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, MODES, MAX_DEPTH = 512, LEVELS = 6 }; // LEVELS: in one kernel

typedef struct Trees {
  int64_t n;                                           // branches and leaves
  int64_t *feature, *yes, *no, *mode, *missing, *leaf; // yes, no: children; leaf: row of weight, -1 for branches
  int64_t *child;                                      // arranged: the first of the two children; a leaf's is itself
  double *split;
  int64_t nroot, *root, nleaf, ntarget;
  double *weight;        // [nleaf,ntarget]
  bool *scored;          // [nleaf,ntarget]: has the leaf a weight for the target?
  const double **member; // MEMBER branches: the values, nmember of them
  int64_t *nmember;
  int *depth; // of each tree, from the deepest on
  bool wide;  // splits are doubles
  struct {    // the same as values, made once for all levels
    Value *feature, *split, *child, *mode, *missing;
  } of;
} Trees;

/* ---- attributes that come as lists or as tensors ---- */
static double *doubles(const B *b, const char *list, const char *tensor, int64_t *n, bool *wide) {
  const Attr *t = tensor ? attr_find(b->at, tensor) : NULL;
  const double *v;
  *n = t ? tensor_count(t->t) : attr_floats(b->at, list, &v);
  double *out = NEWN(double, *n + 1);
  for (int64_t i = 0; i < *n; i++) out[i] = t ? tensor_float(t->t, i) : v[i];
  if (t && wide) *wide = *wide || t->t->dtype == DT_F64;
  return out;
}

static const int64_t *list(const B *b, const char *name, int64_t n) { // n entries, or none
  const int64_t *v;
  int64_t k = attr_ints(b->at, name, &v);
  if (k && k != n) cannot(b, "%s has %lld entries, not %lld", name, (long long)k, (long long)n);
  return k ? v : NULL;
}

static const int64_t *need_list(const B *b, const char *name, int64_t n) {
  const int64_t *v = list(b, name, n);
  if (!v && n) cannot(b, "%s is missing", name);
  return v;
}

static void room(Trees *t, int64_t n) {
  t->n = n;
  int64_t **field[] = {&t->feature, &t->yes, &t->no, &t->mode, &t->missing, &t->leaf, &t->child, &t->nmember};
  for (size_t i = 0; i < sizeof field / sizeof *field; i++) *field[i] = NEWN(int64_t, n);
  t->split = NEWN(double, n);
  t->member = NEWN(const double *, n);
}

/* ---- TreeEnsembleRegressor, -Classifier: nodes by (tree, node), weights by the leaf they belong to ---- */
static int mode_of(const B *b, Str s) {
  static const char *const name[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"};
  for (int i = 0; i < 6; i++)
    if (s.n == strlen(name[i]) && !memcmp(s.p, name[i], s.n)) return i;
  if (s.n != 4 || memcmp(s.p, "LEAF", 4)) cannot(b, "nodes_modes holds '%s'", sym_n(s.p, s.n));
  return -1;
}

typedef struct Keys { // (tree, node) -> position, by open addressing
  const int64_t *tree, *node;
  int64_t *slot, size;
} Keys;

static int64_t *find_key(const Keys *k, int64_t tree, int64_t node) { // the slot it is in, or where it belongs
  uint64_t h = ((uint64_t)tree * 0x9e3779b97f4a7c15u ^ (uint64_t)node) * 0xff51afd7ed558ccdu;
  for (int64_t s = (int64_t)(h >> 32) & (k->size - 1);; s = (s + 1) & (k->size - 1)) {
    int64_t at = k->slot[s] - 1;
    if (at < 0 || (k->tree[at] == tree && k->node[at] == node)) return &k->slot[s];
  }
}

static Keys index_nodes(const B *b, int64_t n) {
  Keys k = {need_list(b, "nodes_treeids", n), need_list(b, "nodes_nodeids", n), NULL, 64};
  while (k.size < 2 * n) k.size *= 2;
  k.slot = NEWN(int64_t, k.size);
  for (int64_t i = 0; i < n; i++) *find_key(&k, k.tree[i], k.node[i]) = i + 1;
  return k;
}

static int64_t position(const B *b, const Keys *k, int64_t tree, int64_t node) {
  int64_t at = *find_key(k, tree, node) - 1;
  if (at < 0) cannot(b, "tree %lld has no node %lld", (long long)tree, (long long)node);
  return at;
}

static void read_nodes(const B *b, Trees *t, const Keys *k) {
  const Attr *modes = attr_find(b->at, "nodes_modes");
  const int64_t *feature = need_list(b, "nodes_featureids", t->n), *yes = need_list(b, "nodes_truenodeids", t->n),
                *no = need_list(b, "nodes_falsenodeids", t->n), *missing = list(b, "nodes_missing_value_tracks_true", t->n);
  bool *child = NEWN(bool, t->n);
  for (int64_t i = 0; i < t->n; i++) {
    int m = mode_of(b, modes->strings[i]);
    t->yes[i] = t->no[i] = i;
    t->leaf[i] = m < 0 ? t->nleaf++ : -1;
    if (m < 0) continue;
    t->mode[i] = m;
    t->feature[i] = feature[i];
    t->missing[i] = missing ? missing[i] : 0;
    child[t->yes[i] = position(b, k, k->tree[i], yes[i])] = true;
    child[t->no[i] = position(b, k, k->tree[i], no[i])] = true;
  }
  t->root = NEWN(int64_t, t->n);
  for (int64_t i = 0; i < t->n; i++)
    if (!child[i]) t->root[t->nroot++] = i;
}

static Trees from_lists(const B *b, const char *kind, int64_t targets) { // kind: "target" or "class"
  Trees t = {.ntarget = targets};
  int64_t n, nw;
  double *split = doubles(b, "nodes_values", "nodes_values_as_tensor", &n, &t.wide);
  const Attr *modes = attr_find(b->at, "nodes_modes");
  if (!modes || modes->n != n) cannot(b, "nodes_modes and nodes_values differ in length");
  room(&t, n);
  t.split = split;
  Keys k = index_nodes(b, n);
  read_nodes(b, &t, &k);
  double *w = doubles(b, fmt("%s_weights", kind), fmt("%s_weights_as_tensor", kind), &nw, NULL);
  const int64_t *tree = need_list(b, fmt("%s_treeids", kind), nw), *node = need_list(b, fmt("%s_nodeids", kind), nw),
                *id = need_list(b, fmt("%s_ids", kind), nw);
  t.weight = NEWN(double, t.nleaf *targets), t.scored = NEWN(bool, t.nleaf *targets);
  for (int64_t i = 0; i < nw; i++) {
    int64_t leaf = t.leaf[position(b, &k, tree[i], node[i])];
    if (leaf < 0 || id[i] < 0 || id[i] >= targets) cannot(b, "weight %lld belongs to no leaf, or to no target", (long long)i);
    t.weight[leaf * targets + id[i]] += w[i], t.scored[leaf * targets + id[i]] = true;
  }
  return t;
}

/* ---- TreeEnsemble 5: branches and leaves in arrays of their own ---- */
static void read_members(const B *b, Trees *t, int64_t branches) { // one NaN-terminated list per MEMBER branch
  int64_t n, at = 0;
  double *v = doubles(b, "membership_values", "membership_values", &n, NULL);
  for (int64_t i = 0; i < branches; i++) {
    if (t->mode[i] != MEMBER) continue;
    t->member[i] = v + at;
    while (at < n && !isnan(v[at])) at++, t->nmember[i]++;
    at++;
  }
}

static Trees from_arrays(const B *b) {
  Trees t = {.ntarget = int_or(b, "n_targets", 1)};
  int64_t n, nleaf;
  double *split = doubles(b, "nodes_splits", "nodes_splits", &n, &t.wide), *w = doubles(b, "leaf_weights", "leaf_weights", &nleaf, NULL);
  const Attr *modes = attr_find(b->at, "nodes_modes");
  const int64_t *yes = need_list(b, "nodes_truenodeids", n), *no = need_list(b, "nodes_falsenodeids", n), *roots;
  const int64_t *yes_leaf = need_list(b, "nodes_trueleafs", n), *no_leaf = need_list(b, "nodes_falseleafs", n);
  const int64_t *feature = need_list(b, "nodes_featureids", n), *missing = list(b, "nodes_missing_value_tracks_true", n);
  const int64_t *target = need_list(b, "leaf_targetids", nleaf);
  room(&t, n + nleaf);
  t.nleaf = nleaf;
  for (int64_t i = 0; i < n; i++) {
    t.split[i] = split[i], t.feature[i] = feature[i], t.mode[i] = tensor_int(modes->t, i), t.missing[i] = missing ? missing[i] : 0;
    t.yes[i] = yes[i] + (yes_leaf[i] ? n : 0), t.no[i] = no[i] + (no_leaf[i] ? n : 0), t.leaf[i] = -1;
    if (t.yes[i] < 0 || t.yes[i] >= t.n || t.no[i] < 0 || t.no[i] >= t.n)
      cannot(b, "node %lld has a child that is not there", (long long)i);
    if (t.mode[i] < 0 || t.mode[i] >= MODES) cannot(b, "node %lld has mode %lld", (long long)i, (long long)t.mode[i]);
  }
  t.weight = NEWN(double, nleaf *t.ntarget), t.scored = NEWN(bool, nleaf *t.ntarget);
  for (int64_t i = 0; i < nleaf; i++) {
    t.yes[n + i] = t.no[n + i] = n + i, t.leaf[n + i] = i;
    if (target[i] < 0 || target[i] >= t.ntarget) cannot(b, "leaf %lld belongs to no target", (long long)i);
    t.weight[i * t.ntarget + target[i]] = w[i], t.scored[i * t.ntarget + target[i]] = true;
  }
  read_members(b, &t, n);
  t.nroot = attr_ints(b->at, "tree_roots", &roots);
  t.root = mem_copy(roots, sizeof *roots * (size_t)t.nroot);
  return t;
}

/* ---- the walk ---- */
typedef struct Order { // of nodes: where each one comes from, and where its children went
  int n, cold, nchild, cchild;
  int64_t *old, *child;
} Order;
static Order breadth_first(const B *b, const Trees *t) { // the children of a branch one behind the other, a leaf is its own child
  Order o = {0};
  for (int64_t i = 0; i < t->nroot; i++) PUSH(o.old, o.n, o.cold, t->root[i]);
  for (int i = 0; i < o.n; i++) {
    int64_t was = o.old[i];
    bool leaf = t->leaf[was] >= 0;
    PUSH(o.child, o.nchild, o.cchild, leaf ? i : o.n);
    if (o.n > 8 * t->n + 8) cannot(b, "nodes and children make no trees");
    if (leaf) continue;
    PUSH(o.old, o.n, o.cold, t->yes[was]);
    PUSH(o.old, o.n, o.cold, t->no[was]);
  }
  return o;
}
typedef struct Root {
  int64_t node, place;
  int depth;
} Root;
static int deeper(const void *a, const void *b) {
  const Root *x = a, *y = b;
  return x->depth != y->depth ? y->depth - x->depth : x->place < y->place ? -1 : 1;
}
static void sort_roots(const B *b, Trees *t) { // deep trees first: the others are done while those still walk
  Order o = breadth_first(b, t);
  int *depth = NEWN(int, o.n + 1);
  for (int i = o.n - 1; i >= 0; i--) {
    int64_t c = o.child[i];
    if (c != i) depth[i] = 1 + (depth[c] > depth[c + 1] ? depth[c] : depth[c + 1]);
  }
  Root *r = NEWN(Root, t->nroot);
  for (int64_t i = 0; i < t->nroot; i++) r[i] = (Root){t->root[i], i, depth[i]};
  qsort(r, (size_t)t->nroot, sizeof *r, deeper);
  t->depth = NEWN(int, t->nroot);
  for (int64_t i = 0; i < t->nroot; i++) t->root[i] = r[i].node, t->depth[i] = r[i].depth;
  if (t->nroot && t->depth[0] > MAX_DEPTH) cannot(b, "a tree is deeper than %d levels", MAX_DEPTH);
}
// A step reads one child and adds 0 or 1. One node more at the end, which nothing reaches, keeps that sum inside the tables.
static void arrange(const B *b, Trees *t) {
  sort_roots(b, t);
  Order o = breadth_first(b, t);
  Trees was = *t;
  room(t, o.n + 1);
  for (int i = 0; i < o.n; i++) {
    int64_t k = o.old[i];
    t->feature[i] = was.feature[k], t->child[i] = o.child[i], t->mode[i] = was.mode[k], t->missing[i] = was.missing[k];
    t->leaf[i] = was.leaf[k], t->split[i] = was.split[k], t->member[i] = was.member[k], t->nmember[i] = was.nmember[k];
  }
  for (int64_t i = 0; i < t->nroot; i++) t->root[i] = i;
}

static Value *table(const B *b, DType dt, int64_t n, const int64_t *v) { // a constant vector
  double *d = NEWN(double, n);
  for (int64_t i = 0; i < n; i++) d[i] = (double)v[i];
  return floats(b, dt, 1, &n, d);
}

static void make_tables(const B *b, Trees *t, DType compare_in) {
  t->of.feature = table(b, DT_I32, t->n, t->feature);
  t->of.split = floats(b, compare_in, 1, &t->n, t->split);
  t->of.child = table(b, DT_I32, t->n, t->child);
  t->of.mode = table(b, DT_I32, t->n, t->mode);
  t->of.missing = table(b, DT_BOOL, t->n, t->missing);
}

static Value *is_member(const B *b, const Trees *t, Value *x, Value *at) {
  int64_t most = 1, last = 2;
  for (int64_t i = 0; i < t->n; i++) most = t->nmember[i] > most ? t->nmember[i] : most;
  double *v = NEWN(double, t->n *most);
  for (int64_t i = 0; i < t->n; i++)
    for (int64_t k = 0; k < most; k++) v[i * most + k] = k < t->nmember[i] ? t->member[i][k] : NAN;
  Value *set = gather(b, floats(b, dtype(x), 2, (int64_t[]){t->n, most}, v), at, 0);
  Value *hit = cast(b, op2(b, OP_Equal, unsqueeze(b, x, INTS(2)), set), DT_I32);
  return cast(b, reduce(b, OP_ReduceMax, hit, 1, &last, false), DT_BOOL);
}

static Value *compared(const B *b, const Trees *t, int mode, Value *x, Value *split, Value *at) {
  static const OpId op[] = {OP_LessOrEqual, OP_Less, OP_GreaterOrEqual, OP_Greater, OP_Equal, OP_Equal};
  if (mode == MEMBER) return is_member(b, t, x, at);
  Value *c = op2(b, op[mode], x, split);
  return mode == NEQ ? op1(b, OP_Not, c) : c;
}

static Value *step(const B *b, const Trees *t, Value *x, Value *at) {
  bool used[MODES] = {0}, any = false;
  Value *v = op2_int(b, OP_GatherElements, x, gather(b, t->of.feature, at, 0), "axis", 1), *go = NULL;
  Value *split = gather(b, t->of.split, at, 0);
  for (int64_t i = 0; i < t->n; i++)
    if (t->leaf[i] < 0) used[t->mode[i]] = true, any = any || t->missing[i];
  for (int m = 0; m < MODES; m++) {
    if (!used[m]) continue;
    Value *c = compared(b, t, m, v, split, at);
    go = go ? where(b, op2(b, OP_Equal, gather(b, t->of.mode, at, 0), num(b, DT_I32, m)), c, go) : c;
  }
  if (any) go = op2(b, OP_Or, go, op2(b, OP_And, op1(b, OP_IsNaN, v), gather(b, t->of.missing, at, 0)));
  Value *child = gather(b, t->of.child, at, 0), *first = op2(b, OP_Equal, child, at); // a leaf stays
  first = go ? op2(b, OP_Or, go, first) : first;
  return add(b, child, cast(b, op1(b, OP_Not, first), DT_I32));
}

// The features as they are compared: doubles if either side is
static Value *tree_input(const B *b, const Trees *t) {
  Value *x = in(b, 0);
  x = cast(b, x, t->wide || dtype(x) == DT_F64 ? DT_F64 : DT_F32);
  return rank_of(x) == 1 ? reshape_to(b, x, INTS(1, -1)) : x;
}

typedef enum Aggregate { AVERAGE, SUM, MIN, MAX } Aggregate;

// A fold (here of one element) is computed once, whatever its users loop over.
static Value *computed_once(const B *b, Value *at) {
  int64_t last = 2;
  return reduce(b, OP_ReduceMax, unsqueeze(b, at, 1, &last), 1, &last, false);
}

// A few levels at a time, of the trees that have them.
static Value *walk(const B *b, const Trees *t, Value *x, Value *at) {
  Value *done[MAX_DEPTH / LEVELS + 2];
  int64_t n = t->nroot;
  int parts = 0;
  for (int from = 0; n && from < t->depth[0]; from += LEVELS) {
    int64_t left = n;
    while (t->depth[left - 1] <= from) left--;
    if (left < n) done[parts++] = slice(b, at, 1, left, n), at = slice(b, at, 1, 0, left);
    for (int i = from; i < t->depth[0] && i < from + LEVELS; i++) at = step(b, t, x, at);
    at = computed_once(b, at), n = left;
  }
  done[parts++] = at;
  return parts == 1 && t->nroot && t->depth[0] ? at : computed_once(b, concat(b, 1, parts, done));
}

static Value *ensemble(const B *b, Trees *t, Aggregate how, DType sum_in) { // [N,targets]
  arrange(b, t);
  Value *x = tree_input(b, t);
  make_tables(b, t, dtype(x));
  Value *rows_of = join(b, VALUES(dim_of(b, x, 0), int1(b, t->nroot)));
  Value *at = expand_to(b, table(b, DT_I32, t->nroot, t->root), rows_of); // [N,T]
  at = walk(b, t, x, at);
  double none = how == MIN ? INFINITY : how == MAX ? -INFINITY : 0, *w = NEWN(double, t->n * t->ntarget);
  for (int64_t i = 0; i < t->n * t->ntarget; i++) {
    int64_t leaf = t->leaf[i / t->ntarget], from = leaf * t->ntarget + i % t->ntarget;
    w[i] = leaf < 0 ? 0 : t->scored[from] ? t->weight[from] : none;
  }
  Value *y = gather(b, floats(b, sum_in, 2, (int64_t[]){t->n, t->ntarget}, w), at, 0); // [N,T,E]
  int64_t axis = 1;
  y = reduce(b, how == MIN ? OP_ReduceMin : how == MAX ? OP_ReduceMax : OP_ReduceSum, y, 1, &axis, false);
  if (none != 0) y = where(b, op2(b, OP_Equal, y, num_like(b, y, none)), num_like(b, y, 0), y); // no tree has a weight
  return how == AVERAGE ? quo(b, y, num_like(b, y, (double)t->nroot)) : y;
}

static Value *with_base(const B *b, Value *y) { // base_values: one per target, or one for all
  int64_t n;
  double *v = doubles(b, "base_values", "base_values_as_tensor", &n, NULL);
  return n == 0 ? y : add(b, y, n == 1 ? num_like(b, y, v[0]) : floats(b, dtype(y), 1, &n, v));
}

/* ---- builders ---- */
void expand_tree_ensemble_regressor(const B *b) {
  static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  int how = SUM;
  for (int i = 0; i < 4; i++)
    if (attr_is(b->at, "aggregate_function", names[i])) how = i;
  Trees t = from_lists(b, "target", int_or(b, "n_targets", 1));
  Value *y = with_base(b, ensemble(b, &t, (Aggregate)how, t.wide ? DT_F64 : DT_F32));
  give(b, 0, post_transform(b, cast(b, y, DT_F32)));
}

void expand_tree_ensemble(const B *b) {
  static const char *const post[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  Trees t = from_arrays(b);
  int64_t p = attr_int(b->at, "post_transform"), how = attr_int(b->at, "aggregate_function");
  if (p < 0 || p > 4 || how < 0 || how > 3) cannot(b, "post_transform %lld, aggregate_function %lld", (long long)p, (long long)how);
  DType dt = dtype(b->at->out[0]);
  Value *y = ensemble(b, &t, (Aggregate)how, dt == DT_F64 ? DT_F64 : DT_F32);
  give(b, 0, cast(b, transformed(b, y, post[p]), dt));
}

static bool no_negative(const Trees *t) {
  for (int64_t i = 0; i < t->nleaf * t->ntarget; i++)
    if (t->weight[i] < 0) return false;
  return true;
}

// Two labels, all weights for one class id. The label is decided on the raw sum.
static void one_score(const B *b, int64_t id) {
  Trees t = from_lists(b, "class", id + 1);
  bool positive = no_negative(&t);
  Value *s = ensemble(b, &t, SUM, t.wide ? DT_F64 : DT_F32);
  if (id) s = slice(b, s, 1, 1, 2);
  s = cast(b, id ? s : with_base(b, s), DT_F32);
  Value *second = op2(b, OP_Greater, reshape_to(b, s, INTS(-1)), num_like(b, s, positive ? 0.5 : 0));
  give(b, 0, labels(b, cast(b, second, DT_I64)));
  if (id == 0) give(b, 1, two_columns(b, s, !positive));
  else give(b, 1, post_transform(b, concat(b, 1, VALUES(mul(b, s, num_like(b, s, 0)), s))));
}

void expand_tree_ensemble_classifier(const B *b) {
  const int64_t *ids;
  int n = attr_ints(b->at, "class_ids", &ids);
  bool one = n > 0;
  for (int i = 1; i < n; i++) one = one && ids[i] == ids[0];
  if (one && label_count(b) == 2 && ids[0] <= 1) {
    one_score(b, ids[0]);
    return;
  }
  Trees t = from_lists(b, "class", label_count(b));
  Value *s = cast(b, with_base(b, ensemble(b, &t, SUM, t.wide ? DT_F64 : DT_F32)), DT_F32);
  give(b, 0, labels(b, best_class(b, s)));
  give(b, 1, post_transform(b, s));
}
