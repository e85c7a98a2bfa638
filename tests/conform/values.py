"""Values of ONNX's test files as Python values, and the binary form in which tests/tools/evalrun takes and gives them."""
import ctypes as C
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
DTYPE_NUMBERS = {tenon_abi.CODES[name]: n for name, n in NUMBERS.items()}
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


def dumped(v):
    """A tenon_value as evalrun reads it."""
    if v.kind == tenon_abi.ABSENT:
        return struct.pack("<i", 0)
    if v.kind != tenon_abi.TENSOR:
        return struct.pack("<iq", v.kind, v.n) + b"".join(dumped(v.item[i]) for i in range(v.n))
    shape = [v.t.shape[i] for i in range(v.t.ndim)]
    count = int(np.prod(shape, dtype=np.int64))
    dtype = DTYPE_NUMBERS[(v.t.code, v.t.bits)]
    head = struct.pack(f"<iii{len(shape)}qq", v.kind, dtype, len(shape), *shape, v.capacity)
    if dtype != NUMBERS["object"]:
        return head + C.string_at(v.t.data, v.capacity)
    strings = (tenon_abi.Str * count).from_address(v.t.data)
    return head + b"".join(struct.pack("<q", s.len) + C.string_at(s.data, s.len) for s in strings)


def encode(inputs, types):
    feed = tenon_abi.Feed()
    return b"".join(dumped(feed.value(x, t)) for x, t in zip(inputs, types))


class Reader:
    """Values as evalrun wrote them."""

    def __init__(self, raw):
        self.raw, self.at = raw, 0

    def take(self, form):
        got = struct.unpack_from("<" + form, self.raw, self.at)
        self.at += struct.calcsize("<" + form)
        return got

    def bytes(self, n):
        self.at += n
        return self.raw[self.at - n:self.at]

    def tensor(self):
        number, rank = self.take("ii")
        dims, (size,) = self.take(f"{rank}q"), self.take("q")
        count = int(np.prod(dims, dtype=np.int64))
        if number == NUMBERS["object"]:
            strings = np.empty(count, object)
            for i in range(count):
                strings[i] = self.bytes(*self.take("q")).decode("utf-8", "surrogateescape")
            return strings.reshape(dims)
        dtype, data = DTYPES[number], np.frombuffer(self.bytes(size), np.uint8)
        bits = tenon_abi.CODES[dtype.name][1]
        return (tenon_abi.unpack(data, bits, count, dtype) if bits < 6 else data.view(dtype)).reshape(dims).copy()

    def value(self):
        (kind,) = self.take("i")
        if kind == tenon_abi.ABSENT:
            return None
        if kind == tenon_abi.TENSOR:
            return self.tensor()
        items = [self.value() for _ in range(*self.take("q"))]
        if kind == tenon_abi.OPTIONAL:
            return items[0] if items else None
        return dict(zip(*(x.tolist() for x in items))) if kind == tenon_abi.MAP else items


def decode(raw):
    reader, values = Reader(raw), []
    while reader.at < len(raw):
        values.append(reader.value())
    return values
