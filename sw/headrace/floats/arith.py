"""Convolutions and windows on NumPy float32: what an imported network means."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Padding, Pair, extent, window_counts

Floats = NDArray[np.float32]
BLOCK = 1 << 24
"""Most elements of a matrix of windows, unless one image has more: 64 MB."""


def conv2d(x: Floats, w: Floats, stride: int, padding: Padding, dilation: Pair, groups: int) -> Floats:
    """Cross-correlation of x (N, C, H, W) with w (M, C // groups, kh, kw), zeros around x: (N, M, H', W')."""
    (n, channels), (m, c, kh, kw) = x.shape[:2], w.shape
    height, width = window_counts((x.shape[2], x.shape[3]), (kh, kw), stride, padding, dilation)
    kernel = w.reshape(groups, m // groups, c * kh * kw)
    result = np.empty((n, m, height, width), np.float32)
    images = max(1, BLOCK // max(1, channels * kh * kw * height * width))
    for first in range(0, n, images):
        padded = _pad(x[first : first + images], padding, 0.0)
        reach = (extent(kh, dilation[0]), extent(kw, dilation[1]))
        view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
        view = view[:, :, ::stride, ::stride, :: dilation[0], :: dilation[1]]
        block = view.reshape(len(padded), groups, c, height, width, kh, kw)
        columns = block.transpose(1, 2, 5, 6, 0, 3, 4).reshape(groups, c * kh * kw, -1)
        sums = product(kernel, columns).reshape(m, len(padded), height, width)
        result[first : first + images] = sums.transpose(1, 0, 2, 3)
    return result


def product(a: Floats, b: Floats) -> Floats:
    """a @ b. Some BLAS kernels set the invalid flag by what lies beside their operands; results are checked later."""
    with np.errstate(invalid="ignore"):
        result: Floats = a @ b
    return result


def max_pool2d(x: Floats, kernel: int, stride: int, padding: Padding) -> Floats:
    """Maximum over kernel x kernel windows of x (N, C, H, W), -infinity around it."""
    padded = _pad(x, padding, -np.inf)
    return reduce(np.maximum, _shifted(padded, x.shape, (kernel, kernel), stride, padding))


def average_pool2d(x: Floats, kernel: Pair, stride: int, padding: Padding) -> Floats:
    """Mean over windows of kernel (kh, kw) of x (N, C, H, W) with zeros around it, which count."""
    padded = _pad(x, padding, 0.0)
    return reduce(np.add, _shifted(padded, x.shape, kernel, stride, padding)) / np.float32(kernel[0] * kernel[1])


def _shifted(padded: Floats, shape: tuple[int, ...], kernel: Pair, stride: int, padding: Padding) -> list[Floats]:
    """For every tap what each window has there."""
    height, width = window_counts((shape[2], shape[3]), kernel, stride, padding)
    rows = [slice(i, i + stride * height, stride) for i in range(kernel[0])]
    columns = [slice(j, j + stride * width, stride) for j in range(kernel[1])]
    return [padded[:, :, row, column] for row in rows for column in columns]


def _pad(x: Floats, padding: Padding, value: float) -> Floats:
    top, left, bottom, right = padding
    if not (top or left or bottom or right):
        return x
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
