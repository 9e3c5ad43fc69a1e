"""The small interface that every device implements, and the way to open one by name.

A device has 32-bit registers (`headrace.registers`), memory that it and the host share, and one interrupt. Devices
register in the entry-point group `headrace.devices` with a callable `open(config, **options) -> Device`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import DeviceError

GROUP = "headrace.devices"
ALIGNMENT = 64
"""Bytes; every buffer's address is a multiple of it."""
BUILT_IN = (
    EntryPoint("model", "headrace.device.model:ModelDevice.open", GROUP),
    EntryPoint("pynq", "headrace.device.pynq:PynqDevice.open", GROUP),
)
"""Found even where the package runs from its source tree, without installed metadata."""
REMEDIES = {"sim": "pip install 'headrace[sim]'"}


class Buffer(Protocol):
    """Memory that host and device share. `array` is the host's view; it and the device's view agree only after
    `flush` (host to device) or `invalidate` (device to host)."""

    @property
    def address(self) -> int:
        """What the device calls its first byte; a multiple of ALIGNMENT."""

    @property
    def array(self) -> NDArray[np.uint8]:
        """(nbytes,) uint8, writable, the same memory at each call. Contents are undefined after `allocate`."""

    def flush(self) -> None:
        """Make what the host wrote visible to the device."""

    def invalidate(self) -> None:
        """Make what the device wrote visible to the host."""

    def free(self) -> None:
        """Give the memory back; a second call does nothing."""


@runtime_checkable
class Device(Protocol):
    """One accelerator. Every method raises DeviceError for misuse or failure."""

    @property
    def name(self) -> str:
        """As in `open_device`."""

    @property
    def clock_mhz(self) -> float | None:
        """Clock that cycle counts refer to; None where there is no real clock."""

    def allocate(self, nbytes: int) -> Buffer:
        """A buffer of `nbytes` >= 1; DeviceError where the memory does not suffice."""

    def read(self, offset: int) -> int:
        """The register at byte `offset`."""

    def write(self, offset: int, value: int) -> None:
        """Set the register at byte `offset`; 0 <= value < 2**32."""

    def wait(self, timeout_seconds: float) -> None:
        """Return once the interrupt is raised; DeviceError when `timeout_seconds` pass without it."""

    def close(self) -> None:
        """Release the device and its buffers; a second call does nothing."""

    def __enter__(self) -> Device: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def installed_devices() -> dict[str, EntryPoint]:
    """Entry points by device name; an installed one replaces a built-in of the same name."""
    return {entry.name: entry for entry in (*BUILT_IN, *entry_points(group=GROUP))}


def open_device(name: str, config: Config, **options: Any) -> Device:
    """Open the device called `name`, made for `config`; `options` go to its `open`.

    DeviceError lists the devices there are, or says what to install where a device's package is missing.
    """
    found = installed_devices()
    if name not in found:
        known = ", ".join(sorted(found))
        remedy = f"; for it: {REMEDIES[name]}" if name in REMEDIES else ""
        raise DeviceError(f"no device {name!r} is installed; there are: {known}{remedy}")
    try:
        opener = found[name].load()
    except ImportError as error:
        remedy = REMEDIES.get(name, f"install the package that provides {found[name].value}")
        raise DeviceError(f"device {name!r} cannot be loaded ({error}); {remedy}") from error
    except AttributeError as error:
        raise DeviceError(f"device {name!r} cannot be loaded: {found[name].value} does not exist") from error
    device: Device = opener(config, **options)
    return device
