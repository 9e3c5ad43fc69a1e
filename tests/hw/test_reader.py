# amaranth: UnusedElaboratable=no
"""ReadMaster against a memory: the beats of all requests in order, tags, last marks, errors, throughput, idle."""

from __future__ import annotations

import random
from typing import Any

import pytest

from headrace_hw.reader import ReadMaster
from hw.axi_memory import ReadMemory, word_at
from hw.streams import PATTERNS, contract, expect, pattern, receive, send, simulate


def requests(count: int, seed: int) -> list[dict[str, int]]:
    dice = random.Random(seed)
    edges = [(0, 256), (4096 - 8, 1), (4096 - 2048, 256), (0xFFFF_FFF8, 1)]
    some = [(8 * dice.randrange(1 << 9) // 16 * 16, dice.randrange(1, 17)) for _ in range(count)]
    bursts = [(address, min(beats, (4096 - address % 4096) // 8)) for address, beats in edges + some]
    return [{"address": a, "beats": n, "tag": dice.randrange(8)} for a, n in bursts]


def beats(asked: list[dict[str, int]], bad: Any = lambda address: False) -> list[dict[str, int]]:
    return [
        {
            "data": word_at(request["address"] + 8 * n),
            "tag": request["tag"],
            "last": int(n == request["beats"] - 1),
            "error": int(bad(request["address"] + 8 * n)),
        }
        for request in asked
        for n in range(request["beats"])
    ]


@pytest.mark.parametrize("outstanding", [1, 8])
@pytest.mark.parametrize("back_pressure", PATTERNS)
def test_reads(back_pressure: str, outstanding: int) -> None:
    asked = requests(20, outstanding)
    dut = ReadMaster(3, outstanding)
    memory = ReadMemory(dut.axi, pattern(back_pressure, 1))

    async def feed(ctx: Any) -> None:
        assert ctx.get(dut.idle)
        await send(ctx, dut.i, asked, pattern(back_pressure, 2))
        assert not ctx.get(dut.idle)

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, beats(asked), pattern(back_pressure, 3))
        assert ctx.get(dut.idle)

    simulate(dut, feed, check, background=[memory.bench, contract(dut.o)])
    assert memory.bursts == [(request["address"], request["beats"]) for request in asked]


def test_errors_pass_through() -> None:
    def bad(address: int) -> bool:
        return address % 64 == 24

    asked = requests(5, 1)
    dut = ReadMaster(3)
    memory = ReadMemory(dut.axi, pattern("none"), bad=bad)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, asked)

    async def check(ctx: Any) -> None:
        await expect(ctx, dut.o, beats(asked, bad))

    simulate(dut, feed, check, background=[memory.bench])


def test_one_beat_per_cycle() -> None:
    asked = [{"address": 128 * n, "beats": 16, "tag": 0} for n in range(64)]
    dut = ReadMaster(1)
    memory = ReadMemory(dut.axi, pattern("none"), latency=40)

    async def feed(ctx: Any) -> None:
        await send(ctx, dut.i, asked)

    async def check(ctx: Any) -> None:
        await receive(ctx, dut.o, 64 * 16)

    assert simulate(dut, feed, check, background=[memory.bench]) < 64 * 16 + 50


@pytest.mark.parametrize("arguments", [(0, 8), (1, 0)])
def test_arguments(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ReadMaster(*arguments)
