#!/bin/bash
# run.sh [OUT] - the runtime under sanitizers, without the compiler: the pool's claims under ThreadSanitizer (of five planted bugs it finds
# all, comparing results none), misuse under AddressSanitizer, cgroup quotas from fake files. CC picks the compiler.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-$(mktemp -d)}; mkdir -p "$out"
cc=${CC:-gcc} runs=${RUNS:-2000}
flags="-std=gnu17 -O1 -g -Wall -Wextra -Wshadow -Werror -fno-strict-aliasing -I. -Iruntime/include -D_GNU_SOURCE"
core="runtime/pool.c runtime/threads.c runtime/model.c runtime/check.c runtime/run.c runtime/value.c runtime/host.c runtime/cpu.c runtime/dtype.c runtime/entry.S"
build() { $cc $flags $1 tests/runtime/$2.c $core -lpthread -ldl -o "$out/$3"; }
build -fsanitize=thread stress stress_tsan
"$out/stress_tsan" "$runs"
build "-fsanitize=thread -DTN_PAUSE=stress_pause" stress stress_pause
"$out/stress_pause" $((runs / 5))
build "-fsanitize=address,undefined -fno-sanitize-recover=undefined" stress stress_asan
"$out/stress_asan" "$runs"
build -fsanitize=thread misuse misuse_tsan
"$out/misuse_tsan" 0
build "-fsanitize=address,undefined -fno-sanitize-recover=undefined" misuse misuse_asan
"$out/misuse_asan" 50

quota() { # DIR CGROUP (FILE TEXT)..
  rm -rf "$out/fake"; mkdir -p "$out/fake/proc/self" "$out/fake/sys/fs/cgroup/$1"; printf '%b' "$2" > "$out/fake/proc/self/cgroup"; shift 2
  while [ $# -gt 0 ]; do printf '%s\n' "$2" > "$out/fake/sys/fs/cgroup/$1"; shift 2; done
  "$out/stress_asan" 0 "$out/fake"
}
same() { [ "$1" = "$2" ] || { echo "FAILED: $3: $1 instead of $2"; exit 1; }; }
same "$(quota a/b '0::/a/b\n' a/cpu.max '250000 100000' a/b/cpu.max 'max 100000')" 3 "cgroup v2"
same "$(quota . '0::/\n' cpu.max '100000 100000')" 1 "cgroup v2 in a namespace"
same "$(quota cpu/x '4:cpu,cpuacct:/x\n' cpu/x/cpu.cfs_quota_us 150000 cpu/x/cpu.cfs_period_us 100000)" 2 "cgroup v1"
same "$(quota cpu/x '4:cpu,cpuacct:/x\n' cpu/x/cpu.cfs_quota_us -1 cpu/x/cpu.cfs_period_us 100000)" 4294967295 "cgroup v1 without a quota"
echo "runtime: all passed"
