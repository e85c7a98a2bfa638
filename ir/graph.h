// graph.h - Graph IR: typed SSA over tensors. Ops mean what the newest ONNX opset means (the frontend upgrades older ones).
// Regions carry the bodies of If, Loop, Scan and SequenceMap; a body may use values of the graphs around it.
#pragma once
#include "ops.h"
#include "type.h"

typedef struct Graph Graph;
typedef struct Node Node;
typedef struct Value Value;

typedef enum AttrKind {
  ATTR_NONE,
  ATTR_INT,
  ATTR_FLOAT,
  ATTR_STRING,
  ATTR_INTS,
  ATTR_FLOATS,
  ATTR_STRINGS,
  ATTR_TENSOR,
  ATTR_TYPE
} AttrKind;
typedef struct Attr {
  Sym name;
  AttrKind kind;
  int n; // INTS, FLOATS, STRINGS: count
  union {
    int64_t i;
    double f; // FLOAT keeps the f32 of the file, exactly
    Str s;
    const int64_t *ints;
    const double *floats;
    const Str *strings;
    const Tensor *t;
    const Type *type;
  };
} Attr;

struct Value {
  Sym name;         // ONNX's name, or NULL; unique names are made by the printer
  const Type *type; // after infer: never NULL, rank known for every tensor that is not HOST's business
  Node *def;        // NULL: graph input or constant
  int out;          // which result of def
  Graph *graph;     // where it lives (constants: where they were made)
  Tensor *data;     // a constant, else NULL
  int id;           // dense, unique in the compilation
  IExpr **elem;     // shape value: the elements (nelem = count), or NULL; filled by infer for i32, i64, bool
  int nelem;        // elem holds nelem expressions; splat: one expression stands for all
  bool splat;
  Node **user;      // nodes that read it, once per operand, plus the region nodes whose bodies capture it are NOT listed
  int nuser, cuser; // (see graph_uses for those)
  void *pass;       // scratch of the running pass
};

struct Node {
  const Op *op;
  Sym name;    // ONNX node name or NULL
  int index;   // position in the ONNX main graph; -1: made by us; kept through rewrites for messages and error sites
  Sym path;    // "" at top level, else the region path "Loop_3.body"
  Value **in;  // NULL entry: optional input left out
  Value **out; // NULL entry: optional output not wanted
  int nin, nout;
  Attr *attr;
  int nattr;
  Graph **region; // If: then, else; Loop, Scan, SequenceMap: body
  int nregion;
  Graph *graph;
  Node *prev, *next; // topological order within the graph
  void *pass;        // scratch of the running pass
};

struct Graph {
  Sym name;
  Graph *parent; // the graph a region lies in
  Node *owner;   // the node whose region this is
  Sym path;      // "" for the main graph, else what its nodes carry: "Loop_3.body"
  Value **in, **out;
  Sym *out_name; // ONNX's names of the outputs; they outlive value_replace
  int nin, nout, cin, cout, cout_name;
  Node *first, *last;
  Graph **child; // graphs made with this one as parent, also those that are no region any more
  int nchild, cchild;
  // main graph only: provenance, printed as a header
  Sym producer;
  int64_t ir_version;
  struct Opset {
    Sym domain;
    int64_t version;
  } *opset; // as the file imported them (information only)
  int nopset;
};

/* ---- making (graph.c) ---- */
Graph *graph_new(Sym name, Graph *parent); // a region's name is the last part of its path: "Loop_3.body"
Value *graph_input(Graph *, Sym name, const Type *);
void graph_output(Graph *, Value *); // its name is the value's
Value *graph_const(Graph *, Sym name, Tensor *);
Value *graph_const_i64(Graph *, int rank, int64_t n, const int64_t *v); // rank 0 (n = 1) or 1
Value *graph_const_float(Graph *, DType, double v);                     // rank 0
// Appends (before == NULL) or inserts before a node. Results get fresh values with NULL types; name and index come from `like`, or none.
Node *graph_node(Graph *, Node *before, OpId op, Node *like, int nin, Value *const *in, int nout);
Value *graph_op(Graph *, Node *before, OpId op, Node *like, int nin, Value *const *in); // one result
#define VALUES(...)                                                                                                                        \
  (int)(sizeof((Value *[]){__VA_ARGS__}) / sizeof(Value *)), (Value *[]) { __VA_ARGS__ }
//   graph_op(g, at, OP_Add, n, VALUES(a, b))
void node_set(Node *, Attr); // adds or replaces an attribute
void node_set_int(Node *, const char *name, int64_t v);
void node_set_float(Node *, const char *name, double v);
void node_set_ints(Node *, const char *name, int n, const int64_t *v);
void node_set_string(Node *, const char *name, const char *v);
void node_set_in(Node *, int i, Value *);      // keeps user lists right; grows the operand list
void node_region(Node *, Graph *);             // appends a region
void value_replace(Value *old, Value *by);     // everywhere: operands, outputs of graphs, captures in regions
void node_remove(Node *);                      // results must be unused
void node_move_before(Node *, Node *at);       // also out of a region into the graph around it
bool graph_uses(const Graph *, const Value *); // directly, or captured in any nested region
// A copy with all nested regions. map (may be NULL) is asked for every value from outside, constant and input of the graph itself;
// NULL: outside values and constants are shared, an input becomes an input of the copy.
Graph *graph_clone(const Graph *, Graph *parent, Value *(*map)(Value *, void *u), void *u);
// Moves all nodes of a region, copied by the same rules, before `at`; out receives what its outputs became. For inlining of bodies.
void graph_inline(const Graph *, Graph *into, Node *at, Value *(*map)(Value *, void *u), void *u, Value **out);

/* ---- attributes: the node's own, else the default of the op table ---- */
const Attr *attr_find(const Node *, const char *name); // NULL: absent and no default
int64_t attr_int(const Node *, const char *name);      // bug() if the table has no default and the node none: use attr_has first
double attr_float(const Node *, const char *name);
Str attr_str(const Node *, const char *name);
bool attr_is(const Node *, const char *name, const char *value);  // string attribute equals
int attr_ints(const Node *, const char *name, const int64_t **v); // count; 0 if absent
bool attr_has(const Node *, const char *name);                    // given by the node itself

/* ---- asking ---- */
Value *node_in(const Node *, int i); // NULL beyond the list or left out
Value *node_out(const Node *, int i);
const Where *node_where(const Node *);
int value_rank(const Value *);
IExpr *value_dim(const Value *, int axis);                 // negative axes count from the end
IExpr *value_count(const Value *);                         // product of the dims
bool value_ints(const Value *, int *n, const int64_t **v); // all elements known integer constants (data, or elem)
bool value_exprs(const Value *, int *n, IExpr ***e);       // all elements known as expressions (splats expanded if <= 1024)
bool value_same_shape(const Value *, const Value *);       // equal rank and `==` dims

/* ---- text, verifier (graph_print.c, graph_parse.c, graph_verify.c) ---- */
//   const @w0 = f32[64,3,7,7] data(0, 37632)
//   graph main(%x: f32[N,3,224,224]) -> (y: f32[N,10]) where N in 1..64 {
//     %1 = Conv(%x, @w0) {strides=[2, 2]} : f32[N,64,112,112] ; #0 "conv1"
//     ...
//     return %9
//   }
// Names that are no plain words are quoted: %"a b". _ is an operand left out or a result not wanted. Regions follow the types of their
// node in the order of its GRAPH rows: then_branch graph () { .. return %5 }. `#0 "conv1" in "Loop_3.body"`: index, name and path.
// Canonical: print(parse(print(g))) == print(g). Constants above 64 elements print as data(offset, bytes) into a side file.
void graph_print(const Graph *, Text *text, Text *side);
Graph *graph_parse(const char *text, size_t n, const void *side, size_t nside, const char *file); // fails with a line number
bool type_in_class(char letter, const Type *);                                                    // the classes of a signature, see ops.def
void graph_verify(const Graph *, bool typed); // bug() on the first violation; typed: every value has a type that its op's rule allows
