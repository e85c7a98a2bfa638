// ar.c - static archives: GNU's format with a symbol index, no dates, no owners, so equal inputs give equal bytes.
#include "codegen/artifact/artifact.h"
#include <elf.h>
#include <string.h>
#include <unistd.h>

static void be(Text *t, uint64_t v, int bytes) {
  for (int i = bytes - 1; i >= 0; i--) put_n(t, &(char){(char)(v >> 8 * i)}, 1);
}
// Names of the defined global symbols, one behind the other.
static int globals(const Member *m, Text *names) {
  const char *p = m->head.p;
  const Elf64_Ehdr *eh = (const void *)p;
  const Elf64_Shdr *sh = (const void *)(p + eh->e_shoff);
  int n = 0;
  for (int i = 0; i < eh->e_shnum; i++) {
    if (sh[i].sh_type != SHT_SYMTAB) continue;
    const Elf64_Sym *s = (const void *)(p + sh[i].sh_offset);
    for (uint64_t k = sh[i].sh_info; k < sh[i].sh_size / sizeof *s; k++) {
      if (s[k].st_shndx == SHN_UNDEF) continue;
      const char *name = p + sh[sh[i].sh_link].sh_offset + s[k].st_name;
      put_n(names, name, strlen(name) + 1), n++;
    }
  }
  return n;
}
static void head(Text *t, const char *name, uint64_t size) {
  put(t, "%-16s%-12d%-6d%-6d%-8s%-10llu`\n", name, 0, 0, 0, "644", (unsigned long long)size);
}
static uint64_t member_size(const Member *m, const Program *p) { return m->head.n + (m->weights ? (uint64_t)p->weights : 0); }
static void put_index(Text *t, int n, const Member *m, const Program *p) {
  Text names = {0};
  int *count = NEWN(int, n), total = 0;
  uint64_t all = 0;
  for (int i = 0; i < n; i++) total += count[i] = globals(&m[i], &names), all += member_size(&m[i], p) + 64;
  int wide = all + names.n > 0xf0000000u ? 8 : 4; // /SYM64/ from 4 GiB on
  uint64_t size = (uint64_t)wide * (uint64_t)(total + 1) + names.n, at = 8 + 60 + size + (size & 1);
  head(t, wide == 8 ? "/SYM64/" : "/", size);
  be(t, (uint64_t)total, wide);
  for (int i = 0; i < n; i++) {
    uint64_t bytes = member_size(&m[i], p);
    for (int k = 0; k < count[i]; k++) be(t, at, wide);
    at += 60 + bytes + (bytes & 1);
  }
  put_n(t, names.p ? names.p : "", names.n);
  if (size & 1) put_n(t, "\n", 1);
}
static bool flush(int fd, Text *t, int64_t *at) {
  bool ok = write_at(fd, t->p, t->n, *at);
  *at += (int64_t)t->n, t->n = 0;
  return ok;
}
bool ar_write(int fd, int n, const Member *m, Program *p) {
  Text t = {0};
  int64_t at = 0;
  put_n(&t, "!<arch>\n", 8);
  put_index(&t, n, m, p);
  for (int i = 0; i < n; i++) {
    uint64_t size = member_size(&m[i], p);
    head(&t, fmt("%.14s/", m[i].name), size);
    if (!flush(fd, &t, &at) || !write_at(fd, m[i].head.p, m[i].head.n, at)) return false;
    at += (int64_t)m[i].head.n;
    if (m[i].weights && !weights_write(fd, at, p)) return false;
    at += (int64_t)(size - m[i].head.n);
    if (size & 1) put_n(&t, "\n", 1);
  }
  return (!t.n || flush(fd, &t, &at)) && !ftruncate(fd, at);
}
