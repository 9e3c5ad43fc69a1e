"""Without the packages that importers need, an error says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from headrace.errors import HeadraceError
from headrace.importers import import_model
from headrace.importers.torch import import_torch


def test_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(HeadraceError, match=r"pip install 'headrace\[onnx\]'"):
        import_model(tmp_path / "model.onnx")


def test_torch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(HeadraceError, match=r"pip install 'headrace\[torch\]'"):
        import_torch(None)
