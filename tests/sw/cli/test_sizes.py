"""headrace sizes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.cli import main
from headrace.codecs import CODECS, Csc, Hac, entropy, hac_bound

W = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]], np.float32)


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    np.save(tmp_path / "w.npy", W)
    return tmp_path / "w.npy"


def sizes(*arguments: object):
    return CliRunner().invoke(main, ["sizes", *map(str, arguments)])


def test_json(matrix: Path):
    result = sizes(matrix, "--json")
    assert result.exit_code == 0 and result.stderr == ""
    values = json.loads(result.stdout)
    assert list(values) == ["shape", "density", "distinct", "entropy_bits", "formats"]
    assert values["shape"] == [5, 5] and values["density"] == 7 / 25 and values["distinct"] == 8
    assert values["entropy_bits"] == entropy(W)
    assert list(values["formats"]) == list(CODECS)
    for name, row in values["formats"].items():
        assert row["bytes"] == CODECS[name].encode(W).nbytes
        assert row["fraction"] == row["bytes"] / 100 and row["bits_per_weight"] == 8 * row["bytes"] / 25
    hac = values["formats"]["hac"]
    assert hac["bytes"] == 67 and hac["bound_bits"] == hac_bound(5, 5, 8, 8 * 48)
    assert values["formats"]["cla"]["bound_bits"] is None


def test_figures_of_a_format_are_added(matrix: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("headrace.codecs.hac.HacEncoded.figures", {"macs": 12345, "rows_differential": 2})
    row = json.loads(sizes(matrix, "--format", "hac", "--json").stdout)["formats"]["hac"]
    assert row["macs"] == 12345 and row["rows_differential"] == 2
    assert "hac: macs 12,345, rows_differential 2" in sizes(matrix).stdout


def test_table_is_sorted_by_size(matrix: Path):
    result = sizes(matrix)
    assert result.exit_code == 0
    for word in ("w.npy: 5 x 5, density 0.2800, 8 distinct values", "bound", "fraction", "Entropy"):
        assert word in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    found = {words[0]: int(words[1]) for words in lines if words and words[0] in CODECS}
    assert set(found) == set(CODECS) and list(found.values()) == sorted(found.values())


def test_chosen_formats(matrix: Path):
    result = sizes(matrix, "--format", "csc", "--format", "hac", "--json")
    assert list(json.loads(result.stdout)["formats"]) == ["csc", "hac"]
    assert sizes(matrix, "--format", "zip").exit_code == 2


def test_shared_weights_in_an_npz(tmp_path: Path):
    index = np.random.default_rng(1).integers(0, 3, (40, 30)).astype(np.uint8)
    centres = np.array([0, -1.5, 2], np.float32)
    np.savez(tmp_path / "w.npz", index=index, centres=centres)
    values = json.loads(sizes(tmp_path / "w.npz", "--json").stdout)
    assert values["distinct"] == 3 and values["formats"]["csc"]["bytes"] == Csc().encode(centres[index]).nbytes


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (3, 2)])
def test_matrices_without_entries_or_nonzeros(tmp_path: Path, shape: tuple[int, int]):
    np.save(tmp_path / "w.npy", np.zeros(shape))
    result = sizes(tmp_path / "w.npy", "--json")
    values = json.loads(result.stdout)
    assert result.exit_code == 0 and values["density"] == 0 and values["shape"] == list(shape)
    assert (values["formats"]["im"]["fraction"] is None) == (0 in shape)
    assert sizes(tmp_path / "w.npy").exit_code == 0


def test_every_type(tmp_path: Path):
    for kind in ("?", "i1", "u8", "f2", ">f8"):
        np.save(tmp_path / "w.npy", W.astype(kind))
        assert sizes(tmp_path / "w.npy").exit_code == 0


def test_a_format_that_loses_entries_is_found(matrix: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Hac, "decode", lambda self, encoded: np.zeros(encoded.shape, encoded.dtype))
    result = sizes(matrix, "--json")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == "error: hac does not give back the matrix it encoded\n"
    assert sizes(matrix, "--no-verify").exit_code == 0


def test_mistakes(matrix: Path, tmp_path: Path):
    (tmp_path / "text").write_text("hello")
    np.save(tmp_path / "line.npy", np.zeros(4))
    for name in ("text", "line.npy", "none", "."):
        result = sizes(tmp_path / name, "--json")
        assert result.exit_code == 1 and result.stdout == "", name
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert sizes().exit_code == 2
    assert sizes(matrix, "--plot", tmp_path / "p.txt").exit_code == 2


def test_memory_that_does_not_suffice(matrix: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Csc, "encode", fail)
    result = sizes(matrix)
    assert result.exit_code == 1 and result.stderr == "error: csc: the matrix does not fit in memory\n"


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_plot(matrix: Path, tmp_path: Path, kind: str, magic: bytes):
    pytest.importorskip("matplotlib")
    plot = tmp_path / f"p.{kind}"
    for _ in range(2):
        result = sizes(matrix, "--plot", plot, "--format", "hac", "--format", "cla")
        assert result.exit_code == 0, result.stderr
    content = plot.read_bytes()
    assert content.startswith(magic)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["w.npy", plot.name])
    plot.unlink()
    assert sizes(matrix, "--plot", plot, "--format", "hac", "--format", "cla").exit_code == 0
    assert plot.read_bytes() == content


def test_plot_of_an_empty_matrix(tmp_path: Path):
    pytest.importorskip("matplotlib")
    np.save(tmp_path / "w.npy", np.zeros((0, 3)))
    assert sizes(tmp_path / "w.npy", "--plot", tmp_path / "p.svg").exit_code == 0


def test_plot_that_cannot_be_written(matrix: Path, tmp_path: Path):
    pytest.importorskip("matplotlib")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(matrix)
    for plot in ("folder.png", "none/p.png", "link.png"):
        result = sizes(matrix, "--plot", tmp_path / plot)
        assert result.exit_code == 1 and result.stdout == "" and result.stderr.count("\n") == 1
    assert np.array_equal(np.load(matrix), W)


def test_plot_without_matplotlib(matrix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)

    class Blocker:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"{name} is blocked", name=name)

    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    result = sizes(matrix, "--plot", tmp_path / "p.png")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == "error: sizes needs the Python package matplotlib: pip install 'headrace[plot]'\n"
    assert sizes(matrix).exit_code == 0
