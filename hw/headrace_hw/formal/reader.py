"""ReadMaster passes legal requests to AR and every beat of R on, with the tag of its request."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal

from .harness import Harness, Queue, delayed, load, patient, patient_stream
from .open_fifos import open_fifos

TAG_BITS, OUTSTANDING = 2, 4
PAGE_BEATS = 4096 // 8


class ReaderHarness(Harness):
    """Requests are legal and kept until taken. The memory answers, when it likes and with errors as it likes, bursts
    that it has accepted: in order, RLAST on the last beat, R kept until taken.
    """

    name = "reader"
    properties = "AR kept until taken, as requested, in order, none over 4 KiB; bursts bounded; beats once; tags; idle"
    depth, induction, cover_depth = 14, 2, 14

    def build(self, m: Module) -> None:
        fifos = open_fifos(self.edits)
        dut = load("headrace_hw.reader", self.edits, fifo=fifos).ReadMaster(TAG_BITS, OUTSTANDING)
        self.dut(m, dut)
        (tags,) = fifos.made
        i, o, axi = dut.i, dut.o, dut.axi
        for value in (i.valid, i.payload.as_value(), o.ready, axi.arready, axi.rvalid, axi.rdata, axi.rresp, axi.rlast):
            self.free(m, value)
        request, ar, r = i.valid & i.ready, axi.arvalid & axi.arready, axi.rvalid & axi.rready

        m.d.comb += [
            Assume(patient_stream(m, i)),
            Assume((i.p.address[:3] == 0) & (i.p.beats >= 1) & (i.p.beats <= 256)),
            Assume(i.p.address[3:12] + i.p.beats <= PAGE_BEATS),
        ]

        # Requests that have not been answered whole, oldest first: address, beats, tag.
        queue = Queue(m, len(i.payload.as_value()), OUTSTANDING, request, i.payload.as_value(), r & axi.rlast)
        oldest = queue.entries[0]
        accepted = Signal(range(OUTSTANDING + 1))  # of these, known to the memory
        m.d.sync += accepted.eq(accepted + ar - (r & axi.rlast))
        m.d.comb += [Assert(accepted + axi.arvalid == queue.count), Assert(dut.idle == (queue.count == 0))]
        with m.If(axi.arvalid):
            with m.Switch(accepted):
                for n, entry in enumerate(queue.entries):
                    with m.Case(n):
                        beats = (axi.arlen + 1)[:9]
                        m.d.comb += Assert(Cat(axi.araddr, beats) == entry[: 32 + 9])
        m.d.comb += [
            Assert(patient(m, axi.arvalid, axi.arready, Cat(axi.araddr, axi.arlen))),
            Assert(~axi.arvalid | (axi.araddr[3:12] + axi.arlen + 1 <= PAGE_BEATS)),
            Assert((axi.arsize == 3) & (axi.arburst == 1)),
        ]
        # A request waits for AR or for a free place only.
        m.d.comb += Assert(i.ready | (axi.arvalid & ~axi.arready) | (queue.count == OUTSTANDING))

        # The memory: beat `beat` of the oldest burst is next.
        beat = Signal(9)
        with m.If(r):
            m.d.sync += beat.eq(beat + 1)
            with m.If(axi.rlast):
                m.d.sync += beat.eq(0)
        m.d.comb += [
            Assume(~axi.rvalid | (accepted != 0)),
            Assume(~axi.rvalid | (axi.rlast == (beat + 1 == oldest[32:41]))),
            Assume(patient(m, axi.rvalid, axi.rready, Cat(axi.rdata, axi.rresp, axi.rlast))),
        ]

        m.d.comb += [Assert(o.valid == axi.rvalid), Assert((o.valid & o.ready) == r)]
        with m.If(o.valid):
            m.d.comb += [
                Assert(o.p.data == axi.rdata),
                Assert(o.p.tag == oldest[41:]),
                Assert(o.p.last == (beat + 1 == oldest[32:41])),
                Assert(o.p.error == axi.rresp[1]),
            ]

        # For induction: the FIFO holds the tags of the queue.
        queue.agrees(m, [Cat(entry[:41], tag) for entry, tag in zip(queue.entries, tags.stored, strict=True)])
        m.d.comb += Assert(tags.level == queue.count)

        m.d.comb += [
            Cover((queue.count == OUTSTANDING) & i.valid),
            Cover(r & axi.rlast & (beat == 2) & o.p.error & (queue.count == 2)),
            Cover(dut.idle & delayed(m, r & axi.rlast)),
        ]
