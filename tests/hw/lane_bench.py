"""A lane with tables, activations and a stream, and what it should make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from headrace.config import Config, get_config
from headrace.isa import MASK_BITS, TAP, ErrorCode
from headrace.stream import Plan, encode_layer
from headrace_hw.lane import Lane
from headrace_hw.shapes import Table
from hw.streams import contract, pattern, receive, send, simulate
from hw.tables import write_codes, write_table

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
        ctx.set(lane.i_write.payload.here, (1 << config.pixels) - 1)
        for number, word in enumerate(x.reshape(-1, config.pixels)):
            ctx.set(lane.i_write.payload.word, number)
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
        self.reach: list[dict[str, int]] = []
        """Of every tap `shift`, `end` and `mask`; none: all that it reads counts."""
        self.masks: np.ndarray = np.ones((0, 1, config.pixels), np.bool_)
        """(rows, phases, P)"""
        self.first_word = 0
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
            await write_codes(ctx, lane.layer, lane.table, self.codes, self.taps())
            await write_table(ctx, lane.table, Table.MASKS, self.mask_beats())
            ctx.set(lane.layer.phases, self.masks.shape[1])
            ctx.set(lane.first_word, self.first_word)
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

    def taps(self) -> list[int]:
        """As a lane gets them: in place of a mask's number stands where its row begins, from 1."""
        reach = self.reach or [{"shift": 0, "end": 65535, "mask": 0}] * len(self.tap_addresses)
        records = []
        for address, tap in zip(self.tap_addresses, reach, strict=True):
            place = (tap["mask"] - 1) * self.masks.shape[1] + 1 if tap["mask"] else 0
            low = {"mask": place % (1 << MASK_BITS), "reserved": place >> MASK_BITS}
            records.append(TAP.pack({"x_address": address, "shift": tap["shift"], "end": tap["end"], **low}))
        return records

    def mask_beats(self) -> list[int]:
        return [
            sum(1 << p for p, counts in enumerate(entry) if counts)
            for entry in self.masks.reshape(-1, self.config.pixels)
        ]

    def counted(self, padding: int) -> np.ndarray:
        """(taps, words * P) activations of channel 0, pixel by pixel; `padding` where one does not count."""
        pixels, result = self.config.pixels, []
        for address, tap in zip(self.tap_addresses, self.reach, strict=True):
            for n in range(self.layer["words"] * pixels):
                flat = self.first_word * pixels + n
                inside = 0 <= flat + tap["shift"] < tap["end"]
                phase = n // pixels % self.masks.shape[1]
                column = tap["mask"] == 0 or self.masks[tap["mask"] - 1, phase, n % pixels]
                result.append(self.x[(address + n) % self.config.x_bytes] if inside and column else padding)
        return np.array(result, np.int64).reshape(len(self.reach), -1)

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
