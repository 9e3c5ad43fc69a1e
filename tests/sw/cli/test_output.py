"""headrace.cli.output."""

from __future__ import annotations

import io
import json
import time

import pytest

from headrace.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json(capsys: pytest.CaptureFixture[str]):
    output.print_json({"a": 1, "b": None})
    assert json.loads(capsys.readouterr().out) == {"a": 1, "b": None}
    with pytest.raises(ValueError, match="JSON"):
        output.print_json({"a": float("nan")})


def test_table(capsys: pytest.CaptureFixture[str]):
    output.print_table("title", ("name", "n"), [("a", 12345), ("b", None)], "note [x]")
    text = capsys.readouterr().out
    assert text.startswith("title\n") and "12,345" in text and " - " in text and "note [x]" in text


def test_a_table_wider_than_the_terminal_is_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "40")
    columns = [f"column {n}" for n in range(8)]
    output.print_table("wide", columns, [[1_000_000 + n for n in range(8)]])
    output.print_table("words", ["n", "what"], [[1, "word " * 30]])
    text = capsys.readouterr().out
    assert all(name in text for name in columns) and all(f"1,000,00{n}" in text for n in range(8))
    words = text.split("words")[1]
    assert words.count("word") == 30 and max(map(len, words.splitlines())) <= 40


def test_no_progress_without_a_terminal(capsys: pytest.CaptureFixture[str]):
    with output.progress("work") as show:
        show(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("patience", "seen"), [(0.0, True), (60.0, False)])
def test_progress_appears_after_a_while(monkeypatch: pytest.MonkeyPatch, patience: float, seen: bool):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "PATIENCE", patience)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with output.progress("work") as show:
        show(1, 2, "whatever")
        for _ in range(200):
            if not seen or "work" in terminal.getvalue():
                break
            time.sleep(0.02)
    assert ("work" in terminal.getvalue()) == seen
