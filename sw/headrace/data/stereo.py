"""Rectified stereo pairs with known disparities, in the files that Middlebury's scenes come in, strictly checked.

A folder holds one folder for each scene, named as in SCENES. A pixel of the left picture with disparity d is seen d
columns further to the left in the right picture.
"""

from __future__ import annotations

import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError, HeadraceError
from headrace.files import read_npy

LARGEST = 1 << 24
"""Pixels of one picture; the largest of these has a twelfth of that."""
NEAR = 1.0
"""Two disparities are of one surface if they differ by no more, in pixels."""


@dataclass(frozen=True)
class Files:
    """Names of a scene's files; its disparities are numbers in `truth` over `scale`."""

    left: str
    right: str
    truth: str
    scale: float = 1.0


SCENES = {
    "cones": Files("im2.png", "im6.png", "disp2.pgm", 4.0),
    "teddy": Files("im2.png", "im6.png", "disp2.pgm", 4.0),
    "motorcycle": Files("motorcycle_left.png", "motorcycle_right.png", "motorcycle_disp.npz"),
    "adirondack": Files("Adirondack_left.png", "Adirondack_right.png", "Adirondack_gt.png"),
    "aloe": Files("aloeL.jpg", "aloeR.jpg", "aloeGT.png"),
}
"""Of 2003 (cones, teddy), 2006 (aloe) and 2014. Where the truth is 0 or not finite, it is not known."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Grey pictures float32 (H, W), 0..255, and disparities of the left one float32 (H, W), NaN where not known."""

    name: str
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    disparity: NDArray[np.float32]

    def known(self) -> NDArray[np.bool_]:
        """(H, W): where the disparity is."""
        return np.isfinite(self.disparity)

    def visible(self) -> NDArray[np.bool_]:
        """(H, W): known, within the right picture, and there not behind a known pixel of a nearer surface."""
        rows, columns = np.nonzero(self.known())
        near = self.disparity[rows, columns]
        seen = np.rint(columns - near).astype(np.int64)
        inside = seen >= 0
        rows, columns, near, seen = rows[inside], columns[inside], near[inside], seen[inside]
        front = np.zeros_like(self.disparity)
        np.maximum.at(front, (rows, seen), near)
        result = np.zeros(self.disparity.shape, np.bool_)
        result[rows, columns] = near >= front[rows, seen] - NEAR
        return result

    def reduced(self, factor: int) -> Scene:
        """A whole factor smaller: means of squares of pixels, the disparity of the pixel in their middle over it."""
        height, width = (size // factor * factor for size in self.left.shape)

        def means(picture: NDArray[np.float32]) -> NDArray[np.float32]:
            squares = picture[:height, :width].reshape(height // factor, factor, width // factor, factor)
            return squares.mean(axis=(1, 3), dtype=np.float32)

        middle = slice(factor // 2, height, factor), slice(factor // 2, width, factor)
        disparity = self.disparity[middle] / np.float32(factor)
        return Scene(self.name, means(self.left), means(self.right), disparity)


def load_scene(folder: str | Path, name: str, width: int | None = None) -> Scene:
    """One of SCENES from the folder that holds their folders, reduced by a whole factor to `width` columns at most.

    DataError where files are missing, damaged, no pictures of one size, or hold a disparity wider than the picture or
    none at all, and for another name; HeadraceError without Pillow; ValueError for a width below 1.
    """
    if name not in SCENES:
        raise DataError(f"no stereo scene {name!r}; there are: {', '.join(SCENES)}")
    if width is not None and width < 1:
        raise ValueError(f"width must be 1 or more, not {width}")
    files, folder = SCENES[name], Path(folder) / name
    left, right = (_read_picture(folder / file) for file in (files.left, files.right))
    path = folder / files.truth
    truth = _read_npz(path) if path.suffix == ".npz" else _read_picture(path, grey_only=True)
    for other, file in ((right, folder / files.right), (truth, path)):
        if other.shape != left.shape:
            raise DataError(f"{file} is {other.shape}, not {left.shape} as {files.left} beside it")
    known = np.isfinite(truth) & (truth != 0)
    disparity = np.where(known, truth / np.float32(files.scale), np.float32(np.nan))
    if not known.any() or disparity[known].min() < 0 or disparity[known].max() >= left.shape[1]:
        raise DataError(f"{path} holds no disparities of pictures {left.shape[1]} wide")
    scene = Scene(name, left, right, disparity)
    factor = -(-left.shape[1] // (width or left.shape[1]))
    return scene.reduced(factor) if factor > 1 else scene


def _read_picture(path: Path, grey_only: bool = False) -> NDArray[np.float32]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise HeadraceError("reading images needs Pillow: pip install 'headrace[data]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large ones, which are refused here
            with Image.open(path, formats=["PNG", "JPEG", "PPM"]) as image:
                if image.width * image.height > LARGEST:
                    raise DataError(f"{path} has {image.width} x {image.height} pixels, more than any of these scenes")
                if image.mode not in (("L",) if grey_only else ("L", "RGB")):
                    raise DataError(
                        f"{path} is of kind {image.mode}, not of {'' if grey_only else 'RGB or '}8-bit grey"
                    )
                return np.asarray(image.convert("L")).astype(np.float32)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{path} is a damaged image: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_npz(path: Path) -> NDArray[np.float32]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            member = archive.getinfo("arr_0.npy")
            if member.file_size > 8 * LARGEST + 1024:
                raise DataError(f"{path} holds more pixels than any of these scenes")
            with archive.open(member) as packed:
                array = read_npy(packed, member.file_size)
    except OSError as error:
        raise _unreadable(path, error) from None
    except KeyError:
        raise DataError(f"{path} holds no array arr_0") from None
    except (ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz: {' '.join(str(error).split())}") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise DataError(f"{path} holds {array.dtype} {array.shape}, not disparities of one picture")
    return array.astype(np.float32)


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is missing: put the files of {path.parent.name} into this folder first")
    return DataError(f"{path} cannot be read: {' '.join(str(error.strerror or error).split())}")
