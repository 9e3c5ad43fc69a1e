"""headrace.layers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config import CONFIGS
from headrace.errors import CompileError
from headrace.layers import Lowered, check_sums, lower, strips
from headrace.network import Conv2d
from headrace.placement import Placement, Tap
from networks import conv2d, linear

DEMO = CONFIGS["demo"]


@given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 4), st.booleans(), st.integers(0, 4), st.integers(1, 64))
def test_strips_fit(height: int, width: int, extra: int, split: bool, shift: int, limit: int) -> None:
    pixels, pitch, y = 1 << shift, width + extra, Placement.make((1, height, width), split)
    cuts = strips(y, pitch, pixels, limit)
    if cuts is None:
        least = min(height, 2 if split else 1)
        assert (least - 1) * pitch + width > limit * pixels
        return
    assert [first for first, _, _ in cuts] == [0, *np.cumsum([rows for _, rows, _ in cuts])[:-1]]
    assert sum(rows for _, rows, _ in cuts) == height
    for first, rows, words in cuts:
        assert rows >= 1 and words <= limit and (words - 1) * pixels < (rows - 1) * pitch + width <= words * pixels
        assert not (split and first % 2)


def test_lowered_columns_follow_the_stored_order() -> None:
    rng = np.random.default_rng(7)
    x = Placement.make((3, 4, 5), base=16).ordered((2, 0, 1))
    values = rng.integers(-128, 128, (3, 4, 5), dtype=np.int8)
    memory = np.concatenate([np.zeros(16, np.int8), np.frombuffer(x.pack(values), np.int8)])
    for layer in (conv2d(rng, "conv", (2, 3, 2, 3), 1.0, False), linear(rng, "fc", (2, 60), 1.0)):
        low = lower(layer, x, 4, (3, 3))
        taps, channels = len(low.taps), low.in_channels
        assert low.matrix.shape == (2, taps * channels)
        addresses = np.array([tap.address for tap in low.taps])[:, None] + np.arange(channels) * low.in_plane
        acc = low.matrix.astype(int) @ memory[addresses.ravel()].astype(int)
        expected = layer.weights.reshape(2, -1).astype(int)
        window = values[:, :2, :3] if isinstance(layer, Conv2d) else values
        assert np.array_equal(acc, expected @ window.ravel().astype(int))


def test_partial_sums_of_differential_rows_count() -> None:
    # Row 0 adds 300 positions, row 1 removes the last ones after it added as many first: both fit, the way does not.
    matrix = np.zeros((2, 1000), np.int8)
    matrix[0, 500:], matrix[1, :500] = 127, 127
    one = np.ones(2, np.int64)
    lowered = Lowered(matrix, 1000, 1, (Tap(0, 0, 1, 0, 1),), (0,), (), 1, 8, 0 * one, one, one)
    check_sums("fc", lowered, (-128, 127), {0: None, 1: None}, DEMO)
    with pytest.raises(CompileError, match="fc: sums of output channel 1 can reach 16256000"):
        check_sums("fc", lowered, (-128, 127), {0: None, 1: 0}, DEMO)
    check_sums("fc", lowered, (-128, 127), {0: None, 1: 0}, dataclasses.replace(DEMO, acc_bits=25))
