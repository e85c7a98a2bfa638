/* check.c - what a caller handed in, held against what the model expects: kinds, dtypes, ranks, dims, strides. Binds the symbols of the
   input dims, has the derived ones computed, and then compares every dim once more. A dense call costs some 20 ns. */
#include "model.h"
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 16 };
#define UNBOUND INT64_MIN

typedef struct Check {
  const tn_desc *d;
  int64_t *sym;
  bool data;
  tenon_error *e;
} Check;
#define IN(s, ...) tn_fail(k->e, s, -1, (int32_t)i, "input %u '%s': " __VA_ARGS__)

static const char *dtype_name(DLDataType t, char buf[32]) {
  int32_t n = tn_dtype_of(t);
  if (n) return tn_dtypes[n].name;
  snprintf(buf, 32, "DLPack type %u of %u bits", t.code, t.bits);
  return buf;
}
static tenon_status check_strides(const Check *k, uint32_t i, const DLTensor *t) {
  const tenon_io *io = k->d->in[i];
  for (int64_t a = t->ndim - 1, pitch = 1; a >= 0; pitch *= t->shape[a--])
    if (t->shape[a] > 1 && t->strides[a] != pitch)
      return IN(TENON_E_SHAPE, "dim %d has stride %lld, not compact", i, io->name, (int)a, (long long)t->strides[a]);
  return TENON_OK;
}
static tenon_status check_dims(const Check *k, uint32_t i, const DLTensor *t, const int64_t *want, int64_t *count) {
  const tn_desc *d = k->d;
  const tenon_io *io = d->in[i];
  *count = 1;
  for (int32_t a = 0; a < io->rank; a++) {
    int64_t x = t->shape[a], w = want[a];
    if (w >= 0 && x != w) return IN(TENON_E_SHAPE, "dim %d expects %lld, got %lld", i, io->name, a, (long long)w, (long long)x);
    if (w < 0 && (x < d->sym_min[~w] || x > d->sym_max[~w]))
      return IN(TENON_E_SHAPE, "dim %d (%s) expects %lld..%lld, got %lld", i, io->name, a, d->sym_name[~w], (long long)d->sym_min[~w],
                (long long)d->sym_max[~w], (long long)x);
    if (w < 0 && k->sym[~w] != UNBOUND && k->sym[~w] != x)
      return IN(TENON_E_SHAPE, "dim %d (%s) is %lld, but another input says %lld", i, io->name, a, d->sym_name[~w], (long long)x,
                (long long)k->sym[~w]);
    if (w < 0) k->sym[~w] = x;
    if (__builtin_mul_overflow(*count, x, count)) return IN(TENON_E_SHAPE, "has too many elements", i, io->name);
  }
  return TENON_OK;
}
static tenon_status check_tensor(const Check *k, uint32_t i, const tenon_value *v, const int64_t *want) {
  const tenon_io *io = k->d->in[i];
  const DLTensor *t = &v->t;
  char a[32], b[32];
  int64_t count;
  if (v->kind != TENON_TENSOR) return IN(TENON_E_TYPE, "expects a tensor, got value kind %u", i, io->name, v->kind);
  if (memcmp(&t->dtype, &io->dtype, sizeof t->dtype))
    return IN(TENON_E_TYPE, "expects %s, got %s", i, io->name, dtype_name(io->dtype, a), dtype_name(t->dtype, b));
  if (t->device.device_type != kDLCPU)
    return IN(TENON_E_ARG, "is on device type %d, not on the CPU", i, io->name, (int)t->device.device_type);
  if (t->ndim != io->rank) return IN(TENON_E_SHAPE, "expects rank %d, got %d", i, io->name, io->rank, t->ndim);
  if (!t->shape && io->rank) return IN(TENON_E_ARG, "shape is NULL", i, io->name);
  tenon_status s = check_dims(k, i, t, want, &count);
  if (!s && t->strides && count) s = check_strides(k, i, t);
  if (!s && k->data && !t->data && count) return IN(TENON_E_ARG, "data is NULL", i, io->name);
  return s;
}

/* ---- values that are no plain tensors, against their type's text: seq(map(int64,tensor(float))) ---- */
static const char *type_end(const char *s, const char *end) { /* one past the type that starts at s */
  int depth = 0;
  for (; s < end; s++) {
    if (*s == '(') depth++;
    if (*s == ')' && !--depth) return s + 1;
    if (*s == ',' && !depth) return s;
  }
  return end;
}
static const char *inner(const char *s, const char *word) { /* behind "word(", or NULL */
  while (*word && *s == *word) s++, word++;
  return *word || *s != '(' ? NULL : s + 1;
}
static const char *check_plain(const tenon_value *v, const char *s, const char *end, bool data) {
  if (v->kind != TENON_TENSOR) return "a tensor was expected";
  int64_t count = 1;
  int32_t dtype = tn_dtype_of(v->t.dtype), want = tn_dtype_named(s, (uint64_t)(end - s - 1));
  if (!want || dtype != want) return "a tensor of another element type was expected";
  if (v->t.ndim < 0 || v->t.ndim > TN_MAX_RANK || (v->t.ndim && !v->t.shape)) return "a tensor has a bad rank or no shape";
  for (int32_t a = 0; a < v->t.ndim; a++)
    if (v->t.shape[a] < 0 || __builtin_mul_overflow(count, v->t.shape[a], &count)) return "a tensor has a bad dim";
  for (int64_t a = v->t.ndim - 1, pitch = 1; v->t.strides && count && a >= 0; pitch *= v->t.shape[a--])
    if (v->t.shape[a] > 1 && v->t.strides[a] != pitch) return "a tensor is not compact";
  if (v->t.device.device_type != kDLCPU) return "a tensor is not on the CPU";
  return data && count && !v->t.data ? "a tensor's data is NULL" : NULL;
}
/* What is wrong with v as the type in s..end, or NULL. */
static const char *check_value(const tenon_value *v, const char *s, const char *end, bool data, int depth) {
  const char *in, *bad = NULL;
  if (depth > MAX_DEPTH) return "values are nested too deeply";
  if ((in = inner(s, "tensor"))) return check_plain(v, in, end, data);
  if ((in = inner(s, "seq"))) {
    if (v->kind != TENON_SEQUENCE) return "a sequence was expected";
    if (v->n && !v->item) return "a sequence's item is NULL";
    for (uint64_t i = 0; i < v->n && !bad; i++) bad = check_value(&v->item[i], in, end - 1, data, depth + 1);
    return bad;
  }
  if ((in = inner(s, "optional"))) {
    if (v->kind != TENON_OPTIONAL) return v->kind == TENON_ABSENT ? NULL : check_value(v, in, end - 1, data, depth + 1);
    return v->n > 1 ? "an optional has more than one item" : v->n ? check_value(v->item, in, end - 1, data, depth + 1) : NULL;
  }
  if ((in = inner(s, "map"))) {
    if (v->kind != TENON_MAP || v->n != 2 || !v->item) return "a map was expected";
    const char *comma = type_end(in, end - 1), *val = comma + (*comma == ',');
    const tenon_value *key = &v->item[0], *value = &v->item[1];
    if (key->kind != TENON_TENSOR || key->t.ndim != 1 || !key->t.shape || key->t.shape[0] < 0) return "a map's keys are no 1-D tensor";
    if (tn_dtype_of(key->t.dtype) != tn_dtype_named(in, (uint64_t)(comma - in))) return "a map has keys of another type";
    if (value->kind != TENON_SEQUENCE) { /* scalars, packed */
      if ((bad = check_value(value, val, end - 1, data, depth + 1))) return bad;
      return value->t.ndim != 1 || value->t.shape[0] != key->t.shape[0] ? "a map's values are no 1-D tensor like its keys" : NULL;
    }
    if (value->n != (uint64_t)key->t.shape[0]) return "a map has more or fewer values than keys";
    for (uint64_t i = 0; i < value->n && !bad; i++) bad = check_value(&value->item[i], val, end - 1, data, depth + 1);
    return bad;
  }
  return "is of a type that this runtime does not know";
}

static tenon_status check_input(const Check *k, uint32_t i, const tenon_value *v, const int64_t *want) {
  const tenon_io *io = k->d->in[i];
  if (v->kind == TENON_ABSENT) {
    if (io->kind == TENON_OPTIONAL || io->flags & TENON_IO_OPTIONAL) return TENON_OK;
    return IN(TENON_E_TYPE, "is missing", i, io->name);
  }
  if (tn_is_dense(io)) return check_tensor(k, i, v, want);
  const char *bad = check_value(v, io->type, io->type + strlen(io->type), k->data, 0);
  if (bad) return IN(TENON_E_TYPE, "%s (the type is %s)", i, io->name, bad, io->type);
  return io->kind == TENON_TENSOR ? check_tensor(k, i, v, want) : TENON_OK;
}
/* The derived symbols may stand in input dims too: after they are computed, everything is compared again. */
static tenon_status check_derived(const Check *k, const tenon_value *in) {
  const tn_desc *d = k->d;
  const int64_t *want = d->in_dim;
  for (uint32_t i = 0; i < d->n_in; want += d->in[i]->rank > 0 ? d->in[i]->rank : 0, i++)
    for (int32_t a = 0; in[i].kind == TENON_TENSOR && a < d->in[i]->rank; a++)
      if (want[a] < 0 && k->sym[~want[a]] != in[i].t.shape[a])
        return IN(TENON_E_SHAPE, "dim %d (%s) expects %lld, got %lld", i, d->in[i]->name, a, d->sym_name[~want[a]],
                  (long long)k->sym[~want[a]], (long long)in[i].t.shape[a]);
  return TENON_OK;
}
static void bind_missing(const tn_desc *d, int64_t *sym) { /* symbols that only absent inputs bind */
  const int64_t *want = d->in_dim;
  for (uint32_t i = 0; i < d->n_in; want += d->in[i]->rank > 0 ? d->in[i]->rank : 0, i++)
    for (int32_t a = 0; a < d->in[i]->rank; a++)
      if (want[a] < 0 && sym[~want[a]] == UNBOUND) sym[~want[a]] = d->sym_min[~want[a]];
}
tenon_status tn_check_inputs(const tn_desc *d, const tenon_value *in, int64_t *sym, bool data, tenon_error *e) {
  Check k = {d, sym, data, e};
  for (uint32_t s = 0; s < d->n_sym; s++) sym[s] = UNBOUND;
  const int64_t *want = d->in_dim;
  bool absent = false;
  for (uint32_t i = 0; i < d->n_in; want += d->in[i]->rank > 0 ? d->in[i]->rank : 0, i++) {
    tenon_status s = check_input(&k, i, &in[i], want);
    if (s) return s;
    absent |= in[i].kind == TENON_ABSENT;
  }
  if (absent) bind_missing(d, sym);
  int32_t bad = d->entry ? d->entry(sym) : 0;
  if (bad) return tn_fail(e, TENON_E_SHAPE, -1, INT32_MIN, "the inputs' sizes contradict each other: %s", d->require[bad - 1]);
  return d->entry ? check_derived(&k, in) : TENON_OK;
}

/* ---- texts of data errors ---- */
int tn_site_text(const tn_site *t, int64_t value, char *to, size_t size) {
  int n = snprintf(to, size, "node %d '%s' (%s): ", t->node, t->name, t->op);
  for (const char *s = t->text; *s && n < (int)size - 1; s++) {
    const int64_t *v = *s != '%' ? NULL : s[1] == 'v' ? &value : s[1] == 'l' ? &t->lo : s[1] == 'h' ? &t->hi : NULL;
    if (v) n += snprintf(to + n, size - (size_t)n, "%lld", (long long)*v), s++;
    else to[n++] = *s, to[n] = 0;
  }
  return n;
}
