"""Weight sharing: a layer's surviving weights become a few values on an integer grid.

The grid matters to the device: on it, a difference of two shared values is again a small integer (see docs of the
stream format), so k-means centres are snapped to multiples of one scale per layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.errors import HeadraceError

MOST_DISTINCT = 1 << 16
"""Values that k-means works on: more are first gathered in as many groups of neighbours, each with its mean."""
SMALLEST_LIMIT = 8  # coarsest integer range tried for a layer: beyond it int8 has always been better


@dataclass(frozen=True)
class SharedLayer:
    """A layer as integers: W is about `scale * weights`.

    scale: weight units per integer step. values: int8, sorted, the distinct integers in use, 0 included where any
    weight is 0. weights: int8 of the layer's shape, 0 wherever the mask was False.
    """

    scale: float
    values: NDArray[np.int8]
    weights: NDArray[np.int8]

    def dense(self) -> NDArray[np.float32]:
        """The shared weights in weight units: `scale * weights`, float32."""
        return (self.weights.astype(np.float64) * self.scale).astype(np.float32)


def share_kmeans(values: ArrayLike, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """k-means in one dimension (CWS of arXiv 2108.12704, but over surviving weights only).

    values: (n,), finite. k >= 1. Deterministic: centres start at the quantiles (i + 1/2) / k.
    Of more than MOST_DISTINCT distinct values, neighbours in groups of equal size share a label.
    Returns (centres float32 sorted ascending, at most k of them; label of each value, int64). With at most k distinct
    values the centres are those values. Raises ValueError on wrong arguments, HeadraceError without scikit-learn.
    """
    flat = np.asarray(values, dtype=np.float64)
    if flat.ndim != 1:
        raise ValueError(f"values must have one dimension, not {flat.ndim}")
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if not np.isfinite(flat).all():
        raise ValueError("values hold a NaN or an infinity: no centre can stand for them")
    distinct, inverse, counts = np.unique(flat, return_inverse=True, return_counts=True)
    if distinct.size <= k:
        return distinct.astype(np.float32), inverse.astype(np.int64)
    try:
        from sklearn.cluster import KMeans

        threads = import_module("threadpoolctl")  # scikit-learn depends on it; it has no type hints
    except ImportError:
        raise HeadraceError("weight sharing needs scikit-learn: pip install 'headrace[compress]'") from None
    if distinct.size > MOST_DISTINCT:
        distinct, inverse, counts = _gathered(distinct, inverse, counts)
    quantiles = np.cumsum(counts) / flat.size
    start = distinct[np.searchsorted(quantiles, (np.arange(k) + 0.5) / k)]
    if np.unique(start).size < k:  # one value fills several quantiles: spread over the distinct values instead
        start = distinct[(np.arange(k) * distinct.size) // k]
    # unit spread, so that the stopping tolerance and the distances do not underflow on tiny weights
    low, span = distinct[0], distinct[-1] - distinct[0]
    means = KMeans(k, init=((start - low) / span)[:, None], n_init=1, max_iter=300)
    with threads.threadpool_limits(1):  # several threads add in any order, and centres would differ in their last bits
        means.fit(((distinct - low) / span)[:, None], sample_weight=counts.astype(np.float64))
    order = np.argsort(means.cluster_centers_[:, 0], kind="stable")
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(k)
    centres = means.cluster_centers_[order, 0] * span + low
    return centres.astype(np.float32), rank[means.labels_][inverse]


def _gathered(
    distinct: NDArray[np.float64], inverse: NDArray[np.integer], counts: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """`np.unique`'s arrays again, of the means of MOST_DISTINCT groups of neighbouring values, as many in each."""
    place = np.arange(distinct.size) * MOST_DISTINCT // distinct.size
    totals = np.bincount(place, weights=counts)
    means = np.bincount(place, weights=distinct * counts) / totals
    return means, place[inverse], totals.astype(np.int64)


def share_layer(W: ArrayLike, mask: ArrayLike, k: int, limit: int = 127) -> SharedLayer:
    """Share the weights of W under `mask` into at most k integers, 0 for the pruned ones included.

    W: any shape, finite. mask: bool of W's shape. k >= 2. limit: largest integer magnitude, 1 to 127; a smaller one
    gives fewer distinct differences, a larger one a finer grid. The scale is the one of all integer ranges up to
    `limit` with the least squared error against W. A surviving weight never becomes 0, an empty layer gets scale 1.
    Raises ValueError on wrong arguments, HeadraceError without scikit-learn.
    """
    weights, kept = np.asarray(W, dtype=np.float64), np.asarray(mask, dtype=np.bool_)
    if kept.shape != weights.shape:
        raise ValueError(f"mask of shape {kept.shape} does not fit weights of shape {weights.shape}")
    if k < 2:
        raise ValueError(f"k must be at least 2 (zero and one value), not {k}")
    if not 1 <= limit <= 127:
        raise ValueError(f"limit must be between 1 and 127, not {limit}")
    integers = np.zeros(weights.shape, dtype=np.int8)
    survivors = weights[kept]
    scale = 1.0
    if survivors.any():  # else empty or all zero
        centres, labels = share_kmeans(survivors, k - 1)
        if centres.any():
            scale, integers_of = snap(centres.astype(np.float64), np.bincount(labels, minlength=centres.size), limit)
            grid = np.unique(integers_of)
        else:  # one centre of weights that cancel out: no scale fits them, and none may become 0
            scale, grid = float(np.abs(survivors).mean()), np.ones(1, np.int64)
        middles = (grid[1:] + grid[:-1]) * (scale / 2)
        integers[kept] = grid[np.searchsorted(middles, survivors)]
        # zeros that the caller kept stay zero
        integers[kept & (weights == 0)] = 0
    return SharedLayer(scale, np.unique(integers), integers)


def snap(centres: NDArray[np.float64], counts: NDArray[np.int64], limit: int) -> tuple[float, NDArray[np.int64]]:
    """Scale and integers (as many as centres, none 0) with the least `sum(counts * (centres - scale * integers)**2)`.

    centres: finite, at least one not 0. counts: how many weights each stands for, at least one of a centre that is not
    0. limit: largest magnitude of an integer. Neighbouring centres may become one integer.
    """
    largest = np.abs(centres).max()
    limits = np.arange(min(SMALLEST_LIMIT, limit), limit + 1, dtype=np.float64)[:, None]
    shape = centres / largest
    integers = np.clip(np.rint(shape * limits), -limits, limits)
    integers[integers == 0] = np.broadcast_to(np.where(shape < 0, -1.0, 1.0), integers.shape)[integers == 0]
    steps = (counts * shape * integers).sum(axis=1) / (counts * integers * integers).sum(axis=1)  # least squares
    errors = (counts * (shape - steps[:, None] * integers) ** 2).sum(axis=1)
    best = int(np.argmin(errors))
    return float(steps[best] * largest), integers[best].astype(np.int64)
