// eval_index.c - index expressions over lanes. Where an expression is affine in the lane loops its values are a base and steps, and no
// lane is looked at; quotients, relus and lets become arrays, each once per block.
#include "eval_internal.h"
#include <string.h>

typedef struct Node { // an atom that is neither a number during the run nor a plain loop variable
  Atom *atom;
  Index *a, *b;
  Let *let;
  bool varies, has_let;
  unsigned stamp, version;
  int64_t one, *arr; // its value, or values if it varies
  Form seen[2];      // the operands that arr was computed from
  unsigned shape;
} Node;

typedef struct Slow { // coef * product of nodes and loop variables
  int64_t coef;
  int nfac;
  Node **fac;
  bool varies, mixed; // mixed: with factors that do not vary
} Slow;

struct Index {
  IExpr *e;
  int64_t k;
  int nvar;
  Atom **var; // loop variables outside the lanes, and the lane variables' own starts
  int64_t *coef, step[LANE_AXES];
  int nslow;
  Slow *slow;
  bool varies, slow_varies, has_let, mixed;
  unsigned stamp;
  Form form;
  int64_t *arr;
  unsigned seen_versions, shape; // what arr was computed from: the versions of the nodes
};

bool index_varies(const Index *x) { return x->varies; }
bool index_has_let(const Index *x) { return x->has_let; }

/* ---- making ---- */

static int lane_axis(const Plan *p, const Atom *a) {
  for (int i = 0; i < p->block.n; i++)
    if (p->axis[i].var == a) return i;
  return -1;
}

// The same during the whole run: made of symbols alone
static bool is_number(const Atom *a) {
  if (a->kind == ATOM_SYM || a->kind == ATOM_FLOAT) return true;
  return a->kind != ATOM_VAR && a->kind != ATOM_LET && !a->a->newest && (!a->b || !a->b->newest);
}

static Node *node_of(Plan *p, Atom *a) {
  for (int i = 0; i < p->nnode; i++)
    if (p->node[i]->atom == a) return p->node[i];
  Node *n = EVAL_NEW(Node);
  n->atom = a;
  if (a->kind == ATOM_LET) {
    n->let = plan_let(p, a);
    n->has_let = true;
    n->varies = n->let->value->lanes || (n->let->limit && n->let->limit->varies);
  } else if (a->kind == ATOM_VAR) n->varies = lane_axis(p, a) >= 0;
  else {
    n->a = index_of(p, a->a);
    n->b = a->b ? index_of(p, a->b) : NULL;
    n->varies = n->a->varies || (n->b && n->b->varies);
    n->has_let = n->a->has_let || (n->b && n->b->has_let);
  }
  if (n->varies) n->arr = eval_mem(LANES * sizeof *n->arr);
  if (p->nnode == p->cnode) {
    struct Node **old = p->node;
    p->node = eval_mem((size_t)(p->cnode = p->cnode * 2 + 8) * sizeof *p->node);
    if (p->nnode) memcpy(p->node, old, (size_t)p->nnode * sizeof *p->node);
  }
  return p->node[p->nnode++] = n;
}

static void add_variable(const Plan *p, Index *x, Atom *a, int64_t coef) {
  x->var[x->nvar] = a; // a lane variable's val is where the block starts
  x->coef[x->nvar++] = coef;
  int lane = lane_axis(p, a);
  if (lane >= 0) x->step[lane] += coef;
}

static void add_term(Plan *p, Index *x, const Term *t) {
  int64_t coef = t->coef;
  Atom *rest[16];
  int n = 0;
  for (int i = 0; i < t->nfac; i++) {
    if (is_number(t->fac[i])) coef *= ix_eval(ix_atom(t->fac[i]));
    else if (n == 16) bug("an index term of more than 16 factors");
    else rest[n++] = t->fac[i];
  }
  if (n == 0) x->k += coef;
  else if (n == 1 && rest[0]->kind == ATOM_VAR) add_variable(p, x, rest[0], coef);
  else {
    Slow *s = &x->slow[x->nslow++];
    *s = (Slow){.coef = coef, .nfac = n, .fac = eval_mem((size_t)n * sizeof *s->fac)};
    for (int i = 0; i < n; i++) {
      s->fac[i] = node_of(p, rest[i]);
      s->mixed = s->mixed || !s->fac[i]->varies;
      s->varies = s->varies || s->fac[i]->varies;
      x->has_let = x->has_let || s->fac[i]->has_let;
    }
    x->slow_varies = x->slow_varies || s->varies;
    x->mixed = x->mixed || (s->varies && s->mixed);
  }
}

Index *index_of(Plan *p, IExpr *e) {
  for (int i = 0; i < p->nindex; i++)
    if (p->index[i]->e == e) return p->index[i];
  Index *x = EVAL_NEW(Index);
  x->e = e;
  x->k = e->k;
  x->var = eval_mem((size_t)(e->n + 1) * sizeof *x->var);
  x->coef = eval_mem((size_t)(e->n + 1) * sizeof *x->coef);
  x->slow = eval_mem((size_t)(e->n + 1) * sizeof *x->slow);
  for (int i = 0; i < e->n; i++) add_term(p, x, &e->t[i]);
  x->varies = x->slow_varies;
  for (int i = 0; i < p->block.n; i++) x->varies = x->varies || x->step[i];
  if (x->slow_varies) x->arr = eval_mem(LANES * sizeof *x->arr);
  if (p->nindex == p->cindex) {
    Index **old = p->index;
    p->index = eval_mem((size_t)(p->cindex = p->cindex * 2 + 16) * sizeof *p->index);
    if (p->nindex) memcpy(p->index, old, (size_t)p->nindex * sizeof *p->index);
  }
  return p->index[p->nindex++] = x;
}

/* ---- walking lanes ---- */

void walk_start(Walk *w, const Block *b, int m, const Form *const *f) {
  w->na = 0, w->m = m, w->lane = 0;
  for (int a = 0; a < b->n; a++) {
    if (b->count[a] == 1) continue;
    bool merge = w->na > 0;
    for (int i = 0; i < m && merge; i++) merge = w->step[i][w->na - 1] == f[i]->step[a] * b->count[a];
    if (merge) w->count[w->na - 1] *= b->count[a];
    else w->count[w->na++] = b->count[a];
    for (int i = 0; i < m; i++) w->step[i][w->na - 1] = f[i]->step[a];
  }
  for (int i = 0; i < m; i++) w->off[i] = f[i]->base;
  for (int a = 0; a < w->na; a++) w->at[a] = 0;
  w->run = w->na ? (int)w->count[w->na - 1] : 1;
}

bool walk_next(Walk *w) {
  w->lane += w->run;
  for (int a = w->na - 2; a >= 0; a--) {
    for (int i = 0; i < w->m; i++) w->off[i] += w->step[i][a];
    if (++w->at[a] < w->count[a]) return true;
    for (int i = 0; i < w->m; i++) w->off[i] -= w->step[i][a] * w->count[a];
    w->at[a] = 0;
  }
  return false;
}

void form_range(const Block *b, const Form *f, int64_t *lo, int64_t *hi) {
  *lo = *hi = f->base;
  if (f->arr) {
    *lo += f->lo, *hi += f->hi;
    return;
  }
  for (int a = 0; a < b->n; a++) {
    int64_t d = f->step[a] * (b->count[a] - 1);
    if (d < 0) *lo += d;
    else *hi += d;
  }
}

static void affine_values(const Block *b, const Form *f, int64_t *r) {
  Walk w;
  walk_start(&w, b, 1, &f);
  do {
    int64_t v = w.off[0], s = walk_step(&w, 0);
    for (int l = 0; l < w.run; l++) r[w.lane + l] = v + l * s;
  } while (walk_next(&w));
}

const int64_t *form_array(Plan *p, const Form *f, int64_t *space) {
  if (f->arr && f->base == 0) return f->arr;
  if (!f->arr) affine_values(&p->block, f, space);
  for (int l = 0; f->arr && l < p->block.total; l++) space[l] = f->base + f->arr[l];
  return space;
}

/* ---- values ---- */

static int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  int64_t q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}

static bool is_uniform(const Block *b, const Form *f) {
  if (f->arr) return false;
  for (int a = 0; a < b->n; a++)
    if (f->step[a]) return false;
  return true;
}

// By the reciprocal, corrected: exact while |a| and d are below 2^50.
static void divide(const Block *b, const Form *fa, const int64_t *a, int64_t d, int64_t *r) {
  int64_t lo, hi;
  form_range(b, fa, &lo, &hi);
  int64_t big = (int64_t)1 << 50;
  if (d <= 0 || d >= big || lo <= -big || hi >= big) {
    for (int l = 0; l < b->total; l++) r[l] = floor_div(a[l], d);
    return;
  }
  double inverse = 1 / (double)d;
  for (int l = 0; l < b->total; l++) {
    int64_t q = (int64_t)((double)a[l] * inverse), left = a[l] - q * d;
    r[l] = q + (left >= d) - (left < 0);
  }
}

static void node_lanes(Plan *p, Node *n) {
  int64_t sa[LANES], sb[LANES], *r = n->arr;
  const Block *b = &p->block;
  if (n->atom->kind == ATOM_LET) {
    let_values(p, n->let, r);
    return;
  }
  if (n->atom->kind == ATOM_VAR) {
    Form f = {.base = n->atom->val};
    f.step[lane_axis(p, n->atom)] = 1;
    affine_values(b, &f, r);
    return;
  }
  const Form *fa = index_form(p, n->a);
  const int64_t *a = form_array(p, fa, sa), *y = NULL;
  if (n->b) {
    const Form *fb = index_form(p, n->b);
    if (n->atom->kind == ATOM_DIV && is_uniform(b, fb)) {
      divide(b, fa, a, fb->base, r);
      return;
    }
    y = form_array(p, fb, sb);
  }
  switch (n->atom->kind) {
  case ATOM_DIV:
    for (int l = 0; l < b->total; l++) r[l] = floor_div(a[l], y[l]);
    return;
  case ATOM_RELU:
    for (int l = 0; l < b->total; l++) r[l] = a[l] > 0 ? a[l] : 0;
    return;
  case ATOM_GE0:
    for (int l = 0; l < b->total; l++) r[l] = a[l] >= 0;
    return;
  default:
    for (int l = 0; l < b->total; l++) r[l] = a[l] == 1 ? y[l] : a[l];
  }
}

static int64_t node_one(Plan *p, Node *n) {
  int64_t v[LANES];
  if (n->atom->kind == ATOM_VAR) return n->atom->val;
  if (n->atom->kind == ATOM_LET) {
    let_values(p, n->let, v);
    return v[0];
  }
  int64_t a = index_form(p, n->a)->base, b = n->b ? index_form(p, n->b)->base : 0;
  switch (n->atom->kind) {
  case ATOM_DIV: return floor_div(a, b);
  case ATOM_RELU: return a > 0 ? a : 0;
  case ATOM_GE0: return a >= 0;
  default: return a == 1 ? b : a;
  }
}

static bool same_form(const Form *a, const Form *b) { return a->base == b->base && a->arr == b->arr && a->version == b->version; }

// Has an operand changed since arr was computed? The steps of an affine operand are fixed.
static bool changed(Plan *p, Node *n) {
  if (n->atom->kind == ATOM_LET || n->atom->kind == ATOM_VAR) return true;
  bool same = n->version && n->shape == p->block.shape;
  Index *x[2] = {n->a, n->b};
  for (int i = 0; i < 2 && x[i]; i++) {
    const Form *f = index_form(p, x[i]);
    same = same && same_form(f, &n->seen[i]);
    n->seen[i] = *f;
  }
  n->shape = p->block.shape;
  return !same;
}

static void node_value(Plan *p, Node *n) {
  if (n->stamp == p->batch) return;
  n->stamp = p->batch;
  if (!n->varies) n->one = node_one(p, n);
  else if (changed(p, n)) {
    node_lanes(p, n);
    n->version++;
  }
}

static void add_slow(Plan *p, const Slow *s, int64_t *r) {
  int64_t coef = s->coef;
  const int64_t *v[16];
  int n = 0;
  for (int i = 0; i < s->nfac; i++) {
    if (s->fac[i]->varies) v[n++] = s->fac[i]->arr;
    else coef *= s->fac[i]->one;
  }
  int total = p->block.total;
  if (n == 1)
    for (int l = 0; l < total; l++) r[l] += coef * v[0][l];
  else
    for (int l = 0; l < total; l++) {
      int64_t x = coef;
      for (int i = 0; i < n; i++) x *= v[i][l];
      r[l] += x;
    }
}

const Form *index_form(Plan *p, Index *x) {
  if (x->stamp == p->batch) return &x->form;
  x->stamp = p->batch;
  Form *f = &x->form;
  f->base = x->k;
  for (int i = 0; i < x->nvar; i++) f->base += x->coef[i] * x->var[i]->val;
  for (int a = 0; a < p->block.n; a++) f->step[a] = x->step[a];
  f->arr = NULL;
  unsigned versions = 0; // grows whenever a factor changes
  for (int i = 0; i < x->nslow; i++) {
    const Slow *s = &x->slow[i];
    for (int j = 0; j < s->nfac; j++) node_value(p, s->fac[j]);
    if (s->varies) {
      for (int j = 0; j < s->nfac; j++) versions += s->fac[j]->version;
      continue;
    }
    int64_t v = s->coef;
    for (int j = 0; j < s->nfac; j++) v *= s->fac[j]->one;
    f->base += v;
  }
  if (!x->slow_varies) return f;
  bool kept = f->version && !x->mixed && versions == x->seen_versions && p->block.shape == x->shape;
  x->seen_versions = versions, x->shape = p->block.shape;
  f->arr = x->arr;
  if (kept) return f;
  f->version++;
  Form steps = *f;
  steps.base = 0, steps.arr = NULL;
  affine_values(&p->block, &steps, x->arr);
  for (int i = 0; i < x->nslow; i++)
    if (x->slow[i].varies) add_slow(p, &x->slow[i], x->arr);
  f->lo = f->hi = x->arr[0];
  for (int l = 1; l < p->block.total; l++) {
    if (x->arr[l] < f->lo) f->lo = x->arr[l];
    if (x->arr[l] > f->hi) f->hi = x->arr[l];
  }
  return f;
}
