"""Entropy and the papers' upper bounds, against the codes that the codecs make."""

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import (
    CODECS,
    Hac,
    Shac,
    coo_bound,
    csc_bound,
    cser_bound,
    entropy,
    hac_bound,
    im_bound,
    shac_bound,
    upper_bound,
)


def test_entropy():
    assert entropy(np.array([[0, 1], [2, 3]])) == 2.0
    assert entropy(np.array([[0.0, -0.0], [1.0, 1.0]])) == 1.0
    assert entropy(np.full((3, 3), 7)) == 0.0
    assert entropy(np.zeros((0, 3))) == 0.0
    with pytest.raises(ValueError, match="NaN"):
        entropy(np.array([[np.nan]]))


def test_formulas():
    assert hac_bound(10, 20, 16) == 5.0
    assert hac_bound(10, 20, 16, 400) == 7.0
    assert shac_bound(10, 20, 0.5, 16, 8, 400) == 0.5 * (1 + 4 + 8) + 8 * 21 / 200 + 2
    assert shac_bound(10, 20, 0, 0, 8) == 8 * 21 / 200
    assert im_bound(10, 20, 17, 400) == 7.0 and im_bound(10, 20, 1) == 0.0
    assert csc_bound(10, 20, 0.5, 32, 8, 16) == 0.5 * 40 + 16 * 21 / 200
    assert coo_bound(10, 20, 0.5, 32, 8, 16) == 28.0
    assert cser_bound(10, 20, 100, 30, 8, 16, 8, 400) == (100 * 8 + 30 * 24 + 8 * 22 + 400) / 200
    assert im_bound(0, 20, 0) == csc_bound(0, 20, 0, 32, 8, 8) == coo_bound(0, 1, 0, 8, 8, 8) == 0.0
    assert cser_bound(0, 20, 0, 0, 8, 8, 8) == 0.0
    assert hac_bound(0, 20, 0) == shac_bound(10, 0, 0, 0, 8) == 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.integers(1, 50), st.floats(0, 1))
@settings(deadline=None)
def test_codes_lie_between_entropy_and_bound(seed, n, m, k, density):
    rng = np.random.default_rng(seed)
    W = rng.integers(1, k, (n, m), endpoint=True) * (rng.random((n, m)) < density)
    hac, shac = Hac().encode(W), Shac().encode(W)

    coded = int(hac.ends[-1]) / W.size
    assert entropy(W) <= coded + 1e-9
    assert coded <= hac_bound(n, m, hac.dictionary.values.size) + 1e-9
    with_dictionary = coded + 8 * hac.dictionary.nbytes / W.size
    assert with_dictionary <= hac_bound(n, m, hac.dictionary.values.size, 8 * hac.dictionary.nbytes) + 1e-9

    s, distinct = np.count_nonzero(W) / W.size, shac.dictionary.values.size
    parts = 8 * (shac.sizes["ri"] + shac.sizes["counts"] + shac.sizes["dictionary"])
    sparse = (int(shac.ends[-1]) + parts) / W.size
    assert sparse <= shac_bound(n, m, s, distinct, 8, 8 * shac.dictionary.nbytes) + 1e-9
    if distinct:
        assert int(shac.ends[-1]) <= W.size * s * (1 + log2(distinct)) + 1e-6


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 300), st.integers(1, 50), st.floats(0, 1))
@settings(deadline=None)
def test_actual_sizes_keep_their_bounds(seed, n, m, k, density):
    """Headers and the padding of the last word set aside, no format exceeds its bound; some meet it."""
    rng = np.random.default_rng(seed)
    W = (rng.integers(1, k, (n, m), endpoint=True) * (rng.random((n, m)) < density)).astype(np.int16)
    for name in ("im", "csc", "csr", "coo", "cser", "hac", "shac", "hac64", "shac64"):
        encoded = CODECS[name].encode(W)
        bound = upper_bound(encoded)
        assert bound is not None
        if W.size == 0:
            assert bound == 0
            continue
        bits = 8 * (encoded.nbytes - encoded.sizes["header"])
        padding = {"im": 7, "hac": 31, "shac": 31, "hac64": 63, "shac64": 63}.get(name, 0)
        assert bits <= bound * W.size + padding + 1e-6
        if name in ("im", "csc", "csr", "coo"):
            assert bits >= bound * W.size - 1e-6
    assert upper_bound(CODECS["cla"].encode(W)) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: im_bound(2, 2, 0),
        lambda: im_bound(2, 2, 5),
        lambda: csc_bound(2, 2, 1.1, 8, 8, 8),
        lambda: csc_bound(2, 2, 1, 8, -8, 8),
        lambda: coo_bound(2, 2, -0.1, 8, 8, 8),
        lambda: cser_bound(2, 2, 5, 1, 8, 8, 8),
        lambda: cser_bound(2, 2, 1, 2, 8, 8, 8),
        lambda: cser_bound(2, 2, 1, 1, 8, 8, 8, -1),
        lambda: hac_bound(-1, 2, 1),
        lambda: hac_bound(2, 2, 0),
        lambda: hac_bound(2, 2, 5),
        lambda: hac_bound(2, 2, 1, -1),
        lambda: shac_bound(2, 2, 1.5, 1, 8),
        lambda: shac_bound(2, 2, 0.5, 0, 8),
        lambda: shac_bound(2, 2, 0.5, 1, -8),
    ],
)
def test_bad_arguments(call):
    with pytest.raises(ValueError):
        call()
