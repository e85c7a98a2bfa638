#!/usr/bin/env python3
"""Quantised networks of two layers against ONNX Runtime: quantized.py [TENON]. QDQ form (Conv, MatMul between DequantizeLinear and
QuantizeLinear) and QLinearConv, with the zero points, paddings, strides and widths that decide whether integer instructions serve.

Sums are exact integers here and floats there, so a result next to a rounding boundary may be one step off; more than one in fifty may not."""
import functools

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gradient import compiled, run

rng = np.random.default_rng(5)


class Net:
    """Nodes and initializers under construction; every method returns the name of its result."""

    def __init__(self):
        self.nodes, self.inits, self.n = [], [], 0

    def name(self):
        self.n += 1
        return f"v{self.n}"

    def const(self, array):
        self.inits.append(numpy_helper.from_array(np.asarray(array), self.name()))
        return self.inits[-1].name

    def node(self, op, *inputs, **attrs):
        self.nodes.append(helper.make_node(op, list(inputs), [self.name()], **attrs))
        return self.nodes[-1].output[0]

    def weights(self, shape, dtype, channels, axis):
        """Quantised weights with their scales and zero points, one for each channel or one for all."""
        spread = 90 if dtype == np.int8 else 60
        zero = 0 if dtype == np.int8 else 128
        q = (zero + rng.integers(-spread, spread, shape)).astype(dtype)
        scale = rng.uniform(0.002, 0.01, shape[axis] if channels else ()).astype(np.float32)
        return self.const(q), self.const(scale), self.const(np.full(scale.shape, zero, dtype))


def layer_qdq(net, x, w_shape, dtype, channels, zero, scale, conv):
    axis = 0 if conv is not None else 1
    w, ws, wz = net.weights(w_shape, dtype, channels, axis)
    s, z = net.const(np.float32(scale)), net.const(np.uint8(zero))
    q = net.node("DequantizeLinear", net.node("QuantizeLinear", x, s, z), s, z)
    k = net.node("DequantizeLinear", w, ws, wz, axis=axis)
    y = net.node("MatMul", q, k) if conv is None else net.node("Conv", q, k, net.const(rng.normal(size=w_shape[0]).astype(np.float32)), **conv)
    return net.node("Relu", y)


def layer_qlinear(net, x, w_shape, dtype, channels, zero, scale, conv):
    w, ws, wz = net.weights(w_shape, dtype, channels, 0)
    s, z, out = net.const(np.float32(scale)), net.const(np.uint8(zero)), net.const(np.float32(0.15))
    q, mid = net.node("QuantizeLinear", x, s, z), net.const(np.uint8(119))
    bias = net.const(rng.integers(-500, 500, w_shape[0]).astype(np.int32))
    return net.node("DequantizeLinear", net.node("QLinearConv", q, s, z, w, ws, wz, out, mid, bias, **conv), out, mid)


PAD, NONE = dict(pads=[1, 1, 1, 1]), {}
I8, U8 = np.int8, np.uint8
# name: form, weights' shapes of the two layers, dtype, per channel, zero point of the data, attributes of the two (None: MatMul), input shape
CASES = {
    "blocks": (layer_qdq, [(32, 3, 3, 3), (16, 32, 3, 3)], I8, True, 0, [PAD, PAD], (2, 3, 9, 7)),
    "pointwise": (layer_qdq, [(32, 16, 1, 1), (48, 32, 1, 1)], I8, False, 7, [NONE, NONE], (1, 16, 6, 5)),
    "padded_zero_point": (layer_qdq, [(16, 16, 3, 3), (16, 16, 3, 3)], I8, True, 113, [PAD, PAD], (1, 16, 5, 5)),
    "unpadded_zero_point": (layer_qdq, [(16, 16, 3, 3), (16, 16, 3, 3)], U8, True, 113, [NONE, NONE], (1, 16, 7, 7)),
    "strides": (layer_qdq, [(16, 16, 3, 3), (32, 16, 5, 5)], U8, False, 0, [dict(strides=[2, 2], auto_pad="SAME_UPPER"), dict(strides=[2, 1], pads=[2, 0, 1, 3], dilations=[1, 2])], (1, 16, 19, 21)),
    "odd_channels": (layer_qdq, [(24, 16, 3, 3), (20, 24, 1, 1)], I8, True, 0, [PAD, NONE], (2, 16, 4, 4)),
    "groups": (layer_qdq, [(32, 1, 3, 3), (32, 16, 1, 1)], I8, True, 0, [dict(group=32, **PAD), dict(group=2)], (1, 32, 8, 8)),
    "volume": (layer_qdq, [(16, 16, 2, 2, 2), (16, 16, 1, 1, 1)], I8, True, 0, [NONE, NONE], (1, 16, 3, 4, 5)),
    "qlinear": (layer_qlinear, [(32, 16, 3, 3), (16, 32, 1, 1)], U8, False, 0, [PAD, NONE], (1, 16, 9, 9)),
    "qlinear_zero_point": (layer_qlinear, [(32, 16, 3, 3), (16, 32, 1, 1)], I8, True, 131, [PAD, NONE], (1, 16, 9, 9)),
    "matmul": (layer_qdq, [(32, 48), (48, 17)], I8, True, 101, [None, None], (2, 5, 32)),
    "matmul_u8": (layer_qdq, [(36, 40), (40, 64)], U8, False, 101, [None, None], (3, 36)),
    "matmul_odd": (layer_qdq, [(30, 40), (40, 15)], U8, True, 128, [None, None], (4, 3, 30)),
}


def model_of(form, shapes, dtype, channels, zero, attrs, input_shape):
    net, x = Net(), "x"
    for shape, conv in zip(shapes, attrs):
        x = form(net, x, shape, dtype, channels, zero, 0.02 if x == "x" else 0.1, conv)
    s, z = net.const(np.float32(0.1)), net.const(np.uint8(60))
    y = net.node("QuantizeLinear", x, s, z)
    dims = ["N", *input_shape[1:]]
    graph = helper.make_graph(net.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)], [helper.make_tensor_value_info(y, TensorProto.UINT8, [None] * len(dims))], net.inits)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def check(tenon, folder, name):
    case = CASES[name]
    model = model_of(*case)
    net = compiled(tenon, model, folder, name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, 3
    x = rng.normal(size=case[-1]).astype(np.float32)
    want = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})[0].astype(int)
    got = net.run([x])[0].astype(int)
    off = np.abs(got - want)
    if got.shape != want.shape or off.max() > 1 or (off > 0).mean() > 0.02:
        raise AssertionError(f"{(off > 0).sum()} of {off.size} differ, by up to {off.max()}")
    if len(np.unique(want)) < 8:
        raise AssertionError(f"the results say little: {np.unique(want)}")


if __name__ == "__main__":
    run("quantized", {name: functools.partial(check, name=name) for name in CASES})
