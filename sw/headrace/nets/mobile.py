"""Depthwise separable networks of MLPerf Tiny, with their batch normalisations folded, for any picture size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

PAIRS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *((128, 1),) * 5, (256, 2), (256, 1))
"""Of MobileNetV1 x 0.25: channels, stride."""


def _pair(before: int, channels: int, stride: int = 1) -> list[nn.Module]:
    """Depthwise 3 x 3 and pointwise convolution, ReLU after each; odd padding lies below and to the right."""
    from torch import nn

    pad = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    depthwise = nn.Conv2d(before, before, 3, stride, padding=0 if pad else 1, groups=before)
    return [*pad, depthwise, nn.ReLU(), nn.Conv2d(before, channels, 1), nn.ReLU()]


def dscnn() -> nn.Module:
    """DS-CNN: 49 x 10 coefficients to 12 keywords, four pairs of 64 channels."""
    from torch import nn

    pairs = [layer for _ in range(4) for layer in _pair(64, 64)]
    first = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2), nn.ReLU()]
    return nn.Sequential(*first, *pairs, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 12))


def mobilenet() -> nn.Module:
    """MobileNetV1 x 0.25 (arXiv 1704.04861): 96 x 96 pixels, 0..1, to person or none."""
    from torch import nn

    layers: list[nn.Module] = [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.ReLU()]
    before = 8
    for channels, stride in PAIRS:
        layers += _pair(before, channels, stride)
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 2))
