// emulate.h - runs the text of cuda_text on the CPU: compiles it with emu.h before it by the host's C compiler ($CC or cc), loads it, and
// launches a kernel's phases on the data that the interpreter would use. For tests and test tools; every function is static.
#pragma once
#include "codegen/codegen.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct EmuSize { // as tn_size and the others in prelude.cuh
  int64_t grid, x, y, shared, scratch;
} EmuSize;
typedef struct EmuPhase {
  const char *name;
  int kernel, nparam, nsym;
  void (*run)(void **);
  void (*size)(const int64_t *, EmuSize *);
  int (*temps)(const int64_t *, int64_t *);
} EmuPhase;
typedef struct EmuCell {
  uint64_t key;
  int64_t value;
} EmuCell;
typedef struct Emulation {
  const EmuPhase *phase;
  int (*launch)(void (*run)(void **), void **args, long long grid, int x, int y, long long shared, int falling);
  void *handle;
} Emulation;

static void *emu_poison(int64_t n) { return memset(malloc((size_t)n + 64), 0xff, (size_t)n + 64); }

static bool emu_compile(const char *c, const char *so) {
  const char *cc = getenv("CC") ? getenv("CC") : "cc", *fma = "-w";
#ifdef __x86_64__ // else each product of a sum is a call; the bits are the same
  if (__builtin_cpu_supports("fma")) fma = "-mfma";
#endif
  pid_t pid = fork();
  if (pid == 0) {
    execlp(cc, cc, "-std=gnu17", "-O1", "-w", "-ffp-contract=off", "-fno-strict-aliasing", "-ftrivial-auto-var-init=pattern", "-shared",
           "-fPIC", fma, "-I" SOURCE_DIR "/tests/cuda", c, "-o", so, "-lm", (char *)NULL);
    _exit(127);
  }
  int status = -1;
  return waitpid(pid, &status, 0) == pid && status == 0;
}

static uint64_t emu_hash(const char *text) { // FNV-1a
  uint64_t h = 0xcbf29ce484222325;
  while (*text) h = (h ^ (uint8_t)*text++) * 0x100000001b3;
  return h;
}

// bug() with the file's name if the host compiler refuses the text. TENON_EMULATIONS names a folder where what was compiled stays: a text
// is compiled once there.
static Emulation emulation(const char *text) {
  static int serial;
  const char *keep = getenv("TENON_EMULATIONS"), *dir = keep ? keep : getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
  const char *own = fmt("%s/tenon_cuda_%d_%d", dir, (int)getpid(), serial++), *c = fmt("%s.c", own), *made = fmt("%s.so", own);
  const char *so = keep ? fmt("%s/tenon_cuda_%016llx.so", dir, (unsigned long long)emu_hash(text)) : made;
  if (!keep || access(so, R_OK) != 0) {
    FILE *f = fopen(c, "w");
    if (!f) bug("cannot write %s", c);
    fprintf(f, "#include \"emu.h\"\n%s", text);
    fclose(f);
    if (!emu_compile(c, made) || rename(made, so) != 0) bug("the host compiler refuses the text, see %s", c);
    unlink(c);
  }
  Emulation e = {.handle = dlopen(so, RTLD_NOW)};
  if (!e.handle) bug("%s", dlerror());
  e.phase = dlsym(e.handle, "tn_phases");
  *(void **)&e.launch = dlsym(e.handle, "emu_launch");
  if (!keep) unlink(so);
  return e;
}

// Launches the phases of kernel number `number`, k: parameters' data and symbols' val are set. Threads run in rising or falling order.
// Returns the fault cell; stops behind a phase that faults.
static EmuCell emulate(const Emulation *e, int number, const Kernel *k, bool falling) {
  int64_t *symbol = calloc((size_t)k->nsym + 1, 8), bytes[MAX_BUFS], scratch_bytes;
  void *global[MAX_BUFS], **args = calloc((size_t)(MAX_BUFS + k->nsym + 3), sizeof *args), *scratch, *fault;
  EmuCell cell = {~0ull, 0};
  fault = &cell;
  int ntemp = -1;
  for (int i = 0; i < k->nsym; i++) symbol[i] = k->sym[i]->def ? ix_eval(k->sym[i]->def) : k->sym[i]->val;
  for (const EmuPhase *p = e->phase; p->name && cell.key == ~0ull; p++) {
    if (p->kernel != number) continue;
    EmuSize s;
    int n = 0;
    p->size(symbol, &s);
    if (ntemp < 0)
      for (int i = ntemp = 0, count = p->temps(symbol, bytes); i < count; i++) global[ntemp++] = emu_poison(bytes[i]);
    scratch_bytes = s.scratch;
    scratch = emu_poison(s.scratch * s.grid);
    for (int i = 0; i < p->nparam; i++) args[n++] = (void *)(uintptr_t)&k->buf[i]->data;
    for (int i = 0; i < ntemp; i++) args[n++] = &global[i];
    for (int i = 0; i < p->nsym; i++) args[n++] = &symbol[i];
    args[n++] = &scratch, args[n++] = &scratch_bytes, args[n++] = &fault;
    if (e->launch(p->run, args, s.grid, (int)s.x, (int)s.y, s.shared, falling)) bug("%s: a barrier is not reached by all threads", p->name);
    free(scratch);
  }
  for (int i = 0; i < ntemp; i++) free(global[i]);
  free(symbol), free(args);
  return cell;
}
