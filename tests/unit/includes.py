#!/usr/bin/env python3
"""Holds the arrows between rooms: reads every #include of the sources. Also holds what a reader expects of a file: it opens with a comment.

  driver -> frontend, passes, codegen -> ir;  frontend, passes and codegen never include each other;  the runtime includes nothing of the
  compiler;  the compiler includes only the runtime's public headers (<tenon_rt.h>) and its list of host ops (hostops.def), and codegen, which writes the
  runtime's tables, rt.h.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MAY = {"ir": {"ir"}, "frontend": {"frontend", "ir"}, "passes": {"passes", "ir"}, "codegen": {"codegen", "ir"}, "runtime": {"runtime"},
       "driver": {"driver", "frontend", "passes", "codegen", "ir"}}
# A room inside a room: codegen/llvm, codegen/cuda and codegen/artifact meet only in codegen/*.h.
APART = ["codegen/llvm", "codegen/cuda", "codegen/artifact"]


def room(path):
    return path.relative_to(ROOT).parts[0]


def target(source, name):
    """The file of the repository that #include "name" in source means, or None."""
    for base in (source.parent, ROOT, ROOT / "runtime" / "include"):
        if (base / name).is_file():
            return (base / name).resolve()
    return None


def wrong_includes(source):
    for line, text in enumerate(source.read_text(errors="replace").splitlines(), 1):
        m = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', text)
        found = m and target(source, m.group(1))
        if not found or ROOT not in found.parents:
            continue
        here, there = str(source.relative_to(ROOT)), str(found.relative_to(ROOT))
        if there.startswith("runtime/include/") or there == "runtime/hostops.def" or (there == "runtime/rt.h" and room(source) == "codegen"):
            continue
        if room(found) not in MAY[room(source)]:
            yield f"{here}:{line}: {room(source)} must not include {there}"
        for a in APART:
            if there.startswith(a + "/") and not here.startswith(a + "/"):
                yield f"{here}:{line}: {there} is {a}'s own"


def main():
    sources = [f for r in MAY for f in sorted((ROOT / r).rglob("*.[ch]"))]
    wrong = [w for f in sources for w in wrong_includes(f)]
    wrong += [f"{f.relative_to(ROOT)}: does not open with a comment" for f in sources
              if not f.read_text(errors="replace").lstrip().startswith(("//", "/*"))]
    if not sources:
        wrong.append("no sources were found")
    print("\n".join(wrong) if wrong else f"{len(sources)} files keep the arrows")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
