#!/usr/bin/env python3
"""The command line: every row of the option table, exit codes, diagnostics, dumps that compile on, libtenon. cli.py --build DIR"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "samples/digits/digits.onnx"
TESTS = []


def test(f):
    TESTS.append(f)
    return f


class Cli:
    def __init__(self, build, folder):
        self.build, self.dir = build, folder

    def run(self, *args, **more):
        return subprocess.run([self.build / "tenon", *map(str, args)], capture_output=True, text=True, errors="replace", cwd=self.dir,
                              stdin=subprocess.DEVNULL, timeout=120, **more)

    def ok(self, *args):
        done = self.run(*args)
        assert done.returncode == 0, f"{args}: exit {done.returncode}: {done.stderr[:400]}"
        return done

    def fails(self, code, text, *args):
        done = self.run(*args)
        assert done.returncode == code, f"{args}: exit {done.returncode}, not {code}: {done.stderr[:400]}"
        assert text in done.stderr, f"{args}: {text!r} is not in {done.stderr[:400]!r}"
        return done


@test
def help_names_every_option(t):
    text = t.ok("--help").stdout
    rows = json.loads(t.ok("--print=options-json").stdout)
    assert len(rows) > 20
    for r in rows:
        assert r["option"] in text, r["option"]
    assert max(map(len, text.splitlines())) <= 125, "a line of the help is too long"


@test
def every_default_is_taken(t):
    """A row's default, given explicitly, is accepted."""
    for r in json.loads(t.ok("--print=options-json").stdout):
        if r["kind"] in ("enum", "one") and r["default"] and "*" not in r["where"]:
            value = r["option"] + ("" if r["option"] == "-O" else "=" if r["option"].startswith("--") else " ") + r["default"]
            done = t.run("check", MODEL, value) if "c" in r["where"] else t.run(MODEL, "--emit=ir", value)
            assert done.returncode != 2, f"{value}: {done.stderr}"


@test
def manual_and_completion(t):
    assert t.ok("--print=man").stdout.startswith(".TH TENON 1")
    script = t.ok("--print=bash-completion").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    assert "7 " in t.ok("--print=exit-codes").stdout and "infer" in t.ok("--print=passes").stdout


@test
def the_operator_table(t):
    """Every row is in one family, and the counts are those of the names."""
    table = json.loads(t.ok("--print=ops-json").stdout)
    text = t.ok("--print=ops").stdout
    assert max(map(len, text.splitlines())) <= 125
    families = re.findall(r"^(\w+) (\d+): .*\n((?:  .*\n)+)", text, re.M)
    assert {f for f, _, _ in families} == {r["family"] for r in table["ops"]}
    for family, count, names in families:
        rows = [".".join(filter(None, (r["domain"], r["name"]))) for r in table["ops"] if r["family"] == family]
        assert names.split() == rows and int(count) == len(rows), family
    assert "f32" in table["classes"]["f"] and "i32" not in table["classes"]["f"]


@test
def wrong_options(t):
    t.fails(2, "did you mean --emit?", MODEL, "--emti=ir")
    t.fails(2, "did you mean exe?", MODEL, "--emit=exec", "-o", "x")
    t.fails(2, "there is no option --em", MODEL, "--em=ir")
    t.fails(2, "needs FILE", MODEL, "-o")
    t.fails(2, "there are two models", MODEL, MODEL)
    t.fails(2, "no model", "-O2")
    t.fails(2, "takes no value", MODEL, "--verify=yes", "--emit=ir")
    t.fails(2, "a number", MODEL, "-j", "many", "-o", "x")
    t.fails(2, "a size", MODEL, "--max-memory=much", "-o", "x")
    t.fails(2, "there is no pass", MODEL, "--emit=ir", "--dump-after=simplfy")
    t.fails(2, "no such target", MODEL, "--cpu=x86-64-v33", "-o", "x")
    t.fails(2, "does not go with", "check", MODEL, "--emit=ir")
    t.fails(2, "--dim takes", MODEL, "--dim", "N=5..3", "--emit=ir")
    t.fails(2, "", MODEL, "--dim", "nosuch=5", "--emit=ir")


@test
def outputs(t):
    t.fails(2, "-o FILE", MODEL)
    t.fails(2, "needs -o", MODEL, "--emit=so")
    t.fails(2, "suffix", MODEL, "-o", "m.xyz")
    t.fails(7, "cannot write", MODEL, "-o", "nowhere/at/all.so")
    copy = t.dir / "copy.onnx"
    shutil.copy(MODEL, copy)
    t.fails(2, "overwrite the input", copy, "--emit=so", "-o", copy)
    t.ok(MODEL, "-o", "v1")
    (t.dir / "into").mkdir()
    t.ok(MODEL, "--emit=so", "-o", "into")
    assert (t.dir / "into/libdigits.so").exists()
    t.ok(MODEL, "--emit=exe", "-o", "m.xyz")
    assert os.access(t.dir / "m.xyz", os.X_OK)


@test
def wrong_inputs(t):
    t.fails(3, "", "missing.onnx", "-o", "x")
    (t.dir / "text.onnx").write_text("this is no model")
    t.fails(4, "", "text.onnx", "-o", "x")
    (t.dir / "empty.ir").write_text("")
    assert t.run("empty.ir", "-o", "x").returncode in (3, 4)
    assert not (t.dir / "x").exists()


@test
def kinds(t):
    for kind, mark in (("ir", "graph "), ("kernels", "kernel "), ("llvm", "define "), ("asm", ".text"), ("cuda", "__global__")):
        assert mark in t.ok(MODEL, f"--emit={kind}").stdout, kind
    for suffix, magic in ((".so", b"\x7fELF"), (".a", b"!<arch>"), (".o", b"\x7fELF"), ("", b"\x7fELF")):
        t.ok(MODEL, "-o", f"k{suffix}")
        assert (t.dir / f"k{suffix}").read_bytes().startswith(magic), suffix


@test
def same_input_same_bytes(t):
    t.ok(MODEL, "-o", "one.so", "--name=m")
    t.ok(MODEL, "-o", "two.so", "--name=m", "-j1")
    one, two = (t.dir / "one.so").read_bytes(), (t.dir / "two.so").read_bytes()
    assert len(one) == len(two) and sum(a != b for a, b in zip(one, two)) < 64, "two runs differ"  # the soname may


@test
def response_files_and_order(t):
    (t.dir / "opts").write_text("--emit=ir 'quoted word.onnx'")
    shutil.copy(MODEL, t.dir / "quoted word.onnx")
    assert "graph " in t.ok("@opts").stdout
    assert "graph " in t.ok("--emit=kernels", MODEL, "--emit=ir").stdout, "the last one wins"
    shutil.copy(MODEL, t.dir / "-odd.onnx")
    assert "graph " in t.ok("--emit=ir", "--", "-odd.onnx").stdout


@test
def what_is_missing_is_named_together(t):
    """Operators nobody knows, in all graphs and functions; forms of known ones that cannot be lowered."""
    from onnx import TensorProto, helper
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8])
    node = lambda op, y, domain="", **attrs: helper.make_node(op, ["x"], [y], domain=domain, **attrs)
    domains = [helper.make_opsetid(d, v) for d, v in (("", 21), ("mine", 1), ("com.microsoft", 1), ("f", 1))]

    def save(name, nodes, outputs, functions=()):
        graph = helper.make_graph(nodes, "g", [value("x"), helper.make_tensor_value_info("c", TensorProto.BOOL, [])], [value(o) for o in outputs])
        model = helper.make_model(graph, functions=functions, opset_imports=domains, ir_version=10)
        (t.dir / name).write_bytes(model.SerializeToString())

    branch = lambda op, y: helper.make_graph([node(op, y, "mine")], op, [], [value(y)])
    function = helper.make_function("f", "Call", ["x"], ["y"], [node("InFunction", "y", "mine")], domains)
    save("unknown.onnx", [node("Strange", "a"), node("BeamSearch", "b", "com.microsoft"), node("Call", "d", "f"),
                          helper.make_node("If", ["c"], ["e"], then_branch=branch("Inner", "t"), else_branch=branch("Other", "o"))], "abde", [function])
    error = t.run("check", "unknown.onnx").stderr
    for name in ("Strange", "BeamSearch", "keep the loop in the application", "InFunction", "Inner", "Other"):
        assert name in error, error
    fused = lambda y, activation: helper.make_node("FusedMatMulActivation", ["x", "x"], [y], domain="com.microsoft", transB=1, activation=activation)
    save("forms.onnx", [fused("a", "Nope"), node("Relu", "b"), fused("d", "Never")], "abd")
    done = t.run("forms.onnx", "-o", "forms.so")
    assert done.returncode == 5 and "'Nope'" in done.stderr and "'Never'" in done.stderr, done.stderr


@test
def json_diagnostics(t):
    done = t.fails(3, "", "missing.onnx", "-o", "x", "--diagnostics=json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[0]["level"] == "error" and lines[0]["exit"] == 3 and lines[0]["text"]
    assert lines[-1]["level"] == "summary" and lines[-1]["exit"] == 3 and lines[-1]["errors"] == 1
    done = t.ok(MODEL, "-o", "j.so", "--diagnostics=json")
    summary = json.loads(done.stderr.splitlines()[-1])
    assert summary["outputs"] == ["j.so"] and summary["seconds"] > 0
    assert not done.stdout


@test
def dumps_round_trip_and_compile_on(t):
    t.ok(MODEL, "-o", "d.so", "--dump-after=all", "--dump-dir=.", "--verify")
    dumps = sorted(t.dir.glob("*-after-*.*ir"))
    assert len(dumps) >= 10
    done = subprocess.run([t.build / "roundtrip", *dumps], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:600]
    for emit, suffix in (("ir", "ir"), ("kernels", "kir")):
        t.ok(MODEL, f"--emit={emit}", "-o", f"resumed.{suffix}")
        t.ok(f"resumed.{suffix}", "-o", f"resumed-{suffix}.so")
    assert "graph " in t.ok(MODEL, "--stop-after=infer").stdout
    assert "program " in t.ok(MODEL, "--stop-after=lower").stdout


@test
def check_and_inspect(t):
    assert "compiles" in t.ok("check", MODEL).stdout
    assert "Conv" in t.ok("inspect", MODEL).stdout
    facts = json.loads(t.ok("inspect", "--json", MODEL).stdout)
    assert facts["operators"]["Gemm"] == 2 and facts["inputs"][0]["name"] == "image"
    t.ok(MODEL, "-o", "i.so")
    assert "target" in t.ok("inspect", "i.so").stdout
    t.fails(4, "not one that tenon wrote", "inspect", t.build / "tenon")


@test
def times_and_limits(t):
    times = json.loads(t.ok(MODEL, "-o", "t.so", "--time-passes=json").stderr.splitlines()[-1])
    assert times["all"] > 0 and "schedule" in times
    assert "schedule" in t.ok(MODEL, "-o", "t.so", "--time-passes").stderr
    t.fails(6, "memory", MODEL, "-o", "t.so", "--max-memory=100K")


@test
def colour_and_control_characters(t):
    assert "\033[" in t.run("missing.onnx", "-o", "x", "--color=always").stderr
    assert "\033[" not in t.run("missing.onnx", "-o", "x").stderr
    assert "\033" not in t.run("evil\033[31m.onnx", "-o", "x").stderr


def products(folder):
    """A model of all kinds of matrix products, its inputs and what ONNX Runtime makes of them."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(7)
    weights = {"w": (300, 40), "wt": (40, 300), "row": (40,), "col": (12, 1), "one": (1,), "many": (3, 300, 7), "outer": (3, 1, 300, 7)}
    inputs = {"x": (12, 300), "xt": (300, 12), "q": (2, 3, 5, 300), "u": (2, 5, 300), "v": (300,), "image": (1, 32, 16, 16)}
    weights |= {f"k{i}": (32, 32, 3, 3) for i in range(4)} | {"side": (16, 9), "zero": (1,), "flat": (12, 40)}
    weights, inputs = ({k: rng.standard_normal(s).astype("f4") / 8 for k, s in d.items()} for d in (weights, inputs))
    dims = {k: list(v.shape) for k, v in inputs.items()} | {"x": ["rows", 300], "q": ["batch", 3, "seq", 300]}
    node, results = helper.make_node, {
        "plain": ["rows", 40], "gemm": ["rows", 40], "turned": [12, 40], "both": [12, 40], "scalar": ["rows", 40], "batch": ["batch", 3, "seq", 7],
        "spread": [3, 2, 5, 7], "merged": ["batch", 3, "seq", 40], "scores": ["batch", 3, "seq", "seq"], "vector": ["rows"], "double": ["rows", 40],
        "c1": [1, 32, 16, 16], "c2": [1, 32, 16, 16], "c3": [1, 32, 16, 16], "beside": [1, 32, 16, 9], "kept": ["some", 40], "kept_twice": ["some", "some"]}
    nodes = [
        node("MatMul", ["x", "w"], ["product"]), node("Relu", ["product"], ["plain"]),
        node("Gemm", ["x", "wt", "row"], ["gemm"], transB=1, alpha=0.5, beta=2.0), node("Gemm", ["xt", "w", "col"], ["turned"], transA=1),
        node("Gemm", ["xt", "wt"], ["both"], transA=1, transB=1, alpha=-1.25), node("Gemm", ["x", "w", "one"], ["scalar"], beta=0.25),
        node("MatMul", ["q", "many"], ["batch"]), node("MatMul", ["u", "outer"], ["spread"]), node("MatMul", ["q", "w"], ["merged"]),
        node("Transpose", ["q"], ["qt"], perm=[0, 1, 3, 2]), node("Exp", ["q"], ["eq"]), node("MatMul", ["eq", "qt"], ["scores"]),
        node("MatMul", ["x", "v"], ["vector"]), node("Cast", ["x"], ["dx"], to=TensorProto.DOUBLE),
        node("Cast", ["w"], ["dw"], to=TensorProto.DOUBLE), node("MatMul", ["dx", "dw"], ["double"]),
        # what convolutions would like to keep channel-blocked must stay row-major for the product beside them
        node("Conv", ["image", "k0"], ["c0"], pads=[1] * 4), *(node("Conv", ["c0", f"k{i}"], [f"c{i}"], pads=[1] * 4) for i in (1, 2, 3)),
        node("MatMul", ["c0", "side"], ["beside"]),
        # sizes that only the run knows
        node("Greater", ["v", "zero"], ["positive"]), node("Compress", ["xt", "positive"], ["chosen"], axis=0),
        node("Gemm", ["chosen", "flat"], ["kept"]), node("Gemm", ["chosen", "chosen"], ["kept_twice"], transB=1)]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "products", [value(k, TensorProto.FLOAT, d) for k, d in dims.items()],
                              [value(k, TensorProto.DOUBLE if k == "double" else TensorProto.FLOAT, d) for k, d in results.items()],
                              [numpy_helper.from_array(v, k) for k, v in weights.items()])
    path = folder / "products.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    for k, v in inputs.items():
        np.save(folder / f"{k}.npy", v)
    return path, list(inputs), dict(zip(results, onnxruntime.InferenceSession(path).run(list(results), inputs)))


def needed(path):
    return subprocess.run(["readelf", "-dW", path], capture_output=True, text=True, check=True).stdout


@test
def strings_are_cast_and_compared_by_the_runtime(t):
    (t.dir / "strings.ir").write_text("""graph "strings"(%n: f32[N], %s: str[N]) -> (a: str[N], b: f32[N], c: bool[N], d: str[N]) where N {
      %a = Cast(%n) {to=8} : str[N]
      %b = Cast(%s) {to=1} : f32[N]
      %c = Equal(%s, %a) : bool[N]
      %d = CastLike(%n, %s) : str[N]
      return %a, %b, %c, %d\n}\n""")
    text = t.ok("strings.ir", "--emit=kernels").stdout
    assert text.count("call cast_strings") == 3 and text.count("call string_equal") == 1, text


@test
def products_by_openblas(t):
    """--gemm=openblas: ONNX Runtime's results, one more library, a warning; nothing of it without the option."""
    import numpy as np

    model, inputs, expected = products(t.dir)
    warned = t.ok(model, "-o", "blas", "--gemm=openblas").stderr
    assert "results depend on the thread count" in warned, warned
    assert "warning" not in t.ok(model, "-o", "own").stderr
    t.fails(4, "nothing was written", model, "-o", "none", "--gemm=openblas", "-Werror")
    t.fails(2, "does not go with", model, "--emit=cuda", "--gemm=openblas")
    t.fails(2, "does not go with", model, "-o", "blas.cu", "--gemm=openblas")
    t.ok(model, "-o", "blas.so", "--gemm=openblas")
    for name, there in (("blas", True), ("blas.so", True), ("own", False)):
        assert ("libopenblas.so.0" in needed(t.dir / name)) == there, name
        subprocess.run(["sh", ROOT / "tests/runtime/imports.sh", t.dir / name], check=True)
    kernels = t.run(model, "--emit=kernels", "--gemm=openblas").stdout
    assert kernels.count("call gemm_openblas") == 13, "all products but the one with a vector"
    for name, gemm in (("blas", "openblas"), ("own", "builtin")):
        info = json.loads(subprocess.run([t.dir / name, "info", "--json"], capture_output=True, text=True, check=True).stdout)
        assert (info["gemm"], info["threads_change_bits"]) == (gemm, gemm == "openblas"), info
        (t.dir / f"of_{name}").mkdir()
        files = [a for k in inputs for a in ("--input", f"{k}={k}.npy")]
        subprocess.run([t.dir / name, "run", *files, "--output-dir", f"of_{name}"], cwd=t.dir, check=True)
        for i, (k, want) in enumerate(expected.items()):
            got = np.load(t.dir / f"of_{name}/output_{i}.npy")
            assert got.shape == want.shape and got.dtype == want.dtype, (name, k, got.shape, got.dtype)
            worst = np.abs(got - want).max() / np.abs(want).max()
            assert worst <= 1e-5, f"{name}: {k} is off by {worst}"


@test
def libtenon(t):
    program = t.dir / "lib.c"
    program.write_text("""
#include <driver/tenon.h>
#include <stdio.h>
#include <string.h>
static void on(void *u, const tenon_message *m) { (void)u; printf("%d %s %s\\n", m->level, m->code, m->text); }
int main(int c, char **v) {
  (void)c;
  tenon_job job = {.size = sizeof job, .model = v[2], .output = v[3], .tenon = v[1], .message = on};
  int code = tenon_compile(&job);
  printf("exit %d\\n", code);
  return 0;
}
""")
    exe = t.dir / "lib"
    subprocess.run(["cc", "-Wall", "-Werror", f"-I{ROOT}", program, f"-L{t.build}", "-ltenon", f"-Wl,-rpath,{t.build}", "-o", exe], check=True)
    out = subprocess.run([exe, t.build / "tenon", MODEL, t.dir / "l.so"], capture_output=True, text=True).stdout
    assert out.endswith("exit 0\n") and (t.dir / "l.so").exists(), out
    out = subprocess.run([exe, t.build / "tenon", "missing.onnx", "l.so"], capture_output=True, text=True).stdout
    assert out.startswith("2 ") and out.endswith("exit 3\n"), out
    assert "was not found" in subprocess.run([exe, "/nowhere/tenon", MODEL, "l.so"], capture_output=True, text=True).stdout


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--build", type=Path, default=ROOT / "build")
    p.add_argument("only", nargs="*")
    a = p.parse_args()
    passed, tests = 0, [f for f in TESTS if not a.only or f.__name__ in a.only]
    for f in tests:
        with tempfile.TemporaryDirectory() as folder:
            try:
                f(Cli(a.build.resolve(), Path(folder)))
                passed += 1
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError, KeyError) as e:
                print(f"FAIL {f.__name__}: {type(e).__name__}: {e}")
    print(f"cli: {passed} of {len(tests)} pass")
    sys.exit(passed != len(tests))


if __name__ == "__main__":
    main()
