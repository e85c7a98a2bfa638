"""Folds over axes: Reduce*, ArgMax and ArgMin, running folds, softmax and its like, global pools."""
import numpy as np

from .case import Case, allowed, kind, label, mantissa, ordinary, rng, short, versions, wide

FOLDS = {"ReduceSum": 0, "ReduceMean": 1, "ReduceMax": 0, "ReduceMin": 0, "ReduceProd": 0, "ReduceL1": 0, "ReduceL2": 2, "ReduceSumSquare": 0,
         "ReduceLogSum": 4, "ReduceLogSumExp": 6}
# (shape, axes): None for no axes given
PLACES = [((17,), [0]), ((3, 37), [1]), ((3, 37), [0]), ((3, 37), [-1]), ((2, 3, 5), None), ((2, 3, 5), [0, 2]), ((2, 3, 5), [-1, -2]), ((2, 1, 4, 7), [1, 3]),
          ((1,), [0]), ((), None), ((130,), [0]), ((3, 0), [1]), ((3, 0), [0]), ((5, 67), [1]), ((2, 3, 4, 5), [])]


def few(dtype, places):
    return places if dtype in (np.float32, np.int32) else places[1:8:2]


def axes_inputs(s):
    return len(s.inputs) > 1


def logarithm(op, x, axes, keep):
    """Truncated, as float to integer is; of nothing the smallest integer."""
    v = x.astype(np.float64)
    over = tuple(axes) if axes else None
    total = np.asarray(np.sum(v if op == "ReduceLogSum" else np.exp(v), axis=over, keepdims=bool(keep)))
    with np.errstate(all="ignore"):
        r = np.log(total)
    lowest = np.array(-2.0 ** 63 if x.dtype.itemsize == 8 or kind(x.dtype) == "uint" else -2.0 ** 31)
    return np.trunc(np.where(np.isfinite(r), r, lowest)).astype(np.int64).astype(x.dtype)


def close(op, dtype, size):
    """Floats are summed in another order than the referee's; float16 and bfloat16 results are rounded once, by others perhaps often."""
    if kind(dtype) != "float" or op in ("ReduceMax", "ReduceMin"):
        return {}
    narrow = dtype not in (np.float32, np.float64)
    return dict(ulp=FOLDS[op] + (4 if size > 1 else 1) if not narrow else 2, frac=(2e-6 if dtype == np.float32 else 1e-14 if not narrow else 4 * 2.0 ** -mantissa(dtype)) if size > 1 else 0)


def folds():
    for op in FOLDS:
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape, axes in few(dtype, PLACES):
                    for keep in (1, 0):
                        for how in ("const", "fed", "size") if axes_inputs(s) and axes is not None else ("", "size"):
                            if how == "size" and not shape or shape == () and axes is None and s.since_version < 18 and dtype != np.float32:
                                continue
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{'all' if axes is None else '_'.join(map(str, axes)) or 'empty'}/{'keep' if keep else 'drop'}{how and '/' + how}"
                            r = rng(name)
                            x = wide(r, dtype, shape) if op in ("ReduceMax", "ReduceMin") else ordinary(r, dtype, shape)
                            if op == "ReduceLogSum" and kind(dtype) in ("float", "int"):
                                x = np.abs(x) + np.ones((), dtype)
                            attrs, inputs, const = {"keepdims": keep}, [x], ()
                            if axes is not None and axes_inputs(s):
                                inputs, const = [x, np.array(axes, np.int64)], () if how == "fed" else (1,)
                            elif axes is not None:
                                if not axes:
                                    continue
                                attrs["axes"] = axes
                            whole = op in ("ReduceLogSum", "ReduceLogSumExp") and kind(dtype) != "float"  # how integers round is not said: docs/semantics.md
                            want = [logarithm(op, x, axes, keep)] if whole and axes != [] else None
                            yield Case(name, op, s.since_version, inputs, attrs, const=const, dims="size" if how == "size" else "", want=want, ort=not whole, ref=not whole, **close(op, dtype, x.size))
                if "noop_with_empty_axes" in s.attributes and dtype in (np.float32, np.int32):
                    for how in ("none", "empty", "fed"):
                        name = f"{op}/{s.since_version}/{short(dtype)}/noop/{how}"
                        x = np.abs(ordinary(rng(name), dtype, (3, 17))) + np.ones((), dtype)
                        inputs = [x] if how == "none" else [x, np.array([], np.int64)]
                        yield Case(name, op, s.since_version, inputs, {"noop_with_empty_axes": 1}, const=(1,) if how == "empty" else (), **close(op, dtype, x.size))


def args():
    for op in ("ArgMax", "ArgMin"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape, axis in [((17,), 0), ((3, 37), 1), ((3, 37), 0), ((2, 3, 5), -2), ((5, 130), -1), ((1, 1), 0)]:
                    for keep in (1, 0):
                        for last in (0, 1) if "select_last_index" in s.attributes else (0,):
                            for dims in ("", "size") if keep and dtype in (np.float32, np.int64) else ("",):
                                if axis < 0 and s.since_version < 11:
                                    continue
                                name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}/{keep}{last}{dims and '/' + dims}"
                                attrs = {"axis": axis, "keepdims": keep, **({"select_last_index": 1} if last else {})}
                                yield Case(name, op, s.since_version, [ordinary(rng(name), dtype, shape)], attrs, dims=dims)


def running():
    for op in ("CumSum", "CumProd"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape, axis in [((17,), 0), ((3, 37), 1), ((3, 37), 0), ((2, 3, 5), -2), ((0, 3), 0), ((130,), -1)]:
                    for exclusive in (0, 1):
                        for reverse in (0, 1):
                            for how in ("const", "fed", "size"):
                                name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}/{exclusive}{reverse}/{how}"
                                x = ordinary(rng(name), dtype, shape, -1.5, 1.5)
                                tol = {} if kind(dtype) != "float" else dict(ulp=8, frac=4e-6) if dtype in (np.float32, np.float64) else dict(ulp=4, frac=4 / 256 if short(dtype) == "bf16" else 4 / 2048)
                                yield Case(name, op, s.since_version, [x, np.array(axis, np.int64)], {"exclusive": exclusive, "reverse": reverse},
                                           const=() if how == "fed" else (1,), dims="size" if how == "size" else "", **tol)


def rows():
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape, axis in [((17,), 0), ((3, 37), 1), ((3, 37), 0), ((2, 3, 5), -2), ((2, 3, 5), None), ((2, 3, 4, 5), 2), ((3, 1), 1), ((0, 4), 1), ((5, 131), -1)]:
                    for dims in ("", "size"):
                        if axis is not None and axis < 0 and s.since_version < 11:
                            continue
                        name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}{dims and '/' + dims}"
                        x = ordinary(rng(name), dtype, shape)
                        narrow = dtype not in (np.float32, np.float64)
                        yield Case(name, op, s.since_version, [x], {} if axis is None else {"axis": axis}, dims=dims, ref=s.since_version >= 13, **({} if op == "Hardmax" else dict(ulp=2 if narrow else 16, frac=1e-6)))
    for s in versions("LpNormalization"):
        for dtype in allowed(s, 0):
            for shape, axis in [((17,), 0), ((3, 37), 1), ((2, 3, 5), -2), ((2, 3, 5), 0)]:
                for p in (1, 2):
                    for dims in ("", "size"):
                        name = f"LpNormalization/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}/{p}{dims and '/' + dims}"
                        yield Case(name, "LpNormalization", s.since_version, [ordinary(rng(name), dtype, shape)], {"axis": axis, "p": p}, dims=dims, ulp=8 if dtype in (np.float32, np.float64) else 2)


def pools():
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape in [(1, 3, 17), (2, 5, 3, 7), (1, 2, 3, 2, 5), (2, 37, 1, 1)]:
                    for p in (None, 1, 3) if op == "GlobalLpPool" else (None,):
                        for dims in ("", "size"):
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{p}{dims and '/' + dims}"
                            attrs = {} if p is None else {"p": float(p) if s.since_version < 2 else p}
                            tol = {} if op == "GlobalMaxPool" else dict(ulp=8 if dtype in (np.float32, np.float64) else 2, frac=1e-6 if dtype == np.float32 else 0)
                            x = ordinary(rng(name), dtype, shape)
                            want = [x.max(tuple(range(2, x.ndim)), keepdims=True)] if op == "GlobalMaxPool" else None
                            yield Case(name, op, s.since_version, [x], attrs, dims=dims, want=want, **tol)


def cases():
    yield from folds()
    yield from args()
    yield from running()
    yield from rows()
    yield from pools()
