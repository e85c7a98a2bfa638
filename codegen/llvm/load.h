// load.h - runs compiled kernels in this process: for tests, fuzzers and the tuner. The compiler itself never does.
#pragma once
#include "ir/kernel.h"
#include "ir/target.h"

typedef struct Loaded Loaded;
Loaded *llvm_load_kernel(Kernel *, const Target *, int opt); // emitted here, linked by ld, dlopened
// param: addresses of the kernel's parameters; symbol: values of kernel->sym. Phases run one after the other, chunks in order, or from the
// last to the first (backwards). false: a let was violated; fault (may be NULL) has the smallest report.
bool loaded_run(Loaded *, void *const *param, const int64_t *symbol, bool backwards, EvalFault *fault);
void loaded_close(Loaded *);
