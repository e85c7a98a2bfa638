// eval_mem.c - between storage and lanes: loads widen to the register type, stores convert as type.h says.
#include "eval_internal.h"
#include <string.h>

// In memory as in a register
static bool is_word(DType d) { return dtypes[d].bits >= 32 && dtypes[d].bits == 8 * reg_bytes(dtypes[d].reg); }
static bool is_byte_float(DType d) { return dtypes[d].is_float && dtypes[d].bits == 8; }

static float small_table[DT_COUNT][256]; // values of the floats of at most 8 bits
static bool small_ready[DT_COUNT];

static const float *small_values(DType d) {
  if (!small_ready[d]) {
    for (uint32_t i = 0; i < 1u << dtypes[d].bits; i++) small_table[d][i] = (float)small_to_double(d, i);
    small_ready[d] = true;
  }
  return small_table[d];
}

static float bf16_value(uint16_t v) {
  uint32_t u = (uint32_t)v << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

static uint16_t bf16_bits(float x) { return (uint16_t)double_to_small(DT_BF16, (double)x, false); }

/* ---- below 8 bits: element i in the low bits first ---- */

static unsigned packed_get(const uint8_t *p, int bits, int64_t i) {
  int per = 8 / bits;
  return p[i / per] >> (int)(i % per) * bits & ((1u << bits) - 1);
}
static void packed_put(uint8_t *p, int bits, int64_t i, unsigned v) {
  int per = 8 / bits, up = (int)(i % per) * bits;
  unsigned ones = (1u << bits) - 1;
  p[i / per] = (uint8_t)((p[i / per] & ~(ones << up)) | (v & ones) << up);
}
static int32_t extend(unsigned v, int bits, bool is_signed) { return is_signed && v >> (bits - 1) ? (int32_t)v - (1 << bits) : (int32_t)v; }

static void packed_load(DType d, const void *base, int64_t at, int64_t step, int n, void *r) {
  int bits = dtypes[d].bits;
  for (int l = 0; l < n; l++, at += step) {
    unsigned v = packed_get(base, bits, at);
    if (dtypes[d].is_float) ((float *)r)[l] = small_values(d)[v];
    else ((int32_t *)r)[l] = extend(v, bits, dtypes[d].is_signed);
  }
}
static void packed_store(DType d, void *base, int64_t at, int64_t step, int n, const void *r) {
  for (int l = 0; l < n; l++, at += step) {
    unsigned v = dtypes[d].is_float ? double_to_small(d, (double)((const float *)r)[l], false) : (unsigned)((const int32_t *)r)[l];
    packed_put(base, dtypes[d].bits, at, v);
  }
}

/* ---- runs ---- */

#define LOAD(S, R, e)                                                                                                                      \
  do {                                                                                                                                     \
    const S *p = (const S *)base + at;                                                                                                     \
    for (int l = 0; l < n; l++) {                                                                                                          \
      S v = p[l * step];                                                                                                                   \
      ((R *)r)[l] = (R)(e);                                                                                                                \
    }                                                                                                                                      \
    return;                                                                                                                                \
  } while (0)

static void load_words(int bytes, const void *base, int64_t at, int64_t step, int n, void *r) {
  if (step == 1) memcpy(r, (const char *)base + at * bytes, (size_t)(n * bytes));
  else if (bytes == 4) LOAD(uint32_t, uint32_t, v);
  else LOAD(uint64_t, uint64_t, v);
}

void mem_load(DType d, const void *base, int64_t at, int64_t step, int n, void *r) {
  if (is_word(d)) {
    load_words(dtypes[d].bits / 8, base, at, step, n, r);
    return;
  }
  if (dtypes[d].bits < 8) {
    packed_load(d, base, at, step, n, r);
    return;
  }
  switch (d) {
  case DT_U32: LOAD(uint32_t, int64_t, v);
  case DT_I16: LOAD(int16_t, int32_t, v);
  case DT_U16: LOAD(uint16_t, int32_t, v);
  case DT_I8: LOAD(int8_t, int32_t, v);
  case DT_U8: LOAD(uint8_t, int32_t, v);
  case DT_BOOL: LOAD(uint8_t, uint8_t, v != 0);
  case DT_F16: LOAD(_Float16, float, v);
  case DT_BF16: LOAD(uint16_t, float, bf16_value(v));
  default: break;
  }
  if (!is_byte_float(d)) bug("a load of %s", dtypes[d].name);
  const float *table = small_values(d);
  LOAD(uint8_t, float, table[v]);
}

#define STORE(S, R, e)                                                                                                                     \
  do {                                                                                                                                     \
    S *p = (S *)base + at;                                                                                                                 \
    for (int l = 0; l < n; l++) {                                                                                                          \
      R v = ((const R *)r)[l];                                                                                                             \
      p[l * step] = (S)(e);                                                                                                                \
    }                                                                                                                                      \
    return;                                                                                                                                \
  } while (0)

static void store_words(int bytes, void *base, int64_t at, int64_t step, int n, const void *r) {
  if (step == 1) memcpy((char *)base + at * bytes, r, (size_t)(n * bytes));
  else if (bytes == 4) STORE(uint32_t, uint32_t, v);
  else STORE(uint64_t, uint64_t, v);
}

void mem_store(DType d, void *base, int64_t at, int64_t step, int n, const void *r) {
  if (is_word(d)) {
    store_words(dtypes[d].bits / 8, base, at, step, n, r);
    return;
  }
  if (dtypes[d].bits < 8) {
    packed_store(d, base, at, step, n, r);
    return;
  }
  switch (d) {
  case DT_U32: STORE(uint32_t, int64_t, v);
  case DT_I16:
  case DT_U16: STORE(uint16_t, int32_t, v);
  case DT_I8:
  case DT_U8: STORE(uint8_t, int32_t, v);
  case DT_BOOL: STORE(uint8_t, uint8_t, v);
  case DT_F16: STORE(_Float16, float, v);
  case DT_BF16: STORE(uint16_t, float, bf16_bits(v));
  default: break;
  }
  if (!is_byte_float(d)) bug("a store of %s", dtypes[d].name);
  STORE(uint8_t, float, double_to_small(d, (double)v, false));
}

/* ---- single elements at any offsets: the plain types without a call each ---- */

void mem_gather(DType d, const void *base, int64_t from, const int64_t *at, int n, void *r) {
  int bytes = reg_bytes(dtypes[d].reg);
  if (is_word(d) && bytes == 4)
    for (int l = 0; l < n; l++) ((uint32_t *)r)[l] = ((const uint32_t *)base)[from + at[l]];
  else if (is_word(d))
    for (int l = 0; l < n; l++) ((uint64_t *)r)[l] = ((const uint64_t *)base)[from + at[l]];
  else
    for (int l = 0; l < n; l++) mem_load(d, base, from + at[l], 0, 1, (char *)r + l * bytes);
}

void mem_scatter(DType d, void *base, int64_t from, const int64_t *at, int n, const void *r) {
  int bytes = reg_bytes(dtypes[d].reg);
  if (is_word(d) && bytes == 4)
    for (int l = 0; l < n; l++) ((uint32_t *)base)[from + at[l]] = ((const uint32_t *)r)[l];
  else if (is_word(d))
    for (int l = 0; l < n; l++) ((uint64_t *)base)[from + at[l]] = ((const uint64_t *)r)[l];
  else
    for (int l = 0; l < n; l++) mem_store(d, base, from + at[l], 0, 1, (const char *)r + l * bytes);
}
