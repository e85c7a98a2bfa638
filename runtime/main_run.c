/* main_run.c - the verbs run and info: results to files, or short summaries to the terminal. */
#include "main.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- summaries ---- */
static double number_at(const tenon_value *v, uint64_t i, bool *known) {
  const char *p = (const char *)v->t.data + v->t.byte_offset;
  *known = true;
  switch (tn_dtype_of(v->t.dtype)) {
  case TN_F32: return (double)((const float *)(const void *)p)[i];
  case TN_F64: return ((const double *)(const void *)p)[i];
  case TN_I64: return (double)((const int64_t *)(const void *)p)[i];
  case TN_U64: return (double)((const uint64_t *)(const void *)p)[i];
  case TN_I32: return ((const int32_t *)(const void *)p)[i];
  case TN_U32: return ((const uint32_t *)(const void *)p)[i];
  case TN_I16: return ((const int16_t *)(const void *)p)[i];
  case TN_U16: return ((const uint16_t *)(const void *)p)[i];
  case TN_I8: return ((const signed char *)p)[i];
  case TN_U8:
  case TN_BOOL: return ((const unsigned char *)p)[i];
  default: *known = false; return 0;
  }
}
static void show_string(tenon_str s) { /* control characters as \xNN */
  say(1, " \"");
  for (uint64_t i = 0; i < s.len && i < 60; i++) {
    unsigned char c = (unsigned char)s.data[i];
    say(1, c < 32 || c == 127 ? "\\x%02x" : "%c", c);
  }
  say(1, s.len > 60 ? "..\"" : "\"");
}
static void show_tensor(const tenon_value *v) {
  uint64_t n = value_count(v);
  bool known;
  say(1, "%s [", tn_dtypes[tn_dtype_of(v->t.dtype)].name);
  for (int32_t k = 0; k < v->t.ndim; k++) say(1, k ? ",%lld" : "%lld", (long long)v->t.shape[k]);
  say(1, "]");
  for (uint64_t i = 0; i < n && i < 8; i++) {
    if (tn_dtype_of(v->t.dtype) == TN_STR) {
      show_string(((const tenon_str *)v->t.data)[i]);
      continue;
    }
    double x = number_at(v, i, &known);
    if (!known) break;
    say(1, " %.6g", x);
  }
  say(1, n > 8 ? " ..\n" : "\n");
}
static void show(const tenon_value *v, int depth) {
  static const char *const name[] = {"absent", "tensor", "sequence", "optional", "map"};
  if (v->kind == TENON_TENSOR) {
    show_tensor(v);
    return;
  }
  say(1, "%s%s\n", name[v->kind <= TENON_MAP ? v->kind : 0], v->kind == TENON_OPTIONAL && !v->n ? " (none)" : "");
  for (uint64_t i = 0; i < v->n && i < 8 && depth < 4; i++) {
    say(1, "%*s", 2 * depth + 4, "");
    show(&v->item[i], depth + 1);
  }
  if (v->n > 8) say(1, "%*s.. %llu in all\n", 2 * depth + 4, "", (unsigned long long)v->n);
}

/* ---- run ---- */
static bool as_npy(const Main *m, const tenon_io *io) {
  if (m->format) return !strcmp(m->format, "npy");
  return io->kind == TENON_TENSOR && npy_holds(io->dtype);
}
static int check_format(const Main *m) { /* before any work is done */
  for (uint32_t k = 0; m->out_dir && k < m->api->n_out; k++) {
    const tenon_io *io = m->api->out[k];
    if (as_npy(m, io) && !(io->kind == TENON_TENSOR && npy_holds(io->dtype)))
      return complain(MAIN_USAGE, "output '%s' is %s, which .npy cannot hold: use --output-format pb", io->name, io->type);
  }
  return 0;
}
static int write_output(const Main *m, uint32_t k) {
  char path[4096];
  const tenon_io *io = m->api->out[k];
  bool npy = as_npy(m, io);
  if (snprintf(path, sizeof path, "%s/output_%u.%s", m->out_dir, k, npy ? "npy" : "pb") >= (int)sizeof path)
    return complain(MAIN_WRITE, "the name %s is too long", m->out_dir);
  const char *bad = npy ? (npy_write(path, &m->out[k]) ? NULL : "cannot be written") : pb_write(path, &m->out[k], io->type, io->name);
  return bad ? complain(MAIN_WRITE, "%s: %s", path, bad) : 0;
}
int verb_run(Main *m) {
  int bad = check_format(m);
  if (!bad) bad = main_open(m);
  if (!bad) bad = main_inputs(m, false);
  if (bad) return bad;
  main_outputs(m);
  if ((bad = main_status(m, m->api->run(m->ctx, m->in, m->out, NULL)))) return bad;
  if (m->out_dir) syscall(SYS_mkdirat, AT_FDCWD, m->out_dir, 0777); /* it may be there; if not, writing says so */
  for (uint32_t k = 0; k < m->api->n_out && !bad; k++) {
    if (m->out_dir) bad = write_output(m, k);
    else say(1, "%s: ", m->api->out[k]->name), show(&m->out[k], 0);
  }
  m->api->release(m->ctx), m->api->close(m->model);
  return bad;
}

/* ---- info ---- */
static void show_io(const char *what, const tenon_io *io) {
  say(1, "%s %s: %s", what, io->name, io->type);
  if (io->rank >= 0) {
    say(1, " [");
    for (int32_t k = 0; k < io->rank; k++) {
      if (io->dim[k] >= 0) say(1, k ? ",%lld" : "%lld", (long long)io->dim[k]);
      else say(1, k ? ",%s" : "%s", *io->dim_name[k] ? io->dim_name[k] : "?");
    }
    say(1, "]");
  }
  for (int32_t k = 0; k < io->rank; k++)
    if (io->dim[k] < 0 && *io->dim_name[k] && strcmp(what, "output"))
      say(1, "  %s: %lld..%lld", io->dim_name[k], (long long)io->dim_min[k], (long long)io->dim_max[k]);
  say(1, io->kind == TENON_OPTIONAL || io->flags & TENON_IO_OPTIONAL ? "  (may be left out)\n" : "\n");
}
/* One member of the info object: ours, so plain text is enough; a string is shown without its quotes. */
static void show_key(const char *info, const char *key, const char *label) {
  char pattern[64];
  snprintf(pattern, sizeof pattern, "\"%s\":", key);
  const char *p = strstr(info, pattern);
  if (!p) return;
  p += strlen(pattern);
  bool text = *p == '"';
  const char *end = p += text;
  while (*end && (text ? *end != '"' : *end != ',' && *end != '}')) end += *end == '\\' && end[1] ? 2 : 1;
  if (end > p) say(1, "%s: %.*s\n", label, (int)(end - p), p);
}
int verb_info(Main *m) {
  const tenon_api *a = m->api;
  static const char *const keys[][2] = {
      {"target", "target"},        {"weights", "weight bytes"}, {"workspace", "workspace bytes"},  {"scratch", "bytes per thread"},
      {"kernels", "kernels"},      {"opsets", "opsets"},        {"source_sha256", "model sha256"}, {"flags", "flags"},
      {"gemm", "matrix products"}, {"tenon", "compiler"}};
  if (m->json) return write(1, a->info, strlen(a->info)) < 0 || write(1, "\n", 1) < 0 ? MAIN_WRITE : 0;
  say(1, "%s\n", a->name);
  for (uint32_t i = 0; i < a->n_in; i++) show_io("input", a->in[i]);
  for (uint32_t i = 0; i < a->n_out; i++) show_io("output", a->out[i]);
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) show_key(a->info, keys[k][0], keys[k][1]);
  return 0;
}
