#!/usr/bin/env python3
"""run.py TENON - ops of old opsets and a few others that ONNX Runtime cannot judge, compiled and run, against numpy; and forms that exporters write. One function per rule of frontend/upgrade_*.c."""
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tenon_abi  # noqa: E402

F = np.float32
CASES = []


def case(opset, nodes, inputs, expected, **inits):
    """nodes: (op, operands, results, attributes); graph outputs are y0, y1 .."""
    name = f"{nodes[-1][0]}_{opset}_{len(CASES)}"
    CASES.append((name, opset, nodes, inputs, expected, inits))


def x(*shape):
    return (np.arange(np.prod(shape), dtype=F).reshape(shape) * F(0.37) - F(1.5)).astype(F)


def build(opset, nodes, inputs, expected, inits, path):
    dtype = helper.np_dtype_to_tensor_dtype
    protos = [helper.make_node(op, i, o, **a) for op, i, o, a in nodes]
    ins = [helper.make_tensor_value_info(k, dtype(v.dtype), v.shape) for k, v in inputs.items()]
    outs = [helper.make_tensor_value_info(f"y{k}", dtype(v.dtype), [None] * v.ndim) for k, v in enumerate(expected)]
    tensors = [helper.make_tensor(k, dtype(v.dtype), v.shape, v.flatten().tolist()) for k, v in inits.items()]
    graph = helper.make_graph(protos, "g", ins, outs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)], ir_version=8)
    path.write_bytes(model.SerializeToString())


def run(tenon, folder, name, opset, nodes, inputs, expected, inits):
    path, lib = folder / f"{name}.onnx", folder / f"{name}.so"
    build(opset, nodes, inputs, expected, inits, path)
    done = subprocess.run([tenon, str(path), "-o", str(lib), "--name", "m", "-q"], capture_output=True, text=True)
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.strip()[:200]}"
    got = tenon_abi.Model(str(lib), "m").run(list(inputs.values()))
    for k, (a, b) in enumerate(zip(got, expected)):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"y{k} is {a.dtype}{list(a.shape)}, expected {b.dtype}{list(b.shape)}"
        if not np.allclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-5, atol=1e-6):
            return f"y{k} differs: {a.flatten()[:6]} instead of {b.flatten()[:6]}"
    return None


# ---- broadcasting by attribute ----
a, b = x(2, 3, 4), x(3)
case(6, [("Add", ["a", "b"], ["y0"], dict(broadcast=1, axis=1))], dict(a=a, b=b), [a + b[:, None]])
case(6, [("Sub", ["a", "b"], ["y0"], dict(broadcast=1))], dict(a=a, b=x(3, 4)), [a - x(3, 4)])
case(6, [("Mul", ["a", "b"], ["y0"], dict(broadcast=1, axis=0))], dict(a=a, b=x(2, 3)), [a * x(2, 3)[:, :, None]])
case(6, [("Transpose", ["a"], ["t"], dict(perm=[0, 2, 1])), ("Add", ["t", "b"], ["y0"], dict(broadcast=1, axis=1))],
     dict(a=x(2, 4, 3), b=b), [x(2, 4, 3).transpose(0, 2, 1) + b[:, None]])
case(6, [("Gemm", ["a", "b", "c"], ["y0"], dict(broadcast=1))], dict(a=x(2, 3), b=x(3, 4), c=x(4)), [x(2, 3) @ x(3, 4) + x(4)])
case(6, [("PRelu", ["a", "s"], ["y0"], {})], dict(a=a, s=b), [np.where(a < 0, a * b[:, None], a)])

# ---- attributes that became inputs ----
case(6, [("Clip", ["a"], ["y0"], dict(min=-1.0, max=2.0))], dict(a=a), [a.clip(-1, 2)])
case(6, [("Clip", ["a"], ["y0"], dict(max=2.0))], dict(a=a), [np.minimum(a, F(2))])
case(1, [("Slice", ["a"], ["y0"], dict(axes=[0, 2], starts=[1, -3], ends=[1000, -1]))], dict(a=a), [a[1:, :, -3:-1]])
case(9, [("Slice", ["a"], ["y0"], dict(starts=[0, 1], ends=[1, 3]))], dict(a=a), [a[0:1, 1:3]])
case(2, [("Pad", ["a"], ["y0"], dict(pads=[0, 1, 2, 0, 1, 0], value=9.0))], dict(a=a),
     [np.pad(a, [(0, 0), (1, 1), (2, 0)], constant_values=9)])
case(10, [("Pad", ["a"], ["y0"], dict(pads=[0, 1, 2, 0, 1, 0], mode="reflect"))], dict(a=a),
     [np.pad(a, [(0, 0), (1, 1), (2, 0)], mode="reflect")])
case(4, [("Reshape", ["a"], ["y0"], dict(shape=[0, -1]))], dict(a=a), [a.reshape(2, 12)])
case(5, [("Tile", ["a", "n", "d"], ["y0"], {})], dict(a=a), [np.tile(a, (1, 3, 1))], n=np.array(3, F), d=np.array(1, F))
case(2, [("Split", ["a"], ["y0", "y1"], dict(axis=2))], dict(a=a), [a[:, :, :2], a[:, :, 2:]])
case(11, [("Split", ["a"], ["y0", "y1"], dict(axis=2, split=[1, 3]))], dict(a=a), [a[:, :, :1], a[:, :, 1:]])
case(13, [("Split", ["a"], ["y0", "y1"], dict(axis=2))], dict(a=a), [a[:, :, :2], a[:, :, 2:]])
case(11, [("Unsqueeze", ["a"], ["u"], dict(axes=[0, 4])), ("Squeeze", ["u"], ["y0"], dict(axes=[0]))], dict(a=a), [a[..., None]])
case(11, [("ReduceSum", ["a"], ["y0"], dict(axes=[1], keepdims=0))], dict(a=a), [a.sum(1)])
case(13, [("ReduceMean", ["a"], ["y0"], dict(axes=[0, -1]))], dict(a=a), [a.mean((0, 2), keepdims=True)])
case(13, [("ReduceMax", ["a"], ["y0"], dict(keepdims=0))], dict(a=a), [np.array(a.max())])
order = np.argsort(-a, axis=1, kind="stable")[:, :2]
case(1, [("TopK", ["a"], ["y0", "y1"], dict(k=2, axis=1))], dict(a=a), [np.take_along_axis(a, order, 1), order.astype(np.int64)])
case(17, [("DFT", ["a"], ["y0"], {})], dict(a=x(1, 4, 3, 1)),
     [np.stack([f(np.fft.fft(x(1, 4, 3), axis=1)) for f in (np.real, np.imag)], -1).astype(F)])
case(5, [("Cast", ["a"], ["y0"], dict(to="INT32"))], dict(a=a), [a.astype(np.int32)])
case(3, [("Concat", ["a", "a"], ["y0"], {})], dict(a=a), [np.concatenate([a, a], 1)])
case(1, [("LpPool", ["a"], ["y0"], dict(kernel_shape=[2], p=2.0))], dict(a=a), [np.sqrt(a[:, :, :-1] ** 2 + a[:, :, 1:] ** 2)])

# ---- changed meaning ----
def softmax(v):
    e = np.exp(v - v.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


case(11, [("Softmax", ["a"], ["y0"], {})], dict(a=a), [softmax(a.reshape(2, 12)).reshape(a.shape)])
case(11, [("Softmax", ["a"], ["y0"], dict(axis=2))], dict(a=a), [softmax(a)])
case(11, [("LogSoftmax", ["a"], ["y0"], dict(axis=0))], dict(a=a), [np.log(softmax(a.reshape(1, 24))).reshape(a.shape)])
case(11, [("Hardmax", ["a"], ["y0"], dict(axis=1))], dict(a=a), [np.tile(np.arange(12) == 11, 2).astype(F).reshape(a.shape)])
s, c, m, v = x(3, 4), x(3, 4) + 1, x(3, 4) * 2, x(3, 4) ** 2 + 1
case(7, [("BatchNormalization", ["a", "s", "c", "m", "v"], ["y0"], dict(spatial=0))], dict(a=a, s=s, c=c, m=m, v=v),
     [(a - m) / np.sqrt(v + F(1e-5)) * s + c])
case(7, [("BatchNormalization", ["a", "s", "c", "m", "v"], ["y0"], {})], dict(a=a, s=s[:, 0], c=c[:, 0], m=m[:, 0], v=v[:, 0]),
     [(a - m[:, :1]) / np.sqrt(v[:, :1] + F(1e-5)) * s[:, :1] + c[:, :1]])
g = x(2, 4, 3).reshape(2, 2, 6)
g = ((g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + F(1e-5))).reshape(2, 4, 3)
case(18, [("GroupNormalization", ["a", "s", "c"], ["y0"], dict(num_groups=2))], dict(a=x(2, 4, 3), s=x(2), c=x(2) + 1),
     [g * np.repeat(x(2), 2)[:, None] + np.repeat(x(2) + 1, 2)[:, None]])
case(7, [("Dropout", ["a"], ["d"], dict(ratio=0.5)), ("Neg", ["d"], ["y0"], {})], dict(a=a), [-a])
case(10, [("Dropout", ["a"], ["y0", "y1"], {})], dict(a=a), [a, np.ones(a.shape, bool)])
p = x(1, 1, 2, 3)
case(7, [("Upsample", ["a"], ["y0"], dict(scales=[1.0, 1.0, 2.0, 3.0]))], dict(a=p), [p.repeat(2, 2).repeat(3, 3)])
case(9, [("Upsample", ["a", "n"], ["y0"], {})], dict(a=p), [p.repeat(2, 2).repeat(2, 3)], n=np.array([1, 1, 2, 2], F))
case(10, [("Resize", ["a", "n"], ["y0"], {})], dict(a=p), [p.repeat(2, 2).repeat(2, 3)], n=np.array([1, 1, 2, 2], F))
line = np.array([[[1, 2]]], F)
case(9, [("Upsample", ["a", "n"], ["y0"], dict(mode="linear"))], dict(a=line), [np.array([[[1, 1.4, 1.8, 2, 2]]], F)], n=np.array([1, 1, 2.5], F))
case(11, [("Resize", ["a", "e", "n"], ["y0"], dict(coordinate_transformation_mode="asymmetric", nearest_mode="floor"))], dict(a=p),
     [p.repeat(2, 2).repeat(2, 3)], e=np.array([], F), n=np.array([1, 1, 2, 2], F))
case(9, [("Scatter", ["a", "i", "u"], ["y0"], dict(axis=1))], dict(a=x(1, 5), i=np.array([[1, 3]]), u=np.array([[7, 8]], F)),
     [np.array([[x(1, 5)[0, 0], 7, x(1, 5)[0, 2], 8, x(1, 5)[0, 4]]], F)])
grid = np.array([[[[-1, -1], [1, 1], [0, 0]]]], F)
case(16, [("GridSample", ["a", "g"], ["y0"], dict(align_corners=1, mode="bilinear"))], dict(a=p, g=grid),
     [np.array([[[[p[0, 0, 0, 0], p[0, 0, 1, 2], (p[0, 0, 0, 1] + p[0, 0, 1, 1]) / 2]]]], F)])

# ---- ops that the standard dropped ----
i = x(1, 2, 4, 5)
case(1, [("Affine", ["a"], ["y0"], dict(alpha=2.0, beta=0.5))], dict(a=a), [a * 2 + F(0.5)])
case(1, [("ScaledTanh", ["a"], ["y0"], dict(alpha=2.0, beta=0.5))], dict(a=a), [2 * np.tanh(a / 2)])
case(1, [("ParametricSoftplus", ["a"], ["y0"], dict(alpha=2.0, beta=0.5))], dict(a=a), [2 * np.log1p(np.exp(a / 2))])
case(1, [("ImageScaler", ["a"], ["y0"], dict(scale=2.0, bias=[1.0, -1.0]))], dict(a=i), [i * 2 + np.array([1, -1], F)[:, None, None]])
case(1, [("Crop", ["a"], ["y0"], dict(border=[1, 0, 2, 1]))], dict(a=i), [i[:, :, 0:3, 1:3]])
case(1, [("Crop", ["a"], ["y0"], dict(border=[1, 2, 0, 0], scale=[1, 3]))], dict(a=i), [i[:, :, 2:3, 1:4]])

# ---- training graphs of ONNX Runtime ----
case(17, [("SigmoidGrad", ["g", "y"], ["y0"], dict(domain="com.microsoft"))], dict(g=a, y=a * a), [a * (a * a) * (1 - a * a)])


def scan8():
    value = helper.make_tensor_value_info
    body = helper.make_graph([helper.make_node("Add", ["s", "t"], ["n"]), helper.make_node("Identity", ["n"], ["o"])], "body",
                             [value("s", TensorProto.FLOAT, [2]), value("t", TensorProto.FLOAT, [2])],
                             [value("n", TensorProto.FLOAT, [2]), value("o", TensorProto.FLOAT, [2])])
    init, seq = x(3, 2), x(3, 4, 2) + 1
    sums = init[:, None] + seq.cumsum(1)
    case(8, [("Scan", ["", "s0", "xs"], ["y0", "y1"], dict(body=body, num_scan_inputs=1))], dict(s0=init, xs=seq), [sums[:, -1], sums])


scan8()



# ---- forms that exporters write ----
INT64 = TensorProto.INT64
image = x(1, 2, 3, 4)
# sizes that go through floats: the largest of the images' heights, the root of a count of patches
case(17, [("Shape", ["a"], ["s"], dict(start=2)), ("Cast", ["s"], ["f"], dict(to=1)), ("ReduceMax", ["f"], ["m"], dict(keepdims=0)),
          ("Cast", ["m"], ["k"], dict(to=INT64)), ("Unsqueeze", ["k", "zero"], ["kv"], {}), ("Concat", ["kv", "six"], ["to"], dict(axis=0)),
          ("Reshape", ["a", "to"], ["y0"], {})], dict(a=image), [image.reshape(4, 6)], zero=np.array([0]), six=np.array([6]))
case(17, [("Pow", ["four", "half"], ["r"], {}), ("Cast", ["r"], ["k"], dict(to=INT64)), ("Unsqueeze", ["k", "zero"], ["kv"], {}),
          ("Concat", ["kv", "kv", "six"], ["to"], dict(axis=0)), ("Reshape", ["a", "to"], ["y0"], {})], dict(a=image), [image.reshape(2, 2, 6)],
     zero=np.array([0]), six=np.array([6]), four=np.array(4, F), half=np.array(0.5, F))
# a size that infer does not know but fold does: what is made of it must be folded from its number, not from its symbol
case(17, [("Exp", ["e"], ["f"], {}), ("Cast", ["f"], ["k"], dict(to=INT64)), ("Cast", ["k"], ["g"], dict(to=1)), ("Cast", ["g"], ["h"], dict(to=INT64)),
          ("Concat", ["z", "h", "z", "h"], ["pads"], dict(axis=0)), ("Pad", ["a", "pads"], ["y0"], {})], dict(a=x(2, 3)),
     [np.pad(x(2, 3), [(0, 0), (3, 3)])], e=np.array([1.2], F), z=np.array([0]))
# a signal without its last dim of 1
signal, window = np.sin(x(2, 40)), np.hanning(16).astype(F)
frames = np.stack([signal[:, t:t + 16] for t in range(0, 25, 8)], 1) * window
spectrum = np.fft.rfft(frames)
case(17, [("STFT", ["a", "hop", "w"], ["y0"], dict(onesided=1))], dict(a=signal), [np.stack([spectrum.real, spectrum.imag], -1).astype(F)],
     hop=np.array(8), w=window)
# attention whose bias is computed, and the same for all windows
q, k, v, t = (np.sin(x(*shape)) for shape in ((6, 2, 8, 4), (6, 2, 4, 8), (6, 2, 8, 4), (2, 8, 8)))
scores = q @ k + 1 / (1 + np.exp(-t))
p = np.exp(scores - scores.max(-1, keepdims=True))
case(17, [("MatMul", ["q", "k"], ["s"], {}), ("Sigmoid", ["t"], ["b"], {}), ("Add", ["s", "b"], ["u"], {}), ("Softmax", ["u"], ["p"], {}),
          ("MatMul", ["p", "v"], ["y0"], {})], dict(q=q, k=k, v=v, t=t), [p / p.sum(-1, keepdims=True) @ v])
# a matrix over the product of two of its maxima
case(17, [("ReduceMax", ["a"], ["m"], dict(keepdims=0)), ("ReduceMax", ["b"], ["o"], dict(keepdims=0)), ("Mul", ["m", "o"], ["s"], {}),
          ("Div", ["a", "s"], ["d"], {}), ("MatMul", ["d", "b"], ["y0"], {})], dict(a=q, b=k), [q / (q.max() * k.max()) @ k])
# what must hold between a dim that NonZero gives and one that is fed: its expansion has another symbol for it
m, table = np.array([0, 3, 0, 1, 2], F), x(5, 4)
case(17, [("NonZero", ["m"], ["nz"], {}), ("Squeeze", ["nz", "zero"], ["i"], {}), ("Gather", ["t", "i"], ["r"], {}), ("Expand", ["r", "to"], ["y0"], {})],
     dict(m=m, t=table, to=np.array([3, 4])), [table[[1, 3, 4]]], zero=np.array([0]))
# repeat_interleave: a sequence split by ones, of which only their number is not known, gives sizes of known count
case(17, [("ConstantOfShape", ["n"], ["ones"], dict(value=helper.make_tensor("one", INT64, [1], [1]))), ("SplitToSequence", ["r", "ones"], ["s"], {}),
          ("SequenceAt", ["s", "at"], ["k"], {}), ("Concat", ["k", "four"], ["to"], dict(axis=0)), ("Expand", ["a", "to"], ["y0"], {})],
     dict(n=np.array([3]), r=np.array([2, 5, 3]), a=x(1, 4)), [np.repeat(x(1, 4), 5, 0)], at=np.array(1), four=np.array([4]))


def main(tenon):
    failed = 0
    with tempfile.TemporaryDirectory() as d:
        for c in CASES:
            try:
                why = run(tenon, Path(d), *c)
            except tenon_abi.TenonError as e:
                why = str(e)
            if why:
                failed += 1
                print(f"FAIL {c[0]}: {why}")
    print(f"opsets: {len(CASES) - failed} of {len(CASES)} pass")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
