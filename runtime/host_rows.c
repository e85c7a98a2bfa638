/* host_rows.c - ops that order elements, or whose results are as long as the data says. Every numeric type is compared through one 64-bit
   integer key, whose order is that of the values: zeros are equal, a NaN is larger than all numbers and equal to other NaNs. */
#include "host.h"
#include <string.h>

/* ---- keys ---- */
static int64_t float_key(double v) {
  int64_t k;
  if (v != v) return INT64_MAX;
  if (v == 0) return 0;
  memcpy(&k, &v, 8);
  return k < 0 ? (int64_t)(0x8000000000000000u - (uint64_t)k) : k;
}
static bool has_keys(tn_call *c, const tn_tensor *t) {
  if (t->dtype <= TN_U64 && t->dtype != TN_STR && t->dtype) return true;
  if (t->dtype == TN_BF16) return true;
  return tn_op_fail(c, "%s is not supported here", tn_dtypes[t->dtype].name), false;
}
static int64_t key_at(const tn_tensor *t, int64_t i) {
  switch (t->dtype) {
  case TN_F32:
  case TN_F64:
  case TN_F16:
  case TN_BF16: return float_key(tensor_f64(t, i));
  case TN_U64: return (int64_t)((uint64_t)tensor_i64(t, i) ^ 1ull << 63);
  default: return tensor_i64(t, i);
  }
}
static void copy_element(const tn_tensor *t, int64_t from, void *to, int64_t at) {
  uint64_t e = tn_dtypes[t->dtype].stored / 8u;
  memcpy((char *)to + (uint64_t)at * e, (const char *)t->data + (uint64_t)from * e, e);
}
static bool axis_of(tn_call *c, const tn_tensor *t, int64_t axis, int64_t *outer, int64_t *inner, int32_t *at) {
  if (axis < 0) axis += t->rank;
  if (axis < 0 || axis >= t->rank) return tn_op_fail(c, "axis %lld does not exist", (long long)axis), false;
  *at = (int32_t)axis, *outer = *inner = 1;
  for (int32_t a = 0; a < axis; a++) *outer *= t->dim[a];
  for (int32_t a = (int32_t)axis + 1; a < t->rank; a++) *inner *= t->dim[a];
  return true;
}

/* ---- Unique ---- */
typedef struct Slices { /* n of them along an axis; all elements where there is none */
  tn_tensor t;
  int64_t n, outer, inner;
} Slices;
static int compare_elements(const tn_tensor *t, int64_t a, int64_t b) {
  if (t->dtype == TN_STR) {
    tenon_str x = ((const tenon_str *)t->data)[a], y = ((const tenon_str *)t->data)[b];
    uint64_t n = x.len < y.len ? x.len : y.len;
    int d = n ? memcmp(x.data, y.data, n) : 0;
    return d ? d : x.len < y.len ? -1 : x.len > y.len;
  }
  int64_t x = key_at(t, a), y = key_at(t, b);
  return x < y ? -1 : x > y;
}
static int compare(const Slices *s, int64_t a, int64_t b) {
  for (int64_t o = 0; o < s->outer; o++)
    for (int64_t i = 0; i < s->inner; i++) {
      int d = compare_elements(&s->t, (o * s->n + a) * s->inner + i, (o * s->n + b) * s->inner + i);
      if (d) return d;
    }
  return 0;
}
static void merge_sort(const Slices *s, int64_t *v, int64_t *temp) { /* stable, so the first of equal ones leads */
  for (int64_t w = 1; w < s->n; w *= 2) {
    for (int64_t lo = 0; lo < s->n; lo += 2 * w) {
      int64_t mid = lo + w < s->n ? lo + w : s->n, hi = lo + 2 * w < s->n ? lo + 2 * w : s->n, a = lo, b = mid;
      for (int64_t k = lo; k < hi; k++) temp[k] = b >= hi || (a < mid && compare(s, v[a], v[b]) <= 0) ? v[a++] : v[b++];
    }
    memcpy(v, temp, (size_t)s->n * 8);
  }
}
typedef struct Groups {           /* of equal slices */
  int64_t n, *first, *count, *of; /* of: the group of each slice */
} Groups;
static void group(const Slices *s, const int64_t *sorted, Groups *g, bool by_value, int64_t *order) {
  g->n = 0;
  for (int64_t i = 0; i < s->n; i++) {
    if (!i || compare(s, sorted[i - 1], sorted[i])) g->first[g->n] = sorted[i], g->count[g->n++] = 0;
    g->count[g->n - 1]++, g->of[sorted[i]] = g->n - 1;
  }
  if (by_value) return;
  /* by first occurrence: slices in order meet their groups in that order */
  int64_t *first = order, *count = order + s->n, *to = order + 2 * s->n, n = 0;
  for (int64_t k = 0; k < g->n; k++) to[k] = -1;
  for (int64_t i = 0; i < s->n; i++) {
    int64_t k = g->of[i];
    if (to[k] < 0) first[n] = g->first[k], count[n] = g->count[k], to[k] = n++;
    g->of[i] = to[k];
  }
  memcpy(g->first, first, (size_t)n * 8), memcpy(g->count, count, (size_t)n * 8);
}
static void put_slices(tn_call *c, const Slices *s, const int64_t *pick, int64_t n, int32_t rank, const int64_t *dim) { /* result 0 */
  uint64_t size;
  tenon_value v;
  void *to = s->t.dtype == TN_STR ? op_temp(c, (uint64_t)(s->outer * n * s->inner) * sizeof(tenon_str), &size)
                                  : op_out(c, 0, s->t.dtype, rank, dim);
  if (!to) return;
  for (int64_t o = 0; o < s->outer; o++)
    for (int64_t k = 0; k < n; k++)
      for (int64_t i = 0; i < s->inner; i++) copy_element(&s->t, (o * s->n + pick[k]) * s->inner + i, to, (o * n + k) * s->inner + i);
  if (s->t.dtype != TN_STR) return;
  if (val_strings_of(c, &v, rank, dim, to)) op_out_val(c, 0, &v);
  tn_free(c->f->run->m, to, size);
}
static void put_i64(tn_call *c, uint32_t k, int64_t n, const int64_t *v) {
  int64_t *to = op_out(c, k, TN_I64, 1, &n);
  if (to && n) memcpy(to, v, (size_t)n * 8);
}
static bool slices_of(tn_call *c, Slices *s, int32_t *rank, int64_t *dim, int32_t *axis) {
  const tn_attr *a = call_attr(c, "axis");
  if (!op_in(c, 0, &s->t)) return false;
  if (tn_dtypes[s->t.dtype].stored < 8) return tn_op_fail(c, "%s is not supported here", tn_dtypes[s->t.dtype].name), false;
  *rank = 1, *axis = 0, s->outer = s->inner = 1, s->n = tensor_size(&s->t);
  if (!a) return true;
  if (!axis_of(c, &s->t, a->i, &s->outer, &s->inner, axis)) return false;
  *rank = s->t.rank, s->n = s->t.dim[*axis];
  memcpy(dim, s->t.dim, sizeof s->t.dim);
  return true;
}
tn_op tn_op_unique;
void tn_op_unique(tn_call *c) {
  Slices s;
  int64_t dim[TN_MAX_RANK];
  int32_t rank, axis;
  uint64_t size;
  if (!slices_of(c, &s, &rank, dim, &axis) || (s.t.dtype != TN_STR && !has_keys(c, &s.t))) return;
  int64_t n = s.n, *v = op_temp(c, (uint64_t)n * 8 * 8 + 8, &size);
  if (!v) return;
  Groups g = {0, v + 2 * n, v + 3 * n, v + 4 * n};
  for (int64_t i = 0; i < n; i++) v[i] = i;
  merge_sort(&s, v, v + n);
  group(&s, v, &g, call_int(c, "sorted", 1), v + 5 * n);
  dim[axis] = g.n;
  put_slices(c, &s, g.first, g.n, rank, dim);
  if (op_wanted(c, 1)) put_i64(c, 1, g.n, g.first);
  if (op_wanted(c, 2)) put_i64(c, 2, n, g.of);
  if (op_wanted(c, 3)) put_i64(c, 3, g.n, g.count);
  tn_free(c->f->run->m, v, size);
}
