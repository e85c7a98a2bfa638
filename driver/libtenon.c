// libtenon.c - tenon.h: spawns `tenon --diagnostics=json` and hands its messages over, line by line.
//
// Nothing here is process-wide: no signal handlers, no environment changes, no working directory; descriptors are close-on-exec.
#include "tenon.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
const char *tenon_version(void) { return TENON_VERSION; }

static void say(const tenon_job *job, tenon_level level, int code, const char *word, const char *text, const char *json) {
  tenon_message m = {sizeof m, level, code, word, text, json};
  if (job->message) job->message(job->user, &m);
}

/* ---- the few facts we need of a JSON line: members of the outermost object ---- */

static const char *skip_string(const char *p) {
  for (p++; *p && *p != '"'; p++)
    if (*p == '\\' && p[1]) p++;
  return *p ? p + 1 : p;
}

// Where the value of `key` begins in the outermost object, or NULL.
static const char *member(const char *json, const char *key) {
  int depth = 0;
  for (const char *p = json; *p;) {
    if (*p == '"') {
      const char *end = skip_string(p);
      bool is_key = depth == 1 && (size_t)(end - p) == strlen(key) + 2 && !memcmp(p + 1, key, strlen(key));
      for (p = end; *p == ' '; p++) {
      }
      if (is_key && *p == ':') return p + 1 + strspn(p + 1, " ");
      continue;
    }
    depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
    p++;
  }
  return NULL;
}

// Copies a string member without its escapes; \u00XX is the only form that tenon writes.
static void text_of(const char *json, const char *key, char *out, size_t room) {
  const char *p = member(json, key);
  size_t n = 0;
  for (p = p && *p == '"' ? p + 1 : ""; *p && *p != '"' && n + 1 < room; p++) {
    unsigned u;
    if (*p == '\\' && p[1] == 'u' && sscanf(p + 2, "%4x", &u) == 1) out[n++] = (char)u, p += 5;
    else out[n++] = *p == '\\' ? *++p : *p;
  }
  out[n] = 0;
}

static void hand_over(const tenon_job *job, const char *line) {
  char level[16], code[64], text[1024];
  if (*line != '{') {
    say(job, TENON_NOTE, 0, "", line, "");
    return;
  }
  text_of(line, "level", level, sizeof level);
  if (!strcmp(level, "summary")) return;
  text_of(line, "code", code, sizeof code);
  text_of(line, "text", text, sizeof text);
  const char *number = member(line, "exit");
  say(job,
      !strcmp(level, "error")     ? TENON_ERROR
      : !strcmp(level, "warning") ? TENON_WARNING
                                  : TENON_NOTE,
      number ? atoi(number) : 0, code, text, line);
}

/* ---- the child ---- */

static char **arguments(const tenon_job *job) {
  size_t n = 0;
  while (job->option && job->option[n]) n++;
  char **argv = calloc(n + 7, sizeof *argv);
  if (!argv) return NULL;
  size_t k = 0;
  argv[k++] = (char *)(job->tenon ? job->tenon : "tenon");
  argv[k++] = (char *)"--diagnostics=json";
  for (size_t i = 0; i < n; i++) argv[k++] = (char *)job->option[i];
  if (job->output) argv[k++] = (char *)"-o", argv[k++] = (char *)job->output;
  argv[k++] = (char *)"--";
  argv[k++] = (char *)job->model;
  return argv;
}

static int start(char **argv, int err, pid_t *child) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  int failed = posix_spawnp(child, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

typedef struct Lines {
  char *p;
  size_t n, cap;
} Lines;

static bool keep(Lines *l, const char *bytes, size_t n) {
  if (l->n + n + 1 > l->cap) {
    size_t cap = 2 * (l->n + n + 1);
    char *p = realloc(l->p, cap);
    if (!p) return false;
    l->p = p, l->cap = cap;
  }
  memcpy(l->p + l->n, bytes, n);
  l->n += n;
  l->p[l->n] = 0;
  return true;
}

static void hand_over_lines(const tenon_job *job, Lines *l, bool all) {
  size_t at = 0;
  for (char *end; at < l->n && ((end = memchr(l->p + at, '\n', l->n - at)) || all); at = (size_t)(end - l->p) + 1) {
    if (!end) end = l->p + l->n;
    *end = 0;
    if (l->p[at]) hand_over(job, l->p + at);
  }
  if (at > l->n) at = l->n;
  if (at) memmove(l->p, l->p + at, l->n - at), l->n -= at;
}

// Reads messages until the child closed its end. False: cancelled.
static bool follow(const tenon_job *job, int fd) {
  Lines lines = {0};
  char buf[4096];
  bool going = true;
  for (;;) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, job->cancel ? 20 : -1) < 0 && errno != EINTR) break;
    if (job->cancel && *job->cancel) {
      going = false;
      break;
    }
    if (!p.revents) continue;
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || !keep(&lines, buf, (size_t)n)) break;
    hand_over_lines(job, &lines, false);
  }
  if (going) hand_over_lines(job, &lines, true);
  free(lines.p);
  return going;
}

static int reap(const tenon_job *job, pid_t child, bool finished) {
  int status;
  if (!finished) kill(child, SIGTERM);
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!finished) say(job, TENON_ERROR, -1, "cancelled", "the compilation was cancelled", "");
  else if (WIFSIGNALED(status)) say(job, TENON_ERROR, -1, "signal", strsignal(WTERMSIG(status)), "");
  return finished && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int tenon_compile(const tenon_job *given) {
  tenon_job job = {0};
  memcpy(&job, given, given->size < sizeof job ? given->size : sizeof job);
  int pipe_fd[2];
  pid_t child;
  char **argv = job.model ? arguments(&job) : NULL;
  int failed = !argv ? EINVAL : pipe2(pipe_fd, O_CLOEXEC) ? errno : 0;
  if (!failed) {
    failed = start(argv, pipe_fd[1], &child);
    close(pipe_fd[1]);
    if (failed) close(pipe_fd[0]);
  }
  if (failed) {
    say(&job, TENON_ERROR, -1, "spawn", failed == ENOENT ? "the tenon command was not found" : strerror(failed), "");
    free(argv);
    return -1;
  }
  bool finished = follow(&job, pipe_fd[0]);
  close(pipe_fd[0]);
  free(argv);
  return reap(&job, child, finished);
}
