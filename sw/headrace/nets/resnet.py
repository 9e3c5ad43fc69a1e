"""Residual networks for CIFAR-10: ResNet-8 of MLPerf Tiny, ResNet-20, -56 and -110 of arXiv 1512.03385.

Where the latter halve the picture, their shortcut takes every second pixel and adds channels of zeros on both sides: a
fixed 1 x 1 convolution of stride 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

KERAS_EPSILON, KERAS_MOMENTUM = 1e-3, 0.01
"""Of batch normalisations whose weights come from Keras; momentum as torch counts it."""


def resnet8() -> nn.Module:
    """Blocks of 16, 32 and 64 channels; input 0..255. Odd rows of padding lie below and to the right."""
    import torch
    from torch import nn

    def normalisation(channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=KERAS_EPSILON, momentum=KERAS_MOMENTUM)

    class Block(nn.Module):
        def __init__(self, before: int, channels: int) -> None:
            super().__init__()
            stride = 1 if before == channels else 2
            self.pad = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
            self.conv1, self.bn1 = nn.Conv2d(before, channels, 3, stride), normalisation(channels)
            self.conv2, self.bn2 = nn.Conv2d(channels, channels, 3, padding=1), normalisation(channels)
            self.shortcut = nn.Conv2d(before, channels, 1, stride) if stride == 2 else nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(self.pad(x))))))
            return torch.relu(y + self.shortcut(x))

    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), normalisation(16), nn.ReLU()),
        *(Block(16, 16), Block(16, 32), Block(32, 64)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


def resnet20() -> nn.Module:
    """Three blocks each of 16, 32 and 64 channels; input normalised by ImageNet's means and deviations."""
    return resnet(3)


def resnet56() -> nn.Module:
    """Nine blocks each; else as `resnet20`."""
    return resnet(9)


def resnet110() -> nn.Module:
    """Eighteen blocks each; else as `resnet20`."""
    return resnet(18)


def resnet(blocks: int) -> nn.Module:
    """So many blocks each of 16, 32 and 64 channels, for pictures of any even size."""
    import torch
    from torch import nn

    def shortcut(before: int, channels: int) -> nn.Module:
        conv = nn.Conv2d(before, channels, 1, 2, bias=False)
        weights = torch.zeros(channels, before, 1, 1)
        weights[(channels - before) // 2 + torch.arange(before), torch.arange(before)] = 1
        conv.weight = nn.Parameter(weights, requires_grad=False)
        return conv

    class Block(nn.Module):
        def __init__(self, before: int, channels: int) -> None:
            super().__init__()
            stride = 1 if before == channels else 2
            self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.shortcut = nn.Identity() if stride == 1 else shortcut(before, channels)

        def forward(self, x: Tensor) -> Tensor:
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + self.shortcut(x))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
            self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(blocks)))
            self.layer2 = nn.Sequential(Block(16, 32), *(Block(32, 32) for _ in range(blocks - 1)))
            self.layer3 = nn.Sequential(Block(32, 64), *(Block(64, 64) for _ in range(blocks - 1)))
            self.pool, self.linear = nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.layer3(self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x))))))
            y: Tensor = self.linear(torch.flatten(self.pool(x), 1))
            return y

    return ResNet()
