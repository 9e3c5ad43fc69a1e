"""Which row resembles which: the minimum spanning tree of rows under the number of entries that differ."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from . import native

IntArray = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]

ROOT = -1
"""Parent of a row that starts from zero."""


def spanning_tree(W: npt.ArrayLike, progress: Progress | None = None) -> IntArray:
    """The tree of fewest differences: the row that each row is best sent as a difference from.

    The root is a row of zeros, so a row without a close relative hangs from it, at the cost of its nonzeros. Distances
    are symmetric, so that the minimum spanning tree is the minimum arborescence. They are computed as they are needed:
    time O(M^2 K), memory O(M).

    Args:
        W: integers of at most 16 bits (M, K).
        progress: called with (rows done, M).

    Returns:
        int64 (M,), the parent of each row or ROOT. Among equals the root, then the row that joined the tree earlier; of
        rows equally close to the tree the first joins next.

    Source: R. C. Prim, "Shortest connection networks and some generalizations", Bell Syst. Tech. J. 36(6), 1957.
    """
    rows = np.ascontiguousarray(W, np.int16)
    if native.available():
        from .native.planning import spanning_tree as native_tree

        return native_tree(rows, progress)
    return _spanning_tree(rows, progress)


def _spanning_tree(rows: npt.NDArray[np.int16], progress: Progress | None) -> IntArray:
    """The same on NumPy alone."""
    count = len(rows)
    outside = np.ones(count, np.bool_)
    distance, parent = np.count_nonzero(rows, axis=1), np.full(count, ROOT, np.int64)
    for done in range(count):
        if progress is not None and done % 64 == 0:
            progress(done, count)
        left = np.flatnonzero(outside)
        joined = left[np.argmin(distance[left])]
        outside[joined] = False
        left = left[left != joined]
        differing = np.count_nonzero(rows[left] != rows[joined], axis=1)
        closer = left[differing < distance[left]]
        distance[closer] = differing[differing < distance[left]]
        parent[closer] = joined
    return parent
