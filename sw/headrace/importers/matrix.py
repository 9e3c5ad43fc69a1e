"""A plain matrix as a network of one layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ModelError
from headrace.floats import FloatGraph, Input, Linear, Output
from headrace.matrices import load_matrix


def import_matrix(path: Path) -> FloatGraph:
    """y = x W for the W (n, m) of a file that `headrace.matrices.load_matrix` reads. DataError as there."""
    return matrix_graph(load_matrix(path), path.stem)


def matrix_graph(W: NDArray[Any], name: str = "matrix") -> FloatGraph:
    """y = x W for W (n, m) of numbers. ModelError for an empty one, or numbers that float32 does not hold."""
    if W.ndim != 2 or not W.size or W.dtype.kind not in "fiub":
        raise ModelError(name, [f"a matrix of numbers is needed, not {W.dtype} {W.shape}"])
    with np.errstate(over="ignore"):  # infinities are found by the layer
        weights = np.ascontiguousarray(W.T, np.float32)
    n, m = W.shape
    try:
        layer = Linear("linear", ("input",), weights=weights, bias=np.zeros(m, np.float32))
    except ValueError as error:
        raise ModelError(name, [str(error)]) from None
    return FloatGraph(name, Input((n, 1, 1), (n,)), (layer,), Output((m, 1, 1), (m,)))
