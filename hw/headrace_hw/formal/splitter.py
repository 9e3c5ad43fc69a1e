"""BurstSplitter cuts a block into bursts that cover it exactly."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal, Value

from .harness import Harness, delayed, load, patient_stream

BURST_BEATS = 16
PAGE_BEATS = 4096 // 8
IDLE, _, SEND = range(3)  # in the order in which the block's state machine names them


class SplitterHarness(Harness):
    """Blocks start at a multiple of 8 and end within 32 bits of address; the source keeps what it offers."""

    name = "splitter"
    properties = "bursts cover the block exactly, in order, 1..burst_beats, none over 4 KiB; one every 2 cycles"
    depth, induction, cover_depth = 12, 2, 10

    def build(self, m: Module) -> None:
        dut = load("headrace_hw.burst", self.edits).BurstSplitter(BURST_BEATS)
        inside = self.dut(m, dut)
        i, o = dut.i, dut.o
        for value in (i.valid, i.payload.as_value(), o.ready):
            self.free(m, value)
        m.d.comb += [
            Assume(patient_stream(m, i)),
            Assume(i.p.address[:3] == 0),
            Assume(i.p.beats <= (1 << 29) - i.p.address[3:]),
        ]

        # What is left of the block: the next burst has to start at `expected`.
        expected, left = Signal(32), Signal(32)
        sent = o.valid & o.ready
        with m.If(i.valid & i.ready):
            m.d.sync += [expected.eq(i.p.address), left.eq(i.p.beats)]
        with m.Elif(sent):
            m.d.sync += [expected.eq(expected + (o.p.beats << 3)), left.eq(left - o.p.beats)]
        m.d.comb += [
            Assert(patient_stream(m, o)),
            Assert(i.ready == (left == 0)),
            Assert(~delayed(m, (left != 0) & ~o.valid) | o.valid),
        ]
        with m.If(o.valid):
            m.d.comb += [
                Assert(o.p.address == expected),
                Assert((o.p.beats >= 1) & (o.p.beats <= BURST_BEATS) & (o.p.beats <= left)),
                Assert(o.p.address[3:12] + o.p.beats <= PAGE_BEATS),
                Assert(o.p.last == (o.p.beats == left)),
            ]

        agrees(m, inside, expected, left, BURST_BEATS)
        m.d.comb += [
            Cover(sent & o.p.last & delayed(m, delayed(m, sent & ~o.p.last))),
            Cover(sent & ~o.p.last & (o.p.beats < BURST_BEATS)),
            Cover(i.valid & i.ready & (i.p.beats == 0)),
        ]


def agrees(m: Module, inside: SimpleNamespace, expected: Value, left: Value, burst_beats: int) -> None:
    """Asserts, for induction, that a splitter's registers are those of the reference."""
    room, limit = Signal(10), Signal(9)
    m.d.comb += [
        room.eq(PAGE_BEATS - expected[3:12]),
        limit.eq(Mux(room < burst_beats, room, burst_beats)),
        Assert(inside.fsm_state <= SEND),
        Assert((inside.fsm_state == IDLE) == (left == 0)),
        Assert(expected[:3] == 0),
        Assert(left <= (1 << 29) - expected[3:]),
    ]
    with m.If(left != 0):
        m.d.comb += [Assert(inside.address == expected), Assert(inside.left == left)]
    with m.If(inside.fsm_state == SEND):
        m.d.comb += [Assert(inside.beats == Mux(left < limit, left, limit)), Assert(inside.last == (left <= limit))]
