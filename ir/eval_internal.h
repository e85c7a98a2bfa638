// eval_internal.h - the parts of the interpreter: eval_mem.c (storage to lanes), eval_index.c (indices over lanes), eval_plan.c (a
// statement as a list of instructions), eval_exec.c (running it over blocks of lanes), eval.c (loops, stages, trees).
//
// A statement is run over lanes: up to LANE_AXES of its loops advance together, the innermost fastest. Lanes of spatial loops are
// independent. Lanes of reduce loops (always the outermost of the lane loops) are folded into their cells in order, so the order of
// accumulation is that of the loops. Everything here is private to the interpreter and freed when an evaluation ends.
#pragma once
#include "scalar.h"

enum { LANES = 1024, LANE_AXES = 4 };

/* ---- memory of one evaluation ---- */
void *eval_mem(size_t bytes); // zeroed
#define EVAL_NEW(T) ((T *)eval_mem(sizeof(T)))

/* ---- eval_mem.c: n elements from offset `at`, each `step` further, to or from lanes of the register type ---- */
void mem_load(DType, const void *base, int64_t at, int64_t step, int n, void *r);
void mem_store(DType, void *base, int64_t at, int64_t step, int n, const void *r);
void mem_gather(DType, const void *base, int64_t from, const int64_t *at, int n, void *r); // elements from + at[l]
void mem_scatter(DType, void *base, int64_t from, const int64_t *at, int n, const void *r);

/* ---- lanes ---- */
typedef struct LaneAxis {
  Atom *var;
  IExpr *ext;
  bool reduce;
} LaneAxis;
typedef struct Block { // the lanes now running: var = its val + 0..count-1
  int n;               // axes
  LaneAxis *axis;
  int64_t count[LANE_AXES];
  int total, slices; // lanes; product of the reduce axes' counts: lanes come in that many runs of total/slices
  unsigned shape;    // changes with the counts: what depends on lanes alone is kept while it stays
} Block;

// A walk over the lanes for up to three affine functions at once: runs along the innermost axis, neighbouring axes merged where possible.
typedef struct Walk {
  int na, m, lane, run; // run: lanes of the present run, from `lane` on
  int64_t count[LANE_AXES], at[LANE_AXES], step[3][LANE_AXES], off[3];
} Walk;
struct Form;
void walk_start(Walk *, const Block *, int m, const struct Form *const *f);
bool walk_next(Walk *);
static inline int64_t walk_step(const Walk *w, int i) { return w->na ? w->step[i][w->na - 1] : 0; }

/* ---- eval_index.c ---- */
typedef struct Plan Plan;
typedef struct Index Index; // an IExpr made ready for one plan
typedef struct Form {       // its values over the present block: base + steps, or base + arr[lane]
  int64_t base, step[LANE_AXES];
  const int64_t *arr; // NULL: affine
  int64_t lo, hi;     // range of arr
  unsigned version;   // of arr: changes with its contents
} Form;
Index *index_of(Plan *, IExpr *);
bool index_varies(const Index *); // over the lanes
bool index_has_let(const Index *);
const Form *index_form(Plan *, Index *);
void form_range(const Block *, const Form *, int64_t *lo, int64_t *hi);
const int64_t *form_array(Plan *, const Form *, int64_t *space); // values as an array, in space if they are not one already

/* ---- eval_plan.c ---- */
typedef struct Instr Instr;
struct Instr {
  SOp op;
  DType type, in, dtype; // result, operands, of round and wrap
  int na, last;          // operands; position of the last use
  bool lanes, splat;     // varies over the lanes; does not, but is wanted so
  Instr *a[3], *cond;
  Ex *e;
  Buf *buf;
  int64_t size;              // LOAD: elements of buf
  IExpr *grows;              // the same, if it depends on loop variables
  Index *at, *dim[MAX_RANK]; // LOAD: physical offset, logical indices. IX, SEL: at
  int npred;
  Index **pred;
  void *r;
};
typedef struct Let {
  Atom *atom;
  LetDef *def;
  Instr *value;
  Index *limit, *pos; // pos: where the value was loaded from; NULL: 0
  int64_t *raw;       // lanes of the unclamped value
  bool violated;      // in the present block
  unsigned stamp;
} Let;
struct Plan {
  Block block;
  LaneAxis axis[LANE_AXES];
  int64_t last_count[LANE_AXES];
  Instr **code;
  int ncode, ccode;
  Combine combine;
  Buf *out;
  int64_t size;
  IExpr *grows;
  Index *at, *dim[MAX_RANK];
  int npred;
  Index **pred;
  Instr *cond, *x, *y; // value, or the factors of a fused product (y not NULL)
  bool resize;         // buffer sizes change with loop variables
  bool direct;         // a product of plain f32 loads into f32: no registers needed
  bool sequential;     // cells of different lanes may coincide: the index holds a let
  Let **let;
  int nlet, clet;
  Index **index;
  int nindex, cindex;
  struct Node **node;
  int nnode, cnode;
  unsigned batch; // stamps memos
  int checks;     // how many more blocks get their logical indices checked
  uint8_t *mask;  // of the present block; NULL: all
};
typedef struct Effect { // a statement as stages and trees have it
  Combine combine;
  Buf *out;
  IExpr *const *ix;
  int npred;
  IExpr **pred;
  Ex *cond, *val;
} Effect;
Plan *plan_effect(const Effect *, int nlanes, const LaneAxis *);
Plan *plan_value(Ex *, IExpr *); // a scalar or an index, without lanes; one of them is NULL
Instr *plan_ex(Plan *, Ex *);
Let *plan_let(Plan *, Atom *);

/* ---- eval_exec.c ---- */
void plan_run(Plan *);                      // over all lanes; loop variables outside are set
int64_t plan_int(Plan *);                   // plan_value's integer or bool, or index
void let_values(Plan *, Let *, int64_t *r); // clamped
void check_faults(Plan *);
extern EvalFault *eval_fault; // smallest so far; NULL: not wanted
extern bool eval_faulted;
