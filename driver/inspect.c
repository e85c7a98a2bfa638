// inspect.c - `tenon inspect FILE` (what is in a model, a dump or an artifact) and `tenon check MODEL` (would it compile, and how big is
// it?).
#include "codegen/codegen.h"
#include "driver.h"
#include "passes/pipeline.h"
#include <elf.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a graph holds ---- */

typedef struct OpCount {
  const Op *op;
  int n;
} OpCount;
typedef struct Summary {
  OpCount count[OP_COUNT];
  int nodes, constants;
  int64_t bytes;
} Summary;

static void seen(Summary *s, Value *const *v, int n) {
  for (int i = 0; i < n; i++)
    if (v[i] && v[i]->data && !v[i]->pass) {
      v[i]->pass = s; // counted
      s->constants++;
      s->bytes += v[i]->data->bytes;
    }
}

static void count(const Graph *g, Summary *s) {
  for (const Node *n = g->first; n; n = n->next) {
    s->nodes++;
    s->count[n->op->id].op = n->op;
    s->count[n->op->id].n++;
    seen(s, n->in, n->nin);
    for (int r = 0; r < n->nregion; r++) count(n->region[r], s);
  }
  seen(s, g->out, g->nout);
}

static int by_count(const void *a, const void *b) {
  const OpCount *x = a, *y = b;
  return x->n != y->n ? y->n - x->n : x->op && y->op ? strcmp(x->op->name, y->op->name) : 0;
}

static Summary *summary(const Graph *g) {
  Summary *s = NEW(Summary);
  count(g, s);
  qsort(s->count, OP_COUNT, sizeof *s->count, by_count);
  return s;
}

static const char *size_text(int64_t bytes) {
  static const char *const unit[] = {"bytes", "KB", "MB", "GB", "TB"};
  double v = (double)bytes;
  int k = 0;
  while (v >= 1000 && k < 4) v /= 1000, k++;
  return k ? fmt("%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, unit[k]) : fmt("%lld bytes", (long long)bytes);
}

static const char *type_text(const Type *t) { return t ? type_str(t) : "?"; }

/* ---- as text ---- */

static void print_values(const char *title, Value *const *v, int n) {
  printf("%s\n", title);
  for (int i = 0; i < n; i++) {
    Text t = {0};
    put_shown(&t, v[i]->name ? v[i]->name : "");
    printf("  %-24s %s\n", t.p ? t.p : "", type_text(v[i]->type));
  }
}

static void print_graph(const Graph *g) {
  Summary *s = summary(g);
  Text producer = {0};
  put_shown(&producer, g->producer ? g->producer : "");
  printf("%s: ", input);
  if (producer.n) printf("by %s, ", producer.p);
  printf("ONNX IR %lld", (long long)g->ir_version);
  for (int i = 0; i < g->nopset; i++)
    printf(", %s opset %lld", *g->opset[i].domain ? g->opset[i].domain : "ai.onnx", (long long)g->opset[i].version);
  printf("\n%d nodes, %d constants of %s\n", s->nodes, s->constants, size_text(s->bytes));
  print_values("inputs", g->in, g->nin);
  print_values("outputs", g->out, g->nout);
  puts("operators, in their newest form");
  for (int i = 0; i < OP_COUNT && s->count[i].n; i++)
    printf("  %6d %s%s%s\n", s->count[i].n, s->count[i].op->domain, *s->count[i].op->domain ? "." : "", s->count[i].op->name);
}

static void print_program(const Program *p) {
  printf("%s: program %s, %d kernels, weights of %s\n", input, p->name, p->nkernel, size_text(p->weights));
  if (p->arena) printf("workspace %s bytes, and %s for each worker\n", ix_str(p->arena), p->scratch ? ix_str(p->scratch) : "0");
  puts("inputs");
  for (int i = 0; i < p->nin; i++) printf("  %-24s %s\n", p->in[i].name, type_text(p->in[i].type));
  puts("outputs");
  for (int i = 0; i < p->nout; i++) printf("  %-24s %s\n", p->out[i].name, type_text(p->out[i].type));
  puts("kernels");
  for (int i = 0; i < p->nkernel; i++)
    printf("  %-32s %d stages, %d buffers%s\n", p->kernel[i]->name, p->kernel[i]->nstage, p->kernel[i]->nbuf,
           p->kernel[i]->tree ? ", scheduled" : "");
}

/* ---- as JSON ---- */

static void put_values_json(Text *t, const char *key, Value *const *v, int n) {
  put(t, ",\n \"%s\": [", key);
  for (int i = 0; i < n; i++) {
    put(t, "%s{%s, ", i ? ", " : "", json_field("name", v[i]->name ? v[i]->name : ""));
    put(t, "%s}", json_field("type", type_text(v[i]->type)));
  }
  put(t, "]");
}

static void graph_json(const Graph *g) {
  Summary *s = summary(g);
  Text t = {0};
  put(&t, "{%s, ", json_field("file", input));
  put(&t, "%s, \"ir_version\": %lld, \"opsets\": {", json_field("producer", g->producer ? g->producer : ""), (long long)g->ir_version);
  for (int i = 0; i < g->nopset; i++)
    put(&t, "%s\"%s\": %lld", i ? ", " : "", *g->opset[i].domain ? g->opset[i].domain : "ai.onnx", (long long)g->opset[i].version);
  put(&t, "}, \"nodes\": %d, \"constants\": %d, \"constant_bytes\": %lld", s->nodes, s->constants, (long long)s->bytes);
  put_values_json(&t, "inputs", g->in, g->nin);
  put_values_json(&t, "outputs", g->out, g->nout);
  put(&t, ",\n \"operators\": {");
  for (int i = 0; i < OP_COUNT && s->count[i].n; i++)
    put(&t, "%s\"%s%s%s\": %d", i ? ", " : "", s->count[i].op->domain, *s->count[i].op->domain ? "." : "", s->count[i].op->name,
        s->count[i].n);
  put(&t, "}}");
  puts(t.p);
}

static void put_ios_json(Text *t, const char *key, const HIo *v, int n) {
  put(t, ",\n \"%s\": [", key);
  for (int i = 0; i < n; i++) {
    put(t, "%s{%s, ", i ? ", " : "", json_field("name", v[i].name));
    put(t, "%s}", json_field("type", type_text(v[i].type)));
  }
  put(t, "]");
}

static void program_json(const Program *p) {
  Text t = {0};
  put(&t, "{%s, ", json_field("file", input));
  put(&t, "%s, \"kernels\": %d, \"weights\": %lld", json_field("program", p->name), p->nkernel, (long long)p->weights);
  if (p->arena) put(&t, ", %s", json_field("workspace", ix_str(p->arena)));
  put_ios_json(&t, "inputs", p->in, p->nin);
  put_ios_json(&t, "outputs", p->out, p->nout);
  put(&t, "}");
  puts(t.p);
}

/* ---- artifacts: the provenance note ---- */

static const Elf64_Shdr *section_of(const char *p, size_t n, const char *name) {
  const Elf64_Ehdr *e = (const void *)p;
  if (n < sizeof *e || e->e_shoff > n || e->e_shnum > (n - e->e_shoff) / sizeof(Elf64_Shdr) || e->e_shstrndx >= e->e_shnum) return NULL;
  const Elf64_Shdr *s = (const void *)(p + e->e_shoff), *names = &s[e->e_shstrndx];
  if (names->sh_offset > n || names->sh_size > n - names->sh_offset) return NULL;
  size_t len = strlen(name) + 1;
  for (int i = 0; i < e->e_shnum; i++)
    if (s[i].sh_name < names->sh_size && names->sh_size - s[i].sh_name >= len && !memcmp(p + names->sh_offset + s[i].sh_name, name, len))
      return &s[i];
  return NULL;
}

static char *read_file(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  Text t = {0};
  static char buf[1 << 16];
  if (f)
    for (size_t k; (k = fread(buf, 1, sizeof buf, f)) > 0;) put_n(&t, buf, k);
  if (f) fclose(f);
  *n = t.n;
  return t.p;
}

static bool is_elf(const char *path) {
  char head[4] = {0};
  FILE *f = fopen(path, "rb");
  bool elf = f && fread(head, 1, 4, f) == 4 && !memcmp(head, ELFMAG, 4);
  if (f) fclose(f);
  return elf;
}

static void inspect_artifact(void) {
  size_t n;
  char *p = read_file(input, &n);
  const Elf64_Shdr *s = section_of(p, n, ".note.tenon");
  if (!s || s->sh_size < sizeof(Elf64_Nhdr) || s->sh_offset > n || s->sh_size > n - s->sh_offset)
    fail(EXIT_INVALID, "artifact.note", NOWHERE, "%s is an ELF file, but not one that tenon wrote: it has no .note.tenon", input);
  const Elf64_Nhdr *note = (const void *)(p + s->sh_offset);
  size_t at = sizeof *note + (note->n_namesz + 3u) / 4 * 4;
  if (at > s->sh_size || note->n_descsz > s->sh_size - at)
    fail(EXIT_INVALID, "artifact.note", NOWHERE, "%s: its .note.tenon is damaged", input);
  printf("%.*s\n", (int)strnlen((const char *)note + at, note->n_descsz), (const char *)note + at);
}

void inspect(void *unused) {
  (void)unused;
  if (is_elf(input)) {
    inspect_artifact();
    return;
  }
  Model m = model_read(input);
  bool json = opt_on(OPT_JSON);
  if (m.graph) (json ? graph_json : print_graph)(m.graph);
  else (json ? program_json : print_program)(m.program);
}

/* ---- check ---- */

// Multiply-adds and other accumulations of one launch: the product of its stages' extents.
static IExpr *work_of(const Kernel *k) {
  IExpr *sum = ix(0);
  for (int i = 0; i < k->nstage; i++) {
    const Stage *s = k->stage[i];
    if (s->combine == C_SET) continue;
    IExpr *n = ix(2);
    for (int a = 0; a < s->nax; a++) n = ix_mul(n, ix_var_of(s->ax[a])->a);
    sum = ix_add(sum, n);
  }
  return sum;
}

static IExpr *work(const HStmt *h) {
  IExpr *sum = ix(0);
  for (; h; h = h->next) {
    if (h->kind == HS_LAUNCH) sum = ix_add(sum, work_of(h->kernel));
    if (h->kind == HS_IF) sum = ix_add(sum, ix_max(work(h->body), work(h->other)));
    if (h->kind == HS_LOOP) sum = ix_add(sum, work(h->body)); // one iteration
  }
  return sum;
}

static bool simple(IExpr *e) { return e && ix_size(e) <= 40; }

void check(void *unused) {
  (void)unused;
  Options *o = pass_options();
  Model m = model_read(input);
  Program *p = pipeline_run(m.graph, o);
  if (opt_on(OPT_JSON)) {
    program_json(p);
    return;
  }
  IExpr *flops = work(p->body);
  printf("%s: compiles\n", input);
  printf("  kernels    %d\n  weights    %s\n", p->nkernel, size_text(p->weights));
  printf("  workspace  %s bytes\n", simple(p->arena) ? ix_str(p->arena) : "depends on the dims");
  printf("  operations %s per run%s\n", simple(flops) ? ix_str(flops) : "depend on the dims",
         simple(flops) ? " (a loop's body counted once)" : "");
}
