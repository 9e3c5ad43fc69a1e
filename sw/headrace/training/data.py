"""Training, validation and test samples of a recipe, and batches of them that depend on seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headrace.data.samples import Samples, normalised, open_samples
from headrace.errors import DataError
from headrace.nets import NETS

from .recipe import Recipe

if TYPE_CHECKING:
    import torch

SHIFT = 8
"""Pictures are moved by up to a part of their height and width: one SHIFTth."""


@dataclass(frozen=True, eq=False)
class Data:
    """The three parts; checkpoints are chosen on validation, test is looked at once a point."""

    train: Samples
    validation: Samples
    test: Samples


def load_data(where: str, recipe: Recipe) -> Data:
    """As `open_samples`; validation is the end of the training split.

    DataError for data without labels, of one split only, too small, or that does not fit the network.
    """
    train, test = open_samples(where, "train"), open_samples(where, "test")
    if train.labels is None or test.labels is None:
        raise DataError(f"{where} has no labels to train with; fetch the whole set")
    if train.title == test.title:
        raise DataError(f"{where} has one split; training needs a training and a test set")
    for part in (train, test):
        _check(part, recipe.network)
    count = len(train) - recipe.validation
    if count < recipe.batch:
        raise DataError(f"{where}: {len(train):,} training samples are too few to hold {recipe.validation:,} out")
    validation = Samples(train.title, train.inputs[count:], train.labels[count:])
    return Data(train.first(min(count, recipe.samples or count)), validation, test)


def _check(samples: Samples, network: str) -> None:
    """DataError where inputs or labels are not what the network takes and gives."""
    net, labels = NETS[network], samples.labels
    assert labels is not None
    if samples.inputs.shape[1:] != net.input_shape:
        raise DataError(f"{network} takes inputs {net.input_shape}; {samples.title} has {samples.inputs.shape[1:]}")
    classes = net.output_shape[0]
    if labels.ndim != 1 or (labels != np.rint(labels.astype(np.float64))).any():
        raise DataError(f"{samples.title}: labels must be one whole number a sample, not {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        found = f"{labels.min()} to {labels.max()}"
        raise DataError(f"{samples.title}: labels are {found}; {network} tells classes 0 to {classes - 1} apart")


def batches(recipe: Recipe, train: Samples, stage: int, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and labels of one epoch, whole batches in an order of its own; the same for the same seed."""
    import torch

    generator = np.random.default_rng([recipe.seed, stage, epoch])
    order = generator.permutation(len(train))
    assert train.labels is not None
    for first in range(0, len(train) - recipe.batch + 1, recipe.batch):
        chosen = order[first : first + recipe.batch]
        x = augmented(train.inputs[chosen], recipe.augment, generator)
        labels = torch.from_numpy(train.labels[chosen].astype(np.int64))
        yield torch.from_numpy(normalised(x, recipe.normalise).astype(np.float32)), labels


def augmented(x: NDArray[np.generic], how: str, generator: np.random.Generator) -> NDArray[np.generic]:
    """Pictures (N, C, H, W), each moved by up to an eighth, with zeros where it came from, and mirrored or not."""
    if how == "none":
        return x
    n, _, height, width = x.shape
    flips = generator.random(n) < 0.5 if how == "shift+flip" else np.zeros(n, bool)
    dy, dx = height // SHIFT, width // SHIFT
    padded = np.pad(x, ((0, 0), (0, 0), (dy, dy), (dx, dx)))
    tops, lefts = generator.integers(0, 2 * dy + 1, n), generator.integers(0, 2 * dx + 1, n)
    moved = np.stack(
        [one[:, top : top + height, left : left + width] for one, top, left in zip(padded, tops, lefts, strict=True)]
    )
    moved[flips] = moved[flips][..., ::-1]
    return moved
