"""headrace_hw.clock: a report counts only while it is of this configuration and this RTL."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from headrace.config import get_config
from headrace_hw import clock

CONFIG = get_config("demo")
VERILOG = "module headrace; endmodule\n"
GOOD = {
    "fmax_mhz": 61.5,
    "config_hash": f"{CONFIG.hash:08x}",
    "rtl_sha256": hashlib.sha256(VERILOG.encode()).hexdigest(),
    "routed_on": "LFE5U-85F",
    "tools": {"nextpnr-ecp5": "0.11", "yosys": "0.70"},
}


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(clock, "REPORTS", tmp_path)
    return tmp_path / "demo.json"


def test_valid(reports: Path):
    reports.write_text(json.dumps(GOOD))
    found = clock.routed_clock(CONFIG, VERILOG)
    assert found == clock.Clock(61.5, "headrace_hw/reports/demo.json: LFE5U-85F; nextpnr-ecp5 0.11, yosys 0.70")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config_hash": "0"}, "another configuration"),
        ({"rtl_sha256": "0"}, "another state of the RTL"),
        ({"fmax_mhz": None}, "not a place-and-route report"),
        ({"tools": None}, "not a place-and-route report"),
        ({"fmax_mhz": "fast"}, "not a place-and-route report"),
    ],
)
def test_not_valid(reports: Path, change: dict[str, object], reason: str):
    reports.write_text(json.dumps({**GOOD, **change}))
    found = clock.routed_clock(CONFIG, VERILOG)
    assert found.mhz is None and reason in found.source


def test_missing_or_damaged(reports: Path):
    assert "no place-and-route report" in clock.routed_clock(CONFIG, VERILOG).source
    for text in ("", "[]", "{}", "\x00"):
        reports.write_text(text)
        assert clock.routed_clock(CONFIG, VERILOG) == clock.Clock(
            None, "headrace_hw/reports/demo.json is not a place-and-route report"
        )
