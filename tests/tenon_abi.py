"""The public C ABI (runtime/include/tenon_rt.h) through ctypes, with numpy values: what the tests run artifacts with.

Tensors are numpy arrays (bfloat16 and the small types by ml_dtypes, one element per byte), strings object arrays, sequences lists, maps dicts,
an empty optional or an input left out None. Outputs are lent by the context and copied here.
"""
import ctypes as C

import ml_dtypes
import numpy as np

ABSENT, TENSOR, SEQUENCE, OPTIONAL, MAP = range(5)
STATUS = ["OK", "E_ARG", "E_TYPE", "E_SHAPE", "E_DATA", "E_SPACE", "E_NOMEM", "E_BUSY", "E_CANCELLED", "E_LIMIT", "E_HARDWARE", "E_DEVICE",
          "E_WEIGHTS", "E_INTERNAL"]

# DLPack's (code, bits) of each numpy dtype
CODES = {"int8": (0, 8), "int16": (0, 16), "int32": (0, 32), "int64": (0, 64), "uint8": (1, 8), "uint16": (1, 16), "uint32": (1, 32),
         "uint64": (1, 64), "float16": (2, 16), "float32": (2, 32), "float64": (2, 64), "object": (3, 128), "bfloat16": (4, 16),
         "complex64": (5, 64), "complex128": (5, 128), "bool": (6, 8), "float8_e4m3fn": (10, 8), "float8_e4m3fnuz": (11, 8),
         "float8_e5m2": (12, 8), "float8_e5m2fnuz": (13, 8), "float8_e8m0fnu": (14, 8), "float6_e2m3fn": (15, 6), "float6_e3m2fn": (16, 6),
         "float4_e2m1fn": (17, 4), "int4": (0, 4), "uint4": (1, 4), "int2": (0, 2), "uint2": (1, 2)}
DTYPES = {v: np.dtype(getattr(ml_dtypes, k, None) or k) for k, v in CODES.items()}


class DLTensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("device_type", C.c_int32), ("device_id", C.c_int32), ("ndim", C.c_int32), ("code", C.c_uint8),
                ("bits", C.c_uint8), ("lanes", C.c_uint16), ("shape", C.POINTER(C.c_int64)), ("strides", C.POINTER(C.c_int64)),
                ("byte_offset", C.c_uint64)]


class Value(C.Structure):
    pass


Value._fields_ = [("kind", C.c_uint32), ("flags", C.c_uint32), ("t", DLTensor), ("capacity", C.c_uint64), ("need", C.c_uint64),
                  ("item", C.POINTER(Value)), ("n", C.c_uint64), ("reserved", C.c_uint64 * 2)]


class Str(C.Structure):
    _fields_ = [("data", C.c_char_p), ("len", C.c_uint64)]


class Error(C.Structure):
    _fields_ = [("size", C.c_uint32), ("status", C.c_int32), ("node", C.c_int32), ("value", C.c_int32), ("text", C.c_char * 496)]


class Io(C.Structure):
    _fields_ = [("size", C.c_uint32), ("kind", C.c_uint32), ("flags", C.c_uint32), ("name", C.c_char_p), ("type", C.c_char_p),
                ("code", C.c_uint8), ("bits", C.c_uint8), ("lanes", C.c_uint16), ("rank", C.c_int32), ("max_rank", C.c_int32),
                ("dim", C.POINTER(C.c_int64)), ("dim_min", C.POINTER(C.c_int64)), ("dim_max", C.POINTER(C.c_int64)),
                ("dim_name", C.POINTER(C.c_char_p)), ("pair", C.c_int32), ("pair_axis", C.c_int32)]


class Open(C.Structure):
    _fields_ = [("size", C.c_uint32), ("flags", C.c_uint32), ("threads", C.c_uint32), ("spin_us", C.c_uint32), ("executor", C.c_void_p),
                ("allocator", C.c_void_p), ("device_type", C.c_int32), ("device_id", C.c_int32), ("cpu", C.c_char_p),
                ("weights_path", C.c_char_p), ("weights_fd1", C.c_int64), ("constant", C.c_void_p), ("n_constant", C.c_uint64)]


P = C.c_void_p
VP = C.POINTER(Value)


class Api(C.Structure):
    _fields_ = [("size", C.c_uint32), ("abi", C.c_uint32), ("name", C.c_char_p), ("info", C.c_char_p), ("n_in", C.c_uint32),
                ("n_out", C.c_uint32), ("ins", C.POINTER(C.POINTER(Io))), ("outs", C.POINTER(C.POINTER(Io))),
                ("open", C.CFUNCTYPE(C.c_int, C.POINTER(Open), C.POINTER(P), C.POINTER(Error))), ("close", C.CFUNCTYPE(None, P)),
                ("context", C.CFUNCTYPE(C.c_int, P, C.POINTER(P), C.POINTER(Error))), ("release", C.CFUNCTYPE(None, P)),
                ("plan", C.CFUNCTYPE(C.c_int, P, VP, VP, P)), ("run", C.CFUNCTYPE(C.c_int, P, VP, VP, P)),
                ("collect", C.CFUNCTYPE(C.c_int, P, VP)), ("sync", C.CFUNCTYPE(C.c_int, P)),
                ("last_error", C.CFUNCTYPE(None, P, C.POINTER(Error)))]


class TenonError(Exception):
    def __init__(self, status, error):
        self.status = STATUS[status] if status < len(STATUS) else str(status)
        self.text = error.text.decode("utf-8", "replace")
        super().__init__(f"{self.status}: {self.text}")


def pack(array, bits):
    """Bytes of a 4- or 2-bit tensor: low bits first over the row-major order."""
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    per = 8 // bits
    raw = np.concatenate([raw, np.zeros(-raw.size % per, np.uint8)]).reshape(-1, per)
    return np.bitwise_or.reduce(raw << np.arange(0, 8, bits, dtype=np.uint8), axis=1, dtype=np.uint8)


def unpack(raw, bits, count, dtype):
    values = (raw[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)).reshape(-1)[:count] & ((1 << bits) - 1)
    if dtype.name.startswith("int"):
        values = ((values.astype(np.int16) ^ (1 << (bits - 1))) - (1 << (bits - 1))).astype(np.int8)
        return values.astype(dtype)
    return values.astype(dtype) if dtype.name.startswith("uint") else values.view(dtype)


class Feed:
    """Builds tenon_values and keeps alive what they point to."""

    def __init__(self):
        self.kept = []

    def tensor(self, array):
        v = Value(kind=TENSOR)
        array = np.asarray(array)
        if array.dtype.kind in "SU":
            array = array.astype(object)
        code, bits = CODES[array.dtype.name]
        if code == 3:
            texts = [s if isinstance(s, bytes) else str(s).encode() for s in array.reshape(-1)]
            data = (Str * max(1, len(texts)))(*[Str(s, len(s)) for s in texts])
            self.kept.append(texts)
            v.t.data, v.capacity = C.addressof(data), len(texts) * 16
        else:
            data = pack(array, bits) if bits < 6 else np.ascontiguousarray(array)
            data = np.concatenate([data.reshape(-1).view(np.uint8), np.zeros(64, np.uint8)]) if data.size == 0 else data
            v.t.data, v.capacity = data.ctypes.data, data.nbytes
        shape = (C.c_int64 * max(1, array.ndim))(*array.shape)
        self.kept += [data, shape]
        v.t.device_type, v.t.ndim, v.t.code, v.t.bits, v.t.lanes = 1, array.ndim, code, bits, 1
        v.t.shape = C.cast(shape, C.POINTER(C.c_int64))
        return v

    def items(self, kind, values):
        v = Value(kind=kind, n=len(values))
        array = (Value * max(1, len(values)))(*values)
        self.kept.append(array)
        v.item = C.cast(array, VP)
        return v

    def value(self, x, type_text):
        if type_text.startswith("optional("):
            return self.items(OPTIONAL, [] if x is None else [self.value(x, type_text[9:-1])])
        if x is None:
            return Value(kind=ABSENT)
        if type_text.startswith("seq("):
            return self.items(SEQUENCE, [self.value(e, type_text[4:-1]) for e in x])
        if type_text.startswith("map("):
            key_type = "object" if type_text.startswith("map(string") else np.int64
            values = list(x.values())
            return self.items(MAP, [self.tensor(np.array(list(x.keys()), key_type)),
                                    self.tensor(np.array(values, object if values and isinstance(values[0], str) else np.float32))])
        return self.tensor(x)


def fetch(v):
    """A Python value from a lent tenon_value."""
    if v.kind == ABSENT:
        return None
    if v.kind == SEQUENCE:
        return [fetch(v.item[i]) for i in range(v.n)]
    if v.kind == OPTIONAL:
        return fetch(v.item[0]) if v.n else None
    if v.kind == MAP:
        return dict(zip(fetch(v.item[0]).tolist(), fetch(v.item[1]).tolist()))
    shape = tuple(v.t.shape[i] for i in range(v.t.ndim))
    count = int(np.prod(shape, dtype=np.int64))
    if v.t.code == 3:
        texts = C.cast(v.t.data, C.POINTER(Str))
        out = np.empty(count, object)
        for i in range(count):
            raw = C.string_at(C.cast(C.addressof(texts[i]), C.POINTER(C.c_void_p))[0], texts[i].len) if texts[i].len else b""
            out[i] = raw.decode("utf-8", "surrogateescape")
        return out.reshape(shape)
    dtype = DTYPES[(v.t.code, v.t.bits)]
    nbytes = -(-count * v.t.bits // 8) if v.t.bits < 6 else count * dtype.itemsize
    raw = np.frombuffer(C.string_at(v.t.data + v.t.byte_offset, nbytes), np.uint8) if nbytes else np.zeros(0, np.uint8)
    flat = unpack(raw, v.t.bits, count, dtype) if v.t.bits < 6 else raw.view(dtype)
    return flat.reshape(shape).copy()


class Model:
    """An open artifact with one context. threads: 1 never makes a thread."""

    def __init__(self, path, name, threads=1):
        self.lib = C.CDLL(str(path))
        get = getattr(self.lib, name + "_api")
        get.restype, get.argtypes = C.POINTER(Api), [C.c_uint32]
        pointer = get(1)
        if not pointer:
            raise RuntimeError(f"{name}_api(1) is NULL")
        self.api = pointer.contents
        self.model, self.ctx = P(), P()
        error = Error(size=C.sizeof(Error))
        self._check(self.api.open(C.byref(Open(size=C.sizeof(Open), threads=threads)), C.byref(self.model), C.byref(error)), error)
        self._check(self.api.context(self.model, C.byref(self.ctx), C.byref(error)), error)
        self.ins = [self.api.ins[i].contents for i in range(self.api.n_in)]
        self.outs = [self.api.outs[i].contents for i in range(self.api.n_out)]
        self.in_names = [io.name.decode() for io in self.ins]
        self.out_names = [io.name.decode() for io in self.outs]

    def _check(self, status, error=None):
        if status:
            if error is None:
                error = Error(size=C.sizeof(Error))
                self.api.last_error(self.ctx, C.byref(error))
            raise TenonError(status, error)

    def values(self, inputs):
        """inputs: a list in graph order, or a dict by name. Returns what run_values takes; it may be used for many runs."""
        if isinstance(inputs, dict):
            inputs = [inputs.get(n) for n in self.in_names]
        inputs = list(inputs) + [None] * (len(self.ins) - len(inputs))
        feed = Feed()
        ins = (Value * max(1, len(inputs)))(*[feed.value(x, io.type.decode()) for x, io in zip(inputs, self.ins)])
        outs = (Value * max(1, len(self.outs)))(*[Value(kind=max(1, io.kind)) for io in self.outs])
        return feed, ins, outs

    def run_values(self, values):
        self._check(self.api.run(self.ctx, values[1], values[2], None))

    def run(self, inputs):
        values = self.values(inputs)
        self.run_values(values)
        return [fetch(values[2][i]) for i in range(len(self.outs))]

    def close(self):
        if self.ctx:
            self.api.release(self.ctx)
            self.api.close(self.model)
            self.ctx = None
