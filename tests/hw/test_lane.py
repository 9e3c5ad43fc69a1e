"""The whole lane against the stream's software decoder, and its rate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.config import Config
from headrace.errors import StreamError
from headrace.isa import ErrorCode
from headrace.stream import RowPlan, encode_layer
from headrace.stream_decode import LaneError, decode_lane
from hw.lane_bench import CONFIGS, as_beats, make
from hw.streams import PATTERNS
from plans import random_matrix, random_plan


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"P{config.pixels}")
def test_equals_decoder(config: Config, source: str, sink: str) -> None:
    rng = np.random.default_rng([config.pixels, PATTERNS.index(source), PATTERNS.index(sink)])
    for taps, channels, rows, words, density in ((1, 50, 9, 1, 0.3), (6, 3, 5, 4, 0.5), (9, 7, 6, 3, 0.1)):
        W = random_matrix(rng, rows, taps * channels, density, values=15)
        W[rows // 2] = 0
        plan = random_plan(rng, rows, 1, tables=config.code_tables)
        bench = make(config, W, plan, rng, taps, words)
        bench.run(source, sink)
        assert bench.error == ErrorCode.NONE
        order = [entry.row for entry in plan[0]]
        np.testing.assert_array_equal(bench.sums(), bench.expected(W[order]))


def test_escapes_long_runs_and_single_symbol() -> None:
    rng = np.random.default_rng(3)
    config = replace(CONFIGS[1], symbols=8)
    wide = np.zeros((4, 9000), np.int8)
    wide[0, 8999], wide[1, [0, 4096]], wide[2, 300:330] = 5, (-7, 9), rng.integers(-128, 128, 30)
    for W in (wide, np.zeros((3, 5), np.int8), np.ones((1, 1), np.int8)):
        bench = make(config, W, (tuple(RowPlan(row) for row in range(len(W))),), rng, 1, 1)
        bench.run("none", "none")
        assert bench.error == ErrorCode.NONE
        np.testing.assert_array_equal(bench.sums(), bench.expected(W))


def test_maximum() -> None:
    """Every tap is a pass of its own, for Maxima to choose from."""
    rng = np.random.default_rng(4)
    bench = make(CONFIGS[2], np.ones((2, 4), np.int8), ((RowPlan(0), RowPlan(1)),), rng, 4, 3)
    bench.layer["maximum"] = 1
    bench.run("random", "random")
    pixels = np.arange(3 * 8)
    window = bench.x[(np.array(bench.tap_addresses)[:, None] + pixels) % bench.config.x_bytes]
    got = np.array([word["sums"] for word in bench.words]).reshape(2, 4, 24)
    np.testing.assert_array_equal(got, np.broadcast_to(window, (2, 4, 24)))
    assert [word["final"] for word in bench.words] == ([0] * 9 + [1] * 3) * 2


def test_broken_streams_stop_with_the_decoders_error() -> None:
    """Truncated and corrupted: the lane reports what the software decoder does, or decodes the same weights."""
    rng = np.random.default_rng(5)
    config = CONFIGS[1]
    W = random_matrix(rng, 8, 60, 0.3, values=9)
    plan = random_plan(rng, 8, 1, differential=0.0, tables=3)
    order = [entry.row for entry in plan[0]]
    seen = set()
    for trial in range(24):
        bench = make(config, W, plan, rng, 1, 1)
        stream = bytearray(np.array(bench.beats, "<u8").tobytes())
        if trial % 3 == 0:
            stream = stream[: 8 * int(rng.integers(0, len(stream) // 8))]
        else:
            for _ in range(trial):
                stream[int(rng.integers(len(stream)))] ^= 1 << int(rng.integers(8))
        bench.beats = as_beats(bytes(stream))
        bench.run("none", "none")
        try:
            weights = decode_lane(bench.codes, bytes(stream), 8, 60, bench.first_table)
            assert bench.error == ErrorCode.NONE
            np.testing.assert_array_equal(bench.sums(), bench.expected(weights))
            assert trial % 3 or np.array_equal(weights, W[order])
        except LaneError as error:
            assert bench.error == error.code
        except StreamError:  # bits behind the last row: the layer's signature tells, not the lane
            assert bench.error == ErrorCode.NONE
        seen.add(bench.error)
        assert bench.started < 20 * 64
    assert {ErrorCode.UNDERRUN, ErrorCode.BAD_POSITION} <= seen


@pytest.mark.slow
def test_one_symbol_per_cycle() -> None:
    """10,000 symbols, one word each: at least 0.98 symbols per cycle from start to done."""
    rng = np.random.default_rng(6)
    W = np.where(rng.random((40, 800)) < 0.31, rng.choice([-3, -1, 1, 2, 5, 7, 11, 20], (40, 800)), 0).astype(np.int8)
    plan = (tuple(RowPlan(row) for row in range(len(W))),)
    bench = make(CONFIGS[2], W, plan, rng, 1, 1)
    symbols = encode_layer(W, plan).lane_symbols[0]
    bench.run("none", "none")
    np.testing.assert_array_equal(bench.sums(), bench.expected(W))
    rate = symbols / bench.started
    print(f"{symbols} symbols in {bench.started} cycles: {rate:.4f} symbols/cycle")
    assert symbols >= 9_500
    assert rate >= 0.98
