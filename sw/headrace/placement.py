"""Where the elements of a tensor lie in the activation memory (docs/hardware.md, "Activations")."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .isa import BEAT_BYTES

MAX_BYTES = 1 << 24
"""More than any activation memory; keeps what a header from a file can make the host allocate small."""


@dataclass(frozen=True)
class Placement:
    """A tensor of (channels, height, width) int8; all addresses and distances in bytes.

    Element (c, h, w) lies at `base + position(c) * plane + h * pitch + w`, or, `split`, at
    `base + position(c) * plane + (h % 2) * row_phase + (w % 2) * column_phase + (h // 2) * pitch + w // 2`.
    `order[p]` is the channel stored at position p; None: in order. ValueError for an order that is no permutation,
    or planes that overlap.
    """

    channels: int
    height: int
    width: int
    base: int
    plane: int
    pitch: int
    split: bool = False
    row_phase: int = 0
    column_phase: int = 0
    order: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width, self.plane, self.pitch) < 1 or self.base < 0:
            raise ValueError(f"placement: sizes must be positive: {self}")
        if self.size > MAX_BYTES or self.base > MAX_BYTES or self.height * self.width > self.plane:
            raise ValueError(f"placement: {self.channels} x {self.height} x {self.width} does not fit its planes")
        if self.order is not None:
            object.__setattr__(self, "order", tuple(int(channel) for channel in self.order))
            if sorted(self.order) != list(range(self.channels)):
                raise ValueError(f"placement: order is not a permutation of {self.channels} channels")
        one = self._within_plane().ravel()
        if one.min() < 0 or one.max() >= self.plane or len(np.unique(one)) < one.size:
            raise ValueError(f"placement: elements overlap or leave their plane: {self}")

    @classmethod
    def make(cls, shape: tuple[int, int, int], split: bool = False, base: int = 0) -> Placement:
        """Densest placement of (C, H, W); split planes all have the size of the one of even rows and columns."""
        channels, height, width = shape
        if not split:
            return cls(channels, height, width, base, height * width, width)
        pitch, rows = (width + 1) // 2, (height + 1) // 2
        plane = rows * pitch
        return cls(channels, height, width, base, 4 * plane, pitch, True, 2 * plane, plane)

    def at(self, base: int) -> Placement:
        """The same layout from another address."""
        return replace(self, base=base)

    def ordered(self, order: NDArray[np.integer] | tuple[int, ...]) -> Placement:
        """The same layout with channel `order[p]` at position p."""
        return replace(self, order=tuple(int(channel) for channel in order))

    @property
    def size(self) -> int:
        """Bytes from `base` to the end of the last plane."""
        return self.channels * self.plane

    @property
    def padded_size(self) -> int:
        """`size` in whole beats: what LOAD and STORE move."""
        return -(-self.size // BEAT_BYTES) * BEAT_BYTES

    def tap_address(self, i: int, j: int) -> int:
        """First pixel under kernel position (i, j), in the plane of the channel stored first.

        A split tensor is read with stride 2, any other with stride 1.
        """
        if not self.split:
            return self.base + i * self.pitch + j
        return self.base + (i % 2) * self.row_phase + (j % 2) * self.column_phase + (i // 2) * self.pitch + j // 2

    def row_address(self, h: int) -> int:
        """`x_address` of a LAYER whose first output row is h; ValueError for an odd row of a split tensor."""
        if self.split and h % 2:
            raise ValueError(f"row {h} of a split tensor does not start its first plane")
        return self.base + (h // 2 if self.split else h) * self.pitch

    def _within_plane(self) -> NDArray[np.int64]:
        h, w = np.arange(self.height, dtype=np.int64)[:, None], np.arange(self.width, dtype=np.int64)
        if not self.split:
            return h * self.pitch + w
        return h % 2 * self.row_phase + w % 2 * self.column_phase + h // 2 * self.pitch + w // 2

    def offsets(self) -> NDArray[np.int64]:
        """Byte address of every element: (C, H, W) int64."""
        position = np.arange(self.channels, dtype=np.int64)
        if self.order is not None:
            position = np.argsort(np.array(self.order, dtype=np.int64))
        return self.base + position[:, None, None] * self.plane + self._within_plane()

    def pack(self, x: NDArray[np.int8]) -> bytes:
        """The `padded_size` bytes from `base` that hold x (C, H, W) int8; bytes between elements are zero.

        ValueError for another shape or dtype.
        """
        if x.dtype != np.int8 or x.shape != (self.channels, self.height, self.width):
            shape = (self.channels, self.height, self.width)
            raise ValueError(f"placement holds int8 {shape}, not {x.dtype} {x.shape}")
        memory = np.zeros(self.padded_size, np.int8)
        memory[self.offsets() - self.base] = x
        return memory.tobytes()

    def unpack(self, memory: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.int8]:
        """The tensor (C, H, W) int8 in the bytes from `base`; ValueError for fewer than `size`."""
        if len(memory) < self.size:
            raise ValueError(f"placement of {self.size} bytes, not {len(memory)}")
        return np.frombuffer(memory, np.int8)[self.offsets() - self.base]
