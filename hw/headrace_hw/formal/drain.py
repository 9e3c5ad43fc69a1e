"""After an error the sequencer asks for nothing more, is idle as soon as the masters are, and starts anew."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Const, Cover, Module, Signal, Value
from amaranth.lib import wiring

from headrace.config import Config

from .harness import Harness, delayed, load, ongoing, patient_stream

CONFIG = Config("proof", lanes=2, pixels=1, x_words=64, read_ports=2)
IDLE = 0  # of both state machines
FRONT_STATES, BACK_STATES = 16, 6


class DrainHarness(Harness):
    """Everything around the sequencer is free: beats, errors, lanes, idle masters. The host starts it while it is not
    busy, and leaves the pointers alone; it may abort at any time.
    """

    name = "sequencer"
    properties = "one error or end a program; after an error nothing is asked for, busy until masters idle, no longer"
    depth, induction, cover_depth = 10, 2, 48

    def build(self, m: Module) -> None:
        front = load("headrace_hw.front", self.edits)
        dut = load("headrace_hw.sequencer", self.edits, Front=front.Front).Sequencer(CONFIG)
        inside = self.dut(m, dut)
        front_state, back_state = inside.front.fsm_state, inside.back.fsm_state
        loading = ongoing(front_state, "LOADING")
        for path, member, value in dut.signature.flatten(dut):
            if member.flow == wiring.In and not isinstance(value, Const):
                (self.constant if path[0] in ("program", "data") else self.free)(m, Value.cast(value))
        draining, masters_idle = dut.forget, dut.reader_idle & dut.writes_idle
        m.d.comb += Assume(~dut.start | ~dut.busy)

        begun = dut.load_start | dut.store_start | dut.table_start | dut.stream_request
        begun |= dut.lanes_start | dut.layer_start
        m.d.comb += [
            Assert(~dut.fail | (dut.busy & ~draining)),
            Assert(~dut.finish | (dut.busy & ~draining & ~dut.fail)),
            Assert(~dut.fail | (dut.error.code != 0)),
            Assert(~delayed(m, dut.fail) | draining),
            Assert(~delayed(m, dut.finish) | ~dut.busy),
            Assert(~delayed(m, dut.start) | (dut.busy & ~draining)),
            Assert(~loading | (back_state == IDLE) | dut.coming.beside),
            Assert(~dut.finish | (back_state == IDLE)),
        ]
        with m.If(draining):
            m.d.comb += [
                Assert(dut.busy & dut.clear & dut.lanes_clear),
                Assert(~(dut.o_read.valid | dut.o_write.valid | begun)),
                Assert(~(loading | dut.tabling | dut.running)),
            ]
        m.d.comb += [
            Assert(~delayed(m, draining & masters_idle) | ~dut.busy),
            Assert(~delayed(m, draining & ~masters_idle) | draining),
            Assert(~delayed(m, dut.busy & ~draining & ~dut.fail & ~dut.finish) | (dut.busy & ~draining)),
        ]
        for port in (dut.o_read, dut.o_write):
            m.d.comb += Assert(patient_stream(m, port) | draining)

        # For induction: the front is at work, or idle, as `busy` says; the back has nothing while it drains.
        m.d.comb += [
            Assert((front_state < FRONT_STATES) & (back_state < BACK_STATES)),
            Assert((front_state == IDLE) == ~dut.busy),
            Assert((back_state == IDLE) | (dut.busy & ~draining)),
            Assert(~delayed(m, draining) | (dut.cycles == delayed(m, dut.cycles))),  # no program's cycles
        ]
        failed = Signal()
        m.d.sync += failed.eq(failed | dut.fail)
        beside = loading & dut.running
        m.d.comb += [Cover(dut.finish & failed), Cover(dut.fail & dut.running), Cover(delayed(m, beside) & ~beside)]
