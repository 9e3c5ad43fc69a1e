"""Executes programs on NumPy arrays, one descriptor after the other, as docs/hardware.md says.

Where the hardware works on several lanes at once, this works on them in order: of two lanes whose streams are both
bad, the one of the lower number is reported. Every row of a layer is computed before the first is written. A LOAD
beside a layer follows it, so of errors in both the layer's is reported; blocks of a LOAD follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..isa import (
    BEAT_BYTES,
    DESCRIPTOR,
    DESCRIPTOR_BYTES,
    SLOT_SHIFT_MAX,
    TABLE_SIZES,
    ErrorCode,
    Opcode,
    table_beats,
)
from ..model import requant
from .lanes import Layer, accumulate, wrap
from .layer import LayerReader
from .memory import UNDEFINED, Memory
from .report import Fault, Report
from .writeback import write_back

ADDRESS_MASK = (1 << 32) - 1


class Machine:
    """The activation memories (`x`, uint8 (lanes, x_bytes), undefined at first, kept between runs) and what works on
    them."""

    def __init__(self, config: Config, memory: Memory) -> None:
        self.config = config
        self.memory = memory
        self.x: NDArray[np.uint8] = np.full((config.lanes, config.x_bytes), UNDEFINED, np.uint8)
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
            lanes = slice(fields["lane_from"], fields["lane_to"])
            first = x_address + np.arange(nbytes)
            for block in range(fields["in_channels"]):
                place = (first + block * fields["in_plane"]) % self.config.x_bytes
                self.x[lanes, place] = self.fetch(data + fields["address"] + block * fields["stride"], nbytes)
        elif fields["opcode"] == Opcode.STORE:
            address = (data + fields["address"]) & ADDRESS_MASK
            if not self.memory.holds(address, nbytes):
                raise Fault(ErrorCode.AXI_WRITE)
            self.memory.view(address, nbytes)[...] = self.x[0, x_address : x_address + nbytes]
        else:
            self._layer(fields, self._reader.read(fields, program))

    def _layer(self, fields: Mapping[str, int], layer: Layer) -> None:
        maximum, length = bool(fields["maximum"]), fields["words"] * self.config.pixels
        sums: list[NDArray[np.int64]] = [np.zeros((0, length), np.int64)] * self.config.lanes
        for lanes in self._equal_lanes(layer):
            windows = self._windows(layer, lanes[0], length, maximum)
            results = accumulate(self.config, layer, lanes, windows, fields["slot_shift"], maximum)
            for lane, result in zip(lanes, results, strict=True):
                sums[lane] = total(result, self.config.acc_bits) if fields["total"] else result
        constants = layer.bias, layer.multiplier, layer.shift, fields["clamp_low"], fields["clamp_high"]
        outputs = requant(np.concatenate(sums)[None], *constants)[0]
        words, channels = np.repeat(layer.first_word, layer.rows), layer.channels
        if gathered := fields["gathered"]:
            words, channels, outputs = words[::gathered], channels[::gathered], gather(outputs, gathered)
        for first_word in np.unique(words):
            rows = np.flatnonzero(words == first_word)
            write_back(self.x, fields, layer.keep, int(first_word), channels[rows], outputs[rows])

    def _equal_lanes(self, layer: Layer) -> list[list[int]]:
        """Lanes with rows that begin at the same word and hold the same activations, so read the same windows."""
        equal: dict[tuple[int, bytes], list[int]] = {}
        for lane in range(self.config.lanes):
            if layer.rows[lane]:
                equal.setdefault((int(layer.first_word[lane]), self.x[lane].tobytes()), []).append(lane)
        return list(equal.values())

    def _windows(self, layer: Layer, lane: int, length: int, maximum: bool) -> NDArray[np.int8]:
        """(K, length) int8: the lane's activations from each position's address on, modulo the memory's size, and what
        stands for those that do not count."""
        wrapped = np.resize(self.x[lane], self.config.x_bytes + length).view(np.int8)
        windows = np.lib.stride_tricks.sliding_window_view(wrapped, length)[layer.addresses]
        counts = layer.reach.counts(int(layer.first_word[lane]) * self.config.pixels, length)
        if not counts.all():
            windows[~counts[layer.taps]] = -128 if maximum else 0
        return windows


def total(sums: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """The sum of all pixels of each row (R, P) in place of pixel 0, zeros in place of the others."""
    word = np.zeros_like(sums)
    word[:, 0] = wrap(sums.sum(axis=1), bits)
    return word


def gather(outputs: NDArray[np.int8], rows: int) -> NDArray[np.int8]:
    """Pixel 0 of `rows` rows of (R, P) to each word: (R / rows, P), zeros behind them."""
    words = np.zeros((len(outputs) // rows, outputs.shape[1]), np.int8)
    words[:, :rows] = outputs[:, 0].reshape(-1, rows)
    return words


def check_descriptor(config: Config, fields: Mapping[str, int]) -> None:
    """Fault BAD_DESCRIPTOR for an unknown opcode or a field that the configuration cannot hold."""
    opcode = fields["opcode"]
    if fields["address"] % BEAT_BYTES:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
    if opcode in (Opcode.LOAD, Opcode.STORE):
        end = fields["x_address"] + fields["beats"] * BEAT_BYTES
        good = fields["beats"] > 0 and fields["x_address"] % BEAT_BYTES == 0 and end <= config.x_bytes
        if opcode == Opcode.LOAD:
            good = good and fields["lane_from"] < fields["lane_to"] <= config.lanes and fields["in_channels"] > 0
            good = good and fields["in_plane"] % BEAT_BYTES == fields["stride"] % BEAT_BYTES == 0
        else:
            good = good and fields["lane_from"] == 0
    elif opcode == Opcode.LAYER:
        good = (
            0 < fields["taps"] <= config.taps
            and fields["in_channels"] > 0
            and 0 < fields["out_channels"] <= config.channels
            and 0 < 2 * fields["symbol_beats"] <= config.symbols
            and 0 < fields["code_tables"] <= config.code_tables
            and 0 < fields["words"] <= config.acc_words
            and fields["mask_beats"] <= config.masks
            and fields["phases"] > 0
            and fields["pitch"] > 0
            and fields["slot_shift"] <= SLOT_SHIFT_MAX
            and not (fields["gathered"] and not _gathers(config, fields))
            and not (fields["total"] and not _totals(fields))
            and fields["clamp_low"] <= fields["clamp_high"]
            and fields["beats"] == table_beats(config.lanes, *(fields[key] for key in TABLE_SIZES))
        )
    else:
        good = opcode == Opcode.END
    if not good:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)


def _gathers(config: Config, fields: Mapping[str, int]) -> bool:
    """Whether rows of this LAYER can leave gathered, and no column is written that they do not fill."""
    fits = fields["out_columns"] <= fields["gathered"] <= config.gathered_rows
    return fits and bool(fields["uniform"]) and not fields["maximum"] and fields["words"] == 1


def _totals(fields: Mapping[str, int]) -> bool:
    """Whether the pixels of this LAYER's words can be added up."""
    return fields["words"] == 1 and not fields["maximum"] and not fields["gathered"]
