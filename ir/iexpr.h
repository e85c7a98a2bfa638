// iexpr.h - the one integer algebra: symbolic dims, indices, loop bounds, buffer sizes, arena offsets.
//
// An IExpr is an interned polynomial over atoms with 64-bit checked coefficients: equal normal forms are the equal pointer, so `==`
// is a sound (not complete) equality. min, max, mod, comparison and select are spellings:
//   max(a,b) = b + relu(a-b)   min(a,b) = a - relu(a-b)   x % c = x - c*(x/c)   select(c,a,b) = b + c*(a-b), c in 0..1
// Division is floor division and total: x/0 is 0. Coefficient overflow is a diagnostic (EXIT_LIMIT), never a wrap. Ranges saturate.
// The laws (research: spike-infer) are listed in iexpr.c beside the code that holds them.
#pragma once
#include "base.h"

typedef struct IExpr IExpr;
typedef struct Atom Atom;

#define IX_INF ((int64_t)1 << 62)           // "no bound"
#define IX_DIM_MAX (((int64_t)1 << 31) - 1) // the largest dim

typedef enum AtomKind {
  ATOM_SYM,   // a symbolic dim, or a value the host computes: lo..hi
  ATOM_VAR,   // a loop variable: 0..ext-1
  ATOM_LET,   // a loaded index: the value of a scalar expression (def), proved or checked to lie in lo..hi
  ATOM_DIV,   // floor(a / b)
  ATOM_RELU,  // max(0, a)
  ATOM_GE0,   // [a >= 0], 0 or 1
  ATOM_BCAST, // a == 1 ? b : a: the extent of a dynamic broadcast
  ATOM_FLOAT, // int(def): truncation of a float tree (FTree) evaluated by the host
} AtomKind;

typedef struct FTree FTree;

struct Atom {
  AtomKind kind;
  int id;         // creation order: newer atoms have larger ids, an atom inside another has the smaller one
  Sym name;       // SYM, VAR, LET
  IExpr *a, *b;   // operands; VAR: a is the extent; LET: a is a symbolic limit (value < a) or NULL
  int64_t lo, hi; // proved range of the value
  void *def;      // LET: struct LetDef *; FLOAT: its FTree; SYM: NULL, or the IExpr * it names (a `let` of a large expression)
  int64_t val;    // scratch: value during ix_eval (SYM, VAR, LET); meaning otherwise belongs to the user of the expression
  int bound;      // scratch of the emitters and the interpreter
  void *v;        // scratch of the emitters
  bool derived;   // SYM: made by infer for a data-dependent size; facts are solved for these before a model's own dims
  void *of;       // SYM made by infer: the Value whose dim or element it is
  IExpr *is;      // SYM, DIV: what a fact solved it to (ix_resolve), or NULL
  // internal
  Atom *self, *newest, *chain; // newest: the newest VAR or LET inside
  IExpr *expr, *memo;
  uint64_t shape; // hash of the structure, equal in every run
  uint32_t stamp, epoch;
};

typedef struct Term { // coef * fac[0] * fac[1] * ..; factors sorted by atom id, repeated for powers; equal products have equal fac
  int64_t coef;
  int nfac;
  Atom **fac;
} Term;
struct IExpr {
  int id, n; // n terms without the constant, sorted by degree, then atom ids
  int64_t k; // the constant
  Term *t;
  int64_t lo, hi; // cheap range (interval arithmetic plus grouping); ix_lower/ix_upper may know more
  // internal
  Atom *newest; // the newest VAR or LET inside, or NULL
  IExpr *chain, *neg, *relu, *ge0;
  int64_t low[4]; // memo of proved lower bounds by depth of case splitting
  uint32_t low_epoch, relu_epoch, ge0_epoch;
  uint8_t low_known, hard; // hard: has top-level quotients or relus, worth grouping
  uint8_t fact;            // recorded: 1 as == 0, 2 as >= 0
};

// A float computed from dims: the scales of Resize, float Ranges. Evaluated by the host in f32 or f64, every operation rounded.
typedef enum FOp {
  FT_CONST,
  FT_INT,
  FT_ADD,
  FT_SUB,
  FT_MUL,
  FT_DIV,
  FT_MIN,
  FT_MAX,
  FT_NEG,
  FT_ABS,
  FT_FLOOR,
  FT_CEIL,
  FT_RINT,
  FT_SQRT,
  FT_CAST
} FOp;
struct FTree { // interned: equal trees are the equal pointer
  FOp op;
  bool f64; // precision of the result
  int id;
  double c; // CONST
  IExpr *i; // INT: the integer converted
  FTree *a, *b;
  FTree *chain; // internal
};

/* ---- making ---- */
IExpr *ix(int64_t k);
IExpr *ix_atom(Atom *);
IExpr *ix_sym(Sym name, int64_t lo, int64_t hi);            // the one symbol of that name; a second call intersects the range
IExpr *ix_named(Sym name, IExpr *e);                        // a symbol standing for e (def = e), with e's proved range
IExpr *ix_var(Sym name, IExpr *ext);                        // always a new loop variable; ext may use older variables
IExpr *ix_let(Sym name, void *def, int64_t lo, int64_t hi); // always new
IExpr *ix_float(FTree *);                                   // the float truncated to an integer; exact integer ratios stay polynomials
IExpr *ix_add(IExpr *, IExpr *);
IExpr *ix_sub(IExpr *, IExpr *);
IExpr *ix_addk(IExpr *, int64_t);
IExpr *ix_scale(IExpr *, int64_t);
IExpr *ix_mul(IExpr *, IExpr *);
IExpr *ix_div(IExpr *, IExpr *); // floor; polynomial division where exact
IExpr *ix_divk(IExpr *, int64_t);
IExpr *ix_ceil(IExpr *, int64_t); // ceil(a / k), k > 0
IExpr *ix_mod(IExpr *, IExpr *);
IExpr *ix_modk(IExpr *, int64_t);
IExpr *ix_truncdiv(IExpr *, IExpr *); // C's and ONNX's integer division
IExpr *ix_relu(IExpr *);
IExpr *ix_max(IExpr *, IExpr *);
IExpr *ix_min(IExpr *, IExpr *);
IExpr *ix_ge0(IExpr *);         // [e >= 0]
IExpr *ix_ge(IExpr *, IExpr *); // [a >= b]
IExpr *ix_eq(IExpr *, IExpr *); // [a == b]
IExpr *ix_not(IExpr *);
IExpr *ix_select(IExpr *c, IExpr *a, IExpr *b);
IExpr *ix_bcast(IExpr *a, IExpr *b);

FTree *ft_const(bool f64, double);
FTree *ft_int(bool f64, IExpr *);
FTree *ft_op(FOp, bool f64, FTree *a, FTree *b); // b NULL for unary ones; folds constants, floor and ceil of exact ratios
bool ft_is_const(const FTree *, double *c);
double ft_eval(const FTree *); // by the atoms' val

/* ---- asking ---- */
bool ix_const(IExpr *, int64_t *k); // is it a constant? k may be NULL
bool ix_is(IExpr *, int64_t k);
int64_t ix_lower(IExpr *); // proved bounds; -IX_INF, IX_INF: none
int64_t ix_upper(IExpr *);
bool ix_prove_ge0(IExpr *); // e >= 0 for all values of symbols and loop variables: true, or unknown.
                            // Eliminates loop variables, newest first, by their symbolic extents.
bool ix_prove_le(IExpr *a, IExpr *b);
bool ix_differ(IExpr *a, IExpr *b); // proved a != b
bool ix_has(IExpr *, Atom *);
Atom *ix_is_atom(IExpr *);                       // e is exactly one atom with coefficient 1, else NULL
Atom *ix_var_of(IExpr *);                        // as ix_is_atom, and it is a VAR (bug() otherwise)
int64_t ix_coef(IExpr *, Atom *v, bool *affine); // d e / d v where e is affine in v with a constant coefficient
IExpr *ix_slope(IExpr *, Atom *v);               // d e / d v where e is affine in v with any coefficient free of v; NULL: it is not
void ix_atoms(IExpr *, void (*f)(Atom *, void *u), void *u); // every atom, also inside atoms, each once per call
int ix_size(IExpr *);                                        // nodes; above 40 infer gives the expression a name
// Bounds of e while v runs lo..hi (each an IExpr without v): an interval function over affine, div and relu terms.
void ix_interval(IExpr *e, Atom *v, IExpr *lo, IExpr *hi, IExpr **rlo, IExpr **rhi);

/* ---- rewriting ---- */
IExpr *ix_subst(IExpr *, int n, Atom *const *v, IExpr *const *by);
// Rebuilds e, each leaf atom (SYM, VAR, LET, FLOAT) replaced by f's answer (NULL: keep it).
IExpr *ix_map(IExpr *, IExpr *(*f)(Atom *, void *u), void *u);

// Runs f(u); false if it ended early because a number or expression grew past the limits.
bool ix_try(void (*f)(void *u), void *u);

/* ---- evaluating, text ---- */
int64_t ix_eval(IExpr *);    // by the atoms' val; SYM with a def: the def's value. Never wraps: saturates at +-IX_INF
const char *ix_str(IExpr *); // "2*N*S + max(0, S - 4) - (N + 7)/8"; parses back
// Parses one expression; names are looked up with `lookup` (NULL result: error). NULL: malformed, *text at the place.
IExpr *ix_parse(const char **text, IExpr *(*lookup)(Sym, void *u), void *u);

/* ---- facts (used by infer): solved for a symbol or a quotient, narrowing ranges ---- */
// Intersects the range of a symbol; what was proved before stays true.
void ix_narrow(Atom *, int64_t lo, int64_t hi);
// Records a == b. 1: new, 0: known already, -1: contradiction. Rewrites happen in ix_resolve.
int ix_require_eq(IExpr *a, IExpr *b);
int ix_require_ge0(IExpr *e);
void ix_stands_for(Atom *, IExpr *); // the symbol is solved to this expression, not the other way round
IExpr *ix_resolve(IExpr *);          // applies all solved facts
int ix_facts(void);                  // a count that grows with each new fact: infer runs until it stays
void *ix_facts_save(void);           // facts found in a discarded iteration, or inside a region, are undone by restore
void ix_facts_restore(void *);
void ix_facts_discard(void *); // restore, and the ranges of symbols made since are forgotten too: they came from a false guess
