"""Compares what infer says of a model with what ONNX Runtime computes: every dim and every known element of every top-level value.

    infer.py INFER_VALUES MODEL_DIR...     each directory holds model.onnx and case folders with input_<k>.npy or .pb files

A value's text is evaluated with the input dims, loaded numbers and data-dependent dims that ONNX Runtime gives; named expressions and
requirements are evaluated too. Exit 1 on any difference.
"""
import pathlib
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort


class I(int):
    """An integer whose floor division is total, as the algebra's is."""
    def __add__(a, b): return I(int(a) + int(b))
    def __sub__(a, b): return I(int(a) - int(b))
    def __mul__(a, b): return I(int(a) * int(b))
    def __neg__(a): return I(-int(a))
    def __floordiv__(a, b): return I(int(a) // int(b)) if b else I(0)


F = {"add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a / b, "min": min, "max": max,
     "neg": lambda a: -a, "abs": abs, "floor": np.floor, "ceil": np.ceil, "rint": np.rint, "sqrt": np.sqrt, "cast": lambda a: a}
CALLS = {"max": lambda a, b: I(max(a, b)), "min": lambda a, b: I(min(a, b)), "bcast": lambda a, b: b if a == 1 else a, "INT": lambda x: I(int(x)),
         "GE": lambda x: I(x >= 0), "I": I, "f32": lambda x: np.float32(int(x)), "f64": lambda x: np.float64(int(x))}
for k, f in F.items():
    CALLS[k + "32"] = lambda *a, f=f: np.float32(f(*a))
    CALLS[k + "64"] = lambda *a, f=f: np.float64(f(*a))
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|-?0x[0-9a-fp.+-]+f?|\d+|[A-Za-z_][\w.]*|>= 0\]|\S')


def plain(name):
    return re.sub(r"\\x([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), name[1:-1]).replace('\\"', '"').replace("\\\\", "\\") if name[0] == '"' else name


def to_python(text, names):
    out, tokens = [], TOKEN.findall(text)
    for i, t in enumerate(tokens):
        call = i + 1 < len(tokens) and tokens[i + 1] == "("
        if t[0].isdigit() and not t.startswith("0x"): out.append(f"I({t})")
        elif t.startswith(("0x", "-0x")): out.append(f"np.float32(float.fromhex('{t[:-1]}'))" if t[-1] == "f" and "p" in t else f"float.fromhex('{t}')")
        elif call and t == "int": out.append("INT")
        elif call and t in CALLS: out.append(t)
        elif t[0] == '"' or t[0].isalpha() or t[0] == "_":
            names.append(plain(t))
            out.append(f"E[{plain(t)!r}]")
        else: out.append({"/": "//", "[": "GE(", ">= 0]": ")"}.get(t, t))
    return "".join(out)


class Env(dict):
    """Values of symbols; a named expression is evaluated when asked for."""
    def __init__(self, lets):
        super().__init__()
        self.lets = lets

    def __missing__(self, name):
        if name not in self.lets: raise KeyError(name)
        self[name] = evaluate(self.lets[name], self)
        return self[name]


CODE = {}


def evaluate(text, env):
    if text not in CODE: CODE[text] = compile(to_python(text, []), text[:40], "eval")
    return eval(CODE[text], {"E": env, "np": np, **CALLS})


def split_dims(t):
    if not t.endswith("]") or t.split("[")[0] in ("seq", "opt"): return None
    body, out, depth, quoted = t[t.index("[") + 1:-1], [""], 0, False
    for c in body:
        quoted ^= c == '"'
        if c in "([" and not quoted: depth += 1
        if c in ")]" and not quoted: depth -= 1
        if c == "," and not depth and not quoted: out.append("")
        else: out[-1] += c
    return [d for d in out if d]


def read_inputs(case, graph_inputs):
    feeds = {}
    for k, v in enumerate(graph_inputs):
        for f in (case / f"input_{k}.npy", case / f"input_{v.name}.npy", case / f"{v.name}.npy"):
            if f.exists(): feeds[v.name] = np.load(f, allow_pickle=True)
        f = case / f"input_{k}.pb"
        if f.exists(): feeds[v.name] = onnx.numpy_helper.to_array(onnx.load_tensor(f))
    return feeds


def instrumented(path):
    m = onnx.load(path)
    have = {o.name for o in m.graph.output}
    values = [o for n in m.graph.node for o in n.output if o and o not in have]
    m.graph.output.extend(onnx.helper.make_value_info(o, onnx.TypeProto()) for o in values)
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.log_severity_level = 4
    big = m.ByteSize() > 1 << 30
    if big:
        out = path.parent / ".infer_all.onnx"
        onnx.save(m, out, save_as_external_data=True, location=".infer_all.data")
        return m, ort.InferenceSession(str(out), o, providers=["CPUExecutionProvider"])
    return m, ort.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])


def check_case(rows, lets, graph, feeds, session, what):
    names = [o.name for o in session.get_outputs()]
    got = dict(zip(names, session.run(None, feeds)))
    got.update(feeds)
    env, bad = Env(lets), []
    for name, axis, text in rows["input"]:
        if name in feeds and text != "?" and re.fullmatch(r'"(\\.|[^"\\])*"|[A-Za-z_][\w.]*', text): env[plain(text)] = I(feeds[name].shape[int(axis)])
        elif name in feeds and text == "?": env[f"{name}.{axis}"] = I(feeds[name].shape[int(axis)])
    for sym, value, index in rows["loaded"]:
        if value in got: env[plain(sym)] = I(np.asarray(got[value]).ravel()[int(index)])
    for sym, value, axis, *_ in rows["fresh"]:
        if value in got and hasattr(got[value], "shape"): env[plain(sym)] = I(got[value].shape[int(axis)])
    dims = elements = 0
    for name, type_, *elems in rows["value"]:
        shape = split_dims(type_)
        if name not in got or shape is None or not hasattr(got[name], "shape"): continue
        try:
            said = tuple(int(evaluate(d, env)) for d in shape)
            real = got[name].shape
            dims += len(said)
            if said != real and not (0 in real and len(said) == len(real) and np.prod(said) == 0): bad.append(f"{name}: {said}, is {real}: {type_[:200]}")
            if elems:
                v, real = [int(evaluate(e, env)) for e in elems], [int(x) for x in np.asarray(got[name]).ravel()]
                elements += len(v)
                if v != real: bad.append(f"{name}: elements {v}, are {real}: {elems}"[:400])
        except KeyError as e:
            bad.append(f"{name}: symbol {e} is not known")
    for where, expr, text in rows["require"]:
        try:
            if where == "entry" and evaluate(expr, env) < 0: bad.append(f"requirement does not hold: {text[:300]}")
        except KeyError as e:
            bad.append(f"requirement {text[:200]}: symbol {e} is not known")
    print(f"{what}: {dims} dims, {elements} elements, {len(bad)} differences", flush=True)
    for b in bad[:8]: print("   ", b)
    return len(bad)


def main():
    tool, bad = sys.argv[1], 0
    for d in map(pathlib.Path, sys.argv[2:]):
        path = d if d.suffix == ".onnx" else next(d.glob("*.onnx"))
        p = subprocess.run([tool, str(path)], capture_output=True, text=True)
        if p.returncode:
            print(f"{d.name}: infer fails\n{p.stderr[:800]}")
            bad += 1
            continue
        rows = {k: [] for k in ("input", "value", "loaded", "fresh", "require", "let", "solved")}
        for line in p.stdout.splitlines():
            kind, *rest = line.split("\t")
            rows[kind].append(rest)
        lets = {plain(s): t for s, t in rows["let"]}
        try:
            model, session = instrumented(path)
        except Exception as e:
            print(f"{d.name}: ONNX Runtime: {str(e)[:200]}")
            continue
        init = {t.name for t in model.graph.initializer}
        inputs = [v for v in model.graph.input if v.name not in init]
        for case in sorted(c for c in d.iterdir() if c.is_dir()):
            bad += check_case(rows, lets, model.graph, read_inputs(case, inputs), session, f"{d.name}/{case.name}")
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
