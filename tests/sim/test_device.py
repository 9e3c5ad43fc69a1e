"""SimDevice keeps the contract of `headrace.device.Device`; the accelerator itself answers through it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.config import get_config
from headrace.device import ALIGNMENT, Device
from headrace.errors import DeviceError
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES, ErrorCode, Opcode
from headrace.registers import MAGIC, REGISTERS, offset
from headrace_sim.device import SimDevice
from sim.standin import CONFIG, DISTANCE


def copier(library: Path, **options: object) -> SimDevice:
    return SimDevice(CONFIG, library=library, **options)  # type: ignore[arg-type]


def test_contract(library: Path) -> None:
    with copier(library) as device:
        assert isinstance(device, Device) and device.name == "sim" and device.clock_mhz is None
        assert device.read(offset("MAGIC")) == MAGIC and device.read(offset("CONFIG")) == CONFIG.hash
        for bad in (2, -4, 1 << 12):
            with pytest.raises(DeviceError, match="offset"):
                device.read(bad)
            with pytest.raises(DeviceError, match="offset"):
                device.write(bad, 0)
        for value in (-1, 1 << 32):
            with pytest.raises(DeviceError, match="32 bits"):
                device.write(offset("DATA"), value)
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        device.read(0)


def test_buffers_and_wait(library: Path) -> None:
    with copier(library, stall=0.2) as device:
        source = device.allocate(8 * 1000)
        gap = device.allocate(DISTANCE - ALIGNMENT * -(-8000 // ALIGNMENT))
        target = device.allocate(8 * 1000)
        assert target.address == source.address + DISTANCE and source.address % ALIGNMENT == 0
        source.array[:] = np.random.default_rng(1).integers(0, 256, 8000, np.uint8)
        source.flush()
        device.write(offset("PROGRAM"), source.address)
        device.write(offset("DATA"), 1000)
        device.write(offset("INTERRUPT"), 1)
        device.write(offset("CONTROL"), 1)
        device.wait(10)
        target.invalidate()
        assert np.array_equal(target.array, source.array)
        gap.free()
        assert device.allocate(64).address == source.address + 8000


def test_time_out_names_the_cycles(library: Path) -> None:
    with copier(library, max_cycles=30_000) as device, pytest.raises(DeviceError, match=r"within 30,000 simulated"):
        device.wait(10)
    with copier(library) as device, pytest.raises(DeviceError, match="no interrupt within"):
        device.wait(0)


def test_unknown_option() -> None:
    with pytest.raises(DeviceError, match="no option colour"):
        SimDevice.open(CONFIG, colour=1)


@pytest.mark.slow
def test_the_accelerator_runs_an_empty_program_and_rejects_a_bad_one() -> None:
    config = get_config("tiny")
    with SimDevice.open(config, latency=10) as device:
        assert device.read(offset("CONFIG")) == config.hash
        program = device.allocate(DESCRIPTOR_BYTES)
        device.write(offset("PROGRAM"), program.address)
        device.write(offset("INTERRUPT"), 1)
        for opcode, expected in ((Opcode.END, ErrorCode.NONE), (0xEE, ErrorCode.BAD_DESCRIPTOR)):
            packed = DESCRIPTOR.pack({"opcode": opcode}).to_bytes(DESCRIPTOR_BYTES, "little")
            program.array[:] = np.frombuffer(packed, np.uint8)
            program.flush()
            device.write(offset("CONTROL"), 1)
            device.wait(10)
            status = REGISTERS["STATUS"].record.unpack(device.read(offset("STATUS")))
            error = REGISTERS["ERROR"].record.unpack(device.read(offset("ERROR")))
            assert error["code"] == expected and status["done"] == (expected == ErrorCode.NONE)
            device.write(offset("CONTROL"), 2)
