/* host_image.h - what the decoders behind ImageDecoder have in common, and the foreign structures they hand to the libraries they load.
   tests/unit/image_test.c compares these with the libraries' own headers. */
#pragma once
#include "host.h"

typedef struct Bytes {
  const uint8_t *p;
  uint64_t n;
} Bytes;
typedef struct Image { /* pixel (x, y) begins at p + y * row + x * step with its red, green and blue */
  uint8_t *mem, *p;
  uint64_t size; /* of mem */
  int64_t w, h, row, step;
} Image;
enum { IMAGE_PIXELS_MAX = 1 << 28 };
bool image_new(tn_call *, Image *, int64_t w, int64_t h, int step); /* memory for w x h pixels of `step` bytes, row by row */
uint8_t image_scale(uint32_t v, uint32_t max);                      /* v of 0..max as one of 0..255 */
void image_from_cmyk(Image *, bool inverted);                       /* four bytes a pixel; inverted: 255 is no ink */

/* Decoders: false means that the bytes are no such image, or, where the call has failed, that nothing could be said. */
typedef bool Decoder(tn_call *, Bytes, Image *);
Decoder image_bmp, image_pnm, image_jpeg, image_png, image_tiff, image_webp, image_jpeg2000;

/* ---- libpng's, libopenjp2's ---- */
typedef struct PngImage {
  void *opaque;
  uint32_t version, width, height, format, flags, colormap_entries, warning_or_error;
  char message[64];
} PngImage;
typedef struct OpjComponent {
  uint32_t dx, dy, w, h, x0, y0, prec, bpp, sgnd, resno_decoded, factor;
  int32_t *data;
  uint16_t alpha;
} OpjComponent;
typedef struct OpjImage {
  uint32_t x0, y0, x1, y1, numcomps;
  int32_t color_space;
  OpjComponent *comps;
  uint8_t *icc_profile_buf;
  uint32_t icc_profile_len;
} OpjImage;
enum { OPJ_PARAMETERS_MAX = 16384 }; /* bytes; libopenjp2 fills them in */
