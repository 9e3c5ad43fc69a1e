"""The spanning tree of `headrace.spanning`, native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from . import library

STEP = 64
"""Rows between two looks at Ctrl-C."""


def spanning_tree(
    rows: npt.NDArray[np.int16], progress: Callable[[int, int], None] | None = None
) -> npt.NDArray[np.int64]:
    """As `headrace.spanning.spanning_tree`; `rows` (M, K) is C-contiguous."""
    count, positions = rows.shape
    narrow = rows.size == 0 or (rows.min() >= -128 and rows.max() <= 127)
    data = np.ascontiguousarray(rows, np.int8 if narrow else np.int16)
    kernel = library().hr_grow_tree8 if narrow else library().hr_grow_tree16
    kernel.restype = ctypes.c_int64
    outside = np.arange(count, dtype=np.int64)
    distance = np.count_nonzero(rows, axis=1).astype(np.int64)
    nearest, parent = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
    state = [ctypes.c_void_p(part.ctypes.data) for part in (outside, distance, nearest, parent)]
    left = count
    while left:
        if progress is not None:
            progress(count - left, count)
        left = kernel(
            ctypes.c_void_p(data.ctypes.data),
            ctypes.c_int64(positions),
            state[0],
            ctypes.c_int64(left),
            *state[1:],
            ctypes.c_int64(STEP),
        )
    return parent
