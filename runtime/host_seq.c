/* host_seq.c - sequences and optionals, and values as they are. */
#include "host.h"
#include <string.h>

/* ---- values ---- */
static bool take_operand(tn_call *c, uint32_t i, tenon_value *v) { /* a value of its own for operand i */
  if (!op_has(c, i)) return tn_op_fail(c, "operand %u is missing", i), false;
  if (c->in[i].t) return val_of_tensor(c, v, c->in[i].t);
  val_share(v, *c->in[i].h);
  return true;
}
tn_op tn_op_copy, tn_op_constant;
void tn_op_copy(tn_call *c) {
  tenon_value v;
  if (!op_has(c, 0) && c->out[0].h) tn_value_drop(c->f->run->m, c->out[0].h); /* absent stays absent */
  else if (take_operand(c, 0, &v)) op_out_val(c, 0, &v);
}
void tn_op_constant(tn_call *c) {
  const tn_attr *a = call_attr(c, "value");
  tenon_value v;
  if (!a) return tn_op_fail(c, "has no value");
  if (val_of_tensor(c, &v, a->t)) op_out_val(c, 0, &v);
}

/* ---- sequences ---- */
static const tenon_value *sequence(tn_call *c, uint32_t i) {
  const tenon_value *v = op_val(c, i);
  if (v && v->kind == TENON_OPTIONAL && v->n) v = v->item;
  if (v && v->kind == TENON_SEQUENCE) return v;
  tn_op_fail(c, "operand %u is no sequence", i);
  return NULL;
}
/* Operand i as a position in 0..n-1, n included where something is inserted; a missing one is `dflt`. */
static bool position(tn_call *c, uint32_t i, int64_t n, bool inserts, int64_t *at) {
  tn_tensor t;
  int64_t hi = inserts ? n : n - 1;
  *at = inserts ? n : n - 1;
  if (!op_in(c, i, &t)) return n || inserts ? true : (tn_op_fail(c, "the sequence is empty"), false);
  int64_t p = tensor_i64(&t, 0);
  *at = p < 0 ? p + n : p;
  if (*at >= 0 && *at <= hi) return true;
  tn_op_fail(c, "position %lld is not in [%lld,%lld]", (long long)p, (long long)-n, (long long)hi);
  return false;
}
tn_op tn_op_sequence_empty, tn_op_sequence_construct, tn_op_sequence_insert, tn_op_sequence_erase, tn_op_sequence_at, tn_op_sequence_length;
void tn_op_sequence_empty(tn_call *c) {
  tenon_value v;
  if (val_items(c, &v, TENON_SEQUENCE, 0)) op_out_val(c, 0, &v);
}
void tn_op_sequence_construct(tn_call *c) {
  tenon_value v;
  if (!val_items(c, &v, TENON_SEQUENCE, c->n_in)) return;
  for (uint32_t i = 0; i < c->n_in; i++)
    if (!take_operand(c, i, &v.item[i])) return val_drop(c, &v);
  op_out_val(c, 0, &v);
}
void tn_op_sequence_insert(tn_call *c) {
  const tenon_value *s = sequence(c, 0);
  tenon_value v;
  int64_t at;
  if (!s || !position(c, 2, (int64_t)s->n, true, &at) || !val_items(c, &v, TENON_SEQUENCE, s->n + 1)) return;
  for (uint64_t i = 0; i < s->n; i++) val_share(&v.item[i + (i >= (uint64_t)at)], &s->item[i]);
  if (!take_operand(c, 1, &v.item[at])) return val_drop(c, &v);
  op_out_val(c, 0, &v);
}
void tn_op_sequence_erase(tn_call *c) {
  const tenon_value *s = sequence(c, 0);
  tenon_value v;
  int64_t at;
  if (!s || !position(c, 1, (int64_t)s->n, false, &at) || !val_items(c, &v, TENON_SEQUENCE, s->n - 1)) return;
  for (uint64_t i = 0; i + 1 < s->n; i++) val_share(&v.item[i], &s->item[i + (i >= (uint64_t)at)]);
  op_out_val(c, 0, &v);
}
void tn_op_sequence_at(tn_call *c) {
  const tenon_value *s = sequence(c, 0);
  tenon_value v;
  int64_t at;
  if (!s || !position(c, 1, (int64_t)s->n, false, &at)) return;
  val_share(&v, &s->item[at]);
  op_out_val(c, 0, &v);
}
void tn_op_sequence_length(tn_call *c) {
  const tenon_value *s = sequence(c, 0);
  int64_t *n = s ? op_out(c, 0, TN_I64, 0, NULL) : NULL;
  if (n) *n = (int64_t)s->n;
}

/* ---- tensors cut and joined along an axis: pieces are runs of bytes ---- */
/* Rows from..from+n of the axis, as a value of its own. */
static bool slice(tn_call *c, const tn_tensor *t, const Cut *k, int64_t from, int64_t n, int32_t rank, const int64_t *dim, tenon_value *v) {
  uint64_t e = tn_dtypes[t->dtype].stored / 8u, run = (uint64_t)(n * k->inner) * e, size;
  char *to = op_temp(c, (uint64_t)k->outer * run, &size);
  if (!to) return false;
  for (int64_t o = 0; o < k->outer && run; o++)
    memcpy(to + (uint64_t)o * run, (const char *)t->data + (uint64_t)((o * k->n + from) * k->inner) * e, run);
  tn_tensor piece = {to, t->dtype, rank, {0}};
  if (rank) memcpy(piece.dim, dim, (size_t)rank * 8);
  bool ok = val_of_tensor(c, v, &piece);
  tn_free(c->f->run->m, to, size);
  return ok;
}
typedef struct Lengths { /* of the pieces */
  tn_tensor t;
  int64_t each, n; /* each: one length for all but the last, or 0: listed in t */
} Lengths;
static bool lengths(tn_call *c, int64_t total, Lengths *l) {
  *l = (Lengths){.each = 1, .n = total};
  if (!op_in(c, 1, &l->t)) return true;
  if (!l->t.rank) {
    l->each = tensor_i64(&l->t, 0);
    if (l->each <= 0) return tn_op_fail(c, "pieces of length %lld", (long long)l->each), false;
    l->n = (total + l->each - 1) / l->each;
    return true;
  }
  int64_t sum = 0;
  l->each = 0, l->n = tensor_size(&l->t);
  for (int64_t i = 0; i < l->n; i++) {
    int64_t x = tensor_i64(&l->t, i);
    if (x < 0 || x > total - sum) return tn_op_fail(c, "the pieces' lengths do not add up to %lld", (long long)total), false;
    sum += x;
  }
  if (sum != total) return tn_op_fail(c, "the pieces' lengths add up to %lld, not to %lld", (long long)sum, (long long)total), false;
  return true;
}
tn_op tn_op_split_to_sequence, tn_op_concat_from_sequence;
void tn_op_split_to_sequence(tn_call *c) {
  tn_tensor t;
  Cut k;
  Lengths l;
  tenon_value v;
  int64_t dim[TN_MAX_RANK], from = 0;
  if (!op_in(c, 0, &t) || !cut_at(c, &t, call_int(c, "axis", 0), &k) || !lengths(c, k.n, &l)) return;
  bool squeeze = !op_has(c, 1) && !call_int(c, "keepdims", 1);
  if (!val_items(c, &v, TENON_SEQUENCE, (uint64_t)l.n)) return;
  for (int64_t i = 0; i < l.n; i++) {
    int64_t n = l.each ? (from + l.each <= k.n ? l.each : k.n - from) : tensor_i64(&l.t, i);
    int32_t rank = 0;
    for (int32_t a = 0; a < t.rank; a++)
      if (a != k.axis || !squeeze) dim[rank++] = a == k.axis ? n : t.dim[a];
    if (!slice(c, &t, &k, from, n, rank, dim, &v.item[i])) return val_drop(c, &v);
    from += n;
  }
  op_out_val(c, 0, &v);
}
/* The result's dims; every item must agree with the first outside the axis. */
static bool joined_dims(tn_call *c, const tenon_value *s, int64_t axis, bool fresh, tn_tensor *r) {
  tn_tensor t;
  tensor_of_val(&s->item[0], r);
  int32_t rank = r->rank + fresh;
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= rank || rank > TN_MAX_RANK) return tn_op_fail(c, "axis %lld does not exist", (long long)axis), false;
  if (fresh) {
    for (int64_t a = r->rank; a > axis; a--) r->dim[a] = r->dim[a - 1];
    r->dim[axis] = 1, r->rank = rank;
  }
  int64_t sum = 0;
  for (uint64_t i = 0; i < s->n; i++) {
    tensor_of_val(&s->item[i], &t);
    bool fits = t.rank + fresh == rank && t.dtype == r->dtype;
    for (int32_t a = 0; fits && a < rank; a++)
      if (a != axis) fits = r->dim[a] == t.dim[a - (fresh && a > axis)];
    if (!fits) return tn_op_fail(c, "item %llu of the sequence does not fit to item 0", (unsigned long long)i), false;
    sum += fresh ? 1 : t.dim[axis];
  }
  r->dim[axis] = sum;
  return true;
}
static void join(const tenon_value *s, const tn_tensor *r, int64_t axis, char *to) {
  uint64_t e = tn_dtypes[r->dtype].stored / 8u, pitch = e, at = 0, outer = 1;
  for (int32_t a = r->rank - 1; a >= axis; a--) pitch *= (uint64_t)r->dim[a];
  for (int32_t a = 0; a < axis; a++) outer *= (uint64_t)r->dim[a];
  for (uint64_t i = 0; i < s->n; i++) {
    tn_tensor t;
    tensor_of_val(&s->item[i], &t);
    uint64_t run = e;
    for (int32_t a = t.rank - 1; a >= axis; a--) run *= (uint64_t)t.dim[a];
    for (uint64_t o = 0; o < outer && run; o++) memcpy(to + o * pitch + at, (const char *)t.data + o * run, run);
    at += run;
  }
}
void tn_op_concat_from_sequence(tn_call *c) {
  const tenon_value *s = sequence(c, 0);
  bool fresh = call_int(c, "new_axis", 0);
  int64_t axis = call_int(c, "axis", 0);
  tn_tensor r;
  if (!s) return;
  if (!s->n) return tn_op_fail(c, "the sequence is empty");
  if (!joined_dims(c, s, axis, fresh, &r)) return;
  if (axis < 0) axis += r.rank;
  if (tn_dtypes[r.dtype].stored < 8) return tn_op_fail(c, "%s tensors cannot be joined here", tn_dtypes[r.dtype].name);
  Fill f;
  if (!fill_start(c, &f, 0, r.dtype, r.rank, r.dim)) return;
  join(s, &r, axis, f.t.data);
  fill_end(c, &f);
}

/* ---- optionals ---- */
static bool has_element(const tn_call *c, uint32_t i) {
  const tenon_value *v = op_val(c, i);
  return op_has(c, i) && (!v || v->kind != TENON_OPTIONAL || v->n);
}
tn_op tn_op_optional, tn_op_optional_has_element, tn_op_optional_get_element;
void tn_op_optional(tn_call *c) {
  tenon_value v;
  bool some = op_has(c, 0);
  if (!val_items(c, &v, TENON_OPTIONAL, some)) return;
  if (some && !take_operand(c, 0, v.item)) return val_drop(c, &v);
  op_out_val(c, 0, &v);
}
void tn_op_optional_has_element(tn_call *c) {
  uint8_t *b = op_out(c, 0, TN_BOOL, 0, NULL);
  if (b) *b = has_element(c, 0);
}
void tn_op_optional_get_element(tn_call *c) {
  const tenon_value *o = op_val(c, 0);
  tenon_value v;
  if (!has_element(c, 0)) return tn_op_fail(c, "the optional holds no element");
  if (o && o->kind == TENON_OPTIONAL) val_share(&v, o->item);
  else if (!take_operand(c, 0, &v)) return;
  op_out_val(c, 0, &v);
}
