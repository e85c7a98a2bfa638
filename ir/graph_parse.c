// graph_parse.c - graph IR from text (see graph.h for the form, graph_print.c for the writer).
// Before: any bytes. After: a graph that graph_print writes back unchanged, or fail() with EXIT_INVALID and the line.
#include "graph_text.h"
#include "map.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 100 };

typedef struct Scope { // the values of one graph; outer ones are visible through `outer`
  Map value;
  struct Scope *outer;
} Scope;

typedef struct Parser {
  const char *p, *start, *file;
  const uint8_t *side;
  size_t nside;
  Graph *main;
  Map constant; // Sym -> Value
  int depth;
} Parser;

static int line_of(const Parser *x) {
  int line = 1;
  for (const char *s = x->start; s < x->p; s++) line += *s == '\n';
  return line;
}

_Noreturn static void wrong(const Parser *x, const char *what) {
  Where w = {.file = x->file, .line = line_of(x), .node_index = -1};
  fail(EXIT_INVALID, "ir.syntax", &w, "%s", what);
}

/* ---- tokens ---- */

static void skip(Parser *x) {
  for (;; x->p++) {
    if (*x->p == ';') x->p += strcspn(x->p, "\n");
    if (!*x->p || !isspace((unsigned char)*x->p)) return;
  }
}

static bool eat(Parser *x, const char *token) {
  skip(x);
  size_t n = strlen(token);
  if (strncmp(x->p, token, n)) return false;
  if (isalnum((unsigned char)token[n - 1]) && (isalnum((unsigned char)x->p[n]) || x->p[n] == '_')) return false;
  x->p += n;
  return true;
}

static void need(Parser *x, const char *token) {
  if (!eat(x, token)) wrong(x, fmt("expected '%s'", token));
}

static bool word_char(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '/'; }

static Sym word(Parser *x) {
  skip(x);
  const char *s = x->p;
  while (word_char(*x->p)) x->p++;
  if (s == x->p) wrong(x, "expected a name");
  return sym_n(s, (size_t)(x->p - s));
}

static int hex(Parser *x) {
  char c = *x->p;
  if (!isxdigit((unsigned char)c)) wrong(x, "a string's \\x needs two hexadecimal digits");
  x->p++;
  return isdigit((unsigned char)c) ? c - '0' : (c | 32) - 'a' + 10;
}

static Str quoted(Parser *x) {
  Text t = {0};
  need(x, "\"");
  while (*x->p != '"') {
    char c = *x->p++;
    if (!c || c == '\n') wrong(x, "a string has no end");
    if (c == '\\') {
      c = *x->p++;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
      else if (c == 'x') {
        int high = hex(x);
        c = (char)(high * 16 + hex(x));
      } else if (c != '"' && c != '\\') wrong(x, "unknown escape in a string");
    }
    put_n(&t, &c, 1);
  }
  x->p++;
  return (Str){t.p ? t.p : "", t.n};
}

static Sym name(Parser *x) { // a plain word or a quoted string
  skip(x);
  if (*x->p != '"') return word(x);
  Str s = quoted(x);
  return sym_n(s.p, s.n);
}

static int64_t integer(Parser *x) {
  skip(x);
  char *end;
  errno = 0;
  long long v = strtoll(x->p, &end, 10);
  if (end == x->p || errno) wrong(x, "expected an integer of 64 bits");
  x->p = end;
  return v;
}

static bool all_digits(const char *s) {
  if (!*s) return false;
  while (isdigit((unsigned char)*s)) s++;
  return !*s;
}

// After the sigil: the key a value is found by, and its name (NULL for a number).
static Sym value_key(Parser *x, Sym *own) {
  bool quotes = *x->p == '"';
  Sym s = name(x);
  bool number = !quotes && all_digits(s);
  *own = number ? NULL : s;
  return number ? sym_fmt("#%s", s) : sym_fmt("=%s", s);
}

/* ---- types, symbols ---- */

static const Type *type(Parser *x) {
  skip(x);
  if (*x->p == '?') {
    x->p++;
    return NULL;
  }
  const char *p = x->p;
  const Type *y = type_parse(&p);
  if (!y) wrong(x, "malformed type");
  x->p = p;
  return y;
}

static IExpr *old_symbol(Sym s, void *u) {
  (void)u;
  return ix_sym(s, -IX_INF, IX_INF);
}

// `N, B in 1..64, K = 2*N`. Read before the types that use them, because ranges are taken over when an expression is made.
static void symbols(Parser *x) {
  do {
    Sym s = name(x);
    if (eat(x, "=")) {
      skip(x);
      const char *p = x->p;
      IExpr *e = ix_parse(&p, old_symbol, NULL);
      if (!e) wrong(x, "malformed expression");
      x->p = p;
      ix_named(s, e);
      continue;
    }
    int64_t lo = 0, hi = IX_DIM_MAX;
    if (eat(x, "in")) {
      lo = integer(x);
      need(x, "..");
      hi = integer(x);
      if (lo > hi) wrong(x, "an empty range");
    }
    ix_sym(s, lo, hi);
  } while (eat(x, ","));
}

// The where clause of a header that starts here, if it has one.
static void find_symbols(Parser *x) {
  const char *back = x->p;
  for (skip(x); *x->p && *x->p != '{'; skip(x)) {
    if (*x->p == '"') quoted(x);
    else if (eat(x, "where")) {
      symbols(x);
      break;
    } else if (word_char(*x->p)) word(x);
    else x->p++;
  }
  x->p = back;
}

/* ---- tensors ---- */

static uint64_t bits(Parser *x) {
  char *end;
  errno = 0;
  unsigned long long v = strtoull(x->p, &end, 16);
  if (end == x->p || errno) wrong(x, "malformed bits");
  x->p = end;
  return v;
}

static double number(Parser *x, bool f64) {
  char *end;
  skip(x);
  double v = f64 ? strtod(x->p, &end) : (double)strtof(x->p, &end);
  if (end == x->p) wrong(x, "expected a number");
  x->p = end;
  return v;
}

static void element(Parser *x, Tensor *t, int64_t i) {
  skip(x);
  char *data = (char *)(uintptr_t)t->data;
  if (t->dtype == DT_STR) ((Str *)(void *)data)[i] = quoted(x);
  else if (t->dtype == DT_BOOL) {
    bool on = eat(x, "true");
    if (!on) need(x, "false");
    tensor_set_int(t, i, on);
  } else if (dtypes[t->dtype].is_int) tensor_set_int(t, i, integer(x));
  else if (x->p[0] == '0' && x->p[1] == 'x') {
    uint64_t v = bits(x);
    int bytes = dtypes[t->dtype].bits / tensor_parts(t) / 8;
    if (!bytes) wrong(x, "bits of a type below 8 bits");
    memcpy(data + i * bytes, &v, (size_t)bytes);
  } else tensor_set_float(t, i, number(x, t->dtype == DT_F64 || t->dtype == DT_C128));
}

static Str *side_strings(Parser *x, const uint8_t *p, size_t n, int64_t count) {
  if ((uint64_t)count > n / 8) wrong(x, "the side file has fewer strings than the tensor");
  Str *s = NEWN(Str, count);
  for (int64_t k = 0; k < count; k++) {
    uint64_t len;
    if (n < 8) wrong(x, "a string goes beyond its place in the side file");
    memcpy(&len, p, 8);
    if (len > n - 8) wrong(x, "a string goes beyond its place in the side file");
    s[k] = (Str){(const char *)p + 8, len};
    p += 8 + len;
    n -= 8 + len;
  }
  return s;
}

static Tensor *side_tensor(Parser *x, DType d, int rank, const int64_t *dim, int64_t count) {
  need(x, "(");
  int64_t at = integer(x);
  need(x, ",");
  int64_t n = integer(x);
  need(x, ")");
  if (at < 0 || n < 0 || (uint64_t)at > x->nside || (uint64_t)n > x->nside - (uint64_t)at) wrong(x, "data() goes beyond the side file");
  const uint8_t *p = x->side + at;
  if (d != DT_STR && n != dtype_bytes(d, count)) wrong(x, "data() has another size than its type");
  return tensor_new(d, rank, dim, d == DT_STR ? (const void *)side_strings(x, p, (size_t)n, count) : p);
}

static int tensor_dims(Parser *x, int64_t *dim) {
  int rank = 0;
  need(x, "[");
  if (eat(x, "]")) return 0;
  do {
    if (rank == MAX_RANK) wrong(x, "too many dims");
    if ((dim[rank++] = integer(x)) < 0) wrong(x, "a negative dim");
  } while (eat(x, ","));
  need(x, "]");
  return rank;
}

static Tensor *tensor(Parser *x) {
  int64_t dim[MAX_RANK] = {0};
  DType d = dtype_of(word(x));
  if (!d) wrong(x, "unknown element type");
  int rank = tensor_dims(x, dim);
  Tensor shape = {.rank = rank};
  memcpy(shape.dim, dim, sizeof *dim * (size_t)rank);
  int64_t count = tensor_count(&shape);
  if (eat(x, "data")) return side_tensor(x, d, rank, dim, count);
  need(x, "{");
  if (count > INLINE_MAX) wrong(x, "a constant of this size needs data()");
  Tensor *t = d == DT_STR ? tensor_new(d, rank, dim, NEWN(Str, count + 1)) : tensor_new(d, rank, dim, NULL);
  for (int64_t k = 0; k < count * tensor_parts(t); k++) {
    if (k) need(x, ",");
    element(x, t, k);
  }
  need(x, "}");
  return t;
}

/* ---- attributes ---- */

static bool is_float_text(const char *p) {
  const char *s = p + strspn(p, "+-0123456789");
  if (s == p) return !strncmp(s, "inf", 3) || !strncmp(s, "nan(", 4);
  return *s == '.' || *s == 'e' || *s == 'i';
}

static double float_attr(Parser *x) {
  skip(x);
  if (eat(x, "nan")) {
    need(x, "(");
    uint32_t b = (uint32_t)bits(x);
    float f;
    memcpy(&f, &b, 4);
    need(x, ")");
    return f;
  }
  const char *start = x->p;
  double v = number(x, true);
  if (*x->p == 'd') {
    x->p++;
    return v;
  }
  x->p = start;
  return number(x, false);
}

static Attr list_attr(Parser *x, AttrKind kind) {
  Attr a = {.kind = kind};
  int64_t *i = NULL;
  double *f = NULL;
  Str *s = NULL;
  int cap = 0;
  need(x, "[");
  if (eat(x, "]")) return a;
  skip(x);
  const char *p = x->p;
  bool floats = false; // one float among the numbers makes it a list of floats
  for (const char *q = p; *q && *q != ']' && *p != '"'; q++) floats |= *q == '.' || *q == 'e' || *q == 'n';
  a.kind = *p == '"' ? ATTR_STRINGS : floats ? ATTR_FLOATS : ATTR_INTS;
  do {
    if (a.kind == ATTR_STRINGS) PUSH(s, a.n, cap, quoted(x));
    else if (floats) PUSH(f, a.n, cap, float_attr(x));
    else PUSH(i, a.n, cap, integer(x));
  } while (eat(x, ","));
  need(x, "]");
  if (a.kind == ATTR_STRINGS) a.strings = s;
  else if (floats) a.floats = f;
  else a.ints = i;
  return a;
}

static Attr attr_value(Parser *x) {
  skip(x);
  if (*x->p == '[') return list_attr(x, ATTR_INTS);
  if (eat(x, "ints")) return list_attr(x, ATTR_INTS);
  if (eat(x, "floats")) return list_attr(x, ATTR_FLOATS);
  if (eat(x, "strings")) return list_attr(x, ATTR_STRINGS);
  if (*x->p == '"') return (Attr){.kind = ATTR_STRING, .s = quoted(x)};
  if (eat(x, "type")) return (Attr){.kind = ATTR_TYPE, .type = type(x)};
  if (is_float_text(x->p)) return (Attr){.kind = ATTR_FLOAT, .f = float_attr(x)};
  if (isalpha((unsigned char)*x->p)) return (Attr){.kind = ATTR_TENSOR, .t = tensor(x)};
  return (Attr){.kind = ATTR_INT, .i = integer(x)};
}

static void attrs(Parser *x, Node *n) {
  if (!eat(x, "{")) return;
  do {
    Sym s = word(x);
    need(x, "=");
    Attr a = attr_value(x);
    a.name = s;
    if (attr_has(n, s)) wrong(x, "an attribute is given twice");
    node_set(n, a);
  } while (eat(x, ","));
  need(x, "}");
}

/* ---- values ---- */

static Value *find(const Scope *s, Sym key) {
  for (; s; s = s->outer) {
    Value *v = map_get(&s->value, key);
    if (v) return v;
  }
  return NULL;
}

static Value *operand(Parser *x, const Scope *s) { // NULL: left out
  Sym own;
  skip(x);
  if (eat(x, "_")) return NULL;
  bool constant = *x->p == '@';
  if (!constant && *x->p != '%') wrong(x, "expected a value, a constant or _");
  x->p++;
  Sym key = value_key(x, &own);
  Value *v = constant ? map_get(&x->constant, key) : find(s, key);
  if (!v) wrong(x, fmt("%c%s is not defined here", constant ? '@' : '%', key + 1));
  return v;
}

static void define(Parser *x, Scope *s, Sym key, Value *v) {
  if (find(s, key)) wrong(x, fmt("%%%s is defined twice", key + 1));
  map_put(&s->value, key, v);
}

static Sym new_name(Parser *x, Sym *own) {
  need(x, "%");
  return value_key(x, own);
}

static void constant(Parser *x) {
  Sym own;
  need(x, "@");
  Sym key = value_key(x, &own);
  need(x, "=");
  if (map_get(&x->constant, key)) wrong(x, fmt("@%s is defined twice", key + 1));
  map_put(&x->constant, key, graph_const(x->main, own, tensor(x)));
}

/* ---- nodes, graphs ---- */

typedef struct Names { // what stands left of "="
  Sym *key, *own;
  int n, ckey, cown;
} Names;

static Names results(Parser *x) {
  Names r = {0};
  skip(x);
  if (*x->p == '=') return r;
  do {
    Sym own = NULL, key = eat(x, "_") ? NULL : new_name(x, &own);
    int n = r.n;
    PUSH(r.key, r.n, r.ckey, key);
    PUSH(r.own, n, r.cown, own);
  } while (eat(x, ","));
  return r;
}

static const Op *op_name(Parser *x) {
  char *full = fmt("%s", word(x)), *dot = strrchr(full, '.');
  if (dot) *dot = 0;
  const Op *op = dot ? op_find(full, dot + 1) : op_find("", full);
  if (!op) {
    Where w = {.file = x->file, .line = line_of(x), .node_index = -1, .op = dot ? dot + 1 : full, .domain = dot ? full : ""};
    fail(EXIT_UNSUPPORTED, "op.unknown", &w, "operator %s is not known", dot ? dot + 1 : full);
  }
  return op;
}

static void origin(Parser *x, Node *n) {
  if (!eat(x, "#")) return;
  int64_t index = integer(x);
  if (index < -1 || index > INT32_MAX) wrong(x, "a node index out of range");
  n->index = (int)index;
  skip(x);
  if (*x->p == '"') n->name = name(x);
  if (eat(x, "in")) n->path = name(x);
}

static Graph *graph(Parser *x, Graph *parent, Scope *outer);

static void regions(Parser *x, Node *n, Scope *s) {
  for (int k = 0; k < n->op->nattr; k++) {
    const AttrRow *row = &n->op->attr[k];
    if (strcmp(row->kind, "GRAPH")) continue;
    if (!eat(x, row->name)) wrong(x, fmt("%s needs its region %s", n->op->name, row->name));
    node_region(n, graph(x, n->graph, s));
  }
}

static void node(Parser *x, Graph *g, Scope *s) {
  skip(x);
  const char *start = x->p;
  Names r = results(x);
  Value **in = NULL;
  int nin = 0, cin = 0;
  need(x, "=");
  const Op *op = op_name(x);
  need(x, "(");
  if (!eat(x, ")")) {
    do PUSH(in, nin, cin, operand(x, s));
    while (eat(x, ","));
    need(x, ")");
  }
  Node *n = graph_node(g, NULL, op->id, NULL, nin, in, r.n);
  attrs(x, n);
  bool typed = eat(x, ":");
  for (int k = 0, any = 0; k < r.n; k++) {
    if (!r.key[k]) {
      n->out[k] = NULL;
      continue;
    }
    n->out[k]->name = r.own[k];
    if (typed && any++) need(x, ",");
    if (typed) n->out[k]->type = type(x);
  }
  origin(x, n);
  regions(x, n, s);
  const char *end = x->p;
  x->p = start; // a name that is taken is reported where it stands
  for (int k = 0; k < r.n; k++)
    if (r.key[k]) define(x, s, r.key[k], n->out[k]);
  x->p = end;
}

static void inputs(Parser *x, Graph *g, Scope *s) {
  need(x, "(");
  if (eat(x, ")")) return;
  do {
    Sym own, key = new_name(x, &own);
    need(x, ":");
    define(x, s, key, graph_input(g, own, type(x)));
  } while (eat(x, ","));
  need(x, ")");
}

static Sym *output_names(Parser *x, int *n) {
  Sym *names = NULL;
  int cap = 0;
  *n = 0;
  need(x, "->");
  need(x, "(");
  if (eat(x, ")")) return NULL;
  do {
    skip(x);
    PUSH(names, *n, cap, eat(x, "_") ? NULL : name(x));
    need(x, ":");
    type(x);
  } while (eat(x, ","));
  need(x, ")");
  return names;
}

static void results_of_graph(Parser *x, Graph *g, Scope *s, int n, Sym *names) {
  for (int k = 0; k < n; k++) {
    if (k) need(x, ",");
    Value *v = operand(x, s);
    if (!v) wrong(x, "a graph must return a value");
    graph_output(g, v);
    g->out_name[k] = names[k];
  }
}

static Graph *graph(Parser *x, Graph *parent, Scope *outer) {
  Scope s = {.outer = outer};
  Sym own = NULL;
  int nout;
  if (++x->depth > MAX_DEPTH) fail(EXIT_LIMIT, "limit.depth", NOWHERE, "regions nest deeper than %d", MAX_DEPTH);
  need(x, "graph");
  skip(x);
  if (*x->p != '(') own = name(x);
  Graph *g = parent ? graph_new(own, parent) : x->main;
  if (!parent) {
    g->name = own;
    find_symbols(x);
  }
  inputs(x, g, &s);
  Sym *names = output_names(x, &nout);
  if (!parent && eat(x, "where")) symbols(x);
  need(x, "{");
  while (!eat(x, "return")) node(x, g, &s);
  results_of_graph(x, g, &s, nout, names);
  need(x, "}");
  x->depth--;
  return g;
}

static void provenance(Parser *x) {
  if (!eat(x, "model")) return;
  Graph *g = x->main;
  int cap = 0;
  g->producer = name(x);
  need(x, "ir");
  g->ir_version = integer(x);
  if (!eat(x, "opset")) return;
  do {
    Sym domain = name(x);
    int64_t version = integer(x);
    PUSH(g->opset, g->nopset, cap, (struct Opset){domain, version});
  } while (eat(x, ","));
}

Graph *graph_parse(const char *text, size_t n, const void *side, size_t nside, const char *file) {
  char *copy = mem(n + 1);
  if (n) memcpy(copy, text, n);
  Parser x = {.p = copy, .start = copy, .file = file, .side = side, .nside = nside};
  if (memchr(copy, 0, n)) wrong(&x, "the text holds a NUL byte");
  x.main = graph_new(NULL, NULL);
  provenance(&x);
  while (eat(&x, "const")) constant(&x);
  Graph *g = graph(&x, NULL, NULL);
  skip(&x);
  if (*x.p) wrong(&x, "text after the graph");
  return g;
}

static Parser parser_at(const TextCursor *c) {
  return (Parser){.p = c->p, .start = c->start, .file = c->file, .side = c->side, .nside = c->nside};
}
Tensor *text_tensor(TextCursor *c) {
  Parser x = parser_at(c);
  Tensor *t = tensor(&x);
  c->p = x.p;
  return t;
}
Attr text_attr(TextCursor *c) {
  Parser x = parser_at(c);
  Attr a = attr_value(&x);
  c->p = x.p;
  return a;
}
