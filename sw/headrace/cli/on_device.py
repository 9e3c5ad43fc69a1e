"""An artifact on a device, from what its model takes to what its model gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..compress.quantise import quantise_activations
from ..device import open_device
from ..errors import DataError
from ..evaluate import integer_input
from ..floats import FloatGraph
from ..session import Session
from .output import progress


def run_artifact(
    artifact: Artifact, graph: FloatGraph | None, x: NDArray[np.generic], title: str, device_name: str
) -> NDArray[np.floating]:
    """Real outputs for the model's own inputs x (N, ...), `title` naming them in errors.

    `graph` is the model, which says what the host does at both ends; without it inputs are taken in the device's order.
    DataError for samples of another size, and what devices and sessions raise.
    """
    image = artifact.image
    if graph is not None:
        integers = integer_input(graph, x, image.input_scale)
    elif len(x) and x[0].size != np.prod(image.input_shape):
        raise DataError(f"{title} has samples {x.shape[1:]}, the network takes {image.input_shape}")
    else:
        integers = quantise_activations(x.reshape(len(x), *image.input_shape), image.input_scale)
    with progress(f"opening {device_name}"):
        device = open_device(device_name, artifact.config)
    with device, Session(device, artifact) as session, progress("samples") as show:
        y = session.run(integers, show).outputs.astype(np.float32) * np.float32(image.output_scale)
    return y if graph is None else graph.output.deliver(y)
