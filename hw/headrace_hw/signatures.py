"""What the tables and streams of layers XOR to."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .reads import Beat


class Signatures(wiring.Component):
    """XOR of all beats of the present layer and of the coming one, each in the half that its tables are in.

    The coming layer's half, `coming_bank`, begins at `table_start`; blocks count in it while `tabling`, streams in
    the half that they are of. `differs`: half `bank` is not `expected`; a cycle late, so two after a beat.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "beat": In(data.ArrayLayout(Beat, config.read_ports)),
                "coming_bank": In(1),
                "table_start": In(1),
                "tabling": In(1),
                "bank": In(1),
                "expected": In(64),
                "differs": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        signature = Signal(data.ArrayLayout(64, 2))
        for half in (0, 1):
            parts = []
            for beat in self.beat:
                counts = Mux(beat.of_block, self.tabling & (self.coming_bank == half), beat.layer == half)
                parts.append(Mux(beat.valid & counts, beat.data, 0))
            total = parts[0] ^ parts[1] if len(parts) > 1 else parts[0]
            m.d.sync += signature[half].eq(signature[half] ^ total)
            with m.If(self.table_start & (self.coming_bank == half)):
                m.d.sync += signature[half].eq(0)
        m.d.sync += self.differs.eq(signature[self.bank] != self.expected)
        return m
