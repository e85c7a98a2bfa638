// eval_index.c - index expressions over lanes. Where an expression is affine in the lane loops its values are a base and steps, and no
// lane is looked at. A quotient, a relu, a comparison is affine too in a block in which it does not change its course: where c runs
// 16..31, c/16 is 1. What is left (and lets) becomes arrays, computed again only when their operands change.
#include "eval_internal.h"
#include <string.h>

typedef struct Node { // an atom that is neither a number during the run nor a plain loop variable
  Atom *atom;
  Index *a, *b;
  Let *let;
  bool varies, has_let; // varies: with the lanes, in some block
  unsigned stamp;
  Form form;
  int64_t *arr; // room for form.arr
  Form seen[2]; // the operands that arr was computed from
  unsigned shape;
} Node;

typedef struct Slow { // coef * product of nodes and loop variables
  int64_t coef;
  int nfac;
  Node **fac;
  // in the present block
  int64_t now;   // coef and the factors that are the same in all lanes
  int nvaried;   // the others, if they do not make it affine
  unsigned mark; // of the array that is the one other factor; 0: none, or several
} Slow;

struct Index {
  IExpr *e;
  int64_t k;
  int nvar;
  Atom **var; // loop variables outside the lanes, and the lane variables' own starts
  int64_t *coef, step[LANE_AXES];
  int nslow;
  Slow *slow;
  bool varies, slow_varies, has_let;
  unsigned stamp;
  Form form;
  int64_t *arr;
  bool kept; // arr holds what the present steps and marks, of this shape, give
  unsigned shape;
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
  if (n->varies && a->kind != ATOM_VAR) n->arr = eval_mem(LANES * sizeof *n->arr);
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
      x->slow_varies = x->slow_varies || s->fac[i]->varies;
      x->has_let = x->has_let || s->fac[i]->has_let;
    }
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

/* ---- nodes ---- */

static int64_t floor_div(int64_t a, int64_t b) {
  if (b == 0) return 0;
  int64_t q = a / b;
  return q - (a % b != 0 && (a < 0) != (b < 0));
}

static bool is_uniform(const Block *b, const Form *f) {
  if (f->arr) return false;
  for (int a = 0; a < b->n; a++)
    if (f->step[a] && b->count[a] > 1) return false;
  return true;
}

static bool set_uniform(Form *r, int64_t v) {
  *r = (Form){.base = v, .version = r->version};
  return true;
}

// a / d where d divides all steps
static bool divide_steps(const Block *b, const Form *fa, int64_t d, Form *r) {
  for (int a = 0; a < b->n; a++)
    if (b->count[a] > 1 && fa->step[a] % d) return false;
  set_uniform(r, floor_div(fa->base, d));
  for (int a = 0; a < b->n; a++) r->step[a] = b->count[a] > 1 ? fa->step[a] / d : 0;
  return true;
}

// The atom's values in this block as a base and steps, if they are that.
static bool affine_node(const Block *block, AtomKind kind, const Form *fa, const Form *fb, Form *r) {
  int64_t lo, hi;
  if (fa->arr || (fb && !is_uniform(block, fb))) return false;
  form_range(block, fa, &lo, &hi);
  switch (kind) {
  case ATOM_DIV:
    if (floor_div(lo, fb->base) == floor_div(hi, fb->base)) return set_uniform(r, floor_div(lo, fb->base));
    return divide_steps(block, fa, fb->base, r);
  case ATOM_RELU:
    if (hi <= 0) return set_uniform(r, 0);
    if (lo < 0) return false;
    set_uniform(r, fa->base);
    memcpy(r->step, fa->step, sizeof r->step);
    return true;
  case ATOM_GE0: return (lo >= 0 || hi < 0) && set_uniform(r, lo >= 0);
  default: return lo == hi && set_uniform(r, lo == 1 ? fb->base : lo);
  }
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

static void node_lanes(Plan *p, const Node *n, const Form *fa, const Form *fb) {
  int64_t sa[LANES], sb[LANES], *r = n->arr;
  const Block *b = &p->block;
  const int64_t *x = form_array(p, fa, sa), *y = fb ? form_array(p, fb, sb) : NULL;
  switch (n->atom->kind) {
  case ATOM_DIV:
    if (is_uniform(b, fb)) divide(b, fa, x, fb->base, r);
    else
      for (int l = 0; l < b->total; l++) r[l] = floor_div(x[l], y[l]);
    return;
  case ATOM_RELU:
    for (int l = 0; l < b->total; l++) r[l] = x[l] > 0 ? x[l] : 0;
    return;
  case ATOM_GE0:
    for (int l = 0; l < b->total; l++) r[l] = x[l] >= 0;
    return;
  default:
    for (int l = 0; l < b->total; l++) r[l] = x[l] == 1 ? y[l] : x[l];
  }
}

static bool same_form(const Form *a, const Form *b) {
  return a->base == b->base && a->arr == b->arr && (a->arr ? a->version == b->version : !memcmp(a->step, b->step, sizeof a->step));
}

static bool changed(const Plan *p, Node *n, const Form *fa, const Form *fb) { // an operand, since arr was computed?
  bool same = n->form.version && n->shape == p->block.shape && same_form(fa, &n->seen[0]) && (!fb || same_form(fb, &n->seen[1]));
  n->shape = p->block.shape;
  n->seen[0] = *fa;
  if (fb) n->seen[1] = *fb;
  return !same;
}

static void let_node(Plan *p, Node *n) {
  int64_t one[LANES];
  let_values(p, n->let, n->varies ? n->arr : one);
  set_uniform(&n->form, n->varies ? 0 : one[0]);
  if (n->varies) n->form.arr = n->arr, n->form.version++;
}

static const Form *node_form(Plan *p, Node *n) {
  if (n->stamp == p->batch) return &n->form;
  n->stamp = p->batch;
  if (n->atom->kind == ATOM_LET) let_node(p, n);
  else if (n->atom->kind == ATOM_VAR) {
    set_uniform(&n->form, n->atom->val);
    if (n->varies) n->form.step[lane_axis(p, n->atom)] = 1;
  } else {
    const Form *fa = index_form(p, n->a), *fb = n->b ? index_form(p, n->b) : NULL;
    if (affine_node(&p->block, n->atom->kind, fa, fb, &n->form)) return &n->form;
    set_uniform(&n->form, 0);
    n->form.arr = n->arr;
    if (changed(p, n, fa, fb)) node_lanes(p, n, fa, fb), n->form.version++;
  }
  return &n->form;
}

/* ---- sums ---- */

// Adds the term to the base and steps; false: its values are an array's, or a product's. *same: it is what it was in the block before.
static bool affine_term(Plan *p, Slow *s, Form *f, bool *same) {
  const Form *varied = NULL;
  int64_t now = s->coef;
  int n = 0;
  for (int i = 0; i < s->nfac; i++) {
    const Form *x = node_form(p, s->fac[i]);
    if (is_uniform(&p->block, x)) now *= x->base;
    else varied = x, n++;
  }
  bool affine = n == 0 || (n == 1 && !varied->arr);
  unsigned mark = n == 1 && !affine ? varied->version : 0;
  *same = affine ? s->nvaried == 0 : n == 1 && mark == s->mark && now == s->now;
  s->now = now, s->mark = mark, s->nvaried = affine ? 0 : n;
  if (!affine) return false;
  f->base += n ? now * varied->base : now;
  for (int a = 0; n && a < p->block.n; a++) f->step[a] += now * varied->step[a];
  return true;
}

static void add_term_lanes(Plan *p, const Slow *s, int64_t *r) {
  int64_t x[LANES], space[LANES];
  int total = p->block.total;
  for (int l = 0; l < total; l++) x[l] = s->now;
  for (int i = 0; i < s->nfac; i++) {
    if (is_uniform(&p->block, &s->fac[i]->form)) continue;
    const int64_t *v = form_array(p, &s->fac[i]->form, space);
    for (int l = 0; l < total; l++) x[l] *= v[l];
  }
  for (int l = 0; l < total; l++) r[l] += x[l];
}

static void sum_lanes(Plan *p, Index *x) {
  Form *f = &x->form, steps = *f;
  steps.base = 0, steps.arr = NULL;
  affine_values(&p->block, &steps, x->arr);
  for (int i = 0; i < x->nslow; i++)
    if (x->slow[i].nvaried) add_term_lanes(p, &x->slow[i], x->arr);
  f->lo = f->hi = x->arr[0];
  for (int l = 1; l < p->block.total; l++) {
    f->lo = x->arr[l] < f->lo ? x->arr[l] : f->lo;
    f->hi = x->arr[l] > f->hi ? x->arr[l] : f->hi;
  }
}

const Form *index_form(Plan *p, Index *x) {
  if (x->stamp == p->batch) return &x->form;
  x->stamp = p->batch;
  Form *f = &x->form, old = *f;
  bool affine = true, same;
  f->base = x->k;
  for (int i = 0; i < x->nvar; i++) f->base += x->coef[i] * x->var[i]->val;
  memcpy(f->step, x->step, sizeof f->step);
  f->arr = NULL;
  if (!x->nslow) return f;
  x->kept = x->kept && x->shape == p->block.shape;
  x->shape = p->block.shape;
  for (int i = 0; i < x->nslow; i++) {
    affine = affine_term(p, &x->slow[i], f, &same) && affine;
    x->kept = x->kept && same;
  }
  x->kept = x->kept && !memcmp(old.step, f->step, sizeof f->step);
  if (affine) return f;
  f->arr = x->arr;
  if (x->kept) return f;
  x->kept = true;
  f->version++;
  sum_lanes(p, x);
  return f;
}
