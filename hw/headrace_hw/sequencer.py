"""The sequencer: runs a program of descriptors, one after the other, and prepares the next layer while one runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config
from headrace.isa import NOBODY, ErrorCode, Opcode
from headrace.registers import PROFILE_ENTRIES

from .burst import Block
from .csr import ERROR, Profile
from .descriptors import CHECK_CYCLES, valid_descriptor
from .layouts import layout
from .reads import Beat
from .shapes import ERROR_CODE_BITS

DESCRIPTOR = layout(isa.DESCRIPTOR)
DESCRIPTOR_BEATS = isa.DESCRIPTOR_BYTES // isa.BEAT_BYTES


class Sequencer(wiring.Component):
    """Fetches descriptors and runs them; see `isa.Opcode`.

    The front fetches descriptors, into `coming`, and the tables of layers, into half `coming_bank` of the table
    memories, which it then gives to the back: the back runs layers, of `descriptor` and half `bank`. So the front is
    one layer ahead; streams of the coming layer are requested too (`stream_request`) once their addresses have arrived
    (`streams_known`) and those of the present layer have been requested. LOAD, STORE and END are the front's own and
    wait for the back, but for a LOAD `beside` a layer. The blocks of a LOAD are requested one after the other, over
    `read_port` in turn, for the loaders, which have begun at `load_start`. While a LOAD or STORE is under way, the next
    descriptor is requested; its beats wait while `blocks_wait`. A layer begins at most LAYER_GAP cycles after the one
    before, if its tables have arrived by then.

    `o_profile`: of a descriptor that ends, the cycles since the one before ended, without the one in which it ends. A
    LOAD that ends while the layer beside it runs took none.

    `lanes_start`, which follows `lanes_clear`, makes the lanes ready for the coming layer: in the cycle of
    `layer_start`, or before it while the present layer's results are on their way. They decode only while `running`, so
    that what they read has been written.

    The first error ends the program: a cycle later, two if it is a lane's, `fail` pulses with `error`, then the
    sequencer stays busy, holding both `clear`s and `forget`, until the AXI masters and all that writes activations are
    idle, and can be started anew. `clear` also follows each layer.
    """

    LAYER_GAP = 3

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
                # Reads: blocks, and every beat that arrives
                "o_read": Out(stream.Signature(Block)),
                "read_port": Out(1),
                "beat": In(data.ArrayLayout(Beat, config.read_ports)),
                "reader_idle": In(1),
                "streams_known": In(1),
                "stream_request": Out(1),
                "streams_requested": In(1),
                "streams_ended": In(1),
                # Writes
                "o_write": Out(stream.Signature(Block)),
                "write_done": In(1),
                "write_error": In(1),
                "writes_idle": In(1),
                # Datapath: the front's
                "coming": Out(DESCRIPTOR),
                "coming_bank": Out(1),
                "blocks_wait": Out(1),
                "load_start": Out(1),
                "load_busy": In(1),
                "store_start": Out(1),
                "table_start": Out(1),
                "tabling": Out(1),
                "table_done": In(1),
                # The back's
                "descriptor": Out(DESCRIPTOR),
                "bank": Out(1),
                "layer_start": Out(1),
                "running": Out(1),
                "lanes_idle": In(1),
                "results_idle": In(1),
                "lanes_clear": Out(1),
                "lanes_start": Out(1),
                "clear": Out(1),
                "forget": Out(1),
                "lane_error": In(config.lanes),
                "lane_error_code": In(ERROR_CODE_BITS).array(config.lanes),
                "stalled_lanes": In(range(config.lanes + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        self._working, self._draining, self._fetching = Signal(), Signal(), Signal()
        self._fault, self._fault_lane = Signal(ErrorCode), Signal(8)
        self._wrong = Signal()  # there is a fault: `fail` in the next cycle
        self._front_fault = Signal()  # the fault, if it is the front's own, concerns its descriptor
        self._number, self._run_number = Signal(8), Signal(8)
        self._few, self._run_few = Signal(), Signal()  # descriptors so far: these are profiled
        self._offered = Signal()  # the coming layer can begin
        self._took = Signal()  # the back begins it
        self._back_idle = Signal()
        m.d.comb += [
            self.busy.eq(self._working | self._draining),
            self.clear.eq(self._draining),
            self.lanes_clear.eq(self._draining),
            self.forget.eq(self._draining),
            self._fault_lane.eq(NOBODY),
        ]
        self._counters(m)
        self._signatures(m)
        self._front(m)
        self._back(m)
        self._faults(m)
        return m

    def _counters(self, m: Module) -> None:
        """Cycles since the descriptor before ended, stall cycles of the layer."""
        self._spent, self._stall = Signal(32), Signal(32)
        # A descriptor of the front or the back ends, not both at once; the front's, beside a layer.
        self._front_ends, self._back_ends, self._beside = Signal(), Signal(), Signal()
        self._profile = Signal()  # it takes the cycles spent
        self._late = Signal()  # spent >= watchdog, foreseen in the cycle before
        then = Signal(33)
        m.d.comb += then.eq(self._spent + 1)
        limited = self.watchdog.any() & self._working & ~self._profile
        m.d.sync += self._late.eq((then >= self.watchdog) & limited)
        with m.If(self._working):
            m.d.sync += [self.cycles.eq(self.cycles + 1), self._spent.eq(then)]
            with m.If(self.running):
                m.d.sync += self._stall.eq(self._stall + self.stalled_lanes)
        entry = self.o_profile.payload
        m.d.comb += [
            self._profile.eq(self._back_ends | (self._front_ends & ~self._beside)),
            entry.index.eq(Mux(self._back_ends, self._run_number, self._number)),
            entry.cycles.eq(Mux(self._profile, self._spent, 0)),
            entry.stall.eq(Mux(self._profile, self._stall, 0)),
            self.o_profile.valid.eq((self._back_ends & self._run_few) | (self._front_ends & self._few)),
        ]
        with m.If(self._profile):
            m.d.sync += [self._spent.eq(0), self._stall.eq(0)]

    def _signatures(self, m: Module) -> None:
        """XOR of all beats of either layer."""
        self._signature = Signal(data.ArrayLayout(64, 2))
        for half in (0, 1):
            parts = []
            for beat in self.beat:
                counts = Mux(beat.of_block, self.tabling & (self.coming_bank == half), beat.layer == half)
                parts.append(Mux(beat.valid & counts, beat.data, 0))
            total = parts[0] ^ parts[1] if len(parts) > 1 else parts[0]
            m.d.sync += self._signature[half].eq(self._signature[half] ^ total)
            with m.If(self.table_start & (self.coming_bank == half)):
                m.d.sync += self._signature[half].eq(0)

    @contextmanager
    def _state(self, m: Module, name: str, then: str) -> Iterator[None]:
        """A state that any fault ends."""
        with m.State(name):
            yield
            with m.If(self.fail):
                m.next = then

    def _front(self, m: Module) -> None:
        coming = self.coming
        address = Signal(32)
        left = Signal(range(max(DESCRIPTOR_BEATS, CHECK_CYCLES) + 1))  # beats of a descriptor, cycles of its check
        blocks, port = Signal(16), Signal()  # of a LOAD, not requested yet; of the next one
        requested = Signal()  # the coming layer's streams
        asked, moved = Signal(), Signal()  # for the next descriptor, while a block moves; that it has
        following = Signal(32)
        place = Signal(32)  # of what is requested, or written
        block = self.beat[0]
        block_valid = block.valid & block.of_block
        valid = valid_descriptor(m, coming, self._config)
        m.d.comb += [
            following.eq(address + isa.DESCRIPTOR_BYTES),
            self.o_read.payload.address.eq(place),
            self.o_read.payload.beats.eq(coming.beats),
            self.o_write.payload.address.eq(place),
            self.o_write.payload.beats.eq(coming.beats),
        ]
        with m.FSM(name="front"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self._working.eq(1),
                        address.eq(self.program),
                        asked.eq(0),
                        moved.eq(0),
                        self._number.eq(0),
                        self._few.eq(1),
                        self.cycles.eq(0),
                        self._spent.eq(0),
                        self._stall.eq(0),
                    ]
                    m.next = "POINTERS"
            with self._state(m, "POINTERS", "DRAIN"):
                m.d.comb += self._fetching.eq(1)
                with m.If((self.program[:3] | self.data[:3]).any()):
                    m.d.comb += [self._fault.eq(ErrorCode.BAD_POINTER), self._front_fault.eq(1)]
                with m.Else():
                    m.next = "FETCH"
            with self._state(m, "FETCH", "DRAIN"):
                m.d.comb += [
                    self._fetching.eq(1),
                    self.o_read.valid.eq(1),
                    self.o_read.payload.address.eq(address),
                    self.o_read.payload.beats.eq(DESCRIPTOR_BEATS),
                ]
                m.d.sync += left.eq(DESCRIPTOR_BEATS)
                with m.If(self.o_read.ready):
                    m.next = "DESCRIPTOR"
            with self._state(m, "DESCRIPTOR", "DRAIN"):
                m.d.comb += self._fetching.eq(1)
                with m.If(block_valid):
                    m.d.sync += [
                        coming.as_value().eq(Cat(coming.as_value()[64:], block.data)),
                        left.eq(left - 1),
                    ]
                    with m.If(left == 1):
                        m.d.sync += left.eq(CHECK_CYCLES)
                        m.next = "CHECKING"
            with self._state(m, "CHECKING", "DRAIN"):
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = "CHECK"
            with self._state(m, "CHECK", "DRAIN"):
                m.d.sync += [
                    place.eq(coming.address + Mux(coming.opcode == Opcode.LAYER, self.program, self.data)),
                    blocks.eq(coming.in_channels),
                    port.eq(0),
                ]
                with m.If(~valid):
                    m.d.comb += [self._fault.eq(ErrorCode.BAD_DESCRIPTOR), self._front_fault.eq(1)]
                with m.Elif(coming.opcode == Opcode.LAYER):
                    m.next = "TABLES"
                with m.Else():
                    m.next = "WAIT"

            with self._state(m, "TABLES", "DRAIN"):
                m.d.comb += [
                    self.o_read.valid.eq(1),
                    self.table_start.eq(1),
                ]
                m.d.sync += requested.eq(0)
                with m.If(self.o_read.ready):
                    m.next = "TABLING"
            with self._state(m, "TABLING", "DRAIN"):
                m.d.comb += [
                    self.tabling.eq(1),
                    self.stream_request.eq(self.streams_known & self.streams_requested & ~requested),
                ]
                with m.If(self.stream_request):
                    m.d.sync += requested.eq(1)
                with m.If(self.table_done & requested):
                    m.next = "OFFER"
            with self._state(m, "OFFER", "DRAIN"):
                m.d.comb += self._offered.eq(1)
                with m.If(self._took):
                    m.d.sync += self.coming_bank.eq(~self.coming_bank)
                    m.next = "NEXT"

            with self._state(m, "WAIT", "DRAIN"):
                with m.If(self._back_idle | ((coming.opcode == Opcode.LOAD) & coming.beside)):
                    with m.Switch(coming.opcode):
                        with m.Case(Opcode.LOAD):
                            m.d.comb += self.load_start.eq(1)
                            m.next = "LOADING"
                        with m.Case(Opcode.STORE):
                            m.next = "STORE"
                        with m.Default():
                            m.next = "END"
            with self._state(m, "LOADING", "DRAIN"):
                m.d.comb += self.blocks_wait.eq(1)
                with m.If(blocks != 0):
                    m.d.comb += [self.o_read.valid.eq(1), self.read_port.eq(port)]
                    with m.If(self.o_read.ready):
                        m.d.sync += [blocks.eq(blocks - 1), place.eq(place + coming.stride)]
                        if self._config.read_ports > 1:
                            m.d.sync += port.eq(~port)
                with m.Else():
                    self._ask(m, asked, following)
                with m.If(~self.load_busy & (blocks == 0) & asked & ~self._back_ends):
                    m.d.comb += [self._front_ends.eq(1), self._beside.eq(~self._back_idle)]
                    m.next = "NEXT"
            with self._state(m, "STORE", "DRAIN"):
                m.d.comb += [self.o_write.valid.eq(1), self.store_start.eq(self.o_write.ready)]
                with m.If(self.o_write.ready):
                    m.next = "STORING"
            with self._state(m, "STORING", "DRAIN"):
                m.d.comb += self.blocks_wait.eq(1)
                self._ask(m, asked, following)
                m.d.sync += moved.eq(moved | self.write_done)
                with m.If((moved | self.write_done) & asked):
                    m.d.comb += self._front_ends.eq(1)
                    m.next = "NEXT"

            with self._state(m, "NEXT", "DRAIN"):
                m.d.comb += self.blocks_wait.eq(1)
                m.d.sync += [
                    address.eq(following),
                    self._number.eq(self._number + 1),
                    self._few.eq(self._few & (self._number != PROFILE_ENTRIES - 1)),
                    left.eq(DESCRIPTOR_BEATS),
                    asked.eq(0),
                    moved.eq(0),
                ]
                m.next = "FETCH"
                with m.If(asked):
                    m.next = "DESCRIPTOR"
            with self._state(m, "END", "DRAIN"):
                with m.If(~(self._wrong | self.fail)):
                    m.d.comb += [self.finish.eq(1), self._front_ends.eq(1)]
                    m.d.sync += self._working.eq(0)
                    m.next = "IDLE"

            with m.State("DRAIN"):
                m.d.comb += self._draining.eq(1)
                m.d.sync += self.coming_bank.eq(0)
                with m.If(self.reader_idle & self.writes_idle):
                    m.next = "IDLE"

    def _ask(self, m: Module, asked: Signal, following: Signal) -> None:
        """Request the next descriptor, once."""
        m.d.comb += [
            self.o_read.valid.eq(~asked),
            self.o_read.payload.address.eq(following),
            self.o_read.payload.beats.eq(DESCRIPTOR_BEATS),
        ]
        with m.If(self.o_read.ready):
            m.d.sync += asked.eq(1)

    def _back(self, m: Module) -> None:
        self._differs = Signal()  # the layer's last beats have come some cycles before it ends
        m.d.sync += self._differs.eq(self._signature[self.bank] != self.descriptor.signature)
        with m.FSM(name="back"):
            with self._state(m, "IDLE", "IDLE"):
                m.d.comb += self._back_idle.eq(1)
                with m.If(self._offered & ~self.fail):
                    m.d.comb += [self._took.eq(1), self.lanes_start.eq(1)]
                    m.next = "RUN"
            with self._state(m, "RUN", "IDLE"):
                m.d.comb += self.running.eq(1)
                with m.If(self.lanes_idle & self.streams_ended):
                    with m.If(self.results_idle):
                        m.next = "VERIFY"
                    with m.Elif(self._offered):
                        m.next = "CLEAR"
            with self._state(m, "VERIFY", "IDLE"):
                m.d.comb += self.lanes_clear.eq(1)
                self._verify(m)
                m.next = "IDLE"

            # The results of the present layer are on their way: its lanes are made ready for the next one.
            with self._state(m, "CLEAR", "IDLE"):
                m.d.comb += self.lanes_clear.eq(1)
                m.next = "PREPARE"
            with self._state(m, "PREPARE", "IDLE"):
                m.d.comb += self.lanes_start.eq(1)
                m.next = "PREPARED"
            with self._state(m, "PREPARED", "IDLE"):
                with m.If(self.results_idle):
                    self._verify(m)
                    m.d.comb += self._took.eq(~self._differs & ~self.fail)
                    m.next = "IDLE"
                    with m.If(self._took):
                        m.next = "RUN"
        m.d.comb += self.layer_start.eq(self._took)
        with m.If(self._took):
            m.d.sync += [
                self.descriptor.eq(self.coming),
                self.bank.eq(self.coming_bank),
                self._run_number.eq(self._number),
                self._run_few.eq(self._few),
            ]

    def _verify(self, m: Module) -> None:
        """The layer has ended."""
        m.d.comb += [self.clear.eq(1), self._back_ends.eq(1)]
        with m.If(self._differs):
            m.d.comb += [self._fault.eq(ErrorCode.SIGNATURE), self._front_fault.eq(0)]

    def _faults(self, m: Module) -> None:
        """Whatever comes first, in order of how much it explains."""
        of_coming = Signal()  # the fault is not the running layer's
        m.d.comb += of_coming.eq(self._back_idle | self._front_fault)
        lane_wrong, lane_code = Signal(), Signal(ERROR_CODE_BITS)  # a cycle late: lanes are many
        lane = Signal(range(self._config.lanes))
        m.d.sync += lane_wrong.eq(self.lane_error.any())
        for n in reversed(range(self._config.lanes)):
            with m.If(self.lane_error[n]):
                m.d.sync += [lane_code.eq(self.lane_error_code[n]), lane.eq(n)]
        with m.If(self._working):
            with m.If(self._late):
                m.d.comb += [self._fault.eq(ErrorCode.WATCHDOG), self._front_fault.eq(0)]
            with m.If(self.abort):
                m.d.comb += [self._fault.eq(ErrorCode.ABORTED), self._front_fault.eq(0)]
            with m.If(lane_wrong):
                m.d.comb += [self._fault.eq(lane_code), self._fault_lane.eq(lane), self._front_fault.eq(0)]
            with m.If(self.write_error):
                m.d.comb += [self._fault.eq(ErrorCode.AXI_WRITE), self._fault_lane.eq(NOBODY)]
            for beat in self.beat:
                with m.If(beat.valid & beat.error):
                    m.d.comb += [
                        self._fault.eq(ErrorCode.AXI_READ),
                        self._fault_lane.eq(Mux(beat.of_block, NOBODY, beat.lane)),
                        self._front_fault.eq(beat.of_block | (beat.layer != self.bank)),
                    ]
            m.d.comb += self._wrong.eq((self._fault != ErrorCode.NONE) & ~self.fail)
            with m.If(self._wrong):
                m.d.sync += [
                    self.error.code.eq(self._fault),
                    self.error.lane.eq(self._fault_lane),
                    self.error.layer.eq(
                        Mux(of_coming, Mux(self._fetching, NOBODY, self.coming.layer), self.descriptor.layer)
                    ),
                    self.error.descriptor.eq(Mux(of_coming, self._number, self._run_number)),
                ]
        m.d.sync += self.fail.eq(self._wrong)
        with m.If(self.fail):
            m.d.sync += self._working.eq(0)
