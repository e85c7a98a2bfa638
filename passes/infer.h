// infer.h - what infer leaves beside the types: symbols that the host program must set while it runs, and what it must check.
//
// Names of the rules (column `shape` of the op table) are the functions shape_<name>(Node *) of passes/infer_*.c; a rule may look at
// node->op->id. A new op takes one of the rules there, or adds a function of the same form.
#pragma once
#include "ir/graph.h"

// An element of a computed integer tensor that sizes or indices use: after `value` exists, sym = value[index].
// Graph inputs come first; a Loop's iteration number is element 0 of the body's first input.
typedef struct Loaded {
  Atom *sym;
  Value *value;
  int index;
} Loaded;

// A dim that depends on data (NonZero, a Loop's trips, an If whose branches differ ..): whoever computes `value` sets it. A symbol
// that several results share is listed once, with the first of them.
typedef struct FreshDim {
  Atom *sym;
  Value *value;
  int axis;
} FreshDim;

// expr >= 0 must hold wherever `graph` runs: the main graph's are checked at entry, or as soon as their symbols are set.
typedef struct Required {
  IExpr *expr;
  Sym text; // in the model's words: "seq == past + 1, needed by Add 'add_7'"
  const Graph *graph;
  int node; // ONNX node index
} Required;

typedef struct Inferred {
  Loaded *loaded;
  FreshDim *fresh;
  Required *required;
  int nloaded, cloaded, nfresh, cfresh, nrequired, crequired;
} Inferred;
extern Inferred inferred; // of the last pass_infer, and of infer_node since

void infer_node(Node *); // types of one node's results, whose operands have theirs; regions included
