#!/usr/bin/env python3
"""One-operator models against the peak of fused multiply-adds measured in the same run: kernels.py [gemm conv3x3 conv1x1 attention] [--shapes N]

At least 30 shapes of each kind, drawn by a fixed seed around the named ones, so that a schedule fitted to a few shapes shows. Prints the
share of the peak for each, sorted, and the worst.
"""
import argparse
import random
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import ROOT, compile_model, cpu_name, measure

RNG = np.random.default_rng(1)


def weights(name, *shape):
    return numpy_helper.from_array(RNG.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:]) or 1)), name)


def floats(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes, inputs, outputs, constants=()):
    graph = helper.make_graph(nodes, "bench", inputs, outputs, list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def gemm(s):
    m, k, n, dynamic = s
    made = model([helper.make_node("MatMul", ["x", "w"], ["y"])], [floats("x", ["M" if dynamic else m, k])], [floats("y", None)], [weights("w", k, n)])
    return made, [RNG.standard_normal((m, k)).astype(np.float32)], 2 * m * k * n


def conv(s):
    size, c, kernel, stride = s
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[kernel, kernel], pads=[kernel // 2] * 4, strides=[stride, stride])
    made = model([node], [floats("x", [1, c, size, size])], [floats("y", None)], [weights("w", c, c, kernel, kernel), weights("b", c)])
    out = -(-size // stride)
    return made, [RNG.standard_normal((1, c, size, size)).astype(np.float32)], 2 * c * c * kernel * kernel * out * out


def attention(s):
    heads, length, dim = s
    shape = [1, heads, length, dim]
    nodes = [helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]), helper.make_node("MatMul", ["q", "kt"], ["s"]),
             helper.make_node("Mul", ["s", "c"], ["sc"]), helper.make_node("Softmax", ["sc"], ["p"], axis=-1), helper.make_node("MatMul", ["p", "v"], ["y"])]
    made = model(nodes, [floats(n, shape) for n in "qkv"], [floats("y", None)], [numpy_helper.from_array(np.float32(dim ** -0.5), "c")])
    return made, [RNG.standard_normal(shape).astype(np.float32) for _ in range(3)], 4 * heads * length * length * dim


def shapes(kind, n):
    pick = random.Random(kind)
    named = {"gemm": [(128, 768, 768, False), (128, 768, 768, True), (1024, 1024, 1024, False), (128, 768, 3072, False), (128, 3072, 768, False)],
             "conv3x3": [(56, 64, 3, 1), (28, 128, 3, 1), (14, 256, 3, 1)], "conv1x1": [(56, 64, 1, 1), (28, 128, 1, 1), (14, 256, 1, 1)],
             "attention": [(12, 128, 64), (8, 256, 64), (12, 384, 64)]}[kind]
    seen = list(named)
    while len(seen) < n:
        if kind == "gemm":
            s = (pick.choice([17, 32, 61, 96, 128, 197, 200, 256, 384, 500]), pick.choice([64, 100, 256, 384, 512, 768, 1000]),
                 pick.choice([48, 64, 130, 256, 384, 512, 1000, 1536]), pick.random() < 0.5)
        elif kind == "attention":
            s = (pick.choice([1, 2, 4, 6, 8, 12]), pick.choice([49, 64, 77, 100, 128, 197, 256, 384]), pick.choice([32, 40, 64, 80, 96, 128]))
        else:
            s = (pick.choice([7, 14, 20, 28, 35, 40, 56, 80]), pick.choice([32, 48, 64, 96, 100, 128, 192, 256]), int(kind[4]), pick.choice([1, 1, 2]))
        if s not in seen:
            seen.append(s)
    return seen


KINDS = {"gemm": gemm, "conv3x3": conv, "conv1x1": conv, "attention": attention}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kinds", nargs="*", default=[])
    p.add_argument("--build", type=Path, default=ROOT / "build")
    p.add_argument("--shapes", type=int, default=30)
    p.add_argument("--seconds", type=float, default=0.3)
    p.add_argument("--ort", action="store_true", help="ONNX Runtime beside it")
    p.add_argument("--option", action="append", default=[])
    a = p.parse_args()
    print(cpu_name())
    for kind in a.kinds or KINDS:
        rows = []
        with tempfile.TemporaryDirectory() as scratch:
            scratch = Path(scratch)
            for s in shapes(kind, a.shapes):
                made, inputs, flops = KINDS[kind](s)
                path, so = scratch / "m.onnx", scratch / f"m{len(rows)}.so"
                onnx.save(made, path)
                files = [scratch / f"{i}.npy" for i in range(len(inputs))]
                for f, x in zip(files, inputs):
                    np.save(f, x)
                text = "x".join(map(str, s))
                try:
                    wrong = compile_model(a.build, path, so, a.option)
                    if wrong:
                        raise RuntimeError(wrong)
                    r = measure(a.build, so, files, path if a.ort else None, peak=True, seconds=a.seconds)
                    reached = flops / r["tenon_us"] * 1e-3
                    rows.append((reached / r["peak_gflops"], text, f"{reached:7.1f} of {r['peak_gflops']:.1f} GFLOP/s {r['tenon_us']:10.1f} us"
                                 + (f"  ONNX Runtime {r['ort_us'] / r['tenon_us']:.2f}x" if a.ort else "")))
                except RuntimeError as e:
                    rows.append((0.0, text, str(e)))
        rows.sort()
        for share, text, more in rows:
            print(f"{kind:10} {text:24} {100 * share:5.1f} %  {more}")
        print(f"{kind}: {len(rows)} shapes, worst {100 * rows[0][0]:.1f} %, median {100 * rows[len(rows) // 2][0]:.1f} %, best {100 * rows[-1][0]:.1f} % of the peak\n", flush=True)


if __name__ == "__main__":
    main()
