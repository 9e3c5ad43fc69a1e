"""The stream kernels against the decoder on NumPy: the same weights, products and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import native
from headrace.errors import StreamError
from headrace.stream import LaneError, decode_lane, encode_layer
from plans import random_matrix, random_plan

pytestmark = pytest.mark.skipif(not native.available(), reason="no native kernels")
if native.available():
    from headrace.native.stream import StreamKernel


def kernel_of(encoded, **changes) -> StreamKernel:
    parts = {
        "codes": encoded.codes,
        "streams": encoded.streams,
        "lane_rows": encoded.lane_rows,
        "lane_tables": encoded.lane_tables,
        "positions": encoded.positions,
    }
    return StreamKernel(**{**parts, **changes})


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 25),
    positions=st.integers(0, 60) | st.sampled_from([255, 256, 5000]),
    density=st.sampled_from([0.0, 0.003, 0.1, 1.0]),
    lanes=st.integers(1, 9),
    tables=st.integers(1, 8),
    max_entries=st.sampled_from([1, 20, 1024]),
)
@settings(deadline=None, max_examples=150)
def test_weights_and_products(seed, rows, positions, density, lanes, tables, max_entries) -> None:
    rng = np.random.default_rng(seed)
    W = random_matrix(rng, rows, positions, density, 40)
    encoded = encode_layer(W, random_plan(rng, rows, lanes, tables=tables), max_entries)
    stored, kernel = kernel_of(encoded), kernel_of(encoded, order=encoded.order)
    assert np.array_equal(stored.decode(), W[encoded.order]) and np.array_equal(kernel.decode(), W)
    for dtype, limit in ((np.int8, 127), (np.int32, 2**31 - 1)):
        x = rng.integers(-limit, limit, positions).astype(dtype)
        for threads in (1, 2, 3):
            y = kernel.integer_product(x, threads)
            assert y.dtype == np.int64 and np.array_equal(y, W.astype(np.int64) @ x.astype(np.int64))
    assert kernel.symbol_counter()() == sum(encoded.lane_symbols) - sum(encoded.lane_rows) + rows


@given(seed=st.integers(0, 2**32 - 1), flips=st.lists(st.integers(0, 10**6), max_size=4), cut=st.integers(0, 2))
@settings(deadline=None, max_examples=300)
def test_damage_gives_the_same_error_or_the_same_weights(seed: int, flips: list[int], cut: int) -> None:
    rng = np.random.default_rng(seed)
    rows, positions = (int(n) for n in rng.integers(1, [12, 60]))
    W = random_matrix(rng, rows, positions, rng.random() ** 2, 9)
    encoded = encode_layer(W, random_plan(rng, rows, 1, 0.4, int(rng.integers(1, 5))), 72)
    data = bytearray(encoded.streams[0])
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << flip % 8
    damaged = bytes(data[: len(data) - 8 * cut])
    try:
        expected = decode_lane(encoded.codes, damaged, rows, positions, encoded.lane_tables[0])
    except StreamError as error:
        with pytest.raises(type(error)) as raised:
            kernel_of(encoded, streams=(damaged,)).decode()
        if isinstance(error, LaneError) and isinstance(raised.value, LaneError):
            assert raised.value.code is error.code
    else:
        assert np.array_equal(kernel_of(encoded, streams=(damaged,)).decode(), expected)


def test_symbols() -> None:
    W = np.array([[0, 5, 0], [-3, 5, 0]], np.int8)
    from headrace.stream import RowPlan

    encoded = encode_layer(W, ((RowPlan(0), RowPlan(1, 0, 0, 2)),))
    (symbols,) = kernel_of(encoded).lane_symbols()
    assert symbols.tolist() == [0x8000, 1 << 16 | 5, 0x8000 | 2 | 1 << 6, 0xFFFD]


def test_parts_that_do_not_fit() -> None:
    encoded = encode_layer(np.eye(3, dtype=np.int8), random_plan(np.random.default_rng(0), 3, 2))
    for changes in (
        {"lane_rows": (3,)},
        {"lane_tables": (0,)},
        {"lane_rows": (1 << 28, 0)},
        {"positions": 1 << 16},
        {"streams": (b"1", b"2")},
        {"order": [0, 0, 1]},
    ):
        with pytest.raises(StreamError):
            kernel_of(encoded, **changes)
    for x in (np.zeros(2, np.int8), np.zeros(3), np.zeros(3, np.int64), np.full(3, 2**31, np.uint32)):
        with pytest.raises(ValueError):
            kernel_of(encoded).integer_product(x)
