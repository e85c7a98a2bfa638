#!/usr/bin/env python3
"""Trains the digit classifier on the digits that scikit-learn bundles and writes digits.onnx, four images of the test set, and labels.txt.

  pip install scikit-learn onnx numpy;  python3 train.py

A convolution layer of fixed, oriented filters learned as the principal parts of 3x3 patches, then an MLP fitted by scikit-learn: small, but
with real weights. The model takes raw pixels (0..16), any number of images, and gives ten probabilities for each.
"""
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent


def filters(images, count):
    """The principal parts of all 3x3 patches, [count,1,3,3]."""
    patches = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2)).reshape(-1, 9)
    return PCA(count, random_state=0).fit(patches).components_.reshape(count, 1, 3, 3).astype(np.float32)


def convolved(images, w):
    """relu(conv(images)) pooled 2x2: what the first layers of the model compute. [n, c*16]"""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    y = np.maximum(0, np.einsum("nhwij,cij->nchw", patches, w[:, 0]))
    return y.reshape(len(images), len(w), 4, 2, 4, 2).max((3, 5)).reshape(len(images), -1)


def graph(w, mlp):
    constants = {"filters": w, "scale": np.float32(1 / 16), "w1": mlp.coefs_[0], "b1": mlp.intercepts_[0], "w2": mlp.coefs_[1], "b2": mlp.intercepts_[1],
                 "flat": np.array([-1, w.shape[0] * 16], np.int64)}
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "filters"], ["edges"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["edges"], ["positive"]),
        helper.make_node("MaxPool", ["positive"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["pooled", "flat"], ["features"]),
        helper.make_node("Gemm", ["features", "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probability"], axis=1),
    ]
    return helper.make_graph(nodes, "digits", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
                             [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 10])],
                             [numpy_helper.from_array(np.asarray(v, np.int64 if k == "flat" else np.float32), k) for k, v in constants.items()])


def main():
    digits = load_digits()
    train, test, y_train, y_test = train_test_split(digits.images, digits.target, test_size=0.25, random_state=0)
    w = filters(train / 16, 8)
    mlp = MLPClassifier(hidden_layer_sizes=[32], max_iter=500, random_state=0).fit(convolved(train / 16, w), y_train)
    print(f"accuracy on {len(test)} images that were not trained on: {mlp.score(convolved(test / 16, w), y_test):.3f}")
    model = helper.make_model(graph(w, mlp), opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="samples/digits/train.py")
    checker.check_model(model)
    save(model, HERE / "digits.onnx")
    for i in range(4):
        np.save(HERE / f"image{i}.npy", test[i].astype(np.float32).reshape(1, 1, 8, 8))
    (HERE / "labels.txt").write_text(" ".join(map(str, y_test[:4])) + "\n")


if __name__ == "__main__":
    main()
