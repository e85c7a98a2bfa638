// kernel.c - a built kernel to functions: one for each phase, void <prefix>_k<N>_p<M>(arg, chunk, scratch).
//
// unroll: the variable is bound to a constant and the body emitted again. vec: lockstep lanes. reg temps: an entry alloca with constant
// indices, which SROA promotes. par: the leading nested loops of a phase are its chunks, everything further inside is an ordinary loop.
// arg: the frame, the parameters' addresses, the temps' (phase.h), the symbols.
#include "emit.h"

static const Kernel *kernel;

const char *phase_name(int k, int p) { return fmt("%s_k%d_p%d", em.opt->prefix, k, p); }

V phase_declare(int k, int p) {
  const char *name = phase_name(k, p);
  V f = LLVMGetNamedFunction(em.mod, name);
  if (f) return f;
  f = LLVMAddFunction(em.mod, name, LLVMFunctionType(em.none, (T[]){em.ptr, em.i64, em.ptr}, 3, 0));
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  return f;
}

V symbol_value(Atom *a) {
  if (em.host) return host_symbol(a);
  if (a->bound != em.serial_fn) bug("%s: symbol %s is no argument", kernel->name, a->name);
  return a->v;
}
V float_value(Atom *a) {
  if (em.host) return host_float(a);
  bug("%s: a float expression in an index", kernel->name);
}

/* ---- statements ---- */

static void block(Tree *t, const Tree *end);

static bool is_table(const Ex *e) { return e->op == S_LOAD && e->buf->table; }
static bool table_entry(Ex *e, double *c) {
  if (!is_table(e) || e->npred || e->cond) return false;
  int64_t k;
  if (!ix_const(bind(buf_phys(e->buf, e->ix)), &k)) return false;
  *c = e->buf->table[k];
  return true;
}

// acc + a * b, rounded once. A zero of a small constant matrix makes no term; known entries vanish into the code.
static V add_product(V acc, Ex *product) {
  double c;
  int at = table_entry(product->a[0], &c) ? 0 : table_entry(product->a[1], &c) ? 1 : -1;
  if (at >= 0 && c == 0) return acc;
  V x = ev(product->a[at == 0]), a = acc;
  if (at >= 0 && (c == 1 || c == -1)) {
    match(&a, &x);
    return c == 1 ? LLVMBuildFAdd(em.b, a, x, "") : LLVMBuildFSub(em.b, a, x, "");
  }
  V y = ev(product->a[at == 0 ? 0 : 1]);
  V entry = is_table(product->a[0]) ? ev(product->a[0]) : is_table(product->a[1]) ? ev(product->a[1]) : NULL;
  match(&x, &y);
  match(&a, &x);
  match(&a, &y);
  V r = intrin("llvm.fma", 1, (T[]){LLVMTypeOf(a)}, 3, (V[]){x, y, a});
  return entry && at < 0 ? select_of(fcmp(LLVMRealUNE, entry, LLVMConstNull(LLVMTypeOf(entry))), r, a) : r;
}

static V accumulate(Tree *t, IExpr *off, V mask) {
  V old = load_cell(t->buf, off, mask);
  bool product = t->combine == C_add && t->val->op == S_mul && (t->val->type == DT_F32 || t->val->type == DT_F64);
  V r = product ? add_product(old, t->val) : combine_values(t->combine, old, ev(t->val));
  if (is_vec(r) && !varies(off)) bug("%s: lanes accumulate into one cell of %s", kernel->name, t->buf->name);
  return r;
}

static void guard(V cond, Block *out) {
  Block in = new_block("if");
  if (!*out) *out = new_block("fi");
  LLVMBuildCondBr(em.b, cond, in, *out);
  LLVMPositionBuilderAtEnd(em.b, in);
}

static void statement(Tree *t) {
  int facts = em.nfact;
  new_checks();
  new_epoch();
  Pred p = pred_of(t->npred, t->pred, true);
  if (p.never) {
    em.nfact = facts;
    return;
  }
  Block out = NULL;
  if (p.cond) guard(p.cond, &out);
  V mask = p.mask;
  if (t->cond) {
    V c = ev(t->cond);
    if (is_vec(c)) mask = mask ? LLVMBuildAnd(em.b, mask, c, "") : c;
    else guard(c, &out);
  }
  IExpr *off = bind(buf_phys(t->buf, t->ix));
  V x = t->combine == C_SET ? ev(t->val) : accumulate(t, off, mask);
  use_lets(t);
  report_lets(mask);
  store_cell(t->buf, off, x, mask);
  if (out) LLVMBuildBr(em.b, out), LLVMPositionBuilderAtEnd(em.b, out);
  em.nfact = facts;
}

/* ---- loops ---- */

static void loop(Tree *t) {
  Block body = new_block(ix_var_of(t->var)->name), out = new_block("");
  Atom *var = ix_var_of(t->var);
  IExpr *ext = bind(t->ext);
  new_checks();
  new_epoch(); // the extent may be loaded
  V n = value(ext), zero = k64(0);
  report_lets(NULL);
  Block from = LLVMGetInsertBlock(em.b);
  if (ix_lower(ext) >= 1) LLVMBuildBr(em.b, body);
  else LLVMBuildCondBr(em.b, icmp(LLVMIntSGT, n, zero), body, out);
  LLVMPositionBuilderAtEnd(em.b, body);
  V i = LLVMBuildPhi(em.b, em.i64, var->name);
  LLVMAddIncoming(i, &zero, &from, 1);
  scope_open();
  bind_value(var, i);
  block(t->body, NULL);
  unbind(var);
  scope_close();
  V next = LLVMBuildNSWAdd(em.b, i, k64(1), "");
  Block latch = LLVMGetInsertBlock(em.b);
  LLVMAddIncoming(i, &next, &latch, 1);
  LLVMBuildCondBr(em.b, icmp(LLVMIntSLT, next, n), body, out);
  LLVMPositionBuilderAtEnd(em.b, out);
}

static void unroll(Tree *t, int64_t n) {
  Atom *var = ix_var_of(t->var);
  for (int64_t i = 0; i < n; i++) {
    scope_open();
    bind_const(var, i);
    block(t->body, NULL);
    unbind(var);
    scope_close();
  }
}

static void vector_loop(Tree *t, int64_t n) {
  Atom *var = ix_var_of(t->var);
  scope_open();
  bind_value(var, NULL);
  em.lane = var, em.W = (int)n;
  block(t->body, NULL);
  em.lane = NULL, em.W = 0;
  unbind(var);
  scope_close();
}

static void while_loop(Tree *t) {
  Block head = new_block("while"), body = new_block("do"), out = new_block("");
  LLVMBuildBr(em.b, head);
  LLVMPositionBuilderAtEnd(em.b, head);
  new_checks();
  new_epoch();
  LLVMBuildCondBr(em.b, ev(t->cond), body, out);
  LLVMPositionBuilderAtEnd(em.b, body);
  block(t->body, NULL);
  LLVMBuildBr(em.b, head);
  LLVMPositionBuilderAtEnd(em.b, out);
}

static void for_tree(Tree *t) {
  int64_t n;
  bool fixed = ix_const(bind(t->ext), &n);
  if (t->map == MAP_VEC && fixed && n > 1 && n <= MAX_LANES && !em.lane) vector_loop(t, n);
  else if (t->map == MAP_DOT && emit_dot(t)) return;
  else if (t->map == MAP_TR && emit_transpose(t)) return;
  else if (fixed && (n <= 1 || t->map == MAP_UNROLL || t->map == MAP_DOT || t->map == MAP_TR || (t->map == MAP_VEC && n <= MAX_LANES)))
    unroll(t, n);
  else loop(t);
}

// Stack memory of a block is free again behind it. Reused only where the function takes much: helpers have 256 KiB.
enum { STACK_FREELY = 32 << 10, SLOTS = 256 };
typedef struct Slot {
  V at;
  int64_t bytes;
  bool taken;
} Slot;
static Slot slot[SLOTS];
static int nslot;
static int64_t stack_bytes;

static V stack_slot(int64_t bytes) {
  int best = -1;
  for (int i = 0; i < nslot && (nslot == SLOTS || stack_bytes + bytes > STACK_FREELY); i++)
    if (!slot[i].taken && slot[i].bytes >= bytes && (best < 0 || slot[i].bytes < slot[best].bytes)) best = i;
  if (best < 0) {
    if (nslot == SLOTS) bug("%s: more than %d stack buffers", kernel->name, SLOTS);
    best = nslot++;
    slot[best] = (Slot){.at = entry_alloca(em.i8, bytes, 64), .bytes = bytes};
    stack_bytes += bytes;
  }
  slot[best].taken = true;
  return slot[best].at;
}
static void stack_release(const Tree *t, const Tree *end) {
  for (; t != end; t = t->next)
    for (int i = 0; t->kind == T_ALLOC && i < nslot; i++)
      if (slot[i].at == t->buf->v) slot[i].taken = false;
}

static void alloc(Tree *t) {
  Buf *b = t->buf;
  int64_t bytes;
  IExpr *size = alloc_bound(b, &bytes);
  if (alloc_in_scratch(b)) {
    b->v = gep(em.i8, em.scratch, value(em.scratch_used));
    em.scratch_used = ix_add(em.scratch_used, ix_scale(ix_ceil(size, 64), 64));
    return;
  }
  if (b->space == SPACE_REG) { // of its own type and alone in its slot, so that SROA sees through it
    int64_t each = dtypes[b->dtype].bits < 8 ? 1 : dtypes[b->dtype].bits / 8;
    b->v = entry_alloca(mem_type(b->dtype), bytes < each ? 1 : (bytes + each - 1) / each, 64);
  } else b->v = stack_slot(bytes < 64 ? 64 : bytes);
}

static void block(Tree *first, const Tree *end) {
  IExpr *used = em.scratch_used;
  for (Tree *t = first; t != end; t = t->next) switch (t->kind) {
    case T_STMT: statement(t); break;
    case T_FOR: for_tree(t); break;
    case T_ALLOC: alloc(t); break;
    case T_WHILE: while_loop(t); break;
    case T_SYNC: break; // one worker runs the chunk
    }
  stack_release(first, end);
  em.scratch_used = used;
}

/* ---- phases ---- */

// The loops that chunk number c of a par phase stands for: pieces one behind the other, nested ones by division.
static void pieces(Tree *t, const Tree *end, V c) {
  Block out = new_block("");
  for (; t != end; t = t->next) {
    V n = value(tree_piece(t));
    Block mine = new_block(""), others = t->next == end ? out : new_block("");
    LLVMBuildCondBr(em.b, icmp(LLVMIntSLT, c, n), mine, others);
    LLVMPositionBuilderAtEnd(em.b, mine);
    if (t->kind != T_FOR || t->map != MAP_PAR) {
      scope_open();
      block(t, t->next);
      scope_close();
    } else {
      bool nests = tree_nests(t);
      IExpr *inner = nests ? tree_chunks(t->body, NULL) : ix(1);
      V k = value(inner), i = ix_is(inner, 1) ? c : LLVMBuildUDiv(em.b, c, k, "");
      V rest = LLVMBuildSub(em.b, c, LLVMBuildMul(em.b, i, k, ""), "");
      Atom *var = ix_var_of(t->var);
      scope_open();
      bind_value(var, i);
      if (nests) pieces(t->body, NULL, rest);
      else block(t->body, NULL);
      unbind(var);
      scope_close();
    }
    LLVMBuildBr(em.b, out);
    LLVMPositionBuilderAtEnd(em.b, others);
    if (others != out) c = LLVMBuildSub(em.b, c, n, "");
  }
  LLVMPositionBuilderAtEnd(em.b, out);
}

// One chunk: `grain` points of the chunk space, or what is left of it.
static void chunk(const Phase *p) {
  int64_t grain = phase_grain(p);
  V number = LLVMGetParam(em.fn, 1);
  if (grain == 1) {
    pieces(p->first, p->end, number);
    return;
  }
  V total = value(tree_chunks(p->first, p->end)), first = LLVMBuildMul(em.b, number, k64(grain), "");
  V last = intrin2("llvm.smin", LLVMBuildAdd(em.b, first, k64(grain), ""), total);
  Block from = LLVMGetInsertBlock(em.b), body = new_block("point"), out = new_block("");
  LLVMBuildBr(em.b, body); // there is no empty chunk
  LLVMPositionBuilderAtEnd(em.b, body);
  V c = LLVMBuildPhi(em.b, em.i64, "");
  LLVMAddIncoming(c, &first, &from, 1);
  scope_open();
  pieces(p->first, p->end, c);
  scope_close();
  V next = LLVMBuildNSWAdd(em.b, c, k64(1), "");
  Block latch = LLVMGetInsertBlock(em.b);
  LLVMAddIncoming(c, &next, &latch, 1);
  LLVMBuildCondBr(em.b, icmp(LLVMIntSLT, next, last), body, out);
  LLVMPositionBuilderAtEnd(em.b, out);
}

void begin_function(V fn, bool target_cpu) {
  static int functions;
  em.fn = fn, em.dump = NULL;
  em.serial_fn = 1000 + functions++;
  em.depth = em.nconst = em.nfact = 0;
  em.lane = NULL;
  const Target *t = em.target;
  set_attr(fn, "target-cpu", target_cpu ? t->cpu : "x86-64");
  if (target_cpu) {
    const char *width = fmt("%d", t->lanes * 32);
    if (t->features && *t->features) set_attr(fn, "target-features", t->features);
    set_attr(fn, "prefer-vector-width", width);
    set_attr(fn, "min-legal-vector-width", width);
    set_enum_attr(fn, "alignstack", 64); // a spilled vector that crosses cache lines costs up to half the speed
  }
  set_attr(fn, "probe-stack", "inline-asm");
  set_enum_attr(fn, "nounwind", 0);
  set_enum_attr(fn, "uwtable", 1);
  LLVMPositionBuilderAtEnd(em.b, LLVMAppendBasicBlockInContext(em.cx, fn, "entry"));
}

static V argument(int i, T t, const char *name) {
  V x = load_at(t, gepk(em.i64, LLVMGetParam(em.fn, 0), i), 8);
  LLVMSetValueName2(x, name, sym_len(name));
  return x;
}

static void arguments(const Kernel *k) {
  int n = 0, params = kernel_params(k);
  Buf **temp;
  em.frame = argument(n++, em.ptr, sym("frame"));
  em.scratch = LLVMGetParam(em.fn, 2);
  for (int i = 0; i < params; i++) k->buf[i]->v = argument(n++, em.ptr, k->buf[i]->name);
  int ntemp = kernel_temps(k, &temp);
  for (int i = 0; i < ntemp; i++) temp[i]->v = argument(n++, em.ptr, temp[i]->name);
  for (int i = 0; i < k->nsym; i++) k->sym[i]->v = argument(n++, em.i64, k->sym[i]->name), k->sym[i]->bound = em.serial_fn;
}

static void lets(IExpr *e, void *u);
static void let_found(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_LET; }
static void lets(IExpr *e, void *u) { ix_atoms(e, let_found, u); }

static void mark_written(const Tree *t) {
  for (; t; t = t->next) {
    if (t->kind == T_STMT && t->buf->kind != BUF_TEMP) em.written[t->buf->id] = true;
    if (t->body) mark_written(t->body);
  }
}

// Temps that live through one serial phase only are that phase's own; those of other phases do no harm here.
static void own_allocs(const Kernel *k) {
  for (Tree *t = k->tree; t; t = t->next)
    if (t->kind == T_ALLOC && !temp_is_shared(k, t->buf)) alloc(t);
}

static void phase_emit(const Kernel *k, int number, int p, Phase *phase, bool internal) {
  V fn = phase_declare(number, p);
  if (internal) LLVMSetLinkage(fn, LLVMInternalLinkage), LLVMSetVisibility(fn, LLVMDefaultVisibility);
  begin_function(fn, true);
  em.host = em.hoists = false;
  em.scratch_used = ix(0);
  nslot = 0, stack_bytes = 0;
  arguments(k);
  kernel_indices(k, lets, &em.hoists);
  em.depth = -1;
  scope_open();
  own_allocs(k);
  if (phase->par) chunk(phase);
  else
    for (Tree *t = phase->first; t != phase->end; t = t->next) // its temps are placed already: as arguments, or by own_allocs
      if (t->kind != T_ALLOC) block(t, t->next);
  LLVMBuildRetVoid(em.b);
}

// The scratch fields of buffers and symbols belong to whoever works on the kernel next.
static void forget(const Tree *t) {
  for (; t; t = t->next) {
    if (t->kind == T_ALLOC) t->buf->v = NULL;
    if (t->body) forget(t->body);
  }
}

void kernel_emit(const Kernel *k, int number, bool internal) {
  Phase *phase;
  int n = kernel_phases(k, &phase);
  bool written[MAX_BUFS] = {0};
  kernel = k, em.written = written;
  mark_written(k->tree);
  for (int p = 0; p < n; p++) phase_emit(k, number, p, &phase[p], internal);
  em.written = NULL;
  forget(k->tree);
  for (int i = 0; i < kernel_params(k); i++) k->buf[i]->v = NULL;
  for (int i = 0; i < k->nsym; i++) k->sym[i]->bound = UNBOUND, k->sym[i]->v = NULL;
}
