/* host_image_bmp.c - BMP: headers of OS/2 (12 bytes) and Windows (40 and more), 1, 2, 4, 8 bits with a palette, 16, 24, 32 bits, colour
   masks, both run-length encodings, rows upwards and downwards. Every length of the file is checked against the file's before it is used.
 */
#include "host_image.h"
#include <string.h>

typedef struct Bmp {
  Bytes in;
  int64_t w, h;
  bool down; /* the first row is the top one */
  uint32_t bits, packing, pixels, mask[3];
  uint8_t colour[256][3];
} Bmp;
enum { PLAIN, RLE8, RLE4, MASKS, MASKS_ALPHA = 6 };

static uint32_t u16(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t u32(const uint8_t *p) { return u16(p) | u16(p + 2) << 16; }

static void default_masks(Bmp *b) {
  static const uint32_t of16[] = {0x7c00, 0x3e0, 0x1f}, of32[] = {0xff0000, 0xff00, 0xff};
  memcpy(b->mask, b->bits == 16 ? of16 : of32, sizeof b->mask);
}
static bool read_palette(Bmp *b, uint64_t at, uint64_t count, uint64_t entry) {
  if (at > b->in.n) return false;
  uint64_t room = (b->in.n - at) / entry;
  if (at <= b->pixels && (b->pixels - at) / entry < room) room = (b->pixels - at) / entry;
  if (!count || count > 1u << b->bits) count = 1u << b->bits;
  for (uint64_t i = 0; i < count && i < room; i++)
    for (int k = 0; k < 3; k++) b->colour[i][k] = b->in.p[at + i * entry + (uint64_t)(2 - k)];
  return true;
}
static bool read_header(Bmp *b) {
  const uint8_t *p = b->in.p;
  if (b->in.n < 26) return false;
  uint64_t header = u32(p + 14), colours = 0, entry = 4, at = 14 + header;
  b->pixels = u32(p + 10);
  if (header == 12) {
    b->w = u16(p + 18), b->h = u16(p + 20), b->bits = u16(p + 24), entry = 3;
  } else {
    if (header < 40 || b->in.n < 54) return false;
    b->w = (int32_t)u32(p + 18), b->h = (int32_t)u32(p + 22), b->bits = u16(p + 28), b->packing = u32(p + 30), colours = u32(p + 46);
    b->down = b->h < 0;
    if (b->down) b->h = -b->h;
  }
  if (b->w < 1 || b->h < 1 || b->pixels > b->in.n) return false;
  default_masks(b);
  if (b->packing == MASKS || b->packing == MASKS_ALPHA) {
    if (b->in.n < 66 || (b->bits != 16 && b->bits != 32)) return false;
    for (int k = 0; k < 3; k++) b->mask[k] = u32(p + 54 + 4 * k);
    return true;
  }
  switch (b->bits) {
  case 1:
  case 2:
  case 4:
  case 8: return read_palette(b, at, colours, entry);
  case 16:
  case 24:
  case 32: return true;
  default: return false;
  }
}

static uint8_t masked(uint32_t v, uint32_t mask) {
  if (!mask) return 0;
  int low = __builtin_ctz(mask);
  return (uint8_t)((uint64_t)((v & mask) >> low) * 255 / (mask >> low));
}
static void pixel(const Bmp *b, const uint8_t *row, int64_t x, uint8_t *to) {
  uint32_t v;
  switch (b->bits) {
  case 16:
  case 32:
    v = b->bits == 16 ? u16(row + 2 * x) : u32(row + 4 * x);
    for (int k = 0; k < 3; k++) to[k] = masked(v, b->mask[k]);
    return;
  case 24: to[0] = row[3 * x + 2], to[1] = row[3 * x + 1], to[2] = row[3 * x]; return;
  default: /* 8 / bits pixels in a byte, the leftmost in the highest bits */
    v = row[x * b->bits / 8] >> (8 - b->bits - x * b->bits % 8) & ((1u << b->bits) - 1);
    memcpy(to, b->colour[v], 3);
  }
}
static bool plain(tn_call *c, const Bmp *b, Image *im) {
  uint64_t line = ((uint64_t)b->w * b->bits + 31) / 32 * 4;
  if (line > (b->in.n - b->pixels) / (uint64_t)b->h || !image_new(c, im, b->w, b->h, 3)) return false;
  for (int64_t y = 0; y < b->h; y++)
    for (int64_t x = 0; x < b->w; x++) pixel(b, b->in.p + b->pixels + (uint64_t)y * line, x, im->p + y * im->row + x * 3);
  return true;
}

/* ---- run lengths: pairs (count, value); count 0: end of line, end, move, or that many single values ---- */
typedef struct Pen {
  const Bmp *b;
  Image *im;
  int64_t x, y;
} Pen;
static void put(Pen *p, uint32_t colour) {
  if (p->x < p->im->w && p->y < p->im->h) memcpy(p->im->p + p->y * p->im->row + p->x * 3, p->b->colour[colour], 3);
  p->x++;
}
static uint32_t value(const Bmp *b, const uint8_t *from, uint32_t i) { /* number i of the values that begin at from */
  return b->packing == RLE8 ? from[i] : from[i / 2] >> (i & 1 ? 0 : 4) & 15;
}
static bool runs(const Bmp *b, Image *im) {
  Pen pen = {b, im, 0, 0};
  const uint8_t *p = b->in.p + b->pixels, *end = b->in.p + b->in.n;
  while (pen.y < im->h && end - p >= 2) {
    uint32_t count = p[0], v = p[1];
    p += 2;
    if (count) {
      uint8_t twice[2] = {(uint8_t)v, (uint8_t)v};
      for (uint32_t i = 0; i < count; i++) put(&pen, value(b, twice, i & 1));
    } else if (v == 0) pen.x = 0, pen.y++;
    else if (v == 1) return true;
    else if (v == 2) {
      if (end - p < 2) return false;
      pen.x += p[0], pen.y += p[1], p += 2;
    } else {
      uint32_t bytes = b->packing == RLE8 ? v : (v + 1) / 2;
      if (end - p < (int64_t)bytes) return false;
      for (uint32_t i = 0; i < v; i++) put(&pen, value(b, p, i));
      p += bytes;
      if (bytes & 1 && p < end) p++;
    }
  }
  return pen.y >= im->h;
}
static bool run_lengths(tn_call *c, const Bmp *b, Image *im) {
  if (b->down || b->bits != (b->packing == RLE8 ? 8 : 4) || !image_new(c, im, b->w, b->h, 3)) return false;
  for (int64_t i = 0; i < b->w * b->h; i++) memcpy(im->p + i * 3, b->colour[0], 3);
  return runs(b, im);
}

bool image_bmp(tn_call *c, Bytes in, Image *im) {
  Bmp b = {.in = in};
  if (!read_header(&b)) return false;
  bool packed = b.packing == RLE8 || b.packing == RLE4;
  if (!packed && b.packing != PLAIN && b.packing != MASKS && b.packing != MASKS_ALPHA) return false;
  if (!(packed ? run_lengths : plain)(c, &b, im)) return false;
  if (!b.down) im->p += (im->h - 1) * im->row, im->row = -im->row;
  return true;
}
