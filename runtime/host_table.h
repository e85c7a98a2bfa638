/* host_table.h - look-up of strings or numbers in a list of keys. A number's key is its value, a float's the integer with its order. */
#pragma once
#include "host.h"

typedef struct Keys { /* either strings, or numbers */
  const tenon_str *s;
  const int64_t *v;
  int64_t n, width; /* a key is `width` elements in a row */
} Keys;
typedef struct Table {
  Keys keys;
  int64_t *slot; /* key number + 1, 0: free */
  uint64_t mask, size;
} Table;
bool table_new(tn_call *, Table *, Keys);
void table_free(tn_call *, Table *);
/* The first key equal to the elements at..at + step * (width - 1) of `in`, or -1. */
int64_t table_find(const Table *, const Keys *in, int64_t at, int64_t step);
/* t's elements as Keys of width 1; numbers are converted into memory of *temp (tn_free(.., *size)), NULL for strings. */
bool table_keys(tn_call *, const tn_tensor *t, Keys *, int64_t **temp, uint64_t *size);
