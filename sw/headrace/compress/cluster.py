"""Sharing in one dimension: which few values stand for many weights (CWS, PWS, UQ, ECSQ of arXiv 2108.12704).

All work on plain values; layers, and groups of layers, are in `headrace.compress.sharing`. In one dimension clusters
are intervals, so `ecsq` iterates on sums over ranges of the sorted values: exact, and a step costs k binary searches
instead of n * k distances. k-means is scikit-learn's, by way of `share_kmeans`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .share import share_kmeans

Array = NDArray[np.float64]
FIRST_STEP, FURTHER_STEPS = 1e-4, 5e-4
"""Of UQ's scan for the width of an interval, in weight units."""
BINS = 3
"""ECSQ starts with so many clusters for each of the k wanted."""
LEAST_MEMBERS = 4
"""Of each, though never with fewer than k clusters."""
TOLERANCE = 1e-5
"""ECSQ has converged where its objective falls by no more than this part of it. Published is 1e-3 in absolute terms,
which weights of a small variance meet at once."""
LAMBDA_STEPS = (0.7, 0.95)
"""Factors of the scan for lambda: a coarse one until there are more than k clusters, then a fine one from the last
lambda that left fewer."""
LEAST_LAMBDA = 1e-9
"""Of the values' variance, where the scan ends; it begins at the variance."""


class Clusters(NamedTuple):
    """Values and the centre that stands for each of them."""

    centres: Array
    """(at most k,), ascending."""
    labels: NDArray[np.int64]
    """(n,): index of a centre for each value."""
    zero: int | None
    """Index of the centre that is exactly 0 because zeros were among the values; they all have it."""


def cluster(values: ArrayLike, k: int, method: str, zeros: bool = False, seed: int = 0) -> Clusters:
    """At most k centres for values (n,), 0 included; a value that is 0 stays 0.

    method: one of METHODS. zeros: values that are 0 take part like all others, and the centre they fall to becomes 0,
    with all its members; else the others are clustered alone, into k - 1, and only "uq" may give them 0. seed: of
    "pws", the only method with chance in it. Deterministic. Raises ValueError on wrong arguments, for k = 1 with zeros
    too; HeadraceError for "cws" without scikit-learn.
    """
    flat = np.asarray(values, dtype=np.float64)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
    if flat.ndim != 1 or not np.isfinite(flat).all():
        raise ValueError("values must be finite, in one dimension")
    alive = flat != 0
    pruned = not alive.all()
    if k < 1 + pruned:
        raise ValueError(f"k must be at least {1 + pruned}, not {k}")
    if not alive.any():
        return Clusters(np.zeros(min(flat.size, 1)), np.zeros(flat.size, np.int64), 0 if flat.size else None)
    generator = np.random.default_rng(seed)
    if not pruned or zeros or method == "uq":
        return METHODS[method](flat, k, pruned, generator)
    centres, labels, _ = METHODS[method](flat[alive], k - 1, False, generator)
    zero = int(np.searchsorted(centres, 0.0))
    everywhere = np.full(flat.size, zero)
    everywhere[alive] = labels + (labels >= zero)
    return Clusters(np.insert(centres, zero, 0.0), everywhere, zero)


def cws(values: Array, k: int, pinned: bool, generator: np.random.Generator) -> Clusters:
    """k-means, as `share_kmeans`; `pinned`: the centre next to 0 becomes 0."""
    centres, labels = share_kmeans(values, k)
    return _pin(centres.astype(np.float64), labels, values, pinned)


def pws(values: Array, k: int, pinned: bool, generator: np.random.Generator) -> Clusters:
    """Between neighbours v < V of k quantiles, w becomes V with probability (w - v) / (V - v), else v.

    Unbiased: the expectation of a shared value is the value. `pinned`: the quantile next to 0 is 0, before any value is
    rounded, so that this holds and zeros stay.
    """
    points = np.unique(np.quantile(values, np.linspace(0, 1, max(k, 2)))) if k > 1 else np.array([values.mean()])
    zero = None
    if pinned:
        zero = int(np.argmin(np.abs(points)))
        points[zero] = 0.0
    if points.size == 1:
        return Clusters(points, np.zeros(values.size, np.int64), zero)
    below = np.searchsorted(points, values, side="right") - 1
    np.clip(below, 0, points.size - 2, out=below)
    share = (values - points[below]) / (points[below + 1] - points[below])
    below += generator.random(values.size) < share
    return Clusters(points, below, zero)


def uq(values: Array, k: int, pinned: bool, generator: np.random.Generator) -> Clusters:
    """Multiples of a width: the first of 1e-4, 6e-4, 11e-4 ... with which at most k of them are in use.

    Widths are in weight units, as published: weights of a range far below 1e-4 * k get fewer than k values.
    """
    ordered = np.unique(values)
    width = FIRST_STEP
    while _levels(ordered, width, k) > k:
        width += FURTHER_STEPS
    levels, labels = np.unique(np.rint(values / width), return_inverse=True)
    zero = int(np.searchsorted(levels, 0.0)) if pinned else None
    return Clusters(levels * width, labels.astype(np.int64), zero)


def _levels(ordered: Array, width: float, most: int) -> int:
    """How many multiples of `width` ascending values round to, counted up to `most` + 1."""
    count = at = 0
    while at < ordered.size and count <= most:
        level = np.rint(ordered[at] / width)
        at += 1
        at += int(np.searchsorted(ordered[at:], (level + 0.5) * width, side="right"))
        while at < ordered.size and np.rint(ordered[at] / width) == level:  # the boundary is rounded as well
            at += 1
        count += 1
    return count


def ecsq(values: Array, k: int, pinned: bool, generator: np.random.Generator) -> Clusters:
    """Entropy-constrained scalar quantisation: least error plus lambda * entropy, of the lambdas tried the smallest
    one that leaves at most k clusters.

    Starts, for each lambda, from 3k clusters of equal population; of few values from less, down to k, since clusters of
    the same few members cost the same and none would ever die. `pinned` as for `cws`.
    """
    ordered = np.sort(values)
    sums = RangeSums(ordered)
    most = max(k, min(BINS * k, ordered.size // LEAST_MEMBERS))
    best = _scan(sums, most, k)
    if not best.edges.size and most > k:  # clusters died all at once: no lambda left some, but not too many
        best = _scan(sums, k, k)
    last = np.r_[best.edges, ordered.size] - 1
    labels = np.searchsorted(ordered[last], values, side="left")
    return _pin(best.centres, labels, values, pinned)


def _scan(sums: RangeSums, bins: int, k: int) -> Fit:
    """The clusters of the smallest lambda that leaves at most k; one where each leaves more."""
    n = sums.ordered.size
    start = sums.fit(np.unique(np.arange(1, bins) * n // bins))
    best, weight = sums.fit(np.zeros(0, np.int64)), float(sums.ordered.var())
    least = LEAST_LAMBDA * weight
    for step in LAMBDA_STEPS:
        while weight > least:
            found, _ = converge(sums, start, weight)
            if found.centres.size > k:
                break
            best, weight = found, weight * step
        weight = weight / step * LAMBDA_STEPS[-1]
    return best


class Fit(NamedTuple):
    """Clusters of sorted values, each a range of them."""

    edges: NDArray[np.int64]
    """Where the second and each further range begins."""
    centres: Array
    """Means, ascending."""
    masses: Array
    """Fraction of all values in each, positive."""


class RangeSums:
    """Counts, sums and squared errors of ranges of sorted values."""

    def __init__(self, ordered: Array) -> None:
        self.ordered = ordered
        self._sums = np.concatenate([[0.0], np.cumsum(ordered)])
        self._square = float(ordered @ ordered)

    def fit(self, edges: NDArray[np.int64]) -> Fit:
        """The clusters that these edges make; empty ranges, and edges within equal values, are dropped."""
        inside = edges[(edges > 0) & (edges < self.ordered.size)]
        inside = np.unique(np.searchsorted(self.ordered, self.ordered[inside], side="left"))
        inside = inside[inside > 0]
        bounds = np.concatenate([[0], inside, [self.ordered.size]])
        counts = np.diff(bounds)
        centres = np.clip(np.diff(self._sums[bounds]) / counts, self.ordered[bounds[:-1]], self.ordered[bounds[1:] - 1])
        return Fit(inside, centres, counts / self.ordered.size)

    def objective(self, fit: Fit, weight: float) -> float:
        """Mean squared error plus `weight` times the entropy in nats."""
        explained = float((fit.masses * fit.centres**2).sum()) * self.ordered.size
        error = (self._square - explained) / self.ordered.size
        return error - weight * float((fit.masses * np.log(fit.masses)).sum())


def converge(sums: RangeSums, fit: Fit, weight: float) -> tuple[Fit, list[float]]:
    """Assign and refit until the objective falls by no more than TOLERANCE of it: the clusters, and it at each step."""
    history = [sums.objective(fit, weight)]
    while True:
        fit = sums.fit(np.searchsorted(sums.ordered, _boundaries(fit, weight), side="right"))
        history.append(sums.objective(fit, weight))
        if history[-2] - history[-1] <= TOLERANCE * abs(history[-2]):
            return fit, history


def _boundaries(fit: Fit, weight: float) -> Array:
    """Where the least of (w - c)**2 - weight * ln p passes from one cluster to the next; some have no range at all.

    Without w**2 these are lines in w, the steeper the larger c, so those that are least somewhere are a hull.
    """
    height = fit.centres**2 - weight * np.log(fit.masses)
    hull: list[int] = []
    starts: list[float] = []
    for j, (c, h) in enumerate(zip(fit.centres.tolist(), height.tolist(), strict=True)):
        start = -inf
        while hull:
            gap = 2 * (c - fit.centres[hull[-1]])
            start = (h - height[hull[-1]]) / gap if gap > 0 else (inf if h >= height[hull[-1]] else -inf)
            if start > starts[-1]:
                break
            hull.pop()
            starts.pop()
            start = -inf
        if start < inf:
            hull.append(j)
            starts.append(start)
    return np.array(starts[1:])


def _pin(centres: Array, labels: NDArray[np.int64], values: Array, pinned: bool) -> Clusters:
    """`pinned`: the centre that the zeros among the values have becomes 0."""
    if not pinned:
        return Clusters(centres, labels, None)
    zero = int(labels[np.argmin(np.abs(values))])
    centres = centres.copy()
    centres[zero] = 0.0
    return Clusters(centres, labels, zero)


METHODS: dict[str, Callable[[Array, int, bool, np.random.Generator], Clusters]] = {
    "cws": cws,
    "pws": pws,
    "uq": uq,
    "ecsq": ecsq,
}
"""By the names that the paper gives them."""
