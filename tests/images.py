#!/usr/bin/env python3
"""images.py TENON - ImageDecoder against Pillow: every format, its modes, depths and layouts; what cannot be decoded gives 0 x 0 pixels.

A file's expected pixels are Pillow's, converted to RGB; JPEG within 1 step where Pillow's copy of the library may be another one. Then the kinds of
artifact: a shared library that needs none of the image libraries, an archive, an executable, and one that does not find a library.
"""
import io
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tenon_abi  # noqa: E402

CASES = []  # (name, bytes, expected RGB or None: not decodable, steps that may differ)
RNG = np.random.default_rng(5)


def picture(w=37, h=23):
    """Smooth with edges: lossy codecs keep it."""
    y, x = np.mgrid[0:h, 0:w]
    return np.stack([(x * 255 // w), (y * 255 // h), ((x // 5 + y // 5) % 2) * 200], 2).astype(np.uint8)


def case(name, data, expected=None, steps=0):
    CASES.append((name, bytes(data), expected, steps))


def saved(name, image, format, steps=0, **options):
    f = io.BytesIO()
    image.save(f, format=format, **options)
    case(name, f.getvalue(), np.array(Image.open(f).convert("RGB")), steps)


def modes():
    rgb = Image.fromarray(picture())
    alpha = rgb.convert("RGBA")
    alpha.putalpha(Image.fromarray((picture()[:, :, 0] // 2 + 60)))
    yield "RGB", rgb
    yield "L", rgb.convert("L")
    yield "1", rgb.convert("1")
    yield "P", rgb.quantize(200)
    yield "P16", rgb.quantize(13)
    yield "P4", rgb.quantize(4)
    yield "P2", rgb.quantize(2)
    yield "RGBA", alpha
    yield "LA", alpha.convert("LA")
    yield "CMYK", rgb.convert("CMYK")


def formats():
    can = {"BMP": "RGB L 1 P P16 P4 P2 RGBA", "JPEG": "RGB L CMYK", "PNG": "RGB L 1 P P16 P4 P2 RGBA LA", "TIFF": "RGB L 1 P P16 P2 RGBA LA CMYK", "PPM": "RGB L 1",
           "WEBP": "RGB RGBA", "JPEG2000": "RGB L RGBA LA"}
    for mode, image in modes():
        for format, all_of in can.items():
            if mode in all_of.split():
                lossless = {"lossless": True} if format == "WEBP" else {}
                saved(f"{format}/{mode}", image, format, 1 if format == "JPEG" else 0, **lossless)
    rgb = Image.fromarray(picture())
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        saved(f"JPEG/{sampling}", rgb, "JPEG", 1, subsampling=sampling, quality=90)
    saved("JPEG/progressive", rgb, "JPEG", 1, progressive=True)
    saved("JPEG/exif", rgb, "JPEG", 1, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    saved("PNG/interlaced-gamma", rgb, "PNG", pnginfo=gamma())
    saved("WEBP/lossy", rgb, "WEBP", 1, quality=80)
    saved("JPEG2000/lossy", rgb, "JPEG2000", 1, irreversible=True, quality_layers=[4])
    saved("JPEG2000/codestream", rgb, "JPEG2000", no_jp2=True)
    saved("JPEG2000/tiles", rgb, "JPEG2000", tile_size=(16, 16))
    for packing in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        saved(f"TIFF/{packing}", rgb, "TIFF", compression=packing)
    saved("TIFF/group4", rgb.convert("1"), "TIFF", compression="group4")
    for how in range(1, 9):
        saved(f"TIFF/orientation{how}", rgb, "TIFF", tiffinfo={274: how})
    for w, h in ((1, 1), (1, 40), (40, 1), (301, 5)):
        for format in can:
            if (w, h) == (1, 1) or format != "JPEG":
                saved(f"{format}/{w}x{h}", Image.fromarray(picture(w, h)), format, 1 if format == "JPEG" else 0, **({"lossless": True} if format == "WEBP" else {}))


def gamma():
    from PIL import PngImagePlugin
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    return info


def scale(v, most):
    return np.rint(np.asarray(v, np.float64) * 255 / most).astype(np.uint8)


def deep():
    """16 bits: Pillow keeps other bits of some, so the expectation is ours: to the nearest of 256."""
    v = RNG.integers(0, 65536, (11, 13)).astype(np.uint16)
    want = np.repeat(scale(v, 65535)[:, :, None], 3, 2)
    f = io.BytesIO()
    Image.fromarray(v).save(f, "PNG")
    case("PNG/16", f.getvalue(), want, 1)  # libpng's own rounding
    f = io.BytesIO()
    Image.fromarray(v).save(f, "TIFF")
    case("TIFF/16", f.getvalue(), want, 1)
    f = io.BytesIO()
    Image.fromarray(v).save(f, "JPEG2000")
    case("JPEG2000/16", f.getvalue(), want)
    case("PNM/P5-16", b"P5 13 11 65535\n" + v.astype(">u2").tobytes(), want)


def portable():
    v = RNG.integers(0, 8, (4, 3, 3))
    text = " ".join(map(str, v.reshape(-1)))
    want = scale(v, 7)
    case("PNM/P3", f"P3\n# a comment\n3 4 # another\n7\n{text}\n".encode(), want)
    case("PNM/P6-levels", b"P6 3 4 7\n" + v.astype(np.uint8).tobytes(), want)
    grey = np.repeat(scale(v[:, :, :1], 7), 3, 2)
    case("PNM/P2", ("P2 3 4 7 " + " ".join(map(str, v[:, :, 0].reshape(-1)))).encode(), grey)
    bits = v[:, :, 0] & 1
    black = np.repeat(((1 - bits) * 255).astype(np.uint8)[:, :, None], 3, 2)
    case("PNM/P1", b"P1 3 4\n" + "".join(map(str, bits.reshape(-1))).encode(), black)
    case("PNM/P4", b"P4 3 4\n" + np.packbits(bits, axis=1).tobytes(), black)
    case("PNM/P5-above", b"P5 2 1 100 \x64\xff", np.array([[[255] * 3, [255] * 3]], np.uint8))
    case("PNM/no-levels", b"P5 2 1 0\n\0\0")
    case("PNM/huge", b"P6 99999999 99999999 255\n\0\0")


def bmp(w, h, bits, packing, pixels, palette=b"", extra=b"", used=0):
    head = struct.pack("<IiiHHIIiiII", 40, w, h, 1, bits, packing, len(pixels), 0, 0, used, 0) + extra + palette
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def bitmaps():
    colours = bytes(range(0, 64))  # 16 entries of 4
    table = np.frombuffer(colours, np.uint8).reshape(16, 4)[:, 2::-1]
    runs = bytes([3, 5, 0, 4, 1, 2, 3, 4, 0, 0, 2, 7, 0, 2, 1, 0, 4, 9, 0, 1])  # 3 x 5; 1 2 3 4; line; 2 x 7, one right, 4 x 9
    rows = np.array([[7, 7, 0, 9, 9, 9, 9], [5, 5, 5, 1, 2, 3, 4]])  # the bottom row comes first
    case("BMP/rle8", bmp(7, 2, 8, 1, runs, colours, used=16), table[rows])
    runs4 = bytes([3, 0x55, 0, 4, 0x12, 0x34, 0, 0, 2, 0x77, 0, 2, 1, 0, 4, 0x9a, 0, 1])
    rows4 = np.array([[7, 7, 0, 9, 10, 9, 10], [5, 5, 5, 1, 2, 3, 4]])
    case("BMP/rle4", bmp(7, 2, 4, 2, runs4, colours), table[rows4])
    case("BMP/rle-cut", bmp(7, 2, 8, 1, runs[:6], colours, used=16))
    v = RNG.integers(0, 65536, (2, 4)).astype("<u2")
    f565 = [scale565(v, 11, 31), scale565(v, 5, 63), scale565(v, 0, 31)]
    case("BMP/565", bmp(4, -2, 16, 3, v.tobytes(), extra=struct.pack("<3I", 0xf800, 0x7e0, 0x1f)), np.stack(f565, 2))
    f555 = [scale565(v, 10, 31), scale565(v, 5, 31), scale565(v, 0, 31)]
    case("BMP/555", bmp(4, -2, 16, 0, v.tobytes()), np.stack(f555, 2))
    os2 = struct.pack("<IHHHH", 12, 8, 1, 1, 1) + b"\1\2\3\4\5\6"
    case("BMP/os2", struct.pack("<2sIHHI", b"BM", 0, 0, 0, 14 + len(os2)) + os2 + b"\xa5\0\0\0",
         np.array([[[6, 5, 4] if b == "1" else [3, 2, 1] for b in "10100101"]], np.uint8))
    case("BMP/huge", bmp(2 ** 31 - 1, -2 ** 31, 32, 0, b"\0" * 64))
    case("BMP/no-bits", bmp(2, 2, 7, 0, b"\0" * 64))


def scale565(v, shift, most):
    return ((v >> shift & most).astype(np.uint32) * 255 // most).astype(np.uint8)  # as Pillow does


def damaged():
    """A file that ends early, or is none of these, has no pixels."""
    whole = {name.split("/")[0]: data for name, data, _, _ in CASES if name.endswith("/RGB")}
    for format, data in whole.items():
        for part in (0.05, 0.5, 0.9):
            case(f"{format}/cut{part}", data[:int(len(data) * part)])
    for text in (b"", b"B", b"BM", b"P6", b"GIF89a\1\0\1\0", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\4\0\0\0WEBP", b"II*\0"):
        case(f"none/{text!r}", text)


def expected(want, form):
    if want is None:
        return np.zeros((0, 0, 1 if form == "Grayscale" else 3), np.uint8)
    return np.array(Image.fromarray(want).convert("L"))[:, :, None] if form == "Grayscale" else want[:, :, ::-1] if form == "BGR" else want


def compile_model(tenon, folder, form):
    model, lib = folder / (form + ".onnx"), folder / (form + ".so")
    node = helper.make_node("ImageDecoder", ["file"], ["image"], pixel_format=form)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("file", TensorProto.UINT8, ["n"])],
                              [helper.make_tensor_value_info("image", TensorProto.UINT8, [None, None, None])])
    model.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString())
    subprocess.run([tenon, model, "-o", lib], check=True)
    return tenon_abi.Model(lib, form)


def wrong(artifact, data, want, steps=0):
    """What is wrong with the decoded image, or an empty text."""
    try:
        got = artifact.run([np.frombuffer(data, np.uint8)])[0]
    except tenon_abi.TenonError as e:
        return str(e)
    if got.shape != want.shape:
        return f"{got.shape} instead of {want.shape}"
    most = np.abs(got.astype(int) - want).max(initial=0)
    return f"{most} steps" if most > steps else ""


def artifacts(tenon, folder):
    """What is wrong with the kinds of artifact, by name."""
    whole = {name.split("/")[0]: (data, want) for name, data, want, _ in CASES if name.endswith("/RGB")}
    needs = subprocess.run(["readelf", "-d", folder / "RGB.so"], capture_output=True, text=True).stdout
    yield "so", "needs " + needs if any(x in needs for x in ("jpeg", "png", "tiff", "webp", "openjp")) else ""
    subprocess.run([tenon, folder / "RGB.onnx", "-o", folder / "RGB.a"], check=True)
    subprocess.run(["cc", "-shared", "-o", folder / "linked.so", "-Wl,--whole-archive", folder / "RGB.a", "-Wl,--no-whole-archive", "-lpthread", "-ldl"], check=True)
    yield "archive", wrong(tenon_abi.Model(folder / "linked.so", "RGB"), *whole["TIFF"])
    subprocess.run([tenon, folder / "RGB.onnx", "-o", folder / "exe"], check=True)
    (folder / "empty").mkdir()
    (folder / "empty/libwebp.so.7").touch()  # found first, and no library
    for format, why in (("PNG", ""), ("WEBP", "decoding WebP needs libwebp.so.7, which cannot be loaded")):
        np.save(folder / "file.npy", np.frombuffer(whole[format][0], np.uint8))
        done = subprocess.run([folder / "exe", "run", folder / "file.npy", "--output-dir", folder], capture_output=True, text=True,
                              env={"LD_LIBRARY_PATH": str(folder / "empty")})
        right = done.returncode and why in done.stderr if why else np.array_equal(np.load(folder / "output_0.npy"), whole[format][1])
        yield f"executable, {format}", "" if right else f"exit {done.returncode}: {done.stderr}"


def main():
    for make in (formats, deep, portable, bitmaps, damaged):
        make()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for form in ("RGB", "BGR", "Grayscale"):
            artifact = compile_model(sys.argv[1], Path(scratch), form)
            results += [(f"{form} {name}", wrong(artifact, data, expected(want, form), steps)) for name, data, want, steps in CASES]
        results += artifacts(sys.argv[1], Path(scratch))
    for name, text in results:
        if text:
            print(f"FAIL {name}: {text}")
    passed = sum(not text for _, text in results)
    print(f"images: {passed} of {len(results)} pass")
    sys.exit(passed != len(results))


if __name__ == "__main__":
    main()
