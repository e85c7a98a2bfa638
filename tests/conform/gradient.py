#!/usr/bin/env python3
"""Gradient against central differences: gradient.py [TENON]. Each case is a small f64 model whose scalar result y is differentiated with
respect to all inputs, or to a value in the middle that is given anew."""
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
    "unused": ("y = ReduceSum<keepdims=0>(x0)", [draw(3), draw(2)]),
}


def model_of(text, inputs):
    names = [f"x{i}" for i in range(len(inputs))]
    head = ", ".join(f"double[{','.join(map(str, v.shape))}] {n}" for n, v in zip(names, inputs))
    outs = ", ".join(["double y"] + [f"double[{','.join(map(str, v.shape))}] d{n}" for n, v in zip(names, inputs)])
    m = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21, "{TRAINING}": 1]> g ({head}) => ({outs}) {{ {text} }}')
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


def main():
    tenon = Path(sys.argv[1] if len(sys.argv) > 1 else "build/tenon").resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as tmp:
        tests = {name: (lambda name=name: check(tenon, Path(tmp), name)) for name in CASES}
        tests["weights"] = lambda: check_weights(tenon, Path(tmp))
        tests["given_anew"] = lambda: check_given_anew(tenon, Path(tmp))
        for name, test in tests.items():
            try:
                test()
            except (AssertionError, RuntimeError, tenon_abi.TenonError) as e:
                failed += 1
                print(f"FAIL {name}: {e}")
    print(f"gradient: {len(tests) - failed} of {len(tests)} pass")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
