/* main_value.c - values in the executable: reading what the command line names, making up what it does not. */
#include "main.h"
#include <string.h>

uint64_t value_count(const tenon_value *v) {
  uint64_t n = 1;
  for (int32_t k = 0; k < v->t.ndim; k++) n *= (uint64_t)v->t.shape[k];
  return n;
}
tenon_value value_tensor(int32_t dtype, int32_t rank, const int64_t *dim) {
  int64_t *shape = take(sizeof *shape * 8);
  uint64_t n = 1;
  for (int32_t k = 0; k < rank; k++) shape[k] = dim[k], n *= (uint64_t)dim[k];
  uint64_t bytes = tn_bytes(dtype, n);
  return tenon_dense(take(bytes), bytes, tn_dtypes[dtype].code, tn_dtypes[dtype].bits, rank, shape);
}

TypeText type_text(const char *s) {
  static const struct {
    const char *word;
    uint32_t kind;
  } row[] = {{"tensor(", TENON_TENSOR}, {"seq(", TENON_SEQUENCE}, {"optional(", TENON_OPTIONAL}, {"map(", TENON_MAP}};
  for (int i = 0; i < 4; i++) {
    uint64_t n = strlen(row[i].word), k = 0;
    if (memcmp(s, row[i].word, strlen(s) < n ? strlen(s) + 1 : n)) continue;
    const char *in = s + n;
    if (row[i].kind == TENON_SEQUENCE || row[i].kind == TENON_OPTIONAL) return (TypeText){row[i].kind, 0, in};
    while (in[k] && in[k] != ')' && in[k] != ',') k++;
    return (TypeText){row[i].kind, tn_dtype_named(in, k), row[i].kind == TENON_MAP && in[k] ? in + k + 1 : NULL};
  }
  return (TypeText){TENON_ABSENT, 0, NULL};
}

/* ---- made-up inputs: floats like N(0,1), from a fixed seed; integers 0, so that an index is in range ---- */
static uint64_t seed = 0x9e3779b97f4a7c15u;
static float normal(void) { /* the sum of twelve uniform numbers, minus its mean: close enough, and needs no logarithm */
  float sum = -6;
  for (int i = 0; i < 12; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    sum += (float)(seed >> 40) * 0x1p-24f;
  }
  return sum;
}
static uint16_t to_half(float f) { /* |f| < 8, rounds towards zero */
  uint32_t u;
  memcpy(&u, &f, 4);
  int32_t e = (int32_t)(u >> 23 & 255) - 112;
  return (uint16_t)((u >> 16 & 0x8000) | (e <= 0 ? 0 : (uint32_t)e << 10 | (u >> 13 & 1023)));
}
static void fill(tenon_value *v) {
  int32_t dtype = tn_dtype_of(v->t.dtype);
  uint64_t n = value_count(v);
  for (uint64_t i = 0; i < n; i++) {
    if (dtype == TN_F32) ((float *)v->t.data)[i] = normal();
    else if (dtype == TN_F64) ((double *)v->t.data)[i] = (double)normal();
    else if (dtype == TN_F16) ((uint16_t *)v->t.data)[i] = to_half(normal());
    else if (dtype == TN_BF16) {
      float f = normal();
      memcpy((uint16_t *)v->t.data + i, (char *)&f + 2, 2);
    } else return;
  }
}
static int64_t dim_of(const Main *m, const tenon_io *io, int32_t k) {
  if (io->dim[k] >= 0) return io->dim[k];
  for (int i = m->n_dim - 1; i >= 0; i--)
    if (strlen(io->dim_name[k]) == m->dim[i].len && !memcmp(io->dim_name[k], m->dim[i].name, m->dim[i].len)) return m->dim[i].value;
  return io->dim_min[k] > 1 || io->dim_max[k] < 1 ? io->dim_min[k] : 1;
}
static tenon_value made_up(const Main *m, const tenon_io *io) {
  if (io->kind != TENON_TENSOR) {
    tenon_value v = {.kind = io->kind};
    TypeText t = type_text(io->type);
    if (io->kind != TENON_MAP) return v;
    v.n = 2, v.item = take(2 * sizeof v); /* an empty map */
    v.item[0] = value_tensor(t.dtype ? t.dtype : TN_I64, 1, (int64_t[]){0});
    v.item[1] = (tenon_value){.kind = TENON_SEQUENCE};
    return v;
  }
  int64_t dim[8];
  for (int32_t k = 0; k < io->rank; k++) dim[k] = dim_of(m, io, k);
  tenon_value v = value_tensor(tn_dtype_of(io->dtype), io->rank, dim);
  fill(&v);
  return v;
}

static bool ends_in(const char *s, const char *suffix) {
  uint64_t n = strlen(s), k = strlen(suffix);
  return n >= k && !memcmp(s + n - k, suffix, k);
}
static int read_value(const tenon_io *io, const char *path, tenon_value *v) {
  File f;
  if (!file_map(path, &f)) return complain(MAIN_READ, "cannot read %s", path);
  bool npy = f.n >= 6 && !memcmp(f.p, "\x93NUMPY", 6);
  if (!npy && ends_in(path, ".npy")) return complain(MAIN_READ, "%s: not a .npy file", path);
  const char *bad = npy ? npy_read(f, io, v) : pb_read(f, io->type, v);
  return bad ? complain(MAIN_READ, "%s: %s (input '%s' is %s)", path, bad, io->name, io->type) : 0;
}
int main_inputs(Main *m, bool make_missing) {
  for (uint32_t i = 0; i < m->api->n_in; i++) {
    const tenon_io *io = m->api->in[i];
    bool optional = io->kind == TENON_OPTIONAL || io->flags & TENON_IO_OPTIONAL;
    int bad = 0;
    if (m->file[i]) bad = read_value(io, m->file[i], &m->in[i]);
    else if (optional) m->in[i] = (tenon_value){.kind = io->kind == TENON_OPTIONAL ? TENON_OPTIONAL : TENON_ABSENT};
    else if (make_missing) m->in[i] = made_up(m, io);
    else bad = complain(MAIN_INPUT, "input '%s' (%s) is missing: --input %s=FILE", io->name, io->type, io->name);
    if (bad) return bad;
  }
  return 0;
}
