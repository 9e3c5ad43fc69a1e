"""Lanes take turns at the requantiser, a row at a time."""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .gather import Gather
from .shapes import sums_layout


class RowArbiter(wiring.Component):
    """Passes whole rows of words, all their passes, round robin. One word per cycle, also from one row to the next of
    another lane.

    With `gathered`, stable while there are rows, a lane's rows of one word each pass as words of so many rows: pixel n
    is row n's pixel 0, the channel that of the first. A lane waits only where it has completed a row while its word
    waits. Rows that do not fill a word do not pass. `busy`: a word waits.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        signature = stream.Signature(sums_layout(config))
        super().__init__(
            {
                "i": In(signature).array(config.lanes),
                "gathered": In(range(config.gathered_rows + 1)),
                "busy": Out(1),
                "o": Out(signature),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        count = self._config.lanes
        lanes = range(count)
        granted = Signal(range(max(2, count)))
        locked = Signal()
        finishing = Signal()
        offered, passing = Signal(count), Signal(count)
        m.d.comb += finishing.eq(self.o.valid & self.o.ready & self.o.payload.last & self.o.payload.final)

        payload = Array(self.i[n].payload.as_value() for n in lanes)
        chosen = Signal(self.o.payload.shape())
        m.d.comb += [
            self.o.valid.eq(locked & offered.bit_select(granted, 1)),
            chosen.as_value().eq(payload[granted]),
            self.o.payload.eq(chosen),
        ]
        for n in lanes:
            m.d.comb += passing[n].eq(locked & (granted == n) & self.o.ready)
        if self._config.gathered_rows:
            self._gather(m, granted, chosen, offered, passing)
        else:
            for n in lanes:
                m.d.comb += [offered[n].eq(self.i[n].valid), self.i[n].ready.eq(passing[n])]

        with m.If(~locked | finishing):
            m.d.sync += locked.eq(0)
            with m.Switch(granted):
                for n in lanes:
                    with m.Case(n):
                        # Farthest first: the last assignment, of the nearest lane behind n, wins. A lane that is
                        # finishing shows its old word still, so it has to wait a cycle.
                        for step in range(count - 1, -1, -1):
                            other = (n + 1 + step) % count
                            waiting = offered[other] & ~finishing if other == n else offered[other]
                            with m.If(waiting):
                                m.d.sync += [granted.eq(other), locked.eq(1)]
        return m

    def _gather(self, m: Module, granted: Signal, chosen: data.View, offered: Signal, passing: Signal) -> None:
        """What lanes offer, and the word that passes, in either mode."""
        words, full, gathers = [], Signal(self._config.lanes), Signal()
        m.d.comb += gathers.eq(self.gathered.any())
        for n, lane in enumerate(self.i):
            m.submodules[f"gather_{n}"] = gather = Gather(self._config)
            m.d.comb += [
                gather.rows.eq(self.gathered),
                gather.i.payload.eq(lane.payload),
                gather.i.valid.eq(lane.valid & gathers),
                gather.clear.eq(passing[n]),
                full[n].eq(gather.full),
                offered[n].eq(Mux(gathers, gather.full, lane.valid)),
                lane.ready.eq(Mux(gathers, gather.i.ready, passing[n])),
            ]
            words.append(gather.sums.as_value())
        m.d.comb += self.busy.eq(full.any())
        word = Signal(len(words[0]))
        m.d.comb += word.eq(Array(words)[granted])
        with m.If(gathers):
            out = self.o.payload
            m.d.comb += [
                Cat(out.sums).word_select(0, len(word)).eq(word),
                # A lane gives no row away while its word waits: its channel is that of the row behind the word's.
                out.channel.eq((chosen.channel - self.gathered)[: (self._config.channels - 1).bit_length()]),
                out.first.eq(1),
                out.last.eq(1),
                out.final.eq(1),
            ]
