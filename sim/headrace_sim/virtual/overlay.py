"""Overlays of the virtual board: a .bit that names a configuration in place of holding one, and the .hwh beside it."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from headrace.config import Config
from headrace.errors import ConfigError, DataError
from headrace.files import replacing
from headrace.registers import ADDRESS_BITS, REGISTERS
from headrace_hw.boards import Board

from .systems import system_of

MARK = b"headrace virtual bitstream\n"


def write_overlay(board: Board, config: Config, folder: Path) -> Path:
    """The .bit in `folder`, the .hwh beside it. A board keeps firmware by name, so that the name holds the hash."""
    path = folder / f"headrace-{config.name}-{config.hash:08x}.bit"
    with replacing(path, make_folder=True) as file:
        file.write(bit_file(board, config))
    with replacing(path.with_suffix(".hwh")) as file:
        file.write(hardware_handoff(board))
    return path


def bit_file(board: Board, config: Config) -> bytes:
    """A .bit file: Xilinx's header of four strings, then the configuration as JSON in place of frames.

    Words are stored as in a real file, most significant byte first; pynq swaps them on their way to the board. The
    header names the board: pynq takes files of one content for one overlay and keeps the first one's description.
    """
    payload = MARK + json.dumps(asdict(config), sort_keys=True).encode()
    payload += b" " * (-len(payload) % 4)
    swapped = b"".join(payload[n : n + 4][::-1] for n in range(0, len(payload), 4))
    header = struct.pack(">H9sH", 9, bytes.fromhex("0ff00ff00ff00ff000"), 1)
    for key, text in zip(
        b"abcd", (f"headrace {config.name} {board.name}", board.part, "2026/01/01", "00:00:00"), strict=True
    ):
        value = text.encode() + b"\0"
        header += struct.pack(">BH", key, len(value)) + value
    return header + b"e" + struct.pack(">I", len(swapped)) + swapped


def read_firmware(data: bytes) -> Config:
    """What a board programs itself with, back to its configuration. DataError for anything else."""
    if not data.startswith(MARK):
        raise DataError("the bitstream is not one of the virtual board's (headrace board --virtual writes those)")
    try:
        return Config(**json.loads(data[len(MARK) :]))
    except (ValueError, TypeError, ConfigError) as error:
        raise DataError(f"the virtual bitstream is damaged: {error}") from None


def hardware_handoff(board: Board) -> bytes:
    """The .hwh: processing system and accelerator, its registers and their address, in Vivado's XML."""
    system = ElementTree.Element("EDKSYSTEM", EDWVERSION="1.2", VIVADOVERSION="virtual")
    device = board.part.partition("-")[0].partition("clg")[0]
    ElementTree.SubElement(system, "SYSTEMINFO", ARCH=system_of(board).arch, DEVICE=device, NAME="headrace")
    ElementTree.SubElement(system, "EXTERNALPORTS")
    ElementTree.SubElement(system, "EXTERNALINTERFACES")
    modules = ElementTree.SubElement(system, "MODULES")
    _processing_system(modules, board)
    _accelerator(modules)
    return ElementTree.tostring(system, encoding="utf-8", xml_declaration=True)


def _module(parent: ElementTree.Element, name: str, vlnv: str, in_logic: str) -> ElementTree.Element:
    kind = vlnv.split(":")[2]
    return ElementTree.SubElement(
        parent, "MODULE", INSTANCE=name, FULLNAME=f"/{name}", MODTYPE=kind, VLNV=vlnv, IS_PL=in_logic
    )


def _processing_system(parent: ElementTree.Element, board: Board) -> None:
    system = system_of(board)
    module = _module(parent, f"{system.kind}_0", f"xilinx.com:ip:{system.kind}:{system.version}", "FALSE")
    parameters = ElementTree.SubElement(module, "PARAMETERS")
    for name, value in (*system.clocks(board.clock_mhz).items(), *system.further):
        ElementTree.SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)
    ElementTree.SubElement(module, "PORTS")
    _bus(module, system.master, "MASTER")
    ranges = ElementTree.SubElement(module, "MEMORYMAP")
    ElementTree.SubElement(
        ranges,
        "MEMRANGE",
        ADDRESSBLOCK="reg0",
        BASEVALUE=f"{board.registers:#010x}",
        HIGHVALUE=f"{board.registers + (1 << ADDRESS_BITS) - 1:#010x}",
        INSTANCE="headrace_0",
        MASTERBUSINTERFACE=system.master,
        MEMTYPE="REGISTER",
        SLAVEBUSINTERFACE="s_axi",
    )


def _accelerator(parent: ElementTree.Element) -> None:
    module = _module(parent, "headrace_0", "headrace:user:headrace:1.0", "TRUE")
    blocks = ElementTree.SubElement(module, "ADDRESSBLOCKS")
    block = ElementTree.SubElement(
        blocks, "ADDRESSBLOCK", INTERFACE="s_axi", NAME="reg0", RANGE=str(1 << ADDRESS_BITS), USAGE="register"
    )
    registers = ElementTree.SubElement(block, "REGISTERS")
    access = {"ro": "read-only", "rw": "read-write", "wo": "write-only"}
    for register in REGISTERS.values():
        if register.count > 1:
            continue  # arrays of counters: a register map names single registers
        element = ElementTree.SubElement(registers, "REGISTER", NAME=register.name)
        _properties(element, DESCRIPTION=register.doc, ADDRESS_OFFSET=f"{register.offset:#x}", SIZE="32")
        _properties(element, ACCESS=access[register.access], IS_ENABLED="true", RESET_VALUE=f"{register.reset:#x}")
        fields = ElementTree.SubElement(element, "FIELDS")
        lowest = 0
        for field in register.fields:
            part = ElementTree.SubElement(fields, "FIELD", NAME=field.name)
            _properties(part, DESCRIPTION=field.doc, BIT_OFFSET=str(lowest), BIT_WIDTH=str(field.width))
            _properties(part, ACCESS=access[register.access])
            lowest += field.width
    ElementTree.SubElement(module, "PORTS")
    _bus(module, "s_axi", "SLAVE")


def _bus(module: ElementTree.Element, name: str, kind: str) -> None:
    buses = ElementTree.SubElement(module, "BUSINTERFACES")
    ElementTree.SubElement(buses, "BUSINTERFACE", NAME=name, TYPE=kind, VLNV="xilinx.com:interface:aximm:1.0")


def _properties(parent: ElementTree.Element, **values: str) -> None:
    for name, value in values.items():
        ElementTree.SubElement(parent, "PROPERTY", NAME=name, VALUE=value)
