"""headrace fetch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.cli import main
from headrace.data import fetch as source
from headrace.errors import DataError


def run(*arguments: str):
    return CliRunner().invoke(main, ["fetch", *arguments])


def fake(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None) -> None:
    def fetch(data: source.DataSet, to: Path, where: str | None, progress) -> list[Path]:
        progress("a", 1, 0)
        if error is not None:
            raise error
        to.mkdir()
        (to / "a").write_bytes(b"123")
        return [to / "a"]

    monkeypatch.setattr(source, "fetch", fetch)


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake(monkeypatch)
    folder = tmp_path / "mnist"
    result = run("mnist", "--to", str(folder), "--json")
    assert result.exit_code == 0 and result.stderr == ""
    assert json.loads(result.stdout) == {"dataset": "mnist", "files": [{"path": str(folder / "a"), "bytes": 3}]}


def test_fetch_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake(monkeypatch)
    assert "MNIST" in run("mnist", "--to", str(tmp_path / "m")).stdout


def test_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fake(monkeypatch, DataError("no way"))
    result = run("mnist", "--to", str(tmp_path), "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: no way\n")
    result = CliRunner().invoke(main, ["fetch", "mnist", "--to", str(tmp_path), "--source", str(tmp_path / "none")])
    assert result.exit_code == 1 and result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["mnist"], ["imagenet", "--to", "x"], []])
def test_wrong_usage(arguments: list[str]):
    assert run(*arguments).exit_code == 2
