"""ONNX operators on constants: what exporters compute shapes and weights with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .draft import LARGEST, MOST_AXES, Unsupported
from .onnx_file import DTYPES

Array = NDArray[np.generic]


def evaluate(operator: str, inputs: Sequence[Array | None], attributes: Mapping[str, Any]) -> Array:
    """The one output of an operator all of whose inputs are constants. Unsupported for other operators."""
    if operator not in FOLDED:
        raise Unsupported(
            f"{operator} of constants; simplify the model before (onnxsim, or constant folding on export)"
        )
    given = [one for one in inputs if one is not None]
    if _size(operator, given) > LARGEST:
        raise Unsupported("a constant that is larger than any tensor of the device")
    with np.errstate(all="ignore"):  # numbers that are not finite are found where they are used
        return np.asarray(FOLDED[operator](inputs, attributes))


def _size(operator: str, given: Sequence[Array]) -> int:
    """Elements of the result of those operators that make more of what they are given."""
    if operator in ("Add", "Sub", "Mul", "Div"):
        return prod(np.broadcast_shapes(*(one.shape for one in given)))
    if operator == "Concat":
        return sum(one.size for one in given)
    if operator == "Gather" and given[0].size:
        return given[1].size * given[0].size // max(1, min(given[0].shape, default=1))
    return 0


def _constant(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    for key, kind in (("value_float", np.float32), ("value_floats", np.float32), ("value_int", np.int64)):
        if key in attributes:
            return np.array(attributes[key], kind)
    if "value_ints" in attributes:
        return np.array(attributes["value_ints"], np.int64)
    if "value" not in attributes:
        raise Unsupported("a constant that is no plain tensor")
    return attributes["value"]


def _filled(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    shape = tuple(int(n) for n in inputs[0])
    if len(shape) > MOST_AXES or min(shape, default=0) < 0 or prod(shape) > LARGEST:
        raise Unsupported(f"a constant of shape {shape[:MOST_AXES]}")
    value = attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, value.ravel()[0])


def axes_of(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> list[int] | None:
    """Of operators that have had their axes as an attribute and have them as an input now."""
    if len(inputs) > 1 and inputs[1] is not None:
        return [int(n) for n in np.asarray(inputs[1]).ravel()]
    return attributes.get("axes")


def _squeeze(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    axes = axes_of(inputs, attributes)
    return np.squeeze(inputs[0], None if axes is None else tuple(axes))


def _unsqueeze(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    return np.expand_dims(inputs[0], tuple(axes_of(inputs, attributes) or ()))


def _slice(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    starts, ends = (np.asarray(inputs[n]).ravel().tolist() for n in (1, 2))
    axes = list(range(len(starts))) if len(inputs) < 4 or inputs[3] is None else inputs[3].ravel().tolist()
    steps = [1] * len(starts) if len(inputs) < 5 or inputs[4] is None else inputs[4].ravel().tolist()
    where = [slice(None)] * inputs[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis] = slice(start, end, step)
    return inputs[0][tuple(where)]


def _reshape(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    shape = [int(n) for n in inputs[1]]
    kept = [inputs[0].shape[i] if n == 0 and not attributes.get("allowzero") else n for i, n in enumerate(shape)]
    return inputs[0].reshape(kept)


def _cast(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    if attributes.get("to") == 16:
        return inputs[0].astype(np.float32)
    return inputs[0].astype(np.dtype(DTYPES[attributes["to"]][0]))


def _dequantised(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    x, scale = inputs[0], inputs[1]
    zero = inputs[2] if len(inputs) > 2 and inputs[2] is not None else np.zeros((), x.dtype)
    along = [1] * x.ndim
    if scale.ndim == 1 and scale.size > 1:
        along[attributes.get("axis", 1)] = -1
        scale, zero = scale.reshape(along), zero.reshape(along) if zero.size > 1 else zero
    return ((x.astype(np.float64) - zero) * scale).astype(np.float32)


def _divide(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    whole = inputs[0].dtype.kind in "iu"
    if whole and not np.all(inputs[1]):
        raise Unsupported("a division of constants by 0")
    return inputs[0] // inputs[1] if whole else inputs[0] / inputs[1]


FOLDED: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Identity": lambda inputs, _: inputs[0],
    "Cast": _cast,
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Div": _divide,
    "Neg": lambda inputs, _: -inputs[0],
    "Sqrt": lambda inputs, _: np.sqrt(inputs[0]),
    "Shape": lambda inputs, _: np.array(inputs[0].shape, np.int64),
    "Concat": lambda inputs, a: np.concatenate([np.atleast_1d(one) for one in inputs], a["axis"]),
    "Gather": lambda inputs, a: np.take(inputs[0], inputs[1], axis=a.get("axis", 0)),
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Slice": _slice,
    "Reshape": _reshape,
    "Transpose": lambda inputs, a: np.transpose(inputs[0], a.get("perm")),
    "DequantizeLinear": _dequantised,
}
