"""The notebooks, delivered by PYNQ's own command and executed as Jupyter does, on the virtual board."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.device import open_device
from headrace.session import Session
from sim.served import board

pytest.importorskip("pynq", reason="pynq is not installed (it pins NumPy 1)")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install 'headrace[notebooks]'")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'headrace[notebooks]'")
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install 'headrace[notebooks]'")

KEEP = 'import numpy as np\n\nnp.savez("kept.npz", images=images, outputs=result.outputs)'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pynq get-notebooks` leaves them."""
    if importlib.util.find_spec("pkg_resources") is None:
        pytest.skip("pynq finds notebooks with pkg_resources, which this setuptools does not have")
    path = tmp_path_factory.mktemp("jupyter")
    command = Path(sys.executable).with_name("pynq-get-notebooks")
    subprocess.run([command, "headrace", "--ignore-overlays", "--path", path], check=True, capture_output=True)
    return path / "headrace"


@pytest.fixture(scope="module")
def host(folder: Path) -> Iterator[str]:
    """A board whose overlay is beside the notebooks."""
    with board(folder, "--config", "tiny") as (address, _, _):
        yield address


def execute(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    """Images, outputs and what was printed; every cell must run."""
    notebook: Any = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(KEEP))
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    with np.load(path.parent / "kept.npz") as kept:
        return kept["images"], kept["outputs"], "".join(output.get("text", "") for output in outputs)


@pytest.mark.parametrize(
    ("name", "file", "printed"),
    [
        ("getting_started", "lenet5.hrz", "recognised [7 2 1 0] labels [7 2 1 0]"),
        ("own_network", "own.hrz", "of 64 digits right"),
        ("profiling", "lenet5.hrz", "conv2_pool"),
    ],
)
def test_results_are_the_models(
    name: str, file: str, printed: str, folder: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: the last one reads what the first one writes."""
    monkeypatch.setenv("PYNQ_REMOTE_DEVICES", host)
    monkeypatch.delenv("HEADRACE_OVERLAY", raising=False)
    images, outputs, text = execute(folder / f"{name}.ipynb")
    artifact = Artifact.load(folder / file)
    with open_device("model", artifact.config) as device, Session(device, artifact) as session:
        assert np.array_equal(session.run(images).outputs, outputs)
    assert printed in text and f"headrace-tiny-{artifact.config.hash:08x}.bit" in text
