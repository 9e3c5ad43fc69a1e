"""What the harnesses share: free inputs, private copies of the blocks' sources, and sight of a block's registers."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Elaboratable, Fragment, Module, Mux, Signal, Value
from amaranth.hdl._ast import SignalKey
from amaranth.lib import stream

Edits = Mapping[str, tuple[str, str]]
"""By module name, a text of its source and what is put in its place."""


def load(name: str, edits: Edits, **names: Any) -> Any:
    """A copy of module `name`, edited, in which `names` stand for what the module itself imports by these names.

    ValueError where the text to replace does not occur exactly once.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ValueError(f"no module {name}")
    source = Path(spec.origin).read_text()
    if name in edits:
        old, new = edits[name]
        if source.count(old) != 1:
            raise ValueError(f"{name} has {source.count(old)} times: {old}")
        source = source.replace(old, new)
    module = ModuleType(name)
    module.__package__ = name.rpartition(".")[0]
    exec(compile(source, spec.origin, "exec"), module.__dict__)
    module.__dict__.update(names)
    return module


def registers(fragment: Fragment) -> SimpleNamespace:
    """What a fragment sets at the clock's edge, by name; in turn what its submodules do, by the submodule's name.

    `in_order`: its own in the order of their making, since some have no name of their own.
    """
    signals = (signal for statement in fragment.statements.get("sync", []) for signal in statement._lhs_signals())
    found = sorted({SignalKey(signal) for signal in signals})
    inside = {name: registers(part) for part, name, _ in fragment.subfragments if name and type(part) is Fragment}
    return SimpleNamespace(
        in_order=[key.signal for key in found], **inside, **{key.signal.name: key.signal for key in found}
    )


def ongoing(fsm: Signal, state: str) -> Value:
    """1 while a state machine, by the register that holds its state, is in this one."""
    return fsm == next(n for n in range(1 << len(fsm)) if fsm.decoder(n) == f"{state}/{n}")


def wrap(value: Value, modulus: int) -> Value:
    """`value` modulo `modulus`, for values less than twice that."""
    return Mux(value >= modulus, value - modulus, value)


class Harness(Elaboratable, ABC):
    """A block with what may happen to it and what must hold: `build` adds both to a module.

    `depth`: cycles from the start that are searched. `induction`: cycles after which the assertions hold for ever once
    they held that long; None where that is not proven. `cover_depth`: cycles within which all covers are reached, which
    shows that the assumptions allow what is meant to happen.
    """

    name: ClassVar[str]
    properties: ClassVar[str]
    depth: ClassVar[int]
    induction: ClassVar[int | None]
    cover_depth: ClassVar[int]

    def __init__(self, edits: Edits | None = None) -> None:
        self.edits: Edits = edits or {}
        self.sync = ClockDomain(reset_less=True)
        self.inputs = [self.sync.clk]

    @abstractmethod
    def build(self, m: Module) -> None:
        """Add the block, what drives it, and what must hold."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = self.sync
        self.build(m)
        return m

    def rtlil(self) -> str:
        """Module `top` for Yosys."""
        module = Fragment.get(self, None)
        return rtlil.convert(module, "top", ports=self.inputs)

    def free(self, m: Module, target: Value) -> None:
        """Drives `target` with an input, which may be anything in every cycle."""
        value = Signal(len(target), name=f"free{len(self.inputs) - 1}")
        self.inputs.append(value)
        m.d.comb += target.eq(value)

    def constant(self, m: Module, target: Value) -> None:
        """Drives `target` with an input that never changes."""
        self.free(m, target)
        m.d.comb += Assume(~started(m) | (target == delayed(m, target)))

    def dut(self, m: Module, block: Elaboratable) -> SimpleNamespace:
        """Makes `block` a submodule; its own registers by name."""
        fragment = Fragment.get(block, None)
        m.submodules.dut = fragment
        return registers(fragment)


def delayed(m: Module, value: Value) -> Signal:
    """`value` of the cycle before; 0 in the first."""
    before = Signal(len(value), name="before")
    m.d.sync += before.eq(value)
    return before


def started(m: Module) -> Signal:
    """0 in the first cycle alone."""
    after = Signal(name="after")
    m.d.sync += after.eq(1)
    return after


def patient(m: Module, valid: Value, ready: Value, payload: Value) -> Value:
    """1 unless a transfer was offered, not taken, and then withdrawn or changed."""
    waiting = delayed(m, valid & ~ready)
    before = delayed(m, payload)
    return ~waiting | (valid & (payload == before))


def patient_stream(m: Module, port: stream.Interface) -> Value:
    payload = port.payload.as_value() if hasattr(port.payload, "as_value") else port.payload
    return patient(m, port.valid, port.ready, payload)


class Queue:
    """The reference for order: `entries[0]` is the oldest of `count`; a push into a full one is an error."""

    def __init__(self, m: Module, width: int, depth: int, push: Value, value: Value, pop: Value) -> None:
        self.count = Signal(range(depth + 1), name="queue_count")
        self.entries = [Signal(width, name=f"queue{n}") for n in range(depth)]
        left = Signal(range(depth + 1), name="queue_left")
        m.d.comb += [left.eq(self.count - pop), Assert(self.count <= depth), Assert(~(pop & (self.count == 0)))]
        m.d.comb += Assert(~(push & (left == depth)))
        m.d.sync += self.count.eq(left + push)
        for n, entry in enumerate(self.entries):
            older = self.entries[n + 1] if n + 1 < depth else entry
            m.d.sync += entry.eq(Mux(push & (left == n), value, Mux(pop, older, entry)))

    def agrees(self, m: Module, held: Sequence[Value]) -> None:
        """Asserts that `held` are the entries, oldest first."""
        for n, (entry, value) in enumerate(zip(self.entries, held, strict=True)):
            m.d.comb += Assert((self.count <= n) | (entry == value))
