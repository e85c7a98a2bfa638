// nest_text.c - NEST rows whose kernels are loop trees from the start: lower_text and lower_size; Positions.
//
// A stage computes every cell of one buffer; an algorithm that appends, swaps or stops early is none. Its row writes the loop tree itself,
// in kernel IR's own text: interpreter, verifier and emitters know trees already. Its outermost `par` loop runs in parallel. A let belongs
// to one statement; what an algorithm remembers are cells of `reg` storage.
#include "passes/index.h"
#include "passes/infer.h"
#include <ctype.h>
#include <string.h>

/* ---- kernels from text ---- */
static const char *size_text(const Lower *L, const Word *w) {
  int64_t k;
  return ix_const(w->size, &k) ? fmt("%lld", (long long)k) : fmt("%s.%d", w->name, L->serial);
}
static void put_ranges(const Lower *L, Text *t, int n, const Word *w) { // "where N.3 in 0..100": the sizes that are no numbers
  const char *before = "where";
  for (int i = 0; i < n; i++) {
    if (w[i].text || ix_const(w[i].size, NULL)) continue;
    put(t, "%s %s in %lld..%lld", before, size_text(L, &w[i]), (long long)ix_lower(w[i].size), (long long)ix_upper(w[i].size));
    before = ",";
  }
}
static void put_text(const Lower *L, Text *t, const char *p, int n, const Word *w) { // words in the text of a word count too
  for (size_t len; *p; p += len) {
    for (len = 0; isalnum((unsigned char)p[len]) || p[len] == '_'; len++) {
    }
    int i = 0;
    while (i < n && (strlen(w[i].name) != len || strncmp(w[i].name, p, len) != 0)) i++;
    if (!len) put(t, "%c", p[len++]);
    else if (len == 5 && !strncmp(p, "WHERE", 5)) put_ranges(L, t, n, w);
    else if (i == n) put(t, "%.*s", (int)len, p);
    else if (w[i].text) put_text(L, t, w[i].text, n, w);
    else put(t, "%s", size_text(L, &w[i]));
  }
}
void lower_text(Lower *L, const char *text, int nword, const Word *word, int nbuf, HBuf *const *buf) {
  Text t = {0};
  lower_begin(L, L->node->op->name);
  Sym name = L->k->name;
  put_text(L, &t, text, nword, word);
  L->k = kernel_parse(t.p, t.n, L->node->op->name);
  L->k->name = name;
  if (kernel_params(L->k) != nbuf) bug("%s: %d values for %d parameters", name, nbuf, kernel_params(L->k));
  for (int i = 0; i < nbuf; i++) PUSH(L->arg, L->narg, L->carg, buf[i]);
  HStmt *s = lower_launch(L);
  for (int i = 0; i < s->kernel->nsym; i++)
    for (int j = 0; j < nword; j++)
      if (!word[j].text && !strcmp(s->kernel->sym[i]->name, size_text(L, &word[j]))) s->arg[i] = word[j].size;
}

/* ---- sizes that kernels compute ---- */
static bool sets(const Value *v, int axis, const Atom *a) { // is the dim the value's own symbol?
  for (int i = 0; i < inferred.nfresh; i++)
    if (inferred.fresh[i].sym == a && inferred.fresh[i].value == v && inferred.fresh[i].axis == axis) return true;
  return false;
}
void lower_size(Lower *L, Value *v, int axis, HBuf *count, IExpr *index) {
  IExpr *known = v->type->dim[axis], *got = known;
  bool own = sets(v, axis, ix_is_atom(known));
  if (!own) got = ix_sym(sym_fmt("size.%d", L->serial++), 0, IX_DIM_MAX);
  HStmt *s = lower_stmt(L, HS_SET);
  s->nbuf = 1, s->buf = NEWN(HBuf *, 1), s->buf[0] = count;
  s->sym = ix_is_atom(got), s->index = index;
  s->site = lower_site(L, L->node, "a size of %v is not in [%l,%h]", ix(s->sym->lo), ix(s->sym->hi));
  for (int side = 0; !own && side < 2; side++) {
    HStmt *c = lower_stmt(L, HS_CHECK);
    c->expr = side ? ix_sub(got, known) : ix_sub(known, got);
    c->site = lower_site(L, L->node, "the size is not what the model says elsewhere", ix(0), ix(0));
  }
}

/* ---- Positions: where a condition holds ---- */
// clang-format off
// The condition is cut into blocks. How many of the elements in front of a block hold, and at the end of all:
static const char count_text[] = KERNEL(
kernel k(in mask: bool[N], out first: i64[B + 1]) WHERE {
  for b: B par {
    alloc lane: i32[16] reg
    alloc sum: i64[1] reg
    sum[0] = 0l
    for v0: 16 vec { lane[v0] = 0 }
    for j: min(4096, N - 4096*b)/16 ordered { for v: 16 vec { accum add lane[v] <- b2i.i32(mask[4096*b + 16*j + v]) } }
    for t: min(4096, N - 4096*b) % 16 ordered { accum add sum[0] <- b2i.i64(mask[4096*b + min(4096, N - 4096*b)/16*16 + t]) }
    for u: 16 ordered unroll { accum add sum[0] <- i2i.i64(lane[u]) }
    first[b + 1] = sum[0]
  }
  first[0] = 0l
  for c: B ordered { accum add first[c + 1] <- first[c] }
});
// Every index is stored, and the next one over it if its element does not hold: no branch depends on the data.
static const char fill_text[] = KERNEL(
kernel k(in mask: bool[N], in first: i64[B + 1], out at: i64[C]) WHERE {
  for b: B par {
    alloc n: i64[1] reg
    n[0] = first[b]
    for j: min(4096, N - 4096*b) ordered {
      let p: 0..MOST limit C = n[0]
      at[p]{if n[0] < first[b + 1]} = ix.i64(4096*b + j)
      accum add n[0] <- b2i.i64(mask[4096*b + j])
    }
  }
});
// clang-format on
void nest_positions(Lower *L, Node *n) {
  Value *at = n->out[0];
  IExpr *size = n->in[0]->type->dim[0], *blocks = ix_ceil(size, 4096), *end = ix_addk(blocks, 1);
  int64_t most = ix_upper(at->type->dim[0]);
  HBuf *mask = lower_value(L, n->in[0]), *first = lower_scratch(L, "first", type_tensor(DT_I64, 1, &end));
  Word word[] = {{.name = "N", .size = size},
                 {.name = "B", .size = blocks},
                 {.name = "C", .size = at->type->dim[0]},
                 {.name = "MOST", .text = fmt("%lld", (long long)(most > 0 ? most - 1 : 0))}};
  lower_text(L, count_text, 2, word, 2, (HBuf *[]){mask, first});
  lower_size(L, at, 0, first, blocks);
  lower_text(L, fill_text, 4, word, 3, (HBuf *[]){mask, first, lower_value(L, at)});
}
