"""Verilog of the accelerator and of single components. Equal input gives equal text."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.back import verilog
from amaranth.hdl import Const, Value, ValueCastable
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring

from headrace.config import Config

PREFIXES = {"axi_read_0": "m_axi", "axi_read_1": "m_axi1", "axi_write": "m_axi", "csr": "s_axi"}
"""Verilog prefix of the ports of a member of the top level; the second read port is a master of its own."""


def emit(config: Config) -> str:
    """Module `headrace`: ports clk, rst, m_axi_<signal>, m_axi1_<signal> (a second read port), s_axi_<signal>, irq."""
    from .top import Top

    return emit_component(Top(config), "headrace", PREFIXES)


def emit_component(component: wiring.Component, name: str, prefixes: Mapping[str, str] | None = None) -> str:
    """Module `name`: ports clk, rst, and every member of the component's signature, its path joined by "_".

    `prefixes` replaces the first part of a path, or the first two. ValueError where two ports would have one name.
    """
    ports: dict[str, tuple[Value, PortDirection]] = {}
    for path, member, value in component.signature.flatten(component):
        if isinstance(value, Const):  # `ready` of a stream that is always ready
            continue
        port = "_".join(map(str, path))
        for start, prefix in (prefixes or {}).items():
            if port.startswith(f"{start}_"):
                port = prefix + port[len(start) :]
        if port in ports or port in ("clk", "rst"):
            raise ValueError(f"two ports are named {port}")
        value = value.as_value() if isinstance(value, ValueCastable) else value
        ports[port] = (value, PortDirection.Input if member.flow == wiring.In else PortDirection.Output)
    return verilog.convert(component, name, ports=ports, emit_src=False, strip_internal_attrs=True)
