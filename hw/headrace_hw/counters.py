"""Cycles of a program and of each of its descriptors: register, profile, watchdog."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .csr import Profile

Ordinal = data.StructLayout({"number": 8, "profiled": 1})
"""Which descriptor of its program one is, from 0, modulo 256, and whether the profile has an entry for it."""


class CycleCounters(wiring.Component):
    """Counts the cycles of a program, from `start` (a pulse while not `working`) on, in which it is `working`.

    A descriptor ends at `front_ends` or `back_ends`, which do not come at once. `o_profile`, in that cycle: the cycles
    since the one before ended, without the one in which it ends, and the sum of `stalled_lanes` over those of them in
    which a layer was `running`. One of the front that ends `beside` the running layer took none.

    `late`: the present descriptor has taken `watchdog` cycles; never if that is 0.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "start": In(1),
                "working": In(1),
                "running": In(1),
                "stalled_lanes": In(range(config.lanes + 1)),
                "watchdog": In(32),
                "front_ends": In(1),
                "beside": In(1),
                "front_ordinal": In(Ordinal),
                "back_ends": In(1),
                "back_ordinal": In(Ordinal),
                "cycles": Out(32),
                "o_profile": Out(stream.Signature(Profile, always_ready=True)),
                "late": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        spent, stall = Signal(32), Signal(32)
        takes = Signal()  # a descriptor ends that takes the cycles spent
        then = Signal(33)
        m.d.comb += [
            takes.eq(self.back_ends | (self.front_ends & ~self.beside)),
            then.eq(spent + 1),
        ]
        # spent >= watchdog, foreseen in the cycle before
        m.d.sync += self.late.eq((then >= self.watchdog) & self.watchdog.any() & self.working & ~takes)
        with m.If(self.working):
            m.d.sync += [self.cycles.eq(self.cycles + 1), spent.eq(then)]
            with m.If(self.running):
                m.d.sync += stall.eq(stall + self.stalled_lanes)
        entry = self.o_profile.payload
        m.d.comb += [
            entry.index.eq(Mux(self.back_ends, self.back_ordinal.number, self.front_ordinal.number)),
            entry.cycles.eq(Mux(takes, spent, 0)),
            entry.stall.eq(Mux(takes, stall, 0)),
            self.o_profile.valid.eq(
                (self.back_ends & self.back_ordinal.profiled) | (self.front_ends & self.front_ordinal.profiled)
            ),
        ]
        with m.If(takes):
            m.d.sync += [spent.eq(0), stall.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.cycles.eq(0), spent.eq(0), stall.eq(0)]
        return m
