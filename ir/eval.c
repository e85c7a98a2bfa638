// eval.c - the interpreter of kernels: stages as they are, or the tree that build made. It defines what every construct means.
//
// Needs: data of the parameters, val of the symbols. Temps are its own, filled with NaN or 0xCD bytes so that reading what nobody wrote
// shows. A statement under spatial loops alone runs over the lanes of those loops (they are independent, so lockstep is the same); the
// lanes of reduce loops join where they keep the order of accumulation. An access outside its buffer is a bug().
#include "eval_internal.h"
#include <stdlib.h>
#include <string.h>

/* ---- memory ---- */

typedef struct Chunk {
  struct Chunk *next;
  size_t used, size;
  _Alignas(64) char p[];
} Chunk;
static Chunk *chunks;

void *eval_mem(size_t bytes) {
  bytes = (bytes + 63) & ~(size_t)63;
  if (!chunks || chunks->used + bytes > chunks->size) {
    size_t size = bytes > 1 << 18 ? bytes : 1 << 18;
    Chunk *c = aligned_alloc(64, (sizeof *c + size + 63) & ~(size_t)63);
    if (!c) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for the interpreter");
    *c = (Chunk){.next = chunks, .size = size};
    chunks = c;
  }
  void *r = chunks->p + chunks->used;
  chunks->used += bytes;
  return memset(r, 0, bytes);
}

static void forget(void) { // keeps one chunk for the next evaluation
  while (chunks && chunks->next) {
    Chunk *c = chunks;
    chunks = c->next;
    free(c);
  }
  if (chunks) chunks->used = 0;
}

typedef struct Temp {
  Buf *b;
  int64_t bytes;
  struct Temp *next;
} Temp;
static Temp *temps;

static Temp *temp_of(Buf *b) {
  for (Temp *t = temps; t; t = t->next)
    if (t->b == b) return t;
  Temp *t = EVAL_NEW(Temp);
  *t = (Temp){b, 0, temps};
  b->data = NULL;
  return temps = t;
}

static void temp_fill(Temp *t) {
  Buf *b = t->b;
  int64_t bytes = dtype_bytes(b->dtype, ix_eval(buf_size(b))) + 64;
  if (t->bytes < bytes) {
    free(b->data);
    if (!(b->data = malloc((size_t)bytes))) fail(EXIT_LIMIT, "limit.memory", NOWHERE, "no memory for %s", b->name);
    t->bytes = bytes;
  }
  memset(b->data, dtypes[b->dtype].is_float ? 0xff : 0xcd, (size_t)bytes);
}

static void temps_free(void) {
  for (; temps; temps = temps->next) {
    free(temps->b->data);
    temps->b->data = NULL;
  }
}

static void begin(Kernel *k, EvalFault *fault) {
  if (temps) temps_free(); // an evaluation that failed left them
  forget();
  for (int i = 0; i < k->nbuf; i++)
    if (k->buf[i]->kind != BUF_TEMP && !k->buf[i]->data && ix_eval(buf_size(k->buf[i])) > 0)
      bug("kernel %s: parameter %s has no data", k->name, k->buf[i]->name);
  eval_fault = fault;
  eval_faulted = false;
}

static bool end(void) {
  temps_free();
  forget();
  return !eval_faulted;
}

/* ---- loops around planned statements ---- */

typedef struct Node Node;
struct Node {
  TreeKind kind;
  Atom *var;
  IExpr *ext;
  Plan *extent; // of ext, if it holds a let
  Temp *temp;
  Plan *plan; // STMT; WHILE: the condition
  Node *body, *next;
};

static bool has_let(IExpr *);

static Node *loop_node(IExpr *var, IExpr *ext) {
  Node *n = EVAL_NEW(Node);
  *n = (Node){.kind = T_FOR, .var = ix_is_atom(var), .ext = ext};
  if (has_let(ext)) n->extent = plan_value(NULL, ext);
  return n;
}

static void run(Node *n) {
  for (; n; n = n->next) switch (n->kind) {
    case T_STMT: plan_run(n->plan); break;
    case T_ALLOC: temp_fill(n->temp); break;
    case T_WHILE:
      while (plan_int(n->plan)) run(n->body);
      break;
    case T_FOR: {
      int64_t count = n->extent ? plan_int(n->extent) : ix_eval(n->ext);
      if (n->extent) check_faults(n->extent);
      for (int64_t i = 0; i < count; i++) {
        n->var->val = i;
        run(n->body);
      }
      n->var->val = 0;
      break;
    }
    default: break; // T_SYNC: lanes are in step already
    }
}

/* ---- choosing the lanes ---- */

typedef struct Lanes {
  int n;
  LaneAxis axis[LANE_AXES];
} Lanes;

static void add_outer(Lanes *l, IExpr *var, IExpr *ext, bool reduce) {
  memmove(l->axis + 1, l->axis, (size_t)l->n++ * sizeof *l->axis);
  l->axis[0] = (LaneAxis){ix_is_atom(var), ext, reduce};
}

static void find_read(Ex *e, void *u) {
  void **q = u;
  if (e->op == S_LOAD && e->buf == q[0]) q[1] = e;
}
static bool reads(Ex *val, Ex *cond, IExpr *const *ix, const Buf *b) {
  const void *q[2] = {b, NULL};
  ex_walk(val, find_read, q);
  if (cond) ex_walk(cond, find_read, q);
  for (int i = 0; i < b->rank; i++) ex_walk_index(ix[i], find_read, q);
  return q[1] != NULL;
}

static void find_let(Atom *a, void *u) { *(bool *)u |= a->kind == ATOM_LET; }
static bool has_let(IExpr *e) {
  bool yes = false;
  ix_atoms(e, find_let, &yes);
  return yes;
}

static bool in_extents(const Stage *s, IExpr *var) { // or its own extent is loaded
  if (has_let(ix_is_atom(var)->a)) return true;
  for (int i = 0; i < s->nax; i++)
    if (ix_has(ix_is_atom(s->ax[i])->a, ix_is_atom(var))) return true;
  return false;
}

static int64_t extent_now(IExpr *e) { // an estimate: loop variables count as 0
  int64_t n = ix_eval(e);
  return n < 1 ? 1 : n;
}

enum { ENOUGH = 256, FEW = 64 };

// Spatial axes from the innermost until there are enough lanes; if that leaves few, reduce axes, again from the innermost.
static uint32_t stage_lanes(const Stage *s, Lanes *l) {
  uint32_t taken = 0;
  int64_t n = 1;
  bool ordered = s->combine == C_SET;
  for (int i = 0; i < s->nax; i++) ordered = ordered || s->kind[i] == AXIS_ORDERED;
  for (int i = s->nax - 1; i >= 0 && l->n < LANE_AXES && n < ENOUGH; i--) {
    if (s->kind[i] != AXIS_SPATIAL || in_extents(s, s->ax[i])) continue;
    IExpr *ext = ix_is_atom(s->ax[i])->a;
    add_outer(l, s->ax[i], ext, false);
    n *= extent_now(ext);
    taken |= 1u << i;
  }
  if (n >= FEW || ordered || reads(s->val, s->cond, s->ix, s->out)) return taken;
  for (int i = s->nax - 1; i >= 0 && l->n < LANE_AXES && n < ENOUGH; i--) {
    if (s->kind[i] != AXIS_REDUCE) continue;
    if (in_extents(s, s->ax[i])) break;
    IExpr *ext = ix_is_atom(s->ax[i])->a;
    add_outer(l, s->ax[i], ext, true);
    n *= extent_now(ext);
    taken |= 1u << i;
  }
  return taken;
}

static Node *stage_node(const Stage *s) {
  Lanes l = {0};
  uint32_t taken = stage_lanes(s, &l);
  Effect e = {s->combine, s->out, s->ix, s->npred, s->pred, s->cond, s->val};
  Node *n = EVAL_NEW(Node);
  *n = (Node){.kind = T_STMT, .plan = plan_effect(&e, l.n, l.axis)};
  for (int i = s->nax - 1; i >= 0; i--) {
    if (taken >> i & 1) continue;
    Node *f = loop_node(s->ax[i], ix_is_atom(s->ax[i])->a);
    f->body = n;
    n = f;
  }
  return n;
}

bool eval_stages(Kernel *k, EvalFault *fault) {
  begin(k, fault);
  for (int i = 0; i < k->nbuf; i++)
    if (k->buf[i]->kind == BUF_TEMP) temp_fill(temp_of(k->buf[i]));
  for (int i = 0; i < k->nstage && !eval_faulted; i++) run(stage_node(k->stage[i]));
  return end();
}

/* ---- trees ---- */

static bool depends(IExpr *e, const Lanes *l) {
  for (int i = 0; i < l->n; i++)
    if (ix_has(e, l->axis[i].var)) return true;
  return false;
}

static bool has_alloc(const Tree *t) {
  for (; t; t = t->next)
    if (t->kind == T_ALLOC || t->kind == T_WHILE || has_alloc(t->body)) return true;
  return false;
}
static bool extents_use(const Tree *t, Atom *v) {
  for (; t; t = t->next)
    if ((t->kind == T_FOR && ix_has(t->ext, v)) || extents_use(t->body, v)) return true;
  return false;
}
static const Tree *only_statement(const Tree *t) { // under loops that hold nothing else, all of them spatial
  while (t && t->kind == T_FOR && !t->next && t->axis == AXIS_SPATIAL) t = t->body;
  return t && t->kind == T_STMT && !t->next ? t : NULL;
}
static bool in_step(LoopMap m) { return m == MAP_VEC || m >= MAP_THREAD_X; }

// A loop becomes lanes if it is in lockstep by its map, or if it is spatial around a single statement.
static bool becomes_lanes(const Tree *t, const Lanes *l) {
  Atom *v = ix_is_atom(t->var);
  if (l->n == LANE_AXES || depends(t->ext, l) || has_let(t->ext) || extents_use(t->body, v) || has_alloc(t->body)) return false;
  if (in_step(t->map)) return true;
  return t->axis == AXIS_SPATIAL && only_statement(t->body) != NULL;
}

// A nest that holds a single statement is a stage: its lanes may be any of its spatial loops.
static bool as_stage(const Tree *t, Stage *s) {
  *s = (Stage){0};
  for (; t->kind == T_FOR; t = t->body) {
    Atom *v = ix_is_atom(t->var);
    if (!t->body || t->body->next || s->nax == MAX_AXES || v->a != t->ext) return false;
    s->ax[s->nax] = t->var;
    s->kind[s->nax++] = (uint8_t)t->axis;
  }
  if (t->kind != T_STMT) return false;
  s->combine = t->combine, s->out = t->buf, s->npred = t->npred, s->pred = t->pred, s->cond = t->cond, s->val = t->val;
  memcpy(s->ix, t->ix, sizeof s->ix);
  return true;
}

static Node *tree_nodes(const Tree *t, const Lanes *l);

static Node *for_node(const Tree *t, const Lanes *l) {
  Stage s;
  if (l->n == 0 && as_stage(t, &s)) return stage_node(&s);
  if (becomes_lanes(t, l)) {
    Lanes more = *l;
    more.axis[more.n++] = (LaneAxis){ix_is_atom(t->var), t->ext, false};
    return tree_nodes(t->body, &more);
  }
  Node *n = loop_node(t->var, t->ext);
  n->body = tree_nodes(t->body, l);
  return n;
}

static Node *tree_node(const Tree *t, const Lanes *l) {
  if (t->kind == T_FOR) return for_node(t, l);
  Node *n = EVAL_NEW(Node);
  *n = (Node){.kind = t->kind, .temp = t->kind == T_ALLOC ? temp_of(t->buf) : NULL};
  Effect e = {t->combine, t->buf, t->ix, t->npred, t->pred, t->cond, t->val};
  if (t->kind == T_STMT) n->plan = plan_effect(&e, l->n, l->axis);
  if (t->kind == T_WHILE) {
    n->plan = plan_value(t->cond, NULL);
    n->body = tree_nodes(t->body, l);
  }
  return n;
}

static Node *tree_nodes(const Tree *t, const Lanes *l) {
  Node *first = NULL, **at = &first;
  for (; t; t = t->next) {
    *at = tree_node(t, l);
    while (*at) at = &(*at)->next; // a loop that became lanes gives the nodes of its body
  }
  return first;
}

bool eval_tree(Kernel *k, EvalFault *fault) {
  begin(k, fault);
  // A fault stops the run where its phase ends; a joined loop belongs to the phase before it.
  for (const Tree *t = k->tree; t && (!eval_faulted || t->joined); t = t->next) run(tree_node(t, &(Lanes){0}));
  return end();
}
