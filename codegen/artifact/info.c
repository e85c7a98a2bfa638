// info.c - the JSON of tenon_api.info and of the provenance note. docs/abi.md has its schema.
#include "codegen/artifact/artifact.h"
#include <string.h>

static void put_type(Text *t, const Type *y) {
  switch (y->kind) {
  case TYPE_TENSOR: put(t, "tensor(%s)", dtypes[y->dtype].onnx_name); return;
  case TYPE_SPARSE: put(t, "sparse_tensor(%s)", dtypes[y->dtype].onnx_name); return;
  case TYPE_SEQUENCE: put(t, "seq("); break;
  case TYPE_OPTIONAL: put(t, "optional("); break;
  case TYPE_MAP: put(t, "map(%s,", dtypes[y->dtype].onnx_name); break;
  }
  put_type(t, y->elem);
  put(t, ")");
}
const char *onnx_type(const Type *y) {
  Text t = {0};
  put_type(&t, y);
  return t.p;
}

static void put_json(Text *t, const char *s) {
  put(t, "\"");
  for (; s && *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') put(t, "\\%c", c);
    else if (c < 32 || c == 127) put(t, "\\u%04x", c);
    else put_n(t, s, 1);
  }
  put(t, "\"");
}
static void put_io(Text *t, const HIo *io, bool output) {
  put(t, "{\"name\":");
  put_json(t, io->name);
  put(t, ",\"type\":\"%s\"", onnx_type(io->type));
  if (io->type->kind == TYPE_TENSOR && io->type->rank >= 0) {
    put(t, ",\"dims\":[");
    for (int a = 0; a < io->type->rank; a++) {
      int64_t k;
      if (a) put(t, ",");
      if (!io->type->dim[a]) put(t, "null");
      else if (ix_const(io->type->dim[a], &k)) put(t, "%lld", (long long)k);
      else put_json(t, ix_str(io->type->dim[a]));
    }
    put(t, "]");
  }
  if (!output && io->optional) put(t, ",\"optional\":true");
  if (io->pair >= 0) put(t, ",\"pair\":%d,\"axis\":%d", io->pair, io->pair_axis);
  put(t, "}");
}
static void put_ios(Text *t, const char *key, const HIo *io, int n, bool output) {
  put(t, ",\"%s\":[", key);
  for (int i = 0; i < n; i++) {
    if (i) put(t, ",");
    put_io(t, &io[i], output);
  }
  put(t, "]");
}
static bool is_bound(const Program *p, const Atom *a) { // is it the size of an input's dim?
  for (int i = 0; i < p->nin; i++)
    for (int k = 0; p->in[i].type->kind == TYPE_TENSOR && k < p->in[i].type->rank; k++)
      if (p->in[i].type->dim[k] && ix_is_atom(p->in[i].type->dim[k]) == a) return true;
  return false;
}
static void put_symbols(Text *t, const Program *p) {
  put(t, ",\"symbols\":[");
  for (int i = 0, n = 0; i < p->nentry; i++) {
    if (!is_bound(p, p->sym[i])) continue;
    put(t, n++ ? ",{\"name\":" : "{\"name\":");
    put_json(t, p->sym[i]->name);
    put(t, ",\"min\":%lld,\"max\":%lld}", (long long)p->sym[i]->lo, (long long)p->sym[i]->hi);
  }
  put(t, "]");
}
const char *info_json(Program *p, const ArtifactOptions *o) {
  Text t = {0};
  put(&t, "{\"tenon\":");
  put_json(&t, o->version);
  put(&t, ",\"name\":");
  put_json(&t, o->name);
  put_ios(&t, "inputs", p->in, p->nin, false);
  put_ios(&t, "outputs", p->out, p->nout, true);
  put_symbols(&t, p);
  put(&t, ",\"target\":");
  put_json(&t, p->target ? p->target : o->target->name);
  put(&t, ",\"kernels\":%d,\"weights\":%lld,\"workspace\":", p->nkernel, (long long)p->weights);
  put_json(&t, p->arena ? ix_str(p->arena) : "0");
  put(&t, ",\"scratch\":");
  put_json(&t, p->scratch ? ix_str(p->scratch) : "0");
  put(&t, ",\"opsets\":");
  put_json(&t, p->opsets ? p->opsets : "");
  put(&t, ",\"source_sha256\":");
  put_json(&t, p->source_sha256 ? p->source_sha256 : "");
  put(&t, ",\"flags\":");
  put_json(&t, p->flags ? p->flags : "");
  bool openblas = host_calls(p->body, "gemm_openblas");
  put(&t, ",\"gemm\":\"%s\",\"threads_change_bits\":%s", openblas ? "openblas" : "builtin", openblas ? "true" : "false");
  put(&t, ",\"runtime\":\"%s\"}", artifact_rt_hash());
  return t.p;
}
