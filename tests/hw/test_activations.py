"""WriteAligner and ActivationMemory together, against an array of bytes whose addresses wrap."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from amaranth import Module, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace.config import Config
from headrace_hw.activations import ActivationMemory, WriteAligner
from headrace_hw.shapes import address_bits, masked_write_layout
from hw.streams import PATTERNS, pattern, plain, simulate

CONFIGS = [Config(f"P{pixels}", lanes=1, pixels=pixels, x_words=max(8, 64 // pixels)) for pixels in (1, 2, 4, 8, 16)]
Write = tuple[int, bytes, int]


class Both(wiring.Component):
    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(masked_write_layout(config), always_ready=True)),
                "loads": Out(1),
                "results": Out(1),
                "keep_from": In(signed(16)),
                "keep_to": In(signed(16), init=32767),
                "load_enable": In(1),
                "advance": In(1),
                "address": In(address_bits(config)),
                "pixels": Out(data.ArrayLayout(unsigned(8), config.pixels)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.aligner = aligner = WriteAligner(self.config)
        m.submodules.memory = memory = ActivationMemory(self.config)
        connect(m, flipped(self.i), aligner.i)
        connect(m, aligner.o, memory.i_write)
        m.d.comb += [
            self.loads.eq(aligner.loads),
            self.results.eq(aligner.results),
            memory.keep_from.eq(self.keep_from),
            memory.keep_to.eq(self.keep_to),
            memory.load_enable.eq(self.load_enable),
            memory.advance.eq(self.advance),
            memory.address.eq(self.address),
            self.pixels.eq(memory.pixels),
        ]
        return m


def write_all(dut: Both, writes: list[Any], willing: Iterator[bool], load: int = 0) -> Any:
    busy, other = (dut.loads, dut.results) if load else (dut.results, dut.loads)

    async def bench(ctx: Any) -> None:
        known = ctx.get(other)  # of writes before these
        for address, word, mask, *piece in writes:
            while not next(willing):
                await ctx.tick()
            payload = {"address": address, "data": list(word), "mask": mask, "load": load}
            ctx.set(dut.i.payload, payload | {"piece": piece[0] if piece else 0})
            ctx.set(dut.i.valid, 1)
            await ctx.tick()
            assert ctx.get(busy) and (known or not ctx.get(other))
            ctx.set(dut.i.valid, 0)
            ctx.set(dut.i.payload.mask, -1)  # without valid
        cycles = 0
        while ctx.get(busy):
            await ctx.tick()
            cycles += 1
        assert cycles <= 3
        ctx.set(dut.i.payload.mask, 0)

    return bench


async def read_all(ctx: Any, dut: Both, addresses: list[int], willing: Iterator[bool]) -> list[list[int]]:
    """One address per cycle of `advance`; the bytes come `delay` such cycles later."""
    words: list[list[int]] = []
    for address in [*addresses, *[0] * ActivationMemory.delay]:
        while not (advance := next(willing)):
            ctx.set(dut.advance, 0)
            ctx.set(dut.address, 1 + address // 2)  # not looked at
            await ctx.tick()
        ctx.set(dut.advance, advance)
        ctx.set(dut.address, address)
        words.append(plain(ctx.get(dut.pixels)))
        await ctx.tick()
    ctx.set(dut.advance, 0)
    return words[ActivationMemory.delay :]


def check(config: Config, writes: list[Write], source: str, sink: str) -> None:
    """Write over known bytes, then read at every address."""
    dut, size, pixels = Both(config), config.x_bytes, config.pixels
    image = bytearray(range(1, size + 1))
    known = [(n, bytes(image[n : n + pixels]), (1 << pixels) - 1) for n in range(0, size, pixels)]
    for address, word, mask in writes:
        for n in range(pixels):
            if mask >> n & 1:
                image[(address + n) % size] = word[n]

    async def bench(ctx: Any) -> None:
        await write_all(dut, known, pattern("none"))(ctx)
        await write_all(dut, writes, pattern(source, 1))(ctx)
        addresses = random.Random(2).sample(range(size), size)
        words = await read_all(ctx, dut, addresses, pattern(sink, 2))
        for address, word in zip(addresses, words, strict=True):
            assert word == [image[(address + n) % size] for n in range(pixels)], address

    simulate(dut, bench)


@pytest.mark.parametrize("sink", PATTERNS)
@pytest.mark.parametrize("source", PATTERNS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_random_writes(config: Config, source: str, sink: str) -> None:
    dice = random.Random(config.pixels)
    writes = [
        (dice.randrange(config.x_bytes), dice.randbytes(config.pixels), dice.getrandbits(config.pixels))
        for _ in range(60)
    ]
    check(config, writes, source, sink)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("mask", ["all", "first", "last", "none"])
def test_every_offset(config: Config, mask: str) -> None:
    """Each offset within a word, from even and from odd words, the last ones over the memory's end."""
    pixels = config.pixels
    bits = {"all": (1 << pixels) - 1, "first": 1, "last": 1 << (pixels - 1), "none": 0}[mask]
    for first in (0, config.x_bytes - 2 * pixels):
        # Farthest first, so that no write hides what the one before it wrote at its low end.
        writes = [(first + n, bytes([128 + n] * pixels), bits) for n in reversed(range(2 * pixels))]
        check(config, writes, "none", "none")


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_write_and_read_latency(config: Config) -> None:
    dut = Both(config)

    async def bench(ctx: Any) -> None:
        address = config.x_bytes - 1
        ctx.set(dut.i.payload, {"address": address, "data": [7] * config.pixels, "mask": (1 << config.pixels) - 1})
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(3)  # two for the aligner, one for the lane, one for the memory
        ctx.set(dut.address, address)
        ctx.set(dut.advance, 1)
        await ctx.tick().repeat(ActivationMemory.delay)
        assert plain(ctx.get(dut.pixels)) == [7] * config.pixels

    simulate(dut, bench)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_a_lane_keeps_its_half_words(config: Config) -> None:
    """Those within its limits, by as many whole words lower as the first of them; and loads, if they are for it, as
    they are."""
    dut, pixels = Both(config), config.pixels
    half = pixels // 2 if pixels >= 4 else pixels
    size = config.x_bytes

    async def bench(ctx: Any) -> None:
        memory = bytearray(size)
        ctx.set(dut.load_enable, 1)
        full = (1 << pixels) - 1
        await write_all(dut, [(n, bytes(pixels), full) for n in range(0, size, pixels)], pattern("none"), load=1)(ctx)
        for round, (keep_from, keep_to, load, enable) in enumerate(
            [
                *((2, 5, 0, 1), (-2, 3, 0, 0), (-3, 2, 0, 0), (1, 4, 0, 1), (-4, -1, 0, 1), (0, 32767, 0, 0)),
                *((2, 4, 1, 1), (3, 4, 1, 1), (2, 4, 1, 0)),
            ],
            1,
        ):
            ctx.set(dut.keep_from, keep_from)
            ctx.set(dut.keep_to, keep_to)
            ctx.set(dut.load_enable, enable)
            writes = []
            for piece in range(-4, 6):
                address, values = piece * half % size, bytes(20 * round + piece + n for n in range(half))
                writes.append((address, values + bytes(pixels - half), (1 << half) - 1, piece))
                if enable if load else keep_from <= piece < keep_to:
                    below = 0 if load else keep_from * half // pixels * pixels
                    for n in range(half):
                        memory[(address + n - below) % size] = values[n]
            await write_all(dut, writes, pattern("none"), load=load)(ctx)
            got = await read_all(ctx, dut, list(range(0, size, pixels)), pattern("none"))
            assert bytes(byte for word in got for byte in word) == memory, round

    simulate(dut, bench)
