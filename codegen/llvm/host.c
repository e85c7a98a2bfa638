// host.c - the host program: <prefix>_program walks the statements on the caller's thread; _entry computes the derived symbols and checks
// what the model requires; _workspace and _scratch give sizes.
//
// All of it runs on any CPU of the architecture, so that a CPU that is too old gets a message and not SIGILL. Symbols live in the frame:
// every use loads them, every statement that sets one stores it. Integer arithmetic saturates as the algebra does: sizes that no memory
// holds stay too large and never wrap. Baseline code may not round floats in one instruction, so float trees spell that out.
#include "emit.h"
#include "ir/graph.h"
#include "runtime/rt.h"

static Program *prog;
static V frame;      // NULL outside of _program
static V symbols;    // int64_t *
static Block finish; // returns
static V args;       // the block that launches pass
static V field(V base, size_t offset, T t) { return load_at(t, gepk(em.i8, base, (int64_t)offset), 8); }
#define FRAME(name) field(frame, offsetof(tn_frame, name), em.ptr)
static void put_at(V x, V base, size_t offset, unsigned align) { store_at(x, gepk(em.i8, base, (int64_t)offset), align); }
static V null(void) { return LLVMConstNull(em.ptr); }

/* ---- symbols and floats ---- */

static int symbol_index(const Atom *a) {
  for (int i = 0; i < prog->nsym; i++)
    if (prog->sym[i] == a) return i;
  bug("symbol %s is not one of the program's", a->name);
}
static V symbol_at(const Atom *a) { return gepk(em.i64, symbols, symbol_index(a)); }
V host_symbol(Atom *a) { return load_at(em.i64, symbol_at(a), 8); }

static V dbl(double v) { return LLVMConstReal(em.f64, v); }
static V fabs_of(V x) { return intrin1("llvm.fabs", x); }
// |x| < 2^52: through an integer, corrected; beyond, x is an integer already. NaN takes the second way.
static V whole(V x, FOp op) {
  if (op == FT_RINT) { // adding and taking away 2^52 rounds to nearest even
    V big = dbl(0x1p52), a = fabs_of(x), r = LLVMBuildFSub(em.b, LLVMBuildFAdd(em.b, a, big, ""), big, "");
    return select_of(fcmp(LLVMRealOLT, a, big), intrin2("llvm.copysign", r, x), x);
  }
  V small = fcmp(LLVMRealOLT, fabs_of(x), dbl(0x1p52)), y = select_of(small, x, dbl(0));
  V t = LLVMBuildSIToFP(em.b, LLVMBuildFPToSI(em.b, y, em.i64, ""), em.f64, "");
  V beyond = fcmp(op == FT_FLOOR ? LLVMRealOGT : LLVMRealOLT, t, y);
  V fixed = LLVMBuildFAdd(em.b, t, dbl(op == FT_FLOOR ? -1 : 1), "");
  return select_of(small, intrin2("llvm.copysign", select_of(beyond, fixed, t), x), x);
}
static V extreme(bool max, V a, V b) {
  V r = select_of(fcmp(max ? LLVMRealOGT : LLVMRealOLT, a, b), a, b);
  return select_of(fcmp(LLVMRealUNO, a, a), a, r);
}
static V float_op(FOp op, V a, V b) {
  switch (op) {
  case FT_ADD: return LLVMBuildFAdd(em.b, a, b, "");
  case FT_SUB: return LLVMBuildFSub(em.b, a, b, "");
  case FT_MUL: return LLVMBuildFMul(em.b, a, b, "");
  case FT_DIV: return LLVMBuildFDiv(em.b, a, b, "");
  case FT_MIN:
  case FT_MAX: return extreme(op == FT_MAX, a, b);
  case FT_NEG: return LLVMBuildFNeg(em.b, a, "");
  case FT_ABS: return fabs_of(a);
  case FT_FLOOR:
  case FT_CEIL:
  case FT_RINT: return whole(a, op);
  case FT_SQRT: return intrin1("llvm.sqrt", a);
  case FT_CAST: return a;
  default: bug("float tree op %d", op);
  }
}
static V float_tree(const FTree *t) { // in double; f32 results are rounded once more, which gives f32's own result
  V r;
  if (t->op == FT_CONST) return dbl(t->c);
  if (t->op == FT_INT) r = LLVMBuildSIToFP(em.b, value(t->i), em.f64, "");
  else {
    V a = float_tree(t->a);
    r = float_op(t->op, a, t->b ? float_tree(t->b) : NULL);
  }
  return t->f64 ? r : LLVMBuildFPExt(em.b, LLVMBuildFPTrunc(em.b, r, em.f32, ""), em.f64, "");
}
V host_float(Atom *a) {
  bool saturate = em.saturate;
  V d = float_tree(a->def), low = fcmp(LLVMRealOGT, d, dbl(-0x1p62)), fits = LLVMBuildAnd(em.b, low, fcmp(LLVMRealOLT, d, dbl(0x1p62)), "");
  em.saturate = saturate;
  V i = LLVMBuildFPToSI(em.b, select_of(fits, d, dbl(0)), em.i64, "");
  return select_of(fits, i, select_of(fcmp(LLVMRealOGE, d, dbl(0x1p62)), k64(IX_INF), k64(-IX_INF)));
}

/* ---- places ---- */

static V element(V array, int index, T t) { return load_at(t, gepk(t, array, index), 8); }

static V place(const HBuf *b) {
  switch (b->place) {
  case PLACE_INPUT: return element(FRAME(in), b->index, em.ptr);
  case PLACE_OUTPUT: return element(FRAME(out), b->index, em.ptr);
  case PLACE_CONST: return gepk(em.i8, FRAME(weights), b->coffset);
  case PLACE_ARENA: return gep(em.i8, FRAME(ws), value(b->offset));
  case PLACE_SLAB: return element(FRAME(slab), b->index, em.ptr);
  case PLACE_ALIAS: {
    int bits = dtypes[b->alias->type->dtype].bits;
    V p = place(b->alias);
    if (!b->shift || ix_is(b->shift, 0)) return p;
    return gep(em.i8, p, value(bits < 8 ? ix_divk(ix_scale(b->shift, bits), 8) : ix_scale(b->shift, bits / 8)));
  }
  case PLACE_HANDLE: break;
  }
  bug("%s has no address", b->name);
}
static V handle_slot(const HBuf *b) { // tenon_value **
  switch (b->place) {
  case PLACE_INPUT: return gepk(em.ptr, FRAME(in), b->index);
  case PLACE_OUTPUT: return gepk(em.ptr, FRAME(out), b->index);
  case PLACE_HANDLE: return gepk(em.ptr, FRAME(handle), b->index);
  default: bug("%s is no handle", b->name);
  }
}

/* ---- control ---- */

static void leave_if(V cond) {
  Block on = new_block("");
  LLVMBuildCondBr(em.b, cond, finish, on);
  LLVMPositionBuilderAtEnd(em.b, on);
}
static V rt_call(const char *name, T ret, int n, const V *arg) {
  T t[8];
  for (int i = 0; i < n; i++) t[i] = LLVMTypeOf(arg[i]);
  return call_fn(runtime_fn(name, ret, n, t), n, arg);
}
static V nonzero(V x) { return icmp(LLVMIntNE, x, LLVMConstNull(LLVMTypeOf(x))); }
static V stopped(void) { // bool: only its low byte is defined
  return nonzero(rt_call("stop", em.i8, 1, &frame));
}
static void fault(int site, V value_of) {
  rt_call("fault", em.none, 4, (V[]){frame, k32(site), k64(0), value_of});
  LLVMBuildBr(em.b, finish);
}
static void leave_if_null(V p) { // NULL may also mean empty
  Block none = new_block(""), on = new_block("");
  LLVMBuildCondBr(em.b, icmp(LLVMIntEQ, p, null()), none, on);
  LLVMPositionBuilderAtEnd(em.b, none);
  LLVMBuildCondBr(em.b, stopped(), finish, on);
  LLVMPositionBuilderAtEnd(em.b, on);
}

/* ---- launches ---- */

static int kernel_number(const Kernel *k) {
  for (int i = 0; i < prog->nkernel; i++)
    if (prog->kernel[i] == k) return i;
  bug("kernel %s is not one of the program's", k->name);
}
static IExpr *at_launch(const HStmt *s, IExpr *e) { return ix_subst(e, s->kernel->nsym, s->kernel->sym, s->arg); }

static int launch_words(const HStmt *s) {
  int most = 0;
  for (; s; s = s->next) {
    int n = s->kind == HS_LAUNCH ? 1 + s->nbuf + s->ntemp + s->kernel->nsym : 0, a = launch_words(s->body), b = launch_words(s->other);
    if (n > most) most = n;
    if (a > most) most = a;
    if (b > most) most = b;
  }
  return most;
}

static V chunk_ns(const HStmt *s, const Phase *p, IExpr *chunks) {
  IExpr *per = ix_addk(ix_div(at_launch(s, phase_cost(p, em.target)), ix_scale(chunks, 8)), 1);
  if (ix_lower(per) == ix_upper(per)) return k32(ix_lower(per) > INT32_MAX ? INT32_MAX : ix_lower(per));
  return LLVMBuildTrunc(em.b, intrin2("llvm.smin", value(per), k64(INT32_MAX)), em.i32, "");
}

static void late_symbol(Atom *a, void *late) { *(bool *)late |= a->kind == ATOM_SYM && symbol_index(a) >= prog->nentry; }

static bool is_late(IExpr *e) { // does it hold symbols that only the run sets?
  bool late = false;
  ix_atoms(e, late_symbol, &late);
  return late;
}

static void launch(const HStmt *s) {
  const Kernel *k = s->kernel;
  Buf **temp;
  Phase *phase;
  int n = 0, ntemp = kernel_temps(k, &temp), number = kernel_number(k), phases = kernel_phases(k, &phase);
  if (s->nbuf != kernel_params(k)) bug("%s is launched with %d buffers for %d parameters", k->name, s->nbuf, kernel_params(k));
  if (s->ntemp != ntemp) bug("%s is launched with %d temps instead of %d", k->name, s->ntemp, ntemp);
  put_at(frame, args, 0, 8), n++;
  for (int i = 0; i < s->nbuf; i++) put_at(place(s->buf[i]), args, (size_t)n++ * 8, 8);
  V base = !ntemp ? NULL : s->base ? place(s->base) : FRAME(ws);
  for (int i = 0; i < ntemp; i++) put_at(gep(em.i8, base, value(s->temp[i])), args, (size_t)n++ * 8, 8);
  for (int i = 0; i < k->nsym; i++) put_at(value(s->arg[i]), args, (size_t)n++ * 8, 8);
  IExpr *scratch = at_launch(s, kernel_scratch(k));
  if (is_late(scratch)) leave_if(nonzero(rt_call("need", em.i32, 2, (V[]){frame, value(scratch)})));
  for (int p = 0; p < phases; p++) {
    IExpr *chunks = at_launch(s, phase_chunks(&phase[p]));
    V body = phase_declare(number, p);
    leave_if(nonzero(rt_call("par", em.i32, 5, (V[]){frame, value(chunks), chunk_ns(s, &phase[p], chunks), body, args})));
  }
}

/* ---- host ops ---- */

static V words(T t, int n, const V *v, unsigned align) { return n ? const_global(LLVMConstArray2(t, (V *)v, (uint64_t)n), align) : null(); }
static V text_pair(Str s) { // tenon_str
  V bytes = const_global(LLVMConstStringInContext2(em.cx, s.p ? s.p : "", s.n, 0), 1);
  return LLVMConstStructInContext(em.cx, (V[]){bytes, k64((int64_t)s.n)}, 2, 0);
}
static V tensor_constant(const Tensor *t) {
  V dim[8], data = const_global(LLVMConstStringInContext2(em.cx, t->data, (size_t)t->bytes, 1), 64);
  if (t->dtype == DT_STR) {
    const Str *s = t->data;
    int64_t n = tensor_count(t);
    V *v = NEWN(V, n + 1);
    for (int64_t i = 0; i < n; i++) v[i] = text_pair(s[i]);
    T pair = LLVMTypeOf(text_pair((Str){"", 0}));
    data = words(pair, (int)n, v, 8);
  }
  for (int i = 0; i < 8; i++) dim[i] = k64(i < t->rank ? t->dim[i] : 0);
  V fields[] = {data, k32(t->dtype), k32(t->rank), LLVMConstArray2(em.i64, dim, 8)};
  return const_global(LLVMConstStructInContext(em.cx, fields, 4, 0), 8);
}
static V attr_payload(const Attr *a, int *n) { // eight bytes
  *n = a->n;
  V *v = NEWN(V, a->n + 1);
  switch (a->kind) {
  case ATTR_INT: *n = 1; return k64(a->i);
  case ATTR_FLOAT: *n = 1; return dbl(a->f);
  case ATTR_STRING: {
    *n = 1;
    V pair = text_pair(a->s);
    return words(LLVMTypeOf(pair), 1, &pair, 8);
  }
  case ATTR_INTS:
    for (int i = 0; i < a->n; i++) v[i] = k64(a->ints[i]);
    return words(em.i64, a->n, v, 8);
  case ATTR_FLOATS:
    for (int i = 0; i < a->n; i++) v[i] = dbl(a->floats[i]);
    return words(em.f64, a->n, v, 8);
  case ATTR_STRINGS:
    for (int i = 0; i < a->n; i++) v[i] = text_pair(a->strings[i]);
    return a->n ? words(LLVMTypeOf(v[0]), a->n, v, 8) : null();
  case ATTR_TENSOR: *n = 1; return tensor_constant(a->t);
  default: *n = 0; return null(); // a type: the op's operands say it
  }
}
static V attributes(const HStmt *s) {
  const Attr *a = s->attrs;
  if (!s->nattr) return null();
  V *v = NEWN(V, s->nattr);
  for (int i = 0; i < s->nattr; i++) {
    int n;
    V payload = attr_payload(&a[i], &n);
    v[i] = LLVMConstStructInContext(em.cx, (V[]){const_string(a[i].name), k32(a[i].kind), k32(n), payload}, 4, 0);
  }
  return const_global(LLVMConstStructInContext(em.cx, v, (unsigned)s->nattr, 0), 8);
}

static bool symbol_set_here(IExpr *dim) { // is it a symbol that only the run gives a value?
  Atom *a = ix_is_atom(dim);
  return a && a->kind == ATOM_SYM && !a->def && symbol_index(a) >= prog->nentry;
}
static void tensor_operand(const HBuf *b, V t, V o, bool result) {
  bool known = !result || (b->place != PLACE_SLAB && !(b->place == PLACE_OUTPUT && !b->exact));
  put_at(known ? place(b) : null(), t, offsetof(tn_tensor, data), 8);
  put_at(k32(b->type->dtype), t, offsetof(tn_tensor, dtype), 4);
  put_at(k32(b->type->rank), t, offsetof(tn_tensor, rank), 4);
  for (int a = 0; a < b->type->rank; a++) {
    Atom *dim = ix_is_atom(b->type->dim[a]);
    bool set_here = result && symbol_set_here(b->type->dim[a]);
    put_at(set_here ? k64(0) : value(b->type->dim[a]), t, offsetof(tn_tensor, dim) + 8 * (size_t)a, 8);
    if (set_here) put_at(symbol_at(dim), o, offsetof(tn_operand, dim_sym) + 8 * (size_t)a, 8);
  }
  put_at(t, o, offsetof(tn_operand, t), 8);
  if (result && b->place == PLACE_SLAB) put_at(k32(b->index), o, offsetof(tn_operand, slab), 4);
  if (result && b->place == PLACE_OUTPUT && !b->exact) put_at(k32(b->index), o, offsetof(tn_operand, out), 4);
}
static void operand(const HBuf *b, V o, bool result) {
  LLVMBuildMemSet(em.b, o, LLVMConstInt(em.i8, 0, 0), k64(sizeof(tn_operand)), 8);
  put_at(k32(-1), o, offsetof(tn_operand, slab), 4);
  put_at(k32(-1), o, offsetof(tn_operand, out), 4);
  if (!b) return;
  if (!hbuf_is_handle(b)) tensor_operand(b, entry_alloca(em.i64, sizeof(tn_tensor) / 8, 8), o, result);
  else {
    put_at(handle_slot(b), o, offsetof(tn_operand, h), 8);
    for (int a = 0; result && b->type->kind == TYPE_TENSOR && a < b->type->rank; a++) // a result's dims become known here as well
      if (symbol_set_here(b->type->dim[a]))
        put_at(symbol_at(ix_is_atom(b->type->dim[a])), o, offsetof(tn_operand, dim_sym) + 8 * (size_t)a, 8);
  }
}

static void call(const HStmt *s) {
  enum { SIZE = sizeof(tn_operand) };
  int n_out = s->nbuf - s->nin;
  V c = entry_alloca(em.i64, sizeof(tn_call) / 8, 8), o = entry_alloca(em.i8, s->nbuf ? s->nbuf * SIZE : 8, 8);
  for (int i = 0; i < s->nbuf; i++) operand(s->buf[i], gepk(em.i8, o, (int64_t)i * SIZE), i >= s->nin);
  put_at(frame, c, offsetof(tn_call, f), 8);
  put_at(k32(s->site), c, offsetof(tn_call, site), 4);
  put_at(k32(s->nin), c, offsetof(tn_call, n_in), 4);
  put_at(k32(n_out), c, offsetof(tn_call, n_out), 4);
  put_at(k32(s->nattr), c, offsetof(tn_call, n_attr), 4);
  put_at(o, c, offsetof(tn_call, in), 8);
  put_at(gepk(em.i8, o, (int64_t)s->nin * SIZE), c, offsetof(tn_call, out), 8);
  put_at(attributes(s), c, offsetof(tn_call, attr), 8);
  rt_call(fmt("op_%s", s->callee), em.none, 1, &c);
  leave_if(stopped());
}

/* ---- statements ---- */

static V cell_int(const HBuf *b, IExpr *index) { // an integer element, as i64
  DType d = b->type->dtype;
  int bits = dtypes[d].bits;
  if (!dtypes[d].is_int && d != DT_BOOL) bug("%s of %s is no integer", b->name, dtypes[d].name);
  V at = value(index), p = place(b), x;
  if (bits < 8) {
    x = load_at(em.i8, gep(em.i8, p, LLVMBuildUDiv(em.b, at, k64(8 / bits), "")), 1);
    V in = LLVMBuildTrunc(em.b, LLVMBuildMul(em.b, LLVMBuildURem(em.b, at, k64(8 / bits), ""), k64(bits), ""), em.i8, "");
    x = LLVMBuildLShr(em.b, x, in, "");
  } else x = load_at(mem_type(d), gep(mem_type(d), p, at), (unsigned)bits / 8);
  x = widen(d, x);
  return d == DT_BOOL ? LLVMBuildZExt(em.b, x, em.i64, "") : LLVMTypeOf(x) == em.i64 ? x : LLVMBuildSExt(em.b, x, em.i64, "");
}

static void set(const HStmt *s) {
  Atom *a = s->sym;
  V x = cell_int(s->buf[0], s->index ? s->index : ix(0)), lo = k64(a->lo), hi = k64(a->hi);
  if (s->site < 0) x = intrin2("llvm.smax", intrin2("llvm.smin", x, hi), lo);
  else {
    Block bad = new_block("bad"), on = new_block("");
    V out = LLVMBuildOr(em.b, icmp(LLVMIntSLT, x, lo), icmp(LLVMIntSGT, x, hi), "");
    LLVMBuildCondBr(em.b, out, bad, on);
    LLVMPositionBuilderAtEnd(em.b, bad);
    fault(s->site, x);
    LLVMPositionBuilderAtEnd(em.b, on);
  }
  store_at(x, symbol_at(a), 8);
}

static void check(const HStmt *s) {
  Block bad = new_block("bad"), on = new_block("");
  V x = value(s->expr);
  if (s->site < 0) bug("a check of %s without a site", ix_str(s->expr));
  LLVMBuildCondBr(em.b, icmp(LLVMIntSLT, x, k64(0)), bad, on);
  LLVMPositionBuilderAtEnd(em.b, bad);
  fault(s->site, x);
  LLVMPositionBuilderAtEnd(em.b, on);
}

static void statements(const HStmt *s);

static void branch(const HStmt *s) {
  Block yes = new_block("then"), no = new_block("else"), on = new_block("");
  LLVMBuildCondBr(em.b, nonzero(load_at(em.i8, place(s->buf[0]), 1)), yes, no);
  LLVMPositionBuilderAtEnd(em.b, yes);
  statements(s->body);
  LLVMBuildBr(em.b, on);
  LLVMPositionBuilderAtEnd(em.b, no);
  statements(s->other);
  LLVMBuildBr(em.b, on);
  LLVMPositionBuilderAtEnd(em.b, on);
}

static void loop(const HStmt *s) {
  Block head = new_block("loop"), body = new_block("turn"), on = new_block("");
  V counter = s->sym ? symbol_at(s->sym) : entry_alloca(em.i64, 1, 8);
  store_at(k64(0), counter, 8);
  LLVMBuildBr(em.b, head);
  LLVMPositionBuilderAtEnd(em.b, head);
  V i = load_at(em.i64, counter, 8), more = LLVMConstInt(em.i1, 1, 0);
  if (s->expr) more = icmp(LLVMIntSLT, i, value(s->expr));
  if (s->nbuf && s->buf[0]) more = LLVMBuildAnd(em.b, more, nonzero(load_at(em.i8, place(s->buf[0]), 1)), "");
  LLVMBuildCondBr(em.b, more, body, on);
  LLVMPositionBuilderAtEnd(em.b, body);
  leave_if(nonzero(rt_call("turn", em.i32, 2, (V[]){frame, i})));
  statements(s->body);
  store_at(LLVMBuildAdd(em.b, load_at(em.i64, counter, 8), k64(1), ""), counter, 8);
  LLVMBuildBr(em.b, head);
  LLVMPositionBuilderAtEnd(em.b, on);
}

static void move(const HStmt *s) {
  const HBuf *to = s->buf[0], *from = s->buf[1];
  if (to->place == PLACE_SLAB && from->place == PLACE_SLAB) rt_call("swap", em.none, 3, (V[]){frame, k32(to->index), k32(from->index)});
  else rt_call("move", em.none, 3, (V[]){frame, handle_slot(to), handle_slot(from)});
}

static void copy(const HStmt *s) {
  IExpr *bytes = ix_ceil(ix_scale(hbuf_size(s->buf[0]), dtypes[s->buf[0]->type->dtype].bits), 8);
  V to = place(s->buf[0]), from = place(s->buf[1]);
  LLVMBuildMemMove(em.b, to, 1, from, 1, value(bytes));
}

static void output(const HStmt *s) {
  const HBuf *b = s->buf[0];
  V dim = entry_alloca(em.i64, MAX_RANK, 8);
  for (int i = 0; i < b->type->rank; i++) put_at(value(b->type->dim[i]), dim, 8 * (size_t)i, 8);
  leave_if_null(rt_call("output", em.ptr, 4, (V[]){frame, k32(b->index), k32(b->type->rank), dim}));
}

static void statements(const HStmt *s) {
  for (; s; s = s->next) switch (s->kind) {
    case HS_LAUNCH: launch(s); break;
    case HS_SET: set(s); break;
    case HS_LET: store_at(value(s->expr), symbol_at(s->sym), 8); break;
    case HS_GROW: {
      V keep = s->keep ? value(s->keep) : k64(0);
      leave_if_null(rt_call("grow", em.ptr, 4, (V[]){frame, k32(s->buf[0]->index), value(s->expr), keep}));
      break;
    }
    case HS_OUTPUT: output(s); break;
    case HS_CALL: call(s); break;
    case HS_IF: branch(s); break;
    case HS_LOOP: loop(s); break;
    case HS_MOVE: move(s); break;
    case HS_COPY: copy(s); break;
    case HS_CHECK: check(s); break;
    }
}

/* ---- the four functions ---- */

static V open_function(const char *name, T ret) {
  V f = LLVMAddFunction(em.mod, fmt("%s_%s", em.opt->prefix, name), LLVMFunctionType(ret, &em.ptr, 1, 0));
  LLVMSetVisibility(f, LLVMHiddenVisibility);
  begin_function(f, false);
  em.host = true, em.hoists = false;
  return LLVMGetParam(f, 0);
}

static void program_function(void) {
  frame = open_function("program", em.none);
  symbols = FRAME(sym);
  finish = new_block("finish");
  int n = launch_words(prog->body);
  args = n ? entry_alloca(em.i64, n, 8) : NULL;
  statements(prog->body);
  LLVMBuildBr(em.b, finish);
  LLVMPositionBuilderAtEnd(em.b, finish);
  LLVMBuildRetVoid(em.b);
  frame = NULL;
}

static void entry_function(void) {
  symbols = open_function("entry", em.i32);
  for (int i = 0; i < prog->nentry; i++) // those that input dims bind have no definition
    if (prog->sym[i]->def) store_at(value(prog->sym[i]->def), symbol_at(prog->sym[i]), 8);
  for (int i = 0; i < prog->nrequire; i++) {
    Block bad = new_block(""), on = new_block("");
    LLVMBuildCondBr(em.b, icmp(LLVMIntSLT, value(prog->require[i].expr), k64(0)), bad, on);
    LLVMPositionBuilderAtEnd(em.b, bad);
    LLVMBuildRet(em.b, k32(1 + i));
    LLVMPositionBuilderAtEnd(em.b, on);
  }
  LLVMBuildRet(em.b, k32(0));
}

static void size_function(const char *name, IExpr *bytes) {
  symbols = open_function(name, em.i64);
  LLVMBuildRet(em.b, bytes ? value(bytes) : k64(0));
}

// What a worker needs for the launches whose scratch is known at entry; the others ask for theirs.
static void scratch_of(const HStmt *s, IExpr **most) {
  for (; s; s = s->next) {
    if (s->kind == HS_LAUNCH) {
      IExpr *e = at_launch(s, kernel_scratch(s->kernel));
      if (!is_late(e) && !ix_prove_le(e, *most)) *most = ix_prove_le(*most, e) ? e : ix_max(*most, e);
    }
    scratch_of(s->body, most);
    scratch_of(s->other, most);
  }
}

void host_emit(Program *p) {
  prog = p;
  IExpr *scratch = ix(0);
  scratch_of(p->body, &scratch);
  program_function();
  entry_function();
  size_function("workspace", p->arena);
  size_function("scratch", scratch);
}
