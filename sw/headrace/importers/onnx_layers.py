"""ONNX operators that compute, as layers of a draft."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import numpy as np

from headrace.geometry import Padding, Pair

from . import operations as ops
from .draft import Unsupported, Value
from .onnx_call import Call
from .onnx_constants import axes_of
from .pooling import global_average, global_maximum, pool
from .shapes import inner_axis
from .windows import pair, rows, same_sides, sides


def _geometry(call: Call, x: Value, kernel: Sequence[int]) -> tuple[Pair, Pair, Pair, Padding]:
    """Kernel, strides, dilation, padding of a window."""
    size = rows(x.shape, len(kernel))[1:]
    ones = [1] * len(kernel)
    strides, dilation = pair(call.get("strides", ones), 1), pair(call.get("dilations", ones), 1)
    window, auto = pair(kernel, 1), call.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = same_sides((size[0], size[1]), window, strides, dilation, auto == "SAME_LOWER")
    else:
        padding = sides(call.get("pads", 2 * [0] * len(kernel)) if auto == "NOTSET" else 2 * [0] * len(kernel))
    return window, strides, dilation, padding


def _conv(call: Call) -> Value:
    x, weights = call.tensor(), call.floats(1)
    _, strides, dilation, padding = _geometry(call, x, weights.shape[2:])
    bias = None if call.constant(2) is None else call.floats(2)
    return ops.conv(call.draft, call.node, x, weights, bias, strides, padding, dilation, call.get("group", 1))


def _gemm(call: Call) -> Value:
    x, weights = call.tensor(), call.floats(1)
    if call.get("transA", 0) or len(x.shape) != 1:
        raise Unsupported("its first input is transposed, or no vector")
    weights = weights if call.get("transB", 0) else weights.T
    bias = None if call.constant(2) is None else call.floats(2) * np.float32(call.get("beta", 1.0))
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), weights.shape[:1]).astype(np.float32)
    scaled = np.ascontiguousarray(weights * np.float32(call.get("alpha", 1.0)))
    return ops.linear(call.draft, call.node, x, scaled, bias)


def _matmul(call: Call) -> Value:
    if not isinstance(call.inputs[0], Value) or isinstance(call.inputs[1], Value):
        raise Unsupported(
            "a product of two computed tensors, or of a constant with one; the device multiplies by weights"
        )
    weights = call.floats(1)
    if weights.ndim != 2:
        raise Unsupported(f"weights of {weights.ndim} axes")
    return ops.linear(call.draft, call.node, call.tensor(), np.ascontiguousarray(weights.T), None)


def _batch_norm(call: Call) -> Value:
    if call.get("training_mode", 0) or not call.get("spatial", 1):
        raise Unsupported("it is in training mode; export the model after model.eval()")
    constants = (call.floats(1), call.floats(2), call.floats(3), call.floats(4))
    return ops.batch_norm(call.draft, call.node, call.tensor(), *constants, call.get("epsilon", 1e-5))


def _clip(call: Call) -> Value:
    limits = []
    for number, key, default in ((1, "min", -inf), (2, "max", inf)):
        one = call.constant(number)
        limits.append(float(call.get(key, default)) if one is None else float(one.reshape(())[()]))
    return ops.clip(call.draft, call.node, call.tensor(), limits[0], limits[1])


def _pool(call: Call) -> Value:
    x, average = call.tensor(), call.node.operator == "AveragePool"
    if call.get("storage_order", 0):
        raise Unsupported("storage_order 1")
    kernel, strides, dilation, padding = _geometry(call, x, call.attributes["kernel_shape"])
    counted = not average or bool(call.get("count_include_pad", 0))
    ceil = bool(call.get("ceil_mode", 0))
    return pool(call.draft, call.node, x, average, kernel, strides, padding, ceil, counted, dilation)


def _global_pool(call: Call) -> Value:
    x = call.tensor()
    make = global_average if call.node.operator == "GlobalAveragePool" else global_maximum
    return make(call.draft, call.node, x, (x.shape[0], *[1] * (len(x.shape) - 1)))


def _reduce(call: Call) -> Value:
    x = call.tensor()
    axes = axes_of([x, call.constant(1)], call.attributes)
    inner = sorted(inner_axis(axis, len(x.shape)) for axis in (axes or range(len(x.shape) + 1)))
    if inner != list(range(1, len(x.shape))):
        raise Unsupported("over other axes than height and width", None)
    output = (x.shape[0], *[1] * len(inner)) if call.get("keepdims", 1) else x.shape[:1]
    make = global_average if call.node.operator == "ReduceMean" else global_maximum
    return make(call.draft, call.node, x, output)


def _arithmetic(call: Call) -> Value:
    a, b = call.inputs
    kind = call.node.operator
    if isinstance(a, Value) and isinstance(b, Value):
        if kind == "Add":
            return ops.add(call.draft, call.node, a, b)
        shape = a.shape if a.shape == b.shape else None
        raise Unsupported(f"{kind} of two computed tensors; the device adds them, and nothing else", shape)
    first = isinstance(a, Value)
    x = call.tensor(0 if first else 1)
    c = call.floats(1 if first else 0).astype(np.float64)
    if kind == "Add":
        return ops.affine(call.draft, call.node, x, 1.0, c)
    if kind == "Mul":
        return ops.affine(call.draft, call.node, x, c, 0.0)
    if kind == "Sub":
        return ops.affine(call.draft, call.node, x, 1.0 if first else -1.0, -c if first else c)
    if not first or not c.all():
        raise Unsupported("a division by a computed tensor, or by 0", x.shape)
    return ops.affine(call.draft, call.node, x, 1 / c, 0.0)


def _sum(call: Call) -> Value:
    result = call.tensor()
    for number in range(1, len(call.inputs)):
        result = ops.add(call.draft, call.node, result, call.tensor(number))
    return result


LAYERS: dict[str, Callable[[Call], Value]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "Relu": lambda call: ops.clip(call.draft, call.node, call.tensor(), 0.0, inf),
    "Clip": _clip,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "ReduceMean": _reduce,
    "ReduceMax": _reduce,
    "Add": _arithmetic,
    "Sub": _arithmetic,
    "Mul": _arithmetic,
    "Div": _arithmetic,
    "Sum": _sum,
}
