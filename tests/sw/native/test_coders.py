"""HAC and sHAC kernels against the codecs on NumPy: equal on integers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import native
from headrace.codecs import Hac, Shac
from headrace.errors import StreamError

pytestmark = pytest.mark.skipif(not native.available(), reason="no native kernels")
if native.available():
    from headrace.native.coders import HacKernel, ShacKernel, dense_int8


def kernel_of(codec, W):
    encoded = codec.encode(W)
    return (HacKernel if isinstance(codec, Hac) else ShacKernel)(encoded), encoded


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 30),
    st.integers(0, 30),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([1, 3, 200]),
)
@settings(deadline=None)
def test_equal_to_the_matrix(seed: int, n: int, m: int, density: float, values: int) -> None:
    rng = np.random.default_rng(seed)
    W = (rng.integers(-values, values + 1, (n, m)) * (rng.random((n, m)) < density)).astype(np.float32)
    x = rng.integers(-8, 9, n).astype(np.float32)
    for codec in (Hac(), Hac(64), Shac(), Shac(64)):
        kernel, encoded = kernel_of(codec, W)
        assert np.array_equal(kernel.product(x), x @ W)
        entries = W.T.ravel() if isinstance(codec, Hac) else W.T[W.T != 0]
        assert np.array_equal(encoded.dictionary.values[kernel.ranks()], entries)


@pytest.mark.parametrize("codec", [Hac(), Shac()])
def test_codewords_of_more_than_twelve_bits(codec) -> None:
    counts = [1, 1]
    while len(counts) < 20:
        counts.append(counts[-1] + counts[-2])
    W = np.repeat(np.arange(1, 21), counts).astype(np.float32)
    W = np.random.default_rng(0).permutation(W)[: W.size // 10 * 10].reshape(10, -1)
    kernel, encoded = kernel_of(codec, W)
    assert encoded.dictionary.lengths.max() > 12
    x = np.arange(10, dtype=np.float32)
    assert np.array_equal(kernel.product(x), x @ W)
    assert np.array_equal(encoded.dictionary.values[kernel.ranks()], W.T.ravel())


@pytest.mark.parametrize("codec", [Hac(), Shac()])
def test_damage_is_noticed(codec) -> None:
    rng = np.random.default_rng(1)
    kernel, encoded = kernel_of(codec, rng.integers(0, 9, (20, 30)).astype(np.float32))
    short = dataclasses.replace(encoded, words=encoded.words[:-3])
    with pytest.raises(StreamError, match="the words hold"):
        type(kernel)(short).product(np.ones(20, np.float32))
    with pytest.raises(StreamError):
        type(kernel)(short).ranks()
    with pytest.raises(ValueError, match=r"must be \(20,\)"):
        kernel.product(np.ones(19, np.float32))


def test_row_index_outside() -> None:
    encoded = Shac().encode(np.eye(4, dtype=np.float32))
    with pytest.raises(StreamError, match="row indices"):
        ShacKernel(dataclasses.replace(encoded, ri=encoded.ri + 1))


def test_dense_int8() -> None:
    rng = np.random.default_rng(2)
    W, x = rng.integers(-128, 128, (7, 300)).astype(np.int8), rng.integers(-128, 128, 300).astype(np.int8)
    assert np.array_equal(dense_int8(W, x), W.astype(np.int32) @ x.astype(np.int32))
