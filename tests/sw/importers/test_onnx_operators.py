"""ONNX operators mean what the reference of the package `onnx` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import helper  # noqa: E402

from headrace.importers import import_model  # noqa: E402
from onnx_models import chain, model, reference, saved  # noqa: E402

RNG = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


W, B = normal(6, 4, 3, 3), normal(6)
NORM = {"g": normal(4), "b": normal(4), "m": normal(4), "v": np.abs(normal(4)) + 0.5}
KEEP = ("Conv", ["keep"], {"group": 4})
"""A convolution, since a network without any layer is none."""
CONSTANTS = {"w": W, "wb": B, "keep": normal(4, 1, 1, 1), **NORM}
IMAGE = (2, 4, 9, 8)


def shapes(**values: list[int]) -> dict[str, np.ndarray]:
    return {key: np.array(value, np.int64) for key, value in values.items()}


CASES: dict[str, tuple[list[tuple[Any, ...]], tuple[int, ...], dict[str, np.ndarray]]] = {
    "conv": ([("Conv", ["w", "wb"], {"strides": [2, 2], "pads": [1, 0, 2, 1]})], IMAGE, {}),
    "conv same": ([("Conv", ["w"], {"strides": [2, 2], "auto_pad": "SAME_UPPER"})], IMAGE, {}),
    "conv same lower": ([("Conv", ["w"], {"auto_pad": "SAME_LOWER", "strides": [2, 2]})], IMAGE, {}),
    "conv dilated": ([("Conv", ["w"], {"dilations": [2, 1]})], IMAGE, {}),
    "conv of stride 4": ([("Conv", ["w"], {"strides": [4, 4], "pads": [1, 1, 1, 1]}), ("Relu",)], (2, 4, 17, 18), {}),
    "conv grouped": ([("Conv", ["w2"], {"group": 2})], IMAGE, {"w2": normal(6, 2, 2, 3)}),
    "conv 1-D": ([("Conv", ["w1"], {"strides": [2], "pads": [2, 1]})], (2, 4, 21), {"w1": normal(5, 4, 4)}),
    "normalised": ([("Conv", ["w4"]), ("BatchNormalization", ["g", "b", "m", "v"]), ("Relu",)], IMAGE, {"w4": W[:4]}),
    "normalised alone": ([("BatchNormalization", ["g", "b", "m", "v"], {"epsilon": 0.1}), KEEP], IMAGE, {}),
    "limits": ([KEEP, ("Clip", ["low", "high"])], IMAGE, {"low": np.float32(-0.25), "high": np.float32(0.5)}),
    "limit above": ([KEEP, ("Clip", ["", "high"])], IMAGE, {"high": np.float32(0.5)}),
    "two limits": ([KEEP, ("Relu",), ("Clip", ["low", "high"])], IMAGE, {"low": np.float32(-1), "high": np.float32(1)}),
    "maximum": ([KEEP, ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})], IMAGE, {}),
    "maximum up": (
        [KEEP, ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}), ("Relu",)],
        (2, 4, 10, 8),
        {},
    ),
    "maximum 4": ([KEEP, ("MaxPool", [], {"kernel_shape": [4, 4], "strides": [4, 4]})], (2, 4, 18, 13), {}),
    "maximum 1-D": (
        [KEEP1 := ("Conv", ["k1"]), ("MaxPool", [], {"kernel_shape": [3], "strides": [2]})],
        (2, 4, 20),
        {},
    ),
    "strides of 3 before a product": (
        [
            ("Conv", ["w"], {"strides": [3, 1]}),
            ("Relu",),
            ("BatchNormalization", ["g6", "b6", "b6", "v6"]),
            ("Flatten",),
            ("Gemm", ["p"]),
        ],
        IMAGE,
        {"p": normal(6 * 3 * 6, 5), "g6": normal(6), "b6": normal(6), "v6": np.abs(normal(6)) + 0.5},
    ),
    "average": (
        [KEEP, ("AveragePool", [], {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": 1}), ("Relu",)],
        IMAGE,
        {},
    ),
    "average 4": ([KEEP, ("AveragePool", [], {"kernel_shape": [4, 4], "strides": [4, 4]})], IMAGE, {}),
    "average of all": ([KEEP, ("GlobalAveragePool",), ("Flatten",)], IMAGE, {}),
    "mean": ([KEEP, ("ReduceMean", [], {"axes": [2, 3], "keepdims": 0})], IMAGE, {}),
    "maximum of all": ([KEEP, ("GlobalMaxPool",)], (2, 4, 25, 7), {}),
    "product": (
        [("Flatten",), ("Gemm", ["p", "c"], {"transB": 1, "alpha": 0.5, "beta": 2.0})],
        IMAGE,
        {"p": normal(7, 288), "c": normal(7)},
    ),
    "product and sum": (
        [("MatMul", ["p"]), ("Add", ["c"]), ("Relu",), ("Mul", ["c"])],
        (2, 9),
        {"p": normal(9, 7), "c": normal(7)},
    ),
    "product of rows": ([("MatMul", ["p"]), ("Relu",)], (2, 5, 9), {"p": normal(9, 7)}),
    "product of transposed": (
        [("Transpose", [], {"perm": [0, 2, 3, 1]}), ("Reshape", ["s"]), ("MatMul", ["p"])],
        IMAGE,
        {"p": normal(288, 5)} | shapes(s=[2, -1]),
    ),
    "channels last": (
        [
            ("Transpose", [], {"perm": [0, 3, 1, 2]}),
            ("Conv", ["w"], {"pads": [1, 1, 1, 1]}),
            ("Relu",),
            ("Transpose", [], {"perm": [0, 2, 3, 1]}),
        ],
        (2, 9, 8, 4),
        {},
    ),
    "reshaped input": ([("Reshape", ["s"]), ("Conv", ["w"])], (2, 288), shapes(s=[-1, 4, 9, 8])),
    "scaled input": (
        [("Sub", ["m1"]), ("Div", ["d1"]), ("Conv", ["w"], {"pads": [1, 1, 1, 1]})],
        IMAGE,
        {"m1": normal(4, 1, 1), "d1": np.float32(0.3)},
    ),
    "padded": ([("Pad", ["s"]), ("Conv", ["w"])], IMAGE, shapes(s=[0, 0, 1, 2, 0, 0, 0, 1])),
    "padded maximum": (
        [KEEP, ("Relu",), ("Pad", ["s"]), ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2]})],
        IMAGE,
        shapes(s=[0, 0, 1, 1, 0, 0, 1, 0]),
    ),
    "padded maximum of negative": (
        [KEEP, ("Pad", ["s"]), ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2]})],
        IMAGE,
        shapes(s=[0, 0, 1, 1, 0, 0, 1, 0]),
    ),
    "squeezed": (
        [KEEP, ("GlobalAveragePool",), ("Squeeze", ["s"]), ("Unsqueeze", ["u"])],
        IMAGE,
        shapes(s=[2, 3], u=[2]),
    ),
    "chances": ([("MatMul", ["p"]), ("Softmax",)], (2, 9), {"p": normal(9, 7)}),
    "logarithms": ([("MatMul", ["p"]), ("LogSoftmax", [], {"axis": 1})], (2, 9), {"p": normal(9, 7)}),
    "sigmoid": ([KEEP, ("Identity",), ("Sigmoid",)], IMAGE, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str, tmp_path: Path):
    steps, shape, constants = CASES[name]
    one = model(chain(*steps), shape, CONSTANTS | {"k1": normal(6, 4, 1)} | constants)
    x = normal(*shape)
    expected = reference(one, x)
    got = import_model(saved(one, tmp_path)).run(x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_branches(tmp_path: Path):
    nodes = [
        helper.make_node("Conv", ["x", "w", "wb"], ["a"], "a", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"], "r"),
        helper.make_node("Conv", ["r", "v"], ["b"], "b", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "r"], ["s"], "s"),
        helper.make_node("Clip", ["s", "zero", "six"], ["c"], "c"),
        helper.make_node("Concat", ["c", "a", "r"], ["j"], "j", axis=1),
        helper.make_node("Relu", ["j"], ["y"], "y"),
        helper.make_node("Sigmoid", ["j"], ["nobody reads this"], "dead"),
    ]
    constants = CONSTANTS | {"v": normal(6, 6, 3, 3), "zero": np.float32(0), "six": np.float32(6)}
    one = model(nodes, IMAGE, constants)
    graph = import_model(saved(one, tmp_path))
    x = normal(*IMAGE)
    np.testing.assert_allclose(graph.run(x), reference(one, x), rtol=1e-4, atol=1e-4)
    assert [layer.name for layer in graph.layers] == ["a", "r", "b", "s", "j", "y"]


def test_concatenation_of_vectors_in_any_order(tmp_path: Path):
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "t", perm=[0, 2, 1]),
        helper.make_node("Relu", ["t"], ["r"], "r"),
        helper.make_node("Concat", ["t", "r", "t"], ["j"], "j", axis=2),
        helper.make_node("Flatten", ["j"], ["f"], "f"),
        helper.make_node("MatMul", ["f", "p"], ["y"], "p"),
    ]
    one = model(nodes, (2, 4, 5), {"p": normal(60, 3)})
    x = normal(2, 4, 5)
    np.testing.assert_allclose(import_model(saved(one, tmp_path)).run(x), reference(one, x), rtol=1e-4, atol=1e-4)


def test_lookup(tmp_path: Path):
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"], "e"),
        helper.make_node("Transpose", ["e"], ["t"], "t", perm=[0, 2, 1]),
        helper.make_node("Conv", ["t", "w1"], ["y"], "c"),
    ]
    one = model(nodes, (2, 12), {"table": normal(9, 4), "w1": normal(5, 4, 3)}, integers=True)
    graph = import_model(saved(one, tmp_path))
    x = RNG.integers(0, 9, (2, 12))
    np.testing.assert_allclose(graph.run(x), reference(one, x), rtol=1e-4, atol=1e-4)
    assert graph.input.shape == (4, 1, 12)


@pytest.mark.parametrize("batch", [3, "n"])
def test_shape_that_is_computed(batch: int | str, tmp_path: Path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "c"),
        helper.make_node("Shape", ["c"], ["s"], "s"),
        helper.make_node("Gather", ["s", "zero"], ["b"], "b"),
        helper.make_node("Unsqueeze", ["b", "zeros"], ["u"], "u"),
        helper.make_node("Concat", ["u", "rest"], ["t"], "t", axis=0),
        helper.make_node("Reshape", ["c", "t"], ["f"], "f"),
        helper.make_node("MatMul", ["f", "p"], ["y"], "p"),
    ]
    constants = {"w": W, "zero": np.array(0), "zeros": np.array([0]), "rest": np.array([-1]), "p": normal(252, 3)}
    one = model(nodes, (batch, 4, 9, 8), constants)
    x = normal(3, 4, 9, 8)
    np.testing.assert_allclose(import_model(saved(one, tmp_path)).run(x), reference(one, x), rtol=1e-4, atol=1e-4)


def test_sizes_that_are_open(tmp_path: Path):
    one = model(chain(("Conv", ["w"]), ("Relu",)), ("n", 4, "h", "w"), {"w": W})
    graph = import_model(saved(one, tmp_path), (4, 7, 6))
    x = normal(2, 4, 7, 6)
    np.testing.assert_allclose(graph.run(x), reference(one, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("opset", [11, 13, 18, 21])
def test_versions(opset: int, tmp_path: Path):
    """Softmax has changed, axes have become inputs."""
    softmax = ("Softmax", [], {"axis": 1})
    mean = ("ReduceMean", ["axes"]) if opset >= 18 else ("ReduceMean", [], {"axes": [2, 3]})
    squeeze = ("Squeeze", ["axes"]) if opset >= 13 else ("Squeeze", [], {"axes": [2, 3]})
    one = model(chain(KEEP, mean, squeeze, softmax), IMAGE, {**CONSTANTS, **shapes(axes=[2, 3])}, opset)
    x = normal(*IMAGE)
    np.testing.assert_allclose(import_model(saved(one, tmp_path)).run(x), reference(one, x), rtol=1e-4, atol=1e-4)
