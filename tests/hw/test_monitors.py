# amaranth: UnusedElaboratable=no
"""The monitors see what breaks the handshake contract, at any depth of a design; no `valid` waits for its `ready`."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace_hw.csr import Registers
from headrace_hw.reads import ReadSide
from headrace_hw.top import Top
from headrace_hw.writer import BlockWriter
from hw.monitors import components, handshakes, ready_paths
from hw.streams import simulate

CONFIG = Config("monitors", lanes=2, pixels=4, x_words=64, acc_words=8, symbols=16, read_ports=2)


class Faulty(wiring.Component):
    """Offers 1 for ever, but `fault` takes it back, or makes it 2, for a cycle; `greedy`: waits for `ready`."""

    def __init__(self, fault: str = "", greedy: bool = False) -> None:
        self._fault, self._greedy = fault, greedy
        super().__init__({"o": Out(stream.Signature(8)), "now": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        taken_back, changed = self._fault == "taken back", self._fault == "changed"
        m.d.comb += [
            self.o.valid.eq(~(self.now & taken_back) & (self.o.ready if self._greedy else 1)),
            self.o.payload.eq(1 + (self.now & changed)),
        ]
        return m


class Outer(wiring.Component):
    """Has `Faulty` inside, where no bench sees it; `reset` resets it."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        super().__init__({"now": In(1), "reset": In(1), "ready": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        inner = Faulty(self._fault)
        m.submodules.inner = ResetInserter(self.reset)(inner)
        m.d.comb += [inner.now.eq(self.now), inner.o.ready.eq(self.ready)]
        return m


def run(outer: Outer, ready: int = 0, reset: int = 0) -> None:
    """Two cycles; `now` in the second, `reset` in the first where it is wanted."""

    async def bench(ctx: Any) -> None:
        for cycle in range(2):
            ctx.set(outer.ready, ready)
            ctx.set(outer.reset, reset and cycle == 0)
            ctx.set(outer.now, cycle == 1)
            await ctx.tick()

    simulate(outer, bench)


@pytest.mark.parametrize(("fault", "message"), [("taken back", "valid was taken back"), ("changed", "payload changed")])
def test_a_breach_deep_in_a_design_is_seen(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=f"Faulty: o: .*{message}"):
        run(Outer(fault))


@pytest.mark.parametrize("fault", ["taken back", "changed"])
def test_what_was_taken_or_reset_may_change(fault: str) -> None:
    run(Outer(fault), ready=1)
    run(Outer(fault), reset=1)
    run(Outer(""))


def test_every_channel_of_axi_is_a_handshake() -> None:
    found = {name: len(payload) for name, _, _, payload in handshakes(BlockWriter(16))}
    assert found == {"i": 64, "i_data": 64, "axi.aw": 32 + 8 + 3 + 2 + 4 + 3, "axi.w": 64 + 8 + 1, "axi.b": 2}
    found = {name: len(payload) for name, _, _, payload in handshakes(Registers(CONFIG))}
    lite = {name: width for name, width in found.items() if name.startswith("bus.")}
    assert lite == {"bus.aw": 15, "bus.w": 36, "bus.b": 2, "bus.ar": 15, "bus.r": 34}
    reads = [name for name, *_ in handshakes(ReadSide(CONFIG))]
    assert {"axi[0].ar", "axi[1].r", "lane[0]", "lane[1]", "i_block[0]", "i_block[1]"} <= set(reads)


@pytest.mark.slow
def test_no_valid_of_the_accelerator_waits_for_its_ready() -> None:
    """Of any component in it, by its netlist: so no handshake depends on who is first."""
    kinds = {type(component): component for component in components(Top(CONFIG))}
    paths = {kind.__name__: found for kind, component in kinds.items() if (found := ready_paths(component))}
    assert {name: found for name, found in paths.items() if any(found.values())} == {}
    assert {"Top", "Lanes", "Sequencer", "BlockWriter", "ReadMaster", "LaneFetcher"} <= set(paths)
    assert set(paths["Top"]) == {"axi_read[0].ar", "axi_read[1].ar", "axi_write.aw", "axi_write.w", "csr.b", "csr.r"}


def test_a_valid_that_waits_for_ready_is_seen() -> None:
    assert ready_paths(Faulty()) == {"o": False}
    assert ready_paths(Faulty(greedy=True)) == {"o": True}
