"""Weights of TensorFlow Lite files, real or int8."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

from headrace.errors import DataError, HeadraceError

from .floats import Floats, Parameters

LARGEST = 64 << 20
"""Bytes; the files of these networks have less than one megabyte."""


def read_parameters(path: Path) -> list[Parameters]:
    """Weights and biases of all convolutions and matrix products, in the order in which they are computed.

    Depthwise weights are (M, 1, kh, kw). Integers are turned into real numbers by their scales. DataError for a file
    that cannot be read or is none of TensorFlow Lite's, HeadraceError without the package `tflite`.
    """
    try:
        import tflite
    except ImportError:
        raise HeadraceError("reading .tflite files needs tflite: pip install 'headrace[workloads]'") from None
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: too large for a network of this benchmark")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    if data[4:8] != b"TFL3":
        raise DataError(f"{path}: not a TensorFlow Lite file")
    try:
        model = tflite.Model.GetRootAs(data, 0)
        return _parameters(model, tflite)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: damaged TensorFlow Lite file: {error}") from None


def _parameters(model: Any, tflite: Any) -> list[Parameters]:
    graph = model.Subgraphs(0)
    kinds = tflite.BuiltinOperator
    result = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind not in (kinds.CONV_2D, kinds.DEPTHWISE_CONV_2D, kinds.FULLY_CONNECTED):
            continue
        weights, bias = (_tensor(model, graph.Tensors(operator.Inputs(n)), tflite) for n in (1, 2))
        if kind == kinds.CONV_2D:
            weights = weights.transpose(0, 3, 1, 2)
        elif kind == kinds.DEPTHWISE_CONV_2D:
            weights = weights.transpose(3, 0, 1, 2)
        result.append((weights, bias))
    return result


def _tensor(model: Any, tensor: Any, tflite: Any) -> Floats:
    """Its numbers; integers by scale and zero point, of the whole or along one axis."""
    types = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.INT8: "i1", tflite.TensorType.INT32: "<i4"}
    if tensor.Type() not in types:
        raise ValueError(f"weights of type {tensor.Type()}")
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if not isinstance(raw, np.ndarray):
        raise ValueError("weights without data")
    values = raw.view(types[tensor.Type()]).reshape(tensor.ShapeAsNumpy()).astype(np.float64)
    if tensor.Type() == tflite.TensorType.FLOAT32:
        return values
    scheme = tensor.Quantization()
    scale, zero = scheme.ScaleAsNumpy().astype(np.float64), scheme.ZeroPointAsNumpy().astype(np.float64)
    along = [1] * values.ndim
    if scale.size > 1:
        along[scheme.QuantizedDimension()] = scale.size
        return (values - zero.reshape(along)) * scale.reshape(along)
    return (values - zero[0]) * scale[0]
