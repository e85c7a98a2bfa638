// host_verify.c - what must hold of a program between passes: everything referred to exists, launches fit their kernels, and every kernel
// obeys its laws.
#include "host.h"

typedef struct Check {
  const Program *g;
  const char *what;
} Check;

#define WRONG(...) bug(__VA_ARGS__)

static bool has_symbol(const Program *g, const Atom *a) {
  for (int i = 0; i < g->nsym; i++)
    if (g->sym[i] == a) return true;
  return false;
}

static void check_atom(Atom *a, void *u) {
  const Check *c = u;
  if (a->kind == ATOM_VAR || a->kind == ATOM_LET) WRONG("%s uses %s, which only kernels know", c->what, a->name);
  if (a->kind == ATOM_SYM && !has_symbol(c->g, a)) WRONG("%s uses %s, which is no symbol of the program", c->what, a->name);
}
static void check_expr(const Program *g, IExpr *e, const char *what) {
  if (e) ix_atoms(e, check_atom, &(Check){g, what});
}
static void need_expr(const Program *g, IExpr *e, const char *what) {
  if (!e) WRONG("%s lacks an expression", what);
  check_expr(g, e, what);
}

static void check_buf(const Program *g, const HBuf *b, const char *what) {
  if (!b) WRONG("%s lacks a buffer", what);
  if (b->id < 0 || b->id >= g->nbuf || g->buf[b->id] != b) WRONG("%s uses %s, which is no buffer of the program", what, b->name);
}

static void check_decl(const Program *g, const HBuf *b) {
  check_buf(g, b, "the list");
  if (!b->type) WRONG("buffer %s has no type", b->name);
  for (int i = 0; b->type->kind == TYPE_TENSOR && i < b->type->rank; i++) check_expr(g, b->type->dim[i], b->name);
  check_expr(g, b->offset, b->name);
  check_expr(g, b->shift, b->name);
  int steps = 0;
  for (const HBuf *a = b; a->place == PLACE_ALIAS; a = a->alias) {
    check_buf(g, a->alias, a->name);
    if (++steps > g->nbuf) WRONG("aliases of %s form a circle", b->name);
  }
}

static int bits_of(DType t) { return t == DT_C64 ? 32 : t == DT_C128 ? 64 : dtypes[t].bits; } // kernels see the parts

static void check_operand(const HStmt *s, int i) {
  const Buf *p = s->kernel->buf[i];
  const HBuf *b = s->buf[i];
  if (b->type->kind != TYPE_TENSOR) WRONG("launch of %s: %s is no tensor", s->kernel->name, b->name);
  if (bits_of(b->type->dtype) != dtypes[p->dtype].bits)
    WRONG("launch of %s: %s is %s, %s takes %s", s->kernel->name, b->name, type_str(b->type), p->name, dtypes[p->dtype].name);
  bool written = p->kind == BUF_OUT || p->kind == BUF_INOUT;
  while (b->place == PLACE_ALIAS) b = b->alias;
  if (written && (b->place == PLACE_CONST || b->place == PLACE_INPUT)) WRONG("launch of %s writes %s", s->kernel->name, b->name);
}

static void check_launch(const Program *g, const HStmt *s) {
  bool known = false;
  for (int i = 0; i < g->nkernel; i++) known |= g->kernel[i] == s->kernel;
  if (!known) WRONG("a launch of a kernel that is not the program's");
  if (s->nbuf != kernel_params(s->kernel))
    WRONG("launch of %s with %d buffers for %d parameters", s->kernel->name, s->nbuf, kernel_params(s->kernel));
  if (s->kernel->nsym && !s->arg) WRONG("launch of %s without symbols", s->kernel->name);
  for (int i = 0; i < s->kernel->nsym; i++) need_expr(g, s->arg[i], s->kernel->name);
  for (int i = 0; i < s->nbuf; i++) check_operand(s, i);
  for (int i = 0; i < s->ntemp; i++) check_expr(g, s->temp[i], s->kernel->name);
}

static void check_symbol(const Program *g, const Atom *a, const char *what) {
  if (!a || !has_symbol(g, a)) WRONG("%s sets no symbol of the program", what);
}

static void check_site(const Program *g, int site) {
  if (site >= g->nsite) WRONG("there is no site %d", site);
}

static void need_bufs(const HStmt *s, int n, const char *what) {
  if (s->nbuf < n) WRONG("%s takes %d buffers", what, n);
}

static void check_body(const Program *g, const HStmt *s);

static void check_stmt(const Program *g, const HStmt *s) {
  for (int i = 0; i < s->nbuf; i++)
    if (s->buf[i] || (s->kind != HS_CALL && s->kind != HS_LOOP)) check_buf(g, s->buf[i], "a statement");
  switch (s->kind) {
  case HS_LAUNCH: check_launch(g, s); break;
  case HS_SET: need_bufs(s, 1, "set"), check_symbol(g, s->sym, "set"), check_expr(g, s->index, "set"), check_site(g, s->site); break;
  case HS_LET: check_symbol(g, s->sym, "let"), need_expr(g, s->expr, "let"); break;
  case HS_GROW: need_bufs(s, 1, "grow"), need_expr(g, s->expr, "grow"), check_expr(g, s->keep, "grow"); break;
  case HS_OUTPUT:
    need_bufs(s, 1, "output");
    if (s->buf[0]->place != PLACE_OUTPUT) WRONG("output of %s, which is none", s->buf[0]->name);
    break;
  case HS_CALL:
    if (!s->callee || s->nin > s->nbuf) WRONG("a malformed call");
    break;
  case HS_IF: need_bufs(s, 1, "if"), check_body(g, s->body), check_body(g, s->other); break;
  case HS_LOOP:
    if (s->sym) check_symbol(g, s->sym, "loop");
    check_expr(g, s->expr, "loop"), check_body(g, s->body);
    break;
  case HS_MOVE: need_bufs(s, 2, "move"); break;
  case HS_COPY: need_bufs(s, 2, "copy"); break;
  case HS_CHECK: need_expr(g, s->expr, "check"), check_site(g, s->site); break;
  }
}

static void check_body(const Program *g, const HStmt *s) {
  for (; s; s = s->next) check_stmt(g, s);
}

void program_verify(const Program *g) {
  if (g->nentry > g->nsym) WRONG("program %s has more entry symbols than symbols", g->name);
  for (int i = 0; i < g->nbuf; i++) check_decl(g, g->buf[i]);
  for (int i = 0; i < g->nin; i++)
    if (g->in[i].buf) check_buf(g, g->in[i].buf, "an input");
  for (int i = 0; i < g->nout; i++)
    if (g->out[i].buf) check_buf(g, g->out[i].buf, "an output");
  for (int i = 0; i < g->nrequire; i++) need_expr(g, g->require[i].expr, "require");
  for (int i = 0; i < g->nkernel; i++) {
    kernel_verify(g->kernel[i]);
    for (int j = 0; j < g->kernel[i]->nsite; j++) check_site(g, g->kernel[i]->site[j]);
  }
  check_expr(g, g->arena, "the arena");
  check_expr(g, g->scratch, "the scratch");
  check_body(g, g->body);
}
