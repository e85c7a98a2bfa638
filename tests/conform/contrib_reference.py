"""Random cases of com.microsoft operators that ONNX Runtime's CPU provider lacks: expected values by numpy, written from the documentation.

Generators as in contrib_random.py. What is a standard operator in another layout runs in ONNX Runtime as that.
"""
from math import erf

import numpy as np
import onnxruntime
from contrib_random import Call, case, given, sc
from onnx import helper

erf_of = np.vectorize(erf, otypes=[np.float64])


def gelu(x):
    return 0.5 * x * (1 + erf_of(x / np.sqrt(2)))


def fast_gelu(x):
    return 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def standard(op, *inputs, **attrs):
    """The result of one operator of ai.onnx in ONNX Runtime."""
    info = [helper.make_tensor_value_info(f"x{i}", helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for i, v in enumerate(inputs)]
    graph = helper.make_graph([helper.make_node(op, [p.name for p in info], ["y"], **attrs)], op, info, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {p.name: v for p, v in zip(info, inputs)})[0]


def call(op, inputs, *expected, dtypes=None, **more):
    dtypes = dtypes or [np.float32] * len(expected)
    return Call(op, inputs, len(expected), expected=[np.asarray(v).astype(t) for v, t in zip(expected, dtypes)], **{"atol": 1e-4, **more})


def heads(x, n):  # [T,n*h] -> [n,T,h]
    return x.reshape(x.shape[0], n, -1).transpose(1, 0, 2)


def attend(q, k, v, scale):  # [n,T,h]
    p = softmax(q.astype(np.float64) @ k.transpose(0, 2, 1) * scale)
    return (p @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)


# ---- normalisations and activations ----
def group_norm(x, gamma, beta, groups, eps, last, silu):
    x = np.moveaxis(x, -1, 1) if last else x
    g = x.reshape(x.shape[0], groups, -1).astype(np.float64)
    y = ((g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + eps)).reshape(x.shape)
    y = y * gamma[:, None, None] + beta[:, None, None]
    y = y * sigmoid(y) if silu else y
    return np.moveaxis(y, 1, -1) if last else y


def image(r, last):
    b, h, w, c = r.dim("B", 1, 2), r.dim("H", 2, 4), r.pick(3, 4), r.pick(4, 8)
    return c, (b, h, w, c) if last else (b, c, h, w)


@case("GroupNorm", "ref_group_norm")
def group_norm_case(r):
    last, silu, groups, eps = r.flag(0.7), r.flag(), r.pick(1, 2, 4), r.pick(1e-5, 1e-3)
    c, shape = image(r, last)
    x, gamma, beta = r.f(*shape), r.f(c), r.f(c)
    return call("GroupNorm", [x, gamma, beta], group_norm(x, gamma, beta, groups, eps, last, silu), groups=groups, activation=int(silu), epsilon=eps, channels_last=int(last))


@case("SkipGroupNorm", "ref_skip_group_norm")
def skip_group_norm_case(r):
    silu, groups, eps = r.flag(), r.pick(1, 2, 4), 1e-5
    c, shape = image(r, True)
    x, gamma, beta, bias = r.f(*shape), r.f(c), r.f(c), r.f(c) if r.flag() else None
    b = shape[0]
    skip = r.f(*r.pick(shape, (b, 1, 1, c), (b, c)))
    s = x + (skip[:, None, None] if skip.ndim == 2 else skip) + (0 if bias is None else bias)
    return call("SkipGroupNorm", [x, gamma, beta, skip, bias], group_norm(s, gamma, beta, groups, eps, True, silu), s, groups=groups, activation=int(silu), epsilon=eps)


@case("BiasSplitGelu", "ref_bias_split_gelu")
def bias_split_gelu(r):
    d = r.pick(8, 14)
    x, bias = r.f(r.dim("B", 1, 3), r.dim("S", 1, 4), d), r.f(d)
    left, right = np.split(x + bias, 2, -1)
    return call("BiasSplitGelu", [x, bias], left * gelu(right))


@case("BiasAdd", "ref_bias_add")
def bias_add(r):
    b, s, c = r.dim("B", 1, 3), r.dim("S", 1, 4), r.pick(8, 14)
    x, bias, skip = r.f(b, s, c), r.f(c), r.f(b, s, c)
    return call("BiasAdd", [x, bias, skip], x + bias + skip)


@case("BiasSoftmax", "ref_bias_softmax")
def bias_softmax(r):
    b, n, s, t, inner = r.dim("B", 1, 3), r.pick(1, 3), r.dim("S", 1, 4), r.pick(3, 5), r.flag()
    x, bias = r.f(b, n, s, t), r.f(*((b, 1, 1, t) if inner else (1, 1, s, t)))
    return call("BiasSoftmax", [x, bias], softmax(x + bias), axis=3, is_inner_broadcast=int(inner))


@case("BiasDropout", "ref_bias_dropout")
def bias_dropout(r):
    b, s, c = r.dim("B", 1, 3), r.dim("S", 1, 4), r.pick(8, 14)
    x, bias, rest = r.f(b, s, c), r.f(*r.pick((c,), (b, s, c))), r.f(b, s, c) if r.flag() else None
    return call("BiasDropout", [x, bias, rest], x + bias + (0 if rest is None else rest), np.ones(x.shape), dtypes=[np.float32, bool])


@case("SwiGLU", "ref_swiglu")
def swiglu(r):
    b, d, alpha, beta, limit = r.dim("B", 1, 3), r.pick(8, 14), r.pick(1.0, 1.702), r.pick(0.0, 1.0), r.pick(0.0, 0.7)
    g, u = r.f(b, d), r.f(b, d)
    whole = r.flag()
    inputs = [r.keep(np.concatenate([g, u], -1), (b, 2 * d))] if whole else [g, u]
    if limit > 0:
        g, u = np.minimum(g, limit), np.clip(u, -limit, limit)
    return call("SwiGLU", inputs, g * sigmoid(alpha * g) * (u + beta), activation_alpha=alpha, activation_beta=beta, limit=limit)


@case("IsAllFinite", "ref_is_all_finite")
def is_all_finite(r):
    inputs = [r.f(r.dim(f"N{i}", 1, 5)) for i in range(r.pick(1, 3))]
    bad = r.pick(None, np.nan, np.inf)
    if bad is not None:
        inputs[-1][0] = bad
    only = r.pick({}, {}, dict(isinf_only=1), dict(isnan_only=1))
    fine = bad is None or ("isinf_only" in only and np.isnan(bad)) or ("isnan_only" in only and np.isinf(bad))
    return call("IsAllFinite", inputs, fine, dtypes=[bool], **only)


# ---- products, transforms ----
@case("GemmFastGelu", "ref_gemm_fast_gelu")
def gemm_fast_gelu(r):
    k, n = r.pick(4, 8), r.pick(3, 9)
    x, w, bias = r.f(r.dim("B", 1, 3), r.dim("M", 1, 4), k), r.f(k, n), r.f(n) if r.flag() else None
    return call("GemmFastGelu", [x, w, bias], fast_gelu(x @ w + (0 if bias is None else bias)))


@case("FusedMatMulActivation", "ref_fused_matmul_activation")
def fused_matmul_activation(r):
    name, f = r.pick(("Relu", lambda x: np.maximum(x, 0)), ("Tanh", np.tanh), ("Sigmoid", sigmoid), ("LeakyRelu", lambda x: np.where(x < 0, 0.2 * x, x)))
    m, k, n, ta, tb = r.dim("M", 1, 4), 5, r.pick(1, 4), r.flag(), r.flag()
    x, w = r.f(*((k, m) if ta else (m, k))), r.f(*((n, k) if tb else (k, n)))
    return call("FusedMatMulActivation", [x, w], f(0.5 * ((x.T if ta else x) @ (w.T if tb else w))), activation=name, alpha=0.5, transA=int(ta), transB=int(tb),
                **given(activation_alpha=0.2 if name == "LeakyRelu" else None))


@case("NhwcConv", "ref_nhwc_conv")
def nhwc_conv(r):
    c, m, k, g = 4, r.pick(4, 6), r.pick(1, 3), r.pick(1, 2)
    x, w, bias = r.f(r.dim("B", 1, 2), r.pick(5, 6), r.dim("W", 5, 6), c), r.f(m, k, k, c // g), r.f(m)
    attrs = dict(group=g, pads=[r.pick(0, 1)] * 4, strides=[r.pick(1, 2)] * 2)
    y = standard("Conv", np.ascontiguousarray(np.moveaxis(x, -1, 1)), np.ascontiguousarray(np.moveaxis(w, -1, 1)), bias, **attrs)
    return call("NhwcConv", [x, w, bias], np.moveaxis(y, 1, -1), **attrs)


@case("ComplexMul", "ref_complex_mul")
def complex_mul(r, op="ComplexMul", conjugate=False):
    b, n = r.dim("B", 1, 3), r.pick(1, 5)
    x, y = r.f(b, n, 2), r.f(*r.pick((b, n, 2), (n, 2)))
    z = (x[..., 0] + 1j * x[..., 1]) * (y[..., 0] + (-1j if conjugate else 1j) * y[..., 1])
    return call(op, [x, y], np.stack([z.real, z.imag], -1))


@case("ComplexMulConj", "ref_complex_mul_conj")
def complex_mul_conj(r):
    return complex_mul(r, "ComplexMulConj", True)


@case("Rfft", "ref_rfft")
def rfft(r):
    n, two = r.pick(4, 6, 16), r.flag()
    x = r.f(r.dim("B", 1, 3), r.pick(4, 6), n)
    y = np.fft.rfft2(x) if two else np.fft.rfft(x)
    return call("Rfft", [x], np.stack([y.real, y.imag], -1), signal_ndim=2 if two else 1, onesided=1, normalized=0, atol=1e-3)


@case("MulInteger", "ref_mul_integer")
def mul_integer(r):
    a, b, n = r.pick(np.int8, np.uint8), r.pick(np.int8, np.uint8), r.dim("N", 1, 5)
    x, y, xz, yz = r.bytes(a, n, 4), r.bytes(b, 4), sc(3, a), sc(5, b)
    return call("MulInteger", [x, xz, y, yz], (x.astype(int) - 3) * (y.astype(int) - 5), dtypes=[np.int32], rtol=0, atol=0)


@case("ReduceSumInteger", "ref_reduce_sum_integer")
def reduce_sum_integer(r):
    kind, axes, keep = r.pick(np.int8, np.uint8), r.pick([0], [1], [0, 2], [-1]), r.flag()
    x = r.bytes(kind, r.dim("N", 1, 5), 4, 3)
    to = np.int32 if kind == np.int8 else np.uint32
    return call("ReduceSumInteger", [x], x.astype(int).sum(tuple(axes), keepdims=keep), dtypes=[to], axes=axes, keepdims=int(keep), rtol=0, atol=0)


@case("QLinearReduceMean", "ref_qlinear_reduce_mean")
def qlinear_reduce_mean(r):
    kind, axes, keep = r.pick(np.int8, np.uint8), r.pick([1], [1, 2], [-1]), r.flag()
    x, info = r.bytes(kind, r.dim("N", 1, 5), 4, 3), np.iinfo(kind)
    y = np.rint(((x.astype(np.float64) - 3) * 0.04).mean(tuple(axes), keepdims=keep) / 0.03).clip(info.min - 9, info.max - 9) + 9
    return call("QLinearReduceMean", [x, sc(0.04), sc(3, kind), sc(0.03), sc(9, kind)], y, dtypes=[kind], axes=axes, keepdims=int(keep), atol=1)


# ---- attention ----
def token_table(lens, s):
    where = [b * s + i for b, n in enumerate(lens) for i in range(n)]
    rest = [b * s + i for b, n in enumerate(lens) for i in range(n, s)]
    return np.array(where + rest, np.int32).reshape(len(lens), s), np.concatenate([[0], np.cumsum(lens)]).astype(np.int32)


def by_sequence(q, k, v, starts, n, scale):
    return np.concatenate([attend(heads(q[a:e], n), heads(k[a:e], n), heads(v[a:e], n), scale) for a, e in zip(starts, starts[1:])])


@case("PackedAttention", "ref_packed_attention")
def packed_attention(r):
    b, s, n, h, d = 3, 5, r.pick(1, 2), r.pick(4, 8), 8
    offsets, starts = token_table(r.rng.integers(1, s + 1, b), s)
    t = r.of("T", starts[-1])
    x, w, bias = r.f(t, d), r.f(d, 3 * n * h, scale=0.4), r.f(3 * n * h)
    q, k, v = np.split(x @ w + bias, 3, -1)
    return call("PackedAttention", [x, w, bias, offsets, starts], by_sequence(q, k, v, starts, n, h**-0.5), num_heads=n)


@case("PackedMultiHeadAttention", "ref_packed_multi_head_attention")
def packed_multi_head_attention(r):
    b, s, n, h, one = 3, 5, r.pick(1, 2), r.pick(4, 8), r.flag()
    offsets, starts = token_table(r.rng.integers(1, s + 1, b), s)
    t = r.of("T", starts[-1])
    q, k, v = r.f(t, n * h), r.f(t, n * h), r.f(t, n * h)
    bias = r.f(3 * n * h) if r.flag() else None
    together = r.keep(np.stack([x.reshape(int(t), n, h) for x in (q, k, v)], 2), (t, n, 3, h))
    bq, bk, bv = np.split(bias, 3) if bias is not None else (0, 0, 0)
    return call("PackedMultiHeadAttention", [*([together, None, None] if one else [q, k, v]), bias, offsets, starts], by_sequence(q + bq, k + bk, v + bv, starts, n, 0.3), num_heads=n, scale=0.3)


@case("MultiHeadAttention", "ref_multi_head_attention_packed")
def multi_head_attention_packed(r):
    b, s, t, n, h, self_attention = r.dim("B", 1, 2), r.dim("S", 1, 5), r.dim("T", 1, 5), r.pick(1, 2), r.pick(4, 8), r.flag()
    t = s if self_attention else t
    q, k, v = r.f(b, s, n * h), r.f(b, t, n * h), r.f(b, t, n * h)
    part = lambda x: x.reshape(*x.shape[:2], n, h)
    inputs = [r.keep(np.stack([part(q), part(k), part(v)], 3), (b, s, n, 3, h))] if self_attention else [q, r.keep(np.stack([part(k), part(v)], 3), (b, t, n, 2, h))]
    return call("MultiHeadAttention", inputs, np.stack([attend(heads(a, n), heads(c, n), heads(d, n), h**-0.5) for a, c, d in zip(q, k, v)]), num_heads=n)


@case("RemovePadding", "ref_remove_padding")
def remove_padding(r):
    b, s, h = r.dim("B", 1, 3), r.dim("S", 1, 5), 3
    lens = r.i(1, s + 1, b)
    x = r.f(b, s, h)
    offsets, starts = token_table(lens, int(s))
    return call("RemovePadding", [x, lens], x.reshape(-1, h)[offsets.reshape(-1)[: starts[-1]]], offsets, starts, [lens.max()], dtypes=[np.float32, np.int32, np.int32, np.int32])


@case("RestorePadding", "ref_restore_padding")
def restore_padding(r):
    b, s, h = 3, 4, 5
    offsets, starts = token_table(r.rng.integers(1, s + 1, b), s)
    x, y = r.f(r.of("T", starts[-1]), h), np.zeros((b * s, h), np.float32)
    y[offsets.reshape(-1)[: starts[-1]]] = x
    return call("RestorePadding", [x, offsets], y.reshape(b, s, h))


def t5_bucket(d, two_way, buckets, most):  # d: key position - query position
    base = 0
    if two_way:
        buckets //= 2
        base, d = (buckets if d > 0 else 0), abs(d)
    else:
        d = max(-d, 0)
    exact = buckets // 2
    if d < exact:
        return base + d
    return base + min(exact + int(np.float32(np.log(np.float32(d) / exact)) / np.log(most / exact) * (buckets - exact)), buckets - 1)


@case("RelativePositionBias", "ref_relative_position_bias")
def relative_position_bias(r):
    buckets, most, n, two_way, s = r.pick(8, 32), r.pick(20, 128), r.pick(1, 3), r.flag(), r.pick(1, 5, 30)
    table = r.f(buckets, n)
    y = np.array([[table[t5_bucket(j - i, two_way, buckets, most)] for j in range(s)] for i in range(s)])
    return call("RelativePositionBias", [table, sc(s, np.int64), sc(s, np.int64)], y.transpose(2, 0, 1)[None], is_bidirectional=int(two_way), max_distance=most, constant={1, 2} if r.flag() else ())


@case("GatedRelativePositionBias", "ref_gated_relative_position_bias")
def gated_relative_position_bias(r):
    b, s, n, h, d = r.dim("B", 1, 2), r.dim("S", 1, 4), r.pick(1, 2), 4, 8
    x, bias, rel, w, wb, eco = r.f(b, s, n * h), r.f(n * h), r.f(1, n, s, s), r.f(h, d), r.f(d), r.f(1, n, 1, 1)
    q = (x + bias).reshape(int(b), int(s), n, h).transpose(0, 2, 1, 3)
    gate = sigmoid((q @ w + wb).reshape(int(b), n, int(s), 2, d // 2).sum(-1))
    u, g = gate[..., :1], gate[..., 1:]
    return call("GatedRelativePositionBias", [x, bias, rel, w, wb, eco], (u * (g * eco - 1) + 2) * rel, num_heads=n)


@case("GemmaRotaryEmbedding", "ref_gemma_rotary_embedding")
def gemma_rotary_embedding(r):
    b, n, s, d = r.dim("B", 1, 2), r.pick(1, 2), r.dim("S", 1, 4), 8
    e = r.f(b, s, d)
    q, qr, k, kr = (r.f(b, n, s, d, dtype=np.float16) for _ in range(4))
    c, t = np.cos(e)[:, None].astype(np.float16), np.sin(e)[:, None].astype(np.float16)
    return call("GemmaRotaryEmbedding", [e, q, qr, k, kr], q * c + qr * t, k * c + kr * t, dtypes=[np.float16] * 2, atol=1e-2)


@case("TorchEmbedding", "ref_torch_embedding")
def torch_embedding(r):
    table, at = r.f(9, 4), r.i(0, 9, r.dim("B", 1, 3), r.dim("S", 1, 4), dtype=np.int64)
    return call("TorchEmbedding", [table, at, sc(0, np.int64) if r.flag() else None], table[at])
