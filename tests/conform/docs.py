"""docs/ops.md: operator x opset x type x backend, from the operator table and the results of whole runs in a build folder."""
import collections
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/tools"))

BACKENDS = ["llvm", "eval", "cuda"]
SHORT = {"float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "string": "str", "complex64": "c64", "complex128": "c128"}
HEAD = """# Operators

Written by `tests/conform/run.py --docs` from `tenon --print=ops-json` and from the results in its build folder; do not edit.

**Opsets** are the versions in which ONNX changed the operator: a model may have any of them, since older forms are rewritten to the newest. **Bold** ones were run.
**Signature** says what the row of the operator table takes: inputs -> outputs, a class of types each; `?` may be left out, `+` and `*` any number. The same letter is
the same type, unless digits tell them apart. **Types run** are those of operands and results of tests that passed. The columns of the backends are passed/run: LLVM, the
interpreter, and the CUDA C of the kernels on the CPU; `host`: in so many of these tests the operator itself is a step of the host; `-`: not run. **Cases** are those of the single-op matrix that agree with their judges (`tests/conform/README.md`).
"""


def short(onnx_type):
    name = onnx_type.replace("tensor(", "").replace(")", "")
    return SHORT.get(name) or name.replace("uint", "u").replace("int", "i").replace("float", "f")


def order(t):
    """Floats, integers, the rest; the wide ones first."""
    kind, bits = re.match(r"([a-z]+)(\d*)", t).groups()
    return (["f", "bf", "i", "u", "bool", "str", "c"].index(kind), -int(bits or 0), t)


def versions():
    """(domain, op) -> the versions that ONNX knows of it."""
    import onnx
    found = collections.defaultdict(set)
    for s in onnx.defs.get_all_schemas_with_history():
        found[s.domain, s.name].add(s.since_version)
    return {k: sorted(v) for k, v in found.items()}


class Results:
    """What was run: per operator its tests with their verdicts by backend, and the cases of the matrix."""

    def __init__(self, build, suites):
        self.tests = {}  # name -> description
        self.verdicts = {b: {} for b in BACKENDS}  # backend -> name -> passed
        self.host = collections.defaultdict(set)  # operator -> tests in which it stays on the host of a GPU
        for folder, stores in suites:
            if not folder.is_dir():
                continue
            for d in folder.iterdir():
                if (d / "meta.json").exists():
                    self.tests[d.name] = json.loads((d / "meta.json").read_text())
            for b in BACKENDS:
                path = stores / f"results-{b}.json"
                said = json.loads(path.read_text()) if path.exists() else {}
                self.verdicts[b].update({n: r["ok"] for n, r in said.items() if (folder / n).is_dir()})
                for n, r in said.items():
                    for op in r.get("host", []):
                        self.host[op].add(n)
        self.of = collections.defaultdict(list)
        for name, t in self.tests.items():
            self.of[t["domain"], t["op"]].append(name)
        path = build / "conform/matrix.json"
        self.cases = collections.defaultdict(list)
        for name, v in (json.loads(path.read_text()) if path.exists() else {}).items():
            self.cases[name.split("/")[0]].append((name.split("/"), v["ok"]))

    def cells(self, names, op=None):
        """passed/all by backend; for a GPU also in how many of them the operator itself is a host step."""
        said = [[self.verdicts[b][n] for n in names if n in self.verdicts[b]] for b in BACKENDS]
        cells = [f"{sum(v)}/{len(v)}" if v else "-" for v in said]
        host = len(self.host[op].intersection(names)) if op in self.host else 0
        cells[BACKENDS.index("cuda")] += f", host {host}" if host else ""
        return cells


def row(op, known, results, types):
    key = (op["domain"], op["name"])
    names = results.of.get(key, [])
    passed = [results.tests[n] for n in names if any(results.verdicts[b].get(n) for b in BACKENDS)]
    cases = results.cases.get(op["name"], []) if op["domain"] in ("", "ai.onnx.ml") else []
    opsets = known.get(key, [op["since"]])
    run = {t["opset"] for t in passed} | {int(c[1]) for c, ok in cases if ok and c[1].isdigit()}
    run = {max((v for v in opsets if v <= o), default=None) for o in run}
    dtypes = {short(x["type"]) for t in passed for x in t["inputs"] + t["outputs"]} | {c[2] for c, ok in cases if ok and len(c) > 2}
    if len(opsets) == 1:
        run = set(opsets) if passed or any(ok for _, ok in cases) else set()
    return [op["name"], op["family"] + (", HOST for str" if op["on_strings"] else ""), " ".join(f"**{v}**" if v in run else str(v) for v in opsets),
            f"`{op['signature']}`", " ".join(t for t in types if t in dtypes), *results.cells(names, op["name"]), f"{sum(ok for _, ok in cases)}/{len(cases)}" if cases else "-"]


def write(build, tenon, suites):
    import op_lines
    table = op_lines.table(tenon)
    results, known = Results(build, suites), versions()
    types = sorted(table["classes"]["t"], key=order)
    lines = [HEAD, "| class | types |", "|---|---|"]
    meaning = {"t": "any", "n": "numbers", "f": "floats", "i": "integers", "k": "indices", "q": "quantised", "b": "", "s": "", "F": "", "W": "", "I": ""}
    lines += [f"| `{c}` {meaning[c]} | {'all' if c == 't' else ' '.join(sorted(of, key=order))} |" for c, of in table["classes"].items()]
    lines += ["| `x` | any value: also sequences, optionals, maps |", "", "## Families", "",
              "Lines are those of the row and of the functions behind it, shared ones divided (`tests/tools/op_lines.py`).", "",
              "| family | operators | median lines | what an operator of it is |", "|---|---|---|---|"]
    lines += [f"| {f} | {n} | {median:.0f} | {table['families'].get(f, '')} |" for f, n, median in op_lines.summary(tenon)]
    refused = sum(op["family"] == "refused" for op in table["ops"])
    lines += [f"| refused | {refused} | | {table['families']['refused']} |"] if refused else []
    by_domain = collections.defaultdict(list)
    for op in table["ops"]:
        by_domain[op["domain"]].append(op)
    for domain, ops in sorted(by_domain.items()):
        if domain == "tenon":
            continue
        lines += ["", f"## {domain or 'ai.onnx'}", "", "| operator | family | opsets | signature | types run | " + " | ".join(BACKENDS) + " | cases |",
                  "|---" * (6 + len(BACKENDS)) + "|"]
        lines += ["| " + " | ".join(row(op, known, results, types)) + " |" for op in sorted(ops, key=lambda o: o["name"].lower())]
    lines += ["", "## Everything", "", "| | " + " | ".join(BACKENDS) + " |", "|---" * (1 + len(BACKENDS)) + "|",
              "| whole networks | " + " | ".join(results.cells(results.of.get(("", "(network)"), []))) + " |"]
    for name, kinds in (("ONNX's suite, of %d", ("node", "simple", "real", "model", "pytorch")), ("com.microsoft and ai.onnx.ml against ONNX Runtime, of %d", ("contrib",))):
        of = [n for n, t in results.tests.items() if (t["kind"] == "contrib") == (kinds == ("contrib",))]
        lines.append(f"| {name % len(of)} | " + " | ".join(results.cells(of)) + " |")
    if results.host:
        lines.append("\nSteps of the host of a CUDA program, each with the tests that have it: " +
                     ", ".join(f"{op} {len(of)}" for op, of in sorted(results.host.items())) + ". All other operators are kernels.")
    cases = [ok for of in results.cases.values() for _, ok in of]
    if cases:
        lines.append(f"\nThe single-op matrix: {sum(cases)} of {len(cases)} cases.")
    (ROOT / "docs" / "ops.md").write_text("\n".join(lines) + "\n")
