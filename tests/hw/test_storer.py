"""Storer against plain copies of bytes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace.config import Config
from headrace_hw.activations import ActivationMemory
from headrace_hw.storer import Storer
from hw.streams import PATTERNS, contract, pattern, receive, simulate

CONFIGS = [Config(f"P{pixels}", lanes=1, pixels=pixels, x_words=256 // pixels) for pixels in (1, 2, 4, 8, 16)]
BLOCKS = {
    "first bytes": (0, 1),
    "odd address": (13, 3),
    "to the last byte": (256 - 24, 3),
    "over the end": (256 - 11, 2),
    "long": (40, 20),
}


def beat(memory: bytearray, address: int) -> int:
    return int.from_bytes(bytes(memory[(address + n) % len(memory)] for n in range(8)), "little")


async def start(ctx: Any, dut: Any, address: int, **settings: int) -> None:
    ctx.set(dut.x_address, address)
    for name, value in settings.items():
        ctx.set(getattr(dut, name), value)
    ctx.set(dut.start, 1)
    await ctx.tick()
    ctx.set(dut.start, 0)
    ctx.set(dut.x_address, 0)  # taken at start


def memory_bench(dut: Storer, memory: bytearray, delay: int) -> Any:
    """Answers `read_address` `delay` cycles later."""

    async def read(ctx: Any) -> None:
        pipeline = [0] * (delay - 1)
        while True:
            _, _, address = await ctx.tick().sample(dut.read_address)
            pipeline.append(address)
            first = pipeline.pop(0)
            ctx.set(dut.read_data, [memory[(first + n) % len(memory)] for n in range(len(dut.read_data))])

    return read


@pytest.mark.parametrize("delay", [ActivationMemory.delay, ActivationMemory.delay + 2])
@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_storer(config: Config, back_pressure: str, delay: int) -> None:
    dut = Storer(config, delay)
    memory = bytearray(random.Random(config.pixels).randbytes(config.x_bytes))

    async def check(ctx: Any) -> None:
        willing = pattern(back_pressure, 1)
        for address, beats in BLOCKS.values():
            await start(ctx, dut, address, beats=beats)
            ctx.set(dut.beats, 99)
            expected = [beat(memory, address + 8 * n) for n in range(beats)]
            assert await receive(ctx, dut.o, beats, willing) == expected
            ctx.set(dut.o.ready, 1)
            for _ in range(20):
                await ctx.tick()
                assert not ctx.get(dut.o.valid), "a beat too many"
            ctx.set(dut.o.ready, 0)

    simulate(dut, check, background=[memory_bench(dut, memory, delay), contract(dut.o)])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_storer_reads_a_chunk_per_cycle(config: Config) -> None:
    dut, memory = Storer(config), bytearray(range(256))

    async def check(ctx: Any) -> None:
        await start(ctx, dut, 0, beats=100)
        assert await receive(ctx, dut.o, 100) == [beat(memory, 8 * n) for n in range(100)]

    cycles = simulate(dut, check, background=[memory_bench(dut, memory, ActivationMemory.delay)])
    assert cycles <= 100 * 8 // min(8, config.pixels) + ActivationMemory.delay + 3
