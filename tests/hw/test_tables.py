"""TableLoader: every beat to its table."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_hw.shapes import Table
from headrace_hw.tables import TableLoader
from hw.streams import PATTERNS, pattern, simulate

LAYERS = {
    "one beat each": [1, 1, 1, 1, 1, 1],
    "small": [3, 13, 1, 2, 3, 2],
    "no masks": [3, 13, 1, 0, 3, 2],
    "unequal": [12, 26, 25, 7, 40, 1],
    "long channels": [3, 13, 1, 0, 1, 300],
}


@pytest.mark.parametrize("back_pressure", PATTERNS)
def test_loader_sorts_layer_after_layer(back_pressure: str) -> None:
    dut = TableLoader()
    dice = random.Random(1)
    willing = pattern(back_pressure, 1)
    seen: list[tuple[int, int, int]] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, valid, table, index, word = await ctx.tick().sample(dut.o.valid, dut.o.table, dut.o.index, dut.o.data)
            if valid:
                seen.append((Table(table), index, word))

    async def feed(ctx: Any) -> None:
        for lengths in LAYERS.values():
            seen.clear()
            ctx.set(dut.lengths, lengths)
            ctx.set(dut.bank, len(lengths) % 2)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            expected = [(table, n, dice.getrandbits(64)) for table in Table for n in range(lengths[table.value])]
            for _, _, word in expected:
                while not next(willing):
                    await ctx.tick()
                assert not ctx.get(dut.done)
                ctx.set(dut.i.payload, word)
                ctx.set(dut.i.valid, 1)
                await ctx.tick()
                ctx.set(dut.i.valid, 0)
            assert ctx.get(dut.done), "done comes with the last beat's write"
            await ctx.tick().repeat(3)
            assert ctx.get(dut.done) and not ctx.get(dut.o.valid)
            assert seen == expected

    simulate(dut, feed, background=[watch])


def test_start_in_the_middle_of_a_table_begins_anew() -> None:
    dut = TableLoader()

    async def feed(ctx: Any) -> None:
        ctx.set(dut.lengths, [4, 4, 4, 4, 4, 4])
        for beats in (6, 1):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().repeat(beats)
            ctx.set(dut.i.valid, 0)
        assert ctx.get(dut.o.valid)
        assert (ctx.get(dut.o.table), ctx.get(dut.o.index)) == (Table.LANES, 0)

    simulate(dut, feed)
