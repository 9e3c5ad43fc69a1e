"""Shapes of tensors and of the windows that slide over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Shape = tuple[int, int, int]
"""Channels, height, width; a signal of W samples is (C, 1, W), a vector of M elements (M, 1, 1)."""
Padding = tuple[int, int, int, int]
"""Rows above, columns to the left, rows below, columns to the right."""
Pair = tuple[int, int]
"""Along height, along width."""


def check_whole(owner: str, values: Sequence[int], count: int, low: int) -> tuple[int, ...]:
    """`values` as a tuple of int; ValueError, with `owner` in front, unless they are `count` integers >= low."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != count:
        raise ValueError(f"{owner} must be {count} integers, not {values!r}")
    if not all(isinstance(v, (int, np.integer)) and v >= low for v in values):
        raise ValueError(f"{owner} must be {count} integers from {low} on, not {values!r}")
    return tuple(int(v) for v in values)


def check_names(name: str, inputs: Sequence[str]) -> tuple[str, ...]:
    """`inputs` as a tuple; ValueError naming the layer unless it is a sequence of names, and not a lone name."""
    if isinstance(inputs, str) or not all(isinstance(value, str) for value in inputs):
        raise ValueError(f"{name}: inputs must be a sequence of names, not {inputs!r}")
    return tuple(inputs)


def check_stride(name: str, stride: int) -> int:
    """`stride` as an int; ValueError naming the layer unless it is 1 or 2."""
    if not isinstance(stride, (int, np.integer)) or stride not in (1, 2):
        raise ValueError(f"{name}: stride must be 1 or 2, not {stride!r}")
    return int(stride)


def check_groups(name: str, groups: int, channels: int) -> int:
    """`groups` as an int; ValueError naming the layer unless so many groups divide the output channels."""
    if not isinstance(groups, (int, np.integer)) or groups < 1 or channels % groups:
        raise ValueError(f"{name}: {channels} channels do not form {groups!r} groups")
    return int(groups)


def extent(kernel: int, dilation: int) -> int:
    """From the first to the last element, both included, that `kernel` taps `dilation` apart reach."""
    return dilation * (kernel - 1) + 1


def window_counts(size: Pair, kernel: Pair, stride: int, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """Windows along both axes of a padded image; not positive where there is none."""
    top, left, bottom, right = padding
    height = (size[0] + top + bottom - extent(kernel[0], dilation[0])) // stride + 1
    return height, (size[1] + left + right - extent(kernel[1], dilation[1])) // stride + 1
