// guard.c - runs a shared object with every piece of memory it gets - workspace, outputs, inputs - ending at a page that may not be
// touched, so that code which writes or reads past a buffer stops where it does so.   guard LIB.so NAME [SIZE [THREADS]]   (sizes of open
// dims: 1)
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tenon_rt.h>

static void *guarded(void *user, uint64_t bytes, uint64_t align, DLDevice d) {
  (void)user, (void)d;
  uint64_t body = (bytes + align - 1) / align * align, pages = (body + 4095) / 4096 * 4096;
  char *p = mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED || mprotect(p + pages, 4096, PROT_NONE)) return NULL;
  return memset(p + pages - body, 0xa5, body);
}
static void unmapped(void *user, void *p, uint64_t bytes, DLDevice d) { // never used again: use after free stops too
  (void)user, (void)d;
  mprotect((void *)((uintptr_t)p & ~(uintptr_t)4095), (bytes + 4095) / 4096 * 4096, PROT_NONE);
}
static int bad(const tenon_error *e) { return printf("%s\n", e->text), 1; }
int main(int argc, char **argv) {
  char symbol[128];
  if (argc < 3) return 2;
  snprintf(symbol, sizeof symbol, "%s_api", argv[2]);
  void *dl = dlopen(argv[1], RTLD_NOW);
  if (!dl) return printf("%s\n", dlerror()), 1;
  tenon_api_fn get;
  *(void **)&get = dlsym(dl, symbol);
  const tenon_api *api = get ? get(TENON_ABI) : NULL;
  if (!api) return printf("no %s in %s\n", symbol, argv[1]), 1;
  tenon_allocator mem = {sizeof mem, NULL, guarded, unmapped};
  tenon_open o = {.size = sizeof o, .threads = argc > 4 ? (uint32_t)atoi(argv[4]) : 1, .allocator = &mem};
  tenon_error e = {.size = sizeof e};
  tenon_model *m;
  tenon_ctx *c;
  if (api->open(&o, &m, &e) || api->context(m, &c, &e)) return bad(&e);
  tenon_value *in = calloc(api->n_in + 1, sizeof *in), *out = calloc(api->n_out + 1, sizeof *out);
  for (uint32_t i = 0; i < api->n_in; i++) {
    const tenon_io *io = api->in[i];
    if (io->kind != TENON_TENSOR || io->dtype.code == kDLOpaqueHandle) return printf("input %s is no plain tensor\n", io->name), 1;
    int64_t *dim = calloc(8, sizeof *dim), n = 1;
    for (int k = 0; k < io->rank; k++) n *= dim[k] = io->dim[k] >= 0 ? io->dim[k] : argc > 3 ? atoi(argv[3]) : 1;
    uint64_t bytes = ((uint64_t)n * io->dtype.bits + 7) / 8;
    void *p = memset(guarded(NULL, bytes ? bytes : 1, io->dtype.bits > 8 ? io->dtype.bits / 8 : 1, o.device), 0, bytes ? bytes : 1);
    in[i] = tenon_dense(p, bytes, io->dtype.code, io->dtype.bits, io->rank, dim);
  }
  for (uint32_t k = 0; k < api->n_out; k++) out[k].kind = TENON_TENSOR;
  for (int r = 0; r < 3; r++)
    if (api->run(c, in, out, NULL)) return api->last_error(c, &e), bad(&e);
  api->release(c), api->close(m);
  return printf("ok\n"), 0;
}
