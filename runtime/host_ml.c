/* host_ml.c - encoders, maps and TF-IDF of ai.onnx.ml: what looks strings up, or makes and reads maps. */
#include "host_number.h"
#include "host_table.h"
#include <string.h>

/* ---- an attribute list in one of its forms, as a tensor ---- */
typedef struct List {
  tn_tensor t; /* rank 1; data NULL: not given */
} List;
static List list(const tn_call *c, const char *strings, const char *ints, const char *floats, const char *tensor) {
  const tn_attr *a;
  List l = {{NULL, 0, 1, {0}}};
  if (tensor && (a = call_attr(c, tensor))) return l.t = *a->t, l.t.dim[0] = tensor_size(a->t), l.t.rank = 1, l;
  if (strings && (a = call_attr(c, strings)) && a->n) l.t.data = (void *)a->strings, l.t.dtype = TN_STR;
  else if (ints && (a = call_attr(c, ints)) && a->n) l.t.data = (void *)a->ints, l.t.dtype = TN_I64;
  else if (floats && (a = call_attr(c, floats)) && a->n) l.t.data = (void *)a->floats, l.t.dtype = TN_F64;
  else return l;
  l.t.dim[0] = a->n;
  return l;
}
/* An element of a result, from a tensor of another numeric type or of strings. */
static void put(Fill *f, int64_t at, const tn_tensor *from, int64_t i) {
  void *to = f->t.data;
  switch (f->t.dtype) {
  case TN_STR: ((tenon_str *)to)[at] = ((const tenon_str *)from->data)[i]; break;
  case TN_F32: ((float *)to)[at] = (float)tensor_f64(from, i); break;
  case TN_F64: ((double *)to)[at] = tensor_f64(from, i); break;
  default: {
    int64_t v = tensor_i64(from, i);
    uint64_t e = tn_dtypes[f->t.dtype].stored / 8u;
    memcpy((char *)to + (uint64_t)at * e, &v, e);
  }
  }
}
static int32_t result_dtype(const tn_call *c, int32_t dflt) { return c->out[0].t ? c->out[0].t->dtype : dflt; }

/* x -> values[keys.index(x)], or the default. */
static void encode(tn_call *c, const tn_tensor *x, List keys, List values, const tn_tensor *dflt) {
  Keys k, in;
  Table t;
  Fill out;
  int64_t *temp[2];
  uint64_t size[2];
  int32_t dtype = values.t.dtype == TN_STR ? TN_STR : result_dtype(c, values.t.dtype == TN_F64 ? TN_F32 : values.t.dtype);
  if (keys.t.dim[0] != values.t.dim[0])
    return tn_op_fail(c, "%lld keys, but %lld values", (long long)keys.t.dim[0], (long long)values.t.dim[0]);
  if ((keys.t.dtype == TN_STR) != (x->dtype == TN_STR)) return tn_op_fail(c, "the keys are not of the input's type");
  if (!table_keys(c, &keys.t, &k, &temp[0], &size[0]) || !table_keys(c, x, &in, &temp[1], &size[1]) || !table_new(c, &t, k)) return;
  if (fill_start(c, &out, 0, dtype, x->rank, x->dim)) {
    for (int64_t i = 0; i < in.n; i++) {
      int64_t at = table_find(&t, &in, i, 1);
      put(&out, i, at < 0 ? dflt : &values.t, at < 0 ? 0 : at);
    }
    fill_end(c, &out);
  }
  table_free(c, &t);
  tn_free(c->f->run->m, temp[0], size[0]), tn_free(c->f->run->m, temp[1], size[1]);
}
typedef struct Default {
  tn_tensor t;
  tenon_str s;
  int64_t i;
  double f;
} Default;
static const tn_tensor *default_of(tn_call *c, int32_t dtype, Default *d) {
  const tn_attr *a = call_attr(c, "default_string"), *tensor = call_attr(c, "default_tensor");
  if (tensor) return tensor->t;
  d->s = a ? a->strings[0] : (tenon_str){"_Unused", 7};
  d->i = call_int(c, "default_int64", -1), d->f = call_float(c, "default_float", -0.0);
  d->t = (tn_tensor){.dtype = dtype == TN_STR ? TN_STR : dtype == TN_F32 || dtype == TN_F64 ? TN_F64 : TN_I64};
  d->t.data = d->t.dtype == TN_STR ? (void *)&d->s : d->t.dtype == TN_F64 ? (void *)&d->f : &d->i;
  return &d->t;
}
tn_op tn_op_label_encoder, tn_op_category_mapper;
void tn_op_label_encoder(tn_call *c) {
  tn_tensor x;
  Default d;
  List keys = list(c, "keys_strings", "keys_int64s", "keys_floats", "keys_tensor");
  List values = list(c, "values_strings", "values_int64s", "values_floats", "values_tensor");
  if (!op_in(c, 0, &x)) return;
  if (!keys.t.data || !values.t.data) return tn_op_fail(c, "keys or values are missing");
  encode(c, &x, keys, values, default_of(c, values.t.dtype, &d));
}
void tn_op_category_mapper(tn_call *c) {
  tn_tensor x;
  Default d;
  List strings = list(c, "cats_strings", NULL, NULL, NULL), ints = list(c, NULL, "cats_int64s", NULL, NULL);
  if (!op_in(c, 0, &x)) return;
  if (!strings.t.data || !ints.t.data) return tn_op_fail(c, "cats_strings or cats_int64s is missing");
  bool to_int = x.dtype == TN_STR;
  encode(c, &x, to_int ? strings : ints, to_int ? ints : strings, default_of(c, to_int ? TN_I64 : TN_STR, &d));
}
/* Of strings; numbers are kernels. */
tn_op tn_op_one_hot_encoder;
void tn_op_one_hot_encoder(tn_call *c) {
  tn_tensor x;
  Keys k, in;
  Table t;
  int64_t *temp[2], dim[TN_MAX_RANK], cats;
  uint64_t size[2];
  if (!op_in(c, 0, &x)) return;
  List keys = list(c, "cats_strings", NULL, NULL, NULL);
  if (!keys.t.data || x.rank == TN_MAX_RANK) return tn_op_fail(c, "there are no categories of the input's type, or too many dimensions");
  if (!table_keys(c, &keys.t, &k, &temp[0], &size[0]) || !table_new(c, &t, k)) return;
  tn_tensor whole = x;
  if (!table_keys(c, &whole, &in, &temp[1], &size[1])) return table_free(c, &t);
  memcpy(dim, x.dim, sizeof dim), dim[x.rank] = cats = keys.t.dim[0];
  float *to = op_out(c, 0, TN_F32, x.rank + 1, dim);
  for (int64_t i = 0; to && i < in.n; i++) {
    int64_t at = table_find(&t, &in, i, 1);
    memset(to + i * cats, 0, (size_t)cats * 4);
    if (at >= 0) to[i * cats + at] = 1;
    else if (!call_int(c, "zeros", 1)) {
      tn_op_fail(c, "element %lld is no known category", (long long)i);
      break;
    }
  }
  table_free(c, &t);
  tn_free(c->f->run->m, temp[0], size[0]), tn_free(c->f->run->m, temp[1], size[1]);
}

/* ---- maps: item[0] the keys, 1-D; item[1] the values, 1-D, or a sequence of scalars ---- */
static bool map_value(const tenon_value *m, int64_t i, tn_tensor *t, int64_t *at) { /* value i is t[at] */
  const tenon_value *v = &m->item[1];
  if (v->kind == TENON_TENSOR) return tensor_of_val(v, t), *at = i, true;
  tensor_of_val(&v->item[i], t), *at = 0;
  return tensor_size(t) == 1;
}
static const tenon_value *map_operand(tn_call *c) {
  const tenon_value *v = op_val(c, 0);
  if (v && v->kind == TENON_MAP && v->n == 2) return v;
  tn_op_fail(c, "the operand is no map");
  return NULL;
}
tn_op tn_op_zip_map;
void tn_op_zip_map(tn_call *c) {
  tn_tensor x;
  tenon_value seq, keys;
  List labels = list(c, "classlabels_strings", "classlabels_int64s", NULL, NULL);
  if (!op_in(c, 0, &x)) return;
  int64_t rows = x.rank == 2 ? x.dim[0] : 1, n = x.rank ? x.dim[x.rank - 1] : 1;
  if (x.rank > 2 || !labels.t.data || labels.t.dim[0] != n)
    return tn_op_fail(c, "%lld columns, but %lld class labels", (long long)n, (long long)labels.t.dim[0]);
  bool ok = val_of_tensor(c, &keys, &labels.t);
  if (!ok || !val_items(c, &seq, TENON_SEQUENCE, (uint64_t)rows)) return;
  uint64_t bytes = tn_bytes(x.dtype, (uint64_t)n);
  for (int64_t r = 0; r < rows && ok; r++) {
    tenon_value *m = &seq.item[r];
    if (!(ok = val_items(c, m, TENON_MAP, 2)) || !(ok = val_tensor(c, &m->item[1], x.dtype, 1, &n, 0))) break;
    val_share(&m->item[0], &keys);
    if (bytes) memcpy(m->item[1].t.data, (const char *)x.data + (uint64_t)r * bytes, bytes);
  }
  val_drop(c, &keys);
  if (ok) op_out_val(c, 0, &seq);
  else val_drop(c, &seq);
}
tn_op tn_op_dict_vectorizer;
void tn_op_dict_vectorizer(tn_call *c) {
  const tenon_value *m = map_operand(c);
  List words = list(c, "string_vocabulary", "int64_vocabulary", NULL, NULL);
  tn_tensor keys, t;
  Keys k, in;
  Table table;
  Fill out;
  int64_t *temp[2], at, dim[2] = {1, words.t.dim[0]};
  uint64_t size[2];
  if (!m) return;
  if (!words.t.data) return tn_op_fail(c, "there is no vocabulary");
  tensor_of_val(&m->item[0], &keys);
  if ((keys.dtype == TN_STR) != (words.t.dtype == TN_STR)) return tn_op_fail(c, "the vocabulary is not of the keys' type");
  int64_t n = tensor_size(&keys), zero = 0;
  tenon_str none = {"", 0};
  int32_t dtype = n && map_value(m, 0, &t, &at) ? t.dtype : result_dtype(c, TN_F32);
  tn_tensor blank = {dtype == TN_STR ? (void *)&none : &zero, dtype == TN_STR ? TN_STR : TN_I64, 0, {0}};
  if (!table_keys(c, &keys, &k, &temp[0], &size[0]) || !table_keys(c, &words.t, &in, &temp[1], &size[1]) || !table_new(c, &table, k))
    return;
  if (fill_start(c, &out, 0, dtype, 2, dim)) {
    for (int64_t i = 0; i < in.n; i++) {
      int64_t found = table_find(&table, &in, i, 1);
      if (found >= 0 && map_value(m, found, &t, &at)) put(&out, i, &t, at);
      else put(&out, i, &blank, 0);
    }
    fill_end(c, &out);
  }
  table_free(c, &table);
  tn_free(c->f->run->m, temp[0], size[0]), tn_free(c->f->run->m, temp[1], size[1]);
}

/* CastMap: the values in the order of their keys, or each at the place its key names. */
static bool cast_value(tn_call *c, Fill *out, int64_t at, const tn_tensor *t, int64_t i, Chars *text, uint64_t *end) {
  char buf[32];
  if (out->t.dtype == TN_STR) {
    if (t->dtype == TN_STR) {
      tenon_str s = ((const tenon_str *)t->data)[i];
      chars_add(c, text, s.data, s.len);
    } else {
      bool is_float = t->dtype == TN_F32 || t->dtype == TN_F64;
      int n = is_float ? number_print(tensor_f64(t, i), t->dtype == TN_F32 ? 24 : 53, buf) : number_print_int(tensor_i64(t, i), false, buf);
      chars_add(c, text, buf, (uint64_t)n);
    }
    return end[at] = text->n, true;
  }
  double v = 0;
  int64_t x = 0;
  bool big = false, is_int = out->t.dtype == TN_I64;
  if (t->dtype != TN_STR) return put(out, at, t, i), true;
  tenon_str s = ((const tenon_str *)t->data)[i];
  if (is_int ? !number_parse_int(s, &x, &big) || big : !number_parse(s, 24, &v))
    return tn_op_fail(c, "'%.*s' is no number", s.len < 60 ? (int)s.len : 60, s.data), false;
  tn_tensor one = {is_int ? (void *)&x : &v, is_int ? TN_I64 : TN_F64, 0, {0}};
  return put(out, at, &one, 0), true;
}
/* which[j]: the position in the map of the value that goes to place j, or -1. */
static bool cast_order(tn_call *c, const tn_tensor *keys, bool sparse, int64_t places, int64_t *which) {
  int64_t n = tensor_size(keys);
  for (int64_t j = 0; j < places; j++) which[j] = sparse ? -1 : j;
  for (int64_t i = 0; i < n; i++) {
    int64_t k = tensor_i64(keys, i);
    if (sparse && (k < 0 || k >= places)) return tn_op_fail(c, "key %lld is not in [0,%lld]", (long long)k, (long long)places - 1), false;
    if (sparse) which[k] = i;
    for (int64_t j = i; !sparse && j && tensor_i64(keys, which[j - 1]) > tensor_i64(keys, which[j]); j--) {
      int64_t t = which[j];
      which[j] = which[j - 1], which[j - 1] = t;
    }
  }
  return true;
}
tn_op tn_op_cast_map;
void tn_op_cast_map(tn_call *c) {
  const tenon_value *m = map_operand(c);
  bool sparse = call_is(c, "map_form", "SPARSE");
  int32_t dtype = call_is(c, "cast_to", "TO_STRING") ? TN_STR : call_is(c, "cast_to", "TO_INT64") ? TN_I64 : TN_F32;
  tn_tensor keys, t;
  if (!m) return;
  tensor_of_val(&m->item[0], &keys);
  if (keys.dtype == TN_STR) return tn_op_fail(c, "the keys are strings");
  int64_t dim[2] = {1, sparse ? call_int(c, "max_map", 1) : tensor_size(&keys)}, n = dim[1], zero = 0, at;
  uint64_t size;
  int64_t *which = op_temp(c, (uint64_t)n * 16, &size);
  uint64_t *end = (uint64_t *)which + n;
  Fill out = {.t = {.dtype = dtype}};
  Chars text = {0};
  if (!which) return;
  bool ok = cast_order(c, &keys, sparse, n, which) && (dtype == TN_STR || fill_start(c, &out, 0, dtype, 2, dim));
  for (int64_t j = 0; j < n && ok; j++) {
    tn_tensor none = {&zero, TN_I64, 0, {0}};
    if (which[j] >= 0 && map_value(m, which[j], &t, &at)) ok = cast_value(c, &out, j, &t, at, &text, end);
    else if (dtype == TN_STR) end[j] = text.n;
    else put(&out, j, &none, 0);
  }
  tenon_value v;
  if (ok && dtype == TN_STR && val_strings(c, &v, 2, dim, &text, end)) op_out_val(c, 0, &v);
  chars_free(c, &text), tn_free(c->f->run->m, which, size);
}

/* ---- TfIdfVectorizer ---- */
typedef struct Grams { /* the n-grams of one length */
  Table table;
  int64_t first; /* number of the first of them among all */
} Grams;
enum { MAX_GRAM = 16 };
typedef struct Tfidf {
  Grams gram[MAX_GRAM + 1];
  int64_t least, most, skips, columns;
  const tn_attr *column;
} Tfidf;
static void count_row(const Tfidf *k, const Keys *in, int64_t row, int64_t n, float *to) {
  for (int64_t skip = 1; skip <= k->skips + 1; skip++)
    for (int64_t len = k->least; len <= k->most; len++) {
      if (len == 1 && skip > 1) continue; /* single words have nothing to skip */
      const Grams *g = &k->gram[len];
      for (int64_t i = 0; g->table.keys.n && i + (len - 1) * skip < n; i++) {
        int64_t found = table_find(&g->table, in, row * n + i, skip);
        if (found >= 0) to[k->column->ints[g->first + found]]++;
      }
    }
}
static void weigh(tn_call *c, const Tfidf *k, float *to) {
  const tn_attr *w = call_attr(c, "weights");
  bool tf = call_is(c, "mode", "TF"), idf = call_is(c, "mode", "IDF");
  if (tf) return;
  for (int64_t i = 0; i < k->column->n; i++) {
    float *x = &to[k->column->ints[i]], weight = w && i < w->n ? (float)w->floats[i] : 1;
    if (*x > 0) *x = idf ? weight : *x * weight;
  }
}
static bool read_grams(tn_call *c, Tfidf *k, const tn_tensor *pool, const int64_t *numbers) {
  const tn_attr *start = call_attr(c, "ngram_counts");
  int64_t total = pool->dim[0], first = 0;
  for (int32_t i = 0; start && i < start->n && i < MAX_GRAM; i++) {
    int64_t from = start->ints[i], to = i + 1 < start->n ? start->ints[i + 1] : total, len = i + 1;
    if (from < 0 || to < from || to > total || (to - from) % len) return tn_op_fail(c, "ngram_counts does not fit the pool"), false;
    Keys keys = {pool->dtype == TN_STR ? (const tenon_str *)pool->data + from : NULL, numbers ? numbers + from : NULL, (to - from) / len,
                 len};
    k->gram[len].first = first, first += keys.n;
    if (len >= k->least && len <= k->most && !table_new(c, &k->gram[len].table, keys)) return false;
  }
  for (int32_t i = 0; i < k->column->n; i++) {
    int64_t x = k->column->ints[i];
    if (x < 0 || x > 1 << 28) return tn_op_fail(c, "ngram_indexes holds %lld", (long long)x), false;
    if (x >= k->columns) k->columns = x + 1;
  }
  return first <= k->column->n ? true : (tn_op_fail(c, "%lld n-grams, but %d indexes", (long long)first, k->column->n), false);
}
tn_op tn_op_tfidf;
void tn_op_tfidf(tn_call *c) {
  tn_tensor x;
  Tfidf k = {
      .least = call_int(c, "min_gram_length", 1), .most = call_int(c, "max_gram_length", 1), .skips = call_int(c, "max_skip_count", 0)};
  List pool = list(c, "pool_strings", "pool_int64s", NULL, NULL);
  Keys in, pk;
  int64_t *temp[2] = {NULL, NULL};
  uint64_t size[2] = {0, 0};
  k.column = call_attr(c, "ngram_indexes");
  if (!op_in(c, 0, &x)) return;
  if (!k.column || !pool.t.data || k.least < 1 || k.most > MAX_GRAM || k.least > k.most || x.rank > 2 || x.rank < 1)
    return tn_op_fail(c, "the attributes are not valid");
  if ((pool.t.dtype == TN_STR) != (x.dtype == TN_STR)) return tn_op_fail(c, "the pool is not of the input's type");
  bool ok =
      table_keys(c, &pool.t, &pk, &temp[0], &size[0]) && table_keys(c, &x, &in, &temp[1], &size[1]) && read_grams(c, &k, &pool.t, pk.v);
  int64_t rows = x.rank == 2 ? x.dim[0] : 1, n = x.dim[x.rank - 1], dim[2] = {rows, k.columns};
  float *to = ok ? op_out(c, 0, TN_F32, x.rank, x.rank == 2 ? dim : dim + 1) : NULL;
  for (int64_t r = 0; to && r < rows; r++) {
    memset(to + r * k.columns, 0, (size_t)k.columns * 4);
    count_row(&k, &in, r, n, to + r * k.columns);
    weigh(c, &k, to + r * k.columns);
  }
  for (int i = 0; i <= MAX_GRAM; i++) table_free(c, &k.gram[i].table);
  tn_free(c->f->run->m, temp[0], size[0]), tn_free(c->f->run->m, temp[1], size[1]);
}
