// compile.c - CUDA C to cubin or PTX by NVRTC, which is loaded when first needed: the compiler itself runs without CUDA.
//
// The log is read in any case: registers that spill to memory, and waits that ptxas had to insert, are errors (they cost a factor, not a
// percent). Needs neither GPU nor driver.
#include "cuda.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef struct Nvrtc {
  int (*create)(void **, const char *, const char *, int, const char *const *, const char *const *);
  int (*compile)(void *, int, const char *const *);
  int (*log_size)(void *, size_t *);
  int (*log)(void *, char *);
  int (*cubin_size)(void *, size_t *);
  int (*cubin)(void *, char *);
  int (*ptx_size)(void *, size_t *);
  int (*ptx)(void *, char *);
  int (*destroy)(void **);
  const char *(*error)(int);
} Nvrtc;

static void *open_library(void) {
  static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so", "/usr/local/cuda/lib64/libnvrtc.so"};
  const char *home = getenv("CUDA_HOME");
  void *h = home ? dlopen(fmt("%s/lib64/libnvrtc.so", home), RTLD_NOW | RTLD_LOCAL) : NULL;
  for (size_t i = 0; !h && i < sizeof names / sizeof *names; i++) h = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return h;
}

static void *symbol(void *h, const char *name) {
  void *p = dlsym(h, name);
  if (!p) fail(EXIT_UNSUPPORTED, "cuda.nvrtc", NOWHERE, "the NVRTC library found has no %s", name);
  return p;
}

static const Nvrtc *nvrtc(void) {
  static Nvrtc n;
  if (n.create) return &n;
  void *h = open_library();
  if (!h)
    fail(EXIT_UNSUPPORTED, "cuda.nvrtc", NOWHERE,
         "PTX and cubin need NVIDIA's NVRTC library (libnvrtc.so), which was not found; set CUDA_HOME");
  *(void **)&n.compile = symbol(h, "nvrtcCompileProgram");
  *(void **)&n.log_size = symbol(h, "nvrtcGetProgramLogSize");
  *(void **)&n.log = symbol(h, "nvrtcGetProgramLog");
  *(void **)&n.cubin_size = symbol(h, "nvrtcGetCUBINSize");
  *(void **)&n.cubin = symbol(h, "nvrtcGetCUBIN");
  *(void **)&n.ptx_size = symbol(h, "nvrtcGetPTXSize");
  *(void **)&n.ptx = symbol(h, "nvrtcGetPTX");
  *(void **)&n.destroy = symbol(h, "nvrtcDestroyProgram");
  *(void **)&n.error = symbol(h, "nvrtcGetErrorString");
  *(void **)&n.create = symbol(h, "nvrtcCreateProgram");
  return &n;
}

static char *read_log(const Nvrtc *n, void *program) {
  size_t size = 0;
  n->log_size(program, &size);
  char *log = mem(size + 1);
  if (size) n->log(program, log);
  return log;
}

// A few words are saved around calls of ptxas's own subroutines (64-bit division): no shortage of registers. More are one; so are ptxas's
// messages that wgmma was serialised.
static const char *spilled(const char *log) {
  enum { FEW = 64 };
  for (const char *p = log; (p = strstr(p, " bytes spill ")); p++) {
    const char *s = p;
    while (s > log && s[-1] >= '0' && s[-1] <= '9') s--;
    if (atoi(s) > FEW) return s;
  }
  return strstr(log, "(C75");
}

static void check_log(const char *log) {
  const char *bad = spilled(log);
  if (!bad) return;
  int n = (int)strcspn(bad, "\n");
  fail(EXIT_LIMIT, "cuda.spill", NOWHERE, "a kernel does not fit the registers: %.*s", n, bad);
}

Blob cuda_compile(const char *text, const char *arch, bool ptx) {
  const Nvrtc *n = nvrtc();
  void *program = NULL;
  // PTX is for processors to come: the virtual architecture of the same number
  const char *target = ptx && strncmp(arch, "sm_", 3) == 0 ? fmt("compute_%.*s", (int)strspn(arch + 3, "0123456789"), arch + 3) : arch;
  const char *options[] = {fmt("--gpu-architecture=%s", target), "--fmad=false", "--ptxas-options=-v", "--std=c++17",
                           "--diag-suppress=177,550"};
  int code = n->create(&program, text, "kernels.cu", 0, NULL, NULL);
  if (code == 0)
    code =
        n->compile(program, ptx ? 2 : 5, (const char *[]){options[0], options[1], ptx ? options[3] : options[2], options[3], options[4]});
  char *log = program ? read_log(n, program) : fmt("%s", n->error(code));
  if (code) bug("NVRTC for %s: %s\n%s", target, n->error(code), log);
  check_log(log);
  Blob b = {NULL, 0};
  code = ptx ? n->ptx_size(program, &b.n) : n->cubin_size(program, &b.n);
  char *p = mem(b.n + 1);
  if (code == 0) code = ptx ? n->ptx(program, p) : n->cubin(program, p);
  if (code) bug("NVRTC for %s: %s", target, n->error(code));
  if (ptx && b.n && p[b.n - 1] == 0) b.n--; // the text's end
  b.p = p;
  n->destroy(&program);
  return b;
}
