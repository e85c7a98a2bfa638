/* host_string.c - string tensors: picking, comparing, joining, splitting, normalizing, tokenizing. */
#include "regex.h"
#include <string.h>

static const tenon_str *strings(const tn_tensor *t) { return t->data; }
static bool same(tenon_str a, tenon_str b) { return a.len == b.len && (!a.len || !memcmp(a.data, b.data, a.len)); }

/* ---- results made string by string ---- */
typedef struct Build {
  Chars text;
  uint64_t *end, n, size;
} Build;
static bool build_start(tn_call *c, Build *b, int64_t n) {
  *b = (Build){0};
  b->end = op_temp(c, (uint64_t)n * 8, &b->size);
  return b->end;
}
static void build_end(Build *b) { b->end[b->n++] = b->text.n; } /* a string is complete */
static void build_finish(tn_call *c, Build *b, uint32_t k, int32_t rank, const int64_t *dim) {
  tenon_value v;
  if (val_strings(c, &v, rank, dim, &b->text, b->end)) op_out_val(c, k, &v);
  chars_free(c, &b->text), tn_free(c->f->run->m, b->end, b->size);
}

/* ---- broadcasting of two operands ---- */
typedef struct Pair {
  tn_tensor a, b;
  int32_t rank;
  int64_t dim[TN_MAX_RANK], step[2][TN_MAX_RANK];
} Pair;
static void steps(const tn_tensor *t, int32_t rank, int64_t *step) {
  int64_t pitch = 1;
  for (int32_t a = t->rank - 1; a >= 0; pitch *= t->dim[a--]) step[a + rank - t->rank] = t->dim[a] == 1 ? 0 : pitch;
}
static bool pair(tn_call *c, Pair *p) {
  memset(p, 0, sizeof *p);
  if (!op_in(c, 0, &p->a) || !op_in(c, 1, &p->b)) return tn_op_fail(c, "an operand is missing"), false;
  p->rank = p->a.rank > p->b.rank ? p->a.rank : p->b.rank;
  for (int32_t k = 0; k < p->rank; k++) {
    int64_t x = k + p->a.rank - p->rank < 0 ? 1 : p->a.dim[k + p->a.rank - p->rank];
    int64_t y = k + p->b.rank - p->rank < 0 ? 1 : p->b.dim[k + p->b.rank - p->rank];
    if (x != y && x != 1 && y != 1) return tn_op_fail(c, "sizes %lld and %lld do not fit", (long long)x, (long long)y), false;
    p->dim[k] = x == 1 ? y : x;
  }
  steps(&p->a, p->rank, p->step[0]), steps(&p->b, p->rank, p->step[1]);
  return true;
}
static int64_t pair_size(const Pair *p) {
  int64_t n = 1;
  for (int32_t k = 0; k < p->rank; k++) n *= p->dim[k];
  return n;
}
static void pair_at(const Pair *p, int64_t i, tenon_str *a, tenon_str *b) {
  int64_t at[2] = {0, 0};
  for (int32_t k = p->rank - 1; k >= 0; i /= p->dim[k--])
    for (int s = 0; s < 2; s++) at[s] += i % p->dim[k] * p->step[s][k];
  *a = strings(&p->a)[at[0]], *b = strings(&p->b)[at[1]];
}
tn_op tn_op_string_equal, tn_op_string_concat;
void tn_op_string_equal(tn_call *c) {
  Pair p;
  uint8_t *to = pair(c, &p) ? op_out(c, 0, TN_BOOL, p.rank, p.dim) : NULL;
  for (int64_t i = 0, n = to ? pair_size(&p) : 0; i < n; i++) {
    tenon_str a, b;
    pair_at(&p, i, &a, &b);
    to[i] = same(a, b);
  }
}
void tn_op_string_concat(tn_call *c) {
  Pair p;
  Build out;
  if (!pair(c, &p) || !build_start(c, &out, pair_size(&p))) return;
  for (int64_t i = 0, n = pair_size(&p); i < n; i++) {
    tenon_str a, b;
    pair_at(&p, i, &a, &b);
    chars_add(c, &out.text, a.data, a.len), chars_add(c, &out.text, b.data, b.len);
    build_end(&out);
  }
  build_finish(c, &out, 0, p.rank, p.dim);
}

/* ---- picking: every view of strings ---- */
static bool source_at(tn_call *c, const tn_attr *first, int64_t i, tenon_str *s) { /* string i of all sources in a row */
  if (i < 0) return *s = (tenon_str){"", 0}, i == -1;
  if (first) {
    if (i < first->n) return *s = first->strings[i], true;
    i -= first->n;
  }
  for (uint32_t k = 1; k < c->n_in; k++) {
    tn_tensor t;
    if (!op_in(c, k, &t)) continue;
    int64_t n = tensor_size(&t);
    if (i < n) return *s = strings(&t)[i], true;
    i -= n;
  }
  return false;
}
tn_op tn_op_string_pick;
void tn_op_string_pick(tn_call *c) {
  const tn_attr *first = call_attr(c, "strings");
  tn_tensor index;
  Fill f;
  if (!op_in(c, 0, &index)) return tn_op_fail(c, "there is no index");
  tenon_str *s = fill_start(c, &f, 0, TN_STR, index.rank, index.dim);
  if (!s) return;
  for (int64_t i = 0, n = tensor_size(&index); i < n && !tn_stop(c->f); i++) {
    int64_t at = tensor_i64(&index, i);
    if (!source_at(c, first, at, &s[i])) tn_op_fail(c, "index %lld is out of range", (long long)at);
  }
  fill_end(c, &f);
}

/* ---- StringNormalizer ---- */
static void add_cased(tn_call *c, Chars *to, tenon_str s, uint32_t (*convert)(uint32_t)) {
  const char *p = s.data, *end = p + s.len;
  while (p < end) {
    const char *from = p;
    char buf[4];
    uint32_t x = utf_next(&p, end), y = convert ? convert(x) : x;
    if (x == y) chars_add(c, to, from, (uint64_t)(p - from)); /* also keeps bytes that are no UTF-8 */
    else chars_add(c, to, buf, (uint64_t)utf_put(buf, y));
  }
}
static bool folded_equal(tenon_str a, tenon_str b) {
  const char *p = a.data, *q = b.data, *pe = p + a.len, *qe = q + b.len;
  while (p < pe && q < qe)
    if (utf_lower(utf_next(&p, pe)) != utf_lower(utf_next(&q, qe))) return false;
  return p == pe && q == qe;
}
static bool stopped(const tn_attr *words, tenon_str s, bool exact) {
  for (int32_t i = 0; words && i < words->n; i++)
    if (exact ? same(words->strings[i], s) : folded_equal(words->strings[i], s)) return true;
  return false;
}
tn_op tn_op_string_normalizer;
void tn_op_string_normalizer(tn_call *c) {
  tn_tensor t;
  Build out;
  const tn_attr *words = call_attr(c, "stopwords");
  bool exact = call_int(c, "is_case_sensitive", 0);
  uint32_t (*convert)(uint32_t) = call_is(c, "case_change_action", "LOWER")   ? utf_lower
                                  : call_is(c, "case_change_action", "UPPER") ? utf_upper
                                                                              : NULL;
  if (!op_in(c, 0, &t)) return;
  if (t.rank < 1 || t.rank > 2 || (t.rank == 2 && t.dim[0] != 1)) return tn_op_fail(c, "the shape is neither [C] nor [1,C]");
  int64_t n = tensor_size(&t);
  if (!build_start(c, &out, n + 1)) return;
  for (int64_t i = 0; i < n; i++) {
    if (stopped(words, strings(&t)[i], exact)) continue;
    add_cased(c, &out.text, strings(&t)[i], convert);
    build_end(&out);
  }
  if (!out.n) build_end(&out); /* nothing is left: one empty string */
  int64_t dim[2] = {1, (int64_t)out.n};
  build_finish(c, &out, 0, t.rank, t.rank == 2 ? dim : dim + 1);
}

/* ---- StringSplit: rows of pieces, padded with empty strings to the longest ---- */
static const char *find(const char *p, const char *end, tenon_str what) {
  for (; (uint64_t)(end - p) >= what.len; p++)
    if (!memcmp(p, what.data, what.len)) return p;
  return NULL;
}
static bool is_blank(char c) { return c == ' ' || (c >= 9 && c <= 13); }
/* The next piece of p..end: by blanks when there is no delimiter. last: the rest is the piece. false: none is left. */
static bool next_piece(const char **p, const char *end, tenon_str delimiter, bool last, tenon_str *piece) {
  const char *from = *p, *stop;
  if (!from) return false;
  if (!delimiter.len) {
    while (from < end && is_blank(*from)) from++;
    if (from == end) return false;
    for (stop = from; stop < end && (last || !is_blank(*stop)); stop++) {
    }
    *piece = (tenon_str){from, (uint64_t)(stop - from)}, *p = stop;
    return true;
  }
  stop = last ? NULL : find(from, end, delimiter);
  *piece = (tenon_str){from, (uint64_t)((stop ? stop : end) - from)};
  *p = stop ? stop + delimiter.len : NULL;
  return true;
}
static int64_t pieces(tenon_str s, tenon_str delimiter, int64_t limit, tn_call *c, Build *out) { /* out NULL: only counts */
  const char *p = s.data ? s.data : "", *end = p + s.len;
  int64_t n = 0;
  tenon_str piece;
  while (next_piece(&p, end, delimiter, limit >= 0 && n == limit, &piece)) {
    if (out) chars_add(c, &out->text, piece.data, piece.len), build_end(out);
    n++;
    if (delimiter.len && !p) break;
  }
  return n;
}
tn_op tn_op_string_split;
void tn_op_string_split(tn_call *c) {
  tn_tensor t;
  Build out;
  const tn_attr *a = call_attr(c, "delimiter");
  tenon_str delimiter = a ? a->strings[0] : (tenon_str){"", 0};
  int64_t limit = call_int(c, "maxsplit", -1), dim[TN_MAX_RANK], most = 0;
  if (!op_in(c, 0, &t)) return;
  if (t.rank == TN_MAX_RANK) return tn_op_fail(c, "more than %d dimensions", TN_MAX_RANK);
  int64_t n = tensor_size(&t), *count = op_wanted(c, 1) ? op_out(c, 1, TN_I64, t.rank, t.dim) : NULL;
  for (int64_t i = 0; i < n; i++) {
    int64_t k = pieces(strings(&t)[i], delimiter, limit, c, NULL);
    if (count) count[i] = k;
    if (k > most) most = k;
  }
  if (!build_start(c, &out, n * most)) return;
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = pieces(strings(&t)[i], delimiter, limit, c, &out); k < most; k++) build_end(&out);
  memcpy(dim, t.dim, sizeof dim), dim[t.rank] = most;
  build_finish(c, &out, 0, t.rank + 1, dim);
}

/* ---- RegexFullMatch ---- */
tn_op tn_op_regex_full_match;
void tn_op_regex_full_match(tn_call *c) {
  tn_tensor t;
  const tn_attr *a = call_attr(c, "pattern");
  if (!op_in(c, 0, &t)) return;
  Regex *r = regex_new(c, a ? a->strings[0] : (tenon_str){"", 0});
  uint8_t *to = r ? op_out(c, 0, TN_BOOL, t.rank, t.dim) : NULL;
  for (int64_t i = 0, n = to ? tensor_size(&t) : 0; i < n; i++) to[i] = regex_full(r, strings(&t)[i]);
  if (r) regex_free(c, r);
}

/* ---- Tokenizer of com.microsoft: [C] or [N,C] -> one more axis, padded ---- */
enum { MAX_SEPARATORS = 32 };
typedef struct Tokens {
  Regex *expr, *sep[MAX_SEPARATORS];
  int n_sep;
  bool chars;    /* one empty separator: every character is a token */
  int64_t least; /* characters of a token */
  tenon_str pad;
  bool mark;
} Tokens;
static int64_t length(tenon_str s) {
  int64_t n = 0;
  for (const char *p = s.data, *end = p + s.len; p < end; n++) utf_next(&p, end);
  return n;
}
static int64_t token(tn_call *c, const Tokens *k, tenon_str s, Build *out) { /* one token, if it is long enough */
  if (!s.len || length(s) < k->least) return 0;
  if (out) chars_add(c, &out->text, s.data, s.len), build_end(out);
  return 1;
}
static tenon_str part(tenon_str s, uint64_t from, uint64_t to) { return (tenon_str){s.data + from, to - from}; }
static int64_t by_expression(tn_call *c, const Tokens *k, tenon_str s, Build *out) {
  int64_t n = 0;
  uint64_t at = 0, from, to;
  while (at <= s.len && regex_search(k->expr, s, at, &from, &to)) {
    n += token(c, k, part(s, from, to), out);
    at = to > from ? to : to + 1;
  }
  return n;
}
/* Separators one after the other: each cuts what the ones before left. */
static int64_t by_separators(tn_call *c, const Tokens *k, int i, tenon_str s, Build *out) {
  if (i == k->n_sep) return token(c, k, s, out);
  int64_t n = 0;
  uint64_t at = 0, from, to;
  for (uint64_t look = 0; look <= s.len && regex_search(k->sep[i], s, look, &from, &to);) {
    if (to == from) {
      look = to + 1;
      continue;
    }
    n += by_separators(c, k, i + 1, part(s, at, from), out);
    at = look = to;
  }
  return n + by_separators(c, k, i + 1, part(s, at, s.len), out);
}
static int64_t by_chars(tn_call *c, const Tokens *k, tenon_str s, Build *out) {
  int64_t n = 0;
  for (const char *p = s.data, *end = p + s.len; p < end;) {
    const char *from = p;
    utf_next(&p, end);
    n += token(c, k, (tenon_str){from, (uint64_t)(p - from)}, out);
  }
  return n;
}
static int64_t tokens(tn_call *c, const Tokens *k, tenon_str s, Build *out) {
  if (!s.len) s.data = "";
  return k->chars ? by_chars(c, k, s, out) : k->expr ? by_expression(c, k, s, out) : by_separators(c, k, 0, s, out);
}
static void mark(tn_call *c, Build *out, char what) { /* start (2) and end (3) of text */
  chars_add(c, &out->text, &what, 1), build_end(out);
}
static void tokenize(tn_call *c, const Tokens *k, const tn_tensor *t) {
  Build out;
  int64_t n = tensor_size(t), most = 0, extra = k->mark ? 2 : 0, dim[TN_MAX_RANK];
  for (int64_t i = 0; i < n; i++) {
    int64_t m = tokens(c, k, strings(t)[i], NULL);
    if (m > most) most = m;
  }
  most = n && most + extra ? most + extra : most; /* empty input keeps a zero axis */
  if (!build_start(c, &out, n * most)) return;
  for (int64_t i = 0; i < n; i++) {
    if (k->mark) mark(c, &out, 2);
    int64_t m = tokens(c, k, strings(t)[i], &out) + extra;
    if (k->mark) mark(c, &out, 3);
    for (; m < most; m++) chars_add(c, &out.text, k->pad.data, k->pad.len), build_end(&out);
  }
  memcpy(dim, t->dim, sizeof dim), dim[t->rank] = most;
  build_finish(c, &out, 0, t->rank + 1, dim);
}
tn_op tn_op_tokenizer;
void tn_op_tokenizer(tn_call *c) {
  tn_tensor t;
  const tn_attr *expr = call_attr(c, "tokenexp"), *sep = call_attr(c, "separators"), *pad = call_attr(c, "pad_value");
  Tokens k = {.least = call_int(c, "mincharnum", 1), .mark = call_int(c, "mark", 0), .pad = pad ? pad->strings[0] : (tenon_str){"", 0}};
  bool ok = op_in(c, 0, &t) && t.rank < TN_MAX_RANK;
  if (ok && sep && sep->n > MAX_SEPARATORS) tn_op_fail(c, "more than %d separators", MAX_SEPARATORS), ok = false;
  k.chars = sep && sep->n == 1 && !sep->strings[0].len;
  if (ok && expr && expr->strings[0].len) ok = (k.expr = regex_new(c, expr->strings[0]));
  for (int32_t i = 0; ok && !k.chars && !k.expr && sep && i < sep->n; i++) ok = (k.sep[k.n_sep++] = regex_new(c, sep->strings[i]));
  if (ok) tokenize(c, &k, &t);
  if (k.expr) regex_free(c, k.expr);
  for (int i = 0; i < k.n_sep; i++)
    if (k.sep[i]) regex_free(c, k.sep[i]);
}
