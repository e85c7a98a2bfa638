// roundtrip.c - `roundtrip DUMP..`: print(parse(dump)) must be the dump, byte for byte, side file included. Dumps are .ir or .kir.
#include "ir/graph.h"
#include "ir/host.h"
#include <string.h>

static void slurp(const char *path, Text *t) {
  FILE *f = fopen(path, "rb");
  char buf[1 << 14];
  if (!f) return;
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) put_n(t, buf, n);
  fclose(f);
}

static void expect_same(const char *path, const Text *was, const Text *is) {
  if (was->n == is->n && (!was->n || !memcmp(was->p, is->p, was->n))) return;
  int line = 1;
  size_t at = 0;
  for (; at < was->n && at < is->n && was->p[at] == is->p[at]; at++) line += was->p[at] == '\n';
  while (at && was->p[at - 1] != '\n') at--;
  fail(EXIT_BUG, "roundtrip", NOWHERE, "%s:%d: printed again it reads %.200s", path, line, at < is->n ? is->p + at : "(end)");
}

static void one(void *u) {
  const char *path = u;
  Text text = {0}, side = {0}, text2 = {0}, side2 = {0};
  slurp(path, &text);
  slurp(fmt("%s.data", path), &side);
  if (!text.n) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s, or it is empty", path);
  size_t n = strlen(path);
  if (n > 4 && !strcmp(path + n - 4, ".kir")) program_print(program_parse(text.p, text.n, side.p, side.n, path), &text2, &side2);
  else graph_print(graph_parse(text.p, text.n, side.p, side.n, path), &text2, &side2);
  expect_same(path, &text, &text2);
  expect_same(fmt("%s.data", path), &side, &side2);
}

int main(int argc, char **argv) {
  int bad = 0;
  for (int i = 1; i < argc; i++) {
    bad += protect(one, argv[i]) != EXIT_OK;
    base_reset();
  }
  printf("%d of %d dumps round-trip\n", argc - 1 - bad, argc - 1);
  return bad != 0 || argc < 2;
}
