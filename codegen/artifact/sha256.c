// sha256.c - FIPS 180-4, for build ids and content hashes.
#include "codegen/artifact/artifact.h"
#include <string.h>
#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rot(uint32_t x, int c) { return x >> c | x << (32 - c); }
static void plain_block(uint32_t h[8], const unsigned char *p) {
  uint32_t w[64], s[8];
  for (int t = 0; t < 16; t++) w[t] = (uint32_t)p[4 * t] << 24 | (uint32_t)p[4 * t + 1] << 16 | (uint32_t)p[4 * t + 2] << 8 | p[4 * t + 3];
  for (int t = 16; t < 64; t++)
    w[t] = w[t - 16] + (rot(w[t - 15], 7) ^ rot(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 7] +
           (rot(w[t - 2], 17) ^ rot(w[t - 2], 19) ^ w[t - 2] >> 10);
  memcpy(s, h, sizeof s);
  for (int t = 0; t < 64; t++) {
    uint32_t a = s[7] + (rot(s[4], 6) ^ rot(s[4], 11) ^ rot(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[t] + w[t];
    uint32_t b = (rot(s[0], 2) ^ rot(s[0], 13) ^ rot(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    memmove(s + 1, s, 28), s[4] += a, s[0] = a + b;
  }
  for (int t = 0; t < 8; t++) h[t] += s[t];
}
#ifdef __x86_64__
// The same with the SHA instructions (Intel, "SHA extensions", 2013): models of hundreds of megabytes are hashed at every compilation.
// The state lies in two registers, ABEF and CDGH; sha256rnds2 does two rounds, the message schedule keeps the last 16 words in m.
__attribute__((target("sha,sse4.1"))) static void fast_block(uint32_t h[8], const unsigned char *p) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1),
          hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(dcba, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, dcba, 0xf0), a0 = abef, c0 = cdgh, m[4];
  for (int g = 0; g < 16; g++) { // four rounds each
    __m128i *w = &m[g % 4];
    if (g < 4) *w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16 * g)), swap);
    else {
      __m128i last = m[(g + 3) % 4],
              sum = _mm_add_epi32(_mm_sha256msg1_epu32(*w, m[(g + 1) % 4]), _mm_alignr_epi8(last, m[(g + 2) % 4], 4));
      *w = _mm_sha256msg2_epu32(sum, last);
    }
    __m128i k = _mm_add_epi32(*w, _mm_loadu_si128((const __m128i *)(K + 4 * g)));
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
  }
  abef = _mm_add_epi32(abef, a0), cdgh = _mm_add_epi32(cdgh, c0);
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}
static bool has_sha(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 19 & 1) || !(c >> 9 & 1)) return false; // SSE4.1, SSSE3
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}
static void block(uint32_t h[8], const unsigned char *p) {
  static int fast = -1;
  if (fast < 0) fast = has_sha();
  if (fast) fast_block(h, p);
  else plain_block(h, p);
}
#else
static void block(uint32_t h[8], const unsigned char *p) { plain_block(h, p); }
#endif
void sha256_start(Sha256 *s) {
  *s = (Sha256){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}
void sha256_add(Sha256 *s, const void *data, size_t n) {
  const unsigned char *p = data;
  while (n) {
    size_t have = s->n % 64, k = 64 - have < n ? 64 - have : n;
    memcpy(s->block + have, p, k);
    s->n += k, p += k, n -= k;
    if (have + k == 64) block(s->h, s->block);
  }
}
void sha256_hex(Sha256 *s, char out[65]) {
  uint64_t bits = s->n * 8;
  unsigned char len[8];
  for (int i = 0; i < 8; i++) len[i] = (unsigned char)(bits >> (56 - 8 * i));
  sha256_add(s, "\x80", 1);
  while (s->n % 64 != 56) sha256_add(s, "", 1);
  sha256_add(s, len, 8);
  for (int i = 0; i < 8; i++) snprintf(out + 8 * i, 9, "%08x", s->h[i]);
}

Sym sha256_of_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) return sym("");
  static char buf[1 << 16];
  char hex[65];
  Sha256 h;
  sha256_start(&h);
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) sha256_add(&h, buf, n);
  fclose(f);
  sha256_hex(&h, hex);
  return sym(hex);
}
