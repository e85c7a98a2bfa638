/* value.c - values behind handles: strings, sequences, optionals, maps. Every tensor, every list of items and every root is a block with
   a count of owners; blocks are never changed once they are shared. A value from the caller is copied in when a run starts, so nothing
   of ours points into the caller's memory. Counts need no atomics: the values of a context are touched by its one calling thread only. */
#include "host.h"
#include <string.h>

typedef struct Block {
  _Alignas(64) uint64_t owners, bytes;
  tenon_model *m;
} Block;

static void *block_new(tenon_model *m, uint64_t bytes) { /* bytes behind the head, 64-byte aligned */
  if (bytes > UINT64_MAX / 4) return NULL;
  Block *b = tn_alloc(m, sizeof *b + bytes);
  if (!b) return NULL;
  b->owners = 1, b->bytes = sizeof *b + bytes, b->m = m;
  return b + 1;
}
static Block *block_of(const tenon_value *v) { return v->reserved[0] ? (Block *)(uintptr_t)v->reserved[0] - 1 : NULL; }
static void own(tenon_value *v, void *p) { v->reserved[0] = (uint64_t)(uintptr_t)p; }

static void drop(tenon_value *v);
static void block_drop(tenon_value *v, Block *b) {
  if (--b->owners) return;
  for (uint64_t i = 0; v->kind != TENON_TENSOR && i < v->n; i++) drop(&v->item[i]);
  tn_free(b->m, b, b->bytes);
}
static void drop(tenon_value *v) {
  Block *b = block_of(v);
  if (b) block_drop(v, b);
  memset(v, 0, sizeof *v);
}
void tn_value_drop(tenon_model *m, tenon_value **slot) {
  tenon_value *root = *slot;
  *slot = NULL;
  if (!root) return;
  drop(root);
  Block *b = (Block *)(void *)root - 1;
  tn_free(m, b, b->bytes);
}
void val_share(tenon_value *to, const tenon_value *from) {
  *to = *from;
  Block *b = block_of(from);
  if (b) b->owners++;
}

/* ---- making ---- */
/* Shape, data and extra bytes lie in one block. */
static bool make_tensor(tenon_model *m, tenon_value *v, int32_t dtype, int32_t rank, const int64_t *dim, uint64_t extra) {
  uint64_t count = 1, head = 64;
  for (int32_t a = 0; a < rank; a++)
    if (dim[a] < 0 || __builtin_mul_overflow(count, (uint64_t)dim[a], &count) || count > 1ull << 56) return false;
  uint64_t bytes = tn_bytes(dtype, count);
  char *p = block_new(m, head + (bytes + 15) / 16 * 16 + extra);
  if (!p) return false;
  int64_t *shape = (int64_t *)(void *)p;
  if (rank) memcpy(shape, dim, (size_t)rank * 8);
  *v = (tenon_value){.kind = TENON_TENSOR, .t = {p + head, tn_cpu0, rank, tn_dl(dtype), shape, NULL, 0}, .capacity = bytes, .need = bytes};
  own(v, p);
  return true;
}
static bool make_items(tenon_model *m, tenon_value *v, uint32_t kind, uint64_t n) {
  *v = (tenon_value){.kind = kind};
  if (n > UINT64_MAX / 8 / sizeof *v) return false;
  char *p = block_new(m, n * sizeof *v);
  if (!p) return false;
  v->item = memset(p, 0, n * sizeof *v);
  v->n = n;
  own(v, p);
  return true;
}
static bool set_root(tenon_model *m, tenon_value **slot, tenon_value *v) {
  tenon_value *root = block_new(m, sizeof *root);
  if (!root) return drop(v), false;
  *root = *v;
  memset(v, 0, sizeof *v);
  tn_value_drop(m, slot);
  *slot = root;
  return true;
}

/* ---- copying ---- */
int64_t tensor_size(const tn_tensor *t) {
  int64_t n = 1;
  for (int32_t a = 0; a < t->rank; a++) n *= t->dim[a];
  return n;
}
void tensor_of_val(const tenon_value *v, tn_tensor *t) {
  t->data = (char *)v->t.data + v->t.byte_offset;
  t->dtype = tn_dtype_of(v->t.dtype), t->rank = v->t.ndim;
  for (int32_t a = 0; a < t->rank; a++) t->dim[a] = v->t.shape[a];
}
static bool copy_strings(tenon_model *m, const tn_tensor *from, tenon_value *to) {
  uint64_t n = (uint64_t)tensor_size(from), chars = 0;
  const tenon_str *s = from->data;
  for (uint64_t i = 0; i < n; i++) chars += s[i].len;
  if (!make_tensor(m, to, TN_STR, from->rank, from->dim, chars)) return false;
  tenon_str *out = to->t.data;
  char *p = (char *)to->t.data + n * sizeof *out;
  for (uint64_t i = 0; i < n; p += s[i].len, i++) {
    if (s[i].len) memcpy(p, s[i].data, s[i].len);
    out[i] = (tenon_str){p, s[i].len};
  }
  return true;
}
static bool copy_tensor(tenon_model *m, const tn_tensor *from, tenon_value *to) {
  if (from->dtype == TN_STR) return copy_strings(m, from, to);
  if (!make_tensor(m, to, from->dtype, from->rank, from->dim, 0)) return false;
  if (to->need) memcpy(to->t.data, from->data, to->need);
  return true;
}
static bool import(tenon_model *m, const tenon_value *from, tenon_value *to) {
  *to = (tenon_value){.kind = from->kind};
  if (from->kind == TENON_ABSENT) return true;
  if (from->kind == TENON_TENSOR) {
    tn_tensor t;
    tensor_of_val(from, &t);
    return copy_tensor(m, &t, to);
  }
  if (!make_items(m, to, from->kind, from->n)) return false;
  for (uint64_t i = 0; i < from->n; i++)
    if (!import(m, &from->item[i], &to->item[i])) return drop(to), false;
  return true;
}
bool tn_value_import(tenon_model *m, const tenon_value *from, tenon_value **slot) {
  tenon_value v;
  return import(m, from, &v) && set_root(m, slot, &v);
}
void tn_move(tn_frame *f, tenon_value **to, tenon_value **from) {
  if (to == from) return;
  if (!*from) return tn_value_drop(f->run->m, to);
  tenon_value v;
  val_share(&v, *from);
  if (!set_root(f->run->m, to, &v)) f->run->nomem = true;
}

/* ---- for host ops ---- */
void tn_op_nomem(tn_call *c) { c->f->run->nomem = true; }
static bool made(tn_call *c, bool ok) {
  if (!ok) tn_op_nomem(c);
  return ok;
}
bool val_tensor(tn_call *c, tenon_value *v, int32_t dtype, int32_t rank, const int64_t *dim, uint64_t extra) {
  return made(c, make_tensor(c->f->run->m, v, dtype, rank, dim, extra));
}
bool val_items(tn_call *c, tenon_value *v, uint32_t kind, uint64_t n) { return made(c, make_items(c->f->run->m, v, kind, n)); }
void val_drop(tn_call *c, tenon_value *v) { (void)c, drop(v); }
bool val_set(tn_call *c, tenon_value **slot, tenon_value *v) { return made(c, set_root(c->f->run->m, slot, v)); }
bool val_of_tensor(tn_call *c, tenon_value *v, const tn_tensor *t) { return made(c, copy_tensor(c->f->run->m, t, v)); }
