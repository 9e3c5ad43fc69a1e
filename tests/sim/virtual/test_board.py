"""The virtual board below its network protocol: overlays, files, registers, buffers."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.config import get_config
from headrace.errors import DataError, DeviceError
from headrace.registers import MAGIC, REGISTERS, offset
from headrace_hw.boards import BOARDS, get_board
from headrace_sim.virtual.board import FIRMWARE, MANAGER, VirtualBoard
from headrace_sim.virtual.cli import board as command
from headrace_sim.virtual.overlay import MARK, bit_file, hardware_handoff, read_firmware, write_overlay
from headrace_sim.virtual.systems import system_of

BOARD, TINY = get_board("pynq-z2"), get_config("tiny")


def firmware(bit: bytes) -> bytes:
    """What pynq makes of a .bit file: its frames, the bytes of every word swapped."""
    start = bit.index(b"e", bit.rindex(b"00:00:00")) + 5
    assert int.from_bytes(bit[start - 4 : start], "big") == len(bit) - start
    return np.frombuffer(bit[start:], "<u4").byteswap().tobytes()


def test_bit_file_names_its_configuration() -> None:
    assert read_firmware(firmware(bit_file(BOARD, TINY))) == TINY
    for bad, message in (
        (b"\xff" * 64, "not one of the virtual board's"),
        (MARK + b'{"lanes": 1}', "damaged"),
        (MARK + b'{"name": "x", "lanes": 99, "pixels": 1}', "damaged: config x: lanes"),
        (MARK + b"{", "damaged"),
    ):
        with pytest.raises(DataError, match=message):
            read_firmware(bad)


def test_bit_files_of_all_boards_differ() -> None:
    """pynq takes files of one content for one overlay."""
    assert len({bit_file(board, TINY) for board in BOARDS.values()}) == len(BOARDS)


def test_overlay_files(tmp_path: Path) -> None:
    path = write_overlay(BOARD, TINY, tmp_path / "new")
    assert path.name == f"headrace-tiny-{TINY.hash:08x}.bit" and path.read_bytes() == bit_file(BOARD, TINY)
    assert path.with_suffix(".hwh").read_bytes() == hardware_handoff(BOARD)


def test_handoff_describes_every_single_register() -> None:
    system = ElementTree.fromstring(hardware_handoff(BOARD))
    described = {
        register.get("NAME"): {p.get("NAME"): p.get("VALUE") for p in register.findall("PROPERTY")}
        for register in system.iter("REGISTER")
    }
    assert described.keys() == {name for name, register in REGISTERS.items() if register.count == 1}
    for name, properties in described.items():
        assert int(properties["ADDRESS_OFFSET"] or "", 16) == offset(name)
    (where,) = system.iter("MEMRANGE")
    assert int(where.get("BASEVALUE") or "", 16) == BOARD.registers


def test_logic_is_empty_until_a_bitstream_is_loaded() -> None:
    board = VirtualBoard(BOARD)
    with pytest.raises(DeviceError, match="no bitstream was loaded"):
        board.read(BOARD.registers)
    with pytest.raises(DataError, match=r"no firmware 'a\.bin'"):
        board.write_file(MANAGER + "firmware", b"a.bin")
    with pytest.raises(DeviceError, match="no writable file /etc/passwd"):
        board.write_file("/etc/passwd", b"")
    board.write_file(FIRMWARE + "a.bin", b"not ours")
    with pytest.raises(DataError, match="not one of the virtual board's"):
        board.write_file(MANAGER + "firmware", b"a.bin")
    board.write(0xF800_0170, 5)
    assert board.read(0xF800_0170) == 5 and board.read(0xF800_0000) == 0


@pytest.mark.parametrize("name", BOARDS)
def test_clocks_are_what_the_pll_gives(name: str) -> None:
    """By registers and overlay, within 0.01 % of what the board is said to have: UltraScale+'s crystal is not exact."""
    chosen = get_board(name)
    system, modules = system_of(chosen), ElementTree.fromstring(hardware_handoff(chosen)).iter("MODULE")
    (processor,) = [module for module in modules if module.get("MODTYPE") == system.kind]
    parameters = {one.get("NAME"): one.get("VALUE") or "" for one in processor.iter("PARAMETER")}
    divisors = [int(parameters[f"{system.divisor.format(0)}{number}"]) for number in (0, 1)]
    assert parameters[system.enable.format(0)] == "1" and parameters[system.enable.format(1)] == "0"
    assert system.pll_mhz / divisors[0] / divisors[1] == pytest.approx(chosen.clock_mhz, rel=1e-4)
    (where,) = processor.iter("MEMRANGE")
    assert int(where.get("BASEVALUE") or "", 16) == chosen.registers
    board = VirtualBoard(chosen)
    assert board.read(system.pll) == system.pll_value and system.machine.encode() in board.files["/proc/version"]


def test_unknown_boards_are_refused(tmp_path: Path) -> None:
    run = CliRunner().invoke(command, ["--virtual", "--board", "zcu102", "-o", str(tmp_path)])
    assert run.exit_code == 2 and "'zcu102' is not one of 'pynq-z1', 'pynq-z2'" in run.output


def test_accelerator_and_dram_outlive_each_other() -> None:
    board = VirtualBoard(BOARD)
    name = board.allocate(64)
    board.buffer(name).array[:] = 7
    board.buffer(name).flush()
    board.write_file(FIRMWARE + "tiny.bin", firmware(bit_file(BOARD, TINY)))
    for _ in range(2):  # loading it again starts afresh
        board.write_file(MANAGER + "firmware", b"tiny.bin\n")
        assert board.read(BOARD.registers + offset("MAGIC")) == MAGIC
        assert board.read(BOARD.registers + offset("PROGRAM")) == 0
        board.write(BOARD.registers + offset("PROGRAM"), 0x1000)
        assert board.read(BOARD.registers + offset("PROGRAM")) == 0x1000
    board.buffer(name).invalidate()
    assert (board.buffer(name).array == 7).all()
    board.free(name)
    with pytest.raises(DeviceError, match="no buffer '1'"):
        board.free(name)
    board.close()
