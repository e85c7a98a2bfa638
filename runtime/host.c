/* host.c - operands, results and attributes of host ops. */
#include "host.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void tn_op_fail(tn_call *c, const char *format, ...) {
  struct tn_run *r = c->f->run;
  if (r->fault) return;
  tn_fault(c->f, c->site, 0, 0);
  va_list a;
  va_start(a, format);
  vsnprintf(r->text, sizeof r->text, format, a);
  va_end(a);
  r->text_set = true;
}

bool op_has(const tn_call *c, uint32_t i) {
  if (i >= c->n_in) return false;
  const tn_operand *o = &c->in[i];
  return o->t || (o->h && *o->h && (*o->h)->kind != TENON_ABSENT);
}
const tenon_value *op_val(const tn_call *c, uint32_t i) { return op_has(c, i) && c->in[i].h ? *c->in[i].h : NULL; }
bool op_in(const tn_call *c, uint32_t i, tn_tensor *t) {
  if (!op_has(c, i)) return false;
  if (c->in[i].t) return *t = *c->in[i].t, true;
  const tenon_value *v = *c->in[i].h;
  if (v->kind == TENON_OPTIONAL && v->n) v = v->item;
  if (v->kind != TENON_TENSOR) return false;
  return tensor_of_val(v, t), true;
}
bool op_wanted(const tn_call *c, uint32_t k) { return k < c->n_out && (c->out[k].t || c->out[k].h); }

static void tell_dims(const tn_operand *o, int32_t rank, const int64_t *dim) {
  for (int32_t a = 0; a < rank; a++)
    if (o->dim_sym[a]) *o->dim_sym[a] = dim[a];
}
void *tn_op_result(tn_call *c, uint32_t k) {
  tn_operand *o = &c->out[k];
  tn_tensor *t = o->t;
  tell_dims(o, t->rank, t->dim);
  if (t->data) return t->data;
  if (o->out >= 0) return t->data = tn_output(c->f, (uint32_t)o->out, t->rank, t->dim);
  return t->data = tn_grow(c->f, (uint32_t)o->slab, (int64_t)tn_bytes(t->dtype, (uint64_t)tensor_size(t)), 0);
}
void *op_out(tn_call *c, uint32_t k, int32_t dtype, int32_t rank, const int64_t *dim) {
  if (!op_wanted(c, k)) return NULL;
  if (!c->out[k].t) { /* behind a handle */
    tenon_value v;
    if (!val_tensor(c, &v, dtype, rank, dim, 0)) return NULL;
    void *data = v.t.data;
    tell_dims(&c->out[k], rank, dim);
    return val_set(c, c->out[k].h, &v) ? data : NULL;
  }
  tn_tensor *t = c->out[k].t;
  if (t->dtype != dtype || t->rank != rank) {
    tn_op_fail(c, "result %u is %s of rank %d, but the model says %s of rank %d", k, tn_dtypes[dtype].name, rank, tn_dtypes[t->dtype].name,
               t->rank);
    return NULL;
  }
  for (int32_t a = 0; a < rank; a++) {
    if (!c->out[k].dim_sym[a] && t->dim[a] != dim[a]) {
      tn_op_fail(c, "dim %d of result %u is %lld, but the model says %lld", a, k, (long long)dim[a], (long long)t->dim[a]);
      return NULL;
    }
    t->dim[a] = dim[a];
  }
  return tn_op_result(c, k);
}
bool op_out_val(tn_call *c, uint32_t k, tenon_value *v) {
  if (!op_wanted(c, k)) return val_drop(c, v), true;
  if (c->out[k].h) {
    if (v->kind == TENON_TENSOR) tell_dims(&c->out[k], v->t.ndim, v->t.shape);
    return val_set(c, c->out[k].h, v);
  }
  tn_tensor t;
  if (v->kind != TENON_TENSOR) return tn_op_fail(c, "result %u is no tensor", k), val_drop(c, v), false;
  tensor_of_val(v, &t);
  void *to = op_out(c, k, t.dtype, t.rank, t.dim);
  uint64_t bytes = tn_bytes(t.dtype, (uint64_t)tensor_size(&t));
  if (to && bytes) memcpy(to, t.data, bytes);
  val_drop(c, v);
  return to;
}

/* ---- elements as numbers ---- */
static float f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023, u;
  float f;
  if (!e) { /* zero, subnormal: m * 2^-24, exact */
    f = (float)m * 0x1p-24f;
    return sign ? -f : f;
  }
  u = sign | (e == 31 ? 0x7f800000 : (e + 112) << 23) | m << 13;
  memcpy(&f, &u, 4);
  return f;
}
static float bf16(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
int64_t tensor_i64(const tn_tensor *t, int64_t i) {
  switch (t->dtype) {
  case TN_I64:
  case TN_U64: return ((const int64_t *)t->data)[i];
  case TN_I32: return ((const int32_t *)t->data)[i];
  case TN_U32: return ((const uint32_t *)t->data)[i];
  case TN_I16: return ((const int16_t *)t->data)[i];
  case TN_U16: return ((const uint16_t *)t->data)[i];
  case TN_I8: return ((const int8_t *)t->data)[i];
  case TN_BOOL:
  case TN_U8: return ((const uint8_t *)t->data)[i];
  default: return (int64_t)tensor_f64(t, i);
  }
}
bool tensor_is_float(const tn_tensor *t) { return t->dtype == TN_F32 || t->dtype == TN_F64 || t->dtype == TN_F16 || t->dtype == TN_BF16; }
int64_t float_key(double v) {
  int64_t k;
  if (v != v) return INT64_MAX;
  if (v == 0) return 0;
  memcpy(&k, &v, 8);
  return k < 0 ? (int64_t)(0x8000000000000000u - (uint64_t)k) : k;
}
double tensor_f64(const tn_tensor *t, int64_t i) {
  switch (t->dtype) {
  case TN_F64: return ((const double *)t->data)[i];
  case TN_F32: return (double)((const float *)t->data)[i];
  case TN_F16: return (double)f16(((const uint16_t *)t->data)[i]);
  case TN_BF16: return (double)bf16(((const uint16_t *)t->data)[i]);
  case TN_U64: return (double)((const uint64_t *)t->data)[i];
  case TN_I64:
  case TN_I32:
  case TN_U32:
  case TN_I16:
  case TN_U16:
  case TN_I8:
  case TN_BOOL:
  case TN_U8: return (double)tensor_i64(t, i);
  default: return 0;
  }
}

/* ---- attributes ---- */
const tn_attr *call_attr(const tn_call *c, const char *name) {
  for (uint32_t i = 0; i < c->n_attr; i++)
    if (!strcmp(c->attr[i].name, name)) return &c->attr[i];
  return NULL;
}
int64_t call_int(const tn_call *c, const char *name, int64_t dflt) {
  const tn_attr *a = call_attr(c, name);
  return a ? a->i : dflt;
}
double call_float(const tn_call *c, const char *name, double dflt) {
  const tn_attr *a = call_attr(c, name);
  return a ? a->f : dflt;
}
bool call_is(const tn_call *c, const char *name, const char *value) {
  const tn_attr *a = call_attr(c, name);
  return a && a->kind == TN_ATTR_STRING && a->strings->len == strlen(value) && !memcmp(a->strings->data, value, a->strings->len);
}

/* ---- text ---- */
void chars_add(tn_call *c, Chars *t, const void *p, uint64_t n) {
  if (t->bad || !n) return;
  if (t->n + n > t->cap) {
    uint64_t cap = (t->n + n) * 2 + 64;
    char *q = tn_alloc(c->f->run->m, cap);
    if (!q) {
      t->bad = true, tn_op_nomem(c);
      return;
    }
    if (t->n) memcpy(q, t->p, t->n);
    tn_free(c->f->run->m, t->p, t->cap);
    t->p = q, t->cap = cap;
  }
  memcpy(t->p + t->n, p, n);
  t->n += n;
}
void chars_free(tn_call *c, Chars *t) {
  tn_free(c->f->run->m, t->p, t->cap);
  *t = (Chars){0};
}
bool val_strings(tn_call *c, tenon_value *v, int32_t rank, const int64_t *dim, const Chars *text, const uint64_t *end) {
  if (text->bad || !val_tensor(c, v, TN_STR, rank, dim, text->n)) return false;
  int64_t n = 1;
  for (int32_t a = 0; a < rank; a++) n *= dim[a];
  tenon_str *s = v->t.data;
  char *p = (char *)v->t.data + (uint64_t)n * sizeof *s;
  if (text->n) memcpy(p, text->p, text->n);
  for (int64_t i = 0; i < n; i++) s[i] = (tenon_str){p + (i ? end[i - 1] : 0), end[i] - (i ? end[i - 1] : 0)};
  return true;
}
void *op_temp(tn_call *c, uint64_t bytes, uint64_t *size) {
  void *p = tn_alloc(c->f->run->m, *size = bytes ? bytes : 1);
  if (!p) tn_op_nomem(c);
  return p;
}

/* ---- results of any element type ---- */
void *fill_start(tn_call *c, Fill *f, uint32_t k, int32_t dtype, int32_t rank, const int64_t *dim) {
  *f = (Fill){.k = k, .t = {.dtype = dtype, .rank = rank}};
  if (rank) memcpy(f->t.dim, dim, (size_t)rank * 8);
  if (dtype == TN_STR) return f->t.data = op_temp(c, (uint64_t)tensor_size(&f->t) * sizeof(tenon_str), &f->size);
  return f->t.data = op_out(c, k, dtype, rank, dim);
}
void fill_end(tn_call *c, Fill *f) {
  tenon_value v;
  if (f->t.dtype != TN_STR) return;
  if (!tn_stop(c->f) && val_of_tensor(c, &v, &f->t)) op_out_val(c, f->k, &v);
  tn_free(c->f->run->m, f->t.data, f->size);
}

/* ---- axes ---- */
bool cut_at(tn_call *c, const tn_tensor *t, int64_t axis, Cut *k) {
  if (axis < 0) axis += t->rank;
  if (axis < 0 || axis >= t->rank) return tn_op_fail(c, "axis %lld does not exist", (long long)axis), false;
  *k = (Cut){(int32_t)axis, 1, t->dim[axis], 1};
  for (int32_t a = 0; a < axis; a++) k->outer *= t->dim[a];
  for (int32_t a = (int32_t)axis + 1; a < t->rank; a++) k->inner *= t->dim[a];
  if (tn_dtypes[t->dtype].stored >= 8) return true;
  return tn_op_fail(c, "%s is not supported here", tn_dtypes[t->dtype].name), false;
}
