"""Layers without weights: maxima, averages, concatenation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from . import model
from .geometry import Padding, Pair, Shape, check_names, check_stride, check_whole, window_counts
from .isa import MULTIPLIER_BITS, SHIFT_BITS

MAX_POOL_KERNELS = range(2, 12)


@dataclass(frozen=True)
class MaxPool2d:
    """Maximum over kernel x kernel windows, kernel 2..11, `stride` 1 or 2 (None: `kernel`; never None once made).

    `padding` (top, left, bottom, right), each less than `kernel`, counts as -128. Rows and columns that fill no whole
    window are dropped. A signal (C, 1, W) is pooled along W alone by padding that adds kernel - 1 rows to its one.
    ValueError naming the layer for anything else.
    """

    name: str
    kernel: int = 2
    stride: int | None = field(default=None, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)
    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    kind: ClassVar[str] = "maxpool2d"

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, (int, np.integer)) or self.kernel not in MAX_POOL_KERNELS:
            raise ValueError(f"{self.name}: kernel must be in 2..11, not {self.kernel!r}")
        object.__setattr__(self, "kernel", int(self.kernel))
        stride = self.kernel if self.stride is None else self.stride
        object.__setattr__(self, "stride", check_stride(self.name, stride))
        object.__setattr__(self, "padding", _check_padding(self.name, self.padding, (self.kernel, self.kernel)))
        object.__setattr__(self, "inputs", check_names(self.name, self.inputs))

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError unless there is one input, with at least one window."""
        return _pooled(self.name, shapes, (self.kernel, self.kernel), self.stride or self.kernel, self.padding)

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W): (N, C, H', W')."""
        return model.max_pool2d(inputs[0], self.kernel, self.stride, self.padding).astype(np.int8, copy=False)


@dataclass(frozen=True)
class AveragePool2d:
    """`requant` of the sum over kernel (kh, kw) windows, with no bias and one multiplier and shift for all channels.

    `multiplier` 0..65535 over 2**shift (1..63) is the scale times 1 / (kh * kw); `stride` 1 or 2; `padding` (top, left,
    bottom, right), top and bottom less than kh, left and right less than kw, counts as zeros that the divisor includes.
    ValueError naming the layer for anything else.
    """

    name: str
    kernel: Pair
    multiplier: int
    shift: int
    low: int = field(default=-128, kw_only=True)
    high: int = field(default=127, kw_only=True)
    stride: int = field(default=1, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)
    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    kind: ClassVar[str] = "averagepool2d"

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", check_whole(f"{self.name}: kernel", self.kernel, 2, 1))
        object.__setattr__(self, "stride", check_stride(self.name, self.stride))
        object.__setattr__(self, "padding", _check_padding(self.name, self.padding, self.kernel))
        object.__setattr__(self, "inputs", check_names(self.name, self.inputs))
        _check_requant(self.name, self.multiplier, self.shift, self.low, self.high)

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError unless there is one input, with at least one window."""
        return _pooled(self.name, shapes, self.kernel, self.stride, self.padding)

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W): (N, C, H', W')."""
        acc = model.sum_pool2d(inputs[0], self.kernel, self.stride, self.padding)
        return _requant(acc, self.multiplier, self.shift, self.low, self.high)


@dataclass(frozen=True)
class GlobalAveragePool:
    """`requant` of the sum over all H x W, with no bias and one multiplier and shift: (C, 1, 1).

    `multiplier` 0..65535 over 2**shift (1..63) is the scale times 1 / (H * W). ValueError naming the layer for
    anything else.
    """

    name: str
    multiplier: int
    shift: int
    low: int = -128
    high: int = 127
    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    kind: ClassVar[str] = "globalaveragepool"
    stride: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", check_names(self.name, self.inputs))
        _check_requant(self.name, self.multiplier, self.shift, self.low, self.high)

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError unless there is one input."""
        _expect_one(self.name, shapes)
        return shapes[0][0], 1, 1

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W): (N, C, 1, 1)."""
        acc = inputs[0].sum(axis=(2, 3), keepdims=True, dtype=np.int64)
        return _requant(acc, self.multiplier, self.shift, self.low, self.high)


@dataclass(frozen=True)
class Concat:
    """Channels of two or more tensors of equal height and width, one after the other. No arithmetic."""

    name: str
    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    kind: ClassVar[str] = "concat"
    stride: ClassVar[int] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", check_names(self.name, self.inputs))

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError for fewer than two inputs, or different heights or widths."""
        if len(shapes) < 2:
            raise ValueError(f"{self.name}: a concatenation reads 2 or more inputs, not {len(shapes)}")
        if len({shape[1:] for shape in shapes}) > 1:
            raise ValueError(f"{self.name}: {', '.join(map(str, shapes))} differ in height or width")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """(N, C_i, H, W) each: (N, sum of C_i, H, W)."""
        return np.concatenate(inputs, axis=1)


def _expect_one(name: str, shapes: tuple[Shape, ...]) -> None:
    if len(shapes) != 1:
        raise ValueError(f"{name}: pooling reads 1 input, not {len(shapes)}")


def _check_padding(name: str, padding: Padding, kernel: Pair) -> tuple[int, ...]:
    """Less than the kernel on each side: no window lies in the padding alone."""
    checked = check_whole(f"{name}: padding", padding, 4, 0)
    if max(checked[0::2]) >= kernel[0] or max(checked[1::2]) >= kernel[1]:
        raise ValueError(f"{name}: padding {checked} must be less than the kernel, {kernel[0]} x {kernel[1]}")
    return checked


def _pooled(name: str, shapes: tuple[Shape, ...], kernel: Pair, stride: int, padding: Padding) -> Shape:
    _expect_one(name, shapes)
    counts = window_counts(shapes[0][1:], kernel, stride, padding)
    if min(counts) < 1:
        raise ValueError(f"{name}: no {kernel[0]} x {kernel[1]} window in an input of {shapes[0]}")
    return shapes[0][0], *counts


def _check_requant(name: str, multiplier: int, shift: int, low: int, high: int) -> None:
    for key, value, first, end in (
        ("multiplier", multiplier, 0, 1 << MULTIPLIER_BITS),
        ("shift", shift, 1, 1 << SHIFT_BITS),
    ):
        if not isinstance(value, (int, np.integer)) or not first <= value < end:
            raise ValueError(f"{name}: {key} must be an integer in {first}..{end - 1}, not {value!r}")
    if not -128 <= low <= high <= 127:
        raise ValueError(f"{name}: limits {low}, {high} are not ordered in -128..127")


def _requant(acc: NDArray[np.int64], multiplier: int, shift: int, low: int, high: int) -> NDArray[np.int8]:
    one = np.ones(acc.shape[1], np.int64)
    return model.requant(acc, 0 * one, multiplier * one, shift * one, low, high)
