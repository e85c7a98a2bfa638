// external.c - the only place that opens a file whose name a model gives.
// The name must be relative, without "..", and lead to a regular file beneath the model's directory without passing a symbolic link or
// having a second name. Only --external-data=DIR loosens this: links are followed if the file that was opened lies beneath DIR.
#include "import.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Mapping {
  Sym location;
  const uint8_t *p;
  int64_t n;
  struct Mapping *next;
} Mapping;
static Mapping *mappings;

static void unmap_all(void) {
  for (Mapping *m = mappings; m; m = m->next)
    if (m->n) munmap((void *)(uintptr_t)m->p, (size_t)m->n);
  mappings = NULL;
}

_Noreturn static void refuse(const Where *w, const char *location, const char *why) {
  fail(EXIT_INVALID, "external.refused", w, "external data '%s': %s", location, why);
}

static void check_location(const char *s, const Where *w) {
  if (!*s) refuse(w, s, "the location is empty");
  if (*s == '/') refuse(w, s, "an absolute path is not allowed");
  for (const char *p = s; *p;) {
    size_t n = strcspn(p, "/");
    if (n == 2 && p[0] == '.' && p[1] == '.') refuse(w, s, "'..' is not allowed");
    p += n;
    while (*p == '/') p++;
  }
}

// Opens one component after the other, following no link. -1: errno says why.
static int open_beneath(const char *dir, const char *location) {
  int at = open(*dir ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  while (at >= 0) {
    size_t n = strcspn(location, "/");
    char *part = fmt("%.*s", (int)n, location);
    const char *rest = location + n;
    while (*rest == '/') rest++;
    int flags = *rest ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK;
    int next = openat(at, part, flags | O_NOFOLLOW | O_CLOEXEC);
    int error = errno;
    close(at);
    errno = error;
    if (!*rest) return next;
    at = next;
    location = rest;
  }
  return -1;
}

static bool beneath(const char *path, const char *dir) {
  char real[PATH_MAX];
  if (!realpath(dir, real)) return false;
  size_t n = strlen(real);
  return !strncmp(path, real, n) && (path[n] == '/' || n == 1);
}

// Opens the file wherever links lead, then asks the kernel where that was.
static int open_allowed(const Importer *im, const char *location) {
  for (int k = 0; k < im->options->ndirs; k++) {
    const char *tries[] = {fmt("%s/%s", *im->dir ? im->dir : ".", location), fmt("%s/%s", im->options->dirs[k], location)};
    for (int t = 0; t < 2; t++) {
      char real[PATH_MAX];
      int fd = open(tries[t], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
      if (fd < 0) continue;
      ssize_t n = readlink(fmt("/proc/self/fd/%d", fd), real, sizeof real - 1);
      real[n < 0 ? 0 : n] = 0;
      if (n > 0 && beneath(real, im->options->dirs[k])) return fd;
      close(fd);
    }
  }
  return -1;
}

static const Mapping *map_location(Importer *im, const char *name, const Where *w) {
  Sym location = sym(name);
  for (Mapping *m = mappings; m; m = m->next)
    if (m->location == location) return m;
  check_location(location, w);
  if (!im->dir) refuse(w, location, "this model has no directory");
  struct stat st;
  bool loose = false;
  int fd = open_beneath(im->dir, location), error = errno;
  if (fd < 0) loose = (fd = open_allowed(im, location)) >= 0;
  if (fd < 0 && (error == ELOOP || error == ENOTDIR))
    refuse(w, location, "it is reached through a symbolic link; --external-data=DIR names the directory where such files may lie");
  if (fd < 0) fail(EXIT_IO, "external.open", w, "external data '%s': %s", location, strerror(error));
  if (fstat(fd, &st)) fail(EXIT_IO, "external.open", w, "external data '%s': %s", location, strerror(errno));
  if (!S_ISREG(st.st_mode)) refuse(w, location, "it is not a regular file");
  if (!loose && st.st_nlink > 1) refuse(w, location, "the file has several names; --external-data=DIR allows that");
  Mapping *m = NEW(Mapping);
  *m = (Mapping){.location = location, .p = (const uint8_t *)"", .n = st.st_size, .next = mappings};
  if (m->n) m->p = mmap(NULL, (size_t)m->n, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (m->p == MAP_FAILED) fail(EXIT_IO, "external.map", w, "external data '%s': %s", location, strerror(errno));
  at_reset(unmap_all);
  return mappings = m;
}

static int64_t decimal(const char *s, const char *key, const Where *w) {
  char *end;
  errno = 0;
  long long v = strtoll(s, &end, 10);
  if (*s < '0' || *s > '9' || *end || errno) fail(EXIT_INVALID, "external.malformed", w, "external data: %s '%s' is not a number", key, s);
  return v;
}

const uint8_t *external_bytes(Importer *im, const Onnx__TensorProto *t, int64_t *n, const Where *w) {
  const char *location = NULL;
  int64_t offset = 0, length = -1;
  for (size_t k = 0; k < t->n_external_data; k++) {
    const char *key = t->external_data[k]->key, *v = t->external_data[k]->value;
    if (!key) key = "";
    if (!v) v = "";
    if (!strcmp(key, "location")) location = v;
    else if (!strcmp(key, "offset")) offset = decimal(v, key, w);
    else if (!strcmp(key, "length")) length = decimal(v, key, w);
    else if (strcmp(key, "checksum") && strcmp(key, "basepath"))
      fail(EXIT_INVALID, "external.malformed", w, "external data: unknown key '%s'", key);
  }
  if (!location) refuse(w, "", "the location is missing");
  const Mapping *m = map_location(im, location, w);
  if (length < 0) length = offset <= m->n ? m->n - offset : 0;
  if (offset > m->n || length > m->n - offset)
    fail(EXIT_INVALID, "external.malformed", w, "external data '%s': %lld bytes at %lld of a file of %lld", location, (long long)length,
         (long long)offset, (long long)m->n);
  *n = length;
  return m->p + offset;
}
