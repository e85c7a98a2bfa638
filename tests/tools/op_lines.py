#!/usr/bin/env python3
"""op_lines.py TENON - how many lines an operator is: those of its row in ir/ops/*.def and those of the functions behind it.

Behind a row stand the function that it names and what that calls in the same file; a function behind several rows is shared out among them. Shape rules,
old_ rules and what whole rooms are written in (makers, folds, the formula parser) are not counted.
"""
import collections
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = {"INDEX": "index_", "FOLDN": "fold_", "NEST": "nest_", "EXPAND": "expand_", "HOST": "tn_op_", "REGION": "region_"}
ORDER = ["ELEM", "INDEX", "FOLD", "FOLDN", "NEST", "EXPAND", "HOST", "REGION"]


def table(tenon):
    return json.loads(subprocess.run([tenon, "--print=ops-json"], capture_output=True, text=True, check=True).stdout)


def row_lines():
    """(domain, name) -> lines of its row."""
    lines = {}
    for path in (ROOT / "ir/ops").glob("*.def"):
        at = None
        for line in path.read_text().splitlines():
            if m := re.match(r'OP\("([^"]*)",\s*(\w+)', line):
                at = (m[1], m[2].removeprefix("ms_"))
                lines[at] = 0
            elif not re.match(r"\s+\S", line):
                at = None
            if at:
                lines[at] += 1
    return lines


def functions(path):
    """name -> (lines, names it calls) of the functions of a C file in the project's format."""
    found, name = {}, None
    for line in path.read_text().splitlines():
        if name is None and (m := re.match(r"[A-Za-z_][\w \*]*?\b(\w+)\(.*\{", line)):
            name, body = m[1], []
        if name is not None:
            body.append(line)
            if line.startswith("}") or (len(body) == 1 and line.endswith("}")):
                found[name] = (len(body), set(re.findall(r"\w+", "\n".join(body))) - {name})
                name = None
    return found


def reached(names, file):
    """The functions of a file that these call, directly or not."""
    todo, seen = [n for n in names if n in file], set()
    while todo:
        n = todo.pop()
        if n not in seen:
            seen.add(n)
            todo += [x for x in file[n][1] if x in file]
    return seen


def count(tenon):
    """(domain, name) -> (family, lines)."""
    files = [functions(p) for room in ("passes", "runtime") for p in sorted((ROOT / room).glob("*.c"))]
    home = {n: f for f in files for n in f}
    rows, ops = row_lines(), table(tenon)["ops"]
    behind = {}
    for op in ops:
        function = PREFIX.get(op["family"], "") + op["how"]
        behind[op["domain"], op["name"]] = [(id(home[function]), n) for n in reached([function], home[function])] if function in home else []
    users = collections.Counter(f for functions_of in behind.values() for f in functions_of)
    size = {(id(f), n): f[n][0] for f in files for n in f}
    return {(op["domain"], op["name"]): (op["family"], rows[op["domain"], op["name"]] + sum(size[f] / users[f] for f in behind[op["domain"], op["name"]]))
            for op in ops}


def summary(tenon):
    """[(family, rows, median lines)], the last one of all."""
    lines = collections.defaultdict(list)
    for family, n in count(tenon).values():
        lines[family].append(n)
    lines.pop("refused", None)
    every = [n for of in lines.values() for n in of]
    return [(f, len(lines[f]), statistics.median(lines[f])) for f in ORDER if f in lines] + [("all", len(every), statistics.median(every))]


if __name__ == "__main__":
    for family, rows, median in summary(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/tenon"):
        print(f"{family:8} {rows:4} rows, median {median:.0f} lines")
