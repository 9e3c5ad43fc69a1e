"""RowArbiter passes whole rows, none lost, and lets no lane wait for ever."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Signal

from headrace.config import Config

from .harness import Harness, delayed, load, patient_stream, wrap

LANES = 4


class ArbiterHarness(Harness):
    """Lanes keep what they offer and end passes and rows when they like; the sink is free.

    Starvation: while a lane waits, at most LANES - 1 rows of others end.
    """

    name = "arbiter"
    properties = "whole rows, every word passed once, output kept until taken, at most lanes - 1 rows of others first"
    depth, induction, cover_depth = 14, 2, 14

    def build(self, m: Module) -> None:
        dut = load("headrace_hw.arbiter", self.edits).RowArbiter(Config("proof", lanes=LANES, pixels=1))
        inside = self.dut(m, dut)
        o = dut.o
        self.free(m, o.ready)
        for lane in dut.i:
            self.free(m, lane.valid)
            self.free(m, lane.payload.as_value())
            m.d.comb += Assume(patient_stream(m, lane))
        taken = Signal(LANES)
        m.d.comb += taken.eq(Cat(lane.valid & lane.ready for lane in dut.i))

        # A word leaves the one lane whose word passes.
        m.d.comb += [
            Assert(taken.any() == (o.valid & o.ready)),
            Assert((taken & (taken - 1)) == 0),
            Assert(patient_stream(m, o)),
        ]
        for n, lane in enumerate(dut.i):
            m.d.comb += Assert(~taken[n] | (o.payload.as_value() == lane.payload.as_value()))

        # A row that has begun goes on with the same lane.
        row_end = o.payload.last & o.payload.final
        within, owner = Signal(), Signal(LANES)
        with m.If(o.valid & o.ready):
            m.d.comb += Assert(~within | (taken == owner))
            m.d.sync += [within.eq(~row_end), owner.eq(taken)]
        m.d.comb += [
            Assert((inside.granted < LANES) & (~within | inside.locked)),
            Assert(~within | (owner == Const(1, LANES) << inside.granted)),
        ]

        # Grants come at once, and rows of others pass a waiting lane a few times only.
        valid = Signal(LANES)
        m.d.comb += valid.eq(Cat(lane.valid for lane in dut.i))
        m.d.comb += Assert(inside.locked | ~delayed(m, ~inside.locked & valid.any()))
        ended = o.valid & o.ready & row_end
        for n in range(LANES):
            passed = Signal(range(LANES + 2), name=f"passed{n}")
            waits = valid[n] & ~((inside.granted == n) & inside.locked)
            with m.If(taken[n] | ~valid[n]):
                m.d.sync += passed.eq(0)
            with m.Elif(ended):
                m.d.sync += passed.eq(passed + 1)
            behind = wrap(Const(n, 4) + LANES - inside.granted, LANES)  # rows of lanes that may still come first
            m.d.comb += [
                Assert(passed <= LANES - 1),
                Assert(~waits | ~inside.locked | (passed + behind <= LANES - 1)),
                Assert(~waits | inside.locked | (passed == 0)),
            ]
            m.d.comb += Cover(taken[n] & (passed == LANES - 1))
        m.d.comb += Cover(within & ended & delayed(m, taken.any() & within))
