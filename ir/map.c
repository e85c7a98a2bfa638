// map.c - open addressing with linear probing, at most half full. Iteration order is never used, so output cannot depend on addresses.
#include "map.h"

static int slot(const Map *m, const void *key) {
  uint64_t h = (uint64_t)(uintptr_t)key * 0x9E3779B97F4A7C15u;
  int k = (int)(h >> 33) & (m->cap - 1);
  while (m->key[k] && m->key[k] != key) k = (k + 1) & (m->cap - 1);
  return k;
}

static void widen(Map *m) {
  Map old = *m;
  m->cap = old.cap ? old.cap * 2 : 16;
  m->key = NEWN(const void *, m->cap);
  m->val = NEWN(void *, m->cap);
  for (int k = 0; k < old.cap; k++) {
    if (!old.key[k]) continue;
    int at = slot(m, old.key[k]);
    m->key[at] = old.key[k];
    m->val[at] = old.val[k];
  }
}

void *map_get(const Map *m, const void *key) {
  if (!m->cap) return NULL;
  int k = slot(m, key);
  return m->key[k] ? m->val[k] : NULL;
}

void map_put(Map *m, const void *key, void *val) {
  if (2 * (m->n + 1) > m->cap) widen(m);
  int k = slot(m, key);
  m->n += !m->key[k];
  m->key[k] = key;
  m->val[k] = val;
}
