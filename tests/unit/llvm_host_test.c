// llvm_host_test.c - the host program: a program made of every statement but calls of host ops, compiled, linked with the runtime, loaded
// and run through the ABI.
#include "codegen/artifact/artifact.h"
#include "codegen/codegen.h"
#include "tenon_rt.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka wants the headers above first
#include <cmocka.h>

static const char text[] = "program \"hosted\" {\n"
                           "  symbol N in 0..100 entry\n"
                           "  symbol half in 0..50 = N/2 entry\n"
                           "  symbol k in 0..10\n"
                           "  symbol t in 0..100\n"
                           "  require 90 - 2*half text \"N must not reach 92\"\n"
                           "  buf x: f32[N] input 0\n"
                           "  buf c: bool[] input 1\n"
                           "  buf n: i64[1] input 2\n"
                           "  buf y: f32[N] output 0 exact\n"
                           "  buf z: f32[k] output 1\n"
                           "  buf a: f32[N] arena at 64\n"
                           "  buf s: f32[k] slab 0\n"
                           "  buf s2: f32[k] slab 1\n"
                           "  buf w: f32[1] const 0 = f32[1] {2.0}\n"
                           "  in \"x\": f32[N] x\n"
                           "  in \"c\": bool[] c\n"
                           "  in \"n\": i64[1] n\n"
                           "  out \"y\": f32[N] y\n"
                           "  out \"z\": f32[k] z\n"
                           "  site node 4 name \"pick\" op \"Slice\" text \"size %v is not in [%l,%h]\" lo 0 hi 10\n"
                           "  site node 5 name \"fit\" op \"Pad\" text \"%v short\" lo 0 hi 0\n"
                           "  memory slabs 2 handles 0 weights 4 arena 64*(N/16) + 192\n"
                           "  kernel scale(in A: f32[M], const v: f32[1], out B: f32[M]) where M in 0..100 {\n"
                           "    for i: M par {\n"
                           "      B[i] = A[i]*v[0]\n"
                           "    }\n"
                           "  }\n"
                           "  kernel fill(out C: f32[K]) where K in 0..10, T in 0..100 {\n"
                           "    alloc u: f32[K] arena\n"
                           "    for i: K par {\n"
                           "      u[i] = ix.f32(10*T + i)\n"
                           "    }\n"
                           "    for j: K par {\n"
                           "      C[j] = u[K - 1 - j]\n"
                           "    }\n"
                           "  }\n"
                           "  body {\n"
                           "    launch scale(x, w, a) with [N]\n"
                           "    if c {\n"
                           "      launch scale(a, w, y) with [N]\n"
                           "    } else {\n"
                           "      copy y <- a\n"
                           "    }\n"
                           "    set k = n[0] site 0\n"
                           "    grow s to 4*k\n"
                           "    grow s2 to 4*k keep 0\n"
                           "    loop t below 3 while c {\n"
                           "      launch fill(s) with [k, t] temp [64*(N/16) + 128]\n"
                           "      move s <- s2\n"
                           "    }\n"
                           "    check N - k site 1\n"
                           "    output z\n"
                           "    copy z <- s\n"
                           "  }\n"
                           "}\n";

typedef struct Model {
  const tenon_api *api;
  tenon_model *m;
  tenon_ctx *ctx;
} Model;

static Model load(void) {
  char dir[] = "/tmp/tenon-host-XXXXXX";
  assert_non_null(mkdtemp(dir));
  const Target *target = target_host();
  Program *p = program_parse(text, strlen(text), NULL, 0, "hosted");
  program_verify(p);
  CodegenOptions o = {.target = target, .prefix = "hosted", .rt_hash = artifact_rt_hash(), .jobs = 2, .opt = 2};
  Blob *obj;
  int n = llvm_emit(p, &o, &obj);
  char *file = fmt("%s/libhosted.so", dir);
  ArtifactOptions a = {.kind = ARTIFACT_SO, .out = file, .name = "hosted", .target = target, .version = "test"};
  artifact_write(p, n, obj, &a);
  void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!so) fail_msg("%s", dlerror());
  tenon_api_fn get;
  *(void **)&get = dlsym(so, "hosted_api");
  Model r = {.api = get(TENON_ABI)};
  tenon_error e = {.size = sizeof e};
  assert_int_equal(r.api->open(&(tenon_open){.size = sizeof(tenon_open), .threads = 2}, &r.m, &e), 0);
  assert_int_equal(r.api->context(r.m, &r.ctx, &e), 0);
  unlink(file), unlink(fmt("%s/hosted.h", dir)), rmdir(dir);
  return r;
}

static tenon_status run(const Model *m, int64_t n, bool c, int64_t k, float *y, float *z, int64_t *zn) {
  float x[100];
  for (int i = 0; i < 100; i++) x[i] = (float)i;
  int64_t sx = n, one = 1, sy = 0;
  tenon_value in[3] = {tenon_dense(x, 0, kDLFloat, 32, 1, &sx), tenon_dense(&c, 0, kDLBool, 8, 0, NULL),
                       tenon_dense(&k, 0, kDLInt, 64, 1, &one)};
  tenon_value out[2] = {tenon_dense(y, 400, kDLFloat, 32, 1, &sy), tenon_dense(z, 40, kDLFloat, 32, 1, zn)};
  return m->api->run(m->ctx, in, out, NULL);
}
static const char *error_of(const Model *m) {
  static tenon_error e;
  e.size = sizeof e;
  m->api->last_error(m->ctx, &e);
  return e.text;
}

static void statements(void **state) {
  (void)state;
  Model m = load();
  float y[100], z[10];
  int64_t zn;
  for (int again = 0; again < 3; again++) {
    assert_int_equal(run(&m, 50 - again, true, 7, y, z, &zn), 0);
    for (int i = 0; i < 50 - again; i++) assert_true(y[i] == 4.0f * (float)i);
    assert_int_equal(zn, 7);
    for (int i = 0; i < 7; i++) assert_true(z[i] == (float)(10 * 1 + 6 - i)); // of turn 1: the slabs changed places three times
  }
  assert_int_equal(run(&m, 20, false, 0, y, z, &zn), 0);
  for (int i = 0; i < 20; i++) assert_true(y[i] == 2.0f * (float)i);
  assert_int_equal(zn, 0);
}
static void refusals(void **state) {
  (void)state;
  Model m = load();
  float y[100], z[10];
  int64_t zn;
  assert_int_equal(run(&m, 92, true, 1, y, z, &zn), TENON_E_SHAPE);
  assert_non_null(strstr(error_of(&m), "N must not reach 92"));
  assert_int_equal(run(&m, 91, true, 11, y, z, &zn), TENON_E_DATA);
  assert_string_equal(error_of(&m), "node 4 'pick' (Slice): size 11 is not in [0,10]");
  assert_int_equal(run(&m, 3, true, 5, y, z, &zn), TENON_E_DATA);
  assert_string_equal(error_of(&m), "node 5 'fit' (Pad): -2 short");
  assert_int_equal(run(&m, 5, true, 5, y, z, &zn), 0); // and goes on
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(statements), cmocka_unit_test(refusals)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
