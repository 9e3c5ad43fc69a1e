"""The choice of a code for each row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.code_tables import choose_tables
from headrace.schedule import fresh_plan
from headrace.stream import decode_layer, encode_layer
from plans import random_matrix


@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(0, 40), st.integers(1, 8), st.integers(1, 4))
@settings(deadline=None)
def test_any_matrix(seed: int, rows: int, positions: int, tables: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    W = random_matrix(rng, rows, positions, 0.3, 5)
    chosen = choose_tables(W, tables, 4095)
    assert chosen.shape == (rows,) and set(chosen.tolist()) == set(range(len(set(chosen.tolist()))))
    assert chosen.max(initial=0) < tables
    encoded = encode_layer(W, fresh_plan(W, lanes, 1, chosen))
    assert np.array_equal(decode_layer(encoded), W)


def test_two_kinds_of_row() -> None:
    rng = np.random.default_rng(3)
    sparse = (rng.random((100, 200)) < 0.03) * rng.choice([1, 2], (100, 200))
    dense = (rng.random((100, 200)) < 0.6) * rng.choice([-3, -4, 5], (100, 200))
    W = np.vstack([sparse, dense])[rng.permutation(200)].astype(np.int8)
    chosen = choose_tables(W, 2, 4095)
    is_dense = np.count_nonzero(W, axis=1) > 50
    assert np.array_equal(chosen == chosen[is_dense][0], is_dense)
    one, two = (encode_layer(W, fresh_plan(W, 4, 1, tables)) for tables in (None, chosen))
    assert sum(two.sizes().values()) < sum(one.sizes().values())
    assert all(changes <= 1 for changes in (np.count_nonzero(np.diff(chosen[lane])) for lane in lanes_of(two)))


def lanes_of(encoded) -> list[np.ndarray]:
    return np.split(encoded.order, np.cumsum(encoded.lane_rows)[:-1])


def test_plan_takes_one_code_for_each_row() -> None:
    with pytest.raises(ValueError, match="tables has shape"):
        fresh_plan(np.eye(3), 1, 1, [0, 1])
