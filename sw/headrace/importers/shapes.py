"""Axes and shapes of the model, batch first, as those of its tensors without the batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .draft import MOST_AXES, Unsupported, Value


def inner_axis(axis: int, rank: int) -> int:
    """An axis of the model, of `rank` axes and the batch, without the batch. Unsupported for the batch."""
    whole = axis + rank + 1 if axis < 0 else axis
    if not 1 <= whole <= rank:
        raise Unsupported(f"axis {axis}; images of a batch are computed one by one")
    return whole - 1


def reshaped(x: Value, batch: int, target: Sequence[int], keep_zero: bool = False) -> Value:
    """`x` with the model's new shape, batch first, which may hold one -1, and 0 for a size that stays."""
    if len(target) > MOST_AXES:
        raise Unsupported(f"a shape of {len(target)} axes")
    old = (batch, *x.shape)
    sizes = [old[i] if n == 0 and not keep_zero and i < len(old) else int(n) for i, n in enumerate(target)]
    if sizes.count(-1) == 1:
        known = prod(n for n in sizes if n != -1)
        sizes[sizes.index(-1)] = prod(old) // known if known > 0 else 0
    if prod(sizes) != prod(old) or min(sizes, default=0) < 1 or sizes[0] != batch:
        raise Unsupported(f"{tuple(old)} is reshaped to {tuple(target)}; the first axis, the batch, must stay")
    return x.reshape(sizes[1:])
