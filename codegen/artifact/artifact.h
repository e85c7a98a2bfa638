// artifact.h - what the files of codegen/artifact tell each other. One artifact is: the kernels' objects, one object of tables that we
// write ourselves, the runtime's objects that are carried inside the compiler, and the weights.
#pragma once
#include "codegen/codegen.h"

enum { WEIGHTS_ALIGN = 4096 }; // the target's largest page

/* object.c: relocatable ELF objects, written by us */
typedef struct Obj Obj;
Obj *obj_new(void);
int obj_section(Obj *, const char *name, uint32_t type, uint64_t flags, uint64_t align);
uint64_t obj_put(Obj *, int section, const void *p, uint64_t n, uint64_t align); // returns the offset; p NULL: zeros
int obj_local(Obj *, int section);                                               // a symbol for the section's start
int obj_global(Obj *, const char *name, int section, uint64_t at, uint64_t size, bool function, bool hidden); // section 0: undefined
void obj_reloc(Obj *, int section, uint64_t at, uint32_t type, int symbol, int64_t addend);
void *obj_bytes(Obj *, int section); // valid until the next obj_put
void obj_nobits(Obj *, int section, uint64_t size);
Blob obj_finish(Obj *, uint64_t payload_align); // payload_align: pads the file, so that bytes of the last section may follow it; else 0

/* elf.c: the other ELF bytes we write */
Blob elf_stub(const char *soname, int n, const char *const *name, const char *const *version);
Blob elf_weights(const char *symbol, uint64_t size, bool nobits); // without nobits the payload follows the returned bytes
int64_t elf_place_weights(int fd, uint64_t size);                 // gives .tnweights room at the end of a linked file: its offset, or -1

/* ar.c */
typedef struct Member {
  const char *name;
  Blob head;
  bool weights; // the program's weights follow head
} Member;
bool ar_write(int fd, int n, const Member *m, Program *);

/* tables.c: <name>_api, the descriptor, names, the provenance note */
Blob tables_object(Program *, const ArtifactOptions *, const char *info);
/* info.c */
const char *info_json(Program *, const ArtifactOptions *);
const char *onnx_type(const Type *); // "seq(map(int64,tensor(float)))"
/* header.c */
void header_text(Program *, const ArtifactOptions *, Text *out);

/* weights.c: all constants at their offsets, in their physical order, to fd at `at` */
bool weights_write(int fd, int64_t at, Program *);
bool write_at(int fd, const void *p, size_t n, int64_t at);

/* link.c: false, and a text in *why */
typedef struct LinkJob {
  ArtifactKind kind;
  const char *linker, *name, *out, *build_id;
  int nobj;
  const Blob *obj;
  bool weights;  // an object holds .tnweights
  bool openblas; // an object calls libopenblas
} LinkJob;
const char *linker_find(const char *wanted, const char **why); // NULL: none
bool link_run(const LinkJob *, const char **why);

/* carried inside the compiler (blob.S) */
extern const char tenon_rt_core[], tenon_rt_core_end[], tenon_rt_host[], tenon_rt_host_end[], tenon_rt_main[], tenon_rt_main_end[];
extern const char tenon_rt_openblas[], tenon_rt_openblas_end[], tenon_rt_image[], tenon_rt_image_end[];
extern const char tenon_rt_imports[];

/* sha256.c */
typedef struct Sha256 {
  uint32_t h[8];
  uint64_t n;
  unsigned char block[64];
} Sha256;
void sha256_start(Sha256 *);
void sha256_add(Sha256 *, const void *p, size_t n);
void sha256_hex(Sha256 *, char out[65]);
/* symbols: how a dim is written in tn_desc: >= 0 an extent, ~k symbol k, unknown: -n_sym - 1 */
int64_t dim_code(const Program *, IExpr *dim, bool output);
