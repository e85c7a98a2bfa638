/* model.c - models and contexts: the part of the table behind <name>_api that makes and ends things. Returns codes, never aborts, prints
   nothing. The last close or release joins the threads; entry.S turns the dlclose that may follow into a jump. */
#include "model.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

const DLDevice tn_cpu0 = {kDLCPU, 0};

/* ---- errors ---- */
tenon_status tn_fail(tenon_error *e, tenon_status s, int32_t node, int32_t value, const char *fmt, ...) {
  if (!e) return s;
  e->status = (int32_t)s, e->node = node, e->value = value;
  va_list a;
  va_start(a, fmt);
  vsnprintf(e->text, sizeof e->text, fmt, a);
  va_end(a);
  return s;
}
void tn_grown(void *to, uint32_t to_size, const void *from, uint32_t from_size) {
  memset(to, 0, to_size);
  memcpy(to, from, from_size < to_size ? from_size : to_size);
}
static void give(tenon_error *to, const tenon_error *from) { /* respects the reader's size */
  if (!to || to->size < offsetof(tenon_error, text) + 1) return;
  uint32_t size = to->size;
  tn_grown(to, size, from, sizeof *from);
  to->size = size;
  ((char *)to)[(size < sizeof *to ? size : sizeof *to) - 1] = 0;
}
void tn_last_error(const tenon_ctx *c, tenon_error *e) {
  if (c) give(e, &c->err);
}

/* ---- memory ---- */
static void *mem_alloc(void *user, uint64_t bytes, uint64_t align, DLDevice dev) {
  (void)user, (void)dev;
  void *p;
  return posix_memalign(&p, align, bytes) ? NULL : p;
}
static void mem_free(void *user, void *p, uint64_t bytes, DLDevice dev) { (void)user, (void)bytes, (void)dev, free(p); }
void *tn_alloc(tenon_model *m, uint64_t bytes) {
  if (bytes > UINT64_MAX / 2) return NULL;
  return m->mem.alloc(m->mem.user, bytes ? bytes : 1, 64, tn_cpu0);
}
void tn_free(tenon_model *m, void *p, uint64_t bytes) {
  if (p) m->mem.free(m->mem.user, p, bytes ? bytes : 1, tn_cpu0);
}

/* ---- fork: the child has the memory but not the threads ---- */
void tn_after_fork(tenon_model *m) {
  if (m->pid && m->pid != (uint32_t)syscall(SYS_getpid)) atomic_store(m->home, 0), m->pid = (uint32_t)syscall(SYS_getpid);
  for (uint32_t at; (at = atomic_load_explicit(m->home, memory_order_acquire)) != 1;) {
    if (at || !atomic_compare_exchange_strong(m->home, &at, 2)) continue; /* another thread of the child is at it */
    atomic_store(&m->pool, NULL); /* leaked in the child: its threads do not exist, its lock may be held */
    atomic_store_explicit(m->home, 1, memory_order_release);
  }
}

/* ---- models ---- */
tn_pool *tn_pool_of(tenon_model *m) {
  tn_pool *p = atomic_load_explicit(&m->pool, memory_order_acquire), *none = NULL;
  if (p) return p;
  if (!(p = tn_pool_new(m->threads, m->spin_us, m->d->name))) return NULL;
  if (atomic_compare_exchange_strong(&m->pool, &none, p)) return p;
  tn_pool_free(p); /* another context was first */
  return none;
}
typedef struct Lent { /* a foreign task has no worker number */
  void (*task)(void *, uint32_t);
  void *arg;
} Lent;
static void lend_task(void *arg, uint32_t i, uint32_t worker) {
  (void)worker;
  ((Lent *)arg)->task(((Lent *)arg)->arg, i);
}
static void lend_run(void *user, void (*task)(void *, uint32_t), void *arg, uint32_t n) {
  tenon_model *m = user;
  Lent l = {task, arg};
  tn_after_fork(m);
  tn_pool_run(m->threads > 1 ? tn_pool_of(m) : NULL, m->threads, n, lend_task, &l, NULL);
}
const tenon_executor *tn_executor(tenon_model *m) { return &m->lend; }

static const char *variant(const tn_desc *d) {
  return d->cpu & TN_CPU_NATIVE ? "native" : d->cpu & TN_CPU_V4 ? "x86-64-v4" : d->cpu & TN_CPU_V3 ? "x86-64-v3" : "baseline";
}
static void describe(tenon_model *m, const tenon_open *o) {
  snprintf(m->text, sizeof m->text,
           "{\"device\":\"cpu\",\"variant\":\"%s\",\"threads\":%u,\"spin_us\":%u,\"executor\":%s,\"weights\":\"inline\","
           "\"fallback\":null,\"fork\":\"%s\"}",
           variant(m->d), m->threads, m->spin_us, o->executor ? "\"caller\"" : "\"own\"", m->pid ? "getpid" : "wipe");
}
const char *tn_describe(const tenon_model *m) { return m->text; }

static tenon_status check_open(const tn_desc *d, const tenon_open *o, tenon_error *e) {
  const int32_t none = INT32_MIN;
  if (o->device.device_type && o->device.device_type != kDLCPU)
    return tn_fail(e, TENON_E_DEVICE, -1, none, "%s has code for the CPU only; device type %d was asked for", d->name,
                   (int)o->device.device_type);
  if (o->cpu && strcmp(o->cpu, variant(d)))
    return tn_fail(e, TENON_E_HARDWARE, -1, none, "%s has the variant %s; '%.60s' was asked for", d->name, variant(d), o->cpu);
  if (!tn_cpu_ok(d->cpu))
    return tn_fail(e, TENON_E_HARDWARE, -1, none, "%s was compiled for %s%s%s; this CPU, or its OS, lacks part of it", d->name,
                   d->cpu & TN_CPU_V4 ? "x86-64-v4 (AVX-512)" : "x86-64-v3 (AVX2, FMA, F16C, BMI2)",
                   d->cpu & TN_CPU_VNNI ? " with VNNI" : "", d->cpu & TN_CPU_BF16 ? " with BF16" : "");
  if (o->flags & TENON_VERIFY)
    return tn_fail(e, TENON_E_ARG, -1, none, "%s carries no hash of its weights: TENON_VERIFY cannot be served", d->name);
  if (o->n_constant) return tn_fail(e, TENON_E_ARG, -1, none, "%s has no replaceable constants", d->name);
  if (o->weights_path || o->weights_fd1) return tn_fail(e, TENON_E_ARG, -1, none, "%s carries its weights inside", d->name);
  return TENON_OK;
}
static tenon_model *make(const tn_desc *d, const tenon_open *o) {
  tenon_allocator mem = {sizeof mem, NULL, mem_alloc, mem_free};
  if (o->allocator) mem = *o->allocator;
  void *page = mmap(NULL, TN_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  tenon_model *m = mem.alloc(mem.user, sizeof *m, 64, tn_cpu0);
  if (!m || page == MAP_FAILED) {
    if (m) mem.free(mem.user, m, sizeof *m, tn_cpu0);
    if (page != MAP_FAILED) munmap(page, TN_PAGE);
    return NULL;
  }
  memset(m, 0, sizeof *m);
  m->d = d, m->mem = mem, m->home = page, m->executor = o->executor;
  if (madvise(page, TN_PAGE, MADV_WIPEONFORK)) m->pid = (uint32_t)syscall(SYS_getpid); /* before Linux 4.14, some sandboxes */
  atomic_store(m->home, 1);
  atomic_store(&m->refs, 1);
  m->threads = o->executor ? o->executor->width : o->threads ? o->threads : tn_cpus();
  if (!m->threads) m->threads = 1;
  if (m->threads > TN_MAX_THREADS) m->threads = TN_MAX_THREADS;
  m->spin_us = o->spin_us ? o->spin_us : 50;
  m->lend = (tenon_executor){sizeof m->lend, m->threads, m, lend_run};
  if (o->flags & TENON_PREFAULT && d->weights) { /* a hint: read ahead what lies in the file */
    uintptr_t page_of = (uintptr_t)d->weights & ~(uintptr_t)(TN_PAGE - 1);
    madvise((void *)page_of, (uintptr_t)d->weights - page_of + d->weights_size, MADV_WILLNEED);
  }
  describe(m, o);
  return m;
}
tenon_status tn_open(const tn_desc *d, const tenon_open *opt, tenon_model **out, tenon_error *err) {
  tenon_error e = {.size = sizeof e, .status = TENON_OK, .node = -1, .value = INT32_MIN};
  tenon_open o = {.size = sizeof o};
  tenon_status s = TENON_OK;
  if (!out || (opt && opt->size < 8)) s = tn_fail(&e, TENON_E_ARG, -1, INT32_MIN, "open: no place for the model, or options without size");
  if (!s) {
    *out = NULL;
    if (opt) tn_grown(&o, sizeof o, opt, opt->size);
    s = check_open(d, &o, &e);
  }
  if (!s && !(*out = make(d, &o))) s = tn_fail(&e, TENON_E_NOMEM, -1, INT32_MIN, "open: out of memory");
  if (s) give(err, &e);
  return s;
}
static void *unref(tenon_model *m) {
  if (!m || atomic_fetch_sub(&m->refs, 1) > 1) return NULL;
  tn_after_fork(m);
  void *pin = tn_pool_free(atomic_load(&m->pool));
  munmap((void *)m->home, TN_PAGE);
  tenon_allocator mem = m->mem;
  mem.free(mem.user, m, sizeof *m, tn_cpu0);
  return pin;
}
void *tn_close_(tenon_model *);
void *tn_release_(tenon_ctx *);
void *tn_close_(tenon_model *m) { return unref(m); } /* entry.S jumps on to dlclose with the result */

/* ---- contexts ---- */
bool tn_is_dense(const tenon_io *io) { return io->kind == TENON_TENSOR && io->dtype.code != kDLOpaqueHandle; }

/* One block holds the context and its arrays, in the order of their alignment (all of them 8). */
static tenon_ctx *layout(const tn_desc *d, tenon_ctx *c, uint64_t *size) {
  uint64_t at = sizeof(tenon_ctx), part[7] = {d->n_out * sizeof(tn_out),  d->n_sym * 8,     d->n_in * 8, d->n_out * 8,
                                              d->n_slab * sizeof(void *), d->n_handle * 8u, d->n_in * 8};
  char *p[7];
  for (int i = 0; i < 7; i++) p[i] = c ? (char *)c + at : NULL, at += part[i];
  *size = at;
  if (!c) return NULL;
  c->out = (void *)p[0], c->sym = (void *)p[1], c->in = (void *)p[2], c->outp = (void *)p[3];
  c->slab = (void *)p[4], c->handle = (void *)p[5], c->imported = (void *)p[6];
  return c;
}
tenon_status tn_context(tenon_model *m, tenon_ctx **out, tenon_error *err) {
  tenon_error e = {.size = sizeof e, .node = -1, .value = INT32_MIN};
  if (!m || !out) {
    tn_fail(&e, TENON_E_ARG, -1, INT32_MIN, "context: NULL argument");
    return give(err, &e), TENON_E_ARG;
  }
  uint64_t size;
  layout(m->d, NULL, &size);
  tenon_ctx *c = *out = tn_alloc(m, size);
  if (!c) {
    tn_fail(&e, TENON_E_NOMEM, -1, INT32_MIN, "context: out of memory");
    return give(err, &e), TENON_E_NOMEM;
  }
  memset(c, 0, size);
  layout(m->d, c, &size);
  c->m = m, c->err = e, c->size = size;
  atomic_fetch_add(&m->refs, 1);
  return TENON_OK;
}
void *tn_release_(tenon_ctx *c) {
  if (!c) return NULL;
  tenon_model *m = c->m;
  const tn_desc *d = m->d;
  tn_free(m, c->ws, c->ws_size);
  tn_slab_free(m, c->late);
  for (uint32_t i = 0; i < d->n_out; i++) {
    tn_free(m, c->out[i].mem, c->out[i].size);
    if (!tn_is_dense(d->out[i])) tn_value_drop(m, (tenon_value **)&c->outp[i]);
  }
  for (uint32_t i = 0; i < d->n_slab; i++) tn_slab_free(m, c->slab[i]);
  for (uint32_t i = 0; i < d->n_handle; i++) tn_value_drop(m, &c->handle[i]);
  for (uint32_t i = 0; i < d->n_in; i++) tn_value_drop(m, &c->imported[i]);
  tn_free(m, c, c->size);
  return unref(m);
}
