#!/usr/bin/env python3
"""Writes the backend tests of the installed `onnx` package as plain files: dump.py OUT.

OUT/<test>/model.onnx
           meta.json        kind, op, domain, opset, dtype, rtol, atol, inputs and outputs (name, type)
           <set>/in<i>.pb, out<i>.pb   a value each, as the proto its declared type asks for; no file: the value is absent
Newer releases of the package make most tests in process only, so a runner that wants files has to ask the loader for them.
"""
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import OptionalProto, SequenceProto, TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

KINDS = {"node": "node", "simple": "simple", "pytorch-converted": "pytorch-converted", "pytorch-operator": "pytorch-operator", "real": "light"}


def type_text(t):
    """tensor(float), seq(..), optional(..), map(..): as ONNX writes types."""
    which = t.WhichOneof("value")
    if which == "tensor_type":
        return f"tensor({onnx.TensorProto.DataType.Name(t.tensor_type.elem_type).lower()})"
    if which == "sequence_type":
        return f"seq({type_text(t.sequence_type.elem_type)})"
    if which == "optional_type":
        return f"optional({type_text(t.optional_type.elem_type)})"
    if which == "map_type":
        return f"map({onnx.TensorProto.DataType.Name(t.map_type.key_type).lower()},{type_text(t.map_type.value_type)})"
    return which or "none"


def as_proto(value, info):
    """The value in the proto of its declared type; None where it is absent."""
    if value is None or hasattr(value, "SerializeToString"):
        return value
    which = info.type.WhichOneof("value")
    if which == "optional_type":
        if info.type.optional_type.elem_type.WhichOneof("value") == "sequence_type":
            return OptionalProto(elem_type=OptionalProto.SEQUENCE, sequence_value=numpy_helper.from_list(value, info.name))
        return OptionalProto(elem_type=OptionalProto.TENSOR, tensor_value=numpy_helper.from_array(np.asarray(value), info.name))
    if which == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    return numpy_helper.from_array(np.asarray(value), info.name)


def fed_inputs(graph):
    constants = {t.name for t in graph.initializer}
    return [v for v in graph.input if v.name not in constants]


OPS = {}  # snake_case name -> op
for s in onnx.defs.get_all_schemas():
    OPS.setdefault(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", s.name).lower(), (s.name, s.domain))
    OPS.setdefault(s.name.lower(), (s.name, s.domain))


def tested_op(name, model):
    """(op, domain): the only node's, else the longest operator name that the test's name starts with."""
    nodes = model.graph.node
    if len(nodes) == 1:
        return nodes[0].op_type, nodes[0].domain
    words = re.sub(r"^test_(ai_onnx_ml_|training_)?", "", name).lower()
    best = max((k for k in OPS if words.startswith(k)), key=len, default=None)
    return OPS[best] if best else ("(network)", "")


def describe(name, kind, model, rtol, atol):
    op, domain = tested_op(name, model)
    opset = next((o.version for o in model.opset_import if o.domain in (domain, "ai.onnx" if not domain else domain)), 0)
    ins, outs = fed_inputs(model.graph), model.graph.output
    types = [type_text(v.type) for v in [*ins, *outs]]
    dtype = re.sub(r".*\(([a-z0-9_]+)\)+$", r"\1", types[0]) if types else ""
    return {
        "kind": kind, "op": op, "domain": domain, "opset": opset, "dtype": dtype, "rtol": rtol, "atol": atol,
        "inputs": [{"name": v.name, "type": type_text(v.type)} for v in ins],
        "outputs": [{"name": v.name, "type": type_text(v.type)} for v in outs],
    }


def write_values(folder, stem, values, infos):
    for i, (value, info) in enumerate(zip(values, infos)):
        proto = as_proto(value, info)
        if proto is not None:
            (folder / f"{stem}{i}.pb").write_bytes(proto.SerializeToString())


def write_set(folder, inputs, outputs, model):
    folder.mkdir(parents=True)
    ins = fed_inputs(model.graph)
    write_values(folder, "in", inputs, ins if len(ins) == len(inputs) else model.graph.input)
    write_values(folder, "out", outputs, model.graph.output)


def from_folder(out, source):
    """A test that ships as files: copied under our names."""
    for k, data in enumerate(sorted(source.glob("test_data_set_*"))):
        folder = out / str(k)
        folder.mkdir(parents=True)
        for pb in data.glob("*.pb"):
            (folder / pb.name.replace("input_", "in").replace("output_", "out")).write_bytes(pb.read_bytes())


def from_light(out, path, model):
    """A whole network: the inputs are ramps, as the suite's runner makes them; the outputs lie beside the model."""
    inputs = []
    for v in fed_inputs(model.graph):
        shape = [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        inputs.append((np.arange(np.prod(shape)).reshape(shape) / np.prod(shape)).astype(np.float32))
    outputs = []
    for i in range(len(model.graph.output)):
        outputs.append(TensorProto.FromString(path.with_name(f"{path.stem}_output_{i}.pb").read_bytes()))
    write_set(out / "0", inputs, outputs, model)


def write_test(out, test, kind, package):
    path = Path(test.model_dir) / "model.onnx" if test.model_dir else None
    if test.model is None and path is None:
        path = package.parent / test.url
    model = test.model or onnx.load(path)
    if test.model is not None:
        for k, (inputs, outputs) in enumerate(test.data_sets):
            write_set(out / str(k), inputs, outputs, model)
    elif test.model_dir:
        from_folder(out, Path(test.model_dir))
    else:
        from_light(out, path, model)
    (out / "model.onnx").write_bytes(model.SerializeToString() if test.model is not None else path.read_bytes())
    (out / "meta.json").write_text(json.dumps(describe(test.name, kind, model, test.rtol, test.atol)))


def dump(out):
    warnings.filterwarnings("ignore")
    package = Path(onnx.__file__).parent
    counts = {}
    for source, kind in KINDS.items():
        for test in load_model_tests(kind=source):
            write_test(out / test.name, test, kind, package)
            counts[kind] = counts.get(kind, 0) + 1
    (out / "complete").write_text(onnx.__version__)
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    n = dump(Path(sys.argv[1]))
    print(f"onnx {onnx.__version__}: {sum(n.values())} tests:", ", ".join(f"{k} {v}" for k, v in n.items()))
