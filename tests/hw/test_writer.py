"""BlockWriter against a memory: contents, bursts, one `done` per block after the last answer, errors, throughput."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_hw.writer import BlockWriter
from hw.axi_memory import WriteMemory, word_at
from hw.streams import PATTERNS, pattern, send, simulate

BLOCKS = [(0x1000, 1), (0x1FF8, 2), (0x2000, 0), (0x3000, 100), (0x4F80, 64), (0x6008, 17), (0x7000, 0), (0x8000, 8)]


async def write(ctx: Any, dut: Any, blocks: list[tuple[int, int]], memory: WriteMemory) -> list[int]:
    """Write block after block; the number of bad answers of each."""
    errors = []
    for address, beats in blocks:
        assert ctx.get(dut.idle)
        await send(ctx, dut.i, [{"address": address, "beats": beats}])
        errors.append(0)
        while True:
            _, _, done, error, idle = await ctx.tick().sample(dut.done, dut.error, dut.idle)
            assert not idle
            errors[-1] += error
            if done:
                break
        assert memory.answered == len(memory.bursts)
        assert not ctx.get(dut.done)
    return errors


def words(blocks: list[tuple[int, int]]) -> dict[int, int]:
    return {address + 8 * n: word_at(address + 8 * n) for address, beats in blocks for n in range(beats)}


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("limit", [1, 16, 256])
def test_blocks(limit: int, back_pressure: str) -> None:
    dut = BlockWriter(limit)
    memory = WriteMemory(dut.axi, pattern(back_pressure, 1))

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i_data, list(words(BLOCKS).values()), pattern(back_pressure, 2))

    async def check(ctx: Any) -> None:
        assert not any(await write(ctx, dut, BLOCKS, memory))

    simulate(dut, feed, check, background=[memory.bench])
    assert memory.words == words(BLOCKS)
    assert all(beats <= limit for _, beats in memory.bursts)


def test_errors_are_counted_and_the_block_is_finished() -> None:
    blocks = [(0x1000, 64), (0x2000, 64), (0x3000, 1)]
    bad = {0x2000, 0x2000 + 3 * 128}
    dut = BlockWriter(16)
    memory = WriteMemory(dut.axi, pattern("none"), bad=lambda address: address in bad)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i_data, list(words(blocks).values()))

    async def check(ctx: Any) -> None:
        assert await write(ctx, dut, blocks, memory) == [0, 2, 0]

    simulate(dut, feed, check, background=[memory.bench])


def test_data_may_come_late() -> None:
    dut = BlockWriter(16)
    memory = WriteMemory(dut.axi, pattern("none"))
    dice = random.Random(1)

    async def feed(ctx: Any) -> None:
        for word in words([(0x1000, 40)]).values():
            await ctx.tick().repeat(dice.randrange(1, 60))
            await send(ctx, dut.i_data, [word])

    async def check(ctx: Any) -> None:
        await write(ctx, dut, [(0x1000, 40)], memory)

    simulate(dut, feed, check, background=[memory.bench])
    assert memory.words == words([(0x1000, 40)])


def test_one_beat_per_cycle() -> None:
    dut = BlockWriter(16)
    memory = WriteMemory(dut.axi, pattern("none"), latency=10)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i_data, list(words([(0, 1024)]).values()))

    async def check(ctx: Any) -> None:
        await write(ctx, dut, [(0, 1024)], memory)

    assert simulate(dut, feed, check, background=[memory.bench]) < 1024 + 30
