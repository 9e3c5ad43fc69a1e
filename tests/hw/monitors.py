"""Holds every stream and AXI channel of a design to the handshake contract, in simulation and by structure.

While `monitored()` is in force, each component that is elaborated gets an asserting monitor for each handshake of its
ports, however deep in the design it lies: `simulate` does so, and thus all block benches. What resets a component, a
ResetInserter or a `clear` of its own, resets its monitors too. `ready_paths` asks the netlist in place of a trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from amaranth.hdl import Assert, Cat, Const, Elaboratable, Format, Fragment, Module, Shape, Signal, Value
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.hdl._nir import Net
from amaranth.lib import stream, wiring

from headrace_hw.axi import AXI4ReadSignature, AXI4WriteSignature, AXILiteSignature

Handshake = tuple[str, Value, Value, Value]
"""Name, valid, ready, payload."""
CHANNELS = ("aw", "w", "b", "ar", "r")
AXI = (AXI4ReadSignature, AXI4WriteSignature, AXILiteSignature)


def handshakes(component: wiring.Component) -> Iterator[Handshake]:
    """Of all streams and AXI channels among the component's ports, those inside of arrays too."""
    for name, member in component.signature.members.items():
        if member.is_signature:
            yield from _of_array(name, member.signature, getattr(component, name), member.dimensions)


def _of_array(name: str, signature: Any, interface: Any, dimensions: tuple[int, ...]) -> Iterator[Handshake]:
    kind = signature.flip() if isinstance(signature, wiring.FlippedSignature) else signature
    if dimensions:
        for n, element in enumerate(interface):
            yield from _of_array(f"{name}[{n}]", signature, element, dimensions[1:])
    elif isinstance(kind, stream.Signature):
        yield name, interface.valid, Value.cast(interface.ready), Value.cast(interface.payload)
    elif isinstance(kind, AXI):
        yield from _channels(name, list(kind.members), interface)


def _channels(name: str, members: list[str], interface: Any) -> Iterator[Handshake]:
    for channel in CHANNELS:
        mine = [member for member in members if re.fullmatch(f"{channel}(?!valid|ready)[a-z]+", member)]
        if mine:
            payload = Cat(getattr(interface, member) for member in mine)
            yield (
                f"{name}.{channel}",
                getattr(interface, f"{channel}valid"),
                getattr(interface, f"{channel}ready"),
                payload,
            )


class Monitor(Elaboratable):
    """AssertionError in the simulation where what waits is taken back or changes; `released`: in this cycle it may."""

    def __init__(self, owner: str, handshake: Handshake, released: Value) -> None:
        self._owner, self._handshake, self._released = owner, handshake, released

    def elaborate(self, platform: object) -> Module:
        m = Module()
        name, valid, ready, payload = self._handshake
        waits, held = Signal(), Signal(Shape(len(payload)))
        m.d.sync += [waits.eq(valid & ~ready & ~self._released), held.eq(payload)]
        with m.If(waits & ~self._released):
            m.d.sync += [
                Assert(valid, Format(f"{self._owner}: {name}: valid was taken back")),
                Assert(payload == held, Format(f"{self._owner}: {name}: the payload changed while it waited")),
            ]
        return m


@contextmanager
def monitored() -> Iterator[None]:
    """Within it, every component that is elaborated is watched."""
    plain = Fragment.get

    def get(made: Any, platform: Any) -> Fragment:
        fragment = plain(made, platform)
        if isinstance(made, wiring.Component):
            owner = type(made).__name__
            own = made.signature.members
            released = Const(0, 1)
            for name, flow in (("clear", wiring.In), ("forget", wiring.Out)):  # told, or telling the other side
                if name in own and own[name].flow == flow:
                    released = getattr(made, name)
            for handshake in handshakes(made):
                if not isinstance(handshake[2], Const):  # always ready: nothing ever waits
                    fragment.add_subfragment(plain(Monitor(owner, handshake, released), platform))
        return fragment

    with patch.object(Fragment, "get", staticmethod(get)):
        yield


def components(component: wiring.Component) -> list[wiring.Component]:
    """The component, and all that are in it."""

    def within(fragment: Fragment) -> list[wiring.Component]:
        own = [made for made in fragment.origins or () if isinstance(made, wiring.Component)]
        return own + [made for part, *_ in fragment.subfragments for made in within(part)]

    return within(Fragment.get(component, None))


def ready_paths(component: wiring.Component) -> dict[str, bool]:
    """Of each handshake that the component is the source of: whether its `valid` is a function of its `ready`.

    The netlist decides, not a trace: False holds for all inputs and states.
    """
    if not any(handshakes(component)):
        return {}
    ports: dict[str, tuple[Value, PortDirection]] = {}
    for path, member, value in component.signature.flatten(component):
        if not isinstance(Value.cast(value), Const):
            way = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
            ports["_".join(map(str, path))] = Value.cast(value), way
    names = {id(value): name for name, (value, _) in ports.items()}
    netlist = build_netlist(Fragment.get(component, None), ports)
    result: dict[str, bool] = {}
    for name, valid, ready, _ in handshakes(component):
        source = names.get(id(valid))
        if source is None or ports[source][1] != PortDirection.Output or isinstance(ready, Const):
            continue
        start, width = netlist.top.ports_i[names[id(ready)]]
        targets = {Net.from_cell(0, start + bit) for bit in range(width)}
        result[name] = _reaches(netlist, netlist.top.ports_o[source], targets)
    return result


def _reaches(netlist: Any, nets: Any, targets: set[Net]) -> bool:
    waiting, seen = list(nets), set()
    while waiting:
        net = waiting.pop()
        if net in seen or net.is_const:
            continue
        seen.add(net)
        if net in targets:
            return True
        if net.cell:
            waiting += [edge for edge, _ in netlist.cells[net.cell].comb_edges_to(net.bit)]
    return False
