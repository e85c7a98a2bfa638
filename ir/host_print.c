// host_print.c - a whole program as text: symbols, buffers, kernels, statements. docs/ir.md is the grammar; constants of more than 64
// elements go to the side file.
#include "graph_text.h"
#include "kernel_text.h"
#include <inttypes.h>

const char *const text_places[] = {"input", "output", "const", "arena", "slab", "alias", "handle", NULL};

typedef struct HostPrinter {
  Printer p;
  Text *side;
} HostPrinter;

static Text *out(const HostPrinter *h) { return h->p.out; }
static const char *buf_name(HostPrinter *h, const HBuf *b) { return b ? print_name(&h->p, b, b->name) : "_"; }
static const char *symbol_name(const Atom *a) { return ix_str(ix_atom((Atom *)(uintptr_t)a)); }

static void put_word(Text *t, const char *word, Sym value) { // word "value"
  if (!value) return;
  put(t, "%s ", word);
  put_quoted(t, value, sym_len(value));
}

/* ---- declarations ---- */

static void put_provenance(HostPrinter *h, const Program *g) {
  put_word(out(h), "  opsets", g->opsets), put(out(h), g->opsets ? "\n" : "");
  put_word(out(h), "  source", g->source_sha256), put(out(h), g->source_sha256 ? "\n" : "");
  put_word(out(h), "  target", g->target), put(out(h), g->target ? "\n" : "");
  put_word(out(h), "  flags", g->flags), put(out(h), g->flags ? "\n" : "");
}

static void put_symbols(HostPrinter *h, const Program *g) {
  for (int i = 0; i < g->nsym; i++) {
    const Atom *a = g->sym[i];
    put(out(h), "  symbol %s in %" PRId64 "..%" PRId64, symbol_name(a), a->lo, a->hi);
    if (a->def) put(out(h), " = %s", ix_str(a->def));
    put(out(h), i < g->nentry ? " entry\n" : "\n");
  }
}

static void put_place(HostPrinter *h, const HBuf *b) {
  Text *t = out(h);
  put(t, " %s", text_places[b->place]);
  switch (b->place) {
  case PLACE_INPUT:
  case PLACE_SLAB:
  case PLACE_HANDLE: put(t, " %d", b->index); break;
  case PLACE_OUTPUT: put(t, " %d%s", b->index, b->exact ? " exact" : ""); break;
  case PLACE_CONST: put(t, " %" PRId64, b->coffset); break;
  case PLACE_ARENA:
    if (b->offset) put(t, " at %s", ix_str(b->offset));
    break;
  case PLACE_ALIAS:
    put(t, " %s", buf_name(h, b->alias));
    if (b->shift) put(t, " shift %s", ix_str(b->shift));
  }
  print_layout(t, b->lay);
  if (b->data) put(t, " = "), text_put_tensor(t, h->side, b->data);
}

static void put_buf(HostPrinter *h, const HBuf *b) {
  put(out(h), "  buf %s: %s", buf_name(h, b), type_str(b->type));
  put_place(h, b);
  put(out(h), "\n");
}

static void put_io(HostPrinter *h, const char *word, const HIo *io) {
  Text *t = out(h);
  put_word(t, fmt("  %s", word), io->name);
  put(t, ": %s %s", type_str(io->type), buf_name(h, io->buf));
  if (io->optional) put(t, " optional");
  if (io->pair >= 0) put(t, " pair %d axis %d", io->pair, io->pair_axis);
  put(t, "\n");
}

static void put_site(HostPrinter *h, const Site *s) {
  Text *t = out(h);
  put(t, "  site node %d", s->node);
  put_word(t, " name", s->node_name);
  put_word(t, " op", s->op);
  if (s->input != INT32_MIN) put(t, " input %d", s->input);
  put_word(t, " text", s->text);
  if (s->lo) put(t, " lo %s", ix_str(s->lo));
  if (s->hi) put(t, " hi %s", ix_str(s->hi));
  put(t, "\n");
}

static void put_memory(HostPrinter *h, const Program *g) {
  put(out(h), "  memory slabs %d handles %d weights %" PRId64, g->nslab, g->nhandle, g->weights);
  if (g->arena) put(out(h), " arena %s", ix_str(g->arena));
  if (g->scratch) put(out(h), " scratch %s", ix_str(g->scratch));
  put(out(h), "\n");
}

/* ---- statements ---- */

static void put_ix_list(Text *t, IExpr *const *e, int n) {
  put(t, "[");
  for (int i = 0; i < n; i++) put(t, "%s%s", i ? ", " : "", e[i] ? ix_str(e[i]) : "_");
  put(t, "]");
}

static void put_bufs(HostPrinter *h, const HStmt *s, int from, int to) {
  for (int i = from; i < to; i++) put(out(h), "%s%s", i > from ? ", " : "", buf_name(h, s->buf[i]));
}

static void put_launch(HostPrinter *h, const HStmt *s) {
  Text *t = out(h);
  put(t, "launch %s(", print_name(&h->p, s->kernel, s->kernel->name));
  put_bufs(h, s, 0, s->nbuf);
  put(t, ")");
  if (s->arg && s->kernel->nsym) put(t, " with "), put_ix_list(t, s->arg, s->kernel->nsym);
  if (s->ntemp) put(t, " temp "), put_ix_list(t, s->temp, s->ntemp);
  if (s->base) put(t, " in %s", buf_name(h, s->base));
}

static void put_call(HostPrinter *h, const HStmt *s) {
  Text *t = out(h);
  const Attr *a = s->attrs;
  put(t, "call %s(", s->callee);
  put_bufs(h, s, 0, s->nin);
  put(t, s->nin ? " -> " : "-> ");
  put_bufs(h, s, s->nin, s->nbuf);
  put(t, ")");
  for (int i = 0; i < s->nattr; i++) {
    put(t, "%s%s = ", i ? ", " : " {", a[i].name);
    text_put_attr(t, h->side, &a[i]);
  }
  if (s->nattr) put(t, "}");
}

static void put_body(HostPrinter *h, const HStmt *s, int deep);

static void put_block(HostPrinter *h, const HStmt *s, int deep) {
  put(out(h), " {\n");
  put_body(h, s, deep + 2);
  put(out(h), "%*s}", deep, "");
}

static void put_loop(HostPrinter *h, const HStmt *s, int deep) {
  Text *t = out(h);
  put(t, "loop");
  if (s->sym) put(t, " %s", symbol_name(s->sym));
  if (s->expr) put(t, " below %s", ix_str(s->expr));
  if (s->nbuf && s->buf[0]) put(t, " while %s", buf_name(h, s->buf[0]));
  put_block(h, s->body, deep);
}

static void put_stmt(HostPrinter *h, const HStmt *s, int deep) {
  Text *t = out(h);
  switch (s->kind) {
  case HS_LAUNCH: put_launch(h, s); break;
  case HS_CALL: put_call(h, s); break;
  case HS_LET: put(t, "let %s = %s", symbol_name(s->sym), ix_str(s->expr)); break;
  case HS_GROW:
    put(t, "grow %s to %s", buf_name(h, s->buf[0]), ix_str(s->expr));
    if (s->keep) put(t, " keep %s", ix_str(s->keep));
    break;
  case HS_OUTPUT: put(t, "output %s", buf_name(h, s->buf[0])); break;
  case HS_MOVE: put(t, "move %s <- %s", buf_name(h, s->buf[0]), buf_name(h, s->buf[1])); break;
  case HS_COPY: put(t, "copy %s <- %s", buf_name(h, s->buf[0]), buf_name(h, s->buf[1])); break;
  case HS_SET:
    put(t, "set %s = %s", symbol_name(s->sym), buf_name(h, s->buf[0]));
    put_ix_list(t, &s->index, s->index ? 1 : 0);
    if (s->site >= 0) put(t, " site %d", s->site);
    break;
  case HS_CHECK:
    put(t, "check %s", ix_str(s->expr));
    if (s->site >= 0) put(t, " site %d", s->site);
    break;
  case HS_IF:
    put(t, "if %s", buf_name(h, s->buf[0]));
    put_block(h, s->body, deep);
    if (s->other) put(t, " else"), put_block(h, s->other, deep);
    break;
  case HS_LOOP: put_loop(h, s, deep); break;
  }
}

static void put_body(HostPrinter *h, const HStmt *s, int deep) {
  for (; s; s = s->next) {
    put(out(h), "%*s", deep, "");
    put_stmt(h, s, deep);
    put(out(h), "\n");
  }
}

void program_print(const Program *g, Text *text, Text *side) {
  HostPrinter h = {.side = side};
  printer_start(&h.p, text, false);
  put_word(text, "program", g->name);
  put(text, " {\n");
  put_provenance(&h, g);
  put_symbols(&h, g);
  for (int i = 0; i < g->nrequire; i++) {
    if (ix_prove_ge0(g->require[i].expr)) continue; // the ranges of symbols, checked at entry too, have come to say it
    put(text, "  require %s", ix_str(g->require[i].expr));
    put_word(text, " text", g->require[i].text), put(text, "\n");
  }
  for (int i = 0; i < g->nbuf; i++) put_buf(&h, g->buf[i]);
  for (int i = 0; i < g->nin; i++) put_io(&h, "in", &g->in[i]);
  for (int i = 0; i < g->nout; i++) put_io(&h, "out", &g->out[i]);
  for (int i = 0; i < g->nsite; i++) put_site(&h, &g->site[i]);
  put_memory(&h, g);
  for (int i = 0; i < g->nkernel; i++) {
    Printer own; // names are unique in a kernel; those of symbols are the program's
    printer_start(&own, text, false);
    print_reserve(&own, g->sym, g->nsym);
    print_kernel(&own, g->kernel[i], print_name(&h.p, g->kernel[i], g->kernel[i]->name));
  }
  put(text, "  body");
  put_block(&h, g->body, 2);
  put(text, "\n}\n");
}
