"""The spanning tree against the textbook's: least total distance, and the promised ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace import native
from headrace.spanning import ROOT, _spanning_tree, spanning_tree


def kruskal(W: np.ndarray) -> int:
    """Total distance of a minimum spanning tree over the rows and a row of zeros."""
    rows = np.vstack([np.zeros((1, W.shape[1]), W.dtype), W])
    edges = sorted(
        (int(np.count_nonzero(rows[a] != rows[b])), a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))
    )
    group, total = list(range(len(rows))), 0
    for distance, a, b in edges:
        if group[a] != group[b]:
            total += distance
            group = [group[a] if part == group[b] else part for part in group]
    return total


def weight(W: np.ndarray, parent: np.ndarray) -> int:
    return sum(int(np.count_nonzero(W[r] - (W[p] if p != ROOT else 0))) for r, p in enumerate(parent.tolist()))


@given(st.integers(0, 2**32 - 1), st.integers(0, 14), st.integers(0, 20), st.integers(1, 3))
@settings(deadline=None)
def test_least_total_distance(seed: int, rows: int, positions: int, values: int) -> None:
    W = np.random.default_rng(seed).integers(-values, values + 1, (rows, positions)).astype(np.int16)
    parent = spanning_tree(W)
    assert parent.dtype == np.int64 and parent.shape == (rows,)
    assert weight(W, parent) == kruskal(W)
    for row in range(rows):  # every row leads to the root
        steps = 0
        while row != ROOT:
            row, steps = int(parent[row]), steps + 1
            assert steps <= rows


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 300), st.sampled_from([1, 120, 255]))
@settings(deadline=None)
def test_native_is_the_same(seed: int, rows: int, positions: int, values: int) -> None:
    if not native.available():
        pytest.skip("no native kernels")
    rng = np.random.default_rng(seed)
    W = (rng.integers(-values, values + 1, (rows, positions)) * (rng.random((rows, positions)) < 0.3)).astype(np.int16)
    assert np.array_equal(spanning_tree(W), _spanning_tree(W, None))


def test_ties() -> None:
    equal = np.ones((4, 3), np.int16)
    assert spanning_tree(equal).tolist() == [ROOT, 0, 0, 0]
    far = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.int16)
    assert spanning_tree(far).tolist() == [ROOT] * 3


def test_progress() -> None:
    calls: list[tuple[int, int]] = []
    spanning_tree(np.eye(200, dtype=np.int16), lambda done, total: calls.append((done, total)))
    assert calls and all(total == 200 for _, total in calls)
