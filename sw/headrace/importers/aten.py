"""What each operator of PyTorch's exported programs is as layers of a draft. Names are without overload and "_"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Padding

from . import operations as ops
from .draft import Draft, Node, Unsupported, Value
from .pooling import global_average, global_maximum, pool
from .shapes import inner_axis, reshaped

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Call:
    """One node and its arguments by name, those that have their default value left out."""

    draft: Draft
    node: Node
    arguments: Mapping[str, Any]
    batch: int

    def get(self, key: str, default: Any = None) -> Any:
        """An argument, or what it is where it is left out."""
        value = self.arguments.get(key)
        return default if value is None else value

    def tensor(self, key: str) -> Value:
        """An argument that depends on the model's input."""
        value = self.arguments.get(key)
        if not isinstance(value, Value):
            raise Unsupported(f"{key} is a constant or missing; the device computes on activations there")
        return value

    def floats(self, key: str) -> NDArray[np.float32] | None:
        """An argument that does not, float32, or None."""
        value = self.arguments.get(key)
        if isinstance(value, Value):
            raise Unsupported(f"{key} is computed, and the device takes constants there")
        return None if value is None else ops.floats(value)

    def weights(self, key: str = "weight") -> NDArray[np.float32]:
        """`floats` that must be there."""
        value = self.floats(key)
        if value is None:
            raise Unsupported(f"no {key}")
        return value


def _each(values: Any, count: int) -> list[int]:
    """One number an axis, from one for all or from all."""
    given = [int(values)] if isinstance(values, int) else [int(one) for one in values]
    return given * count if len(given) == 1 else given


def _around(values: Sequence[int]) -> Padding:
    rows, columns = ops.pair(values, 0)
    return rows, columns, rows, columns


def _conv(call: Call) -> Value:
    x, weights = call.tensor("input"), call.weights()
    axes = weights.ndim - 2
    if call.get("transposed", False):
        raise Unsupported("the device does not enlarge; end the network before it, and let the host do the rest")
    strides = ops.pair(_each(call.get("stride", 1), axes), 1)
    dilation = ops.pair(_each(call.get("dilation", 1), axes), 1)
    padding = call.get("padding", 0)
    if isinstance(padding, str):
        size, kernel = ops.rows(x.shape, axes)[1:], ops.pair(weights.shape[2:], 1)
        same = padding == "same"
        sides = ops.same_sides((size[0], size[1]), kernel, strides, dilation, False) if same else (0, 0, 0, 0)
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
        dilation = ops.pair(_each(call.get("dilation", 1), axes), 1)
        if call.get("divisor_override") is not None:
            raise Unsupported("an average with a divisor of its own")
        padding = _around(_each(call.get("padding", 0), axes))
        ceil, counted = bool(call.get("ceil_mode", False)), bool(call.get("count_include_pad", True))
        window, step = ops.pair(kernel, 1), ops.pair(strides, 1)
        return pool(call.draft, call.node, x, average, window, step, padding, ceil, counted, dilation)

    return run


def _adaptive(average: bool, axes: int) -> Callable[[Call], Value]:
    def run(call: Call) -> Value:
        x = call.tensor("self")
        size = ops.rows(x.shape, axes)[1:]
        wanted = ops.pair(_each(call.arguments["output_size"], axes), 1)
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


OPERATORS: dict[str, Callable[[Call], Value]] = {
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

IGNORED = {"_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size", "_guards_fn"}
"""What exported programs check of themselves."""


def _size(batch: int, x: Value | Array, dim: int) -> int:
    shape = (batch, *x.shape) if isinstance(x, Value) else x.shape
    return int(shape[dim])


SIZES: dict[str, Callable[..., int]] = {
    "sym_size": _size,
    "add": lambda _, a, b: a + b,
    "mul": lambda _, a, b: a * b,
    "floordiv": lambda _, a, b: a // b,
}
"""What programs compute shapes with: the size of the batch, then the arguments."""

FOLDED: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(("permute", "_permute"), lambda x, dims: x.transpose(dims)),
    **dict.fromkeys(("t", "numpy_T"), lambda x: x.T),
    "transpose": lambda x, a, b: x.swapaxes(a, b),
    **dict.fromkeys(("view", "reshape"), lambda x, shape: x.reshape(shape)),
    "unsqueeze": lambda x, axis: np.expand_dims(x, axis),
    **dict.fromkeys(("clone", "detach", "alias", "contiguous", "lift_fresh_copy"), lambda x, *_: x),
}
"""Operators on constants."""
