# amaranth: UnusedElaboratable=no
"""Verilog text: port names, no trace of the machine it was made on, the same in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from headrace.isa import SYMBOL
from headrace_hw.burst import BurstSplitter
from headrace_hw.layouts import layout
from headrace_hw.reader import ReadMaster
from headrace_hw.verilog import emit_component

PROGRAM = """
from headrace_hw.burst import BurstSplitter
from headrace_hw.verilog import emit_component
import hashlib
print(hashlib.sha256(emit_component(BurstSplitter(16), "splitter").encode()).hexdigest())
"""


def test_ports() -> None:
    text = emit_component(ReadMaster(3), "reader", {"axi": "m_axi"})
    header = text[text.index("module reader(") :].split(";")[0]
    ports = {port.strip() for port in header.split("(")[1].rstrip(")").split(",")}
    assert {"clk", "rst", "i_valid", "i_payload", "o_ready", "m_axi_araddr", "m_axi_rdata", "idle"} <= ports
    assert "output [2:0] m_axi_arsize" in text and "input [63:0] m_axi_rdata" in text


def test_equal_in_every_process() -> None:
    text = emit_component(BurstSplitter(16), "splitter")
    assert ".py" not in text and "src =" not in text
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == hashlib.sha256(text.encode()).hexdigest()


def test_two_ports_of_one_name() -> None:
    component = wiring.Component({"a": Out(wiring.Signature({"x": Out(1)})), "b": In(wiring.Signature({"x": Out(1)}))})
    with pytest.raises(ValueError, match="two ports are named p_x"):
        emit_component(component, "both", {"a": "p", "b": "p"})


def test_layout_keeps_places_and_signs() -> None:
    word = SYMBOL.pack({"value": -200, "run": 77, "end": 1})
    symbol = layout(SYMBOL).from_bits(word)
    assert {name: symbol[name] for name in ("value", "run", "end")} == {"value": -200, "run": 77, "end": 1}
    assert layout(SYMBOL).size == SYMBOL.width
