// image_run.h - one call of ImageDecoder on any bytes, with little memory. For tests and fuzzers.
#pragma once
#include "runtime/host_image.h"
#include <stdlib.h>
#include <string.h>

static void *image_alloc(void *user, uint64_t bytes, uint64_t align, DLDevice d) { // none for pictures of absurd sizes
  void *p;
  (void)user, (void)d;
  return bytes > 64 << 20 || posix_memalign(&p, align, bytes) ? NULL : p;
}
static void image_free(void *user, void *p, uint64_t bytes, DLDevice d) { (void)user, (void)bytes, (void)d, free(p); }
static tenon_model model = {.mem = {sizeof(tenon_allocator), NULL, image_alloc, image_free}};
static struct tn_run run;
void tn_op_image_decoder(tn_call *);

// Decodes a copy of its own size, so that a sanitizer sees a read behind the end, and reads every pixel. Gives their number, -1 after a
// failure.
static inline int64_t decode(const uint8_t *bytes, size_t n) {
  static tenon_value *result;
  uint8_t *copy = malloc(n ? n : 1);
  memcpy(copy, bytes, n);
  tn_tensor in = {copy, TN_U8, 1, {(int64_t)n}};
  tn_operand operand[2] = {{.t = &in, .slab = -1, .out = -1}, {.h = &result, .slab = -1, .out = -1}};
  run = (struct tn_run){.m = &model};
  tn_frame frame = {.run = &run};
  tn_call call = {.f = &frame, .in = operand, .out = operand + 1, .n_in = 1, .n_out = 1};
  tn_op_image_decoder(&call);
  free(copy);
  if (run.fault || run.nomem) return -1;
  const int64_t *dim = result->t.shape, pixels = dim[0] * dim[1];
  int64_t sum = 0;
  for (int64_t i = 0; i < pixels * 3; i++) sum += ((uint8_t *)result->t.data)[i];
  if (result->t.ndim != 3 || dim[2] != 3 || dim[0] < 0 || (dim[0] == 0) != (dim[1] == 0) || sum < 0) abort();
  tn_value_drop(&model, &result);
  return pixels;
}
