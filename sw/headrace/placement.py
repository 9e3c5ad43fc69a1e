"""Where the elements of a tensor lie in the activation memory (docs/hardware.md, "Activations")."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .isa import BEAT_BYTES

MAX_BYTES = 1 << 24
"""More than any activation memory; keeps what a header from a file can make the host allocate small."""
MAX_STRIPS = 32


def phase_planes(width: int) -> int:
    """Planes of a split tensor's channel: those of even and odd rows, each of even and, of several, odd columns."""
    return 4 if width > 1 else 2


def phases_of(width: int, plane: int) -> tuple[int, int]:
    """`row_phase` and `column_phase` of phase planes of `plane` bytes."""
    return (2 * plane, plane) if width > 1 else (plane, 0)


@dataclass(frozen=True)
class Tap:
    """What one kernel position reads: the byte that flat pixel f of the output multiplies is `address + f`."""

    address: int
    """In the plane of the channel stored first; negative where padding precedes the memory's first byte."""
    shift: int
    """f + shift is the pixel's number in its (phase) plane."""
    end: int
    """Number of the last pixel of that plane that exists, and 1."""
    column: int
    """What the tap adds to the output's column."""
    columns: int
    """Columns of the plane that exist."""


@dataclass(frozen=True)
class Placement:
    """A tensor of (channels, height, width) int8; all addresses and distances in bytes.

    Element (c, h, w) lies at `base + position(c) * plane + h * pitch + w`, or, `split`, at
    `base + position(c) * plane + (h % 2) * row_phase + (w % 2) * column_phase + (h // 2) * pitch + w // 2`.
    `order[p]` is the channel stored at position p; None: in order.

    In `strips` > 1 strips, the lanes of strip s hold of every (phase) plane the `strip_bytes` flat pixels from
    `s * strip_step - strip_halo` on, in place of all; those before the plane and after its end are never looked at.
    There a split tensor can be `interleaved`: the four phase planes' rows lie within the same `pitch` bytes. One of a
    single column has no planes of odd columns, and a `column_phase` of 0.

    ValueError for an order that is no permutation, planes that overlap, or strips that do not fit their planes.
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
    strips: int = 1
    strip_step: int = 0
    strip_halo: int = 0
    strip_bytes: int = 0

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width, self.plane, self.pitch) < 1 or self.base < 0:
            raise ValueError(f"placement: sizes must be positive: {self}")
        too_large = max(self.strips, 1) * self.size > MAX_BYTES or self.base > MAX_BYTES or self.strip_step > MAX_BYTES
        if too_large or (self.strips == 1 and self.height * self.width > self.plane):
            raise ValueError(f"placement: {self.channels} x {self.height} x {self.width} does not fit its planes")
        if self.order is not None:
            object.__setattr__(self, "order", tuple(int(channel) for channel in self.order))
            if sorted(self.order) != list(range(self.channels)):
                raise ValueError(f"placement: order is not a permutation of {self.channels} channels")
        if self.strips != 1:
            self._check_strips()
            return
        one = self._within_plane().ravel()
        inside = one.min() >= 0 and one.max() < self.plane
        if not inside or np.count_nonzero(np.bincount(one, minlength=self.plane)) < one.size:
            raise ValueError(f"placement: elements overlap or leave their plane: {self}")

    def _check_strips(self) -> None:
        phases = phase_planes(self.width) if self.split else 1
        held = self.width if not self.split else (self.width + 1) // 2
        good = 1 < self.strips <= MAX_STRIPS and 0 < self.strip_step <= self.strip_bytes - self.strip_halo
        good = good and self.strip_halo >= 0
        if self.interleaved:
            good = good and held <= self.column_phase and self.strip_bytes <= self.plane
            good = good and self.row_phase == 2 * self.column_phase and 4 * self.column_phase <= self.pitch
        else:
            good = good and phases * self.strip_bytes <= self.plane and held <= self.pitch
            if self.split:
                good = good and (self.row_phase, self.column_phase) == phases_of(self.width, self.strip_bytes)
        longest = max(self.strips * self.strip_step + self.strip_bytes, self.strip_halo + self.pitch * self.height)
        if not good or self.channels * phases * longest > MAX_BYTES:
            raise ValueError(f"placement: strips do not fit their planes: {self}")

    @classmethod
    def make(cls, shape: tuple[int, int, int], split: bool = False, base: int = 0) -> Placement:
        """Densest placement of (C, H, W); split planes all have the size of the one of even rows and columns."""
        channels, height, width = shape
        if not split:
            return cls(channels, height, width, base, height * width, width)
        pitch, rows = (width + 1) // 2, (height + 1) // 2
        plane = rows * pitch
        return cls(channels, height, width, base, phase_planes(width) * plane, pitch, True, *phases_of(width, plane))

    def at(self, base: int) -> Placement:
        """The same layout from another address."""
        return replace(self, base=base)

    def widened(self, pitch: int, rows: int) -> Placement:
        """The same tensor at address 0 in (phase) planes of `rows` rows of `pitch` bytes."""
        plane = rows * pitch
        size = phase_planes(self.width) * plane if self.split else plane
        phases = phases_of(self.width, plane) if self.split else (0, 0)
        return replace(self, base=0, plane=size, pitch=pitch, row_phase=phases[0], column_phase=phases[1])

    def of(self, channels: int, height: int, width: int, base: int) -> Placement:
        """A part of these channels' planes, or the whole, from another address."""
        return replace(self, channels=channels, height=height, width=width, base=base, order=None)

    def ordered(self, order: NDArray[np.integer] | tuple[int, ...]) -> Placement:
        """The same layout with channel `order[p]` at position p."""
        return replace(self, order=tuple(int(channel) for channel in order))

    @property
    def interleaved(self) -> bool:
        """Whether the phase planes of a tensor in strips lie side by side, in rows of `pitch` bytes."""
        return self.split and self.strips > 1 and 0 < self.column_phase < self.pitch

    @property
    def size(self) -> int:
        """Bytes from `base` to the end of the last plane."""
        return self.channels * self.plane

    @property
    def padded_size(self) -> int:
        """`size` in whole beats: what LOAD and STORE move of a strip."""
        return -(-self.size // BEAT_BYTES) * BEAT_BYTES

    @property
    def packed_size(self) -> int:
        """Bytes of all strips in DRAM, one after the other."""
        return self.strips * self.padded_size

    def tap(self, i: int, j: int) -> Tap:
        """The tap of kernel position (i, j), relative to the output's pixel; negative ones lie in the padding.

        A split tensor is read with stride 2, any other with stride 1. In strips, flat pixel 0 is the strip's first.
        """
        if not self.split:
            shift = i * self.pitch + j
            end = (self.height - 1) * self.pitch + self.width
            return Tap(self.base + self.strip_halo + shift, shift, end, j, self.width)
        phase = (i % 2) * self.row_phase + (j % 2) * self.column_phase
        shift = (i // 2) * self.pitch + j // 2
        rows, columns = (self.height - i % 2 + 1) // 2, (self.width - j % 2 + 1) // 2
        end = (rows - 1) * self.pitch + columns if rows and columns else 0
        return Tap(self.base + phase + self.strip_halo + shift, shift, end, j // 2, columns)

    def bytes_above(self, row: int) -> int:
        """From the start of a (phase) plane to a row, even where the tensor is split."""
        return (row // 2 if self.split else row) * self.pitch

    def row_address(self, h: int) -> int:
        """`x_address` of a LAYER whose first output row is h; ValueError for an odd row of a split tensor."""
        if self.split and h % 2:
            raise ValueError(f"row {h} of a split tensor does not start its first plane")
        return self.base + self.bytes_above(h)

    def takes_words(self, pitch: int, width: int, pixels: int) -> bool:
        """Whether words of rows of `width` pixels, computed `pitch` apart, are written as they are.

        Of strips, it must be whole words that a lane keeps.
        """
        whole = self.strip_halo % pixels == self.strip_bytes % pixels == 0
        return not self.split and pitch == self.pitch == width and whole

    def _within_plane(self) -> NDArray[np.int64]:
        h, w = np.arange(self.height, dtype=np.int64)[:, None], np.arange(self.width, dtype=np.int64)
        if not self.split:
            return h * self.pitch + w
        return h % 2 * self.row_phase + w % 2 * self.column_phase + h // 2 * self.pitch + w // 2

    def _positions(self) -> NDArray[np.int64]:
        """Where each channel is stored."""
        position = np.arange(self.channels, dtype=np.int64)
        return position if self.order is None else np.argsort(np.array(self.order, dtype=np.int64))

    def offsets(self) -> NDArray[np.int64]:
        """Byte address of every element: (C, H, W) int64. ValueError for a tensor in strips."""
        if self.strips != 1:
            raise ValueError("a tensor in strips has no element at one address")
        return self.base + self._positions()[:, None, None] * self.plane + self._within_plane()

    def pack(self, x: NDArray[np.int8]) -> bytes:
        """The `packed_size` bytes that hold x (C, H, W) int8, strip by strip; bytes between elements are zero.

        ValueError for another shape or dtype.
        """
        if x.dtype != np.int8 or x.shape != (self.channels, self.height, self.width):
            shape = (self.channels, self.height, self.width)
            raise ValueError(f"placement holds int8 {shape}, not {x.dtype} {x.shape}")
        if self.strips != 1:
            return self._pack_strips(x)
        memory = np.zeros(self.padded_size, np.int8)
        memory[self.offsets() - self.base] = x
        return memory.tobytes()

    def _pack_strips(self, x: NDArray[np.int8]) -> bytes:
        phases = phase_planes(self.width) if self.split and not self.interleaved else 1
        length = self.strips * self.strip_step + self.strip_bytes
        length = max(length, self.strip_halo + self.height * self.pitch)
        flat = np.zeros((self.channels, phases, length), np.int8)
        h, w = np.arange(self.height)[:, None], np.arange(self.width)
        phase = h % 2 * (phases // 2) + w % 2 if phases > 1 else 0 * (h + w)
        pixel = h // 2 * self.pitch + w // 2 if self.split else h * self.pitch + w
        if self.interleaved:
            pixel += h % 2 * self.row_phase + w % 2 * self.column_phase
        flat[self._positions()[:, None, None], phase, self.strip_halo + pixel] = x
        memory = np.zeros((self.strips, self.padded_size), np.int8)
        for strip, one in enumerate(memory):
            held = flat[:, :, strip * self.strip_step :][:, :, : self.strip_bytes]
            planes = one[: self.size].reshape(self.channels, self.plane)
            planes[:, : phases * self.strip_bytes] = held.reshape(self.channels, -1)
        return memory.tobytes()

    def unpack(self, memory: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.int8]:
        """The tensor (C, H, W) int8 in the bytes from `base`; ValueError for fewer than `size`, or in strips."""
        if len(memory) < self.size:
            raise ValueError(f"placement of {self.size} bytes, not {len(memory)}")
        return np.frombuffer(memory, np.int8)[self.offsets() - self.base]
