/* host_image_libs.c - JPEG, PNG, TIFF, WebP and JPEG 2000 by the libraries that every distribution has. Each is loaded when the first image
   of its kind comes and stays. Only functions whose names and types these libraries promise to keep are called (by soname), and only memory
   of ours is written: no library decides about the size of the result, none prints, none is given a file. */
#include "host_image.h"
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>

/* ---- loading: a library's functions into a structure of function pointers, in the order of their names ---- */
typedef struct Library {
  const char *format, *soname;
  int n;
  const char *name[16];
} Library;
static bool load(tn_call *c, const Library *l, void *_Atomic *handle, void *functions) {
  void *h = *handle, **f = functions;
  if (!h && (h = dlopen(l->soname, RTLD_NOW | RTLD_LOCAL))) *handle = h; /* two threads may both do this: it is one library */
  if (!h) return tn_op_fail(c, "decoding %s needs %s, which cannot be loaded", l->format, l->soname), false;
  for (int i = 0; i < l->n; i++)
    if (!(f[i] = dlsym(h, l->name[i])))
      return tn_op_fail(c, "decoding %s needs %s, which has no %s", l->format, l->soname, l->name[i]), false;
  return true;
}

/* ---- JPEG by libjpeg-turbo ---- */
typedef struct Turbo {
  void *(*init)(void);
  int (*header)(void *, const uint8_t *, unsigned long, int *w, int *h, int *sampling, int *colours);
  int (*decompress)(void *, const uint8_t *, unsigned long, uint8_t *to, int w, int pitch, int h, int format, int flags);
  char *(*text)(void *);
  int (*destroy)(void *);
} Turbo;
static const Library libturbojpeg = {
    "JPEG", "libturbojpeg.so.0", 5, {"tjInitDecompress", "tjDecompressHeader3", "tjDecompress2", "tjGetErrorStr2", "tjDestroy"}};
enum { TJPF_RGB = 0, TJPF_CMYK = 11, TJCS_CMYK = 3, TJCS_YCCK = 4, TJFLAG_LIMITSCANS = 32768 };

/* What the library warns of though every pixel is right. Data that is damaged or ends too early is a warning to it too. */
static bool harmless(const char *warning) {
  return strstr(warning, "extraneous bytes") || strstr(warning, "JFIF revision") || strstr(warning, "Adobe color") ||
         strstr(warning, "ICC");
}
/* A header that names no known sampling is an error to the library, which has told the size by then. Four colours are inks, inverted. */
static bool jpeg_with(tn_call *c, const Turbo *f, void *h, Bytes in, Image *im) {
  int w = 0, height = 0, sampling = 0, colours = -1;
  f->header(h, in.p, in.n, &w, &height, &sampling, &colours);
  bool inks = colours == TJCS_CMYK || colours == TJCS_YCCK;
  if (w < 1 || height < 1 || colours < 0 || !image_new(c, im, w, height, inks ? 4 : 3)) return false;
  if (f->decompress(h, in.p, in.n, im->p, w, (int)im->row, height, inks ? TJPF_CMYK : TJPF_RGB, TJFLAG_LIMITSCANS) && !harmless(f->text(h)))
    return false;
  if (inks) image_from_cmyk(im, true);
  return true;
}
bool image_jpeg(tn_call *c, Bytes in, Image *im) {
  static void *_Atomic handle;
  Turbo f;
  if (!load(c, &libturbojpeg, &handle, &f)) return false;
  void *h = f.init();
  if (!h) return tn_op_nomem(c), false;
  bool ok = jpeg_with(c, &f, h, in, im);
  f.destroy(h);
  return ok;
}

/* ---- PNG by libpng's simplified interface ---- */
typedef struct Png {
  int (*begin)(PngImage *, const void *, size_t);
  int (*finish)(PngImage *, const void *background, void *to, int32_t row, void *colours);
  void (*end)(PngImage *);
} Png;
static const Library libpng = {"PNG", "libpng16.so.16", 3, {"png_image_begin_read_from_memory", "png_image_finish_read", "png_image_free"}};
enum { PNG_VERSION = 1, PNG_ALPHA = 1, PNG_COLOUR = 2, PNG_16BIT_SRGB = 4 };

static uint32_t big32(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
/* The chunks that make pixels (their names begin with a capital), without those that would change their values: gamma, profiles, and
   transparency, which ONNX does not know. */
static uint64_t critical_chunks(Bytes in, uint8_t *to) {
  uint64_t n = 8;
  memcpy(to, in.p, 8);
  for (uint64_t at = 8; in.n - at >= 12;) {
    uint64_t bytes = (uint64_t)big32(in.p + at) + 12;
    if (bytes > in.n - at) bytes = in.n - at;
    if (!(in.p[at + 4] & 32)) memcpy(to + n, in.p + at, bytes), n += bytes;
    at += bytes;
  }
  return n;
}
static bool png_with(tn_call *c, const Png *f, Bytes in, Image *im) {
  PngImage png = {.version = PNG_VERSION};
  if (!f->begin(&png, in.p, in.n)) return false;
  png.format = PNG_COLOUR | (png.format & PNG_ALPHA), png.flags |= PNG_16BIT_SRGB;
  bool ok = image_new(c, im, png.width, png.height, png.format & PNG_ALPHA ? 4 : 3) && f->finish(&png, NULL, im->p, 0, NULL);
  f->end(&png);
  return ok;
}
bool image_png(tn_call *c, Bytes in, Image *im) {
  static void *_Atomic handle;
  Png f;
  uint64_t size;
  uint8_t *chunks;
  if (!load(c, &libpng, &handle, &f) || !(chunks = op_temp(c, in.n, &size))) return false;
  bool ok = png_with(c, &f, (Bytes){chunks, critical_chunks(in, chunks)}, im);
  tn_free(c->f->run->m, chunks, size);
  return ok;
}

/* ---- WebP by libwebp ---- */
typedef struct Webp {
  int (*info)(const uint8_t *, size_t, int *w, int *h);
  uint8_t *(*decode)(const uint8_t *, size_t, uint8_t *to, size_t size, int row);
} Webp;
static const Library libwebp = {"WebP", "libwebp.so.7", 2, {"WebPGetInfo", "WebPDecodeRGBInto"}};

bool image_webp(tn_call *c, Bytes in, Image *im) {
  static void *_Atomic handle;
  Webp f;
  int w, h;
  return load(c, &libwebp, &handle, &f) && f.info(in.p, in.n, &w, &h) && image_new(c, im, w, h, 3) &&
         f.decode(in.p, in.n, im->p, im->size, (int)im->row);
}

/* ---- files in memory, for libtiff and libopenjp2 ---- */
typedef struct File {
  Bytes in;
  uint64_t at;
} File;
static uint64_t file_read(File *f, void *to, uint64_t n) {
  uint64_t left = f->at < f->in.n ? f->in.n - f->at : 0;
  if (n > left) n = left;
  if (n) memcpy(to, f->in.p + f->at, n);
  f->at += n;
  return n;
}

/* ---- TIFF by libtiff ---- */
typedef int TiffHandler(void *tiff, void *user, const char *module, const char *format, va_list);
typedef struct Tiff {
  void *(*options)(void);
  void (*limit)(void *options, int64_t bytes);
  void (*on_error)(void *options, TiffHandler *, void *user);
  void (*on_warning)(void *options, TiffHandler *, void *user);
  void (*free_options)(void *);
  void *(*open)(const char *name, const char *mode, void *user, int64_t (*read)(void *, void *, int64_t),
                int64_t (*write)(void *, void *, int64_t), uint64_t (*seek)(void *, uint64_t, int), int (*close)(void *),
                uint64_t (*size)(void *), int (*map)(void *, void **, uint64_t *), void (*unmap)(void *, void *, uint64_t), void *options);
  int (*get)(void *tiff, uint32_t tag, ...);
  int (*set)(void *tiff, uint32_t tag, ...);
  int (*read)(void *tiff, uint32_t w, uint32_t h, uint32_t *to, int orientation, int stop);
  void (*close)(void *tiff);
} Tiff;
static const Library libtiff = {"TIFF",
                                "libtiff.so.6",
                                10,
                                {"TIFFOpenOptionsAlloc", "TIFFOpenOptionsSetMaxSingleMemAlloc", "TIFFOpenOptionsSetErrorHandlerExtR",
                                 "TIFFOpenOptionsSetWarningHandlerExtR", "TIFFOpenOptionsFree", "TIFFClientOpenExt", "TIFFGetField",
                                 "TIFFSetField", "TIFFReadRGBAImageOriented", "TIFFClose"}};
enum { TIFF_WIDTH = 256, TIFF_LENGTH = 257, TIFF_ORIENTATION = 274, TIFF_EXTRA_SAMPLES = 338, TIFF_MEMORY_MAX = 1 << 30 };

static int tiff_silence(void *t, void *user, const char *module, const char *format, va_list a) {
  (void)t, (void)user, (void)module, (void)format, (void)a;
  return 1;
}
static int64_t tiff_read(void *f, void *to, int64_t n) { return n < 0 ? -1 : (int64_t)file_read(f, to, (uint64_t)n); }
static int64_t tiff_write(void *f, void *from, int64_t n) { return (void)f, (void)from, (void)n, -1; }
static uint64_t tiff_seek(void *user, uint64_t to, int whence) {
  File *f = user;
  return f->at = to + (whence == 1 ? f->at : whence == 2 ? f->in.n : 0);
}
static int tiff_close(void *f) { return (void)f, 0; }
static uint64_t tiff_size(void *f) { return ((File *)f)->in.n; }

/* The raster holds the rows and columns as the file does: what they mean is its orientation's business. 2 to 4 mirror, 5 to 8 exchange rows
   and columns. */
static void orient(Image *im, int how) {
  int64_t row = im->row, step = im->step, w = im->w, h = im->h;
  bool right = how == 2 || how == 3 || how == 6 || how == 7, bottom = how == 3 || how == 4 || how == 7 || how == 8;
  if (how > 4) { /* the file's rows are columns: 6, 7 begin at the right, 7, 8 at the bottom */
    im->w = h, im->h = w, im->row = step, im->step = row;
    w = im->w, h = im->h;
  }
  if (right) im->p += (w - 1) * im->step, im->step = -im->step;
  if (bottom) im->p += (h - 1) * im->row, im->row = -im->row;
}
/* Colours are multiplied by an alpha that they were not multiplied by; so that they are not, the file says otherwise from now on. */
static void keep_colours(const Tiff *f, void *tiff) {
  uint16_t n = 0, *kind = NULL, own[8];
  if (!f->get(tiff, TIFF_EXTRA_SAMPLES, &n, &kind) || !n || n > 8) return;
  for (int i = 0; i < n; i++) own[i] = kind[i] == 2 ? 1 : kind[i];
  f->set(tiff, TIFF_EXTRA_SAMPLES, (int)n, own);
}
static bool tiff_with(tn_call *c, const Tiff *f, void *tiff, Image *im) {
  uint32_t w = 0, h = 0;
  uint16_t how = 1;
  if (!f->get(tiff, TIFF_WIDTH, &w) || !f->get(tiff, TIFF_LENGTH, &h)) return false;
  if (!f->get(tiff, TIFF_ORIENTATION, &how) || how < 1 || how > 8) how = 1;
  keep_colours(f, tiff);
  if (!image_new(c, im, w, h, 4) || !f->read(tiff, w, h, (uint32_t *)(void *)im->p, how, 1)) return false;
  orient(im, how);
  return true;
}
bool image_tiff(tn_call *c, Bytes in, Image *im) {
  static void *_Atomic handle;
  Tiff f;
  File file = {in, 0};
  if (!load(c, &libtiff, &handle, &f)) return false;
  void *o = f.options();
  if (!o) return tn_op_nomem(c), false;
  f.limit(o, TIFF_MEMORY_MAX), f.on_error(o, tiff_silence, NULL), f.on_warning(o, tiff_silence, NULL);
  void *tiff = f.open("image", "rm", &file, tiff_read, tiff_write, tiff_seek, tiff_close, tiff_size, NULL, NULL, o);
  f.free_options(o);
  bool ok = tiff && tiff_with(c, &f, tiff, im);
  if (tiff) f.close(tiff);
  return ok;
}

/* ---- JPEG 2000 by OpenJPEG ---- */
typedef struct Opj {
  void *(*stream)(size_t buffer, int input);
  void (*on_read)(void *stream, size_t (*)(void *, size_t, void *));
  void (*on_skip)(void *stream, int64_t (*)(int64_t, void *));
  void (*on_seek)(void *stream, int (*)(int64_t, void *));
  void (*user)(void *stream, void *user, void (*free)(void *));
  void (*length)(void *stream, uint64_t);
  void *(*codec)(int kind);
  void (*defaults)(void *parameters);
  int (*setup)(void *codec, void *parameters);
  int (*header)(void *stream, void *codec, OpjImage **);
  int (*decode)(void *codec, void *stream, OpjImage *);
  int (*end)(void *codec, void *stream);
  void (*free_stream)(void *);
  void (*free_codec)(void *);
  void (*free_image)(OpjImage *);
} Opj;
static const Library libopenjp2 = {"JPEG 2000",
                                   "libopenjp2.so.7",
                                   15,
                                   {"opj_stream_create", "opj_stream_set_read_function", "opj_stream_set_skip_function",
                                    "opj_stream_set_seek_function", "opj_stream_set_user_data", "opj_stream_set_user_data_length",
                                    "opj_create_decompress", "opj_set_default_decoder_parameters", "opj_setup_decoder", "opj_read_header",
                                    "opj_decode", "opj_end_decompress", "opj_stream_destroy", "opj_destroy_codec", "opj_image_destroy"}};
enum { OPJ_CODEC_J2K = 0, OPJ_CODEC_JP2 = 2, OPJ_SYCC = 3, OPJ_EYCC = 4, OPJ_CMYK = 5 };

static size_t opj_read(void *to, size_t n, void *f) {
  uint64_t got = file_read(f, to, n);
  return got ? got : (size_t)-1;
}
static int64_t opj_skip(int64_t n, void *user) {
  File *f = user;
  if (n < 0 || (uint64_t)n > f->in.n - f->at) return -1;
  return f->at += (uint64_t)n, n;
}
static int opj_seek(int64_t to, void *user) {
  File *f = user;
  if (to < 0 || (uint64_t)to > f->in.n) return 0;
  return f->at = (uint64_t)to, 1;
}
/* The sample of a component at a pixel of the image; components may be coarser than it. */
static uint8_t sample(const OpjImage *o, const OpjComponent *k, int64_t x, int64_t y) {
  const OpjComponent *first = o->comps;
  int64_t cx = x * first->dx / k->dx, cy = y * first->dy / k->dy;
  if (cx >= k->w) cx = k->w - 1;
  if (cy >= k->h) cy = k->h - 1;
  int64_t v = k->data[cy * k->w + cx] + (k->sgnd ? (int64_t)1 << (k->prec - 1) : 0);
  return image_scale(v < 0 ? 0 : (uint32_t)v, (uint32_t)(((uint64_t)1 << k->prec) - 1));
}
static uint8_t clamp(int32_t v) { return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v; }
static void from_ycc(uint8_t *p) { /* of JFIF, in 16 bits */
  int32_t y = p[0] * 65536 + 32768, b = p[1] - 128, r = p[2] - 128;
  p[0] = clamp((y + 91881 * r) >> 16), p[1] = clamp((y - 22554 * b - 46802 * r) >> 16), p[2] = clamp((y + 116130 * b) >> 16);
}
static bool sane(const OpjImage *o) { /* what the loops below rely on */
  if (o->numcomps < 1 || o->numcomps > 4 || o->color_space == OPJ_EYCC) return false;
  for (uint32_t i = 0; i < o->numcomps; i++) {
    const OpjComponent *k = &o->comps[i];
    if (!k->data || !k->w || !k->h || !k->dx || !k->dy || k->prec < 1 || k->prec > 31) return false;
  }
  return true;
}
static bool pixels_of(tn_call *c, const OpjImage *o, Image *im) {
  if (!sane(o) || !image_new(c, im, o->comps[0].w, o->comps[0].h, 4)) return false;
  bool grey = o->numcomps < 3, coarse = !grey && (o->comps[1].dx != o->comps[0].dx || o->comps[1].dy != o->comps[0].dy);
  for (int64_t y = 0; y < im->h; y++)
    for (int64_t x = 0; x < im->w; x++) {
      uint8_t *p = im->p + y * im->row + x * 4;
      for (uint32_t i = 0; i < 4; i++)
        p[i] = grey ? (i && i < 3 ? p[0] : i ? 0 : sample(o, o->comps, x, y)) : i < o->numcomps ? sample(o, &o->comps[i], x, y) : 0;
      if (!grey && (o->color_space == OPJ_SYCC || coarse)) from_ycc(p);
    }
  if (o->color_space == OPJ_CMYK && o->numcomps == 4) image_from_cmyk(im, false);
  return true;
}
static bool small_enough(tn_call *c, const OpjImage *o) { /* before the library takes memory for pixels */
  if (!o || o->numcomps < 1 || o->numcomps > 4 || o->x1 <= o->x0 || o->y1 <= o->y0) return false;
  uint64_t w = o->x1 - o->x0, h = o->y1 - o->y0;
  if (w * h > IMAGE_PIXELS_MAX)
    return tn_op_fail(c, "an image of %llu x %llu pixels is beyond the limit of 2^28", (unsigned long long)w, (unsigned long long)h), false;
  return true;
}
static bool jpeg2000_with(tn_call *c, const Opj *f, void *stream, void *codec, Image *im) {
  _Alignas(16) char parameters[OPJ_PARAMETERS_MAX];
  OpjImage *o = NULL;
  f->defaults(parameters);
  bool ok = f->setup(codec, parameters) && f->header(stream, codec, &o) && small_enough(c, o) && f->decode(codec, stream, o) &&
            f->end(codec, stream) && pixels_of(c, o, im);
  if (o) f->free_image(o);
  return ok;
}
bool image_jpeg2000(tn_call *c, Bytes in, Image *im) {
  static void *_Atomic handle;
  Opj f;
  File file = {in, 0};
  if (!load(c, &libopenjp2, &handle, &f)) return false;
  void *stream = f.stream(in.n < 1 << 20 ? in.n : 1 << 20, 1), *codec = f.codec(in.p[0] ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
  bool ok = stream && codec;
  if (ok) {
    f.on_read(stream, opj_read), f.on_skip(stream, opj_skip), f.on_seek(stream, opj_seek);
    f.user(stream, &file, NULL), f.length(stream, in.n);
    ok = jpeg2000_with(c, &f, stream, codec, im);
  } else tn_op_nomem(c);
  if (stream) f.free_stream(stream);
  if (codec) f.free_codec(codec);
  return ok;
}
