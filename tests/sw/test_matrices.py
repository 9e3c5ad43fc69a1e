"""headrace.matrices: what is read, and what is refused before memory is taken."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headrace.errors import DataError
from headrace.matrices import load_matrix

W = np.array([[0, 1.5, -2], [3, 0, 0]], np.float32)


@pytest.mark.parametrize("kind", ["?", "i1", "u2", "i8", "f2", "f4", "f8", ">i4", ">f8"])
def test_npy_of_any_type(tmp_path: Path, kind: str):
    np.save(tmp_path / "w.npy", W.astype(kind))
    loaded = load_matrix(tmp_path / "w.npy")
    assert loaded.dtype == np.dtype(kind).newbyteorder("=") and np.array_equal(loaded, W.astype(kind))


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (1, 1)])
def test_edge_shapes(tmp_path: Path, shape: tuple[int, int]):
    np.save(tmp_path / "w.npy", np.zeros(shape))
    assert load_matrix(str(tmp_path / "w.npy")).shape == shape


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path: Path, save):
    save(tmp_path / "one.npz", anything=np.asfortranarray(W))
    assert np.array_equal(load_matrix(tmp_path / "one.npz"), W)
    index = np.array([[2, 0, 1], [0, 0, 2]], np.uint8)
    save(tmp_path / "shared.npz", index=index, centres=np.array([0, 1, 7], np.float32), note=np.zeros(3))
    loaded = load_matrix(tmp_path / "shared.npz")
    assert loaded.dtype == np.float32 and loaded.tolist() == [[7, 0, 1], [0, 0, 7]]


def test_a_large_matrix_of_zeros_compresses_well_and_loads(tmp_path: Path):
    np.savez_compressed(tmp_path / "w.npz", W=np.zeros((1000, 3000), np.int8))
    assert (tmp_path / "w.npz").stat().st_size < 5000
    assert load_matrix(tmp_path / "w.npz").shape == (1000, 3000)


def test_the_content_counts_not_the_name(tmp_path: Path):
    with (tmp_path / "w.txt").open("wb") as file:
        np.save(file, W)
    assert np.array_equal(load_matrix(tmp_path / "w.txt"), W)


def test_negative_zero(tmp_path: Path):
    np.save(tmp_path / "w.npy", np.array([[-0.0]]))
    assert not np.signbit(load_matrix(tmp_path / "w.npy")).any()


def refused(path: Path) -> str:
    with pytest.raises(DataError) as error:
        load_matrix(path)
    text = str(error.value)
    assert "\n" not in text and text.startswith(f"{path} cannot be read as a matrix: ")
    return text


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(3), "two dimensions"),
        (np.zeros((1, 2, 3)), "two dimensions"),
        (np.zeros((2, 2), complex), "complex"),
        (np.array([["a"]]), "booleans, integers or reals"),
        (np.array([[np.nan]]), "NaN"),
    ],
)
def test_arrays_that_are_no_matrix(tmp_path: Path, array, reason: str):
    np.save(tmp_path / "w.npy", array)
    assert reason in refused(tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "no array"),
        ({"a": W, "b": W}, "a, b"),
        ({"index": np.array([[0, 3]]), "centres": np.zeros(3)}, "0 to 3, there are 3"),
        ({"index": np.array([[0, -1]]), "centres": np.zeros(3)}, "-1 to 0"),
        ({"index": np.zeros(2, int), "centres": np.zeros(3)}, "index must be"),
        ({"index": np.zeros((2, 2)), "centres": np.zeros(3)}, "index must be"),
        ({"index": np.zeros((2, 2), int), "centres": np.zeros((3, 1))}, "index must be"),
        ({"index": np.zeros((2, 2), int), "centres": np.zeros(0)}, "0 centres"),
    ],
)
def test_archives_of_other_arrays(tmp_path: Path, arrays, reason: str):
    np.savez(tmp_path / "w.npz", **arrays)
    assert reason in refused(tmp_path / "w.npz")


def test_pickles_are_not_loaded(tmp_path: Path):
    np.save(tmp_path / "w.npy", np.array([[{}]]), allow_pickle=True)
    refused(tmp_path / "w.npy")
    np.savez(tmp_path / "w.npz", W=np.array([[{}]]))
    refused(tmp_path / "w.npz")


def test_other_files(tmp_path: Path):
    for content in (b"", b"hello", b"PK", b"PK\x03\x04" + bytes(60), b"\x93NUMPY", b"\x93NUMPY\x09\x00"):
        (tmp_path / "w").write_bytes(content)
        refused(tmp_path / "w")
    refused(tmp_path)
    assert "No such file" in refused(tmp_path / "none")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_archives(tmp_path: Path, save):
    path = tmp_path / "w.npz"
    save(path, index=np.arange(60).reshape(6, 10), centres=np.arange(60.0))
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        refused(path)
    rng = np.random.default_rng(1)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert load_matrix(path).shape == (6, 10)
        except DataError as error:
            assert "\n" not in str(error)


def header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue()


def test_headers_that_claim_more_than_the_file(tmp_path: Path):
    for shape in ((1 << 40, 1 << 20), (3, 3), (-1, 2)):
        (tmp_path / "w.npy").write_bytes(header(shape) + bytes(8))
        refused(tmp_path / "w.npy")
        with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("w.npy", header(shape) + bytes(8))
        refused(tmp_path / "w.npz")


def test_a_directory_that_claims_more_than_the_file(tmp_path: Path):
    """The sizes in the archive's directory are no more trusted than those in the header of the array."""
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "w.npz", "w", method) as archive:
            archive.writestr("w.npy", header((1 << 14, 1 << 14)) + bytes(8))
        content = bytearray((tmp_path / "w.npz").read_bytes())
        at = content.index(b"PK\x01\x02")
        content[at + 24 : at + 28] = struct.pack("<I", (1 << 31) + 128)
        (tmp_path / "w.npz").write_bytes(content)
        assert "claims" in refused(tmp_path / "w.npz")
