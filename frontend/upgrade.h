// upgrade.h - what the OLD rules (frontend/upgrade_*.c) are written in.
// A rule sees a node as an opset below its row's version means it, and makes it mean what that version means: by changing it, or by
// making nodes before it and handing their results over with become(). A node all of whose results were handed over is removed.
#pragma once
#include "import.h"

typedef struct Up {
  Graph *g;
  Node *n;
  int opset; // of the file
  const Scope *scope;
  Value **result; // what now stands for each result
  const Where *where;
} Up;

Value *up_op(Up *, OpId, int nin, Value *const *in); // one result, before the node
Node *up_node(Up *, OpId, int nin, Value *const *in, int nout);
Value *up_ints(Up *, int n, const int64_t *v);     // i64[n]
Value *up_int(Up *, int64_t v);                    // i64[1]
Value *up_float_like(Up *, double v, Value *like); // rank 0, of the type of `like`
Value *up_shape(Up *, Value *);
Value *up_rank(Up *, Value *);      // i64[1]
Value *up_ones(Up *, Value *count); // i64[count], count i64[1]
void become(Up *, int k, Value *);
void drop_attr(Up *, const char *name);
bool old_int(Up *, const char *name, int64_t *v);        // the node's own attribute
int old_ints(Up *, const char *name, const int64_t **v); // -1: absent
bool old_float(Up *, const char *name, double *v);
int known_rank(const Up *, const Value *); // -1: not known at import
_Noreturn void cannot_upgrade(Up *, const char *why);
Value *need_in(Up *, int k); // fails where the operand is missing

#define OP(domain, name, since, sig, shape, family, how, ...) __VA_ARGS__
#define OLD(version, rule) void old_##rule(Up *);
#include "ir/ops.def"
