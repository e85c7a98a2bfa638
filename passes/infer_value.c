// infer_value.c - value rules: elementwise arithmetic on tensors whose elements are expressions. Integers and bools are polynomials, f32
// and f64 are trees; an element that no rule knows makes the whole tensor unknown. 8 and 16 bit integers are left to the kernels: they
// wrap.
#include "infer_rules.h"

int64_t const_count(Dims s) {
  int64_t n = 1, k;
  for (int i = 0; i < s.rank; i++) {
    if (!s.d[i] || !ix_const(s.d[i], &k)) return -1;
    if (k > ELEMS_MAX && n) n = k > IX_DIM_MAX ? -1 : n * (k > ELEMS_MAX + 1 ? ELEMS_MAX + 1 : k);
    else n *= k;
    if (n > ELEMS_MAX) n = ELEMS_MAX + 1;
  }
  return n > ELEMS_MAX || n < 0 ? -1 : n;
}

/* ---- one element ---- */

static IExpr *abs_of(IExpr *a) { return ix_add(ix_relu(a), ix_relu(ix_scale(a, -1))); }

static IExpr *power(IExpr *a, IExpr *b) {
  int64_t k;
  if (!ix_const(b, &k) || k < 0 || k > 8) return NULL;
  IExpr *r = ix(1);
  for (int i = 0; i < k; i++) r = ix_mul(r, a);
  return r;
}

static IExpr *modulo(const Node *n, IExpr *a, IExpr *b) { // the divisor's sign, or with fmod the dividend's
  if (ix_lower(b) < 0) return NULL;                       // x mod 0 is x, as in the kernels
  if (attr_int(n, "fmod") && ix_lower(a) < 0) return NULL;
  return ix_mod(a, b);
}

static IExpr *compare(OpId op, IExpr *a, IExpr *b) {
  switch (op) {
  case OP_Equal: return ix_eq(a, b);
  case OP_Greater: return ix_ge(a, ix_addk(b, 1));
  case OP_GreaterOrEqual: return ix_ge(a, b);
  case OP_Less: return ix_ge(b, ix_addk(a, 1));
  default: return ix_ge(b, a);
  }
}

static IExpr *int_binary(const Node *n, IExpr *a, IExpr *b) {
  switch (n->op->id) {
  case OP_Add:
  case OP_Sum: return ix_add(a, b);
  case OP_Sub: return ix_sub(a, b);
  case OP_Mul:
  case OP_And: return ix_mul(a, b);
  case OP_Div: return ix_truncdiv(a, b);
  case OP_Mod: return modulo(n, a, b);
  case OP_Pow: return power(a, b);
  case OP_Max: return ix_max(a, b);
  case OP_Min: return ix_min(a, b);
  case OP_Or: return ix_sub(ix_add(a, b), ix_mul(a, b));
  case OP_Xor: return ix_sub(ix_add(a, b), ix_scale(ix_mul(a, b), 2));
  case OP_Equal:
  case OP_Greater:
  case OP_GreaterOrEqual:
  case OP_Less:
  case OP_LessOrEqual: return compare(n->op->id, a, b);
  default: return NULL;
  }
}

static IExpr *int_unary(const Node *n, IExpr *a) {
  switch (n->op->id) {
  case OP_Neg: return ix_scale(a, -1);
  case OP_Abs: return abs_of(a);
  case OP_Not: return ix_not(a);
  case OP_Relu: return ix_relu(a);
  case OP_Sign: return ix_sub(ix_ge(a, ix(1)), ix_ge(ix_scale(a, -1), ix(1)));
  case OP_Identity:
  case OP_Sum:
  case OP_Max:
  case OP_Min: return a;
  default: return NULL;
  }
}

static IExpr *int_element(const Node *n, IExpr **x, int count) {
  if (n->op->id == OP_Where) return ix_select(x[0], x[1], x[2]);
  if (n->op->id == OP_Clip) {
    IExpr *r = x[0];
    if (count > 1 && x[1]) r = ix_max(r, x[1]);
    return count > 2 && x[2] ? ix_min(r, x[2]) : r;
  }
  if (count == 1) return int_unary(n, x[0]);
  IExpr *r = x[0];
  for (int i = 1; i < count && r; i++) r = int_binary(n, r, x[i]);
  return r;
}

static FTree *float_binary(const Node *n, bool f64, FTree *a, FTree *b) {
  double k;
  switch (n->op->id) {
  case OP_Add:
  case OP_Sum: return ft_op(FT_ADD, f64, a, b);
  case OP_Sub: return ft_op(FT_SUB, f64, a, b);
  case OP_Mul: return ft_op(FT_MUL, f64, a, b);
  case OP_Div: return ft_op(FT_DIV, f64, a, b);
  case OP_Max: return ft_op(FT_MAX, f64, a, b);
  case OP_Min: return ft_op(FT_MIN, f64, a, b);
  case OP_Pow:
    return !ft_is_const(b, &k) ? NULL : k == 1 ? a : k == 2 ? ft_op(FT_MUL, f64, a, a) : k == 0.5 ? ft_op(FT_SQRT, f64, a, NULL) : NULL;
  default: return NULL;
  }
}

static FTree *float_unary(const Node *n, bool f64, FTree *a) {
  switch (n->op->id) {
  case OP_Neg: return ft_op(FT_NEG, f64, a, NULL);
  case OP_Abs: return ft_op(FT_ABS, f64, a, NULL);
  case OP_Floor: return ft_op(FT_FLOOR, f64, a, NULL);
  case OP_Ceil: return ft_op(FT_CEIL, f64, a, NULL);
  case OP_Round: return ft_op(FT_RINT, f64, a, NULL);
  case OP_Sqrt: return ft_op(FT_SQRT, f64, a, NULL);
  case OP_Reciprocal: return ft_op(FT_DIV, f64, ft_const(f64, 1), a);
  case OP_Identity:
  case OP_Sum:
  case OP_Max:
  case OP_Min: return a;
  default: return NULL;
  }
}

static FTree *float_element(const Node *n, bool f64, FTree **x, int count) {
  if (count == 1) return float_unary(n, f64, x[0]);
  FTree *r = x[0];
  for (int i = 1; i < count && r; i++) r = float_binary(n, f64, r, x[i]);
  return r;
}

static IExpr *float_compare(const Node *n, FTree *a, FTree *b) {
  double x, y;
  if (!ft_is_const(a, &x) || !ft_is_const(b, &y) || x != x || y != y) return NULL;
  return compare(n->op->id, ix((x > y) - (x < y)), ix(0));
}

/* ---- casts ---- */

// A loaded number may be anything: it is loaded again from the narrower tensor instead of being wrapped here.
static IExpr *narrowed(DType to, IExpr *e) {
  const Atom *a = ix_is_atom(e);
  int64_t k;
  bool wide = a ? a->lo < INT32_MIN || a->hi > INT32_MAX : ix_const(e, &k) && (k < INT32_MIN || k > INT32_MAX);
  return to != DT_I64 && to != DT_U64 && wide ? NULL : e;
}

static IExpr *cast_int(DType to, IExpr *e, FTree *f) {
  double k;
  if (to == DT_BOOL && e) return ix_not(ix_eq(e, ix(0)));
  if (to == DT_BOOL) return ft_is_const(f, &k) ? ix(k != 0) : NULL;
  return narrowed(to, e ? e : ix_float(f));
}

static bool cast_elems(const Elems *x, DType from, DType to, Elems *r) {
  int count = x->splat ? 1 : x->n;
  bool f64 = to == DT_F64;
  *r = (Elems){.n = x->n, .splat = x->splat};
  if (to == DT_F32 || f64) {
    r->f = NEWN(FTree *, count + 1);
    for (int i = 0; i < count; i++) r->f[i] = x->e ? ft_int(f64, x->e[i]) : ft_op(FT_CAST, f64, x->f[i], NULL);
    return true;
  }
  if (to != DT_I32 && to != DT_I64 && to != DT_BOOL && !(x->e && from == to)) return false;
  r->e = NEWN(IExpr *, count + 1);
  for (int i = 0; i < count; i++)
    if (!(r->e[i] = cast_int(to, x->e ? x->e[i] : NULL, x->e ? NULL : x->f[i]))) return false;
  return true;
}

/* ---- tensors ---- */

typedef struct Work { // one node's elements
  Node *n;
  Elems in[16], out;
  int nin;
  int64_t stride[16][MAX_RANK]; // of each operand, 0 where it is broadcast
  Dims shape;
  bool done;
} Work;

static bool is_compare(OpId op) {
  return op == OP_Equal || op == OP_Greater || op == OP_GreaterOrEqual || op == OP_Less || op == OP_LessOrEqual;
}

static bool wide(DType d) { return d == DT_I32 || d == DT_I64 || d == DT_BOOL || d == DT_F32 || d == DT_F64; }

// Constants must be what the dtype can hold; symbolic values are dims and what comes of them, which fit.
static bool fits(DType d, IExpr *e) {
  int64_t k;
  return !ix_const(e, &k) || d != DT_I32 || (k >= INT32_MIN && k <= INT32_MAX);
}

static int first_number(const Node *n) { return n->op->id == OP_Where; } // Where's first operand is a condition

static bool one(Work *w, int at, const int64_t *index) {
  IExpr *e[16] = {0};
  FTree *f[16] = {0};
  DType d = w->n->out[0]->type->dtype;
  for (int i = 0; i < w->nin; i++) {
    int64_t k = 0;
    if (!w->in[i].e && !w->in[i].f) continue;
    for (int j = 0; j < w->shape.rank && !w->in[i].splat; j++) k += index[j] * w->stride[i][j];
    if (w->in[i].e) e[i] = w->in[i].e[k];
    else f[i] = w->in[i].f[k];
  }
  bool floats = w->in[first_number(w->n)].f != NULL;
  if (d == DT_F32 || d == DT_F64) {
    int64_t c;
    if (w->n->op->id == OP_Where) w->out.f[at] = f[1] == f[2] ? f[1] : ix_const(e[0], &c) ? f[c ? 1 : 2] : NULL;
    else w->out.f[at] = w->n->op->id == OP_Clip ? NULL : float_element(w->n, d == DT_F64, f, w->nin);
    return w->out.f[at] != NULL;
  }
  if (floats) w->out.e[at] = is_compare(w->n->op->id) ? float_compare(w->n, f[0], f[1]) : NULL;
  else w->out.e[at] = int_element(w->n, e, w->nin);
  return w->out.e[at] && fits(d, w->out.e[at]);
}

static void all(void *u) {
  Work *w = u;
  int64_t index[MAX_RANK] = {0}, size[MAX_RANK];
  int count = w->out.splat ? 1 : w->out.n;
  for (int j = 0; j < w->shape.rank && !w->out.splat; j++) ix_const(w->shape.d[j], &size[j]);
  for (int at = 0; at < count; at++) {
    if (!one(w, at, index)) return;
    for (int j = w->shape.rank - 1; j >= 0 && !w->out.splat; j--) {
      if (++index[j] < size[j]) break;
      index[j] = 0;
    }
  }
  w->done = true;
}

static bool operands(Work *w) {
  Node *n = w->n;
  if (n->nin > 16) return false;
  for (int i = 0; i < n->nin; i++) {
    Value *v = n->in[i];
    w->nin = i + 1;
    if (!v) continue;
    if (!wide(v->type->dtype) || !elems_of(v, &w->in[i])) return false;
  }
  for (int i = 0; i < w->nin; i++) {
    if (!n->in[i]) continue;
    if (w->out.splat && !w->in[i].splat && w->in[i].n != 1) return false;
    Dims s = dims_of(n->in[i]);
    int64_t step = 1, k;
    if (s.rank > w->shape.rank) return false;
    for (int j = s.rank - 1; j >= 0 && !w->in[i].splat; j--) {
      if (!ix_const(s.d[j], &k)) return false;
      w->stride[i][w->shape.rank - s.rank + j] = k == 1 ? 0 : step;
      step *= k;
    }
  }
  for (int i = first_number(n); i < w->nin; i++) // one kind of number throughout
    if (n->in[i] && (w->in[i].e != NULL) != (w->in[first_number(n)].e != NULL)) return false;
  return w->nin > first_number(n);
}

static bool has_value_rule(OpId op) {
  switch (op) {
  case OP_PRelu:
  case OP_Mean: return false;
  default: return true;
  }
}

// Sizes are few: a longer vector is carried as numbers only, lest a scalar of the run times a table of weights becomes a table of formulas.
static bool worth_carrying(const Elems *x) {
  for (int i = 0; x->e && i < x->n && x->n > SIZES_MAX; i++)
    if (!ix_const(x->e[i], NULL)) return false;
  return true;
}
void elementwise(Node *n) {
  Work *w = NEW(Work);
  Value *v = node_out(n, 0);
  if (!v || !wide(v->type->dtype) || !has_value_rule(n->op->id)) return;
  w->n = n, w->shape = dims_of(v);
  int64_t count = const_count(w->shape);
  w->out.splat = count < 0; // too many to carry one by one: fine if they are all the same
  if (!operands(w)) return;
  w->out.n = (int)count;
  if (v->type->dtype == DT_F32 || v->type->dtype == DT_F64) w->out.f = NEWN(FTree *, count + 2);
  else w->out.e = NEWN(IExpr *, count + 2);
  if (ix_try(all, w) && w->done && worth_carrying(&w->out)) out_elems(n, 0, w->out);
}

void shape_cast(Node *n) {
  DType to = (DType)attr_int(n, "to");
  Elems x, r;
  if (to <= DT_NONE || to >= DT_COUNT) wrong(n, "no element type has the number %d", (int)to), to = DT_F32;
  out_dims(n, 0, to, dims_of(n->in[0]));
  if (n->out[0] && elems_of(n->in[0], &x) && cast_elems(&x, n->in[0]->type->dtype, to, &r)) out_elems(n, 0, r);
}

void shape_cast_like(Node *n) {
  DType to = dtype_in(n, 1);
  Elems x, r;
  out_dims(n, 0, to, dims_of(n->in[0]));
  if (n->out[0] && elems_of(n->in[0], &x) && cast_elems(&x, n->in[0]->type->dtype, to, &r)) out_elems(n, 0, r);
}

void view_elems(Node *n, const Value *from) {
  Elems x;
  if (node_out(n, 0) && elems_of(from, &x)) out_elems(n, 0, x);
}

void gather_elems(Node *n, int i, const Value *from, int count, const int64_t *index) {
  Elems x, r = {.n = count};
  if (!node_out(n, i) || !elems_of(from, &x)) return;
  if (x.splat) {
    r = x, r.n = count;
    out_elems(n, i, r);
    return;
  }
  if (x.e) r.e = NEWN(IExpr *, count + 1);
  else r.f = NEWN(FTree *, count + 1);
  for (int k = 0; k < count; k++) {
    if (index[k] < 0 || index[k] >= x.n) return;
    if (x.e) r.e[k] = x.e[index[k]];
    else r.f[k] = x.f[index[k]];
  }
  out_elems(n, i, r);
}

void elems_by_strides(Node *n, int i, const Value *from, int64_t base, const int64_t *stride) {
  Value *v = node_out(n, i);
  Elems x;
  if (!v || !elems_of(from, &x)) return;
  Dims s = dims_of(v);
  int64_t count = const_count(s), size[MAX_RANK], at[MAX_RANK] = {0};
  if (x.splat) {
    x.n = (int)count;
    out_elems(n, i, x);
    return;
  }
  if (count < 0) return;
  int64_t *index = NEWN(int64_t, count + 1), k = base;
  for (int j = 0; j < s.rank; j++) ix_const(s.d[j], &size[j]);
  for (int64_t e = 0; e < count; e++) {
    index[e] = k;
    for (int j = s.rank - 1; j >= 0; j--) {
      k += stride[j];
      if (++at[j] < size[j]) break;
      k -= stride[j] * size[j], at[j] = 0;
    }
  }
  gather_elems(n, i, from, (int)count, index);
}
