// infer_types.h - types that are not tensors, shared by the rules of regions and of sequences.
#pragma once
#include "infer_rules.h"

bool is_local(IExpr *, const Graph *region);              // does it name a symbol that is set inside the region?
const Type *merge_elements(const Type *a, const Type *b); // of a sequence: unequal dims become unknown
const Type *element_for(Value *v, const Type *elem);      // the type of a sequence's element as v: unknown dims become v's symbols
IExpr *length_symbol(Value *);                            // stands for the length of a carried sequence; never set, only cancelled
bool has_length(IExpr *);                                 // does such a symbol occur?
