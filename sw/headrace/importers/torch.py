"""PyTorch modules and exported programs as graphs of real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import FormatError, HeadraceError, ModelError
from headrace.floats import FloatGraph

from .aten import FOLDED, IGNORED, OPERATORS, SIZES
from .aten_call import Call
from .draft import LARGEST, Draft, Node, Unsupported, Value
from .pt2 import Program, read_program
from .reasons import advice, one_input

Argument = Any


def import_pt2(path: Path, input_shape: Sequence[int] | None = None) -> FloatGraph:
    """The network of a .pt2 file of `torch.export.save`; PyTorch is not needed.

    `input_shape` is that of one input, without the batch, where the program leaves sizes open. FormatError for a file
    that is damaged or holds pickled weights, ModelError that names everything that the device cannot run.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise FormatError(f"{path} is not a file")
        with path.open("rb") as file:
            program = read_program(file, str(path))
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from None
    return import_program(program, path.stem, input_shape)


def import_torch(model: Any, example: Any = None, name: str = "") -> FloatGraph:
    """The network of a `torch.nn.Module`, or of an `ExportedProgram`.

    `example` is an input of the module (N, ...), a tensor or an array; a program needs none. The module is exported in
    evaluation mode. ModelError names everything that the device cannot run, or that it cannot be exported.
    """
    try:
        import torch
    except ImportError:
        raise HeadraceError("modules need torch: pip install 'headrace[torch]'") from None
    name = name or type(model).__name__.lower()
    program = model
    if isinstance(model, torch.nn.Module):
        if example is None:
            raise ModelError(name, ["a module needs an example input to be exported"])
        training = {module: module.training for module in model.modules()}
        try:
            program = torch.export.export(model.eval(), (torch.as_tensor(example),))
        except Exception as error:  # whatever the module's own code raises
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(name, [f"torch.export cannot export it: {first}"]) from None
        finally:
            for module, was in training.items():
                module.training = was
    file: IO[bytes] = BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return import_program(read_program(file, name), name)


def import_program(program: Program, name: str, input_shape: Sequence[int] | None = None) -> FloatGraph:
    """ModelError that names everything that the device cannot run."""
    return _Import(program, name, input_shape).run()


class _Import:
    def __init__(self, program: Program, name: str, input_shape: Sequence[int] | None) -> None:
        self.program = program
        self.draft = Draft(name, program.size)
        self.input_shape = input_shape
        self.batch = 1
        self.values: dict[str, Value] = {}
        self.constants: dict[str, NDArray[np.generic]] = dict(program.constants)
        self.names = dict(program.names)
        self.numbers: dict[str, int] = {}

    def run(self) -> FloatGraph:
        try:
            output = self._walk()
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            what = " ".join(f"{type(error).__name__} {error}".split())
            raise FormatError(f"{self.draft.name} is damaged, or of another version: {what}") from None
        return self.draft.finish(output)

    def _walk(self) -> Value:
        """Every node in order; the output."""
        self._input()
        for node in self.program.nodes:
            self._node(node)
        return self.draft.output(self.program.outputs, self.values)

    def _input(self) -> None:
        inputs = self.program.inputs
        if len(inputs) != 1 or inputs[0] not in self.program.sizes:
            raise ModelError(self.draft.name, [one_input(inputs)])
        sizes = self.program.sizes[inputs[0]]
        self.batch = (sizes[0] if sizes else None) or 1
        given = [None] * (len(sizes) - 1) if self.input_shape is None else list(self.input_shape)
        if len(given) != len(sizes) - 1 or any(
            a is not None and b not in (None, a) for a, b in zip(sizes[1:], given, strict=True)
        ):
            raise ModelError(
                self.draft.name, [f"input {inputs[0]!r} is {tuple(sizes[1:])} beside the batch, not {tuple(given)}"]
            )
        shape = tuple(a or b or 0 for a, b in zip(sizes[1:], given, strict=True))
        if not shape or min(shape) < 1:
            reason = f"input {inputs[0]!r} of {tuple(sizes)}: sizes are left open; give the input's shape"
            raise ModelError(self.draft.name, [reason])
        try:
            self.values[inputs[0]] = self.draft.start(shape)
        except Unsupported as error:
            raise ModelError(self.draft.name, [f"input {inputs[0]!r}: {error}"]) from None

    def _node(self, proto: dict[str, Any]) -> None:
        target = str(proto["target"])
        operator = _operator(target)
        outputs = [name for one in proto["outputs"] for name in _names(one)]
        arguments: dict[str, Argument] = {}
        used, missing = [], False
        for position, one in enumerate(proto["inputs"]):
            for name in _names(one["arg"]):
                used.append(name)
                missing |= name not in self.values and name not in self.constants
            arguments[one["name"] or str(position)] = self._argument(one["arg"])
        values = [self.values[name] for name in used if name in self.values]
        node = Node(operator, proto.get("name") or next(iter(outputs), operator), self._module(used))
        try:
            if operator in IGNORED:
                return
            if any("as_sym_int" in one for one in proto["outputs"]):
                if not missing:
                    self._size(proto, operator, arguments)
                return
            if missing and operator in OPERATORS:
                return  # what made them has been reported
            if not values and not missing:
                if operator not in FOLDED:
                    raise Unsupported("of constants; compute it before the export")
                made = FOLDED[operator](*arguments.values())
                self.draft.spend(made.size)
                self.constants[outputs[0]] = made
                self.names[outputs[0]] = self.names.get(used[0] if used else "", "")
                return
            if operator not in OPERATORS:
                raise Unsupported(advice(operator), values[0].shape if len(values) == 1 else None)
            self.values[outputs[0]] = OPERATORS[operator](Call(self.draft, node, arguments, self.batch))
        except Unsupported as error:
            self.values |= self.draft.refuse(node, values, error, outputs)
        except (ValueError, KeyError, IndexError, TypeError, ArithmeticError, AttributeError) as error:
            self.draft.problem(node, values, f"damaged or unknown: {type(error).__name__} {error}")

    def _size(self, proto: dict[str, Any], operator: str, arguments: dict[str, Argument]) -> None:
        if operator not in SIZES:
            raise Unsupported("a size computed so; export with sizes that are fixed, but for the batch")
        number = SIZES[operator](self.batch, *arguments.values())
        if abs(number) > LARGEST:  # products of products would grow without bound
            raise Unsupported(f"a size of {number:.0e}")
        self.numbers[proto["outputs"][0]["as_sym_int"]["as_name"]] = number

    def _module(self, used: Sequence[str]) -> str:
        """Layers with weights are called as the module that has them."""
        for name in used:
            label = self.names.get(name, "")
            if label.endswith(".weight"):
                return label[: -len(".weight")]
        return ""

    def _argument(self, one: dict[str, Any]) -> Argument:
        """A value of the serialised form: tensors as Value or array, None where what made them could not be run."""
        (kind, held), *_ = one.items()
        if kind in ("as_tensor", "as_optional_tensor"):
            names = _names(one)
            return self._tensor(names[0]) if names else None
        if kind in ("as_tensors", "as_optional_tensors"):
            return [self._tensor(name) for name in _names(one)]
        if kind == "as_none":
            return None
        if kind == "as_sym_int":
            return self._number(held)
        if kind == "as_sym_ints":
            return [self._number(number) for number in held]
        return float(held) if kind == "as_float" else held

    def _tensor(self, name: str) -> Value | NDArray[np.generic] | None:
        return self.values.get(name, self.constants.get(name))

    def _number(self, held: dict[str, Any]) -> int:
        return int(held["as_int"]) if "as_int" in held else self.numbers[held["as_name"]]


def _operator(target: str) -> str:
    """ "torch.ops.aten.relu_.default" is relu."""
    parts = target.split(".")
    name = parts[3] if target.startswith("torch.ops.aten.") and len(parts) > 3 else parts[-1]
    return name.rstrip("_") or name


def _names(one: dict[str, Any]) -> list[str]:
    """Of the tensors in an argument."""
    (kind, held), *_ = one.items()
    if kind in ("as_tensor", "as_optional_tensor"):
        held = held.get("as_tensor", held)
        return [str(held["name"])] if held and "name" in held else []
    if kind in ("as_tensors", "as_optional_tensors"):
        return [name for each in held for name in _names({"as_tensor": each})]
    return []
