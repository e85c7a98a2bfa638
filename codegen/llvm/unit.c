// unit.c - modules to objects: the passes, and the units that forked workers compile.
//
// LLVM may abort, so it never runs in the compiler's own process: a unit (some kernels, or the host program) is emitted and compiled by a
// forked worker that leaves its bytes in a memfd. Units depend on the program alone, never on the number of workers: same input, same
// bytes. A worker that dies is repeated once without optimisation; if that dies too, the kernel it dies of is found and shown.
#include "emit.h"
#include <errno.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- one module ---- */

static LLVMTargetMachineRef machine(const CodegenOptions *o) {
  static LLVMTargetMachineRef tm[2];
  LLVMTargetRef t;
  char *err = NULL;
  if (tm[o->opt > 0]) return tm[o->opt > 0];
  LLVMInitializeX86TargetInfo();
  LLVMInitializeX86Target();
  LLVMInitializeX86TargetMC();
  LLVMInitializeX86AsmPrinter();
  if (LLVMGetTargetFromTriple(o->target->triple, &t, &err)) bug("LLVM has no target %s: %s", o->target->triple, err);
  LLVMCodeGenOptLevel level = o->opt ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelNone;
  return tm[o->opt > 0] = LLVMCreateTargetMachine(t, o->target->triple, "x86-64", "", level, LLVMRelocPIC, LLVMCodeModelSmall);
}

void module_open(const CodegenOptions *o, const char *name) {
  LLVMContextRef cx = LLVMContextCreate();
  int serial = em.serial;
  em = (Emit){.cx = cx, .opt = o, .target = o->target, .serial = serial};
  em.mod = LLVMModuleCreateWithNameInContext(name, cx);
  em.b = LLVMCreateBuilderInContext(cx);
  em.i1 = LLVMInt1TypeInContext(cx), em.i8 = LLVMInt8TypeInContext(cx), em.i16 = LLVMInt16TypeInContext(cx);
  em.i32 = LLVMInt32TypeInContext(cx), em.i64 = LLVMInt64TypeInContext(cx);
  em.f16 = LLVMHalfTypeInContext(cx), em.f32 = LLVMFloatTypeInContext(cx), em.f64 = LLVMDoubleTypeInContext(cx);
  em.ptr = LLVMPointerTypeInContext(cx, 0), em.none = LLVMVoidTypeInContext(cx);
  LLVMSetTarget(em.mod, o->target->triple);
  LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine(o));
  LLVMSetModuleDataLayout(em.mod, layout);
  LLVMDisposeTargetData(layout);
}

static void optimise(void) {
  const char *passes =
      em.opt->opt ? "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,loop-mssa(licm),early-cse)" : "function(sroa)";
  LLVMPassBuilderOptionsRef po = LLVMCreatePassBuilderOptions();
  LLVMErrorRef e = LLVMRunPasses(em.mod, passes, machine(em.opt), po);
  if (e) bug("LLVM's passes: %s", LLVMGetErrorMessage(e));
  LLVMDisposePassBuilderOptions(po);
}

Blob module_close(void) {
  char *err = NULL;
  if (LLVMVerifyModule(em.mod, LLVMReturnStatusAction, &err))
    bug("LLVM refuses %s: %s", LLVMGetModuleIdentifier(em.mod, &(size_t){0}), err);
  optimise();
  Blob b;
  if (em.opt->form == LLVM_TEXT) {
    char *text = LLVMPrintModuleToString(em.mod);
    b = (Blob){mem_copy(text, strlen(text)), strlen(text)};
    LLVMDisposeMessage(text);
  } else {
    LLVMMemoryBufferRef mb;
    LLVMCodeGenFileType type = em.opt->form == LLVM_ASM ? LLVMAssemblyFile : LLVMObjectFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine(em.opt), em.mod, type, &err, &mb)) bug("LLVM cannot generate code: %s", err);
    b = (Blob){mem_copy(LLVMGetBufferStart(mb), LLVMGetBufferSize(mb)), LLVMGetBufferSize(mb)};
    LLVMDisposeMemoryBuffer(mb);
  }
  LLVMDisposeBuilder(em.b);
  LLVMDisposeModule(em.mod);
  LLVMContextDispose(em.cx);
  return b;
}

/* ---- units ---- */

enum { UNIT_SIZE = 1500 }; // statements after unrolling: about 0.2 s of LLVM

typedef struct Unit {
  int first, last; // kernels first .. last-1
  bool host;       // and the host program
  pid_t pid;
  int fd, tries;
} Unit;

static int64_t size_of(const Tree *t) { // statements that will be emitted
  int64_t sum = 0, n;
  for (; t; t = t->next)
    if (t->kind == T_STMT) sum++;
    else if (t->body) {
      bool copies = t->kind == T_FOR && t->map == MAP_UNROLL && ix_const(t->ext, &n);
      sum += size_of(t->body) * (copies ? n : 1);
    }
  return sum;
}

static int units_of(const Program *p, bool one, Unit **out) {
  Unit *u = NULL;
  int n = 0, cap = 0, first = 0;
  int64_t size = 0;
  for (int i = 0; i < p->nkernel; i++) {
    size += size_of(p->kernel[i]->tree);
    if (one || size < UNIT_SIZE || i + 1 == p->nkernel) continue;
    PUSH(u, n, cap, (Unit){.first = first, .last = i + 1});
    first = i + 1, size = 0;
  }
  bool alone = n == 0;
  PUSH(u, n, cap, (Unit){.first = first, .last = p->nkernel, .host = alone});
  if (!alone) PUSH(u, n, cap, (Unit){.host = true});
  *out = u;
  return n;
}

static Blob unit_compile(Program *p, const CodegenOptions *o, const Unit *u, bool internal) {
  module_open(o, u->host ? "host" : fmt("kernels %d..%d", u->first, u->last - 1));
  for (int i = u->first; i < u->last; i++) kernel_emit(p->kernel[i], i, internal);
  if (u->host) host_emit(p);
  return module_close();
}

static void write_all(int fd, const Blob *b) {
  const char *p = b->p;
  for (size_t at = 0; at < b->n;) {
    ssize_t w = write(fd, p + at, b->n - at);
    if (w < 0 && errno != EINTR) _exit(EXIT_IO);
    if (w > 0) at += (size_t)w;
  }
}

static void unit_start(Program *p, const CodegenOptions *o, Unit *u, bool internal) {
  CodegenOptions plain = *o;
  if (u->tries++) plain.opt = 0;
  u->fd = memfd_create("unit", MFD_CLOEXEC);
  if (u->fd < 0) fail(EXIT_IO, "codegen.memfd", NOWHERE, "no memory file for code: %s", strerror(errno));
  fflush(NULL);
  u->pid = fork();
  if (u->pid < 0) fail(EXIT_IO, "codegen.fork", NOWHERE, "no worker process: %s", strerror(errno));
  if (u->pid) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Blob b = unit_compile(p, &plain, u, internal);
  write_all(u->fd, &b);
  _exit(EXIT_OK);
}

static Blob unit_result(const Unit *u) {
  off_t n = lseek(u->fd, 0, SEEK_END);
  void *m = n > 0 ? mmap(NULL, (size_t)n, PROT_READ, MAP_PRIVATE, u->fd, 0) : MAP_FAILED;
  if (m == MAP_FAILED) bug("a worker left no code");
  close(u->fd);
  return (Blob){m, (size_t)n};
}

static bool survives(Program *p, const CodegenOptions *o, Unit u) { // alone, without optimisation
  int status;
  u.tries = 1;
  unit_start(p, o, &u, false);
  close(u.fd);
  while (waitpid(u.pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && !WEXITSTATUS(status);
}

static _Noreturn void unit_failed(Program *p, const CodegenOptions *o, const Unit *u) {
  for (int i = u->first; i < u->last; i++)
    if (!survives(p, o, (Unit){.first = i, .last = i + 1})) {
      Text t = {0};
      kernel_print(p->kernel[i], &t);
      bug("the code generator died of kernel %d:\n%s", i, t.p);
    }
  bug("the code generator died of %s", u->host ? "the host program" : fmt("kernels %d..%d", u->first, u->last - 1));
}

static Unit *unit_wait(Unit *u, int n, bool *good) { // any that ends
  int status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno != EINTR) bug("a worker vanished");
    for (int i = 0; pid > 0 && i < n; i++)
      if (u[i].pid == pid) {
        *good = WIFEXITED(status) && !WEXITSTATUS(status);
        return &u[i];
      }
  }
}

int llvm_emit(Program *p, const CodegenOptions *o, Blob **out) {
  Unit *u;
  int n = units_of(p, o->form != LLVM_OBJECT, &u), started = 0, done = 0, jobs = o->jobs > 0 ? o->jobs : 1;
  Blob *b = NEWN(Blob, n);
  while (done < n) {
    while (started < n && started - done < jobs) unit_start(p, o, &u[started++], n == 1);
    bool good;
    Unit *e = unit_wait(u, started, &good);
    e->pid = 0;
    if (good) {
      b[e - u] = unit_result(e);
      progress("codegen", ++done, n);
      continue;
    }
    close(e->fd);
    if (e->tries > 1) unit_failed(p, o, e);
    report(LEVEL_WARNING, EXIT_BUG, "codegen.crash", NOWHERE, "the code generator died; trying again without optimisation");
    unit_start(p, o, e, n == 1);
  }
  *out = b;
  return n;
}
