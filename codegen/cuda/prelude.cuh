/* prelude.cuh - what the kernels of the text below stand on: scalar operations that are total (ir/scalar.def), storage conversions, and
   the few CUDA words they use. It has two bodies: CUDA C under NVRTC (compiled with -fmad=false), plain C on the host, where
   tests/cuda/emu.h runs the same kernels with fibers as threads. */
#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define DEV static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define SHARED extern __shared__ __align__(128) unsigned char tn_shared[];
#define SYNC __syncthreads()
#define BOUNDS(n) __launch_bounds__(n)
#define TX ((int)threadIdx.x)
#define TY ((int)threadIdx.y)
#define BX ((i64)blockIdx.x)
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#define NAN __longlong_as_double(0x7ff8000000000000LL)
#else
#include <math.h>
#include <stdbool.h>
#include <string.h>
#define BOUNDS(n)
#define TX emu_thread(0)
#define TY emu_thread(1)
#define BX emu_block()
#define KERNEL static void
#define DEV static inline
#define UNROLL
#define SHARED unsigned char *tn_shared = emu_shared();
#define SYNC emu_sync()
#endif
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef float f32;
typedef double f64;

/* The first fault in (site, position) order; site -1: none. Kernels of one launch race for it by the key. */
typedef struct tn_cell {
  u64 key; /* site << 40 | position; all ones: none */
  i64 value;
} tn_cell;

#ifndef __CUDACC__
/* What the host knows of a phase. run: arguments as cuLaunchKernel takes them: the parameters, the temps that live across the phases of
   the kernel, the symbols, scratch, bytes of scratch for each block, fault. */
typedef struct tn_size {
  i64 grid, x, y, shared, scratch;
} tn_size;
typedef struct tn_phase {
  const char *name;
  int kernel, nparam, nsym;
  void (*run)(void **args);
  void (*size)(const i64 *sym, tn_size *);
  int (*temps)(const i64 *sym, i64 *bytes);
} tn_phase;
#endif

/* ---- bits ---- */
#ifdef __CUDACC__
DEV i32 tn_bits_f32(f32 x) { return __float_as_int(x); }
DEV f32 tn_f32_bits(i32 x) { return __int_as_float(x); }
DEV i64 tn_bits_f64(f64 x) { return __double_as_longlong(x); }
DEV f64 tn_f64_bits(i64 x) { return __longlong_as_double(x); }
DEV void tn_fault(tn_cell *c, i64 site, i64 pos, i64 value) {
  u64 key = (u64)site << 40 | ((u64)pos & 0xffffffffffULL);
  if (atomicMin(&c->key, key) > key) c->value = value;
}
#else
DEV i32 tn_bits_f32(f32 x) { i32 r; memcpy(&r, &x, 4); return r; }
DEV f32 tn_f32_bits(i32 x) { f32 r; memcpy(&r, &x, 4); return r; }
DEV i64 tn_bits_f64(f64 x) { i64 r; memcpy(&r, &x, 8); return r; }
DEV f64 tn_f64_bits(i64 x) { f64 r; memcpy(&r, &x, 8); return r; }
DEV void tn_fault(tn_cell *c, i64 site, i64 pos, i64 value) {
  u64 key = (u64)site << 40 | ((u64)pos & 0xffffffffffULL);
  if (key < c->key) c->key = key, c->value = value;
}
#endif

/* ---- index arithmetic ---- */
DEV i64 tn_div(i64 a, i64 b) { i64 q; if (b == 0) return 0; q = a / b; return q - (a % b != 0 && (a < 0) != (b < 0)); }
DEV i64 tn_relu(i64 a) { return a > 0 ? a : 0; }
DEV i64 tn_bcast(i64 a, i64 b) { return a == 1 ? b : a; }
DEV i64 tn_clamp(i64 v, i64 lo, i64 hi) { v = v > hi ? hi : v; return v < lo ? lo : v; }

/* ---- floats ---- */
DEV i64 tn_i62(f64 x) { return x >= 4611686018427387904.0 ? 4611686018427387904LL : x > -4611686018427387904.0 ? (i64)x : -4611686018427387904LL; }
DEV f32 tn_min_f32(f32 x, f32 y) { return x < y || x != x ? x : y; }
DEV f32 tn_max_f32(f32 x, f32 y) { return x > y || x != x ? x : y; }
DEV f64 tn_min_f64(f64 x, f64 y) { return x < y || x != x ? x : y; }
DEV f64 tn_max_f64(f64 x, f64 y) { return x > y || x != x ? x : y; }
DEV i32 tn_i32_f32(f32 x) { return x >= -2147483648.0f && x < 2147483648.0f ? (i32)x : (i32)0x80000000; }
DEV i64 tn_i64_f32(f32 x) { return x >= -9223372036854775808.0f && x < 9223372036854775808.0f ? (i64)x : (i64)0x8000000000000000ULL; }
DEV i32 tn_i32_f64(f64 x) { return x > -2147483649.0 && x < 2147483648.0 ? (i32)x : (i32)0x80000000; }
DEV i64 tn_i64_f64(f64 x) { return x >= -9223372036854775808.0 && x < 9223372036854775808.0 ? (i64)x : (i64)0x8000000000000000ULL; }

/* ---- integers: total division, remainder and shifts ---- */
DEV i32 tn_idiv_i32(i32 x, i32 y) { return y == 0 ? 0 : y == -1 ? (i32)(0u - (u32)x) : x / y; }
DEV i64 tn_idiv_i64(i64 x, i64 y) { return y == 0 ? 0 : y == -1 ? (i64)(0ull - (u64)x) : x / y; }
DEV i32 tn_irem_i32(i32 x, i32 y) { return y == 0 || y == -1 ? 0 : x % y; }
DEV i64 tn_irem_i64(i64 x, i64 y) { return y == 0 || y == -1 ? 0 : x % y; }
DEV i32 tn_udiv_i32(i32 x, i32 y) { return y == 0 ? 0 : (i32)((u32)x / (u32)y); }
DEV i64 tn_udiv_i64(i64 x, i64 y) { return y == 0 ? 0 : (i64)((u64)x / (u64)y); }
DEV i32 tn_urem_i32(i32 x, i32 y) { return y == 0 ? 0 : (i32)((u32)x % (u32)y); }
DEV i64 tn_urem_i64(i64 x, i64 y) { return y == 0 ? 0 : (i64)((u64)x % (u64)y); }
DEV i32 tn_shl_i32(i32 x, i32 y) { return (u32)y < 32 ? (i32)((u32)x << y) : 0; }
DEV i64 tn_shl_i64(i64 x, i64 y) { return (u64)y < 64 ? (i64)((u64)x << y) : 0; }
DEV i32 tn_shr_i32(i32 x, i32 y) { return (u32)y < 32 ? x >> y : x < 0 ? -1 : 0; }
DEV i64 tn_shr_i64(i64 x, i64 y) { return (u64)y < 64 ? x >> y : x < 0 ? -1 : 0; }
DEV i32 tn_ushr_i32(i32 x, i32 y) { return (u32)y < 32 ? (i32)((u32)x >> y) : 0; }
DEV i64 tn_ushr_i64(i64 x, i64 y) { return (u64)y < 64 ? (i64)((u64)x >> y) : 0; }

/* ---- storage: 16-bit floats, and a generic small float (exponent bits e, mantissa bits m; special: 0 as IEEE, 1 only all ones is NaN,
   2 -0 is NaN, 3 neither infinity nor NaN) ---- */
DEV f32 tn_get_bf16(u16 v) { return tn_f32_bits((i32)((u32)v << 16)); }
DEV u16 tn_put_bf16(f32 x) {
  u32 u = (u32)tn_bits_f32(x);
  if (x != x) return (u16)((u >> 16 & 0x8000) | 0x7fc0);
  return (u16)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
#ifdef __CUDACC__
DEV f32 tn_get_f16(u16 v) { f32 r; asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(v)); return r; }
DEV u16 tn_put_f16(f32 x) { u16 r; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(x)); return r; }
#else
DEV f32 tn_get_f16(u16 v) { _Float16 h; memcpy(&h, &v, 2); return (f32)h; }
DEV u16 tn_put_f16(f32 x) { _Float16 h = (_Float16)x; u16 r; memcpy(&r, &h, 2); return r; }
#endif
DEV f32 tn_small_get(u32 v, int e, int m, int bias, int special) {
  u32 top = (1u << e) - 1, ones = (1u << m) - 1, f = v & ones, x = v >> m & top, s = v >> (e + m) & 1;
  f32 r;
  if ((special == 2 && s && !x && !f) || (special == 1 && x == top && f == ones) || (special == 0 && x == top && f)) return tn_f32_bits(0x7fc00000);
  if (special == 0 && x == top) r = tn_f32_bits(0x7f800000);
  else if (x == 0) r = (f32)f * tn_f32_bits((1 - bias - m + 127) << 23);
  else r = tn_f32_bits((i32)(((x - bias + 127) << 23) | f << (23 - m)));
  return s ? -r : r;
}
DEV u32 tn_small_put(f32 x, int e, int m, int bias, int special) {
  u32 u = (u32)tn_bits_f32(x), s = u >> 31 << (e + m), a = u & 0x7fffffff, top = (1u << (e + m)) - 1;
  u32 inf = top - ((1u << m) - 1), over = special == 0 ? s | inf : special == 1 ? s | top : special == 2 ? 1u << (e + m) : s | top;
  i32 x2 = (i32)(a >> 23) - 127 + bias, drop = 23 - m;
  u32 f = (a & 0x7fffff) | 0x800000, q, rest;
  if (x != x) return special == 0 ? s | inf | 1u << (m - 1) : special == 1 ? s | top : 1u << (e + m);
  if (a == 0x7f800000) return over;
  if (a < 0x800000) f = 0;
  if (x2 < 1) drop += 1 - x2, x2 = 1;
  if (drop > 30) q = 0;
  else {
    q = f >> drop, rest = f & ((1u << drop) - 1);
    if (rest > 1u << (drop - 1) || (rest == 1u << (drop - 1) && (q & 1))) q++;
  }
  q += (u32)(x2 - 1) << m;
  if (q > (special == 0 ? inf - 1 : special == 1 ? top - 1 : top)) return over;
  return special == 2 && q == 0 ? 0 : s | q;
}
DEV f32 tn_get_e8m0(u8 v) { return v == 255 ? tn_f32_bits(0x7fc00000) : v == 0 ? tn_f32_bits(0x00400000) : tn_f32_bits((i32)((u32)v << 23)); }
DEV u8 tn_put_e8m0(f32 x) {
  u32 u = (u32)tn_bits_f32(x), e = u >> 23 & 255;
  if (x != x || (u >> 31 && x != 0) || e == 255) return 255;
  if (u << 1 < 0x00800000u) return 0;
  if (e == 0) return (u & 0x7fffff) >= 0x600000 ? 1 : 0;
  return (u8)(e + ((u & 0x7fffff) >= 0x400000));
}
DEV u32 tn_packed(const u8 *p, int bits, i64 i) { int per = 8 / bits; return p[i / per] >> (int)(i % per) * bits & ((1u << bits) - 1); }
DEV i32 tn_extend(u32 v, int bits) { return v >> (bits - 1) ? (i32)v - (1 << bits) : (i32)v; }
/* The neighbours in the byte belong to other threads. Buffers are aligned to four bytes on the device. */
DEV void tn_put_packed(u8 *p, int bits, i64 i, u32 v) {
  int per = 8 / bits, up = (int)(i % per) * bits;
  u32 ones = (1u << bits) - 1;
#ifdef __CUDACC__
  u64 at = (u64)(p + i / per);
  u32 *word = (u32 *)(at & ~3ull);
  up += (int)(at & 3) * 8;
  atomicAnd(word, ~(ones << up));
  atomicOr(word, (v & ones) << up);
#else
  p[i / per] = (u8)((p[i / per] & ~(ones << up)) | (v & ones) << up);
#endif
}
