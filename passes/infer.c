// infer.c - symbolic shape and value inference: runs the shape rules over the graph until no new fact is found.
//
// Before: any verified graph; graph inputs have types. After: every value has a type with known dims (IExpr), shape values have their
// elements, inferred lists what the host program loads, sets and checks. Fails if the model contradicts itself or a rank is unknown.
//
// A fact (a == b, e >= 0) found at node 900 may decide a question at node 20, so the graph is run until the facts stay. Facts found inside
// a region hold only if it runs: they are undone behind it and stay as checks of the region (Required.graph).
#include "infer.h"
#include "infer_rules.h"
#include "infer_state.h"
#include "passes.h"
#include <string.h>

typedef void Rule(Node *);
#define OP(domain, name, since, sig, shape, ...) void shape_##shape(Node *);
#include "ir/ops.def"
static Rule *const rules[OP_COUNT] = {
#define OP(domain, name, since, sig, shape, ...) [OP_##name] = shape_##shape,
#include "ir/ops.def"
};

Inferred inferred;
static Diagnostic *troubles;
static int ntroubles, ctroubles;
enum { ITERATIONS_MAX = 8, NAME_ABOVE = 40, LOAD_MAX = 4, LOAD_INPUT_MAX = 16 };

static void reset(void) {
  inferred = (Inferred){0};
  troubles = NULL, ntroubles = ctroubles = 0;
}

/* ---- troubles ---- */

static void trouble(const Node *n, Exit code, const char *word, const char *text) {
  Diagnostic d = {.level = LEVEL_ERROR, .exit = code, .code = word, .where = *node_where(n), .text = text};
  PUSH(troubles, ntroubles, ctroubles, d);
}

void wrong(const Node *n, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  trouble(n, EXIT_INVALID, "shape.mismatch", vfmt(format, ap));
  va_end(ap);
}

void unsupported(const Node *n, const char *code, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  trouble(n, EXIT_UNSUPPORTED, code, vfmt(format, ap));
  va_end(ap);
}

void unknown_rank(Node *n, const char *why) {
  trouble(n, EXIT_UNSUPPORTED, "shape.rank", fmt("the rank of the result depends on data: %s", why));
  for (int i = 0; i < n->nout; i++) out_type(n, i, type_unranked(sig_dtype(n, i)));
}

static void tell_troubles(void) {
  for (int i = 0; i < ntroubles; i++) report_full(&troubles[i]);
  ntroubles = 0;
}

/* ---- regions ---- */

struct Mark {
  void *facts;
  int troubles, required;
};

Mark *mark_facts(void) {
  Mark *m = NEW(Mark);
  *m = (Mark){ix_facts_save(), ntroubles, inferred.nrequired};
  return m;
}
void leave_region(Mark *m) { ix_facts_restore(m->facts); }
void discard_region(Mark *m) {
  ix_facts_discard(m->facts);
  ntroubles = m->troubles, inferred.nrequired = m->required;
}

/* ---- one node ---- */

static bool is_random(const Node *n) {
  switch (n->op->id) {
  case OP_RandomNormal:
  case OP_RandomUniform:
  case OP_RandomNormalLike:
  case OP_RandomUniformLike:
  case OP_Multinomial:
  case OP_Bernoulli: return true;
  default: return false;
  }
}

static bool is_constant(const Value *v) { return !v || v->data || side_of(v)->constant; }
static bool all_constant(const Node *n) {
  if (is_random(n) || n->nregion) return false;
  for (int i = 0; i < n->nin; i++)
    if (!is_constant(n->in[i])) return false;
  return true;
}

static void note_float(Atom *a, void *found) { *(bool *)found |= a->kind == ATOM_FLOAT; }

// A large expression, or one with floats in it, becomes a symbol that the host computes, with the range proved here. Equal ones get equal
// names.
static IExpr *named(IExpr *e) {
  bool floats = false;
  e = ix_resolve(e);
  Atom *a = ix_is_atom(e);
  if (!a || a->kind != ATOM_SYM) ix_atoms(e, note_float, &floats);
  if (ix_size(e) <= NAME_ABOVE && !floats) return e;
  const char *s = ix_str(e);
  uint64_t h = 1469598103934665603u;
  for (const char *p = s; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
  return ix_named(sym_fmt("let.%llx", (unsigned long long)h), e);
}

static const Type *settle_type(const Type *t) {
  if (t->kind != TYPE_TENSOR || t->rank < 0) return t;
  IExpr *d[MAX_RANK];
  for (int i = 0; i < t->rank; i++) d[i] = t->dim[i] ? named(t->dim[i]) : NULL;
  return type_tensor(t->dtype, t->rank, d);
}

static bool loadable(const Value *v, int64_t most) {
  if (v->elem || v->data || v->type->kind != TYPE_TENSOR || v->type->rank < 0 || v->type->rank > 1 || side_of(v)->constant) return false;
  int64_t n = const_count(dims_of(v));
  return (v->type->dtype == DT_I32 || v->type->dtype == DT_I64) && n >= 1 && n <= most;
}

static void settle(Node *n, Value *v, bool constant) {
  if (!v->type) v->type = type_unranked(sig_dtype(n, v->out));
  OpOperand o = op_operand(n->op, true, v->out);
  if (o.letter && v->type->dtype && !type_in_class(o.letter, v->type))
    wrong(n, "result %d would be %s, which the op does not give", v->out, type_str(v->type));
  v->type = settle_type(v->type);
  if (v->elem) {
    int count = v->splat ? 1 : v->nelem;
    IExpr **e = NEWN(IExpr *, count + 1);
    for (int i = 0; i < count; i++) e[i] = named(v->elem[i]);
    v->elem = e;
  }
  side_of(v)->constant = constant;
  if (loadable(v, LOAD_MAX)) load_elems(v);
}

static bool rank_missing(const Node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i] && (!n->in[i]->type || (n->in[i]->type->kind == TYPE_TENSOR && n->in[i]->type->rank < 0))) return true;
  return false;
}

// Ranks that rules take for granted, operand by operand; 0: any.
static const struct Least {
  OpId op;
  int8_t rank[5];
} least_ranks[] = {
    {OP_ArrayFeatureExtractor, {1}},
    {OP_CausalConvWithState, {1, 1}},
    {OP_DFT, {2}},
    {OP_FlexAttention, {1, 1, 1}},
    {OP_GridSample, {2, 2}},
    {OP_LinearAttention, {3, 3, 3}},
    {OP_NonMaxSuppression, {3, 3}},
    {OP_STFT, {2}},
    {OP_ms_Attention, {3, 2}},
    {OP_ms_BiasSplitGelu, {1}},
    {OP_ms_CDist, {2, 2}},
    {OP_ms_CausalConvWithState, {3, 1}},
    {OP_ms_DecoderMaskedMultiHeadAttention, {3, 3, 3}},
    {OP_ms_EmbedLayerNormalization, {1}},
    {OP_ms_GatherBlockQuantized, {1}},
    {OP_ms_GridSample, {2, 2}},
    {OP_ms_GroupQueryAttention, {3}},
    {OP_ms_Irfft, {2}},
    {OP_ms_LinearAttention, {3, 3, 3}},
    {OP_ms_MatMulBnb4, {1}},
    {OP_ms_MatMulFpQ4, {1}},
    {OP_ms_MatMulNBits, {1}},
    {OP_ms_MultiHeadAttention, {3, 3, 3}},
    {OP_ms_NhwcConv, {3, 3}},
    {OP_ms_NhwcFusedConv, {3, 3}},
    {OP_ms_PackedAttention, {2, 2}},
    {OP_ms_PackedMultiHeadAttention, {2}},
    {OP_ms_QAttention, {3, 2}},
    {OP_ms_QEmbedLayerNormalization, {1}},
    {OP_ms_RemovePadding, {3}},
    {OP_ms_Rfft, {1}},
    {OP_ms_SkipLayerNormalization, {1}},
    {OP_ms_SkipSimplifiedLayerNormalization, {1}},
    {OP_ms_SparseAttention, {3, 0, 0, 4, 4}},
    {OP_ms_SparseToDenseMatMul, {0, 2}},
    {OP_ms_SwiGLU, {1}},
    {OP_ms_UnfoldTensor, {1}},
    {OP_ms_WordConvEmbedding, {1, 1}},
    {OP_DeformConv, {3, 3, 3}},
    {OP_MaxUnpool, {3}},
    {OP_DepthToSpace, {4}},
    {OP_SpaceToDepth, {4}},
};

static bool ranks_fit(const Node *n) {
  for (size_t k = 0; k < sizeof least_ranks / sizeof *least_ranks; k++) {
    if (least_ranks[k].op != n->op->id) continue;
    for (int i = 0; i < 5; i++) {
      int rank = rank_in(n, i), least = least_ranks[k].rank[i];
      if (!node_in(n, i) || rank >= least) continue;
      wrong(n, "operand %d has rank %d; %d is the least", i, rank, least);
      return false;
    }
  }
  return true;
}

static void infer_one(Node *n) {
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]) out_type(n, i, NULL);
  if (rank_missing(n) || !operands_fit(n) || !ranks_fit(n)) { // told here, or where it arose
    for (int i = 0; i < n->nout; i++) out_type(n, i, type_unranked(sig_dtype(n, i)));
    return;
  }
  rules[n->op->id](n);
  bool constant = all_constant(n);
  for (int i = 0; i < n->nout; i++)
    if (n->out[i]) settle(n, n->out[i], constant);
}

void infer_graph(Graph *g) {
  for (Node *n = g->first; n; n = n->next) infer_one(n);
}

void infer_node(Node *n) {
  at_reset(reset);
  infer_one(n);
  tell_troubles();
}

/* ---- the graph ---- */

static void settle_input(Graph *g, Value *v) {
  const Type *t = v->type;
  if (!t) fail(EXIT_INVALID, "shape.input", NOWHERE, "input '%s' has no type", v->name);
  if (t->kind != TYPE_TENSOR) return;
  if (t->rank < 0)
    fail(EXIT_UNSUPPORTED, "shape.rank", NOWHERE, "the rank of input '%s' is not known; give its shape with --shape", v->name);
  (void)g;
  IExpr *d[MAX_RANK];
  for (int i = 0; i < t->rank; i++) {
    d[i] = t->dim[i] ? t->dim[i] : ix_sym(sym_fmt("%s.%d", base_name(v), i), 0, IX_DIM_MAX);
    Atom *a = ix_is_atom(d[i]);
    if (a && a->kind == ATOM_SYM) ix_narrow(a, 0, IX_DIM_MAX);
    d[i] = ix_resolve(d[i]);
  }
  v->type = type_tensor(t->dtype, t->rank, d);
  forget_elems(v);
  if (loadable(v, LOAD_INPUT_MAX)) load_elems(v);
}

int infer_run = 1;
static void start_iteration(void) {
  infer_run++;
  ntroubles = 0;
  inferred.nloaded = inferred.nfresh = 0;
}

// Requirements stay from earlier runs: other passes may have used the fact and removed the node that showed it.
void pass_infer(Graph *g) {
  at_reset(reset);
  for (int i = 0; i < ITERATIONS_MAX; i++) {
    int before = ix_facts();
    start_iteration();
    for (int k = 0; k < g->nin; k++) settle_input(g, g->in[k]);
    infer_graph(g);
    if (ix_facts() == before) break;
  }
  tell_troubles();
  check_reports();
}
