"""Folders of drug-target affinities in the files that DeepDTA publishes."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HEAD = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85q\x02U\x01bq\x03\x87q\x04Rq\x05("
    b"K\x01%s\x86q\x06cnumpy\ndtype\nq\x07U\x02f8q\x08K\x00K\x01\x87q\tRq\n(K\x03U\x01<q\x0bNNNJ\xff\xff\xff\xffJ\xff\xff"
    b"\xff\xffK\x00tq\x0cb\x89"
)


def old_pickle(values: np.ndarray) -> bytes:
    """As Python 2 writes a matrix of float64."""
    shape = b"".join(b"\x8a\x02" + struct.pack("<h", n) for n in values.shape)
    raw = values.astype("<f8").tobytes()
    return HEAD % shape + b"T" + struct.pack("<I", len(raw)) + raw + b"q\x0dtq\x0eb."


def write_folder(
    folder: Path,
    values: np.ndarray,
    ligands: Sequence[str],
    proteins: Sequence[str],
    train: Sequence[Sequence[int]],
    test: object,
) -> Path:
    """`train`: numbers of the pairs that were measured, by fold; `test`: those of the test set."""
    (folder / "folds").mkdir(parents=True, exist_ok=True)
    (folder / "Y").write_bytes(old_pickle(values))
    (folder / "ligands_can.txt").write_text(json.dumps({f"L{n}": text for n, text in enumerate(ligands)}))
    (folder / "proteins.txt").write_text(json.dumps({f"P{n}": text for n, text in enumerate(proteins)}))
    (folder / "folds" / "train_fold_setting1.txt").write_text(json.dumps(train))
    (folder / "folds" / "test_fold_setting1.txt").write_text(json.dumps(test))
    return folder
