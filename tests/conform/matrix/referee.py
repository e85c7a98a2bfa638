"""Runs cases through the compiler, the interpreter, ONNX Runtime and onnx.reference, many in one model where that works, and compares what they say.

A model that fails as a whole is halved until the cases that are to blame stand alone. A Verdict says who judged a case and what differs.
"""
import os
import shutil
import warnings
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx
from onnx import helper

import tenon_abi
import values
import worker

from . import case as case_room
from .case import kind, model, out_names

PLAIN = {"float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "object"}


@dataclass
class Verdict:
    ok: bool
    stage: str = ""      # exit_N (the compiler's), bug, load, run, interpreter, ort, ort-only (others agree with us), reference, rule
    text: str = ""
    judges: str = ""     # letters of those who answered: i(nterpreter) o(rt) r(eference) w(anted by the rules)


class Failed(Exception):
    """stage and text of what went wrong with a model."""

    def __init__(self, stage, text):
        super().__init__(text)
        self.stage = stage


def by_halves(cases, run):
    """run(cases) gives a result per case or raises Failed; a case that fails alone has the Failed as its result."""
    try:
        return run(cases)
    except Failed as e:
        if len(cases) == 1:
            return [e]
    half = len(cases) // 2
    return by_halves(cases[:half], run) + by_halves(cases[half:], run)


def deal(cases, flat):
    """One list of output values -> a list per case."""
    out, at = [], 0
    for c in cases:
        n = len(out_names(c, 0))
        out.append(list(flat[at:at + n]))
        at += n
    return out


# ---- ONNX Runtime ----

class Ort:
    """Types that Python cannot hand over go in as initializers and come out through a Cast (exact both ways)."""

    def __init__(self):
        os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
        import onnxruntime
        onnxruntime.set_default_logger_severity(4)
        self.rt = onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.options.intra_op_num_threads = self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 4
        self.lacking = set()

    def run(self, cases):
        odd = lambda x: not isinstance(x, list) and x.dtype.name not in PLAIN
        m = model(cases, fixed=odd)
        types = [t for c in cases for t in output_types(c)]
        for o, t in zip(m.graph.output, types):
            if t is not None and t.name not in PLAIN:
                via = helper.make_node("Cast", [o.name], [o.name + "_plain"], to=1 if kind(t) == "float" else 7)
                if kind(t) == "complex":
                    raise Failed("ort", "no complex")
                m.graph.node.append(via)
                o.name += "_plain"
        feeds = {n: c.inputs[i] for k, c in enumerate(cases) for i, n in enumerate(case_room.in_names(c, k)) if i in c.fed() and not odd(c.inputs[i])}
        try:
            session = self.rt.InferenceSession(m.SerializeToString(), self.options, providers=["CPUExecutionProvider"])
            got = session.run(None, feeds)
        except Exception as e:  # its exceptions have no common class
            raise Failed("ort", str(e)[:300]) from None
        got = [g if t is None or t.name in PLAIN or not hasattr(g, "astype") else g.astype(t) for g, t in zip(got, types)]
        return deal(cases, got)

    def key(self, c):
        return (c.domain, c.op, c.opset, tuple(x.dtype.name if hasattr(x, "dtype") else str(type(x)) for x in c.inputs), str(c.attrs.get("to")))

    def ask(self, cases):
        """A kernel that one case lacks is lacked by its like."""
        results = {}
        todo = [c for c in cases if c.ort and self.key(c) not in self.lacking]
        try:
            answers = self.run(todo) if todo else []
        except Failed:
            answers = []
            for c in todo:
                try:
                    answers += self.run([c]) if self.key(c) not in self.lacking else [None]
                except Failed as e:
                    if "NOT_IMPLEMENTED" in str(e) or "Could not find an implementation" in str(e):
                        self.lacking.add(self.key(c))
                    answers.append(e)
        for c, a in zip(todo, answers):
            results[c.name] = a
        return [results.get(c.name) for c in cases]


def output_types(c):
    """numpy types of the outputs that are asked for, from shape inference."""
    if c.types:
        return [np.dtype(t) for t in c.types]
    infos = infer([c], model([c]))
    return [values.DTYPES.get(i.type.tensor_type.elem_type) if i is not None and i.type.HasField("tensor_type") else None for i in infos]


def infer(cases, m):
    """Value infos of the outputs by ONNX's own inference, None where it knows nothing."""
    try:
        got = onnx.shape_inference.infer_shapes(m)
    except Exception:
        return [None] * len(m.graph.output)
    return [o if o.type.WhichOneof("value") else None for o in got.graph.output]


def reference(c):
    from onnx.reference import ReferenceEvaluator
    try:
        m = model([c])
        feeds = {n: x for n, x in zip(case_room.in_names(c, 0), c.inputs) if n in [i.name for i in m.graph.input]}
        for o in m.graph.output:  # the evaluator wants a type, not that it is right
            o.type.tensor_type.elem_type = 1
        got = ReferenceEvaluator(m).run(None, feeds)
        return [typed(v, t) for v, t in zip(got, output_types(c))]
    except Exception as e:
        return Failed("reference", f"{type(e).__name__}: {str(e)[:200]}")


def typed(v, dtype):
    """The evaluator's value as an array; numpy has widened some numbers."""
    if isinstance(v, (list, dict)) or v is None:
        return v
    v = np.asarray(v)
    if dtype is not None and v.dtype != dtype and (kind(v.dtype) == kind(dtype) == "float" or kind(v.dtype) in ("int", "uint") and kind(dtype) in ("int", "uint")):
        return v.astype(dtype)
    return v


# ---- the compiler and the interpreter ----

def declared(cases, answers):
    """The model with types of outputs: by inference, the rank else from what a referee has given."""
    m = model(cases)
    known = infer(cases, m)
    flat_types = [t for c in cases for t in (c.types or [None] * len(out_names(c, 0)))]
    flat = [v for c, a in zip(cases, answers) for v in (a if isinstance(a, list) else [None] * len(out_names(c, 0)))]
    outs = []
    for o, info, t, v in zip(m.graph.output, known, flat_types, flat):
        if info is None:
            like = v if hasattr(v, "dtype") else None
            if t is None and like is None:
                t = next((x.dtype for x in cases[0].inputs if x is not None and hasattr(x, "dtype")), np.dtype("f4"))
            info = helper.make_tensor_value_info(o.name, case_room.number(t if t is not None else like.dtype), None)
        kind_ = info.type
        if kind_.HasField("tensor_type") and not kind_.tensor_type.HasField("shape") and hasattr(v, "ndim"):
            info = helper.make_tensor_value_info(o.name, kind_.tensor_type.elem_type, [None] * v.ndim)
        outs.append(info)
    return model(cases, outs=outs)


def type_text(x):
    if isinstance(x, list):
        return f"seq({type_text(x[0] if x else np.zeros(0, np.float32))})"
    return f"tensor({onnx.TensorProto.DataType.Name(case_room.number(x.dtype)).lower()})"


def types_of(cases):
    return [type_text(c.inputs[i]) for c in cases for i in c.fed()]


def feeds_of(cases):
    return [c.inputs[i] for c in cases for i in c.fed()]


class Compiler:
    def __init__(self, build, scratch, options):
        self.llvm, self.eval = worker.Llvm(build, scratch, options), worker.Eval(build, scratch, options)
        self.scratch, self.n = scratch, 0

    def file(self, m):
        self.n += 1
        path = self.scratch / f"m{self.n}" / "model.onnx"  # the artifact is named by the folder
        path.parent.mkdir()
        path.write_bytes(m.SerializeToString())
        return path

    def run(self, backend, cases, answers):
        path = self.file(declared(cases, answers))
        try:
            backend.compile(path, types_of(cases))
            return deal(cases, backend.run(feeds_of(cases)))
        except worker.Failed as e:
            raise Failed(e.stage, str(e)) from None
        finally:
            backend.close()
            shutil.rmtree(path.parent)

    def ask(self, backend, cases, answers):
        known = dict(zip([c.name for c in cases], answers))
        return by_halves(cases, lambda part: self.run(backend, part, [known[c.name] for c in part]))

    def interpret(self, cases, answers):
        """What the interpreter cannot do has no answer: it must not have many such."""
        said = self.ask(self.eval, cases, answers)
        return [None if isinstance(g, Failed) and "does not call" in str(g) else g for g in said]


# ---- comparison ----

def steps(want, dtype):
    """The distance to the next number at each expected value."""
    info = ml_dtypes.finfo(dtype)
    with np.errstate(all="ignore"):
        exponent = np.floor(np.log2(np.abs(want)))
    exponent = np.where(np.isfinite(exponent), np.maximum(exponent, info.minexp), info.minexp)
    return 2.0 ** (exponent - info.nmant)


def parts(x):
    """Complex numbers as pairs of reals."""
    if x.dtype.kind == "c":
        return np.stack([x.real, x.imag], -1)
    return x


def unequal(got, want, ulp=0.0, frac=0.0, atol=0.0, signed=False):
    """What differs between an array and what is expected, or None."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, list) or len(got) != len(want):
            return f"no sequence of {len(want)}"
        return next((f"item {i}: {t}" for i, (g, w) in enumerate(zip(got, want)) if (t := unequal(g, w, ulp, frac, atol, signed))), None)
    if isinstance(want, dict):
        return None if got == want else f"{got} instead of {want}"
    if want is None or got is None:
        return None if got is want else f"{got} instead of {want}"
    got, want = np.asarray(got), np.asarray(want)
    if got.dtype.kind in "US" or want.dtype.kind in "US":
        got, want = got.astype(object), want.astype(object)
    if got.dtype != want.dtype:
        return f"type {got.dtype} instead of {want.dtype}"
    if got.shape != want.shape:
        return f"shape {list(got.shape)} instead of {list(want.shape)}"
    if kind(got.dtype) in ("float", "complex"):
        bad = float_differences(parts(got), parts(want), ulp, frac, atol, signed)
    else:
        bad = np.asarray(got != want).astype(bool)
    if not bad.any():
        return None
    g, w = parts(got) if got.dtype.kind == "c" else got, parts(want) if want.dtype.kind == "c" else want
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} of {bad.size} differ, the first at {list(at)}: {g[at]!r} instead of {w[at]!r}"


def float_differences(got, want, ulp, frac, atol, signed):
    small = np.dtype(got.dtype)
    g, w = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(w)
    with np.errstate(all="ignore"):
        room = ulp * steps(np.where(finite, w, 0), small) + atol
        if frac and finite.any():
            room = room + frac * np.max(np.abs(w[finite]))
        if ulp or frac:
            room = room + float(ml_dtypes.finfo(small).tiny)
        top = float(ml_dtypes.finfo(small).max)
        near = finite & np.isfinite(g) & (np.abs(g - w) <= room)
        if ulp or frac:  # a step across the overflow limit
            near |= (np.abs(w) >= top) & (np.abs(g) >= top * (1 - 1e-6)) & (np.sign(g) == np.sign(w))
    same = near | (np.isnan(g) & np.isnan(w)) | (g == w)
    if signed:
        same &= (w != 0) | (np.signbit(g) == np.signbit(w))
    return ~same


def all_unequal(got, want, **how):
    if len(got) < len(want):
        return f"{len(got)} outputs instead of {len(want)}"
    return next((f"output {i}: {t}" if len(want) > 1 else t for i, (g, w) in enumerate(zip(got, want)) if (t := unequal(g, w, **how))), None)


def judge(c, compiled, interpreted, ort):
    """The verdict on one case from what everybody said: values or a Failed, None where not asked."""
    if c.fails:
        for who, said in (("run", compiled), ("interpreter", interpreted)):
            if said is not None and (not isinstance(said, Failed) or said.stage not in ("run", "exit 8", "exit 4", "exit 3")):
                return Verdict(False, who, f"not refused: {said}"[:200], "w")
        return Verdict(True, judges="w")
    if isinstance(compiled, Failed):
        return Verdict(False, compiled.stage.replace(" ", "_"), str(compiled))
    judges, how = "", dict(ulp=c.ulp, frac=c.frac, atol=c.atol, signed=c.signed)
    if isinstance(interpreted, Failed):
        return Verdict(False, "interpreter", f"{interpreted.stage}: {interpreted}")
    if interpreted is not None:
        judges += "i"
        if text := all_unequal(compiled, interpreted, signed=True):
            return Verdict(False, "interpreter", text, judges)
    if c.want is not None:
        judges += "w"
        if text := all_unequal(compiled, c.want, **how):
            return Verdict(False, "rule", text, judges)
    if isinstance(ort, list):
        judges += "o"
        if text := all_unequal(compiled, ort, **how):
            second = reference(c) if c.ref else None
            if isinstance(second, list):
                if not all_unequal(compiled, second, **how) or c.want is not None:
                    return Verdict(False, "ort-only", text, judges + "r")
                text += " (the reference agrees with it)" if not all_unequal(ort, second, **how) else " (the reference says otherwise)"
            return Verdict(False, "ort-only" if c.want is not None else "ort", text, judges)
    elif c.ref and c.want is None:
        second = reference(c)
        if isinstance(second, list):
            judges += "r"
            if text := all_unequal(compiled, second, **how):
                return Verdict(False, "reference", text, judges)
    return Verdict(True, judges=judges)


class Court:
    """What a worker process holds. `tell` hears what is about to be done, since any of it may kill the process."""

    def __init__(self, build, scratch, options, tell):
        warnings.filterwarnings("ignore")
        np.seterr(all="ignore")
        self.ort, self.compiler, self.tell = Ort(), Compiler(build, scratch, options), tell

    def try_cases(self, cases, with_ort=True):
        self.tell("ort")
        said = self.ort.ask(cases) if with_ort else [None] * len(cases)
        said = [None if isinstance(s, Failed) else s for s in said]
        shapes = [s if s is not None else c.want if c.want is not None else None for c, s in zip(cases, said)]
        for k, c in enumerate(cases):
            if shapes[k] is None and c.ref and not all(infer([c], model([c]))):
                shapes[k] = reference(c)
        self.tell("run")
        compiled = self.compiler.ask(self.compiler.llvm, cases, shapes)
        self.tell("interpreter")
        good = [k for k, r in enumerate(compiled) if not isinstance(r, Failed) or cases[k].fails]
        answers = self.compiler.interpret([cases[k] for k in good], [shapes[k] for k in good]) if good else []
        interpreted = [None] * len(cases)
        for k, a in zip(good, answers):
            interpreted[k] = a
        self.tell("reference")
        return [judge(c, compiled[k], interpreted[k], said[k]) for k, c in enumerate(cases)]
