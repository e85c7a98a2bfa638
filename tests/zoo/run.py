#!/usr/bin/env python3
"""Whole models against ONNX Runtime: zoo/run.py --zoo DIR [MODEL..] [--tag foundation] [--build DIR]

DIR holds MODEL/model.onnx and MODEL/<case>/input_<i>.npy (.pb for strings); --list names a zoo.json with tags, cases, tolerances. Each model is
compiled to a shared library and to an executable; every case runs in the library with 1, 2 and 3 threads (the bits must be equal) and in
the executable (the bits must equal the library's), and is compared with ONNX Runtime:
|y - ref| <= 1e-3 |ref| + 1e-4 max|ref|; with an `rtol` (quantised, half precision): rtol * max|ref| on 99.9 % of the elements; `detections`: 97 % of
the reference boxes have a partner; integers, strings and booleans: equal. --resume also goes through .ir and .kir dumps; --eval lets the
interpreter run the same program (tests/tools/evalrun), and its bits must be the library's: minutes for big models.
"""
import argparse
import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "conform")]


# ---- the reference ----

def load_input(path):
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=True)
    import onnx
    import values
    return values.tensor(onnx.TensorProto.FromString(path.read_bytes()))


def inputs_of(case):
    files = sorted(case.glob("input_*"), key=lambda f: int(f.stem.split("_")[1]))
    return files, [load_input(f) for f in files]


def reference(model, case, cache):
    """ONNX Runtime's outputs, kept in a file beside the build."""
    if not cache.exists():
        import onnxruntime as ort
        options = ort.SessionOptions()
        options.log_severity_level = 3
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        feed = {i.name: x for i, x in zip(session.get_inputs(), inputs_of(case)[1])}
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(pickle.dumps(session.run(None, feed)))
    return pickle.loads(cache.read_bytes())


# ---- the bound ----

def check_array(i, y, ref, rtol):
    y, ref = np.asarray(y), np.asarray(ref)
    if y.size == ref.size == 0 and y.ndim == ref.ndim:  # after no iteration ONNX Runtime gives 0 for a dim that it does not know
        return None
    if y.shape != ref.shape:
        return f"output {i}: shape {y.shape}, not {ref.shape}"
    if ref.dtype.kind not in "fc" and ref.dtype.name != "bfloat16":
        wrong = np.sum(y != ref)
        return f"output {i}: {wrong} of {ref.size} differ" if wrong else None
    if ref.size == 0:
        return None
    y, ref = y.astype(np.float64), ref.astype(np.float64)
    if (np.isnan(y) != np.isnan(ref)).any():
        return f"output {i}: NaN in {np.isnan(y).sum()} places, not in {np.isnan(ref).sum()}"
    top = np.nanmax(np.abs(np.where(np.isfinite(ref), ref, 0)))
    difference = np.where(y == ref, 0, np.abs(y - ref))
    bound = rtol * top if rtol else 1e-3 * np.abs(ref) + 1e-4 * top
    wrong = np.nan_to_num(difference) > bound
    if wrong.mean() > (0.001 if rtol else 0):
        worst = np.nanargmax(difference - bound)
        return f"output {i}: {wrong.sum()} of {ref.size} are out of bounds, the worst {y.flat[worst]:.6g}, not {ref.flat[worst]:.6g} (largest {top:.4g})"
    return None


def check_value(i, y, ref, rtol):
    if isinstance(ref, list):
        if not isinstance(y, list) or len(y) != len(ref):
            return f"output {i}: not a sequence of {len(ref)}"
        if ref and all(isinstance(a, dict) and isinstance(b, dict) and set(a) == set(b) == set(ref[0]) for a, b in zip(y, ref)):  # ZipMap: one array
            return check_array(i, *([[row[k] for k in ref[0]] for row in rows] for rows in (y, ref)), rtol)
        return next((e for e in (check_value(i, a, b, rtol) for a, b in zip(y, ref)) if e), None)
    if isinstance(ref, dict):
        if not isinstance(y, dict) or set(y) != set(ref):
            return f"output {i}: other keys"
        return check_array(i, [y[k] for k in ref], list(ref.values()), rtol)
    return check_array(i, y, ref, rtol)


def check_detections(got, ref):
    """Boxes [N,4], scores [N], labels [N] in any order: found by rank and dtype."""
    def parts(out):
        out = [np.asarray(o) for o in out]
        boxes = next(o for o in out if o.ndim == 2 and o.shape[1] == 4)
        scores = next(o for o in out if o.ndim == 1 and o.dtype.kind == "f")
        labels = next(o for o in out if o.ndim == 1 and o.dtype.kind == "i")
        return boxes, scores, labels
    (gb, gs, gl), (rb, rs, rl) = parts(got), parts(ref)
    size = np.abs(rb).max() if rb.size else 1
    found, free = 0, np.ones(len(gb), bool)
    for b, s, label in zip(rb, rs, rl):
        near = free & (gl == label) & (np.abs(gs - s) <= 0.01) & (np.abs(gb - b).max(1, initial=0) <= 0.01 * size)
        if near.any():
            free[np.argmax(near)] = False
            found += 1
    return None if found >= 0.97 * len(rb) else f"{found} of {len(rb)} boxes have a partner ({len(gb)} were found)"


def check(got, ref, entry):
    if entry.get("compare") == "detections":
        return check_detections(got, ref)
    return next((e for e in (check_value(i, y, r, entry.get("rtol")) for i, (y, r) in enumerate(zip(got, ref))) if e), None)


def same_bits(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and (a.tobytes() == b.tobytes() if a.dtype != object else (a == b).all())
    return a == b


# ---- one model, in a process of its own ----

class Wrong(Exception):
    pass


def compile_to(tenon, model, out, *options):
    began = time.monotonic()
    done = subprocess.run([tenon, model, "-o", out, "--name=m", "-q", *options], capture_output=True, text=True, errors="replace")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise Wrong(f"exit {done.returncode}: {lines[0]}" + (f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""))
    return time.monotonic() - began


def run_exe(exe, files, names, scratch):
    out = scratch / "out"
    out.mkdir(exist_ok=True)
    for f in out.glob("output_*"):
        f.unlink()
    feed = [w for n, f in zip(names, files) for w in ("--input", f"{n}={f}")]
    done = subprocess.run([exe, "run", *feed, "--output-dir", out], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise Wrong(f"executable: exit {done.returncode}: {(done.stderr.splitlines() or ['no message'])[0]}")
    return {int(f.stem.split("_")[1]): f for f in out.glob("output_*")}


def check_exe(exe, files, model, outputs, scratch):
    written = run_exe(exe, files, model.in_names, scratch)
    for i, y in enumerate(outputs):
        f = written.get(i)
        if f is None:
            raise Wrong(f"executable: output {i} was not written")
        if f.suffix == ".npy" and not same_bits(np.load(f), y):
            raise Wrong(f"executable: output {i} has other bits than the library's")


def check_eval(tool, path, inputs, model, outputs, scratch):
    import values
    (scratch / "in").write_bytes(values.encode(inputs, [io.type.decode() for io in model.ins]))
    done = subprocess.run([tool, path, scratch / "in", scratch / "evaluated"], capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise Wrong(f"interpreter: exit {done.returncode}: {(done.stderr.splitlines() or ['no message'])[0]}")
    for i, (y, z) in enumerate(zip(outputs, values.decode((scratch / "evaluated").read_bytes()), strict=True)):
        if not same_bits(y, z):
            raise Wrong(f"interpreter: output {i} has other bits than the library's")


def run_cases(so, exe, zoo, name, entry, cache, scratch, evalrun=None):
    import tenon_abi
    cases = list(entry.get("cases", {})) or sorted(d.name for d in (zoo / name).iterdir() if d.is_dir())
    models = [tenon_abi.Model(so, "m", t) for t in (1, 2, 3)]
    for case in cases:
        files, inputs = inputs_of(zoo / name / case)
        try:
            got = [m.run(inputs) for m in models]
        except tenon_abi.TenonError as e:
            raise Wrong(f"{case}: {e}") from None
        if not all(same_bits(got[0], g) for g in got[1:]):
            raise Wrong(f"{case}: the bits depend on the thread count")
        wrong = check(got[0], reference(zoo / name / "model.onnx", zoo / name / case, cache / name / f"{case}.pickle"), entry)
        if wrong:
            raise Wrong(f"{case}: {wrong}")
        if evalrun:
            check_eval(evalrun, zoo / name / "model.onnx", inputs, models[0], got[0], scratch)
        if exe:
            check_exe(exe, files, models[0], got[0], scratch)
    return len(cases)


def resumed(tenon, model, scratch, kind):
    dump = scratch / f"m.{kind}"
    compile_to(tenon, model, dump)
    compile_to(tenon, dump, scratch / f"m-{kind}.so")
    return scratch / f"m-{kind}.so"


def one(a, name, entry):
    """Runs in a child: prints a line of JSON."""
    tenon, result = a.build / "tenon", {"ok": False}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        try:
            model = a.zoo / name / "model.onnx"
            result["compile_s"] = compile_to(tenon, model, scratch / "m.so", *a.option)
            result["peak_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            result["so_mb"] = (scratch / "m.so").stat().st_size / 1e6
            if not a.no_exe:
                compile_to(tenon, model, scratch / "m", *a.option)
            result["cases"] = run_cases(scratch / "m.so", None if a.no_exe else scratch / "m", a.zoo, name, entry, a.build / "zoo", scratch,
                                        a.build / "evalrun" if a.eval else None)
            for kind in ("ir", "kir") if a.resume else ():
                try:
                    run_cases(resumed(tenon, model, scratch, kind), None, a.zoo, name, entry, a.build / "zoo", scratch)
                except Wrong as e:
                    raise Wrong(f"resumed from .{kind}: {e}") from None
            result["ok"] = True
        except Wrong as e:
            result["text"] = str(e)
    print(json.dumps(result))


def with_locale(build):
    """The environment for children: ONNX Runtime's StringNormalizer wants the en_US.UTF-8 locale, so one is made beside the build."""
    folder = build / "locale"
    if not (folder / "en_US.UTF-8").exists() and Path("/usr/share/i18n/locales/en_US").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", folder / "en_US.UTF-8"], capture_output=True)
    return {**os.environ, "LOCPATH": str(folder)} if (folder / "en_US.UTF-8").exists() else dict(os.environ)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*")
    p.add_argument("--zoo", type=Path, required=True)
    p.add_argument("--list", type=Path, help="zoo.json")
    p.add_argument("--tag", help="only models with that tag")
    p.add_argument("--build", type=Path, default=ROOT / "build")
    p.add_argument("--no-exe", action="store_true")
    p.add_argument("--resume", action="store_true", help="also compile from .ir and .kir dumps")
    p.add_argument("--eval", action="store_true", help="also let the interpreter run it")
    p.add_argument("--option", action="append", default=[])
    p.add_argument("--timeout", type=float, default=600)
    p.add_argument("--one", help=argparse.SUPPRESS)
    a = p.parse_args()
    a.zoo, a.build = a.zoo.resolve(), a.build.resolve()
    entries = json.loads(a.list.read_text()) if a.list else {}
    if a.one:
        one(a, a.one, entries.get(a.one, {}))
        return
    names = a.models or [n for n in (entries or sorted(d.name for d in a.zoo.iterdir())) if (a.zoo / n / "model.onnx").exists()
                         and (not a.tag or a.tag in entries.get(n, {}).get("tags", []))]
    passed, env = 0, with_locale(a.build)
    print(f"{'model':26} {'compile s':>9} {'peak MB':>8} {'.so MB':>8}  cases")
    for n in names:
        try:
            done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", n], capture_output=True, text=True, timeout=a.timeout, env=env)
            lines = done.stdout.splitlines()
            r = json.loads(lines[-1]) if done.returncode == 0 and lines else {
                "ok": False, "text": f"crashed: signal {-done.returncode}" if done.returncode < 0 else (done.stderr.splitlines() or ["?"])[-1]}
        except subprocess.TimeoutExpired:
            r = {"ok": False, "text": f"no end after {a.timeout:.0f} s"}
        passed += r["ok"]
        numbers = f"{r.get('compile_s', float('nan')):9.2f} {r.get('peak_mb', 0):8} {r.get('so_mb', float('nan')):8.2f}"
        print(f"{n:26} {numbers}  {'ok ' + str(r['cases']) if r['ok'] else r['text']}", flush=True)
    print(f"zoo: {passed} of {len(names)} models agree")
    sys.exit(0 if passed == len(names) else 1)


if __name__ == "__main__":
    main()
