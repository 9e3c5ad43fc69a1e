"""Readers of Keras and TensorFlow Lite files, on small files made here."""

from pathlib import Path

import numpy as np
import pytest

from headrace.errors import DataError
from headrace.workloads import keras, tflite
from headrace.workloads.floats import fold


def write_keras(path: Path) -> dict[str, np.ndarray]:
    h5py = pytest.importorskip("h5py")
    rng = np.random.default_rng(0)
    arrays = {
        "conv/kernel": rng.normal(size=(3, 2, 4, 5)),
        "conv/bias": rng.normal(size=5),
        "norm/gamma": rng.normal(size=5),
        "norm/beta": rng.normal(size=5),
        "norm/moving_mean": rng.normal(size=5),
        "norm/moving_variance": rng.uniform(1, 2, 5),
        "dense/kernel": rng.normal(size=(6, 7)),
        "dense/bias": rng.normal(size=7),
    }
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            owner, key = name.split("/")
            file[f"model_weights/{owner}/{owner}/{key}:0"] = values
    return arrays


def test_keras(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    arrays = write_keras(path)
    conv, dense = keras.read_parameters(path, [("conv", "norm"), ("dense", "")])
    kernel = arrays["conv/kernel"].transpose(3, 2, 0, 1)
    norm = [arrays[f"norm/{key}"] for key in ("gamma", "beta", "moving_mean", "moving_variance")]
    expected = fold((kernel, arrays["conv/bias"]), *norm, 1e-3)
    assert conv[0].shape == (5, 4, 3, 2)
    assert all(np.array_equal(a, b) for a, b in zip(conv, expected, strict=True))
    assert np.array_equal(dense[0], arrays["dense/kernel"].T)
    assert np.array_equal(dense[1], arrays["dense/bias"])
    with pytest.raises(DataError, match="not the Keras file of this network"):
        keras.read_parameters(path, [("other", "")])


def test_keras_errors(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    with pytest.raises(DataError, match="no such file"):
        keras.read_parameters(tmp_path / "none.h5", [])
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(DataError, match="not the Keras file"):
        keras.read_parameters(tmp_path / "text.h5", [])


def build_tflite() -> bytes:
    """One depthwise convolution of int8 with a scale a channel, one matrix product of real numbers."""
    flatbuffers, schema = pytest.importorskip("flatbuffers"), pytest.importorskip("tflite")
    builder = flatbuffers.Builder(1024)

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()

    buffers, tensors = [], []

    def tensor(values: np.ndarray, kind: int, scales: list[float] | None = None, axis: int = 0) -> int:
        data = builder.CreateNumpyVector(np.frombuffer(values.tobytes(), np.uint8))
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        buffers.append(schema.BufferEnd(builder))
        shape = builder.CreateNumpyVector(np.array(values.shape, np.int32))
        scheme = None
        if scales is not None:
            scale = builder.CreateNumpyVector(np.array(scales, np.float32))
            zero = builder.CreateNumpyVector(np.zeros(len(scales), np.int64))
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, zero)
            schema.QuantizationParametersAddQuantizedDimension(builder, axis)
            scheme = schema.QuantizationParametersEnd(builder)
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, kind)
        schema.TensorAddBuffer(builder, len(buffers) - 1)
        if scheme is not None:
            schema.TensorAddQuantization(builder, scheme)
        tensors.append(schema.TensorEnd(builder))
        return len(tensors) - 1

    types = schema.TensorType
    depthwise = np.arange(1, 13, dtype=np.int8).reshape(1, 3, 2, 2)
    first = tensor(depthwise, types.INT8, [0.5, 2.0], 3), tensor(np.array([4, 6], np.int32), types.INT32, [0.25])
    product = np.arange(6, dtype=np.float32).reshape(3, 2)
    second = tensor(product, types.FLOAT32), tensor(np.ones(3, np.float32), types.FLOAT32)
    operators = []
    for code, pair in enumerate((first, second)):
        inputs = builder.CreateNumpyVector(np.array([0, *pair], np.int32))
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code)
        schema.OperatorAddInputs(builder, inputs)
        operators.append(schema.OperatorEnd(builder))
    codes = []
    for kind in (schema.BuiltinOperator.DEPTHWISE_CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED):
        schema.OperatorCodeStart(builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(builder, kind)
        codes.append(schema.OperatorCodeEnd(builder))
    tensor_vector, operator_vector = vector(tensors), vector(operators)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensor_vector)
    schema.SubGraphAddOperators(builder, operator_vector)
    graphs = vector([schema.SubGraphEnd(builder)])
    code_vector, buffer_vector = vector(codes), vector(buffers)
    schema.ModelStart(builder)
    schema.ModelAddOperatorCodes(builder, code_vector)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffer_vector)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_tflite(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(build_tflite())
    depthwise, product = tflite.read_parameters(path)
    stored = np.arange(1, 13).reshape(3, 2, 2) * np.array([0.5, 2.0])
    assert np.array_equal(depthwise[0], stored.transpose(2, 0, 1)[:, None])
    assert np.array_equal(depthwise[1], [1.0, 1.5])
    assert np.array_equal(product[0], np.arange(6).reshape(3, 2))
    assert np.array_equal(product[1], [1, 1, 1])


def test_tflite_errors(tmp_path: Path) -> None:
    pytest.importorskip("tflite")
    path = tmp_path / "net.tflite"
    with pytest.raises(DataError, match="No such file"):
        tflite.read_parameters(path)
    data = build_tflite()
    path.write_bytes(b"text")
    with pytest.raises(DataError, match="not a TensorFlow Lite file"):
        tflite.read_parameters(path)
    refused = 0
    for length in range(8, len(data), 13):
        path.write_bytes(data[:length])
        try:
            tflite.read_parameters(path)
        except DataError:  # and nothing else
            refused += 1
    assert refused > len(data) // 26
