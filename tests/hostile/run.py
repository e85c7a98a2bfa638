#!/usr/bin/env python3
"""run.py COMMAND.. - runs `COMMAND.. FILE` (usually `tenon check`) on every hostile model and compares exit codes with expect.tsv.

Each run may take 5 seconds and 256 MiB, write 4 KiB of printable text to stderr, and must leave the directory as it was.
"""
import os
import resource
import subprocess
import sys
import tempfile

import make

HERE = os.path.dirname(os.path.abspath(__file__))
SECONDS, MEMORY, STDERR = 5, 256 << 20, 4096


def expected():
    for line in open(os.path.join(HERE, "expect.tsv")):
        if line.strip() and not line.startswith("#"):
            name, code = line.rstrip("\n").split("\t")[:2]
            yield name, int(code)


def run(command, path):
    """Exit code, what was wrong besides it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    with open(path + ".stderr", "w+b") as err:
        child = subprocess.Popen(command + [path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err)
        try:
            code = child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            return None, [f"took more than {SECONDS} s"]
        err.seek(0)
        said = err.read()
    os.unlink(path + ".stderr")
    wrong = []
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if peak > before and peak * 1024 > MEMORY:
        wrong.append(f"used {peak >> 10} MiB")
    if len(said) > STDERR:
        wrong.append(f"wrote {len(said)} bytes to stderr")
    if any(b < 32 and b not in b"\n\t" or b == 127 for b in said):
        wrong.append("wrote control characters to stderr")
    if b"Sanitizer" in said or b"runtime error" in said:
        wrong.append("a sanitizer complained")
    return code, wrong


def main(command):
    failures = 0
    with tempfile.TemporaryDirectory() as d:
        make.main(d)
        names = [f.__name__ for f in make.CASES]
        listed = dict(expected())
        for name in sorted(set(names) ^ set(listed)):
            failures += 1
            print(f"FAIL {name}: only in one of make.py and expect.tsv")
        files = sorted(os.listdir(d))
        for name, code in listed.items():
            got, wrong = run(command, os.path.join(d, name + ".onnx"))
            if got != code:
                wrong.append(f"exit {got}, expected {code}")
            if wrong:
                failures += 1
                print(f"FAIL {name}: {'; '.join(wrong)}")
        if sorted(os.listdir(d)) != files:
            failures += 1
            print("FAIL: files were left behind:", sorted(set(os.listdir(d)) - set(files)))
    print(f"hostile: {len(listed) - failures} of {len(listed)} pass")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
