"""`headrace sizes`: one matrix in every storage format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..codecs import CODECS, Codec, Stream, entropy, upper_bound
from ..codecs.base import Matrix
from ..coding import Effort
from ..errors import HeadraceError, StreamError
from ..matrices import load_matrix
from .files import check_plot
from .output import Progress, json_option, print_json, print_table, progress
from .sizes_plot import draw

NOTES = (
    "fraction: bytes over those of dense float32. Bytes are of everything that decoding needs, dictionary and header\n"
    "included. bound: what the papers promise at most, in bits per weight, headers and padding of words left out.\n"
    "Entropy is that of the weights one by one: no code that maps weights one by one needs fewer bits."
)


@click.command(epilog="Example: headrace sizes fc1.npz --format hac --format csc --plot fc1.svg")
@click.argument("matrix", type=click.Path(path_type=Path))
@click.option(
    "--format", "names", type=click.Choice(list(CODECS)), multiple=True, help="Only this format; may be repeated."
)
@click.option(
    "--effort",
    type=click.Choice([effort.value for effort in Effort]),
    default=Effort.DEFAULT.value,
    show_default=True,
    help="How many codings the headrace stream tries.",
)
@click.option("--verify/--no-verify", default=True, show_default=True, help="Decode each format again and compare.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Chart to write: .png, .svg or .pdf.")
@json_option
def sizes(matrix: Path, names: tuple[str, ...], effort: str, verify: bool, plot: Path | None, as_json: bool) -> None:
    """Show what a matrix takes in every storage format, the smallest first.

    MATRIX is a .npy of n inputs by m outputs, of any type, an .npz with that array alone, or with `index` and
    `centres` (the matrix is then centres[index]), or a stored stream (.hrw, from `headrace compress`).
    """
    if plot is not None:
        check_plot(plot, matrix)
    W = load_matrix(matrix)
    codecs = CODECS | {Stream.name: Stream(Effort(effort))}
    chosen = [codecs[name] for name in names or codecs]
    with progress("formats") as show:
        values = figures(W, chosen, verify, show)
    if plot is not None:
        draw(plot, matrix.name, values)
    if as_json:
        print_json(values)
    else:
        _print(matrix.name, values)


def figures(W: Matrix, codecs: Sequence[Codec[Any]], verify: bool, show: Progress) -> dict[str, Any]:
    """What `--json` prints. Figures per weight are null for a matrix without entries.

    Raises:
        StreamError: a format does not give back the matrix (if `verify`).
        HeadraceError: memory does not suffice.
    """
    formats = {}
    for done, codec in enumerate(codecs):
        show(done, len(codecs))
        try:
            formats[codec.name] = _format(W, codec, verify)
        except MemoryError:
            raise HeadraceError(f"{codec.name}: the matrix does not fit in memory") from None
    return {
        "shape": list(W.shape),
        "density": np.count_nonzero(W) / W.size if W.size else 0.0,
        "distinct": int(np.unique(W).size),
        "entropy_bits": entropy(W),
        "formats": formats,
    }


def _format(W: Matrix, codec: Codec[Any], verify: bool) -> dict[str, Any]:
    encoded = codec.encode(W)
    if verify:
        decoded = codec.decode(encoded)
        if decoded.dtype != W.dtype or not np.array_equal(decoded, W):
            raise StreamError(f"{codec.name} does not give back the matrix it encoded")
    return {
        "bytes": encoded.nbytes,
        "fraction": encoded.nbytes / (4 * W.size) if W.size else None,
        "bits_per_weight": 8 * encoded.nbytes / W.size if W.size else None,
        "bound_bits": upper_bound(encoded) if W.size else None,
        **encoded.figures,
    }


def _print(name: str, values: dict[str, Any]) -> None:
    n, m = values["shape"]
    formats = sorted(values["formats"].items(), key=lambda item: item[1]["bytes"])
    common = ("bytes", "fraction", "bits_per_weight", "bound_bits")
    further = [
        f"{form}: " + ", ".join(f"{key} {value:,}" for key, value in row.items() if key not in common)
        for form, row in formats
        if len(row) > len(common)
    ]
    print_table(
        f"{name}: {n} x {m}, density {values['density']:.4f}, {values['distinct']:,} distinct values, "
        f"entropy {values['entropy_bits']:.3f} bits/weight",
        ("format", "bytes", "fraction", "bits/weight", "bound"),
        [
            (
                form,
                row["bytes"],
                _shown(row["fraction"], 4),
                _shown(row["bits_per_weight"], 3),
                _shown(row["bound_bits"], 3),
            )
            for form, row in formats
        ],
        "\n".join([*further, NOTES]),
    )


def _shown(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
