// rewrite.h - what graph -> graph passes share.
#pragma once
#include "ir/graph.h"

// `old` is `by` from here on, everywhere: operands, results of graphs, and in what infer noted (symbols that are loaded from a value).
void replace_value(Value *old, Value *by);
bool is_output(const Value *); // of the graph it lives in, or of a body inside that
bool is_const(const Value *);  // holds data; false for NULL
bool is_random(OpId);          // another result each time: never joined, never folded
// Calls f on every node, those in regions before the node that owns them; f may remove the node it got and insert others before it.
void each_node(Graph *, void (*f)(Node *, void *u), void *u);
