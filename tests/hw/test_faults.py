"""Faults that end a program: what the sequencer says of each, and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.isa import DESCRIPTOR_BYTES, ErrorCode
from hw.sequencer_bench import (
    CONFIG,
    DATA,
    END,
    NOBODY,
    PROGRAM,
    STREAM_BEATS,
    WHOLE,
    Bench,
    layer,
    load,
)


def test_signature() -> None:
    """A wrong bit of it, anywhere, is found after the layer; descriptors and loads do not count."""
    good = layer()
    for bit in (0, 31, 63):
        bench = Bench("random")

        async def run(ctx: Any, bench: Bench = bench, bit: int = bit) -> None:
            await bench.run(ctx, [load(), good | {"signature": good["signature"] ^ 1 << bit}, END])
            bench.failed(ErrorCode.SIGNATURE, layer=4, descriptor=1)
            assert ("layer", 4) in bench.events
            await bench.run(ctx, [load(), good, END])
            assert bench.finished == 1

        bench.simulate(run)


def test_watchdog_is_per_descriptor() -> None:
    bench = Bench()

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        longest = max(entry["cycles"] for entry in bench.profile)
        await bench.run(ctx, WHOLE, watchdog=longest + 1)
        assert bench.finished == 1 and not bench.failures
        await bench.run(ctx, WHOLE, watchdog=longest // 2)
        bench.failed(ErrorCode.WATCHDOG, layer=4, descriptor=1)
        await bench.run(ctx, WHOLE, watchdog=1)
        bench.failed(ErrorCode.WATCHDOG)

    bench.simulate(run)


@pytest.mark.parametrize("willing", ["none", "random"])
def test_abort_at_any_time(willing: str) -> None:
    """It ends with ABORTED, holds `clear` until reader and writer are idle, and the next program runs."""
    bench = Bench(willing)
    bench.latency = 9
    dut = bench.dut

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        whole = bench.busy_cycles
        for delay in range(0, whole - 20, 7 if willing == "none" else 13):
            await bench.start(ctx, WHOLE)
            for _ in range(delay):
                await ctx.tick()
            assert ctx.get(dut.busy)
            ctx.set(dut.abort, 1)
            await ctx.tick()
            ctx.set(dut.abort, 0)
            await ctx.tick()
            [error] = bench.failures
            assert (error["code"], error["lane"]) == (ErrorCode.ABORTED, NOBODY)
            while ctx.get(dut.busy):
                idle = ctx.get(dut.reader_idle) and ctx.get(dut.writes_idle)
                assert ctx.get(dut.clear)
                await ctx.tick()
                assert ctx.get(dut.busy) != idle
            assert not ctx.get(dut.clear) and not bench.finished
        await bench.run(ctx, WHOLE)
        assert bench.finished == 1 and not bench.failures

    bench.simulate(run, cycles=40_000)


def test_abort_and_lane_errors_while_idle_are_nothing() -> None:
    bench = Bench()
    dut = bench.dut

    async def run(ctx: Any) -> None:
        await bench.run(ctx, [END])
        bench.forget()
        ctx.set(dut.abort, 1)
        ctx.set(dut.lane_error, 7)
        for _ in range(5):
            await ctx.tick()
            assert not ctx.get(dut.busy)
        ctx.set(dut.abort, 0)
        ctx.set(dut.lane_error, 0)
        assert not bench.failures
        await bench.run(ctx, [END])
        assert bench.finished == 1

    bench.simulate(run)


def test_bad_answers_to_reads() -> None:
    """Of a descriptor, a load, a table, a stream; only the last concerns a lane."""
    bench = Bench()
    table = PROGRAM + 0x200

    async def run(ctx: Any) -> None:
        for bad, descriptor, number in (
            (PROGRAM, NOBODY, 0),
            (PROGRAM + DESCRIPTOR_BYTES + 56, NOBODY, 1),
            (DATA + 0x40, 7, 0),
            (DATA + 0x40 + 16, 7, 0),
            (table, 4, 1),
            (table + 8 * (WHOLE[1]["beats"] - 1), 4, 1),
        ):
            bench.bad = {bad}
            await bench.run(ctx, WHOLE)
            bench.failed(ErrorCode.AXI_READ, layer=descriptor, descriptor=number)
        bench.bad = set()
        for beat in range(STREAM_BEATS):
            bench.bad_stream_beat = beat
            await bench.run(ctx, WHOLE)
            bench.failed(ErrorCode.AXI_READ, lane=beat % CONFIG.lanes, layer=4, descriptor=1)

    bench.simulate(run)


def test_bad_answer_to_a_write() -> None:
    bench = Bench()
    bench.write_fails = True

    async def run(ctx: Any) -> None:
        await bench.run(ctx, WHOLE)
        bench.failed(ErrorCode.AXI_WRITE, layer=9, descriptor=3)

    bench.simulate(run)


def test_lane_errors() -> None:
    """The lowest lane of several, with its own code; before signature, watchdog and abort."""
    bench = Bench()
    dut = bench.dut
    codes = [ErrorCode.BAD_SYMBOL, ErrorCode.BAD_POSITION, ErrorCode.UNDERRUN]

    async def run(ctx: Any) -> None:
        for lane in range(CONFIG.lanes):
            ctx.set(dut.lane_error_code[lane], codes[lane])
        for lanes in range(1, 8):
            await bench.start(ctx, WHOLE, watchdog=10_000)
            while not ctx.get(dut.running):
                await ctx.tick()
            ctx.set(dut.lane_error, lanes)
            await ctx.tick()  # lanes' errors take one more cycle
            ctx.set(dut.lane_error, 0)
            ctx.set(dut.abort, 1)
            ctx.set(dut.watchdog, 1)
            await ctx.tick()
            ctx.set(dut.abort, 0)
            await bench.finish(ctx)
            lowest = (lanes & -lanes).bit_length() - 1
            bench.failed(codes[lowest], lane=lowest, layer=4, descriptor=1)

    bench.simulate(run)


def test_bad_answers_to_loads_beside_a_layer() -> None:
    bench = Bench()
    bench.run_long = True

    async def run(ctx: Any) -> None:
        for place in (0x40, 0x50):
            bench.bad = {DATA + place}
            await bench.run(ctx, [layer(), load(beside=1), END])
            bench.failed(ErrorCode.AXI_READ, layer=7, descriptor=1)
        bench.bad = set()
        await bench.run(ctx, [layer(), load(beside=1), END])
        assert bench.finished == 1 and bench.loads_beside == 3

    bench.simulate(run)
