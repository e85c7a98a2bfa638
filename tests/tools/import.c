// import.c - imports ONNX files, checks that the printed graph parses back to the same text, and prints it with -p.
// Usage: import [-p] MODEL...   One line per model; exits with the code of the last that failed.
#include "frontend/frontend.h"
#include <string.h>

static const char *path;
static bool print;
static int size;

static void run(void *u) {
  (void)u;
  Graph *g = import_file(path, &(ImportOptions){0});
  Text text = {0}, side = {0}, again = {0}, side2 = {0};
  graph_verify(g, false);
  graph_print(g, &text, &side);
  Graph *back = graph_parse(text.p, text.n, side.p, side.n, path);
  graph_verify(back, false);
  graph_print(back, &again, &side2);
  if (text.n != again.n || memcmp(text.p, again.p, text.n) || side.n != side2.n || (side.n && memcmp(side.p, side2.p, side.n))) {
    FILE *f = fopen("/tmp/import.first", "w"), *h = fopen("/tmp/import.second", "w");
    fwrite(text.p, 1, text.n, f), fwrite(again.p, 1, again.n, h);
    fclose(f), fclose(h);
    fail(EXIT_BUG, "text.round-trip", NOWHERE, "the text does not come back: compare /tmp/import.first and /tmp/import.second");
  }
  if (print) printf("%s", text.p);
  size = (int)text.n;
}

int main(int argc, char **argv) {
  int failed = 0;
  for (int k = 1; k < argc; k++) {
    if (!strcmp(argv[k], "-p")) {
      print = true;
      continue;
    }
    path = argv[k];
    Exit e = protect(run, NULL);
    printf("%s %d %s %d\n", e ? "FAIL" : "ok", e, path, size);
    if (e) failed = e;
    base_reset();
  }
  return failed;
}
