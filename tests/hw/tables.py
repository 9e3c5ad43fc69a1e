"""A layer's tables as a block bench writes them, beat by beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace import isa, tables
from headrace.code import Code
from headrace_hw.shapes import Table


def symbol_beats(codes: Sequence[Code]) -> list[int]:
    return tables.symbol_beats(codes).tolist()


def code_beats(codes: Sequence[Code]) -> list[int]:
    return tables.code_beats(codes).tolist()


async def write_table(ctx: Any, port: Any, table: Table, beats: list[int]) -> None:
    ctx.set(port.table, table)
    for index, beat in enumerate(beats):
        ctx.set(port.index, index)
        ctx.set(port.data, beat)
        ctx.set(port.valid, 1)
        await ctx.tick()
    ctx.set(port.valid, 0)


async def write_codes(ctx: Any, dut: Any, port: Any, codes: Sequence[Code], taps: list[int] | None = None) -> None:
    """Codes, taps and symbols. `dut` is whoever has an input `code_tables`."""
    ctx.set(dut.code_tables, len(codes))
    await write_table(ctx, port, Table.CODE, code_beats(codes))
    await write_table(ctx, port, Table.TAPS, taps or [0])
    await write_table(ctx, port, Table.SYMBOLS, symbol_beats(codes))


async def select_code(ctx: Any, dut: Any) -> None:
    """Pulse `start`, and wait until the first code can be used."""
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    await ctx.tick().repeat(isa.CODE_BEATS + 1)
