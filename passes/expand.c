// expand.c - pass_expand: replaces the nodes of EXPAND rows of the op table by other graph ops, until none is left.
//
// Before: infer has run. After: no node of an EXPAND row is left, in the main graph and in every region; what the builders
// made has types. Named and exporter-decomposed forms become the same nodes here, so lowering knows one form of each.
#include "passes/expand.h"
#include "passes/lower.h"
#include "passes/rewrite.h"
#include <setjmp.h>

#define ROW_ELEM(...)
#define ROW_INDEX(...)
#define ROW_FOLD(...)
#define ROW_FOLDN(...)
#define ROW_NEST(...)
#define ROW_HOST(...)
#define ROW_REGION(...)

#define OP(domain, name, since, sig, shape, family, how, ...) ROW_##family(name, how)
#define ROW_EXPAND(name, how) Builder expand_##how;
#include "ir/ops.def"
#undef ROW_EXPAND

#define OP(domain, name, since, sig, shape, family, how, ...) ROW_##family(name, how)
#define ROW_EXPAND(name, how) [OP_##name] = expand_##how,
static Builder *const builders[OP_COUNT] = {
#include "ir/ops.def"
};

const Options *expand_options;

bool wanted(const B *b, int out) { return node_out(b->at, out) != NULL; }

// A requirement may name a dim that infer made up for the composite: now the expansion has it, perhaps under a name of its own.
static void same_dims(const Value *old, const Value *by) {
  if (!old->type || !by->type || by->type->kind != TYPE_TENSOR || old->type->rank != by->type->rank) return;
  for (int d = 0; d < old->type->rank; d++) {
    Atom *a = ix_is_atom(old->type->dim[d]);
    if (a && a->kind == ATOM_SYM && a->derived && a->of == old && by->type->dim[d]) ix_stands_for(a, by->type->dim[d]);
  }
}

void give(const B *b, int out, Value *by) {
  Value *old = node_out(b->at, out);
  if (!old) return;
  if (old->type && old->type->kind == TYPE_TENSOR && by->type && by->type->dtype != old->type->dtype)
    bug("expansion of %s gives %s where %s is expected", b->at->op->name, type_str(by->type), type_str(old->type));
  same_dims(old, by);
  replace_value(old, by);
}

static jmp_buf *next_node; // of the walk, where one is under way: all nodes that cannot be expanded are named together

void cannot(const B *b, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  const char *text = vfmt(format, ap);
  va_end(ap);
  const Where *where = node_where(b->at ? b->at : b->like);
  if (!next_node) fail(EXIT_UNSUPPORTED, "op.unsupported", where, "%s", text);
  report(LEVEL_ERROR, EXIT_UNSUPPORTED, "op.unsupported", where, "%s", text);
  longjmp(*next_node, 1);
}

bool is_composite(const Node *n) { return builders[n->op->id] != NULL; }
static Builder *builder_of(const Node *n) {
  if (is_scan_across(n)) return expand_scan_across;
  if (is_string_view(n)) return expand_string_view;
  return is_wide(n) ? expand_wide : host_function(n) ? NULL : builders[n->op->id];
}

Node *expand_node(Node *n) {
  Graph *g = n->graph;
  Node *before = n->prev;
  builder_of(n)(&(B){g, n, n});
  node_remove(n);
  return before ? before->next : g->first;
}

static Node *expand_or_report(Node *n) {
  jmp_buf skip;
  next_node = &skip;
  Node *next = setjmp(skip) ? n->next : expand_node(n); // a node that was reported stays: the pass fails when it has seen all
  next_node = NULL;
  return next;
}

static void expand_graph(Graph *g) {
  for (Node *n = g->first; n;) {
    if (builder_of(n)) {
      n = expand_or_report(n);
      continue;
    }
    for (int i = 0; i < n->nregion; i++) expand_graph(n->region[i]);
    n = n->next;
  }
}

void pass_expand(Graph *g, const Options *o) {
  expand_options = o;
  expand_graph(g);
}
