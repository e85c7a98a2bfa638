#!/usr/bin/env python3
"""Tenon against ONNX Runtime, interleaved in one process, one thread: compare.py [--build DIR] [--seconds S] ZOO [MODEL..]

ZOO is a folder of MODEL/model.onnx and MODEL/<case>/input_<i>.npy; the first case (by the order in ZOO's zoo.json, if given by --list) is timed.
The ratio is ONNX Runtime's median over Tenon's: above 1 Tenon is faster.
"""
import argparse
import json
import sys
import tempfile
from pathlib import Path

from common import ROOT, compile_model, cpu_name, measure


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("zoo", type=Path)
    p.add_argument("models", nargs="*")
    p.add_argument("--build", type=Path, default=ROOT / "build")
    p.add_argument("--seconds", type=float, default=1.5)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--list", type=Path, help="zoo.json: names, tags and cases")
    p.add_argument("--tag", default="speed")
    p.add_argument("--json", type=Path, help="write the results there")
    a = p.parse_args()
    entries = json.loads(a.list.read_text()) if a.list else {}
    names = a.models or [n for n in sorted(d.name for d in a.zoo.iterdir() if (d / "model.onnx").exists())
                         if not entries or a.tag in entries.get(n, {}).get("tags", [])]
    results, failures = {}, 0
    print(f"{cpu_name()}, {a.threads} thread\n{'model':26} {'case':14} {'ORT us':>10} {'tenon us':>10} {'ratio':>7}")
    with tempfile.TemporaryDirectory() as scratch:
        for n in names:
            cases = list(entries.get(n, {}).get("cases", {})) or sorted(d.name for d in (a.zoo / n).iterdir() if d.is_dir())
            case = a.zoo / n / cases[0]
            inputs = sorted(case.glob("input_*.npy"), key=lambda f: int(f.stem.split("_")[1]))
            so = Path(scratch) / f"{n}.so"
            wrong = compile_model(a.build, a.zoo / n / "model.onnx", so)
            try:
                if wrong:
                    raise RuntimeError(wrong)
                r = measure(a.build, so, inputs, a.zoo / n / "model.onnx", seconds=a.seconds, threads=a.threads)
                r["ratio"] = r["ort_us"] / r["tenon_us"]
                print(f"{n:26} {case.name:14} {r['ort_us']:10.1f} {r['tenon_us']:10.1f} {r['ratio']:7.2f}", flush=True)
            except RuntimeError as e:
                failures += 1
                r = {"error": str(e)}
                print(f"{n:26} {case.name:14} {e}", flush=True)
            so.unlink(missing_ok=True)
            results[n] = r
    good = sorted((r["ratio"], n) for n, r in results.items() if "ratio" in r)
    if good:
        mean = 1.0
        for ratio, _ in good:
            mean *= ratio ** (1 / len(good))
        print(f"{len(good)} models: geometric mean {mean:.2f}, worst {good[0][1]} {good[0][0]:.2f}, best {good[-1][1]} {good[-1][0]:.2f}; {failures} failed")
    if a.json:
        a.json.write_text(json.dumps({"cpu": cpu_name(), "threads": a.threads, "models": results}, indent=1))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
