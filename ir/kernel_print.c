// kernel_print.c - the text of kernels: stages with their schedule, or the tree once built. docs/ir.md is the grammar.
//
// The text is canonical: print(parse(print(k))) == print(k). So nothing in it may depend on when an atom was made: every named thing gets a
// name that is unique in its kernel, terms of an index are ordered by their text, and what a statement shares is numbered %0, %1, .. in
// the order of a walk.
#include "kernel_text.h"
#include "scalar.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const text_buf_kinds[] = {"in", "out", "inout", "const", "temp", NULL};
const char *const text_spaces[] = {"auto", "reg", "stack", "scratch", "arena", "shared", NULL};
const char *const text_maps[] = {"seq", "unroll", "vec", "par", "dot", "tr", "block.x", "block.y", "block.z", "thread.x", "thread.y", NULL};
const char *const text_axis_kinds[] = {"spatial", "reduce", "ordered", NULL};

/* ---- names ---- */

static bool word_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

bool is_identifier(const char *s) {
  if (!*s || (*s >= '0' && *s <= '9')) return false;
  while (word_char(*s)) s++;
  return !*s;
}

static bool reserved(const char *s) { // words that may stand where a name may
  static const char *const words[] = {"temp",  "schedule", "for",   "alloc",  "accum", "let",    "sync",   "while",  "split",
                                      "store", "max",      "min",   "select", "inf",   "nan",    "true",   "false",  "if",
                                      "else",  "site",     "limit", "where",  "infd",  "nand",   "accum",  "seq",    "unroll",
                                      "vec",   "par",      "dot",   "tr",     "block", "thread", "joined", "reduce", "ordered",
                                      "rest",  "edge",     "of",    "depth",  "ix",    "sel",    "int",    "bcast",  "in"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(s, words[i])) return true;
  return false;
}

static Sym identifier(const char *wanted) { // the closest identifier
  if (!wanted || !*wanted) return sym("x");
  if (is_identifier(wanted) && !reserved(wanted)) return sym(wanted);
  char *s = fmt("%s%s%s", *wanted >= '0' && *wanted <= '9' ? "_" : "", wanted, reserved(wanted) ? "_" : "");
  for (char *p = s; *p; p++)
    if (!word_char(*p)) *p = '_';
  return sym(s);
}

static bool take(Map *used, Sym name) { // false: it is in use
  if (map_get(used, name)) return false;
  map_put(used, name, (void *)(uintptr_t)name);
  return true;
}

void printer_start(Printer *p, Text *out, bool canonical) { *p = (Printer){.out = out, .canonical = canonical}; }

const char *print_name(Printer *p, const void *key, const char *wanted) {
  const char *have = map_get(&p->names, key);
  if (have) return have;
  Sym base = p->canonical ? sym_fmt("x%d", p->counter++) : identifier(wanted), name = base;
  for (int i = 1; !take(&p->used, name); i++) name = sym_fmt("%s_%d", base, i);
  map_put(&p->names, key, (void *)(uintptr_t)name);
  return name;
}

/* ---- indices ---- */

// An atom that goes by another name in the text is printed through a shadow of that name: which of relu(a - b) and relu(b - a) is normal
// depends on names, and a parser will make what it reads with the names of the text.
static IExpr *shadow_of(Atom *a, void *u) { return map_get(&((Printer *)u)->shadows, a); }

static IExpr *shadowed(Printer *p, IExpr *e) { return p->shadows.n ? ix_map(e, shadow_of, p) : e; }

static const char *print_atom(Printer *p, Atom *a) {
  const char *have = map_get(&p->names, a);
  if (have) return have;
  const char *name = print_name(p, a, a->name);
  if (!strcmp(name, a->name)) return name;
  Sym s = sym(name);
  map_put(&p->shadows, a, a->kind == ATOM_VAR ? ix_var(s, shadowed(p, a->a)) : ix_let(s, a->def, a->lo, a->hi));
  return name;
}

const char *print_ix(Printer *p, IExpr *e) {
  const char *have = map_get(&p->indices, e);
  if (!have) map_put(&p->indices, e, (void *)(uintptr_t)(have = ix_str(shadowed(p, e))));
  return have;
}

static void put_ix_list(Printer *p, IExpr *const *e, int n) {
  put(p->out, "[");
  for (int i = 0; i < n; i++) put(p->out, "%s%s", i ? "," : "", print_ix(p, e[i]));
  put(p->out, "]");
}

/* ---- scalar expressions ---- */

void put_number(Text *s, double v) {
  char b[40];
  if (isnan(v)) snprintf(b, sizeof b, "nan");
  else if (isinf(v)) snprintf(b, sizeof b, v < 0 ? "-inf" : "inf");
  else {
    for (int digits = 6; digits <= 17; digits += digits == 6 ? 3 : digits == 9 ? 8 : 1) {
      snprintf(b, sizeof b, "%.*g", digits, v);
      if (strtod(b, NULL) == v) break;
    }
    if (!strpbrk(b, ".e")) strcat(b, ".0");
  }
  put(s, "%s", b);
}

static void put_f32(Text *s, double v) { // the shortest text that reads back as this float
  char b[40];
  for (int digits = 6; digits <= 9 && isfinite(v) && v == (double)(float)v; digits++) {
    snprintf(b, sizeof b, "%.*g", digits, v);
    if (strtof(b, NULL) != (float)v) continue;
    put(s, strpbrk(b, ".e") ? "%s" : "%s.0", b);
    return;
  }
  put_number(s, v);
}

void print_ex_const(Text *s, const Ex *e) {
  switch (e->type) {
  case DT_F32: put_f32(s, e->f); break;
  case DT_F64: put_number(s, e->f), put(s, "d"); break;
  case DT_I64: put(s, "%" PRId64 "l", e->i); break;
  case DT_BOOL: put(s, e->i ? "true" : "false"); break;
  default: put(s, "%" PRId64, e->i);
  }
}

enum { P_SELECT = 1, P_COMPARE, P_SUM, P_PRODUCT, P_UNIT };
static int precedence(SOp op) {
  switch (op) {
  case S_select: return P_SELECT;
  case S_lt:
  case S_le:
  case S_eq:
  case S_ne: return P_COMPARE;
  case S_add:
  case S_sub: return P_SUM;
  case S_mul:
  case S_div: return P_PRODUCT;
  default: return P_UNIT;
  }
}
static const char *infix(SOp op) {
  switch (op) {
  case S_lt: return " < ";
  case S_le: return " <= ";
  case S_eq: return " == ";
  case S_ne: return " != ";
  case S_add: return " + ";
  case S_sub: return " - ";
  case S_mul: return "*";
  default: return "/";
  }
}
static bool typed_name(SOp op) { return op >= S_f2f && op <= S_bits; } // conversions say their result type

// One statement's scalar part: which nodes are printed as %n.
typedef struct Statement {
  Printer *p;
  Map uses;   // node -> ONCE or MANY
  Map shared; // node -> "%n", once printed
  Map lets;   // index lets already printed
  int n;
  bool any;
  const char *indent;
} Statement;

static void put_ex(Statement *s, const Ex *e, int outer);

static void put_pred_block(Statement *s, IExpr *const *pred, int n, const Ex *cond, const Ex *other) {
  Text *o = s->p->out;
  const char *sep = "";
  if (!n && !cond && !other) return;
  put(o, "{");
  for (int i = 0; i < n; i++) put(o, "%s%s", sep, print_ix(s->p, pred[i])), sep = ", ";
  if (cond) put(o, "%sif ", sep), put_ex(s, cond, P_SELECT), sep = ", ";
  if (other) put(o, "%selse ", sep), print_ex_const(o, other);
  put(o, "}");
}

static void put_operands(Statement *s, const Ex *e) {
  put(s->p->out, "(");
  for (int i = 0; i < 3 && e->a[i]; i++) {
    if (i) put(s->p->out, ", ");
    put_ex(s, e->a[i], P_SELECT);
  }
  put(s->p->out, ")");
}

static void put_infix(Statement *s, const Ex *e, int outer) {
  int mine = precedence(e->op);
  Text *o = s->p->out;
  if (mine < outer) put(o, "(");
  if (e->op == S_select) {
    put_ex(s, e->a[0], P_COMPARE), put(o, " ? "), put_ex(s, e->a[1], P_COMPARE), put(o, " : "), put_ex(s, e->a[2], P_SELECT);
  } else put_ex(s, e->a[0], mine + (mine == P_COMPARE)), put(o, "%s", infix(e->op)), put_ex(s, e->a[1], mine + 1);
  if (mine < outer) put(o, ")");
}

static void put_node(Statement *s, const Ex *e, int outer) { // without regard to sharing
  Text *o = s->p->out;
  switch (e->op) {
  case S_CONST: print_ex_const(o, e); return;
  case S_LOAD:
    put(o, "%s", print_name(s->p, e->buf, e->buf->name));
    put_ix_list(s->p, e->ix, e->buf->rank);
    put_pred_block(s, e->pred, e->npred, e->cond, e->i ? e : NULL);
    return;
  case S_IX: put(o, "ix.%s(%s)", dtypes[e->type].name, print_ix(s->p, e->ix[0])); return;
  case S_SEL:
    put(o, "sel(%s, ", print_ix(s->p, e->pred[0]));
    put_ex(s, e->a[0], P_SELECT), put(o, ", "), put_ex(s, e->a[1], P_SELECT), put(o, ")");
    return;
  default:
    if (precedence(e->op) < P_UNIT) {
      put_infix(s, e, outer);
      return;
    }
    put(o, "%s", scalars[e->op].name);
    if (typed_name(e->op)) put(o, ".%s", dtypes[e->type].name);
    else if (e->op == S_round || e->op == S_wrap) put(o, ".%s", dtypes[e->i].name);
    put_operands(s, e);
  }
}

static void put_ex(Statement *s, const Ex *e, int outer) {
  const char *n = map_get(&s->shared, e);
  if (n) put(s->p->out, "%s", n);
  else put_node(s, e, outer);
}

static char once, many;
#define ONCE ((void *)&once)
#define MANY ((void *)&many)
static bool inline_always(const Ex *e) { return e->op == S_CONST || e->op == S_IX; }

static void count_let(Atom *a, void *u);
static void count(Statement *s, const Ex *e) {
  if (!e) return;
  const char *n = map_get(&s->uses, e);
  map_put(&s->uses, e, n ? MANY : ONCE);
  if (n) return;
  for (int i = 0; i < 3; i++) count(s, e->a[i]);
  count(s, e->cond);
  if (e->op == S_IX) ix_atoms(e->ix[0], count_let, s);
  for (int i = 0; e->buf && i < e->buf->rank; i++) ix_atoms(e->ix[i], count_let, s);
  for (int i = 0; i < e->npred; i++) ix_atoms(e->pred[i], count_let, s);
}
static void count_let(Atom *a, void *u) {
  Statement *s = u;
  if (a->kind != ATOM_LET || !a->def || map_get(&s->uses, a)) return;
  map_put(&s->uses, a, ONCE);
  count(s, ((LetDef *)a->def)->value);
}

static void let_start(Statement *s) { put(s->p->out, s->any ? "%s" : "\n%s", s->indent), s->any = true; }

static void define(Statement *s, const Ex *e);

// The lets of one index, in the order of their printed names' first need: operands before users.
typedef struct IndexLets {
  Atom **a;
  int n, c;
} IndexLets;
static void collect_let(Atom *a, void *u) {
  IndexLets *l = u;
  if (a->kind == ATOM_LET && a->def) PUSH(l->a, l->n, l->c, a);
}

static void define_let(Statement *s, Atom *a);
static void define_lets_of(Statement *s, IExpr *e) {
  IndexLets l = {0};
  ix_atoms(e, collect_let, &l);
  for (int i = 1; i < l.n; i++) // older first: a let made later may use an earlier one, and a parser makes them in text order
    for (int j = i; j && l.a[j]->id < l.a[j - 1]->id; j--) {
      Atom *t = l.a[j];
      l.a[j] = l.a[j - 1], l.a[j - 1] = t;
    }
  for (int i = 0; i < l.n; i++) define_let(s, l.a[i]);
}

static void define_let(Statement *s, Atom *a) {
  if (map_get(&s->lets, a)) return;
  map_put(&s->lets, a, ONCE);
  const LetDef *d = a->def;
  define(s, d->value);
  if (d->limit) define_lets_of(s, d->limit);
  let_start(s);
  Text *o = s->p->out;
  put(o, "let %s: %" PRId64 "..%" PRId64, print_atom(s->p, a), a->lo, a->hi);
  if (d->limit) put(o, " limit %s", print_ix(s->p, d->limit));
  if (d->site >= 0) put(o, " site %d", d->site);
  put(o, " = ");
  put_ex(s, d->value, P_SELECT);
  put(o, "\n");
}

static void define(Statement *s, const Ex *e) { // prints the lets that e needs, and itself if it is shared
  if (!e || map_get(&s->shared, e)) return;
  if (map_get(&s->lets, e)) return;
  map_put(&s->lets, e, ONCE);
  for (int i = 0; i < 3; i++) define(s, e->a[i]);
  define(s, e->cond);
  if (e->op == S_IX) define_lets_of(s, e->ix[0]);
  for (int i = 0; e->buf && i < e->buf->rank; i++) define_lets_of(s, e->ix[i]);
  for (int i = 0; i < e->npred; i++) define_lets_of(s, e->pred[i]);
  if (inline_always(e) || map_get(&s->uses, e) == ONCE) return;
  let_start(s);
  put(s->p->out, "let %%%d = ", s->n);
  put_node(s, e, P_SELECT);
  put(s->p->out, "\n");
  map_put(&s->shared, e, fmt("%%%d", s->n++));
}

typedef struct Effect { // what a stage and a tree statement have in common
  Combine combine;
  Buf *buf;
  IExpr *const *ix;
  IExpr *const *pred;
  int npred;
  const Ex *cond, *val;
} Effect;

static void start_statement(Statement *s, Printer *p, const char *indent) { *s = (Statement){.p = p, .indent = indent}; }

static bool put_lets(Statement *s, const Effect *f) { // true: there were some
  for (int i = 0; i < f->buf->rank; i++) ix_atoms(f->ix[i], count_let, s);
  for (int i = 0; i < f->npred; i++) ix_atoms(f->pred[i], count_let, s);
  count(s, f->cond), count(s, f->val);
  for (int i = 0; i < f->buf->rank; i++) define_lets_of(s, f->ix[i]);
  for (int i = 0; i < f->npred; i++) define_lets_of(s, f->pred[i]);
  define(s, f->cond), define(s, f->val);
  return s->any;
}

static void put_effect(Statement *s, const Effect *f) {
  Text *o = s->p->out;
  if (f->combine != C_SET) put(o, "accum %s ", combines[f->combine].name);
  put(o, "%s", print_name(s->p, f->buf, f->buf->name));
  put_ix_list(s->p, f->ix, f->buf->rank);
  put_pred_block(s, f->pred, f->npred, f->cond, NULL);
  put(o, f->combine == C_SET ? " = " : " <- ");
  put_ex(s, f->val, P_SELECT);
}

/* ---- buffers, stages, schedule ---- */

void print_layout(Text *o, const Layout *l) {
  if (!l) return;
  put(o, " @<");
  int rank = 0;
  for (int i = 0; i < l->n; i++) {
    put(o, "%s%d", i ? "," : "", l->axis[i]);
    if (l->div[i] != 1) put(o, "/%" PRId64, l->div[i]);
    if (l->mod[i]) put(o, "%%%" PRId64, l->mod[i]);
    if (l->axis[i] >= rank) rank = l->axis[i] + 1;
  }
  bool halo = false;
  for (int i = 0; i < rank; i++) halo |= l->lo[i] || l->hi[i];
  for (int side = 0; halo && side < 2; side++) {
    put(o, side ? "; hi " : "; lo ");
    for (int i = 0; i < rank; i++) put(o, "%s%" PRId64, i ? "," : "", side ? l->hi[i] : l->lo[i]);
  }
  if (l->fill != 0 || signbit(l->fill)) put(o, "; fill "), put_number(o, l->fill);
  put(o, ">");
}

static void put_place(Printer *p, const Buf *b) {
  if (!b->stride[0] && !b->offset) return;
  put(p->out, " @[");
  if (b->offset) put(p->out, "offset %s", print_ix(p, b->offset));
  for (int i = 0; b->stride[0] && i < b->rank; i++)
    put(p->out, "%s%s", i ? ", " : b->offset ? "; stride " : "stride ", print_ix(p, b->stride[i]));
  put(p->out, "]");
}

static void put_table(Text *o, const Buf *b) {
  if (!b->table) return;
  int64_t n = 1, k;
  for (int i = 0; i < b->rank; i++)
    if (ix_const(b->dim[i], &k)) n *= k;
  put(o, " = {");
  for (int64_t i = 0; i < n; i++) put(o, i ? ", " : ""), put_number(o, b->table[i]);
  put(o, "}");
}

static void put_buf(Printer *p, const Buf *b) {
  put(p->out, "%s: %s", print_name(p, b, b->name), dtypes[b->dtype].name);
  put_ix_list(p, b->dim, b->rank);
}
static void put_buf_rest(Printer *p, const Buf *b) {
  print_layout(p->out, b->lay);
  put_place(p, b);
  put_table(p->out, b);
}

static void put_stage(Printer *p, const Stage *st) {
  Text *o = p->out;
  put(o, "  %s:", print_name(p, st, st->name));
  for (int i = 0; i < st->nax; i++) {
    Atom *a = ix_var_of(st->ax[i]);
    const char *ext = print_ix(p, a->a);
    put(o, "%s %s: %s%s%s", i ? "," : " for", print_atom(p, a), ext, st->kind[i] ? " " : "",
        st->kind[i] ? text_axis_kinds[st->kind[i]] : "");
  }
  put(o, " {");
  Statement s;
  start_statement(&s, p, "    ");
  Effect f = {st->combine, st->out, st->ix, st->pred, st->npred, st->cond, st->val};
  bool lets = put_lets(&s, &f);
  put(o, lets ? "    " : " ");
  put_effect(&s, &f);
  put(o, lets ? "\n  }\n" : " }\n");
}

static void put_split(Printer *p, const Split *q) {
  Text *o = p->out;
  put(o, "    split %s of %s", print_name(p, q, q->name), print_atom(p, q->axis));
  for (int i = 0; i < q->n; i++) put(o, "%s%d", i ? "," : " ", q->step[i]);
  for (int i = 0; i < q->nrest; i++) put(o, "%s%d", i ? "," : " rest ", q->rest[i]);
  if (q->edge[0] || q->edge[1]) put(o, " edge %d,%d", q->edge[0], q->edge[1]);
  put(o, "\n");
}

static void put_row(Printer *p, const Kernel *k, int s) {
  const StageSched *row = &k->sched->stage[s];
  if (!row->nband) return;
  put(p->out, "    %s:", print_name(p, k->stage[s], k->stage[s]->name));
  for (int i = 0; i < row->nband; i++) {
    const Split *q = &k->sched->split[row->band[i].split];
    if (i && i == row->shared) put(p->out, " |");
    put(p->out, " %s", print_name(p, q, q->name));
    if (q->n) put(p->out, ".%d", row->band[i].level);
    if (row->band[i].map) put(p->out, " %s", text_maps[row->band[i].map]);
  }
  if (row->shared && row->shared == row->nband) put(p->out, " |");
  put(p->out, "\n");
}

static void put_schedule(Printer *p, const Kernel *k) {
  const Schedule *s = k->sched;
  if (!s) return;
  put(p->out, "  schedule {\n");
  for (int i = 0; i < s->nsplit; i++) put_split(p, &s->split[i]);
  for (int i = 0; i < k->nstage; i++) put_row(p, k, i);
  for (int i = 0; i < s->nstore; i++) {
    put(p->out, "    store %s %s", print_name(p, s->store[i].temp, s->store[i].temp->name), text_spaces[s->store[i].space]);
    if (s->store[i].depth >= 0) put(p->out, " depth %d", s->store[i].depth);
    print_layout(p->out, s->store[i].lay);
    put(p->out, "\n");
  }
  put(p->out, "  }\n");
}

/* ---- the tree ---- */

static void put_tree(Printer *p, const Tree *t, int deep);

static void put_for(Printer *p, const Tree *t, int deep) {
  Atom *a = ix_var_of(t->var);
  Statement s;
  start_statement(&s, p, fmt("%*s", deep, ""));
  s.any = true;
  ix_atoms(t->ext, count_let, &s), define_lets_of(&s, t->ext);
  const char *ext = print_ix(p, t->ext);
  put(p->out, "%*sfor %s: %s", deep, "", print_atom(p, a), ext);
  if (t->axis) put(p->out, " %s", text_axis_kinds[t->axis]);
  if (t->map) put(p->out, " %s", text_maps[t->map]);
  if (t->joined) put(p->out, " joined");
  put(p->out, " {\n");
  put_tree(p, t->body, deep + 2);
  put(p->out, "%*s}\n", deep, "");
}

static void put_while(Printer *p, const Tree *t, int deep) {
  Statement s;
  start_statement(&s, p, fmt("%*s", deep, ""));
  s.any = true;
  count(&s, t->cond), define(&s, t->cond);
  put(p->out, "%*swhile ", deep, ""), put_ex(&s, t->cond, P_SELECT), put(p->out, " {\n");
  put_tree(p, t->body, deep + 2);
  put(p->out, "%*s}\n", deep, "");
}

static void put_stmt(Printer *p, const Tree *t, int deep) {
  Statement s;
  start_statement(&s, p, fmt("%*s", deep, ""));
  s.any = true; // lets stand on lines of their own here
  Effect f = {t->combine, t->buf, t->ix, t->pred, t->npred, t->cond, t->val};
  put_lets(&s, &f);
  put(p->out, "%*s", deep, "");
  put_effect(&s, &f);
  put(p->out, "\n");
}

static void put_tree(Printer *p, const Tree *t, int deep) {
  for (; t; t = t->next) switch (t->kind) {
    case T_FOR: put_for(p, t, deep); break;
    case T_WHILE: put_while(p, t, deep); break;
    case T_STMT: put_stmt(p, t, deep); break;
    case T_SYNC: put(p->out, "%*ssync\n", deep, ""); break;
    case T_ALLOC:
      put(p->out, "%*salloc ", deep, "");
      put_buf(p, t->buf);
      put(p->out, " %s", text_spaces[t->buf->space]);
      put_buf_rest(p, t->buf);
      put(p->out, "\n");
    }
}

/* ---- kernels ---- */

void print_ranges(Printer *p, Atom *const *s, int n) {
  for (int i = 0; i < n; i++)
    put(p->out, "%s%s in %" PRId64 "..%" PRId64, i ? ", " : " where ", print_ix(p, ix_atom(s[i])), s[i]->lo, s[i]->hi);
}

void print_reserve(Printer *p, Atom *const *s, int n) {
  for (int i = 0; i < n; i++)
    if (p->canonical) print_atom(p, s[i]);
    else take(&p->used, s[i]->name);
}

static void put_params(Printer *p, const Kernel *k) {
  for (int i = 0; i < kernel_params(k); i++) {
    put(p->out, "%s%s ", i ? ", " : "", text_buf_kinds[k->buf[i]->kind]);
    put_buf(p, k->buf[i]);
    put_buf_rest(p, k->buf[i]);
  }
}

void print_kernel(Printer *p, const Kernel *k, const char *name) {
  Kernel with_symbols = *k;
  if (!k->sym) kernel_symbols(&with_symbols);
  print_reserve(p, with_symbols.sym, with_symbols.nsym);
  put(p->out, "kernel %s(", name);
  put_params(p, k);
  put(p->out, ")");
  print_ranges(p, with_symbols.sym, with_symbols.nsym);
  put(p->out, " {\n");
  if (k->tree) put_tree(p, k->tree, 2);
  else {
    for (int i = kernel_params(k); i < k->nbuf; i++)
      put(p->out, "  temp "), put_buf(p, k->buf[i]), put_buf_rest(p, k->buf[i]), put(p->out, "\n");
    for (int i = 0; i < k->nstage; i++) put_stage(p, k->stage[i]);
    put_schedule(p, k);
  }
  put(p->out, "}\n");
}

void kernel_print(const Kernel *k, Text *out) {
  Printer p;
  printer_start(&p, out, false);
  print_kernel(&p, k, identifier(k->name));
}

void kernel_canonical(const Kernel *k, Text *out) {
  Printer p;
  printer_start(&p, out, true);
  print_kernel(&p, k, "k");
}

uint64_t kernel_hash(Kernel *k) {
  Text t = {0};
  kernel_canonical(k, &t);
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < t.n; i++) h = (h ^ (unsigned char)t.p[i]) * 0x100000001b3u;
  return k->hash = h;
}
