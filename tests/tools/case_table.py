#!/usr/bin/env python3
"""Writes runtime/case.def: Unicode's simple (one to one) case mappings as runs. case_table.py > runtime/case.def"""
import unicodedata


def runs(convert):
    out = []
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        to = convert(chr(c))
        if len(to) != 1 or ord(to) == c:
            continue
        d = ord(to) - c
        if out and out[-1][2] == d and c - out[-1][1] in (1, 2) and (out[-1][3] in (0, c - out[-1][1])):
            out[-1][3] = c - out[-1][1]
            out[-1][1] = c
        else:
            out.append([c, c, d, 0])
    return out


print(f"// case.def - simple case mappings of Unicode {unicodedata.unidata_version}, written by tests/tools/case_table.py: first, last, what to add, step.")
for name, convert in (("LOWER", str.lower), ("UPPER", str.upper)):
    for lo, hi, d, step in runs(convert):
        print(f"{name}(0x{lo:x}, 0x{hi:x}, {d}, {step or 1})")
