"""What the host does to a network's input before the device, and to its output after."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError
from headrace.geometry import Shape

Floats = NDArray[np.float32]
STEPS = ("softmax", "log_softmax", "sigmoid")


@dataclass(frozen=True, eq=False)
class Input:
    """From the model's own input (N, *model_shape) to the device's (N, *shape).

    In this order: `table` (V, D), if any, in which integers of the input are looked up, which adds an axis of D;
    `order`, if any, int64 of `shape`: the element of the flattened x that lies at each place, else x is reshaped to
    `shape`; `scale` and `offset`, (C,) each, if any: x * scale + offset.
    """

    shape: Shape
    model_shape: tuple[int, ...]
    table: Floats | None = None
    scale: Floats | None = None
    offset: Floats | None = None
    order: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        values = prod(self.model_shape) * (1 if self.table is None else self.table.shape[1])
        if len(self.shape) != 3 or min(self.shape) < 1 or prod(self.shape) != values:
            raise ValueError(f"input {self.model_shape} does not become {self.shape}")
        if self.order is not None and self.order.shape != self.shape:
            raise ValueError(f"input: order {self.order.shape} is not of shape {self.shape}")
        for key in ("scale", "offset"):
            values = getattr(self, key)
            if values is not None and values.shape != self.shape[:1]:
                raise ValueError(f"input: {key} {values.shape} does not fit {self.shape[0]} channels")

    def feed(self, x: NDArray[np.generic]) -> Floats:
        """(N, *model_shape) real or integer to (N, *shape) float32. DataError for another shape, or an index outside
        the table."""
        if x.shape[1:] != self.model_shape or x.dtype.kind not in "fiub":
            wanted = ", ".join(map(str, ("N", *self.model_shape)))
            raise DataError(f"input must be numbers ({wanted}), not {x.dtype} {x.shape}")
        if self.table is not None:
            if x.dtype.kind not in "iu" or (x.size and not 0 <= int(x.min()) <= int(x.max()) < len(self.table)):
                raise DataError(f"input must be integers from 0 to {len(self.table) - 1}")
            x = self.table[x]
        with np.errstate(over="ignore"):  # whoever needs finite numbers looks for others
            flat = x.astype(np.float32).reshape(len(x), prod(x.shape[1:]))
        y = (flat if self.order is None else flat[:, self.order.ravel()]).reshape(len(x), *self.shape)
        if self.scale is not None:
            y = y * self.scale[:, None, None]
        return y if self.offset is None else y + self.offset[:, None, None]


@dataclass(frozen=True, eq=False)
class Output:
    """From the device's output (N, *shape) to the model's own (N, *model_shape).

    `order`, int64 of `model_shape`, if any: the element of the flattened output that lies at each place; then `steps`,
    each one of STEPS with the axis of the model's output, the batch being axis 0.
    """

    shape: Shape
    model_shape: tuple[int, ...]
    order: NDArray[np.int64] | None = None
    steps: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        if self.order is None and prod(self.shape) != prod(self.model_shape):
            raise ValueError(f"output {self.shape} does not become {self.model_shape}")
        if self.order is not None and self.order.shape != self.model_shape:
            raise ValueError(f"output: order {self.order.shape} is not of shape {self.model_shape}")
        for step, axis in self.steps:
            if step not in STEPS or not 1 <= axis <= len(self.model_shape):
                raise ValueError(f"output: no step {step!r} along axis {axis}")

    def deliver(self, y: NDArray[np.floating]) -> Floats:
        """(N, *shape) or (N, values) real to (N, *model_shape) float32."""
        flat = y.reshape(len(y), prod(y.shape[1:])).astype(np.float32)
        result = (flat if self.order is None else flat[:, self.order.ravel()]).reshape(len(y), *self.model_shape)
        for step, axis in self.steps:
            result = _step(step, axis, result)
        return result


def _step(step: str, axis: int, y: Floats) -> Floats:
    if step == "sigmoid":
        return np.float32(0.5) * (np.tanh(np.float32(0.5) * y) + np.float32(1))
    shifted = y - y.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    return shifted - np.log(total) if step == "log_softmax" else np.exp(shifted) / total
