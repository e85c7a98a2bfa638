// tables.c - the object that says what a model is: tn_desc with all it points to, the public table, <name>_api and <name>_open, and the
// provenance note. Written as ELF bytes; the few instructions it needs are spelled here.
#include "codegen/artifact/artifact.h"
#include "runtime/rt.h"
#include <elf.h>
#include <string.h>

typedef struct Tables {
  Obj *o;
  Program *p;
  const char *name;
  int text, ro, rel, ro_start, rel_start; // sections, and symbols of their starts
} Tables;

/* ---- pieces of read-only memory; a Ref is an offset in the relocated section, or in the plain one ---- */
static void point(Tables *t, uint64_t at, int symbol, uint64_t addend) {
  obj_reloc(t->o, t->rel, at, R_X86_64_64, symbol, (int64_t)addend);
}
static void point_text(Tables *t, uint64_t at, const char *s) { point(t, at, t->ro_start, obj_put(t->o, t->ro, s, strlen(s) + 1, 1)); }
static void point_ints(Tables *t, uint64_t at, int n, const int64_t *v) {
  if (n) point(t, at, t->ro_start, obj_put(t->o, t->ro, v, (uint64_t)n * 8, 8));
}
static void point_texts(Tables *t, uint64_t at, int n, const char *const *s) {
  if (!n) return;
  uint64_t array = obj_put(t->o, t->rel, NULL, (uint64_t)n * 8, 8);
  for (int i = 0; i < n; i++) point_text(t, array + (uint64_t)i * 8, s[i]);
  point(t, at, t->rel_start, array);
}
static int undefined(Tables *t, const char *name) { return obj_global(t->o, name, 0, 0, 0, false, true); }
static int runtime(Tables *t, const char *name) { return undefined(t, fmt("tn_%s_%s", artifact_rt_hash(), name)); }

/* ---- dims ---- */
// A dim is a number, a symbol of the program, or an expression that one of its entry symbols stands for.
int64_t dim_code(const Program *p, IExpr *dim, bool output) {
  int64_t k;
  if (!dim) return -(int64_t)p->nsym - 1;
  if (ix_const(dim, &k)) return k;
  Atom *a = ix_is_atom(dim);
  for (int i = 0; i < p->nsym; i++)
    if (p->sym[i] == a || (p->sym[i]->def && p->sym[i]->kind == ATOM_SYM && p->sym[i]->def == dim))
      return i < p->nentry || !output ? ~(int64_t)i : -(int64_t)p->nsym - 1;
  if (output) return -(int64_t)p->nsym - 1;
  bug("the dim %s of an input is no symbol of the program", ix_str(dim));
}
static uint32_t value_kind(const Type *y) {
  switch (y->kind) {
  case TYPE_TENSOR: return TENON_TENSOR;
  case TYPE_SEQUENCE: return TENON_SEQUENCE;
  case TYPE_OPTIONAL: return TENON_OPTIONAL;
  case TYPE_MAP: return TENON_MAP;
  case TYPE_SPARSE: break;
  }
  fail(EXIT_UNSUPPORTED, "type.sparse", NOWHERE, "sparse tensors cannot be inputs or outputs of an artifact");
}
typedef struct Dims {
  int64_t code[MAX_RANK], dim[MAX_RANK], min[MAX_RANK], max[MAX_RANK];
  const char *name[MAX_RANK];
} Dims;
static Dims dims_of(const Program *p, const Type *y, bool output) {
  Dims d;
  for (int a = 0; a < y->rank; a++) {
    IExpr *e = y->dim[a];
    Atom *s = e ? ix_is_atom(e) : NULL;
    d.code[a] = dim_code(p, e, output);
    d.dim[a] = d.code[a] >= 0 ? d.code[a] : -1;
    d.min[a] = e && ix_lower(e) > 0 ? ix_lower(e) : 0;
    d.max[a] = e && ix_upper(e) < IX_DIM_MAX ? ix_upper(e) : IX_DIM_MAX;
    d.name[a] = s && s->kind == ATOM_SYM && !s->def ? s->name : "";
  }
  return d;
}

/* ---- one input or output ---- */
static uint64_t put_io(Tables *t, const HIo *io, bool output, Text *codes) {
  const Type *y = io->type;
  int rank = y->kind == TYPE_TENSOR ? y->rank : -1;
  if (y->kind == TYPE_TENSOR && rank < 0)
    fail(EXIT_UNSUPPORTED, "rank.unknown", NOWHERE, "the %s '%s' has no known rank", output ? "output" : "input", io->name);
  tenon_io v = {.size = sizeof v, .kind = value_kind(y), .rank = rank, .max_rank = rank < 0 ? MAX_RANK : rank};
  v.flags = (io->optional ? TENON_IO_OPTIONAL : 0) | (io->pair >= 0 ? TENON_IO_STATE : 0);
  v.pair = io->pair, v.pair_axis = io->pair >= 0 ? io->pair_axis : -1;
  if (y->kind == TYPE_TENSOR) v.dtype = (DLDataType){dtypes[y->dtype].dl_code, dtypes[y->dtype].dl_bits, 1};
  uint64_t at = obj_put(t->o, t->rel, &v, sizeof v, 8);
  point_text(t, at + offsetof(tenon_io, name), io->name);
  point_text(t, at + offsetof(tenon_io, type), onnx_type(y));
  if (rank <= 0) return at;
  Dims d = dims_of(t->p, y, output);
  put_n(codes, d.code, (size_t)rank * 8);
  point_ints(t, at + offsetof(tenon_io, dim), rank, d.dim);
  point_ints(t, at + offsetof(tenon_io, dim_min), rank, d.min);
  point_ints(t, at + offsetof(tenon_io, dim_max), rank, d.max);
  point_texts(t, at + offsetof(tenon_io, dim_name), rank, d.name);
  return at;
}
// The array of tenon_io pointers; codes receives the dims for tn_desc.
static uint64_t put_ios(Tables *t, const HIo *io, int n, bool output, Text *codes) {
  uint64_t *at = NEWN(uint64_t, n + 1);
  for (int i = 0; i < n; i++) at[i] = put_io(t, &io[i], output, codes);
  uint64_t array = obj_put(t->o, t->rel, NULL, (uint64_t)(n + 1) * 8, 8);
  for (int i = 0; i < n; i++) point(t, array + (uint64_t)i * 8, t->rel_start, at[i]);
  return array;
}

/* ---- sites, symbols, requires ---- */
static int64_t bound(IExpr *e, int64_t none) {
  int64_t k;
  return e && ix_const(e, &k) ? k : none;
}
static uint64_t put_sites(Tables *t) {
  Program *p = t->p;
  uint64_t all = obj_put(t->o, t->rel, NULL, (uint64_t)(p->nsite + 1) * sizeof(tn_site), 8);
  for (int i = 0; i < p->nsite; i++) {
    const Site *s = &p->site[i];
    const char *text = s->text ? s->text : "value %v is not allowed";
    // A bound that is no number is not printed: the text says it in the model's words.
    int64_t v[4] = {(int64_t)((uint32_t)s->node | (uint64_t)(uint32_t)s->input << 32), 0, bound(s->lo, INT64_MIN), bound(s->hi, INT64_MAX)};
    uint64_t at = all + (uint64_t)i * sizeof(tn_site);
    char *raw = (char *)obj_bytes(t->o, t->rel) + at;
    memcpy(raw + offsetof(tn_site, node), &v[0], 8);
    memcpy(raw + offsetof(tn_site, lo), &v[2], 16);
    point_text(t, at + offsetof(tn_site, name), s->node_name ? s->node_name : "");
    point_text(t, at + offsetof(tn_site, op), s->op ? s->op : "");
    point_text(t, at + offsetof(tn_site, text), text);
  }
  return all;
}
static void put_symbols(Tables *t, uint64_t desc) {
  Program *p = t->p;
  int64_t *lo = NEWN(int64_t, p->nsym + 1), *hi = NEWN(int64_t, p->nsym + 1);
  const char **name = NEWN(const char *, p->nsym + 1);
  for (int i = 0; i < p->nsym; i++) lo[i] = p->sym[i]->lo, hi[i] = p->sym[i]->hi, name[i] = p->sym[i]->name ? p->sym[i]->name : "";
  point_texts(t, desc + offsetof(tn_desc, sym_name), p->nsym, name);
  point_ints(t, desc + offsetof(tn_desc, sym_min), p->nsym, lo);
  point_ints(t, desc + offsetof(tn_desc, sym_max), p->nsym, hi);
  const char **require = NEWN(const char *, p->nrequire + 1);
  for (int i = 0; i < p->nrequire; i++) require[i] = p->require[i].text ? p->require[i].text : ix_str(p->require[i].expr);
  point_texts(t, desc + offsetof(tn_desc, require), p->nrequire, require);
}
static uint64_t put_desc(Tables *t, const char *info, const ArtifactOptions *o, uint64_t in, uint64_t out, Text *in_dim, Text *out_dim) {
  Program *p = t->p;
  tn_desc d = {.n_in = (uint32_t)p->nin,
               .n_out = (uint32_t)p->nout,
               .n_sym = (uint32_t)p->nsym,
               .n_site = (uint32_t)p->nsite,
               .n_slab = (uint32_t)p->nslab,
               .n_handle = (uint32_t)p->nhandle,
               .cpu = o->target->cpu_bits,
               .weights_size = (uint64_t)p->weights};
  uint64_t sites = put_sites(t), at = obj_put(t->o, t->rel, &d, sizeof d, 8);
  point_text(t, at + offsetof(tn_desc, name), t->name);
  point_text(t, at + offsetof(tn_desc, info), info);
  point(t, at + offsetof(tn_desc, in), t->rel_start, in);
  point(t, at + offsetof(tn_desc, out), t->rel_start, out);
  point_ints(t, at + offsetof(tn_desc, in_dim), (int)(in_dim->n / 8), (const int64_t *)(const void *)in_dim->p);
  point_ints(t, at + offsetof(tn_desc, out_dim), (int)(out_dim->n / 8), (const int64_t *)(const void *)out_dim->p);
  put_symbols(t, at);
  point(t, at + offsetof(tn_desc, entry), undefined(t, fmt("%s_entry", t->name)), 0);
  point(t, at + offsetof(tn_desc, workspace), undefined(t, fmt("%s_workspace", t->name)), 0);
  point(t, at + offsetof(tn_desc, scratch), undefined(t, fmt("%s_scratch", t->name)), 0);
  point(t, at + offsetof(tn_desc, program), undefined(t, fmt("%s_program", t->name)), 0);
  if (p->weights) point(t, at + offsetof(tn_desc, weights), undefined(t, fmt("%s_weights", t->name)), 0);
  point(t, at + offsetof(tn_desc, site), t->rel_start, sites);
  return at;
}

/* ---- the public table and the two functions that know which model is meant ---- */
static int put_open(Tables *t, uint64_t desc) {                      // tn_open(&desc, options, model, error)
  static const unsigned char code[] = {0x48, 0x89, 0xd1,             // mov rcx, rdx
                                       0x48, 0x89, 0xf2,             // mov rdx, rsi
                                       0x48, 0x89, 0xfe,             // mov rsi, rdi
                                       0x48, 0x8d, 0x3d, 0, 0, 0, 0, // lea rdi, [desc]
                                       0xe9, 0,    0,    0, 0};      // jmp tn_open
  uint64_t at = obj_put(t->o, t->text, code, sizeof code, 16);
  obj_reloc(t->o, t->text, at + 12, R_X86_64_PC32, t->rel_start, (int64_t)desc - 4);
  obj_reloc(t->o, t->text, at + 17, R_X86_64_PLT32, runtime(t, "open"), -4);
  return obj_global(t->o, fmt("%s_open", t->name), t->text, at, sizeof code, true, true);
}
static uint64_t put_api(Tables *t, const char *info, uint64_t in, uint64_t out, int open) {
  tenon_api a = {.size = sizeof a, .abi = TENON_ABI, .n_in = (uint32_t)t->p->nin, .n_out = (uint32_t)t->p->nout};
  static const struct {
    const char *name;
    size_t at;
  } entry[] = {{"close", offsetof(tenon_api, close)},       {"context", offsetof(tenon_api, context)},
               {"release", offsetof(tenon_api, release)},   {"plan", offsetof(tenon_api, plan)},
               {"exec", offsetof(tenon_api, run)},          {"collect", offsetof(tenon_api, collect)},
               {"sync", offsetof(tenon_api, sync)},         {"last_error", offsetof(tenon_api, last_error)},
               {"executor", offsetof(tenon_api, executor)}, {"describe", offsetof(tenon_api, describe)}};
  uint64_t at = obj_put(t->o, t->rel, &a, sizeof a, 8);
  point_text(t, at + offsetof(tenon_api, name), t->name);
  point_text(t, at + offsetof(tenon_api, info), info);
  point(t, at + offsetof(tenon_api, in), t->rel_start, in);
  point(t, at + offsetof(tenon_api, out), t->rel_start, out);
  point(t, at + offsetof(tenon_api, open), open, 0);
  for (size_t i = 0; i < sizeof entry / sizeof *entry; i++) point(t, at + entry[i].at, runtime(t, entry[i].name), 0);
  return at;
}
static void put_api_function(Tables *t, uint64_t api) {                   // abi == TENON_ABI ? &api : NULL
  static const unsigned char code[] = {0x31, 0xc0,                        // xor eax, eax
                                       0x83, 0xff, TENON_ABI,             // cmp edi, TENON_ABI
                                       0x75, 0x07,                        // jne over
                                       0x48, 0x8d, 0x05,      0, 0, 0, 0, // lea rax, [api]
                                       0xc3};                             // over: ret
  uint64_t at = obj_put(t->o, t->text, code, sizeof code, 16);
  obj_reloc(t->o, t->text, at + 10, R_X86_64_PC32, t->rel_start, (int64_t)api - 4);
  obj_global(t->o, fmt("%s_api", t->name), t->text, at, sizeof code, true, false);
}
static void put_note(Obj *o, const char *info) { // owner "Tenon", type 1: the info text
  int s = obj_section(o, ".note.tenon", SHT_NOTE, SHF_ALLOC, 4);
  uint32_t head[3] = {6, (uint32_t)strlen(info), 1};
  obj_put(o, s, head, sizeof head, 4);
  obj_put(o, s, "Tenon\0\0", 8, 4);
  obj_put(o, s, info, strlen(info), 4);
  obj_put(o, s, NULL, (4 - strlen(info) % 4) % 4, 1);
}
Blob tables_object(Program *p, const ArtifactOptions *o, const char *info) {
  Tables t = {.o = obj_new(), .p = p, .name = o->name};
  Text in_dim = {0}, out_dim = {0};
  t.text = obj_section(t.o, fmt(".text.%s", o->name), SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16);
  t.ro = obj_section(t.o, fmt(".rodata.%s", o->name), SHT_PROGBITS, SHF_ALLOC, 16);
  t.rel = obj_section(t.o, fmt(".data.rel.ro.%s", o->name), SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 16);
  obj_section(t.o, ".note.GNU-stack", SHT_PROGBITS, 0, 1);
  t.ro_start = obj_local(t.o, t.ro), t.rel_start = obj_local(t.o, t.rel);
  uint64_t in = put_ios(&t, p->in, p->nin, false, &in_dim), out = put_ios(&t, p->out, p->nout, true, &out_dim);
  uint64_t desc = put_desc(&t, info, o, in, out, &in_dim, &out_dim);
  put_api_function(&t, put_api(&t, info, in, out, put_open(&t, desc)));
  put_note(t.o, info);
  if (!p->weights) obj_global(t.o, fmt("%s_weights", o->name), t.ro, 0, 0, false, true); // generated code may name it all the same
  return obj_finish(t.o, 0);
}
