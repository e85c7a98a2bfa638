// ops.c - the op table of ops.def as data, and its index by domain and name.
// The table is completed (names without the domain's prefix, attribute ranges, arities) before main; nothing changes it afterwards.
#include "ops.h"
#include <stdlib.h>
#include <string.h>

// The last column is a formula in quotes for ELEM and FOLD rows, a bare function name for all others.
#define TEXT_ELEM(how) how
#define TEXT_FOLD(how) how
#define TEXT_INDEX(how) #how
#define TEXT_FOLDN(how) #how
#define TEXT_NEST(how) #how
#define TEXT_EXPAND(how) #how
#define TEXT_HOST(how) #how
#define TEXT_REGION(how) #how

// Attributes and older meanings of all rows, those of a row behind a mark (without name or rule), one more mark at the end.
static const AttrRow attr_rows[] = {
#define OP(domain, id, since, sig, shape, family, how, ...) {NULL, NULL, NULL}, __VA_ARGS__
#define ATTR(kind, name, ...) {#name, kind, "" #__VA_ARGS__},
#include "ops.def"
    {NULL, NULL, NULL}};
static const OldRow old_rows[] = {
#define OP(domain, id, since, sig, shape, family, how, ...) {0, NULL}, __VA_ARGS__
#define OLD(version, rule) {version, #rule},
#include "ops.def"
    {0, NULL}};
static Op rows[OP_COUNT] = {
    {.id = OP_NONE, .domain = "", .name = "", .sig = "", .shape = "", .family = FAMILY_HOST, .how = "", .on_strings = ""},
#define OP(domain, name, since, sig, shape, family, how, ...)                                                                              \
  {OP_##name, domain, #name, since, sig, #shape, FAMILY_##family, TEXT_##family(how), "" __VA_ARGS__, NULL, NULL, 0, 0, 0, 0, 0, 0},
#define ON_STRINGS(f) #f
#include "ops.def"
};
const Op *const ops = rows;

enum { BUCKETS = 1024 };
static uint16_t bucket[BUCKETS];

// Reads "f f? t* -> I", filling counts and which operands are required.
static void read_signature(Op *op) {
  int n = 0;
  bool outputs = false;
  for (const char *s = op->sig; *s;) {
    if (*s == ' ') {
      s++;
      continue;
    }
    if (s[0] == '-' && s[1] == '>') {
      op->nin = n;
      n = 0;
      outputs = true;
      s += 2;
      continue;
    }
    size_t len = strcspn(s, " ");
    char last = s[len - 1];
    bool variadic = last == '*' || last == '+', required = !variadic && last != '?';
    int at = n + 1;
    if (!outputs && (required || last == '+')) op->nin_min = at;
    if (outputs && (required || last == '+')) op->nout_min = at;
    n = variadic ? -1 : at;
    s += len;
  }
  op->nout = n;
}

static unsigned hash(const char *domain, const char *name) {
  unsigned h = 2166136261u;
  for (; *domain; domain++) h = (h ^ (uint8_t)*domain) * 16777619u;
  for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
  return h % BUCKETS;
}

static void insert(const Op *op) {
  unsigned h = hash(op->domain, op->name);
  while (bucket[h]) h = (h + 1) % BUCKETS;
  bucket[h] = (uint16_t)op->id;
}

__attribute__((constructor)) static void build_index(void) {
  const AttrRow *attr = attr_rows;
  const OldRow *old = old_rows;
  for (Op *op = rows + 1; op < rows + OP_COUNT; op++) {
    if (!strncmp(op->name, "ms_", 3)) op->name += 3;
    for (op->attr = ++attr; attr->name; attr++) op->nattr++;
    for (op->old = ++old; old->rule; old++) op->nold++;
    read_signature(op);
    insert(op);
  }
}

const Op *op_find(const char *domain, const char *name) {
  if (!domain || !strcmp(domain, "ai.onnx")) domain = "";
  for (unsigned h = hash(domain, name); bucket[h]; h = (h + 1) % BUCKETS) {
    const Op *op = &rows[bucket[h]];
    if (!strcmp(op->name, name) && !strcmp(op->domain, domain)) return op;
  }
  return NULL;
}

const Op *op_spelled(const char *name) {
  const char *dot = strrchr(name, '.');
  return dot ? op_find(fmt("%.*s", (int)(dot - name), name), dot + 1) : op_find("", name);
}

const AttrRow *op_attr(const Op *op, const char *name) {
  for (int k = 0; k < op->nattr; k++)
    if (!strcmp(op->attr[k].name, name)) return &op->attr[k];
  return NULL;
}

OpOperand op_operand(const Op *op, bool output, int index) {
  const char *s = op->sig, *arrow = strstr(s, "->");
  const char *end = output ? s + strlen(s) : arrow;
  OpOperand r = {0};
  for (s = output ? arrow + 2 : s; s < end;) {
    if (*s == ' ') {
      s++;
      continue;
    }
    size_t len = strcspn(s, " ");
    char last = s[len - 1];
    bool variadic = last == '*' || last == '+';
    if (index == 0 || variadic) {
      r.letter = s[0];
      r.digit = len > 1 && s[1] >= '0' && s[1] <= '9' ? s[1] : 0;
      r.optional = last == '?' || last == '*' || (last == '+' && index > 0);
      r.variadic = variadic;
      return r;
    }
    index--;
    s += len;
  }
  return r;
}
