# amaranth: UnusedElaboratable=no
"""ReadSide: what `clear` forgets."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.config import Config
from headrace_hw.reads import ReadSide
from hw.axi_memory import ReadMemory
from hw.streams import pattern, simulate

CONFIG = Config("reads", lanes=2, pixels=1)


@pytest.mark.parametrize("what", ["block", "stream"])
def test_nothing_is_requested_in_a_cycle_of_clear(what: str) -> None:
    """Whatever the cycle in which it strikes: once the reader is idle under `clear`, no beat comes after it."""
    dut = ReadSide(CONFIG)
    memory = ReadMemory(dut.axi, pattern("none"), latency=20)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.block_ready, 1)
        for delay in range(12):
            if what == "block":
                ctx.set(dut.i_block.payload, {"address": 0x1000, "beats": 40})
                ctx.set(dut.i_block.valid, 1)
            else:
                ctx.set(dut.i_stream.payload, {"lane": 1, "address": 0x1000, "beats": 40})
                ctx.set(dut.i_stream.valid, 1)
            await ctx.tick()
            ctx.set(dut.i_block.valid, 0)
            ctx.set(dut.i_stream.valid, 0)
            for _ in range(delay):
                await ctx.tick()
            ctx.set(dut.clear, 1)
            idle = False
            while not idle:  # as the sequencer does
                _, _, idle = await ctx.tick().sample(dut.idle)
            ctx.set(dut.clear, 0)
            for _ in range(60):
                await ctx.tick()
                assert not ctx.get(dut.beat_valid), f"a beat came after a clear {delay} cycles behind the request"

    simulate(dut, bench, background=[memory.bench])
