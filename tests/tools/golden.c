// golden.c - `golden [--bless] FILE..`: golden tests. A file is
//
//   ; pass NAME [option ..]      then the input graph, then a line `; ---`, then all that the pass must leave
//
// A graph pass runs after bind and infer; lower, schedule, dedup and memory run at the end of the whole pipeline. Options: -O0,
// dim=NAME=LO..HI, math=default (else strict), target=NAME (else x86-64-v4). What the text says is also evaluated: the input by the
// plainest pipeline (no optional pass, no schedule) and the output, by the interpreter, on random tensors; so a wrongly blessed file fails.
// --bless writes what came out as what is expected. Each file runs in a child.
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "passes/pipeline.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Case {
  const char *path, *pass, *input, *expected;
  bool bless;
  Options o;
} Case;

/* ---- the file ---- */

static Text slurp(const char *path) {
  Text t = {0};
  char buf[1 << 14];
  FILE *f = fopen(path, "rb");
  if (!f) fail(EXIT_IO, "io.open", NOWHERE, "cannot read %s", path);
  for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;) put_n(&t, buf, n);
  fclose(f);
  return t;
}

static void option(Case *c, const char *word) {
  if (!strcmp(word, "-O0")) c->o.opt = 0;
  else if (!strcmp(word, "math=default")) c->o.math = MATH_DEFAULT;
  else if (!strncmp(word, "target=", 7) && target_find(word + 7)) c->o.target = target_find(word + 7);
  else if (!strncmp(word, "dim=", 4)) {
    const char *eq = strrchr(word, '=');
    char *end;
    struct DimOption *d = NEW(struct DimOption);
    d->name = sym_n(word + 4, (size_t)(eq - word - 4));
    d->lo = strtoll(eq + 1, &end, 10);
    d->hi = *end == '.' ? strtoll(end + 2, NULL, 10) : d->lo;
    c->o.dim = d, c->o.ndim = 1;
  } else fail(EXIT_USAGE, "golden", NOWHERE, "%s: unknown option %s", c->path, word);
}

static void read_case(Case *c) {
  Text t = slurp(c->path);
  char *first_end = t.n ? strchr(t.p, '\n') : NULL;
  if (!first_end || strncmp(t.p, "; pass ", 7)) fail(EXIT_USAGE, "golden", NOWHERE, "%s: the first line must be `; pass NAME`", c->path);
  char *head = fmt("%.*s", (int)(first_end - t.p - 7), t.p + 7), *save;
  c->o = (Options){.target = target_find("x86-64-v4"), .opt = 2};
  c->pass = strtok_r(head, " ", &save);
  for (char *w; (w = strtok_r(NULL, " ", &save));) option(c, w);
  if (!c->pass || !pipeline_has(c->pass)) fail(EXIT_USAGE, "golden", NOWHERE, "%s: there is no pass %s", c->path, c->pass ? c->pass : "");
  char *rule = strstr(first_end, "\n; ---\n");
  c->input = rule ? fmt("%.*s", (int)(rule - first_end), first_end + 1) : first_end + 1;
  c->expected = rule ? rule + 7 : "";
}

/* ---- evaluating ---- */

static uint64_t state = 1;
static double uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) * 0x1p-53;
}

static void pick_dim(Atom *a, void *count) {
  if (a->kind != ATOM_SYM || a->def) return;
  static const int64_t sizes[] = {3, 5, 2, 7, 4};
  int *n = count;
  int64_t v = sizes[*n % 5];
  if (!a->val) (*n)++;
  a->val = v < a->lo ? a->lo : v > a->hi ? a->hi : v;
}

static Tensor *random_tensor(const Type *t) {
  int64_t dim[MAX_RANK];
  for (int i = 0; i < t->rank; i++) dim[i] = ix_eval(t->dim[i]);
  Tensor *x = tensor_new(t->dtype, t->rank, dim, NULL);
  for (int64_t i = 0; i < tensor_count(x); i++) {
    if (dtypes[t->dtype].is_float) tensor_set_float(x, i, 2 * uniform() - 1);
    else tensor_set_int(x, i, uniform() < 0.5);
  }
  return x;
}

// The program's inputs take the same tensors in every evaluation: by position.
static Tensor **evaluate(Program *p, Tensor **in, const char *what) {
  int count = 0;
  for (int i = 0; i < p->nin; i++)
    for (int k = 0; k < p->in[i].type->rank; k++) ix_atoms(p->in[i].type->dim[k], pick_dim, &count);
  for (int i = 0; i < p->nin; i++)
    if (!in[i]) in[i] = random_tensor(p->in[i].type);
  Tensor **out = NEWN(Tensor *, p->nout + 1);
  EvalFault fault = {.site = -1};
  Exit code = program_eval(p, in, out, &fault);
  if (code != EXIT_OK) fail(EXIT_BUG, "golden.eval", NOWHERE, "%s does not run: exit %d", what, code);
  return out;
}

static void compare(const Program *p, Tensor **a, Tensor **b, const char *path) {
  for (int k = 0; k < p->nout; k++) {
    bool is_float = dtypes[a[k]->dtype].is_float;
    if (tensor_count(a[k]) != tensor_count(b[k])) fail(EXIT_BUG, "golden.eval", NOWHERE, "%s: output %d has another size", path, k);
    for (int64_t i = 0; i < tensor_count(a[k]); i++) {
      double x = is_float ? tensor_float(a[k], i) : (double)tensor_int(a[k], i),
             y = is_float ? tensor_float(b[k], i) : (double)tensor_int(b[k], i);
      if (x == y || (isnan(x) && isnan(y)) || (is_float && fabs(x - y) <= 1e-4 * fabs(x) + 1e-5)) continue;
      fail(EXIT_BUG, "golden.eval", NOWHERE, "%s: output %d, element %lld: %g before the pass, %g after it", path, k, (long long)i, x, y);
    }
  }
}

/* ---- one case ---- */

static Graph *parse(const char *text, const char *path) { return graph_parse(text, strlen(text), NULL, 0, path); }

static Text result_text(const Graph *g, const Program *p) {
  Text text = {0}, side = {0};
  if (p) program_print(p, &text, &side);
  else graph_print(g, &text, &side);
  if (side.n) fail(EXIT_USAGE, "golden", NOWHERE, "a golden file's constants have at most 64 elements");
  return text;
}

static void check_values(const Case *c, Program *p, const char *text) {
  Tensor *in[64] = {0};
  Program *before = pipeline_plain(parse(c->input, c->path), &c->o);
  Tensor **want = evaluate(before, in, "the input");
  Program *after = p ? p : pipeline_plain(parse(text, c->path), &c->o);
  compare(before, want, evaluate(after, in, "the output"), c->path);
}

static void bless(const Case *c, const char *text) {
  Text old = slurp(c->path);
  FILE *f = fopen(c->path, "wb");
  if (!f) fail(EXIT_OUTPUT, "io.open", NOWHERE, "cannot write %s", c->path);
  fprintf(f, "%.*s\n%s\n; ---\n%s", (int)strcspn(old.p, "\n"), old.p,
          fmt("%.*s", (int)(strlen(c->input) - (c->input[strlen(c->input) - 1] == '\n')), c->input), text);
  fclose(f);
}

static void check_text(const Case *c, const char *text) {
  if (!strcmp(text, c->expected)) return;
  size_t at = 0;
  int line = 1;
  for (; text[at] && text[at] == c->expected[at]; at++) line += text[at] == '\n';
  fputs(text, stderr);
  fail(EXIT_BUG, "golden.text", NOWHERE, "%s: pass %s leaves another text (above), from its line %d on", c->path, c->pass, line);
}

static void one(void *u) {
  Case *c = u;
  read_case(c);
  Graph *g = parse(c->input, c->path);
  Program *p = pipeline_golden(g, c->pass, &c->o);
  Text text = result_text(g, p);
  check_values(c, p, text.p);
  if (c->bless) bless(c, text.p);
  else check_text(c, text.p);
}

static bool in_child(Case *c) {
  fflush(NULL);
  pid_t child = fork();
  if (!child) _exit(protect(one, c));
  int status = 1;
  waitpid(child, &status, 0);
  if (status) printf("FAIL %s\n", c->path);
  return status == 0;
}

int main(int argc, char **argv) {
  bool blessing = argc > 1 && !strcmp(argv[1], "--bless");
  int first = blessing ? 2 : 1, passed = 0;
  for (int i = first; i < argc; i++) passed += in_child(&(Case){.path = argv[i], .bless = blessing});
  printf("golden: %d of %d pass\n", passed, argc - first);
  return passed != argc - first || argc == first;
}
