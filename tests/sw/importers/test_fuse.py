"""Drafts become small, and mean the same."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from headrace.floats import Add, AveragePool, Concat, Conv, FloatGraph, FloatLayer, Input, Linear, MaxPool, Output
from headrace.importers.fuse import fuse, pointwise

RNG = np.random.default_rng(13)
CHANNELS = 3
SOURCE = Input((CHANNELS, 6, 6), (CHANNELS, 6, 6))


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def conv(name: str, source: str, low: float = -inf) -> Conv:
    return Conv(name, (source,), weights=normal(CHANNELS, CHANNELS, 3, 3), bias=normal(CHANNELS), low=low)


def scaled(name: str, source: str, low: float = -inf, high: float = inf) -> Conv:
    return pointwise(name, source, normal(CHANNELS), normal(CHANNELS), low, high)


def limit(name: str, source: str, low: float = -inf, high: float = inf) -> Conv:
    return pointwise(name, source, np.ones(CHANNELS), np.zeros(CHANNELS), low, high)


def padded(name: str, source: str) -> Conv:
    return pointwise(name, source, np.ones(CHANNELS), np.zeros(CHANNELS), padding=(1, 0, 2, 1))


def graph(source: Input, layers: list[FloatLayer]) -> FloatGraph:
    shapes = {"input": source.shape}
    for layer in layers:
        shapes[layer.name] = layer.output_shape(*(shapes[name] for name in layer.inputs))
    last = shapes[layers[-1].name]
    return FloatGraph("g", source, tuple(layers), Output(last, last))


CASES: dict[str, tuple[list[FloatLayer], list[str]]] = {
    "scale into convolution": ([conv("a", "input"), scaled("b", "a"), limit("c", "b", 0)], ["a"]),
    "limits after limits": ([conv("a", "input", 0.1), limit("b", "a", -1, 0.5), limit("c", "b", 0.3, 2)], ["a"]),
    "limits that leave one value": ([conv("a", "input", 0.1), limit("b", "a", -2, -1)], ["a"]),
    "scale after limits stays": ([conv("a", "input", 0.0), scaled("b", "a"), limit("c", "b", 0, 6)], ["a", "b"]),
    "scale of what others read stays": ([conv("a", "input"), scaled("b", "a"), Add("c", ("a", "b"))], ["a", "b", "c"]),
    "limit into addition": (
        [conv("a", "input"), conv("b", "input"), Add("c", ("a", "b")), limit("d", "c", 0)],
        ["a", "b", "c"],
    ),
    "scale after addition stays": ([conv("a", "input"), Add("c", ("a", "a")), scaled("d", "c")], ["a", "c", "d"]),
    "limit into average": ([AveragePool("a", ("input",)), limit("b", "a", 0.1)], ["a"]),
    "limit before maximum": (
        [
            conv("a", "input"),
            MaxPool("b", ("a",)),
            limit("c", "b", 0),
            Conv("d", ("c",), weights=normal(2, 3, 1, 1), bias=normal(2)),
        ],
        ["a", "b", "d"],
    ),
    "limit after joining stays": (
        [
            conv("a", "input"),
            conv("b", "input"),
            Concat("c", ("a", "b")),
            pointwise("d", "c", np.ones(6), np.zeros(6), 0),
        ],
        ["a", "b", "c", "d"],
    ),
    "scale into input": ([scaled("a", "input"), scaled("b", "a"), conv("c", "b")], ["c"]),
    "scale of input that others read": (
        [scaled("a", "input"), conv("b", "a"), conv("c", "input"), Add("d", ("b", "c"))],
        ["a", "b", "c", "d"],
    ),
    "limited input stays": ([limit("a", "input", 0), conv("b", "a")], ["a", "b"]),
    "scaling alone stays": ([scaled("a", "input")], ["a"]),
    "nothing stays": ([limit("a", "input")], ["a"]),
    "padding into convolution": (
        [padded("a", "input"), conv("b", "a"), conv("c", "a"), Add("d", ("b", "c"))],
        ["b", "c", "d"],
    ),
    "padding into average": ([padded("a", "input"), AveragePool("b", ("a",), kernel=(3, 3))], ["b"]),
    "padding before maximum": ([conv("a", "input", 0.0), padded("b", "a"), MaxPool("c", ("b",), kernel=3)], ["a", "c"]),
    "padding before maximum of any": (
        [conv("a", "input"), padded("b", "a"), MaxPool("c", ("b",), kernel=3)],
        ["a", "b", "c"],
    ),
    "padding beyond the kernel": ([padded("a", "input"), AveragePool("b", ("a",))], ["a", "b"]),
    "padding alone": ([padded("a", "input")], ["a"]),
    "scaled padding": ([padded("a", "input"), scaled("b", "a"), conv("c", "b")], ["b", "c"]),
    "scale into product": (
        [Linear("a", ("input",), weights=normal(4, 108), bias=normal(4)), pointwise("b", "a", normal(4), normal(4), 0)],
        ["a"],
    ),
    "dead layers": ([conv("a", "input"), conv("dead", "a"), scaled("b", "a")], ["a"]),
}


@pytest.mark.parametrize("name", CASES)
def test_fused(name: str):
    layers, kept = CASES[name]
    source, small = fuse(SOURCE, layers, layers[-1].name)
    assert [layer.name for layer in small] == kept
    x = normal(4, *SOURCE.shape)
    whole = [layer for layer in layers if layer.name != "dead"]
    np.testing.assert_allclose(graph(source, small).run(x), graph(SOURCE, whole).run(x), rtol=1e-4, atol=1e-5)


def test_numbers_beyond_float32():
    layers = [conv("a", "input"), pointwise("b", "a", np.full(CHANNELS, 3e38), np.zeros(CHANNELS))]
    with pytest.raises(ValueError, match="a: weights hold a NaN or an infinity"):
        fuse(SOURCE, layers, "b")
