// object.c - a relocatable ELF object, section by section. x86-64, little endian: the machine number and the relocation types that callers
// pass are all that would differ elsewhere.
#include "codegen/artifact/artifact.h"
#include <elf.h>
#include <string.h>

enum { MAX_SECTIONS = 12 };
typedef struct Section {
  const char *name;
  Elf64_Shdr head;
  Text bytes;
  Elf64_Rela *rela;
  int nrela, crela, local; // local: its section symbol, 0 none yet
} Section;
struct Obj {
  int nsec, nsym, csym, nlocal;
  Section sec[MAX_SECTIONS];
  struct ObjSym {
    const char *name;
    Elf64_Sym s;
  } *sym;
};

Obj *obj_new(void) {
  Obj *o = NEW(Obj);
  o->nsec = 1; // section 0 is none
  PUSH(o->sym, o->nsym, o->csym, (struct ObjSym){0});
  return o;
}
int obj_section(Obj *o, const char *name, uint32_t type, uint64_t flags, uint64_t align) {
  if (o->nsec == MAX_SECTIONS) bug("object: too many sections");
  o->sec[o->nsec] = (Section){.name = name, .head = {.sh_type = type, .sh_flags = flags, .sh_addralign = align}};
  return o->nsec++;
}
static void pad(Text *t, uint64_t align) {
  static const char zero[WEIGHTS_ALIGN];
  if (align > 1 && t->n % align) put_n(t, zero, align - t->n % align);
}
uint64_t obj_put(Obj *o, int section, const void *p, uint64_t n, uint64_t align) {
  Text *t = &o->sec[section].bytes;
  pad(t, align);
  uint64_t at = t->n;
  put_n(t, p ? p : mem(n ? n : 1), n);
  return at;
}
void *obj_bytes(Obj *o, int section) { return o->sec[section].bytes.p; }
void obj_nobits(Obj *o, int section, uint64_t size) { o->sec[section].head.sh_size = size; }
int obj_local(Obj *o, int section) {
  Section *s = &o->sec[section];
  if (s->local) return s->local;
  Elf64_Sym y = {.st_info = ELF64_ST_INFO(STB_LOCAL, STT_SECTION), .st_shndx = (uint16_t)section};
  PUSH(o->sym, o->nsym, o->csym, (struct ObjSym){NULL, y});
  return s->local = o->nsym - 1;
}
int obj_global(Obj *o, const char *name, int section, uint64_t at, uint64_t size, bool function, bool hidden) {
  Elf64_Sym y = {.st_info = ELF64_ST_INFO(STB_GLOBAL, section ? (function ? STT_FUNC : STT_OBJECT) : STT_NOTYPE),
                 .st_other = hidden ? STV_HIDDEN : STV_DEFAULT,
                 .st_shndx = (uint16_t)section,
                 .st_value = at,
                 .st_size = size};
  PUSH(o->sym, o->nsym, o->csym, (struct ObjSym){name, y});
  return o->nsym - 1;
}
void obj_reloc(Obj *o, int section, uint64_t at, uint32_t type, int symbol, int64_t addend) {
  Section *s = &o->sec[section];
  PUSH(s->rela, s->nrela, s->crela, (Elf64_Rela){at, ELF64_R_INFO((uint64_t)symbol, type), addend});
}

static uint32_t put_name(Text *t, const char *s) {
  if (!t->n) put_n(t, "", 1);
  uint32_t at = (uint32_t)t->n;
  put_n(t, s, strlen(s) + 1);
  return at;
}
// ELF wants local symbols first; relocations follow the new numbers.
static int *order_symbols(Obj *o, int *nlocal) {
  int *to = NEWN(int, o->nsym), n = 0;
  struct ObjSym *sorted = NEWN(struct ObjSym, o->nsym);
  for (int global = 0; global < 2; global++) {
    for (int i = 0; i < o->nsym; i++)
      if ((ELF64_ST_BIND(o->sym[i].s.st_info) == STB_GLOBAL) == global) to[i] = n, sorted[n++] = o->sym[i];
    if (!global) *nlocal = n;
  }
  o->sym = sorted;
  return to;
}
static void renumber(Section *s, const int *to) {
  for (int i = 0; i < s->nrela; i++)
    s->rela[i].r_info = ELF64_R_INFO((uint64_t)to[ELF64_R_SYM(s->rela[i].r_info)], ELF64_R_TYPE(s->rela[i].r_info));
}
static uint64_t put_section(Text *file, Elf64_Shdr *h, const void *p, uint64_t n) {
  pad(file, h->sh_addralign ? h->sh_addralign : 1);
  h->sh_offset = file->n, h->sh_size = n;
  put_n(file, p, n);
  return h->sh_offset;
}
Blob obj_finish(Obj *o, uint64_t payload_align) {
  Text file = {0}, names = {0}, strs = {0};
  Elf64_Shdr head[2 * MAX_SECTIONS + 4] = {0};
  int n = o->nsec, nlocal = 0, *to = order_symbols(o, &nlocal);
  put_n(&file, &(Elf64_Ehdr){0}, sizeof(Elf64_Ehdr));
  for (int i = 1; i < o->nsec; i++) {
    Section *s = &o->sec[i];
    head[i] = s->head, head[i].sh_name = put_name(&names, s->name);
    if (s->head.sh_type == SHT_NOBITS || payload_align) head[i].sh_offset = file.n;
    else put_section(&file, &head[i], s->bytes.p ? s->bytes.p : "", s->bytes.n);
  }
  int nrela = 0;
  for (int i = 1; i < o->nsec; i++) nrela += o->sec[i].nrela > 0;
  int symtab = o->nsec + nrela, strtab = symtab + 1, shstr = symtab + 2;
  for (int i = 1; i < o->nsec; i++) {
    Section *s = &o->sec[i];
    if (!s->nrela) continue;
    renumber(s, to);
    head[n] = (Elf64_Shdr){
        put_name(&names, fmt(".rela%s", s->name)), SHT_RELA, SHF_INFO_LINK, 0, 0, 0, (uint32_t)symtab, (uint32_t)i, 8, sizeof(Elf64_Rela)};
    put_section(&file, &head[n++], s->rela, (uint64_t)s->nrela * sizeof *s->rela);
  }
  Elf64_Sym *sym = NEWN(Elf64_Sym, o->nsym);
  put_n(&strs, "", 1);
  for (int i = 0; i < o->nsym; i++) {
    sym[i] = o->sym[i].s;
    if (o->sym[i].name) sym[i].st_name = put_name(&strs, o->sym[i].name);
  }
  head[symtab] = (Elf64_Shdr){put_name(&names, ".symtab"), SHT_SYMTAB, 0, 0, 0, 0, (uint32_t)strtab, (uint32_t)nlocal, 8, sizeof *sym};
  put_section(&file, &head[symtab], sym, (uint64_t)o->nsym * sizeof *sym);
  head[strtab] = (Elf64_Shdr){.sh_name = put_name(&names, ".strtab"), .sh_type = SHT_STRTAB, .sh_addralign = 1};
  put_section(&file, &head[strtab], strs.p, strs.n);
  head[shstr] = (Elf64_Shdr){.sh_name = put_name(&names, ".shstrtab"), .sh_type = SHT_STRTAB, .sh_addralign = 1};
  put_section(&file, &head[shstr], names.p, names.n);
  pad(&file, 8);
  uint64_t shoff = file.n;
  int total = shstr + 1;
  put_n(&file, head, (size_t)total * sizeof *head);
  if (payload_align) {
    pad(&file, payload_align);
    ((Elf64_Shdr *)(void *)(file.p + shoff))[1].sh_offset = file.n;
  }
  Elf64_Ehdr eh = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_REL,
                   .e_machine = EM_X86_64,
                   .e_version = 1,
                   .e_shoff = shoff,
                   .e_ehsize = sizeof eh,
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = (uint16_t)total,
                   .e_shstrndx = (uint16_t)shstr};
  memcpy(file.p, &eh, sizeof eh);
  return (Blob){file.p, file.n};
}
