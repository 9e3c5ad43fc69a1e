"""headrace.compress.prune."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.compress.prune import channel_relative, cubic_density, magnitude_mask, magnitude_masks

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)
WEIGHTS = hnp.arrays(
    np.float32, SHAPES, elements=st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0**-100, 2.0**100])
)


@given(WEIGHTS, st.floats(0, 1))
def test_exact_count_and_largest_kept(W: np.ndarray, density: float) -> None:
    mask = magnitude_mask(W, density)
    assert (mask.shape, mask.dtype) == (W.shape, np.bool_)
    kept = round(density * W.size)
    order = np.argsort(-np.abs(W.astype(np.float64)).ravel(), kind="stable")[:kept]  # ties by index
    assert np.flatnonzero(mask).tolist() == sorted(order.tolist())


def test_ties_keep_the_first() -> None:
    W = np.array([[1, -1, 2], [1, 1, -2]])
    assert magnitude_mask(W, 4 / 6).tolist() == [[True, True, True], [False, False, True]]


def test_integers_of_full_range() -> None:
    assert magnitude_mask(np.array([-128, 127, 0], dtype=np.int8), 1 / 3).tolist() == [True, False, False]


@pytest.mark.parametrize(("density", "kept"), [(0.0, 0), (1e-9, 0), (0.25, 250), (1.0, 1000)])
def test_counts(density: float, kept: int) -> None:
    W = np.random.default_rng(0).normal(size=1000)
    assert magnitude_mask(W, density).sum() == kept


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan"), 5])
def test_wrong_density(density: float) -> None:
    with pytest.raises(ValueError, match="density"):
        magnitude_mask(np.ones(3), density)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or an infinity"):
        magnitude_mask([1.0, bad], 0.5)


def layers() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(7)
    return {"a": generator.normal(0, 1, (3, 4, 5)), "b": generator.normal(0, 3, (10, 10)), "c": np.ones((2, 10))}


def test_masks_of_layers() -> None:
    weights = layers()
    assert {name: int(mask.sum()) for name, mask in magnitude_masks(weights, 0.25).items()} == {
        "a": 15,
        "b": 25,
        "c": 5,
    }
    named = magnitude_masks(weights, {"b": 0.1, "c": 0.5})
    assert {name: int(mask.sum()) for name, mask in named.items()} == {"a": 60, "b": 10, "c": 10}
    assert magnitude_masks({}, 0.5) == {} == magnitude_masks({}, 0.5, "global")


@pytest.mark.parametrize("density", [0.0, 0.1, 0.37, 0.999, 1.0])
def test_global_masks_keep_the_largest_of_all(density: float) -> None:
    weights = layers()
    masks = magnitude_masks(weights, density, "global")
    assert all(masks[name].shape == W.shape for name, W in weights.items())
    assert sum(int(mask.sum()) for mask in masks.values()) == round(density * 180)
    kept = [abs(W[masks[name]]) for name, W in weights.items()]
    dropped = [abs(W[~masks[name]]) for name, W in weights.items()]
    assert np.concatenate(kept).min(initial=np.inf) >= np.concatenate(dropped).max(initial=0)


@pytest.mark.parametrize(
    ("density", "scope", "reason"),
    [
        ({"d": 0.5}, "layer", "no layer 'd'; layers are a, b, c"),
        ({"a": 0.5}, "global", "one density"),
        (0.5, "kind", "scope"),
    ],
)
def test_masks_refuse(density: float | dict[str, float], scope: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        magnitude_masks(layers(), density, scope)


def test_cubic_schedule() -> None:
    assert [cubic_density(t, 0.2) for t in (-1, 0, 1, 2)] == [1.0, 1.0, 0.2, 0.2]
    assert cubic_density(0.5, 0.2) == pytest.approx(0.2 + 0.8 / 8)
    assert cubic_density(0.25, 0.1, 0.5) == pytest.approx(0.1 + 0.4 * 0.75**3)


def test_channels_are_compared_by_their_own_size() -> None:
    W = np.random.default_rng(8).normal(0, 1, (6, 4, 3, 3))
    sizes = np.array([1e-3, 1, 0, 10, 100, 1e4]).reshape(6, 1, 1, 1)
    relative = channel_relative(W * sizes)
    assert np.allclose(relative, channel_relative(W) * (sizes != 0))
    assert np.allclose((relative**2).mean(axis=(1, 2, 3)), [1, 1, 0, 1, 1, 1])
