"""Draws an 8x8 image from a .npy file and, if given, the ten probabilities that the compiled model wrote: show.py IMAGE.npy [OUTPUT.npy]
Plain Python, so that quickstart.sh needs no packages."""
import struct
import sys


def read(path):
    raw = open(path, "rb").read()
    start = 10 + struct.unpack_from("<H", raw, 8)[0]
    return struct.unpack(f"<{(len(raw) - start) // 4}f", raw[start:])


pixels = read(sys.argv[1])
for row in range(8):
    print("   ", "".join(" .:-=+*#%@"[min(9, int(v * 10 / 17))] * 2 for v in pixels[8 * row:8 * row + 8]))
if len(sys.argv) > 2:
    probability = read(sys.argv[2])
    answer = max(range(10), key=probability.__getitem__)
    print(f"\nIt is a {answer}, with probability {probability[answer]:.3f}.")
