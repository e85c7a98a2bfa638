/* host_table.c - a hash table over keys that lie elsewhere: open addressing, at most half full, first of equal keys wins. */
#include "host_table.h"
#include <string.h>

static uint64_t hash_bytes(uint64_t h, const char *p, uint64_t n) { /* FNV-1a, then mixed */
  for (uint64_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
  h ^= h >> 29;
  return h * 0xbf58476d1ce4e5b9u;
}
static uint64_t hash(const Keys *k, int64_t at, int64_t step, int64_t width) {
  uint64_t h = 0xcbf29ce484222325u;
  for (int64_t i = 0; i < width; i++, at += step)
    h = k->s ? hash_bytes(h, k->s[at].data, k->s[at].len) : hash_bytes(h, (const char *)&k->v[at], 8);
  return h ^ h >> 32;
}
static bool equal(const Keys *a, int64_t i, const Keys *b, int64_t at, int64_t step) {
  for (int64_t k = 0; k < a->width; k++, at += step) {
    int64_t x = i * a->width + k;
    if (a->s ? a->s[x].len != b->s[at].len || (a->s[x].len && memcmp(a->s[x].data, b->s[at].data, a->s[x].len)) : a->v[x] != b->v[at])
      return false;
  }
  return true;
}
int64_t table_find(const Table *t, const Keys *in, int64_t at, int64_t step) {
  if (!t->keys.n) return -1;
  for (uint64_t h = hash(in, at, step, t->keys.width);; h++) {
    int64_t k = t->slot[h & t->mask];
    if (!k) return -1;
    if (equal(&t->keys, k - 1, in, at, step)) return k - 1;
  }
}
bool table_new(tn_call *c, Table *t, Keys keys) {
  uint64_t n = 4;
  while (n < (uint64_t)keys.n * 2) n *= 2;
  *t = (Table){.keys = keys, .mask = n - 1};
  if (!(t->slot = op_temp(c, n * 8, &t->size))) return false;
  memset(t->slot, 0, n * 8);
  for (int64_t i = 0; i < keys.n; i++) {
    if (table_find(t, &keys, i * keys.width, 1) >= 0) continue;
    uint64_t h = hash(&keys, i * keys.width, 1, keys.width);
    while (t->slot[h & t->mask]) h++;
    t->slot[h & t->mask] = i + 1;
  }
  return true;
}
void table_free(tn_call *c, Table *t) { tn_free(c->f->run->m, t->slot, t->size); }
bool table_keys(tn_call *c, const tn_tensor *t, Keys *k, int64_t **temp, uint64_t *size) {
  *temp = NULL, *size = 0;
  *k = (Keys){.n = tensor_size(t), .width = 1};
  if (t->dtype == TN_STR) return k->s = t->data, true;
  if (!(*temp = op_temp(c, (uint64_t)k->n * 8, size))) return false;
  bool is_float = tensor_is_float(t);
  for (int64_t i = 0; i < k->n; i++) (*temp)[i] = is_float ? float_key(tensor_f64(t, i)) : tensor_i64(t, i);
  k->v = *temp;
  return true;
}
