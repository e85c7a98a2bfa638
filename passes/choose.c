// choose.c - the algorithm of a node where there is a choice; schedules only order loops.
#include "passes/passes.h"

void pass_choose(Graph *g, const Options *o) { (void)g, (void)o; }
