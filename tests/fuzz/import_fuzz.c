// import_fuzz.c - any bytes through scan, unpacking and import; what is accepted must verify, print, and come back from its text.
#include "frontend/frontend.h"
#include "ir/graph.h"
#include <stdlib.h>
#include <string.h>

typedef struct Input {
  const uint8_t *p;
  size_t n;
} Input;

static void quiet(const Diagnostic *d) { (void)d; }

static void run(void *u) {
  const Input *in = u;
  Graph *g = import_bytes(in->p, in->n, "fuzz", NULL, NULL);
  Text text = {0}, side = {0}, again = {0}, side2 = {0};
  graph_verify(g, false);
  graph_print(g, &text, &side);
  graph_print(graph_parse(text.p, text.n, side.p, side.n, "printed"), &again, &side2);
  if (text.n != again.n || memcmp(text.p, again.p, text.n)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  diagnostic_sink = quiet;
  mem_limit((size_t)512 << 20);
  protect(run, &(Input){data, size});
  base_reset();
  return 0;
}
