"""Iterative magnitude pruning on labels or without any, and what its masks are compared with (arXiv 2001.03554).

A round: train, prune a fifth of the weights that are left, the smallest of all layers together, and set the others back
to what they were early in training, or to new random values. RotNet's task needs no labels: a network tells by which
of four rotations a picture was turned. The last layer is never pruned, since it goes with the task, and neither are
batch normalisations. `Constraints.set_masks` trains with the masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .constraints import weighted_modules
from .prune import magnitude_mask

if TYPE_CHECKING:
    import torch
    from torch import nn

Masks = dict[str, NDArray[np.bool_]]
FRACTION = 0.2
ROTATIONS = 4


def prunable(network: nn.Module) -> list[str]:
    """Names of the layers that are pruned: all trained convolutions and products but the last."""
    return list(weighted_modules(network))[:-1]


def full_masks(network: nn.Module) -> Masks:
    """Masks that keep everything, of the prunable layers."""
    modules = weighted_modules(network)
    return {name: np.ones(tuple(modules[name].weight.shape), np.bool_) for name in prunable(network)}


def prune_round(weights: Mapping[str, ArrayLike], masks: Masks, fraction: float = FRACTION) -> Masks:
    """New masks without the `round(fraction * kept)` smallest of the weights that the masks keep, over all layers.

    weights: of at least the layers that have masks; others are not looked at. Among equal magnitudes the last go first.
    ValueError where fraction is outside 0 to 1, shapes differ, a layer is missing, or a weight is not finite.
    """
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must be between 0 and 1, not {fraction}")
    for name, mask in masks.items():
        if name not in weights or np.shape(weights[name]) != mask.shape:
            raise ValueError(f"no weights {mask.shape} of layer {name!r}")
    left = np.concatenate([np.asarray(weights[name])[mask] for name, mask in masks.items()] or [np.zeros(0)])
    kept = left.size - round(fraction * left.size)
    chosen = magnitude_mask(left, kept / left.size if left.size else 1.0)
    ends = np.cumsum([np.count_nonzero(mask) for mask in masks.values()])[:-1]
    pruned = {name: mask.copy() for name, mask in masks.items()}
    for mask, part in zip(pruned.values(), np.split(chosen, ends), strict=False):
        mask[mask] = part
    return pruned


def permuted(masks: Masks, seed: int) -> Masks:
    """The control: each layer keeps as many weights, at places by chance; the same for the same seed."""
    generator = np.random.default_rng(seed)
    return {name: generator.permutation(mask.ravel()).reshape(mask.shape) for name, mask in masks.items()}


def density(masks: Masks) -> float:
    """Of all weights that have a mask, the fraction that is kept; 1 where there are none."""
    whole = sum(mask.size for mask in masks.values())
    return sum(int(np.count_nonzero(mask)) for mask in masks.values()) / whole if whole else 1.0


def reset(network: nn.Module, state: Mapping[str, torch.Tensor], masks: Masks) -> None:
    """Set a network to an earlier or a newly drawn state, in place, but for weights that the masks prune: those are 0.

    state: a `state_dict` of the same network. A last layer of another shape, of another task, stays as it is.
    ValueError where any other tensor is missing or has another shape.
    """
    import torch

    modules = weighted_modules(network)
    last = list(modules)[-1]
    for name, value in network.state_dict().items():
        fits = name in state and state[name].shape == value.shape
        if not fits and name.rpartition(".")[0] != last:
            raise ValueError(f"the state has no {name!r} of shape {tuple(value.shape)}")
        if fits:
            value.copy_(state[name])
    with torch.no_grad():
        for name, mask in masks.items():
            modules[name].weight.mul_(torch.from_numpy(mask))


def rotations(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All four rotations of square pictures (N, C, H, H), counterclockwise: (4 N, C, H, H) and int64 labels (4 N,).

    Label r are r quarter turns; pictures come in the order of their labels. ValueError for other shapes.
    """
    import torch

    if x.ndim != 4 or x.shape[2] != x.shape[3]:
        raise ValueError(f"pictures to rotate are (N, C, H, H), not {tuple(x.shape)}")
    turned = torch.cat([torch.rot90(x, turns, (2, 3)) for turns in range(ROTATIONS)])
    return turned, torch.arange(ROTATIONS).repeat_interleave(len(x))


def rotation_loss(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the rotations of a batch, of a network with four outputs."""
    from torch.nn import functional

    turned, labels = rotations(x)
    return functional.cross_entropy(network(turned), labels)


def set_classes(network: nn.Module, classes: int) -> None:
    """Give the network, in place, a new last layer with so many outputs, by torch's generator.

    ValueError where its last layer is not a Linear.
    """
    from torch import nn

    name, last = list(weighted_modules(network).items())[-1]
    if not isinstance(last, nn.Linear):
        raise ValueError(f"the last layer {name!r} is no Linear")
    network.set_submodule(name, nn.Linear(last.in_features, classes, last.bias is not None))
