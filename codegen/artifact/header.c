// header.c - <name>.h: names of inputs and outputs, ranges of the dims, the exported function, and where all values are dense tensors with
// sizes known from the inputs, a typed call as an inline function over the table, which is no part of the binary interface.
#include "codegen/artifact/artifact.h"
#include <ctype.h>
#include <string.h>

/* ---- C identifiers from ONNX names ---- */
typedef struct Names { // those taken in one scope
  const char **p;
  int n, cap;
} Names;
static bool is_keyword(const char *s) {
  static const char *const words[] = {
      "auto",     "bool",   "break",   "case",     "catch",    "char",      "class",  "const",    "continue", "default",  "delete",
      "do",       "double", "else",    "enum",     "explicit", "extern",    "false",  "float",    "for",      "friend",   "goto",
      "if",       "inline", "int",     "long",     "mutable",  "namespace", "new",    "operator", "private",  "public",   "register",
      "restrict", "return", "short",   "signed",   "sizeof",   "static",    "struct", "switch",   "template", "this",     "throw",
      "true",     "try",    "typedef", "typename", "union",    "unsigned",  "using",  "virtual",  "void",     "volatile", "while"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (!strcmp(s, words[i])) return true;
  return false;
}
static const char *clean(const char *s, bool upper) { // [A-Za-z0-9_] only, not starting with a digit
  Text t = {0};
  if (isdigit((unsigned char)*s) || !*s) put(&t, upper ? "N" : "n");
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    put(&t, "%c", c < 128 && isalnum(c) ? (upper ? toupper(c) : c) : '_');
  }
  return is_keyword(t.p) ? fmt("%s_", t.p) : t.p;
}
static const char *unique(Names *names, const char *s) {
  const char *base = s;
  for (int k = 2;; k++) {
    int i = 0;
    while (i < names->n && strcmp(names->p[i], s)) i++;
    if (i == names->n) break;
    s = fmt("%s_%d", base, k);
  }
  PUSH(names->p, names->n, names->cap, s);
  return s;
}

static const char *c_type(DType d) {
  switch (d) {
  case DT_F32:
  case DT_C64: return "float";
  case DT_F64:
  case DT_C128: return "double";
  case DT_I8: return "int8_t";
  case DT_I16: return "int16_t";
  case DT_I32: return "int32_t";
  case DT_I64: return "int64_t";
  case DT_U16:
  case DT_F16:
  case DT_BF16: return "uint16_t";
  case DT_U32: return "uint32_t";
  case DT_U64: return "uint64_t";
  default: return "uint8_t"; // bool, float8, and packed types
  }
}
static void put_shape(Text *t, const Type *y) {
  put(t, "%s [", dtypes[y->dtype].onnx_name);
  for (int a = 0; a < y->rank; a++) put(t, "%s%s", a ? "," : "", y->dim[a] ? ix_str(y->dim[a]) : "?");
  put(t, "]");
}
static void put_names(Text *t, const char *up, const char *what, const HIo *io, int n) {
  Names taken = {0};
  put(t, "enum {");
  for (int i = 0; i < n; i++) put(t, " %s_%s_%s = %d,", up, what, unique(&taken, clean(io[i].name, true)), i);
  put(t, " %s_N_%s = %d };\n", up, what, n);
}

/* ---- the dims a caller passes ---- */
typedef struct Args {
  Atom *sym[256];
  const char *name[256];
  int n;
} Args;
static int arg_of(const Args *d, const Atom *a) {
  for (int i = 0; i < d->n; i++)
    if (d->sym[i] == a) return i;
  return -1;
}
static bool collect_dims(const Program *p, Args *d, Names *taken) { // false: a dim of an input is no plain symbol
  for (int i = 0; i < p->nin; i++)
    for (int k = 0; p->in[i].type->kind == TYPE_TENSOR && k < p->in[i].type->rank; k++) {
      IExpr *e = p->in[i].type->dim[k];
      Atom *a = e ? ix_is_atom(e) : NULL;
      if (e && ix_const(e, NULL)) continue;
      if (!a || a->kind != ATOM_SYM || a->def || d->n == 256) return false;
      if (arg_of(d, a) >= 0) continue;
      d->sym[d->n] = a, d->name[d->n++] = unique(taken, clean(a->name, false));
    }
  return true;
}
static void put_ranges(Text *t, const char *up, const Args *d) {
  Names taken = {0};
  for (int i = 0; i < d->n; i++) {
    const char *s = unique(&taken, clean(d->sym[i]->name, true));
    long long lo = d->sym[i]->lo, hi = d->sym[i]->hi;
    put(t, "enum { %s_%s_MIN = %lld, %s_%s_MAX = %lld };\n", up, s, lo, up, s, hi < IX_DIM_MAX ? hi : (long long)IX_DIM_MAX);
  }
}

/* ---- the typed call ---- */
static bool typed(const Program *p) {
  for (int i = 0; i < p->nin + p->nout; i++) {
    const Type *y = i < p->nin ? p->in[i].type : p->out[i - p->nin].type;
    if (y->kind != TYPE_TENSOR || y->dtype == DT_STR) return false;
    for (int a = 0; i >= p->nin && a < y->rank; a++) {
      int64_t code = dim_code(p, y->dim[a], true);
      if (code < 0 && ~code >= p->nentry) return false;
    }
  }
  return p->nin + p->nout <= 64;
}
static void put_call_comment(Text *t, const Program *p, const char *const *name) {
  put(t, "/* ");
  for (int i = 0; i < p->nout; i++) put(t, i ? ", %s: " : "%s: ", name[p->nin + i]), put_shape(t, p->out[i].type);
  put(t, "; from ");
  for (int i = 0; i < p->nin; i++) put(t, i ? ", %s: " : "%s: ", name[i]), put_shape(t, p->in[i].type);
  put(t, ".\n   Row-major, with room for the sizes shown. A NULL output is not wanted. */\n");
}
static void put_in(Text *t, const Program *p, const Args *d, int i, const char *name) {
  const Type *y = p->in[i].type;
  put(t, "  int64_t s%d[%d] = {", i, y->rank ? y->rank : 1);
  for (int a = 0; a < y->rank; a++) {
    int64_t k;
    if (ix_const(y->dim[a], &k)) put(t, "%s%lld", a ? ", " : "", (long long)k);
    else put(t, "%s%s", a ? ", " : "", d->name[arg_of(d, ix_is_atom(y->dim[a]))]);
  }
  put(t, "%s};\n  in[%d] = tenon_dense(%s, 0, %d, %d, %d, s%d);\n", y->rank ? "" : "0", i, name, dtypes[y->dtype].dl_code,
      dtypes[y->dtype].dl_bits, y->rank, i);
  if (p->in[i].optional) put(t, "  if (!%s) in[%d].kind = TENON_ABSENT;\n", name, i);
}
static void put_out(Text *t, const Program *p, int i, const char *name) {
  const Type *y = p->out[i].type;
  put(t, "  int64_t o%d[%d];\n  out[%d] = tenon_dense(%s, UINT64_MAX, %d, %d, %d, o%d);\n  if (!%s) out[%d].kind = TENON_ABSENT;\n", i,
      y->rank ? y->rank : 1, i, name, dtypes[y->dtype].dl_code, dtypes[y->dtype].dl_bits, y->rank, i, name, i);
}
static void put_call(Text *t, const Program *p, const char *id, const Args *d, Names *taken) {
  const char **name = NEWN(const char *, p->nin + p->nout + 1);
  for (int i = 0; i < p->nin + p->nout; i++) name[i] = unique(taken, clean(i < p->nin ? p->in[i].name : p->out[i - p->nin].name, false));
  put_call_comment(t, p, name);
  put(t, "static inline tenon_status %s_run(tenon_ctx *ctx", id);
  for (int i = 0; i < d->n; i++) put(t, ", int64_t %s", d->name[i]);
  for (int i = 0; i < p->nin; i++) put(t, ", const %s *%s", c_type(p->in[i].type->dtype), name[i]);
  for (int i = 0; i < p->nout; i++) put(t, ", %s *%s", c_type(p->out[i].type->dtype), name[p->nin + i]);
  put(t, ") {\n  tenon_value in[%d], out[%d];\n", p->nin ? p->nin : 1, p->nout ? p->nout : 1);
  for (int i = 0; i < p->nin; i++) put_in(t, p, d, i, name[i]);
  for (int i = 0; i < p->nout; i++) put_out(t, p, i, name[p->nin + i]);
  put(t, "  return %s_api(TENON_ABI)->run(ctx, in, out, NULL);\n}\n", id);
}

void header_text(Program *p, const ArtifactOptions *o, Text *t) {
  const char *up = clean(o->name, true);
  Args dims = {0};
  Names taken = {0};
  static const char *const reserved[] = {"ctx", "in", "out"};
  for (int i = 0; i < 3; i++) unique(&taken, reserved[i]);
  for (int i = 0; i < p->nin; i++) unique(&taken, fmt("s%d", i));
  for (int i = 0; i < p->nout; i++) unique(&taken, fmt("o%d", i));
  put(t, "/* %s.h - written by tenon %s", o->name, o->version);
  if (p->source_sha256 && *p->source_sha256) put(t, " from a model with sha256 %s", p->source_sha256);
  put(t, ". Do not edit. */\n#ifndef TENON_MODEL_%s_H\n#define TENON_MODEL_%s_H\n#include <tenon_rt.h>\n", up, up);
  put(t, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n");
  put_names(t, up, "IN", p->in, p->nin);
  put_names(t, up, "OUT", p->out, p->nout);
  bool plain = collect_dims(p, &dims, &taken);
  if (plain) put_ranges(t, up, &dims);
  put(t, "const tenon_api *%s_api(uint32_t abi);\n", o->name);
  if (plain && typed(p)) put_call(t, p, o->name, &dims, &taken);
  put(t, "#ifdef __cplusplus\n}\n#endif\n#endif\n");
}
