// image_test.c - ImageDecoder on bytes that mean harm: every file of tests/unit/images cut short at every length, and with bytes changed at
// random. Whatever comes out, the call ends, says nothing of what it is not, and gives pixels only for a picture. Meant for sanitizers.
// (That the pixels are right is tests/images.py's business.) Also: are the structures in host_image.h those of the libraries' headers?
#include "runtime/host_image.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka wants the headers above it
#include "tests/unit/image_run.h"
#include <cmocka.h>

enum { FILE_MAX = 1 << 16, CHANGES = 400 };
/* ---- the files ---- */
typedef struct Sample {
  char name[256];
  uint8_t bytes[FILE_MAX];
  size_t n;
} Sample;
static void each_file(void (*check)(const Sample *)) {
  const char *folder = SOURCE_DIR "/tests/unit/images";
  DIR *d = opendir(folder);
  assert_non_null(d);
  int files = 0;
  for (struct dirent *e; (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    static Sample s;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name), snprintf(s.name, sizeof s.name, "%s", e->d_name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    s.n = fread(s.bytes, 1, sizeof s.bytes, f), fclose(f);
    check(&s), files++;
  }
  closedir(d);
  assert_true(files > 20);
}

static void is_whole(const Sample *s) {
  if (decode(s->bytes, s->n) != 16 * 12) fail_msg("%s: %s", s->name, run.fault ? run.text : "not decoded");
}
static void whole_files(void **state) {
  (void)state;
  each_file(is_whole);
}

static void is_cut(const Sample *s) { // what is missing at the end may be nothing that counts; half of a file is no picture
  for (size_t n = 0; n < s->n; n++) {
    int64_t pixels = decode(s->bytes, n);
    if (pixels && (pixels != 16 * 12 || n <= s->n / 2)) fail_msg("%s cut at %zu: %lld pixels", s->name, n, (long long)pixels);
  }
}
static void cut_files(void **state) {
  (void)state;
  each_file(is_cut);
}

static uint32_t noise(void) {
  static uint64_t x = 88172645463325252u;
  x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return (uint32_t)(x >> 16);
}
static void is_changed(const Sample *s) {
  static const uint8_t odd[] = {0, 1, 127, 128, 255};
  uint8_t bytes[FILE_MAX];
  for (int i = 0; i < CHANGES; i++) {
    memcpy(bytes, s->bytes, s->n);
    for (uint32_t k = noise() % 4 + 1; k; k--) { // half of them in the header, where they hurt
      uint8_t *b = &bytes[noise() % (noise() & 1 || s->n < 64 ? s->n : 64)];
      *b = noise() & 1 ? odd[noise() % 5] : (uint8_t)noise();
    }
    decode(bytes, s->n);
  }
}
static void changed_files(void **state) {
  (void)state;
  each_file(is_changed);
}

/* ---- sizes that cannot be ---- */
static void absurd_sizes(void **state) {
  (void)state;
  static const char levels[] = "P5 65536 65536 255\n";
  char bits[] = "P4 16385 16384 ";
  uint8_t *big = calloc(1, 40 << 20);
  memcpy(big, bits, sizeof bits);
  assert_int_equal(decode((const uint8_t *)levels, sizeof levels), 0); // no bytes for them
  assert_int_equal(decode(big, 40 << 20), -1);                         // the bytes are there, but it is more than we take
  assert_true(run.fault && strstr(run.text, "16385 x 16384 pixels is beyond"));
  free(big);
}

/* ---- the libraries' structures ---- */
#define SAME(ours, theirs, field) _Static_assert(offsetof(ours, field) == offsetof(theirs, field), #field)
#if __has_include(<png.h>)
#include <png.h>
_Static_assert(sizeof(PngImage) == sizeof(png_image) && PNG_IMAGE_VERSION == 1, "png_image");
SAME(PngImage, png_image, width);
SAME(PngImage, png_image, height);
SAME(PngImage, png_image, format);
SAME(PngImage, png_image, flags);
SAME(PngImage, png_image, message);
#endif
#if __has_include(<openjpeg-2.5/openjpeg.h>)
#include <openjpeg-2.5/openjpeg.h>
_Static_assert(sizeof(OpjImage) == sizeof(opj_image_t) && sizeof(OpjComponent) == sizeof(opj_image_comp_t), "opj_image_t");
_Static_assert(sizeof(opj_dparameters_t) <= OPJ_PARAMETERS_MAX, "opj_dparameters_t");
SAME(OpjImage, opj_image_t, numcomps);
SAME(OpjImage, opj_image_t, color_space);
SAME(OpjImage, opj_image_t, comps);
SAME(OpjComponent, opj_image_comp_t, dy);
SAME(OpjComponent, opj_image_comp_t, h);
SAME(OpjComponent, opj_image_comp_t, prec);
SAME(OpjComponent, opj_image_comp_t, sgnd);
SAME(OpjComponent, opj_image_comp_t, data);
#endif

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(whole_files), cmocka_unit_test(cut_files), cmocka_unit_test(changed_files),
                                     cmocka_unit_test(absurd_sizes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
