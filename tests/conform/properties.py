"""What counts for the twelve tests whose expected values come from numpy's generator, or are float noise: a stated property each."""
import re

import numpy as np


def bernoulli(meta, inputs, wanted, got, run):
    """Shape and dtype; every value 0 or 1; the mean over many draws is the probability, unless a seed makes all draws equal."""
    p, out = inputs[0].astype(np.float64), got[0]
    assert out.shape == wanted[0].shape and out.dtype == wanted[0].dtype, f"{out.shape} {out.dtype} is not {wanted[0].shape} {wanted[0].dtype}"
    first = out.astype(np.float64)
    assert np.isin(first, (0, 1)).all(), "a value is neither 0 nor 1"
    assert (first[p <= 0] == 0).all() and (first[p >= 1] == 1).all(), "an impossible value"
    draws = np.array([run()[0].astype(np.float64) for _ in range(300)])
    if (draws == first).all():  # seeded: the elements are the draws
        draws = first[None]
    z = (draws.sum() - p.sum() * len(draws)) / np.sqrt(np.maximum(1e-12, (p * (1 - p)).sum() * len(draws)))
    assert abs(z) < 5, f"the mean is {z:.1f} standard deviations off"


def dropout(meta, inputs, wanted, got, run):
    """Kept elements are scaled by 1 / (1 - ratio), the others 0; the mask says which; the rate is near the ratio."""
    x = inputs[0]
    ratio = float(inputs[1]) if len(inputs) > 1 and inputs[1] is not None else 0.5
    y = got[0]
    assert y.shape == wanted[0].shape and y.dtype == wanted[0].dtype, f"{y.shape} {y.dtype}"
    kept = got[1] if len(got) > 1 else y != 0
    assert kept.dtype == np.bool_ and kept.shape == x.shape, "the mask's type or shape"
    np.testing.assert_allclose(y, np.where(kept, x / (1 - ratio), 0).astype(x.dtype), rtol=1e-3, atol=1e-6)
    spread = np.sqrt(max(ratio * (1 - ratio), 1e-12) / x.size)
    assert abs(1 - kept.mean() - ratio) <= 5 * spread + 1e-12, f"dropped {1 - kept.mean():.2f} at a ratio of {ratio}"


def inverse_dft(meta, inputs, wanted, got, run):
    """Most expected values are noise around 0: the absolute error counts."""
    assert got[0].shape == wanted[0].shape and got[0].dtype == wanted[0].dtype, f"{got[0].shape} {got[0].dtype}"
    np.testing.assert_allclose(got[0], wanted[0], rtol=0, atol=1e-5)


RULES = [(r"^test_bernoulli", bernoulli), (r"^test_training_dropout(?!.*zero_ratio)", dropout), (r"^test_dft_inverse", inverse_dft)]


def rule_of(name):
    return next((rule for pattern, rule in RULES if re.search(pattern, name)), None)
