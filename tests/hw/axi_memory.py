"""A 64-bit AXI4 memory for block benches: background benches that answer a master and hold it to the protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

SLVERR = 2


def word_at(address: int) -> int:
    """A content that differs at every address."""
    return (address * 0x9E37_79B9_7F4A_7C15 + 0x1234_5678) % (1 << 64)


def check_burst(address: int, length: int) -> None:
    assert address % 8 == 0 and 0 <= length < 256
    assert address // 4096 == (address + 8 * length) // 4096, "a burst crosses a 4 KiB boundary"


class ReadMemory:
    """Reads give `word_at(address)`, SLVERR where `bad(address)`. `willing`: AR and R each ask it once per cycle."""

    def __init__(self, axi: Any, willing: Iterator[bool], latency: int = 3, bad: Callable[[int], bool] | None = None):
        self.axi, self.willing, self.latency = axi, willing, latency
        self.bad = bad or (lambda address: False)
        self.bursts: list[tuple[int, int]] = []

    async def bench(self, ctx: Any) -> None:
        axi, now, held = self.axi, 0, None
        beats: deque[tuple[int, int, bool]] = deque()  # cycle from which on it may come, address, last
        while True:
            ready = next(self.willing)
            valid = bool(beats) and beats[0][0] <= now and (next(self.willing) or bool(ctx.get(axi.rvalid)))
            ctx.set(axi.arready, ready)
            ctx.set(axi.rvalid, valid)
            if valid:
                _, address, last = beats[0]
                ctx.set(axi.rdata, word_at(address))
                ctx.set(axi.rlast, last)
                ctx.set(axi.rresp, SLVERR * self.bad(address))
            _, _, arvalid, araddr, arlen, rready = await ctx.tick().sample(
                axi.arvalid, axi.araddr, axi.arlen, axi.rready
            )
            now += 1
            assert held is None or (arvalid and (araddr, arlen) == held), "AR changed while it waited"
            held = (araddr, arlen) if arvalid and not ready else None
            if arvalid and ready:
                check_burst(araddr, arlen)
                self.bursts.append((araddr, arlen + 1))
                beats.extend((now + self.latency, araddr + 8 * n, n == arlen) for n in range(arlen + 1))
            if valid and rready:
                beats.popleft()
                ctx.set(axi.rvalid, 0)


class WriteMemory:
    """Keeps what is written in `words`, by byte address; SLVERR for bursts that start where `bad(address)`."""

    def __init__(self, axi: Any, willing: Iterator[bool], latency: int = 3, bad: Callable[[int], bool] | None = None):
        self.axi, self.willing, self.latency = axi, willing, latency
        self.bad = bad or (lambda address: False)
        self.bursts: list[tuple[int, int]] = []
        self.words: dict[int, int] = {}
        self.answered = 0

    async def bench(self, ctx: Any) -> None:
        axi, now = self.axi, 0
        held: list[Any] = [None, None]
        bursts: deque[tuple[int, int]] = deque()
        beats: deque[tuple[int, int]] = deque()
        answers: deque[tuple[int, int]] = deque()
        while True:
            ready = next(self.willing), next(self.willing)
            valid = bool(answers) and answers[0][0] <= now and (next(self.willing) or bool(ctx.get(axi.bvalid)))
            ctx.set(axi.awready, ready[0])
            ctx.set(axi.wready, ready[1])
            ctx.set(axi.bvalid, valid)
            if valid:
                ctx.set(axi.bresp, answers[0][1])
            _, _, awvalid, awaddr, awlen, wvalid, wdata, wlast, wstrb, bready = await ctx.tick().sample(
                axi.awvalid, axi.awaddr, axi.awlen, axi.wvalid, axi.wdata, axi.wlast, axi.wstrb, axi.bready
            )
            now += 1
            for n, (shown, payload) in enumerate([(awvalid, (awaddr, awlen)), (wvalid, (wdata, wlast))]):
                assert held[n] is None or (shown and payload == held[n]), f"{('AW', 'W')[n]} changed while it waited"
                held[n] = payload if shown and not ready[n] else None
            if awvalid and ready[0]:
                check_burst(awaddr, awlen)
                self.bursts.append((awaddr, awlen + 1))
                bursts.append((awaddr, awlen))
            if wvalid and ready[1]:
                assert wstrb == 0xFF
                beats.append((wdata, wlast))
            while bursts and len(beats) > bursts[0][1]:
                address, length = bursts.popleft()
                for n in range(length + 1):
                    word, last = beats.popleft()
                    assert last == (n == length), "WLAST is not at the end of its burst"
                    self.words[address + 8 * n] = word
                answers.append((now + self.latency, SLVERR * self.bad(address)))
            if valid and bready:
                answers.popleft()
                self.answered += 1
                ctx.set(axi.bvalid, 0)
