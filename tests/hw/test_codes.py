"""Codes: which code's limits and bases a lane sees, and when."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Module, ResetInserter, Signal

from headrace.code import Code
from headrace.config import Config
from headrace.isa import CODE_BEATS, MAX_CODE_LENGTH, NO_ESCAPE
from headrace_hw.codes import Codes
from headrace_hw.shapes import Table
from hw.streams import plain, simulate
from hw.tables import code_beats, write_table

CODES = (
    Code([5], [1], False),
    Code([], [1], True),
    Code(range(12), [*range(1, 13), 12], True),
    Code(range(1024), [10] * 1024, False),
)
EMPTY = {"limit": [0] * MAX_CODE_LENGTH, "escape_limit": NO_ESCAPE}


def limits(number: int, tables: int) -> dict[str, Any]:
    if number >= tables:
        return EMPTY
    limit, _, escape_limit = CODES[number].limits()
    return {"limit": limit.tolist(), "escape_limit": escape_limit}


def seen(ctx: Any, dut: Codes) -> dict[str, Any]:
    return {"limit": plain(ctx.get(dut.limit)), "escape_limit": ctx.get(dut.escape_limit)}


async def load(ctx: Any, dut: Codes, first: int, tables: int) -> None:
    ctx.set(dut.code_tables, tables)
    ctx.set(dut.first_table, first)
    await write_table(ctx, dut.i, Table.CODE, code_beats(CODES[:tables]))
    for other in set(Table) - {Table.CODE}:
        await write_table(ctx, dut.i, other, [(1 << 64) - 1] * (CODE_BEATS + 3))


async def start(ctx: Any, dut: Codes) -> None:
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)


async def settle(ctx: Any, dut: Codes) -> int:
    cycles = 0
    while ctx.get(dut.busy):
        await ctx.tick()
        cycles += 1
    return cycles


@pytest.mark.parametrize("symbols", [4, 1024, 4096])
@pytest.mark.parametrize("room", [1, 2, 4, 8])
def test_every_code_of_every_layer(symbols: int, room: int) -> None:
    """The first one with the tables, the others by switches; bases modulo the size of the symbol table."""
    dut = Codes(Config("codes", lanes=1, pixels=1, symbols=symbols, code_tables=room))

    async def bench(ctx: Any) -> None:
        for tables in range(1, min(room, len(CODES)) + 1):
            for first in range(8):
                await load(ctx, dut, first, tables)
                await start(ctx, dut)
                assert await settle(ctx, dut) == CODE_BEATS + 1
                assert seen(ctx, dut) == limits(first, tables)
            for number in (0, tables - 1, tables, 7, tables - 1, tables - 1):
                ctx.set(dut.switch, 1)
                ctx.set(dut.table, number)
                await ctx.tick()
                ctx.set(dut.switch, 0)
                ctx.set(dut.table, 5)
                assert await settle(ctx, dut) == CODE_BEATS + 1
                assert seen(ctx, dut) == limits(number, tables)
                if number < tables:
                    entry = sum(code.entries.size for code in CODES[:number])
                    for length, base in enumerate(CODES[number].limits(entry)[1].tolist(), 1):
                        ctx.set(dut.length, length)
                        assert ctx.get(dut.base) == base % symbols

    simulate(dut, bench)


@pytest.mark.parametrize("room", [1, 2, 4])
def test_tables_of_the_next_layer_come_while_a_code_is_in_use(room: int) -> None:
    """Into the other half; switches within the layer stay in the layer's own half."""
    dut = Codes(Config("codes", lanes=1, pixels=1, code_tables=room))
    tables = min(room, 2)
    first = tables - 1

    async def bench(ctx: Any) -> None:
        await load(ctx, dut, first, tables)
        await start(ctx, dut)
        await settle(ctx, dut)
        ctx.set(dut.i.bank, 1)
        await write_table(ctx, dut.i, Table.CODE, code_beats(CODES[2 : 2 + tables]))
        assert seen(ctx, dut) == limits(first, tables)
        ctx.set(dut.switch, 1)
        ctx.set(dut.table, 0)
        await ctx.tick()
        ctx.set(dut.switch, 0)
        await settle(ctx, dut)
        assert seen(ctx, dut) == limits(0, tables)
        ctx.set(dut.bank, 1)
        ctx.set(dut.first_table, 0)
        await start(ctx, dut)
        await settle(ctx, dut)
        assert seen(ctx, dut) == limits(2, 3)

    simulate(dut, bench)


def test_a_reset_does_not_disturb_tables_that_arrive() -> None:
    """A lane is reset at the end of a layer, whatever beat of the next one's tables comes then."""
    codes, clear = Codes(Config("codes", lanes=1, pixels=1)), Signal()
    m = Module()
    m.submodules.codes = ResetInserter(clear)(codes)
    beats = code_beats(CODES[2:4])

    async def bench(ctx: Any) -> None:
        ctx.set(codes.code_tables, 2)
        ctx.set(codes.i.table, Table.CODE)
        for strike in range(len(beats)):
            for index, beat in enumerate(beats):
                ctx.set(codes.i.index, index)
                ctx.set(codes.i.data, beat)
                ctx.set(codes.i.valid, 1)
                ctx.set(clear, index == strike)
                await ctx.tick()
            ctx.set(codes.i.valid, 0)
            ctx.set(clear, 0)
            for number in (0, 1):
                ctx.set(codes.first_table, number)
                await start(ctx, codes)
                await settle(ctx, codes)
                assert seen(ctx, codes) == limits(2 + number, 4), strike

    simulate(m, bench)
