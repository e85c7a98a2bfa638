/* main.h - the executable artifact: run, bench, info, selftest. What its files share. Only the C library functions of imports.txt. */
#pragma once
#include "dtype.h"

enum { /* exit codes; the compiler has the same table */
       MAIN_OK = 0,
       MAIN_BUG = 1,
       MAIN_USAGE = 2,
       MAIN_READ = 3,
       MAIN_INPUT = 4,
       MAIN_LIMIT = 6,
       MAIN_WRITE = 7,
       MAIN_DATA = 8,
       MAIN_HARDWARE = 9
};
void say(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int complain(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* "error: ..", returns code */
int64_t now_ns(void);
void *take(uint64_t bytes); /* zeroed memory for the life of the process; ends it with MAIN_LIMIT when there is none */

/* ---- files ---- */
typedef struct File {
  const char *p;
  uint64_t n;
} File;
bool file_map(const char *path, File *);
bool file_write(const char *path, const void *head, uint64_t n_head, const void *body, uint64_t n_body); /* temporary name, then rename */

/* ---- values: from and to files; NULL, or what is wrong ---- */
const char *npy_read(File, const tenon_io *, tenon_value *);
bool npy_holds(DLDataType);
bool npy_write(const char *path, const tenon_value *);
const char *pb_read(File, const char *type, tenon_value *);
const char *pb_write(const char *path, const tenon_value *, const char *type, const char *name);
uint64_t value_count(const tenon_value *);                                 /* elements of a tensor */
tenon_value value_tensor(int32_t dtype, int32_t rank, const int64_t *dim); /* new, zeroed */

/* ---- the types as text: one step into "seq(map(int64,tensor(float)))" ---- */
typedef struct TypeText {
  uint32_t kind;     /* TENON_TENSOR, ..; TENON_ABSENT: not one of them */
  int32_t dtype;     /* of a tensor; of a map's keys */
  const char *inner; /* of the element, NULL for tensors */
} TypeText;
TypeText type_text(const char *s);

/* ---- the verbs ---- */
typedef struct Dim {
  const char *name;
  uint64_t len;
  int64_t value;
} Dim;
typedef struct Main {
  const tenon_api *api;
  int64_t t0;                          /* when main began */
  const char *verb, *out_dir, *format; /* format: "npy", "pb" or NULL */
  const char **file;                   /* by input, or NULL */
  Dim dim[64];
  int n_dim, threads;
  double seconds;
  bool json;
  tenon_model *model;
  tenon_ctx *ctx;
  tenon_value *in, *out;
} Main;
int main_open(Main *);
int main_status(Main *, tenon_status);      /* of the last call on the context: prints the text, returns the exit code */
int main_inputs(Main *, bool make_missing); /* reads files; makes what is missing, if asked */
void main_outputs(Main *);                  /* all lent */
int verb_run(Main *);
int verb_bench(Main *);
int verb_info(Main *);
int verb_selftest(Main *);
