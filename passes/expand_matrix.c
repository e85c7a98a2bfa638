// expand_matrix.c - determinants and inverses of small matrices, by minors.
#include "passes/expand.h"

enum { LARGEST = 4 };

// The determinant of the n rows and columns that are left
static Value *minor_of(const B *b, Value *x, int n, const int64_t *row, const int64_t *column) {
  Value *sum = NULL;
  int r = rank_of(x);
  if (n == 0) return num_like(b, x, 1);
  for (int i = 0; i < n; i++) {
    int64_t rest[LARGEST];
    int m = 0;
    for (int j = 0; j < n; j++)
      if (j != i) rest[m++] = column[j];
    Value *a = pick(b, pick(b, x, r - 2, row[0]), r - 2, column[i]), *term = m ? mul(b, a, minor_of(b, x, m, row + 1, rest)) : a;
    sum = !sum ? term : i % 2 ? sub(b, sum, term) : add(b, sum, term);
  }
  return sum;
}

static const int64_t all[LARGEST] = {0, 1, 2, 3};

static int order_of(const B *b, Value *x) {
  int64_t n = static_dim(b, x, -1);
  if (n < 1 || n > LARGEST) cannot(b, "a matrix of %lld rows: at most %d", (long long)n, LARGEST);
  return (int)n;
}

void expand_det(const B *b) {
  Value *x = in(b, 0), *w = wide(b, x);
  give(b, 0, cast(b, minor_of(b, w, order_of(b, w), all, all), dtype(x)));
}

static void without(int n, int i, int64_t *left) {
  for (int j = 0, m = 0; j < n; j++)
    if (j != i) left[m++] = j;
}

// Cofactors over the determinant; a singular matrix gives what the division gives
void expand_inverse(const B *b) {
  Value *x = in(b, 0), *w = wide(b, x), *part[LARGEST * LARGEST];
  int n = order_of(b, w), r = rank_of(w);
  int64_t last = r - 2, row[LARGEST], column[LARGEST];
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) { // element (i,j) from the minor without row j and column i
      without(n, j, row), without(n, i, column);
      Value *c = minor_of(b, w, n - 1, row, column);
      if (r > 2 && rank_of(c) == 0) c = expand_to(b, c, shape_of(b, pick(b, pick(b, w, r - 1, 0), r - 2, 0)));
      part[i * n + j] = unsqueeze(b, (i + j) % 2 ? op1(b, OP_Neg, c) : c, 1, &last);
    }
  Value *y = reshape(b, concat(b, (int)last, n * n, part), shape_of(b, w));
  int64_t axes[] = {r - 2, r - 1};
  give(b, 0, cast(b, quo(b, y, unsqueeze(b, minor_of(b, w, n, all, all), 2, axes)), dtype(x)));
}
