"""What the device cannot run is named, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from onnx import helper

from headrace.errors import ModelError
from headrace.importers import import_model
from onnx_models import chain, model, saved

ONE = np.ones
CONSTANTS = {
    "w": ONE((4, 3, 3, 3), np.float32),
    "v": ONE((4, 4, 3, 3), np.float32),
    "p": ONE((4, 5), np.float32),
    "half": np.float32(0.5),
    "map": np.arange(64, dtype=np.float32).reshape(8, 8),
    "s": np.array([1, -1], np.int64),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "cut": np.array([0, 0, -1, 0, 0, 0, 0, 0], np.int64),
    "zero": np.float32(0),
}
IMAGE = (2, 3, 8, 8)


def problems(nodes: list[Any], folder: Path, shape: tuple[Any, ...] = IMAGE, **more: np.ndarray) -> tuple[str, ...]:
    with pytest.raises(ModelError) as caught:
        import_model(saved(model(nodes, shape, CONSTANTS | more), folder))
    assert "\n" not in str(caught.value)
    return caught.value.problems


def test_thousands(tmp_path: Path):
    found = problems(chain(*[("LeakyRelu",)] * 20_000), tmp_path)
    assert len(found) == 1001 and found[999].startswith("LeakyRelu 'node999'") and found[1000] == "and more"


def test_all_are_in_one_report(tmp_path: Path):
    found = problems(
        chain(
            ("Conv", ["w"]),
            ("LeakyRelu",),
            ("Conv", ["v"], {"pads": [1, 1, 1, 1]}),
            ("HardSwish",),
            ("InstanceNormalization", ["p", "p"]),
            ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
            ("LSTM", ["p", "p"]),
        ),
        tmp_path,
    )
    assert [line.split(":")[0] for line in found] == [
        "LeakyRelu 'node1' of (4, 6, 6)",
        "HardSwish 'node3' of (4, 6, 6)",
        "InstanceNormalization 'node4' of (4, 6, 6)",
        "AveragePool 'node5' of (4, 6, 6)",
        "LSTM 'node6' of (4, 6, 6)",
    ]
    assert "train again" in found[0] and "batch normalisation" in found[2] and "count_include_pad" in found[3]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([("Conv", ["w"], {"strides": [3, 3]}), ("Conv", ["v"], {"pads": [1, 1, 1, 1]})], "use strides 1 and 2"),
        ([("Conv", ["v"])], "do not fit 3 channels"),
        ([("Conv", ["w"], {"dilations": [9, 9]})], "no window"),
        ([("ConvTranspose", ["w"])], "does not enlarge"),
        ([("MaxPool", [], {"kernel_shape": [3, 2]}), ("Conv", ["w"])], "square windows"),
        ([("MaxPool", [], {"kernel_shape": [2, 2], "dilations": [2, 2]})], "dilation"),
        ([("MaxPool", [], {"kernel_shape": [12, 12], "pads": [6, 6, 6, 6]})], "2 x 2 to 11 x 11"),
        ([("Flatten", [], {"axis": 2})], "the batch must stay"),
        ([("Reshape", ["s"]), ("MatMul", ["p"])], "the batch, must stay"),
        ([("Transpose", [], {"perm": [1, 0, 2, 3]})], "the batch must stay the first"),
        ([("Conv", ["w"]), ("Transpose", [], {"perm": [0, 2, 1, 3]}), ("Conv", ["v2"])], "moves no activations"),
        ([("Mul", ["map"])], "differs from pixel to pixel"),
        ([("Mul", ["x"])], "Mul of two computed tensors"),
        ([("Conv", ["w"]), ("Add", ["x"])], "differ"),
        ([("Softmax",), ("Conv", ["w"])], "runs on the host"),
        ([("Pad", ["pads", "half"]), ("Conv", ["w"])], "padding with 0.5"),
        ([("Pad", ["pads"], {"mode": "reflect"}), ("Conv", ["w"])], "mode reflect"),
        ([("Pad", ["cut"]), ("Conv", ["w"])], "negative padding"),
        ([("Concat", ["half"], {"axis": 1})], "constant"),
        ([("Conv", ["nowhere"])], "'y' is not computed"),
        ([("Identity",)], "no layer that the device runs"),
        ([("QuantizeLinear", ["half", "zero"])], "export the float model"),
        ([("Resize", ["", "half"])], "does not enlarge"),
        ([("Cast", [], {"to": 9}), ("Conv", ["w"])], "does not have it"),
    ],
)
def test_reason(steps: list[tuple[Any, ...]], reason: str, tmp_path: Path):
    found = problems(chain(*steps), tmp_path, v2=np.ones((4, 6, 3, 3), np.float32))
    assert any(reason in line for line in found), found


def test_inputs_and_outputs(tmp_path: Path):
    one = model(chain(("Conv", ["w"])), ("n", 3, "h", 8), CONSTANTS)
    with pytest.raises(ModelError, match="sizes are left open"):
        import_model(saved(one, tmp_path))
    with pytest.raises(ModelError, match=r"is \(3, 0, 8\) beside the batch, not \(4, 8, 8\)"):
        import_model(saved(one, tmp_path), (4, 8, 8))
    one.graph.output.append(helper.make_tensor_value_info("x", 1, None))
    with pytest.raises(ModelError, match="one output"):
        import_model(saved(one, tmp_path), (3, 8, 8))
    one.graph.input.append(helper.make_tensor_value_info("z", 1, [1]))
    with pytest.raises(ModelError, match="one input is needed, and this has x, z; export what reads each"):
        import_model(saved(one, tmp_path), (3, 8, 8))


def test_operators_of_others(tmp_path: Path):
    nodes = chain(("Quant", ["half", "zero", "half"]), ("Conv", ["w"]))
    nodes[0].domain = "qonnx.custom_op.general"
    assert "the operators of 'qonnx.custom_op.general' are unknown" in problems(nodes, tmp_path)[0]


def test_names_with_line_breaks(tmp_path: Path):
    nodes = chain(("Conv", ["w"]), ("Tan\n",))
    nodes[0].name, nodes[1].name = "a\x1b[2J", "b\nc"
    assert problems(nodes, tmp_path)[0].startswith("Tan? 'b\\nc' of (4, 6, 6): ")
    nodes[0].output[0] = "y"
    graph = import_model(saved(model(nodes[:1], IMAGE, CONSTANTS), tmp_path))
    assert [layer.name for layer in graph.layers] == ["a_[2J"]


def test_weights_that_are_no_numbers(tmp_path: Path):
    found = problems(chain(("Conv", ["w"])), tmp_path, w=np.full((4, 3, 3, 3), np.nan, np.float32))
    assert "NaN" in found[0]
    huge = problems(
        chain(("Conv", ["w"]), ("Mul", ["half"])),
        tmp_path,
        w=np.full((4, 3, 3, 3), 3e38, np.float32),
        half=np.float32(1e3),
    )
    assert "infinity" in huge[0]
