"""Several inputs a run: equal integers, whatever the batch, and files that say what they hold."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_programs import Fake
from headrace.artifact import BATCH_VERSION, CONTAINER_VERSION, MAGIC, Artifact
from headrace.batch import batched
from headrace.compile import compile_network, largest_batch
from headrace.config import CONFIGS, Config
from headrace.cycles import estimate
from headrace.device.model import ModelDevice
from headrace.errors import CompileError, DataError, FormatError
from headrace.network import Concat, Conv2d, GlobalAveragePool, MaxPool2d, Network
from headrace.registers import offset
from headrace.session import Session
from networks import conv2d, linear, random_input, scales, sparse, tiny_lenet

GOLDEN = Path(__file__).parent.parent / "golden" / "batch.hrz"
GOLDEN_SHA256 = "962de0cbec8e7ed1b6e6bcb7a8deb584db4ff743d3e91c6f542fcb0235635197"
SMALL = CONFIGS["small"]


def vectors(seed: int = 0, shape: tuple[int, int, int] = (3, 4, 2), widths: tuple[int, int] = (9, 7)) -> Network:
    """Two branches of matrix products, one with a residual, joined, then a product of what they give."""
    rng = np.random.default_rng(seed)
    wide, narrow = widths
    skip, weights = rng.integers(1, 90, wide).astype(np.int8), sparse(rng, (wide, wide, 1, 1), 0.4)
    add = Conv2d("add", weights, **scales(rng, weights), skip=skip, inputs=("a", "a"))
    layers = (
        linear(rng, "a", (wide, int(np.prod(shape))), 0.3),
        add,
        linear(rng, "b", (narrow, int(np.prod(shape))), 0.6, relu=True),
        Concat("join", inputs=("add", "b")),
        linear(rng, "out", (5, wide + narrow)),
    )
    layers = tuple(replace(layer, inputs=("input",)) if layer.name == "b" else layer for layer in layers)
    return Network("vectors", shape, 1 / 128, 0.5, layers)


def run(network: Network, config: Config, x: np.ndarray, batch: int) -> np.ndarray:
    image = compile_network(network, config, batch=batch)
    with ModelDevice(config) as device, Session(device, Artifact(image)) as session:
        return session.run(x).outputs


class TestEqual:
    def test_twin_in_numpy(self):
        network = vectors()
        x = random_input(np.random.default_rng(1), network, 6)
        twin = batched(network, 6)
        assert twin.input_shape == (24, 6, 1) and twin.output_shape == (5, 6, 1)
        assert np.array_equal(twin.run(x.reshape(6, 24).T[None, :, :, None])[0, :, :, 0].T, network.run(x))

    @pytest.mark.parametrize("config", CONFIGS.values(), ids=str)
    @pytest.mark.parametrize("batch", [2, 3, 5, 16, 33])
    def test_on_the_model(self, config, batch):
        """Less than a batch, a whole one, and one with a rest of one."""
        network = vectors(batch)
        x = random_input(np.random.default_rng(batch), network, 2 * batch + 1)
        expected = network.run(x)
        image = compile_network(network, config, batch=batch)
        with ModelDevice(config) as device, Session(device, Artifact(image)) as session:
            for count in (1, batch, 2 * batch + 1):
                assert np.array_equal(session.run(x[:count]).outputs, expected[:count])

    @pytest.mark.parametrize("seed", range(6))
    def test_more_inputs_than_accumulators(self, seed):
        """Several descriptors a layer."""
        config = Config("few", lanes=4, pixels=4, x_words=256, acc_words=8)
        network = vectors(seed, (4, 1, 1), (6, 3))
        x = random_input(np.random.default_rng(seed), network, 50)
        image = compile_network(network, config, batch=40 + seed)
        assert all(info.strips > 1 for info in image.layers)
        assert np.array_equal(run(network, config, x, 40 + seed), network.run(x))

    def test_single_matrix(self):
        rng = np.random.default_rng(2)
        network = Network("matrix", (1, 5, 5), 1.0, 1.0, (linear(rng, "fc", (200, 25), 0.2, levels=5),))
        x = random_input(rng, network, 7)
        assert np.array_equal(run(network, SMALL, x, 4), network.run(x))

    def test_no_images(self):
        assert run(vectors(), SMALL, np.zeros((0, 3, 4, 2), np.int8), 4).shape == (0, 5)

    def test_stride_of_a_single_pixel_means_nothing(self):
        rng = np.random.default_rng(3)
        strided = replace(conv2d(rng, "strided", (5, 4, 1, 1)), stride=2)
        network = Network("strided", (4, 1, 1), 1.0, 1.0, (strided, linear(rng, "fc", (3, 5))))
        x = random_input(rng, network, 5)
        assert np.array_equal(run(network, SMALL, x, 3), network.run(x))


class TestSession:
    def test_cycles_and_progress(self):
        network, calls = vectors(), []
        image = compile_network(network, SMALL, batch=4)
        with Fake(SMALL) as device, Session(device, Artifact(image)) as session:
            device.registers[offset("CYCLES")] = 900
            for info in image.layers:
                device.registers[offset("PROFILE", 2 * info.descriptor)] = 30
            result = session.run(random_input(np.random.default_rng(0), network, 9), lambda *call: calls.append(call))
        assert calls == [(4, 9), (8, 9), (9, 9)]
        assert result.cycles.tolist() == [900] * 3 and result.mean_cycles == 300
        assert [layer.mean_cycles for layer in result.layers] == [10.0] * 4

    def test_wrong_inputs(self):
        image = compile_network(vectors(), SMALL, batch=4)
        with ModelDevice(SMALL) as device, Session(device, Artifact(image)) as session:
            for x in (np.zeros((1, 24, 4, 1), np.int8), np.zeros((2, 3, 4, 2))):
                with pytest.raises(DataError, match=r"input must be int8 \(N, 3, 4, 2\)"):
                    session.run(x)
        for x in (np.zeros((5, 3, 4, 2), np.int8), np.zeros((0, 3, 4, 2), np.int8), np.zeros((2, 3, 4, 2))):
            with pytest.raises(ValueError, match="a run takes int8"):
                image.pack_input(x)

    def test_a_batch_costs_little_more_than_one(self):
        """Of as many inputs as a word has pixels."""
        rng = np.random.default_rng(4)
        network = Network("matrix", (300, 1, 1), 1.0, 1.0, (linear(rng, "fc", (200, 300), 0.3),))
        config = CONFIGS["demo"]
        one, eight = (estimate(compile_network(network, config, batch=batch)) for batch in (1, config.pixels))
        assert eight.cycles < 1.5 * one.cycles
        assert eight.utilisation > 5 * one.utilisation


class TestErrors:
    @pytest.mark.parametrize(
        ("layers", "named"),
        [
            ((conv2d(np.random.default_rng(0), "conv", (2, 2, 3, 3)),), r"conv: .* this conv2d of 2x4x4 has pixels"),
            ((conv2d(np.random.default_rng(0), "point", (2, 2, 1, 1)),), "point: .* this conv2d of 2x4x4"),
            ((MaxPool2d("pool"),), "pool: .* this maxpool2d"),
            ((GlobalAveragePool("mean", 1, 1),), "mean: .* this globalaveragepool of 2x4x4"),
            ((Concat("twice", inputs=("input", "input")),), "twice: .* this concat of 2x4x4, 2x4x4"),
        ],
        ids=["window", "pixels", "maximum", "mean", "join"],
    )
    def test_spatial(self, layers, named):
        with pytest.raises(CompileError, match=f"{named}.*compile for a batch of 1") as caught:
            compile_network(Network("n", (2, 4, 4), 1.0, 1.0, layers), SMALL, batch=2)
        assert "\n" not in str(caught.value)

    def test_padded_pixel(self):
        padded = replace(conv2d(np.random.default_rng(0), "conv", (2, 2, 3, 3)), padding=(1, 1, 1, 1))
        with pytest.raises(CompileError, match="conv: "):
            compile_network(Network("n", (2, 1, 1), 1.0, 1.0, (padded,)), SMALL, batch=2)

    def test_lenet(self):
        with pytest.raises(CompileError, match="conv1: "):
            compile_network(tiny_lenet(np.random.default_rng(0)), SMALL, batch=2)

    @pytest.mark.parametrize("batch", [1000, 1 << 20, 1 << 70])
    def test_memory(self, batch):
        """24 elements of an input, and 9 each of `a`, which the residual reads, and `b`, and 16 of what joins them."""
        network = vectors()
        most = largest_batch(network, SMALL, batch)
        with pytest.raises(CompileError, match=rf"; of a batch of {batch} inputs, {most} fit$"):
            compile_network(network, SMALL, batch=batch)
        with pytest.raises(CompileError, match=rf", {most} fit$"):
            compile_network(network, SMALL, batch=most + 1)
        assert compile_network(network, SMALL, batch=most).batch == most
        assert largest_batch(network, SMALL, 7) == 7

    def test_no_batch_fits(self):
        rng = np.random.default_rng(0)
        config = Config("little", lanes=1, pixels=1, x_words=32)
        network = Network("n", (30, 1, 1), 1.0, 1.0, (linear(rng, "fc", (30, 30)),))
        with pytest.raises(CompileError, match="of a batch of 2 inputs, 0 fit"):
            compile_network(network, config, batch=2)

    def test_other_limits(self):
        """Of the table of channels: no smaller batch would help."""
        rng = np.random.default_rng(0)
        network = Network("n", (2, 1, 1), 1.0, 1.0, (linear(rng, "fc", (2000, 2)),))
        with pytest.raises(CompileError, match=r"fc: needs 2000 output channels, [^;]*$"):
            compile_network(network, SMALL, batch=2)

    @pytest.mark.parametrize("batch", [0, -1])
    def test_no_batch(self, batch):
        with pytest.raises(ValueError, match="a batch of"):
            compile_network(vectors(), SMALL, batch=batch)


class TestGolden:
    """A file of container version 2; its bytes are a promise."""

    def test_bytes(self):
        data = GOLDEN.read_bytes()
        assert hashlib.sha256(data).hexdigest() == GOLDEN_SHA256
        assert Artifact.load(GOLDEN).to_bytes() == data

    def test_it_runs(self):
        artifact = Artifact.load(GOLDEN)
        x = (np.arange(4 * 24) * 37 % 256 - 128).astype(np.int8).reshape(4, 3, 4, 2)
        with ModelDevice(artifact.config) as device, Session(device, artifact) as session:
            assert session.run(x).outputs.tolist() == vectors().run(x).tolist()


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "vectors.hrz"
        Artifact(compile_network(vectors(), SMALL, batch=6), {"note": 1}).save(path)
        return path

    def forged(self, path: Path, version: int = BATCH_VERSION, **image: object) -> Artifact:
        """The file with other fields of its image, and right checksums; None takes a field away."""
        data = path.read_bytes()
        length = struct.unpack_from("<I", data, 12)[0]
        header = json.loads(data[20 : 20 + length])
        header["image"] |= image
        header["image"] = {key: value for key, value in header["image"].items() if value is not None}
        text = json.dumps(header).encode()
        prefix = struct.pack("<8sII", MAGIC, version, len(text))
        other = path.with_name("forged.hrz")
        other.write_bytes(prefix + struct.pack("<I", zlib.crc32(prefix + text)) + text + data[20 + length :])
        return Artifact.load(other)

    def test_round_trip(self, path):
        loaded = Artifact.load(path)
        assert loaded.image == compile_network(vectors(), SMALL, batch=6)
        assert (loaded.image.batch, loaded.image.input_shape, loaded.image.output_shape) == (6, (3, 4, 2), (5,))
        assert loaded.to_bytes() == path.read_bytes()
        assert self.forged(path).image == loaded.image

    def test_version(self, path):
        assert struct.unpack_from("<I", path.read_bytes(), 8) == (BATCH_VERSION,)
        alone = Artifact(compile_network(vectors(), SMALL)).to_bytes()
        assert struct.unpack_from("<I", alone, 8) == (CONTAINER_VERSION,) and b'"batch"' not in alone

    @pytest.mark.parametrize("batch", [0, -6, 1, 5, 7, 1 << 31, 1 << 70, 6.0, "6", True, [6], None])
    def test_hostile_batch(self, path, batch):
        with pytest.raises(FormatError, match=r"forged\.hrz: .*(batch|placement)") as caught:
            self.forged(path, batch=batch)
        assert "\n" not in str(caught.value)

    def test_version_must_be_that_of_the_batch(self, path):
        with pytest.raises(FormatError, match="a batch of 6 in a container of version 1"):
            self.forged(path, version=CONTAINER_VERSION)
        with pytest.raises(FormatError, match="a batch of 1 in a container of version 2"):
            self.forged(path, batch=None)

    @pytest.mark.parametrize(
        "fields",
        [
            {"input_shape": [24, 6, 1]},
            {"input_shape": [23]},
            {"input_shape": []},
            {"input_shape": [-3, -4, 2]},
            {"input_shape": [0, 4, 2]},
            {"output_shape": [5, 6, 1]},
            {"output_shape": [6]},
        ],
        ids=str,
    )
    def test_hostile_shapes(self, path, fields):
        with pytest.raises(FormatError, match=r"put shape .* does not match its placement"):
            self.forged(path, **fields)
