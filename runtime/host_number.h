/* host_number.h - decimal text and binary numbers, correctly rounded, without the C library (whose functions depend on the locale). */
#pragma once
#include "host.h"

/* digits: bits of the mantissa: 53 for f64, 24 f32, 11 f16, 8 bf16. false: s is no number. Knows nan, inf, infinity in any case, and blanks
 * around. */
bool number_parse(tenon_str s, int digits, double *v);
bool number_parse_int(tenon_str s, int64_t *v, bool *big); /* big: does not fit */
/* The shortest text that reads back as v, in Python's form: 1.0, 1e-07, nan, -inf. Returns the length; to has room for 32. */
int number_print(double v, int digits, char *to);
int number_print_int(int64_t v, bool is_unsigned, char *to);
