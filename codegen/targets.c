// targets.c - the target table. Tuning constants come from the named row, never from the machine that compiles, except for `native`, whose
// row is found by detection: cpuid features and cache sizes, never a model name.
#include "codegen/codegen.h"
#include "runtime/rt.h"
#include <cpuid.h>
#include <string.h>

#define ROW(n, cpu_, features_, ...)                                                                                                       \
  {.name = n,                                                                                                                              \
   .backend = BACKEND_LLVM,                                                                                                                \
   .triple = "x86_64-unknown-linux-gnu",                                                                                                   \
   .cpu = cpu_,                                                                                                                            \
   .features = features_,                                                                                                                  \
   .fma_latency = 4,                                                                                                                       \
   .fma_ports = 2,                                                                                                                         \
   .load_ports = 2,                                                                                                                        \
   __VA_ARGS__}
// Caches: what the smallest common server core of the level has for itself (l3: its share).
static const Target rows[] = {
    ROW("x86-64-v3", "x86-64-v3", "", .lanes = 8, .vregs = 16, .l1 = 32 << 10, .l2 = 256 << 10, .l3 = 1 << 20, .cpu_bits = TN_CPU_V3),
    ROW("x86-64-v4", "x86-64-v4", "", .lanes = 16, .vregs = 32, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 1 << 20,
        .cpu_bits = TN_CPU_V3 | TN_CPU_V4),
    ROW("x86-64-v4+vnni", "x86-64-v4", "+avx512vnni", .lanes = 16, .vregs = 32, .l1 = 32 << 10, .l2 = 1 << 20, .l3 = 1 << 20, .vnni = true,
        .cpu_bits = TN_CPU_V3 | TN_CPU_V4 | TN_CPU_VNNI),
    ROW("x86-64-v4+vnni+bf16", "x86-64-v4", "+avx512vnni,+avx512bf16", .lanes = 16, .vregs = 32, .l1 = 32 << 10, .l2 = 1 << 20,
        .l3 = 1 << 20, .vnni = true, .bf16 = true, .cpu_bits = TN_CPU_V3 | TN_CPU_V4 | TN_CPU_VNNI | TN_CPU_BF16),
    {.name = "sm_80",
     .backend = BACKEND_CUDA,
     .triple = "",
     .cpu = "sm_80",
     .features = "",
     .lanes = 1,
     .vregs = 255,
     .fma_latency = 4,
     .fma_ports = 1,
     .load_ports = 1,
     .l1 = 164 << 10,
     .l2 = 40 << 20,
     .threads_block = 256,
     .shared = 48 << 10},
    {.name = "sm_90a",
     .backend = BACKEND_CUDA,
     .triple = "",
     .cpu = "sm_90a",
     .features = "",
     .lanes = 1,
     .vregs = 255,
     .fma_latency = 4,
     .fma_ports = 1,
     .load_ports = 1,
     .l1 = 228 << 10,
     .l2 = 50 << 20,
     .threads_block = 256,
     .shared = 48 << 10},
};
enum { ROWS = sizeof rows / sizeof *rows };

#if defined(__x86_64__)
typedef struct Regs {
  uint32_t a, b, c, d;
} Regs;
static Regs leaf(uint32_t l, uint32_t sub) {
  Regs r = {0};
  if (__get_cpuid_max(l & 0x80000000, NULL) >= l) __cpuid_count(l, sub, r.a, r.b, r.c, r.d);
  return r;
}
static uint64_t saved_by_os(void) { // XCR0
  uint32_t lo, hi;
  if (!(leaf(1, 0).c >> 27 & 1)) return 0;
  __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return (uint64_t)hi << 32 | lo;
}

// Bytes of the data cache of a level that one core may count on: deterministic cache parameters, Intel's leaf or AMD's.
static int64_t cache_bytes(uint32_t level, int64_t other) {
  Regs vendor = leaf(0x80000000, 0);
  uint32_t from = leaf(4, 0).a & 31 ? 4 : vendor.a >= 0x8000001d ? 0x8000001d : 0;
  for (uint32_t i = 0; from && i < 16; i++) {
    Regs r = leaf(from, i);
    uint32_t type = r.a & 31, shared = (r.a >> 14 & 0xfff) + 1;
    if (!type) break;
    if ((r.a >> 5 & 7) != level || type == 2) continue; // 2: instructions
    int64_t bytes = ((int64_t)(r.b >> 22) + 1) * ((r.b >> 12 & 0x3ff) + 1) * ((r.b & 0xfff) + 1) * ((int64_t)r.c + 1);
    return level == 3 ? bytes / shared : bytes;
  }
  return other;
}

static const Target *detect(void) {
  bool zmm = (saved_by_os() & 0xe6) == 0xe6;
  Regs f = leaf(7, 0), f1 = leaf(7, 1);
  uint32_t v4 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; // F DQ CD BW VL
  bool avx512 = zmm && (f.b & v4) == v4, vnni = avx512 && (f.c >> 11 & 1), bf16 = vnni && (f1.a >> 5 & 1);
  static Target native;
  native = *target_find(!avx512 ? "x86-64-v3" : !vnni ? "x86-64-v4" : bf16 ? "x86-64-v4+vnni+bf16" : "x86-64-v4+vnni");
  native.name = "native";
  native.l1 = cache_bytes(1, native.l1);
  native.l2 = cache_bytes(2, native.l2);
  native.l3 = cache_bytes(3, native.l3);
  return &native;
}
#else
static const Target *detect(void) { return &rows[0]; }
#endif

const Target *target_host(void) {
  static const Target *host;
  return host ? host : (host = detect());
}

const Target *target_find(const char *name) {
  if (!strcmp(name, "native")) return target_host();
  for (int i = 0; i < ROWS; i++)
    if (!strcmp(rows[i].name, name)) return &rows[i];
  return NULL;
}

void target_names(Text *t) {
  for (int i = 0; i < ROWS; i++) put(t, "%s\n", rows[i].name);
  put(t, "native\n");
}
