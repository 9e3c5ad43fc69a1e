"""What all block benches share: back-pressure patterns, stream ends, the handshake contract, and a runner.

`PATTERNS` names the patterns; a pattern is an endless iterator of bool, one per cycle, true where the end is willing.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from amaranth.lib import data
from amaranth.sim import Simulator

from hw.monitors import monitored

PATTERNS = ("none", "random", "bursty")


def pattern(name: str, seed: int = 0) -> Iterator[bool]:
    """none: never pauses. random: pauses every other cycle or so. bursty: runs and pauses of up to 24 cycles."""
    dice = random.Random(f"{name} {seed}")
    while True:
        if name == "none":
            yield True
        elif name == "random":
            yield dice.random() < 0.5
        elif name == "bursty":
            yield from [True] * dice.randrange(1, 25) + [False] * dice.randrange(1, 25)
        else:
            raise ValueError(name)


def plain(value: Any) -> Any:
    """A structure as a dict, an array as a list, anything else as it is."""
    if not isinstance(value, data.Const):
        return value
    if isinstance(value.shape(), data.ArrayLayout):
        return [plain(element) for element in value]
    return {name: plain(value[name]) for name, _ in value.shape()}


async def send(ctx: Any, stream: Any, payloads: Iterable[Any], willing: Iterator[bool] | None = None) -> None:
    """Offer the payloads one after the other, each until it is taken."""
    for payload in payloads:
        while willing is not None and not next(willing):
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        taken = False
        while not taken:  # not `until`, whose generator complains where a background bench is cut off
            _, _, taken = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)


async def receive(ctx: Any, stream: Any, count: int, willing: Iterator[bool] | None = None) -> list[Any]:
    """The next `count` payloads."""
    payloads: list[Any] = []
    while len(payloads) < count:
        ready = willing is None or next(willing)
        ctx.set(stream.ready, ready)
        _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
        if ready and valid:
            payloads.append(plain(payload))
    ctx.set(stream.ready, 0)
    return payloads


async def expect(ctx: Any, stream: Any, payloads: Iterable[Any], willing: Iterator[bool] | None = None) -> None:
    """The next payloads are these."""
    for n, payload in enumerate(payloads):
        (got,) = await receive(ctx, stream, 1, willing)
        assert got == payload, f"payload {n} is {got}, not {payload}"


def contract(*streams: Any) -> Any:
    """A background bench: while a payload waits, neither it nor `valid` changes."""

    async def bench(ctx: Any) -> None:
        waiting: list[Any] = [None] * len(streams)
        while True:
            signals = [signal for stream in streams for signal in (stream.valid, stream.ready, stream.payload)]
            _, _, *values = await ctx.tick().sample(*signals)
            for n, (valid, ready, payload) in enumerate(zip(*[iter(values)] * 3, strict=True)):
                if waiting[n] is not None:
                    assert valid and plain(payload) == waiting[n], f"stream {n} changed while it waited"
                waiting[n] = plain(payload) if valid and not ready else None

    return bench


def simulate(dut: Any, *benches: Any, background: Iterable[Any] = (), cycles: int = 20_000) -> int:
    """Run until every bench has ended, and return after how many cycles that was; fail after `cycles`.

    Every stream and AXI channel of `dut`, and of what is in it, is held to the handshake contract.
    """
    finished: list[int] = []
    with monitored():
        simulator = Simulator(dut)
    simulator.add_clock(10e-9)
    for bench in background:
        simulator.add_testbench(bench, background=True)
    now = [0]

    async def clock(ctx: Any) -> None:
        async for _ in ctx.tick():
            now[0] += 1
            assert now[0] < cycles, f"{len(finished)} of {len(benches)} benches ended within {cycles} cycles"

    def wrap(bench: Any) -> Any:
        async def run(ctx: Any) -> None:
            await bench(ctx)
            finished.append(now[0])

        return run

    simulator.add_testbench(clock, background=True)
    for bench in benches:
        simulator.add_testbench(wrap(bench))
    simulator.run()
    return max(finished)
