/* dtype.h - element types by ONNX's number, with their DLPack and .npy names. */
#pragma once
#include "rt.h"

enum { /* the numbers this runtime's own code names; all of them are rows of dtype.c */
       TN_F32 = 1,
       TN_U8 = 2,
       TN_I8 = 3,
       TN_U16 = 4,
       TN_I16 = 5,
       TN_I32 = 6,
       TN_I64 = 7,
       TN_STR = 8,
       TN_BOOL = 9,
       TN_F16 = 10,
       TN_F64 = 11,
       TN_U32 = 12,
       TN_U64 = 13,
       TN_C64 = 14,
       TN_C128 = 15,
       TN_BF16 = 16,
       TN_DTYPES = 29
};
typedef struct tn_dtype {
  const char *name;   /* as in tensor(name) */
  uint8_t code, bits; /* DLPack's */
  uint8_t stored;     /* bits of one element in memory */
  const char *npy;    /* descr without byte order, or NULL: numpy has no such type */
} tn_dtype;
extern const tn_dtype tn_dtypes[TN_DTYPES];
int32_t tn_dtype_of(DLDataType); /* 0: none of ours */
int32_t tn_dtype_named(const char *s, uint64_t n);
DLDataType tn_dl(int32_t dtype);
uint64_t tn_bytes(int32_t dtype, uint64_t count); /* rounded up to whole bytes */
