// cuda.h - the parts of the CUDA emitter: index.c and scalar.c print expressions, place.c decides where temps live, phase.c prints
// kernels, text.c the whole; compile.c is NVRTC.
//
// A phase (a top-level loop of a kernel's tree and the pieces joined to it) is one CUDA kernel. Its outer par and block loops are the
// grid; vec and thread loops are threads, strided over the block. Everything between is executed by all threads alike, except that what
// is stored outside thread loops is stored by one thread. Temps are in shared memory, in global scratch of the block, or local to a
// thread where only one thread ever touches each cell. Private to codegen/cuda.
#pragma once
#include "codegen/codegen.h"
#include "ir/scalar.h"

extern const char tenon_cuda_prelude[];

enum { DIMS = 2 }; // thread dimensions: x, y

typedef enum Home { HOME_PARAM, HOME_GLOBAL, HOME_SHARED, HOME_SCRATCH, HOME_LOCAL } Home;
typedef struct Place { // of one buffer in one phase: Buf.v. A temp has as many as it is allocated: each piece of a loop its own
  Home home;
  const char *name;
  int64_t bytes; // SHARED, LOCAL: size
  int64_t at;    // SHARED: offset
  IExpr *offset; // SCRATCH: offset in bytes
  bool owned;    // LOCAL: indexed by threads; dim d: cells [own[d] * thread, + own[d]) belong to one thread; own 0: whole dim
  int64_t own[MAX_RANK];
  bool in_thread; // LOCAL: declared inside a thread loop
} Place;

typedef struct Printed { // a let, or a long part of an index, that the present statement has named
  Atom *atom;
  const char *name, *raw, *pos; // raw, pos: of a let
  bool narrow;
} Printed;

typedef struct Cuda {
  Text *out;
  const Target *target;
  Kernel *k;
  int indent, serial;  // serial: numbers of temporaries
  int64_t block[DIMS]; // threads of a block
  unsigned covered;    // thread dimensions whose loops are open
  int64_t shared;      // bytes so far
  IExpr *scratch;      // bytes so far
  Printed *printed;
  int nprinted, cprinted;
} Cuda;

void line(Cuda *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void open_block(Cuda *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void close_block(Cuda *);

/* index.c */
const char *c_type(DType reg);
const char *c_index(Cuda *, IExpr *);         // an i64 or int expression; prints the lets it needs before
void bind_variable(Atom *, const char *name); // a loop variable or symbol has a C name
/* scalar.c */
void scalar_begin(Cuda *);          // a statement begins: nothing is printed yet
const char *c_scalar(Cuda *, Ex *); // a name or literal; prints what it needs before
const char *c_let(Cuda *, Atom *);
const Printed *c_printed(const Cuda *, const Atom *);      // NULL: not yet
void check_lets(Cuda *);                                   // faults of the lets printed since scalar_begin
const char *c_cell(Cuda *, const Buf *, IExpr *const *ix); // the offset of a cell in its place
const char *c_load(const Buf *, const char *at);
void c_store(Cuda *, const Buf *, const char *at, const char *value);
const char *storage_type(DType);
/* place.c */
const Place *place_of(const Buf *);
int thread_dim(const Tree *); // the dimension of a thread loop, -1
void place_phase(Cuda *, const Tree *first, const Tree *end);
/* phase.c */
bool is_grid(const Tree *); // a par or block loop
const Tree *next_grid(const Tree *);
void print_phase(Cuda *, const Tree *first, const Tree *end, const char *name);
