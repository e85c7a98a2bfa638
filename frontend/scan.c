// scan.c - the wire format, checked before anything is unpacked.
// Before: any bytes. After: every tag, varint and length lies inside its message, no message nests deeper than 100, no singular field
// comes twice, strings are UTF-8 without NUL, and unpacking stays within a multiple of the file's size.
//
// protobuf-c alone would recurse without limit, merge repeated singular messages in quadratic time, cut names at NUL and copy every
// byte. So it gets a rewritten message: unknown fields are cut out, and large raw_data is replaced by its place in the file. The length
// prefixes around a cut keep their size (a varint may be padded), so one pass suffices.
#include "import.h"
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 100, MAPPED_FIELD = 2046, MAPPED_MIN = 1024, FIELD_COST = 48 };
static const int64_t unpack_base = 64 << 20, unpack_factor = 16;

typedef struct Edit { // bytes from..to of the file become `n` bytes of `by`
  size_t from, to;
  uint8_t by[20];
  int n;
} Edit;

typedef struct Frame { // a message that is being read
  const ProtobufCMessageDescriptor *type;
  size_t end, length_at;
  int length_size;
  int64_t grown; // how many bytes longer its rewritten form is (mostly negative)
  uint64_t seen; // singular fields, by position in the descriptor
} Frame;

typedef struct Scan {
  const uint8_t *p;
  size_t n, at;
  const char *file;
  Frame stack[DEPTH_MAX + 1];
  int depth;
  Edit *edit;
  int nedit, cedit;
  int64_t cost; // estimated bytes after unpacking
} Scan;

_Noreturn static void bad(const Scan *s, Exit code, const char *what) {
  Where w = {.file = s->file, .offset = (int64_t)s->at, .node_index = -1};
  fail(code, code == EXIT_LIMIT ? "limit.model" : "wire.malformed", &w, "%s (at byte %zu)", what, s->at);
}

static Frame *top(Scan *s) { return &s->stack[s->depth - 1]; }

static uint64_t varint(Scan *s, int *size) {
  uint64_t v = 0;
  size_t end = top(s)->end;
  for (int k = 0; k < 10; k++) {
    if (s->at >= end) bad(s, EXIT_INVALID, "the file ends inside a number");
    uint8_t b = s->p[s->at++];
    v |= (uint64_t)(b & 0x7f) << 7 * k;
    *size = k + 1;
    if (!(b & 0x80)) return v;
  }
  bad(s, EXIT_INVALID, "a number is longer than 10 bytes");
}

static size_t length(Scan *s, int *size) {
  uint64_t v = varint(s, size);
  if (*size > 5 || v > INT32_MAX || v > top(s)->end - s->at) bad(s, EXIT_INVALID, "a length goes beyond the end of its message");
  return (size_t)v;
}

static void add_cost(Scan *s, uint64_t bytes) {
  s->cost += (int64_t)bytes;
  if (s->cost > unpack_base + unpack_factor * (int64_t)s->n)
    bad(s, EXIT_LIMIT, "the model would take far more memory than its file suggests");
}

static void add_edit(Scan *s, Edit e) {
  Edit *last = s->nedit ? &s->edit[s->nedit - 1] : NULL;
  top(s)->grown += e.n - (int64_t)(e.to - e.from);
  if (last && !e.n && !last->n && last->to == e.from) last->to = e.to;
  else PUSH(s->edit, s->nedit, s->cedit, e);
}

/* ---- strings ---- */

static size_t utf8_length(const uint8_t *p, size_t n) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (p[0] < 0x80) return 1;
  size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
  if (p[0] < 0xc2 || p[0] > 0xf4 || len > n) return 0;
  uint32_t c = p[0] & (0x7fu >> len);
  for (size_t k = 1; k < len; k++) {
    if ((p[k] & 0xc0) != 0x80) return 0;
    c = c << 6 | (p[k] & 0x3fu);
  }
  return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static void check_string(const Scan *s, size_t n) {
  const uint8_t *p = s->p + s->at;
  if (memchr(p, 0, n)) bad(s, EXIT_INVALID, "a name holds a NUL byte");
  for (size_t k = 0; k < n;) {
    size_t len = utf8_length(p + k, n - k);
    if (!len) bad(s, EXIT_INVALID, "a name is not valid UTF-8");
    k += len;
  }
}

/* ---- fields ---- */

static int wire_type(ProtobufCType t) {
  switch (t) {
  case PROTOBUF_C_TYPE_STRING:
  case PROTOBUF_C_TYPE_BYTES:
  case PROTOBUF_C_TYPE_MESSAGE: return 2;
  case PROTOBUF_C_TYPE_FLOAT:
  case PROTOBUF_C_TYPE_FIXED32:
  case PROTOBUF_C_TYPE_SFIXED32: return 5;
  case PROTOBUF_C_TYPE_DOUBLE:
  case PROTOBUF_C_TYPE_FIXED64:
  case PROTOBUF_C_TYPE_SFIXED64: return 1;
  default: return 0;
  }
}

static void skip_value(Scan *s, int wire) {
  int size;
  switch (wire) {
  case 0: varint(s, &size); return;
  case 1:
  case 5: {
    size_t n = wire == 1 ? 8 : 4;
    if (n > top(s)->end - s->at) bad(s, EXIT_INVALID, "the file ends inside a number");
    s->at += n;
    return;
  }
  case 2: {
    size_t n = length(s, &size);
    s->at += n;
    return;
  }
  default: bad(s, EXIT_INVALID, "a field of a type that ONNX does not have");
  }
}

static void packed(Scan *s, const ProtobufCFieldDescriptor *f, size_t n) {
  size_t end = s->at + n, back = top(s)->end;
  int size, wire = wire_type(f->type);
  if (wire == 1 || wire == 5) {
    size_t each = wire == 1 ? 8 : 4;
    if (n % each) bad(s, EXIT_INVALID, "a packed list has a part of a number at its end");
    add_cost(s, n);
    s->at = end;
    return;
  }
  top(s)->end = end;
  while (s->at < end) {
    varint(s, &size);
    add_cost(s, 8);
  }
  top(s)->end = back;
}

static void put_fixed64(Edit *e, int field, uint64_t v) {
  unsigned tag = (unsigned)field << 3 | 1;
  e->by[e->n++] = (uint8_t)(tag | 0x80);
  e->by[e->n++] = (uint8_t)(tag >> 7);
  memcpy(e->by + e->n, &v, 8);
  e->n += 8;
}

static bool is_raw_data(const Scan *s, const ProtobufCFieldDescriptor *f) {
  return f->id == 9 && s->stack[s->depth - 1].type == &onnx__tensor_proto__descriptor;
}

static void map_raw_data(Scan *s, size_t tag_at, size_t n) {
  Edit e = {.from = tag_at, .to = s->at + n};
  put_fixed64(&e, MAPPED_FIELD, s->at);
  put_fixed64(&e, MAPPED_FIELD + 1, n);
  add_edit(s, e);
}

static void enter(Scan *s, const ProtobufCMessageDescriptor *type, size_t length_at, int length_size, size_t n) {
  if (s->depth > DEPTH_MAX) bad(s, EXIT_LIMIT, "messages nest deeper than 100");
  add_cost(s, type->sizeof_message);
  s->stack[s->depth++] = (Frame){.type = type, .end = s->at + n, .length_at = length_at, .length_size = length_size};
}

// A message is over: its length prefix is corrected, padded to the size it had.
static void leave(Scan *s) {
  Frame f = s->stack[--s->depth];
  if (!s->depth || !f.grown) return;
  Edit e = {.from = f.length_at, .to = f.length_at + (size_t)f.length_size, .n = f.length_size};
  uint64_t v = f.end - f.length_at - (size_t)f.length_size + (uint64_t)f.grown;
  for (int k = 0; k < e.n; k++, v >>= 7) e.by[k] = (uint8_t)((v & 0x7f) | (k + 1 < e.n ? 0x80 : 0));
  PUSH(s->edit, s->nedit, s->cedit, e);
  top(s)->grown += f.grown;
}

static void mark_seen(Scan *s, const ProtobufCFieldDescriptor *f) {
  Frame *t = top(s);
  bool one_of = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
  uint64_t bit = (uint64_t)1 << (one_of ? 63 : (int)(f - t->type->fields));
  if (t->seen & bit) {
    const char *name = t->type->name;
    bad(s, EXIT_INVALID, fmt(one_of ? "%s holds two alternatives (%s)" : "%s has its field %s twice", name, f->name));
  }
  t->seen |= bit;
}

static void known_field(Scan *s, const ProtobufCFieldDescriptor *f, int wire, size_t tag_at) {
  int size, expected = wire_type(f->type);
  bool list = f->label == PROTOBUF_C_LABEL_REPEATED;
  add_cost(s, FIELD_COST);
  if (!list) mark_seen(s, f);
  if (wire != expected && !(list && wire == 2)) bad(s, EXIT_INVALID, fmt("field %s has the wrong wire type", f->name));
  if (wire != 2) {
    skip_value(s, wire);
    return;
  }
  size_t length_at = s->at, n = length(s, &size);
  if (expected != 2) {
    packed(s, f, n);
    return;
  }
  if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
    enter(s, f->descriptor, length_at, size, n);
    return;
  }
  if (f->type == PROTOBUF_C_TYPE_STRING) check_string(s, n);
  if (is_raw_data(s, f) && n >= MAPPED_MIN) map_raw_data(s, tag_at, n);
  else add_cost(s, n);
  s->at += n;
}

static void field(Scan *s) {
  int size;
  size_t tag_at = s->at;
  uint64_t tag = varint(s, &size);
  int wire = tag & 7;
  if (tag >> 3 == 0 || tag >> 32) bad(s, EXIT_INVALID, "a field number that no message has");
  const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(top(s)->type, (unsigned)(tag >> 3));
  if (f && f->id < MAPPED_FIELD) {
    known_field(s, f, wire, tag_at);
    return;
  }
  skip_value(s, wire);
  add_edit(s, (Edit){.from = tag_at, .to = s->at});
}

/* ---- the rewritten message ---- */

static int by_place(const void *a, const void *b) {
  const Edit *x = a, *y = b;
  return (x->from > y->from) - (x->from < y->from);
}

static Wire rewrite(Scan *s) {
  if (!s->nedit) return (Wire){s->p, s->n};
  qsort(s->edit, (size_t)s->nedit, sizeof *s->edit, by_place);
  size_t n = s->n;
  for (int k = 0; k < s->nedit; k++) n = n - (s->edit[k].to - s->edit[k].from) + (size_t)s->edit[k].n;
  uint8_t *out = mem(n + 1), *o = out;
  size_t at = 0;
  for (int k = 0; k < s->nedit; k++) {
    const Edit *e = &s->edit[k];
    memcpy(o, s->p + at, e->from - at);
    o += e->from - at;
    memcpy(o, e->by, (size_t)e->n);
    o += e->n;
    at = e->to;
  }
  memcpy(o, s->p + at, s->n - at);
  return (Wire){out, n};
}

Wire scan_model(const uint8_t *bytes, size_t n, const char *file) {
  Scan *s = NEW(Scan);
  *s = (Scan){.p = bytes, .n = n, .file = file};
  if (!n) bad(s, EXIT_INVALID, "the file is empty");
  if (n > INT32_MAX) bad(s, EXIT_LIMIT, "the file is larger than 2 GiB, which protobuf does not allow");
  enter(s, &onnx__model_proto__descriptor, 0, 0, n);
  while (s->depth) {
    if (s->at == top(s)->end) leave(s);
    else field(s);
  }
  return rewrite(s);
}
