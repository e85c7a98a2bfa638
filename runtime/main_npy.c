/* main_npy.c - .npy files, versions 1 to 3: C order is mapped as it is, Fortran order and foreign byte order are copied, S and U become
   strings, objects are refused. The file's size must be exactly what its header promises. */
#include "main.h"
#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 65536 };
typedef struct Head {
  char order, kind;
  uint64_t item, count, data; /* bytes of an element; elements; where data starts */
  bool fortran;
  int32_t rank;
  int64_t dim[8];
} Head;

static const char *find_key(const char *h, const char *key) { /* what follows "key": */
  const char *p = strstr(h, key);
  if (!p) return NULL;
  for (p += strlen(key); *p == ' ' || *p == ':' || *p == '\'' || *p == '"'; p++) {
  }
  return p;
}
static const char *read_shape(const char *s, Head *h) {
  if (*s++ != '(') return "bad shape in the header";
  h->rank = 0, h->count = 1;
  for (;;) {
    for (; *s == ' ' || *s == ','; s++) {
    }
    if (*s == ')') return NULL;
    int64_t x = -1;
    for (; *s >= '0' && *s <= '9' && x < 1ll << 40; s++) x = (x < 0 ? 0 : x) * 10 + (*s - '0');
    if (*s == 'L') s++; /* Python 2 */
    if (x < 0 || h->rank == 8) return x < 0 ? "bad shape in the header" : "more than 8 dimensions";
    h->dim[h->rank++] = x;
    if (__builtin_mul_overflow(h->count, (uint64_t)x, &h->count)) return "bad shape in the header";
  }
}
static const char *read_head(File f, Head *h) {
  static char text[MAX_HEADER + 1];
  const unsigned char *u = (const unsigned char *)f.p;
  if (f.n < 12 || u[6] < 1 || u[6] > 3) return "unknown .npy version";
  uint64_t at = u[6] == 1 ? 10 : 12, len = u[8] | (uint64_t)u[9] << 8;
  if (u[6] > 1) len |= (uint64_t)u[10] << 16 | (uint64_t)u[11] << 24;
  if (len > MAX_HEADER || at + len > f.n) return "the header is cut off or too long";
  memcpy(text, f.p + at, len), text[len] = 0;
  const char *descr = find_key(text, "'descr'"), *fortran = find_key(text, "'fortran_order'"), *shape = find_key(text, "'shape'");
  if (!descr || !fortran || !shape) return "the header lacks descr, fortran_order or shape";
  if (!strchr("<>|=", *descr) || !*descr) return "structured types are not supported";
  h->order = *descr, h->kind = descr[1], h->item = 0, h->data = at + len, h->fortran = *fortran == 'T';
  for (const char *d = descr + 2; *d >= '0' && *d <= '9' && h->item < 1u << 20; d++) h->item = h->item * 10 + (uint64_t)(*d - '0');
  if (h->kind == 'O') return "Python objects are not supported";
  if (h->kind == 'U') h->item *= 4;
  const char *bad = read_shape(shape, h);
  uint64_t bytes;
  if (!bad && (__builtin_mul_overflow(h->count, h->item, &bytes) || bytes != f.n - h->data))
    bad = "the size differs from what the header says";
  return bad;
}
static int32_t dtype_of(const Head *h, const tenon_io *io) {
  char name[8];
  if (h->kind == 'S' || h->kind == 'U') return TN_STR;
  /* ml_dtypes writes bfloat16 and the float8 types as raw bytes: then the model's type counts */
  if (h->kind == 'V') {
    int32_t want = io->kind == TENON_TENSOR ? tn_dtype_of(io->dtype) : 0;
    return want && tn_dtypes[want].stored == h->item * 8 && !tn_dtypes[want].npy ? want : 0;
  }
  snprintf(name, sizeof name, "%c%u", h->kind, (unsigned)h->item);
  for (int32_t i = 1; i < TN_DTYPES; i++)
    if (tn_dtypes[i].npy && !strcmp(tn_dtypes[i].npy, name)) return i;
  return 0;
}

/* ---- copying: element i of C order lies at source(i) ---- */
static uint64_t source(const Head *h, uint64_t i) {
  if (!h->fortran) return i;
  uint64_t at = 0, pitch[8], p = 1;
  for (int32_t k = 0; k < h->rank; k++) pitch[k] = p, p *= (uint64_t)h->dim[k];
  for (int32_t k = h->rank; k-- > 0;) at += i % (uint64_t)h->dim[k] * pitch[k], i /= (uint64_t)h->dim[k];
  return at;
}
static void copy_numbers(const Head *h, const char *from, char *to) {
  uint64_t part = h->kind == 'c' ? h->item / 2 : h->item; /* byte order is that of each part */
  for (uint64_t i = 0; i < h->count; i++) {
    const char *s = from + source(h, i) * h->item;
    char *d = to + i * h->item;
    for (uint64_t b = 0; b < h->item; b++) d[b] = h->order == '>' ? s[b / part * part + part - 1 - b % part] : s[b];
  }
}
static uint32_t code_point(const char *s, bool big) {
  const unsigned char *u = (const unsigned char *)s;
  return big ? (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3]
             : (uint32_t)u[3] << 24 | (uint32_t)u[2] << 16 | (uint32_t)u[1] << 8 | u[0];
}
static char *put_utf8(char *d, uint32_t c) {
  if (c < 0x80) *d++ = (char)c;
  else if (c < 0x800) *d++ = (char)(0xc0 | c >> 6), *d++ = (char)(0x80 | (c & 63));
  else if (c < 0x10000) *d++ = (char)(0xe0 | c >> 12), *d++ = (char)(0x80 | (c >> 6 & 63)), *d++ = (char)(0x80 | (c & 63));
  else
    *d++ = (char)(0xf0 | (c >> 18 & 7)), *d++ = (char)(0x80 | (c >> 12 & 63)), *d++ = (char)(0x80 | (c >> 6 & 63)),
    *d++ = (char)(0x80 | (c & 63));
  return d;
}
static tenon_str read_string(const Head *h, const char *s) { /* numpy pads with NULs */
  uint64_t n = h->item;
  if (h->kind == 'S') {
    while (n && !s[n - 1]) n--;
    return (tenon_str){s, n};
  }
  while (n && !code_point(s + n - 4, h->order == '>')) n -= 4;
  char *text = take(n + 1), *d = text;
  for (uint64_t i = 0; i < n; i += 4) d = put_utf8(d, code_point(s + i, h->order == '>'));
  return (tenon_str){text, (uint64_t)(d - text)};
}
const char *npy_read(File f, const tenon_io *io, tenon_value *v) {
  Head h;
  const char *bad = read_head(f, &h);
  if (bad) return bad;
  int32_t dtype = dtype_of(&h, io);
  if (!dtype) return "an element type that ONNX does not have";
  const char *data = f.p + h.data;
  bool as_is = dtype != TN_STR && (!h.fortran || h.rank < 2) && (h.order != '>' || h.item == 1);
  if (as_is) {
    int64_t *shape = take(8 * sizeof *shape);
    memcpy(shape, h.dim, sizeof h.dim);
    *v = tenon_dense(data, f.n - h.data, tn_dtypes[dtype].code, tn_dtypes[dtype].bits, h.rank, shape);
  } else {
    *v = value_tensor(dtype, h.rank, h.dim);
    if (dtype != TN_STR) copy_numbers(&h, data, v->t.data);
    for (uint64_t i = 0; dtype == TN_STR && i < h.count; i++) ((tenon_str *)v->t.data)[i] = read_string(&h, data + source(&h, i) * h.item);
  }
  if (io->kind != TENON_OPTIONAL) return NULL;
  tenon_value *item = take(sizeof *item);
  *item = *v;
  *v = (tenon_value){.kind = TENON_OPTIONAL, .item = item, .n = 1};
  return NULL;
}

bool npy_holds(DLDataType t) {
  int32_t d = tn_dtype_of(t);
  return d && tn_dtypes[d].npy;
}
bool npy_write(const char *path, const tenon_value *v) {
  char h[512], dims[256];
  int n = 0;
  int32_t dtype = tn_dtype_of(v->t.dtype);
  for (int32_t k = 0; k < v->t.ndim; k++) n += snprintf(dims + n, sizeof dims - (size_t)n, k ? ", %lld" : "%lld", (long long)v->t.shape[k]);
  if (v->t.ndim == 1) dims[n++] = ',';
  dims[n] = 0;
  n = snprintf(h + 10, sizeof h - 10, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s), }", tn_dtypes[dtype].stored > 8 ? '<' : '|',
               tn_dtypes[dtype].npy, dims);
  for (; (n + 11) % 64; n++) h[10 + n] = ' ';
  h[10 + n++] = '\n';
  memcpy(h, "\x93NUMPY\1\0", 8), h[8] = (char)n, h[9] = (char)(n >> 8);
  return file_write(path, h, (uint64_t)n + 10, (const char *)v->t.data + v->t.byte_offset, tn_bytes(dtype, value_count(v)));
}
