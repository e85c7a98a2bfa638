// kernel.h - Kernel IR: stages before build, a loop tree after; schedules are data. KERNELS.md is the definition, docs/ir.md the norm.
//
// A kernel is a list of stages, flat loop nests that each fill one buffer. `build` turns stages and schedule into the loop tree; there
// are no tree rewrites. Scalar expressions are total: only loads, stores and accumulations can fault, and they carry predicates.
#pragma once
#include "type.h"

enum { MAX_AXES = 14, MAX_STAGES = 96, MAX_BUFS = 160, MAX_BANDS = 16 };

typedef struct Ex Ex;
typedef struct Buf Buf;
typedef struct Stage Stage;
typedef struct Tree Tree;
typedef struct Kernel Kernel;

/* ---- buffers ---- */
typedef enum BufKind { BUF_IN, BUF_OUT, BUF_INOUT, BUF_CONST, BUF_TEMP } BufKind;
typedef enum Space { SPACE_AUTO, SPACE_REG, SPACE_STACK, SPACE_SCRATCH, SPACE_ARENA, SPACE_SHARED } Space;

// Physical order of a buffer: part p holds (i[axis] + lo[axis]) / div % mod (mod 0: no mod), outermost part first. Halo lo/hi cells
// and pad lanes hold `fill`.
typedef struct Layout {
  int n;
  uint8_t axis[12];
  int64_t div[12], mod[12];
  int64_t lo[MAX_RANK], hi[MAX_RANK];
  double fill;
} Layout;

struct Buf {
  Sym name;
  DType dtype; // of storage; loads give dtypes[dtype].reg
  int rank;
  BufKind kind;
  Space space;                      // TEMP, after build
  int id;                           // position in its kernel
  IExpr *dim[MAX_RANK];             // logical extents
  const Layout *lay;                // NULL: row-major
  IExpr *stride[MAX_RANK], *offset; // a Place: this is a slice of a bigger buffer (elements); stride[0] NULL: dense. Excludes lay.
  const double *table;              // a small constant known to the emitters; an accum's product with a zero of it is no term
  void *data, *v;                   // interpreter's memory; emitter's pointer value
};
IExpr *buf_phys(const Buf *, IExpr *const *index); // element offset
IExpr *buf_size(const Buf *);                      // physical elements (halo and pad included)

/* ---- scalar expressions: DAGs over five register types ---- */
typedef enum SOp { // the structural ones; the rest are rows of scalar.def
  S_CONST,         // f or i by type
  S_LOAD,          // buf[ix..] where every pred holds (pred: conjunction of IExpr >= 0) and cond (if any) is true, else `f`/`i`
  S_IX,            // value of ix[0], as i32 or i64 (or f32, f64: converted)
  S_SEL,           // pred[0] >= 0 ? a[0] : a[1]
#define SCALAR(name, arity, type, meaning, llvm, cuda, grad) S_##name,
#include "scalar.def"
#undef SCALAR
  S_COUNT
} SOp;
struct Ex {
  SOp op;
  DType type; // DT_F32 DT_F64 DT_I32 DT_I64 DT_BOOL
  int npred;
  union { // CONST's value; LOAD's else value
    double f;
    int64_t i;
  };
  Ex *a[3]; // operands
  Ex *cond; // LOAD: a data predicate, or NULL
  Buf *buf;
  IExpr *ix[MAX_RANK];
  IExpr **pred;
  int epoch; // memo of one walk, see ex_epoch
  void *v;
};
// A let: an ATOM_LET whose def is a LetDef; its value is (int64) value clamped into lo..hi, where hi is `limit - 1` at run time if limit is
// given (a dim; the atom's own hi is then only its upper bound). When the value leaves that range and site >= 0, the run reports E_DATA at
// that site with the value, but only where the predicates of its statement hold. So Gather needs no branch, and reads nothing out of
// range. A limit of 0 clamps to 0 (nothing is stored then).
typedef struct LetDef {
  Ex *value;    // i32 or i64
  IExpr *limit; // NULL: the atom's lo..hi are exact
  int site;     // -1: proved, or clamping is the meaning
} LetDef;       // Atom.def points to one

Ex *ex_f(DType, double);   // float constant (f32 or f64)
Ex *ex_i(DType, int64_t);  // i32, i64 or bool constant
Ex *ex_num(DType, double); // constant of any register type
Ex *ex_load(Buf *, IExpr *const *index);
Ex *ex_load_inside(Buf *, IExpr *const *index, double other); // buf[index] if index is inside buf, else other
Ex *ex_ix(DType, IExpr *);
Ex *ex_sel(IExpr *ge0, Ex *a, Ex *b);
Ex *ex_op(SOp, Ex *a, Ex *b, Ex *c); // result type by scalar.def; folds constants and identities that are exact for all values
Ex *ex_cast(DType reg, Ex *);        // between register types, total: float->int saturates to INT_MIN like the Cast row, see scalar.def
Ex *ex_round(DType storage, Ex *);   // as storing to that dtype and loading it back
IExpr *ex_index(Ex *value, int64_t lo, int64_t hi, int site, const char *name); // a let
extern int ex_epoch;                                                            // one epoch per walk over a DAG of shared Ex
// Copies a DAG keeping its sharing, lets included (equal lets stay equal); f sees each copy after its operands and lets, may replace it.
// The _more and _index forms continue the walk that ex_map began: what a stage's value, condition and indices share stays shared.
Ex *ex_map(Ex *, Ex *(*f)(Ex *copy, void *u), void *u);
Ex *ex_map_more(Ex *, Ex *(*f)(Ex *copy, void *u), void *u);
IExpr *ex_map_index(IExpr *, Ex *(*f)(Ex *copy, void *u), void *u); // replaces the lets of an index
void ex_walk(Ex *, void (*f)(Ex *, void *u), void *u);              // every node once, operands first; lets' definitions too
void ex_walk_more(Ex *, void (*f)(Ex *, void *u), void *u);
void ex_walk_index(IExpr *, void (*f)(Ex *, void *u), void *u); // the definitions of an index's lets
Ex *ex_subst(Ex *, int n, Atom *const *v, IExpr *const *by);    // in all indices and predicates, lets included
// The formula parser (formula.c): "x < 0 ? alpha*x : x". names resolves identifiers (NULL: unknown, a bug) and says as
// which dtype the value is stored (for unsigned arithmetic); T(..) casts to `out`. Narrow integers come wrapped, f16 and such unrounded.
Ex *ex_formula(const char *text, DType storage_out, Ex *(*names)(const char *id, DType *storage, void *u), void *u);
// d text / d by, in the register type of storage_out; kinks count from the right. `by` is one of the names
Ex *ex_formula_derivative(const char *text, const char *by, DType storage_out, Ex *(*names)(const char *id, DType *storage, void *u),
                          void *u);

/* ---- stages ---- */
typedef enum AxisKind { AXIS_SPATIAL, AXIS_REDUCE, AXIS_ORDERED } AxisKind;
typedef enum Combine { // how a stage writes its cell: SET, or an accum row of combine.def
  C_SET,
#define COMBINE(name, identity_f, identity_i, meaning, exact) C_##name,
#include "combine.def"
#undef COMBINE
  C_COUNT
} Combine;
struct Stage {
  Sym name;
  int nax;
  IExpr *ax[MAX_AXES];    // loop variables, outermost first (plain text order; schedules reorder)
  uint8_t kind[MAX_AXES]; // AxisKind
  Combine combine;
  Buf *out;
  IExpr *ix[MAX_RANK]; // where in out
  int npred;
  IExpr **pred; // the store happens where all are >= 0
  Ex *cond;     // and this bool is true; NULL: always
  Ex *val;
};

/* ---- schedules: data ---- */
typedef enum LoopMap {
  MAP_SEQ,
  MAP_UNROLL,
  MAP_VEC,
  MAP_PAR,
  MAP_DOT,
  MAP_TR,
  MAP_BLOCK_X,
  MAP_BLOCK_Y,
  MAP_BLOCK_Z,
  MAP_THREAD_X,
  MAP_THREAD_Y
} LoopMap;
typedef struct Split { // level l advances by step[l], the last by 1. KERNELS.md 2a.1, 2a.2
  Sym name;
  Atom *axis;
  uint8_t n, nrest, edge[2];
  int32_t step[4], rest[8];
} Split;
typedef struct Band { // one loop
  uint16_t split;
  uint8_t level, map;
} Band;
typedef struct StageSched { // shared: leading bands in common with the stage before
  uint8_t nband, shared;
  Band band[MAX_BANDS];
} StageSched;
typedef struct Store { // where a temp lives: depth bands outside the alloc (-1: as deep as possible); at depth 0 always the arena
  Buf *temp;
  Space space;
  int depth;
  const Layout *lay;
} Store;
typedef struct Schedule {
  int nsplit, csplit, nstore;
  Split *split;
  StageSched stage[MAX_STAGES]; // by stage position
  Store store[MAX_BUFS];
} Schedule;

/* ---- the tree ---- */
typedef enum TreeKind { T_FOR, T_ALLOC, T_STMT, T_SYNC, T_WHILE } TreeKind;
struct Tree {
  TreeKind kind;
  LoopMap map;      // FOR
  AxisKind axis;    // FOR
  bool joined;      // FOR: a further piece (rest, edge) of the loop before it: one phase, one chunk space
  Combine combine;  // STMT
  IExpr *var, *ext; // FOR: var runs 0..ext-1
  Buf *buf;         // ALLOC, STMT
  IExpr *ix[MAX_RANK];
  int npred;
  IExpr **pred;
  Ex *cond, *val; // WHILE: cond
  Tree *body, *next;
};

/* ---- kernels ---- */
typedef struct Site { // a place that can report E_DATA
  int node;           // ONNX node index, -1
  Sym node_name, op;
  int input;      // graph input the value came from, or INT32_MIN
  Sym text;       // "index %v is not in [%l,%h]": %v the value, %l %h the bounds
  IExpr *lo, *hi; // what the value may be
} Site;
struct Kernel {
  Sym name;
  int nbuf, nstage, nsym, nsite;
  Buf *buf[MAX_BUFS]; // parameters first, in launch order, then temps
  Stage *stage[MAX_STAGES];
  Atom **sym;      // the ATOM_SYMs that appear, in order of name: launch arguments (kernel_symbols fills it)
  int *site;       // program-wide site numbers that its lets use
  Schedule *sched; // NULL before schedule
  Tree *tree;      // NULL before build; top-level siblings are phases: run one after the other, each parallel
  uint64_t hash;   // of the canonical text, for dedup
};
Kernel *kernel_new(Sym name);
Buf *kernel_buf(Kernel *, Sym name, BufKind, DType, int rank, IExpr *const *dim);
Stage *kernel_stage(Kernel *, Sym name, Combine, Buf *out, int nax, IExpr *const *ax, const uint8_t *kind, IExpr *const *ix, Ex *val);
int kernel_params(const Kernel *);                                         // number of parameters (they come first)
void kernel_symbols(Kernel *);                                             // fills sym and site from everything the kernel holds
void kernel_indices(const Kernel *, void (*f)(IExpr *, void *u), void *u); // every index expression, those of buffers and lets included
void stage_walk(const Stage *, void (*f)(Ex *, void *u), void *u);         // every scalar node of a stage once; the lets of its indices too
int stage_axis(const Stage *, const Atom *);                               // position, -1
Layout *layout_new(int n, ...);                                            // n parts, each three ints: axis, div, mod

/* ---- schedule edits (schedule_edit.c); stages are named, positions change ---- */
int stage_find(const Kernel *, const char *name);                        // bug() if absent
Split *sched_split(Schedule *, Sym name, IExpr *axis, const char *text); // "48,16 rest 32,16 edge 1,1"; invalidates older Split *
void sched_bands(Kernel *, const char *stage, const char *text);         // "n.0 par m.0 | k m.1 unroll n.2 vec"
void sched_store(Schedule *, Buf *temp, Space, int depth, const Layout *);
Buf *stage_copy(Kernel *, Buf *, const char *name, const char *reader);    // copy stage t = b before reader and all later readers
Buf *stage_rfactor(Kernel *, Buf *acc, IExpr *axis, int lanes, bool tree); // lane partials, then lanes/2 .. 1 (tree) or one fold
void stage_move(Kernel *, const char *stage, const char *before);

/* ---- build, text, verifier ---- */
void kernel_build(Kernel *);               // stages + schedule -> tree; the only place that makes loops (build.c)
void kernel_verify(const Kernel *);        // the laws of KERNELS.md section 1; bug() names the violation
void kernel_print(const Kernel *, Text *); // stages and schedule, or the tree if built. print(parse(print(k))) == print(k)
Kernel *kernel_parse(const char *text, size_t n, const char *file); // fails with a line number
void kernel_canonical(const Kernel *, Text *); // the text with canonical names: symbols by position in sym, everything else by first use
uint64_t kernel_hash(Kernel *);                // of the canonical text: kernels of equal text are emitted once, symbols matched by position

/* ---- the interpreter (eval.c): stages and trees; the definition of vec, of accumulation order and of every scalar op ---- */
// Buffers' data must be set for parameters, symbols' val in their atoms. fault (may be NULL) receives let violations, smallest (site, pos)
// first, of the first phase that has one. A let counts wherever its statement stores (predicates and condition true), used there or not.
// pos says where the value came from, whoever notices: the element offset of the first load, operands first, of the let's definition; 0
// without a load.
typedef struct EvalFault {
  int site;
  int64_t pos, value;
} EvalFault;
bool eval_stages(Kernel *, EvalFault *fault); // false: a let was violated
bool eval_tree(Kernel *, EvalFault *fault);
