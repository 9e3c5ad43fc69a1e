"""AXI4 memory and AXI4-Lite master for cocotb benches, each of which holds the device to its protocol.

What the device promises on top of it is checked, too: whole aligned beats, bursts no longer and no more of them than
given, no data before its address is offered.

Source: ARM IHI 0022, "AMBA AXI and ACE Protocol Specification".
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .cocotb_bench import Bench, Held, Pin, Willing

OKAY, SLVERR, DECERR = 0, 2, 3
PAGE_BYTES = 4096
WHOLE = 0xFF
FIELDS = ("addr", "len", "size", "burst", "cache", "prot")
REQUESTS = {"b": ("aw", "w"), "r": ("ar",)}
"""What an answer on the register bus answers."""
OUTSTANDING = 8
"""Bursts of a port that may wait for their end."""


@dataclass
class Memory:
    """`size` bytes from `base` on, 64-bit words, for ports to share; elsewhere there is DECERR.

    `read_response`, `write_response` (by byte address of the beat) and `silent` (by address of the burst: not answered
    as long as it is true) may be replaced at any time.
    """

    base: int
    size: int
    read_response: Callable[[int], int] = lambda address: OKAY
    write_response: Callable[[int], int] = lambda address: OKAY
    silent: Callable[[int], bool] = lambda address: False
    words: Any = field(init=False)

    def __post_init__(self) -> None:
        self.words = np.zeros(self.size // 8, np.uint64)

    def bytes(self, address: int, count: int) -> Any:
        """A view of `count` bytes as uint8."""
        return self.words.view(np.uint8)[address - self.base : address - self.base + count]

    def holds(self, address: int) -> bool:
        return self.base <= address < self.base + self.size


@dataclass
class _Burst:
    address: int
    beats: int
    ready: int
    """First cycle in which an answer may come."""
    done: int = 0
    response: int = OKAY


def _check_burst(channel: str, address: int, beats: int, size: int, kind: int) -> None:
    assert size == 3 and kind == 1 and address % 8 == 0, f"{channel} is no aligned INCR burst of 64-bit beats"
    last = address + 8 * (beats - 1)
    assert address // PAGE_BYTES == last // PAGE_BYTES, f"{channel}: {beats} beats at {address:#x} cross 4 KiB"


class _BurstPort:
    """What both ports have: an address channel, held to its contract, and the bursts it was asked for.

    No more than `outstanding` bursts of `longest` beats may wait for their end; more fail the bench.
    """

    channel: str

    def __init__(
        self,
        bench: Bench,
        prefix: str,
        memory: Memory,
        willing: Callable[[str], Willing],
        *,
        latency: int = 3,
        outstanding: int = OUTSTANDING,
        longest: int = 256,
    ) -> None:
        self.memory, self.latency, self.outstanding, self.longest = memory, latency, outstanding, longest
        self.bursts: list[tuple[int, int]] = []
        self.beats = 0
        self.queue: deque[_Burst] = deque()  # bursts whose beats are still to come
        self._bench, self._prefix = bench, prefix
        self._address_willing = willing(self.channel)
        self._address = Held(self.channel)
        name = self.channel.lower()
        self._valid, self._ready = self._port(f"{name}valid"), self._pin(f"{name}ready")
        self._request = [self._port(name + field) for field in FIELDS]

    def _port(self, name: str) -> Any:
        return getattr(self._bench.dut, f"{self._prefix}_{name}")

    def _pin(self, name: str) -> Pin:
        return Pin(self._bench, f"{self._prefix}_{name}")

    def _sample_address(self, now: int, ready: int) -> bool:
        """Queue the burst that this cycle asks for, if it does; its first beat may come from cycle `ready` on."""
        valid = bool(self._valid.value)
        request = [int(signal.value) for signal in self._request] if valid else []
        if not self._address.check(now, valid, bool(self._ready.value), request):
            return False
        address, length, size, kind, *_ = request
        _check_burst(self.channel, address, length + 1, size, kind)
        assert length < self.longest, f"{self.channel} asks for {length + 1} beats, more than {self.longest}"
        self.bursts.append((address, length + 1))
        self.queue.append(_Burst(address, length + 1, ready))
        open_ = self.under_way
        assert open_ <= self.outstanding, f"{self.channel} has more than {self.outstanding} bursts under way"
        return True

    @property
    def under_way(self) -> int:
        """Bursts that have been taken and have not come to their end."""
        return len(self.queue)


class ReadPort(_BurstPort):
    """AR and R of an AXI4 slave, in order, the first beat `latency` cycles after its address at the earliest."""

    channel = "AR"

    def __init__(
        self, bench: Bench, prefix: str, memory: Memory, willing: Callable[[str], Willing], **limits: int
    ) -> None:
        super().__init__(bench, prefix, memory, willing, **limits)
        self._r_willing = willing("R")
        self._rready, self._rvalid = self._port("rready"), self._pin("rvalid")
        self._rdata, self._rresp, self._rlast = self._pin("rdata"), self._pin("rresp"), self._pin("rlast")
        bench.agents.append(self)

    def drive(self, now: int) -> None:
        self._ready.put(next(self._address_willing))
        if self._rvalid.value or not next(self._r_willing):
            return
        if self.queue and self.queue[0].ready <= now and not self.memory.silent(self.queue[0].address):
            burst = self.queue[0]
            address = burst.address + 8 * burst.done
            inside = self.memory.holds(address)
            word = int(self.memory.words[(address - self.memory.base) // 8]) if inside else 0xDEAD_BEEF_DEAD_BEEF
            self._rdata.put(word)
            self._rresp.put(self.memory.read_response(address) if inside else DECERR)
            self._rlast.put(burst.done + 1 == burst.beats)
            self._rvalid.put(1)

    def sample(self, now: int) -> None:
        if self._rvalid.value and self._rready.value:
            self._rvalid.next(0)
            self.beats += 1
            self.queue[0].done += 1
            if self.queue[0].done == self.queue[0].beats:
                self.queue.popleft()
        self._sample_address(now, now + 1 + self.latency)


class WritePort(_BurstPort):
    """AW, W and B of an AXI4 slave, in order, each answer `latency` cycles after the last beat at the earliest."""

    channel = "AW"

    def __init__(
        self, bench: Bench, prefix: str, memory: Memory, willing: Callable[[str], Willing], **limits: int
    ) -> None:
        super().__init__(bench, prefix, memory, willing, **limits)
        self.answers: deque[_Burst] = deque()
        self._waiting: deque[tuple[int, int]] = deque()  # beats that came before their address
        self._w_willing, self._b_willing = willing("W"), willing("B")
        self._w = Held("W")
        self._wvalid, self._bready = self._port("wvalid"), self._port("bready")
        self._data = [self._port(name) for name in ("wdata", "wstrb", "wlast")]
        self._wready, self._bvalid, self._bresp = self._pin("wready"), self._pin("bvalid"), self._pin("bresp")
        bench.agents.append(self)

    def drive(self, now: int) -> None:
        self._ready.put(next(self._address_willing))
        self._wready.put(next(self._w_willing))
        if self._bvalid.value or not next(self._b_willing):
            return
        if self.answers and self.answers[0].ready <= now and not self.memory.silent(self.answers[0].address):
            self._bresp.put(self.answers[0].response)
            self._bvalid.put(1)

    def sample(self, now: int) -> None:
        if self._bvalid.value and self._bready.value:
            self._bvalid.next(0)
            self.answers.popleft()
        offered = int(self._request[1].value) + 1 if self._valid.value else 0
        places = sum(burst.beats - burst.done for burst in self.queue) + offered - len(self._waiting)
        self._sample_address(now, 0)
        valid = bool(self._wvalid.value)
        beat = [int(signal.value) for signal in self._data] if valid else []
        if valid:
            assert places > 0, f"cycle {now}: W has a beat that no address was given for"
            assert beat[1] == WHOLE, f"cycle {now}: W has a beat that is not whole"
        if self._w.check(now, valid, bool(self._wready.value), beat):
            self._waiting.append((beat[0], beat[2]))
            self.beats += 1
        while self._waiting and self.queue:
            self._store(now)

    @property
    def under_way(self) -> int:
        return len(self.queue) + len(self.answers)

    def _store(self, now: int) -> None:
        burst, (data, last) = self.queue[0], self._waiting.popleft()
        address = burst.address + 8 * burst.done
        burst.done += 1
        assert last == (burst.done == burst.beats), f"cycle {now}: WLAST is not on the last beat of its burst"
        response = self.memory.write_response(address) if self.memory.holds(address) else DECERR
        burst.response = max(burst.response, response)
        if response == OKAY:
            self.memory.bytes(address, 8)[:] = np.frombuffer(data.to_bytes(8, "little"), np.uint8)
        if burst.done == burst.beats:
            burst.ready = now + 1 + self.latency
            self.answers.append(self.queue.popleft())


class LiteMaster:
    """An AXI4-Lite master. Address, data and the willingness to take the answer come up to `delay` cycles late each."""

    def __init__(self, bench: Bench, prefix: str, seed: int = 0, delay: int = 0) -> None:
        def port(name: str) -> Any:
            return getattr(bench.dut, f"{prefix}_{name}")

        self.bench, self.delay = bench, delay
        self._dice = random.Random(seed)
        self._valid = {name: Pin(bench, f"{prefix}_{name}valid") for name in ("aw", "w", "ar")}
        self._ready = {name: port(f"{name}ready") for name in ("aw", "w", "ar")}
        self._payload = {
            "aw": Pin(bench, f"{prefix}_awaddr"),
            "w": Pin(bench, f"{prefix}_wdata"),
            "ar": Pin(bench, f"{prefix}_araddr"),
        }
        self._answer_valid = {name: port(f"{name}valid") for name in ("b", "r")}
        self._answer_ready = {name: Pin(bench, f"{prefix}_{name}ready") for name in ("b", "r")}
        self._answer = {
            name: [port(f"{name}{part}") for part in parts]
            for name, parts in (("b", ["resp"]), ("r", ["resp", "data"]))
        }
        self._held = {name: Held(f"the register bus: {name.upper()}") for name in ("b", "r")}
        self._asked = dict.fromkeys(self._valid, 0)  # requests taken and not answered
        self._late: dict[str, int] = {}
        self._got: list[int] | None = None
        Pin(bench, f"{prefix}_wstrb", 15)
        Pin(bench, f"{prefix}_awprot")
        Pin(bench, f"{prefix}_arprot")
        bench.agents.append(self)

    async def read(self, offset: int) -> int:
        return (await self._access({"ar": offset}, "r"))[1]

    async def write(self, offset: int, value: int) -> None:
        await self._access({"aw": offset, "w": value}, "b")

    async def _access(self, requests: dict[str, int], answer: str, limit: int = 500) -> list[int]:
        self._got = None
        self._late = {name: self._dice.randint(0, self.delay) for name in (*requests, answer)}
        for name, value in requests.items():
            self._payload[name].put(value)
        await self.bench.until(lambda: self._got is not None, limit, f"an answer to {requests} on {answer.upper()}")
        assert self._got is not None and self._got[0] == OKAY
        return self._got

    def drive(self, now: int) -> None:
        for name, late in self._late.items():
            if late == 0:
                (self._answer_ready if name in self._answer_ready else self._valid)[name].put(1)
            self._late[name] = late - 1

    def sample(self, now: int) -> None:
        taken = dict.fromkeys(self._valid, 0)
        for name in self._valid:
            if self._valid[name].value and self._ready[name].value:
                self._valid[name].next(0)
                taken[name] = 1
        for name, pin in self._answer_ready.items():
            valid = bool(self._answer_valid[name].value)
            answer = [int(signal.value) for signal in self._answer[name]] if valid else []
            asked = valid and all(self._asked[request] for request in REQUESTS[name])
            assert asked or not valid, f"cycle {now}: the register bus: {name.upper()} came unasked"
            if self._held[name].check(now, valid, bool(pin.value), answer):
                pin.next(0)
                self._got, self._late = answer, {}
                for request in REQUESTS[name]:
                    self._asked[request] -= 1
        for name, count in taken.items():
            self._asked[name] += count
