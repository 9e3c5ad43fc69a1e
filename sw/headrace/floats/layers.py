"""Layers in real numbers, each of them one that the device has.

All tensors are float32 (N, C, H, W); a signal of W samples is (C, 1, W), a vector of M elements (M, 1, 1). Strides are
1 or 2. Every constructor raises ValueError naming the layer for anything but what its docstring says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Padding, Pair, Shape, check_groups, check_names, check_stride, check_whole, window_counts

from . import arith

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FloatLayer(ABC):
    """A name, and the names of the layers that it reads; "input" is the network's input."""

    name: str
    inputs: tuple[str, ...]

    reads: ClassVar[int] = 1
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        inputs = check_names(self.name, self.inputs)
        if len(inputs) != self.reads and not (self.reads == 0 and len(inputs) > 1):
            raise ValueError(f"{self.name}: a {self.kind} reads {self.reads or '2 or more'} inputs, not {len(inputs)}")
        object.__setattr__(self, "inputs", inputs)

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Of the output, from those of the inputs. ValueError where they do not fit."""

    @abstractmethod
    def run(self, *inputs: Floats) -> Floats:
        """The output (N, *output_shape) for inputs (N, C, H, W) that fit."""


@dataclass(frozen=True, eq=False)
class Limited(FloatLayer):
    """A layer whose outputs are limited: low <= y <= high, low = 0 is ReLU, (0, 6) ReLU6; infinite without limits."""

    low: float = field(default=-inf, kw_only=True)
    high: float = field(default=inf, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isnan(self.low) or isnan(self.high) or not self.low <= self.high:
            raise ValueError(f"{self.name}: limits {self.low}, {self.high} are not ordered")

    def limit(self, y: Floats) -> Floats:
        """y within the limits."""
        if self.low == -inf and self.high == inf:
            return y
        return np.clip(y, np.float32(self.low), np.float32(self.high))


@dataclass(frozen=True, eq=False)
class Weighted(Limited):
    """Weights, first axis the M output channels, and bias (M,): float32, finite, copied, read-only."""

    weights: Floats = field(kw_only=True)
    bias: Floats = field(kw_only=True)

    axes: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, ndim in (("weights", len(self.axes.split())), ("bias", 1)):
            values = np.array(getattr(self, key))
            if values.dtype != np.float32 or values.ndim != ndim or values.size == 0:
                raise ValueError(
                    f"{self.name}: {key} must be float32 of {ndim} axes, not {values.dtype} {values.shape}"
                )
            if not np.isfinite(values).all():
                raise ValueError(f"{self.name}: {key} hold a NaN or an infinity")
            values.flags.writeable = False
            object.__setattr__(self, key, values)
        if self.bias.shape != self.weights.shape[:1]:
            raise ValueError(f"{self.name}: bias {self.bias.shape} does not fit weights {self.weights.shape}")


@dataclass(frozen=True, eq=False)
class Conv(Weighted):
    """Cross-correlation with weights (M, C // groups, kh, kw), zeros around x: padding (top, left, bottom, right).

    H' = (H + top + bottom - dh * (kh - 1) - 1) // stride + 1, W' alike.
    """

    stride: int = field(default=1, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)
    dilation: Pair = field(default=(1, 1), kw_only=True)
    groups: int = field(default=1, kw_only=True)

    axes: ClassVar[str] = "M C kh kw"
    kind: ClassVar[str] = "convolution"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stride", check_stride(self.name, self.stride))
        object.__setattr__(self, "padding", check_whole(f"{self.name}: padding", self.padding, 4, 0))
        object.__setattr__(self, "dilation", check_whole(f"{self.name}: dilation", self.dilation, 2, 1))
        object.__setattr__(self, "groups", check_groups(self.name, self.groups, len(self.weights)))

    @property
    def kernel(self) -> Pair:
        """Taps along height and width."""
        return self.weights.shape[2], self.weights.shape[3]

    def output_shape(self, *shapes: Shape) -> Shape:
        counts = window_counts(shapes[0][1:], self.kernel, self.stride, self.padding, self.dilation)
        if shapes[0][0] != self.weights.shape[1] * self.groups or min(counts) < 1:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shapes[0]}")
        return len(self.weights), *counts

    def run(self, *inputs: Floats) -> Floats:
        y = arith.conv2d(inputs[0], self.weights, self.stride, self.padding, self.dilation, self.groups)
        return self.limit(y + self.bias[:, None, None])


@dataclass(frozen=True, eq=False)
class Linear(Weighted):
    """Product with weights (M, K) of all C * H * W = K numbers of x, in that order: (M, 1, 1)."""

    axes: ClassVar[str] = "M K"
    kind: ClassVar[str] = "matrix product"

    def output_shape(self, *shapes: Shape) -> Shape:
        m, k = self.weights.shape
        if shapes[0][0] * shapes[0][1] * shapes[0][2] != k:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shapes[0]}")
        return m, 1, 1

    def run(self, *inputs: Floats) -> Floats:
        y = arith.product(inputs[0].reshape(len(inputs[0]), self.weights.shape[1]), self.weights.T) + self.bias
        return self.limit(y)[:, :, None, None]


@dataclass(frozen=True, eq=False)
class Add(Limited):
    """Sum of two tensors of one shape."""

    reads: ClassVar[int] = 2
    kind: ClassVar[str] = "addition"

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0] != shapes[1]:
            raise ValueError(f"{self.name}: {shapes[0]} and {shapes[1]} are added")
        return shapes[0]

    def run(self, *inputs: Floats) -> Floats:
        return self.limit(inputs[0] + inputs[1])


@dataclass(frozen=True, eq=False)
class MaxPool(FloatLayer):
    """Maximum over kernel x kernel windows, kernel 2 to 11; padding less than the kernel, of -infinity."""

    kernel: int = field(default=2, kw_only=True)
    stride: int = field(default=2, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)

    kind: ClassVar[str] = "maximum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.kernel, (int, np.integer)) or not 2 <= self.kernel <= 11:
            raise ValueError(f"{self.name}: kernel must be in 2..11, not {self.kernel!r}")
        object.__setattr__(self, "stride", check_stride(self.name, self.stride))
        object.__setattr__(self, "padding", _check_padding(self.name, self.padding, (self.kernel, self.kernel)))

    def output_shape(self, *shapes: Shape) -> Shape:
        return _pooled(self.name, shapes[0], (self.kernel, self.kernel), self.stride, self.padding)

    def run(self, *inputs: Floats) -> Floats:
        return arith.max_pool2d(inputs[0], self.kernel, self.stride, self.padding)


@dataclass(frozen=True, eq=False)
class AveragePool(Limited):
    """Mean over windows of kernel (kh, kw); padding less than the kernel, of zeros, which count."""

    kernel: Pair = field(default=(2, 2), kw_only=True)
    stride: int = field(default=2, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)

    kind: ClassVar[str] = "average"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kernel", check_whole(f"{self.name}: kernel", self.kernel, 2, 1))
        object.__setattr__(self, "stride", check_stride(self.name, self.stride))
        object.__setattr__(self, "padding", _check_padding(self.name, self.padding, self.kernel))

    def output_shape(self, *shapes: Shape) -> Shape:
        return _pooled(self.name, shapes[0], self.kernel, self.stride, self.padding)

    def run(self, *inputs: Floats) -> Floats:
        return self.limit(arith.average_pool2d(inputs[0], self.kernel, self.stride, self.padding))


@dataclass(frozen=True, eq=False)
class GlobalAveragePool(Limited):
    """Mean over all H x W: (C, 1, 1)."""

    kind: ClassVar[str] = "global average"

    def output_shape(self, *shapes: Shape) -> Shape:
        return shapes[0][0], 1, 1

    def run(self, *inputs: Floats) -> Floats:
        return self.limit(inputs[0].mean(axis=(2, 3), keepdims=True))


@dataclass(frozen=True, eq=False)
class Concat(FloatLayer):
    """Channels of two or more tensors of equal height and width, one after the other."""

    reads: ClassVar[int] = 0
    kind: ClassVar[str] = "concatenation"

    def output_shape(self, *shapes: Shape) -> Shape:
        if len({shape[1:] for shape in shapes}) > 1:
            raise ValueError(f"{self.name}: {', '.join(map(str, shapes))} differ in height or width")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]

    def run(self, *inputs: Floats) -> Floats:
        return np.concatenate(inputs, axis=1)


def _check_padding(name: str, padding: Sequence[int], kernel: Pair) -> tuple[int, ...]:
    """Less than the kernel on each side: no window lies in the padding alone."""
    checked = check_whole(f"{name}: padding", padding, 4, 0)
    if max(checked[0::2]) >= kernel[0] or max(checked[1::2]) >= kernel[1]:
        raise ValueError(f"{name}: padding {checked} must be less than the kernel, {kernel[0]} x {kernel[1]}")
    return checked


def _pooled(name: str, shape: Shape, kernel: Pair, stride: int, padding: Padding) -> Shape:
    counts = window_counts(shape[1:], kernel, stride, padding)
    if min(counts) < 1:
        raise ValueError(f"{name}: no {kernel[0]} x {kernel[1]} window in an input of {shape}")
    return shape[0], *counts
