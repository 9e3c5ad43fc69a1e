"""Stereo matching by patches: training pairs, their hinge loss, and how often the best match is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.data.stereo import Scene
from headrace.errors import DataError
from headrace.nets.matching import PATCH

if TYPE_CHECKING:
    import torch
    from torch import nn

BORDER = PATCH // 2
MARGIN = 0.2
"""By which a right match's dot product is to exceed a wrong one's."""
NEAREST, FARTHEST = 2, 40
"""Columns between a right match and the wrong one, on either side."""
TOLERANCE = 3.0
"""Pixels: a disparity that is off by more is wrong."""

Array = NDArray[np.float32]


def normalised_picture(picture: Array) -> Array:
    """(1, 1, H, W) of mean 0 and deviation 1; one of a single grey is all zeros."""
    centred = picture - picture.mean()
    return (centred / (centred.std() or np.float32(1)))[None, None].astype(np.float32)


class Pairs:
    """All positions of scenes with a whole patch in both pictures, and batches of their patches.

    A position is a pixel that the right picture shows too (`Scene.visible`). DataError for scenes too narrow for wrong
    matches beside the right ones, and where there are no positions.
    """

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self._windows: list[tuple[NDArray[np.float32], ...]] = []
        found = []
        for index, scene in enumerate(scenes):
            height, width = scene.left.shape
            if height < PATCH or width < PATCH + 2 * FARTHEST:
                raise DataError(f"scene {scene.name}: {width} x {height} pixels are too few to train on")
            pictures = [normalised_picture(picture)[0, 0] for picture in (scene.left, scene.right)]
            self._windows.append(tuple(np.lib.stride_tricks.sliding_window_view(p, (PATCH, PATCH)) for p in pictures))
            inner = scene.visible()[BORDER : height - BORDER, BORDER : width - BORDER]
            rows, columns = np.nonzero(inner)
            partners = columns - scene.disparity[rows + BORDER, columns + BORDER].astype(np.float64)
            whole = partners >= 0
            found.append(np.stack([np.full(len(rows), index), rows, columns, partners], axis=1)[whole])
        self._positions = np.concatenate(found) if found else np.empty((0, 4))
        """Scene, row and column of the left window, column of the right one, which is no whole number."""
        if not len(self._positions):
            raise DataError("the scenes have no positions to train on")

    def __len__(self) -> int:
        return len(self._positions)

    def batches(self, count: int, size: int, generator: np.random.Generator) -> Iterator[Array]:
        """(3, size, 1, PATCH, PATCH): left patches, their right matches, wrong ones; `count // size` batches at most.

        Matches are a whole column beside the true position, the likelier the nearer.
        """
        chosen = generator.permutation(len(self))[:count]
        for first in range(0, len(chosen) - size + 1, size):
            yield self._batch(self._positions[chosen[first : first + size]], generator)

    def _batch(self, positions: NDArray[np.float64], generator: np.random.Generator) -> Array:
        count = len(positions)
        of, rows, columns = positions[:, :3].astype(np.int64).T
        matches = np.floor(positions[:, 3] + generator.random(count)).astype(np.int64)
        apart = generator.integers(NEAREST, FARTHEST + 1, count) * generator.choice([-1, 1], count)
        limits = np.array([right.shape[1] for _, right in self._windows])[of]
        outside = (matches + apart < 0) | (matches + apart >= limits)
        wrong = matches + np.where(outside, -apart, apart)
        batch = np.empty((3, count, 1, PATCH, PATCH), np.float32)
        for index, (left, right) in enumerate(self._windows):
            here = of == index
            batch[0, here, 0] = left[rows[here], columns[here]]
            batch[1, here, 0] = right[rows[here], matches[here]]
            batch[2, here, 0] = right[rows[here], wrong[here]]
        return batch


def hinge(model: nn.Module, patches: torch.Tensor) -> torch.Tensor:
    """The mean of max(0, MARGIN + wrong - right), dot products of features of length 1, over `Pairs.batches`."""
    from torch.nn import functional

    features = functional.normalize(model(patches.flatten(0, 1)).flatten(1), dim=1)
    left, right, wrong = features.reshape(3, patches.shape[1], -1)
    return (MARGIN + (left * wrong).sum(1) - (left * right).sum(1)).clamp(min=0).mean()


def errors(features: Callable[[Array], Array], scene: Scene, count: int, seed: int) -> dict[str, Any]:
    """How many of a sample of known pixels get a disparity that is off by more than TOLERANCE.

    features: what a normalised picture (1, 1, H, W) gives, (1, C, H - PATCH + 1, W - PATCH + 1). The disparity of a
    pixel is the one, of whole numbers from 0 to the scene's largest, whose features have the greatest product; nothing
    is smoothed, checked or filled in after that. Returns fractions `all` and `visible`, of those pixels of the sample
    that the right picture shows with a whole patch around them, and the numbers of both, `pixels` and `visible_pixels`.
    DataError without any pixel.
    """
    left, right = (_unit(features(normalised_picture(picture))) for picture in (scene.left, scene.right))
    inner = slice(BORDER, -BORDER), slice(BORDER, -BORDER)
    truth, visible = scene.disparity[inner], scene.visible()[inner]
    rows, columns = np.nonzero(np.isfinite(truth))
    if not len(rows):
        raise DataError(f"scene {scene.name}: no known pixel has a whole patch around it")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(rows))[:count])
    rows, columns = rows[chosen], columns[chosen]
    here = left[rows, columns]
    best, found = np.full(len(rows), -np.inf, np.float32), np.zeros(len(rows))
    for disparity in range(int(np.ceil(np.nanmax(scene.disparity))) + 1):
        inside = columns >= disparity
        products = np.full(len(rows), -np.inf, np.float32)
        products[inside] = (here[inside] * right[rows[inside], columns[inside] - disparity]).sum(axis=1)
        better = products > best
        best[better], found[better] = products[better], disparity
    wrong = np.abs(found - truth[rows, columns]) > TOLERANCE
    seen = visible[rows, columns] & (columns >= truth[rows, columns])
    return {
        "all": float(wrong.mean()),
        "visible": float(wrong[seen].mean()) if seen.any() else None,
        "pixels": len(rows),
        "visible_pixels": int(seen.sum()),
    }


def _unit(features: Array) -> Array:
    """(1, C, H, W) to (H, W, C), each of length 1 or 0."""
    last = np.ascontiguousarray(features[0].transpose(1, 2, 0), np.float32)
    return last / np.maximum(np.linalg.norm(last, axis=2, keepdims=True), np.float32(1e-12))
