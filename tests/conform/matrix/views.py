"""Views: the result element is an input element somewhere else. Every type, shapes fed or constant, exact to the bit."""
import numpy as np

from .case import Case, allowed, kind, label, ordinary, rng, short, versions, wide

I64 = np.int64


def often(dtype):
    """The types that get all places; the others get one in three."""
    return dtype in (np.float32, np.int64, np.uint8, np.float16)


def view(op, s, dtype, what, shape, attrs=None, params=(), hows=("const", "fed", "size"), free=None, **more):
    """Cases of one view: parameters (arrays after the data) as initializers, fed, and with symbolic dims."""
    for how in hows if params else [h for h in hows if h != "fed"]:
        name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}/{what}/{how}"
        x = wide(rng(name), dtype, shape)
        const = () if how == "fed" else tuple(i + 1 for i, p in enumerate(params) if p is not None)
        yield Case(name, op, s.since_version, [x, *params], attrs or {}, const=const, dims=(free or "size") if how == "size" and shape else "", signed=True, **more)


def each(op, places, param=0):
    for s in versions(op):
        for dtype in allowed(s, param):
            for place in places if often(dtype) else places[::3]:
                yield s, dtype, place


def reshape():
    places = [((2, 3, 4), [4, 6], 0), ((2, 3, 4), [-1], 0), ((2, 3, 4), [0, -1], 0), ((), [1, 1], 0), ((1, 1), [], 0), ((0, 3), [3, 0], 1), ((37,), [37, 1], 0), ((17, 2), [2, 0, -1], 1), ((2, 0, 3), [0, 0, 3], 0),
              ((6, 35), [5, -1, 6], 0)]
    for s, dtype, (shape, to, zero) in each("Reshape", places):
        if zero and "allowzero" not in s.attributes or zero and -1 in to and 0 in to:
            continue
        attrs = {"allowzero": 1} if zero else {}
        what = "_".join(map(str, to)) or "scalar"
        if len(s.inputs) == 1:
            yield from view("Reshape", s, dtype, what, shape, {"shape": to})
        else:
            yield from view("Reshape", s, dtype, what, shape, attrs, [np.array(to, I64)], hows=("const", "fed", "size") if 0 not in to or zero else ("const", "size"))


def flatten():
    for s, dtype, (shape, axis) in each("Flatten", [((2, 3, 4), 1), ((2, 3, 4), 0), ((2, 3, 4), 3), ((2, 3, 4), -1), ((17,), 1), ((2, 0, 3), 2), ((5,), 0)]):
        if axis < 0 and s.since_version < 11:
            continue
        yield from view("Flatten", s, dtype, axis, shape, {"axis": axis})


def squeezes():
    for op, places in (("Squeeze", [((1, 3, 1), [0]), ((1, 3, 1), [0, 2]), ((1, 3, 1), None), ((1, 3, 1), [-1]), ((1,), [0]), ((2, 1, 0), [1])]),
                       ("Unsqueeze", [((3, 4), [0]), ((3, 4), [0, 3]), ((3, 4), [-1]), ((), [0]), ((17,), [1, 0]), ((2, 0), [1])])):
        for s, dtype, (shape, axes) in each(op, places):
            what = "none" if axes is None else "_".join(map(str, axes))
            if axes and min(axes) < 0 and s.since_version < 11:
                continue
            if len(s.inputs) == 1:
                yield from view(op, s, dtype, what, shape, {} if axes is None else {"axes": axes}, hows=("const",) if axes is None else ("const", "size"))
            else:
                yield from view(op, s, dtype, what, shape, {}, [] if axes is None else [np.array(axes, I64)], hows=("const",) if axes is None else ("const", "fed", "size"))


def transpose():
    for s, dtype, (shape, perm) in each("Transpose", [((3, 37), None), ((2, 3, 5), [1, 0, 2]), ((2, 3, 5), [2, 0, 1]), ((2, 3, 4, 5), [0, 2, 3, 1]), ((17,), None), ((), None), ((67, 65), [1, 0]), ((2, 0, 3), [2, 1, 0])]):
        yield from view("Transpose", s, dtype, "none" if perm is None else "".join(map(str, perm)), shape, {} if perm is None else {"perm": perm})


def slices():
    # starts, ends, axes, steps
    big = 2**62
    places = [((20, 10), [0, 0], [3, 10], [0, 1], [1, 1]), ((20, 10), [1], [1000], [0], None), ((20, 10), [-3], [-1], [-1], None), ((17,), [16], [-big], [0], [-1]), ((17,), [-1], [-100], [0], [-3]),
              ((20, 10), [5, 0], [2, 10], None, None), ((2, 3, 5), [0, 1], [big, 3], [2, 1], [2, 1]), ((37,), [3], [30], None, [7]), ((0, 4), [0], [5], [0], [1]), ((17,), [100], [200], [0], None)]
    for s, dtype, (shape, starts, ends, axes, steps) in each("Slice", places):
        what = f"{starts[0]}_{min(ends[0], 9999)}_{'x' if axes is None else ''.join(map(str, axes))}_{steps[0] if steps else ''}".replace(str(-big), "min")
        if "starts" in s.attributes:
            if steps and any(v != 1 for v in steps) or axes and min(axes) < 0:
                continue
            yield from view("Slice", s, dtype, what, shape, {"starts": starts, "ends": ends, **({} if axes is None else {"axes": axes})})
        else:
            params = [np.array(v, I64) if v is not None else None for v in (starts, ends, axes, steps)]
            while params[-1] is None:
                params.pop()
            yield from view("Slice", s, dtype, what, shape, {}, params)


def split():
    for s, dtype, (shape, axis, sizes, parts) in each("Split", [((12, 5), 0, [3, 9], 2), ((12, 5), 0, None, 3), ((4, 37), 1, [1, 0, 36], 3), ((6,), 0, None, 2), ((4, 37), -1, [17, 20], 2), ((5, 7), 1, None, 2)]):
        if axis < 0 and s.since_version < 11 or sizes is None and shape[axis] % parts and s.since_version < 18:
            continue
        attrs, params = {"axis": axis}, []
        if sizes is not None and "split" in s.attributes:
            attrs["split"] = sizes
        elif sizes is not None:
            params = [np.array(sizes, I64)]
        elif "num_outputs" in s.attributes:
            attrs["num_outputs"] = parts
        elif len(s.inputs) == 2 and s.since_version == 1:
            continue
        yield from view("Split", s, dtype, f"{axis}_{'_'.join(map(str, sizes)) if sizes else parts}", shape, attrs, params, hows=("const", "fed", "size") if sizes else ("const",), nout=parts)


def concat():
    for s, dtype, (shapes, axis) in each("Concat", [([(3, 5), (2, 5)], 0), ([(3, 5), (3, 1), (3, 37)], 1), ([(2, 3, 4)], 2), ([(2, 0), (2, 3)], -1), ([(17,), (1,), (5,), (130,)], 0)]):
        if axis < 0 and s.since_version < 11:
            continue
        for how in ("const", "size"):
            name = f"Concat/{s.since_version}/{short(dtype)}/{'_'.join(map(label, shapes))}/{axis}/{how}"
            r = rng(name)
            yield Case(name, "Concat", s.since_version, [wide(r, dtype, d) for d in shapes], {"axis": axis}, dims="size" if how == "size" else "", signed=True)


def expand_tile():
    for s, dtype, (shape, to) in each("Expand", [((3, 1), [3, 37]), ((3, 1), [2, 1, 4]), ((1,), [0]), ((), [2, 3]), ((5,), [1]), ((3, 1), [1, 1])]):
        yield from view("Expand", s, dtype, "_".join(map(str, to)), shape, {}, [np.array(to, I64)])
    for s in versions("Tile"):
        for dtype in allowed(s, 0):
            for shape, repeats in [((3, 5), [2, 3]), ((17,), [3]), ((2, 1, 3), [1, 4, 1]), ((3, 5), [0, 2]), ((), [])]:
                if s.since_version >= 6:
                    yield from view("Tile", s, dtype, "_".join(map(str, repeats)) or "none", shape, {}, [np.array(repeats, I64)])


def pad():
    places = [((3, 5), [1, 2, 0, 1], None), ((17,), [3, 2], None), ((3, 5), [-1, 0, 0, 2], None), ((2, 3, 4), [0, 1, 2, 1, 0, 3], None), ((4, 6), [2, 1], [-1]), ((4, 37), [0, 0, 0, 0], None)]
    for s in versions("Pad"):
        for dtype in allowed(s, 0):
            for shape, pads, axes in places if often(dtype) else places[::3]:
                for mode in ("constant", "reflect", "edge", "wrap"):
                    if mode == "wrap" and s.since_version < 19 or axes is not None and s.since_version < 18 or mode != "constant" and min(pads) < 0 and s.since_version < 18:
                        continue
                    for value in (None, 3) if mode == "constant" else (None,):
                        what = f"{mode}_{'_'.join(map(str, pads))}{'' if value is None else '_v'}{'' if axes is None else '_axes'}"
                        if len(s.inputs) == 1:
                            attrs = {"mode": mode, ("pads" if "pads" in s.attributes else "paddings"): pads, **({} if value is None else {"value": float(value)})}
                            yield from view("Pad", s, dtype, what, shape, attrs)
                        else:
                            fill = None if value is None else np.array("pad" if kind(dtype) == "object" else value, object).astype(dtype)
                            params = [np.array(pads, I64), fill, None if axes is None else np.array(axes, I64)]
                            while params[-1] is None:
                                params.pop()
                            yield from view("Pad", s, dtype, what, shape, {"mode": mode}, params, ort=mode == "constant" or min(pads) >= 0, ref=min(pads) >= 0)


def space():
    for op, places in (("DepthToSpace", [((1, 8, 2, 3), 2), ((2, 12, 1, 5), 2), ((1, 9, 3, 1), 3), ((1, 8, 0, 3), 2)]), ("SpaceToDepth", [((1, 2, 4, 6), 2), ((2, 3, 6, 2), 2), ((1, 1, 9, 3), 3)])):
        for s, dtype, (shape, block) in each(op, places):
            for mode in ("DCR", "CRD") if "mode" in s.attributes else (None,):
                yield from view(op, s, dtype, f"{block}{mode or ''}", shape, {"blocksize": block, **({} if mode is None else {"mode": mode})}, free={0: (0,) if op == "SpaceToDepth" else (0, 2, 3)})


def others():
    for s, dtype, (shape, k, upper) in each("Trilu", [((5, 5), None, 1), ((5, 5), None, 0), ((3, 37), 1, 1), ((3, 37), -2, 0), ((2, 4, 3), 100, 1), ((2, 4, 3), -100, 1), ((0, 3), 1, 0), ((17, 2), 0, 1)]):
        yield from view("Trilu", s, dtype, f"{k}_{upper}", shape, {"upper": upper}, [] if k is None else [np.array(k, I64)])
    for s, dtype, (shape, to, axes) in each("CenterCropPad", [((10, 7), [4, 9], None), ((10, 7), [5], [1]), ((17,), [20], None), ((3, 5, 7), [4, 2], [-1, 0])]):
        yield from view("CenterCropPad", s, dtype, f"{'_'.join(map(str, to))}{axes or ''}", shape, {} if axes is None else {"axes": axes}, [np.array(to, I64)])
    for s, dtype, (shape, lens, t, b) in each("ReverseSequence", [((4, 3), [4, 2, 1], 0, 1), ((3, 5, 2), [5, 0, 3], 1, 0), ((17, 1), [9], 0, 1)]):
        yield from view("ReverseSequence", s, dtype, f"{t}{b}", shape, {"time_axis": t, "batch_axis": b}, [np.array(lens, I64)])
    for s, dtype, (shape, dtype_attr, k) in each("EyeLike", [((3, 5), None, 0), ((5, 3), 1, 1), ((4, 4), 7, -2), ((2, 37), 9, 10)]):
        if kind(dtype) == "object":
            continue
        yield from view("EyeLike", s, dtype, f"{dtype_attr}_{k}", shape, {"k": k, **({} if dtype_attr is None else {"dtype": dtype_attr})})
    for s, dtype, (shape, start, end) in each("Shape", [((3, 5), None, None), ((), None, None), ((2, 0, 3), 1, None), ((2, 3, 4, 5), -3, -1), ((17,), 5, 9)]):
        if (start, end) != (None, None) and s.since_version < 15:
            continue
        yield from view("Shape", s, dtype, f"{start}_{end}", shape, {k: v for k, v in (("start", start), ("end", end)) if v is not None})
    for s, dtype, shape in each("Size", [(3, 5), (), (2, 0, 3), (17,)]):
        yield from view("Size", s, dtype, "size", shape)


def made():
    for s in versions("ConstantOfShape"):
        for dtype in allowed(s, "T2"):
            for shape in ([3, 5], [], [0, 4], [37]):
                for how in ("const", "fed"):
                    if kind(dtype) == "object":
                        continue
                    name = f"ConstantOfShape/{s.since_version}/{short(dtype)}/{label(shape)}/{how}"
                    yield Case(name, "ConstantOfShape", s.since_version, [np.array(shape, I64)], {"value": ordinary(rng(name), dtype, (1,))}, const=(0,) if how == "const" else ())
    for s in versions("Range"):
        for dtype in allowed(s, 0):
            for a, b, d in ((0, 10, 1), (10, 0, -3), (1, 1, 1), (2, 20, 7), (5, 1, 1)):
                for how in ("const", "fed"):
                    if kind(dtype) == "uint" and d < 0:
                        continue
                    name = f"Range/{s.since_version}/{short(dtype)}/{a}_{b}_{d}/{how}"
                    yield Case(name, "Range", s.since_version, [np.array(v).astype(dtype) for v in (a, b, d)], const=(0, 1, 2) if how == "const" else ())


def cases():
    for group in (reshape, flatten, squeezes, transpose, slices, split, concat, expand_tile, pad, space, others, made):
        yield from group()
