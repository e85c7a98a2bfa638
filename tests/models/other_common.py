"""What the builders of models share: a model and its cases as a folder of the zoo (tests/zoo/run.py and bench/compare.py run those)."""
import sys
import traceback
from pathlib import Path

import numpy as np
import onnx

BATCHES = (1, 7, 1000)


def write_case(folder, inputs):
    """inputs: arrays in graph order. Strings go to .pb, everything else to .npy."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, x in enumerate(inputs):
        x = np.asarray(x)
        if x.dtype.kind in "OUS":
            texts = onnx.helper.make_tensor(f"{i}", onnx.TensorProto.STRING, x.shape, [str(s).encode() for s in x.reshape(-1)])
            (folder / f"input_{i}.pb").write_bytes(texts.SerializeToString())
        else:
            np.save(folder / f"input_{i}.npy", x)


def write_model(out, name, model, cases):
    """model: a ModelProto or bytes. cases: name -> arrays."""
    folder = Path(out) / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    for case, inputs in cases.items():
        write_case(folder / case, inputs)


def build(builders):
    """builders: name -> function of a folder. Command line: OUT [REGEX]."""
    import re
    out, pattern = Path(sys.argv[1]), re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
    made = 0
    for name, builder in builders.items():
        if not pattern.search(name):
            continue
        try:
            builder(out, name)
            made += 1
        except Exception as e:  # what an exporter cannot export is no finding of ours
            print(f"{name}: not made: {type(e).__name__}: {str(e).splitlines()[0][:200] if str(e) else ''}", flush=True)
            if "-v" in sys.argv:
                traceback.print_exc()
    print(f"{made} models in {out}")
