// dedup.c - equal kernels are emitted once: launches of a kernel whose canonical text was seen before use the first one.
//
// Symbols are matched by position, so two layers that differ only in which buffers and symbols they are given share their code.
#include "passes/passes.h"

static void merge_kernels(Program *p, Kernel **by) {
  for (int i = 0; i < p->nkernel; i++) {
    uint64_t h = kernel_hash(p->kernel[i]);
    by[i] = p->kernel[i];
    for (int j = 0; j < i; j++)
      if (by[j] == p->kernel[j] && p->kernel[j]->hash == h) {
        by[i] = p->kernel[j];
        break;
      }
  }
}
static void retarget(HStmt *s, Program *p, Kernel **by) {
  for (; s; s = s->next) {
    for (int i = 0; s->kernel && i < p->nkernel; i++)
      if (p->kernel[i] == s->kernel) {
        s->kernel = by[i];
        break;
      }
    retarget(s->body, p, by), retarget(s->other, p, by);
  }
}
void pass_dedup(Program *p) {
  Kernel **by = NEWN(Kernel *, p->nkernel + 1);
  merge_kernels(p, by);
  retarget(p->body, p, by);
  int n = 0;
  for (int i = 0; i < p->nkernel; i++)
    if (by[i] == p->kernel[i]) p->kernel[n++] = p->kernel[i];
  p->nkernel = n;
}
