"""scripts/bench_accuracy: what it writes, and that the page in docs is that of the figures beside it."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from real_graphs import chain, images
from script_modules import script_module

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_module("bench_accuracy")


def test_page_is_of_the_figures(script):
    rows = json.loads((ROOT / "docs" / "accuracy.json").read_text())
    assert (ROOT / "docs" / "accuracy.md").read_text() == script.markdown(rows)


def test_int8_loses_at_most_half_a_point():
    for row in json.loads((ROOT / "docs" / "accuracy.json").read_text()):
        assert row["variants"]["int8"]["accuracy"] >= row["float"] - 0.005, row["network"]


def test_measures(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("sklearn")
    x = images(40)
    np.savez(tmp_path / "a.npz", x=x, y=chain().run(x).argmax(axis=1))
    case = script.Case("chain", lambda: (chain(), None), tmp_path / "a.npz", "raw")
    monkeypatch.setattr(script, "cases", lambda given: [case])
    (tmp_path / "j.json").write_text(
        json.dumps([{"network": "z", "images": 1, "weights": 2, "float": 0.5, "variants": {}}])
    )
    arguments = ["--json", str(tmp_path / "j.json"), "--markdown", str(tmp_path / "m.md")]
    result = CliRunner().invoke(script.main, arguments)
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "j.json").read_text())
    assert [row["network"] for row in rows] == ["chain", "z"]
    assert rows[0]["float"] == 1.0 and rows[0]["weights"] == 1304
    variants = rows[0]["variants"]
    assert list(variants) == list(script.VARIANTS) and variants["int8"]["accuracy"] > 0.9
    assert variants[script.FITTED]["values"] <= 32 and 0.4 < variants[script.FITTED]["density"] < 0.6
    assert (tmp_path / "m.md").read_text() == script.markdown(rows)


def test_no_files(script):
    assert CliRunner().invoke(script.main, []).exit_code == 2
