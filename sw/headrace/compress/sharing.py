"""Weights of whole layers, and of several layers together, as few values: codebooks, on an integer grid if asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cluster import cluster
from .share import snap

SCOPES = ("layer", "kind", "all")
"""One codebook a layer; one for matrices and one for convolutions, as arXiv 2108.12704 does ("u"); one for all."""


@dataclass(frozen=True, eq=False)
class Codebook:
    """The values that one or more layers share: layer `name` has the weights `centres[labels[name]]`."""

    centres: NDArray[np.float32]
    """(at most k,), in the clustering's order, which is ascending; on a grid neighbours may be equal."""
    labels: Mapping[str, NDArray[np.int64]]
    """By layer, of the layer's shape."""
    zero: int | None
    """Index of the centre that pruned weights have, which is 0; None where no weight was 0."""

    def dense(self, name: str) -> NDArray[np.float32]:
        """The layer's shared weights."""
        return self.centres[self.labels[name]]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many weights each centre stands for."""
        flat = np.concatenate([labels.ravel() for labels in self.labels.values()])
        return np.bincount(flat, minlength=self.centres.size)


def share_weights(
    weights: Mapping[str, ArrayLike],
    k: int,
    method: str = "cws",
    scope: str = "layer",
    zeros: bool = False,
    grid: int = 0,
    seed: int = 0,
) -> tuple[Codebook, ...]:
    """A codebook of at most k values, 0 included, for each group of layers that `scope` makes, in order.

    weights: by layer, any shape, finite. method, zeros, seed: as `cluster`. grid: centres are integers up to this, at
    most 127, times one scale of the codebook, which costs nothing on the device; 0: any centres. A weight that is 0
    stays 0. Raises as `cluster`.
    """
    arrays = {name: np.asarray(W, dtype=np.float64) for name, W in weights.items()}
    books = []
    for index, names in enumerate(groups(arrays, scope)):
        flat = np.concatenate([arrays[name].ravel() for name in names])
        centres, labels, zero = cluster(flat, k, method, zeros, seed + index)
        ends = np.cumsum([arrays[name].size for name in names])[:-1]
        parts = np.split(labels, ends)
        shaped = {name: part.reshape(arrays[name].shape) for name, part in zip(names, parts, strict=True)}
        book = Codebook(centres.astype(np.float32), shaped, zero)
        books.append(Codebook(on_grid(book.centres, book.counts, grid), shaped, zero) if grid else book)
    return tuple(books)


def groups(weights: Mapping[str, NDArray], scope: str) -> list[list[str]]:
    """Names of the layers of each codebook. ValueError for another scope than SCOPES."""
    if scope not in SCOPES:
        raise ValueError(f"scope must be one of {', '.join(SCOPES)}, not {scope!r}")
    if scope == "layer":
        return [[name] for name in weights]
    if scope == "all":
        return [list(weights)] if weights else []
    kinds: dict[bool, list[str]] = {}
    for name, W in weights.items():
        kinds.setdefault(W.ndim == 2, []).append(name)
    return list(kinds.values())


def on_grid(centres: NDArray[np.float32], counts: NDArray[np.int64], limit: int) -> NDArray[np.float32]:
    """The centres, float32 of their shape, moved to integers up to `limit` times one scale; 0 stays, no other gets 0.

    The scale is the one with the least squared error over all weights. Done again it changes rounding only.
    """
    used = centres != 0
    moved = np.zeros_like(centres)
    if used.any():
        scale, integers = snap(centres[used].astype(np.float64), np.maximum(counts[used], 1), limit)
        moved[used] = integers * scale
    return moved
