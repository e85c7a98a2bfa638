#!/usr/bin/env python3
"""format_ops.py [--check] - the rows of ir/ops/*.def in columns, attributes behind them or on lines of their own. --check: only say what would change."""
import re
import sys
from pathlib import Path

WIDTH = 144
CAP = [30, 36, 6, 36, 28, 6]  # a cell that is wider makes its column no wider: domain, name, since, signature, shape, family
ROOM = Path(__file__).resolve().parent.parent.parent / "ir/ops"


def cells(text, most):
    """The first arguments of OP(..), and the rest as words: attributes are calls without commas between them."""
    found, depth, quoted, start = [], 0, False, 0
    for i, ch in enumerate(text):
        quoted ^= ch == '"'
        depth += 0 if quoted else (ch == "(") - (ch == ")")
        if ch == "," and not depth and not quoted and len(found) < most:
            found.append(text[start:i].strip())
            start = i + 1
    rest = text[start:].strip()
    return (found, rest) if len(found) == most else (found + [rest], "")


def words(rest):
    return re.findall(r"\w+\((?:[^()]|\([^()]*\))*\)|\w+", rest)


def row(text, widths):
    columns, rest = cells(text, 7)
    pad = [c + "," if k == 2 else (c + ",").ljust(widths[k] + 1) for k, c in enumerate(columns[:6])]
    pad[2] = columns[2].rjust(widths[2]) + ","
    head, attributes = "OP(" + " ".join(pad) + " " + columns[6], words(rest)
    one = head + ("," if attributes else "") + "".join(" " + w for w in attributes) + ")"
    if not attributes or len(one) <= WIDTH:
        return [one]
    lines, line = [head + ","], "  "
    for w in attributes:
        if len(line) + 1 + len(w) + 1 > WIDTH:
            lines.append(line)
            line = "  "
        line += " " + w
    return lines + [line + ")"]


def section(rows):
    """Rows between two comments share their columns."""
    table = [cells(text, 7)[0] for text in rows]
    widths = [max((len(r[k]) for r in table if len(r[k]) <= CAP[k]), default=0) for k in range(6)]
    return [line for text in rows for line in row(text, widths)]


def formatted(text):
    out, rows, lines = [], [], text.split("\n")
    while lines:
        line = lines.pop(0)
        if line.startswith("OP("):
            while not balanced(line):
                line += " " + lines.pop(0).strip()
            rows.append(line[3:line.rindex(")")])
            continue
        if line or not rows:
            out += section(rows)
            rows = []
            out.append(line)
        elif rows:
            out += section(rows) + [""]
            rows = []
    return "\n".join(out + section(rows))


def balanced(line):
    bare = re.sub(r'"[^"]*"', "", line)
    return bare.count("(") == bare.count(")")


def main():
    wrong = 0
    for path in sorted(ROOM.glob("*.def")):
        text = path.read_text()
        new = formatted(text)
        if new != text:
            wrong += 1
            print(f"{path.relative_to(ROOM.parent.parent)}: rows are not in columns: tests/tools/format_ops.py" if "--check" in sys.argv else path)
            if "--check" not in sys.argv:
                path.write_text(new)
    sys.exit(wrong if "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
