"""headrace.image."""

import json
import time

import numpy as np
import pytest

from headrace.compile import compile_network
from headrace.config import CONFIGS
from headrace.errors import FormatError
from headrace.image import Image
from headrace.network import Network
from networks import tiny_lenet, unit_linear

DEMO = CONFIGS["demo"]


def changed(header: dict, path: str, value: object) -> dict:
    copy = json.loads(json.dumps(header))
    *parents, last = path.split(".")
    target = copy
    for key in parents:
        target = target[int(key) if isinstance(target, list) else key]
    target[last] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("network", 5, "image: field 'network' is not str"),
        ("input_scale", 1, "image: field 'input_scale' is not float"),
        ("network", "a\x1b[31m", "image: field 'network' is not printable"),
        ("layers.0.name", "a\nb", "layer: field 'name' is not printable"),
        ("layers.0.density", float("inf"), "layer: field 'density' is not finite"),
        ("input_scale", -1.0, "image: input_scale is not a positive number"),
        ("input_shape", [1, 28], r"image: input shape \(1, 28\) does not match"),
        ("input_shape", [1, 28, True], "image: field 'input_shape' is not"),
        ("config.lanes", 3, "image: config_hash is"),
        ("config.lanes", 0, "image: config demo: lanes = 0"),
        ("config.lanes", 4.0, "config: field 'lanes' is not int"),
        ("config", [], "config: not an object"),
        ("config_hash", 0, "image: config_hash is .* the header says 0"),
        ("input.height", 29, "image input: placement"),
        ("input.colour", 1, "input: unknown field 'colour'"),
        ("output.order", [0] * 10, "image output: placement: order is not a permutation"),
        ("input.plane", (1 << 14) + 1, "image: data_bytes is"),
        ("input.plane", (1 << 24) + 1, "image input: placement: "),
        ("output.channels", 1 << 30, "image output: placement: "),
        ("output_offset", 4, "image: data_bytes is"),
        ("blob_bytes", 8, "image: blob_bytes is"),
        ("layers", None, "image: field 'layers' is not"),
        ("layers.0.rows", None, "layer: field 'rows' is not int"),
        ("layers.0.descriptor", 0, "image: layer conv1 does not name its descriptors"),
        ("layers.5.strips", 4, "image: layer fc2 does not name its descriptors"),
        ("layers.0.rows", 21, "image: layer conv1 has 20 x 25 weights"),
        ("layers.0.positions", 24, "image: layer conv1 has"),
        ("layers.0.descriptor", -4, "image: layer conv1 does not name its descriptors"),
        ("layers.0.stream_bytes", 8, "image: layer conv1 has streams and tables of other sizes"),
        ("layers.0.table_bytes", 8, "image: layer conv1 has streams and tables of other sizes"),
        ("layers.0.spatial_strips", 0, "image: layer conv1: 0 strips do not share 4 lanes"),
        ("layers.0.spatial_strips", 3, "image: layer conv1: 3 strips do not share 4 lanes"),
        ("layers.0.spatial_strips", 2, "image: layer conv1: lanes do not work on the same rows in all strips"),
        ("output.strips", 2, "image output: placement is in strips"),
        ("input.strips", 2, "image input: placement: strips do not fit their planes"),
        ("extra", 0, "image: unknown field 'extra'"),
    ],
)
def test_bad_headers_are_refused(path: str, value: object, message: str) -> None:
    image = compile_network(tiny_lenet(np.random.default_rng(0), 0.02), DEMO)
    with pytest.raises(FormatError, match=message):
        Image.from_header(changed(image.to_header(), path, value), image.blob)


def test_bad_blobs_are_refused() -> None:
    image = compile_network(Network("n", (2, 1, 1), 1.0, 1.0, (unit_linear(np.ones((3, 2))),)), DEMO)
    header = image.to_header()
    with pytest.raises(FormatError, match="blob_bytes is"):
        Image.from_header(header, image.blob[:-8])
    missing = {key: value for key, value in header.items() if key != "output"}
    with pytest.raises(FormatError, match="missing field 'output'"):
        Image.from_header(missing, image.blob)

    def with_byte(at: int, value: int) -> bytes:
        return image.blob[:at] + bytes([value]) + image.blob[at + 1 :]

    table = image.descriptors()[1]["address"]
    for blob, message in (
        (with_byte(3 * 64, 9), "the program has no END"),
        (with_byte(4, 200), "descriptor 0 leaves the image's 16 bytes"),
        (with_byte(4, 0), "descriptor 0 loads no blocks"),
        (with_byte(16, 0), "descriptor 0 loads no blocks"),
        (with_byte(16, 2), "descriptor 0 loads no blocks, or such that overlap"),
        (with_byte(20, 4), "descriptor 0 loads no blocks, or such that overlap or lie askew"),
        (with_byte(52, 4), "descriptor 0 loads no blocks, or such that overlap or lie askew"),
        (with_byte(14, 1), "descriptor 0 leaves the activation memory"),
        (
            image.blob[:16] + bytes([9, 0, 0, 0, 8]) + image.blob[21:52] + bytes([8]) + image.blob[53:],
            "descriptor 0 leaves the image",
        ),
        (with_byte(64 + 11, 1), "descriptor 1 leaves the image's"),
        (with_byte(64 + 18, 2), "descriptor 1: tables are not those of 4 lanes"),
        (with_byte(table + 2, 1), "descriptor 1: stream of lane 0 leaves the blob"),
    ):
        with pytest.raises(FormatError, match=message):
            Image.from_header(header, blob)


def test_layers_have_descriptors_of_their_own() -> None:
    image = compile_network(Network("n", (2, 1, 1), 1.0, 1.0, (unit_linear(np.ones((3, 2))),)), DEMO)
    header = image.to_header()
    start = time.monotonic()
    with pytest.raises(FormatError, match="does not name its descriptors"):
        Image.from_header(header | {"layers": header["layers"] * 40_000}, image.blob)
    assert time.monotonic() - start < 10


def test_layers_share_no_streams() -> None:
    image = compile_network(Network("n", (2, 1, 1), 1.0, 1.0, (unit_linear(np.ones((3, 2))),)), DEMO)
    header, count = image.to_header(), 40
    layer, grown = image.blob[64:128], 64 * (count - 1)
    table = image.program[1]["address"]
    tables = bytearray(image.blob[table:])
    for lane in range(DEMO.lanes):
        place = slice(8 * lane, 8 * lane + 4)
        tables[place] = (int.from_bytes(tables[place], "little") + grown).to_bytes(4, "little")
    position = 64  # bits before the field `address`
    moved = int.from_bytes(layer, "little") + (grown << position)
    numbered = b"".join((moved + (index << 8)).to_bytes(64, "little") for index in range(count))
    blob = image.blob[:64] + numbered + image.blob[128:table] + tables
    layers = [header["layers"][0] | {"descriptor": 1 + index} for index in range(count)]
    with pytest.raises(FormatError, match="layers share streams or tables"):
        Image.from_header(header | {"layers": layers, "blob_bytes": len(blob)}, blob)


def test_program_is_parsed_once() -> None:
    image = compile_network(Network("n", (2, 1, 1), 1.0, 1.0, (unit_linear(np.ones((3, 2))),)), DEMO)
    assert image.program is image.program
    image.descriptors()[0]["beats"] = 99
    assert image.descriptors()[0]["beats"] == 1
