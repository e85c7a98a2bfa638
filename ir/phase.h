// phase.h - what a built kernel asks of whoever launches it: phases with their chunks, workspace temps, scratch.
//
// A phase is a run of top-level trees that needs no barrier inside: either one `par` loop with its joined pieces, cut into chunks that any
// worker may run in any order, or a run of serial trees, which is one chunk. Phases run one after the other. Every buffer allocated at top
// level is a temp: the launch passes its address in the workspace behind the parameters. (One that only a single serial phase touches need
// not use that memory.)
#pragma once
#include "kernel.h"

typedef struct Phase {
  Tree *first, *end; // the trees first, first->next, .. before end (NULL: to the end of the list)
  bool par;
} Phase;
int kernel_phases(const Kernel *, Phase **out);
// The chunk space of a list of sibling loops: the product of leading nested par loops, pieces joined one behind the other. Where a body
// does next to nothing a chunk takes several points of it, `grain` in a row; how many follows from the tree alone.
IExpr *phase_chunks(const Phase *);
int64_t phase_grain(const Phase *);
IExpr *tree_chunks(const Tree *, const Tree *end); // of siblings
IExpr *tree_piece(const Tree *);                   // of one of them
bool tree_nests(const Tree *); // is the body of this par loop nothing but further par loops, of extents free of its variable?
int kernel_temps(const Kernel *, Buf ***out);     // in the order of their launch arguments
bool temp_is_shared(const Kernel *, const Buf *); // does it live through more than one chunk?
IExpr *buf_bytes(const Buf *);                    // of its physical elements
// Bytes of scratch that one chunk of the kernel needs, in the kernel's symbols. Allocs of a block lie one behind the other, 64-byte
// aligned; blocks beside one another share.
IExpr *kernel_scratch(const Kernel *);
IExpr *alloc_bound(const Buf *,
                   int64_t *constant); // bytes free of loop variables; *constant: their upper bound as a number, IX_INF if none
bool alloc_in_scratch(const Buf *);    // by its space, or because the stack is too small for it
