"""Importers: files of trained networks become graphs of real numbers, `headrace.floats.FloatGraph`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.errors import FormatError
from headrace.floats import FloatGraph

MATRICES = (".npy", ".npz")
SUFFIXES = (".onnx", ".pt2", *MATRICES)


def import_model(path: Path, input_shape: Sequence[int] | None = None) -> FloatGraph:
    """The network of a .onnx file, of a .pt2 file that `torch.export.save` has written, or of a .npy or .npz matrix.

    `input_shape` is that of one input, without the batch, where the file leaves sizes open. FormatError for a file
    that is damaged or of another kind (DataError for a matrix), ModelError that names everything that the device cannot
    run, HeadraceError without the package that reads .onnx files. Nothing in a file is ever run.
    """
    if path.suffix == ".onnx":
        from .onnx import import_onnx

        return import_onnx(path, input_shape)
    if path.suffix == ".pt2":
        from .torch import import_pt2

        return import_pt2(path, input_shape)
    if path.suffix in MATRICES:
        from .matrix import import_matrix

        return import_matrix(path)
    hint = "; save a PyTorch module with torch.export.save" if path.suffix in (".pt", ".pth") else ""
    raise FormatError(f"{path} is no model: {', '.join(SUFFIXES)} files are{hint}")
