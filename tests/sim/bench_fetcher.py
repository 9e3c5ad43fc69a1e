"""cocotb bench of the read side: lane streams and blocks over one AXI port, errors, and `clear` at any time."""

from __future__ import annotations

import random
from typing import Any

import cocotb

from headrace.config import Config
from headrace_hw.reads import Beat
from headrace_sim.cocotb_axi import OKAY, SLVERR, Memory, ReadPort
from headrace_sim.cocotb_bench import Bench, Pin
from headrace_sim.cocotb_runner import parameters
from headrace_sim.cocotb_streams import Sink, Source
from hw.axi_memory import word_at
from hw.streams import pattern

BASE, SIZE = 0x4000_0000, 1 << 17
Stream = tuple[int, int]
"""Address and beats."""


class Reads:
    """ReadSide between an AXI memory and willing or unwilling lanes; what passes by `beat` is kept in `beats`."""

    def __init__(self, dut: Any) -> None:
        given = parameters()
        self.config = Config(**given["config"])
        self.dice = random.Random(given["seed"])
        self.bench, self.dut = Bench(dut, 400_000), dut
        lanes = self.config.lanes
        self.memory = Memory(BASE, SIZE)
        for n in range(SIZE // 8):
            self.memory.words[n] = word_at(BASE + 8 * n)
        self.port = ReadPort(
            self.bench,
            "axi_0",
            self.memory,
            lambda channel: pattern(given["memory"], len(channel)),
            latency=given["latency"],
            longest=self.config.burst_beats,
        )
        self.sinks = [Sink(self.bench, f"lane_{n}", pattern(given["sink"], n)) for n in range(lanes)]
        self.blocks = Source(self.bench, "i_block_0", pattern("none"))
        self.streams = Source(self.bench, "i_stream", pattern("random", 7))
        self.clear, self.block_ready = Pin(self.bench, "clear"), Pin(self.bench, "block_ready", 1)
        self.request, self.switch = Pin(self.bench, "request"), Pin(self.bench, "switch")
        self.block_willing = pattern(given["sink"], 99)
        self.beats: list[tuple[bool, int, bool, int]] = []  # of a block, lane, error, data
        self.idle = True
        self.bench.agents.append(self)

    def drive(self, now: int) -> None:
        self.block_ready.put(next(self.block_willing))

    def sample(self, now: int) -> None:
        dut = self.dut
        self.idle = bool(dut.idle.value)  # as logic that holds `clear` until then sees it
        if self.clear.value:
            for sink in self.sinks:
                sink.release()
        beat = Beat.from_bits(int(dut.beat.value))
        if beat.valid:
            self.beats.append((bool(beat.of_block), beat.lane, bool(beat.error), beat.data))

    def random_stream(self) -> Stream:
        """Anywhere: at a page's end, or within a burst of one; of no beats, of a few, of some hundreds."""
        beats = self.dice.choice([0, 1, 2, 15, 16, 17, self.dice.randrange(300)])
        start = self.dice.choice([8 * self.dice.randrange(SIZE // 8 - beats), 4096 * self.dice.randrange(1, 16) - 8])
        return BASE + start, beats

    def give(self, lane: int, stream: Stream) -> None:
        bits = max(1, (self.config.lanes - 1).bit_length())
        self.streams.queue.append(lane | stream[0] << bits | stream[1] << (bits + 32))

    async def begin(self) -> None:
        """The streams that were given are requested, and go to the lanes."""
        set_ = lambda: self.streams.empty and bool(self.dut.requested.value)  # noqa: E731
        await self.bench.until(set_, 30_000, "the streams to be set")
        for strobe in (self.request, self.switch):
            strobe.put(1)
            await self.bench.cycle()
            strobe.put(0)

    def ask(self, block: Stream) -> None:
        self.blocks.queue.append(block[0] | block[1] << 32)

    def quiet(self) -> bool:
        dut = self.dut
        return self.streams.empty and self.blocks.empty and bool(dut.requested.value) and bool(dut.idle.value)

    def of(self, lane: int | None) -> list[int]:
        """Data that passed by for a lane, or for blocks."""
        return [data for of_block, n, _, data in self.beats if of_block == (lane is None) and lane in (None, n)]

    async def blocks_end(self, beats: int) -> None:
        await self.bench.until(lambda: len(self.of(None)) >= beats, 30_000, "the blocks' end")

    async def settle(self) -> None:
        """Everything has arrived, and has been taken."""
        ended = (1 << self.config.lanes) - 1
        await self.bench.until(lambda: self.quiet() and int(self.dut.ended.value) == ended, 30_000, "the end")
        await self.bench.cycle(3)

    def forget(self) -> None:
        self.beats.clear()
        for sink in self.sinks:
            sink.forget()


def words(stream: Stream) -> list[int]:
    return [word_at(stream[0] + 8 * n) for n in range(stream[1])]


def joined(parts: list[Stream]) -> list[int]:
    return [word for part in parts for word in words(part)]


@cocotb.test()
async def streams_and_blocks(dut: Any) -> None:
    """Every lane gets its stream and blocks come in order, whole, whatever else is under way."""
    reads = Reads(dut)
    await reads.bench.reset()
    for _ in range(parameters()["rounds"]):
        given = [reads.random_stream() for _ in range(reads.config.lanes)]
        asked = [reads.random_stream() for _ in range(reads.dice.randrange(4))]
        for lane in reads.dice.sample(range(len(given)), len(given)):
            reads.give(lane, given[lane])
        await reads.begin()
        for block in asked:
            await reads.bench.cycle(reads.dice.randrange(60))
            reads.ask(block)
        expected = joined(asked)
        await reads.blocks_end(len(expected))
        await reads.settle()
        assert reads.of(None) == expected
        for lane, stream in enumerate(given):
            assert reads.sinks[lane].got == reads.of(lane) == words(stream), f"lane {lane}: {stream}"
        assert not any(error for _, _, error, _ in reads.beats)
        reads.forget()


@cocotb.test()
async def errors(dut: Any) -> None:
    """SLVERR and DECERR come with the lane or block that asked, on exactly the beats that were bad."""
    reads = Reads(dut)
    await reads.bench.reset()
    lanes = reads.config.lanes
    for lane in (None, *range(lanes)):
        given = [(BASE + 0x2000 * n + 8 * 500, 40) for n in range(lanes)]
        block = (BASE + 0x2000 * lanes + 8, 33)
        victim = block if lane is None else given[lane]
        bad = {victim[0] + 8 * n for n in (0, 17, victim[1] - 1)}
        reads.memory.read_response = lambda address, bad=bad: SLVERR if address in bad else OKAY
        for n, stream in enumerate(given):
            reads.give(n, stream)
        await reads.begin()
        reads.ask(block)
        await reads.blocks_end(33)
        await reads.settle()
        seen = [(of_block, n, data) for of_block, n, error, data in reads.beats if error]
        assert [data for *_, data in seen] == [word_at(address) for address in sorted(bad)]
        assert all(of_block if lane is None else (not of_block and n == lane) for of_block, n, _ in seen)
        reads.forget()
    for n in range(lanes):
        reads.give(n, (BASE + SIZE - 16, 5 * (n == lanes - 1)))  # leaves the memory
    await reads.begin()
    await reads.settle()
    assert [error for _, _, error, _ in reads.beats] == [False, False, True, True, True]


@cocotb.test()
async def clear_at_any_time(dut: Any) -> None:
    """After `clear`, held until `idle`, nothing of what was asked before comes any more, and all works as before."""
    reads = Reads(dut)
    bench = reads.bench
    await bench.reset()
    lanes, middle = reads.config.lanes, BASE + SIZE // 2
    for trial in range(parameters()["rounds"]):
        for lane in range(lanes):
            reads.give(lane, (BASE + 0x1000 * lane + 8 * (trial % 512), reads.dice.choice([3, 60, 200])))
        if trial % 4:
            await reads.begin()
        if trial % 2:
            reads.ask((BASE + 0x8000, 50))
        await bench.cycle(reads.dice.randrange(40) if trial % 3 else reads.dice.randrange(400))
        reads.streams.forget()
        reads.blocks.forget()
        reads.clear.put(1)
        await bench.cycle()
        await bench.until(lambda: reads.idle, 5000, "idle")
        reads.clear.put(0)
        reads.forget()
        await bench.cycle(reads.dice.randrange(2))
        given = [(middle + 0x1000 * lane + 8 * (trial % 512), reads.dice.randrange(40)) for lane in range(lanes)]
        for lane, stream in enumerate(given):
            reads.give(lane, stream)
        await reads.begin()
        reads.ask((middle + 0x8000, 8))
        await reads.blocks_end(8)
        await reads.settle()
        assert reads.of(None) == words((middle + 0x8000, 8)), f"trial {trial}"
        for lane, stream in enumerate(given):
            assert reads.sinks[lane].got == words(stream), f"trial {trial}, lane {lane}"
        reads.forget()
