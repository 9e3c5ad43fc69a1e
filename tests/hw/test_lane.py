"""The whole lane against the stream's software decoder, and its rate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headrace.config import Config, get_config
from headrace.errors import StreamError
from headrace.isa import TAP, ErrorCode
from headrace.stream import Plan, RowPlan, encode_layer
from headrace.stream_decode import LaneError, decode_lane
from headrace_hw.lane import Lane
from hw.streams import PATTERNS, contract, pattern, receive, send, simulate
from hw.tables import write_codes
from plans import random_matrix, random_plan

CONFIGS = [
    replace(get_config(name), x_words=words, acc_words=acc_words)
    for name, words, acc_words in (("tiny", 256, 64), ("small", 64, 32), ("demo", 32, 32))
]


def as_beats(stream: bytes) -> list[int]:
    return np.frombuffer(stream, "<u8").tolist()


def write_activations(ctx: Any, lane: Lane, config: Config, x: np.ndarray) -> Any:
    async def write() -> None:
        ctx.set(lane.load_enable, 1)
        ctx.set(lane.i_write.payload.load, 1)
        ctx.set(lane.i_write.valid, 1)
        for pair, (even, odd) in enumerate(x.reshape(-1, 2, config.pixels)):
            for address, mask, word in (("even_address", "even_mask", even), ("odd_address", "odd_mask", odd)):
                ctx.set(lane.i_write.payload.even_mask, 0)
                ctx.set(lane.i_write.payload.odd_mask, 0)
                ctx.set(lane.i_write.payload[address], pair)
                ctx.set(lane.i_write.payload[mask], (1 << config.pixels) - 1)
                ctx.set(lane.i_write.payload.data, int.from_bytes(word.tobytes(), "little"))
                await ctx.tick()
        ctx.set(lane.i_write.valid, 0)

    return write()


class LaneBench:
    """One lane, its tables and activations loaded, with a stream to decode."""

    def __init__(self, config: Config, stream: bytes, codes: Any, table: int, rows: int, **layer: int) -> None:
        self.config, self.codes, self.first_table, self.rows, self.layer = config, codes, table, rows, layer
        self.beats = as_beats(stream)
        self.lane = Lane(config)
        self.x = np.random.default_rng(7).integers(-128, 128, config.x_bytes).astype(np.int8)
        self.tap_addresses = [0]
        self.words: list[dict[str, Any]] = []
        self.started = self.finished = 0

    def run(self, back_pressure: str, sink: str, cycles: int = 60_000) -> None:
        lane = self.lane

        async def source(ctx: Any) -> None:
            await send(ctx, lane.i, self.beats, pattern(back_pressure, 1))
            ctx.set(lane.i_ended, 1)

        async def control(ctx: Any) -> None:
            await write_activations(ctx, lane, self.config, self.x)
            ctx.set(lane.first_table, self.first_table)
            taps = [TAP.pack({"x_address": address, "end": 65535}) for address in self.tap_addresses]
            await write_codes(ctx, lane.layer, lane.table, self.codes, taps)
            for name, value in self.layer.items():
                ctx.set(getattr(lane.layer, name), value)
            ctx.set(lane.rows, self.rows)
            ctx.set(lane.first_channel, 5)
            ctx.set(lane.start, 1)
            await ctx.tick()
            ctx.set(lane.start, 0)
            ctx.set(lane.running, 1)
            while not (ctx.get(lane.done) or ctx.get(lane.error)):
                await ctx.tick()
                self.started += 1
            self.error = ErrorCode(ctx.get(lane.error_code)) if ctx.get(lane.error) else ErrorCode.NONE

        async def results(ctx: Any) -> None:
            willing = pattern(sink, 2)
            while True:
                self.words += await receive(ctx, lane.o, 1, willing)

        async def sink_bench(ctx: Any) -> None:
            await results(ctx)

        simulate(lane, control, background=[source, sink_bench, contract(lane.o)], cycles=cycles)

    def sums(self) -> np.ndarray:
        """(rows, words * P), and checks the channel numbers and the first and last marks."""
        per_row = self.layer["words"]
        result = np.array([[int(s) for s in w["sums"]] for w in self.words]).reshape(self.rows, -1)
        for n, word in enumerate(self.words):
            assert word["channel"] == 5 + n // per_row
            assert (word["first"], word["last"]) == (n % per_row == 0, n % per_row == per_row - 1)
        return result

    def expected(self, W: np.ndarray) -> np.ndarray:
        """W (rows, taps * C) times the bytes behind each position's address."""
        taps, channels = self.layer["taps"], self.layer["in_channels"]
        pixels = np.arange(self.layer["words"] * self.config.pixels)
        base = np.array(self.tap_addresses)[:, None] + self.layer["in_plane"] * np.arange(channels)
        assert base.size == taps * channels
        gathered = self.x[(base.reshape(-1, 1) + pixels) % self.config.x_bytes].astype(np.int64)
        return W.astype(np.int64) @ gathered


def make(config: Config, W: np.ndarray, plan: Plan, rng: np.random.Generator, taps: int, words: int) -> LaneBench:
    encoded = encode_layer(W, plan, config.symbols)
    bench = LaneBench(
        config,
        encoded.streams[0],
        encoded.codes,
        encoded.lane_tables[0],
        encoded.lane_rows[0],
        in_channels=W.shape[1] // taps,
        taps=taps,
        in_plane=int(rng.integers(1, 40)),
        words=words,
        slot_shift=(words - 1).bit_length(),
    )
    bench.tap_addresses = rng.integers(0, config.x_bytes, taps).tolist()
    return bench


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
