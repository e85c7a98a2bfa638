// link.c - spawns the linker. Its inputs are memfds it inherits and opens as /proc/self/fd/N: no temporary directory, nothing to clean up
// after a crash, and no path of ours can reach the output. The output appears under a temporary name beside its place.
#include "codegen/artifact/artifact.h"
#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// Segments: headers and read-only data, text, read-write (relro first, filled up to its page), weights. One script for both linkers.
// GNU ld makes relro only where all three DATA_SEGMENT_* are; .plt, .plt.got and .plt.sec are apart because its FDE for each starts at
// its section.
static const char script[] =
    "PHDRS { %s ro PT_LOAD FILEHDR PHDRS FLAGS(4); tx PT_LOAD FLAGS(5); rw PT_LOAD FLAGS(6); %s\n"
    "  dyn PT_DYNAMIC FLAGS(6); rel PT_GNU_RELRO FLAGS(4); eh PT_GNU_EH_FRAME FLAGS(4); st PT_GNU_STACK FLAGS(6); note PT_NOTE FLAGS(4); "
    "}\n"
    "SECTIONS { . = SIZEOF_HEADERS;\n"
    " %s\n"
    " .note.gnu.build-id : { *(.note.gnu.build-id) } :ro :note\n"
    " .note.tenon : { KEEP(*(.note.tenon)) } :ro :note\n"
    " .dynsym : { *(.dynsym) } :ro\n"
    " .gnu.version : { *(.gnu.version) } .gnu.version_d : { *(.gnu.version_d) } .gnu.version_r : { *(.gnu.version_r) }\n"
    " .gnu.hash : { *(.gnu.hash) } .dynstr : { *(.dynstr) } .rela.dyn : { *(.rela.dyn) } .rela.plt : { *(.rela.plt) }\n"
    " .rodata : { *(.rodata .rodata.*) }\n"
    " .eh_frame_hdr : { *(.eh_frame_hdr) } :ro :eh\n"
    " .eh_frame : { KEEP(*(.eh_frame)) } :ro\n"
    " . = ALIGN(4096) + (. & 4095);\n"
    " .plt : { *(.plt) } :tx .plt.got : { *(.plt.got) } .plt.sec : { *(.plt.sec) }\n"
    " .text : { *(.text .text.*) } :tx\n"
    " . = DATA_SEGMENT_ALIGN(4096, 4096);\n"
    " .dynamic : { *(.dynamic) } :rw :dyn :rel\n"
    " .data.rel.ro : { *(.data.rel.ro .data.rel.ro.*) } :rw :rel\n"
    " .got : { *(.got) *(.got.plt) } :rw :rel\n"
    " . = DATA_SEGMENT_RELRO_END(0, .);\n"
    " .data : { *(.data .data.*) } :rw\n"
    " .bss : { *(.bss .bss.*) *(COMMON) } :rw\n"
    " . = DATA_SEGMENT_END(.);\n"
    " . = ALIGN(4096);\n"
    " %s\n"
    " /DISCARD/ : { *(.comment) *(.note.gnu.property) *(.note.GNU-stack) }\n"
    "}\n";

typedef struct Cmd {
  const char **arg;
  int n, cap, fd[256], nfd;
  const char *bad; // why the command cannot be run
} Cmd;
static void arg(Cmd *c, const char *s) { PUSH(c->arg, c->n, c->cap, s); }
static const char *file(Cmd *c, const void *p, size_t n) { // a file only the linker sees
  int fd = c->nfd < 256 ? memfd_create("tenon", MFD_CLOEXEC) : -1;
  if (fd < 0 || !write_at(fd, p, n, 0)) {
    c->bad = fmt("cannot hand a file to the linker: %s", strerror(errno));
    return "";
  }
  c->fd[c->nfd++] = fd;
  return fmt("/proc/self/fd/%d", fd);
}
static const char *text(Cmd *c, const char *s) { return file(c, s, strlen(s)); }

/* ---- one stub library per soname in runtime/imports.txt. Names without version are libopenblas's, which few artifacts need ---- */
typedef struct Import {
  const char *name, *lib, *version;
} Import;
static int read_imports(Import *all, int max) {
  char *copy = mem_copy(tenon_rt_imports, strlen(tenon_rt_imports) + 1), *save;
  int n = 0;
  for (char *l = strtok_r(copy, "\n", &save); l && n < max; l = strtok_r(NULL, "\n", &save)) {
    char *in, *name = *l == '#' ? NULL : strtok_r(l, " \t", &in);
    char *lib = name ? strtok_r(NULL, " \t", &in) : NULL, *version = lib ? strtok_r(NULL, " \t", &in) : NULL;
    if (version) all[n++] = (Import){name, lib, version};
  }
  return n;
}
static void stubs(Cmd *c, bool openblas) {
  Import all[128];
  int n = read_imports(all, 128);
  for (int i = 0; i < n; i++) {
    const char *name[128], *version[128], *lib = all[i].lib;
    int k = 0;
    if (!lib || (!strcmp(all[i].version, "-") && !openblas)) continue;
    for (int j = i; j < n; j++)
      if (all[j].lib && !strcmp(all[j].lib, lib)) name[k] = all[j].name, version[k++] = all[j].version, all[j].lib = NULL;
    Blob b = elf_stub(lib, k, name, version);
    arg(c, file(c, b.p, b.n));
  }
}

/* ---- spawning ---- */
extern char **environ;
static bool in_path(const char *name) {
  if (strchr(name, '/')) return !access(name, X_OK);
  const char *path = getenv("PATH");
  for (const char *s = path ? path : "/usr/bin:/bin"; *s;) {
    size_t n = strcspn(s, ":");
    if (n && !access(fmt("%.*s/%s", (int)n, s, name), X_OK)) return true;
    s += n + (s[n] == ':');
  }
  return false;
}
const char *linker_find(const char *wanted, const char **why) {
  static const char *const names[] = {"ld", "ld.lld-19", "ld.lld"}; // GNU ld links a small model in a quarter of lld's time
  if (wanted) {
    if (in_path(wanted)) return wanted;
    *why = fmt("the linker '%s' cannot be found", wanted);
    return NULL;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (in_path(names[i])) return names[i];
  *why = "no linker was found (Debian: apt install binutils, or lld-19)";
  return NULL;
}
static char *drain(int fd) { // what the linker said
  Text t = {0};
  char buf[4096];
  lseek(fd, 0, SEEK_SET);
  for (ssize_t n; (n = read(fd, buf, sizeof buf)) > 0 && t.n < 1 << 16;) put_n(&t, buf, (size_t)n);
  return t.p ? t.p : "";
}
static bool run(Cmd *c, const char **why) {
  posix_spawn_file_actions_t fa;
  int said = memfd_create("linker", MFD_CLOEXEC), status = -1;
  pid_t pid;
  arg(c, NULL);
  posix_spawn_file_actions_init(&fa);
  for (int i = 0; i < c->nfd; i++) posix_spawn_file_actions_adddup2(&fa, c->fd[i], c->fd[i]); // clears close-on-exec
  posix_spawn_file_actions_adddup2(&fa, said, 1);
  posix_spawn_file_actions_adddup2(&fa, said, 2);
  int err = c->bad ? 0 : posix_spawnp(&pid, c->arg[0], &fa, NULL, (char **)c->arg, environ);
  if (!c->bad && !err)
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  if (c->bad) *why = c->bad;
  else if (err) *why = fmt("cannot run %s: %s (Debian: apt install binutils, or lld-19)", c->arg[0], strerror(err));
  else if (status) *why = fmt("%s failed:\n%s", c->arg[0], drain(said));
  for (int i = 0; i < c->nfd; i++) close(c->fd[i]);
  close(said);
  posix_spawn_file_actions_destroy(&fa);
  return !c->bad && !err && !status;
}
static void image_args(Cmd *c, const LinkJob *j) { // what only shared objects and executables have
  bool exe = j->kind == ARTIFACT_EXE;
  if (exe) {
    static const char *const flags[] = {"-pie", "--dynamic-linker", "/lib64/ld-linux-x86-64.so.2", "-e", "_start"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) arg(c, flags[i]);
    arg(c, fmt("--defsym=tn_%s_main_api=%s_api", artifact_rt_hash(), j->name)); // how main finds its model
    arg(c, fmt("--version-script=%s", text(c, "{ local: *; };")));
  } else {
    arg(c, "-shared"), arg(c, "-soname"), arg(c, fmt("lib%s.so", j->name));
    arg(c, fmt("--version-script=%s", text(c, fmt("{ global: %s_api; local: *; };", j->name))));
  }
  const char *w = j->weights ? "w PT_LOAD FLAGS(4);" : "",
             *section = j->weights ? ".tnweights : { *(.tnweights) } :w" : ""; // no empty segment
  arg(c, "-T"),
      arg(c, text(c, fmt(script, exe ? "ph PT_PHDR PHDRS; in PT_INTERP;" : "", w, exe ? ".interp : { *(.interp) } :ro :in" : "", section)));
  static const char *const flags[] = {"-z",
                                      "relro",
                                      "-z",
                                      "now",
                                      "-z",
                                      "noexecstack",
                                      "-z",
                                      "defs",
                                      "-z",
                                      "max-page-size=4096",
                                      "--hash-style=gnu",
                                      "--gc-sections",
                                      "--eh-frame-hdr"};
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) arg(c, flags[i]);
  arg(c, fmt("--build-id=0x%s", j->build_id));
}
bool link_run(const LinkJob *j, const char **why) {
  Cmd c = {0};
  arg(&c, j->linker);
  if (j->kind == ARTIFACT_OBJ) arg(&c, "-r");
  else image_args(&c, j);
  arg(&c, "-o"), arg(&c, j->out);
  for (int i = 0; i < j->nobj; i++) arg(&c, file(&c, j->obj[i].p, j->obj[i].n));
  if (j->kind != ARTIFACT_OBJ) stubs(&c, j->openblas);
  return run(&c, why);
}
