"""A matrix as a stored stream: what `headrace compress` does with an output of that kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..codecs.stream import Stream
from ..coding import Effort
from ..errors import StreamError
from ..files import replacing
from ..matrices import load_matrix
from .output import print_json, print_table, progress

SUFFIX = ".hrw"


def store(matrix: Path, output: Path, effort: Effort, as_json: bool) -> None:
    """Write the matrix as a stream that gives it back bit for bit, and print its figures.

    Raises DataError where the matrix cannot be read or the file not be written, StreamError where the stream does not
    give it back.
    """
    W = load_matrix(matrix)
    with progress("compressing"):
        codec = Stream(effort)
        encoded = codec.encode(W)
        if not np.array_equal(codec.decode(encoded), W):
            raise StreamError("the stream does not give back the matrix it encoded")
    with replacing(output) as file:
        file.write(encoded.data)
    values: dict[str, Any] = {
        "file": str(output),
        "bytes": encoded.nbytes,
        "fraction": encoded.nbytes / (4 * W.size) if W.size else None,
        "shape": list(W.shape),
        "nonzeros": int(np.count_nonzero(W)),
        **encoded.figures,
    }
    if as_json:
        print_json(values)
        return
    n, m = W.shape
    print_table(
        f"{output}: {encoded.nbytes:,} bytes for {n} x {m} {W.dtype}, given back bit for bit",
        ("nonzeros", "MACs", "diff rows", "codes", "entries", "of float32"),
        [
            (
                values["nonzeros"],
                *(int(values[key]) for key in ("macs", "rows_differential", "codes", "entries")),
                None if values["fraction"] is None else f"{100 * values['fraction']:.2f} %",
            )
        ],
    )
