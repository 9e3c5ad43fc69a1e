"""Products of stored matrices: within rounding of float64, the same on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import native
from headrace.codecs.stream import Stream

pytestmark = pytest.mark.skipif(not native.available(), reason="no native kernels")
if native.available():
    from headrace.native.matrix import MatrixKernel


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 40),
    m=st.integers(0, 60),
    values=st.sampled_from([1, 2, 9, 255, 300]),
    even=st.booleans(),
    batch=st.sampled_from([1, 3, 4, 9, 16, 40]),
    base=st.sampled_from([0.0, 2.5]),
)
@settings(deadline=None, max_examples=120)
def test_product(seed: int, n: int, m: int, values: int, even: bool, batch: int, base: float) -> None:
    rng = np.random.default_rng(seed)
    centres = (np.arange(values) / 4 if even else rng.normal(size=values)).astype(np.float32)
    few = centres[rng.integers(0, values, (n, max(m // 4, 1)))]
    W = few[:, rng.integers(0, few.shape[1], m)] * (rng.random((n, m)) < 0.4) + np.float32(base)
    kernel = MatrixKernel(Stream(lanes=3).encode(W))
    x = rng.normal(size=(batch, n)).astype(np.float32)
    exact = x.astype(np.float64) @ W.astype(np.float64)
    y = kernel.product(x)
    assert y.shape == (batch, m) and y.dtype == np.float32
    scale = 1 + np.abs(x).sum(axis=1, keepdims=True) * (1 + np.abs(W).max(initial=0))
    assert np.all(np.abs(y - exact) <= 1e-5 * scale)
    assert np.array_equal(kernel.product(x, threads=2), y)
    assert np.all(np.abs(kernel.product(x[0]) - exact[0]) <= 1e-5 * scale[0])


def test_infinities() -> None:
    W = np.array([[np.inf, 1, 0], [2, -np.inf, 1]], np.float32)
    assert MatrixKernel(Stream().encode(W)).product(np.ones(2, np.float32)).tolist() == [np.inf, -np.inf, 1]


def test_results_are_the_callers_own() -> None:
    kernel = MatrixKernel(Stream().encode(np.eye(4, dtype=np.float32)))
    first = kernel.product(np.ones(4, np.float32))
    kernel.product(np.zeros(4, np.float32))
    assert first.tolist() == [1.0] * 4
    with pytest.raises(ValueError, match="x has shape"):
        kernel.product(np.ones(5, np.float32))
