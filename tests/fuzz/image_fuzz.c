// image_fuzz.c - any bytes through ImageDecoder: BMP and PNM as they are, and what the libraries of the other formats are given and give
// back.
#include "runtime/host_image.h"
#include "tests/unit/image_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  decode(data, size);
  return 0;
}
