// map.h - a hash map from pointers (interned names, values, ..) to pointers. {0} is empty; memory is mem()'s.
#pragma once
#include "base.h"

typedef struct Map {
  const void **key;
  void **val;
  int n, cap;
} Map;
void *map_get(const Map *, const void *key);     // NULL: absent
void map_put(Map *, const void *key, void *val); // replaces
