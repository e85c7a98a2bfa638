"""Elementwise operators: every version, every type the schema allows, edges of values, broadcasting, symbolic dims."""
import math

import numpy as np

from .case import SHAPES, Case, allowed, edges, kind, label, limits, mantissa, ordinary, product, rng, schemas, short, versions, wide

EXACT = 0
# Operators with the steps (of float32) by which exact evaluation and another may differ: a correctly rounded one 0, formulas over them more.
UNARY = {"Abs": 0, "Neg": 0, "Sign": 0, "Floor": 0, "Ceil": 0, "Round": 0, "Sqrt": 0, "Reciprocal": 1, "Relu": 0, "Not": 0, "BitwiseNot": 0, "IsNaN": 0,
         "IsInf": 0, "Identity": 0, "Exp": 4, "Log": 4, "Sin": 4, "Cos": 4, "Tan": 6, "Asin": 6, "Acos": 6, "Atan": 6, "Sinh": 8, "Cosh": 8, "Tanh": 6,
         "Asinh": 8, "Acosh": 8, "Atanh": 8, "Erf": 8, "Sigmoid": 6, "Softplus": 8, "Softsign": 2, "Elu": 8, "Selu": 8, "Celu": 8, "LeakyRelu": 1,
         "ThresholdedRelu": 0, "HardSigmoid": 2, "HardSwish": 4, "Mish": 12, "Gelu": 12, "Swish": 8, "Shrink": 1}
BINARY = {"Add": 0, "Sub": 0, "Mul": 0, "Div": 0, "Pow": 8, "Mod": 2, "PRelu": 1, "Equal": 0, "Less": 0, "LessOrEqual": 0, "Greater": 0, "GreaterOrEqual": 0,
          "And": 0, "Or": 0, "Xor": 0, "BitwiseAnd": 0, "BitwiseOr": 0, "BitwiseXor": 0, "SwiGLU": 8}
# Where formulas cancel: what may differ absolutely, in units of the type's epsilon.
CANCELS = {"Gelu": 16, "Sigmoid": 1, "Sin": 1, "Cos": 1, "Mish": 4, "Elu": 4, "Selu": 4, "Celu": 4, "Swish": 8, "SwiGLU": 32, "HardSwish": 2, "HardSigmoid": 1, "Softplus": 1, "Erf": 1, "Tanh": 1}
VARIADIC = {"Max": 0, "Min": 0, "Sum": 1, "Mean": 2}
ATTRS = {"LeakyRelu": [{}, {"alpha": 0.3}], "Elu": [{}, {"alpha": 2.5}], "Selu": [{}, {"alpha": 2.0, "gamma": 0.5}], "Celu": [{}, {"alpha": 0.4}],
         "ThresholdedRelu": [{}, {"alpha": -0.5}], "HardSigmoid": [{}, {"alpha": 0.5, "beta": 0.25}], "Gelu": [{}, {"approximate": "tanh"}],
         "Swish": [{}, {"alpha": 1.7}], "SwiGLU": [{}, {"alpha": 0.5}], "Shrink": [{}, {"lambd": 1.5, "bias": 0.5}],
         "IsInf": [{}, {"detect_negative": 0}, {"detect_positive": 0}, {"detect_negative": 0, "detect_positive": 0}]}
PAIRS = [((17,), (17,)), ((3, 5), (5,)), ((2, 3, 37), (2, 1, 37)), ((), (3, 4)), ((4, 1), (1, 37)), ((0, 3), (1, 3)), ((2, 1, 3), (5, 1)), ((), ())]


def room(ulp, dtype):
    """Steps of the type's own: a narrow type rounds once what was computed in float32."""
    return ulp if dtype in (np.float32, np.float64) or not ulp else 1


def near(op, dtype):
    if kind(dtype) != "float":
        return {}
    return dict(ulp=room({**UNARY, **BINARY}[op], dtype), atol=CANCELS.get(op, 0) * 2.0 ** -mantissa(dtype))


def shapes_for(dtype, all_of=SHAPES):
    """All shapes for the types everybody uses, a few for the others."""
    return all_of if dtype in (np.float32, np.int64, np.uint8) else all_of[2:5]


def safe(op, dtype):
    """Values for which the operator is defined: whether the edges may be among them."""
    return not (op in ("Sin", "Cos", "Tan") or kind(dtype) not in ("float", "bool") and op in ("Erf", "Shrink"))


def unary():
    for op, ulp in UNARY.items():
        for s in versions(op):
            for dtype in allowed(s, 0):
                if kind(dtype) in ("complex", "object") and op != "Identity":
                    continue
                for n, attrs in enumerate(ATTRS.get(op, [{}])):
                    if set(attrs) - set(s.attributes):
                        continue
                    for shape in shapes_for(dtype):
                        for dims in ("", "size") if shape else ("",):
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}{'/' + dims if dims else ''}{f'/a{n}' if n else ''}"
                            r = rng(name)
                            x = wide(r, dtype, shape) if safe(op, dtype) else ordinary(r, dtype, shape)
                            yield Case(name, op, s.since_version, [x], attrs, **near(op, dtype), dims=dims, signed=op in ("Identity", "Neg", "Abs"), want=rule_unary(op, x), ref=op != "Erf" or dtype == np.float32)


def rule_unary(op, x):
    """docs/semantics.md on what ONNX leaves open."""
    if op == "Abs" and kind(x.dtype) == "int":
        return [np.abs(x.astype(np.int64)).astype(x.dtype) if x.dtype != np.int64 else np.abs(x)]
    if op == "Erf" and (kind(x.dtype) != "float" or x.dtype == np.float64):  # the reference computes in float32
        v = np.vectorize(math.erf, otypes=[float])(x.astype(np.float64))
        return [v if x.dtype == np.float64 else np.trunc(v).astype(x.dtype)]
    return None


def operands(op, r, dtype, a, b):
    x, y = wide(r, dtype, a), wide(r, dtype, b)
    if op == "Pow":
        x, y = ordinary(r, dtype, a), ordinary(r, dtype, b)
        if kind(dtype) in ("int", "uint"):
            y = np.abs(y.astype(np.int64) % 4).astype(dtype)
    return x, y


def integer_rule(op, x, y, fmod=0):
    """Division and remainder as docs/semantics.md has them."""
    if kind(x.dtype) not in ("int", "uint") or op not in ("Div", "Mod"):
        return None
    lo, _ = limits(x.dtype)
    a, b = np.broadcast_arrays(x.astype(object), y.astype(object))
    wrap = lambda v: (int(v) - lo) % (1 << bits) + lo
    bits = x.dtype.itemsize * 8
    def one(p, q):
        if q == 0:
            return 0
        quotient = abs(int(p)) // abs(int(q)) * (1 if (p < 0) == (q < 0) else -1)
        if op == "Div":
            return wrap(quotient)
        return wrap(int(p) - quotient * int(q)) if fmod else wrap(int(p) % int(q))
    return [np.array([one(p, q) for p, q in zip(a.reshape(-1), b.reshape(-1))], object).astype(x.dtype).reshape(a.shape)]


def binary():
    for op, ulp in BINARY.items():
        for s in versions(op):
            old = "broadcast" in s.attributes
            for dtype in allowed(s, 0):
                if kind(dtype) in ("complex", "object") and op != "Equal":
                    continue
                for n, attrs in enumerate(ATTRS.get(op, [{}]) if op != "Mod" else [{}, {"fmod": 1}]):
                    if op == "Mod" and kind(dtype) == "float" and not n:
                        continue  # fmod=0 takes integers
                    for a, b in shapes_for(dtype, PAIRS):
                        if old and a != b or op == "PRelu" and np.broadcast_shapes(a, b) != a or op == "SwiGLU" and a != b:
                            continue
                        for dims, const in (("", ()), ("size", ()), ("own", ()), ("", (1,))):
                            if dims and not a and not b or dims == "own" and (1 not in a + b or op == "PRelu") or const and dtype not in (np.float32, np.int32):
                                continue
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(a)}_{label(b)}{'/' + dims if dims else ''}{'/const' if const else ''}{f'/a{n}' if n else ''}"
                            x, y = operands(op, rng(name), dtype, a, b)
                            want = integer_rule(op, x, y, n)
                            yield Case(name, op, s.since_version, [x, y], attrs, **near(op, dtype), dims=dims, const=const, want=want, ort=want is None, ref=want is None)


def variadic():
    for op, ulp in VARIADIC.items():
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shapes in ([(17,)], [(3, 5), (3, 5)], [(2, 1, 37), (3, 1), ()], [(4,)] * 5, [(0, 2), (1, 2)]):
                    if s.since_version < 8 and len(set(shapes)) > 1:
                        continue
                    name = f"{op}/{s.since_version}/{short(dtype)}/{'_'.join(map(label, shapes))}"
                    r = rng(name)
                    take = wide if op in ("Max", "Min") else ordinary
                    yield Case(name, op, s.since_version, [take(r, dtype, d) for d in shapes], ulp=room(ulp, dtype),
                               frac=2.0 ** -mantissa(dtype) if kind(dtype) == "float" and ulp else 0)  # some round at each step


def where():
    for s in versions("Where"):
        for dtype in allowed(s, "T"):
            for shapes in ([(17,), (17,), (17,)], [(3, 1), (5,), (2, 1, 1)], [(), (3, 4), (1,)], [(0,), (1,), ()]):
                for dims in ("", "own") if dtype in (np.float32, np.int64) else ("",):
                    name = f"Where/{s.since_version}/{short(dtype)}/{'_'.join(map(label, shapes))}{'/' + dims if dims else ''}"
                    r = rng(name)
                    yield Case(name, "Where", s.since_version, [r.random(shapes[0]) < 0.5, wide(r, dtype, shapes[1]), wide(r, dtype, shapes[2])], dims=dims, signed=True)


def clip():
    for s in versions("Clip"):
        attr_form = "min" in s.attributes
        for dtype in allowed(s, "T"):
            for shape in shapes_for(dtype):
                for n, (lo, hi) in enumerate([(None, None), (0, None), (None, 3), (1, 5), (5, 1)]):
                    name = f"Clip/{s.since_version}/{short(dtype)}/{label(shape)}/{'min' if lo is not None else ''}{'max' if hi is not None else ''}{n}"
                    x = wide(rng(name), dtype, shape)
                    if attr_form:
                        attrs = {k: float(v) for k, v in (("min", lo), ("max", hi)) if v is not None}
                        yield Case(name, "Clip", s.since_version, [x], attrs)
                    else:
                        bounds = [None if v is None else np.array(v).astype(dtype) for v in (lo, hi)]
                        for const in ((), (1, 2)):
                            yield Case(name + ("/const" if const else ""), "Clip", s.since_version, [x, *bounds], const=const)


def shift_rule(x, y, left):
    bits, lo = x.dtype.itemsize * 8, limits(x.dtype)[0]
    a, b = np.broadcast_arrays(x.astype(object), y.astype(object))
    def one(p, q):
        if q < 0 or q >= bits:
            return -1 if not left and p < 0 else 0
        v = int(p) << int(q) if left else int(p) >> int(q)
        return (v - lo) % (1 << bits) + lo
    return [np.array([one(p, q) for p, q in zip(a.reshape(-1), b.reshape(-1))], object).astype(x.dtype).reshape(a.shape)]


def shifts():
    for s in versions("BitShift"):
        for dtype in allowed(s, 0):
            for a, b in PAIRS:
                for direction in ("LEFT", "RIGHT"):
                    name = f"BitShift/{s.since_version}/{short(dtype)}/{label(a)}_{label(b)}/{direction}"
                    r = rng(name)
                    x = wide(r, dtype, a)
                    for far in (False, True):
                        y = r.integers(0, x.dtype.itemsize * 8 + (5 if far else 0), b).astype(dtype)
                        yield Case(name + ("/far" if far else ""), "BitShift", s.since_version, [x, y], {"direction": direction}, want=shift_rule(x, y, direction == "LEFT"), ort=not far, ref=False)


def cases():
    yield from unary()
    yield from binary()
    yield from variadic()
    yield from where()
    yield from clip()
    yield from shifts()
