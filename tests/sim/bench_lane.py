"""cocotb bench of a lane: streams against the software decoder, its rate, and streams that are broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np

from headrace.code import Code
from headrace.config import Config
from headrace.errors import StreamError
from headrace.isa import TAP, ErrorCode
from headrace.stream import RowPlan, encode_layer
from headrace.stream_decode import LaneError, decode_lane, lane_operations
from headrace_hw.shapes import Table, bank_write_layout, sums_layout
from headrace_sim.cocotb_bench import Bench
from headrace_sim.cocotb_runner import parameters
from headrace_sim.cocotb_streams import Sink, Source
from hw.streams import pattern
from hw.tables import code_beats, symbol_beats
from lanes import replay
from plans import random_matrix, random_plan

FIRST_CHANNEL = 5


class LaneBench:
    """A lane between a source of beats and a sink of sums, with random activations in its memory."""

    def __init__(self, dut: Any) -> None:
        given = parameters()
        self.config = Config(**given["config"])
        self.rng = np.random.default_rng([given["seed"], self.config.pixels])
        self.bench, self.dut = Bench(dut), dut
        self.source = Source(self.bench, "i", pattern(given["source"], 1))
        self.sink = Sink(self.bench, "o", pattern(given["sink"], 2))
        self.x = self.rng.integers(-128, 128, self.config.x_bytes).astype(np.int8)

    async def begin(self) -> None:
        dut, config = self.dut, self.config
        unused = ("table_bank", "layer_bank", "layer_phases", "first_word", "keep_from", "keep_to")
        for name in ("start", "running", "i_ended", "table_valid", "i_write_valid", "read_address", "layer_maximum"):
            getattr(dut, name).value = 0
        for name in unused:
            getattr(dut, name).value = 0
        dut.load_enable.value = 1
        await self.bench.reset()
        layout, everywhere = bank_write_layout(config), (1 << config.pixels) - 1
        dut.i_write_valid.value = 1
        for number, word in enumerate(self.x.reshape(-1, config.pixels)):
            write = {"load": 1, "word": number, "data": int.from_bytes(word.tobytes(), "little"), "here": everywhere}
            dut.i_write_payload.value = layout.const(write).as_bits()
            await self.bench.cycle()
        dut.i_write_valid.value = 0

    async def run(
        self,
        codes: Sequence[Code],
        table: int,
        stream: bytes,
        rows: int,
        channels: int,
        taps: int,
        words: int,
        limit: int,
    ) -> tuple[ErrorCode, np.ndarray, int]:
        """Reset, then one layer of one lane: its error, its sums (rows, words * P), and cycles from start to end."""
        dut, bench = self.dut, self.bench
        self.source.forget()
        self.sink.forget()
        dut.running.value = 0
        dut.i_ended.value = 0
        await bench.reset()
        self.in_plane = int(self.rng.integers(1, 40))
        self.tap_addresses = self.rng.integers(0, self.config.x_bytes, taps).tolist()
        await self._tables(codes, table)
        layer = {"in_channels": channels, "taps": taps, "in_plane": self.in_plane, "words": words}
        for name, value in {**layer, "slot_shift": (words - 1).bit_length()}.items():
            getattr(dut, f"layer_{name}").value = value
        dut.rows.value = rows
        dut.first_channel.value = FIRST_CHANNEL
        self.source.queue.extend(np.frombuffer(stream, "<u8").tolist())
        dut.start.value = 1
        await bench.cycle()
        dut.start.value = 0
        dut.running.value = 1

        def ended() -> bool:
            dut.i_ended.value = self.source.empty
            return bool(dut.done.value) or bool(dut.error.value)

        cycles = await bench.until(ended, limit, "done or error")
        error = ErrorCode(int(dut.error_code.value)) if dut.error.value else ErrorCode.NONE
        if error == ErrorCode.NONE:  # what follows the last row must pass, or the fetcher would wait for ever
            await bench.until(lambda: self.source.empty, 64 * (len(stream) + 8), "the end of the stream")
            return error, self.sums(rows, words), cycles
        return error, np.zeros((0, 0)), cycles

    async def _tables(self, codes: Sequence[Code], table: int) -> None:
        dut = self.dut
        dut.first_table.value = table
        dut.layer_code_tables.value = len(codes)
        for kind, beats in (
            (Table.CODE, code_beats(codes)),
            (Table.TAPS, [TAP.pack({"x_address": address, "end": 65535}) for address in self.tap_addresses]),
            (Table.SYMBOLS, symbol_beats(codes)),
        ):
            dut.table_table.value = kind.value
            for index, beat in enumerate(beats):
                dut.table_index.value, dut.table_data.value, dut.table_valid.value = index, beat, 1
                await self.bench.cycle()
            dut.table_valid.value = 0

    def sums(self, rows: int, words: int) -> np.ndarray:
        """What came out, with the marks checked."""
        layout = sums_layout(self.config)
        assert len(self.sink.got) == rows * words
        result = np.zeros((len(self.sink.got), self.config.pixels), np.int64)
        for n, raw in enumerate(self.sink.got):
            word = layout.from_bits(raw)
            result[n] = [word["sums"][pixel] for pixel in range(self.config.pixels)]
            assert word["channel"] == FIRST_CHANNEL + n // words
            assert (word["first"], word["last"]) == (n % words == 0, n % words == words - 1)
        return result.reshape(rows, -1)

    def expected(self, weights: np.ndarray, words: int) -> np.ndarray:
        """Weights (rows, taps * channels) times the bytes behind each position's address."""
        channels = weights.shape[1] // len(self.tap_addresses)
        base = np.array(self.tap_addresses)[:, None] + self.in_plane * np.arange(channels)
        pixels = np.arange(words * self.config.pixels)
        return weights.astype(np.int64) @ self.x[(base.reshape(-1, 1) + pixels) % self.config.x_bytes].astype(np.int64)


@cocotb.test()
async def equals_decoder(dut: Any) -> None:
    """Differential rows in all slots, escapes, empty rows: sums equal those of the decoder's operations."""
    lane = LaneBench(dut)
    await lane.begin()
    shapes = [
        (1, 50, 9, 1, 0.3),
        (6, 3, 5, 4, 0.5),
        (9, 7, 6, 3, 0.1),
        (1, 1, 1, 1, 1.0),
        (2, 13, 7, 2, 0.0),
        (1, 300, 4, 1, 0.02),
    ]
    for taps, channels, rows, words, density in shapes:
        W = random_matrix(lane.rng, rows, taps * channels, density, values=40)
        plan = random_plan(lane.rng, rows, 1, tables=lane.config.code_tables)
        encoded = encode_layer(W, plan, lane.config.symbols)
        codes, table, stream = encoded.codes, encoded.lane_tables[0], encoded.streams[0]
        error, sums, _ = await lane.run(codes, table, stream, rows, channels, taps, words, limit=20_000)
        weights = replay(lane_operations(codes, stream, rows, taps * channels, table), rows, taps * channels)
        assert np.array_equal(weights, W[encoded.order])
        assert error == ErrorCode.NONE
        assert np.array_equal(sums, lane.expected(weights, words)), (taps, channels, rows, words)


@cocotb.test()
async def rate(dut: Any) -> None:
    """Some 10,000 symbols, one word each: at least 0.98 symbols per cycle from start to done."""
    lane = LaneBench(dut)
    await lane.begin()
    values = lane.rng.choice([-3, -1, 1, 2, 5, 7, 11, 20], (40, 800))
    W = np.where(lane.rng.random((40, 800)) < 0.315, values, 0).astype(np.int8)
    encoded = encode_layer(W, (tuple(RowPlan(row) for row in range(len(W))),), lane.config.symbols)
    symbols = encoded.lane_symbols[0]
    error, sums, cycles = await lane.run(encoded.codes, 0, encoded.streams[0], 40, 800, 1, 1, limit=20_000)
    assert error == ErrorCode.NONE
    assert np.array_equal(sums, lane.expected(W, 1))
    print(f"P = {lane.config.pixels}: {symbols} symbols in {cycles} cycles, {symbols / cycles:.4f} symbols/cycle")
    assert 9_800 <= symbols <= 10_500
    assert symbols / cycles >= 0.98


@cocotb.test()
async def broken(dut: Any) -> None:
    """Truncated and corrupted streams: the decoder's error, or its weights, within bounds."""
    lane = LaneBench(dut)
    await lane.begin()
    rng, rows, taps, channels = lane.rng, 8, 3, 20
    W = random_matrix(rng, rows, taps * channels, 0.3, values=9)
    encoded = encode_layer(W, random_plan(rng, rows, 1, 0.0, tables=3), lane.config.symbols)
    one = encode_layer(np.zeros((200, 4), np.int8), (tuple(RowPlan(row) for row in range(200)),), lane.config.symbols)
    seen = set()
    for trial in range(parameters()["trials"]):
        made, lane_rows, width, count = encoded, rows, channels, taps
        if trial % 4 == 3:  # a code of one codeword: half of all bits are none
            made, lane_rows, width, count = one, int(rng.integers(1, 201)), 4, 1
        codes, table, stream = made.codes, made.lane_tables[0], bytearray(made.streams[0])
        if trial % 4 == 0:
            stream = stream[: 8 * int(rng.integers(0, len(stream) // 8))]
        else:
            for _ in range(1 + trial // 3):
                stream[int(rng.integers(len(stream)))] ^= 1 << int(rng.integers(8))
        limit = (8 * len(stream) + 64) * (1 + count)
        error, sums, _ = await lane.run(codes, table, bytes(stream), lane_rows, width, count, 1, limit)
        try:
            weights = decode_lane(codes, bytes(stream), lane_rows, count * width, table)
            assert error == ErrorCode.NONE and np.array_equal(sums, lane.expected(weights, 1))
        except LaneError as expected:
            assert error == expected.code, f"trial {trial}: {error.name}, not {expected.code.name}"
        except StreamError:  # bits behind the last row: the layer's signature tells, not the lane
            assert error == ErrorCode.NONE
        seen.add(error)
    print(f"P = {lane.config.pixels}: saw {sorted(error.name for error in seen)}")
    assert seen == {ErrorCode.NONE, ErrorCode.UNDERRUN, ErrorCode.BAD_POSITION, ErrorCode.BAD_SYMBOL}


@cocotb.test()
async def rubbish_passes(dut: Any) -> None:
    """Whatever follows the last row, codewords or not, is taken: the fetcher must come to its end."""
    lane = LaneBench(dut)
    await lane.begin()
    encoded = encode_layer(np.zeros((3, 4), np.int8), (tuple(RowPlan(row) for row in range(3)),), lane.config.symbols)
    for tail in (bytes(400), b"\xff" * 400, lane.rng.bytes(400)):
        error, sums, _ = await lane.run(encoded.codes, 0, encoded.streams[0] + tail, 3, 4, 1, 2, limit=2000)
        assert error == ErrorCode.NONE and not sums.any()
