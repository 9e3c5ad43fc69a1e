"""ONNX models, operators of version 7 and later, as graphs of real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import FormatError, ModelError
from headrace.floats import FloatGraph

from . import onnx_constants
from .draft import Draft, Node, Unsupported, Value
from .onnx_call import Call
from .onnx_file import files_size, is_external, load_model, tensor_array, tensor_size
from .onnx_layers import LAYERS
from .onnx_shapes import SHAPES
from .reasons import advice, one_input

Array = NDArray[np.generic]
DOMAINS = ("", "ai.onnx")
OPERATORS = LAYERS | SHAPES


def import_onnx(path: Path, input_shape: Sequence[int] | None = None) -> FloatGraph:
    """The network of a .onnx file; weights inline, or in files of the same folder.

    `input_shape` is that of one input, without the batch, where the file leaves sizes open. FormatError for a file that
    is damaged, ModelError that names everything that the device cannot run, HeadraceError without the package `onnx`.
    """
    model = load_model(path)
    return _Import(path, model, input_shape).run()


class _Import:
    def __init__(self, path: Path, model: Any, input_shape: Sequence[int] | None) -> None:
        self.graph = model.graph
        self.folder = path.parent
        self.draft = Draft(path.stem, files_size(path, model.graph.initializer))
        self.input_shape = input_shape
        self.path = path
        self.version = next(one.version for one in model.opset_import if one.domain in DOMAINS)
        self.batch = 1
        self.values: dict[str, Value] = {}
        self.constants: dict[str, Array] = {}

    def run(self) -> FloatGraph:
        try:
            output = self._walk()
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            what = " ".join(f"{type(error).__name__} {error}".split())
            raise FormatError(f"{self.path} is damaged: {what}") from None
        except FormatError as error:
            raise FormatError(f"{self.path}: {error}") from None
        return self.draft.finish(output)

    def _walk(self) -> Value:
        """Every tensor and node in order; the output."""
        for tensor in self.graph.initializer:
            self.constants[tensor.name] = self._tensor(tensor)
        if self.graph.sparse_initializer:
            raise ModelError(self.draft.name, ["weights in sparse form; export them as plain tensors"])
        self._input()
        for number, proto in enumerate(self.graph.node):
            self._node(number, proto)
        return self.draft.output([one.name for one in self.graph.output], self.values)

    def _input(self) -> None:
        inputs = [one for one in self.graph.input if one.name not in self.constants]
        if len(inputs) != 1:
            raise ModelError(self.draft.name, [one_input([one.name for one in inputs])])
        sizes = [d.dim_value if d.HasField("dim_value") else 0 for d in inputs[0].type.tensor_type.shape.dim]
        self.batch = max(1, sizes[0]) if sizes else 1
        shape = tuple(sizes[1:]) if self.input_shape is None else tuple(self.input_shape)
        what = f"input {inputs[0].name!r}"
        if self.input_shape is None and (not shape or min(shape) < 1):
            raise ModelError(
                self.draft.name, [f"{what} of {tuple(sizes)}: sizes are left open; give the input's shape"]
            )
        if sizes[1:] and (
            len(sizes) != len(shape) + 1 or any(a not in (b, 0) for a, b in zip(sizes[1:], shape, strict=True))
        ):
            raise ModelError(self.draft.name, [f"{what} is {tuple(sizes[1:])} beside the batch, not {shape}"])
        try:
            self.values[inputs[0].name] = self.draft.start(shape)
        except Unsupported as error:
            raise ModelError(self.draft.name, [f"{what}: {error}"]) from None

    def _node(self, number: int, proto: Any) -> None:
        node = Node(proto.op_type, proto.name or next(iter(proto.output), "") or str(number))
        node = Node(node.operator, node.name, _module(proto))
        known = [name for name in proto.input if name]
        values = [self.values[name] for name in known if name in self.values]
        missing = [name for name in known if name not in self.values and name not in self.constants]
        try:
            if proto.domain not in DOMAINS:
                raise Unsupported(f"the operators of {proto.domain!r} are unknown; export a float model of plain ONNX")
            attributes = self._attributes(proto)
            if not values and not missing:
                self._constant(proto, attributes)
                return
            if proto.op_type == "Shape" and values:
                self.constants[proto.output[0]] = np.array((self.batch, *values[0].shape), np.int64)
                return
            if proto.op_type not in OPERATORS:
                raise Unsupported(advice(proto.op_type), values[0].shape if len(values) == 1 else None)
            if missing:
                return  # what made them has been reported
            arguments = [self.values.get(name, self.constants.get(name)) for name in proto.input]
            call = Call(self.draft, node, arguments, attributes, self.version, self.batch)
            self.values[proto.output[0]] = OPERATORS[proto.op_type](call)
        except Unsupported as error:
            self.values |= self.draft.refuse(node, values, error, proto.output)
        except (ValueError, KeyError, IndexError, TypeError, ArithmeticError) as error:
            self.draft.problem(node, values, f"damaged or unknown: {error}")

    def _attributes(self, proto: Any) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for one in proto.attribute:
            kinds = {1: one.f, 2: one.i, 3: one.s, 6: list(one.floats), 7: list(one.ints)}
            if one.type == 4:
                result[one.name] = self._tensor(one.t)
            elif one.type in kinds:
                result[one.name] = kinds[one.type]
        return result

    def _tensor(self, tensor: Any) -> Array:
        if is_external(tensor):
            self.draft.spend(tensor_size(tensor))
        return tensor_array(tensor, self.folder)

    def _constant(self, proto: Any, attributes: Mapping[str, Any]) -> None:
        arrays = [self.constants[name] if name else None for name in proto.input]
        made = onnx_constants.evaluate(proto.op_type, arrays, attributes)
        self.draft.spend(made.size)
        self.constants[proto.output[0]] = made


def _module(proto: Any) -> str:
    """Whose weights they are: "features.0" for "features.0.weight"; "" without."""
    weights = proto.input[1] if proto.op_type in ("Conv", "Gemm", "MatMul") and len(proto.input) > 1 else ""
    return str(weights[: -len(".weight")]) if weights.endswith(".weight") else ""
