"""What each ONNX operator is as layers of a draft."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Padding, Pair

from . import operations as ops
from .draft import Draft, Node, Unsupported, Value
from .onnx_constants import axes_of
from .pooling import global_average, global_maximum, pool
from .reasons import advice
from .shapes import inner_axis, reshaped

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Call:
    """One node: its inputs in order, tensors or constants, and its attributes."""

    draft: Draft
    node: Node
    inputs: Sequence[Value | Array | None]
    attributes: Mapping[str, Any]
    version: int
    batch: int

    def tensor(self, number: int = 0) -> Value:
        """An input that depends on the model's input."""
        if len(self.inputs) <= number or not isinstance(self.inputs[number], Value):
            raise Unsupported(f"input {number + 1} is a constant or missing; the device computes on activations there")
        return self.inputs[number]  # type: ignore[return-value]

    def constant(self, number: int) -> Array | None:
        """An input that does not, or None."""
        one = self.inputs[number] if len(self.inputs) > number else None
        if isinstance(one, Value):
            raise Unsupported(f"input {number + 1} is computed, and the device takes constants there", None)
        return one

    def floats(self, number: int) -> NDArray[np.float32]:
        """A constant that must be there, float32."""
        one = self.constant(number)
        if one is None:
            raise Unsupported(f"input {number + 1} is missing")
        return ops.floats(one)

    def get(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def axis(self, default: int, rank: int) -> int:
        """The attribute, of the model's axes from 1 on, counted without the batch."""
        return inner_axis(self.get("axis", default), rank)


def _geometry(call: Call, x: Value, kernel: Sequence[int]) -> tuple[Pair, Pair, Pair, Padding]:
    """Kernel, strides, dilation, padding of a window."""
    size = ops.rows(x.shape, len(kernel))[1:]
    ones = [1] * len(kernel)
    strides, dilation = ops.pair(call.get("strides", ones), 1), ops.pair(call.get("dilations", ones), 1)
    window, auto = ops.pair(kernel, 1), call.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = ops.same_sides((size[0], size[1]), window, strides, dilation, auto == "SAME_LOWER")
    else:
        padding = ops.sides(call.get("pads", 2 * [0] * len(kernel)) if auto == "NOTSET" else 2 * [0] * len(kernel))
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


def _concat(call: Call) -> Value:
    values = [call.tensor(number) for number in range(len(call.inputs))]
    return ops.concat(call.draft, call.node, values, call.axis(1, len(values[0].shape)))


def _reshape(call: Call) -> Value:
    target = call.constant(1)
    if target is None:
        raise Unsupported("a shape that is not given")
    return reshaped(call.tensor(), call.batch, [int(n) for n in target.ravel()], bool(call.get("allowzero", 0)))


def _flatten(call: Call) -> Value:
    x = call.tensor()
    axis = call.get("axis", 1)
    axis = axis + len(x.shape) + 1 if axis < 0 else axis
    if axis != 1:
        raise Unsupported(f"from axis {axis}; the batch must stay as it is: use axis 1")
    return x.reshape((prod(x.shape),))


def _squeeze(call: Call) -> Value:
    x = call.tensor()
    axes = axes_of([x, call.constant(1)], call.attributes)
    gone = [n for n, size in enumerate(x.shape) if size == 1] if axes is None else None
    inner = [inner_axis(axis, len(x.shape)) for axis in axes or []] if gone is None else gone
    if any(x.shape[axis] != 1 for axis in inner):
        raise Unsupported("an axis of more than one element is dropped")
    return x.reshape([size for n, size in enumerate(x.shape) if n not in inner])


def _unsqueeze(call: Call) -> Value:
    x = call.tensor()
    axes = axes_of([x, call.constant(1)], call.attributes) or []
    rank = len(x.shape) + len(axes)
    shape = list(x.shape)
    for axis in sorted(inner_axis(axis, rank) for axis in axes):
        shape.insert(axis, 1)
    return x.reshape(shape)


def _transpose(call: Call) -> Value:
    x = call.tensor()
    axes = call.get("perm") or list(range(len(x.shape), -1, -1))
    if sorted(axes) != list(range(len(x.shape) + 1)) or axes[0] != 0:
        raise Unsupported(f"axes {axes}; the batch must stay the first")
    return call.draft.transpose(x, [axis - 1 for axis in axes[1:]])


def _pad(call: Call) -> Value:
    x = call.tensor()
    given = call.constant(1)
    pads = call.get("pads", []) if given is None else [int(n) for n in given.ravel()]
    if call.get("mode", b"constant") != b"constant":
        raise Unsupported(f"mode {call.get('mode').decode()}; the device pads with 0")
    value = call.constant(2)
    number = float(call.get("value", 0.0) if value is None else value.reshape(())[()])
    axes = call.constant(3)
    rank = len(x.shape) + 1
    if axes is not None:
        whole = [0] * (2 * rank)
        for n, axis in enumerate(axes.ravel().tolist()):
            whole[axis % rank], whole[axis % rank + rank] = pads[n], pads[n + axes.size]
        pads = whole
    if len(pads) != 2 * rank or pads[0] or pads[rank]:
        raise Unsupported(f"padding {pads} of {rank} axes, the batch included")
    return ops.pad(call.draft, call.node, x, pads[1:rank], pads[rank + 1 :], number)


def _gather(call: Call) -> Value:
    if isinstance(call.inputs[0], Value) or call.get("axis", 0) != 0:
        raise Unsupported(
            "it picks from a computed tensor; the device moves no activations, and the host looks up inputs"
        )
    table = call.floats(0)
    if table.ndim != 2:
        raise Unsupported(f"a table of shape {table.shape}")
    return call.draft.embed(call.tensor(1), table)


def _dropout(call: Call) -> Value:
    mode = call.constant(2)
    if mode is not None and bool(mode.reshape(())[()]):
        raise Unsupported("it is in training mode; export the model after model.eval()")
    return call.tensor()


def _host(call: Call) -> Value:
    step = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}[call.node.operator]
    x = call.tensor()
    axis = call.get("axis", -1 if call.version >= 13 else 1)
    if call.version < 13 and step != "sigmoid" and axis != len(x.shape):
        raise Unsupported("over several axes at once, as before version 13; export with a later opset_version", x.shape)
    return ops.host(call.node, x, step, -1 if step == "sigmoid" else axis)


def _cast(call: Call) -> Value:
    if call.node.operator == "Cast" and call.attributes["to"] not in (1, 10, 11, 16, 6, 7):
        raise Unsupported(advice("cast"))
    return call.tensor()


OPERATORS: dict[str, Callable[[Call], Value]] = {
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
    "Concat": _concat,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Pad": _pad,
    "Gather": _gather,
    "Dropout": _dropout,
    "Identity": lambda call: call.tensor(),
    "Cast": _cast,
    "Softmax": _host,
    "LogSoftmax": _host,
    "Sigmoid": _host,
}
