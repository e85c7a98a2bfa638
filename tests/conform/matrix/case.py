"""A case of the single-op matrix, the values it is made of, and the ONNX models that hold cases: one, or many independent ones side by side."""
import functools
import itertools
import zlib
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import values

SEED = 0  # --seed


@dataclass
class Case:
    name: str            # OP/OPSET/..., unique; also what the random values are seeded with
    op: str
    opset: int           # of the domain; the default domain goes with it (see `opsets`)
    inputs: list         # arrays, lists of arrays (sequences), None for one left out
    attrs: dict = field(default_factory=dict)
    domain: str = ""
    nout: int = 1
    wanted: tuple = ()   # outputs that are asked for; all when empty
    const: tuple = ()    # inputs that are initializers
    dims: object = ""    # "": static; "size": dims of one extent share a symbol; "own": a symbol for each dim; {input: axes}: as size, for these
    ulp: float = 0       # what may differ from a referee: ulp steps of the expected value ..
    frac: float = 0      # .. and this fraction of the greatest expected magnitude ..
    atol: float = 0      # .. and so much
    signed: bool = False # -0 is not 0
    ort: bool = True     # ask ONNX Runtime
    ref: bool = True     # ask onnx.reference
    want: list = None    # the answer by docs/semantics.md or by the specification's text, where neither is to be asked
    fails: bool = False  # the run must be refused
    alone: bool = False  # in a model of its own
    nodes: list = None   # (op, inputs, outputs, attributes) over x0.., y0.. instead of the one node
    types: list = None   # element types of the outputs, where inference does not know

    def fed(self):
        return [i for i, x in enumerate(self.inputs) if x is not None and i not in self.const]


def rng(name):
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


# ---- what the operators' schemas allow ----

@functools.cache
def schemas():
    """(domain, op) -> schemas by rising version, without deprecated ones."""
    table = {}
    for s in onnx.defs.get_all_schemas_with_history():
        if not s.deprecated:
            table.setdefault((s.domain, s.name), []).append(s)
    return {k: sorted(v, key=lambda s: s.since_version) for k, v in table.items()}


def versions(op, domain=""):
    return schemas()[(domain, op)]


def dtype_of(type_text):
    """numpy's type of `tensor(x)`, None for other values."""
    name = type_text[7:-1]
    if not type_text.startswith("tensor("):
        return None
    number = {"float": 1, "double": 11, "string": 8}.get(name) or TensorProto.DataType.Value(name.upper())
    return values.DTYPES[number]


def allowed(schema, param):
    """Types that a type parameter (or the parameter of input number `param`) may have."""
    if isinstance(param, int):
        param = schema.inputs[param].type_str
    for c in schema.type_constraints:
        if c.type_param_str == param:
            return [t for t in map(dtype_of, c.allowed_type_strs) if t is not None]
    return [dtype_of(param)]


# ---- values ----

def kind(dtype):
    """float, int, uint, bool, complex, object."""
    dtype = np.dtype(dtype)
    if dtype == bool:
        return "bool"
    if dtype.name.startswith("uint"):
        return "uint"
    if dtype.name.startswith("int"):
        return "int"
    if dtype.kind == "c":
        return "complex"
    return "object" if dtype == object else "float"


def limits(dtype):
    i = ml_dtypes.iinfo(dtype)
    return int(i.min), int(i.max)


def mantissa(dtype):
    """Bits after the point."""
    return ml_dtypes.finfo(dtype).nmant


def short(dtype):
    names = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "object": "str", "complex64": "c64", "complex128": "c128"}
    name = np.dtype(dtype).name
    return names.get(name) or name.replace("float", "f").replace("uint", "u").replace("int", "i")


def edges(dtype):
    """Values at which implementations go wrong."""
    k = kind(dtype)
    if k == "bool":
        return np.array([True, False])
    if k in ("int", "uint"):
        lo, hi = limits(dtype)
        picks = sorted({v for v in (lo, lo + 1, -2, -1, 0, 1, 2, hi // 2, hi // 2 + 1, hi - 1, hi) if lo <= v <= hi})
        return np.array(picks, object).astype(dtype)
    if k == "object":
        return np.array(["", "a", "A", "ä", " ", "longer than the others", "\U0001F600"], object)
    if k == "complex":
        return np.array([0, 1, 1j, -1, complex(np.inf, 0), complex(0, np.nan), complex(-0.0, 0.0)], dtype)
    f = ml_dtypes.finfo(dtype)
    with np.errstate(all="ignore"):
        v = np.array([0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, np.inf, -np.inf, np.nan, float(f.max), float(f.min), float(f.tiny), float(f.smallest_subnormal)], np.float64)
    return v.astype(dtype)


def ordinary(r, dtype, shape, lo=-4.0, hi=4.0):
    """Random values of moderate size."""
    k = kind(dtype)
    if k == "bool":
        return r.random(shape) < 0.5
    if k in ("int", "uint"):
        a, b = limits(dtype)
        return r.integers(max(a, -9 if k == "int" else 0), min(b, 9) + 1, shape).astype(dtype)
    if k == "object":
        words = np.array(["", "a", "b", "ab", "Abc", "x y", "ä"], object)
        return words[r.integers(0, len(words), shape)]
    if k == "complex":
        return (r.uniform(lo, hi, shape) + 1j * r.uniform(lo, hi, shape)).astype(dtype)
    return np.asarray(r.uniform(lo, hi, shape)).astype(dtype)


def wide(r, dtype, shape):
    """Random values of all sizes, with the edges among them."""
    k = kind(dtype)
    count = int(np.prod(shape))
    if k in ("int", "uint"):
        a, b = limits(dtype)
        v = r.integers(a, b, count, endpoint=True, dtype=np.uint64 if b > 2**62 and a == 0 else np.int64).astype(dtype)
    elif k == "float":
        v = (r.normal(size=count) * 10.0 ** r.uniform(-3, 3, count)).astype(dtype)
    else:
        v = ordinary(r, dtype, (count,))
    e = edges(dtype)
    if count:
        at = r.permutation(count)[:max(1, min(len(e), count // 2))]
        v[at] = r.permutation(e)[:len(at)]
    return v.reshape(shape)


SHAPES = [(), (1,), (17,), (3, 5), (2, 1, 37), (0,), (2, 0, 3), (2, 3, 4, 5), (130,)]


def label(shape):
    return "x".join(map(str, shape)) or "scalar"


# ---- models ----

def number(dtype):
    return values.NUMBERS[np.dtype(dtype).name]


def symbols(case, k, i, shape):
    if isinstance(case.dims, dict):
        axes = [a % len(shape) for a in case.dims.get(i, ())]
        return [f"c{k}n{d}" if a in axes and d != 1 else d for a, d in enumerate(shape)]
    if case.dims == "size":
        return [d if d == 1 else f"c{k}n{d}" for d in shape]
    if case.dims == "own":
        return [f"c{k}i{i}d{a}" for a in range(len(shape))]
    return list(shape)


def value_info(name, x, shape=None):
    if isinstance(x, list):
        return helper.make_tensor_sequence_value_info(name, number(x[0].dtype) if x else 1, None)
    return helper.make_tensor_value_info(name, number(x.dtype), x.shape if shape is None else shape)


def tensor(x, name):
    if x.dtype == object:
        return helper.make_tensor(name, TensorProto.STRING, x.shape, [str(s).encode("utf-8", "surrogateescape") for s in x.reshape(-1)])
    return numpy_helper.from_array(np.ascontiguousarray(x).reshape(x.shape), name)


def node(op, ins, outs, attrs, domain=""):
    """Arrays become tensors; an empty list is one of integers."""
    n = helper.make_node(op, ins, outs, domain=domain)
    for k, v in attrs.items():
        empty = isinstance(v, (list, tuple)) and not v
        n.attribute.append(helper.make_attribute(k, tensor(v, "") if isinstance(v, np.ndarray) else v, attr_type=onnx.AttributeProto.INTS if empty else None))
    return n


def opsets(case):
    """The opsets that a model of the case imports; cases of one model agree in them."""
    main = case.opset if not case.domain else {"ai.onnx.ml": 21 if case.opset < 5 else 22, "com.microsoft": 21}.get(case.domain, 27)
    return tuple(sorted({"": main, case.domain: case.opset, "com.microsoft": 1}.items())) if case.domain else (("", main),)


def in_names(case, k):
    return [f"c{k}x{i}" if x is not None else "" for i, x in enumerate(case.inputs)]


def out_names(case, k):
    """Names of the outputs that are asked for."""
    return [f"c{k}y{j}" for j in (case.wanted or range(case.nout))]


def nodes_of(case, k):
    if case.nodes:
        rename = lambda names: [n and f"c{k}{n}" for n in names]
        return [node(op, rename(i), rename(o), a) for op, i, o, a in case.nodes]
    outs = [f"c{k}y{j}" if not case.wanted or j in case.wanted else "" for j in range(case.nout)]
    names = in_names(case, k)
    while names and not names[-1]:
        names.pop()
    return [node(case.op, names, outs, case.attrs, case.domain)]


NEW_TYPES = {"int2", "uint2", "float8_e8m0fnu", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"}


def model(cases, fixed=lambda x: False, outs=None):
    """One model of cases that agree in `opsets`. fixed: inputs that are initializers whatever the case says; outs: their value infos."""
    nodes, infos, inits = [], [], []
    for k, c in enumerate(cases):
        nodes += nodes_of(c, k)
        for i, (x, name) in enumerate(zip(c.inputs, in_names(c, k))):
            if x is None:
                continue
            if i in c.const or fixed(x):
                inits.append(tensor(x, name))
            else:
                infos.append(value_info(name, x, None if isinstance(x, list) else symbols(c, k, i, x.shape)))
    if outs is None:
        outs = [onnx.ValueInfoProto(name=n) for k, c in enumerate(cases) for n in out_names(c, k)]
    graph = helper.make_graph(nodes, "matrix", infos, outs, inits)
    imports = [helper.make_opsetid(*o) for o in opsets(cases[0])]
    new = any(np.dtype(getattr(x, "dtype", "f4")).name in NEW_TYPES for c in cases for x in c.inputs)
    return helper.make_model(graph, opset_imports=imports, ir_version=13 if new or imports[0].version > 24 else 10)


def product(**axes):
    """Dicts of every combination."""
    return (dict(zip(axes, v)) for v in itertools.product(*axes.values()))
