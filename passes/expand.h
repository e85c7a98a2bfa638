// expand.h - what the builders of EXPAND rows (passes/expand_*.c) are written in: one-line makers of graph nodes.
//
// A builder is `void expand_<how>(const B *b)`: it makes nodes before b->at and hands results over with give(). Every value that a maker
// returns has its type, so a builder may ask for ranks and dims at once. Makers fold nothing but shapes: simplify and fold come after.
#pragma once
#include "passes/passes.h"

typedef struct B {
  Graph *g;   // where nodes go: the graph of `at`, or the body of a region being built
  Node *at;   // the node being replaced; NULL in a body: append
  Node *like; // whose name and index the new nodes carry, for messages
} B;

/* ---- nodes ---- */
Node *start(const B *, OpId, int nin, Value *const *in, int nout); // attributes may follow, then finish()
Value *finish(Node *);                                             // types the results, returns the first
Value *op0(const B *, OpId);
Value *op1(const B *, OpId, Value *x);
Value *op2(const B *, OpId, Value *x, Value *y);
Value *op3(const B *, OpId, Value *x, Value *y, Value *z);
Value *op1_int(const B *, OpId, Value *x, const char *attr, int64_t v);
Value *op2_int(const B *, OpId, Value *x, Value *y, const char *attr, int64_t v);
void copy_attrs(Node *to, const Node *from, const char *names); // the space-separated attributes that `from` itself has
void give(const B *, int out, Value *by);                       // result `out` of b->at is `by`; unwanted results are ignored
int64_t int_or(const B *, const char *name, int64_t otherwise); // attributes of b->at that may have neither value nor default
double float_or(const B *, const char *name, double otherwise);
const char *text_of(const B *, const char *name); // a string attribute of b->at; "" if absent
bool wanted(const B *, int out);                  // has somebody a use for result `out`?
_Noreturn void cannot(const B *, const char *format, ...) __attribute__((format(printf, 2, 3))); // EXIT_UNSUPPORTED, naming the node

static inline Value *in(const B *b, int i) { return node_in(b->at, i); }
static inline DType dtype(const Value *v) { return v->type->dtype; }
static inline int rank_of(const Value *v) { return v->type->rank; }
static inline Value *add(const B *b, Value *x, Value *y) { return op2(b, OP_Add, x, y); }
static inline Value *sub(const B *b, Value *x, Value *y) { return op2(b, OP_Sub, x, y); }
static inline Value *mul(const B *b, Value *x, Value *y) { return op2(b, OP_Mul, x, y); }
static inline Value *quo(const B *b, Value *x, Value *y) { return op2(b, OP_Div, x, y); }
static inline Value *matmul(const B *b, Value *x, Value *y) { return op2(b, OP_MatMul, x, y); }
static inline Value *where(const B *b, Value *c, Value *x, Value *y) { return op3(b, OP_Where, c, x, y); }
Value *add_opt(const B *, Value *x, Value *y); // x + y, or the one that is there; NULL if none
Value *and_opt(const B *, Value *x, Value *y); // likewise, on bools

/* ---- one node (expand.c) ---- */
bool is_composite(const Node *); // has it a builder?
Node *expand_node(Node *);       // expands it; returns the first new node, because what it became may be composite again

/* ---- strings (expand_strings.c) ---- */
bool is_string_view(const Node *);
void expand_string_view(const B *);

/* ---- more operands than a kernel should read (expand_values.c) ---- */
bool is_wide(const Node *);
void expand_wide(const B *);

/* ---- Scan (expand_scan.c) ---- */
bool is_scan_across(const Node *); // does an output lie along another axis than the first?
void expand_scan_across(const B *);

/* ---- constants ---- */
Value *num(const B *, DType, double v);               // rank 0
Value *num_like(const B *, const Value *x, double v); // of x's dtype
Value *ints(const B *, int n, const int64_t *v);      // i64[n]
Value *int1(const B *, int64_t v);                    // i64[1]
Value *floats(const B *, DType, int rank, const int64_t *dim, const double *v);
#define INTS(...)                                                                                                                          \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) { __VA_ARGS__ }

/* ---- shapes: i64 vectors, constants where the dims are ---- */
Value *shape_of(const B *, Value *x);
Value *dim_of(const B *, Value *x, int axis);            // i64[1]; negative axes count from the end
Value *join(const B *, int n, Value *const *parts);      // concatenates i64 vectors
int64_t static_dim(const B *, const Value *x, int axis); // cannot() where it is symbolic
bool known_dim(const Value *x, int axis, int64_t *k);
bool same_dim(const Value *x, int ax, const Value *y, int ay); // proved equal

/* ---- views ---- */
Value *cast(const B *, Value *x, DType to);        // x itself if it has that type
Value *wide(const B *, Value *x);                  // f16, bf16 and smaller floats to f32; others as they are
Value *reshape(const B *, Value *x, Value *shape); // 0 copies, -1 infers
Value *reshape_to(const B *, Value *x, int n, const int64_t *shape);
Value *transpose(const B *, Value *x, int n, const int64_t *perm);
Value *swap_last(const B *, Value *x); // the last two axes
Value *to_nchw(const B *, Value *x);   // the last axis to place 1
Value *to_nhwc(const B *, Value *x);   // axis 1 to the end
Value *unsqueeze(const B *, Value *x, int n, const int64_t *axes);
Value *squeeze(const B *, Value *x, int axis);
Value *concat(const B *, int axis, int n, Value *const *parts);
Value *slice(const B *, Value *x, int axis, int64_t from, int64_t to); // INT64_MAX: to the end
Value *slice_step(const B *, Value *x, int axis, int64_t from, int64_t to, int64_t step);
Value *slice_dyn(const B *, Value *x, int axis, Value *from, Value *to); // i64[1] bounds
Value *pick(const B *, Value *x, int axis, int64_t i);                   // x[.., i, ..] without that axis
void split(const B *, Value *x, int axis, int n, Value **part);          // n equal parts
Value *gather(const B *, Value *x, Value *index, int axis);
Value *expand_to(const B *, Value *x, Value *shape);
Value *zeros(const B *, DType, Value *shape);
Value *filled(const B *, DType, double v, Value *shape);
Value *count_up(const B *, Value *n);                    // 0, 1, .. n-1 as i64[n]; n i64[1] or rank 0
Value *along(const B *, Value *vec, int axis, int rank); // a vector as a tensor of that rank along that axis: [1,..,n,..,1]

/* ---- folds ---- */
Value *reduce(const B *, OpId, Value *x, int n, const int64_t *axes, bool keep);
Value *reduce_from(const B *, OpId, Value *x, int axis); // axes axis..rank-1, kept as 1

/* ---- pieces that several builders share ---- */
Value *softmax(const B *, Value *x, int axis, bool safe, Value *sink,
               bool log); // safe: a row of -inf gives zeros. sink: one more logit per row
Value *sigmoid(const B *, Value *x);
Value *tanh_of(const B *, Value *x);
Value *gelu(const B *, Value *x, bool tanh_form);
Value *silu(const B *, Value *x);
Value *activate(const B *, Value *x, const char *name, double alpha, double beta); // ONNX RNN and fused activations; NaN: the default
Value *layer_norm(const B *, Value *x, Value *scale, Value *bias, int axis, double eps, DType stash, Value **mean, Value **inv);
Value *rms_norm(const B *, Value *x, Value *scale, int axis, double eps, DType stash, Value **inv);

/* ---- the table: one builder per EXPAND row, named by the row's last column ---- */
typedef void Builder(const B *);
extern const Options *expand_options; // of the running pass_expand
