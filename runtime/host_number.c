/* host_number.c - numbers to text and back, and the Cast ops that use it. All of it is exact integer arithmetic on long numbers, so every
   result is the correctly rounded one. */
#include "host_number.h"
#include <string.h>

/* ---- long numbers: little-endian words; room for every product
   of 800 digits (no double has its halfway point further out) and the powers of ten that a double's range asks for ---- */
enum { WORDS = 160, MAX_DIGITS = 800, MAX_EXP = 420 };
typedef struct Big {
  int n;
  uint32_t w[WORDS];
} Big;
static void big_set(Big *b, uint64_t v) { b->n = v >> 32 ? 2 : v ? 1 : 0, b->w[0] = (uint32_t)v, b->w[1] = (uint32_t)(v >> 32); }
static void big_mul(Big *b, uint32_t by, uint32_t plus) { /* b = b * by + plus */
  uint64_t carry = plus;
  for (int i = 0; i < b->n; i++) carry += (uint64_t)b->w[i] * by, b->w[i] = (uint32_t)carry, carry >>= 32;
  if (carry && b->n < WORDS) b->w[b->n++] = (uint32_t)carry;
}
static void big_pow10(Big *b, int e) {
  for (; e >= 9; e -= 9) big_mul(b, 1000000000u, 0);
  for (; e > 0; e--) big_mul(b, 10, 0);
}
static void big_shift(Big *b, int bits) { /* left */
  int words = bits / 32, k = bits % 32;
  if (!b->n || b->n + words + 1 > WORDS) return;
  for (int i = b->n - 1; i >= 0; i--) b->w[i + words] = b->w[i];
  memset(b->w, 0, (size_t)words * 4);
  b->n += words;
  if (!k) return;
  uint32_t carry = 0;
  for (int i = words; i < b->n; i++) {
    uint32_t v = b->w[i];
    b->w[i] = v << k | carry, carry = v >> (32 - k);
  }
  if (carry) b->w[b->n++] = carry;
}
static int big_bits(const Big *b) { return b->n ? b->n * 32 - __builtin_clz(b->w[b->n - 1]) : 0; }
static int big_cmp(const Big *a, const Big *b) {
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  for (int i = a->n - 1; i >= 0; i--)
    if (a->w[i] != b->w[i]) return a->w[i] < b->w[i] ? -1 : 1;
  return 0;
}
static void big_sub(Big *a, const Big *b) { /* a >= b */
  int64_t borrow = 0;
  for (int i = 0; i < a->n; i++) {
    int64_t v = (int64_t)a->w[i] - (i < b->n ? b->w[i] : 0) + borrow;
    a->w[i] = (uint32_t)v, borrow = v >> 32;
  }
  while (a->n && !a->w[a->n - 1]) a->n--;
}

/* ---- num / den to a float of `digits` bits, half to even ---- */
typedef struct Format {
  int digits, least, most, decimal; /* bits; smallest and largest exponent; decimal digits that always read back */
} Format;
static Format format_of(int digits) {
  static const Format all[] = {{53, -1074, 1024, 17}, {24, -149, 128, 9}, {11, -24, 16, 5}, {8, -133, 128, 4}};
  for (int i = 0; i < 3; i++)
    if (all[i].digits == digits) return all[i];
  return all[3];
}
static double ratio(Big *num, Big *den, int digits) {
  int least = format_of(digits).least, most = format_of(digits).most;
  if (!num->n) return 0;
  int e = big_bits(num) - big_bits(den) - digits; /* the quotient by 2^e has digits or digits + 1 bits */
  if (e < least) e = least;
  if (e > 0) big_shift(den, e);
  else big_shift(num, -e);
  uint64_t q = 0;
  for (int bit = digits + 1; bit >= 0; bit--) { /* long division, bit by bit */
    Big part = *den;
    big_shift(&part, bit);
    if (big_cmp(num, &part) >= 0) big_sub(num, &part), q |= 1ull << bit;
  }
  bool rest = num->n;
  Big twice = *num;
  big_shift(&twice, 1);
  int half = big_cmp(&twice, den);
  if (q >> digits) { /* one bit too many: the last one and the remainder decide */
    if (e + digits + 1 > most) return __builtin_inf();
    half = q & 1 ? (rest ? 1 : 0) : -1, q >>= 1, e++;
  }
  if (half > 0 || (half == 0 && q & 1)) q++;
  if (q >> digits) q >>= 1, e++;
  if (e + digits > most && q >> (digits - 1)) return __builtin_inf();
  double v = (double)q; /* exact: at most 53 bits; now times 2^e, in steps that stay exact */
  for (; e > 0; e--) v *= 2;
  for (; e < 0; e++) v *= 0.5;
  return v;
}
static double from_decimal(const Big *mantissa, int exp10, int digits) {
  Big num = *mantissa, den;
  big_set(&den, 1);
  if (exp10 > 0) big_pow10(&num, exp10);
  else big_pow10(&den, -exp10);
  return ratio(&num, &den, digits);
}

/* ---- text to number ---- */
static tenon_str trimmed(tenon_str s) {
  while (s.len && (s.data[0] == ' ' || (s.data[0] >= 9 && s.data[0] <= 13))) s.data++, s.len--;
  while (s.len && (s.data[s.len - 1] == ' ' || (s.data[s.len - 1] >= 9 && s.data[s.len - 1] <= 13))) s.len--;
  return s;
}
static bool word_is(tenon_str s, const char *w) {
  if (s.len != strlen(w)) return false;
  for (uint64_t i = 0; i < s.len; i++)
    if ((s.data[i] | 32) != w[i]) return false;
  return true;
}
static bool parse_exponent(tenon_str s, uint64_t i, int *e) { /* digits with a sign, to the end */
  bool minus = false;
  int v = 0;
  if (i < s.len && (s.data[i] == '-' || s.data[i] == '+')) minus = s.data[i++] == '-';
  if (i >= s.len) return false;
  for (; i < s.len; i++) {
    if (s.data[i] < '0' || s.data[i] > '9') return false;
    if (v < 100000) v = v * 10 + (s.data[i] - '0');
  }
  *e = minus ? -v : v;
  return true;
}
bool number_parse(tenon_str s, int digits, double *v) {
  s = trimmed(s);
  bool minus = s.len && s.data[0] == '-', point = false, any = false, sticky = false;
  if (s.len && (s.data[0] == '-' || s.data[0] == '+')) s.data++, s.len--;
  if (word_is(s, "nan")) return *v = __builtin_nan(""), true;
  if (word_is(s, "inf") || word_is(s, "infinity")) return *v = minus ? -__builtin_inf() : __builtin_inf(), true;
  Big m = {0};
  int exp10 = 0, e = 0, used = 0;
  uint64_t i = 0;
  for (; i < s.len; i++) {
    char c = s.data[i];
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    any = true;
    if (used < MAX_DIGITS) {
      used += used || c != '0';
      if (c != '0' && !m.n) big_set(&m, (uint64_t)(c - '0'));
      else big_mul(&m, 10, (uint32_t)(c - '0'));
      exp10 -= point;
    } else { /* beyond all halfway cases: what counts is only whether something is there */
      if (c != '0') sticky = true;
      exp10 += !point;
    }
  }
  if (!any || (i < s.len && ((s.data[i] | 32) != 'e' || !parse_exponent(s, i + 1, &e)))) return false;
  exp10 += e;
  if (sticky) big_mul(&m, 10, 1), exp10--, used++;
  if (!m.n || exp10 + used < -MAX_EXP) *v = 0;
  else if (exp10 + used > MAX_EXP) *v = __builtin_inf();
  else *v = from_decimal(&m, exp10, digits);
  if (minus) *v = -*v;
  return true;
}
bool number_parse_int(tenon_str s, int64_t *v, bool *big) {
  s = trimmed(s);
  bool minus = s.len && s.data[0] == '-';
  uint64_t i = s.len && (s.data[0] == '-' || s.data[0] == '+'), x = 0;
  *big = false;
  if (i >= s.len) return false;
  for (; i < s.len; i++) {
    if (s.data[i] < '0' || s.data[i] > '9') return false;
    if (__builtin_mul_overflow(x, 10u, &x) || __builtin_add_overflow(x, (uint64_t)(s.data[i] - '0'), &x)) *big = true;
  }
  if (minus ? x > 1ull << 63 : false) *big = true;
  *v = (int64_t)(minus ? 0 - x : x);
  return true;
}

/* ---- number to text ---- */
typedef struct Exact { /* num / den, which is v */
  Big num, den;
} Exact;
static void exact(double v, Exact *x) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  int e = (int)(bits >> 52 & 2047);
  uint64_t m = bits & ((1ull << 52) - 1);
  if (e) m |= 1ull << 52;
  else e = 1;
  e -= 1075;
  big_set(&x->num, m), big_set(&x->den, 1);
  if (e > 0) big_shift(&x->num, e);
  else big_shift(&x->den, -e);
}
/* n correctly rounded digits of x (0 < x) and the exponent of the first: d.ddd * 10^*exp10. */
static void print_digits(const Exact *x, int n, char *to, int *exp10) {
  Big num = x->num, den = x->den, t;
  int e = (big_bits(&num) - big_bits(&den)) * 30103 / 100000; /* within one of the truth */
  if (e > 0) big_pow10(&den, e);
  else big_pow10(&num, -e);
  while (big_cmp(&num, &den) < 0) big_mul(&num, 10, 0), e--;
  for (t = den, big_mul(&t, 10, 0); big_cmp(&num, &t) >= 0; t = den, big_mul(&t, 10, 0)) den = t, e++;
  for (int i = 0; i < n; i++) {
    char d = '0';
    while (big_cmp(&num, &den) >= 0) big_sub(&num, &den), d++;
    to[i] = d;
    big_mul(&num, 10, 0);
  }
  big_mul(&den, 5, 0);
  int half = big_cmp(&num, &den);
  int i = n - 1;
  if (half > 0 || (half == 0 && (to[i] - '0') & 1)) {
    while (i >= 0 && to[i] == '9') to[i--] = '0';
    if (i >= 0) to[i]++;
    else to[0] = '1', e++; /* 999 became 1000: the other digits are zeros already */
  }
  *exp10 = e;
}
static bool reads_back(double v, int digits, const char *text, int n, int exp10) {
  Big m = {0};
  for (int i = 0; i < n; i++) {
    if (!m.n) big_set(&m, (uint64_t)(text[i] - '0'));
    else big_mul(&m, 10, (uint32_t)(text[i] - '0'));
  }
  return from_decimal(&m, exp10 - (n - 1), digits) == v;
}
static int put_int(char *to, int v, int width) {
  char d[12];
  int n = 0;
  do d[n++] = (char)('0' + v % 10), v /= 10;
  while (v || n < width);
  for (int i = 0; i < n; i++) to[i] = d[n - 1 - i];
  return n;
}
/* Python's repr: positional for exponents -4..15, else d.ddde-07. */
static int layout(const char *d, int n, int e, char *to) {
  int at = 0;
  if (e < -4 || e >= 16) {
    to[at++] = d[0];
    if (n > 1) to[at++] = '.', memcpy(to + at, d + 1, (size_t)n - 1), at += n - 1;
    to[at++] = 'e', to[at++] = e < 0 ? '-' : '+';
    return at + put_int(to + at, e < 0 ? -e : e, 2);
  }
  if (e < 0) {
    to[at++] = '0', to[at++] = '.';
    for (int i = -1; i > e; i--) to[at++] = '0';
    memcpy(to + at, d, (size_t)n);
    return at + n;
  }
  for (int i = 0; i <= e; i++) to[at++] = i < n ? d[i] : '0';
  to[at++] = '.';
  if (n <= e + 1) to[at++] = '0';
  else memcpy(to + at, d + e + 1, (size_t)(n - e - 1)), at += n - e - 1;
  return at;
}
int number_print(double v, int digits, char *to) {
  int at = 0, lo = 1, hi = format_of(digits).decimal, e;
  char d[20];
  if (v != v) return memcpy(to, "nan", 3), 3;
  if (v < 0 || (v == 0 && 1 / v < 0)) to[at++] = '-', v = -v;
  if (v == __builtin_inf()) return memcpy(to + at, "inf", 3), at + 3;
  if (v == 0) return memcpy(to + at, "0.0", 3), at + 3;
  Exact x;
  exact(v, &x);
  while (lo < hi) { /* if n digits read back, so do n + 1 */
    int mid = (lo + hi) / 2;
    print_digits(&x, mid, d, &e);
    if (reads_back(v, digits, d, mid, e)) hi = mid;
    else lo = mid + 1;
  }
  print_digits(&x, lo, d, &e);
  return at + layout(d, lo, e, to + at);
}
int number_print_int(int64_t v, bool is_unsigned, char *to) {
  char d[24];
  int n = 0, at = 0;
  uint64_t x = (uint64_t)v;
  if (v < 0 && !is_unsigned) to[at++] = '-', x = 0 - x;
  do d[n++] = (char)('0' + x % 10), x /= 10;
  while (x);
  while (n) to[at++] = d[--n];
  return at;
}

/* ---- Cast ---- */
static uint16_t round_f16(double v) { /* half to even; overflow to infinity */
  uint64_t u;
  memcpy(&u, &v, 8);
  uint16_t sign = (uint16_t)(u >> 48 & 0x8000);
  int e = (int)(u >> 52 & 2047) - 1023;
  uint64_t m = (u & ((1ull << 52) - 1)) | 1ull << 52;
  if (v != v) return (uint16_t)(sign | 0x7e00);
  if (e > 15) return (uint16_t)(sign | 0x7c00);
  if (e < -25) return sign;
  int drop = e < -14 ? 42 + (-14 - e) : 42;
  uint64_t q = m >> drop, rest = m & ((1ull << drop) - 1), half = 1ull << (drop - 1);
  if (rest > half || (rest == half && q & 1)) q++;
  return (uint16_t)(sign | (e < -14 ? q : q + ((uint64_t)(e + 14) << 10)));
}
static uint16_t round_bf16(double v) { /* v has at most eight bits: only its place changes */
  float f = (float)v;
  uint32_t u;
  memcpy(&u, &f, 4);
  return (uint16_t)(u >> 16 | (v != v ? 0x40 : 0));
}
static int bits_of(int32_t dtype) { return dtype == TN_F32 ? 24 : dtype == TN_F16 ? 11 : dtype == TN_BF16 ? 8 : 53; }
static bool store(tn_call *c, int32_t dtype, void *to, int64_t i, tenon_str s) {
  double v = 0;
  int64_t x = 0;
  bool big = false, is_int = dtype != TN_F32 && dtype != TN_F64 && dtype != TN_F16 && dtype != TN_BF16 && dtype != TN_BOOL;
  uint64_t e = tn_dtypes[dtype].stored / 8u;
  bool ok = is_int ? number_parse_int(s, &x, &big) : number_parse(s, bits_of(dtype), &v);
  if (!ok || big || tn_dtypes[dtype].stored < 8)
    return tn_op_fail(c, "'%.*s' is no %s", s.len < 60 ? (int)s.len : 60, s.data, tn_dtypes[dtype].name), false;
  if (is_int) memcpy((char *)to + (uint64_t)i * e, &x, e);
  else if (dtype == TN_F32) ((float *)to)[i] = (float)v;
  else if (dtype == TN_F64) ((double *)to)[i] = v;
  else if (dtype == TN_BOOL) ((uint8_t *)to)[i] = v != 0;
  else ((uint16_t *)to)[i] = dtype == TN_F16 ? round_f16(v) : round_bf16(v);
  return true;
}
static void from_strings(tn_call *c, const tn_tensor *t, int32_t dtype) {
  if (dtype <= 0 || dtype >= TN_DTYPES || (dtype > TN_U64 && dtype != TN_BF16))
    return tn_op_fail(c, "strings cannot be cast to %s", tn_dtypes[dtype > 0 && dtype < TN_DTYPES ? dtype : 0].name);
  void *to = op_out(c, 0, dtype, t->rank, t->dim);
  for (int64_t i = 0, n = to ? tensor_size(t) : 0; i < n; i++)
    if (!store(c, dtype, to, i, ((const tenon_str *)t->data)[i])) return;
}
static int print_element(const tn_tensor *t, int64_t i, char *to) {
  switch (t->dtype) {
  case TN_F64:
  case TN_F32:
  case TN_F16:
  case TN_BF16: return number_print(tensor_f64(t, i), bits_of(t->dtype), to);
  case TN_BOOL: return tensor_i64(t, i) ? (memcpy(to, "True", 4), 4) : (memcpy(to, "False", 5), 5);
  default: return number_print_int(tensor_i64(t, i), t->dtype == TN_U64, to);
  }
}
static void to_strings(tn_call *c, const tn_tensor *t) {
  Chars text = {0};
  uint64_t size, *end;
  char buf[32];
  if (tn_dtypes[t->dtype].stored < 8 || tn_dtypes[t->dtype].code > kDLBool || tn_dtypes[t->dtype].code == kDLComplex)
    return tn_op_fail(c, "%s cannot be cast to strings", tn_dtypes[t->dtype].name);
  int64_t n = tensor_size(t);
  if (!(end = op_temp(c, (uint64_t)n * 8, &size))) return;
  for (int64_t i = 0; i < n; i++) chars_add(c, &text, buf, (uint64_t)print_element(t, i, buf)), end[i] = text.n;
  tenon_value v;
  if (val_strings(c, &v, t->rank, t->dim, &text, end)) op_out_val(c, 0, &v);
  chars_free(c, &text), tn_free(c->f->run->m, end, size);
}
tn_op tn_op_cast_strings, tn_op_copy;
void tn_op_cast_strings(tn_call *c) {
  tn_tensor t;
  int32_t dtype = c->out[0].t ? c->out[0].t->dtype : (int32_t)call_int(c, "to", TN_STR);
  if (!op_in(c, 0, &t)) return;
  if (t.dtype != TN_STR) to_strings(c, &t);
  else if (dtype != TN_STR) from_strings(c, &t, dtype);
  else tn_op_copy(c);
}
