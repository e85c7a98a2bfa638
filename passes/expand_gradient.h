// expand_gradient.h - between the walk of Gradient (expand_gradient.c) and the rules it asks (expand_adjoint*.c).
#pragma once
#include "passes/expand.h"

enum { OPERANDS_MAX = 16 };

typedef struct Step { // one node to differentiate
  const B *b;
  const Node *n;
  Value *x[OPERANDS_MAX];    // operands
  bool active[OPERANDS_MAX]; // which of them depend on what is differentiated by
  Value **r, **g;            // results and their adjoints; an adjoint is NULL where nothing flows
  Value *dx[OPERANDS_MAX];   // to fill in, in the operands' shapes up to broadcasting; NULL: nothing flows there
} Step;

void differentiate(Step *);                                         // by the rule of the op or of its family; an op without one is told
bool has_rule(const Node *);                                        // of its own: then a composite op is not expanded first
void convolution_rule(Step *);                                      // expand_adjoint_conv.c: Conv
void transposed_rule(Step *);                                       // ConvTranspose
void pool_rule(Step *);                                             // MaxPool, AveragePool
Value *scatter_back(const B *, Value *x, Value *numbers, Value *g); // dx: g added up at its numbers (1.. in x's order; 0: nowhere)
Value *renumbered(const B *, Value *x);                             // 1, 2, .. in x's shape
