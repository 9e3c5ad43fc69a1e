"""What compares patches of a stereo pair, in the manner of MC-CNN's fast architecture (arXiv 1510.05970)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

LAYERS, CHANNELS = 4, 32
PATCH = 2 * LAYERS + 1
"""Pixels of a side of what one output sees."""


def matching() -> nn.Module:
    """Grey pictures, of mean 0 and deviation 1, to features of every whole patch; ReLU after all layers but the last.

    Both pictures go through the same weights. Features of length 1 are compared by their dot product; making them so
    long is left to whoever compares.
    """
    from torch import nn

    layers: list[nn.Module] = []
    for index in range(LAYERS):
        layers += [nn.Conv2d(CHANNELS if index else 1, CHANNELS, 3), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
