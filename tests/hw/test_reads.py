# amaranth: UnusedElaboratable=no
"""ReadSide: what `clear` forgets."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.config import Config
from headrace_hw.reads import ReadSide
from hw.axi_memory import ReadMemory, word_at
from hw.streams import expect, pattern, simulate

CONFIG = Config("reads", lanes=4, pixels=1, read_ports=2)


@pytest.mark.parametrize("what", ["block", "stream"])
def test_nothing_is_requested_in_a_cycle_of_clear(what: str) -> None:
    """Whatever the cycle in which it strikes: once the reader is idle under `clear`, no beat comes after it."""
    dut = ReadSide(CONFIG)
    memories = [ReadMemory(axi, pattern("none"), latency=20) for axi in dut.axi]

    async def bench(ctx: Any) -> None:
        ctx.set(dut.block_ready, 3)
        for delay in range(12):
            if what == "block":
                ctx.set(dut.i_block[0].payload, {"address": 0x1000, "beats": 40})
                ctx.set(dut.i_block[0].valid, 1)
            else:
                for lane in range(CONFIG.lanes):
                    ctx.set(dut.i_stream.payload, {"lane": lane, "address": 0x1000 * lane, "beats": 40})
                    ctx.set(dut.i_stream.valid, 1)
                    await ctx.tick()
                ctx.set(dut.i_stream.valid, 0)
                ctx.set(dut.request, 1)
            await ctx.tick()
            ctx.set(dut.i_block[0].valid, 0)
            ctx.set(dut.request, 0)
            for _ in range(delay):
                await ctx.tick()
            ctx.set(dut.clear, 1)
            idle = False
            while not idle:  # as the sequencer does
                _, _, idle = await ctx.tick().sample(dut.idle)
            ctx.set(dut.clear, 0)
            for _ in range(60):
                await ctx.tick()
                beats = [ctx.get(dut.beat[port].valid) for port in range(2)]
                assert beats == [0, 0], f"a beat came after a clear {delay} cycles behind the request"

    simulate(dut, bench, background=[memory.bench for memory in memories])


def test_ports_share_the_lanes() -> None:
    """Each lane gets its own stream, over the port of its number; two layers in turn; blocks come over port 0."""
    dut = ReadSide(CONFIG)
    memories = [ReadMemory(axi, pattern("random", port), latency=20) for port, axi in enumerate(dut.axi)]
    beats = [30, 0, 17, 50]
    seen: list[tuple[int, int, int]] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, *ports = await ctx.tick().sample(*(dut.beat[port] for port in range(2)))
            for port, beat in enumerate(ports):
                if beat.valid and beat.of_block:
                    assert port == 0
                    seen.append(beat.data)
                elif beat.valid:
                    assert beat.lane % 2 == port

    async def run(ctx: Any) -> None:
        ctx.set(dut.block_ready, 3)
        ctx.set(dut.i_block[0].payload, {"address": 0x9000, "beats": 40})
        ctx.set(dut.i_block[0].valid, 1)
        await ctx.tick().until(dut.i_block[0].ready)
        ctx.set(dut.i_block[0].valid, 0)
        for layer in range(3):
            streams = [(0x20000 * layer + 0x1000 * lane, beats[(lane + layer) % 4]) for lane in range(4)]
            for lane, (address, count) in enumerate(streams):
                ctx.set(dut.i_stream.payload, {"lane": lane, "address": address, "beats": count})
                ctx.set(dut.i_stream.valid, 1)
                await ctx.tick()
            ctx.set(dut.i_stream.valid, 0)
            while not ctx.get(dut.requested):
                await ctx.tick()
            ctx.set(dut.request, 1)
            await ctx.tick()
            ctx.set(dut.request, 0)
            ctx.set(dut.switch, 1)
            await ctx.tick()
            ctx.set(dut.switch, 0)
            for lane, (address, count) in enumerate(streams):
                await expect(ctx, dut.lane[lane], [word_at(address + 8 * n) for n in range(count)])
            assert ctx.get(dut.ended) == 15
        assert seen == [word_at(0x9000 + 8 * n) for n in range(40)]

    simulate(dut, run, background=[watch, *(memory.bench for memory in memories)])


@pytest.mark.parametrize("blocks_first", [0, 1])
def test_lanes_wait_for_a_block(blocks_first: int) -> None:
    """Of port 0 only, and until the block has been requested: its beats come first, then theirs."""
    dut = ReadSide(CONFIG)
    memories = [ReadMemory(axi, pattern("none"), latency=20) for axi in dut.axi]
    order: list[list[int]] = [[], []]

    async def bench(ctx: Any) -> None:
        ctx.set(dut.block_ready, 3)
        ctx.set(dut.blocks_first, blocks_first)
        for lane in range(CONFIG.lanes):
            ctx.set(dut.i_stream.payload, {"lane": lane, "address": 0x1000 * lane, "beats": 20})
            ctx.set(dut.i_stream.valid, 1)
            await ctx.tick()
        ctx.set(dut.i_stream.valid, 0)
        ctx.set(dut.i_block[0].payload, {"address": 0x9000, "beats": 100})
        ctx.set(dut.i_block[0].valid, 1)
        ctx.set(dut.request, 1)
        await ctx.tick()
        ctx.set(dut.i_block[0].valid, 0)
        ctx.set(dut.request, 0)
        for _ in range(400):
            _, _, *ports = await ctx.tick().sample(*(dut.beat[port] for port in range(2)))
            for port, beat in enumerate(ports):
                if beat.valid:
                    order[port].append(int(beat.of_block))

    simulate(dut, bench, background=[memory.bench for memory in memories])
    assert len(order[0]) == 100 + 2 * 20 and len(order[1]) == 2 * 20
    assert (order[0] == sorted(order[0], reverse=True)) == bool(blocks_first)
