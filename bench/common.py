"""What the benchmarks share: building artifacts, running build/measure."""
import json
import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def ort_library():
    import onnxruntime
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if not found:
        raise SystemExit("the onnxruntime package here has no libonnxruntime.so")
    return found[0]


def compile_model(build, model, out, options=()):
    """None, or the first line of what tenon said."""
    done = subprocess.run([build / "tenon", model, "-o", out, "--name=m", "-q", *options], capture_output=True, text=True, errors="replace")
    return None if done.returncode == 0 else (done.stderr.splitlines() or [f"exit {done.returncode}"])[0]


def measure(build, so, inputs, model=None, peak=False, seconds=1.0, threads=1):
    command = [build / "measure", "--seconds", str(seconds), "--threads", str(threads)]
    if model:
        command += ["--ort", ort_library(), model]
    if peak:
        command.append("--peak")
    core = max(os.sched_getaffinity(0))
    pin = ["taskset", "-c", str(core)] if threads == 1 else []
    done = subprocess.run([*pin, *command, so, "m", *inputs], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise RuntimeError((done.stderr.splitlines() or [f"signal {-done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def cpu_name():
    return re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
