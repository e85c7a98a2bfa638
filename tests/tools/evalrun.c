// evalrun.c - `evalrun MODEL INPUTS OUTPUTS`: compiles a model up to the planned program and lets the interpreter run it: the oracle that
// the artifacts of the same program are held to. INPUTS and OUTPUTS are files of tensors: i32 dtype, i32 rank, i64 dims, i64 bytes, the
// bytes. -O0 as first argument leaves the kernels unscheduled; --cuda schedules for a GPU and runs the CUDA C of the kernels on the CPU.
#include "codegen/codegen.h"
#include "frontend/frontend.h"
#include "passes/passes.h"
#include "tests/cuda/emulate.h"
#include <stdlib.h>
#include <string.h>

typedef struct Args {
  const char *model, *in, *out;
  int opt;
  bool cuda;
} Args;

static const Tensor *read_tensor(FILE *f, bool *end) {
  int32_t head[2];
  int64_t dim[MAX_RANK] = {0}, bytes;
  *end = fread(head, sizeof *head, 2, f) != 2;
  if (*end || head[0] == DT_NONE) return NULL;
  if (head[1] < 0 || head[1] > MAX_RANK || fread(dim, sizeof *dim, (size_t)head[1], f) != (size_t)head[1] ||
      fread(&bytes, sizeof bytes, 1, f) != 1)
    fail(EXIT_IO, "evalrun.inputs", NOWHERE, "the file of inputs is damaged");
  void *data = mem((size_t)bytes + 1);
  if (fread(data, 1, (size_t)bytes, f) != (size_t)bytes) fail(EXIT_IO, "evalrun.inputs", NOWHERE, "the file of inputs is cut off");
  return tensor_new((DType)head[0], head[1], dim, data);
}

static void write_tensor(FILE *f, const Tensor *t) {
  int32_t head[2] = {(int32_t)t->dtype, t->rank};
  fwrite(head, sizeof *head, 2, f);
  fwrite(t->dim, sizeof *t->dim, (size_t)t->rank, f);
  fwrite(&t->bytes, sizeof t->bytes, 1, f);
  fwrite(t->data, 1, (size_t)t->bytes, f);
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

static void use_cuda(Program *p) {
  Text text = {0};
  CodegenOptions o = {.target = target_find("sm_80")};
  cuda_text(p, &o, &text);
  program = p;
  device = emulation(text.p);
  eval_kernel = launch_emulated;
}

static void run(void *u) {
  const Args *a = u;
  Program *p = compile(a);
  if (a->cuda) use_cuda(p);
  Tensor **in = NEWN(Tensor *, p->nin + 1), **out = NEWN(Tensor *, p->nout + 1);
  FILE *f = fopen(a->in, "rb");
  if (!f) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s", a->in);
  bool end = false;
  for (int i = 0; i < p->nin && !end; i++) in[i] = (Tensor *)(uintptr_t)read_tensor(f, &end);
  fclose(f);
  EvalFault fault = {.site = -1};
  Exit code = program_eval(p, in, out, &fault);
  if (code != EXIT_OK)
    fail(code, "evalrun.run", NOWHERE, "the run failed%s%s (value %lld)", fault.site >= 0 ? ": " : "",
         fault.site >= 0 ? p->site[fault.site].text : "", (long long)fault.value);
  f = fopen(a->out, "wb");
  if (!f) fail(EXIT_OUTPUT, "io.open", NOWHERE, "cannot write %s", a->out);
  for (int i = 0; i < p->nout; i++) write_tensor(f, out[i]);
  fclose(f);
}

int main(int argc, char **argv) {
  Args a = {.opt = 2};
  if (argc > 1 && !strcmp(argv[1], "-O0")) a.opt = 0, argc--, argv++;
  if (argc > 1 && !strcmp(argv[1], "--cuda")) a.cuda = true, argc--, argv++;
  if (argc != 4) return fprintf(stderr, "usage: evalrun [-O0] [--cuda] MODEL INPUTS OUTPUTS\n"), EXIT_USAGE;
  a.model = argv[1], a.in = argv[2], a.out = argv[3];
  return protect(run, &a);
}
