"""Operators of PyTorch's exported programs that give a tensor another shape, or that the host runs."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from . import operations as ops
from .aten_call import Call
from .draft import Unsupported, Value
from .shapes import inner_axis, reshaped


def _cat(call: Call) -> Value:
    values = call.arguments["tensors"]
    if not all(isinstance(value, Value) for value in values):
        raise Unsupported("a constant is among the tensors")
    return ops.concat(call.draft, call.node, values, inner_axis(call.get("dim", 0), len(values[0].shape)))


def _flatten(call: Call) -> Value:
    x = call.tensor("self")
    first, last = call.get("start_dim", 0), call.get("end_dim", -1)
    start, end = inner_axis(first, len(x.shape)), inner_axis(last, len(x.shape))
    return x.reshape((*x.shape[:start], prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def _unflatten(call: Call) -> Value:
    x = call.tensor("self")
    axis = inner_axis(call.arguments["dim"], len(x.shape))
    return reshaped(x, call.batch, [call.batch, *x.shape[:axis], *call.arguments["sizes"], *x.shape[axis + 1 :]])


def _view(call: Call) -> Value:
    return reshaped(call.tensor("self"), call.batch, call.get("size") or call.arguments["shape"], True)


def _squeeze(call: Call) -> Value:
    x, dims = call.tensor("self"), call.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    axes = range(len(x.shape)) if dims is None else [inner_axis(axis, len(x.shape)) for axis in dims]
    return x.reshape([size for axis, size in enumerate(x.shape) if size != 1 or axis not in axes])


def _unsqueeze(call: Call) -> Value:
    x = call.tensor("self")
    shape = list(x.shape)
    shape.insert(inner_axis(call.arguments["dim"], len(x.shape) + 1), 1)
    return x.reshape(shape)


def _permute(call: Call) -> Value:
    x, dims = call.tensor("self"), call.arguments["dims"]
    axes = [axis % (len(x.shape) + 1) for axis in dims]
    if axes[0] != 0 or sorted(axes) != list(range(len(x.shape) + 1)):
        raise Unsupported(f"axes {dims}; the batch must stay the first")
    return call.draft.transpose(x, [axis - 1 for axis in axes[1:]])


def _transpose(call: Call) -> Value:
    x = call.tensor("self")
    a, b = (inner_axis(call.arguments[key], len(x.shape)) for key in ("dim0", "dim1"))
    axes = list(range(len(x.shape)))
    axes[a], axes[b] = axes[b], axes[a]
    return call.draft.transpose(x, axes)


def _pad(call: Call) -> Value:
    x, sides = call.tensor("self"), list(call.arguments["pad"])
    if call.get("mode", "constant") != "constant":
        raise Unsupported(f"mode {call.get('mode')}; the device pads with 0")
    if len(sides) % 2 or len(sides) > 2 * len(x.shape):
        raise Unsupported(f"padding {sides}")
    missing = [0] * (len(x.shape) - len(sides) // 2)
    begins, ends = [*missing, *sides[0::2][::-1]], [*missing, *sides[1::2][::-1]]
    return ops.pad(call.draft, call.node, x, begins, ends, float(call.get("value", 0)))


def _embedding(call: Call) -> Value:
    table = call.weights()
    if table.ndim != 2:
        raise Unsupported(f"a table of shape {table.shape}")
    return call.draft.embed(call.tensor("indices"), table)


def _host(step: str) -> Callable[[Call], Value]:
    return lambda call: ops.host(call.node, call.tensor("self"), step, int(call.get("dim", -1)))


def _dropout(call: Call) -> Value:
    if call.get("train", False):
        raise Unsupported("it is in training mode; export the model after model.eval()")
    return call.tensor("input")


def _same(call: Call) -> Value:
    values = [value for value in call.arguments.values() if isinstance(value, Value)]
    return values[0]


def _cast(call: Call) -> Value:
    if call.get("dtype", 7) not in (5, 6, 7, 8, 13):
        raise Unsupported("a cast to integers or truth values, which the device does not do")
    return _same(call)


SHAPES: dict[str, Callable[[Call], Value]] = {
    "cat": _cat,
    "flatten": _flatten,
    "unflatten": _unflatten,
    **dict.fromkeys(("view", "reshape", "_unsafe_view"), _view),
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "permute": _permute,
    "transpose": _transpose,
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    "embedding": _embedding,
    **dict.fromkeys(("softmax", "_softmax"), _host("softmax")),
    **dict.fromkeys(("log_softmax", "_log_softmax"), _host("log_softmax")),
    "sigmoid": _host("sigmoid"),
    **dict.fromkeys(("dropout", "feature_dropout"), _dropout),
    **dict.fromkeys(("clone", "contiguous", "alias", "detach", "lift_fresh_copy"), _same),
    **dict.fromkeys(("to", "_to_copy"), _cast),
}
