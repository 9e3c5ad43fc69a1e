"""LeNet-300-100 and LeNet-5 (20-50-500-10) for MNIST digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def lenet300100() -> nn.Module:
    """784-300-100-10 with ReLU."""
    from torch import nn

    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )


def lenet5() -> nn.Module:
    """Convolutions 5 x 5 of 20 and 50 channels, each with ReLU and a 2 x 2 maximum, then 800-500-10."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10)),
    )
