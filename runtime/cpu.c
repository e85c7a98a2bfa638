/* cpu.c - what the machine can do, and its floating-point control word. */
#include "rt.h"
#ifdef __x86_64__
#include <cpuid.h>
#include <xmmintrin.h>

typedef struct Leaf {
  unsigned a, b, c, d;
} Leaf;
static Leaf leaf(unsigned id, unsigned sub) {
  Leaf l = {0, 0, 0, 0};
  if (!__get_cpuid_count(id, sub, &l.a, &l.b, &l.c, &l.d)) return (Leaf){0, 0, 0, 0};
  return l;
}
static bool has(unsigned word, unsigned mask) { return (word & mask) == mask; }
/* The register state the OS saves: 6 is xmm and ymm, 0xe6 zmm and masks too. */
static bool os_saves(unsigned mask) {
  unsigned lo, hi;
  if (!has(leaf(1, 0).c, 1u << 27)) return false; /* OSXSAVE */
  __asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return has(lo, mask);
}
static bool cpu_v3(void) {
  const unsigned leaf1 = 1u << 12 | 1u << 22 | 1u << 23 | 1u << 28 | 1u << 29; /* FMA MOVBE POPCNT AVX F16C */
  const unsigned leaf7 = 1u << 3 | 1u << 5 | 1u << 8;                          /* BMI1 AVX2 BMI2 */
  return os_saves(6) && has(leaf(1, 0).c, leaf1) && has(leaf(7, 0).b, leaf7) && has(leaf(0x80000001, 0).c, 1u << 5); /* LZCNT */
}
static bool cpu_v4(void) {
  const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F DQ CD BW VL */
  return cpu_v3() && os_saves(0xe6) && has(leaf(7, 0).b, avx512);
}
static bool cpu_vnni(void) { return has(leaf(7, 0).c, 1u << 11) || has(leaf(7, 1).a, 1u << 4); } /* AVX512-VNNI, AVX-VNNI */
static bool cpu_bf16(void) { return has(leaf(7, 1).a, 1u << 5); }

bool tn_cpu_ok(uint64_t need) {
  return (!(need & TN_CPU_V3) || cpu_v3()) && (!(need & TN_CPU_V4) || cpu_v4()) && (!(need & TN_CPU_VNNI) || cpu_vnni()) &&
         (!(need & TN_CPU_BF16) || cpu_bf16());
}
#else
bool tn_cpu_ok(uint64_t need) { return !(need & ~(uint64_t)TN_CPU_NATIVE); }
#endif

/* Control bits are changed only where they differ: reading costs 1 ns, writing 4. Sticky flags are left to accumulate, as any
   C function with arithmetic in it does. */
uint32_t tn_fp_enter(void) {
#ifdef __x86_64__
  uint32_t was = _mm_getcsr();
  if ((was & ~0x3fu) != 0x1f80) _mm_setcsr(0x1f80);
  return was;
#elif defined __aarch64__
  uint64_t was;
  __asm__ volatile("mrs %0, fpcr" : "=r"(was));
  if (was) __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
  return (uint32_t)was;
#endif
}
void tn_fp_leave(uint32_t was) {
#ifdef __x86_64__
  if ((was & ~0x3fu) != 0x1f80) _mm_setcsr(was);
#elif defined __aarch64__
  if (was) __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)was));
#endif
}
