"""Indexed reads and writes, orders and selections: Gather*, Scatter*, OneHot, TopK, NonZero, Unique, Compress, NonMaxSuppression."""
import numpy as np

from .case import Case, allowed, kind, label, mantissa, ordinary, rng, short, versions, wide
from .views import each, view

I64 = np.int64


def some(dtype):
    return dtype in (np.float32, np.int64, np.uint8)


def indices(r, extent, shape, dtype, negative):
    lo = -extent if negative else 0
    return r.integers(lo, extent, shape).astype(dtype)


def gathers():
    for s in versions("Gather"):
        for dtype in allowed(s, 0):
            for shape, axis, ix_shape in [((17,), 0, (5,)), ((5, 37), 0, (2, 3)), ((5, 37), 1, (1,)), ((2, 3, 4), -1, ()), ((3, 4), 0, (0,)), ((130,), 0, (17, 2))]:
                for it in (np.int32, I64):
                    for how in ("const", "fed", "size"):
                        if (not some(dtype) and (it == np.int32 or how == "size")):
                            continue
                        name = f"Gather/{s.since_version}/{short(dtype)}/{label(shape)}_{label(ix_shape)}/{axis}/{short(it)}/{how}"
                        r = rng(name)
                        x, i = wide(r, dtype, shape), indices(r, shape[axis], ix_shape, it, s.since_version >= 11)
                        yield Case(name, "Gather", s.since_version, [x, i], {"axis": axis}, const=(1,) if how == "const" else (), dims="size" if how == "size" else "", signed=True)
    for s in versions("GatherElements"):
        for dtype in allowed(s, 0):
            for shape, axis, ix_shape in [((17,), 0, (5,)), ((5, 37), 0, (2, 37)), ((5, 37), 1, (5, 3)), ((2, 3, 4), -1, (2, 3, 7)), ((3, 4), 0, (0, 4))]:
                for how in ("const", "fed", "size") if some(dtype) else ("fed",):
                    name = f"GatherElements/{s.since_version}/{short(dtype)}/{label(shape)}_{label(ix_shape)}/{axis}/{how}"
                    r = rng(name)
                    yield Case(name, "GatherElements", s.since_version, [wide(r, dtype, shape), indices(r, shape[axis], ix_shape, I64, True)], {"axis": axis},
                               const=(1,) if how == "const" else (), dims="size" if how == "size" else "", signed=True)
    for s in versions("GatherND"):
        for dtype in allowed(s, 0):
            for shape, ix_shape, batch in [((17,), (5, 1), 0), ((5, 37), (3, 2), 0), ((5, 37), (4, 1), 0), ((2, 3, 4), (2, 2, 1), 1), ((2, 3, 4, 5), (2, 3, 2), 2), ((3, 4), (2,), 0)]:
                if batch and s.since_version < 12:
                    continue
                for how in ("const", "fed", "size") if some(dtype) else ("fed",):
                    name = f"GatherND/{s.since_version}/{short(dtype)}/{label(shape)}_{label(ix_shape)}/{batch}/{how}"
                    r = rng(name)
                    depth = ix_shape[-1]
                    i = np.stack([indices(r, shape[batch + d], ix_shape[:-1], I64, True) for d in range(depth)], -1)
                    yield Case(name, "GatherND", s.since_version, [wide(r, dtype, shape), i], {"batch_dims": batch} if batch else {}, const=(1,) if how == "const" else (),
                               dims={0: range(len(shape)), 1: range(len(ix_shape) - 1)} if how == "size" and batch == 0 else "", signed=True)
    for name, op, x, i, attrs in [("Gather", "Gather", (5, 3), [5], {}), ("Gather_low", "Gather", (5, 3), [-6], {}), ("GatherElements", "GatherElements", (5,), [1, 5], {}), ("GatherND", "GatherND", (5, 3), [[4, 3]], {}),
                                  ("Gather_huge", "Gather", (5, 3), [2**40], {})]:
        yield Case(f"{op}/13/f32/outside/{name}", op, 13, [np.ones(x, np.float32), np.array(i, I64)], attrs, fails=True)


def scatters():
    for op in ("Scatter", "ScatterElements"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape, axis, ix_shape in [((17,), 0, (5,)), ((5, 37), 0, (2, 37)), ((5, 37), 1, (4, 3)), ((2, 3, 4), -1, (2, 3, 3)), ((3, 4), 0, (0, 4))]:
                    if axis < 0 and s.since_version < 11:
                        continue
                    for reduction in ("none", "add", "mul", "max", "min") if "reduction" in s.attributes and kind(dtype) not in ("bool", "object", "complex") else ("none",):
                        if reduction in ("max", "min") and s.since_version < 18:
                            continue
                        for how in ("const", "fed", "size") if some(dtype) else ("fed",):
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}_{label(ix_shape)}/{axis}/{reduction}/{how}"
                            r = rng(name)
                            i = indices(r, shape[axis], ix_shape, I64, s.since_version >= 11)
                            if reduction == "none":  # what two updates of one cell give is open: distinct ones
                                i = np.argsort(r.random(ix_shape[:axis % len(shape)] + (shape[axis],) + ix_shape[axis % len(shape) + 1:]), axis=axis)
                                i = np.take(i, np.arange(ix_shape[axis]), axis=axis)
                            take = wide if reduction == "none" else ordinary
                            yield Case(name, op, s.since_version, [take(r, dtype, shape), i, take(r, dtype, ix_shape)], {"axis": axis, **({"reduction": reduction} if reduction != "none" else {})},
                                       const=(1,) if how == "const" else (), dims="size" if how == "size" else "", signed=reduction == "none", **rounding(dtype, reduction))
    for s in versions("ScatterND"):
        for dtype in allowed(s, 0):
            for shape, ix_shape in [((17,), (5, 1)), ((5, 37), (3, 2)), ((5, 37), (4, 1)), ((2, 3, 4), (2, 2, 1)), ((3, 4), (0, 1))]:
                for reduction in ("none", "add", "mul", "max", "min") if "reduction" in s.attributes and kind(dtype) not in ("bool", "object", "complex") else ("none",):
                    if reduction in ("max", "min") and s.since_version < 18:
                        continue
                    for how in ("const", "fed", "size") if some(dtype) else ("fed",):
                        name = f"ScatterND/{s.since_version}/{short(dtype)}/{label(shape)}_{label(ix_shape)}/{reduction}/{how}"
                        r = rng(name)
                        depth = ix_shape[-1]
                        count = int(np.prod(ix_shape[:-1]))
                        cells = int(np.prod(shape[:depth]))
                        flat = r.integers(0, cells, count) if reduction != "none" else r.permutation(np.resize(np.arange(cells), max(cells, count)))[:count]
                        i = np.stack(np.unravel_index(flat, shape[:depth]), -1).reshape(ix_shape).astype(I64)
                        if reduction == "none" and count > cells:
                            continue
                        take = wide if reduction == "none" else ordinary
                        yield Case(name, "ScatterND", s.since_version, [take(r, dtype, shape), i, take(r, dtype, ix_shape[:-1] + shape[depth:])], {"reduction": reduction} if reduction != "none" else {},
                                   const=(1,) if how == "const" else (), dims={0: range(len(shape)), 1: range(len(ix_shape) - 1), 2: range(1)} if how == "size" else "", signed=reduction == "none", **rounding(dtype, reduction))
    yield Case("ScatterElements/18/f32/outside", "ScatterElements", 18, [np.ones(5, np.float32), np.array([5], I64), np.ones(1, np.float32)], fails=True)
    yield Case("ScatterND/18/f32/outside", "ScatterND", 18, [np.ones(5, np.float32), np.array([[-6]], I64), np.ones(1, np.float32)], fails=True)


def rounding(dtype, reduction):
    """float16 updates of one cell are rounded each time by some and once by others."""
    if reduction not in ("add", "mul") or kind(dtype) != "float":
        return {}
    return dict(ulp=4, frac=2 * 2.0 ** -mantissa(dtype))


def one_hot():
    for s in versions("OneHot"):
        for dtype in allowed(s, "T3"):
            for it in (I64, np.int32, np.float32, np.uint8):
                for axis in (-1, 0, 1):
                    for how in ("const", "fed"):
                        if not some(dtype) and (it != I64 or axis != -1):
                            continue
                        name = f"OneHot/{s.since_version}/{short(dtype)}/{short(it)}/{axis}/{how}"
                        r = rng(name)
                        i = r.integers(0 if it == np.uint8 else -7, 9, (3, 17)).astype(it)
                        if it in (np.float32, np.uint8):
                            i = np.abs(i)
                        yield Case(name, "OneHot", s.since_version, [i, np.array(7, I64), ordinary(r, dtype, (2,))], {"axis": axis}, const=(1, 2) if how == "const" else (), signed=True, ref=False)


def orders():
    for s in versions("TopK"):
        for dtype in allowed(s, "T"):
            for shape, axis, k in [((17,), 0, 5), ((3, 37), 1, 37), ((3, 37), 0, 1), ((2, 5, 3), -2, 3), ((4, 130), -1, 20), ((3, 5), 1, 0)]:
                for largest in (1, 0) if "largest" in s.attributes else (1,):
                    for how in ("const", "fed", "size") if len(s.inputs) > 1 and some(dtype) else ("const",):
                        if axis < 0 and s.since_version < 11 or k == 0 and s.since_version < 10:
                            continue
                        name = f"TopK/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}/{k}/{largest}/{how}"
                        x = ordinary(rng(name), dtype, shape)
                        attrs = {"axis": axis, **({"largest": 0} if not largest else {})}
                        if len(s.inputs) > 1:
                            yield Case(name, "TopK", s.since_version, [x, np.array([k], I64)], attrs, nout=2, const=() if how == "fed" else (1,), dims="size" if how == "size" else "")
                        else:
                            yield Case(name, "TopK", s.since_version, [x], {**attrs, "k": k}, nout=2)
    for s, dtype, shape in each("NonZero", [(17,), (3, 37), (2, 3, 4), (0, 3), (1,), (130,)]):
        for dims in ("", "size"):
            name = f"NonZero/{s.since_version}/{short(dtype)}/{label(shape)}{dims and '/' + dims}"
            r = rng(name)
            x = ordinary(r, dtype, shape)
            x = np.where(r.random(shape) < 0.5, x, np.zeros((), dtype) if kind(dtype) != "object" else "").astype(dtype)
            if kind(dtype) != "object":
                yield Case(name, "NonZero", s.since_version, [x], dims=dims)
    for s in versions("Unique"):
        for dtype in allowed(s, 0):
            for shape, axis in [((17,), None), ((3, 5), None), ((5, 2), 0), ((3, 7), 1), ((2, 3, 2), -1), ((1,), None)]:
                for order in (1, 0):
                    name = f"Unique/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}/{order}"
                    x = ordinary(rng(name), dtype, shape)
                    if kind(dtype) == "float":
                        x = np.floor(x.astype(np.float32) / 2).astype(dtype)
                        x = np.where(x == 0, np.zeros((), dtype), x)
                    if kind(dtype) != "complex":
                        yield Case(name, "Unique", s.since_version, [x], {"sorted": order, **({} if axis is None else {"axis": axis})}, nout=4)
    for s, dtype, (shape, axis, count) in each("Compress", [((17,), None, 17), ((3, 5), None, 9), ((5, 37), 0, 5), ((5, 37), 1, 20), ((2, 3, 4), -1, 4)]):
        if axis is not None and axis < 0 and s.since_version < 11:
            continue
        for how in ("const", "fed", "size"):
            name = f"Compress/{s.since_version}/{short(dtype)}/{label(shape)}/{axis}_{count}/{how}"
            r = rng(name)
            yield Case(name, "Compress", s.since_version, [wide(r, dtype, shape), r.random(count) < 0.5], {} if axis is None else {"axis": axis}, const=(1,) if how == "const" else (),
                       dims="size" if how == "size" else "", signed=True)


def suppression():
    for s in versions("NonMaxSuppression"):
        for n in range(40):
            name = f"NonMaxSuppression/{s.since_version}/f32/{n}"
            r = rng(name)
            batch, classes, boxes = int(r.integers(1, 3)), int(r.integers(1, 4)), int(r.choice([1, 5, 17, 40]))
            corner = r.uniform(0, 10, (batch, boxes, 2))
            size = r.uniform(0.5, 4, (batch, boxes, 2))
            centre = n % 2
            b = np.concatenate([corner, size if centre else corner + size], -1).astype(np.float32)
            scores = r.random((batch, classes, boxes)).astype(np.float32)
            extra = [np.array([int(r.integers(1, 9))], I64), np.array([r.uniform(0.1, 0.7)], np.float32), np.array([r.uniform(0, 0.5)], np.float32)][:int(r.integers(1, 4))]
            yield Case(name, "NonMaxSuppression", s.since_version, [b, scores, *extra], {"center_point_box": centre}, const=tuple(range(2, 2 + len(extra))) if n % 4 < 2 else (), dims="size" if n % 3 == 0 else "")


def cases():
    yield from gathers()
    yield from scatters()
    yield from one_hot()
    yield from orders()
    yield from suppression()
    for s, dtype, (shape, at, mode) in each("TensorScatter", [((2, 3, 7, 4), [1, 2], "linear"), ((2, 3, 7, 4), [5, 6], "circular"), ((2, 3, 7, 4), None, "linear")]):
        r = rng(f"{s.since_version}{dtype}{at}")
        yield from view("TensorScatter", s, dtype, f"{mode}_{at}".replace(" ", ""), shape, {"mode": mode}, [wide(r, dtype, (2, 3, 3, 4))] + ([] if at is None else [np.array(at, I64)]), hows=("const", "fed"))
