"""The board: a PYNQ overlay behind the same interface as every device. The only module that imports `pynq`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import DeviceError
from ..registers import REGISTERS, offset
from . import ALIGNMENT
from .base import Closing, check_register

IP = "headrace"
"""Name in the VLNV of the accelerator in a block design."""
FASTEST_POLL, SLOWEST_POLL = 20e-6, 2e-3
"""Seconds between two looks at STATUS where there is no interrupt; doubled from look to look."""
OPTIONS = ("overlay", "download")


class PynqBuffer:
    """A Buffer in the board's contiguous memory; the processor's cache is between `array` and the device."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer
        self.address = int(buffer.device_address)
        self._array: NDArray[np.uint8] = np.ndarray.view(buffer, np.ndarray)

    @property
    def array(self) -> NDArray[np.uint8]:
        return self._array

    def flush(self) -> None:
        with _reported(f"the buffer at {self.address:#x} cannot be flushed"):
            self._live().flush()

    def invalidate(self) -> None:
        with _reported(f"the buffer at {self.address:#x} cannot be invalidated"):
            self._live().invalidate()

    def free(self) -> None:
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            with _reported(f"the buffer at {self.address:#x} cannot be freed"):
                buffer.freebuffer()

    def _live(self) -> Any:
        if self._buffer is None:
            raise DeviceError(f"the buffer at {self.address:#x} was freed")
        return self._buffer


class PynqDevice(Closing):
    """A Device. `overlay` is the .bit file, its .hwh beside it; `download` False takes the bitstream that is loaded.

    `wait` uses the interrupt where the overlay wires it to an interrupt controller and no event loop is running, else
    it polls STATUS.
    DeviceError where pynq finds no board, the file or the accelerator in it is missing, or pynq reports a failure.
    """

    name = "pynq"

    def __init__(self, config: Config, overlay: str | Path, *, download: bool = True) -> None:
        try:
            import pynq
        except ImportError as error:
            raise DeviceError(
                f"device pynq needs the package pynq ({error}): on a board `source /etc/profile.d/pynq_venv.sh` first, "
                "elsewhere pip install 'headrace[virtual]'"
            ) from None
        self.config = config
        path = Path(overlay).absolute()
        for needed in (path, path.with_suffix(".hwh")):
            if not needed.is_file():
                raise DeviceError(f"device pynq: no file {needed}; an overlay is a .bit and a .hwh of the same name")
        with _reported(f"overlay {path.name} cannot be loaded"):
            self._overlay = pynq.Overlay(str(path), download=download)
        self._allocate = pynq.allocate
        found = [name for name, ip in self._overlay.ip_dict.items() if _is_accelerator(ip)]
        if len(found) != 1:
            has = ", ".join(self._overlay.ip_dict) or "nothing"
            raise DeviceError(f"overlay {path.name} has {len(found)} headrace accelerators, not one; it has {has}")
        with _reported(f"{found[0]} of overlay {path.name} cannot be reached"):
            self._ip = getattr(self._overlay, found[0])
        self._interrupt = getattr(self._ip, "irq", None)
        self.clock_mhz: float | None = _clock_mhz(self._overlay)
        self._buffers: list[PynqBuffer] = []

    @classmethod
    def open(cls, config: Config, **options: Any) -> PynqDevice:
        """Options: `overlay` (a .bit file, needed) and `download`. DeviceError for others."""
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise DeviceError(
                f"the pynq device has no option {', '.join(sorted(unknown))}; it has {', '.join(OPTIONS)}"
            )
        if "overlay" not in options:
            raise DeviceError("the pynq device needs an overlay: the .bit file of the board")
        return cls(config, **options)

    def allocate(self, nbytes: int) -> PynqBuffer:
        if nbytes < 1:
            raise DeviceError(f"cannot allocate {nbytes} bytes")
        with _reported(f"{nbytes} bytes of contiguous memory cannot be had"):
            buffer = PynqBuffer(self._allocate(shape=(nbytes,), dtype="u1"))
        if buffer.address % ALIGNMENT or buffer.address + nbytes > 1 << 32:
            address = buffer.address
            buffer.free()
            raise DeviceError(f"pynq gave a buffer at {address:#x}: not a multiple of {ALIGNMENT} within 32 bits")
        self._buffers.append(buffer)
        return buffer

    def read(self, offset: int) -> int:
        check_register(offset)
        with _reported(f"the register at {offset:#x} cannot be read"):
            return int(self._ip.mmio.read(offset))

    def write(self, offset: int, value: int) -> None:
        check_register(offset, value)
        with _reported(f"the register at {offset:#x} cannot be written"):
            self._ip.mmio.write(offset, value)

    def wait(self, timeout_seconds: float) -> None:
        deadline, pause = time.monotonic() + timeout_seconds, FASTEST_POLL
        if self._interrupt is not None and not _in_event_loop():
            _wait_for(self._interrupt, timeout_seconds)
        while not self._ended():
            if time.monotonic() > deadline:
                raise DeviceError(f"no end of the program within {timeout_seconds:g} s")
            time.sleep(pause)
            pause = min(2 * pause, SLOWEST_POLL)

    def close(self) -> None:
        while self._buffers:
            self._buffers.pop().free()

    def _ended(self) -> bool:
        status = REGISTERS["STATUS"].record.unpack(self.read(offset("STATUS")))
        return bool(status["done"] or status["error"])


class _reported:  # noqa: N801 - reads as a statement: with _reported(...)
    """Whatever pynq raises becomes a DeviceError of one line: its own classes are RuntimeError, OSError, gRPC's..."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, DeviceError):
            reason = str(getattr(error, "details", lambda: "")() or error).split("\n")[0]
            raise DeviceError(f"device pynq: {self._what} ({type(error).__name__}: {reason})") from error


def _in_event_loop() -> bool:
    """As in a notebook's cells: nothing can be waited for there by a call that is not a coroutine."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _wait_for(interrupt: Any, timeout_seconds: float) -> None:
    """Return when it comes, or when the time is over. pynq's interrupt controllers live in the policy's event loop."""
    loop = asyncio.get_event_loop_policy().get_event_loop()
    with suppress(asyncio.TimeoutError):
        loop.run_until_complete(asyncio.wait_for(interrupt.wait(), timeout_seconds))


def _is_accelerator(ip: dict[str, Any]) -> bool:
    """By the third part of vendor:library:name:version."""
    return str(ip.get("type")).split(":")[2:3] == [IP]


def _clock_mhz(overlay: Any) -> float | None:
    """Of the first clock of the programmable logic, which clocks the accelerator in every overlay that we build."""
    clock = overlay.clock_dict.get(0, {})
    return float(clock["frequency"]) if clock.get("enable") else None
