"""LOADs beside layers: where their bytes are free, and as many as there is time for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import headrace.compile
import headrace.fit
import headrace.moves
from dags import random_dag
from headrace.banding import banded
from headrace.bands import Segment
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config
from headrace.cycles import estimate
from headrace.errors import CompileError
from headrace.graph import Graph, build_graph
from headrace.image import Image
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES, Opcode
from headrace.layout import place
from headrace.network import Network
from headrace.placement import Placement
from headrace.prefetch import Descriptor, LayerRun, free_from, load_ahead, pays
from headrace.transfers import TRANSFER_CYCLES, load_cycles
from networks import random_input, tiny_lenet
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


@pytest.mark.parametrize("lanes", SMALL)
def test_a_layer_and_the_loads_beside_it_do_not_meet(lanes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    monkeypatch.setattr(headrace.moves, "pays", lambda *_: True)
    for seed in range(RANDOM):
        rng = np.random.default_rng([seed, lanes])
        network = random_dag(rng, max_size=24)

        def at_random(graph: Graph, config: Config, rng: np.random.Generator = rng) -> tuple[Graph, list[Placement]]:
            cut = banded(graph, random_segments(rng, graph))
            return cut, place(cut, config, ahead=int(rng.integers(4)))

        monkeypatch.setattr(headrace.compile, "fit", at_random)
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
    return LayerRun(tables, cycles, writes)


def load(cycles: int) -> Descriptor:
    """That takes so many on ONE."""
    return {"opcode": Opcode.LOAD, "beats": cycles - TRANSFER_CYCLES, "in_channels": 1}


ONE = Config("one", lanes=2, pixels=8)
"""A beat a cycle."""


def counts(behind: list[list[Descriptor]]) -> list[int]:
    """LOADs behind every run, all beside it."""
    assert all(one["beside"] for loads in behind for one in loads)
    return [len(loads) for loads in behind]


def test_each_layer_gets_what_it_has_time_for() -> None:
    runs = [run(500), run(1000), run(1000), run(500)]
    assert counts(load_ahead(runs, {(1, 4): [load(400)] * 5}, ONE)) == [0, 2, 2, 1]
    assert counts(load_ahead(runs, {(0, 3): [load(250), load(500)]}, ONE)) == [1, 1, 0, 0]
    assert counts(load_ahead(runs, {(0, 1): [load(400)] * 2}, ONE)) == [2, 0, 0, 0]


def test_a_layer_that_always_writes_gets_what_waits_for_nothing_else() -> None:
    runs = [run(500, writes=500), run(800, writes=800), run(1000)]
    assert counts(load_ahead(runs, {(0, 2): [load(300)] * 2}, ONE)) == [0, 2, 0]
    assert counts(load_ahead(runs, {(0, 3): [load(300)] * 2}, ONE)) == [0, 0, 2]


def test_the_tables_of_the_next_layer_come_in_time() -> None:
    runs = [run(500), run(500), run(500, tables=400)]
    assert counts(load_ahead(runs[1:], {(0, 1): [load(360)]}, ONE)) == [1, 0]
    assert counts(load_ahead(runs, {(0, 2): [load(360)] * 2}, ONE)) == [1, 1, 0]


def test_pieces_pay_where_there_is_time() -> None:
    whole, pieces = [load(1060)], [[load(560)], [load(560)]]
    assert pays(whole, pieces, [600.0], ONE) and pays(whole, pieces, [100.0], ONE)
    assert not pays(whole, pieces, [60.0], ONE)
    # Of two ports one has both of three blocks' rest.
    three = [{"opcode": Opcode.LOAD, "beats": 100, "in_channels": 3}]
    assert load_cycles(three[0], replace(ONE, pixels=16, read_ports=2)) == 200 + TRANSFER_CYCLES


@pytest.mark.parametrize(
    ("shape", "channels", "stride", "config", "strips"),
    [
        ((32, 16), 8, 1, Config("whole", 4, 4, 4096, 16), 1),
        ((32, 16), 8, 2, Config("phases", 4, 4, 4096, 16), 1),
        ((32, 32), 1, 1, Config("strips", 4, 4, 512, 16), 4),
        ((32, 32), 1, 2, Config("strips of phases", 4, 4, 512, 8), 2),
        ((48, 24), 1, 2, Config("thrifty", 4, 4, 256, 8), 4),
    ],
    ids=lambda value: value.name if isinstance(value, Config) else "",
)
def test_the_first_layer_begins_before_all_of_its_input_is_there(
    shape: tuple[int, int], channels: int, stride: int, config: Config, strips: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOADs beside the descriptors of one layer bring what the next one reads, and nothing twice."""
    rng = np.random.default_rng(list(shape))
    network = Network("n", (3, *shape), 1.0, 1.0, (conv("a", channels, 3, stride=stride), conv("b", 4, channels)))
    monkeypatch.setattr(headrace.moves, "pays", lambda *_: False)
    whole = compile_network(network, config, effort=Effort.FAST)
    monkeypatch.setattr(headrace.moves, "pays", lambda *_: True)
    image = compile_network(network, config, effort=Effort.FAST)
    assert image.layers[0].spatial_strips == strips and not any(one["beside"] for one in whole.program)

    first, *_, last = image.descriptors_of(image.layers[0])
    beside = [number for number, one in enumerate(image.program) if one["beside"]]
    assert beside and first < beside[0] and beside[-1] < last
    loaded = [
        sum(one["beats"] * one["in_channels"] for one in program if one["opcode"] == Opcode.LOAD)
        for program in (image.program, whole.program)
    ]
    assert loaded[0] <= loaded[1]
    x = random_input(rng, network)
    expected = network.run(x)
    for one in (image, before_their_layers(image), whole):
        assert np.array_equal(run_on_model(one, x), expected)


def test_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    network, config = networks()["depthwise"], Config("t", 1, 1, 4096, 256)
    image = compile_network(network, config)
    assert any(one["beside"] for one in image.program)
    monkeypatch.setattr(headrace.fit, "_ahead", lambda cut, config: iter(()))
    monkeypatch.setattr(headrace.moves, "free_from", lambda graph, places: [load.before for load in graph.loads])
    alone = compile_network(network, config)
    assert not any(one["beside"] for one in alone.program)
    assert estimate(image).cycles < 0.97 * estimate(alone).cycles


def test_pieces_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    network, config = tiny_lenet(np.random.default_rng(3)), CONFIGS["demo"]
    image = compile_network(network, config)
    assert any(one["beside"] for one in image.program)
    monkeypatch.setattr(headrace.moves, "pays", lambda *_: False)
    whole = compile_network(network, config)
    assert estimate(image).cycles < estimate(whole).cycles
