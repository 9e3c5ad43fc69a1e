"""What each operator of PyTorch's exported programs is; names are without overload and "_" at the end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .aten_call import Call
from .aten_layers import LAYERS
from .aten_shapes import SHAPES
from .draft import Value

Array = NDArray[np.generic]

OPERATORS: dict[str, Callable[[Call], Value]] = LAYERS | SHAPES
"""As layers of a draft."""

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
