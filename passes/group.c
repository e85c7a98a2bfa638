// group.c - which values are stored, which are temps inside their users' kernel, and which vanish into their users.
//
// Before: typed graph without EXPAND rows. After: every value's VInfo says where it lives, and every kernel to be is a Group.
//
// Values are visited users first. Each visit expands one node symbolically (Lower.record) for every place that reads it, so that its
// operands learn at which index tuples they will be read, by which members of which groups. A value may join its users' kernel if all of
// them sit in one group and read it at one tuple of distinct loop variables: its stage then runs over those very variables, and the loops
// can be shared. That one rule covers epilogues (matmul, then bias and GELU), row groups (softmax, norms) and attention.
#include "passes/lower.h"
#include <string.h>

typedef enum Cost { COST_FREE, COST_CHEAP, COST_DEAR } Cost;

static Cost cost_of(const Node *n) {
  const Lowering *w = lowering(n);
  switch (n->op->id) {
  case OP_QuantizeLinear:
  case OP_ms_QuantizeLinear: return COST_DEAR;
  case OP_DequantizeLinear:
  case OP_ms_DequantizeLinear: return n->in[0]->data ? COST_FREE : COST_CHEAP; // weights stay narrow
  default: break;
  }
  if (!w || w->index) return COST_FREE;
  static const char *const dear[] = {"exp",  "log",     "erf",    "tanh", "sin", "cos",      "tan",  "pow",  "/",
                                     "sqrt", "sigmoid", "normal", "gelu", "%",   "softplus", "asin", "acos", "atan"};
  for (size_t i = 0; w->formula && i < sizeof dear / sizeof *dear; i++)
    if (strstr(w->formula, dear[i])) return COST_DEAR;
  return COST_CHEAP;
}

// A view that only renames or reorders indices costs a contraction nothing; one that chooses between sources is read once for every tap.
static bool pure_view(const Node *n) {
  switch (n->op->id) {
  case OP_Identity:
  case OP_Reshape:
  case OP_Flatten:
  case OP_Squeeze:
  case OP_Unsqueeze:
  case OP_Transpose:
  case OP_Expand:
  case OP_Slice:
  case OP_Split:
  case OP_Cast:
  case OP_DequantizeLinear: return true;
  default: return false;
  }
}
bool is_plain(IExpr *const *idx, int rank) {
  for (int d = 0; d < rank; d++) {
    if (ix_is(idx[d], 0)) continue;
    Atom *a = ix_is_atom(idx[d]);
    if (!a || a->kind != ATOM_VAR) return false;
    for (int e = 0; e < d; e++)
      if (idx[e] == idx[d]) return false;
  }
  return true;
}

static bool inlines(const Node *n) {
  const Lowering *w = lowering(n);
  return w && (w->family == FAMILY_ELEM || w->family == FAMILY_INDEX) && (w->formula || w->index);
}
static bool folds(const Lower *L, const Node *n) {
  const Lowering *w = lowering(n);
  return w && !by_openblas(L, n) && (w->family == FAMILY_FOLD || w->family == FAMILY_FOLDN);
}

/* ---- groups ---- */
enum { FOLD_STAGES = 10 }; // at most: its lane partials are added up in a stage for each halving
static int ngroup;
static Group *group_new(void) {
  Group *g = NEW(Group);
  g->id = ngroup++;
  return g;
}
static void join(Group *g, Value *v) {
  PUSH(g->member, g->nmember, g->cmember, v);
  g->nfoldn += v->def->op->family == FAMILY_FOLDN;
  g->nstage += v->def->op->family == FAMILY_FOLDN || v->def->op->family == FAMILY_FOLD ? FOLD_STAGES : 1;
}
static void fresh_vars(const Value *v, IExpr **var) {
  static const char *const names[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
  for (int d = 0; d < v->type->rank; d++) var[d] = ix_is(v->type->dim[d], 1) ? ix(0) : ix_var(sym(names[d]), v->type->dim[d]);
}

/* ---- expanding one node for one reader ---- */
bool first_access(const VInfo *i, int a) { // of its group
  for (int b = 0; b < a; b++)
    if (i->access[b].group == i->access[a].group) return false;
  return true;
}
static void expand_at(Lower *L, Group *g, Value *owner, Value *v, IExpr *const *idx) {
  L->rec_group = g, L->rec_owner = owner, L->node = v->def;
  L->rec_depth = vinfo(v)->where == RES_INLINE ? vinfo(v)->depth : 0;
  if (!elems_known(v)) pull_elem_node(L, v->def, v->out, idx);
}

// The loop variables of a group: those its members store at. A fold prefers them for its own reduce axes, so that the stages of a row
// group run over the same variable.
static bool used_in(IExpr *v, IExpr *const *set, int n) {
  for (int i = 0; i < n; i++)
    if (set[i] == v) return true;
  return false;
}
static bool free_var(IExpr *x, IExpr *extent, const VInfo *self, int rank) {
  Atom *a = ix_is_atom(x);
  return a && a->a == extent && !used_in(x, self->var, rank) && !used_in(x, self->red, self->nred);
}
static IExpr *group_var(Group *g, IExpr *extent, const VInfo *self, int rank) {
  for (int m = g->nmember - 1; m >= 0; m--) {
    Value *v = g->member[m];
    VInfo *i = vinfo(v);
    for (int d = v->type->rank - 1; d >= 0; d--)
      if (free_var(i->var[d], extent, self, rank)) return i->var[d];
    for (int r = 0; r < i->nred; r++)
      if (free_var(i->red[r], extent, self, rank)) return i->red[r];
  }
  return NULL;
}
static Group *choosing; // the group whose variables fold_axis may take
IExpr *fold_axis(Fold *f, const char *name, IExpr *extent) {
  VInfo *i = (VInfo *)f->info;
  if (f->nred == MAX_AXES) bug("a fold over more than %d axes", MAX_AXES);
  if (f->nred < i->nred) return f->red[f->nred] = i->red[f->nred], f->red[f->nred++];
  IExpr *v = ix_is(extent, 1) ? NULL : choosing ? group_var(choosing, extent, i, MAX_RANK) : NULL;
  if (!v) v = ix_var(sym(name), extent);
  i->red[i->nred++] = v;
  return f->red[f->nred++] = v;
}
static void expand_fold(Lower *L, Group *g, Value *v) {
  Node *n = v->def;
  VInfo *i = vinfo(v);
  Fold f = {.info = i, .result = v->out};
  memcpy(f.out, i->var, sizeof i->var);
  i->nred = 0;
  choosing = n->op->family == FAMILY_FOLD ? g : NULL; // a contraction's depth is nobody else's axis
  L->rec_group = g, L->rec_owner = v, L->node = n, L->rec_depth = 0;
  lowering(n)->fold(L, n, &f);
  choosing = NULL;
}

/* ---- the decision ---- */
typedef struct Readers {
  Group *group; // NULL: several
  int ntuple, nowner;
  bool several, plain;
  IExpr *idx[MAX_RANK];
} Readers;
// A tuple that covers only a part of the value, or more than it (a part of a Concat), is not plain: its loops are not the value's.
static bool covers(const Value *v, IExpr *const *idx) {
  for (int d = 0; d < v->type->rank; d++)
    if (!ix_is(idx[d], 0) && ix_is_atom(idx[d])->a != v->type->dim[d]) return false;
  return true;
}
static Readers readers_of(const Value *v, const VInfo *i) {
  int rank = v->type->rank;
  Readers r = {.plain = true};
  for (int a = 0; a < i->naccess; a++) {
    const Access *x = &i->access[a];
    if (!a) r.group = x->group, memcpy(r.idx, x->idx, sizeof r.idx);
    r.several |= x->group != i->access[0].group;
    bool tuple = true, owner = true;
    for (int b = 0; b < a; b++) {
      tuple &= memcmp(i->access[b].idx, x->idx, (size_t)rank * sizeof *x->idx) != 0;
      owner &= i->access[b].owner != x->owner;
    }
    r.ntuple += tuple, r.nowner += owner;
    r.plain &= is_plain(x->idx, rank) && covers(v, x->idx);
  }
  if (r.several) r.group = NULL;
  return r;
}

static int nvars(IExpr *const *idx, int rank) {
  int n = 0;
  for (int d = 0; d < rank; d++) n += !ix_is(idx[d], 0);
  return n;
}
static Value *root_of(Group *g) { return g->member[0]; } // members are added users first
static bool all_in(IExpr *const *idx, int rank, IExpr *const *set, int n) {
  for (int d = 0; d < rank; d++)
    if (!ix_is(idx[d], 0) && !used_in(idx[d], set, n)) return false;
  return true;
}
static bool same_vars(IExpr *const *a, int n, IExpr *const *b, int m) { return nvars(a, n) == nvars(b, m) && all_in(a, n, b, m); }
static bool leading_vars(IExpr *const *a, int n, IExpr *const *b, int m) { // a's variables, in order, are the first of b's
  int j = 0;
  for (int i = 0; i < n; i++) {
    if (ix_is(a[i], 0)) continue;
    while (j < m && ix_is(b[j], 0)) j++;
    if (j == m || b[j++] != a[i]) return false;
  }
  return true;
}
// Is this value the weights of a contraction over a row: attention's probabilities? Its reader is a contraction that reduces over the row
// axis, and the value itself is normalised by a fold over that axis.
static bool row_normalised(Value *v, int depth) {
  Node *n = v->def;
  if (!n || depth == 0) return false;
  for (int i = 0; i < n->nin; i++) {
    Value *x = n->in[i];
    if (!x || !x->def) continue;
    if (x->def->op->family == FAMILY_FOLD && x->type->rank > 0 && x->type->rank == v->type->rank &&
        ix_is(x->type->dim[x->type->rank - 1], 1))
      return true;
    if (inlines(x->def) && row_normalised(x, depth - 1)) return true;
  }
  return false;
}
static bool has_rows(const Group *g) {
  for (int m = 0; m < g->nmember; m++)
    if (g->member[m]->def->op->family == FAMILY_FOLD) return true;
  return false;
}
// Does every row of the group have its own of these elements? What several rows share (a bias of all batches) is not their kernel's work.
static bool of_each_row(const Group *g, IExpr *const *idx, int rank) {
  for (int m = 0; m < g->nmember; m++) {
    Value *v = g->member[m];
    if (v->def->op->family == FAMILY_FOLD && !all_in(vinfo(v)->var, v->type->rank, idx, rank)) return false;
  }
  return true;
}
// Is a contraction among what this elementwise value is made of? Then it is that contraction's epilogue.
static bool over_contraction(const Value *v, int depth) {
  Node *n = v->def;
  for (int i = 0; n && i < n->nin && depth > 0; i++) {
    Value *x = n->in[i];
    if (!x || !x->def || x->data) continue;
    if (x->def->op->family == FAMILY_FOLDN) return true;
    if (inlines(x->def) && x->nuser == 1 && over_contraction(x, depth - 1)) return true;
  }
  return false;
}
// A permuted contraction stores permuted: the views behind it then read it in order.
static bool permutes_contraction(const Value *v) {
  const Node *n = v->def;
  const Value *x = n->in[0];
  return n->op->id == OP_Transpose && x->def && x->def->op->family == FAMILY_FOLDN && x->nuser == 1;
}
static bool reads_fold(const Value *v, int depth) { // through other elementwise values
  for (int i = 0; i < v->def->nin; i++) {
    Value *x = v->def->in[i];
    if (!x || !x->def || x->data) continue;
    if (x->def->op->family == FAMILY_FOLD || (depth && inlines(x->def) && reads_fold(x, depth - 1))) return true;
  }
  return false;
}
// Is it summed over its row by the very kernel that multiplies it? Softmax whose division waits until after the product.
static bool summed_too(const VInfo *i) {
  for (int a = 0; a < i->naccess; a++)
    if (i->access[a].owner->def->op->family == FAMILY_FOLD) return true;
  return false;
}
static bool against_constant(const Value *v) { // its reader multiplies it with weights
  for (int u = 0; u < v->nuser; u++)
    for (int i = 0; i < v->user[u]->nin; i++)
      if (v->user[u]->in[i] && v->user[u]->in[i]->data) return true;
  return false;
}
static bool full(const Group *g) { return g->nstage + FOLD_STAGES > MAX_STAGES; }
static bool may_join(Lower *L, Value *v, const Readers *r) {
  Group *g = r->group;
  Node *n = v->def;
  Value *root = root_of(g);
  VInfo *ri = vinfo(root);
  int rank = v->type->rank;
  if (!r->plain || r->ntuple != 1 || full(g)) return false;
  if (L->opt && L->opt->opt == 0) return false;
  if (n->op->family == FAMILY_FOLDN) {
    // an epilogue: the fold runs over exactly the root's variables; or attention's scores: over a row that the root reduces
    if (g->nfoldn == 0 && has_rows(g)) return false; // a contraction and a row group over it are two kernels
    if (g->nfoldn == 0) return nvars(r->idx, rank) == nvars(ri->var, root->type->rank) && all_in(r->idx, rank, ri->var, root->type->rank);
    if (g->nfoldn > 1) return false;
    for (int m = 1; m < g->nmember; m++) { // some row member has the same variables
      VInfo *mi = vinfo(g->member[m]);
      int mr = g->member[m]->type->rank;
      IExpr *set[MAX_RANK + MAX_AXES];
      int ns = 0;
      for (int d = 0; d < mr; d++) set[ns++] = mi->var[d];
      for (int d = 0; d < mi->nred; d++) set[ns++] = mi->red[d];
      if (g->member[m]->def->op->family == FAMILY_FOLD && nvars(r->idx, rank) == nvars(set, ns) && all_in(r->idx, rank, set, ns))
        return true;
    }
    return false;
  }
  // a fold over rows: the rows are the leading variables of the root, the same for all folds of the group
  for (int m = 1; m < g->nmember; m++)
    if (g->member[m]->def->op->family == FAMILY_FOLD) return same_vars(r->idx, rank, vinfo(g->member[m])->var, g->member[m]->type->rank);
  Value *order = root;
  for (int m = 0; m < g->nmember; m++)
    if (g->member[m]->def->op->family == FAMILY_FOLDN) order = g->member[m];
  return nvars(r->idx, rank) > 0 && leading_vars(r->idx, rank, vinfo(order)->var, order->type->rank);
}

static void expand(Lower *L, Group *g, Value *v) {
  if (folds(L, v->def)) expand_fold(L, g, v);
  else expand_at(L, g, v, v, vinfo(v)->var);
}
static void make_root(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  i->where = RES_ROOT, i->group = group_new();
  fresh_vars(v, i->var);
  join(i->group, v);
  expand(L, i->group, v);
}
static void make_temp(Lower *L, Value *v, const Readers *r) {
  VInfo *i = vinfo(v);
  i->where = RES_TEMP, i->group = r->group;
  memcpy(i->var, r->idx, sizeof i->var);
  join(r->group, v);
  expand(L, r->group, v);
}
// Would it make some kernel read too many values?
static bool crowded(const Value *v, const VInfo *i) {
  for (int a = 0; a < i->naccess; a++)
    if (i->access[a].group->nread + v->def->nin > MAX_BUFS / 2) return true;
  return false;
}
static void make_inline(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  if (crowded(v, i)) return make_root(L, v);
  i->where = RES_INLINE;
  for (int a = 0; a < i->naccess; a++)
    if (first_access(i, a)) i->access[a].group->nread--;
  for (int a = 0; a < i->naccess; a++) expand_at(L, i->access[a].group, i->access[a].owner, v, i->access[a].idx);
}
static bool by_contraction(const VInfo *i) {
  for (int a = 0; a < i->naccess; a++)
    if (i->access[a].owner->def->op->family == FAMILY_FOLDN) return true;
  return false;
}
// One of many parts of a Concat: every cell of the result asks each part, so a part that looks its index up is looked up once, for itself.
static bool one_of_many(const Node *n, const VInfo *i) {
  enum { MANY = 8 };
  if (n->op->id != OP_Gather && n->op->id != OP_GatherElements && n->op->id != OP_GatherND) return false;
  for (int a = 0; a < i->naccess; a++) {
    const Node *reader = i->access[a].owner->def;
    if (reader->op->id == OP_Concat && reader->nin > MANY) return true;
  }
  return false;
}
static int64_t bytes_hint(const Value *v) {
  IExpr *n = value_count(v);
  int64_t k;
  return ix_const(n, &k) ? k : 1 << 20;
}

static void decide(Lower *L, Value *v) {
  VInfo *i = vinfo(v);
  Node *n = v->def;
  Readers r = readers_of(v, i);
  enum { DEEPEST = 48 };
  if (i->must_root || i->depth > DEEPEST) return make_root(L, v);
  if (!i->naccess) return; // only its shape is used, or nothing
  if (folds(L, n)) return r.group && may_join(L, v, &r) ? make_temp(L, v, &r) : make_root(L, v);
  Cost c = cost_of(n);
  bool scheduled = L->opt && L->opt->opt > 0;
  if (scheduled && permutes_contraction(v)) return make_root(L, v);
  if (scheduled && c != COST_FREE && r.nowner > 1 && r.group && !r.group->nfoldn && has_rows(r.group) && over_contraction(v, 4))
    return make_root(L, v);
  if (!r.group) { // several kernels want it
    bool small = bytes_hint(v) <= 64;
    return c == COST_FREE || small ? make_inline(L, v) : make_root(L, v);
  }
  if ((c != COST_FREE || !pure_view(n)) && by_contraction(i)) {
    bool attention = scheduled && r.ntuple == 1 && r.plain && r.group->nfoldn == 1 && v->type->rank >= 3 && !against_constant(v) &&
                     (r.nowner == 1 ? row_normalised(v, 3) : summed_too(i));
    return attention ? make_temp(L, v, &r) : make_root(L, v);
  }
  if (scheduled && one_of_many(n, i)) return make_root(L, v);
  if (r.ntuple > 4) return c == COST_FREE ? make_inline(L, v) : make_root(L, v);
  if (c == COST_DEAR) {
    Value *root = root_of(r.group);
    bool outer = r.plain && r.ntuple == 1 && nvars(r.idx, v->type->rank) < nvars(vinfo(root)->var, root->type->rank);
    if (r.ntuple == 1 && r.nowner == 1 && !outer) return make_inline(L, v);
    if (scheduled && r.plain && r.ntuple == 1 && !of_each_row(r.group, r.idx, v->type->rank)) return make_root(L, v);
    return r.ntuple == 1 && r.plain && !full(r.group) && (!outer || has_rows(r.group) || reads_fold(v, 3)) ? make_temp(L, v, &r)
                                                                                                           : make_root(L, v);
  }
  make_inline(L, v);
}

// Operands of what is not pulled need memory.
static void need_memory(Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i]) vinfo(n->in[i])->must_root = true;
}
static void captured(const Graph *g) { // values of outer graphs that a region reads
  for (Node *n = g->first; n; n = n->next) {
    for (int i = 0; i < n->nin; i++)
      if (n->in[i] && n->in[i]->graph != g) vinfo(n->in[i])->must_root = true;
    for (int r = 0; r < n->nregion; r++) captured(n->region[r]);
  }
  for (int i = 0; i < g->nout; i++) vinfo(g->out[i])->must_root = true;
}

void group_graph(Lower *L, Graph *g) {
  L->record = true;
  for (int i = 0; i < g->nout; i++) vinfo(g->out[i])->must_root = true;
  for (Node *n = g->last; n; n = n->prev) {
    for (int r = 0; r < n->nregion; r++) captured(n->region[r]);
    if (inlines(n) || (folds(L, n) && lowering(n) && lowering(n)->fold)) {
      for (int o = n->nout - 1; o >= 0; o--) // a later result may read an earlier one: MaxPool's indices the maximum
        if (n->out[o]) decide(L, n->out[o]);
      continue;
    }
    need_memory(n);
    for (int o = 0; o < n->nout; o++)
      if (n->out[o]) vinfo(n->out[o])->where = RES_ROOT;
  }
  L->record = false;
}
