/* host_image.c - ImageDecoder: what kind of file the bytes are, and the decoded pixels in the layout the model asks for. An object of its
   own (with host_image_*.c): only artifacts that decode images hold it, and the libraries it needs are loaded when the first image of their
   kind comes. Bytes that are no image, or a damaged one, give an image of 0 x 0 pixels, as ONNX says; a library that is not there fails the
   run. */
#include "host_image.h"
#include <string.h>

bool image_new(tn_call *c, Image *im, int64_t w, int64_t h, int step) {
  if (w < 1 || h < 1) return false;
  if (w > IMAGE_PIXELS_MAX || h > IMAGE_PIXELS_MAX || w * h > IMAGE_PIXELS_MAX)
    return tn_op_fail(c, "an image of %lld x %lld pixels is beyond the limit of 2^28", (long long)w, (long long)h), false;
  *im = (Image){.w = w, .h = h, .row = w * step, .step = step};
  im->p = im->mem = op_temp(c, (uint64_t)(w * h * step), &im->size);
  if (im->mem) memset(im->mem, 0, im->size);
  return im->mem;
}
uint8_t image_scale(uint32_t v, uint32_t max) { /* to the nearest, the even one of two */
  uint64_t n = (uint64_t)(v < max ? v : max) * 255, q = n / max, twice = 2 * (n % max);
  return (uint8_t)(q + (twice > max || (twice == max && q & 1)));
}
static uint8_t part(uint32_t a, uint32_t b) { /* a * b / 255, rounded */
  uint32_t t = a * b + 128;
  return (uint8_t)((t + (t >> 8)) >> 8);
}
void image_from_cmyk(Image *im, bool inverted) {
  uint8_t flip = inverted ? 0 : 255;
  for (int64_t i = 0, n = im->w * im->h; i < n; i++) {
    uint8_t *p = im->mem + i * 4;
    for (int k = 0; k < 3; k++) p[k] = part(p[k] ^ flip, p[3] ^ flip);
  }
}

static bool starts(Bytes in, const char *magic, uint64_t n) { return in.n >= n && !memcmp(in.p, magic, n); }
static Decoder *decoder_of(Bytes in) {
  if (starts(in, "\xff\xd8\xff", 3)) return image_jpeg;
  if (starts(in, "\x89PNG\r\n\x1a\n", 8)) return image_png;
  if (starts(in, "BM", 2)) return image_bmp;
  if (starts(in, "RIFF", 4) && in.n >= 12 && !memcmp(in.p + 8, "WEBP", 4)) return image_webp;
  if (starts(in, "II*\0", 4) || starts(in, "MM\0*", 4) || starts(in, "II+\0", 4) || starts(in, "MM\0+", 4)) return image_tiff;
  if (starts(in, "\xff\x4f\xff\x51", 4) || starts(in, "\0\0\0\x0cjP  \r\n\x87\n", 12)) return image_jpeg2000;
  if (in.n > 2 && in.p[0] == 'P' && in.p[1] >= '1' && in.p[1] <= '6') return image_pnm;
  return NULL;
}

/* Luma of BT.601 in 16 bits; grey stays what it is. */
static uint8_t grey(const uint8_t *p) { return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 32768) >> 16); }
static void hand_over_row(const uint8_t *p, int64_t step, int64_t w, uint8_t *to, int64_t channels, bool bgr) {
  if (channels == 1)
    for (int64_t x = 0; x < w; x++) to[x] = grey(p + x * step);
  else if (step == 3 && !bgr) memcpy(to, p, (uint64_t)w * 3);
  else
    for (int64_t x = 0; x < w; x++, p += step, to += 3) to[0] = p[bgr ? 2 : 0], to[1] = p[1], to[2] = p[bgr ? 0 : 2];
}

tn_op tn_op_image_decoder;
void tn_op_image_decoder(tn_call *c) {
  tn_tensor t;
  Image im = {0};
  if (!op_in(c, 0, &t)) return;
  Bytes in = {t.data, (uint64_t)tensor_size(&t)};
  Decoder *decode = decoder_of(in);
  bool ok = decode && decode(c, in, &im);
  int64_t channels = call_is(c, "pixel_format", "Grayscale") ? 1 : 3, dim[3] = {ok ? im.h : 0, ok ? im.w : 0, channels};
  uint8_t *to = c->f->run->fault ? NULL : op_out(c, 0, TN_U8, 3, dim);
  bool bgr = call_is(c, "pixel_format", "BGR");
  for (int64_t y = 0; to && ok && y < im.h; y++) hand_over_row(im.p + y * im.row, im.step, im.w, to + y * im.w * channels, channels, bgr);
  if (im.mem) tn_free(c->f->run->m, im.mem, im.size);
}
