"""headrace verilog."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import headrace_hw.verilog as verilog
from headrace.config import get_config
from headrace_hw import cli_synth, synth
from headrace_hw.cli import verilog as command


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(verilog, "emit", lambda config: f"// {config.name}\n")
    return "// tiny\n"


def test_writes_the_file(tmp_path: Path, text: str):
    folder = tmp_path / "a" / "b"
    result = CliRunner().invoke(command, ["tiny", "-o", str(folder), "--json"])
    assert result.exit_code == 0 and result.stderr == ""
    assert json.loads(result.stdout) == {
        "config": "tiny",
        "config_hash": f"{get_config('tiny').hash:08x}",
        "top": "headrace",
        "file": str(folder / "tiny.v"),
        "bytes": len(text),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    assert [path.name for path in folder.iterdir()] == ["tiny.v"] and (folder / "tiny.v").read_text() == text
    assert "tiny.v" in CliRunner().invoke(command, ["tiny", "-o", str(folder)]).stdout


@pytest.mark.parametrize("arguments", [["tiny"], ["huge", "-o", "x"], ["-o", "x"]])
def test_wrong_usage(arguments: list[str]):
    assert CliRunner().invoke(command, arguments).exit_code == 2


def test_not_writable(tmp_path: Path, text: str):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(command, ["tiny", "-o", str(tmp_path / "file")])
    assert "cannot be written" in str(result.exception) and result.stdout == ""


def test_interrupted(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    assert CliRunner().invoke(command, ["tiny", "-o", str(tmp_path)]).exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_real_verilog(tmp_path: Path):
    assert CliRunner().invoke(command, ["tiny", "-o", str(tmp_path)]).exit_code == 0
    assert "module headrace(" in (tmp_path / "tiny.v").read_text()


def test_record_of_a_synthesis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whole or not at all."""
    report = {"part": "xc7z020", "fits": True, "fmax_mhz": 50.0, "routed_on": "ECP5", "tools": {"yosys": "1"}}
    report["routed"] = {"top": {"fmax_mhz": 50.0, "seed": 1, "seeds": 1}}
    report |= dict.fromkeys(("lut", "ff", "bram36", "dsp"), 1)
    monkeypatch.setattr(synth, "synthesise", lambda config, step: report)
    monkeypatch.setattr(cli_synth, "REPORTS", tmp_path / "reports")
    monkeypatch.setattr(cli_synth, "DOCUMENTED", tmp_path / "none" / "reports")
    assert CliRunner().invoke(cli_synth.synth, ["tiny", "--record", "--json"]).exit_code == 0
    path = tmp_path / "reports" / "tiny.json"
    before = path.read_text()
    assert json.loads(before) == report
    monkeypatch.setattr(cli_synth, "DOCUMENTED", tmp_path / "docs")
    shown = CliRunner().invoke(cli_synth.synth, ["tiny", "--record"])
    assert "top 50.0 MHz (seed 1)" in shown.stdout.replace("\n", " ")
    assert (tmp_path / "docs" / "tiny.json").read_text() == before

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    result = CliRunner().invoke(cli_synth.synth, ["tiny", "--record", "--json"])
    assert "tiny.json cannot be written: No space" in str(result.exception)
    assert [(file.name, file.read_text()) for file in path.parent.iterdir()] == [("tiny.json", before)]
