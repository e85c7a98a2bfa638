/* regex.c - a regular expression becomes a tree, the tree a program for a machine that follows all ways through it at once, in the order a
   backtracking matcher would try them. So matching is linear in the text whatever the pattern, and alternatives keep their priority.
   Left out, and refused: back references (RE2 has none), Unicode classes (\p), \C. */
#include "regex.h"
#include <string.h>

enum { MAX_REPEAT = 1000, MAX_CODE = 50000, MAX_DEPTH = 200, MAX_PATTERN = 20000, NONE = -1 };
typedef enum NodeKind { N_EMPTY, N_SET, N_CAT, N_ALT, N_REPEAT, N_ASSERT } NodeKind;
typedef enum Assert { AT_TEXT_START, AT_TEXT_END, AT_LINE_START, AT_LINE_END, AT_WORD, AT_NO_WORD } Assert;
typedef struct NodeR {
  NodeKind kind;
  int a, b;    /* CAT, ALT: operands; REPEAT: a; SET: ranges first..first+n */
  int lo, hi;  /* REPEAT, hi -1: no bound; SET: hi is n */
  bool flag;   /* REPEAT: lazy; SET: case is ignored */
  bool negate; /* SET */
  Assert what;
} NodeR;
typedef struct Range {
  uint32_t lo, hi;
} Range;
typedef enum Opcode { I_SET, I_SPLIT, I_JUMP, I_ASSERT, I_MATCH } Opcode;
typedef struct Code {
  Opcode op;
  int a, b; /* SPLIT: first, second choice; JUMP: a; SET, ASSERT: node */
} Code;
typedef struct Pool { /* growable, of one element size */
  char *p;
  uint64_t n, cap;
} Pool;
struct Regex {
  uint64_t size; /* of this block */
  tn_call *call;
  Pool node, range, code;
  Pool work; /* thread lists, marks, stack */
  const char *bad;
  const char *p, *end; /* the pattern, while it is parsed */
  bool fold, dot_nl, multi, swap;
  int depth;
};

static int add(Regex *r, Pool *pool, const void *item, uint64_t size) {
  if ((pool->n + 1) * size > pool->cap) {
    uint64_t cap = pool->cap ? pool->cap * 2 : 64 * size;
    char *q = tn_alloc(r->call->f->run->m, cap);
    if (!q) return r->bad = "there is no memory", 0;
    if (pool->n) memcpy(q, pool->p, pool->n * size);
    tn_free(r->call->f->run->m, pool->p, pool->cap);
    pool->p = q, pool->cap = cap;
  }
  memcpy(pool->p + pool->n * size, item, size);
  return (int)pool->n++;
}
static NodeR *node(const Regex *r, int i) { return (NodeR *)(void *)r->node.p + i; }
static Range *range(const Regex *r, int i) { return (Range *)(void *)r->range.p + i; }
static Code *code(const Regex *r, int i) { return (Code *)(void *)r->code.p + i; }
static int new_node(Regex *r, NodeR n) { return add(r, &r->node, &n, sizeof n); }
static int refuse(Regex *r, const char *why) {
  if (!r->bad) r->bad = why;
  r->p = r->end;
  return new_node(r, (NodeR){.kind = N_EMPTY});
}

/* ---- sets of code points ---- */
static void add_range(Regex *r, uint32_t lo, uint32_t hi) { add(r, &r->range, &(Range){lo, hi}, sizeof(Range)); }
static void add_outside(Regex *r, const Range *set, int n) { /* all that n sorted ranges leave out */
  uint32_t at = 0;
  for (int i = 0; i < n; i++) {
    if (set[i].lo > at) add_range(r, at, set[i].lo - 1);
    at = set[i].hi + 1;
  }
  if (at <= 0x10ffff) add_range(r, at, 0x10ffff);
}
typedef struct Named {
  const char *name;
  int n;
  Range set[5];
} Named;
static const Named perl[] = {
    {"d", 1, {{'0', '9'}}}, {"s", 3, {{9, 10}, {12, 13}, {32, 32}}}, {"w", 4, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}}};
static const Named posix[] = {{"alnum", 3, {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
                              {"alpha", 2, {{'A', 'Z'}, {'a', 'z'}}},
                              {"ascii", 1, {{0, 127}}},
                              {"blank", 2, {{9, 9}, {32, 32}}},
                              {"cntrl", 2, {{0, 31}, {127, 127}}},
                              {"digit", 1, {{'0', '9'}}},
                              {"graph", 1, {{33, 126}}},
                              {"lower", 1, {{'a', 'z'}}},
                              {"print", 1, {{32, 126}}},
                              {"punct", 4, {{33, 47}, {58, 64}, {91, 96}, {123, 126}}},
                              {"space", 2, {{9, 13}, {32, 32}}},
                              {"upper", 1, {{'A', 'Z'}}},
                              {"word", 4, {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}},
                              {"xdigit", 3, {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}}};
static bool add_named(Regex *r, const Named *table, size_t rows, const char *name, size_t len, bool negate) {
  for (size_t i = 0; i < rows; i++) {
    if (strlen(table[i].name) != len || memcmp(table[i].name, name, len)) continue;
    if (negate) add_outside(r, table[i].set, table[i].n);
    else
      for (int k = 0; k < table[i].n; k++) add_range(r, table[i].set[k].lo, table[i].set[k].hi);
    return true;
  }
  return false;
}
static bool add_perl(Regex *r, char c) { /* \d \S .. */
  char lower = (char)(c | 32);
  return add_named(r, perl, sizeof perl / sizeof *perl, &lower, 1, !(c & 32));
}
static int set_node(Regex *r, int first) {
  return new_node(r, (NodeR){.kind = N_SET, .a = first, .hi = (int)r->range.n - first, .flag = r->fold});
}
static int one(Regex *r, uint32_t c) {
  int first = (int)r->range.n;
  add_range(r, c, c);
  return set_node(r, first);
}
static int any(Regex *r) {
  int first = (int)r->range.n;
  Range newline = {'\n', '\n'};
  if (r->dot_nl) add_range(r, 0, 0x10ffff);
  else add_outside(r, &newline, 1);
  return set_node(r, first);
}

/* ---- parsing ---- */
static bool more(const Regex *r) { return r->p < r->end; }
static bool eat(Regex *r, const char *s) {
  size_t n = strlen(s);
  if ((size_t)(r->end - r->p) < n || memcmp(r->p, s, n)) return false;
  r->p += n;
  return true;
}
static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }
static uint32_t hex_escape(Regex *r) { /* behind \x */
  uint32_t v = 0;
  bool braces = eat(r, "{");
  int n = 0;
  while (more(r) && hex(*r->p) >= 0 && n < (braces ? 6 : 2)) v = v * 16 + (uint32_t)hex(*r->p++), n++;
  if ((braces && !eat(r, "}")) || !n || (!braces && n != 2) || v > 0x10ffff) refuse(r, "\\x wants two digits, or {digits}");
  return v;
}
static uint32_t escaped(Regex *r) { /* one character behind a backslash */
  static const char from[] = "afnrtv", to[] = "\a\f\n\r\t\v";
  if (!more(r)) return refuse(r, "a backslash is last"), 0;
  char c = *r->p;
  if (c == 'x') return r->p++, hex_escape(r);
  for (int i = 0; from[i]; i++)
    if (c == from[i]) return r->p++, (uint32_t)(unsigned char)to[i];
  if (c >= '0' && c <= '7') {
    uint32_t v = 0;
    if (c != '0' && !(r->end - r->p > 1 && r->p[1] >= '0' && r->p[1] <= '7')) return refuse(r, "back references are not supported"), 0;
    for (int i = 0; i < 3 && more(r) && *r->p >= '0' && *r->p <= '7'; i++) v = v * 8 + (uint32_t)(*r->p++ - '0');
    return v;
  }
  bool word = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
  if (word) return refuse(r, c == 'p' || c == 'P' ? "Unicode classes (\\p) are not supported" : "an unknown escape"), 0;
  return utf_next(&r->p, r->end);
}
static bool is_perl(char c) { return c && strchr("dswDSW", c); }
static void bracket_item(Regex *r) {
  if (eat(r, "[:")) {
    bool negate = eat(r, "^");
    const char *name = r->p;
    while (more(r) && *r->p != ':') r->p++;
    size_t n = (size_t)(r->p - name);
    if (!eat(r, ":]") || !add_named(r, posix, sizeof posix / sizeof *posix, name, n, negate)) refuse(r, "an unknown [:class:]");
    return;
  }
  uint32_t lo, hi;
  if (eat(r, "\\")) {
    if (more(r) && is_perl(*r->p)) return (void)add_perl(r, *r->p++);
    lo = escaped(r);
  } else lo = utf_next(&r->p, r->end);
  hi = lo;
  if (r->end - r->p > 1 && *r->p == '-' && r->p[1] != ']') {
    r->p++;
    hi = eat(r, "\\") ? escaped(r) : utf_next(&r->p, r->end);
  }
  if (hi < lo) refuse(r, "a range in [] is empty");
  else add_range(r, lo, hi);
}
static int bracket(Regex *r) { /* behind [ */
  int first = (int)r->range.n;
  bool negate = eat(r, "^");
  if (eat(r, "]")) add_range(r, ']', ']');
  while (more(r) && *r->p != ']') bracket_item(r);
  if (!eat(r, "]")) refuse(r, "a [ is not closed");
  int n = set_node(r, first);
  node(r, n)->negate = negate;
  return n;
}
static int assertion(Regex *r, Assert a) { return new_node(r, (NodeR){.kind = N_ASSERT, .what = a}); }
static int alternatives(Regex *r);
static void flags(Regex *r) { /* (?i-s: or (?i) */
  bool on = true;
  for (; more(r) && *r->p != ':' && *r->p != ')'; r->p++) switch (*r->p) {
    case '-': on = false; break;
    case 'i': r->fold = on; break;
    case 's': r->dot_nl = on; break;
    case 'm': r->multi = on; break;
    case 'U': r->swap = on; break;
    default: refuse(r, "an unknown flag in (?"); return;
    }
}
static int group(Regex *r) { /* behind ( */
  bool fold = r->fold, dot_nl = r->dot_nl, multi = r->multi, swap = r->swap;
  if (++r->depth > MAX_DEPTH) return refuse(r, "groups are nested too deeply");
  if (eat(r, "?")) {
    if (eat(r, "P<") || (r->end - r->p > 1 && *r->p == '<' && r->p[1] != '=' && r->p[1] != '!' && eat(r, "<"))) {
      while (more(r) && *r->p++ != '>') {
      }
    } else {
      flags(r);
      if (eat(r, ")")) return r->depth--, new_node(r, (NodeR){.kind = N_EMPTY}); /* flags to the end of the group around */
      if (!eat(r, ":")) return refuse(r, "an unknown group (?");
    }
  }
  int n = alternatives(r);
  if (!eat(r, ")")) return refuse(r, "a ( is not closed");
  r->fold = fold, r->dot_nl = dot_nl, r->multi = multi, r->swap = swap, r->depth--;
  return n;
}
static int escape(Regex *r) { /* behind a backslash, outside [] */
  if (!more(r)) return refuse(r, "a backslash is last");
  char c = *r->p;
  if (is_perl(c)) {
    int first = (int)r->range.n;
    r->p++, add_perl(r, c);
    return set_node(r, first);
  }
  if (c == 'b' || c == 'B') return r->p++, assertion(r, c == 'b' ? AT_WORD : AT_NO_WORD);
  if (c == 'A') return r->p++, assertion(r, AT_TEXT_START);
  if (c == 'z') return r->p++, assertion(r, AT_TEXT_END);
  if (c == 'Q') {
    int all = new_node(r, (NodeR){.kind = N_EMPTY});
    for (r->p++; more(r) && !eat(r, "\\E");) {
      int next = one(r, utf_next(&r->p, r->end));
      all = new_node(r, (NodeR){.kind = N_CAT, .a = all, .b = next});
    }
    return all;
  }
  return one(r, escaped(r));
}
static int atom(Regex *r) {
  if (eat(r, "(")) return group(r);
  if (eat(r, "[")) return bracket(r);
  if (eat(r, ".")) return any(r);
  if (eat(r, "^")) return assertion(r, r->multi ? AT_LINE_START : AT_TEXT_START);
  if (eat(r, "$")) return assertion(r, r->multi ? AT_LINE_END : AT_TEXT_END);
  if (eat(r, "\\")) return escape(r);
  if (strchr("*+?", *r->p)) return refuse(r, "a repetition has nothing to repeat");
  return one(r, utf_next(&r->p, r->end));
}
static bool counts(Regex *r, int *lo, int *hi) { /* {m} {m,} {m,n}; anything else is plain text */
  const char *start = r->p;
  int v[2] = {0, NONE}, k = 0, digits = 0;
  for (r->p++; more(r); r->p++) {
    if (*r->p >= '0' && *r->p <= '9') v[k] = (v[k] < 0 ? 0 : v[k]) * 10 + (*r->p - '0'), digits++;
    else if (*r->p == ',' && !k && digits) k = 1;
    else break;
    if (v[k] > MAX_REPEAT) return refuse(r, "a repetition is larger than 1000"), false;
  }
  if (!digits || !eat(r, "}")) return r->p = start, false;
  *lo = v[0], *hi = k ? v[1] : v[0];
  if (*hi != NONE && *hi < *lo) refuse(r, "a repetition's bounds are the wrong way round");
  return true;
}
static int repeated(Regex *r) {
  int n = atom(r);
  while (more(r)) {
    int lo = 0, hi = NONE;
    if (eat(r, "+")) lo = 1;
    else if (eat(r, "?")) hi = 1;
    else if (!eat(r, "*") && !(*r->p == '{' && counts(r, &lo, &hi))) break;
    bool lazy = eat(r, "?") != r->swap;
    n = new_node(r, (NodeR){.kind = N_REPEAT, .a = n, .lo = lo, .hi = hi, .flag = lazy});
  }
  return n;
}
static int sequence(Regex *r) {
  int n = new_node(r, (NodeR){.kind = N_EMPTY});
  while (more(r) && *r->p != '|' && *r->p != ')') {
    bool text = *r->p == '{'; /* a brace that starts no repetition */
    int next = text ? (r->p++, one(r, '{')) : repeated(r);
    n = new_node(r, (NodeR){.kind = N_CAT, .a = n, .b = next});
  }
  return n;
}
static int alternatives(Regex *r) {
  int n = sequence(r);
  while (eat(r, "|")) {
    int next = sequence(r);
    n = new_node(r, (NodeR){.kind = N_ALT, .a = n, .b = next});
  }
  return n;
}

/* ---- the program ---- */
static int emit(Regex *r, Opcode op, int a, int b) {
  if (r->code.n >= MAX_CODE) r->bad = "it is too large";
  return r->bad ? 0 : add(r, &r->code, &(Code){op, a, b}, sizeof(Code));
}
static int here(const Regex *r) { return (int)r->code.n; }
static void compile(Regex *r, int i);
static void compile_repeat(Regex *r, NodeR n) {
  for (int k = 0; k < n.lo && !r->bad; k++) compile(r, n.a);
  if (n.hi == NONE) { /* L: split body, out; body; jump L */
    int at = emit(r, I_SPLIT, 0, 0);
    compile(r, n.a);
    emit(r, I_JUMP, at, 0);
    *code(r, at) = n.flag ? (Code){I_SPLIT, here(r), at + 1} : (Code){I_SPLIT, at + 1, here(r)};
    return;
  }
  int first = NONE, last = NONE, count = n.hi - n.lo; /* each may be left out, and then so are the rest: patched to the end */
  for (int k = 0; k < count && !r->bad; k++) {
    int at = emit(r, I_SPLIT, last, 0);
    last = at;
    if (first == NONE) first = at;
    compile(r, n.a);
  }
  while (last != NONE && !r->bad) {
    int before = code(r, last)->a;
    *code(r, last) = n.flag ? (Code){I_SPLIT, here(r), last + 1} : (Code){I_SPLIT, last + 1, here(r)};
    last = before;
  }
}
static void compile(Regex *r, int i) {
  if (r->bad) return;
  NodeR n = *node(r, i);
  switch (n.kind) {
  case N_EMPTY: return;
  case N_SET: emit(r, I_SET, i, 0); return;
  case N_ASSERT: emit(r, I_ASSERT, i, 0); return;
  case N_CAT: compile(r, n.a), compile(r, n.b); return;
  case N_ALT: {
    int at = emit(r, I_SPLIT, 0, 0);
    compile(r, n.a);
    int over = emit(r, I_JUMP, 0, 0);
    if (r->bad) return;
    *code(r, at) = (Code){I_SPLIT, at + 1, here(r)};
    compile(r, n.b);
    code(r, over)->a = here(r);
    return;
  }
  case N_REPEAT: compile_repeat(r, n); return;
  }
}
Regex *regex_new(tn_call *c, tenon_str pattern) {
  uint64_t size;
  Regex *r = op_temp(c, sizeof *r, &size);
  if (!r) return NULL;
  memset(r, 0, sizeof *r);
  r->size = size, r->call = c, r->p = pattern.data, r->end = pattern.data + pattern.len;
  if (!pattern.len) r->p = r->end = "";
  int root = pattern.len > MAX_PATTERN ? refuse(r, "it is longer than 20000 bytes") : alternatives(r);
  if (!r->bad && more(r)) r->bad = "a ) has no (";
  compile(r, root);
  emit(r, I_MATCH, 0, 0);
  uint64_t n = r->code.n, words = 4 * n + 2 * n + 64; /* two lists, marks, stack */
  if (!r->bad && !(r->work.p = tn_alloc(c->f->run->m, r->work.cap = words * 8))) r->bad = "there is no memory";
  if (!r->bad) {
    memset(r->work.p, 0, r->work.cap);
    return r;
  }
  tn_op_fail(c, "the pattern '%.*s' cannot be used: %s", pattern.len < 200 ? (int)pattern.len : 200, pattern.data, r->bad);
  regex_free(c, r);
  return NULL;
}
void regex_free(tn_call *c, Regex *r) {
  tenon_model *m = c->f->run->m;
  tn_free(m, r->node.p, r->node.cap), tn_free(m, r->range.p, r->range.cap);
  tn_free(m, r->code.p, r->code.cap), tn_free(m, r->work.p, r->work.cap);
  tn_free(m, r, r->size);
}

/* ---- matching ---- */
static bool in_ranges(const Regex *r, const NodeR *n, uint32_t c) {
  for (int i = 0; i < n->hi; i++)
    if (c >= range(r, n->a + i)->lo && c <= range(r, n->a + i)->hi) return true;
  return false;
}
static bool in_set(const Regex *r, const NodeR *n, uint32_t c) {
  bool in = in_ranges(r, n, c) || (n->flag && (in_ranges(r, n, utf_lower(c)) || in_ranges(r, n, utf_upper(c))));
  return in != n->negate;
}
static bool word_at(tenon_str s, const char *p) { /* is there a word character at p? */
  if (p < s.data || p >= s.data + s.len) return false;
  char c = *p;
  return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}
static bool holds(Assert a, tenon_str s, const char *p) {
  switch (a) {
  case AT_TEXT_START: return p == s.data;
  case AT_TEXT_END: return p == s.data + s.len;
  case AT_LINE_START: return p == s.data || p[-1] == '\n';
  case AT_LINE_END: return p == s.data + s.len || *p == '\n';
  case AT_WORD: return word_at(s, p - 1) != word_at(s, p);
  case AT_NO_WORD: return word_at(s, p - 1) == word_at(s, p);
  }
  return false;
}
typedef struct Machine {
  const Regex *r;
  tenon_str s;
  int64_t *list[2], n[2], *mark, *stack, stamp;
} Machine;
static Machine machine(Regex *r, tenon_str s) {
  int64_t n = (int64_t)r->code.n, *w = (int64_t *)(void *)r->work.p;
  Machine m = {r, s, {w, w + n}, {0, 0}, w + 2 * n, w + 3 * n, 0};
  memset(m.mark, 0, (size_t)n * 8);
  return m;
}
/* Puts pc, and all that is reached from it without a character, on list k in order of priority. */
static void follow(Machine *m, int k, int pc, const char *p) {
  int64_t depth = 0;
  for (m->stack[depth++] = pc; depth;) {
    int64_t at = m->stack[--depth];
    if (m->mark[at] == m->stamp) continue;
    m->mark[at] = m->stamp;
    const Code *x = code(m->r, (int)at);
    if (x->op == I_JUMP) m->stack[depth++] = x->a;
    else if (x->op == I_SPLIT) m->stack[depth++] = x->b, m->stack[depth++] = x->a;
    else if (x->op != I_ASSERT) m->list[k][m->n[k]++] = at;
    else if (holds(node(m->r, x->a)->what, m->s, p)) m->stack[depth++] = at + 1;
  }
}
/* Where the preferred match that starts at `start` ends, or NULL; whole: only one that ends with the text counts. */
static const char *match(Regex *r, tenon_str s, const char *start, bool whole) {
  Machine m = machine(r, s);
  const char *p = start, *end = s.data + s.len, *found = NULL;
  m.stamp = 1;
  follow(&m, 0, 0, p);
  for (int k = 0; m.n[k]; k = !k) {
    const char *next = p;
    uint32_t c = p < end ? utf_next(&next, end) : 0;
    m.stamp++, m.n[!k] = 0;
    for (int64_t i = 0; i < m.n[k]; i++) {
      const Code *x = code(r, (int)m.list[k][i]);
      if (x->op == I_MATCH) {
        if (whole && p != end) continue;
        found = p;
        break; /* what comes behind has lower priority */
      }
      if (p < end && in_set(r, node(r, x->a), c)) follow(&m, !k, (int)m.list[k][i] + 1, next);
    }
    if (p >= end) break;
    p = next;
  }
  return found;
}
bool regex_full(Regex *r, tenon_str s) {
  if (!s.len) s.data = "";
  return match(r, s, s.data, true);
}
bool regex_search(Regex *r, tenon_str s, uint64_t from, uint64_t *start, uint64_t *end) {
  if (!s.len) s.data = "";
  const char *stop = s.data + s.len;
  for (const char *p = s.data + from;; utf_next(&p, stop)) {
    const char *e = match(r, s, p, false);
    if (e) return *start = (uint64_t)(p - s.data), *end = (uint64_t)(e - s.data), true;
    if (p >= stop) return false;
  }
}
