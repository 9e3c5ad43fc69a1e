"""headrace compress MATRIX -o F.hrw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.cli import main
from headrace.matrices import load_matrix


def invoke(*arguments: object):
    return CliRunner().invoke(main, ["compress", *map(str, arguments)])


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "W.npy"
    np.save(path, (rng.integers(0, 5, (40, 60)) * (rng.random((40, 60)) < 0.2)).astype(np.float32) / 3)
    return path


@pytest.mark.parametrize("effort", ["fast", "default", "best"])
def test_bit_for_bit(matrix: Path, tmp_path: Path, effort: str) -> None:
    stored = tmp_path / "W.hrw"
    result = invoke(matrix, "-o", stored, "--effort", effort, "--json")
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["bytes"] == stored.stat().st_size and values["shape"] == [40, 60]
    assert np.array_equal(load_matrix(stored), np.load(matrix)) and load_matrix(stored).dtype == np.float32


def test_table(matrix: Path, tmp_path: Path) -> None:
    result = invoke(matrix, "-o", tmp_path / "W.hrw")
    assert result.exit_code == 0 and "given back bit for bit" in result.stdout


def test_errors(matrix: Path, tmp_path: Path) -> None:
    stored = tmp_path / "W.hrw"
    assert "cannot be read as a matrix" in invoke(tmp_path / "none.npy", "-o", stored).stderr
    assert not stored.exists()
    invoke(matrix, "-o", stored)
    stored.write_bytes(stored.read_bytes()[:-1])
    result = CliRunner().invoke(main, ["sizes", str(stored)])
    assert result.exit_code == 1 and "checksum does not match" in result.stderr and result.stderr.count("\n") == 1
