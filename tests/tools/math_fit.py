#!/usr/bin/env python3
"""Minimax polynomials of ir/math.c, by the Remez exchange with a weight (relative error of the final function). Needs mpmath.

Run it to see the coefficients and each fit's largest weighted error; ir/math_fit.h is its output:
    math_fit.py > ir/math_fit.h
"""
import struct
import mpmath as mp

mp.mp.dps = 60


def positive(w):
    return lambda x: max(abs(w(x)), mp.mpf("1e-20"))


def remez(f, w, n, lo, hi, rounds=40):
    """Coefficients c[0..n-1] minimising max |w(x) * (sum c[k] x^k - f(x))| on lo..hi."""
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    xs = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * (n + 1))) for k in range(n + 1)]
    grid = [lo + (hi - lo) * (1 - mp.cos(mp.pi * mp.mpf(k) / 600)) / 2 for k in range(601)]
    w = positive(w)
    fg = [(x, f(x), w(x)) for x in grid]
    c = None
    for _ in range(rounds):
        a = mp.matrix(n + 1, n + 1)
        b = mp.matrix(n + 1, 1)
        for i, x in enumerate(xs):
            for k in range(n):
                a[i, k] = x**k
            a[i, n] = (-1) ** i / w(x)
            b[i] = f(x)
        s = mp.lu_solve(a, b)
        c, e = [s[k] for k in range(n)], abs(s[n])
        err = [wx * (mp.polyval(c[::-1], x) - fx) for x, fx, wx in fg]
        ext, i = [], 0
        while i < len(grid):  # one extremum per sign run
            j, best = i, i
            while j < len(grid) and (err[j] >= 0) == (err[i] >= 0):
                if abs(err[j]) > abs(err[best]):
                    best = j
                j += 1
            ext.append(best)
            i = j
        while len(ext) > n + 1:
            ext.pop(0 if abs(err[ext[0]]) < abs(err[ext[-1]]) else -1)
        top = max(abs(v) for v in err)
        if len(ext) < n + 1 or (top - e) < e * mp.mpf("1e-3"):
            break
        xs = [grid[k] for k in ext]
    return c, max(abs(v) for v in err)


def emit(name, comment, fit, fmt):
    c, e = fit
    print(f"// {comment}: {mp.nstr(e, 3)}")
    if fmt == "f":
        vals = [struct.unpack("f", struct.pack("f", float(v)))[0].hex() for v in c]
    else:
        vals = [float(v).hex() for v in c]
    print(f"static const double {name}[] = {{" + ", ".join(vals) + "};")


def safe(f, g):  # g near 0
    return lambda x: g if abs(x) < mp.mpf("1e-25") else f(x)


sq = mp.sqrt
one = lambda x: mp.mpf(1)
ln2h = mp.log(2) / 2 * mp.mpf("1.001")
# q of exp(r) = 1 + r + r^2 q(r)
exp_q = safe(lambda r: (mp.expm1(r) - r) / r**2, mp.mpf(1) / 2)
exp_w = lambda r: r * r / mp.exp(r) if r else mp.mpf(0)
expm1_w = lambda r: r * r / mp.expm1(r) if r else mp.mpf(0)
exp2_p = safe(lambda r: (mp.power(2, r) - 1) / r, mp.log(2))
exp2_w = lambda r: r / mp.power(2, r)
# log(1+f) = f - (f^2/2 - s (f^2/2 + R(z))), s = f/(2+f), z = s^2: R = 2 (atanh(s)/s - 1) = z (2/3 + ..)
log_r = safe(lambda z: 2 * (mp.atanh(sq(z)) / sq(z) - 1) / z, mp.mpf(2) / 3)
zmax = ((sq(2) - 1) / (sq(2) + 1)) ** 2 * mp.mpf("1.001")
# sin(r) = r (1 + z S(z)), cos(r) = 1 - z/2 + z^2 C(z)
q4 = (mp.pi / 4) ** 2 * mp.mpf("1.002")
sin_s = safe(lambda z: (mp.sin(sq(z)) / sq(z) - 1) / z, -mp.mpf(1) / 6)
sin_w = lambda z: z / (mp.sin(sq(z)) / sq(z)) if z else mp.mpf("1e-20")
cos_c = safe(lambda z: (mp.cos(sq(z)) - 1 + z / 2) / z**2, mp.mpf(1) / 24)
cos_w = lambda z: z**2 / mp.cos(sq(z)) if z else mp.mpf("1e-20")
# atan(y) = y (1 + z A(z)), y in 0..1
atan_a = safe(lambda z: (mp.atan(sq(z)) / sq(z) - 1) / z, -mp.mpf(1) / 3)
atan_w = lambda z: z / (mp.atan(sq(z)) / sq(z)) if z else mp.mpf("1e-20")
# asin(y) = y (1 + z B(z)), y in 0..0.5
asin_b = safe(lambda z: (mp.asin(sq(z)) / sq(z) - 1) / z, mp.mpf(1) / 6)
asin_w = lambda z: z / (mp.asin(sq(z)) / sq(z)) if z else mp.mpf("1e-20")
# sinh(y) = y (1 + z H(z)), y in 0..1
sinh_h = safe(lambda z: (mp.sinh(sq(z)) / sq(z) - 1) / z, mp.mpf(1) / 6)
sinh_w = lambda z: z / (mp.sinh(sq(z)) / sq(z)) if z else mp.mpf("1e-20")
# f32 erf(x) = x E(u), u = x^2 (2/L^2) - 1, L = 3.92
L = mp.mpf("3.92")
erf_e = lambda u: mp.erf(L * sq((u + 1) / 2)) / (L * sq((u + 1) / 2)) if u > -1 + mp.mpf("1e-30") else 2 / sq(mp.pi)
erf_w = lambda u: 1 / erf_e(u)
# f64 erf: x + x E(x^2) on 0..1; 1 - exp(-x^2) G(t) on 1..6, t = 1/(1 + x)
erf_d = lambda z: mp.erf(sq(z)) / sq(z) - 1 if z > mp.mpf("1e-40") else 2 / sq(mp.pi) - 1
erf_dw = lambda z: 1 / (mp.erf(sq(z)) / sq(z)) if z > mp.mpf("1e-40") else sq(mp.pi) / 2
erf_g = lambda t: mp.erfc(1 / t - 1) * mp.exp((1 / t - 1) ** 2)
erf_gw = lambda t: 1 / mp.erf(1 / t - 1) * mp.exp(-((1 / t - 1) ** 2))

print("// math_fit.h - minimax polynomials of math.c, lowest power first; written by tests/tools/math_fit.py. The number is the largest")
print("// error of the fit, relative to the function that it serves.")
print("#pragma once")
for t, k in (("f", 0), ("d", 1)):
    emit(f"exp_{t}", "exp(r) = 1 + r + r^2 q(r), |r| <= ln(2)/2", remez(exp_q, exp_w, (5, 10)[k], -ln2h, ln2h), t)
    emit(f"expm1_{t}", "expm1(r) = r + r^2 q(r)", remez(exp_q, expm1_w, (5, 11)[k], -ln2h, ln2h), t)
    emit(f"exp2_{t}", "2^r = 1 + r q(r), |r| <= 1/2", remez(exp2_p, exp2_w, (6, 11)[k], "-0.5005", "0.5005"), t)
    emit(f"log_{t}", "R(z)/z of log", remez(log_r, lambda z: z / 2, (3, 7)[k], 0, zmax), t)
    emit(f"sin_{t}", "sin(r) = r + r z q(z), z = r^2", remez(sin_s, sin_w, (3, 6)[k], 0, q4), t)
    emit(f"cos_{t}", "cos(r) = 1 - z/2 + z^2 q(z)", remez(cos_c, cos_w, (3, 6)[k], 0, q4), t)
    emit(f"atan_{t}", "atan(y) = y + y z q(z), y in 0..1", remez(atan_a, atan_w, (8, 20)[k], 0, 1), t)
    emit(f"asin_{t}", "asin(y) = y + y z q(z), y in 0..1/2", remez(asin_b, asin_w, (5, 12)[k], 0, "0.2501"), t)
    emit(f"sinh_{t}", "sinh(y) = y + y z q(z), y in 0..1", remez(sinh_h, sinh_w, (4, 6)[k], 0, "1.001"), t)
emit("erf_f", "erf(x) = x q(u), u = x^2 (2/3.92^2) - 1, |x| <= 3.92", remez(erf_e, erf_w, 16, -1, 1), "f")
emit("erf_d", "erf(x) = x + x q(x^2), |x| <= 1", remez(erf_d, erf_dw, 12, 0, "1.001"), "d")
emit("erfc_d", "erf(x) = 1 - exp(-x^2) q(1/(1 + x)), x in 1..6", remez(erf_g, erf_gw, 16, mp.mpf(1) / 7, "0.5"), "d")
