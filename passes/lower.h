// lower.h - from graph nodes to kernels in stage form ("pull lowering").
//
// An op says either what one element is (ELEM formula, INDEX function: they pull their operands' elements), or how to fold (FOLD rows,
// FOLDN functions), or adds stages of its own (NEST), or is a call or a control structure of the host program (HOST, REGION).
//
//   group.c      which values are stored, which are temps inside a kernel, which vanish into their users
//   pull.c       value + index -> scalar expression, with memo and guards; ELEM formulas; broadcasting
//   index.c ..   the INDEX functions;  fold.c, contract.c, window.c  the FOLD rows and FOLDN functions;  nest_*.c  the NEST functions
//   lower.c      the driver: groups to kernels, nodes to host statements; host.c: HOST and REGION nodes
#pragma once
#include "ir/graph.h"
#include "ir/host.h"
#include "passes/passes.h"

typedef struct Lower Lower;
typedef struct Group Group;
typedef struct VInfo VInfo;

typedef enum Residence {
  RES_NONE,   // nobody needs it
  RES_INLINE, // vanishes into its users
  RES_TEMP,   // a temp inside its users' kernel
  RES_ROOT,   // stored: a value of the host program
} Residence;

// One read of a value while its users were expanded: by which member of which group, at which index.
typedef struct Access {
  Group *group;
  Value *owner;
  IExpr *idx[MAX_RANK];
} Access;

// What lowering knows of a value; hangs on Value.pass.
struct VInfo {
  Residence where;
  Group *group;         // TEMP, ROOT: whose kernel computes it
  IExpr *var[MAX_RANK]; // TEMP, ROOT of a group: the index its stage stores at: distinct loop variables, or 0 where the extent is 1
  IExpr *red[MAX_AXES]; // folds: the reduce variables
  int nred;
  Access *access;
  int naccess, caccess;
  bool loaded; // its elements are symbols that the host sets once it exists: it must be computed all the same
  int depth;   // of the longest chain of inlined readers: pulling recurses, so chains are cut
  bool ranged; // of an integer constant: lo and hi are known
  int64_t lo, hi;
  bool must_root; // graph output, or read by something that needs memory
  HBuf *hbuf;     // its program value, once it has one
  Buf *buf;       // its buffer in the kernel being filled, if `kernel` says so
  int kernel;
};

struct Group {
  int id;
  Value **member; // users first: member[0] is the root, which is stored; the others are temps
  int nmember, cmember;
  int nfoldn; // contractions and windows among the members
  int nread;  // values that its members read, so far
  int nstage; // that scheduling may make of them, at most
};

// A complex tensor is one of its parts with a further axis: real and imaginary part. Kernels move the parts and do not compute with them.
static inline bool is_complex(const Value *v) { return v->type->dtype == DT_C64 || v->type->dtype == DT_C128; }

struct Lower {
  IExpr *part; // which part of complex elements is read; NULL where the result is not complex
  Program *prog;
  const Options *opt;
  HStmt ***tail; // where the next host statement goes
  // the kernel being filled
  Kernel *k;
  int serial; // of the kernel: VInfo.kernel
  HBuf **arg; // what its parameters are bound to
  int narg, carg;
  IExpr *guard[32]; // conditions (>= 0) under which what is being pulled will be used
  int nguard;
  struct Memo *memo; // pulls done in this kernel
  int nmemo, cmemo;
  // recording: grouping expands nodes one by one and only wants to know what they read
  bool record;
  Group *rec_group;
  Value *rec_owner;
  int rec_depth; // of the value being expanded
  Node *node;    // the node being lowered, for messages and sites
};

/* ---- pulling ---- */
Ex *pull(Lower *, Value *, IExpr *const *idx);                                      // element of v as its register type
IExpr *broadcast_index(IExpr *dim, IExpr *out, IExpr *i);                           // index of an operand's dim under numpy's rules
Ex *pull_broadcast(Lower *, Value *, int rank, IExpr *const *idx, const Type *out); // numpy broadcasting into `out`'s shape
Ex *pull_guarded(Lower *, Value *, IExpr *const *idx, int n, IExpr *const *ge0, Ex *otherwise); // all ge0 >= 0 ? v[idx] : otherwise
IExpr *pull_index(Lower *, Value *, IExpr *const *idx, IExpr *size, bool wrap_negative);        // v[idx] as an index in 0..size-1, checked
IExpr *pull_scalar_index(Lower *, Value *,
                         int64_t i); // element i of a small integer value as an index expression: known value, constant, or program symbol
bool elems_known(Value *);           // does pull take the elements from their expressions?
Ex *pull_elem_node(Lower *, Node *, int out, IExpr *const *idx); // a node of family ELEM or INDEX at one index

/* ---- what a fold is ---- */
typedef struct Fold {
  int result;           // given: which output of the node
  IExpr *out[MAX_RANK]; // given: index into the result
  int nred;
  IExpr *red[MAX_AXES]; // reduce variables, made by fold_axis in a fixed order
  Combine combine;
  DType acc;                                              // register type of the accumulator
  Ex *term;                                               // what is accumulated
  Ex *first;                                              // initial value; NULL: the identity of combine
  Ex *(*finish)(Lower *, Node *, struct Fold *, Ex *acc); // NULL: the accumulator itself
  int npred;                                              // terms count only where all pred >= 0
  IExpr *pred[8];
  Ex *cond;
  const VInfo *info;
} Fold;
IExpr *fold_axis(Fold *, const char *name, IExpr *extent);

typedef Ex *IndexFn(Lower *, Node *, int out, IExpr *const *idx);
typedef void FoldFn(Lower *, Node *, Fold *);
typedef void NestFn(Lower *, Node *);

typedef struct Lowering { // one per op: what its row in ops.def says
  Family family;
  const char *formula; // ELEM; FOLD: "combine; term; finish"
  IndexFn *index;
  FoldFn *fold;
  NestFn *nest; // NEST, HOST, REGION
} Lowering;
const char *host_function(const Node *); // what the runtime calls this op, NULL if it is not a host op
const Lowering *lowering(const Node *);  // NULL or without function: nobody lowers this op yet

/* ---- kernels and statements, for NEST and HOST functions ---- */
void lower_begin(Lower *, const char *name); // opens a kernel
HStmt *lower_launch(Lower *);                // closes it: parameters first, a LAUNCH statement
Buf *lower_in(Lower *, Value *);             // parameter (or temp of this kernel) that holds v; v must be stored
Buf *lower_out(Lower *, Value *);            // parameter for a result
Buf *lower_temp(Lower *, const char *name, DType, int rank, IExpr *const *dim);
HBuf *lower_value(Lower *, Value *);                          // the program value of v; made when missing
HBuf *lower_scratch(Lower *, const char *name, const Type *); // a program value of our own
HBuf *lower_slab(Lower *, const char *name, const Type *);    // one that grows
HBuf *lower_const_bool(Lower *, bool);
// A kernel that its row gives as a loop tree, in the text of kernel IR (docs/ir.md): what its words are replaced by, what its parameters
// are bound to. A size becomes a symbol of the kernel, or the number where it is one.
typedef struct Word {
  const char *name, *text;
  IExpr *size; // if text is NULL
} Word;
#define KERNEL(...) #__VA_ARGS__
void lower_text(Lower *, const char *text, int nword, const Word *, int nbuf, HBuf *const *);
// dim `axis` of v is element `index` of count, which a kernel has computed: set, or compared with what is known of it already.
void lower_size(Lower *, Value *v, int axis, HBuf *count, IExpr *index);
void lower_provide(Lower *, HBuf *); // memory for what is about to be written, if its size was not known at entry
bool lower_at_entry(IExpr *);        // is it known when the run begins?
IExpr *lower_scalar(Lower *, Value *, int64_t i, int64_t lo, int64_t hi); // element i of an integer value: known, or loaded by the host
HStmt *lower_stmt(Lower *, HKind);
int lower_site(Lower *, const Node *, const char *text, IExpr *lo, IExpr *hi); // site number
int lower_site_input(Lower *, const Node *, Value *from, const char *text, IExpr *lo, IExpr *hi);
void lower_graph(Lower *, Graph *);         // all nodes of a region, at the current tail
bool lower_eval_node(Node *, Tensor **out); // folds one node with constant operands by the interpreter

bool by_openblas(const Lower *, const Node *); // host.c: is it a call of OpenBLAS instead of a fold?
void openblas_call(Lower *, Node *);

VInfo *vinfo(Value *);
bool first_access(const VInfo *, int a);    // is access a the first of its group?
void group_graph(Lower *, Graph *);         // decides residence and groups of one graph's values
bool is_plain(IExpr *const *idx, int rank); // distinct loop variables, or constant 0
