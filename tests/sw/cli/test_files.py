"""headrace.cli.files."""

from __future__ import annotations

import os
from pathlib import Path

import click
import numpy as np
import pytest

from headrace.cli.files import PLOTS, check_output, load_array, save_array
from headrace.errors import DataError
from headrace.files import replacing


def test_round_trip(tmp_path: Path):
    array = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    save_array(tmp_path / "x.bin", array)
    save_array(tmp_path / "x.bin", array)
    loaded = load_array(tmp_path / "x.bin")
    assert loaded.dtype == np.int8 and np.array_equal(loaded, array)
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_bad_files(tmp_path: Path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(100))
    whole = path.read_bytes()
    np.save(path, np.array([{}]), allow_pickle=True)
    for content in (path.read_bytes(), b"", b"text", whole[:20], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read") as error:
            load_array(path)
        assert "\n" not in str(error.value)
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError):
            load_array(missing)


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(DataError, match="it is not a file"):
        load_array(tmp_path / "x.npy")


def test_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_array(tmp_path / "x.npy", np.zeros(3))

    def half(file, array, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np.lib.format, "write_array", half)
    with pytest.raises(KeyboardInterrupt):
        save_array(tmp_path / "x.npy", np.ones(3))
    monkeypatch.undo()
    assert np.array_equal(load_array(tmp_path / "x.npy"), np.zeros(3))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_check_output(tmp_path: Path):
    assert check_output(tmp_path / "y.npy") == tmp_path / "y.npy"
    (tmp_path / "file").write_text("")
    for bad in (tmp_path, tmp_path / "none" / "y.npy", tmp_path / "file" / "y.npy"):
        with pytest.raises(DataError):
            check_output(bad)
        with pytest.raises(DataError, match="cannot be written"):
            save_array(bad, np.zeros(1))


def test_headers_that_claim_more_than_the_file(tmp_path: Path):
    path = tmp_path / "x.npy"
    for shape, held in (((99999999999, 1, 28, 28), 0), ((1 << 70,), 0), ((-4,), 4), ((3, 2), 5)):
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "|i1", "fortran_order": False, "shape": shape})
            file.write(bytes(held))
        with pytest.raises(DataError, match=r"x\.npy cannot be read as \.npy: (int8|no array)"):
            load_array(path)


def test_only_regular_files_are_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for bad in (tmp_path / "fifo", tmp_path / "loop", Path("/dev/null")):
        for call in (lambda path: save_array(path, np.zeros(1)), check_output):
            with pytest.raises(DataError, match="cannot be written") as error:
                call(bad)
            assert "\n" not in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == {"fifo", "loop"}


def test_links_are_followed(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.npy").symlink_to(Path("real") / "x.npy")
    for value in (1, 2):  # once to nothing, once to a file
        save_array(check_output(tmp_path / "link.npy"), np.full(1, value))
        assert (tmp_path / "link.npy").is_symlink() and load_array(tmp_path / "real" / "x.npy") == value
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["x.npy"]


def test_output_that_is_another_file(tmp_path: Path):
    path, link = tmp_path / "x.npy", tmp_path / "link"
    path.write_text("")
    link.symlink_to(path)
    for one, other in ((path, path), (path, link), (link, path), (tmp_path / "new", tmp_path / "new")):
        with pytest.raises(DataError, match="another file of this command"):
            check_output(one, None, other)
    assert check_output(path, None, tmp_path / "y.npy") == path


def test_replacing_leaves_nothing_behind(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be written: No space"), replacing(tmp_path / "a" / "b", True) as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")
    assert list((tmp_path / "a").iterdir()) == []


def test_outputs_of_one_kind(tmp_path: Path):
    for name in ("a.png", "a.SVG"):
        assert check_output(tmp_path / name, suffixes=PLOTS) == tmp_path / name
    for name in ("a.npz", "a", ".png"):
        with pytest.raises(
            click.UsageError, match=f"{name} is to be written, but does not end in .png or .svg or .pdf"
        ):
            check_output(tmp_path / name, suffixes=PLOTS)
