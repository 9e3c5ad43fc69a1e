"""The notebooks as they are shipped: short, without outputs, found by PYNQ's tools."""

from __future__ import annotations

import ast
import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from headrace import notebooks
from headrace.config import CONFIGS
from headrace.device.overlays import VARIABLE, find_overlay
from headrace.errors import DeviceError

FOLDER = Path(notebooks.__file__).parent
NAMES = ("getting_started", "own_network", "profiling")


def test_entry_point() -> None:
    groups = entry_points(group="pynq.notebooks")
    if "headrace" not in groups.names:
        pytest.skip("needs pip install -e .")
    assert groups["headrace"].load() is notebooks
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_cells(name: str) -> None:
    content = json.loads((FOLDER / f"{name}.ipynb").read_text())
    assert content["nbformat"] == 4 and content["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert 4 <= len(code) <= 8 and content["cells"][0]["cell_type"] == "markdown"
    for cell in code:
        assert cell["outputs"] == [] and cell["execution_count"] is None
        ast.parse("".join(cell["source"]))
    assert "".join(code[0]["source"]).count("find_overlay()") == 1  # one place to change


def test_overlay_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    names = {name: f"headrace-{name}-{config.hash:08x}.bit" for name, config in CONFIGS.items()}
    for wrong in ("other.bit", "headrace-tiny.bit"):
        (tmp_path / wrong).touch()
    with pytest.raises(
        DeviceError, match=r"^no headrace-\*\.bit in .*: put the board's \.bit and \.hwh there, or name"
    ):
        find_overlay(tmp_path)
    (tmp_path / names["pynq-z2"]).touch()
    assert find_overlay(tmp_path) == (tmp_path / names["pynq-z2"], CONFIGS["pynq-z2"])
    (tmp_path / names["tiny"]).touch()
    with pytest.raises(DeviceError, match=rf"2 overlays \({names['pynq-z2']}, {names['tiny']}\)"):
        find_overlay(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / names["tiny"]))
    assert find_overlay(tmp_path)[1] is CONFIGS["tiny"]
    for name, message in (
        ("other.bit", "is not named headrace-CONFIG-HASH.bit"),
        ("headrace-tiny-00000000.bit", "of one version"),
        ("headrace-none-00000000.bit", "of one version"),
    ):
        monkeypatch.setenv(VARIABLE, name)
        with pytest.raises(DeviceError, match=message):
            find_overlay(tmp_path)
