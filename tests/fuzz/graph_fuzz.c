// graph_fuzz.c - any text through the parser of graph IR; what is accepted must print to a text that prints again the same.
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
  Text text = {0}, side = {0}, again = {0}, side2 = {0};
  static const char data[256];
  graph_print(graph_parse((const char *)in->p, in->n, data, sizeof data, "fuzz"), &text, &side);
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
