"""Runs an artifact on a device: one driver for the model, the simulated RTL and the board."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .artifact import Artifact
from .device import Device
from .device.base import Closing
from .errors import ConfigError, DataError, DeviceError
from .isa import ISA_VERSION, NOBODY, ErrorCode, Opcode
from .registers import MAGIC, PROFILE_ENTRIES, REGISTERS, offset

IDLE_POLLS = 100_000
IDLE_SECONDS = 5.0
"""How often, and how long, a device is asked whether it has come to idle."""
Progress = Callable[[int, int], None]
"""Called after every run with the number of images done and of all."""


@dataclass(frozen=True, eq=False)
class LayerCycles:
    """Clock cycles of one layer in every run, (R,) int64, all its strips together.

    None where the device counts nothing for it: only the first PROFILE_ENTRIES descriptors have counters.
    """

    name: str
    cycles: NDArray[np.int64] | None
    stall_cycles: NDArray[np.int64] | None
    """Cycles in which a lane with rows left did no multiplication, summed over lanes."""
    images: int
    """Of all runs together."""

    @property
    def mean_cycles(self) -> float | None:
        """Cycles an image; None without counters or images."""
        return _mean(self.cycles, self.images)

    @property
    def mean_stall_cycles(self) -> float | None:
        """Stall cycles an image; None without counters or images."""
        return _mean(self.stall_cycles, self.images)


@dataclass(frozen=True, eq=False)
class Result:
    """Outputs of N images and what they took."""

    outputs: NDArray[np.int8]
    """(N, *image.output_shape), channels in the network's order."""
    cycles: NDArray[np.int64]
    """(R,) clock cycles of each run of `image.batch` images, loads and stores included; 0 on a device without clock."""
    layers: tuple[LayerCycles, ...]
    seconds: float
    """Wall time on the host for all images, copies included."""
    clock_mhz: float | None
    """Clock that the cycles refer to; None where there is no real one."""

    @property
    def mean_cycles(self) -> float | None:
        """Cycles an image; None without images."""
        return _mean(self.cycles, len(self.outputs))


class Session(Closing):
    """An artifact, loaded onto a device. Several sessions can live on one device, each with its own buffers.

    Raises DeviceError where the device is no headrace accelerator or has no room, ConfigError where it was built for
    another instruction set or configuration than the artifact.
    """

    def __init__(self, device: Device, artifact: Artifact) -> None:
        self.device = device
        self.artifact = artifact
        self._image = artifact.image
        self._profiled = self._counters()
        self._check_identity()
        self._program = device.allocate(max(1, len(self._image.blob)))
        try:
            self._data = device.allocate(max(1, self._image.data_bytes))
        except DeviceError:
            self._program.free()
            raise
        self._closed = False
        self._program.array[: len(self._image.blob)] = np.frombuffer(self._image.blob, np.uint8)
        self._program.flush()

    def run(self, x: NDArray[np.int8], progress: Progress | None = None, timeout_seconds: float = 60.0) -> Result:
        """Run x int8 (N, C, H, W), `image.batch` images at a time; zeros fill up the last ones.

        `timeout_seconds` is for one run. DataError for another dtype or shape. DeviceError where the device stops with
        an error, which says code, lane and layer, or does not end in time; no output of any image is returned then.
        """
        if self._closed:
            raise DeviceError("the session was closed")
        x, shape = np.asarray(x), self._image.input_shape
        if x.dtype != np.int8 or x.shape[1:] != shape:
            wanted = ", ".join(map(str, ("N", *shape)))
            raise DataError(f"{self._image.network}: input must be int8 ({wanted}), not {x.dtype} {x.shape}")
        outputs = np.zeros((len(x), *self._image.output_shape), np.int8)
        starts = range(0, len(x), self._image.batch)
        cycles = np.zeros(len(starts), np.int64)
        counters = np.zeros((len(starts), len(self._profiled), 2), np.int64)
        started = time.perf_counter()
        for index, start in enumerate(starts):
            part = x[start : start + self._image.batch]
            outputs[start : start + len(part)] = self._run_once(part, timeout_seconds)[: len(part)]
            cycles[index] = self._read("CYCLES")
            for layer, descriptors in enumerate(self._profiled):
                for descriptor in descriptors:
                    counters[index, layer, 0] += self._read("PROFILE", 2 * descriptor)
                    counters[index, layer, 1] += self._read("PROFILE", 2 * descriptor + 1)
            if progress is not None:
                progress(start + len(part), len(x))
        seconds = time.perf_counter() - started
        layers = tuple(
            LayerCycles(info.name, counters[:, i, 0], counters[:, i, 1], len(x))
            if self._profiled[i]
            else LayerCycles(info.name, None, None, len(x))
            for i, info in enumerate(self._image.layers)
        )
        return Result(outputs, cycles, layers, seconds, self.device.clock_mhz)

    def close(self) -> None:
        """Stop the device and free the buffers, not the device; a second call does nothing.

        DeviceError where it does not stop; the buffers, which it may still write to, then stay as long as the device.
        """
        if not self._closed:
            self._closed = True
            self._idle()
            self._data.free()
            self._program.free()

    def _run_once(self, x: NDArray[np.int8], timeout_seconds: float) -> NDArray[np.int8]:
        image, data = self._image, self._data
        packed = np.frombuffer(image.pack_input(x), np.uint8)
        self._idle()
        data.array[image.input_offset : image.input_offset + packed.size] = packed
        data.flush()
        self._write("PROGRAM", value=self._program.address)
        self._write("DATA", value=data.address)
        self._write("INTERRUPT", enable=1)
        try:
            self._write("CONTROL", start=1)
            self._wait(timeout_seconds)
        except BaseException:
            with suppress(DeviceError):
                self._idle()
            raise
        self._write("CONTROL", clear=1)
        data.invalidate()
        output = data.array[image.output_offset : image.output_offset + image.output_bytes]
        return image.unpack_output(output.tobytes())

    def _wait(self, timeout_seconds: float) -> None:
        """Return once the program has ended well; DeviceError where it ends otherwise or not in time."""
        try:
            self.device.wait(timeout_seconds)
        except DeviceError as error:
            raise DeviceError(f"{error}; {self._state()}") from error
        status = self._fields("STATUS")
        if status["error"]:
            raise DeviceError(self._error())
        if not status["done"]:
            raise DeviceError(f"interrupt without a result; {self._state()}")

    def _idle(self) -> None:
        """Bring the device to idle with no result, error or interrupt left: while busy it ignores a start.

        An abort means nothing to an idle device, nor to one that only finishes its transfers after an error. Reads
        move a simulated device on. DeviceError where it stays busy.
        """
        self._write("CONTROL", abort=1)
        deadline = time.monotonic() + IDLE_SECONDS
        for _ in range(IDLE_POLLS):
            if not self._fields("STATUS")["busy"]:
                self._write("CONTROL", clear=1)
                return
            if time.monotonic() > deadline:
                break
        raise DeviceError(
            f"{self._state()}; it does not stop, as its memory leaves a transfer unanswered: reset it or load its "
            "bitstream again"
        )

    def _counters(self) -> list[list[int]]:
        """For every layer its descriptors in the program; none where one of them has no counters."""
        every = (self._image.descriptors_of(info) for info in self._image.layers)
        return [own if own and own[-1] < PROFILE_ENTRIES else [] for own in every]

    def _check_identity(self) -> None:
        magic = self._read("MAGIC")
        if magic != MAGIC:
            raise DeviceError(
                f"device {self.device.name}: MAGIC is {magic:#010x}, not {MAGIC:#010x}: no headrace accelerator "
                "is at this address; check that its bitstream is loaded"
            )
        version = self._read("VERSION")
        if version != ISA_VERSION:
            raise ConfigError(
                f"device {self.device.name}: VERSION is {version:#x}, this headrace drives {ISA_VERSION:#x}; "
                "load a bitstream of this version"
            )
        built, wanted = self._read("CONFIG"), self.artifact.config.hash
        if built != wanted:
            raise ConfigError(
                f"device {self.device.name}: CONFIG is {built:#010x}, the artifact was compiled for {wanted:#010x} "
                f"({self.artifact.config.name}); compile it for the device's configuration or load the other bitstream"
            )

    def _error(self) -> str:
        """What ERROR says, in words."""
        fields = self._fields("ERROR")
        codes = {int(code): code.name for code in ErrorCode}
        code = codes.get(fields["code"], f"unknown code {fields['code']}")
        lane = "" if fields["lane"] == NOBODY else f", lane {fields['lane']}"
        layer = self._place(fields["descriptor"], fields["layer"])
        return f"device {self.device.name}: {code}{lane}, {layer}, descriptor {fields['descriptor']}"

    def _place(self, descriptor: int, layer: int) -> str:
        """The layer at work, or the transfer; `descriptor` is modulo 256, LOAD and STORE carry no layer number."""
        descriptors = self._image.descriptors()
        opcode = descriptors[descriptor]["opcode"] if descriptor < len(descriptors) <= 256 else Opcode.LAYER
        if opcode != Opcode.LAYER:
            return Opcode(opcode).name
        names = [info.name for info in self._image.layers]
        return f"layer {names[layer]!r}" if layer < len(names) else f"layer number {layer}"

    def _state(self) -> str:
        """Status and counters, for a device that did not end."""
        flags = ", ".join(name for name, value in self._fields("STATUS").items() if value) or "idle"
        stalls = " ".join(str(self._read("STALL", lane)) for lane in range(self.artifact.config.lanes))
        return (
            f"device {self.device.name} is {flags} after {self._read('CYCLES')} cycles, stall cycles by lane: {stalls}"
        )

    def _read(self, name: str, index: int = 0) -> int:
        return self.device.read(offset(name, index))

    def _fields(self, name: str) -> dict[str, int]:
        return REGISTERS[name].record.unpack(self._read(name))

    def _write(self, name: str, **fields: int) -> None:
        self.device.write(offset(name), REGISTERS[name].record.pack(fields))


def _mean(values: NDArray[np.int64] | None, images: int) -> float | None:
    return None if values is None or images == 0 else float(values.sum() / images)
