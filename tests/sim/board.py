"""A board for cocotb benches of the whole accelerator: device, memory, host, and a network to run and to break."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.compile import compile_network
from headrace.config import Config
from headrace.image import Image
from headrace.isa import ErrorCode
from headrace.network import MaxPool2d, Network
from headrace.registers import MAGIC, REGISTERS, offset
from headrace_sim.cocotb_axi import OKAY, LiteMaster, Memory, ReadPort, WritePort
from headrace_sim.cocotb_bench import Bench
from headrace_sim.cocotb_runner import parameters
from hw.streams import pattern
from networks import conv2d, linear, random_input
from sim.places import Outcome, Place

BASE, SIZE = 0x2000_0000, 1 << 18
PROGRAM, DATA = BASE + 0x1F38, BASE + 0x2_0FD8  # at no page's start


class Board:
    """The device, its memory, and a host."""

    def __init__(self, dut: Any) -> None:
        given = parameters()
        self.config = Config(**given["config"])
        self.rng = np.random.default_rng(given["seed"])
        self.bench, self.dut = Bench(dut, 3_000_000), dut
        self.memory = Memory(BASE, SIZE)

        def willing(channel: str) -> Any:
            return pattern(given["memory"], sum(map(ord, channel)))

        latency = given["latency"]
        limits = {"latency": latency, "longest": self.config.burst_beats}
        names = ("m_axi", "m_axi1")[: self.config.read_ports]
        self.ports = [ReadPort(self.bench, name, self.memory, willing, **limits) for name in names]
        self.writes = WritePort(self.bench, "m_axi", self.memory, willing, **limits)
        self.host = LiteMaster(self.bench, "s_axi", seed=given["seed"], delay=given["delay"])

    async def begin(self) -> None:
        await self.bench.reset()
        assert await self.host.read(offset("MAGIC")) == MAGIC
        assert await self.host.read(offset("CONFIG")) == self.config.hash
        await self.host.write(offset("INTERRUPT"), 1)
        await self.host.write(offset("WATCHDOG"), 200_000)

    def healthy(self) -> None:
        self.memory.read_response = lambda address: OKAY
        self.memory.write_response = lambda address: OKAY
        self.memory.silent = lambda address: False

    async def fields(self, name: str) -> dict[str, int]:
        """Of a register; where STATUS is not busy, every address that was given has been answered."""
        fields = REGISTERS[name].record.unpack(await self.host.read(offset(name)))
        assert fields.get("busy", 1) or not sum(port.under_way for port in (*self.ports, self.writes))
        return fields

    @property
    def beats_read(self) -> int:
        return sum(port.beats for port in self.ports)

    async def start(self, blob: bytes, image: Image, x: np.ndarray, program: int = PROGRAM, data: int = DATA) -> None:
        """Blob and input into memory, rubbish where the output will be, and go; the device must be idle."""
        assert not (await self.fields("STATUS"))["busy"] and not self.dut.irq.value
        self.memory.words[:] = 0x5A5A_A5A5_0F0F_F0F0
        self.memory.bytes(PROGRAM, len(blob))[:] = np.frombuffer(blob, np.uint8)
        packed = image.pack_input(x[None])
        self.memory.bytes(DATA + image.input_offset, len(packed))[:] = np.frombuffer(packed, np.uint8)
        await self.host.write(offset("PROGRAM"), program)
        await self.host.write(offset("DATA"), data)
        await self.host.write(offset("CONTROL"), 1)

    async def wait(self, cycles: int) -> int:
        """Until the interrupt; cycles since now."""
        return await self.bench.until(lambda: bool(self.dut.irq.value), cycles, "the interrupt")

    async def outcome(self) -> Outcome:
        """Read what it came to, and clear it."""
        status = await self.fields("STATUS")
        error = await self.fields("ERROR")
        assert status["done"] + status["error"] == 1
        await self.host.write(offset("CONTROL"), 2)
        await self.bench.cycle()
        assert not self.dut.irq.value and await self.host.read(offset("ERROR")) == 0
        if status["done"]:
            assert not any(error.values())
            return Outcome(True)
        return Outcome(False, ErrorCode(error["code"]), error["lane"], error["layer"], error["descriptor"])

    async def idle(self, cycles: int) -> None:
        """Poll until no longer busy."""
        start = self.bench.now
        while (await self.fields("STATUS"))["busy"]:
            assert self.bench.now - start < cycles, f"busy for {cycles} cycles after the interrupt"

    def output(self, image: Image) -> np.ndarray:
        return image.unpack_output(self.memory.bytes(DATA + image.output_offset, image.output_bytes).tobytes())[0]


@dataclass(frozen=True)
class Job:
    """A network that runs well, to break in all ways."""

    network: Network
    image: Image
    x: np.ndarray

    @property
    def expected(self) -> np.ndarray:
        return self.network.run(self.x[None])[0]

    def place(self, board: Board, layer: int) -> Place:
        return Place(self.image, self.image.layers[layer].descriptor, layer, board.config.lanes)

    async def run(self, board: Board, limit: int = 400_000) -> int:
        """It gives the right result; returns CYCLES."""
        await board.start(self.image.blob, self.image, self.x)
        await board.wait(limit)
        result = await board.outcome()
        assert result == Outcome(True), result
        assert np.array_equal(board.output(self.image), self.expected), "the output differs from the network's"
        return await board.host.read(offset("CYCLES"))


def make_job(board: Board) -> Job:
    """Convolution, pooling, linear; sizes that divide by nothing, fewer rows than four lanes."""
    rng = board.rng
    layers = (conv2d(rng, "conv", (3, 2, 3, 2)), MaxPool2d("pool"), linear(rng, "fc", (7, 24), 0.6))
    network = Network("job", (2, 7, 9), 1.0, 1.0, layers)
    return Job(network, compile_network(network, board.config), random_input(rng, network, 1)[0])


async def prepare(dut: Any) -> tuple[Board, Job, int]:
    """A board on which the job has run once, and its cycles; the watchdog allows some four times as many."""
    board = Board(dut)
    await board.begin()
    job = make_job(board)
    cycles = await job.run(board)
    await board.host.write(offset("WATCHDOG"), 4 * cycles + 1000)
    return board, job, 4 * cycles + 2000
