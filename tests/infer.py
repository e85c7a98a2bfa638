"""Compares what infer says of a model with what is: every dim and every known element.

    infer.py INFER_VALUES MODEL_DIR...         each directory holds model.onnx and case folders with input_<k>.npy or .pb files;
                                               ONNX Runtime computes every top-level value
    infer.py INFER_VALUES --suite DIR          the backend tests as tests/conform/dump.py writes them: types of inputs and outputs
    infer.py INFER_VALUES --suite DIR --dynamic    the same with every dim of every input made a symbol of its own

A value's text is evaluated with the input dims, loaded numbers and data-dependent dims that the reference gives; named expressions and
requirements are evaluated too. Exit 1 on any difference.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx


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
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.log_severity_level = 4
    big = m.ByteSize() > 1 << 30
    if big:
        out = path.parent / ".infer_all.onnx"
        onnx.save(m, out, save_as_external_data=True, location=".infer_all.data")
        return m, ort.InferenceSession(str(out), o, providers=["CPUExecutionProvider"])
    return m, ort.InferenceSession(m.SerializeToString(), o, providers=["CPUExecutionProvider"])


NUMPY = {"f32": "float32", "f64": "float64", "f16": "float16", "bool": "bool", "u8": "uint8", "u16": "uint16", "u32": "uint32", "u64": "uint64",
         "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64"}


def inferred(tool, path):
    """The tool's lines by their first word, or its message."""
    p = subprocess.run([tool, str(path)], capture_output=True)
    rows = {k: [] for k in ("input", "value", "loaded", "fresh", "require", "let", "solved")}
    for line in p.stdout.decode("utf8", "replace").splitlines():
        kind, *rest = line.split("\t")
        rows[kind].append(rest)
    return (rows, None) if p.returncode == 0 else (None, p.stderr.decode("utf8", "replace"))


def symbols(rows, got):
    env = Env({plain(s): t for s, t in rows["let"]})
    for name, axis, text in rows["input"]:
        if name in got and text == "?": env[f"{name}.{axis}"] = I(got[name].shape[int(axis)])
        elif name in got and re.fullmatch(r'"(\\.|[^"\\])*"|[A-Za-z_][\w.]*', text): env[plain(text)] = I(got[name].shape[int(axis)])
    for sym, value, index in rows["loaded"]:
        if value in got: env[plain(sym)] = I(np.asarray(got[value]).ravel()[int(index)])
    for sym, value, axis, *_ in rows["fresh"]:
        if value in got and hasattr(got[value], "shape"): env[plain(sym)] = I(got[value].shape[int(axis)])
    return env


class Check:
    """Counts and differences of one case."""
    def __init__(self, rows, got):
        self.env, self.got, self.bad, self.dims, self.elements, self.open = symbols(rows, got), got, [], 0, 0, 0
        for name, type_, *elems in rows["value"]:
            if name in got and hasattr(got[name], "shape") and split_dims(type_) is not None: self.value(name, type_, elems)
        for where, expr, text in rows["require"]:
            if where == "entry": self.requirement(expr, text)

    def value(self, name, type_, elems):
        real = self.got[name]
        dtype = NUMPY.get(type_.split("[")[0])
        if dtype and real.dtype != np.dtype(dtype): self.bad.append(f"{name}: {type_}, is {real.dtype}")
        try:
            said = tuple(int(evaluate(d, self.env)) for d in split_dims(type_))
            self.dims += len(said)
            if said != real.shape and not (0 in real.shape and len(said) == len(real.shape) and 0 in said):
                self.bad.append(f"{name}: {said}, is {real.shape}: {type_[:200]}")
            values = [int(evaluate(e, self.env)) for e in elems]
            self.elements += len(values)
            if elems and values != [int(x) for x in real.ravel()]: self.bad.append(f"{name}: elements {values}, are {real.ravel()}: {elems}"[:400])
        except KeyError:
            self.open += 1  # a number that only the run can show

    def requirement(self, expr, text):
        try:
            if evaluate(expr, self.env) < 0: self.bad.append(f"requirement does not hold: {text[:300]}")
        except KeyError:
            self.open += 1


def check_model(tool, d):
    path = d if d.suffix == ".onnx" else next(d.glob("*.onnx"))
    rows, message = inferred(tool, path)
    if message:
        print(f"{d.name}: infer fails\n{message[:800]}")
        return 1
    try:
        model, session = instrumented(path)
    except Exception as e:
        print(f"{d.name}: ONNX Runtime: {str(e)[:200]}")
        return 0
    init = {t.name for t in model.graph.initializer}
    bad = 0
    for case in sorted(c for c in d.iterdir() if c.is_dir()):
        feeds = read_inputs(case, [v for v in model.graph.input if v.name not in init])
        names = [o.name for o in session.get_outputs()]
        c = Check(rows, {**dict(zip(names, session.run(None, feeds))), **feeds})
        print(f"{d.name}/{case.name}: {c.dims} dims, {c.elements} elements, {c.open} not seen, {len(c.bad)} differences", flush=True)
        for b in c.bad[:8]: print("   ", b)
        bad += len(c.bad) + c.open
    return bad


def make_dynamic(model):
    """Every dim of every input becomes a symbol, but for vectors of integers, whose length may be a rank."""
    init = {t.name for t in model.graph.initializer}
    for v in model.graph.input:
        t = v.type.tensor_type
        if v.name in init or not v.type.HasField("tensor_type") or t.elem_type in (6, 7) and len(t.shape.dim) <= 1: continue
        for axis, d in enumerate(t.shape.dim): d.dim_param = f"{v.name}_d{axis}"
    del model.graph.value_info[:]
    for v in model.graph.output:
        if v.type.HasField("tensor_type"): v.type.tensor_type.ClearField("shape")


def load_value(path):
    try:
        return onnx.numpy_helper.to_array(onnx.load_tensor(path))
    except Exception:  # a sequence, an optional, a map
        return None


def check_suite(tool, folder, dynamic):
    count, bad, refused = 0, 0, []
    scratch = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    for d in sorted(p.parent for p in folder.glob("*/model.onnx")):
        model, path = onnx.load(d / "model.onnx"), d / "model.onnx"
        if dynamic:
            make_dynamic(model)
            onnx.save(model, scratch)
            path = scratch
        rows, message = inferred(tool, path)
        count += 1
        if message:
            refused.append(f"{d.name}: {message.strip().splitlines()[0][:200]}")
            continue
        init = {t.name for t in model.graph.initializer}
        got = {}
        for kind, values in ("in", [v for v in model.graph.input if v.name not in init]), ("out", model.graph.output):
            for k, v in enumerate(values):
                f = d / "0" / f"{kind}{k}.pb"
                if v.type.HasField("tensor_type") and f.exists(): got[v.name] = load_value(f)
        c = Check(rows, {k: v for k, v in got.items() if v is not None})
        if c.bad: print(f"{d.name}: {c.bad[0]}")
        bad += bool(c.bad)
    for r in refused: print("refused", r)
    print(f"{count} models, {bad} with differences, {len(refused)} refused")
    return bad + (0 if dynamic else len(refused))


def main():
    tool, *rest = sys.argv[1:]
    if rest[0] == "--suite": sys.exit(check_suite(tool, pathlib.Path(rest[1]), "--dynamic" in rest) != 0)
    sys.exit(sum(check_model(tool, pathlib.Path(d)) for d in rest) != 0)


if __name__ == "__main__":
    main()
