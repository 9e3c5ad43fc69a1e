"""Clock, reset and agents of the cocotb benches.

A bench makes a `Bench` of the module, then the agents it needs. `Bench.cycle` is one clock: every agent drives its
inputs while the clock is low, looks at the outputs when they have settled, then the clock rises. So nothing depends on
the order in which coroutines wake. Back-pressure is an endless iterator of bool, one item a cycle, true where the agent
is willing. Any breach of a protocol raises AssertionError, which fails the cocotb test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from cocotb.triggers import Timer

HALF_PERIOD_NS = 5
Willing = Iterator[bool]


class Agent(Protocol):
    """What acts in every cycle."""

    def drive(self, now: int) -> None:
        """Set inputs of the device for cycle `now`."""

    def sample(self, now: int) -> None:
        """See what the clock edge that ends cycle `now` transfers."""


class Pin:
    """An input of the device; writes that change nothing cost nothing."""

    def __init__(self, bench: Bench, name: str, value: int = 0) -> None:
        self._bench, self._handle, self.value = bench, getattr(bench.dut, name), value
        self._handle.value = value

    def put(self, value: int) -> None:
        """From this cycle on; not for `sample`."""
        if value != self.value:
            self.value = value
            self._handle.value = value

    def next(self, value: int) -> None:
        """From the next cycle on."""
        self._bench.later.append((self, value))


@dataclass
class Held:
    """A channel's contract: while a payload waits, neither it nor `valid` changes."""

    name: str
    payload: Any = None

    def check(self, now: int, valid: bool, ready: bool, payload: Any) -> bool:
        """Whether this cycle transfers `payload`."""
        if self.payload is not None:
            assert valid, f"cycle {now}: {self.name} valid was taken back"
            assert payload == self.payload, f"cycle {now}: {self.name} changed while it waited"
        self.payload = payload if valid and not ready else None
        return valid and ready


class Bench:
    """Clock and reset of `dut`. `limit`: cycles after which the bench fails, so that it never hangs."""

    def __init__(self, dut: Any, limit: int = 1_000_000) -> None:
        self.dut, self.limit, self.now = dut, limit, 0
        self.agents: list[Agent] = []
        self.later: list[tuple[Pin, int]] = []
        self._clock = dut.clk
        self._half = Timer(HALF_PERIOD_NS, "ns")
        dut.rst.value = 0

    async def cycle(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.now < self.limit, f"the bench did not end within {self.limit} cycles"
            for pin, value in self.later:
                pin.put(value)
            self.later.clear()
            for agent in self.agents:
                agent.drive(self.now)
            self._clock.value = 0
            await self._half
            for agent in self.agents:
                agent.sample(self.now)
            self._clock.value = 1
            await self._half
            self.now += 1

    async def reset(self) -> None:
        """One cycle of reset; no agent may have anything under way."""
        self.dut.rst.value = 1
        await self.cycle()
        self.dut.rst.value = 0

    async def until(self, condition: Callable[[], bool], cycles: int, what: str) -> int:
        """Run until `condition` holds after a cycle, and return how many those were; fail after `cycles`."""
        start = self.now
        while not condition():
            assert self.now - start < cycles, f"{what} did not happen within {cycles} cycles"
            await self.cycle()
        return self.now - start
