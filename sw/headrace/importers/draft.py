"""A graph under construction: layers, the tensors of the model as views of their outputs, and what cannot be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from headrace.errors import ModelError
from headrace.floats import FloatGraph, FloatLayer, Input, Output
from headrace.floats.layers import Weighted
from headrace.geometry import Shape
from headrace.wiring import INPUT

from .fuse import fuse

LARGEST = 1 << 23
"""Elements of one tensor of one image; devices hold fewer, and nothing larger but weights is ever allocated."""
MOST_AXES = 8
"""Of any tensor, the batch included; products of thousands of sizes take hours."""
MOST_LAYERS = 1 << 13
MOST_PROBLEMS = 1000
BUDGET, BUDGET_OF_A_BYTE = 1 << 25, 2
"""Elements of all arrays that a draft makes: of any, and more for each byte of the model's files. A few layers of a
small file can name the same large weights; an honest one of int8 makes real numbers of them, and then a layer."""


def budget(size: int) -> int:
    """Elements that a model may take whose files have `size` bytes."""
    return BUDGET + BUDGET_OF_A_BYTE * size


class Unsupported(Exception):  # noqa: N818
    """The device cannot run a node, and why. `shape`: what its output would be, so that the rest can be looked at."""

    def __init__(self, reason: str, shape: tuple[int, ...] | None = None) -> None:
        super().__init__(reason)
        self.shape = shape


@dataclass(frozen=True)
class Node:
    """One operation of the model, as problems and layers name it."""

    operator: str
    name: str
    module: str = ""
    """What the module is called whose weights it has."""

    @property
    def layer(self) -> str:
        """What its layer is to be called: as the module, or "features.0" for the node "/features/0/Conv"."""
        printable = "".join(c if c.isprintable() else "_" for c in self.module or self.name)
        if self.module:
            return printable
        *path, last = printable.strip("/").split("/")
        own = last.removeprefix("node_")
        weighted = path and self.operator in ("Conv", "Gemm", "MatMul") and own.startswith(self.operator)
        short = ".".join(path if weighted else [*path, own])
        return short or "layer"


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the model: its shape without the batch, and where its elements lie in a layer's output.

    `index`, int64 of `shape`: places in the flattened (C, H, W) output, none twice; None where they are 0, 1, 2...
    `steps` are what the host does to it, which only an output of the model may have.
    """

    layer: str
    shape: tuple[int, ...]
    index: NDArray[np.int64] | None = None
    steps: tuple[tuple[str, int], ...] = ()

    def places(self) -> NDArray[np.int64]:
        return np.arange(prod(self.shape)).reshape(self.shape) if self.index is None else self.index

    def reshape(self, shape: Sequence[int]) -> Value:
        """The same elements in another shape."""
        index = None if self.index is None else self.index.reshape(shape)
        return replace(self.free("reshaped"), shape=tuple(shape), index=index)

    def free(self, what: str) -> Value:
        """Itself, if the host does nothing to it."""
        if self.steps:
            raise Unsupported(f"the output of {self.steps[-1][0]}, which runs on the host, is {what}; leave it out")
        return self


def canonical(shape: tuple[int, ...]) -> Shape:
    """(C, H, W) of a tensor of one to three axes, the channels first."""
    if not 1 <= len(shape) <= 3:
        raise Unsupported(f"a tensor of {len(shape)} axes beside the batch; the device has channels, height and width")
    return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], 1 if len(shape) == 2 else shape[1], shape[-1])


def _plain(index: NDArray[np.int64]) -> NDArray[np.int64] | None:
    flat = index.ravel()
    return None if np.array_equal(flat, np.arange(flat.size)) else index


class Draft:
    """Collects layers in order. Layers that read a tensor whose layer could not be made may follow: `finish` raises.

    `size`: bytes of the model's files.
    """

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self._budget = budget(size)
        self.layers: list[FloatLayer] = []
        self.problems: list[str] = []
        self.shapes: dict[str, Shape] = {}
        self._spent = 0
        self._taken: dict[str, int] = {}
        self._model_shape: tuple[int, ...] = ()
        self._table: NDArray[np.float32] | None = None
        self._order: NDArray[np.int64] | None = None

    def start(self, shape: tuple[int, ...]) -> Value:
        """The model's input, without the batch; its layout is that which its first reader wants."""
        if len(shape) >= MOST_AXES:
            raise Unsupported(f"an input of {len(shape)} axes beside the batch")
        if not shape or min(shape) < 1 or prod(shape) > LARGEST:
            raise Unsupported(f"an input of {shape} beside the batch")
        self._model_shape = shape
        return Value(INPUT, shape)

    def embed(self, value: Value, table: NDArray[np.float32]) -> Value:
        """Rows (V, D) looked up by the integers of the model's input: an axis of D is added."""
        if value.layer != INPUT or INPUT in self.shapes or self._table is not None or value.index is not None:
            raise Unsupported("rows are looked up by what is not the model's input; the host does that to inputs alone")
        if prod(value.shape) * table.shape[1] > LARGEST:
            raise Unsupported(f"{value.shape} rows of {table.shape[1]} are too many")
        self._table = table
        return Value(INPUT, (*value.shape, table.shape[1]))

    def spend(self, elements: int) -> None:
        """Ask before arrays are made. ModelError where they become too many."""
        self._spent += elements
        if self._spent > self._budget:
            raise ModelError(self.name, [*self.problems, f"weights and tensors of more than {self._budget} numbers"])

    def transpose(self, value: Value, axes: Sequence[int]) -> Value:
        """Axes permuted; the batch is not among them."""
        self.spend(prod(value.shape))
        index = value.free("transposed").places().transpose(axes)
        return Value(value.layer, index.shape, _plain(index))

    def problem(self, node: Node, values: Sequence[Value], reason: str) -> None:
        """Note what cannot be run. ModelError where that is too much to read."""
        if len(self.problems) == MOST_PROBLEMS:
            raise ModelError(self.name, [*self.problems, "and more"])
        shapes = " and ".join(str(value.shape).replace(",)", ")") for value in values)
        self.problems.append(f"{node.operator} {node.name!r}{' of ' if shapes else ''}{shapes}: {reason}")

    def ghost(self, shape: tuple[int, ...] | None) -> Value | None:
        """The output of a layer that could not be made, so that what reads it is looked at too; None without shape."""
        if shape is None or not 1 <= len(shape) <= 3 or prod(shape) > LARGEST:
            return None
        name = self.unique("?")
        self.shapes[name] = canonical(shape)
        return Value(name, shape)

    def refuse(
        self, node: Node, values: Sequence[Value], error: Unsupported, outputs: Sequence[str]
    ) -> dict[str, Value]:
        """Note why a node cannot be run; what stands in for its first output, by name, if that has a shape."""
        self.problem(node, values, str(error))
        ghost = self.ghost(error.shape)
        return {} if ghost is None or not outputs else {outputs[0]: ghost}

    def output(self, names: Sequence[str], values: Mapping[str, Value]) -> Value:
        """The model's one output among the tensors that were made; what is wrong is noted, for `finish` to raise."""
        if len(names) != 1:
            self.problems.append(f"one output is needed, and this has {', '.join(names) or 'none'}")
        elif names[0] not in values and not self.problems:
            self.problems.append(f"output {names[0]!r} is not computed from the input")
        return values.get(names[0] if names else "", Value("", ()))

    def unique(self, wanted: str) -> str:
        """A layer's name that is not taken."""
        name, number = wanted, self._taken.get(wanted, 1)
        while name in self.shapes or name == INPUT:
            number += 1
            name = f"{wanted}_{number}"
        self._taken[wanted] = number  # thousands may want the same one
        return name

    def add(self, layer: FloatLayer, shape: tuple[int, ...] | None = None) -> Value:
        """A layer whose inputs were laid out with `spatial` or `flat`; its output as a tensor of `shape`, if given."""
        output = layer.output_shape(*(self.shapes[name] for name in layer.inputs))
        if prod(output) > LARGEST:
            raise Unsupported(f"an output of {output} is larger than any that a device holds")
        if isinstance(layer, Weighted):
            self.spend(layer.weights.size)
        if len(self.layers) == MOST_LAYERS:
            raise ModelError(self.name, [*self.problems, f"more than {MOST_LAYERS} layers"])
        self.layers.append(layer)
        self.shapes[layer.name] = output
        return Value(layer.name, output if shape is None else shape)

    def spatial(self, value: Value) -> Value:
        """`value` where its layer's output is just it, as (C, H, W); Unsupported where data would have to move."""
        value = self._settled(value, canonical(value.shape))
        if value.index is not None or self.shapes[value.layer] != canonical(value.shape):
            laid = self.shapes[value.layer]
            if prod(laid) > prod(value.shape):
                raise Unsupported("strides that are no powers of 2, or unequal, came before; use strides 1 and 2")
            raise Unsupported(f"{laid} would have to be moved to {value.shape}, and the device moves no activations")
        return value

    def flat(self, value: Value) -> Value:
        """`value` with its places in its layer's output."""
        shape = self._model_shape if self._table is None else (*self._model_shape, self._table.shape[1])
        return self._settled(value, canonical(shape) if len(shape) <= 3 else (prod(shape), 1, 1), ordered=False)

    def _settled(self, value: Value, shape: Shape, ordered: bool = True) -> Value:
        """An input of the model gets its layout here, the first time."""
        if value.steps:
            raise Unsupported(f"{value.steps[-1][0]} runs on the host, at the end, and the device reads its output")
        if value.layer != INPUT:
            return value
        if INPUT not in self.shapes:
            self.shapes[INPUT] = shape
            if ordered and value.index is not None:
                self._order = value.index.reshape(shape)
        if self._order is None:
            return value
        inverse = np.empty(self._order.size, np.int64)
        inverse[self._order.ravel()] = np.arange(self._order.size)
        return replace(value, index=_plain(inverse[value.places()]))

    def finish(self, value: Value) -> FloatGraph:
        """The graph whose output is `value`. ModelError where anything cannot be run."""
        if not self.problems and not self.layers:
            self.problems.append("no layer that the device runs")
        if self.problems:
            raise ModelError(self.name, list(dict.fromkeys(self.problems)))
        source = Input(self.shapes[INPUT], self._model_shape, table=self._table, order=self._order)
        try:
            source, layers = fuse(source, self.layers, value.layer)
        except ValueError as error:
            raise ModelError(self.name, [str(error)]) from None
        if not layers:
            raise ModelError(self.name, ["no layer that the device runs leads to the output"])
        output = Output(self.shapes[value.layer], value.shape, order=value.index, steps=value.steps)
        return FloatGraph(self.name, source, tuple(layers), output)
