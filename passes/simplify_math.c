// simplify_math.c - rules for arithmetic. x + 0 drops the sign of a negative zero and x*0 is left alone (NaN); strict mode keeps both.
#include "passes/rewrite.h"
#include "passes/simplify.h"
#include <math.h>
#include <stdlib.h>

// x, if the node's result has x's type: then a neutral second operand does nothing
static Value *keeps(const B *b, Value *x) { return same_type(x, b->at->out[0]) ? x : NULL; }
static bool is_all(const Value *v, double k) {
  double x;
  return v && all_equal(v, &x) && x == k && (k != 0 || !signbit(x));
}
static bool is_zero(const B *b, const Value *v) {
  double x;
  if (!v || !all_equal(v, &x) || x != 0) return false;
  return dtypes[dtype(b->at->out[0])].is_int || signbit(x) || may_reassociate();
}

Value *simplify_add(const B *b) {
  if (is_zero(b, in(b, 1))) return keeps(b, in(b, 0));
  if (is_zero(b, in(b, 0))) return keeps(b, in(b, 1));
  return weights_add(b);
}

Value *simplify_sub(const B *b) { return is_all(in(b, 1), 0) ? keeps(b, in(b, 0)) : NULL; }

Value *simplify_mul(const B *b) {
  if (is_all(in(b, 1), 1)) return keeps(b, in(b, 0));
  if (is_all(in(b, 0), 1)) return keeps(b, in(b, 1));
  return weights_mul(b);
}

// A division by a power of two is an exact multiplication.
Value *simplify_div(const B *b) {
  double k;
  int e;
  Value *y = in(b, 1);
  if (is_all(y, 1)) return keeps(b, in(b, 0));
  if (is_all(in(b, 0), 1) && dtypes[dtype(b->at->out[0])].is_float && keeps(b, y)) return op1(b, OP_Reciprocal, y);
  if (!dtypes[dtype(b->at->out[0])].is_float || !y->type || !all_equal(y, &k) || k == 0 || !isfinite(k)) return NULL;
  if (fabs(frexp(k, &e)) != 0.5 || abs(e) > 14) return NULL; // within every float type's normal range
  Value *inverse = num_like(b, y, 1 / k);
  return mul(b, in(b, 0), rank_of(y) ? expand_to(b, inverse, shape_of(b, y)) : inverse);
}

Value *simplify_pow(const B *b) {
  double k;
  Value *x = in(b, 0);
  if (!all_equal(in(b, 1), &k) || !dtypes[dtype(x)].is_float || !same_type(x, b->at->out[0])) return NULL;
  if (k == 1) return x;
  if (k == 2) return mul(b, x, x);
  if (!may_reassociate()) return NULL;
  if (k == 3) return mul(b, mul(b, x, x), x);
  if (k == 4) return x = mul(b, x, x), mul(b, x, x);
  if (k == 0.5) return op1(b, OP_Sqrt, x);
  if (k == -1) return op1(b, OP_Reciprocal, x);
  if (k == -0.5) return op1(b, OP_Reciprocal, op1(b, OP_Sqrt, x));
  return NULL;
}

Value *simplify_bool(const B *b) {
  double neutral = b->at->op->id == OP_And ? 1 : 0;
  if (is_all(in(b, 1), neutral)) return keeps(b, in(b, 0));
  if (is_all(in(b, 0), neutral)) return keeps(b, in(b, 1));
  return in(b, 0) == in(b, 1) ? in(b, 0) : NULL;
}

Value *simplify_where(const B *b) {
  double c;
  if (in(b, 1) == in(b, 2)) return keeps(b, in(b, 1));
  return all_equal(in(b, 0), &c) ? keeps(b, in(b, c != 0 ? 1 : 2)) : NULL;
}

Value *simplify_variadic(const B *b) {
  if (b->at->nin == 1) return in(b, 0);
  return b->at->nin == 2 && b->at->op->id == OP_Sum ? add(b, in(b, 0), in(b, 1)) : NULL;
}

Value *simplify_clip(const B *b) { return in(b, 1) || in(b, 2) ? NULL : in(b, 0); }
