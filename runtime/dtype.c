/* dtype.c - the table of element types, and the questions asked of it. Bools, strings and whole bytes are what they seem; 4- and 2-bit
   types are packed low bits first; float6 takes a byte. */
#include "dtype.h"
#include <string.h>

const tn_dtype tn_dtypes[TN_DTYPES] = {
    {"undefined", 255, 0, 0, NULL},
    {"float", kDLFloat, 32, 32, "f4"},
    {"uint8", kDLUInt, 8, 8, "u1"},
    {"int8", kDLInt, 8, 8, "i1"},
    {"uint16", kDLUInt, 16, 16, "u2"},
    {"int16", kDLInt, 16, 16, "i2"},
    {"int32", kDLInt, 32, 32, "i4"},
    {"int64", kDLInt, 64, 64, "i8"},
    {"string", kDLOpaqueHandle, 128, 128, NULL},
    {"bool", kDLBool, 8, 8, "b1"},
    {"float16", kDLFloat, 16, 16, "f2"},
    {"double", kDLFloat, 64, 64, "f8"},
    {"uint32", kDLUInt, 32, 32, "u4"},
    {"uint64", kDLUInt, 64, 64, "u8"},
    {"complex64", kDLComplex, 64, 64, "c8"},
    {"complex128", kDLComplex, 128, 128, "c16"},
    {"bfloat16", kDLBfloat, 16, 16, NULL},
    {"float8e4m3fn", kDLFloat8_e4m3fn, 8, 8, NULL},
    {"float8e4m3fnuz", kDLFloat8_e4m3fnuz, 8, 8, NULL},
    {"float8e5m2", kDLFloat8_e5m2, 8, 8, NULL},
    {"float8e5m2fnuz", kDLFloat8_e5m2fnuz, 8, 8, NULL},
    {"uint4", kDLUInt, 4, 4, NULL},
    {"int4", kDLInt, 4, 4, NULL},
    {"float4e2m1", kDLFloat4_e2m1fn, 4, 4, NULL},
    {"float8e8m0", kDLFloat8_e8m0fnu, 8, 8, NULL},
    {"uint2", kDLUInt, 2, 2, NULL},
    {"int2", kDLInt, 2, 2, NULL},
    {"float6e2m3", kDLFloat6_e2m3fn, 6, 8, NULL},
    {"float6e3m2", kDLFloat6_e3m2fn, 6, 8, NULL},
};
int32_t tn_dtype_of(DLDataType t) {
  for (int32_t i = 1; i < TN_DTYPES; i++)
    if (tn_dtypes[i].code == t.code && tn_dtypes[i].bits == t.bits && t.lanes == 1) return i;
  return 0;
}
int32_t tn_dtype_named(const char *s, uint64_t n) {
  for (int32_t i = 1; i < TN_DTYPES; i++)
    if (strlen(tn_dtypes[i].name) == n && !memcmp(tn_dtypes[i].name, s, n)) return i;
  return 0;
}
DLDataType tn_dl(int32_t d) { return (DLDataType){tn_dtypes[d].code, tn_dtypes[d].bits, 1}; }
uint64_t tn_bytes(int32_t d, uint64_t count) {
  uint64_t bits = tn_dtypes[d].stored;
  return bits >= 8 ? count * (bits / 8) : (count * bits + 7) / 8;
}
