"""The autoencoder of MLPerf Tiny for anomalies in machine sounds: the reconstruction's error is the anomaly's score."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (640, *(128,) * 4, 8, *(128,) * 4, 640)
"""640 inputs are five frames of 128 mel bands."""


def autoencoder() -> nn.Module:
    """Matrix products with ReLU but after the last; batch normalisations folded."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in pairwise(WIDTHS):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
