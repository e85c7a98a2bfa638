#!/usr/bin/env python3
"""make.py OUT - writes the hostile models of expect.tsv into the empty directory OUT, without any library.

Each function below makes one case: it returns the bytes of a model, or builds files itself and returns None. Its name is the
case's name in expect.tsv, where the expected exit code stands.
"""
import os
import struct
import sys

F32, I64, STR = 1, 7, 8


# ---- the wire format ----
def varint(n):
    n &= (1 << 64) - 1
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def key(field, wire):
    return varint(field << 3 | wire)


def num(field, n):
    return key(field, 0) + varint(n)


def sub(field, body):
    if isinstance(body, str):
        body = body.encode()
    return key(field, 2) + varint(len(body)) + body


# ---- messages ----
def tensor(name, dims, dtype=F32, raw=None, extra=b""):
    body = b"".join(num(1, d) for d in dims) + num(2, dtype) + sub(8, name) + extra
    return body + (sub(9, raw) if raw is not None else b"")


def external(name, dims, entries, dtype=F32):
    return tensor(name, dims, dtype, extra=b"".join(sub(13, sub(1, k) + sub(2, v)) for k, v in entries) + num(14, 1))


def type_of(dtype, dims):
    shape = b"".join(sub(1, sub(2, d) if isinstance(d, str) else num(1, d)) for d in dims)
    return sub(1, num(1, dtype) + sub(2, shape))


def info(name, dims=(2,), dtype=F32):
    return sub(1, name) + sub(2, type_of(dtype, dims))


def attr_int(name, v):
    return sub(1, name) + num(3, v) + num(20, 2)


def attr_ints(name, v):
    return sub(1, name) + b"".join(num(8, x) for x in v) + num(20, 7)


def attr_graph(name, g):
    return sub(1, name) + sub(6, g) + num(20, 5)


def attr_tensor(name, t):
    return sub(1, name) + sub(5, t) + num(20, 4)


def node(op, ins, outs, attrs=(), name="n", domain=""):
    body = b"".join(sub(1, x) for x in ins) + b"".join(sub(2, x) for x in outs) + sub(3, name) + sub(4, op)
    return body + b"".join(sub(5, a) for a in attrs) + (sub(7, domain) if domain else b"")


def graph(nodes, ins=None, outs=None, inits=(), name="g"):
    ins = [info("x")] if ins is None else ins
    outs = [info("y")] if outs is None else outs
    return (b"".join(sub(1, n) for n in nodes) + sub(2, name) + b"".join(sub(5, t) for t in inits)
            + b"".join(sub(11, i) for i in ins) + b"".join(sub(12, o) for o in outs))


def opset(version=17, domain=""):
    return (sub(1, domain) if domain else b"") + num(2, version)


def model(g, opsets=None, ir=8, functions=(), extra=b""):
    opsets = [opset()] if opsets is None else opsets
    return (num(1, ir) + b"".join(sub(8, o) for o in opsets) + sub(7, g)
            + b"".join(sub(25, f) for f in functions) + extra)


def function(name, nodes, ins=("a",), outs=("b",)):
    return (sub(1, name) + b"".join(sub(4, i) for i in ins) + b"".join(sub(5, o) for o in outs)
            + b"".join(sub(7, n) for n in nodes) + sub(9, opset()) + sub(9, opset(1, "f")) + sub(10, "f"))


RELU = node("Relu", ["x"], ["y"])
GOOD = model(graph([RELU]))
f32 = struct.Struct("<f").pack


def with_init(t, op="Add"):
    return model(graph([node(op, ["x", "w"], ["y"])], inits=[t]))


CASES = []


def case(f):
    CASES.append(f)
    return f


# ---- wire ----
@case
def good(d):
    return GOOD


@case
def empty(d):
    return b""


@case
def garbage(d):
    return bytes((i * 2654435761 >> 7) & 255 for i in range(4000))


@case
def truncated_head(d):
    return GOOD[:5]


@case
def truncated_graph(d):
    return GOOD[:-7]


@case
def truncated_last(d):
    return GOOD[:-1]


@case
def varint_without_end(d):
    return GOOD + b"\xff" * 30


@case
def length_past_end(d):
    return GOOD + key(2, 2) + varint(1 << 20)


@case
def length_above_2g(d):
    return GOOD + key(2, 2) + varint(1 << 33)


@case
def nested_graphs(d):
    g = graph([RELU])
    for _ in range(3000):
        g = graph([node("If", ["x"], ["y"], [attr_graph("then_branch", g)])])
        if len(g) > 300000:
            break
    return model(g)


@case
def nested_types(d):
    t = type_of(F32, [2])
    for _ in range(4400):
        t = sub(4, sub(1, t))
    return model(graph([RELU], ins=[sub(1, "x") + sub(2, t)]))


@case
def million_empty_nodes(d):
    return model(sub(1, b"") * 1000000)


@case
def million_empty_attributes(d):
    return model(graph([node("Relu", ["x"], ["y"]) + sub(5, b"") * 1000000]))


@case
def million_unknown_fields(d):
    return GOOD + num(99, 1) * 1000000


@case
def duplicate_graphs(d):
    return GOOD + sub(7, b"") * 100000


@case
def groups(d):
    return GOOD + (key(50, 3) + key(50, 4)) * 1000


@case
def nested_open_groups(d):
    return GOOD + key(50, 3) * 10000


@case
def name_with_nul(d):
    return model(graph([node("Relu", ["x"], ["y\0z"]), node("Relu", ["y\0z"], ["y"])]))


@case
def name_not_utf8(d):
    return model(graph([node("Relu", ["x"], ["y"]) + sub(3, b"\xc3\x28")]))


@case
def name_overlong_utf8(d):
    return model(graph([node("Relu", ["x"], ["y"])]) + sub(2, b"\xc0\xaf"))


@case
def wrong_wire_type(d):
    return num(7, 1) + GOOD


@case
def no_graph(d):
    return num(1, 8) + sub(8, opset())


@case
def no_ir_version(d):
    return sub(8, opset()) + sub(7, graph([RELU]))


@case
def no_opset(d):
    return num(1, 8) + sub(7, graph([RELU]))


@case
def future_ir(d):
    return model(graph([RELU]), ir=99)


@case
def future_opset(d):
    return model(graph([RELU]), [opset(99)])


@case
def opset_zero(d):
    return model(graph([RELU]), [opset(0)])


@case
def opset_twice(d):
    return model(graph([RELU]), [opset(17), opset(13)])


# ---- graphs ----
@case
def cycle(d):
    return model(graph([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]))


@case
def undefined_input(d):
    return model(graph([node("Add", ["x", "nowhere"], ["y"])]))


@case
def duplicate_output(d):
    return model(graph([RELU, node("Neg", ["x"], ["y"])]))


@case
def duplicate_initializer(d):
    return model(graph([node("Add", ["x", "w"], ["y"])], inits=[tensor("w", [2], raw=bytes(8))] * 2))


@case
def duplicate_input(d):
    return model(graph([RELU], ins=[info("x"), info("x")]))


@case
def output_never_made(d):
    return model(graph([node("Relu", ["x"], ["z"])]))


@case
def unsorted(d):
    return model(graph([node("Neg", ["a"], ["y"]), node("Relu", ["x"], ["a"])]))


def branches(then, other):
    cond = [info("c", (), 9), info("x")]
    return model(graph([node("If", ["c"], ["y"], [attr_graph("then_branch", then), attr_graph("else_branch", other)])], ins=cond))


@case
def branch_hides_name(d):
    g = graph([node("Relu", ["x"], ["x"])], ins=[], outs=[info("x")])
    return branches(g, g)


@case
def branches_differ_in_count(d):
    one = graph([node("Relu", ["x"], ["p"])], ins=[], outs=[info("p")])
    return branches(one, graph([], ins=[], outs=[]))


@case
def scan_counts_too_many(d):
    body = graph([node("Relu", ["a"], ["b"])], ins=[info("a")], outs=[info("b")])
    return model(graph([node("Scan", ["x"], ["y"], [attr_graph("body", body), attr_int("num_scan_inputs", 7)])]))


@case
def recursive_function(d):
    f = function("R", [node("R", ["a"], ["b"], domain="f")])
    return model(graph([node("R", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=[f])


@case
def mutual_recursion(d):
    f = function("A", [node("B", ["a"], ["b"], domain="f")])
    g = function("B", [node("A", ["a"], ["b"], domain="f")])
    return model(graph([node("A", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=[f, g])


@case
def recursion_through_if(d):
    inner = graph([node("R", ["a"], ["q"], domain="f")], ins=[], outs=[info("q")])
    body = [node("If", ["a"], ["b"], [attr_graph("then_branch", inner), attr_graph("else_branch", inner)])]
    return model(graph([node("R", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=[function("R", body)])


@case
def exploding_functions(d):
    fs = [function("F0", [node("Relu", ["a"], ["b"])])]
    for k in range(1, 40):
        calls = [node(f"F{k-1}", ["a"], ["m"], domain="f"), node(f"F{k-1}", ["m"], ["b"], domain="f")]
        fs.append(function(f"F{k}", calls))
    return model(graph([node("F39", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=fs)


@case
def deep_functions(d):
    fs = [function("F0", [node("Relu", ["a"], ["b"])])]
    fs += [function(f"F{k}", [node(f"F{k-1}", ["a"], ["b"], domain="f")]) for k in range(1, 300)]
    return model(graph([node("F299", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=fs[::-1])


@case
def unknown_op(d):
    return model(graph([node("Frobnicate", ["x"], ["y"])]))


@case
def unknown_domain(d):
    return model(graph([node("Relu", ["x"], ["y"], domain="org.example")]), [opset(), opset(1, "org.example")])


@case
def many_unknown_ops(d):
    nodes = [node(f"Frob{k % 7}", [f"v{k-1}" if k else "x"], [f"v{k}"]) for k in range(5000)]
    return model(graph(nodes + [node("Relu", ["v4999"], ["y"])]))


@case
def too_few_operands(d):
    return model(graph([node("Add", ["x"], ["y"])]))


@case
def too_many_operands(d):
    return model(graph([node("Relu", ["x", "x", "x"], ["y"])]))


@case
def required_operand_empty(d):
    return model(graph([node("Add", ["x", ""], ["y"])]))


@case
def no_operands_at_old_opset(d):
    ops = ["Clip", "Slice", "Pad", "Softmax", "Upsample", "BatchNormalization", "Dropout", "Tile", "TopK", "Scan", "PRelu", "Add"]
    return model(graph([node(op, [], [f"v{k}"]) for k, op in enumerate(ops)] + [RELU]), [opset(1)])


@case
def wrong_attribute_type(d):
    return model(graph([node("Softmax", ["x"], ["y"], [attr_ints("axis", [1])])]))


@case
def two_payloads(d):
    return model(graph([node("Softmax", ["x"], ["y"], [sub(1, "axis") + num(3, 0) + num(8, 3) + num(20, 2)])]))


@case
def unknown_attribute_kind(d):
    return model(graph([node("Softmax", ["x"], ["y"], [sub(1, "axis") + num(3, 0) + num(20, 77)])]))


@case
def missing_attribute(d):
    return model(graph([node("Concat", ["x", "x"], ["y"])]))


@case
def reference_outside_function(d):
    return model(graph([node("Concat", ["x", "x"], ["y"], [sub(1, "axis") + sub(21, "z") + num(20, 2)])]))


@case
def loop_forever_bound(d):
    trip = tensor("m", [], I64, struct.pack("<q", (1 << 63) - 1))
    body = graph([node("Relu", ["v"], ["w"]), node("Identity", ["c"], ["k"])],
                 ins=[info("i", (), I64), info("c", (), 9), info("v")], outs=[info("k", (), 9), info("w")])
    return model(graph([node("Loop", ["m", "", "x"], ["y"], [attr_graph("body", body)])], inits=[trip]))


# ---- tensors ----
@case
def dims_overflow(d):
    return with_init(tensor("w", [1 << 40, 1 << 40], raw=bytes(8)))


@case
def dim_minus_one(d):
    return with_init(tensor("w", [-1], raw=bytes(4)))


@case
def dim_int64_min(d):
    return with_init(tensor("w", [-(1 << 63)], raw=bytes(4)))


@case
def input_dim_negative(d):
    return model(graph([RELU], ins=[info("x", (-5,))]))


@case
def huge_rank(d):
    return with_init(tensor("w", [1] * 64, raw=bytes(4)))


@case
def raw_too_short(d):
    return with_init(tensor("w", [2], raw=bytes(4)))


@case
def raw_too_long(d):
    return with_init(tensor("w", [2], raw=bytes(12)))


@case
def raw_no_multiple(d):
    return with_init(tensor("w", [2], raw=bytes(7)))


@case
def large_raw_too_short(d):
    return with_init(tensor("w", [2000], raw=bytes(7996)))


@case
def raw_and_float_data(d):
    return with_init(tensor("w", [2], raw=bytes(8), extra=sub(4, f32(1) * 2)))


@case
def wrong_typed_field(d):
    return with_init(tensor("w", [2], extra=num(7, 1) + num(7, 2)))


@case
def dtype_unknown(d):
    return with_init(tensor("w", [2], 200, raw=bytes(8)))


@case
def int4_short(d):
    return with_init(tensor("w", [3], 22, raw=bytes(1)))


@case
def strings_as_raw(d):
    return with_init(tensor("w", [2], STR, raw=bytes(8)))


@case
def sparse_out_of_range(d):
    s = sub(1, tensor("w", [2], raw=bytes(8))) + sub(2, tensor("i", [2], I64, struct.pack("<2q", 1, 9))) + num(3, 2)
    return model(graph([node("Add", ["x", "w"], ["y"])]) + sub(15, s))


@case
def sparse_unsorted(d):
    s = sub(1, tensor("w", [2], raw=bytes(8))) + sub(2, tensor("i", [2], I64, struct.pack("<2q", 1, 0))) + num(3, 2)
    return model(graph([node("Add", ["x", "w"], ["y"])]) + sub(15, s))


@case
def sparse_huge(d):
    s = sub(1, tensor("w", [1], raw=bytes(4))) + sub(2, tensor("i", [1], I64, struct.pack("<q", 1))) + num(3, 1 << 50)
    return model(graph([node("Add", ["x", "w"], ["y"])]) + sub(15, s))


@case
def scalars_and_empties(d):
    nodes = [node("Add", ["x", "s"], ["a"]), node("Concat", ["a", "e"], ["y"], [attr_int("axis", 0)])]
    return model(graph(nodes, inits=[tensor("s", [], raw=f32(1)), tensor("e", [0], raw=b"")]))


@case
def odd_numbers(d):
    bits = struct.pack("<4I", 0x7fc12345, 0xff800000, 0x80000000, 1)
    return model(graph([node("Add", ["x", "w"], ["y"])], ins=[info("x", (4,))], outs=[info("y", (4,))],
                       inits=[tensor("w", [4], raw=bits)]))


# ---- external data ----
def outside(entries):
    return with_init(external("w", [2], entries))


@case
def external_parent(d):
    return outside([("location", "../good.onnx")])


@case
def external_parent_inside(d):
    return outside([("location", "a/../../good.onnx")])


@case
def external_absolute(d):
    return outside([("location", "/etc/passwd")])


@case
def external_empty(d):
    return outside([("location", "")])


@case
def external_without_location(d):
    return outside([("offset", "0")])


@case
def external_nul(d):
    return outside([("location", "w.bin\0.txt")])


def data_file(d, name="w.bin", n=64):
    with open(os.path.join(d, name), "wb") as f:
        f.write(bytes(n))


@case
def external_good(d):
    data_file(d)
    return outside([("location", "w.bin"), ("offset", "8"), ("length", "8")])


@case
def external_missing(d):
    return outside([("location", "nothing.bin")])


@case
def external_symlink(d):
    data_file(d, "target.bin", 8)
    os.symlink("target.bin", os.path.join(d, "link.bin"))
    return outside([("location", "link.bin")])


@case
def external_symlinked_directory(d):
    os.mkdir(os.path.join(d, "real"))
    data_file(d, "real/w.bin", 8)
    os.symlink("real", os.path.join(d, "linked"))
    return outside([("location", "linked/w.bin")])


@case
def external_hard_link(d):
    data_file(d, "first.bin", 8)
    os.link(os.path.join(d, "first.bin"), os.path.join(d, "second.bin"))
    return outside([("location", "second.bin")])


@case
def external_fifo(d):
    os.mkfifo(os.path.join(d, "fifo.bin"))
    return outside([("location", "fifo.bin")])


@case
def external_directory(d):
    os.mkdir(os.path.join(d, "dir.bin"))
    return outside([("location", "dir.bin")])


@case
def external_proc(d):
    return outside([("location", "/proc/self/environ")])


@case
def external_offset_negative(d):
    return outside([("location", "w.bin"), ("offset", "-8")])


@case
def external_offset_not_a_number(d):
    return outside([("location", "w.bin"), ("offset", "8x")])


@case
def external_past_end(d):
    return outside([("location", "w.bin"), ("offset", "60"), ("length", "8")])


@case
def external_sum_wraps(d):
    return outside([("location", "w.bin"), ("offset", str((1 << 63) - 1)), ("length", str((1 << 63) - 1))])


@case
def external_offset_huge(d):
    return outside([("location", "w.bin"), ("offset", "9" * 40)])


@case
def external_length_wrong(d):
    return outside([("location", "w.bin"), ("length", "12")])


@case
def external_unknown_key(d):
    return outside([("location", "w.bin"), ("length", "8"), ("pointer", "12345678")])


@case
def external_memory_tag(d):
    return outside([("location", "*/_ORT_MEM_ADDR_/*"), ("offset", "4096"), ("length", "8")])


@case
def external_aliases(d):
    names = [f"w{k}" for k in range(2000)]
    inits = [external(n, [2], [("location", "w.bin"), ("offset", "0"), ("length", "8")]) for n in names]
    return model(graph([node("Sum", ["x"] + names, ["y"])], inits=inits))


@case
def external_in_attribute(d):
    t = external("t", [2], [("location", "../w.bin")])
    return model(graph([node("Constant", [], ["w"], [attr_tensor("value", t)]), node("Add", ["x", "w"], ["y"])]))


@case
def external_in_branch(d):
    g = graph([node("Add", ["x", "w"], ["p"])], ins=[], outs=[info("p")], inits=[external("w", [2], [("location", "../w.bin")])])
    return branches(g, g)


@case
def external_in_function(d):
    t = external("t", [2], [("location", "../w.bin")])
    body = [node("Constant", [], ["w"], [attr_tensor("value", t)]), node("Add", ["a", "w"], ["b"])]
    return model(graph([node("E", ["x"], ["y"], domain="f")]), [opset(), opset(1, "f")], functions=[function("E", body)])


@case
def external_in_sparse(d):
    s = (sub(1, external("w", [1], [("location", "../w.bin")])) + sub(2, tensor("i", [1], I64, struct.pack("<q", 1))) + num(3, 2))
    return model(graph([node("Add", ["x", "w"], ["y"])]) + sub(15, s))


# ---- names ----
NASTY = ["$(touch hacked)", "`touch hacked`", "a'b", 'a"b', "a\nb", "\x1b[31mred", "-Wl,-x", "@file", "../../up", "a b", "%s%n%s",
         "*/ int main(", "}{", "\\", "\u202e", "caf\u00e9", ";", "#0", "_", "7", "%x", "where", "return"]


@case
def nasty_names(d):
    nodes, last = [], "x"
    for k, n in enumerate(NASTY):
        nodes.append(node("Relu", [last], [n], name=n))
        last = n
    return model(graph(nodes + [node("Neg", [last], ["y"])], name="$(name)"))


@case
def nasty_dims(d):
    return model(graph([RELU], ins=[info("x", ("a+b", "1x", 'q"', "a b"))], outs=[info("y", ("a+b", "1x", 'q"', "a b"))]))


@case
def nasty_op(d):
    return model(graph([node("\x1b]0;title\x07" + "A" * 100000, ["x"], ["y"])]))


@case
def long_name(d):
    n = "n" * 1000000
    return model(graph([node("Relu", ["x"], [n]), node("Neg", [n], ["y"])]))


@case
def many_names(d):
    nodes = [node("Relu", [f"prefix_{k-1}" if k else "x"], [f"prefix_{k}"], name=f"p{k}") for k in range(3000)]
    return model(graph(nodes + [node("Neg", ["prefix_2999"], ["y"])]))


# ---- operands of a rank that is not meant ----
def with_integers(op, dims, others=(), inits=()):
    ins = [info("x", ("N", 3)), info("i", dims, I64)]
    return model(graph([node(op, ["x", "i", *others], ["y"])], ins=ins, outs=[info("y", ("A", "B"))], inits=inits))


@case
def slice_from_scalar(d):
    return with_integers("Slice", (), ["end"], [tensor("end", [1], I64, struct.pack("<q", 2))])


@case
def reduce_over_scalar(d):
    return with_integers("ReduceSum", ())


@case
def pad_by_matrix(d):
    return with_integers("Pad", (1, 1))


@case
def range_of_matrices(d):
    ins = [info(n, (1, 1), I64) for n in "abc"]
    return model(graph([node("Range", ["a", "b", "c"], ["y"])], ins=ins, outs=[info("y", ("A",), I64)]))


@case
def cumsum_beyond_rank(d):
    axis = tensor("axis", [], I64, struct.pack("<q", 2))
    return model(graph([node("CumSum", ["x", "axis"], ["y"])], inits=[axis]))


# ---- things that are no files ----
@case
def input_fifo(d):
    os.mkfifo(os.path.join(d, "input_fifo.onnx"))


@case
def input_directory(d):
    os.mkdir(os.path.join(d, "input_directory.onnx"))


@case
def input_device(d):
    os.symlink("/dev/zero", os.path.join(d, "input_device.onnx"))


@case
def input_too_large(d):
    with open(os.path.join(d, "input_too_large.onnx"), "wb") as f:
        f.write(GOOD)
        f.truncate((1 << 31) + 4096)


def main(out):
    for f in CASES:
        body = f(out)
        if body is not None:
            with open(os.path.join(out, f.__name__ + ".onnx"), "wb") as o:
                o.write(body)


if __name__ == "__main__":
    main(sys.argv[1])
