"""Layers with weights: convolution and matrix product, each with one requantisation a channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from . import model
from .geometry import Padding, Pair, Shape, check_groups, check_names, check_stride, check_whole, window_counts
from .isa import MULTIPLIER_BITS, SHIFT_BITS


@dataclass(frozen=True, eq=False)
class Weighted:
    """What layers with weights share: `requant(sums(x), bias, multiplier, shift, low, high)`.

    weights int8, first axis the M output channels; bias, multiplier (0..65535), shift (1..63) integers (M,), kept as
    int64; -128 <= low <= high <= 127 (low = 0 is ReLU). All arrays are copied and read-only. `inputs` names what the
    layer reads, see `Network`. ValueError naming the layer for anything else.
    """

    name: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    low: int = -128
    high: int = 127
    inputs: tuple[str, ...] = field(default=(), kw_only=True)

    axes: ClassVar[str] = ""
    kind: ClassVar[str] = ""

    def __post_init__(self) -> None:
        axes = self.axes.split()
        w = np.array(self.weights)
        if w.dtype != np.int8 or w.ndim != len(axes) or w.size == 0:
            raise ValueError(f"{self.name}: weights must be int8 ({', '.join(axes)}), not {w.dtype} {w.shape}")
        self._keep("weights", w)
        limits = {"bias": (-(1 << 45), 1 << 45), "multiplier": (0, 1 << MULTIPLIER_BITS), "shift": (1, 1 << SHIFT_BITS)}
        for key, (low, end) in limits.items():
            values = np.asarray(getattr(self, key))
            if values.shape != w.shape[:1] or not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{self.name}: {key} must be {len(w)} integers, not {values.dtype} {values.shape}")
            if values.min() < low or values.max() >= end:
                raise ValueError(f"{self.name}: {key} must be in {low}..{end - 1}")
            self._keep(key, values.astype(np.int64))
        if not -128 <= self.low <= self.high <= 127:
            raise ValueError(f"{self.name}: limits {self.low}, {self.high} are not ordered in -128..127")
        object.__setattr__(self, "inputs", check_names(self.name, self.inputs))

    def _keep(self, key: str, values: NDArray[np.generic]) -> None:
        values.flags.writeable = False
        object.__setattr__(self, key, values)

    def _requant(self, acc: NDArray[np.int64]) -> NDArray[np.int8]:
        return model.requant(acc, self.bias, self.multiplier, self.shift, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Conv2d(Weighted):
    """Cross-correlation, weights (M, C // groups, kh, kw): `requant(conv(x) + skip[m] * r[m])`.

    x = inputs[0] is (C, H, W). `stride` 1 or 2 along both axes (an axis of length 1 stays 1); `padding` (top, left,
    bottom, right) rows and columns of zeros; `dilation` elements from tap to tap, (rows, columns); output channel m
    reads the C // groups channels of group m // (M // groups). So H' = (H + top + bottom - dh * (kh - 1) - 1) //
    stride + 1, W' alike. r = inputs[1], of the output's shape, is read iff `skip`, int8 (M,), is not None: the
    addition of a residual, as one more tap with a weight a channel.
    """

    stride: int = field(default=1, kw_only=True)
    padding: Padding = field(default=(0, 0, 0, 0), kw_only=True)
    dilation: Pair = field(default=(1, 1), kw_only=True)
    groups: int = field(default=1, kw_only=True)
    skip: NDArray[np.int8] | None = field(default=None, kw_only=True)

    axes: ClassVar[str] = "M C kh kw"
    kind: ClassVar[str] = "conv2d"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stride", check_stride(self.name, self.stride))
        object.__setattr__(self, "padding", check_whole(f"{self.name}: padding", self.padding, 4, 0))
        object.__setattr__(self, "dilation", check_whole(f"{self.name}: dilation", self.dilation, 2, 1))
        object.__setattr__(self, "groups", check_groups(self.name, self.groups, len(self.weights)))
        if self.skip is not None:
            skip = np.array(self.skip)
            if skip.dtype != np.int8 or skip.shape != self.weights.shape[:1]:
                raise ValueError(f"{self.name}: skip must be {len(self.weights)} int8, not {skip.dtype} {skip.shape}")
            self._keep("skip", skip)

    @property
    def kernel(self) -> Pair:
        """Taps along height and width."""
        return self.weights.shape[2], self.weights.shape[3]

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError for too many or few inputs, other channels, no window, or a residual of another shape."""
        expected = 1 if self.skip is None else 2
        if len(shapes) != expected:
            with_skip = "without skip" if self.skip is None else "with skip"
            raise ValueError(f"{self.name}: a convolution {with_skip} reads {expected} inputs, not {len(shapes)}")
        shape = shapes[0]
        counts = window_counts(shape[1:], self.kernel, self.stride, self.padding, self.dilation)
        if shape[0] != self.weights.shape[1] * self.groups or min(counts) < 1:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shape}")
        result = (len(self.weights), *counts)
        if shapes[1:] not in ((), (result,)):
            raise ValueError(f"{self.name}: the residual is {shapes[1]}, the output {result}")
        return result

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W) and, with skip, r (N, M, H', W'): (N, M, H', W')."""
        acc = model.conv2d(inputs[0], self.weights, self.stride, self.padding, self.groups, self.dilation)
        if self.skip is not None:
            acc += self.skip.astype(np.int64)[:, None, None] * inputs[1]
        return self._requant(acc)


@dataclass(frozen=True, eq=False)
class Linear(Weighted):
    """Matrix product: weights (M, K). A spatial input is flattened in (C, H, W) order."""

    axes: ClassVar[str] = "M K"
    kind: ClassVar[str] = "linear"
    stride: ClassVar[int] = 1

    def output_shape(self, *shapes: Shape) -> Shape:
        """ValueError unless there is one input, of K elements."""
        m, k = self.weights.shape
        if len(shapes) != 1:
            raise ValueError(f"{self.name}: a matrix product reads 1 input, not {len(shapes)}")
        if shapes[0][0] * shapes[0][1] * shapes[0][2] != k:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shapes[0]}")
        return m, 1, 1

    def run(self, *inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W) with C * H * W = K: (N, M, 1, 1)."""
        x = inputs[0]
        return self._requant(model.linear(x.reshape(len(x), -1), self.weights))[:, :, None, None]
