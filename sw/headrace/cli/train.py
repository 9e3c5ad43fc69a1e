"""`headrace train`: a network trained and compressed as a recipe says."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

from .. import __version__
from ..artifact import SUFFIX
from ..errors import DataError
from ..files import replacing
from ..training.data import Data, load_data
from ..training.loop import initial, run_stages
from ..training.recipe import Recipe, read_recipe
from ..training.results import export, measure
from .files import check_plot
from .output import Progress, json_option, print_json, print_table, progress
from .train_plot import AXES, draw, label_of, short


@click.command(epilog="Example: headrace train recipes/lenet5-admm.toml --data mnist/ -o runs/lenet5-admm")
@click.argument("recipe", metavar="RECIPE.toml", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="DIR", help="Folder of MNIST or CIFAR-10; see `headrace fetch`.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder: results.json, .hrz, checkpoints."
)
@click.option("--weights", type=click.Path(path_type=Path), help="Trained weights, for recipes that start from a file.")
@click.option("--simulate", is_flag=True, help="Count cycles on the Verilated RTL, too.")
@click.option(
    "--threads", type=click.IntRange(1), default=1, show_default=True, help="Of torch; results are of one number only."
)
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Chart of all points: .png, .svg or .pdf."
)
@click.option("--against", type=click.Choice(list(AXES)), default="bytes", show_default=True, help="Of the chart.")
@json_option
def train(
    recipe: Path,
    data: str,
    output: Path,
    weights: Path | None,
    simulate: bool,
    threads: int,
    plot: Path | None,
    against: str,
    as_json: bool,
) -> None:
    """Train, prune, share and quantise a network in the stages of a recipe, and measure what comes of it.

    Every epoch ends with a checkpoint in the output folder: the same command goes on where it was interrupted, and to
    the same numbers. Checkpoints are chosen on samples held out of the training set; test samples are only looked at
    in the end. A recipe with a sweep is run for all its points, which share the stages that they have in common.
    """
    chosen = read_recipe(recipe)
    if plot is not None:
        check_plot(plot)
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file; name a folder")
    import torch

    torch.set_num_threads(threads)
    samples = load_data(data, chosen)
    results: dict[str, Any] = {
        "recipe": chosen.to_json(),
        "command": _command(recipe, weights, simulate, threads),
        "data": samples.test.title,
        "versions": {"headrace": __version__, "torch": version("torch"), "numpy": version("numpy")},
        "machine": platform.machine(),
        "points": [],
    }
    points = list(chosen.points())
    for number, (changes, point) in enumerate(points):
        with progress(f"{chosen.name}, point {number + 1} of {len(points)}") as show:
            results["points"].append(_point(point, changes, samples, output, weights, simulate, show))
        with replacing(output / "results.json", make_folder=True) as file:
            file.write((json.dumps(results, indent=1) + "\n").encode())
    if plot is not None:
        draw(plot, results, against)
    if as_json:
        print_json(results)
    else:
        _print(results, output)


def _command(recipe: Path, weights: Path | None, simulate: bool, threads: int) -> str:
    """The command, without the paths of this machine."""
    parts = ["headrace train", f"recipes/{recipe.name}", "--data DIR -o DIR"]
    parts += [f"--weights {weights.name}"] if weights else []
    parts += ["--simulate"] if simulate else []
    return " ".join([*parts, *([f"--threads {threads}"] if threads > 1 else [])])


def _point(
    point: Recipe,
    changes: dict[str, Any],
    samples: Data,
    output: Path,
    weights: Path | None,
    simulate: bool,
    show: Progress,
) -> dict[str, Any]:
    compressed = initial(point, weights)
    tell = lambda line: click.echo(line, err=True)  # noqa: E731
    stages = run_stages(point, compressed, samples, output / "checkpoints", tell, show)
    exported = export(point, compressed, samples)
    suffix = "".join(f"-{key}={short(value)}" for key, value in changes.items())
    exported.artifact.save(output / f"{point.name}{suffix}{SUFFIX}")
    return {"changes": changes, "stages": stages} | measure(point, compressed, samples, exported, simulate)


def _print(results: dict[str, Any], output: Path) -> None:
    points, many = results["points"], len(results["points"]) > 1
    best = int(np.argmax([point["int8"]["validation"] for point in points]))
    simulated = "rtl" in points[0]["cycles"]
    rows = [
        (
            label_of(point, results) + (" *" if number == best and many else ""),
            point["nonzeros"],
            f"{point['int8']['validation']:.4f}",
            f"{point['float']['test']:.4f}",
            f"{point['int8']['test']:.4f}",
            point["bytes"]["headrace"],
            point["cycles"]["estimated"],
            *([point["cycles"]["rtl"]] if simulated else []),
        )
        for number, point in enumerate(points)
    ]
    columns = ("point", "nonzeros", "validation", "float", "int8", "bytes", "cycles", *(["RTL"] if simulated else []))
    note = f"float, int8: of the test set; bytes: of all weights, coded; results and artifacts in {output}"
    print_table(
        f"{results['recipe']['name']} on {results['data']}",
        columns,
        rows,
        note + ("; *: best on validation" if many else ""),
    )
