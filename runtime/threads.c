/* threads.c - how many threads make sense: the affinity mask, cut by the quota of the cgroups the process is in. */
#include "runtime/pool.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool slurp(const char *dir, const char *sub, const char *file, char *buf, size_t size) {
  char path[512];
  snprintf(path, sizeof path, "%s%s/%s", dir, sub, file);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t n = read(fd, buf, size - 1);
  close(fd);
  buf[n > 0 ? n : 0] = 0;
  return n > 0;
}
static int64_t number(const char **s) { /* -1: none. Our own: strtol's name changed in glibc 2.38 */
  int64_t v = -1;
  while (**s == ' ') ++*s;
  for (; **s >= '0' && **s <= '9'; ++*s) v = (v < 0 ? 0 : v) * 10 + (**s - '0');
  return v;
}
/* The smallest quota on the way from our group to the root, in CPUs rounded up; v2, then v1. A namespace shows us as the root.
 */
uint32_t tn_quota(const char *root) {
  char groups[2048], buf[64], sub[256], fs[256];
  uint32_t best = UINT32_MAX;
  if (!slurp(root, "/proc/self", "cgroup", groups, sizeof groups)) return best;
  for (int v1 = 0; v1 < 2; v1++) {
    snprintf(fs, sizeof fs, "%s/sys/fs/cgroup%s", root, v1 ? "/cpu" : "");
    const char *line = strstr(groups, v1 ? "cpu," : "0::"), *path = line ? strchr(line, '/') : NULL;
    size_t n = 0;
    while (path && path[n] && path[n] != '\n' && n < sizeof sub - 1) sub[n] = path[n], n++;
    for (;;) {
      sub[n] = 0;
      int64_t quota = -1, period = -1;
      const char *s = buf;
      if (!v1) {
        if (slurp(fs, sub, "cpu.max", buf, sizeof buf)) quota = number(&s), period = number(&s);
      } else {
        if (slurp(fs, sub, "cpu.cfs_quota_us", buf, sizeof buf)) quota = number(&s);
        s = buf;
        if (quota > 0 && slurp(fs, sub, "cpu.cfs_period_us", buf, sizeof buf)) period = number(&s);
      }
      if (quota > 0 && period > 0 && (quota + period - 1) / period < best) best = (uint32_t)((quota + period - 1) / period);
      if (!n) break;
      while (n && sub[--n] != '/') {
      }
    }
  }
  return best;
}
uint32_t tn_cpus(void) {
  unsigned long bits[16];
  long bytes = syscall(SYS_sched_getaffinity, 0, sizeof bits, bits);
  uint32_t n = 0, quota = tn_quota("");
  for (long i = 0; i < bytes / 8; i++)
    for (unsigned long b = bits[i]; b; b &= b - 1) n++; /* gcc makes __builtin_popcount a libgcc call on a baseline CPU */
  if (n > quota) n = quota;
  return n ? n : 1;
}
