// eval_program.c - interprets host programs: memory for every value, symbols in their atoms, kernels by eval.c.
//
// Values in the arena get memory of their own, whatever the memory plan gave them, so that the plan can be tested against this.
// Constants with a layout are packed when they are first used.
#include "host.h"
#include <stdlib.h>
#include <string.h>

EvalHost *eval_host;
bool (*eval_kernel)(Kernel *, EvalFault *);

typedef struct Memory {
  char *p;
  int64_t bytes;
  bool borrowed; // input or constant: neither written nor freed
} Memory;
typedef struct Run {
  Program *p;
  Tensor *const *in;
  Tensor **out;
  Memory *buf, *slab; // by HBuf.id, by slot
  void **handle;      // by slot
  EvalFault *fault;
  Exit code;
} Run;

/* ---- memory ---- */

static void room(Memory *m, int64_t bytes, int64_t keep) { // grows only
  if (bytes <= m->bytes && m->p) return;
  char *q = malloc((size_t)bytes + 64);
  if (!q) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for the interpreter");
  memset(q, 0xff, (size_t)bytes + 64); // NaN: what nobody writes shows
  if (m->p) memcpy(q, m->p, (size_t)(keep < m->bytes ? keep : m->bytes));
  if (!m->borrowed) free(m->p);
  *m = (Memory){q, bytes, false};
}

static int64_t bytes_of(const HBuf *b) { return dtype_bytes(b->type->dtype, ix_eval(hbuf_size(b))); }

// A constant in the order of its layout: by a kernel that copies it, into memory that holds the fill value.
static char *pack(const HBuf *b) {
  Kernel *k = kernel_new(sym("pack"));
  int rank = b->type->rank;
  IExpr *i[MAX_RANK];
  for (int d = 0; d < rank; d++) i[d] = ix_var(sym_fmt("i%d", d), b->type->dim[d]);
  Buf *from = kernel_buf(k, sym("from"), BUF_IN, b->type->dtype, rank, b->type->dim);
  Buf *to = kernel_buf(k, sym("to"), BUF_OUT, b->type->dtype, rank, b->type->dim);
  to->lay = b->lay;
  kernel_stage(k, sym("copy"), C_SET, to, rank, i, NULL, i, ex_load(from, i));
  int64_t n = ix_eval(hbuf_size(b));
  Tensor *t = tensor_new(b->type->dtype, 1, (int64_t[]){n}, NULL);
  for (int64_t e = 0; b->lay->fill != 0 && e < n; e++) tensor_set_float(t, e, b->lay->fill);
  char *r = malloc((size_t)t->bytes + 64);
  if (!r) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for the interpreter");
  memcpy(r, t->data, (size_t)t->bytes);
  from->data = (void *)(uintptr_t)b->data->data, to->data = r;
  eval_stages(k, NULL);
  return r;
}

static char *constant(Memory *m, const HBuf *b) {
  if (m->p) return m->p;
  if (!b->data) bug("constant %s has no contents", b->name);
  if (b->lay) *m = (Memory){pack(b), bytes_of(b), false};
  else if ((uintptr_t)b->data->data % 16 == 0) *m = (Memory){(char *)(uintptr_t)b->data->data, b->data->bytes, true};
  else { // the model file's alignment is anything
    room(m, b->data->bytes, 0);
    memcpy(m->p, b->data->data, (size_t)b->data->bytes);
  }
  return m->p;
}

static char *output(Run *r, const HBuf *b) {
  Memory *m = &r->buf[b->id];
  room(m, bytes_of(b), 0);
  return m->p;
}

static char *data_of(Run *r, const HBuf *b) {
  Memory *m = &r->buf[b->id];
  switch (b->place) {
  case PLACE_INPUT: return r->in[b->index] ? (char *)(uintptr_t)r->in[b->index]->data : NULL;
  case PLACE_CONST: return constant(m, b);
  case PLACE_OUTPUT: return m->p ? m->p : output(r, b);
  case PLACE_ARENA: room(m, bytes_of(b), m->bytes); return m->p;
  case PLACE_SLAB:
    m = &r->slab[b->index];
    room(m, bytes_of(b), m->bytes);
    return m->p;
  case PLACE_ALIAS: {
    int64_t shift = b->shift ? ix_eval(b->shift) : 0;
    return data_of(r, b->alias) + shift * dtypes[b->type->dtype].bits / 8;
  }
  default: return NULL;
  }
}

static void **slot_of(Run *r, const HBuf *b) { // of a value behind a handle
  switch (b->place) {
  case PLACE_INPUT: return &eval_host->in[b->index];
  case PLACE_OUTPUT: return &eval_host->out[b->index];
  case PLACE_HANDLE: return &r->handle[b->index];
  default: bug("%s is no handle", b->name);
  }
}

static int64_t element(Run *r, const HBuf *b, int64_t i) {
  return tensor_int(&(Tensor){.dtype = b->type->dtype, .rank = 1, .dim = {i + 1}, .data = data_of(r, b)}, i);
}

/* ---- statements ---- */

static bool refuse(Run *r, int site, int64_t pos, int64_t value) {
  r->code = EXIT_DATA;
  if (r->fault) *r->fault = (EvalFault){site, pos, value};
  return false;
}
static bool unsupported(Run *r) { return r->code = EXIT_UNSUPPORTED, false; }

// Symbols of the kernel take the launch's values; a named one forgets its definition meanwhile, because another program's kernel with
// other definitions may have been merged into this one.
static bool launch(Run *r, const HStmt *s) {
  Kernel *k = s->kernel;
  int64_t value[256], old[256];
  void *def[256];
  if (k->nsym > 256) bug("kernel %s has %d symbols", k->name, k->nsym);
  int n = kernel_params(k);
  if (n != s->nbuf) bug("launch of %s with %d buffers instead of %d", k->name, s->nbuf, n);
  for (int i = 0; i < n; i++) k->buf[i]->data = data_of(r, s->buf[i]);
  for (int i = 0; i < k->nsym; i++) value[i] = ix_eval(s->arg[i]);
  for (int i = 0; i < k->nsym; i++) {
    old[i] = k->sym[i]->val, def[i] = k->sym[i]->def;
    k->sym[i]->val = value[i], k->sym[i]->def = NULL;
  }
  bool ok = eval_kernel ? eval_kernel(k, r->fault) : k->tree ? eval_tree(k, r->fault) : eval_stages(k, r->fault);
  for (int i = 0; i < k->nsym; i++) k->sym[i]->val = old[i], k->sym[i]->def = def[i];
  if (!ok) r->code = EXIT_DATA;
  return ok;
}

static bool set(Run *r, const HStmt *s) {
  int64_t at = ix_eval(s->index), v = element(r, s->buf[0], at), lo = s->sym->lo, hi = s->sym->hi;
  if ((v < lo || v > hi) && s->site >= 0) return refuse(r, s->site, at, v);
  s->sym->val = v < lo ? lo : v > hi ? hi : v;
  return true;
}

static bool known_dims(const HBuf *b) { // a result whose dims the call itself sets has memory that grows, or an output's
  return !(b->place == PLACE_SLAB || (b->place == PLACE_OUTPUT && !b->exact));
}

static void take_result(Run *r, const HBuf *b, const void *data) { // the symbols of its dims are set
  Memory *m = b->place == PLACE_SLAB ? &r->slab[b->index] : &r->buf[b->id];
  int64_t bytes = bytes_of(b);
  room(m, bytes, 0);
  if (bytes) memcpy(m->p, data, (size_t)bytes);
}

static bool call(Run *r, const HStmt *s) {
  if (!eval_host) return unsupported(r);
  EvalPlace *at = NEWN(EvalPlace, s->nbuf + 1);
  for (int i = 0; i < s->nbuf; i++) {
    const HBuf *b = s->buf[i];
    if (!b) continue;
    if (hbuf_is_handle(b)) at[i].handle = slot_of(r, b);
    else if (i < s->nin || known_dims(b)) at[i].data = data_of(r, b);
  }
  EvalFault fault = {.site = s->site};
  if (!eval_host->call(s, at, &fault)) return refuse(r, fault.site, fault.pos, fault.value);
  for (int i = s->nin; i < s->nbuf; i++)
    if (s->buf[i] && !at[i].handle && !known_dims(s->buf[i])) take_result(r, s->buf[i], at[i].data);
  return true;
}

static bool move(Run *r, const HStmt *s) {
  if (s->buf[0]->place != PLACE_SLAB || s->buf[1]->place != PLACE_SLAB) {
    if (!eval_host) return unsupported(r);
    return eval_host->move(slot_of(r, s->buf[0]), slot_of(r, s->buf[1])), true;
  }
  Memory *a = &r->slab[s->buf[0]->index], *b = &r->slab[s->buf[1]->index], m = *a;
  *a = *b;
  *b = m;
  return true;
}

static bool statements(Run *r, const HStmt *s);

static bool loop(Run *r, const HStmt *s) {
  int64_t i = 0;
  for (;; i++) {
    s->sym->val = i;
    if (s->expr && i >= ix_eval(s->expr)) return true;
    if (s->nbuf && s->buf[0] && !element(r, s->buf[0], 0)) return true;
    if (!statements(r, s->body)) return false;
    s->sym->val = i;
  }
}

static void copy(Run *r, const HStmt *s) {
  char *to = data_of(r, s->buf[0]);
  const char *from = data_of(r, s->buf[1]);
  int64_t n = bytes_of(s->buf[1]);
  if (n) memmove(to, from, (size_t)n);
}

static bool statement(Run *r, const HStmt *s) {
  switch (s->kind) {
  case HS_LAUNCH: return launch(r, s);
  case HS_SET: return set(r, s);
  case HS_LET: s->sym->val = ix_eval(s->expr); return true;
  case HS_GROW: room(&r->slab[s->buf[0]->index], ix_eval(s->expr), s->keep ? ix_eval(s->keep) : 0); return true;
  case HS_OUTPUT: output(r, s->buf[0]); return true;
  case HS_CALL: return call(r, s);
  case HS_IF: return statements(r, element(r, s->buf[0], 0) ? s->body : s->other);
  case HS_LOOP: return loop(r, s);
  case HS_MOVE: return move(r, s);
  case HS_COPY: copy(r, s); return true;
  case HS_CHECK: {
    int64_t v = ix_eval(s->expr);
    return v >= 0 || refuse(r, s->site, 0, v);
  }
  }
  bug("host statement %d", s->kind);
}

static bool statements(Run *r, const HStmt *s) {
  for (; s; s = s->next)
    if (!statement(r, s)) return false;
  return true;
}

/* ---- entry and exit ---- */

static bool bind_tensor(Run *r, int i, bool first) { // first: its dims give symbols their values; then: every dim as the type has it
  const Type *t = r->p->in[i].type;
  const Tensor *x = r->in[i];
  if (x->dtype != t->dtype || (t->rank >= 0 && x->rank != t->rank)) return refuse(r, -1, i, x->rank);
  for (int d = 0; d < t->rank; d++) {
    Atom *a = ix_is_atom(t->dim[d]);
    if (first && a && a->kind == ATOM_SYM && !a->def) {
      a->val = x->dim[d];
      if (x->dim[d] < a->lo || x->dim[d] > a->hi) return refuse(r, -1, i, x->dim[d]);
    } else if (!first && ix_eval(t->dim[d]) != x->dim[d]) return refuse(r, -1, i, x->dim[d]);
  }
  return true;
}

static bool bind(Run *r) {
  const Program *p = r->p;
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < p->nin; i++) {
      bool handle = hbuf_is_handle(p->in[i].buf), tensor = p->in[i].type->kind == TYPE_TENSOR;
      if (handle && !eval_host) return unsupported(r);
      bool there = handle ? eval_host->in[i] != NULL : r->in && r->in[i];
      if (!there && !p->in[i].optional) return refuse(r, -1, i, 0);
      if (there && tensor && !bind_tensor(r, i, pass == 0)) return false;
    }
  for (int i = 0; i < p->nrequire; i++)
    if (ix_eval(p->require[i].expr) < 0) return refuse(r, -1, i, ix_eval(p->require[i].expr));
  return true;
}

static bool results(Run *r) {
  for (int i = 0; i < r->p->nout; i++) {
    const HBuf *b = r->p->out[i].buf;
    if (hbuf_is_handle(b)) {
      if (!eval_host) return unsupported(r);
      continue;
    }
    int64_t dim[MAX_RANK];
    for (int d = 0; d < b->type->rank; d++) dim[d] = ix_eval(b->type->dim[d]);
    Tensor *t = r->out[i] = tensor_new(b->type->dtype, b->type->rank, dim, NULL);
    if (t->bytes) memcpy((void *)(uintptr_t)t->data, data_of(r, b), (size_t)t->bytes);
  }
  return true;
}

static void release(Memory *m, int n) {
  for (int i = 0; i < n; i++)
    if (!m[i].borrowed) free(m[i].p);
}

Exit program_eval(Program *p, Tensor *const *in, Tensor **out, EvalFault *fault) {
  Run r = {.p = p, .in = in, .out = out, .fault = fault};
  r.buf = NEWN(Memory, p->nbuf + 1);
  r.slab = NEWN(Memory, p->nslab + 1);
  r.handle = NEWN(void *, p->nhandle + 1);
  if (fault) *fault = (EvalFault){.site = -1};
  if (bind(&r) && statements(&r, p->body)) results(&r);
  release(r.buf, p->nbuf);
  release(r.slab, p->nslab);
  return r.code;
}
