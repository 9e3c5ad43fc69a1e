"""What docs/your-own-network.md tells a user to do, works as it says."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "your-own-network.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for package in ("torch", "onnx", "sklearn"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = BLOCK.findall(PAGE.read_text())
    assert [kind for kind, _ in blocks].count("sh") == 3 and {kind for kind, _ in blocks} == {"sh", "python"}
    for kind, text in blocks:
        if kind == "python":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=DeprecationWarning)  # of the exporter
                exec(compile(text, str(PAGE), "exec"), names)
        else:
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                result = CliRunner().invoke(main, arguments)
                assert program == "headrace" and result.exit_code == 0, result.output
