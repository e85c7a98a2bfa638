// rewrite.h - what graph -> graph passes share.
#pragma once
#include "ir/graph.h"

// `old` is `by` from here on: operands, captures, outputs of graphs. A graph output keeps its ONNX name: `by` takes it over where it can,
// else an Identity carries it. old's node may be removed afterwards.
void replace_value(Value *old, Value *by);
bool is_output(const Value *);         // of the graph it lives in
bool is_const(const Value *);          // holds data
Graph *graph_root(Graph *);
// Calls f on every node, those in regions before the node that owns them; f may remove the node it got and insert others before it.
void each_node(Graph *, void (*f)(Node *, void *u), void *u);
