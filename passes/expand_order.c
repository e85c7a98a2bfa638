// expand_order.c - selections whose size depends on data, and orders: NonZero, Compress, TopK, Unique, NonMaxSuppression.
//
// They become views and elementwise ops around a few rows of the domain tenon: Positions (where a condition holds), Order (sorted
// indices of integer keys), OrderRows, Suppress.
#include "passes/expand.h"

static Value *flat(const B *b, Value *x) { return rank_of(x) == 1 ? x : reshape_to(b, x, INTS(-1)); }
static Value *positions(const B *b, Value *mask) { return op1(b, OP_Positions, flat(b, mask)); }

/* ---- NonZero, Compress ---- */
void expand_non_zero(const B *b) {
  Value *x = in(b, 0), *at = positions(b, cast(b, x, DT_BOOL)), *row[MAX_RANK];
  int r = rank_of(x);
  if (r == 0) {
    give(b, 0, zeros(b, DT_I64, join(b, VALUES(int1(b, 0), shape_of(b, at)))));
    return;
  }
  for (int d = r - 1; d > 0; d--) {
    Value *n = squeeze(b, dim_of(b, x, d), 0);
    Value *q = quo(b, at, n);
    row[d] = unsqueeze(b, sub(b, at, mul(b, q, n)), INTS(0)), at = q;
  }
  row[0] = unsqueeze(b, at, INTS(0));
  give(b, 0, r == 1 ? row[0] : concat(b, 0, r, row));
}

void expand_compress(const B *b) {
  Value *x = in(b, 0), *at = positions(b, in(b, 1));
  bool axis = attr_has(b->at, "axis");
  give(b, 0, axis ? gather(b, x, at, (int)attr_int(b->at, "axis")) : gather(b, flat(b, x), at, 0));
}
