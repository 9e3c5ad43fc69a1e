"""Amaranth's FIFOs, opened: they show what they hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Assert, Fragment, Module, Mux, Signal

from .harness import Edits, load, registers, wrap


def open_fifos(edits: Edits) -> SimpleNamespace:
    """Stands for `amaranth.lib.fifo`: the same classes, whose `stored[n]` is the n-th oldest entry.

    `made` lists the FIFOs in the order of their making. They assert that their pointers agree with their level.
    """
    module = load("amaranth.lib.fifo", edits)
    made: list[Any] = []

    def opened(kind: Any, buffered: bool) -> Any:
        class OpenFIFO(kind):
            def __init__(self, *, width: int, depth: int) -> None:
                super().__init__(width=width, depth=depth)
                self.stored = [Signal(width, name=f"stored{n}") for n in range(depth)]
                made.append(self)

            def elaborate(self, platform: object) -> Module:
                m = Module()
                rows = self.depth - buffered  # a buffered one keeps its oldest entry in a register
                inner = super().elaborate(None)
                ports = [inner.submodules.storage.read_port(domain="comb") for _ in range(rows)]
                m.submodules.inner = fragment = Fragment.get(inner, None)
                own = registers(fragment)
                level = own.inner_level if buffered else own.level
                for n, port in enumerate(ports):
                    m.d.comb += port.addr.eq(wrap(own.consume + n, rows))
                for n, stored in enumerate(self.stored):
                    in_memory = ports[n].data if n < rows else 0
                    older = self.r_data if n == 0 else ports[n - 1].data
                    m.d.comb += stored.eq(Mux(self.r_rdy, older, in_memory) if buffered else in_memory)
                m.d.comb += [
                    Assert(level <= rows),
                    Assert(own.consume < rows),
                    Assert(own.produce == wrap(own.consume + level, rows)),
                ]
                if buffered:
                    m.d.comb += Assert(self.r_rdy | (level <= 1))
                return m

        return OpenFIFO

    return SimpleNamespace(
        SyncFIFO=opened(module.SyncFIFO, False), SyncFIFOBuffered=opened(module.SyncFIFOBuffered, True), made=made
    )
