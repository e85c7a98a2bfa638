"""Casts between all types, quantisation, classical models, strings, sequences and control flow."""
import numpy as np
from onnx import TensorProto, helper

from .case import Case, allowed, edges, kind, label, limits, mantissa, number, ordinary, rng, short, versions, wide
from .nn import small, tol

I64 = np.int64
ML = "ai.onnx.ml"


# ---- casts ----

def castable(x, to):
    """What the text defines: no float beyond an integer's range, no NaN to an integer."""
    if kind(x.dtype) == "float" and kind(to) in ("int", "uint"):
        lo, hi = limits(to)
        v = x.astype(np.float64)
        inside = np.isfinite(v) & (np.trunc(v) >= lo) & (np.trunc(v) <= min(hi, 2.0 ** 62))
        return np.where(inside, x, np.ones((), x.dtype))
    return x


def casts():
    for s in versions("Cast"):
        if s.since_version < 6:
            continue
        for a in allowed(s, "T1"):
            for b in allowed(s, "T2"):
                if "object" in (kind(a), kind(b)) or "complex" in (kind(a), kind(b)):
                    continue
                for shape in ((17,), (2, 1, 37)) if s.since_version in (13, 28) else ((37,),):
                    for saturate in (1, 0) if "saturate" in s.attributes and short(b).startswith("f8") and shape == (17,) else (1,):
                        name = f"Cast/{s.since_version}/{short(a)}/{short(b)}/{label(shape)}{'' if saturate else '/wrap'}"
                        r = rng(name)
                        x = castable(wide(r, a, shape), b)
                        if short(b) == "f8_e8m0fnu":
                            x = np.abs(ordinary(r, a, shape))  # powers of two only: what negative numbers give is not said
                        plain = kind(a) != "float" or kind(b) != "float" or a in (np.float32, np.float64, np.float16)
                        yield Case(name, "Cast", s.since_version, [x], {"to": number(b), **({} if saturate else {"saturate": 0})}, types=[b], ort=plain)
    for s in versions("BitCast"):
        for a in allowed(s, "T1"):
            for b in allowed(s, "T2"):
                if kind(a) in ("object", "complex", "bool") or kind(b) in ("object", "complex", "bool") or np.dtype(a).itemsize != np.dtype(b).itemsize or "4" in short(a)[:2] + short(b)[:2] or "2" in short(a)[1:2] + short(b)[1:2]:
                    continue
                name = f"BitCast/{s.since_version}/{short(a)}/{short(b)}"
                x = wide(rng(name), a, (17,))
                if np.dtype(a).itemsize == 1 and (kind(a) == "float") != (kind(b) == "float") and ("f6" in short(a) + short(b) or "f4" in short(a) + short(b)):
                    continue
                yield Case(name, "BitCast", s.since_version, [x], {"to": number(b)}, types=[b], want=[x.view(b)], ort=False, ref=False)


# ---- quantisation ----

def quantisation():
    for s in versions("QuantizeLinear"):
        for dtype in allowed(s, "T1"):
            for q in allowed(s, "T2" if s.since_version < 19 else s.outputs[0].type_str):
                for shape, axis in [((17,), None), ((3, 5), 0), ((2, 3, 37), 1)]:
                    if axis is not None and s.since_version < 13 or dtype == np.int32 and axis is None or "f4" in short(q) and s.since_version < 23:
                        continue
                    for zero in (True, False) if q == np.uint8 else (True,):
                        name = f"QuantizeLinear/{s.since_version}/{short(dtype)}/{short(q)}/{label(shape)}{'' if zero else '/nozero'}"
                        r = rng(name)
                        n = () if axis is None else (shape[axis],)
                        span = 3 if kind(q) == "float" else max(limits(q)[1] / 40, 0.2)
                        scale = np.asarray(r.choice([0.25, 0.5, 0.125], n)).astype(np.float32 if s.since_version < 19 or dtype == np.int32 and s.since_version < 23 else dtype)
                        if dtype == np.int32:
                            scale = np.asarray(r.choice([1.0, 2.0, 4.0], n)).astype(np.float32)
                        x = ordinary(r, dtype, shape, -4 * span, 4 * span)
                        z = np.zeros(n, q) if kind(q) == "float" else np.asarray(ordinary(r, q, n))
                        yield Case(name, "QuantizeLinear", s.since_version, [x, scale] + ([z] if zero else []), {} if axis is None else {"axis": axis}, dims={0: (0,)} if axis is None else "", types=[q])
    for s in versions("DequantizeLinear"):
        for q in allowed(s, "T" if s.since_version < 19 else "T1"):
            for dtype in (np.float32, np.float16) if s.since_version >= 19 else (np.float32,):
                for shape, axis in [((17,), None), ((3, 5), 0), ((2, 3, 37), 1)]:
                    if axis is not None and s.since_version < 13:
                        continue
                    name = f"DequantizeLinear/{s.since_version}/{short(q)}/{short(dtype)}/{label(shape)}"
                    r = rng(name)
                    n = () if axis is None else (shape[axis],)
                    scale = np.asarray(r.choice([0.25, 0.5, 0.125], n)).astype(dtype)
                    z = np.zeros(n, q) if kind(q) == "float" or q == np.int32 else np.asarray(ordinary(r, q, n))
                    x = ordinary(r, q, shape) if kind(q) == "float" else wide(r, q, shape)
                    if q == np.int32:
                        x = (x % 2048).astype(q)
                    yield Case(name, "DequantizeLinear", s.since_version, [x, scale, z], {} if axis is None else {"axis": axis}, types=[dtype])
    for s in versions("DynamicQuantizeLinear"):
        for n, shape in enumerate([(17,), (3, 5), (2, 37), (130,)]):
            name = f"DynamicQuantizeLinear/{s.since_version}/f32/{label(shape)}"
            yield Case(name, "DynamicQuantizeLinear", s.since_version, [ordinary(rng(name), np.float32, shape)], nout=3, dims="size" if n % 2 else "", ulp=1)
    kinds = [(np.uint8, np.uint8), (np.uint8, np.int8), (np.int8, np.int8)]
    for m, k, n in [(3, 8, 5), (17, 37, 19), (1, 1, 1), (5, 130, 33)]:
        for ta, tb in kinds:
            for how in ("fed", "const", "size"):
                name = f"MatMulInteger/10/{short(ta)}/{short(tb)}/{m}x{k}x{n}/{how}"
                r = rng(name)
                yield Case(name, "MatMulInteger", 10, [wide(r, ta, (m, k)), wide(r, tb, (k, n)), np.asarray(ordinary(r, ta, ())), np.asarray(ordinary(r, tb, ()))],
                           const=(1, 3) if how == "const" else (), dims="size" if how == "size" else "")
                sc = lambda: np.asarray(r.uniform(0.01, 0.1)).astype(np.float32)
                name = f"QLinearMatMul/10/{short(ta)}/{short(tb)}/{m}x{k}x{n}/{how}"
                yield Case(name, "QLinearMatMul", 10, [wide(r, ta, (m, k)), sc(), np.asarray(ordinary(r, ta, ())), wide(r, tb, (k, n)), sc(), np.asarray(ordinary(r, tb, ())), sc() * np.float32(100), np.asarray(ordinary(r, ta, ()))],
                           const=(1, 2, 3, 4, 5, 6, 7) if how == "const" else (), dims="size" if how == "size" else "")
    for n in range(24):
        r = rng(f"conv{n}")
        ta, tb = kinds[n % 3]
        group = 1 + n % 2
        x, w = wide(r, ta, (1, 2 * group, 7, 6)), wide(r, tb, (3 * group, 2, 3, 2))
        attrs = {"group": group, "pads": [1, 0, 1, 1] if n % 4 else [0, 0, 0, 0], "strides": [1 + n % 2, 1]}
        const = (1, 3) if n % 2 else ()
        if ta == np.uint8:
            yield Case(f"ConvInteger/10/{short(ta)}/{short(tb)}/{n}", "ConvInteger", 10, [x, w, np.asarray(ordinary(r, ta, ())), np.zeros((), tb)], attrs, const=const)
        s1, s2, s3 = (np.asarray(v, np.float32) for v in (0.02, 0.03, 2.0))
        yield Case(f"QLinearConv/10/{short(ta)}/{short(tb)}/{n}", "QLinearConv", 10, [x, s1, np.asarray(ordinary(r, ta, ())), w, s2, np.zeros((), tb), s3, np.asarray(ordinary(r, ta, ())), r.integers(-500, 500, 3 * group).astype(np.int32)],
                   attrs, const=(1, 2, 3, 4, 5, 6, 7, 8) if n % 2 else (), dims={0: (0, 2, 3)} if n % 3 == 0 else "")


# ---- classical models ----

def classical():
    F = np.float32
    for dtype in (np.float32, np.float64, np.int64, np.int32):
        for shape in [(17,), (3, 5), (2, 37)]:
            for dims in ("", "size"):
                tag = f"{short(dtype)}/{label(shape)}{dims and '/' + dims}"
                r = rng("ml" + tag)
                x = ordinary(r, dtype, shape)
                c = shape[-1]
                yield Case(f"{ML}.Binarizer/1/{tag}", "Binarizer", 1, [x], {"threshold": 0.5}, domain=ML, dims=dims)
                yield Case(f"{ML}.Scaler/1/{tag}", "Scaler", 1, [x], {"offset": r.normal(size=c).tolist(), "scale": r.uniform(0.5, 2, c).tolist()}, domain=ML, dims=dims if len(shape) == 1 or not dims else {0: (0,)}, ulp=1, types=[F])
                if len(shape) == 2:
                    for norm in ("L1", "L2"):
                        yield Case(f"{ML}.Normalizer/1/{tag}/{norm}", "Normalizer", 1, [x], {"norm": norm}, domain=ML, dims=dims, ulp=8, types=[F])
                if len(shape) == 2 and dtype in (np.float32, np.int64):
                    fed = {0: (0,)} if dims else ""
                    yield Case(f"{ML}.LinearRegressor/1/{tag}", "LinearRegressor", 1, [x.astype(F)], {"coefficients": r.normal(size=2 * c).tolist(), "intercepts": [0.1, -0.2], "targets": 2}, domain=ML, dims=fed, types=[F], **tol(np.dtype(F), c))
                    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
                        yield Case(f"{ML}.LinearClassifier/1/{tag}/{post}", "LinearClassifier", 1, [x], {"coefficients": r.normal(size=3 * c).tolist(), "intercepts": [0.1, -0.2, 0.3], "classlabels_ints": [4, 2, 9], "post_transform": post},
                                   domain=ML, dims=fed, nout=2, types=[I64, F], ulp=16, frac=1e-6)
                    yield Case(f"{ML}.ArrayFeatureExtractor/1/{tag}", "ArrayFeatureExtractor", 1, [x, np.array([[0, c - 1, 1]], I64)], domain=ML, dims=fed, types=[dtype])
                    if dtype == np.float32:
                        gaps = np.where(r.random(shape) < 0.3, F(np.nan), x)
                        yield Case(f"{ML}.Imputer/1/{tag}", "Imputer", 1, [gaps], {"imputed_value_floats": r.normal(size=c).tolist(), "replaced_value_float": float("nan")}, domain=ML, dims=fed, types=[F])
                        for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
                            yield Case(f"{ML}.SVMRegressor/1/{tag}/{kernel}", "SVMRegressor", 1, [x / 4], {"coefficients": r.normal(size=4).tolist(), "support_vectors": r.normal(size=4 * c).tolist(), "n_supports": 4, "rho": [0.3],
                                       "kernel_type": kernel, "kernel_params": [0.1, 0.1, 2.0]}, domain=ML, dims=fed, types=[F], ulp=64, frac=2e-5)
    for s in versions("LabelEncoder", ML):
        if s.since_version < 2:
            continue
        for n, (keys, vals, x) in enumerate([("int64s", "floats", np.arange(17)), ("int64s", "int64s", np.arange(9)), ("strings", "int64s", np.array(["a", "b", "zz", ""], object)), ("int64s", "strings", np.arange(5)), ("floats", "strings", np.array([1, 2.5, 7], np.float32)),
                                             ("strings", "strings", np.array(["a", "x"], object)), ("floats", "floats", np.array([1, 3, np.nan], np.float32))]):
            table = {"int64s": [1, 3, 5], "floats": [1.0, 2.5, 4.0], "strings": ["a", "b", "c"]}
            out = {"int64s": I64, "floats": np.float32, "strings": object}[vals]
            yield Case(f"{ML}.LabelEncoder/{s.since_version}/{n}", "LabelEncoder", s.since_version, [x], {"keys_" + keys: table[keys], "values_" + vals: table[vals]}, domain=ML, types=[out])
    for n in range(40):
        name = f"{ML}.TreeEnsembleRegressor/{1 + 2 * (n % 2)}/f32/{n}"
        r = rng(name)
        yield Case(name, "TreeEnsembleRegressor", 1 + 2 * (n % 2), [ordinary(r, F, ((1, 5, 17, 37)[n % 4], 4))], {**forest(r, 1 + n % 5, "target"), "n_targets": 2, "aggregate_function": ["SUM", "AVERAGE", "MIN", "MAX"][n // 4 % 4]},
                   domain=ML, dims={0: (0,)} if n % 3 == 0 else "", types=[F], ulp=8, frac=1e-6, ref=False)
        name = f"{ML}.TreeEnsembleClassifier/{1 + 2 * (n % 2)}/f32/{n}"
        yield Case(name, "TreeEnsembleClassifier", 1 + 2 * (n % 2), [ordinary(r, F, ((1, 5, 17, 37)[n % 4], 4))], {**forest(r, 1 + n % 5, "class", 3), "classlabels_int64s": [7, 8, 9], "post_transform": ["NONE", "LOGISTIC", "SOFTMAX"][n % 3]},
                   domain=ML, dims={0: (0,)} if n % 3 == 0 else "", nout=2, types=[I64, F], ulp=16, frac=1e-6)


def forest(r, trees, what, targets=2):
    """Complete trees of depth 2 over 4 features."""
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"]
    mode = modes[int(r.integers(4))]
    a = {k: [] for k in ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids", "nodes_falsenodeids", f"{what}_treeids", f"{what}_nodeids", f"{what}_ids", f"{what}_weights")}
    for t in range(trees):
        for i in range(7):
            leaf = i > 2
            row = (t, i, int(r.integers(4)), "LEAF" if leaf else mode, 0.0 if leaf else float(np.float32(r.uniform(-3, 3))), 0 if leaf else 2 * i + 1, 0 if leaf else 2 * i + 2)
            for k, v in zip(list(a)[:7], row):
                a[k].append(v)
            if leaf:
                for k, v in zip(list(a)[7:], (t, i, int(r.integers(targets)), float(r.normal()))):
                    a[k].append(v)
    return a


# ---- strings, sequences, control flow ----

def strings():
    words = np.array(["", "a", "b", "hello world", "Grüße", "tab\tbed", "a,b,,c", "UPPER lower", " x "], object)
    for shapes in [((9,), (9,)), ((3, 1), (1, 4)), ((), (5,)), ((0,), (1,))]:
        for dims in ("", "own"):
            name = f"StringConcat/20/str/{label(shapes[0])}_{label(shapes[1])}{dims and '/' + dims}"
            r = rng(name)
            yield Case(name, "StringConcat", 20, [words[r.integers(0, 9, d)] if d else np.array(words[3], object) for d in shapes], dims=dims)
    for n, (pattern, x) in enumerate([("a+", ["a", "aa", "b", ""]), ("[a-z]+@[a-z]+\\.com", ["me@x.com", "me@xcom", "A@b.com"]), (".*", ["", "x"]), ("\\d{2,3}", ["1", "12", "123", "1234"]), ("(foo|bar)baz?", ["fooba", "barbaz", "foo"])]):
        yield Case(f"RegexFullMatch/20/str/{n}", "RegexFullMatch", 20, [np.array(x, object)], {"pattern": pattern})
    for n, (delimiter, most) in enumerate([(None, None), (",", None), (" ", 1), (None, 1), ("", None)]):
        attrs = {**({} if delimiter is None else {"delimiter": delimiter}), **({} if most is None else {"maxsplit": most})}
        yield Case(f"StringSplit/20/str/{n}", "StringSplit", 20, [words[1:]], attrs, nout=2)
    for case in ("LOWER", "UPPER", "NONE"):
        for sensitive in (0, 1):
            yield Case(f"StringNormalizer/10/str/{case}/{sensitive}", "StringNormalizer", 10, [np.array(["Monday", "tuesday", "MONDAY", "Wed"], object)], {"case_change_action": case, "is_case_sensitive": sensitive, "stopwords": ["monday"]})


def sequences():
    for dtype in (np.float32, np.int64, np.uint8, np.bool_, np.float64, np.float16):
        d = np.dtype(dtype)
        r = rng(f"seq{d}")
        x, y, z = ordinary(r, d, (3, 5)), ordinary(r, d, (2, 5)), ordinary(r, d, (1, 5))
        at = lambda v: np.array(v, I64)
        base = [("SequenceConstruct", ["x0", "x1", "x2"], ["s"], {})]
        def seq(name, more, inputs, **kw):
            return Case(f"{name}/11/{short(d)}", name.split("_")[0], 11, inputs, nodes=base + more, **kw)
        for n, k in (("first", 0), ("last", -1)):
            for const in ((), (3,)):
                yield seq(f"SequenceAt_{n}{'_const' if const else ''}", [("SequenceAt", ["s", "x3"], ["y0"], {})], [x, y, z, at(k)], const=const, types=[d])
        yield seq("SequenceLength", [("SequenceLength", ["s"], ["y0"], {})], [x, y, z])
        yield seq("SequenceErase", [("SequenceErase", ["s", "x3"], ["t"], {}), ("ConcatFromSequence", ["t"], ["y0"], {"axis": 0})], [x, y, z, at(1)], types=[d])
        yield seq("SequenceInsert", [("SequenceInsert", ["s", "x3", "x4"], ["t"], {}), ("ConcatFromSequence", ["t"], ["y0"], {"axis": 0})], [x, y, z, x, at(-1)], types=[d])
        yield seq("ConcatFromSequence", [("ConcatFromSequence", ["s"], ["y0"], {"axis": -2})], [x, y, z], types=[d])
        yield Case(f"ConcatFromSequence_new/11/{short(d)}", "ConcatFromSequence", 11, [x, x, x], nodes=base + [("ConcatFromSequence", ["s"], ["y0"], {"axis": 1, "new_axis": 1})], types=[d])
        yield seq("SequenceAt_outside", [("SequenceAt", ["s", "x3"], ["y0"], {})], [x, y, z, at(3)], types=[d], fails=True)
        for keep in (0, 1):
            yield Case(f"SplitToSequence_{keep}/11/{short(d)}", "SplitToSequence", 11, [x], nodes=[("SplitToSequence", ["x0"], ["s"], {"axis": 1, "keepdims": keep}), ("ConcatFromSequence", ["s"], ["y0"], {"axis": 0})], types=[d])
        yield Case(f"SplitToSequence_sizes/11/{short(d)}", "SplitToSequence", 11, [x, at([2, 3])],
                   nodes=[("SplitToSequence", ["x0", "x1"], ["s"], {"axis": 1}), ("ConcatFromSequence", ["s"], ["y0"], {"axis": 1})], types=[d])


def control():
    info = helper.make_tensor_value_info
    for op_set in (1, 11, 13, 16, 19, 21, 23, 25):
        for yes in (True, False):
            for dtype in (np.float32, np.int64):
                t = number(dtype)
                r = rng(f"if{op_set}{yes}{dtype}")
                a, b = ordinary(r, np.dtype(dtype), (3, 5)), ordinary(r, np.dtype(dtype), (3, 5))
                branch = lambda name, v: helper.make_graph([helper.make_node("Constant", [], [name], value=helper.make_tensor(name + "v", t, v.shape, v.reshape(-1).tolist()))], name + "g", [], [info(name, t, v.shape)])
                yield Case(f"If/{op_set}/{np.dtype(dtype).name}/{yes}", "If", op_set, [np.array(yes)], {"then_branch": branch("a", a), "else_branch": branch("b", b)}, types=[dtype])
    for op_set in (1, 11, 13, 16, 19, 21, 23, 25):
        for trips, limit in ((0, 99), (1, 99), (5, 99), (17, 20.0), (None, 12.0)):
            nodes = [helper.make_node("Add", ["v", "v"], ["d"]), helper.make_node("Identity", ["d"], ["scan"]), helper.make_node("ReduceMax", ["d"], ["m"], keepdims=0), helper.make_node("Less", ["m", "limit"], ["go"])]
            limit_node = helper.make_node("Constant", [], ["limit"], value=helper.make_tensor("l", 1, [], [float(limit)]))
            body = helper.make_graph([limit_node, *nodes], "body", [info("i", 7, []), info("c", 9, []), info("v", 1, [3])], [info("go", 9, []), info("d", 1, [3]), info("scan", 1, [3])])
            x = np.array([0.5, -1, 0.25], np.float32)
            for const in ((), (0, 1)):
                yield Case(f"Loop/{op_set}/{trips}_{limit}{'/const' if const else ''}", "Loop", op_set, [None if trips is None else np.array(trips, I64), np.array(True), x], {"body": body}, nout=2, const=() if trips is None and const else const, types=[np.float32, np.float32])
    for op_set in (9, 11, 16, 19, 21, 23, 25):
        for reverse in (0, 1):
            for shape in ((5, 3), (1, 3), (17, 3)):
                body = helper.make_graph([helper.make_node("Add", ["s", "x"], ["n"]), helper.make_node("Identity", ["n"], ["o"])], "body", [info("s", 1, [3]), info("x", 1, [3])], [info("n", 1, [3]), info("o", 1, [3])])
                name = f"Scan/{op_set}/{label(shape)}/{reverse}"
                r = rng(name)
                yield Case(name, "Scan", op_set, [small(r, np.dtype("f4"), (3,)), small(r, np.dtype("f4"), shape)], {"body": body, "num_scan_inputs": 1, "scan_input_directions": [reverse], "scan_output_directions": [reverse]}, nout=2,
                           dims={1: (0,)} if shape[0] == 5 else "", types=[np.float32, np.float32], ulp=2, ref=not reverse)


def losses():
    for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
        for s in versions(op):
            for dtype in allowed(s, "T"):
                for shape in [(3, 5), (2, 5, 7), (2, 3, 2, 4)]:
                    for reduction in ("none", "mean", "sum"):
                        for weight in (False, True):
                            for ignore in (None, 1):
                                if dtype != np.float32 and (weight or ignore):
                                    continue
                                name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{reduction}/{weight}{ignore}"
                                r = rng(name)
                                target = r.integers(0, shape[1], (shape[0], *shape[2:])).astype(I64)
                                inputs = [small(r, dtype, shape), target] + ([np.abs(small(r, dtype, (shape[1],))) + np.ones((), dtype)] if weight else [])
                                yield Case(name, op, s.since_version, inputs, {"reduction": reduction, **({} if ignore is None else {"ignore_index": ignore})}, dims={0: (0,), 1: (0,)} if weight else "", **tol(dtype, 40, 2))


def cases():
    for group in (casts, quantisation, classical, strings, sequences, control, losses):
        yield from group()
