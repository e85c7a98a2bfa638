// evalrun.c - `evalrun MODEL INPUTS OUTPUTS`: compiles a model up to the planned program and lets the interpreter run it: the oracle that
// the artifacts of the same program are held to. INPUTS and OUTPUTS are files of values, each an i32 kind (tenon_value's) and, of a tensor:
// i32 dtype, i32 rank, i64 dims, i64 bytes, the bytes (strings: i64 length and text of each); of another value: i64 count, the values.
// -O0 as first argument leaves the kernels unscheduled; --cuda schedules for a GPU and runs the CUDA C of the kernels on the CPU,
// and prints the operators that stay on the host, `host OP` each.
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/cuda/emulate.h"
#include "tests/host/evalhost.h"
#include <stdlib.h>
#include <string.h>

typedef struct Args {
  const char *model, *in, *out;
  int opt;
  bool cuda;
} Args;

/* ---- files of values ---- */

static void get(FILE *f, void *to, size_t bytes) {
  if (fread(to, 1, bytes, f) != bytes) fail(EXIT_IO, "evalrun.inputs", NOWHERE, "the file of inputs is cut off");
}
static int64_t get_count(FILE *f) {
  int64_t n;
  get(f, &n, sizeof n);
  if (n < 0 || n > 1ll << 40) fail(EXIT_IO, "evalrun.inputs", NOWHERE, "the file of inputs is damaged");
  return n;
}

static void *get_strings(FILE *f, int64_t n) {
  tenon_str *s = NEWN(tenon_str, n + 1);
  for (int64_t i = 0; i < n; i++) {
    s[i].len = (uint64_t)get_count(f);
    char *text = mem(s[i].len + 1);
    get(f, text, s[i].len);
    s[i].data = text;
  }
  return s;
}

static tenon_value get_tensor(FILE *f) {
  int32_t head[2];
  get(f, head, sizeof head);
  if (head[0] <= 0 || head[0] >= TN_DTYPES || head[1] < 0 || head[1] > MAX_RANK)
    fail(EXIT_IO, "evalrun.inputs", NOWHERE, "the file of inputs is damaged");
  int64_t *dim = NEWN(int64_t, MAX_RANK), n = 1;
  for (int d = 0; d < head[1]; d++) n *= dim[d] = get_count(f);
  tenon_value v = {.kind = TENON_TENSOR, .t = {NULL, tn_cpu0, head[1], tn_dl(head[0]), dim, NULL, 0}};
  v.capacity = (uint64_t)get_count(f);
  if (head[0] == TN_STR) v.t.data = get_strings(f, n);
  else get(f, v.t.data = mem(v.capacity + 1), v.capacity);
  return v;
}

static tenon_value get_value(FILE *f) {
  tenon_value v = {0};
  if (fread(&v.kind, sizeof v.kind, 1, f) != 1) return v; // the file ends: the rest is absent
  if (v.kind == TENON_TENSOR) return get_tensor(f);
  if (v.kind == TENON_ABSENT) return v;
  v.n = (uint64_t)get_count(f);
  v.item = NEWN(tenon_value, (int)v.n + 1);
  for (uint64_t i = 0; i < v.n; i++) v.item[i] = get_value(f);
  return v;
}

static void put_tensor(FILE *f, int32_t dtype, int rank, const int64_t *dim, const void *data) {
  int32_t head[] = {TENON_TENSOR, dtype, rank};
  int64_t n = 1;
  for (int d = 0; d < rank; d++) n *= dim[d];
  int64_t bytes = (int64_t)tn_bytes(dtype, (uint64_t)n);
  fwrite(head, sizeof *head, 3, f);
  fwrite(dim, sizeof *dim, (size_t)rank, f);
  fwrite(&bytes, sizeof bytes, 1, f);
  if (dtype != TN_STR) fwrite(data, 1, (size_t)bytes, f);
  for (int64_t i = 0; dtype == TN_STR && i < n; i++) {
    const tenon_str *s = (const tenon_str *)data + i;
    fwrite(&s->len, sizeof s->len, 1, f);
    fwrite(s->data, 1, s->len, f);
  }
}

static void put_value(FILE *f, const tenon_value *v) {
  static const tenon_value absent;
  if (!v) v = &absent;
  if (v->kind == TENON_TENSOR) {
    put_tensor(f, tn_dtype_of(v->t.dtype), v->t.ndim, v->t.shape, v->t.data);
    return;
  }
  fwrite(&v->kind, sizeof v->kind, 1, f);
  if (v->kind != TENON_ABSENT) fwrite(&v->n, sizeof v->n, 1, f);
  for (uint64_t i = 0; i < v->n; i++) put_value(f, &v->item[i]);
}

static FILE *opened(const char *path, const char *mode) {
  FILE *f = fopen(path, mode);
  if (!f) fail(*mode == 'r' ? EXIT_IO : EXIT_OUTPUT, "io.open", NOWHERE, "cannot open %s", path);
  return f;
}

/* ---- the program ---- */

static Tensor **inputs(const Program *p, const char *path) { // strings and other values go to the host operators
  Tensor **in = NEWN(Tensor *, p->nin + 1);
  FILE *f = opened(path, "rb");
  for (int i = 0; i < p->nin; i++) {
    tenon_value v = get_value(f);
    if (v.kind != TENON_ABSENT && hbuf_is_handle(p->in[i].buf)) evalhost_give(i, &v);
    if (v.kind != TENON_TENSOR) continue;
    in[i] = NEW(Tensor);
    *in[i] = (Tensor){.dtype = (DType)tn_dtype_of(v.t.dtype), .rank = v.t.ndim, .data = v.t.data, .bytes = (int64_t)v.capacity};
    memcpy(in[i]->dim, v.t.shape, (size_t)v.t.ndim * sizeof *v.t.shape);
  }
  fclose(f);
  return in;
}

static void outputs(const Program *p, Tensor *const *out, const char *path) {
  FILE *f = opened(path, "wb");
  for (int i = 0; i < p->nout; i++) {
    if (out[i]) put_tensor(f, (int32_t)out[i]->dtype, out[i]->rank, out[i]->dim, out[i]->data);
    else put_value(f, evalhost_result(i));
  }
  fclose(f);
}

static Program *compile(const Args *a) {
  Options o = {.target = a->cuda ? target_find("sm_80") : target_host(), .math = MATH_DEFAULT, .opt = a->opt, .verify = true};
  size_t n = strlen(a->model);
  ImportOptions none = {0};
  if (n > 3 && !strcmp(a->model + n - 3, ".ir")) fail(EXIT_USAGE, "usage", NOWHERE, "evalrun takes ONNX models");
  return pipeline_run(import_file(a->model, &none), &o);
}

static const Program *program;
static Emulation device;

static bool launch_emulated(Kernel *k, EvalFault *fault) { // threads in rising order at one launch, falling at the next
  static bool falling;
  int number = 0;
  while (program->kernel[number] != k) number++;
  falling = !falling;
  EmuCell c = emulate(&device, number, k, falling);
  if (c.key == ~0ull) return true;
  if (fault) *fault = (EvalFault){(int)(c.key >> 40), (int64_t)(c.key & 0xffffffffff), c.value};
  return false;
}

static void print_host_ops(const HStmt *s) { // a line for each call: what runs beside the device
  for (; s; s = s->next) {
    if (s->kind == HS_CALL && s->site >= 0) printf("host %s\n", program->site[s->site].op);
    print_host_ops(s->body), print_host_ops(s->other);
  }
}

static void use_cuda(Program *p) {
  Text text = {0};
  CodegenOptions o = {.target = target_find("sm_80")};
  cuda_text(p, &o, &text);
  program = p;
  device = emulation(text.p);
  eval_kernel = launch_emulated;
  print_host_ops(p->body);
}

static void run(void *u) {
  const Args *a = u;
  Program *p = compile(a);
  if (a->cuda) use_cuda(p);
  evalhost_bind(p);
  Tensor **out = NEWN(Tensor *, p->nout + 1);
  EvalFault fault = {.site = -1};
  Exit code = program_eval(p, inputs(p, a->in), out, &fault);
  if (code != EXIT_OK) {
    const char *text = *evalhost_text() ? evalhost_text() : fault.site >= 0 ? p->site[fault.site].text : "";
    fail(code, "evalrun.run", NOWHERE, "the run failed: %s (value %lld)", text, (long long)fault.value);
  }
  outputs(p, out, a->out);
}

int main(int argc, char **argv) {
  Args a = {.opt = 2};
  if (argc > 1 && !strcmp(argv[1], "-O0")) a.opt = 0, argc--, argv++;
  if (argc > 1 && !strcmp(argv[1], "--cuda")) a.cuda = true, argc--, argv++;
  if (argc != 4) return fprintf(stderr, "usage: evalrun [-O0] [--cuda] MODEL INPUTS OUTPUTS\n"), EXIT_USAGE;
  a.model = argv[1], a.in = argv[2], a.out = argv[3];
  return protect(run, &a);
}
