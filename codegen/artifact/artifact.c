// artifact.c - from a planned program and its objects to the files a user gets: shared object, executable, archive or object, and the
// header. Before: memory is planned, constants have offsets. After: the complete files are in place under their names; after a failure,
// what was there before.
#include "codegen/artifact/artifact.h"
#include "rt_hash.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *artifact_rt_hash(void) { return RT_HASH; }
static Blob blob(const char *from, const char *to) { return (Blob){from, (size_t)(to - from)}; }
static Blob core_blob(void) { return blob(tenon_rt_core, tenon_rt_core_end); }
static Blob main_blob(void) { return blob(tenon_rt_main, tenon_rt_main_end); }

// What else of the runtime a program needs: the parts whose functions it calls, with their names in an archive.
enum { MAX_PARTS = 3 };
typedef struct Part {
  const char *name;
  Blob blob;
} Part;
static bool calls_openblas(const Program *p) { return host_calls(p->body, "gemm_openblas"); }
static int parts(const Program *p, Part *to) {
  int n = 0;
  if (host_calls(p->body, NULL)) to[n++] = (Part){"th", blob(tenon_rt_host, tenon_rt_host_end)};
  if (calls_openblas(p)) to[n++] = (Part){"tb", blob(tenon_rt_openblas, tenon_rt_openblas_end)};
  if (host_calls(p->body, "image_decoder")) to[n++] = (Part){"ti", blob(tenon_rt_image, tenon_rt_image_end)};
  return n;
}
static void check(const Program *p, const ArtifactOptions *o) {
  const char *s = o->name;
  bool ok = *s && strlen(s) <= 63 && !(*s >= '0' && *s <= '9');
  for (; *s && ok; s++) ok = ((*s | 32) >= 'a' && (*s | 32) <= 'z') || (*s >= '0' && *s <= '9') || *s == '_';
  if (!ok) fail(EXIT_USAGE, "name.invalid", NOWHERE, "'%s' cannot be the prefix of symbols: use --name=ID", o->name);
  if (o->target->triple && strncmp(o->target->triple, "x86_64", 6))
    fail(EXIT_UNSUPPORTED, "target.artifact", NOWHERE, "artifacts for %s cannot be written yet", o->target->triple);
  for (int i = 0; i < p->nin; i++)
    if (p->in[i].pair >= 0)
      report(LEVEL_ERROR, EXIT_UNSUPPORTED, "state.pair", NOWHERE, "input '%s': state that is updated in place is not supported yet",
             p->in[i].name);
  check_reports();
  for (int i = 0; i < p->nout; i++) {
    const HIo *io = &p->out[i];
    bool exact = io->buf && io->buf->place == PLACE_OUTPUT && io->buf->exact;
    for (int a = 0; exact && io->type->kind == TYPE_TENSOR && a < io->type->rank; a++)
      if (dim_code(p, io->type->dim[a], true) == -(int64_t)p->nsym - 1)
        bug("output '%s' is exact, but its dim %s is no entry symbol", io->name, io->type->dim[a] ? ix_str(io->type->dim[a]) : "?");
  }
}
static const char *build_id(const Program *p, const ArtifactOptions *o, int n, const Blob *obj) {
  Sha256 s;
  char hex[65];
  sha256_start(&s);
  for (int i = 0; i < n; i++) sha256_add(&s, obj[i].p, obj[i].n);
  const char *more[] = {o->name, RT_HASH, p->source_sha256 ? p->source_sha256 : ""};
  for (int i = 0; i < 3; i++) sha256_add(&s, more[i], strlen(more[i]) + 1);
  sha256_hex(&s, hex);
  return fmt("%.40s", hex);
}

/* ---- the kinds; each fills the temporary file, or says why not ---- */
typedef struct Job {
  Program *p;
  const ArtifactOptions *o;
  const Blob *obj; // the model's: kernels and program, tables
  int nobj;
  const char *tmp, *why;
} Job;
static const char *os_error(const char *what) { return fmt("cannot %s: %s", what, strerror(errno)); }

static bool make_archive(Job *j) {
  Member *m = NEWN(Member, j->nobj + 2 + MAX_PARTS);
  Part part[MAX_PARTS];
  int n = 0, nparts = parts(j->p, part);
  for (int i = 0; i < j->nobj; i++) m[n++] = (Member){fmt("%.8s_%d.o", j->o->name, i), j->obj[i], false};
  if (j->p->weights) m[n++] = (Member){"weights.o", elf_weights(fmt("%s_weights", j->o->name), (uint64_t)j->p->weights, false), true};
  m[n++] = (Member){fmt("tn_%.8s.o", RT_HASH), core_blob(), false};
  for (int i = 0; i < nparts; i++) m[n++] = (Member){fmt("%s_%.8s.o", part[i].name, RT_HASH), part[i].blob, false};
  int fd = open(j->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool ok = fd >= 0 && ar_write(fd, n, m, j->p);
  if (fd >= 0 && close(fd)) ok = false;
  if (!ok) j->why = os_error("write the archive");
  return ok;
}
static bool place_weights(Job *j) {
  if (!j->p->weights) return true;
  int fd = open(j->tmp, O_RDWR | O_CLOEXEC);
  if (fd < 0) return j->why = os_error("open what the linker wrote"), false;
  int64_t at = elf_place_weights(fd, (uint64_t)j->p->weights);
  bool ok = at >= 0 && weights_write(fd, at, j->p);
  if (at < 0) j->why = "the linker did not leave the weights' section as the script asks";
  else if (!ok) j->why = os_error("write the weights");
  if (close(fd) && ok) ok = false, j->why = os_error("write the weights");
  return ok;
}
static bool make_linked(Job *j) {
  Blob *obj = NEWN(Blob, j->nobj + 3 + MAX_PARTS);
  Part part[MAX_PARTS];
  int n = 0, nparts = j->o->kind == ARTIFACT_OBJ ? 0 : parts(j->p, part);
  for (; n < j->nobj; n++) obj[n] = j->obj[n];
  if (j->p->weights) obj[n++] = elf_weights(fmt("%s_weights", j->o->name), (uint64_t)j->p->weights, true);
  if (j->o->kind != ARTIFACT_OBJ) obj[n++] = core_blob();
  for (int i = 0; i < nparts; i++) obj[n++] = part[i].blob;
  if (j->o->kind == ARTIFACT_EXE) obj[n++] = main_blob();
  LinkJob l = {j->o->kind,
               linker_find(j->o->linker, &j->why),
               j->o->name,
               j->tmp,
               build_id(j->p, j->o, j->nobj, j->obj),
               n,
               obj,
               j->p->weights > 0,
               calls_openblas(j->p)};
  return l.linker && link_run(&l, &j->why) && place_weights(j);
}
_Noreturn static void give_up(const Job *j) {
  unlink(j->tmp);
  fail(EXIT_OUTPUT, "output.artifact", NOWHERE, "%s: %s", j->o->out, j->why ? j->why : "cannot be written");
}
static void write_header(const Program *p, const ArtifactOptions *o) {
  Text t = {0};
  const char *slash = strrchr(o->out, '/');
  const char *path = fmt("%.*s%s.h", slash ? (int)(slash + 1 - o->out) : 0, o->out, o->name), *tmp = fmt("%s.tmp%d", path, (int)getpid());
  header_text((Program *)p, o, &t);
  int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  bool ok = fd >= 0 && write_at(fd, t.p, t.n, 0);
  if (fd >= 0 && close(fd)) ok = false;
  if (ok && !rename(tmp, path)) return;
  const char *why = strerror(errno);
  unlink(tmp);
  fail(EXIT_OUTPUT, "output.header", NOWHERE, "%s: cannot be written: %s", path, why);
}
void artifact_write(Program *p, int nobj, const Blob *obj, const ArtifactOptions *o) {
  check(p, o);
  Blob *all = NEWN(Blob, nobj + 1);
  memcpy(all, obj, (size_t)nobj * sizeof *obj);
  all[nobj] = tables_object(p, o, info_json(p, o));
  Job j = {p, o, all, nobj + 1, fmt("%s.tmp%d", o->out, (int)getpid()), NULL};
  bool ok = o->kind == ARTIFACT_STATIC ? make_archive(&j) : make_linked(&j);
  if (!ok) give_up(&j);
  if (o->kind == ARTIFACT_SO || o->kind == ARTIFACT_STATIC) write_header(p, o); // first: a library whose header is missing is no use
  if (rename(j.tmp, o->out)) {
    j.why = os_error("rename the finished file");
    give_up(&j);
  }
}
