// place.c - where the buffers of a phase live, and how many threads a block has.
//
// A temp is local to a thread if it is allocated inside a thread loop, or if it is meant for registers and every access gives each of its
// cells to one thread: in some dims the index is S * thread + rest, rest in 0..S-1, with the same S everywhere. Other temps of constant
// size are in shared memory while there is room, the rest in scratch of the block in global memory.
#include "cuda.h"
#include "ir/phase.h"
#include <string.h>

enum { LOCAL_BYTES = 1024, MOST_LOCAL_BYTES = 64 << 10 }; // of a temp for registers; of one that must be local

const Place *place_of(const Buf *b) {
  if (!b->v) bug("buffer %s is nowhere", b->name);
  return b->v;
}

int thread_dim(const Tree *t) {
  if (t->kind != T_FOR) return -1;
  return t->map == MAP_VEC || t->map == MAP_THREAD_X ? 0 : t->map == MAP_THREAD_Y ? 1 : -1;
}

typedef struct Open { // thread loops around the present node
  int n;
  Atom *var[DIMS];
  int dim[DIMS];
  int64_t ext[DIMS]; // 0: not constant
} Open;
typedef struct Walk {
  Cuda *c;
  Open open;
  Buf *b;                     // whose accesses are looked at
  bool owned;                 // so far
  int dim[MAX_RANK], naccess; // thread dimension that owns dim d of b, -1
  int64_t own[MAX_RANK];
} Walk;

static bool is_open(const Open *o, int dim) {
  for (int i = 0; i < o->n; i++)
    if (o->dim[i] == dim) return true;
  return false;
}

static Open enter(const Open *o, const Tree *t) {
  Open r = *o;
  int d = thread_dim(t);
  if (d < 0 || is_open(o, d)) return r; // a thread loop in one of the same dimension runs in sequence
  r.var[r.n] = ix_is_atom(t->var);
  r.dim[r.n] = d;
  if (!ix_const(t->ext, &r.ext[r.n])) r.ext[r.n] = 0;
  r.n++;
  return r;
}

/* ---- threads of a block ---- */

static void block_size(Cuda *c, const Tree *t, const Open *o) {
  for (; t; t = t->next) {
    Open in = enter(o, t);
    if (in.n > o->n) {
      int64_t n = in.ext[o->n], most = c->target && c->target->threads_block ? c->target->threads_block : 256;
      if (n == 0 || n > 1024) n = most;
      if (n > c->block[in.dim[o->n]]) c->block[in.dim[o->n]] = n;
    }
    block_size(c, t->body, &in);
  }
}

/* ---- ownership ---- */

// The owner of dim d of an access, if there is one: index = S * thread + rest.
static bool owner(const Walk *w, IExpr *e, int *dim, int64_t *own) {
  *dim = -1, *own = 0;
  for (int i = 0; i < w->open.n; i++) {
    bool affine = true;
    if (!ix_has(e, w->open.var[i])) continue;
    int64_t s = ix_coef(e, w->open.var[i], &affine);
    if (!affine || s <= 0 || *dim >= 0) return false;
    IExpr *rest = ix_sub(e, ix_scale(ix_atom(w->open.var[i]), s));
    if (ix_lower(rest) < 0 || ix_upper(rest) >= s) return false;
    *dim = w->open.dim[i], *own = s;
  }
  return true;
}

static void access_of(Walk *w, const Buf *b, IExpr *const *index) {
  if (b != w->b) return;
  unsigned dims = 0;
  for (int i = 0; i < w->open.n; i++)
    if (w->open.ext[i] == 0 || w->open.ext[i] > w->c->block[w->open.dim[i]]) w->owned = false;
  for (int d = 0; d < b->rank && w->owned; d++) {
    int dim;
    int64_t own;
    w->owned = owner(w, index[d], &dim, &own) && (!w->naccess || (dim == w->dim[d] && own == w->own[d]));
    w->dim[d] = dim, w->own[d] = own;
    if (dim >= 0) dims |= 1u << dim;
  }
  for (int d = 0; d < DIMS; d++) // every thread dimension of the block owns
    if (w->c->block[d] > 1 && !(dims >> d & 1)) w->owned = false;
  w->naccess++;
}

static void load_of(Ex *e, void *u) {
  if (e->op == S_LOAD) access_of(u, e->buf, e->ix);
}

static void accesses(Walk *w, const Tree *t) {
  for (; t; t = t->next) {
    Open saved = w->open;
    if (t->kind == T_STMT) {
      access_of(w, t->buf, t->ix);
      ex_walk(t->val, load_of, w);
      if (t->cond) ex_walk_more(t->cond, load_of, w);
      for (int d = 0; d < t->buf->rank; d++) ex_walk_index(t->ix[d], load_of, w);
      for (int i = 0; i < t->npred; i++) ex_walk_index(t->pred[i], load_of, w);
    } else if (t->kind == T_WHILE) ex_walk(t->cond, load_of, w);
    else if (t->kind == T_FOR) ex_walk(NULL, load_of, w), ex_walk_index(t->ext, load_of, w);
    w->open = enter(&w->open, t);
    accesses(w, t->body);
    w->open = saved;
  }
}

static bool place_owned(Cuda *c, const Tree *first, Buf *b, Place *p) {
  int64_t n = 1;
  if (b->lay || b->rank == 0 || (c->block[0] == 1 && c->block[1] == 1)) return false;
  Walk w = {.c = c, .b = b, .owned = true};
  accesses(&w, first);
  for (int d = 0; d < b->rank && w.owned; d++) {
    int64_t k = w.own[d];
    if (!k && !ix_const(b->dim[d], &k)) return false;
    n *= k;
  }
  if (!w.owned || !w.naccess || dtype_bytes(b->dtype, n) > LOCAL_BYTES) return false;
  *p = (Place){.home = HOME_LOCAL, .name = p->name, .bytes = dtype_bytes(b->dtype, n), .owned = true};
  memcpy(p->own, w.own, sizeof p->own);
  return true;
}

// Is b, allocated where the loops of o are open, filled by several threads: inside a loop over another dimension?
static bool filled_together(const Tree *t, const Buf *b, const Open *o, bool others) {
  for (; t; t = t->next) {
    int d = thread_dim(t);
    if (t->kind == T_STMT && t->buf == b && others) return true;
    if (filled_together(t->body, b, o, others || (d >= 0 && !is_open(o, d)))) return true;
  }
  return false;
}

static void place_local(Cuda *c, const Tree *after, Buf *b, const Open *o, Place *p, int64_t bytes) {
  if (bytes > MOST_LOCAL_BYTES)
    fail(EXIT_UNSUPPORTED, "cuda.local", NOWHERE, "kernel %s: %s is too large, or of dynamic size, for a thread", c->k->name, b->name);
  if (filled_together(after, b, o, false))
    fail(EXIT_UNSUPPORTED, "cuda.local", NOWHERE, "kernel %s: %s is shared by threads, and one for each iteration of a loop over threads",
         c->k->name, b->name);
  *p = (Place){.home = HOME_LOCAL, .name = p->name, .bytes = bytes, .in_thread = true};
}

static void place_temp(Cuda *c, const Tree *first, const Tree *alloc, const Open *o) {
  Buf *b = alloc->buf;
  Place *p = NEW(Place);
  b->v = p;
  int64_t bytes, most = c->target && c->target->shared ? c->target->shared : 48 << 10;
  IExpr *size = alloc_bound(b, &bytes); // the largest where loops around decide
  p->name = fmt("%s_m%d", b->name, c->serial++);
  for (char *s = (char *)(uintptr_t)p->name; *s; s++)
    if (!((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9'))) *s = '_';
  if (p->name[0] >= '0' && p->name[0] <= '9') p->name = fmt("b%s", p->name);
  if (o->n) {
    place_local(c, alloc->next, b, o, p, bytes);
    return;
  }
  if ((b->space == SPACE_REG || b->space == SPACE_STACK || b->space == SPACE_AUTO) && place_owned(c, first, b, p)) return;
  if (bytes <= most - c->shared) {
    *p = (Place){.home = HOME_SHARED, .name = p->name, .bytes = bytes, .at = c->shared};
    c->shared = (c->shared + bytes + 127) & ~(int64_t)127;
    return;
  }
  *p = (Place){.home = HOME_SCRATCH, .name = p->name, .offset = c->scratch};
  c->scratch = ix_add(c->scratch, ix_scale(ix_ceil(size, 128), 128));
}

static void place_temps(Cuda *c, const Tree *first, const Tree *t, const Tree *end, const Open *o) {
  for (; t != end; t = t->next) {
    if (t->kind == T_ALLOC) place_temp(c, first, t, o);
    Open in = enter(o, t);
    place_temps(c, first, t->body, NULL, &in);
  }
}

void place_phase(Cuda *c, const Tree *first, const Tree *end) {
  c->block[0] = c->block[1] = 1;
  c->shared = 0;
  c->scratch = ix(0);
  for (const Tree *t = first; t != end; t = t->next) {
    Tree one = *t;
    one.next = NULL;
    block_size(c, &one, &(Open){0});
  }
  while (c->block[0] * c->block[1] > 1024) c->block[1] /= 2;
  place_temps(c, first, first, end, &(Open){0});
}
