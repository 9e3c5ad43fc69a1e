"""Loaders of all read ports against plain copies of bytes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle, repeat
from typing import Any

import pytest

from headrace.config import Config
from headrace_hw.loader import Loaders
from hw.streams import PATTERNS, pattern, send, simulate

CONFIGS = [
    Config(f"P{pixels}x{ports}", lanes=2, pixels=pixels, x_words=256 // pixels, read_ports=ports)
    for pixels in (1, 4, 8, 16, 32)
    for ports in (1, 2)
]
LOADS = {
    "one beat": (0, 1, 1, 0),
    "one block, at an odd address": (13, 3, 1, 0),
    "over the end": (256 - 11, 2, 1, 0),
    "two": (40, 5, 2, 64),
    "odd numbers": (16, 3, 5, 40),
    "blocks of one beat": (8, 1, 7, 24),
    "over the end in steps": (200, 2, 3, 24),
}
"""x_address, beats, blocks, x_stride."""


def settle(ctx: Any, dut: Loaders, load: tuple[int, int, int, int]) -> None:
    for name, value in zip(("x_address", "beats", "blocks", "x_stride"), load, strict=True):
        ctx.set(getattr(dut, name), value)


@pytest.mark.parametrize("back_pressure", PATTERNS)
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_blocks_go_where_they_belong(config: Config, back_pressure: str) -> None:
    dut, ports = Loaders(config), config.read_ports
    dice = random.Random(config.pixels)
    memory, expected = bytearray(256), bytearray(256)
    blocks: list[list[list[int]]] = []

    async def write(ctx: Any) -> None:
        for go in pattern(back_pressure, 9):
            ctx.set(dut.go, go)
            _, _, valid, payload = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            assert not valid or (payload.load and go)
            for n in range(config.pixels):
                if valid and payload.mask >> n & 1:
                    memory[(payload.address + n) % 256] = payload.data[n]

    def feed(port: int) -> Any:
        async def bench(ctx: Any) -> None:
            willing = pattern(back_pressure, port)
            for number in range(len(LOADS)):
                while len(blocks) <= number:
                    await ctx.tick()
                for block in blocks[number][port::ports]:
                    await send(ctx, dut.i[port], block, willing)

        return bench

    async def check(ctx: Any) -> None:
        for x_address, beats, count, stride in LOADS.values():
            settle(ctx, dut, (x_address, beats, count, stride))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            made = [[dice.getrandbits(64) for _ in range(beats)] for _ in range(count)]
            blocks.append(made)
            for n, block in enumerate(made):
                for byte, value in enumerate(b"".join(word.to_bytes(8, "little") for word in block)):
                    expected[(x_address + n * stride + byte) % 256] = value
            while ctx.get(dut.busy):
                await ctx.tick()
            assert memory == expected and not ctx.get(dut.expects)
            await ctx.tick().repeat(3)

    simulate(dut, check, *(feed(port) for port in range(ports)), background=[write])


BEATS = 100
"""Of each of two blocks that `cycles_of_load` loads."""


def cycles_of_load(config: Config, goes: Iterable[int]) -> int:
    """Of two blocks, while every port offers a beat in every cycle, and `go` is what `goes` says."""
    dut = Loaders(replace(config, x_words=2048 // config.pixels))

    async def let_go(ctx: Any) -> None:
        for go in goes:
            ctx.set(dut.go, go)
            await ctx.tick()

    async def check(ctx: Any) -> None:
        settle(ctx, dut, (0, BEATS, 2, 8 * BEATS))
        ctx.set(dut.start, 1)
        for port in range(config.read_ports):
            ctx.set(dut.i[port].valid, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        while ctx.get(dut.busy):
            await ctx.tick()

    return simulate(dut, check, background=[let_go])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_bytes_per_cycle(config: Config) -> None:
    """What a port brings and the memory takes: with two ports, words of 16 pixels and more take twice a beat."""
    rate = min(8 * config.read_ports, config.pixels)
    assert cycles_of_load(config, repeat(1)) <= 2 * BEATS * 8 // rate + 8


def test_clear_forgets_what_has_not_come() -> None:
    dut = Loaders(CONFIGS[-1])

    async def check(ctx: Any) -> None:
        settle(ctx, dut, (0, 4, 4, 32))
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        await send(ctx, dut.i[0], [1, 2])
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert ctx.get(dut.busy) and not ctx.get(dut.expects)
        ctx.set(dut.go, 1)
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.busy)

    simulate(dut, check)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_every_other_cycle(config: Config) -> None:
    """Of words of 16 pixels and more, ports bring a beat a cycle all the same: two leave at a time."""
    assert cycles_of_load(config, cycle((1, 0))) <= 2 * (2 * BEATS * 8 // min(16, config.pixels)) + 8
