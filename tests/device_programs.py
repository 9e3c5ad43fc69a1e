"""For tests of devices: programs of one layer made by hand, the plainest meaning of a layer, a device that lies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import Config, get_config
from headrace.device.model import ModelDevice
from headrace.device.report import Report
from headrace.isa import DESCRIPTOR, DESCRIPTOR_BYTES, ErrorCode, Opcode
from headrace.layers import Lowered
from headrace.network import MaxPool2d, Network
from headrace.placement import Tap
from headrace.registers import REGISTERS, offset
from headrace.schedule import fresh_plan
from headrace.stream import Plan, encode_layer
from headrace.tables import (
    KEEP_ALL,
    channel_beats,
    code_beats,
    lane_beats,
    mask_beats,
    symbol_beats,
    tap_beats,
    to_bytes,
    xor,
)
from networks import conv2d, linear

BASE = 0x2000_0000
MEMORY_BYTES = 1 << 16
SMALL = get_config("small")


@dataclass(frozen=True)
class Error:
    """The ERROR register."""

    code: ErrorCode
    lane: int
    layer: int
    descriptor: int


def open_model(config: Config) -> ModelDevice:
    return ModelDevice(config, memory_bytes=MEMORY_BYTES, memory_base=BASE)


def error_of(device: ModelDevice) -> Error:
    fields = REGISTERS["ERROR"].record.unpack(device.read(offset("ERROR")))
    return Error(ErrorCode(fields["code"]), fields["lane"], fields["layer"], fields["descriptor"])


def run_program(
    device: ModelDevice, program: list[dict[str, int]], tail: bytes = b"", data: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Run descriptors followed by `tail`, with `data` in the data region; its bytes afterwards."""
    packed = b"".join(DESCRIPTOR.pack(values).to_bytes(DESCRIPTOR_BYTES, "little") for values in program) + tail
    code = device.allocate(len(packed))
    region = device.allocate(64 if data is None else data.size)
    code.array[...] = np.frombuffer(packed, np.uint8)
    region.array[...] = 0 if data is None else data.view(np.uint8)
    for buffer in (code, region):
        buffer.flush()
    device.write(offset("PROGRAM"), code.address)
    device.write(offset("DATA"), region.address)
    device.write(offset("INTERRUPT"), 1)
    device.write(offset("CONTROL"), 1)
    device.wait(1)
    region.invalidate()
    result = region.array.copy()
    for buffer in (code, region):
        buffer.free()
    return result


@dataclass
class LayerProgram:
    """LOAD every lane's activation memory, one layer, STORE them all.

    `weights` (M, taps * in_channels) int8; `fields` override the descriptor's, before (`signature` excepted) anything
    is checked. Bias 0, multiplier 1, shift 1 unless given: y = (acc + 1) >> 1. A bias can be one of each row.

    `reach` are the taps' (mask, shift, end), by default such that everything counts; `mask_table` are the entries of
    all masks. `first_words` and `keep` are the lanes', by default 0 and everything.
    """

    config: Config
    weights: NDArray[np.int8]
    taps: tuple[int, ...] = (0,)
    plan: Plan | None = None
    bias: int | tuple[int, ...] = 0
    multiplier: int = 1
    shift: int = 1
    fields: dict[str, int] = field(default_factory=dict)
    reach: tuple[tuple[int, int, int], ...] = ()
    mask_table: tuple[int, ...] = ()
    first_words: tuple[int, ...] = ()
    keep: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        rows, positions = self.weights.shape
        words = self.fields.get("words", 1)
        plan = fresh_plan(self.weights, self.config.lanes, words) if self.plan is None else self.plan
        self.encoded = encode_layer(self.weights, plan, self.config.symbols)
        one = np.ones(rows, np.int64)
        constants = (self.biases, self.multiplier * one, self.shift * one)
        self.reach = self.reach or ((0, 0, (1 << 16) - 1),) * len(self.taps)
        self.first_words = self.first_words or (0,) * self.config.lanes
        self.keep = self.keep or (KEEP_ALL,) * self.config.lanes
        taps = tuple(Tap(at, shift, end, 0, 0) for at, (_, shift, end) in zip(self.taps, self.reach, strict=True))
        masks = tuple(mask for mask, _, _ in self.reach)
        phases = self.fields.get("phases", 1)
        channels = positions // len(self.taps)
        lowered = Lowered(self.weights, channels, 1, taps, masks, self.mask_table, phases, 1, *constants)
        streams = self.encoded.streams
        start = (2 + 2 * self.config.lanes) * DESCRIPTOR_BYTES
        sizes = [len(stream) for stream in streams]
        tables = [
            code_beats(self.encoded.codes),
            tap_beats(lowered, 1 << 20),
            mask_beats(lowered),
            symbol_beats(self.encoded.codes),
            channel_beats(lowered, self.encoded.order),
        ]
        beats = 3 * self.config.lanes + sum(len(table) for table in tables)
        addresses = [start + 8 * beats + sum(sizes[:lane]) for lane in range(len(streams))]
        self.tables = to_bytes(lane_beats(addresses, self.encoded, self.first_words, self.keep), *tables)
        self.streams = b"".join(streams)
        self.descriptor = {
            "opcode": Opcode.LAYER,
            "layer": 5,
            "uniform": lowered.uniform,
            "beats": beats,
            "address": start,
            "in_channels": lowered.in_channels,
            "taps": len(self.taps),
            "in_plane": 1,
            "words": words,
            "out_channels": rows,
            "code_tables": len(self.encoded.codes),
            "symbol_beats": len(symbol_beats(self.encoded.codes)),
            "clamp_low": -128,
            "clamp_high": 127,
            "pitch": words * self.config.pixels,
            "out_width": words * self.config.pixels,
            "out_columns": words * self.config.pixels,
            "out_height": 1,
            "out_plane": words * self.config.pixels,
            "slot_shift": (words - 1).bit_length(),
            "mask_beats": len(self.mask_table),
            "phases": phases,
            **self.fields,
        }

    @property
    def biases(self) -> NDArray[np.int64]:
        """(M,)"""
        return np.broadcast_to(np.array(self.bias, np.int64), len(self.weights))

    def run_lanes(self, device: ModelDevice, x: NDArray[np.int8], **changes: int) -> NDArray[np.int8]:
        """All lanes' memories (lanes, x_bytes) after the layer, x the same before; `changes` to the descriptor."""
        moves = [
            {"beats": x.shape[1] // 8, "address": lane * x.shape[1], "lane_from": lane, "lane_to": lane + 1}
            for lane in range(len(x))
        ]
        self._run(device, x, moves, [], changes)
        return device.machine.x.view(np.int8).copy()  # a program can store lane 0's only

    def run(self, device: ModelDevice, x: NDArray[np.int8], **changes: int) -> NDArray[np.int8]:
        """Lane 0's memory after the layer, x (at most x_bytes) in every lane's before it; `changes` to the descriptor.
        The layer is descriptor 1.
        """
        move = {"beats": self.config.x_bytes // 8, "lane_to": self.config.lanes}
        return self._run(device, self._filled(x)[:1], [move], [move], changes)[0]

    def _run(
        self,
        device: ModelDevice,
        x: NDArray[np.int8],
        loads: list[dict[str, int]],
        stores: list[dict[str, int]],
        changes: dict[str, int],
    ) -> NDArray[np.int8]:
        signature = xor(self.tables, self.streams)
        program = [
            *({"opcode": Opcode.LOAD, "in_channels": 1, **load} for load in loads),
            {"signature": signature, **self.descriptor, **changes},
            *({"opcode": Opcode.STORE, **store} for store in stores),
        ]
        program += [{"opcode": Opcode.END}] * (2 + 2 * self.config.lanes - len(program))
        data = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        return run_program(device, program, self.tables + self.streams, data).view(np.int8).reshape(x.shape)

    def _filled(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        memory = np.zeros((self.config.lanes, self.config.x_bytes), np.int8)
        memory[:, : x.size] = x
        return memory

    def meaning(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """What docs/hardware.md says of `run`, one activation at a time."""
        return self.meaning_lanes(self._filled(x))[0]

    def meaning_lanes(self, before: NDArray[np.int8]) -> NDArray[np.int8]:
        """What docs/hardware.md says of `run_lanes`."""
        d, after = self.descriptor, before.copy()
        half, p = 1 << (self.config.acc_bits - 1), self.config.pixels
        lane_of = np.repeat(np.arange(self.config.lanes), self.encoded.lane_rows)
        for channel, (row, lane) in enumerate(zip(self.encoded.order, lane_of, strict=True)):
            for pixel in range(1 if d.get("gathered") else d["words"] * p):
                read = range(p if pixel == 0 else 0) if d.get("total") else [pixel]
                products = [
                    int(weight) * self._read(before[lane], lane, position, one)
                    for position, weight in enumerate(self.weights[row])
                    for one in read
                    if weight
                ]
                acc = max(products, default=0) if d.get("maximum") else sum(products)
                acc = (acc + half) % (2 * half) - half
                y = ((acc + int(self.biases[row])) * self.multiplier + (1 << (self.shift - 1))) >> self.shift
                y = min(max(y, d["clamp_low"]), d["clamp_high"])
                flat, to = self.first_words[lane] * p + pixel, channel
                if rows := d.get("gathered"):
                    flat, to = flat + channel % rows, channel - channel % rows
                self._write(after, to, flat, y if flat % d["pitch"] < d["out_width"] else 0)
        return after

    def _read(self, memory: NDArray[np.int8], lane: int, position: int, pixel: int) -> int:
        d, p = self.descriptor, self.config.pixels
        tap, column = divmod(position, d["in_channels"])
        mask, shift, end = self.reach[tap]
        word, bit = self.first_words[lane] + pixel // p, pixel % p
        counts = not mask or self.mask_table[(mask - 1) * d["phases"] + word % d["phases"]] >> bit & 1
        if not counts or not 0 <= word * p + bit + shift < end:
            return -128 if d.get("maximum") else 0
        return int(memory[(self.taps[tap] + column * d["in_plane"] + pixel) % memory.size])

    def _write(self, after: NDArray[np.int8], channel: int, flat: int, y: int) -> None:
        """Lanes keep a piece, what lies in one row of one word, or of two and in one phase plane, by the half
        word that it starts in, by the whole words below that."""
        d, p = self.descriptor, self.config.pixels
        (h, w), start = divmod(flat, d["pitch"]), flat
        if h >= d["out_height"] or w >= d["out_columns"]:
            return
        near, pitch = (2 if d.get("split") else 1), d.get("out_pitch", 0)

        def taken(number: int) -> int:
            """Words of the row up to this pixel, or pairs of them."""
            return (number // p - h * d["pitch"] // p) // near

        while start - near >= h * d["pitch"] and taken(start - near) == taken(flat):
            start -= near
        pixels = [number % d["pitch"] for number in (flat, start)]
        if d.get("split"):
            phase = h % 2 * d["row_phase"] + w % 2 * d["column_phase"]
            number, first = (h // 2 * pitch + pixel // 2 for pixel in pixels)
        else:
            phase = 0
            number, first = (h * pitch + pixel for pixel in pixels)
        if d.get("flat"):
            number, first = flat, flat // p * p
        half = p // 2 if p >= 4 else p
        at = d.get("x_address", 0) + channel * d["out_plane"] + phase + number
        for lane, (keep_from, keep_to) in enumerate(self.keep):
            if keep_from <= first // half < keep_to:
                after[lane, (at - keep_from * half // p * p) % after.shape[1]] = y


def make(seed: int = 0, config: Config = SMALL) -> tuple[Network, Artifact]:
    """Convolution, pooling and linear layer, so every opcode and both modes of LAYER."""
    rng = np.random.default_rng(seed)
    layers = (conv2d(rng, "conv", (5, 2, 3, 3), relu=False), MaxPool2d("pool"), linear(rng, "fc", (6, 20)))
    network = Network("net", (2, 6, 6), 1 / 128, 0.125, layers)
    return network, Artifact(compile_network(network, config))


class Fake(ModelDevice):
    """A model device some of whose registers read as given: a number, or the next of a sequence.

    After an error or abort it drains, as the accelerator does: for the next `drain` reads of STATUS it is busy and
    ignores a start.
    """

    name = "fake"
    clock_mhz = 100.0

    def __init__(self, config: Config = SMALL, **options: int) -> None:
        super().__init__(config, **options)
        self.registers: dict[int, int | Iterator[int]] = {}
        self.writes: list[tuple[int, int]] = []
        self.drain = self.draining = 0

    def read(self, offset: int) -> int:
        value = self.registers.get(offset)
        if value is not None:
            return value if isinstance(value, int) else next(value)
        busy = offset == REGISTERS["STATUS"].offset and self.draining > 0
        self.draining -= busy
        return super().read(offset) | busy

    def write(self, offset: int, value: int) -> None:
        self.writes.append((offset, value))
        if offset == REGISTERS["CONTROL"].offset and self.draining:
            value &= ~1
        super().write(offset, value)

    def _end(self, report: Report) -> None:
        super()._end(report)
        if report.code is not ErrorCode.NONE:
            self.draining = self.drain
