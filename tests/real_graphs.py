"""Small networks in real numbers, seeded."""

from __future__ import annotations

from math import inf

import numpy as np

from headrace.floats import (
    Add,
    AveragePool,
    Concat,
    Conv,
    FloatGraph,
    GlobalAveragePool,
    Input,
    Linear,
    MaxPool,
    Output,
)

SHAPE = (3, 8, 8)


def conv(rng: np.random.Generator, name: str, source: str, rows: int, columns: int, **options) -> Conv:
    size = options.pop("size", 3)
    weights = rng.normal(0, np.sqrt(2 / (columns * size * size)), (rows, columns, size, size)).astype(np.float32)
    padding = (size // 2,) * 4
    return Conv(name, (source,), weights=weights, bias=_bias(rng, rows), padding=padding, **options)


def linear(rng: np.random.Generator, name: str, source: str, rows: int, columns: int, **options) -> Linear:
    weights = rng.normal(0, np.sqrt(1 / columns), (rows, columns)).astype(np.float32)
    return Linear(name, (source,), weights=weights, bias=_bias(rng, rows), **options)


def _bias(rng: np.random.Generator, rows: int) -> np.ndarray:
    return rng.normal(0, 0.1, rows).astype(np.float32)


def graph(layers, shape=SHAPE, name: str = "net") -> FloatGraph:
    """Layers whose last one gives a vector."""
    values = len(layers[-1].weights)
    return FloatGraph(name, Input(shape, shape), tuple(layers), Output((values, 1, 1), (values,)))


def residual(seed: int = 0) -> FloatGraph:
    """A residual block with an absorbed addition, one of two pooled tensors that nothing absorbs, a concatenation."""
    rng = np.random.default_rng(seed)
    return graph(
        [
            conv(rng, "first", "input", 8, 3, low=0.0),
            conv(rng, "a", "first", 8, 8, low=0.0),
            conv(rng, "b", "a", 8, 8),
            Add("sum", ("b", "first"), low=0.0),
            MaxPool("max", ("sum",), kernel=2),
            AveragePool("mean", ("sum",), kernel=(2, 2)),
            Add("both", ("max", "mean"), high=6.0),
            conv(rng, "depthwise", "both", 8, 1, groups=8, low=0.0),
            Concat("joined", ("both", "depthwise")),
            conv(rng, "half", "joined", 12, 16, stride=2, low=0.0),
            GlobalAveragePool("average", ("half",)),
            linear(rng, "linear", "average", 5, 12),
        ]
    )


def chain(seed: int = 0, spread: float = 1.0) -> FloatGraph:
    """Two convolutions, a maximum, a product; `spread`: ratio of the channels' ranges, which cancel between layers."""
    rng = np.random.default_rng(seed)
    factors = np.geomspace(1, spread, 8).astype(np.float32)
    first, second = conv(rng, "first", "input", 8, 3, low=0.0), conv(rng, "second", "first", 8, 8, low=0.0)
    return graph(
        [
            Conv(
                "first",
                ("input",),
                weights=first.weights * factors[:, None, None, None],
                bias=first.bias * factors,
                padding=(1, 1, 1, 1),
                low=0.0,
                high=inf,
            ),
            Conv(
                "second",
                ("first",),
                weights=second.weights / factors[:, None, None],
                bias=second.bias,
                padding=(1, 1, 1, 1),
                low=0.0,
            ),
            MaxPool("pool", ("second",), kernel=2),
            linear(rng, "linear", "pool", 4, 128),
        ]
    )


def images(count: int, shape=SHAPE, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, *shape)).astype(np.float32)
