"""A program's descriptors one after the other: what the front fetches ahead, when each layer begins and ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config
from ..device.layer import read_codes, split_tables
from ..image import Image
from ..isa import BEAT_BYTES, DESCRIPTOR_BYTES, LANE_ROWS, LANE_STREAM, Opcode
from . import costs
from .costs import IntArray
from .emission import Run, emit
from .lanes import LaneStream, RowTimes, SymbolTimes, read_stream, row_times, symbol_times
from .memory import Memory, Port

DESCRIPTOR_BEATS = DESCRIPTOR_BYTES // BEAT_BYTES


@dataclass(frozen=True)
class DescriptorCycles:
    """One descriptor's share of a run, in cycles."""

    start: int
    end: int
    """When the next one may begin; from start to interrupt where it is END."""
    cycles: int
    """Since the descriptor before ended, as the device's profile counts."""
    run: Run | None
    """Of a layer."""
    tables_wait: int
    """How long a layer's tables kept it from starting when the one before had ended."""
    stream_wait: int
    """How much longer the layer took than if every beat of its streams had been there."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """What a LAYER descriptor's tables say."""

    fields: Mapping[str, int]
    lanes: list[int]
    """Number of each lane's stream among all streams."""
    writes: list[int]


class Timeline:
    """Runs an image's program, descriptor by descriptor."""

    def __init__(self, image: Image, memory: Memory) -> None:
        self.image, self.config, self.memory = image, image.config, memory
        self.streams: list[tuple[LaneStream, int]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self.layers = [_read(self, fields) for fields in image.program if fields["opcode"] == Opcode.LAYER]
        self.times = symbol_times(self.streams)

    def run(self) -> list[DescriptorCycles]:
        """All descriptors, END included."""
        ports = [Port(self.memory, self.config) for _ in range(self.config.read_ports)]
        layers = iter(self.layers)
        result: list[DescriptorCycles] = []
        front = 2  # from start to the first descriptor's request
        idle = requested = 0  # when the back has ended its layer, when that layer's streams were requested
        for fields in self.image.program:
            before = result[-1].end if result else 0
            checked = ports[0].block(front, DESCRIPTOR_BEATS) + costs.DESCRIPTOR_CHECK
            if fields["opcode"] != Opcode.LAYER:
                begin = max(checked, idle) + 1
                end = begin + self._transfer(fields, begin, ports)
                result.append(DescriptorCycles(begin, end, end - before, None, 0, 0))
                front, idle = end + 1, end
                continue
            layer = next(layers)
            tables = ports[0].block(checked, fields["beats"]) + costs.TABLE_CHECK
            asked = max(tables, requested)
            start = max(asked + 1, idle + costs.LAYER_GAP)
            run, requested, wait = self._layer(layer, ports, asked, start)
            end = start + costs.FIRST_SYMBOL + run.end + costs.DRAIN
            result.append(DescriptorCycles(start, end, end - before, run, start - idle - costs.LAYER_GAP, wait))
            front, idle = start + 2, end
        return result

    def _transfer(self, fields: Mapping[str, int], begin: int, ports: Sequence[Port]) -> int:
        """Cycles of LOAD, STORE and END."""
        beat_cycles = max(1, BEAT_BYTES // self.config.pixels)
        if fields["opcode"] == Opcode.LOAD:
            arrived = ports[0].block(begin, fields["beats"], beat_cycles)
            return arrived + beat_cycles + costs.LOAD_END - begin
        if fields["opcode"] == Opcode.STORE:
            return costs.STORE_START + fields["beats"] * beat_cycles + self.memory.latency
        return 1

    def _layer(self, layer: _Layer, ports: Sequence[Port], asked: int, start: int) -> tuple[Run, int, int]:
        """The run from `start` on, when the last burst of its streams was requested, and what waiting for beats cost."""
        fields, lanes = layer.fields, len(layer.lanes)
        streams = [self.streams[number][0] for number in layer.lanes]
        arrivals: list[IntArray] = [np.zeros(0, np.int64)] * lanes
        for number, port in enumerate(ports):
            own = range(number, lanes, len(ports))
            for lane, times in zip(own, port.streams(asked, [streams[n].beats for n in own]), strict=True):
                arrivals[lane] = times - start
        ready: dict[int, RowTimes] = {}
        delayed = []
        for number, stream, arrival in zip(layer.lanes, streams, arrivals, strict=True):
            times = self.times[number]
            there = arrival[stream.beat] + (costs.BEAT_TO_SYMBOL - costs.FIRST_SYMBOL)
            late = np.maximum.accumulate(np.maximum(there - times.decoded, 0))
            if late.any():
                taken = np.maximum(times.taken, times.decoded + late + costs.ADDRESS_DELAY)
                taken = np.maximum.accumulate(taken - np.cumsum(stream.wraps + 1)) + np.cumsum(stream.wraps + 1)
                delayed.append(row_times(stream, SymbolTimes(times.decoded + late, taken), fields["words"]))
            else:
                if number not in ready:
                    ready[number] = row_times(stream, times, fields["words"])
                delayed.append(ready[number])
        run = emit(delayed, fields["words"], bool(fields["maximum"]), layer.writes)
        requested = asked
        for number, port in enumerate(ports):
            for lane in range(number, lanes, len(ports)):
                requested = max(requested, start + costs.FIRST_SYMBOL + self._last_request(streams[lane], run.begins[lane]))
            requested = max(requested, port.requested)
        return run, requested, 0

    def _last_request(self, stream: LaneStream, begins: list[int]) -> int:
        """When a lane has taken enough beats that there is room for the last ones, at most a burst."""
        needed = stream.beats - self.config.fifo_beats
        if needed <= 0 or not stream.rows:
            return -(1 << 60)
        symbol = int(np.searchsorted(stream.beat, needed))
        ends = np.flatnonzero(stream.end)
        row = int(np.searchsorted(ends, min(symbol, stream.beat.size - 1)))
        first = ends[row - 1] + 1 if row else 0
        part = (symbol - first) / (ends[row] - first + 1)
        return round(begins[row] + part * (begins[row + 1] - begins[row]))


def _read(timeline: Timeline, fields: Mapping[str, int]) -> _Layer:
    image, config = timeline.image, timeline.config
    beats = np.frombuffer(image.blob, "<u8", fields["beats"], fields["address"])
    streams, rows, _, code_tables, _, _, symbols, _ = split_tables(beats, config.lanes, fields)
    codes, lanes, writes = None, [], []
    for place, entry in zip(map(LANE_STREAM.unpack, map(int, streams)), map(LANE_ROWS.unpack, map(int, rows)), strict=True):
        key = (place["address"], place["beats"], entry["rows"], entry["table"], fields["in_channels"], fields["words"])
        if key not in timeline._known:
            codes = codes or read_codes(code_tables, symbols)
            data = image.blob[place["address"] : place["address"] + place["beats"] * BEAT_BYTES]
            timeline._known[key] = len(timeline.streams)
            stream = read_stream(codes, data, entry["rows"], fields["in_channels"], entry["table"])
            timeline.streams.append((stream, fields["words"]))
        lanes.append(timeline._known[key])
        writes.append(costs.write_cycles(fields, entry["first_row"], entry["first_word"], config.pixels))
    return _Layer(fields, lanes, writes)
