"""headrace.graph."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dags import random_dag
from headrace.graph import build_graph
from headrace.network import AveragePool2d, Concat, Conv2d, MaxPool2d, Network
from networks import scales, sparse


def conv(name: str, shape: tuple[int, int, int, int], *inputs: str, stride: int = 1, skip: bool = False) -> Conv2d:
    rng = np.random.default_rng(len(name))
    weights = sparse(rng, shape, 0.5)
    residual = np.ones(shape[0], np.int8) if skip else None
    return Conv2d(name, weights, **scales(rng, weights), stride=stride, skip=residual, inputs=inputs)


def network(shape: tuple[int, int, int], *layers: object) -> Network:
    return Network("n", shape, 1.0, 1.0, layers)  # type: ignore[arg-type]


def names(net: Network) -> list[str]:
    return [op.layer.name for op in build_graph(net).ops]


def test_a_chain_has_its_layers_and_splits_for_stride_two() -> None:
    graph = build_graph(network((2, 8, 8), conv("a", (3, 2, 3, 3)), MaxPool2d("b"), conv("c", (2, 3, 1, 1))))
    assert [(op.sources, op.target) for op in graph.ops] == [((0,), 1), ((1,), 2), ((2,), 3)]
    assert [tensor.split for tensor in graph.tensors] == [False, True, False, False]
    assert graph.lifetimes() == {0: (0, 0), 1: (0, 1), 2: (1, 2), 3: (2, 2)}


def test_concatenation_is_no_operation() -> None:
    net = network(
        (2, 4, 4), conv("a", (3, 2, 1, 1), "input"), conv("b", (4, 2, 1, 1), "input"), Concat("c", inputs=("a", "b"))
    )
    graph = build_graph(net)
    assert names(net) == ["a", "b"]
    assert [(tensor.root, tensor.first) for tensor in graph.tensors] == [(0, 0), (3, 0), (3, 3), (3, 0)]
    assert graph.lifetimes()[3] == (0, 1)


def test_readers_of_both_strides_get_a_copy() -> None:
    shape = (2, 2, 1, 1)
    net = network(
        (2, 8, 8),
        conv("a", shape),
        conv("b", shape, "a", stride=2),
        conv("c", shape, "a"),
        conv("d", (2, 2, 1, 1), "c", stride=2),
        Concat("e", inputs=("b", "d")),
    )
    graph = build_graph(net)
    assert names(net) == ["a", "a.copy", "b", "c", "d"]
    copy = graph.ops[1].target
    assert graph.ops[2].sources == (copy,) and graph.tensors[copy].split and not graph.tensors[1].split
    assert graph.ops[3].sources == (1,)


def test_what_is_joined_twice_is_copied() -> None:
    net = network((2, 4, 4), conv("a", (2, 2, 1, 1)), Concat("c", inputs=("a", "a")))
    graph = build_graph(net)
    assert names(net) == ["a", "a.copy"]
    assert [(graph.tensors[op.target].root, graph.tensors[op.target].first) for op in graph.ops] == [(2, 0), (2, 2)]


def test_joined_and_read_in_another_layout() -> None:
    net = network(
        (2, 8, 8),
        conv("a", (2, 2, 1, 1)),
        Concat("c", inputs=("a", "input")),
        AveragePool2d("half", (2, 2), 1 << 13, 15, stride=2, inputs=("c",)),
        conv("d", (2, 2, 1, 1), "a"),
        MaxPool2d("m"),
        Concat("e", inputs=("half", "half", "m")),
    )
    graph = build_graph(net)
    assert names(net) == ["input.copy", "a", "a.copy", "half", "half.copy", "d", "m"]
    for tensor, first in ((0, 2), (1, 0)):
        assert not graph.tensors[tensor].split and graph.tensors[tensor].root == tensor
        copy = next(graph.tensors[op.target] for op in graph.ops if op.sources == (tensor,) and "copy" in op.layer.name)
        assert copy.split and (copy.root, copy.first) == (2, first)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_every_tensor_is_written_whole_before_it_is_read_in_the_layout_of_its_readers(seed: int) -> None:
    graph = build_graph(random_dag(np.random.default_rng(seed)))
    written = {(graph.tensors[0].root, graph.tensors[0].first + c) for c in range(graph.tensors[0].shape[0])}
    lifetimes = graph.lifetimes()

    def check_read(tensor: int, now: int) -> None:
        one = graph.tensors[tensor]
        assert all((one.root, one.first + channel) in written for channel in range(one.shape[0]))
        assert lifetimes[one.root][0] < now or one.root == graph.tensors[0].root
        assert min(now, len(graph.ops) - 1) <= lifetimes[one.root][1]

    for number, op in enumerate(graph.ops):
        for position, source in enumerate(op.sources):
            check_read(source, number)
            stride = getattr(op.layer, "stride", 1) if position == 0 else 1
            assert graph.tensors[source].split == (stride == 2)
        target = graph.tensors[op.target]
        for channel in range(target.shape[0]):
            assert (target.root, target.first + channel) not in written
            written.add((target.root, target.first + channel))
    check_read(graph.output, len(graph.ops))
    assert not graph.tensors[graph.output].split
