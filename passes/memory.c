// memory.c - where every buffer lies: weights in order, temporaries in the workspace.
//
// Before: scheduled and built kernels. After: HBuf.coffset of constants, HBuf.offset of arena buffers, the launches' own temporaries,
// Program.arena and Program.weights. Sizes are expressions, so one plan holds for all shapes: a slot is shared by buffers whose lives do
// not overlap, if its size expression is provably big enough for both (or both are constants, then the slot grows).
#include "ir/phase.h"
#include "passes/passes.h"

enum { ALIGN = 64 };

static IExpr *bytes_of(const HBuf *b) { return ix_ceil(ix_scale(hbuf_size(b), dtypes[b->type->dtype].bits), 8); }

/* ---- lives ---- */
static HBuf *base_of(HBuf *b) {
  while (b->place == PLACE_ALIAS) b = b->alias;
  return b;
}
static void touch(HBuf *b, int at) {
  if (!b) return;
  b = base_of(b);
  if (b->first < 0) b->first = at;
  b->last = at;
}
static int number(HStmt *s, int n) {
  for (; s; s = s->next) {
    s->number = n++;
    for (int i = 0; i < s->nbuf; i++) touch(s->buf[i], s->number);
    n = number(s->body, n);
    n = number(s->other, n);
  }
  return n;
}
// What a loop's body shares with the outside, or carries to its next iteration, lives through the whole loop.
typedef struct Span {
  int first, last;
} Span;
static int end_of(const HStmt *s) {
  int n = s->number;
  for (const HStmt *b = s->body; b; b = b->next) n = end_of(b) > n ? end_of(b) : n;
  for (const HStmt *b = s->other; b; b = b->next) n = end_of(b) > n ? end_of(b) : n;
  return n;
}
static bool writes_first(const HStmt *s, const HBuf *b) { // is b set by the body before it is read there?
  for (; s; s = s->next)
    for (int i = 0; i < s->nbuf; i++)
      if (s->buf[i] && base_of(s->buf[i]) == b) return s->kind == HS_LAUNCH && s->kernel->buf[i]->kind == BUF_OUT;
  return false;
}
static void widen(Program *p, const HStmt *s) {
  for (; s; s = s->next) {
    if (s->kind == HS_LOOP) {
      Span loop = {s->number, end_of(s)};
      for (int i = 0; i < p->nbuf; i++) {
        HBuf *b = p->buf[i];
        if (b->first < 0 || b->last < loop.first || b->first > loop.last) continue;
        bool inside = b->first > loop.first && b->last <= loop.last;
        if (inside && writes_first(s->body, b)) continue;
        if (b->first > loop.first) b->first = loop.first;
        if (b->last < loop.last) b->last = loop.last;
      }
    }
    widen(p, s->body), widen(p, s->other);
  }
}

/* ---- slots ---- */
typedef struct Slot {
  IExpr *size;
  int n, c;
  struct Life {
    int first, last;
  } *life;
  IExpr *offset;
} Slot;
typedef struct Plan {
  Slot *slot;
  int n, c;
} Plan;
static bool fits(const Slot *s, int first, int last) {
  for (int i = 0; i < s->n; i++)
    if (first <= s->life[i].last && last >= s->life[i].first) return false;
  return true;
}
static int place(Plan *p, IExpr *size, int first, int last) {
  int best = -1;
  for (int i = 0; i < p->n; i++) {
    Slot *s = &p->slot[i];
    bool both_known = ix_const(s->size, NULL) && ix_const(size, NULL);
    if (!fits(s, first, last) || (!both_known && !ix_prove_le(size, s->size))) continue;
    if (best < 0 || s->size == size) best = i;
    if (s->size == size) break;
  }
  if (best < 0) {
    PUSH(p->slot, p->n, p->c, (Slot){.size = size});
    best = p->n - 1;
  }
  Slot *s = &p->slot[best];
  if (ix_const(s->size, NULL) && ix_const(size, NULL)) s->size = ix_max(s->size, size);
  PUSH(s->life, s->n, s->c, (struct Life){first, last});
  return best;
}
static IExpr *lay_out(Plan *p) {
  IExpr *at = ix(0);
  for (int i = 0; i < p->n; i++) {
    p->slot[i].offset = at;
    at = ix_add(at, ix_scale(ix_ceil(p->slot[i].size, ALIGN), ALIGN));
  }
  return at;
}

/* ---- temporaries of launches: what a kernel allocates outside its loops ---- */
typedef struct Want {
  HStmt *s;
  int k, slot;
} Want;
static IExpr *at_launch(const HStmt *s, IExpr *e) { // the kernel's symbols are those of the launch's arguments
  return ix_subst(e, s->kernel->nsym, s->kernel->sym, s->arg);
}
typedef struct Late {
  const Program *p;
  bool yes;
} Late;
static void late_atom(Atom *a, void *u) {
  Late *l = u;
  if (a->kind != ATOM_SYM) return;
  for (int i = 0; i < l->p->nentry; i++)
    if (l->p->sym[i] == a) return;
  l->yes = true;
}
static bool is_late(const Program *p, IExpr *e) { // does it hold symbols that the run sets?
  Late l = {p, false};
  ix_atoms(e, late_atom, &l);
  return l.yes;
}
// Temporaries whose sizes only the run knows lie in a slab that grows right before the launch. *at is the place of the launch.
static void grown(Program *p, HStmt **at, Buf **temp) {
  HStmt *s = *at, *grow = NEW(HStmt);
  IExpr *bytes = ix(0);
  for (int i = 0; i < s->ntemp; i++) {
    s->temp[i] = bytes;
    bytes = ix_add(bytes, ix_scale(ix_ceil(at_launch(s, buf_bytes(temp[i])), ALIGN), ALIGN));
  }
  s->base = program_buf(p, sym_fmt("temps_%d", p->nslab), type_tensor(DT_U8, 1, &bytes), PLACE_SLAB);
  s->base->index = p->nslab++;
  *grow = (HStmt){.kind = HS_GROW, .site = -1, .nbuf = 1, .buf = NEWN(HBuf *, 1), .expr = bytes, .keep = ix(0), .next = s};
  grow->buf[0] = s->base;
  *at = grow;
}
static void temporaries(Program *prog, HStmt **at, Plan *p, Want **w, int *nw, int *cw) {
  for (HStmt *s; (s = *at); at = &s->next) {
    if (s->kind == HS_LAUNCH) {
      Buf **temp;
      bool late = false;
      s->ntemp = kernel_temps(s->kernel, &temp);
      s->temp = NEWN(IExpr *, s->ntemp + 1);
      for (int i = 0; i < s->ntemp; i++) late |= is_late(prog, at_launch(s, buf_bytes(temp[i])));
      for (int i = 0; i < s->ntemp && !late; i++)
        PUSH(*w, *nw, *cw, (Want){s, i, place(p, at_launch(s, buf_bytes(temp[i])), s->number, s->number)});
      if (late) grown(prog, at, temp);
    }
    temporaries(prog, &s->body, p, w, nw, cw), temporaries(prog, &s->other, p, w, nw, cw);
  }
}

// Scratch of a worker: the most that any launch asks for.
static void scratch(HStmt *s, IExpr **most) {
  for (; s; s = s->next) {
    if (s->kind == HS_LAUNCH) {
      IExpr *n = at_launch(s, kernel_scratch(s->kernel));
      if (!ix_prove_le(n, *most)) *most = ix_max(*most, n);
    }
    scratch(s->body, most), scratch(s->other, most);
  }
}

static void constants(Program *p) {
  p->weights = 0;
  for (int i = 0; i < p->nbuf; i++) {
    HBuf *b = p->buf[i];
    if (b->place != PLACE_CONST) continue;
    b->coffset = (p->weights + ALIGN - 1) / ALIGN * ALIGN;
    int64_t n;
    if (!ix_const(hbuf_size(b), &n)) bug("constant %s has no constant size", b->name);
    p->weights = b->coffset + dtype_bytes(b->type->dtype, n);
  }
  if (!p->weights) p->weights = ALIGN; // an empty segment cannot be mapped
}
void pass_memory(Program *p, const Options *o) {
  (void)o;
  constants(p);
  for (int i = 0; i < p->nbuf; i++) p->buf[i]->first = p->buf[i]->last = -1;
  number(p->body, 0);
  widen(p, p->body);
  Plan plan = {0};
  int *slot = NEWN(int, p->nbuf + 1);
  for (int i = 0; i < p->nbuf; i++)
    if (p->buf[i]->place == PLACE_ARENA && p->buf[i]->first >= 0)
      slot[i] = place(&plan, bytes_of(p->buf[i]), p->buf[i]->first, p->buf[i]->last);
  Want *want = NULL;
  int nw = 0, cw = 0;
  temporaries(p, &p->body, &plan, &want, &nw, &cw);
  p->arena = lay_out(&plan);
  IExpr *most = ix(0);
  scratch(p->body, &most);
  p->scratch = is_late(p, most) ? NULL : most; // else launches ask for it
  for (int i = 0; i < p->nbuf; i++)
    if (p->buf[i]->place == PLACE_ARENA) p->buf[i]->offset = p->buf[i]->first >= 0 ? plan.slot[slot[i]].offset : ix(0);
  for (int i = 0; i < nw; i++) want[i].s->temp[want[i].k] = plan.slot[want[i].slot].offset;
}
