// host_parse.c - a program from the text that host_print writes. Whatever does not fit is a diagnostic with its line.
#include "graph_text.h"
#include "kernel_text.h"
#include <string.h>

enum { NEST_MAX = 200 };

typedef struct HostParser {
  Parser p;
  Program *g;
  Scope bufs, kernels;
  struct Alias { // resolved when all buffers are known
    HBuf *b;
    Sym of;
  } *alias;
  int nalias, calias;
  int cin, cout, csym;
  const void *side;
  size_t nside;
} HostParser;

static IExpr *known_symbol(Sym name, void *u) { return scope_find(&((Parser *)u)->atoms, name); }

static Atom *symbol(HostParser *h) {
  Sym name = parse_symbol(&h->p);
  IExpr *e = known_symbol(name, &h->p);
  if (!e) parse_fail(&h->p, "there is no symbol %s", name);
  return ix_is_atom(e);
}

static const Type *parse_type(HostParser *h) {
  parse_blank(&h->p);
  const char *from = h->p.at;
  const Type *t = type_parse(&h->p.at);
  if (!t) h->p.at = from;
  if (!t) parse_fail(&h->p, "a type is expected");
  return t;
}

static TextCursor cursor(HostParser *h) {
  parse_blank(&h->p);
  return (TextCursor){.p = h->p.at, .start = h->p.start, .file = h->p.file, .side = h->side, .nside = h->nside};
}

/* ---- declarations ---- */

static void parse_symbol_line(HostParser *h) {
  Parser *p = &h->p;
  Sym name = parse_symbol(p);
  if (known_symbol(name, p)) parse_fail(p, "symbol %s is declared twice", name);
  parse_expect(p, "in");
  int64_t lo = parse_int(p);
  parse_expect(p, "..");
  int64_t hi = parse_int(p);
  if (hi < lo) parse_fail(p, "the range of %s is empty", name);
  IExpr *e = parse_is(p, "=") ? ix_named(name, parse_ix(p)) : NULL;
  e = ix_sym(name, lo, hi);
  scope_add(&p->atoms, name, e);
  PUSH(h->g->sym, h->g->nsym, h->csym, ix_is_atom(e));
  if (parse_is(p, "entry")) h->g->nentry = h->g->nsym;
}

static HBuf *buf(HostParser *h, bool may_be_absent) {
  Sym name = parse_ident(&h->p);
  if (may_be_absent && !strcmp(name, "_")) return NULL;
  HBuf *b = scope_find(&h->bufs, name);
  if (!b) parse_fail(&h->p, "there is no buffer %s", name);
  return b;
}

static void parse_place(HostParser *h, HBuf *b) {
  Parser *p = &h->p;
  switch (b->place) {
  case PLACE_INPUT:
  case PLACE_SLAB:
  case PLACE_HANDLE: b->index = parse_between(&h->p, 0, 1 << 24); break;
  case PLACE_OUTPUT:
    b->index = parse_between(&h->p, 0, 1 << 24);
    b->exact = parse_is(p, "exact");
    break;
  case PLACE_CONST: b->coffset = parse_int(p); break;
  case PLACE_ARENA:
    if (parse_is(p, "at")) b->offset = parse_ix(p);
    break;
  case PLACE_ALIAS: {
    Sym of = parse_ident(p);
    PUSH(h->alias, h->nalias, h->calias, (struct Alias){b, of});
    if (parse_is(p, "shift")) b->shift = parse_ix(p);
  }
  }
}

static void parse_buf_line(HostParser *h) {
  Parser *p = &h->p;
  Sym name = parse_ident(p);
  if (scope_find(&h->bufs, name)) parse_fail(p, "buffer %s is declared twice", name);
  parse_expect(p, ":");
  const Type *t = parse_type(h);
  int place = parse_word_of(p, text_places, 7);
  if (place < 0) parse_fail(p, "a place is expected");
  HBuf *b = program_buf(h->g, name, t, (HPlace)place);
  scope_add(&h->bufs, name, b);
  parse_place(h, b);
  b->lay = parse_layout(p, t->kind == TYPE_TENSOR && t->rank > 0 ? t->rank : 1);
  if (!parse_is(p, "=")) return;
  TextCursor c = cursor(h);
  b->data = text_tensor(&c);
  p->at = c.p;
}

static void resolve_aliases(HostParser *h) {
  for (int i = 0; i < h->nalias; i++) {
    HBuf *of = h->alias[i].b->alias = scope_find(&h->bufs, h->alias[i].of);
    if (!of) parse_fail(&h->p, "there is no buffer %s, which %s is an alias of", h->alias[i].of, h->alias[i].b->name);
  }
  for (int i = 0; i < h->nalias; i++) {
    int steps = 0;
    for (const HBuf *b = h->alias[i].b; b->place == PLACE_ALIAS; b = b->alias)
      if (++steps > h->nalias) parse_fail(&h->p, "aliases form a circle");
  }
}

static HIo parse_io(HostParser *h) {
  Parser *p = &h->p;
  HIo io = {.name = parse_string(p), .pair = -1, .pair_axis = -1};
  parse_expect(p, ":");
  io.type = parse_type(h);
  io.buf = buf(h, true);
  io.optional = parse_is(p, "optional");
  if (parse_is(p, "pair")) {
    io.pair = parse_between(&h->p, 0, 1 << 24);
    parse_expect(p, "axis");
    io.pair_axis = parse_between(&h->p, -1, MAX_RANK);
  }
  return io;
}

static void parse_site(HostParser *h) {
  Parser *p = &h->p;
  Site s = {.input = INT32_MIN};
  parse_expect(p, "node");
  s.node = parse_between(&h->p, -1, INT32_MAX);
  if (parse_is(p, "name")) s.node_name = parse_string(p);
  if (parse_is(p, "op")) s.op = parse_string(p);
  if (parse_is(p, "input")) s.input = parse_between(&h->p, INT32_MIN, INT32_MAX);
  if (parse_is(p, "text")) s.text = parse_string(p);
  if (parse_is(p, "lo")) s.lo = parse_ix(p);
  if (parse_is(p, "hi")) s.hi = parse_ix(p);
  PUSH(h->g->site, h->g->nsite, h->g->csite, s);
}

static void parse_memory(HostParser *h) {
  Parser *p = &h->p;
  parse_expect(p, "slabs"), h->g->nslab = parse_between(&h->p, 0, 1 << 24);
  parse_expect(p, "handles"), h->g->nhandle = parse_between(&h->p, 0, 1 << 24);
  parse_expect(p, "weights"), h->g->weights = parse_int(p);
  if (parse_is(p, "arena")) h->g->arena = parse_ix(p);
  if (parse_is(p, "scratch")) h->g->scratch = parse_ix(p);
}

static void parse_require(HostParser *h) {
  struct Require r = {.expr = parse_ix(&h->p)};
  if (parse_is(&h->p, "text")) r.text = parse_string(&h->p);
  PUSH(h->g->require, h->g->nrequire, h->g->crequire, r);
}

/* ---- statements ---- */

static void add_buf(HostParser *h, HStmt *s, HBuf *b) {
  int cap = s->nbuf; // lists are short
  (void)h;
  PUSH(s->buf, s->nbuf, cap, b);
}

static int ix_list(HostParser *h, IExpr ***e) { // [a, b, _]
  int n = 0, cap = 0;
  *e = NULL;
  parse_expect(&h->p, "[");
  while (!parse_is(&h->p, "]")) {
    if (n) parse_expect(&h->p, ",");
    IExpr *x = parse_is(&h->p, "_") ? NULL : parse_ix(&h->p);
    PUSH(*e, n, cap, x);
  }
  return n;
}

static void parse_launch(HostParser *h, HStmt *s) {
  Parser *p = &h->p;
  Sym name = parse_ident(p);
  s->kernel = scope_find(&h->kernels, name);
  if (!s->kernel) parse_fail(p, "there is no kernel %s", name);
  parse_expect(p, "(");
  while (!parse_is(p, ")")) {
    if (s->nbuf) parse_expect(p, ",");
    add_buf(h, s, buf(h, true));
  }
  if (s->nbuf != kernel_params(s->kernel)) parse_fail(p, "kernel %s has %d parameters", name, kernel_params(s->kernel));
  if (parse_is(p, "with")) {
    if (ix_list(h, &s->arg) != s->kernel->nsym) parse_fail(p, "kernel %s has %d symbols", name, s->kernel->nsym);
  } else if (s->kernel->nsym) parse_fail(p, "kernel %s has %d symbols", name, s->kernel->nsym);
  if (parse_is(p, "temp")) s->ntemp = ix_list(h, &s->temp);
  if (s->ntemp && parse_is(p, "in")) s->base = buf(h, false);
}

static void parse_attrs(HostParser *h, HStmt *s) {
  Parser *p = &h->p;
  Attr *attrs = NULL;
  int cap = 0;
  if (!parse_is(p, "{")) return;
  while (!parse_is(p, "}")) {
    if (s->nattr) parse_expect(p, ",");
    Sym name = parse_symbol(p);
    parse_expect(p, "=");
    TextCursor c = cursor(h);
    Attr a = text_attr(&c);
    p->at = c.p;
    a.name = name;
    PUSH(attrs, s->nattr, cap, a);
  }
  s->attrs = attrs;
}

static void parse_call(HostParser *h, HStmt *s) {
  Parser *p = &h->p;
  s->callee = parse_ident(p);
  parse_expect(p, "(");
  bool first = true, results = false;
  while (!parse_is(p, ")")) {
    if (!results && parse_is(p, "->")) {
      results = first = true, s->nin = s->nbuf;
      continue;
    }
    if (!first) parse_expect(p, ",");
    first = false;
    add_buf(h, s, buf(h, true));
  }
  if (!results) parse_fail(p, "'->' is missing");
  parse_attrs(h, s);
}

static HStmt *parse_block(HostParser *h, int depth);

static void parse_loop(HostParser *h, HStmt *s, int depth) {
  Parser *p = &h->p;
  if (!parse_peek(p, "below") && !parse_peek(p, "while") && !parse_peek(p, "{")) s->sym = symbol(h);
  if (parse_is(p, "below")) s->expr = parse_ix(p);
  if (parse_is(p, "while")) add_buf(h, s, buf(h, false));
  s->body = parse_block(h, depth + 1);
}

static void parse_site_number(HostParser *h, HStmt *s) {
  if (parse_is(&h->p, "site")) s->site = parse_between(&h->p, 0, h->g->nsite - 1);
}

static void parse_set(HostParser *h, HStmt *s) {
  IExpr **index;
  s->sym = symbol(h);
  parse_expect(&h->p, "=");
  add_buf(h, s, buf(h, false));
  int n = ix_list(h, &index);
  if (n > 1) parse_fail(&h->p, "one linear index is expected");
  s->index = n ? index[0] : NULL;
  parse_site_number(h, s);
}

static void parse_pair(HostParser *h, HStmt *s) { // a <- b
  add_buf(h, s, buf(h, false));
  parse_expect(&h->p, "<-");
  add_buf(h, s, buf(h, false));
}

static void parse_grow(HostParser *h, HStmt *s) {
  add_buf(h, s, buf(h, false));
  parse_expect(&h->p, "to");
  s->expr = parse_ix(&h->p);
  if (parse_is(&h->p, "keep")) s->keep = parse_ix(&h->p);
}

static HStmt *parse_stmt(HostParser *h, int depth) {
  static const char *const words[] = {"launch", "set", "let", "grow", "output", "call", "if", "loop", "move", "copy", "check", NULL};
  int kind = parse_word_of(&h->p, words, 11);
  if (kind < 0) parse_fail(&h->p, "a statement is expected");
  HStmt *s = NEW(HStmt);
  s->kind = (HKind)kind, s->site = -1;
  switch (s->kind) {
  case HS_LAUNCH: parse_launch(h, s); break;
  case HS_SET: parse_set(h, s); break;
  case HS_LET: s->sym = symbol(h), parse_expect(&h->p, "="), s->expr = parse_ix(&h->p); break;
  case HS_GROW: parse_grow(h, s); break;
  case HS_OUTPUT: add_buf(h, s, buf(h, false)); break;
  case HS_CALL: parse_call(h, s); break;
  case HS_IF:
    add_buf(h, s, buf(h, false));
    s->body = parse_block(h, depth + 1);
    if (parse_is(&h->p, "else")) s->other = parse_block(h, depth + 1);
    break;
  case HS_LOOP: parse_loop(h, s, depth); break;
  case HS_MOVE:
  case HS_COPY: parse_pair(h, s); break;
  case HS_CHECK: s->expr = parse_ix(&h->p), parse_site_number(h, s); break;
  }
  return s;
}

static HStmt *parse_block(HostParser *h, int depth) {
  HStmt *first = NULL, **tail = &first;
  if (depth > NEST_MAX) parse_fail(&h->p, "statements are nested deeper than %d", NEST_MAX);
  parse_expect(&h->p, "{");
  while (!parse_is(&h->p, "}")) *tail = parse_stmt(h, depth), tail = &(*tail)->next;
  return first;
}

/* ---- programs ---- */

static void parse_kernel_line(HostParser *h) {
  Kernel *k = parse_kernel(&h->p);
  if (scope_find(&h->kernels, k->name)) parse_fail(&h->p, "kernel %s is declared twice", k->name);
  scope_add(&h->kernels, k->name, k);
  PUSH(h->g->kernel, h->g->nkernel, h->g->ckernel, k);
}

static bool parse_provenance(HostParser *h) {
  Parser *p = &h->p;
  Sym *to = parse_is(p, "opsets")   ? &h->g->opsets
            : parse_is(p, "source") ? &h->g->source_sha256
            : parse_is(p, "target") ? &h->g->target
            : parse_is(p, "flags")  ? &h->g->flags
                                    : NULL;
  if (to) *to = parse_string(p);
  return to != NULL;
}

static void parse_line(HostParser *h) {
  Parser *p = &h->p;
  if (parse_provenance(h)) return;
  if (parse_is(p, "symbol")) parse_symbol_line(h);
  else if (parse_is(p, "require")) parse_require(h);
  else if (parse_is(p, "buf")) parse_buf_line(h);
  else if (parse_is(p, "in")) PUSH(h->g->in, h->g->nin, h->cin, parse_io(h));
  else if (parse_is(p, "out")) PUSH(h->g->out, h->g->nout, h->cout, parse_io(h));
  else if (parse_is(p, "site")) parse_site(h);
  else if (parse_is(p, "memory")) parse_memory(h);
  else if (parse_is(p, "kernel")) parse_kernel_line(h);
  else parse_fail(p, "a declaration is expected");
}

Program *program_parse(const char *text, size_t n, const void *side, size_t nside, const char *file) {
  HostParser h = {.side = side, .nside = nside};
  parse_start(&h.p, text, n, file);
  parse_expect(&h.p, "program");
  h.g = program_new(parse_string(&h.p));
  parse_expect(&h.p, "{");
  while (!parse_is(&h.p, "body")) parse_line(&h);
  resolve_aliases(&h);
  h.g->body = parse_block(&h, 0);
  parse_expect(&h.p, "}");
  if (!parse_done(&h.p)) parse_fail(&h.p, "nothing more is expected behind the program");
  return h.g;
}
