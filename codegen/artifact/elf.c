// elf.c - the weights' object, stub libraries, and the patch that gives the NOBITS weights section its place in the linked file.
#include "codegen/artifact/artifact.h"
#include <elf.h>
#include <string.h>
#include <unistd.h>

Blob elf_weights(const char *symbol, uint64_t size, bool nobits) {
  Obj *o = obj_new();
  int w = obj_section(o, ".tnweights", nobits ? SHT_NOBITS : SHT_PROGBITS, SHF_ALLOC, WEIGHTS_ALIGN);
  obj_section(o, ".note.GNU-stack", SHT_PROGBITS, 0, 1);
  obj_nobits(o, w, size);
  obj_global(o, symbol, w, 0, size, false, true);
  return obj_finish(o, nobits ? 0 : WEIGHTS_ALIGN);
}

/* ---- stub libraries: names and versions and nothing behind them: what -z defs and the version table of the artifact need. Linkers read
   sections, not program headers, so there are none. ---- */
static uint32_t elf_hash(const char *s) {
  uint32_t h = 0, g;
  for (; *s; s++) h = (h << 4) + (unsigned char)*s, g = h & 0xf0000000, h = (h ^ g >> 24) & ~g;
  return h;
}
static uint32_t put_name(Text *t, const char *s) {
  if (!t->n) put_n(t, "", 1);
  uint32_t at = (uint32_t)t->n;
  put_n(t, s, strlen(s) + 1);
  return at;
}
static uint64_t put_aligned(Text *t, const void *p, uint64_t n, uint64_t align) {
  static const char zero[64];
  if (t->n % align) put_n(t, zero, align - t->n % align);
  uint64_t at = t->n;
  put_n(t, p, n);
  return at;
}
typedef struct Stub {
  Text str, verdef;
  Elf64_Sym *sym;
  Elf64_Half *ver, nver;
} Stub;
static void stub_tables(Stub *s, const char *soname, int n, const char *const *name, const char *const *version) {
  const char *seen[64] = {soname};
  s->sym = NEWN(Elf64_Sym, n + 1), s->ver = NEWN(Elf64_Half, n + 1), s->nver = 1;
  for (int i = 0; i < n; i++) {
    int v = 1;
    if (!strcmp(version[i], "-")) v = 0; // a name without version
    while (v && v < s->nver && strcmp(seen[v], version[i])) v++;
    if (v == s->nver) seen[s->nver++] = version[i];
    s->ver[i + 1] = (Elf64_Half)(v + 1); // 1 is the library itself
    s->sym[i + 1] = (Elf64_Sym){put_name(&s->str, name[i]), ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 6, 0, 1};
  }
  for (int v = 0; v < s->nver; v++) {
    Elf64_Verdef d = {1, v ? 0 : VER_FLG_BASE, (Elf64_Half)(v + 1), 1, elf_hash(seen[v]), sizeof d, 0};
    Elf64_Verdaux a = {put_name(&s->str, seen[v]), 0};
    if (v < s->nver - 1) d.vd_next = sizeof d + sizeof a;
    put_n(&s->verdef, &d, sizeof d), put_n(&s->verdef, &a, sizeof a);
  }
}
Blob elf_stub(const char *soname, int n, const char *const *name, const char *const *version) {
  Stub s = {0};
  Text b = {0}, sh = {0};
  stub_tables(&s, soname, n, name, version);
  Elf64_Dyn dyn[] = {{DT_SONAME, {put_name(&s.str, soname)}}, {DT_NULL, {0}}};
  uint64_t nsym = (uint64_t)n + 1;
  put_n(&b, &(Elf64_Ehdr){0}, sizeof(Elf64_Ehdr));
  uint64_t o_sym = put_aligned(&b, s.sym, sizeof *s.sym * nsym, 8), o_str = put_aligned(&b, s.str.p, s.str.n, 1);
  uint64_t o_ver = put_aligned(&b, s.ver, sizeof *s.ver * nsym, 2), o_vd = put_aligned(&b, s.verdef.p, s.verdef.n, 8);
  uint64_t o_dyn = put_aligned(&b, dyn, sizeof dyn, 8);
  Elf64_Shdr h[8] = {{0},
                     {put_name(&sh, ".dynsym"), SHT_DYNSYM, SHF_ALLOC, o_sym, o_sym, sizeof *s.sym * nsym, 2, 1, 8, sizeof *s.sym},
                     {put_name(&sh, ".dynstr"), SHT_STRTAB, SHF_ALLOC, o_str, o_str, s.str.n, 0, 0, 1, 0},
                     {put_name(&sh, ".gnu.version"), SHT_GNU_versym, SHF_ALLOC, o_ver, o_ver, sizeof *s.ver * nsym, 1, 0, 2, 2},
                     {put_name(&sh, ".gnu.version_d"), SHT_GNU_verdef, SHF_ALLOC, o_vd, o_vd, s.verdef.n, 2, s.nver, 8, 0},
                     {put_name(&sh, ".dynamic"), SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, o_dyn, o_dyn, sizeof dyn, 2, 0, 8, sizeof *dyn},
                     {put_name(&sh, ".text"), SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, 0, b.n, 16, 0, 0, 1, 0},
                     {put_name(&sh, ".shstrtab"), SHT_STRTAB, 0, 0, 0, 0, 0, 0, 1, 0}};
  h[7].sh_size = sh.n, h[7].sh_offset = put_aligned(&b, sh.p, sh.n, 1);
  uint64_t shoff = put_aligned(&b, h, sizeof h, 8);
  Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_DYN,
                   .e_machine = EM_X86_64,
                   .e_version = 1,
                   .e_shoff = shoff,
                   .e_ehsize = sizeof eh,
                   .e_shentsize = sizeof *h,
                   .e_shnum = 8,
                   .e_shstrndx = 7};
  memcpy(b.p, &eh, sizeof eh);
  return (Blob){b.p, b.n};
}

/* ---- the linker laid out .tnweights as NOBITS, last, alone in a read-only segment: give both the bytes at the end of the file ---- */
static bool read_at(int fd, void *p, size_t n, uint64_t at) { return pread(fd, p, n, (off_t)at) == (ssize_t)n; }
static bool find_weights(int fd, const Elf64_Ehdr *eh, Elf64_Shdr *w, uint64_t *w_at) {
  Elf64_Shdr str;
  if (!read_at(fd, &str, sizeof str, eh->e_shoff + sizeof str * eh->e_shstrndx)) return false;
  for (int i = 1; i < eh->e_shnum; i++) {
    char name[11];
    *w_at = eh->e_shoff + sizeof *w * (unsigned)i;
    if (!read_at(fd, w, sizeof *w, *w_at)) return false;
    if (read_at(fd, name, sizeof name, str.sh_offset + w->sh_name) && !memcmp(name, ".tnweights", sizeof name)) return true;
  }
  return false;
}
static bool place_segment(int fd, const Elf64_Ehdr *eh, const Elf64_Shdr *w, uint64_t at, uint64_t size) {
  for (int i = 0; i < eh->e_phnum; i++) {
    Elf64_Phdr p;
    uint64_t p_at = eh->e_phoff + sizeof p * (unsigned)i;
    if (!read_at(fd, &p, sizeof p, p_at)) return false;
    if (p.p_type != PT_LOAD || p.p_vaddr != w->sh_addr || p.p_filesz || p.p_memsz != size || p.p_vaddr % WEIGHTS_ALIGN) continue;
    p.p_offset = at, p.p_filesz = size, p.p_flags = PF_R, p.p_align = WEIGHTS_ALIGN;
    return write_at(fd, &p, sizeof p, (int64_t)p_at);
  }
  return false;
}
int64_t elf_place_weights(int fd, uint64_t size) {
  Elf64_Ehdr eh;
  Elf64_Shdr w;
  uint64_t w_at, end = (uint64_t)lseek(fd, 0, SEEK_END);
  if (!read_at(fd, &eh, sizeof eh, 0) || !find_weights(fd, &eh, &w, &w_at) || w.sh_type != SHT_NOBITS || w.sh_size != size) return -1;
  end = (end + WEIGHTS_ALIGN - 1) / WEIGHTS_ALIGN * WEIGHTS_ALIGN;
  if (eh.e_type != ET_REL && !place_segment(fd, &eh, &w, end, size)) return -1;
  w.sh_type = SHT_PROGBITS, w.sh_offset = end;
  if (!write_at(fd, &w, sizeof w, (int64_t)w_at) || ftruncate(fd, (off_t)(end + size))) return -1;
  return (int64_t)end;
}
