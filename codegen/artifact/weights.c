// weights.c - constants to their places in the file: HBuf.data, in the physical order HBuf.lay says, at HBuf.coffset. They pass through
// neither LLVM nor the linker; what needs no packing is written straight from the mapped model.
#include "codegen/artifact/artifact.h"
#include <string.h>
#include <unistd.h>

bool write_at(int fd, const void *p, size_t n, int64_t at) {
  for (const char *c = p; n;) {
    ssize_t w = pwrite(fd, c, n < 1u << 30 ? n : 1u << 30, at);
    if (w <= 0) return false;
    c += w, n -= (size_t)w, at += w;
  }
  return true;
}

/* ---- a stream of elements, packed below 8 bits ---- */
enum { CHUNK = 1 << 18 };
typedef struct Out {
  int fd;
  int64_t at;
  bool ok;
  size_t n;
  int bits, fill_bits; // of an element; bits of `part` that are used
  unsigned part;
  unsigned char buf[CHUNK];
} Out;
static void flush(Out *o) {
  if (o->ok && o->n) o->ok = write_at(o->fd, o->buf, o->n, o->at);
  o->at += (int64_t)o->n, o->n = 0;
}
static void put_byte(Out *o, unsigned char c) {
  if (o->n == CHUNK) flush(o);
  o->buf[o->n++] = c;
}
static void put_small(Out *o, unsigned v) {
  o->part |= v << o->fill_bits;
  if ((o->fill_bits += o->bits) < 8) return;
  put_byte(o, (unsigned char)o->part);
  o->part = 0, o->fill_bits = 0;
}
static unsigned get_small(const unsigned char *p, int64_t i, int bits) { return p[i * bits / 8] >> (i * bits % 8) & ((1u << bits) - 1); }
// n elements from src, `step` elements apart.
static void put_run(Out *o, const unsigned char *src, int64_t from, int64_t step, int64_t n) {
  if (o->bits < 8) {
    for (int64_t i = 0; i < n; i++) put_small(o, get_small(src, from + i * step, o->bits));
    return;
  }
  size_t e = (size_t)o->bits / 8;
  for (int64_t i = 0; i < n;) {
    if (o->n + e > CHUNK) flush(o);
    int64_t room = (int64_t)((CHUNK - o->n) / e), k = n - i < room ? n - i : room;
    const unsigned char *s = src + (size_t)(from + i * step) * e;
    unsigned char *d = o->buf + o->n;
    if (step == 1) memcpy(d, s, (size_t)k * e);
    else if (e == 4)
      for (int64_t j = 0; j < k; j++) memcpy(d + j * 4, s + j * step * 4, 4);
    else
      for (int64_t j = 0; j < k; j++) memcpy(d + (size_t)j * e, s + (size_t)(j * step) * e, e);
    o->n += (size_t)k * e, i += k;
  }
}
static void put_fill(Out *o, const unsigned char *fill, int64_t n) {
  for (int64_t i = 0; i < n; i++) put_run(o, fill, 0, 1, 1);
}

/* ---- the physical order: a mixed radix number, part 0 outermost ---- */
typedef struct Pack {
  const Layout *lay;
  const Tensor *t;
  Out *out;
  int64_t ext[12], stride[MAX_RANK], index[MAX_RANK]; // index: of each axis, halo included, from the parts fixed so far
  unsigned char fill[16];
} Pack;
static int64_t cells(const Pack *p, int axis) { return p->t->dim[axis] + p->lay->lo[axis] + p->lay->hi[axis]; }
static bool inside(const Pack *p, int skip) {
  for (int a = 0; a < p->t->rank; a++) {
    int64_t i = p->index[a] - p->lay->lo[a];
    if (a != skip && (i < 0 || i >= p->t->dim[a])) return false;
  }
  return true;
}
// The innermost part: a run of cells along one axis, of which lo..hi lie inside the tensor.
static void pack_run(Pack *p, int part) {
  int axis = p->lay->axis[part];
  int64_t div = p->lay->div[part], n = p->ext[part], from = p->index[axis] - p->lay->lo[axis], at = 0;
  int64_t lo = from >= 0 ? 0 : (-from + div - 1) / div, hi = p->t->dim[axis] - from <= 0 ? 0 : (p->t->dim[axis] - from + div - 1) / div;
  if (lo > n) lo = n;
  if (hi > n) hi = n;
  if (hi < lo || !inside(p, axis)) hi = lo = n;
  for (int a = 0; a < p->t->rank; a++) at += (p->index[a] - p->lay->lo[a]) * p->stride[a];
  put_fill(p->out, p->fill, lo);
  if (hi > lo) put_run(p->out, p->t->data, at + lo * div * p->stride[axis], div * p->stride[axis], hi - lo);
  put_fill(p->out, p->fill, n - hi);
}
static void pack(Pack *p, int part) {
  if (part == p->lay->n - 1) {
    pack_run(p, part);
    return;
  }
  int axis = p->lay->axis[part];
  int64_t base = p->index[axis];
  for (int64_t i = 0; i < p->ext[part]; i++) {
    p->index[axis] = base + i * p->lay->div[part];
    pack(p, part + 1);
  }
  p->index[axis] = base;
}
static bool write_packed(int fd, int64_t at, const Tensor *t, const Layout *lay) {
  static Out o;
  o = (Out){.fd = fd, .at = at, .ok = true, .bits = dtypes[t->dtype].bits};
  Pack p = {.lay = lay, .t = t, .out = &o};
  Tensor *one = tensor_new(t->dtype, 0, NULL, NULL);
  tensor_set_float(one, 0, lay->fill);
  memcpy(p.fill, one->data, (size_t)one->bytes);
  for (int64_t a = t->rank - 1, s = 1; a >= 0; s *= t->dim[a--]) p.stride[a] = s;
  for (int k = 0; k < lay->n; k++) p.ext[k] = lay->mod[k] ? lay->mod[k] : (cells(&p, lay->axis[k]) + lay->div[k] - 1) / lay->div[k];
  pack(&p, 0);
  if (o.fill_bits) put_byte(&o, (unsigned char)o.part);
  flush(&o);
  return o.ok;
}
bool weights_write(int fd, int64_t at, Program *p) {
  for (int i = 0; i < p->nbuf; i++) {
    const HBuf *b = p->buf[i];
    if (b->place != PLACE_CONST || !b->data) continue;
    if (b->data->dtype == DT_STR) bug("a string constant (%s) among the weights", b->name);
    bool ok = b->lay && b->lay->n ? write_packed(fd, at + b->coffset, b->data, b->lay)
                                  : write_at(fd, b->data->data, (size_t)b->data->bytes, at + b->coffset);
    if (!ok) return false;
  }
  return true;
}
