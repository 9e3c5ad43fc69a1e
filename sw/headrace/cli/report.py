"""`headrace report`: all there is to say of an artifact as one page."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import numpy as np

from ..artifact import Artifact
from ..device import open_device
from ..files import replacing
from ..session import Result, Session
from .files import check_output
from .output import progress
from .reporting.accuracy import load_accuracy
from .reporting.figures import figures

TIMEOUT_SECONDS = 24 * 3600.0
"""Of the simulation, which is slow with many lanes; Ctrl-C ends it, too."""


@click.command(epilog="Example: headrace report lenet5.hrz -o lenet5.html --simulate")
@click.argument("artifact", metavar="F.hrz", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="F.html", required=True, help="The page.")
@click.option("--simulate", is_flag=True, help="Run one image on the simulated RTL, too, and show what it counts.")
@click.option(
    "--accuracy", type=click.Path(path_type=Path), metavar="F.json", help="What `headrace eval --json` printed."
)
def report(artifact: Path, output: Path, simulate: bool, accuracy: Path | None) -> None:
    """Write an HTML page about an artifact: layers, sizes, histograms, cycles, roofline, accuracy.

    The page is one file that loads nothing else and runs no script. Cycles are estimated; with --simulate those
    that the simulated RTL counts stand beside them.
    """
    for needed in ("jinja2", "matplotlib.figure"):
        import_module(needed)  # what is missing is told before the work
    from .reporting.page import render

    check_output(output, artifact, accuracy)
    evaluated = None if accuracy is None else load_accuracy(accuracy)
    loaded = Artifact.load(artifact)
    result = _simulated(loaded) if simulate else None
    with progress("sizes") as show:
        values = figures(loaded, artifact.stat().st_size, result, show)
    with progress("charts") as show:
        page = render(artifact.name, values, evaluated, show)
    with replacing(output) as file:
        file.write(page.encode())
    click.echo(f"{output}: {len(values['layers'])} layers of {artifact.name}")


def _simulated(artifact: Artifact) -> Result:
    """Cycles do not depend on activations: one image will do, of any content."""
    x = np.zeros((1, *artifact.image.input_shape), np.int8)
    with progress("building the simulation"):
        device = open_device("sim", artifact.config)
    with device, Session(device, artifact) as session, progress("simulation"):
        return session.run(x, timeout_seconds=TIMEOUT_SECONDS)
