"""Contractions, windows, normalisations, recurrences, attention, sampling: random attributes, odd sizes."""
import numpy as np

from .case import Case, allowed, kind, label, mantissa, ordinary, rng, short, versions

I64 = np.int64


def tol(dtype, depth=1, more=1):
    """Sums of `depth` products in another order."""
    if kind(dtype) != "float":
        return {}
    eps = 2.0 ** -mantissa(dtype)
    return dict(ulp=4 * more if dtype in (np.float32, np.float64) else 2 * more, frac=more * eps * (2 if dtype in (np.float32, np.float64) else 1) * max(1.0, depth ** 0.5))


def places(dtype, n):
    """How many of n random cases a type gets."""
    return n if dtype == np.float32 else max(2, n // 6)


def small(r, dtype, shape):
    return ordinary(r, dtype, shape, -1, 1)


def products():
    shapes = [((3, 5), (5, 7)), ((17, 37), (37, 19)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 2)), ((7,), (7,)), ((3, 7), (7,)), ((7,), (2, 7, 3)), ((1, 1), (1, 1)), ((3, 0), (0, 4)), ((0, 3), (3, 2)), ((65, 33), (33, 130))]
    for s in versions("MatMul"):
        for dtype in allowed(s, 0):
            for a, b in shapes if dtype in (np.float32, np.int32) else shapes[1:9:3]:
                for how in ("", "const", "size") if dtype == np.float32 else ("", "size"):
                    name = f"MatMul/{s.since_version}/{short(dtype)}/{label(a)}_{label(b)}{how and '/' + how}"
                    r = rng(name)
                    yield Case(name, "MatMul", s.since_version, [small(r, dtype, a), small(r, dtype, b)], const=(1,) if how == "const" else (), dims="size" if how == "size" else "", **tol(dtype, a[-1]))
    for s in versions("Gemm"):
        for dtype in allowed(s, 0):
            for m, n, k in [(3, 5, 7), (17, 37, 19), (1, 1, 1), (4, 130, 33), (5, 3, 0)]:
                for ta, tb in ((0, 0), (1, 0), (0, 1), (1, 1)):
                    for c in dict.fromkeys([None, (n,), (m, 1), (m, n), ()]):
                        if c is None and s.since_version < 11 or c is not None and c != (m, n) and s.since_version < 7 or dtype != np.float32 and (ta != tb or c in ((m, 1), ())):
                            continue
                        for how in ("", "const", "size") if dtype == np.float32 and k == 19 else ("",):
                            name = f"Gemm/{s.since_version}/{short(dtype)}/{m}x{n}x{k}/{ta}{tb}/{'none' if c is None else label(c)}{how and '/' + how}"
                            r = rng(name)
                            attrs = {"transA": ta, "transB": tb, **({} if r.random() < 0.5 else {"alpha": 0.5, "beta": 2.0})}
                            if kind(dtype) in ("int", "uint"):
                                attrs = {"transA": ta, "transB": tb}
                            inputs = [small(r, dtype, (k, m) if ta else (m, k)), small(r, dtype, (n, k) if tb else (k, n))] + ([] if c is None else [small(r, dtype, c)])
                            yield Case(name, "Gemm", s.since_version, inputs, attrs, const=(1, 2)[:len(inputs) - 1] if how == "const" else (), dims="size" if how == "size" else "", ref=s.since_version >= 7, **tol(dtype, k))
    equations = [("ij,jk->ik", [(3, 5), (5, 7)]), ("ij->ji", [(3, 17)]), ("ii", [(5, 5)]), ("ii->i", [(5, 5)]), ("ij->", [(3, 17)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)]), ("...ij,...jk->...ik", [(2, 1, 3, 4), (5, 4, 2)]),
                 ("i,j->ij", [(17,), (5,)]), ("ijk,ikl,lm->ijm", [(2, 3, 4), (2, 4, 5), (5, 3)]), ("bhqd,bhkd->bhqk", [(2, 3, 5, 4), (2, 3, 7, 4)]), ("ij,ij->i", [(3, 37), (3, 37)]), ("bcd->bdc", [(2, 3, 5)]), ("ab,cd", [(2, 3), (4, 5)]), ("iij->j", [(3, 3, 5)])]
    for s in versions("Einsum"):
        for dtype in allowed(s, 0):
            for n, (equation, shapes_) in enumerate(equations) if dtype in (np.float32, np.int32) else list(enumerate(equations))[::4]:
                for dims in ("", "size"):
                    name = f"Einsum/{s.since_version}/{short(dtype)}/{n}{dims and '/' + dims}"
                    r = rng(name)
                    yield Case(name, "Einsum", s.since_version, [small(r, dtype, d) for d in shapes_], {"equation": equation}, dims=dims, **tol(dtype, 40))
    for s in versions("Det"):
        for dtype in allowed(s, 0):
            for shape in [(1, 1), (2, 2), (3, 3), (2, 4, 4), (2, 3, 7, 7)]:
                for dims in ("", "size"):
                    name = f"Det/{s.since_version}/{short(dtype)}/{label(shape)}{dims and '/' + dims}"
                    yield Case(name, "Det", s.since_version, [small(rng(name), dtype, shape)], dims=dims, ulp=64, frac=1e-5)


def window(r, spatial, dilated=True):
    """Random attributes of a window op."""
    d = len(spatial)
    kernel = [int(r.integers(1, min(4, e) + 1)) for e in spatial]
    attrs = {}
    if r.random() < 0.6:
        attrs["strides"] = [int(v) for v in r.integers(1, 4, d)]
    if dilated and r.random() < 0.3:
        attrs["dilations"] = [int(v) if (kernel[i] - 1) * v + 1 <= spatial[i] else 1 for i, v in enumerate(r.integers(1, 3, d))]
    choice = r.random()
    if choice < 0.5:
        attrs["pads"] = [int(r.integers(0, kernel[i % d])) for i in range(2 * d)]
    elif choice < 0.75:
        attrs["auto_pad"] = str(r.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        if attrs["auto_pad"] != "VALID":
            attrs.pop("dilations", None)
    return kernel, attrs


SPATIAL = [(17,), (9, 7), (5, 13), (37,), (4, 5, 6), (8, 8), (1, 7), (16, 33)]


def convolutions():
    for op in ("Conv", "ConvTranspose"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for n in range(places(dtype, 90)):
                    name = f"{op}/{s.since_version}/{short(dtype)}/{n}"
                    r = rng(name)
                    spatial = SPATIAL[n % len(SPATIAL)]
                    kernel, attrs = window(r, spatial)
                    group = int(r.choice([1, 1, 2, 4]))
                    cin, cout = group * int(r.choice([1, 2, 3, 8])), group * int(r.choice([1, 2, 5, 8]))
                    if op == "ConvTranspose":
                        if attrs.get("auto_pad") in ("SAME_UPPER", "SAME_LOWER") and s.since_version < 11:
                            attrs.pop("auto_pad")
                        if r.random() < 0.3 and "strides" in attrs and "auto_pad" not in attrs:
                            attrs["output_padding"] = [int(r.integers(0, v)) for v in attrs["strides"]]
                        w = (cin, cout // group, *kernel)
                    else:
                        w = (cout, cin // group, *kernel)
                    if group > 1:
                        attrs["group"] = group
                    if r.random() < 0.5:
                        attrs["kernel_shape"] = kernel
                    x = small(r, dtype, (int(r.choice([1, 2])), cin, *spatial))
                    inputs = [x, small(r, dtype, w)] + ([small(r, dtype, (cout,))] if r.random() < 0.5 else [])
                    how = ("const", "", "size", "const")[n % 4]
                    const = tuple(range(1, len(inputs))) if how == "const" else ()
                    yield Case(name, op, s.since_version, inputs, attrs, const=const, dims={0: range(2 + len(spatial))} if how == "size" or n % 8 == 3 else "", ref=op == "Conv" and "auto_pad" not in attrs, **tol(dtype, cin * int(np.prod(kernel))))


def pools():
    for op in ("MaxPool", "AveragePool", "LpPool"):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for n in range(places(dtype, 60)):
                    name = f"{op}/{s.since_version}/{short(dtype)}/{n}"
                    r = rng(name)
                    spatial = SPATIAL[n % len(SPATIAL)]
                    kernel, attrs = window(r, spatial, "dilations" in s.attributes)
                    attrs["kernel_shape"] = kernel
                    if "ceil_mode" in s.attributes and r.random() < 0.3 and "auto_pad" not in attrs:
                        attrs["ceil_mode"] = 1
                    if "count_include_pad" in s.attributes and r.random() < 0.5:
                        attrs["count_include_pad"] = 1
                    if op == "LpPool":
                        attrs["p"] = 3.0 if s.since_version < 2 else 3
                    nout = 2 if op == "MaxPool" and s.since_version >= 8 and n % 3 == 0 else 1
                    x = ordinary(r, dtype, (2, 3, *spatial))
                    yield Case(name, op, s.since_version, [x], attrs, nout=nout, dims="size" if n % 2 else "", ref=False, **({} if op == "MaxPool" else tol(dtype, 30)))


def norms():
    for s in versions("BatchNormalization"):
        for dtype in allowed(s, 0):
            for n, shape in enumerate([(2, 3), (2, 5, 7), (1, 4, 3, 17), (2, 3, 2, 3, 4)]):
                for how in ("", "const", "size"):
                    name = f"BatchNormalization/{s.since_version}/{short(dtype)}/{label(shape)}{how and '/' + how}"
                    r = rng(name)
                    c = shape[1]
                    inputs = [small(r, dtype, shape), small(r, dtype, (c,)), small(r, dtype, (c,)), small(r, dtype, (c,)), np.abs(small(r, dtype, (c,))) + np.ones((), dtype)]
                    attrs = {"epsilon": 1e-3, **({"is_test": 1} if s.since_version < 7 else {})}
                    if s.since_version < 6:
                        attrs["consumed_inputs"] = [0, 0, 0, 1, 1]
                    yield Case(name, "BatchNormalization", s.since_version, inputs, attrs, const=(1, 2, 3, 4) if how == "const" else (), dims="size" if how == "size" else "", ref=s.since_version >= 14, **tol(dtype, 4))
    for op, extra in (("InstanceNormalization", 2), ("GroupNormalization", 2), ("LayerNormalization", 2), ("RMSNormalization", 1)):
        for s in versions(op):
            for dtype in allowed(s, 0):
                for shape in [(2, 4, 7), (1, 6, 3, 17), (3, 8, 5), (2, 2, 130)]:
                    for how in ("", "const", "size"):
                        for axis in (-1, 1, -2) if op in ("LayerNormalization", "RMSNormalization") else (None,):
                            name = f"{op}/{s.since_version}/{short(dtype)}/{label(shape)}{'' if axis is None else f'/{axis}'}{how and '/' + how}"
                            r = rng(name)
                            attrs = {} if axis is None else {"axis": axis}
                            width = (shape[1],) if axis is None else shape[axis:]
                            if op == "GroupNormalization":
                                attrs["num_groups"] = 2
                                width = (2,) if s.since_version < 21 else width
                            if s.since_version < 6:
                                attrs["consumed_inputs"] = [0, 0, 0]
                            inputs = [ordinary(r, dtype, shape)] + [small(r, dtype, width) for _ in range(extra)]
                            yield Case(name, op, s.since_version, inputs, attrs, const=tuple(range(1, 1 + extra)) if how == "const" else (), dims="size" if how == "size" else "", **tol(dtype, 16, 2))
    for s in versions("LRN"):
        for dtype in allowed(s, 0):
            for shape, size in [((2, 5, 3, 7), 3), ((1, 8, 2, 2), 5), ((2, 3, 4, 4), 1), ((1, 7, 5, 5), 4)]:
                for dims in ("", "size"):
                    name = f"LRN/{s.since_version}/{short(dtype)}/{label(shape)}/{size}{dims and '/' + dims}"
                    yield Case(name, "LRN", s.since_version, [ordinary(rng(name), dtype, shape)], {"size": size, "alpha": 0.5, "beta": 0.6, "bias": 1.5}, dims=dims, ref=False, **tol(dtype, 4, 2))
    for s in versions("MeanVarianceNormalization"):
        for dtype in allowed(s, 0):
            for axes in (None, [0, 1, 2, 3], [1], [-1]):
                if "axes" not in s.attributes and axes:
                    continue
                name = f"MeanVarianceNormalization/{s.since_version}/{short(dtype)}/{axes}".replace(" ", "")
                yield Case(name, "MeanVarianceNormalization", s.since_version, [ordinary(rng(name), dtype, (2, 3, 5, 4))], {} if axes is None else {"axes": axes}, **tol(dtype, 16, 4))


def recurrences():
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}
    for op, g in gates.items():
        for s in versions(op):
            for dtype in allowed(s, 0):
                for n in range(places(dtype, 36)):
                    name = f"{op}/{s.since_version}/{short(dtype)}/{n}"
                    r = rng(name)
                    seq, batch, width, hidden = int(r.integers(1, 6)), int(r.integers(1, 4)), int(r.choice([1, 3, 8])), int(r.choice([1, 4, 17]))
                    direction = ("forward", "reverse", "bidirectional")[n % 3]
                    d = 2 if direction == "bidirectional" else 1
                    has = r.random(4) < 0.5
                    inputs = [small(r, dtype, (seq, batch, width)), small(r, dtype, (d, g * hidden, width)), small(r, dtype, (d, g * hidden, hidden)), small(r, dtype, (d, 2 * g * hidden)) if has[0] else None,
                              r.integers(1, seq + 1, batch).astype(np.int32) if has[1] else None, small(r, dtype, (d, batch, hidden)) if has[2] else None]
                    if op == "LSTM":
                        inputs += [small(r, dtype, (d, batch, hidden)) if has[2] else None, small(r, dtype, (d, 3 * hidden)) if has[3] else None]
                    attrs = {"hidden_size": hidden, "direction": direction}
                    if r.random() < 0.3:
                        attrs["clip"] = 0.5
                    if op == "GRU" and r.random() < 0.5 and s.since_version >= 3:
                        attrs["linear_before_reset"] = 1
                    if s.since_version < 7 and "output_sequence" in s.attributes:
                        attrs["output_sequence"] = 1
                    nout = 3 if op == "LSTM" else 2
                    yield Case(name, op, s.since_version, inputs, attrs, nout=nout, const=(1, 2, 3)[:2 + has[0]] if n % 2 else (), dims="size" if n % 4 == 3 else "", ref=False, **tol(dtype, 64, 4))


def sampling():
    modes = ["nearest", "linear", "cubic"]
    for s in versions("Resize"):
        for dtype in (np.float32, np.float16, np.uint8, np.int8, np.int32, np.float64):
            if np.dtype(dtype) not in allowed(s, 0 if s.since_version < 11 else "T1" if s.since_version >= 11 else "T"):
                continue
            for n in range(places(dtype, 72)):
                name = f"Resize/{s.since_version}/{short(dtype)}/{n}"
                r = rng(name)
                mode = modes[n % 3] if s.since_version >= 11 else modes[n % 2]
                shape = [(1, 2, 5, 7), (2, 1, 4, 4), (1, 1, 3, 9), (1, 1, 8, 5)][n % 4]
                attrs = {"mode": mode}
                if s.since_version >= 11:
                    ways = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] + (["half_pixel_symmetric"] if s.since_version >= 19 else [])
                    attrs["coordinate_transformation_mode"] = str(r.choice(ways))
                    if mode == "nearest":
                        attrs["nearest_mode"] = str(r.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]))
                    elif mode == "cubic" and r.random() < 0.5:
                        attrs["exclude_outside"] = 1
                    if s.since_version >= 18 and mode != "nearest" and r.random() < 0.3 and attrs["coordinate_transformation_mode"] == "half_pixel":
                        attrs["antialias"] = 1
                sizes = [shape[0], shape[1], int(r.integers(1, 12)), int(r.integers(1, 12))]
                use_sizes = s.since_version >= 11 and n % 2
                scales = np.array([1, 1, *(np.array(sizes[2:]) / np.array(shape[2:]))], np.float32)
                if not use_sizes:
                    scales = np.array([1, 1, *r.choice([0.5, 1.0, 1.5, 2.0, 3.0], 2)], np.float32)
                x = ordinary(r, dtype, shape)
                if s.since_version < 11:
                    inputs = [x, scales]
                elif use_sizes:
                    inputs = [x, None, None, np.array(sizes, I64)]
                else:
                    inputs = [x, None, scales]
                steps = np.float32 if dtype == np.float64 else dtype  # weights are float32, as in ONNX Runtime
                const = () if n % 5 == 4 else tuple(i for i in (1, 2, 3) if i < len(inputs) and inputs[i] is not None)
                yield Case(name, "Resize", s.since_version, inputs, attrs, const=const, dims="size" if n % 7 == 3 else "", **({} if mode == "nearest" else {**tol(steps, 16, 8), **({} if dtype != np.float64 else {"atol": 4e-6})}))
    for s in versions("Upsample"):
        for mode in ("nearest", "linear" if s.since_version >= 7 else "bilinear"):
            for n in range(6):
                name = f"Upsample/{s.since_version}/f32/{mode}/{n}"
                x = ordinary(rng(name), np.float32, (1, 2, 3, 5))
                h, w = [(1.0, 2.0), (2.0, 3.0), (3.0, 1.0), (1.5, 2.0), (2.0, 2.0), (4.0, 1.0)][n]
                if s.since_version < 7:
                    yield Case(name, "Upsample", s.since_version, [x], {"mode": mode, "height_scale": h, "width_scale": w}, ref=False)
                elif s.since_version < 9:
                    yield Case(name, "Upsample", s.since_version, [x], {"mode": mode, "scales": [1.0, 1.0, h, w]}, ulp=8, frac=1e-6, ref=False)
                else:
                    yield Case(name, "Upsample", s.since_version, [x, np.array([1, 1, h, w], np.float32)], {"mode": mode}, const=(1,), ulp=8, frac=1e-6, ref=False)
    for s in versions("GridSample"):
        names = ["bilinear", "nearest", "bicubic"] if s.since_version < 20 else ["linear", "nearest", "cubic"]
        for dtype in (np.float32, np.float64):
            for n in range(places(dtype, 36)):
                name = f"GridSample/{s.since_version}/{short(dtype)}/{n}"
                r = rng(name)
                attrs = {"mode": names[n % 3], "padding_mode": ["zeros", "border", "reflection"][n // 3 % 3], "align_corners": n // 9 % 2}
                x, grid = ordinary(r, dtype, (2, 3, 5, 7)), r.uniform(-1.6, 1.6, (2, 4, 3, 2)).astype(np.float32 if s.since_version < 16 else dtype)
                yield Case(name, "GridSample", s.since_version, [x, grid], attrs, dims="size" if n % 2 else "", frac=2e-5, ulp=16)
    for s in versions("AffineGrid"):
        for size in ([2, 3, 5, 7], [1, 2, 3, 4, 5]):
            for align in (0, 1):
                for how in ("const", "fed"):
                    name = f"AffineGrid/{s.since_version}/f32/{len(size)}/{align}/{how}"
                    d = len(size) - 2
                    yield Case(name, "AffineGrid", s.since_version, [small(rng(name), np.float32, (size[0], d, d + 1)), np.array(size, I64)], {"align_corners": align}, const=(1,) if how == "const" else (), ulp=8, frac=1e-6)
    for s in versions("RoiAlign"):
        for n in range(24):
            name = f"RoiAlign/{s.since_version}/f32/{n}"
            r = rng(name)
            corner = r.uniform(0, 8, (5, 2))
            rois = np.concatenate([corner, corner + r.uniform(1, 6, (5, 2))], 1).astype(np.float32)
            attrs = {"output_height": 3, "output_width": 2, "spatial_scale": float(r.choice([1.0, 0.5])), "sampling_ratio": int(r.choice([0, 2, 3])), "mode": ["avg", "max"][n % 2]}
            yield Case(name, "RoiAlign", s.since_version, [ordinary(r, np.float32, (2, 3, 12, 14)), rois, r.integers(0, 2, 5).astype(I64)], attrs, dims={0: (0, 2, 3), 1: (0,), 2: (0,)} if n % 3 == 0 else "", ref=False, frac=1e-5)


def attention():
    for s in versions("Attention"):
        for n in range(60):
            name = f"Attention/{s.since_version}/f32/{n}"
            r = rng(name)
            b, q, kv, h, d, dv = 2, int(r.choice([1, 3, 5])), int(r.choice([3, 5, 7])), int(r.choice([2, 4])), int(r.choice([4, 8])), int(r.choice([4, 8]))
            kvh = h // 2 if n % 3 == 2 else h
            attrs, inputs = {}, [small(r, np.float32, (b, h, q, d)), small(r, np.float32, (b, kvh, kv, d)), small(r, np.float32, (b, kvh, kv, dv))]
            if n % 2:
                attrs["is_causal"] = 1
            if n % 4 == 1:
                inputs.append(small(r, np.float32, (q, kv)))
            elif n % 4 == 2:
                m = r.random((b, 1, q, kv)) < 0.7
                m[..., 0] = True
                inputs.append(m)
            if n % 5 == 3:
                attrs["scale"] = 0.3
            if n % 5 == 4:
                attrs["softcap"] = 2.0
            yield Case(name, "Attention", s.since_version, inputs, attrs, dims={i: (0, 2) for i in range(3)} if n % 7 == 6 else "", ulp=16, frac=4e-6)
    for s in versions("RotaryEmbedding"):
        for n in range(12):
            name = f"RotaryEmbedding/{s.since_version}/f32/{n}"
            r = rng(name)
            x = small(r, np.float32, (2, 3, 5, 8))
            ids = r.integers(0, 10, (2, 5)).astype(I64)
            yield Case(name, "RotaryEmbedding", s.since_version, [x, small(r, np.float32, (10, 4)), small(r, np.float32, (10, 4)), ids], {"interleaved": n % 2}, dims={0: (0, 2), 3: (0, 1)} if n % 3 == 0 else "", ulp=4, frac=1e-6)


def cases():
    for group in (products, convolutions, pools, norms, recurrences, sampling, attention):
        yield from group()
