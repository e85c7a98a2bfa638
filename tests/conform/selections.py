#!/usr/bin/env python3
"""Random cases of the operators that select and order, with ONNX Runtime's results: ties, NaN, empty tensors, sizes that only the run knows.

  selections.py OUT      writes cases in the form of dump.py; then: run.py --suite OUT
"""
import sys

import numpy as np

import contrib
from contrib import case, rng

NAMES = "ABCDEF"
contrib.CASES.clear()  # its writer is what we want


def add(name, op, inputs, outputs=1, symbolic=True, **attrs):
    """With symbolic dims, and with known ones."""
    constant = attrs.pop("constant", ())
    for kind in ("dyn", "fix") if symbolic else ("fix",):
        dims = {i: tuple(f"{NAMES[i]}{d}" for d in range(x.ndim)) if kind == "dyn" else x.shape for i, x in enumerate(inputs) if x is not None}
        case(f"{name}_{kind}", op, inputs, outputs, "", dims, 0, 0, constant, **attrs)


def sparse(shape, dtype, share):
    x = rng.integers(-100, 100, shape) if np.dtype(dtype).kind != "u" else rng.integers(0, 100, shape)
    return np.where(rng.random(shape) < share, x, 0).astype(dtype)


# ---- NonZero, Compress ----
for dtype in ("float32", "int64", "int32", "bool", "uint8"):
    add(f"non_zero_{dtype}", "NonZero", [sparse((7, 9), dtype, 0.4)])
for i, shape in enumerate([(1,), (37,), (5000,), (3, 4097), (2, 3, 5, 7), (4, 1, 6), (0,), (3, 0, 2), (2, 2, 2, 2, 3)]):
    for share in (0, 0.1, 1):
        add(f"non_zero_{i}_{int(share * 10)}", "NonZero", [sparse(shape, np.float32, share)])
add("non_zero_nan", "NonZero", [np.array([0.0, -0.0, np.nan, 1, np.inf], np.float32)])
for i, (shape, axis, n) in enumerate([((5, 6), 0, 5), ((5, 6), 1, 6), ((5, 6), -1, 3), ((5, 6, 2), -2, 6), ((5, 6), None, 30), ((5, 6), None, 11), ((0, 4), 1, 4), ((9000,), 0, 9000)]):
    attrs = {} if axis is None else {"axis": axis}
    add(f"compress_{i}", "Compress", [contrib.f32(*shape), rng.random(n) < 0.5], **attrs)
    add(f"compress_none_{i}", "Compress", [contrib.f32(*shape), np.zeros(n, bool)], **attrs)
add("compress_strings", "Compress", [np.array([["a", "bc"], ["", "d"], ["e", "f"]], object), np.array([True, False, True])], symbolic=False, axis=0)

# ---- TopK: many ties ----
for i, (shape, axis) in enumerate([((1,), 0), ((5,), -1), ((3, 64), 1), ((3, 65), 1), ((100, 3), 0), ((2, 130, 3), 1), ((2, 511), -1), ((2, 600), -1), ((1, 3000), 1), ((2, 9000), 1), ((0, 7), 1), ((2, 1, 40), 2)]):
    n = shape[axis]
    for k in sorted({0, 1, 2, 3, 8, 30, n // 2, n}):
        if k > n:
            continue
        x = rng.integers(-50, 50, shape)
        dtype = ("float32", "int64", "int32", "float64")[(i + k) % 4]
        if k % 3 == 0:
            x = rng.normal(size=shape) * 1000
        largest, fed = int((i + k) % 2), k % 2
        add(f"top_k_{i}_{k}", "TopK", [x.astype(dtype), np.array([k], np.int64)], 2, axis=axis, largest=largest, constant=() if fed else (1,))
add("top_k_same", "TopK", [np.zeros((2, 5000), np.float32), np.array([20], np.int64)], 2, constant=(1,))
add("top_k_rising", "TopK", [np.arange(20000, dtype=np.float32)[None], np.array([50], np.int64)], 2, constant=(1,))
add("top_k_inf", "TopK", [np.array([[1, np.inf, -np.inf, 0, -0.0, 3e-45, -3e-45]], np.float32), np.array([7], np.int64)], 2)

# ---- NonMaxSuppression: scores with ties ----
for i, (batch, classes, n, most, iou, least, center) in enumerate([(1, 1, 1, 1, 0.5, None, 0), (1, 3, 40, 5, 0.3, 0.4, 0), (2, 2, 100, 100, 0.5, None, 1), (2, 3, 0, 4, 0.5, 0.1, 0),
                                                                   (1, 2, 300, 40, 0.7, 0.05, 0), (3, 1, 65, 1000, 0.0, 0.0, 0), (1, 1, 50, 0, 0.5, None, 0), (1, 20, 700, 64, 0.45, 0.9, 1), (1, 1, 30, None, None, None, 0)]):
    corner = rng.integers(0, 60, (batch, n, 2))
    size = rng.integers(0, 30, (batch, n, 2))
    boxes = np.concatenate([corner, corner + size * rng.choice([-1, 1], (batch, n, 1)) if not center else size], 2).astype(np.float32)
    scores = (rng.integers(0, 100, (batch, classes, n)) / 100).astype(np.float32)
    more = [None if v is None else np.array([v], t) for v, t in ((most, np.int64), (iou, np.float32), (least, np.float32))]
    while more and more[-1] is None:
        more.pop()
    add(f"nms_{i}", "NonMaxSuppression", [boxes, scores, *more], center_point_box=center, constant=(2, 3, 4) if i % 2 else ())

# ---- Unique ----
for i, (shape, axis) in enumerate([((1,), None), ((7,), 0), ((3, 40), None), ((2000,), None), ((0,), None), ((50, 1), 0), ((60, 3), 0), ((5, 30), 1), ((4, 3, 2), -1), ((4, 90, 2), 1), ((0, 3), 0), ((300, 2), 0)]):
    for by_value in (0, 1):
        dtype = ("float32", "int64", "float64", "int8")[(i + by_value) % 4]  # the types of ONNX Runtime
        x = rng.integers(-2 if len(shape) > 1 else -30, 2 if len(shape) > 1 else 30, shape).astype(dtype)
        add(f"unique_{i}_{by_value}", "Unique", [x], 4, sorted=by_value, **({} if axis is None else {"axis": axis}))
add("unique_zeros", "Unique", [np.array([0.0, -0.0, 1, -np.inf, np.inf, 1], np.float32)], 4)
add("unique_strings", "Unique", [np.array(["b", "a", "b", ""], object)], 4, symbolic=False)


if __name__ == "__main__":
    contrib.random_cases = lambda variants: ()
    contrib.main()
