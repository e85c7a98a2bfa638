// codegen.h - from a planned program to files. codegen/llvm and codegen/cuda emit kernels, codegen/artifact writes what the user gets.
#pragma once
#include "ir/host.h"
#include "ir/target.h"

typedef struct Blob { // bytes in mem() or a mapping; never freed
  const void *p;
  size_t n;
} Blob;

/* targets.c */
const Target *target_find(const char *name); // "native", "x86-64-v3", ..; NULL: unknown
const Target *target_host(void);             // the row for this machine's CPU, by detection (cpuid, cache sizes), never by model name
void target_names(Text *);

/* llvm/: kernels and the host program -> one or more relocatable objects. `prefix` starts every symbol the objects define.
   The objects define <prefix>_program, _entry, _workspace, _scratch (rt.h's signatures) and refer to tn_<rt_hash>_* and <prefix>_weights.
   Work is split into units, compiled by forked workers, `jobs` at a time. */
typedef enum LlvmForm { LLVM_OBJECT, LLVM_TEXT, LLVM_ASM } LlvmForm;
typedef struct CodegenOptions {
  const Target *target;
  const char *prefix, *rt_hash; // rt_hash "": names without hash
  int jobs;
  int opt; // 0 or 2
  bool debug;
  LlvmForm form;
} CodegenOptions;
int llvm_emit(Program *, const CodegenOptions *, Blob **out); // number of blobs; fails with a diagnostic

/* cuda/ */
void cuda_text(Program *, const CodegenOptions *, Text *out);    // CUDA C of all kernels, and a table of them
Blob cuda_compile(const char *text, const char *arch, bool ptx); // NVRTC, dlopened; fails (EXIT_UNSUPPORTED) without it

/* artifact/ */
typedef enum ArtifactKind { ARTIFACT_SO, ARTIFACT_EXE, ARTIFACT_STATIC, ARTIFACT_OBJ } ArtifactKind;
typedef struct ArtifactOptions {
  ArtifactKind kind;
  const char *out, *name; // file (header goes beside it as <name>.h); symbol prefix
  const char *linker;     // NULL: search
  const Target *target;
  const char *version; // of tenon
} ArtifactOptions;
Sym sha256_of_file(const char *path); // 64 hex digits; "": it cannot be read
const char *artifact_rt_hash(void);   // content hash of the embedded runtime
void artifact_write(Program *, int nobj, const Blob *obj,
                    const ArtifactOptions *); // tables, header, weights (packed as HBuf.lay says), link; atomic
