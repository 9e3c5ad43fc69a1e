"""A program's descriptors one after the other: what the front fetches ahead, when each layer begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from ..device.layer import read_codes, split_tables
from ..device.report import Fault
from ..errors import StreamError
from ..image import Image
from ..isa import BEAT_BYTES, DESCRIPTOR_BYTES, LANE_ROWS, LANE_STREAM, LANE_TABLES, Opcode
from . import costs
from .costs import IntArray
from .emission import Run, Taken, emit
from .front import NEVER, After, Block, Blocks, Front
from .lanes import LaneStream, RowTimes, SymbolTimes, read_stream, row_times, symbol_times
from .memory import Memory, Port, StreamNeed

DESCRIPTOR_BEATS = DESCRIPTOR_BYTES // BEAT_BYTES


@dataclass(frozen=True)
class DescriptorCycles:
    """One descriptor's share of a run, in cycles."""

    start: int
    end: int
    """When the next one may begin; from start to interrupt where it is END."""
    cycles: int
    """Since the descriptor before ended, as the device's profile counts: without the cycle in which it ends."""
    run: Run | None
    """Of a layer."""
    tables_wait: int
    """How long a layer's tables kept it from starting when the one before had ended."""
    stream_waits: int
    """How long lanes waited for beats of their streams, all lanes together."""


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
        self._streams: list[tuple[LaneStream, int]] = []
        """Each with the words of its rows; equal ones once."""
        self._known: dict[tuple[int, ...], int] = {}
        program = enumerate(image.program)
        self._layers = [self._read(number, fields) for number, fields in program if fields["opcode"] == Opcode.LAYER]
        self._times = symbol_times(self._streams)

    def _read(self, number: int, fields: Mapping[str, int]) -> _Layer:
        """A layer's tables and streams, of the descriptor of that number."""
        for name in ("in_channels", "words", "pitch"):
            if fields[name] == 0:
                raise StreamError(f"descriptor {number}: {name} is 0")
        beats = np.frombuffer(self.image.blob, "<u8", fields["beats"], fields["address"])
        streams, rows, _, code_tables, _, _, symbols, _ = split_tables(beats, self.config.lanes, fields)
        try:
            codes = read_codes(code_tables, symbols)
        except Fault:
            raise StreamError(f"descriptor {number}: its tables are those of no code") from None
        lanes, writes = [], []
        for stream, row in zip(streams, rows, strict=True):
            place, entry = LANE_STREAM.unpack(int(stream)), LANE_ROWS.unpack(int(row))
            key = (
                place["address"],
                place["beats"],
                entry["rows"],
                entry["table"],
                fields["in_channels"],
                fields["words"],
            )
            if key not in self._known:
                self._known[key] = len(self._streams)
                data = self.image.blob[place["address"] : place["address"] + place["beats"] * BEAT_BYTES]
                read = read_stream(codes, data, entry["rows"], fields["in_channels"], entry["table"])
                self._streams.append((read, fields["words"]))
            lanes.append(self._known[key])
            writes.append(costs.write_cycles(fields, entry["first_row"], self.config.pixels))
        return _Layer(fields, lanes, writes)

    def run(self) -> list[DescriptorCycles]:
        """All descriptors, END included."""
        ports = [Port(self.memory, self.config) for _ in range(self.config.read_ports)]
        program, layers = self.image.program, iter(self._layers)
        result: list[DescriptorCycles] = []
        idle = requested = 0.0  # when the back had ended its layer, when that layer's streams were requested
        left = NEVER  # when that layer had left the lanes
        number, ahead = 0, self._ahead(2, 0)
        while number < len(program):
            fields = program[number]
            number += 1
            before = result[-1].end + 1 if result else 1
            if fields["opcode"] != Opcode.LAYER:
                begin = max(ahead.finish(ports[0])[-1] + costs.DESCRIPTOR_CHECK, idle) + 1
                idle, left = begin + self._transfer(fields, begin, ports), NEVER
                result.append(DescriptorCycles(round(begin), round(idle), round(idle) - before, None, 0, 0))
                ahead = self._ahead(begin + costs.NEXT_DESCRIPTOR, number, idle + costs.NEXT_DESCRIPTOR)
                continue
            asked = max(ahead.reach_mark(ports[0]) + costs.STREAMS_KNOWN, requested)
            beside = list(takewhile(lambda one: one["opcode"] == Opcode.LOAD and one["beside"], program[number:]))
            tables, ahead = ahead, self._ahead(2, number, beside=beside)
            front = Front(ports[0], tables, asked + 1, left, idle, ahead)
            run, requested, waits = self._layer(next(layers), ports, asked, front, ahead, beside)
            tables_wait = max(round(front.start - idle) - costs.LAYER_GAP, 0)
            left = front.begin + run.left + costs.LANES_LEFT
            idle = front.begin + run.end + costs.DRAIN + costs.TOTAL_DELAY * fields["total"]
            result.append(
                DescriptorCycles(round(front.start), round(idle), round(idle) - before, run, tables_wait, waits)
            )
            result += self._loads_beside(beside, ahead, result[-1].end, ports[0], run.loads_late)
            ahead.delay(run.loads_late)
            number += len(beside)
        return result

    def _ahead(self, time: float, number: int, taken: float = 0.0, beside: Sequence[Mapping[str, int]] = ()) -> Blocks:
        """What the front fetches from descriptor `number` on, asked for at `time`, the descriptor itself taken from
        `taken` on: LOADs beside a layer, and for the descriptor behind them what it needs before it can run."""
        blocks, after = list[Block](), After.DESCRIPTOR
        for load in beside:
            blocks += [Block(DESCRIPTOR_BEATS, after), *self._load_blocks(load)]
            after = After.LOAD
        if number + len(beside) < len(self.image.program):
            fields = self.image.program[number + len(beside)]
            blocks.append(Block(DESCRIPTOR_BEATS, after))
            if fields["opcode"] == Opcode.LAYER:
                blocks.append(Block(fields["beats"]))
        return Blocks(time, blocks, LANE_TABLES * self.config.lanes, taken)

    def _load_blocks(self, fields: Mapping[str, int]) -> list[Block]:
        """Those that come over port 0: of as many as there are on others, or one more."""
        ports, count = self.config.read_ports, fields["in_channels"]
        own = -(-count // ports)
        beat_cycles = max(1 / self.memory.beats_per_cycle, costs.written_beat_cycles(self.config.pixels))
        first = Block(fields["beats"], After.DESCRIPTOR, max(1.0, count / own * beat_cycles))
        return [first, *[replace(first, after=After.BLOCK)] * (own - 1)]

    def _blocks_of(self, loads: Sequence[Mapping[str, int]]) -> Iterator[tuple[int, int]]:
        """Which of the blocks ahead each LOAD beside a layer has: that of its descriptor, and its last one."""
        last = -1
        for load in loads:
            descriptor, last = last + 1, last + 1 + len(self._load_blocks(load))
            yield descriptor, last

    def _loads_beside(
        self, loads: Sequence[Mapping[str, int]], ahead: Blocks, end: int, port: Port, late: float
    ) -> list[DescriptorCycles]:
        """LOADs beside a layer that ends at `end` and keeps them for `late` cycles: what each takes longer."""
        result = list[DescriptorCycles]()
        for descriptor, last in self._blocks_of(loads):
            begin = round(ahead.reach(descriptor, port) + costs.DESCRIPTOR_CHECK) + 1
            done = round(ahead.reach(last, port) + costs.LOAD_END + late)
            cycles = max(done - end - 1, 0)
            end = max(done, end)
            result.append(DescriptorCycles(begin, end, cycles, None, 0, 0))
        return result

    def _transfer(self, fields: Mapping[str, int], begin: float, ports: Sequence[Port]) -> float:
        """Cycles of LOAD, STORE and END."""
        if fields["opcode"] == Opcode.LOAD:
            return Blocks(begin, self._load_blocks(fields)).finish(ports[0])[-1] + costs.LOAD_END - begin
        if fields["opcode"] == Opcode.STORE:
            beat_cycles = max(1, BEAT_BYTES // self.config.pixels)
            return costs.STORE_START + fields["beats"] * beat_cycles + self.memory.latency
        return 1

    def _taken(
        self, loads: Sequence[Mapping[str, int]], ahead: Blocks, port: Port, lanes_begin: float
    ) -> Iterator[Taken]:
        """What LOADs beside a layer take of the write-back, since its lanes began."""
        for load, (descriptor, last) in zip(loads, self._blocks_of(loads), strict=True):
            end = ahead.reach(last, port)
            cycles = load["beats"] * load["in_channels"] * costs.written_beat_cycles(self.config.pixels)
            begin = min(ahead.began[descriptor + 1], end - cycles)
            yield Taken(begin - lanes_begin, end - lanes_begin, cycles)

    def _layer(
        self,
        layer: _Layer,
        ports: Sequence[Port],
        asked: float,
        front: Front,
        ahead: Blocks,
        beside: Sequence[Mapping[str, int]],
    ) -> tuple[Run, float, int]:
        """The run whose streams are asked for at `asked`, when the last of their bursts was requested,
        `stream_waits`. LOADs `beside` it are the first blocks `ahead`."""
        fields, lanes = layer.fields, len(layer.lanes)
        needs = [self._need(number) for number in layer.lanes]
        arrivals: list[list[float]] = [[]] * lanes
        requested = asked
        for number, port in enumerate(ports):
            own = range(number, lanes, len(ports))
            begun, last = port.serve(asked, [needs[lane] for lane in own], front)
            front.finish_tables()
            requested = max(requested, last)
            for lane, one in zip(own, begun, strict=True):
                arrivals[lane] = one
        ready: dict[int, RowTimes] = {}
        rows, waits = [], 0
        for number, arrival in zip(layer.lanes, arrivals, strict=True):
            (stream, words), times = self._streams[number], self._times[number]
            late = self._late(stream, times, np.array(arrival) - front.begin)
            if late is None:
                if number not in ready:
                    ready[number] = row_times(stream, times, words)
                rows.append(ready[number])
            else:
                waits += int(late[-1])
                steps = np.cumsum(stream.wraps + 1)
                taken = np.maximum(times.taken, times.decoded + late + costs.ADDRESS_DELAY)
                taken = np.maximum.accumulate(taken - steps) + steps
                rows.append(row_times(stream, SymbolTimes(times.decoded + late, taken), words))
        taken = list(self._taken(beside, ahead, ports[0], front.begin))
        run = emit(rows, fields["words"], layer.writes, bool(fields["maximum"]), fields["gathered"], taken)
        return run, requested, waits

    def _bursts(self, stream: LaneStream) -> IntArray:
        """First beat of each burst."""
        first = min(costs.FIRST_BEATS, self.config.burst_beats)
        return np.append(0, np.arange(first, stream.beats, self.config.burst_beats))[: stream.beats]

    def _need(self, number: int) -> StreamNeed:
        """When a lane wants the bursts of its stream."""
        stream, firsts = self._streams[number][0], self._bursts(self._streams[number][0])
        beats = np.diff(firsts, append=stream.beats).tolist()
        if not stream.rows:
            return StreamNeed(beats, [0.0] * firsts.size, *[[-NEVER] * firsts.size] * 2)
        decoded = self._times[number].decoded
        last = decoded.size - 1
        needed = decoded[np.minimum(np.searchsorted(stream.beat, firsts), last)]

        def when_taken(beats: IntArray) -> list[float]:
            place = np.minimum(np.searchsorted(stream.beat, beats - 1), last)
            result: list[float] = np.where(beats <= 0, -NEVER, decoded[place]).tolist()
            return result

        burst = self.config.burst_beats
        return StreamNeed(
            beats, needed.tolist(), when_taken(firsts + burst - self.config.fifo_beats), when_taken(firsts - burst // 2)
        )

    def _late(self, stream: LaneStream, times: SymbolTimes, arrival: NDArray[np.float64]) -> IntArray | None:
        """How much later each symbol is decoded as its beats arrive then; None where they are all in time."""
        if not stream.rows:
            return None
        firsts = self._bursts(stream)
        burst = np.searchsorted(firsts, stream.beat, side="right") - 1
        there = np.ceil(arrival[burst] + stream.beat - firsts[burst]).astype(np.int64) + costs.BEAT_TO_SYMBOL
        late = np.maximum.accumulate(np.maximum(there - times.decoded, 0))
        return late if late[-1] else None
