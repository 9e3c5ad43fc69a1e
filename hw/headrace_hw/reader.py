"""AXI4 read master: bursts in, tagged beats out."""

from __future__ import annotations

from amaranth.hdl import Module
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import AXI4ReadSignature, is_error


class ReadRequest(data.StructLayout):
    """A burst of 1 to 256 beats within one 4 KiB page; its beats carry `tag`."""

    def __init__(self, tag_bits: int) -> None:
        super().__init__({"address": 32, "beats": 9, "tag": tag_bits})


class ReadBeat(data.StructLayout):
    """One beat of a burst. `last`: the burst's last; `error`: the memory answered SLVERR or DECERR, `data` is void."""

    def __init__(self, tag_bits: int) -> None:
        super().__init__({"data": 64, "tag": tag_bits, "last": 1, "error": 1})


class ReadMaster(wiring.Component):
    """Issues bursts in order, up to `outstanding` at a time, and gives their beats in the same order.

    One beat per cycle; no register between R and `o` (RREADY is `o.ready`). A request reaches AR one cycle after it was
    accepted. An error is passed on beat by beat and stops nothing. `idle`: every accepted burst has arrived whole.
    """

    def __init__(self, tag_bits: int, outstanding: int = 8) -> None:
        if tag_bits < 1 or outstanding < 1:
            raise ValueError("tag_bits and outstanding must be at least 1")
        self.tag_bits = tag_bits
        self.outstanding = outstanding
        super().__init__(
            {
                "i": In(stream.Signature(ReadRequest(tag_bits))),
                "o": Out(stream.Signature(ReadBeat(tag_bits))),
                "axi": Out(AXI4ReadSignature()),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        m.submodules.tags = tags = fifo.SyncFIFO(width=self.tag_bits, depth=self.outstanding)

        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        m.d.comb += self.i.ready.eq((~axi.arvalid | axi.arready) & tags.w_rdy)
        with m.If(self.i.valid & self.i.ready):
            m.d.comb += tags.w_en.eq(1)
            m.d.sync += [
                axi.arvalid.eq(1),
                axi.araddr.eq(self.i.p.address),
                axi.arlen.eq(self.i.p.beats - 1),
            ]

        m.d.comb += [
            tags.w_data.eq(self.i.p.tag),
            tags.r_en.eq(axi.rvalid & axi.rready & axi.rlast),
            axi.rready.eq(self.o.ready),
            self.o.valid.eq(axi.rvalid),
            self.o.p.data.eq(axi.rdata),
            self.o.p.tag.eq(tags.r_data),
            self.o.p.last.eq(axi.rlast),
            self.o.p.error.eq(is_error(axi.rresp)),
            self.idle.eq(~tags.r_rdy),
        ]
        return m
