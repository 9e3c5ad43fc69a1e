"""Small ONNX models for tests, and what the reference of the package `onnx` makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

OPSET = 17


def model(
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, np.ndarray] | None = None,
    opset: int = OPSET,
    integers: bool = False,
) -> onnx.ModelProto:
    """From input "x" of `shape`, batch first, to output "y"."""
    kind = TensorProto.INT64 if integers else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def chain(*steps: tuple[Any, ...]) -> list[onnx.NodeProto]:
    """Nodes one after the other, from "x" to "y": (operator, further inputs, attributes) each."""
    nodes, source = [], "x"
    for number, (operator, *rest) in enumerate(steps):
        inputs = rest[0] if rest else ()
        target = "y" if number == len(steps) - 1 else f"t{number}"
        attributes = rest[1] if len(rest) > 1 else {}
        nodes.append(helper.make_node(operator, [source, *inputs], [target], f"node{number}", **attributes))
        source = target
    return nodes


def saved(one: onnx.ModelProto, folder: Path) -> Path:
    """The model in a file."""
    path = folder / "model.onnx"
    path.write_bytes(one.SerializeToString())
    return path


def reference(one: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    """The output for x."""
    return ReferenceEvaluator(one).run(None, {"x": x})[0]
