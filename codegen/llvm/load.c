// load.c - a kernel to an object, to a shared library, into this process.
#include "load.h"
#include "emit.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void Body(const int64_t *arg, int64_t chunk, char *scratch);
typedef void FaultHook(void *frame, uint32_t site, int64_t pos, int64_t value);
struct Loaded {
  void *so;
  Kernel *k;
  int nphase, ntemp;
  Phase *phase;
  Body **body;
  Buf **temp;
};

// The runtime is not there: its one function that kernels call goes through a pointer which loaded_run can reach.
static void define_fault(void) {
  V f = LLVMGetNamedFunction(em.mod, "tn_fault"), hook = LLVMAddGlobal(em.mod, em.ptr, "fault_hook"), arg[4];
  LLVMSetInitializer(hook, LLVMConstNull(em.ptr));
  if (!f) return;
  em.fn = f;
  LLVMPositionBuilderAtEnd(em.b, new_block("entry"));
  for (unsigned i = 0; i < 4; i++) arg[i] = LLVMGetParam(f, i);
  LLVMBuildCall2(em.b, LLVMGlobalGetValueType(f), load_at(em.ptr, hook, 8), arg, 4, "");
  LLVMBuildRetVoid(em.b);
}

static Blob object_of(Kernel *k, const Target *target, int opt, int nphase) {
  CodegenOptions o = {.target = target, .prefix = "t", .rt_hash = "", .opt = opt};
  module_open(&o, "loaded");
  kernel_emit(k, 0, false);
  for (int p = 0; p < nphase; p++) LLVMSetVisibility(phase_declare(0, p), LLVMDefaultVisibility);
  define_fault();
  return module_close();
}

static void *link_and_open(Blob object) {
  char dir[] = "/tmp/tenon-load-XXXXXX";
  if (!mkdtemp(dir)) fail(EXIT_IO, "load.dir", NOWHERE, "no directory %s", dir);
  char *o = fmt("%s/k.o", dir), *so = fmt("%s/k.so", dir);
  FILE *f = fopen(o, "wb");
  if (!f || fwrite(object.p, 1, object.n, f) != object.n || fclose(f)) fail(EXIT_IO, "load.write", NOWHERE, "cannot write %s", o);
  pid_t pid = fork();
  if (!pid) {
    execlp("ld", "ld", "-shared", "-z", "defs", "-o", so, o, (char *)NULL);
    _exit(127);
  }
  int status = 1;
  if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) fail(EXIT_OUTPUT, "load.link", NOWHERE, "ld cannot link a kernel");
  void *h = dlopen(so, RTLD_NOW | RTLD_LOCAL);
  if (!h) fail(EXIT_OUTPUT, "load.open", NOWHERE, "%s", dlerror());
  unlink(o), unlink(so), rmdir(dir);
  return h;
}

static EvalFault worst;
static bool faulted;
static void fault_seen(void *frame, uint32_t site, int64_t pos, int64_t value) {
  (void)frame;
  int s = (int)site;
  if (faulted && (s > worst.site || (s == worst.site && pos >= worst.pos))) return;
  worst = (EvalFault){s, pos, value}, faulted = true;
}

Loaded *llvm_load_kernel(Kernel *k, const Target *target, int opt) {
  Loaded *l = NEW(Loaded);
  l->k = k;
  l->nphase = kernel_phases(k, &l->phase);
  l->ntemp = kernel_temps(k, &l->temp);
  l->so = link_and_open(object_of(k, target, opt, l->nphase));
  l->body = NEWN(Body *, l->nphase + 1);
  for (int p = 0; p < l->nphase; p++) *(void **)&l->body[p] = dlsym(l->so, fmt("t_k0_p%d", p));
  *(FaultHook **)dlsym(l->so, "fault_hook") = fault_seen;
  return l;
}

static void *room(IExpr *bytes) {
  int64_t n = ix_eval(bytes);
  void *p = aligned_alloc(64, (size_t)(n + 128) / 64 * 64);
  if (p) memset(p, 0xa5, (size_t)(n + 128) / 64 * 64); // nothing may depend on what was there
  return p;
}

bool loaded_run(Loaded *l, void *const *param, const int64_t *symbol, bool backwards, EvalFault *fault) {
  int64_t arg[MAX_BUFS + 64];
  int n = 0, params = kernel_params(l->k);
  for (int i = 0; i < l->k->nsym; i++) l->k->sym[i]->val = symbol[i];
  arg[n++] = 0;
  for (int i = 0; i < params; i++) arg[n++] = (int64_t)param[i];
  void *temp[MAX_BUFS], *scratch = room(kernel_scratch(l->k));
  for (int i = 0; i < l->ntemp; i++) arg[n++] = (int64_t)(temp[i] = room(buf_bytes(l->temp[i])));
  for (int i = 0; i < l->k->nsym; i++) arg[n++] = symbol[i];
  faulted = false;
  for (int p = 0; p < l->nphase && !faulted; p++) {
    int64_t chunks = ix_eval(phase_chunks(&l->phase[p]));
    for (int64_t c = 0; c < chunks; c++) l->body[p](arg, backwards ? chunks - 1 - c : c, scratch);
  }
  for (int i = 0; i < l->ntemp; i++) free(temp[i]);
  free(scratch);
  if (faulted && fault) *fault = worst;
  return !faulted;
}

void loaded_close(Loaded *l) { dlclose(l->so); }
