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
from headrace.registers import REGISTERS, offset
from headrace.schedule import fresh_plan
from headrace.stream import Plan, encode_layer
from headrace.tables import channel_beats, code_beats, lane_beats, symbol_beats, tap_beats, to_bytes, xor
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
    """LOAD the whole activation memory, one layer, STORE it all.

    `weights` (M, taps * in_channels) int8; `fields` override the descriptor's, before (`signature` excepted) anything
    is checked. Bias 0, multiplier 1, shift 1 unless given: y = (acc + 1) >> 1.
    """

    config: Config
    weights: NDArray[np.int8]
    taps: tuple[int, ...] = (0,)
    plan: Plan | None = None
    bias: int = 0
    multiplier: int = 1
    shift: int = 1
    fields: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, positions = self.weights.shape
        words = self.fields.get("words", 1)
        plan = fresh_plan(self.weights, self.config.lanes, words) if self.plan is None else self.plan
        self.encoded = encode_layer(self.weights, plan, self.config.symbols)
        one = np.ones(rows, np.int64)
        constants = (self.bias * one, self.multiplier * one, self.shift * one)
        lowered = Lowered(self.weights, positions // len(self.taps), 1, self.taps, 1, *constants)
        streams = self.encoded.streams
        start = 4 * DESCRIPTOR_BYTES
        sizes = [len(stream) for stream in streams]
        tables = [
            code_beats(self.encoded.codes),
            tap_beats(self.taps),
            symbol_beats(self.encoded.codes),
            channel_beats(lowered, self.encoded.order),
        ]
        beats = 2 * self.config.lanes + sum(len(table) for table in tables)
        addresses = [start + 8 * beats + sum(sizes[:lane]) for lane in range(len(streams))]
        self.tables = to_bytes(lane_beats(addresses, self.encoded), *tables)
        self.streams = b"".join(streams)
        self.descriptor = {
            "opcode": Opcode.LAYER,
            "layer": 5,
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
            **self.fields,
        }

    def run(self, device: ModelDevice, x: NDArray[np.int8], **changes: int) -> NDArray[np.int8]:
        """The activation memory after the layer, x (at most x_bytes) before it; `changes` to the descriptor."""
        beats = self.config.x_bytes // 8
        data = np.zeros(self.config.x_bytes, np.int8)
        data[: x.size] = x
        signature = xor(self.tables, self.streams)
        program = [
            {"opcode": Opcode.LOAD, "beats": beats},
            {"signature": signature, **self.descriptor, **changes},
            {"opcode": Opcode.STORE, "beats": beats},
            {"opcode": Opcode.END},
        ]
        return run_program(device, program, self.tables + self.streams, data.view(np.uint8)).view(np.int8)

    def meaning(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """What docs/hardware.md says of that, one activation at a time."""
        d, size = self.descriptor, self.config.x_bytes
        before = np.zeros(size, np.int8)
        before[: x.size] = x
        after = before.copy()
        half = 1 << (self.config.acc_bits - 1)
        for channel, row in enumerate(self.encoded.order):
            for pixel in range(d["words"] * self.config.pixels):
                products = []
                for position, weight in enumerate(self.weights[row].tolist()):
                    if weight:
                        tap, column = divmod(position, d["in_channels"])
                        products.append(weight * int(before[(self.taps[tap] + column * d["in_plane"] + pixel) % size]))
                acc = max(products, default=0) if d.get("maximum") else sum(products)
                acc = (acc + half) % (2 * half) - half
                y = ((acc + self.bias) * self.multiplier + (1 << (self.shift - 1))) >> self.shift
                y = min(max(y, d["clamp_low"]), d["clamp_high"])
                h, w = divmod(pixel, d["pitch"])
                if w >= d["out_columns"] or h >= d["out_height"]:
                    continue
                at = d.get("x_address", 0) + channel * d["out_plane"]
                if d.get("split"):
                    at += h % 2 * d["row_phase"] + w % 2 * d["column_phase"]
                    h, w_at = h // 2, w // 2
                else:
                    w_at = w
                after[(at + h * d.get("out_pitch", 0) + w_at) % size] = y if w < d["out_width"] else 0
        return after


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
