"""A layer's tables as a block bench writes them, beat by beat."""

from __future__ import annotations

from typing import Any

from headrace import isa
from headrace.code import Code
from headrace_hw.shapes import Table


def symbol_beats(code: Code) -> list[int]:
    entries = [int(entry) for entry in code.entries]
    entries += [0] * (len(entries) % 2)
    return [low | high << 32 for low, high in zip(entries[::2], entries[1::2], strict=True)]


def code_beats(code: Code) -> list[int]:
    limit, base, escape_limit = code.limits()
    beats = [isa.CODE.pack({"limit": first, "base": index}) for first, index in zip(limit, base, strict=True)]
    return [*beats, isa.CODE.pack({"limit": escape_limit})]


async def write_table(ctx: Any, port: Any, table: Table, beats: list[int]) -> None:
    ctx.set(port.table, table)
    for index, beat in enumerate(beats):
        ctx.set(port.index, index)
        ctx.set(port.data, beat)
        ctx.set(port.valid, 1)
        await ctx.tick()
    ctx.set(port.valid, 0)


def set_code(ctx: Any, port: Any, code: Code) -> None:
    limit, base, escape_limit = code.limits()
    mask = (1 << len(port.base[0])) - 1
    for n in range(isa.MAX_CODE_LENGTH):
        ctx.set(port.limit[n], int(limit[n]))
        ctx.set(port.base[n], int(base[n]) & mask)
    ctx.set(port.escape_limit, escape_limit)
