"""A program on the simulated accelerator, to break at chosen places and to run well afterwards, without a reset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace.compile import compile_network
from headrace.config import Config
from headrace.image import Image
from headrace.isa import NOBODY, ErrorCode
from headrace.network import MaxPool2d, Network
from headrace.registers import REGISTERS, offset
from headrace_sim.device import SimDevice
from headrace_sim.simulator import FaultKind
from networks import conv2d, linear, random_input
from sim.places import Outcome, Place

BASE = 0x3000_0000
PROGRAM, DATA, MEMORY = BASE + 0xF38, BASE + 0x4_0FD8, 1 << 19  # at no page's start
TWO_PORTS = Config("two ports", lanes=2, pixels=2, x_words=1024, acc_words=64, channels=64, masks=32, read_ports=2)
CYCLES = 200_000
"""What no run takes."""


@dataclass(frozen=True)
class Break:
    """What goes wrong in a run, and all that the device may say of it."""

    expected: frozenset[Outcome]
    blob: bytes | None = None
    fault: tuple[FaultKind, int, int] | None = None
    abort: int | None = None
    """The cycle since the start in which the host asks to stop."""
    program: int = PROGRAM
    watchdog: int = CYCLES


class Rig:
    """`memory`: moods of the simulated memory. `library`: the simulation, built where none is given."""

    def __init__(self, config: Config, library: Path | None = None, **memory: Any) -> None:
        self.config, self.rng = config, np.random.default_rng(17)
        rng = self.rng
        layers = (conv2d(rng, "conv", (5, 2, 3, 2)), MaxPool2d("pool"), linear(rng, "fc", (9, 40), 0.6))
        self.network = Network("rig", (2, 7, 9), 1.0, 1.0, layers)
        self.image: Image = compile_network(self.network, config)
        self.x = random_input(rng, self.network, 1)
        self.expected = self.network.run(self.x)[0]
        self.device = SimDevice(config, library=library, memory_bytes=MEMORY, base=BASE, **memory)
        self.simulator = self.device.simulator
        self.device.write(offset("INTERRUPT"), 1)
        self.cycles = self.run_well()

    @property
    def places(self) -> list[Place]:
        """Every descriptor of a layer."""
        numbers = [n for n, fields in enumerate(self.image.program) if fields["opcode"] == 3]
        return [Place(self.image, n, self.image.program[n]["layer"], self.config.lanes) for n in numbers]

    def run_well(self) -> int:
        """The right result; its cycles."""
        self._start(self.image.blob, PROGRAM, CYCLES)
        assert self.simulator.run(CYCLES), "no interrupt"
        cycles = self.device.read(offset("CYCLES"))
        assert self._outcome() == Outcome(True)
        start = DATA - BASE + self.image.output_offset
        output = self.image.unpack_output(self.simulator.memory[start : start + self.image.output_bytes])[0]
        assert np.array_equal(output, self.expected)
        return cycles

    def run_badly(self, broken: Break) -> Outcome:
        """What the device says; it is idle afterwards, with the fault gone."""
        if broken.fault is not None:
            self.simulator.fault(*broken.fault)
        self._start(self.image.blob if broken.blob is None else broken.blob, broken.program, broken.watchdog)
        if broken.abort is not None:
            self.simulator.run(broken.abort)
            self.device.write(offset("CONTROL"), 4)
        assert self.simulator.run(CYCLES), "no interrupt"
        outcome = self._outcome()
        self.simulator.clear_faults()
        self._wait(lambda: not self._status()["busy"])
        return outcome

    def _start(self, blob: bytes, program: int, watchdog: int) -> None:
        memory, image = self.simulator.memory, self.image
        memory[:] = 0x5A
        packed = image.pack_input(self.x[:1])
        for at, content in ((PROGRAM - BASE, blob), (DATA - BASE + image.input_offset, packed)):
            memory[at : at + len(content)] = np.frombuffer(content, np.uint8)
        for name, value in (("PROGRAM", program), ("DATA", DATA), ("WATCHDOG", watchdog), ("CONTROL", 1)):
            self.device.write(offset(name), value)

    def _status(self) -> dict[str, int]:
        return REGISTERS["STATUS"].record.unpack(self.device.read(offset("STATUS")))

    def _outcome(self) -> Outcome:
        status = self._status()
        error = REGISTERS["ERROR"].record.unpack(self.device.read(offset("ERROR")))
        self.device.write(offset("CONTROL"), 2)
        assert status["done"] + status["error"] == 1
        if status["done"]:
            return Outcome(True)
        return Outcome(False, ErrorCode(error["code"]), error["lane"], error["layer"], error["descriptor"])

    def _wait(self, condition: Callable[[], bool]) -> None:
        start = self.simulator.cycles
        while not condition():
            assert self.simulator.cycles - start < CYCLES, "busy for ever"


def at(code: ErrorCode, place: Place, lane: int = NOBODY) -> Outcome:
    return Outcome(False, code, lane, place.layer, place.descriptor)
