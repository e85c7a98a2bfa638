#!/usr/bin/env python3
"""The single-op matrix: operators x opsets x types x shapes x edges of attributes, compiled, against the interpreter and ONNX Runtime.

  matrix.py [REGEX] [--build DIR] [--jobs N] [--seed N] [--every N] [--list] [--write DIR] [--timeout S]

Cases are generated (tests/conform/matrix/), many are compiled as one model. REGEX selects by name, OP/OPSET/..: '^Add/7/' or a whole name for one case;
--every N runs about one in N; --list only names them; --write DIR writes the model of each and what it is fed. matrix-differs.txt lists what is known to
differ: `PATTERN STAGE reason`, patterns as of the shell. An entry that no longer differs is an error. What failed is in BUILD/conform/matrix-failures.txt.
"""
import argparse
import collections
import fnmatch
import json
import multiprocessing
import multiprocessing.connection
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np  # noqa: E402

from matrix import case as case_room  # noqa: E402

GROUPS = ["elementwise", "reduce", "views", "index", "nn", "others"]
PACK = 24  # cases in one model


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("regex", nargs="?", default="")
    p.add_argument("--build", default=ROOT / "build", type=Path, help="where tenon is [build]")
    p.add_argument("--jobs", "-j", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--seed", type=int, default=0, help="another seed, other values")
    p.add_argument("--every", type=int, default=1, help="a fixed choice of about one case in N")
    p.add_argument("--list", action="store_true", help="only name the cases")
    p.add_argument("--write", type=Path, metavar="DIR", help="write each case's model.onnx and in*.npy instead of running it")
    p.add_argument("--timeout", type=float, default=120, help="seconds a model of many cases may take")
    p.add_argument("--failures", type=Path, help="[BUILD/conform/matrix-failures.txt]")
    p.add_argument("--option", action="append", default=[], help="a further option for tenon; repeatable")
    p.add_argument("--verbose", "-v", action="store_true", help="name every failure")
    return p.parse_args()


def generate():
    import importlib
    cases = {}
    for group in GROUPS:
        for c in importlib.import_module(f"matrix.{group}").cases():
            if c.name in cases:
                raise SystemExit(f"two cases are named {c.name}")
            cases[c.name] = c
    return cases


def packs(cases):
    """Cases in the groups that share a model: those of one opset, in their order."""
    open_packs, done = {}, []
    for c in cases:
        key = c.name if c.alone or c.fails else (case_room.opsets(c), c.op)
        pack = open_packs.setdefault(key, [])
        pack.append(c.name)
        if len(pack) == PACK:
            done.append(open_packs.pop(key))
    small = {}  # ops with few cases go together
    for key, pack in open_packs.items():
        if isinstance(key, str):
            done.append(pack)
            continue
        rest = small.setdefault(key[0], [])
        rest += pack
        if len(rest) >= PACK:
            done.append(small.pop(key[0]))
    return done + list(small.values())


# ---- workers ----

def serve(pipe, cases, args, scratch):
    """The body of a worker process: packs of names in, verdicts out."""
    from matrix import referee
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    court = referee.Court(args.build, scratch, args.option, lambda stage: pipe.send(("stage", stage)))
    while True:
        job = pipe.recv()
        if job is None:
            return
        names, with_ort = job
        try:
            verdicts = court.try_cases([cases[n] for n in names], with_ort)
        except Exception:  # a mistake of these scripts, not of anybody's answer
            pipe.send(("broken", f"{names}\n{traceback.format_exc()}"))
            return
        pipe.send(("done", [vars(v) for v in verdicts]))


class Hand:
    """One worker process and the pack it has in hand; a fresh one takes its place when it dies, hangs or has done a lot."""

    def __init__(self, cases, args):
        self.cases, self.args, self.scratch, self.process, self.job = cases, args, Path(tempfile.mkdtemp(prefix="matrix")), None, None
        self.lives = 0

    def start(self):
        self.pipe, other = multiprocessing.Pipe()
        self.lives += 1
        (self.scratch / str(self.lives)).mkdir()
        self.process = multiprocessing.get_context("fork").Process(target=serve, args=(other, self.cases, self.args, self.scratch / str(self.lives)), daemon=True)
        self.process.start()
        other.close()
        self.done = 0

    def give(self, job):
        if self.process is None or self.done >= 40:
            self.stop()
            self.start()
        self.done += 1
        self.job, self.stage, self.since = job, "start", time.monotonic()
        self.pipe.send(job)

    def hear(self):
        """Verdicts of the job, None while it is at work, the stage it died in."""
        late = time.monotonic() - self.since > self.args.timeout
        try:
            if not late and not self.pipe.poll():
                return None if self.process.is_alive() else self.died("crash")
            if late:
                return self.died("timeout")
            what, value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return self.died("crash")
        if what == "broken":
            raise SystemExit(value)
        if what == "stage":
            self.stage, self.since = value, time.monotonic()
            return None
        return value

    def died(self, how):
        self.process.kill()
        self.process.join()
        self.process = None
        return f"{how} ({self.stage})"

    def stop(self):
        if self.process:
            self.pipe.send(None)
            self.process.join()
            self.process = None


def run_all(cases, names, args):
    order = packs([cases[n] for n in names])
    random.Random(args.seed).shuffle(order)  # what is done when somebody interrupts is a fair sample
    jobs = collections.deque((pack, True) for pack in order)
    verdicts, hands, began = {}, [Hand(cases, args) for _ in range(args.jobs)], time.monotonic()
    signal.signal(signal.SIGINT, lambda *_: jobs.clear())
    while jobs or any(h.job for h in hands):
        for h in hands:
            if h.job is None and jobs:
                h.give(jobs.popleft())
        multiprocessing.connection.wait([h.pipe for h in hands if h.job], timeout=1)
        for h in hands:
            if not h.job or (said := h.hear()) is None:
                continue
            (pack, with_ort), h.job = h.job, None
            if isinstance(said, list):
                verdicts.update(zip(pack, said))
            elif len(pack) > 1:  # somebody died of one of these
                jobs.extendleft([(pack[:len(pack) // 2], with_ort), (pack[len(pack) // 2:], with_ort)])
            elif said == "crash (ort)":
                jobs.appendleft((pack, False))
            else:
                verdicts[pack[0]] = dict(ok=False, stage=said.split()[0], text=f"the process died: {said}", judges="")
            if sys.stderr.isatty():
                bad = sum(not v["ok"] for v in verdicts.values())
                print(f"\r{len(verdicts)}/{len(names)}, {bad} differ  {time.monotonic() - began:.0f} s\033[K", end="", file=sys.stderr)
    for h in hands:
        h.stop()
        shutil.rmtree(h.scratch, ignore_errors=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return {n: verdicts[n] for n in names if n in verdicts}


# ---- what is known, what is told ----

def known_differences():
    """(pattern, stage, reason) per line."""
    path = HERE / "matrix-differs.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(line.split(None, 2)) for line in lines if line.strip() and not line.startswith("#")]


def excused(name, verdict, known):
    return next((k for k in known if verdict["stage"] in k[1].split(",") and fnmatch.fnmatchcase(name, k[0])), None)


def reason(name, v):
    text = re.sub(r"'[^']*'", "'..'", v["text"].split("\n")[0])
    text = re.sub(r"\[[^\]]*\]", "[..]", text)
    text = re.sub(r"np\.\w+\([^)]*\)|-?\b\d[\d.e+-]*\b|\bc\d+\w*|nan|inf\b", "N", text)
    return f"{name.split('/')[0]:24} {v['stage']}: {text}"


def write_failures(path, failed):
    groups = collections.defaultdict(list)
    for name, v in failed.items():
        groups[reason(name, v)].append(name)
    with path.open("w") as f:
        for text, names in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
            print(f"\n{len(names):5}  {text}", file=f)
            for n in names:
                print(f"         {n}: {failed[n]['text'].splitlines()[0][:220] if failed[n]['text'] else ''}", file=f)
    return groups


def write_models(cases, folder):
    from matrix import referee
    for c in cases:
        d = folder / re.sub(r"[^\w.-]", "_", c.name)
        d.mkdir(parents=True, exist_ok=True)
        (d / "model.onnx").write_bytes(referee.declared([c], [c.want]).SerializeToString())
        for i in c.fed():
            np.save(d / f"in{i}.npy", c.inputs[i], allow_pickle=True)
        print(d)


def main():
    args = arguments()
    case_room.SEED = args.seed
    cases = generate()
    names = [n for n in cases if re.search(args.regex, n) and zlib.crc32(n.encode()) % args.every == 0]
    if args.list:
        print(*names, sep="\n")
        return
    if args.write:
        return write_models([cases[n] for n in names], args.write)
    began = time.monotonic()
    verdicts = run_all(cases, names, args)
    names, took = list(verdicts), time.monotonic() - began
    bad = {n: v for n, v in verdicts.items() if not v["ok"]}
    known = known_differences()
    used = {n: excused(n, v, known) for n, v in bad.items()}
    fresh = {n: v for n, v in bad.items() if not used[n]}
    healed = [k for k in known if k not in used.values()] if len(names) == len(cases) else []
    folder = args.build / "conform"
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "matrix.json"  # the last verdict of every case there is, for docs/ops.md
    last = json.loads(store.read_text()) if store.exists() else {}
    store.write_text(json.dumps({n: v for n, v in {**last, **verdicts}.items() if n in cases}))
    path = args.failures or folder / "matrix-failures.txt"
    groups = write_failures(path, fresh)
    for text, members in sorted(groups.items(), key=lambda g: -len(g[1]))[:40]:
        print(f"{len(members):5}  {text[:160]}")
    if args.verbose:
        for n, v in fresh.items():
            print(f"{n}: {v['stage']}: {v['text']}")
    if healed:
        print("these differ no longer, take them out of matrix-differs.txt:", *(" ".join(k) for k in healed), sep="\n  ")
    judged = collections.Counter(j for v in verdicts.values() for j in v["judges"])
    print("cases that had as judge: " + ", ".join(f"{text} {judged[j]}" for j, text in
          (("i", "the interpreter"), ("o", "ONNX Runtime"), ("r", "onnx.reference"), ("w", "docs/semantics.md or the specification's text"))))
    print(f"matrix: {len(names) - len(bad)} of {len(names)} cases agree ({len(bad) - len(fresh)} known), {len(fresh)} differ, {took:.0f} s; {path}")
    sys.exit(1 if fresh or healed else 0)


if __name__ == "__main__":
    main()
