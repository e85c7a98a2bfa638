// print_ops.c - the operator table as text: how many rows of each family there are and their names (--print=ops), and all columns as
// JSON, which tests/conform/run.py --docs makes docs/ops.md of (--print=ops-json).
#include "driver.h"
#include "ir/graph.h"
#include "options.h"
#include <string.h>

enum { REFUSED = FAMILY_REGION + 1, FAMILIES, WIDTH = 120 };
static const struct {
  const char *name, *meaning;
} family[FAMILIES] = {
    [FAMILY_ELEM] = {"ELEM", "a scalar formula of the elements at one index"},
    [FAMILY_INDEX] = {"INDEX", "a view: an input's element at another index, or a value of the index"},
    [FAMILY_FOLD] = {"FOLD", "a fold over the operator's axes, a row of three formulas"},
    [FAMILY_FOLDN] = {"FOLDN", "a fold that a function sets up: contractions, windows"},
    [FAMILY_NEST] = {"NEST", "stages that a function adds to the kernel: running folds, scattering, selections"},
    [FAMILY_EXPAND] = {"EXPAND", "made of other operators"},
    [FAMILY_HOST] = {"HOST", "a function of the runtime on whole values"},
    [FAMILY_REGION] = {"REGION", "control flow of the host program"},
    [REFUSED] = {"refused", "known by name, without a lowering"},
};
static int family_of(const Op *op) { return op->family == FAMILY_EXPAND && !strcmp(op->how, "not_supported") ? REFUSED : (int)op->family; }

static void put_members(Text *t, int f) {
  size_t line = t->n;
  for (const Op *op = ops + 1; op < ops + OP_COUNT; op++) {
    if (family_of(op) != f) continue;
    const char *name = fmt("%s%s%s", op->domain, *op->domain ? "." : "", op->name);
    bool first = line == t->n || t->n - line + strlen(name) + 1 > WIDTH;
    if (first) put(t, "%s ", line == t->n ? "" : "\n"), line = t->n - 1;
    put(t, " %s", name);
  }
  put(t, "\n");
}
void print_ops(Text *t) {
  int count[FAMILIES] = {0};
  for (const Op *op = ops + 1; op < ops + OP_COUNT; op++) count[family_of(op)]++;
  for (int f = 0; f < FAMILIES; f++) {
    if (!count[f]) continue;
    put(t, "%s %d: %s\n", family[f].name, count[f], family[f].meaning);
    put_members(t, f);
  }
  put(t, "%d operators, where strings are concerned HOST:", OP_COUNT - 1);
  for (const Op *op = ops + 1; op < ops + OP_COUNT; op++)
    if (*op->on_strings) put(t, " %s", op->name);
  put(t, "\n");
}

/* ---- JSON ---- */
static void put_pair(Text *t, const char *key, const char *value) {
  put(t, "\"%s\": ", key);
  put_quoted(t, value, strlen(value));
}
static void put_class(Text *t, char letter) {
  const char *comma = "";
  put(t, "\"%c\": [", letter);
  for (int d = DT_NONE + 1; d < DT_COUNT; d++) {
    if (!type_in_class(letter, type_tensor((DType)d, 0, NULL))) continue;
    put(t, "%s\"%s\"", comma, dtypes[d].name);
    comma = ", ";
  }
  put(t, "]");
}
static void put_op(Text *t, const Op *op) {
  put(t, " {");
  put_pair(t, "domain", op->domain), put(t, ", "), put_pair(t, "name", op->name);
  put(t, ", \"since\": %d, ", op->since), put_pair(t, "signature", op->sig);
  put(t, ", "), put_pair(t, "family", family[family_of(op)].name), put(t, ", "), put_pair(t, "how", op->how);
  put(t, ", "), put_pair(t, "on_strings", op->on_strings);
  put(t, ", \"attributes\": %d, \"old\": [", op->nattr);
  for (int k = 0; k < op->nold; k++) put(t, "%s%d", k ? ", " : "", op->old[k].version);
  put(t, "]}");
}
void print_ops_json(Text *t) {
  static const char letters[] = "tnfikqbsFWI";
  put(t, "{\"classes\": {");
  for (const char *l = letters; *l; l++) put(t, "%s", l == letters ? "" : ", "), put_class(t, *l);
  put(t, "},\n\"families\": {");
  for (int f = 0; f < FAMILIES; f++) put(t, "%s", f ? ", " : ""), put_pair(t, family[f].name, family[f].meaning);
  put(t, "},\n\"ops\": [\n");
  for (const Op *op = ops + 1; op < ops + OP_COUNT; op++) put_op(t, op), put(t, "%s", op + 1 < ops + OP_COUNT ? ",\n" : "\n");
  put(t, "]}\n");
}
