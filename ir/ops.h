// ops.h - the op table as data. ops.def holds the rows; this header gives the ids and what every room may ask of a row.
// Rooms that bind code to a row (shape rules in passes/infer, lowerings in passes/lower) include ops.def again with their own macros.
#pragma once
#include "base.h"

// How an op becomes kernels (KERNELS.md section 4)
typedef enum Family {
  FAMILY_ELEM,   // a scalar formula of the broadcast inputs
  FAMILY_INDEX,  // a view or index map: elem(index) -> scalar
  FAMILY_FOLD,   // reduction over the op's axes: combine, term, finish
  FAMILY_FOLDN,  // contraction or window: a C function fills a Fold
  FAMILY_NEST,   // a C function adds stages
  FAMILY_EXPAND, // a C function replaces the node by other graph ops
  FAMILY_HOST,   // a runtime function on whole values
  FAMILY_REGION, // control flow of the host program
} Family;

typedef enum OpId {
  OP_NONE,
#define OP(domain, name, ...) OP_##name,
#include "ops.def"
  OP_COUNT
} OpId;

typedef struct AttrRow {
  const char *name, *kind, *dflt; // kind: INT FLOAT STRING INTS FLOATS STRINGS TENSOR TYPE GRAPH; dflt: text, "" none, "!" required
} AttrRow;
typedef struct OldRow { // a node of an opset below `version` is rewritten by old_<rule>
  int version;
  const char *rule;
} OldRow;
typedef struct Op {
  OpId id;
  const char *domain; // "" is ai.onnx
  const char *name;   // as ONNX spells it (an id's ms_ prefix is not part of it)
  int since;          // the version whose meaning the IR carries
  const char *sig;    // "f f? -> f": see ops.def
  const char *shape;  // the shape rule's name
  Family family;
  const char *how;        // the column behind the family as text
  const char *on_strings; // the host op where strings are concerned, or ""
  const AttrRow *attr;
  const OldRow *old; // ascending versions
  int nattr, nold;
  int nin, nout;         // of the signature; -1: variadic
  int nin_min, nout_min; // how many a node must list; an optional operand among them may be left out
} Op;
extern const Op *const ops;                              // ops[OP_Add]
const Op *op_find(const char *domain, const char *name); // NULL: not in the table. "ai.onnx" and "" are one domain
const Op *op_spelled(const char *name);                  // "Name" or "domain.Name"; NULL: not in the table
const AttrRow *op_attr(const Op *, const char *name);

// One operand of a signature. letter 0: there is no such operand. A variadic operand stands for all from its place on.
typedef struct OpOperand {
  char letter, digit; // class and type variable: equal (letter, digit) are of one type, except x; digit 0: none
  bool optional, variadic;
} OpOperand;
OpOperand op_operand(const Op *, bool output, int index);
