/* run.c - one run: memory for outputs and workspace, the program, its phases on the pool, and what is reported afterwards.
   After the first run of a size nothing here allocates, except where the size of an output, a slab or of scratch depends on data. */
#include "model.h"
#include <stdio.h>
#include <string.h>

/* ---- phases ---- */
typedef struct Phase {
  tn_body *body;
  const int64_t *arg;
  const struct tn_run *run;
  int64_t base, n;
  _Atomic int64_t next;
} Phase;
enum { SLICE = 1 << 30 }; /* the pool counts in 32 bits */

static void phase_chunk(void *arg, uint32_t i, uint32_t worker) {
  const Phase *p = arg;
  p->body(p->arg, p->base + i, p->run->scratch + worker * p->run->scratch_size);
}
static void phase_foreign(void *arg, uint32_t i) { /* task i of the caller's executor is worker i; its FP state is unknown */
  Phase *p = arg;
  const volatile int32_t *cancel = p->run->cancel;
  uint32_t fp = tn_fp_enter();
  for (int64_t k; (k = atomic_fetch_add(&p->next, 1)) < p->n;)
    if (!cancel || !*cancel) p->body(p->arg, k, p->run->scratch + i * p->run->scratch_size);
  tn_fp_leave(fp);
}
int tn_par(tn_frame *f, int64_t n, uint32_t ns, tn_body *body, const int64_t *arg) {
  struct tn_run *r = f->run;
  Phase p = {body, arg, r, 0, n, 0};
  bool worth = r->width > 1 && n > 1 && ((uint64_t)n > TN_INLINE_NS || (uint64_t)n * ns > TN_INLINE_NS);
  if (worth && r->m->executor) r->m->executor->run(r->m->executor->user, phase_foreign, &p, n < r->width ? (uint32_t)n : r->width);
  else
    for (; p.base < n; p.base += SLICE)
      tn_pool_run(worth ? tn_pool_of(r->m) : NULL, r->width, (uint32_t)(n - p.base < SLICE ? n - p.base : SLICE), phase_chunk, &p,
                  r->cancel);
  return tn_stop(f);
}
bool tn_stop(tn_frame *f) {
  const struct tn_run *r = f->run;
  return r->fault || r->nomem || r->limit || r->bad_output || (r->cancel && *r->cancel);
}
int tn_turn(tn_frame *f, int64_t k) {
  struct tn_run *r = f->run;
  if (r->max_turns && (uint64_t)k >= r->max_turns) r->limit = true;
  return tn_stop(f);
}
void tn_fault(tn_frame *f, uint32_t site, int64_t pos, int64_t value) {
  struct tn_run *r = f->run;
  while (atomic_exchange_explicit(&r->lock, 1, memory_order_acquire)) {
  }
  if (!r->fault || site < r->site || (site == r->site && pos < r->pos))
    r->fault = true, r->site = site, r->pos = pos, r->value = value, r->text_set = false;
  atomic_store_explicit(&r->lock, 0, memory_order_release);
}

/* ---- memory whose size the run finds out: a slab's capacity stands in front of it, so slots can be exchanged as plain pointers ---- */
enum { HEAD = 64 };
static uint64_t slab_size(const void *p) { return p ? *(const uint64_t *)((const char *)p - HEAD) : 0; }
void tn_slab_free(tenon_model *m, void *p) {
  if (p) tn_free(m, (char *)p - HEAD, slab_size(p) + HEAD);
}
static char *slab_new(struct tn_run *r, uint64_t bytes) {
  char *p = tn_alloc(r->m, bytes + HEAD);
  if (!p) return r->nomem = true, NULL;
  *(uint64_t *)p = bytes;
  return p + HEAD;
}
int tn_need(tn_frame *f, int64_t bytes) {
  struct tn_run *r = f->run;
  uint64_t size = ((uint64_t)bytes + 127) & ~127ull, all = size * r->width;
  if (size <= r->scratch_size) return 0;
  if (slab_size(r->c->late) < all) {
    tn_slab_free(r->m, r->c->late);
    r->c->late = slab_new(r, all);
    if (!r->c->late) return 1;
  }
  r->scratch = r->c->late, r->scratch_size = size;
  return 0;
}
void *tn_grow(tn_frame *f, uint32_t slot, int64_t bytes, int64_t keep) {
  struct tn_run *r = f->run;
  void *old = f->slab[slot];
  uint64_t have = slab_size(old), want = bytes > 0 ? (uint64_t)bytes : 0;
  if (old && have >= want) return old;
  if (keep > 0 && want < have * 2) want = have * 2; /* a list that grows by rows */
  char *p = slab_new(r, want);
  if (!p) return NULL;
  if (keep > 0 && old) memcpy(p, old, (uint64_t)keep < have ? (uint64_t)keep : have);
  tn_slab_free(r->m, old);
  return f->slab[slot] = p;
}
void tn_swap(tn_frame *f, uint32_t a, uint32_t b) {
  void *was = f->slab[a];
  f->slab[a] = f->slab[b], f->slab[b] = was;
}
static bool lent_room(tenon_model *m, tn_out *o, uint64_t need) {
  if (o->mem && o->size >= need) return true;
  tn_free(m, o->mem, o->size);
  o->mem = tn_alloc(m, need);
  o->size = o->mem ? need : 0;
  return o->mem;
}

/* ---- outputs ---- */
static bool wanted(const tenon_value *v) { return v->kind == TENON_TENSOR; }
static bool lent(const tenon_value *v) { return !wanted(v) || !v->t.data || v->flags & TENON_LENT; }
/* Where output k goes, now that its dims are in c->out[k]: the caller's memory, or ours. */
static void *output_memory(struct tn_run *r, uint32_t k) {
  tenon_ctx *c = r->c;
  tn_out *o = &c->out[k];
  const tenon_io *io = c->m->d->out[k];
  tenon_value *v = &r->out[k];
  uint64_t count = 1;
  for (int32_t a = 0; a < o->rank; a++)
    if (o->shape[a] < 0) return r->bad_output = ~(int32_t)k, NULL;
    else if (__builtin_mul_overflow(count, (uint64_t)o->shape[a], &count)) return r->nomem = true, NULL;
  o->bytes = tn_bytes(tn_dtype_of(io->dtype), count);
  o->known = true;
  o->kept = !lent(v) && v->capacity < o->bytes;
  if (!lent(v) && !o->kept) return (char *)v->t.data + v->t.byte_offset;
  if (!lent_room(c->m, o, o->bytes ? o->bytes : 1)) r->nomem = true;
  return o->mem;
}
void *tn_output(tn_frame *f, uint32_t k, int32_t rank, const int64_t *dim) {
  struct tn_run *r = f->run;
  tn_out *o = &r->c->out[k];
  if (o->known && o->rank == rank && !memcmp(o->shape, dim, (size_t)rank * 8)) return f->out[k];
  o->rank = rank;
  memcpy(o->shape, dim, (size_t)rank * 8);
  return f->out[k] = output_memory(r, k);
}
/* Dims known before the program runs; false: some are not. */
static bool entry_dims(const tn_desc *d, uint32_t k, const int64_t *dim, const int64_t *sym, tn_out *o) {
  bool all = true;
  o->rank = d->out[k]->rank;
  for (int32_t a = 0; a < o->rank; a++) {
    o->shape[a] = dim[a] >= 0 ? dim[a] : ~dim[a] < (int64_t)d->n_sym ? sym[~dim[a]] : -1;
    if (o->shape[a] < 0) all = false;
  }
  return all;
}
static const int64_t *next_dims(const tenon_io *io, const int64_t *dim) { return dim + (io->rank > 0 ? io->rank : 0); }
/* Memory of the caller's that is written must be no input and no other output: phases run in any order of chunks. */
typedef struct Span {
  const char *lo, *hi;
} Span;
static Span span_of(const tenon_value *v, uint64_t bytes) {
  const char *lo = (const char *)v->t.data + v->t.byte_offset;
  return (Span){lo, bytes < UINT64_MAX / 4 ? lo + bytes : lo};
}
static uint64_t bytes_of(const tenon_value *v) {
  uint64_t n = 1;
  for (int32_t a = 0; a < v->t.ndim; a++) n *= (uint64_t)v->t.shape[a];
  return tn_bytes(tn_dtype_of(v->t.dtype), n);
}
static bool meet(Span a, Span b) { return a.lo < b.hi && b.lo < a.hi; }
static tenon_status check_overlap(tenon_ctx *c, const tenon_value *in, const tenon_value *out) {
  const tn_desc *d = c->m->d;
  for (uint32_t k = 0; k < d->n_out; k++) {
    if (!tn_is_dense(d->out[k]) || lent(&out[k])) continue;
    Span mine = span_of(&out[k], c->out[k].known ? c->out[k].bytes : out[k].capacity);
    for (uint32_t i = 0; i < d->n_in; i++)
      if (tn_is_dense(d->in[i]) && in[i].kind == TENON_TENSOR && meet(mine, span_of(&in[i], bytes_of(&in[i]))))
        return tn_fail(&c->err, TENON_E_ARG, -1, ~(int32_t)k, "output %u '%s': its memory overlaps input %u '%s'", k, d->out[k]->name, i,
                       d->in[i]->name);
    for (uint32_t i = 0; i < k; i++)
      if (tn_is_dense(d->out[i]) && !lent(&out[i]) && meet(mine, span_of(&out[i], c->out[i].known ? c->out[i].bytes : out[i].capacity)))
        return tn_fail(&c->err, TENON_E_ARG, -1, ~(int32_t)k, "output %u '%s': its memory overlaps output %u '%s'", k, d->out[k]->name, i,
                       d->out[i]->name);
  }
  return TENON_OK;
}
static tenon_status place_outputs(tenon_ctx *c, struct tn_run *r) {
  const tn_desc *d = c->m->d;
  const int64_t *dim = d->out_dim;
  for (uint32_t k = 0; k < d->n_out; dim = next_dims(d->out[k], dim), k++) {
    tn_out *o = &c->out[k];
    o->known = o->kept = false;
    if (!tn_is_dense(d->out[k])) continue;
    if (!lent(&r->out[k]) && !r->out[k].t.shape && d->out[k]->max_rank)
      return tn_fail(&c->err, TENON_E_ARG, -1, ~(int32_t)k, "output %u '%s': shape is NULL", k, d->out[k]->name);
    c->outp[k] = entry_dims(d, k, dim, c->sym, o) ? output_memory(r, k) : NULL;
  }
  return r->nomem ? tn_fail(&c->err, TENON_E_NOMEM, -1, INT32_MIN, "outputs: out of memory") : TENON_OK;
}
static void show_tensor(const tenon_io *io, tn_out *o, tenon_value *v) { /* tells the caller where an output is */
  bool mine = lent(v) || o->kept;
  v->need = o->bytes;
  v->t.ndim = o->rank, v->t.dtype = io->dtype, v->t.device = tn_cpu0, v->t.strides = NULL;
  if (lent(v)) v->t.shape = o->shape, v->t.byte_offset = 0;
  else if (v->t.shape) memcpy(v->t.shape, o->shape, (size_t)o->rank * 8);
  if (mine && !o->kept) v->t.data = o->mem, v->capacity = o->size, v->flags = TENON_LENT;
}
/* The one place where results become visible. Something kept: E_SPACE, and collect() may copy it. */
static tenon_status show_outputs(tenon_ctx *c, tenon_value *out) {
  const tn_desc *d = c->m->d;
  tenon_status s = TENON_OK;
  for (uint32_t k = 0; k < d->n_out; k++) {
    tn_out *o = &c->out[k];
    if (!tn_is_dense(d->out[k])) {
      const tenon_value *v = c->outp[k];
      if (out[k].kind == TENON_ABSENT) continue;
      if (v) out[k] = *v, out[k].flags = TENON_LENT;
      else out[k] = (tenon_value){.kind = d->out[k]->kind == TENON_OPTIONAL ? TENON_OPTIONAL : TENON_ABSENT, .flags = TENON_LENT};
      continue;
    }
    if (!o->known) return tn_fail(&c->err, TENON_E_INTERNAL, -1, ~(int32_t)k, "output %u '%s' was not made", k, d->out[k]->name);
    if (!wanted(&out[k])) continue;
    show_tensor(d->out[k], o, &out[k]);
    if (o->kept && !s)
      s = tn_fail(&c->err, TENON_E_SPACE, -1, ~(int32_t)k, "output %u '%s': needs %llu bytes, capacity is %llu; collect() has the result",
                  k, d->out[k]->name, (unsigned long long)o->bytes, (unsigned long long)out[k].capacity);
  }
  c->collectable = s == TENON_E_SPACE;
  return s;
}
static tenon_status collect_one(tenon_ctx *c, tenon_value *v, uint32_t k) {
  tn_out *o = &c->out[k];
  const tenon_io *io = c->m->d->out[k];
  if (!tn_is_dense(io) || !wanted(v) || !o->kept) return TENON_OK;
  if (!v->t.data || v->flags & TENON_LENT) return o->kept = false, show_tensor(io, o, v), TENON_OK;
  if (v->capacity < o->bytes || (!v->t.shape && o->rank)) {
    v->need = o->bytes;
    return tn_fail(&c->err, TENON_E_SPACE, -1, ~(int32_t)k, "output %u '%s': needs %llu bytes, capacity is %llu", k, io->name,
                   (unsigned long long)o->bytes, (unsigned long long)v->capacity);
  }
  memcpy((char *)v->t.data + v->t.byte_offset, o->mem, o->bytes);
  o->kept = false;
  show_tensor(io, o, v);
  return TENON_OK;
}
tenon_status tn_collect(tenon_ctx *c, tenon_value *out) {
  if (!c || !out) return TENON_E_ARG;
  if (atomic_exchange_explicit(&c->busy, 1, memory_order_acquire)) return TENON_E_BUSY;
  tenon_status s = TENON_OK;
  if (!c->collectable) s = tn_fail(&c->err, TENON_E_ARG, -1, INT32_MIN, "collect: the last run kept no results");
  for (uint32_t k = 0; !s && k < c->m->d->n_out; k++) s = collect_one(c, &out[k], k);
  if (!s) c->collectable = false;
  atomic_store_explicit(&c->busy, 0, memory_order_release);
  return s;
}
tenon_status tn_sync(tenon_ctx *c) { return c ? TENON_OK : TENON_E_ARG; }

/* ---- sizes ---- */
static uint64_t scratch_of(const tn_desc *d, const int64_t *sym) { return (d->scratch ? d->scratch(sym) + 127 : 0) & ~127ull; }
static uint64_t shared_of(const tn_desc *d, const int64_t *sym) { return ((d->workspace ? d->workspace(sym) : 0) + 127) & ~127ull; }
static void plan_output(tenon_ctx *c, uint32_t k, const int64_t *dim, tenon_value *v) {
  const tn_desc *d = c->m->d;
  const tenon_io *io = d->out[k];
  tn_out *o = &c->out[k];
  *v = (tenon_value){.kind = io->kind, .t = v->t, .capacity = v->capacity};
  if (io->kind != TENON_TENSOR) {
    v->flags = TENON_UNKNOWN;
    return;
  }
  if (!v->t.shape) v->t.shape = o->shape;
  bool known = entry_dims(d, k, dim, c->sym, o);
  v->t.ndim = o->rank, v->t.dtype = io->dtype, v->t.device = tn_cpu0, v->t.byte_offset = 0, v->t.strides = NULL;
  uint64_t count = 1;
  for (int32_t a = 0; a < o->rank; a++) {
    v->t.shape[a] = o->shape[a];
    count *= known ? (uint64_t)o->shape[a] : 0;
  }
  v->need = known ? tn_bytes(tn_dtype_of(io->dtype), count) : 0;
  if (!known) v->flags = TENON_UNKNOWN;
}
static bool grows(const tn_desc *d) { /* may a run allocate although all is warm? */
  for (uint32_t k = 0; k < d->n_out; k++)
    if (!tn_is_dense(d->out[k])) return true;
  return d->n_slab || d->n_handle;
}
tenon_status tn_plan(tenon_ctx *c, const tenon_value *in, tenon_value *out, tenon_plan *p) {
  if (!c || !in || !out) return TENON_E_ARG;
  if (atomic_exchange_explicit(&c->busy, 1, memory_order_acquire)) return TENON_E_BUSY;
  const tn_desc *d = c->m->d;
  tenon_status s = tn_check_inputs(d, in, c->sym, false, &c->err);
  const int64_t *dim = d->out_dim;
  c->collectable = false;
  for (uint32_t k = 0; !s && k < d->n_out; dim = next_dims(d->out[k], dim), k++) plan_output(c, k, dim, &out[k]);
  if (!s && p && p->size >= 8) {
    uint64_t ws = shared_of(d, c->sym) + c->m->threads * scratch_of(d, c->sym);
    tenon_plan full = {.size = p->size, .flags = grows(d) ? TENON_BOUND : 0, .workspace = ws, .align = 64};
    tn_grown(p, p->size, &full, sizeof full);
  }
  atomic_store_explicit(&c->busy, 0, memory_order_release);
  return s;
}

/* ---- a run ---- */
static tenon_status place_workspace(tenon_ctx *c, struct tn_run *r, const tenon_run *o, char **ws) {
  const tn_desc *d = c->m->d;
  uint64_t shared = shared_of(d, c->sym), need;
  r->scratch_size = scratch_of(d, c->sym);
  need = shared + r->width * r->scratch_size;
  *ws = c->ws;
  if (o && o->workspace) {
    if ((uintptr_t)o->workspace % 64) return tn_fail(&c->err, TENON_E_ARG, -1, INT32_MIN, "workspace: is not aligned to 64 bytes");
    if (o->workspace_size < need)
      return tn_fail(&c->err, TENON_E_SPACE, -1, INT32_MIN, "workspace: needs %llu bytes, has %llu", (unsigned long long)need,
                     (unsigned long long)o->workspace_size);
    *ws = o->workspace;
  } else if (c->ws_size < need) {
    tn_free(c->m, c->ws, c->ws_size);
    c->ws = *ws = tn_alloc(c->m, need);
    c->ws_size = c->ws ? need : 0;
    if (!c->ws) return tn_fail(&c->err, TENON_E_NOMEM, -1, INT32_MIN, "workspace: out of memory (%llu bytes)", (unsigned long long)need);
  }
  r->scratch = *ws + shared;
  return TENON_OK;
}
static tenon_status place_inputs(tenon_ctx *c, const tenon_value *in) {
  const tn_desc *d = c->m->d;
  for (uint32_t i = 0; i < d->n_in; i++) {
    if (tn_is_dense(d->in[i])) {
      c->in[i] = in[i].kind == TENON_TENSOR ? (char *)in[i].t.data + in[i].t.byte_offset : NULL;
      continue;
    }
    if (!tn_value_import(c->m, &in[i], &c->imported[i])) return tn_fail(&c->err, TENON_E_NOMEM, -1, (int32_t)i, "out of memory");
    c->in[i] = c->imported[i];
  }
  return TENON_OK;
}
static tenon_status outcome(tenon_ctx *c, const struct tn_run *r) {
  if (r->bad_output)
    return tn_fail(&c->err, TENON_E_INTERNAL, -1, r->bad_output, "output %d '%s' got a negative size", ~r->bad_output,
                   c->m->d->out[~r->bad_output]->name);
  if (r->nomem) return tn_fail(&c->err, TENON_E_NOMEM, -1, INT32_MIN, "out of memory during the run");
  if (r->fault) {
    static const tn_site nowhere = {-1, INT32_MIN, "", "", "value %v is not allowed", 0, 0};
    const tn_site *t = r->site < c->m->d->n_site ? &c->m->d->site[r->site] : &nowhere;
    char text[sizeof c->err.text];
    tn_site own = *t;
    if (r->text_set) own.text = r->text;
    tn_site_text(&own, r->value, text, sizeof text);
    return tn_fail(&c->err, TENON_E_DATA, t->node, t->input, "%s", text);
  }
  if (r->limit)
    return tn_fail(&c->err, TENON_E_LIMIT, -1, INT32_MIN, "a loop reached the limit of %llu iterations", (unsigned long long)r->max_turns);
  if (r->cancel && *r->cancel) return tn_fail(&c->err, TENON_E_CANCELLED, -1, INT32_MIN, "cancelled");
  return TENON_OK;
}
static void forget_values(tenon_ctx *c) { /* outputs of the run before */
  const tn_desc *d = c->m->d;
  for (uint32_t k = 0; k < d->n_out; k++)
    if (!tn_is_dense(d->out[k])) tn_value_drop(c->m, (tenon_value **)&c->outp[k]);
}
static tenon_status run_checked(tenon_ctx *c, const tenon_value *in, tenon_value *out, const tenon_run *o) {
  const tn_desc *d = c->m->d;
  struct tn_run r = {.m = c->m, .c = c, .width = c->m->threads, .out = out, .max_turns = o ? o->max_iterations : 0};
  tn_frame f = {d->weights, NULL, c->sym, c->in, c->outp, c->slab, c->handle, &r};
  c->collectable = false;
  if (o && o->threads && o->threads < r.width) r.width = o->threads;
  if (o) r.cancel = o->cancel;
  if (o && o->stream) return tn_fail(&c->err, TENON_E_ARG, -1, INT32_MIN, "a stream was given, but %s runs on the CPU", d->name);
  tenon_status s = tn_check_inputs(d, in, c->sym, true, &c->err);
  if (!s) s = place_inputs(c, in);
  if (!s) forget_values(c), s = place_outputs(c, &r);
  if (!s) s = check_overlap(c, in, out);
  if (!s) s = place_workspace(c, &r, o, &f.ws);
  if (s) return s;
  uint32_t fp = tn_fp_enter();
  d->program(&f);
  tn_fp_leave(fp);
  s = outcome(c, &r);
  return s ? s : show_outputs(c, out);
}
tenon_status tn_exec(tenon_ctx *c, const tenon_value *in, tenon_value *out, const tenon_run *opt) {
  if (!c || (!in && c->m->d->n_in) || (!out && c->m->d->n_out) || (opt && opt->size < 8)) return TENON_E_ARG;
  if (atomic_exchange_explicit(&c->busy, 1, memory_order_acquire)) return TENON_E_BUSY; /* its error text belongs to the other run */
  tn_after_fork(c->m);
  tenon_run o;
  if (opt) tn_grown(&o, sizeof o, opt, opt->size);
  tenon_status s = run_checked(c, in, out, opt ? &o : NULL);
  if (!s) c->err.status = 0, c->err.text[0] = 0;
  atomic_store_explicit(&c->busy, 0, memory_order_release);
  return s;
}
