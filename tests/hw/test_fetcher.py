# amaranth: UnusedElaboratable=no
"""LaneFetcher with its reader and a memory: every lane gets its own stream whole, whatever the others do."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from headrace_hw.fetcher import LaneFetcher
from headrace_hw.reader import ReadMaster
from hw.axi_memory import ReadMemory, word_at
from hw.streams import PATTERNS, contract, expect, pattern, receive, send, simulate


class Bench(Elaboratable):
    """Fetcher and reader, connected."""

    def __init__(self, lanes: int, fifo_beats: int, burst_beats: int) -> None:
        self.fetcher = LaneFetcher(lanes, fifo_beats, burst_beats)
        self.reader = ReadMaster(self.fetcher.tag_bits + 1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetcher = self.fetcher
        m.submodules.reader = self.reader
        wiring.connect(m, self.fetcher.o_request, self.reader.i)
        wiring.connect(m, self.reader.o, self.fetcher.i_beat)
        return m


def streams(lanes: int, seed: int) -> list[tuple[int, int]]:
    """(address, beats) per lane; some empty, some over page boundaries."""
    dice = random.Random(seed)
    lengths = [dice.choice([0, 1, 15, 16, 17, dice.randrange(600)]) for _ in range(lanes)]
    return [(0x10000 * lane + 8 * dice.randrange(512), beats) for lane, beats in enumerate(lengths)]


def words(stream: tuple[int, int]) -> list[int]:
    return [word_at(stream[0] + 8 * n) for n in range(stream[1])]


def consumer(bench: Bench, lane: int, stream: tuple[int, int], back_pressure: str, started: list[bool]) -> Any:
    async def check(ctx: Any) -> None:
        while not started:
            await ctx.tick()
        for n, word in enumerate(words(stream)):
            assert not ctx.get(bench.fetcher.ended[lane]), f"lane {lane} ended after {n} beats"
            await expect(ctx, bench.fetcher.lane[lane], [word], pattern(back_pressure, 1000 * lane + n))
        assert ctx.get(bench.fetcher.ended[lane])

    return check


async def pulse(ctx: Any, strobe: Any) -> None:
    ctx.set(strobe, 1)
    await ctx.tick()
    ctx.set(strobe, 0)


async def begin(ctx: Any, fetcher: LaneFetcher) -> None:
    """The streams that were set are requested, and given to the lanes."""
    await pulse(ctx, fetcher.request)
    await pulse(ctx, fetcher.switch)


def start(bench: Bench, given: list[tuple[int, int]], started: list[bool]) -> Any:
    async def run(ctx: Any) -> None:
        payloads = [{"lane": n, "address": address, "beats": beats} for n, (address, beats) in enumerate(given)]
        await send(ctx, bench.fetcher.i_stream, payloads)
        await begin(ctx, bench.fetcher)
        started.append(True)

    return run


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize(
    ("lanes", "fifo_beats", "burst_beats"),
    [(1, 4, 4), (1, 32, 16), (3, 16, 5), (4, 32, 16), (16, 32, 16), (2, 128, 64)],
)
def test_streams(lanes: int, fifo_beats: int, burst_beats: int, back_pressure: str) -> None:
    bench = Bench(lanes, fifo_beats, burst_beats)
    memory = ReadMemory(bench.reader.axi, pattern(back_pressure, 1))
    given, started = streams(lanes, lanes), list[bool]()
    checks = [consumer(bench, lane, stream, back_pressure, started) for lane, stream in enumerate(given)]

    async def rest(ctx: Any) -> None:
        while not started or not ctx.get(bench.fetcher.requested) or not ctx.get(bench.reader.idle):
            await ctx.tick()
        assert ctx.get(bench.fetcher.requested)

    background = [memory.bench, contract(bench.fetcher.o_request, *bench.fetcher.lane)]
    simulate(bench, start(bench, given, started), rest, *checks, background=background)
    assert all(beats <= burst_beats for _, beats in memory.bursts)
    assert sum(beats for _, beats in memory.bursts) == sum(beats for _, beats in given)


def test_a_lane_that_takes_nothing_stops_nobody() -> None:
    bench = Bench(2, 32, 16)
    memory = ReadMemory(bench.reader.axi, pattern("none"))
    given, started = [(0x1000, 500), (0x8000, 500)], list[bool]()
    check = consumer(bench, 1, given[1], "none", started)
    simulate(bench, start(bench, given, started), check, background=[memory.bench])
    assert sum(beats for address, beats in memory.bursts if address < 0x8000) == 20  # then there is no room for a burst


@pytest.mark.parametrize("lanes", [1, 2, 16])
def test_throughput(lanes: int) -> None:
    """All lanes together take a beat in nearly every cycle of a memory with some latency."""
    bench = Bench(lanes, 64, 16)
    memory = ReadMemory(bench.reader.axi, pattern("none"), latency=20)
    given, started = [(0x4000 * lane, 1600 // lanes) for lane in range(lanes)], list[bool]()

    def take(lane: int) -> Any:
        async def run(ctx: Any) -> None:
            got = await receive(ctx, bench.fetcher.lane[lane], given[lane][1])
            assert got == words(given[lane])

        return run

    cycles = simulate(bench, start(bench, given, started), *map(take, range(lanes)), background=[memory.bench])
    assert cycles < 1600 + 100


def test_lanes_take_turns() -> None:
    bench = Bench(4, 64, 16)
    memory = ReadMemory(bench.reader.axi, pattern("none"))
    given, started = [(0x4000 * lane, 64) for lane in range(4)], list[bool]()
    checks = [consumer(bench, lane, stream, "none", started) for lane, stream in enumerate(given)]
    simulate(bench, start(bench, given, started), *checks, background=[memory.bench])
    order = [address // 0x4000 for address, _ in memory.bursts]
    assert order == [0, 1, 2, 3] * 5
    assert [beats for _, beats in memory.bursts] == [4] * 4 + [16] * 12 + [12] * 4  # so that all begin soon


def test_a_lane_that_runs_short_comes_first() -> None:
    """Of four with room for a burst, three have most of another one left."""
    dut = LaneFetcher(4, 32, 16)
    order: list[int] = []

    async def answer(ctx: Any, count: int) -> None:
        """Take so many requests, and give their beats."""
        for _ in range(count):
            (request,) = await receive(ctx, dut.o_request, 1)
            order.append(request["address"] // 0x4000)
            for beat in range(request["beats"]):
                last = beat == request["beats"] - 1
                ctx.set(dut.i_beat.payload, {"data": beat, "tag": request["tag"], "last": last})
                ctx.set(dut.i_beat.valid, 1)
                await ctx.tick()
            ctx.set(dut.i_beat.valid, 0)

    async def bench(ctx: Any) -> None:
        for lane in range(4):
            await send(ctx, dut.i_stream, [{"lane": lane, "address": 0x4000 * lane, "beats": 400}])
        await begin(ctx, dut)
        await answer(ctx, 8)
        for lane, beats in enumerate((5, 5, 5, 20)):
            await receive(ctx, dut.lane[lane], beats)
        await ctx.tick().repeat(10)
        await answer(ctx, 4)

    simulate(dut, bench)
    assert order == [*range(4), *range(4), 0, 3, 1, 2]  # lane 0's turn came while nothing else had room


def test_clear_forgets_streams_and_beats() -> None:
    bench = Bench(2, 32, 16)
    fetcher = bench.fetcher
    memory = ReadMemory(bench.reader.axi, pattern("none"))

    async def run(ctx: Any) -> None:
        await send(ctx, fetcher.i_stream, [{"lane": 0, "address": 0x1000, "beats": 500}])
        await begin(ctx, fetcher)
        await ctx.tick().repeat(100)  # the FIFO is full, nothing is under way
        assert ctx.get(bench.reader.idle) and ctx.get(fetcher.lane[0].valid) and not ctx.get(fetcher.requested)
        await pulse(ctx, fetcher.clear)
        assert ctx.get(fetcher.requested) and not ctx.get(fetcher.lane[0].valid) and ctx.get(fetcher.ended) == 3
        await send(ctx, fetcher.i_stream, [{"lane": 0, "address": 0x2000, "beats": 50}])
        await begin(ctx, fetcher)
        await expect(ctx, fetcher.lane[0], words((0x2000, 50)))
        assert ctx.get(fetcher.ended) == 3

    simulate(bench, run, background=[memory.bench])


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("lanes", [1, 3, 4])
def test_layers_in_turn(lanes: int, back_pressure: str) -> None:
    """The next layer's beats come while the present one's are taken, behind them, and wait for `switch`."""
    bench = Bench(lanes, 32, 16)
    fetcher = bench.fetcher
    memory = ReadMemory(bench.reader.axi, pattern(back_pressure, 1))
    layers = [[(a + 0x100000 * k, beats) for a, beats in streams(lanes, 10 * lanes + k)] for k in range(4)]
    tags: list[int] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, valid, tag = await ctx.tick().sample(fetcher.i_beat.valid, fetcher.i_beat.payload.tag)
            if valid:
                tags.append(tag >> fetcher.tag_bits)

    async def run(ctx: Any) -> None:
        for number, given in enumerate(layers):
            await send(
                ctx,
                fetcher.i_stream,
                [{"lane": n, "address": address, "beats": beats} for n, (address, beats) in enumerate(given)],
            )
            if number:
                await take(ctx, layers[number - 1], half=1)
            while not ctx.get(fetcher.requested):
                for lane in range(lanes):  # what is in the way of the rest
                    ctx.set(fetcher.lane[lane].ready, 0)
                await take(ctx, layers[number - 1], half=2)
            await pulse(ctx, fetcher.request)
            if number:
                await take(ctx, layers[number - 1], half=0)
                await ctx.tick().repeat(60)
                assert not any(ctx.get(fetcher.lane[n].valid) for n in range(lanes))
            await pulse(ctx, fetcher.switch)
            taken[:] = [0] * lanes
        await take(ctx, layers[-1], half=0)
        beats = [sum(count for _, count in given) for given in layers]
        assert tags == [k % 2 for k, count in enumerate(beats) for _ in range(count)]

    taken = [0] * lanes

    async def take(ctx: Any, given: list[tuple[int, int]], half: int) -> None:
        """Half of what is left of each lane, or all of it."""
        for lane, stream in enumerate(given):
            count = (stream[1] - taken[lane] + 1) // 2 if half else stream[1] - taken[lane]
            await expect(ctx, fetcher.lane[lane], words(stream)[taken[lane] : taken[lane] + count])
            taken[lane] += count
            if taken[lane] == stream[1]:
                assert ctx.get(fetcher.ended[lane])

    simulate(bench, run, background=[memory.bench, watch], cycles=60_000)


@pytest.mark.parametrize("arguments", [(0, 32, 16), (1, 8, 16), (1, 8, 0), (1, 512, 257)])
def test_arguments(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"lanes|burst_beats"):
        LaneFetcher(*arguments)
