"""StallCounters against counts in Python, read as often as may be."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_hw.stalls import StallCounters
from hw.streams import simulate


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 16, 32])
@pytest.mark.parametrize("share", [0.02, 0.5, 1.0])
def test_counts(lanes: int, share: float) -> None:
    dut = StallCounters(lanes)
    dice = random.Random(lanes)
    kinds = dice.choices(["none", "often", "random"], k=6)

    async def run(ctx: Any) -> None:
        for kind in kinds:
            ctx.set(dut.start, 1)
            ctx.set(dut.read, 0)
            await ctx.tick()
            ctx.set(dut.start, 0)
            counts = [0] * lanes
            since = 0
            for cycle in range(300):
                wanted = {"none": cycle == 299, "often": True, "random": dice.random() < 0.5}[kind]
                reading = wanted and since >= 2 and cycle >= 2 * lanes
                since = 0 if reading else since + 1
                lane = dice.randrange(lanes)
                stalled = [dice.random() < share for _ in range(lanes)]
                ctx.set(dut.stalled, sum(bit << n for n, bit in enumerate(stalled)))
                ctx.set(dut.read, reading)
                ctx.set(dut.lane, lane)
                if reading:
                    assert ctx.get(dut.count) == counts[lane]
                counts = [count + bit for count, bit in zip(counts, stalled, strict=True)]
                await ctx.tick()
            ctx.set(dut.stalled, 0)

    simulate(dut, run)
