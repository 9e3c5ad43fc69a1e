"""Everything passes once, in order, at full rate, with neither end seeing the other in the same cycle."""

from __future__ import annotations

from typing import Any

import pytest

from headrace_hw.buffer import Buffer
from hw.streams import PATTERNS, contract, expect, pattern, send, simulate


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
def test_order(source: str, sink: str) -> None:
    dut, payloads = Buffer(8), [n * 37 % 256 for n in range(200)]

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, payloads, pattern(source, 1))

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, payloads, pattern(sink, 2))

    cycles = simulate(dut, feed, check, background=[contract(dut.o)])
    if source == sink == "none":
        assert cycles <= len(payloads) + Buffer.delay + 1


def test_ready_is_registered() -> None:
    dut = Buffer(8)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i.valid, 1)
        await ctx.tick().repeat(3)
        for ready in (0, 1):
            ctx.set(dut.o.ready, ready)
            assert not ctx.get(dut.i.ready)
        await ctx.tick()
        for ready in (1, 0):
            ctx.set(dut.o.ready, ready)
            assert ctx.get(dut.i.ready)

    simulate(dut, bench)
