"""The sequencer: runs a program of descriptors, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config
from headrace.isa import NOBODY, ErrorCode, Opcode

from .burst import Block
from .csr import ERROR, Profile
from .layouts import layout
from .shapes import ERROR_CODE_BITS

DESCRIPTOR = layout(isa.DESCRIPTOR)
DESCRIPTOR_BEATS = isa.DESCRIPTOR_BYTES // isa.BEAT_BYTES


class Sequencer(wiring.Component):
    """Fetches descriptors and runs them; see `isa.Opcode`.

    The first error ends the program: `fail` pulses with `error`, then the sequencer stays busy, holding `clear`, until
    the AXI masters and all that writes activations are idle, and can be started anew. `clear` also follows each layer.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                # Registers
                "start": In(1),
                "abort": In(1),
                "program": In(32),
                "data": In(32),
                "watchdog": In(32),
                "busy": Out(1),
                "finish": Out(1),
                "fail": Out(1),
                "error": Out(ERROR),
                "cycles": Out(32),
                "o_profile": Out(stream.Signature(Profile, always_ready=True)),
                # Reads of blocks; every beat of the reader passes by `beat_*`
                "o_read": Out(stream.Signature(Block)),
                "beat_valid": In(1),
                "beat_data": In(64),
                "beat_error": In(1),
                "beat_of_block": In(1),
                "beat_lane": In(8),
                "reader_idle": In(1),
                # Writes
                "o_write": Out(stream.Signature(Block)),
                "write_done": In(1),
                "write_error": In(1),
                "writes_idle": In(1),
                # Datapath
                "descriptor": Out(DESCRIPTOR),
                "loading": Out(1),
                "load_start": Out(1),
                "load_busy": In(1),
                "store_start": Out(1),
                "table_start": Out(1),
                "tabling": Out(1),
                "table_done": In(1),
                "layer_start": Out(1),
                "running": Out(1),
                "layer_idle": In(1),
                "clear": Out(1),
                "lane_error": In(config.lanes),
                "lane_error_code": In(ERROR_CODE_BITS).array(config.lanes),
                "stalled_lanes": In(range(config.lanes + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        descriptor = self.descriptor
        address = Signal(32)
        number = Signal(8)
        profiled = Signal(range(isa.BEAT_BYTES * 8 + 1))
        left = Signal(32)
        signature = Signal(64)
        spent, stall = Signal(32), Signal(32)
        draining, fetching = Signal(), Signal()
        fault = Signal(ErrorCode)
        fault_lane = Signal(8)
        working = Signal()

        m.d.comb += [
            self.busy.eq(working | draining),
            self.clear.eq(draining),
            fault_lane.eq(NOBODY),
        ]
        with m.If(working):
            m.d.sync += [self.cycles.eq(self.cycles + 1), spent.eq(spent + 1)]
            with m.If(self.running):
                m.d.sync += stall.eq(stall + self.stalled_lanes)
            with m.If(self.beat_valid & ~fetching):
                m.d.sync += signature.eq(signature ^ self.beat_data)

        def profile() -> list:
            return [
                self.o_profile.valid.eq(~profiled[-1]),
                self.o_profile.payload.index.eq(profiled),
                self.o_profile.payload.cycles.eq(spent),
                self.o_profile.payload.stall.eq(stall),
            ]

        @contextmanager
        def state(name: str) -> Iterator[None]:
            """A state that any fault ends."""
            with m.State(name):
                yield
                with m.If(self.fail):
                    m.next = "DRAIN"

        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        working.eq(1),
                        address.eq(self.program),
                        number.eq(0),
                        profiled.eq(0),
                        self.cycles.eq(0),
                        spent.eq(0),
                        stall.eq(0),
                    ]
                    m.next = "POINTERS"
            with state("POINTERS"):
                m.d.comb += fetching.eq(1)
                with m.If((self.program[:3] | self.data[:3]).any()):
                    m.d.comb += fault.eq(ErrorCode.BAD_POINTER)
                m.next = "FETCH"

            with state("FETCH"):
                m.d.comb += [
                    fetching.eq(1),
                    self.o_read.valid.eq(1),
                    self.o_read.payload.address.eq(address),
                    self.o_read.payload.beats.eq(DESCRIPTOR_BEATS),
                ]
                m.d.sync += left.eq(DESCRIPTOR_BEATS)
                with m.If(self.o_read.ready):
                    m.next = "DESCRIPTOR"
            with state("DESCRIPTOR"):
                m.d.comb += fetching.eq(1)
                with m.If(self.beat_valid):
                    m.d.sync += [
                        descriptor.as_value().eq(Cat(descriptor.as_value()[64:], self.beat_data)),
                        left.eq(left - 1),
                    ]
                    with m.If(left == 1):
                        m.next = "CHECK"
            with state("CHECK"):
                m.d.sync += [left.eq(descriptor.beats), signature.eq(0)]
                with m.Switch(descriptor.opcode):
                    with m.Case(Opcode.END):
                        m.next = "END"
                    with m.Case(Opcode.LOAD):
                        m.next = "LOAD"
                    with m.Case(Opcode.STORE):
                        m.next = "STORE"
                    with m.Case(Opcode.LAYER):
                        m.next = "TABLES"
                with m.If(~self._valid(m)):
                    m.d.comb += fault.eq(ErrorCode.BAD_DESCRIPTOR)

            with state("LOAD"):
                m.d.comb += [
                    self.o_read.valid.eq(1),
                    self.o_read.payload.address.eq(descriptor.address + self.data),
                    self.o_read.payload.beats.eq(descriptor.beats),
                    self.load_start.eq(1),
                ]
                with m.If(self.o_read.ready):
                    m.next = "LOADING"
            with state("LOADING"):
                m.d.comb += self.loading.eq(1)
                with m.If(self.beat_valid):
                    m.d.sync += left.eq(left - 1)
                with m.If((left == 0) & ~self.load_busy):
                    m.next = "NEXT"

            with state("STORE"):
                m.d.comb += [
                    self.o_write.valid.eq(1),
                    self.o_write.payload.address.eq(descriptor.address + self.data),
                    self.o_write.payload.beats.eq(descriptor.beats),
                    self.store_start.eq(self.o_write.ready),
                ]
                with m.If(self.o_write.ready):
                    m.next = "STORING"
            with state("STORING"):
                with m.If(self.write_done):
                    m.next = "NEXT"

            with state("TABLES"):
                m.d.comb += [
                    self.o_read.valid.eq(1),
                    self.o_read.payload.address.eq(descriptor.address + self.program),
                    self.o_read.payload.beats.eq(descriptor.beats),
                    self.table_start.eq(1),
                ]
                with m.If(self.o_read.ready):
                    m.next = "TABLING"
            with state("TABLING"):
                m.d.comb += self.tabling.eq(1)
                with m.If(self.table_done):
                    m.d.comb += self.layer_start.eq(1)
                    m.next = "RUN"
            with state("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.layer_idle):
                    m.next = "VERIFY"
            with state("VERIFY"):
                m.d.comb += self.clear.eq(1)
                with m.If(signature != descriptor.signature):
                    m.d.comb += fault.eq(ErrorCode.SIGNATURE)
                m.next = "NEXT"

            with state("NEXT"):
                m.d.comb += profile()
                m.d.sync += [
                    address.eq(address + isa.DESCRIPTOR_BYTES),
                    number.eq(number + 1),
                    profiled.eq(profiled + ~profiled[-1]),
                    spent.eq(0),
                    stall.eq(0),
                ]
                m.next = "FETCH"
            with state("END"):
                m.d.comb += [self.finish.eq(1), *profile()]
                m.d.sync += working.eq(0)
                m.next = "IDLE"

            with m.State("DRAIN"):
                m.d.comb += draining.eq(1)
                with m.If(self.reader_idle & self.writes_idle):
                    m.next = "IDLE"

        # Whatever comes first, in order of how much it explains.
        with m.If(working):
            with m.If((self.watchdog != 0) & (spent >= self.watchdog)):
                m.d.comb += fault.eq(ErrorCode.WATCHDOG)
            with m.If(self.abort):
                m.d.comb += fault.eq(ErrorCode.ABORTED)
            for n in reversed(range(self._config.lanes)):
                with m.If(self.lane_error[n]):
                    m.d.comb += [fault.eq(self.lane_error_code[n]), fault_lane.eq(n)]
            with m.If(self.write_error):
                m.d.comb += [fault.eq(ErrorCode.AXI_WRITE), fault_lane.eq(NOBODY)]
            with m.If(self.beat_valid & self.beat_error):
                m.d.comb += [
                    fault.eq(ErrorCode.AXI_READ),
                    fault_lane.eq(Mux(self.beat_of_block, NOBODY, self.beat_lane)),
                ]
            with m.If(fault != ErrorCode.NONE):
                m.d.comb += [
                    self.finish.eq(0),
                    self.fail.eq(1),
                    self.error.code.eq(fault),
                    self.error.lane.eq(fault_lane),
                    self.error.layer.eq(Mux(fetching, NOBODY, descriptor.layer)),
                    self.error.descriptor.eq(number),
                ]
                m.d.sync += working.eq(0)
        return m

    def _valid(self, m: Module) -> Signal:
        """Whether this configuration can hold what the descriptor asks for."""
        config, descriptor = self._config, self.descriptor
        beats = (
            isa.LANE_TABLES * config.lanes
            + isa.CODE_BEATS * descriptor.code_tables
            + descriptor.taps
            + descriptor.mask_beats
            + descriptor.symbol_beats
            + descriptor.out_channels
        )
        fits = Signal()
        with m.Switch(descriptor.opcode):
            with m.Case(Opcode.END):
                m.d.comb += fits.eq(1)
            with m.Case(Opcode.LOAD, Opcode.STORE):
                end = descriptor.x_address + (descriptor.beats << 3)
                aligned = ~descriptor.x_address[:3].any()
                lanes = (descriptor.lane_from < descriptor.lane_to) & (descriptor.lane_to <= config.lanes)
                m.d.comb += fits.eq(
                    (descriptor.beats != 0)
                    & aligned
                    & (end <= config.x_bytes)
                    & (lanes | (descriptor.opcode == Opcode.STORE))
                )
            with m.Case(Opcode.LAYER):
                m.d.comb += fits.eq(
                    (descriptor.in_channels != 0)
                    & (descriptor.taps != 0)
                    & (descriptor.taps <= config.taps)
                    & (descriptor.mask_beats <= config.masks)
                    & (descriptor.phases != 0)
                    & (descriptor.words != 0)
                    & (descriptor.words <= config.acc_words)
                    & (descriptor.out_channels != 0)
                    & (descriptor.out_channels <= config.channels)
                    & (descriptor.symbol_beats != 0)
                    & (descriptor.symbol_beats <= config.symbols // 2)
                    & (descriptor.code_tables != 0)
                    & (descriptor.code_tables <= config.code_tables)
                    & (descriptor.pitch != 0)
                    & (descriptor.slot_shift <= isa.SLOT_SHIFT_MAX)
                    & (descriptor.clamp_low <= descriptor.clamp_high)
                    & (descriptor.beats == beats)
                )
        return fits & ~descriptor.address[:3].any()
