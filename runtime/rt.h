/* rt.h - what generated code, the runtime and the executable's main share. Internal: no part of the public ABI. A model object is always
   linked with the very runtime it was compiled against, because runtime symbols carry a hash of their contents. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <tenon_rt.h>

/* ---- what a model object describes: tables written by the compiler, read-only ---- */
typedef struct tn_site { /* a place that can report E_DATA */
  int32_t node, input;   /* ONNX node, -1; graph input the offending value came from, INT32_MIN */
  const char *name, *op;
  const char *text; /* "index %v is not in [%l,%h]": the run's value, lo, hi are filled in */
  int64_t lo, hi;
} tn_site;

typedef struct tn_frame tn_frame;
/* One chunk of one phase; chunks are fixed by the shapes alone. arg: [0] the frame, then the kernel's pointers, then its symbols, all as
   64-bit words. scratch: this worker's own memory, tn_desc.scratch bytes, 64-byte aligned. */
typedef void tn_body(const int64_t *arg, int64_t chunk, char *scratch);

typedef struct tn_desc {
  const char *name, *info; /* info: JSON of tenon_api.info */
  uint32_t n_in, n_out, n_sym, n_site, n_slab, n_handle;
  const tenon_io *const *in, *const *out;
  const int64_t *in_dim,
      *out_dim; /* dims of all inputs (outputs) in a row: >= 0 an extent, ~k symbol k; outputs: ~k, or -n_sym-1: unknown before the run */
  const char *const *sym_name;
  const int64_t *sym_min, *sym_max; /* of the symbols that input dims bind */
  /* Computes the derived entry symbols in place; checks `require`s: 0, or 1 + the index of the first that fails. */
  int32_t (*entry)(int64_t *sym);
  const char *const *require;                /* their texts */
  uint64_t (*workspace)(const int64_t *sym); /* bytes shared by all workers */
  uint64_t (*scratch)(const int64_t *sym);   /* bytes for each worker, as far as the symbols known at entry say */
  void (*program)(tn_frame *);               /* walks the statements; runs on the calling thread */
  const char *weights;
  const tn_site *site;
  uint64_t cpu; /* TN_CPU_* bits the code needs */
  uint64_t weights_size;
} tn_desc;
enum { TN_CPU_V3 = 1, TN_CPU_V4 = 2, TN_CPU_VNNI = 4, TN_CPU_BF16 = 8, TN_CPU_NATIVE = 16 };

/* ---- one run, as generated code sees it: offsets are fixed ---- */
struct tn_frame {
  const char *weights;
  char *ws;
  int64_t *sym;
  void **in;            /* tensors: data; others: tenon_value * */
  void **out;           /* exact outputs: memory is here before the program starts */
  void **slab;          /* grow-only memory, by slot */
  tenon_value **handle; /* by slot */
  struct tn_run *run;   /* opaque to generated code */
};
/* Runs body(arg, 0..n-1, scratch) on whoever has time. 0, or 1: stop, the run failed or was cancelled. ns: cost of a chunk. */
int tn_par(tn_frame *, int64_t n, uint32_t ns, tn_body *, const int64_t *arg);
/* Reports a value an operator forbids. The smallest (site, pos) of a phase wins, whatever the threads did. */
void tn_fault(tn_frame *, uint32_t site, int64_t pos, int64_t value);
bool tn_stop(tn_frame *); /* has the run failed or been cancelled? polled by host loops */
/* The next launches need `bytes` of scratch for each worker, which tn_desc.scratch could not know. 1: no memory, the run fails. */
int tn_need(tn_frame *, int64_t bytes);
/* Slab `slot` with room for `bytes`; the first `keep` bytes survive. NULL: no memory, the run fails. */
void *tn_grow(tn_frame *, uint32_t slot, int64_t bytes, int64_t keep);
/* Memory for output k, whose dims became known only now; dim[] is copied. NULL: no memory or no space (the run fails or lends). */
void *tn_output(tn_frame *, uint32_t k, int32_t rank, const int64_t *dim);
/* The loop has done k turns: 1: leave it (failed, cancelled, or the caller's iteration budget is used up), else 0. */
int tn_turn(tn_frame *, int64_t k);
/* Handles are owned by their slot. Slot `to` (in handle[], out[]) becomes the value of slot `from`, which keeps it; the old one is freed.
 */
void tn_move(tn_frame *, tenon_value **to, tenon_value **from);
/* Slabs a and b change places, with their capacities. */
void tn_swap(tn_frame *, uint32_t a, uint32_t b);
uint32_t tn_fp_enter(void); /* default rounding, no FTZ, traps masked; returns what was there */
void tn_fp_leave(uint32_t);
bool tn_cpu_ok(uint64_t need);

/* ---- host ops: tn_op_<name>(frame, operands.., attributes) ---- */
typedef struct tn_tensor { /* a dense tensor operand as the program sees it */
  void *data;
  int32_t dtype, rank; /* ONNX's number */
  int64_t dim[8];
} tn_tensor;
typedef struct tn_operand { /* absent: both NULL */
  tn_tensor *t;             /* results: data may be NULL: call tn_op_result with dims filled in */
  tenon_value **h;          /* a handle slot: &frame->handle[k], or (tenon_value **)&frame->in[k], &frame->out[k] */
  int32_t slab, out;        /* results of data-dependent size: where the memory comes from; -1 none */
  int64_t *dim_sym[8];      /* results: symbols that receive the dims, NULL where the dim was known */
} tn_operand;
typedef struct tn_attr {
  const char *name;
  int32_t kind, n; /* AttrKind of graph.h */
  union {
    int64_t i;
    double f;
    const int64_t *ints;
    const double *floats;
    const tenon_str *strings;
    const tn_tensor *t;
  };
} tn_attr;
typedef struct tn_call {
  tn_frame *f;
  uint32_t site, n_in, n_out, n_attr;
  tn_operand *in, *out;
  const tn_attr *attr;
} tn_call;
typedef void tn_op(tn_call *);
void *tn_op_result(tn_call *, uint32_t k); /* memory for result k, whose tensor's dims were filled in */

/* ---- table entries; open needs the model, so every model object has its own open() that calls tn_open ---- */
tenon_status tn_open(const tn_desc *, const tenon_open *, tenon_model **, tenon_error *);
void tn_close(tenon_model *);
tenon_status tn_context(tenon_model *, tenon_ctx **, tenon_error *);
void tn_release(tenon_ctx *);
tenon_status tn_plan(tenon_ctx *, const tenon_value *, tenon_value *, tenon_plan *);
tenon_status tn_exec(tenon_ctx *, const tenon_value *, tenon_value *, const tenon_run *);
tenon_status tn_collect(tenon_ctx *, tenon_value *);
tenon_status tn_sync(tenon_ctx *);
void tn_last_error(const tenon_ctx *, tenon_error *);
const tenon_executor *tn_executor(tenon_model *);
const char *tn_describe(const tenon_model *);
