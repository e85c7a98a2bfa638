// host.c - nodes that are statements of the host program: If, Loop, Scan; calls of runtime functions.
#include "passes/index.h"
#include <string.h>

static HBuf **bufs(int n) { return NEWN(HBuf *, n ? n : 1); }
static void let(Lower *L, Atom *symbol, IExpr *e) {
  HStmt *s = lower_stmt(L, HS_LET);
  s->sym = symbol, s->expr = e;
}
static void copy(Lower *L, HBuf *to, HBuf *from) {
  HStmt *s = lower_stmt(L, HS_COPY);
  s->nbuf = 2, s->buf = bufs(2), s->buf[0] = to, s->buf[1] = from;
}
static void move(Lower *L, HBuf *to, HBuf *from) {
  bool dense = to->type->kind == TYPE_TENSOR && to->type->dtype != DT_STR;
  HStmt *s = lower_stmt(L, dense ? HS_COPY : HS_MOVE);
  s->nbuf = 2, s->buf = bufs(2), s->buf[0] = to, s->buf[1] = from;
}

// Element i of a small integer value as an expression of program symbols: known, or loaded by the host here and now.
IExpr *lower_scalar(Lower *L, Value *v, int64_t i, int64_t lo, int64_t hi) {
  if (v->data) return ix(tensor_int(v->data, i));
  if (v->elem) return v->splat ? v->elem[0] : v->elem[i];
  HStmt *s = lower_stmt(L, HS_SET);
  IExpr *x = ix_sym(sym_fmt("%s[%d].%d", v->name ? v->name : "v", (int)i, L->serial++), lo, hi);
  s->nbuf = 1, s->buf = bufs(1), s->buf[0] = lower_value(L, v);
  s->sym = ix_is_atom(x), s->index = ix(i);
  return x;
}

// v in memory, for statements that read memory. What a region is given as an expression (a Loop's iteration, a condition that is true) has
// none: it is written down here and now.
static HBuf *stored(Lower *L, Value *v) {
  if (!v->elem || v->data || v->def || vinfo(v)->hbuf) return lower_value(L, v);
  static const uint8_t spatial[MAX_RANK];
  Value *w = NEW(Value);
  IExpr *at[MAX_RANK];
  w->name = v->name, w->type = v->type, w->graph = v->graph;
  lower_begin(L, "value");
  for (int d = 0; d < v->type->rank; d++) at[d] = ix_var(sym("i"), v->type->dim[d]);
  Ex *e = pull(L, v, at);
  kernel_stage(L->k, sym("out"), C_SET, lower_out(L, w), v->type->rank, at, spatial, at, e);
  lower_launch(L);
  return lower_value(L, w);
}

/* ---- calls ---- */
static bool in_runtime(const char *callee) {
  static const char *const names[] = {
#define HOSTOP(name, operands, meaning) #name,
#include "runtime/hostops.def"
#undef HOSTOP
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(names[i], callee)) return true;
  return false;
}
static void call_runtime(Lower *L, Node *n, const char *callee) {
  HBuf **buf = bufs(n->nin + n->nout);
  for (int i = 0; i < n->nin; i++) buf[i] = n->in[i] ? stored(L, n->in[i]) : NULL;
  for (int i = 0; i < n->nout; i++) buf[n->nin + i] = n->out[i] ? lower_value(L, n->out[i]) : NULL;
  HStmt *s = lower_stmt(L, HS_CALL);
  s->callee = sym(callee);
  s->nbuf = n->nin + n->nout, s->buf = buf, s->nin = n->nin;
  s->attrs = n->attr, s->nattr = n->nattr;
  s->site = lower_site(L, n, "%v", ix(0), ix(0));
}
void host_call(Lower *L, Node *n) {
  if (!in_runtime(host_function(n))) {
    report(LEVEL_ERROR, EXIT_UNSUPPORTED, "op.unsupported", node_where(n), "%s has no function in the runtime yet", n->op->name);
    return;
  }
  call_runtime(L, n, host_function(n));
}
// --gemm=openblas: is this one of the products that go there? A product with a vector stays with us.
bool by_openblas(const Lower *L, const Node *n) {
  if (!L->opt || !L->opt->openblas || (n->op->id != OP_MatMul && n->op->id != OP_Gemm)) return false;
  DType d = n->in[0]->type->dtype;
  return (d == DT_F32 || d == DT_F64) && n->in[0]->type->rank >= 2 && n->in[1]->type->rank >= 2;
}
void openblas_call(Lower *L, Node *n) { call_runtime(L, n, "gemm_openblas"); }

/* ---- results of regions ---- */
// The result's dims that are symbols of their own take the values of what the region computed.
static void bind_dims(Lower *L, const Type *to, const Type *from) {
  for (int d = 0; to->kind == TYPE_TENSOR && d < to->rank; d++) {
    Atom *a = ix_is_atom(to->dim[d]);
    if (to->dim[d] != from->dim[d] && a && a->kind == ATOM_SYM && !a->def) let(L, a, from->dim[d]);
  }
}
static void give(Lower *L, HBuf *to, Value *from) {
  HBuf *f = stored(L, from);
  if (f == to) return;
  bind_dims(L, to->type, from->type);
  lower_provide(L, to);
  move(L, to, f);
}
// Statements go into a nested block until *L->tail is set back to what was saved.
static void inside(Lower *L, HStmt **block, HStmt ***save) {
  *save = *L->tail;
  *L->tail = block;
}

void region_if(Lower *L, Node *n) {
  HBuf *cond = stored(L, n->in[0]);
  HStmt *s = lower_stmt(L, HS_IF), **after;
  s->nbuf = 1, s->buf = bufs(1), s->buf[0] = cond;
  for (int b = 0; b < 2; b++) {
    inside(L, b ? &s->other : &s->body, &after);
    lower_graph(L, n->region[b]);
    for (int o = 0; o < n->nout; o++)
      if (n->out[o]) give(L, lower_value(L, n->out[o]), n->region[b]->out[o]);
    *L->tail = after;
  }
}

/* ---- Loop and Scan ---- */
static Value *known_scalar(Value *v, IExpr *e) { // a region input whose value is an expression
  v->elem = NEWN(IExpr *, 1), v->elem[0] = e, v->nelem = 1;
  return v;
}
typedef struct Carried {
  Value *in, *out, *init, *result;
  HBuf *buf;
} Carried;
static void enter(Lower *L, Carried *c) {
  c->buf = lower_scratch(L, "carried", c->in->type);
  vinfo(c->in)->hbuf = c->buf;
  HBuf *from = stored(L, c->init);
  bind_dims(L, c->in->type, c->init->type);
  lower_provide(L, c->buf);
  if (c->buf->place == PLACE_HANDLE) move(L, c->buf, from);
  else copy(L, c->buf, from);
}
// The next iteration's state. Dims first, all from the old ones; then contents: a value that is itself an old state is set aside before
// anything is overwritten.
static void next_iteration(Lower *L, Carried *c, int n) {
  HBuf *from[64];
  Atom *symbol[64];
  IExpr *fresh[64];
  int ns = 0;
  for (int i = 0; i < n; i++) {
    from[i] = stored(L, c[i].out);
    for (int j = 0; j < n; j++) {
      if (from[i] != c[j].buf || i == j) continue;
      HBuf *aside = lower_scratch(L, "aside", c[i].out->type);
      lower_provide(L, aside);
      move(L, aside, from[i]);
      from[i] = aside;
      break;
    }
  }
  for (int i = 0; i < n; i++) {
    const Type *t = c[i].in->type, *f = c[i].out->type;
    for (int d = 0; t->kind == TYPE_TENSOR && d < t->rank; d++) {
      Atom *a = ix_is_atom(t->dim[d]);
      if (t->dim[d] == f->dim[d] || !a || a->kind != ATOM_SYM || a->def) continue;
      bool seen = false;
      for (int k = 0; k < ns; k++) seen |= symbol[k] == a;
      if (seen || ns == 64) continue;
      IExpr *tmp = ix_sym(sym_fmt("next.%d", L->serial++), 0, IX_DIM_MAX);
      let(L, ix_is_atom(tmp), f->dim[d]);
      symbol[ns] = a, fresh[ns++] = tmp;
    }
  }
  for (int i = 0; i < ns; i++) let(L, symbol[i], fresh[i]);
  for (int i = 0; i < n; i++) {
    if (from[i] == c[i].buf) continue;
    lower_provide(L, c[i].buf);
    move(L, c[i].buf, from[i]);
  }
}
static void leave(Lower *L, Carried *c) {
  if (!c->result) return;
  HBuf *to = lower_value(L, c->result);
  bind_dims(L, c->result->type, c->in->type);
  lower_provide(L, to);
  move(L, to, c->buf);
}

// A scan output: row t of the result is what iteration t computed.
typedef struct Stacked {
  Value *row, *result;
  HBuf *buf, *slot;
  bool known; // its size is known before the loop
} Stacked;
static IExpr *count_of(const Type *t) {
  IExpr *n = ix(1);
  for (int d = 0; d < t->rank; d++) n = ix_mul(n, t->dim[d]);
  return n;
}
static IExpr *bytes(const Type *t, IExpr *count) { return ix_ceil(ix_scale(count, dtypes[t->dtype].bits), 8); }
// The dims of a row, which may depend on the iteration, are taken where the row is made. No iteration: rows of size 0.
static void row_dims(Lower *L, const Stacked *s, bool none) {
  const Type *t = s->result->type;
  for (int d = 1; d < t->rank; d++) {
    Atom *x = ix_is_atom(t->dim[d]);
    if (t->dim[d] != s->row->type->dim[d - 1] && x && x->kind == ATOM_SYM && !x->def) let(L, x, none ? ix(0) : s->row->type->dim[d - 1]);
  }
}
static void stack_open(Lower *L, Stacked *s, IExpr *t, bool known) {
  HBuf *final = lower_value(L, s->result);
  s->known = known;
  s->buf = known ? final : lower_slab(L, "rows", s->result->type);
  if (known) lower_provide(L, final);
  else row_dims(L, s, true);
  s->slot = program_buf(L->prog, sym("row"), s->row->type, PLACE_ALIAS);
  s->slot->alias = s->buf, s->slot->shift = ix_mul(t, count_of(s->row->type)), s->slot->exact = true;
}
static void stack_row(Lower *L, Stacked *s, IExpr *t) {
  HBuf *from = stored(L, s->row);
  if (!s->known) {
    row_dims(L, s, false);
    HStmt *g = lower_stmt(L, HS_GROW);
    IExpr *n = count_of(s->row->type);
    g->nbuf = 1, g->buf = bufs(1), g->buf[0] = s->buf;
    g->expr = bytes(s->row->type, ix_mul(ix_addk(t, 1), n)), g->keep = bytes(s->row->type, ix_mul(t, n));
  }
  copy(L, s->slot, from);
}
static void stack_close(Lower *L, Stacked *s, IExpr *trips) {
  if (s->known) return;
  const Type *t = s->result->type;
  Atom *a = ix_is_atom(t->dim[0]);
  if (a && a->kind == ATOM_SYM && !a->def && t->dim[0] != trips) let(L, a, trips);
  HBuf *final = lower_value(L, s->result);
  lower_provide(L, final);
  copy(L, final, s->buf);
}
static void own_symbol(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_SYM && !a->def && !a->bound; }
static bool known_before(IExpr *e, IExpr *trips) { // made of input dims, or exactly the trip count
  bool other = false;
  if (e != trips) ix_atoms(e, own_symbol, &other);
  return !other;
}
static bool rows_known(const Stacked *s, IExpr *trips) {
  const Type *t = s->result->type;
  bool yes = trips && known_before(t->dim[0], trips);
  for (int d = 1; d < t->rank; d++) yes &= t->dim[d] == s->row->type->dim[d - 1] && known_before(t->dim[d], NULL);
  return yes;
}
static bool always_true(const Value *v) {
  if (v->data) return tensor_int(v->data, 0) != 0;
  return v->elem && ix_is(v->elem[0], 1);
}

void region_loop(Lower *L, Node *n) {
  Graph *b = n->region[0];
  int nc = b->nin - 2, nstack = b->nout - 1 - nc;
  if (nc > 60) fail(EXIT_LIMIT, "lower.loop", node_where(n), "a Loop with more than 60 carried values");
  Carried *c = NEWN(Carried, nc + 1);
  Stacked *st = NEWN(Stacked, nstack + 1);
  Value *m = node_in(n, 0), *cond = node_in(n, 1);
  IExpr *trips = m ? lower_scalar(L, m, 0, INT32_MIN, IX_DIM_MAX) : NULL,
        *t = b->in[0]->elem ? b->in[0]->elem[0] : ix_sym(sym_fmt("t%d", L->serial++), 0, IX_DIM_MAX);
  known_scalar(b->in[0], t), known_scalar(b->in[1], ix(1));
  vinfo(b->in[0])->loaded = false; // the loop's own symbol
  for (int i = 0; i < nc; i++) {
    c[i] = (Carried){b->in[i + 2], b->out[i + 1], n->in[i + 2], node_out(n, i), NULL};
    enter(L, &c[i]);
  }
  bool tested = (cond && !always_true(cond)) || !always_true(b->out[0]);
  HBuf *go = NULL;
  if (tested) {
    go = lower_scratch(L, "go", type_tensor(DT_BOOL, 0, NULL));
    if (cond) copy(L, go, stored(L, cond));
    else copy(L, go, lower_const_bool(L, true));
  }
  for (int i = 0; i < nstack; i++) {
    st[i] = (Stacked){b->out[1 + nc + i], node_out(n, nc + i), NULL, NULL, false};
    if (st[i].result) stack_open(L, &st[i], t, !tested && rows_known(&st[i], trips));
  }
  HStmt *s = lower_stmt(L, HS_LOOP), **after;
  s->sym = ix_is_atom(t), s->expr = trips;
  s->nbuf = go ? 1 : 0, s->buf = bufs(1), s->buf[0] = go;
  inside(L, &s->body, &after);
  lower_graph(L, b);
  for (int i = 0; i < nstack; i++)
    if (st[i].result) stack_row(L, &st[i], t);
  if (go) copy(L, go, stored(L, b->out[0]));
  next_iteration(L, c, nc);
  *L->tail = after;
  for (int i = 0; i < nstack; i++)
    if (st[i].result) stack_close(L, &st[i], t);
  for (int i = 0; i < nc; i++) leave(L, &c[i]);
}

// A scan input is read through a Gather at the iteration, so that its row is an index map like any other.
static void scan_input(Node *n, Graph *b, int k, int axis, IExpr *at) {
  Value *x = n->in[b->nin - (int)attr_int(n, "num_scan_inputs") + k], *in = b->in[b->nin - (int)attr_int(n, "num_scan_inputs") + k];
  Value *i = graph_input(b, sym("scan.t"), type_tensor(DT_I64, 0, NULL));
  b->nin--; // not an input of the region: a known value
  known_scalar(i, at);
  Value *row = graph_op(b, b->first, OP_Gather, n, VALUES(x, i));
  node_set_int(row->def, "axis", axis);
  row->type = in->type;
  value_replace(in, row);
}
void region_scan(Lower *L, Node *n) {
  Graph *b = n->region[0];
  int nscan = (int)attr_int(n, "num_scan_inputs"), ns = b->nin - nscan, nstack = b->nout - ns;
  const int64_t *ia, *id, *oa, *od;
  int nia = attr_ints(n, "scan_input_axes", &ia), nid = attr_ints(n, "scan_input_directions", &id),
      noa = attr_ints(n, "scan_output_axes", &oa), nod = attr_ints(n, "scan_output_directions", &od);
  Value *first = n->in[ns];
  int axis0 = nia ? (int)(ia[0] < 0 ? ia[0] + first->type->rank : ia[0]) : 0;
  IExpr *trips = first->type->dim[axis0], *t = ix_sym(sym_fmt("t%d", L->serial++), 0, IX_DIM_MAX);
  if (ns > 60) fail(EXIT_LIMIT, "lower.scan", node_where(n), "a Scan with more than 60 states");
  Carried *c = NEWN(Carried, ns + 1);
  Stacked *st = NEWN(Stacked, nstack + 1);
  for (int i = 0; i < ns; i++) {
    c[i] = (Carried){b->in[i], b->out[i], n->in[i], node_out(n, i), NULL};
    enter(L, &c[i]);
  }
  for (int k = 0; k < nscan; k++) {
    int rank = n->in[ns + k]->type->rank, axis = k < nia ? (int)(ia[k] < 0 ? ia[k] + rank : ia[k]) : 0;
    scan_input(n, b, k, axis, k < nid && id[k] ? ix_sub(ix_addk(trips, -1), t) : t);
  }
  for (int i = 0; i < nstack; i++) {
    bool back = i < nod && od[i];
    if (i < noa && oa[i] != 0) fail(EXIT_UNSUPPORTED, "lower.scan", node_where(n), "Scan with an output axis other than 0");
    st[i] = (Stacked){b->out[ns + i], node_out(n, ns + i), NULL, NULL, false};
    if (st[i].result) stack_open(L, &st[i], back ? ix_sub(ix_addk(trips, -1), t) : t, true);
  }
  HStmt *s = lower_stmt(L, HS_LOOP), **after;
  s->sym = ix_is_atom(t), s->expr = trips;
  inside(L, &s->body, &after);
  lower_graph(L, b);
  for (int i = 0; i < nstack; i++)
    if (st[i].result) stack_row(L, &st[i], t);
  next_iteration(L, c, ns);
  *L->tail = after;
  for (int i = 0; i < ns; i++) leave(L, &c[i]);
}
