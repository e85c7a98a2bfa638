// base.c - memory, interned strings and text. Nothing is needed before; base_reset() brings back the first state.
//
// Memory comes in blocks of at least 1 MiB and is handed out in order; there is no free. Blocks are zeroed by calloc, which the
// kernel does lazily, so a big block that is hardly used costs hardly anything.
#include "base.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

typedef struct Block {
  struct Block *next;
  size_t size;
} Block;
enum { BLOCK_HEAD = 16, ALIGN = 16 }; // sizeof(Block), rounded up to the alignment
static const size_t block_min = (size_t)1 << 20;
static const size_t limit_slack = (size_t)1 << 20; // what the message about a reached limit may use
static Block *blocks;
static char *cursor, *cursor_end;
static size_t used, limit;
static bool over; // the limit was reached: the message is being made

static _Noreturn void no_memory(size_t bytes) {
  if (over) bug("no memory for the message about missing memory");
  over = true;
  if (limit) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "the compilation needs more than its limit of %zu bytes of memory", limit);
  fail(EXIT_LIMIT, "limit.memory", NOWHERE, "the system refused %zu bytes of memory (%zu are in use)", bytes, used);
}

static void *new_block(size_t bytes) {
  Block *b = calloc(1, bytes + BLOCK_HEAD);
  if (!b) no_memory(bytes);
  *b = (Block){blocks, bytes + BLOCK_HEAD};
  blocks = b;
  return (char *)b + BLOCK_HEAD;
}

// Under AddressSanitizer every piece is a block of its own, so that it sees what reaches beyond a piece.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEPARATE 1
#endif
#endif
#if !defined(SEPARATE) && defined(__SANITIZE_ADDRESS__)
#define SEPARATE 1
#endif
#ifndef SEPARATE
#define SEPARATE 0
#endif

void *mem(size_t bytes) {
  if (bytes > (SIZE_MAX >> 2)) no_memory(bytes); // also NEWN with a negative count
  if (SEPARATE && (!limit || used + bytes <= limit)) {
    used += bytes;
    return new_block(bytes);
  }
  bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
  if (limit && used + bytes > limit + (over ? limit_slack : 0)) no_memory(bytes);
  used += bytes;
  if (bytes > block_min / 4) return new_block(bytes); // a block of its own; the current one stays current
  if (!cursor || (size_t)(cursor_end - cursor) < bytes) {
    cursor = new_block(block_min);
    cursor_end = cursor + block_min;
  }
  void *p = cursor;
  cursor += bytes;
  return p;
}

void *mem_copy(const void *p, size_t bytes) {
  void *q = mem(bytes);
  if (bytes) memcpy(q, p, bytes);
  return q;
}

size_t mem_used(void) { return used; }
void mem_limit(size_t bytes) { limit = bytes; }

void *grow(void *p, int n, int *cap, size_t elem) {
  if (n < *cap) return p;
  int want = *cap ? *cap * 2 : 8;
  if (want <= n) want = n + 1;
  void *q = mem((size_t)want * elem);
  if (n) memcpy(q, p, (size_t)n * elem);
  *cap = want;
  return q;
}

char *vfmt(const char *format, va_list ap) {
  if (!format) __builtin_unreachable(); // gcc's sanitizer build wants to know
  va_list again;
  va_copy(again, ap);
  int n = vsnprintf(NULL, 0, format, ap);
  char *p = mem((size_t)n + 1);
  vsnprintf(p, (size_t)n + 1, format, again);
  va_end(again);
  return p;
}

char *fmt(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  char *p = vfmt(format, ap);
  va_end(ap);
  return p;
}

/* ---- interned strings: an open hash table of pointers; the length lies before the text ---- */

static Sym *table;
static size_t table_size, table_used; // a power of two
static uint64_t hash_bytes(const char *p, size_t n) {
  uint64_t h = 1469598103934665603u ^ n;
  for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)p[i]) * 1099511628211u;
  return h ^ h >> 29;
}

size_t sym_len(Sym s) {
  size_t n;
  memcpy(&n, s - ALIGN, sizeof n);
  return n;
}

static Sym *slot(const char *text, size_t n) {
  size_t i = hash_bytes(text, n) & (table_size - 1);
  while (table[i] && (sym_len(table[i]) != n || memcmp(table[i], text, n) != 0)) i = (i + 1) & (table_size - 1);
  return &table[i];
}

static void rehash(void) {
  Sym *old = table;
  size_t n = table_size;
  table_size = n ? n * 2 : 1024;
  table = NEWN(Sym, table_size);
  for (size_t i = 0; i < n; i++)
    if (old[i]) *slot(old[i], sym_len(old[i])) = old[i];
}

Sym sym_n(const char *text, size_t n) {
  if (table_used * 2 >= table_size) rehash();
  Sym *s = slot(text, n);
  if (*s) return *s;
  char *p = mem(ALIGN + n + 1);
  memcpy(p, &n, sizeof n);
  if (n) memcpy(p + ALIGN, text, n);
  table_used++;
  return *s = p + ALIGN;
}

Sym sym(const char *text) { return sym_n(text, strlen(text)); }

Sym sym_fmt(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  const char *p = vfmt(format, ap);
  va_end(ap);
  return sym(p);
}

/* ---- text ---- */

static void reserve(Text *t, size_t n) {
  if (t->n + n + 1 <= t->cap) return;
  size_t cap = t->cap ? t->cap * 2 : 256;
  while (cap < t->n + n + 1) cap *= 2;
  char *p = mem(cap);
  if (t->n) memcpy(p, t->p, t->n);
  t->p = p, t->cap = cap;
}

void put_n(Text *t, const void *bytes, size_t n) {
  reserve(t, n);
  if (n) memcpy(t->p + t->n, bytes, n);
  t->n += n;
  t->p[t->n] = 0;
}

void put(Text *t, const char *format, ...) {
  if (!format) __builtin_unreachable();
  va_list ap, again;
  va_start(ap, format);
  va_copy(again, ap);
  reserve(t, 80);
  size_t room = t->cap - t->n;
  int n = vsnprintf(t->p + t->n, room, format, ap);
  if ((size_t)n >= room) {
    reserve(t, (size_t)n);
    vsnprintf(t->p + t->n, (size_t)n + 1, format, again);
  }
  t->n += (size_t)n;
  va_end(ap);
  va_end(again);
}

// Length of the well-formed UTF-8 sequence at s, 0 if there is none. C1 controls count as none, so they are escaped.
static size_t utf8(const unsigned char *s, size_t n) {
  size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
  if (!len || len > n) return 0;
  uint32_t c = len == 1 ? s[0] : s[0] & (0x7fu >> len);
  for (size_t i = 1; i < len; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0;
    c = c << 6 | (s[i] & 0x3f);
  }
  bool overlong = (len == 3 && c < 0x800) || (len == 4 && c < 0x10000), surrogate = c >= 0xd800 && c < 0xe000;
  bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  return overlong || surrogate || control || c > 0x10ffff ? 0 : len;
}

void put_quoted(Text *t, const char *s, size_t n) {
  put_n(t, "\"", 1);
  for (size_t i = 0; i < n;) {
    unsigned char c = (unsigned char)s[i];
    size_t len = utf8((const unsigned char *)s + i, n - i);
    if (c == '\n') put_n(t, "\\n", 2);
    else if (c == '\t') put_n(t, "\\t", 2);
    else if (c == '"' || c == '\\') put(t, "\\%c", c);
    else if (len) put_n(t, s + i, len);
    else put(t, "\\x%02X", c);
    i += len ? len : 1;
  }
  put_n(t, "\"", 1);
}

/* ---- reset ---- */

static void (*resets[64])(void);
static int nreset;

void at_reset(void (*f)(void)) {
  for (int i = 0; i < nreset; i++)
    if (resets[i] == f) return;
  if (nreset == (int)(sizeof resets / sizeof *resets)) bug("more than %d modules registered with at_reset", nreset);
  resets[nreset++] = f;
}

void base_reset(void) {
  for (int i = 0; i < nreset; i++) resets[i]();
  while (blocks) {
    Block *b = blocks;
    blocks = b->next;
    free(b);
  }
  cursor = cursor_end = NULL;
  used = 0, over = false;
  table = NULL, table_size = table_used = 0;
}
