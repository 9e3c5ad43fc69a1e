"""headrace.layout: addresses, pitches, and strips over lanes, with what the model device makes of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace.fit
from dags import random_dag, resnet8
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config
from headrace.errors import CompileError
from headrace.graph import Graph, build_graph
from headrace.isa import LANE_KEEP
from headrace.layout import place, place_in
from headrace.network import Conv2d, MaxPool2d, Network
from headrace.placement import Placement
from headrace.strips import THRIFTS, Misfit, geometry, group_tensors
from networks import random_input, scales, sparse
from sw.test_compile import random_config, run_on_model

SEEDS = st.integers(0, 2**32 - 1)


def placed(network: Network, config: Config) -> list[Placement]:
    return place(build_graph(network), config)


def padded(name: str, channels: tuple[int, int], kernel: int, pad: int, *inputs: str) -> Conv2d:
    rng = np.random.default_rng(kernel)
    weights = sparse(rng, (*channels, kernel, kernel), 0.4)
    return Conv2d(name, weights, **scales(rng, weights), padding=(pad,) * 4, inputs=inputs)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_what_lives_at_once_lies_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph, config = build_graph(random_dag(rng)), random_config(rng)
    places, lifetimes = place(graph, config), graph.lifetimes()
    for a, b in combinations(lifetimes, 2):
        if lifetimes[a][0] <= lifetimes[b][1] and lifetimes[b][0] <= lifetimes[a][1]:
            x, y = places[a], places[b]
            assert x.base + x.padded_size <= y.base or y.base + y.padded_size <= x.base
    for root in lifetimes:
        assert places[root].base % max(8, config.pixels) == 0
        assert places[root].base + places[root].padded_size <= config.x_bytes
    for tensor, one in zip(graph.tensors, places, strict=True):
        assert one.base == places[tensor.root].base + tensor.first * one.plane and one.base % 8 == 0


@settings(deadline=None, max_examples=120)
@given(SEEDS)
def test_strips_compute_what_the_network_means(seed: int) -> None:
    """Any number of strips for every tensor that can have them."""
    rng = np.random.default_rng(seed)
    side = int(rng.choice([7, 8, 12, 16, 24, 32]))
    network = random_dag(rng, size=(side, side), max_channels=8)
    lanes, pixels, acc_words = (int(rng.choice(n)) for n in ([4, 6, 8, 16], [2, 4, 8, 16, 32], [64, 128]))
    config = Config("t", lanes, pixels, (1 << 17) // pixels, acc_words, 30)

    def strips_at_random(graph: Graph, config: Config) -> list[Placement]:
        groups, thrift = group_tensors(graph), THRIFTS[rng.integers(len(THRIFTS))]
        strips = [1] * len(groups)
        for index, group in enumerate(groups):
            count = int(rng.choice([2, 4, 8, 16]))
            if group.whole or config.lanes % count:
                continue
            strips[index] = count
            try:
                geometry(graph, groups, strips, config, thrift)
            except Misfit:
                strips[index] = 1
        return place_in(graph, groups, strips, config, thrift)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headrace.fit, "place", strips_at_random)
        image = compile_network(network, config, effort=Effort.FAST)
    x = random_input(rng, network, 1)
    assert np.array_equal(run_on_model(image, x), network.run(x))


@pytest.mark.parametrize(
    ("name", "strips"),
    [("demo", [1, 4, 4, 4, 4, 2, 2, 2, 1, 1, 1]), ("pynq-z2", [1, 8, 8, 2, 2, 4, 1, 1, 1, 1, 1])],
)
def test_resnet_goes_in_strips_where_it_must(name: str, strips: list[int]) -> None:
    rng = np.random.default_rng(4)
    network = resnet8(rng)
    image = compile_network(network, CONFIGS[name])
    assert [info.spatial_strips for info in image.layers] == strips
    x = random_input(rng, network, 2)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_strips_by_hand() -> None:
    """16 rows of 16 pixels, 3 x 3 with padding, in 4 strips of 4 rows with a row beside them."""
    network = Network("n", (4, 16, 16), 1.0, 1.0, (padded("a", (3, 4), 3, 1), padded("b", (1, 3), 3, 1)))
    config = Config("t", lanes=8, pixels=8, x_words=128)
    image = compile_network(network, config)
    assert image.input.strips == 4 and image.input.strip_step == 64
    assert (image.input.strip_halo, image.input.strip_bytes) == (16, 96)
    loads, layer = image.descriptors()[:4], image.descriptors()[4]
    assert [(load["lane_from"], load["lane_to"]) for load in loads] == [(0, 2), (2, 4), (4, 6), (6, 8)]
    assert [load["address"] for load in loads] == [0, 384, 768, 1152]
    assert layer["words"] == 8 and layer["flat"] == 1 and layer["phases"] == 2 and layer["mask_beats"] == 4
    keep = np.frombuffer(image.blob, "<u8", 24, layer["address"])[16:]
    ranges = [LANE_KEEP.unpack(int(beat)) for beat in keep]
    assert [info.spatial_strips for info in image.layers] == [4, 2]
    assert [one["keep_from"] for one in ranges] == [-4] * 4 + [28] * 4
    assert [one["keep_to"] for one in ranges] == [36] * 4 + [68] * 4
    x = random_input(np.random.default_rng(0), network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_half_words_where_memory_is_short() -> None:
    """A lane holds 8 pixels of its own and 4 on either side, which begin and end in the middle of a word."""
    layers = (padded("a", (16, 2), 3, 1), padded("b", (16, 16), 3, 1), padded("c", (2, 16), 3, 1))
    network = Network("n", (2, 8, 4), 1.0, 1.0, layers)
    image = compile_network(network, Config("t", lanes=8, pixels=8, x_words=64))
    first, second = image.descriptors()[-5:-3]
    assert first["flat"] == second["flat"] == 0 and first["out_plane"] == 16
    assert {first["x_address"], second["x_address"]} == {508, 252}
    keep = np.frombuffer(image.blob, "<u8", 24, second["address"])[16:]
    ranges = [LANE_KEEP.unpack(int(beat)) for beat in keep]
    assert [one["keep_from"] for one in ranges] == [-1, -1, 1, 1, 3, 3, 5, 5]
    assert [one["keep_to"] for one in ranges] == [3, 3, 5, 5, 7, 7, 9, 9]
    x = random_input(np.random.default_rng(0), network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_phase_planes_side_by_side_where_memory_is_short() -> None:
    """Phase planes of 2 x 2, in two strips of a row: a lane's row of all four takes one word."""
    network = Network("n", (2, 4, 4), 1.0, 1.0, (padded("a", (16, 2), 3, 1), MaxPool2d("pool")))
    (_, y, _), image = (
        build(network, Config("t", lanes=4, pixels=8, x_words=32)) for build in (placed, compile_network)
    )
    assert (y.strips, y.pitch, y.row_phase, y.column_phase, y.plane) == (2, 8, 4, 2, 8)
    x = random_input(np.random.default_rng(0), network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_signals_of_any_length(seed: int) -> None:
    """One row, longer than the accumulators: no masks, and cuts between columns."""
    rng = np.random.default_rng(seed)
    network = random_dag(rng, size=(1, int(rng.integers(200, 400))), max_channels=3)
    config = Config("t", int(rng.integers(1, 5)), int(rng.choice([1, 4, 8])), 1 << 14, 32, 30)
    image = compile_network(network, config, effort=Effort.FAST)
    assert all(height == 1 for _, height, _ in network.shapes())
    assert all(d["mask_beats"] == 0 for d in image.program)
    x = random_input(rng, network, 1)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_masks_that_do_not_fit_make_rows_wider() -> None:
    network = Network("n", (1, 15, 15), 1.0, 1.0, (padded("a", (1, 1), 5, 2),))
    config = Config("t", 2, 16, masks=16)
    (x, _) = place(build_graph(network), config)
    assert x.pitch == 16
    image = compile_network(network, config)
    data = random_input(np.random.default_rng(0), network)
    assert np.array_equal(run_on_model(image, data), network.run(data))


def test_masks_that_never_fit() -> None:
    network = Network("n", (1, 15, 40), 1.0, 1.0, (padded("wide", (1, 1), 5, 2),))
    with pytest.raises(CompileError, match=r"wide: padding needs 4 masks, 12 entries, .* has room for 15 and 4"):
        compile_network(network, Config("t", 2, 16, masks=4))


def test_tensors_beyond_any_memory() -> None:
    network = Network("n", (1, 4000, 4000), 1.0, 1.0, (padded("a", (1, 1), 3, 1),))
    with pytest.raises(CompileError, match="4000, 4000\\) exceeds every activation memory"):
        compile_network(network, CONFIGS["demo"])


def test_no_strips_help() -> None:
    network = Network("n", (64, 16, 16), 1.0, 1.0, (padded("a", (3, 64), 3, 1), padded("b", (1, 3), 3, 1)))
    with pytest.raises(CompileError, match=r"a: tensors need \d+ \(input\) \+ \d+ \(a\) = \d+ bytes .* t has 1024"):
        compile_network(network, Config("t", lanes=4, pixels=8, x_words=128))
