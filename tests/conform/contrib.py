#!/usr/bin/env python3
"""Conformance cases beyond the ONNX suite: com.microsoft and ai.onnx.ml operators, with ONNX Runtime's results as what is expected.

  contrib.py OUT [--variants N] [--only REGEX]      writes cases in the form of dump.py; then: run.py --suite OUT

Cases by hand are here, random ones in contrib_random.py (against ONNX Runtime) and contrib_reference.py (against numpy), N of each operator. Dims of the inputs are symbolic where a case names them.
"""
import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper

import contrib_random
import contrib_reference  # noqa: F401 - registers its generators

MS, ML = "com.microsoft", "ai.onnx.ml"
rng = np.random.default_rng(7)
CASES = {}


def f32(*shape, scale=1.0):
    return (scale * rng.normal(size=shape)).astype(np.float32)


def ints(lo, hi, *shape, dtype=np.int32):
    return rng.integers(lo, hi, shape).astype(dtype)


def case(name, op, inputs, outputs=1, domain=MS, dims=None, rtol=1e-3, atol=1e-5, constant=(), **attrs):
    """inputs: arrays, None for one left out. dims: {input: names of its dims}. constant: inputs that are initializers."""
    CASES[name] = (op, inputs, outputs, domain, dims or {}, rtol, atol, set(constant), attrs)


# ---- attention ----
B, S, N, H, P, D = 2, 5, 4, 8, 3, 32
SEQ = {0: ("B", "S", D)}
for kind, mask in {"none": None, "lengths": ints(2, S, B), "ends_starts": np.array([4, 5, 1, 0], np.int32), "raw": ints(0, 2, B, S), "square": ints(0, 2, B, S, S)}.items():
    case(f"attention_{kind}", "Attention", [f32(B, S, D), f32(D, 3 * D, scale=0.2), f32(3 * D), mask], dims=SEQ if kind == "none" else None, num_heads=N)
case("attention_causal", "Attention", [f32(B, S, D), f32(D, 3 * D, scale=0.2), f32(3 * D)], num_heads=N, unidirectional=1)
case("attention_past", "Attention", [f32(B, S, D), f32(D, 3 * D, scale=0.2), f32(3 * D), None, f32(2, B, N, P, H)], 2, num_heads=N, unidirectional=1,
     dims={0: ("B", "S", D), 4: (2, "B", N, "P", H)})
case("attention_bias", "Attention", [f32(B, S, D), f32(D, 3 * D, scale=0.2), f32(3 * D), None, None, f32(B, N, S, S)], num_heads=N)
case("mha", "MultiHeadAttention", [f32(B, S, D), f32(B, 7, D), f32(B, 7, D), f32(3 * D)], num_heads=N, dims={0: ("B", "S", D), 1: ("B", "L", D), 2: ("B", "L", D)})
case("mha_past", "MultiHeadAttention", [f32(B, S, D), f32(B, S, D), f32(B, S, D), None, None, None, f32(B, N, P, H), f32(B, N, P, H)], 3, num_heads=N, unidirectional=1)
case("mha_mask", "MultiHeadAttention", [f32(B, S, D), f32(B, 7, D), f32(B, 7, D), None, ints(1, 7, B)], num_heads=N)
case("mha_mask_raw", "MultiHeadAttention", [f32(B, S, D), f32(B, 7, D), f32(B, 7, D), None, ints(0, 2, B, 7), f32(1, N, S, 7)], num_heads=N)
case("mha_cross", "MultiHeadAttention", [f32(B, S, D), f32(B, N, 7, H), f32(B, N, 7, H)], num_heads=N)


# products of bytes with whole words of depth and constant weights: the processor's dot instructions, where it has them
for kind, weights, zero in [("s8", ints(-128, 128, 24, 40, dtype=np.int8), None), ("u8_128", ints(0, 256, 24, 40, dtype=np.uint8), np.uint8(128)),
                            ("u8_3", ints(0, 256, 24, 40, dtype=np.uint8), np.uint8(3)), ("s8_1", ints(-127, 128, 24, 40, dtype=np.int8), np.int8(1))]:
    case(f"dot_{kind}", "MatMulInteger", [ints(0, 256, 2, 7, 24, dtype=np.uint8), weights, np.array(100, np.uint8), None if zero is None else np.array(zero)], domain="",
         dims={0: ("B", "S", 24)}, constant={1, 3})


def gqa(name, s, past, lens, total, rotary=0, extra=(), **attrs):
    b, nk, h = 2, 2, 16
    q, k, v = f32(b, s, N * h), f32(b, s, nk * h), f32(b, s, nk * h)
    caches = [f32(32, h // 2), f32(32, h // 2)] if rotary else [None, None]
    inputs = [q, k, v, f32(b, nk, past, h), f32(b, nk, past, h), np.array(lens, np.int32), np.array(total, np.int32), *caches, *extra]
    case(name, "GroupQueryAttention", inputs, 3, num_heads=N, kv_num_heads=nk, do_rotary=rotary, constant={6}, **attrs)


gqa("gqa_prefill", 5, 0, [4, 4], 5, rotary=1)
gqa("gqa_decode", 1, 6, [6, 6], 7, rotary=1)
gqa("gqa_decode_window", 1, 9, [9, 9], 10, local_window_size=4)
gqa("gqa_softcap", 1, 6, [6, 6], 7, softcap=0.5)
gqa("gqa_smooth", 1, 6, [6, 6], 7, smooth_softmax=1)
gqa("gqa_interleaved", 1, 6, [6, 6], 7, rotary=1, rotary_interleaved=1)
case("gqa_packed", "GroupQueryAttention", [f32(2, 5, (N + 4) * H), None, None, f32(2, 2, 0, H), f32(2, 2, 0, H), np.array([4, 4], np.int32), np.array(5, np.int32)], 3,
     num_heads=N, kv_num_heads=2, constant={6})
case("rotary_offset", "RotaryEmbedding", [f32(B, S, D), np.array([3], np.int64), f32(20, H // 2), f32(20, H // 2)], num_heads=N)
case("rotary_positions", "RotaryEmbedding", [f32(B, S, D), ints(0, 20, B, S, dtype=np.int64), f32(20, H // 2), f32(20, H // 2)], num_heads=N, interleaved=1)
case("rotary_4d", "RotaryEmbedding", [f32(B, N, S, H), ints(0, 20, B, S, dtype=np.int64), f32(20, H // 2), f32(20, H // 2)])

# ---- normalisations, activations, fused products ----
case("skip_layer_norm", "SkipLayerNormalization", [f32(B, S, D), f32(B, S, D), f32(D), f32(D), f32(D)], 4, dims={0: ("B", "S", D), 1: ("B", "S", D)})
case("skip_rms_norm", "SkipSimplifiedLayerNormalization", [f32(B, S, D), f32(B, S, D), f32(D)], 1)
case("embed_layer_norm", "EmbedLayerNormalization",
     [ints(0, 50, B, S), ints(0, 2, B, S), f32(50, D), f32(16, D), f32(2, D), f32(D), f32(D), ints(0, 2, B, S)], 3, dims={0: ("B", "S"), 1: ("B", "S"), 7: ("B", "S")})
case("bias_gelu", "BiasGelu", [f32(B, S, D), f32(D)])
case("fast_gelu", "FastGelu", [f32(B, S, D), f32(D)])
case("quick_gelu", "QuickGelu", [f32(B, S, D)])
case("gelu", "Gelu", [f32(B, S, D)])
case("fused_matmul", "FusedMatMul", [f32(2, 4, 3), f32(2, 4, 5)], alpha=0.5, transA=1)
case("fused_matmul_batch", "FusedMatMul", [f32(4, 2, 3), f32(2, 3, 5)], transBatchA=1)
case("fused_gemm", "FusedGemm", [f32(4, 3), f32(3, 5), f32(5)], activation="LeakyRelu", activation_alpha=0.2)
case("fused_conv", "FusedConv", [f32(1, 3, 7, 7), f32(4, 3, 3, 3), f32(4)], activation="Relu", pads=[1, 1, 1, 1])
case("fused_conv_z", "FusedConv", [f32(1, 3, 7, 7), f32(4, 3, 3, 3), f32(4), f32(1, 4, 7, 7)], activation="HardSigmoid", activation_params=[0.3, 0.4], pads=[1, 1, 1, 1])
case("simplified_layer_norm", "SimplifiedLayerNormalization", [f32(B, S, D), f32(D)], domain="")
BOXES = np.array([[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0], [-0.2, 0.1, 1.1, 0.7]], np.float32)
case("crop_and_resize", "CropAndResize", [f32(2, 3, 7, 9), BOXES, np.array([0, 1, 1], np.int32), np.array([4, 5], np.int32)], extrapolation_value=0.5, constant={3})
case("max_roi_pool", "MaxRoiPool", [f32(2, 3, 9, 9), np.array([[0, 1, 1, 6, 7], [1, 0, 2, 8, 8], [1, 3, 3, 3, 3]], np.float32)], domain="", pooled_shape=[3, 2], spatial_scale=1.0)
case("inverse_4", "Inverse", [f32(2, 4, 4) + 3 * np.eye(4, dtype=np.float32)])
case("inverse_2", "Inverse", [f32(2, 2)])
case("inverse_7", "Inverse", [f32(2, 7, 7)])
case("inverse_any", "Inverse", [f32(5, 5)], dims={0: ("N", "N")})
case("det_6", "Det", [f32(2, 6, 6)], domain="", dims={0: ("B", "N", "N")})
case("crop_and_resize_fed", "CropAndResize", [f32(2, 3, 7, 9), BOXES, np.array([0, 1, 1], np.int32), np.array([4, 5], np.int32)])
for mode in ("avg", "max"):
    case(f"roi_align_adaptive_{mode}", "RoiAlign", [f32(2, 3, 12, 14), np.array([[1, 2, 9, 9], [0, 0, 13, 11], [3.4, 2.6, 7.5, 10.2]], np.float32), np.array([0, 1, 1])],
         domain="", output_height=3, output_width=4, mode=mode, dims={0: ("N", 3, "H", "W"), 1: ("R", 4), 2: ("R",)})
case("dynamic_time_warping", "DynamicTimeWarping", [f32(1, 13, 17)], dims={0: (1, "M", "N")})
case("unique", "Unique", [np.array([2, 1, 1, 3, 4, 3], np.float32)], 3)
case("ngram_repeat_block", "NGramRepeatBlock", [np.array([[1, 2, 3, 1, 2], [4, 5, 6, 7, 8]], np.int64), f32(2, 10)], ngram_size=3)
case("cdist", "CDist", [f32(5, 3), f32(4, 3)], metric="euclidean")
case("unfold_tensor", "UnfoldTensor", [f32(3, 10)], dim=-1, size=4, step=2)
case("murmur_hash3", "MurmurHash3", [ints(-1000, 1000, 7)], seed=5, atol=0)
case("murmur_hash3_signed", "MurmurHash3", [ints(-1000, 1000, 7, dtype=np.int64)], positive=0, atol=0)
case("gather_block_quantized", "GatherBlockQuantized", [ints(0, 256, 6, 16, dtype=np.uint8), ints(0, 6, 2, 3, dtype=np.int64), f32(6, 2), ints(0, 256, 6, 1, dtype=np.uint8)],
     bits=4, block_size=16, quantize_axis=1, constant={0, 2, 3})
case("array_feature_extractor", "ArrayFeatureExtractor", [f32(3, 6), np.array([[0, 5, 2]], np.int64)], 1, ML)
case("expand_dims", "ExpandDims", [f32(3, 4), np.array(1, np.int32)])

# ---- quantised ----
u8 = lambda *shape: ints(0, 256, *shape, dtype=np.uint8)
i8 = lambda *shape: ints(-127, 128, *shape, dtype=np.int8)
sc = lambda v: np.array(v, np.float32)
zp = lambda v: np.array(v, np.uint8)
case("qlinear_add", "QLinearAdd", [u8(3, 4), sc(0.02), zp(120), u8(4), sc(0.03), zp(10), sc(0.05), zp(100)], atol=0)
case("qlinear_mul", "QLinearMul", [u8(3, 4), sc(0.02), zp(120), u8(3, 4), sc(0.03), zp(10), sc(0.05), zp(100)], atol=0)
case("qlinear_sigmoid", "QLinearSigmoid", [u8(30), sc(0.05), zp(128), sc(1 / 256), zp(0)], constant={1, 2, 3, 4})
case("qlinear_leaky_relu", "QLinearLeakyRelu", [u8(30), sc(0.05), zp(128), sc(0.05), zp(120)], alpha=0.1, constant={1, 2, 3, 4})
case("qlinear_concat", "QLinearConcat", [sc(0.04), zp(3), u8(2, 3), sc(0.02), zp(1), u8(2, 4), sc(0.05), zp(7)], axis=1, constant={0, 1, 3, 4, 6, 7})
case("qlinear_average_pool", "QLinearAveragePool", [u8(1, 2, 6, 6), sc(0.04), zp(3), sc(0.05), zp(7)], kernel_shape=[2, 2], strides=[2, 2])
case("qlinear_global_average_pool", "QLinearGlobalAveragePool", [u8(1, 4, 5, 5), sc(0.04), zp(3), sc(0.05), zp(7)])
case("qlinear_global_average_pool_last", "QLinearGlobalAveragePool", [u8(1, 5, 5, 4), sc(0.04), zp(3), sc(0.05), zp(7)], channels_last=1)
case("qlinear_softmax", "QLinearSoftmax", [u8(3, 7), sc(0.1), zp(128), sc(1 / 256), zp(0)], axis=-1, opset=13, constant={1, 2, 3, 4})
case("qlinear_where", "QLinearWhere", [rng.random((3, 4)) < 0.5, u8(3, 4), sc(0.02), zp(1), u8(3, 4), sc(0.03), zp(9), sc(0.05), zp(4)])
case("matmul_integer_to_float", "MatMulIntegerToFloat", [u8(3, 8), i8(8, 5), sc(0.02), f32(5) ** 2, zp(100), i8(5), f32(5)])
case("dynamic_quantize_matmul", "DynamicQuantizeMatMul", [f32(3, 8), i8(8, 5), f32(5) ** 2, i8(5), f32(5)], dims={0: ("M", 8)})
case("qgemm", "QGemm", [u8(3, 8), sc(0.02), zp(100), i8(8, 5), (f32(5) ** 2).astype(np.float32), i8(5), ints(-50, 50, 5), sc(0.1), zp(12)], alpha=0.5)
case("qgemm_float", "QGemm", [u8(3, 8), sc(0.02), zp(100), i8(5, 8), sc(0.03), np.array(3, np.int8), ints(-50, 50, 5)], transB=1)
case("qattention", "QAttention", [u8(B, S, D), i8(D, 3 * D), f32(3 * D), sc(0.02), sc(0.01), None, zp(128), np.array(0, np.int8)], num_heads=N, constant={1, 2, 3, 4, 6, 7})
case("qlinear_conv_last", "QLinearConv", [u8(1, 6, 6, 3), sc(0.02), zp(100), i8(4, 3, 3, 3), sc(0.01), np.array(0, np.int8), sc(0.1), zp(90), ints(-99, 99, 4)], channels_last=1,
     pads=[1, 1, 1, 1], constant={1, 2, 3, 4, 5, 6, 7, 8})
for bits in (4, 8):
    for zeros in (False, True):
        blocks = 3
        q = u8(6, blocks, 32 * bits // 8)
        z = u8(6, (blocks * bits + 7) // 8) if zeros else None
        case(f"matmul_nbits_{bits}{'_zp' if zeros else ''}", "MatMulNBits", [f32(2, 3, 80), q, f32(6, blocks, scale=0.02), z], K=80, N=6, bits=bits, block_size=32,
             constant={1, 2, 3}, dims={0: ("B", "S", 80)})
for kind in (0, 1):
    case(f"matmul_bnb4_{kind}", "MatMulBnb4", [f32(3, 64), u8(64 * 8 // 2), f32(8) ** 2], K=64, N=8, block_size=64, quant_type=kind, constant={1, 2})
case("moe", "MoE", [f32(5, 8), f32(5, 4), f32(4, 16, 8), f32(4, 16), f32(4, 8, 16), f32(4, 8)], k=2, activation_type="gelu", normalize_routing_weights=1)
case("moe_swiglu", "MoE", [f32(5, 8), f32(5, 4), f32(4, 32, 8), f32(4, 32), f32(4, 8, 16), f32(4, 8)], k=3, activation_type="swiglu", swiglu_fusion=1, swiglu_limit=0.5,
     activation_alpha=1.702, activation_beta=1.0)
case("qmoe", "QMoE", [f32(5, 32), f32(5, 4), u8(4, 32, 16), f32(4, 32, 2) ** 2 * sc(0.05), None, u8(4, 32, 16), f32(4, 32, 2) ** 2 * sc(0.05)], k=2, activation_type="silu", normalize_routing_weights=1,
     expert_weight_bits=4, block_size=16)

# ---- ai.onnx.ml ----
X = f32(6, 3)
CLASSES = {"classlabels_ints": [3, 5, 9]}
for post in ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"):
    x = X if post != "PROBIT" else np.abs(X) * np.float32(0.1)
    case(f"linear_classifier_{post.lower()}", "LinearClassifier", [x], 2, ML, coefficients=np.abs(f32(9) * 0.3).tolist(), intercepts=[0.1, 0.2, 0.3], post_transform=post,
         dims={0: ("N", 3)}, **CLASSES)
for post in ("NONE", "LOGISTIC", "SOFTMAX"):
    case(f"linear_binary_{post.lower()}", "LinearClassifier", [X], 2, ML, coefficients=f32(3).tolist(), intercepts=[0.1], post_transform=post, classlabels_strings=["no", "yes"])
case("linear_regressor", "LinearRegressor", [X], 1, ML, coefficients=f32(6).tolist(), intercepts=[0.1, 0.2], targets=2)
for norm in ("MAX", "L1", "L2"):
    case(f"normalizer_{norm.lower()}", "Normalizer", [X], 1, ML, norm=norm)
case("scaler", "Scaler", [X], 1, ML, offset=[0.1, 0.2, 0.3], scale=[2.0, 3.0, 4.0])
case("imputer", "Imputer", [np.where(X > 0.5, np.float32(np.nan), X)], 1, ML, imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=float("nan"))
case("one_hot_encoder", "OneHotEncoder", [ints(0, 5, 4, dtype=np.int64)], 1, ML, cats_int64s=[0, 2, 4])
case("label_encoder", "LabelEncoder", [ints(0, 5, 7, dtype=np.int64)], 1, ML, keys_int64s=[1, 2, 3], values_floats=[0.5, 1.5, 2.5], default_float=9.0)
case("feature_vectorizer", "FeatureVectorizer", [X, f32(6, 2)], 1, ML, inputdimensions=[3, 2])
for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
    case(f"svm_regressor_{kernel.lower()}", "SVMRegressor", [X], 1, ML, coefficients=f32(4).tolist(), support_vectors=f32(12).tolist(), n_supports=4, rho=[0.3],
         kernel_type=kernel, kernel_params=[0.5, 0.1, 3.0])
for k in (2, 3, 4):
    for proba in (False, True):
        pairs = k * (k - 1) // 2
        more = {"prob_a": (-np.abs(f32(pairs))).tolist(), "prob_b": f32(pairs).tolist()} if proba else {}
        case(f"svm_classifier_{k}{'_proba' if proba else ''}", "SVMClassifier", [X], 2, ML, coefficients=f32((k - 1) * 2 * k).tolist(),
             support_vectors=f32(2 * k * 3).tolist(), vectors_per_class=[2] * k, rho=f32(pairs).tolist(), kernel_type="RBF", kernel_params=[0.5, 0.0, 3.0],
             classlabels_ints=list(range(10, 10 + k)), dims={0: ("N", 3)}, **more)


# ---- standard operators whose constant operands let the compiler rewrite them ----
IMAGE = {0: ("N", 3, "H", "W")}
for name, shape, kernel, attrs in [("k4s2p1", (2, 3, 5, 6), (3, 4, 4, 4), dict(strides=[2, 2], pads=[1, 1, 1, 1])),
                                   ("k3s2_more", (1, 3, 4, 5), (3, 5, 3, 3), dict(strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])),
                                   ("k2s3_more", (1, 3, 4, 4), (3, 2, 2, 2), dict(strides=[3, 3], output_padding=[2, 1])),
                                   ("k3s1", (2, 3, 5, 4), (3, 4, 3, 2), dict(pads=[1, 0, 1, 1])),
                                   ("k5s1x3", (1, 3, 6, 4), (3, 2, 5, 5), dict(strides=[1, 3], pads=[2, 3, 0, 1]))]:
    case(f"conv_transpose_{name}", "ConvTranspose", [f32(*shape), f32(*kernel), f32(kernel[1])], domain="", constant={1, 2}, dims=IMAGE, **attrs)
case("conv_transpose_1d", "ConvTranspose", [f32(1, 6, 9), f32(6, 4, 16), f32(4)], domain="", constant={1, 2}, dims={0: (1, 6, "L")}, strides=[8], pads=[4, 4])
case("reshape_split", "Reshape", [f32(8, 3), np.array([-1, 2, 3])], domain="", constant={1}, dims={0: ("BW", 3)})  # BW is twice a new symbol
U8 = np.uint8
case("matmul_integer_const", "MatMulInteger", [ints(0, 256, 3, 7, 40, dtype=U8), ints(-128, 128, 40, 33, dtype=np.int8), np.array(113, U8)], domain="", constant={1}, rtol=0, atol=0)
case("matmul_integer_columns", "MatMulInteger", [ints(0, 256, 9, 40, dtype=U8), ints(0, 256, 40, 33, dtype=U8), np.array(7, U8), ints(0, 256, 33, dtype=U8)],
     domain="", constant={1, 2, 3}, rtol=0, atol=0)
case("matmul_integer_deep", "MatMulInteger", [np.full((2, 1100), 255, U8), np.full((1100, 5), 255, U8)], domain="", constant={1}, rtol=0, atol=0)  # above 2^24
case("conv_integer_const", "ConvInteger", [ints(0, 256, 1, 4, 9, 8, dtype=U8), ints(0, 256, 6, 2, 3, 3, dtype=U8), np.array(100, U8), np.array(131, U8)],
     domain="", constant={1, 2, 3}, rtol=0, atol=0, group=2, pads=[1, 1, 1, 1], strides=[2, 1])
for name, shape, axis, extra in [("forward", (2, 12, 5, 1), 1, {}), ("onesided", (3, 16, 1), 1, dict(onesided=1)), ("complex", (2, 6, 20, 2), 2, {}),
                                 ("inverse", (2, 6, 20, 2), 2, dict(inverse=1)), ("inverse_first", (9, 4, 2), 0, dict(inverse=1))]:
    case(f"dft_{name}", "DFT", [f32(*shape), None, np.array(axis)], domain="", constant={2}, rtol=1e-3, atol=1e-4, **extra)


def trees(ids, weights):
    """One stump per pair of weights."""
    n = len(weights) // 2
    rep = lambda values: [v for _ in range(n) for v in values]
    per = lambda f: [f(i) for i in range(n) for _ in range(3)]
    return dict(nodes_treeids=per(lambda i: i), nodes_nodeids=rep([0, 1, 2]), nodes_featureids=per(lambda i: i % 3), nodes_modes=rep(["BRANCH_LEQ", "LEAF", "LEAF"]),
                nodes_values=[v for i in range(n) for v in (0.1 * i, 0.0, 0.0)], nodes_truenodeids=rep([1, 0, 0]), nodes_falsenodeids=rep([2, 0, 0]),
                class_treeids=[i for i in range(n) for _ in range(2)], class_nodeids=rep([1, 2]), class_ids=ids, class_weights=weights)


for post in ("NONE", "LOGISTIC", "SOFTMAX"):
    case(f"trees_one_id_{post.lower()}", "TreeEnsembleClassifier", [X], 2, ML, classlabels_int64s=[5, 6], post_transform=post, base_values=[0.1], **trees([0] * 6, [0.1, -0.4, 0.2, 0.3, -0.5, 0.6]))
    case(f"trees_id_one_{post.lower()}", "TreeEnsembleClassifier", [X], 2, ML, classlabels_int64s=[5, 6], post_transform=post, **trees([1] * 6, [0.1, 0.4, 0.2, 0.3, 0.5, 0.6]))
    case(f"trees_three_{post.lower()}", "TreeEnsembleClassifier", [X], 2, ML, classlabels_strings=["a", "b", "c"], post_transform=post,
         **trees([0, 0, 1, 1, 2, 2] * 2, [0.1, 0.9, 0.3, 0.4, 0.7, 0.2, 0.5, 0.5, 0.2, 0.6, 0.4, 0.1]))


def chain(depth):
    """A tree of one path, with a leaf on every level: code for one level may not grow with those above it."""
    n = 2 * depth + 1  # branch i: 2 i, its leaf 2 i + 1; the last leaf: 2 depth
    branch = [i % 2 == 0 and i < 2 * depth for i in range(n)]
    leaf = [i for i in range(n) if not branch[i]]
    return dict(nodes_treeids=[0] * n, nodes_nodeids=list(range(n)), nodes_featureids=[i // 2 % 3 if b else 0 for i, b in enumerate(branch)],
                nodes_modes=["BRANCH_LEQ" if b else "LEAF" for b in branch], nodes_values=[1.5 - 0.04 * i if b else 0.0 for i, b in enumerate(branch)],
                nodes_truenodeids=[i + 2 if b else 0 for i, b in enumerate(branch)], nodes_falsenodeids=[i + 1 if b else 0 for i, b in enumerate(branch)],
                target_treeids=[0] * len(leaf), target_nodeids=leaf, target_ids=[0] * len(leaf), target_weights=[0.5 * i for i in leaf])


case("trees_deep", "TreeEnsembleRegressor", [f32(33, 3)], 1, ML, dims={0: ("N", 3)}, n_targets=1, **chain(60))


case("space_to_depth_dynamic", "SpaceToDepth", [f32(2, 3, 4, 6)], domain="", dims={0: ("N", "C", "H", "W")}, blocksize=2)
case("depth_to_space_dynamic", "DepthToSpace", [f32(2, 8, 2, 3)], domain="", dims={0: ("N", "C", "H", "W")}, blocksize=2, mode="CRD")
MANY = 200  # more operands than one kernel reads
case("concat_many", "Concat", [f32(2, 1 + i % 3) for i in range(MANY)], domain="", axis=1)
case("sum_many", "Sum", [f32(3, 5) for _ in range(MANY)], domain="")
case("max_many", "Max", [f32(3, 5) for _ in range(MANY)], domain="")


# ---- writing ----
def hand_cases():
    for name, (op, inputs, nout, domain, dims, rtol, atol, constant, attrs) in CASES.items():
        unwanted = {1, 2} if op == "SkipSimplifiedLayerNormalization" or (op == "SkipLayerNormalization" and nout == 4) else ()
        call = contrib_random.Call(op, inputs, nout, domain, constant, rtol, atol, unwanted=unwanted, **attrs)
        yield name, call, {i: dims.get(i, v.shape) for i, v in enumerate(inputs) if v is not None}, bool(dims)


def random_cases(variants):
    for key, (op, make) in contrib_random.GENERATORS.items():
        for i in range(variants):
            source = contrib_random.Source(key, i)
            call = make(source)
            yield f"random_{key.lower()}_{i}", call, {k: source.dims_of(v) for k, v in enumerate(call.inputs) if v is not None}, source.dynamic


def tensor_info(name, array, dims):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), dims)


def sparse_of(name, array):
    at = np.argwhere(array)
    values = numpy_helper.from_array(array[tuple(at.T)], name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(at.astype(np.int64), ""), array.shape)


def model_of(name, call, dims):
    """The model of one node, the inputs that are fed, the results that are asked for."""
    names = [f"x{i}" if v is not None else "" for i, v in enumerate(call.inputs)]
    outs = ["" if i in call.unwanted else f"y{i}" for i in range(call.outputs)]
    while not outs[-1]:
        outs.pop()
    nodes = [helper.make_node(call.op, names, [f"all_{o}" if i in call.masks else o for i, o in enumerate(outs)], domain=call.domain, **call.attrs)]
    nodes += [helper.make_node("Where", [f"mask{i}", f"all_y{i}", "none"], [f"y{i}"]) for i in call.masks]
    fed = [i for i, v in enumerate(call.inputs) if v is not None and i not in call.constant]
    inits = [numpy_helper.from_array(call.inputs[i], names[i]) for i in sorted(call.constant - call.sparse) if i < len(names) and names[i]]
    results = [helper.make_empty_tensor_value_info(o) for o in outs if o]
    opsets = [helper.make_opsetid("", call.version), helper.make_opsetid(MS, 1), helper.make_opsetid(ML, 3)]
    inits += [numpy_helper.from_array(m, f"mask{i}") for i, m in call.masks.items()] + [numpy_helper.from_array(np.zeros((), np.float32), "none")] * bool(call.masks)
    graph = helper.make_graph(nodes, name, [tensor_info(names[i], call.inputs[i], dims[i]) for i in fed], results, inits)
    graph.sparse_initializer.extend(sparse_of(names[i], call.inputs[i]) for i in call.sparse)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), {names[i]: call.inputs[i] for i in fed}, results


def run_sharing(session, feeds, call):
    """Some operators insist that a result is written over an operand."""
    binding, memory = session.io_binding(), {n: onnxruntime.OrtValue.ortvalue_from_numpy(v) for n, v in feeds.items()}
    for n, v in memory.items():
        binding.bind_ortvalue_input(n, v)
    for i, o in enumerate(session.get_outputs()):
        if i in call.shared:
            binding.bind_ortvalue_output(o.name, memory[f"x{call.shared[i]}"])
        else:
            binding.bind_output(o.name)
    session.run_with_iobinding(binding)
    return [v.numpy() for v in binding.get_outputs()]


def expected_of(model, feeds, call):
    """ONNX Runtime's results, or those that the case brings along; with their element types."""
    if call.expected is not None:
        return call.expected, [helper.np_dtype_to_tensor_dtype(v.dtype) for v in call.expected]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # how DynamicQuantizeLSTM rounds depends on it: threads quantise their rows on their own
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    got = run_sharing(session, feeds, call) if call.shared else session.run(None, feeds)
    kinds = [T.STRING if o.type == "tensor(string)" else helper.np_dtype_to_tensor_dtype(v.dtype) for v, o in zip(got, session.get_outputs())]
    return [np.asarray(v, dtype=object) if v.dtype.kind in "OU" else v for v in got], kinds


def write(folder, name, call, dims, dynamic):
    model, feeds, results = model_of(name, call, dims)
    got, kinds = expected_of(model, feeds, call)
    for r, v, kind in zip(results, got, kinds):
        r.CopyFrom(helper.make_tensor_value_info(r.name, kind, [None] * v.ndim if dynamic else list(v.shape)))
    del model.graph.output[:]
    model.graph.output.extend(results)
    d = folder / name
    (d / "0").mkdir(parents=True, exist_ok=True)
    onnx.save(model, d / "model.onnx")
    type_of = lambda p: {"name": p.name, "type": f"tensor({T.DataType.Name(p.type.tensor_type.elem_type).lower()})"}
    meta = dict(kind="contrib", op=call.op, domain=call.domain, opset=call.version, dtype="float", rtol=call.rtol, atol=call.atol,
                inputs=[type_of(p) for p in model.graph.input], outputs=[type_of(p) for p in results])
    (d / "meta.json").write_text(json.dumps(meta))
    for i, (n, v) in enumerate(feeds.items()):
        (d / "0" / f"in{i}.pb").write_bytes(numpy_helper.from_array(v, n).SerializeToString())
    for i, v in enumerate(got):
        (d / "0" / f"out{i}.pb").write_bytes(numpy_helper.from_array(v, results[i].name).SerializeToString())


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path)
    p.add_argument("--variants", type=int, default=3, help="random cases of each operator [3]")
    p.add_argument("--only", default="", help="only cases whose name has a match of this regex")
    args = p.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()) and not (args.folder / "complete").exists():
        sys.exit(f"{args.folder} holds something else")
    shutil.rmtree(args.folder, ignore_errors=True)
    args.folder.mkdir(parents=True)
    onnxruntime.set_default_logger_severity(4)
    kernels = {k.op_name for k in onnxruntime.capi.onnxruntime_pybind11_state.get_all_opkernel_def()}
    refused = written = 0
    for name, call, dims, dynamic in [*hand_cases(), *random_cases(args.variants)]:
        if not re.search(args.only, name) or (call.expected is None and call.op not in kernels):  # an older ONNX Runtime lacks some
            continue
        try:
            write(args.folder, name, call, dims, dynamic)
            written += 1
        except Exception as e:
            print(f"{name}: {str(e)[:400]}", file=sys.stderr)
            refused += 1
    (args.folder / "complete").write_text(onnx.__version__)
    print(f"{written} written, {refused} that ONNX Runtime refuses")
    sys.exit(refused > 0)


if __name__ == "__main__":
    main()
