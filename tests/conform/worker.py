"""A worker of run.py: worker.py BACKEND BUILD SUITE SCRATCH [tenon's options]. Reads test names, answers a line of JSON each:
{"ok": .., "stage": compile|load|run|compare, "text": .., "compile_s": ..}. It may crash: run.py starts another."""
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import numpy as np  # noqa: E402

import properties  # noqa: E402
import tenon_abi  # noqa: E402
import values  # noqa: E402
from onnx.backend.test.runner import Runner  # noqa: E402


class Failed(Exception):
    def __init__(self, stage, text):
        super().__init__(text)
        self.stage = stage


def first_error(stderr):
    """The first error of tenon's JSON diagnostics, as `code text`, and the op it names."""
    for line in stderr.splitlines():
        try:
            d = json.loads(line)
        except ValueError:
            continue
        if d.get("level") == "error":
            node = d.get("node", {})
            more = " ".join(f"{k}: {d[k]}" for k in ("expected", "found") if k in d)
            return f"[{d['code']}] {node.get('op', '')} {d.get('text', '')} {more}".replace("  ", " ").strip()
    return next((line for line in stderr.splitlines() if line.strip()), "no message")


def spawn(command):  # run.py ends what takes too long
    return subprocess.run(command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)


def check_exit(done):
    if done.returncode < 0:
        raise Failed("bug", f"the compiler crashed: signal {-done.returncode}")
    if done.returncode == 1:
        raise Failed("bug", next((line for line in done.stderr.splitlines() if "internal error" in line), f"exit {done.returncode}: {first_error(done.stderr)}"))
    if done.returncode:
        raise Failed(f"exit {done.returncode}", first_error(done.stderr))


class Backend:
    def __init__(self, build, scratch, options):
        self.build, self.scratch, self.options = build, scratch, options

    def notes(self):
        """What a result says besides: a dict."""
        return {}


class Llvm(Backend):
    def compile(self, model, types):
        self.so = self.scratch / f"{model.parent.name}.{os.getpid()}.so"  # dlopen remembers paths
        check_exit(spawn([self.build / "tenon", model, "-o", self.so, "--name=m", "-q", "-j1", "--diagnostics=json", *self.options]))
        try:
            self.model = tenon_abi.Model(self.so, "m")
        except (OSError, RuntimeError, tenon_abi.TenonError) as e:
            raise Failed("load", str(e)) from None

    def run(self, inputs):
        try:
            return self.model.run(inputs)
        except tenon_abi.TenonError as e:
            raise Failed("run", str(e)) from None

    def close(self):
        if getattr(self, "model", None):
            self.model.close()
        self.model = None
        for f in self.scratch.glob(f"*.{os.getpid()}.*"):
            f.unlink()


class Eval(Backend):
    def compile(self, model, types):
        self.model, self.types = model, types
        self.said = ""

    def run(self, inputs):
        ins, outs = self.scratch / f"in.{os.getpid()}", self.scratch / f"out.{os.getpid()}"
        ins.write_bytes(values.encode(inputs, self.types))
        done = spawn([self.build / "evalrun", *self.options, self.model, ins, outs])
        check_exit(done)
        self.said = done.stdout
        return values.decode(outs.read_bytes())

    def close(self):
        for f in self.scratch.glob(f"*.{os.getpid()}"):
            f.unlink()


class Cuda(Eval):
    """The interpreter's host program with the CUDA C of its kernels, run on the CPU."""

    def __init__(self, build, scratch, options):
        super().__init__(build, scratch, ["--cuda", *options])

    def compile(self, model, types):
        super().compile(model, types)
        self.emulations = self.scratch / f"emulations-{os.getpid()}"  # of one model: each is compiled once, however often it runs
        self.emulations.mkdir(exist_ok=True)
        os.environ["TENON_EMULATIONS"] = str(self.emulations)

    def notes(self):
        """The operators that ran on the host."""
        return {"host": sorted({line.split()[1] for line in self.said.splitlines() if line.startswith("host ")})}

    def close(self):
        super().close()
        shutil.rmtree(self.emulations, ignore_errors=True)


class Nvrtc(Backend):
    """Only compiles the kernels, by NVIDIA's compiler: what the emulation's C compiler accepts is more."""

    def compile(self, model, types):
        out = self.scratch / f"{os.getpid()}.cubin"
        check_exit(spawn([self.build / "tenon", model, "-o", out, "--emit=cubin", "-q", "--diagnostics=json", *self.options]))

    def run(self, inputs):
        return None

    def close(self):
        (self.scratch / f"{os.getpid()}.cubin").unlink(missing_ok=True)


def flat(values, like=None):
    """Tensors of outputs, those of sequences one by one (the suite's comparison cannot take a sequence of scalars); no value where none is wanted."""
    like = values if like is None else like
    for v, w in zip(values, like):
        if isinstance(w, list):
            assert isinstance(v, list) and len(v) == len(w), f"not a sequence of {len(w)}"
            yield from flat(v, w)
        elif w is not None:
            assert v is not None and not isinstance(v, list), "no tensor"
            yield v


def compare(name, meta, inputs, wanted, got, run):
    """With the suite's own comparison, or the property that stands for it."""
    rule = properties.rule_of(name)
    try:
        if rule:
            rule(meta, inputs, wanted, got, run)
            return
        assert len(wanted) <= len(got), f"{len(got)} outputs, not {len(wanted)}"
        for want, have in zip(flat(wanted), flat(got, like=wanted)):
            Runner.assert_similar_outputs([want], [have], meta["rtol"], meta["atol"])
    except AssertionError as e:
        text = " ".join(str(e).split())
        raise Failed("compare", text[:300]) from None
    except (AttributeError, TypeError, ValueError, IndexError) as e:
        raise Failed("compare", f"{type(e).__name__}: {e}"[:300]) from None


def run_test(backend, suite, name):
    folder = suite / name
    meta = json.loads((folder / "meta.json").read_text())
    began = time.monotonic()
    try:
        backend.compile(folder / "model.onnx", [io["type"] for io in meta["inputs"]])
        compiled = time.monotonic() - began
        for data in sorted(d for d in folder.iterdir() if d.is_dir()):
            inputs = [values.load(data / f"in{i}.pb", io["type"]) for i, io in enumerate(meta["inputs"])]
            wanted = [values.load(data / f"out{i}.pb", io["type"]) for i, io in enumerate(meta["outputs"])]
            got = backend.run(inputs)
            if got is not None:
                compare(name, meta, inputs, wanted, got, lambda: backend.run(inputs))
        return {"ok": True, "compile_s": round(compiled, 4), **backend.notes()}
    except Failed as e:
        return {"ok": False, "stage": e.stage, "text": str(e)}
    finally:
        backend.close()


def main():
    kind, build, suite, scratch = sys.argv[1], *map(Path, sys.argv[2:5])
    warnings.filterwarnings("ignore")
    np.seterr(all="ignore")
    backend = {"llvm": Llvm, "eval": Eval, "cuda": Cuda, "nvrtc": Nvrtc}[kind](build, scratch, sys.argv[5:])
    for line in sys.stdin:
        print(json.dumps(run_test(backend, suite, line.strip())), flush=True)


if __name__ == "__main__":
    main()
