"""The choice of a layer's coding by cycles and bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.coding import HARDLY_MORE, TABLES_REQUEST, Effort, Strips, choose_coding, lane_cycles
from headrace.config import CONFIGS
from headrace.stream import decode_layer
from plans import random_matrix

DEMO = CONFIGS["demo"]


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 40),
    positions=st.integers(1, 80),
    words=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    slots=st.sampled_from([0, 1, 8]),
)
@settings(deadline=None, max_examples=20)
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
def test_cycles_are_the_longest_of_reading_work_and_the_way_out_and_tables(words: tuple[int, ...]) -> None:
    W = np.eye(8, dtype=np.int8)
    coding = choose_coding(W, DEMO, Strips(words, 10), 0)
    busiest = max(coding.encoded.lane_taps)
    assert busiest == 2
    alone = Strips(words, 0)
    assert alone.cycles(coding.encoded) - alone.waits(coding.encoded) >= sum(busiest * n for n in words)
    for copies in (2, 4):
        strips = Strips(words, 0, copies=copies)
        assert strips.cycles(coding.encoded) - strips.waits(coding.encoded) == 8 * copies * sum(words)
    runs = alone.runs(coding.encoded)
    # 13 beats of the code, one of symbols; others come while the descriptor before runs.
    tables = TABLES_REQUEST + 13 + 1
    assert alone.waits(coding.encoded) == tables + sum(max(tables - run, 0) for run in runs[:-1])
    assert Strips(words, 0, before=12).waits(coding.encoded) == alone.waits(coding.encoded) - 12
    assert Strips(words, 10_000).waits(coding.encoded) == (10_000 + tables) * len(words) - sum(runs[:-1])
    assert coding.run == Strips(words, 10).runs(coding.encoded)[-1]

    long = np.arange(1, 97, dtype=np.int8).reshape(1, 96)
    coding = choose_coding(long, DEMO, Strips(words, 10), 0)
    read = [Strips(words, 0, copies, ports).cycles(coding.encoded) for copies, ports in ((32, 1), (64, 2), (64, 1))]
    assert read[0] == read[1] < read[2]


def test_lanes_wait_for_few_symbols() -> None:
    """Where nothing runs while a short layer's tables come, most symbols are literals."""
    W = np.random.default_rng(5).permutation(np.repeat(np.arange(1, 121), 4)).reshape(40, 12).astype(np.int8)
    alone, behind = (choose_coding(W, DEMO, Strips((8,), 60, before=before), 0) for before in (0, 1000))
    assert alone.encoded.entries < behind.encoded.entries / 2
    assert Strips((8,), 60).waits(alone.encoded) < Strips((8,), 60).waits(behind.encoded) - 50
    assert Strips((8,), 60, before=1000).waits(behind.encoded) == 0
    for coding in (alone, behind):
        assert np.array_equal(decode_layer(coding.encoded), W)


@pytest.mark.parametrize("gathered", [4, 8])
@pytest.mark.parametrize("differential", [False, True])
def test_rows_on_their_way_out_are_gathered(differential: bool, gathered: int) -> None:
    """Rows of one tap on four lanes leave several a cycle; every lane's rows fill whole words."""
    W = np.zeros((800, 8), np.int8)
    W[np.arange(800), np.arange(800) % 8] = 1 + np.arange(800) // 8 % (3 if differential else 9)
    coding = choose_coding(W, DEMO, Strips((1,), 10, gather_counts=(gathered,)), 8 if differential else 0)
    assert coding.gathered == gathered and (coding.rows_differential > 0) == differential
    assert all(rows % gathered == 0 for rows in coding.encoded.lane_rows)
    assert np.array_equal(decode_layer(coding.encoded), W)
    assert not choose_coding(W, DEMO, Strips((1,), 10)).gathered


def test_as_many_rows_are_gathered_as_leave_soonest() -> None:
    """Of few rows, four at a time go to all lanes, eight to half of them."""
    W = np.ones((16, 4), np.int8)
    assert choose_coding(W, DEMO, Strips((1,), 10, gather_counts=(4, 8))).gathered == 4
    W = np.zeros((1024, 8), np.int8)
    W[np.arange(1024), np.arange(1024) % 8] = 1
    for lanes, gathered in ((4, 4), (8, 8)):
        config = replace(DEMO, lanes=lanes)
        assert choose_coding(W, config, Strips((1,), 10, gather_counts=(4, 8))).gathered == gathered


def test_lanes_of_differential_rows_are_balanced() -> None:
    """Clusters of equal rows, and rows like no other: their cycles differ."""
    rng = np.random.default_rng(4)
    lone = (rng.random((150, 200)) < 0.1) * rng.integers(-90, 90, (150, 200))
    W = np.vstack([lone, np.repeat(lone[:3], 200, axis=0)]).astype(np.int8)
    coding = choose_coding(W, DEMO, Strips((1,), 10))
    cycles = lane_cycles(coding.encoded, 1)
    assert coding.rows_differential > 0 and max(cycles) <= 1.05 * sum(cycles) / len(cycles)


def test_strips_share_the_lanes() -> None:
    """Rows are dealt to as many groups of lanes as each strip has."""
    coding = choose_coding(np.eye(8, dtype=np.int8), DEMO, Strips((1,), 10, copies=2), 0)
    assert len(coding.encoded.streams) == DEMO.lanes // 2
