"""Magnitude pruning with an exact count of survivors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


def magnitude_mask(W: ArrayLike, density: float) -> NDArray[np.bool_]:
    """Mask of the `round(density * W.size)` entries of W that are largest in magnitude.

    W: any shape, finite. density: fraction kept, 0 to 1. Among equal magnitudes the entry that comes first in C order
    is kept, so the count is exact and the mask deterministic. Returns bool of W's shape, True = kept. Raises
    ValueError where density is outside 0 to 1 or W holds a NaN or an infinity.
    """
    weights = np.asarray(W)
    if not 0.0 <= density <= 1.0:
        raise ValueError(f"density must be between 0 and 1, not {density}")
    magnitude = np.abs(weights.astype(np.float64, copy=False)).ravel()
    if not np.isfinite(magnitude).all():
        raise ValueError("weights hold a NaN or an infinity: nothing to rank")
    kept = round(density * magnitude.size)
    mask = np.zeros(magnitude.size, dtype=np.bool_)
    if kept:
        threshold = np.partition(magnitude, magnitude.size - kept)[magnitude.size - kept]
        mask |= magnitude > threshold
        ties = np.flatnonzero(magnitude == threshold)
        mask[ties[: kept - np.count_nonzero(mask)]] = True
    return mask.reshape(weights.shape)


def magnitude_masks(
    weights: Mapping[str, ArrayLike], density: float | Mapping[str, float], scope: str = "layer"
) -> dict[str, NDArray[np.bool_]]:
    """A mask for each layer: of its own largest weights, or with scope "global" of the largest of all layers.

    density: of every layer, or by layer (others keep all). "global" takes one number and keeps `round(density * all)`;
    among equals the first in the mapping's order. Raises ValueError as `magnitude_mask`, for another scope, for names
    that are no layers, and for densities by layer with "global".
    """
    arrays = {name: np.asarray(W) for name, W in weights.items()}
    if scope not in ("layer", "global"):
        raise ValueError(f"scope must be layer or global, not {scope!r}")
    if isinstance(density, Mapping):
        unknown = [name for name in density if name not in arrays]
        if unknown or scope == "global":
            reason = f"no layer {unknown[0]!r}" if unknown else "one density for all layers is needed"
            raise ValueError(f"{reason}; layers are {', '.join(arrays)}")
        return {name: magnitude_mask(W, density.get(name, 1.0)) for name, W in arrays.items()}
    if scope == "layer":
        return {name: magnitude_mask(W, density) for name, W in arrays.items()}
    flat = (
        magnitude_mask(np.concatenate([W.ravel() for W in arrays.values()]), density) if arrays else np.zeros(0, bool)
    )
    parts = np.split(flat, np.cumsum([W.size for W in arrays.values()])[:-1])
    return {name: part.reshape(W.shape) for (name, W), part in zip(arrays.items(), parts, strict=False)}


def channel_relative(W: ArrayLike) -> NDArray[np.float64]:
    """Weights over the root mean square of their output channel, the first axis; a channel of zeros stays so.

    Batch normalisation folded into weights gives channels sizes that say nothing about their importance.
    """
    weights = np.asarray(W, dtype=np.float64)
    norms = np.sqrt((weights**2).mean(axis=tuple(range(1, weights.ndim)), keepdims=True))
    return weights / np.where(norms == 0, 1.0, norms)


def cubic_density(progress: float, target: float, start: float = 1.0) -> float:
    """The density of gradual pruning (arXiv 1710.01878): `target + (start - target) * (1 - progress)**3`.

    progress: 0 at the first step, 1 at the last; held there outside.
    """
    left = 1.0 - min(max(progress, 0.0), 1.0)
    return target + (start - target) * left**3
