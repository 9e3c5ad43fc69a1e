"""Executes programs on NumPy arrays, one descriptor after the other, as docs/hardware.md says.

Where the hardware works on several lanes at once, this works on them in order: of two lanes whose streams are both
bad, the one of the lower number is reported. Every row of a layer is computed before the first is written.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, SLOT_SHIFT_MAX, ErrorCode, Opcode, table_beats
from ..model import requant
from .lanes import Layer, accumulate
from .layer import LayerReader
from .memory import UNDEFINED, Memory
from .report import Fault, Report

ADDRESS_MASK = (1 << 32) - 1


class Machine:
    """The activation memory (`x`, uint8 (x_bytes,), undefined at first, kept between runs) and what works on it."""

    def __init__(self, config: Config, memory: Memory) -> None:
        self.config = config
        self.memory = memory
        self.x: NDArray[np.uint8] = np.full(config.x_bytes, UNDEFINED, np.uint8)
        self._reader = LayerReader(config, self.fetch)

    def run(self, program: int, data: int) -> Report:
        """Execute the program at address `program` until END or the first fault."""
        if program % BEAT_BYTES or data % BEAT_BYTES:
            return Report(ErrorCode.BAD_POINTER)
        index, layer = 0, 0
        try:
            while True:
                raw = self.fetch(program + index * DESCRIPTOR_BYTES, DESCRIPTOR_BYTES)
                fields = DESCRIPTOR.unpack(int.from_bytes(raw.tobytes(), "little"))
                layer = fields["layer"]
                check_descriptor(self.config, fields)
                if fields["opcode"] == Opcode.END:
                    return Report(ErrorCode.NONE)
                self._execute(fields, program, data)
                index += 1
        except Fault as fault:
            return Report(fault.code, fault.lane, layer, index)

    def fetch(self, address: int, nbytes: int) -> NDArray[np.uint8]:
        """(nbytes,) uint8 view of device memory; Fault AXI_READ outside of it."""
        address &= ADDRESS_MASK
        if not self.memory.holds(address, nbytes):
            raise Fault(ErrorCode.AXI_READ)
        return self.memory.view(address, nbytes)

    def _execute(self, fields: Mapping[str, int], program: int, data: int) -> None:
        x_address, nbytes = fields["x_address"], fields["beats"] * BEAT_BYTES
        if fields["opcode"] == Opcode.LOAD:
            self.x[x_address : x_address + nbytes] = self.fetch(data + fields["address"], nbytes)
        elif fields["opcode"] == Opcode.STORE:
            address = (data + fields["address"]) & ADDRESS_MASK
            if not self.memory.holds(address, nbytes):
                raise Fault(ErrorCode.AXI_WRITE)
            self.memory.view(address, nbytes)[...] = self.x[x_address : x_address + nbytes]
        else:
            self._layer(fields, self._reader.read(fields, program))

    def _layer(self, fields: Mapping[str, int], layer: Layer) -> None:
        windows = self._windows(layer.addresses, fields["words"] * self.config.pixels)
        acc = accumulate(self.config, layer, windows, fields["slot_shift"], bool(fields["maximum"]))
        result = requant(
            acc[None], layer.bias, layer.multiplier, layer.shift, fields["clamp_low"], fields["clamp_high"]
        )[0]
        self._write_back(fields, layer.channels, result)

    def _windows(self, addresses: NDArray[np.int64], length: int) -> NDArray[np.int8]:
        """(K, length) int8: `length` activations from each address on, modulo the memory's size."""
        wrapped = np.resize(self.x, self.x.size + length).view(np.int8)
        return np.lib.stride_tricks.sliding_window_view(wrapped, length)[addresses]

    def _write_back(self, fields: Mapping[str, int], channels: NDArray[np.int64], result: NDArray[np.int8]) -> None:
        """result: int8 (R, pixels), row i of output channel channels[i]."""
        h, w = np.divmod(np.arange(result.shape[1]), fields["pitch"])
        plane = pixel_offsets(fields, h, w)
        written = (h < fields["out_height"]) & (w < fields["out_columns"])
        values = np.where(w < fields["out_width"], result, 0).astype(np.int8)[:, written]
        start = fields["x_address"] + channels[:, None] * fields["out_plane"]
        self.x[(start + plane[written]) % self.x.size] = values.view(np.uint8)


def pixel_offsets(fields: Mapping[str, int], h: NDArray[np.int64], w: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes from the start of an output channel to its pixels (h, w)."""
    if not fields["split"]:
        return h * fields["out_pitch"] + w
    phase = (h % 2) * fields["row_phase"] + (w % 2) * fields["column_phase"]
    return phase + (h // 2) * fields["out_pitch"] + w // 2


def check_descriptor(config: Config, fields: Mapping[str, int]) -> None:
    """Fault BAD_DESCRIPTOR for an unknown opcode or a field that the configuration cannot hold."""
    opcode = fields["opcode"]
    if fields["address"] % BEAT_BYTES:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
    if opcode in (Opcode.LOAD, Opcode.STORE):
        end = fields["x_address"] + fields["beats"] * BEAT_BYTES
        good = fields["beats"] > 0 and fields["x_address"] % BEAT_BYTES == 0 and end <= config.x_bytes
    elif opcode == Opcode.LAYER:
        good = (
            0 < fields["taps"] <= config.taps
            and fields["in_channels"] > 0
            and 0 < fields["out_channels"] <= config.channels
            and 0 < 2 * fields["symbol_beats"] <= config.symbols
            and 0 < fields["code_tables"] <= config.code_tables
            and 0 < fields["words"] <= config.acc_words
            and fields["pitch"] > 0
            and fields["slot_shift"] <= SLOT_SHIFT_MAX
            and fields["clamp_low"] <= fields["clamp_high"]
            and fields["beats"]
            == table_beats(
                config.lanes, fields["code_tables"], fields["taps"], fields["symbol_beats"], fields["out_channels"]
            )
        )
    else:
        good = opcode == Opcode.END
    if not good:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
