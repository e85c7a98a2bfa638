#!/usr/bin/env python3
"""The ONNX backend suite: compiles each test's model, runs it, compares with the suite's own tolerances.

  run.py [REGEX] [--backend llvm|eval|cuda|nvrtc] [--build DIR] [--jobs N] [--timeout S] [--failures FILE] [--docs] [--all]

llvm compiles to a shared library and calls it through the public ABI; eval lets the interpreter run the planned program, cuda does the same
with the kernels as CUDA C on the CPU (tests/cuda/emu.h); nvrtc only lets NVIDIA's compiler make cubins of them. Tests run in worker processes, so a crash costs one test. skip.txt lists the tests that are known to fail, a reason each; one of them that passes is an error,
so the list only shrinks (a reason that begins with `slow:` keeps the test out of runs of all). The failures file groups what failed by its message: it is a work list. --docs writes docs/ops.md from the
results of all suites, backends and the matrix that were run whole in this build folder.
"""
import argparse
import collections
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("regex", nargs="?", default="", help="only tests whose name has a match")
    p.add_argument("--backend", choices=["llvm", "eval", "cuda", "nvrtc"], default="llvm")
    p.add_argument("--build", default=ROOT / "build", type=Path, help="where tenon is [build]")
    p.add_argument("--suite", type=Path, help="the suite as files [BUILD/conform/suite, written when missing]")
    p.add_argument("--jobs", "-j", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--timeout", type=float, help="seconds a test may take [llvm 60, else 180]")
    p.add_argument("--failures", type=Path, help="[BUILD/conform/failures-BACKEND.txt]")
    p.add_argument("--option", action="append", default=[], help="a further option for tenon; repeatable")
    p.add_argument("--docs", action="store_true", help="write docs/ops.md")
    p.add_argument("--keep", type=Path, help="a folder in which the artifacts stay")
    p.add_argument("--verbose", "-v", action="store_true", help="name every failure with its text")
    p.add_argument("--table", action="store_true", help="print the table by operator")
    p.add_argument("--operator", help="only tests of this operator")
    p.add_argument("--failed", action="store_true", help="only tests that failed in the last whole run; its results are brought up to date")
    p.add_argument("--every", type=int, default=1, help="only every so many of the tests chosen")
    args = p.parse_args()
    args.timeout = args.timeout or (60 if args.backend == "llvm" else 180)  # VGG19: a quarter or half a minute of a quiet machine
    return args


# ---- the suite ----

def suite(folder):
    """Tests by name, with their descriptions; writes the suite first when it is not there."""
    import onnx
    mark = folder / "complete"
    if not mark.exists() or mark.read_text() != onnx.__version__:
        shutil.rmtree(folder, ignore_errors=True)
        import dump
        dump.dump(folder)
    return {d.name: json.loads((d / "meta.json").read_text()) for d in sorted(folder.iterdir()) if d.is_dir()}


def skips(backend):
    """Name -> reason of the tests that are known to fail: lines `NAME reason`, or `BACKEND:NAME reason` for one backend only."""
    lines = (HERE / "skip.txt").read_text().splitlines() if (HERE / "skip.txt").exists() else []
    known = {}
    for line in lines:
        if line.strip() and not line.startswith("#"):
            name, why = line.split(None, 1)
            if ":" not in name or name.startswith(backend + ":"):
                known[name.split(":")[-1]] = why
    return known


# ---- workers ----

class Worker:
    """One worker process; a new one takes its place when it dies or hangs."""

    def __init__(self, args, suite_folder, scratch):
        self.command = [sys.executable, HERE / "worker.py", args.backend, str(args.build), str(suite_folder), str(scratch), *args.option]
        self.timeout = args.timeout
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        start_new_session=True)
        self.done = 0

    def run(self, name):
        if self.process is None or self.done >= 300:  # a fresh process now and then: libraries stay mapped
            self.stop()
            self.start()
        self.done += 1
        timer = threading.Timer(self.timeout, os.killpg, (self.process.pid, signal.SIGKILL))  # with what it has started
        timer.start()
        began = time.monotonic()
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        timer.cancel()
        if line:
            return json.loads(line)
        code = self.process.wait()
        self.process = None
        if time.monotonic() - began >= self.timeout:
            return {"ok": False, "stage": "timeout", "text": f"no end after {self.timeout:.0f} s"}
        return {"ok": False, "stage": "crash", "text": f"the artifact crashed: signal {-code}" if code < 0 else f"the worker ended with {code}"}

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def run_all(names, args, suite_folder):
    results, todo, lock = {}, queue.Queue(), threading.Lock()
    for n in names:
        todo.put(n)
    began = time.monotonic()

    def work(index):
        scratch = args.keep or Path(tempfile.mkdtemp(prefix="conform"))
        scratch.mkdir(parents=True, exist_ok=True)
        worker = Worker(args, suite_folder, scratch)
        while True:
            try:
                name = todo.get_nowait()
            except queue.Empty:
                break
            result = worker.run(name)
            with lock:
                results[name] = result
                if sys.stderr.isatty():
                    passed = sum(r["ok"] for r in results.values())
                    print(f"\r{len(results)}/{len(names)}, {passed} pass  {time.monotonic() - began:.0f} s  {name[:50]:50}\033[K", end="", file=sys.stderr)
        worker.stop()
        if not args.keep:
            shutil.rmtree(scratch, ignore_errors=True)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(args.jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return {n: results[n] for n in names}


# ---- reports ----

def reason(result):
    """The message without what is particular to one model: names, numbers, shapes."""
    text = re.sub(r"/\S+/\S+", "FILE", result["text"].split("\n")[0])
    text = re.sub(r"'[^']*'", "'..'", text)
    text = re.sub(r"\[[^\]]*\]", "[..]", text)
    text = re.sub(r"-?\b\d[\d.e+-]*\b", "N", text)
    return f"{result['stage']}: {text}"


def write_failures(path, failed, tests):
    groups = collections.defaultdict(list)
    for name, r in failed.items():
        groups[reason(r)].append(name)
    with path.open("w") as f:
        print(f"{len(failed)} failures in {len(groups)} groups, the largest first", file=f)
        for text, names in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
            ops = collections.Counter(tests[n]["op"] for n in names)
            print(f"\n{len(names):5}  {text}\n       operators: {', '.join(f'{o} {c}' for o, c in ops.most_common(12))}", file=f)
            for n in names:
                print(f"         {n}: {failed[n]['text'].splitlines()[0][:220]}", file=f)
    return groups


def print_table(results, tests):
    """By operator: passed/all, and how many of its tests ran operators on the host (cuda)."""
    rows = collections.defaultdict(lambda: [0, 0, 0])
    for name, r in results.items():
        row = rows[(tests[name]["domain"], tests[name]["op"])]
        row[0] += r["ok"]
        row[1] += 1
        row[2] += bool(r.get("host"))
    for (domain, op), (passed, n, host) in sorted(rows.items()):
        print(f"  {'ok ' if passed == n else '   '} {passed:4}/{n:<4} {domain + '.' if domain else ''}{op}{f'  host {host}' if host else ''}")


def print_host(results):
    """What stayed on the host, each operator with the number of tests that had it (cuda)."""
    ops = collections.Counter(op for r in results.values() for op in r.get("host", []))
    if ops:
        print("on the host:", ", ".join(f"{op} {n}" for op, n in sorted(ops.items())))


def main():
    args = arguments()
    sys.path.insert(0, str(HERE))
    folder = args.build / "conform"
    suite_folder = args.suite or folder / "suite"
    tests = suite(suite_folder)
    known = skips(args.backend)
    names = [n for n in tests if re.search(args.regex, n) and (not args.operator or tests[n]["op"] == args.operator)]
    if len(names) == len(tests):  # a run of all leaves out what takes minutes
        names = [n for n in names if not known.get(n, "").startswith("slow:")]
    whole = args.every == 1 and len(names) + sum(n in tests and w.startswith("slow:") for n, w in known.items()) == len(tests)
    store = (suite_folder if args.suite else folder) / f"results-{args.backend}.json"
    last = json.loads(store.read_text()) if store.exists() else {}
    if args.failed:
        names = [n for n in names if not last.get(n, {}).get("ok")]
    names = names[::args.every]
    began = time.monotonic()
    results = run_all(names, args, suite_folder)
    took = time.monotonic() - began

    folder.mkdir(parents=True, exist_ok=True)
    if whole or (args.failed and len(last) == len(tests)):
        store.write_text(json.dumps({**last, **results}))
    failed = {n: r for n, r in results.items() if not r["ok"]}
    path = args.failures or folder / f"failures-{args.backend}.txt"
    groups = write_failures(path, failed, tests)
    if args.docs:
        import docs
        docs.write(args.build, args.build / "tenon", [(folder / "suite", folder), (args.build / "contrib", args.build / "contrib")])
    if args.table:
        print_table(results, tests)
    print_host(results)
    for text, members in sorted(groups.items(), key=lambda g: -len(g[1]))[:25]:
        print(f"{len(members):5}  {text[:150]}")
    if args.verbose:
        for n, r in failed.items():
            print(f"{n}: {r['stage']}: {r['text']}")
    new = [n for n in failed if n not in known]
    healed = [n for n in names if n in known and results[n]["ok"]]
    if new and known and whole:
        print("not in skip.txt:", *new[:40], *(["..."] if len(new) > 40 else []), sep="\n  ")
    if healed:
        print("these pass now, take them out of skip.txt:", *healed, sep="\n  ")
    compile_s = sum(r.get("compile_s", 0) for r in results.values())
    print(f"conform {args.backend}: {len(names) - len(failed)} of {len(names)} pass, {len(failed)} fail ({len(failed) - len(new)} known), "
          f"{took:.0f} s, {1000 * compile_s / max(1, len(names)):.0f} ms to compile a model; failures by reason: {path}")
    sys.exit(1 if new or healed else 0)


if __name__ == "__main__":
    main()
