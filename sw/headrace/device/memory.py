"""Memory of the model device: a flat DRAM, buffers in it, and a host cache that must be flushed and invalidated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import DeviceError
from . import ALIGNMENT

UNDEFINED = 0xA5
"""Content of memory that nobody has written; not zero, so that code which counts on zeros fails."""


class Memory:
    """`size` bytes of DRAM from `base` on (both multiples of ALIGNMENT), with a first-fit allocator."""

    def __init__(self, size: int, base: int) -> None:
        if size <= 0 or base < 0 or size % ALIGNMENT or base % ALIGNMENT or base + size > 1 << 32:
            raise DeviceError(
                f"model memory of {size} bytes at {base:#x}: both must be multiples of {ALIGNMENT}, in 32 bits"
            )
        self.base = base
        self.bytes: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self._taken: dict[int, int] = {}

    def holds(self, address: int, nbytes: int) -> bool:
        return self.base <= address and address + nbytes <= self.base + self.bytes.size

    def view(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """(nbytes,) uint8 view of device memory; the caller has asked `holds`."""
        start = address - self.base
        return self.bytes[start : start + nbytes]

    def allocate(self, nbytes: int) -> MemoryBuffer:
        """A buffer of undefined content; DeviceError where no gap is large enough."""
        if nbytes < 1:
            raise DeviceError(f"cannot allocate {nbytes} bytes")
        room = -(-nbytes // ALIGNMENT) * ALIGNMENT
        start = 0
        for offset in sorted(self._taken):
            if offset - start >= room:
                break
            start = offset + self._taken[offset]
        if start + room > self.bytes.size:
            raise DeviceError(
                f"device memory is full: {nbytes} bytes do not fit beside {sum(self._taken.values())} of "
                f"{self.bytes.size} in use; free a session or open the device with a larger memory_bytes"
            )
        self._taken[start] = room
        return MemoryBuffer(self, self.base + start, nbytes)

    def release(self, address: int) -> None:
        self._taken.pop(address - self.base, None)


class MemoryBuffer:
    """A Buffer whose host view is a separate array: a forgotten flush or invalidate shows as wrong data."""

    def __init__(self, memory: Memory, address: int, nbytes: int) -> None:
        self.address = address
        self.array: NDArray[np.uint8] = np.full(nbytes, UNDEFINED, np.uint8)
        self._memory: Memory | None = memory
        self._device_view()[...] = UNDEFINED

    def flush(self) -> None:
        self._device_view()[...] = self.array

    def invalidate(self) -> None:
        self.array[...] = self._device_view()

    def free(self) -> None:
        if self._memory is not None:
            self._memory.release(self.address)
            self._memory = None

    def _device_view(self) -> NDArray[np.uint8]:
        if self._memory is None:
            raise DeviceError(f"the buffer at {self.address:#x} was freed")
        return self._memory.view(self.address, self.array.size)
