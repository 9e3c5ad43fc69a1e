"""Pruning by what the loss says of weights, not by their size: after the idea of arXiv 2010.01892."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constraints import weighted_modules
from .prune import magnitude_mask, magnitude_masks

if TYPE_CHECKING:
    import torch
    from torch import nn

DECAY = 0.99
"""Of the moving average over batches."""
FLOOR = 0.1
"""What each layer keeps of its own, whatever its scores, over what it would if all were pruned alike."""


class TaylorScores:
    """Moving averages of (g * w)^2, a first-order estimate of what the loss would change by without the weight."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = weighted_modules(model)
        self.scores: dict[str, torch.Tensor] = {}
        """By layer, of the weights' shape; nothing before the first update."""

    def update(self) -> None:
        """After a backward pass."""
        for name, part in self.modules.items():
            if part.weight.grad is not None:
                now = (part.weight.grad * part.weight.detach()) ** 2
                before = self.scores.get(name)
                self.scores[name] = now if before is None else DECAY * before + (1 - DECAY) * now

    def masks(self, density: float) -> dict[str, NDArray[np.bool_]]:
        """Masks of what stays at `density`, over all layers."""
        return taylor_masks({name: score.numpy() for name, score in self.scores.items()}, density)

    def state(self) -> dict[str, Any]:
        """What `load` takes."""
        return dict(self.scores)

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state of the same model, copied."""
        self.scores = {name: score.clone() for name, score in state.items()}


def taylor_masks(scores: Mapping[str, ArrayLike], density: float, floor: float = FLOOR) -> dict[str, NDArray[np.bool_]]:
    """Masks of the `round(density * all)` highest scores of all layers, each of which keeps a part of its own.

    scores: by layer, of any shape, at least 0. floor: of every layer the `round(floor * density * size)` highest stay,
    one at least; among equals the first. The count is exact unless these alone are more. ValueError as
    `magnitude_mask`.
    """
    arrays = {name: np.asarray(score, dtype=np.float64) for name, score in scores.items()}
    if not arrays:
        return {}
    kept = {}
    for name, score in arrays.items():
        least = max(floor * density, 1 / score.size) if density else 0.0
        kept[name] = magnitude_mask(score, least)
    every = np.concatenate([score.ravel() for score in arrays.values()])
    # Ranks in place of scores, which may be of so many magnitudes that what the floor adds would hide them.
    ranks = np.empty(every.size)
    ranks[np.argsort(-every, kind="stable")] = np.arange(every.size, 0, -1)
    splits = np.cumsum([score.size for score in arrays.values()])[:-1]
    lifted = {
        name: part.reshape(kept[name].shape) + every.size * kept[name]
        for name, part in zip(arrays, np.split(ranks, splits), strict=True)
    }
    floors = sum(int(mask.sum()) for mask in kept.values())
    return magnitude_masks(lifted, max(density, floors / every.size), "global")
