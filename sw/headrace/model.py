"""The arithmetic of the device on NumPy integers: what every other implementation must equal, bit for bit.

Sums run through float32 or float64 BLAS where a bound proves them exact (every partial sum is an integer below 2**24
or 2**53, in any order of addition), else through int64. Nothing here wraps: inputs that could leave int64 raise
ValueError.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Padding, Pair, extent, window_counts
from .isa import MULTIPLIER_BITS, SHIFT_BITS

EXACT_FLOAT = 1 << 53
EXACT_SINGLE = 1 << 24
EXACT_INT = 1 << 63
BLOCK = 1 << 23
"""Most elements of a matrix of windows, unless one row of one image has more: 64 MB of float64."""
SMALL_GROUP = 4
"""Output channels of a one-channel group from which a matrix product is worth its copies."""


def conv2d(
    x: NDArray[np.int8],
    w: NDArray[np.integer],
    stride: int = 1,
    padding: int | Padding = 0,
    groups: int = 1,
    dilation: int | Pair = 1,
) -> NDArray[np.int64]:
    """Cross-correlation of x (N, C, H, W) int8 with w (M, C // groups, kh, kw) integer: (N, M, H', W') int64.

    `padding` zeros on all four sides, or (top, left, bottom, right); `dilation` elements from tap to tap, or (rows,
    columns); H' = (H + top + bottom - dh * (kh - 1) - 1) // stride + 1. ValueError for shapes that do not fit.
    """
    _check(x, w, 4, 4)
    (m, c, kh, kw), (n, channels) = w.shape, x.shape[:2]
    if groups < 1 or channels % groups or m % groups or channels // groups != c:
        raise ValueError(f"conv2d: input {x.shape} and weights {w.shape} do not share channels in {groups} groups")
    dilations = (dilation, dilation) if isinstance(dilation, (int, np.integer)) else dilation
    height, width = _windows("conv2d", x, (kh, kw), stride, padding, dilations)
    kind = _sum_type(x, w)
    x = _pad(x, padding, 0)
    view = np.lib.stride_tricks.sliding_window_view(
        x.reshape(n, groups, c, *x.shape[2:]), [extent(kh, dilations[0]), extent(kw, dilations[1])], axis=(3, 4)
    )
    # (groups, c, kh, kw, n, height, width): what each tap sees, still without a copy.
    taps = view[..., ::stride, ::stride, :: dilations[0], :: dilations[1]].transpose(1, 2, 5, 6, 0, 3, 4)
    result = np.empty((n, m, height, width), np.int64)
    if c == 1 and m // groups < SMALL_GROUP:
        _depthwise(taps, w.astype(kind).reshape(groups, m // groups, kh, kw), result)
        return result
    kernel = w.astype(kind).reshape(groups, m // groups, c * kh * kw)
    rows = min(height, max(1, BLOCK // max(1, channels * kh * kw * width)))
    images = max(1, BLOCK // max(1, channels * kh * kw * width * rows))
    for image in range(0, n, images):
        for row in range(0, height, rows):
            block = taps[..., image : image + images, row : row + rows, :]
            columns = block.astype(kind, order="C").reshape(groups, c * kh * kw, -1)
            sums = exact_product(kernel, columns).reshape(m, *block.shape[4:])
            result[image : image + images, :, row : row + rows] = sums.transpose(1, 0, 2, 3)
    return result


def _depthwise(taps: NDArray[np.int8], kernel: NDArray[Any], result: NDArray[np.int64]) -> None:
    """`conv2d` where a group is one channel: products of planes with numbers, an image at a time."""
    groups, rows, kh, kw = kernel.shape
    for image, y in enumerate(result):
        sums: NDArray[Any] = np.zeros((groups, rows, *y.shape[1:]), kernel.dtype)
        for i in range(kh):
            for j in range(kw):
                sums += kernel[:, :, i, j, None, None] * taps[:, :, i, j, image].astype(kernel.dtype)
        y[...] = sums.reshape(y.shape)


def linear(x: NDArray[np.int8], w: NDArray[np.integer]) -> NDArray[np.int64]:
    """x (N, K) int8 times w (M, K) integer: (N, M) int64. ValueError for shapes that do not fit."""
    _check(x, w, 2, 2)
    if x.shape[1] != w.shape[1]:
        raise ValueError(f"linear: input {x.shape} and weights {w.shape} differ in their second dimension")
    kind = _sum_type(x, w)
    return exact_product(x.astype(kind), w.astype(kind).T).astype(np.int64)


def max_pool2d(
    x: NDArray[np.integer], kernel: int, stride: int | None = None, padding: int | Padding = 0
) -> NDArray[np.integer]:
    """Maximum over kernel x kernel windows of x (N, C, H, W), same dtype; `stride` defaults to `kernel`.

    `padding` as in `conv2d`, of the dtype's smallest number. Rows and columns that fill no whole window are dropped.
    ValueError where there is no window at all.
    """
    if x.ndim != 4 or not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"max_pool2d: input must be integers (N, C, H, W), not {x.dtype} {x.shape}")
    stride = kernel if stride is None else stride
    height, width = _windows("max_pool2d", x, (kernel, kernel), stride, padding)
    padded = _pad(x, padding, int(np.iinfo(x.dtype).min))
    tall = reduce(np.maximum, (padded[:, :, i : i + stride * height : stride] for i in range(kernel)))
    return reduce(np.maximum, (tall[..., j : j + stride * width : stride] for j in range(kernel))).copy()


def sum_pool2d(x: NDArray[np.int8], kernel: Pair, stride: int = 1, padding: int | Padding = 0) -> NDArray[np.int64]:
    """Sum over windows of kernel (kh, kw) of x (N, C, H, W) int8: (N, C, H', W') int64. Else as `conv2d`."""
    if x.dtype != np.int8 or x.ndim != 4:
        raise ValueError(f"sum_pool2d: input must be int8 (N, C, H, W), not {x.dtype} {x.shape}")
    height, width = _windows("sum_pool2d", x, kernel, stride, padding)
    padded = _pad(x, padding, 0).astype(np.int64)
    tall = reduce(np.add, (padded[:, :, i : i + stride * height : stride] for i in range(kernel[0])))
    return reduce(np.add, (tall[..., j : j + stride * width : stride] for j in range(kernel[1]))).copy()


def exact_product(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """a @ b of integers that the caller has proved exact in their type.

    Some BLAS kernels compute on the unused ends of their vector registers too, and set the invalid flag by what lies
    there; it says nothing about the result.
    """
    with np.errstate(invalid="ignore"):
        product: NDArray[Any] = a @ b
    return product


def requant(
    acc: NDArray[np.integer],
    bias: NDArray[np.integer],
    multiplier: NDArray[np.integer],
    shift: NDArray[np.integer],
    low: int = -128,
    high: int = 127,
) -> NDArray[np.int8]:
    """`clip(((acc + bias) * multiplier + (1 << (shift - 1))) >> shift, low, high)`: round half up, then saturate.

    acc (N, M, ...) integer; bias, multiplier (0..65535), shift (1..63) integers (M,), a channel each: int8 of acc's
    shape. ValueError for shapes or limits that do not fit, or sums of 2**46 and more.
    """
    if acc.ndim < 2 or not np.issubdtype(acc.dtype, np.integer):
        raise ValueError(f"requant: sums must be integers (N, M, ...), not {acc.dtype} {acc.shape}")
    columns = []
    for name, values in (("bias", bias), ("multiplier", multiplier), ("shift", shift)):
        values = np.asarray(values)
        if values.shape != (acc.shape[1],) or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"requant: {name} must be {acc.shape[1]} integers, not {values.dtype} {values.shape}")
        columns.append(values.astype(np.int64).reshape(1, -1, *(1,) * (acc.ndim - 2)))
    b, m, s = columns
    if not -128 <= low <= high <= 127:
        raise ValueError(f"requant: limits {low}, {high} are not ordered in -128..127")
    if m.size and not (m.min() >= 0 and m.max() < 1 << MULTIPLIER_BITS and s.min() >= 1 and s.max() < 1 << SHIFT_BITS):
        raise ValueError("requant: multipliers must be in 0..65535, shifts in 1..63")
    if _largest(acc) + _largest(b) >= 1 << 46:
        raise ValueError("requant: sums reach 2**46, products would leave int64")
    y = ((acc.astype(np.int64) + b) * m + (np.int64(1) << (s - 1))) >> s
    return np.clip(y, low, high).astype(np.int8)


def _check(x: NDArray[np.int8], w: NDArray[np.integer], x_dims: int, w_dims: int) -> None:
    if x.dtype != np.int8 or x.ndim != x_dims:
        raise ValueError(f"input must be int8 of {x_dims} dimensions, not {x.dtype} {x.shape}")
    if not np.issubdtype(w.dtype, np.integer) or w.ndim != w_dims:
        raise ValueError(f"weights must be integers of {w_dims} dimensions, not {w.dtype} {w.shape}")


def _largest(values: NDArray[np.integer]) -> int:
    """Largest magnitude, as an exact integer; 0 of nothing."""
    return max(-int(values.min()), int(values.max())) if values.size else 0


def _sides(padding: int | Padding) -> Padding:
    return (padding, padding, padding, padding) if isinstance(padding, (int, np.integer)) else padding


def _windows(
    call: str, x: NDArray[np.integer], kernel: Pair, stride: int, padding: int | Padding, dilation: Pair = (1, 1)
) -> Pair:
    """Windows along height and width; ValueError, naming `call`, where there is none."""
    sides = _sides(padding)
    if stride < 1 or len(sides) != 4 or min(sides) < 0 or len(dilation) != 2 or min(dilation) < 1:
        raise ValueError(
            f"{call}: stride {stride} and dilation {dilation} must be positive, padding {padding} not negative"
        )
    height, width = window_counts((x.shape[2], x.shape[3]), kernel, stride, sides, dilation)
    if min(kernel) < 1 or height < 1 or width < 1:
        raise ValueError(f"{call}: kernel {kernel[0]}x{kernel[1]} does not fit into {x.shape[2]}x{x.shape[3]}")
    return height, width


def _pad(x: NDArray[Any], padding: int | Padding, value: int) -> NDArray[Any]:
    top, left, bottom, right = _sides(padding)
    if not (top or left or bottom or right):
        return x
    return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)


def _sum_type(x: NDArray[np.int8], w: NDArray[np.integer]) -> type[np.float32 | np.float64 | np.int64]:
    """The fastest type that holds every sum of some of the products x * w of a row of w; ValueError past int64."""
    length = int(np.prod(w.shape[1:]))
    bound = max(_largest(x), 1) * _largest(w) * length
    if bound >= EXACT_INT:
        raise ValueError(f"sums of {length} products of these weights may reach {bound}, which int64 cannot hold")
    rows = np.abs(w.astype(np.int64)).reshape(len(w), -1).sum(axis=1)
    bound = max(_largest(x), 1) * _largest(rows)
    if bound < EXACT_SINGLE:
        return np.float32
    return np.float64 if bound < EXACT_FLOAT else np.int64
