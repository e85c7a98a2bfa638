#!/usr/bin/env python3
"""Models as PyTorch's exporters write them: export.py OUT [REGEX..] [--list]

Writes OUT/NAME.EXPORTER/model.onnx and OUT/NAME.EXPORTER/<case>/input_<i>.npy, the folders that tests/zoo/run.py and bench/compare.py read. The weights are
random (nothing is downloaded) and no norm is left at its identity. EXPORTER is `dynamo18` (torch.export) or `ts9` .. `ts17` (TorchScript). A case is kept only if ONNX
Runtime runs it, as an exporter may have frozen a size. What an exporter itself cannot do is said and skipped. Wants torch, torchvision, torchaudio,
transformers, timm, onnxscript, onnxruntime.
"""
import argparse
import importlib
import os
import re
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
import torchvision  # noqa: F401  (imported before the forks)
import transformers

HERE = Path(__file__).resolve().parent
FILES = ["science", "audio", "text", "vision"]
sys.path.insert(0, str(HERE))


def masks_without_vmap():
    """Neither exporter knows vmap, with which transformers makes its masks; as Optimum does."""
    from transformers.integrations.executorch import sdpa_mask_without_vmap
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    def eager(*a, dtype=torch.float32, **k):
        k.pop("allow_is_causal_skip", None)
        seen = sdpa_mask_without_vmap(*a, allow_is_causal_skip=False, **k)
        return torch.where(seen, torch.tensor(0.0, dtype=dtype), torch.finfo(dtype).min)
    ALL_MASK_ATTENTION_FUNCTIONS.register("sdpa", sdpa_mask_without_vmap)
    ALL_MASK_ATTENTION_FUNCTIONS.register("eager", eager)


def builders():
    table = {}
    for f in FILES:
        for name, entry in importlib.import_module(f).MODELS.items():
            table[name] = entry
    return table


def shake(module):
    """Norms and biases away from 1 and 0, and statistics too."""
    for name, p in module.named_parameters():
        if p.is_floating_point() and p.dim() <= 1:
            p.data.add_(torch.randn_like(p) * 0.1)
    for name, b in module.named_buffers():
        if name.endswith("running_mean"):
            b.data.copy_(torch.randn_like(b) * 0.1)
        if name.endswith("running_var"):
            b.data.copy_(torch.rand_like(b) + 0.5)


def to_file(exporter, module, example, names, axes, path):
    if exporter.startswith("ts"):
        torch.onnx.export(module, example, str(path), opset_version=int(exporter[2:]), input_names=names, dynamic_axes=axes, dynamo=False)
        return
    shapes = tuple({a: torch.export.Dim.DYNAMIC for a in axes.get(n, {})} for n in names)
    try:
        program = torch.onnx.export(module, example, opset_version=int(exporter[6:]), input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False)
    except Exception:  # a size that the model itself fixes
        shapes = tuple({a: torch.export.Dim.AUTO for a in axes.get(n, {})} for n in names)
        program = torch.onnx.export(module, example, opset_version=int(exporter[6:]), input_names=names, dynamic_shapes=shapes, dynamo=True, verbose=False)
    program.save(str(path), external_data=False)


def keep_cases(path, names, cases):
    """Writes the cases that ONNX Runtime runs; says how many."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    used = [i.name for i in session.get_inputs()]
    kept = 0
    for c, values in enumerate(cases):
        feed = {n: v.numpy() if hasattr(v, "numpy") else v for n, v in zip(names, values) if n in used}
        try:
            session.run(None, feed)
        except Exception as e:
            print(f"    case {c} is not for this export: {str(e).splitlines()[0][:150]}")
            continue
        folder = path.parent / f"c{c}"
        folder.mkdir(exist_ok=True)
        for i, n in enumerate(used):
            np.save(folder / f"input_{i}.npy", feed[n])
        kept += 1
    return kept


def one(out, name, exporter):
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.manual_seed(7)
    module, names, cases, axes = builders()[name][0]()
    cases = [tuple(c) for c in cases]
    folder = out / f"{name}.{exporter}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    if isinstance(module, torch.nn.Module):
        module.eval()
        shake(module)
    with torch.no_grad():
        if isinstance(module, torch.nn.Module):
            example = max(cases, key=lambda c: min(t.shape[0] if t.dim() else 2 for t in c))  # a size of 1 would be taken for a constant
            to_file(exporter, module, example, names, axes, path)
        else:  # writes its file itself
            module(path, exporter)
    print(f"{folder.name:40} {path.stat().st_size / 1e6:7.1f} MB, {keep_cases(path, names, cases)} of {len(cases)} cases")


def child(out, name, exporter, log):
    """In a fork: the libraries are imported once, and a model that takes the process down takes only its own."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(400)
    f = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(f, 1)
    os.dup2(f, 2)
    try:
        one(out, name, exporter)
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out", type=Path)
    p.add_argument("which", nargs="*", default=[""])
    p.add_argument("--list", action="store_true")
    p.add_argument("--again", action="store_true", help="also those that are there")
    a = p.parse_args()
    masks_without_vmap()
    torch.backends.mha.set_fastpath_enabled(False)
    table = builders()
    torch.set_num_threads(1)
    for name, (_, exporters) in table.items():
        for exporter in exporters.split():
            full = f"{name}.{exporter}"
            if not any(re.search(w, full) for w in a.which):
                continue
            if a.list or (not a.again and list((a.out / full).glob("c*/input_0.npy"))):
                print(full)
                continue
            (a.out / full).mkdir(parents=True, exist_ok=True)
            began, log = time.monotonic(), a.out / full / "export.log"
            ok = os.waitpid(child(a.out, name, exporter, log), 0)[1] == 0
            lines = log.read_text(errors="replace").splitlines() or ["killed"]
            said = [x for x in lines if x.startswith((full, "    case"))] if ok else [f"{full:40} cannot be exported: {lines[-1][:200]}"]
            print("\n".join(said), f" {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
