// kernel_parse.c - reads the text that kernel_print writes (docs/ir.md has the grammar).
//
// Anything may stand in the input: whatever does not fit the grammar, the types or the limits is a diagnostic with its line. Nodes are made
// as written, without folding, so that what was printed comes back.
#include "kernel_text.h"
#include "scalar.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEST_MAX = 200 };

/* ---- names and indices ---- */

void *scope_find(const Scope *s, Sym name) {
  for (int i = s->n - 1; i >= 0; i--)
    if (s->e[i].name == name) return s->e[i].what;
  return NULL;
}
void scope_add(Scope *s, Sym name, void *what) { PUSH(s->e, s->n, s->c, (NameEntry){name, what}); }

static IExpr *find_atom(Sym name, void *u) { return scope_find(&((Parser *)u)->atoms, name); }

IExpr *parse_ix(Parser *p) {
  parse_blank(p);
  const char *from = p->at;
  IExpr *e = ix_parse(&p->at, find_atom, p);
  if (!e) p->at = from; // it may have stopped behind the end of the text
  if (!e) parse_fail(p, "an index expression is expected (of names known here)");
  return e;
}

static int parse_ix_list(Parser *p, IExpr **out) { // [a,b,..]
  int n = 0;
  parse_expect(p, "[");
  while (!parse_is(p, "]")) {
    if (n) parse_expect(p, ",");
    if (n == MAX_RANK) parse_fail(p, "more than %d dimensions", MAX_RANK);
    out[n++] = parse_ix(p);
  }
  return n;
}

void parse_ranges(Parser *p) {
  do {
    Sym name = parse_symbol(p);
    parse_expect(p, "in");
    int64_t lo = parse_int(p);
    parse_expect(p, "..");
    int64_t hi = parse_int(p);
    if (hi < lo) parse_fail(p, "the range of %s is empty", name);
    scope_add(&p->atoms, name, ix_sym(name, lo, hi));
  } while (parse_is(p, ","));
}

/* ---- buffers ---- */

static void parse_sides(Parser *p, int64_t *v, int rank) {
  for (int i = 0; i < rank; i++) {
    if (i && !parse_is(p, ",")) break;
    v[i] = parse_between(p, 0, 1 << 20);
  }
}

const Layout *parse_layout(Parser *p, int rank) {
  if (!parse_is(p, "@<")) return NULL;
  Layout *l = NEW(Layout);
  do {
    if (l->n == (int)(sizeof l->axis / sizeof *l->axis)) parse_fail(p, "too many layout parts");
    l->axis[l->n] = (uint8_t)parse_between(p, 0, rank - 1);
    l->div[l->n] = parse_is(p, "/") ? parse_between(p, 1, INT32_MAX) : 1;
    l->mod[l->n] = parse_is(p, "%") ? parse_between(p, 1, INT32_MAX) : 0;
    l->n++;
  } while (parse_is(p, ","));
  while (parse_is(p, ";")) {
    if (parse_is(p, "lo")) parse_sides(p, l->lo, rank);
    else if (parse_is(p, "hi")) parse_sides(p, l->hi, rank);
    else parse_expect(p, "fill"), l->fill = parse_number(p);
  }
  parse_expect(p, ">");
  return l;
}

static void parse_place(Parser *p, Buf *b) {
  if (!parse_is(p, "@[")) return;
  if (parse_is(p, "offset")) {
    b->offset = parse_ix(p);
    if (parse_is(p, "]")) return;
    parse_expect(p, ";");
  }
  parse_expect(p, "stride");
  for (int i = 0; i < b->rank; i++) {
    if (i) parse_expect(p, ",");
    b->stride[i] = parse_ix(p);
  }
  parse_expect(p, "]");
}

static void parse_table(Parser *p, Buf *b) {
  enum { TABLE_MAX = 4096 };
  if (!parse_is(p, "=")) return;
  int64_t n = 1, k;
  for (int i = 0; i < b->rank; i++) {
    if (!ix_const(b->dim[i], &k) || k < 1 || n * k > TABLE_MAX)
      parse_fail(p, "a table has constant dims and at most %d elements", TABLE_MAX);
    n *= k;
  }
  double *v = NEWN(double, n);
  parse_expect(p, "{");
  for (int64_t i = 0; i < n; i++) {
    if (i) parse_expect(p, ",");
    v[i] = parse_number(p);
  }
  parse_expect(p, "}");
  b->table = v;
}

typedef struct BufHead { // name: dtype[dims]
  Sym name;
  DType dtype;
  int rank;
  IExpr *dim[MAX_RANK];
} BufHead;

static BufHead parse_buf_head(Parser *p) {
  BufHead h = {.name = parse_ident(p)};
  parse_expect(p, ":");
  Sym type = parse_ident(p);
  h.dtype = dtype_of(type);
  if (h.dtype == DT_NONE || dtypes[h.dtype].reg == DT_NONE) parse_fail(p, "%s is no element type of kernels", type);
  h.rank = parse_ix_list(p, h.dim);
  return h;
}

static void parse_buf_rest(Parser *p, Buf *b) {
  b->lay = parse_layout(p, b->rank);
  parse_place(p, b);
  if (b->lay && b->stride[0]) parse_fail(p, "%s has both a layout and strides", b->name);
  parse_table(p, b);
  if (scope_find(&p->bufs, b->name)) parse_fail(p, "buffer %s is declared twice", b->name);
  scope_add(&p->bufs, b->name, b);
}

static void parse_buf(Parser *p, BufKind kind) {
  BufHead h = parse_buf_head(p);
  parse_buf_rest(p, kernel_buf(p->k, h.name, kind, h.dtype, h.rank, h.dim));
}

static Buf *parse_buf_name(Parser *p) {
  Sym name = parse_ident(p);
  Buf *b = scope_find(&p->bufs, name);
  if (!b) parse_fail(p, "there is no buffer %s", name);
  return b;
}

/* ---- scalar expressions ---- */

static Ex *parse_ex(Parser *p, int depth);

static Ex *node(SOp op, DType type) {
  Ex *e = NEW(Ex);
  e->op = op, e->type = type;
  return e;
}

static Ex *float_const(DType t, double v) {
  Ex *e = node(S_CONST, t);
  e->f = v;
  return e;
}
static Ex *int_const(DType t, int64_t v) {
  Ex *e = node(S_CONST, t);
  e->i = v;
  return e;
}

static Ex *parse_special(Parser *p, double sign) {
  double v = parse_is(p, "inf") || parse_peek(p, "infd") ? INFINITY : NAN;
  if (parse_is(p, "infd")) return float_const(DT_F64, sign * INFINITY);
  if (parse_is(p, "nand")) return float_const(DT_F64, NAN);
  if (isnan(v)) parse_expect(p, "nan");
  return float_const(DT_F32, sign * v);
}

static Ex *parse_const(Parser *p) { // 1.5 1.5d 3 3l true inf
  parse_blank(p);
  if (parse_is(p, "true")) return int_const(DT_BOOL, 1);
  if (parse_is(p, "false")) return int_const(DT_BOOL, 0);
  const char *s = p->at + (*p->at == '-');
  if (*s == 'i' || *s == 'n') {
    double sign = s != p->at ? -1 : 1;
    p->at = s;
    return parse_special(p, sign);
  }
  size_t n = strspn(s, "0123456789");
  if (!n) parse_fail(p, "a constant is expected");
  if (s[n] != '.' && s[n] != 'e' && s[n] != 'E' && s[n] != 'd') {
    int64_t v = parse_int(p);
    if (*p->at == 'l') return p->at++, int_const(DT_I64, v);
    if (v < INT32_MIN || v > INT32_MAX) parse_fail(p, "an i32 constant is out of range");
    return int_const(DT_I32, v);
  }
  const char *from = p->at;
  double v = parse_number(p);
  if (*p->at == 'd') return p->at++, float_const(DT_F64, v);
  return float_const(DT_F32, (double)strtof(from, NULL));
}

static bool starts_const(const Parser *p) {
  const char *s = p->at + (*p->at == '-');
  if (*s >= '0' && *s <= '9') return true;
  static const char *const words[] = {"inf", "infd", "nan", "nand", "true", "false"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t n = strlen(words[i]);
    if (!strncmp(s, words[i], n) && !parse_word_char(s[n])) return true;
  }
  return false;
}

static Ex *apply(Parser *p, SOp op, DType to, Ex *a, Ex *b, Ex *c) { // a node, its operands' types checked
  Ex *e = node(op, to);
  e->a[0] = a, e->a[1] = b, e->a[2] = c;
  int wrong = ex_misfit(e);
  if (wrong >= 0) parse_fail(p, "operand %d of %s has a wrong type", wrong, scalars[op].name);
  size_t len = strlen(scalars[op].type);
  bool gives_bool = scalars[op].type[len - 1] == 'B' && scalars[op].type[len - 2] == ' ';
  if (to == DT_NONE) e->type = gives_bool ? DT_BOOL : e->a[op == S_select]->type;
  return e;
}

static DType parse_type_suffix(Parser *p) {
  parse_expect(p, ".");
  Sym name = parse_ident(p);
  DType t = dtype_of(name);
  if (t == DT_NONE) parse_fail(p, "%s is no element type", name);
  return t;
}

static DType parse_reg(Parser *p) {
  DType t = parse_type_suffix(p);
  if (t != DT_F32 && t != DT_F64 && t != DT_I32 && t != DT_I64 && t != DT_BOOL) parse_fail(p, "not a register type");
  return t;
}

static Ex *parse_ix_value(Parser *p) {
  Ex *e = node(S_IX, parse_reg(p));
  parse_expect(p, "(");
  e->ix[0] = parse_ix(p);
  parse_expect(p, ")");
  return e;
}

static Ex *parse_sel(Parser *p, int depth) {
  Ex *e = node(S_SEL, DT_NONE);
  parse_expect(p, "(");
  e->npred = 1, e->pred = NEW(IExpr *), e->pred[0] = parse_ix(p);
  for (int i = 0; i < 2; i++) parse_expect(p, ","), e->a[i] = parse_ex(p, depth);
  parse_expect(p, ")");
  if (e->a[0]->type != e->a[1]->type) parse_fail(p, "sel of two types");
  e->type = e->a[0]->type;
  return e;
}

static Ex *parse_op(Parser *p, Sym name, int depth) {
  SOp op = scalar_find(name);
  if (op == S_COUNT) parse_fail(p, "there is no operation %s", name);
  DType to = DT_NONE, storage = DT_NONE;
  if (op >= S_f2f && op <= S_bits) to = parse_reg(p);
  if (op == S_round || op == S_wrap) storage = parse_type_suffix(p);
  Ex *a[3] = {0};
  parse_expect(p, "(");
  for (int i = 0; i < scalars[op].arity; i++) {
    if (i) parse_expect(p, ",");
    a[i] = parse_ex(p, depth);
  }
  parse_expect(p, ")");
  Ex *e = apply(p, op, to, a[0], a[1], a[2]);
  e->i = storage;
  return e;
}

typedef struct PredBlock {
  IExpr **pred;
  int npred, cpred;
  Ex *cond, *other;
} PredBlock;

static PredBlock parse_pred_block(Parser *p, int depth) {
  PredBlock b = {0};
  if (*p->at != '{') return b; // directly behind the bracket
  p->at++;
  while (!parse_is(p, "}")) {
    if (b.npred || b.cond || b.other) parse_expect(p, ",");
    if (parse_is(p, "if")) b.cond = parse_ex(p, depth);
    else if (parse_is(p, "else")) b.other = parse_const(p);
    else PUSH(b.pred, b.npred, b.cpred, parse_ix(p));
  }
  if (b.cond && b.cond->type != DT_BOOL) parse_fail(p, "a condition is bool");
  return b;
}

static Ex *parse_load(Parser *p, Buf *b, int depth) {
  Ex *e = node(S_LOAD, dtypes[b->dtype].reg);
  e->buf = b;
  if (parse_ix_list(p, e->ix) != b->rank) parse_fail(p, "%s has %d dimensions", b->name, b->rank);
  PredBlock q = parse_pred_block(p, depth);
  e->pred = q.pred, e->npred = q.npred, e->cond = q.cond;
  if (q.other && q.other->type != e->type) parse_fail(p, "the else value of %s has a wrong type", b->name);
  if (q.other) e->i = q.other->i;
  return e;
}

static Ex *parse_shared(Parser *p) { // %n
  p->at++;
  int64_t n = parse_int(p);
  if (n < 0 || n >= p->nlet) parse_fail(p, "%%%lld is not defined here", (long long)n);
  return p->let[n];
}

static Ex *parse_primary(Parser *p, int depth) {
  if (depth > NEST_MAX) parse_fail(p, "an expression is nested deeper than %d", NEST_MAX);
  if (parse_is(p, "(")) {
    Ex *e = parse_ex(p, depth + 1);
    parse_expect(p, ")");
    return e;
  }
  parse_blank(p);
  if (*p->at == '%') return parse_shared(p);
  if (starts_const(p)) return parse_const(p);
  const char *from = p->at;
  Sym name = parse_ident(p);
  if (*p->at == '[') {
    p->at = from;
    return parse_load(p, parse_buf_name(p), depth + 1);
  }
  if (!strcmp(name, "ix")) return parse_ix_value(p);
  if (!strcmp(name, "sel")) return parse_sel(p, depth + 1);
  return parse_op(p, name, depth + 1);
}

static Ex *parse_product(Parser *p, int depth) {
  Ex *e = parse_primary(p, depth);
  for (;;) {
    if (parse_is(p, "*")) e = apply(p, S_mul, DT_NONE, e, parse_primary(p, depth), NULL);
    else if (parse_is(p, "/")) e = apply(p, S_div, DT_NONE, e, parse_primary(p, depth), NULL);
    else return e;
  }
}

static Ex *parse_sum(Parser *p, int depth) {
  Ex *e = parse_product(p, depth);
  for (;;) {
    if (parse_is(p, "+")) e = apply(p, S_add, DT_NONE, e, parse_product(p, depth), NULL);
    else if (parse_is(p, "-")) e = apply(p, S_sub, DT_NONE, e, parse_product(p, depth), NULL);
    else return e;
  }
}

static Ex *parse_compare(Parser *p, int depth) {
  Ex *e = parse_sum(p, depth);
  if (parse_peek(p, "<-")) return e; // the arrow of accum
  SOp op = parse_is(p, "<=") ? S_le : parse_is(p, "<") ? S_lt : parse_is(p, "==") ? S_eq : parse_is(p, "!=") ? S_ne : S_COUNT;
  return op == S_COUNT ? e : apply(p, op, DT_NONE, e, parse_sum(p, depth), NULL);
}

static Ex *parse_ex(Parser *p, int depth) {
  Ex *c = parse_compare(p, depth);
  if (!parse_is(p, "?")) return c;
  if (depth > NEST_MAX) parse_fail(p, "an expression is nested deeper than %d", NEST_MAX);
  Ex *a = parse_compare(p, depth + 1);
  parse_expect(p, ":");
  Ex *b = parse_ex(p, depth + 1);
  return apply(p, S_select, DT_NONE, c, a, b);
}

/* ---- statements ---- */

static void parse_index_let(Parser *p) {
  Sym name = parse_ident(p);
  LetDef *d = NEW(LetDef);
  d->site = -1;
  parse_expect(p, ":");
  int64_t lo = parse_int(p);
  parse_expect(p, "..");
  int64_t hi = parse_int(p);
  if (hi < lo) parse_fail(p, "the range of %s is empty", name);
  if (parse_is(p, "limit")) d->limit = parse_ix(p);
  if (parse_is(p, "site")) d->site = parse_between(p, 0, INT32_MAX);
  parse_expect(p, "=");
  d->value = parse_ex(p, 0);
  if (d->value->type != DT_I32 && d->value->type != DT_I64) parse_fail(p, "an index is i32 or i64");
  if (scope_find(&p->atoms, name)) parse_fail(p, "%s is defined twice", name);
  scope_add(&p->atoms, name, ix_let(name, d, lo, hi));
}

static void parse_lets(Parser *p) {
  p->nlet = 0;
  while (parse_is(p, "let")) {
    parse_blank(p);
    if (*p->at != '%') {
      parse_index_let(p);
      continue;
    }
    p->at++;
    if (parse_int(p) != p->nlet) parse_fail(p, "%%%d is expected", p->nlet);
    parse_expect(p, "=");
    Ex *e = parse_ex(p, 0);
    PUSH(p->let, p->nlet, p->clet, e);
  }
}

static int parse_combine(Parser *p) {
  if (!parse_is(p, "accum")) return C_SET;
  Sym name = parse_ident(p);
  for (int c = C_SET + 1; c < C_COUNT; c++)
    if (!strcmp(combines[c].name, name)) return c;
  parse_fail(p, "there is no accumulation %s", name);
}

static Tree *parse_effect(Parser *p) { // loc = expr, accum op loc <- expr
  Tree *t = NEW(Tree);
  t->kind = T_STMT;
  t->combine = (Combine)parse_combine(p);
  t->buf = parse_buf_name(p);
  if (parse_ix_list(p, t->ix) != t->buf->rank) parse_fail(p, "%s has %d dimensions", t->buf->name, t->buf->rank);
  PredBlock b = parse_pred_block(p, 0);
  if (b.other) parse_fail(p, "a store has no else value");
  t->pred = b.pred, t->npred = b.npred, t->cond = b.cond;
  parse_expect(p, t->combine == C_SET ? "=" : "<-");
  t->val = parse_ex(p, 0);
  if (t->val->type != dtypes[t->buf->dtype].reg) parse_fail(p, "%s takes %s values", t->buf->name, dtypes[dtypes[t->buf->dtype].reg].name);
  return t;
}

static AxisKind parse_axis_kind(Parser *p) {
  return parse_is(p, "reduce") ? AXIS_REDUCE : parse_is(p, "ordered") ? AXIS_ORDERED : AXIS_SPATIAL;
}

static IExpr *parse_axis(Parser *p) { // a name met before in this kernel is the same axis
  Sym name = parse_ident(p);
  parse_expect(p, ":");
  IExpr *ext = parse_ix(p), *known = scope_find(&p->atoms, name);
  if (known) {
    Atom *a = ix_is_atom(known);
    if (!a || a->kind != ATOM_VAR || a->a != ext) parse_fail(p, "%s is something else already", name);
    return known;
  }
  IExpr *v = ix_var(name, ext);
  scope_add(&p->atoms, name, v);
  return v;
}

static void parse_stage(Parser *p) {
  Sym name = parse_ident(p);
  IExpr *ax[MAX_AXES];
  uint8_t kind[MAX_AXES];
  int n = 0;
  for (int i = 0; i < p->k->nstage; i++)
    if (p->k->stage[i]->name == name) parse_fail(p, "stage %s is there already", name);
  parse_expect(p, ":");
  if (parse_is(p, "for")) do {
      if (n == MAX_AXES) parse_fail(p, "more than %d axes", MAX_AXES);
      ax[n] = parse_axis(p);
      for (int i = 0; i < n; i++)
        if (ax[i] == ax[n]) parse_fail(p, "an axis occurs twice");
      kind[n++] = (uint8_t)parse_axis_kind(p);
    } while (parse_is(p, ","));
  parse_expect(p, "{");
  parse_lets(p);
  const Tree *t = parse_effect(p);
  parse_expect(p, "}");
  Stage *s = kernel_stage(p->k, name, t->combine, t->buf, n, ax, kind, t->ix, t->val);
  s->pred = t->pred, s->npred = t->npred, s->cond = t->cond;
}

/* ---- schedules ---- */

static void parse_split(Parser *p, Schedule *s) {
  Split q = {.name = parse_ident(p)};
  for (int i = 0; i < s->nsplit; i++)
    if (s->split[i].name == q.name) parse_fail(p, "split %s is there already", q.name);
  parse_expect(p, "of");
  Sym axis = parse_ident(p);
  IExpr *a = scope_find(&p->atoms, axis);
  if (!a || !ix_is_atom(a) || ix_is_atom(a)->kind != ATOM_VAR) parse_fail(p, "there is no axis %s", axis);
  const char *from = p->at; // the rest of the line
  p->at += strcspn(from, "\n#}");
  sched_split(s, q.name, a, fmt("%.*s", (int)(p->at - from), from));
}

static void parse_row(Parser *p, Kernel *k, Sym stage) {
  const char *from = p->at, *end = from + strcspn(from, "\n#}");
  bool found = false;
  for (int i = 0; i < k->nstage; i++) found |= k->stage[i]->name == stage;
  if (!found) parse_fail(p, "there is no stage %s", stage);
  p->at = end;
  sched_bands(k, stage, fmt("%.*s", (int)(end - from), from));
}

static void parse_store(Parser *p, Schedule *s) {
  Buf *b = parse_buf_name(p);
  if (b->kind != BUF_TEMP) parse_fail(p, "%s is no temp", b->name);
  int space = parse_word_of(p, text_spaces, 6);
  if (space < 0) parse_fail(p, "a space is expected");
  int depth = parse_is(p, "depth") ? parse_between(p, 0, MAX_BANDS) : -1;
  sched_store(s, b, (Space)space, depth, parse_layout(p, b->rank));
}

static void parse_schedule(Parser *p) {
  Kernel *k = p->k;
  if (!k->sched) k->sched = NEW(Schedule);
  parse_expect(p, "{");
  while (!parse_is(p, "}")) {
    if (parse_is(p, "split")) parse_split(p, k->sched);
    else if (parse_is(p, "store")) parse_store(p, k->sched);
    else {
      Sym stage = parse_ident(p);
      parse_expect(p, ":");
      parse_row(p, k, stage);
    }
  }
}

/* ---- the tree ---- */

static Tree *parse_tree(Parser *p, int depth);

static Tree *parse_for(Parser *p, int depth) {
  Tree *t = NEW(Tree);
  t->kind = T_FOR;
  Sym name = parse_ident(p);
  parse_expect(p, ":");
  t->ext = parse_ix(p);
  if (scope_find(&p->atoms, name)) parse_fail(p, "%s is defined twice", name);
  t->var = ix_var(name, t->ext);
  scope_add(&p->atoms, name, t->var);
  t->axis = parse_axis_kind(p);
  int map = parse_word_of(p, text_maps, 11);
  t->map = map < 0 ? MAP_SEQ : (LoopMap)map;
  t->joined = parse_is(p, "joined");
  parse_expect(p, "{");
  t->body = parse_tree(p, depth + 1);
  return t;
}

static Tree *parse_while(Parser *p, int depth) {
  Tree *t = NEW(Tree);
  t->kind = T_WHILE;
  t->cond = parse_ex(p, 0);
  if (t->cond->type != DT_BOOL) parse_fail(p, "a condition is bool");
  parse_expect(p, "{");
  t->body = parse_tree(p, depth + 1);
  return t;
}

static Tree *parse_alloc(Parser *p) {
  Tree *t = NEW(Tree);
  BufHead h = parse_buf_head(p);
  Buf *b = NEW(Buf);
  b->name = h.name, b->dtype = h.dtype, b->rank = h.rank, b->kind = BUF_TEMP;
  b->id = p->k->nbuf + p->nalloc++; // no two buffers of a kernel have one number
  if (b->id >= MAX_BUFS) parse_fail(p, "more than %d buffers", MAX_BUFS);
  memcpy(b->dim, h.dim, sizeof b->dim);
  int space = parse_word_of(p, text_spaces, 6);
  if (space < 0) parse_fail(p, "a space is expected");
  b->space = (Space)space;
  parse_buf_rest(p, b);
  t->kind = T_ALLOC, t->buf = b;
  return t;
}

static Tree *parse_tree(Parser *p, int depth) { // up to and with the closing brace
  Tree *first = NULL, **tail = &first;
  if (depth > NEST_MAX) parse_fail(p, "loops are nested deeper than %d", NEST_MAX);
  while (!parse_is(p, "}")) {
    if (parse_is(p, "alloc")) *tail = parse_alloc(p);
    else if (parse_is(p, "sync")) *tail = NEW(Tree), (*tail)->kind = T_SYNC;
    else {
      parse_lets(p);
      *tail = parse_is(p, "for") ? parse_for(p, depth) : parse_is(p, "while") ? parse_while(p, depth) : parse_effect(p);
    }
    tail = &(*tail)->next;
  }
  return first;
}

/* ---- kernels ---- */

static void parse_params(Parser *p) {
  parse_expect(p, "(");
  while (!parse_is(p, ")")) {
    if (p->k->nbuf) parse_expect(p, ",");
    int kind = parse_word_of(p, text_buf_kinds, 4);
    if (kind < 0) parse_fail(p, "in, out, inout or const is expected");
    parse_buf(p, (BufKind)kind);
  }
}

// Ranges stand behind the parameters that use their symbols: they are read first.
static const char *find_ranges(Parser *p) {
  int deep = 0;
  const char *s = p->at;
  for (; *s; s++) {
    deep += (*s == '(') - (*s == ')');
    if (!deep && *s == ')') return s + 1;
  }
  parse_fail(p, "')' is missing");
}

static bool is_stage(Parser *p) {
  Sym name;
  const char *from = p->at;
  bool yes = parse_maybe_ident(p, &name) && parse_is(p, ":");
  p->at = from;
  return yes;
}

Kernel *parse_kernel(Parser *p) {
  p->k = kernel_new(parse_ident(p));
  p->bufs.n = p->nalloc = 0;
  int outer = p->atoms.n; // the symbols of a program stay known
  const char *params = p->at;
  p->at = find_ranges(p);
  if (parse_is(p, "where")) {
    parse_ranges(p);
    p->k->sym = NEWN(Atom *, p->atoms.n - outer);
    for (int i = outer; i < p->atoms.n; i++) p->k->sym[p->k->nsym++] = ix_is_atom(p->atoms.e[i].what);
  }
  parse_expect(p, "{");
  const char *body = p->at;
  p->at = params;
  parse_params(p);
  p->at = body;
  while (!parse_peek(p, "}")) {
    if (parse_is(p, "temp")) parse_buf(p, BUF_TEMP);
    else if (parse_is(p, "schedule")) parse_schedule(p);
    else if (is_stage(p)) parse_stage(p);
    else break;
  }
  p->k->tree = parse_tree(p, 0);
  kernel_symbols(p->k);
  p->atoms.n = outer;
  return p->k;
}

Kernel *kernel_parse(const char *text, size_t n, const char *file) {
  Parser p;
  parse_start(&p, text, n, file);
  parse_expect(&p, "kernel");
  Kernel *k = parse_kernel(&p);
  if (!parse_done(&p)) parse_fail(&p, "nothing more is expected behind the kernel");
  return k;
}
