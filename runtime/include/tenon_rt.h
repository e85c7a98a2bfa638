/* tenon_rt.h - the C ABI of every artifact Tenon writes. C11/C++11; needs only <dlpack/dlpack.h> (>= 1.1). Evolution:
   1. A struct marked [grows] begins with `size`, always set by the caller, also where the callee fills the struct; the reader takes
   min(size, its own); a missing tail reads as zero, and zero always means "default". Frozen structs never change. 2. Table entries are only
   appended.
   3. No thread-locals, environment variables, output, signal handlers or FP-state changes behind this interface.
   4. A pointer returned lives as long as its object unless said otherwise. */
#ifndef TENON_RT_H
#define TENON_RT_H
#include <dlpack/dlpack.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define TENON_ABI 1u /* breaking number; additions show in api->size */
#define TENON_HAS(api, f) ((api)->size > offsetof(tenon_api, f) && (api)->f)
#define TENON_UNBOUNDED UINT64_MAX

typedef enum tenon_status { /* stable numbers; an unknown one is an error */
                            TENON_OK = 0,
                            TENON_E_ARG = 1, /* misuse: NULL, struct size, device, forbidden overlap */
                            TENON_E_TYPE = 2,
                            TENON_E_SHAPE = 3, /* kind or dtype; rank, dim, range, two sizes for one symbol, strides */
                            TENON_E_DATA = 4,  /* contents an operator forbids: index out of range, integer / 0, ... */
                            TENON_E_SPACE = 5, /* caller's buffer or workspace too small; `need` says how much; see collect() */
                            TENON_E_NOMEM = 6,
                            TENON_E_BUSY = 7, /* BUSY: the context runs on another thread, or ran when fork() happened */
                            TENON_E_CANCELLED = 8,
                            TENON_E_LIMIT = 9,     /* LIMIT: iteration budget */
                            TENON_E_HARDWARE = 10, /* no variant for this CPU/GPU, driver too old */
                            TENON_E_DEVICE = 11,   /* the GPU failed: every context of this model is dead; close and reopen */
                            TENON_E_WEIGHTS = 12,
                            TENON_E_INTERNAL = 13 /* WEIGHTS: side file missing, truncated, or another model's */
} tenon_status;
typedef struct tenon_error { /* [grows] filled by value: no lifetime, no allocation */
  uint32_t size;
  int32_t status;
  int32_t node, value; /* ONNX node index in the main graph or -1; input i, output ~i, or INT32_MIN */
  char text[496];      /* node 17 'enc/attn' (Gather): index 30522 is not in [-30522,30521] */
} tenon_error;

/* Values. Tensors are DLPack's. String tensors hold tenon_str, dtype {kDLOpaqueHandle,128,1}; bool {kDLBool,8,1}; int4 uint4 int2
   uint2 float4 have bits 4/2, are PACKED low bits first over the row-major order, and compact. Inputs: strides NULL or compact,
   any alignment, byte_offset honoured, never written - except state, below. */
typedef struct tenon_str {
  const char *data;
  uint64_t len;
} tenon_str; /* frozen; UTF-8, may hold NUL, not terminated */
enum { TENON_ABSENT = 0, TENON_TENSOR = 1, TENON_SEQUENCE = 2, TENON_OPTIONAL = 3, TENON_MAP = 4 };
typedef struct tenon_value { /* frozen, 104 bytes */
  uint32_t kind, flags;      /* ABSENT: optional input left out; output not wanted */
  DLTensor t;                /* TENSOR */
  uint64_t capacity, need;   /* bytes behind t.data (outputs, state); bytes wanted, from plan() or E_SPACE */
  struct tenon_value *item;
  uint64_t n; /* SEQUENCE n values; OPTIONAL n = 0, 1; MAP n = 2: keys (1-D), values */
  uint64_t reserved[2];
} tenon_value;
/* Outputs. data != NULL: your memory; t.shape is your int64[io->max_rank], written with ndim; compact. data == NULL: lent - data and
   shape point into the context until its next run or release. Non-tensors and strings are always lent. Only state may overlap. */
enum {
  TENON_BOUND = 1,
  TENON_UNKNOWN = 2,
  TENON_LENT = 4
}; /* after plan(): dims are upper bounds / some dims are -1; LENT: set by run()
when data is lent; a run given such a value lends again */
enum { TENON_IO_OPTIONAL = 1, TENON_IO_STATE = 2, TENON_IO_SHAPES = 4 }; /* SHAPES: its contents decide shapes, plan() reads them */
typedef struct tenon_io {                                                /* [grows] a graph input or output */
  uint32_t size, kind, flags;
  const char *name, *type; /* ONNX name (raw UTF-8); "tensor(float)", "seq(map(int64,tensor(float)))" */
  DLDataType dtype;
  int32_t rank, max_rank;                 /* rank -1: varies up to max_rank */
  const int64_t *dim, *dim_min, *dim_max; /* dim -1: dynamic within min..max */
  const char *const *dim_name;            /* "" if anonymous; equal names must get equal sizes */
  int32_t pair, pair_axis;                /* STATE: index of partner or -1; axis that grows in place or -1 */
} tenon_io;
/* State (KV cache): in[i] and out[pair] share one buffer. Pass the past with strides of the full capacity, [B,H,P,D] with
   {H*CAP*D, CAP*D, D, 1}, and out[pair] with the same data pointer: rows are appended behind P, out's shape says P+n, strides stay.
   A different data pointer means copy: correct, slower. */

typedef struct tenon_executor { /* [grows] run task(arg,i) once for each i < n: any order, any threads, even all here; return */
  uint32_t size, width;
  void *user; /* when all returned. A task never waits for one that has not started: no gang scheduling */
  void (*run)(void *user, void (*task)(void *arg, uint32_t i), void *arg, uint32_t n);
} tenon_executor;
typedef struct tenon_allocator { /* [grows] called by open, context, and runs whose sizes outgrow what is kept */
  uint32_t size;
  void *user;
  void *(*alloc)(void *user, uint64_t bytes, uint64_t align, DLDevice);
  void (*free)(void *user, void *, uint64_t bytes, DLDevice);
} tenon_allocator;
typedef struct tenon_constant {
  const char *name;
  const DLTensor *t;
} tenon_constant;                                                     /* frozen */
enum { TENON_PREFAULT = 1, TENON_VERIFY = 2, TENON_NO_FALLBACK = 4 }; /* VERIFY: hash the weights */
typedef struct tenon_open {                                           /* [grows] NULL: all defaults */
  uint32_t size, flags;
  uint32_t threads;               /* 0: affinity mask and cgroup quota decide; 1: no thread is ever created */
  uint32_t spin_us;               /* 0: default 50 */
  const tenon_executor *executor; /* instead of threads of our own */
  const tenon_allocator *allocator;
  DLDevice device; /* {0,0}: CUDA if the artifact has code for it and it works, else CPU; see describe() */
  const char *cpu; /* force a variant, "x86-64-v3" */
  const char *weights_path;
  int64_t weights_fd1; /* side file: path, or fd + 1; default: beside the artifact */
  const tenon_constant *constant;
  uint64_t n_constant; /* names compiled with --replaceable; packed here, copied */
} tenon_open;
typedef struct tenon_run { /* [grows] NULL: all defaults */
  uint32_t size, threads;  /* cap for this run; 0: the model's */
  void *workspace;
  uint64_t workspace_size;        /* NULL: the context's own */
  const volatile int32_t *cancel; /* yours; polled; non-zero ends the run within 10 ms */
  intptr_t stream;                /* DLPack numbers: 1 legacy, 2 per-thread, else CUstream: returns once enqueued; 0: own, blocks */
  uint64_t max_iterations;        /* per Loop; 0: no budget */
} tenon_run;
typedef struct tenon_plan {  /* [grows] */
  uint32_t size, flags;      /* TENON_BOUND: workspace is an upper bound */
  uint64_t workspace, align; /* TENON_UNBOUNDED: the run may grow on the allocator */
} tenon_plan;

typedef struct tenon_model tenon_model; /* immutable after open; any number of threads; kept alive by its contexts */
typedef struct tenon_ctx tenon_ctx;     /* one run at a time; the memory of one call */
typedef struct tenon_api {              /* [grows] static and read-only */
  uint32_t size, abi;
  const char *name, *info; /* info: JSON, schema in docs/ */
  uint32_t n_in, n_out;
  const tenon_io *const *in, *const *out;
  tenon_status (*open)(const tenon_open *, tenon_model **, tenon_error *);
  void (*close)(tenon_model *); /* the last close/release joins threads; only then dlclose the artifact */
  tenon_status (*context)(tenon_model *, tenon_ctx **, tenon_error *);
  void (*release)(tenon_ctx *);
  tenon_status (*plan)(tenon_ctx *, const tenon_value *in, tenon_value *out, tenon_plan *); /* t.data may be NULL unless IO_SHAPES */
  tenon_status (*run)(tenon_ctx *, const tenon_value *in, tenon_value *out, const tenon_run *);
  tenon_status (*collect)(tenon_ctx *, tenon_value *out); /* after E_SPACE: copy out the kept results, nothing runs again */
  tenon_status (*sync)(tenon_ctx *);                      /* after run on a stream: wait; device-found E_DATA comes here */
  void (*last_error)(const tenon_ctx *, tenon_error *);
  const tenon_executor *(*executor)(tenon_model *); /* lend this model's threads to another; no reference kept */
  const char *(*describe)(const tenon_model *);     /* JSON: device, variant, threads, weights source, fallback reason */
} tenon_api;
/* The exported symbol: const tenon_api *<name>_api(uint32_t abi). NULL: abi not served. It runs on any CPU of the architecture;
   "this CPU is too old" is open()'s E_HARDWARE with a text. */
typedef const tenon_api *(*tenon_api_fn)(uint32_t abi);
static inline tenon_value tenon_dense(const void *data, uint64_t bytes, uint8_t code, uint8_t bits, int32_t ndim, int64_t *shape) {
  tenon_value v = {TENON_TENSOR, 0, {(void *)data, {kDLCPU, 0}, ndim, {code, bits, 1}, shape, NULL, 0}, bytes, 0, NULL, 0, {0, 0}};
  return v;
}
#ifdef __cplusplus
}
#endif
#endif
