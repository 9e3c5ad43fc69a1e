"""Graphs of real numbers, and what the host does at their edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headrace.errors import DataError
from headrace.floats import Add, Concat, Conv, FloatGraph, Input, Linear, MaxPool, Output
from headrace.floats import graph as graph_module

RNG = np.random.default_rng(12)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def conv(name: str, source: str, channels: int = 3) -> Conv:
    return Conv(name, (source,), weights=normal(3, channels, 3, 3), bias=normal(3), padding=(1, 1, 1, 1), low=0)


def build(layers: tuple[Any, ...], output: tuple[int, int, int] = (6, 2, 2)) -> FloatGraph:
    return FloatGraph("g", Input((3, 4, 4), (3, 4, 4)), layers, Output(output, output))


def test_shapes_readers_and_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(graph_module, "BATCH", 2)
    a, b = conv("a", "input"), conv("b", "a")
    layers = a, b, Add("s", ("a", "b")), Concat("j", ("s", "a")), MaxPool("m", ("j",))
    graph = build(layers)
    assert graph.shapes() == ((3, 4, 4), (3, 4, 4), (3, 4, 4), (3, 4, 4), (6, 4, 4), (6, 2, 2))
    assert graph.sources(2) == (1, 2) and graph.readers(1) == (1, 2, 3) and graph.readers(5) == ()
    x = normal(5, 3, 4, 4)
    ya = a.run(x)
    ys = ya + b.run(ya)
    expected = layers[4].run(np.concatenate([ys, ya], 1))
    np.testing.assert_allclose(graph.run(x), expected, rtol=1e-5, atol=1e-6)
    assert [name for name, _ in graph.trace(x)] == ["a", "b", "s", "j", "m"]
    assert graph.run(x[:0]).shape == (0, 6, 2, 2)
    with pytest.raises(ValueError, match="must be float32"):
        next(graph.trace(x[:, :2]))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: build(()), "no layers"),
        (lambda: build((conv("a", "input"), conv("a", "a"))), "a: two layers"),
        (lambda: build((conv("input", "input"),)), "input: two layers"),
        (lambda: build((conv("a", "b"), conv("b", "a"))), "no layer before it is called 'b'"),
        (lambda: build((conv("a", "input"), conv("b", "input"))), "a: no layer reads it"),
        (lambda: build((conv("a", "input", 4),)), "do not fit"),
        (lambda: build((conv("a", "input"),)), r"output of \(3, 4, 4\)"),
    ],
)
def test_wrong_graphs(make: Callable[[], FloatGraph], reason: str):
    with pytest.raises(ValueError, match=reason):
        make()


def test_input():
    order = RNG.permutation(12).reshape(3, 2, 2)
    edge = Input((3, 2, 2), (4, 3), scale=normal(3), offset=normal(3), order=order)
    x = normal(5, 4, 3)
    expected = x.reshape(5, 12)[:, order.ravel()].reshape(5, 3, 2, 2)
    assert edge.scale is not None and edge.offset is not None
    expected = expected * edge.scale[:, None, None] + edge.offset[:, None, None]
    assert np.array_equal(edge.feed(x), expected)
    assert Input((12, 1, 1), (4, 3)).feed(x.astype(np.float64)).dtype == np.float32
    assert Input((12, 1, 1), (4, 3)).feed(np.ones((1, 4, 3), np.uint8)).dtype == np.float32
    for wrong in (x[0], x[:, :, :2], x.astype(complex)):
        with pytest.raises(DataError, match=r"must be numbers \(N, 4, 3\)"):
            edge.feed(wrong)


def test_input_with_a_table():
    edge = Input((4, 1, 6), (6,), table=normal(9, 4), order=np.arange(24).reshape(6, 4).T.reshape(4, 1, 6))
    x = RNG.integers(0, 9, (2, 6))
    assert edge.table is not None and np.array_equal(edge.feed(x)[:, :, 0], edge.table[x].transpose(0, 2, 1))
    for wrong in (x + 9, x - 9, x.astype(np.float32)):
        with pytest.raises(DataError, match="integers from 0 to 8"):
            edge.feed(wrong)


def test_output():
    y = normal(3, 2, 2, 2)
    order = RNG.permutation(8)[:6].reshape(3, 2)
    taken = y.reshape(3, 8)[:, order.ravel()].reshape(3, 3, 2)
    assert np.array_equal(Output((2, 2, 2), (3, 2), order=order).deliver(y), taken)
    chances = Output((2, 2, 2), (3, 2), order=order, steps=(("softmax", 1),)).deliver(y * 50)
    np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-5)
    logarithms = Output((2, 2, 2), (3, 2), order=order, steps=(("log_softmax", 1),)).deliver(y)
    np.testing.assert_allclose(np.exp(logarithms), np.exp(taken) / np.exp(taken).sum(1, keepdims=True), rtol=1e-5)
    sigmoid = Output((2, 2, 2), (8,), steps=(("sigmoid", 1),)).deliver(1000 * y)
    assert np.array_equal(sigmoid, (y.reshape(3, 8) > 0).astype(np.float32))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Input((3, 2, 2), (11,)),
        lambda: Input((3, 2, 2), (12,), order=np.arange(12)),
        lambda: Input((3, 2, 2), (12,), scale=normal(2)),
        lambda: Output((3, 2, 2), (11,)),
        lambda: Output((3, 2, 2), (12,), order=np.arange(11)),
        lambda: Output((3, 2, 2), (12,), steps=(("tanh", 1),)),
        lambda: Output((3, 2, 2), (12,), steps=(("softmax", 0),)),
    ],
)
def test_wrong_edges(make: Callable[[], object]):
    with pytest.raises(ValueError, match="put"):
        make()


def test_linear_reads_all():
    layer = Linear("l", ("input",), weights=normal(2, 48), bias=normal(2))
    assert build((layer,), (2, 1, 1)).run(normal(2, 3, 4, 4)).shape == (2, 2, 1, 1)
