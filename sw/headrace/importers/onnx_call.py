"""One node of an ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import operations as ops
from .draft import Draft, Node, Unsupported, Value
from .shapes import inner_axis

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Call:
    """One node: its inputs in order, tensors or constants, and its attributes."""

    draft: Draft
    node: Node
    inputs: Sequence[Value | Array | None]
    attributes: Mapping[str, Any]
    version: int
    batch: int

    def tensor(self, number: int = 0) -> Value:
        """An input that depends on the model's input."""
        if len(self.inputs) <= number or not isinstance(self.inputs[number], Value):
            raise Unsupported(f"input {number + 1} is a constant or missing; the device computes on activations there")
        return self.inputs[number]  # type: ignore[return-value]

    def constant(self, number: int) -> Array | None:
        """An input that does not, or None."""
        one = self.inputs[number] if len(self.inputs) > number else None
        if isinstance(one, Value):
            raise Unsupported(f"input {number + 1} is computed, and the device takes constants there", None)
        return one

    def floats(self, number: int) -> NDArray[np.float32]:
        """A constant that must be there, float32."""
        one = self.constant(number)
        if one is None:
            raise Unsupported(f"input {number + 1} is missing")
        return ops.floats(one)

    def get(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def axis(self, default: int, rank: int) -> int:
        """The attribute, of the model's axes from 1 on, counted without the batch."""
        return inner_axis(self.get("axis", default), rank)
