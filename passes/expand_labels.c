// expand_labels.c - encoders of numbers: LabelEncoder, OneHotEncoder. (Those of strings are host ops.)
//
// The keys are sorted when the model is compiled; the place of the greatest key that is not above x is found bit by bit, from the highest:
// as many reads of the table as its length has bits, without a branch. Of equal keys the first one counts.
#include "passes/expand.h"
#include <math.h>
#include <stdlib.h>

typedef struct Key {
  double f; // float keys
  int64_t i;
  int from; // place in the list
} Key;
static int by_key(const void *a, const void *b) {
  const Key *x = a, *y = b;
  if (x->i != y->i) return x->i < y->i ? -1 : 1;
  return x->f != y->f ? (x->f < y->f ? -1 : 1) : x->from - y->from;
}

/* ---- lists: an attribute of numbers, whichever of its forms is given ---- */
static const Attr *list_of(const B *b, const char *name) { // keys: keys_tensor, keys_floats, keys_int64s
  static const char *const form[] = {"tensor", "floats", "int64s"};
  for (int i = 0; i < 3; i++) {
    const Attr *a = attr_find(b->at, fmt("%s_%s", name, form[i]));
    if (a && (a->kind != ATTR_TENSOR || a->t->dtype != DT_STR)) return a;
  }
  cannot(b, "%s are missing, or are not of the input's type", name);
}
static int length(const Attr *a) { return a->kind == ATTR_TENSOR ? (int)tensor_count(a->t) : a->n; }
static double float_at(const Attr *a, int i) {
  return a->kind == ATTR_TENSOR ? tensor_float(a->t, i) : a->kind == ATTR_FLOATS ? a->floats[i] : (double)a->ints[i];
}
static int64_t int_at(const Attr *a, int i) {
  return a->kind == ATTR_TENSOR ? tensor_int(a->t, i) : a->kind == ATTR_FLOATS ? (int64_t)a->floats[i] : a->ints[i];
}
static bool is_floats(const Attr *a) { return a->kind == ATTR_FLOATS || (a->kind == ATTR_TENSOR && dtypes[a->t->dtype].is_float); }

/* ---- the search ---- */
typedef struct Table {
  Value *key;    // [2^bits], sorted, the last one repeated
  int *from, n;  // which key of the list each one is; 2^bits
  int nan, bits; // the key that is NaN, or -1
} Table;
static Table sorted(const B *b, const Attr *keys) {
  int count = length(keys), n = 0;
  Table t = {.nan = -1};
  Key *k = NEWN(Key, count + 1);
  bool floats = is_floats(keys);
  for (int i = 0; i < count; i++) {
    Key key = floats ? (Key){.f = float_at(keys, i) + 0.0, .from = i} : (Key){.i = int_at(keys, i), .from = i};
    if (!isnan(key.f)) k[n++] = key;
    else if (t.nan < 0) t.nan = i;
  }
  qsort(k, (size_t)n, sizeof *k, by_key);
  int m = 0;
  for (int i = 0; i < n; i++)
    if (!m || k[i].i != k[m - 1].i || k[i].f != k[m - 1].f) k[m++] = k[i];
  while (1 << t.bits < m) t.bits++;
  t.n = m ? 1 << t.bits : 0, t.from = NEWN(int, t.n + 1);
  Tensor *data = tensor_new(floats ? DT_F64 : DT_I64, 1, &(int64_t){t.n}, NULL);
  for (int i = 0; i < t.n; i++) {
    const Key *at = &k[i < m ? i : m - 1];
    t.from[i] = at->from;
    if (floats) tensor_set_float(data, i, at->f);
    else tensor_set_int(data, i, at->i);
  }
  t.key = graph_const(b->g, NULL, data);
  return t;
}
// values[place of x among the keys], or otherwise where it is none of them. values: in the order of the list
static Value *looked_up(const B *b, Value *x, const Table *t, Tensor *(*values_of)(const B *, const int *from, int n), Value *otherwise) {
  Value *r = otherwise, *at = num(b, DT_I64, 0), *v = cast(b, x, dtype(t->key));
  if (t->n) {
    for (int bit = t->bits - 1; bit >= 0; bit--) {
      Value *next = add(b, at, num(b, DT_I64, (double)((int64_t)1 << bit)));
      at = where(b, op2(b, OP_LessOrEqual, gather(b, t->key, next, 0), v), next, at);
    }
    Value *found = gather(b, graph_const(b->g, NULL, values_of(b, t->from, t->n)), at, 0);
    r = where(b, op2(b, OP_Equal, gather(b, t->key, at, 0), v), found, r);
  }
  if (t->nan < 0 || !dtypes[dtype(x)].is_float) return r;
  return where(b, op1(b, OP_IsNaN, x), graph_const(b->g, NULL, values_of(b, &t->nan, 1)), r);
}

/* ---- the ops ---- */
static Tensor *picked_values(const B *b, const int *from, int n) {
  const Attr *values = list_of(b, "values");
  Tensor *t = tensor_new(b->at->out[0]->type->dtype, 1, &(int64_t){n}, NULL);
  bool floats = dtypes[t->dtype].is_float;
  for (int i = 0; i < n; i++) {
    if (floats) tensor_set_float(t, i, float_at(values, from[i]));
    else tensor_set_int(t, i, int_at(values, from[i]));
  }
  return t;
}
static Value *default_label(const B *b, DType to) {
  const Attr *tensor = attr_find(b->at, "default_tensor");
  if (dtypes[to].is_float) return num(b, to, tensor ? tensor_float(tensor->t, 0) : attr_float(b->at, "default_float"));
  Tensor *t = tensor_new(to, 0, NULL, NULL);
  tensor_set_int(t, 0, tensor ? tensor_int(tensor->t, 0) : attr_int(b->at, "default_int64"));
  return graph_const(b->g, NULL, t);
}
void expand_label_encoder(const B *b) {
  const Attr *keys = list_of(b, "keys"), *values = list_of(b, "values");
  if (length(keys) != length(values)) cannot(b, "%d keys, but %d values", length(keys), length(values));
  if (is_floats(keys) != dtypes[dtype(in(b, 0))].is_float) cannot(b, "the keys are not of the input's type");
  Table t = sorted(b, keys);
  Value *r = looked_up(b, in(b, 0), &t, picked_values, default_label(b, b->at->out[0]->type->dtype));
  give(b, 0, expand_to(b, r, shape_of(b, in(b, 0))));
}

static Tensor *places(const B *b, const int *from, int n) {
  (void)b;
  Tensor *t = tensor_new(DT_I64, 1, &(int64_t){n}, NULL);
  for (int i = 0; i < n; i++) tensor_set_int(t, i, from[i]);
  return t;
}
// An unknown category is a row of zeros, or with zeros=0 an error: a place behind the end of the identity's rows
void expand_one_hot_encoder(const B *b) {
  const Attr *keys = attr_find(b->at, "cats_int64s");
  if (!keys || rank_of(in(b, 0)) == MAX_RANK) cannot(b, "there are no categories of the input's type, or too many dimensions");
  Table t = sorted(b, keys);
  Value *x = cast(b, in(b, 0), DT_I64), *all = count_up(b, int1(b, keys->n));
  Value *at = expand_to(b, looked_up(b, x, &t, places, num(b, DT_I64, keys->n)), shape_of(b, x));
  int64_t last = rank_of(x);
  Value *one = cast(b, op2(b, OP_Equal, unsqueeze(b, at, 1, &last), all), DT_F32);
  if (attr_int(b->at, "zeros")) return give(b, 0, one);
  Value *identity = cast(b, op2(b, OP_Equal, unsqueeze(b, all, INTS(1)), all), DT_F32);
  give(b, 0, gather(b, identity, at, 0));
}
