"""scripts/rows_alike and scripts/layer_removal: pages, counts and refusals; what they measure has tests of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from headrace.nets import build  # noqa: E402
from script_modules import script_module  # noqa: E402

ROOT = Path(__file__).parents[3]


def test_page_of_rows_alike_is_of_the_figures() -> None:
    rows = json.loads((ROOT / "docs" / "rows_alike.json").read_text())
    assert (ROOT / "docs" / "rows_alike.md").read_text() == script_module("rows_alike").page(rows)


def test_multiplications_are_those_of_trained_convolutions() -> None:
    """ResNet-20: 40.55 million, of 19 convolutions; one that is frozen is none of them."""
    script, network = script_module("layer_removal"), build("resnet20")
    whole = script.multiplications(network)
    first = next(part for part in network.modules() if isinstance(part, torch.nn.Conv2d))
    assert whole == 32 * 32 * 9 * (3 * 16 + 6 * 16 * 16 + (16 * 32 + 5 * 32 * 32) // 4 + (32 * 64 + 5 * 64 * 64) // 16)
    first.weight.requires_grad = False
    assert script.multiplications(network) == whole - 32 * 32 * 9 * 3 * 16


@pytest.mark.parametrize(
    ("name", "option", "value", "reason"),
    [
        ("rows_alike", "--points", "1,x", "numbers from 0 to 100"),
        ("rows_alike", "--points", "101", "numbers from 0 to 100"),
        ("rows_alike", "--markdown", "page.npz", "does not end in .md"),
        ("rows_alike", "--data", "none", "none"),
        ("layer_removal", "--steps", "2,x", "whole numbers"),
        ("layer_removal", "--markdown", "page.npz", "does not end in .md"),
        ("layer_removal", "--data", "none", "none"),
    ],
)
def test_refusals_are_one_line(name: str, option: str, value: str, reason: str, tmp_path: Path) -> None:
    given = {"--weights": str(tmp_path / "w.th"), "--data": str(tmp_path)}
    given |= {"--network": "dscnn"} if name == "rows_alike" else {}
    arguments = [one for pair in (given | {option: value}).items() for one in pair]
    done = CliRunner().invoke(script_module(name).main, arguments)
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit)
    assert reason in done.output.splitlines()[-1]
