"""Whole layers on the RTL: real matrices, and matrices that need every kind of coding at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.codecs.stream import Stream, StreamEncoded
from headrace.coding import Effort
from headrace.config import CONFIGS
from headrace.errors import CompileError, DataError
from headrace_sim.layer_check import check_matrix

FOLDER = Path(__file__).parent.parent / "golden" / "matrices"


def levels(name: str) -> np.ndarray:
    """Numbers of the entries in the dictionary, less that of zero."""
    W = Stream().decode(StreamEncoded.from_bytes((FOLDER / f"{name}.hrw").read_bytes()))
    values, index = np.unique(W, return_inverse=True)
    return index.reshape(W.shape) - int(np.searchsorted(values, 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most_cycles"),
    # A regression of cycles; a gain asks for new figures here.
    [
        ("vgg19_mnist_fc1_p90_k32", 19_750),
        ("vgg19_mnist_fc1_p99_k32", 14_200),
        ("deepdta_davis_fc1_p80_k256", 13_520),
    ],
)
def test_real_matrix(name: str, most_cycles: int) -> None:
    check = check_matrix(levels(name))
    assert check.cycles <= most_cycles
    assert (check.info.rows_differential > 0) == name.startswith("vgg")


@pytest.mark.slow
def test_several_codes_in_one_layer() -> None:
    rng = np.random.default_rng(3)
    sparse = (rng.random((300, 200)) < 0.03) * rng.choice([1, 2], (300, 200))
    dense = (rng.random((300, 200)) < 0.6) * rng.choice([-3, -4, 5], (300, 200))
    check = check_matrix(np.hstack([sparse, dense])[:, rng.permutation(400)], effort=Effort.BEST)
    assert check.info.code_tables > 1


@pytest.mark.parametrize("seed", range(10))
def test_linear_layers(seed: int) -> None:
    """Few and many rows, a row alone, empty rows, numbers of rows that lanes do not divide, near copies."""
    rng = np.random.default_rng([seed, 5])
    n, m = int(rng.integers(1, 60)), int(rng.choice([1, 3, 8, 36, 100, 256]))
    W = np.where(rng.random((n, m)) < rng.choice([0.02, 0.1, 0.4]), rng.integers(-9, 10, (n, m)), 0)
    if seed % 2:
        W[:, m // 2 :] = W[:, : m - m // 2]
        W[rng.integers(n), rng.integers(m)] += 1
    check_matrix(W, CONFIGS["small"])


@pytest.mark.parametrize("words", [40, 200])
def test_short_rows_leave_several_a_cycle(words: int) -> None:
    """Rows of one tap, on four lanes: one a cycle would take 16 * words cycles."""
    rows = 16 * words
    W = np.zeros((8, rows), np.int8)
    W[np.arange(rows) % 8, np.arange(rows)] = 1 + np.arange(rows) // 8 % 9
    check = check_matrix(W)
    stored = rows * 2 + 500  # with 4 pixels a word, STORE takes two cycles a beat of 8 results
    assert check.cycles < 0.75 * rows + stored


@pytest.mark.parametrize(("limit", "batch"), [(5, 5), (100, 27)])
def test_as_many_inputs_as_there_is_room_for(limit: int, batch: int) -> None:
    """27 in strips: a lane holds the inputs of its own words of pixels, and all outputs."""
    rng = np.random.default_rng(limit)
    W = (rng.random((500, 300)) < 0.1) * rng.choice([-2, 1, 3], (500, 300))
    check, one = check_matrix(W, CONFIGS["small"], batch=limit), check_matrix(W, CONFIGS["small"])
    assert (check.batch, one.batch) == (batch, 1)
    assert check.cycles < 0.6 * one.cycles
    assert abs(check.estimate.cycles - batch * check.cycles) <= 0.05 * check.estimate.cycles


def test_wrong_matrices() -> None:
    for W in (np.zeros(3, np.int8), np.full((2, 2), 128), np.zeros((0, 3), np.int8)):
        with pytest.raises(DataError):
            check_matrix(W)
    with pytest.raises(CompileError, match="output channels"):
        check_matrix(np.ones((2, 5000), np.int8))
