/* host_image_pnm.c - the portable formats: P1 to P3 in text, P4 to P6 in bytes; bits, grey, colours; up to 65535 levels. Of several images
   in a file the first counts. */
#include "host_image.h"
#include <string.h>

typedef struct Reader {
  const uint8_t *p, *end;
} Reader;
static bool blank(uint8_t ch) { return ch == ' ' || (ch >= '\t' && ch <= '\r'); }
static void skip(Reader *r) { /* blanks, and comments to the end of their line */
  for (; r->p < r->end && (blank(*r->p) || *r->p == '#'); r->p++)
    if (*r->p == '#')
      while (r->p < r->end && *r->p != '\n' && *r->p != '\r') r->p++;
}
static bool digit(const Reader *r) { return r->p < r->end && *r->p >= '0' && *r->p <= '9'; }
static bool number(Reader *r, uint32_t *v) {
  skip(r);
  const uint8_t *first = r->p;
  for (*v = 0; digit(r) && r->p - first < 9; r->p++) *v = *v * 10 + (*r->p - '0');
  return r->p > first && !digit(r);
}
static bool bit(Reader *r, uint32_t *v) { /* bits in text need no blanks between them */
  skip(r);
  *v = digit(r) ? (uint32_t)(*r->p++ - '0') : 2;
  return *v < 2;
}
static uint32_t in_bytes(Reader *r, uint32_t max) {
  uint32_t v = *r->p++;
  if (max > 255) v = v << 8 | *r->p++;
  return v;
}
static bool text_samples(Reader *r, Image *im, int channels, bool bitmap, uint32_t max) {
  for (int64_t i = 0, n = im->w * im->h; i < n; i++)
    for (int k = 0; k < 3; k++) {
      uint32_t v;
      if (k >= channels) im->p[i * 3 + k] = im->p[i * 3];
      else if (!(bitmap ? bit : number)(r, &v)) return false;
      else im->p[i * 3 + k] = image_scale(bitmap ? !v : v, max);
    }
  return true;
}
static void byte_samples(Reader *r, Image *im, int channels, uint32_t max) {
  if (channels == 3 && max == 255) {
    memcpy(im->p, r->p, (uint64_t)(im->w * im->h * 3));
    return;
  }
  for (int64_t i = 0, n = im->w * im->h; i < n; i++)
    for (int k = 0; k < 3; k++) im->p[i * 3 + k] = k < channels ? image_scale(in_bytes(r, max), max) : im->p[i * 3];
}
static void bits(Reader *r, Image *im) { /* 1 is black; rows begin with a byte */
  for (int64_t y = 0; y < im->h; y++, r->p += (im->w + 7) / 8)
    for (int64_t x = 0; x < im->w; x++)
      for (int k = 0; k < 3; k++) im->p[y * im->row + x * 3 + k] = r->p[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
}
bool image_pnm(tn_call *c, Bytes in, Image *im) {
  Reader r = {in.p + 2, in.p + in.n};
  int kind = in.p[1] - '0', channels = kind % 3 ? 1 : 3;
  bool bitmap = kind == 1 || kind == 4, text = kind < 4;
  uint32_t w, h, max = 1;
  if (!number(&r, &w) || !number(&r, &h) || (!bitmap && !number(&r, &max)) || max < 1 || max > 65535) return false;
  if (!text && (r.p == r.end || !blank(*r.p++))) return false;
  /* Bytes that there must be at the least, before memory is taken. */
  uint64_t samples = (uint64_t)w * h * (uint64_t)channels, left = (uint64_t)(r.end - r.p);
  if (left < (text ? bitmap ? samples : 2 * samples - (samples > 0) : bitmap ? (uint64_t)(w + 7) / 8 * h : samples * (max > 255 ? 2 : 1)))
    return false;
  if (!image_new(c, im, w, h, 3)) return false;
  if (text) return text_samples(&r, im, channels, bitmap, max);
  if (bitmap) bits(&r, im);
  else byte_samples(&r, im, channels, max);
  return true;
}
