"""The unmodified `pynq` package, as a user's application has it, drives the RTL behind the virtual board."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.served import board

pytest.importorskip("pynq", reason="pynq is not installed (it pins NumPy 1)")

TESTS = Path(__file__).parents[2]
PREAMBLE = """
    import sys
    import numpy as np
    from headrace.artifact import Artifact
    from headrace.compile import compile_network
    from headrace.config import get_config
    from headrace.device import open_device
    from headrace.session import Session
    from networks import random_input, tiny_lenet

    rng, config = np.random.default_rng(3), get_config("tiny")
    network = tiny_lenet(rng)
    artifact = Artifact(compile_network(network, config))
    x = random_input(rng, network, 2)
    overlay, server = sys.argv[1], int(sys.argv[2])
"""


def application(at: tuple[str, Path, int], body: str) -> str:
    """What a user's script prints: errors of its last line included."""
    host, overlay, pid = at
    code = textwrap.dedent(PREAMBLE) + textwrap.dedent(body)
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-c", code, str(overlay), str(pid)],
        env={**os.environ, "PYNQ_REMOTE_DEVICES": host, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return run.stdout + run.stderr.strip().split("\n")[-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, int]]:
    with board(tmp_path_factory.mktemp("overlay"), "--config", "tiny") as at:
        yield at


def test_results_equal_the_network(running: tuple[str, Path, int]) -> None:
    """Two artifacts resident, run in turn; an overlay loaded a second time works like the first."""
    body = """
        for _ in range(2):
            with open_device("pynq", config, overlay=overlay) as device:
                assert device.clock_mhz == 100.0, device.clock_mhz
                with Session(device, artifact) as first, Session(device, artifact) as second:
                    for session in (first, second, first):
                        result = session.run(x)
                        assert np.array_equal(result.outputs, network.run(x)) and (result.cycles > 0).all()
        print("equal")
    """
    assert application(running, body).startswith("equal\n")


def test_lenet5_and_resnet8(tmp_path: Path) -> None:
    """The trained LeNet-5 with its digits, and ResNet-8 at 20 % density (random weights), both resident on a board."""
    body = """
        from headrace import data, lenet
        from headrace.quantisation import Options, quantise
        from headrace.workloads import resnet8

        weights, densities = lenet.check_weights(data.lenet5(), "the shipped network")
        graph = lenet.float_graph(weights)
        density = dict(zip(lenet.LAYERS, densities))
        calibration = graph.input.feed(lenet.device_input(data.calibration_digits()))
        pruned, _ = quantise(graph, calibration, Options(density=density, input_scale=lenet.INPUT_SCALE))

        config = get_config("demo")
        networks = [
            (pruned, lenet.device_input(data.embedded_digits()[0][:2])),
            (resnet8.network(None, 0.2), rng.integers(0, 128, (1, 3, 32, 32)).astype(np.int8)),
        ]
        with open_device("pynq", config, overlay=overlay) as device:
            sessions = [Session(device, Artifact(compile_network(network, config))) for network, _ in networks]
            for session, (network, x) in zip(sessions, networks):
                assert np.array_equal(session.run(x).outputs, network.run(x)), network.name
                print("equal", network.name)
    """
    with board(tmp_path, "--config", "demo") as at:
        assert application(at, body).startswith("equal lenet5\nequal resnet8")


@pytest.mark.parametrize("name", ["ultra96v2", "zcu104", "kv260"])
def test_boards_with_ultrascale(name: str, tmp_path: Path) -> None:
    """pynq takes them for what they are: 64-bit processor, other clocks, port widths to set, other addresses."""
    body = """
        import pynq

        with open_device("pynq", config, overlay=overlay) as device, Session(device, artifact) as session:
            result = session.run(x)
            assert np.array_equal(result.outputs, network.run(x)) and (result.cycles > 0).all()
            assert device.clock_mhz == 150.0, device.clock_mhz
        assert pynq.Device.active_device.arch == "aarch64"
        assert pynq.Overlay(overlay).ip_dict["headrace_0"]["phys_addr"] == 0xA0000000
        assert pynq.MMIO(0xFD615000, 4).read(0) == 2 << 8  # the registers' port has 128 bits
        print("equal", pynq.Clocks.fclk0_mhz)
    """
    with board(tmp_path, "--config", "tiny", "--board", name) as at:
        assert application(at, body).startswith("equal 149.9985")


def test_bare_pynq_sees_the_accelerator(running: tuple[str, Path, int]) -> None:
    body = """
        import pynq

        loaded = pynq.Overlay(overlay)
        accelerator = loaded.headrace_0
        assert accelerator.read(0) == 0x48445243
        assert accelerator.register_map.STATUS.busy == 0 and accelerator.register_map.STATUS.done == 0
        buffer = pynq.allocate(shape=(100,), dtype="u1")
        buffer[:] = 3
        buffer.flush()
        buffer[:] = 0
        buffer.invalidate()
        assert (np.asarray(buffer) == 3).all() and buffer.device_address % 64 == 0
        print("seen")
    """
    assert application(running, body).startswith("seen\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("artifact = Artifact(compile_network(network, get_config('small')))", "ConfigError: device pynq: CONFIG is"),
        ("overlay = 'none.bit'", "none.bit; an overlay is a .bit and a .hwh of the same name"),
    ],
)
def test_wrong_overlay(running: tuple[str, Path, int], change: str, message: str) -> None:
    body = f"""
        {change}
        with open_device("pynq", config, overlay=overlay) as device, Session(device, artifact) as session:
            session.run(x)
    """
    assert message in application(running, body)


def test_foreign_bitstream_is_refused(running: tuple[str, Path, int], tmp_path: Path) -> None:
    foreign = tmp_path / "other.bit"
    foreign.write_bytes(running[1].read_bytes().replace(b"daeh", b"rehT"))  # "head", its bytes swapped
    foreign.with_suffix(".hwh").write_bytes(running[1].with_suffix(".hwh").read_bytes())
    body = f"""
        open_device("pynq", config, overlay={str(foreign)!r})
    """
    assert "DeviceError: device pynq: overlay other.bit cannot be loaded" in application(running, body)


def test_stuck_device_reports_its_counters(tmp_path: Path) -> None:
    body = """
        with open_device("pynq", config, overlay=overlay) as device:
            Session(device, artifact).run(x, timeout_seconds=1)
    """
    with board(tmp_path, "--config", "tiny", "--mute-memory") as at:
        assert "no end of the program within 1 s; device pynq is busy after" in application(at, body)


def test_dropped_connection(tmp_path: Path) -> None:
    body = """
        import os
        import signal

        with open_device("pynq", config, overlay=overlay) as device, Session(device, artifact) as session:
            session.run(x[:1])
            os.kill(server, signal.SIGKILL)
            session.run(x[:1])
    """
    with board(tmp_path, "--config", "tiny") as at:
        assert "DeviceError: device pynq: the register at 0xc cannot be written" in application(at, body)
