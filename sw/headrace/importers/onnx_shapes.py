"""ONNX operators that give a tensor another shape, or that the host runs."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from . import operations as ops
from .draft import MOST_AXES, Unsupported, Value
from .onnx_call import Call
from .onnx_constants import axes_of
from .reasons import advice
from .shapes import inner_axis, reshaped


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
    if rank >= MOST_AXES:
        raise Unsupported(f"a shape of {rank} axes beside the batch")
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


SHAPES: dict[str, Callable[[Call], Value]] = {
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
