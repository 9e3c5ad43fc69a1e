"""VGG19 (arXiv 1409.1556) for pictures of 32 x 32: 16 convolutions, then 512-4096-4096-10; 39 million weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

GROUPS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""Channels and convolutions between 2 x 2 maxima."""


def vgg19(channels: int = 3) -> nn.Module:
    """For CIFAR-10, or `channels` of another data set."""
    from torch import nn

    layers: list[nn.Module] = []
    for width, convolutions in GROUPS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    head = [nn.Flatten(), nn.Linear(512, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 10)]
    return nn.Sequential(*layers, *head)


def vgg19_mnist() -> nn.Module:
    """For MNIST digits with two rows and columns of zeros around them."""
    return vgg19(1)
