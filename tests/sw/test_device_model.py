"""Registers, memory and instruction set of the model device, against docs/hardware.md."""

from __future__ import annotations

import numpy as np
import pytest

import headrace.device
import headrace.device.layer
from device_programs import BASE, LayerProgram, error_of, open_model, run_program
from headrace.config import Config, get_config
from headrace.device.model import ModelDevice
from headrace.errors import DeviceError
from headrace.isa import DESCRIPTOR_BYTES, ISA_VERSION, ErrorCode, Opcode
from headrace.registers import MAGIC, REGISTERS, offset

SMALL = get_config("small")
END = {"opcode": Opcode.END}


@pytest.fixture
def device():
    with open_model(SMALL) as model:
        yield model


class TestRegisters:
    def test_reset_values(self, device):
        identity = {"MAGIC": MAGIC, "VERSION": ISA_VERSION, "CONFIG": SMALL.hash}
        for register in REGISTERS.values():
            for index in (0, register.count - 1):
                expected = identity.get(register.name, register.reset)
                assert device.read(offset(register.name, index)) == expected, register.name

    @pytest.mark.parametrize("name", REGISTERS)
    def test_access(self, device, name):
        before = device.read(offset(name))
        device.write(offset(name), 0xFFFF_FFF8 if name != "CONTROL" else 0)
        writable = {"PROGRAM": 0xFFFF_FFF8, "DATA": 0xFFFF_FFF8, "WATCHDOG": 0xFFFF_FFF8}
        assert device.read(offset(name)) == writable.get(name, before)
        assert (name in writable or name == "INTERRUPT") == (REGISTERS[name].access == "rw")

    def test_reserved_bits_are_not_kept(self, device):
        device.write(offset("INTERRUPT"), 0xFFFF_FFFF)
        assert device.read(offset("INTERRUPT")) == 1

    def test_nothing_there(self, device):
        device.write(0x7C, 1)
        assert device.read(0x7C) == 0

    @pytest.mark.parametrize("bad", [-4, 2, 0x1000])
    def test_bad_offset(self, device, bad):
        with pytest.raises(DeviceError, match="register offset"):
            device.read(bad)
        with pytest.raises(DeviceError, match="register offset"):
            device.write(bad, 0)

    @pytest.mark.parametrize("bad", [-1, 1 << 32])
    def test_bad_value(self, device, bad):
        with pytest.raises(DeviceError, match="32 bits"):
            device.write(offset("DATA"), bad)


class TestControl:
    def start(self, device: ModelDevice, program: int, interrupt: int = 1) -> None:
        device.write(offset("PROGRAM"), program)
        device.write(offset("DATA"), BASE)
        device.write(offset("INTERRUPT"), interrupt)
        device.write(offset("CONTROL"), 1)

    def ending(self, device: ModelDevice) -> int:
        buffer = device.allocate(DESCRIPTOR_BYTES)
        buffer.array[...] = 0
        buffer.flush()
        return buffer.address

    def test_polling_sees_busy_then_done(self, device):
        self.start(device, self.ending(device))
        assert [device.read(offset("STATUS")) for _ in range(3)] == [1, 2, 2]

    def test_wait_then_clear(self, device):
        self.start(device, self.ending(device))
        device.wait(1)
        device.wait(1)
        assert device.read(offset("STATUS")) == 2
        device.write(offset("CONTROL"), 2)
        assert device.read(offset("STATUS")) == 0
        with pytest.raises(DeviceError, match="no interrupt within 1 s"):
            device.wait(1)

    def test_no_interrupt_unless_enabled(self, device):
        self.start(device, self.ending(device), interrupt=0)
        with pytest.raises(DeviceError, match="no interrupt"):
            device.wait(1)
        assert device.read(offset("STATUS")) == 2

    def test_start_is_ignored_while_busy(self, device):
        good = self.ending(device)
        self.start(device, good)
        self.start(device, 4)
        device.wait(1)
        assert device.read(offset("STATUS")) == 2

    def test_abort(self, device):
        self.start(device, self.ending(device))
        device.write(offset("CONTROL"), 4)
        device.wait(1)
        assert device.read(offset("STATUS")) == 4
        assert error_of(device).code is ErrorCode.ABORTED
        device.write(offset("CONTROL"), 2)
        device.write(offset("CONTROL"), 4)
        assert device.read(offset("STATUS")) == 0

    def test_error_lasts_until_clear_or_start(self, device):
        self.start(device, 4)
        device.wait(1)
        assert device.read(offset("STATUS")) == 4
        assert device.read(offset("ERROR")) & 0xFF == ErrorCode.BAD_POINTER
        device.write(offset("CONTROL"), 2)
        assert device.read(offset("ERROR")) == 0
        self.start(device, 4)
        device.wait(1)
        self.start(device, self.ending(device))
        device.wait(1)
        assert (device.read(offset("STATUS")), device.read(offset("ERROR"))) == (2, 0)


LOAD = {"opcode": Opcode.LOAD, "in_channels": 1}


class TestProgram:
    def test_load_and_store(self, device):
        data = np.arange(64, dtype=np.uint8)
        program = [
            {**LOAD, "beats": 2, "address": 8, "x_address": 24, "lane_to": 2},
            {"opcode": Opcode.STORE, "beats": 1, "address": 40, "x_address": 32},
            END,
        ]
        result = run_program(device, program, data=data)
        expected = data.copy()
        expected[40:48] = data[16:24]
        assert error_of(device).code is ErrorCode.NONE
        assert result.tolist() == expected.tolist()

    def test_blocks_of_a_load(self, device):
        """At equal distances; on the chip addresses wrap."""
        data, size = np.arange(64, dtype=np.uint8), SMALL.x_bytes
        program = [
            {**LOAD, "lane_to": 1, "beats": 2, "x_address": size - 24, "in_channels": 3, "in_plane": 16, "stride": 24},
            {"opcode": Opcode.STORE, "beats": 3, "address": 0, "x_address": size - 24},
            {"opcode": Opcode.STORE, "beats": 3, "address": 24, "x_address": 0},
            END,
        ]
        result = run_program(device, program, data=data)
        assert error_of(device).code is ErrorCode.NONE
        moved = np.concatenate([data[:16], data[24:40], data[48:64]])
        assert result[:48].tolist() == moved.tolist()

    @pytest.mark.parametrize(
        ("descriptor", "code"),
        [
            ({"opcode": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({"opcode": 255}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "lane_to": 1}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_from": 1, "lane_to": 3}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_from": 1, "lane_to": 1}, ErrorCode.BAD_DESCRIPTOR),
            ({"opcode": Opcode.STORE, "beats": 1, "lane_from": 2}, ErrorCode.BAD_DESCRIPTOR),
            ({"opcode": Opcode.END, "address": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "address": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "x_address": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "lane_to": 1, "beats": SMALL.x_bytes // 8 + 1}, ErrorCode.BAD_DESCRIPTOR),
            ({"opcode": Opcode.STORE, "beats": 1, "x_address": SMALL.x_bytes}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "in_channels": 0}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "in_plane": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "stride": 4}, ErrorCode.BAD_DESCRIPTOR),
            ({**LOAD, "beats": 1, "lane_to": 1, "address": 1 << 20}, ErrorCode.AXI_READ),
            ({**LOAD, "beats": 1, "lane_to": 1, "in_channels": 2, "stride": 1 << 20}, ErrorCode.AXI_READ),
            ({"opcode": Opcode.STORE, "beats": 1, "address": 1 << 20}, ErrorCode.AXI_WRITE),
            ({**LOAD, "beats": 1, "lane_to": 1, "address": (1 << 32) - BASE}, ErrorCode.AXI_READ),
        ],
    )
    def test_faults(self, device, descriptor, code):
        run_program(device, [{**LOAD, "beats": 1, "lane_to": 1}, descriptor | {"layer": 9}, END])
        error = error_of(device)
        assert (error.code, error.lane, error.layer, error.descriptor) == (code, 255, 9, 1)

    @pytest.mark.parametrize("register", ["PROGRAM", "DATA"])
    def test_unaligned_pointer(self, device, register):
        device.write(offset("PROGRAM"), BASE)
        device.write(offset("DATA"), BASE)
        device.write(offset(register), BASE + 4)
        device.write(offset("CONTROL"), 1)
        device.read(offset("STATUS"))
        assert error_of(device).code is ErrorCode.BAD_POINTER

    def test_program_outside_memory(self, device):
        device.write(offset("CONTROL"), 1)
        device.read(offset("STATUS"))
        assert error_of(device).code is ErrorCode.AXI_READ

    def test_program_without_end(self, device):
        run_program(device, [{**LOAD, "beats": 1, "lane_to": 1}], data=np.full(64, 7, np.uint8))
        assert error_of(device).code is ErrorCode.BAD_DESCRIPTOR  # what follows is no program


def test_each_layer_is_decoded_once(monkeypatch, device):
    calls = []
    decode = headrace.device.layer.lane_operations
    monkeypatch.setattr(
        headrace.device.layer,
        "lane_operations",
        lambda *args: calls.append(1) or decode(*args),  # type: ignore[func-returns-value]
    )
    layer = LayerProgram(SMALL, np.eye(3, 4, dtype=np.int8))
    for value in range(3):
        layer.run(device, np.full(64, value, np.int8))
    assert len(calls) == SMALL.lanes
    LayerProgram(SMALL, 2 * np.eye(3, 4, dtype=np.int8)).run(device, np.zeros(64, np.int8))
    assert len(calls) == 2 * SMALL.lanes


def test_config_decides_the_sizes():
    config = Config("odd", lanes=3, pixels=2, x_words=64, acc_words=8)
    with open_model(config) as device:
        assert device.machine.x.shape == (3, 128)
        run_program(device, [{**LOAD, "beats": 17, "lane_to": 3}, END])
        assert error_of(device).code is ErrorCode.BAD_DESCRIPTOR
