"""Taps against positions counted in Python: addresses, marks, headers, faults, cycles."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from headrace.config import Config
from headrace.isa import TAP, ErrorCode
from headrace_hw.shapes import Fault, Table
from headrace_hw.taps import Taps
from hw.streams import PATTERNS, contract, pattern, receive, send, simulate
from hw.tables import write_table

Header = tuple[int, int, int]
"""Target, source, differential."""
PLAIN: Header = (0, 0, 0)
LATENCY = 4
FIRST_WORD = 5
PIXELS_OF: dict[int, int] = {}
"""P of the configuration with so many bytes of activations."""


def config(pixels: int) -> Config:
    return Config(f"P{pixels}", lanes=1, pixels=pixels, x_words=1024)


def tap_symbol(run: int, value: int) -> dict[str, Any]:
    return {"end": 0, "run": run, "value": value, "target": 0, "source": 0, "differential": 0, "fault": Fault.NONE}


def end_symbol(header: Header = PLAIN) -> dict[str, Any]:
    target, source, differential = header
    marks = {"target": target, "source": source, "differential": differential}
    return tap_symbol(0, 0) | marks | {"end": 1}


def faulty(fault: Fault, end: int = 0) -> dict[str, Any]:
    return tap_symbol(0, 0) | {"end": end, "fault": fault}


@dataclass
class Layer:
    """`taps` x `channels` positions; rows are lists of positions, each with the header it begins with."""

    taps: int
    channels: int
    rows: Sequence[Sequence[int]]
    in_plane: int = 23
    headers: list[Header] = field(default_factory=list)

    def header(self, row: int) -> Header:
        return self.headers[row] if row and self.headers else PLAIN

    @staticmethod
    def value(row: int, position: int) -> int:
        return (37 * row + 11 * position) % 511 - 255 or 1

    def symbols(self) -> list[dict[str, Any]]:
        symbols = []
        for number, row in enumerate(self.rows):
            column = 0
            for position in row:
                symbols.append(tap_symbol(position - column, self.value(number, position)))
                column = position + 1
            following = number + 1
            symbols.append(end_symbol(self.header(following) if following < len(self.rows) else (7, 7, 1)))
        return symbols

    def operations(self, entries: list[dict[str, int]], size: int) -> list[dict[str, Any]]:
        """A row without positions: one operation of weight 0, at whatever address."""
        operations = []
        for number, row in enumerate(self.rows):
            target, source, differential = self.header(number)
            for n, position in enumerate(row or [-1]):
                tap, channel = divmod(position, self.channels)
                entry = entries[tap]
                operations.append(
                    {
                        "address": (entry["x_address"] + channel * self.in_plane) % size if row else None,
                        "position": entry["shift"] + FIRST_WORD * PIXELS_OF[size],
                        "end": entry["end"],
                        "every_column": int(entry["place"] == 0),
                        "mask": (entry["place"] - 1) % 64,
                        "value": self.value(number, position) if row else 0,
                        "first": int(n == 0),
                        "last": int(n == len(row or [-1]) - 1),
                        "target": target,
                        "source": source,
                        "differential": differential,
                    }
                )
        return operations


class Bench:
    def __init__(self, made: Config, layer: Layer) -> None:
        self.config, self.layer, self.dut = made, layer, Taps(made)
        dice = random.Random(layer.taps)
        PIXELS_OF[made.x_bytes] = made.pixels
        self.entries = [
            {
                "x_address": dice.randrange(made.x_bytes),
                "shift": dice.randrange(-300, 300),
                "end": dice.randrange(1 << 16),
                "place": dice.choice([0, dice.randrange(1, 65)]),
            }
            for _ in range(layer.taps)
        ]

    async def load(self, ctx: Any, rows: int) -> None:
        dut, layer = self.dut, self.layer
        places = [entry["place"] for entry in self.entries]
        records = [{key: entry[key] for key in ("x_address", "shift", "end")} for entry in self.entries]
        beats = [
            TAP.pack(record | {"mask": place % 16, "reserved": place // 16})
            for record, place in zip(records, places, strict=True)
        ]
        ctx.set(dut.table.bank, 1)
        await write_table(ctx, dut.table, Table.TAPS, beats)
        ctx.set(dut.table.bank, 0)  # another layer's do not matter
        await write_table(ctx, dut.table, Table.TAPS, [0] * len(beats))
        ctx.set(dut.bank, 1)
        ctx.set(dut.first_word, FIRST_WORD)
        ctx.set(dut.in_channels, layer.channels)
        ctx.set(dut.taps, layer.taps)
        ctx.set(dut.in_plane, layer.in_plane)
        ctx.set(dut.rows, rows)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.rows, 0)

    async def expect(self, ctx: Any, operations: list[dict[str, int]], sink: str = "none") -> None:
        got = await receive(ctx, self.dut.o, len(operations), pattern(sink, 2))
        for n, (operation, wanted) in enumerate(zip(got, operations, strict=True)):
            if wanted["address"] is None:  # of weight 0, so it does not matter where
                of_no_tap = ("address", "position", "end", "every_column", "mask")
                operation, wanted = (
                    {k: v for k, v in each.items() if k not in of_no_tap} for each in (operation, wanted)
                )
            assert operation == wanted, f"operation {n}"

    def run(self, source: str = "none", sink: str = "none") -> int:
        """All rows, then symbols that nobody looks at; cycles from the first symbol to the last operation."""
        dut = self.dut
        symbols = self.layer.symbols()
        operations = self.layer.operations(self.entries, self.config.x_bytes)
        started = 2 * len(self.entries) + 1

        async def feed(ctx: Any) -> None:
            assert ctx.get(dut.done) and not ctx.get(dut.busy)
            await self.load(ctx, len(self.layer.rows))
            assert not ctx.get(dut.done) and ctx.get(dut.busy)
            await send(ctx, dut.i, symbols, pattern(source, 1))
            assert ctx.get(dut.done)
            behind = [tap_symbol(4095, 1), faulty(Fault.UNDERRUN), end_symbol(), faulty(Fault.BAD_SYMBOL)]
            await send(ctx, dut.i, behind)

        async def check(ctx: Any) -> None:
            while not ctx.get(dut.o.valid):
                await ctx.tick()
            await self.expect(ctx, operations, sink)

        async def settle(ctx: Any) -> None:
            ctx.set(dut.o.ready, 1)
            for _ in range(8):
                await ctx.tick()
                assert not ctx.get(dut.o.valid), "an operation too many"
            assert ctx.get(dut.done) and not ctx.get(dut.busy) and not ctx.get(dut.error)

        async def check_all(ctx: Any) -> None:
            await check(ctx)
            await settle(ctx)

        cycles = simulate(dut, feed, check_all, background=[contract(dut.o)])
        return cycles - started - 8

    def fail(self, symbols: list[dict[str, Any]], operations: int, code: ErrorCode, rows: int = 2) -> None:
        """`operations` of the layer's come, then nothing: the symbol at fault is not taken."""
        dut = self.dut
        expected = self.layer.operations(self.entries, self.config.x_bytes)[:operations]

        async def feed(ctx: Any) -> None:
            while ctx.get(dut.done):
                await ctx.tick()
            await send(ctx, dut.i, symbols)

        async def check(ctx: Any) -> None:
            await self.load(ctx, rows)
            await self.expect(ctx, [operation | {"last": 0} for operation in expected])
            ctx.set(dut.o.ready, 1)
            for _ in range(20):
                await ctx.tick()
                assert not ctx.get(dut.o.valid)
            assert ctx.get(dut.error) and ctx.get(dut.error_code) == code
            assert not ctx.get(dut.i.ready) and not ctx.get(dut.done)

        simulate(dut, check, background=[feed])


LAYERS = {
    "every position": Layer(3, 4, [range(12), range(12)]),
    "first and last position": Layer(5, 7, [[0], [34], [0, 34]]),
    "one position, one tap": Layer(1, 1, [[0], [], [0]]),
    "one channel": Layer(9, 1, [[0, 4, 8], [8], [3], range(9)]),
    "one tap": Layer(1, 400, [[0, 399], [399], range(0, 400, 57)]),
    "over several taps at once": Layer(25, 6, [[149], [0, 149], [5, 6, 77, 78, 143]]),
    "ends of taps": Layer(6, 5, [[4, 5], [4, 9, 14], [5, 10, 15, 20, 25], [9, 20]]),
    "empty rows": Layer(2, 3, [[], [], [1], [], [2, 5], []]),
    "only empty rows": Layer(2, 3, [[], [], []]),
    "runs of literals": Layer(2, 5000, [[4095, 8191], [4095, 5903, 9999], [0, 4096]]),
    "widest": Layer(1, 65535, [range(4095, 65535, 4096), [4000, 8000, 12000]]),
    "headers": Layer(
        2, 3, [[1], [], [2], [0, 5]], headers=[PLAIN, (3, 0, 1), (7, 3, 1), (0, 5, 0)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("pixels", [1, 4, 8])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, pixels: int) -> None:
    Bench(config(pixels), LAYERS[name]).run()


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("pixels", [1, 4, 8])
def test_random_rows(pixels: int, source: str, sink: str) -> None:
    dice = random.Random(f"{pixels} {source} {sink}")
    taps, channels = dice.choice([(1, 60), (9, 7), (25, 1), (4, 16)])
    rows = [
        [position for position in range(taps * channels) if dice.random() < density]
        for density in (0.3, 0.1, 0.02, 0.0, 1.0, 0.2)
    ]
    headers = [(dice.randrange(8), dice.randrange(8), dice.randrange(2)) for _ in rows]
    Bench(config(pixels), Layer(taps, channels, rows, dice.randrange(1, 65536), headers)).run(source, sink)


@pytest.mark.parametrize(("taps", "channels"), [(1, 1), (1, 9), (9, 1), (3, 4)])
def test_one_past_the_end_is_a_bad_position(taps: int, channels: int) -> None:
    """And the last position is not, whichever way it is reached."""
    size = taps * channels
    layer = Layer(taps, channels, [[size - 1], []])
    Bench(config(4), layer).run()
    one_past = [tap_symbol(size - 1, layer.value(0, size - 1)), tap_symbol(0, 1), end_symbol()]
    Bench(config(4), layer).fail(one_past, 1, ErrorCode.BAD_POSITION)
    Bench(config(4), layer).fail([tap_symbol(size, 1), end_symbol()], 0, ErrorCode.BAD_POSITION)
    Bench(config(4), layer).fail([tap_symbol(4095, 1), end_symbol()], 0, ErrorCode.BAD_POSITION)


@pytest.mark.parametrize(
    ("fault", "code"), [(Fault.UNDERRUN, ErrorCode.UNDERRUN), (Fault.BAD_SYMBOL, ErrorCode.BAD_SYMBOL)]
)
@pytest.mark.parametrize("end", [0, 1])
def test_faulty_symbols(fault: Fault, code: ErrorCode, end: int) -> None:
    """The symbol's other bits do not matter; what was decoded before it and has a successor still leaves."""
    layer = Layer(2, 5, [[3, 7, 8], []])
    symbols = layer.symbols()
    Bench(config(4), layer).fail([faulty(fault, end)], 0, code)
    Bench(config(4), layer).fail([*symbols[:3], faulty(fault, end), *symbols], 2, code)


def test_no_rows() -> None:
    dut = Bench(config(4), Layer(1, 1, [])).dut

    async def bench(ctx: Any) -> None:
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await send(ctx, dut.i, [tap_symbol(5, 1), end_symbol(), faulty(Fault.UNDERRUN)])
        for _ in range(5):
            await ctx.tick()
            assert ctx.get(dut.done) and not ctx.get(dut.busy) and not ctx.get(dut.o.valid)

    simulate(dut, bench)


def test_cycles() -> None:
    """One a symbol, and one more each time a run passes the end of a tap."""
    taps, channels = 8, 9
    for rows in ([range(72)] * 4, [range(0, 72, 18)] * 4, [[71]] * 4, [[]] * 9):
        layer = Layer(taps, channels, rows)
        passed = sum(max(row, default=0) // channels for row in rows)
        assert Bench(config(4), layer).run() <= len(layer.symbols()) + passed + LATENCY
