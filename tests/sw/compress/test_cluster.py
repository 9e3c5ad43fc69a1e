"""headrace.compress.cluster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.compress import cluster as module
from headrace.compress.cluster import METHODS, RangeSums, cluster, converge

pytest.importorskip("sklearn")

VALUES = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.floats(-2, 2, width=16).map(lambda x: 0.0 if abs(x) < 1e-3 else x)
)


@settings(deadline=None, max_examples=200)
@given(VALUES, st.integers(2, 9), st.sampled_from(sorted(METHODS)), st.booleans())
def test_invariants(values: np.ndarray, k: int, method: str, zeros: bool) -> None:
    found = cluster(values, k, method, zeros, seed=3)
    assert found.labels.shape == values.shape
    assert found.centres.size <= k
    assert (np.diff(found.centres) >= 0).all()
    shared = found.centres[found.labels]
    assert (shared[values == 0] == 0).all()
    assert (found.zero is None) == bool((values != 0).all())
    if found.zero is not None:
        assert found.centres[found.zero] == 0
        assert (found.labels[values == 0] == found.zero).all()
    if not zeros and method != "uq" and found.zero is not None:
        assert (found.labels[values != 0] != found.zero).all()  # what was not pruned is not pruned
    again = cluster(values, k, method, zeros, seed=3)
    assert np.array_equal(found.centres, again.centres)
    assert np.array_equal(found.labels, again.labels)


def test_pws_is_unbiased_and_rounds_to_neighbours() -> None:
    values = np.random.default_rng(0).normal(0, 1, 500)
    points = np.quantile(values, np.linspace(0, 1, 9))
    runs = np.stack([(c := cluster(values, 9, "pws", seed=seed)).centres[c.labels] for seed in range(2000)])
    below = points[np.clip(np.searchsorted(points, values, side="right") - 1, 0, 7)]
    above = points[np.clip(np.searchsorted(points, values, side="right"), 1, 8)]
    assert ((runs == below) | (runs == above)).all()
    spread = np.sqrt((values - below) * (above - values) / len(runs))  # of the mean of independent roundings
    assert (np.abs(runs.mean(axis=0) - values) <= 6 * spread + 1e-12).all()


def test_pws_with_zeros_stays_unbiased() -> None:
    generator = np.random.default_rng(1)
    values = np.where(generator.random(400) < 0.3, 0.0, generator.normal(0.5, 1, 400))
    runs = np.stack([(c := cluster(values, 8, "pws", True, seed)).centres[c.labels] for seed in range(2000)])
    assert np.abs(runs.mean(axis=0) - values).max() < 0.12
    assert np.abs((runs - values).mean()) < 2e-3


def test_uq_takes_the_first_width_that_fits() -> None:
    values = np.random.default_rng(2).normal(0, 0.05, 3000)
    found = cluster(values, 16, "uq")
    widths = 1e-4 + 5e-4 * np.arange(200)
    counts = [np.unique(np.rint(values / width)).size for width in widths]
    width = widths[int(np.argmax(np.array(counts) <= 16))]
    assert np.allclose(found.centres, np.unique(np.rint(values / width)) * width, rtol=1e-9)
    assert np.array_equal(
        found.centres[found.labels], found.centres[np.searchsorted(found.centres, values - width / 2)]
    )


@given(VALUES, st.floats(1e-5, 2), st.integers(1, 40))
def test_objective_of_ecsq_never_rises(values: np.ndarray, weight: float, count: int) -> None:
    sums = RangeSums(np.sort(values))
    start = sums.fit(np.arange(1, count) * values.size // count)
    fit, history = converge(sums, start, weight)
    assert (np.diff(history) <= 1e-12).all()
    assert fit.masses.sum() == pytest.approx(1)
    assert fit.centres.size <= start.centres.size


def test_objective_of_ecsq_is_what_it_says() -> None:
    values = np.sort(np.random.default_rng(3).normal(1, 2, 300))
    fit = RangeSums(values).fit(np.array([50, 100, 250]))
    shared = np.repeat(fit.centres, np.diff([0, *fit.edges, 300]))
    error = np.mean((values - shared) ** 2) - 0.3 * (fit.masses * np.log(fit.masses)).sum()
    assert RangeSums(values).objective(fit, 0.3) == pytest.approx(error)


@given(VALUES, st.floats(1e-4, 1), st.integers(1, 12))
def test_ecsq_assigns_to_the_least_cost(values: np.ndarray, weight: float, count: int) -> None:
    sums = RangeSums(np.sort(values))
    fit = sums.fit(np.arange(1, count) * values.size // count)
    edges = np.searchsorted(sums.ordered, module._boundaries(fit, weight), side="right")
    cost = (sums.ordered[:, None] - fit.centres) ** 2 - weight * np.log(fit.masses)
    pieces = np.split(sums.ordered, edges)
    least = cost.min(axis=1)
    hull = cost_of_pieces(pieces, fit, weight)
    assert np.allclose(hull, least, atol=1e-9)


def cost_of_pieces(pieces: list, fit, weight: float) -> np.ndarray:
    """Cost of each value with the one cluster, of all, that is best for the middle of its piece."""
    costs = []
    for piece in pieces:
        if piece.size:
            whole = ((piece[:, None] - fit.centres) ** 2 - weight * np.log(fit.masses)).sum(axis=0)
            best = int(np.argmin(whole))
            costs.append((piece - fit.centres[best]) ** 2 - weight * np.log(fit.masses[best]))
    return np.concatenate(costs)


def test_ecsq_needs_fewer_bits_than_kmeans_for_its_error() -> None:
    values = np.random.default_rng(4).laplace(0, 1, 20_000)
    found = cluster(values, 32, "ecsq")
    other = cluster(values, 32, "cws")
    assert 24 <= found.centres.size <= 32

    def entropy(labels: np.ndarray) -> float:
        p = np.unique(labels, return_counts=True)[1] / labels.size
        return float(-(p * np.log2(p)).sum())

    assert entropy(found.labels) < entropy(other.labels) - 0.2


WRONG = {
    "method": (([1.0], 2, "kmeans"), "method"),
    "k": (([1.0], 0, "cws"), "at least 1"),
    "k with zeros": (([0.0, 1.0], 1, "cws"), "at least 2"),
    "NaN": (([np.nan], 2, "cws"), "finite"),
    "shape": (([[1.0]], 2, "cws"), "dimension"),
}


@pytest.mark.parametrize(("arguments", "reason"), WRONG.values(), ids=WRONG)
def test_refuses(arguments: tuple, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cluster(*arguments)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("values", [[], [0.0, 0.0], [0.5] * 4, [0.25, -0.25]], ids=str)
def test_few_values(values: list, method: str) -> None:
    found = cluster(values, 4, method)
    assert np.allclose(found.centres[found.labels], values, atol=1e-4)


@pytest.mark.parametrize("n", [50, 400, 1500, 3000])
@pytest.mark.parametrize("k", [4, 31, 254])
def test_ecsq_of_few_values_has_about_as_many_clusters_as_asked(n: int, k: int) -> None:
    for seed in range(3):
        values = np.random.default_rng(seed).standard_t(4, n)
        found = cluster(values, k, "ecsq")
        assert 0.6 * min(k, n) <= found.centres.size <= k
