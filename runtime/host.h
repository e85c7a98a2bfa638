/* host.h - what host ops (host_*.c) are written with. A value behind a handle is immutable and made of counted blocks, so copying one is
   cheap and a sequence shares the tensors it was made of. Host ops run on the calling thread only. */
#pragma once
#include "model.h"

/* ---- failing: the first message of a run counts; the op then returns, and the program stops ---- */
void tn_op_fail(tn_call *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tn_op_nomem(tn_call *);

/* ---- values ----
   A local `tenon_value` may be filled with val_*, moved into another value's item[], or moved into a slot; not both. */
bool val_tensor(tn_call *, tenon_value *, int32_t dtype, int32_t rank, const int64_t *dim,
                uint64_t extra);                                     /* extra bytes follow the data */
bool val_items(tn_call *, tenon_value *, uint32_t kind, uint64_t n); /* n absent items */
void val_share(tenon_value *to, const tenon_value *from);            /* one more owner of the same blocks */
void val_drop(tn_call *, tenon_value *);
bool val_set(tn_call *, tenon_value **slot, tenon_value *v);     /* moves v into the slot; what was there is dropped */
bool val_of_tensor(tn_call *, tenon_value *, const tn_tensor *); /* copies */
void tensor_of_val(const tenon_value *, tn_tensor *);            /* a view; the value must live on */

/* ---- operands ---- */
bool op_has(const tn_call *, uint32_t i);               /* is operand i there? */
bool op_in(const tn_call *, uint32_t i, tn_tensor *);   /* as a tensor, from a tensor operand or a handle; false: absent */
const tenon_value *op_val(const tn_call *, uint32_t i); /* a handle operand's value, or NULL */
bool op_out_val(tn_call *, uint32_t k, tenon_value *);  /* moves a value into result k: a handle, or a tensor (copied) */
void *op_out(tn_call *, uint32_t k, int32_t dtype, int32_t rank, const int64_t *dim); /* dense result; NULL: failed, or not wanted */
bool op_wanted(const tn_call *, uint32_t k);
int64_t tensor_size(const tn_tensor *);
int64_t tensor_i64(const tn_tensor *, int64_t i); /* any integer or bool type */
double tensor_f64(const tn_tensor *, int64_t i);  /* any numeric type of 8 bits or more that C knows, f16 and bf16 */
bool tensor_is_float(const tn_tensor *);
int64_t float_key(double); /* integers in the order of the numbers: zeros are equal, NaNs one key above all others */

/* ---- attributes ---- */
const tn_attr *call_attr(const tn_call *, const char *name); /* NULL: not given */
int64_t call_int(const tn_call *, const char *name, int64_t dflt);
double call_float(const tn_call *, const char *name, double dflt);
bool call_is(const tn_call *, const char *name, const char *value);
enum {
  TN_ATTR_INT = 1,
  TN_ATTR_FLOAT,
  TN_ATTR_STRING,
  TN_ATTR_INTS,
  TN_ATTR_FLOATS,
  TN_ATTR_STRINGS,
  TN_ATTR_TENSOR
}; /* AttrKind of graph.h */

/* ---- text being built, for string results ---- */
typedef struct Chars {
  char *p;
  uint64_t n, cap;
  bool bad; /* no memory */
} Chars;
void chars_add(tn_call *, Chars *, const void *p, uint64_t n);
void chars_free(tn_call *, Chars *);
/* A string tensor of `count` strings that lie one behind the other in text; end[i] is where string i stops. */
void *op_temp(tn_call *, uint64_t bytes, uint64_t *size); /* NULL: no memory, said so; tn_free(model, p, *size) */
bool val_strings(tn_call *, tenon_value *, int32_t rank, const int64_t *dim, const Chars *text, const uint64_t *end);

/* ---- results of any element type, filled in any order ---- */
typedef struct Fill {
  tn_tensor t; /* data: the result's memory; of strings an array that fill_end copies, unless the op failed */
  uint32_t k;
  uint64_t size;
} Fill;
void *fill_start(tn_call *, Fill *, uint32_t k, int32_t dtype, int32_t rank, const int64_t *dim); /* its data; NULL: failed, no end */
void fill_end(tn_call *, Fill *);

/* ---- a tensor as rows along an axis ---- */
typedef struct Cut {
  int32_t axis;
  int64_t outer, n, inner; /* elements before, along, after the axis */
} Cut;
bool cut_at(tn_call *, const tn_tensor *, int64_t axis, Cut *); /* false: there is no such axis, or elements are less than bytes */
