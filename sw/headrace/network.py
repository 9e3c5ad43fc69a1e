"""A quantised network: int8 weights and activations, one requantisation a channel, and its exact meaning (`run`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from . import model
from .isa import MULTIPLIER_BITS, SHIFT_BITS

Shape = tuple[int, int, int]
"""Channels, height, width; a vector of M elements is (M, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Weighted:
    """What layers with weights share: `requant(sums(x), bias, multiplier, shift, low, high)`.

    weights int8, first axis the M output channels; bias, multiplier (0..65535), shift (1..63) integers (M,), kept as
    int64; -128 <= low <= high <= 127 (low = 0 is ReLU). All arrays are copied and read-only.
    ValueError naming the layer for anything else.
    """

    name: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    low: int = -128
    high: int = 127

    axes: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    stride: ClassVar[int] = 1

    def __post_init__(self) -> None:
        axes = self.axes.split()
        w = np.array(self.weights)
        if w.dtype != np.int8 or w.ndim != len(axes) or w.size == 0:
            raise ValueError(f"{self.name}: weights must be int8 ({', '.join(axes)}), not {w.dtype} {w.shape}")
        _keep(self, "weights", w)
        limits = {"bias": (-(1 << 45), 1 << 45), "multiplier": (0, 1 << MULTIPLIER_BITS), "shift": (1, 1 << SHIFT_BITS)}
        for key, (low, end) in limits.items():
            values = np.asarray(getattr(self, key))
            if values.shape != w.shape[:1] or not np.issubdtype(values.dtype, np.integer):
                raise ValueError(f"{self.name}: {key} must be {len(w)} integers, not {values.dtype} {values.shape}")
            if values.min() < low or values.max() >= end:
                raise ValueError(f"{self.name}: {key} must be in {low}..{end - 1}")
            _keep(self, key, values.astype(np.int64))
        if not -128 <= self.low <= self.high <= 127:
            raise ValueError(f"{self.name}: limits {self.low}, {self.high} are not ordered in -128..127")

    def _requant(self, acc: NDArray[np.int64]) -> NDArray[np.int8]:
        return model.requant(acc, self.bias, self.multiplier, self.shift, self.low, self.high)


@dataclass(frozen=True, eq=False)
class Conv2d(Weighted):
    """Cross-correlation, stride 1, no padding: weights (M, C, kh, kw)."""

    axes: ClassVar[str] = "M C kh kw"
    kind: ClassVar[str] = "conv2d"

    def output_shape(self, shape: Shape) -> Shape:
        """ValueError where the input has other channels, or is smaller than the kernel."""
        m, c, kh, kw = self.weights.shape
        if shape[0] != c or shape[1] < kh or shape[2] < kw:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shape}")
        return m, shape[1] - kh + 1, shape[2] - kw + 1

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W): (N, M, H - kh + 1, W - kw + 1)."""
        return self._requant(model.conv2d(x, self.weights))


@dataclass(frozen=True, eq=False)
class Linear(Weighted):
    """Matrix product: weights (M, K). A spatial input is flattened in (C, H, W) order."""

    axes: ClassVar[str] = "M K"
    kind: ClassVar[str] = "linear"

    def output_shape(self, shape: Shape) -> Shape:
        """ValueError where the input has not K elements."""
        m, k = self.weights.shape
        if shape[0] * shape[1] * shape[2] != k:
            raise ValueError(f"{self.name}: weights {self.weights.shape} do not fit an input of {shape}")
        return m, 1, 1

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W) with C * H * W = K: (N, M, 1, 1)."""
        return self._requant(model.linear(x.reshape(len(x), -1), self.weights))[:, :, None, None]


@dataclass(frozen=True)
class MaxPool2d:
    """Maximum over 2 x 2 windows, stride 2; an odd last row or column is dropped.

    The device has this one size so far (`kernel` must be 2): its four taps lie in the four planes of a split tensor.
    """

    name: str
    kernel: int = 2

    kind: ClassVar[str] = "maxpool2d"
    stride: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.kernel != 2:
            raise ValueError(f"{self.name}: max pooling is 2 x 2 with stride 2, not {self.kernel}")

    def output_shape(self, shape: Shape) -> Shape:
        """ValueError where the input holds no window."""
        if min(shape[1:]) < 2:
            raise ValueError(f"{self.name}: no 2 x 2 window in an input of {shape}")
        return shape[0], shape[1] // 2, shape[2] // 2

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """x (N, C, H, W): (N, C, H // 2, W // 2)."""
        return model.max_pool2d(x, 2).astype(np.int8, copy=False)


Layer = Conv2d | Linear | MaxPool2d


@dataclass(frozen=True)
class Network:
    """Layers in order, each fed by the one before.

    Real input = integer * input_scale, real output = integer * output_scale. `name` and every layer's name are for
    messages and reports. ValueError naming the layer whose shape does not fit.
    """

    name: str
    input_shape: Shape
    input_scale: float
    output_scale: float
    layers: tuple[Layer, ...]
    _shapes: tuple[Shape, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ValueError(f"{self.name}: input shape must be (C, H, W), not {self.input_shape}")
        if not self.layers:
            raise ValueError(f"{self.name}: no layers")
        for key in ("input_scale", "output_scale"):
            if not (np.isfinite(getattr(self, key)) and getattr(self, key) > 0):
                raise ValueError(f"{self.name}: {key} must be positive, not {getattr(self, key)}")
        object.__setattr__(self, "layers", tuple(self.layers))
        shapes: list[Shape] = [(int(self.input_shape[0]), int(self.input_shape[1]), int(self.input_shape[2]))]
        for layer in self.layers:
            shapes.append(layer.output_shape(shapes[-1]))
        object.__setattr__(self, "input_shape", shapes[0])
        object.__setattr__(self, "_shapes", tuple(shapes))

    def shapes(self) -> tuple[Shape, ...]:
        """The input's shape, then every layer's output."""
        return self._shapes

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output: (M,) after a linear layer, else (M, H, W)."""
        return self._flat(len(self.layers))

    def _flat(self, index: int) -> tuple[int, ...]:
        linear = index > 0 and isinstance(self.layers[index - 1], Linear)
        return self._shapes[index][:1] if linear else self._shapes[index]

    def trace(self, x: NDArray[np.int8]) -> list[NDArray[np.int8]]:
        """Every layer's output for x (N, C, H, W) int8; linear ones (N, M), others (N, M, H, W).

        ValueError for another shape or dtype.
        """
        if x.dtype != np.int8 or x.shape[1:] != self.input_shape:
            raise ValueError(f"{self.name}: input must be int8 (N, {self.input_shape}), not {x.dtype} {x.shape}")
        results = []
        for index, layer in enumerate(self.layers, 1):
            x = layer.run(x)
            results.append(x.reshape(len(x), *self._flat(index)))
        return results

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """The network's output for x (N, C, H, W) int8: (N, *output_shape) int8."""
        return self.trace(x)[-1]


def _keep(layer: Weighted, key: str, values: NDArray[np.generic]) -> None:
    values.flags.writeable = False
    object.__setattr__(layer, key, values)
