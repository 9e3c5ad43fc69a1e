"""Operators of PyTorch's exported programs that compute, as layers of a draft."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np

from headrace.geometry import Padding

from . import operations as ops
from .aten_call import Call
from .draft import Unsupported, Value
from .pooling import global_average, global_maximum, pool
from .shapes import inner_axis
from .windows import pair, rows, same_sides


def _each(values: Any, count: int) -> list[int]:
    """One number an axis, from one for all or from all."""
    given = [int(values)] if isinstance(values, int) else [int(one) for one in values]
    return given * count if len(given) == 1 else given


def _around(values: Sequence[int]) -> Padding:
    rows, columns = pair(values, 0)
    return rows, columns, rows, columns


def _conv(call: Call) -> Value:
    x, weights = call.tensor("input"), call.weights()
    axes = weights.ndim - 2
    if call.get("transposed", False):
        raise Unsupported("the device does not enlarge; end the network before it, and let the host do the rest")
    strides = pair(_each(call.get("stride", 1), axes), 1)
    dilation = pair(_each(call.get("dilation", 1), axes), 1)
    padding = call.get("padding", 0)
    if isinstance(padding, str):
        size, kernel = rows(x.shape, axes)[1:], pair(weights.shape[2:], 1)
        same = padding == "same"
        sides = same_sides((size[0], size[1]), kernel, strides, dilation, False) if same else (0, 0, 0, 0)
    else:
        sides = _around(_each(padding, axes))
    bias = call.floats("bias")
    return ops.conv(call.draft, call.node, x, weights, bias, strides, sides, dilation, call.get("groups", 1))


def _linear(call: Call) -> Value:
    return ops.linear(call.draft, call.node, call.tensor("input"), call.weights(), call.floats("bias"))


def _addmm(call: Call) -> Value:
    if call.get("alpha", 1) != 1 or call.get("beta", 1) != 1:
        raise Unsupported("alpha or beta is not 1")
    weights = np.ascontiguousarray(call.weights("mat2").T)
    bias = np.broadcast_to(call.weights("self"), weights.shape[:1])
    return ops.linear(call.draft, call.node, call.tensor("mat1"), weights, bias)


def _matmul(call: Call) -> Value:
    key = "mat2" if "mat2" in call.arguments else "other"
    weights = call.weights(key)
    if weights.ndim != 2:
        raise Unsupported(f"weights of {weights.ndim} axes")
    return ops.linear(call.draft, call.node, call.tensor("self"), np.ascontiguousarray(weights.T), None)


def _batch_norm(call: Call) -> Value:
    if call.get("training", False):
        raise Unsupported("it is in training mode; export the model after model.eval()")
    x, mean, variance = call.tensor("input"), call.weights("running_mean"), call.weights("running_var")
    gamma, beta = call.floats("weight"), call.floats("bias")
    gamma = np.ones_like(mean) if gamma is None else gamma
    beta = np.zeros_like(mean) if beta is None else beta
    return ops.batch_norm(call.draft, call.node, x, gamma, beta, mean, variance, float(call.get("eps", 1e-5)))


def _clip(low: str, high: str, low_default: float = -inf, high_default: float = inf) -> Callable[[Call], Value]:
    def clip(call: Call) -> Value:
        limits = float(call.get(low, low_default)), float(call.get(high, high_default))
        return ops.clip(call.draft, call.node, call.tensor("self"), *limits)

    return clip


def _pool(average: bool, axes: int) -> Callable[[Call], Value]:
    def run(call: Call) -> Value:
        x = call.tensor("self")
        kernel = _each(call.arguments["kernel_size"], axes)
        strides = _each(call.get("stride") or kernel, axes)
        dilation = pair(_each(call.get("dilation", 1), axes), 1)
        if call.get("divisor_override") is not None:
            raise Unsupported("an average with a divisor of its own")
        padding = _around(_each(call.get("padding", 0), axes))
        ceil, counted = bool(call.get("ceil_mode", False)), bool(call.get("count_include_pad", True))
        window, step = pair(kernel, 1), pair(strides, 1)
        return pool(call.draft, call.node, x, average, window, step, padding, ceil, counted, dilation)

    return run


def _adaptive(average: bool, axes: int) -> Callable[[Call], Value]:
    def run(call: Call) -> Value:
        x = call.tensor("self")
        size = rows(x.shape, axes)[1:]
        wanted = pair(_each(call.arguments["output_size"], axes), 1)
        if wanted == (1, 1):
            make = global_average if average else global_maximum
            return make(call.draft, call.node, x, (x.shape[0], *[1] * axes))
        if min(wanted) < 1 or size[0] % wanted[0] or size[1] % wanted[1]:
            raise Unsupported(f"{size} pixels are not divided evenly by {wanted}; use a pooling with a kernel")
        kernel = size[0] // wanted[0], size[1] // wanted[1]
        return pool(call.draft, call.node, x, average, kernel, kernel, (0, 0, 0, 0))

    return run


def _reduced(average: bool) -> Callable[[Call], Value]:
    def run(call: Call) -> Value:
        x = call.tensor("self")
        dims = call.get("dim", [])
        axes = sorted(inner_axis(axis, len(x.shape)) for axis in ([dims] if isinstance(dims, int) else dims))
        if axes != list(range(1, len(x.shape))):
            raise Unsupported("over other axes than height and width")
        output = (x.shape[0], *[1] * len(axes)) if call.get("keepdim", False) else x.shape[:1]
        return (global_average if average else global_maximum)(call.draft, call.node, x, output)

    return run


def _arithmetic(kind: str) -> Callable[[Call], Value]:
    def run(call: Call) -> Value:
        a, b = call.arguments["self"], call.arguments["other"]
        factor = call.get("alpha", 1)
        if isinstance(a, Value) and isinstance(b, Value):
            if kind == "add" and factor == 1:
                return ops.add(call.draft, call.node, a, b)
            shape = a.shape if a.shape == b.shape else None
            raise Unsupported(f"{kind} of two computed tensors; the device adds them, and nothing else", shape)
        first = isinstance(a, Value)
        x, c = (a, b) if first else (b, a)
        if not isinstance(x, Value):
            raise Unsupported("of a constant and a number")
        c = np.asarray(c, np.float64)
        if kind == "div":
            if not first or call.get("rounding_mode") or not c.all():
                raise Unsupported("a division by a computed tensor, by 0, or rounded", x.shape)
            return ops.affine(call.draft, call.node, x, 1 / c, 0.0)
        if kind == "mul":
            return ops.affine(call.draft, call.node, x, c, 0.0)
        if kind == "add":
            return ops.affine(call.draft, call.node, x, *((1.0, c * factor) if first else (float(factor), c)))
        return ops.affine(call.draft, call.node, x, *((1.0, -c * factor) if first else (-float(factor), c)))

    return run


def _rsub(call: Call) -> Value:
    if call.get("alpha", 1) != 1 or isinstance(call.arguments["other"], Value):
        raise Unsupported("a difference of two computed tensors")
    return ops.affine(call.draft, call.node, call.tensor("self"), -1.0, np.asarray(call.arguments["other"], np.float64))


LAYERS: dict[str, Callable[[Call], Value]] = {
    **dict.fromkeys(("conv1d", "conv2d", "convolution", "_convolution"), _conv),
    "linear": _linear,
    "addmm": _addmm,
    **dict.fromkeys(("mm", "matmul"), _matmul),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    "relu": _clip("", "", 0.0),
    "relu6": _clip("", "", 0.0, 6.0),
    "hardtanh": _clip("min_val", "max_val", -1.0, 1.0),
    "clamp": _clip("min", "max"),
    "clamp_min": _clip("min", ""),
    "clamp_max": _clip("", "max"),
    "max_pool1d": _pool(False, 1),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), _pool(False, 2)),
    "avg_pool1d": _pool(True, 1),
    "avg_pool2d": _pool(True, 2),
    "adaptive_avg_pool1d": _adaptive(True, 1),
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d"), _adaptive(True, 2)),
    "adaptive_max_pool1d": _adaptive(False, 1),
    "adaptive_max_pool2d": _adaptive(False, 2),
    "mean": _reduced(True),
    **dict.fromkeys(("amax", "max"), _reduced(False)),
    **{kind: _arithmetic(kind) for kind in ("add", "sub", "mul", "div")},
    "rsub": _rsub,
}
