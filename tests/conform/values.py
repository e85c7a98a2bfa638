"""Values of ONNX's test files as Python values, and the test evaluator's binary form of tensors."""
import struct
import sys
from pathlib import Path

import numpy as np
from onnx import MapProto, OptionalProto, SequenceProto, TensorProto, numpy_helper

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import tenon_abi  # noqa: E402

# ONNX's number of each numpy dtype
NUMBERS = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "object": 8, "bool": 9, "float16": 10, "float64": 11,
           "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16, "float8_e4m3fn": 17, "float8_e4m3fnuz": 18,
           "float8_e5m2": 19, "float8_e5m2fnuz": 20, "uint4": 21, "int4": 22, "float4_e2m1fn": 23, "float8_e8m0fnu": 24, "uint2": 25, "int2": 26,
           "float6_e2m3fn": 27, "float6_e3m2fn": 28}
DTYPES = {n: tenon_abi.DTYPES[tenon_abi.CODES[name]] for name, n in NUMBERS.items()}


def tensor(proto):
    array = numpy_helper.to_array(proto)
    if array.dtype == object:
        array = np.array([s.decode("utf-8", "surrogateescape") if isinstance(s, bytes) else s for s in array.reshape(-1)], object).reshape(array.shape)
    return array


def from_bytes(raw, type_text):
    if type_text.startswith("optional("):
        p = OptionalProto.FromString(raw)
        if p.elem_type == OptionalProto.TENSOR:
            return tensor(p.tensor_value)
        return [tensor(t) for t in p.sequence_value.tensor_values] if p.elem_type == OptionalProto.SEQUENCE else None
    if type_text.startswith("seq("):
        p = SequenceProto.FromString(raw)
        if p.elem_type == SequenceProto.MAP:
            return [numpy_helper.to_dict(m) for m in p.map_values]
        return [tensor(t) for t in p.tensor_values]
    if type_text.startswith("map("):
        return numpy_helper.to_dict(MapProto.FromString(raw))
    return tensor(TensorProto.FromString(raw))


def load(path, type_text):
    return from_bytes(path.read_bytes(), type_text) if path.exists() else None


def encode(arrays):
    """For tests/tools/evalrun: dtype, rank, dims, bytes of each tensor; dtype 0: absent."""
    out = bytearray()
    for a in arrays:
        if a is None:
            out += struct.pack("<ii", 0, 0)
            continue
        a = np.asarray(a)
        bits = tenon_abi.CODES[a.dtype.name][1]
        data = (tenon_abi.pack(a, bits) if bits < 6 else np.ascontiguousarray(a)).tobytes()
        out += struct.pack(f"<ii{a.ndim}qq", NUMBERS[a.dtype.name], a.ndim, *a.shape, len(data)) + data
    return bytes(out)


def decode(raw):
    arrays, at = [], 0
    while at < len(raw):
        number, rank = struct.unpack_from("<ii", raw, at)
        dims = struct.unpack_from(f"<{rank}q", raw, at + 8)
        (size,) = struct.unpack_from("<q", raw, at + 8 + 8 * rank)
        at += 16 + 8 * rank
        dtype, data = DTYPES[number], np.frombuffer(raw, np.uint8, size, at)
        bits = tenon_abi.CODES[dtype.name][1]
        count = int(np.prod(dims, dtype=np.int64))
        arrays.append((tenon_abi.unpack(data, bits, count, dtype) if bits < 6 else data.view(dtype)).reshape(dims).copy())
        at += size
    return arrays
