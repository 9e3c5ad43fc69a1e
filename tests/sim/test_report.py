"""`headrace report --simulate`: the page has what the simulated RTL counts."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.compile import compile_network
from headrace.config import get_config
from networks import tiny_lenet

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.mark.slow
def test_cycles_are_those_of_run(tmp_path: Path) -> None:
    network = tiny_lenet(np.random.default_rng(3))
    Artifact(compile_network(network, get_config("tiny"))).save(tmp_path / "a.hrz")
    np.save(tmp_path / "x.npy", np.ones((1, *network.input_shape), np.int8))
    files = [str(tmp_path / name) for name in ("a.hrz", "x.npy", "y.npy", "r.html")]
    run = CliRunner().invoke(
        main, ["run", files[0], "--device", "sim", "--input", files[1], "--output", files[2], "--json"]
    )
    assert run.exit_code == 0, run.output
    counted = json.loads(run.stdout)
    written = CliRunner().invoke(main, ["report", files[0], "-o", files[3], "--simulate"])
    assert (written.exit_code, written.stderr) == (0, "")
    root = ElementTree.parse(files[3]).getroot()
    (table,) = [one for one in root.iter("table") if one.get("id") == "cycles"]
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    assert [row[6:8] for row in rows[1:-1]] == [
        [f"{layer['cycles']:,}", f"{layer['stall_cycles']:,}"] for layer in counted["layers"]
    ]
    assert rows[-1][6] == f"{counted['cycles']:,}"
