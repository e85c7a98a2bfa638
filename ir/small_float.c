// small_float.c - the floats of 16 bits and less: bits <-> double, one table of formats. All doubles convert with one rounding.
#include "type.h"
#include <math.h>

// What the topmost exponent means
typedef enum Special {
  IEEE,   // infinity and NaN, as in f32
  FN,     // only the all-ones pattern is NaN; no infinity
  FNUZ,   // the pattern of -0 is NaN; no infinity, no -0
  FINITE, // neither
} Special;
typedef struct Format {
  int exponent, mantissa, bias;
  Special special;
} Format;
static const Format formats[DT_COUNT] = {
    [DT_F16] = {5, 10, 15, IEEE},      [DT_BF16] = {8, 7, 127, IEEE},   [DT_F8E4M3FN] = {4, 3, 7, FN},
    [DT_F8E4M3FNUZ] = {4, 3, 8, FNUZ}, [DT_F8E5M2] = {5, 2, 15, IEEE},  [DT_F8E5M2FNUZ] = {5, 2, 16, FNUZ},
    [DT_F4E2M1] = {2, 1, 1, FINITE},   [DT_F6E2M3] = {2, 3, 1, FINITE}, [DT_F6E3M2] = {3, 2, 3, FINITE},
};

static const Format *format_of(DType d) {
  if (!formats[d].exponent) bug("%s is not a small float type", dtypes[d].name);
  return &formats[d];
}

double small_to_double(DType d, uint32_t bits) {
  if (d == DT_F8E8M0) return (bits & 255) == 255 ? (double)NAN : ldexp(1, (int)(bits & 255) - 127);
  const Format *f = format_of(d);
  uint32_t top = (1u << f->exponent) - 1, ones = (1u << f->mantissa) - 1;
  uint32_t m = bits & ones, e = bits >> f->mantissa & top;
  bool negative = bits >> (f->mantissa + f->exponent) & 1;
  double v;
  if (f->special == FNUZ && negative && e == 0 && m == 0) return (double)NAN;
  if (f->special == IEEE && e == top) v = m ? (double)NAN : (double)INFINITY;
  else if (f->special == FN && e == top && m == ones) v = (double)NAN;
  else if (e == 0) v = ldexp((double)m, 1 - f->bias - f->mantissa);
  else v = ldexp((double)(m | 1u << f->mantissa), (int)e - f->bias - f->mantissa);
  return negative ? -v : v;
}

// A power of two: to the nearer one, ties to the greater; what is below the smallest (and not negative) becomes it.
static uint32_t double_to_e8m0(double v, bool saturate) {
  if (isnan(v) || isinf(v) || v < 0) return 255;
  if (v < 0x1p-127) return 0;
  int e = ilogb(v);
  if (ldexp(v, -e) >= 1.5) e++;
  return e > 127 ? (saturate ? 254 : 255) : (uint32_t)(e + 127);
}

static uint32_t max_bits(const Format *f) { // of the largest finite number
  uint32_t all = (1u << (f->exponent + f->mantissa)) - 1;
  return f->special == IEEE ? all - (1u << f->mantissa) : f->special == FN ? all - 1 : all;
}

static uint32_t overflowed(const Format *f, uint32_t sign, bool saturate, bool wide) {
  uint32_t all = (1u << (f->exponent + f->mantissa)) - 1;
  if (f->special == FINITE || (saturate && !wide)) return sign | max_bits(f);
  if (f->special == IEEE) return sign | (all - ((1u << f->mantissa) - 1));  // infinity
  return f->special == FN ? sign | all : 1u << (f->exponent + f->mantissa); // NaN
}

uint32_t double_to_small(DType d, double v, bool saturate) {
  if (d == DT_F8E8M0) return double_to_e8m0(v, saturate);
  const Format *f = format_of(d);
  uint32_t all = (1u << (f->exponent + f->mantissa)) - 1, sign = signbit(v) ? all + 1 : 0;
  bool wide = d == DT_F16 || d == DT_BF16; // saturation is a matter of the 8-bit types
  if (isnan(v)) {
    if (f->special == IEEE) return sign | (all - (1u << (f->mantissa - 1)) + 1); // quiet
    return f->special == FN ? sign | all : all + 1;                              // FNUZ's NaN; -0 where there is no NaN
  }
  if (isinf(v)) return overflowed(f, sign, saturate, wide);
  double a = fabs(v);
  int least = 1 - f->bias, e = a == 0 ? least : ilogb(a);
  if (e < least) e = least;
  if (e - least > 300) return overflowed(f, sign, saturate, wide);
  // The scaled number carries its implicit one; added to the exponent field, carries and subnormals come out by themselves.
  uint64_t bits = (uint64_t)rint(ldexp(a, f->mantissa - e)) + ((uint64_t)(e - least) << f->mantissa);
  if (bits > max_bits(f)) return overflowed(f, sign, saturate, wide);
  return bits == 0 && f->special == FNUZ ? 0 : sign | (uint32_t)bits;
}
