// phase.c - prints one phase as a CUDA kernel: the grid, loops, statements, barriers.
//
// Barriers: a set of what was read and written since the last one is kept; before a region (a thread loop, or a statement of one thread)
// that conflicts with it stands a __syncthreads. They are all outside thread loops, in code that every thread of the block runs: a kernel
// that wants one inside, since a loop over the other dimension there hands cells from thread to thread, is refused.
#include "cuda.h"
#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* ---- text ---- */

static void indent(Cuda *c) {
  for (int i = 0; i < c->indent; i++) put(c->out, "  ");
}
void line(Cuda *c, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  indent(c);
  put(c->out, "%s\n", vfmt(format, ap));
  va_end(ap);
}
void open_block(Cuda *c, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  const char *head = vfmt(format, ap);
  va_end(ap);
  indent(c);
  put(c->out, "%s%s{\n", head, *head ? " " : "");
  c->indent++;
}
void close_block(Cuda *c) {
  c->indent--;
  line(c, "}");
}

/* ---- what a subtree touches ---- */

typedef struct Set {
  bool read[MAX_BUFS], written[MAX_BUFS]; // by Buf.id
} Set;
typedef struct Access {
  Set one, many; // by the one thread (for each iteration of the thread loops around) that stores outside thread loops; by others too
} Access;

static void read_of(Ex *e, void *u) {
  if (e->op == S_LOAD && place_of(e->buf)->home != HOME_LOCAL) ((Set *)u)->read[e->buf->id] = true;
}

static void index_reads(IExpr *e, Set *s) {
  ex_epoch++; // whatever was walked before
  ex_walk_index(e, read_of, s);
}

static void statement_touches(const Tree *t, Set *s) {
  ex_walk(t->val, read_of, s);
  if (t->cond) ex_walk_more(t->cond, read_of, s);
  for (int d = 0; d < t->buf->rank; d++) index_reads(t->ix[d], s);
  for (int i = 0; i < t->npred; i++) index_reads(t->pred[i], s);
  if (place_of(t->buf)->home == HOME_LOCAL) return;
  s->written[t->buf->id] = true;
  if (t->combine != C_SET) s->read[t->buf->id] = true;
}

static void touched(const Cuda *c, const Tree *t, bool many, Access *a) { // one node with its body
  int d = thread_dim(t);
  if (t->kind == T_FOR) index_reads(t->ext, &a->many);
  if (t->kind == T_WHILE) ex_walk(t->cond, read_of, &a->many);
  if (t->kind == T_STMT) statement_touches(t, many || place_of(t->buf)->home == HOME_LOCAL ? &a->many : &a->one);
  many |= d >= 0 && !(c->covered >> d & 1);
  for (const Tree *q = t->body; q; q = q->next) touched(c, q, many, a);
}

static bool clash(const Set *a, const Set *b) {
  for (int i = 0; i < MAX_BUFS; i++) { // a tree's own allocations have numbers beyond the kernel's list
    if ((a->written[i] && (b->read[i] || b->written[i])) || (a->read[i] && b->written[i])) return true;
  }
  return false;
}

static bool conflict(const Access *a, const Access *b) {
  return clash(&a->many, &b->many) || clash(&a->many, &b->one) || clash(&a->one, &b->many);
}

static void add(Set *a, const Set *b) {
  for (int i = 0; i < MAX_BUFS; i++) a->read[i] |= b->read[i], a->written[i] |= b->written[i];
}

static void join(Access *a, const Access *b) { add(&a->one, &b->one), add(&a->many, &b->many); }

static bool many_threads(const Cuda *c) { return c->block[0] * c->block[1] > 1; }

static bool all_covered(const Cuda *c) { // does a loop around give every thread its own iterations?
  return (c->block[0] == 1 || c->covered & 1) && (c->block[1] == 1 || c->covered & 2);
}

static void barrier(Cuda *c, Access *since) {
  if (c->covered) fail(EXIT_UNSUPPORTED, "cuda.barrier", NOWHERE, "kernel %s wants a barrier inside a loop over threads", c->k->name);
  if (many_threads(c)) line(c, "SYNC;");
  *since = (Access){0};
}

static void before(Cuda *c, const Tree *t, Access *since) {
  Access a = {0};
  touched(c, t, false, &a);
  if (conflict(since, &a)) barrier(c, since);
  join(since, &a);
}

/* ---- statements ---- */

static const char *combined(const Tree *t, const char *cell, const char *x, const char *y) {
  DType reg = dtypes[t->buf->dtype].reg;
  bool f = reg == DT_F32 || reg == DT_F64;
  const char *T = c_type(reg), *U = reg == DT_I32 ? "u32" : "u64";
  if (y) return fmt("fma%s(%s, %s, %s)", reg == DT_F32 ? "f" : "", x, y, cell);
  switch (t->combine) {
  case C_add:
  case C_mul: {
    char o = t->combine == C_add ? '+' : '*';
    return f ? fmt("%s %c %s", cell, o, x) : fmt("(%s)((%s)%s %c (%s)%s)", T, U, cell, o, U, x);
  }
  case C_max:
  case C_min:
    if (f) return fmt("tn_%s_%s(%s, %s)", t->combine == C_max ? "max" : "min", T, cell, x);
    return fmt("%s %c %s ? %s : %s", cell, t->combine == C_max ? '>' : '<', x, cell, x);
  default: return fmt("%s %c %s", cell, t->combine == C_and ? '&' : t->combine == C_or ? '|' : '^', x);
  }
}

static bool is_table(const Ex *e) { return e->op == S_LOAD && e->buf->table; }

static void effect(Cuda *c, const Tree *t) {
  const char *T = c_type(dtypes[t->buf->dtype].reg), *x, *y = NULL;
  bool product = t->combine == C_add && t->val->op == S_mul && (t->val->type == DT_F32 || t->val->type == DT_F64);
  x = c_scalar(c, product ? t->val->a[0] : t->val);
  if (product) y = c_scalar(c, t->val->a[1]);
  const char *at = c_cell(c, t->buf, t->ix);
  check_lets(c);
  const char *table = product && is_table(t->val->a[0]) ? x : product && is_table(t->val->a[1]) ? y : NULL;
  if (table) open_block(c, "if (%s != 0)", table);
  if (t->combine != C_SET) {
    const char *cell = fmt("t%d", c->serial++);
    line(c, "const %s %s = %s;", T, cell, c_load(t->buf, at));
    x = fmt("(%s)", combined(t, cell, x, y));
  }
  c_store(c, t->buf, at, x);
  if (table) close_block(c);
}

// Outside thread loops one thread stores; a thread's own cells are everybody's business.
static const char *one_thread(const Cuda *c, const Buf *b) {
  if (place_of(b)->home == HOME_LOCAL) return NULL;
  bool x = c->block[0] > 1 && !(c->covered & 1), y = c->block[1] > 1 && !(c->covered & 2);
  return x && y ? "TX == 0 && TY == 0" : x ? "TX == 0" : y ? "TY == 0" : NULL;
}

static void statement(Cuda *c, const Tree *t) {
  const char *one = one_thread(c, t->buf);
  scalar_begin(c);
  if (one) open_block(c, "if (%s)", one);
  open_block(c, "%s", "");
  Text when = {0};
  for (int i = 0; i < t->npred; i++) put(&when, "%s%s >= 0", i ? " && " : "", c_index(c, t->pred[i]));
  if (when.n) open_block(c, "if (%s)", when.p);
  if (t->cond) open_block(c, "if (%s)", c_scalar(c, t->cond));
  effect(c, t);
  if (t->cond) close_block(c);
  if (when.n) close_block(c);
  close_block(c);
  if (one) close_block(c);
}

/* ---- loops ---- */

static const char *variable(Cuda *c, const Tree *t) {
  Atom *v = ix_is_atom(t->var);
  const char *name = fmt("%s_%d", v->name, c->serial++);
  bind_variable(v, name);
  return name;
}

static const char *int_type(const Tree *t) {
  Atom *v = ix_is_atom(t->var);
  return v->lo >= INT_MIN && v->hi <= INT_MAX ? "int" : "i64";
}

static void trees(Cuda *c, const Tree *t, Access *since);

static void thread_loop(Cuda *c, const Tree *t, int dim) {
  int64_t n = 0;
  const char *id = dim ? "TY" : "TX", *ext, *name;
  scalar_begin(c);
  ext = c_index(c, t->ext);
  name = variable(c, t);
  if (ix_const(t->ext, &n) && n <= c->block[dim]) {
    if (n < c->block[dim]) open_block(c, "if (%s < %lld)", id, (long long)n);
    else open_block(c, "%s", "");
    line(c, "const int %s = %s;", name, id);
  } else open_block(c, "for (%s %s = %s; %s < %s; %s += %lld)", int_type(t), name, id, name, ext, name, (long long)c->block[dim]);
  unsigned saved = c->covered;
  c->covered |= 1u << dim;
  trees(c, t->body, all_covered(c) ? NULL : &(Access){0});
  c->covered = saved;
  close_block(c);
}

static void plain_loop(Cuda *c, const Tree *t, Access *since) {
  if (since) { // an extent may be loaded
    Access loaded = {0};
    index_reads(t->ext, &loaded.many);
    if (conflict(since, &loaded)) barrier(c, since);
    join(since, &loaded);
  }
  scalar_begin(c);
  open_block(c, "%s", "");
  const char *ext = c_index(c, t->ext), *name = variable(c, t);
  if (t->map == MAP_UNROLL) line(c, "UNROLL");
  open_block(c, "for (%s %s = 0; %s < %s; %s++)", int_type(t), name, name, ext, name);
  Access entry = since ? *since : (Access){0}, body = {0};
  trees(c, t->body, since);
  if (since) { // the next iteration follows
    touched(c, t, false, &body);
    if (conflict(since, &body)) barrier(c, since);
    join(since, &entry); // the loop may run zero times
  }
  close_block(c);
  close_block(c);
}

static void while_loop(Cuda *c, const Tree *t, Access *since) { // since: all threads have one condition, read between barriers
  if (since) barrier(c, since);
  open_block(c, "for (;;)");
  scalar_begin(c);
  line(c, "if (!%s) break;", c_scalar(c, t->cond));
  if (since) barrier(c, since);
  trees(c, t->body, since);
  if (since) barrier(c, since);
  close_block(c);
}

static void declare(Cuda *c, const Buf *b) {
  scalar_begin(c);
  const Place *p = place_of(b);
  const char *type = storage_type(b->dtype);
  if (p->home == HOME_LOCAL) line(c, "%s %s[%lld];", type, p->name, (long long)p->bytes * 8 / dtypes[b->dtype].bits);
  if (p->home == HOME_SHARED) line(c, "%s *const %s = (%s *)(tn_shared + %lld);", type, p->name, type, (long long)p->at);
  if (p->home == HOME_SCRATCH)
    line(c, "%s *const %s = (%s *)(scratch + BX*scratch_block + %s);", type, p->name, type, c_index(c, p->offset));
}

// since NULL: inside the thread loops of all dimensions, where threads have nothing in common
static void trees(Cuda *c, const Tree *t, Access *since) {
  for (; t; t = t->next) {
    int dim = thread_dim(t);
    if (dim >= 0 && (c->covered >> dim & 1)) dim = -1;
    bool region = t->kind == T_STMT || dim >= 0;
    if (region && since) before(c, t, since);
    if (t->kind == T_STMT) statement(c, t);
    else if (dim >= 0) thread_loop(c, t, dim);
    else if (t->kind == T_FOR) plain_loop(c, t, since);
    else if (t->kind == T_WHILE) while_loop(c, t, since);
    else if (t->kind == T_ALLOC) declare(c, t->buf);
    else if (t->kind == T_SYNC && since) barrier(c, since);
  }
}

/* ---- the grid ---- */

bool is_grid(const Tree *t) { return t->kind == T_FOR && (t->map == MAP_PAR || (t->map >= MAP_BLOCK_X && t->map <= MAP_BLOCK_Z)); }

// The grid loop that is all of t's body, barriers aside; NULL: there is none.
const Tree *next_grid(const Tree *t) {
  const Tree *r = t->body;
  if (!r || !is_grid(r) || ix_has(r->ext, ix_is_atom(t->var))) return NULL;
  for (const Tree *q = r->next; q; q = q->next)
    if (q->kind != T_SYNC) return NULL;
  return r;
}

// Loops of the grid, innermost fastest, as parts of the block number; returns the body.
static const Tree *grid_loops(Cuda *c, const Tree *t, const char *number) {
  const Tree *loop[MAX_BANDS];
  int n = 0;
  for (const Tree *g = t; g && n < MAX_BANDS; g = next_grid(g)) loop[n++] = g;
  for (int i = n - 1; i >= 0; i--) {
    const char *ext = c_index(c, loop[i]->ext), *name = variable(c, loop[i]), *left = fmt("g%d", c->serial++);
    if (i == 0) line(c, "const %s %s = (%s)%s;", int_type(loop[i]), name, int_type(loop[i]), number);
    else {
      line(c, "const i64 %s = %s / %s;", left, number, ext);
      line(c, "const %s %s = (%s)(%s - %s*%s);", int_type(loop[i]), name, int_type(loop[i]), number, left, ext);
      number = left;
    }
  }
  return loop[n - 1]->body;
}

static void print_grid(Cuda *c, const Tree *first, const Tree *end) {
  Access since = {0};
  if (first->next == end) {
    trees(c, grid_loops(c, first, "BX"), &since);
    return;
  }
  line(c, "i64 block = BX;");
  for (const Tree *t = first; t != end; t = t->next) { // pieces: the blocks of one follow those of the piece before
    scalar_begin(c);
    const char *ext = c_index(c, t->ext), *name = variable(c, t);
    open_block(c, "if (block >= 0 && block < %s)", ext);
    line(c, "const %s %s = (%s)block;", int_type(t), name, int_type(t));
    since = (Access){0};
    trees(c, t->body, &since);
    close_block(c);
    line(c, "block -= %s;", ext);
  }
}

void print_phase(Cuda *c, const Tree *first, const Tree *end, const char *name) {
  (void)name;
  line(c, "SHARED");
  line(c, "(void)tn_shared, (void)scratch, (void)scratch_block, (void)fault;");
  c->covered = 0;
  if (is_grid(first)) print_grid(c, first, end);
  else {
    Access since = {0};
    Tree one = *first;
    for (const Tree *t = first; t != end; t = t->next) {
      one = *t;
      one.next = NULL;
      trees(c, &one, &since);
    }
  }
}
