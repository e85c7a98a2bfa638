/* host_rows.c - Unique of strings: kernels hold none. */
#include "host.h"
#include <string.h>

typedef struct Slices { /* n of them along an axis; all elements where there is none */
  tn_tensor t;
  Cut cut;
} Slices;
static int compare_elements(const tn_tensor *t, int64_t a, int64_t b) {
  tenon_str x = ((const tenon_str *)t->data)[a], y = ((const tenon_str *)t->data)[b];
  uint64_t n = x.len < y.len ? x.len : y.len;
  int d = n ? memcmp(x.data, y.data, n) : 0;
  return d ? d : x.len < y.len ? -1 : x.len > y.len;
}
static int compare(const Slices *s, int64_t a, int64_t b) {
  const Cut *k = &s->cut;
  for (int64_t o = 0; o < k->outer; o++)
    for (int64_t i = 0; i < k->inner; i++) {
      int d = compare_elements(&s->t, (o * k->n + a) * k->inner + i, (o * k->n + b) * k->inner + i);
      if (d) return d;
    }
  return 0;
}
static void merge_sort(const Slices *s, int64_t *v, int64_t *temp) { /* stable, so the first of equal ones leads */
  int64_t n = s->cut.n;
  for (int64_t w = 1; w < n; w *= 2) {
    for (int64_t lo = 0; lo < n; lo += 2 * w) {
      int64_t mid = lo + w < n ? lo + w : n, hi = lo + 2 * w < n ? lo + 2 * w : n, a = lo, b = mid;
      for (int64_t k = lo; k < hi; k++) temp[k] = b >= hi || (a < mid && compare(s, v[a], v[b]) <= 0) ? v[a++] : v[b++];
    }
    memcpy(v, temp, (size_t)n * 8);
  }
}
typedef struct Groups {           /* of equal slices */
  int64_t n, *first, *count, *of; /* of: the group of each slice */
} Groups;
static void group(const Slices *s, const int64_t *sorted, Groups *g, bool by_value, int64_t *order) {
  int64_t slices = s->cut.n;
  g->n = 0;
  for (int64_t i = 0; i < slices; i++) {
    if (!i || compare(s, sorted[i - 1], sorted[i])) g->first[g->n] = sorted[i], g->count[g->n++] = 0;
    g->count[g->n - 1]++, g->of[sorted[i]] = g->n - 1;
  }
  if (by_value) return;
  /* by first occurrence: slices in order meet their groups in that order */
  int64_t *first = order, *count = order + slices, *to = order + 2 * slices, n = 0;
  for (int64_t k = 0; k < g->n; k++) to[k] = -1;
  for (int64_t i = 0; i < slices; i++) {
    int64_t k = g->of[i];
    if (to[k] < 0) first[n] = g->first[k], count[n] = g->count[k], to[k] = n++;
    g->of[i] = to[k];
  }
  memcpy(g->first, first, (size_t)n * 8), memcpy(g->count, count, (size_t)n * 8);
}
static void put_slices(tn_call *c, const Slices *s, const int64_t *pick, int64_t n) { /* result 0 */
  Fill f;
  const Cut *x = &s->cut;
  int64_t dim[TN_MAX_RANK];
  memcpy(dim, s->t.dim, sizeof dim), dim[x->axis] = n;
  char *to = fill_start(c, &f, 0, s->t.dtype, s->t.rank, dim);
  if (!to) return;
  uint64_t row = (uint64_t)x->inner * tn_dtypes[s->t.dtype].stored / 8u;
  for (int64_t o = 0; o < x->outer && row; o++)
    for (int64_t k = 0; k < n; k++, to += row) memcpy(to, (const char *)s->t.data + (uint64_t)(o * x->n + pick[k]) * row, row);
  fill_end(c, &f);
}
static void put_i64(tn_call *c, uint32_t k, int64_t n, const int64_t *v) {
  int64_t *to = op_out(c, k, TN_I64, 1, &n);
  if (to && n) memcpy(to, v, (size_t)n * 8);
}
static bool slices_of(tn_call *c, Slices *s) { /* without an axis the elements in a row are the slices */
  const tn_attr *a = call_attr(c, "axis");
  if (!op_in(c, 0, &s->t)) return false;
  if (s->t.dtype != TN_STR) return tn_op_fail(c, "%s is not supported here", tn_dtypes[s->t.dtype].name), false;
  if (!a) s->t.dim[0] = tensor_size(&s->t), s->t.rank = 1;
  return cut_at(c, &s->t, a ? a->i : 0, &s->cut);
}
tn_op tn_op_unique;
void tn_op_unique(tn_call *c) {
  Slices s;
  uint64_t size;
  if (!slices_of(c, &s)) return;
  int64_t n = s.cut.n, *v = op_temp(c, (uint64_t)n * 8 * 8 + 8, &size);
  if (!v) return;
  Groups g = {0, v + 2 * n, v + 3 * n, v + 4 * n};
  for (int64_t i = 0; i < n; i++) v[i] = i;
  merge_sort(&s, v, v + n);
  group(&s, v, &g, call_int(c, "sorted", 1), v + 5 * n);
  put_slices(c, &s, g.first, g.n);
  if (op_wanted(c, 1)) put_i64(c, 1, g.n, g.first);
  if (op_wanted(c, 2)) put_i64(c, 2, n, g.of);
  if (op_wanted(c, 3)) put_i64(c, 3, g.n, g.count);
  tn_free(c->f->run->m, v, size);
}
