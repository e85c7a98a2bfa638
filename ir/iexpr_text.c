// iexpr_text.c - expressions as text, and back: parse(print(e)) == e. The order of terms depends on names, never on ids, so a text is
// the same in every run. Grammar, loosest first:
//   sum: ['-'] product (('+' | '-') product)*     product: unary (('*' | '/' | '%') unary)*     ('/' is floor division)
//   atom: number, name, "quoted name", (sum), [sum >= sum], [sum == sum], max(a, b), min(a, b), bcast(a, b), int(float tree)
//   float tree: number, f32(sum), f64(sum), add32(t, t), .. floor64(t); numbers are in %a form with a suffix f for f32
#include "iexpr_internal.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- printing ---- */

static void put_sum(Text *, IExpr *);

static bool plain(Sym s) {
  if (!isalpha((unsigned char)s[0]) && s[0] != '_') return false;
  for (const char *p = s; *p; p++)
    if (!isalnum((unsigned char)*p) && *p != '_' && *p != '.') return false;
  return strlen(s) == sym_len(s);
}

static const char *const tree_op[] = {"",    "",    "add",   "sub",  "mul",  "div",  "min", "max",
                                      "neg", "abs", "floor", "ceil", "rint", "sqrt", "cast"};

static void put_tree(Text *t, const FTree *f) {
  int bits = f->f64 ? 64 : 32;
  if (f->op == FT_CONST) put(t, f->f64 ? "%a" : "%af", f->c);
  else if (f->op == FT_INT) {
    put(t, "f%d(", bits);
    put_sum(t, f->i);
    put(t, ")");
  } else {
    put(t, "%s%d(", tree_op[f->op], bits);
    put_tree(t, f->a);
    if (f->b) {
      put(t, ", ");
      put_tree(t, f->b);
    }
    put(t, ")");
  }
}

static void put_operand(Text *t, IExpr *e) { // of a division
  bool simple = e->n == 0 ? e->k >= 0 : ix_is_atom(e) && ix_is_atom(e)->kind != ATOM_DIV;
  if (!simple) put(t, "(");
  put_sum(t, e);
  if (!simple) put(t, ")");
}

static void put_atom(Text *t, const Atom *a) {
  switch (a->kind) {
  case ATOM_SYM:
  case ATOM_VAR:
  case ATOM_LET:
    if (plain(a->name)) put(t, "%s", a->name);
    else put_quoted(t, a->name, sym_len(a->name));
    return;
  case ATOM_DIV:
    put_operand(t, a->a);
    put(t, "/");
    put_operand(t, a->b);
    return;
  case ATOM_RELU:
    put(t, "max(0, ");
    put_sum(t, a->a);
    break;
  case ATOM_GE0:
    put(t, "[");
    put_sum(t, a->a);
    put(t, " >= 0]");
    return;
  case ATOM_BCAST:
    put(t, "bcast(");
    put_sum(t, a->a);
    put(t, ", ");
    put_sum(t, a->b);
    break;
  case ATOM_FLOAT: put(t, "int("); put_tree(t, a->def);
  }
  put(t, ")");
}

typedef struct Piece { // one term as text, with what orders it
  const char *text;
  int64_t coef;
  int degree;
  bool composite;
} Piece;

static int by_text(const void *a, const void *b) {
  const char *const *x = a, *const *y = b;
  return strcmp(*x, *y);
}

static Piece piece(const Term *term) {
  const char *fac[64];
  Piece p = {.coef = term->coef, .degree = term->nfac};
  for (int i = 0; i < term->nfac; i++) {
    Text t = {0};
    const Atom *a = term->fac[i];
    bool wrap = a->kind == ATOM_DIV && term->nfac > 1;
    put(&t, wrap ? "(" : "");
    put_atom(&t, a);
    put(&t, wrap ? ")" : "");
    fac[i] = t.p;
    p.composite |= a->a && a->kind != ATOM_VAR && a->kind != ATOM_LET;
  }
  if (term->nfac == 1) {
    bool wrap = term->fac[0]->kind == ATOM_DIV && (term->coef > 1 || term->coef < -1);
    p.text = wrap ? fmt("(%s)", fac[0]) : fac[0];
    return p;
  }
  qsort(fac, (size_t)term->nfac, sizeof *fac, by_text);
  Text t = {0};
  for (int i = 0; i < term->nfac; i++) put(&t, "%s%s", i ? "*" : "", fac[i]);
  p.text = t.p;
  return p;
}

static int by_rank(const void *a, const void *b) {
  const Piece *x = a, *y = b;
  if ((x->coef < 0) != (y->coef < 0)) return x->coef < 0 ? 1 : -1;
  if (x->degree != y->degree) return x->degree > y->degree ? -1 : 1;
  if (x->composite != y->composite) return x->composite ? 1 : -1;
  int o = strcmp(x->text, y->text);
  return o ? o : x->coef < y->coef ? -1 : x->coef > y->coef;
}

static void put_signed(Text *t, bool first, int64_t k, const char *text) {
  uint64_t m = k < 0 ? -(uint64_t)k : (uint64_t)k;
  put(t, "%s", k < 0 ? (first ? "-" : " - ") : first ? "" : " + ");
  if (!text) put(t, "%llu", (unsigned long long)m);
  else if (m == 1) put(t, "%s", text);
  else put(t, "%llu*%s", (unsigned long long)m, text);
}

// Positive terms first, then negative ones; within each the higher degree, then symbols before composites, then by text.
static void put_sum(Text *t, IExpr *e) {
  Piece p[e->n + 1];
  for (int i = 0; i < e->n; i++) p[i] = piece(&e->t[i]);
  qsort(p, (size_t)e->n, sizeof *p, by_rank);
  bool first = true, constant_first = e->k > 0 && e->n && p[0].coef < 0;
  if (constant_first) put_signed(t, true, e->k, NULL), first = false;
  for (int i = 0; i < e->n; i++, first = false) put_signed(t, first, p[i].coef, p[i].text);
  if ((e->k && !constant_first) || !e->n) put_signed(t, first, e->k, NULL);
}

const char *ix_str(IExpr *e) {
  Text t = {0};
  put_sum(&t, e);
  return t.p;
}

/* ---- parsing ---- */

enum { NEST_MAX = 200 };
typedef struct Parser {
  const char *p;
  IExpr *(*lookup)(Sym, void *);
  void *u;
  int depth;
} Parser;
static IExpr *parse_sum(Parser *);

static void blanks(Parser *s) {
  while (*s->p == ' ' || *s->p == '\t') s->p++;
}
static bool eat(Parser *s, const char *word) {
  blanks(s);
  size_t n = strlen(word);
  if (strncmp(s->p, word, n) != 0) return false;
  s->p += n;
  return true;
}

static FTree *parse_tree(Parser *s);
static FTree *tree_operation(Parser *s, const char *word, size_t n) {
  bool f64 = n > 2 && memcmp(word + n - 2, "64", 2) == 0;
  if (n == 3 && *word == 'f') {
    IExpr *e = parse_sum(s);
    return e && eat(s, ")") ? ft_int(f64, e) : NULL;
  }
  for (int op = FT_ADD; op <= FT_CAST && n > 2; op++) {
    if (strlen(tree_op[op]) != n - 2 || memcmp(tree_op[op], word, n - 2) != 0) continue;
    FTree *a = parse_tree(s), *b = NULL;
    if (!a || (op <= FT_MAX && (!eat(s, ",") || !(b = parse_tree(s)))) || !eat(s, ")")) return NULL;
    return ft_op((FOp)op, f64, a, b);
  }
  return NULL;
}

static FTree *parse_tree(Parser *s) {
  blanks(s);
  const char *word = s->p;
  if (s->depth > NEST_MAX) return NULL;
  while (isalnum((unsigned char)*s->p)) s->p++;
  if (isalpha((unsigned char)*word) && *s->p == '(') {
    size_t n = (size_t)(s->p++ - word);
    s->depth++;
    FTree *t = tree_operation(s, word, n);
    s->depth--;
    return t;
  }
  char *end;
  double v = strtod(word, &end);
  if (end == word) return NULL;
  s->p = end;
  bool f32 = *s->p == 'f';
  s->p += f32;
  return ft_const(!f32, v);
}

static IExpr *call(Parser *s, const char *word, size_t n) {
  if (n == 3 && memcmp(word, "int", 3) == 0) {
    FTree *t = parse_tree(s);
    return t && eat(s, ")") ? ix_float(t) : NULL;
  }
  IExpr *a = parse_sum(s), *b = a && eat(s, ",") ? parse_sum(s) : NULL;
  if (!b || !eat(s, ")")) return NULL;
  if (n == 3 && memcmp(word, "max", 3) == 0) return ix_max(b, a); // max(0, d) is a + relu(d - a)
  if (n == 3 && memcmp(word, "min", 3) == 0) return ix_min(a, b);
  return n == 5 && memcmp(word, "bcast", 5) == 0 ? ix_bcast(a, b) : NULL;
}

static IExpr *comparison(Parser *s) {
  IExpr *a = parse_sum(s), *b;
  bool equal = a && eat(s, "==");
  if (!a || (!equal && !eat(s, ">=")) || !(b = parse_sum(s)) || !eat(s, "]")) return NULL;
  return equal ? ix_eq(a, b) : ix_ge(a, b);
}

static IExpr *quoted(Parser *s) {
  Text t = {0};
  put_n(&t, "", 0);
  while (*s->p != '"') {
    char c = *s->p++;
    if (c == 0) return NULL;
    if (c == '\\') {
      c = *s->p++;
      if (c == 0) return NULL;
      if (c == 'n') c = '\n';
      else if (c == 't') c = '\t';
      else if (c == 'x') {
        if (!isxdigit((unsigned char)s->p[0]) || !isxdigit((unsigned char)s->p[1])) return NULL;
        c = (char)strtol((char[]){s->p[0], s->p[1], 0}, NULL, 16);
        s->p += 2;
      }
    }
    put_n(&t, &c, 1);
  }
  s->p++;
  return s->lookup(sym_n(t.p, t.n), s->u);
}

static IExpr *number(Parser *s) {
  int64_t k = 0;
  while (isdigit((unsigned char)*s->p))
    if (__builtin_mul_overflow(k, 10, &k) || __builtin_add_overflow(k, *s->p++ - '0', &k)) return NULL;
  return ix(k);
}

static IExpr *parse_atom(Parser *s) {
  blanks(s);
  const char *word = s->p;
  if (isdigit((unsigned char)*word)) return number(s);
  if (eat(s, "\"")) return quoted(s);
  if (eat(s, "[")) return comparison(s);
  if (eat(s, "-")) {
    IExpr *e = parse_atom(s);
    return e ? ix_scale(e, -1) : NULL;
  }
  if (eat(s, "(")) {
    IExpr *e = parse_sum(s);
    return e && eat(s, ")") ? e : NULL;
  }
  if (!isalpha((unsigned char)*word) && *word != '_') return NULL;
  while (isalnum((unsigned char)*s->p) || *s->p == '_' || *s->p == '.') s->p++;
  size_t n = (size_t)(s->p - word);
  if (eat(s, "(")) return call(s, word, n);
  return s->lookup(sym_n(word, n), s->u);
}

static IExpr *parse_product(Parser *s) {
  IExpr *a = parse_atom(s), *b;
  while (a) {
    bool times = eat(s, "*"), over = !times && eat(s, "/"), rest = !times && !over && eat(s, "%");
    if (!times && !over && !rest) break;
    if (!(b = parse_atom(s))) return NULL;
    a = times ? ix_mul(a, b) : over ? ix_div(a, b) : ix_mod(a, b);
  }
  return a;
}

static IExpr *parse_sum(Parser *s) {
  if (s->depth++ > NEST_MAX) return NULL;
  bool negative = eat(s, "-");
  IExpr *a = parse_product(s), *b;
  if (a && negative) a = ix_scale(a, -1);
  while (a) {
    blanks(s);
    bool plus = *s->p == '+', minus = *s->p == '-' && s->p[1] != '>';
    if (!plus && !minus) break;
    s->p++;
    if (!(b = parse_product(s))) return NULL;
    a = axpy(a, plus ? 1 : -1, b);
  }
  s->depth--;
  return a;
}

IExpr *ix_parse(const char **text, IExpr *(*lookup)(Sym, void *u), void *u) {
  Parser s = {*text, lookup, u, 0};
  IExpr *e = parse_sum(&s);
  *text = s.p;
  return e;
}
