// target.h - what a target is, as data: schedulers read it, emitters obey it. Rows live in codegen/targets.c; ir only names the struct.
#pragma once
#include "base.h"

typedef enum Backend { BACKEND_LLVM, BACKEND_CUDA } Backend;
typedef struct Target {
  const char *name; // "x86-64-v4", "native", "sm_80"
  Backend backend;
  const char *triple, *cpu, *features; // LLVM's; CUDA: cpu is the arch
  int lanes;                           // f32 lanes of a vector register: 16, 8, 4; CUDA: 1 (threads are lanes)
  int vregs;                           // vector registers
  int fma_latency, fma_ports, load_ports;
  int64_t l1, l2, l3; // bytes a core may count on
  bool vnni, bf16;    // u8*s8 dot, bf16 dot
  uint64_t cpu_bits;  // TN_CPU_* of runtime/rt.h that the code needs
  int threads_block;  // CUDA: threads of a block
  int64_t shared;     // CUDA: bytes of shared memory a block may use
} Target;
