"""The back of the sequencer: runs layers, one after the other."""

from __future__ import annotations

from functools import partial

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .counters import Ordinal
from .descriptors import DESCRIPTOR
from .states import state_until


class Back(wiring.Component):
    """Runs the layer `coming`, which the front has `offered` with its tables in half `coming_bank`, once the one before
    has ended.

    `layer_start` (a pulse) takes it over: from the next cycle on it is `descriptor`, with its `bank` and `ordinal`. It
    is `running` until its lanes are done and its streams have ended. `ends` (a pulse): its results have been written;
    `signature_wrong`, in that cycle, if `signature_differs`. `fail` ends it without either. `idle`: no layer runs, nor
    is one prepared.

    `lanes_start`, which follows `lanes_clear`, comes with `layer_start`, or before it while results are on their way:
    a layer begins at most LAYER_GAP cycles after all results of the one before have been written, if it is offered.

    `clear` comes with `ends`. It and `lanes_clear` are held while `forget` is.
    """

    LAYER_GAP = 3

    def __init__(self) -> None:
        super().__init__(
            {
                "offered": In(1),
                "coming": In(DESCRIPTOR),
                "coming_bank": In(1),
                "coming_ordinal": In(Ordinal),
                "fail": In(1),
                "forget": In(1),
                # The layer that runs
                "descriptor": Out(DESCRIPTOR),
                "bank": Out(1),
                "ordinal": Out(Ordinal),
                "idle": Out(1),
                "layer_start": Out(1),
                "running": Out(1),
                "ends": Out(1),
                "signature_wrong": Out(1),
                # Datapath
                "streams_ended": In(1),
                "lanes_idle": In(1),
                "results_idle": In(1),
                "signature_differs": In(1),
                "lanes_clear": Out(1),
                "lanes_start": Out(1),
                "clear": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        state = partial(state_until, m, self.fail, "IDLE")
        m.d.comb += self.lanes_clear.eq(self.forget)
        with m.FSM():
            with state("IDLE"):
                m.d.comb += self.idle.eq(1)
                with m.If(self.offered & ~self.fail):
                    m.d.comb += [self.layer_start.eq(1), self.lanes_start.eq(1)]
                    m.next = "RUN"
            with state("RUN"):
                m.d.comb += self.running.eq(1)
                with m.If(self.lanes_idle & self.streams_ended):
                    with m.If(self.results_idle):
                        m.next = "VERIFY"
                    with m.Elif(self.offered):
                        m.next = "CLEAR"
            with state("VERIFY"):
                m.d.comb += [self.lanes_clear.eq(1), self.ends.eq(1)]
                m.next = "IDLE"

            # The results of the present layer are on their way: its lanes are made ready for the next one.
            with state("CLEAR"):
                m.d.comb += self.lanes_clear.eq(1)
                m.next = "PREPARE"
            with state("PREPARE"):
                m.d.comb += self.lanes_start.eq(1)
                m.next = "PREPARED"
            with state("PREPARED"):
                with m.If(self.results_idle):
                    m.d.comb += [self.ends.eq(1), self.layer_start.eq(~self.signature_differs & ~self.fail)]
                    m.next = "IDLE"
                    with m.If(self.layer_start):
                        m.next = "RUN"
        # The signature is known: the layer's last beats have come some cycles before it ends.
        m.d.comb += [
            self.signature_wrong.eq(self.ends & self.signature_differs),
            self.clear.eq(self.ends | self.forget),
        ]
        with m.If(self.layer_start):
            m.d.sync += [
                self.descriptor.eq(self.coming),
                self.bank.eq(self.coming_bank),
                self.ordinal.eq(self.coming_ordinal),
            ]
        return m
