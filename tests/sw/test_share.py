"""headrace.compress.share."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.compress import share
from headrace.compress.prune import magnitude_mask
from headrace.compress.share import share_kmeans, share_layer
from headrace.errors import HeadraceError

pytest.importorskip("sklearn")

MODERATE = st.floats(-100, 100, width=32).filter(lambda x: x == 0 or abs(x) > 1e-6)
LAYERS = hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5), elements=MODERATE)


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(0, 60), elements=MODERATE), st.integers(1, 9))
def test_kmeans(values: np.ndarray, k: int) -> None:
    centres, labels = share_kmeans(values, k)
    assert (centres.dtype, labels.dtype, labels.shape) == (np.float32, np.int64, values.shape)
    assert centres.size == min(k, np.unique(values).size)
    assert (np.diff(centres) >= 0).all()
    if values.size:
        assert sorted(set(labels.tolist())) == list(range(centres.size))
        distance = np.abs(values[:, None].astype(np.float64) - centres)
        own = distance[np.arange(values.size), labels]
        assert (own <= distance.min(axis=1) + 1e-4 * (1 + np.abs(values).max())).all()


def test_kmeans_is_deterministic_and_good() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([-3, -1, 0.5, 2, 8])
    values = (truth[rng.integers(0, 5, 5000)] + rng.normal(0, 0.05, 5000)).astype(np.float32)
    centres, labels = share_kmeans(values, 5)
    assert np.abs(centres - truth).max() < 0.02
    again = share_kmeans(values, 5)
    assert np.array_equal(centres, again[0])
    assert np.array_equal(labels, again[1])


def test_kmeans_of_tiny_and_of_lopsided_values() -> None:
    values = np.linspace(1, 2, 100) * 1e-30
    assert np.unique(share_kmeans(values, 4)[1]).size == 4
    lopsided = np.r_[np.zeros(1000), np.arange(1, 11)]
    assert share_kmeans(lopsided, 4)[0].size == 4


@settings(deadline=None)
@given(LAYERS, st.floats(0, 1), st.integers(2, 9), st.sampled_from([1, 7, 31, 127]))
@example(np.array([1, -1], np.float32), 1.0, 2, 1)  # the one centre is 0
def test_layer(W: np.ndarray, density: float, k: int, limit: int) -> None:
    mask = magnitude_mask(W, density)
    layer = share_layer(W, mask, k, limit)
    assert (layer.weights.shape, layer.weights.dtype) == (W.shape, np.int8)
    assert (layer.values.dtype, layer.values.tolist()) == (np.int8, np.unique(layer.weights).tolist())
    assert layer.values.size <= k if (layer.weights == 0).any() else layer.values.size <= k - 1
    assert np.array_equal(layer.weights != 0, mask & (W != 0))
    assert np.abs(layer.weights.astype(int)).max(initial=0) <= limit
    assert np.isfinite(layer.scale)
    assert layer.scale > 0
    assert layer.dense().shape == W.shape


def test_layer_is_close_to_its_weights() -> None:
    W = np.random.default_rng(1).normal(0, 0.05, (100, 200)).astype(np.float32)
    mask = magnitude_mask(W, 0.1)
    layer = share_layer(W, mask, 32)
    assert layer.values.size == 32
    shared, kept = layer.dense()[mask].astype(np.float64), W[mask].astype(np.float64)
    assert ((shared - kept) ** 2).sum() < 0.002 * (kept**2).sum()
    finer = share_layer(W, mask, 32, limit=127).dense()
    coarser = share_layer(W, mask, 32, limit=15).dense()
    assert ((finer - W)[mask] ** 2).sum() < ((coarser - W)[mask] ** 2).sum()


def test_values_that_lie_on_a_grid_are_kept_exactly() -> None:
    values = np.array([-127, -50, -3, 1, 2, 60], dtype=np.float64) * 0.01
    W = np.tile(values, 5).reshape(6, 5)
    layer = share_layer(W, np.ones(W.shape, bool), 7)
    assert layer.values.tolist() == [-127, -50, -3, 1, 2, 60]
    assert layer.scale == pytest.approx(0.01)
    assert np.allclose(layer.dense(), W)


@pytest.mark.parametrize("W", [np.zeros((3, 4)), np.zeros((0, 4)), np.zeros(0)], ids=["zero", "no row", "empty"])
def test_layer_without_weights(W: np.ndarray) -> None:
    layer = share_layer(W, np.ones(W.shape, bool), 4)
    assert layer.scale == 1.0
    assert not layer.weights.any()


@pytest.mark.parametrize("value", [0.3, -2.5, 1e-30])
def test_constant_layer(value: float) -> None:
    layer = share_layer(np.full((3, 4), value), np.ones((3, 4), bool), 16)
    assert layer.values.size == 1
    assert layer.scale * int(layer.values[0]) == pytest.approx(value)


def test_everything_pruned() -> None:
    assert not share_layer(np.ones((3, 4)), np.zeros((3, 4), bool), 4).weights.any()


WRONG = {
    "mask shape": ((np.ones(3), np.ones(4, bool), 4), "mask"),
    "k": ((np.ones(3), np.ones(3, bool), 1), "k must be"),
    "limit 0": ((np.ones(3), np.ones(3, bool), 4, 0), "limit"),
    "limit 128": ((np.ones(3), np.ones(3, bool), 4, 128), "limit"),
    "NaN": (([1.0, np.nan], np.ones(2, bool), 4), "NaN"),
}


@pytest.mark.parametrize(("arguments", "reason"), WRONG.values(), ids=WRONG)
def test_layer_refuses(arguments: tuple, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        share_layer(*arguments)


@pytest.mark.parametrize(
    ("values", "k", "reason"), [([[1.0]], 2, "one dimension"), ([1.0], 0, "k must"), ([np.inf], 1, "inf")]
)
def test_kmeans_refuses(values: list, k: int, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        share_kmeans(values, k)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(HeadraceError, match="pip install"):
        share_kmeans([1.0, 2.0, 3.0], 2)
    assert share_kmeans([1.0, 2.0], 2)[0].tolist() == [1.0, 2.0]  # nothing to cluster, nothing needed


def test_many_distinct_values_are_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(0, 1, 30_000)
    exact, exact_labels = share_kmeans(values, 9)
    monkeypatch.setattr(share, "MOST_DISTINCT", 2000)
    centres, labels = share_kmeans(values, 9)
    assert np.abs(centres - exact).max() < 0.02 and (labels == exact_labels).mean() > 0.98
    errors = [np.square(values - c[n]).sum() for c, n in ((exact, exact_labels), (centres, labels))]
    assert errors[1] < 1.001 * errors[0]
