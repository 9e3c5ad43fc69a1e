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


def record(options: Options, calibration_inputs: int, network: Network) -> dict[str, Any]:
    """Entries of an artifact's `meta`: options, how many inputs calibrated, and the digest of the integers."""
    return {
        "options": options.to_json(),
        "calibration_inputs": calibration_inputs,
        "digest": network_digest(network),
    }


def read_record(meta: Mapping[str, Any]) -> tuple[Options, int, str]:
    """Options, calibration inputs and digest of `meta`. FormatError where it has no such entries."""
    try:
        options = Options(**meta["options"])
        count, digest = meta["calibration_inputs"], meta["digest"]
    except (TypeError, KeyError, ValueError):
        raise FormatError("the artifact does not say how it was quantised") from None
    if type(count) is not int or count < 1 or not isinstance(digest, str):
        raise FormatError("the artifact's note on its quantisation is damaged")
    return options, count, digest


def quantise_again(
    graph: FloatGraph, calibration: Floats, options: Options, digest: str, progress: Progress | None = None
) -> tuple[Network, Report]:
    """The network that was compiled. FormatError where model or data are others than those it was made with."""
    network, report = quantise(graph, calibration, options, progress)
    if network_digest(network) != digest:
        raise FormatError("this model with this calibration data does not give the artifact's network")
    return network, report
