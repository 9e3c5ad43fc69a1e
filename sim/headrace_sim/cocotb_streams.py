"""Stream ends for cocotb benches, which hold the device to the handshake contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .cocotb_bench import Bench, Held, Pin, Willing


class Source:
    """Sends `queue` through the stream of ports `<prefix>_payload`, `_valid`, `_ready`."""

    def __init__(self, bench: Bench, prefix: str, willing: Willing, payloads: Iterable[int] = ()) -> None:
        dut = bench.dut
        self.queue = deque(payloads)
        self._payload, self._valid = Pin(bench, f"{prefix}_payload"), Pin(bench, f"{prefix}_valid")
        self._ready = getattr(dut, f"{prefix}_ready", None)  # none: always ready
        self._willing = willing
        bench.agents.append(self)

    @property
    def empty(self) -> bool:
        """Everything has been taken."""
        return not self.queue

    def drive(self, now: int) -> None:
        if not self._valid.value and self.queue and next(self._willing):
            self._payload.put(self.queue[0])
            self._valid.put(1)

    def sample(self, now: int) -> None:
        if self._valid.value and (self._ready is None or self._ready.value):
            self.queue.popleft()
            self._valid.next(0)

    def forget(self) -> None:
        """Drop what is left, also what is being offered: for a reset."""
        self.queue.clear()
        self._valid.put(0)


class Sink:
    """Collects a stream in `got` and holds it to the handshake contract."""

    def __init__(self, bench: Bench, prefix: str, willing: Willing) -> None:
        dut = bench.dut
        self.got: list[int] = []
        self._payload, self._valid = getattr(dut, f"{prefix}_payload"), getattr(dut, f"{prefix}_valid")
        self._ready = Pin(bench, f"{prefix}_ready")
        self._willing, self._held = willing, Held(prefix)
        bench.agents.append(self)

    def drive(self, now: int) -> None:
        self._ready.put(next(self._willing))

    def sample(self, now: int) -> None:
        valid = bool(self._valid.value)
        payload = int(self._payload.value) if valid else None
        if self._held.check(now, valid, bool(self._ready.value), payload):
            assert payload is not None
            self.got.append(payload)

    def release(self) -> None:
        """In this cycle what waits may be taken back: the device is being reset."""
        self._held.payload = None

    def forget(self) -> None:
        """Start anew, after a reset."""
        self.got.clear()
        self.release()
