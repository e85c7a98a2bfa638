/* pool.h - the claiming threads of one model. */
#pragma once
#include "rt.h"

enum { TN_MAX_THREADS = 64 };
typedef struct tn_pool tn_pool;
/* worker < width: no two threads that are in one tn_pool_run at the same time have the same one. */
typedef void tn_task(void *arg, uint32_t i, uint32_t worker);
tn_pool *tn_pool_new(uint32_t threads, uint32_t spin_us, const char *name); /* no thread yet; NULL: no memory */
void *tn_pool_free(tn_pool *); /* joins; returns the dlopen reference to drop as the very last thing, or NULL */
void tn_pool_run(tn_pool *, uint32_t width, uint32_t n, tn_task *, void *arg, const volatile int32_t *cancel);
uint32_t tn_cpus(void);              /* affinity mask and cgroup quota */
uint32_t tn_quota(const char *root); /* root: "", or a directory with a fake /proc and /sys */
