"""One node of an exported program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import operations as ops
from .draft import Draft, Node, Unsupported, Value


@dataclass(frozen=True)
class Call:
    """One node and its arguments by name, those that have their default value left out."""

    draft: Draft
    node: Node
    arguments: Mapping[str, Any]
    batch: int

    def get(self, key: str, default: Any = None) -> Any:
        """An argument, or what it is where it is left out."""
        value = self.arguments.get(key)
        return default if value is None else value

    def tensor(self, key: str) -> Value:
        """An argument that depends on the model's input."""
        value = self.arguments.get(key)
        if not isinstance(value, Value):
            raise Unsupported(f"{key} is a constant or missing; the device computes on activations there")
        return value

    def floats(self, key: str) -> NDArray[np.float32] | None:
        """An argument that does not, float32, or None."""
        value = self.arguments.get(key)
        if isinstance(value, Value):
            raise Unsupported(f"{key} is computed, and the device takes constants there")
        return None if value is None else ops.floats(value)

    def weights(self, key: str = "weight") -> NDArray[np.float32]:
        """`floats` that must be there."""
        value = self.floats(key)
        if value is None:
            raise Unsupported(f"no {key}")
        return value
