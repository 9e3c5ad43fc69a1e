"""The front of the sequencer: fetches descriptors, prepares layers, loads and stores."""

from __future__ import annotations

from functools import partial

from amaranth import Cat, Module, Mux, Signal
from amaranth.hdl import ValueLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config
from headrace.isa import NOBODY, ErrorCode, Opcode
from headrace.registers import PROFILE_ENTRIES

from .burst import Block
from .counters import Ordinal
from .descriptors import CHECK_CYCLES, DESCRIPTOR, valid_descriptor
from .reads import Beat
from .states import state_until

DESCRIPTOR_BEATS = isa.DESCRIPTOR_BYTES // isa.BEAT_BYTES


class Front(wiring.Component):
    """Fetches the descriptors of `program`, one after the other, into `coming`, and does what they say, but for running
    layers: of a layer it has the tables loaded, into half `coming_bank`, and the streams requested; then it is
    `offered`, until the back takes it at `layer_start`. The other kinds wait for `back_idle`, but for a LOAD `beside` a
    layer.

    `ordinal` is that of `coming`; `layer` is the layer number for error reports, NOBODY while no descriptor has come.
    `ends` (a pulse): a descriptor of another kind has ended, `beside` a layer or not; never together with `back_ends`.

    `working`: from `start` (a pulse while not `busy`) to END, at which `finish` pulses unless something is `wrong`, or
    to `fail`. After `fail` it holds `forget` until the AXI masters are idle; `busy` is either. `fault`: the program or
    data pointer or the descriptor is bad.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                # The program
                "start": In(1),
                "program": In(32),
                "data": In(32),
                "busy": Out(1),
                "working": Out(1),
                "finish": Out(1),
                "fault": Out(ErrorCode),
                "wrong": In(1),
                "fail": In(1),
                "forget": Out(1),
                # The present descriptor
                "coming": Out(DESCRIPTOR),
                "coming_bank": Out(1),
                "ordinal": Out(Ordinal),
                "layer": Out(8),
                "ends": Out(1),
                "beside": Out(1),
                # The back
                "offered": Out(1),
                "layer_start": In(1),
                "back_idle": In(1),
                "back_ends": In(1),
                # Reads: blocks, and what arrives over the first port
                "o_read": Out(stream.Signature(Block)),
                "read_port": Out(1),
                "block": In(Beat),
                "blocks_wait": Out(1),
                "reader_idle": In(1),
                "streams_known": In(1),
                "stream_request": Out(1),
                "streams_requested": In(1),
                "table_start": Out(1),
                "tabling": Out(1),
                "table_done": In(1),
                "load_start": Out(1),
                "load_busy": In(1),
                # Writes
                "o_write": Out(stream.Signature(Block)),
                "store_start": Out(1),
                "write_done": In(1),
                "writes_idle": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        state = partial(state_until, m, self.fail, "DRAIN")
        coming, number, profiled = self.coming, self.ordinal.number, self.ordinal.profiled
        address, following = Signal(32), Signal(32)  # of the descriptor and the next
        left = Signal(range(max(DESCRIPTOR_BEATS, CHECK_CYCLES) + 1))  # beats of a descriptor, cycles of its check
        valid = valid_descriptor(m, coming, self._config)
        blocks, port = Signal(16), Signal()  # of a LOAD, not requested yet; of the next one
        requested = Signal()  # the coming layer's streams
        asked, moved = Signal(), Signal()  # for the next descriptor, while a block moves; that it has
        place = Signal(32)  # of what is requested, or written
        fetching = Signal()
        m.d.comb += [
            following.eq(address + isa.DESCRIPTOR_BYTES),
            self.busy.eq(self.working | self.forget),
            self.layer.eq(Mux(fetching, NOBODY, coming.layer)),
            self.o_read.payload.address.eq(place),
            self.o_read.payload.beats.eq(coming.beats),
            self.o_write.payload.address.eq(place),
            self.o_write.payload.beats.eq(coming.beats),
        ]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [self.working.eq(1), address.eq(self.program), asked.eq(0), moved.eq(0)]
                    m.d.sync += [number.eq(0), profiled.eq(1)]
                    m.next = "POINTERS"
            with state("POINTERS"):
                m.d.comb += fetching.eq(1)
                with m.If((self.program[:3] | self.data[:3]).any()):
                    m.d.comb += self.fault.eq(ErrorCode.BAD_POINTER)
                with m.Else():
                    m.next = "FETCH"
            with state("FETCH"):
                m.d.comb += fetching.eq(1)
                self._request(m, address, 1)
                m.d.sync += left.eq(DESCRIPTOR_BEATS)
                with m.If(self.o_read.ready):
                    m.next = "DESCRIPTOR"
            with state("DESCRIPTOR"):
                m.d.comb += fetching.eq(1)
                with m.If(self.block.valid & self.block.of_block):
                    beats = Cat(coming.as_value()[64:], self.block.data)
                    m.d.sync += [coming.as_value().eq(beats), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.d.sync += left.eq(CHECK_CYCLES)
                        m.next = "CHECKING"
            with state("CHECKING"):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = "CHECK"
            with state("CHECK"):
                m.d.sync += [
                    place.eq(coming.address + Mux(coming.opcode == Opcode.LAYER, self.program, self.data)),
                    blocks.eq(coming.in_channels),
                    port.eq(0),
                ]
                with m.If(~valid):
                    m.d.comb += self.fault.eq(ErrorCode.BAD_DESCRIPTOR)
                with m.Elif(coming.opcode == Opcode.LAYER):
                    m.next = "TABLES"
                with m.Else():
                    m.next = "WAIT"

            # A layer
            with state("TABLES"):
                m.d.comb += [self.o_read.valid.eq(1), self.table_start.eq(1)]
                m.d.sync += requested.eq(0)
                with m.If(self.o_read.ready):
                    m.next = "TABLING"
            with state("TABLING"):
                m.d.comb += [
                    self.tabling.eq(1),
                    self.stream_request.eq(self.streams_known & self.streams_requested & ~requested),
                ]
                with m.If(self.stream_request):
                    m.d.sync += requested.eq(1)
                with m.If(self.table_done & requested):
                    m.next = "OFFER"
            with state("OFFER"):
                m.d.comb += self.offered.eq(1)
                with m.If(self.layer_start):
                    m.d.sync += self.coming_bank.eq(~self.coming_bank)
                    m.next = "NEXT"

            # LOAD, STORE, END
            with state("WAIT"):
                with m.If(self.back_idle | ((coming.opcode == Opcode.LOAD) & coming.beside)):
                    with m.Switch(coming.opcode):
                        with m.Case(Opcode.LOAD):
                            m.d.comb += self.load_start.eq(1)
                            m.next = "LOADING"
                        with m.Case(Opcode.STORE):
                            m.next = "STORE"
                        with m.Default():
                            m.next = "END"
            with state("LOADING"):
                m.d.comb += self.blocks_wait.eq(1)
                with m.If(blocks != 0):
                    m.d.comb += [self.o_read.valid.eq(1), self.read_port.eq(port)]
                    with m.If(self.o_read.ready):
                        m.d.sync += [blocks.eq(blocks - 1), place.eq(place + coming.stride)]
                        if self._config.read_ports > 1:
                            m.d.sync += port.eq(~port)
                with m.Else():
                    self._request(m, following, ~asked)
                    m.d.sync += asked.eq(asked | self.o_read.ready)
                with m.If(~self.load_busy & (blocks == 0) & asked & ~self.back_ends):
                    m.d.comb += [self.ends.eq(1), self.beside.eq(~self.back_idle)]
                    m.next = "NEXT"
            with state("STORE"):
                m.d.comb += [self.o_write.valid.eq(1), self.store_start.eq(self.o_write.ready)]
                with m.If(self.o_write.ready):
                    m.next = "STORING"
            with state("STORING"):
                m.d.comb += self.blocks_wait.eq(1)
                self._request(m, following, ~asked)
                m.d.sync += [asked.eq(asked | self.o_read.ready), moved.eq(moved | self.write_done)]
                with m.If((moved | self.write_done) & asked):
                    m.d.comb += self.ends.eq(1)
                    m.next = "NEXT"

            with state("NEXT"):
                m.d.comb += self.blocks_wait.eq(1)
                m.d.sync += [address.eq(following), left.eq(DESCRIPTOR_BEATS), asked.eq(0), moved.eq(0)]
                m.d.sync += [number.eq(number + 1), profiled.eq(profiled & (number != PROFILE_ENTRIES - 1))]
                m.next = "FETCH"
                with m.If(asked):
                    m.next = "DESCRIPTOR"
            with state("END"):
                with m.If(~(self.wrong | self.fail)):
                    m.d.comb += [self.finish.eq(1), self.ends.eq(1)]
                    m.d.sync += self.working.eq(0)
                    m.next = "IDLE"

            with m.State("DRAIN"):
                m.d.comb += self.forget.eq(1)
                m.d.sync += self.coming_bank.eq(0)
                with m.If(self.reader_idle & self.writes_idle):
                    m.next = "IDLE"
        with m.If(self.fail):
            m.d.sync += self.working.eq(0)
        return m

    def _request(self, m: Module, address: Signal, valid: ValueLike) -> None:
        """Of the descriptor at `address`."""
        m.d.comb += [
            self.o_read.valid.eq(valid),
            self.o_read.payload.address.eq(address),
            self.o_read.payload.beats.eq(DESCRIPTOR_BEATS),
        ]
