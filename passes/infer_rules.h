// infer_rules.h - what the shape rules stand on. A rule reads the types and known elements of its node's operands and sets those of
// its results; everything it asks about an operand is already resolved by the facts so far.
#pragma once
#include "infer.h"

typedef struct Dims {
  int rank;
  IExpr *d[MAX_RANK + 1]; // one more than a type may have: rules insert first, and the check is made when the type is set
} Dims;

// Known elements of a tensor: integers and bools as expressions, f32 and f64 as float trees.
typedef struct Elems {
  int n;      // count; with splat -1 if it is not constant
  bool splat; // one element stands for all
  IExpr **e;
  FTree **f;
} Elems;
enum { ELEMS_MAX = 1024, SIZES_MAX = 64 };

/* ---- operands ---- */
Dims dims_of(const Value *);
bool operands_fit(const Node *); // all required ones are there, and tensors where the signature says so; else told
int rank_in(const Node *, int i);
IExpr *dim_in(const Node *, int i, int axis);   // negative axes count from the end; one that is not there is told, and 1
DType dtype_in(const Node *, int i);            // DT_NONE: absent
bool elems_of(const Value *, Elems *);          // false: not known, or absent
bool list_of(const Value *, int *n, IExpr ***); // all integer elements, a splat of constant count written out
bool tensor_elems(const Tensor *, Elems *);
// The elements of an operand that sizes are made of: where they are not known, they are loaded (at most 64, count known).
bool shape_operand(const Node *, int i, int *n, IExpr ***);
bool loaded_itself(const Value *v, IExpr *e);            // is e just what the caller, or v's own computation, gives at run time?
IExpr *scalar_of(const Value *);                         // the one integer element, or NULL
bool consts_of(const Value *, int *n, const int64_t **); // all elements known integer constants
int ints_attr(const Node *, const char *name, int64_t *v, int n, int64_t dflt); // v[0..n) filled, with dflt where absent; count given
int axis_in(const Node *, int64_t axis, int rank);                              // 0..rank-1; a wrong one is reported and becomes 0

/* ---- results ---- */
DType sig_dtype(const Node *, int i); // what the signature says of result i; DT_NONE: nothing
void out_type(Node *, int i, const Type *);
void out_dims(Node *, int i, DType, Dims);
void out_sig(Node *, int i, Dims); // with the signature's dtype
void out_elems(Node *, int i, Elems);
void out_ints(Node *, int i, int n, IExpr **);
IExpr *fresh_dim(Node *, int i, int axis, int64_t lo, int64_t hi); // a dim that depends on data, listed in inferred.fresh
IExpr *fresh_of(Value *, int axis, int64_t lo, int64_t hi);        // the same for any value
Sym base_name(Value *);                                            // unique and stable: what symbols about a value are named after
void unknown_rank(Node *, const char *why);                        // reported at the end, unless later passes know better
void wrong(const Node *, const char *format, ...) __attribute__((format(printf, 2, 3))); // the model contradicts the op's definition

/* ---- facts ---- */
void require_eq(Node *, IExpr *, IExpr *);
void require_eq_in(Node *, const Graph *, IExpr *, IExpr *); // holds where the graph runs: a region of the node
void require_ge0(Node *, IExpr *);
IExpr *broadcast_dim(Node *, IExpr *, IExpr *);
Dims broadcast(Node *, Dims, Dims);
IExpr *product(Dims, int from, int to); // of dims from..to-1
Dims dims(int rank, ...);               // of IExpr *
void insert_dim(Dims *, int at, IExpr *);
void remove_dim(Dims *, int at);

/* ---- values (infer_value.c) ---- */
void elementwise(Node *);                   // the elements of result 0 from those of the operands, if the op has a value rule
void view_elems(Node *, const Value *from); // same elements in the same order
int64_t const_count(Dims);                  // number of elements, -1: not constant or too many to carry
void elems_by_strides(Node *, int i, const Value *from, int64_t base, const int64_t *stride); // per axis of the result
void gather_elems(Node *, int i, const Value *from, int n, const int64_t *index);             // element k is from's element index[k]

/* ---- what is known beyond types ---- */
typedef struct Side {
  FTree **f; // float elements
  int nf;
  bool fsplat;
  IExpr *length;     // of a sequence, or NULL
  const Type **item; // types of a sequence's elements one by one, or NULL
  int nitem;
  Sym name;                  // base_name
  Elems *known;              // of a constant
  bool constant;             // fold will know it: no symbols for it
  int fresh_run, loaded_run; // the run (infer_run) in which its symbols were listed
  uint32_t fresh_axes;
} Side;
Side *side_of(const Value *);

/* ---- running (infer.c) ---- */
extern int infer_run;      // counts iterations over the graph: each lists the symbols anew
void infer_graph(Graph *); // all nodes of a region whose inputs have types
typedef struct Mark Mark;
Mark *mark_facts(void);
void leave_region(Mark *);   // its facts hold only inside; its checks stay
void discard_region(Mark *); // an iteration that was based on a false guess: nothing of it stays
void load_elems(Value *);    // symbols for the elements of a small integer tensor
void forget_elems(Value *);
