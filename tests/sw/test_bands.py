"""Bands of rows: which rows each has, and networks that run through DRAM on the model device."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace.compile
from dags import random_dag, resnet8
from headrace.artifact import Artifact
from headrace.banding import banded
from headrace.bands import Roots, Segment, plan, read_rows
from headrace.cli.decode import check_figures, decode_layer
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import Config
from headrace.cycles import estimate
from headrace.device.model import ModelDevice
from headrace.errors import CompileError
from headrace.graph import Graph, build_graph
from headrace.image import Image
from headrace.isa import Opcode
from headrace.layout import place
from headrace.network import AveragePool2d, Conv2d, Layer, Linear, MaxPool2d, Network
from headrace.placement import Placement
from headrace.session import Session
from networks import random_input, scales, sparse
from sw.test_compile import run_on_model

SEEDS = st.integers(0, 2**32 - 1)


def random_segments(rng: np.random.Generator, graph: Graph) -> list[Segment]:
    """Of any windowed operations, in any number of bands, more than there are rows among them."""
    segments, at = list[Segment](), 0
    while at < len(graph.ops):
        end = at
        while end < len(graph.ops) and not graph.ops[end].whole and (end == at or rng.random() < 0.8):
            end += 1
        if end > at and rng.random() < 0.8:
            segments.append(Segment(at, end, int(rng.integers(1, 9))))
        at = max(end, at + 1)
    return segments


@settings(deadline=None, max_examples=150)
@given(SEEDS)
def test_every_row_is_there_before_it_is_read_and_results_are_complete(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = build_graph(random_dag(rng, max_size=24))
    for segment in random_segments(rng, graph):
        roots, written = Roots(graph, segment), Counter[int]()
        kept = roots.written - roots.banded
        bands = plan(graph, segment)
        assert len(bands) == segment.count
        for band in bands:
            there = {root: set(range(*band.rows[root])) for root in band.rows if root in roots.banded}
            for root in kept & set(band.rows):
                assert band.rows[root][0] == written[root] < band.rows[root][1]
                assert band.rows[root][1] == roots.height(root) or not (
                    graph.tensors[root].split and band.rows[root][1] % 2
                )
                written[root] = band.rows[root][1]
            for number in range(segment.first, segment.end):
                op = graph.ops[number]
                assert (number in band.ops) == (roots.of(op.target) in band.rows)
                if number not in band.ops:
                    continue
                rows = read_rows(graph, op, band.rows[roots.of(op.target)])
                for source, needed in zip(op.sources, rows, strict=True):
                    root = roots.of(source)
                    if root in roots.banded:
                        assert set(range(*needed)) <= there[root]
                    elif root in roots.written:
                        assert needed[1] <= written[root]
            if roots.output in there:
                assert min(there[roots.output]) <= written[roots.output]
                written[roots.output] = max(there[roots.output]) + 1
        assert all(written[root] == roots.height(root) for root in kept | ({roots.output} & roots.banded))


@settings(deadline=None, max_examples=80)
@given(SEEDS)
def test_any_segments_compute_what_the_network_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_dag(rng, max_size=24, max_channels=8)
    lanes, pixels = int(rng.choice([1, 4, 8])), int(rng.choice([1, 2, 4, 8, 16, 32]))
    x_words = max(4, 8 // pixels, int(2 ** rng.integers(9, 15)) // pixels)
    config = Config("t", lanes, pixels, x_words, max(64, 512 // pixels), 30, masks=256)

    def at_random(graph: Graph, config: Config) -> tuple[Graph, list[Placement]]:
        cut = banded(graph, random_segments(rng, graph))
        return cut, place(cut, config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headrace.compile, "fit", at_random)
        try:
            image = compile_network(network, config, effort=Effort.FAST)
        except CompileError:
            return
    x = random_input(rng, network)
    assert np.array_equal(run_on_model(image, x), network.run(x))
    assert Image.from_header(image.to_header(), image.blob) == image


def conv(name: str, rows: int, channels: int, kernel: int = 3, *inputs: str, stride: int = 1, **fields) -> Conv2d:
    rng, pad = np.random.default_rng(rows), (kernel - 1) // 2
    weights = sparse(rng, (rows, channels // fields.get("groups", 1), kernel, kernel), 0.6)
    skip = sparse(rng, (rows,), 1.0) if len(inputs) > 1 else None
    options = {"padding": (pad * fields.get("dilation", (1, 1))[0],) * 4, "inputs": inputs, "skip": skip}
    return Conv2d(name, weights, **scales(rng, weights), stride=stride, **(options | fields))


def fully(name: str, rows: int, columns: int) -> Linear:
    weights = sparse(np.random.default_rng(rows), (rows, columns), 0.4)
    return Linear(name, weights, **scales(np.random.default_rng(rows), weights))


def networks() -> dict[str, Network]:
    """Too large for SMALL, with what fits at their end or nothing that does."""
    pool = AveragePool2d("d", (2, 2), 1 << 13, 15, stride=2)
    layers = {
        "chain": ((3, 37, 29), conv("a", 6, 3), MaxPool2d("b"), conv("c", 4, 6), pool, fully("e", 5, 4 * 9 * 7)),
        "residual": (
            (3, 33, 20),
            *(conv("a", 4, 3), conv("b", 4, 4, 3, "a"), conv("c", 4, 4, 3, "b", "a")),
            *(conv("d", 6, 4, 3, "c", stride=2), conv("e", 3, 6, 3, "d", stride=2), fully("f", 5, 3 * 9 * 5)),
        ),
        "depthwise": (
            (3, 40, 39),
            *(conv("a", 8, 3, stride=2), conv("b", 8, 8, groups=8), conv("c", 6, 8, 1), conv("d", 4, 6, stride=2)),
            fully("e", 3, 4 * 10 * 10),
        ),
        "image": ((3, 41, 21), conv("a", 8, 3, dilation=(2, 2)), conv("b", 8, 8), conv("c", 2, 8, 1)),
    }
    return {name: Network(name, shape, 1 / 128, 0.125, tuple(rest)) for name, (shape, *rest) in layers.items()}


SMALL = {lanes: Config("t", lanes, 4, 1024, 64) for lanes in (1, 3)}


@pytest.mark.parametrize("lanes", SMALL)
@pytest.mark.parametrize("name", networks())
def test_networks_that_do_not_fit_run_through_dram(name: str, lanes: int) -> None:
    network, config = networks()[name], SMALL[lanes]
    with pytest.raises(CompileError):
        place(build_graph(network), config)
    steps: list[str] = []
    image = compile_network(network, config, lambda done, total, layer: steps.append(layer))
    assert steps == [layer.name for layer in network.layers] == [info.name for info in image.layers]
    assert compile_network(network, config).blob == image.blob
    opcodes = Counter(descriptor["opcode"] for descriptor in image.program)
    assert opcodes[Opcode.LOAD] > network.input_shape[0] and opcodes[Opcode.LAYER] > len(network.layers)
    assert (opcodes[Opcode.STORE] > network.output_shape[0]) == (name == "image")
    x = random_input(np.random.default_rng(1), network)
    with ModelDevice(config) as device, Session(device, Artifact(image)) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))
    every = sorted(number for info in image.layers for number in image.descriptors_of(info))
    assert every == [n for n, values in enumerate(image.program) if values["opcode"] == Opcode.LAYER]
    for info in image.layers:
        check_figures(image, info, decode_layer(image, info))
    estimated = estimate(image)
    assert len(estimated.descriptors) == len(image.program)
    roomy = compile_network(network, Config("t", lanes, 4, 1 << 14, 64))
    assert estimate(roomy).cycles < estimated.cycles
    assert sum(info.stream_bytes for info in image.layers) <= 1.2 * sum(info.stream_bytes for info in roomy.layers)


def test_bands_of_what_lies_in_strips() -> None:
    network = resnet8(np.random.default_rng(0))
    network = Network("n", (3, 64, 32), 1.0, 1.0, network.layers)
    config = Config("t", 8, 8, 2048, 64, 26)
    image = compile_network(network, config, effort=Effort.FAST)
    assert max(info.strips for info in image.layers) > 2 and max(info.spatial_strips for info in image.layers) > 1
    x = random_input(np.random.default_rng(1), network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


@pytest.mark.parametrize(
    ("channels", "layers", "message"),
    [
        (
            3,
            (conv("a", 16, 3),),
            r"a: tensors need 1024 \(input\) \+ 5440 \(a\) = 6464 bytes of activation memory, config t has 256: "
            r"6208 are short; in bands of one row a needs 153 \(input\) \+ 272 \(a\) = 425 at least: 169 are short$",
        ),
        (
            3,
            (conv("a", 1, 3), fully("b", 4, 20 * 17)),
            r"in bands of one row a needs 153 \(input\) \+ 340 \(a\) = 493 at least: 237 are short$",
        ),
        (4, (conv("a", 1, 4),), r"a: tensors need 288 \(input\) \+ 24 \(a\) .* 256: 56 are short, in bands of rows$"),
    ],
)
def test_says_what_is_short(channels: int, layers: tuple[Layer, ...], message: str) -> None:
    network = Network("n", (channels, 20, 17), 1.0, 1.0, layers)
    with pytest.raises(CompileError, match=message):
        compile_network(network, Config("t", 1, 4, 64, 64))
