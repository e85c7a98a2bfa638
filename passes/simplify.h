// simplify.h - rules of pass_simplify. A rule looks at one node and returns what its first result is instead, or NULL. It may make nodes.
#pragma once
#include "passes/expand.h"

typedef Value *Rule(const B *);
extern const Options *simplify_options; // of the running pass; NULL: defaults
bool may_reassociate(void);             // not under --math=strict

/* ---- facts about values ---- */
bool all_equal(const Value *, double *k);                  // a constant whose elements all have that value
bool const_ints(const Value *, int *n, const int64_t **v); // known integers; false for NULL
bool only_use(const Value *);                              // read once, and no output
bool same_type(const Value *, const Value *);              // tensor types known and equal

/* ---- simplify_view.c ---- */
Rule simplify_identity, simplify_cast, simplify_reshape, simplify_transpose, simplify_slice, simplify_same_shape, simplify_pad,
    simplify_concat, simplify_split, simplify_tile, simplify_unary_twice;
/* ---- simplify_math.c ---- */
Rule simplify_add, simplify_sub, simplify_mul, simplify_div, simplify_pow, simplify_bool, simplify_where, simplify_variadic, simplify_clip;
/* ---- simplify_transposed.c ---- */
Rule simplify_conv_transpose;
/* ---- simplify_dft.c ---- */
Rule simplify_dft;
/* ---- simplify_integer.c ---- */
Rule simplify_integer_product, simplify_quantized_product;
/* ---- simplify_weights.c ---- */
Rule weights_mul, weights_add;
bool simplify_if(Node *); // inlines the branch of an If with a known condition
