#!/usr/bin/env python3
"""Models of TensorFlow and Keras by tf2onnx, with random weights: other_tf.py OUT [REGEX]"""
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf
import tf2onnx
from other_common import build, write_model

K, L = tf.keras, tf.keras.layers
tf.random.set_seed(5)


def value(shape, dtype, seed):
    r = np.random.default_rng(seed)
    kind = tf.as_dtype(dtype)
    if kind.is_integer:
        return r.integers(0, 6, shape).astype(kind.as_numpy_dtype)
    if kind.is_bool:
        return r.random(shape) < 0.5
    return r.normal(size=shape).astype(kind.as_numpy_dtype)


def converted(out, name, fn, spec, shapes, opset):
    """spec: TensorSpecs; shapes: case -> a list of shapes."""
    model, _ = tf2onnx.convert.from_function(tf.function(fn, input_signature=spec), input_signature=spec, opset=opset)
    order = [i.name.split(":")[0] for i in model.graph.input]
    cases = {}
    for c, (case, s) in enumerate(shapes.items()):
        given = {t.name: value(d, t.dtype, 10 * c + i) for i, (t, d) in enumerate(zip(spec, s))}
        cases[case] = [given[n] for n in order]
    write_model(out, name, model, cases)


def keras(make, shape, opset=15, batches=(1, 3), **free):
    """shape: without the batch; None dims are fed with 9 and 5."""
    def builder(out, name):
        model = make()
        for w in model.weights:  # no norm at its identity
            if any(k in w.name for k in ("gamma", "beta", "moving_mean")):
                w.assign(w + 0.1 * tf.random.normal(w.shape))
        dtype = free.get("dtype", "float32")
        spec = [tf.TensorSpec([None, *shape], dtype, name="x")]
        fill = lambda n: [n, *[d or (9 if n == 1 else 5) for d in shape]]
        converted(out, name, lambda x: model(x, training=False), spec, {f"b{n}": [fill(n)] for n in batches}, opset)
    return builder


def function(fn, *shapes, opset=17, dtypes=None, sizes=(4, 7)):
    """shapes: a list per input; None is fed with each of sizes."""
    def builder(out, name):
        types = dtypes or ["float32"] * len(shapes)
        spec = [tf.TensorSpec(s, t, name=f"x{i}") for i, (s, t) in enumerate(zip(shapes, types))]
        converted(out, name, fn, spec, {f"n{n}": [[n if d is None else d for d in s] for s in shapes] for n in sizes}, opset)
    return builder


def seq(*layers, shape):
    return lambda: K.Sequential([L.InputLayer(shape), *layers])


def attention_block():
    x = L.Input((None, 32))
    a = L.MultiHeadAttention(4, 8)(x, x, use_causal_mask=True)
    x1 = L.LayerNormalization()(x + a)
    return K.Model(x, L.LayerNormalization()(x1 + L.Dense(32)(L.Dense(64, "gelu")(x1))))


@tf.function
def collatz(n):
    steps = tf.constant(0)
    while tf.reduce_any(n > 1):
        n = tf.where(n % 2 == 0, n // 2, tf.where(n > 1, 3 * n + 1, n))
        steps += 1
    return n, steps


def newton(x):
    return tf.while_loop(lambda i, y: i < 12, lambda i, y: (i + 1, 0.5 * (y + tf.abs(x) / y)), [0, tf.ones_like(x)])[1]


def stacked(x):
    a = tf.TensorArray(tf.float32, tf.shape(x)[0])
    s = tf.zeros([3])
    for i in tf.range(tf.shape(x)[0]):
        s = 0.5 * s + x[i]
        a = a.write(i, s)
    return a.stack()


def nms(boxes, scores):
    b = tf.concat([boxes[:, :2], boxes[:, :2] + tf.abs(boxes[:, 2:])], 1)
    kept = tf.image.non_max_suppression(b, scores, 4, 0.4, 0.1)
    return tf.gather(b, kept), kept


def padded_nms(boxes, scores):
    b = tf.concat([boxes[..., :2], boxes[..., :2] + tf.abs(boxes[..., 2:])], -1)
    return tf.image.combined_non_max_suppression(b[:, :, None], scores, 5, 8, 0.4, 0.1)


def tflite(make, shape, quantised):
    def builder(out, name):
        model = make()
        c = tf.lite.TFLiteConverter.from_keras_model(model)
        if quantised:
            c.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantised == "full":
            c.representative_dataset = lambda: ([value([1, *shape], "float32", i)] for i in range(8))
            c.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        import tempfile
        with tempfile.NamedTemporaryFile(suffix=".tflite") as f:
            f.write(c.convert())
            f.flush()
            onx, _ = tf2onnx.convert.from_tflite(f.name, opset=15)
        dims = [d.dim_value or 1 for d in onx.graph.input[0].type.tensor_type.shape.dim]
        write_model(out, name, onx, {"b1": [value(dims, "float32", 3)], "again": [value(dims, "float32", 4)]})
    return builder


def all_models():
    m = {}
    apps = K.applications
    for name, size in {"MobileNet": 96, "MobileNetV2": 96, "MobileNetV3Small": 96, "MobileNetV3Large": 96, "EfficientNetB0": 96, "EfficientNetV2B0": 96,
                       "ResNet50": 96, "ResNet50V2": 96, "Xception": 96, "InceptionV3": 96, "InceptionResNetV2": 96, "DenseNet121": 96, "NASNetMobile": 96, "VGG11": 64,
                       "ConvNeXtTiny": 64, "RegNetX002": 64, "ResNetRS50": 64}.items():
        if hasattr(apps, name):
            extra = {"include_preprocessing": False} if "ConvNeXt" in name else {}
            m[f"tf_{name.lower()}"] = keras(lambda n=name, s=size, e=extra: getattr(apps, n)(weights=None, input_shape=(s, s, 3), classes=50, **e), (size, size, 3), batches=(1, 2))
    one = {
        "lstm": (seq(L.LSTM(16, return_sequences=True), L.LSTM(8), shape=(None, 6)), (None, 6)), "gru": (seq(L.GRU(16), shape=(None, 6)), (None, 6)),
        "gru_reset": (seq(L.GRU(12, reset_after=False, return_sequences=True), shape=(None, 6)), (None, 6)),
        "bidi": (seq(L.Bidirectional(L.LSTM(10, return_sequences=True)), L.Bidirectional(L.GRU(7)), shape=(None, 6)), (None, 6)),
        "rnn": (seq(L.SimpleRNN(9), shape=(None, 6)), (None, 6)), "lstm_relu": (seq(L.LSTM(9, activation="relu", recurrent_activation="hard_sigmoid"), shape=(None, 6)), (None, 6)),
        "lstm_back": (seq(L.LSTM(9, go_backwards=True, return_sequences=True), shape=(None, 6)), (None, 6)),
        "convlstm": (seq(L.ConvLSTM2D(4, 3, return_sequences=True, padding="same"), shape=(None, 8, 8, 3)), (None, 8, 8, 3)),
        "lstm_mask": (seq(L.Masking(0.0), L.LSTM(9), shape=(None, 6)), (None, 6)),
        "conv1d": (seq(L.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu"), L.MaxPool1D(), L.GlobalAveragePooling1D(), shape=(20, 6)), (20, 6)),
        "conv3d": (seq(L.Conv3D(4, 3, padding="same"), L.BatchNormalization(), L.MaxPool3D(), L.AveragePooling3D(), shape=(8, 8, 8, 2)), (8, 8, 8, 2)),
        "convt2d": (seq(L.Conv2DTranspose(6, 3, strides=2, padding="same"), L.LeakyReLU(), L.Conv2DTranspose(2, 4, strides=2), shape=(5, 7, 3)), (5, 7, 3)),
        "convt1d": (seq(L.Conv1DTranspose(6, 4, strides=2, padding="same"), shape=(9, 3)), (9, 3)), "convt3d": (seq(L.Conv3DTranspose(3, 3, strides=2), shape=(3, 4, 5, 2)), (3, 4, 5, 2)),
        "sepconv": (seq(L.SeparableConv2D(8, 3, depth_multiplier=2), L.DepthwiseConv2D(3, strides=2, padding="same"), L.UpSampling2D(2, interpolation="bilinear"), shape=(12, 12, 3)), (12, 12, 3)),
        "conv_free": (seq(L.Conv2D(8, 3, padding="same", strides=2), L.ReLU(6), L.UpSampling2D(), L.GlobalMaxPool2D(keepdims=True), shape=(None, None, 3)), (None, None, 3)),
        "groupconv": (seq(L.Conv2D(8, 3, groups=4), L.PReLU(), L.ELU(), L.Softmax(-1), shape=(10, 10, 4)), (10, 10, 4)),
        "norms": (seq(L.LayerNormalization([1, 2]), L.UnitNormalization(), L.GroupNormalization(2), L.Normalization(mean=0.1, variance=2.0), shape=(6, 7, 4)), (6, 7, 4)),
        "resize": (seq(L.Resizing(13, 9), L.CenterCrop(7, 5), L.Rescaling(0.5, 1), L.ZeroPadding2D(2), L.Cropping2D(1), shape=(20, 20, 3)), (20, 20, 3)),
        "views": (seq(L.Permute((2, 1, 3)), L.Reshape((-1, 12)), L.Dense(5), L.Flatten(), shape=(4, 6, 3)), (4, 6, 3)),
        "timedist": (seq(L.TimeDistributed(L.Conv2D(4, 3)), L.TimeDistributed(L.GlobalAveragePooling2D()), L.GRU(5), shape=(4, 8, 8, 3)), (4, 8, 8, 3)),
        "attention": (attention_block, (None, 32)), "locally": (seq(L.LocallyConnected1D(4, 3), shape=(9, 3)), (9, 3)) if hasattr(L, "LocallyConnected1D") else None,
        "swish": (seq(L.Dense(16, "swish"), L.Dense(16, "selu"), L.Dense(16, "softplus"), L.Dense(8, "exponential"), shape=(10,)), (10,)),
    }
    for n, v in one.items():
        if v:
            m[f"tfl_{n}"] = keras(*v)
    m["tfl_embed"] = keras(seq(L.Embedding(10, 8, mask_zero=True), L.LSTM(6), shape=(None,)), (None,), dtype="int32")
    for op in (9, 11, 13, 18):
        m[f"tfl_lstm_o{op}"] = keras(*one["lstm"], opset=op)
        m[f"tfl_convt2d_o{op}"] = keras(*one["convt2d"], opset=op)
        m[f"tfl_resize_o{op}"] = keras(*one["resize"], opset=op)
    f = function
    m["tff_collatz"] = f(collatz, [None], dtypes=["int32"])
    m["tff_newton"] = f(newton, [None, 3])
    m["tff_stack"] = f(stacked, [None, 3])
    m["tff_cond"] = f(lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x), lambda: tf.exp(x)), [None, 3])
    m["tff_nested"] = f(lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: newton(x), lambda: tf.cond(tf.reduce_max(x) > 1, lambda: x, lambda: -x)), [None, 3])
    m["tff_resize_bilinear"] = f(lambda x: tf.image.resize(x, [11, 13]), [None, 8, 9, 3])
    m["tff_resize_near"] = f(lambda x: tf.image.resize(x, tf.shape(x)[1:3] * 2, method="nearest"), [2, None, 9, 3])
    m["tff_resize_cubic"] = f(lambda x: tf.image.resize(x, [12, 12], method="bicubic"), [1, 8, 8, 3])
    m["tff_crop"] = f(lambda x: tf.image.crop_and_resize(x, [[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]], [0, 0], [5, 6]), [1, None, 8, 3])
    m["tff_nms"] = f(nms, [None, 4], [None], sizes=(6, 30))
    m["tff_cnms"] = f(padded_nms, [2, None, 4], [2, None, 3], sizes=(6, 30))
    m["tff_fft"] = f(lambda x: tf.abs(tf.signal.rfft(x)), [3, 16])
    m["tff_irfft"] = f(lambda x: tf.signal.irfft(tf.signal.rfft(x)), [3, 16])
    m["tff_stft"] = f(lambda x: tf.abs(tf.signal.stft(x, 32, 16, fft_length=32)), [2, 160])
    m["tff_frame"] = f(lambda x: tf.signal.frame(x, 8, 4), [None, 30])
    m["tff_topk"] = f(lambda x: tf.math.top_k(x, 3), [None, 9])
    m["tff_sort"] = f(lambda x: (tf.sort(x), tf.argsort(x, direction="DESCENDING")), [None, 9])
    m["tff_unique"] = f(lambda x: tf.unique(x), [None], dtypes=["int32"])
    m["tff_where"] = f(lambda x: tf.where(x > 0), [None, 3])
    m["tff_mask"] = f(lambda x: tf.boolean_mask(x, x[:, 0] > 0), [None, 3])
    m["tff_scatter"] = f(lambda x, i: tf.tensor_scatter_nd_add(x, i[:, None] % tf.shape(x)[0], tf.gather(x, i % tf.shape(x)[0])), [None, 3], [None], dtypes=["float32", "int32"])
    m["tff_segment"] = f(lambda x: tf.math.segment_sum(x, [0, 0, 1, 1]), [4, 3])
    m["tff_unsorted"] = f(lambda x, i: tf.math.unsorted_segment_sum(x, i, 6), [None, 3], [None], dtypes=["float32", "int32"])
    m["tff_cumsum"] = f(lambda x: (tf.cumsum(x, 1, exclusive=True, reverse=True), tf.math.cumprod(x, 0)), [None, 5])
    m["tff_einsum"] = f(lambda x, y: tf.einsum("bij,bkj->bik", x, y), [None, 4, 5], [None, 6, 5])
    m["tff_linalg"] = f(lambda x: (tf.linalg.band_part(x, 1, 2), tf.linalg.diag_part(x), tf.linalg.matmul(x, x, transpose_b=True)), [None, 5, 5])
    m["tff_diag"] = f(lambda x: tf.linalg.diag(x), [None, 5])
    m["tff_det"] = f(lambda x: tf.linalg.inv(x + 4 * tf.eye(3)), [None, 3, 3])
    m["tff_onehot"] = f(lambda x: tf.one_hot(x, 6, 2.0, -1.0), [None, 2], dtypes=["int32"])
    m["tff_strided"] = f(lambda x: (x[::-1, 1:3], x[..., None, 0], x[-1:, ::2], x[:, tf.newaxis, 2]), [None, 5])
    m["tff_pad"] = f(lambda x: (tf.pad(x, [[1, 2], [0, 3]], "REFLECT"), tf.pad(x, [[1, 1], [1, 1]], "SYMMETRIC"), tf.pad(x, [[0, 2], [1, 0]], constant_values=3)), [None, 5])
    m["tff_space"] = f(lambda x: (tf.nn.space_to_depth(x, 2), tf.nn.depth_to_space(x, 2), tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]])), [None, 4, 6, 8])
    m["tff_batchspace"] = f(lambda x: tf.batch_to_space(x, [2, 2], [[0, 1], [1, 0]]), [8, 3, 4, 2])
    m["tff_dilation"] = f(lambda x: tf.nn.conv2d(x, tf.constant(np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("f")), 1, "SAME", dilations=2), [None, 9, 9, 2])
    m["tff_lrn"] = f(lambda x: tf.nn.local_response_normalization(x), [None, 4, 4, 12])
    m["tff_argmax_pool"] = f(lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "VALID"), [1, 6, 6, 2])
    m["tff_math"] = f(lambda x: (tf.math.erf(x), tf.math.log1p(tf.abs(x)), tf.math.expm1(x), tf.math.rsqrt(tf.abs(x) + 1), tf.math.atan2(x, x + 3), tf.math.floormod(x, 0.7), tf.round(x * 3)), [None, 5])
    m["tff_int"] = f(lambda x: (x // 4, x % 4, tf.bitwise.left_shift(x, 2), tf.bitwise.bitwise_xor(x, 5), tf.cast(x, tf.uint8)), [None, 5], dtypes=["int32"])
    m["tff_reduce"] = f(lambda x: (tf.reduce_logsumexp(x, 1), tf.reduce_prod(x, 0), tf.math.reduce_variance(x, 1), tf.reduce_all(x > -3, 1), tf.argmin(x, 0), tf.norm(x, axis=1)), [None, 5])
    m["tff_roll"] = f(lambda x: (tf.roll(x, 2, 1), tf.reverse(x, [0]), tf.tile(x, [2, 3]), tf.repeat(x, 2, 0), tf.searchsorted([0.0, 1.0, 2.0], tf.reshape(x, [-1]))), [None, 5])
    m["tff_softmax"] = f(lambda x: (tf.nn.softmax(x, 1), tf.nn.log_softmax(x, 0), tf.nn.l2_normalize(x, 1), tf.nn.moments(x, 0)), [None, 5])
    m["tff_range"] = f(lambda x: tf.range(tf.shape(x)[0] * 2, dtype=tf.int32) * 2 + tf.rank(x), [None, 5])
    m["tff_linspace"] = f(lambda x: tf.linspace(0.0, 1.0, 7) * x[0, 0], [None, 5])
    m["tff_ctc"] = f(lambda x: tf.nn.ctc_greedy_decoder(tf.transpose(x, [1, 0, 2]), tf.fill([1], 6))[0][0].values, [1, 6, 4])
    m["tff_matdiag"] = f(lambda x: tf.linalg.set_diag(x, tf.ones([tf.shape(x)[0], 4])), [None, 4, 4])
    m["tff_meshgrid"] = f(lambda x: tf.meshgrid(x, x[::-1], indexing="ij"), [None])
    m["tff_gather_nd"] = f(lambda x, i: (tf.gather_nd(x, i[:, None] % 4), tf.gather(x, i % 3, axis=1, batch_dims=0)), [4, 3], [None], dtypes=["float32", "int32"])
    m["tff_fakequant"] = f(lambda x: tf.quantization.fake_quant_with_min_max_args(x, -2, 2), [None, 5])
    m["tff_f64"] = f(lambda x: tf.linalg.matmul(x, x, transpose_a=True) / tf.cast(tf.shape(x)[0], tf.float64), [None, 5], dtypes=["float64"])
    m["tff_f16"] = f(lambda x: tf.nn.softmax(tf.matmul(x, x, transpose_b=True)), [None, 5], dtypes=["float16"])
    small = seq(L.Conv2D(8, 3, padding="same", activation="relu"), L.DepthwiseConv2D(3, strides=2), L.BatchNormalization(), L.GlobalAveragePooling2D(), L.Dense(5, "softmax"), shape=(16, 16, 3))
    for kind in ("", "dynamic", "full"):
        m[f"tflite_cnn_{kind or 'float'}"] = tflite(small, (16, 16, 3), kind)
        m[f"tflite_mlp_{kind or 'float'}"] = tflite(seq(L.Dense(16, "relu"), L.Dense(4, "tanh"), shape=(8,)), (8,), kind)
    mobile = lambda: apps.MobileNetV2(weights=None, input_shape=(96, 96, 3), classes=20)
    m["tflite_mobile_full"] = tflite(mobile, (96, 96, 3), "full")
    m["tflite_lstm_float"] = tflite(seq(L.LSTM(8), shape=(5, 4)), (5, 4), "")
    return m


if __name__ == "__main__":
    build(all_models())
