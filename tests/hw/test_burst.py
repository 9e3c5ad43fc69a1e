# amaranth: UnusedElaboratable=no
"""BurstSplitter against its definition: cover the block, in order, never beyond a page or the limit."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_hw.burst import BurstSplitter
from hw.streams import PATTERNS, contract, expect, pattern, receive, send, simulate


def split(address: int, beats: int, limit: int) -> list[dict[str, int]]:
    bursts = []
    while beats:
        count = min(beats, limit, (4096 - address % 4096) // 8)
        bursts.append({"address": address, "beats": count, "last": int(count == beats)})
        address += 8 * count
        beats -= count
    return bursts


BLOCKS = {
    "one beat": (0x1000, 1),
    "nothing": (0x1000, 0),
    "whole page": (0x3000, 512),
    "last beat of a page": (0x1FF8, 1),
    "across a page by one": (0x1FF8, 2),
    "exact bursts": (0x80, 64),
    "one more than a burst": (0x80, 17),
    "top of memory": (0xFFFF_F000, 512),
}


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("limit", [1, 4, 16, 100, 256])
def test_blocks(limit: int, back_pressure: str) -> None:
    dice = random.Random(limit)
    blocks = [*BLOCKS.values(), *((8 * dice.randrange(1 << 12), dice.randrange(300)) for _ in range(8))]
    bursts = [burst for block in blocks for burst in split(*block, limit)]
    assert all(burst["beats"] <= limit for burst in bursts)
    dut = BurstSplitter(limit)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, [{"address": a, "beats": n} for a, n in blocks], pattern(back_pressure, 1))

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, bursts, pattern(back_pressure, 2))

    simulate(dut, feed, check, background=[contract(dut.o)])


def test_every_second_cycle() -> None:
    dut = BurstSplitter(16)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, [{"address": 0, "beats": 1600}])

    async def check(ctx: Any) -> None:
        await receive(ctx, dut.o, 100)

    assert simulate(dut, feed, check) <= 2 * 100 + 2


@pytest.mark.parametrize("limit", [0, 257])
def test_limit_outside_axi(limit: int) -> None:
    with pytest.raises(ValueError, match="burst_beats"):
        BurstSplitter(limit)
