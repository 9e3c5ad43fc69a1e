"""LOADs beside layers: where their bytes are free, and as many as there is time for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

import headrace.compile
import headrace.fit
import headrace.link
from dags import random_dag
from headrace.banding import banded
from headrace.bands import Segment
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import Config
from headrace.cycles import estimate
from headrace.errors import CompileError
from headrace.graph import Graph, build_graph
from headrace.image import Image
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES, Opcode
from headrace.layout import place
from headrace.network import Network
from headrace.placement import Placement
from headrace.prefetch import Descriptor, LayerRun, free_from, load_ahead
from headrace.transfers import TRANSFER_CYCLES
from networks import random_input
from sw.test_bands import conv, networks, random_segments
from sw.test_compile import run_on_model

SMALL = {lanes: Config("t", lanes, 4, 1024, 64) for lanes in (1, 4)}
RANDOM = 12


def before_their_layers(image: Image) -> Image:
    """The program with each LOAD beside a layer before that layer, which must then do the same."""
    program: list[Descriptor] = []
    at = 0  # behind the latest layer's predecessor
    for descriptor in image.descriptors():
        if descriptor["opcode"] == Opcode.LAYER:
            at = len(program)
        if descriptor["opcode"] == Opcode.LOAD and descriptor["beside"]:
            program.insert(at, descriptor)
            at += 1
        else:
            program.append(descriptor)
    packed = b"".join(DESCRIPTOR.pack(one).to_bytes(DESCRIPTOR_BYTES, "little") for one in program)
    return replace(image, blob=packed + image.blob[len(packed) :])


def as_if_there_were_time(
    ops: Sequence[Sequence[LayerRun]], loads: Mapping[tuple[int, int], Sequence[Descriptor]], beat_cycles: float
) -> list[list[Descriptor]]:
    """All LOADs are beside layers."""
    return load_ahead([[replace(one, cycles=1 << 20) for one in runs] for runs in ops], loads, beat_cycles)


@pytest.mark.parametrize("lanes", SMALL)
def test_a_layer_and_the_loads_beside_it_do_not_meet(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    for seed in range(RANDOM):
        rng = np.random.default_rng([seed, lanes])
        network = random_dag(rng, max_size=24)

        def at_random(graph: Graph, config: Config, rng: np.random.Generator = rng) -> tuple[Graph, list[Placement]]:
            cut = banded(graph, random_segments(rng, graph))
            return cut, place(cut, config, ahead=int(rng.integers(4)))

        monkeypatch.setattr(headrace.compile, "fit", at_random)
        monkeypatch.setattr(headrace.link, "load_ahead", as_if_there_were_time)
        try:
            image = compile_network(network, SMALL[lanes], effort=Effort.FAST)
        except CompileError:
            continue
        x = random_input(rng, network)
        expected = network.run(x)
        assert np.array_equal(run_on_model(image, x), expected)
        assert np.array_equal(run_on_model(before_their_layers(image), x), expected)
        loads += sum(one["beside"] for one in image.program)
    assert loads > 10


def test_bytes_that_nothing_needs_before() -> None:
    """The room of the first band is free once it has been read; that of another tensor is not."""
    rng = np.random.default_rng(1)
    graph = banded_chain(rng)
    places = place(graph, SMALL[1], ahead=2)
    for load, first in zip(graph.loads, free_from(graph, places), strict=True):
        own = set(range(places[load.tensor].base, places[load.tensor].base + places[load.tensor].size))
        for number in range(first, load.before):
            for tensor in (*graph.ops[number].sources, graph.ops[number].target):
                place_of = places[graph.tensors[tensor].root]
                assert not own & set(range(place_of.base, place_of.base + place_of.size))
    assert [first < load.before for load, first in zip(graph.loads, free_from(graph, places), strict=True)] == [
        False,
        *[True] * (len(graph.loads) - 1),
    ]


def banded_chain(rng: np.random.Generator) -> Graph:
    layers = conv("a", 3, 2), conv("b", 3, 3), conv("c", 2, 3, stride=2)
    return banded(build_graph(Network("n", (2, 24, 12), 1.0, 1.0, layers)), [Segment(0, 3, 3)])


def run(cycles: int, tables: int = 10, writes: int = 0) -> LayerRun:
    return LayerRun({"opcode": Opcode.LAYER, "beats": tables}, cycles, writes)


def load(beats: int) -> Descriptor:
    return {"opcode": Opcode.LOAD, "beats": beats, "in_channels": 1}


def beside(programs: list[list[Descriptor]]) -> list[list[int | None]]:
    """Of every operation, 0 or 1 for each LOAD, None for a LAYER."""
    return [[one.get("beside") for one in program] for program in programs]


def test_each_layer_gets_what_it_has_time_for() -> None:
    ops = [[run(500)], [run(1000), run(1000)], [run(500)]]
    loads = [load(400 - TRANSFER_CYCLES)] * 5
    assert beside(load_ahead(ops, {(1, 3): loads}, 1.0)) == [[None], [None, 1, 1, None, 1, 1], [None, 1]]
    assert beside(load_ahead(ops, {(0, 1): loads[:2]}, 0.5)) == [[None, 1, 1], [None, None], [None]]
    assert beside(load_ahead(ops, {(0, 2): loads[:2]}, 2.0)) == [[None], [None, 1, None, 1], [None]]


def test_no_load_beside_a_layer_that_always_writes() -> None:
    ops = [[run(500, writes=500)], [run(800, writes=800)], [run(500)]]
    assert beside(load_ahead(ops, {(0, 2): [load(300), load(300)]}, 1.0)) == [[None], [None, 0, 0], [None]]


def test_the_tables_of_the_next_layer_come_in_time() -> None:
    ops = [[run(500)], [run(500, tables=400)]]
    assert beside(load_ahead(ops, {(0, 1): [load(300)]}, 1.0)) == [[None, 1], [None]]
    assert beside(load_ahead([[run(500)], *ops], {(0, 2): [load(300), load(300)]}, 1.0)) == [
        [None, 1],
        [None, 1],
        [None],
    ]


def test_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    network, config = networks()["depthwise"], Config("t", 1, 1, 4096, 256)
    image = compile_network(network, config)
    assert any(one["beside"] for one in image.program)
    monkeypatch.setattr(headrace.fit, "_ahead", lambda cut, config: iter(()))
    monkeypatch.setattr(headrace.link, "free_from", lambda graph, places: [load.before for load in graph.loads])
    alone = compile_network(network, config)
    assert not any(one["beside"] for one in alone.program)
    assert estimate(image).cycles < 0.97 * estimate(alone).cycles
