// simplify_dft.c - a DFT of a known, moderate length is a product with a constant matrix: its roots of unity are computed once, in double.
#include "passes/simplify.h"
#include <math.h>

enum { LARGEST = 1 << 20 }; // elements of the matrix

typedef struct Dft {
  int64_t stored, length, bins, parts, out_parts; // of the axis; of the transform; of the result's axis; 1: real, 2: complex
  bool inverse, half;                             // half: a spectrum stored without its conjugate half
} Dft;

static double turn_cos(int64_t i, int64_t n) { // cos(2 pi i / n), exact at quarter turns
  i %= n;
  if (4 * i % n == 0) return (const double[]){1, 0, -1, 0}[4 * i / n];
  return cos(2 * acos(-1.0) * (double)i / (double)n);
}
static double turn_sin(int64_t i, int64_t n) {
  i %= n;
  if (4 * i % n == 0) return (const double[]){0, 1, 0, -1}[4 * i / n];
  return sin(2 * acos(-1.0) * (double)i / (double)n);
}

// [stored, parts, bins * out_parts]
static Value *matrix(const B *b, DType dt, const Dft *d) {
  int64_t cols = d->bins * d->out_parts, dim[3] = {d->stored, d->parts, cols};
  double *m = mem((size_t)(d->stored * d->parts * cols + 1) * sizeof *m), scale = d->inverse ? 1.0 / (double)d->length : 1;
  for (int64_t i = 0; i < d->stored * d->parts * cols; i++) m[i] = 0;
  for (int64_t i = 0; i < d->length; i++) {
    bool mirrored = d->half && i >= d->stored;
    int64_t from = mirrored ? d->length - i : i;
    if (from >= d->stored) continue; // padded with zeros
    for (int64_t k = 0; k < d->bins; k++) {
      double c = scale * turn_cos(i * k, d->length), s = scale * turn_sin(i * k, d->length) * (d->inverse ? 1 : -1),
             flip = mirrored ? -1 : 1;
      double *re = m + from * d->parts * cols + k * d->out_parts, *im = re + cols; // rows of the real and the imaginary part
      re[0] += c;
      if (d->out_parts == 2) re[1] += s;
      if (d->parts == 2) im[0] -= flip * s;
      if (d->parts == 2 && d->out_parts == 2) im[1] += flip * c;
    }
  }
  return floats(b, dt, 3, dim, m);
}

static bool axis_of(const B *b, int rank, int *axis) {
  int n;
  const int64_t *v;
  int64_t a = -2;
  if (in(b, 2)) {
    if (!const_ints(in(b, 2), &n, &v) || n != 1) return false;
    a = v[0];
  }
  *axis = (int)(a < 0 ? a + rank : a);
  return *axis >= 0 && *axis < rank - 1;
}
static bool read_dft(const B *b, int axis, Dft *d) {
  Value *x = in(b, 0), *y = b->at->out[0];
  int last = value_rank(x) - 1, n;
  const int64_t *v;
  if (!known_dim(x, axis, &d->stored) || !known_dim(y, axis, &d->bins) || !known_dim(x, last, &d->parts) ||
      !known_dim(y, last, &d->out_parts))
    return false;
  d->inverse = attr_int(b->at, "inverse"), d->half = d->inverse && attr_int(b->at, "onesided");
  d->length = d->half ? d->bins : d->stored;
  if (in(b, 1)) {
    if (!const_ints(in(b, 1), &n, &v) || n != 1) return false;
    d->length = v[0];
  }
  if (d->length < 1 || d->stored < 1 || d->bins < 1 || d->parts > 2 || d->out_parts > 2 || d->parts < 1 || d->out_parts < 1) return false;
  return d->length <= LARGEST && d->stored <= LARGEST && d->bins <= LARGEST && d->stored * d->parts <= LARGEST / (d->bins * d->out_parts);
}

Value *simplify_dft(const B *b) {
  Value *x = in(b, 0), *y = b->at->out[0], *part[MAX_RANK];
  int rank = value_rank(x), axis, n = 0;
  Dft d;
  if (rank < 2 || rank > 8 || value_rank(y) != rank || (dtype(x) != DT_F32 && dtype(x) != DT_F64) || !axis_of(b, rank, &axis) ||
      !read_dft(b, axis, &d))
    return NULL;
  Text left = {0}, right = {0}; // abXcy,Xyz->abcz
  for (int i = 0; i < rank - 1; i++) {
    put(&left, "%c", i == axis ? 'X' : 'a' + i);
    if (i != axis) put(&right, "%c", 'a' + i), part[n++] = dim_of(b, x, i);
  }
  put(&right, "%s", "z");
  Node *e = start(b, OP_Einsum, VALUES(x, matrix(b, dtype(x), &d)), 1);
  node_set_string(e, "equation", fmt("%sY,XYz->%s", left.p, right.p));
  Value *r = finish(e);
  part[n++] = int1(b, d.bins), part[n++] = int1(b, d.out_parts);
  r = reshape(b, r, join(b, n, part));
  int64_t perm[MAX_RANK];
  for (int i = 0; i < rank; i++) perm[i] = i == axis ? rank - 2 : i > axis && i < rank - 1 ? i - 1 : i;
  if (axis != rank - 2) r = transpose(b, r, rank, perm);
  return same_type(r, y) ? r : NULL;
}
