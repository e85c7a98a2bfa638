// expand_scan.c - a Scan whose outputs lie along other axes than the first: rows are always stacked along the first, then transposed.
#include "passes/expand.h"

static int64_t output_axis(const Node *n, int k) { // of scan output k, not negative
  const int64_t *axis;
  int states = n->region[0]->nin - (int)attr_int(n, "num_scan_inputs");
  const Value *y = n->out[states + k];
  if (k >= attr_ints(n, "scan_output_axes", &axis) || !y || !y->type || y->type->rank < 0) return 0;
  return axis[k] < 0 ? axis[k] + rank_of(y) : axis[k];
}

bool is_scan_across(const Node *n) {
  if (n->op->id != OP_Scan) return false;
  int states = n->region[0]->nin - (int)attr_int(n, "num_scan_inputs");
  for (int k = 0; k < n->nout - states; k++)
    if (output_axis(n, k)) return true;
  return false;
}

void expand_scan_across(const B *b) {
  Node *n = b->at, *s = start(b, OP_Scan, n->nin, n->in, n->nout);
  int states = n->region[0]->nin - (int)attr_int(n, "num_scan_inputs");
  int64_t *first = NEWN(int64_t, n->nout);
  for (int i = 0; i < n->nattr; i++) node_set(s, n->attr[i]);
  node_set_ints(s, "scan_output_axes", n->nout - states, first);
  node_region(s, n->region[0]);
  n->nregion = 0;
  finish(s);
  for (int o = 0; o < n->nout; o++) {
    Value *y = s->out[o];
    int64_t perm[MAX_RANK], axis = 0;
    const Attr *axes = attr_find(n, "scan_output_axes");
    if (o >= states && o - states < axes->n) axis = axes->ints[o - states];
    if (axis < 0) axis += rank_of(y);
    for (int d = 0; d < rank_of(y); d++) perm[d] = d == axis ? 0 : d < axis ? d + 1 : d;
    give(b, o, axis ? transpose(b, y, rank_of(y), perm) : y);
  }
}
