"""Plans of differential rows: valid, balanced, and never more taps than rows from zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.differential import differential_plan
from headrace.stream import decode_layer, encode_layer
from plans import random_matrix


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 40),
    positions=st.integers(0, 50),
    lanes=st.integers(1, 5),
    slots=st.integers(1, 8),
)
@settings(deadline=None)
def test_valid_and_no_worse_than_rows_from_zero(seed: int, rows: int, positions: int, lanes: int, slots: int) -> None:
    rng = np.random.default_rng(seed)
    W = np.clip(random_matrix(rng, rows, positions, 0.3, 3), -127, 127)
    plan = differential_plan(W, lanes, 1, slots)
    assert len(plan) == lanes
    encoded = encode_layer(W, plan)  # which checks slots and parents
    assert np.array_equal(decode_layer(encoded), W)
    assert all(0 <= row.target < slots for lane in plan for row in lane)
    assert sum(encoded.lane_taps) <= np.maximum(np.count_nonzero(W, axis=1), 1).sum()


def test_near_copies_take_little() -> None:
    rng = np.random.default_rng(1)
    W = np.repeat(rng.integers(-100, 100, (4, 200)), 50, axis=0)
    W[np.arange(200), np.arange(200)] += 1
    whole = encode_layer(W, differential_plan(W, 1, 1))
    assert sum(whole.lane_taps) < 4 * 200 + 2 * 200 + 1
    pieces = encode_layer(W, differential_plan(W, 4, 1))
    assert max(pieces.lane_taps) < 2 * sum(whole.lane_taps) / 4 + 200


def test_too_few_slots_start_some_rows_from_zero() -> None:
    # A balanced binary tree of depth 6 takes 7 slots.
    W = np.zeros((127, 1000), np.int16)
    for row in range(127):
        W[row] = W[(row - 1) // 2] if row else 0
        W[row, 7 * row : 7 * row + 7] = 1
    plans = {slots: differential_plan(W, 1, 1, slots) for slots in (1, 3, 8)}
    taps = {slots: sum(encode_layer(W, plan).lane_taps) for slots, plan in plans.items()}
    assert taps[8] == 127 * 7 < taps[3] < taps[1]
    assert 1 + max(row.target for row in plans[8][0]) <= 7


def test_wrong_arguments() -> None:
    for W, lanes, words, slots in [
        (np.zeros(3), 1, 1, 1),
        (np.eye(2), 0, 1, 1),
        (np.eye(2), 1, 0, 1),
        (np.eye(2), 1, 1, 9),
    ]:
        with pytest.raises(ValueError):
            differential_plan(W, lanes, words, slots)
