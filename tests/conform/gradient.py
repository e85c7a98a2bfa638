#!/usr/bin/env python3
"""Gradient against central differences: gradient.py [TENON]. Each case is a small f64 model whose scalar result y is differentiated with
respect to all inputs, or to a value in the middle that is given anew."""
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tenon_abi  # noqa: E402

rng = np.random.default_rng(3)
TRAINING = "ai.onnx.preview.training"


def draw(*shape, lo=-2.0, hi=2.0):
    return rng.uniform(lo, hi, shape)


# name: (model text of the nodes from x0, x1, .. to y, values of the inputs)
POSITIVE = dict(lo=0.5, hi=2.0)
CASES = {
    "broadcast": ("t = Mul(x0, x1)  u = Sub(t, x2)  y = ReduceSumSquare<keepdims=0>(u)", [draw(3, 4), draw(4), draw(3, 1)]),
    "quotient": ("t = Div(x0, x1)  y = ReduceMean<keepdims=0>(t)", [draw(3, 4), draw(3, 4, **POSITIVE)]),
    "power": ("t = Pow(x0, x1)  y = ReduceSum<keepdims=0>(t)", [draw(5, **POSITIVE), draw(5)]),
    "functions": ("a = Sin(x0)  b = Exp(a)  c = Tanh(b)  d = Sigmoid(c)  e = Sqrt(d)  f = Log(e)  g = Cos(f)  h = Softplus(g)  y = ReduceSum<keepdims=0>(h)", [draw(6)]),
    "pieces": ("a = Relu(x0)  b = LeakyRelu<alpha=0.3>(x0)  c = Abs(x0)  d = Max(a, b, x1)  e = Min(c, d)  y = ReduceSum<keepdims=0>(e)", [draw(9), draw(9)]),
    "perceptron": ("a = Gemm<transB=1, alpha=0.5>(x0, x1, x2)  b = Tanh(a)  c = MatMul(b, x3)  d = LogSoftmax<axis=-1>(c)  e = Mul(d, x4)  y = ReduceMean<keepdims=0>(e)",
                   [draw(2, 3), draw(4, 3), draw(4), draw(4, 5), draw(2, 5)]),
    "batched": ("a = Transpose<perm=[0,2,1]>(x0)  b = MatMul(a, x1)  c = Softmax<axis=1>(b)  d = Mul(c, c)  y = ReduceSum<keepdims=0>(d)", [draw(2, 3, 4), draw(3, 5)]),
    "joined": ("a = Concat<axis=1>(x0, x1, x0)  b = Flatten(a)  c = Exp(b)  d = ReduceMax<keepdims=0>(c)  e = ReduceMean<keepdims=0>(c)  y = Add(d, e)", [draw(2, 3), draw(2, 1)]),
    "vectors": ("a = MatMul(x0, x1)  b = MatMul(a, x2)  c = MatMul(x2, x1)  d = MatMul(x3, b)  e = ReduceSumSquare<keepdims=0>(d)  f = ReduceSumSquare<keepdims=0>(c)  y = Sum(e, f)",
                [draw(2, 3, 4), draw(4, 4), draw(4), draw(2)]),
    "rows": ("i = Constant<value_ints=[2, 0, 2, -1]>()  a = Gather(x0, i)  b = Mul(a, x1)  y = ReduceSum<keepdims=0>(b)", [draw(3, 5), draw(4, 5)]),
    "running": ("k = Constant<value_ints=[1]>()  a = CumSum<exclusive=1>(x0, k)  b = CumSum<reverse=1>(x0, k)  c = Mul(a, b)  y = ReduceSum<keepdims=0>(c)", [draw(3, 5)]),
    "folds": ("k = Constant<value_ints=[1]>()  a = ReduceProd(x0, k)  b = ReduceL1(x0, k)  c = ReduceL2(x0)  d = ReduceLogSumExp(x0, k)  e = Exp(x0)  f = ReduceLogSum(e, k)  "
              "h = Sum(a, b, c, d, f)  y = ReduceSumSquare<keepdims=0>(h)", [draw(3, 4)]),
    "zero factors": ("k = Constant<value_ints=[1]>()  a = ReduceProd<keepdims=0>(x0, k)  y = ReduceSumSquare<keepdims=0>(a)", [np.array([[0.0, 2, 3], [0, 0, 1], [1, 2, 3]])]),
    # views
    "slice": ("f = Constant<value_ints=[1, 4]>()  t = Constant<value_ints=[9, 0]>()  k = Constant<value_ints=[0, 2]>()  p = Constant<value_ints=[2, -2]>()  a = Slice(x0, f, t, k, p)  y = ReduceSumSquare<keepdims=0>(a)", [draw(4, 2, 6)]),
    "split": ("n = Constant<value_ints=[2, 3]>()  a, b = Split<axis=1>(x0, n)  c = ReduceSumSquare<keepdims=0>(a)  e = Exp(b)  d = ReduceSum<keepdims=0>(e)  y = Mul(c, d)", [draw(3, 5)]),
    "pad": ("p = Constant<value_ints=[1, 0, 0, 2]>()  v = Constant<value_float=3.0>()  w = CastLike(v, x0)  a = Pad(x0, p, w)  b = Pad<mode=\"reflect\">(a, p)  c = Pad<mode=\"edge\">(b, p)  d = Pad<mode=\"wrap\">(c, p)  "
            "e = Mul(d, d)  y = ReduceSum<keepdims=0>(e)", [draw(3, 4)]),
    "picked": ("i = Constant<value_ints=[2, 0, 2]>()  a = Gather<axis=1>(x0, i)  j = Constant<value = int64[2, 3] {1, 0, 2, 2, 1, 0}>()  b = GatherElements<axis=1>(a, j)  "
               "k = Constant<value = int64[2, 2] {1, 2, 0, 0}>()  c = GatherND(b, k)  d = Sin(c)  y = ReduceSum<keepdims=0>(d)", [draw(2, 4)]),
    "repeated": ("n = Constant<value_ints=[2, 3]>()  a = Tile(x0, n)  b = Trilu<upper=0>(a)  s = Constant<value_ints=[3, 1, 2, 4, 6, 5]>()  c = ReverseSequence<time_axis=1, batch_axis=0>(b, s)  d = Mul(c, b)  y = ReduceSum<keepdims=0>(d)", [draw(3, 2)]),
    "blocks": ("a = SpaceToDepth<blocksize=2>(x0)  b = Mul(a, a)  c = DepthToSpace<blocksize=2>(b)  d = Sin(c)  y = ReduceSum<keepdims=0>(d)", [draw(1, 2, 4, 4)]),
    "nearest": ("s = Constant<value_floats=[1.0, 1.0, 2.0, 0.6]>()  a = Resize<mode=\"nearest\">(x0, , s)  b = Mul(a, a)  y = ReduceSum<keepdims=0>(b)", [draw(1, 1, 3, 5)]),
    "scatter": ("i = Constant<value = int64[2, 2] {1, 0, 2, 1}>()  k = Constant<value = int64[2, 2] {1, 0, 2, 2}>()  a = ScatterElements<axis=1>(x0, i, x1)  b = ScatterElements<axis=1, reduction=\"add\">(a, k, x1)  j = Constant<value = int64[2, 1] {1, 0}>()  "
                "c = ScatterND<reduction=\"add\">(b, j, x2)  d = ScatterND(c, j, x2)  e = Concat<axis=0>(b, c, d)  y = ReduceSumSquare<keepdims=0>(e)",
                [draw(2, 3), np.array([[1.0, 2], [3, 3]]), draw(2, 3)]),
    # products and windows
    "einsum": ("a = Einsum<equation=\"bij,bjk->bik\">(x0, x1)  b = Einsum<equation=\"bik,k,b->ib\">(a, x2, x3)  y = ReduceSumSquare<keepdims=0>(b)", [draw(2, 3, 4), draw(2, 4, 2), draw(2), draw(2)]),
    "conv": ("a = Conv(x0, x1, x2)  y = ReduceSumSquare<keepdims=0>(a)", [draw(2, 3, 5, 6), draw(4, 3, 3, 2), draw(4)]),
    "conv strides": ("a = Conv<strides=[2,3], pads=[1,0,2,1], dilations=[1,2], group=2>(x0, x1)  y = ReduceSumSquare<keepdims=0>(a)", [draw(2, 4, 6, 9), draw(6, 2, 3, 2)]),
    "conv same": ("a = Conv<strides=[2], auto_pad=\"SAME_LOWER\">(x0, x1)  b = Conv<auto_pad=\"SAME_UPPER\">(a, x2)  y = ReduceSumSquare<keepdims=0>(b)", [draw(1, 2, 7), draw(3, 2, 4), draw(1, 3, 2)]),
    "conv 3d": ("a = Conv<pads=[1,1,1,1,1,1], group=3>(x0, x1)  y = ReduceSumSquare<keepdims=0>(a)", [draw(1, 3, 2, 3, 2), draw(3, 1, 2, 2, 3)]),
    "conv transpose": ("a = ConvTranspose<strides=[2,1], pads=[1,0,0,1], dilations=[1,2], group=2, output_padding=[1,0]>(x0, x1, x2)  y = ReduceSumSquare<keepdims=0>(a)", [draw(2, 4, 3, 4), draw(4, 3, 3, 2), draw(6)]),
    "max pool": ("a = MaxPool<kernel_shape=[2,3], strides=[2,1], pads=[0,1,1,1]>(x0)  y = ReduceSumSquare<keepdims=0>(a)", [draw(2, 2, 5, 4)]),
    "average pool": ("a = AveragePool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1]>(x0)  b = AveragePool<kernel_shape=[2,2], pads=[1,1,0,0], count_include_pad=1>(a)  c = GlobalAveragePool(b)  d = GlobalMaxPool(b)  "
                     "e = Mul(c, d)  y = ReduceSumSquare<keepdims=0>(e)", [draw(2, 2, 5, 4)]),
    # composite ops are expanded first
    "layer norm": ("a = LayerNormalization(x0, x1, x2)  b = Mul(a, x3)  y = ReduceSum<keepdims=0>(b)", [draw(3, 5), draw(5), draw(5), draw(3, 5)]),
    "other norms": ("a = InstanceNormalization(x0, x1, x1)  b = GroupNormalization<num_groups=2>(a, x1, x1)  c = LpNormalization(b)  d = MeanVarianceNormalization(c)  e = Mul(d, x2)  y = ReduceSum<keepdims=0>(e)",
                    [draw(2, 4, 3, 2), draw(4), draw(2, 4, 3, 2)]),
    "batch norm": ("a = BatchNormalization(x0, x1, x2, x3, x4)  b = Mul(a, a)  y = ReduceSum<keepdims=0>(b)", [draw(2, 3, 4), draw(3), draw(3), draw(3), draw(3, **POSITIVE)]),
    "loss": ("t = Constant<value_ints=[1, 0, 3]>()  y = SoftmaxCrossEntropyLoss(x0, t)", [draw(3, 4)]),
    "sampling": ("a = GridSample(x0, x1)  y = ReduceSumSquare<keepdims=0>(a)", [draw(1, 2, 4, 4), draw(1, 3, 2, 2, lo=-0.9, hi=0.9)]),
    "attention": ("a = Attention<is_causal=1>(x0, x1, x2)  b = Mul(a, x3)  y = ReduceSum<keepdims=0>(b)", [draw(1, 2, 3, 4), draw(1, 2, 3, 4), draw(1, 2, 3, 2), draw(1, 2, 3, 2)]),
    "composite result": ("a = Mul(x0, x0)  b = ReduceLogSumExp<keepdims=0>(a)  y = Identity(b)", [draw(4)]),
    "network": ("a = Conv<pads=[1,1,1,1]>(x0, x1, x2)  b = Relu(a)  c = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)  d = Flatten(c)  e = Gemm<transB=1>(d, x3)  f = Softmax(e)  h = Log(f)  y = ReduceMean<keepdims=0>(h)",
                [draw(2, 1, 4, 4), draw(3, 1, 3, 3), draw(3), draw(4, 12)]),
    "unused": ("y = ReduceSum<keepdims=0>(x0)", [draw(3), draw(2)]),
}

# Every smooth or piecewise op of one operand by the slope of its formula; 0 is a seam of many.
INSIDE, ABOVE = dict(lo=-0.9, hi=0.9), dict(lo=1.1, hi=3.0)
for op, domain in {"Neg": {}, "Reciprocal": POSITIVE, "Sqrt": POSITIVE, "Exp": {}, "Log": POSITIVE, "Erf": {}, "Sin": {}, "Cos": {}, "Tan": INSIDE, "Asin": INSIDE, "Acos": INSIDE,
                   "Atan": {}, "Sinh": {}, "Cosh": {}, "Tanh": {}, "Asinh": {}, "Acosh": ABOVE, "Atanh": INSIDE, "Sigmoid": {}, "HardSigmoid": {}, "HardSwish": {},
                   "Gelu": {}, "Gelu<approximate=\"tanh\">": {}, "Mish": {}, "Softplus": {}, "Softsign": {}, "Elu<alpha=0.7>": {}, "Celu": {}, "Selu": {},
                   "LeakyRelu<alpha=0.2>": {}, "ThresholdedRelu<alpha=0.5>": {}, "Floor": {}, "Shrink<lambd=0.3, bias=0.1>": {}}.items():
    x = draw(7, **domain)
    if op.split("<")[0] in ("Sigmoid", "Softplus", "Sinh", "Cosh", "Asinh", "Atan", "Mish", "Gelu", "Softsign", "Tanh", "Erf"):
        x[3] = 0
    CASES[op] = (f"a = {op}(x0)  y = ReduceSum<keepdims=0>(a)", [x])
CASES["prelu"] = ("a = PRelu(x0, x1)  y = ReduceSum<keepdims=0>(a)", [draw(3, 4), draw(4)])
CASES["clip"] = ("a = Clip(x0, x1, x2)  y = ReduceSum<keepdims=0>(a)", [draw(9), np.array(-0.5), np.array(0.8)])
CASES["mod"] = ("a = Mod<fmod=1>(x0, x1)  y = ReduceSum<keepdims=0>(a)", [draw(5, lo=5, hi=9), draw(5, lo=1.1, hi=1.9)])


def model_of(text, inputs):
    names = [f"x{i}" for i in range(len(inputs))]
    types = ["double" + (f"[{','.join(map(str, v.shape))}]" if v.ndim else "") for v in inputs]
    head = ", ".join(f"{t} {n}" for t, n in zip(types, names))
    outs = ", ".join(["double y"] + [f"{t} d{n}" for t, n in zip(types, names)])
    m = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 23, "{TRAINING}": 1]> g ({head}) => ({outs}) {{ {text} }}')
    m.graph.node.append(helper.make_node("Gradient", names, ["d" + n for n in names], domain=TRAINING, xs=names, y="y"))
    return m


def compiled(tenon, model, folder, name):
    path, so = folder / f"{name}.onnx", folder / f"{name}.so"
    onnx.save(model, path)
    done = subprocess.run([tenon, path, "-o", so, "--name=m", "-q"], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return tenon_abi.Model(so, "m")


def differences(y, inputs, i, step=1e-5):
    d = np.zeros_like(inputs[i])
    for at in np.ndindex(d.shape):
        side = []
        for sign in (1, -1):
            moved = [v.copy() for v in inputs]
            moved[i][at] += sign * step
            side.append(float(y(moved)))
        d[at] = (side[0] - side[1]) / (2 * step)
    return d


def check(tenon, folder, name):
    text, inputs = CASES[name]
    m = compiled(tenon, model_of(text, inputs), folder, name)
    got = m.run(inputs)[1:]
    for i, g in enumerate(got):
        np.testing.assert_allclose(g, differences(lambda v: m.run(v)[0], inputs, i), rtol=1e-4, atol=1e-6, err_msg=f"d y / d x{i}")


def check_given_anew(tenon, folder):
    """xs names a value in the middle, and the node feeds another one in its place: y = (2 x)^2 by t = 2 x, at t = x is 2 x."""
    x = draw(4)
    m = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21, "{TRAINING}": 1]> g (double[4] x) => (double[4] d) '
                                "<double two = {2.0}> { t = Mul(x, two)  y = Mul(t, t) }")
    m.graph.node.append(helper.make_node("Gradient", ["x"], ["d"], domain=TRAINING, xs=["t"], y="y"))
    np.testing.assert_allclose(compiled(tenon, m, folder, "anew").run([x])[0], 2 * x, rtol=1e-12)


def check_weights(tenon, folder):
    """xs names an initializer: y = sum((x w)^2), dw = 2 x^T (x w)."""
    x, w = draw(5, 3), draw(3, 2)
    m = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21, "{TRAINING}": 1]> g (double[5,3] x) => (double[3,2] dw) '
                                f"<double[3,2] w = {{{', '.join(map(repr, w.ravel().tolist()))}}}> {{ t = MatMul(x, w)  y = ReduceSumSquare(t) }}")
    m.graph.node.append(helper.make_node("Gradient", ["w"], ["dw"], domain=TRAINING, xs=["w"], y="y"))
    np.testing.assert_allclose(compiled(tenon, m, folder, "weights").run([x])[0], 2 * x.T @ (x @ w), rtol=1e-6)


def run(title, tests):
    """Calls every test with the compiler and a scratch folder, tells which failed, and ends the program."""
    tenon = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tenon").resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        for name, test in tests.items():
            try:
                test(tenon, Path(tmp))
            except (AssertionError, RuntimeError, tenon_abi.TenonError) as e:
                failed += 1
                print(f"FAIL {name}: {e}")
    print(f"{title}: {len(tests) - failed} of {len(tests)} pass")
    sys.exit(failed != 0)


if __name__ == "__main__":
    run("gradient", {name: functools.partial(check, name=name) for name in CASES} | {"weights": check_weights, "given_anew": check_given_anew})
