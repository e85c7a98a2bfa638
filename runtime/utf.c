/* utf.c - UTF-8 and simple case mapping, the same under every locale. */
#include "regex.h"

uint32_t utf_next(const char **p, const char *end) {
  const unsigned char *u = (const unsigned char *)*p;
  int64_t have = end - *p;
  uint32_t c = u[0];
  int n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (n > 1) c &= 0xffu >> (n + 1);
  for (int i = 1; i < n; i++) {
    if (i >= have || (u[i] & 0xc0) != 0x80) {
      n = 0;
      break;
    }
    c = c << 6 | (u[i] & 63);
  }
  if (n && (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))) n = 0;
  *p += n ? n : 1;
  return n ? c : 0xfffd;
}
int utf_put(char to[4], uint32_t c) {
  if (c < 0x80) return to[0] = (char)c, 1;
  if (c < 0x800) return to[0] = (char)(0xc0 | c >> 6), to[1] = (char)(0x80 | (c & 63)), 2;
  if (c < 0x10000) return to[0] = (char)(0xe0 | c >> 12), to[1] = (char)(0x80 | (c >> 6 & 63)), to[2] = (char)(0x80 | (c & 63)), 3;
  to[0] = (char)(0xf0 | c >> 18), to[1] = (char)(0x80 | (c >> 12 & 63)), to[2] = (char)(0x80 | (c >> 6 & 63));
  return to[3] = (char)(0x80 | (c & 63)), 4;
}

typedef struct Run {
  uint32_t lo, hi;
  int32_t add, step;
} Run;
#define LOWER(lo, hi, add, step) {lo, hi, add, step},
#define UPPER(lo, hi, add, step)
static const Run lower[] = {
#include "case.def"
};
#undef LOWER
#undef UPPER
#define LOWER(lo, hi, add, step)
#define UPPER(lo, hi, add, step) {lo, hi, add, step},
static const Run upper[] = {
#include "case.def"
};
static uint32_t map(const Run *r, int n, uint32_t c) {
  int lo = 0, hi = n;
  while (lo < hi) { /* the first run that ends at c or later */
    int mid = (lo + hi) / 2;
    if (r[mid].hi < c) lo = mid + 1;
    else hi = mid;
  }
  bool in = lo < n && c >= r[lo].lo && (c - r[lo].lo) % (uint32_t)r[lo].step == 0;
  return in ? c + (uint32_t)r[lo].add : c;
}
uint32_t utf_lower(uint32_t c) { return map(lower, sizeof lower / sizeof *lower, c); }
uint32_t utf_upper(uint32_t c) { return map(upper, sizeof upper / sizeof *upper, c); }
