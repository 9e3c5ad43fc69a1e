"""Magnitude pruning with an exact count of survivors."""

from __future__ import annotations

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
