"""The choice of a layer's coding by cycles and bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.coding import HARDLY_MORE, Effort, Strips, choose_coding
from headrace.config import CONFIGS
from headrace.stream import decode_layer
from plans import random_matrix

DEMO = CONFIGS["demo"]


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    positions=st.integers(1, 80),
    words=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    slots=st.sampled_from([0, 1, 8]),
)
@settings(deadline=None, max_examples=40)
def test_lossless_and_more_effort_is_hardly_slower(seed, rows, positions, words, slots) -> None:
    W = random_matrix(np.random.default_rng(seed), rows, positions, 0.3, 5)
    strips = Strips(tuple(words), 20)
    codings = [choose_coding(W, DEMO, strips, slots, effort) for effort in Effort]
    for coding in codings:
        assert np.array_equal(decode_layer(coding.encoded), W)
        assert coding.encoded.entries <= DEMO.symbols and len(coding.encoded.codes) <= DEMO.code_tables
        assert coding.rows_differential == 0 or slots
    cycles = [strips.cycles(coding.encoded) for coding in codings]
    assert max(cycles[1:]) <= HARDLY_MORE * cycles[0] and cycles[2] <= HARDLY_MORE * cycles[1]


def test_near_copies_are_differential() -> None:
    rng = np.random.default_rng(0)
    W = np.repeat(rng.integers(-9, 10, (4, 300)), 50, axis=0).astype(np.int8)
    W[np.arange(200), np.arange(200)] += 1
    strips = Strips((1,), 200)
    chosen = choose_coding(W, DEMO, strips)
    assert chosen.rows_differential > 150
    assert choose_coding(W, DEMO, strips, 0).rows_differential == 0


def test_two_kinds_of_row_take_two_codes() -> None:
    rng = np.random.default_rng(3)
    sparse = (rng.random((200, 300)) < 0.03) * rng.choice([1, 2], (200, 300))
    dense = (rng.random((200, 300)) < 0.6) * rng.choice([-3, -4, 5], (200, 300))
    chosen = choose_coding(np.vstack([sparse, dense]).astype(np.int8), DEMO, Strips((1,), 400), 0)
    assert len(chosen.encoded.codes) > 1


@pytest.mark.parametrize("words", [(1,), (3, 2)])
def test_cycles_are_tables_then_the_longer_of_reading_and_work(words: tuple[int, ...]) -> None:
    W = np.eye(8, dtype=np.int8)
    coding = choose_coding(W, DEMO, Strips(words, 10), 0)
    busiest = max(coding.encoded.lane_taps)
    assert busiest == 2
    without = Strips(words, 0).cycles(coding.encoded)
    assert without >= sum(busiest * n for n in words)
    read = Strips(words, 0, copies=2, ports=1).cycles(coding.encoded), Strips(words, 0, copies=4, ports=2)
    assert read[0] == read[1].cycles(coding.encoded) >= without
    assert Strips(words, 10_000).cycles(coding.encoded) == without + 10_000 * len(words)


def test_strips_share_the_lanes() -> None:
    """Rows are dealt to as many groups of lanes as each strip has."""
    coding = choose_coding(np.eye(8, dtype=np.int8), DEMO, Strips((1,), 10, copies=2), 0)
    assert len(coding.encoded.streams) == DEMO.lanes // 2
