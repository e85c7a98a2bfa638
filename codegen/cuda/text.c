// text.c - the CUDA C of a program: prelude, one kernel for each phase, and for the host the sizes and a table of what there is.
#include "cuda.h"
#include "ir/phase.h"
#include <limits.h>
#include <string.h>

static const Tree *phase_end(const Tree *t) { // first node behind the phase that starts at t
  do t = t->next;
  while (t && t->kind == T_FOR && t->joined);
  return t;
}

static const char *clean(const char *s) { // a C identifier
  char *r = fmt("%s", s);
  for (char *p = r; *p; p++)
    if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9'))) *p = '_';
  return r;
}

// What buffer number i (below MAX_BUFS) is in the tree: a parameter, or the storage allocated at the top level, which lives across phases.
// NULL: inside a phase.
static Buf *global(const Kernel *k, int i) {
  if (i < kernel_params(k)) return k->buf[i];
  for (const Tree *t = k->tree; t; t = t->next)
    if (t->kind == T_ALLOC && t->buf->id == i) return t->buf;
  return NULL;
}

static void bind_symbols(Cuda *c) { // a function begins
  scalar_begin(c);
  for (int i = 0; i < c->k->nsym; i++) {
    Atom *a = c->k->sym[i];
    const char *type = a->lo >= INT_MIN && a->hi <= INT_MAX ? "int" : "i64", *name = fmt("s_%s", clean(a->name));
    line(c, "const %s %s = (%s)sym%d;", type, name, type, i);
    line(c, "(void)%s;", name);
    bind_variable(a, name);
  }
}

static void put_params(Cuda *c, bool names) { // of a phase: buffers, global temps, symbols, scratch, fault
  Text *o = c->out;
  for (int i = 0; i < MAX_BUFS; i++) {
    const Buf *b = global(c->k, i);
    if (b)
      put(o, "%s%s *%s, ", b->kind == BUF_IN || b->kind == BUF_CONST ? "const " : "", storage_type(b->dtype),
          names ? place_of(b)->name : "");
  }
  for (int i = 0; i < c->k->nsym; i++) put(o, "i64 sym%d, ", i);
  put(o, "u8 *scratch, i64 scratch_block, tn_cell *fault");
}

static void put_run(Cuda *c, const char *name) { // the host's way to call it: pointers to the arguments, as cuLaunchKernel takes them
  Text *o = c->out;
  put(o, "static void %s_run(void **a) { %s(", name, name);
  int n = 0;
  for (int i = 0; i < MAX_BUFS; i++)
    if (global(c->k, i)) put(o, "*(%s **)a[%d], ", storage_type(global(c->k, i)->dtype), n++);
  for (int i = 0; i < c->k->nsym; i++, n++) put(o, "*(i64 *)a[%d], ", n);
  put(o, "*(u8 **)a[%d], *(i64 *)a[%d], *(tn_cell **)a[%d]); }\n", n, n + 1, n + 2);
}

static IExpr *grid_size(const Tree *first, const Tree *end) {
  if (!is_grid(first)) return ix(1);
  IExpr *n = ix(0);
  for (const Tree *t = first; t != end; t = t->next) n = ix_add(n, t->ext);
  for (const Tree *t = next_grid(first); first->next == end && t; t = next_grid(t)) n = ix_mul(n, t->ext);
  return n;
}

static void put_sizes(Cuda *c, const Tree *first, const Tree *end, const char *name) {
  open_block(c, "static void %s_size(const i64 *sym, tn_size *r)", name);
  for (int i = 0; i < c->k->nsym; i++) line(c, "const i64 sym%d = sym[%d];", i, i);
  line(c, "(void)sym;");
  bind_symbols(c);
  line(c, "r->grid = %s;", c_index(c, grid_size(first, end)));
  line(c, "r->x = %lld, r->y = %lld;", (long long)c->block[0], (long long)c->block[1]);
  line(c, "r->shared = %lld;", (long long)c->shared);
  line(c, "r->scratch = %s;", c_index(c, c->scratch));
  close_block(c);
}

static void put_phase(Cuda *c, const Tree *first, const Tree *end, const char *name) {
  place_phase(c, first, end);
  put(c->out, "\nKERNEL BOUNDS(%lld) %s(", (long long)(c->block[0] * c->block[1]), name);
  put_params(c, true);
  put(c->out, ") {\n");
  c->indent = 1;
  bind_symbols(c);
  print_phase(c, first, end, name);
  c->indent = 0;
  put(c->out, "}\n#ifndef __CUDACC__\n");
  put_run(c, name);
  put_sizes(c, first, end, name);
  put(c->out, "#endif\n");
}

static void put_temps(Cuda *c, const char *name) { // bytes of the buffers that live across phases
  put(c->out, "\n#ifndef __CUDACC__\n");
  open_block(c, "static int %s_temps(const i64 *sym, i64 *bytes)", name);
  for (int i = 0; i < c->k->nsym; i++) line(c, "const i64 sym%d = sym[%d];", i, i);
  line(c, "(void)sym, (void)bytes;");
  bind_symbols(c);
  int n = 0;
  for (int i = 0; i < MAX_BUFS; i++) {
    const Buf *b = global(c->k, i);
    if (!b || b->kind != BUF_TEMP) continue;
    line(c, "bytes[%d] = %s;", n++, c_index(c, buf_bytes(b)));
  }
  line(c, "return %d;", n);
  close_block(c);
  put(c->out, "#endif\n");
}

static void put_kernel(Cuda *c, int number, Text *table) {
  Kernel *k = c->k;
  const char *name = fmt("k%d_%s", number, clean(k->name));
  if (!k->tree) kernel_build(k);
  kernel_symbols(k);
  for (int i = 0; i < MAX_BUFS; i++) {
    Buf *b = global(k, i);
    if (!b) continue;
    bool param = b->kind != BUF_TEMP;
    Place *p = b->v = NEW(Place);
    *p = (Place){.home = param ? HOME_PARAM : HOME_GLOBAL, .name = fmt("%s_%d", param ? "p" : "g", i)};
  }
  put_temps(c, name);
  int phase = 0;
  for (const Tree *t = k->tree; t;) {
    if (t->kind == T_ALLOC || t->kind == T_SYNC) {
      t = t->next;
      continue;
    }
    const Tree *end = phase_end(t);
    const char *p = fmt("%s_%d", name, phase++);
    put_phase(c, t, end, p);
    put(table, "  {\"%s\", %d, %d, %d, %s_run, %s_size, %s_temps},\n", p, number, kernel_params(k), k->nsym, p, p, name);
    t = end;
  }
}

static bool seen_before(const Program *p, int i) {
  for (int j = 0; j < i; j++)
    if (p->kernel[j] == p->kernel[i]) return true;
  return false;
}

void cuda_text(Program *p, const CodegenOptions *o, Text *out) {
  Cuda *c = NEW(Cuda);
  c->out = out;
  c->target = o && o->target && o->target->backend == BACKEND_CUDA ? o->target : NULL;
  put(out, "%s", tenon_cuda_prelude);
  Text table = {0};
  for (int i = 0; i < p->nkernel; i++) {
    if (seen_before(p, i)) continue;
    c->k = p->kernel[i];
    put_kernel(c, i, &table);
  }
  put(out, "\n#ifndef __CUDACC__\nconst tn_phase tn_phases[] = {\n%s  {0, 0, 0, 0, 0, 0, 0},\n};\n#endif\n", table.p ? table.p : "");
}
