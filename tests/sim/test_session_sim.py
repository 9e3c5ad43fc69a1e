"""A session on the simulated accelerator goes on after errors, time-outs and interruptions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import headrace.session
from device_programs import make
from headrace.config import get_config
from headrace.errors import ConfigError, DeviceError
from headrace.registers import offset
from headrace.session import Session
from headrace_sim.device import SimDevice
from headrace_sim.simulator import FaultKind
from networks import random_input

pytestmark = pytest.mark.slow
TINY = get_config("tiny")
NETWORK, ARTIFACT = make(config=TINY)
X, OTHER = (random_input(np.random.default_rng(seed), NETWORK, 1) for seed in (1, 2))


@pytest.fixture
def device() -> Iterator[SimDevice]:
    with SimDevice.open(TINY, latency=200) as sim:
        yield sim


@pytest.fixture
def session(device: SimDevice) -> Iterator[Session]:
    with Session(device, ARTIFACT) as opened:
        yield opened


def check(session: Session) -> None:
    """Two runs with unlike results."""
    for x in (OTHER, X):
        assert np.array_equal(session.run(x).outputs, NETWORK.run(x))
    assert not np.array_equal(NETWORK.run(OTHER), NETWORK.run(X))
    assert session.device.read(offset("STATUS")) == 0


@pytest.mark.parametrize(
    ("kind", "code"), [(FaultKind.READ_ERROR, "AXI_READ"), (FaultKind.WRITE_ERROR, "AXI_WRITE")], ids=["read", "write"]
)
def test_good_run_after_an_error(kind: FaultKind, code: str) -> None:
    """The memory is so slow that the device is still busy with its transfers when the error has been read."""
    with SimDevice.open(TINY, bandwidth=1 / 64) as device, Session(device, ARTIFACT) as session:
        buffer = session._program if kind is FaultKind.READ_ERROR else session._data
        for first in (buffer.address, buffer.address + len(buffer.array) // 2 // 8 * 8):
            device.simulator.fault(kind, first, buffer.address + len(buffer.array))
            with pytest.raises(DeviceError, match=f"device sim: {code}"):
                session.run(X, timeout_seconds=10)
            device.simulator.clear_faults()
            check(session)


@pytest.mark.parametrize("cycles", [0, 1, 150, 230, 1000, 2500])
def test_good_run_after_an_interruption(
    device: SimDevice, session: Session, monkeypatch: pytest.MonkeyPatch, cycles: int
) -> None:
    def wait(timeout_seconds: float) -> None:
        assert not device.simulator.run(cycles)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(device, "wait", wait)
        session.run(X)
    assert device.read(offset("STATUS")) == 0 and not device.simulator.run(20_000)
    check(session)


def test_good_run_after_a_time_out(device: SimDevice, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(DeviceError, match="within 700 simulated cycles; device sim is"):
        patch.setattr(device, "max_cycles", 700)
        session.run(X)
    check(session)


def test_close_leaves_the_device_idle(device: SimDevice) -> None:
    with Session(device, ARTIFACT) as session:
        check(session)
        device.write(offset("CONTROL"), 1)
        device.simulator.run(500)
        assert device.read(offset("STATUS")) == 1
    assert device.read(offset("STATUS")) == 0 and not device.simulator.run(20_000)
    with Session(device, ARTIFACT) as session:
        check(session)


def test_memory_that_never_answers(device: SimDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headrace.session, "IDLE_POLLS", 1000)
    monkeypatch.setattr(device, "max_cycles", 20_000)
    with (
        pytest.raises(DeviceError, match=r"^no interrupt within 20,000 .*: [0-9 ]+$"),
        Session(device, ARTIFACT) as one,
    ):
        device.simulator.fault(FaultKind.READ_SILENCE, one._data.address, one._data.address + len(one._data.array))
        one.run(X)
    with pytest.raises(DeviceError, match=r"^device sim is busy.* it does not stop, .* again$"):
        one = Session(device, ARTIFACT)
        one.run(X)


def test_artifact_for_another_config(device: SimDevice) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG is .* compiled for .* \(small\)"):
        Session(device, make(config=get_config("small"))[1])
