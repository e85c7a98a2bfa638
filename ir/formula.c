// formula.c - the formulas of ops.def as scalar expressions.
//
// C's precedence over ?: || && | ^ & == != < <= > >= << >> + - * / % unary - ! ~ and calls; `let v = e;` names a value; T(..) casts to
// the output dtype; inf, nan, numbers. Everything is evaluated: && and ?: select, they do not skip.
// Operands meet in one type as in C, except that constants (literals, attributes) take the type of what they meet: 0.5*x is f32 for an
// f32 x. A value keeps the storage dtype it came from, so that u64 divides, compares and shifts unsigned.
// The result has the register type of `out`; integers are wrapped to it; f16, bf16 and smaller floats are left unrounded, because a fused
// chain keeps f32: who stores them rounds. A formula is part of the compiler: an error in one is a bug().
//
// ex_formula_derivative evaluates the same text over pairs of a value and its derivative (forward mode; Griewank and Walther, "Evaluating
// Derivatives", 2008, chapter 3). Where a function has a kink its right derivative counts, on both sides of every comparison that a row
// writes around a kink: so a smooth function that is written in pieces (sigmoid by exp(-abs(x))) has its derivative at the seam, too.
#include "math.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Val {
  Ex *e;
  DType storage;
  bool literal; // a number in the text
  Ex *d;        // derivative with respect to Parser.by, of e's type; NULL: none, or not asked for
} Val;
typedef struct Parser {
  const char *text, *p;
  DType out;
  Ex *(*names)(const char *, DType *, void *);
  void *u;
  const char *by; // the name to differentiate by, or NULL
  const char *let[16];
  Val val[16];
  int nlet;
} Parser;

static _Noreturn void wrong(const Parser *q, const char *what) { bug("formula \"%s\": %s at \"%s\"", q->text, what, q->p); }

/* ---- types ---- */

static bool is_float(DType t) { return t == DT_F32 || t == DT_F64; }
static bool weak(Val v, Val other) { return v.literal || (ex_is_const(v.e) && !ex_is_const(other.e)); }
static Val value(Ex *e, DType storage) { return (Val){e, storage, false, NULL}; }

static Val cast(Val v, DType t) {
  if (v.e->type == t) return v;
  Ex *d = v.d && is_float(t) ? ex_cast(t, v.d) : NULL;
  if (ex_is_const(v.e) && is_float(v.e->type) && is_float(t)) return (Val){ex_f(t, v.e->f), t, v.literal, d};
  return (Val){ex_cast_from(v.storage, t, v.e), t, v.literal, d};
}

static DType common(const Parser *q, Val a, Val b) {
  DType s = a.e->type, t = b.e->type;
  if (s == t) return s;
  if (s == DT_BOOL) return t;
  if (t == DT_BOOL) return s;
  if (is_float(s) != is_float(t)) { // an integer meets a float
    Val f = is_float(s) ? a : b, i = is_float(s) ? b : a;
    if (!weak(f, i)) return f.e->type;
    return is_float(dtypes[q->out].reg) ? dtypes[q->out].reg : DT_F32;
  }
  if (weak(a, b) && !weak(b, a)) return t;
  if (weak(b, a) && !weak(a, b)) return s;
  return is_float(s) ? DT_F64 : DT_I64;
}

static DType unify(const Parser *q, Val *a, Val *b) { // returns the storage dtype of the pair
  DType t = common(q, *a, *b), storage = t;
  if (a->e->type == t && !a->literal) storage = a->storage;
  else if (b->e->type == t && !b->literal) storage = b->storage;
  *a = cast(*a, t);
  *b = cast(*b, t);
  return storage;
}

static Val to_bool(Val v) { return value(ex_cast(DT_BOOL, v.e), DT_BOOL); }

/* ---- derivatives ---- */

// Of a function f(x, y) with the result r, as formulas; NULL: it has none, or it is 0 wherever it has one.
typedef struct Slope {
  const char *fn, *by_x, *by_y;
} Slope;
static const Slope slopes[] = {
    {"add", "1", "1"},
    {"sub", "1", "-1"},
    {"mul", "y", "x"},
    {"div", "1/y", "-r/y"},
    {"fmod", "1", "-trunc(x/y)"},
    {"min", "x < y ? 1 : 0", "x < y ? 0 : 1"},
    {"max", "x < y ? 0 : 1", "x < y ? 1 : 0"},
    {"pow", "y*pow(x, y - 1)", "x > 0 ? r*log(x) : 0"},
    {"atan2", "y/(x*x + y*y)", "-x/(x*x + y*y)"},
    {"abs", "x < 0 ? -1 : 1", NULL},
    {"neg", "-1", NULL},
    {"exp", "r", NULL},
    {"exp2", "0.6931471805599453*r", NULL},
    {"expm1", "r + 1", NULL},
    {"log", "1/x", NULL},
    {"log1p", "1/(1 + x)", NULL},
    {"log2", "1.4426950408889634/x", NULL},
    {"log10", "0.4342944819032518/x", NULL},
    {"sqrt", "0.5/r", NULL},
    {"rsqrt", "-0.5*r/x", NULL},
    {"recip", "-r*r", NULL},
    {"reciprocal", "-r*r", NULL},
    {"sin", "cos(x)", NULL},
    {"cos", "-sin(x)", NULL},
    {"tan", "1 + r*r", NULL},
    {"asin", "rsqrt(1 - x*x)", NULL},
    {"acos", "-rsqrt(1 - x*x)", NULL},
    {"atan", "1/(1 + x*x)", NULL},
    {"sinh", "cosh(x)", NULL},
    {"cosh", "sinh(x)", NULL},
    {"tanh", "1 - r*r", NULL},
    {"asinh", "rsqrt(1 + x*x)", NULL},
    {"acosh", "rsqrt(x*x - 1)", NULL},
    {"atanh", "1/(1 - x*x)", NULL},
    {"erf", "1.1283791670955126*exp(-x*x)", NULL},
    {"sigmoid", "r*(1 - r)", NULL},
    {"softplus", "sigmoid(x)", NULL},
    {"floor", NULL, NULL},
    {"ceil", NULL, NULL},
    {"trunc", NULL, NULL},
    {"rint", NULL, NULL},
    {"round", NULL, NULL},
    {"sign", NULL, NULL},
};

static Ex *slope_name(const char *id, DType *storage, void *u) {
  Ex **xyr = u, *e = id[0] == 'x' ? xyr[0] : id[0] == 'y' ? xyr[1] : id[0] == 'r' ? xyr[2] : NULL;
  if (e) *storage = e->type;
  return e;
}
static Ex *plus(Ex *a, Ex *b) { return a && b ? ex_op(S_add, a, b, NULL) : a ? a : b; }
// of r = fn(v..), by the chain rule
static Ex *chain(Parser *q, const char *fn, Ex *r, int n, const Val *v) {
  Ex *sum = NULL, *xyr[3] = {v[0].e, n > 1 ? v[1].e : NULL, r};
  for (int i = 0; i < n; i++) {
    if (!v[i].d || !is_float(r->type)) continue;
    const Slope *s = slopes;
    while (s < slopes + sizeof slopes / sizeof *slopes && strcmp(s->fn, fn) != 0) s++;
    if (s == slopes + sizeof slopes / sizeof *slopes || i > 1) wrong(q, fmt("no derivative of %s", fn));
    const char *text = i ? s->by_y : s->by_x;
    if (!text) continue;
    Ex *factor = ex_formula(text, r->type, slope_name, xyr);
    sum = plus(sum, ex_is_const(factor) && factor->f == 1 ? v[i].d : ex_op(S_mul, factor, v[i].d, NULL));
  }
  return sum;
}
// c ? a : b
static Ex *chosen(Ex *c, Val a, Val b) {
  if (!a.d && !b.d) return NULL;
  Ex *zero = ex_f((a.d ? a.d : b.d)->type, 0);
  return ex_op(S_select, c, a.d ? a.d : zero, b.d ? b.d : zero);
}

/* ---- operators ---- */

typedef struct Operator {
  const char *text;
  int level;      // binds tighter with higher level
  const char *fn; // ex_call's name; "" the logical ones
  bool swap, compare;
} Operator;
static const Operator operators[] = {
    {"||", 1, "", 0, 0},    {"&&", 2, "", 0, 0},    {"==", 6, "eq", 0, 1},   {"!=", 6, "ne", 0, 1}, {"<=", 7, "le", 0, 1},
    {">=", 7, "le", 1, 1},  {"<<", 8, "shl", 0, 0}, {">>", 8, "shr", 0, 0},  {"|", 3, "or", 0, 0},  {"^", 4, "xor", 0, 0},
    {"&", 5, "and", 0, 0},  {"<", 7, "lt", 0, 1},   {">", 7, "lt", 1, 1},    {"+", 9, "add", 0, 0}, {"-", 9, "sub", 0, 0},
    {"*", 10, "mul", 0, 0}, {"/", 10, "div", 0, 0}, {"%", 10, "fmod", 0, 0},
};

static void blanks(Parser *q) {
  while (isspace((unsigned char)*q->p)) q->p++;
}
static bool eat(Parser *q, const char *s) {
  blanks(q);
  size_t n = strlen(s);
  if (strncmp(q->p, s, n) != 0) return false;
  q->p += n;
  return true;
}
static void need(Parser *q, const char *s) {
  if (!eat(q, s)) wrong(q, fmt("%s expected", s));
}

static const Operator *operator_at(Parser *q, int level) {
  blanks(q);
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
    if (strncmp(q->p, operators[i].text, strlen(operators[i].text)) == 0) return operators[i].level >= level ? &operators[i] : NULL;
  return NULL;
}

static Val apply(Parser *q, const Operator *o, Val a, Val b) {
  if (!*o->fn) {
    SOp op = o->level == 1 ? S_or : S_and;
    return value(ex_op(op, to_bool(a).e, to_bool(b).e, NULL), DT_BOOL);
  }
  bool literal = a.literal && b.literal, logic = o->level >= 3 && o->level <= 6; // | ^ & == != know bool
  DType storage = unify(q, &a, &b);
  if (a.e->type == DT_BOOL && !logic) a = cast(a, DT_I32), b = cast(b, DT_I32), storage = DT_I32;
  Ex *r = ex_call(o->fn, storage, 2, o->swap ? (Ex *[]){b.e, a.e} : (Ex *[]){a.e, b.e});
  if (!r) wrong(q, "operand types");
  return o->compare ? value(r, DT_BOOL) : (Val){r, storage, literal, chain(q, o->fn, r, 2, (Val[]){a, b})};
}

/* ---- the grammar ---- */

static Val ternary(Parser *q);

static Val number(Parser *q) {
  char *end;
  double d = strtod(q->p, &end);
  bool whole = strcspn(q->p, ".eE") >= (size_t)(end - q->p);
  if (end == q->p) wrong(q, "a value expected");
  Val v = {whole ? ex_i(DT_I64, strtoll(q->p, NULL, 0)) : ex_f(DT_F64, d), whole ? DT_I64 : DT_F64, true, NULL};
  q->p = end;
  return v;
}

static Val call(Parser *q, const char *fn) {
  Val v[3];
  Ex *a[3];
  int n = 0;
  do {
    if (n == 3) wrong(q, "too many arguments");
    v[n++] = ternary(q);
  } while (eat(q, ","));
  need(q, ")");
  if (strcmp(fn, "T") == 0 && n == 1)
    return (Val){ex_cast_storage(v[0].storage, q->out, v[0].e), q->out, false, cast(v[0], dtypes[q->out].reg).d};
  bool select = strcmp(fn, "select") == 0 && n == 3, random = strcmp(fn, "normal") == 0 || strcmp(fn, "uniform") == 0;
  if (select) v[0] = to_bool(v[0]);
  DType storage = n == 1 ? v[0].storage : random ? q->out : DT_NONE;
  for (int pass = 0; pass < 2 && !random; pass++) // twice, so that the first meets what the last brought
    for (int i = select ? 2 : 1; i < n; i++) storage = unify(q, &v[i - 1], &v[i]);
  if (n == 1 && v[0].literal && !is_float(v[0].e->type)) v[0] = cast(v[0], DT_F64);
  for (int i = 0; i < n; i++) a[i] = v[i].e;
  Ex *r = ex_call(fn, storage, n, a);
  if (!r) wrong(q, fmt("no function %s of %d arguments", fn, n));
  bool literal = true;
  for (int i = 0; i < n; i++) literal = literal && v[i].literal;
  Ex *d = select ? chosen(a[0], v[1], v[2]) : chain(q, fn, r, n, v);
  return (Val){r, r->type == dtypes[storage].reg ? storage : r->type, literal && !random, d};
}

static Val identifier(Parser *q, const char *id) {
  for (int i = q->nlet - 1; i >= 0; i--)
    if (strcmp(q->let[i], id) == 0) return q->val[i];
  if (strcmp(id, "inf") == 0) return (Val){ex_f(DT_F64, INFINITY), DT_F64, true, NULL};
  if (strcmp(id, "nan") == 0) return (Val){ex_f(DT_F64, NAN), DT_F64, true, NULL};
  DType storage = DT_NONE;
  Ex *e = q->names(id, &storage, q->u);
  if (!e) wrong(q, fmt("unknown name %s", id));
  if (storage == DT_NONE || dtypes[storage].reg != e->type) storage = e->op == S_LOAD ? e->buf->dtype : e->type;
  Val v = value(e, storage);
  if (q->by && is_float(e->type) && strcmp(id, q->by) == 0) v.d = ex_f(e->type, 1);
  return v;
}

static const char *word(Parser *q) {
  const char *s = q->p;
  while (isalnum((unsigned char)*q->p) || *q->p == '_') q->p++;
  return sym_n(s, (size_t)(q->p - s));
}

static Val primary(Parser *q) {
  if (eat(q, "(")) {
    Val v = ternary(q);
    need(q, ")");
    return v;
  }
  if (!isalpha((unsigned char)*q->p) && *q->p != '_') return number(q);
  const char *id = word(q);
  return eat(q, "(") ? call(q, id) : identifier(q, id);
}

static Val unary(Parser *q) {
  if (eat(q, "-")) {
    Val v = unary(q);
    if (v.literal && v.e->type == DT_I64 && v.e->i == 0) return v;
    if (v.e->type == DT_BOOL) v = cast(v, DT_I32);
    return (Val){ex_op(S_neg, v.e, NULL, NULL), v.storage, v.literal, v.d ? ex_op(S_neg, v.d, NULL, NULL) : NULL};
  }
  if (eat(q, "!")) return value(ex_op(S_not, to_bool(unary(q)).e, NULL, NULL), DT_BOOL);
  if (!eat(q, "~")) return primary(q);
  Val v = unary(q);
  return (Val){ex_op(S_not, v.e, NULL, NULL), v.storage, v.literal, NULL};
}

static Val binary(Parser *q, int level) {
  Val a = unary(q);
  for (const Operator *o; (o = operator_at(q, level));) {
    q->p += strlen(o->text);
    a = apply(q, o, a, binary(q, o->level + 1));
  }
  return a;
}

static Val ternary(Parser *q) {
  Val c = binary(q, 1);
  if (!eat(q, "?")) return c;
  Val a = ternary(q);
  need(q, ":");
  Val b = ternary(q);
  bool literal = a.literal && b.literal;
  DType storage = unify(q, &a, &b);
  Ex *cond = to_bool(c).e;
  return (Val){ex_op(S_select, cond, a.e, b.e), storage, literal, chosen(cond, a, b)};
}

static void lets(Parser *q) {
  for (;;) {
    blanks(q);
    if (strncmp(q->p, "let ", 4) != 0) return;
    q->p += 4;
    blanks(q);
    if (q->nlet == 16) wrong(q, "too many lets");
    const char *id = word(q);
    need(q, "=");
    Val v = ternary(q);
    need(q, ";");
    q->let[q->nlet] = id;
    q->val[q->nlet++] = v;
  }
}

static Val evaluate(Parser *q) {
  lets(q);
  Val v = ternary(q);
  blanks(q);
  if (*q->p) wrong(q, "end expected");
  return cast(v, dtypes[q->out].reg);
}

Ex *ex_formula(const char *text, DType out, Ex *(*names)(const char *id, DType *storage, void *u), void *u) {
  Parser q = {.text = text, .p = text, .out = out, .names = names, .u = u};
  Ex *e = evaluate(&q).e;
  return dtypes[out].is_int ? ex_round(out, e) : e;
}

Ex *ex_formula_derivative(const char *text, const char *by, DType out, Ex *(*names)(const char *id, DType *storage, void *u), void *u) {
  Parser q = {.text = text, .p = text, .out = out, .names = names, .u = u, .by = by};
  Ex *d = evaluate(&q).d;
  return d ? d : ex_num(dtypes[out].reg, 0);
}
