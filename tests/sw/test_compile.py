"""The compiler: structure of what it makes, limits by name, and equality with the network on the model device."""

import dataclasses
import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dags import random_dag
from graphs import random_graph
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config
from headrace.device import open_device
from headrace.errors import CompileError
from headrace.graph import build_graph
from headrace.image import Image
from headrace.isa import CHANNEL, CODE_BEATS, LANE_KEEP, LANE_ROWS, LANE_STREAM, TABLE_SIZES, TAP, Opcode, table_beats
from headrace.network import MaxPool2d, Network
from headrace.registers import offset
from networks import conv2d, linear, random_input, random_network, tiny_lenet, unit_linear

SEEDS = st.integers(0, 2**32 - 1)


def random_config(rng: np.random.Generator) -> Config:
    """Little of everything, so that strips and escapes are common; two rows of 13 pixels always fit, and all masks."""
    pixels, acc_words, symbols = (int(2 ** rng.integers(low, high)) for low, high in ((0, 6), (5, 8), (4, 8)))
    return Config("random", int(rng.integers(1, 7)), pixels, 1 << 14, acc_words, 28, symbols, masks=256)


def run_on_model(image: Image, x: np.ndarray) -> np.ndarray:
    """Every image of x (N, C, H, W) through the model device's registers and memory."""
    results = []
    with open_device("model", image.config) as device:
        program, data = device.allocate(len(image.blob)), device.allocate(image.data_bytes)
        program.array[...] = np.frombuffer(image.blob, np.uint8)
        program.flush()
        for name, value in (("PROGRAM", program.address), ("DATA", data.address), ("INTERRUPT", 1)):
            device.write(offset(name), value)
        for one in x:
            packed = np.frombuffer(image.pack_input(one[None]), np.uint8)
            data.array[image.input_offset : image.input_offset + image.input_bytes] = packed
            data.flush()
            device.write(offset("CONTROL"), 1)
            device.wait(1.0)
            assert device.read(offset("ERROR")) == 0
            data.invalidate()
            output = data.array[image.output_offset : image.output_offset + image.output_bytes]
            results.append(image.unpack_output(output)[0])
            device.write(offset("CONTROL"), 2)
    return np.array(results)


def beats_of(image: Image, address: int, beats: int) -> np.ndarray:
    return np.frombuffer(image.blob, "<u8", beats, address)


def check_structure(image: Image, network: Network) -> None:
    """The program, and every table and stream it leads to, are where they should be and add up."""
    config, program = image.config, image.descriptors()
    check_loads(image)
    layers = [number for number, d in enumerate(program) if d["opcode"] == Opcode.LAYER]
    store = program[-2]
    assert (store["address"], store["beats"] * 8, store["lane_from"]) == (image.output_offset, image.output_bytes, 0)
    assert image.input_offset + image.input_bytes <= image.output_offset and image.output_offset % 8 == 0
    assert len(image.blob) % 8 == 0
    taken = {(0, 64 * len(program))}
    for number in layers:
        taken |= check_descriptor_of_layer(image, program[number])
    edges = sorted(taken)
    assert edges[0][0] == 0 and edges[-1][1] == len(image.blob)
    assert all(end == start for (_, end), (start, _) in pairwise(edges))  # no overlap, no gap
    ops = build_graph(network).ops
    at = 0
    for number, (op, info) in enumerate(zip(ops, image.layers, strict=True)):
        own = [program[n] for n in layers[at : at + info.strips]]
        assert (info.name, info.kind, info.descriptor) == (op.layer.name, op.layer.kind, layers[at])
        assert all(d["layer"] == number for d in own)
        assert info.table_bytes == sum(8 * d["beats"] for d in own) and info.words == sum(d["words"] for d in own)
        pixels = info.output_shape[1] * info.output_shape[2]
        assert info.words * info.spatial_strips * config.pixels >= pixels
        most = info.nonzeros + info.rows * (1 + info.positions // (info.longest_run + 1))
        assert info.rows <= info.taps <= most and (info.rows_differential or info.nonzeros <= info.taps)
        assert info.rows <= info.symbols <= info.taps + info.rows
        assert info.bound_cycles * config.lanes >= info.spatial_strips * info.taps * info.words
        at += info.strips


def check_loads(image: Image) -> None:
    """They bring all of the input, or pieces of its planes, those that come beside the first layer last of all."""
    program, strips = image.descriptors(), image.input.strips
    loads = [d for d in program if d["opcode"] == Opcode.LOAD]
    whole = not any(d["beside"] for d in loads)
    first = len([d for d in loads if not d["beside"]])
    assert [d["opcode"] for d in program if not d["beside"]] == (
        [Opcode.LOAD] * first + [Opcode.LAYER] * (len(program) - len(loads) - 2) + [Opcode.STORE, Opcode.END]
    )
    behind = program[max([n for n, d in enumerate(program) if d["beside"]], default=first) + 1 :]
    assert whole or (behind[0]["opcode"], behind[0]["layer"]) == (Opcode.LAYER, 0)
    places: list[int] = []
    for load in loads:
        lanes = image.config.lanes // strips
        strip = load["lane_from"] // lanes
        assert [load["lane_from"], load["lane_to"]] == [strip * lanes, (strip + 1) * lanes]
        for block in range(load["in_channels"]):
            begin = load["address"] + block * load["stride"] - image.input_offset
            x = load["x_address"] - loads[0]["x_address"] + block * load["in_plane"]
            assert begin == x + strip * image.input.padded_size
            places += range(begin, begin + 8 * load["beats"])
    assert len(set(places)) == len(places) and set(places) <= set(range(image.input_bytes))
    assert not whole or len(places) == image.input_bytes


def check_descriptor_of_layer(image: Image, d: dict[str, int]) -> set[tuple[int, int]]:
    """The bytes that its tables and streams take."""
    config, rows = image.config, d["out_channels"]
    assert d["beats"] == table_beats(config.lanes, *(d[key] for key in TABLE_SIZES))
    assert d["words"] <= 1 << d["slot_shift"] <= config.acc_words
    tables = beats_of(image, d["address"], d["beats"])
    streams, dealt, keep = (tables[n * config.lanes : (n + 1) * config.lanes] for n in range(3))
    lanes = [LANE_STREAM.unpack(int(beat)) for beat in streams]
    first_words = [LANE_ROWS.unpack(int(beat))["first_word"] for beat in dealt]
    groups = first_words.count(first_words[0])
    ours = [LANE_ROWS.unpack(int(beat)) for beat in dealt[:groups]]
    assert sum(lane["rows"] for lane in ours) == rows
    assert [lane["first_channel"] for lane in ours] == [0, *np.cumsum([lane["rows"] for lane in ours])[:-1]]
    step = (first_words[-1] - first_words[0]) // max(1, config.lanes // groups - 1)
    for lane in range(config.lanes):
        one, like = LANE_ROWS.unpack(int(dealt[lane])), ours[lane % groups]
        assert one == like | {"first_word": first_words[0] + lane // groups * step}
        assert lanes[lane] == lanes[lane % groups]
        kept = LANE_KEEP.unpack(int(keep[lane]))
        assert kept["keep_from"] < kept["keep_to"]
    signature, taken = int(np.bitwise_xor.reduce(tables)), {(d["address"], d["address"] + 8 * d["beats"])}
    for lane in lanes:
        assert lane["address"] % 8 == 0
        if lane["beats"]:
            signature ^= int(np.bitwise_xor.reduce(beats_of(image, lane["address"], lane["beats"])))
            taken.add((lane["address"], lane["address"] + 8 * lane["beats"]))
    assert signature == d["signature"]
    return taken


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, config = random_network(rng), random_config(rng)
    names: list[tuple[int, int, str]] = []
    image = compile_network(network, config, lambda *step: names.append(step))
    assert names == [(i, len(network.layers), layer.name) for i, layer in enumerate(network.layers)]
    check_structure(image, network)
    assert compile_network(network, config).blob == image.blob
    header = json.loads(json.dumps(image.to_header()))
    assert Image.from_header(header, image.blob) == image
    x = random_input(rng, network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


@pytest.mark.parametrize("name", CONFIGS)
def test_lenet(name: str) -> None:
    rng = np.random.default_rng(3)
    network, config = tiny_lenet(rng), CONFIGS[name]
    image = compile_network(network, config)
    check_structure(image, network)
    # 84 words of conv1 (pynq-z2: 42) in 32 words of accumulators: so many rows of 28 pixels at a time.
    passes = {"demo": 3, "pynq-z1": 2, "pynq-z2": 2}.get(name, 1)
    assert [info.strips for info in image.layers] == [passes, 1, 1, 1, 1, 1]
    assert [info.positions for info in image.layers] == [25, 80, 500, 200, 800, 500]
    x = random_input(rng, network, 3)
    assert np.array_equal(run_on_model(image, x), network.run(x))


@pytest.mark.parametrize("make", [random_dag, random_graph])
@settings(deadline=None, max_examples=60)
@given(seed=SEEDS)
def test_random_graphs(make: Callable[[np.random.Generator], Network], seed: int) -> None:
    rng = np.random.default_rng(seed)
    network, config = make(rng), random_config(rng)
    image = compile_network(network, config, effort=Effort.FAST)
    check_structure(image, network)
    x = random_input(rng, network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_strips_cover_the_rows_and_share_the_streams() -> None:
    rng = np.random.default_rng(5)
    layers = (conv2d(rng, "conv", (3, 2, 3, 3)), MaxPool2d("pool"))
    network = Network("n", (2, 15, 12), 1.0, 1.0, layers)
    image = compile_network(network, Config("c", 2, 4, acc_words=16))
    check_structure(image, network)
    strips_of_conv = image.descriptors()[1:5]
    assert [d["out_height"] for d in strips_of_conv] == [4, 4, 4, 1]  # even: the pooling reads split rows
    assert [d["words"] for d in strips_of_conv] == [12, 12, 12, 3]
    tables = [beats_of(image, d["address"], d["beats"]) for d in strips_of_conv]
    first_tap = 6 + CODE_BEATS * strips_of_conv[0]["code_tables"]
    tap = slice(first_tap, first_tap + 9)
    for number, table in enumerate(tables):
        assert np.array_equal(table[:6], tables[0][:6])  # the same lanes, streams included
        addresses = [[TAP.unpack(int(beat))["x_address"] for beat in each[tap]] for each in (tables[0], table)]
        assert addresses[1] == [address + number * 4 * 12 for address in addresses[0]]
        assert strips_of_conv[number]["x_address"] - strips_of_conv[0]["x_address"] == number * 2 * 5
    x = random_input(rng, network)
    assert np.array_equal(run_on_model(image, x), network.run(x))


def test_channel_table_is_in_stored_order() -> None:
    rng = np.random.default_rng(9)
    layer = linear(rng, "fc", (9, 20), 0.5)
    image = compile_network(Network("n", (20, 1, 1), 1.0, 1.0, (layer,)), CONFIGS["demo"])
    d = image.descriptors()[1]
    table = [CHANNEL.unpack(int(beat)) for beat in beats_of(image, d["address"], d["beats"])[-9:]]
    assert image.output.order is not None and list(image.output.order) != list(range(9))
    for key in ("bias", "multiplier", "shift"):
        assert [entry[key] for entry in table] == getattr(layer, key)[list(image.output.order)].tolist()


DEMO = CONFIGS["demo"]
BIG = conv2d(np.random.default_rng(0), "big", (1, 1, 6, 6))


@pytest.mark.parametrize(
    ("shape", "layers", "changes", "message"),
    [
        ((1, 9, 9), (BIG,), {}, "big: needs 36 kernel positions, .* 32"),
        (
            (2, 1, 1),
            (unit_linear(np.ones((9, 2))),),
            {"channels": 8},
            "fc: needs 9 output channels, config demo has room for 8",
        ),
        (
            (17000, 1, 1),
            (unit_linear(np.ones((1, 17000))),),
            {},
            r"fc: tensors need 17000 \(input\) \+ 8 \(fc\) = 17008 bytes .* 16384: 624 are short",
        ),
        (
            (66000, 1, 1),
            (unit_linear(np.ones((1, 66000))),),
            {"x_words": 65536},
            "fc: needs 66000 positions of one tap",
        ),
        (
            (600, 1, 1),
            (unit_linear(np.full((1, 600), 127)),),
            {},
            "fc: sums of output channel 0 can reach 9753600; .* 8388607",
        ),
        ((1, 1, 1), (unit_linear(np.ones((2, 1)), 1 << 23),), {}, "fc: a bias of 8388608 in accumulator units"),
        (
            (1, 1, 1),
            (unit_linear(np.ones((2, 1)), 70000),),
            {"acc_bits": 16},
            "fc: output channel 0 with its bias of 70000",
        ),
        ((1, 4, 80), (MaxPool2d("pool"),), {"acc_words": 8, "pixels": 4}, "pool: .* 40 pixels do not fit 8 words of 4"),
        ((1, 300, 300), (MaxPool2d("pool"),), {"x_words": 65536}, "pool: needs 90000 bytes from channel to channel"),
    ],
)
def test_limits_are_named(shape: tuple, layers: tuple, changes: dict, message: str) -> None:
    with pytest.raises(CompileError, match=message):
        compile_network(Network("n", shape, 1.0, 1.0, layers), dataclasses.replace(DEMO, **changes))


def test_fields_that_overflow_name_the_layer() -> None:
    ones = np.ones((1, 1), np.int8)
    network = Network("n", (1, 1, 1), 1.0, 1.0, tuple(unit_linear(ones, name=f"fc{i}") for i in range(257)))
    with pytest.raises(CompileError, match=r"fc256: descriptor: layer = 256 is outside 0\.\.255"):
        compile_network(network, DEMO)
