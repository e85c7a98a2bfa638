// emit.h - what the files of codegen/llvm share: the module being filled, and what is open at the place being emitted.
//
// LLVM only sees scheduled kernels: all loops and vectors are ours, LLVM allocates registers and selects instructions. One process emits
// one module at a time, so the state is one global.
#pragma once
#include "codegen/codegen.h"
#include "ir/phase.h"
#include "ir/scalar.h"
#include <llvm-c/Core.h>

typedef LLVMValueRef V;
typedef LLVMTypeRef T;
typedef LLVMBasicBlockRef Block;

// Atom.bound of a loop variable at the place being emitted
enum { UNBOUND, CONSTANT, VALUE }; // CONSTANT: of an unrolled loop: Atom.val, and its depth in Atom.v; VALUE: Atom.v, depth in Atom.val
enum { MAX_DEPTH = 64, MAX_LANES = 64 };

// One loop or unrolled iteration or vec that is open. Lets that depend on its variable are computed at its head, before everything else.
typedef struct Scope {
  int serial; // unique in the module
  Block head; // its terminator is where hoisted code goes; NULL: nothing is hoisted here
} Scope;

typedef struct Checked Checked; // a let in use that can report, see index.c

typedef struct Emit {
  LLVMContextRef cx;
  LLVMModuleRef mod;
  LLVMBuilderRef b;
  T i1, i8, i16, i32, i64, f16, f32, f64, ptr, none;
  const CodegenOptions *opt;
  const Target *target;
  V zero; // zeros that loads read where their predicate fails; NULL: not needed yet

  // the function being emitted
  V fn, frame, scratch; // scratch: this worker's memory
  V dump;               // 8 bytes that stores write where their predicate fails; NULL: not needed yet
  IExpr *scratch_used;  // bytes of it that are taken
  bool hoists;          // does the phase have lets?
  int serial_fn;        // of the function; above all values of `bound`
  bool host;            // the host program: symbols live in the frame, arithmetic saturates
  bool saturate;        // does the expression being emitted need it?
  int serial, depth;    // of scopes
  Scope scope[MAX_DEPTH];
  int nconst;    // variables bound CONSTANT
  bool *written; // by Buf.id: does the kernel store to it?

  // the statement being emitted
  Atom *lane;      // variable of the open vec loop, or NULL
  int W;           // its lanes
  int epoch;       // memo of expression values
  IExpr *fact[32]; // predicates that hold here
  int nfact;
  Checked *checked;
  int nchecked, cchecked, checks; // checks: serial of the list
} Emit;
extern Emit em;

/* ---- value.c: constants, vectors, small instructions ---- */
V k32(int64_t);
V k64(int64_t);
V const_of(T scalar_or_vector, double value); // splat constants of float or integer types
V const_int(T scalar_or_vector, int64_t value);
bool is_vec(V);
T vec_of(T scalar);        // <W x scalar> in an open vec loop
T like(T scalar, V shape); // scalar, or a vector of it as long as shape
V splat(V);                // to the open vec loop's lanes, if there is one
V splat_to(V, unsigned lanes);
void match(V *a, V *b);     // makes the scalar one of the two a vector, if the other is
V lane_of(V vec, int lane); // extract; a scalar is its own every lane
V put_lane(V vec, V x, int lane);
V intrin(const char *name, int ntypes, const T *types, int n, const V *arg);
V intrin1(const char *name, V x); // overloaded on x's type
V intrin2(const char *name, V x, V y);
V select_of(V cond, V yes, V no); // cond may be a scalar for vectors
V icmp(LLVMIntPredicate, V a, V b);
V fcmp(LLVMRealPredicate, V a, V b);
V load_at(T, V p, unsigned align);
V store_at(V x, V p, unsigned align);
V gep(T elem, V p, V index);
V gepk(T elem, V p, int64_t index);
V entry_alloca(T elem, int64_t n, unsigned align);
Block new_block(const char *name);
V call_fn(V fn, int n, const V *arg);
V runtime_fn(const char *name, T ret, int n, const T *arg); // tn_<hash>_<name>, hidden
void set_attr(V fn, const char *key, const char *value);
void set_enum_attr(V fn, const char *key, uint64_t value);
V const_global(V init, unsigned align); // private read-only data
V const_string(const char *);           // with its NUL

/* ---- convert.c: storage dtypes ---- */
T mem_type(DType); // of one element in memory; packed types: i8
T reg_type(DType reg);
V widen(DType, V raw);    // memory -> register
V narrow(DType, V reg);   // register -> memory; packed types: the low bits of an i8
V round_to(DType, V reg); // as if stored and loaded

/* ---- index.c: index expressions ---- */
int64_t saturating_bound(IExpr *);          // bound of the absolute value of everything computed on the way
IExpr *bind(IExpr *);                       // unrolled variables replaced by their values
bool varies(IExpr *);                       // over the lanes of the open vec loop
int level(IExpr *);                         // depth of the innermost open loop it depends on
V value(IExpr *);                           // a uniform expression as i64
V value_lanes(IExpr *, T *elem);            // of a bound one: scalar i64 if uniform, else a vector; *elem says of i32 or i64
V value_as(IExpr *, T int_type);            // any expression, any integer type: scalar, or vector if it varies
bool affine_lane(IExpr *, int64_t *stride); // of a bound one: does it step by a constant per lane?
IExpr *at_lane(IExpr *, int64_t lane);
void scope_open(void); // at the builder's place
void scope_close(void);
void bind_const(Atom *, int64_t);
void bind_value(Atom *, V); // at the current depth
void unbind(Atom *);
void use_lets(const Tree *); // of a statement: computes those that can report
void new_checks(void);       // the list of lets in use starts anew
void report_lets(V mask);    // reports lets in use that left their range; mask: active lanes, or NULL

typedef struct Pred { // a conjunction: never true, or a condition on a scalar and/or a mask of lanes (NULL: true)
  bool never;
  V cond, mask;
} Pred;
Pred pred_of(int n, IExpr *const *, bool learn); // learn: what is uniform holds from here on (the caller branches on cond)
V pred_mask(const Pred *);                       // of both, for the open vec loop; NULL: all true

/* ---- host.c and kernel.c: symbols ---- */
V symbol_value(Atom *);
V float_value(Atom *);

/* ---- memory.c ---- */
V address(const Buf *, IExpr *uniform); // of an element of a type of at least 8 bits; of the byte that holds it otherwise
V load_ex(Ex *);
V load_cell(Buf *, IExpr *off, V mask);          // register value(s) of the statement's cell
void store_cell(Buf *, IExpr *off, V x, V mask); // mask NULL: all lanes
V load_words(const Buf *, IExpr *off);           // four 8-bit elements as an i32, for each lane

/* ---- scalar.c: expressions ---- */
V ev(Ex *);
V combine_values(Combine, V acc, V x);
void new_epoch(void);

/* ---- special.c: dot and transpose loops ---- */
bool emit_dot(Tree *);
bool emit_transpose(Tree *);

/* ---- kernel.c ---- */
V phase_declare(int kernel, int phase);
void kernel_emit(const Kernel *, int number, bool internal);
const char *phase_name(int kernel, int phase);
void begin_function(V fn, bool target_cpu); // entry block, attributes

/* ---- cost.c ---- */
IExpr *phase_cost(const Phase *, const Target *); // of all chunks together, in 1/8 ns

/* ---- host.c ---- */
void host_emit(Program *);
V host_symbol(Atom *);
V host_float(Atom *);

/* ---- unit.c ---- */
void module_open(const CodegenOptions *, const char *name);
Blob module_close(void); // verifies, optimises, generates; in the form the options ask for
