// expand_ml.h - what the builders of classical models share.
#pragma once
#include "passes/expand.h"

int attr_floats(const Node *, const char *name, const double **v); // count; 0 if absent
Value *transformed(const B *, Value *scores, const char *how);     // NONE, LOGISTIC, SOFTMAX, ..
Value *post_transform(const B *, Value *scores);                   // by the node's attribute; softmaxes go along the last axis
int64_t label_count(const B *);
Value *labels(const B *, Value *index); // the node's class labels at those indices
Value *best_class(const B *, Value *scores);
Value *two_columns(const B *, Value *s,
                   bool negated); // [N,1] -> [N,2] for the two labels; without transform [1-s, s], or [-s, s] if negated
