"""The arithmetic of the device on NumPy integers: what every other implementation must equal, bit for bit.

Sums run through float64 BLAS where a bound proves them exact (every partial sum is an integer below 2**53, in any
order of addition), else through int64. Nothing here wraps: inputs that could leave int64 raise ValueError.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .isa import MULTIPLIER_BITS, SHIFT_BITS

EXACT_FLOAT = 1 << 53
EXACT_INT = 1 << 63


def conv2d(
    x: NDArray[np.int8], w: NDArray[np.integer], stride: int = 1, padding: int = 0, groups: int = 1
) -> NDArray[np.int64]:
    """Cross-correlation of x (N, C, H, W) int8 with w (M, C // groups, kh, kw) integer: (N, M, H', W') int64.

    `padding` zeros on all four sides; H' = (H + 2 * padding - kh) // stride + 1. ValueError for shapes that do not fit.
    """
    _check(x, w, 4, 4)
    if groups < 1 or x.shape[1] % groups or w.shape[0] % groups or x.shape[1] // groups != w.shape[1]:
        raise ValueError(f"conv2d: input {x.shape} and weights {w.shape} do not share channels in {groups} groups")
    if stride < 1 or padding < 0:
        raise ValueError(f"conv2d: stride {stride} must be positive and padding {padding} not negative")
    if padding:
        x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    (n, _, rows, columns), (m, c, kh, kw) = x.shape, w.shape
    height, width = (rows - kh) // stride + 1, (columns - kw) // stride + 1
    if kh < 1 or kw < 1 or height < 1 or width < 1:
        raise ValueError(f"conv2d: kernel {kh}x{kw} does not fit into {rows}x{columns}")
    kind = _sum_type(x, w)
    kernel = w.astype(kind).reshape(groups, m // groups, c, kh, kw)
    result: NDArray[Any] = np.zeros((n, groups, m // groups, height * width), kind)
    for i in range(kh):
        for j in range(kw):
            window = x[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
            result += exact_product(kernel[:, :, :, i, j], window.astype(kind).reshape(n, groups, c, height * width))
    return result.reshape(n, m, height, width).astype(np.int64)


def linear(x: NDArray[np.int8], w: NDArray[np.integer]) -> NDArray[np.int64]:
    """x (N, K) int8 times w (M, K) integer: (N, M) int64. ValueError for shapes that do not fit."""
    _check(x, w, 2, 2)
    if x.shape[1] != w.shape[1]:
        raise ValueError(f"linear: input {x.shape} and weights {w.shape} differ in their second dimension")
    kind = _sum_type(x, w)
    return exact_product(x.astype(kind), w.astype(kind).T).astype(np.int64)


def max_pool2d(x: NDArray[np.integer], kernel: int, stride: int | None = None) -> NDArray[np.integer]:
    """Maximum over kernel x kernel windows of x (N, C, H, W), same dtype; `stride` defaults to `kernel`.

    Rows and columns that fill no whole window are dropped. ValueError where there is no window at all.
    """
    stride = kernel if stride is None else stride
    if x.ndim != 4 or not np.issubdtype(x.dtype, np.integer):
        raise ValueError(f"max_pool2d: input must be integers (N, C, H, W), not {x.dtype} {x.shape}")
    if kernel < 1 or stride < 1 or min(x.shape[2:]) < kernel:
        raise ValueError(f"max_pool2d: kernel {kernel}, stride {stride} do not fit {x.shape}")
    height, width = (x.shape[2] - kernel) // stride + 1, (x.shape[3] - kernel) // stride + 1
    result = x[:, :, : stride * height : stride, : stride * width : stride].copy()
    for i in range(kernel):
        for j in range(kernel):
            window = x[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
            np.maximum(result, window, out=result)
    return result


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


def _sum_type(x: NDArray[np.int8], w: NDArray[np.integer]) -> type[np.float64] | type[np.int64]:
    """float64 where no sum of x * w over a row of w can reach 2**53, else int64; ValueError past int64."""
    length = int(np.prod(w.shape[1:]))
    bound = max(_largest(x), 1) * _largest(w) * length
    if bound >= EXACT_INT:
        raise ValueError(f"sums of {length} products of these weights may reach {bound}, which int64 cannot hold")
    return np.float64 if bound < EXACT_FLOAT else np.int64
