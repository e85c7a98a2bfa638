// artifact_test.c - codegen/artifact without a code generator: a program made by hand, its object by the C compiler, then every kind of
// artifact is written, loaded and run. The model: y[N,4] = x[N,3] * w[3,4], a row a chunk; z: x's rows with positive sums (a size only the
// run knows); sum of x > 1000 is a data error.
#include "codegen/artifact/artifact.h"
#include "tenon_rt.h"
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
// cmocka wants the four headers above it
#include <cmocka.h>

static const char source[] = "#include \"runtime/rt.h\"\n"
                             "#define P_(a, b) a##b\n"
                             "#define P(a, b) P_(a, b)\n"
                             "#define N(x) P(PREFIX, x)\n"
                             "#define H(x) P(P(tn_, HASH), x)\n"
                             "int H(_par)(tn_frame *, int64_t, uint32_t, tn_body *, const int64_t *);\n"
                             "void H(_fault)(tn_frame *, uint32_t, int64_t, int64_t);\n"
                             "void *H(_output)(tn_frame *, uint32_t, int32_t, const int64_t *);\n"
                             "extern const char N(_weights)[];\n"
                             "static void row(const int64_t *arg, int64_t r, char *scratch) {\n"
                             "  tn_frame *f = (tn_frame *)arg[0];\n"
                             "  const float *x = (const float *)arg[1] + r * 3, *w = (const float *)f->weights;\n"
                             "  float *y = (float *)arg[2] + r * 4, *acc = (float *)scratch, sum = 0;\n"
                             "  for (int j = 0; j < 4; j++) {\n"
                             "    acc[j] = 0;\n"
                             "    for (int i = 0; i < 3; i++) acc[j] += x[i] * w[j / 2 * 6 + i * 2 + j % 2];\n" // panels of two columns
                             "    y[j] = acc[j];\n"
                             "  }\n"
                             "  for (int i = 0; i < 3; i++) sum += x[i];\n"
                             "  if (sum > 1000) H(_fault)(f, 0, r, (int64_t)sum);\n"
                             "}\n"
                             "void N(_program)(tn_frame *f) {\n"
                             "  int64_t arg[3] = {(int64_t)f, (int64_t)f->in[0], (int64_t)f->out[0]}, n = f->sym[0];\n"
                             "  const float *x = f->in[0];\n"
                             "  if (H(_par)(f, n, 5000, row, arg)) return;\n"
                             "  f->sym[2] = 0;\n"
                             "  for (int64_t r = 0; r < n; r++) f->sym[2] += x[3 * r] + x[3 * r + 1] + x[3 * r + 2] > 0;\n"
                             "  float *z = H(_output)(f, 1, 2, (int64_t[]){f->sym[2], 3});\n"
                             "  if (!z) return;\n"
                             "  for (int64_t r = 0; r < n; r++)\n"
                             "    if (x[3 * r] + x[3 * r + 1] + x[3 * r + 2] > 0)\n"
                             "      for (int i = 0; i < 3; i++) *z++ = x[3 * r + i];\n"
                             "}\n"
                             "int32_t N(_entry)(int64_t *sym) { sym[1] = 2 * sym[0]; return sym[0] == 13 ? 1 : 0; }\n"
                             "uint64_t N(_workspace)(const int64_t *sym) { return sym[0] * 8; }\n"
                             "uint64_t N(_scratch)(const int64_t *sym) { return (void)sym, 16; }\n";

static char dir[64];
static char *path(const char *file) { return fmt("%s/%s", dir, file); }
static int shell(const char *command) {
  int s = system(command);
  return WIFEXITED(s) ? WEXITSTATUS(s) : -1;
}
static Blob read_file(const char *name) {
  FILE *f = fopen(name, "rb");
  assert_non_null(f);
  char *p = mem(1 << 20);
  size_t n = fread(p, 1, 1 << 20, f);
  fclose(f);
  return (Blob){p, n};
}
static Blob compile(const char *prefix) {
  FILE *f = fopen(path("m.c"), "w");
  fputs(source, f), fclose(f);
  assert_int_equal(shell(fmt("cc -O1 -fPIC -fno-stack-protector -I%s -I%s/runtime/include -DPREFIX=%s -DHASH=%s -c %s -o %s", SOURCE_DIR,
                             SOURCE_DIR, prefix, artifact_rt_hash(), path("m.c"), path("m.o"))),
                   0);
  return read_file(path("m.o"));
}
static Program *model(const char *name) {
  static const float w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  static const Layout panels = {.n = 3, .axis = {1, 0, 1}, .div = {2, 1, 1}, .mod = {0, 0, 2}};
  Program *p = NEW(Program);
  IExpr *n = ix_sym(sym("N"), 1, 64), *n2 = ix_named(sym("twice"), ix_scale(n, 2)), *k = ix_sym(sym("kept"), 0, 64);
  const Type *tx = type_tensor(DT_F32, 2, (IExpr *[]){n, ix(3)}), *ty = type_tensor(DT_F32, 2, (IExpr *[]){n, ix(4)});
  p->name = sym(name);
  p->sym = NEWN(Atom *, 3);
  p->sym[0] = ix_is_atom(n), p->sym[1] = ix_is_atom(n2), p->sym[2] = ix_is_atom(k);
  p->nsym = 3, p->nentry = 2;
  p->in = NEWN(HIo, 1), p->out = NEWN(HIo, 2), p->nin = 1, p->nout = 2;
  p->in[0] = (HIo){sym("in/x"), tx, NULL, false, -1, -1};
  p->out[0] = (HIo){sym("y"), ty, NULL, false, -1, -1};
  p->out[1] = (HIo){sym("z"), type_tensor(DT_F32, 2, (IExpr *[]){k, ix(3)}), NULL, false, -1, -1};
  PUSH(p->require, p->nrequire, p->crequire, (struct Require){n, sym("N must not be 13")});
  PUSH(p->site, p->nsite, p->csite, (Site){3, sym("enc/row"), sym("Gather"), 0, sym("sum %v is not in [%l,%h]"), ix(-5), ix(1000)});
  HBuf *b = NEW(HBuf);
  *b = (HBuf){.name = sym("w"), .place = PLACE_CONST, .coffset = 0, .data = tensor_new(DT_F32, 2, (int64_t[]){3, 4}, w), .lay = &panels};
  PUSH(p->buf, p->nbuf, p->cbuf, b);
  p->weights = 48;
  p->arena = ix_scale(n, 8), p->scratch = ix(16);
  p->opsets = sym("ai.onnx 17");
  return p;
}
static void write_model(const char *name, ArtifactKind kind, const char *out, const char *linker) {
  static const Target plain = {.name = "x86-64", .triple = "x86_64-unknown-linux-gnu"};
  Blob obj = compile(name);
  ArtifactOptions o = {.kind = kind, .out = out, .name = name, .linker = linker, .target = &plain, .version = "test"};
  artifact_write(model(name), 1, &obj, &o);
}

/* ---- what the model should do ---- */
static void expect(const tenon_api *api) {
  tenon_error e = {.size = sizeof e};
  tenon_model *m;
  tenon_ctx *c;
  assert_int_equal(api->open(&(tenon_open){.size = sizeof(tenon_open), .threads = 2}, &m, &e), 0);
  assert_int_equal(api->context(m, &c, &e), 0);
  float x[12 * 3], y[12 * 4], z[12 * 3];
  for (int i = 0; i < 36; i++) x[i] = (float)(i % 7) - 3;
  int64_t sx[2] = {12, 3}, sy[2], sz[2];
  tenon_value in = tenon_dense(x, 0, kDLFloat, 32, 2, sx), out[2];
  out[0] = tenon_dense(y, sizeof y, kDLFloat, 32, 2, sy), out[1] = tenon_dense(z, sizeof z, kDLFloat, 32, 2, sz);
  assert_int_equal(api->run(c, &in, out, NULL), 0);
  int kept = 0;
  for (int r = 0; r < 12; r++) {
    for (int j = 0; j < 4; j++) {
      float s = 0;
      for (int i = 0; i < 3; i++) s += x[r * 3 + i] * (float)(i * 4 + j + 1);
      assert_true(s == y[r * 4 + j]);
    }
    if (x[r * 3] + x[r * 3 + 1] + x[r * 3 + 2] > 0) assert_memory_equal(z + 3 * kept++, x + 3 * r, 12);
  }
  assert_int_equal(sy[0], 12);
  assert_int_equal(sz[0], kept);
  // too little room for z: the result is kept, collect() fetches it
  out[1].capacity = 4;
  assert_int_equal(api->run(c, &in, out, NULL), TENON_E_SPACE);
  assert_int_equal(out[1].need, kept * 12);
  memset(z, 0, sizeof z);
  out[1].capacity = sizeof z;
  assert_int_equal(api->collect(c, out), 0);
  assert_true(z[0] != 0 || z[1] != 0 || z[2] != 0);
  // lent
  out[1].t.data = NULL;
  assert_int_equal(api->run(c, &in, out, NULL), 0);
  assert_int_equal(out[1].flags, TENON_LENT);
  assert_memory_equal(out[1].t.data, z, (size_t)kept * 12);
  // refused
  x[5] = 2000;
  assert_int_equal(api->run(c, &in, out, NULL), TENON_E_DATA);
  api->last_error(c, &e);
  assert_string_equal(e.text, "node 3 'enc/row' (Gather): sum 2001 is not in [-5,1000]");
  assert_int_equal(e.node, 3);
  sx[0] = 13;
  assert_int_equal(api->run(c, &in, out, NULL), TENON_E_SHAPE);
  api->last_error(c, &e);
  assert_non_null(strstr(e.text, "N must not be 13"));
  sx[0] = 65;
  assert_int_equal(api->run(c, &in, out, NULL), TENON_E_SHAPE);
  tenon_plan plan = {.size = sizeof plan};
  sx[0] = 12;
  assert_int_equal(api->plan(c, &in, out, &plan), 0);
  assert_int_equal(out[0].need, 12 * 16);
  assert_int_equal(out[1].flags, TENON_UNKNOWN);
  assert_int_equal(out[1].t.shape[0], -1);
  assert_int_equal(plan.workspace, 128 + 2 * 128);
  api->release(c), api->close(m);
}
static void load(const char *file, const char *symbol) {
  void *dl = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!dl) fail_msg("%s", dlerror());
  tenon_api_fn get;
  *(void **)&get = dlsym(dl, symbol);
  assert_non_null(get);
  assert_null(get(99));
  expect(get(TENON_ABI));
  assert_null(dlsym(dl, "tn_par"));
  dlclose(dl);
}
static void shared_object(const char *linker) {
  write_model("m1", ARTIFACT_SO, path("libm1.so"), linker);
  load(path("libm1.so"), "m1_api");
  // imports: only what the table allows, with its version
  assert_int_equal(shell(fmt("nm -uD %s | awk '{print $NF}' | sort > %s; awk '!/^#/ && NF {print $1 \"@\" $3}' %s/runtime/imports.txt |"
                             " sort | comm -13 - %s | grep .",
                             path("libm1.so"), path("imports"), SOURCE_DIR, path("imports"))),
                   1);
  assert_int_equal(shell(fmt("test \"$(nm -D --defined-only %s | awk '{print $NF}')\" = m1_api", path("libm1.so"))), 0);
  assert_int_equal(shell(fmt("readelf -lW %s | grep -q 'LOAD.*RWE'", path("libm1.so"))), 1);
  assert_int_equal(shell(fmt("strip %s", path("libm1.so"))), 0);
  assert_int_equal(shell(fmt("cp %s %s", path("libm1.so"), path("stripped.so"))), 0);
  load(path("stripped.so"), "m1_api");
}
static void test_so(void **state) { (void)state, shared_object(NULL); }
static void test_so_lld(void **state) {
  (void)state;
  const char *why;
  if (!linker_find("ld.lld-19", &why)) skip();
  shared_object("ld.lld-19");
}
// A library closed before its model: the helpers keep it mapped, the last release unmaps the code it is called from.
static void test_dlclose(void **state) {
  (void)state;
  write_model("m8", ARTIFACT_SO, path("libm8.so"), NULL);
  void *dl = dlopen(path("libm8.so"), RTLD_NOW | RTLD_LOCAL);
  assert_non_null(dl);
  tenon_api_fn get;
  *(void **)&get = dlsym(dl, "m8_api");
  const tenon_api *api = get(TENON_ABI);
  tenon_model *m;
  tenon_ctx *c;
  tenon_open o = {.size = sizeof o, .threads = 2};
  assert_int_equal(api->open(&o, &m, NULL), 0);
  assert_int_equal(api->context(m, &c, NULL), 0);
  static float x[60 * 3];
  int64_t shape[2] = {60, 3};
  tenon_value in = tenon_dense(x, 0, kDLFloat, 32, 2, shape), out[2] = {{.kind = TENON_TENSOR}, {.kind = TENON_TENSOR}};
  assert_int_equal(api->run(c, &in, out, NULL), 0);
  void (*release)(tenon_ctx *) = api->release;
  tenon_status (*run)(tenon_ctx *, const tenon_value *, tenon_value *, const tenon_run *) = api->run;
  api->close(m);
  assert_int_equal(dlclose(dl), 0);
  for (int i = 0; i < 20; i++) assert_int_equal(run(c, &in, out, NULL), 0);
  release(c);
  assert_int_equal(shell(fmt("grep -q libm8.so /proc/%d/maps", (int)getpid())), 1);
}
static void test_same_bytes(void **state) {
  (void)state;
  write_model("m1", ARTIFACT_SO, path("a.so"), NULL);
  write_model("m1", ARTIFACT_SO, path("b.so"), NULL);
  assert_int_equal(shell(fmt("cmp %s %s", path("a.so"), path("b.so"))), 0);
}
static void test_exe(void **state) {
  (void)state;
  write_model("m2", ARTIFACT_EXE, path("m2"), NULL);
  const char *m = path("m2");
  assert_int_equal(shell(fmt("%s info | grep -q 'input in/x: tensor(float) \\[N,3\\]  N: 1..64'", m)), 0);
  assert_int_equal(shell(fmt("%s selftest | grep -q '^ok'", m)), 0);
  assert_int_equal(shell(fmt("%s bench --dim N=7 --seconds 0.1 --json | grep -q '\"median_us\":.*\"threads\":'", m)), 0);
  FILE *f = fopen(path("x.npy"), "wb"); // two rows
  char h[128];
  memset(h, ' ', sizeof h), h[127] = '\n';
  memcpy(h, "\x93NUMPY\1\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 10 + 59);
  fwrite(h, 1, sizeof h, f), fwrite((float[]){1, 0, 0, 0, 0, -1}, 4, 6, f), fclose(f);
  assert_int_equal(shell(fmt("%s run --input in/x=%s | grep -q '^y: float \\[2,4\\] 1 2 3 4 -9 -10 -11 -12'", m, path("x.npy"))), 0);
  assert_int_equal(shell(fmt("%s run %s --output-dir %s", m, path("x.npy"), path("out"))), 0);
  f = fopen(path("one"), "wb");
  fwrite((float[]){1, 0, 0}, 4, 3, f), fclose(f);
  assert_int_equal(shell(fmt("cmp -n 12 -i 128:0 %s %s", path("out/output_1.npy"), path("one"))), 0);
  assert_int_equal(shell(fmt("%s run --input '#0=%s' --output-dir %s --output-format pb", m, path("x.npy"), path("out"))), 0);
  assert_int_equal(read_file(path("out/output_0.pb")).n, 2 + 2 + 2 + 3 + 2 + 32);
  assert_int_equal(shell(fmt("%s 2>/dev/null", m)), 2);
  assert_int_equal(shell(fmt("%s run 2>/dev/null", m)), 4);
  assert_int_equal(shell(fmt("%s run /nonexistent 2>/dev/null", m)), 3);
  assert_int_equal(shell(fmt("%s run %s --output-dir /nonexistent/x 2>/dev/null", m, path("x.npy"))), 7);
  assert_int_equal(shell(fmt("%s bench --dim Q=7 2>/dev/null", m)), 2);
  assert_int_equal(shell(fmt("%s bench --dim N=65 2>/dev/null", m)), 4);
}
static void test_static(void **state) {
  (void)state;
  write_model("m3", ARTIFACT_STATIC, path("libm3.a"), NULL);
  write_model("m4", ARTIFACT_STATIC, path("libm4.a"), NULL);
  FILE *f = fopen(path("host.c"), "w");
  fprintf(f, "#include \"m3.h\"\n#include \"m4.h\"\n"
             "const tenon_api *get(int k) { return k ? m3_api(TENON_ABI) : m4_api(TENON_ABI); }\n"
             "int typed(tenon_ctx *c, const float *x, float *y) { (void)c, (void)x, (void)y; return M3_IN_IN_X + M4_N_OUT; }\n");
  fclose(f);
  assert_int_equal(shell(fmt("cc -Wall -Wextra -Werror -I%s -I%s/runtime/include -fPIC -shared %s %s %s -lpthread -ldl -o %s", dir,
                             SOURCE_DIR, path("host.c"), path("libm3.a"), path("libm4.a"), path("host.so"))),
                   0);
  void *dl = dlopen(path("host.so"), RTLD_NOW | RTLD_LOCAL);
  if (!dl) fail_msg("%s", dlerror());
  const tenon_api *(*get)(int);
  *(void **)&get = dlsym(dl, "get");
  expect(get(0)), expect(get(1));
  assert_int_equal(shell(fmt("test \"$(nm %s | grep -c 'tn_.*_context$')\" = 1", path("host.so"))), 0); // one runtime for both
}
static void test_object(void **state) {
  (void)state;
  write_model("m5", ARTIFACT_OBJ, path("m5.o"), NULL);
  assert_int_equal(shell(fmt("cc -shared %s %s -lpthread -ldl -o %s", path("m5.o"), path("libm3.a"), path("m5.so"))), 0);
  load(path("m5.so"), "m5_api");
}
static void run_bad(void *linker) { write_model("m6", ARTIFACT_SO, path("no/libm6.so"), linker); }
static void silent(const Diagnostic *d) { (void)d; }
static void test_failures(void **state) {
  (void)state;
  diagnostic_sink = silent;
  assert_int_equal(protect(run_bad, NULL), EXIT_OUTPUT);
  assert_int_equal(protect(run_bad, "/nonexistent/ld"), EXIT_OUTPUT);
}
static void test_header(void **state) {
  (void)state;
  write_model("m7", ARTIFACT_SO, path("libm7.so"), NULL);
  assert_int_equal(shell(fmt("grep -q M7_N_MAX %s", path("m7.h"))), 0);
  assert_int_equal(
      shell(fmt("printf '#include \"m7.h\"\\n' > %s && c++ -std=c++11 -Wall -Wextra -Werror -pedantic -I%s/runtime/include -I%s "
                "-fsyntax-only -x c++ %s",
                path("h.c"), SOURCE_DIR, dir, path("h.c"))),
      0);
}
// Layouts with a halo, pad lanes and small elements, against a plain definition.
static void test_packing(void **state) {
  (void)state;
  float src[2 * 5];
  for (int i = 0; i < 10; i++) src[i] = (float)i;
  static const Layout lay = {.n = 3, .axis = {1, 0, 1}, .div = {4, 1, 1}, .mod = {0, 0, 4}, .lo = {1, 0}, .hi = {0, 0}, .fill = -1};
  Program *p = NEW(Program);
  HBuf *b = NEW(HBuf), *c = NEW(HBuf);
  static const unsigned char nibbles[3] = {0x21, 0x43, 0x65};
  static const Layout turned = {.n = 2, .axis = {1, 0}, .div = {1, 1}, .mod = {0, 0}};
  *b = (HBuf){.place = PLACE_CONST, .coffset = 8, .data = tensor_new(DT_F32, 2, (int64_t[]){2, 5}, src), .lay = &lay};
  *c = (HBuf){.place = PLACE_CONST, .coffset = 128, .data = tensor_new(DT_U4, 2, (int64_t[]){2, 3}, nibbles), .lay = &turned};
  PUSH(p->buf, p->nbuf, p->cbuf, b);
  PUSH(p->buf, p->nbuf, p->cbuf, c);
  FILE *f = fopen(path("packed"), "w+b");
  assert_true(weights_write(fileno(f), 0, p));
  fclose(f);
  const char *got = read_file(path("packed")).p;
  for (int panel = 0, k = 0; panel < 2; panel++)
    for (int r = -1; r < 2; r++)
      for (int l = 0; l < 4; l++, k++) {
        int n = panel * 4 + l;
        float want = r < 0 || n >= 5 ? -1 : src[r * 5 + n], x;
        memcpy(&x, got + 8 + 4 * k, 4);
        assert_true(x == want);
      }
  assert_memory_equal(got + 128, "\x41\x52\x63", 3);
}
static void test_sha256(void **state) {
  (void)state;
  Sha256 s;
  char hex[65];
  sha256_start(&s), sha256_add(&s, "abc", 3), sha256_hex(&s, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
int main(void) {
  snprintf(dir, sizeof dir, "%s/artifactXXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(dir)) return 1;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_so),      cmocka_unit_test(test_so_lld),   cmocka_unit_test(test_same_bytes),
                                     cmocka_unit_test(test_dlclose), cmocka_unit_test(test_exe),      cmocka_unit_test(test_static),
                                     cmocka_unit_test(test_object),  cmocka_unit_test(test_failures), cmocka_unit_test(test_header),
                                     cmocka_unit_test(test_packing), cmocka_unit_test(test_sha256)};
  int bad = cmocka_run_group_tests(tests, NULL, NULL);
  return shell(fmt("rm -rf '%s'", dir)) || bad;
}
