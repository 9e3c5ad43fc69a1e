"""cocotb bench of the bench: the AXI agents around a small module that copies memory (standin.py)."""

from __future__ import annotations

import re
from typing import Any

import cocotb
import numpy as np

from headrace.registers import MAGIC, REGISTERS, offset
from headrace_sim.cocotb_axi import LiteMaster, Memory, ReadPort, WritePort
from headrace_sim.cocotb_bench import Bench
from headrace_sim.cocotb_runner import parameters
from hw.streams import pattern
from sim.standin import BREACHES, CONFIG, DISTANCE, breach

BASE = 0x1000_0000


class Copy:
    def __init__(self, dut: Any) -> None:
        name = parameters()["memory"]
        self.bench, self.dut = Bench(dut, 100_000), dut
        self.memory = Memory(BASE, 2 * DISTANCE)
        self.reads = ReadPort(
            self.bench,
            "m_axi",
            self.memory,
            lambda channel: pattern(name, len(channel)),
            latency=9,
            longest=CONFIG.burst_beats,
        )
        self.writes = WritePort(self.bench, "m_axi", self.memory, lambda channel: pattern(name, ord(channel[0])))
        self.host = LiteMaster(self.bench, "s_axi", delay=12)

    async def run(self, first: int, beats: int) -> dict[str, int]:
        """Copy; STATUS, which is read while the copier is busy, too."""
        for name, value in (("PROGRAM", BASE + first), ("DATA", beats), ("INTERRUPT", 1), ("CONTROL", 1)):
            await self.host.write(offset(name), value)
        await self.status()
        await self.bench.until(lambda: bool(self.dut.irq.value), 20_000, "the interrupt")
        return await self.status()

    async def status(self) -> dict[str, int]:
        status = REGISTERS["STATUS"].record.unpack(await self.host.read(offset("STATUS")))
        assert status["busy"] or not (count := self.reads.under_way + self.writes.under_way), (
            f"STATUS is not busy with {count} transfers under way"
        )
        return status


@cocotb.test()
async def copies(dut: Any) -> None:
    """Data, counts and registers."""
    copy = Copy(dut)
    await copy.bench.reset()
    assert await copy.host.read(offset("MAGIC")) == MAGIC
    source = np.random.default_rng(1).integers(0, 256, 8 * 700, np.uint8)
    copy.memory.bytes(BASE + 8 * 37, source.size)[:] = source
    assert await copy.run(8 * 37, 700) == {"busy": 0, "done": 1, "error": 0}
    assert np.array_equal(copy.memory.bytes(BASE + 8 * 37 + DISTANCE, source.size), source)
    assert np.count_nonzero(copy.memory.words) <= 1400
    assert copy.reads.beats == copy.writes.beats == 700
    assert sum(beats for _, beats in copy.reads.bursts) == sum(beats for _, beats in copy.writes.bursts) == 700


@cocotb.test()
async def responses(dut: Any) -> None:
    """Bad responses where the bench asks for them, and outside of the memory."""
    copy = Copy(dut)
    await copy.bench.reset()
    copy.memory.read_response = lambda address: 2 * (address == BASE + 800)
    assert (await copy.run(0, 100))["error"] == 0
    assert (await copy.run(0, 101))["error"] == 1
    copy.memory.read_response = lambda address: 0
    copy.memory.write_response = lambda address: 3 * (address == BASE + DISTANCE + 8)
    assert (await copy.run(0, 2))["error"] == 1
    assert (await copy.run(16, 2))["error"] == 0
    assert (await copy.run(DISTANCE, 1))["error"] == 1


@cocotb.test()
async def breaches(dut: Any) -> None:
    """The stand-in breaks the protocol in each way, and the bench says how."""
    for name, message in BREACHES.items():
        await Bench(dut).reset()  # nobody looks
        copy, found = Copy(dut), ""
        await copy.bench.reset()
        try:
            await copy.host.write(offset("WATCHDOG"), breach(name))
            for _ in range(8 * name.startswith("bus")):
                await copy.status()
            await copy.run(0, 1000)
        except AssertionError as error:
            found = str(error)
        assert re.search(message, found), f"{name}: {found or 'not seen'}"


@cocotb.test()
async def fails(dut: Any) -> None:
    """A bench that fails."""
    assert False, "as it should"  # noqa: B011
