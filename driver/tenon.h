/* tenon.h - compiling from a program: libtenon starts the `tenon` command as a child process, so nothing of the compiler (no LLVM, no
   signal handler, no abort) is ever in the host. C11 and C++. What artifacts offer is another header, tenon_rt.h. */
#ifndef TENON_H
#define TENON_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

typedef enum tenon_level { TENON_NOTE, TENON_WARNING, TENON_ERROR } tenon_level;
typedef struct tenon_message { /* valid during the call; absent texts are "" */
  uint32_t size;
  int32_t level, exit;
  const char *code, *text; /* code: a stable word such as "op.unsupported" */
  const char *json;        /* the whole message: node, op, expected, found, hint, .. */
} tenon_message;

typedef struct tenon_job { /* [grows] zero means the default everywhere */
  uint32_t size;
  const char *model, *output;                         /* as `tenon MODEL -o OUTPUT` */
  const char *const *option;                          /* further options as on the command line, NULL-terminated; or NULL */
  const char *tenon;                                  /* the command to start; NULL: "tenon" in PATH */
  void (*message)(void *user, const tenon_message *); /* NULL: messages are dropped */
  void *user;
  const volatile int32_t *cancel; /* polled; non-zero ends the child */
} tenon_job;

/* Blocks until the child ended. Returns its exit code (0 done, 1 bug, 2 usage, 3 cannot read, 4 invalid, 5 unsupported, 6 limit, 7 output),
   or -1: it could not be started, was cancelled or died by a signal (a message says which). Any number of threads may compile at once. */
int tenon_compile(const tenon_job *);
const char *tenon_version(void); /* of this library */

#ifdef __cplusplus
}
#endif
#endif
