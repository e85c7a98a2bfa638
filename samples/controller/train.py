#!/usr/bin/env python3
"""Writes controller.onnx: a small policy for a cart with a pole, fitted to a linear-quadratic regulator, any number of states at once.

  pip install scikit-learn onnx numpy scipy;  python3 train.py
"""
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from scipy.linalg import solve_continuous_are
from sklearn.neural_network import MLPRegressor


def regulator():
    """The gain of a cart (1 kg) with a pole (0.1 kg, 0.5 m) near upright; the state is position, speed, angle, rate."""
    m, cart, length, g = 0.1, 1.0, 0.5, 9.81
    a = np.array([[0, 1, 0, 0], [0, 0, -m * g / cart, 0], [0, 0, 0, 1], [0, 0, (m + cart) * g / (cart * length), 0]])
    b = np.array([[0], [1 / cart], [0], [-1 / (cart * length)]])
    p = solve_continuous_are(a, b, np.diag([1.0, 0.1, 10.0, 0.1]), np.eye(1) * 0.1)
    return 10 * b.T @ p


def main():
    rng = np.random.default_rng(0)
    state = rng.uniform(-1, 1, (20000, 4)) * [2, 2, 0.3, 2]
    force = np.clip(-state @ regulator().T, -10, 10) / 10  # the motor gives at most 10 N
    fit = MLPRegressor(hidden_layer_sizes=[32, 32], activation="tanh", max_iter=60, random_state=0).fit(state, force[:, 0])
    print(f"R2 {fit.score(state, force[:, 0]):.4f}")
    nodes, constants, x = [], [], "state"
    for i, (w, b) in enumerate(zip(fit.coefs_, fit.intercepts_)):
        constants += [numpy_helper.from_array(w.astype(np.float32), f"w{i}"), numpy_helper.from_array(b.astype(np.float32), f"b{i}")]
        last = i == len(fit.coefs_) - 1
        nodes.append(helper.make_node("Gemm", [x, f"w{i}", f"b{i}"], [f"z{i}" if not last else "raw"]))
        x = f"h{i}"
        nodes.append(helper.make_node("Tanh", [f"z{i}"], [x]) if not last else helper.make_node("Clip", ["raw", "low", "high"], ["force"]))
    constants += [numpy_helper.from_array(np.float32(v), n) for n, v in (("low", -1), ("high", 1))]
    graph = helper.make_graph(nodes, "controller", [helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 4])],
                              [helper.make_tensor_value_info("force", TensorProto.FLOAT, ["batch", 1])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="samples/controller/train.py")
    checker.check_model(model)
    save(model, Path(__file__).resolve().parent / "controller.onnx")


if __name__ == "__main__":
    main()
