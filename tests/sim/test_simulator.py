"""The harness around a small module that copies memory: data, timing, faults, protocol checks, waveforms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from headrace.errors import DeviceError
from headrace.registers import MAGIC, REGISTERS, offset
from headrace_sim.build import build
from headrace_sim.simulator import FaultKind, ProtocolError, Simulator
from sim.standin import BREACHES, CONFIG, DISTANCE, breach, verilog

BASE = 0x1000_0000
Make = Callable[..., Simulator]


@pytest.fixture
def make(library: Path) -> Iterator[Make]:
    opened: list[Simulator] = []

    def create(**options: object) -> Simulator:
        opened.append(Simulator(CONFIG, library=library, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield create
    for simulator in opened:
        simulator.close()


def start(simulator: Simulator, beats: int, first: int = 0) -> np.ndarray:
    """Fill the source and start; returns the source."""
    source = np.random.default_rng(beats).integers(0, 256, 8 * beats, np.uint8)
    simulator.memory[first : first + 8 * beats] = source
    simulator.write(offset("PROGRAM"), BASE + first)
    simulator.write(offset("DATA"), beats)
    simulator.write(offset("INTERRUPT"), 1)
    simulator.write(offset("CONTROL"), 1)
    return source


def status(simulator: Simulator) -> dict[str, int]:
    return REGISTERS["STATUS"].record.unpack(simulator.read(offset("STATUS")))


@pytest.mark.parametrize("options", [{}, {"stall": 0.5}, {"stall": 0.9, "latency": 0}, {"bandwidth": 0.25}])
@pytest.mark.parametrize(("beats", "first"), [(1, 0), (700, 8 * 37), (4000, 0)])
def test_copy(make: Make, beats: int, first: int, options: dict[str, float]) -> None:
    simulator = make(seed=beats, **options)
    assert simulator.read(offset("MAGIC")) == MAGIC
    source = start(simulator, beats, first)
    assert simulator.run(1_000_000)
    assert status(simulator) == {"busy": 0, "done": 1, "error": 0}
    copied = slice(first + DISTANCE, first + DISTANCE + 8 * beats)
    assert np.array_equal(simulator.memory[copied], source)
    simulator.memory[copied] = 0
    simulator.memory[first : first + 8 * beats] = 0
    assert not simulator.memory.any()
    assert simulator.statistics.read_beats == simulator.statistics.write_beats == beats


def test_latency_bandwidth_and_stalls_cost_what_they_say(make: Make) -> None:
    def cycles(**options: float) -> int:
        simulator = make(**options)
        start(simulator, 4000)
        assert simulator.run(1_000_000)
        return simulator.read(offset("CYCLES"))

    base = cycles(latency=0)
    assert 4000 < base < 4000 * 1.05 + 50
    assert cycles(latency=40) - base < 200  # eight bursts under way cover it
    assert 8000 / 0.25 <= cycles(bandwidth=0.25) + 16 / 0.25 < 8000 / 0.25 * 1.05
    assert cycles(stall=0.5) > 1.5 * base


def test_equal_seeds_give_equal_runs(make: Make) -> None:
    runs = []
    for seed in (1, 1, 2):
        simulator = make(stall=0.3, seed=seed)
        start(simulator, 500)
        simulator.run(100_000)
        runs.append(simulator.statistics)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("kind", [FaultKind.READ_ERROR, FaultKind.WRITE_ERROR])
def test_bad_answers(make: Make, kind: FaultKind) -> None:
    simulator = make()
    first = BASE + (DISTANCE if kind is FaultKind.WRITE_ERROR else 0) + 8 * 50
    simulator.fault(kind, first, first + 8)
    start(simulator, 100)
    assert simulator.run(10_000)
    assert status(simulator)["error"]
    simulator.clear_faults()
    start(simulator, 100)
    assert simulator.run(10_000)
    assert status(simulator)["done"]


@pytest.mark.parametrize("kind", [FaultKind.READ_SILENCE, FaultKind.WRITE_SILENCE])
def test_silence_and_reset(make: Make, kind: FaultKind) -> None:
    simulator = make()
    first = BASE + (DISTANCE if kind is FaultKind.WRITE_SILENCE else 0)
    simulator.fault(kind, first + 8 * 32, first + 8 * 33)
    start(simulator, 100)
    before = simulator.cycles
    assert not simulator.run(10_000)
    assert simulator.cycles == before + 10_000
    assert status(simulator) == {"busy": 1, "done": 0, "error": 0}
    simulator.clear_faults()
    simulator.reset()
    assert status(simulator) == {"busy": 0, "done": 0, "error": 0}
    source = start(simulator, 100)
    assert simulator.run(10_000)
    assert np.array_equal(simulator.memory[DISTANCE:][:800], source)


def test_outside_of_memory_is_an_error(make: Make) -> None:
    simulator = make(memory_bytes=DISTANCE + 800)
    start(simulator, 101)
    assert simulator.run(10_000)
    assert status(simulator)["error"]


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_the_protocol_is_reported(make: Make, name: str) -> None:
    simulator = make(stall=0.9, seed=1)
    with pytest.raises(ProtocolError, match=f"AXI protocol: cycle .*{BREACHES[name]}"):
        simulator.write(offset("WATCHDOG"), breach(name))
        start(simulator, 1000)
        for _ in range(100):
            status(simulator)
            simulator.run(300)


def test_closed(make: Make) -> None:
    simulator = make()
    simulator.close()
    simulator.close()
    with pytest.raises(DeviceError, match="closed"):
        simulator.read(0)
    assert simulator.memory.sum() == 0


@pytest.mark.parametrize(
    "options",
    [{"stall": 1.0}, {"stall": -0.1}, {"bandwidth": 2}, {"memory_bytes": 12}, {"base": 4}, {"latency": -1}],
)
def test_options(make: Make, options: dict[str, float]) -> None:
    with pytest.raises(DeviceError):
        make(**options)


@pytest.mark.slow
def test_coverage(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="without coverage"):
        make().coverage(tmp_path / "a.dat")
    simulator = Simulator(None, library=build(verilog(), coverage=True))
    start(simulator, 10)
    assert simulator.run(10_000)
    simulator.coverage(tmp_path / "b.dat")
    simulator.close()
    text = (tmp_path / "b.dat").read_text()
    assert "SystemC::Coverage" in text and "v_toggle" in text and "v_line" in text


@pytest.mark.slow
def test_waveforms(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="without trace"):
        make().trace(tmp_path / "a.vcd")
    path = tmp_path / "b.vcd"
    simulator = Simulator(None, library=build(verilog(), trace=True), trace=path)
    start(simulator, 10)
    assert simulator.run(10_000)
    simulator.close()
    text = path.read_text()
    assert "m_axi_araddr" in text and "$enddefinitions" in text and text.count("\n#") > 100
