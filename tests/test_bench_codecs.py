"""scripts/bench_codecs.py measures what it says, with whatever is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "bench_codecs.py"


@pytest.mark.slow
def test_report(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    W = (rng.integers(1, 9, (60, 200)) * (rng.random((60, 200)) < 0.2)).astype(np.float32)
    np.save(tmp_path / "random.npy", W)
    real = ROOT / "tests" / "golden" / "matrices" / "vgg19_mnist_fc1_p99_k32.hrw"
    command = [sys.executable, SCRIPT, tmp_path / "random.npy", real, "--quick", "--json", "--output", tmp_path / "out"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result == json.loads((tmp_path / "out.json").read_text())
    assert list(result["matrices"]) == ["random", real.stem]
    for figures in result["matrices"].values():
        assert figures["formats"]["headrace"]["macs"] <= figures["nonzeros"]
        assert figures["product"]["dense float32, NumPy"]["speedup"] == 1
    sizes = result["matrices"][real.stem]["formats"]
    assert (
        sizes["headrace"]["bytes"] == real.stat().st_size < min(row["bytes"] for row in sizes.values() if row["peer"])
    )
    page = (tmp_path / "out.md").read_text()
    assert "## Multiplications of one product" in page and str(tmp_path) not in page


def test_wrong_file(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, SCRIPT, tmp_path / "none.npy"], capture_output=True, text=True)
    assert run.returncode == 1 and run.stderr.startswith("Error:") and run.stderr.count("\n") == 1
