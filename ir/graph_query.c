// graph_query.c - attributes with their defaults from the op table, and what may be asked of nodes and values.
#include "graph.h"
#include <stdlib.h>
#include <string.h>

/* ---- attributes ---- */

void node_set(Node *n, Attr a) {
  for (int k = 0; k < n->nattr; k++)
    if (n->attr[k].name == a.name) {
      n->attr[k] = a;
      return;
    }
  Attr *all = NEWN(Attr, n->nattr + 1);
  if (n->nattr) memcpy(all, n->attr, sizeof *all * (size_t)n->nattr);
  all[n->nattr++] = a;
  n->attr = all;
}

void node_set_int(Node *n, const char *name, int64_t v) { node_set(n, (Attr){.name = sym(name), .kind = ATTR_INT, .i = v}); }
void node_set_float(Node *n, const char *name, double v) { node_set(n, (Attr){.name = sym(name), .kind = ATTR_FLOAT, .f = v}); }
void node_set_ints(Node *n, const char *name, int count, const int64_t *v) {
  node_set(n, (Attr){.name = sym(name), .kind = ATTR_INTS, .n = count, .ints = mem_copy(v, sizeof *v * (size_t)count)});
}
void node_set_string(Node *n, const char *name, const char *v) {
  node_set(n, (Attr){.name = sym(name), .kind = ATTR_STRING, .s = {fmt("%s", v), strlen(v)}});
}

static const Attr *own(const Node *n, const char *name) {
  for (int k = 0; k < n->nattr; k++)
    if (!strcmp(n->attr[k].name, name)) return &n->attr[k];
  return NULL;
}

// "a,b": the parts, as strings.
static Str *split(const char *text, int *n) {
  int count = 1;
  for (const char *p = text; *p; p++) count += *p == ',';
  Str *s = NEWN(Str, count);
  for (int k = 0; k < count; k++) {
    s[k] = (Str){text, strcspn(text, ",")};
    text += s[k].n + 1;
  }
  *n = count;
  return s;
}

// A float default is the f32 that a file would hold.
static Attr default_attr(const AttrRow *row) {
  Attr a = {.name = sym(row->name)};
  if (!strcmp(row->kind, "INT")) {
    a.kind = ATTR_INT;
    a.i = strtoll(row->dflt, NULL, 10);
  } else if (!strcmp(row->kind, "FLOAT")) {
    a.kind = ATTR_FLOAT;
    a.f = strtof(row->dflt, NULL);
  } else if (!strcmp(row->kind, "STRING")) {
    a.kind = ATTR_STRING;
    a.s = (Str){row->dflt, strlen(row->dflt)};
  } else if (!strcmp(row->kind, "STRINGS")) {
    a.kind = ATTR_STRINGS;
    a.strings = split(row->dflt, &a.n);
  } else if (!strcmp(row->kind, "INTS")) {
    Str *part = split(row->dflt, &a.n);
    int64_t *v = NEWN(int64_t, a.n);
    for (int k = 0; k < a.n; k++) v[k] = strtoll(part[k].p, NULL, 10);
    a.kind = ATTR_INTS;
    a.ints = v;
  } else bug("attribute %s: no default of kind %s", row->name, row->kind);
  return a;
}

typedef struct Default {
  const AttrRow *row;
  Attr attr;
  struct Default *next;
} Default;
static Default *defaults[64];
static void forget_defaults(void) { memset(defaults, 0, sizeof defaults); }

static const Attr *default_of(const AttrRow *row) {
  Default **head = &defaults[((uintptr_t)row / sizeof *row) % 64];
  for (Default *d = *head; d; d = d->next)
    if (d->row == row) return &d->attr;
  at_reset(forget_defaults);
  Default *d = NEW(Default);
  *d = (Default){row, default_attr(row), *head};
  *head = d;
  return &d->attr;
}

const Attr *attr_find(const Node *n, const char *name) {
  const Attr *a = own(n, name);
  if (a) return a;
  const AttrRow *row = op_attr(n->op, name);
  return row && *row->dflt && strcmp(row->dflt, "!") ? default_of(row) : NULL;
}

bool attr_has(const Node *n, const char *name) { return own(n, name) != NULL; }

static const Attr *need(const Node *n, const char *name, AttrKind kind) {
  const Attr *a = attr_find(n, name);
  if (!a) bug("%s has no attribute %s and no default for it", n->op->name, name);
  if (a->kind != kind) bug("attribute %s of %s has kind %d, asked as %d", name, n->op->name, a->kind, kind);
  return a;
}

int64_t attr_int(const Node *n, const char *name) { return need(n, name, ATTR_INT)->i; }
double attr_float(const Node *n, const char *name) { return need(n, name, ATTR_FLOAT)->f; }
Str attr_str(const Node *n, const char *name) { return need(n, name, ATTR_STRING)->s; }

bool attr_is(const Node *n, const char *name, const char *value) {
  const Attr *a = attr_find(n, name);
  return a && a->kind == ATTR_STRING && a->s.n == strlen(value) && !memcmp(a->s.p, value, a->s.n);
}

int attr_ints(const Node *n, const char *name, const int64_t **v) {
  const Attr *a = attr_find(n, name);
  *v = a ? need(n, name, ATTR_INTS)->ints : NULL;
  return a ? a->n : 0;
}

/* ---- nodes and values ---- */

Value *node_in(const Node *n, int i) { return i >= 0 && i < n->nin ? n->in[i] : NULL; }
Value *node_out(const Node *n, int i) { return i >= 0 && i < n->nout ? n->out[i] : NULL; }

const Where *node_where(const Node *n) {
  Where *w = NEW(Where);
  *w = (Where){.node_index = n->index, .node = n->name, .op = n->op->name, .domain = n->op->domain};
  if (n->path && *n->path) w->path = n->path;
  return w;
}

int value_rank(const Value *v) { return v->type && v->type->kind == TYPE_TENSOR ? v->type->rank : -1; }

IExpr *value_dim(const Value *v, int axis) {
  int rank = value_rank(v);
  if (axis < 0) axis += rank;
  return axis >= 0 && axis < rank ? v->type->dim[axis] : NULL;
}

IExpr *value_count(const Value *v) {
  int rank = value_rank(v);
  if (rank < 0) return NULL;
  IExpr *n = ix(1);
  for (int k = 0; k < rank; k++) {
    if (!v->type->dim[k]) return NULL;
    n = ix_mul(n, v->type->dim[k]);
  }
  return n;
}

static bool integral(const Tensor *t) { return dtypes[t->dtype].is_int || t->dtype == DT_BOOL; }

bool value_ints(const Value *v, int *n, const int64_t **out) {
  int64_t count = v->data ? tensor_count(v->data) : v->elem ? v->nelem : -1;
  if (count < 0 || count > INT32_MAX || (v->data && !integral(v->data))) return false;
  int64_t *x = NULL;
  if (!v->data)
    for (int k = 0; k < (v->splat ? v->nelem > 0 : v->nelem); k++)
      if (!ix_const(v->elem[k], NULL)) return false;
  *n = (int)count;
  if (v->data && v->data->dtype == DT_I64 && (uintptr_t)v->data->data % 8 == 0) {
    *out = v->data->data;
    return true;
  }
  x = NEWN(int64_t, count ? count : 1);
  for (int k = 0; k < count; k++)
    if (v->data) x[k] = tensor_int(v->data, k);
    else ix_const(v->elem[v->splat ? 0 : k], &x[k]);
  *out = x;
  return true;
}

enum { MAX_EXPRS = 1024 };
bool value_exprs(const Value *v, int *n, IExpr ***e) {
  int64_t count = v->elem ? v->nelem : v->data && integral(v->data) ? tensor_count(v->data) : -1;
  if (count < 0 || count > MAX_EXPRS) return false;
  *n = (int)count;
  *e = v->elem;
  if (v->elem && !v->splat) return true;
  *e = NEWN(IExpr *, count ? count : 1);
  for (int k = 0; k < count; k++) (*e)[k] = v->elem ? v->elem[0] : ix(tensor_int(v->data, k));
  return true;
}

bool value_same_shape(const Value *a, const Value *b) {
  int rank = value_rank(a);
  if (rank < 0 || rank != value_rank(b)) return false;
  for (int k = 0; k < rank; k++)
    if (!a->type->dim[k] || a->type->dim[k] != b->type->dim[k]) return false;
  return true;
}
