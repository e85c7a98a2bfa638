/* model.h - the objects behind tenon_rt.h, for the runtime's own files: a model (immutable, shared), a context (the memory of one call)
   and a run. */
#pragma once
#include "dtype.h"
#include "pool.h"

enum { TN_MAX_RANK = 8, TN_INLINE_NS = 4000, TN_PAGE = 4096 };

struct tenon_model {
  const tn_desc *d;
  _Atomic uint32_t refs;
  uint32_t threads, spin_us;
  const tenon_executor *executor; /* the caller's, or NULL */
  tenon_allocator mem;
  tn_pool *_Atomic pool;  /* NULL until a phase is worth it */
  _Atomic uint32_t *home; /* on a page that fork() wipes: 1 here, 0 in a child, 2 while the child cleans up */
  uint32_t pid;           /* only where the kernel cannot wipe */
  tenon_executor lend;
  char text[512];
};

typedef struct tn_out { /* what a context keeps for one output */
  void *mem;            /* lent memory, reused by later runs */
  uint64_t size;
  int64_t shape[TN_MAX_RANK];
  int32_t rank;
  bool known, kept; /* this run: dims are known; results lie in mem because the caller's memory was too small */
  uint64_t bytes;   /* this run */
} tn_out;
struct tenon_ctx {
  tenon_model *m;
  _Atomic uint32_t busy;
  bool collectable; /* the last run ended with E_SPACE and its results are here */
  char *ws, *late;  /* late: a slab, scratch of launches whose sizes only the run knows */
  uint64_t ws_size;
  int64_t *sym;
  void **in, **outp; /* tn_frame.in, .out */
  tn_out *out;
  void **slab;
  tenon_value **handle, **imported; /* imported: by input, our copies of the caller's strings, sequences, .. */
  uint64_t size;                    /* of this block */
  tenon_error err;
};

struct tn_run { /* tn_frame.run */
  tenon_model *m;
  tenon_ctx *c;
  uint32_t width;
  char *scratch; /* width pieces of scratch_size bytes */
  uint64_t scratch_size, max_turns;
  tenon_value *out; /* the caller's */
  const volatile int32_t *cancel;
  _Atomic uint32_t lock;
  bool fault, nomem, limit, text_set;
  int32_t bad_output; /* ~k: output k was given a negative size */
  uint32_t site;
  int64_t pos, value;
  char text[400]; /* what a host op says instead of its site's text */
};

/* model.c */
tenon_status tn_fail(tenon_error *, tenon_status, int32_t node, int32_t value, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void tn_grown(void *to, uint32_t to_size, const void *from, uint32_t from_size); /* copies a [grows] struct */
void tn_after_fork(tenon_model *);
tn_pool *tn_pool_of(tenon_model *);
void *tn_alloc(tenon_model *, uint64_t bytes);
void tn_free(tenon_model *, void *, uint64_t bytes);
bool tn_is_dense(const tenon_io *); /* a tensor without strings: a plain pointer to generated code */
extern const DLDevice tn_cpu0;

/* check.c: binds the symbols of input dims, computes the derived ones */
tenon_status tn_check_inputs(const tn_desc *, const tenon_value *in, int64_t *sym, bool data, tenon_error *);
int tn_site_text(const tn_site *, int64_t value, char *to, size_t size); /* fills in %v %l %h */

/* value.c: handles */
void tn_slab_free(tenon_model *, void *slab);
void tn_value_drop(tenon_model *, tenon_value **slot);
bool tn_value_import(tenon_model *, const tenon_value *from, tenon_value **slot);
