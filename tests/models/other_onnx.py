#!/usr/bin/env python3
"""Models by ONNX's own tools and ONNX Runtime's: quantisers, float16 conversion, optimisers, functions, external data, old forms.

other_onnx.py OUT ZOO [REGEX]    ZOO: made by the zoo's make.py; its models are what is quantised and optimised.
"""
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as H
from onnx import numpy_helper as N
from onnxruntime import quantization as Q
from other_common import build, write_model

onnxruntime.set_default_logger_severity(4)
ZOO = None
rng = np.random.default_rng(3)


def f32(*shape, scale=1.0):
    return (scale * rng.normal(size=shape)).astype(np.float32)


def cases_of(name):
    return {c.name: [np.load(f) for f in sorted(c.glob("input_*.npy"), key=lambda f: int(f.stem.split("_")[1]))]
            for c in sorted((ZOO / name).iterdir()) if c.is_dir()}


class Reader(Q.CalibrationDataReader):
    def __init__(self, model, feeds):
        names = [i.name for i in onnx.load(model, load_external_data=False).graph.input]
        self.left = [dict(zip(names, f)) for f in feeds]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantised(name, how):
    def make(out, folder):
        source = str(ZOO / name / "model.onnx")
        cases = cases_of(name)
        with tempfile.TemporaryDirectory() as t:
            clean, done = f"{t}/clean.onnx", f"{t}/done.onnx"
            Q.shape_inference.quant_pre_process(source, clean, skip_symbolic_shape=True)
            how(clean, done, lambda: Reader(clean, list(cases.values())[:1]))
            write_model(out, folder, Path(done).read_bytes(), cases)
    return make


def static(fmt, act=Q.QuantType.QUInt8, weight=Q.QuantType.QInt8, **more):
    extra = more.pop("extra", {})
    return lambda src, dst, reader: Q.quantize_static(src, dst, reader(), quant_format=fmt, activation_type=act, weight_type=weight, extra_options=extra, **more)


def dynamic(**more):
    return lambda src, dst, reader: Q.quantize_dynamic(src, dst, **more)


def four_bits(name, **more):
    def make(out, folder):
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
        q = MatMulNBitsQuantizer(onnx.load(ZOO / name / "model.onnx"), **more)
        q.process()
        write_model(out, folder, q.model.model, cases_of(name))
    return make


def half(name, keep=True):
    def make(out, folder):
        from onnxruntime.transformers.float16 import convert_float_to_float16
        model = convert_float_to_float16(onnx.load(ZOO / name / "model.onnx"), keep_io_types=keep)
        write_model(out, folder, model, {c: [x if keep or x.dtype != np.float32 else x.astype(np.float16) for x in v] for c, v in cases_of(name).items()})
    return make


def optimised(name, kind=None, level=99, **more):
    """ONNX Runtime's own optimised graph, or its transformer optimiser's where `kind` is given."""
    def make(out, folder):
        source = ZOO / name / "model.onnx"
        with tempfile.TemporaryDirectory() as t:
            done = f"{t}/done.onnx"
            if kind:
                from onnxruntime.transformers import optimizer
                optimizer.optimize_model(str(source), kind, opt_level=0, **more).save_model_to_file(done)
            else:
                o = onnxruntime.SessionOptions()
                o.optimized_model_filepath = done
                o.graph_optimization_level = onnxruntime.GraphOptimizationLevel(level)
                onnxruntime.InferenceSession(str(source), o, providers=["CPUExecutionProvider"])
            write_model(out, folder, Path(done).read_bytes(), cases_of(name))
    return make


def by_tool(name, tool):
    def make(out, folder):
        write_model(out, folder, tool(onnx.load(ZOO / name / "model.onnx")), cases_of(name))
    return make


def simplified(model):
    import onnxsim
    return onnxsim.simplify(model)[0]


def slimmed(model):
    import onnxslim
    return onnxslim.slim(model)


def passes_of_optimizer(model):
    import onnxoptimizer
    return onnxoptimizer.optimize(model, [p for p in onnxoptimizer.get_fuse_and_elimination_passes()])


def converted(name, version):
    return by_tool(name, lambda m: onnx.version_converter.convert_version(m, version))


# ---- forms of files ----
def model_of(nodes, inputs, outputs, inits=(), opset=17, ir=8, functions=(), **more):
    info = lambda d: [H.make_tensor_value_info(n, t, s) for n, (t, s) in d.items()]
    g = H.make_graph(nodes, "g", info(inputs), info(outputs), [N.from_array(v, k) for k, v in dict(inits).items()], **more)
    opsets = [H.make_opsetid("", opset)] + [H.make_opsetid(d, 1) for d in {f.domain for f in functions}]
    return H.make_model(g, opset_imports=opsets, ir_version=ir, functions=list(functions))


def mlp(ir=8, opset=17, listed=False):
    w, b, v = f32(6, 16, scale=0.3), f32(16), f32(16, 3, scale=0.3)
    nodes = [H.make_node("MatMul", ["x", "w"], ["a"]), H.make_node("Add", ["a", "b"], ["c"]), H.make_node("Tanh", ["c"], ["d"]), H.make_node("MatMul", ["d", "v"], ["y"])]
    inputs = {"x": (T.FLOAT, ["N", 6])}
    if listed:
        inputs.update({"w": (T.FLOAT, [6, 16]), "b": (T.FLOAT, [16]), "v": (T.FLOAT, [16, 3])})
    return model_of(nodes, inputs, {"y": (T.FLOAT, ["N", 3])}, {"w": w, "b": b, "v": v}, opset, ir)


def batches(width=6):
    return {"b1": [f32(1, width)], "b5": [f32(5, width)]}


def with_external(out, folder):
    d = Path(out) / folder
    write_model(out, folder, mlp(), batches())
    onnx.save(mlp(), d / "model.onnx", save_as_external_data=True, all_tensors_to_one_file=True, location="weights.bin", size_threshold=0)


def with_functions(out, folder):
    inner = H.make_function("local", "Square", ["x"], ["y"], [H.make_node("Mul", ["x", "x"], ["y"])], [H.make_opsetid("", 17)])
    leaky = H.make_node("LeakyRelu", ["s"], ["y"])
    leaky.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    outer = H.make_function("local", "Block", ["x", "w"], ["y"], [H.make_node("MatMul", ["x", "w"], ["m"]), H.make_node("Square", ["m"], ["q"], domain="local"),
                            H.make_node("Sub", ["m", "q"], ["s"]), leaky], [H.make_opsetid("", 17), H.make_opsetid("local", 1)], attributes=["slope"])
    nodes = [H.make_node("Block", ["x", "w"], ["h"], domain="local", slope=0.3), H.make_node("Block", ["h", "v"], ["y"], domain="local", slope=0.2)]
    write_model(out, folder, model_of(nodes, {"x": (T.FLOAT, ["N", 6])}, {"y": (T.FLOAT, ["N", 4])}, {"w": f32(6, 6), "v": f32(6, 4)}, functions=[inner, outer]), batches())


def with_sparse(out, folder):
    dense = f32(6, 5) * (rng.random((6, 5)) < 0.3)
    at = np.flatnonzero(dense)
    sparse = H.make_sparse_tensor(N.from_array(dense.reshape(-1)[at].astype(np.float32), "w"), N.from_array(at.astype(np.int64), "w_at"), [6, 5])
    m = model_of([H.make_node("MatMul", ["x", "w"], ["y"])], {"x": (T.FLOAT, ["N", 6])}, {"y": (T.FLOAT, ["N", 5])})
    m.graph.sparse_initializer.append(sparse)
    write_model(out, folder, m, batches())


def with_training(out, folder):
    m = mlp()
    info = m.training_info.add()
    info.algorithm.CopyFrom(H.make_graph([H.make_node("Mul", ["w", "rate"], ["w_new"])], "step", [], [H.make_tensor_value_info("w_new", T.FLOAT, [6, 16])], [N.from_array(np.float32(0.9), "rate")]))
    info.update_binding.add(key="w", value="w_new")
    write_model(out, folder, m, batches())


def parsed(out, folder):
    m = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17, "f" : 1]>
      agraph (float[N, 6] x) => (float[N, M] y, int64[K] at) {
        one = Constant <value_float = 0.5> ()
        s = f.soft <beta = 2.0> (x)
        g = Greater (s, one)
        y = Where (g, s, x)
        shape = Shape (y)
        at = Identity (shape)
      }
      <domain: "f", opset_import: ["" : 17]>
      soft <beta> (x) => (y) { b = Constant <value_float: float = @beta> ()
        bx = Mul (b, x)
        y = Sigmoid (bx) }''')
    write_model(out, folder, m, batches())


def composed(out, folder):
    a = onnx.compose.add_prefix(mlp(), "a/")
    b = onnx.compose.add_prefix(model_of([H.make_node("Softmax", ["x"], ["y"])], {"x": (T.FLOAT, ["N", 3])}, {"y": (T.FLOAT, ["N", 3])}), "b/")
    write_model(out, folder, onnx.compose.merge_models(a, b, io_map=[("a/y", "b/x")]), batches())


def light(name):
    def make(out, folder):
        path = Path(onnx.__file__).parent / "backend/test/data/light" / f"{name}.onnx"
        m = onnx.load(path)
        ins = [i for i in m.graph.input if i.name not in {x.name for x in m.graph.initializer}]
        write_model(out, folder, m, {"b1": [f32(*[d.dim_value or 1 for d in i.type.tensor_type.shape.dim]) for i in ins]})
    return make


def all_models():
    m = {}
    U8, S8, U16, S16 = Q.QuantType.QUInt8, Q.QuantType.QInt8, Q.QuantType.QUInt16, Q.QuantType.QInt16
    qdq, qop = Q.QuantFormat.QDQ, Q.QuantFormat.QOperator
    for n in ("squeezenet1_1", "mobilenet_v2", "lstm_2x256", "mlp_controller", "espcn", "gru_bi_ctc", "efficientnet_b0", "unet", "vocoder"):
        m[f"q_{n}_qdq"] = quantised(n, static(qdq))
        m[f"q_{n}_qop"] = quantised(n, static(qop))
        m[f"q_{n}_dyn"] = quantised(n, dynamic())
        m[f"q_{n}_qdq_s8_pc"] = quantised(n, static(qdq, S8, S8, per_channel=True, extra={"ActivationSymmetric": True}))
    for n in ("squeezenet1_1", "mlp_controller"):
        m[f"q_{n}_u8u8"] = quantised(n, static(qop, U8, U8))
        m[f"q_{n}_qdq16"] = quantised(n, static(qdq, U16, S8))
        m[f"q_{n}_qdqs16"] = quantised(n, static(qdq, S16, S8, extra={"ActivationSymmetric": True}))
        m[f"q_{n}_w4"] = quantised(n, static(qdq, U8, Q.QuantType.QInt4)) if hasattr(Q.QuantType, "QInt4") else None
        m[f"q_{n}_dyn_pc"] = quantised(n, dynamic(per_channel=True, weight_type=S8))
        m[f"q_{n}_dyn_u8"] = quantised(n, dynamic(weight_type=U8))
        m[f"q_{n}_reduce"] = quantised(n, static(qop, reduce_range=True, per_channel=True))
    for n in ("mistral_4l_kv", "whisper_tiny_decoder_kv", "gpt2_6l_kv"):
        m[f"q_{n}_dyn"] = quantised(n, dynamic())
        m[f"q4_{n}_sym"] = four_bits(n, block_size=32, is_symmetric=True)
        m[f"q4_{n}_asym"] = four_bits(n, block_size=64, is_symmetric=False)
        m[f"q4_{n}_acc4"] = four_bits(n, block_size=128, is_symmetric=True, accuracy_level=4)
        m[f"h_{n}"] = half(n)
    for n in ("squeezenet1_1", "lstm_2x256", "unet", "espcn", "mlp_controller", "whisper_tiny_encoder"):
        m[f"h_{n}"] = half(n)
        m[f"h_{n}_io"] = half(n, keep=False)
    for n, kind, more in (("bert_base", "bert", dict(num_heads=12, hidden_size=768)), ("gpt2_6l_kv", "gpt2", dict(num_heads=12, hidden_size=768)), ("vit_b_16", "vit", {}),
                          ("whisper_tiny_encoder", "bart", dict(num_heads=6, hidden_size=384)), ("whisper_tiny_decoder_kv", "bart", dict(num_heads=6, hidden_size=384)),
                          ("mistral_4l_kv", "gpt_neox", {}), ("diffusion_unet", "unet", {}), ("decoder_opset23", "phi", {})):
        m[f"ot_{n}"] = optimised(n, kind, **more)
    for n in ("squeezenet1_1", "mobilenet_v2", "lstm_2x256", "unet", "espcn", "gru_bi_ctc", "gpt2_6l_kv", "mistral_4l_kv", "whisper_tiny_encoder", "resnet50_int8_qdq", "dlrm",
              "gnn_sum", "neural_ode_rk4", "scheduled_controller", "fno1d", "ssdlite320", "forest_digits", "svc_wine", "decoder_opset23", "mobilenet_v2_qlinear"):
        m[f"oo_{n}"] = optimised(n)
        m[f"oe_{n}"] = optimised(n, level=2)
        m[f"os_{n}"] = by_tool(n, simplified)
        m[f"ol_{n}"] = by_tool(n, slimmed)
        m[f"op_{n}"] = by_tool(n, passes_of_optimizer)
    for n in ("squeezenet1_1", "mlp_controller", "lstm_2x256", "espcn"):
        for v in (9, 12, 13, 16, 19, 21):
            m[f"v{v}_{n}"] = converted(n, v)
    m["form_external"], m["form_functions"], m["form_sparse"], m["form_training"] = with_external, with_functions, with_sparse, with_training
    m["form_parsed"], m["form_composed"] = parsed, composed
    for ir, opset in ((3, 7), (3, 8), (4, 9), (6, 11), (10, 21), (11, 23)):
        m[f"form_ir{ir}_o{opset}"] = lambda out, folder, i=ir, o=opset: write_model(out, folder, mlp(i, o, listed=i == 3), batches())
    for n in sorted(p.stem for p in (Path(onnx.__file__).parent / "backend/test/data/light").glob("*.onnx")):
        m[n] = light(n)
    return {k: v for k, v in m.items() if v}


if __name__ == "__main__":
    ZOO = Path(sys.argv.pop(2))
    build(all_models())
