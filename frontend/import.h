// import.h - what the files of the importer share. Not for other rooms.
#pragma once
#include "frontend.h"
#include "ir/map.h"
#include "onnx.pb-c.h"

enum { NEWEST_OPSET = 28, NEWEST_IR = 14, MAX_CALL_DEPTH = 100, MAX_FUNCTIONS = 10000, MAX_INLINED = 200000 };

typedef struct Importer {
  const char *file;
  const uint8_t *bytes; // the whole file
  size_t n;
  const char *dir; // NULL: no external data
  const ImportOptions *options;
  Onnx__ModelProto *model;
  Map function;    // "domain\nname\noverload" -> Function
  Map symbol;      // dim_param -> IExpr
  Map symbol_name; // the identifiers given out
  int ninlined;
} Importer;

// The names visible to the nodes of one graph, or of one call of a function.
typedef struct Scope {
  const struct Scope *outer; // of a region; a function's body sees nothing around it
  Graph *graph;              // where nodes go
  Map value;                 // Sym -> Value
  Map info;                  // Sym -> ValueInfoProto: ranks for the upgrade rules
  Onnx__OperatorSetIdProto **opset;
  size_t nopset;
  const Onnx__FunctionProto *function; // NULL outside of a function's body
  const Onnx__NodeProto *call;         // whose attributes the body's ref_attr_name mean
  const struct Scope *caller;
  const Where *site; // of the outermost call: nodes of bodies point to it
  int depth;         // of calls
} Scope;

/* scan.c: checks the wire format and returns what protobuf-c may unpack: no unknown fields, large raw_data replaced by mapped_* */
typedef struct Wire {
  const uint8_t *p;
  size_t n;
} Wire;
Wire scan_model(const uint8_t *bytes, size_t n, const char *file);

/* external.c: the only place that opens a file named by a model */
const uint8_t *external_bytes(Importer *, const Onnx__TensorProto *, int64_t *n, const Where *);

/* tensor.c */
Tensor *import_tensor(Importer *, const Onnx__TensorProto *, const Where *);
Tensor *import_sparse(Importer *, const Onnx__SparseTensorProto *, const Where *);

/* types.c */
const Type *import_type(Importer *, const Onnx__TypeProto *, Sym owner, const Where *); // NULL: not given
int info_rank(const Onnx__ValueInfoProto *);                                            // -1: unknown

/* attributes.c */
// The attribute as it is meant here: a reference to an attribute of the calling node is followed. NULL: not given.
const Onnx__AttributeProto *resolve_attr(const Scope **, const Onnx__AttributeProto *);
Attr import_attr(Importer *, const Onnx__AttributeProto *, Sym name, const Where *);       // kind ATTR_NONE: reported
Tensor *constant_value(Importer *, const Scope *, const Onnx__NodeProto *, const Where *); // NULL: reported
void check_attrs(Node *, int opset, const Where *); // kinds, required ones; drops what the table does not know

/* sort.c */
int *sort_nodes(Onnx__NodeProto **, size_t n, const Where *graph); // an order in which every name is made before it is used

/* functions.c */
typedef struct Function {
  const Onnx__FunctionProto *proto;
  int64_t size; // nodes after inlining
  int state;    // 0 new, 1 being counted, 2 done
} Function;
void collect_functions(Importer *);
Function *find_function(const Importer *, const Onnx__NodeProto *);
void inline_call(Importer *, Scope *, const Onnx__NodeProto *, Function *, const Where *);

/* import.c */
Value *find_value(const Scope *, const char *name); // NULL: not visible
void define_value(Scope *, const char *name, Value *, const Where *);
Graph *import_region(Importer *, const Scope *outer, const Onnx__GraphProto *, Sym name, const Where *);
void import_node(Importer *, Scope *, const Onnx__NodeProto *, int index);
void import_nodes(Importer *, Scope *, Onnx__NodeProto **, size_t n, const Where *);
Value *poison(void);                                           // stands for the result of a node that was reported
const char *why_refused(const char *domain, const char *type); // how the message about an operator that is not in the table goes on

/* upgrade.c */
// Rewrites a node of an older opset. result[k]: what now stands for n->out[k]; NULL node: it was replaced.
Node *upgrade(const Scope *, Node *, int opset, Value **result, const Where *);
