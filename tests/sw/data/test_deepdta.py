"""Drug-target affinities: the one array of an old pickle, read without following its instructions."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from affinities import old_pickle, write_folder
from headrace.data import deepdta
from headrace.data.deepdta import (
    PROTEIN_LETTERS,
    SMILES_LETTERS,
    encode,
    is_affinities,
    load_affinities,
    open_affinities,
    read_matrix,
)
from headrace.errors import DataError

VALUES = np.array([[1.5, np.nan, 10000.0], [2.0, 4.0, 1.0]])


def write(folder: Path, values: np.ndarray = VALUES, test: object = (1, 4)) -> Path:
    return write_folder(folder, values, ["CC(=O)", "C#N"], ["MKV", "MA", "LLLL"], [[0, 2], [3]], test)


def test_is_what_pickle_would_give(tmp_path: Path):
    path = tmp_path / "Y"
    path.write_bytes(old_pickle(VALUES))
    assert np.array_equal(read_matrix(path), VALUES, equal_nan=True)
    assert np.array_equal(pickle.loads(path.read_bytes(), encoding="latin1"), VALUES, equal_nan=True)


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        pickle.dumps(Evil(), 2),
        pickle.dumps([1, 2], 2),
        pickle.dumps(np.zeros((2, 2)), 2),
        pickle.dumps(np.array([Evil()], object), 2),
        old_pickle(VALUES)[:-9],
        old_pickle(VALUES).replace(b"U\x02f8", b"U\x02O8"),
        old_pickle(VALUES).replace(b"cnumpy\ndtype\n", b"cposix\nsystem\n"),
        old_pickle(VALUES).replace(b"\x8a\x02\x02\x00", b"\x8a\x02\x03\x00"),
        old_pickle(VALUES).replace(b"\x8a\x02\x02\x00", b"\x8a\x02\xfe\xff"),
        old_pickle(VALUES).replace(b"b\x89T", b"b\x88T"),
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "Y").write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_matrix(tmp_path / "Y")
    assert "\n" not in str(caught.value)


def test_units_are_told_by_their_size(tmp_path: Path):
    assert not is_affinities(tmp_path)
    assert open_affinities(write(tmp_path)).values[1] == 5.0  # 10,000 nM
    assert is_affinities(tmp_path)
    scores = np.where(VALUES == 10000, 12.5, VALUES)
    assert open_affinities(write(tmp_path, scores)).values.tolist() == [1.5, 12.5, 2, 4, 1]


def test_data_set(tmp_path: Path):
    data = load_affinities(write(tmp_path), logarithmic=False)
    assert data.pairs.tolist() == [[0, 0], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert data.values.tolist() == [1.5, 10000, 2, 4, 1]
    assert (data.train.tolist(), data.test.tolist()) == ([0, 2, 3], [1, 4])
    assert load_affinities(tmp_path, logarithmic=True).values[1] == 5.0
    assert (data.ligands, data.proteins) == (("CC(=O)", "C#N"), ("MKV", "MA", "LLLL"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: write(f, test=[5]), "beyond the 5 measured"),
        (lambda f: write(f, test=[True]), "beyond the 5 measured"),
        (lambda f: write(f, VALUES[:, :2]), "for 2 ligands and 3 proteins"),
        (lambda f: write(f, -VALUES), "no logarithm"),
        (lambda f: (f / "proteins.txt").write_text("[]"), "holds no dict"),
        (lambda f: (f / "proteins.txt").write_text('{"a": 1}'), "something else than texts"),
        (lambda f: (f / "proteins.txt").write_text("{"), "no JSON"),
        (lambda f: (f / "proteins.txt").unlink(), "is missing"),
    ],
)
def test_contradictions(tmp_path: Path, change, reason: str):
    change(write(tmp_path))
    with pytest.raises(DataError, match=reason):
        load_affinities(tmp_path, logarithmic=True)


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(deepdta, "LARGEST", 10)
    with pytest.raises(DataError, match="larger than any file"):
        load_affinities(write(tmp_path), logarithmic=True)


def test_letters():
    assert len(SMILES_LETTERS) == len(set(SMILES_LETTERS)) == 62 and len(set(PROTEIN_LETTERS)) == 25
    assert encode(["#%", ")" * 9], SMILES_LETTERS, 4).tolist() == [[1, 2, 0, 0], [3, 3, 3, 3]]
    with pytest.raises(DataError, match="not in the alphabet"):
        encode(["?"], SMILES_LETTERS, 4)


@pytest.mark.skipif("HEADRACE_DEEPDTA" not in os.environ, reason="HEADRACE_DEEPDTA names no folder with davis and kiba")
@pytest.mark.parametrize(("name", "pairs", "test"), [("davis", 30_056, 5_010), ("kiba", 118_254, 19_709)])
def test_real_files(name: str, pairs: int, test: int):
    data = load_affinities(Path(os.environ["HEADRACE_DEEPDTA"]) / name, logarithmic=name == "davis")
    assert len(data.values) == pairs and len(data.test) == test and len(data.train) + test <= pairs + 1
    assert encode(data.ligands, SMILES_LETTERS, 100).max() <= 62 and encode(data.proteins, PROTEIN_LETTERS, 1000).any()
