// evalhost.c - binds the runtime's host operators to the interpreter: a frame and a run for each call, as generated code makes them.
#include "evalhost.h"
#include "ir/graph.h"
#include <stdlib.h>
#include <string.h>

#define HOSTOP(name, signature, text) void tn_op_##name(tn_call *);
#include "runtime/hostops.def"
#undef HOSTOP
static const struct {
  const char *name;
  tn_op *op;
} host_op[] = {
#define HOSTOP(name, signature, text) {#name, tn_op_##name},
#include "runtime/hostops.def"
#undef HOSTOP
};
_Static_assert(sizeof(Str) == sizeof(tenon_str) && sizeof(size_t) == sizeof(uint64_t), "strings are passed on as they are");

static void *take(void *user, uint64_t bytes, uint64_t align, DLDevice device) {
  (void)user, (void)device;
  void *p;
  return posix_memalign(&p, align, bytes) ? NULL : p;
}
static void give_back(void *user, void *p, uint64_t bytes, DLDevice device) { (void)user, (void)bytes, (void)device, free(p); }

static const Program *program;
static struct tenon_model model = {.mem = {.size = sizeof(tenon_allocator), .alloc = take, .free = give_back}};
static struct tn_run run = {.m = &model};
static void **result; // memory of the last call's results, by operand
static int nresult;
static tn_frame frame = {.run = &run};

/* ---- operands ---- */

static int64_t *symbol(IExpr *dim) { // that only the run gives a value
  Atom *a = ix_is_atom(dim);
  if (!a || a->kind != ATOM_SYM || a->def) return NULL;
  for (int i = 0; i < program->nentry; i++)
    if (program->sym[i] == a) return NULL;
  return &a->val;
}

static tn_operand operand(const HBuf *b, const EvalPlace *at, bool is_result) {
  tn_operand o = {.h = (tenon_value **)at->handle, .slab = -1, .out = -1};
  if (!b) return o;
  for (int d = 0; is_result && b->type->kind == TYPE_TENSOR && d < b->type->rank; d++) o.dim_sym[d] = symbol(b->type->dim[d]);
  if (o.h) return o;
  o.t = NEW(tn_tensor);
  *o.t = (tn_tensor){at->data, (int32_t)b->type->dtype, b->type->rank, {0}};
  for (int d = 0; d < b->type->rank; d++) o.t->dim[d] = o.dim_sym[d] ? 0 : ix_eval(b->type->dim[d]);
  return o;
}

static tn_tensor *tensor_attr(const Tensor *t) { // the model file's alignment is anything
  tn_tensor *r = NEW(tn_tensor);
  void *data = memcpy(mem((size_t)t->bytes + 1), t->data, (size_t)t->bytes);
  *r = (tn_tensor){data, (int32_t)t->dtype, t->rank, {0}};
  for (int d = 0; d < t->rank; d++) r->dim[d] = t->dim[d];
  return r;
}

static tn_attr attribute(const Attr *a) {
  tn_attr r = {.name = a->name, .kind = (int32_t)a->kind, .n = 1};
  switch (a->kind) {
  case ATTR_INT: r.i = a->i; break;
  case ATTR_FLOAT: r.f = a->f; break;
  case ATTR_STRING: r.strings = (const tenon_str *)(const void *)&a->s; break;
  case ATTR_INTS: r.ints = a->ints, r.n = a->n; break;
  case ATTR_FLOATS: r.floats = a->floats, r.n = a->n; break;
  case ATTR_STRINGS: r.strings = (const tenon_str *)(const void *)a->strings, r.n = a->n; break;
  case ATTR_TENSOR: r.t = tensor_attr(a->t); break;
  default: r.n = 0; // a type: the op's operands say it
  }
  return r;
}

/* ---- calls ---- */

static void forget_results(int n) {
  for (int i = 0; i < nresult; i++) tn_slab_free(&model, result[i]);
  result = frame.slab = NEWN(void *, n + 1);
  nresult = n;
}

static tn_op *op_named(Sym name) {
  for (size_t i = 0; i < sizeof host_op / sizeof *host_op; i++)
    if (!strcmp(host_op[i].name, name)) return host_op[i].op;
  fail(EXIT_UNSUPPORTED, "evalhost.op", NOWHERE, "the interpreter has no host operator %s", name);
}

static bool call(const HStmt *s, EvalPlace *at, EvalFault *fault) {
  tn_operand *o = NEWN(tn_operand, s->nbuf + 1);
  tn_attr *attr = NEWN(tn_attr, s->nattr + 1);
  forget_results(s->nbuf);
  for (int i = 0; i < s->nbuf; i++) {
    o[i] = operand(s->buf[i], &at[i], i >= s->nin);
    if (o[i].t && !at[i].data) o[i].slab = i;
  }
  for (int i = 0; i < s->nattr; i++) attr[i] = attribute(&((const Attr *)s->attrs)[i]);
  tn_call c = {&frame, (uint32_t)s->site, (uint32_t)s->nin, (uint32_t)(s->nbuf - s->nin), (uint32_t)s->nattr, o, o + s->nin, attr};
  op_named(s->callee)(&c);
  if (run.nomem) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for %s", s->callee);
  if (run.fault) *fault = (EvalFault){(int)run.site, run.pos, run.value};
  for (int i = s->nin; i < s->nbuf; i++)
    if (o[i].slab >= 0) at[i].data = o[i].t->data;
  return !run.fault;
}

static void move(void **to, void **from) { tn_move(&frame, (tenon_value **)to, (tenon_value **)from); }

/* ---- the program's inputs and outputs ---- */

void evalhost_bind(const Program *p) {
  static EvalHost host = {.call = call, .move = move};
  program = p;
  host.in = NEWN(void *, p->nin + 1), host.out = NEWN(void *, p->nout + 1);
  eval_host = &host;
}

void evalhost_give(int input, const tenon_value *v) {
  if (!tn_value_import(&model, v, (tenon_value **)&eval_host->in[input]))
    fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for an input");
}

const tenon_value *evalhost_result(int output) { return eval_host->out[output]; }

const char *evalhost_text(void) { return run.text_set ? run.text : ""; }
