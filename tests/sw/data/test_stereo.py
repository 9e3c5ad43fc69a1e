"""Stereo scenes: what is read, what is refused, which pixels both pictures show."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headrace.data import stereo
from headrace.data.stereo import SCENES, Scene, load_scene
from headrace.errors import DataError

image = pytest.importorskip("PIL.Image")

HEIGHT, WIDTH = 6, 20


def write(folder: Path, name: str) -> np.ndarray:
    """A scene whose disparities are 4 but in the first row and the first column; returns them."""
    files, rng = SCENES[name], np.random.default_rng(0)
    (folder / name).mkdir()
    for file in (files.left, files.right):
        image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(folder / name / file)
    truth = np.full((HEIGHT, WIDTH), 4.0, np.float32)
    truth[0], truth[:, 0] = 0.0, 0.0
    path = folder / name / files.truth
    if path.suffix == ".npz":
        np.savez(path, np.where(truth == 0, np.float32(np.inf), truth))
    else:
        image.fromarray((truth * files.scale).astype(np.uint8)).save(path)
    return truth


@pytest.mark.parametrize("name", SCENES)
def test_every_scene(name: str, tmp_path: Path):
    truth = write(tmp_path, name)
    scene = load_scene(tmp_path, name)
    assert scene.left.shape == scene.right.shape == (HEIGHT, WIDTH) and scene.left.dtype == np.float32
    assert np.array_equal(scene.known(), truth > 0)
    assert (scene.disparity[scene.known()] == 4).all() and np.isnan(scene.disparity[~scene.known()]).all()


def test_reduced_by_a_whole_factor(tmp_path: Path):
    write(tmp_path, "teddy")
    whole, part = load_scene(tmp_path, "teddy"), load_scene(tmp_path, "teddy", width=9)  # a third
    assert part.left.shape == (2, 6)
    assert np.allclose(part.left[0, 0], whole.left[:3, :3].mean())
    assert np.allclose(part.right[1, 5], whole.right[3:6, 15:18].mean())
    assert np.allclose(part.disparity, 4 / 3)
    assert load_scene(tmp_path, "teddy", width=20).left.shape == (HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="width"):
        load_scene(tmp_path, "teddy", width=0)


def test_what_is_behind_is_not_visible():
    disparity = np.array([[2, 2, 2, 2, 1, 4, 4, np.nan, 1]], np.float32)
    #                      outside   0  1  3  1  2        7: column in the right picture
    scene = Scene("a", disparity, disparity, disparity)
    assert scene.visible().tolist() == [[False, False, True, False, True, True, True, False, True]]


def fails(folder: Path, name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        load_scene(folder, name)
    assert "\n" not in str(caught.value)


def test_bad_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fails(tmp_path, "tsukuba", "no stereo scene 'tsukuba'; there are: cones")
    fails(tmp_path, "cones", "im2.png is missing: put the files of cones")
    write(tmp_path, "cones")
    left, truth = tmp_path / "cones" / "im2.png", tmp_path / "cones" / "disp2.pgm"
    good, known = left.read_bytes(), truth.read_bytes()
    for data in (good[:200], b"x" * 50, good[:60] + b"????" + good[64:], b""):
        left.write_bytes(data)
        fails(tmp_path, "cones", "im2.png (is a damaged image|cannot be read)")
    for kind in ("RGBA", "I;16"):
        image.new(kind, (WIDTH, HEIGHT)).save(left)
        fails(tmp_path, "cones", f"is of kind {kind}, not of RGB or 8-bit grey")
    left.write_bytes(good)
    for data, reason in (
        (known[:-1], "damaged image|cannot be read"),
        (b"P5 20 5 255\n" + b"\4" * 100, r"\(5, 20\), not \(6, 20\)"),
        (b"P5 20 6 255\n" + b"\0" * 120, "no disparities of pictures 20 wide"),
        (b"P5 20 6 255\n" + b"\xff" * 120, "no disparities of pictures 20 wide"),
        (b"P6 20 6 255\n" + b"\4" * 360, "is of kind RGB, not of 8-bit grey"),
        (b"P5 9999 9999 255\n", "more than any of these"),
        (b"P5 99999 99999 255\n", "damaged image|more than any of these"),
    ):
        truth.write_bytes(data)
        fails(tmp_path, "cones", reason)
    truth.unlink()
    truth.mkdir()
    fails(tmp_path, "cones", "cannot be read")
    monkeypatch.setattr(stereo, "LARGEST", 100)
    fails(tmp_path, "cones", "20 x 6 pixels, more than")


def test_bad_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "motorcycle")
    path = tmp_path / "motorcycle" / "motorcycle_disp.npz"
    good = path.read_bytes()
    for data in (good[:100], good[:200] + bytes([good[200] ^ 1]) + good[201:], b""):
        path.write_bytes(data)
        fails(tmp_path, "motorcycle", "is not a readable .npz")
    np.savez(path, other=np.zeros(3))
    fails(tmp_path, "motorcycle", "no array arr_0")
    for array in (np.zeros(3, np.float32), np.zeros((HEIGHT, WIDTH), np.int32), np.array([{}])):
        np.savez(path, array)
        fails(tmp_path, "motorcycle", "not disparities of one picture|not a readable .npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue() + b"\0" * 64)
    fails(tmp_path, "motorcycle", "not a readable .npz: .*the file holds 64")
    path.unlink()
    fails(tmp_path, "motorcycle", "motorcycle_disp.npz is missing")


@pytest.mark.skipif("HEADRACE_STEREO" not in os.environ, reason="HEADRACE_STEREO names no folder of scenes")
@pytest.mark.parametrize("name", SCENES)
def test_real_files(name: str):
    """Right columns shifted by the disparities look like the left ones, and by twice as much they do not."""
    scene = load_scene(os.environ["HEADRACE_STEREO"], name)
    rows, columns = np.nonzero(scene.visible())
    shift = np.rint(scene.disparity[rows, columns]).astype(int)

    def apart(by: np.ndarray) -> float:
        inside = columns >= by
        seen = scene.right[rows[inside], columns[inside] - by[inside]]
        return float(np.median(np.abs(seen - scene.left[rows[inside], columns[inside]])))

    assert scene.known().mean() > 0.9 and apart(shift) * 1.4 < apart(2 * shift)
