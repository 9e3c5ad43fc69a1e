"""What an artifact notes of its quantisation, so that the integer network can be had again from the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.errors import FormatError
from headrace.floats import FloatGraph
from headrace.network import Network

from .calibrate import Progress
from .options import Options
from .pipeline import quantise
from .report import Report, network_digest
from .walk import Floats

KEY = "quantisation"
"""In an artifact's `meta`."""


def record(options: Options, images: int, normalisation: str, network: Network) -> dict[str, Any]:
    """What JSON holds: options, how many inputs calibrated, how they were normalised, the digest of the integers."""
    return {
        "options": options.to_json(),
        "images": images,
        "normalisation": normalisation,
        "digest": network_digest(network),
    }


def read_record(meta: Mapping[str, Any]) -> tuple[Options, int, str, str]:
    """Options, images, normalisation and digest of an artifact's `meta`. FormatError where it has no such note."""
    note = meta.get(KEY)
    try:
        options = Options(**note["options"])  # type: ignore[index]
        images, normalisation, digest = note["images"], note["normalisation"], note["digest"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise FormatError("the artifact does not say how it was quantised") from None
    if type(images) is not int or images < 1 or not isinstance(normalisation, str) or not isinstance(digest, str):
        raise FormatError("the artifact's note on quantisation is damaged")
    return options, images, normalisation, digest


def quantise_again(
    graph: FloatGraph, calibration: Floats, options: Options, digest: str, progress: Progress | None = None
) -> tuple[Network, Report]:
    """The network that was compiled. FormatError where model or data are others than those it was made with."""
    network, report = quantise(graph, calibration, options, progress)
    if network_digest(network) != digest:
        raise FormatError(
            "this model with this data does not give the artifact's network; "
            "--calibrate takes the inputs that it was compressed with"
        )
    return network, report
