"""headrace.compress.sharing."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.compress.cluster import METHODS
from headrace.compress.prune import magnitude_mask
from headrace.compress.sharing import SCOPES, groups, on_grid, share_weights

pytest.importorskip("sklearn")


def layers(density: float = 0.4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = {"conv1": (4, 3, 3, 3), "fc1": (20, 30), "conv2": (6, 4, 3, 3), "fc2": (5, 20)}
    weights = {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: W * magnitude_mask(W, density) for name, W in weights.items()}


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("grid", [0, 40])
def test_codebooks(method: str, scope: str, zeros: bool, grid: int) -> None:
    weights = layers()
    books = share_weights(weights, 12, method, scope, zeros, grid)
    assert [list(book.labels) for book in books] == groups(weights, scope)
    for book in books:
        assert book.centres.dtype == np.float32
        assert book.centres.size <= 12
        assert book.counts.sum() == sum(labels.size for labels in book.labels.values())
        for name in book.labels:
            shared = book.dense(name)
            assert shared.shape == weights[name].shape
            assert (shared[weights[name] == 0] == 0).all()
            if not zeros and method != "uq":
                assert np.array_equal(shared != 0, weights[name] != 0)
        if grid:
            step = np.abs(book.centres).max() / np.arange(1, grid + 1)
            error = np.abs(book.centres / step[:, None] - np.rint(book.centres / step[:, None])).max(axis=1)
            assert error.min() < 1e-4


def test_groups_of_kinds() -> None:
    assert groups(layers(), "kind") == [["conv1", "conv2"], ["fc1", "fc2"]]
    assert groups({}, "all") == []
    with pytest.raises(ValueError, match="scope"):
        groups(layers(), "network")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_unified_of_one_layer_is_that_of_the_layer(method: str) -> None:
    weights = {"fc": layers()["fc1"]}
    (own,), (kind,), (unified,) = (share_weights(weights, 9, method, scope, seed=5) for scope in SCOPES)
    for other in (kind, unified):
        assert np.array_equal(own.centres, other.centres)
        assert np.array_equal(own.labels["fc"], other.labels["fc"])


def test_seed() -> None:
    weights = layers(1.0)
    one, same, other = (share_weights(weights, 8, "pws", seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.labels["fc1"], b.labels["fc1"]) for a, b in zip(one[1:2], same[1:2], strict=True))
    assert not np.array_equal(one[1].labels["fc1"], other[1].labels["fc1"])


def test_grid_is_kept_by_a_grid() -> None:
    centres = np.array([-1, -0.52, -0.03, 0, 0.001, 0.4, 0.9], np.float32)
    counts = np.array([3, 1, 50, 100, 7, 9, 0])
    once = on_grid(centres, counts, 31)
    assert np.array_equal(once == 0, centres == 0)
    assert np.allclose(on_grid(once, counts, 31), once, rtol=1e-6)
    assert np.array_equal(on_grid(np.zeros(2, np.float32), counts[:2], 31), np.zeros(2))
