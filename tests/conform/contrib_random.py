"""Random cases for contrib.py: one generator per operator of com.microsoft and ai.onnx.ml that ONNX Runtime's CPU provider has.

A generator draws attributes, shapes, types and optional operands from a Source and returns call(..). The seed is the operator and the number of the
variant, so a case keeps its name and contents when others come or go. Dims drawn with Source.dim have a name: in every other variant the model
declares them by that name, so the compiler sees a symbol.
"""
import zlib

import numpy as np

MS, ML = "com.microsoft", "ai.onnx.ml"
GENERATORS = {}
F16 = np.float16


class Dim(int):
    """An extent with a name; arithmetic gives plain ints."""
    name = None


class Source:
    def __init__(self, op, variant):
        self.rng = np.random.default_rng([zlib.crc32(op.encode()), variant])
        self.variant, self.dynamic, self.names = variant, variant % 2 == 1, {}

    def dim(self, name, lo, hi):
        d = Dim(self.rng.integers(lo, hi + 1))
        d.name = name
        return d

    def of(self, name, value):
        d = Dim(value)
        d.name = name
        return d

    def pick(self, *options):
        return options[self.rng.integers(len(options))]

    def flag(self, p=0.5):
        return bool(self.rng.random() < p)

    def keep(self, array, shape):
        self.names[id(array)] = (array, tuple(d.name if self.dynamic and isinstance(d, Dim) else int(d) for d in shape))
        return array

    def f(self, *shape, scale=1.0, dtype=np.float32):
        return self.keep(np.asarray(scale * self.rng.normal(size=[int(d) for d in shape])).astype(dtype), shape)

    def positive(self, *shape, scale=1.0, dtype=np.float32):
        return self.keep((scale * (0.2 + self.rng.random([int(d) for d in shape]))).astype(dtype), shape)

    def i(self, lo, hi, *shape, dtype=np.int32):
        return self.keep(self.rng.integers(lo, hi, [int(d) for d in shape]).astype(dtype), shape)

    def bytes(self, dtype, *shape):
        info = np.iinfo(dtype)
        return self.i(info.min, info.max + 1, *shape, dtype=dtype)

    def seven(self, dtype, *shape):  # ONNX Runtime's products of u8 by i8 saturate at 16 bits on some processors: weights of seven bits cannot
        lo = -64 if np.iinfo(dtype).min else 64
        return self.i(lo, lo + 128, *shape, dtype=dtype)

    def dims_of(self, array):
        return self.names[id(array)][1] if id(array) in self.names else array.shape


class Call:
    def __init__(self, op, inputs, outputs=1, domain=MS, constant=(), rtol=1e-3, atol=1e-5, expected=None, unwanted=(), version=21, sparse=(), masks=None, shared=None, **attrs):
        self.op, self.inputs, self.outputs, self.domain, self.constant = op, inputs, outputs, domain, set(constant)
        self.rtol, self.atol, self.expected, self.unwanted, self.attrs, self.version, self.sparse = rtol, atol, expected, set(unwanted), attrs, version, set(sparse)
        self.masks, self.shared = masks or {}, shared or {}  # by output: what of it counts; the input whose memory it must share


def case(op, name=None):
    def register(f):
        GENERATORS[name or f.__name__] = (op, f)
        return f
    return register


def given(**attrs):
    return {k: v for k, v in attrs.items() if v is not None}


def sc(v, dtype=np.float32):
    return np.array(v, dtype)


# ---- attention ----
def padding_mask(r, kind, b, s, t):
    if kind == "lengths":
        return r.i(1, t + 1, b)
    if kind == "ends_starts":
        ends = r.i(1, t + 1, b)
        return r.keep(np.concatenate([ends, r.rng.integers(0, ends)]).astype(np.int32), (r.of("twoB", 2 * b),))
    if kind == "raw":
        m = r.i(0, 2, b, t)
        m[:, 0] = 1
        return m
    if kind == "square":
        m = r.i(0, 2, b, s, t)
        m[:, :, 0] = 1
        return m
    return None


@case("Attention")
def attention(r):
    b, s, n, h, d = r.dim("B", 1, 3), r.dim("S", 1, 7), r.pick(1, 2, 4), r.pick(4, 8, 5), r.pick(8, 12)
    past = r.dim("P", 1, 5) if r.flag(0.4) else None
    hv = h if past is not None or r.flag() else r.pick(3, 8)
    t = r.of("T" if past is not None else "S", s + (past or 0))
    causal = r.flag(0.4)
    mask = padding_mask(r, r.pick(None, "lengths", "ends_starts", "raw", "square"), b, s, t)
    bias = r.f(r.pick(1, b), r.pick(1, n), s, t) if past is None and r.flag(0.3) else None
    return Call("Attention", [r.f(b, s, d), r.f(d, n * (2 * h + hv), scale=0.3), r.f(n * (2 * h + hv)) if r.flag(0.8) else None, mask,
                              r.f(2, b, n, past, h) if past is not None else None, bias], 2 if past is not None else 1, num_heads=n, unidirectional=int(causal),
                **given(qkv_hidden_sizes=[n * h, n * h, n * hv] if hv != h or r.flag(0.2) else None, scale=r.pick(None, 0.3), mask_filter_value=r.pick(None, -5000.0)))


@case("QAttention")
def qattention(r):
    b, s, n, h, d = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(1, 2, 4), r.pick(4, 8), r.pick(8, 16)
    past = r.dim("P", 1, 4) if r.flag(0.3) else None
    t = s + (past or 0)
    kind, columns = r.pick(np.int8, np.uint8), r.flag()
    mask = padding_mask(r, r.pick(None, "lengths", "raw"), b, s, r.of("T" if past is not None else "S", t))
    ws = r.positive(3 * n * h, scale=0.01) if columns else sc(0.01)
    wz = r.i(0, 3, 3 * n * h, dtype=kind) if columns and r.flag() else sc(r.pick(0, 3), kind)
    return Call("QAttention", [r.bytes(np.uint8, b, s, d), r.seven(kind, d, 3 * n * h), r.f(3 * n * h), sc(0.02), ws, mask, sc(r.pick(0, 128), np.uint8), wz,
                               r.f(2, b, n, past, h) if past is not None else None], 2 if past is not None else 1, num_heads=n,
                unidirectional=int(r.flag(0.3)), constant={1, 2, 3, 4, 6, 7} if r.flag() else {4, 7})


@case("MultiHeadAttention")
def multi_head_attention(r):
    b, s, n, h = r.dim("B", 1, 3), r.dim("S", 1, 7), r.pick(1, 2, 4), r.pick(4, 8)
    form = r.pick("separate", "separate", "separate", "cross")
    cross = form in ("packed_kv", "cross") or (form == "separate" and r.flag())
    length = r.dim("L", 1, 6) if cross else s
    past = r.dim("P", 1, 4) if form == "separate" and not cross and r.flag(0.6) else None
    hv = h if past is not None else r.pick(h, h, 6)
    if form != "separate":
        hv = h
    q, k, v = r.f(b, s, n * h), r.f(b, length, n * h), r.f(b, length, n * hv)
    if form == "packed_qkv":
        q, k, v = r.f(b, s, n, 3, h), None, None
    elif form == "packed_kv":
        k, v = r.f(b, length, n, 2, h), None
    elif form == "cross":
        k, v = r.f(b, n, length, h), r.f(b, n, length, h)
    t = r.of("T" if past is not None else length.name, length + (past or 0))
    mask = padding_mask(r, r.pick(None, None, "lengths" if past is None else None, "raw", "square"), b, s, t)
    bias = r.f(n * (2 * h + hv)) if form in ("separate", "cross") and r.flag(0.4) else None
    extra = r.f(r.pick(1, b), r.pick(1, n), s, t) if r.flag(0.3) else None
    past_of = lambda d: r.f(b, n, past, d) if past is not None else None
    outputs = r.pick(1, 3) if form == "separate" else 1
    return Call("MultiHeadAttention", [q, k, v, bias, mask, extra, past_of(h), past_of(hv)], 3 if past is not None else outputs, num_heads=n,
                **given(scale=r.pick(None, 0.2), unidirectional=1 if not cross and r.flag(0.4) else None, mask_filter_value=r.pick(None, -1000.0)))


@case("GroupQueryAttention")
def group_query_attention(r, s=None, past=None, used=None):
    b, nk, h = r.dim("B", 1, 3), r.pick(1, 2), r.pick(16, 32)
    n = nk * r.pick(1, 2, 3)
    kind = r.pick(np.float32, np.float32, F16)
    prompt = r.flag() if s is None else past == 0
    s = (r.dim("S", 1, 6) if prompt else r.of("S", 1)) if s is None else s
    past = (0 if prompt else r.dim("P", 2, 8)) if past is None else past
    room = not prompt and r.flag()  # the buffer is longer than what is in use
    total = s + past - (r.pick(1, 2) if room and past > 2 else 0)
    lens = np.full(int(b), total - 1) if prompt or r.flag() else r.rng.integers(s, total + 1, int(b)) - 1
    lens[0] = total - 1
    rotary, inter, packed = r.flag(0.6), r.flag(0.3), r.flag(0.3)
    f = lambda *shape: r.f(*shape, dtype=kind)
    q, k, v = (f(b, s, (n + 2 * nk) * h), None, None) if packed else (f(b, s, n * h), f(b, s, nk * h), f(b, s, nk * h))
    caches = [f(40, h // 2), f(40, h // 2)] if rotary else [None, None]
    ids = (lens[:, None] + 1 - s + np.arange(int(s))).astype(np.int64) if rotary and r.flag(0.4) else None
    if ids is not None:
        r.keep(ids, (b, s))
    bias = f(r.pick(1, b), r.pick(1, n), s, total) if r.flag(0.3) else None
    past_k, past_v = f(b, nk, past, h), f(b, nk, past, h)
    for row, length in enumerate(lens + 1 - s):  # what lies behind the rows in use is not specified
        past_k[row, :, max(length, 0):] = past_v[row, :, max(length, 0):] = 0
    sink = f(n) if r.flag(0.3) else None
    return Call("GroupQueryAttention", [q, k, v, past_k, past_v, r.keep(lens.astype(np.int32), (b,)), sc(total, np.int32), *caches, ids, bias, sink], 3,
                num_heads=n, kv_num_heads=nk, rtol=1e-3 if kind == np.float32 else 2e-2, atol=1e-4 if kind == np.float32 else 1e-2, constant={6} if not r.dynamic else (),
                **given(do_rotary=int(rotary), rotary_interleaved=int(inter and rotary), local_window_size=r.pick(None, None, 2, 4), softcap=r.pick(None, None, 0.8),
                        scale=r.pick(None, 0.3), smooth_softmax=1 if sink is None and r.flag(0.3) else None))


@case("GroupQueryAttention")
def group_query_attention_chunk(r):
    """A padded chunk: query_seqlens of its rows count."""
    b, nk, h, s, room = r.dim("B", 1, 3), r.pick(1, 2), 16, r.dim("S", 2, 5), 12
    n = nk * 2
    fresh, before = r.i(1, s + 1, b), r.i(0, 6, b)
    past_k, past_v, used = r.f(b, nk, room, h), r.f(b, nk, room, h), before + fresh
    rows, cache = np.arange(int(s))[:, None] < fresh[:, None, None], np.arange(room)[:, None] < used[:, None, None, None]
    return Call("GroupQueryAttention", [r.f(b, s, n * h), r.f(b, s, nk * h), r.f(b, s, nk * h), past_k, past_v, r.keep((before + fresh - 1).astype(np.int32), (b,)), sc(room, np.int32),
                                        None, None, None, None, None, None, None, None, None, fresh], 3, num_heads=n, kv_num_heads=nk, constant={6}, masks={0: rows, 1: cache, 2: cache})


@case("GroupQueryAttention")
def group_query_attention_sliding(r):
    """A cache of the last tokens: rows in use are those that the documentation's formula says."""
    b, nk, h, s, window = r.dim("B", 1, 3), r.pick(1, 2), 16, r.dim("S", 1, 4), r.pick(2, 4)
    n, room = nk * 2, window + r.pick(0, 0, 3)
    if s > 1:
        b = r.of("B", 1)
    step = room - window + 1
    resident = lambda t: np.where(t <= room, t, t - step * -(-(t - room) // step))
    total = r.rng.integers(int(s), 12, int(b)) if r.flag(0.8) else np.full(int(b), int(s))
    cache = np.arange(room)[:, None] < resident(total)[:, None, None, None]
    return Call("GroupQueryAttention", [r.f(b, s, n * h), r.f(b, s, nk * h), r.f(b, s, nk * h), r.f(b, nk, room, h), r.f(b, nk, room, h), r.keep((total - 1).astype(np.int32), (b,)),
                                        sc(total.max(), np.int32)], 3, num_heads=n, kv_num_heads=nk, local_window_size=window, sliding_window_cache=1, constant={6}, masks={1: cache, 2: cache})


@case("GroupQueryAttention")
def group_query_attention_scores(r):
    b, nk, h, s = r.dim("B", 1, 3), r.pick(1, 2), 16, r.dim("S", 1, 5)
    n = nk * 2
    return Call("GroupQueryAttention", [r.f(b, s, n * h), r.f(b, s, nk * h), r.f(b, s, nk * h), r.f(b, nk, 0, h), r.f(b, nk, 0, h), r.keep(np.full(int(b), s - 1, np.int32), (b,)),
                                        sc(s, np.int32)], 4, num_heads=n, kv_num_heads=nk, qk_output=r.pick(1, 2), **given(softcap=r.pick(None, 0.8)))


@case("GroupQueryAttention")
def group_query_attention_quantised(r):
    b, nk, h, bits = r.dim("B", 1, 3), r.pick(1, 2), 16, r.pick(4, 8)
    n, prompt = nk * r.pick(1, 2), r.flag()
    s, past = (r.dim("S", 1, 5), 0) if prompt else (r.of("S", 1), r.dim("P", 1, 6))
    kind = np.uint8 if bits == 4 else np.int8
    scale = lambda: r.positive(*r.pick((1,), (1, nk, 1, h)), scale=0.02 if bits == 8 else 0.3)
    names = lambda v: "PER_TENSOR" if v.size == 1 else "PER_CHANNEL"
    ks = scale()
    vs = r.positive(*ks.shape, scale=0.03)
    cache = lambda: r.bytes(kind, b, nk, past, h * bits // 8)
    return Call("GroupQueryAttention", [r.f(b, s, n * h), r.f(b, s, nk * h), r.f(b, s, nk * h), cache(), cache(), r.keep(np.full(int(b), s + past - 1, np.int32), (b,)),
                                        sc(s + past, np.int32), None, None, None, None, None, ks, vs], 3, num_heads=n, kv_num_heads=nk, kv_cache_bit_width=bits, k_quant_type=names(ks),
                v_quant_type=names(vs), constant={12, 13}, atol=1e-4)


@case("DecoderMaskedMultiHeadAttention")
def decoder_masked_multi_head_attention(r):
    b, beams, n, h, room, past = r.dim("B", 1, 2), r.pick(1, 2), r.pick(1, 2), r.pick(4, 8), 9, r.pick(0, 3)
    rows = b if beams == 1 else r.of("BW", b * beams)
    if r.flag(0.3):  # cross attention
        t = r.dim("T", 1, 5)
        return Call("DecoderMaskedMultiHeadAttention", [r.f(rows, 1, n * h), r.f(rows, n, t, h), r.f(rows, n, t, h)], num_heads=n)
    more = [sc([past], np.int32), sc([beams], np.int32), r.i(0, beams, b, beams, room)] if beams > 1 else [sc([past], np.int32)]
    return Call("DecoderMaskedMultiHeadAttention", [r.f(rows, 1, n * h), r.f(rows, 1, n * h), r.f(rows, 1, n * h), None, None, r.f(rows, n, room, h), r.f(rows, n, room, h), *more],
                3, num_heads=n, past_present_share_buffer=1)


@case("MultiHeadAttention")
def multi_head_attention_shared(r):
    b, s, n, h, room, past = r.dim("B", 1, 2), 1, r.pick(1, 2), r.pick(4, 8), 9, r.pick(0, 3)
    return Call("MultiHeadAttention", [r.f(b, s, n * h), r.f(b, s, n * h), r.f(b, s, n * h), r.f(3 * n * h) if r.flag() else None, None, None, r.f(b, n, room, h), r.f(b, n, room, h),
                                       sc([past], np.int32)], 3, num_heads=n)


@case("SparseAttention")
def sparse_attention(r):
    b, nk, h, size, blocks = r.dim("B", 1, 2), r.pick(1, 2), 16, 16, 3
    n, layouts, prompt = nk * 2, r.pick(1, 2), r.flag()
    mask = np.tril(r.rng.random((layouts, blocks, blocks)) < 0.5) | np.eye(blocks, dtype=bool)
    most = int(mask.sum((1, 2)).max())
    row, column = np.zeros((layouts, blocks + 1), np.int32), np.full((layouts, most), -1, np.int32)
    for i in range(layouts):
        row[i, 1:] = np.cumsum(mask[i].sum(1))
        column[i, : row[i, -1]] = np.nonzero(mask[i])[1]
    s, past = (r.dim("S", 2, 40), 0) if prompt else (r.of("S", 1), r.pick(5, 33))
    total, rotary, packed = int(s) + past, r.flag(), r.flag(0.3)
    lens = np.full(int(b), total, np.int32)
    qkv = [r.f(b, s, (n + 2 * nk) * h), None, None] if packed else [r.f(b, s, n * h), r.f(b, s, nk * h), r.f(b, s, nk * h)]
    past_k, past_v = r.f(b, nk, size * blocks, h), r.f(b, nk, size * blocks, h)
    return Call("SparseAttention", [*qkv, past_k, past_v, row, column, sc(total, np.int32), r.keep(lens, (b,)), *([r.f(50, h // 2), r.f(50, h // 2)] if rotary else [])], 3,
                num_heads=n, kv_num_heads=nk, sparse_block_size=size, do_rotary=int(rotary), rotary_interleaved=int(rotary and r.flag()), constant={5, 6, 7}, shared={1: 3, 2: 4})


@case("WordConvEmbedding")
def word_conv_embedding(r):
    window, e, filters, width = r.pick(1, 2, 3), r.pick(3, 4), r.pick(2, 5), r.pick(4, 6)
    words = r.i(1, 10, r.dim("N", 1, 6), width)
    for row in words:  # ONNX Runtime leaves the result of an empty word as it was
        row[r.rng.integers(1, width + 1):] = 0
    return Call("WordConvEmbedding", [words, r.f(filters, 1, window, e), r.f(filters), r.f(10, e)], embedding_size=filters, conv_window_size=window, char_embedding_size=e, atol=1e-4)


@case("MatMulFpQ4")
def matmul_fp_q4(r):
    kind, k, n = r.pick(0, 1), r.pick(32, 64, 96), r.pick(1, 4, 9)
    head = 5 if kind else 4
    blob = r.bytes(np.uint8, n, k // 32, head + 16)
    blob[..., :4] = r.positive(n, k // 32, scale=0.1).astype("<f4").view(np.uint8).reshape(n, k // 32, 4)
    if kind:
        blob[..., 4] &= 15
    return Call("MatMulFpQ4", [r.f(r.dim("M", 1, 4), k), blob.reshape(-1), np.array([k, n], np.int64)], blk_quant_type=kind, constant={1, 2}, atol=1e-4)


@case("SparseToDenseMatMul")
def sparse_to_dense_matmul(r):
    m, k, n, ta, tb = r.pick(2, 5), r.pick(3, 8), r.dim("N", 1, 4), r.flag(), r.flag()
    a = r.f(*((k, m) if ta else (m, k)))
    a[r.rng.random(a.shape) < 0.6] = 0
    a[0, 0] = 1
    d, alpha = r.f(*((n, k) if tb else (k, n))), r.pick(1.0, 0.5)  # ONNX Runtime makes sparse initializers dense and then refuses them here
    return Call("SparseToDenseMatMul", [a, d], alpha=alpha, transA=int(ta), transB=int(tb), constant={0}, sparse={0},
                expected=[np.float32(alpha) * ((a.T if ta else a) @ (d.T if tb else d))])


@case("RotaryEmbedding")
def rotary_embedding(r):
    b, s, n, h = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(1, 2, 3), r.pick(8, 16)
    kind = r.pick(np.float32, F16)
    rot = r.pick(h, h // 2)
    ids = r.i(0, 10, 1, dtype=np.int64) if r.flag() else r.i(0, 20, b, s, dtype=np.int64)
    four = r.flag()
    x = r.f(b, n, s, h, dtype=kind) if four else r.f(b, s, n * h, dtype=kind)
    more = dict(num_heads=n, rotary_embedding_dim=rot) if rot < h else dict(num_heads=n) if r.flag() else {}
    return Call("RotaryEmbedding", [x, ids, r.f(20, rot // 2, dtype=kind), r.f(20, rot // 2, dtype=kind)], interleaved=int(r.flag()),
                atol=1e-5 if kind == np.float32 else 5e-3, **more)


@case("LinearAttention")
def linear_attention(r):
    b, t, nk, dk, dv = r.dim("B", 1, 2), r.dim("T", 1, 6), r.pick(1, 2), r.pick(4, 8), r.pick(4, 6)
    nq = nk * r.pick(1, 2)
    if r.flag(0.3):
        nq, nk = nk, nk * 2
    rule = r.pick("linear", "gated", "delta", "gated_delta")
    k = r.f(b, t, nk, dk)
    flat = r.keep((k / np.linalg.norm(k, axis=-1, keepdims=True)).reshape(int(b), int(t), nk * dk).astype(np.float32), (b, t, nk * dk))
    decay = r.keep(-np.abs(r.f(b, t, nk * r.pick(1, dk))), None or (b, t, 0)) if "gated" in rule else None
    if decay is not None:
        r.keep(decay, (b, t, decay.shape[2]))
    return Call("LinearAttention", [r.f(b, t, nq * dk), flat, r.f(b, t, nk * dv), r.f(b, nk, dk, dv) if r.flag() else None, decay,
                                    r.positive(b, t, r.pick(nk, 1), scale=0.8) if "delta" in rule else None], 2, q_num_heads=nq, kv_num_heads=nk, update_rule=rule,
                **given(scale=r.pick(None, 0.5)))


@case("GatedDeltaNet")
def gated_delta_net(r):
    b, s, nq, dk, dv = r.dim("B", 1, 2), r.dim("S", 1, 5), r.pick(1, 2), r.pick(4, 8), r.pick(4, 6)
    nv, rule, form = nq * r.pick(1, 2), r.pick("linear", "gated", "delta", "gated_delta"), r.pick("tokens", "rows", "packed")
    lead = (b, s) if form == "rows" else (r.of("T", b * s) if b > 1 else s,)
    gate, per_key = r.pick("none", "softplus", "sigmoid") if "gated" in rule else "none", r.flag()
    decay = r.f(*lead, nv, *([dk] if per_key else [])) if "gated" in rule else None
    if decay is not None and gate == "none":
        np.negative(np.abs(decay), out=decay)
    state = r.f(b, nv, dv, dk) if form != "rows" or r.flag() else None
    qkv = [r.f(*lead, 2 * nq * dk + nv * dv), None, None] if form == "packed" else [r.f(*lead, nq, dk), r.f(*lead, nq, dk), r.f(*lead, nv, dv)]
    bias = (r.f(nv, dk) if per_key and r.flag() else r.f(nv)) if gate != "none" else None
    return Call("GatedDeltaNet", [*qkv, None, decay, r.positive(*lead, nv, scale=0.8) if "delta" in rule else None, state, r.f(nv, scale=0.3) if gate != "none" else None, bias], 2,
                update_rule=rule, qk_l2_norm=1, gate_activation=gate, beta_activation=r.pick("none", "sigmoid"), atol=1e-4, **given(scale=r.pick(None, 0.5)))


@case("VarlenCausalConvWithState")
def varlen_causal_conv_with_state(r):
    n, c, k, dilation = r.pick(1, 3), r.pick(1, 5), r.pick(1, 2, 4), r.pick(1, 2)
    lens = r.rng.integers(1, 6, n)
    starts = np.concatenate([[0], np.cumsum(lens)]).astype(np.int32)
    t = r.of("T", starts[-1])
    return Call("VarlenCausalConvWithState", [r.f(t, c), r.f(c, 1, k), starts, r.f(c) if r.flag() else None, r.f(n, c, (k - 1) * dilation)], 2, activation=r.pick("none", "silu", "swish"),
                dilation=dilation)


@case("CausalConvWithState")
def causal_conv_with_state(r):
    b, c, t, k, dilation = r.dim("B", 1, 3), r.pick(1, 3, 8), r.dim("L", 1, 9), r.pick(1, 2, 4), r.pick(1, 1, 2)
    last = r.flag(0.4)
    x, state = (b, t, c) if last else (b, c, t), (b, (k - 1) * dilation, c) if last else (b, c, (k - 1) * dilation)
    return Call("CausalConvWithState", [r.f(*x), r.f(c, 1, k), r.f(c) if r.flag() else None, r.f(*state) if r.flag() and k > 1 else None], 2, activation=r.pick("none", "silu", "swish"),
                channels_last=int(last), dilation=dilation)


# ---- normalisations, activations, fused products ----
@case("SkipLayerNormalization")
def skip_layer_normalization(r):
    kind = r.pick(np.float32, np.float32, F16)
    b, s, d = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(8, 13, 32)
    f = lambda *shape: r.f(*shape, dtype=kind)
    skip = r.pick((b, s, d), (1, s, d), (s, d))
    outputs = r.pick(1, 4)
    return Call("SkipLayerNormalization", [f(b, s, d), f(*skip), f(d), f(d) if r.flag() else None, f(d) if r.flag() else None], outputs, unwanted={1, 2},
                epsilon=r.pick(1e-12, 1e-5), atol=1e-2 if kind == F16 else 1e-5)


@case("SkipSimplifiedLayerNormalization")
def skip_simplified_layer_normalization(r):
    kind = r.pick(np.float32, np.float32, F16)
    b, s, d = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(8, 13, 32)
    f = lambda *shape: r.f(*shape, dtype=kind)
    outputs = r.pick(1, 4)
    return Call("SkipSimplifiedLayerNormalization", [f(b, s, d), f(*r.pick((b, s, d), (1, s, d), (s, d))), f(d), f(d) if r.flag() else None], outputs, unwanted={1, 2},
                epsilon=r.pick(1e-12, 1e-5), atol=1e-2 if kind == F16 else 1e-5)


@case("EmbedLayerNormalization")
def embed_layer_normalization(r):
    b, s, d, segments = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(8, 13), r.flag()
    positions = r.i(0, 16, r.pick(1, b), s) if r.flag(0.4) else None
    return Call("EmbedLayerNormalization", [r.i(0, 20, b, s), r.i(0, 2, b, s) if segments else None, r.f(20, d), r.f(16, d), r.f(2, d) if segments else None, r.f(d), r.f(d),
                                            r.i(0, 2, b, s) if r.flag() else None, positions], r.pick(2, 3), epsilon=r.pick(1e-12, 1e-5))


def elementwise(op, *shapes, **attrs):
    def make(r):
        s = {"B": r.dim("B", 1, 3), "S": r.dim("S", 1, 6), "D": r.pick(7, 16, 33)}
        chosen = [shape for shape in shapes if shape[0] != "?" or r.flag()]
        return Call(op, [r.f(*(s[c] for c in shape if c != "?"), scale=2) for shape in chosen], **{k: r.pick(*v) for k, v in attrs.items()})
    GENERATORS[op] = (op, make)


elementwise("Gelu", "BSD")
elementwise("BiasGelu", "BSD", "D")
elementwise("FastGelu", "BSD", "?D")
elementwise("QuickGelu", "BSD", alpha=(1.702, 1.0, -0.5))


@case("FusedMatMul")
def fused_matmul(r):
    kind = r.pick(np.float32, np.float32, np.float64)
    m, k, n, batch = r.dim("M", 1, 6), r.pick(1, 5, 8), r.pick(1, 4, 9), [r.pick(2, 3) for _ in range(r.pick(0, 0, 1, 2))]
    ta, tb = r.flag(), r.flag()
    swap = bool(batch) and r.flag(0.3)

    def shape(rows, cols, transposed, batch_first):
        last = [cols, rows] if transposed else [rows, cols]
        return [*batch, *last] if not batch_first else [last[0], *batch, last[1]]
    return Call("FusedMatMul", [r.f(*shape(m, k, ta, swap), dtype=kind), r.f(*shape(k, n, tb, False), dtype=kind)], alpha=r.pick(1.0, 0.5), transA=int(ta), transB=int(tb),
                transBatchA=int(swap))


@case("TransposeMatMul")
def transpose_matmul(r):
    m, k, n, ta, tb = r.dim("M", 1, 6), r.pick(1, 5, 8), r.pick(1, 4, 9), r.flag(), r.flag()
    return Call("TransposeMatMul", [r.f(2, *((k, m) if ta else (m, k))), r.f(2, *((n, k) if tb else (k, n)))], alpha=r.pick(1.0, 0.5), transA=int(ta), transB=int(tb))


ACTIVATIONS = [("Relu", {}), ("Tanh", {}), ("Sigmoid", {}), ("LeakyRelu", dict(alpha=0.2)), ("Elu", dict(alpha=0.7)), ("HardSigmoid", dict(alpha=0.3, beta=0.4)),
               ("Softsign", {}), ("Softplus", {}), ("ThresholdedRelu", dict(alpha=0.5))]


@case("FusedGemm")
def fused_gemm(r):
    m, k, n, ta, tb = r.dim("M", 1, 6), r.pick(1, 5, 8), r.pick(1, 4, 9), r.flag(), r.flag()
    name, numbers = r.pick(*ACTIVATIONS)
    c = r.pick(None, (n,), (1, n), (m, n), ())
    return Call("FusedGemm", [r.f(*((k, m) if ta else (m, k))), r.f(*((n, k) if tb else (k, n))), None if c is None else r.f(*c)], alpha=r.pick(1.0, 0.5), beta=r.pick(1.0, 2.0),
                transA=int(ta), transB=int(tb), activation=name, **{"activation_" + a: v for a, v in numbers.items()})


@case("FusedConv")
def fused_conv(r):
    g, d = r.pick(1, 1, 2), r.pick(1, 2)
    cin, cout, k = 4 * r.pick(1, 2), 4 * r.pick(1, 2), r.pick(1, 3)
    stride, pad = r.pick(1, 2), r.pick(0, 1) if k == 3 else 0
    name, numbers = r.pick(("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.8]), ("HardSigmoid", [0.3, 0.4]))
    b, h, w = r.dim("B", 1, 2), r.pick(7, 8), r.pick(7, 9)
    out = lambda x: (x + 2 * pad - d * (k - 1) - 1) // stride + 1
    z = r.f(b, cout, out(h), out(w)) if r.flag(0.4) else None
    return Call("FusedConv", [r.f(b, cin, h, w), r.f(cout, cin // g, k, k), r.f(cout) if z is not None or r.flag() else None, z], activation=name, pads=[pad] * 4,
                strides=[stride] * 2, dilations=[d] * 2, group=g, constant={1, 2} if r.flag() else (), atol=1e-4, **given(activation_params=numbers or None))


@case("Inverse")
def inverse(r):
    n, kind = r.pick(1, 2, 3, 5, 8), r.pick(np.float32, np.float64)
    batch = [r.dim("B", 1, 3)] if r.flag() else []
    x = r.f(*batch, n, n, dtype=kind)
    x += 3 * np.eye(n, dtype=kind)
    return Call("Inverse", [x], atol=1e-4)


@case("CDist")
def cdist(r):
    kind, k = r.pick(np.float32, np.float64), r.pick(1, 3, 17)
    return Call("CDist", [r.f(r.dim("M", 1, 5), k, dtype=kind), r.f(r.dim("N", 1, 5), k, dtype=kind)], metric=r.pick("euclidean", "sqeuclidean"), atol=1e-4)


@case("SimplifiedLayerNormalization")
def simplified_layer_normalization(r):
    d = r.pick(8, 13)
    return Call("SimplifiedLayerNormalization", [r.f(r.dim("B", 1, 3), r.dim("S", 1, 6), d), r.f(d)], domain="", epsilon=r.pick(1e-5, 1e-6), axis=-1)


# ---- convolutions and pooling ----
@case("NhwcMaxPool")
def nhwc_max_pool(r):
    kind, k = r.pick(np.int8, np.uint8), r.pick(2, 3)
    return Call("NhwcMaxPool", [r.bytes(kind, r.dim("B", 1, 2), r.dim("H", 7, 9), r.pick(7, 10), r.pick(1, 5, 16))], kernel_shape=[k, k], strides=[r.pick(1, 2)] * 2,
                pads=[r.pick(0, 1)] * 4, ceil_mode=int(r.flag(0.3)), dilations=[r.pick(1, 2)] * 2)


@case("MaxpoolWithMask")
def maxpool_with_mask(r):
    b, c, h, w, k = r.dim("B", 1, 2), r.pick(1, 3), r.pick(6, 7), r.pick(6, 8), r.pick(2, 3)
    return Call("MaxpoolWithMask", [r.f(b, c, h, w), np.ones((int(b), c, h, w), np.int32)], kernel_shape=[k, k], strides=[r.pick(1, 2)] * 2, pads=[r.pick(0, 1)] * 4)


@case("ConvTransposeWithDynamicPads")
def conv_transpose_with_dynamic_pads(r):
    cin, cout, k = r.pick(1, 3), r.pick(1, 4), r.pick(2, 3)
    return Call("ConvTransposeWithDynamicPads", [r.f(r.dim("B", 1, 2), cin, r.pick(4, 5), r.pick(4, 6)), r.f(cin, cout, k, k), r.i(0, 2, 4, dtype=np.int64), r.f(cout) if r.flag() else None],
                strides=[r.pick(1, 2)] * 2, kernel_shape=[k, k], constant={1, 2, 3}, atol=1e-4)


# ---- weights in few bits, experts ----
@case("MatMulNBits")
def matmul_nbits(r):
    bits, block, kind = r.pick(2, 4, 8), r.pick(16, 32, 64, 128, 256), r.pick(np.float32, np.float32, F16)
    k, n = r.pick(16, 40, 80, 129, 256, 300), r.pick(1, 6, 16)
    blocks = -(-k // block)
    zeros = r.pick(None, "packed", "float")
    z = None if zeros is None else r.bytes(np.uint8, n, -(-blocks * bits // 8)) if zeros == "packed" else r.f(n, blocks, scale=2, dtype=kind)
    a = r.f(r.dim("M", 1, 3), k, dtype=kind) if r.flag() else r.f(r.dim("B", 1, 2), r.dim("M", 1, 3), k, dtype=kind)
    return Call("MatMulNBits", [a, r.bytes(np.uint8, n, blocks, block * bits // 8), r.positive(n, blocks, scale=0.02, dtype=kind), z, None, r.f(n, dtype=kind) if r.flag(0.4) else None],
                K=k, N=n, bits=bits, block_size=block, constant={1, 2, 3, 5} if r.flag(0.7) else (), atol=1e-3 if kind == np.float32 else 0.15, rtol=1e-3 if kind == np.float32 else 1e-2)


@case("MatMulBnb4")
def matmul_bnb4(r):
    block, k, n = r.pick(16, 32, 64), r.pick(32, 64, 96), r.pick(4, 8, 10)
    blocks = -(-k * n // block)
    return Call("MatMulBnb4", [r.f(r.dim("M", 1, 4), k), r.bytes(np.uint8, (k * n + 1) // 2), r.positive(blocks)], K=k, N=n, block_size=block, quant_type=r.pick(0, 1),
                constant={1, 2} if r.flag() else (), atol=1e-4)


@case("GatherBlockQuantized")
def gather_block_quantized(r):
    kind, block = r.pick("u8", "u8", "u4", "i4"), r.pick(16, 32)
    rows, k, out = r.pick(5, 8), block * r.pick(1, 2) + r.pick(0, 0, 4), r.pick(np.float32, F16)
    bits = r.pick(2, 4, 8) if kind == "u8" else 4
    blocks = -(-k // block)
    index = r.i(-rows, rows, *r.pick((r.dim("N", 1, 4),), (2, r.dim("N", 1, 4))), dtype=r.pick(np.int32, np.int64))
    if kind == "u8":
        data, zero = r.bytes(np.uint8, rows, k * bits // 8), r.bytes(np.uint8, rows, -(-blocks * bits // 8))
    else:
        import ml_dtypes
        t = ml_dtypes.uint4 if kind == "u4" else ml_dtypes.int4
        lo = 0 if kind == "u4" else -8
        data, zero = (r.rng.integers(lo, lo + 16, s).astype(np.int8).astype(t) for s in ((rows, k), (rows, blocks)))
    return Call("GatherBlockQuantized", [data, index, r.positive(rows, blocks, scale=0.1, dtype=out), zero if r.flag() else None], constant={0, 2, 3}, block_size=block, quantize_axis=r.pick(1, -1),
                gather_axis=0, atol=1e-5 if out == np.float32 else 1e-2, **given(bits=bits if kind == "u8" else None))


@case("MoE")
def moe(r):
    t, h, inter, e = r.dim("T", 1, 6), r.pick(4, 8), r.pick(8, 12), r.pick(2, 4)
    kind = r.pick("relu", "gelu", "silu", "identity", "swiglu")
    fused = 2 if kind == "swiglu" else 1
    more = dict(swiglu_fusion=1, activation_alpha=r.pick(1.0, 1.702), activation_beta=r.pick(0.0, 1.0), **given(swiglu_limit=r.pick(None, 0.7))) if fused == 2 else {}
    x = r.f(t, h) if r.flag() else r.f(1, t, h)
    return Call("MoE", [x, r.f(t, e), r.f(e, fused * inter, h, scale=0.5), r.f(e, fused * inter) if r.flag() else None, r.f(e, h, inter, scale=0.5), r.f(e, h) if r.flag() else None],
                k=r.pick(1, 2), activation_type=kind, normalize_routing_weights=int(r.flag()), atol=1e-4, **more)


@case("QMoE")
def qmoe(r):
    t, h, inter, e = r.dim("T", 1, 6), 32 * r.pick(1, 2), 32, r.pick(2, 4)
    kind, bits, block = r.pick("relu", "gelu", "silu", "swiglu"), r.pick(2, 4, 8), r.pick(None, 16, 32)
    if bits == 8:  # its blockwise kernel of 8 bits rounds the activations to 8 bits
        block = None
    fused = 2 if kind == "swiglu" else 1
    more = dict(swiglu_fusion=1, activation_alpha=r.pick(1.0, 1.702), activation_beta=r.pick(0.0, 1.0), **given(swiglu_limit=r.pick(None, 0.7))) if fused == 2 else {}
    scale = lambda rows, k: r.positive(e, rows, k // block, scale=0.03) if block else r.positive(e, rows, scale=0.03)
    zero = lambda rows, k: r.bytes(np.uint8, e, rows, -(-(k // block) * bits // 8)) if block else r.bytes(np.uint8, e, -(-rows * bits // 8))
    zeros = r.flag(0.4)
    weights = r.positive(t, e) if r.flag(0.2) else None
    inputs = [r.f(t, h), r.f(t, e), r.bytes(np.uint8, e, fused * inter, h * bits // 8), scale(fused * inter, h), r.f(e, fused * inter) if r.flag() else None,
              r.bytes(np.uint8, e, h, inter * bits // 8), scale(h, inter), r.f(e, h) if r.flag() else None, None, None, None,
              zero(fused * inter, h) if zeros else None, zero(h, inter) if zeros else None, None, weights]
    # ONNX Runtime's CPU kernel normalises whatever normalize_routing_weights says, unlike its own MoE and its documentation
    return Call("QMoE", inputs, k=r.pick(1, 2), activation_type=kind, normalize_routing_weights=1, expert_weight_bits=bits, constant=set(range(2, 14)), atol=1e-3,
                **given(block_size=block), **more)


# ---- 8 and 16 bit integers ----
def triple(r, kind, *shape, scale=None):
    z = np.iinfo(kind)
    return [r.bytes(kind, *shape), sc(scale or r.rng.uniform(0.01, 0.06)), sc(r.rng.integers(z.min, z.max + 1), kind)]


def grid(r, kind, scale=None):
    return triple(r, kind, 1, scale=scale)[1:]


def quantised_binary(op):
    def make(r):
        kind, d = r.pick(np.int8, np.uint8), r.pick(3, 33)
        b = r.dim("B", 1, 3)
        shapes = r.pick(((b, d), (b, d)), ((b, d), (d,)), ((b, 1, d), (4, d)), ((d,), (b, d)), ((b, d), ()))
        return Call(op, [*triple(r, kind, *shapes[0]), *triple(r, kind, *shapes[1]), *grid(r, kind)], constant={1, 2, 4, 5, 6, 7} if r.flag() else ())
    GENERATORS[op] = (op, make)


quantised_binary("QLinearAdd")
quantised_binary("QLinearMul")


def quantised_unary(op, **attrs):
    def make(r):
        kind = r.pick(np.int8, np.uint8)
        return Call(op, [*triple(r, kind, r.dim("B", 1, 3), r.pick(5, 40)), *grid(r, kind)], constant={1, 2, 3, 4} if r.flag(0.7) else (), **{k: r.pick(*v) for k, v in attrs.items()})
    GENERATORS[op] = (op, make)


quantised_unary("QLinearLeakyRelu", alpha=(0.1, 0.01, 1.5))
quantised_unary("QLinearSigmoid")


@case("QLinearSoftmax")
def qlinear_softmax(r):
    kind = r.pick(np.int8, np.uint8)
    opset = r.pick(9, 13)
    return Call("QLinearSoftmax", [*triple(r, kind, r.dim("B", 1, 3), r.pick(2, 5), r.pick(3, 7)), sc(1 / 256), sc(0 if kind == np.uint8 else -128, kind)], constant={1, 2, 3, 4},
                axis=r.pick(-1, 1, 0, 2), opset=opset)


@case("QLinearConcat")
def qlinear_concat(r):
    kind, n, b = r.pick(np.int8, np.uint8), r.pick(1, 2, 3), r.dim("B", 1, 3)
    parts = [v for _ in range(n) for v in triple(r, kind, b, r.pick(1, 4, 9))]
    return Call("QLinearConcat", [*grid(r, kind), *parts], axis=r.pick(1, -1), constant=set(range(2 + 3 * n)) - {2 + 3 * i for i in range(n)} if r.flag() else ())


@case("QLinearWhere")
def qlinear_where(r):
    kind, d, b = r.pick(np.int8, np.uint8), r.pick(4, 9), r.dim("B", 1, 3)
    c = r.pick((b, d), (d,), (b, 1))
    return Call("QLinearWhere", [r.i(0, 2, *c, dtype=bool), *triple(r, kind, b, d), *triple(r, kind, *r.pick((b, d), (d,))), *grid(r, kind)])


@case("QLinearAveragePool")
def qlinear_average_pool(r):
    kind, last, k = r.pick(np.int8, np.uint8), r.flag(), r.pick(2, 3)
    b, c, h, w = r.dim("B", 1, 2), r.pick(1, 5), r.pick(6, 7), r.pick(6, 8)
    x, s, z = triple(r, kind, *((b, h, w, c) if last else (b, c, h, w)))
    include = r.flag()  # with ceil_mode it counts cells beyond the padding, too, which AveragePool does not since opset 19
    return Call("QLinearAveragePool", [x, s, z, *grid(r, kind, r.rng.uniform(0.01, 0.06))], kernel_shape=[k, k], strides=[r.pick(1, 2)] * 2, pads=[r.pick(0, 1)] * 4,
                count_include_pad=int(include), ceil_mode=int(not include and r.flag(0.3)), channels_last=int(last))


@case("QLinearGlobalAveragePool")
def qlinear_global_average_pool(r):
    kind, last = r.pick(np.int8, np.uint8), r.flag()
    b, c, h, w = r.dim("B", 1, 2), r.pick(1, 5), r.pick(6, 7), r.pick(6, 8)
    return Call("QLinearGlobalAveragePool", [*triple(r, kind, *((b, h, w, c) if last else (b, c, h, w))), *grid(r, kind)], channels_last=int(last))


@case("QLinearConv")
def qlinear_conv(r):
    x, w = r.pick((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8))
    g, cin, cout, k, last, per = r.pick(1, 1, 2), 4, r.pick(4, 8), r.pick(1, 3), r.flag(), r.flag()
    b, h, wd = r.dim("B", 1, 2), r.pick(5, 6), r.pick(5, 7)
    ws = r.positive(cout, scale=0.01) if per else sc(0.01)
    wz = np.zeros(cout, w) if per else sc(r.pick(0, 3), w)
    bias = r.i(-500, 500, cout) if r.flag() else None
    return Call("QLinearConv", [*triple(r, x, *((b, h, wd, cin) if last else (b, cin, h, wd))), r.seven(w, cout, cin // g, k, k), ws, wz, *grid(r, x, 0.3), bias],
                channels_last=int(last), group=g, pads=[r.pick(0, 1) if k == 3 else 0] * 4, strides=[r.pick(1, 2)] * 2, constant={1, 2, 3, 4, 5, 6, 7, 8})


@case("MatMulIntegerToFloat")
def matmul_integer_to_float(r):
    a, w = r.pick((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8))
    k, n, per = r.pick(5, 8, 32), r.pick(1, 5, 16), r.flag()
    return Call("MatMulIntegerToFloat", [r.bytes(a, r.dim("M", 1, 4), k), r.seven(w, k, n), sc(0.02), r.positive(n, scale=0.02) if per else sc(0.02), sc(r.pick(0, 100), a) if r.flag(0.8) else None,
                                         (r.i(0, 9, n, dtype=w) if per else sc(3, w)) if r.flag() else None, r.f(n) if r.flag() else None], atol=1e-4)


@case("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(r):
    w, k, n, per = r.pick(np.int8, np.uint8), r.pick(5, 8, 32), r.pick(1, 5, 16), r.flag()
    return Call("DynamicQuantizeMatMul", [r.f(r.dim("M", 1, 4), k), r.seven(w, k, n), r.positive(n, scale=0.02) if per else sc(0.02),
                                          (r.i(0, 9, n, dtype=w) if per else sc(3, w)) if r.flag() else None, r.f(n) if r.flag() else None], atol=1e-4, constant={1, 2, 3, 4} if r.flag() else ())


@case("MatMulInteger16")
def matmul_integer16(r):
    k = r.pick(3, 8)
    return Call("MatMulInteger16", [r.i(-3000, 3000, r.dim("M", 1, 4), k, dtype=np.int16), r.i(-3000, 3000, k, r.pick(1, 5), dtype=np.int16)], rtol=0, atol=0)


@case("QGemm")
def qgemm(r):
    a, w = r.pick((np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8))
    m, k, n, ta, tb, per = r.dim("M", 1, 4), r.pick(5, 8), r.pick(1, 5, 16), r.flag(0.3), r.flag(0.5), r.flag()
    inputs = [r.bytes(a, *((k, m) if ta else (m, k))), sc(0.02), sc(r.pick(0, 100), a), r.seven(w, *((n, k) if tb else (k, n))), r.positive(n, scale=0.02) if per else sc(0.02),
              r.i(0, 9, n, dtype=w) if per else sc(3, w), r.i(-50, 50, *r.pick((n,), (1, n), (m, n))) if r.flag() else None]
    if r.flag():
        inputs += grid(r, a, 0.1)
    return Call("QGemm", inputs, transA=int(ta), transB=int(tb), alpha=r.pick(1.0, 0.5), atol=1e-4)


@case("QuantizeLinear")
def ms_quantize_linear(r):
    kind = r.pick(np.int8, np.uint8, np.int16, np.uint16)
    c, axis = r.pick(3, 5), r.pick(None, 1)
    s, z = (r.positive(c, scale=0.05), r.i(0, 50, c, dtype=kind)) if axis else (sc(0.04), sc(7, kind))
    return Call("QuantizeLinear", [r.f(r.dim("B", 1, 3), c, 4), s, z], **given(axis=axis))


@case("DequantizeLinear")
def ms_dequantize_linear(r):
    kind = r.pick(np.int8, np.uint8, np.int16, np.uint16, np.int32)
    c, axis = r.pick(3, 5), r.pick(None, 1)
    s, z = (r.positive(c, scale=0.05), r.i(0, 50, c, dtype=kind)) if axis else (sc(0.04), sc(7, kind))
    if kind == np.int32:
        z = None
    return Call("DequantizeLinear", [r.bytes(kind, r.dim("B", 1, 3), c, 4), s, z], **given(axis=axis))


@case("DynamicQuantizeLSTM")
def dynamic_quantize_lstm(r):
    w, t, b, d, h, dirs = r.pick(np.int8, np.uint8), r.dim("T", 1, 5), r.dim("B", 1, 3), r.pick(3, 8), r.pick(2, 5), r.pick(1, 1, 2)
    per = r.flag(0.4)
    scale, zero = (r.positive(dirs, 4 * h, scale=0.01), np.zeros((dirs, 4 * h), w)) if per else (r.positive(dirs, scale=0.01), r.i(0, 4, dirs, dtype=w))
    way = "bidirectional" if dirs == 2 else r.pick("forward", "reverse")
    lens = r.i(1, t + 1, b) if way == "forward" and r.flag(0.4) else None  # backwards, rows of other lengths would share a grid of values elsewhere
    return Call("DynamicQuantizeLSTM", [r.f(t, b, d), r.seven(w, dirs, d, 4 * h), r.seven(w, dirs, h, 4 * h), r.f(dirs, 8 * h) if r.flag() else None, lens,
                                        r.f(dirs, b, h) if r.flag() else None, r.f(dirs, b, h) if r.flag() else None, r.f(dirs, 3 * h) if r.flag(0.3) else None, scale, zero, scale, zero], 3,
                hidden_size=h, direction=way, constant={1, 2, 3, 7, 8, 9, 10, 11}, atol=1e-4)


@case("QEmbedLayerNormalization")
def qembed_layer_normalization(r):
    b, s, d, segments, u = r.dim("B", 1, 3), r.dim("S", 1, 6), r.pick(8, 13), r.flag(), np.uint8
    z = lambda: sc(r.rng.integers(0, 256), u)
    return Call("QEmbedLayerNormalization", [r.i(0, 20, b, s), r.i(0, 2, b, s) if segments else None, r.bytes(u, 20, d), r.bytes(u, 16, d), r.bytes(u, 2, d) if segments else None,
                                             r.bytes(u, d), r.bytes(u, d), r.i(0, 2, b, s) if r.flag() else None, sc(0.02), sc(0.03), sc(0.01) if segments else None, sc(0.02), sc(0.01), z(), z(),
                                             z() if segments else None, z(), z()], 2, constant={2, 3, 4, 5, 6, *range(8, 18)}, epsilon=1e-12)


# ---- indexing and the rest ----
@case("ExpandDims")
def expand_dims(r):
    return Call("ExpandDims", [r.f(r.dim("B", 1, 3), 4, dtype=r.pick(np.float32, np.int64, np.uint8)), sc(r.pick(-1, 0, 1, 2), np.int32)], constant={1})


@case("GatherND")
def gather_nd(r):
    k, rows = r.pick(1, 2), r.pick(3, 4)
    index = r.keep(np.stack([r.rng.integers(0, n, 5) for n in (rows, 3)[:k]], -1).astype(r.pick(np.int32, np.int64)), (5, k))
    return Call("GatherND", [r.f(rows, 3, r.pick(1, 4), dtype=r.pick(np.float32, np.int8, np.float64)), index])


@case("GridSample")
def grid_sample(r):
    b, c = r.dim("B", 1, 2), r.pick(1, 3)
    g = r.f(b, r.pick(2, 4), r.pick(3, 5), 2, scale=0.8)
    return Call("GridSample", [r.f(b, c, r.pick(4, 5), r.pick(4, 6)), g], align_corners=int(r.flag()), mode=r.pick("bilinear", "nearest", "bicubic"),
                padding_mode=r.pick("zeros", "border", "reflection"), atol=1e-4)


@case("CropAndResize")
def crop_and_resize(r):
    b, rois = r.dim("B", 1, 3), r.dim("R", 1, 4)
    boxes = r.rng.random((int(rois), 4)).astype(np.float32) * 1.2 - 0.1
    return Call("CropAndResize", [r.f(b, r.pick(1, 3), 7, 9), r.keep(boxes, (rois, 4)), r.i(0, b, rois), sc([r.pick(1, 4), r.pick(1, 5)], np.int32)], constant={3} if r.flag() else (),
                mode=r.pick("bilinear", "nearest"), extrapolation_value=r.pick(0.0, 0.5))


@case("Pad")
def ms_pad(r):
    return Call("Pad", [r.f(r.pick(4, 6), r.pick(4, 7)), r.i(0, 3, 4, dtype=np.int64), sc(r.pick(0.0, 2.0))], mode=r.pick("constant", "reflect", "edge"))


@case("Range")
def ms_range(r):
    kind = r.pick(np.int32, np.int64, np.float32, np.float64, np.int16)
    return Call("Range", [sc(r.pick(0, 2), kind), sc(r.pick(5, 11), kind), sc(r.pick(1, 2, 3), kind) if r.flag() else None], constant={0, 1, 2} if r.flag() else ())


@case("Trilu")
def ms_trilu(r):
    kind = r.pick(np.float32, np.float64, np.int64)
    return Call("Trilu", [r.f(r.dim("B", 1, 2), r.pick(3, 5), r.pick(4, 5), scale=9, dtype=kind), sc(r.pick(-2, 0, 1), np.int64) if r.flag() else None], upper=int(r.flag()))


@case("Unique")
def ms_unique(r):
    return Call("Unique", [r.i(0, 5, r.dim("N", 1, 12)).astype(np.float32)], 3)


@case("UnfoldTensor")
def unfold_tensor(r):
    kind = r.pick(np.float32, np.int32, np.int64)
    size = r.pick(1, 3, 4)
    return Call("UnfoldTensor", [r.f(r.dim("B", 1, 3), r.pick(5, 10), r.pick(4, 6), scale=20, dtype=kind)], dim=r.pick(-1, 1, 2), size=size, step=r.pick(1, 2, 3))


@case("NGramRepeatBlock")
def ngram_repeat_block(r):
    b, vocabulary = r.dim("B", 1, 3), 8
    return Call("NGramRepeatBlock", [r.i(0, vocabulary, b, r.dim("S", 1, 12), dtype=np.int64), r.f(b, vocabulary)], ngram_size=r.pick(1, 2, 3))


@case("DynamicTimeWarping")
def dynamic_time_warping(r):
    m, n = r.dim("M", 1, 9), r.dim("N", 1, 11)
    return Call("DynamicTimeWarping", [r.f(1, m, n) if r.flag() else r.f(m, n)])


@case("MurmurHash3")
def murmur_hash3(r):
    kind = r.pick(np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64)
    x = r.f(r.dim("N", 1, 9), scale=1e6, dtype=kind) if kind in (np.float32, np.float64) else r.i(0, 1 << 30, r.dim("N", 1, 9), dtype=kind)
    return Call("MurmurHash3", [x], seed=r.pick(0, 5, 123456), positive=int(r.flag()), rtol=0, atol=0)


@case("SampleOp")
def sample_op(r):
    return Call("SampleOp", [r.f(r.dim("N", 1, 9), 3)])


# ---- gates, branches, routers ----
def floats_of(r):
    kind = r.pick(np.float32, np.float32, F16)
    return (lambda *shape, scale=1.0: r.f(*shape, scale=scale, dtype=kind)), dict(atol=1e-5 if kind == np.float32 else 2e-2, rtol=1e-3 if kind == np.float32 else 1e-2)


@case("GatedAdd")
def gated_add(r):
    f, close = floats_of(r)
    b, s, c = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(1, 8, 13)
    return Call("GatedAdd", [f(b, s, c), f(b, s, c), f(b, s, 1)], **close)


@case("ScaledSiLU")
def scaled_silu(r):
    f, close = floats_of(r)
    return Call("ScaledSiLU", [f(r.dim("B", 1, 3), 7), sc(0.7) if r.flag() else None], alpha=r.pick(1.0, 1.5, -0.5), **close)


@case("GatedRMSNorm")
def gated_rms_norm(r):
    f, close = floats_of(r)
    b, t, c = r.dim("B", 1, 3), r.dim("T", 1, 5), r.pick(4, 8)
    h = r.pick(1, 3)
    return Call("GatedRMSNorm", [f(b, t, h * c), f(c), f(b, t, h * c)], activation=r.pick("silu", "swish", "sigmoid"), epsilon=r.pick(1e-5, 1e-3), **close)


@case("LinearAttentionGate")
def linear_attention_gate(r):
    f, close = floats_of(r)
    b, t, h = r.dim("B", 1, 3), r.dim("T", 1, 5), r.pick(2, 5)
    both = r.flag()
    return Call("LinearAttentionGate", [f(b, t, h, scale=3), r.f(h), r.f(h), f(b, t, h) if both else None], 2 if both else 1, **close)


@case("BranchwiseRMSNorm")
def branchwise_rms_norm(r):
    f, close = floats_of(r)
    b, s, c, h, flat = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(1, 2, 4), r.pick(8, 5), r.flag()
    scale = r.pick(None, (h,), (c, h), (c * h,))
    return Call("BranchwiseRMSNorm", [f(b, s, c * h) if flat else f(b, s, c, h), None if scale is None else r.f(*scale)], epsilon=r.pick(1e-5, 1e-3),
                **given(num_branches=c if flat else None), **close)


@case("EngramGate")
def engram_gate(r):
    f, close = floats_of(r)
    b, s, m, h = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(1, 4), r.pick(8, 6)
    both = r.flag()
    return Call("EngramGate", [f(b, s, m, h), f(b, s, m, h), f(b, s, h), f(m, h), f(m, h), f(m, h) if both else None], 2 if both else 1, **close)


@case("HyperConnectionPreMix")
def hyper_connection_pre_mix(r):
    f, close = floats_of(r)
    b, s, c, h, flat = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(2, 4), r.pick(8, 5), r.flag()
    mix = r.pick((c,), (c, 1), (c, h), *([(c * h,)] if flat else []))
    return Call("HyperConnectionPreMix", [f(b, s, c * h) if flat else f(b, s, c, h), r.f(b, s, *mix)], reduction_scale=r.pick(1.0, 0.5),
                **given(num_branches=c if flat else None), **close)


@case("HyperConnectionPostMix")
def hyper_connection_post_mix(r):
    f, close = floats_of(r)
    b, s, c, h, flat = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(2, 4), r.pick(8, 5), r.flag()
    mix = r.pick((c,), (c, 1), (c, h))
    return Call("HyperConnectionPostMix", [f(b, s, c * h) if flat else f(b, s, c, h), f(b, s, h), r.f(b, s, *mix), r.f(b, s, c, c) if r.flag() else None],
                **given(num_branches=c if flat else None), **close)


@case("MoEGroupRouter")
def moe_group_router(r):
    f, close = floats_of(r)
    t, groups = r.dim("T", 1, 5), r.pick(1, 2, 4)
    e = groups * r.pick(2, 4)
    topk_group = r.pick(1, 2) if groups > 1 else 1
    call = Call("MoEGroupRouter", [f(t, e), r.f(e, scale=0.3)], top_k=min(2, topk_group * e // groups), n_group=groups, topk_group=topk_group, group_topk=r.pick(1, 2), **close)
    if groups == 1 and r.flag():
        call.outputs, call.unwanted = 3, {0}
    return call


@case("NGramHashMapping")
def ngram_hash_mapping(r):
    kind, b, s, n, heads = r.pick(np.int32, np.int64), r.dim("B", 1, 3), r.dim("S", 1, 9), r.pick(2, 3, 4), r.pick(1, 2)
    ids = lambda *shape: r.i(0, 6, *shape, dtype=kind)
    count = (n - 1) * heads
    return Call("NGramHashMapping", [ids(b, s), r.i(1, 1 << 20, n, dtype=kind), r.i(7, 1000, count, dtype=kind), ids(b, n - 1) if r.flag() else None,
                                     r.i(0, 1000, count, dtype=kind) if r.flag() else None, sc(r.pick(2, 3), kind) if r.flag(0.7) else None,
                                     np.sort(r.i(0, 3, b, s), axis=1) if r.flag(0.4) else None], 2, max_ngram_size=n, n_head_per_ngram=heads, pad_id=1, reset_on_eos=int(r.flag()), rtol=0, atol=0)


@case("MRotaryEmbedding")
def m_rotary_embedding(r):
    f, close = floats_of(r)
    b, s, n, h = r.dim("B", 1, 3), r.dim("S", 1, 5), r.pick(1, 3), 16
    layout = r.pick(0, 1)
    section = r.pick([2, 3, 3], [4, 2, 2]) if layout == 0 else r.pick([4, 2, 2], [3, 3, 2])
    x = f(b, n, s, h) if r.flag() else f(b, s, n * h)
    return Call("MRotaryEmbedding", [x, r.i(0, 20, 3, b, s, dtype=np.int64), f(20, h // 2), f(20, h // 2)], mrope_section=section, mrope_layout=layout, num_heads=n,
                interleaved=int(r.flag()), **close)


# ---- ai.onnx.ml ----
POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


def rows(r, columns, kinds=(np.float32, np.float32, np.float64, np.int64, np.int32)):
    kind = r.pick(*kinds)
    return r.f(r.dim("N", 1, 5), columns, scale=1 if kind in (np.float32, np.float64) else 4, dtype=kind)


def labels(r, n):
    return dict(classlabels_strings=[f"c{i}" for i in range(n)]) if r.flag() else dict(classlabels_ints=[int(v) for v in r.rng.permutation(20)[:n]])


def numbers(r, n, scale=1.0):
    return [float(v) for v in np.float32(scale) * r.rng.normal(size=n).astype(np.float32)]


@case("LinearClassifier")
def linear_classifier(r):
    c, n = r.pick(3, 5), r.pick(1, 3, 4)
    names = labels(r, 2 if n == 1 else n)
    return Call("LinearClassifier", [rows(r, c)], 2, ML, coefficients=numbers(r, c * n, 0.4), intercepts=numbers(r, n), post_transform=r.pick(*POSTS), **names)


@case("LinearRegressor")
def linear_regressor(r):
    c, n = r.pick(3, 5), r.pick(1, 2)
    return Call("LinearRegressor", [rows(r, c, (np.float32,))], 1, ML, coefficients=numbers(r, c * n), targets=n,
                post_transform=r.pick("NONE", "LOGISTIC", "SOFTMAX") if n > 1 else "NONE",  # ONNX Runtime leaves a single score as it is
                **given(intercepts=numbers(r, n) if r.flag() else None))


def svm(r, pairs_of, n):
    kernel = r.pick("LINEAR", "POLY", "RBF", "SIGMOID")
    return dict(kernel_type=kernel, kernel_params=[0.3, 0.1, float(r.pick(2, 3))], rho=numbers(r, pairs_of))


@case("SVMRegressor")
def svm_regressor(r):
    c, n = r.pick(2, 4), r.pick(1, 5)
    return Call("SVMRegressor", [rows(r, c, (np.float32,))], 1, ML, coefficients=numbers(r, n), support_vectors=numbers(r, n * c), n_supports=n, one_class=int(r.flag(0.2)),
                atol=1e-4, **svm(r, 1, n))


@case("SVMClassifier")
def svm_classifier(r):
    c, k = r.pick(2, 4), r.pick(2, 3, 4)
    per = [int(v) for v in r.rng.integers(1, 4, k)]
    pairs = k * (k - 1) // 2
    probabilities = dict(prob_a=[-abs(v) for v in numbers(r, pairs)], prob_b=numbers(r, pairs)) if r.flag() else {}
    posts = POSTS if k > 2 else ("NONE",)  # of two, ONNX Runtime gives 1 - s and s whatever the transform; the reference evaluator transforms
    return Call("SVMClassifier", [rows(r, c)], 2, ML, coefficients=numbers(r, (k - 1) * sum(per)), support_vectors=numbers(r, sum(per) * c), vectors_per_class=per,
                post_transform=r.pick(*posts), atol=1e-4, **labels(r, k), **svm(r, pairs, sum(per)), **probabilities)


def forest(r, columns, what, ids, every=False):
    """Random trees: attributes of nodes, then `what`_* of leaves, for some ids in range(ids) or for every one."""
    a = {k: [] for k in ("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values", "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true")}
    leaves = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    modes = r.pick(["BRANCH_LEQ"], ["BRANCH_LT"], ["BRANCH_GTE"], ["BRANCH_GT"], ["BRANCH_LEQ", "BRANCH_EQ", "BRANCH_NEQ"])

    def node(tree, depth):
        me = len([t for t in a["nodes_treeids"] if t == tree])
        leaf = depth == 0 or (depth < 3 and r.flag(0.3))
        row = [tree, me, int(r.rng.integers(columns)), "LEAF" if leaf else r.pick(*modes), 0.0 if leaf else float(np.float32(r.rng.integers(-2, 3) * 0.5)), 0, 0, int(r.flag(0.3))]
        for k, v in zip(a, row):
            a[k].append(v)
        place = len(a["nodes_treeids"]) - 1
        if leaf:
            for i in range(ids) if every else sorted(set(r.rng.integers(0, ids, r.pick(1, 1, 2)).tolist())):
                for k, v in zip(leaves, (tree, me, i, float(np.float32(r.rng.normal())))):
                    leaves[k].append(v)
        else:
            a["nodes_truenodeids"][place] = node(tree, depth - 1)
            a["nodes_falsenodeids"][place] = node(tree, depth - 1)
        return me

    for tree in range(r.pick(1, 3, 8)):
        node(tree, r.pick(1, 2, 4))
    return {**a, **{f"{what}_{k}": v for k, v in leaves.items()}}


def with_missing(r, x):
    if x.dtype.kind == "f" and r.flag(0.3):
        x[r.rng.random(x.shape) < 0.2] = np.nan
    return x


@case("TreeEnsembleRegressor")
def tree_ensemble_regressor(r):
    c, n, how = r.pick(1, 4), r.pick(1, 3), r.pick("SUM", "AVERAGE", "MIN", "MAX")
    base = numbers(r, n) if r.flag(0.4) else None  # ONNX Runtime leaves it out where no tree has a weight
    return Call("TreeEnsembleRegressor", [with_missing(r, rows(r, c, (np.float32, np.float64)))], 1, ML, n_targets=n, aggregate_function=how,
                post_transform=r.pick("NONE", "LOGISTIC", "SOFTMAX") if n > 1 else "NONE", **given(base_values=base), **forest(r, c, "target", n, every=base is not None))


@case("TreeEnsembleClassifier")
def tree_ensemble_classifier(r):
    c, n = r.pick(1, 4), r.pick(3, 4)  # of two classes ONNX Runtime takes labels and scores by rules of its own, see trees_one_id in contrib.py
    names = labels(r, n)
    names = {k.replace("_ints", "_int64s"): v for k, v in names.items()}
    return Call("TreeEnsembleClassifier", [with_missing(r, rows(r, c))], 2, ML, post_transform=r.pick(*POSTS), **names,
                **given(base_values=numbers(r, n) if r.flag(0.4) else None), **forest(r, c, "class", n, every=True))  # a class without a score in a row cannot win there in ONNX Runtime


@case("Normalizer")
def normalizer(r):
    return Call("Normalizer", [rows(r, r.pick(1, 4))], 1, ML, norm=r.pick("MAX", "L1", "L2"))


@case("Scaler")
def scaler(r):
    c, one = r.pick(1, 4), r.flag(0.3)
    return Call("Scaler", [rows(r, c)], 1, ML, offset=numbers(r, 1 if one else c), scale=numbers(r, 1 if one else c))


@case("Binarizer")
def binarizer(r):
    return Call("Binarizer", [rows(r, r.pick(1, 4), (np.float32,))], 1, ML, threshold=r.pick(0.0, 0.3))


@case("Imputer")
def imputer(r):
    c, whole, one = r.pick(1, 4), r.flag(0.4), r.flag(0.3)
    n = 1 if one else c
    if whole:
        return Call("Imputer", [r.i(-2, 3, r.dim("N", 1, 5), c, dtype=np.int64)], 1, ML, imputed_value_int64s=[int(v) for v in r.rng.integers(5, 9, n)], replaced_value_int64=r.pick(0, -1))
    return Call("Imputer", [with_missing(r, rows(r, c, (np.float32,)))], 1, ML, imputed_value_floats=numbers(r, n), replaced_value_float=float("nan"))


@case("OneHotEncoder")
def one_hot_encoder(r):
    kind = r.pick(np.int64, np.float32, np.float64)
    return Call("OneHotEncoder", [r.i(0, 5, r.dim("N", 1, 6), dtype=np.int64).astype(kind)], 1, ML, cats_int64s=[0, 2, 4, 7], zeros=1)


@case("LabelEncoder")
def label_encoder(r):
    source, to = r.pick("int64s", "floats"), r.pick("int64s", "floats", "strings")
    x = r.i(0, 6, r.dim("N", 1, 6), 2, dtype=np.int64 if source == "int64s" else np.float32)
    values = {"int64s": [7, 8, 9], "floats": [0.5, 1.5, 2.5], "strings": ["a", "b", "c"]}[to]
    default = {"int64s": dict(default_int64=-3), "floats": dict(default_float=9.5), "strings": dict(default_string="none")}[to] if r.flag() else {}
    keys = [1, 2, 4] if source == "int64s" else [1.0, 2.0, 4.0]
    return Call("LabelEncoder", [x], 1, ML, **{f"keys_{source}": keys, f"values_{to}": values}, **default)


@case("FeatureVectorizer")
def feature_vectorizer(r):
    n, kind = r.dim("N", 1, 4), r.pick(np.float32, np.int64, np.float64, np.int32)
    widths = [r.pick(1, 2, 3) for _ in range(r.pick(1, 2, 3))]
    return Call("FeatureVectorizer", [r.f(n, w, scale=4, dtype=kind) for w in widths], 1, ML, inputdimensions=widths)


@case("ArrayFeatureExtractor")
def array_feature_extractor(r):
    c = r.pick(2, 5)
    return Call("ArrayFeatureExtractor", [r.f(r.dim("N", 1, 4), c, scale=4, dtype=r.pick(np.float32, np.int64, np.float64, np.int32)), r.i(0, c, 1, r.pick(1, 3), dtype=np.int64)], 1, ML)
