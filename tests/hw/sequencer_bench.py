"""A datapath that only keeps time: memory, loader, tables, lanes and writer as far as the sequencer sees them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import reduce
from operator import xor
from typing import Any

from headrace.config import Config
from headrace.isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, TABLE_SIZES, ErrorCode, Opcode, table_beats
from headrace_hw.sequencer import Sequencer
from hw.axi_memory import word_at
from hw.streams import pattern, plain, simulate

CONFIG = Config("sequencer", lanes=3, pixels=4, x_words=64, acc_words=16, symbols=16, taps=8, channels=32)
PROGRAM, DATA = 0x1000, 0x80_0000
NOBODY = 255
RUN_CYCLES, RESULT_CYCLES = 8, 5
"""Of lanes; of the results, behind them."""
STREAM_BEATS = 5
STALLED = 2

Descriptor = dict[str, int]
END: Descriptor = {"opcode": Opcode.END}


def load(**fields: int) -> Descriptor:
    return {
        "opcode": Opcode.LOAD,
        "layer": 7,
        "beats": 3,
        "address": 0x40,
        "x_address": 8,
        "lane_to": 1,
        "in_channels": 1,
    } | fields


def store(**fields: int) -> Descriptor:
    return {"opcode": Opcode.STORE, "layer": 9, "beats": 2, "address": 0x80, "x_address": 16} | fields


def layer(**fields: int) -> Descriptor:
    """With the right number of beats and the right signature, unless `fields` say otherwise."""
    made = {"opcode": Opcode.LAYER, "layer": 4, "address": 0x200, "in_channels": 5, "taps": 2, "words": 3}
    made |= {"out_channels": 6, "symbol_beats": 2, "code_tables": 1, "pitch": 4}
    made |= {"mask_beats": 2, "phases": 1, "uniform": 0} | fields
    made.setdefault("beats", table_beats(CONFIG.lanes, *(made[name] for name in TABLE_SIZES)))
    made.setdefault("signature", signature(made))
    return made


def stream_word(n: int) -> int:
    return word_at(0xABC0 + 8 * n)


def signature(made: Descriptor) -> int:
    tables = [word_at(PROGRAM + made["address"] + BEAT_BYTES * n) for n in range(made["beats"])]
    return reduce(xor, tables + [stream_word(n) for n in range(STREAM_BEATS)])


class Bench:
    """The sequencer, what happened since the last start (`events`, `profile`, ...), and faults to inject."""

    def __init__(self, willing: str = "none") -> None:
        self.dut = Sequencer(CONFIG)
        self.willing: Iterator[bool] = pattern(willing, 1)
        self.words: dict[int, int] = {}
        self.bad: set[int] = set()
        self.bad_stream_beat: int | None = None
        self.write_fails = False
        self.run_long = False
        self.result_cycles = RESULT_CYCLES
        self.latency = 3
        self.forget()

    def forget(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.profile: list[dict[str, int]] = []
        self.failures: list[dict[str, int]] = []
        self.gaps: list[tuple[bool, int]] = []
        self.loads_beside = 0  # beats
        self.finished = self.busy_cycles = self.run_cycles = self.clear_cycles = 0

    def put(self, descriptors: list[Descriptor]) -> None:
        self.words.clear()
        for number, descriptor in enumerate(descriptors):
            word = DESCRIPTOR.pack(descriptor)
            for n in range(DESCRIPTOR_BYTES // BEAT_BYTES):
                address = PROGRAM + DESCRIPTOR_BYTES * number + BEAT_BYTES * n
                self.words[address] = word >> 64 * n & (1 << 64) - 1

    async def datapath(self, ctx: Any) -> None:
        dut = self.dut
        beats: deque[tuple[int, int, int, int, int]] = deque()  # data, error, of a block, lane, layer
        wait = load_busy = to_load = writing = tabling = 0
        tables_done, results_left, lanes_half = False, 0, 0
        lanes_left: int | None = None  # cycles; None: not started
        requested = 0  # layers whose streams have been
        ctx.set(dut.stalled_lanes, STALLED)
        while True:
            willing = next(self.willing)
            blocked = bool(beats) and beats[0][2] and not to_load and ctx.get(dut.blocks_wait)
            show = bool(beats) and not wait and willing and not blocked
            data, error, block, lane, half = beats[0] if show else (0x5A5A, 1, 1, 0, 0)
            shown = {"valid": show, "data": data, "error": error, "of_block": block, "lane": lane, "layer": half}
            ctx.set(dut.beat, [shown])
            blocks_wait = any(beat[2] for beat in beats)
            streams_wait = {beat[4] for beat in beats if not beat[2]}
            ctx.set(dut.o_read.ready, willing and not blocks_wait)
            ctx.set(dut.reader_idle, not beats)
            ctx.set(dut.streams_requested, not streams_wait)
            ctx.set(dut.streams_ended, lanes_half not in streams_wait)
            loading = to_load + load_busy > 0
            ctx.set(dut.load_busy, loading)
            ctx.set(dut.o_write.ready, willing and not writing)
            ctx.set(dut.writes_idle, not writing)
            ctx.set(dut.write_done, writing == 1)
            ctx.set(dut.write_error, writing == 2 and self.write_fails)
            ctx.set(dut.streams_known, tabling == 0 or sum(beat[2] for beat in beats) < 4)
            ctx.set(dut.table_done, tables_done)
            ctx.set(dut.lanes_idle, lanes_left == 0)
            ctx.set(dut.results_idle, results_left == 0)
            read_ready, write_ready = willing and not blocks_wait, willing and not writing
            signals = (dut.o_read.valid, dut.o_read.payload, dut.o_write.valid, dut.o_write.payload)
            strobes = (dut.load_start, dut.store_start, dut.table_start, dut.stream_request)
            starts = (dut.lanes_clear, dut.lanes_start, dut.coming_bank, dut.layer_start)
            states = (dut.tabling, dut.running, dut.clear, dut.forget, dut.busy, dut.finish, dut.fail)
            reports = (dut.error, dut.o_profile.valid, dut.o_profile.payload)
            _, _, *values = await ctx.tick().sample(*signals, *strobes, *starts, *states, *reports)
            read, block_read, write, block_write = values[:4]
            load_start, store_start, table_start, stream_request = values[4:8]
            lanes_clear, lanes_start, coming_bank, layer_start = values[8:12]
            tabling_now, running, clear, forget, busy, finish, fail = values[12:19]
            error_now, profiled, entry = values[19:]

            load_busy = max(load_busy - 1, 0)
            writing = max(writing - 1, 0)
            if tabling and not blocks_wait:
                tabling -= 1
                tables_done = tabling == 0
            if show:
                beats.popleft()
                if to_load:
                    to_load -= 1
                    self.loads_beside += running
                    load_busy = 4
            wait = max(wait - 1, 0)
            if read and read_ready:
                self.events.append(("read", block_read.address, block_read.beats))
                beats.extend(
                    (self.words.get(address, word_at(address)), int(address in self.bad), 1, 0, 0)
                    for address in range(block_read.address, block_read.address + 8 * block_read.beats, 8)
                )
                wait = self.latency
                if table_start:
                    tabling, tables_done = 2, False
            if load_start:
                coming = plain(ctx.get(dut.coming))
                to_load = coming["in_channels"] * coming["beats"]
                self.events.append(("load", coming["x_address"]))
            if forget:
                to_load = 0
            if stream_request:
                assert not streams_wait and ctx.get(dut.streams_known)
                beats.extend(
                    (stream_word(n), int(n == self.bad_stream_beat), 0, n % CONFIG.lanes, requested % 2)
                    for n in range(STREAM_BEATS)
                )
                requested += 1
            if forget:
                requested = 0
            assert store_start == (write and write_ready)
            if store_start:
                self.events.append(("write", block_write.address, block_write.beats))
                writing = 4 + block_write.beats
            results_left = max(results_left - 1, 0)
            if running:
                assert lanes_left is not None and not lanes_start
                results_left = self.result_cycles if lanes_left else results_left
                lanes_left = max(lanes_left - 1, 0)
            assert forget or not clear or results_left == 0, "results are lost"
            if lanes_clear:
                assert forget or lanes_left == 0, "rows are lost"
                lanes_left = None
            results_left = 0 if forget else results_left
            if lanes_start:
                assert tables_done, "the layer's tables have not arrived"
                assert lanes_left is None, "the lanes are those of another layer"
                lanes_left, lanes_half = 12 * RUN_CYCLES if self.run_long else RUN_CYCLES, coming_bank
            if layer_start:
                assert lanes_left is not None and results_left == 0
                self.events.append(("layer", ctx.get(dut.descriptor.layer)))
            self.gaps.append((bool(running or results_left), layer_start))
            assert running + clear <= 1 and not (loading and tabling_now)
            assert not (loading and running) or ctx.get(dut.coming.beside)
            self.busy_cycles += busy
            self.run_cycles += running
            self.clear_cycles += clear
            if finish:
                self.finished += 1
            if fail:
                self.failures.append(plain(error_now))
            if profiled:
                self.profile.append(plain(entry))

    async def start(self, ctx: Any, descriptors: list[Descriptor], **registers: int) -> None:
        dut = self.dut
        self.forget()
        self.put(descriptors)
        for name, value in ({"program": PROGRAM, "data": DATA, "watchdog": 0} | registers).items():
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)

    async def finish(self, ctx: Any) -> None:
        while ctx.get(self.dut.busy):
            await ctx.tick()
        await ctx.tick()
        assert not ctx.get(self.dut.busy) and not ctx.get(self.dut.clear)

    async def run(self, ctx: Any, descriptors: list[Descriptor], **registers: int) -> None:
        await self.start(ctx, descriptors, **registers)
        await self.finish(ctx)

    def failed(self, code: ErrorCode, lane: int = NOBODY, layer: int = NOBODY, descriptor: int = 0) -> None:
        assert self.failures == [{"code": code, "lane": lane, "layer": layer, "descriptor": descriptor}]
        assert not self.finished

    def simulate(self, bench: Any, cycles: int = 20_000) -> None:
        simulate(self.dut, bench, background=[self.datapath], cycles=cycles)


WHOLE = [load(), layer(), layer(layer=5, address=0x300), store(), END]
