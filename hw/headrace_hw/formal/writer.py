"""BlockWriter writes a block in legal bursts and says `done` after the last answer."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal

from .harness import Harness, delayed, load, patient, patient_stream
from .splitter import agrees

BURST_BEATS = 4
PAGE_BEATS = 4096 // 8
OUTSTANDING = 8  # what the block's documentation promises


class WriterHarness(Harness):
    """Blocks are legal, sources keep what they offer. The memory takes AW and W in any order and answers, when it
    likes and with errors as it likes, bursts whose AW and last W it has taken.
    """

    name = "writer"
    properties = (
        "AW, W kept until taken; bursts cover the block, none over 4 KiB; WLAST; bursts bounded; done after all"
    )
    depth, induction, cover_depth = 16, 3, 16

    def build(self, m: Module) -> None:
        dut = load("headrace_hw.writer", self.edits).BlockWriter(BURST_BEATS)
        inside = self.dut(m, dut)
        i, words, axi = dut.i, dut.i_data, dut.axi
        for value in (i.valid, i.payload.as_value(), words.valid, words.payload):
            self.free(m, value)
        for value in (axi.awready, axi.wready, axi.bvalid, axi.bresp):
            self.free(m, value)
        block, aw, w = i.valid & i.ready, axi.awvalid & axi.awready, axi.wvalid & axi.wready
        m.d.comb += [
            Assume(patient_stream(m, i)),
            Assume(patient_stream(m, words)),
            Assume(i.p.address[:3] == 0),
            Assume(i.p.beats <= (1 << 29) - i.p.address[3:]),
        ]

        # The block: what AW has still to ask for. `open`: beats of the burst that W is at.
        expected, left, open_beats = Signal(32), Signal(32), Signal(9)
        offered = axi.awvalid & ~delayed(m, axi.awvalid & ~axi.awready)
        beats = (axi.awlen + 1)[:9]
        with m.If(block):
            m.d.sync += [expected.eq(i.p.address), left.eq(i.p.beats)]
        with m.Elif(offered):
            m.d.sync += [expected.eq(expected + (beats << 3)), left.eq(left - beats)]
        with m.If(offered):
            m.d.comb += [
                Assert(axi.awaddr == expected),
                Assert((beats <= BURST_BEATS) & (beats <= left)),
                Assert(axi.awaddr[3:12] + beats <= PAGE_BEATS),
                Assert(open_beats == 0),  # so that beats and bursts go together one by one
            ]
        now = Signal(9)
        m.d.comb += now.eq(Mux(offered, beats, open_beats))
        m.d.sync += open_beats.eq(now - w)
        m.d.comb += [
            Assert(patient(m, axi.awvalid, axi.awready, Cat(axi.awaddr, axi.awlen))),
            Assert(patient(m, axi.wvalid, axi.wready, Cat(axi.wdata, axi.wlast))),
            Assert(~axi.wvalid | (now != 0)),
            Assert(~axi.wvalid | (axi.wlast == (now == 1))),
            Assert(~axi.wvalid | ((axi.wdata == words.payload) & (axi.wstrb == 0xFF))),
            Assert(w == (words.valid & words.ready)),
            Assert((axi.awsize == 3) & (axi.awburst == 1)),
        ]

        # The memory: bursts of which AW, or all of W, is taken, and that are not answered.
        addressed, written = Signal(range(OUTSTANDING + 2)), Signal(range(OUTSTANDING + 2))
        answer = axi.bvalid & axi.bready
        m.d.sync += [addressed.eq(addressed + aw - answer), written.eq(written + (w & axi.wlast) - answer)]
        m.d.comb += [
            Assume(~axi.bvalid | ((addressed != 0) & (written != 0))),
            Assert(addressed + axi.awvalid <= OUTSTANDING),
            Assert(dut.error == (answer & axi.bresp[1])),
        ]

        # Done once per block, after everything.
        busy = Signal()
        m.d.sync += busy.eq(block | (busy & ~dut.done))
        m.d.comb += [Assert(dut.idle == ~busy), Assert(i.ready == ~busy), Assert(~dut.done | busy)]
        nothing = ~axi.awvalid & (left == 0) & (now == 0) & (addressed == 0) & (written == 0)
        m.d.comb += [Assert(~(dut.done | ~busy) | nothing), Assert(~(busy & nothing) | dut.done)]

        # Where neither the memory nor the source of the words is awaited, something moves within three cycles.
        owed = (axi.awvalid & ~axi.awready) | ((now != 0) & ~(words.valid & axi.wready))
        owed |= (addressed != 0) & (written != 0) & ~axi.bvalid
        quiet = busy & ~owed & ~(aw | w | answer | dut.done)
        m.d.comb += Assert(~(quiet & (before := delayed(m, quiet)) & delayed(m, before)))

        # For induction: the block's registers are those of the reference.
        next_burst, to_take = Signal(32), Signal(32)
        m.d.comb += [
            next_burst.eq(expected + Mux(offered, beats << 3, 0)),
            to_take.eq(left - Mux(offered, beats, 0)),
            Assert((inside.active == busy) & (inside.left == now)),
            Assert((inside.waiting == addressed + axi.awvalid) & (inside.waiting == written + (now != 0))),
            Assert(busy | nothing),
            Assert(~busy | (inside.requested == (to_take == 0))),
        ]
        agrees(m, inside.splitter, next_burst, to_take, BURST_BEATS)
        erred = Signal()
        m.d.sync += erred.eq((erred | dut.error) & ~block)
        m.d.comb += [
            Cover(offered & (axi.awaddr[3:12] == 0) & (addressed != 0)),
            Cover(dut.done & erred),
            Cover(answer & (addressed == 2)),
            Cover(w & axi.wlast & (addressed == 0)),
            Cover(dut.done & delayed(m, block)),
        ]
