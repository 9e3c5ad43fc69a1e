"""One driver on the model device: equal integers, separate sessions, and errors that say what happened."""

from __future__ import annotations

import numpy as np
import pytest

from device_programs import Fake, make
from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config, get_config
from headrace.device.model import ModelDevice
from headrace.errors import CompileError, ConfigError, DataError, DeviceError
from headrace.isa import Opcode
from headrace.network import Network
from headrace.registers import PROFILE_ENTRIES, offset
from headrace.session import Session
from networks import conv2d, linear, random_input, random_network, tiny_lenet

SMALL = get_config("small")


@pytest.fixture
def device():
    with Fake() as fake:
        yield fake


QUICK = ("demo", "pynq-z2", "tiny")


class TestOutputs:
    @pytest.mark.parametrize(
        "config",
        [pytest.param(one, marks=() if name in QUICK else pytest.mark.slow, id=name) for name, one in CONFIGS.items()],
    )
    def test_random_networks(self, config):
        rng = np.random.default_rng(config.lanes)
        done = 0
        with ModelDevice(config) as device:
            for _ in range(40):
                network = random_network(rng)
                try:
                    image = compile_network(network, config)
                except CompileError:
                    continue
                x = random_input(rng, network)
                with Session(device, Artifact(image)) as session:
                    outputs = session.run(x).outputs
                assert outputs.dtype == np.int8
                assert np.array_equal(outputs, network.run(x))
                done += 1
        assert done >= 30

    @pytest.mark.parametrize("config", CONFIGS.values(), ids=str)
    def test_lenet(self, config):
        rng = np.random.default_rng(4)
        network = tiny_lenet(rng)
        x = random_input(rng, network, 3)
        with ModelDevice(config) as device, Session(device, Artifact(compile_network(network, config))) as session:
            result = session.run(x)
        assert np.array_equal(result.outputs, network.run(x))
        assert result.outputs.shape == (3, 10)
        assert [layer.name for layer in result.layers] == [layer.name for layer in network.layers]

    def test_no_images(self, device):
        _, artifact = make()
        with Session(device, artifact) as session:
            result = session.run(np.zeros((0, 2, 6, 6), np.int8))
        assert result.outputs.shape == (0, 6)
        assert result.mean_cycles is None and result.layers[0].mean_cycles is None

    def test_two_sessions_live_side_by_side(self, device):
        (one, first), (two, second) = make(1), make(2)
        x = random_input(np.random.default_rng(3), one)
        with Session(device, first) as a, Session(device, second) as b:
            for _ in range(2):
                assert np.array_equal(a.run(x).outputs, one.run(x))
                assert np.array_equal(b.run(x).outputs, two.run(x))

    def test_program_uses_every_opcode(self):
        _, artifact = make()
        assert {values["opcode"] for values in artifact.image.descriptors()} == set(Opcode)

    def test_progress(self, device):
        _, artifact = make()
        calls: list[tuple[int, int]] = []
        with Session(device, artifact) as session:
            session.run(np.zeros((3, 2, 6, 6), np.int8), progress=lambda *call: calls.append(call))
        assert calls == [(1, 3), (2, 3), (3, 3)]


class TestCounters:
    def test_cycles_of_images_and_layers(self, device):
        _, artifact = make()
        device.registers[offset("CYCLES")] = iter([1000, 1200])
        for n, info in enumerate(artifact.image.layers):
            assert info.strips == 1
            device.registers[offset("PROFILE", 2 * info.descriptor)] = iter([100 * n, 100 * n + 50])
            device.registers[offset("PROFILE", 2 * info.descriptor + 1)] = iter([n, n + 1])
        with Session(device, artifact) as session:
            result = session.run(np.zeros((2, 2, 6, 6), np.int8))
        assert result.cycles.tolist() == [1000, 1200] and result.mean_cycles == 1100
        assert [layer.mean_cycles for layer in result.layers] == [25, 125, 225]
        assert [layer.mean_stall_cycles for layer in result.layers] == [0.5, 1.5, 2.5]
        assert result.layers[2].cycles.tolist() == [200, 250]
        assert result.clock_mhz == 100 and result.seconds > 0

    def test_strips_are_added(self):
        config = Config("strips", lanes=1, pixels=1, x_words=1024, acc_words=8)
        rng = np.random.default_rng(5)
        network = Network("n", (1, 9, 6), 1, 1, (conv2d(rng, "a", (2, 1, 2, 2)), conv2d(rng, "b", (2, 2, 2, 2))))
        artifact = Artifact(compile_network(network, config))
        with Fake(config) as device, Session(device, artifact) as session:
            for n in range(PROFILE_ENTRIES):
                device.registers[offset("PROFILE", 2 * n)] = 1 << n
            result = session.run(np.zeros((1, 1, 9, 6), np.int8))
        for layer, info in zip(result.layers, artifact.image.layers, strict=True):
            assert info.strips > 1
            assert layer.cycles.tolist() == [((1 << info.strips) - 1) << info.descriptor]

    def test_layers_beyond_the_counters_have_none(self, device):
        rng = np.random.default_rng(6)
        layers = tuple(linear(rng, f"fc{n}", (2, 2)) for n in range(PROFILE_ENTRIES + 1))
        network = Network("deep", (2, 1, 1), 1, 1, layers)
        x = random_input(rng, network)
        with Session(device, Artifact(compile_network(network, SMALL))) as session:
            result = session.run(x)
        assert np.array_equal(result.outputs, network.run(x))
        assert [layer.cycles is None for layer in result.layers] == [False] * 63 + [True] * 2
        assert result.layers[-1].mean_cycles is None


class TestIdentity:
    @pytest.mark.parametrize(
        ("register", "kind", "message"),
        [
            ("MAGIC", DeviceError, "MAGIC is 0x00000007, not 0x48445243: .* check that its bitstream is loaded"),
            ("VERSION", ConfigError, "VERSION is 0x7, this headrace drives 0x6; load a bitstream"),
            ("CONFIG", ConfigError, rf"CONFIG is 0x00000007, .* compiled for {SMALL.hash:#010x} \(small\); compile it"),
        ],
    )
    def test_wrong_device(self, device, register, kind, message):
        device.registers[offset(register)] = 7
        with pytest.raises(kind, match=message):
            Session(device, make()[1])

    def test_artifact_of_another_config(self, device):
        _, artifact = make(config=get_config("demo"))
        with pytest.raises(ConfigError, match="CONFIG is"):
            Session(device, artifact)


class TestInput:
    @pytest.mark.parametrize(
        "x",
        [np.zeros((1, 2, 6, 6)), np.zeros((2, 6, 6), np.int8), np.zeros((1, 2, 6, 7), np.int8), np.zeros((), np.int8)],
        ids=["float", "one image", "width", "nothing"],
    )
    def test_wrong(self, device, x):
        with (
            Session(device, make()[1]) as session,
            pytest.raises(DataError, match=r"net: input must be int8 \(N, 2, 6, 6"),
        ):
            session.run(x)


class TestBuffers:
    def test_freed_at_the_end(self, device):
        before = dict(device.memory._taken)
        session = Session(device, make()[1])
        assert len(device.memory._taken) == len(before) + 2
        session.close()
        session.close()
        assert device.memory._taken == before
        with pytest.raises(DeviceError, match="session was closed"):
            session.run(np.zeros((1, 2, 6, 6), np.int8))

    def test_nothing_is_kept_where_memory_is_short(self):
        artifact = make()[1]
        with Fake(memory_bytes=-(-len(artifact.image.blob) // 64) * 64) as device:
            with pytest.raises(DeviceError, match="memory is full"):
                Session(device, artifact)
            assert not device.memory._taken
